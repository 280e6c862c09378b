"""Start, Stop, Serve and restart; several servers in one process: end to end, on every runtime."""

import re
import signal
import threading
import time

import pytest

import harness
from harness import DEADLINE_SEC, Fetch, RawClient
from http_tools import Get, Post, SendEnd

HEAD = """
import asyncio
import sys
import time
from microWebSrv import MicroWebSrv
from ready import Port

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def SlowThread(httpClient, httpResponse):
    print("CALLED")
    time.sleep(0.5)
    httpResponse.WriteResponseOk(None, "text/plain", None, "slow")

async def SlowAsync(httpClient, httpResponse):
    print("CALLED")
    await asyncio.sleep(0.5)
    httpResponse.WriteResponseOk(None, "text/plain", None, "slow")

async def Never(httpClient, httpResponse):
    print("CALLED")
    try:
        await asyncio.sleep(1000)
    finally:
        print("NEVER ended")

class Slow:
    def __init__(self, left):
        self.left = left

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.left -= 1
        if self.left < 0:
            raise StopAsyncIteration
        await asyncio.sleep(0.1)
        return "piece "

    def close(self):
        print("CLOSED stream")

def Stream(httpClient, httpResponse):
    print("CALLED")
    httpResponse.WriteResponseStream(Slow(5), "text/plain")

def Endless(httpClient, httpResponse):
    print("CALLED")
    httpResponse.WriteResponseStream(Slow(100000), "text/plain")

def Echo(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, httpClient.ReadRequestContent())

def StopHere(httpClient, httpResponse):
    mws.Stop()
    print("STOPPING %s" % mws.IsStarted())
    httpResponse.WriteResponseOk(None, "text/plain", None, "stopping")

async def StopAsync(httpClient, httpResponse):
    mws.Stop()
    await asyncio.sleep(0)
    httpResponse.WriteResponseOk(None, "text/plain", None, "stopping")

def StopThread(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "stopping")
    mws.Stop()
    print("STOP returned")

def Site(port):
    mws = MicroWebSrv([("/hello", "GET", Hello), ("/async", "GET", SlowAsync), ("/never", "GET", Never),
                       ("/stream", "GET", Stream), ("/endless", "GET", Endless), ("/echo", "POST", Echo),
                       ("/stop", "GET", StopHere), ("/stop-async", "GET", StopAsync)], port, "127.0.0.1")
    mws.AddRoute("/thread", "GET", SlowThread, threaded=True)
    mws.AddRoute("/stop-thread", "GET", StopThread, threaded=True)
    return mws
"""

# The program stops its server on a console command.
THREADED = HEAD + """
mws = Site(Port())
print("BEFORE %s" % mws.IsStarted())
mws.Start()
print("STARTED %s" % mws.IsStarted())
sys.stdin.readline()
mws.Stop()
print("STOPPED %s" % mws.IsStarted())
"""

FOREGROUND = HEAD + """
mws = Site(Port())
mws.Start(threaded=False)
print("RETURNED %s" % mws.IsStarted())
"""


def _Refuses(port):
    try:
        RawClient(port).Close()
    except ConnectionError:         # refused; or reset, at the moment of the stop
        return True
    return False


def WaitRefused(port):
    until = time.monotonic() + DEADLINE_SEC
    while not _Refuses(port):
        assert time.monotonic() < until, "clients are still let in"


def test_start_in_a_thread_and_stop(serve):
    server = serve(THREADED)
    server.WaitLine("STARTED True")
    assert "BEFORE False" in server.stdout
    assert Fetch(server.port, "/hello").text == "hello"
    server.Tell("stop")
    server.WaitLine("STOPPED False")
    assert _Refuses(server.port)
    server.WaitExit()               # no thread or task is left, so the program can end


@pytest.mark.parametrize("path", ["/stop", "/stop-async", "/stop-thread"])
def test_stop_from_a_handler(serve, path):
    server = serve(FOREGROUND)
    with RawClient(server.port) as idle:
        idle.Send(Get("/hello"))
        assert idle.ReadResponse().text == "hello"
        response = Fetch(server.port, path)
        assert (response.text, response.isClosing) == ("stopping", True)
        idle.ExpectClose()
    server.WaitLine("RETURNED False")
    assert _Refuses(server.port)
    server.WaitExit()


