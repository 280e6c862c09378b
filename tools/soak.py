#!/usr/bin/env python3
"""Simulate months of use: send mixed requests, verify every response, and report the server's memory at 10, 50 and 100
%.

    python3 tools/soak.py [--requests 1000000] [--runtime NAME] [--seconds 3600]
                          [--clients 4] [--stops 1000]

NAME is micropython or cpython, with the core's own poll loop; or micropython-asyncio or cpython-asyncio, where a
handler is async and asyncio waits for the poll loop.

Requests are for plain responses, JSON, templates, files, ranges, chunked streams, content of known and unknown length,
async handlers and worker threads; WebSockets open and close, and clients disconnect in every state. Then the server is
started and stopped --stops times. `heap` is what is reachable after a collection: bytes on MicroPython, objects on
CPython. The exit code is 1 if a response was wrong, or if memory at 100 % is noticeably larger than at 10 %.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNTIMES = ("micropython", "cpython", "micropython-asyncio", "cpython-asyncio")
DEADLINE_SEC = 30
BATCH = 16                      # requests sent at once on one connection

COMMON = """
import gc
import os
import sys
from microWebSrv import MicroWebSrv

MicroWebSrv.Banner = False
MicroWebSrv.UseAsyncio = sys.argv[3:] == ["asyncio"]

def Held():
    fds = len(os.listdir("/proc/self/fd"))
    with open("/proc/self/status") as file:
        for line in file.read().split("\\n"):
            if line[:6] == "VmRSS:":
                rss = int(line.split()[1])
            if line[:8] == "Threads:":
                threads = int(line.split()[1])
    gc.collect()
    gc.collect()
    heap = gc.mem_alloc() if hasattr(gc, "mem_alloc") else len(gc.get_objects())
    return {"heap": heap, "rss": rss, "fds": fds, "threads": threads}
"""

SITE = COMMON + """
def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def Echo(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, httpClient.ReadRequestContent())

async def AsyncEcho(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, await httpClient.ReadRequestContent())

def Args(httpClient, httpResponse, args):
    httpResponse.WriteResponseJSONOk([args["a"], httpClient.GetRequestQueryParams().get("q")])

def Stream(httpClient, httpResponse):
    count = int(httpClient.GetRequestQueryString())
    httpResponse.WriteResponseStream(("%d," % number for number in range(count)), "text/plain")

def Raises(httpClient, httpResponse):
    raise ValueError("on purpose")

def Stats(httpClient, httpResponse):
    held = Held()
    held["links"] = len(mws.links)
    held["webSockets"] = len([link for link in mws.links.values() if hasattr(link.endpoint, "SendText")])
    httpResponse.WriteResponseJSONOk(held)

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText(text)
    webSocket.RecvBinaryCallback = lambda webSocket, data: webSocket.SendBinary(data)

def Errors(text, error):
    if not isinstance(error, OSError) and (not isinstance(error, ValueError) or error.args != ("on purpose",)):
        print("ERROR", text, repr(error))

mws = MicroWebSrv([("/hello", "GET", Hello), ("/echo", "POST", Echo),
                   ("/async", "POST", AsyncEcho if MicroWebSrv.UseAsyncio else Echo),
                   ("/args/<a>", "GET", Args), ("/stream", "GET", Stream), ("/raises", "GET", Raises),
                   ("/stats", "GET", Stats)],
                  int(sys.argv[1]), "127.0.0.1", sys.argv[2])
mws.AddRoute("/thread", "POST", Echo, threaded=True)
mws.AcceptWebSocketCallback = Accept
mws.ErrorCallback = Errors
mws.HeadTimeoutSec = mws.SendTimeoutSec = mws.BodyTimeoutSec = 5
mws.Start(threaded=False)
"""

STOPS = COMMON + """
import socket
port, count = int(sys.argv[1]), int(sys.argv[2])


def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

