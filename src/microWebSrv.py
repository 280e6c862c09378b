# MicroWebSrv: a micro HTTP server with routes, for MicroPython and CPython.
# Copy this one file; microWebSocket.py and microWebTemplate.py beside it add WebSockets and .pyhtml pages.
# MIT license, see LICENSE.
#
# The rooms of this house. Each names only rooms above it; nothing above the sans-I/O line knows of a socket.
#    1  TEXT         percent-decoding, query strings, HTML escape, dates, media types
#    2  ERRORS       one value: who is guilty and which status answers
#    3  MESSAGES     the request head as plain data
#    4  READERS      pure functions and small machines: bytes -> request line, fields, body
#    5  WRITERS      pure functions: status, fields, chunks -> bytes
#    6  CONNECTION   the state machine of one connection: bytes in, events out
#    7  ROUTER       the route table
#    8  EXCHANGE     HttpClient, HttpResponse and the session that joins them to a connection
#    9  FILES        path resolution, validators, ranges
#   10  SERVER       MicroWebSrv
#   11  TRANSPORT    sockets, asyncio and threads, on both runtimes

import json
import re
import sys

try:
    from micropython import const
except ImportError:
    def const(value):
        return value

__version__ = "1.0.0"

_MICROPYTHON = sys.implementation.name == "micropython"


# ==============================================================================
# 1  TEXT
# ==============================================================================
# Text to text and bytes to text. Nothing here knows what a request is.
# Broken input is either an error (strict) or kept as it came; nothing is lost silently.

_DAYS = "MonTueWedThuFriSatSun"
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"

# One string costs a board a third of a dict; MicroWebSrv._mimeTypes takes what a program adds.
_MIME_TYPES = (
    " .txt text/plain .htm text/html .html text/html .css text/css .csv text/csv .js application/javascript"
    " .mjs application/javascript .xml application/xml .xhtml application/xhtml+xml .json application/json"
    " .map application/json .webmanifest application/manifest+json .zip application/zip .gz application/gzip"
    " .pdf application/pdf .wasm application/wasm .bin application/octet-stream .jpg image/jpeg .jpeg image/jpeg"
    " .png image/png .gif image/gif .svg image/svg+xml .ico image/x-icon .webp image/webp .avif image/avif"
    " .bmp image/bmp .woff font/woff .woff2 font/woff2 .ttf font/ttf .otf font/otf .mp3 audio/mpeg .wav audio/wav"
    " .ogg audio/ogg .m4a audio/mp4 .mp4 video/mp4 .webm video/webm .ts video/mp2t .m3u8 application/vnd.apple.mpegurl"
    " .md text/markdown .log text/plain ")


def _FileExt(name):
    """The extension in lower case with its dot, or ''."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > name.rfind("/") else ""


def _MimeType(ext):
    start = _MIME_TYPES.find(" " + ext + " ")
    if not ext or start < 0:
        return None
    start += len(ext) + 2
    return _MIME_TYPES[start:_MIME_TYPES.find(" ", start)]


def _HTMLEscape(text):
    return (text.replace("&", "&amp;").replace('"', "&quot;").replace("'", "&apos;")
            .replace(">", "&gt;").replace("<", "&lt;"))


# MicroPython's decoder knows the shape of a character, but not these: overlong, a surrogate, above U+10FFFF.
_NOT_UTF8 = re.compile(b"[\xc0\xc1\xf5-\xff]|\xe0[\x80-\x9f]|\xed[\xa0-\xbf]|\xf0[\x80-\x8f]|\xf4[\x90-\xbf]")


def _Utf8(data, strict=False):
    """bytes -> str; an invalid byte is U+FFFD, or a ValueError if strict (RFC 3629)."""
    try:
        text = data.decode()
        if not _MICROPYTHON or len(text) == len(data) or not _NOT_UTF8.search(data):
            return text
    except UnicodeError:
        pass
    if strict:
        raise ValueError("not UTF-8")
    return "".join([chr(byte) if byte < 128 else "\ufffd" for byte in data])


def _PercentDecode(data, strict=False):
    """Bytes -> text, %XX decoded (RFC 3986 section 2.1). strict: ValueError for a broken one, else it stays."""
    if b"%" in data:
        parts = data.split(b"%")
        data = bytearray(parts[0])
        for part in parts[1:]:
            pair = part[:2]
            if len(pair) == 2 and not _NOT_HEX.search(pair):
                data.append(int(pair, 16))
                part = part[2:]
            elif strict:
                raise ValueError("a % without two hexadecimal digits")
            else:
                data.append(37)
            data.extend(part)
        data = bytes(data)
    return _Utf8(data, strict)


_NOT_HEX = re.compile(b"[^0-9A-Fa-f]")


def _ParseQuery(data):
    """b'a=1&b=x+y' -> {'a': '1', 'b': 'x y'}; of a repeated name the last value counts."""
    params = {}                                 # bytes: each new str MicroPython compares with all names it knows
    for pair in data.replace(b"+", b" ").split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            decode = _PercentDecode if b"%" in pair else _Utf8
            params[decode(name)] = decode(value)
    return params


def _HttpDate(when):
    """A gmtime tuple -> 'Sun, 06 Nov 1994 08:49:37 GMT' (RFC 9110 section 5.6.7)."""
    day = 3 * when[6]
    month = 3 * when[1]
    return "%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[day:day + 3], when[2], _MONTHS[month - 3:month], when[0], when[3], when[4], when[5])


def _ParseHttpDate(text):
    """Any of the three formats of RFC 9110 section 5.6.7 -> (year, month, day, hour, minute, second) or None."""
    words = text.replace("-", " ").split()
    if len(words) == 5:                         # asctime: Sun Nov  6 08:49:37 1994
        words = (words[0], words[2], words[1], words[4], words[3])
    try:
        day, month, year, clock = words[1], _MONTHS.find(words[2]), int(words[3]), words[4].split(":")
        if month % 3 or len(words[2]) != 3 or len(text.encode()) != len(text):
            return None
        if year < 100:                          # RFC 850: two digits
            year += 2000 if year < 70 else 1900
        return (year, month // 3 + 1, int(day), int(clock[0]), int(clock[1]), int(clock[2]))
    except (ValueError, IndexError):
        return None


# ==============================================================================
# 2  ERRORS
# ==============================================================================
# A message that breaks a rule is one exception: the status that answers it and the rule it broke.
# It is raised where the rule stands and translated once, by the session.

_REASONS = (
    "\n100 Continue\n101 Switching Protocols\n200 OK\n201 Created\n202 Accepted\n203 Non-Authoritative Information"
    "\n204 No Content\n205 Reset Content\n206 Partial Content\n300 Multiple Choices\n301 Moved Permanently\n302 Found"
    "\n303 See Other\n304 Not Modified\n307 Temporary Redirect\n308 Permanent Redirect\n400 Bad Request"
    "\n401 Unauthorized\n402 Payment Required\n403 Forbidden\n404 Not Found\n405 Method Not Allowed"
    "\n406 Not Acceptable\n408 Request Timeout\n409 Conflict\n410 Gone\n411 Length Required\n412 Precondition Failed"
    "\n413 Content Too Large\n414 URI Too Long\n415 Unsupported Media Type\n416 Range Not Satisfiable"
    "\n417 Expectation Failed\n418 I'm a teapot\n422 Unprocessable Content\n423 Locked\n426 Upgrade Required"
    "\n428 Precondition Required\n429 Too Many Requests\n431 Request Header Fields Too Large"
    "\n500 Internal Server Error\n501 Not Implemented\n502 Bad Gateway\n503 Service Unavailable\n504 Gateway Timeout"
    "\n505 HTTP Version Not Supported\n507 Insufficient Storage\n")


def _Reason(code):
    start = _REASONS.find("\n%d " % code)
    return _REASONS[start + 5:_REASONS.find("\n", start + 5)] if start >= 0 else "Status"


class _HttpError(Exception):
    """The client's message is at fault: answer with `status`, then close."""

    def __init__(self, status, rule):
        super().__init__(rule)
        self.status = status
        self.rule = rule


# ==============================================================================
# 3  MESSAGES
# ==============================================================================
# The two halves of a request head (RFC 9112 sections 3 and 5), read once and never changed:
# the same client sends the same field section again and again, so both halves are shared between requests.

class _RequestLine:
    """method and target as they came; path decoded, rawPath and query not; authority of an absolute-form, or None."""

    file = None             # the path as it is looked up among files; '' if no file can have it
    segments = None         # of a path that holds an encoded slash, which separates none (RFC 3986 section 2.2)
    found = None            # the router's answer, until a route is added

    def __init__(self, method, target, rawPath, query, minor, authority):
        self.method = method
        self.target = target
        self.rawPath = rawPath
        self.path = rawPath
        self.query = query
        self.minor = minor
        self.authority = authority


class _Fields(dict):
    """The field section: a dict of lower-case names, looked up in any case; and what in it rules the framing."""

    contentLength = None
    chunked = close = keepAlive = expect = False
    plain = False           # there is a Host, and nothing but a length that rules the framing
    upgrade = None

    def Add(self, name, value):
        before = self.get(name)
        if before is not None:              # RFC 9110 section 5.3; cookies are joined with ; (RFC 6265 section 5.4)
            value = before + ("; " if name == "cookie" else ", ") + value
        super().__setitem__(name, value)

    def get(self, name, default=None):
        return super().get(name if name.islower() else name.lower(), default)

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return self.get(name) is not None

    def __setitem__(self, name, value):
        raise TypeError("the request's header fields can't be changed")     # other requests share them

    def _Refuse(self, *args):
        self["changed"] = None

    pop = popitem = update = clear = setdefault = __delitem__ = _Refuse


# ==============================================================================
# 4  READERS
# ==============================================================================
# bytes -> plain data, or _HttpError. Every rule of RFC 9112 about a malformed or ambiguous message answers 400:
# one request must never be read as two. Body readers have Read(data, pos) -> (piece, pos) and `done`;
# an empty piece with no progress means that more bytes are needed.

# Searches for the first forbidden byte: C speed, no recursion, no allocation. (Not raw strings: MicroPython's re
# knows no \x escape.)
_NOT_VISIBLE = re.compile(b"[^!-\"$-~]")
_NOT_TOKEN = re.compile(b"[^!#$%&'*+.^_`|~0-9A-Za-z\\-]")
_NOT_FIELD_TEXT = re.compile(b"[^\t\r\n -~\x80-\xff]")
_NOT_VALUE = re.compile(b"[^\t -~\x80-\xff]")
_NOT_HOST = re.compile("[^0-9A-Za-z._~!$&'()*+;=%:\\[\\]\\-]")
_NOT_DIGIT = re.compile("[^0-9]")

_METHODS = {b"GET": "GET", b"HEAD": "HEAD", b"POST": "POST", b"PUT": "PUT", b"DELETE": "DELETE", b"PATCH": "PATCH",
            b"OPTIONS": "OPTIONS"}
_CHUNK_LINE_MAX = const(256)      # of a chunk's size and extensions; Apache's is 8190, h11's 16 KB, we drop them all


def _Token(data, what):
    if not data or _NOT_TOKEN.search(data):
        raise _HttpError(400, what)
    return data.decode()


def _Minor(version):
    """The minor version of HTTP/1; a higher one than we know is spoken to as 1.1 (RFC 9110 section 2.5)."""
    if version == b"HTTP/1.1":
        return 1
    if len(version) != 8 or version[:5] != b"HTTP/" or version[6] != 46 or not version[5:6].isdigit() \
            or not version[7:].isdigit():
        raise _HttpError(400, "malformed HTTP version")
    if version[5] != 49:
        raise _HttpError(505, "only HTTP/1.x is spoken here")
    return 1 if version[7] > 48 else 0


def _SplitTarget(method, target):
    """-> (authority or None, path, query) of any form of RFC 9112 section 3.2."""
    authority = None
    if target[0] != "/" and target != "*":
        scheme, colon, rest = target.partition("://")
        if method == "CONNECT" and not colon:
            return target, "", ""
        if scheme.lower() not in ("http", "https"):
            raise _HttpError(400, "malformed request target")
        cut = len(rest)
        for mark in "/?":
            at = rest.find(mark)
            if 0 <= at < cut:
                cut = at
        authority, target = rest[:cut], rest[cut:]
        if target[:1] != "/":
            target = "/" + target
    elif target == "*" and method != "OPTIONS":
        raise _HttpError(400, "only OPTIONS may ask for *")
    path, _, query = target.partition("?")
    return authority, path, query


