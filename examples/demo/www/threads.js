// Measures quick requests while a slow one is running.
"use strict";

async function timed(path) {
  const began = performance.now();
  await (await fetch(path, { cache: "no-store" })).json();
  return performance.now() - began;
}

$("#run").addEventListener("click", async () => {
  const times = [];
  let slowMs = 0;
  $("#run").disabled = true;
  $("#pulse").replaceChildren();
  $("#slow").textContent = "…";
  timed("/slow").then((ms) => { slowMs = ms; });
  while (!slowMs) {
    times.push(await timed("/quick"));
    const bar = make("i");
    bar.style.height = `${Math.min(100, 6 + times.at(-1))}%`;
    $("#pulse").append(bar);
    if ($("#pulse").children.length > 60) $("#pulse").firstChild.remove();
    $("#quick").textContent = times.length;
    $("#slowest").textContent = `${Math.max(...times).toFixed(1)} ms`;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  $("#slow").textContent = `${Math.round(slowMs)} ms`;
  $("#run").disabled = false;
});
