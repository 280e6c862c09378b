"""Streamed responses, failing handlers, invalid header values, worker threads: end to end, on every runtime."""

import time

import httpx
import pytest

import harness
from harness import Fetch, RawClient, RequestBytes
from http_tools import Answers, Get, Post, SendEnd, SharedSite

SITE = """
import asyncio
import sys
import time
from microWebSrv import MicroWebSrv
from ready import Port

CLOSED = []

class Source:
    # An iterator that counts what was taken from it and says when it was closed.
    def __init__(self, name, count, size):
        self.name, self.count, self.size, self.taken = name, count, size, 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.taken >= self.count:
            raise StopIteration
        self.taken += 1
        return b"s" * self.size

    def close(self):
        print("CLOSED %s after %d" % (self.name, self.taken))

class AsyncSource(Source):
    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0.01)
        try:
            return Source.__next__(self)
        except StopIteration:
            raise StopAsyncIteration

def Tag(httpClient, way):
    return way + httpClient.GetRequestQueryString()

@MicroWebSrv.route("/sync/<count>/<size>")
def Sync(httpClient, httpResponse, routeArgs):
    source = Source(Tag(httpClient, "sync"), routeArgs["count"], routeArgs["size"])
    print("ACCEPTED %s" % httpResponse.WriteResponseStream(source, "application/octet-stream"))

@MicroWebSrv.route("/async/<count>/<size>")
def Async(httpClient, httpResponse, routeArgs):
    source = AsyncSource(Tag(httpClient, "async"), routeArgs["count"], routeArgs["size"])
    print("ACCEPTED %s" % httpResponse.WriteResponseStream(source, "application/octet-stream"))

@MicroWebSrv.route("/async-handler/<count>/<size>")
async def AsyncHandler(httpClient, httpResponse, routeArgs):
    await asyncio.sleep(0)
    httpResponse.WriteResponseStream(AsyncSource(Tag(httpClient, "handler"), routeArgs["count"], routeArgs["size"]), "text/x")

@MicroWebSrv.route("/thread/<count>/<size>", threaded=True)
def Thread(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponseStream(Source(Tag(httpClient, "thread"), routeArgs["count"], routeArgs["size"]), "text/x")

@MicroWebSrv.route("/mixed")
def Mixed(httpClient, httpResponse):
    pieces = ["text \\u00e9 ", b"bytes ", bytearray(b"array "), "", b"", memoryview(b"view"), "!"]
    httpResponse.WriteResponseStream(pieces, "text/plain", "UTF-8", {"X-Own": "yes"}, 201)

@MicroWebSrv.route("/none")
def NoPieces(httpClient, httpResponse):
    httpResponse.WriteResponseStream([], "text/plain")

@MicroWebSrv.route("/generator")
def Generator(httpClient, httpResponse):
    def Pieces():
        try:
            for number in range(100000):
                yield "%d\\n" % number
        finally:
            print("CLOSED generator")
    httpResponse.WriteResponseStream(Pieces(), "text/plain")

@MicroWebSrv.route("/events")
def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(["one", {"data": "a\\nb", "event": "e", "id": 7, "retry": 10}, {"data": [1]}])

@MicroWebSrv.route("/endless-events")
def EndlessEvents(httpClient, httpResponse):
    class Ticks:
        def __aiter__(self):
            return self

        async def __anext__(self):
            await asyncio.sleep(0.02)
            return "tick"

        def close(self):
            print("CLOSED ticks")
    httpResponse.WriteResponseEventStream(Ticks())

@MicroWebSrv.route("/raw-endless")
def RawEndless(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain")
    count = 0
    try:
        while httpResponse._write("x" * 1000) and count < 100000:
            count += 1
    except OSError:
        pass
    print("RAW ended after %d" % count)

@MicroWebSrv.route("/raw-thread", threaded=True)
def RawThread(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain")
    for number in range(5):
        time.sleep(0.01)
        httpResponse._write("%d " % number)

@MicroWebSrv.route("/hello")
def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

@MicroWebSrv.route("/slow-thread", threaded=True)
def SlowThread(httpClient, httpResponse):
    time.sleep(0.5)
    httpResponse.WriteResponseOk(None, "text/plain", None, "slow")

@MicroWebSrv.route("/slow-async")
async def SlowAsync(httpClient, httpResponse):
    await asyncio.sleep(0.5)
    httpResponse.WriteResponseOk(None, "text/plain", None, "slow")

@MicroWebSrv.route("/gone-async")
async def GoneAsync(httpClient, httpResponse):
    print("CALLED")
    await asyncio.sleep(0.2)
    print("GONE ASYNC %s" % httpResponse.WriteResponseOk(None, "text/plain", None, "to nobody"))

@MicroWebSrv.route("/gone-thread", threaded=True)
def GoneThread(httpClient, httpResponse):
    print("CALLED")
    time.sleep(0.2)
    print("GONE THREAD %s" % httpResponse.WriteResponseOk(None, "text/plain", None, "to nobody"))

@MicroWebSrv.route("/refuse", "POST")
async def Refuse(httpClient, httpResponse):
    if httpClient.GetRequestQueryString():
        await httpClient.ReadRequestContent(10)
    await asyncio.sleep(0.1)
    httpResponse.WriteResponseForbidden()
    try:
        while await httpClient.ReadRequestContent(1000):
            pass
        print("READ all")
    except OSError:
        print("READ no more")

@MicroWebSrv.route("/gone-read", "POST")
async def GoneRead(httpClient, httpResponse):
    print("CALLED")
    try:
        await httpClient.ReadRequestContent()
    except OSError:
        print("GONE READ")
        raise

def Inject(httpClient, httpResponse):
    value = httpClient.GetRequestQueryParams()["v"]
    ways = {
        "header": lambda: httpResponse.WriteResponseOk({"X-Value": value}, "text/plain", None, "x"),
        "name": lambda: httpResponse.WriteResponseOk({value: "x"}, "text/plain", None, "x"),
        "pairs": lambda: httpResponse.WriteResponseOk([("X-Value", value)], "text/plain", None, "x"),
        "type": lambda: httpResponse.WriteResponseOk(None, value, None, "x"),
        "charset": lambda: httpResponse.WriteResponseOk(None, "text/plain", value, "x"),
        "redirect": lambda: httpResponse.WriteResponseRedirect(value),
        "json": lambda: httpResponse.WriteResponseJSONOk(1, {"X-Value": value}),
        "file": lambda: httpResponse.WriteResponseFile("main.py", "text/plain", {"X-Value": value}),
        "filetype": lambda: httpResponse.WriteResponseFile("main.py", value),
        "stream": lambda: httpResponse.WriteResponseStream(["x"], "text/plain", None, {"X-Value": value}),
        "streamtype": lambda: httpResponse.WriteResponseStream(["x"], value),
        "events": lambda: httpResponse.WriteResponseEventStream(["x"], {"X-Value": value}),
        "attachment": lambda: httpResponse.WriteResponseFileAttachment("main.py", "a", {"X-Value": value}),
        "upgrade": lambda: httpResponse.WriteSwitchProto(value),
        "upgradefield": lambda: httpResponse.WriteSwitchProto("x", {"X-Value": value}),
    }
    try:
        ways[httpClient.GetRequestQueryParams()["way"]]()
    except ValueError:
        httpResponse.WriteResponse(422, None, "text/plain", None, "refused")

mws = MicroWebSrv([("/inject", "GET", Inject)], Port(), "127.0.0.1")
mws.SendTimeoutSec = 2
mws.Start(threaded=False)
"""

