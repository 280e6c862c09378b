"""microWebTestClient: its answers are those of a socket, byte for byte; and what a test can see and steer with it."""

import json
import os
import re
import subprocess
import sys

import pytest

import harness
from harness import RawClient

# One site for both ways: `main.py client` asks itself and prints what went over the link; else it serves.
SITE = '''
import json
import sys
import time
from binascii import hexlify
from microWebAuth import Protect
from microWebEvents import MicroWebEvents
from microWebSession import UseSessions
from microWebSrv import MicroWebSrv

isAsync = sys.argv[2] == "async"


def Route(url, method="GET", **options):
    return MicroWebSrv.route(url, method, **options)


@Route("/hello")
@Route("/hello/<name>")
def Hello(httpClient, httpResponse, args=None):
    httpResponse.WriteResponseOk({"X-Name": "v"}, "text/plain", "UTF-8", "Hello, %s!" % (args or {}).get("name", "World"))


@Route("/nothing")
def Nothing(httpClient, httpResponse):
    pass


@Route("/who", "POST")
@Route("/who")
def Who(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([httpClient.GetIPAddr(), httpClient.GetRequestQueryParams(), httpClient.GetCookies()])


@Route("/stream")
def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(("line %d\\n" % i * 300 for i in range(5)), "text/plain")


@Route("/raw")
def Raw(httpClient, httpResponse):
    httpResponse.WriteResponseOk()
    for i in range(30):
        httpResponse._write("0123456789" * 100)


@Route("/bare")
def Bare(httpClient, httpResponse):
    httpResponse._write("HTTP/1.1 200 OK\\r\\nX-By: hand\\r\\n\\r\\nall of it")


@Route("/cookies")
def Cookies(httpClient, httpResponse):
    httpResponse.SetCookie("a", "1", 60)
    httpResponse.SetCookie("b", "2", path="/who")
    httpResponse.WriteResponseOk([("Set-Cookie", "c=3"), ("Set-Cookie", "d=4; Expires=Thu, 01 Jan 1970 00:00:00 GMT")],
                                 "text/plain", None, "baked")


@Route("/go")
def Go(httpClient, httpResponse):
    httpResponse.WriteResponseRedirect("/hello/there")


@Route("/form", "POST")
def Form(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(sorted(httpClient.ReadRequestPostedFormData().items()))


@Route("/json", "PUT")
@Route("/json", "PATCH")
def Json(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.ReadRequestContentAsJSON())


@Route("/size", "POST")
@Route("/size", "PUT")
def Size(httpClient, httpResponse):
    content = httpClient.ReadRequestContent()
    httpResponse.WriteResponseOk(None, "text/plain", None, "%d %d" % (len(content), sum(content)))


@Route("/size", "DELETE")
def Delete(httpClient, httpResponse):
    httpResponse.WriteResponse(204, None, None, None, None)


@Route("/close")
def Close(httpClient, httpResponse):
    httpResponse.WriteResponseOk({"Connection": "close"}, "text/plain", None, "bye")


@Route("/events")
def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(iter([{"data": "a\\nb", "id": 1}, {"data": {"n": 1}, "event": "tick"}, "last"]))


@Route("/threaded", threaded=True)
def Threaded(httpClient, httpResponse):
    time.sleep(0.02)
    httpResponse.WriteResponseOk(None, "text/plain", None, "from a thread, for " + httpClient.GetIPAddr())


@Route("/threaded-raw", threaded=True)
def ThreadedRaw(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain")
    for i in range(20):
        httpResponse._write("0123456789" * 50)


@Route("/session")
def Session(httpClient, httpResponse):
    session = httpClient.GetSession()
    session["n"] = session.get("n", 0) + 1
    httpResponse.WriteResponseJSONOk(session["n"])


@Route("/inside")
def Inside(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "for " + httpClient.GetUser())


@MicroWebSrv.webSocketRoute("/ws")
def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = OnText
    webSocket.RecvBinaryCallback = lambda webSocket, data: webSocket.SendBinary(bytes(reversed(data)))
    webSocket.SendText("welcome")


def OnText(webSocket, msg):
    if msg == "close":
        webSocket.Close(4000, "as you like")
    else:
        webSocket.SendText("echo " + msg)


if isAsync:
    import asyncio

    class Pieces:
        left = 3

        def __aiter__(self):
            return self

        async def __anext__(self):
            await asyncio.sleep(0.01)
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return "piece %d;" % self.left * 150

    @Route("/async", "POST")
    async def Async(httpClient, httpResponse):
        first = await httpClient.ReadRequestContent(3)
        await asyncio.sleep(0.01)
        rest = await httpClient.ReadRequestContent()
        httpResponse.WriteResponseOk(None, "text/plain", None, first + b"|" + rest)

    @Route("/async-stream")
    async def AsyncStream(httpClient, httpResponse):
        httpResponse.WriteResponseStream(Pieces(), "text/plain")


def Server(port):
    mws = MicroWebSrv(port=port, bindIP="127.0.0.1", webPath="www")
    mws.Banner = False
    mws.MaxRequestContentLen = 20000
    mws.BufferLen = 4096
    UseSessions(mws, "0123456789abcdef", csrf="/inside")
    Protect(mws, "/inside", {"ada": "pbkdf2$10$cGQRIOCGNpN5joBc6XiAWA==$WXnNM9K9Zu9O6n78WnoBx+WBYItxauRPLZHMo4K1o2Y="}, "form")
    return mws


def Ask(client, talks):
    """Yield (what, a function)."""
    Get, Post = client.Get, client.Post
    for path in ("/hello", "/hello/J\\u00fcrgen M", "/nothing", "/a.txt", "/large.txt", "/", "/page.pyhtml", "/blocks.pyhtml", "/wrong.pyhtml",
                 "/nowhere", "/folder", "/secret.py", "/../etc/passwd", "/%00", "/stream", "/raw", "/bare", "/close", "/events",
                 "/threaded", "/threaded-raw", "/session", "/session", "/size") + (("/async-stream",) if isAsync else ()):
        yield "GET " + path, lambda: Get(path)
        yield "HEAD " + path, lambda: client.Head(path)
    yield "range", lambda: Get("/large.txt", headers={"Range": "bytes=10-19"})
    yield "ranges", lambda: Get("/a.txt", headers={"Range": "bytes=-3"})
    yield "bad range", lambda: Get("/a.txt", headers={"Range": "bytes=9999-"})
    yield "condition", lambda: Get("/a.txt", headers={"If-None-Match": Get("/a.txt").headers["etag"]})
    yield "query", lambda: Get("/who?x=1", params={"q": "a b&c", "r": [1, 2], "\\u00fc": "\\u20ac"})
    yield "cookies", lambda: Get("/cookies")
    yield "cookies come back", lambda: Get("/who")
    yield "redirect", lambda: Get("/go")
    yield "redirect followed", lambda: Get("/go", followRedirects=True)
    yield "form", lambda: Post("/form", form={"a": "1 2", "b": ["x", "y"], "c": "\\u00e9=&"})
    yield "fields and files", lambda: Post("/form", form={"a": "1"}, files={"f": ("n.txt", b"\\r\\n--x", "text/plain"), "g": b"abc"})
    yield "empty", lambda: Post("/form")
    yield "json", lambda: client.Put("/json", json={"a": [1, None, "\\u20ac"]})
    yield "bad json", lambda: client.Patch("/json", content="{")
    yield "content", lambda: Post("/size", content=b"abc" * 5000)
    yield "chunks", lambda: client.Put("/size", content=iter([b"abc", "", "def" * 1000, b"x"]))
    yield "too large", lambda: Post("/size", content=b"a" * 30000)
    yield "delete", lambda: client.Delete("/size")
    yield "options", lambda: client.Options("/size")
    yield "method", lambda: Post("/hello")
    yield "no such method", lambda: client.Request("BREW", "/hello")
    yield "log-in needed", lambda: Get("/inside")
    yield "log-in page", lambda: Get("/inside", followRedirects=True)
    yield "wrong password", lambda: Post("/login", form={"name": "ada", "password": "x"})
    yield "log-in", lambda: Post("/login?next=/inside", form={"name": "ada", "password": "engine"}, followRedirects=True)
    yield "forged", lambda: Post("/inside", form={"a": 1}, headers={"Origin": "https://evil.example"})
    if isAsync:
        yield "async", lambda: Post("/async", content=b"abcdef" * 500)
        yield "async chunks", lambda: Post("/async", content=iter([b"abc", b"def"]))
    for talk in talks:
        yield "websocket", talk
    yield "no websocket", lambda: Get("/ws")
    yield "too old a websocket", lambda: Get("/ws", headers={"Upgrade": "websocket", "Connection": "Upgrade"})


def Main():
    from microWebTestClient import TestClient
    client = TestClient(Server(0), raiseErrors=False)

    def Talk():
        with client.WebSocket("/ws") as ws:
            assert ws.Receive() == "welcome"
            for msg in ("", "\\u20ac", "x" * 200):
                ws.SendText(msg)
                assert ws.Receive() == "echo " + msg
            ws.SendBinary(bytes(range(256)))
            assert ws.Receive() == bytes(reversed(range(256)))
            assert ws.Ping(b"alive") == b"alive"
        assert ws.closeCode == 1000

    def TalkInParts():
        with client.WebSocket("/ws") as ws:
            assert ws.Receive() == "welcome"
            ws.SendFrame(1, b"in ")
            ws.SendFrame(0x80, b"parts")
            assert ws.Receive() == "echo in parts"
            ws.SendText("close")
            assert ws.Receive() is None and (ws.closeCode, ws.closeReason) == (4000, "as you like")

    def TalkNonsense():
        with client.WebSocket("/ws") as ws:
            assert ws.Receive() == "welcome"
            ws.SendFrame(0x81, b"\\xff")
            assert ws.Receive() is None and ws.closeCode == 1007

    for name, ask in Ask(client, (Talk, TalkInParts, TalkNonsense)):
        client.trace = []
        ask()
        print(json.dumps([name, [[isSent, hexlify(data).decode()] for isSent, data in client.trace]]))
    client.Close()


if sys.argv[1] == "client":
    Main()
else:
    from ready import Port
    Server(Port()).Start(threaded=False)
'''

