#!/usr/bin/env python3
"""Where a request's time goes on MicroPython: the instructions that the interpreter needs for it, function by function.

    python3 bench/instructions.py                           hello, form and the WebSocket of 4 KB, ours and the floor
    python3 bench/instructions.py --works json --source dist/mpy --top 40

It needs valgrind. The kernel's part is not counted. A server answers 100 requests, one after the other on one
connection (of "close", each on its own), and another one 100 + --requests of them; the figures are the difference, so
that neither the start nor the imports are in them. They hardly differ from run to run, unlike times. A file that an
interpreter without symbols brings is one line, its name; the sum counts either way.
"""
import argparse
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import peers  # noqa: E402
from works import WORKS, MakeFolder  # noqa: E402

WARM = 100
KEY = b"\x12\x34\x56\x78"
UPGRADE = (b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


class Counted(peers.Server):
    """A server under valgrind."""

    def __init__(self, peer, options, folder, counts):
        self._counts = counts
        super().__init__(peer, "micropython", options, folder)

    def _Command(self, runtime, options):
        return (["valgrind", "--tool=callgrind", "--callgrind-out-file=%s" % self._counts,
                 options.micropython, "-X", "heapsize=" + peers.HEAP], {"MICROPYPATH": "%s:.frozen" % options.source})


def Frame(content):
    size = len(content)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + KEY + bytes(byte ^ KEY[at & 3] for at, byte in enumerate(content))


def Exchange(connection, work):
    """One request and its whole answer."""
    connection.sendall(Frame(work.request) if work.isWebSocket else work.request)
    data = b""
    wanted = len(work.request) + (2 if len(work.request) < 126 else 4) if work.isWebSocket else None
    while wanted is None or len(data) < wanted:
        more = connection.recv(1 << 18)
        if not more:
            raise SystemExit("%s: the answer is not whole" % work.name)
        data += more
        head, end, _ = data.partition(b"\r\n\r\n")
        if wanted is None and end:
            wanted = len(head) + 4 + int(re.search(rb"Content-Length: (\d+)", head)[1])


def Counts(peer, work, requests, options, folder):
    """{function: instructions} of a server's whole life."""
    path = folder / "counts"
    server = Counted(peer, options, folder, path)
    try:
        times = requests if work.mode == "close" else 1
        for _ in range(times):
            with socket.create_connection(("127.0.0.1", server.port), timeout=peers.START_SEC) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if work.isWebSocket:
                    connection.sendall(UPGRADE)
                    connection.recv(4096)
                for _ in range(requests // times):
                    Exchange(connection, work)
        server.process.terminate()
        server.process.wait(peers.START_SEC)
    finally:
        server.Stop()
    listing = subprocess.run(["callgrind_annotate", "--threshold=100", str(path)], check=True, capture_output=True,
                             text=True)
    counts = {}
    for line in listing.stdout.splitlines():
        found = re.match(r"\s*([\d,]+) \([^)]*\)\s+\S*?:([^\s:'@]+)", line)
        if found:
            counts[found[2]] = counts.get(found[2], 0) + int(found[1].replace(",", ""))
    return counts


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", default="hello,form,ws4k")
    parser.add_argument("--source", default=str(peers.SRC), help="the folder of the server's files")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--top", type=int, default=16)
    parser.add_argument("--micropython", default=peers.FindMicroPython())
    options = parser.parse_args()
    options.source = os.path.abspath(options.source)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        MakeFolder(folder)
        for work in [WORKS[name] for name in options.works.split(",")]:
            for peer in (peers.PEERS[peers.OURS], peers.PEERS[peers.FLOOR]):
                if peer.name == peers.FLOOR and work.isWebSocket:
                    continue
                few, many = (Counts(peer, work, WARM + more, options, folder) for more in (0, options.requests))
                each = sorted(((many[name] - few.get(name, 0)) / options.requests, name) for name in many)[::-1]
                total = sum(count for count, _ in each)
                print("\n%s, %s: %d instructions for each" % (work.title, peer.name, total))
                for count, function in each[:options.top]:
                    print("%9d  %4.1f %%  %s" % (count, 100 * count / total, function))


if __name__ == "__main__":
    Main()
