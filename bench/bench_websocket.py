#!/usr/bin/env python3
"""WebSocket echoes: CPU time of the server for each message, every server in turns, in one run.

    python3 bench/bench_websocket.py [--seconds 1.0] [--rounds 5] [--sizes 64,4096] [--connections 1,50]
                                     [--python PYTHON] [--micropython FILE] [--only NAME,NAME] [--idle] [--json FILE]

PYTHON is an interpreter that has the peers: pip install aiohttp websockets microdot. Peers it has not are left out.
The client compares every byte that comes back. Ratios of one run are comparable; single times are not. --idle measures
what an open WebSocket costs instead: heap on MicroPython, resident memory on CPython, and a broadcast to all of them.
Linux only: CPU and memory are read from /proc.
"""
import argparse
import json
import os
import pathlib
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SRC = pathlib.Path(__file__).resolve().parent.parent / "src"
DEADLINE_SEC = 30

OURS = """
import sys, gc
from microWebSrv import MicroWebSrv

mws = MicroWebSrv(port=int(sys.argv[1]), bindIP="127.0.0.1", webPath=".")
mws.WebSocketThreaded = "threaded" in sys.argv
mws.MaxWebSocketRecvLen = 1024 if "idle" in sys.argv else 1 << 20
mws.MaxConnections = 2000

def OnText(webSocket, msg):
    if msg == "memory":
        gc.collect()
        msg = str(gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0)
    elif msg == "broadcast":
        return mws.Broadcast("x" * 64)
    webSocket.SendText(msg)

def OnBinary(webSocket, data):
    webSocket.SendBinary(data)

def OnAccept(webSocket, httpClient):
    webSocket.RecvTextCallback = OnText
    webSocket.RecvBinaryCallback = OnBinary

mws.AcceptWebSocketCallback = OnAccept
mws.Start(threaded=False)
"""

AIOHTTP = """
import sys
from aiohttp import web, WSMsgType

async def Echo(request):
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    async for msg in ws:
        if msg.type == WSMsgType.TEXT:
            await ws.send_str(msg.data)
        elif msg.type == WSMsgType.BINARY:
            await ws.send_bytes(msg.data)
    return ws

app = web.Application()
app.router.add_get("/echo", Echo)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""

WEBSOCKETS = """
import asyncio, sys
from websockets.asyncio.server import serve

async def Echo(ws):
    async for message in ws:
        await ws.send(message)

async def Main():
    async with serve(Echo, "127.0.0.1", int(sys.argv[1]), compression=None):
        await asyncio.get_running_loop().create_future()

asyncio.run(Main())
"""

MICRODOT = """
import sys
from microdot import Microdot, Request
from microdot.websocket import with_websocket, WebSocket

app = Microdot()
WebSocket.max_message_length = -1
Request.max_content_length = 1 << 20

@app.route("/echo")
@with_websocket
async def Echo(request, ws):
    while True:
        await ws.send(await ws.receive())

