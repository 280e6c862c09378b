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


# ------------------------------------------------------------------------------------------- what a test can do

HEAD = '''
import sys
import time
from microWebSrv import MicroWebSrv
from microWebTestClient import TestClient, TimeoutError, WebSocketRefused

said = []
MICROPYTHON = sys.implementation.name == "micropython"
Route = MicroWebSrv.route


def Ok(httpResponse, text):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", text)


def Raises(kind, func, *args):
    """What an error of this kind says."""
    try:
        func(*args)
    except kind as error:
        return str(error)
    raise AssertionError("no " + kind.__name__)


def Make(routes=()):
    mws = MicroWebSrv(routes, 0, webPath="www")
    mws.ErrorCallback = lambda text, error: said.append((text, error))
    return mws

'''

PROGRAMS = {}


def Program(text):
    name, _, text = text.strip("\n").partition("\n")
    PROGRAMS[name] = text


Program('''errors
@Route("/fail")
def Fail(httpClient, httpResponse):
    raise ValueError("on purpose")

@Route("/late")
def Late(httpClient, httpResponse):
    def Pieces():
        yield "a" * 2000
        raise ValueError("in the stream")
    httpResponse.WriteResponseStream(Pieces(), "text/plain")

@Route("/exit")
def Exit(httpClient, httpResponse):
    sys.exit(3)

@Route("/threaded", threaded=True)
def Threaded(httpClient, httpResponse):
    raise KeyError("in a thread")

@Route("/hooked/a")
@Route("/fine")
def Fine(httpClient, httpResponse):
    Ok(httpResponse, "fine")

def Hook(httpClient, httpResponse):
    raise LookupError("in a hook")

@MicroWebSrv.webSocketRoute("/ws")
def Accept(webSocket, httpClient):
    def Fails(webSocket, msg):
        raise ValueError("in a callback")
    webSocket.RecvTextCallback = Fails

def Talk():
    with client.WebSocket("/ws") as ws:
        ws.SendText("a")
        ws.Receive()

mws = Make()
mws.Before(Hook, "/hooked")
with TestClient(mws) as client:
    try:
        client.Get("/fail")
    except ValueError as error:
        if MICROPYTHON:
            import io
            out = io.StringIO()
            sys.print_exception(error, out)
            assert "in Fail" in out.getvalue(), out.getvalue()
        else:
            import traceback
            assert "in Fail" in "".join(traceback.format_tb(error.__traceback__))
    assert said[0][0] == "GET /fail" and said[0][1] is client.errors[0], said    # the program's own log has it as well
    assert client.Get("/fine").text == "fine"
    assert Raises(ValueError, client.Get, "/late") == "in the stream"
    assert Raises(SystemExit, client.Get, "/exit") == "3"
    assert "in a thread" in Raises(KeyError, client.Get, "/threaded")
    assert Raises(LookupError, client.Get, "/hooked/a") == "in a hook"
    assert Raises(ValueError, Talk) == "in a callback"
    assert len(client.errors) == len(said) == 6, said
    client.raiseErrors = False
    del client.errors[:]
    assert client.Get("/fail").code == 500
    assert client.Get("/hooked/a").code == 500
    assert client.Get("/threaded").code == 500
    assert "closed the connection before the content" in Raises(OSError, client.Get, "/late")
    assert [str(error) for error in client.errors][:2] == ["on purpose", "in a hook"] and len(client.errors) == 4
    response = client.Get("/late", stream=True)
    client.raiseErrors = True
    assert client.Get("/fine").text == "fine"
del said[:]
assert Raises(ValueError, mws.ErrorCallback, 1) if False else mws.ErrorCallback("x", None) is None and said == [("x", None)]
''')

