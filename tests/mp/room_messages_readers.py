# Rooms 2 ERRORS, 3 MESSAGES and 4 READERS.

import microWebSrv as core

import rooms

REASON = [
    # RFC 9110 section 15, RFC 6585, RFC 2324
    ((100,), "Continue"), ((101,), "Switching Protocols"), ((200,), "OK"), ((201,), "Created"), ((202,), "Accepted"),
    ((203,), "Non-Authoritative Information"), ((204,), "No Content"), ((205,), "Reset Content"),
    ((206,), "Partial Content"), ((300,), "Multiple Choices"), ((301,), "Moved Permanently"), ((302,), "Found"),
    ((303,), "See Other"), ((304,), "Not Modified"), ((307,), "Temporary Redirect"), ((308,), "Permanent Redirect"),
    ((400,), "Bad Request"), ((401,), "Unauthorized"), ((402,), "Payment Required"), ((403,), "Forbidden"),
    ((404,), "Not Found"), ((405,), "Method Not Allowed"), ((406,), "Not Acceptable"), ((408,), "Request Timeout"),
    ((409,), "Conflict"), ((410,), "Gone"), ((411,), "Length Required"), ((412,), "Precondition Failed"),
    ((413,), "Content Too Large"), ((414,), "URI Too Long"), ((415,), "Unsupported Media Type"),
    ((416,), "Range Not Satisfiable"), ((417,), "Expectation Failed"), ((418,), "I'm a teapot"),
    ((422,), "Unprocessable Content"), ((426,), "Upgrade Required"), ((428,), "Precondition Required"),
    ((429,), "Too Many Requests"), ((431,), "Request Header Fields Too Large"), ((500,), "Internal Server Error"),
    ((501,), "Not Implemented"), ((502,), "Bad Gateway"), ((503,), "Service Unavailable"), ((504,), "Gateway Timeout"),
    ((505,), "HTTP Version Not Supported"),
    ((299,), "Status"), ((999,), "Status"), ((20,), "Status"), ((0,), "Status"),
]


def Line(line):
    request = core._ParseRequestLine(line)
    return (request.method, request.target, request.rawPath, request.path, request.query, request.minor,
            request.authority)


LINE = [
    # method, target, path as it came, path, query, minor version, authority
    ((b"GET / HTTP/1.1",), ("GET", "/", "/", "/", "", 1, None)),
    ((b"GET /a%20b?c=%20&d HTTP/1.0",), ("GET", "/a%20b?c=%20&d", "/a%20b", "/a b", "c=%20&d", 0, None)),
    ((b"HEAD /%3f?? HTTP/1.7",), ("HEAD", "/%3f??", "/%3f", "/?", "?", 1, None)),
    ((b"FROB /x HTTP/1.1",), ("FROB", "/x", "/x", "/x", "", 1, None)),
    ((b"OPTIONS * HTTP/1.1",), ("OPTIONS", "*", "*", "*", "", 1, None)),
    ((b"GET http://a.b:8080/c/d?e#f HTTP/1.1",), 400),
    ((b"GET http://a.b:8080/c/d?e HTTP/1.1",),
     ("GET", "http://a.b:8080/c/d?e", "/c/d", "/c/d", "e", 1, "a.b:8080")),
    ((b"GET HtTp://a HTTP/1.1",), ("GET", "HtTp://a", "/", "/", "", 1, "a")),
    ((b"GET http://a?b/c HTTP/1.1",), ("GET", "http://a?b/c", "/", "/", "b/c", 1, "a")),
    ((b"GET https://[::1]:1/ HTTP/1.1",), ("GET", "https://[::1]:1/", "/", "/", "", 1, "[::1]:1")),
    ((b"",), 400), ((b" ",), 400), ((b"  ",), 400), ((b"GET",), 400), ((b"GET /",), 400),
    ((b"GET / HTTP/2.0",), 505), ((b"GET / HTTP/1.1 x",), 400),
]

FIELD_METHODS = [
    # look-up in any case; names in lower case
    (("get", "content-type"), "text/plain"),
    (("get", "Content-Type"), "text/plain"),
    (("get", "CONTENT-TYPE"), "text/plain"),
    (("get", "x"), None),
    (("get", "x", "y"), "y"),
    (("__getitem__", "Content-TYPE"), "text/plain"),
    (("__getitem__", "x"), "!KeyError"),
    (("__contains__", "HOST"), True),
    (("__contains__", "x"), False),
    (("__contains__", "X-Empty"), True),
    (("names",), ["content-type", "host", "x-empty"]),
    (("keys",), ["content-type", "host", "x-empty"]),
    (("items",), [("content-type", "text/plain"), ("host", "a"), ("x-empty", "")]),
    (("values",), ["", "a", "text/plain"]),
    (("copy",), {"host": "a", "content-type": "text/plain", "x-empty": ""}),
    (("len",), 3),
    (("isDict",), True),
]

_BLOCK = b"Host: a\r\nContent-Type: text/plain\r\nX-Empty:"


