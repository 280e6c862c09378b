"""microWebMount: an ASGI application next to our routes, on our own server and behind an ASGI server."""

import json

import httpx
import pytest
import websockets.sync.client
from websockets.exceptions import ConnectionClosed, InvalidStatus

import harness
from harness import RawClient, RequestBytes

# A minimal application without a framework: it tests what an ASGI server has to do.
BARE = """
import asyncio
from microWebSrv import MicroWebSrv
from ready import Port

def Say(*words):
    print(*words, flush=True)

async def App(scope, receive, send):
    await {"http": Http, "websocket": Socket, "lifespan": Live}[scope["type"]](scope, receive, send)

async def Live(scope, receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["began"] = "yes"
    await asyncio.sleep(0.05)
    Say("UP")
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await asyncio.sleep(0.01)
    Say("DOWN")
    await send({"type": "lifespan.shutdown.complete"})

async def Http(scope, receive, send):
    path = scope["path"][len(scope["root_path"]):]
    async def Start(status, *headers):
        await send({"type": "http.response.start", "status": status, "headers": headers})
    if path == "/scope":
        keep = ("http_version", "method", "scheme", "path", "root_path", "state")
        data = {name: scope[name] for name in keep}
        data["raw"] = [scope["raw_path"].decode(), scope["query_string"].decode(), scope["client"][0], dict(scope["headers"])[b"x-name"].decode()]
        body = __import__("json").dumps(data).encode()
        await Start(203, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))
        await send({"type": "http.response.body", "body": body})
    elif path == "/echo":
        await Start(200, (b"content-type", b"text/plain"))
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})
    elif path == "/big":
        await Start(200, (b"content-length", b"%d" % (3000 * 5000)))
        sent = 0
        try:
            for number in range(5000):
                await send({"type": "http.response.body", "body": b"%02999d," % number, "more_body": number < 4999})
                sent += 1
                if sent % 1000 == 0:
                    Say("SENT", sent)
        except OSError:
            Say("BROKEN", sent)
            raise
    elif path == "/waits":
        await receive()
        Say("WAITS")
        Say("GONE", (await receive())["type"])
    elif path == "/none":
        pass
    elif path == "/breaks":
        await Start(200)
        await send({"type": "http.response.body", "body": b"x" * 5000, "more_body": True})
        raise RuntimeError("in the middle")
    else:
        raise ValueError("on purpose")

async def Socket(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    path = scope["path"][len(scope["root_path"]):]
    if path == "/refused":
        await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-why", b"tea")]})
        await send({"type": "websocket.http.response.body", "body": b"tea"})
        return
    if path == "/closed":
        return await send({"type": "websocket.close"})
    await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[-1], "headers": [(b"x-of", b"app")]})
    if path == "/ends":
        return
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return Say("LEFT", message["code"], message.get("reason", ""))
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4003, "reason": "asked"})
        elif message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})

def Guard(httpClient, httpResponse):
    httpResponse.WriteResponseError(401)

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.AddRoute("/app/own", "GET", lambda httpClient, httpResponse: httpResponse.WriteResponseOk(content="own"))
mws.Mount("/app", App)
mws.Before(Guard, "/app/secret")
mws.After(lambda httpClient, httpResponse: httpResponse.SetHeader("X-After", "yes"))
mws.SendTimeoutSec = 60
"""
FOREGROUND = BARE + """
import threading
threading.Thread(target=lambda: (input(), mws.Stop()), daemon=True).start()
mws.Start(threaded=False)
Say("END")
"""
SERVE = BARE + """
async def Main():
    asyncio.get_running_loop().run_in_executor(None, lambda: (input(), mws.Stop()))
    await mws.Serve()
    await asyncio.sleep(0.2)
    Say("END")
asyncio.run(Main())
"""


@pytest.fixture(scope="module", params=["cpython", harness.ASGI_RUNTIME])
def bare(request, tmp_path_factory):
    with harness.Server(request.param, FOREGROUND, tmp_path_factory.mktemp("bare")) as server:
        for error in ("on purpose", "in the middle", "has sent no answer"):
            server.ExpectError(error)
        yield server


def test_a_request(bare):
    answer = httpx.get(bare.Url("/app/scope?a=1"), headers={"X-Name": "Ada"})
    data = answer.json()
    assert data.pop("raw") == ["/app/scope", "a=1", "127.0.0.1", "Ada"]
    assert data == {"http_version": "1.1", "method": "GET", "scheme": "http", "path": "/app/scope", "root_path": "/app", "state": {"began": "yes"}}
    assert (answer.status_code, answer.headers.get_list("set-cookie"), answer.headers["x-after"]) == (203, ["a=1", "b=2"], "yes")
    head = httpx.head(bare.Url("/app/scope"), headers={"X-Name": "Ada"})
    assert (head.content, int(head.headers["content-length"]) > 100) == (b"", True)
    assert httpx.get(bare.Url("/app/own")).text == "own"
    assert httpx.get(bare.Url("/app/secret/scope")).status_code == 401
    assert httpx.get(bare.Url("/apple")).status_code == 404


def test_errors(bare):
    assert httpx.get(bare.Url("/app/fails")).status_code == 500
    assert httpx.get(bare.Url("/app/none")).status_code == 500
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(bare.Url("/app/breaks"))