Program('''clock
from microWebAuth import HashPassword, Protect
from microWebEvents import MicroWebEvents
from microWebSession import MemoryStore, UseSessions

events = MicroWebEvents(pingSec=15)

@Route("/n")
def N(httpClient, httpResponse):
    session = httpClient.GetSession()
    session["n"] = session.get("n", 0) + 1
    httpResponse.WriteResponseJSONOk(session["n"])

@Route("/cookie")
def Cookie(httpClient, httpResponse):
    httpResponse.SetCookie("short", "1", 10)
    Ok(httpResponse, "")

@Route("/events")
def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(events)

@Route("/in/a")
def In(httpClient, httpResponse):
    Ok(httpResponse, httpClient.GetUser())

@MicroWebSrv.webSocketRoute("/ws")
def Accept(webSocket, httpClient):
    webSocket.ClosedCallback = lambda webSocket: said.append(webSocket.CloseCode)

started = time.time()
for store in (None, MemoryStore()):
    mws = Make()
    UseSessions(mws, maxAgeSec=3600, store=store)
    Protect(mws, "/in", {"ada": HashPassword("engine", 10)}, "basic")
    with TestClient(mws) as client:
        assert client.Get("/n").text == "1" and client.Get("/n").text == "2"
        client.Advance(1700)                    # the cookie has less than half of its time, and is made anew
        assert client.Get("/n").text == "3"
        client.Advance(3500)
        assert client.Get("/n").text == "4"
        client.Advance(3601)
        assert client.Get("/n").text == "1"
        old = client.GetCookies()["session"]
        client.Advance(3601)
        client.SetCookie("session", old)        # the server does not rely on the browser
        assert client.Get("/n").text == "1"
        client.Get("/cookie")
        assert client.GetCookies()["short"] == "1"
        client.Advance(11)
        assert "short" not in client.GetCookies()

mws.WebSocketPingSec = 30
mws.WebSocketThreaded = False
with TestClient(mws) as client:
    assert client.Get("/in/a").code == 401
    wrong = {"Authorization": "Basic YWRhOng="}
    codes = [client.Get("/in/a", headers=wrong).code for _ in range(12)]
    assert codes[0] == 401 and codes[-1] == 429, codes
    right = {"Authorization": "Basic YWRhOmVuZ2luZQ=="}
    assert client.Get("/in/a", headers=right).code == 429
    with TestClient(mws, addr=("192.168.0.9", 1)) as other:
        assert other.Get("/in/a", headers=right).text == "ada"
    client.Advance(600)
    assert client.Get("/in/a", headers=right).text == "ada"
    stream = client.Get("/events", stream=True)
    assert Raises(TimeoutError, client.WaitFor, lambda: False, "it", 0.05) == "it has not come within 0.05 s"
    client.Advance(15)
    assert next(stream.pieces) == b":\\n\\n"
    stream.Close()
    ws = client.WebSocket("/ws")                # it answers no ping, for it waits for nothing
    client.Advance(31)
    assert not said
    client.Advance(31)
    assert said == [1006], said
    assert ws.Receive() is None and ws.closeCode == 1006
    gone = client.Get("/n", headers={"Connection": "keep-alive"})
    client.Advance(mws.KeepAliveTimeoutSec + 2)
    assert client.Get("/n").code == 200         # on another connection
assert time.time() - started < 60
assert TestClient(mws).GetCookies() == {}
''')

Program('''flow
pulled = []

@Route("/endless")
def Endless(httpClient, httpResponse):
    def Pieces():
        try:
            while True:
                pulled.append(1)
                yield b"p" * 2000
        finally:
            said.append("closed")
    httpResponse.WriteResponseStream(Pieces(), "text/plain")

@Route("/raw")
def Raw(httpClient, httpResponse):
    httpResponse.WriteResponseOk()
    try:
        for i in range(100):
            httpResponse._write("x" * 1000)
    except OSError:
        said.append("cut")

@Route("/hello")
def Hello(httpClient, httpResponse):
    Ok(httpResponse, "hello")

@Route("/bare")
def Bare(httpClient, httpResponse):
    httpResponse._write("HTTP/1.1 200 OK\\r\\n\\r\\nuntil the end")

@Route("/short")
def Short(httpClient, httpResponse):
    httpResponse.WriteResponseOk({"Content-Length": "10"}) if False else httpResponse._write(
        "HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nshort")

@Route("/up", "POST")
def Up(httpClient, httpResponse):
    Ok(httpResponse, "%d" % len(httpClient.ReadRequestContent()))

@Route("/last")
def Last(httpClient, httpResponse):
    httpResponse.OnSent(lambda: said.append("sent"))
    Ok(httpResponse, "last")

@MicroWebSrv.webSocketRoute("/flood")
def Accept(webSocket, httpClient):
    def Flood(webSocket, msg):
        while webSocket.SendText("x" * 1000):
            pulled.append(1)
    webSocket.RecvTextCallback = Flood
    webSocket.ClosedCallback = lambda webSocket: said.append(webSocket.CloseCode)

mws = Make()
mws.WebSocketThreaded = False
mws.MaxSendQueueLen = 5000
mws.MaxWebSocketSendQueueLen = 5000
with TestClient(mws, window=3000) as client:
    stream = client.Get("/endless", stream=True)
    assert len(pulled) == 2, pulled             # one in the window and a part of the second
    for count in (2, 3, 4, 5):
        assert client.Get("/hello").text == "hello"     # others are served, and nobody pulls
        assert len(pulled) == count, pulled
        assert next(stream) == b"p" * 2000 or next(stream)
        client.WaitFor(lambda: True)
        del pulled[count + 1:]
        while len(pulled) < count + 1:
            next(stream)
    assert not said
    stream.Close()
    stream.Close()
    assert said == ["closed"]
    del said[:], pulled[:]
    assert len(client.Get("/raw").content) == 100000    # who reads to the end is never behind
    assert not said
    client.raiseErrors = False
    stream = client.Get("/raw", stream=True)
    assert said == ["cut"], said                # who reads nothing is
    assert "closed the connection before the content" in Raises(OSError, lambda: stream.content)
    del said[:]
    ws = client.WebSocket("/flood")
    ws.SendText("go")
    assert 5 < len(pulled) < 12, (pulled, said)
    client.raiseErrors = True
    while ws.closeCode is None:
        ws.Receive()
    assert ws.closeCode == 1008 and said == [1008], (ws.closeCode, said)
    del said[:]
    client.window = 65536
    assert client.Get("/bare").text == "until the end"
    assert "before the content" in Raises(OSError, client.Get, "/short")
    assert client.Post("/up", content=(b"abc" for _ in range(1000))).text == "3000"
    assert client.Get("/last").text == "last"
    assert said == ["sent"], said
    stream = client.Get("/endless", stream=True)
del said[0]
assert said == ["closed"]
''')