@pytest.mark.parametrize("request_, body", [
    (Get("/async"), b"slow"), (Get("/thread"), b"slow"), (Get("/stream"), b"piece " * 5)])
def test_what_is_in_flight_may_finish(serve, request_, body):
    """StopGraceSec; the connection closes after the response. An endless source is asked to end, so a stream may be cut
    off."""
    server = serve(THREADED)
    with RawClient(server.port) as client, RawClient(server.port) as idle:
        client.Send(request_)
        server.WaitLine("CALLED")
        server.Tell("stop")
        response = client.ReadResponse()
        if b"stream" in request_:
            assert body.startswith(response.body)
        else:
            assert (response.body, response.isClosing) == (body, True)
        SendEnd(client)
        client.ExpectClose()
        idle.ExpectClose()
    server.WaitLine("STOPPED False")
    server.WaitExit()


def test_a_request_that_is_half_sent_may_finish(serve):
    server = serve(THREADED)
    with RawClient(server.port) as client:
        client.Send(Post("/echo", b"hello")[:-3])
        assert Fetch(server.port, "/hello").text == "hello"     # the first half has arrived
        server.Tell("stop")
        WaitRefused(server.port)
        client.Send(b"llo")
        response = client.ReadResponse("POST")
        assert (response.body, response.isClosing) == (b"hello", True)
    server.WaitLine("STOPPED False")
    server.WaitExit()


def test_stop_does_not_wait_for_ever(serve):
    """A handler that never ends and a client that never finishes: they are aborted after the grace time."""
    server = serve(THREADED.replace("mws.Start()", "mws.StopGraceSec = 1; mws.Start()"))
    with RawClient(server.port) as never, RawClient(server.port) as half:
        never.Send(Get("/never"))
        half.Send(b"GET / HTTP/1.1\r\nHost: ")
        server.WaitLine("CALLED")
        start = time.monotonic()
        server.Tell("stop")
        never.ExpectClose()
        half.ReadToEnd()
        server.WaitLine("STOPPED False")
        assert time.monotonic() - start < 5
    server.WaitExit()


def test_idle_connections_have_time_for_a_request(serve):
    """StopIdleSec: one that is new, and one that was kept. Who stays silent is closed, and nobody waits for him for long."""
    server = serve(THREADED.replace("mws.Start()", "mws.StopGraceSec = 60; mws.StopIdleSec = 1; mws.Start()"))
    with RawClient(server.port) as new, RawClient(server.port) as kept, RawClient(server.port) as silent:
        for client in (kept, silent):
            client.Send(Get("/hello"))
            assert not client.ReadResponse().isClosing
        start = time.monotonic()
        server.Tell("stop")
        WaitRefused(server.port)
        for client in (new, kept):
            client.Send(Get("/hello"))
            response = client.ReadResponse()
            assert (response.text, response.isClosing) == ("hello", True)
            SendEnd(client)
            client.ExpectClose()
        silent.ExpectClose()
        server.WaitLine("STOPPED False")
        assert time.monotonic() - start < 10
    server.WaitExit()


BIG_THREADED = THREADED.replace("mws.Start()", """
def Big(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, b"0123456789abcdef" * 16384)

mws.AddRoute("/big", "GET", Big)
mws.StopGraceSec = 60
mws.StopIdleSec = 1
mws.Start()
""")


@pytest.mark.parametrize("pipelined", [False, True])
def test_a_response_that_is_still_sent_when_the_server_stops(serve, pipelined):
    """All of it arrives, and the response to a request that is pipelined behind it. Then the connection has StopIdleSec, not the
    whole grace."""
    server = serve(BIG_THREADED)
    with RawClient(server.port, receiveBuffer=4096) as client:
        client.Send(Get("/big") * (1 + pipelined))
        first = client.socket.recv(1)
        server.Tell("stop")
        WaitRefused(server.port)
        data = first + client.ReadToEnd()           # no reset; and an end long before the grace
        assert data.count(b"0123456789abcdef") == 16384 * (1 + pipelined) and data.endswith(b"f")
    server.WaitLine("STOPPED False")
    server.WaitExit()


