"""HTTP/1.1 end to end, over sockets, on every runtime: messages, persistence, methods, status codes."""

import json
import re
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest

import cases_http as cases
import harness
from harness import Fetch, RawClient, RequestBytes
from http_tools import Answers, Chunked, Get, Post, SendEnd, SharedSite

# -- the tables of bytes ---------------------------------------------------------------------------------------------

PLAYER = """
import json
from microWebSrv import MicroWebSrv
from ready import Port

def Echo(httpClient, httpResponse):
    body = httpClient.ReadRequestContent()
    fields = httpClient.GetRequestHeaders()
    httpResponse.WriteResponseJSONOk([
        httpClient.GetRequestMethod(), httpClient.GetRequestPath(), httpClient.GetRequestQueryString(),
        {name: fields[name] for name in fields}, "".join(["%%02x" %% byte for byte in body])])

mws = MicroWebSrv([("/.*", "GET", Echo), ("/.*", "POST", Echo)], Port(), "127.0.0.1")
mws.MaxRequestLineLen = %d
mws.MaxRequestHeadLen = %d
mws.MaxRequestContentLen = %d
mws.ErrorCallback = lambda text, error: print("ERROR", text, error)
mws.Start(threaded=False)
""" % (cases.MAX_LINE, cases.MAX_HEAD, cases.MAX_CONTENT)

player = SharedSite(PLAYER)


def Played(server, data, expected):
    """The server's reaction to a row followed by a last request, in the format of the table."""
    last = expected[-1]
    if isinstance(last, tuple) and last[-1]:
        data += Get("/end", "Connection: close")
        expected = [*expected, "end"]
    elif last != "more":
        data += cases.NEXT
    with RawClient(server.port) as client:
        client.Send(data)
        SendEnd(client)
        answer = client.ReadToEnd()
    if expected == ["more"]:
        return [answer or "more"]
    responses = harness.ParseResponses(answer, ("GET",) * len(expected))
    return [_InWords(response, row) for response, row in zip(responses, expected) if row != "end"]


def _InWords(response, row):
    if response.status != 200:
        return response.status
    method, path, query, fields, body = json.loads(response.body)
    named = {name: fields.get(name) for name in row[3]} if isinstance(row, tuple) else fields
    return method, path, query, named, bytes.fromhex(body), not response.isClosing


def _Expected(outcome):
    """Without a matching route, the table's request is answered with a status."""
    special = {"OPTIONS": 204, "GET": None, "POST": None}
    return [special.get(request[0], 501) or request if isinstance(request, tuple) else request for request in outcome]


def _Wrong(server, rows):
    wrong = []
    for what, data, outcome in rows:
        expected = _Expected(outcome)
        try:
            got = Played(server, data, outcome)
        except Exception as error:
            got = "%s: %s" % (type(error).__name__, error)
        if got != expected:
            wrong.append("%s: %r\n  expected %r\n  got      %r" % (what, data[:200], expected, got))
    return "\n".join(wrong)


def test_bad_messages(player):
    """Each is answered with exactly this status, and the connection closes before the following request is read."""
    assert not _Wrong(player, [(rule, data, [status]) for rule, status, data in cases.BAD])


def test_bad_messages_behind_a_good_one(player):
    """The same on a connection that has served a request before."""
    good, request = cases.GOOD[0][1:]
    assert not _Wrong(player, [(rule, good + data, [*request, status]) for rule, status, data in cases.BAD])


def test_good_messages(player):
    assert not _Wrong(player, cases.GOOD)


def test_smuggling(player):
    assert not _Wrong(player, cases.SMUGGLING)


def test_bytes_one_by_one(player):
    data = Post("/a?b", b"hello") + Chunked("/c", [b"he", b"llo"], "Connection: close")
    with RawClient(player.port) as client:
        for at in range(len(data)):
            client.Send(data[at:at + 1])
        first, second = harness.ParseResponses(client.ReadToEnd(), ("POST", "POST"))
    assert json.loads(first.body)[:3] == ["POST", "/a", "b"] and json.loads(first.body)[4] == b"hello".hex()
    assert json.loads(second.body)[:2] == ["POST", "/c"] and json.loads(second.body)[4] == b"hello".hex()