mws = MicroWebSrv([("/hello", "GET", Hello)], port, "127.0.0.1", "/")
address = socket.getaddrinfo("127.0.0.1", port)[0][-1]
for number in range(1, count + 1):
    mws.Start()
    sock = socket.socket()
    sock.connect(address)
    sock.send(b"GET /hello HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
    data = b""
    while data[-5:] != b"hello":
        piece = sock.recv(4096)
        if not piece:
            raise ValueError(data)
        data += piece
    mws.Stop()
    if sock.recv(10) or mws.IsStarted() or mws.links:
        raise ValueError("not stopped")
    sock.close()
    if number in (count // 10, count // 2, count):
        held = Held()
        print("%4d times: heap %d, %d KB, %d fds, %d threads" % (
            number, held["heap"], held["rss"], held["fds"], held["threads"]))
"""

PAGE = "<ul>{{ for number in range(5) }}<li>{{ number }} {{ '<&>' }}</li>{{ end }}</ul>\n"
PAGE_TEXT = b"<ul>" + b"".join(b"<li>%d &lt;&amp;&gt;</li>" % number for number in range(5)) + b"</ul>\n"
TEXT = bytes(97 + number % 26 for number in range(10240))
BIG_SIZE = 8 << 20


def _Request(method, target, content=None, fields=b""):
    head = b"%s %s HTTP/1.1\r\nHost: soak\r\n%s" % (method, target, fields)
    if content is None:
        return head + b"\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(content) + content


def _Draw(rng):
    """-> (request, status, content, or None if only the status counts)."""
    kind = rng.randrange(12)
    if kind < 3:
        return _Request(b"GET", b"/hello"), 200, b"hello"
    if kind == 3:
        content = rng.randbytes(rng.randrange(3000))
        return _Request(b"POST", rng.choice((b"/echo", b"/async", b"/thread")), content), 200, content
    if kind == 4:
        pieces = [rng.randbytes(rng.randrange(1, 500)) for _ in range(3)]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        target = rng.choice((b"/echo", b"/async"))
        return _Request(b"POST", target, fields=b"Transfer-Encoding: chunked\r\n") + chunks, 200, b"".join(pieces)
    if kind == 5:
        number = rng.randrange(100000)
        return _Request(b"GET", b"/args/%d?q=%%41+%d" % (number, number)), 200, b'[%d, "A %d"]' % (number, number)
    if kind == 6:
        return _Request(b"GET", b"/page.pyhtml"), 200, PAGE_TEXT
    if kind == 7:
        return _Request(b"GET", b"/text.txt"), 200, TEXT
    if kind == 8:
        start = rng.randrange(10000)
        fields = b"Range: bytes=%d-%d\r\n" % (start, start + 99)
        return _Request(b"GET", b"/text.txt", fields=fields), 206, TEXT[start:start + 100]
    if kind == 9:
        count = rng.randrange(1, 300)
        return _Request(b"GET", b"/stream?%d" % count), 200, b"".join(b"%d," % number for number in range(count))
    if kind == 10:
        return _Request(b"GET", b"/nothing/%d" % rng.randrange(1000)), 404, None
    if rng.random() < 0.1:
        return _Request(b"GET", b"/raises"), 500, None
    return _Request(b"GET", b"/hello?x"), 200, b"hello"


class Client:
    """Sends batches of requests on changing connections. A wrong response is stored in `wrong`."""

    def __init__(self, port, seed):
        self._port = port
        self._rng = random.Random(seed)
        self._sock = None
        self.requests = self.messages = self.aborted = self.sockets = 0
        self.wrong = None

    def Run(self, most, until):
        try:
            while self.requests < most and time.monotonic() < until:
                chance = self._rng.random()
                if chance < 0.02:
                    self._Abort()
                elif chance < 0.04:
                    self._WebSocket()
                else:
                    self._Batch(min(BATCH, most - self.requests))
        except Exception as error:
            self.wrong = error
        self._Close()

    def _Connect(self):
        sock = socket.create_connection(("127.0.0.1", self._port), DEADLINE_SEC)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _Close(self):
        if self._sock:
            self._sock.close()
            self._sock = None

    def _Batch(self, count):
        if not self._sock:
            self._sock, self._data = self._Connect(), b""
        drawn = [_Draw(self._rng) for _ in range(count)]
        self._sock.sendall(b"".join(request for request, _, _ in drawn))
        for request, status, content in drawn:
            answer = self._Answer()
            if answer[0] != status or content is not None and answer[1] != content:
                raise AssertionError((request, answer, status, content))
            self.requests += 1
        if self._rng.random() < 0.1:
            self._Close()

    def _Fill(self):
        piece = self._sock.recv(65536)
        if not piece:
            raise AssertionError("closed too early after %r" % self._data[-200:])
        self._data += piece

    def _Answer(self):
        """Read one response -> (status, content)."""
        while b"\r\n\r\n" not in self._data:
            self._Fill()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        found = re.search(rb"\r\nContent-Length: (\d+)", head)
        if found:
            content = self._Take(int(found.group(1)))
        else:
            content = b""
            while True:
                while b"\r\n" not in self._data:
                    self._Fill()
                line, _, self._data = self._data.partition(b"\r\n")
                piece = self._Take(int(line, 16) + 2)
                if piece == b"\r\n":
                    break
                content += piece[:-2]
        return int(head[9:12]), content

    def _Take(self, size):
        while len(self._data) < size:
            self._Fill()
        content, self._data = self._data[:size], self._data[size:]
        return content

    def _Abort(self):
        """Disconnect within a head, a content, a response or a WebSocket; with FIN or RST."""
        with self._Connect() as sock:
            data = self._rng.choice((
                b"", b"GET /hel", _Request(b"GET", b"/hello") * 3, _Request(b"POST", b"/echo", b"x" * 2000)[:-1000],
                _Request(b"GET", b"/big.bin"), _Request(b"POST", b"/async", b"x" * 2000)[:-1000], b"GET / HTTP/1.1\n\n",
                _Request(b"GET", b"/stream?100000"), _HANDSHAKE, _HANDSHAKE + b"\x81\xfe"))
            sock.sendall(data)
            if self._rng.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.aborted += 1

    def _WebSocket(self):
        with self._Connect() as sock:
            sock.sendall(_HANDSHAKE)
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(4096)
            if not data.startswith(b"HTTP/1.1 101 "):
                raise AssertionError(data)
            for _ in range(5):
                self._Message(sock, self._rng.randbytes(self._rng.randrange(126, 1000)))
                self.messages += 1
            sock.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
            if sock.recv(4) != b"\x88\x02\x03\xe8":
                raise AssertionError("no goodbye")
        self.sockets += 1

    def _Message(self, sock, content):
        key = self._rng.randbytes(4)
        size = len(content)
        mask = int.from_bytes((key * (size // 4 + 1))[:size], "big")
        masked = (int.from_bytes(content, "big") ^ mask).to_bytes(size, "big")
        sock.sendall(b"\x82\xfe" + size.to_bytes(2, "big") + key + masked)
        expected = b"\x82\x7e" + size.to_bytes(2, "big") + content
        data = b""
        while len(data) < len(expected):
            piece = sock.recv(4096)
            if not piece:
                raise AssertionError("a WebSocket was closed")
            data += piece
        if data != expected:
            raise AssertionError((data, expected))


_HANDSHAKE = _Request(b"GET", b"/ws", fields=b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
                      b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")


def Command(runtime, folder, program, *args):
    """Start a program on a runtime, in a separate folder. -> the process"""
    source = folder / "src"
    if not source.exists():
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("*-stubs", "__pycache__"))
    path = folder / "main.py"
    path.write_text(program)
    beside = pathlib.Path(sys.executable).parent / "micropython"
    micropython = str(beside) if beside.exists() else shutil.which("micropython")
    name, _, loop = runtime.partition("-")
    head = [micropython, "-X", "heapsize=4M"] if name == "micropython" else [sys.executable]
    environment = dict(os.environ, PYTHONPATH=str(source), MICROPYPATH="%s:.frozen" % source, PYTHONUNBUFFERED="1")
    command = [*head, str(path), *map(str, args), loop]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def FreePort():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def Stats(port):
    """The server's figures after all other clients have left: repeated until it has one connection."""
    until = time.monotonic() + DEADLINE_SEC
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), DEADLINE_SEC) as sock:
                sock.sendall(_Request(b"GET", b"/stats", fields=b"Connection: close\r\n"))
                data = b""
                while True:
                    piece = sock.recv(65536)
                    if not piece:
                        break
                    data += piece
            held = json.loads(data.partition(b"\r\n\r\n")[2])
            if held["links"] == 1 and not held["webSockets"] or time.monotonic() > until:
                return held
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
        time.sleep(0.1)