def test_stop_ends_an_endless_stream(serve):
    server = serve(THREADED)
    with RawClient(server.port) as client:
        client.Send(Get("/endless"))
        client.ReadUntil(b"piece")
        server.Tell("stop")
        assert client.ReadToEnd().endswith(b"0\r\n\r\n")
        server.WaitLine("STOPPED False")
    assert "CLOSED stream" in server.stdout
    server.WaitExit()


RESTART = HEAD + """
mws = Site(Port())
for turn in range(4):
    mws.Start()
    print("STARTED %s" % mws.IsStarted())
    sys.stdin.readline()
    mws.Stop()
    mws.Stop()                      # again: nothing happens
    print("STOPPED %s" % mws.IsStarted())
    sys.stdin.readline()
"""


def test_restart(serve):
    """On the same port at once, several times."""
    server = serve(RESTART)
    for turn in range(4):
        if turn:
            server.WaitLine("READY %d" % server.port)
        server.WaitLine("STARTED True")
        with RawClient(server.port) as client:
            client.Send(Get("/hello"))
            assert client.ReadResponse().text == "hello"
            server.Tell("stop")
            client.ExpectClose()
        server.WaitLine("STOPPED False")
        assert _Refuses(server.port)
        server.Tell("go on")
    server.WaitExit()


RESTART_FOREGROUND = HEAD + """
mws = Site(Port())
for turn in range(3):
    mws.Start(threaded=False)
    print("RETURNED %s" % mws.IsStarted())
"""


def test_restart_in_the_foreground(serve):
    server = serve(RESTART_FOREGROUND)
    for turn in range(3):
        if turn:
            server.WaitLine("READY %d" % server.port)
        assert Fetch(server.port, "/hello").text == "hello"
        assert Fetch(server.port, "/stop").text == "stopping"
        server.WaitLine("RETURNED False")
    server.WaitExit()


WHILE_IT_STOPS = HEAD + """
def Again(httpClient, httpResponse):
    mws.Stop()
    mws.Start()
    httpResponse.WriteResponseOk(None, "text/plain", None, "again")

async def AgainAsync(httpClient, httpResponse):
    Again(httpClient, httpResponse)

mws = Site(Port())
mws.StopGraceSec = 1
mws.AddRoute("/again", "GET", Again)
mws.AddRoute("/again-async", "GET", AgainAsync)
mws.AddRoute("/again-thread", "GET", Again, threaded=True)
mws.Start()
while sys.stdin.readline() == "start\\n":
    mws.Start()
    print("AGAIN %s" % mws.IsStarted())
mws.Stop()
print("STOPPED %s" % mws.IsStarted())
"""


def test_start_while_it_stops(serve):
    """Start() waits until the requests in progress are answered or aborted."""
    server = serve(WHILE_IT_STOPS)
    for _ in range(2):
        with RawClient(server.port) as half:
            half.Send(b"GET /hello HT")
            assert Fetch(server.port, "/stop").text == "stopping"
            server.Tell("start")
            server.WaitLine("AGAIN True")
            half.ReadToEnd()
        assert Fetch(server.port, "/hello").text == "hello"
    server.Tell("stop")
    server.WaitLine("STOPPED False")
    server.WaitExit()


@pytest.mark.parametrize("path", ["/again", "/again-async", "/again-thread"])
def test_restart_from_a_handler(serve, path):
    server = serve(WHILE_IT_STOPS)
    for _ in range(3):
        with RawClient(server.port) as client:
            client.Send(Get(path))
            response = client.ReadResponse()
            assert (response.text, response.isClosing) == ("again", True)
        server.WaitReady()
        assert Fetch(server.port, "/hello").text == "hello"
    server.Tell("stop")
    server.WaitLine("STOPPED False")
    server.WaitExit()


SERVE_WHILE_IT_STOPS = HEAD + """
async def Main():
    first = asyncio.create_task(mws.Serve())
    while not mws.IsStarted():
        await asyncio.sleep(0)
    mws.Stop()
    await mws.Serve()
    await first
    print("RETURNED %s" % mws.IsStarted())

mws = Site(Port())
asyncio.run(Main())
"""


