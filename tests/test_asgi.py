"""A program behind real ASGI servers (microWebAsgi, microWebAsgiSocket), and ASGI applications in our server
(microWebMount).

The tables of the other files run here too: see harness.ASGI_FILES. This file tests what is special: several ASGI
servers and workers, HTTP/2, unusual scopes, lifespan, root_path.
"""

import asyncio
import importlib
import json
import signal
import socket
import sys
import threading
import time

import httpx
import pytest
import websockets.sync.client
from websockets.exceptions import ConnectionClosed, InvalidStatus

import harness
from harness import RawClient, RequestBytes

UVICORN = ("-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "critical", "--no-proxy-headers",
           "--timeout-graceful-shutdown", "2")
GRANIAN = ("-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", "--no-log", "main:app")
FRONTS = {
    "uvicorn": (*UVICORN, "--http", "httptools"),
    "uvicorn-h11": (*UVICORN, "--http", "h11", "--ws", "wsproto"),
    "uvicorn-4": (*UVICORN, "--workers", "4"),
    "granian": GRANIAN,
    "granian-4": (*GRANIAN, "--workers", "4"),
    "hypercorn": ("-m", "hypercorn", "--bind", "127.0.0.1:{port}", "--error-logfile", "/dev/null", "--graceful-timeout", "1", "main:app"),
}
# what these servers report for code 4002 and reason "enough"
CLOSED = {"granian": "CLOSED 4002 $", "hypercorn": "CLOSED 1006 $"}
ROOT_PATH = {"uvicorn": "--root-path", "granian": "--url-path-prefix", "hypercorn": "--root-path"}

PROGRAM = """
import asyncio
import os
import threading
import time
from microWebSrv import MicroWebSrv

mws = MicroWebSrv(webPath="www")
mws.MaxRequestContentLen = 100000
mws.WebSocketProtocols = ("second", "first")
events = __import__("microWebEvents").MicroWebEvents(pingSec=1)

def Say(*words):
    print(*words, flush=True)

@mws.route("/who")
def Who(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([httpClient.GetRequestMethod(), httpClient.GetRequestPath(), httpClient.GetRequestTotalPath(),
        httpClient.GetRequestQueryParams(), httpClient.GetRequestHeaders().get("X-Name"), httpClient.GetIPAddr(),
        httpClient.IsSecure(), httpClient.GetHost(), os.getpid(), mws.IsStarted(), mws.IsOnEngine()])

@mws.route("/users/<id>/posts/<name>")
def User(httpClient, httpResponse, args):
    httpResponse.WriteResponseJSONOk(args)

@mws.route("/form", "POST")
def Form(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.ReadRequestPostedFormData())

@mws.route("/json", "POST")
async def Json(httpClient, httpResponse):
    await asyncio.sleep(0)
    httpResponse.WriteResponseJSONOk(await httpClient.ReadRequestContentAsJSON())

@mws.route("/count", "POST")
async def Count(httpClient, httpResponse):
    size = 0
    while True:
        piece = await httpClient.ReadRequestContent(65536)
        if not piece:
            break
        size += len(piece)
    httpResponse.WriteResponseJSONOk(size)

@mws.route("/thread", threaded=True)
def Thread(httpClient, httpResponse):
    time.sleep(0.01)
    httpResponse.WriteResponseJSONOk([mws.IsOnEngine()])

@mws.route("/raw-thread", threaded=True)
def RawThread(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain")
    for number in range(40):
        httpResponse._write("%07d," % number * 12500)

@mws.route("/early")
async def Early(httpClient, httpResponse):
    httpResponse.WriteResponseOk(content="early")
    await asyncio.sleep(30)

@mws.route("/pieces")
def Pieces(httpClient, httpResponse):
    httpResponse.WriteResponseStream(("%07d," % number for number in range(200000)), "text/plain")

@mws.route("/async-pieces")
async def AsyncPieces(httpClient, httpResponse):
    async def Make():
        for number in range(5):
            yield "piece %d\\n" % number
            await asyncio.sleep(0.01)
    httpResponse.WriteResponseStream(Make(), "text/plain")

@mws.route("/endless")
async def Endless(httpClient, httpResponse):
    async def Make():
        try:
            while True:
                yield "x" * 1000
                await asyncio.sleep(0.01)
        finally:
            Say("ENDED")
    httpResponse.WriteResponseStream(Make(), "text/plain")

@mws.route("/events")
def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(events)

@mws.route("/tell/<text>")
def Tell(httpClient, httpResponse, args):
    httpResponse.WriteResponseJSONOk(events.Send(args["text"]))

@mws.route("/waits")
async def Waits(httpClient, httpResponse):
    Say("WAITS")
    while httpClient.IsConnected():
        await asyncio.sleep(0.01)
    Say("GONE", httpResponse.WriteResponseOk(content="for nobody"))

@mws.route("/fails")
def Fails(httpClient, httpResponse):
    raise ValueError("on purpose")

@mws.route("/breaks")
def Breaks(httpClient, httpResponse):
    def Make():
        yield "begun " * 1000
        raise ValueError("in the middle")
    httpResponse.WriteResponseStream(Make(), "text/plain")

@mws.route("/sent")
def Sent(httpClient, httpResponse):
    httpResponse.OnSent(lambda: Say("SENT", mws.IsOnEngine()))
    httpResponse.WriteResponseOk(content="last")

def Guard(httpClient, httpResponse):
    httpResponse.WriteResponseError(401)

def OnText(webSocket, msg):
    if msg == "close":
        webSocket.Close(4001, "as asked")
    elif msg == "all":
        mws.Broadcast("to all", "/chat/all")
    else:
        webSocket.SendText(msg)

@mws.webSocketRoute("/chat/<room>")
def OnAccept(webSocket, httpClient, args):
    webSocket.RecvTextCallback = OnText
    webSocket.RecvBinaryCallback = lambda webSocket, data: webSocket.SendBinary(data)
    webSocket.ClosedCallback = lambda webSocket: Say("CLOSED", webSocket.CloseCode, webSocket.CloseReason)
    webSocket.SendText("room %s %s" % (args["room"], webSocket.Protocol))

@mws.webSocketRoute("/async")
async def OnAcceptAsync(webSocket, httpClient):
    async def OnText(webSocket, msg):
        await asyncio.sleep(0.001)
        webSocket.SendText("1 " + msg)
        await asyncio.sleep(0.001)
        webSocket.SendText("2 " + msg)
    webSocket.RecvTextCallback = OnText

def OnStart():
    Say("START")

async def OnStop():
    Say("STOP")

mws.Before(Guard, "/secret")
mws.After(lambda httpClient, httpResponse: httpResponse.SetHeader("X-After", "yes"))
app = mws.Asgi(OnStart, OnStop)
"""


