"""The basis of the end-to-end tests: programs run as separate processes on each runtime, raw sockets, strict HTTP.

A program under test gets its port from `ready.Port()` (a port that was free), which also prints `READY <port>` when the
program accepts connections. All waits are for such events, with a deadline; there are no sleeps. When a test fails, the
output of its programs is shown.
"""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import h11
import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
# Imported by MicroPython: the sources, or the build in DEVICE_SRC if that is in the environment.
DEVICE_SRC = Path(os.environ.get("DEVICE_SRC", SRC)).resolve()
CORE = ROOT / "core"
ON_DEVICE = ROOT / "tests" / "ondevice"
# "asgi-…": CPython behind an ASGI server, for the tests named in asgi_cases.py. With ASGI=uvicorn, h11, granian or hypercorn in
# the environment, all tests run behind that server, and nowhere else.
ASGI = os.environ.get("ASGI")
ASGI_RUNTIME = "asgi-" + (ASGI or "uvicorn")
RUNTIMES = (ASGI_RUNTIME,) if ASGI else ("cpython", "cpython-asyncio", "micropython", ASGI_RUNTIME)
# Folders with a sitecustomize.py that changes CPython before the program starts: the poll loop runs under asyncio; or epoll and
# poll are missing, as on Windows.
CHANGED = {"cpython-asyncio": ROOT / "tests" / "changed" / "asyncio", "cpython-select": ROOT / "tests" / "changed" / "select",
           ASGI_RUNTIME: ROOT / "tests" / "changed" / "asgi"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

# Generous, so that a slow machine does not fail a correct server. Only failures take this long.
DEADLINE_SEC = 15

_BLOCK = re.compile(r"Traceback \(most recent call last\):.*?^(?![ \t]|Traceback)(?P<error>[^\n]+)", re.M | re.S)
_TROUBLE = re.compile(r"ResourceWarning|RuntimeWarning|never (?:retrieved|awaited)|wasn't retrieved"
                      r"|was destroyed but it is pending|Exception (?:ignored )?in |FATAL|Segmentation")


def FindTool(name):
    """The program installed beside this Python, else the one in PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, "no %s beside %s nor on the path: run tools/test.py" % (name, sys.executable)
    return found


def FindMicroPython():
    return FindTool("micropython")


def FindBrowser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, "no Chromium on the path: apt-get install chromium"
    return found


def CopySources(target):
    """Copy only the modules of src into a folder, as users do."""
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(SRC.glob("*.py")):
        shutil.copy(path, target)
    return target


def CopyRooms(target):
    """Like CopySources, with the core as a folder of rooms: a package named microWebSrv, as a board compiles it."""
    target = CopySources(target)
    (target / "microWebSrv.py").unlink()
    shutil.copytree(CORE, target / "microWebSrv", ignore=lambda folder, names: [x for x in names if x[-3:] != ".py"])
    return target


def SourcesOf(runtime):
    """The folder from which a program on this runtime imports the server."""
    return DEVICE_SRC if runtime.startswith("micropython") else SRC


def DropsTexts(runtime):
    """True for the board build, whose errors have a status but no explanation."""
    return SourcesOf(runtime) != SRC


def Command(runtime, program, modulePath, options=(), args=()):
    """-> (arguments, environment) to run a program on a runtime, with modulePath first in its module path."""
    if runtime == "cpython-asyncio" and not (SRC / "microWebAsync.py").exists():
        pytest.skip("there is no microWebAsync.py yet")
    keep = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    if runtime == ASGI_RUNTIME:
        env["ASGI_SERVER"] = runtime[5:]
    if runtime in CHANGED:
        modulePath = (CHANGED[runtime], *modulePath)
    folders = os.pathsep.join(str(folder) for folder in modulePath)
    if runtime.startswith("micropython"):
        env["MICROPYPATH"] = folders + ":.frozen"
        head = [FindMicroPython()]
    else:
        env.update(PYTHONPATH=folders, PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1", PYTHONUTF8="1")
        head = [sys.executable, "-W", "always::ResourceWarning"]
    return [*head, *options, str(program), *map(str, args)], env


def LoadTool(name):
    """The module of a file in tools/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / (name + ".py"))
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def RunProgram(runtime, program, workDir, modulePath=(SRC,), options=(), args=(), stdin="", timeoutSec=DEADLINE_SEC):
    """Run a program (text or Path) to its end -> its stdout. Fails with its output if the exit code is not 0."""
    path = WriteProgram(program, workDir)
    command, env = Command(runtime, path, modulePath, options, args)
    done = subprocess.run(command, env=env, cwd=workDir, input=stdin, capture_output=True, text=True,
                          encoding="utf-8", timeout=timeoutSec)
    assert done.returncode == 0, "%s: exit %s\n%s\n%s" % (runtime, done.returncode, done.stdout, done.stderr)
    return done.stdout


