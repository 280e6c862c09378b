# The rooms messages and readers.

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
    ((299,), "Status"), ((999,), "Status"), ((99,), "!ValueError"), ((1000,), "!ValueError"), (("200",), "!ValueError"),
]


def Line(line, block=b"Host: h"):
    head = core.ParseHead(line + b"\r\n" + block)
    return head.method, head.target, head.rawPath, head.path, head.query, head.minor, head.authority


LINE = [
    # method, target, path as it came, path, query, minor version, authority
    ((b"GET / HTTP/1.1",), ("GET", "/", "/", "/", "", 1, "h")),
    ((b"GET /a%20b?c=%20&d HTTP/1.0",), ("GET", "/a%20b?c=%20&d", "/a%20b", "/a b", "c=%20&d", 0, "h")),
    ((b"HEAD /%3f?? HTTP/1.7",), ("HEAD", "/%3f??", "/%3f", "/?", "?", 1, "h")),
    ((b"FROB /x HTTP/1.1",), ("FROB", "/x", "/x", "/x", "", 1, "h")),
    ((b"CONNECT a:80 HTTP/1.1",), ("CONNECT", "a:80", "", "", "", 1, "a:80")),
    ((b"CONNECT http://a/b HTTP/1.1",), ("CONNECT", "http://a/b", "/b", "/b", "", 1, "a")),
    ((b"CONNECT a/b HTTP/1.1",), 400), ((b"CONNECT / HTTP/1.1",), ("CONNECT", "/", "/", "/", "", 1, "h")),
    ((b"GET http://a/?b/c HTTP/1.1",), ("GET", "http://a/?b/c", "/", "/", "b/c", 1, "a")),
    ((b"GET http://a/b?c/d?e HTTP/1.1",), ("GET", "http://a/b?c/d?e", "/b", "/b", "c/d?e", 1, "a")),
    ((b"GET http:///a HTTP/1.1",), 400), ((b"GET http://?a HTTP/1.1",), 400), ((b"GET http:// HTTP/1.1",), 400),
    ((b"OPTIONS * HTTP/1.1",), ("OPTIONS", "*", "*", "*", "", 1, "h")),
    # RFC 9112 section 3.2.2: the authority of an absolute-form overrides Host
    ((b"GET http://a.b:8080/c/d?e#f HTTP/1.1",), 400),
    ((b"GET http://a.b:8080/c/d?e HTTP/1.1",),
     ("GET", "http://a.b:8080/c/d?e", "/c/d", "/c/d", "e", 1, "a.b:8080")),
    ((b"GET HtTp://a HTTP/1.1",), ("GET", "HtTp://a", "/", "/", "", 1, "a")),
    ((b"GET http://a?b/c HTTP/1.1",), ("GET", "http://a?b/c", "/", "/", "b/c", 1, "a")),
    ((b"GET https://[::1]:1/ HTTP/1.1",), ("GET", "https://[::1]:1/", "/", "/", "", 1, "[::1]:1")),
    ((b"GET / HTTP/1.0", b"X: y"), ("GET", "/", "/", "/", "", 0, "")),
    ((b"GET / HTTP/1.1", b"Host:"), ("GET", "/", "/", "/", "", 1, "")),
    ((b"",), 400), ((b" ",), 400), ((b"  ",), 400), ((b"GET",), 400), ((b"GET /",), 400),
    ((b"GET / HTTP/2.0",), 505), ((b"GET / HTTP/1.1 x",), 400),
    # raw non-ASCII bytes, invalid in a URI (RFC 3986 section 2) but sent by some tools: UTF-8 is accepted
    ((b"GET /\xc3\xa9?\xc3\xa8 HTTP/1.1",), ("GET", "/\u00e9?\u00e8", "/\u00e9", "/\u00e9", "\u00e8", 1, "h")),
    ((b"GET /\xc3%A9 HTTP/1.1",), ("GET", "/\ufffd%A9", "/\ufffd%A9", "/\u00e9", "", 1, "h")),
    ((b"GET /\xe9 HTTP/1.1",), 400), ((b"GET /\xc0\xaf HTTP/1.1",), 400),
    ((b"GET /?\xe9 HTTP/1.1",), ("GET", "/?\ufffd", "/", "/", "\ufffd", 1, "h")),
]


def Paths(path):
    head = core.ParseHead(b"GET " + path + b" HTTP/1.1\r\nHost: h")
    return head.path, head.key


