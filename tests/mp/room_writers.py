# Room 5, WRITERS; and the framing of responses, which stands in room 6.

import microWebSrv as core

import rooms

# (headers), the lines or the refusal: nothing that a program passes may end a line and begin another
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
    (({"X\r\nY": "z"},), "!ValueError"),
    (({"X\nY": "z"},), "!ValueError"),
    (({"X:": "z"},), "!ValueError"),
    (({"X Y": "z"},), "!ValueError"),
    (({"": "z"},), "!ValueError"),
    (({"\u00e9": "z"},), "!ValueError"),
    (({"X\x00": "z"},), "!ValueError"),
    # the framing is the server's alone
    (({"Content-Length": "99"},), b""),
    (({"content-length": "99", "X": "y"},), b"X: y\r\n"),
    (({"Transfer-Encoding": "chunked"},), b""),
    (({"TRANSFER-ENCODING": "gzip"},), b""),
    (({"Connection": "keep-alive"},), b""),
]


def FieldLines(headers):
    return core._FieldLines(headers)[0]


CONTENT_TYPE = [
    (("text/html", None), b"Content-Type: text/html\r\n"),
    (("text/html", ""), b"Content-Type: text/html\r\n"),
    (("text/html", "UTF-8"), b"Content-Type: text/html; charset=UTF-8\r\n"),
    (("text/html\r\nX: y", None), "!ValueError"),
    (("text/html", "UTF-8\r\nX: y"), "!ValueError"),
    (("text/html\x00", None), "!ValueError"),
]


def ContentType(contentType, charset):
    line = core._ContentTypeLine(contentType, charset)
    return line if isinstance(line, bytes) else line.encode()


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
]

CHUNK = [
    ((b"a",), b"1\r\na\r\n"),
    ((b"0123456789abcdef",), b"10\r\n0123456789abcdef\r\n"),
    ((b"\r\n" * 128,), b"100\r\n" + b"\r\n" * 128 + b"\r\n"),
]

_CL = b"Content-Length: 5\r\n"
_TE = b"Transfer-Encoding: chunked\r\n"
_CLOSE = b"Connection: close\r\n"
_KEEP = b"Connection: keep-alive\r\n"

# (minor version, the request persists, status, length or None), (lines, the connection persists)
FRAMING = [
    ((1, True, 200, 5), (_CL, True)),
    ((1, True, 200, 0), (b"Content-Length: 0\r\n", True)),
    ((1, False, 200, 5), (_CLOSE + _CL, False)),
    ((1, True, 200, None), (_TE, True)),
    ((1, False, 200, None), (_CLOSE + _TE, False)),
    ((0, True, 200, 5), (_KEEP + _CL, True)),
    ((0, False, 200, 5), (_CLOSE + _CL, False)),
    ((0, True, 200, None), (_CLOSE, False)),            # 6.3 step 8: it ends where the connection ends
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


def Framing(minor, keepAlive, code, length):
    """The lines in an order of their own, for theirs means nothing."""
    connection = core._Connection(rooms.Limits(1000, 1000))
    connection.line = rooms.Record(minor=minor, method="GET")
    connection.keepAlive = keepAlive
    data = connection.Framing(code, length)
    if not data.endswith(b"\r\n") or b"\r\n\r\n" in data[:-4]:
        return "malformed", data
    lines = sorted([line + b"\r\n" for line in data[:-2].split(b"\r\n") if line])
    return b"".join(lines), connection.keepAlive


SENDS_BODY = [
    (("GET", 200), True), (("POST", 500), True), (("HEAD", 200), False), (("HEAD", 404), False),
    (("GET", 204), False), (("GET", 304), False), (("GET", 206), True), (("OPTIONS", 200), True),
]


def SendsBody(method, code):
    connection = core._Connection(rooms.Limits(1000, 1000))
    connection.line = rooms.Record(minor=1, method=method)
    return connection.SendsBody(code)


TABLES = [
    ("FieldLines", FieldLines, FIELD_LINES),
    ("ContentType", ContentType, CONTENT_TYPE),
    ("Encode", core._Encode, ENCODE),
    ("Chunk", core._Chunk, CHUNK),
    ("Framing", Framing, FRAMING),
    ("SendsBody", SendsBody, SENDS_BODY),
]