def test_serve_while_it_stops(serve):
    server = serve(SERVE_WHILE_IT_STOPS)
    server.WaitReady()
    assert Fetch(server.port, "/hello").text == "hello"
    assert Fetch(server.port, "/stop").text == "stopping"
    server.WaitLine("RETURNED False")
    server.WaitExit()


TWICE = HEAD + """
mws = Site(Port())
mws.Start()
mws.Start()                         # it runs already: nothing happens
other = Site(mws.port)
try:
    other.Start()
except OSError as error:
    print("TAKEN %s" % other.IsStarted())
sys.stdin.readline()
mws.Stop()
"""


def test_restart_after_ctrl_c(serve):
    """As at the REPL: Ctrl-C aborts the requests in progress, and the next Start() serves on the same port."""
    server = serve(HEAD + """
mws = MicroWebSrv([("/", "GET", Hello)], Port(), "127.0.0.1", "www")
for _ in range(3):
    mws.Start(threaded=False)
    print("CTRL-C", mws.IsStarted())
""")
    for number in range(3):
        if number:
            server.WaitReady()
        with RawClient(server.port) as client:
            client.Send(Get("/"))
            assert client.ReadResponse().text == "hello"
            server.process.send_signal(signal.SIGINT)
            assert client.ReadToEnd() == b""
        assert server.WaitLine(r"CTRL-C (\w+)").group(1) == "False"


def test_ctrl_c_while_a_handler_blocks(serve):
    """The first Ctrl-C asks the server to stop, the second one interrupts the handler."""
    server = serve(HEAD + """
def Blocks(httpClient, httpResponse):
    print("CALLED")
    while True:
        time.sleep(0.01)

mws = MicroWebSrv([("/", "GET", Hello), ("/blocks", "GET", Blocks)], Port(), "127.0.0.1", "www")
for _ in range(2):
    mws.StopGraceSec = 0
    mws.Start(threaded=False)
    print("CTRL-C", mws.IsStarted())
""")
    with RawClient(server.port) as client:
        client.Send(Get("/blocks"))
        server.WaitLine("CALLED")
        for _ in range(DEADLINE_SEC):                       # signals that come too fast are merged
            server.process.send_signal(signal.SIGINT)
            if server.HasLine("CTRL-C False", 1):
                break
        assert client.ReadToEnd() == b""
    server.WaitReady()
    assert Fetch(server.port, "/").text == "hello"


def test_start_twice_and_on_a_port_that_is_taken(serve):
    server = serve(TWICE)
    server.WaitLine("TAKEN False")
    assert Fetch(server.port, "/hello").text == "hello"
    server.Tell("stop")
    server.WaitExit()


SEVERAL = HEAD + """
def Named(name):
    def Handler(httpClient, httpResponse):
        httpResponse.WriteResponseOk(None, "text/plain", None, name)
    return Handler

servers = []
for name in ("a", "b", "c"):
    servers.append(MicroWebSrv([("/name", "GET", Named(name))], Port(), "127.0.0.1"))
    servers[-1].own = name          # programs set attributes of their own
    servers[-1].MaxRequestContentLen = 10
for server in servers:
    server.Start(threaded=True)
print("ALL")
for server in servers:
    sys.stdin.readline()
    server.Stop()
    print("STOPPED " + server.own)
"""


def test_several_servers(serve):
    server = serve(SEVERAL)
    ports = [server.port]
    for _ in range(2):
        server.WaitReady()
        ports.append(server.port)
    server.WaitLine("ALL")
    for at, name in enumerate("abc"):
        assert [Fetch(port, "/name").text for port in ports[at:]] == list("abc"[at:])
        server.Tell("stop")
        server.WaitLine("STOPPED " + name)
        assert _Refuses(ports[at])
    server.WaitExit()


SERVE = HEAD + """
async def Count():
    while True:
        counted.append(1)
        await asyncio.sleep(0.01)

async def Main():
    task = asyncio.create_task(Count())
    await mws.Serve()
    print("SERVED %s" % mws.IsStarted())
    await asyncio.sleep(0.05)
    task.cancel()
    print("COUNTED %s" % (len(counted) > 5))

counted = []
mws = Site(Port())
asyncio.run(Main())
print("END")
"""