def Soak(runtime, folder, options):
    """-> True if every response was right and memory did not grow."""
    (folder / "page.pyhtml").write_text(PAGE)
    (folder / "text.txt").write_bytes(TEXT)
    with open(folder / "big.bin", "wb") as file:
        file.truncate(BIG_SIZE)
    port = FreePort()
    process = Command(runtime, folder, SITE, port, folder)
    clients = [Client(port, seed) for seed in range(options.clients)]
    printed = []
    threading.Thread(target=lambda: printed.extend(process.stdout), daemon=True).start()
    try:
        Stats(port)
        start, held = time.monotonic(), []
        for percent in (1, 10, 50, 100):
            most = options.requests * percent // 100 // options.clients
            threads = [threading.Thread(target=client.Run, args=(most, start + options.seconds)) for client in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            held.append(Stats(port))
            sums = [sum(getattr(client, name) for client in clients) for name in (
                "requests", "sockets", "messages", "aborted")]
            print("%s %3d %%: %8d requests, %6d WebSockets with %d messages, %d broken off, %4d s:" % (
                runtime, percent, *sums, time.monotonic() - start), "heap %(heap)d, %(rss)d KB, %(fds)d fds, "
                "%(threads)d threads, %(links)d links" % held[-1], flush=True)
            if time.monotonic() > start + options.seconds or any(client.wrong for client in clients):
                break
    finally:
        process.terminate()
        process.wait()
    wrong = [client.wrong for client in clients if client.wrong] + [line for line in printed if "ERROR" in line]
    print("%s: %s" % (runtime, "not one wrong answer" if not wrong else "WRONG %r" % wrong[:3]), flush=True)
    return not wrong and _IsFlat(held)


def _IsFlat(held):
    """Allows for a few lists that grow late; a leak of one byte per request would be noticed."""
    first, last = held[min(1, len(held) - 1)], held[-1]
    return last["heap"] < first["heap"] * 1.1 + 2000 and last["fds"] <= first["fds"] + 1 and last["links"] == 1


def StartAndStop(runtime, folder, count):
    process = Command(runtime, folder, STOPS, FreePort(), count)
    lines = [line.strip() for line in process.stdout]
    print("\n".join("%s started and stopped %s" % (runtime, line) for line in lines), flush=True)
    held = [line.split(": ")[1].split(", ") for line in lines]
    # A thread that has just stopped may still be counted.
    return process.wait() == 0 and len(held) == 3 and held[0][2] == held[2][2] and int(held[2][3].split()[0]) <= 2


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--stops", type=int, default=1000)
    parser.add_argument("--runtime", choices=RUNTIMES)
    options = parser.parse_args()
    runtimes = [options.runtime] if options.runtime else RUNTIMES
    passed = True
    for runtime in runtimes:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            passed = (not options.requests or Soak(runtime, folder, options)) and passed
            passed = (not options.stops or StartAndStop(runtime, folder, options.stops)) and passed
    sys.exit(not passed)


if __name__ == "__main__":
    Main()
