#!/usr/bin/env python3
"""Compare our server with its peers: CPU time of the server for each request, requests per second, latency.

    python3 bench/run.py                      a short run: both runtimes, 32 connections (WebSocket 50)
    python3 bench/run.py --full               for the README: 1, 32 and 200 connections, longer, more rounds;
                                              half an hour for both runtimes
    python3 bench/run.py --runtime cpython --peers floor,microwebsrv,falcon --works hello,json --connections 32

Each round measures all servers in turn. A figure is the median of the rounds. A ratio is the median of the ratios of
the rounds, so a disturbance in one round affects both servers. CPU time is that of the process and its children, from
/proc (Linux only). The client, client.c, is compiled first. It checks each response to its last byte. The peers in
bench/requirements.txt are installed into .venv-bench if the run needs them. A peer that does not start, that ends, or
that gives no correct response is left out, with one line that says why. The figures are written to
bench/results/DATE-RUNTIME.json, those of a second run on the same day to DATE-RUNTIME-2.json. bench/report.py makes the
tables and the plots.
"""
import argparse
import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request

sys.dont_write_bytecode = True
from peers import BEFORE, FLOOR, HERE, OURS, PEERS, RUNTIMES, VENV, FindMicroPython, FindPython, Server  # noqa: E402
from works import WORKS, MakeFolder  # noqa: E402

RESULTS = HERE / "results"
CLIENT_SEC = 60             # the client is killed when it takes longer
WS_CONNECTIONS = 50
WARM_SEC = 0.15
LATE_SEC = 3                # a server that is late by so much gets no more rounds of that cell
# The archive is made for MicroPython's own installer: pip finds it and prints its address, but can't install it.
UTEMPLATE = "utemplate==1.4.1"


# -- the peers and the client ----------------------------------------------------------------------------------------

def SitePackages():
    return next(VENV.glob("lib/python*/site-packages"))


