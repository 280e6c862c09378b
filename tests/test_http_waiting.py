"""Limits, deadlines and slow clients: no other client waits for them. On every runtime."""

import contextlib
import resource
import socket
import sys
import threading
import time

import pytest

import harness
from harness import Fetch, RawClient
from http_tools import Chunked, Get, Post, SendEnd, SharedSite

sys.path.insert(0, str(harness.ROOT / "bench"))
import bench_waiting

# The clock of the deadlines is coarse: one second ends within three; another one is for slow machines.
EARLY_SEC, LATE_SEC = 0.9, 4

PROGRAM = """
import asyncio
import time
from microWebSrv import MicroWebSrv
from ready import Port

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def Echo(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "%d bytes" % len(httpClient.ReadRequestContent()))

async def AsyncEcho(httpClient, httpResponse):
    try:
        size = len(await httpClient.ReadRequestContent())
    except OSError:
        print("GONE")
        raise
    httpResponse.WriteResponseOk(None, "text/plain", None, "%d bytes" % size)

async def AsyncPieces(httpClient, httpResponse):
    size = 0
    while True:
        piece = await httpClient.ReadRequestContent(1000)
        if not piece:
            break
        size += len(piece)
    httpResponse.WriteResponseOk(None, "text/plain", None, "%d bytes" % size)

async def SlowReader(httpClient, httpResponse):
    await asyncio.sleep(3)
    size = len(await httpClient.ReadRequestContent())
    httpResponse.WriteResponseOk(None, "text/plain", None, "%d bytes" % size)

async def Slow(httpClient, httpResponse):
    print("CALLED")
    await asyncio.sleep(int(httpClient.GetRequestQueryString()) / 10)
    httpResponse.WriteResponseOk(None, "text/plain", None, "slow")

def SlowThread(httpClient, httpResponse):
    time.sleep(int(httpClient.GetRequestQueryString()) / 10)
    httpResponse.WriteResponseOk(None, "text/plain", None, "slow")

mws = MicroWebSrv([("/hello", "GET", Hello), ("/echo", "POST", Echo), ("/async-echo", "POST", AsyncEcho),
                   ("/async-pieces", "POST", AsyncPieces), ("/slow", "GET", Slow), ("/slow-reader", "POST", SlowReader)],
                  Port(), "127.0.0.1", "www")
mws.AddRoute("/slow-thread", "GET", SlowThread, threaded=True)
mws.ErrorCallback = lambda text, error: print("LOG", text, repr(error))
# SETTINGS
mws.Start(threaded=False)
"""

HASTY = PROGRAM.replace("# SETTINGS", """
mws.HeadTimeoutSec = mws.BodyTimeoutSec = mws.KeepAliveTimeoutSec = mws.SendTimeoutSec = 1
mws.MaxRequestContentLen = 10000
""")


def Www(folder):
    (folder / "www").mkdir()
    with open(folder / "www" / "big.bin", "wb") as file:
        file.truncate(bench_waiting.BIG_SIZE)


site = SharedSite(HASTY, Www)


@contextlib.contextmanager
def OneSecond():
    """The block must take one second, with the coarse clock's tolerance."""
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    assert EARLY_SEC < took < LATE_SEC, "after %.1f s" % took


# -- deadlines

def _Kept(port):
    client = RawClient(port)
    client.Send(Get("/hello"))
    response = client.ReadResponse()
    assert response.text == "hello"
    return client


def test_who_says_nothing_is_closed_without_an_answer(site):
    with OneSecond(), RawClient(site.port) as client:
        client.ExpectClose()


def test_an_idle_connection_is_closed_without_an_answer(site):
    with _Kept(site.port) as client, OneSecond():
        client.ExpectClose()


HALVES = [b"G", b"GET / HTTP/1.1\r\n", Get("/hello")[:-1], b"\r\nG", Post("/echo", b"hello")[:-1], Post("/echo", b"hello")[:-5],
          Chunked("/echo", [b"hello"])[:-1], Chunked("/echo", [b"hello"])[:-12], Post("/async-echo", b"hello")[:-2],
          Chunked("/async-echo", [b"hello"])[:-5]]


def test_half_a_request_is_408(site):
    """RFC 9110 15.5.9; also on a connection that has served a request before. All cases run at once, because they take
    time."""
    with contextlib.ExitStack() as stack:
        waiting = []
        for half in HALVES:
            fresh, kept = stack.enter_context(RawClient(site.port)), stack.enter_context(_Kept(site.port))
            waiting += [(half, fresh), (half, kept)]
        with OneSecond():
            for half, client in waiting:
                client.Send(half)
            for half, client in waiting:
                response = client.ReadResponse()
                assert (response.status, response.isClosing) == (408, True), half
        for _, client in waiting:
            SendEnd(client)
            client.ExpectClose()
    for half in HALVES:
        if b"async" in half:            # the handler is told twice that no more content will arrive
            site.WaitLine("GONE")
            site.WaitLine("GONE")


