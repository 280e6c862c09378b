#!/usr/bin/env python3
"""CPU time of the server for each request, against the floor of the same interpreter in the same run.

    python3 bench/bench_http.py [--seconds 1.0] [--rounds 3] [--connections 32] [--only hello,json] [--runtime cpython]

The floor is a bare asyncio responder that parses nothing. The client checks status and body of every answer. Ratios of
one run are comparable; single times are not (machines differ and are noisy). Linux only: CPU is read from /proc.
"""
import argparse
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

HERE = pathlib.Path(__file__).resolve().parent
SRC = HERE.parent / "src"

HELLO = b"Hello, World!"
FORM = b"firstname=Ada&lastname=Lovelace&note=one+two%21"
FILES = {"10kb.txt": 10 * 1024, "115kb.txt": 115 * 1024}


def Get(path, close=False):
    end = b"Connection: close\r\n\r\n" if close else b"\r\n"
    return b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n" + end


POST = (b"POST /form HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM)

# name: (request, what the body must be, connection closes after each)
WORK = {
    "hello": (Get(b"/hello"), HELLO, False),
    "hello-close": (Get(b"/hello", True), HELLO, True),
    "args": (Get(b"/edit/42/some-path"), b"42 some-path", False),
    "json": (Get(b"/json"), None, False),
    "form": (POST, b"Ada Lovelace one two!", False),
    "10kb": (Get(b"/10kb.txt"), b"x" * FILES["10kb.txt"], False),
    "115kb": (Get(b"/115kb.txt"), b"x" * FILES["115kb.txt"], False),
}


class Server:
    """One server process and its CPU clock."""

    def __init__(self, name, command, environment):
        self.name = name
        self.process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().split()[1])

    def Cpu(self):
        """Seconds on a processor, all threads."""
        total = 0
        for task in pathlib.Path("/proc/%d/task" % self.process.pid).iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def Stop(self):
        self.process.terminate()
        self.process.wait()


class Client:
    """Non-blocking connections that ask again as soon as they were answered; every answer is checked."""

    def __init__(self, port, work, connections):
        self.port = port
        self.request, self.body, self.closes = WORK[work]
        self.connections = connections
        self.poll = select.epoll()
        self.open = {}

    def Connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.poll.register(sock, select.EPOLLIN)
        self.open[sock.fileno()] = [sock, b"", time.perf_counter()]
        sock.send(self.request)

    def Run(self, seconds):
        """-> (answers, latencies in seconds). An answer that is wrong raises."""
        latencies = []
        for _ in range(self.connections):
            self.Connect()
        end = time.perf_counter() + seconds
        stopping = False
        while self.open:
            for fd, _ in self.poll.poll(5):
                self.OnReadable(fd, latencies, stopping)
            now = time.perf_counter()
            stopping = now > end
            if now > end + 5:
                raise RuntimeError("%d connections got no answer" % len(self.open))
        return latencies

    def OnReadable(self, fd, latencies, stopping):
        entry = self.open[fd]
        sock = entry[0]
        data = sock.recv(262144)
        entry[1] += data
        head, found, body = entry[1].partition(b"\r\n\r\n")
        at = head.find(b"Content-Length: ") if found else -1
        complete = at >= 0 and len(body) >= int(head[at + 16:].split(b"\r\n")[0])
        if not complete:
            if not data:
                raise RuntimeError("closed without an answer: %r" % entry[1][:200])
            return
        if not entry[1].startswith(b"HTTP/1.1 200") or self.body is not None and body != self.body:
            raise RuntimeError("a wrong answer: %r" % entry[1][:300])
        now = time.perf_counter()
        latencies.append(now - entry[2])
        if self.closes or stopping:
            self.poll.unregister(fd)
            del self.open[fd]
            sock.close()
            if not stopping:
                self.Connect()
        else:
            entry[1] = b""
            entry[2] = now
            sock.send(self.request)


def FreePort():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def Servers(runtimes, www):
    python = {"PYTHONPATH": str(SRC)}
    micro = {"MICROPYPATH": "%s:.frozen" % SRC}
    for runtime in runtimes:
        command = [sys.executable] if runtime == "cpython" else [shutil.which("micropython")]
        environment = python if runtime == "cpython" else micro
        for program in ("floor", "microwebsrv"):
            yield runtime, program, Server(program, command + [str(HERE / "servers" / (program + ".py")),
                                                               str(FreePort()), www], environment)


def Measure(server, work, seconds, connections):
    before = server.Cpu()
    start = time.perf_counter()
    latencies = Client(server.port, work, connections).Run(seconds)
    wall = time.perf_counter() - start
    cpu = server.Cpu() - before
    latencies.sort()
    return cpu / len(latencies) * 1e6, len(latencies) / wall, latencies[len(latencies) * 99 // 100] * 1e3


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", default=",".join(WORK))
    parser.add_argument("--runtime", default="micropython,cpython")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as www:
        for name, size in FILES.items():
            (pathlib.Path(www) / name).write_bytes(b"x" * size)
        servers = list(Servers(options.runtime.split(","), www))
        try:
            Table(servers, options)
        finally:
            for _, _, server in servers:
                server.Stop()


def Table(servers, options):
    print("%-12s %-12s %-12s %9s %9s %9s %8s" % ("runtime", "work", "server", "CPU us", "req/s", "p99 ms", "x floor"))
    for work in options.only.split(","):
        rows = {}
        for _ in range(options.rounds):
            for runtime, program, server in servers:
                measured = "hello" if program == "floor" and work != "hello-close" else work
                rows.setdefault((runtime, program), []).append(
                    Measure(server, measured, options.seconds, options.connections))
        for (runtime, program), runs in rows.items():
            cpu, rate, p99 = (statistics.median(column) for column in zip(*runs))
            floor = statistics.median(run[0] for run in rows[runtime, "floor"])
            print("%-12s %-12s %-12s %9.1f %9.0f %9.2f %8.2f" % (runtime, work, program, cpu, rate, p99, cpu / floor))
        sys.stdout.flush()


if __name__ == "__main__":
    Main()