def _ParseRequestLine(line):
    """bytes without CRLF -> _RequestLine (RFC 9112 section 3)."""
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[1] or _NOT_VISIBLE.search(parts[1]):
        raise _HttpError(400, "malformed request line")
    method = _METHODS.get(parts[0]) or _Token(parts[0], "malformed method")
    minor = _Minor(parts[2])
    target = parts[1].decode()
    if target[0] == "/":
        authority = None
        path, _, query = target.partition("?")
    else:
        authority, path, query = _SplitTarget(method, target)
        if authority is not None:
            _CheckHost(authority)
            if authority[:1] in ("", ":"):              # RFC 9110 section 4.2.1
                raise _HttpError(400, "a URI without a host")
    request = _RequestLine(method, target, path, query, minor, authority)
    if "%" in path:
        try:
            path = path.encode()
            request.path = _PercentDecode(path, True)
            if b"%2f" in path.lower():
                request.segments = [_PercentDecode(part) for part in path.split(b"/")]
        except ValueError:
            raise _HttpError(400, "malformed percent-encoding in the path")
    return request


def _FieldText(value):
    """UTF-8 where it is, else one character a byte (RFC 9110 section 5.5: obs-text is opaque)."""
    try:
        return _Utf8(value, True)
    except ValueError:
        return "".join([chr(byte) for byte in value])


_fieldNames = {}


def _FieldName(name):
    """Field name bytes -> lower-case str. The names seen are kept: their check costs more than their memory."""
    lower = _fieldNames.get(name)
    if lower is None:
        lower = _Token(name, "malformed field name").lower()
        if len(_fieldNames) < 32 and len(name) < 32:
            _fieldNames[name] = lower
    return lower


def _CheckHost(host):
    """RFC 9112 section 3.2 and RFC 3986 section 3.2.2, as far as it can do harm: no user, no path, one port."""
    if _NOT_HOST.search(host):
        raise _HttpError(400, "malformed Host")
    tail = host[host.find("]") + 1:] if host[:1] == "[" and "]" in host else host
    name, _, port = tail.partition(":")
    if _NOT_DIGIT.search(port) or "[" in tail or "]" in tail or (tail is not host and name):
        raise _HttpError(400, "malformed Host")


def _ParseFields(block):
    """The lines between the request line and the empty line, without the last CRLF -> _Fields (RFC 9112 section 5)."""
    fields = _Fields()
    if not block:
        return fields
    lines = block.split(b"\r\n")
    breaks = len(lines) - 1
    # A CR or LF alone ends no line here, but might for somebody behind or before us (RFC 9112 section 2.2).
    if block.count(b"\r") != breaks or block.count(b"\n") != breaks or _NOT_FIELD_TEXT.search(block):
        raise _HttpError(400, "control byte in the header section")
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise _HttpError(400, "header field without a colon")
        # obs-fold and a space before the colon are no token (RFC 9112 sections 5.1 and 5.2)
        fields.Add(_FieldName(name), _FieldText(value.strip(b" \t")))
    _ReadFraming(fields)
    return fields


def _ReadFraming(fields):
    """What the fields say about the message itself, read once."""
    host = fields.get("host")
    if host:
        _CheckHost(host)                    # a repeated Host was joined with ", ": no host has a space
    length = fields.get("content-length")
    if length is not None:
        if not length or _NOT_DIGIT.search(length):
            raise _HttpError(400, "malformed or repeated Content-Length")
        if len(length) > 18:
            raise _HttpError(413, "Content-Length beyond all bounds")
        fields.contentLength = int(length)
    codings = fields.get("transfer-encoding")
    if codings is not None:
        _CheckCodings(_Options(codings), length)
        fields.chunked = True
    options = _Options(fields.get("connection", ""))
    fields.close = "close" in options
    fields.keepAlive = "keep-alive" in options
    if "upgrade" in options:
        fields.upgrade = _Options(fields.get("upgrade", ""))[0]
    expect = fields.get("expect")
    if expect:
        if _Options(expect) != ["100-continue"]:
            raise _HttpError(417, "unknown expectation")
        fields.expect = True
    fields.plain = host is not None and codings is None and not expect and not fields.upgrade


def _Options(text):
    """'Close, TE' -> ['close', 'te']. Beyond ASCII is no option: lower() and strip() would make one of it."""
    if len(text.encode()) != len(text):
        return ["?"]
    return [option.strip(" \t") for option in text.lower().split(",")]


def _CheckCodings(names, length):
    """RFC 9112 sections 6.1 and 6.3: chunked, last, once, and never beside a Content-Length."""
    if length is not None:
        raise _HttpError(400, "Content-Length with Transfer-Encoding")
    if "chunked" in names[:-1]:
        raise _HttpError(400, "chunked is not the last transfer coding")
    for name in names:
        if name and name != "chunked":
            raise _HttpError(501, "unknown transfer coding")
    if names != ["chunked"]:
        raise _HttpError(400, "malformed Transfer-Encoding")


def _BodyReader(line, fields):
    """RFC 9112 section 6.3, the steps for a request, in its order; None: there is no body."""
    if line.minor and "host" not in fields:
        raise _HttpError(400, "missing Host")
    if fields.chunked:
        if not line.minor:                              # section 6.1: its framing is faulty
            raise _HttpError(400, "Transfer-Encoding in HTTP/1.0")
        return _ChunkedReader()                         # step 4
    if fields.contentLength:
        return _LengthReader(fields.contentLength)      # step 6
    return None                                         # step 7


class _LengthReader:
    """A body of known length."""

    def __init__(self, length):
        self.left = length
        self.done = False

    def Read(self, data, pos):
        piece = data[pos:pos + min(self.left, len(data))]
        self.left -= len(piece)
        self.done = not self.left
        return piece, pos + len(piece)


_CHUNK_SIZE = const(0)
_CHUNK_DATA = const(1)
_CHUNK_END = const(2)
_TRAILER = const(3)


class _ChunkedReader:
    """RFC 9112 section 7.1; extensions and trailers are checked for their bytes and dropped."""

    def __init__(self):
        self.left = 0
        self.done = False
        self._state = _CHUNK_SIZE
        self._trailerLen = 0

    def Read(self, data, pos):
        content = bytearray()                           # of many small chunks: each would cost an event,
        while not self.done:
            if self._state == _CHUNK_DATA:
                piece = data[pos:pos + min(self.left, len(data))]
                pos += len(piece)
                self.left -= len(piece)
                content += piece                        # and kept apart 64 bytes of heap
                if self.left:
                    break
                self._state = _CHUNK_END
            end = data.find(b"\r\n", pos)
            if end < 0 or end - pos > _CHUNK_LINE_MAX:
                if len(data) - pos > _CHUNK_LINE_MAX:
                    raise _HttpError(400, "chunk or trailer line too long")
                if self._state == _CHUNK_END and len(data) - pos >= 2:
                    raise _HttpError(400, "a chunk does not end where it said")
                break
            self._Line(data[pos:end])
            pos = end + 2
        return bytes(content), pos

    def _Line(self, line):
        if _NOT_VALUE.search(line):
            raise _HttpError(400, "control byte in a chunk")
        if self._state == _CHUNK_SIZE:
            size = line.partition(b";")[0]
            if line is not size and b";" in line:
                size = size.strip(b" \t")               # BWS before an extension only
            if not 0 < len(size) < 16 or _NOT_HEX.search(size):
                raise _HttpError(400, "malformed chunk size")
            self.left = int(size, 16)
            self._state = _CHUNK_DATA if self.left else _TRAILER
        elif self._state == _CHUNK_END:
            if line:
                raise _HttpError(400, "a chunk does not end where it said")
            self._state = _CHUNK_SIZE
        elif line:
            _Token(line.partition(b":")[0], "malformed trailer")
            self._trailerLen += len(line)
            if b":" not in line or self._trailerLen > 4096:
                raise _HttpError(400, "malformed or endless trailers")
        else:
            self.done = True


# ==============================================================================
# 5  WRITERS
# ==============================================================================
# The mirror of room 4: plain data -> bytes. What a program passes is checked here, so that no value
# can end a line and begin another (response splitting): ValueError.

def _CheckValue(value):
    if "\r" in value or "\n" in value or "\x00" in value:
        raise ValueError("CR, LF or NUL in a header value: %r" % value)
    return value


def _Pairs(headers):
    """A dict, a list of pairs or None -> a list of pairs of its own."""
    return list(headers.items() if hasattr(headers, "items") else headers or ())


def _FieldLines(headers):
    """A dict or a list of pairs -> (bytes of the field lines, their lower-case names). The framing is ours alone:
    Content-Length and Transfer-Encoding are left out, Connection is reported by its value."""
    lines = []
    names = {}
    for name, value in _Pairs(headers):
        value = _CheckValue(value if isinstance(value, str) else str(value))
        data = name.encode()
        if not data or _NOT_TOKEN.search(data):
            raise ValueError("not a header name: %r" % name)
        lower = name.lower()
        names[lower] = value
        if lower not in ("content-length", "transfer-encoding", "connection", "date"):
            lines.append("%s: %s\r\n" % (name, value))
    return "".join(lines).encode(), names


def _WithDefaults(lines, defaults):
    """Field lines and those of the defaults, a list of pairs (lower-case name, line), whose names they don't have."""
    present = b"\n" + lines.lower()
    return lines + b"".join([line for name, line in defaults if b"\n" + name + b":" not in present])


def _ContentTypeLine(contentType, contentCharset):
    if contentCharset:
        contentType = "%s; charset=%s" % (contentType, contentCharset)
    return "Content-Type: %s\r\n" % _CheckValue(contentType)


def _Encode(text, charset):
    """Text -> bytes in the charset that is announced; UTF-8 unless it is Latin-1 (MicroPython encodes no other)."""
    if charset and charset != "UTF-8" and charset.lower() in ("iso-8859-1", "latin-1", "latin1"):
        return bytes([ord(char) if ord(char) < 256 else 63 for char in text])
    return text.encode()


def _PathEscape(path, keep="/"):
    """What is no unreserved character (RFC 3986 section 2.3) is percent-encoded as UTF-8."""
    keep += _UNRESERVED
    return "".join([chr(byte) if byte < 128 and chr(byte) in keep else "%%%02X" % byte for byte in path.encode()])


def _Attachment(name):
    """Content-Disposition with a quoted ASCII name and the exact one (RFC 6266, RFC 8187)."""
    plain = "".join([char if " " <= char <= "~" and char not in '"\\%' else "_" for char in name])
    value = 'attachment; filename="%s"' % plain
    return value if plain == name else value + "; filename*=UTF-8''" + _PathEscape(name, "")


_UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def _Chunk(data):
    return b"%x\r\n" % len(data) + data + b"\r\n"


# ==============================================================================
# 6  CONNECTION
# ==============================================================================
# THE state machine: Receive(bytes), then Next() until it says NEED. It reads one request at a time and reads the
# next one only when EndResponse() was called: answers leave in order, and a client that pipelines waits in its own
# socket. Of the server it needs MaxRequestLineLen, MaxRequestHeadLen and the two memos.

_NEED = const(0)                # more bytes, or first the answer
_HEAD = const(1)                # line, fields and reader are set; reader None: there is no body
_BODY = const(2)                # piece holds bytes of the body
_END = const(3)                 # the body is complete; piece may hold its last bytes

_READ_HEAD = const(0)
_READ_BODY = const(1)
_ANSWER = const(2)              # the request is read, its answer is not finished
_CLOSED = const(3)

_BODILESS = (204, 304)
_NO_CONTENT = (204, 205, 304)