site = SharedSite(SITE)


# -- streams

@pytest.mark.parametrize("way", ["sync", "async", "async-handler", "thread"])
@pytest.mark.parametrize("count, size", [(0, 1), (1, 1), (3, 100), (5, 5000), (4, 100000)])
def test_streams(site, way, count, size):
    response = Fetch(site.port, "/%s/%d/%d" % (way, count, size))
    assert (response.status, response.body == b"s" * count * size) == (200, True)
    assert response.Header("transfer-encoding") == "chunked" and response.Header("content-length") is None
    assert site.WaitLine(r"CLOSED \S+ after (\d+)").group(1) == str(count)


@pytest.mark.parametrize("way", ["sync", "async", "thread"])
def test_the_connection_lives_on_behind_a_stream(site, way):
    data = Get("/%s/3/2000" % way) + Get("/%s/0/1" % way) + Get("/hello", "Connection: close")
    bodies = [response.body for response in Answers(site, data, ("GET",) * 3)]
    assert bodies == [b"s" * 6000, b"", b"hello"]


def test_kinds_of_pieces(site):
    """Text is sent as UTF-8; an empty piece does not end the stream; the handler sets status and fields."""
    response = Fetch(site.port, "/mixed")
    assert response.body == "text \u00e9 bytes array view!".encode()
    assert (response.status, response.Header("x-own")) == (201, "yes")
    assert response.Header("content-type") == "text/plain; charset=UTF-8"
    assert Fetch(site.port, "/none").body == b""


