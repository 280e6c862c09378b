# The room exchange: the request as a handler sees it, and the response that it writes. A row is the name of a handler,
# and the request; without a socket.

import microWebSrv as core

import rooms

PATH = "/a/b"


def _Server(handler, settings=()):
    server = core.MicroWebSrv(port=0, bindIP="127.0.0.1", webPath=rooms.MemoryFolder({"/a.txt": b"file", "/a.py": b"secret"}, 0))
    for method in ("GET", "POST"):
        server.AddRoute(PATH, method, handler)
    for name, value in settings:
        if isinstance(value, tuple):            # a call
            getattr(server, name)(*value)
        else:
            setattr(server, name, value)
    return server


def Play(handler, request, settings=()):
    """-> (bytes that were sent, True if the link closes, log lines)."""
    server = _Server(handler, settings)
    log = []
    server.ErrorCallback = lambda text, error: log.append("%s: %s" % (text, error and type(error).__name__))
    link = rooms.Connect(server)
    link.Receive(request)
    closes = link.isClosed
    link.Abort()
    return link.sent, closes, log


def Request(method="GET", target=PATH, fields=(), content=b""):
    lines = ["%s %s HTTP/1.1" % (method, target), "Host: a"] + ["%s: %s" % pair for pair in fields]
    if content and ("Transfer-Encoding", "chunked") not in fields:
        lines.append("Content-Length: %d" % len(content))
    return "\r\n".join(lines + ["", ""]).encode() + content


def See(name, method="GET", target=PATH, fields=(), content=b""):
    """-> the result of this look at the request."""
    seen = []

    def Handler(client, response):
        seen.append(rooms.Observe(LOOKS[name], (client,)))
    Play(Handler, Request(method, target, fields, content))
    return seen[0] if len(seen) == 1 else seen


def _Twice(way, *args):
    """Read twice."""
    return lambda client: (getattr(client, way)(*args), getattr(client, way)(*args))


def _Pieces(client):
    pieces = []
    while True:
        piece = client.ReadRequestContent(3)
        pieces.append(piece)
        if not piece:
            return pieces


LOOKS = {
    "server": lambda client: isinstance(client.GetServer(), core.MicroWebSrv) and client._microWebSrv is client.GetServer(),
    "address": lambda client: (client.GetAddr(), client.GetIPAddr(), client.GetPort(), client._addr),
    "method": lambda client: (client.GetRequestMethod(), client._method),
    "total": lambda client: (client.GetRequestTotalPath(), client._path),
    "path": lambda client: (client.GetRequestPath(), client._resPath),
    "query": lambda client: (client.GetRequestQueryString(), client._queryString),
    "params": lambda client: (client.GetRequestQueryParams(), client._queryParams),
    "type": lambda client: (client.GetRequestContentType(), client._contentType),
    "length": lambda client: (client.GetRequestContentLength(), client._contentLength),
    "header": lambda client: (client.GetRequestHeaders()["X-Y"], client._headers.get("x-y")),
    "content": _Twice("ReadRequestContent"), "content 0": _Twice("ReadRequestContent", 0), "content 3": _Twice("ReadRequestContent", 3),
    "content 5": _Twice("ReadRequestContent", 5), "content 9": _Twice("ReadRequestContent", 9), "pieces": _Pieces,
    "form": _Twice("ReadRequestPostedFormData"), "json": _Twice("ReadRequestContentAsJSON"),
}
_FORM = [("Content-Type", "application/x-www-form-urlencoded")]
_DEEP = b"[" * 2000


def Json(content):
    seen = See("json", "POST", PATH, (), content)
    return seen[0] if seen[1:] == (None,) else seen


