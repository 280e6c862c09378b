#!/usr/bin/env python3
"""Broadcasts over Redis to the WebSockets of several processes: python3 bench/bench_broker.py

The workers have WebSockets and broadcast in turn. Every client checks that it gets each message of each worker once
and in order. Then the same with a Redis that is killed (SIGKILL) and restarted in between. Linux only: the CPU
times are read from /proc. It needs redis-server and the Python package redis, or nats-server and nats-py.
"""
import argparse
import os
import pathlib
import resource
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
DEADLINE_SEC = 30
SIZE = 40               # bytes of a message: worker, number, time, padding
WORKER = """
import sys, threading, time
from microWebSrv import MicroWebSrv

port, url, name = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
mws = MicroWebSrv(port=port, bindIP="127.0.0.1", webPath=".")
mws.WebSocketThreaded = False
mws.MaxConnections = 20000
mws.Banner = False
mws.AcceptWebSocketCallback = lambda webSocket, httpClient: None
node = mws.UseBroker(url)
mws.Start()
while not node.IsConnected():
    time.sleep(0.01)
print("READY", flush=True)
for line in sys.stdin:
    count, rate, first, start = line.split()        # start: of the clock that all processes have in common
    for number in range(int(count)):
        time.sleep(max(0, float(start) + number / float(rate) - time.monotonic()))
        mws.Broadcast(("%2d %8d %.6f" % (name, int(first) + number, time.monotonic())).ljust(40))
    print("SENT", flush=True)
mws.Stop()
"""


class Redis:
    def __init__(self, folder):
        self.path = folder / "socket"
        self.url = "unix://%s" % self.path
        self.spent = 0
        self.Start()

    def Start(self):
        self.path.unlink(missing_ok=True)
        self._Launch([shutil.which("redis-server"), "--port", "0", "--unixsocket", str(self.path), "--save", "",
                      "--appendonly", "no", "--loglevel", "warning"])

    def _Launch(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + DEADLINE_SEC
        while True:
            try:
                return self.Connect().close()
            except OSError:
                assert time.monotonic() < deadline, "the broker does not begin"
                time.sleep(0.005)

    def Connect(self):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(self.path))
        except OSError:
            sock.close()
            raise
        return sock

    def Kill(self):
        self.spent += Spent(self.process)
        self.process.kill()
        self.process.wait()


class Nats(Redis):
    def __init__(self, folder):
        self.port = FreePort()
        self.url = "nats://127.0.0.1:%d" % self.port
        self.spent = 0
        self.Start()

    def Start(self):
        self._Launch([shutil.which("nats-server") or "/usr/sbin/nats-server", "-a", "127.0.0.1", "-p", str(self.port)])

    def Connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=1)


def FreePort():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def Spent(process):
    """CPU seconds of a process, in user and system mode."""
    fields = pathlib.Path("/proc/%d/stat" % process.pid).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Crowd:
    """All clients, in one loop."""

    def __init__(self, ports, count):
        self._poll = select.epoll()
        self._sockets = {}              # descriptor -> [socket, rest, next expected number of each worker]
        self.latencies = []
        self.bad = []
        for port in ports:
            for _ in range(count):
                sock = Connect(port)
                self._sockets[sock.fileno()] = [sock, b"", [0] * len(ports)]
                self._poll.register(sock.fileno(), select.EPOLLIN)

    def __len__(self):
        return len(self._sockets)

    def Collect(self, wanted, deadline, tasks=()):
        """Wait until `wanted` messages have arrived. tasks: [(when, function), …]"""
        tasks = list(tasks)
        latencies = self.latencies
        while len(latencies) < wanted and time.monotonic() < deadline:
            while tasks and time.monotonic() >= tasks[0][0]:
                tasks.pop(0)[1]()
            for number, _ in self._poll.poll(0.02):
                client = self._sockets[number]
                data = client[0].recv(65536)
                now = time.monotonic()
                assert data, "a client was closed"
                if client[1]:
                    data = client[1] + data
                end = len(data) - len(data) % (SIZE + 2)
                expected = client[2]
                for pos in range(2, end, SIZE + 2):
                    worker, which, sent = data[pos:pos + SIZE].split()
                    worker = int(worker)
                    which = int(which)
                    if which != expected[worker]:
                        self.bad.append((worker, which, expected[worker]))
                    expected[worker] = which + 1
                    latencies.append(now - float(sent))
                client[1] = data[end:]

    def Close(self):
        for sock, _, _ in self._sockets.values():
            sock.sendall(b"\x88\x80\0\0\0\0")
            sock.close()


