// Sends requests that cause errors.
"use strict";

for (const button of document.querySelectorAll("[data-request]")) {
  button.addEventListener("click", async () => {
    const [method, path] = button.dataset.request.split(" ");
    const response = await fetch(path, { method });
    const text = await response.text();
    const title = /<h1>(.*?)<\/h1>/.exec(text);
    const moved = response.redirected ? `, redirected to ${new URL(response.url).pathname}` : "";
    showAnswer($("#errorAnswer"), response, ["content-type", "allow"], `${title ? title[1] : text}\n\n${method} ${path}${moved}`);
  });
}
