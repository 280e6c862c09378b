"""How a server starts and ends: errors in one sentence, once; the port; signals; lack of memory."""

import signal
import socket
import sys

import pytest

import harness
from harness import Fetch, RawClient
from http_tools import Get

WRONG = """
import sys
from microWebSrv import MicroWebSrv

class Path:
    def __init__(self, text):
        self.text = text

    def __fspath__(self):
        return self.text

    def __str__(self):
        return self.text

def Try(*args, **options):
    try:
        mws = MicroWebSrv(*args, **options)
        print("ACCEPTED", mws.GetPort(), mws.source.root)
        return mws
    except Exception as error:
        print(type(error).__name__, error)

for port in (-1, 65536, 70000, "80", None, 80.5):
    Try(port=port)
for webPath in (None, 5, b"www", ["www"]):
    Try(webPath=webPath)
Try(bindIP=5)
Try(port=65535, bindIP=None, webPath=Path("/some/where"))
Try(port=0, webPath="/flash/www/")
for bindIP in ("192.0.2.1", "no such host", "1.2.3.4.5"):
    mws = Try(port=int(sys.argv[1]), bindIP=bindIP)
    try:
        mws.Start()
    except OSError as error:
        print("REFUSED", error)
    print(mws.IsStarted())
mws = MicroWebSrv(port=int(sys.argv[1]), bindIP="127.0.0.1")
try:
    mws.Start()
except OSError as error:
    print("REFUSED", error)
print(mws.IsStarted())
"""


def test_one_sentence_that_names_the_value(run):
    """When the server is made; or at Start, if only the system can tell."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        lines = run(WRONG, args=(port,)).splitlines()
    for value in ("-1", "65536", "70000", "'80'", "None", "80.5"):
        assert lines.pop(0) == "ValueError port must be an int from 0 to 65535, not " + value
    for value in ("None", "5", "b'www'", "['www']"):
        assert lines.pop(0) == "ValueError webPath must be str, not " + value
    assert lines.pop(0) == "ValueError bindIP must be str, not 5"
    assert lines.pop(0) == "ACCEPTED 65535 /some/where"
    assert lines.pop(0) == "ACCEPTED 0 /flash/www"
    for value in ("192.0.2.1", "no such host", "1.2.3.4.5", "127.0.0.1"):
        if value != "127.0.0.1":
            assert lines.pop(0) == "ACCEPTED %d /flash/www" % port
        assert "REFUSED" in lines[0] and "can't listen on %s, port %d: " % (value, port) in lines[0], lines[0]
        lines.pop(0)
        assert lines.pop(0) == "False"
    assert not lines


BANNER = """
import sys
from microWebSrv import MicroWebSrv
from ready import Port

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath=sys.argv[2])
for _ in range(3):
    mws.Start()
    mws.Stop()
mws = MicroWebSrv(port=mws.port, bindIP="127.0.0.1", webPath=sys.argv[2])
mws.Start()
print("STARTED")
sys.stdin.read()
mws.Stop()
"""


@pytest.mark.parametrize("webPath", ("/no/such/folder", "there"))
def test_the_banner_comes_once_for_each_server(serve, tmp_path, webPath):
    """However often it starts; it reports a missing folder."""
    (tmp_path / "there").mkdir()
    server = serve(BANNER, args=(webPath,))
    server.WaitLine("STARTED")
    server.Finish()
    lines = server.stderr.splitlines()
    assert len(lines) == 2 and all("port %d, with micro" % server.port in line for line in lines), server.stderr
    for line in lines:
        assert line.endswith("; there is no folder /no/such/folder") == (webPath != "there"), line


FIRST = """
import socket
import sys
from microWebSrv import MicroWebSrv

def Connects(port):
    client = socket.socket()
    try:
        client.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
        return True
    except OSError:
        return False
    finally:
        client.close()

class Console:
    "What is written to stderr, and whether the port is open at that moment."
    said = ""
    isOpen = []
    def write(self, text):
        self.said += text
        self.isOpen.append(Connects(port))
        return len(text)
    flush = close = lambda self: None

port = int(sys.argv[1])
taken = socket.socket()
taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
taken.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
taken.listen(1)
mws = MicroWebSrv(port=port, bindIP="127.0.0.1")
try:
    mws.Start()
except OSError:
    print("REFUSED", mws.Banner)
taken.close()
if sys.implementation.name == "cpython":
    sys.stderr = Console()
mws.Start()
mws.Stop()
print("STARTED", mws.Banner, all(Console.isOpen), sys.stderr.said if Console.isOpen else "")
"""


def test_the_banner_comes_when_it_listens(runtime, run):
    """One line, of the port and the files; not while the port is another program's. And it misses no folder that nobody has given."""
    port = harness.FreePorts(1)[0]
    lines = run(FIRST, args=(port,)).splitlines()
    assert lines[0] == "REFUSED True" and len([line for line in lines if line]) == 2, lines
    assert lines[1].startswith("STARTED False True MicroWebSrv: port %d, with microWebSocket, " % port) or runtime == "micropython", lines
    assert lines[1].startswith("STARTED False True ") and "folder" not in lines[1]