def test_error_reaches_a_client_that_still_sends(player):
    """9.6: to close with unread bytes would reset the connection, so a client that still sends might never read the
    response."""
    much = 8 << 20
    for data, status in ((b"GET /" + b"a" * much, 414), (Get("/", "X: " + "y" * much), 431),
                         (Post("/", b"z" * much), 413), (Chunked("/", [b"z" * 65536] * 128), 413)):
        with RawClient(player.port) as client:
            client.Send(data)
            response = client.ReadResponse()
            assert (response.status, response.isClosing) == (status, True)
            SendEnd(client)
            client.ExpectClose()


# -- a site ----------------------------------------------------------------------------------------------------------

SITE = """
import asyncio
import time
from microWebSrv import MicroWebSrv
from ready import Port

def Plain(response, text, code=200):
    return response.WriteResponse(code, None, "text/plain", "UTF-8", text)

@MicroWebSrv.route("/hello")
def Hello(httpClient, httpResponse):
    Plain(httpResponse, "hello " + httpClient.GetRequestQueryString())

@MicroWebSrv.route("/echo", "POST")
@MicroWebSrv.route("/echo", "PUT")
def Echo(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "application/octet-stream", None, httpClient.ReadRequestContent())

@MicroWebSrv.route("/async")
async def Async(httpClient, httpResponse):
    await asyncio.sleep(0.05)
    Plain(httpResponse, "async " + httpClient.GetRequestQueryString())

@MicroWebSrv.route("/async-echo", "POST")
async def AsyncEcho(httpClient, httpResponse):
    pieces = []
    while True:
        piece = await httpClient.ReadRequestContent(3)
        if not piece:
            break
        pieces.append(piece)
    Plain(httpResponse, b"|".join(pieces) + b" %d" % httpClient.GetRequestContentLength())

@MicroWebSrv.route("/async-unread", "POST")
async def AsyncUnread(httpClient, httpResponse):
    Plain(httpResponse, "unread")

@MicroWebSrv.route("/async-form", "POST")
async def AsyncForm(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(await httpClient.ReadRequestPostedFormData())

@MicroWebSrv.route("/thread", threaded=True)
def Thread(httpClient, httpResponse):
    time.sleep(0.05)
    Plain(httpResponse, "thread " + httpClient.GetRequestQueryString())

@MicroWebSrv.route("/thread-echo", "POST", threaded=True)
def ThreadEcho(httpClient, httpResponse):
    Plain(httpResponse, httpClient.ReadRequestContent())

@MicroWebSrv.route("/stream")
def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream((("%d " % n) * 400 for n in range(5)), "text/plain", "UTF-8")

class Counter:
    def __init__(self, last):
        self.last, self.n = last, 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.n += 1
        if self.n > self.last:
            raise StopAsyncIteration
        await asyncio.sleep(0.01)
        return "async %d\\n" % self.n

@MicroWebSrv.route("/async-stream")
def AsyncStream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Counter(3), "text/plain")

@MicroWebSrv.route("/raw")
def Raw(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain")
    httpResponse._write("one ")
    httpResponse._write(b"two")

@MicroWebSrv.route("/nothing")
def Nothing(httpClient, httpResponse):
    pass

@MicroWebSrv.route("/empty")
def Empty(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="")

@MicroWebSrv.route("/status/<code>")
def Status(httpClient, httpResponse, routeArgs):
    code = routeArgs["code"]
    httpResponse.WriteResponse(code, {"X-Code": code}, "text/plain", "UTF-8", "content of %d" % code)

@MicroWebSrv.route("/form", "POST")
def Form(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.ReadRequestPostedFormData())

@MicroWebSrv.route("/json", "POST")
def Json(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.ReadRequestContentAsJSON())

@MicroWebSrv.route("/query")
def Query(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.GetRequestQueryParams())

@MicroWebSrv.route("/pieces", "POST")
def Pieces(httpClient, httpResponse):
    pieces = []
    while True:
        piece = httpClient.ReadRequestContent(4)
        if not piece:
            break
        pieces.append(piece)
    Plain(httpResponse, b"|".join(pieces) + b" " + repr(httpClient.ReadRequestContent()).encode())

@MicroWebSrv.route("/about/<what>/<number>")
def About(httpClient, httpResponse, routeArgs):
    headers = httpClient.GetRequestHeaders()
    httpResponse.WriteResponseJSONOk({
        "server": httpClient.GetServer() is mws, "addr": list(httpClient.GetAddr()), "ip": httpClient.GetIPAddr(),
        "port": httpClient.GetPort(), "method": httpClient.GetRequestMethod(),
        "total": httpClient.GetRequestTotalPath(), "path": httpClient.GetRequestPath(),
        "query": httpClient.GetRequestQueryString(), "params": httpClient.GetRequestQueryParams(),
        "host": headers["HOST"], "names": sorted(list(headers)), "type": httpClient.GetRequestContentType(),
        "length": httpClient.GetRequestContentLength(), "args": routeArgs,
        "old": [httpClient._addr[0], httpClient._resPath, httpClient._queryParams, httpClient._microWebSrv is mws]})

@MicroWebSrv.route("/cookies")
def Cookies(httpClient, httpResponse):
    httpResponse.WriteResponseOk([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/")], "text/plain", "UTF-8", "c")

@MicroWebSrv.route("/latin")
def Latin(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "ISO-8859-1", "\\u00e9t\\u00e9")

@MicroWebSrv.route("/utf8")
def Utf8(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "\\u00e9\\u20ac")

@MicroWebSrv.route("/twice")
def Twice(httpClient, httpResponse):
    first = httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "first")
    second = httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "second")
    print("TWICE %s %s" % (first, second))

@MicroWebSrv.route("/close")
def Close(httpClient, httpResponse):
    httpResponse.WriteResponseOk({"Connection": "close"}, "text/plain", "UTF-8", "closing")

@MicroWebSrv.route("/framed")
def Framed(httpClient, httpResponse):
    httpResponse.WriteResponseOk({"Content-Length": "99", "Transfer-Encoding": "chunked", "Date": "now"},
                                 "text/plain", "UTF-8", "framed")

@MicroWebSrv.route("/helpers/<name>")
def Helpers(httpClient, httpResponse, routeArgs):
    ways = {"badrequest": httpResponse.WriteResponseBadRequest, "forbidden": httpResponse.WriteResponseForbidden,
            "notfound": httpResponse.WriteResponseNotFound, "notallowed": httpResponse.WriteResponseMethodNotAllowed,
            "error": httpResponse.WriteResponseInternalServerError, "notimpl": httpResponse.WriteResponseNotImplemented,
            "notmodified": httpResponse.WriteResponseNotModified, "jsonok": httpResponse.WriteResponseJSONOk,
            "teapot": lambda: httpResponse.WriteResponseError(418), "unknown": lambda: httpResponse.WriteResponseError(599),
            "jsonerror": lambda: httpResponse.WriteResponseJSONError(409, {"why": "it is so"}),
            "jsonbare": lambda: httpResponse.WriteResponseJSONError(400),
            "redirect": lambda: httpResponse.WriteResponseRedirect("/hello?\\u00e9 x"),
            "away": lambda: httpResponse.WriteResponseRedirect("http://example.com/a?b=%20#c"),
            "bytes": lambda: httpResponse.WriteResponseOk(content=b"\\x00\\xff"),
            "array": lambda: httpResponse.WriteResponseOk(content=bytearray(b"array")),
            "view": lambda: httpResponse.WriteResponseOk(content=memoryview(b"view"))}
    print("ACCEPTED %s" % ways[routeArgs["name"]]())

@MicroWebSrv.route("/frob", "FROB")
def Frob(httpClient, httpResponse):
    Plain(httpResponse, "frobbed")

@MicroWebSrv.route("/only-head", "HEAD")
def OnlyHead(httpClient, httpResponse):
    httpResponse.WriteResponseOk({"X-Own": "yes"}, "text/plain", "UTF-8", "1234567")

@MicroWebSrv.route("/only-post", "POST")
def OnlyPost(httpClient, httpResponse):
    Plain(httpResponse, "posted")

@MicroWebSrv.route("/own-options", "OPTIONS")
def OwnOptions(httpClient, httpResponse):
    Plain(httpResponse, "own")

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
mws.MaxRequestContentLen = 100000
mws.Start(threaded=False)
"""