def test_a_generator(site):
    response = Fetch(site.port, "/generator")
    assert response.text == "".join("%d\n" % number for number in range(100000))
    site.WaitLine("CLOSED generator")


def test_head_of_a_stream_closes_it_unread(site):
    assert Fetch(site.port, "/sync/1000/1000?-head", "HEAD").body == b""
    assert int(site.WaitLine(r"CLOSED sync-head after (\d+)").group(1)) <= 1


@pytest.mark.parametrize("way", ["sync", "async", "thread"])
def test_a_client_that_leaves_closes_the_source(site, way):
    with RawClient(site.port, receiveBuffer=4096) as client:
        client.Send(Get("/%s/100000/10000?-left" % way))
        client.ReadExactly(20000)
        client.Close(reset=True)
    assert int(site.WaitLine(r"CLOSED %s-left after (\d+)" % way).group(1)) < 100000
    assert Fetch(site.port, "/hello").text == "hello"


def test_a_client_that_never_reads_closes_the_source(site):
    """SendTimeoutSec without progress: a limited number of pieces is pulled, and the connection is aborted."""
    clients = [RawClient(site.port, receiveBuffer=4096) for _ in range(3)]
    start = time.monotonic()
    for client, way in zip(clients, ("sync", "async", "thread")):
        client.Send(Get("/%s/100000/10000?-stuck" % way))
    taken = [int(site.WaitLine(r"CLOSED \S+-stuck after (\d+)").group(1)) for _ in clients]
    assert 1 < time.monotonic() - start < 8
    assert max(taken) < 2000, "%d KB were pulled for a client that reads nothing" % (max(taken) * 10)
    for client in clients:
        client.Close()
    assert Fetch(site.port, "/hello").text == "hello"


def test_a_slow_reader_gets_everything(site):
    """A client that makes progress is not aborted, although the whole response takes longer than the timeout."""
    with RawClient(site.port) as client:
        client.Send(Get("/sync/240/50000?-slow", "Connection: close"))
        size, start = 0, time.monotonic()
        while time.monotonic() - start < 3.5:
            size += len(client.ReadExactly(300000))
            time.sleep(0.2)         # the pace of this client is what is tested
        size += len(client.ReadToEnd())
    assert size > 12000000
    site.WaitLine("CLOSED sync-slow after 240")


def test_events(site):
    response = Fetch(site.port, "/events")
    assert response.mediaType == "text/event-stream" and "no-store" in response.Header("cache-control")
    events = [sorted(event.split("\n")) for event in response.text.split("\n\n")]
    assert events == [["data: one"], sorted(["id: 7", "event: e", "retry: 10", "data: a", "data: b"]), ["data: [1]"], [""]]


def test_events_arrive_one_by_one_until_the_client_leaves(site):
    with RawClient(site.port) as client:
        client.Send(Get("/endless-events"))
        client.ReadUntil(b"\r\n\r\n")
        for _ in range(3):
            client.ReadUntil(b"data: tick\n\n")
        client.Close(reset=True)
    site.WaitLine("CLOSED ticks")


def test_a_polite_goodbye_ends_an_endless_stream(site):
    """EventSource.close() only sends a FIN: closing the sending side ends an endless stream."""
    with RawClient(site.port) as client:
        client.Send(Get("/endless-events"))
        client.ReadUntil(b"data: tick\n\n")
        SendEnd(client)
        site.WaitLine("CLOSED ticks")


def test_raw_writes(site):
    """A loop of _write after a head: limited memory, and it ends when the client has left."""
    assert Fetch(site.port, "/raw-thread").text == "0 1 2 3 4 "
    with RawClient(site.port, receiveBuffer=4096) as client:
        client.Send(Get("/raw-endless"))
        client.ReadExactly(20000)
        client.Close(reset=True)
    assert int(site.WaitLine(r"RAW ended after (\d+)").group(1)) < 100000
    assert Fetch(site.port, "/hello").text == "hello"