def FreePorts(count=4):
    """Ports that are free now. (MicroPython's sockets can't tell the port chosen for 0.) Processes of pytest-xdist get different
    ones.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    holders, ports = [], []
    while len(ports) < count:
        holders.append(socket.create_server(("127.0.0.1", 0)))
        port = holders[-1].getsockname()[1]
        if port // 2 % workers == worker:           # port // 2, because some systems give only odd or only even ports
            ports.append(port)
    for holder in holders:
        holder.close()
    return ports


def WriteProgram(program, workDir):
    """A program given as text is written to main.py in workDir; a Path is used as it is."""
    if isinstance(program, Path):
        return program
    path = Path(workDir) / "main.py"
    path.write_text(program, encoding="utf-8")
    return path


class Output:
    """The lines of one pipe, collected by a thread; Wait blocks until a line matches or the pipe ends."""

    def __init__(self, pipe):
        self.text = ""
        self._ended = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._Collect, args=(pipe,), daemon=True)
        self._thread.start()

    def _Collect(self, pipe):
        with pipe:
            for line in pipe:
                with self._news:
                    self.text += line
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def Wait(self, pattern, start, timeoutSec):
        deadline = time.monotonic() + timeoutSec
        with self._news:
            while True:
                found = re.compile(pattern, re.M).search(self.text, start)
                left = deadline - time.monotonic()
                if found or self._ended or left <= 0:
                    return found
                self._news.wait(left)

    def Join(self, timeoutSec):
        self._thread.join(timeoutSec)


class Server:
    """A program that serves, as a process on one runtime. `with Server(...) as server:` ends it and judges its output."""

    def __init__(self, runtime, program, workDir, modulePath=(SRC,), options=(), args=()):
        self.runtime = runtime
        self._expected = []
        path = WriteProgram(program, workDir)
        for isLast in (False, False, True):
            ports = ",".join(map(str, FreePorts()))
            self._Launch(*Command(runtime, path, (*modulePath, ON_DEVICE), options, (ports, *args)), workDir)
            try:
                self.WaitReady()
                break
            except AssertionError:
                # Another process took the port between FreePorts() and listen().
                if isLast or not re.search("EADDRINUSE|Address already in use", self.stderr):
                    raise

    def _Launch(self, command, env, workDir):
        self.port = None
        self._mark = 0
        self._isOver = False
        self.process = subprocess.Popen(command, env=env, cwd=workDir, text=True, encoding="utf-8", errors="replace",
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._out = Output(self.process.stdout)
        self._err = Output(self.process.stderr)

    def __enter__(self):
        return self

    def __exit__(self, excType, exc, traceback):
        self.Kill() if excType else self.Close()
        print(self.Report())

    @property
    def pid(self):
        return self.process.pid

    @property
    def stdout(self):
        return self._out.text

    @property
    def stderr(self):
        return self._err.text

    def Url(self, path="/"):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def WaitReady(self, timeoutSec=DEADLINE_SEC):
        """Wait for `READY <port>`; also for the next one, after a restart within the program."""
        try:
            self.port = int(self.WaitLine(r"^READY (\d+)$", timeoutSec).group(1))
        except AssertionError:
            self.Kill()
            raise

    def WaitLine(self, pattern, timeoutSec=DEADLINE_SEC):
        """Wait for the next line of stdout that matches the pattern, after the last one found. -> the match"""
        found = self._out.Wait(pattern, self._mark, timeoutSec)
        assert found, "no line %r within %s s\n%s" % (pattern, timeoutSec, self.Report())
        self._mark = found.end()
        return found

    def HasLine(self, pattern, timeoutSec):
        """True if such a line of stdout is there or comes within this time."""
        return bool(self._out.Wait(pattern, self._mark, timeoutSec))

    def Seen(self, pattern):
        """Wait until stdout has a match, also in lines that WaitLine has passed."""
        self._mark = 0
        return self.WaitLine(pattern)

    def SeenError(self, pattern, timeoutSec=DEADLINE_SEC):
        """Wait until stderr has a match."""
        assert self._err.Wait(pattern, 0, timeoutSec), "no %r on stderr within %s s\n%s" % (pattern, timeoutSec, self.Report())

    def Tell(self, line):
        """Write a line to the program's stdin."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ExpectError(self, pattern):
        """A matching traceback or warning is expected, and must be there at the end."""
        self._expected.append(re.compile(pattern, re.S))

    def Finish(self, timeoutSec=DEADLINE_SEC):
        """Close the program's stdin, which asks it to stop; it must exit with code 0. Then judge it."""
        self.process.stdin.close()
        self.WaitExit(timeoutSec)

    def WaitExit(self, timeoutSec=DEADLINE_SEC):
        """Wait for the program to exit by itself with code 0. Then judge it."""
        try:
            code = self.process.wait(timeoutSec)
        except subprocess.TimeoutExpired:
            self.Kill()
            raise AssertionError("the program did not end within %s s\n%s" % (timeoutSec, self.Report())) from None
        self._Drain()
        assert code == 0, "the program ended with code %s\n%s" % (code, self.Report())
        self.Judge()

    def Close(self):
        """End the process, which must still run unless its end was awaited, and judge its output."""
        if not self._isOver:
            code = self.process.poll()
            self.Kill()
            assert code is None, "the server died with code %s\n%s" % (code, self.Report())
            self.Judge()

    def Kill(self):
        if not self._isOver:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE_SEC)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self._Drain()

    def Judge(self):
        """Fail for a traceback or warning that was not expected, or an expected one that is missing."""
        troubles = list(Troubles(self.stdout)) + list(Troubles(self.stderr))
        unexpected = [text for text in troubles if not any(rule.search(text) for rule in self._expected)]
        assert not unexpected, "unexpected on the console:\n%s\n%s" % ("\n".join(unexpected), self.Report())
        for rule in self._expected:
            assert any(rule.search(text) for text in troubles), \
                "expected on the console, but absent: %s\n%s" % (rule.pattern, self.Report())

    def Report(self):
        return "-- %s, pid %s, code %s\n-- stdout\n%s-- stderr\n%s--" % (
            self.runtime, self.pid, self.process.poll(), self.stdout, self.stderr)

    def _Drain(self):
        self._isOver = True
        self._out.Join(DEADLINE_SEC)
        self._err.Join(DEADLINE_SEC)
        if not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass


def Troubles(text):
    """Yield each traceback, with the line before it, and each warning line in a program's output."""
    rest, at = [], 0
    for block in _BLOCK.finditer(text):
        start = text.rfind("\n", 0, max(block.start() - 1, 0)) + 1
        rest.append(text[at:start])
        yield text[start:block.end()]
        at = block.end()
    rest.append(text[at:])
    for line in "\n".join(rest).split("\n"):
        if _TROUBLE.search(line) or line.startswith("Traceback"):
            yield line


@dataclass
class Response:
    """One response as h11 parses it: lower-case header names, body without framing."""

    status: int
    reason: str
    headers: list
    version: str
    body: bytes = b""
    interim: list = field(default_factory=list)

    def Header(self, name):
        """The value of a field that may occur once, else None."""
        values = self.Headers(name)
        assert len(values) <= 1, "%s stands %d times: %r" % (name, len(values), values)
        return values[0] if values else None

    def Headers(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def mediaType(self):
        """The Content-Type without its parameters."""
        return (self.Header("content-type") or "").partition(";")[0]

    @property
    def isClosing(self):
        tokens = ",".join(self.Headers("connection")).lower().split(",")
        return "close" in [token.strip() for token in tokens]

    def Json(self):
        return json.loads(self.body)


def CheckHead(head):
    """Check what h11 accepts in a head, but a server must not send (RFC 9112 sections 2.2, 4, 5, 6.2)."""
    assert head.endswith(b"\r\n\r\n"), "no empty line after %r" % head
    lines = head[:-4].split(b"\r\n")
    assert re.fullmatch(rb"HTTP/1\.1 [1-5]\d\d [\t -~\x80-\xff]*", lines[0]), "status line %r" % lines[0]
    names = []
    for line in lines[1:]:
        found = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)", line)
        assert found, "header line %r" % line
        names.append(found.group(1).lower())
    for name in (b"content-length", b"transfer-encoding", b"content-type", b"date", b"etag", b"location"):
        assert names.count(name) <= 1, "%r stands twice in %r" % (name, head)
    assert not (b"content-length" in names and b"transfer-encoding" in names), "two framings in %r" % head
    if lines[0][9:10] == b"1" or lines[0][9:12] == b"204":
        assert b"content-length" not in names and b"transfer-encoding" not in names, "framing in %r" % head