def Www(folder):
    www = folder / "www"
    www.mkdir()
    (www / "file.txt").write_text("a file")
    (www / "big.bin").write_bytes(bytes(range(256)) * 2000)


site = SharedSite(SITE, Www)


# -- 9.3: persistence and pipelines

def test_keeps_alive_by_default(site):
    with RawClient(site.port) as client:
        for number in range(5):
            client.Send(Get("/hello?%d" % number))
            response = client.ReadResponse()
            assert (response.text, response.version) == ("hello %d" % number, "1.1")
            assert response.Header("connection") is None


def test_connection_close(site):
    with RawClient(site.port) as client:
        client.Send(Get("/hello", "Connection: close") + Get("/hello"))
        assert client.ReadResponse().Header("connection") == "close"
        SendEnd(client)
        client.ExpectClose()


def test_handler_closes(site):
    with RawClient(site.port) as client:
        client.Send(Get("/close") + Get("/hello"))
        response = client.ReadResponse()
        assert (response.text, response.Header("connection")) == ("closing", "close")
        SendEnd(client)
        client.ExpectClose()


def test_http10(site):
    with RawClient(site.port) as client:
        client.Send(b"GET /hello HTTP/1.0\r\n\r\n")
        response = client.ReadResponse()
        assert (response.status, response.isClosing) == (200, True)
        assert response.Header("content-length") == "6"
        client.ExpectClose()


