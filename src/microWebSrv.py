# MicroWebSrv: a micro HTTP server with routes, for MicroPython and CPython.
# Copy this one file; microWebSocket.py and microWebTemplate.py beside it add WebSockets and .pyhtml pages.
# MIT license, see LICENSE.
#
# Made from the rooms in core/ by tools/amalgamate.py: change those, not this file.

import gc
import json
import os
import re
import select
import socket
import sys
import time


# ==============================================================================
# TEXT (core/text.py)
# ==============================================================================
# Text to text, bytes to text. Nothing here knows what a request is.
# Broken input is an error (strict), or it is kept as it came: nothing is lost silently.

__version__ = "2.0.0"

MICROPYTHON = sys.implementation.name == "micropython"
BOARD = MICROPYTHON and sys.platform not in ("linux", "darwin", "win32", "webassembly")

if MICROPYTHON:
    from micropython import const
else:
    def const(value):
        return value

_DAYS = const("MonTueWedThuFriSatSun")
_MONTHS = const("JanFebMarAprMayJunJulAugSepOctNovDec")

# One string costs a board a third of a dict; MicroWebSrv._mimeTypes takes what a program adds. `image/ jpg=jpeg png`
# are image/jpeg and image/png. What another extension begins with stands before that.
_MIME_TYPES = (
    " text/ htm=html html css csv txt=plain log=plain md=markdown image/ jpg=jpeg jpeg png gif svg=svg+xml webp"
    " ico=x-icon font/ woff woff2 ttf otf audio/ mp3=mpeg wav video/ mp4 ts=mp2t application/ js=javascript json xml"
    " mjs=javascript xhtml=xhtml+xml webmanifest=manifest+json zip gz=gzip pdf bin=octet-stream ")
if not BOARD:
    _MIME_TYPES = (
        " application/ map=json wasm m3u8=vnd.apple.mpegurl image/ avif bmp audio/ ogg m4a=mp4 video/ webm"
        + _MIME_TYPES)


def MimeType(filename):
    """The media type that an extension stands for, in any case; None for one that is unknown."""
    _, dot, ext = filename.lower().rpartition(".")
    start = _MIME_TYPES.find(" " + ext)
    end = start + 1 + len(ext)
    if not dot or start < 0 or " " in ext or "=" in ext or _MIME_TYPES[end] not in " =":
        return None
    kind = _MIME_TYPES[:start].rpartition("/")[0].rpartition(" ")[2]
    if _MIME_TYPES[end] == "=":
        ext = _MIME_TYPES[end + 1:_MIME_TYPES.find(" ", end)]
    return kind + "/" + ext


def HTMLEscape(s):
    """& " ' > < as entities."""
    for char, entity in (("&", "&amp;"), ('"', "&quot;"), ("'", "&apos;"), (">", "&gt;"), ("<", "&lt;")):
        s = s.replace(char, entity)
    return s


# MicroPython's decoder knows the shape of a character, but lets these pass: overlong, a surrogate, above U+10FFFF.
# (Not raw strings: MicroPython's re knows no \x escape.)
_NOT_UTF8 = re.compile(b"[\xc0\xc1\xf5-\xff]|\xe0[\x80-\x9f]|\xed[\xa0-\xbf]|\xf0[\x80-\x8f]|\xf4[\x90-\xbf]")
NOT_HEX = re.compile(b"[^0-9A-Fa-f]")


def Utf8(data, strict=False):
    """bytes -> str (RFC 3629); an invalid byte becomes U+FFFD, or is a ValueError if strict; None: it is Latin-1."""
    try:
        text = data.decode()
        if not MICROPYTHON or len(text) == len(data) or not _NOT_UTF8.search(data):
            return text
    except UnicodeError:
        pass
    if strict:
        raise ValueError
    return "".join([chr(byte) if byte < 128 or strict is None else "\ufffd" for byte in data])


def PercentDecode(data, strict=False):
    """Bytes -> text, %XX decoded (RFC 3986 section 2.1). strict: ValueError for a broken one, else it stays."""
    if b"%" in data:
        decoded = bytearray()                   # no list of parts: they would take 32 times the memory of the text
        start = 0
        at = data.find(b"%")
        while at >= 0:
            decoded += data[start:at]
            pair = data[at + 1:at + 3]
            start = at + 3
            if len(pair) < 2 or NOT_HEX.search(pair):
                if strict:
                    raise ValueError
                pair = b"25"
                start = at + 1
            decoded.append(int(pair, 16))
            at = data.find(b"%", start)
        data = bytes(decoded + data[start:])
    return Utf8(data, strict)


def HttpDate(when):
    """A gmtime tuple -> 'Sun, 06 Nov 1994 08:49:37 GMT' (RFC 9110 section 5.6.7)."""
    day = 3 * when[6]
    month = 3 * when[1]
    return "%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[day:day + 3], when[2], _MONTHS[month - 3:month], when[0], when[3], when[4], when[5])


# ==============================================================================
# MESSAGES (core/messages.py)
# ==============================================================================
# What the head of a request is (RFC 9112 section 3), and the one error: who breaks a rule of HTTP raises HttpError
# where the rule stands, and the connection alone turns it into an answer.

_REASONS = (
    "\n200 OK\n201 Created\n204 No Content\n206 Partial Content"
    "\n301 Moved Permanently\n302 Found\n303 See Other\n304 Not Modified\n307 Temporary Redirect"
    "\n400 Bad Request\n401 Unauthorized\n403 Forbidden\n404 Not Found\n405 Method Not Allowed"
    "\n408 Request Timeout\n409 Conflict\n412 Precondition Failed\n413 Content Too Large\n414 URI Too Long"
    "\n416 Range Not Satisfiable\n429 Too Many Requests\n431 Request Header Fields Too Large"
    "\n500 Internal Server Error\n501 Not Implemented\n503 Service Unavailable\n")
if not BOARD:                   # the rest of them: a board says `Status`
    _REASONS += (
        "100 Continue\n101 Switching Protocols\n202 Accepted\n203 Non-Authoritative Information\n205 Reset Content"
        "\n300 Multiple Choices\n308 Permanent Redirect\n402 Payment Required\n406 Not Acceptable\n410 Gone"
        "\n411 Length Required\n415 Unsupported Media Type\n417 Expectation Failed\n418 I'm a teapot"
        "\n421 Misdirected Request\n422 Unprocessable Content\n423 Locked\n426 Upgrade Required"
        "\n428 Precondition Required\n502 Bad Gateway\n504 Gateway Timeout\n505 HTTP Version Not Supported"
        "\n507 Insufficient Storage\n")


def Reason(code):
    """The reason phrase of a status code (RFC 9110 section 15)."""
    if not isinstance(code, int) or not 99 < code < 1000:
        raise ValueError("code must be a number from 100 to 999, not %r" % (code,))
    start = _REASONS.find("\n%d " % code)
    return _REASONS[start + 5:_REASONS.find("\n", start + 5)] if start >= 0 else "Status"


class HttpError(Exception):
    """HttpError(status, rule): the client's message breaks the rule; answer with `status`, then close."""


class Head:
    """One request head. Equal requests share it, so nobody changes it; `found` alone is the router's to fill.

    path: percent-decoded, slashes merged. key: the same with NUL in the place of an encoded slash, which separates
    nothing (RFC 3986 section 2.2): the one form that routes, hooks and files compare."""

    method = "GET"
    target = path = key = rawPath = query = ""
    minor = 1                   # of HTTP/1.x
    authority = ""              # of an absolute-form target, else the Host
    contentLength = None
    isChunked = expect = False
    keepAlive = False           # the client may go on after the answer (RFC 9112 section 9.3)
    upgrade = ()                # protocols, in lower case
    found = None                # (route, args) until a route is added
    if not BOARD:
        file = (None,)          # of a path without one: (second, path, media type) of what was found (files)
    fields = {}                 # lower-case names


class Fields(dict):
    """A copy of the field section for a program: lower-case names, looked up in any case."""

    def get(self, name, default=None):
        return super().get(name.lower(), default)

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return self.get(name) is not None


# ==============================================================================
# READERS (core/readers.py)
# ==============================================================================
# Bytes to a Head or to content, or an HttpError; no connection is known here. Every rule of RFC 9112 about a malformed
# or ambiguous message answers 400: one request must never be read as two.

# Searches for the first forbidden byte: C speed, no recursion, no allocation.
_NOT_TARGET = re.compile(b"[^!-\"$-~\x80-\xff]")
NOT_TOKEN = re.compile(b"[^!#$%&'*+.^_`|~0-9A-Za-z\\-]")
NOT_VALUE = re.compile(b"[^\t -~\x80-\xff]")
_NOT_HOST = re.compile("[^0-9A-Za-z._~!$&'()*+;=%\\-]")

_FIELDS_MAX = const(100)          # Apache: LimitRequestFields 100
_LINE_MAX = const(4096)           # of a chunk's size and extensions, or of all trailers; Apache: 8190
_PAIRS_MAX = const(1000)          # PHP: max_input_vars 1000; MicroPython's dict has 16 bits of a hash


def Options(text):
    """'Close, TE' -> ['close', 'te'], a hundred at most. Beyond ASCII is no option: lower() would make one of it."""
    if len(text.encode()) != len(text):
        return ["?"]
    options = []
    for option in text.lower().split(",", 100):
        options.append(option.strip(" \t"))
    return options


def ParseHead(raw, lineMax=8192):
    """The bytes of a head without its last two CRLFs -> Head (RFC 9112 sections 2 to 6)."""
    lines = raw.split(b"\r\n")
    if len(lines[0]) > lineMax:
        raise HttpError(414, "request line too long")
    if len(lines) > _FIELDS_MAX + 1:
        raise HttpError(431, "too many header fields")
    head = Head()
    parts = lines[0].split(b" ")                # RFC 9112 section 3
    if len(parts) != 3 or not parts[0] or not parts[1] or NOT_TOKEN.search(parts[0]):
        raise HttpError(400, "malformed request line")
    head.method = parts[0].decode()
    _ReadTarget(head, parts[1], parts[2])
    fields = head.fields = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        # A line break that is not CRLF, obs-fold and a space before the colon end here (sections 2.2, 5.1 and 5.2).
        if not colon or not name or NOT_TOKEN.search(name) or NOT_VALUE.search(value):
            raise HttpError(400, "malformed header field")
        name = name.decode().lower()
        value = Utf8(value.strip(b" \t"), None)     # RFC 9110 section 5.5: obs-text is opaque
        if name in fields:                      # RFC 9110 section 5.3; cookies: RFC 6265 section 5.4
            value = fields[name] + ("; " if name == "cookie" else ", ") + value
        fields[name] = value
    _ReadFraming(head)
    return head


if not BOARD:
    def MakeHead(method, target, pairs, version=b"HTTP/1.1"):
        """The same of a request that a server in front has read: the target as bytes, and the fields' pairs of bytes,
        whose names are in lower case."""
        head = Head()
        head.method = method
        _ReadTarget(head, target, version)
        fields = head.fields = {}
        for key, value in pairs:
            name = key.decode()
            value = Utf8(value, None)
            if name in fields:
                value = fields[name] + ("; " if name == "cookie" else ", ") + value
            fields[name] = value
        _ReadFraming(head)
        return head


def _ReadTarget(head, target, version):
    """RFC 9112 sections 2.3 and 3.2."""
    if _NOT_TARGET.search(target):
        raise HttpError(400, "malformed request line")
    if version != b"HTTP/1.1":
        if len(version) != 8 or version[:5] != b"HTTP/" or version[6] != 46 \
                or not (version[5:6] + version[7:]).isdigit():
            raise HttpError(400, "malformed HTTP version")
        if version[5] != 49:
            raise HttpError(505, "only HTTP/1.x is spoken here")
        head.minor = int(version[7:] > b"0")    # a higher one is spoken to as 1.1 (RFC 9110 section 2.5)
    head.target = Utf8(target)
    if target[:1] != b"/":
        target = _ReadForm(head, target)
    path, _, query = target.partition(b"?")
    head.rawPath = Utf8(path)
    head.query = Utf8(query)
    # The one normal form of a path: decoded, an encoded slash kept apart, slashes merged.
    try:
        while b"//" in path:
            path = path.replace(b"//", b"/")
        if b"%00" in path:                      # it would end a file name; nginx: 400
            raise ValueError
        path = path.replace(b"%2f", b"%00").replace(b"%2F", b"%00")
        head.key = PercentDecode(path, True)
        head.path = head.key.replace("\x00", "/")
    except ValueError:
        raise HttpError(400, "malformed percent-encoding or UTF-8 in the path")


def _ReadForm(head, target):
    """The other forms of a target than a path (RFC 9112 section 3.2) -> its path and query."""
    if target == b"*":
        if head.method != "OPTIONS":
            raise HttpError(400, "only OPTIONS may ask for *")
        return target
    scheme, colon, rest = target.partition(b"://")
    if head.method == "CONNECT" and not colon:
        authority = target
        target = b""
    else:
        if scheme.lower() not in (b"http", b"https"):
            raise HttpError(400, "malformed request target")
        authority = rest.replace(b"?", b"/").partition(b"/")[0]
        target = rest[len(authority):]
        if target[:1] != b"/":
            target = b"/" + target
        if not authority:                       # RFC 9110 section 4.2.1
            raise HttpError(400, "a URI without a host")
    head.authority = Utf8(authority)
    CheckHost(head.authority)
    return target


def CheckAllowed(authority, hosts):
    """The host that was asked for is an address, or one of these names (RFC 9110 section 7.4). A page of somebody else
    whose name leads to us, by DNS rebinding, has another name."""
    name = authority and CheckHost(authority)
    if isinstance(hosts, str):
        hosts = (hosts,)
    if name[:1] != "[" and not name.replace(".", "").encode().isdigit() \
            and name.lower().rstrip(".") not in map(str.lower, hosts):
        raise HttpError(421, "not one of AllowedHosts: %s" % name)


def CheckHost(host):
    """RFC 9112 section 3.2 and RFC 3986 section 3.2.2, as far as it can do harm: no user, no path, one port.
    -> the host without its port."""
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:
        name = host
        port = ""
    if name[:1] == "[" and ":" in name and name[-1] == "]":     # an IPv6 address
        bad = NOT_HEX.search(name[1:-1].replace(":", "").replace(".", "").encode())
    else:
        bad = _NOT_HOST.search(name)
    if not name or bad or port and not port.encode().isdigit():
        raise HttpError(400, "malformed Host")
    return name