class _Connection:
    """One connection of HTTP/1.1 (RFC 9112): bytes in, events out, response heads out."""

    # On the class until they change: a connection that has said nothing holds next to nothing.
    _data = b""
    _pos = 0
    _searched = 0
    _state = _READ_HEAD
    keepAlive = True

    def __init__(self, server):
        self.server = server

    def Receive(self, data):
        """Bytes that arrived; Next() says what they were."""
        if self._pos < len(self._data):
            self._searched -= self._pos
            self._data = self._data[self._pos:] + data
        else:
            self._data = data
            if self._searched:
                self._searched = 0
        self._pos = 0

    def Next(self):
        """_NEED, _HEAD, _BODY or _END; _HttpError where the message breaks a rule."""
        if self._pos >= len(self._data):
            return _NEED
        if self._state == _READ_HEAD:
            return self._NextHead()
        if self._state != _READ_BODY:
            return _NEED
        self.piece, self._pos = self.reader.Read(self._data, self._pos)
        if self.reader.done:
            self._state = _ANSWER
            return _END
        return _BODY if self.piece else _NEED

    def _NextHead(self):
        data = self._data
        pos = self._pos
        while data[pos] == 13 and data[pos:pos + 2] == b"\r\n":     # RFC 9112 section 2.2: empty lines before it
            self._pos = pos = pos + 2
            if pos == len(data):
                return _NEED
        end = data.find(b"\r\n\r\n", self._searched if self._searched > pos else pos)
        if end < 0:
            return self._HeadNotYet(data, pos)
        server = self.server
        eol = data.find(b"\r\n", pos)
        if eol - pos > server.MaxRequestLineLen:
            raise _HttpError(414, "request line too long")
        if end - pos > server.MaxRequestHeadLen:
            raise _HttpError(431, "request head too long")
        raw = data[pos:eol]
        memo = server._lineMemo
        line = memo.get(raw)
        if line is None:
            line = _ParseRequestLine(raw)
            _Remember(memo, raw, line, server._memoLen)
        raw = data[eol + 2:end]
        memo = server._fieldMemo
        fields = memo.get(raw)
        if fields is None:
            fields = _ParseFields(raw)
            _Remember(memo, raw, fields, server._memoLen)
        self._pos = end + 4
        self.line, self.fields = line, fields
        if fields.plain and line.minor:                 # as most are: what follows is known
            reader = _LengthReader(fields.contentLength) if fields.contentLength else None
            self.keepAlive = not fields.close
        else:
            reader = _BodyReader(line, fields)
            self.keepAlive = not fields.close and (line.minor > 0 or fields.keepAlive)  # RFC 9112 section 9.3
        self.reader = reader
        self._chunked = False
        self._state = _READ_BODY if reader else _ANSWER
        return _HEAD

    def _HeadNotYet(self, data, pos):
        size = len(data) - pos
        for end in (b"\r\n\r", b"\r\n", b"\r"):        # what may belong to the end of the line or of the head
            if data.endswith(end):
                size -= len(end)
                break
        eol = data.find(b"\r\n", pos)
        if (size if eol < 0 else eol - pos) > self.server.MaxRequestLineLen:
            raise _HttpError(414, "request line too long")
        if size > self.server.MaxRequestHeadLen:
            raise _HttpError(431, "request head too long")
        # Whoever ends lines with LF alone would wait for us for ever: say it now.
        pairs = data.count(b"\r\n", pos)
        if data.count(b"\n", pos) != pairs or data.count(b"\r", pos) - (data[-1] == 13) != pairs:
            raise _HttpError(400, "CR or LF alone")
        self._searched = len(data) - 3
        return _NEED

    def HeadBegun(self):
        return self._pos < len(self._data)

    def BodyLeft(self):
        """An upper bound of the body's bytes that were not read yet."""
        if self._state != _READ_BODY:
            return 0
        return self.reader.left if self.fields.contentLength else 1 << 30

    def Framing(self, code, length):
        """The last field lines of a response head and the empty line. length None: not known (RFC 9112 section 6)."""
        if length is not None and self.keepAlive and self.line.minor and code not in _BODILESS and code >= 200:
            return b"Content-Length: %d\r\n\r\n" % length
        keep = b"\r\n"
        if length is None and not self.line.minor:
            self.keepAlive = False                      # section 6.3, step 8: the end of the connection is the end
        if not self.keepAlive:
            keep = b"Connection: close\r\n\r\n"
        elif not self.line.minor:
            keep = b"Connection: keep-alive\r\n\r\n"
        if code < 200 or code in _BODILESS:
            return keep
        if length is None:
            if not self.line.minor:
                return keep
            self._chunked = True
            return b"Transfer-Encoding: chunked\r\n" + keep
        return b"Content-Length: %d\r\n" % length + keep

    def SendsBody(self, code):
        return self.line.method != "HEAD" and code not in _BODILESS

    def EndResponse(self):
        """The answer is complete: the next request may be read. False: the connection has had its last."""
        if not self.keepAlive:
            self._state = _CLOSED
            return False
        self._state = _READ_HEAD
        self.line = self.fields = self.reader = None
        if self._pos >= len(self._data):
            self._data = b""                            # an idle connection keeps no bytes
            self._pos = 0
        return True


def _Remember(memo, raw, value, most):
    """Bounded in number and in bytes: a stranger can fill it, not grow it."""
    if len(raw) <= 512 and most:
        if len(memo) >= most:
            memo.clear()
        memo[raw] = value


# ---- sans-I/O line -----------------------------------------------------------
# Everything above is tested with plain bytes. Below, bytes come from sockets and files.

try:
    import asyncio
except ImportError:                     # MicroPython 1.20
    import uasyncio as asyncio
import gc
import os
import select
import socket
import time

try:
    import _thread
except ImportError:
    _thread = None


class _NoLock:
    """Where there are no threads there is nothing to lock."""

    def __enter__(self):
        pass

    def __exit__(self, *args):
        pass

    def acquire(self):
        pass

    release = acquire


_NewLock = _thread.allocate_lock if _thread else _NoLock


# ==============================================================================
# 7  ROUTER
# ==============================================================================
# Method and path -> handler and arguments. The first route that was registered and matches wins; a dictionary
# answers for the routes without arguments that no earlier pattern shadows.

_NO_ARGS = ()


def _IsAsync(handler):
    """True for async def. MicroPython shows it in the type, for bound methods and closures in their words only."""
    if _MICROPYTHON:
        return "<generator>" in str(handler)[-60:] or str(handler).startswith("<closure <generator>")
    for function in (getattr(handler, "__func__", handler), getattr(type(handler), "__call__", None)):  # noqa: B004
        code = getattr(function, "__code__", None)
        if code:
            break
    return bool(code and code.co_flags & 0x80)


def _ArgValue(text):
    """An argument of (ASCII) digits only arrives as int."""
    if not "0" <= text[0] <= "9":
        return text
    try:
        return text if _NOT_DIGIT.search(text) else int(text)
    except ValueError:
        return text


class _Route:
    """One registered handler. A segment that is one <arg> or a literal is compared; anything else is a regex."""

    def __init__(self, url, method, handler, threaded=False):
        if not isinstance(url, str) or url[:1] != "/":
            raise ValueError("a route must begin with a slash: %r" % (url,))
        if not isinstance(method, str) or not method or _NOT_TOKEN.search(method.encode()):
            raise ValueError("not a method: %r" % (method,))
        if not callable(handler):
            raise TypeError("the handler of %s can't be called: %r" % (url, handler))
        self.isAsync = _IsAsync(handler)
        if threaded and self.isAsync:
            raise ValueError("an async handler needs no thread: %s" % url)
        self.url = url
        self.path = url[:-1] if len(url) > 1 and url[-1] == "/" else url
        self.method = method.upper()
        self.handler = handler
        self.threaded = threaded
        self._regex = None
        self._names = None
        self._Compile()

    def _Compile(self):
        pattern, *rest = self.path.split("<")
        literal = pattern
        names = []
        for part in rest:
            name, closed, tail = part.partition(">")
            if not closed or not name or "/" in name or name in names:
                raise ValueError("malformed <argument> in the route %s" % self.url)
            names.append(name)
            pattern += "([^/]+?)" + tail
            literal += tail
        simple = not _REGEX_CHARS.search(literal)
        if names and simple and pattern.count("/([^/]+?)/") + pattern.endswith("/([^/]+?)") == len(names):
            self._names = self.path.split("/")
            parts = list(enumerate(self._names))
            self._literals = [part for part in parts[1:] if part[1][:1] != "<"]
            self._slots = [(index, name[1:-1]) for index, name in parts if name[:1] == "<"]
        elif names or not simple:
            self._names = names
            pattern = "^" + (pattern.replace(".", "\\.") if simple else pattern)
            # MicroPython's re recurses for each character of a .*, and here there is nothing left to match.
            rest = pattern.endswith(".*") and pattern[-3] != "\\"
            self._regex = re.compile(pattern[:-2] if rest else pattern + "$")

    def Match(self, path, segments=None):
        """The arguments as a dict, () where the route has none, None where it does not match."""
        if path == self.path and not self._names:
            return _NO_ARGS
        if self._regex:
            return self._MatchRegex(path)
        if self._names is None:
            return None
        if segments is None:
            segments = path.split("/")
        if len(segments) != len(self._names):
            return None
        args = {}
        for index, literal in self._literals:
            if segments[index] != literal:
                return None
        for index, name in self._slots:
            segment = segments[index]
            if not segment:
                return None
            args[name] = _ArgValue(segment)
        return args

    def _MatchRegex(self, path):
        try:
            found = self._regex.match(path) or self._regex.match(path + "/")
        except RuntimeError:                # MicroPython's re recurses: a path too long for the stack is nobody's
            return None
        if not found:
            return None
        return {name: _ArgValue(found.group(i + 1)) for i, name in enumerate(self._names)} or _NO_ARGS


_REGEX_CHARS = re.compile("[\\^$*+?|(){}\\[\\]\\\\]")


class _Router:
    """The routes in their order."""

    def __init__(self):
        self._exact = {}                    # path -> {method: route}
        self._patterns = []
        self._all = []

    def Add(self, route):
        self._all.append(route)
        if route._names is None:
            if not self._First(self._patterns, route.method, route.path):
                self._exact.setdefault(route.path, {}).setdefault(route.method, (route, _NO_ARGS))
        else:
            self._patterns.append(route)

    def _First(self, routes, method, path, segments=None):
        for route in routes:
            if route.method == method:
                args = route.Match(path, segments)
                if args is not None:
                    return route, args
        return None

    def Find(self, method, path, segments=None):
        """(route, args), or None. segments: the path's, where it held percent-encoded slashes."""
        if len(path) > 1 and path[-1] == "/" and not (segments and segments[-1]):      # an encoded one is no end
            path = path[:-1]
            segments = segments and segments[:-1]
        routes = self._exact.get(path)
        if routes and method in routes and not segments:
            return routes[method]
        return self._First(self._patterns, method, path, segments or (path.split("/") if self._patterns else None))

    def Knows(self, method):
        return method in [route.method for route in self._all]

    def Methods(self, path, segments=None):
        """The methods that have a route for this path."""
        return [m for m in sorted({route.method for route in self._all}) if self.Find(m, path, segments)]


# ==============================================================================
# 8  EXCHANGE
# ==============================================================================
# HttpClient is the request as a handler sees it, HttpResponse its answer; the session is the endpoint of a link that
# turns events into calls and calls into bytes. All of it runs on the engine; a worker thread hands its writes over.

_HTML_ERROR = ("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"UTF-8\"><title>%d %s</title></head>"
               "<body><h1>%d %s</h1><p>%s</p></body></html>")


class HttpClient:
    """The request. In an async handler the Read… methods are awaited."""

    _isAsync = False
    _ended = True           # the whole content is here
    _content = b""

    def __init__(self, session):
        self._session = session
        self._line = session.line
        self._fields = session.fields

    def GetServer(self):
        return self._session.server

    def GetAddr(self):
        """(IP address, port)."""
        return self._session.link.GetAddr()

    def GetIPAddr(self):
        return self.GetAddr()[0]

    def GetPort(self):
        return self.GetAddr()[1]

    def GetRequestMethod(self):
        return self._line.method

    def GetRequestTotalPath(self):
        """Path and query string as they came."""
        line = self._line
        return line.rawPath + "?" + line.query if line.query else line.rawPath

    def GetRequestPath(self):
        """The path, percent-decoded."""
        return self._line.path

    def GetRequestQueryString(self):
        return self._line.query

    def GetRequestQueryParams(self):
        """A dict; of a repeated name the last value counts."""
        return _ParseQuery(self._line.query.encode())

    def GetRequestHeaders(self):
        """A dict-like: names in lower case, looked up in any case."""
        return self._fields

    def GetRequestContentType(self):
        return self._fields.get("content-type")

    def GetRequestContentLength(self):
        """In bytes; 0 without content, and for chunked content that has not arrived yet."""
        return self._fields.contentLength or (len(self._content) if self._fields.chunked else 0)

    # what programs for the older server read
    _microWebSrv = property(GetServer)
    _addr = property(GetAddr)
    _method = property(GetRequestMethod)
    _path = property(GetRequestTotalPath)
    _resPath = property(GetRequestPath)
    _queryString = property(GetRequestQueryString)
    _queryParams = property(GetRequestQueryParams)
    _headers = property(GetRequestHeaders)
    _contentType = property(GetRequestContentType)
    _contentLength = property(GetRequestContentLength)

    def ReadRequestContent(self, size=None):
        """Up to size bytes of the content (all that is left if None); b'' at its end."""
        return self._Read(size, bytes)

    def ReadRequestPostedFormData(self):
        """The content as application/x-www-form-urlencoded -> dict."""
        return self._Read(None, self._ToForm)

    def ReadRequestContentAsJSON(self):
        """The content as JSON, None where it is none."""
        return self._Read(None, _FromJSON)

    def _ToForm(self, content):
        mediaType = self.GetRequestContentType()
        if mediaType and "=" in mediaType and mediaType.lower().startswith("multipart/"):   # it has a boundary=
            return {}
        return _ParseQuery(bytes(content))

    def _Read(self, size, convert):
        return self._ReadLater(size, convert) if self._isAsync else convert(self._Take(size))

    async def _ReadLater(self, size, convert):
        """Waits for all of the content, or with a size for some of it."""
        session = self._session
        while True:
            if size is None and len(self._content) > session.server.MaxRequestContentLen:
                session.TooLarge()
            if self._ended or size is not None and self._content:
                return convert(self._Take(size))
            await session.MoreContent(self)

    def _Take(self, size):
        content = self._content
        if size is None:
            size = len(content)
        self._content = content[size:]
        return bytes(content[:size])


