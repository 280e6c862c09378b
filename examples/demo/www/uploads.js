// Sends bytes with progress (fetch has none for uploads, XMLHttpRequest does) and compares the checksums.
"use strict";

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? byte >>> 1 ^ 0xedb88320 : byte >>> 1;
  return byte;
});

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 255] ^ crc >>> 8;
  return ((crc ^ -1) >>> 0).toString(16).padStart(8, "0");
}

function send(bytes) {
  const began = performance.now();
  const crc = crc32(bytes);
  $("#mySize").textContent = bytes.length.toLocaleString("en");
  $("#myCrc").textContent = crc;
  $("#itsSize").textContent = $("#itsCrc").textContent = "…";
  $("#verdict").textContent = "";
  const request = new XMLHttpRequest();
  request.responseType = "json";
  request.upload.onprogress = (event) => { $("#bar").style.width = `${100 * event.loaded / event.total}%`; };
  request.onload = () => {
    const answer = request.response;
    $("#itsSize").textContent = answer.size.toLocaleString("en");
    $("#itsCrc").textContent = answer.crc32;
    $("#verdict").textContent = `${answer.crc32 === crc ? "Identical." : "Different!"} It arrived in ` +
      `${answer.pieces.toLocaleString("en")} pieces and ${Math.round(performance.now() - began)} ms.`;
  };
  request.onerror = () => { $("#verdict").textContent = "The server could not be reached."; };
  request.open("PUT", "/upload");
  request.send(bytes);
}

$("#file").addEventListener("change", () => { $("#sendFile").disabled = !$("#file").files.length; });
$("#sendFile").addEventListener("click", async () => send(new Uint8Array(await $("#file").files[0].arrayBuffer())));
// The form: dropped files are put into its file field, as if the user had chosen them.
const drop = $("#drop");
for (const kind of ["dragover", "dragleave", "drop"])
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop") $("#files").files = event.dataTransfer.files;
  });

$("#form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const response = await fetch("/upload", { method: "POST", body: new FormData($("#form")) });
  if (!response.ok) {
    $("#formVerdict").textContent = `The server refused it: ${response.status} ${response.statusText}.`;
    return;
  }
  const answer = await response.json();
  $("#received").replaceChildren(...answer.files.map(([name, size, crc]) => {
    const row = make("tr");
    row.append(make("td", name), make("td", size.toLocaleString("en")), make("td", crc));
    return row;
  }));
  $("#formVerdict").textContent = `${answer.files.length} files, and the note "${answer.note}".`;
});

$("#sendNoise").addEventListener("click", () => {
  const noise = new Uint8Array(2 << 20);
  for (let start = 0; start < noise.length; start += 65536) crypto.getRandomValues(noise.subarray(start, start + 65536));
  send(noise);
});
