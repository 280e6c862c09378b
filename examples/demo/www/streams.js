// Reads a streamed answer piece by piece, while the server is still creating it.
"use strict";

let abort = null;

async function readStream(rows) {
  abort = new AbortController();
  const began = performance.now();
  const response = await fetch(`/rows/${rows}`, { signal: abort.signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let bytes = 0;
  let count = -1;                 // the first line is the head of the table
  let rest = "";
  let last = [];
  for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
    bytes += value.length;
    const lines = (rest + value).split("\r\n");
    rest = lines.pop();
    count += lines.length;
    last = [...last, ...lines].slice(-5);
    $("#bar").style.width = `${100 * count / rows}%`;
    $("#count").textContent = count.toLocaleString("en");
    $("#bytes").textContent = bytes.toLocaleString("en");
    $("#rate").textContent = `${Math.round(bytes / (performance.now() - began)).toLocaleString("en")} KB/s`;
    $("#tail").textContent = last.join("\n");
  }
}

$("#rows").addEventListener("input", () => { $("#download").href = `/rows/${$("#rows").value}`; });

$("#stream").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("#start").disabled = true;
  $("#stop").disabled = false;
  try {
    await readStream(Number($("#rows").value));
  } catch (error) {
    $("#tail").textContent += `\n${error.name === "AbortError" ? "Stopped." : error}`;
  }
  $("#start").disabled = false;
  $("#stop").disabled = true;
});

$("#stop").addEventListener("click", () => abort.abort());