def test_serve_beside_own_tasks(serve):
    server = serve(SERVE)
    assert Fetch(server.port, "/hello").text == "hello"
    assert Fetch(server.port, "/async").text == "slow"
    assert Fetch(server.port, "/stop").text == "stopping"
    server.WaitLine("SERVED False")
    server.WaitLine("COUNTED True")
    server.WaitLine("END")
    server.WaitExit()


SERVE_CANCELLED = HEAD + """
async def Main():
    for turn in range(2):
        task = asyncio.create_task(mws.Serve())
        while not mws.IsStarted():
            await asyncio.sleep(0.01)
        print("UP")
        while not gone:
            await asyncio.sleep(0.01)
        gone.clear()
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        print("CANCELLED %s" % mws.IsStarted())

def Gone(httpClient, httpResponse):
    gone.append(1)
    httpResponse.WriteResponseOk(None, "text/plain", None, "gone")

gone = []
mws = Site(Port())
mws.AddRoute("/gone", "GET", Gone)
asyncio.run(Main())
print("END")
"""


def test_serve_may_be_cancelled(serve):
    server = serve(SERVE_CANCELLED)
    for _ in range(2):
        server.WaitLine("UP")
        assert Fetch(server.port, "/gone").text == "gone"
        server.WaitLine("CANCELLED False")
    server.WaitLine("END")
    assert _Refuses(server.port)
    server.WaitExit()


JOIN = HEAD + """
async def Main():
    other.Start(threaded=False)     # the loop runs already: it joins it
    mws.Start(threaded=False)
    print("JOINED %s" % mws.IsStarted())
    while mws.IsStarted():
        await asyncio.sleep(0.01)
    other.Stop()
    print("LEFT %s" % other.IsStarted())
    await asyncio.sleep(0.5)

other = Site(Port())
mws = Site(Port())
asyncio.run(Main())
print("END")
"""


def test_start_inside_a_running_loop(serve):
    server = serve(JOIN)
    first = server.port
    server.WaitReady()
    server.WaitLine("JOINED True")
    assert Fetch(first, "/hello").text == "hello"
    assert Fetch(server.port, "/async").text == "slow"
    assert Fetch(server.port, "/stop").text == "stopping"
    server.WaitLine("LEFT False")
    WaitRefused(first)
    server.WaitLine("END")
    server.WaitExit()


NOT_BEGUN = HEAD + """
def Open(httpClient, httpResponse):
    other.Start(threaded=False)     # a task of this loop, which has not had its first step
    other.Stop()
    other.Stop()
    print("STOPPED %s" % other.IsStarted())
    if httpClient.GetRequestQueryString():
        other.Start()
    httpResponse.WriteResponseOk(None, "text/plain", None, "opened")

mws = Site(Port())
other = Site(Port())
mws.AddRoute("/open", "GET", Open)
mws.Start()
sys.stdin.readline()
other.Stop()
mws.Stop()
print("END %s" % other.IsStarted())
"""


def test_stop_before_it_has_begun(serve):
    server = serve(NOT_BEGUN)
    first = server.port
    for path in ("/open", "/open?again"):
        assert Fetch(first, path).text == "opened"
        server.WaitReady()
        server.WaitLine("STOPPED False")
        if path == "/open":
            WaitRefused(server.port)
    server.WaitReady()
    assert Fetch(server.port, "/hello").text == "hello"
    server.Tell("stop")
    server.WaitLine("END False")
    server.WaitExit()


DECORATED = """
import sys
from microWebSrv import MicroWebSrv
from ready import Port

@MicroWebSrv.route("/one")
@MicroWebSrv.route("/two", "POST")
def Both(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, httpClient.GetRequestPath())

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")

@MicroWebSrv.route("/late/<id>")
def Late(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponseOk(None, "text/plain", None, "late %d" % routeArgs["id"])

class Thing:
    def Method(self, httpClient, httpResponse, routeArgs=None):
        httpResponse.WriteResponseOk(None, "text/plain", None, "method %s" % routeArgs)

print("HANDLER", mws.GetRouteHandler("/one", "get")[0] is Both, mws.GetRouteHandler("/one", "GET")[1],
      mws.GetRouteHandler("/none", "GET"), mws.GetRouteHandler("/late/7/", "GET")[1])
mws.AddRoute("/method", "GET", Thing().Method)
mws.Start(threaded=True)
mws.AddRoute("/afterwards", "GET", Both)
print("ADDED")
sys.stdin.readline()
mws.Stop()
"""