WWW = {
    "a.txt": "a text of some length\n",
    "large.txt": "0123456789abcdef" * 1500,
    "index.html": "<h1>Home</h1>",
    "secret.py": "password = 1",
    "page.pyhtml": "{{ for i in range(3) }}<p>{{ i }}{{ end }}{{ '<' }}",
    "_base.pyhtml": "<title>{{ block title }}none{{ end }}</title>{{ block text }}{{ end }}",
    "blocks.pyhtml": "{{ extends _base.pyhtml }}{{ block title }}Blocks{{ end }}{{ block text }}{{ for i in range(900) }}{{ i }} {{ end }}{{ end }}",
    "wrong.pyhtml": "{{ 1 / 0 }}",
}
# What differs between two runs of one server: the time, and what is random in what is signed.
MASKED = (rb"(?m)^(Date: )[^\r]+", rb"(session=)[A-Za-z0-9+/=]{40,}", rb'(name="csrf" value=")[^"]+')


def Masked(data):
    for rule in MASKED:
        data = re.sub(rule, rb"\1...", data)
    return data


def MakeSite(folder):
    www = folder / "www"
    www.mkdir()
    for name, text in WWW.items():
        (www / name).write_text(text)
        os.utime(www / name, (1600000000, 1600000000))      # the ETag of a file that has just changed is another one
    (www / "folder").mkdir()