RAW = """
import os
import sys
from microWebSrv import MicroWebSrv
from ready import Port

def Raw(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, None)
    try:
        for number in range(int(httpClient.GetRequestQueryParams()["n"])):
            httpResponse._write(b"%07d," % number * 375)
    except OSError:
        print("GONE")

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText(text)

if sys.implementation.name != "micropython":
    import resource
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kept = [os.dup(0) for _ in range(1100)]     # select() knows no file beyond number 1023
async def RawAsync(httpClient, httpResponse):
    Raw(httpClient, httpResponse)

mws = MicroWebSrv([("/raw", "GET", Raw), ("/raw-async", "GET", RawAsync), ("/hello", "GET", Hello)], Port(), "127.0.0.1", "www")
mws.AddRoute("/raw-thread", "GET", Raw, threaded=True)
mws.AcceptWebSocketCallback = Accept
mws.WebSocketThreaded = False
mws.Start(threaded=False)
"""


@pytest.mark.parametrize("receiveBuffer", (4096, None))
def test_a_long_raw_answer_of_a_plain_handler(serve, tmp_path, receiveBuffer):
    """It blocks the engine, and no loop sends meanwhile: the client gets all of it as fast as it reads. After it the
    connection works as before."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file.bin").write_bytes(bytes(range(256)) * 1000)
    server = serve(RAW)
    content = b"".join([b"%07d," % number * 375 for number in range(2000)])
    with RawClient(server.port, receiveBuffer=receiveBuffer) as client:
        for _ in range(2):
            client.Send(Get("/raw?n=2000"))
            assert client.ReadResponse().body == content
            client.Send(Get("/hello") + Get("/file.bin") + Get("/raw?n=1"))
            assert client.ReadResponse().body == b"hello"
            assert client.ReadResponse().body == bytes(range(256)) * 1000
            assert client.ReadResponse().body == content[:3000]
        client.Send(Get("/file.bin", "Connection: close"))
        assert client.ReadResponse().body == bytes(range(256)) * 1000
        assert client.ReadToEnd() == b""
    with RawClient(server.port, receiveBuffer=receiveBuffer) as client:
        client.Send(b"GET /raw?n=2000 HTTP/1.0\r\n\r\n")
        assert client.ReadToEnd().partition(b"\r\n\r\n")[2] == content
    with RawClient(server.port, receiveBuffer=4096) as client:
        client.Send(Get("/raw?n=10000"))
        client.ReadExactly(10000)
        client.Close(reset=True)
    server.WaitLine("GONE")
    with RawClient(server.port) as client:
        client.Send(Get("/raw?n=1"))
        client.ReadResponse()
        client.Send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        assert client.ReadUntil(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        client.Send(b"\x81\x85\0\0\0\0hello\x88\x80\0\0\0\0")
        assert client.ReadToEnd() == b"\x81\x05hello\x88\x00"


def test_a_generator_of_empty_pieces(serve):
    """It has no data yet: other clients are served meanwhile."""
    server = serve("""
from microWebSrv import MicroWebSrv
from ready import Port

said = []

def Wait():
    while not said:
        yield ""
    yield said[0]

def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Wait(), "text/plain")

def Say(httpClient, httpResponse):
    said.append("at last")
    httpResponse.WriteResponseOk(None, "text/plain", None, "said")

