// The page of a REST API: each click sends one request, and the answer has the new state.
"use strict";

async function call(method, path, content) {
  const began = performance.now();
  const response = await fetch(path, {
    method,
    headers: content ? { "Content-Type": "application/json" } : {},
    body: content && JSON.stringify(content),
  });
  const text = await response.text();
  const entry = make("li");
  entry.append(make("b", method), ` ${path} ${content ? JSON.stringify(content) : ""} → ${response.status}, `,
    make("span", `${Math.round(performance.now() - began)} ms`, "soft"));
  $("#exchanges").prepend(entry);
  showAnswer($("#pinAnswer"), response, ["content-type", "location"], text);
  return text && JSON.parse(text);
}

function makeRow(pin) {
  const row = make("tr");
  const box = make("input", "", "switch");
  box.type = "checkbox";
  box.checked = pin.value;
  box.setAttribute("aria-label", `${pin.name} is on`);
  box.addEventListener("change", async () => {
    await call("PUT", `/api/pins/${pin.id}`, { value: box.checked ? 1 : 0 });
    showPins();
  });
  const remove = make("button", "Remove");
  remove.setAttribute("aria-label", `Remove ${pin.name}`);
  remove.addEventListener("click", async () => {
    await call("DELETE", `/api/pins/${pin.id}`);
    showPins();
  });
  const cells = [pin.id, pin.name, box, remove].map((content) => {
    const cell = make("td");
    cell.append(content);
    return cell;
  });
  cells[3].className = "right";
  row.append(...cells);
  return row;
}

async function showPins() {
  const pins = await (await fetch("/api/pins")).json();
  $("#pins").replaceChildren(...pins.map(makeRow));
}

$("#add").addEventListener("submit", async (event) => {
  event.preventDefault();
  await call("POST", "/api/pins", { id: Number($("#pinId").value), name: $("#pinName").value });
  showPins();
});

showPins();
