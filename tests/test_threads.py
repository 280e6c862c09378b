"""Threads that send, broadcast, publish and stop at the same time; on the unix port of MicroPython without a GIL. Worker threads, and
the program's own asyncio beside servers on threads.

    python3 tests/test_threads.py [--minutes 10] [--runtime micropython]      a long run, started by hand
"""

import argparse
import pathlib
import re
import shutil
import signal
import tempfile
import threading
import time

import pytest

import harness
from harness import Fetch, RawClient

PROGRAM = """
import gc
import sys
import time
import _thread
from microWebEvents import MicroWebEvents
from microWebSrv import MicroWebSrv
from ready import Port

lock = _thread.allocate_lock()
sockets = []
hub = MicroWebEvents(64)
sent = [0] * 4

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText("echo " + text)
    webSocket.ClosedCallback = Closed
    with lock:
        sockets.append(webSocket)

def Closed(webSocket):
    with lock:
        sockets.remove(webSocket)

def Work(me):
    number = 0
    while True:
        number += 1
        text = "%d:%d:" % (me, number) + "abcdefghij" * (number % 50)
        mws.Broadcast("b" + text)
        with lock:
            some = list(sockets)
        for webSocket in some:
            webSocket.SendText("s" + text)
        hub.Send("h" + text)
        sent[me] = number
        time.sleep(0.002)                   # the pace of a busy program, which leaves the clients time to read

def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(hub)

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

mws = MicroWebSrv([("/events", "GET", Events), ("/hello", "GET", Hello)], Port(), "127.0.0.1")
mws.AddRoute("/thread", "GET", Hello, threaded=True)
mws.AcceptWebSocketCallback = Accept
mws.MaxWebSocketSendQueueLen = 1 << 18
mws.WebSocketSlowPolicy = "drop"
mws.StopGraceSec = 1
mws.Start()
for me in range(len(sent)):
    _thread.start_new_thread(Work, (me,))
for line in sys.stdin:
    if line == "sent\\n":
        gc.collect()
        print("SENT", sum(sent), gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0)
    else:
        mws.Stop()
        print("STOPPED")
        mws.Start()
"""

