# The room writers; and the framing of responses by the connection.

import microWebSrv as core

import rooms

# (headers), the lines or the refusal: no value may end a line and start another one
FIELD_LINES = [
    (({},), b""),
    (([],), b""),
    (({"X": "y"},), b"X: y\r\n"),
    (([("X", "y"), ("Z", "1")],), b"X: y\r\nZ: 1\r\n"),
    (([("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")],), b"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n"),
    (({"X": 7},), b"X: 7\r\n"),
    (({"X": ""},), b"X: \r\n"),
    (({"X": "\u00e9"},), b"X: \xc3\xa9\r\n"),
    (({"X": "a\r\nY: z"},), "!ValueError"),
    (({"X": "a\nY: z"},), "!ValueError"),
    (({"X": "a\rY: z"},), "!ValueError"),
    (({"X": "a\x00"},), "!ValueError"),
    (({"X": "\r\n"},), "!ValueError"),
    (({"X": "a\x1bb"},), "!ValueError"),
    (({"X": "a\tb"},), b"X: a\tb\r\n"),
    (({"X\r\nY": "z"},), "!ValueError"),
    (({"X\nY": "z"},), "!ValueError"),
    (({"X:": "z"},), "!ValueError"),
    (({"X Y": "z"},), "!ValueError"),
    (({"": "z"},), "!ValueError"),
    (({"\u00e9": "z"},), "!ValueError"),
    (({"X\x00": "z"},), "!ValueError"),
    # only the server sets the framing
    (({"Content-Length": "99"},), b""),
    (({"content-length": "99", "X": "y"},), b"X: y\r\n"),
    (({"Transfer-Encoding": "chunked"},), b""),
    (({"TRANSFER-ENCODING": "gzip"},), b""),
    (({"Connection": "keep-alive"},), b""),
]


FIELD_LINES += [
    # an argument that can't be headers is refused
    ((None,), b""),
    (((("X", "y"),),), b"X: y\r\n"),
    (("text",), "!ValueError"),
    ((7,), "!ValueError"),
    ((["X"],), "!ValueError"),
    (([("X", "y", "z")],), "!ValueError"),
    (([(7, "y")],), "!ValueError"),
    (([(b"X", "y")],), "!ValueError"),
]


def FieldLines(headers):
    return core.FieldLines(headers)[0]


# the values by lower-case name, including those that are left out
NAMES = [
    (({},), {}),
    (({"Content-Type": "a", "connection": "Close", "X": 7},), {"content-type": "a", "connection": "Close", "x": "7"}),
    (([("Set-Cookie", "a"), ("set-cookie", "b")],), {"set-cookie": "b"}),
]


def Names(headers):
    return core.FieldLines(headers)[1]


_MORE = [("Server", "s"), ("X", "d")]

# headers, and pairs for names that they lack: repeated names that add up, removed ones, and the last one of a name
MORE = [
    (((), _MORE), b"Server: s\r\nX: d\r\n"),
    (({"X": "y"}, _MORE), b"Server: s\r\nX: y\r\n"),
    (([("A", "b"), ("SERVER", "t")], _MORE), b"X: d\r\nA: b\r\nSERVER: t\r\n"),
    (([("A-X", "b"), ("Y", "x: z")], _MORE), b"Server: s\r\nX: d\r\nA-X: b\r\nY: x: z\r\n"),
    (([("X", "1"), ("x", "2")], _MORE), b"Server: s\r\nX: 1\r\nx: 2\r\n"),
    (((), [("X", 1), ("Y", 2), ("x", 3)]), b"Y: 2\r\nx: 3\r\n"),
    (((), [("X", 1), ("x", None)]), b""),
    (((), [("X", None), ("x", 2)]), b"x: 2\r\n"),
    (({"Set-Cookie": "c"}, [("Set-Cookie", "a"), ("set-cookie", "b")]), b"Set-Cookie: a\r\nset-cookie: b\r\nSet-Cookie: c\r\n"),
    (({"vary": "Accept"}, [("Vary", "Origin")]), b"Vary: Origin\r\nvary: Accept\r\n"),
    (((), [("Content-Length", 5), ("Date", "now"), ("Connection", "close")]), b""),
    (({"X": "y"}, []), b"X: y\r\n"),
]


def More(headers, more):
    return core.FieldLines(headers, more)[0]


CONTENT_TYPE = [
    (("text/html", None), b"Content-Type: text/html\r\n"),
    (("text/html", ""), b"Content-Type: text/html\r\n"),
    (("text/html", "UTF-8"), b"Content-Type: text/html; charset=UTF-8\r\n"),
    (("text/html\r\nX: y", None), "!ValueError"),
    (("text/html", "UTF-8\r\nX: y"), "!ValueError"),
    (("text/html\x00", None), "!ValueError"),
]