app.run(host="127.0.0.1", port=int(sys.argv[1]))
"""

# name: (program, module that it needs, runtime, arguments)
SERVERS = {
    "microwebsrv/cpython": (OURS, None, "cpython", ()),
    "aiohttp": (AIOHTTP, "aiohttp", "cpython", ()),
    "websockets": (WEBSOCKETS, "websockets", "cpython", ()),
    "microdot/cpython": (MICRODOT, "microdot", "cpython", ()),
    "microwebsrv/micropython": (OURS, None, "micropython", ()),
    "microdot/micropython": (MICRODOT, "microdot", "micropython", ()),
}


class Server:
    """One server process, its CPU clock and its memory."""

    def __init__(self, name, options, folder, extra=()):
        program, module, runtime, args = SERVERS[name]
        self.name, self.runtime = name, runtime
        path = pathlib.Path(folder) / ("serve-%s.py" % name.replace("/", "-"))
        path.write_text(program)
        self.port = FreePort()
        packages = SitePackages(options.python)
        if runtime == "micropython":
            command = [options.micropython, "-X", "heapsize=%s" % options.heap]
            environment = {"MICROPYPATH": "%s:%s:.frozen" % (SRC if not module else folder, packages)}
            if module and not (pathlib.Path(folder) / module).exists():
                shutil.copytree(packages / module, pathlib.Path(folder) / module)
        else:
            command = [options.python]
            environment = {"PYTHONPATH": str(SRC), "PYTHONDONTWRITEBYTECODE": "1"}
        self.log = path.with_suffix(".log").open("w+")
        self.process = subprocess.Popen([*command, str(path), str(self.port), *args, *extra], cwd=folder,
                                        env={**os.environ, **environment}, stdout=self.log, stderr=self.log)
        self.Wait()

    def Wait(self):
        deadline = time.monotonic() + DEADLINE_SEC
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.log.seek(0)
                    sys.exit("%s did not start\n%s" % (self.name, self.log.read()))
                time.sleep(0.02)

    def Cpu(self):
        """Seconds on a processor, all threads."""
        tasks = pathlib.Path("/proc/%d/task" % self.process.pid).iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def Resident(self):
        """Bytes."""
        return int(pathlib.Path("/proc/%d/statm" % self.process.pid).read_text().split()[1]) * 4096

    def Stop(self):
        self.process.terminate()
        self.process.wait()


def FreePort():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def SitePackages(python):
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    return pathlib.Path(subprocess.check_output([python, "-c", code], text=True).strip())


def HasModule(python, module):
    return not module or subprocess.run([python, "-c", "import " + module], capture_output=True).returncode == 0


def Head(first, size, mask=0):
    if size < 126:
        return bytes((first, mask | size))
    return bytes((first, mask | 126)) + size.to_bytes(2, "big")


def ClientFrame(first, payload, key=b"\x5a\xa5\x01\xfe"):
    masked = bytes(byte ^ key[i & 3] for i, byte in enumerate(payload))
    return Head(first, len(payload), 0x80) + key + masked


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
    """Close as the RFC says: no server has to report a lost client."""
    client.sendall(ClientFrame(0x88, b"\x03\xe8"))
    while client.recv(65536):
        pass
    client.close()


def Ask(client, text):
    """A text message and its answer."""
    client.sendall(ClientFrame(0x81, text.encode()))
    answer = client.recv(2, socket.MSG_WAITALL)
    return client.recv(answer[1], socket.MSG_WAITALL).decode()


def Echo(server, size, connections, seconds):
    """Each client sends its next message when it has the echo of the last. -> (CPU us, messages/s, p50 us, p99 us)."""
    payload = bytes(97 + i % 26 for i in range(size))
    request = ClientFrame(0x81, payload)
    expected = Head(0x81, size) + payload
    clients = {client.fileno(): client for client in (Connect(server.port) for _ in range(connections))}
    poll = select.epoll()
    started, got, waits, errors = {}, dict.fromkeys(clients, b""), [], 0
    for fileno, client in clients.items():
        poll.register(fileno, select.EPOLLIN)
        client.sendall(request)
        started[fileno] = time.perf_counter()
    cpu, begin = server.Cpu(), time.perf_counter()
    end = begin + seconds
    count, now = 0, begin
    while now < end:
        for fileno, _ in poll.poll(DEADLINE_SEC):
            data = clients[fileno].recv(65536)
            if data != expected:
                assert data, "%s closed the connection" % server.name
                data = got[fileno] + data
                if len(data) < len(expected):
                    got[fileno] = data
                    continue
                got[fileno] = b""
                errors += data != expected
            now = time.perf_counter()
            waits.append(now - started[fileno])
            started[fileno] = now
            clients[fileno].send(request)
            count += 1
    took, used = time.perf_counter() - begin, server.Cpu() - cpu
    for client in clients.values():
        Leave(client)
    assert not errors, "%s: %d wrong echoes" % (server.name, errors)
    waits.sort()
    return used / count * 1e6, count / took, waits[len(waits) // 2] * 1e6, waits[len(waits) * 99 // 100] * 1e6


def BenchEcho(options, names, folder):
    rows = []
    servers = [Server(name, options, folder) for name in names]
    try:
        for size in options.sizes:
            for connections in options.connections:
                runs = {server.name: [] for server in servers}
                for _ in range(options.rounds):
                    for server in servers:
                        runs[server.name].append(Echo(server, size, connections, options.seconds))
                for server in servers:
                    cpu, rate, p50, p99 = (statistics.median(column) for column in zip(*runs[server.name]))
                    rows.append({"server": server.name, "size": size, "connections": connections,
                                 "cpuUs": round(cpu, 1), "perSec": round(rate), "p50Us": round(p50),
                                 "p99Us": round(p99)})
                    print("%-26s %5d B %4d clients  %8.1f us CPU  %8.0f/s  p50 %6.0f us  p99 %7.0f us"
                          % (server.name, size, connections, cpu, rate, p50, p99), flush=True)
    finally:
        for server in servers:
            server.Stop()
    return rows


def BenchIdle(options, folder):
    """What an open WebSocket costs, and a broadcast to all."""
    rows = []
    for name, count in (("microwebsrv/micropython", 100), ("microwebsrv/cpython", 1000)):
        for mode in ("plain", "threaded"):
            server = Server(name, options, folder, ("idle", mode))
            try:
                rows.append({"server": name, "mode": mode, "sockets": count, **Idle(server, count)})
                print(rows[-1], flush=True)
            finally:
                server.Stop()
    return rows


def Idle(server, count):
    first = [Connect(server.port) for _ in range(10)]
    heap, resident = int(Ask(first[0], "memory")), server.Resident()
    clients = [Connect(server.port) for _ in range(count)]
    heap = (int(Ask(first[0], "memory")) - heap) / count
    resident = (server.Resident() - resident) / count
    expected = Head(0x81, 64) + b"x" * 64
    cpu, begin = server.Cpu(), time.perf_counter()
    first[0].sendall(ClientFrame(0x81, b"broadcast"))
    for client in first + clients:
        assert client.recv(len(expected), socket.MSG_WAITALL) == expected
    took, used = time.perf_counter() - begin, server.Cpu() - cpu
    for client in first + clients:
        Leave(client)
    return {"heapEach": round(heap), "residentEach": round(resident),
            "broadcastMs": round(took * 1000, 2), "broadcastCpuMs": round(used * 1000, 2)}


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default="64,4096")
    parser.add_argument("--connections", default="1,50")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--micropython", default=shutil.which("micropython"))
    parser.add_argument("--heap", default="4M")
    parser.add_argument("--only")
    parser.add_argument("--idle", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    options.sizes = [int(size) for size in options.sizes.split(",")]
    options.connections = [int(number) for number in options.connections.split(",")]
    wanted = options.only.split(",") if options.only else list(SERVERS)
    names = [name for name in wanted if HasModule(options.python, SERVERS[name][1])
             and (options.micropython or SERVERS[name][2] != "micropython")]
    with tempfile.TemporaryDirectory() as folder:
        rows = BenchIdle(options, folder) if options.idle else BenchEcho(options, names, folder)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    Main()