Program('''cookies
@Route("/show")
@Route("/a")
@Route("/a/b")
@Route("/ab")
def Show(httpClient, httpResponse):
    Ok(httpResponse, httpClient.GetRequestHeaders().get("cookie", ""))

@Route("/a/set", "POST")
def Set(httpClient, httpResponse):
    httpResponse.WriteResponseOk([("Set-Cookie", line) for line in httpClient.ReadRequestContentAsJSON()], "text/plain", None, "x")

mws = Make()
with TestClient(mws) as client, TestClient(mws, isSecure=True) as secure:
    def Bake(*lines):
        client.Post("/a/set", json=lines)
        secure.Post("/a/set", json=lines)

    def Sent(path, client=client):
        return client.Get(path).text

    Bake("one=1", "two=2; Path=/", "three=3; Path=/a/b; HttpOnly; SameSite=Lax", "four = 4 ; path=/ab", "five=5; path=nonsense")
    assert Sent("/show") == "two=2" and Sent("/ab") == "four=4; two=2"
    assert Sent("/a") == "five=5; one=1; two=2", Sent("/a")             # the default path is that of the folder
    assert Sent("/a/b?x=/show") == "three=3; five=5; one=1; two=2"      # the longest path first
    Bake("two=b; Path=/", "one=gone; Max-Age=0", "five=gone; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
         "four=x; path=/ab; expires=Thu, 01 Jan 2099 00:00:00 GMT", "three=y; Path=/a/b; Expires=nonsense",
         "six=6; Path=/; Max-Age=5; Expires=Wed, 21 Oct 2015 07:28:00 GMT")
    assert Sent("/a/b") == "three=y; six=6; two=b" and Sent("/ab") == "four=x; six=6; two=b"
    client.Advance(5)
    assert Sent("/a/b") == "three=y; two=b"
    Bake("safe=1; Secure; Path=/", "__Host-s=2; Secure; Path=/")
    assert Sent("/show") == "two=b" and Sent("/show", secure) == "__Host-s=2; safe=1; two=b"
    assert client.GetCookies("/a/b") == {"three": "y", "two": "b"}
    client.ClearCookies()
    client.SetCookie("two", 3, "/show", maxAge=10)
    client.SetCookie("two", "outer")
    assert client.GetCookies("/show") == {"two": "3"} and Sent("/show") == "two=3; two=outer" and Sent("/a") == "two=outer"
    assert client.Get("/show", headers={"Cookie": "by=hand"}).text == "by=hand"
    assert client.Get("/show", headers={"Cookie": None}).text == ""
''')

