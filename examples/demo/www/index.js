// The facts on the home page: one event a second from /events updates them.
"use strict";

const trail = [];

function drawSpark() {
  const canvas = $("#spark");
  const scale = window.devicePixelRatio || 1;
  const width = canvas.width = canvas.clientWidth * scale;
  const height = canvas.height = canvas.clientHeight * scale;
  const pen = canvas.getContext("2d");
  const low = Math.min(...trail) - 0.5;
  const high = Math.max(...trail) + 0.5;
  pen.strokeStyle = getComputedStyle(canvas).getPropertyValue("--mask");
  pen.lineWidth = 2 * scale;
  pen.lineJoin = "round";
  pen.beginPath();
  trail.forEach((value, index) => pen.lineTo(width * index / 39, height - (value - low) / (high - low) * height));
  pen.stroke();
}

function showFacts(facts) {
  const twoDigits = (number) => String(Math.floor(number)).padStart(2, "0");
  const up = facts.uptimeSec;
  $("#runtime").textContent = facts.runtime;
  $("#uptime").textContent = `${twoDigits(up / 3600)}:${twoDigits(up / 60 % 60)}:${twoDigits(up % 60)}`;
  $("#requests").textContent = facts.requests.toLocaleString("en");
  $("#celsius").textContent = `${facts.celsius.toFixed(1)} °C`;
  trail.push(facts.celsius);
  if (trail.length > 40) trail.shift();
  drawSpark();
}

fetch("/api/status").then((response) => response.json()).then(showFacts);
new EventSource("/events").onmessage = (event) => showFacts(JSON.parse(event.data));