# Path and key: the normalised path. Slashes are merged, as all file systems do; an encoded one separates no segments
# (RFC 3986 section 2.2) and is NUL in the key, which can't occur otherwise.
PATHS = [
    ((b"/a",), ("/a", "/a")),
    ((b"//a",), ("/a", "/a")),
    ((b"/a//b///c//",), ("/a/b/c/", "/a/b/c/")),
    ((b"//",), ("/", "/")),
    ((b"/a%2Fb",), ("/a/b", "/a\x00b")),
    ((b"/a%2fb",), ("/a/b", "/a\x00b")),
    ((b"/a%2F%2f%2Fb",), ("/a///b", "/a\x00\x00\x00b")),
    ((b"/%2F/%2F",), ("////", "/\x00/\x00")),
    ((b"//a%2F//b",), ("/a//b", "/a\x00/b")),
    ((b"/a%252Fb",), ("/a%2Fb", "/a%2Fb")),
    ((b"/%C3%A9//%2F\xc3\xa9",), ("/\u00e9//\u00e9", "/\u00e9/\x00\u00e9")),
    ((b"/a%00b",), 400),
    ((b"/%2F%00",), 400),
    ((b"/100%.txt",), 400),
    ((b"/a%",), 400),
    ((b"/a%2",), 400),
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
_LINE = b"GET / HTTP/1.1\r\n"


def Field(method, *args):
    fields = core.Fields(core.ParseHead(_LINE + _BLOCK).fields)
    ways = {
        "get": lambda: fields.get(*args), "__getitem__": lambda: fields[args[0]],
        "__contains__": lambda: args[0] in fields, "names": lambda: sorted(fields),
        "keys": lambda: sorted(fields.keys()), "items": lambda: sorted(fields.items()),
        "values": lambda: sorted(fields.values()), "copy": lambda: {name: fields[name] for name in fields}, "len": lambda: len(fields),
        "isDict": lambda: isinstance(fields, dict)}
    return ways[method]()


MUTATORS = [(name,) for name in ("set", "del", "pop", "popitem", "clear", "update", "setdefault", "or")]


def Change(name):
    """Equal requests share their fields: changes by one handler are not visible to others."""
    seen = []

    def Handle(client, response):
        fields = client.GetRequestHeaders()
        seen.append({name: fields[name] for name in fields})
        _Mutate(fields, name)
        client.connection.Answer(response, 200, None, None, b"", b"")

    server = rooms.Server(memoLen=8, handle=Handle)
    server.Client = core.HttpClient
    link = rooms.Connect(server)
    for _ in (1, 2):
        link.Receive(_LINE + _BLOCK + b"\r\n\r\n")
    return seen[1] if seen[0] == seen[1] and server.heads else seen


def _Or(fields):
    fields |= {"host": "evil"}


def _Mutate(fields, name):
    ways = {
        "set": lambda: fields.__setitem__("host", "evil"), "del": lambda: fields.__delitem__("host"),
        "pop": lambda: fields.pop("host"), "popitem": fields.popitem, "clear": fields.clear,
        "update": lambda: fields.update({"host": "evil"}), "setdefault": lambda: fields.setdefault("y", "evil"),
        "or": lambda: _Or(fields)}
    try:
        ways[name]()
    except (TypeError, AttributeError, KeyError):
        pass


CHANGE = [(row, {"host": "a", "content-type": "text/plain", "x-empty": ""}) for row in MUTATORS]


def Framing(block, version=b"1.1"):
    head = core.ParseHead(b"GET / HTTP/" + version + b"\r\nHost: a" + block)
    return head.contentLength, head.isChunked, head.keepAlive, head.expect, list(head.upgrade)


FRAMING = [
    # content length, chunked, persists, expects 100-continue, upgrade
    ((b"",), (None, False, True, False, [])),
    ((b"", b"1.0"), (None, False, False, False, [])),
    ((b"\r\nContent-Length: 0",), (0, False, True, False, [])),
    ((b"\r\nContent-Length: 123456789012345678",), (123456789012345678, False, True, False, [])),
    ((b"\r\nContent-Length: 1234567890123456789",), 413),
    ((b"\r\nTransfer-Encoding: chunked",), (None, True, True, False, [])),
    ((b"\r\nTRANSFER-ENCODING:CHUNKED",), (None, True, True, False, [])),
    ((b"\r\nConnection: close",), (None, False, False, False, [])),
    ((b"\r\nConnection: close", b"1.0"), (None, False, False, False, [])),
    ((b"\r\nConnection: Keep-Alive",), (None, False, True, False, [])),
    ((b"\r\nConnection: Keep-Alive", b"1.0"), (None, False, True, False, [])),
    ((b"\r\nConnection: Keep-Alive, close", b"1.0"), (None, False, False, False, [])),
    ((b"\r\nConnection: keep-alive , Upgrade\r\nUpgrade: WebSocket",), (None, False, True, False, ["websocket"])),
    ((b"\r\nUpgrade: websocket",), (None, False, True, False, [])),
    # RFC 9110 section 7.8: a list, in one line or in several; not in HTTP/1.0
    ((b"\r\nConnection: upgrade\r\nUpgrade: foo,\tWebSocket",), (None, False, True, False, ["foo", "websocket"])),
    ((b"\r\nConnection: upgrade\r\nUpgrade: foo\r\nUpgrade: websocket",), (None, False, True, False, ["foo", "websocket"])),
    ((b"\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket", b"1.0"), (None, False, True, False, [])),
    ((b"\r\nConnection: close, upgrade\r\nUpgrade: web socket",), (None, False, False, False, ["web socket"])),
    ((b"\r\nExpect: 100-Continue",), (None, False, True, True, [])),
    ((b"\r\nExpect: 100-continue", b"1.0"), (None, False, False, False, [])),       # RFC 9110 section 10.1.1
    ((b"\r\nExpect: 100-continue\r\nExpect: 100-continue",), 417),
    ((b"\r\nExpect: x",), 417),
    ((b"\r\nExpect: x", b"1.0"), (None, False, False, False, [])),
]


def Host(host):
    core.CheckHost(host)
    return True


HOST = [((host,), True) for host in (
    "a", "a.b-c_d", "a:80", "a:", "1.2.3.4", "1.2.3.4:80", "[::1]", "[::1]:8080", "[::]:",
    "[::ffff:1.2.3.4]", "xn--nxasmq6b", "a%41")] + [((host,), 400) for host in (
    # RFC 3986 section 3.2.2, RFC 9110 section 4.2.1: a host is never empty; RFC 9844: a URI has no zone
    "[z::]", "[::z]", "[fe80::1%25eth0]:80", "[fe80::1%eth0]",
    ":80", ":", "[", "]", "[]", "[]:80", "[zz]", "[zz::]", "[1]", "[::1", "::1", "[::1]x", "[::1]:x", "[::1]80", "[[::1]]", "a]b",
    "a]", "a[", "a[::1]", "a:80:80", "a:b", "a:-1", "a b", "a,b", "a/b", "a?b", "a#b", "u@a", "a\\b", "a\"", "<a>", "\u00e9",
    "a\x00", "a:\u0661", "[::\u0661]")]


def Count(count):
    """The number of fields for this number of lines."""
    return len(core.ParseHead(_LINE + b"\r\n".join([b"x%d: y" % n if n else b"Host: a" for n in range(count)])).fields)


# At most a hundred fields: each takes time, and equal names take quadratic time.
COUNT = [((1,), 1), ((100,), 100), ((101,), 431), ((1000,), 431)]


def LineLength(size):
    """A request line of this length, with the default limit."""
    return len(core.ParseHead(b"GET /" + b"a" * (size - 14) + b" HTTP/1.1\r\nHost: a").target) + 13


LINE_LENGTH = [((8191,), 8191), ((8192,), 8192), ((8193,), 414)]


def OptionCount(count):
    """The number of options in a list of this length: everything after the hundredth comma is one option."""
    options = core.Options("a," * (count - 1) + "b")
    return len(options), options[-1]


OPTION_COUNT = [((1,), (1, "b")), ((2,), (2, "b")), ((101,), (101, "b")), ((102,), (101, "a,b")), ((1000,), (101, "a," * 899 + "b"))]


def Body(pieces, length=None):
    """The content of a body that arrives in these pieces, and the remaining bytes."""
    reader = core.ContentReader(length)
    data, out = b"", b""
    for piece in pieces:
        data += piece
        if not reader.isDone:
            part, data = reader.Read(data)
            out += part
    return out, data if reader.isDone else None


def EveryCut(body, length=None):
    """A body gives the same result in one piece, split in two at every byte, and byte by byte."""
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
    ((b"rest", 0), (b"", b"rest")),
    ((b"5\r\nhello\r\n0\r\n\r\n",), (b"hello", b"")),
    ((b"5\r\nhello\r\n0\r\n\r\nGET",), (b"hello", b"GET")),
    ((b"5;x=y\r\nhello\r\n3 ; z\r\n\r\n!\r\n0;x\r\nA: b\r\nC:\r\n\r\nrest",), (b"hello\r\n!", b"rest")),
    # RFC 9112 section 7.1.1: spaces are allowed before the semicolon, never before the size
    ((b"5\t ;a=b\r\nhello\r\n0\r\n\r\n",), (b"hello", b"")),
    ((b" 5;a=b\r\nhello\r\n0\r\n\r\n",), 400),
    ((b"\t5;a=b\r\nhello\r\n0\r\n\r\n",), 400),
    ((b"5 \r\nhello\r\n0\r\n\r\n",), 400),
    # a size may have any number of zeros; the limit for a line, and for all trailers, is 4 KB
    ((b"0" * 30 + b"5\r\nhello\r\n" + b"0" * 30 + b"\r\n\r\n",), (b"hello", b"")),
    ((b"0\r\n\r\n\r\n",), (b"", b"\r\n")),
    ((b"5\r\nhell",), (b"hell", None)),
    ((b"5\r\nhello\r\n0\r\n",), (b"hello", None)),
    ((b"fffffffffffffff\r\nhello",), (b"hello", None)),
    ((b"ffffffffffffffff\r\nhello",), 400),
    ((b"5\r\nhelloX",), (b"hello", None)),
    ((b"5\r\nhelloXX",), 400),
    ((b"5\r\nhello\r\n;\r\n",), 400),
]