Program('''redirects
TARGETS = {"rel": "there?x=1", "query": "?y=2", "abs": "http://localhost/there", "root": "http://localhost", "https": "https://localhost/there",
           "out": "http://example.com/", "hash": "/there#part", "loop": "/go/302/loop", "none": ""}

@Route("/go/<code>/<where>")
@Route("/go/<code>/<where>", "POST")
@Route("/go/<code>/<where>", "HEAD")
def Go(httpClient, httpResponse, args):
    query = httpClient.GetRequestQueryString()
    if query:
        return Ok(httpResponse, query)
    httpResponse.SetCookie("seen", args["code"])
    httpResponse.WriteResponse(args["code"], {"Location": TARGETS[args["where"]]}, None, None, None)

for path in ("/go/<code>/there", "/there", "/"):
    for method in ("GET", "POST", "HEAD"):
        @Route(path, method)
        def There(httpClient, httpResponse, args=None):
            said.append((httpClient.GetRequestMethod(), httpClient.ReadRequestContent()))
            Ok(httpResponse, httpClient.GetRequestTotalPath())

with TestClient(Make([("/go/<code>/there", "GET", There)])) as client:
    client.followRedirects = True
    assert client.Get("/go/302/rel").text in ("x=1", "/go/302/there?x=1")
    assert client.Get("/go/302/query").text == "y=2"
    assert client.Get("/go/302/abs").text == "/there" and client.Get("/go/302/root").text == "/"
    assert client.Get("/go/302/hash").text == "/there" and client.GetCookies() == {"seen": "302"}
    for where in ("https", "out"):
        response = client.Get("/go/302/" + where)
        assert response.code == 302 and response.location == TARGETS[where] and response.history == []
    del said[:]
    for code, got in ((301, ("GET", b"")), (302, ("GET", b"")), (303, ("GET", b"")), (307, ("POST", b"a=1")), (308, ("POST", b"a=1"))):
        response = client.Post("/go/%d/abs" % code, form={"a": 1})
        assert response.code == 200 and [one.code for one in response.history] == [code]
        assert said.pop() == got, (code, got)
    assert client.Head("/go/303/abs").code == 200 and said.pop()[0] == "HEAD"
    assert "more than 20 redirects" in Raises(OSError, client.Get, "/go/302/loop")
    assert client.Get("/go/302/abs", followRedirects=False).code == 302
    assert client.Get("/there").history == []
''')

Program('''clients
import socket

@Route("/who")
def Who(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([httpClient.GetAddr(), httpClient.IsSecure(), httpClient.GetRequestHeaders()["host"]])

@Route("/stop")
def Stop(httpClient, httpResponse):
    Ok(httpResponse, "bye")
    mws.Stop()

@Route("/wait")
def Wait(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Waiting(), "text/plain")

class Waiting:
    def __iter__(self):
        return self

    def __next__(self):
        return None

taken = socket.socket()
taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
address = socket.getaddrinfo("127.0.0.1", int(sys.argv[1]))[0][-1]
taken.bind(address)
taken.listen(1)
mws = MicroWebSrv(port=int(sys.argv[1]), bindIP="127.0.0.1")
mws.Banner = False
assert Raises(OSError, mws.Start)               # the port is another one's, so nobody listens on it here
a = TestClient(mws)
b = TestClient(mws, addr=("192.168.0.7", 5000), isSecure=True, host="board.local", headers={"X-A": "1"})
for _ in range(2):
    assert a.Get("/who").GetJSON() == [["127.0.0.1", 50000], False, "localhost"]
    assert b.Get("/who").GetJSON() == [["192.168.0.7", 5000], True, "board.local"]
assert mws.IsStarted() and mws.GetPort() == int(sys.argv[1])
assert "a TestClient has this server" in Raises(RuntimeError, mws.Start)
assert "a TestClient has this server" in Raises(RuntimeError, mws.Serve)
a.Close()
a.Close()
assert "closed" in Raises(RuntimeError, a.Get, "/who")
assert b.Get("/who").code == 200
b.Close()
assert not mws.IsStarted()
taken.close()
mws.port = 0
mws.Start()
assert "this server runs" in Raises(RuntimeError, TestClient, mws)
mws.Stop()
with TestClient(mws) as client:
    assert client.Get("/who").code == 200 and mws.port
    assert client.Get("/stop").text == "bye"
    assert "stopped" in Raises(RuntimeError, client.Get, "/who")
with TestClient(mws) as client:
    mws.Stop()
    assert "stopped" in Raises(RuntimeError, client.Get, "/who")
mws.Start()
mws.Stop()
mws.MaxConnections = 2
with TestClient(mws) as client:
    streams = [client.Get("/wait", stream=True) for _ in range(2)]
    assert client.Get("/who").code == 503
    streams[0].Close()
    assert client.Get("/who").code == 200
    assert client.Get("/who").headers.get("connection") == "close"      # no idle connection in the last place
    streams[1].Close()
    assert "connection" not in client.Get("/who").headers
    mws.AllowedHosts = ["board.local"]
    mws.heads.clear() if hasattr(mws, "heads") else 0
    client.host = "evil.example"
    assert client.Get("/who").code == 421
other = MicroWebSrv(port=0)
with TestClient(mws, host="board.local") as client, TestClient(other, host="board.local") as second:
    assert client.Get("/who").code == second.Get("/who").code == 200
''')