def _FromJSON(content):
    try:
        return json.loads(_Utf8(content))
    except (ValueError, RuntimeError):          # RuntimeError: nested deeper than the stack
        return None


class HttpResponse:
    """The answer. Write… queue it and return True, False if there is an answer already or nobody to get it."""

    _code = None            # of the answer that was accepted
    _held = None            # a head without content: raw _write may still follow it
    _vars = None

    def __init__(self, client):
        self._client = client

    def _Answer(self, code, headers, contentType, contentCharset, body, source=None, length=None, lines=b""):
        if source is None:
            return self._Accept(code, headers, contentType, contentCharset, body, None, length, lines)
        accepted = False
        try:
            accepted = self._Accept(code, headers, contentType, contentCharset, body, source, length, lines)
        finally:
            if not accepted:                    # refused or raised: a file must not stay open
                _Close(source)
        return accepted

    def _Accept(self, code, headers, contentType, contentCharset, body, source, length, lines):
        if self._code is not None:
            return False
        names = _NO_ARGS
        if headers:
            more, names = _FieldLines(headers)
            if "cache-control" in names:        # instead of the first of a file's own lines
                lines = lines[lines.find(b"\n") + 1:]
            lines += more
        if "content-type" in names:
            contentType = None
        session = self._client._session
        if session.server._defaults:
            lines = _WithDefaults(lines, session.server._defaults)
        if session.response is not self:
            return False
        if "connection" in names and names["connection"].lower() == "close":
            session.keepAlive = False
        if not body and source is None and code not in _BODILESS:
            self._code = code
            self._held = (code, contentType, contentCharset, lines, body, source, length)
            return not session.lost
        if session.IsOnThread():
            return session.Do(session.Answer, code, contentType, contentCharset, lines, body, source, length)
        return session.Answer(code, contentType, contentCharset, lines, body, source, length)

    def _Finish(self):
        """The handler has returned: what it held back leaves, and nothing at all is 204."""
        if self._code is None:
            self._Answer(204, None, None, None, b"")
        held, self._held = self._held, None
        if held:
            session = self._client._session
            if held is True:
                session.Do(session.End)
            else:
                session.Do(session.Answer, *held)

    def _write(self, data, strEncoding="ISO-8859-1"):
        """Raw content behind a head that was written without content; it is framed as it comes."""
        session = self._client._session
        if isinstance(data, str):
            data = _Encode(data, strEncoding)
        if self._code is None:                  # not even a head: the program speaks HTTP itself, to the end
            self._code = 200
            self._held = True
            session.keepAlive = session._chunked = False
        held = self._held
        if not held:
            return False
        if held is not True:
            session.Do(session.Answer, *(held[:4] + (b"", _PUSHED, None)))
            self._held = session._source is _PUSHED     # or HEAD has had its answer
        if self._held and not session.IsOnThread():
            session.Piece(data)
        elif self._held:
            lock = _NewLock()
            lock.acquire()
            if session.Do(session.Piece, bytes(data), lock):
                lock.acquire()
        if session.lost or not self._held:
            raise OSError(104, "nobody takes it")       # programs that write for ever end by this
        return True

    def WriteSwitchProto(self, upgrade, headers=None):
        """101; what the connection speaks from then on is the program's business, by _write."""
        headers = _Pairs(headers)
        lines = _FieldLines([("Upgrade", upgrade)] + headers)[0]
        return self._write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + lines + b"\r\n")

    def WriteResponse(self, code, headers, contentType, contentCharset, content):
        """content: str or bytes; headers: a dict or a list of pairs. ValueError for CR, LF or NUL in a header."""
        if isinstance(content, str):
            content = _Encode(content, contentCharset)
        elif content:
            content = _Bytes(content)
        else:
            content = b""
        session = self._client._session
        if content and contentType and not headers and self._code is None and session.plain \
                and session.response is self and code >= 200 and code not in _NO_CONTENT:
            return session.Quick(code, contentType, contentCharset, content)
        if content and not contentType:
            contentType = "application/octet-stream"
        if code == 205:                         # RFC 9110 section 15.3.6
            content = b""
        return self._Answer(code, headers, contentType, contentCharset, content)

    def WriteResponseOk(self, headers=None, contentType=None, contentCharset=None, content=None):
        return self.WriteResponse(200, headers, contentType, contentCharset, content)

    def WriteResponseStream(self, pieces, contentType=None, contentCharset=None, headers=None, code=200):
        """pieces: an iterable or async iterable of str or bytes, pulled as the client drains."""
        isAsync = hasattr(pieces, "__aiter__")
        return self._Answer(code, headers, contentType, contentCharset, b"", pieces if isAsync else iter(pieces))

    def WriteResponseEventStream(self, events, headers=None):
        """events: a MicroWebEvents or any (async) iterable, as text/event-stream. 501 without microWebEvents.py."""
        write = self._client.GetServer()._writeEvents
        return write(self, events, headers) if write else self.WriteResponseNotImplemented()

    def WriteResponsePyHTMLFile(self, filepath, headers=None, vars=None):
        """The rendered template; 501 without microWebTemplate.py, 404 without the file."""
        server = self._client.GetServer()
        render = server.Renderers.get(".pyhtml")
        if not render:
            return self.WriteResponseNotImplemented()
        values = dict(vars or {})
        if self._vars:
            values.update(self._vars)
        try:
            pieces = render(server, filepath, values)
        except OSError:
            return self.WriteResponseNotFound()
        if isinstance(pieces, tuple):           # the whole page, in one piece
            return self.WriteResponse(200, headers, "text/html", "UTF-8", pieces[0])
        return self.WriteResponseStream(pieces, "text/html", "UTF-8", headers)

    def FlashMessage(self, messageText, messageStyle=""):
        """MESSAGE_TEXT and MESSAGE_STYLE of the next template."""
        self._vars = {"MESSAGE_TEXT": messageText, "MESSAGE_STYLE": messageStyle}

    def WriteResponseFile(self, filepath, contentType=None, headers=None):
        """The file with its validators, ranges and .gz sibling; 404 where there is none."""
        session = self._client._session
        return session.Do(session.server._SendFile, self, filepath, contentType, headers)

    def WriteResponseFileAttachment(self, filepath, attachmentName, headers=None):
        headers = _Pairs(headers)
        headers.append(("Content-Disposition", _Attachment(attachmentName)))
        return self.WriteResponseFile(filepath, None, headers)

    def WriteResponseJSONOk(self, obj=None, headers=None):
        return self.WriteResponse(200, headers, "application/json", "UTF-8", json.dumps(obj))

    def WriteResponseJSONError(self, code, obj=None):
        return self.WriteResponse(code, None, "application/json", "UTF-8", json.dumps(obj if obj is not None else {}))

    def WriteResponseRedirect(self, location):
        """302 to a URL or path; text beyond ASCII is percent-encoded."""
        location = "".join([chr(byte) if 32 < byte < 127 or byte in b"\r\n\x00" else "%%%02X" % byte
                            for byte in location.encode()])         # CR and LF stay, to be refused
        return self.WriteResponse(302, {"Location": location}, None, None, None)

    def WriteResponseError(self, code):
        """A small HTML page that names the status and nothing else."""
        return self._WriteError(code, None)

    def _WriteError(self, code, headers, rule=""):
        reason = _Reason(code)
        return self.WriteResponse(code, headers, "text/html", "UTF-8",
                                  _HTML_ERROR % (code, reason, code, reason, _HTMLEscape(rule)))

    def WriteResponseBadRequest(self):
        return self.WriteResponseError(400)

    def WriteResponseForbidden(self):
        return self.WriteResponseError(403)

    def WriteResponseNotFound(self):
        """404, or 302 to the URL of SetNotFoundPageUrl."""
        url = self._client.GetServer()._notFoundUrl
        if url and url != self._client.GetRequestPath():
            return self.WriteResponseRedirect(url)
        return self.WriteResponseError(404)

    def WriteResponseMethodNotAllowed(self, allow=()):
        """405 with Allow (RFC 9110 section 15.5.6); without `allow`, the methods of the path's routes."""
        client = self._client
        allow = allow or client.GetServer()._Allowed(client._line)
        return self._WriteError(405, {"Allow": ", ".join(allow)})

    def WriteResponseInternalServerError(self):
        return self.WriteResponseError(500)

    def WriteResponseNotImplemented(self):
        return self.WriteResponseError(501)

    def WriteResponseNotModified(self):
        return self.WriteResponse(304, None, None, None, None)


_PUSHED = object()          # a source that is pushed piece by piece instead of pulled
_DONE = object()            # the response of an exchange that is over