def _ReadFraming(head):
    """What the fields say about the message itself (RFC 9112 sections 3.2, 6 and 9)."""
    fields = head.fields
    host = fields.get("host")
    if host:
        CheckHost(host)                         # a repeated Host was joined with ", ": no host has a space
    elif host is None and head.minor:
        raise HttpError(400, "missing Host")
    if not head.authority:                      # section 3.2.2: the target's authority is the one that counts
        head.authority = host or ""
    length = fields.get("content-length")
    if length is not None:
        if not length.encode().isdigit():
            raise HttpError(400, "malformed or repeated Content-Length")
        if len(length) > 18:
            raise HttpError(413, "Content-Length beyond all bounds")
        head.contentLength = int(length)
    codings = fields.get("transfer-encoding")
    if codings is not None:
        # Sections 6.1 and 6.3: chunked, last, once, and never beside a Content-Length or in HTTP/1.0.
        names = Options(codings)
        if names != ["chunked"] or length is not None or not head.minor:
            isUnknown = length is None and head.minor and "chunked" not in names[:-1] \
                and set(names).difference(("", "chunked"))
            raise HttpError(501 if isUnknown else 400, "faulty Transfer-Encoding")
        head.isChunked = True
    options = Options(fields.get("connection", ""))
    head.keepAlive = "close" not in options and (head.minor > 0 or "keep-alive" in options)
    if "upgrade" in options and head.minor:
        head.upgrade = Options(fields.get("upgrade", ""))
    expect = fields.get("expect")
    if expect and head.minor:
        if Options(expect) != ["100-continue"]:
            raise HttpError(417, "unknown expectation")
        head.expect = True


_SIZE = const(0)
_DATA = const(1)
_CHUNK_END = const(2)
_TRAILER = const(3)


class ContentReader:
    """The content of a request: of a known length (RFC 9112 section 6.2), or chunked if that is None (section 7.1).

    Extensions and trailers are checked for their bytes and dropped."""

    isDone = False

    def __init__(self, length):
        self.left = length or 0                 # bytes to come: of the content, or of the chunk
        self._isChunked = length is None
        self._phase = _SIZE if length is None else _DATA
        self._trailerLen = 0

    def IsShort(self, most):
        """What is to come is known, and not much."""
        return not self._isChunked and self.left <= most

    def Read(self, data):
        """Bytes that arrived -> (content, bytes that were not read)."""
        if not self._isChunked:
            piece = data[:min(self.left, len(data))]
            self.left -= len(piece)
            self.isDone = not self.left
            return piece, data[len(piece):]
        content = bytearray()                   # of many small chunks: kept apart each would cost 64 bytes of heap
        pos = 0
        while not self.isDone:
            if self._phase == _DATA:
                size = min(self.left, len(data) - pos)
                content += data[pos:pos + size]
                pos += size
                self.left -= size
                if self.left:
                    break
                self._phase = _CHUNK_END
            end = data.find(b"\r\n", pos)
            if end < 0:
                if len(data) - pos > _LINE_MAX:
                    raise HttpError(400, "chunk or trailer line too long")
                if self._phase == _CHUNK_END and len(data) - pos > 1:
                    raise HttpError(400, "a chunk does not end where it said")
                break
            self._Line(data[pos:end])
            pos = end + 2
        return bytes(content), data[pos:]

    def _Line(self, line):
        if len(line) > _LINE_MAX or NOT_VALUE.search(line):
            raise HttpError(400, "malformed chunk or trailer")
        if self._phase == _SIZE:
            size, semicolon, _ = line.partition(b";")
            if semicolon:
                size = size.rstrip(b" \t")      # section 7.1.1: BWS before an extension
            if not size or len(size.lstrip(b"0")) > 15 or NOT_HEX.search(size):
                raise HttpError(400, "malformed chunk size")
            self.left = int(size, 16)
            self._phase = _DATA if self.left else _TRAILER
        elif self._phase == _CHUNK_END:
            if line:
                raise HttpError(400, "a chunk does not end where it said")
            self._phase = _SIZE
        elif line:
            name, colon, _ = line.partition(b":")
            self._trailerLen += len(line)
            if not colon or not name or NOT_TOKEN.search(name) or self._trailerLen > _LINE_MAX:
                raise HttpError(400, "malformed or endless trailers")
        else:
            self.isDone = True


def ParseForm(data, contentType="", form=dict):
    """The content of a form -> form(), a dict; of a name the last value counts. Urlencoded, b'a=1&b=x+y'; or
    multipart/form-data (RFC 7578): its text fields, files left out."""
    kind = contentType.lower()
    at = kind.find("boundary=")
    boundary = b""                              # 70 characters at most (RFC 2046 section 5.1.1)
    if at > 0 and kind.startswith("multipart/"):
        boundary = contentType[at + 9:].partition(";")[0].strip('" \t')[:70].encode()
    if boundary:
        mark = b"\r\n--" + boundary
        data = b"\r\n" + data
    else:
        mark = b"&"
        data = data.replace(b"+", b" ")
    if data.count(mark) >= _PAIRS_MAX:
        raise HttpError(400, "a form with more than 1000 fields")
    fields = form()                             # bytes: MicroPython compares each new str with all names it knows
    for part in data.split(mark):
        if not boundary:
            name, _, value = part.partition(b"=")
            if part:
                fields[PercentDecode(name)] = PercentDecode(value)
            continue
        head, blank, value = part.partition(b"\r\n\r\n")
        name = head.partition(b"name=")[2]
        if blank and name and b"filename=" not in head and b"filename*=" not in head:
            isQuoted = name[:1] == b'"'
            name = name.replace(b"\r", b";").split(b'"' if isQuoted else b";")[isQuoted]
            fields[Utf8(name)] = Utf8(value)
    return fields


# ==============================================================================
# WRITERS (core/writers.py)
# ==============================================================================
# Data to bytes: the mirror of the readers. What a program passes is checked here, so that no value can end a line and
# begin another (response splitting): ValueError.

UNRESERVED = const("-._~")         # beside letters and digits (RFC 3986 section 2.3)
MARKS = const("-._~!#$&'()*+,:;<=>?@[]^`{|}")


def CheckText(name, value, bad=None):
    """An argument of this name that has to be a str or a path object, without what `bad` finds: NOT_VALUE, what would
    end a line; NOT_TOKEN, which also refuses ''. ValueError."""
    if not BOARD and hasattr(value, "__fspath__"):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("%s must be str, not %r" % (name, value))
    if bad and (bad.search(value.encode()) or bad is NOT_TOKEN and not value):
        raise ValueError("%s must be without control characters, and a name without spaces: %r" % (name, value))
    return value


def Pairs(headers, name="headers"):
    """A dict, a list of pairs or None -> a list of pairs of its own; ValueError for anything else."""
    pairs = []
    try:
        for key, value in headers.items() if hasattr(headers, "items") else headers or ():
            pairs.append((key, value))
    except (TypeError, ValueError):
        raise ValueError("%s must be a dict or a list of pairs; content is another argument: %r" % (name, headers))
    return pairs


def FieldLines(headers, more=()):
    """A dict or a list of pairs -> (bytes of the field lines, {lower-case name: value}). The framing is ours alone:
    Content-Length, Transfer-Encoding and Date are left out; Connection is reported by its value. more: pairs for names
    that headers has not. Of one name the last counts, unless they add up, and None is none."""
    lines = ""
    names = {}
    pairs = list(more) + Pairs(headers)
    at = len(pairs)
    while at:
        at -= 1
        name, value = pairs[at]
        lower = CheckText("header", name, NOT_TOKEN).lower()
        isMore = at < len(more)
        if isMore and lower in names and lower not in ("set-cookie", "vary"):
            continue
        names.setdefault(lower, CheckText(name, str(value), NOT_VALUE))
        if (value is not None or not isMore) and lower not in (
                "content-length", "transfer-encoding", "connection", "date"):
            lines = "%s: %s\r\n%s" % (name, value, lines)
    return lines.encode(), names


def HeadStart(code, contentType, contentCharset, when):
    """The first lines of a response head; when: gmtime now."""
    head = "HTTP/1.1 %d %s\r\n" % (code, Reason(code))
    if when[0] > 2023:                          # a board without a clock says nothing (RFC 9110 section 6.6.1)
        head += "Date: %s\r\n" % HttpDate(when)
    if contentType:
        if contentCharset:
            contentType = "%s; charset=%s" % (contentType, contentCharset)
        head += "Content-Type: %s\r\n" % CheckText("contentType", contentType, NOT_VALUE)
    return head.encode()


def Encode(text, charset):
    """Text -> (bytes, the charset that they are in). MicroPython has UTF-8 and, here, Latin-1."""
    if charset and charset != "UTF-8":
        CheckText("contentCharset", charset)
        if not MICROPYTHON:
            try:
                return text.encode(charset, "replace"), charset
            except LookupError:
                charset = "UTF-8"
        elif charset.lower() in ("iso-8859-1", "latin-1", "latin1"):
            data = bytearray()
            for char in text:
                data.append(ord(char) if char < "\u0100" else 63)
            return bytes(data), charset
        else:
            charset = "UTF-8"
    return text.encode(), charset


def Bytes(piece):
    """A piece of content as bytes."""
    if isinstance(piece, str):
        return piece.encode()
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        raise ValueError("content must be str or bytes, not %r" % type(piece))
    return bytes(piece)


def PercentEncode(text, keep, instead=None):
    """Each character that is no letter, digit or one of keep is percent-encoded as UTF-8 (RFC 3986 section 2.1), or
    becomes `instead`."""
    parts = []
    for char in text:
        if char < "\x80" and (char.isalpha() or char.isdigit() or char in keep):
            parts.append(char)
        elif instead:
            parts.append(instead)
        else:
            for byte in char.encode():
                parts.append("%%%02X" % byte)
    return "".join(parts)


def Attachment(name):
    """Content-Disposition with a quoted ASCII name and the exact one (RFC 6266, RFC 8187)."""
    plain = PercentEncode(CheckText("attachmentName", name), " /" + MARKS, "_")
    value = 'attachment; filename="%s"' % plain
    return value if plain == name else value + "; filename*=UTF-8''" + PercentEncode(name, UNRESERVED)


def Chunk(data):
    """RFC 9112 section 7.1."""
    return b"%x\r\n" % len(data) + data + b"\r\n"


# ==============================================================================
# ROUTER (core/router.py)
# ==============================================================================
# Path and method to handler and arguments. The first route that was registered and matches wins. Pure: no file, no
# time.
# Paths are in the normal form of Head.key, where NUL stands for an encoded slash.

NO_ARGS = ()

_REGEX_CHARS = re.compile("[\\^$*+?|(){}\\[\\]\\\\]")


def IsAsync(handler):
    """True for async def. MicroPython shows it in the type, for bound methods and closures in their words only."""
    if MICROPYTHON:
        return "<generator>" in str(handler)[-60:] or str(handler).startswith("<closure <generator>")
    for function in (getattr(handler, "__func__", handler), getattr(type(handler), "__call__", None)):  # noqa: B004
        code = getattr(function, "__code__", None)
        if code:
            break
    return bool(code and code.co_flags & 0x80)


class Route:
    """One registered handler. A path is cut at the literals between the <arguments>; what has the characters of a
    regular expression outside of them is one."""

    def __init__(self, url, method, handler, threaded=False):
        isGood = CheckText("url", url)[:1] == "/"
        if not callable(handler):
            raise TypeError("handler must be a function: %r" % (handler,))
        self.isAsync = IsAsync(handler)
        if threaded and self.isAsync:
            raise ValueError("threaded must be False for an async handler: %r" % url)
        self.url = url
        self.method = CheckText("method", method, NOT_TOKEN).upper()
        self.handler = handler
        self.threaded = threaded
        self.regex = None
        self.names = names = []
        rest = (url.rstrip("/") or "/").split("<")
        self._literals = literals = [rest[0]]
        for part in rest[1:]:
            name, closed, literal = part.partition(">")
            isGood = isGood and closed and name and "/" not in name and name not in names
            names.append(name)
            literals.append(literal)
        if not isGood:
            raise ValueError("a route must begin with a slash, and each <argument> have a name of its own: %r" % url)
        if _REGEX_CHARS.search("".join(literals)):
            pattern = "^" + "([^/]+?)".join(literals)
            # MicroPython's re recurses for each character of a .*, and at the end there is nothing left to match.
            isOpen = pattern.endswith(".*") and pattern[-3] != "\\"
            self.regex = re.compile(pattern[:-2] if isOpen else pattern + "$")

    def Match(self, path):
        """The arguments as a dict, NO_ARGS where the route has none, None where it does not match. Each literal is
        taken where it first fits: what a later one needs is never taken before it."""
        literals = self._literals
        found = self.regex
        if found:
            try:
                found = found.match(path) or found.match(path + "/")
            except RuntimeError:                # MicroPython's re recurses: the path is too long for the stack
                return None
        elif len(literals) == 1:
            return NO_ARGS if path == literals[0] else None
        if not (found if self.regex else path.startswith(literals[0])):
            return None
        args = {}
        at = 0
        start = len(literals[0])
        for name in self.names:
            at += 1
            if found:
                value = found.group(at)
            else:
                literal = literals[at]
                end = path.find(literal, start + 1) if at < len(self.names) else len(path) - len(literal)
                value = path[start:end]
                if end <= start or "/" in value or path[end:end + len(literal)] != literal:
                    return None
                start = end + len(literal)
            # Digits arrive as int if nothing is lost by it: '007' stays text.
            isInt = value.encode().isdigit() and (value[0] != "0" or value == "0") and len(value) < 1000
            args[name] = int(value) if isInt else value.replace("\x00", "/")
        return args or NO_ARGS


def Find(routes, method, path):
    """(route, args) of the first route that matches, or None. A slash at the end of the path is ignored."""
    if len(path) > 1 and path[-1] == "/":
        path = path[:-1]
    for route in routes:
        if route.method == method:
            args = route.Match(path)
            if args is not None:
                return route, args
    return None


# ==============================================================================
# CONNECTION (core/connection.py)
# ==============================================================================
# THE state of one HTTP/1.1 connection (RFC 9112): bytes in, calls of handlers, bytes out. All that changes it is here.
# It reads one request at a time, and the next one when the answer is queued: answers leave in order, and a client that
# pipelines waits in its own socket. It knows no socket and no clock but server.now, and of the link only its methods.

WANT_NOTHING = const(0)
WANT_BYTES = const(1)
WANT_TURN = const(4)

# What a connection waits for, in the order in which it happens:
_HEAD = const(0)            # the head of a request: idle, as long as no byte of it has come
_CONTENT = const(1)         # the content of a request whose handler waits for it; without a response it is dropped
_ANSWER = const(2)          # the handler's answer; an async handler may still be sent content
_LINGER = const(3)          # the client's end, behind the last answer: what comes is dropped
_CLOSED = const(4)          # nothing; or the link has another endpoint