class Front(harness.Server):
    """A program behind an ASGI server, which is started by its own command, in a new folder."""

    def __init__(self, command, program, workDir):
        self.runtime = command[1]
        self._expected = []
        (workDir / "main.py").write_text(program, encoding="utf-8")
        env = harness.Command("cpython", "", (harness.SRC, workDir))[1]
        port = harness.FreePorts(1)[0]
        self._Launch([sys.executable, *(part.format(port=port) for part in command)], env, workDir)
        self.port = port
        deadline = time.monotonic() + harness.DEADLINE_SEC
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                alive = self.process.poll() is None and time.monotonic() < deadline
                if not alive:
                    self.Kill()
                assert alive, self.Report()
                time.sleep(0.02)

    def Judge(self):
        """Ignores Hypercorn's own messages at shutdown."""
        end = self.stderr.find("Exception in callback StreamReaderProtocol")
        if end >= 0:
            self._err.text = self._err.text[:end]
        super().Judge()

    def End(self):
        """End it with SIGTERM, like a service manager."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(harness.DEADLINE_SEC)
        self._Drain()


@pytest.fixture(scope="module", params=FRONTS)
def front(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("asgi")
    (folder / "www" / "sub").mkdir(parents=True)
    (folder / "www" / "file.txt").write_text("0123456789" * 1000)
    (folder / "www" / "page.pyhtml").write_text("<p>{{ 6 * 7 }}")
    (folder / "www" / "sub" / "index.html").write_text("index")
    with Front(FRONTS[request.param], PROGRAM, folder) as server:
        server.name = request.param
        yield server


def Connect(server, path, **kwargs):
    return websockets.sync.client.connect("ws://127.0.0.1:%d%s" % (server.port, path), **kwargs)


# -- behind each server -------------------------------------------------------------------------------------------------

def test_requests(front):
    with httpx.Client(base_url=front.Url("")) as client:
        method, path, total, query, name, address, isSecure, host, _, isStarted, _ = \
            client.get("/who?a=1&b=x+y", headers={"X-Name": "é".encode()}).json()
        assert (method, path, total, query) == ("GET", "/who", "/who?a=1&b=x+y", {"a": "1", "b": "x y"})
        assert (name, address, isSecure, host, isStarted) == ("é", "127.0.0.1", False, "127.0.0.1:%d" % front.port, True)
        assert client.get("/users/7/posts/a%2Fb%20c").json() == {"id": 7, "name": "a/b c"}
        assert client.post("/form", data={"name": "Ada", "note": "x & y"}).json() == {"name": "Ada", "note": "x & y"}
        assert client.post("/json", json=[1, "two"]).json() == [1, "two"]
        assert client.get("/thread").json() == [False]
        response = client.get("/who", headers={"Accept": "x"})
        assert response.headers["x-after"] == "yes" and response.headers["content-type"] == "application/json; charset=UTF-8"
        for path, method, status in (("/nothing", "GET", 404), ("/who", "POST", 405), ("/who", "OPTIONS", 204), ("/secret/x", "GET", 401),
                                     ("/%zz", "GET", 400), ("/a%00b", "GET", 400), ("/page.pyhtml", "GET", 200), ("/sub", "GET", 301)):
            response = client.request(method, path)
            assert (response.status_code, response.headers["x-after"]) == (status, "yes"), path
        assert client.options("/who").headers["allow"] == "GET, HEAD, OPTIONS"
        assert client.get("/page.pyhtml").text == "<p>42"
        response = client.head("/who")
        assert response.status_code == 200 and response.content == b"" and int(response.headers["content-length"]) > 50


def test_files(front):
    with httpx.Client(base_url=front.Url("")) as client:
        whole = client.get("/file.txt")
        assert whole.text == "0123456789" * 1000 and whole.headers["accept-ranges"] == "bytes"
        part = client.get("/file.txt", headers={"Range": "bytes=8-11"})
        assert (part.status_code, part.text, part.headers["content-range"]) == (206, "8901", "bytes 8-11/10000")
        assert client.get("/file.txt", headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
        assert client.get("/sub/").text == "index"
        assert client.get("/sub", headers={"Host": "x"}).headers["location"] == "/sub/"


def test_content_is_streamed(front):
    """More content than a plain handler may get, in chunks; a plain handler's limit refuses before the content
    arrives."""
    def Chunks():
        for _ in range(100):
            yield b"z" * 30000
    assert httpx.post(front.Url("/count"), content=Chunks()).json() == 3000000
    with RawClient(front.port) as client:
        client.Send(RequestBytes("POST", "/form", [("Content-Length", "1000000"), ("Expect", "100-continue"), ("Connection", "close")]))
        if front.name == "hypercorn":           # it sends 100 before it calls the application
            client.ReadUntil(b"\r\n\r\n")
        assert client.ReadUntil(b"\r\n").startswith(b"HTTP/1.1 413")
    assert httpx.post(front.Url("/form"), content=(b"y" * 60000 for _ in range(2))).status_code == 413


def test_answers_are_streamed(front):
    assert httpx.get(front.Url("/pieces")).text == "".join("%07d," % number for number in range(200000))
    assert httpx.get(front.Url("/raw-thread")).text == "".join("%07d," % number * 12500 for number in range(40))
    assert httpx.get(front.Url("/async-pieces")).text == "".join("piece %d\n" % number for number in range(5))
    with httpx.stream("GET", front.Url("/early")) as response:      # its handler still runs
        assert response.read() == b"early"


def test_a_failure_is_answered_or_cut(front):
    for error in ("on purpose", "in the middle"):
        front.ExpectError(error)
    assert httpx.get(front.Url("/fails")).status_code == 500
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(front.Url("/breaks"))


def test_the_end_of_a_client_is_heard_of(front):
    for path, said in (("/endless", "ENDED"), ("/waits", "GONE False")):
        with RawClient(front.port) as client:
            client.Send(RequestBytes("GET", path))
            client.ReadExactly(1000) if path == "/endless" else front.WaitLine("WAITS")
            client.Close(reset=True)
        front.WaitLine(said)
    assert httpx.get(front.Url("/sent")).text == "last"
    front.WaitLine("SENT True")


def test_events(front):
    with httpx.stream("GET", front.Url("/events")) as response:
        lines = response.iter_lines()
        assert response.headers["content-type"] == "text/event-stream"
        if front.name[-1] == "4":       # another worker may get the message; its keep-alive comment shows that it lives
            assert ":" in next(lines)
            return
        assert httpx.get(front.Url("/tell/hello")).json() == 1
        assert "data: hello" in (next(lines), next(lines), next(lines))


def test_websockets(front):
    with Connect(front, "/chat/7", subprotocols=["first", "second"]) as client:
        assert client.recv() == "room 7 second" and client.subprotocol == "second"
        for message in ("text", "é" * 1000, b"\x00\xff" * 1000, ""):
            client.send(message)
            assert client.recv() == message
        client.send("close")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "as asked")
    front.WaitLine("CLOSED 4001 as asked")
    with Connect(front, "/chat/8") as client:
        assert client.recv() == "room 8 None"
        client.close(4002, "enough")
    front.WaitLine(CLOSED.get(front.runtime, "CLOSED 4002 enough"))
    with Connect(front, "/async") as client:
        for number in range(5):
            client.send(str(number))
        assert [client.recv() for _ in range(10)] == ["%d %d" % (step, number) for number in range(5) for step in (1, 2)]


def test_broadcast(front):
    if front.name[-1] == "4":
        pytest.skip("each worker has clients of its own")
    with Connect(front, "/chat/all") as first, Connect(front, "/chat/all") as second, Connect(front, "/chat/other") as other:
        for client in (first, second, other):
            client.recv()
        first.send("all")
        assert first.recv() == second.recv() == "to all"
        other.send("mine")
        assert other.recv() == "mine"


@pytest.mark.parametrize("path, status, origin", [("/nothing", 404, None), ("/secret/x", 401, None), ("/chat/1", 403, "http://evil.example")])
def test_a_websocket_is_refused(front, path, status, origin):
    """With the status if the ASGI server can send it, else with 403."""
    with pytest.raises(InvalidStatus) as caught:
        Connect(front, path, origin=origin)
    assert caught.value.response.status_code in ((status, 403) if front.name.startswith("granian") else (status,))


@pytest.mark.parametrize("name", ROOT_PATH)
def test_root_path_and_lifespan(name, tmp_path):
    (tmp_path / "www" / "sub").mkdir(parents=True)
    with Front((*FRONTS[name], ROOT_PATH[name], "/below"), PROGRAM, tmp_path) as server:
        server.WaitLine("START")
        prefix = "/below" if name == "granian" else ""      # the others expect a proxy that has removed it
        assert httpx.get(server.Url(prefix + "/who")).json()[1] == "/who"
        assert httpx.get(server.Url(prefix + "/sub")).headers["location"] == "/below/sub/"
        server.End()
        assert server.stdout.count("STOP") == 1, server.Report()


@pytest.mark.parametrize("name", ["uvicorn-4", "granian-4"])
def test_several_workers_share_the_work(name, tmp_path):
    (tmp_path / "www").mkdir()
    with Front(FRONTS[name], PROGRAM, tmp_path) as server:
        found = set()
        deadline = time.monotonic() + harness.DEADLINE_SEC
        while len(found) < 2 and time.monotonic() < deadline:
            found.add(httpx.get(server.Url("/who")).json()[8])
        assert len(found) > 1
        for _ in range(4):
            server.WaitLine("START")


def test_http2(tmp_path):
    """Without Host; many parallel requests on one connection; content in both directions."""
    (tmp_path / "www").mkdir()
    with Front(FRONTS["hypercorn"], PROGRAM, tmp_path) as server:
        async def Talk():
            async with httpx.AsyncClient(http1=False, http2=True, base_url=server.Url("")) as client:
                first = await client.get("/who")
                assert first.http_version == "HTTP/2" and first.json()[7] == "127.0.0.1:%d" % server.port
                answers = await asyncio.gather(*(client.get("/users/%d/posts/x" % number) for number in range(50)))
                assert [answer.json()["id"] for answer in answers] == list(range(50))

                async def Chunks():
                    for _ in range(20):
                        yield b"z" * 30000
                assert (await client.post("/count", content=Chunks())).json() == 600000
                assert (await client.post("/form", content=b"a=1", headers={"Content-Type": "application/x-www-form-urlencoded"})
                        ).json() == {"a": "1"}
                assert len((await client.get("/pieces")).content) == 1600000
                assert (await client.get("/sent")).text == "last"       # HTTP/2 has no Connection header
        asyncio.run(Talk())
        server.WaitLine("SENT True")


# -- scopes that none of these servers sends
# ----------------------------------------------------------------------------

@pytest.fixture
def mws(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    server = importlib.import_module("microWebSrv").MicroWebSrv(webPath=str(harness.ROOT / "docs"))
    server.logged = []
    server.ErrorCallback = lambda text, error: server.logged.append(text)
    server.AddRoute("/p/<rest>", "GET", lambda client, response, args: response.WriteResponseJSONOk(
        [client.GetRequestPath(), client.GetRequestTotalPath(), client.head.authority, list(client.GetAddr()), args]))
    server.AddRoute("/post", "POST", lambda client, response: response.WriteResponseOk(content=client.ReadRequestContent()))
    return server


def Scope(path, method="GET", headers=((b"host", b"a"),), **kwargs):
    return {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": b"", "root_path": "", "scheme": "http", "headers": list(headers), **kwargs}


def Ask(app, scope, messages=({"type": "http.request"},)):
    """-> (status, headers, content)"""
    sent, coming = [], list(messages)

    async def Receive():
        if coming:
            return coming.pop(0)
        return await asyncio.Event().wait()

    async def Send(message):
        sent.append(message)

    asyncio.run(app(scope, Receive, Send))
    body = b"".join(message["body"] for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


def test_what_a_handler_returns_is_its_answer(mws):
    """With microWebJson, as on our own server: plain, async, in a thread, a generator."""
    async def Later(client, response):
        await asyncio.sleep(0)
        return {"b": 2}

    mws.AddRoute("/plain", "GET", lambda client, response: {"a": 1})
    mws.AddRoute("/later", "GET", Later)
    mws.AddRoute("/thread", "GET", lambda client, response: (201, {"c": 3}), threaded=True)
    mws.AddRoute("/pieces", "GET", lambda client, response: (piece for piece in "pq"))
    for path, status, content in (("/plain", 200, b'{"a": 1}'), ("/later", 200, b'{"b": 2}'), ("/thread", 201, b'{"c": 3}'),
                                  ("/pieces", 200, b"pq")):
        answer = Ask(mws.Asgi(), Scope(path))
        assert (answer[0], answer[2]) == (status, content), path


def test_uploads_go_to_their_folder(mws, tmp_path):
    """With microWebUpload, in pieces, above MaxRequestContentLen; an aborted upload leaves no files."""
    importlib.import_module("microWebUpload").AcceptUploads(mws, "/up", str(tmp_path))
    mws.MaxRequestContentLen = 50
    mws.AddRoute("/up", "POST", lambda client, response: response.WriteResponseJSONOk([[file.name, file.size] for file in client.upload.files]))

    async def Later(client, response):
        return [file.name for file in client.upload.files]

    mws.AddRoute("/up/later", "POST", Later)
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\n' + b"x" * 5000 + b"\r\n--b--\r\n"
    headers = ((b"host", b"a"), (b"content-type", b"multipart/form-data; boundary=b"), (b"transfer-encoding", b"chunked"))

    def Pieces(data):
        return [{"type": "http.request", "body": data[at:at + 700], "more_body": at + 700 < len(data)} for at in range(0, len(data), 700)]

    for path, content in (("/up", b'[["a.txt", 5000]]'), ("/up/later", b'["a.txt"]')):
        answer = Ask(mws.Asgi(), Scope(path, "POST", headers), Pieces(form))
        assert (answer[0], answer[2]) == (200, content)
        assert (tmp_path / "a.txt").read_bytes() == b"x" * 5000
        (tmp_path / "a.txt").unlink()
    assert Ask(mws.Asgi(), Scope("/up", "POST", headers), Pieces(form[:-8]))[0] == 400
    with pytest.raises(IndexError):             # nobody gets a response
        Ask(mws.Asgi(), Scope("/up", "POST", headers), [*Pieces(form)[:3], {"type": "http.disconnect"}])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scope, path", [
    ({"raw_path": None}, "/p/x"),
    ({"raw_path": b"/p/a%2Fb"}, "/p/a/b"),
    ({"raw_path": b"//p///x"}, "/p/x"),
    ({"raw_path": b"/r/p/x", "root_path": "/r"}, "/p/x"),
    ({"raw_path": b"/p/x", "root_path": "/r"}, "/p/x"),
    ({"raw_path": b"/p/x", "root_path": "/r/"}, "/p/x"),
    ({"headers": [[b"host", b"a"]]}, "/p/x"),
    ({"http_version": "1.0", "headers": []}, "/p/x"),
    ({"http_version": "2"}, "/p/x"),
    ({"http_version": "3"}, "/p/x"),
    ({"client": None}, "/p/x"),
    ({"client": ["192.0.2.1", 5]}, "/p/x"),
])
def test_scopes(mws, scope, path):
    whole = Scope("/p/x", **scope)
    if whole["raw_path"] is None:
        del whole["raw_path"]
        whole["path"] = path = "/p/é x"
    for _ in range(2):                          # the second one is in the memo
        status, headers, body = Ask(mws.Asgi(), whole)
        assert status == 200 and json.loads(body)[0] == path
        assert json.loads(body)[3] == (["192.0.2.1", 5] if scope.get("client") else ["", 0])
    assert headers[b"content-type"] == b"application/json; charset=UTF-8"


@pytest.mark.parametrize("scope, status", [
    ({"raw_path": b"/%zz"}, 400), ({"raw_path": b"/%00"}, 400), ({"raw_path": b"/%ff"}, 400), ({"raw_path": b"/a b"}, 400),
    ({"raw_path": b"/a\x00"}, 400), ({"headers": []}, 400), ({"headers": [(b"host", b"a b")]}, 400),
    ({"headers": [(b"host", b"a"), (b"host", b"b")]}, 400), ({"headers": [(b"host", b"a"), (b"content-length", b"-1")]}, 400),
    ({"headers": [(b"host", b"other.example")]}, 421), ({"raw_path": b"/" + b"a" * 9000}, 414),
    ({"headers": [(b"host", b"a"), (b"x", b"y" * 40000)]}, 431), ({"raw_path": b"/../x"}, 404), ({"raw_path": b"/.git/config"}, 404),
])
def test_rules_of_the_core_hold(mws, scope, status):
    mws.AllowedHosts = ("a",)
    assert Ask(mws.Asgi(), Scope("/", **scope))[0] == status


def test_content(mws):
    mws.MaxRequestContentLen = 10
    pieces = [{"type": "http.request", "body": b"12345", "more_body": True}, {"type": "http.request", "body": b"678", "more_body": False}]
    chunked = ((b"host", b"a"), (b"transfer-encoding", b"chunked"))
    assert Ask(mws.Asgi(), Scope("/post", "POST", chunked), pieces)[2] == b"12345678"
    assert Ask(mws.Asgi(), Scope("/post", "POST", http_version="2"), pieces)[2] == b"12345678"
    # before any content was read
    assert Ask(mws.Asgi(), Scope("/post", "POST", ((b"host", b"a"), (b"content-length", b"11"))), ())[0] == 413
    assert Ask(mws.Asgi(), Scope("/post", "POST", chunked), [pieces[0], pieces[0], pieces[0]])[0] == 413


def test_a_client_that_goes_while_it_sends(mws):
    called = []
    mws.AddRoute("/gone", "POST", lambda client, response: called.append(1))
    app = mws.Asgi()

    async def Main():
        coming = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]

        async def Receive():
            return coming.pop(0)

        await app(Scope("/gone", "POST", ((b"host", b"a"), (b"content-length", b"5"))), Receive, None)

    asyncio.run(Main())
    assert not called and not mws.logged


def test_a_slow_client_is_left(mws):
    """It takes nothing for SendTimeoutSec: the source is closed, and its task ends."""
    mws.SendTimeoutSec = 1
    closed = threading.Event()

    def Make():
        try:
            while True:
                yield "x" * 2000
        finally:
            closed.set()

    mws.AddRoute("/slow", "GET", lambda client, response: response.WriteResponseStream(Make()))

    async def Main():
        async def Send(message):
            if message.get("body"):
                await asyncio.Event().wait()

        async def Receive():
            return await asyncio.Event().wait()

        await asyncio.wait_for(mws.Asgi()(Scope("/slow"), Receive, Send), 10)

    asyncio.run(Main())
    assert closed.is_set()


def test_lifespan(mws):
    said = []

    async def OnStop():
        said.append("stop")

    async def Live(app):
        coming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent = []

        async def Receive():
            said.append(mws.IsStarted())
            return coming.pop(0)

        async def Send(message):
            sent.append(message["type"])

        await app({"type": "lifespan"}, Receive, Send)
        return sent

    sent = asyncio.run(Live(mws.Asgi(lambda: said.append("start"), OnStop)))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert said == [True, "start", True, "stop"] and not mws.IsStarted()
    assert asyncio.run(Live(mws.Asgi(lambda: 1 / 0))) == ["lifespan.startup.failed"]
    with pytest.raises(ValueError):
        Ask(mws.Asgi(), {"type": "other"})


@pytest.mark.parametrize("isThreaded", [False, True])
def test_what_comes_behind_the_end_of_the_lifespan(mws, isThreaded):
    """granian ends it while a WebSocket is open: its last messages and its end are still heard of, and requests answered."""
    mws.WebSocketThreaded = isThreaded
    heard = []

    def OnAccept(webSocket, client):
        webSocket.RecvTextCallback = lambda webSocket, text: heard.append((text, webSocket.SendText(text)))
        webSocket.ClosedCallback = lambda webSocket: heard.append(webSocket.CloseCode)

    mws.AcceptWebSocketCallback = OnAccept
    app = mws.Asgi()

    async def Main():
        life, messages, sent, opened = asyncio.Queue(), asyncio.Queue(), [], asyncio.Event()

        async def Send(message):
            sent.append(message["type"])
            opened.set()

        life.put_nowait({"type": "lifespan.startup"})
        living = asyncio.ensure_future(app({"type": "lifespan"}, life.get, Send))
        messages.put_nowait({"type": "websocket.connect"})
        handshake = [(b"host", b"a"), (b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"sec-websocket-version", b"13"),
                     (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")]
        while sent != ["lifespan.startup.complete"]:
            await opened.wait()
        opened.clear()
        socket = asyncio.ensure_future(app(dict(Scope("/", headers=handshake), type="websocket", subprotocols=[]), messages.get, Send))
        await opened.wait()
        life.put_nowait({"type": "lifespan.shutdown"})
        await living
        messages.put_nowait({"type": "websocket.receive", "text": "late"})
        messages.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await socket
        await app(Scope("/p/x"), messages.get, Send)
        assert sent[-1] == "http.response.body" and not mws.IsStarted()

    asyncio.run(Main())
    assert mws.logged == []
    assert heard[-1] == 1001


def test_the_same_program_at_home(mws):
    """Asgi() changes nothing for Start."""
    mws.Asgi()
    mws.port, mws.bindIP, mws.Banner = harness.FreePorts(1)[0], "127.0.0.1", False
    mws.Start()
    try:
        assert harness.Fetch(mws.GetPort(), "/p/x").status == 200
    finally:
        mws.Stop()


def test_threads_are_bounded(mws):
    """Plain handlers in threads, by AsgiThreaded: at most MaxWorkers run at once."""
    mws.AsgiThreaded = True
    mws.MaxWorkers = 3
    busy, most, lock = [], [], threading.Lock()

    def Work(client, response):
        with lock:
            busy.append(1)
            most.append(len(busy))
        time.sleep(0.02)
        with lock:
            busy.pop()
        response.WriteResponseJSONOk(mws.IsOnEngine())

    mws.AddRoute("/work", "GET", Work)

    async def Main():
        app = mws.Asgi()
        answers = []

        async def Receive():
            return await asyncio.Event().wait()

        async def Send(message):
            answers.append(message.get("body"))

        await asyncio.gather(*(app(Scope("/work"), Receive, Send) for _ in range(12)))
        app.workers.Close()
        return answers

    answers = asyncio.run(Main())
    assert answers.count(b"false") == 12 and max(most) == 3