def test_a_trickle_of_a_head_is_408(site):
    """Arriving bytes are no progress: the deadline is for the whole head."""
    with RawClient(site.port) as client:
        client.socket.settimeout(0.2)
        start = time.monotonic()
        for byte in Get("/hello", "X-Slow: " + "y" * 100):
            try:
                client.Send(bytes([byte]))
                if client.socket.recv(1, socket.MSG_PEEK):
                    break
            except socket.timeout:
                pass
        assert EARLY_SEC < time.monotonic() - start < LATE_SEC
        assert client.ReadResponse().status == 408


@pytest.mark.parametrize("path", ["/echo", "/async-echo", "/async-pieces"])
def test_a_trickle_of_content_is_408_and_a_steady_flow_is_not(site, path):
    """BodyTimeoutSec, plus a second for each received KiB, whether a handler waits for all content or reads byte by
    byte."""
    with RawClient(site.port) as trickle, RawClient(site.port) as steady:
        trickle.Send(Post(path, b"x" * 5000)[:-5000])
        steady.Send(Post(path, b"x" * 8192)[:-8192])
        trickle.socket.settimeout(0.5)
        start = time.monotonic()
        refused = None
        for _ in range(8):
            steady.Send(b"x" * 1024)
            try:
                refused or trickle.Send(b"x")
                refused = refused or trickle.socket.recv(1, socket.MSG_PEEK) and time.monotonic() - start
            except socket.timeout:
                pass
            if refused:
                time.sleep(0.5)         # the pace of this client is what is tested
        assert EARLY_SEC < refused < LATE_SEC
        assert trickle.ReadResponse().status == 408
        assert steady.ReadResponse().text == "8192 bytes"


def test_a_handler_may_take_its_time(site):
    """No deadline of the client runs while the server works, also when it reads the content late."""
    with RawClient(site.port) as first, RawClient(site.port) as second, RawClient(site.port) as third:
        first.Send(Get("/slow?30") + Get("/hello"))
        second.Send(Get("/slow-thread?30") + Get("/hello"))
        third.Send(Post("/slow-reader", b"x" * 9000))
        for client in (first, second):
            assert [client.ReadResponse().text, client.ReadResponse().text] == ["slow", "hello"]
        assert third.ReadResponse().text == "9000 bytes"


def test_who_never_reads_is_cut_off(site):
    with RawClient(site.port, receiveBuffer=4096) as client:
        client.Send(Get("/big.bin"))
        client.ReadUntil(b"\r\n\r\n")
        # this client's silence is tested; bytes that the system has buffered count as received
        time.sleep(LATE_SEC + 3)
        size = len(client.ReadToEnd())
    assert size < bench_waiting.BIG_SIZE
    assert Fetch(site.port, "/hello").text == "hello"


# -- content

def test_content_above_the_limit(site):
    """413 at once if the length is known, otherwise as soon as the limit is exceeded."""
    assert Fetch(site.port, "/echo", "POST", body=b"x" * 10000).text == "10000 bytes"
    for data in (Post("/echo", b"x" * 10001), Chunked("/echo", [b"x" * 5000, b"x" * 5001]),
                 Post("/async-echo", b"x" * 10001), Chunked("/async-echo", [b"x" * 5000] * 3)):
        with RawClient(site.port) as client:
            client.Send(data)
            response = client.ReadResponse()
            assert (response.status, response.isClosing) == (413, True)
        site.WaitLine("LOG 413")        # this is of interest to the program's owner


def test_413_before_the_content_is_sent(site):
    with RawClient(site.port) as client:
        client.Send(Post("/echo", b"x" * 10001)[:-10001])
        assert client.ReadResponse().status == 413


def test_an_async_handler_reads_more_in_pieces(site):
    assert Fetch(site.port, "/async-pieces", "POST", body=b"x" * 300000).text == "300000 bytes"


def test_content_that_nobody_reads_does_not_pile_up(site):
    """An async handler does not read: the client is paused after a buffer or two, and the content is not stored."""
    with RawClient(site.port) as client:
        client.socket.settimeout(1)
        client.Send(b"POST /slow-reader HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        sent = 0
        with contextlib.suppress(socket.timeout):
            while sent < 100000000:
                sent += client.socket.send(b"x" * 65536)
        assert sent < 20000000
    assert Fetch(site.port, "/hello").text == "hello"


# -- connections

FEW = PROGRAM.replace("# SETTINGS", "mws.MaxConnections = 5\n# LIMITS")


def test_idle_connections_never_hold_the_last_slot(serve):
    """Many clients stay connected, each is served, and there is always room for one more."""
    server = serve(FEW)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(_Kept(server.port)) for _ in range(12)]
        assert Fetch(server.port, "/hello").text == "hello"
        alive = 0
        for client in clients:
            with contextlib.suppress(OSError):
                client.Send(Get("/hello", "Connection: close"))
            alive += client.ReadToEnd().endswith(b"hello")
        assert 3 <= alive <= 4


