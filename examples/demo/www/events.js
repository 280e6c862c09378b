// Listens to /events. The browser reconnects by itself when the connection was lost.
"use strict";

const source = new EventSource("/events");

function showState(text) {
  $("#state").textContent = text;
  $("#dot").classList.toggle("on", source.readyState === EventSource.OPEN);
}

source.onopen = () => showState("connected");
source.onerror = () => showState("connection lost, trying again");

source.onmessage = (event) => {
  const celsius = JSON.parse(event.data).celsius;
  $("#celsius").textContent = celsius.toFixed(1);
  $("#arc").style.strokeDasharray = `${Math.max(0, Math.min(100, 2 * celsius))} 100`;
};

source.addEventListener("bell", (event) => {
  const from = JSON.parse(event.data).from;
  $("#bells").prepend(make("li", `${new Date().toLocaleTimeString()}  rung by ${from}`));
});

$("#ring").addEventListener("click", async () => {
  const answer = await (await fetch("/ring", { method: "POST" })).json();
  $("#heard").textContent = `heard by ${answer.heardBy} ${answer.heardBy === 1 ? "window" : "windows"}`;
});

addEventListener("pagehide", () => source.close());
