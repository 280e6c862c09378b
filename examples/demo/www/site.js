// Functions for all pages: find elements, show an answer, show the code of main.py next to each demo.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);

// A new element: make("b", "text", "class"). Text is never read as HTML.
function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

// Shows status, the headers that matter here, and the body of a response.
async function showAnswer(output, response, headers = ["content-type"], body = null) {
  const lines = headers.filter((name) => response.headers.has(name))
    .map((name) => `${name}: ${response.headers.get(name)}\n`);
  const text = body ?? await response.text();
  output.replaceChildren(
    make("b", `${response.status} ${response.statusText}\n`, response.ok || response.status === 304 ? "" : "bad"),
    make("i", lines.join("")), text && `\n${text}`);
}

// Colours Python with one regular expression; enough for a page, no library needed.
function colour(code) {
  const tokens = new RegExp([
    /(#.*)/, /("""[^]*?"""|b?"(?:\\.|[^"\\\n])*")/, /(@[\w.]+)/,
    /\b(async|await|class|def|from|import|return|yield|if|elif|else|for|in|while|try|except|raise|with|as|not|and|or|global|pass|None|True|False)\b/,
    /\b(\d[\d.]*)\b/].map((part) => part.source).join("|"), "g");
  const pieces = [];
  let end = 0;
  for (const match of code.matchAll(tokens)) {
    pieces.push(code.slice(end, match.index));
    pieces.push(make("span", match[0], "csdkn"[match.slice(1).findIndex((group) => group !== undefined)]));
    end = match.index + match[0].length;
  }
  return [...pieces, code.slice(end)];
}

// <figure class="code" data-chapter="forms"> is filled with that chapter of main.py, one with data-file="_row.pyhtml"
// with the source of that template. A board with main.mpy has no source to show: the figure is then removed.
async function showSource(figure) {
  const { chapter, file } = figure.dataset;
  const response = await fetch(chapter ? `/source/${chapter}` : `/template/${file}`);
  if (!response.ok) return figure.remove();
  const pre = make("pre");
  pre.tabIndex = 0;
  pre.setAttribute("aria-label", "Source code");
  const text = (await response.text()).replace(/^# ---.*\n/, "").replace(/\n{3,}/g, "\n\n");
  pre.append(...colour(`${text.trim()}\n`));
  figure.replaceChildren(make("figcaption", file || `main.py, chapter “${chapter}”`), pre);
  figure.dataset.ready = "yes";
}

for (const figure of document.querySelectorAll("[data-chapter], [data-file]")) showSource(figure);
for (const code of document.querySelectorAll(".code code")) code.replaceChildren(...colour(code.textContent));
