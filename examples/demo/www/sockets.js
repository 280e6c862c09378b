// Two WebSockets: one receives the values of the chart, one is for the room of the chat.
"use strict";

const address = (path) => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;

// --- The chart

const values = [];
let live = null;
let received = 0;

function openLive() {
  live = new WebSocket(address("/live"));
  live.onopen = () => showState("connected");
  live.onmessage = (event) => showValue(JSON.parse(event.data));
  live.onclose = () => {
    showState("connection lost, trying again");
    setTimeout(openLive, 1000);
  };
}

function showState(text) {
  $("#state").textContent = text;
  $("#dot").classList.toggle("on", live.readyState === WebSocket.OPEN);
}

function showValue({ value, hz }) {
  values.push(value);
  if (values.length > 200) values.shift();
  $("#received").textContent = ++received;
  $("#hzText").textContent = `${hz.toFixed(1)} Hz`;
  if (document.activeElement !== $("#hz")) $("#hz").value = hz;
  requestAnimationFrame(drawChart);
}

function drawChart() {
  const canvas = $("#chart");
  const scale = window.devicePixelRatio || 1;
  const width = canvas.width = canvas.clientWidth * scale;
  const height = canvas.height = canvas.clientHeight * scale;
  const style = getComputedStyle(canvas);
  const pen = canvas.getContext("2d");
  const y = (value) => height / 2 - value * height / 2.6;
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.lineWidth = scale;
  for (const level of [-1, -0.5, 0, 0.5, 1]) {
    pen.beginPath();
    pen.moveTo(0, y(level));
    pen.lineTo(width, y(level));
    pen.stroke();
  }
  pen.strokeStyle = style.getPropertyValue("--mask");
  pen.lineWidth = 2.5 * scale;
  pen.lineJoin = "round";
  pen.beginPath();
  const left = 200 - values.length;
  values.forEach((value, index) => pen.lineTo((left + index) / 199 * width, y(value)));
  pen.stroke();
  pen.lineTo(width, height);
  pen.lineTo(left / 199 * width, height);
  pen.fillStyle = style.getPropertyValue("--glow");
  pen.fill();
}

$("#hz").addEventListener("input", () => live.readyState === WebSocket.OPEN && live.send($("#hz").value));
openLive();

// --- The chat

let chat = null;

function showTalk(message) {
  const line = make("li", message.notice || `: ${message.text}`, message.notice ? "notice" : "");
  if (!message.notice) line.prepend(make("b", message.name));
  $("#talk").append(line);
  $("#talk").scrollTop = $("#talk").scrollHeight;
}

function showJoined(isJoined) {
  $("#text").disabled = $("#sayButton").disabled = !isJoined;
  $("#name").disabled = $("#room").disabled = isJoined;
  $("#joinButton").textContent = isJoined ? "Leave" : "Join";
}

$("#join").addEventListener("submit", (event) => {
  event.preventDefault();
  if (chat) return chat.close();
  const room = encodeURIComponent($("#room").value);
  chat = new WebSocket(address(`/chat/${room}?name=${encodeURIComponent($("#name").value)}`));
  chat.onopen = () => { showJoined(true); $("#text").focus(); };
  chat.onmessage = (event) => showTalk(JSON.parse(event.data));
  chat.onclose = () => {
    chat = null;
    showJoined(false);
    showTalk({ notice: "You have left." });
  };
});

$("#say").addEventListener("submit", (event) => {
  event.preventDefault();
  chat.send($("#text").value);
  $("#text").value = "";
});