MicroWebSrv([("/stream", "GET", Stream), ("/say", "GET", Say)], Port(), "127.0.0.1", "www").Start(threaded=False)
""")
    with RawClient(server.port) as client:
        client.Send(Get("/stream"))
        client.ReadUntil(b"\r\n\r\n")
        assert Fetch(server.port, "/say").text == "said"
        assert client.ReadUntil(b"0\r\n\r\n") == b"7\r\nat last\r\n0\r\n\r\n"


@pytest.mark.parametrize("path", ("/raw?n=3", "/raw-thread?n=3", "/raw-async?n=3", "/raw?n=1000000000"))
def test_head_of_a_raw_answer(serve, path):
    """The same field lines without content, even for an endless response; the next request on the connection gets its
    own response."""
    server = serve(RAW)
    with RawClient(server.port) as client:
        if "n=3" in path:
            client.Send(Get(path))
            fields = [field for field in client.ReadResponse().headers if field[0].lower() != "date"]
        client.Send(RequestBytes("HEAD", path) + Get("/hello") + RequestBytes("HEAD", path))
        head = client.ReadResponse("HEAD")
        assert (head.status, head.body) == (200, b"")
        assert client.ReadResponse().body == b"hello"
        assert client.ReadResponse("HEAD").body == b""
        if "n=3" in path:
            assert [field for field in head.headers if field[0].lower() != "date"] == fields
        client.Send(Get("/hello", "Connection: close"))
        assert client.ReadToEnd().count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("way", ["sync", "async", "thread", "async-handler"])
def test_a_half_closed_client_gets_the_whole_stream(site, way):
    with RawClient(site.port) as client:
        client.Send(Get("/%s/20/5000" % way))
        client.SendEnd()
        assert client.ReadResponse().body == b"s" * 100000
        client.ExpectClose()


def test_httpx_streams(site):
    with httpx.Client(base_url=site.Url()) as client, client.stream("GET", "/async/5/10") as response:
        assert b"".join(response.iter_bytes()) == b"s" * 50


# -- clients that leave

@pytest.mark.parametrize("way", ["async", "thread"])
def test_an_answer_for_nobody(site, way):
    with RawClient(site.port) as client:
        client.Send(Get("/gone-" + way))
        site.WaitLine("CALLED")
        client.Close(reset=True)
    assert site.WaitLine(r"GONE %s (\w+)" % way.upper()).group(1) == "False"


def test_reading_from_a_client_that_left(site):
    """The handler gets an OSError; a lost client is not an error of the server, so nothing is logged."""
    with RawClient(site.port) as client:
        client.Send(Post("/gone-read", b"x" * 100)[:-50])
        site.WaitLine("CALLED")
        client.Close(reset=True)
    site.WaitLine("GONE READ")


@pytest.mark.parametrize("size, left", [(100, 0), (100, 50), (3000000, 3000000), (3000000, 2900000), (3000000, 0)])
@pytest.mark.parametrize("query", ["", "?read"])
def test_an_upload_that_an_async_handler_refuses(site, size, left, query):
    """The 403 arrives, however much content was sent; a handler that reads on gets the end of the content."""
    if query and left == size:
        pytest.skip("it would wait for content that never comes")
    data = Post("/refuse" + query, b"x" * size)
    with RawClient(site.port) as client:
        client.Send(data[:len(data) - left])
        assert client.ReadResponse("POST").status == 403
    site.WaitLine("READ (all|no more)")
    assert Fetch(site.port, "/hello").text == "hello"


# -- worker threads and slow handlers

@pytest.mark.parametrize("way", ["slow-thread", "slow-async"])
def test_slow_handlers_do_not_hold_the_engine(site, way):
    with RawClient(site.port) as slow:
        slow.Send(Get("/" + way))
        start = time.monotonic()
        for _ in range(5):
            assert Fetch(site.port, "/hello").text == "hello"
        assert time.monotonic() - start < 0.4
        assert slow.ReadResponse().text == "slow"


@pytest.mark.parametrize("way", ["slow-thread", "slow-async"])
def test_slow_handlers_run_side_by_side(site, way):
    clients = [RawClient(site.port) for _ in range(6)]
    start = time.monotonic()
    for client in clients:
        client.Send(Get("/" + way, "Connection: close"))
    for client in clients:
        assert client.ReadResponse().text == "slow"
        client.Close()
    assert time.monotonic() - start < 2


# -- response splitting

WAYS = ["header", "name", "pairs", "type", "charset", "redirect", "json", "file", "filetype", "stream", "streamtype",
        "events", "attachment", "upgrade", "upgradefield"]


@pytest.mark.parametrize("way", WAYS)
def test_no_response_splitting(site, way):
    """CR, LF and NUL in header values raise ValueError before anything is sent. An unknown charset is replaced by
    UTF-8."""
    for value in ("a%0D%0AX-Evil:%20yes", "a%0AX-Evil:%20yes", "a%0DX-Evil:%20yes", "a%00b", "a%0D%0A%0D%0A%3Chtml%3E"):
        response = Fetch(site.port, "/inject?way=%s&v=%s" % (way, value))
        if way == "charset" and response.status == 200:
            assert (response.Header("content-type"), response.Header("x-evil")) == ("text/plain; charset=UTF-8", None)
            continue
        assert (response.status, response.text, response.Header("x-evil")) == (422, "refused", None)


# -- handlers that fail

FAILING = """
import asyncio
import sys
from microWebSrv import MicroWebSrv
from ready import Port