@pytest.mark.parametrize("content", [b"", b"hello", b"z" * 3000000, "chunked"])
def test_content_both_ways(bare, content):
    if content == "chunked":
        answer = httpx.post(bare.Url("/app/echo"), content=(b"%05d" % number * 1000 for number in range(100)))
        assert answer.content == b"".join(b"%05d" % number * 1000 for number in range(100))
    else:
        assert httpx.post(bare.Url("/app/echo"), content=content).content == content


def test_back_pressure(bare):
    """The client reads nothing: the application waits in send(); then the client reads everything, or leaves."""
    with RawClient(bare.port, receiveBuffer=65536) as client:
        client.Send(RequestBytes("GET", "/app/big"))
        head = client.ReadUntil(b"\r\n\r\n")
        assert b"content-length: 15000000" in head.lower()
        assert not bare.HasLine("SENT 5000", 0.3)
        size = len(client.ReadExactly(1)) + len(client._reader.rest)
        while size < 15000000:
            size += len(client.Receive())
    bare.WaitLine("SENT 5000")
    with RawClient(bare.port, receiveBuffer=4096) as client:
        client.Send(RequestBytes("GET", "/app/big"))
        client.ReadExactly(100000)
        client.Close(reset=True)
    bare.WaitLine(r"BROKEN \d+")
    with RawClient(bare.port) as client:
        client.Send(RequestBytes("GET", "/app/waits"))
        bare.WaitLine("WAITS")
    bare.WaitLine("GONE http.disconnect")


def Connect(server, path, **kwargs):
    return websockets.sync.client.connect("ws://127.0.0.1:%d/app%s" % (server.port, path), **kwargs)


def test_websockets(bare):
    with Connect(bare, "/chat", subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b" and client.response.headers["x-of"] == "app"
        for number in range(100):
            client.send(str(number))
        client.send(b"\x00\xff" * 30000)
        assert [client.recv() for _ in range(100)] == [str(number) for number in range(100)]
        assert client.recv() == b"\x00\xff" * 30000
        client.send("close")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4003, "asked")
    bare.WaitLine("LEFT 4003")
    with Connect(bare, "/chat") as client:
        client.close(4004, "bye")
    bare.WaitLine("LEFT 4004 bye")
    with Connect(bare, "/ends") as client, pytest.raises(ConnectionClosed):
        client.recv()
    for path, status in (("/refused", 418), ("/closed", 403), ("/secret/x", 401)):
        with pytest.raises(InvalidStatus) as caught:
            Connect(bare, path)
        assert caught.value.response.status_code == status
    with pytest.raises(InvalidStatus) as caught:
        Connect(bare, "/chat", origin="http://evil.example")
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("program", [FOREGROUND, SERVE], ids=["start", "serve"])
def test_lifespan_is_that_of_the_server(tmp_path, program):
    with harness.Server("cpython", program, tmp_path) as server:
        server.WaitLine("UP")
        assert httpx.get(server.Url("/app/scope"), headers={"X-Name": "x"}).json()["state"] == {"began": "yes"}
        server.Tell("stop")
        server.WaitExit()
        assert server.stdout.split()[-2:] == ["DOWN", "END"]


FASTAPI = """
import contextlib
from fastapi import FastAPI, WebSocket
from pydantic import BaseModel
from starlette.responses import StreamingResponse
from microWebSrv import MicroWebSrv
from ready import Port

@contextlib.asynccontextmanager
async def Life(app):
    yield {"unit": "°C"}

api = FastAPI(lifespan=Life)

class Reading(BaseModel):
    celsius: float

@api.post("/readings/{name}")
def Add(name: str, reading: Reading):
    return {"name": name, "celsius": reading.celsius}

@api.get("/lines")
async def Lines():
    async def Make():
        for number in range(1000):
            yield "%d\\n" % number
    return StreamingResponse(Make(), media_type="text/plain")

@api.websocket("/talk")
async def Talk(socket: WebSocket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_json({"said": text})

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.Mount("/api", api)
mws.Start(threaded=False)
"""


@pytest.mark.parametrize("runtime", ["cpython", harness.ASGI_RUNTIME])
def test_fastapi(serve, runtime):
    server = serve(FASTAPI)
    assert httpx.post(server.Url("/api/readings/attic"), json={"celsius": 21.5}).json() == {"name": "attic", "celsius": 21.5}
    assert httpx.post(server.Url("/api/readings/attic"), json={}).status_code == 422
    assert httpx.get(server.Url("/api/lines")).text == "".join("%d\n" % number for number in range(1000))
    assert "/readings/{name}" in httpx.get(server.Url("/api/openapi.json")).json()["paths"]
    with websockets.sync.client.connect("ws://127.0.0.1:%d/api/talk" % server.port) as client:
        client.send("hello")
        assert json.loads(client.recv()) == {"said": "hello"}


def test_what_is_wrong_is_said(tmp_path):
    program = """
from microWebSrv import MicroWebSrv
mws = MicroWebSrv()
try:
    mws.Mount("/x", None)
except TypeError as error:
    print(error)
mws.Spawn = None
try:
    mws.Mount("/x", print)
except ValueError as error:
    print(error)
"""
    assert harness.RunProgram("cpython", program, tmp_path).splitlines() == [
        "app must be an ASGI application: None", "Mount needs microWebAsync.py"]


def test_a_start_that_fails(tmp_path):
    program = """
from microWebSrv import MicroWebSrv
from ready import Port

async def App(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.Mount("/x", App)
mws.Start(threaded=False)
"""
    with harness.Server("cpython", program, tmp_path) as server:
        server.ExpectError("the application does not start: no database")
        assert httpx.get(server.Url("/x")).status_code == 500
        server.SeenError("does not start: no database")