def Connect(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SEC)
    client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(1024)
        assert piece, "no 101: %r" % head
        head += piece
    assert b" 101 " in head, head
    return client


def Percentile(values, part):
    return values[min(len(values) - 1, int(len(values) * part))] * 1000


def Load(workers, crowd, broker, rate, seconds, first, outageSec=None):
    """One run -> the number of messages of each worker so far."""
    count = int(rate * seconds / len(workers))
    own = time.process_time()
    before = [Spent(worker) for worker in workers]
    broker.spent -= Spent(broker.process)
    start = time.monotonic() + 0.3
    for index, worker in enumerate(workers):
        begin = start + index / rate
        worker.stdin.write("%d %f %d %f\n" % (count, rate / len(workers), first, begin))
        worker.stdin.flush()
    tasks = []
    if outageSec is not None:
        tasks = [(start + seconds / 3, broker.Kill), (start + seconds / 3 + outageSec, broker.Start)]
    crowd.latencies.clear()
    wanted = count * len(workers) * len(crowd)
    crowd.Collect(wanted, start + seconds + DEADLINE_SEC, tasks)
    took = time.monotonic() - start
    for worker in workers:
        assert worker.stdout.readline() == "SENT\n"
    broker.spent += Spent(broker.process)
    latencies = sorted(crowd.latencies)
    spent = sum(Spent(worker) - old for worker, old in zip(workers, before))
    print("%d broadcasts at %g/s to %d x %d clients%s: %d of %d delivered, %d out of order or twice, in %.1f s" % (
        count * len(workers), rate, len(workers), len(crowd) // len(workers),
        "" if outageSec is None else ", the broker killed and away for %g s" % outageSec, len(latencies), wanted,
        len(crowd.bad), took))
    print("    latency ms: median %.1f, p99 %.1f, most %.1f;  CPU s: workers %.2f (%.1f us a delivery), broker %.2f,"
          " clients %.2f" % (Percentile(latencies, 0.5), Percentile(latencies, 0.99), latencies[-1] * 1000, spent,
                             spent / len(latencies) * 1e6, broker.spent, time.process_time() - own))
    broker.spent = 0
    return first + count


def Main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--broker", choices=("redis", "nats"), default="redis")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--runs", default="1000x10,100x100", help="clients of each worker x broadcasts a second, …")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--outage", type=float, default=1, help="seconds for which the broker is away")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mws"))
    env = dict(os.environ, PYTHONPATH=str(HERE.parent / "src"))
    broker = (Redis if options.broker == "redis" else Nats)(folder)
    try:
        for run in options.runs.split(","):
            clients, rate = map(float, run.split("x"))
            ports = [FreePort() for _ in range(options.workers)]
            workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(port), broker.url, str(index)], env=env,
                                        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                       for index, port in enumerate(ports)]
            try:
                for worker in workers:
                    assert worker.stdout.readline() == "READY\n"
                crowd = Crowd(ports, int(clients))
                first = Load(workers, crowd, broker, rate, options.seconds, 0)
                Load(workers, crowd, broker, rate, options.seconds, first, options.outage)
                crowd.Close()
            finally:
                for worker in workers:
                    worker.terminate()
                    worker.wait()
    finally:
        broker.Kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    Main()
