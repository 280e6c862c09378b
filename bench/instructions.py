#!/usr/bin/env python3
"""The instructions that a server needs for a request: version 1 and this one in one run, and their ratio.

    python3 bench/instructions.py                                   MicroPython, all kinds of requests
    python3 bench/instructions.py --runtime cpython --works hello,close,ws4k
    python3 bench/instructions.py --works json --top 40             also for each function
    python3 bench/instructions.py --source dist/mpy                 another build of this version

Requires valgrind. The kernel is not counted. A server answers --warm requests, one after another on one connection (for
"close", each on a new one; with --connections, on that many at a time), and another server answers --requests more. The
figures are the difference, so start and imports are not included. Unlike times, they hardly differ from run to run, and
other processes don't change them. On MicroPython some thousand requests are necessary, because the cost of an
allocation depends on the last garbage collection.
"""
import argparse
import contextlib
import os
import pathlib
import re
import shutil
import socket
import sys
import tempfile

sys.dont_write_bytecode = True
import peers  # noqa: E402
from works import WORKS, MakeFolder  # noqa: E402

SMALL = ("hello", "close", "args", "json", "form", "1kb", "10kb", "115kb", "template", "ws64", "ws4k")
PEERS = (peers.BEFORE, peers.OURS)
PATIENCE_SEC = 300
KEY = b"\x12\x34\x56\x78"
UPGRADE = (b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


class Failed(Exception):
    """A server does not support this request: an empty cell."""


class Counted(peers.Server):
    """A server under valgrind, which is 20 to 50 times slower."""

    startSec = PATIENCE_SEC

    def __init__(self, peer, runtime, options, folder, counts):
        self._counts = counts
        super().__init__(peer, runtime, options, folder)

    def _Command(self, runtime, options):
        command, environment = super()._Command(runtime, options)
        if self.peer.name == peers.OURS:
            environment = {name: value.replace(str(peers.SRC), str(options.source))
                           for name, value in environment.items()}
        if runtime == "cpython":
            environment["PYTHONHASHSEED"] = "0"
        return ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=%s" % self._counts,
                *command], environment


def Frame(content):
    size = len(content)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + KEY + bytes(byte ^ KEY[at & 3] for at, byte in enumerate(content))


def IsWhole(data, work):
    """True if data is one complete response."""
    if work.isWebSocket:
        return len(data) >= len(work.request) + (2 if len(work.request) < 126 else 4)
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    length = re.search(rb"content-length: *(\d+)", head.lower())
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def Receive(connection, work):
    data = b""
    while not IsWhole(data, work):
        more = connection.recv(1 << 18)
        if not more:
            raise Failed("%s: the answer is not whole" % work.name)
        data += more
    if not work.isWebSocket and not data.startswith(b"HTTP/1.1 200 "):
        raise Failed("%s: %s" % (work.name, data.partition(b"\r\n")[0].decode("latin-1")))


def Connect(port, work):
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SEC)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if work.isWebSocket:
        connection.sendall(UPGRADE)
        if b" 101 " not in connection.recv(4096):
            connection.close()
            raise Failed("%s: no 101" % work.name)
    return connection


def Ask(port, work, requests, connections):
    """Send this many requests on each connection, all before the first response is read."""
    asked = Frame(work.request) if work.isWebSocket else work.request
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(Connect(port, work)) for _ in range(connections)]
        for _ in range(requests):
            for connection in opened:
                connection.sendall(asked)
            for connection in opened:
                Receive(connection, work)