_SHARE = const(8)           # requests, or pieces of an answer, until others have their turn
_MEMO_MAX = const(1024)     # bytes of a head that is remembered
_LINGER_SEC = const(2)
_JOIN = const(1024)         # bytes; smaller pieces of chunked content are joined: each has the price of a send


_PAST = Head()          # of a connection that has answered: a first head has a deadline of its own


class Connection:
    """The HTTP endpoint of a link."""

    # On the class until they change: a connection that has said nothing holds next to nothing.
    state = _HEAD
    keepAlive = True
    data = b""              # bytes that were not read
    searched = 0            # so many of them hold no end of a head
    head = reader = client = response = source = None
    wake = None             # called when an async handler may go on: content came, the link drained or the client went
    credit = 0              # bytes of content that have not bought a second yet; the end of lingering
    isEnded = False         # the client has closed its half
    sent = None             # what is to be done when the client has the last answer, or has gone

    def __init__(self, server, link):
        self.server = server
        self.link = link
        self.deadline = server.now + server.HeadTimeoutSec

    # -- what the link calls -----------------------------------------------------

    def OnReceived(self, data):
        """Bytes have come, or none: go as far as they go. A rule that was broken is answered here, and nowhere else."""
        if self.state >= _LINGER:               # what comes behind the last answer is dropped, for some time
            self.deadline = min(self.server.now + _LINGER_SEC, self.credit)
            return
        if self.data:
            data = self.data + data
        self.data = data
        link = self.link
        share = _SHARE
        try:
            while self.data and self.state < _LINGER:
                if self.reader:
                    if not self._ReadContent():
                        return
                    if self.reader:             # what is left is half a line of it
                        break
                elif self.state != _HEAD:       # the next request waits for the answer, and a stream for its turn
                    return link.want == WANT_TURN or link.Want(WANT_NOTHING)
                elif link.out:                  # and for the client to take it
                    return
                elif not share:
                    return link.Want(WANT_TURN)
                elif not self._ReadHead():
                    break
                share -= 1
            if link.want != WANT_BYTES and self.state < _ANSWER:
                link.Want(WANT_BYTES)
        except HttpError as error:
            self._Refuse(error)

    def OnDrained(self):
        """What was queued has left, or this connection's turn has come again."""
        if self.wake:
            self.wake()
        if self.source is not None:
            self._Pull()
        elif self.state == _LINGER:
            self._Linger()
        else:
            if self.state == _HEAD:
                self.deadline = self.server.now + self.server.KeepAliveTimeoutSec
            self.OnReceived(b"")

    Resume = OnDrained      # a source that had nothing has something again

    def OnEnd(self):
        """The client closed its half. True: it still waits for an answer."""
        self.isEnded = True
        waits = self.state == _ANSWER and self.reader is None and not hasattr(self.source, "isEndless")
        if waits:
            self.keepAlive = False
            self.link.Want(WANT_NOTHING)
        return waits

    def OnLost(self):
        self.state = _CLOSED
        self.client = self.response = None      # nobody gets what is still written
        self.server.Call(self._DropSource)      # it may be this source that has found out
        if self.wake:
            self.wake()
        if self.sent:
            self.server.Call(self.sent)

    def OnExpired(self):
        """The deadline has passed: whose fault it is depends on what we waited for."""
        if self.response or self.state == _HEAD and self.data:
            self._Refuse(HttpError(408, "the request took too long"))
        else:
            self.link.Abort()

    def OnStop(self):
        self.keepAlive = False
        if self.state == _HEAD and not self.data:
            self.link.Close()
        elif hasattr(self.source, "Start"):     # it waits for something that may never come
            self.End(self.response)

    def IsIdle(self):
        """May it make room? Between two requests and behind the last; and who takes more than a second for a head, or
        is behind with content for a quarter of BodyTimeoutSec."""
        state = self.state
        server = self.server
        if state >= _LINGER or state == _HEAD and self.head is not None and not self.data:
            return True
        seconds = server.HeadTimeoutSec if state == _HEAD else self.reader and server.BodyTimeoutSec * 3 // 4
        return self.deadline is not None and seconds and self.deadline < server.now + seconds

    # -- bytes to calls -----------------------------------------------------------

    def _ReadHead(self):
        """False: there is no whole head."""
        data = self.data
        server = self.server
        if data[0] == 13:                       # section 2.2: empty lines before it
            data = self._SkipLines(data)
        end = data.find(b"\r\n\r\n", self.searched)
        if end < 0:
            self._CheckPart(data, server)
            return False
        raw = data[:end]
        memo = server.heads
        head = memo.get(raw)
        if head is None:
            if end > server.MaxRequestLineLen:          # the same verdict as if it had come in parts
                self._CheckPart(raw, server)
            head = ParseHead(raw, server.MaxRequestLineLen)
            if server.AllowedHosts is not None:     # before all else; what is remembered was allowed
                CheckAllowed(head.authority, server.AllowedHosts)
            if end <= _MEMO_MAX and server.memoLen and not head.upgrade:    # a key of a WebSocket comes once
                if len(memo) >= server.memoLen:
                    memo.clear()
                memo[raw] = head
        self.data = data[end + 4:]
        self.searched = 0
        self.head = head
        self.keepAlive = head.keepAlive
        self.client = client = server.Client(self)
        self.response = server.Response(client)
        if server.before or head.upgrade or head.contentLength or head.isChunked:
            self._Prepare(head, server)
        else:
            route, args = head.found or server.Find(head)
            self._Call(route, route.handler, args)
        return True

    def _SkipLines(self, data):
        rest = data.lstrip(b"\r\n")
        lines = data[:len(data) - len(rest)]
        odd = lines.replace(b"\r\n", b"")
        if odd and (rest or odd != b"\r" or lines[-1] == 10):
            raise HttpError(400, "CR or LF alone")
        self.searched = 0
        self.data = data = odd + rest
        return data

    def _CheckPart(self, data, server):
        """The beginning of a head must not be too long, nor end its lines with LF alone: it would wait for ever."""
        size = len(data.rstrip(b"\r\n"))       # what may belong to the end of the line or of the head does not count
        eol = data.find(b"\r\n")
        status = 0
        most = server.MaxRequestHeadLen
        if (size if eol < 0 else eol) > server.MaxRequestLineLen:
            status = 414
            most = server.MaxRequestLineLen
        elif size > most:
            status = 431
        part = data[:most] if status else data  # what comes behind the limit counts no more
        pairs = part.count(b"\r\n")
        if part.count(b"\n") != pairs or part.count(b"\r", 0, -1) != pairs:
            raise HttpError(400, "CR or LF alone")
        if status:
            raise HttpError(status, "request line too long" if status == 414 else "request head too long")
        deadline = server.now + server.HeadTimeoutSec
        # The first head has its deadline from the beginning of the connection; and empty lines buy no time.
        if not self.searched and self.head and (size or deadline < self.deadline):
            self.deadline = deadline
        self.searched = len(data) and max(len(data) - 3, 1)         # 0: no byte of it was here before

    def _Prepare(self, head, server):
        """There are hooks, the request asks for another protocol, or it has content: a plain handler is called when all
        of that has come."""
        length = head.contentLength
        if length or head.isChunked:
            self.reader = reader = ContentReader(None if head.isChunked else length)
            self.deadline = server.now + server.BodyTimeoutSec
            self.credit = 0                     # bytes of it that have not bought a second yet
        if server.before and self._Ask(server.Hooks(server.before, head)):
            return
        if not self.reader:
            for token in head.upgrade:
                if token in server.Upgraders:
                    return self._Call(None, server.Upgraders[token], NO_ARGS)
        route, args = server.Find(head)
        if not self.reader or route is server.files and (head.expect or not reader.IsShort(server.BufferLen)):
            return self._Call(route, route.handler, args)       # none has a use for content
        sink = self.client.sink
        if sink or not route.isAsync:
            if not sink and length and length > server.MaxRequestContentLen:
                self.TooLarge()
            self.state = _CONTENT
        if head.expect and not self.data:       # RFC 9110 section 10.1.1
            self.link.Send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.state != _CONTENT:
            self._Call(route, route.handler, args)

    def _Ask(self, hooks):
        """Is the request answered by a hook? One that wants to see the content as well returns a function."""
        client = self.client
        response = self.response
        self.state = _ANSWER
        if not self.reader:
            self.deadline = None
        try:
            for hook in hooks:
                later = hook(client, response)
                if later:
                    client.hooks += (later,)
                if response.code is not None or response is not self.response:
                    self.Finish(response)
                    return True
        except BaseException as error:
            self.Failed(response, error)
            return True

    def TooLarge(self):
        raise HttpError(413, "content above MaxRequestContentLen, %d bytes" % self.server.MaxRequestContentLen)

    def _ReadContent(self):
        """False: the handler has not made room for more."""
        server = self.server
        client = self.client
        reader = self.reader
        piece, self.data = reader.Read(self.data)
        # A sender of 1 KiB a second never meets the deadline, and a fast one saves no time up (Apache: mod_reqtimeout).
        self.credit += len(piece)
        if self.deadline is not None:
            self.deadline = min(self.deadline + (self.credit >> 10), server.now + server.BodyTimeoutSec)
        self.credit &= 1023
        isDone = reader.isDone
        if isDone:
            self.reader = self.deadline = None
        if not client:                          # its answer is out
            if isDone:
                self._Next()
            return True
        if client.sink:
            piece = client.sink(piece)          # it may answer as well
        if not client.content:
            client.content = piece
        else:                                   # in place: many small pieces must not cost their square
            if isinstance(client.content, bytes):
                client.content = bytearray(client.content)
            client.content += piece
        size = len(client.content)
        if self.state == _CONTENT:
            if size > server.MaxRequestContentLen:
                self.TooLarge()
            if isDone:
                route, args = server.Find(self.head)
                self._Call(route, route.handler, args)
        elif not isDone and size > server.BufferLen:
            self.deadline = None                # now it is the handler that takes its time
            self.link.Want(WANT_NOTHING)
        if self.wake:
            self.wake()
        return self.deadline is not None or isDone

    def _Call(self, route, handler, args):
        self.state = _ANSWER
        if not self.reader:
            self.deadline = None
        response = self.response
        hooks = self.client.hooks
        if hooks and self._Ask(hooks):
            return
        try:
            # Each handler gets arguments of its own: the head is shared.
            args = (self.client, response) if args is NO_ARGS else (self.client, response, args.copy())
            if route and route.threaded and self.server.Offload:
                return self.server.Offload(self, handler, args)
            result = handler(*args)
            if result is not None and hasattr(result, "send"):
                server = self.server
                if server.Spawn or not server.Returned:
                    return server.Spawn(self, result)
            if response is self.response:
                self.Finish(response, result)
        except BaseException as error:
            self.Failed(response, error)

    # -- calls to bytes -----------------------------------------------------------

    def Answer(self, response, code, contentType, contentCharset, lines, body, source=None, length=None):
        """Queue an answer; lines: bytes of field lines. A source is an iterator of pieces, pulled as the client drains;
        length: of what it brings, if that is known. False: nobody gets it."""
        if response is not self.response:
            _Close(source)
            return False
        server = self.server
        head = self.head
        if source is None:
            length = len(body)
        # An idle connection may not hold the last slot; unread content that is long is not worth the reading; and for
        # HTTP/1.0 the end of what has no length is that of the connection (RFC 9112 section 6.3, step 8).
        if len(server.links) >= server.MaxConnections or not server.isStarted or length is None and not head.minor \
                or self.reader and (head.expect or not self.reader.IsShort(server.BufferLen)):
            self.keepAlive = False
        prefix = (server.prefixes.get((code, contentType, contentCharset))
                  or server.Prefix(code, contentType, contentCharset)) + lines
        if not self.keepAlive or not head.minor:
            prefix += b"Connection: keep-alive\r\n" if self.keepAlive else b"Connection: close\r\n"
        self.isChunked = False
        hasContent = code > 199 and code not in (204, 304)
        end = b"\r\n"
        if hasContent and length is not None:
            end = b"Content-Length: %d\r\n\r\n" % length
        elif hasContent and head.minor:
            self.isChunked = True
            end = b"Transfer-Encoding: chunked\r\n\r\n"
        if head.method == "HEAD" or not hasContent:
            _Close(source)
            source, body = None, b""
        if source is None:
            response.code = code
            self.link.Send(prefix + end + body)     # in one send: a second one waits for the client to confirm it
            self._Complete()
        else:
            if hasattr(source, "Start"):
                source.Start(self)
            self.source = source
            self._Pull(response, code, prefix + end)
        return True

    def _Pull(self, response=None, code=0, head=b""):
        """Take and send what the source has, until the client is behind or others have their turn. The head leaves with
        the first piece: until then 500 is possible."""
        link = self.link
        source = self.source
        share = _SHARE
        try:
            while self.source is source and (response or not link.Backlog()):
                if not share:
                    return link.Want(WANT_TURN)
                share -= 1
                piece, isLast = self._Take(source, head)
                if response:
                    response.code = code
                    response = None
                    if piece is None:
                        piece = head
                    head = b""
                if not piece and not isLast:        # None: the source will call Resume
                    return link.Want(WANT_TURN if piece is not None else WANT_NOTHING if self.data else WANT_BYTES)
                if piece:
                    link.Send(piece)
                if isLast and self.source is source:
                    self._DropSource()
                    self._Complete()
        except BaseException as error:
            self.Failed(response or self.response, error)

    def _Take(self, source, head):
        """-> (the next bytes as they are sent, is it the end?); None: nothing until Resume(); b"": nothing yet."""
        isFile = hasattr(source, "head")        # head and piece share its buffer, and no copy is made of both
        if isFile and head:
            source.head = head
            head = b""
        parts = []
        size = 0
        piece = None
        isLast = False
        while size < _JOIN:
            try:                                # MicroPython before 1.25 has no next(source, None)
                piece = next(source)
            except StopIteration:
                isLast = True
                break
            if isFile:
                return piece, False
            if piece is None or not len(piece):
                break
            parts.append(Bytes(piece))
            size += len(parts[-1])
        data = b"".join(parts)
        if self.isChunked:
            data = (Chunk(data) if data else b"") + (b"0\r\n\r\n" if isLast else b"")
        return head + data or (None if piece is None else b""), isLast

    def Push(self, response, data):
        """A piece of an answer whose end is not known: it blocks until the client has drained what waits. False: the
        client has gone, or is too slow."""
        if response is not self.response:
            return False
        link = self.link
        # First of all room: a program that gets a MemoryError may push the same piece again.
        response.patienceMs = link.Settle(self.server.MaxSendQueueLen, response.patienceMs)
        if data:
            link.Send(Chunk(data) if self.isChunked else data)
        return not link.isDead

    def End(self, response):
        """The last piece was pushed."""
        if response is self.response:
            self._DropSource()
            if self.isChunked:
                self.link.Send(b"0\r\n\r\n")
            self._Complete()

    def Finish(self, response, result=None):
        """The handler has returned this: what it held back leaves, and nothing at all is 204."""
        if result is not None and self.server.Returned:
            self.server.Returned(response, result)
        if response is not self.response:
            return
        held = response.held
        if response.code is None:
            response.Answer(204, None, None, None, b"")
        elif held:
            response.held = None
            self.Answer(response, *held)
        elif self.source is None or self.source is response:
            self.End(response)

    def Failed(self, response, error):
        """The handler's exception, sys.exit() among them: 500 without internals, or a cut where the head has left."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        server = self.server
        isCurrent = response is self.response
        try:
            if isinstance(error, HttpError) and isCurrent and response.code is None:
                self._DropSource()              # of a stream whose first piece has raised it
                return self._Refuse(error)
            if isCurrent or not isinstance(error, OSError):     # a client that has gone is no error of ours
                head = response.client.head
                server.Log("%s %s" % (head.method, head.target), error)
            if not isCurrent:
                return
            self._DropSource()
            response.fields = []
            rule = "%s: %s" % (type(error).__name__, error) if server.Debug else ""
            self._Refuse(HttpError(500, rule))
        except Exception as failure:            # no memory even for that
            self.link.Abort()
            server.Log("a failure could not be answered", failure)

    def _Refuse(self, error):
        """Answer the message that broke a rule, then close; or 500."""
        if self.response and self.response.code is not None and not self.response.held or self.state > _ANSWER:
            return self.link.Abort()
        status, rule = error.args
        if status == 413:
            self.server.Log("413: %s" % rule)
        response = self.response
        if status == 413 or status != 500 and (self.reader or not response):   # what follows may be no request
            self.keepAlive = False
        if response:                            # with what hooks have put into it
            response.code = response.held = None
            response.fields = response.fields or []
        else:
            self.head = head = Head()
            if self.data[:5] == b"HEAD ":
                head.method = "HEAD"
            self.client = self.server.Client(self)
            self.response = response = self.server.Response(self.client)
        self.state = _ANSWER
        response.WriteError(status, None, rule)

    def _Complete(self):
        """The answer is queued whole."""
        server = self.server
        if server.AccessCallback:
            server.Call(server.AccessCallback, self.client, self.response.code)
        self.client = self.response = None
        self.head = _PAST                       # an idle connection keeps no bytes
        if self.wake:
            self.wake()                         # a handler that still waits for content gets an OSError
        if self.keepAlive:
            if not self.reader:
                return self._Next()
            self.state = _CONTENT               # the rest of it is read and dropped
            self.deadline = server.now + server.BodyTimeoutSec
            self.link.Want(WANT_BYTES)
        elif self.reader or self.data or self.sent:
            # Closing on unread bytes would reset the connection under the answer (RFC 9112 section 9.6).
            self._Linger()
        else:
            self.state = _CLOSED
            self.link.Close()

    def _Linger(self):
        self.state = _LINGER
        self.data = b""
        self.credit = self.server.now + (_LINGER_SEC if self.sent else self.server.BodyTimeoutSec)  # then at most
        self.OnReceived(b"")
        self.link.Finish(not self.reader and not self.sent)

    def OnSent(self, callback):
        """callback() when the client has the answer and has closed the connection, or has gone."""
        self.sent = callback
        self.keepAlive = False
        if self.link.isDead:
            self.server.Call(callback)
        elif not self.client and self.state < _ANSWER:      # the answer is out
            self._Linger()

    def Serves(self, client):
        """Does the client still wait for the answer? One that has closed its half does not."""
        link = self.link
        if link.endpoint is not self:           # a WebSocket: it reads by itself
            return not link.isDead
        if client is self.client and not self.reader and len(self.data) < self.server.MaxRequestHeadLen:
            link.Look()
        return client is self.client and not self.isEnded

    def _Next(self):
        """The next request may be read."""
        self.state = _HEAD
        self.deadline = self.server.now + self.server.KeepAliveTimeoutSec
        if self.data:
            self.link.Want(WANT_TURN)

    def _DropSource(self):
        source = self.source
        if source is not None:
            self.source = None
            _Close(source)

    def Upgrade(self, response, head, endpoint):
        """Send a complete 101 response; from here on the link is the endpoint's."""
        response.code = 101
        self.response = None
        self.state = _CLOSED
        data = self.data
        self.data = b""
        self.link.endpoint = endpoint
        self.link.Send(head)
        if data:
            endpoint.OnReceived(data)