def Field(method, *args):
    fields = core._ParseFields(_BLOCK)
    ways = {
        "get": lambda: fields.get(*args), "__getitem__": lambda: fields[args[0]],
        "__contains__": lambda: args[0] in fields, "names": lambda: sorted(fields),
        "keys": lambda: sorted(fields.keys()), "items": lambda: sorted(fields.items()),
        "values": lambda: sorted(fields.values()), "copy": lambda: {name: fields[name] for name in fields}, "len": lambda: len(fields),
        "isDict": lambda: isinstance(fields, dict)}
    return ways[method]()


MUTATORS = [(name,) for name in ("set", "del", "pop", "popitem", "clear", "update", "setdefault")]


def Change(name):
    """Requests of the same bytes share their fields: what one handler does to them, no other may see."""
    connection = core._Connection(rooms.Limits(1000, 1000, 8))
    for turn in (1, 2):
        connection.Receive(b"GET / HTTP/1.1\r\n" + _BLOCK + b"\r\n\r\n")
        connection.Next()
        fields = connection.fields
        if turn == 1:
            _Mutate(fields, name)
            connection.EndResponse()
    return {name: fields[name] for name in fields}


def _Mutate(fields, name):
    ways = {
        "set": lambda: fields.__setitem__("host", "evil"), "del": lambda: fields.__delitem__("host"),
        "pop": lambda: fields.pop("host"), "popitem": fields.popitem, "clear": fields.clear,
        "update": lambda: fields.update({"host": "evil"}), "setdefault": lambda: fields.setdefault("y", "evil")}
    try:
        ways[name]()
    except (TypeError, AttributeError, KeyError):
        pass


CHANGE = [(row, {"host": "a", "content-type": "text/plain", "x-empty": ""}) for row in MUTATORS]


def Framing(block):
    fields = core._ParseFields(block)
    return (fields.contentLength, bool(fields.chunked), bool(fields.close), bool(fields.keepAlive),
            bool(fields.expect), fields.upgrade)


FRAMING = [
    # content length, chunked, close, keep-alive, expects 100-continue, upgrade
    ((b"",), (None, False, False, False, False, None)),
    ((b"Host: a",), (None, False, False, False, False, None)),
    ((b"Content-Length: 0",), (0, False, False, False, False, None)),
    ((b"Content-Length: 123456789012345678",), (123456789012345678, False, False, False, False, None)),
    ((b"Content-Length: 1234567890123456789",), 413),
    ((b"Transfer-Encoding: chunked",), (None, True, False, False, False, None)),
    ((b"TRANSFER-ENCODING:CHUNKED",), (None, True, False, False, False, None)),
    ((b"Connection: close",), (None, False, True, False, False, None)),
    ((b"Connection: Keep-Alive",), (None, False, False, True, False, None)),
    ((b"Connection: keep-alive , Upgrade\r\nUpgrade: WebSocket",),
     (None, False, False, True, False, "websocket")),
    ((b"Upgrade: websocket",), (None, False, False, False, False, None)),
    ((b"Expect: 100-Continue",), (None, False, False, False, True, None)),
    ((b"Expect: 100-continue\r\nExpect: 100-continue",), 417),
    ((b"Expect: x",), 417),
]


def Body(pieces, length=None):
    """The pieces of a body as they are read, and what was left over behind it."""
    reader = core._ChunkedReader() if length is None else core._LengthReader(length)
    data, pos, out = b"", 0, b""
    for piece in pieces:
        data, pos = data[pos:] + piece, 0
        while not reader.done:
            part, pos = reader.Read(data, pos)
            if not part:
                break
            out += part
    return out, data[pos:] if reader.done else None


def EveryCut(body, length=None):
    """A body in one piece, in two at every byte and byte by byte is the same."""
    whole = Body([body], length)
    for at in range(len(body) + 1):
        cut = Body([body[:at], body[at:]], length)
        if cut != whole:
            return "cut at", at, cut
    single = Body([body[at:at + 1] for at in range(len(body))], length)
    return whole if single == whole else ("byte by byte", single)


BODY = [
    ((b"hello", 5), (b"hello", b"")),
    ((b"hello, and more", 5), (b"hello", b", and more")),
    ((b"hell", 5), (b"hell", None)),
    ((b"5\r\nhello\r\n0\r\n\r\n",), (b"hello", b"")),
    ((b"5\r\nhello\r\n0\r\n\r\nGET",), (b"hello", b"GET")),
    ((b"5;x=y\r\nhello\r\n3 ; z\r\n\r\n!\r\n0;x\r\nA: b\r\nC:\r\n\r\nrest",), (b"hello\r\n!", b"rest")),
    ((b"0\r\n\r\n\r\n",), (b"", b"\r\n")),
    ((b"5\r\nhell",), (b"hell", None)),
    ((b"5\r\nhello\r\n0\r\n",), (b"hello", None)),
    ((b"fffffffffffffff\r\nhello",), (b"hello", None)),
    ((b"ffffffffffffffff\r\nhello",), 400),
    ((b"5\r\nhelloX",), (b"hello", None)),
    ((b"5\r\nhelloXX",), 400),
    ((b"5\r\nhello\r\n;\r\n",), 400),
]

TABLES = [
    ("Reason", core._Reason, REASON),
    ("ParseRequestLine", Line, LINE),
    ("Fields", Field, FIELD_METHODS),
    ("FieldsAreShared", Change, CHANGE),
    ("ReadFraming", Framing, FRAMING),
    ("Body", EveryCut, BODY),
]