class ResponseReader:
    """Strictly read one response at a time. more() -> further bytes, b"" at the end of the stream."""

    def __init__(self, more, rest=b""):
        self._more = more
        self.rest = rest

    def Read(self, method="GET", upgrade=None, onData=None):
        """-> Response. upgrade: the protocol that the request asked for; onData is called with each piece of the body."""
        peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        headers = [("Host", "localhost")]
        if upgrade:
            headers += [("Upgrade", upgrade), ("Connection", "Upgrade")]
        peer.send(h11.Request(method=method, target="/", headers=headers))
        peer.send(h11.EndOfMessage())
        peer.receive_data(self.rest) if self.rest else None
        response, interim, body = None, [], []
        while True:
            before = peer.trailing_data[0]
            event = peer.next_event()
            if event is h11.NEED_DATA:
                peer.receive_data(self._more())
            elif isinstance(event, (h11.InformationalResponse, h11.Response)):
                CheckHead(before[:len(before) - len(peer.trailing_data[0])])
                response = _FromEvent(event)
                if event.status_code == 101:
                    break
                if isinstance(event, h11.InformationalResponse):
                    interim.append(response)
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
                onData(body[-1]) if onData else None
            else:
                assert isinstance(event, h11.EndOfMessage), "no complete response: %r" % event
                break
        self.rest = peer.trailing_data[0]
        response.body, response.interim = b"".join(body), interim
        return response


def _FromEvent(event):
    headers = [(name.decode("ascii").lower(), value.decode("latin-1")) for name, value in event.headers]
    return Response(event.status_code, event.reason.decode("latin-1"), headers, event.http_version.decode("ascii"))


def ParseResponses(data, methods=("GET",)):
    """Parse all bytes of a server as responses to requests with these methods. No bytes may be left over."""
    pieces = iter((data, b"", b""))
    reader = ResponseReader(lambda: next(pieces))
    responses = [reader.Read(method) for method in methods]
    assert not reader.rest and next(pieces) == b"", "bytes behind the last response: %r" % (reader.rest or data)
    return responses


class RawClient:
    """A client on a socket: sends any bytes, reads strictly, and each wait has a deadline."""

    def __init__(self, port, timeoutSec=DEADLINE_SEC, receiveBuffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receiveBuffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receiveBuffer)
        self.socket.settimeout(timeoutSec)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = ResponseReader(self.Receive)

    def __enter__(self):
        return self

    def __exit__(self, excType, exc, traceback):
        self.Close()

    def Send(self, data):
        self.socket.sendall(data)

    def SendEnd(self):
        """Close the sending side: the server reads the end of the stream."""
        self.socket.shutdown(socket.SHUT_WR)

    def Receive(self, size=65536):
        """-> the next received bytes; b"" if the server closed or reset the connection."""
        try:
            return self.socket.recv(size)
        except ConnectionError:
            return b""

    def ReadResponse(self, method="GET", upgrade=None, onData=None):
        return self._reader.Read(method, upgrade, onData)

    def ReadExactly(self, size):
        while len(self._reader.rest) < size:
            self._Fill("%d bytes" % size)
        data, self._reader.rest = self._reader.rest[:size], self._reader.rest[size:]
        return data

    def ReadUntil(self, marker):
        """-> the bytes up to and including the marker."""
        while marker not in self._reader.rest:
            self._Fill(repr(marker))
        return self.ReadExactly(self._reader.rest.index(marker) + len(marker))

    def ReadToEnd(self):
        """-> all bytes until the server closes."""
        pieces, self._reader.rest = [self._reader.rest], b""
        while True:
            piece = self.Receive()
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    def ExpectClose(self):
        """Check that the server closes the connection without sending more."""
        data = self.ReadToEnd()
        assert data == b"", "bytes instead of the end: %r" % data[:300]

    def Close(self, reset=False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def _Fill(self, wanted):
        piece = self.Receive()
        assert piece, "the end of the stream instead of %s; had %r" % (wanted, self._reader.rest[-300:])
        self._reader.rest += piece


def RawExchange(port, data, quietSec=None, timeoutSec=DEADLINE_SEC):
    """Send bytes -> everything received until the server closes, or until it is quiet for quietSec."""
    pieces = []
    with RawClient(port, timeoutSec) as client:
        client.Send(data)
        deadline = time.monotonic() + timeoutSec
        client.socket.settimeout(quietSec or timeoutSec)
        while True:
            try:
                piece = client.Receive()
            except socket.timeout:
                assert quietSec, "the server neither closed nor fell silent; got %r" % b"".join(pieces)
                piece = b""
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            assert time.monotonic() < deadline, "the server goes on sending for %s s" % timeoutSec


def RequestBytes(method, target, headers=(), body=b"", host="localhost"):
    """The bytes of a valid request. With a body it has Content-Length."""
    lines = ["%s %s HTTP/1.1" % (method, target), "Host: %s" % host]
    pairs = headers.items() if isinstance(headers, dict) else headers
    lines += ["%s: %s" % pair for pair in pairs]
    if body:
        lines.append("Content-Length: %d" % len(body))
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body


def Fetch(port, target, method="GET", headers=(), body=b""):
    """Send one request on a new connection, which the server must close as requested. -> Response"""
    with RawClient(port) as client:
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        client.Send(RequestBytes(method, target, pairs + [("Connection", "close")], body))
        response = client.ReadResponse(method)
        client.ExpectClose()
        return response
