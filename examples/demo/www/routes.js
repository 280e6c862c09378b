// Sends the values of the fields as a path with arguments.
"use strict";

async function show(output, path) {
  const response = await fetch(path);
  await showAnswer(output, response, ["content-type"], `${await response.text()}\n\nGET ${decodeURI(path)}`);
}

$("#hello").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = encodeURIComponent($("#name").value);
  show($("#helloAnswer"), `/hello/${name}?greeting=${encodeURIComponent($("#greeting").value)}`);
});

$("#multiply").addEventListener("submit", (event) => {
  event.preventDefault();
  show($("#multiplyAnswer"), `/multiply/${encodeURIComponent($("#a").value)}/${encodeURIComponent($("#b").value)}`);
});

for (const button of document.querySelectorAll("[data-get]")) {
  button.addEventListener("click", () => show($("#getAnswer"), button.dataset.get));
}