def Fail(httpClient, httpResponse):
    raise KeyError("plain fault")

async def FailAsync(httpClient, httpResponse):
    await asyncio.sleep(0)
    raise KeyError("async fault")

def FailThread(httpClient, httpResponse):
    raise KeyError("thread fault")

def FailLate(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "complete")
    raise KeyError("late fault")

def FailHeld(httpClient, httpResponse):
    httpResponse.WriteResponseOk({"X-Own": "yes"})
    raise KeyError("held fault")

def FailRaw(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain")
    httpResponse._write("half of")
    raise KeyError("raw fault")

def Pieces(count, name):
    for number in range(count):
        yield "piece %d " % number + "x" * 3000
    raise KeyError("%s fault" % name)

def FailFirst(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Pieces(0, "first"), "text/plain")

def FailStream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Pieces(3, "stream"), "text/plain")

class AsyncPieces:
    def __init__(self, left, name):
        self.left, self.name = left, name

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.left -= 1
        if self.left < 0:
            raise KeyError("%s fault" % self.name)
        await asyncio.sleep(0)
        return "piece "

def FailAsyncStream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(AsyncPieces(3, "astream"), "text/plain")

def FailType(httpClient, httpResponse):
    httpResponse.WriteResponseStream([b"good " * 1000, 7], "text/plain")

def FailContent(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, 7)

def FailArgs(httpClient, httpResponse, routeArgs):
    pass

def FailExit(httpClient, httpResponse):
    raise MemoryError("memory fault")