Program('''timeouts
import asyncio

@Route("/never")
async def Never(httpClient, httpResponse):
    await asyncio.sleep(100)

@Route("/half")
def Half(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Pieces(), "text/plain")

class Pieces:
    def __iter__(self):
        self.left = 1
        return self

    def __next__(self):
        self.left -= 1
        return "a" * 1000 if self.left == 0 else None

@Route("/blocked", threaded=True)
def Blocked(httpClient, httpResponse):
    while not said:
        time.sleep(0.01)
    Ok(httpResponse, "at last")

@MicroWebSrv.webSocketRoute("/ws")
def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, msg: webSocket.SendText(msg)

@Route("/fine")
async def Fine(httpClient, httpResponse):
    await asyncio.sleep(0.01)
    Ok(httpResponse, "fine")

def Background():
    async def Later():
        await asyncio.sleep(0.05)
        said.append("later")
    return asyncio.create_task(Later())

@Route("/background")
async def Start(httpClient, httpResponse):
    httpClient.GetServer().task = Background()
    Ok(httpResponse, "begun")

mws = Make()
with TestClient(mws, timeoutSec=0.2) as client:
    assert Raises(TimeoutError, client.Get, "/never?x=1") == "GET /never?x=1: the head has not come within 0.2 s"
    assert Raises(TimeoutError, client.Get, "/half") == "GET /half: the content has not come within 0.2 s"
    stream = client.Get("/half", stream=True)
    assert len(next(stream)) == 1000
    for _ in range(2):
        assert Raises(TimeoutError, next, stream) == "GET /half: the content has not come within 0.2 s"
    stream.Close()
    assert Raises(TimeoutError, client.Get, "/blocked") == "GET /blocked: the head has not come within 0.2 s"
    client.timeoutSec = 10
    with client.WebSocket("/ws") as ws:
        client.timeoutSec = 0.2
        assert Raises(TimeoutError, ws.Receive) == "GET /ws: the message has not come within 0.2 s"
        client.timeoutSec = 10
        ws.SendText("a")
        assert ws.Receive() == "a"
    said.append(1)
    assert client.Get("/blocked").text == "at last"
    assert client.Get("/fine").text == "fine"
    del said[:]
    assert client.Get("/background").text == "begun"
    assert not said
    assert client.WaitFor(lambda: said) == ["later"]
    client.timeoutSec = 0.2
    Raises(TimeoutError, client.Get, "/never")
with TestClient(mws) as client:
    assert client.Get("/fine").text == "fine"
''')

