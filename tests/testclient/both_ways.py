# One site for both ways: with `client` it sends requests to itself and prints the bytes of the link as JSON; otherwise
# it serves.

import json
import sys
import time
from binascii import hexlify
from microWebAuth import Protect
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
    httpResponse.WriteResponseStream(("line %d\n" % i * 300 for i in range(5)), "text/plain")


@Route("/raw")
def Raw(httpClient, httpResponse):
    httpResponse.WriteResponseOk()
    for _ in range(30):
        httpResponse._write("0123456789" * 100)


@Route("/bare")
def Bare(httpClient, httpResponse):
    httpResponse._write("HTTP/1.1 200 OK\r\nX-By: hand\r\n\r\nall of it")


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
    httpResponse.WriteResponseEventStream(iter([{"data": "a\nb", "id": 1}, {"data": {"n": 1}, "event": "tick"}, "last"]))


@Route("/threaded", threaded=True)
def Threaded(httpClient, httpResponse):
    time.sleep(0.02)
    httpResponse.WriteResponseOk(None, "text/plain", None, "from a thread, for " + httpClient.GetIPAddr())


@Route("/threaded-raw", threaded=True)
def ThreadedRaw(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain")
    for _ in range(20):
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
    """Yield (name, function)."""
    Get, Post = client.Get, client.Post
    for path in ("/hello", "/hello/J\u00fcrgen M", "/nothing", "/a.txt", "/large.txt", "/", "/page.pyhtml", "/blocks.pyhtml", "/wrong.pyhtml",
                 "/nowhere", "/folder", "/secret.py", "/../etc/passwd", "/%00", "/stream", "/raw", "/bare", "/close", "/events",
                 "/threaded", "/threaded-raw", "/session", "/session", "/size") + (("/async-stream",) if isAsync else ()):
        yield "GET " + path, lambda path=path: Get(path)
        yield "HEAD " + path, lambda path=path: client.Head(path)
    yield "range", lambda: Get("/large.txt", headers={"Range": "bytes=10-19"})
    yield "ranges", lambda: Get("/a.txt", headers={"Range": "bytes=-3"})
    yield "bad range", lambda: Get("/a.txt", headers={"Range": "bytes=9999-"})
    yield "condition", lambda: Get("/a.txt", headers={"If-None-Match": Get("/a.txt").headers["etag"]})
    yield "query", lambda: Get("/who?x=1", params={"q": "a b&c", "r": [1, 2], "\u00fc": "\u20ac"})
    yield "cookies", lambda: Get("/cookies")
    yield "cookies come back", lambda: Get("/who")
    yield "redirect", lambda: Get("/go")
    yield "redirect followed", lambda: Get("/go", followRedirects=True)
    yield "form", lambda: Post("/form", form={"a": "1 2", "b": ["x", "y"], "c": "\u00e9=&"})
    yield "fields and files", lambda: Post("/form", form={"a": "1"}, files={"f": ("n.txt", b"\r\n--x", "text/plain"), "g": b"abc"})
    yield "empty", lambda: Post("/form")
    yield "json", lambda: client.Put("/json", json={"a": [1, None, "\u20ac"]})
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
            for msg in ("", "\u20ac", "x" * 200):
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
            ws.SendFrame(0x81, b"\xff")
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
