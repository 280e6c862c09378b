#!/usr/bin/env python3
"""The memory of an open WebSocket, and the time of a message to all of them: python3 bench/bench_websocket.py

Heap on MicroPython, resident memory on CPython, with and without a thread for each; then Broadcast, from the call to
the last client's copy. bench/run.py measures an echo. Linux only: CPU and memory are read from /proc.
"""
import dataclasses
import pathlib
import socket
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from peers import PEERS, FindMicroPython, Server  # noqa: E402

DEADLINE_SEC = 30
COUNTS = {"micropython": 100, "cpython": 1000}
PROGRAM = """
import sys, gc
from microWebSrv import MicroWebSrv

mws = MicroWebSrv(port=int(sys.argv[1]), bindIP="127.0.0.1", webPath=".")
mws.WebSocketThreaded = "threaded" in sys.argv
mws.MaxConnections = 2000

def OnText(webSocket, msg):
    if msg == "broadcast":
        return mws.Broadcast("x" * 64)
    gc.collect()
    webSocket.SendText(str(gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0))

def OnAccept(webSocket, httpClient):
    webSocket.RecvTextCallback = OnText

mws.AcceptWebSocketCallback = OnAccept
mws.Start(threaded=False)
"""


def Frame(first, payload, key=b"\x5a\xa5\x01\xfe"):
    """A client's frame of less than 126 bytes."""
    return bytes((first, 0x80 | len(payload))) + key + bytes(byte ^ key[i & 3] for i, byte in enumerate(payload))


def Connect(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SEC)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        assert piece, "no 101: %r" % head
        head += piece
    assert b" 101 " in head, head
    return client


def Leave(client):
    """Close as in the RFC, so that no server reports a lost client."""
    client.sendall(Frame(0x88, b"\x03\xe8"))
    while client.recv(65536):
        pass
    client.close()


def Heap(client):
    client.sendall(Frame(0x81, b"memory"))
    answer = client.recv(2, socket.MSG_WAITALL)
    return int(client.recv(answer[1], socket.MSG_WAITALL))


def Resident(server):
    return int(pathlib.Path("/proc/%d/statm" % server.process.pid).read_text().split()[1]) * 4096


def Measure(server, count):
    first = [Connect(server.port) for _ in range(10)]
    heap, resident = Heap(first[0]), Resident(server)
    clients = [Connect(server.port) for _ in range(count)]
    heap = (Heap(first[0]) - heap) / count
    resident = (Resident(server) - resident) / count
    expected = b"\x81\x40" + b"x" * 64
    cpu, begin = server.Cpu(), time.perf_counter()
    first[0].sendall(Frame(0x81, b"broadcast"))
    for client in first + clients:
        assert client.recv(len(expected), socket.MSG_WAITALL) == expected
    took, used = time.perf_counter() - begin, server.Cpu() - cpu
    for client in first + clients:
        Leave(client)
    return heap, resident, took * 1000, used * 1000


@dataclasses.dataclass
class Options:
    python: str
    micropython: str


def Main():
    options = Options(sys.executable, FindMicroPython())
    print("%-12s %-9s %8s %10s %14s %14s %16s" % (
        "runtime", "", "sockets", "heap, B", "resident, B", "broadcast, ms", "of these CPU, ms"))
    for runtime, count in COUNTS.items():
        for mode in ("plain", "threaded"):
            with tempfile.TemporaryDirectory() as folder:
                program = pathlib.Path(folder) / "program.py"
                program.write_text(PROGRAM)
                peer = dataclasses.replace(PEERS["microwebsrv"], program=str(program), args=(mode,))
                server = Server(peer, runtime, options, folder)
                try:
                    print("%-12s %-9s %8d %10.0f %14.0f %14.2f %16.2f" % (
                        runtime, mode, count, *Measure(server, count)))
                finally:
                    server.Stop()


if __name__ == "__main__":
    Main()