def ContentType(contentType, charset):
    return _Lines(core.HeadStart(200, contentType, charset, (2000, 1, 1, 0, 0, 0, 5, 1)))


def _Lines(head):
    line, end, rest = head.partition(b"\r\n")
    return rest if line == b"HTTP/1.1 200 OK" and end else head


def HeadStart(code, year):
    return core.HeadStart(code, None, None, (year, 11, 6, 8, 49, 37, 6, 310))


# RFC 9110 section 6.6.1: a server without a clock sends no Date
START = [
    ((200, 2026), b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 2026 08:49:37 GMT\r\n"),
    ((200, 2024), b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 2024 08:49:37 GMT\r\n"),
    ((200, 2023), b"HTTP/1.1 200 OK\r\n"),
    ((404, 2000), b"HTTP/1.1 404 Not Found\r\n"),
    ((599, 1970), b"HTTP/1.1 599 Status\r\n"),
]

ENCODE = [
    (("abc", None), b"abc"),
    (("\u00e9", None), b"\xc3\xa9"),
    (("\u00e9", "UTF-8"), b"\xc3\xa9"),
    (("\u00e9", "utf8"), b"\xc3\xa9"),
    (("\u00e9", "ISO-8859-1"), b"\xe9"),
    (("\u00e9", "iso-8859-1"), b"\xe9"),
    (("\u00e9", "latin-1"), b"\xe9"),
    (("\u20ac", "ISO-8859-1"), b"?"),
    (("\u20ac", "UTF-8"), b"\xe2\x82\xac"),
    (("\u20ac", "no-such-charset"), b"\xe2\x82\xac"),
]


def Encode(text, charset):
    return core.Encode(text, charset)[0]


# The header names the charset that was used, for any charset of this runtime.
ANNOUNCED = [((text, charset), True) for charset in (
    None, "UTF-8", "utf-8", "utf8", "ISO-8859-1", "iso-8859-1", "latin1", "windows-1251", "koi8-r", "no-such-charset")
    for text in ("abc", "\u00e9t\u00e9", "\u0444")]


def Announced(text, charset):
    data, said = core.Encode(text, charset)
    if (said or "UTF-8").lower() in ("utf-8", "utf8"):
        return data == text.encode()
    if said.lower() in ("iso-8859-1", "latin1"):
        return data == bytes([ord(char) if ord(char) < 256 else 63 for char in text])
    return data == text.encode(said, "replace")


CHUNK = [
    ((b"a",), b"1\r\na\r\n"),
    ((b"0123456789abcdef",), b"10\r\n0123456789abcdef\r\n"),
    ((b"\r\n" * 128,), b"100\r\n" + b"\r\n" * 128 + b"\r\n"),
]

_CL = b"Content-Length: 5\r\n"
_TE = b"Transfer-Encoding: chunked\r\n"
_CLOSE = b"Connection: close\r\n"
_KEEP = b"Connection: keep-alive\r\n"

# (minor version, request persists, status, length or None), (lines, connection persists)
FRAMING = [
    ((1, True, 200, 5), (_CL, True)),
    ((1, True, 200, 0), (b"Content-Length: 0\r\n", True)),
    ((1, False, 200, 5), (_CLOSE + _CL, False)),
    ((1, True, 200, None), (_TE, True)),
    ((1, False, 200, None), (_CLOSE + _TE, False)),
    ((0, True, 200, 5), (_KEEP + _CL, True)),
    ((0, False, 200, 5), (_CLOSE + _CL, False)),
    ((0, True, 200, None), (_CLOSE, False)),            # 6.3 step 8: the content ends with the connection
    ((0, False, 200, None), (_CLOSE, False)),
    ((1, True, 204, 0), (b"", True)),                   # RFC 9110 8.6: no Content-Length with 1xx and 204
    ((1, False, 204, 0), (_CLOSE, False)),
    ((1, True, 204, None), (b"", True)),                # 6.1: no Transfer-Encoding with 1xx and 204
    ((0, True, 204, 0), (_KEEP, True)),
    ((1, True, 304, 0), (b"", True)),                   # a length would be that of the 200 (RFC 9110 8.6)
    ((1, True, 304, None), (b"", True)),
    ((1, True, 101, 0), (b"", True)),
    ((1, True, 404, 5), (_CL, True)),
    ((1, True, 206, 12345678901), (b"Content-Length: 12345678901\r\n", True)),
]


def _Answered(line, code, length, content=b""):
    """The response to a request with this line (and a Connection field) -> (last lines of the head, bytes after it,
    True if the connection persists). The content is passed as bytes, and in a second run from a source."""
    results = []
    sources = [_Source(content)]
    if length == len(content):
        sources.append(None)
    for source in sources:
        sent = _Sent(line, code, content if source is None else b"", source, length)
        if len(sent) != 3 or source and not source.isClosed:
            return sent
        results.append(sent)
    return results[0] if results[0] == results[-1] else results


def _Sent(line, code, body, source, length):
    server = rooms.Server(handle=lambda client, response: client.connection.Answer(
        response, code, None, None, b"", body, source, length))
    link = rooms.Connect(server)
    link.Receive(line)
    start = b"HTTP/1.1 %d .\r\n" % code
    head, end, rest = link.sent.partition(b"\r\n\r\n")
    if head + b"\r\n" == start:                # no additional line
        head = b""
    elif not end or head[:len(start)] != start:
        return "malformed", link.sent
    return head[len(start):] + b"\r\n" if head else b"", rest, not link.isClosed


class _Source:
    def __init__(self, content):
        self.pieces = [content[at:at + 2] for at in range(0, len(content), 2)]
        self.isClosed = False

    def __next__(self):
        if not self.pieces:
            raise StopIteration
        return self.pieces.pop(0)

    def close(self):
        self.isClosed = True


def Framing(minor, keepAlive, code, length):
    """The lines in a fixed order, since their order has no meaning."""
    line = b"GET / HTTP/1.%d\r\nHost: a\r\nConnection: %s\r\n\r\n" % (minor, b"keep-alive" if keepAlive else b"close")
    answer = _Answered(line, code, length, b"x" * length if length and length < 100 else b"")
    if len(answer) != 3:
        return answer
    return b"".join(sorted([one + b"\r\n" for one in answer[0].split(b"\r\n") if one])), answer[2]


SENDS_BODY = [
    (("GET", 200), True), (("POST", 500), True), (("HEAD", 200), False), (("HEAD", 404), False),
    (("GET", 204), False), (("GET", 304), False), (("GET", 206), True), (("OPTIONS", 200), True),
]


def SendsBody(method, code):
    rest = _Answered(method.encode() + b" / HTTP/1.1\r\nHost: a\r\n\r\n", code, 5, b"12345")[1]
    return {b"": False, b"12345": True}.get(rest, rest)


# RFC 6266 and RFC 8187: an ASCII name, and the exact one
ATTACHMENT = [
    (("a.txt",), 'attachment; filename="a.txt"'),
    (("a b.txt",), 'attachment; filename="a b.txt"'),
    (('a"b\\c.txt',), "attachment; filename=\"a_b_c.txt\"; filename*=UTF-8''a%22b%5Cc.txt"),
    (("\u00e9.txt",), "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt"),
    (("a\r\nX: y",), "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
    (("100%.txt",), "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
]

ESCAPE = [
    (("/a b/\u00e9?#%", "/-._~"), "/a%20b/%C3%A9%3F%23%25"),
    (("/a-._~9/Z", "/-._~"), "/a-._~9/Z"),
    (("/a\r\n\x00", "/"), "/a%0D%0A%00"),
    (("\u00aa\u0661\u007f\u0080", ""), "%C2%AA%D9%A1%7F%C2%80"),       # only ASCII letters and digits
    (("", ""), ""),
    (("a\u20acb\r", "", "_"), "a_b_"),
]

BYTES = [((b"a",), b"a"), ((bytearray(b"a"),), b"a"), ((memoryview(b"a"),), b"a"), (("\u00e9",), b"\xc3\xa9"),
         ((7,), "!ValueError"), ((None,), "!ValueError"), (([1],), "!ValueError"), (({"a": 1},), "!ValueError")]

TABLES = [
    ("FieldLines", FieldLines, FIELD_LINES),
    ("Names", Names, NAMES),
    ("More", More, MORE),
    ("ContentType", ContentType, CONTENT_TYPE),
    ("HeadStart", HeadStart, START),
    ("Encode", Encode, ENCODE),
    ("Announced", Announced, ANNOUNCED),
    ("Attachment", core.Attachment, ATTACHMENT),
    ("PercentEncode", core.PercentEncode, ESCAPE),
    ("Bytes", core.Bytes, BYTES),
    ("Chunk", core.Chunk, CHUNK),
    ("Framing", Framing, FRAMING),
    ("SendsBody", SendsBody, SENDS_BODY),
]
