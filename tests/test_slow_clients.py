"""Slow, greedy or rude clients: others are served meanwhile, and the server keeps little memory for them.

Cases of tests/test_http_waiting.py (deadlines, eviction, idle and slow clients) are not repeated here. tools/soak.py
and bench/bench_waiting.py measure times.
"""

import time
import contextlib
import re
import resource

import pytest

import harness
from harness import Fetch, RawClient
from http_tools import Chunked, Get, Post, SendEnd

BIG_SIZE = 100 << 20

PROGRAM = """
import gc
import sys
from microWebSrv import MicroWebSrv
from ready import Port

isAsync = "asyncio" in sys.argv         # an async handler brings asyncio; without one the core's own poll loop serves

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def Echo(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "%d bytes" % len(httpClient.ReadRequestContent()))

async def AsyncEcho(httpClient, httpResponse):
    size = 0
    while True:
        piece = await httpClient.ReadRequestContent(65536)
        if not piece:
            break
        size += len(piece)
    httpResponse.WriteResponseOk(None, "text/plain", None, "%d bytes" % size)

def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(("x" * 1000 for _ in range(200000)), "text/plain")

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText(text)

def Heap(httpClient, httpResponse):
    gc.collect()
    httpResponse.WriteResponseJSONOk([gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0, len(mws.links)])

mws = MicroWebSrv([("/hello", "GET", Hello), ("/echo", "POST", Echo), ("/async", "POST", AsyncEcho if isAsync else Echo), ("/stream", "GET", Stream),
                   ("/heap", "GET", Heap)], Port(), "127.0.0.1", "www")
mws.AcceptWebSocketCallback = Accept
mws.MaxConnections = 5000
mws.ErrorCallback = lambda text, error: print("LOG", text, repr(error))
mws.Start(threaded=False)
"""

HANDSHAKE = harness.RequestBytes("GET", "/ws", (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                                                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")))


@pytest.fixture(params=(*harness.RUNTIMES, "micropython-asyncio"))
def runtime(request):
    return request.param


@pytest.fixture
def site(serve, runtime, tmp_path):
    (tmp_path / "www").mkdir()
    with open(tmp_path / "www" / "big.bin", "wb") as file:
        file.truncate(BIG_SIZE)
    # The port's default of 2 MB is too little for 2000 connections.
    return serve(PROGRAM, options=("-X", "heapsize=16M") if runtime.startswith("micropython") else (),
                 args=runtime.split("-")[1:])


def Kilobytes(server):
    """On MicroPython the reachable memory, because the heap has a fixed size and contains garbage."""
    heap = Fetch(server.port, "/heap").Json()[0] >> 10
    if heap:
        return heap
    status = harness.Path("/proc/%d/status" % server.pid).read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1))


def Files(server):
    return len(list(harness.Path("/proc/%d/fd" % server.pid).iterdir()))


@contextlib.contextmanager
def Bounded(server, most):
    """The growth of the process in KB, at the end."""
    before = Kilobytes(server)
    yield
    grown = Kilobytes(server) - before
    print("grown by %d KB" % grown)
    assert grown < most


def Served(server):
    assert Fetch(server.port, "/hello").text == "hello"


def test_head_and_content_byte_by_byte_with_others_between(site):
    """Each byte is read separately, and after each one another client is served."""
    for data, content in ((Get("/hello"), "hello"), (Post("/echo", b"12345"), "5 bytes"),
                          (Chunked("/async", [b"123", b"45"]), "5 bytes")):
        with RawClient(site.port) as client, RawClient(site.port) as other:
            for at in range(len(data)):
                client.Send(data[at:at + 1])
                other.Send(Get("/hello"))
                assert other.ReadResponse().text == "hello"
            assert client.ReadResponse().text == content


def test_who_never_reads_a_large_file_costs_no_memory(site):
    with contextlib.ExitStack() as stack, Bounded(site, 12000):
        for target in ("/big.bin", "/stream"):
            for _ in range(20):
                client = stack.enter_context(RawClient(site.port, receiveBuffer=4096))
                client.Send(Get(target))
                client.ReadUntil(b"\r\n\r\n")
                Served(site)
        Served(site)