def _Close(source):
    if hasattr(source, "close"):
        source.close()


# ==============================================================================
# EXCHANGE (core/exchange.py)
# ==============================================================================
# What a handler sees: HttpClient is the request, HttpResponse its answer. Both send and read through the connection
# only.

_COLONS_MAX = const(5000)       # of JSON

_HTML_ERROR = "<!DOCTYPE html><title>%d %s</title><h1>%d %s</h1><p>%s" if BOARD else (
    "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"UTF-8\"><title>%d %s</title></head>"
    "<body><h1>%d %s</h1><p>%s</p></body></html>")


class HttpClient:
    """The request. In an async handler the Read… methods are awaited."""

    content = b""           # what has come of it and was not read
    hooks = ()              # called once more when it has come
    Form = dict             # of the fields of a query and of a form
    sink = None             # of a hook: sink(piece) -> what of this piece is kept in memory; the handler waits for all

    def __init__(self, connection):
        self.connection = connection
        self.head = connection.head

    def GetServer(self):
        return self.connection.server

    def GetAddr(self):
        """(IP address, port)."""
        return self.connection.link.GetAddr()

    def GetIPAddr(self):
        return self.GetAddr()[0]

    def GetPort(self):
        return self.GetAddr()[1]

    def GetRequestMethod(self):
        return self.head.method

    def GetRequestTotalPath(self):
        """Path and query string as they came."""
        head = self.head
        return head.rawPath + "?" + head.query if head.query else head.rawPath

    def GetRequestPath(self):
        """The path, percent-decoded, slashes merged."""
        return self.head.path

    def GetRequestQueryString(self):
        return self.head.query

    def GetRequestQueryParams(self):
        """A dict; of a repeated name the last value counts."""
        return ParseForm(self.head.query.encode(), "", self.Form)

    def GetRequestHeaders(self):
        """A dict-like of this request's own: names in lower case, looked up in any case."""
        return Fields(self.head.fields)

    def GetRequestContentType(self):
        return self.head.fields.get("content-type")

    def GetRequestContentLength(self):
        """In bytes; 0 without content, and for chunked content that has not arrived yet."""
        return self.head.contentLength or (len(self.content) if self.head.isChunked else 0)

    def GetCookies(self):
        """A dict of names and values; of a repeated name the first, whose path is longest (RFC 6265 5.4)."""
        cookies = {}
        for pair in self.head.fields.get("cookie", "").split(";", 100)[:100]:
            name, equals, value = pair.strip().partition("=")
            if equals and name not in cookies:
                cookies[name] = value
        return cookies

    def IsConnected(self):
        """False when the client has gone, or has closed its half: nobody waits for the answer."""
        return self.connection.Serves(self)

    def __getattr__(self, name):
        """What programs for the older server read: `_queryString` is GetRequestQueryString()."""
        if name[:1] != "_" or name[:2] == "__":
            raise AttributeError(name)
        name = {"_microWebSrv": "GetServer", "_addr": "GetAddr", "_path": "GetRequestTotalPath",
                "_resPath": "GetRequestPath"}.get(name) or "GetRequest" + name[1:2].upper() + name[2:]
        return getattr(self, name)()

    def ReadRequestContent(self, size=None):
        """Up to size bytes of the content (all that is left if None); b'' at its end."""
        return self.Read(size, bytes)

    def ReadRequestPostedFormData(self):
        """The text fields of a form, urlencoded or multipart/form-data (without its files) -> dict."""
        return self.Read(None, lambda content: ParseForm(content, self.GetRequestContentType() or "", self.Form))

    def ReadRequestContentAsJSON(self):
        """The content as JSON, None where it is none."""
        return self.Read(None, FromJSON)

    def Read(self, size, convert):
        """convert(the content, or up to size bytes of it). An async handler gets a method of another class here."""
        content = self.content
        if size is None or size >= len(content):
            self.content = b""
        else:
            self.content = content[size:]
            content = content[:size]
        return convert(bytes(content))


def FromJSON(content):
    if content[:3] == b"\xef\xbb\xbf":          # a byte order mark
        content = content[3:]
    # A dict of MicroPython has 16 bits of a hash: a large one of chosen names takes seconds.
    if MICROPYTHON and content.count(b":") > _COLONS_MAX:
        raise HttpError(413, "JSON with more than %d colons" % _COLONS_MAX)
    start = quotes = 0
    try:
        # The time for an integer grows with the square of its length: of 1,023 digits, or some above 512. Within a text
        # they are none.
        for at in range(0, len(content) - 511, 512):
            if content[at:at + 512].isdigit():
                quotes += content[start:at].replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')
                start = at
                if not quotes & 1:
                    return None
        return json.loads(Utf8(content))
    except (ValueError, RuntimeError, MemoryError):     # nested deeper than the stack, or than the heap
        return None


if not MICROPYTHON:
    def _EncodeRaw(text, charset):
        """What is not in the charset is sent as UTF-8: not lost, and not shorter than a program may have counted it."""
        try:
            return text.encode(charset)
        except (UnicodeError, LookupError):
            return text.encode()

    _Dumps = json.JSONEncoder(allow_nan=False).encode


def ToJSON(obj):
    try:
        if not MICROPYTHON:
            return _Dumps(obj)
        # What has no form in JSON is printed all the same: nan, inf, <function>. Then loads() refuses it.
        text = json.dumps(obj)
        if "nan" in text or "inf" in text or ": <" in text or text[0] == "<":
            json.loads(text)
        return text
    except (TypeError, ValueError) as error:
        raise ValueError("obj must be JSON: %s" % error)