def MakeVenv():
    """Make .venv-bench with the peers, if it is missing or the requirements have changed."""
    requirements = HERE / "requirements.txt"
    alone = {name: HERE / ("requirements-%s.txt" % name) for name in sorted({p.alone for p in PEERS.values()} - {""})}
    pinned = b"".join(path.read_bytes() for path in (requirements, *alone.values()))
    digest = hashlib.sha256(pinned + UTEMPLATE.encode()).hexdigest()
    stamp = VENV / "requirements.sha256"
    if stamp.exists() and stamp.read_text() == digest:
        return
    print("making %s" % VENV.name, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    (VENV / ".gitignore").write_text("*\n")
    python = str(VENV / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-qq", "-r", str(requirements)], check=True)
    for name, path in alone.items():
        subprocess.run([python, "-m", "pip", "install", "-qq", "--target", str(VENV / name), "-r", str(path)],
                       check=True)
    FetchUtemplate(python)
    target = VENV / "micropython"
    for module in {module for peer in PEERS.values() for module in peer.modules} - {"utemplate"}:
        shutil.copytree(SitePackages() / module, target / module, ignore=shutil.ignore_patterns("__pycache__", "*.pyi"))
    stamp.write_text(digest)


def FetchUtemplate(python):
    with tempfile.TemporaryDirectory() as folder:
        said = subprocess.run([python, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "-d", folder,
                               UTEMPLATE], capture_output=True, text=True)
        found = re.search(r"(?:https?|file)://\S+/utemplate-[\d.]+\.tar\.gz", said.stdout + said.stderr)
        if not found:
            sys.exit("pip does not find %s\n%s" % (UTEMPLATE, said.stderr))
        archive = pathlib.Path(folder) / "utemplate.tar.gz"
        with urllib.request.urlopen(found[0], timeout=60) as answer:
            archive.write_bytes(answer.read())
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                name = re.search(r"utemplate/\w+\.py$", member.name)
                if name and member.isfile():
                    path = VENV / "micropython" / name[0]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(tar.extractfile(member).read())


def MakeClient(folder):
    path = pathlib.Path(folder) / "client"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", str(path), str(HERE / "client.c")], check=True)
    return path


# -- one measurement -------------------------------------------------------------------------------------------------

class Client:
    """Runs client.c for one server and one work."""

    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)

    def Arguments(self, work):
        """Write the request and the bodies to files, and return the arguments for them."""
        files = {"%s.request" % work.name: work.request}
        files.update(("%s.%d" % (work.name, n), body) for n, body in enumerate(work.answers))
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        return [work.mode + (",squash" if work.squash else ""), *(str(self.folder / name) for name in files)]

    def Run(self, port, work, connections, seconds, clock):
        """Return the client's figures, and the server's CPU time by clock()."""
        command = [str(self.program), str(port), str(connections), str(seconds), *self.Arguments(work)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            watchdog = threading.Timer(CLIENT_SEC, process.kill)
            watchdog.start()
            try:
                if process.stdout.readline() != b"READY\n":
                    raise RuntimeError("the client did not start")
                before = clock()
                process.stdin.write(b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    raise RuntimeError("the client ended without figures")
                return {**json.loads(line), "cpuSec": clock() - before}
            finally:
                process.stdin.close()
                process.wait()
                watchdog.cancel()


# -- the rounds ------------------------------------------------------------------------------------------------------

class Bench:
    """All servers of a runtime, and the cells of the table that are complete."""

    def __init__(self, runtime, options, folder):
        self.runtime, self.options, self.folder = runtime, options, pathlib.Path(folder)
        self.client = Client(MakeClient(folder), folder)
        self.servers = []
        self.cells = []
        self.missing = {name: {} for name in options.works}
        self.plan = [(WORKS[name], connections) for name in options.works
                     for connections in ([WS_CONNECTIONS] if WORKS[name].isWebSocket else options.connections)]

    def Run(self):
        try:
            self.Start()
            self.began = time.monotonic()
            for work, connections in self.plan:
                self.Cell(work, connections)
                self.Progress(work, connections)
        finally:
            for server in self.servers:
                server.Stop()

    def Start(self):
        for name in self.options.peers:
            if self.runtime in PEERS[name].runtimes:
                try:
                    self.servers.append(Server(PEERS[name], self.runtime, self.options, self.folder))
                    self.servers[-1].Pause()
                except (OSError, RuntimeError) as error:
                    self.LeaveOut(name, "did not start (%s)" % LastLine(error), self.options.works)

    def LeaveOut(self, name, why, works):
        for work in works:
            self.missing[work].setdefault(name, why)
        print("%s: %s is left out: it %s" % (self.runtime, name, why), flush=True)

    def Rounds(self, connections):
        return self.options.rounds if connections in (32, WS_CONNECTIONS) else min(2, self.options.rounds)

    def Cell(self, work, connections):
        """Measure one work with one number of connections, for all servers in turn."""
        self.missing[work.name].update((s.peer.name, s.peer.Cannot(work)) for s in self.servers if s.peer.Cannot(work))
        servers = [server for server in list(self.servers) if self.IsAble(server, work, connections)]
        rows = {server.peer.name: [] for server in servers}
        for n in range(self.Rounds(connections)):
            for server in servers[n % len(servers):] + servers[:n % len(servers)]:
                row = rows[server.peer.name]
                late = sum(run["tookSec"] - self.options.seconds for run in row if run)
                row.append(self.Measure(server, work, connections, self.options.seconds) if late < LATE_SEC else None)
        cells = [Summary(work, connections, name, rows) for name in rows]
        self.cells += cells
        PrintCells(self.runtime, work, connections, cells, self.missing[work.name])

    def IsAble(self, server, work, connections):
        """Warm a server up. If it gives no correct response, it is left out of this work; if it has ended, of all."""
        name = server.peer.name
        if name in self.missing[work.name]:
            return False
        figures = self.Measure(server, work, connections, WARM_SEC)
        if server.process.poll() is not None:
            self.LeaveOut(name, "has ended (%s)" % LastLine(server.Log()), self.options.works)
            self.servers.remove(server)
            server.Stop()
        elif not figures["requests"]:
            kinds = ", ".join("%s %d" % item for item in figures["kinds"].items() if item[1])
            self.LeaveOut(name, "gives no correct response to %s with %d connections (%s)" % (
                work.title, connections, kinds or "no response"), [work.name])
        return name not in self.missing[work.name]

    def Progress(self, work, connections):
        """Print the share of this runtime that is done, and the time that is left at the pace so far."""
        def Weight(cell):
            return self.Rounds(cell[1]) + 0.5

        at = self.plan.index((work, connections)) + 1
        share = sum(map(Weight, self.plan[:at])) / sum(map(Weight, self.plan))
        took = time.monotonic() - self.began
        print("\n%s: %d %% done in %d s, about %d s left" % (self.runtime, share * 100, took, took / share - took),
              flush=True)

    def Measure(self, server, work, connections, seconds):
        asked = work
        if server.peer.name.startswith(FLOOR) and work.name != "close" and not work.isWebSocket:
            asked = WORKS["hello"]      # the floor always sends the same response
        begin, ticks = time.monotonic(), server.Ticks()
        server.Resume()
        try:
            figures = self.client.Run(server.port, asked, connections, seconds, server.Cpu)
        finally:
            server.Pause()
        figures["tookSec"] = time.monotonic() - begin
        figures["ticks"] = [after - before for after, before in zip(server.Ticks(), ticks)]
        figures["cpuUs"] = figures["cpuSec"] / figures["requests"] * 1e6 if figures["requests"] else None
        return figures


def KernelShare(runs):
    """Return the kernel's share of the time of all rounds. It is counted in whole ticks of the clock."""
    user, kernel = (sum(run["ticks"][at] for run in runs) for at in (0, 1))
    return kernel / (user + kernel) if user + kernel else None


def LastLine(text):
    lines = str(text).strip().splitlines()
    return lines[-1][:160] if lines else "no output"


def Median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def Ratio(rows, name, to):
    """Return the median of the ratios within each round."""
    pairs = [(a["cpuUs"], b["cpuUs"]) for a, b in zip(rows[name], rows.get(to, ())) if a and b]
    return Median(a / b if a and b else None for a, b in pairs)


def Summary(work, connections, name, rows):
    runs = [run for run in rows[name] if run]
    return {
        "work": work.name, "connections": connections, "server": name,
        "cpuUs": Median(run["cpuUs"] for run in runs), "floor": Ratio(rows, name, FLOOR),
        "ours": Ratio(rows, name, OURS), "before": Ratio(rows, name, BEFORE), "kernel": KernelShare(runs),
        "perSec": Median(run["requests"] / run["seconds"] for run in runs),
        "p50Ms": Median(run["p50Us"] / 1e3 for run in runs), "p99Ms": Median(run["p99Us"] / 1e3 for run in runs),
        "maxMs": max(run["maxUs"] for run in runs) / 1e3, "requests": sum(run["requests"] for run in runs),
        "errors": sum(run["errors"] for run in runs), "stuck": sum(run["stuck"] for run in runs),
        "reconnects": sum(run["reconnects"] for run in runs),
        "kinds": {kind: sum(run["kinds"][kind] for run in runs) for kind in runs[0]["kinds"]},
        "rounds": [run["cpuUs"] if run else None for run in rows[name]],
    }


# -- the output ------------------------------------------------------------------------------------------------------

def Number(value, digits=1):
    return "-" if value is None else "%.*f" % (digits, value)


def PrintCells(runtime, work, connections, cells, missing):
    print("\n%s, %s, %d connection%s" % (runtime, work.title, connections, "s"[:connections > 1]))
    print("  %-15s %9s %9s %8s %8s %9s %9s %9s %7s %6s  %s" % (
        "", "CPU us", "kernel %", "x floor", "x ours", "per s", "p50 ms", "p99 ms", "errors", "stuck", ""))
    for cell in sorted(cells, key=lambda cell: cell["cpuUs"] or float("inf")):
        note = "closes" if cell["reconnects"] > cell["requests"] // 2 else ""
        print("  %-15s %9s %9s %8s %8s %9s %9s %9s %7d %6d  %s" % (
            cell["server"], Number(cell["cpuUs"]), Number(cell["kernel"] and cell["kernel"] * 100, 0),
            Number(cell["floor"], 2), Number(cell["ours"], 2), Number(cell["perSec"], 0), Number(cell["p50Ms"], 2),
            Number(cell["p99Ms"], 2), cell["errors"], cell["stuck"], note))
    for name, why in missing.items():
        print("  %-15s %s" % (name, why))
    sys.stdout.flush()


def RuntimeVersion(runtime, options):
    code = "import sys; print(sys.version)"
    command = options.python if runtime == "cpython" else options.micropython
    return subprocess.check_output([command, "-c", code], text=True).strip()


def Versions(runtime, peers):
    """Return {package: version} of all servers in this run."""
    path = [str(SitePackages())] if VENV.exists() else None
    found = {name: re.search(r'__version__ = "(.*?)"', (PEERS[name].source() / "microWebSrv.py").read_text())[1]
             for name in (OURS, BEFORE) if name in peers or name == OURS}
    for name in peers:
        for package in PEERS[name].packages if runtime in PEERS[name].runtimes else ():
            if package == "utemplate":
                found[package] = UTEMPLATE.split("==")[1]
                continue
            alone = [str(VENV / PEERS[name].alone)] if PEERS[name].alone else []
            where = {"path": alone or path} if path else {}
            known = next(iter(importlib.metadata.distributions(name=package, **where)), None)
            found[package] = known.version if known else "?"
    return found


def Machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"cpu": model[1] if model else platform.machine(), "cores": os.cpu_count(),
            "system": "%s %s" % (platform.system(), ".".join(platform.release().split(".")[:2]))}


def FreePath(folder, name):
    """Return the path NAME.json, or NAME-2.json and so on if that file exists."""
    number = 1
    while True:
        path = folder / ("%s%s.json" % (name, "-%d" % number if number > 1 else ""))
        if not path.exists():
            return path
        number += 1


def Save(bench, options, began):
    date = datetime.date.today().isoformat()
    options.results.mkdir(parents=True, exist_ok=True)
    path = FreePath(options.results, "%s-%s" % (date, bench.runtime))
    figures = {
        "date": date, "began": began.isoformat(" ", "seconds"), "runtime": bench.runtime,
        "version": RuntimeVersion(bench.runtime, options), "machine": Machine(),
        "versions": Versions(bench.runtime, options.peers),
        "tookSec": round((datetime.datetime.now() - began).total_seconds()),
        "options": {"seconds": options.seconds, "rounds": options.rounds, "connections": options.connections},
        "missing": bench.missing,
    }
    cells = ",\n  ".join(json.dumps(Rounded(cell)) for cell in bench.cells)
    text = json.dumps(figures, indent=1)
    path.write_text('%s,\n "cells": [\n  %s\n ]\n}\n' % (text[:-2], cells))
    print("\n%s" % os.path.relpath(path))


def Rounded(value):
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: Rounded(item) for key, item in value.items()}
    return [Rounded(item) for item in value] if isinstance(value, list) else value


def Names(known):
    def Read(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError("no %s; there are: %s" % (name, ", ".join(known)))
        return names
    return Read


def Options(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", type=Names(RUNTIMES), default=list(RUNTIMES))
    parser.add_argument("--peers", type=Names(PEERS), default=list(PEERS))
    parser.add_argument("--works", type=Names(WORKS), default=list(WORKS))
    parser.add_argument("--connections", type=lambda text: [int(n) for n in text.split(",")], default=None)
    parser.add_argument("--seconds", type=float, help="length of each measurement")
    parser.add_argument("--rounds", type=int, help="with 32 connections and for WebSockets; at most 2 elsewhere")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--python", type=os.path.abspath, help="instead of .venv-bench's")
    parser.add_argument("--micropython", type=os.path.abspath, help="instead of .venv-bench's")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(arguments)
    options.seconds = options.seconds or (0.3 if options.full else 0.2)
    options.rounds = options.rounds or (7 if options.full else 3)
    options.connections = options.connections or ([1, 32, 200] if options.full else [32])
    return options


def Main(arguments=None):
    options = Options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))     # `finally` then stops the servers
    if not options.python and any(PEERS[name].packages for name in options.peers):
        MakeVenv()
    options.python = options.python or FindPython()
    for runtime in options.runtime:
        if runtime == "micropython":
            options.micropython = options.micropython or FindMicroPython()
        begin = datetime.datetime.now()
        with tempfile.TemporaryDirectory() as folder:
            MakeFolder(pathlib.Path(folder))
            bench = Bench(runtime, options, folder)
            bench.Run()
        Save(bench, options, begin)


if __name__ == "__main__":
    Main()
