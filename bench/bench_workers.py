#!/usr/bin/env python3
"""Compare `microwebsrv --workers N` with the command without workers: requests per second and CPU time.

    python3 bench/bench_workers.py [--workers 1,2] [--seconds 3] [--rounds 3]

Each round measures each number of workers in turn. A figure is the median of the rounds. The client of bench/run.py
uses 32 connections and checks each response. It needs a core for itself. CPU time is that of the workers, from /proc
(Linux only). The share is the part of it that the busiest worker used. The load of the machine is printed before and
after the run: other work lowers the requests per second, but hardly changes the CPU time for each request.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CONNECTIONS = 32
PROGRAM = """
from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/hello")
def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "hello")


@MicroWebSrv.route("/work")
def Work(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "%d" % sum(number * number for number in range(10000)))


MicroWebSrv(port=8080).Start(threaded=False)
"""
ASKED = {                   # name: path, additional header, content of the response
    "hello, kept connections": ("/hello", "", b"hello"),
    "hello, a connection each": ("/hello", "Connection: close\r\n", b"hello"),
    "0.3 ms of Python in the handler": ("/work", "", b"%d" % sum(number * number for number in range(10000))),
}


def Cpu(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def Start(folder, workers):
    """Return the process, its port, and the pids of the processes that serve."""
    words = ["--workers", str(workers)] if workers else []
    environment = dict(os.environ, PYTHONPATH=str(HERE.parent / "src"))
    process = subprocess.Popen([sys.executable, "-m", "microwebsrv", str(folder), "--port", "0", "--no-reload",
                                "--no-log", *words],
                               env=environment, stdout=subprocess.PIPE, text=True)
    port = process.stdout.readline().partition("127.0.0.1:")[2].partition("/")[0]
    while True:
        try:
            socket.create_connection(("127.0.0.1", int(port))).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
    children = pathlib.Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text()
    return process, port, [int(pid) for pid in children.split()] or [process.pid]


def Measure(folder, workers, name, seconds):
    """Return the requests per second, the µs of CPU for each, and the share of the busiest worker."""
    path, header, answer = ASKED[name]
    (folder / "request").write_bytes(b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (path.encode(), header.encode()))
    (folder / "answer").write_bytes(answer)
    process, port, pids = Start(folder, workers)
    try:
        client = subprocess.Popen([folder / "client", port, str(CONNECTIONS), str(seconds),
                                   "close" if header else "keep", folder / "request", folder / "answer"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert client.stdout.readline() == "READY\n"
        before = [Cpu(pid) for pid in pids]
        client.stdin.write("go\n")
        client.stdin.flush()
        found = json.loads(client.stdout.readline())
        used = [Cpu(pid) - start for pid, start in zip(pids, before)]
        client.communicate()
    finally:
        process.terminate()
        process.wait()
    assert not any(found["kinds"].values()), (workers, found)
    return found["requests"] / found["seconds"], 1e6 * sum(used) / found["requests"], max(used) / sum(used)


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    counts = [0, *map(int, options.workers.split(","))]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "main.py").write_text(PROGRAM)
        subprocess.run([shutil.which("cc") or "gcc", "-O2", "-o", folder / "client", HERE / "client.c"], check=True)
        print("load: %.1f" % os.getloadavg()[0])
        for asked in ASKED:
            rounds = {count: [] for count in counts}
            for _ in range(options.rounds):
                for count in counts:
                    rounds[count].append(Measure(folder, count, asked, options.seconds))
            for count in counts:
                rate, cpu, share = (statistics.median(column) for column in zip(*rounds[count]))
                print("| %s | %s | %d | %.1f | %.0f %% |" % (
                    asked, count or "no --workers", rate, cpu, 100 * share), flush=True)
        print("load: %.1f" % os.getloadavg()[0])


if __name__ == "__main__":
    Main()