class HttpResponse:
    """The answer. Write… queue it and return True, False if there is an answer already or nobody to get it."""

    code = None             # of the answer that was accepted
    held = None             # its head and no content: raw _write may still follow it
    fields = []             # of SetHeader, never changed in place; None: the head has left
    vars = None             # variables for the templates that this response renders
    flash = None            # of FlashMessage: the style, a line end, the text
    status = None           # an error handler writes the answer of this error
    patienceMs = 2000       # of the engine with a client that takes a raw answer drop by drop: others wait meanwhile

    def __init__(self, client):
        self.client = client
        self.connection = client.connection

    def __next__(self):
        """A raw answer is its own source, and the program pushes the pieces: there is never one to pull."""

    def Answer(self, code, headers, contentType, contentCharset, body, source=None, length=None, lines=b""):
        """The way of every answer. lines: bytes of field lines that stand before those of headers."""
        connection = self.connection
        server = connection.server
        kept = self.fields
        accepted = None
        try:
            if self.code is not None:
                return False
            code = code == 200 and self.status or code
            if server.after:
                self.code = code                # what a hook writes now is no answer
                for hook in server.Hooks(server.after, self.client.head):
                    server.Call(hook, self.client, self)
                self.code = None
            fields = self.fields
            for pair in server.defaults:        # a file has lines of its own
                if ("\n%s:" % pair[0]).lower().encode() not in b"\n" + lines.lower():
                    fields = [pair] + fields
            if headers or fields:
                more, names = FieldLines(headers, fields)
                if "cache-control" in names:    # instead of the first of a file's own lines
                    lines = lines[lines.find(b"\n") + 1:]
                lines += more
                contentType = None if "content-type" in names else contentType
                connection.keepAlive = connection.keepAlive and names.get("connection", "").lower() != "close"
            self.fields = None
            if not body and source is None and (code == 200 or contentType and code not in (204, 304)):
                HeadStart(code, contentType, contentCharset, (0,))       # ValueError, if they are wrong
                self.code = code
                self.held = (code, contentType, contentCharset, lines, b"")
                accepted = connection.response is self
            else:
                accepted = connection.Answer(self, code, contentType, contentCharset, lines, body, source, length)
            return accepted
        finally:
            if accepted is None:                # a ValueError, or there was an answer
                self.fields = kept
                if hasattr(source, "close"):    # a file must not stay open
                    source.close()

    def _write(self, data, strEncoding=None):
        """Raw content behind a head that was written without content; it is framed as it comes."""
        connection = self.connection
        if isinstance(data, str):               # a program may have counted what MicroPython's encode() gives: UTF-8
            data = data.encode() if MICROPYTHON else _EncodeRaw(data, strEncoding or "ISO-8859-1")
        if self.code is None:                   # not even a head: the program speaks HTTP itself, to the end
            self.code = 200
            connection.keepAlive = connection.isChunked = False
        elif self.held:
            held = self.held
            self.held = None
            connection.Answer(self, *held, self)
        if not connection.Push(self, bytes(data)):
            raise OSError(104, "nobody takes it")       # programs that write for ever end by this
        return True

    def SetHeader(self, name, value):
        """A header of the answer, whichever it will be; a header of this name that Write… gets counts more. None takes
        it back. False: the head has left. ValueError for a control character."""
        FieldLines((), [(name, value)])
        if self.fields is None or self.connection.response is not self:
            return False
        self.fields = self.fields + [(name, value)]
        return True

    def SetCookie(self, name, value, maxAge=None, path="/", httpOnly=True, secure=False, sameSite="Lax"):
        """A Set-Cookie header (RFC 6265 section 4.1). maxAge: in seconds; None: until the browser ends; 0: delete it.
        ValueError for what a cookie can't hold."""
        cookie = "%s=%s; Path=%s; SameSite=%s" % (name, value, path, sameSite)
        if CheckText("name", name, NOT_TOKEN) and cookie.count(";") != 2:
            raise ValueError("a cookie must have no semicolon: %r" % cookie)
        if maxAge is not None:
            cookie += "; Max-Age=%d" % maxAge
        if httpOnly:
            cookie += "; HttpOnly"
        if secure:
            cookie += "; Secure"
        return self.SetHeader("Set-Cookie", cookie)

    def OnSent(self, callback):
        """callback() on the engine when the client has the answer, or has gone; then the connection is closed."""
        self.connection.OnSent(callback)

    def WriteSwitchProto(self, upgrade, headers=None):
        """101; what the connection speaks from then on is the program's business, by _write."""
        lines = FieldLines(headers, [("Upgrade", CheckText("upgrade", upgrade))])[0]
        return self._write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + lines + b"\r\n")

    def WriteResponse(self, code, headers, contentType, contentCharset, content):
        """content: str or bytes; headers: a dict or a list of pairs. ValueError for a control character in a header."""
        if isinstance(content, str):
            content, contentCharset = Encode(content, contentCharset)
        elif content is not None:
            content = Bytes(content)
        if not headers and content and contentType and self.code is None and code not in (204, 205, 304) \
                and not self.fields and self.connection.server.isPlain:
            return self.connection.Answer(self, code, contentType, contentCharset, b"", content)
        if not content or code == 205:          # RFC 9110 section 15.3.6
            content = b""
        elif not contentType:
            contentType = "application/octet-stream"
        return self.Answer(code, headers, contentType, contentCharset, content)

    def WriteResponseOk(self, headers=None, contentType=None, contentCharset=None, content=None):
        return self.WriteResponse(200, headers, contentType, contentCharset, content)

    def WriteResponseStream(self, pieces, contentType=None, contentCharset=None, headers=None, code=200):
        """pieces: an iterable of str or bytes, pulled as the client drains; async ones need microWebAsync.py."""
        asyncSource = hasattr(pieces, "__aiter__") and self.connection.server.AsyncSource
        try:
            pieces = (asyncSource or iter)(pieces)
        except TypeError:
            raise ValueError("pieces must be iterable, and microWebAsync.py there for async ones: %r" % (pieces,))
        return self.Answer(code, headers, contentType, contentCharset, b"", pieces)

    def WriteResponsePyHTMLFile(self, filepath, headers=None, vars=None):
        """The rendered template; 501 without microWebTemplate.py, 404 without the file."""
        server = self.connection.server
        render = server.Renderers.get(".pyhtml")
        if not render:
            return self.WriteError(501)
        filepath = CheckText("filepath", filepath)
        flash = self.client.GetCookies().get("flash", "")
        if flash:                               # of the answer that has sent the client here
            self.SetCookie("flash", "", 0)
        style, _, text = (self.flash or PercentDecode(flash.encode())).partition("\n")
        values = {"MESSAGE_TEXT": text, "MESSAGE_STYLE": style}
        values.update(Pairs(vars, "vars"))
        values.update(self.vars or ())
        try:
            pieces = render(server, filepath, values)
        except OSError:
            return self.WriteResponseNotFound()
        if isinstance(pieces, tuple):           # the whole page, in one piece
            return self.WriteResponse(200, headers, "text/html", "UTF-8", pieces[0])
        return self.WriteResponseStream(pieces, "text/html", "UTF-8", headers)

    def FlashMessage(self, messageText, messageStyle=""):
        """MESSAGE_TEXT and MESSAGE_STYLE of the next template that this client gets, behind a redirect too."""
        self.flash = "%s\n%s" % (messageStyle, messageText)

    def WriteResponseFile(self, filepath, contentType=None, headers=None):
        """The file; False and a 404 where there is none."""
        server = self.connection.server
        filepath = CheckText("filepath", filepath)
        contentType = contentType or server.GetMimeTypeFromFilename(filepath) or "application/octet-stream"
        return server.SendFile(self, server.Disk, filepath, contentType, headers)

    def WriteResponseFileAttachment(self, filepath, attachmentName, headers=None):
        return self.WriteResponseFile(filepath, None,
                                      Pairs(headers) + [("Content-Disposition", Attachment(attachmentName))])

    def WriteResponseJSONOk(self, obj=None, headers=None):
        return self.WriteResponse(200, headers, "application/json", "UTF-8", ToJSON(obj))

    def WriteResponseJSONError(self, code, obj=None):
        return self.WriteResponse(code, None, "application/json", "UTF-8", ToJSON({} if obj is None else obj))

    def WriteResponseRedirect(self, location):
        """302 to a URL or path; text beyond ASCII is percent-encoded."""
        # CR and LF stay, to be refused.
        location = PercentEncode(CheckText("location", location), MARKS + "/\"%\\\r\n\x00")
        if self.flash:
            self.SetCookie("flash", PercentEncode(self.flash, UNRESERVED + "/"), 60)
        return self.WriteResponse(302, {"Location": location}, None, None, None)

    def WriteError(self, code, headers=None, rule=""):
        """The program's page for this error, or a small HTML page with the status and the rule that was broken."""
        server = self.connection.server
        handler = server.errorHandlers.get(code) or server.errorHandlers.get(None)
        if handler and self.code is None and not self.status:
            self.status = code
            self.rule = rule
            self.fields = self.fields + Pairs(headers)
            result = server.Call(handler, self.client, self, code)
            if result is not None and server.Returned:
                server.Returned(self, result)
            if self.code is not None:
                return True
        reason = Reason(code)
        return self.WriteResponse(code, headers, "text/html", "UTF-8",
                                  _HTML_ERROR % (code, reason, code, reason, HTMLEscape(rule)))

    def WriteResponseError(self, code):
        """A small HTML page that names the status and nothing else."""
        return self.WriteError(code)

    def WriteResponseBadRequest(self):
        return self.WriteError(400)

    def WriteResponseForbidden(self):
        return self.WriteError(403)

    def WriteResponseNotFound(self):
        """404, or 302 to the URL of SetNotFoundPageUrl."""
        url = self.connection.server.notFoundUrl
        if url and url != self.client.head.path:
            return self.WriteResponseRedirect(url)
        return self.WriteError(404)

    def WriteResponseMethodNotAllowed(self, allow=()):
        """405 with Allow (RFC 9110 section 15.5.6); without `allow`, the methods of the path's routes."""
        allow = allow or self.connection.server.Allowed(self.client.head)
        try:
            return self.WriteError(405, {"Allow": allow if isinstance(allow, str) else ", ".join(allow)})
        except TypeError:
            raise ValueError("allow must be methods, not %r" % (allow,))

    def WriteResponseInternalServerError(self):
        return self.WriteError(500)

    def WriteResponseNotImplemented(self):
        return self.WriteError(501)

    def WriteResponseNotModified(self):
        return self.WriteResponse(304, None, None, None, None)


# ==============================================================================
# FILES (core/files.py)
# ==============================================================================
# A path of a request to a file below webPath, or to nothing; the file itself, or 304. webPath may be any object with
# Stat(path) -> (isFolder, size in bytes, mtime) or None, and Open(path) -> a binary file; paths begin with a slash.

_INDEX_PAGES = "index.pyhtml index.html index.htm "
_FOLDER_KIND = const(0x4000)        # in st_mode, as POSIX has it and MicroPython everywhere
_FILE_KIND = const(0x8000)
_LINK_KIND = const(0xA000)
_ENOENT = const(2)
_ENFILE = const(23)
_EMFILE = const(24)

# Bounds of what is remembered where there are links: entries, and characters of a path
_KNOWN_MAX = const(64)
_KEY_MAX = const(256)

# Security: controls, backslashes and drives; hidden names, '..' among them; dots and spaces at the end of a name, which
# FAT and Windows drop; the short names of FAT and Windows, which reach hidden files.
# (MicroPython's re can't have NUL, an encoded slash here, in a pattern.)
_UNSAFE = re.compile("[\x01-\x1f\\\\:]|/\\.|[. ](/|$)|~[0-9]")