def Turns(trace):
    """[(bytes that the client sends, bytes that come)], a turn for each answer."""
    turns = []
    for isSent, text in trace:
        data = bytes.fromhex(text)
        if isSent and (not turns or turns[-1][1]):
            turns.append([b"", b""])
        turns[-1][not isSent] += data
    return turns


def IsLast(head, answer):
    return re.search(rb"(?mi)^connection: close", answer[:answer.find(b"\r\n\r\n")]) or head.startswith(b"GET /bare ")


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_answers_are_those_of_a_socket(run, serve, tmp_path, kind):
    """The same bytes are sent to the same program through a real socket."""
    MakeSite(tmp_path)
    rows = [json.loads(line) for line in run(SITE, args=("client", kind), timeoutSec=50).splitlines() if line[:1] == "["]
    assert len(rows) > 75 + 4 * (kind == "async")
    server = serve(SITE, args=(kind,))
    server.ExpectError("ZeroDivisionError")
    for name, trace in rows:
        raw = None
        for sent, wanted in Turns(trace):
            if raw is None or sent[:4] in (b"GET ", b"POST", b"PUT ", b"PATC", b"HEAD", b"DELE", b"OPTI", b"BREW"):
                if raw:
                    raw.Close()
                raw = RawClient(server.port)
            raw.Send(sent)
            if not wanted:              # a frame that has no answer
                continue
            got = b""
            while len(got) < len(wanted):
                try:
                    piece = raw.Receive()
                except TimeoutError:
                    raise AssertionError((name, sent, got, wanted)) from None
                assert piece, (name, sent, got, wanted)
                got += piece
            assert Masked(got) == Masked(wanted), (name, sent)
            if IsLast(sent, wanted):
                raw.ExpectClose()
        raw.Close()