def test_thousands_of_idle_connections(site):
    count = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 200:
        pytest.skip("no more than %d files may be open here" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with contextlib.ExitStack() as stack, Bounded(site, count * 16):
            for number in range(count):
                client = stack.enter_context(RawClient(site.port))
                if number % 2:
                    client.Send(Get("/hello"))
                    assert client.ReadResponse().text == "hello"
            for _ in range(20):
                Served(site)
            links = Fetch(site.port, "/heap").Json()[1]
            assert links > count * 0.9, "%d of %d" % (links, count)
        Served(site)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- endless requests

ENDLESS = {
    "8 MB without a line end": (b"GET /" + b"a" * 1000, b"a" * 65536, 128, (b"414",)),
    "a million header fields": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-Some: y\r\n" * 10000, 100, (b"431",)),
    "a URI of 1 MB": (b"GET /", b"%41" * 20000, 17, (b"414",)),
    "8 MB of one header field": (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"y" * 65536, 128, (b"431",)),
    "an endless chunk extension": (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x" * 65536, 64, (b"400",)),
    "endless trailers": (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 10000, 64, (b"400",)),
    "endless chunks": (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"4\r\nabcd\r\n" * 10000, 100, (b"413",)),
    "content of 1 TB": (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1099511627776\r\n\r\n", b"x" * 65536, 64, (b"413",)),
    "empty lines": (b"\r\n", b"\r\n" * 30000, 100, (b"", b"400", b"408")),
    "line feeds": (b"\n", b"\n" * 65536, 16, (b"400", b"414")),
    "NUL": (b"\0", b"\0" * 65536, 128, (b"414", b"400")),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_is_refused_and_not_kept(site, what):
    start, piece, count, statuses = ENDLESS[what]
    with Bounded(site, 9000):
        with RawClient(site.port) as client:
            with contextlib.suppress(ConnectionError):
                client.Send(start)
                for number in range(count):
                    client.Send(piece)
                    if number % 16 == 0:
                        Served(site)
            SendEnd(client)
            answer = client.ReadToEnd()
        # If a client still sends when the server has closed, a reset may destroy the response.
        assert not answer or answer[9:12] in statuses, answer[:200]
        Served(site)


@pytest.mark.parametrize("runtime", ("cpython-asyncio", "micropython-asyncio"))
def test_endless_content_for_who_reads_it_is_not_kept(site):
    """An async handler reads in pieces: 64 MB pass through."""
    size = 64 << 20
    with Bounded(site, 12000), RawClient(site.port) as client:
        client.Send(Post("/async", b"")[:-len("Content-Length: 0\r\n\r\n")] + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 20):
            client.Send(b"x" * (1 << 20))
        assert client.ReadResponse().text == "%d bytes" % size


# -- half-closed and reset, at every stage

def _AskedForTheEnd(client):
    client.Send(Get("/hello"))
    client.ReadResponse()


STAGES = {
    "connected": lambda client: None,
    "half a line": lambda client: client.Send(b"GET /hel"),
    "half a head": lambda client: client.Send(b"GET /hello HTTP/1.1\r\nHost:"),
    "a request": lambda client: client.Send(Get("/hello")),
    "a hundred requests": lambda client: client.Send(Get("/hello") * 100),
    "half a content": lambda client: client.Send(Post("/echo", b"x" * 1000)[:-500]),
    "half a content, async": lambda client: client.Send(Post("/async", b"x" * 1000)[:-500]),
    "half a chunk": lambda client: client.Send(Chunked("/echo", [b"hello"])[:-9]),
    "within a file": lambda client: (client.Send(Get("/big.bin")), client.ReadUntil(b"\r\n\r\n")),
    "within a stream": lambda client: (client.Send(Get("/stream")), client.ReadUntil(b"\r\n\r\n")),
    "between requests": _AskedForTheEnd,
    "behind a refusal": lambda client: client.Send(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 10000),
    "a WebSocket": lambda client: (client.Send(HANDSHAKE), client.ReadUntil(b"\r\n\r\n")),
    "half a frame": lambda client: (client.Send(HANDSHAKE), client.ReadUntil(b"\r\n\r\n"), client.Send(b"\x81\xfe\1")),
}


def test_a_reset_at_every_stage(site):
    """SO_LINGER 0: the kernel reports the reset at once, in any state. Nothing of the connection remains, and only the
    end of a handler's content is logged."""
    Served(site)
    files = Files(site)
    for stage in STAGES.values():
        for _ in range(3):
            client = RawClient(site.port)
            stage(client)
            client.Close(reset=True)
            Served(site)
    _WaitForFiles(site, files)
    logged = [line for line in site.stdout.splitlines() if line.startswith("LOG")]
    assert [line for line in logged if "OSError" not in line and "ConnectionResetError" not in line] == []


def test_half_closed_at_every_stage(site):
    """FIN: complete requests are answered, incomplete ones are aborted, and then the server closes. Only a client that
    requested 100 MB has to read them."""
    Served(site)
    files = Files(site)
    for name, stage in STAGES.items():
        with RawClient(site.port) as client:
            stage(client)
            SendEnd(client)
            if name not in ("within a file", "within a stream"):
                data = client.ReadToEnd()
                count = data.count(b"HTTP/1.1 200 OK\r\n")
                assert count == {"a request": 1, "a hundred requests": 100}.get(name, 0), name
        Served(site)
    _WaitForFiles(site, files)


def _WaitForFiles(server, most):
    """After an aborted connection the server needs one or two turns of its loop: each request gives it one. On CPython
    a file stays open until the server's clock ticks."""
    until = time.monotonic() + 3
    while time.monotonic() < until:
        if Files(server) <= most:
            return
        Served(server)
    raise AssertionError("%d files are open, %d were" % (Files(server), most))