Program('''websockets
closed = []

@MicroWebSrv.webSocketRoute("/chat/<room>")
def Accept(webSocket, httpClient, args):
    webSocket.room = args["room"]
    webSocket.RecvTextCallback = OnText
    webSocket.ClosedCallback = lambda webSocket: closed.append((webSocket.CloseCode, webSocket.CloseReason))

def OnText(webSocket, msg):
    if msg == "all":
        return mws.Broadcast("to all")
    if msg == "ping":
        return webSocket.Ping(b"?")
    webSocket.SendText("%s: %s" % (webSocket.room, msg))

mws = Make()
mws.WebSocketProtocols = ("v2", "v1")
for threaded in (False, True):
    mws.WebSocketThreaded = threaded
    del closed[:]
    with TestClient(mws) as client:
        try:
            client.WebSocket("/nowhere")
        except WebSocketRefused as error:
            assert error.response.code == 404 and str(error) == "the server has answered 404, not 101"
            error.response.Close()
        try:
            client.WebSocket("/chat/a", headers={"Origin": "http://evil.example"})
        except WebSocketRefused as error:
            assert error.response.code == 403 and "403" in error.response.text
        with client.WebSocket("/chat/tea", protocols=("v1", "v3")) as ws, client.WebSocket("/chat/2") as other:
            ws.SendText("x" * 70000 if False else "x" * 200)
            other.SendText("b")
            assert other.Receive() == "2: b" and ws.Receive() == "tea: " + "x" * 200
            assert ws.protocol in (None, "v1") and other.protocol is None
            ws.SendText("all")
            assert ws.Receive() == other.Receive() == "to all"
            ws.SendText("one")
            ws.SendText("two")
            assert ws.Ping() == b"" and ws.Ping(b"p") == b"p"       # messages that come meanwhile are kept
            assert ws.Receive() == "tea: one" and ws.Receive() == "tea: two"
            ws.SendText("ping")
            ws.SendText("after")
            assert ws.Receive() == "tea: after"
            ws.Close(4001, "done")
            assert (ws.closeCode, ws.closeReason) == (4001, "done") and ws.Receive() is None
        client.WaitFor(lambda: len(closed) == 2)
        assert sorted(closed) == [(1000, ""), (4001, "done")], closed
        del closed[:]
        ws = client.WebSocket("/chat/1")
        ws.Abort()
        client.WaitFor(lambda: closed)
        assert closed.pop() == (1006, "") and ws.Receive() is None and ws.closeCode == 1006
        ws = client.WebSocket("/chat/1")
        ws.SendFrame(0x83, b"no such opcode")
        assert ws.Receive() is None and ws.closeCode == 1002
        client.WaitFor(lambda: closed)
        del closed[:]
        ws = client.WebSocket("/chat/1")
    for _ in range(500):
        if not closed:                          # a thread tells it
            time.sleep(0.01)
    assert closed == [(1006, "")], closed       # its client was closed
''')

Program('''streams
from microWebEvents import MicroWebEvents

events = MicroWebEvents()

@Route("/events")
def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(events)

@Route("/numbers")
def Numbers(httpClient, httpResponse):
    httpResponse.WriteResponseStream(("%d" % i * 1024 for i in range(4)), "text/plain")

@Route("/old")
def Old(httpClient, httpResponse):
    httpResponse.WriteResponseStream(iter(["a: b\\n", "c\\n", ":x\\n", "\\n", ":only\\n\\n", "data: 1\\ndata: 2\\nid:3\\n\\ndata: cut"]), "text/plain")

@Route("/json")
def Json(httpClient, httpResponse):
    httpResponse.WriteResponseOk([("X-A", "1"), ("x-a", "2")], "application/json", "UTF-8", '{"a": "\\u00e9"}')

with TestClient(Make()) as client:
    first = client.Get("/events", stream=True)
    with TestClient(client.server, addr=("10.0.0.2", 2)) as other:
        second = other.Get("/events", stream=True)
        events.Send({"t": 21}, "reading", id=7)
        events.Send("two\\nlines")
        for stream in (first, second):
            assert stream.headers["content-type"] == "text/event-stream"
            assert stream.ReadEvent() == {"id": "7", "event": "reading", "data": '{"t": 21}'}
            assert stream.ReadEvent() == {"data": "two\\nlines"}
    client.timeoutSec = 0.05
    Raises(TimeoutError, first.ReadEvent)
    events.Send("again")
    assert first.ReadEvent() == {"data": "again"}           # nothing was lost by the time-out
    client.timeoutSec = 5
    assert client.Get("/json").GetJSON() == {"a": "\\u00e9"}    # on another connection
    first.Close()
    assert Raises(StopIteration, next, first) == ""
    client.window = 65536
    stream = client.Get("/numbers", stream=True)
    assert [piece[:1] for piece in stream.pieces] == [b"0", b"1", b"2", b"3"] and stream.content == b""
    stream = client.Get("/numbers", stream=True)
    next(stream)
    assert len(stream.content) == 3072 and len(stream.text) == 3072
    stream = client.Get("/old", stream=True)
    assert [stream.ReadEvent() for _ in range(3)] == [{"a": "b", "c": ""}, {"data": "1\\n2", "id": "3"}, None]
    headers = client.Get("/json").headers
    assert headers.get("X-A") == "1, 2" and headers.GetList("x-a") == ["1", "2"] and "X-B" not in headers
    assert headers.get("none") is None and headers.get("none", "x") == "x" and "None" in Raises(KeyError, lambda: headers["None"])
    assert ("Content-Length", "11") in headers.items() and "X-A" in list(headers)
    assert client.Get("/json").reason == "OK" and client.Get("/json").location is None
''')


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_program(run, runtime, tmp_path, name):
    (tmp_path / "www").mkdir()
    args = (harness.FreePorts(1)[0],) if name == "clients" else ()
    assert run(HEAD + PROGRAMS[name], args=args, timeoutSec=50) == ""