def test_the_oldest_idle_connection_makes_room(serve):
    server = serve(FEW)
    with contextlib.ExitStack() as stack:
        oldest = stack.enter_context(_Kept(server.port))
        time.sleep(2.2)                         # the clock of the server counts whole seconds
        idle = [stack.enter_context(_Kept(server.port)) for _ in range(3)]
        busy = stack.enter_context(RawClient(server.port))
        busy.Send(Get("/slow?10"))
        server.WaitLine("CALLED")
        assert Fetch(server.port, "/hello").text == "hello"
        oldest.ExpectClose()
        idle[-1].Send(Get("/hello"))
        assert idle[-1].ReadResponse().text == "hello"
        assert busy.ReadResponse().text == "slow"


def test_silent_connections_make_room(serve):
    """Browsers open sockets in advance without sending anything."""
    server = serve(FEW)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(RawClient(server.port))
        start = time.monotonic()
        until = start + LATE_SEC
        while True:
            with RawClient(server.port) as client:
                client.Send(Get("/hello", "Connection: close"))
                data = client.ReadToEnd()
            if data.endswith(b"hello"):
                break
            assert data.startswith(b"HTTP/1.1 503 ") and time.monotonic() < until
        print("answered after %.1f s" % (time.monotonic() - start))


def test_half_requests_hold_no_slot_for_ever(serve):
    server = serve(FEW.replace("# LIMITS", "mws.HeadTimeoutSec = 1"))
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(RawClient(server.port)).Send(b"GET / HT")
        with RawClient(server.port) as client:
            client.Send(Get("/hello", "Connection: close"))
            data = client.ReadToEnd()
        assert data.endswith(b"hello") or data.startswith(b"HTTP/1.1 503 ")
        until = time.monotonic() + 2 * LATE_SEC     # then their deadlines, including that of lingering, have passed
        while Fetch(server.port, "/hello").status != 200:
            assert time.monotonic() < until


def test_a_crowd_at_a_small_door(serve):
    """Sixty clients at once with room for five: each is answered, at once or after a 503 and a retry."""
    server = serve(FEW)
    answers, lock = [], threading.Lock()

    def Ask():
        tries = 0
        while True:
            tries += 1
            with RawClient(server.port) as client:
                client.Send(Get("/hello", "Connection: close"))
                data = client.ReadToEnd()
            if data and not data.startswith(b"HTTP/1.1 503 "):
                break
        with lock:
            answers.append((data[-5:], tries))

    threads = [threading.Thread(target=Ask) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(harness.DEADLINE_SEC)
    print("tries", sorted(tries for _, tries in answers)[-5:])
    assert [text for text, _ in answers] == [b"hello"] * 60


def test_a_full_house_of_endless_work_says_so(serve):
    """Every slot is busy: the next client gets 503 or waits, and is served as soon as there is room."""
    server = serve(FEW)
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(RawClient(server.port)) for _ in range(5)]
        for client in busy:
            client.Send(Get("/slow?10", "Connection: close"))
            server.WaitLine("CALLED")
        with RawClient(server.port) as client:
            client.Send(Get("/hello", "Connection: close"))
            response = client.ReadResponse()
            assert response.status in (200, 503) and response.isClosing
            assert response.status == 200 or response.Header("retry-after")
        assert [client.ReadResponse().text for client in busy] == ["slow"] * 5
    assert Fetch(server.port, "/hello").text == "hello"


def test_too_many_open_files_do_not_stop_it(serve):
    """accept() fails for a while (EMFILE); then the server serves again."""
    server = serve(PROGRAM)
    Fetch(server.port, "/hello")
    files = len(list(harness.Path("/proc/%d/fd" % server.pid).iterdir()))
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (files + 3, hard))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server.port)) for _ in range(10)]
        for client in clients:
            client.Send(Get("/slow?5", "Connection: close"))
        answered = [client.ReadToEnd()[-4:] for client in clients]
    assert answered.count(b"slow") >= 3
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert Fetch(server.port, "/hello").text == "hello"


# -- others do not wait

CALM = PROGRAM.replace('"hello")', '"Hello, World!")')

calm = SharedSite(CALM, Www)


@pytest.mark.parametrize("name, company", bench_waiting.COMPANY, ids=[name for name, _ in bench_waiting.COMPANY])
def test_nobody_waits_for_others(calm, name, company):
    """The times in docs/ come from bench/bench_waiting.py; here they must only differ from those of a server that
    waits."""
    pauseSec = 0.05 if company is bench_waiting.Trickle else 0
    fresh, kept = bench_waiting.Measure(calm.port, company, 40, pauseSec)
    print("%s beside %s: new connection median %.1f max %.1f ms, kept connection median %.1f max %.1f ms" % (
        calm.runtime, name, fresh[20] * 1e3, fresh[-1] * 1e3, kept[20] * 1e3, kept[-1] * 1e3))
    assert fresh[20] < 0.1 and kept[20] < 0.1 and fresh[-1] < 1 and kept[-1] < 1