HANDSHAKE = harness.RequestBytes("GET", "/ws", (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                                                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")))
MESSAGE = re.compile(rb"([bsh])(\d):(\d+):([a-j]*)")


def Get(path):
    return harness.RequestBytes("GET", path)




class Listener(threading.Thread):
    """Reads until the server closes. Every message must be complete, and those of each thread in order."""

    def __init__(self, port, first):
        super().__init__()
        self.client = RawClient(port)
        self.client.Send(first)
        self.client.ReadUntil(b"\r\n\r\n")
        self.count = self.echoes = 0
        self.wrong = None
        self.ends = False
        self.begun = threading.Event()
        self._last = {}
        self.start()

    def run(self):
        try:
            while self.Next():
                if self.count > 20:
                    self.begun.set()
        except Exception as error:
            # A client that sends after the server has closed gets a reset, and unread bytes are lost.
            isReset = isinstance(error, ConnectionError) or "the end of the stream" in str(error)
            self.wrong = None if isReset and self.ends else error
        self.begun.set()
        self.client.Close()

    def Check(self, data):
        found = MESSAGE.fullmatch(data)
        assert found, "no message: %r" % data[:100]
        number = int(found.group(3))
        assert found.group(4) == b"abcdefghij" * (number % 50), "changed: %r" % data[:100]
        key = found.group(1, 2)
        assert number > self._last.get(key, 0), "out of order: %r behind %r" % (data[:20], self._last)
        self._last[key] = number
        self.count += 1


class Socket(Listener):
    def Next(self):
        first, size = self.client.ReadExactly(2)
        assert size < 127, size
        if size == 126:
            size = int.from_bytes(self.client.ReadExactly(2), "big")
        data = self.client.ReadExactly(size)
        if first == 0x88:
            assert data == b"\x03\xe9", data            # 1001: the server stops
            self.client.Send(b"\x88\x82\0\0\0\0\x03\xe9")
            return False
        assert first == 0x81, first
        if data.startswith(b"echo "):
            assert data == b"echo hello", data
            self.echoes += 1
        else:
            self.Check(data)
        if self.count % 50 == 0:
            self.client.Send(b"\x81\x85\0\0\0\0hello")
        return True


class Stream(Listener):
    def Next(self):
        size = int(self.client.ReadUntil(b"\r\n"), 16)
        data = self.client.ReadExactly(size + 2)
        assert data.endswith(b"\n\n\r\n" if size else b"\r\n"), data[-100:]
        for event in data[:-2].split(b"\n\n")[:-1]:     # one or several in a chunk
            assert event.startswith(b"data: "), event[:100]
            self.Check(event[6:])
        return size > 0


def Cycle(server, seconds, workers=True):
    """Run clients of all kinds for a while, then Stop during full activity, and Start. -> the number of correct
    messages"""
    listeners = [Socket(server.port, HANDSHAKE) for _ in range(3)] + [Stream(server.port, harness.RequestBytes("GET", "/events"))]
    for listener in listeners:
        assert listener.begun.wait(harness.DEADLINE_SEC), "nothing is heard"
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert Fetch(server.port, "/hello").text == "hello"
        assert not workers or Fetch(server.port, "/thread").text == "hello"
    for listener in listeners:
        assert listener.is_alive(), listener.wrong
        listener.ends = True
    server.Tell("stop")
    server.WaitLine("STOPPED")
    for listener in listeners:
        listener.join(harness.DEADLINE_SEC)
        assert not listener.is_alive() and not listener.wrong, listener.wrong
    server.WaitReady()
    return sum(listener.count for listener in listeners), sum(listener.echoes for listener in listeners[:3])


def Held(server):
    server.Tell("sent")
    found = server.WaitLine(r"SENT (\d+) (\d+)")
    return int(found.group(1)), int(found.group(2))


@pytest.mark.timeout(120)
def test_sends_broadcasts_events_and_stop_from_several_threads(serve, runtime):
    server = serve(PROGRAM, options=("-X", "heapsize=8M") if runtime == "micropython" else ())
    for _ in range(3):
        count, echoes = Cycle(server, 1)
        assert count > 500 and echoes > 0
    assert Fetch(server.port, "/hello").text == "hello"
    assert Held(server)[0] > 300


# -- workers

WORKERS = """
import sys
import time
import _thread
from microWebSrv import MicroWebSrv
from ready import Port

lock = _thread.allocate_lock()
lock.acquire()

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def Wait(httpClient, httpResponse):
    print("CALLED")
    with lock:
        pass
    httpResponse.WriteResponseOk(None, "text/plain", None, "waited")

def Release(httpClient, httpResponse):
    lock.release()

def Exit(httpClient, httpResponse):
    sys.exit(3)

def Interrupt(httpClient, httpResponse):
    raise KeyboardInterrupt

def Raw(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, None)
    print("RAW")
    try:
        for number in range(20000):
            httpResponse._write(b"%07d," % number * 1000)
    except OSError:
        print("GONE after %d" % number)

def Whole(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, None)
    for number in range(100):
        httpResponse._write(b"%07d," % number * 5000)

def Ways(httpClient, httpResponse):
    way = httpClient.GetRequestQueryString()
    if way == "bare":
        httpResponse._write("HTTP/1.0 200 OK\\r\\n\\r\\nbare")
    elif way == "close":
        httpResponse.WriteResponseOk({"Connection": "close"})
    elif way == "twice":
        first = httpResponse.WriteResponseOk(None, "text/plain", None, "first")
        print("TWICE", first, httpResponse.WriteResponseOk(None, "text/plain", None, "second"))
    elif way == "fault":
        try:
            httpResponse.WriteResponseOk({"X": "a\\r\\nb"}, "text/plain", None, "x")
        except ValueError:
            httpResponse.WriteResponseOk(None, "text/plain", None, "came back")
    elif way == "content":
        httpResponse.WriteResponseOk(None, "text/plain", None, httpClient.ReadRequestContent())
    elif way == "address":
        httpResponse.WriteResponseOk(None, "text/plain", None, httpClient.GetIPAddr())

def Again(httpClient, httpResponse):
    mws.Stop()
    mws.Start()
    httpResponse.WriteResponseOk(None, "text/plain", None, "again")

mws = MicroWebSrv([("/hello", "GET", Hello), ("/release", "GET", Release)], Port(), "127.0.0.1", "www")
for name, handler in (("wait", Wait), ("exit", Exit), ("interrupt", Interrupt), ("raw", Raw), ("whole", Whole), ("ways", Ways),
                      ("again", Again)):
    mws.AddRoute("/" + name, "GET", handler, threaded=True)
mws.AddRoute("/ways", "POST", Ways, threaded=True)
mws.MaxWorkers = 2
mws.ErrorCallback = lambda text, error: print("LOG", text, type(error).__name__)
mws.Start()
for line in sys.stdin:
    mws.Stop()
    print("STOPPED")
"""


def test_a_worker_writes_in_every_way(serve):
    server = serve(WORKERS)
    assert harness.RawExchange(server.port, Get("/ways?bare")) == b"HTTP/1.0 200 OK\r\n\r\nbare"
    with RawClient(server.port) as client:
        client.Send(Get("/ways?close"))
        response = client.ReadResponse()
        assert (response.status, response.body, response.isClosing) == (200, b"", True)
        client.ExpectClose()
    with RawClient(server.port) as client:
        for way, text in (("twice", "first"), ("fault", "came back"), ("address", "127.0.0.1")):
            client.Send(Get("/ways?" + way))
            assert client.ReadResponse().text == text
        client.Send(Get("/ways?nothing"))
        assert client.ReadResponse().status == 204
    assert server.WaitLine("TWICE (.*)").group(1) == "True False"
    assert Fetch(server.port, "/ways?content", "POST", body=b"x" * 5000).text == "x" * 5000
    assert Fetch(server.port, "/whole").body == b"".join([b"%07d," % number * 5000 for number in range(100)])


def test_workers_that_block_hold_only_each_other(serve):
    """MaxWorkers is 2: a third request waits for a free worker, plain handlers don't wait."""
    server = serve(WORKERS)
    clients = [RawClient(server.port) for _ in range(3)]
    for client in clients:
        client.Send(Get("/wait"))
    server.WaitLine("CALLED")
    server.WaitLine("CALLED")
    assert Fetch(server.port, "/hello").text == "hello"
    assert Fetch(server.port, "/release").status == 204
    for client in clients:
        assert client.ReadResponse().text == "waited"
        client.Close()


def test_sys_exit_in_a_worker(serve):
    """It is answered and logged, and no worker is lost; there are two."""
    server = serve(WORKERS)
    for _ in range(5):
        assert Fetch(server.port, "/exit").status == 500
        server.WaitLine("LOG GET /exit SystemExit")
    assert Fetch(server.port, "/interrupt").status == 500
    server.WaitLine("LOG GET /interrupt")
    assert Fetch(server.port, "/ways?twice").text == "first"


@pytest.mark.parametrize("reset", (True, False))
def test_a_worker_that_waits_is_woken_when_its_client_goes(serve, reset):
    server = serve(WORKERS)
    for _ in range(4):                      # more than there are workers
        with RawClient(server.port, receiveBuffer=4096) as client:
            client.Send(Get("/raw"))
            client.ReadExactly(20000)
            assert Fetch(server.port, "/hello").text == "hello"
            client.Close(reset)
        assert int(server.WaitLine(r"GONE after (\d+)").group(1)) < 19999


def test_a_worker_whose_client_does_not_read_is_woken(serve):
    server = serve(WORKERS.replace("mws.MaxWorkers = 2", "mws.MaxWorkers = 1; mws.SendTimeoutSec = 1"))
    with RawClient(server.port, receiveBuffer=4096) as client:
        client.Send(Get("/raw"))
        server.WaitLine("GONE")
    assert Fetch(server.port, "/ways?twice").text == "first"


def test_stop_while_workers_work(serve):
    """Requests that are answered within StopGraceSec succeed; a blocked write ends with the server."""
    server = serve(WORKERS.replace("mws.Start()", "mws.StopGraceSec = 1; mws.Start()", 1))
    with RawClient(server.port, receiveBuffer=4096) as client:
        client.Send(Get("/raw"))
        server.WaitLine("RAW")
        client.ReadExactly(20000)
        server.Tell("stop")
        server.Seen("GONE")
    server.Seen("STOPPED")                      # the two come in any order
    server.Finish()


def test_a_worker_may_restart_the_server(serve):
    """Its own client gets the response before the server restarts."""
    server = serve(WORKERS)
    for _ in range(3):
        with RawClient(server.port) as client:
            client.Send(Get("/again"))
            assert client.ReadResponse().text == "again"
            client.ExpectClose()
        server.WaitReady()
        assert Fetch(server.port, "/hello").text == "hello"


# -- files that are absent

def Without(modulePath, tmp_path, *names):
    folder = tmp_path / "lib"
    shutil.copytree(modulePath[0], folder, ignore=shutil.ignore_patterns(*(name + ".*" for name in names), "__pycache__"))
    return (folder,)


def test_without_threads_a_handler_runs_on_the_engine(serve, modulePath, tmp_path):
    server = serve(WORKERS, modulePath=Without(modulePath, tmp_path, "microWebThreads"))
    assert Fetch(server.port, "/ways?twice").text == "first"
    assert Fetch(server.port, "/exit").status == 500
    assert Fetch(server.port, "/hello").text == "hello"


def test_without_asyncio_an_async_handler_is_an_error(run, runtime, modulePath, tmp_path):
    """At registration, in each of the three ways; and asyncio is not imported."""
    if runtime == "cpython-asyncio":
        pytest.skip("it is there")
    out = run("""
import sys
from microWebSrv import MicroWebSrv

async def Handler(httpClient, httpResponse):
    pass

class Site:
    async def Method(self, httpClient, httpResponse):
        pass

def Try(func, *args):
    try:
        func(*args)
    except ValueError as error:
        print(error)

Try(MicroWebSrv, [("/table", "GET", Handler)])
mws = MicroWebSrv()
Try(mws.AddRoute, "/added", "GET", Handler)
Try(mws.AddRoute, "/method", "GET", Site().Method)
MicroWebSrv.route("/decorated")(Handler)
Try(MicroWebSrv)
print("asyncio" in sys.modules)
""", modulePath=Without(modulePath, tmp_path, "microWebAsync", "microWebSocket", "microWebSocketPlus", "microWebAsgi", "microWebAsgiSocket",
                             "microWebMount", "microWebBroker"))
    lines = out.splitlines()
    assert lines.pop() == "False"
    assert [line.split()[-3] for line in lines] == ["/table", "/added", "/method", "/decorated"], out
    assert all("needs microWebAsync.py" in line for line in lines)


# -- together with the program's own asyncio

BESIDE = """
import asyncio
import sys
from microWebSrv import MicroWebSrv
from ready import Port

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def Thread(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "thread")

def Site():
    mws = MicroWebSrv([("/hello", "GET", Hello)], Port(), "127.0.0.1", "www")
    mws.AddRoute("/thread", "GET", Thread, threaded=True)
    return mws

counted = [0, 0]

async def Count(at):
    while counted[at] < 200:
        counted[at] += 1
        await asyncio.sleep(0.001)

async def Main():
    INSIDE
    task = asyncio.create_task(Count(0))
    await Count(1)
    await task
    print("COUNTED", counted)

first, second = Site(), Site()
BEFORE
asyncio.run(Main())
print("LAST")
for line in sys.stdin:
    first.Stop()
    second.Stop()
    print("STOPPED")
"""

PLACES = {
    "before": ("first.Start(threaded=True); second.Start()", "pass"),
    "inside": ("pass", "first.Start(threaded=True); second.Start()"),
    "mixed": ("first.Start()", "second.Start()"),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("place", PLACES)
def test_servers_on_threads_beside_asyncio(serve, runtime, place):
    """A server with plain handlers does not use asyncio: it serves while the program's loop runs, and after its end."""
    before, inside = PLACES[place]
    program = BESIDE.replace("INSIDE", inside).replace("BEFORE", before)
    for _ in range(20 if runtime == "micropython" else 5):
        server = serve(program)
        ports = [server.port]
        server.WaitReady()
        ports.append(server.port)
        for _ in range(5):
            for port in ports:
                assert [Fetch(port, path).text for path in ("/hello", "/thread")] == ["hello", "thread"]
        server.WaitLine(r"COUNTED \[200, 200\]")
        server.WaitLine("LAST")
        for port in ports:
            assert [Fetch(port, path).text for path in ("/hello", "/thread")] == ["hello", "thread"]
        server.Tell("stop")
        server.WaitLine("STOPPED")
        server.Finish()


SHARED = """
import asyncio
import sys
import time
import _thread
from microWebSrv import MicroWebSrv
from ready import Port

async def Async(httpClient, httpResponse):
    await asyncio.sleep(0.001)
    httpResponse.WriteResponseOk(None, "text/plain", None, "async")

def Plain(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "plain")

def Site():
    return MicroWebSrv([("/async", "GET", Async), ("/plain", "GET", Plain)], Port(), "127.0.0.1", "www")

def Console():
    for line in sys.stdin:
        server = {"first": first, "second": second}[line.split()[0]]
        server.Start() if "start" in line else server.Stop()
        print("DONE")

def Remain():
    while first.IsStarted() or second.IsStarted():
        time.sleep(0.01)

first, second = Site(), Site()
_thread.start_new_thread(Console, ())
WAY
print("END")
"""

WAYS = {
    "threads": "first.Start(); second.Start(); Remain()",
    "one loop": """
async def Main():
    await asyncio.gather(first.Serve(), second.Serve())
asyncio.run(Main())
""",
    "foreground": "first.Start(); second.Start(threaded=False); Remain()",
}


@pytest.mark.parametrize("way", WAYS)
def test_two_servers_with_async_handlers(serve, way):
    """Each may stop while the other continues; on MicroPython they share the only loop, whichever runs it."""
    server = serve(SHARED.replace("WAY", WAYS[way]))
    ports = [server.port]
    server.WaitReady()
    ports.append(server.port)

    def Check(*ports):
        for port in ports:
            assert [Fetch(port, path).text for path in ("/async", "/plain")] == ["async", "plain"]

    Check(*ports)
    if way == "threads":
        for name, other in (("first", 1), ("second", 0)):
            server.Tell(name + " stop")
            server.WaitLine("DONE")
            Check(ports[other])
            server.Tell(name + " start")
            server.WaitReady()
            server.WaitLine("DONE")
            Check(*ports)
    server.Tell("first stop")
    server.WaitLine("DONE")
    Check(ports[1])
    server.Tell("second stop")
    server.WaitLine("END")
    server.Finish()


def test_the_loop_is_a_servers(serve, runtime):
    """MicroPython has one loop. If a server with async handlers runs it in a thread, asyncio.run() raises an error
    instead of crashing the interpreter; if the program runs it, an async stream of a server in a thread does."""
    if runtime != "micropython":
        pytest.skip("CPython has a loop for each thread")
    server = serve(SHARED.replace("WAY", """
async def Later():
    await asyncio.sleep(1)

first.Start()
second.Start()
for line in ("one", "two"):
    try:
        asyncio.run(Later())
    except RuntimeError as error:
        print("REFUSED", error)
Remain()
"""))
    for _ in range(2):
        assert "Serve()" in server.WaitLine("REFUSED (.*)").group(1)
    assert Fetch(server.port, "/async").text == "async"
    server.Close()
    other = serve("""
import asyncio
from microWebSrv import MicroWebSrv
from ready import Port

class Pieces:
    def __aiter__(self):
        return self

    async def __anext__(self):
        raise StopAsyncIteration

def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Pieces(), "text/plain")

def Plain(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "plain")

async def Main():
    MicroWebSrv([("/stream", "GET", Stream), ("/plain", "GET", Plain)], Port(), "127.0.0.1", "www").Start(threaded=True)
    await asyncio.sleep(1000)

asyncio.run(Main())
""")
    other.ExpectError("RuntimeError: another thread runs MicroPython's loop")
    assert Fetch(other.port, "/stream").status == 500
    assert Fetch(other.port, "/plain").text == "plain"


# -- the end of the program

REMAINS = """
import sys
from microWebSrv import MicroWebSrv
from ready import Port

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

async def Async(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "async")

MicroWebSrv([("/hello", "GET", Hello)ROUTES], Port(), "127.0.0.1", "www").Start(threaded=True)
print("LAST LINE")
"""


def Interrupted(server):
    """After one Ctrl-C the process ends."""
    server.process.send_signal(signal.SIGINT)
    server.process.wait(harness.DEADLINE_SEC)
    server._Drain()
    server.Judge()


@pytest.mark.parametrize("routes", ("", ', ("/async", "GET", Async)'))
def test_one_ctrl_c_ends_a_program_whose_server_goes_on(serve, routes):
    server = serve(REMAINS.replace("ROUTES", routes))
    server.WaitLine("LAST LINE")
    assert Fetch(server.port, "/hello").text == "hello"
    Interrupted(server)


def test_a_program_that_dies_and_its_server_does_not(serve, runtime):
    """The log tells it. (MicroPython can't tell at its end whether the program failed.)"""
    server = serve(REMAINS.replace("ROUTES", "") + "raise KeyError('dead')\n")
    server.ExpectError("KeyError: .?dead")
    if runtime != "micropython":
        server.SeenError("ended with an error; its server keeps running")
    assert Fetch(server.port, "/hello").text == "hello"
    Interrupted(server)


@pytest.mark.parametrize("routes", ("", ', ("/async", "GET", Async)'))
def test_ctrl_c_ends_a_server_in_the_foreground(serve, routes):
    """Start() returns after one Ctrl-C, without a message."""
    server = serve(REMAINS.replace("ROUTES", routes).replace("threaded=True", "threaded=False"))
    with RawClient(server.port) as client:
        client.Send(Get("/hello"))
        assert client.ReadResponse().text == "hello"
        server.process.send_signal(signal.SIGINT)
        assert client.ReadToEnd() == b""
    server.WaitLine("LAST LINE")
    server.WaitExit()


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--runtime", choices=harness.RUNTIMES, default="micropython")
    parser.add_argument("--no-workers", action="store_true", help="no handlers on worker threads, which come and go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flags = ("-X", "heapsize=8M") if options.runtime == "micropython" else ()
        with harness.Server(options.runtime, PROGRAM, pathlib.Path(folder), options=flags) as server:
            start, total, echoes, cycles = time.monotonic(), 0, 0, 0
            while time.monotonic() < start + options.minutes * 60:
                count = Cycle(server, 5, not options.no_workers)
                total, echoes, cycles = total + count[0], echoes + count[1], cycles + 1
                if cycles % 6 == 1:
                    print("%4d s: %d times stopped and started, %d messages and %d echoes right, %d sent, heap %d" % (
                        time.monotonic() - start, cycles, total, echoes, *Held(server)), flush=True)
            print("%4d s: %d times stopped and started, %d messages and %d echoes right, %d sent, heap %d" % (
                time.monotonic() - start, cycles, total, echoes, *Held(server)), flush=True)


if __name__ == "__main__":
    Main()