class Folder:
    """A folder of the file system. "/" is all of it, and takes what a program calls a file: relative paths, too."""

    def __init__(self, root):
        if root[:1] != "/":                 # a relative path is looked up slowly, and another one after a chdir()
            root = os.path.abspath(root) if not MICROPYTHON else os.getcwd().rstrip("/") + "/" + root
        self.root = root = root.rstrip("/")
        if not BOARD:
            # path -> (second, os.stat, what Stat says, whole path, may Open trust it?); folder -> [ctime, its links]
            self._known = self._links = {}
        if not MICROPYTHON:                 # bytes: in a C locale Python has no others than ASCII names
            self._root = os.fsencode(root)

    def Stat(self, path):
        """None for what is neither file nor folder (a pipe would block us), and for what links lead to outside."""
        found = None
        try:
            if not BOARD:
                known = self._known.get(path)
                if known and _IsSame(known, os.stat(known[3])):
                    return known[2]
            if "\x00" in path:
                return None
            isFolder = path.endswith("/")
            whole = path.rstrip("/")        # FAT refuses a slash at the end
            whole = self.root + whole if MICROPYTHON else self._root + whole.encode("utf-8", "surrogateescape")
            stat = os.stat(whole or "/")
            kind = stat[0] & 0xF000
            if kind != _FOLDER_KIND and (isFolder or kind != _FILE_KIND):
                return None
            found = kind == _FOLDER_KIND, stat[6], stat[8]
            if not BOARD and self.root:
                if not self._Inside(whole):
                    return None
                self._known = _With(self._known, path, (int(time.time()), stat, found, whole, MICROPYTHON))
        except OSError as error:
            if BOARD or error.errno not in (_ENFILE, _EMFILE):  # of those Open will tell
                return None
        return found

    def Open(self, path):
        """OSError: there is none. Security: a link may have taken the place of the file since somebody looked."""
        if BOARD:                           # the file systems of boards have no links
            return open(self.root + path, "rb")
        known = self._known.get(path)
        if not MICROPYTHON:
            whole = self._root + path.encode("utf-8", "surrogateescape")
            return open(self._OpenInside(path, known, whole) if self.root else whole, "rb", 0)
        whole = known[3] if known else self.root + path
        file = open(whole, "rb")
        try:
            if self.root and not (known and _IsSame(known, os.stat(whole)) or self._Inside(whole)):
                raise OSError(_ENOENT)
        except OSError:
            file.close()
            raise
        return file

    def _Inside(self, whole):
        """Does it stay below the root, whatever its links say? -> root and rest when they are followed, or None.
        MicroPython can't resolve a link, but it sees one, and follows none."""
        if not MICROPYTHON:
            sep = os.sep.encode()
            root = os.path.realpath(self._root).rstrip(sep)
            real = os.path.realpath(whole)
            return (root, real[len(root):]) if (real + sep).startswith(root + sep) else None
        folder = self.root
        for name in whole[len(folder):].split("/"):
            if name:
                changed = os.stat(folder)[9]
                links = self._links.get(folder)
                if not links or links[0] != changed:    # a list of ten thousand names takes 11 ms
                    links = [changed] + [entry[0] for entry in os.ilistdir(folder) if entry[1] == _LINK_KIND]
                    # What changes in the second of the last change would not be seen.
                    if changed < int(time.time()) - 1 and len(links) < _KNOWN_MAX:
                        self._links = _With(self._links, folder, links)
                if name in links:
                    return None
                folder += "/" + name
        return folder

    def _OpenInside(self, path, known, whole):
        """-> a file descriptor, or the path where the system can't walk."""
        if os.open not in os.supports_dir_fd:   # Windows
            if not self._Inside(whole):
                raise OSError(_ENOENT)
            return whole
        try:
            if known and known[4]:
                found = os.open(whole, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
                if _IsSame(known, os.fstat(found)):
                    return found
                os.close(found)
            found = _Walk(self._root, whole[len(self._root):])
        except OSError as error:
            inside = error.errno not in (_ENFILE, _EMFILE) and self._Inside(whole)
            if not inside:
                raise
            found = _Walk(*inside)              # links that stay below the root
        stat = os.fstat(found)
        self._known = _With(self._known, path, (int(time.time()), stat, (False, stat[6], stat[8]), whole, True))
        return found


def _With(table, key, value):
    """A copy with one more, bounded: other threads read the old one."""
    if len(key) >= _KEY_MAX:
        return table
    table = dict(table) if len(table) < _KNOWN_MAX else {}
    table[key] = value
    return table


def _IsSame(known, stat):
    """Were its links looked at in this second, and is it still that file? A link that has taken its place is not."""
    return known[1][:7] == stat[:7] and known[1][8:10] == stat[8:10] and known[0] == int(time.time())


def _Walk(root, path):
    """-> the descriptor of a regular file. Each name is opened in the folder before it, and none may be a link."""
    through = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY       # O_PATH: a folder need not be readable
    names = [name for name in path.split(b"/") if name]
    found = os.open(root, through)
    try:
        for at, name in enumerate(names, 1):
            flags = through if at < len(names) else os.O_RDONLY | os.O_NONBLOCK
            folder = found
            found = os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
        if os.fstat(found).st_mode & 0xF000 != _FILE_KIND:
            raise OSError(_ENOENT, "not a file")
    except BaseException:                       # ValueError: NUL in a name
        os.close(found)
        raise
    return found


Disk = Folder("/")


def ServeFile(client, response):
    """The handler of every path that has no route: a file, an index page, or the status that says why not."""
    server = client.connection.server
    head = client.head
    if not BOARD:                           # a board hardly ever gets the same head twice in a second
        known = head.file
        if known[0] == server.now:
            stat = server.Stat(known[1])
            if stat and not stat[0]:
                return server.SendFile(response, server.source, known[1], known[2], None, stat)
    method = head.method
    path, stat = _Locate(server, head.key)
    isPage = path[-7:].lower() == ".pyhtml"
    if isPage and "/_" in path:             # a part of other pages
        stat = None
    isFile = stat and not stat[0]
    if method in ("GET", "HEAD") and stat:
        if isPage and isFile:
            return response.WriteResponsePyHTMLFile(getattr(server.source, "root", "") + path)
        if isFile:
            contentType = server.GetMimeTypeFromFilename(path)
            if not contentType:             # that keeps the programs of a board private
                return response.WriteResponseForbidden()
            if not BOARD:
                head.file = server.now, path, contentType
            return server.SendFile(response, server.source, path, contentType, None, stat)
        if path[-1] != "/":
            path = PercentEncode(path, "/" + UNRESERVED) + "/"
            return response.WriteResponse(301, {"Location": path + "?" + head.query if head.query else path},
                                          None, None, None)
    # There is no answer of content: OPTIONS, 501, 405 with what is allowed, or 404.
    allow = server.Allowed(head, isFile or head.target == "*")
    if method == "OPTIONS" and allow:
        return response.WriteResponse(204, {"Allow": ", ".join(allow)}, None, None, None)
    if "websocket" in head.upgrade or method not in server.methods:
        return response.WriteError(501)
    if allow:
        return response.WriteResponseMethodNotAllowed(allow)
    return response.WriteResponseNotFound()


def _Locate(server, path):
    """-> the path and its stat, None where nothing is served; the index page in the place of a folder that has one."""
    start = 12 if server.ServeWellKnown and path.startswith("/.well-known/") else 0
    if path[:1] != "/" or "\x00" in path or _UNSAFE.search(path[start:]):
        return path, None
    if path in server.pages:
        return server.pages[path], (False, 0, 0)
    stat = server.Stat(path)
    if stat and stat[0] and path[-1] == "/":
        pages = _INDEX_PAGES + _INDEX_PAGES.replace("index", "default")
        for name in (pages + pages.upper()).split():        # FAT
            index = server.Stat(path + name)
            if index and not index[0]:
                return path + name, index
    return path, stat


def SendFile(response, source, path, contentType, headers, stat=None):
    """200, 304 or 404 for a file (RFC 9110). microWebFiles.py puts ETags, conditions, ranges and .gz in its place."""
    head = response.client.head
    server = response.connection.server
    stat = stat or source.Stat(path)
    if not stat or stat[0]:
        return response.WriteResponseNotFound() and False
    level = server.LetCacheStaticContentLevel
    lines = "Cache-Control: %s\r\n" % ("no-store", "max-age=3600", "no-cache")[level]
    code = 200
    # A time is no mark while it can be that of two versions (2 s on FAT), nor one to come (gmtime of MicroPython dies
    # of those before 1970, which it takes for that); but where no clock was set, one to come is that of a clock.
    now = time.time()
    if level and stat[2] > 0 and (
            now < stat[2] and not stat[2] >> 33 if time.gmtime()[0] < 2024 else stat[2] < now - 2):
        date = HttpDate(time.gmtime(stat[2]))
        if head.fields.get("if-modified-since") == date and "if-none-match" not in head.fields \
                and head.method in ("GET", "HEAD"):
            code = 304
        else:
            lines += "Last-Modified: %s\r\n" % date
    return WriteFile(response, code, headers, contentType, source, path, 0, stat[1], lines.encode())


def WriteFile(response, code, headers, contentType, source, path, start, length, lines):
    """length bytes of the file from start, or of 304 and 412 the head alone; lines: bytes of field lines."""
    if code > 299:
        return response.Answer(code, headers, None, None, b"", None, None, lines)
    try:
        body = FileBody(source.Open(path), start, length, response.connection.server.buffer)
    except OSError as error:
        isFull = error.errno in (_ENFILE, _EMFILE)      # not a 404, which a cache would keep
        return (response.WriteError(503) if isFull else response.WriteResponseNotFound()) and False
    # HTML, CSS, JavaScript and XML have their own ways to say it, which a header would overrule.
    charset = "UTF-8" if contentType in "text/plain text/csv text/markdown" else None
    return response.Answer(code, headers, contentType, charset, b"", body, length, lines)


class FileBody:
    """Pieces of an open file through the server's one buffer; the next piece overwrites the last. `head` leaves with
    the first of them, and without a copy of both: a board has no room for that in one piece."""

    head = b""

    def __init__(self, file, start, length, buffer):
        self._file = file
        self._left = length
        self._buffer = buffer
        if start:
            file.seek(start)

    def __next__(self):
        head = self.head
        used = len(head)
        buffer = self._buffer
        self.head = b""
        left = self._left
        if used and (not left or used > len(buffer) // 2):
            return head
        if not left:
            raise StopIteration
        size = min(left, len(buffer) - used)
        if MICROPYTHON:
            buffer[:used] = head
            size = self._file.readinto(buffer[used:used + size])
            piece = buffer[:used + size]
        else:
            piece = self._file.read(size)
            size = len(piece)
            piece = head + piece if head else piece
        if not size:
            raise OSError("the file became shorter")
        self._left = left - size
        return piece

    def close(self):
        self._file.close()


# ==============================================================================
# TRANSPORT (core/transport.py)
# ==============================================================================
# One socket as bytes: readable, writable. All of it runs on the thread of the poll loop.

POLL_IN = const(1)              # of poll and epoll, on every system
POLL_OUT = const(4)
_BACKLOG = 16 if BOARD else 511
_UNSENT_MAX = const(131072)


if not BOARD:
    INHERITS = sys.platform == "linux"          # connections have the options of their listener

    def Prepare(listener):
        """What its connections inherit. No small answer waits for another one to arrive. And Linux would say that there
        is room again when a third of a buffer of megabytes has left: a minute, for a slow reader. With
        TCP_NOTSENT_LOWAT we hear of each piece that it takes."""
        try:
            listener.setsockopt(6, 1, 1)        # IPPROTO_TCP, TCP_NODELAY
            listener.setsockopt(6, getattr(socket, "TCP_NOTSENT_LOWAT", 25), _UNSENT_MAX)
        except OSError:                         # it is not Linux
            pass


if not MICROPYTHON:
    class _Listener(socket.socket):
        """accept() asks for these two each time, and the properties of Python's sockets are slow."""

        family = socket.AF_INET
        type = socket.SOCK_STREAM


def RandomPort():
    """One that may be free. MicroPython has no getsockname() to ask which one the system would choose for 0."""
    return 49152 + int.from_bytes(os.urandom(2), "little") % 16384


def Address(bindIP, port):
    """-> (family, …, what bind() takes)."""
    return socket.getaddrinfo(bindIP or "0.0.0.0", port, 0, socket.SOCK_STREAM)[0]


def Listen(port, bindIP):
    """-> a listening socket and its port, for 0 a free one; OSError where the address can't be had."""
    listener = None
    for _ in range(1 if port else 20):
        number = port or RandomPort()
        try:
            address = Address(bindIP, number)
            kind = socket.socket if MICROPYTHON or address[0] != socket.AF_INET else _Listener
            listener = kind(address[0], socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not BOARD:
                Prepare(listener)
            listener.bind(address[-1])
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            return listener, number
        except OSError as error:
            if listener:
                listener.close()
            failure = OSError(error.errno, "can't listen on %s, port %d: %s" % (
                bindIP or "all addresses", number, error))
    raise failure


if MICROPYTHON:
    NewPoll = getattr(select, "poll", None)     # an object with register, modify, unregister and ipoll(ms)

    # What runs before the bytes of an event are made has frames of eleven words at most. MicroPython makes a larger one
    # on the heap, and once it is free again looks for memory from there, past all that was allocated since.
    def _Receive(sock, buffer):
        """Bytes; 0 at their end, None if there are none now."""
        size = sock.readinto(buffer)
        return bytes(buffer[:size]) if size else size

    def Elapsed(start=0):
        """Milliseconds since an earlier value of it."""
        return time.ticks_diff(time.ticks_ms(), start) if start else time.ticks_ms()
else:
    def _Receive(sock, buffer):
        """Bytes; b'' at their end, None if there are none now."""
        try:
            return sock.recv(len(buffer))
        except BlockingIOError:
            return None

    class _Selector:
        """What epoll is on Linux, where there is none: kqueue, poll or select."""

        def __init__(self):
            from selectors import DefaultSelector
            self._selector = DefaultSelector()
            self.close = self._selector.close
            self.fileno = getattr(self._selector, "fileno", None)

        def register(self, number, mask):
            # A selector knows no empty mask: what waits for nothing is not in it.
            if mask:
                self._selector.register(number, mask & POLL_IN | (mask & POLL_OUT) >> 1)

        def modify(self, number, mask):
            self.unregister(number)
            self.register(number, mask)

        def unregister(self, number):
            try:
                self._selector.unregister(number)
            except KeyError:
                pass

        def poll(self, timeoutSec):
            return [(key.fd, mask & POLL_IN | (mask & 2) << 1) for key, mask in self._selector.select(timeoutSec)]

    NewPoll = getattr(select, "epoll", _Selector)

    def Elapsed(start=0):
        """Milliseconds since an earlier value of it."""
        return int(time.monotonic() * 1000) - start

# How a socket is called in the poll object and in the table of links.
Key = id if MICROPYTHON else lambda sock: sock.fileno()

if not BOARD:
    class Wake:
        """Wakes the poll loop from any thread: a datagram to itself."""

        def __init__(self):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sock.setblocking(False)
            for _ in range(50):
                self._address = socket.getaddrinfo("127.0.0.1", RandomPort())[0][-1]
                try:
                    self.sock.bind(self._address)
                    break
                except OSError:
                    pass
            else:
                raise OSError("no local port is free")

        def Set(self):
            try:
                self.sock.sendto(b"!", self._address)
            except OSError:                     # its queue is full: the loop will wake
                pass

        def Clear(self):
            try:
                self.sock.recv(64)
            except OSError:
                pass


def _IsWritable(sock, timeoutMs):
    if not MICROPYTHON and not hasattr(select, "poll"):     # Windows; elsewhere select() knows 1,024 sockets
        return bool(select.select((), (sock,), (), timeoutMs / 1000)[1])
    poll = select.poll()
    poll.register(sock, POLL_OUT)
    return bool(poll.poll(timeoutMs))


class Link:
    """One connection, as its endpoint sees it."""

    want = WANT_BYTES       # of the endpoint, while nothing waits to be sent
    out = None              # what the socket did not take yet: a bytearray
    deadline = None         # for the next progress of it
    paid = 0                # until when the bytes that it took have paid for its place: 64ths of a second
    isClosing = False
    isSecure = False        # True under TLS
    watched = None          # what the poll loop looks for; None: it does not know this link

    def __init__(self, server, sock, address):
        self.server = server
        self.sock = sock
        self.address = address
        self.endpoint = None
        self.isDead = False     # has its place from the beginning: at the end there may be no memory for one

    def GetAddr(self):
        address = self.address
        if BOARD or isinstance(address, tuple):
            return address[:2]
        address = socket.sockaddr(address)      # the unix port of MicroPython hands out a packed one
        return socket.inet_ntop(address[0], address[1]), address[2]

    def Backlog(self):
        return len(self.out) if self.out else 0

    def Send(self, data):
        """Queue, and send what the socket takes now."""
        if self.isClosing or self.isDead:
            return
        if self.out:
            self.out += data
            return
        size = self.Take(data)
        if size < len(data) and not self.isDead:
            try:
                self.out = bytearray(data[size:])
            except MemoryError:                 # the rest is lost: nothing may follow it
                self.Abort()
                raise
            self.deadline = self._Due()
            self.Watch()

    def _Due(self):
        """When the next progress has to be seen. A client that takes megabytes at once and then nothing for a minute
        (curl --limit-rate) is no slow one: 64 KiB buy a second, and at most eight times SendTimeoutSec are saved up."""
        return max(self.paid // 64, self.server.now) + self.server.SendTimeoutSec

    def Take(self, data):
        """How many bytes the socket takes."""
        try:
            size = (self.sock.write(data) or 0) if MICROPYTHON else self.sock.send(data)
            if size > 1023:
                now = self.server.now * 64
                self.paid = min(max(self.paid, now) + (size >> 10), now + self.server.SendTimeoutSec * 512)
            return size
        except OSError as error:
            if MICROPYTHON or not isinstance(error, BlockingIOError):
                self.Abort()
        except MemoryError:                     # perhaps it has gone: it must not go twice
            self.Abort()
            raise
        return 0

    def Watch(self):
        """Tell the poll loop what to look for, if that has changed."""
        want = POLL_OUT if self.out else self.want
        watched = self.watched
        if want != watched and not self.isDead:
            if watched is None:
                self.server.poll.register(self.sock, want)
            else:
                self.server.poll.modify(self.sock, want)
            self.watched = want

    def Want(self, want):
        """WANT_BYTES, WANT_TURN or WANT_NOTHING: what the endpoint waits for while nothing waits to be sent."""
        self.want = want
        if not self.out:                        # a turn waits for room in the socket, as bytes do
            self.deadline = self._Due() if want == WANT_TURN else None
        self.Watch()

    def OnEvent(self, event):
        """The socket is ready; an OSError is for the loop."""
        if event & POLL_IN:
            data = _Receive(self.sock, self.server.inbox)
            if data:
                self.endpoint.OnReceived(data)
            elif data is not None and not self.endpoint.OnEnd():
                self.Close()
        elif event & POLL_OUT:
            self.OnWritable()
        else:                                   # the connection is gone
            self.Abort()

    def Look(self):
        """Read now what has come: a handler that works long asks for the client's end."""
        self.server.OnEvent(Key(self.sock), POLL_IN)

    def OnWritable(self):
        out = self.out
        if out:
            size = self.Take(out)
            if not size:
                return
            self.deadline = self._Due()
            out[:size] = b""                    # in place: a copy may find no memory
            if out:
                return
            self.out = self.deadline = None
            if self.isClosing:
                return self.Abort()
        elif MICROPYTHON and self.want == WANT_BYTES | WANT_TURN:
            return self.Close()
        else:
            self.want = WANT_BYTES              # the turn that was wanted is this one
            self.deadline = None
        self.endpoint.OnDrained()
        self.Watch()

    def Settle(self, most, patienceMs):
        """Block until at most so many bytes wait -> the patience left; 0: the client has gone or is too slow."""
        start = Elapsed()
        while self.Backlog() > most and not self.isDead:
            left = patienceMs - Elapsed(start)
            if left <= 0 or not _IsWritable(self.sock, left):
                self.Abort()
            else:
                self.OnWritable()
        return 0 if self.isDead else max(1, patienceMs - Elapsed(start))

    def Close(self):
        """When what waits has left."""
        if self.out:
            self.isClosing = True
        else:
            self.Abort()

    def Finish(self, isWhole=False):
        """The last answer was queued; when it has left the endpoint calls once more. What still comes is read until the
        client closes. MicroPython can't tell the client that this is the end (no shutdown): after a whole request the
        link closes as soon as there is nothing left to read."""
        if not self.out:
            if not MICROPYTHON:
                try:
                    self.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    return self.Abort()
            self.Want(WANT_BYTES | WANT_TURN if MICROPYTHON and isWhole else WANT_BYTES)

    def Abort(self):
        """Now."""
        if not self.isDead:
            self.isDead = True
            if self.out:
                self.out = None
            try:
                if self.watched is not None:
                    self.server.poll.unregister(self.sock)
                self.server.Forget(self)
            finally:                            # Forget lets the listener be watched again, which takes memory
                self.sock.close()
                self.endpoint.OnLost()


# ==============================================================================
# ENGINE (core/engine.py)
# ==============================================================================
# The poll loop of one server, with one clock for all deadlines: Start and Stop, new connections, and others' calls.
# Everything that touches a socket or the state of a connection runs on its thread.

try:
    import _thread
    _Ident = _thread.get_ident
except ImportError:
    _thread = None
    _Ident = int                            # 0: the only thread

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class _NoLock:
    """Where there are no threads there is nothing to lock."""

    def __enter__(self, *args):
        pass

    acquire = __exit__ = __enter__


NewLock = _thread.allocate_lock if _thread else _NoLock


def _PrintError(text, error=None):
    """The default log: one line and the traceback, on stderr or the REPL."""
    try:
        print("MicroWebSrv:", text if error is None else "%s: %s" % (text, error), file=sys.stderr)
        if error is None:
            return
        if MICROPYTHON:
            sys.print_exception(error, sys.stderr)
        else:
            import traceback
            traceback.print_exception(type(error), error, error.__traceback__)
    except Exception:
        pass                                # no memory, no console


_CROWD = const(16)              # clients that are let in before others have their turn
_INBOX_MAX = 8192 if MICROPYTHON else 65536


class Engine:
    """What runs a server; its settings and tables are those of MicroWebSrv."""

    UseAsyncio = False                          # Start() runs an asyncio loop; an async handler turns it on
    Loop = Adopt = None                         # of microWebAsync: serves in asyncio; joins the loop that runs here
    NewLock = staticmethod(NewLock)
    NewLink = Link                              # of microWebTls: what an accepted socket becomes
    Listen = staticmethod(Listen)
    now = 0                                     # seconds of the clock
    _server = None                              # a listening socket that a program has made by itself

    def __init__(self):
        self.links = {}
        self._calls = []
        self._isBusy = self.isStarted = False   # a run has not ended; it takes new clients
        self._ident = self._listener = self._fullSince = None
        if not BOARD:
            self._wake = None
            self._remains = False
        self._threads = set()
        self._lock = NewLock()
        self.Ticks = []
        self.prefixes = {}

    # -- Start and Stop ----------------------------------------------------------------

    def Start(self, threaded=True, stackSize=8192):
        """Serves in a new thread, or in this one until Stop(). OSError where the port can't be had."""
        while not self.Open():
            if self.isStarted:
                return
            if self._IsOurs():                  # this handler has to return before the old run can end
                return self.StartThread(self._serverProcess, (), stackSize)
            time.sleep(0.01)
        if self.Adopt and self.Adopt(threaded):
            return
        if not threaded or not self.StartThread(self.Run, (), stackSize):
            try:
                self.Run()
            except KeyboardInterrupt:           # Ctrl-C has ended it
                pass
        elif not BOARD and not self._remains:
            self._remains = True
            if MICROPYTHON:
                sys.atexit(self._Remain)
            else:
                import atexit
                atexit.register(self._Remain)

    def _Remain(self):
        """The program is at its end and the server goes on, until one Ctrl-C."""
        try:
            if not MICROPYTHON and self._isBusy and getattr(sys, "last_value", None):
                self.Log("the program has died of an error, and its server goes on")
            while self._isBusy:                 # a lock would not let a KeyboardInterrupt through
                time.sleep(0.1)
        except (KeyboardInterrupt, SystemExit):     # SystemExit: SIGTERM
            self.Stop()

    if not MICROPYTHON:
        _running = set()

        def _WatchTerm(self):
            """A program that has no handler of SIGTERM gets one: its servers stop as Stop() does, then it ends."""
            import signal
            import threading
            self._running.add(self)
            if threading.current_thread() is threading.main_thread() \
                    and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self._OnTerm)

        def _OnTerm(self, number, frame):
            import signal
            signal.signal(number, signal.SIG_DFL)       # a second one kills
            isOurs = False
            for server in list(self._running):          # as Stop() does, whose lock this thread may hold
                server.isStarted = False
                if server._ident == 0:                  # between Open and Run: now nobody will run it
                    server.Enter()
                    server.Leave()
                elif server._wake:
                    server._wake.Set()
                    isOurs |= server.IsOnEngine()
            if not isOurs:
                raise SystemExit                        # else Start(threaded=False) returns

    def Open(self):
        """True: clients are let in, and this thread has to serve them. False: it runs, or has not ended yet."""
        self.AddDecorated()                     # since the server was made
        with self._lock:
            if self._isBusy:
                return False
            self._isBusy = self.isStarted = True
        try:
            size = min(self.BufferLen, max(2048, gc.mem_free() // 16)) if MICROPYTHON else self.BufferLen
            self.buffer = memoryview(bytearray(size))
            self.inbox = self.buffer[:_INBOX_MAX]       # what comes is kept, so it comes in smaller pieces
            self._listener = self._server
            if self._server:
                self._server = None
                self._listener.setblocking(False)
                if not BOARD:
                    Prepare(self._listener)
            else:
                self._listener, self.port = self.Listen(self.port, self.bindIP)
            self._until, self._failures, self._isFull, self._clock = None, 0, False, Elapsed()
            if not BOARD:
                self._wake = Wake()
            self.Use(NewPoll())
            self._ident = 0                     # its thread has still to begin, but calls can wait for it
        except BaseException:
            self.isStarted = self._isBusy = False
            raise
        if not MICROPYTHON:
            self._WatchTerm()
        if self.Banner:
            self.Banner = False                 # once for each server
            root = getattr(self.source, "root", "/flash/www")       # what nobody has asked for may be missing
            if BOARD:
                gc.collect()
            _PrintError("port %d, with %s%s%s" % (
                self.port, ", ".join(self.found) or "no optional file",
                "" if root == "/flash/www" or self.Stat("/") else "; there is no folder " + root,
                "; %d bytes of heap left" % gc.mem_free() if BOARD else ""))
        return True

    def Stop(self):
        """From any thread or a handler: no new client; what is in flight has StopGraceSec to finish."""
        with self._lock:
            if not self._isBusy:
                return
            self.isStarted = False
        if not BOARD:
            wake = self._wake                   # the run may end meanwhile
            if wake:
                wake.Set()
        while self._isBusy and not self.isStarted and not self._IsOurs():
            time.sleep(0.01)

    def IsStarted(self):
        return self.isStarted

    _started = property(IsStarted)

    def GetPort(self):
        """The TCP port; 0 if a free one is to be chosen by Start."""
        return self.port

    def _IsOurs(self):
        """Is this thread one that the server waits for when it stops?"""
        return self.IsOnEngine() or _Ident() in self._threads

    def Use(self, poll):
        """All sockets wait in this poll object from now on."""
        self.poll = poll
        if self._listener and not self._isFull:
            poll.register(self._listener, POLL_IN)
        if not BOARD and self._wake:
            poll.register(self._wake.sock, POLL_IN)
        for link in self.links.values():
            if link.watched is not None:
                poll.register(link.sock, link.watched)

    def Run(self):
        """Serves in this thread until the end: the poll loop, or asyncio from the moment on that something needs it."""
        self.Enter()
        links = self.links
        try:
            while not self.UseAsyncio and (wait := self.Turn()):
                link = None
                try:
                    if MICROPYTHON:
                        for sock, event in self.poll.ipoll(wait):
                            link = links.get(id(sock))
                            if link:
                                link.OnEvent(event)
                            else:
                                self._OnOther(id(sock))
                    else:
                        for key, event in self.poll.poll(wait / 1000):
                            link = links.get(key)
                            if link:
                                link.OnEvent(event)
                            else:
                                crowd = _CROWD
                                while crowd and self._OnOther(key):
                                    crowd -= 1
                except BaseException as error:
                    self._Broke(link, error) if link else self._NotAccepted(error)
            if self.UseAsyncio:
                self.Loop()
        finally:
            self.Leave()

    def Enter(self):
        self._ident = _Ident()

    def Turn(self):
        """What comes between two looks at the sockets: calls of other threads, the clock. -> milliseconds until the
        next one has to come; 0: the server has ended."""
        if self._calls:
            self.Call(self._RunCalls)
        wait = 1000 - Elapsed(self._clock)
        if wait <= 0:
            self._clock = Elapsed()
            wait = 1000
            self.Call(self.Tick)
        if BOARD and _thread:
            wait = min(wait, 20)                # nothing else tells of other threads' calls
        return wait if self.isStarted or self._Farewell() else 0

    def OnEvent(self, key, event):
        """Something is ready: for the loops of others."""
        link = self.links.get(key)
        try:
            if link:
                link.OnEvent(event)
            else:
                self._OnOther(key)
        except BaseException as error:
            self._Broke(link, error) if link else self._NotAccepted(error)

    def _Broke(self, link, error):
        """A call of the loop has failed."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        if not link or not isinstance(error, OSError):      # else a client that has gone
            self.Log("a connection failed" if link else "a call on the engine", error)
        if link:
            self.Call(link.Abort)

    def _Farewell(self):
        """The server stops. False: all is over."""
        if self._until is None:
            try:
                self._CloseListener()
                for link in list(self.links.values()):
                    self.Call(link.endpoint.OnStop)
                self._until = self.now + self.StopGraceSec
            except MemoryError as error:        # again, in a moment: perhaps there is some then
                self.Log("a call on the engine", error)
                return True
        return bool(self.links) and self.now < self._until

    def Leave(self):
        """Nothing of the run is left behind it."""
        if not self.IsOnEngine():               # it has ended in the loop of another server
            return
        try:
            self._CloseListener()
            while self.links:
                try:
                    self.links.popitem()[1].Abort()
                except BaseException as error:
                    self._Broke(None, error)
            with self._lock:
                self._ident = None              # from here on nobody calls
            self._RunCalls()
        finally:                                # whatever came between
            self._ident = None
            if not BOARD and self._wake:
                self.poll.unregister(self._wake.sock)
                self._wake.sock.close()
                self._wake = None
            if not MICROPYTHON:
                self.poll.close()
                self._running.discard(self)
            self.isStarted = self._isBusy = False       # in this order: another Start may come in between

    def _CloseListener(self):
        listener = self._listener
        self._listener = None
        if listener:
            if not self._isFull:
                self.poll.unregister(listener)
            listener.close()

    def Call(self, func, *args):
        """func(*args); what it raises is logged, sys.exit() too. Only Ctrl-C goes through."""
        try:
            return func(*args)
        except BaseException as error:
            self._Broke(None, error)

    def Tick(self):
        """The one timer, once a second: a coarse clock for all deadlines, and the Date."""
        self.now = now = self.now + 1
        self.prefixes.clear()
        if self._listener or not self.isStarted:
            self._Listens(True)
        else:
            self._Relisten()                    # the last try has failed
        for link in list(self.links.values()):
            deadline = link.deadline
            if deadline is not None:
                if deadline < now:
                    self.Call(link.Abort)
            else:
                deadline = link.endpoint.deadline
                if deadline is not None and deadline < now:
                    self.Call(link.endpoint.OnExpired)
        for func in self.Ticks:
            self.Call(func)

    # -- what programs of the older server do by hand: a thread, in which the server's own socket is served -----------

    def _serverProcess(self):
        with self._lock:                        # this thread waits for the end: nobody may wait for this thread
            self._threads.discard(_Ident())
        self.Start(False)

    @property
    def _srvAddr(self):
        """What bind() takes: (IP address, port), packed on the unix port of MicroPython."""
        return Address(self.bindIP, self.port)[-1]

    @staticmethod
    def _startThread(func, args=()):
        if MICROPYTHON:
            _thread.start_new_thread(func, args)
        else:
            import threading
            threading.Thread(target=func, args=args).start()

    # -- connections --------------------------------------------------------------------

    def _Listens(self, wants):
        """Take new clients, or let them wait in the backlog."""
        if wants == self._isFull and self._listener:
            if wants:
                self.poll.register(self._listener, POLL_IN)
            else:
                self.poll.unregister(self._listener)
            self._isFull = not wants            # only now: it may have found no memory

    # As all that runs before the bytes of an event are made, _OnOther has a small frame (transport): it has no try.
    def _OnOther(self, key):
        """A client has come to the listener, or another thread has called. True: perhaps there is one more.
        _NotAccepted gets what accept() raises."""
        if self._listener and key == Key(self._listener):
            if len(self.links) >= self.MaxConnections and self._IsFull():
                return self._Listens(False)     # until a link has gone
            sock, address = self._listener.accept()
            self._failures = 0
            self.Admit(sock, address, self.NewLink)
            return self.isStarted
        if not BOARD and self._wake and key == Key(self._wake.sock):
            self._wake.Clear()

    def _IsFull(self):
        """Does a newcomer have to wait? Not if a place can be made, and not for long: then it is told."""
        if not self.Evict():
            if self._fullSince is None:
                self._fullSince = self.now
            if self.now - self._fullSince < self.HeadTimeoutSec:
                # One that is busy has a deadline, unless it is a stream or a WebSocket: those end when they like.
                for link in self.links.values():
                    if link.deadline is not None or isinstance(link.endpoint, Connection) \
                            and link.endpoint.deadline is not None:
                        return True

    def _NotAccepted(self, error):
        code = getattr(error, "errno", 0)
        if code == 11 if BOARD else code in (11, 35, 10035):    # EAGAIN: the client has gone again
            return
        if not isinstance(error, (OSError, MemoryError)):
            return self._Broke(None, error)
        self._failures += 1
        if self._failures == 1:
            self.Log("accept", error)
        try:
            self.Evict()                        # too many open files: fewer connections
            if self._failures > 5:              # the network has gone and the listener with it
                self._Relisten()
            elif self._failures > 1:
                self._Listens(False)            # until the next second
        except (OSError, MemoryError):          # the next failure tries again
            pass

    def Admit(self, sock, address, newLink):
        """A client that was accepted gets a link and a connection, or 503."""
        try:
            sock.setblocking(False)
            if BOARD or not INHERITS:
                try:
                    sock.setsockopt(6, 1, 1)    # IPPROTO_TCP, TCP_NODELAY
                except (OSError, AttributeError):
                    pass
            if len(self.links) >= self.MaxConnections:
                sock.send(_BUSY)
                return sock.close()
            link = newLink(self, sock, address)
            sock = link.sock
            link.endpoint = Connection(self, link)
            self.links[Key(sock)] = link
        except (OSError, MemoryError) as error:
            if MICROPYTHON or not isinstance(error, OSError):       # else the client has gone again
                self.Log("accept", error)
            return sock.close()
        self.OnEvent(Key(sock), POLL_IN)        # who has just connected has spoken as well, most times
        try:
            link.Watch()
        except (OSError, MemoryError) as error:
            self._Broke(link, error)

    def _Relisten(self):
        self._CloseListener()
        try:
            self._listener, self.port = self.Listen(self.port, self.bindIP)
            self._isFull = True
            self._Listens(True)
        except (OSError, MemoryError):
            pass                                # the clock tries again

    def Evict(self):
        """The connection that has been idle for longest makes room, or one whose client has taken nothing for a
        quarter of SendTimeoutSec."""
        oldest = earliest = None
        for link in self.links.values():
            if link.out:
                deadline = link.deadline
                isIdle = deadline < self.now + self.SendTimeoutSec * 3 // 4
            else:
                deadline = link.endpoint.deadline
                isIdle = link.endpoint.IsIdle()
            if isIdle and (not oldest or deadline < earliest):
                oldest = link
                earliest = deadline
        if oldest:
            oldest.Abort()
        return oldest is not None

    def Forget(self, link):
        """The link is about to close its socket."""
        self.links.pop(Key(link.sock), None)
        self._fullSince = None
        self._Listens(True)

    # -- what rooms and optional files ask of it --------------------------------------------

    def Log(self, text, error=None):
        """ErrorCallback, else stderr."""
        try:
            (self.ErrorCallback or _PrintError)(text, error)
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt):
                raise
            _PrintError("ErrorCallback", failure)

    def IsOnEngine(self):
        return self._ident == _Ident()

    def CallSoon(self, func, *args):
        """Thread-safe: func(*args) on the engine; False if it does not run any more."""
        with self._lock:
            if self._ident is None:
                return False
            self._calls.append((func, args))
            if not BOARD and self._wake:
                self._wake.Set()
        return True

    def Pending(self):
        """How many calls wait."""
        return len(self._calls)

    def _RunCalls(self):
        for _ in range(len(self._calls)):
            with self._lock:
                func, args = self._calls[0]
            self.Call(func, *args)
            with self._lock:
                self._calls.pop(0)              # only now: who looks from another thread sees what has not been done

    def StartThread(self, func, args, stackSize):
        """False where no thread can be started."""
        if not _thread:
            return False
        try:
            if BOARD and stackSize:
                _thread.stack_size(stackSize)
            if MICROPYTHON:
                _thread.start_new_thread(self._InThread, (func, args))
            else:
                import threading
                threading.Thread(target=self._InThread, args=(func, args), daemon=True).start()   # _Remain waits
        except (OSError, RuntimeError, MemoryError) as error:
            self.Log("no thread could be started", error)
            return False
        return True

    def _InThread(self, func, args):
        with self._lock:
            self._threads.add(_Ident())
        try:
            func(*args)
        finally:
            with self._lock:
                self._threads.discard(_Ident())


# ==============================================================================
# OPTIONAL (core/optional.py)
# ==============================================================================
# The optional files, in the order in which they are looked for. Their names, behind microWeb, are what
# the core knows. One text: a tuple of them would take three times the memory of a board.
# Made from optional.txt by tools/make_packages.py: change that file, not this one.

OPTIONAL = (
    "Socket "
    "Template "
    "Async "
    "Threads "
    "Files "
    "Pages "
    "Events "
    "Deflate "
    "SocketPlus "
    "Session "
    "Auth "
    "Digest "
    "Login "
    "Cors "
    "Security "
    "Tls "
    "Routes "
    "Json "
    "Upload "
    "Portal "
)
if not MICROPYTHON:
    OPTIONAL += (
        "Asgi "
        "AsgiSocket "
        "Mount "
        "Broker "
    )


# ==============================================================================
# SERVER (core/server.py)
# ==============================================================================
# What a program holds: settings, routes, optional files. Limits are attributes, each with a value for a board and one
# for CPython; set them before Start, on the class or on one server.

# Where the optional files are: beside this one, or beside the folder of rooms.
_HOME = (__name__[:-7] if __name__.endswith(".server") else __name__).rpartition(".")[0]
_HOME = _HOME and _HOME + "."


def _Import(name):
    __import__(_HOME + name)
    return sys.modules[_HOME + name]


def __getattr__(name):
    """`from microWebSrv import MicroWebSocket`, as programs of the older server do: of the file with that name."""
    if name[:8] == "MicroWeb" and name[8:] in OPTIONAL.split():
        return getattr(_Import("m" + name[1:]), name)
    raise AttributeError(name)


class MicroWebSrv(Engine):
    """The server: MicroWebSrv(routeHandlers=[(url, method, handler), …], port=80, bindIP='', webPath='/flash/www')."""

    AcceptWebSocketCallback = None
    MaxWebSocketRecvLen = 1024 if BOARD else 65536
    WebSocketThreaded = True
    WebSocketStackSize = 4096
    LetCacheStaticContentLevel = 2              # of files: 0 never, 1 for an hour, 2 with revalidation

    MaxRequestLineLen = 1024 if BOARD else 8192             # bytes, else 414
    MaxRequestHeadLen = 4096 if BOARD else 32768            # bytes, else 431
    MaxRequestContentLen = 16384 if BOARD else 1 << 20      # bytes for a plain handler, else 413
    MaxConnections = 4 if sys.platform in ("rp2", "esp8266") else 8 if BOARD else 1000
    MaxSendQueueLen = 4096 if BOARD else 65536 if MICROPYTHON else 1 << 20      # bytes a raw _write may leave waiting
    HeadTimeoutSec = 10
    BodyTimeoutSec = 20                                     # and a second for each KiB that came
    KeepAliveTimeoutSec = 5 if BOARD else 75
    SendTimeoutSec = 20                                     # without any progress
    StopGraceSec = 3
    BufferLen = 2048 if BOARD else 65536 if MICROPYTHON else 131072     # bytes of a file at a time
    AllowedHosts = None                                     # names that this server has; else 421
    ServeWellKnown = False                                  # files below /.well-known/
    Debug = False                                           # the 500 of a failed handler says what has failed
    ErrorCallback = None                                    # (text, exception or None)
    AccessCallback = None                                   # (httpClient, code)
    Banner = True                                           # Start() says where it listens, and with which files

    isBoard = BOARD
    memoLen = 4 if BOARD else 16 if MICROPYTHON else 256    # heads that are remembered
    Client = HttpClient
    Response = HttpResponse
    if not MICROPYTHON:                         # annotations of older programs
        _client = HttpClient
        _response = HttpResponse
    if not BOARD:                               # of microWebAsgi
        MakeHead = staticmethod(MakeHead)
        CheckAllowed = staticmethod(CheckAllowed)
    Disk = Disk
    Utf8 = staticmethod(Utf8)
    HTMLEscape = staticmethod(HTMLEscape)
    PercentDecode = staticmethod(PercentDecode)
    SendFile = staticmethod(SendFile)
    WriteFile = staticmethod(WriteFile)
    FromJSON = staticmethod(FromJSON)
    ToJSON = staticmethod(ToJSON)
    Reason = staticmethod(Reason)
    HttpError = HttpError
    Offload = None                              # of microWebThreads
    Spawn = SpawnCallback = AsyncSource = None  # of microWebAsync
    Returned = None                             # of microWebJson
    webSocketRoutes = []
    pages = {}                                  # path -> precompiled page, which needs no file
    notFoundUrl = None
    defaults = ()                               # (name, value)
    before = after = ()                         # (prefix, hook)
    errorHandlers = {}                          # code or None -> handler
    isPlain = True                              # an answer is what the handler wrote: no defaults, hooks, error pages

    methods = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")     # another one that no route has: 501

    _mimeTypes = {}
    _docoratedRouteHandlers = []
    files = Route("/", "GET", ServeFile)        # of every path that has no route: it has no use for content

    def __init__(self, routeHandlers=None, port=80, bindIP="", webPath="/flash/www"):
        if not isinstance(port, int) or not 0 <= port < 65536:
            raise ValueError("port must be a number from 0 to 65535, not %r" % (port,))
        super().__init__()
        self.port = port
        self.bindIP = CheckText("bindIP", bindIP or "")
        self.source = webPath if hasattr(webPath, "Stat") else Folder(CheckText("webPath", webPath))
        self.routes = []
        self.decorated = 0
        self.Upgraders = {}
        self.Renderers = {}
        self.heads = {}
        self.found = []                         # optional files
        # The optional files: absent means off, broken is loud. Now: at the first request the heap is in pieces.
        for name in OPTIONAL.split():
            name = "microWeb" + name
            if BOARD:
                gc.collect()
            try:
                module = _Import(name)
            except ImportError as error:
                name = _HOME + name
                if str(error) == "no module named '%s'" % name if MICROPYTHON else error.name == name:
                    continue
                raise
            module.Attach(self)
            self.found.append(name)
        for route in routeHandlers or ():
            self.AddRoute(*route)
        self.AddDecorated()

    # -- routes --------------------------------------------------------------------

    @staticmethod
    def route(url, method="GET", threaded=False, routes=None):
        """@MicroWebSrv.route('/path/<arg>', 'GET'): the handler serves this route on every server."""
        def decorated(handler):
            (MicroWebSrv._docoratedRouteHandlers if routes is None else routes).append(
                Route(url, method, handler, threaded))
            return handler
        return decorated

    @staticmethod
    def webSocketRoute(url):
        """@MicroWebSrv.webSocketRoute('/chat/<room>'): the accept callback of WebSockets at this path."""
        return MicroWebSrv.route(url, "GET", False, MicroWebSrv.webSocketRoutes)

    def AddRoute(self, url, method, handler, threaded=False):
        """Registers one more route; ValueError or TypeError says what is wrong with it."""
        self._Add(Route(url, method, handler, threaded))

    def _Add(self, route):
        self.Typed(route)
        if route.isAsync:
            if not self.Spawn:
                raise ValueError("the async handler of %s needs microWebAsync.py" % route.url)
            self.UseAsyncio = True
        self.routes.append(route)
        self.methods += (route.method,)
        self.heads = {}                         # what its heads have found may be another one now

    def Typed(self, route):
        """microWebRoutes puts its own in this place."""
        if ":" in "".join(route.names):
            raise ValueError("%s needs microWebRoutes.py" % route.url)

    def AddDecorated(self):
        for route in self.webSocketRoutes:
            self.Typed(route)
        routes = MicroWebSrv._docoratedRouteHandlers
        while self.decorated < len(routes):
            self.decorated += 1
            self._Add(routes[self.decorated - 1])

    def GetRouteHandler(self, resUrl, method):
        """-> (handler, routeArgs or None), or (None, None)."""
        self.AddDecorated()
        found = Find(self.routes, method.upper(), resUrl)
        return (found[0].handler, found[1] or None) if found else (None, None)

    def Find(self, head):
        """Always a route and its arguments: the path's, or the one that serves files."""
        found = head.found
        if found is None:
            found = Find(self.routes, head.method, head.key) \
                or head.method == "HEAD" and Find(self.routes, "GET", head.key) or (self.files, NO_ARGS)
            head.found = found
        return found

    def Allowed(self, head, isFile=False):
        """The methods that a path answers, sorted; [] if there are none."""
        methods = {"GET"} if isFile else set()
        for route in self.routes:
            if Find((route,), route.method, head.key):
                methods.add(route.method)
        if "GET" in methods:
            methods.add("HEAD")
        if methods:
            methods.add("OPTIONS")
        return sorted(methods)

    # -- configuration ---------------------------------------------------------------

    def SetNotFoundPageUrl(self, url=None):
        """Every path that is not found answers 302 to this URL; None: 404."""
        self.notFoundUrl = url

    def SetDefaultHeaders(self, headers=None):
        """Headers of every answer that has none of that name: a dict or a list of pairs; None: no more of them."""
        self.defaults = Pairs(headers)
        for pair in self.defaults:
            line, names = FieldLines([pair])
            if not line or "content-type" in names:
                self.defaults = ()
                raise ValueError("a default must not be what each answer has of its own: %r" % pair[0])
        self.isPlain = False

    # -- hooks -----------------------------------------------------------------------

    def Before(self, hook, prefix="/"):
        """hook(httpClient, httpResponse) for each request at or below prefix, before its content is read. If it
        answers, nothing else is called; if it returns a function, that is called once more before the handler."""
        self.before += (_Hook(hook, prefix),)
        return hook

    def After(self, hook, prefix="/"):
        """hook(httpClient, httpResponse) for each answer at or below prefix, of errors too: it may set headers."""
        self.after += (_Hook(hook, prefix),)
        self.isPlain = False
        return hook

    def Hooks(self, hooks, head):
        """Those for this path. Security: without case, as FAT finds files; and an encoded slash counts as one here, for
        the handler of an argument gets a slash."""
        path = head.path.lower() + "/"
        while "//" in path:
            path = path.replace("//", "/")
        found = []
        for prefix, hook in hooks:
            if path.startswith(prefix):
                found.append(hook)
        return found

    def SetErrorHandler(self, code, handler):
        """handler(httpClient, httpResponse, code) answers in the place of the page for an error; code None: for each
        that has none of its own. A 200 that it writes gets the code. handler None: the built-in page again."""
        if code not in range(400, 600) and code is not None or handler and not callable(handler):
            raise ValueError("code, handler must be 400 to 599 or None, and a function: %r" % ((code, handler),))
        self.errorHandlers = dict(self.errorHandlers)
        self.errorHandlers[code] = handler
        self.isPlain = False

    def SetSmall(self):
        """All limits for a heap of 50 to 100 KB. Before Start; each may be set to something else afterwards."""
        self.MaxRequestLineLen = 512
        self.MaxRequestHeadLen = self.MaxSendQueueLen = self.MaxWebSocketSendQueueLen = 2048
        self.MaxRequestContentLen = 4096
        self.MaxConnections = 4
        self.MaxWorkers = 1
        self.HeadTimeoutSec = 5
        self.KeepAliveTimeoutSec = 3
        self.BufferLen = self.MaxWebSocketRecvLen = 1024
        self.memoLen = 2
        self.WebSocketThreaded = False

    def GetMimeTypeFromFilename(self, filename):
        """'text/html' for 'a.HTML'; None for an unknown extension."""
        for ext in self._mimeTypes:
            if filename.lower().endswith(ext):
                return self._mimeTypes[ext]
        return MimeType(filename)

    # -- what rooms and optional files ask of it --------------------------------------------

    def Prefix(self, code, contentType, contentCharset):
        """The first lines of a response head: kept until the next second, when the Date changes."""
        if len(self.prefixes) > 16:
            self.prefixes.clear()
        prefix = HeadStart(code, contentType, contentCharset, time.gmtime())
        self.prefixes[code, contentType, contentCharset] = prefix
        return prefix

    def Stat(self, path):
        """(isFolder, size in bytes, mtime) of a path below webPath, or None."""
        return self.source.Stat(path)


def _Hook(hook, prefix):
    if not callable(hook) or IsAsync(hook) or prefix[:1] != "/":
        raise ValueError("hook, prefix must be a plain function, and a path: %r" % ((hook, prefix),))
    prefix = prefix.rstrip("/").lower()
    return prefix and prefix + "/", hook