def Counts(peer, runtime, work, requests, options, folder):
    """{function: instructions} for the whole life of a server."""
    path = folder / "counts"
    path.unlink(missing_ok=True)
    server = Counted(peer, runtime, options, folder, path)
    try:
        each = options.connections
        if work.mode == "close":
            for _ in range(requests // each):
                Ask(server.port, work, 1, each)
        else:
            Ask(server.port, work, requests // each, each)
        server.process.terminate()
        server.process.wait(PATIENCE_SEC)
    except OSError as error:
        raise Failed("%s: %s" % (work.name, error)) from error
    finally:
        server.Stop()
    counts = {}
    name = ""
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("fn="):
            name = line[3:].partition("'")[0]
        elif line[:1].isdigit():
            counts[name] = counts.get(name, 0) + int(line.split()[1])
    return counts


def Each(peer, runtime, work, options, folder):
    """{function: instructions for each request}; None if the server does not support it."""
    requests = options.requests or (3000 if runtime == "micropython" else 500)
    try:
        few, many = (Counts(peer, runtime, work, options.warm + more, options, folder) for more in (0, requests))
    except (Failed, RuntimeError) as failure:
        print("%s: %s" % (peer.name, failure), file=sys.stderr)
        return None
    return {name: (many[name] - few.get(name, 0)) / requests for name in many}


def IsEmpty(peer, work):
    """A minimal server has one response for everything."""
    isFloor = peer.name.startswith(peers.FLOOR) and not work.isWebSocket
    return peer.Cannot(work) or isFloor and work.name not in ("hello", "close")


def PrintHead(runtime, names):
    print("\nInstructions for each request, %s" % runtime)
    print("%-20s" % "" + "".join("%16s" % name for name in names) + "%10s" % "ratio", flush=True)


def PrintRow(work, cells):
    """cells: {peer: {function: instructions} or None}"""
    sums = {name: sum(counts.values()) if counts else None for name, counts in cells.items()}
    line = "%-20s" % work.title + "".join("%16s" % ("-" if each is None else "{:,.0f}".format(each))
                                          for each in sums.values())
    before, now = (sums.get(name) for name in PEERS)
    print(line + "%10s" % ("%.2f" % (now / before) if before and now else "-"), flush=True)


def PrintFunctions(work, cells, top):
    for name, counts in cells.items():
        total = sum(counts.values()) if counts else 0
        print("\n%s, %s: %d instructions for each" % (work.title, name, total))
        for function, count in sorted((counts or {}).items(), key=lambda pair: -pair[1])[:top]:
            print("%9d  %4.1f %%  %s" % (count, 100 * count / total, function))


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", default="micropython", help="micropython, cpython, or both with a comma")
    parser.add_argument("--works", default=",".join(SMALL))
    parser.add_argument("--peers", default=",".join(PEERS), help="also floor, or any other peer of bench/peers.py")
    parser.add_argument("--source", type=pathlib.Path, default=peers.SRC, help="the folder of this version's files")
    parser.add_argument("--requests", type=int, default=None, help="3000 on MicroPython, 500 on CPython")
    parser.add_argument("--warm", type=int, default=200)
    parser.add_argument("--connections", type=int, default=1, help="that ask at the same time")
    parser.add_argument("--top", type=int, default=0, help="so many functions, too")
    parser.add_argument("--micropython", default=None)
    parser.add_argument("--python", type=os.path.abspath, default=peers.FindPython(), help="instead of .venv-bench's")
    options = parser.parse_args()
    options.micropython = options.micropython or peers.FindMicroPython()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        MakeFolder(folder)
        # A copy, because another process may write these files meanwhile.
        shutil.copytree(options.source, folder / "source", ignore=shutil.ignore_patterns("*-stubs", "__pycache__"))
        options.source = folder / "source"
        for runtime in options.runtime.split(","):
            asked = [peers.PEERS[name] for name in options.peers.split(",")]
            asked = [peer for peer in asked if runtime in peer.runtimes]
            PrintHead(runtime, [peer.name for peer in asked])
            for work in [WORKS[name] for name in options.works.split(",")]:
                cells = {peer.name: None if IsEmpty(peer, work) else Each(peer, runtime, work, options, folder)
                         for peer in asked}
                PrintRow(work, cells)
                if options.top:
                    PrintFunctions(work, cells, options.top)


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    Main()