def test_http10_keep_alive(site):
    with RawClient(site.port) as client:
        for _ in range(2):
            client.Send(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert client.ReadResponse().Header("connection").lower() == "keep-alive"
        client.Send(b"GET /hello HTTP/1.0\r\n\r\n")
        assert client.ReadResponse().isClosing
        client.ExpectClose()


@pytest.mark.parametrize("path", ["/stream", "/async-stream", "/raw"])
def test_http10_has_no_chunks(site, path):
    """6.1: for a 1.0 client, content of unknown length ends with the connection, even if the client asked to keep
    it."""
    with RawClient(site.port) as client:
        client.Send(b"GET %s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % path.encode())
        response = client.ReadResponse()
        assert response.Header("transfer-encoding") is None and response.Header("content-length") is None
        assert response.isClosing
        assert response.body == Fetch(site.port, path).body
        client.ExpectClose()


PIPELINE = [
    (Get("/async?1"), b"async 1"), (Get("/hello?2"), b"hello 2"), (Get("/thread?3"), b"thread 3"),
    (Get("/hello?4"), b"hello 4"), (Get("/stream"), b"".join(b"%d " % n * 400 for n in range(5))),
    (Get("/async?6"), b"async 6"), (Get("/async-stream"), b"async 1\nasync 2\nasync 3\n"), (Get("/raw"), b"one two"),
    (Post("/echo", b"posted"), b"posted"), (Chunked("/echo", [b"ch", b"unks"]), b"chunks"), (Get("/file.txt"), b"a file"),
    (Post("/async-echo", b"12345678"), b"123|456|78 8"), (Get("/nothing"), b""),
    (Get("/big.bin"), bytes(range(256)) * 2000), (Post("/thread-echo", b"threaded"), b"threaded"),
    (Post("/async-unread", b"never read by its handler"), b"unread"), (Get("/async-stream"), b"async 1\nasync 2\nasync 3\n"),
    (Get("/hello?last", "Connection: close"), b"hello last")]


def test_a_known_head_in_two_parts(site):
    """The search for the end of the next head begins anew, although the end of this one was not searched."""
    long, short = Get("/hello", "X-Long: " + "x" * 500), Get("/hello")
    with RawClient(site.port) as client:
        for _ in range(2):
            client.Send(long)
            assert client.ReadResponse().status == 200
            client.Send(long[:-2])
            assert Fetch(site.port, "/hello").status == 200         # meanwhile the server has read the first part
            client.Send(long[-2:])
            assert client.ReadResponse().status == 200
            client.Send(short)
            assert client.ReadResponse().status == 200


def test_pipeline_in_order(site):
    """9.3.2: responses leave in the order of the requests, however long each takes."""
    data = b"".join(request for request, _ in PIPELINE)
    bodies = [response.body for response in Answers(site, data, ("GET",) * len(PIPELINE))]
    assert bodies == [body for _, body in PIPELINE]


def test_pipeline_of_hundreds(site):
    data = b"".join(Get("/hello?%d" % number) for number in range(500)) + Get("/hello?end", "Connection: close")
    responses = Answers(site, data, ("GET",) * 501)
    assert [response.text for response in responses] == ["hello %s" % n for n in [*range(500), "end"]]


def test_pipeline_behind_head(site):
    data = RequestBytes("HEAD", "/stream") + RequestBytes("HEAD", "/big.bin") + Get("/hello", "Connection: close")
    responses = Answers(site, data, ("HEAD", "HEAD", "GET"))
    assert [response.body for response in responses] == [b"", b"", b"hello "]


def test_half_closed_client_is_answered(site):
    """A client that closes its sending side still waits for its responses."""
    with RawClient(site.port) as client:
        client.Send(Get("/async?1") + Get("/hello?2") + Get("/thread?3") + Get("/stream"))
        client.SendEnd()
        responses = harness.ParseResponses(client.ReadToEnd(), ("GET",) * 4)
    assert [response.text[:8].strip() for response in responses] == ["async 1", "hello 2", "thread 3", "0 0 0 0"]


def test_unread_content_is_no_request(site):
    """An async handler responds without reading: the rest is read and dropped, never treated as a request."""
    hidden = Get("/hello?hidden")
    data = Post("/async-unread", hidden) + Chunked("/async-unread", [hidden]) + Get("/hello?1", "Connection: close")
    texts = [response.text for response in Answers(site, data, ("POST", "POST", "GET"))]
    assert texts == ["unread", "unread", "hello 1"]
    data = Post("/file.txt", hidden) + Post("/none", hidden) + Get("/hello?2", "Connection: close")
    responses = Answers(site, data, ("POST", "POST", "GET"))
    assert [response.status for response in responses] == [405, 404, 200] and responses[2].text == "hello 2"


# -- 6 and 7: content

def test_content(site):
    for body in (b"", b"x", bytes(range(256)), b"\r\n" * 500, b"y" * 90000):
        assert Fetch(site.port, "/echo", "POST", body=body).body == body
        data = Chunked("/echo", [body[:1], body[1:]] if body[1:] else [body] if body else [], "Connection: close")
        assert Answers(site, data, ("POST",))[0].body == body


def test_content_in_pieces(site):
    assert Fetch(site.port, "/pieces", "POST", body=b"0123456789").body == b"0123|4567|89 b''"
    assert Answers(site, Chunked("/pieces", [b"012", b"3456789"], "Connection: close"), ("POST",))[0].body \
        == b"0123|4567|89 b''"


def test_async_handler_is_called_before_the_content_is_whole(site):
    with RawClient(site.port) as client:
        client.Send(Post("/async-unread", b"x" * 50)[:-40])
        assert client.ReadResponse().text == "unread"
        client.Send(b"x" * 40 + Get("/hello?next"))
        assert client.ReadResponse().text == "hello next"


def test_forms_and_json(site):
    with httpx.Client(base_url=site.Url()) as client:
        assert client.post("/form", data={"a": "1 +&=", "\u00e9": "\u20ac"}).json() == {"a": "1 +&=", "\u00e9": "\u20ac"}
        assert client.post("/async-form", data={"a": "b c"}).json() == {"a": "b c"}
        assert client.post("/form", files={"file": b"x"}).json() == {}
        assert client.post("/json", json={"a": [1, None, "\u00e9"]}).json() == {"a": [1, None, "\u00e9"]}
        assert client.post("/json", content=b"{not json").json() is None
        assert client.post("/json", content=b"[" * 5000).json() is None
        assert client.post("/json", content=b"").json() is None
        assert client.get("/query", params={"a": "x y&z", "b": ""}).json() == {"a": "x y&z", "b": ""}
        assert client.post("/echo", content=iter([b"streamed ", b"upload"])).content == b"streamed upload"


def test_about_the_request(site):
    with RawClient(site.port) as client:
        client.Send(Get("/about/a%20b/7?x=1&y=%C3%A9", "X-Test: t", "Content-Type: text/x"))
        about = client.ReadResponse()
        address = client.socket.getsockname()
    about = json.loads(about.body)
    assert about == {
        "server": True, "addr": ["127.0.0.1", address[1]], "ip": "127.0.0.1", "port": address[1], "method": "GET",
        "total": "/about/a%20b/7?x=1&y=%C3%A9", "path": "/about/a b/7", "query": "x=1&y=%C3%A9",
        "params": {"x": "1", "y": "\u00e9"}, "host": "localhost", "names": ["content-type", "host", "x-test"],
        "type": "text/x", "length": 0, "args": {"what": "a b", "number": 7},
        "old": ["127.0.0.1", "/about/a b/7", {"x": "1", "y": "\u00e9"}, True]}


# -- RFC 9110 10.1.1: Expect

def _Expecting(target, length=5, *fields):
    return RequestBytes("POST", target, [("Expect", "100-continue"), ("Content-Length", length), *fields])


@pytest.mark.parametrize("target", ["/echo", "/async-echo", "/thread-echo"])
def test_expect_continue(site, target):
    with RawClient(site.port) as client:
        client.Send(_Expecting(target))
        assert client.ReadUntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.Send(b"hello")
        assert client.ReadResponse("POST").body in (b"hello", b"hel|lo 5")
        client.Send(Get("/hello"))
        assert client.ReadResponse().status == 200


def test_expect_with_the_content_already_sent(site):
    """100 is not sent when content has arrived already."""
    data = _Expecting("/echo") + b"hello" + Get("/hello", "Connection: close")
    first, second = Answers(site, data, ("POST", "GET"))
    assert (first.body, second.status) == (b"hello", 200) and len(first.interim) <= 1


@pytest.mark.parametrize("target, length, status", [
    ("/echo", 100001, 413), ("/none", 5, 404), ("/file.txt", 5, 405), ("/hello", 5, 405)])
def test_expect_is_refused_at_once(site, target, length, status):
    """A final status instead of 100; the connection closes, because it is unknown whether content or a request
    follows."""
    with RawClient(site.port) as client:
        client.Send(_Expecting(target, length))
        assert client.ReadUntil(b"\r\n").startswith(b"HTTP/1.1 %d " % status)
        SendEnd(client)
        rest = client.ReadToEnd()
        assert b"HTTP/1.1" not in rest and b"connection: close" in rest.lower()


def test_expect_without_content(site):
    assert Fetch(site.port, "/hello", headers={"Expect": "100-continue"}).interim == []


def test_expect_in_http10(site):
    """HTTP/1.0 has no 100."""
    with RawClient(site.port) as client:
        client.Send(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
        response = client.ReadResponse("POST")
        assert (response.body, response.interim) == (b"hello", [])


# -- methods

SAME_AS_GET = ("/hello?x", "/file.txt", "/big.bin", "/stream", "/async-stream", "/raw", "/nothing", "/empty", "/cookies",
               "/async?1", "/thread?1", "/status/404", "/none", "/helpers/jsonok", "/status/304", "/")


@pytest.mark.parametrize("target", SAME_AS_GET)
def test_head_is_get_without_content(site, target):
    """RFC 9110 9.3.2: the same header fields as for GET."""
    def Fields(response):
        return sorted(pair for pair in response.headers if pair[0] != "date")

    get, head = Fetch(site.port, target), Fetch(site.port, target, "HEAD")
    assert (head.status, Fields(head), head.body) == (get.status, Fields(get), b"")


def test_a_route_of_its_own_for_head(site):
    response = Fetch(site.port, "/only-head", "HEAD")
    assert (response.Header("x-own"), response.Header("content-length"), response.body) == ("yes", "7", b"")
    assert Fetch(site.port, "/only-head").status == 405


@pytest.mark.parametrize("target, allow", [
    ("/hello", "GET, HEAD, OPTIONS"), ("/echo", "OPTIONS, POST, PUT"), ("/file.txt", "GET, HEAD, OPTIONS"),
    ("/frob", "FROB, OPTIONS"), ("/status/7", "GET, HEAD, OPTIONS")])
def test_options_and_405(site, target, allow):
    response = Fetch(site.port, target, "OPTIONS")
    assert (response.status, response.Header("allow"), response.body) == (204, allow, b"")
    response = Fetch(site.port, target, "DELETE")
    assert (response.status, response.Header("allow")) == (405, allow)


def test_options_asterisk(site):
    response = Fetch(site.port, "*", "OPTIONS")
    assert response.status == 204 and {"GET", "HEAD", "OPTIONS"} <= set(response.Header("allow").split(", "))
    assert Fetch(site.port, "/own-options", "OPTIONS").text == "own"
    assert Fetch(site.port, "/none", "OPTIONS").status == 404


def test_methods(site):
    assert Fetch(site.port, "/frob", "FROB").text == "frobbed"
    assert Fetch(site.port, "/hello", "FROB").status == 405
    for method in ("BREW", "get", "CONNECTED", "TRACE", "PROPFIND"):
        assert Fetch(site.port, "/hello", method).status == 501
    assert Fetch(site.port, "localhost:80", "CONNECT").status == 501
    assert Fetch(site.port, "/none", "POST").status == 404
    assert Fetch(site.port, "/only-post").status == 405


def test_absolute_form(site):
    """3.2.2: every server must accept this form, and the target's authority overrides Host."""
    response = Fetch(site.port, "http://elsewhere.example:1/hello?x")
    assert (response.status, response.text) == (200, "hello x")
    assert Fetch(site.port, "HTTP://elsewhere.example/file.txt").text == "a file"
    assert Fetch(site.port, "http://elsewhere.example", "OPTIONS").status in (204, 404)


# -- responses

@pytest.mark.parametrize("code", [204, 304])
def test_bodiless_status(site, code):
    """RFC 9110 6.4.1: these responses end with the head, whatever content is passed."""
    data = Get("/status/%d" % code) + Get("/hello", "Connection: close")
    first, second = Answers(site, data, ("GET", "GET"))
    assert (first.status, first.body, first.Header("x-code"), second.status) == (code, b"", str(code), 200)
    assert first.Header("transfer-encoding") is None


def test_205_has_no_content(site):
    """RFC 9110 15.3.6: a server must not generate content in it."""
    assert Fetch(site.port, "/status/205").body == b""


def test_nothing_written_is_204(site):
    assert Fetch(site.port, "/nothing").status == 204


def test_empty_content(site):
    response = Fetch(site.port, "/empty")
    assert (response.status, response.Header("content-length"), response.body) == (200, "0", b"")


def test_status_line_and_date(site):
    before = int(time.time())
    response = Fetch(site.port, "/hello")
    date = response.Header("date")
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
    assert before - 2 <= parsedate_to_datetime(date).timestamp() <= time.time() + 2
    assert (response.status, response.reason) == (200, "OK")
    for target in ("/none", "/file.txt", "/stream", "/nothing", "/helpers/notmodified"):
        assert Fetch(site.port, target).Header("date")


def test_charsets(site):
    assert Fetch(site.port, "/latin").body == b"\xe9t\xe9"
    response = Fetch(site.port, "/utf8")
    assert (response.body, response.Header("content-length")) == (b"\xc3\xa9\xe2\x82\xac", "5")
    assert response.Header("content-type") == "text/plain; charset=UTF-8"


def test_repeated_field(site):
    assert Fetch(site.port, "/cookies").Headers("set-cookie") == ["a=1", "b=2; Path=/"]


def test_framing_is_the_servers(site):
    response = Fetch(site.port, "/framed")
    assert (response.body, response.Header("content-length"), response.Header("transfer-encoding")) \
        == (b"framed", "6", None)


def test_only_the_first_answer_counts(site):
    assert Fetch(site.port, "/twice").text == "first"
    site.WaitLine("TWICE True False")


HELPERS = [
    ("badrequest", 400, "text/html"), ("forbidden", 403, "text/html"), ("notfound", 404, "text/html"),
    ("notallowed", 405, "text/html"), ("error", 500, "text/html"), ("notimpl", 501, "text/html"),
    ("notmodified", 304, ""), ("teapot", 418, "text/html"), ("unknown", 599, "text/html"),
    ("jsonok", 200, "application/json"), ("jsonerror", 409, "application/json"), ("jsonbare", 400, "application/json"),
    ("redirect", 302, ""), ("away", 302, ""), ("bytes", 200, "application/octet-stream"),
    ("array", 200, "application/octet-stream"), ("view", 200, "application/octet-stream")]

BODIES = {"jsonok": b"null", "jsonerror": b'{"why": "it is so"}', "jsonbare": b"{}", "bytes": b"\x00\xff",
          "array": b"array", "view": b"view", "redirect": b"", "away": b"", "notmodified": b""}


@pytest.mark.parametrize("name, status, mediaType", HELPERS)
def test_helpers(site, name, status, mediaType):
    response = Fetch(site.port, "/helpers/" + name)
    site.WaitLine("ACCEPTED True")
    assert (response.status, response.mediaType) == (status, mediaType)
    if name in BODIES:
        assert response.body == BODIES[name]
    else:
        assert str(status) in response.text and response.reason in response.text
    if name == "notallowed":
        assert response.Header("allow") == "GET, HEAD, OPTIONS"


def test_redirect(site):
    """Location is ASCII: characters that are invalid in a URL are percent-encoded, encoded ones are kept."""
    assert Fetch(site.port, "/helpers/redirect").Header("location") == "/hello?%C3%A9%20x"
    assert Fetch(site.port, "/helpers/away").Header("location") == "http://example.com/a?b=%20#c"
    with httpx.Client(base_url=site.Url(), follow_redirects=True) as client:
        assert client.get("/helpers/redirect").text == "hello %C3%A9%20x"


def test_httpx_reuses_its_connections(site):
    with httpx.Client(base_url=site.Url(), limits=httpx.Limits(max_connections=1)) as client:
        ports = {client.get("/about/a/1").json()["port"] for _ in range(10)}
        assert len(ports) == 1
        assert client.head("/big.bin").headers["content-length"] == "512000"
        assert client.get("/big.bin").content == bytes(range(256)) * 2000
        assert client.options("/hello").headers["allow"] == "GET, HEAD, OPTIONS"