ANY_PORT = """
import sys
import microWebSrv as core
from microWebSrv import MicroWebSrv
import ready
ready.Announce(MicroWebSrv)

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "%d" % httpClient.GetServer().GetPort())

servers = [MicroWebSrv([("/hello", "GET", Hello)], 0, "127.0.0.1", "www") for _ in range(3)]
BUSY
for mws in servers:
    print("BEFORE", mws.GetPort())
    mws.Start()
    print("PORT", mws.GetPort())
for line in sys.stdin:
    exec(line)
for mws in servers:
    mws.Stop()
"""
BUSY = """
tries = []
random = core.os.urandom
class Os:
    def urandom(self, count):
        tries.append(1)
        return bytes(count) if len(tries) % 7 else random(count)
    def __getattr__(self, name):
        return getattr(real, name)
real, core.os = core.os, Os()
"""


@pytest.mark.parametrize("busy", ("", BUSY), ids=("", "one that is taken"))
def test_port_0(serve, busy):
    """A free port: GetPort() tells it, and it is kept when the server starts again."""
    server = serve(ANY_PORT.replace("BUSY", busy))
    server._mark = 0
    ports = []
    for _ in range(3):
        server.WaitLine("BEFORE 0")
        server.WaitReady()
        ports.append(int(server.WaitLine(r"PORT (\d+)").group(1)))
    assert len(set(ports)) == 3 and all(1024 < port < 65536 for port in ports)
    for port in ports:
        assert Fetch(port, "/hello").text == str(port)
    server.Tell("servers[0].Stop(); servers[0].Start(); print('AGAIN', servers[0].GetPort())")
    assert int(server.WaitLine(r"AGAIN (\d+)").group(1)) == ports[0]
    assert Fetch(ports[0], "/hello").text == str(ports[0])
    server.Finish()


# ------------------------------------------------------------------------------------------------ signals

SIGNALS = """
import asyncio
import sys
import time
import threading
from microWebSrv import MicroWebSrv
from ready import Port

event = threading.Event()

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def Slow(httpClient, httpResponse):
    print("CALLED")
    event.wait()
    httpResponse.WriteResponseOk(None, "text/plain", None, "slow")

async def Async(httpClient, httpResponse):
    Hello(httpClient, httpResponse)

def Console():
    sys.stdin.readline()
    event.set()

def Site():
    mws = MicroWebSrv([("/hello", "GET", Hello)], Port(), "127.0.0.1", "www")
    mws.AddRoute("/slow", "GET", Slow, threaded=True)
    mws.StopGraceSec = 60
    if "async" in sys.argv:
        mws.AddRoute("/async", "GET", Async)
    return mws

threading.Thread(target=Console, daemon=True).start()
mws = Site()
try:
    WAY
    print("RETURNED", mws.IsStarted())
finally:
    print("FINALLY")
"""
WAYS = {
    "foreground": "mws.Start(threaded=False)",
    "at its end": "mws.Start()",
    "asleep": "mws.Start(); time.sleep(1000)",
    "two servers": "mws.Start(); Site().Start(); time.sleep(1000)",
    "serve": "asyncio.run(mws.Serve())",
}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
@pytest.mark.parametrize("runtime", ("cpython", "cpython-asyncio"))
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("routes", ("plain", "async"))
def test_sigterm_stops_gracefully(serve, way, routes):
    """Requests in progress may finish, new clients are refused, and the program exits with code 0 without a
    traceback."""
    server = serve(SIGNALS.replace("WAY", WAYS[way]), args=(routes,))
    if way == "at its end":
        server.WaitLine("FINALLY")
    if way == "two servers":
        server.WaitReady()
    assert Fetch(server.port, "/hello").text == "hello"
    with RawClient(server.port) as client:
        client.Send(Get("/slow"))
        server.WaitLine("CALLED")
        server.process.send_signal(signal.SIGTERM)
        for _ in range(1000):
            try:
                RawClient(server.port).Close()
            except OSError:
                break                           # it no longer listens
        assert server.process.poll() is None
        server.Tell("go on")
        assert client.ReadResponse().text == "slow"
    server.WaitExit()
    assert "FINALLY" in server.stdout
    assert ("RETURNED False" in server.stdout) == (way in ("foreground", "serve")) or way == "at its end"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
