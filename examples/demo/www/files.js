// Requests one file in five ways. The headers of the answers show what was sent.
"use strict";

const ways = {
  whole: {},
  first: { headers: { Range: "bytes=0-79" } },
  last: { headers: { Range: "bytes=-52" } },
  changed: { headers: { "If-None-Match": "" } },
  head: { method: "HEAD" },
};
const told = ["content-length", "content-encoding", "content-range", "etag", "last-modified", "cache-control", "vary"];
let etag = "";

for (const button of document.querySelectorAll("[data-way]")) {
  button.addEventListener("click", async () => {
    const way = button.dataset.way;
    if (way === "changed" && !etag) await ask("whole");
    ask(way);
  });
}

async function ask(way) {
  ways.changed.headers["If-None-Match"] = etag;
  const response = await fetch("/files/weather.csv", { cache: "no-store", ...ways[way] });
  const text = await response.text();
  if (way === "whole") etag = response.headers.get("etag");
  const shown = text.length > 200 ? `${text.slice(0, 160)}…\n(${text.length} characters in all)` : text;
  showAnswer($("#fileAnswer"), response, told, shown);
}
