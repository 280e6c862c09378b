"""A program may raise any exception wherever the server calls it: the client gets a response or an abort, the exception
is logged, and neither a worker nor a connection slot is lost. Only Ctrl-C passes.
"""

import pytest
from websockets.sync.client import connect

import harness
from harness import Fetch, RawClient
from http_tools import Get

PROGRAM = """
import asyncio
import sys
from microWebSrv import MicroWebSrv
from ready import Port

class Own(BaseException):
    pass

KINDS = {"exit": SystemExit, "cancelled": asyncio.CancelledError, "generator": GeneratorExit, "own": Own, "value": ValueError}

def Raise(kind):
    raise KINDS[kind]("on purpose")

def Plain(httpClient, httpResponse, routeArgs):
    Raise(routeArgs["kind"])

def Begun(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponse(200, None, "text/plain", None, None)
    httpResponse._write("begun" * 300)
    Raise(routeArgs["kind"])

def Stream(httpClient, httpResponse, routeArgs):
    def Pieces():
        yield "first" * 300
        Raise(routeArgs["kind"])
    httpResponse.WriteResponseStream(Pieces(), "text/plain")

async def Async(httpClient, httpResponse, routeArgs):
    await asyncio.sleep(0)
    Raise(routeArgs["kind"])

async def Forever():
    await asyncio.sleep(1000)

async def Awaits(httpClient, httpResponse, routeArgs):
    task = asyncio.create_task(Forever())
    await asyncio.sleep(0)
    task.cancel()
    await task

class Pieces:
    def __init__(self, kind):
        self.kind = kind
        self.count = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.count += 1
        if self.count == 2:
            Raise(self.kind)
        return "first" * 300

async def AsyncStream(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponseStream(Pieces(routeArgs["kind"]), "text/plain")

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

async def AsyncHello(httpClient, httpResponse):
    await asyncio.sleep(0)
    Hello(httpClient, httpResponse)

def Accept(webSocket, httpClient):
    where, kind = httpClient.GetRequestPath().split("/")[-2:]
    if where == "accept":
        Raise(kind)

    def OnText(webSocket, text):
        if text == "raise" and where == "text":
            Raise(kind)
        webSocket.SendText(text)

    async def OnAsyncText(webSocket, text):
        OnText(webSocket, text)

    def OnClosed(webSocket):
        print("CLOSED")
        if where == "closed":
            Raise(kind)

    webSocket.RecvTextCallback = OnAsyncText if "async" in httpClient.GetRequestPath() else OnText
    webSocket.ClosedCallback = OnClosed

mws = MicroWebSrv([("/hello", "GET", Hello), ("/plain/<kind>", "GET", Plain), ("/begun/<kind>", "GET", Begun),
                   ("/stream/<kind>", "GET", Stream)], Port(), "127.0.0.1", "www")
mws.AddRoute("/worker/hello", "GET", Hello, threaded=True)
mws.AddRoute("/worker/begun/<kind>", "GET", Begun, threaded=True)
mws.AddRoute("/worker/stream/<kind>", "GET", Stream, threaded=True)
mws.AddRoute("/worker/<kind>", "GET", Plain, threaded=True)
if ASYNC:
    mws.AddRoute("/async/hello", "GET", AsyncHello)
    mws.AddRoute("/async/<kind>", "GET", Async)
    mws.AddRoute("/awaits/<kind>", "GET", Awaits)
    mws.AddRoute("/astream/<kind>", "GET", AsyncStream)
mws.MaxWorkers = 2
mws.MaxConnections = 4            # a place that is lost is missed
mws.AcceptWebSocketCallback = Accept
mws.WebSocketThreaded = THREADED
mws.ErrorCallback = lambda text, error: print("LOG %s|%s" % (text, type(error).__name__))
mws.Start()
for line in sys.stdin:
    exec(line)
mws.Stop()
"""
NAMES = {"exit": "SystemExit", "cancelled": "CancelledError", "generator": "GeneratorExit", "own": "Own", "value": "ValueError"}
ASYNC = ("/async/", "/awaits/", "/astream/")


@pytest.fixture(params=(True, False), ids=("async", "plain"))
def site(request, serve, modulePath, tmp_path):
    return serve(PROGRAM.replace("ASYNC", str(request.param)).replace("THREADED", str(request.param))), request.param


def Check(server, isAsync):
    """No slot and no worker is lost."""
    for path in ("/hello", "/worker/hello", "/worker/hello", "/worker/hello") + (("/async/hello",) if isAsync else ()):
        assert Fetch(server.port, path).text == "hello"


@pytest.mark.parametrize("kind", NAMES)
def test_in_a_handler_and_in_a_stream(site, kind):
    server, isAsync = site
    for path in ("/plain/", "/begun/", "/stream/", "/worker/", "/worker/begun/", "/worker/stream/") + (ASYNC if isAsync else ()):
        name = "CancelledError" if path == "/awaits/" else NAMES[kind]
        for _ in range(3):                      # more often than there are workers
            with RawClient(server.port) as client:
                client.Send(Get(path + kind))
                if "stream" in path or "begun" in path:
                    data = client.ReadToEnd()
                    assert data.startswith(b"HTTP/1.1 200 ") and b"first" in data or b"begun" in data, path
                    assert not data.endswith(b"0\r\n\r\n"), path
                else:
                    assert client.ReadResponse().status == 500, path
            server.WaitLine(r"LOG GET %s.*\|%s" % (path + kind, name))
        Check(server, isAsync)


@pytest.mark.parametrize("kind", NAMES)
def test_in_a_callback_of_a_websocket(site, kind):
    server, isAsync = site

    def Open(path):
        return connect("ws://127.0.0.1:%d%s/%s" % (server.port, path, kind), proxy=None, compression=None,
                       open_timeout=harness.DEADLINE_SEC, close_timeout=harness.DEADLINE_SEC)

    for prefix in ("", "/async") if isAsync else ("",):
        with Open(prefix + "/text") as webSocket:
            webSocket.send("raise")
            server.WaitLine(r"LOG .*\|" + NAMES[kind])
            webSocket.send("goes on")
            assert webSocket.recv(harness.DEADLINE_SEC) == "goes on"
        server.WaitLine("CLOSED")
        with Open(prefix + "/closed") as webSocket:
            webSocket.send("echo")
            assert webSocket.recv(harness.DEADLINE_SEC) == "echo"
        server.WaitLine("CLOSED")
        server.WaitLine(r"LOG .*\|" + NAMES[kind])
    with Open("/accept"):
        server.WaitLine(r"LOG .*\|" + NAMES[kind])
    Check(server, isAsync)