def Lines(size, isTrailer=False):
    """Lines of this length after a chunk's size, or as trailers."""
    if isTrailer:
        lines = [b"X:" + b"y" * 98] * (size // 100) + [b"X:" + b"y" * (size % 100 - 2)] * bool(size % 100)
        return Body([b"5\r\nhello\r\n0\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"])
    return Body([b"5;" + b"a" * (size - 2) + b"\r\nhello\r\n0\r\n\r\n"])


LINES = [((size, isTrailer), (b"hello", b"")) for size in (300, 4096) for isTrailer in (False, True)] \
    + [((size, isTrailer), 400) for size in (4097, 20000) for isTrailer in (False, True)]

QUERY = [
    (("",), {}),
    (("a=1",), {"a": "1"}),
    (("a=1&b=2",), {"a": "1", "b": "2"}),
    (("a=1&a=2",), {"a": "2"}),
    (("a",), {"a": ""}),
    (("a=",), {"a": ""}),
    (("=v",), {"": "v"}),
    (("&&a=1&&",), {"a": "1"}),
    (("a=b=c",), {"a": "b=c"}),
    (("a=x+y+%2B",), {"a": "x y +"}),
    (("a+b=1",), {"a b": "1"}),
    (("a%3Db=%26%3D",), {"a=b": "&="}),
    (("a=%C3%A9",), {"a": "\u00e9"}),
    ((b"a=\xc3\xa9&b=\xe9&\xff=%C3%A9",), {"a": "\u00e9", "b": "\ufffd", "\ufffd": "\u00e9"}),
    ((b"a=\xc3%A9&b=\xc3%41",), {"a": "\u00e9", "b": "\ufffdA"}),
    (("\u00e9=\u00e8",), {"\u00e9": "\u00e8"}),
    (("a=%",), {"a": "%"}),
    (("a=100%&b=%zz",), {"a": "100%", "b": "%zz"}),
    (("a=%FF",), {"a": "\ufffd"}),
    (("a;b=1",), {"a;b": "1"}),
    (("a=1;b=2",), {"a": "1;b=2"}),
    (("a=%0D%0A%00",), {"a": "\r\n\x00"}),
    (("a=?/:@",), {"a": "?/:@"}),
]


def ParseForm(text):
    return core.ParseForm(text.encode() if isinstance(text, str) else text)


def CountPairs(count, pair):
    """The number of names in a form with this many pairs. More than 1,000 are refused, because they would block the
    engine."""
    return len(core.ParseForm(b"&".join([pair.replace(b"N", b"%d" % n) for n in range(count)])))


PAIRS = [
    ((1000, b"aN=N"), 1000),
    ((1001, b"aN=N"), 400),
    ((1000, b"N"), 1000),
    ((1001, b""), 400),
    ((1000, b"a=N"), 1),
]

TABLES = [
    ("ParseForm", ParseForm, QUERY),
    ("Pairs", CountPairs, PAIRS),
    ("Reason", core.Reason, REASON),
    ("Line", Line, LINE),
    ("Paths", Paths, PATHS),
    ("Fields", Field, FIELD_METHODS),
    ("FieldsAreShared", Change, CHANGE),
    ("Framing", Framing, FRAMING),
    ("CheckHost", Host, HOST),
    ("Count", Count, COUNT),
    ("LineLength", LineLength, LINE_LENGTH),
    ("OptionCount", OptionCount, OPTION_COUNT),
    ("Body", EveryCut, BODY),
    ("Lines", Lines, LINES),
]