def FailJson(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(FailJson)

def Exit(httpClient, httpResponse):
    sys.exit(3)

async def ExitAsync(httpClient, httpResponse):
    await asyncio.sleep(0)
    sys.exit(3)

async def Sleep():
    await asyncio.sleep(1000)

async def Cancelled(httpClient, httpResponse):
    task = asyncio.create_task(Sleep())
    await asyncio.sleep(0)
    task.cancel()
    await task

class ExitPieces(AsyncPieces):
    async def __anext__(self):
        self.left -= 1
        if self.left < 0:
            sys.exit(3)
        return "piece "

class CancelledPieces(AsyncPieces):
    async def __anext__(self):
        self.left -= 1
        if self.left < 0:
            await Cancelled(None, None)
        return "piece "

def ExitStream(httpClient, httpResponse):
    def Pieces():
        yield "piece " * 1000
        sys.exit(3)
    httpResponse.WriteResponseStream(Pieces(), "text/plain")

def ExitAsyncStream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(ExitPieces(2, ""), "text/plain")

def CancelledStream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(CancelledPieces(2, ""), "text/plain")

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def OnError(text, error):
    print("LOG %s|%s" % (text, error if error is None else type(error).__name__ + " " + str(error)))
    if "thread" in text:
        raise ValueError("the callback fails as well")

ROUTES = [("/" + name, "GET", handler) for name, handler in (
    ("plain", Fail), ("async", FailAsync), ("late", FailLate), ("held", FailHeld), ("raw", FailRaw), ("first", FailFirst),
    ("stream", FailStream), ("astream", FailAsyncStream), ("type", FailType), ("content", FailContent),
    ("args", FailArgs), ("memory", FailExit), ("json", FailJson), ("hello", Hello), ("exit", Exit), ("exit-async", ExitAsync),
    ("cancelled", Cancelled), ("exit-stream", ExitStream), ("exit-astream", ExitAsyncStream),
    ("cancelled-astream", CancelledStream))]
mws = MicroWebSrv(ROUTES, Port(), "127.0.0.1")
mws.AddRoute("/thread", "GET", FailThread, threaded=True)
mws.ErrorCallback = OnError
mws.AccessCallback = lambda client, code: print("ACCESS %s %s" % (client.GetRequestPath(), code))
mws.Start(threaded=False)
"""


failing = SharedSite(FAILING)


@pytest.mark.parametrize("path, error", [
    ("plain", "KeyError"), ("async", "KeyError"), ("held", "KeyError"), ("content", "ValueError"), ("args", "TypeError"),
    ("memory", "MemoryError"), ("json", "ValueError"), ("first", "KeyError")])
def test_a_failure_before_the_head_is_500(failing, path, error):
    """Without details; the exception is logged, and connection and server continue."""
    if path == "json" and failing.runtime == "micropython":
        error = None            # its json accepts any value
    data = Get("/" + path) + Get("/hello", "Connection: close")
    first, second = Answers(failing, data, ("GET", "GET"))
    assert second.text == "hello"
    if error:
        assert (first.status, first.Header("x-own")) == (500, None)
        assert "fault" not in first.text and "Error" not in first.text.replace("Internal Server Error", "")
        failing.WaitLine(r"LOG GET /%s\|%s" % (path, error))


@pytest.mark.parametrize("path, error", [("exit", "SystemExit"), ("exit-async", "SystemExit"), ("cancelled", "CancelledError")])
def test_what_ends_programs_ends_no_server(failing, path, error):
    """sys.exit() in a handler, and a handler that awaits a cancelled task: 500, and nothing is lost."""
    for _ in range(3):
        first, second = Answers(failing, Get("/" + path) + Get("/hello", "Connection: close"), ("GET", "GET"))
        assert (first.status, second.text) == (500, "hello")
        failing.WaitLine(r"LOG GET /%s\|%s" % (path, error))


@pytest.mark.parametrize("path", ["exit-stream", "exit-astream", "cancelled-astream"])
def test_what_ends_programs_cuts_a_stream(failing, path):
    data = harness.RawExchange(failing.port, Get("/" + path) + Get("/hello"))
    assert data.startswith(b"HTTP/1.1 200 OK\r\n") and not data.endswith(b"0\r\n\r\n") and b"hello" not in data
    failing.WaitLine(r"LOG GET /%s\|(SystemExit|CancelledError)" % path)
    assert Fetch(failing.port, "/hello").text == "hello"


def test_a_failure_on_a_thread_and_in_the_callback(failing):
    """ErrorCallback may fail as well: then both exceptions are on the console."""
    failing.ExpectError("the callback fails as well")
    assert Fetch(failing.port, "/thread").status == 500
    failing.WaitLine("LOG GET /thread")
    assert Fetch(failing.port, "/hello").text == "hello"


def test_a_failure_behind_a_complete_answer(failing):
    """The response was sent and stays valid; the failure is logged."""
    assert Fetch(failing.port, "/late").text == "complete"
    failing.WaitLine(r"LOG GET /late\|KeyError")


@pytest.mark.parametrize("path", ["raw", "stream", "astream", "type"])
def test_a_failure_behind_the_head_cuts_the_connection(failing, path):
    """The client must see that the content is incomplete: there is no last chunk."""
    data = harness.RawExchange(failing.port, Get("/" + path) + Get("/hello"))
    assert data.startswith(b"HTTP/1.1 200 OK\r\n") and not data.endswith(b"0\r\n\r\n") and b"hello" not in data
    with pytest.raises(Exception, match="peer closed|closed"):
        harness.ParseResponses(data)
    failing.WaitLine(r"LOG .*\|(KeyError|TypeError|ValueError)")
    assert Fetch(failing.port, "/hello").text == "hello"


def test_access_callback(failing):
    for target, code in (("/hello", 200), ("/none", 404), ("/plain", 500)):
        Fetch(failing.port, target)
        failing.WaitLine("ACCESS %s %d" % (target, code))
    Fetch(failing.port, "/hello", "HEAD")
    failing.WaitLine("ACCESS /hello 200")


def test_bad_requests_and_the_callbacks(failing):
    """A bad request is not an error of the server: ErrorCallback is not called, but AccessCallback is."""
    mark = len(failing.stdout)
    harness.RawExchange(failing.port, b"GET / HTTP/1.1\r\n\r\n")
    Fetch(failing.port, "/hello")
    failing.WaitLine("ACCESS /hello 200")
    assert "LOG" not in failing.stdout[mark:]
    assert " 400" in failing.stdout[mark:]


DEFAULTS = """
from microWebSrv import MicroWebSrv
from ready import Port

def Fail(httpClient, httpResponse):
    raise KeyError("fault")

MicroWebSrv([("/fail", "GET", Fail)], Port(), "127.0.0.1").Start(threaded=False)
"""


def test_the_default_log(serve):
    """One line and the traceback on stderr, with method and target; successful requests are not logged."""
    server = serve(DEFAULTS)
    server.ExpectError(r"GET /fail\?x.*KeyError: .?fault")
    assert Fetch(server.port, "/fail?x").status == 500
    assert Fetch(server.port, "/").status == 404
    assert "fault" not in server.stdout