SEE = [
    (("server",), True),
    (("address",), [["127.0.0.1", 4711], "127.0.0.1", 4711, ["127.0.0.1", 4711]]),
    (("method",), ("GET", "GET")),
    (("method", "POST"), ("POST", "POST")),
    (("total",), (PATH, PATH)),
    (("total", "GET", "/a/%62?c=%20"), ("/a/%62?c=%20", "/a/%62?c=%20")),
    (("total", "GET", "/a/b?"), (PATH, PATH)),
    (("path", "GET", "//a/%62?c"), (PATH, PATH)),
    (("query", "GET", PATH + "?c=%20&d"), ("c=%20&d", "c=%20&d")),
    (("query",), ("", "")),
    (("params", "GET", PATH + "?c=%20&d&c=e"), ({"c": "e", "d": ""}, {"c": "e", "d": ""})),
    (("params",), ({}, {})),
    (("params", "GET", PATH + "?" + "&" * 1000), 400),
    (("type",), (None, None)),
    (("type", "POST", PATH, _FORM), (_FORM[0][1], _FORM[0][1])),
    (("length",), (0, 0)),
    (("length", "POST", PATH, (), b"hello"), (5, 5)),
    (("length", "POST", PATH, [("Transfer-Encoding", "chunked")]), []),
    (("length", "POST", PATH, [("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n0\r\n\r\n"), (3, 3)),
    (("length", "POST", PATH, [("Content-Length", "0")]), (0, 0)),
    (("header", "GET", PATH, [("x-Y", "z")]), ("z", "z")),
    (("header",), "!KeyError"),
    # content can be read once
    (("content", "POST", PATH, (), b"hello"), (b"hello", b"")),
    (("content",), (b"", b"")),
    (("content 0", "POST", PATH, (), b"hello"), (b"", b"")),
    (("content 3", "POST", PATH, (), b"hello"), (b"hel", b"lo")),
    (("content 5", "POST", PATH, (), b"hello"), (b"hello", b"")),
    (("content 9", "POST", PATH, (), b"hello"), (b"hello", b"")),
    (("pieces", "POST", PATH, (), b"hello, you"), [b"hel", b"lo,", b" yo", b"u", b""]),
    (("form", "POST", PATH, _FORM, b"a=1&b=%C3%A9+x"), ({"a": "1", "b": "\u00e9 x"}, {})),
    (("form", "POST", PATH, (), b"a=1"), ({"a": "1"}, {})),
    (("form", "POST", PATH, [("Content-Type", "MultiPart/Form-Data; Boundary=x")], b"--x\r\n"), ({}, {})),
    (("form", "POST", PATH, [("Content-Type", "multipart/form-data")], b"a=1"), ({"a": "1"}, {})),
    (("form", "POST", PATH, [("Content-Type", "text/plain; boundary=x")], b"a=1"), ({"a": "1"}, {})),
    (("form", "POST", PATH, _FORM, b"&" * 1000), 400),
    (("json", "POST", PATH, (), b'{"a": [1, null]}'), ({"a": [1, None]}, None)),
]

JSON = [
    ((b"7",), 7), ((b"\xef\xbb\xbf[7]",), [7]), ((b'"\xc3\xa9"',), "\u00e9"), ((b"nope",), None), ((b"\xef\xbb\xbf",), None),
    ((b"\xef\xbb[7]",), None), ((_DEEP,), None), ((b" ",), None),
]


def Write(name, method="GET", fields=(), settings=(), content=b""):
    """-> (results in the handler, (status, field lines without Date, content), True if it closes, log lines)."""
    told = []
    sent, closes, log = Play(lambda client, response: WRITES[name](client, response, told.append), Request(method, PATH, fields, content), settings)
    if not sent:
        return told, None, closes, log
    status, answered, body = rooms.SplitResponse(sent)
    return told, (status, ["%s: %s" % pair for pair in answered if pair[0] != "date"], body), closes, log


def _All(*steps):
    """A handler with these steps: (method, arguments)."""
    def Handler(client, response, told):
        for way, *args in steps:
            told(rooms.Observe(_Call, (response, way, args)))
    return Handler


def _Call(response, way, args):
    try:
        return getattr(response, way)(*args)
    except OSError as error:                # its name differs between runtimes
        return "gone %d" % error.errno


class _Closing:
    """Pieces that record whether they were closed."""

    def __init__(self, told):
        self._told = told
        self._left = 3

    def __iter__(self):
        return self

    def __next__(self):
        self._left -= 1
        if self._left < 0:
            raise StopIteration
        return "piece "

    def close(self):
        self._told("closed")


def _Unbroken(client, response, told):
    """The source of a refused response is closed."""
    told(rooms.Observe(response.Answer, (200, {"X": "a\r\nb"}, None, None, b"", _Closing(told))))
    told(rooms.Observe(response.Answer, (200, None, "a\nb", None, b"", _Closing(told))))
    told(response.Answer(200, None, None, None, b"", _Closing(told)))
    told(response.Answer(200, None, None, None, b"", _Closing(told)))


def _Attribute(name, value):
    def Handler(client, response, told):
        setattr(client.connection.server, name, value)
        response.WriteResponseNotFound()
    return Handler


class _Async:
    def __aiter__(self):
        return self


def _Page(client, response, told):
    def Render(server, path, values):
        if path == "gone":
            raise OSError(2)
        return (path + str(sorted(values.items())),) if path == "whole" else iter(["one ", "two"])
    client.connection.server.Renderers[".pyhtml"] = Render
    query = client.GetRequestHeaders().get("x", "whole")
    if query == "flash":
        response.FlashMessage("saved", "good")
        query = "whole"
    told(response.WriteResponsePyHTMLFile(query, {"Y": "1"}, {"a": 1}))


_TEXT = ("text/plain", "UTF-8", "content")
WRITES = {
    "ok": _All(("WriteResponseOk", None) + _TEXT),
    "ok bare": _All(("WriteResponseOk",)),
    "ok typed": _All(("WriteResponseOk", None, "text/plain")),
    "ok bytes": _All(("WriteResponseOk", None, None, None, b"abc")),
    "ok view": _All(("WriteResponseOk", None, None, None, bytearray(b"abc"))),
    "ok number": _All(("WriteResponseOk", None, None, None, 7)),
    "headers": _All(("WriteResponseOk", {"X": "y"}) + _TEXT),
    "own type": _All(("WriteResponseOk", {"Content-Type": "text/x"}) + _TEXT),
    "own close": _All(("WriteResponseOk", {"Connection": "Close"}) + _TEXT),
    "own keep": _All(("WriteResponseOk", {"Connection": "keep-alive"}) + _TEXT),
    "bad header": _All(("WriteResponseOk", {"X": "a\r\nb"}) + _TEXT, ("WriteResponseOk", None) + _TEXT),
    "bad type": _All(("WriteResponseOk", None, "a\r\nb", None, "x"), ("WriteResponseOk", None) + _TEXT),
    "twice": _All(("WriteResponseOk", None) + _TEXT, ("WriteResponseOk", None) + _TEXT, ("WriteResponseNotFound",)),
    "held twice": _All(("WriteResponseOk", None, "text/plain"), ("WriteResponseOk", None) + _TEXT),
    "205": _All(("WriteResponse", 205, None) + _TEXT),
    "204": _All(("WriteResponse", 204, None) + _TEXT),
    "201 bare": _All(("WriteResponse", 201, None, None, None, None)),
    "404 typed": _All(("WriteResponse", 404, None, "text/plain", None, "")),
    "304 typed": _All(("WriteResponse", 304, None, "text/plain", None, "")),
    "304": _All(("WriteResponseNotModified",)),
    "json": _All(("WriteResponseJSONOk", {"a": [1, None, "\u00e9"]})),
    "json null": _All(("WriteResponseJSONOk",)),
    "json error": _All(("WriteResponseJSONError", 422, {"a": 1})),
    "json error bare": _All(("WriteResponseJSONError", 400)),
    "json error 0": _All(("WriteResponseJSONError", 400, 0)),
    "redirect": _All(("WriteResponseRedirect", "/\u00e9 x?y=z~")),
    "redirect bad": _All(("WriteResponseRedirect", "/\r\nX: y"), ("WriteResponseRedirect", "/\n"), ("WriteResponseRedirect", "/\x00"), ("WriteResponseRedirect", "/\x1f\x7f\x80")),
    "error": _All(("WriteResponseError", 418)),
    "400": _All(("WriteResponseBadRequest",)), "403": _All(("WriteResponseForbidden",)), "404": _All(("WriteResponseNotFound",)),
    "405": _All(("WriteResponseMethodNotAllowed",)), "405 own": _All(("WriteResponseMethodNotAllowed", ["PUT"])),
    "500": _All(("WriteResponseInternalServerError",)), "501": _All(("WriteResponseNotImplemented",)),
    "rule": _All(("WriteError", 400, {"X": "y"}, "<'rule'>")),
    "away": _Attribute("notFoundUrl", "http://b/"), "away itself": _Attribute("notFoundUrl", PATH),
    "file": _All(("WriteResponseFile", "/nowhere/none.txt")),
    "stream": _All(("WriteResponseStream", ["a", b"b"], "text/plain", "UTF-8", {"X": "y"}, 201)),
    "stream of async": _All(("WriteResponseStream", _Async())),
    "unbroken": _Unbroken,
    "raw": _All(("_write", "HTTP/1.1 200 OK\r\nX: \u00e9\r\n\r\nraw")),
    "raw behind a head": _All(("WriteResponseOk", None, "text/plain"), ("_write", b"one"), ("_write", "two\u00e9", "UTF-8"), ("WriteResponseOk",)),
    "raw behind a length": _All(("WriteResponseOk", {"Content-Length": "3"}, "text/plain"), ("_write", b"one")),
    "raw behind content": _All(("WriteResponseOk", None) + _TEXT, ("_write", b"one")),
    "raw behind 404": _All(("WriteResponse", 404, None, "text/plain", None, ""), ("_write", b"one")),
    "raw behind 404 bare": _All(("WriteResponse", 404, None, None, None, ""), ("_write", b"one")),
    "raw behind 200 bare": _All(("WriteResponse", 200, None, None, None, ""), ("_write", b"one")),
    "raw behind 204": _All(("WriteResponse", 204, None, "text/plain", None, ""), ("_write", b"one")),
    "raw behind 304": _All(("WriteResponse", 304, None, "text/plain", None, ""), ("_write", b"one")),
    "own cache": _All(("Answer", 200, {"cache-control": "private"}, None, None, b"x", None, None, b"Cache-Control: no-cache\r\nX: y\r\n")),
    "cache": _All(("Answer", 200, {"Y": "z"}, None, None, b"x", None, None, b"Cache-Control: no-cache\r\nX: y\r\n")),
    "redirect ends": _All(("WriteResponseRedirect", "/!~ ")),
    "switch": _All(("WriteSwitchProto", "foo", {"X": "y"})),
    "page": _Page, "no page": _All(("WriteResponsePyHTMLFile", "x")),
    "nothing": _All(),
}
_KIND = ["content-type: text/plain; charset=UTF-8"]
_LEN = ["content-length: 7"]
_NONE = ["content-length: 0"]
_CLOSE = ["connection: close"]
_CHUNKED = ["transfer-encoding: chunked"]
_HTML = ["content-type: text/html; charset=UTF-8"]


def _Error(code, reason, rule="", lines=()):
    text = ("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"UTF-8\"><title>%d %s</title></head><body><h1>%d %s</h1><p>%s</p></body></html>"
            % (code, reason, code, reason, rule))
    return code, _HTML + list(lines) + ["content-length: %d" % len(text)], text.encode()


WRITE = [
    (("ok",), ([True], (200, _KIND + _LEN, b"content"), False, [])),
    (("ok", "HEAD"), ([True], (200, _KIND + _LEN, b""), False, [])),
    (("ok", "GET", [("Connection", "close")]), ([True], (200, _KIND + _CLOSE + _LEN, b"content"), True, [])),
    (("ok bare",), ([True], (200, _NONE, b""), False, [])),
    (("ok typed",), ([True], (200, ["content-type: text/plain"] + _NONE, b""), False, [])),
    (("ok bytes",), ([True], (200, ["content-type: application/octet-stream", "content-length: 3"], b"abc"), False, [])),
    (("ok view",), ([True], (200, ["content-type: application/octet-stream", "content-length: 3"], b"abc"), False, [])),
    (("ok number",), (["!ValueError"], (204, [], b""), False, [])),
    (("headers",), ([True], (200, _KIND + ["x: y"] + _LEN, b"content"), False, [])),
    (("own type",), ([True], (200, ["content-type: text/x"] + _LEN, b"content"), False, [])),
    (("own close",), ([True], (200, _KIND + _CLOSE + _LEN, b"content"), True, [])),
    (("own keep",), ([True], (200, _KIND + _LEN, b"content"), False, [])),
    # after a refused call another response is possible
    (("bad header",), (["!ValueError", True], (200, _KIND + _LEN, b"content"), False, [])),
    (("bad type",), (["!ValueError", True], (200, _KIND + _LEN, b"content"), False, [])),
    (("twice",), ([True, False, False], (200, _KIND + _LEN, b"content"), False, [])),
    (("held twice",), ([True, False], (200, ["content-type: text/plain"] + _NONE, b""), False, [])),
    # RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5: no content
    (("205",), ([True], (205, _KIND + _NONE, b""), False, [])),
    (("204",), ([True], (204, _KIND, b""), False, [])),
    (("201 bare",), ([True], (201, _NONE, b""), False, [])),
    (("404 typed",), ([True], (404, ["content-type: text/plain"] + _NONE, b""), False, [])),
    (("304 typed",), ([True], (304, ["content-type: text/plain"], b""), False, [])),
    (("304",), ([True], (304, [], b""), False, [])),
    (("json null",), ([True], (200, ["content-type: application/json; charset=UTF-8", "content-length: 4"], b"null"), False, [])),
    (("json error",), ([True], (422, ["content-type: application/json; charset=UTF-8", "content-length: 8"], b'{"a": 1}'), False, [])),
    (("json error bare",), ([True], (400, ["content-type: application/json; charset=UTF-8", "content-length: 2"], b"{}"), False, [])),
    (("json error 0",), ([True], (400, ["content-type: application/json; charset=UTF-8", "content-length: 1"], b"0"), False, [])),
    (("redirect",), ([True], (302, ["location: /%C3%A9%20x?y=z~"] + _NONE, b""), False, [])),
    (("redirect bad",), (["!ValueError"] * 3 + [True], (302, ["location: /%1F%7F%C2%80"] + _NONE, b""), False, [])),
    (("error",), ([True], _Error(418, "I'm a teapot"), False, [])),
    (("400",), ([True], _Error(400, "Bad Request"), False, [])),
    (("403",), ([True], _Error(403, "Forbidden"), False, [])),
    (("404",), ([True], _Error(404, "Not Found"), False, [])),
    (("405",), ([True], _Error(405, "Method Not Allowed", "", ["allow: GET, HEAD, OPTIONS, POST"]), False, [])),
    (("405 own",), ([True], _Error(405, "Method Not Allowed", "", ["allow: PUT"]), False, [])),
    (("500",), ([True], _Error(500, "Internal Server Error"), False, [])),
    (("501",), ([True], _Error(501, "Not Implemented"), False, [])),
    (("rule",), ([True], _Error(400, "Bad Request", "&lt;&apos;rule&apos;&gt;", ["x: y"]), False, [])),
    (("away",), ([], (302, ["location: http://b/"] + _NONE, b""), False, [])),
    (("away itself",), ([], _Error(404, "Not Found"), False, [])),
    (("stream",), ([True], (201, _KIND + ["x: y"] + _CHUNKED, b"2\r\nab\r\n0\r\n\r\n"), False, [])),
    (("stream of async", "GET", (), [("AsyncSource", None)]), (["!ValueError"], (204, [], b""), False, [])),
    (("unbroken",), (["closed", "!ValueError", "closed", "!ValueError", "closed", True, "closed", False],
                     (200, _CHUNKED, b"12\r\npiece piece piece \r\n0\r\n\r\n"), False, [])),
    # raw content: after a head without content it is framed; without a head the program itself writes HTTP
    (("raw behind a head",), ([True, True, True, False], (200, ["content-type: text/plain"] + _CHUNKED, b"3\r\none\r\n5\r\ntwo\xc3\xa9\r\n0\r\n\r\n"), False, [])),
    (("raw behind a head", "HEAD"), ([True, "gone 104", "gone 104", False], (200, ["content-type: text/plain"] + _CHUNKED, b""), False, [])),
    (("raw behind content",), ([True, "gone 104"], (200, _KIND + _LEN, b"content"), False, [])),
    (("raw behind 404",), ([True, True], (404, ["content-type: text/plain"] + _CHUNKED, b"3\r\none\r\n0\r\n\r\n"), False, [])),
    (("raw behind 404 bare",), ([True, "gone 104"], (404, _NONE, b""), False, [])),
    (("raw behind 200 bare",), ([True, True], (200, _CHUNKED, b"3\r\none\r\n0\r\n\r\n"), False, [])),
    (("raw behind 204",), ([True, "gone 104"], (204, ["content-type: text/plain"], b""), False, [])),
    (("raw behind 304",), ([True, "gone 104"], (304, ["content-type: text/plain"], b""), False, [])),
    (("own cache",), ([True], (200, ["x: y", "cache-control: private", "content-length: 1"], b"x"), False, [])),
    (("cache",), ([True], (200, ["cache-control: no-cache", "x: y", "y: z", "content-length: 1"], b"x"), False, [])),
    (("redirect ends",), ([True], (302, ["location: /!~%20"] + _NONE, b""), False, [])),
    (("switch",), ([True], (101, ["connection: Upgrade", "upgrade: foo", "x: y"], b""), True, [])),
    (("page",), ([True], (200, _HTML + ["y: 1", "content-length: 60"], b"whole[('MESSAGE_STYLE', ''), ('MESSAGE_TEXT', ''), ('a', 1)]"), False, [])),
    (("page", "GET", [("X", "flash")]), ([True], (200, _HTML + ["y: 1", "content-length: 69"],
                                                  b"whole[('MESSAGE_STYLE', 'good'), ('MESSAGE_TEXT', 'saved'), ('a', 1)]"), False, [])),
    (("page", "GET", [("X", "pieces")]), ([True], (200, _HTML + ["y: 1"] + _CHUNKED, b"7\r\none two\r\n0\r\n\r\n"), False, [])),
    (("page", "GET", [("X", "gone")]), ([True], _Error(404, "Not Found"), False, [])),
    (("no page", "GET", (), [("Renderers", {})]), ([True], _Error(501, "Not Implemented"), False, [])),
    (("nothing",), ([], (204, [], b""), False, [])),
    # default headers of all responses
    (("ok", "GET", (), [("SetDefaultHeaders", ({"X": "default"},))]), ([True], (200, _KIND + ["x: default"] + _LEN, b"content"), False, [])),
    (("headers", "GET", (), [("SetDefaultHeaders", ([("x", "default"), ("Y", "z")],))]),
     ([True], (200, _KIND + ["y: z", "x: y"] + _LEN, b"content"), False, [])),
    (("ok", "GET", (), [("SetDefaultHeaders", ({"X": "default"},)), ("SetDefaultHeaders", (None,))]),
     ([True], (200, _KIND + _LEN, b"content"), False, [])),
]


# -- hooks, error pages, headers and cookies

def _Forbids(client, response):
    response.WriteResponse(403, {"X": "hook"}, "text/plain", None, "no")


def _Fails(client, response, code=0):
    raise ValueError("hook")


def _Marks(client, response):
    response.SetHeader("X-Mark", "%s %s" % (client.GetRequestMethod(), response.code))


def _Later(client, response):
    def Content(client, response):
        content = client.ReadRequestContent(3)
        response.SetHeader("X-Content", content.decode())
        if content == b"bad":
            response.WriteResponse(400, None, "text/plain", None, "bad")
    return Content


def _Own(client, response, code):
    response.WriteResponseOk({"X": "own"}, "text/plain", None, "own %d %s" % (code, response.rule))


def _OwnBare(client, response, code):
    response.WriteResponseOk(None, "text/plain", None, "own")


def _OwnCode(client, response, code):
    response.WriteResponse(410, None, "text/plain", None, "gone")


def _OwnError(client, response, code):
    response.WriteResponseNotFound()


def _Silent(client, response, code):
    pass


async def _AsyncHook(client, response):
    pass


def _Sets(*steps):
    """SetHeader and others, then a response with a header."""
    return _All(*(steps + (("WriteResponseOk", {"X": "y"}, "text/plain", None, "x"),)))


WRITES.update({
    "set": _Sets(("SetHeader", "A", "1"), ("SetHeader", "B", 2)), "set again": _Sets(("SetHeader", "A", "1"), ("SetHeader", "a", "2")),
    "set back": _Sets(("SetHeader", "A", "1"), ("SetHeader", "a", None)), "set less": _Sets(("SetHeader", "x", "1")),
    "set more": _Sets(("SetHeader", "Vary", "A"), ("SetHeader", "Vary", "B"), ("SetHeader", "Set-Cookie", "c"), ("SetHeader", "Set-Cookie", "d")),
    "set badly": _Sets(("SetHeader", "A\r\nB", "1"), ("SetHeader", "A", "1\nB: 2"), ("SetHeader", "", "1"), ("SetHeader", 7, "1")),
    "set close": _Sets(("SetHeader", "Connection", "close")), "set type": _Sets(("SetHeader", "Content-Type", "text/x")),
    "set late": _All(("WriteResponseOk", {"X": "y"}) + _TEXT, ("SetHeader", "A", "1"), ("SetCookie", "a", "b")),
    "set bare": _All(("SetHeader", "A", "1"), ("WriteResponseOk", None) + _TEXT),
    "set and fail": _All(("SetHeader", "A", "1"), ("none",)),
    "cookie": _Sets(("SetCookie", "a", "b")), "cookie 9": _Sets(("SetCookie", "a", "b", 9, "/p", False, True, "Strict")),
    "cookie 0": _Sets(("SetCookie", "a", "", 0)), "cookie bad": _Sets(("SetCookie", "a", "b;c"), ("SetCookie", "a b", "c"), ("SetCookie", "", "c"),
                                                                    ("SetCookie", "a", "b\r\nc"), ("SetCookie", "a", "b", 9, "/;p")),
    "flash": _All(("FlashMessage", "sa;ved\u00e9", "good"), ("WriteResponseRedirect", "/x")),
    "flash plain": _All(("FlashMessage", "saved"), ("WriteResponseRedirect", "/x")),
})
_ONE = ["content-type: text/plain", "x: y", "content-length: 1"]


def _One(*lines):
    return (200, _ONE[:1] + list(lines) + _ONE[1:], b"x")


def _Before(hook, prefix="/"):
    return [("Before", (hook, prefix))]


def _After(hook, prefix="/"):
    return [("After", (hook, prefix))]


_NO = (403, ["content-type: text/plain", "x: hook", "content-length: 2"], b"no")
_FLASH_SET = "set-cookie: flash=good%0Asa%3Bved%C3%A9; Path=/; SameSite=Lax; Max-Age=60; HttpOnly"

def _Typed(client, response):
    response.WriteResponseOk(None, "text/plain")


def _Streams(client, response):
    response.WriteResponseStream(["a", "b"], "text/plain")


def _Raws(client, response):
    response.WriteResponseOk(None, "text/plain")
    response._write(b"raw")


HOOKS = [
    (("ok", "GET", (), _Before(_Typed)), ([], (200, ["content-type: text/plain"] + _NONE, b""), False, [])),
    (("ok", "GET", (), _Before(_Streams)), ([], (200, ["content-type: text/plain"] + _CHUNKED, b"2\r\nab\r\n0\r\n\r\n"), False, [])),
    (("ok", "GET", (), _Before(_Raws)), ([], (200, ["content-type: text/plain"] + _CHUNKED, b"3\r\nraw\r\n0\r\n\r\n"), False, [])),
    # Before hooks: they mark, answer or fail, each only below its prefix, ignoring case
    (("ok", "GET", (), _Before(_Marks)), ([True], (200, _KIND + ["x-mark: GET None"] + _LEN, b"content"), False, [])),
    (("ok", "GET", (), _Before(_Forbids)), ([], _NO, False, [])),
    (("ok", "GET", (), _Before(_Fails)), ([], _Error(500, "Internal Server Error"), False, ["GET /a/b: ValueError"])),
    (("ok", "GET", (), _Before(_Forbids) + _Before(_Fails)), ([], _NO, False, [])),
    (("ok", "GET", (), _Before(_Forbids, "/a")), ([], _NO, False, [])),
    (("ok", "GET", (), _Before(_Forbids, "/A/")), ([], _NO, False, [])),
    (("ok", "GET", (), _Before(_Forbids, "/a/b")), ([], _NO, False, [])),
    (("ok", "GET", (), _Before(_Forbids, "/a/b/c")), ([True], (200, _KIND + _LEN, b"content"), False, [])),
    (("ok", "GET", (), _Before(_Forbids, "/a/bc")), ([True], (200, _KIND + _LEN, b"content"), False, [])),
    (("ok", "GET", (), _Before(_Forbids, "/b")), ([True], (200, _KIND + _LEN, b"content"), False, [])),
    # and again when the content is there
    (("ok", "POST", (), _Before(_Later), b"fine"), ([True], (200, _KIND + ["x-content: fin"] + _LEN, b"content"), False, [])),
    (("ok", "POST", (), _Before(_Later), b"bad"), ([], (400, ["content-type: text/plain", "x-content: bad", "content-length: 3"], b"bad"), False, [])),
    (("ok", "GET", (), _Before(_Later)), ([True], (200, _KIND + ["x-content: "] + _LEN, b"content"), False, [])),
    (("ok", "POST", (), _Before(_Forbids), b"fine"), ([], _NO, False, [])),
    # After hooks: for each response, also for errors
    (("ok", "GET", (), _After(_Marks)), ([True], (200, _KIND + ["x-mark: GET 200"] + _LEN, b"content"), False, [])),
    (("404", "GET", (), _After(_Marks)), ([True], _Error(404, "Not Found", "", ["x-mark: GET 404"]), False, [])),
    (("nothing", "GET", (), _After(_Marks)), ([], (204, ["x-mark: GET 204"], b""), False, [])),
    (("headers", "GET", (), _After(_Marks, "/a")), ([True], (200, _KIND + ["x-mark: GET 200", "x: y"] + _LEN, b"content"), False, [])),
    (("ok", "GET", (), _After(_Marks, "/b")), ([True], (200, _KIND + _LEN, b"content"), False, [])),
    (("ok", "GET", (), _After(_Fails)), ([True], (200, _KIND + _LEN, b"content"), False, ["a call on the engine: ValueError"])),
    (("ok", "GET", (), _After(_Forbids)), ([True], (200, _KIND + _LEN, b"content"), False, [])),
    # error pages: a 200 becomes the code; another code is kept; without a response or with an exception the built-in
    # page is sent
    (("404", "GET", (), [("SetErrorHandler", (404, _Own))]), ([True], (404, ["content-type: text/plain", "x: own", "content-length: 8"], b"own 404 "), False, [])),
    (("404", "GET", (), [("SetErrorHandler", (404, _OwnBare))]), ([True], (404, ["content-type: text/plain", "content-length: 3"], b"own"), False, [])),
    (("rule", "GET", (), [("SetErrorHandler", (None, _Own))]),
     ([True], (400, ["content-type: text/plain", "x: own", "content-length: 16"], b"own 400 <'rule'>"), False, [])),
    (("405 own", "GET", (), [("SetErrorHandler", (405, _OwnCode))]), ([True], (410, ["content-type: text/plain", "allow: PUT", "content-length: 4"], b"gone"), False, [])),
    (("404", "GET", (), [("SetErrorHandler", (403, _Own))]), ([True], _Error(404, "Not Found"), False, [])),
    (("404", "GET", (), [("SetErrorHandler", (None, _OwnCode)), ("SetErrorHandler", (404, _Silent))]), ([True], _Error(404, "Not Found"), False, [])),
    (("404", "GET", (), [("SetErrorHandler", (404, _Own)), ("SetErrorHandler", (404, None))]), ([True], _Error(404, "Not Found"), False, [])),
    (("404", "GET", (), [("SetErrorHandler", (404, _Fails))]), ([True], _Error(404, "Not Found"), False, ["a call on the engine: ValueError"])),
    (("404", "GET", (), [("SetErrorHandler", (404, _OwnError))]), ([True], _Error(404, "Not Found"), False, [])),
    (("twice", "GET", (), [("SetErrorHandler", (404, _Own))]), ([True, False, False], (200, _KIND + _LEN, b"content"), False, [])),
    # headers set before the response
    (("set",), ([True] * 3, _One("a: 1", "b: 2"), False, [])),
    (("set again",), ([True] * 3, _One("a: 2"), False, [])),
    (("set back",), ([True] * 3, _One(), False, [])),
    (("set less",), ([True] * 2, _One(), False, [])),
    (("set more",), ([True] * 5, _One("vary: A", "vary: B", "set-cookie: c", "set-cookie: d"), False, [])),
    (("set badly",), (["!ValueError"] * 4 + [True], _One(), False, [])),
    (("set close",), ([True] * 2, (200, _ONE[:2] + _CLOSE + _ONE[2:], b"x"), True, [])),
    (("set type",), ([True] * 2, (200, ["content-type: text/x"] + _ONE[1:], b"x"), False, [])),
    (("set late",), ([True, False, False], (200, _KIND + ["x: y"] + _LEN, b"content"), False, [])),
    (("set bare",), ([True, True], (200, _KIND + ["a: 1"] + _LEN, b"content"), False, [])),
    (("cookie",), ([True] * 2, _One("set-cookie: a=b; Path=/; SameSite=Lax; HttpOnly"), False, [])),
    (("cookie 9",), ([True] * 2, _One("set-cookie: a=b; Path=/p; SameSite=Strict; Max-Age=9; Secure"), False, [])),
    (("cookie 0",), ([True] * 2, _One("set-cookie: a=; Path=/; SameSite=Lax; Max-Age=0; HttpOnly"), False, [])),
    (("cookie bad",), (["!ValueError"] * 5 + [True], _One(), False, [])),
    # a flash message is sent with a redirect, and is shown on the next page only
    (("flash",), ([None, True], (302, [_FLASH_SET, "location: /x"] + _NONE, b""), False, [])),
    (("flash plain",), ([None, True], (302, ["set-cookie: flash=%0Asaved; Path=/; SameSite=Lax; Max-Age=60; HttpOnly", "location: /x"] + _NONE, b""), False, [])),
    (("page", "GET", [("Cookie", "a=b; flash=good%0Asaved%3B")]),
     ([True], (200, _HTML + ["set-cookie: flash=; Path=/; SameSite=Lax; Max-Age=0; HttpOnly", "y: 1", "content-length: 70"],
               b"whole[('MESSAGE_STYLE', 'good'), ('MESSAGE_TEXT', 'saved;'), ('a', 1)]"), False, [])),
]


def BadHook(way, *args):
    getattr(_Server(print), way)(*args)


BAD_HOOK = [(("Before",) + args, "!ValueError") for args in ((7,), (_AsyncHook,), (_Marks, ""), (_Marks, "a"))] \
    + [(("After",) + args, "!ValueError") for args in ((None,), (_AsyncHook,), (_Marks, "a/"))] \
    + [(("SetErrorHandler",) + args, "!ValueError") for args in ((399, _Own), (600, _Own), ("404", _Own), (404, 7))] \
    + [(("SetErrorHandler",) + args, None) for args in ((400, _Own), (599, _Own), (None, _Own), (404, None), (None, None))]


def HookIsReturned():
    server = _Server(print)
    return server.Before(_Marks) is _Marks and server.After(_Marks, "/a") is _Marks


def Cookies(*lines):
    return See("cookies", "GET", PATH, [("Cookie", line) for line in lines])


LOOKS["cookies"] = lambda client: client.GetCookies()
COOKIES = [
    ((), {}), (("a=b",), {"a": "b"}), (("a=b; c=d;e=",), {"a": "b", "c": "d", "e": ""}), (("a=1; a=2",), {"a": "1"}), (("a=b", "c=d"), {"a": "b", "c": "d"}),
    (("a", "=b", ";;"), {"": "b"}), (("a=b=c; d=\"e\"",), {"a": "b=c", "d": "\"e\""}),
]


def Raw(name, settings=()):
    """-> (all bytes of a raw response, True if the connection closes)."""
    told = []
    return Play(lambda client, response: WRITES[name](client, response, told.append), Request(), settings)[:2]


def Access(*names):
    """The calls of AccessCallback for these responses, and for a refused request."""
    told = []
    for name in names:
        Play(lambda client, response, name=name: WRITES[name](client, response, told.append), Request(),
             [("AccessCallback", lambda client, code: told.append((client.GetRequestMethod(), code)))])
    Play(print, b"HEAD /\r\n\r\n", [("AccessCallback", lambda client, code: told.append((client.GetRequestMethod(), code)))])
    return told


ACCESS = [(("404", "raw", "nothing"), [("GET", 404), True, True, ("GET", 200), ("GET", 204), ("HEAD", 400)])]


def IsRaw():
    """Latin-1, as in the older server; on MicroPython UTF-8, as in the older server there."""
    sent, closes = Raw("raw")
    return sent == b"HTTP/1.1 200 OK\r\nX: " + (b"\xc3\xa9" if core.MICROPYTHON else b"\xe9") + b"\r\n\r\nraw" and closes


def Failing(debug):
    """A failing handler: the response, and the log."""
    def Handler(client, response):
        raise ValueError("<why>")
    sent, closes, log = Play(Handler, Request(), [("Debug", debug)])
    return rooms.SplitResponse(sent)[2].partition(b"<p>")[2], closes, log


FAILING = [
    ((False,), (b"</p></body></html>", False, ["GET /a/b: ValueError"])),
    ((True,), (b"ValueError: &lt;why&gt;</p></body></html>", False, ["GET /a/b: ValueError"])),
]


def Remembered(way):
    """Equal requests share a head: changes of a handler to its arguments or fields are not visible to others."""
    seen = []

    def Handler(client, response, args):
        fields = client.GetRequestHeaders()
        seen.append((dict(args), dict(fields.items())))
        if way == "args":
            args["x"] = "evil"
            args["y"] = 1
        elif way == "cleared":
            args.clear()
            fields.clear()
        else:
            fields["host"] = "evil"
    server = _Server(print)
    server.AddRoute("/args/<x>", "GET", Handler)
    link = rooms.Connect(server)
    for _ in range(3):
        link.Receive(Request("GET", "/args/7"))
    return len(server.heads), seen[0], seen[1] == seen[0] == seen[2]


REMEMBERED = [((way,), (1, ({"x": 7}, {"host": "a"}), True)) for way in ("args", "cleared", "fields")]


def Added():
    """A route that is added at run time is used at once, also for a head in the memo."""
    statuses = []

    def Ask(server, target):
        link = rooms.Connect(server)
        link.Receive(Request("GET", target))
        statuses.append(int(link.sent[9:12]))
    server = _Server(print)
    for _ in range(2):
        Ask(server, "/later")
    server.AddRoute("/later", "GET", lambda client, response: response.WriteResponse(201, None, None, None, "x"))
    Ask(server, "/later")
    return statuses


def Kept(size):
    """The number of heads of this length in the memo, whose bytes are limited, too."""
    server = _Server(lambda client, response: None)
    link = rooms.Connect(server)
    request = Request("GET", PATH, [("X", "")])
    link.Receive(request.replace(b"X: ", b"X: " + b"y" * (size + 4 - len(request))))
    return link.sent.count(b"HTTP/1.1 204 "), len(server.heads)


KEPT = [((200,), (1, 1)), ((1024,), (1, 1)), ((1025,), (1, 0)), ((5000,), (1, 0))]


def KeptHeads(count, memoLen):
    """The number of different heads in the memo."""
    server = _Server(lambda client, response: None, [("memoLen", memoLen)])
    link = rooms.Connect(server)
    most = 0
    for number in range(count):
        link.Receive(Request("GET", PATH + "?%d" % number))
        most = max(most, len(server.heads))
    return link.sent.count(b"HTTP/1.1 204 "), most, len(server.heads)


def Idle(request):
    """What an idle connection still refers to after its last exchange."""
    server = _Server(lambda client, response: response.WriteResponseOk(None, "text/plain", None, client.ReadRequestContent() or "x"))
    link = rooms.Connect(server)
    link.Receive(request)
    connection = link.endpoint
    held = [connection.client, connection.response, connection.source, connection.reader, connection.wake, bytes(connection.data), connection.head.fields]
    return link.sent.count(b" 200 "), held


IDLE = [((request,), (1, [None] * 5 + [b"", {}])) for request in (
    Request(), Request("POST", PATH, (), b"x" * 3000), Request("POST", PATH, [("Transfer-Encoding", "chunked")]) + b"3\r\nabc\r\n0\r\n\r\n")]

TABLES = [
    ("See", See, SEE),
    ("Json", Json, JSON),
    ("Write", Write, WRITE),
    ("Hooks", Write, HOOKS),
    ("BadHook", BadHook, BAD_HOOK),
    ("HookIsReturned", HookIsReturned, [((), True)]),
    ("Cookies", Cookies, COOKIES),
    ("Access", Access, ACCESS),
    ("Patience", lambda: core.HttpResponse.patienceMs, [((), 2000)]),
    ("IsRaw", IsRaw, [((), True)]),
    ("Failing", Failing, FAILING),
    ("Remembered", Remembered, REMEMBERED),
    ("Added", Added, [((), [404, 404, 201])]),
    ("Kept", Kept, KEPT),
    ("KeptHeads", KeptHeads, [((3, 4), (3, 3, 3)), ((4, 4), (4, 4, 4)), ((5, 4), (5, 4, 1)), ((9, 4), (9, 4, 1)), ((3, 0), (3, 0, 0))]),
    ("Idle", Idle, IDLE),
]
