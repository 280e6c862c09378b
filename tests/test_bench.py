"""The benchmark's client detects wrong responses, and a small run produces figures and a table on both runtimes."""

import json
import os
import re
import runpy
import shutil
import socket
import socketserver
import subprocess
import sys
import threading

import pytest

import harness

BENCH = harness.ROOT / "bench"
SECONDS = "0.1"
HELLO_INSTRUCTIONS = 114_000        # on MicroPython; version 1 needed 162,000
REQUEST = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BODY = b"Hello, World!"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + BODY
UPGRADED = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


class Says:
    """A server that always sends the same bytes; the first response on a connection can differ."""

    def __init__(self, answer, closes=False, first=None):
        self.answer, self.closes, self.first = answer, closes, first
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets, self.threads = [], []
        self.Thread(self.Accept)

    def Thread(self, target, *args):
        self.threads.append(threading.Thread(target=target, args=args))
        self.threads[-1].start()

    def Accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:             # the test has ended
                return
            self.sockets.append(sock)
            self.Thread(self.Answer, sock)

    def Answer(self, sock):
        answers = [self.first] if self.first else []
        try:
            while sock.recv(65536):
                sock.sendall(answers.pop() if answers else self.answer)
                if self.closes:
                    break
        except OSError:
            pass                        # the client left
        sock.close()

    def Close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.threads[0].join()
        for sock in self.sockets:
            if sock.fileno() >= 0:
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        self.listener.close()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A function that runs the client against a server, and returns its figures."""
    folder = tmp_path_factory.mktemp("client")
    program = folder / "client"
    warnings = ("-Wall", "-Wextra", "-Werror")
    subprocess.run([harness.FindTool("gcc"), "-O1", *warnings, "-o", program, BENCH / "client.c"], check=True)

    def Run(port, mode="keep", request=REQUEST, bodies=(BODY,), connections=2):
        (folder / "request").write_bytes(request)
        files = []
        for n, body in enumerate(bodies):
            files.append(folder / str(n))
            files[-1].write_bytes(body)
        command = [program, port, connections, SECONDS, mode, folder / "request", *files]
        said = subprocess.run([str(part) for part in command], input="\n", capture_output=True, text=True,
                              timeout=harness.DEADLINE_SEC * 2)
        assert said.returncode == 0, said
        ready, figures = said.stdout.splitlines()
        assert ready == "READY"
        return json.loads(figures)
    return Run


@pytest.fixture
def says():
    servers = []

    def Make(*args, **kwargs):
        servers.append(Says(*args, **kwargs))
        return servers[-1].port

    yield Make
    for server in servers:
        server.Close()


@pytest.mark.parametrize("answer, closes", [
    (GOOD, False),
    (b"HTTP/1.1 200 OK\r\ncontent-length:13\r\nConnection: close\r\n\r\n" + BODY, True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n8\r\n, World!\r\n0\r\n\r\n", False),
    (b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + BODY, True),
])
def test_good_answers(client, says, answer, closes):
    figures = client(says(answer, closes))
    assert figures["errors"] == 0 and figures["requests"] > 0, figures
    assert (figures["reconnects"] > 0) == closes
    assert figures["p50Us"] <= figures["p99Us"] <= figures["maxUs"]


@pytest.mark.parametrize("answer, closes, kind", [
    (GOOD.replace(b"200 OK", b"404 Not Found"), False, "status"),
    (b"HTTP/2 200 OK\r\nContent-Length: 13\r\n\r\n" + BODY, False, "status"),
    (GOOD.replace(b"World", b"Wold!"), False, "body"),
    (GOOD.replace(b"13", b"12"), False, "body"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello", False, "body"),
    (GOOD + GOOD, False, "body"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n", False, "body"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nD\r\n" + BODY + b"??0\r\n\r\n", False, "body"),
    (GOOD[:-1], True, "closed"),
    (b"HTTP/1.0 200 OK\r\n\r\n" + BODY[:-1], True, "body"),
])
def test_wrong_answers(client, says, answer, closes, kind):
    figures = client(says(answer, closes))
    assert figures["requests"] == 0 and figures["kinds"][kind] > 0, figures
    assert figures["errors"] == sum(figures["kinds"].values()) == figures["kinds"][kind], figures


def test_an_answer_that_never_comes(client, says):
    """The client waits five seconds for a response before it measures, and again afterwards. It reports the missing one."""
    figures = client(says(GOOD[:-1], first=GOOD), connections=1)
    assert figures["requests"] == 0 and figures["stuck"] >= 1 and figures["kinds"]["timeout"] >= 1, figures


def test_answers_may_differ_where_that_is_said(client, says):
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"b": 2, "a":  1}'
    bodies = (b'{"a":1,"b":2}', b'{"b":2,"a":1}')
    assert client(says(answer), "keep,squash", bodies=bodies)["errors"] == 0
    assert client(says(answer), "keep", bodies=bodies)["kinds"]["body"] > 0
    assert client(says(answer), "keep,squash", bodies=bodies[:1])["kinds"]["body"] > 0


@pytest.mark.parametrize("frame, errors", [
    (b"\x81\x05Hello", None),
    (b"\x82\x05Hello", "body"),
    (b"\x81\x05Hallo", "body"),
    (b"\x81\x06Hello!", "body"),
])
def test_echoes(client, says, frame, errors):
    figures = client(says(frame, first=UPGRADED), "websocket", b"Hello", ())
    assert (figures["requests"] > 0) == (errors is None), figures
    assert errors is None and not figures["errors"] or figures["kinds"][errors] > 0, figures


def test_no_upgrade(client, says):
    wrong = UPGRADED.replace(b"s3p", b"S3p")
    assert client(says(b"\x81\x05Hello", first=wrong), "websocket", b"Hello", ())["kinds"]["body"] > 0
    assert client(says(GOOD), "websocket", b"Hello", ())["kinds"]["status"] > 0


def test_a_run_on_both_runtimes(tmp_path):
    """A run with our server and the minimal servers, and each kind of request, gives figures, a table, and no wrong response."""
    works = ("hello", "close", "args", "json", "form", "115kb", "template", "ws4k")
    command = [sys.executable, BENCH / "run.py", "--peers", "floor,floor-poll,microwebsrv", "--works", ",".join(works),
               "--connections", "2", "--rounds", "1", "--seconds", "0.05", "--python", sys.executable,
               "--micropython", harness.FindMicroPython(), "--results", tmp_path]
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=harness.DEADLINE_SEC * 3)
    assert said.returncode == 0, said.stdout + said.stderr
    stuck = 0
    for runtime in ("micropython", "cpython"):
        assert "%s, hello, 2 connections" % runtime in said.stdout
        figures = json.loads(next(tmp_path.glob("*-%s.json" % runtime)).read_text())
        cells = {(cell["work"], cell["server"]): cell for cell in figures["cells"]}
        assert sorted(work for work, server in cells if server == "microwebsrv") == sorted(works)
        for (work, server), cell in cells.items():
            assert cell["errors"] == 0 and cell["requests"] > 0, cell
            stuck += cell["stuck"]              # a slow machine may take more than a second; then the table shows that
            assert cell["cpuUs"] > 0 and (cell["floor"] is None) == work.startswith("ws"), cell
            assert cell["before"] is None           # version 1 was not measured
            assert cell["kernel"] is None or 0 <= cell["kernel"] <= 1, cell
            assert server != "floor" or cell["floor"] == 1, cell
    small, aimed = Report(tmp_path)
    assert len(re.findall(r"^\| [^|]+ \| \*\*[\d.]+\*\* \| [\d.]* \|$", small, re.M)) == 2 * len(works)
    assert "| hello | ≤ 2.5 x the asyncio floor | " in aimed and "| hello | ≤ 1 x socketify |  | not measured |" in aimed
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "## MicroPython" in text and "## CPython" in text
    for title in ("hello, closing", "route with two args", "template page", "WebSocket, 4 KB"):
        assert "| %s | " % title in text
    assert (text.count("No errors, and nobody waited longer than a second.") == 2) == (stuck == 0)


def Report(folder, *files):
    """Run bench/report.py on the figures in a folder. Return the texts that it wrote between the marks of two pages."""
    pages = []
    for name, mark in (("readme", "measured"), ("performance", "goals")):
        pages.append(folder / (name + ".md"))
        pages[-1].write_text("before\n<!-- %s: python3 bench/report.py -->\nold\n<!-- end -->\nbehind\n" % mark,
                             encoding="utf-8")
    command = [sys.executable, BENCH / "report.py", "--no-plot", "--results", folder, "--readme", pages[0],
               "--performance", pages[1], *files]
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=harness.DEADLINE_SEC)
    assert said.returncode == 0, said.stderr
    texts = [page.read_text(encoding="utf-8") for page in pages]
    for text in texts:
        assert text.startswith("before\n<!--") and text.endswith("<!-- end -->\nbehind\n") and "old" not in text
    return texts


class Broken(socketserver.StreamRequestHandler):
    """A substitute for Falcon in the test below. It answers hello with a wrong text, and ends at a request with JSON."""

    def handle(self):
        while True:
            line = self.rfile.readline()
            if line.startswith(b"POST"):
                print("the end of it", flush=True)
                os._exit(3)
            if not line:
                return
            while self.rfile.readline().strip():
                pass
            self.wfile.write(GOOD.replace(b"World", b"Wurld"))

    @classmethod
    def Serve(cls):
        server = socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), cls)
        server.serve_forever()


@pytest.mark.parametrize("falcon, whyNoHello, whyNoJson", [
    ("raise SystemExit('no Falcon here')", "did not start (no Falcon here)", None),
    ("import sys\nsys.path[:0] = %r\nimport test_bench\ntest_bench.Broken.Serve()",
     r"gives no correct response to hello with 2 connections \(body \d+\)", "has ended (the end of it)"),
])
def test_a_peer_that_fails_is_left_out(tmp_path, falcon, whyNoHello, whyNoJson):
    """One line gives the reason, and the other peers are measured."""
    module = tmp_path / "modules" / "falcon"
    module.mkdir(parents=True)
    (module / "__init__.py").write_text(falcon % [str(harness.ROOT / "tests")] if "%r" in falcon else falcon)
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nPYTHONPATH="$PYTHONPATH:%s" exec %s "$@"\n' % (module.parent, sys.executable))
    python.chmod(0o755)
    command = [sys.executable, BENCH / "run.py", "--runtime", "cpython", "--peers", "falcon,microwebsrv", "--works",
               "hello,json", "--connections", "2", "--rounds", "1", "--seconds", "0.05", "--python", python, "--results",
               tmp_path]
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=harness.DEADLINE_SEC * 3)
    assert said.returncode == 0, said.stdout + said.stderr
    lines = re.findall(r"^cpython: falcon is left out: it (.*)$", said.stdout, re.M)
    assert len(lines) == (2 if whyNoJson else 1), said.stdout
    assert re.fullmatch(whyNoHello, lines[0]) or whyNoHello == lines[0], lines
    assert re.search(r"^cpython: 100 % done in \d+ s", said.stdout, re.M)
    figures = json.loads(next(tmp_path.glob("*-cpython.json")).read_text())
    assert [(cell["work"], cell["server"]) for cell in figures["cells"]] == [("hello", "microwebsrv"),
                                                                              ("json", "microwebsrv")]
    assert figures["missing"] == {"hello": {"falcon": lines[0]}, "json": {"falcon": whyNoJson or lines[0]}}


def Figures(path, began, times, stuck=0):
    """Write a file like those of bench/run.py. times: {(work, server): µs}."""
    def Cell(work, server, connections=32):
        ours = times[work, "microwebsrv"]
        return {"work": work, "connections": connections, "server": server, "cpuUs": times[work, server],
                "floor": times[work, server] / times.get((work, "floor"), 1), "ours": times[work, server] / ours,
                "before": None, "kernel": 0.5, "perSec": 1000, "p50Ms": 1, "p99Ms": 2, "maxMs": 3, "requests": 100, "errors": 0,
                "stuck": stuck if connections == 200 else 0, "reconnects": 0, "kinds": {"status": 0}, "rounds": []}

    cells = [*(Cell(*key) for key in times), Cell("hello", "microwebsrv", 200)]
    path.write_text(json.dumps({
        "date": began[:10], "began": began, "runtime": "cpython", "version": "3", "versions": {"microwebsrv": "2"},
        "machine": {"cpu": "none", "cores": 1, "system": "Linux"}, "missing": {}, "cells": cells,
        "options": {"seconds": 0.1, "rounds": 1, "connections": [32, 200]}}))


def test_goals_beside_what_was_measured(tmp_path):
    """Two runs of one day are joined, with ranges. A run of another day is left out."""
    def Times(ours, picows):
        return {("hello", "floor"): 5, ("hello", "microwebsrv"): ours, ("hello", "socketify"): 20,
                ("hello", "falcon"): 10, ("json", "microwebsrv"): 10, ("json", "falcon"): 10,
                ("ws64", "microwebsrv"): 10, ("ws64", "picows"): picows}

    Figures(tmp_path / "2026-01-02-cpython.json", "2026-01-02 10:00:00", Times(8, 10))
    Figures(tmp_path / "2026-01-02-cpython-2.json", "2026-01-02 11:00:00", Times(10, 5))
    Figures(tmp_path / "2026-01-01-cpython.json", "2026-01-01 10:00:00", Times(100, 100))
    small, aimed = Report(tmp_path)
    assert "| hello | **9.0** | 5.0 | 20.0 | 10.0 |  |" in small
    assert "2026-01-02, 2 runs of 1 round of 0.1 s: 2 of 24 goals are met, 19 are not measured." in aimed
    assert "| hello | ≤ 1 x socketify | 0.45 (0.40–0.50) | met |" in aimed
    assert "| hello | ≤ 0.7 x Falcon on Granian | 0.90 (0.80–1.00) | **missed** |" in aimed
    assert "| JSON | less than every peer | 1.00 x Falcon on Granian | **missed** |" in aimed
    assert "| WebSocket, 64 B | ≤ 1 x picows | 1.50 (1.00–2.00) | **missed** |" in aimed
    assert "| 200 connections | no error, nobody waits a second | 0 errors, 0 waited a second, the longest 3 ms | met |" \
        in aimed
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| hello | 9.0 | 1.80 (1.60–2.00) |" in page and "| **MicroWebSrv** | 50 | 50 | 50 |" in page
    Figures(tmp_path / "one.json", "2026-01-03 10:00:00", Times(8, 10), stuck=1)
    _, aimed = Report(tmp_path, tmp_path / "one.json")
    assert "| WebSocket, 64 B | ≤ 1 x picows | 1.00 | met |" in aimed
    assert "| 0 errors, 1 waited a second, the longest 3 ms | **missed** |" in aimed
    _, aimed = Report(tmp_path, tmp_path / "one.json", tmp_path / "2026-01-02-cpython-2.json")
    assert "2026-01-03, 2 runs of" in aimed         # files that are named may be of two days


def test_a_page_without_marks(tmp_path):
    """A page without marks is not changed."""
    Figures(tmp_path / "2026-01-02-cpython.json", "2026-01-02 10:00:00", {("hello", "microwebsrv"): 8})
    page = tmp_path / "page.md"
    page.write_text("no marks\n")
    command = [sys.executable, BENCH / "report.py", "--no-plot", "--results", tmp_path, "--readme", page]
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=harness.DEADLINE_SEC)
    assert said.returncode == 1 and "has no line <!-- measured: python3 bench/report.py -->" in said.stderr
    assert page.read_text() == "no marks\n"


@pytest.mark.timeout(300)
def test_a_short_look_at_growth(tmp_path):
    """Each study on both runtimes with its smallest sizes gives figures, and tables for the page."""
    page = tmp_path / "growth.md"
    page.write_text("before\n<!-- measured: python3 bench/growth.py -->\nold\n<!-- end -->\nbehind\n", encoding="utf-8")
    command = [sys.executable, BENCH / "growth.py", "--short", "--no-plot", "--micropython", harness.FindMicroPython(),
               "--results", tmp_path, "--page", page]
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=280)
    assert said.returncode == 0, said.stdout + said.stderr
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!--") and text.endswith("<!-- end -->\nbehind\n") and "old" not in text
    for runtime, title in (("cpython", "CPython"), ("micropython", "MicroPython")):
        assert "## %s\n" % title in text
        figures = json.loads((tmp_path / ("growth_%s.json" % runtime)).read_text(encoding="utf-8"))
        cells = {(cell["study"], cell["case"], cell["size"]): cell["value"] for cell in figures["cells"]}
        assert {study for study, _, _ in cells} == {"connections", "full", "routes", "fields", "file", "rows"}
        for (study, case, size), value in cells.items():
            assert value >= 0 and (value > 0 or "memory" in case or case == "registration"), (study, case, size)
        assert cells["file", "an answer", 1024] < cells["file", "each MB", 1024]
        assert cells["connections", "websocket, memory", 100] < 6000


@pytest.mark.parametrize("values, said", [
    ({10: 5.0, 100: 5.5, 1000: 7.0}, "flat"), ({10: 5.0, 100: 9.0, 1000: 9.9}, "flat at the end"),
    ({10: 5.0, 100: 14.0, 1000: 104.0}, "linear"), ({10: 5.0, 100: 20.0, 1000: 2000.0}, "**more than linear**"),
    ({10: 5.0, 100: 50.0}, "linear"), ({10: 0.0, 100: 50.0, 1000: 60.0}, ""),
])
def test_growth_is_judged(values, said):
    code = "import growth; print(growth.Verdict(%r))" % values
    assert subprocess.check_output([sys.executable, "-c", code], cwd=BENCH, text=True).rstrip("\n") == said


def test_version_1_is_a_peer():
    """The sources of version 1 come from git. A copy of the project without history does not have them."""
    peers = runpy.run_path(str(BENCH / "peers.py"))
    if subprocess.run(["git", "cat-file", "-e", peers["VERSION_1"]], cwd=harness.ROOT, capture_output=True).returncode:
        pytest.skip("the history is not here")
    folder = peers["PEERS"][peers["BEFORE"]].source()
    assert (folder / "microWebSrv.py").exists() and (folder / "microWebLoop.py").exists()
    assert '__version__ = "1.' in (folder / "microWebSrv.py").read_text(encoding="utf-8")
    assert folder != peers["PEERS"][peers["OURS"]].source() == harness.SRC


@pytest.mark.timeout(300)
def test_instructions_of_a_request():
    """Our server needs more than a server that parses nothing, and the table shows both."""
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind")
    command = [sys.executable, BENCH / "instructions.py", "--works", "hello", "--peers", "floor-poll,microwebsrv",
               "--warm", "100", "--requests", "300", "--top", "3", "--micropython", harness.FindMicroPython()]
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=280)
    assert said.returncode == 0 and not said.stderr, said.stdout + said.stderr
    floor, ours, _ = re.search(r"^hello {2,}(.*)$", said.stdout, re.M)[1].split()
    assert 1000 < int(floor.replace(",", "")) < int(ours.replace(",", "")) < HELLO_INSTRUCTIONS
    assert "mp_execute_bytecode" in said.stdout


def test_bytecodes_of_a_request():
    """The table shows how often each function is called, and how many bytecodes it executes itself."""
    command = [sys.executable, BENCH / "bytecodes.py", "--works", "hello,close,ws64", "--requests", "100",
               "--connections", "10"]
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=harness.DEADLINE_SEC * 3)
    assert said.returncode == 0 and not said.stderr, said.stdout + said.stderr
    totals = [int(count) for count in re.findall(r"^[\w ,]+: (\d+) bytecodes and", said.stdout, re.M)]
    assert len(totals) == 3 and 100 < totals[0] < totals[1] < 2000, said.stdout
    assert re.search(r"^ +[1-9][\d.]+ +[\d.]+ % +1\.00 calls  (Connection\.)?Answer, microWebSrv\.py$", said.stdout, re.M)
    assert re.search(r" 1\.00 calls  (MicroWebSocket\.)?SendText, microWebSocket\.py$", said.stdout, re.M), said.stdout