@pytest.mark.parametrize("runtime", ("cpython",))
def test_sigterm_of_the_program(serve):
    """A handler that the program has set is kept; and a second SIGTERM kills."""
    server = serve(SIGNALS.replace("WAY", """
    import signal
    signal.signal(signal.SIGTERM, lambda number, frame: print("MINE"))
    mws.Start(threaded=False)"""))
    assert Fetch(server.port, "/hello").text == "hello"
    server.process.send_signal(signal.SIGTERM)
    server.WaitLine("MINE")
    assert Fetch(server.port, "/hello").text == "hello"
    server.process.kill()
    server.process.wait(harness.DEADLINE_SEC)
    server._Drain()
    other = serve(SIGNALS.replace("WAY", WAYS["foreground"]))
    with RawClient(other.port) as client:
        client.Send(Get("/slow"))
        other.WaitLine("CALLED")
        for _ in range(2):
            other.process.send_signal(signal.SIGTERM)
            for _ in range(1000):
                try:
                    RawClient(other.port).Close()
                except OSError:
                    break
        assert other.process.wait(harness.DEADLINE_SEC) == -signal.SIGTERM
    other._Drain()


REFUSED = """
from microWebSrv import MicroWebSrv

mws = MicroWebSrv(port=0, bindIP="127.0.0.1", webPath=".")

@MicroWebSrv.route("/one")
async def One(httpClient, httpResponse):
    pass

mws.Spawn = None                # as without microWebAsync.py
for _ in range(2):
    try:
        mws.Start()
        print("STARTED")
    except ValueError as error:
        print("REFUSED", error)
"""


def test_a_decorated_route_that_is_refused_is_refused_at_each_start(run):
    assert run(REFUSED).count("REFUSED the async handler of /one needs microWebAsync.py") == 2


EARLY = """
import os
import signal
import sys
from microWebSrv import MicroWebSrv
from ready import Port

def Term(function):
    def Wrapped(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return function(*args)
    return Wrapped

MicroWebSrv.StartThread = Term(MicroWebSrv.StartThread)
MicroWebSrv.Run = Term(MicroWebSrv.Run)
mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath=".")
try:
    mws.Start(threaded="threaded" in sys.argv)
finally:
    print("FINALLY", mws.IsStarted())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
@pytest.mark.parametrize("runtime", ("cpython",))
@pytest.mark.parametrize("way", ("threaded", "foreground"))
def test_sigterm_before_anybody_serves(serve, way):
    """The listener is open, but the loop has not started: the program ends, and nothing stays open."""
    server = serve(EARLY, args=(way,))
    server.WaitExit()
    assert "FINALLY False" in server.stdout


# ------------------------------------------------------------------------------------------------ memory

FAULT = """
import sys
import microWebSrv as core
from microWebSrv import MicroWebSrv
from ready import Port

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

left = [0]

class Links(dict):
    def values(self):
        Fail()
        return super().values()

    def popitem(self):
        Fail()
        return super().popitem()

def Fail():
    if left[0]:
        left[0] -= 1
        print("FAILED")
        raise MemoryError("injected")

mws = MicroWebSrv([("/hello", "GET", Hello)], Port(), "127.0.0.1", "www")
mws.StopGraceSec = 60           # nobody has to wait for it
mws.links = Links()
mws.ErrorCallback = lambda text, error: print("LOG %s|%r" % (text, error))
for line in sys.stdin:
    exec(line)
"""


def Launch(runtime, folder, program):
    """Run a program that prints READY and starts on request."""
    server = harness.Server.__new__(harness.Server)
    server.runtime, server._expected = runtime, []
    ports = ",".join(map(str, harness.FreePorts()))
    server._Launch(*harness.Command(runtime, harness.WriteProgram(program, folder), (harness.SRC, harness.ON_DEVICE), (), (ports,)),
                   folder)
    return server


@pytest.mark.parametrize("times", (1, 3))
@pytest.mark.parametrize("place", ("farewell", "leave", "never"))
def test_no_memory_to_stop(runtime, tmp_path, place, times):
    """Stop() is delayed, not prevented: the server closes its connections as soon as possible, ends, and can start
    again."""
    with Launch(runtime, tmp_path, FAULT) as server:
        if place != "farewell":
            server.Tell("core.MicroWebSrv._Farewell = lambda self: False")      # directly to the end
        if place == "never":                            # another error occurs there
            server.Tell("core.MicroWebSrv._RunCalls = lambda self: 1 / 0")
            server.ExpectError("ZeroDivisionError")
        for _ in range(2):
            server.Tell("mws.Start(); print('STARTED')")
            server.WaitReady()
            server.WaitLine("STARTED")
            with RawClient(server.port) as client:
                client.Send(Get("/hello"))
                assert client.ReadResponse().text == "hello"
                server.Tell("left[0] = %d; mws.Stop(); print('STOPPED', mws.IsStarted(), mws._isBusy)" % times)
                for _ in range(times):
                    server.WaitLine("FAILED")
                server.WaitLine("STOPPED False False")
                assert client.ReadToEnd() == b""
        assert "LOG a call on the engine|MemoryError('injected'" in server.stdout
        if place == "never":                            # both tracebacks are complete
            server.SeenError("(?s)ZeroDivisionError.*ZeroDivisionError")