def test_routes_by_decorator(serve):
    server = serve(DECORATED)
    server.WaitLine("ADDED")
    assert "HANDLER True None (None, None) {'id': 7}" in server.stdout
    assert Fetch(server.port, "/one").text == "/one"
    assert Fetch(server.port, "/two", "POST").text == "/two"
    assert Fetch(server.port, "/late/7").text == "late 7"
    assert Fetch(server.port, "/method").text == "method None"
    assert Fetch(server.port, "/afterwards").text == "/afterwards"
    server.Tell("stop")
    server.WaitExit()


THREADS = HEAD + """
import _thread

def Stopper():
    lock.acquire()
    mws.Stop()
    print("OTHER STOPPED %s" % mws.IsStarted())

lock = _thread.allocate_lock()
lock.acquire()

def Release(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "released")
    lock.release()

mws = Site(Port())
mws.AddRoute("/release", "GET", Release)
_thread.start_new_thread(Stopper, ())
mws.Start(threaded=False)
print("RETURNED")
"""


def test_stop_from_another_thread(serve):
    server = serve(THREADS)
    assert Fetch(server.port, "/release").text == "released"
    server.WaitLine("RETURNED")
    server.WaitExit()


def test_many_clients_while_it_stops(serve):
    """Each gets a complete response or none."""
    server = serve(THREADED)
    halves, answered = [], []

    def Ask():
        try:
            while True:
                with RawClient(server.port) as client:
                    client.Send(Get("/hello"))
                    SendEnd(client)
                    data = client.ReadToEnd()
                    if not data:
                        return
                    (answered if data.endswith(b"\r\n\r\nhello") else halves).append(data)
        except OSError:
            pass

    threads = [threading.Thread(target=Ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + DEADLINE_SEC
    while len(answered) < 50 and time.monotonic() < until:
        threads[0].join(0.01)
    server.Tell("stop")
    server.WaitLine("STOPPED False")
    for thread in threads:
        thread.join(DEADLINE_SEC)
    assert len(answered) >= 50 and not halves
    server.WaitExit()


FORGETFUL = """
from microWebSrv import MicroWebSrv
from ready import Port

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

MicroWebSrv([("/hello", "GET", Hello)], Port(), "127.0.0.1").Start()
print("LAST LINE")
"""


def test_a_program_that_ends_goes_on_serving(serve):
    """Start() in a thread as the last line: the server lives until the process is ended."""
    server = serve(FORGETFUL)
    server.WaitLine("LAST LINE")
    for _ in range(3):
        assert re.match("hello", Fetch(server.port, "/hello").text)


def test_nothing_is_left_open(serve):
    """After a hundred connections of all kinds, the process has as many open files as before."""
    server = serve(THREADED)
    files = harness.Path("/proc/%d/fd" % server.pid)
    Fetch(server.port, "/thread")
    before = len(list(files.iterdir()))
    for turn in range(20):
        Fetch(server.port, "/hello")
        Fetch(server.port, "/none")
        with RawClient(server.port) as client:
            client.Send(b"GET / HT")
            client.Close(reset=bool(turn % 2))
        with RawClient(server.port) as client:
            client.Send(Get("/stream"))
            client.Close(reset=bool(turn % 2))
        with RawClient(server.port) as client:
            client.Send(b"nonsense\r\n\r\n")
            SendEnd(client)
            assert client.ReadToEnd().startswith(b"HTTP/1.1 400 ")
    until = time.monotonic() + DEADLINE_SEC
    while len(list(files.iterdir())) > before and time.monotonic() < until:
        Fetch(server.port, "/hello")
    assert len(list(files.iterdir())) <= before
    server.Tell("stop")
    server.WaitExit()