class _Session(_Connection):
    """The HTTP endpoint of a link: one exchange after the other."""

    lost = False
    client = response = _route = None
    _advancing = False
    _timed = False          # the head that has begun has its deadline
    _answered = False       # the answer is queued whole
    _chunked = False
    _eof = False            # the client has closed its half
    _refused = False        # the message broke a rule: its end can't be trusted
    _source = None          # what the content is pulled from
    _task = None
    _event = None           # set when content arrived, the link drained or the client went
    _lock = None            # of a worker that waits for the link to drain
    _paused = False
    plain = False           # nothing is asked but an answer: it can leave by the short way

    def __init__(self, server, link):
        self.server = server
        self.link = link
        self.deadline = server.now + server.HeadTimeoutSec

    # -- the endpoint of a link ----------------------------------------------

    def Received(self, data):
        if self._state != _CLOSED:          # else it lingers: what still comes is dropped
            self.Receive(data)
            self._Advance()

    def Drained(self):
        self._Wake()
        if self._answered:
            self._Complete()

    def Ended(self):
        """The client sends no more. True: it still waits for what it asked (a half-closed connection)."""
        self._eof = True
        if hasattr(self._source, "__aiter__"):      # that may never end: whoever closed his half of it has gone
            return False
        return self._state == _ANSWER

    def Lost(self):
        self.lost = True
        self._state = _CLOSED
        if self._source is not None:
            self._DropSource()
        if self._event or self._lock:
            self._Wake()

    def IsOnThread(self):
        """A worker thread is calling: what it writes goes to the engine."""
        return self._route is not None and self._route.threaded and not self.server._OnEngine()

    def Do(self, func, *args):
        """func(*args) on the engine; a worker thread waits for what it returns or raises."""
        if not self.IsOnThread():
            return func(*args)
        result = [None]
        lock = _NewLock()

        def Call():
            try:
                result[0] = func(*args)
            except Exception as error:
                result[0] = error
            lock.release()
        lock.acquire()
        if not self.server._CallSoon(Call):
            return False
        lock.acquire()
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    def IsIdle(self):
        """Between two requests, or lingering behind the last; a new connection has a second to say something."""
        return self._state == _CLOSED or self._state == _READ_HEAD and not self.HeadBegun() and (
            self.response is not None or self.deadline < self.server.now + self.server.HeadTimeoutSec)

    def Stopping(self):
        self.keepAlive = False
        if self._state == _READ_HEAD and not self.HeadBegun():
            self.link.Close()
        elif hasattr(self._source, "__aiter__"):
            self._DropSource()
            self.End()

    def Expired(self):
        """The deadline has passed: whose fault it is depends on what we waited for."""
        if not self._answered and (self._state == _READ_BODY or self._state == _READ_HEAD and self.HeadBegun()):
            self._Refuse(_HttpError(408, "the request took too long"))
        else:
            self.link.Abort()

    # -- events to calls -------------------------------------------------------

    def _Advance(self):
        """As far as the bytes go. A rule that was broken is answered here, and nowhere else."""
        self._advancing = True
        try:
            event = self.Next()
            while event != _NEED:
                if event == _HEAD:
                    self._OnHead()
                else:
                    self._OnBody(event)
                event = self.Next()
        except _HttpError as error:
            self._Refuse(error)
        self._advancing = False
        if self._eof and self._state == _READ_HEAD:
            self.link.Close()
        elif self._pos < len(self._data):
            if self._state == _ANSWER:
                self._paused = True
                self.link.Pause()
            elif self._state == _READ_HEAD and not self._timed:
                self._timed = True
                self.deadline = self.server.now + self.server.HeadTimeoutSec

    def _OnHead(self):
        self.deadline = None
        self._timed = self._answered = False
        server = self.server
        upgrade = self.fields.upgrade
        self.client = client = HttpClient(self)
        self.response = HttpResponse(client)
        if upgrade and upgrade in server.Upgraders and self.line.minor and not self.reader:
            self._route = None
            return self._Call(server.Upgraders[upgrade])
        self._route, self._args = route, _ = server._Find(self.line)
        self.plain = self.fields.plain and self.line.minor and self.line.method != "HEAD" and not route.threaded \
            and not server._defaults
        if self.reader:
            self._OnContent(self._route, client)
        else:
            self._Call(self._route.handler)

    def _OnContent(self, route, client):
        server = self.server
        self.deadline = server.now + server.BodyTimeoutSec
        self._credit = 0
        if route is server._static[0]:          # it has no use for content
            return self._Call(route.handler)
        if not route.isAsync and (self.fields.contentLength or 0) > server.MaxRequestContentLen:
            self.TooLarge()
        client._ended = False
        if self.fields.expect and self.line.minor and not self.HeadBegun():
            self.link.Send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if route.isAsync:
            self._Call(route.handler)

    def TooLarge(self):
        raise _HttpError(413, "content above MaxRequestContentLen, %d bytes" % self.server.MaxRequestContentLen)

    def _OnBody(self, event):
        server = self.server
        client = self.client
        piece = self.piece
        if event == _END and not client._content and not self._answered and not self._route.isAsync \
                and len(piece) <= server.MaxRequestContentLen:
            client._content = piece             # all of it at once, as most times
            client._ended = True
            self.deadline = None
            return self._Call(self._route.handler)
        # A deadline that a steady sender of 1 KiB a second never meets (Apache: mod_reqtimeout's MinRate).
        self._credit += len(piece)
        if self.deadline is not None:
            self.deadline = min(self.deadline + (self._credit >> 10), server.now + server.BodyTimeoutSec)
        self._credit &= 1023
        if self._answered:                      # an early answer: the rest is read and dropped
            if event == _END:
                self._Complete()
            return
        isAsync = self._route.isAsync
        if not isAsync and len(client._content) + len(piece) > server.MaxRequestContentLen:
            self.TooLarge()
        if not client._content:
            client._content = piece
        elif isinstance(client._content, bytes):
            client._content = bytearray(client._content + piece)
        else:
            client._content += piece            # in place: many small pieces must not cost their square
        if event == _END:
            client._ended = True
            self.deadline = None
            if not isAsync:
                self._Call(self._route.handler)
        elif isAsync and len(client._content) > server.BufferLen:
            self.deadline = None                # now it is the handler that takes its time
            self._paused = True
            self.link.Pause()
        self._Wake()

    async def MoreContent(self, client):
        """Waits for content; OSError when there will be no more."""
        if self.lost or self.client is not client:
            raise OSError(104, "the client is gone")
        self.deadline = self.server.now + self.server.BodyTimeoutSec
        self.link.Resume()
        await self._Wait()

    async def _Wait(self):
        if not self._event:
            self._event = asyncio.Event()
        await self._event.wait()

    def _Wake(self):
        event, self._event = self._event, None
        if event:
            event.set()
        lock, self._lock = self._lock, None
        if lock:
            lock.release()

    def _Call(self, handler):
        """One handler, with two arguments or three; a coroutine goes on as a task."""
        client, response, route = self.client, self.response, self._route
        args = (client, response)
        if route and self._args is not _NO_ARGS:
            args = (client, response, self._args)
        if route and route.threaded:
            # As in _Run: the worker looks at both while the engine goes on.
            self._source = self._task = self._event = self._lock = response._code = response._held = None
            self.lost, self._eof, self._refused = self.lost, self._eof, self._refused
            if self.server._Work(self._CallOnThread, handler, args):
                return
        try:
            result = handler(*args)
            if result is None or not hasattr(result, "send"):
                response._Finish()
            else:
                client._isAsync = True
                self.server._Spawn(self._Await(result, response))
        except Exception as error:
            self._Failed(response, error)

    def _CallOnThread(self, handler, args):
        try:
            handler(*args)
            args[1]._Finish()
        except Exception as error:
            while True:
                try:
                    return self.server._CallSoon(self._Failed, args[1], error)
                except MemoryError:
                    time.sleep(0.1)             # the engine has to hear of it

    async def _Await(self, coroutine, response):
        try:
            await coroutine
            response._Finish()
        except Exception as error:
            self._Failed(response, error)

    def _Failed(self, response, error):
        """A handler's exception: 500 without internals, or a cut where the head has already left."""
        try:
            if isinstance(error, _HttpError) and response._code is None:
                return self._Refuse(error)
            left = self.lost or self.response is not response       # a client that left is no error of ours
            if not (left and isinstance(error, OSError)):
                line = response._client._line
                self.server._LogError("%s %s" % (line.method, line.target), error)
            if response._code is None or isinstance(response._held, tuple):
                response._code = response._held = None
                text = "%s: %s" % (type(error).__name__, error) if self.server.Debug else ""
                response._WriteError(500, None, text)
            elif self.response is response and not self._answered:
                self.link.Abort()
        except Exception as failure:            # no memory even for that
            self.link.Abort()
            self.server._LogError("a failure could not be answered", failure)

    def _Refuse(self, error):
        """Answers the message that broke a rule, then closes."""
        self.keepAlive = False
        self._refused = True
        if self._answered or self._source is not None:
            return self.link.Abort()
        if error.status == 413:
            self.server._LogError("413: %s" % error.rule)
        if self._state == _READ_HEAD:
            self.line = _RequestLine("GET", "", "", "", 1, None)
            self.fields = _Fields()
            self.client = HttpClient(self)
        self._route = None
        self.response = HttpResponse(self.client)
        self.response._WriteError(error.status, None, error.rule)

    # -- calls to bytes ----------------------------------------------------------

    def Quick(self, code, contentType, contentCharset, body):
        """What Answer() does for most: there are no conditions, and all of the content is here."""
        server = self.server
        if self._state != _ANSWER or self.lost:
            return self.Answer(code, contentType, contentCharset, b"", body, None, None)
        prefix = server._prefixes.get((code, contentType, contentCharset)) \
            or server._Prefix(code, contentType, contentCharset)
        self.response._code = code
        if self.keepAlive and server._KeepsAlive():
            self.link.Send(prefix + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        else:
            self.keepAlive = False
            self.link.Send(prefix + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self._Complete()
        return True

    def Answer(self, code, contentType, contentCharset, lines, body, source, length):
        """Head and content leave in one send: two would wait for each other (Nagle, delayed ACK)."""
        if self.lost:
            return False
        server = self.server
        if self._state == _READ_BODY and (self.fields.expect or self.BodyLeft() > server.BufferLen) \
                or not server._KeepsAlive():
            self.keepAlive = False
        if source is None:
            length = len(body)
        parts = [server._Prefix(code, contentType, contentCharset), lines, self.Framing(code, length)]
        if not self.SendsBody(code):
            if source is not None:
                _Close(source)
                source = None
            body = b""
        elif source is not None and hasattr(source, "__next__"):
            if hasattr(source, "head"):
                source.head = b"".join(parts)
                parts = ()
            body, ended = self._Pull(source)
            if ended:
                _Close(source)
                source = None
        self.response._code = code              # not before the first piece was pulled: until then 500 is possible
        self._source = source
        if parts:
            parts.append(body)
            body = b"".join(parts)
        self.link.Send(body)
        if source is None:
            self._Complete()
        elif source is not _PUSHED:
            self._task = server._Spawn(self._Stream(source))
        return True

    def _Pull(self, source):
        """-> (the next bytes, framed, whether that was all). Small pieces are joined: each has the price of a send."""
        if not self._chunked and hasattr(source, "left"):
            return next(source) or b"", source.left == 0        # a file: a view of the one buffer, not a copy
        parts = []
        size, ended = 0, False
        try:                                            # MicroPython before 1.25 has no next(source, None)
            while not parts or self._chunked and size < 1024 and parts[-1]:     # an empty one: wait for better
                parts.append(_Bytes(next(source)))
                size += len(parts[-1])
        except StopIteration:
            ended = True
        data = b"".join(parts)
        if self._chunked:
            data = (_Chunk(data) if data else b"") + (b"0\r\n\r\n" if ended else b"")
        return data, ended

    async def _Stream(self, source):
        """Pulls as the client drains; a source that is always ready lets the others have their turn."""
        try:
            ended = False
            if hasattr(source, "__next__"):
                while not ended and self._source is source:
                    await self._Breathe()
                    data, ended = self._Pull(source)
                    self.link.Send(data)
            else:
                async for piece in source:
                    if self._source is not source:
                        break
                    data = _Bytes(piece)
                    self.link.Send(_Chunk(data) if self._chunked and data else data)
                    await self._Breathe()
                else:
                    self.link.Send(b"0\r\n\r\n" if self._chunked else b"")
            if self._source is source:
                self._DropSource()
                self._Complete()
        except Exception as error:
            if not self.lost:
                self.server._LogError("the answer broke off", error)
                self.link.Abort()
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()

    async def _Breathe(self):
        if self.link.Backlog():
            self.deadline = self.server.now + self.server.SendTimeoutSec
            await self._Wait()
            self.deadline = None
        else:
            await asyncio.sleep(0)

    def _DropSource(self):
        source, self._source = self._source, None
        if source is None or source is _PUSHED:
            return
        if self._task and self._task is not _CurrentTask():
            self._task.cancel()
        _Close(source)

    def Piece(self, data, lock=None):
        """Content of an answer whose length was not known. The lock of a worker is released when the client has
        drained; a plain handler blocks the engine as long. False when the client is gone."""
        link = self.link
        server = self.server
        if not lock and not link.Settle(server.MaxSendQueueLen, 5):
            link.Abort()
            self.lost = True
        if data and not self.lost:
            link.Send(_Chunk(data) if self._chunked else data)
        if lock and link.Backlog() and not self.lost:
            self._lock = lock
            self.deadline = server.now + server.SendTimeoutSec
        elif lock:
            lock.release()
        return not self.lost

    def End(self):
        """The last piece was pushed."""
        self._source = None
        if self._chunked:
            self.link.Send(b"0\r\n\r\n")
        self._Complete()

    def _Complete(self):
        """The answer is queued whole. It ends when the client has taken it and sent the rest of its request."""
        server = self.server
        link = self.link
        self._answered = True
        if link.Backlog():
            self.deadline = server.now + server.SendTimeoutSec
            return
        if self._state == _READ_BODY and not self._refused:
            self.deadline = server.now + (server.BodyTimeoutSec if self.keepAlive else 2)
            return
        if server.AccessCallback:
            try:
                server.AccessCallback(self.client, self.response._code)
            except Exception as error:
                server._LogError("AccessCallback", error)
        left = self._pos < len(self._data) or self._state != _ANSWER
        self.client = self._route = self._args = None
        self.response = _DONE
        if self._event or self._lock:
            self._Wake()                        # a handler that still waits for content gets an OSError
        if self.EndResponse():
            self._answered = False
            self.deadline = server.now + server.KeepAliveTimeoutSec
            if self._paused:
                self._paused = False
                link.Resume()
            if not self._advancing and (left or self._eof):
                self._Advance()
        elif left:
            # Closing on unread bytes would reset the connection under the answer (RFC 9112 section 9.6).
            self.deadline = server.now + 2
            link.Resume()
            link.Finish()
        else:
            link.Close()

    def Upgrade(self, head, endpoint):
        """Sends a complete 101 response; from here on the link is the endpoint's."""
        self.response._code = 101
        link = self.link
        data = self._data[self._pos:]
        self._state = _CLOSED
        self._data = b""
        self.deadline = None
        link.endpoint = endpoint
        link.Send(head)
        if data:
            endpoint.Received(data)


def _Bytes(piece):
    if isinstance(piece, str):
        return piece.encode()
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        raise TypeError("content must be str or bytes, not %s" % type(piece))
    return bytes(piece)


def _Close(source):
    if hasattr(source, "close"):
        source.close()


def _CurrentTask():
    return asyncio.core.cur_task if _MICROPYTHON else asyncio.current_task()


# ==============================================================================
# 9  FILES
# ==============================================================================
# A path of a request -> a file below webPath, or nothing. webPath may be any object with Stat(path) -> (isFolder,
# size in bytes, mtime) or None, and Open(path) -> a binary file; paths begin with a slash.

_INDEX_PAGES = ("index.pyhtml", "index.html", "index.htm", "default.pyhtml", "default.html", "default.htm")
_FOLDER_KIND = const(0x4000)        # in st_mode, as POSIX has it and MicroPython everywhere
_FILE_KIND = const(0x8000)
_LINK_KIND = const(0xA000)


class _Folder:
    """A folder of the file system."""

    def __init__(self, root):
        if root and root[0] != "/":         # a relative path is looked up slowly, and another one after a chdir()
            root = os.path.abspath(root) if hasattr(os, "path") else os.getcwd().rstrip("/") + "/" + root
        self.root = root[:-1] if root[-1:] == "/" else root

    def Stat(self, path):
        try:
            stat = os.stat(self.root + path)
        except OSError:
            return None
        kind = stat[0] & 0xF000
        if kind not in (_FOLDER_KIND, _FILE_KIND):
            return None                         # a pipe would block us for ever
        return kind == _FOLDER_KIND, stat[6], stat[8]

    def Open(self, path):
        return open(self.root + path, "rb")

    def Holds(self, path):
        """Security: after all symbolic links are followed, the file is still below the root."""
        if hasattr(os, "path"):
            root = os.path.realpath(self.root)
            real = os.path.realpath(self.root + path)
            return real == root or real.startswith(root if root.endswith(os.sep) else root + os.sep)
        if sys.platform not in ("linux", "darwin"):
            return True                         # the file systems of boards have no links
        folder = self.root
        for name in path.split("/"):            # MicroPython can't resolve a link, but it sees one
            if name and (name, _LINK_KIND) in [entry[:2] for entry in os.ilistdir(folder or "/")]:
                return False
            folder += "/" + name if name else ""
        return True


_FOLDER = _Folder("")


def _SafePath(path):
    """Security: only plain names reach the file system; None for '..', hidden files, drives, backslashes, controls."""
    for char in "\\:\x00":
        if char in path:
            return None
    names = [name for name in path.split("/") if name]
    for name in names:
        if name[0] == "." or min(name) < " ":
            return None
    return "/" + "/".join(names) + ("/" if names and path[-1] == "/" else "")


def _ServeStatic(client, response):
    """The handler of every path that has no route: a file, an index page, or the status that says why not."""
    server = client.GetServer()
    line = client._line
    method = line.method
    path, stat = _Locate(server, line)
    if stat and stat[0] and path[-1] != "/":
        query = "?" + line.query if line.query else ""
        return response.WriteResponse(301, {"Location": _PathEscape(path) + "/" + query}, None, None, None)
    isFile = bool(path and (not stat[0] if stat else _Gzipped(server, server._source, path)))
    if method not in ("GET", "HEAD") or not isFile:
        return _Decline(server, response, line, isFile)
    if path.endswith(".pyhtml"):
        return response.WriteResponsePyHTMLFile(getattr(server._source, "root", "") + path)
    contentType = server.GetMimeTypeFromFilename(path)
    if not contentType:                     # that keeps the programs of a board private
        return response.WriteResponseForbidden()
    return _SendFile(response, server._source, path, contentType, None, stat)


def _Locate(server, line):
    """-> the safe path and its stat; the index page in the place of a folder that has one."""
    source = server._source
    path = line.file
    if path is None:
        path = line.file = line.path and _SafePath(line.path) or ""     # of CONNECT there is none
    if path in server._pages:
        return server._pages[path], (False, 0, 0)
    stat = path and source.Stat(path)
    if not stat or not server._Holds(path):
        return path, None
    if stat[0] and path[-1] == "/":
        for name in _INDEX_PAGES:
            index = source.Stat(path + name)
            if index and not index[0] and server._Holds(path + name):
                return path + name, index
    return path, stat


def _Decline(server, response, line, isFile):
    """There is no answer of content: OPTIONS, 501, 405 with what is allowed, or 404."""
    method = line.method
    allow = server._Allowed(line, isFile)
    if method == "OPTIONS" and (allow or line.target == "*"):
        return response.WriteResponse(204, {"Allow": ", ".join(allow or ["GET", "HEAD", "OPTIONS"])}, None, None, None)
    if method not in _METHODS.values() and not server._router.Knows(method):
        return response.WriteResponseNotImplemented()
    if allow:
        return response.WriteResponseMethodNotAllowed(allow)
    return response.WriteResponseNotFound()


def _Gzipped(server, source, path):
    """The stat of the .gz sibling or None; that there is none is believed for a second."""
    path += ".gz"
    if path[-4] == "/" or server._held.get(path) is False:
        return None
    stat = source.Stat(path)
    if not stat or stat[0] or source is server._source and not server._Holds(path):
        server._held[path] = False
        return None
    return stat


def _Accepts(fields, coding):
    """Accept-Encoding names the coding and not with q=0 (RFC 9110 section 12.5.3)."""
    for item in fields.get("accept-encoding", "").lower().split(","):
        name, _, weight = item.partition(";")
        if name.strip() == coding:
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _SendFile(response, source, path, contentType, headers, stat=None):
    """RFC 9110: 200, 206, 304, 404, 406, 412 or 416 for a file, as its validators and the request say."""
    client = response._client
    server = client.GetServer()
    stat = stat or source.Stat(path)
    zipped = _Gzipped(server, source, path)
    if stat and stat[0] or not stat and not zipped:
        return response.WriteResponseNotFound()
    coding = ""
    if zipped:
        coding = "Vary: Accept-Encoding\r\n"
        if _Accepts(client._fields, "gzip"):
            coding += "Content-Encoding: gzip\r\n"
            path += ".gz"
            stat = zipped
        elif not stat:
            return response._WriteError(406, {"Vary": "Accept-Encoding"})
    etag, modified, date, lines = _Validators(server, path, stat, coding)
    size = stat[1]
    code, start, length = 200, 0, size
    if etag:
        code = _Precondition(client._fields, etag, modified)
        if code != 200:
            return response._Answer(code, headers, None, None, b"", None, None, lines)
        if "range" in client._fields:
            code, start, length = _Range(client, size, etag, date)
    if code == 416:
        return response._Answer(416, {"Content-Range": "bytes */%d" % size}, None, None, b"")
    if code == 206:
        lines += b"Content-Range: bytes %d-%d/%d\r\n" % (start, start + length - 1, size)
    try:
        body = _FileBody(source.Open(path), start, length, server)
    except OSError:
        return response.WriteResponseNotFound()
    # HTML, CSS, JavaScript and XML have their own ways to say it, which a header would overrule.
    charset = "UTF-8" if contentType in ("text/plain", "text/csv", "text/markdown") else None
    return response._Answer(code, headers, contentType, charset, b"", body, length, lines)


def _Validators(server, path, stat, coding):
    """-> (ETag, (year, …, second), HTTP-date, field lines), made anew when the file has changed."""
    level = server.LetCacheStaticContentLevel
    known = server._validators.get(path)
    if known and known[0] == stat and known[1] == level and known[2] == coding:
        return known[3]
    etag = modified = date = None
    lines = "Cache-Control: %s\r\n%s" % (("no-store", "max-age=3600", "no-cache")[level], coding)
    if level:
        modified = tuple(time.gmtime(stat[2]))[:7]
        date = _HttpDate(modified)
        modified = modified[:6]
        etag = '"%x-%x%s"' % (stat[2], stat[1], "-gz" if "gzip" in coding else "")
        lines += "ETag: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n" % (etag, date)
    if len(server._validators) >= server._memoLen:
        server._validators.clear()
    server._validators[path] = (stat, level, coding, (etag, modified, date, lines.encode()))
    return server._validators[path][3]


def _Matches(tags, etag, weak=""):
    """One of the tags is the file's; with weak="W/" a weak one will do (RFC 9110 section 8.8.3.2)."""
    return tags.strip() == "*" or etag in [tag.strip().replace(weak, "") if weak else tag.strip()
                                           for tag in tags.split(",")]


def _Precondition(fields, etag, modified):
    """200, 304 or 412 in the order of RFC 9110 section 13.2.2; modified: (year, …, second)."""
    tags = fields.get("if-match")
    since = fields.get("if-unmodified-since") if tags is None else None
    when = since and _ParseHttpDate(since)
    if tags is not None and not _Matches(tags, etag) or when and modified > when:
        return 412
    tags = fields.get("if-none-match")
    since = fields.get("if-modified-since") if tags is None else None
    when = since and _ParseHttpDate(since)
    if tags is not None and _Matches(tags, etag, "W/") or when and modified <= when:
        return 304
    return 200


def _Range(client, size, etag, date):
    """-> (200, 206 or 416, start, length): one range of bytes; several, or a broken one, mean all (section 14.2)."""
    fields = client._fields
    unit, _, text = fields.get("range", "").partition("=")
    first, dash, last = text.strip().partition("-")
    whole = (200, 0, size)
    if client._line.method != "GET" or unit.strip() != "bytes" or not dash or not (first or last):
        return whole
    if _NOT_DIGIT.search(first) or _NOT_DIGIT.search(last) or len(first) > 18 or len(last) > 18:
        return whole
    condition = fields.get("if-range")
    if condition and condition not in (etag, date):
        return whole
    if not first:
        start, end = max(0, size - int(last)), size if int(last) else 0
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return whole
    return (206, start, end - start) if start < end else (416, 0, 0)


class _FileBody:
    """Pieces of an open file through the server's one buffer; the next piece overwrites the last. `head` leaves with
    the first of them, and without a copy of both: a board has no room for that in one piece."""

    head = b""

    def __init__(self, file, start, length, server):
        self._file = file
        self.left = length
        self._buffer = server._buffer
        if start:
            file.seek(start)

    def __next__(self):
        head = self.head
        used = len(head)
        buffer = self._buffer
        self.head = b""
        if not self.left or used > len(buffer) // 2:
            return head or None
        size = min(self.left, len(buffer) - used)
        if _MICROPYTHON:
            buffer[:used] = head
            size = self._file.readinto(buffer[used:used + size])
            piece = buffer[:used + size]
        else:                                   # asyncio and uvloop may keep what they could not send: it must be ours
            piece = self._file.read(size)
            size = len(piece)
            piece = head + piece if head else piece
        if not size:
            raise OSError("the file became shorter")
        self.left -= size
        return piece

    def close(self):
        self._file.close()


# ==============================================================================
# 10  SERVER
# ==============================================================================
# What a program holds: configuration, routes, plugging in, Start and Stop. Limits are attributes, each with a value for
# a board and one for CPython; set them before Start, on the class or on one server.

_BOARD = _MICROPYTHON and sys.platform not in ("linux", "darwin", "win32", "webassembly")


class _Engine:
    """The asyncio loop that a server runs on, as other threads see it. MicroPython has one loop, so one engine."""

    wake = None                             # of room 11: set() from any thread, wait() on the engine

    def __init__(self):
        self.ident = None                   # the thread that runs it; None: it does not run
        self.claimed = False                # by a thread that starts, runs or ends the loop
        self.users = 0
        self.loop = None
        self._calls = []
        self._lock = _NewLock()
        self._flag = None

    def Claim(self):
        """True: the caller is to run the loop. False: another thread runs it and takes calls."""
        while True:
            with self._lock:
                if not self.claimed:
                    self.claimed = True
                    return True
                if self.ident is not None:
                    return False
            time.sleep(0.001)               # that thread is just starting, or ending

    def Join(self):
        while self.claimed:                 # a lock would not let a KeyboardInterrupt through
            time.sleep(0.1)

    def IsHere(self):
        return self.ident is not None and (not _thread or _thread.get_ident() == self.ident)

    def Enter(self):
        self.ident = _thread.get_ident() if _thread else 1
        self.users += 1
        if not _MICROPYTHON:
            self.loop = asyncio.get_running_loop()
        elif _thread and not self._flag:
            self._flag = self.wake()
            self._watch = asyncio.create_task(self._Watch())

    def Leave(self):
        self.users -= 1
        if self.users:
            return
        flag = self._flag
        if flag:
            self._watch.cancel()
        self._RunCalls(True)                # from here on nobody sets the flag
        if flag:
            self._flag = None
            _Close(flag)

    def CallSoon(self, func, *args):
        """Thread-safe: func(*args) on the engine; False if it does not run any more."""
        with self._lock:
            if self.ident is None:
                return False
            self._calls.append((func, args))
            if self._flag:
                self._flag.set()
        if self.loop:
            try:
                self.loop.call_soon_threadsafe(self._RunCalls)
            except RuntimeError:
                pass                        # the loop has just ended: Leave() has made the call
        return True

    async def _Watch(self):
        while True:
            try:
                self._RunCalls()            # what was called before there was a flag has set none
                await self._flag.wait()
            except Exception:               # no memory, or the socket behind the flag failed
                await asyncio.sleep(1)

    def _RunCalls(self, last=False):
        if last:
            with self._lock:
                self.ident = None
        for _ in range(len(self._calls)):
            with self._lock:
                func, args = self._calls[0]
            try:
                func(*args)
            except Exception as error:
                _PrintError("a call to the engine", error)
            finally:
                with self._lock:
                    self._calls.pop(0)      # only now: who looks from another thread sees what has not been done


def _Widen(table):
    """MicroPython's dicts grow when they are full. Until then what a module has not, as each builtin, is looked for in
    nearly all of its places, then in a long list: an eighth of a request. A small heap has no room for more."""
    if _MICROPYTHON and gc.mem_free() > 65536:
        table["len"], table["isinstance"] = len, isinstance
        spare = range(len(table) // 8)
        for key in spare:
            table[key] = None
        for key in spare:
            del table[key]


def _PrintError(text, error=None):
    """The default log: one line and the traceback, on stderr or the REPL."""
    try:
        print("MicroWebSrv:", text, file=sys.stderr)
        if error is None:
            return
        if _MICROPYTHON:
            sys.print_exception(error, sys.stderr)
        else:
            import traceback
            traceback.print_exception(type(error), error, error.__traceback__)
    except Exception:
        pass                                # no memory, no console: there is nobody left to tell


_engine = _Engine()


class _Run:
    """One time from Start to Stop of one server."""

    def __init__(self, engine, listener):
        # All at once: without a GIL, an attribute that is added later moves the table that another thread is reading.
        self.stop = self.gone = self.task = None        # events of the engine
        self.stopping = self.served = False
        self.engine = engine
        self.listener = listener
        self.ended = _NewLock()             # held until it is over
        self.ended.acquire()

    def BeginStop(self):
        if self.stop:                       # else it has not begun, and sees `stopping`
            self.stop.set()

    def Join(self):
        while not self.served:              # a lock would not let a KeyboardInterrupt through
            time.sleep(0.1)

    def Go(self, server):
        """Runs the loop in this thread; when it returns, nothing of it is left."""
        try:
            server._runLoop(server._ServeAll(self))
        finally:
            for link in list(server._links):    # a KeyboardInterrupt ended its task, or
                link.Kill()
            if not self.served:                 # left MicroPython's loop as it stood
                self.listener.close()
                self.engine.Leave()
                asyncio.new_event_loop()
            if _MICROPYTHON:
                asyncio.core.cur_task = None    # Ctrl-C leaves it as it was, and so did every end before 1.23
            self.engine.claimed = False
            server._Finished(self)


class MicroWebSrv:
    """The server: MicroWebSrv(routeHandlers=[(url, method, handler), …], port=80, bindIP='', webPath='/flash/www')."""

    AcceptWebSocketCallback = None
    MaxWebSocketRecvLen = 1024
    WebSocketThreaded = True
    WebSocketStackSize = 4096
    LetCacheStaticContentLevel = 2              # of files: 0 never, 1 for an hour, 2 with revalidation

    MaxRequestLineLen = 1024 if _BOARD else 8192            # bytes, else 414
    MaxRequestHeadLen = 4096 if _BOARD else 32768           # bytes, else 431
    MaxRequestContentLen = 16384 if _BOARD else 1 << 20     # bytes for a plain handler, else 413
    MaxConnections = {"rp2": 4, "esp8266": 4, "esp32": 8}.get(sys.platform, 8 if _BOARD else 1000)
    MaxWorkers = 2 if _BOARD else 32                        # threads of routes with threaded=True
    MaxSendQueueLen = 4096 if _BOARD else 65536 if _MICROPYTHON else 1 << 20    # bytes a raw _write may leave waiting
    HeadTimeoutSec = 10
    BodyTimeoutSec = 20                                     # and a second for each KiB that came
    KeepAliveTimeoutSec = 5 if _BOARD else 75
    SendTimeoutSec = 20                                     # without any progress
    StopGraceSec = 3
    BufferLen = 2048 if _BOARD else 65536 if _MICROPYTHON else 131072  # bytes of a file at a time
    Debug = False                                           # the 500 of a failed handler says what has failed
    ErrorCallback = None                                    # (text, exception or None)
    AccessCallback = None                                   # (httpClient, code)

    _mimeTypes = {}
    _docoratedRouteHandlers = []
    _webSocketRoutes = []
    _memoLen = 4 if _BOARD else 16 if _MICROPYTHON else 256
    _pages = {}                                 # path -> precompiled page, which needs no file
    _static = (_Route("/", "GET", _ServeStatic), _NO_ARGS)
    _transport = None
    _listen = None
    _writeEvents = None
    _runLoop = staticmethod(asyncio.run)

    def __init__(self, routeHandlers=None, port=80, bindIP="", webPath="/flash/www"):
        self._port = port
        self._bindIP = bindIP
        self._source = _Folder(webPath) if isinstance(webPath, str) else webPath
        self._notFoundUrl = None
        self._defaults = None
        self._router = _Router()
        self._decorated = 0
        self.Upgraders = {}
        self.Renderers = {}
        self._lineMemo = {}
        self._fieldMemo = {}
        self._prefixes = {}
        self._held = {}
        self._validators = {}
        self._links = set()
        self._tasks = set()
        self._jobs = []
        self._workers = 0
        self._engine = _engine
        self._run = self._buffer = None
        self.now = 0
        self._lock = _NewLock()
        for route in routeHandlers or ():
            self.AddRoute(*route)
        self._AddDecorated()
        self._PlugIn()

    # -- routes ----------------------------------------------------------------

    @staticmethod
    def route(url, method="GET", threaded=False):
        """@MicroWebSrv.route('/path/<arg>', 'GET'): the handler serves this route on every server."""
        def decorated(handler):
            MicroWebSrv._docoratedRouteHandlers.append(_Route(url, method, handler, threaded))
            return handler
        return decorated

    @staticmethod
    def webSocketRoute(url):
        """@MicroWebSrv.webSocketRoute('/chat/<room>'): the accept callback of WebSockets at this path."""
        def decorated(callback):
            MicroWebSrv._webSocketRoutes.append(_Route(url, "GET", callback))
            return callback
        return decorated

    def AddRoute(self, url, method, handler, threaded=False):
        """Registers one more route; ValueError or TypeError says what is wrong with it."""
        self._router.Add(_Route(url, method, handler, threaded))
        self._lineMemo = {}                 # what its lines have found may be another one now

    def _AddDecorated(self):
        for route in MicroWebSrv._docoratedRouteHandlers[self._decorated:]:
            self._router.Add(route)
            self._decorated += 1
            self._lineMemo = {}

    def GetRouteHandler(self, resUrl, method):
        """-> (handler, routeArgs or None), or (None, None)."""
        self._AddDecorated()
        found = self._router.Find(method.upper(), resUrl)
        return (found[0].handler, found[1] or None) if found else (None, None)

    def _Find(self, line):
        """Always a route and its arguments: the path's, or the one that serves files."""
        found = line.found
        if found is None:
            found = self._router.Find(line.method, line.path, line.segments)
            if found is None and line.method == "HEAD":
                found = self._router.Find("GET", line.path, line.segments)
            found = line.found = found or self._static
        return found if found[1] is _NO_ARGS else (found[0], found[1].copy())

    def _Allowed(self, line, isFile=False):
        methods = self._router.Methods(line.path, line.segments)
        if isFile:
            methods.append("GET")
        if "GET" in methods:
            methods.append("HEAD")
        return sorted(set(methods + ["OPTIONS"])) if methods else []

    # -- configuration -----------------------------------------------------------

    @staticmethod
    def HTMLEscape(s):
        """& " ' > < as entities."""
        return _HTMLEscape(s)

    def SetNotFoundPageUrl(self, url=None):
        """Every path that is not found answers 302 to this URL; None: 404."""
        self._notFoundUrl = url

    def SetDefaultHeaders(self, headers=None):
        """Headers of every answer that has none of that name: a dict or a list of pairs; None: no more of them."""
        defaults = []
        for pair in _Pairs(headers):
            line, names = _FieldLines([pair])
            name = pair[0].lower()
            if not line or name == "content-type":
                raise ValueError("not a default, each answer has its own: %s" % pair[0])
            defaults.append((name.encode(), line))
        self._defaults = defaults

    def SetSmall(self):
        """All limits for a heap of 50 to 100 KB. Before Start; each may be set to something else afterwards."""
        for name, value in _SMALL:
            setattr(self, name, value)

    def GetMimeTypeFromFilename(self, filename):
        """'text/html' for 'a.HTML'; None for an unknown extension."""
        ext = _FileExt(filename)
        return self._mimeTypes.get(ext) or _MimeType(ext)

    def _PlugIn(self):
        """The optional files: absent means off, broken is loud. Now: at the first request the heap is in pieces."""
        for name in _OPTIONAL:
            full = (__name__.rpartition(".")[0] + "." + name).lstrip(".")
            try:
                __import__(full)
            except ImportError as error:
                if name in str(error):
                    continue
                raise
            sys.modules[full].Attach(self)
            _Widen(sys.modules[full].__dict__)
        _Widen(globals())

    # -- Start and Stop ----------------------------------------------------------

    def Start(self, threaded=True, stackSize=8192):
        """Serves in a new thread, or in this one until Stop(). OSError where the port can't be had."""
        if self.IsStarted():
            return
        self.Stop()                         # what still stops ends first
        if self._run:                       # but not in the middle of its own handler or task
            return self._StartThread(self.Start, (False,), stackSize)
        run = self._Open()
        if _InLoop() and not (threaded and _thread and not _MICROPYTHON):
            self._Adopt(run)
        elif not self._engine.Claim():      # MicroPython: another server's thread runs the one loop
            self._engine.CallSoon(self._Adopt, run)
            if not threaded:
                run.Join()
        elif not threaded or not self._StartThread(run.Go, (self,), stackSize):
            run.Go(self)
        elif _MICROPYTHON and not _BOARD:
            sys.atexit(self._engine.Join)   # a program that ends here goes on serving, as it does on CPython

    async def Serve(self):
        """Serves in the caller's asyncio loop until Stop()."""
        while self._run and self._run.stopping:
            await asyncio.sleep(0.05)
        if not self._run:
            await self._Joined(self._Open())

    def Stop(self):
        """From any thread or a handler: no new client; what is in flight has StopGraceSec to finish."""
        run = self._run
        if not run:
            return
        run.stopping = True
        engine = run.engine
        if engine.IsHere():
            run.BeginStop()
        elif engine.CallSoon(run.BeginStop) or not _InLoop():
            run.ended.acquire()
            run.ended.release()

    def IsStarted(self):
        return self._run is not None and not self._run.stopping

    def _Open(self):
        self._AddDecorated()
        if not _MICROPYTHON:
            self._engine = _Engine()
        size = self.BufferLen
        if _MICROPYTHON:
            size = min(size, max(2048, gc.mem_free() // 16))
        listener = self._listen(self._port, self._bindIP)
        self._buffer = memoryview(bytearray(size))
        self._run = _Run(self._engine, listener)
        return self._run

    def _Adopt(self, run):
        run.task = asyncio.get_event_loop().create_task(self._Joined(run))

    async def _Joined(self, run):
        try:
            await self._Serve(run)
        finally:
            self._Finished(run)

    async def _ServeAll(self, run):
        """Ends with the last server that shares this loop."""
        await self._Serve(run)
        if run.engine.users:
            self._Finished(run)
            while run.engine.users:
                await asyncio.sleep(0.05)

    def _Finished(self, run):
        """Once for each run: who waits in Stop() goes on, and Start() may be called again."""
        if self._run is run:
            self._run = None
            run.ended.release()

    async def _Serve(self, run):
        run.engine.Enter()
        run.stop = asyncio.Event()
        run.gone = asyncio.Event()              # set when a link has gone
        if run.stopping:
            run.stop.set()
        transport = self._transport(self)
        tick = asyncio.create_task(self._Tick())
        try:
            await transport.Open(run.listener)
            await run.stop.wait()
        finally:
            run.stopping = True
            await transport.Close()
            await self._Farewell(run)
            tick.cancel()
            run.served = True
            run.engine.Leave()

    async def _Farewell(self, run):
        self._Each("Stopping")
        until = self.now + self.StopGraceSec
        while self._links and self.now < until:
            await self._SomebodyGoes(run)
        for link in list(self._links):
            link.Abort()
        for _ in range(10):
            if self._links:
                await asyncio.sleep(0)

    async def _SomebodyGoes(self, run):
        """Waits until a link is closed, a second at most."""
        run.gone.clear()
        try:
            await asyncio.wait_for(run.gone.wait(), 1)
        except asyncio.TimeoutError:
            pass

    def _Each(self, name, now=None):
        """Calls all endpoints, or those whose deadline is before now."""
        for link in list(self._links):
            deadline = link.endpoint.deadline
            if now is None or deadline is not None and deadline < now:
                try:
                    getattr(link.endpoint, name)()
                except Exception as error:
                    self._LogError(name, error)

    async def _Tick(self):
        """The one timer: a coarse clock for all deadlines, and the Date."""
        while True:
            await asyncio.sleep(1)
            self.now += 1
            try:
                self._prefixes.clear()
                self._held.clear()
                self._Each("Expired", self.now)
            except Exception as error:          # no memory now; the next second may have some
                self._LogError("the clock", error)

    # -- what the rooms above ask of it ------------------------------------------

    def _Prefix(self, code, contentType, contentCharset):
        """The first lines of a response head: kept until the next second, when the Date changes."""
        key = (code, contentType, contentCharset)
        prefix = self._prefixes.get(key)
        if prefix is None:
            when = time.gmtime()
            prefix = "HTTP/1.1 %d %s\r\n" % (code, _Reason(code))
            if when[0] > 2023:                  # a board without a clock says nothing (RFC 9110 section 6.6.1)
                prefix += "Date: %s\r\n" % _HttpDate(when)
            if contentType:
                prefix += _ContentTypeLine(contentType, contentCharset)
            prefix = prefix.encode()
            if len(self._prefixes) > 16:
                self._prefixes.clear()
            self._prefixes[key] = prefix
        return prefix

    def _Holds(self, path):
        """webPath's own check for links that lead out of it, asked once a second for each path."""
        held = self._held.get(path)
        if held is None:
            if len(self._held) > 32:
                self._held.clear()
            holds = getattr(self._source, "Holds", None)
            held = self._held[path] = not holds or holds(path)
        return held

    def _SendFile(self, response, filepath, contentType, headers):
        contentType = contentType or self.GetMimeTypeFromFilename(filepath) or "application/octet-stream"
        return _SendFile(response, _FOLDER, filepath, contentType, headers)

    def _KeepsAlive(self):
        """An idle connection may not hold the last slot."""
        return len(self._links) < self.MaxConnections and not (self._run and self._run.stopping)

    def _Admit(self, link):
        """A new link; False where there is no room and nobody idle: the client is told so."""
        if len(self._links) >= self.MaxConnections and not self._Evict():
            return False
        link.endpoint = _Session(self, link)
        self._links.add(link)
        return True

    def _Evict(self):
        """The connection that has been idle for longest makes room."""
        oldest = None
        for link in self._links:
            if link.endpoint.IsIdle() and (oldest is None or link.endpoint.deadline < oldest.endpoint.deadline):
                oldest = link
        if oldest:
            oldest.Abort()
            self._Gone(oldest)
        return oldest is not None

    def _Gone(self, link):
        """The link is closed, for whatever reason."""
        if link in self._links:
            self._links.discard(link)
            try:
                link.endpoint.Lost()
            except Exception as error:
                self._LogError("Lost", error)
            if self._run:
                self._run.gone.set()

    def _LogError(self, text, error=None):
        try:
            (self.ErrorCallback or _PrintError)(text, error)
        except Exception as failure:
            _PrintError("ErrorCallback", failure)

    def _OnEngine(self):
        return self._engine.IsHere()

    def _CallSoon(self, func, *args):
        return self._engine.CallSoon(func, *args)

    def _Spawn(self, coroutine):
        task = asyncio.create_task(coroutine)
        if not _MICROPYTHON:                    # asyncio alone would let it be collected
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return task

    def _StartThread(self, func, args, stackSize):
        """False where no thread can be started."""
        if not _thread:
            return False
        try:
            if _BOARD and stackSize:
                _thread.stack_size(stackSize)
            if _MICROPYTHON:
                _thread.start_new_thread(func, args)
            else:
                import threading
                threading.Thread(target=func, args=args).start()
        except (OSError, RuntimeError, MemoryError) as error:
            self._LogError("no thread could be started", error)
            return False
        return True

    def _Work(self, func, *args):
        """Queues a job for the worker threads; False where there are none."""
        if not _thread:
            return False
        with self._lock:
            self._jobs.append((func, args))
            starts = self._workers < self.MaxWorkers
            self._workers += starts
        if not starts or self._StartThread(self._Worker, (), 8192):
            return True
        with self._lock:
            self._workers -= 1
            alone = not self._workers and bool(self._jobs)
            if alone:
                self._jobs.pop()
        return not alone

    def _Worker(self):
        while True:
            with self._lock:
                job = self._jobs.pop(0) if self._jobs else None
                if not job:
                    self._workers -= 1
                    return
            job[0](*job[1])


_SMALL = (
    ("MaxRequestLineLen", 512), ("MaxRequestHeadLen", 2048), ("MaxRequestContentLen", 4096), ("MaxConnections", 4),
    ("MaxWorkers", 1), ("MaxSendQueueLen", 2048), ("KeepAliveTimeoutSec", 3), ("BufferLen", 1024), ("_memoLen", 2),
    ("MaxWebSocketSendQueueLen", 2048), ("MaxWebSocketRecvLen", 1024), ("WebSocketThreaded", False))

_OPTIONAL = ("microWebSocket", "microWebDeflate", "microWebTemplate", "microWebEvents",
             "microWebLoop")[:4 if _MICROPYTHON else 5]         # the last one is for CPython only


def _InLoop():
    """True inside a running asyncio loop."""
    if _MICROPYTHON:
        return getattr(asyncio.core, "cur_task", None) and _engine.ident in (None, _thread and _thread.get_ident() or 1)
    try:
        asyncio.get_running_loop()
        return True
    except RuntimeError:
        return False


# ==============================================================================
# 11  TRANSPORT
# ==============================================================================
# Sockets on asyncio, the same on both runtimes: non-blocking sockets, one task for each connection that reads, one more
# while a client is slow to drain. All of it runs on the engine.

_BACKLOG = 16 if _BOARD else 511


def _Listen(port, bindIP):
    address = socket.getaddrinfo(bindIP or "0.0.0.0", port, 0, socket.SOCK_STREAM)[0]
    listener = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address[-1])
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _IsWritable(sock, timeoutSec):
    if not hasattr(select, "poll"):             # Windows; elsewhere select() knows no socket above number 1023
        return bool(select.select((), (sock,), (), timeoutSec)[1])
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(timeoutSec * 1000))


if _MICROPYTHON:
    def _Knock(listener):
        yield asyncio.core._io_queue.queue_read(listener)

    def _Recv(sock, buffer, isNew):
        if not isNew:                           # who has just connected has spoken as well, most times
            yield asyncio.core._io_queue.queue_read(sock)
        size = sock.readinto(buffer)
        while size is None:
            yield asyncio.core._io_queue.queue_read(sock)
            size = sock.readinto(buffer)
        return bytes(buffer[:size])

    def _Writable(sock):
        yield asyncio.core._io_queue.queue_write(sock)

    def _TrySend(sock, data):
        return sock.write(data) or 0

    class _Wake:
        """A ThreadSafeFlag for the unix port, where that one would be polled a thousand times a second and with
        every request: a datagram to ourselves."""

        def __init__(self):
            self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sock.setblocking(False)
            for _ in range(50):                 # there is no getsockname() to ask for a port that the system chose
                port = 49152 + int.from_bytes(os.urandom(2), "little") % 16384
                self._address = socket.getaddrinfo("127.0.0.1", port)[0][-1]
                try:
                    self._sock.bind(self._address)
                    break
                except OSError:
                    pass
            else:
                raise OSError("no local port is free")

        def set(self):
            self._sock.sendto(b"!", self._address)

        def wait(self):
            yield asyncio.core._io_queue.queue_read(self._sock)
            self._sock.recv(64)

        def close(self):
            self._sock.close()
else:
    async def _Knock(listener):
        # Not sock_accept(): cancelled at the wrong moment, it loses the socket that it has accepted.
        loop = asyncio.get_running_loop()
        await _Ready(loop.add_reader, loop.remove_reader, listener.fileno())

    def _Recv(sock, buffer, isNew):
        return asyncio.get_running_loop().sock_recv(sock, len(buffer))

    async def _Writable(sock):
        loop = asyncio.get_running_loop()
        await _Ready(loop.add_writer, loop.remove_writer, sock.fileno())

    async def _Ready(add, remove, number):
        ready = asyncio.Event()
        add(number, ready.set)
        try:
            await ready.wait()
        finally:
            remove(number)

    def _TrySend(sock, data):
        try:
            return sock.send(data)
        except BlockingIOError:
            return 0


class _Link:
    """One socket, as an endpoint sees it."""

    endpoint = None
    _out = None             # what the socket did not take yet
    _closing = False
    _drains = None          # the task that does
    _resumed = None         # an Event while reading is paused

    def __init__(self, server, sock, address):
        self._server = server
        self._sock = sock
        self._address = address
        self._dead = None       # before the task's first step; set here, as a new name later may find no memory

    def GetAddr(self):
        address = self._address
        if isinstance(address, tuple):
            return address[:2]
        address = socket.sockaddr(address)      # the unix port of MicroPython hands out a packed one
        return socket.inet_ntop(address[0], address[1]), address[2]

    def Backlog(self):
        return len(self._out) if self._out else 0

    def Send(self, data):
        if self._dead:
            return
        if self._out:
            self._out += data
            return
        try:
            size = _TrySend(self._sock, data)
            if size < len(data):
                self._out = bytearray(data[size:])
                if not self._drains:
                    self._drains = asyncio.create_task(self._Drain())
        except Exception as error:
            self.Abort()
            if isinstance(error, MemoryError):  # half of it went: nothing may follow
                raise

    def Settle(self, most, timeoutSec):
        """Blocks until at most so many bytes wait; False where the client does not drain."""
        while self.Backlog() > most and not self._dead:
            if not _IsWritable(self._sock, timeoutSec):
                return False
            self._Flush()
        return not self._dead

    def _Flush(self):
        try:
            self._out[:_TrySend(self._sock, self._out)] = b""   # in place: a copy may find no memory
            self._out = self._out or None
        except Exception as error:
            self.Abort()
            if isinstance(error, MemoryError):  # perhaps it has gone: it must not go twice
                raise

    def Close(self):
        self._closing = True
        if not self._out:
            self.Abort()

    async def _Drain(self):
        """Lives while something waits; the endpoint may send more when it is told."""
        try:
            while self._out and not self._dead:
                await _Writable(self._sock)
                if self._out:
                    self._Flush()
                if not self._out and not self._dead:
                    self.endpoint.Drained()
        except Exception as error:
            self._drains = None
            if not isinstance(error, OSError):
                self._server._LogError("a connection failed", error)
            return self.Abort()
        self._drains = None
        if self._closing:
            self.Abort()

    def Pause(self):
        if not self._resumed:
            self._resumed = asyncio.Event()

    def Resume(self):
        resumed, self._resumed = self._resumed, None
        if resumed:
            resumed.set()

    def Finish(self):
        """The last answer was sent: what still comes is read until the client closes, or the deadline."""
        if hasattr(self._sock, "shutdown"):
            self._sock.shutdown(socket.SHUT_WR)

    def Abort(self):
        if not self._dead:
            if self._task is not _CurrentTask():
                self._task.cancel()             # without memory it raises, and the clock comes back
                if self._dead is None:          # a task that is cancelled before its first step takes none
                    return self.Kill()
            self._dead = True

    def Kill(self):
        """Without the loop, which does not run any more."""
        self._dead = True
        self._sock.close()
        self._server._Gone(self)

    def Open(self):
        self._task = asyncio.create_task(self._Run())

    async def _Run(self):
        self._dead = False
        isNew = True
        server = self._server
        try:
            while not self._dead:
                while self._resumed:
                    await self._resumed.wait()
                data = await _Recv(self._sock, server._buffer, isNew)
                isNew = False
                if data:
                    self.endpoint.Received(data)
                elif self.endpoint.Ended():
                    await asyncio.Event().wait()        # until the last answer is sent and Abort() ends this task
                else:
                    break
        except OSError:
            pass
        except asyncio.CancelledError:
            pass
        except Exception as error:
            server._LogError("a connection failed", error)
        self._dead = True
        drains = self._drains
        if drains:                              # it must let go of the socket before the number goes to another
            drains.cancel()
            try:
                await drains
            except asyncio.CancelledError:
                pass
        self._sock.close()
        server._Gone(self)


_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class _Transport:
    """Accepts on the listener until it is closed. Nothing that accept() raises ends it."""

    def __init__(self, server):
        self._server = server

    async def Open(self, listener):
        self._listener = listener
        self._task = asyncio.create_task(self._AcceptAll())

    async def Close(self):
        self._task.cancel()
        try:
            await self._task                    # it lets go of the listener before that is closed
        except asyncio.CancelledError:
            pass
        self._listener.close()

    async def _AcceptAll(self):
        server = self._server
        failures = 0
        while True:
            try:
                if failures:
                    server._Evict()             # too many open files: fewer connections
                if failures > 5:                # the network has gone and the listener with it
                    self._listener.close()
                    self._listener = _Listen(server._port, server._bindIP)
                await _Knock(self._listener)
                if len(server._links) >= server.MaxConnections:
                    await self._Room()          # only now: nobody has to go before somebody comes
                sock, address = self._listener.accept()
                failures = 0
                self._Welcome(sock, address)
            except Exception as error:
                failures += 1
                if failures == 1:
                    server._LogError("accept", error)
                await asyncio.sleep(failures > 1)       # whole seconds take no memory

    async def _Room(self):
        """Clients wait in the backlog while every slot is busy with something that ends soon."""
        server = self._server
        while len(server._links) >= server.MaxConnections and not server._Evict():
            ends = [link.endpoint for link in server._links if link.endpoint.deadline is not None]
            if not [endpoint for endpoint in ends if isinstance(endpoint, _Session)]:
                return                          # sockets and streams for ever: the next client gets a 503
            await server._SomebodyGoes(server._run)

    def _Welcome(self, sock, address):
        sock.setblocking(False)
        try:
            sock.setsockopt(6, 1, 1)            # IPPROTO_TCP, TCP_NODELAY
        except (OSError, AttributeError):
            pass
        link = _Link(self._server, sock, address)
        try:
            if self._server._Admit(link):
                return link.Open()
            _TrySend(sock, _BUSY)
        except MemoryError:
            link.Kill()
            raise
        sock.close()


MicroWebSrv._transport = _Transport
MicroWebSrv._listen = staticmethod(_Listen)
_Engine.wake = _Wake if _MICROPYTHON and not _BOARD else getattr(asyncio, "ThreadSafeFlag", None)
