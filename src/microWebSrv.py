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
# Converts text and bytes to text, without knowledge of requests. Invalid input raises an error (strict) or is kept;
# none is dropped silently.

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

# One string takes a third of the memory of a dict on a board. MicroWebSrv._mimeTypes holds the types that a program
# adds. `image/ jpg=jpeg png` means image/jpeg and image/png. If an extension is a prefix of another one, the shorter
# one comes first.
_MIME_TYPES = (
    " text/ htm=html html css csv txt=plain log=plain md=markdown image/ jpg=jpeg jpeg png gif svg=svg+xml webp"
    " ico=x-icon font/ woff woff2 ttf otf audio/ mp3=mpeg wav video/ mp4 ts=mp2t application/ js=javascript json xml"
    " mjs=javascript xhtml=xhtml+xml webmanifest=manifest+json zip gz=gzip pdf bin=octet-stream ")
if not BOARD:
    _MIME_TYPES = (
        " application/ map=json wasm m3u8=vnd.apple.mpegurl image/ avif bmp audio/ ogg m4a=mp4 video/ webm"
        + _MIME_TYPES)


def MimeType(filename):
    """The media type for the extension of filename, in any case; None for an unknown extension."""
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
    """Replace & " ' > < by entities."""
    for char, entity in (("&", "&amp;"), ('"', "&quot;"), ("'", "&apos;"), (">", "&gt;"), ("<", "&lt;")):
        s = s.replace(char, entity)
    return s


# MicroPython's decoder checks the structure of a character, but accepts overlong forms, surrogates and code points
# above U+10FFFF. (These are not raw strings: MicroPython's re has no \x escape.)
_NOT_UTF8 = re.compile(b"[\xc0\xc1\xf5-\xff]|\xe0[\x80-\x9f]|\xed[\xa0-\xbf]|\xf0[\x80-\x8f]|\xf4[\x90-\xbf]")
NOT_HEX = re.compile(b"[^0-9A-Fa-f]")


def Utf8(data, strict=False):
    """bytes -> str (RFC 3629). An invalid byte becomes U+FFFD; strict=True: ValueError; strict=None: data is read as
    Latin-1."""
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
    """bytes -> str, %XX decoded (RFC 3986 section 2.1). A malformed %XX is kept; with strict it raises ValueError."""
    if b"%" in data:
        decoded = bytearray()                   # a list of parts would take 32 times the memory of the text
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
    """gmtime tuple -> 'Sun, 06 Nov 1994 08:49:37 GMT' (RFC 9110 section 5.6.7)."""
    day = 3 * when[6]
    month = 3 * when[1]
    return "%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[day:day + 3], when[2], _MONTHS[month - 3:month], when[0], when[3], when[4], when[5])


# ==============================================================================
# MESSAGES (core/messages.py)
# ==============================================================================
# The head of a request (RFC 9112 section 3) and the one exception: code that finds a violation of HTTP raises
# HttpError, and only the connection turns an HttpError into a response.

_REASONS = (
    "\n200 OK\n201 Created\n204 No Content\n206 Partial Content"
    "\n301 Moved Permanently\n302 Found\n303 See Other\n304 Not Modified\n307 Temporary Redirect"
    "\n400 Bad Request\n401 Unauthorized\n403 Forbidden\n404 Not Found\n405 Method Not Allowed"
    "\n408 Request Timeout\n409 Conflict\n412 Precondition Failed\n413 Content Too Large\n414 URI Too Long"
    "\n416 Range Not Satisfiable\n429 Too Many Requests\n431 Request Header Fields Too Large"
    "\n500 Internal Server Error\n501 Not Implemented\n503 Service Unavailable\n")
if not BOARD:                   # a board sends `Status` for these codes
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
    """HttpError(status, rule): the client's message violates this rule. The server answers with `status`, then
    closes."""


class Head:
    """The head of a request. Equal requests share it, so it must not be changed; only the router fills `found`.

    path: percent-decoded, slashes merged. key: the same with NUL for an encoded slash, which separates no segments (RFC
    3986 section 2.2). Routes, hooks and files compare `key`."""

    method = "GET"
    target = path = key = rawPath = query = ""
    minor = 1                   # minor version of HTTP/1.x
    authority = ""              # of an absolute-form target, else the Host field
    contentLength = None
    isChunked = expect = False
    keepAlive = False           # the client may send another request (RFC 9112 section 9.3)
    upgrade = ()                # protocol names, in lower case
    found = None                # (route, args); reset when a route is added
    if not BOARD:
        file = (None,)          # (second, path, media type) of the file that was found last for this path
    fields = {}                 # keys: field names in lower case


class Fields(dict):
    """A copy of the header fields for a program: names in lower case, looked up in any case."""

    def get(self, name, default=None):
        return super().get(name.lower(), default)

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return self.get(name) is not None


# ==============================================================================
# READERS (core/readers.py)
# ==============================================================================
# Parse bytes into a Head or into content, or raise HttpError; no connection is known here. Every malformed or ambiguous
# message (RFC 9112) is answered with 400, so that two servers can't disagree about where a request ends.

# These search for the first forbidden byte: at C speed, without recursion and without allocation.
_NOT_TARGET = re.compile(b"[^!-\"$-~\x80-\xff]")
NOT_TOKEN = re.compile(b"[^!#$%&'*+.^_`|~0-9A-Za-z\\-]")
NOT_VALUE = re.compile(b"[^\t -~\x80-\xff]")
_NOT_HOST = re.compile("[^0-9A-Za-z._~!$&'()*+;=%\\-]")

_FIELDS_MAX = const(100)          # Apache: LimitRequestFields 100
_LINE_MAX = const(4096)           # bytes of a chunk size with its extensions, or of all trailers; Apache: 8190
_PAIRS_MAX = const(1000)          # PHP: max_input_vars 1000; MicroPython's dict hashes to 16 bits only


def Options(text):
    """'Close, TE' -> ['close', 'te'], at most 101 items. Non-ASCII text gives ['?']: lower() could make ASCII letters
    of it."""
    if len(text.encode()) != len(text):
        return ["?"]
    options = []
    for option in text.lower().split(",", 100):
        options.append(option.strip(" \t"))
    return options


def ParseHead(raw, lineMax=8192):
    """Bytes of a head, without the final CRLF CRLF -> Head (RFC 9112 sections 2 to 6)."""
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
        # This rejects a bare CR or LF, obs-fold, and a space before the colon (sections 2.2, 5.1 and 5.2).
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
        """ParseHead for a request that a front server has already parsed. target: bytes; pairs: (name, value) as bytes,
        with names in lower case."""
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
            raise HttpError(505, "only HTTP/1.x is supported")
        head.minor = int(version[7:] > b"0")    # a higher minor version is treated as 1.1 (RFC 9110 section 2.5)
    head.target = Utf8(target)
    if target[:1] != b"/":
        target = _ReadForm(head, target)
    path, _, query = target.partition(b"?")
    head.rawPath = Utf8(path)
    head.query = Utf8(query)
    # Normalise the path: percent-decoded, slashes merged, encoded slashes kept apart as NUL.
    try:
        while b"//" in path:
            path = path.replace(b"//", b"/")
        if b"%00" in path:                      # NUL would end a file name; nginx: 400
            raise ValueError
        path = path.replace(b"%2f", b"%00").replace(b"%2F", b"%00")
        head.key = PercentDecode(path, True)
        head.path = head.key.replace("\x00", "/")
    except ValueError:
        raise HttpError(400, "malformed percent-encoding or UTF-8 in the path")


def _ReadForm(head, target):
    """A target in another form than origin-form (RFC 9112 section 3.2) -> its path and query."""
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
    """Raise HttpError 421 unless the requested host is an IP address or one of `hosts` (RFC 9110 section 7.4). This
    stops DNS rebinding: a foreign page sends its own host name."""
    name = authority and CheckHost(authority)
    if isinstance(hosts, str):
        hosts = (hosts,)
    if name[:1] != "[" and not name.replace(".", "").encode().isdigit() \
            and name.lower().rstrip(".") not in map(str.lower, hosts):
        raise HttpError(421, "not one of AllowedHosts: %s" % name)


def CheckHost(host):
    """Host -> host without the port (RFC 9112 section 3.2, RFC 3986 section 3.2.2)."""
    # HttpError 400 for what is a security risk: a user, a path, more than one port.
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:
        name = host
        port = ""
    if name[:1] == "[" and ":" in name and name[-1] == "]":     # IPv6 address
        bad = NOT_HEX.search(name[1:-1].replace(":", "").replace(".", "").encode())
    else:
        bad = _NOT_HOST.search(name)
    if not name or bad or port and not port.encode().isdigit():
        raise HttpError(400, "malformed Host")
    return name


def _ReadFraming(head):
    """Set framing and connection options from the fields (RFC 9112 sections 3.2, 6 and 9)."""
    fields = head.fields
    host = fields.get("host")
    if host:
        CheckHost(host)                         # refuses repeated Host fields too: they were joined with ", "
    elif host is None and head.minor:
        raise HttpError(400, "missing Host")
    if not head.authority:                      # section 3.2.2: the target's authority overrides Host
        head.authority = host or ""
    length = fields.get("content-length")
    if length is not None:
        if not length.encode().isdigit():
            raise HttpError(400, "malformed or repeated Content-Length")
        if len(length) > 18:
            raise HttpError(413, "Content-Length too large")
        head.contentLength = int(length)
    codings = fields.get("transfer-encoding")
    if codings is not None:
        # Sections 6.1 and 6.3: "chunked" must be the only coding, without Content-Length, and not in HTTP/1.0.
        names = Options(codings)
        if names != ["chunked"] or length is not None or not head.minor:
            isUnknown = length is None and head.minor and "chunked" not in names[:-1] \
                and set(names).difference(("", "chunked"))
            raise HttpError(501 if isUnknown else 400, "bad Transfer-Encoding")
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
    """The content of a request: `length` bytes (RFC 9112 section 6.2), or chunked for None (section 7.1).

    Chunk extensions and trailers are checked for invalid bytes and dropped."""

    isDone = False

    def __init__(self, length):
        self.left = length or 0                 # bytes still to come: of the content, or of the current chunk
        self._isChunked = length is None
        self._phase = _SIZE if length is None else _DATA
        self._trailerLen = 0

    def IsShort(self, most):
        """True if at most `most` bytes remain, and that is known."""
        return not self._isChunked and self.left <= most

    def Read(self, data):
        """Received bytes -> (content, bytes not consumed)."""
        if not self._isChunked:
            piece = data[:min(self.left, len(data))]
            self.left -= len(piece)
            self.isDone = not self.left
            return piece, data[len(piece):]
        content = bytearray()                   # a list of many small chunks would take 64 bytes of heap for each
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
                    raise HttpError(400, "chunk longer than its size")
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
                size = size.rstrip(b" \t")      # section 7.1.1: whitespace (BWS) before an extension
            if not size or len(size.lstrip(b"0")) > 15 or NOT_HEX.search(size):
                raise HttpError(400, "malformed chunk size")
            self.left = int(size, 16)
            self._phase = _DATA if self.left else _TRAILER
        elif self._phase == _CHUNK_END:
            if line:
                raise HttpError(400, "chunk longer than its size")
            self._phase = _SIZE
        elif line:
            name, colon, _ = line.partition(b":")
            self._trailerLen += len(line)
            if not colon or not name or NOT_TOKEN.search(name) or self._trailerLen > _LINE_MAX:
                raise HttpError(400, "malformed or endless trailers")
        else:
            self.isDone = True


def ParseForm(data, contentType="", form=dict):
    """Content of a form -> form(), a dict-like; the last value of a name counts. Urlencoded (b'a=1&b=x+y') or
    multipart/form-data (RFC 7578), of which only text fields are read."""
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
    fields = form()                             # parts stay bytes: MicroPython looks short str up in its name table
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
# Turn data into bytes: the counterpart of the readers. All values from a program are checked here (ValueError), so that
# no value can end a line and start another one (response splitting).

UNRESERVED = const("-._~")         # besides letters and digits (RFC 3986 section 2.3)
MARKS = const("-._~!#$&'()*+,:;<=>?@[]^`{|}")


def CheckText(name, value, bad=None):
    """value, a str or a path object, as str. ValueError for other types, or if `bad` matches."""
    # bad: NOT_VALUE finds control characters; NOT_TOKEN finds whatever no token has, '' included.
    if not isinstance(value, str):
        if BOARD or not hasattr(value, "__fspath__"):
            raise ValueError("%s must be str, not %r" % (name, value))
        value = str(value)
    if bad and (bad.search(value.encode()) or bad is NOT_TOKEN and not value):
        raise ValueError("%s must be without control characters, and a name without spaces: %r" % (name, value))
    return value


def Pairs(headers, name="headers"):
    """A dict, a list of pairs or None -> a new list of pairs. ValueError for anything else."""
    pairs = []
    try:
        for key, value in headers.items() if hasattr(headers, "items") else headers or ():
            pairs.append((key, value))
    except (TypeError, ValueError):
        raise ValueError("%s must be a dict or a list of pairs; content is another argument: %r" % (name, headers))
    return pairs


def FieldLines(headers, more=()):
    """Headers (a dict or list of pairs) -> (bytes of the field lines, {lower-case name: value}). Content-Length,
    Transfer-Encoding and Date are left out, since only the server sets them; Connection is only in the names. more:
    pairs for names that headers lacks; None as a value drops the name. The last pair of a name wins, but Set-Cookie and
    Vary add up."""
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
    """The first lines of a response head. when: the current time as a gmtime tuple."""
    head = "HTTP/1.1 %d %s\r\n" % (code, Reason(code))
    if when[0] > 2023:                          # a device without a clock sends no Date (RFC 9110 section 6.6.1)
        head += "Date: %s\r\n" % HttpDate(when)
    if contentType:
        if contentCharset:
            contentType = "%s; charset=%s" % (contentType, contentCharset)
        head += "Content-Type: %s\r\n" % CheckText("contentType", contentType, NOT_VALUE)
    return head.encode()


def Encode(text, charset):
    """str -> (bytes, charset that was used). MicroPython supports UTF-8, and Latin-1 by the code below."""
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
    """A piece of content -> bytes."""
    if isinstance(piece, str):
        return piece.encode()
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        raise ValueError("content must be str or bytes, not %r" % type(piece))
    return bytes(piece)


def PercentEncode(text, keep, instead=None):
    """Percent-encode as UTF-8 (RFC 3986 section 2.1) all characters but letters, digits and those in keep; or replace
    them by `instead`."""
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
    """Content-Disposition: a quoted ASCII name and, where it differs, the exact one (RFC 6266, RFC 8187)."""
    plain = PercentEncode(CheckText("attachmentName", name), " /" + MARKS, "_")
    value = 'attachment; filename="%s"' % plain
    return value if plain == name else value + "; filename*=UTF-8''" + PercentEncode(name, UNRESERVED)


def Chunk(data):
    """Frames data as one chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n" % len(data) + data + b"\r\n"


# ==============================================================================
# ROUTER (core/router.py)
# ==============================================================================
# Map method and path to a handler and its arguments. The first registered route that matches wins. No I/O and no clock.
# Paths have the form of Head.key, where NUL stands for an encoded slash.

NO_ARGS = ()

_REGEX_CHARS = re.compile("[\\^$*+?|(){}\\[\\]\\\\]")


def IsAsync(handler):
    """True for an async def. MicroPython shows this in the type, and for bound methods and closures only in
    str(handler)."""
    if MICROPYTHON:
        return "<generator>" in str(handler)[-60:] or str(handler).startswith("<closure <generator>")
    for function in (getattr(handler, "__func__", handler), getattr(type(handler), "__call__", None)):  # noqa: B004
        code = getattr(function, "__code__", None)
        if code:
            break
    return bool(code and code.co_flags & 0x80)


class Route:
    """One registered handler. The path is split at its <arguments> into literals. With regular expression characters in
    the literals, the path is a regular expression."""

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
            raise ValueError("a route must begin with / and have a different name for each <argument>: %r" % url)
        if _REGEX_CHARS.search("".join(literals)):
            pattern = "^" + "([^/]+?)".join(literals)
            # MicroPython's re recurses for each character that .* matches. At the end it can be left out together with
            # "$".
            isOpen = pattern.endswith(".*") and pattern[-3] != "\\"
            self.regex = re.compile(pattern[:-2] if isOpen else pattern + "$")

    def Match(self, path):
        """The arguments as a dict, NO_ARGS if the route has none, None if the path does not match. Each argument ends
        at the first place where the next literal fits."""
        literals = self._literals
        found = self.regex
        if found:
            try:
                found = found.match(path) or found.match(path + "/")
            except RuntimeError:                # the path is too long: MicroPython's re recursed too deeply
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
            # Digits are converted to int if no character is lost: '007' stays text.
            isInt = value.encode().isdigit() and (value[0] != "0" or value == "0") and len(value) < 1000
            args[name] = int(value) if isInt else value.replace("\x00", "/")
        return args or NO_ARGS


def Find(routes, method, path):
    """(route, args) of the first route that matches, or None. A trailing slash of the path is ignored."""
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
# THE state of one HTTP/1.1 connection (RFC 9112): bytes in, calls of handlers, bytes out. Only this file changes it. A
# connection reads one request at a time, and the next one when the response is queued. So responses leave in order, and
# pipelined requests wait in the socket. No socket is used here; the clock is server.now, and a link is used only
# through its methods.

WANT_NOTHING = const(0)
WANT_BYTES = const(1)
WANT_TURN = const(4)

# The states of a connection, in the order in which they occur:
_HEAD = const(0)            # waits for a request head; idle until its first byte
_CONTENT = const(1)         # reads content for a handler that waits for all of it; without a response it is dropped
_ANSWER = const(2)          # the handler runs or its response is being sent; an async handler may still read content
_LINGER = const(3)          # the last response is sent; input is dropped until the client closes
_CLOSED = const(4)          # closed, or the link has another endpoint

_SHARE = const(8)           # requests, or pieces of a response, before other connections get their turn
_MEMO_MAX = const(1024)     # bytes of the longest head that is kept in the memo
_LINGER_SEC = const(2)
_JOIN = const(1024)         # bytes; smaller pieces of chunked content are joined, because each send is expensive


_PAST = Head()          # head of a connection between two requests; before the first one, head is None


class Connection:
    """The HTTP endpoint of a link."""

    # Class attributes until they change: a new connection takes almost no heap.
    state = _HEAD
    keepAlive = True
    data = b""              # received bytes that were not consumed
    searched = 0            # this many bytes at the start of data hold no end of a head
    head = reader = client = response = source = None
    wake = None             # called when an async handler may continue: new content, a drained link, a lost client
    credit = 0              # content bytes that have not extended the deadline yet; in _LINGER: when to stop
    isEnded = False         # the client closed its sending side
    sent = None             # callback for when the client has the last response, or has left

    def __init__(self, server, link):
        self.server = server
        self.link = link
        self.deadline = server.now + server.HeadTimeoutSec

    # -- called by the link -------------------------------------------------------

    def OnReceived(self, data):
        """Process received bytes, or the stored ones if data is empty. An HttpError is answered here, and nowhere
        else."""
        if self.state >= _LINGER:               # input after the last response is dropped for a limited time
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
                    if self.reader:             # an incomplete line is left
                        break
                elif self.state != _HEAD:       # the response is not queued yet, or its source waits for its turn
                    return link.want == WANT_TURN or link.Want(WANT_NOTHING)
                elif link.out:                  # the response is not sent yet
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
        """The send queue is empty, or it is this connection's turn."""
        if self.wake:
            self.wake()
        if self.source is not None:
            self._Pull()
        elif self.state == _LINGER:
            self._Linger()
        else:
            if self.state == _HEAD:
                self.deadline = self.server.now + self.server.KeepAliveTimeoutSec
                if not BOARD and not self.server.isStarted:
                    self.OnStop()
            self.OnReceived(b"")

    Resume = OnDrained      # called by a source that returned None and has data again

    def OnEnd(self):
        """The client closed its sending side. True: it still waits for a response."""
        self.isEnded = True
        waits = self.state == _ANSWER and self.reader is None and not hasattr(self.source, "isEndless")
        if waits:
            self.keepAlive = False
            self.link.Want(WANT_NOTHING)
        return waits

    def OnLost(self):
        self.state = _CLOSED
        self.client = self.response = None      # further writes are refused
        self.server.Call(self._DropSource)      # a source that is running now raises on close()
        if self.wake:
            self.wake()
        if self.sent:
            self.server.Call(self.sent)

    def OnExpired(self):
        """The deadline has passed. An unfinished request gets 408, an idle connection is closed."""
        if self.response or self.state == _HEAD and self.data:
            self._Refuse(HttpError(408, "the request took too long"))
        else:
            self.link.Abort()

    def OnStop(self):
        self.keepAlive = False
        if self.state == _HEAD and not self.data:
            if not BOARD and self.server.StopIdleSec:       # the next response says Connection: close
                self.deadline = min(self.deadline, self.server.now + self.server.StopIdleSec)
            else:
                self.link.Close()
        elif hasattr(self.source, "Start"):     # an endless source may never send another piece
            self.End(self.response)

    def IsIdle(self):
        """True if this connection may be closed to make room."""
        # That is between two requests, after the last response, with a head that takes more than a second, or with
        # content late by a quarter of BodyTimeoutSec.
        state = self.state
        server = self.server
        if state >= _LINGER or state == _HEAD and self.head is not None and not self.data:
            return True
        seconds = server.HeadTimeoutSec if state == _HEAD else self.reader and server.BodyTimeoutSec * 3 // 4
        return self.deadline is not None and seconds and self.deadline < server.now + seconds

    # -- bytes to calls -----------------------------------------------------------

    def _ReadHead(self):
        """False if there is no complete head yet."""
        data = self.data
        server = self.server
        memo = server.heads
        # Nearly every read is exactly one head that is in the memo.
        head = memo.get(data) if len(data) <= _MEMO_MAX else None
        if head is not None:
            self.data = b""
        else:
            if data[0] == 13:                       # section 2.2: skip empty lines before the request line
                data = self._SkipLines(data)
            end = data.find(b"\r\n\r\n", self.searched)
            if end < 0:
                self._CheckPart(data, server)
                return False
            raw = data[:end + 4]
            head = memo.get(raw)
            if head is None:
                if end > server.MaxRequestLineLen:          # the same errors as for a head that came in parts
                    self._CheckPart(raw, server)
                head = ParseHead(data[:end], server.MaxRequestLineLen)
                if server.AllowedHosts is not None:     # checked before all else; a head in the memo has passed
                    CheckAllowed(head.authority, server.AllowedHosts)
                if end <= _MEMO_MAX and server.memoLen and not head.upgrade:    # an Upgrade head has a unique key
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
        # Check an incomplete head: its length, and that no line ends with LF alone, since then the end would never
        # come.
        size = len(data.rstrip(b"\r\n"))       # trailing CR and LF may belong to the end of the head
        eol = data.find(b"\r\n")
        status = 0
        most = server.MaxRequestHeadLen
        if (size if eol < 0 else eol) > server.MaxRequestLineLen:
            status = 414
            most = server.MaxRequestLineLen
        elif size > most:
            status = 431
        part = data[:most] if status else data  # bytes after the limit are not examined
        pairs = part.count(b"\r\n")
        if part.count(b"\n") != pairs or part.count(b"\r", 0, -1) != pairs:
            raise HttpError(400, "CR or LF alone")
        if status:
            raise HttpError(status, "request line too long" if status == 414 else "request head too long")
        deadline = server.now + server.HeadTimeoutSec
        # The first head's deadline runs from the start of the connection, and empty lines don't extend it.
        if not self.searched and self.head and (size or deadline < self.deadline):
            self.deadline = deadline
        self.searched = len(data) and max(len(data) - 3, 1)         # 0: no byte of this head has been seen

    def _Prepare(self, head, server):
        # Handle a request with hooks, an upgrade or content. A plain handler is called when all content has arrived.
        length = head.contentLength
        if length or head.isChunked:
            self.reader = reader = ContentReader(None if head.isChunked else length)
            self.deadline = server.now + server.BodyTimeoutSec
            self.credit = 0                     # content bytes that have not extended the deadline yet
        if server.before and self._Ask(server.Hooks(server.before, head)):
            return
        if not self.reader:
            for token in head.upgrade:
                if token in server.Upgraders:
                    return self._Call(None, server.Upgraders[token], NO_ARGS)
        route, args = server.Find(head)
        if not self.reader or route is server.files and (head.expect or not reader.IsShort(server.BufferLen)):
            return self._Call(route, route.handler, args)       # without content, or the file handler, which reads none
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
        """True if a hook answered the request. A hook that needs the content returns a function for later."""
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
        """False if the buffer is full until the handler reads."""
        server = self.server
        client = self.client
        reader = self.reader
        piece, self.data = reader.Read(self.data)
        # 1 KiB extends the deadline by 1 s. The cap stops a fast sender from saving up time (Apache: mod_reqtimeout).
        self.credit += len(piece)
        if self.deadline is not None:
            self.deadline = min(self.deadline + (self.credit >> 10), server.now + server.BodyTimeoutSec)
        self.credit &= 1023
        isDone = reader.isDone
        if isDone:
            self.reader = self.deadline = None
        if not client:                          # the response was queued already
            if isDone:
                self._Next()
            return True
        if client.sink:
            piece = client.sink(piece)          # the sink may answer the request
        if not client.content:
            client.content = piece
        else:                                   # in place: copying for each small piece would take quadratic time
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
            self.deadline = None                # now the handler is the slow side
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
            # Each handler gets a copy of the arguments, because equal requests share the head.
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
        """Queue a response. lines: bytes of field lines. source: an iterator of pieces, pulled as the client drains;
        length: its total, None if unknown. False: it can't be sent any more."""
        if response is not self.response:
            _Close(source)
            return False
        server = self.server
        head = self.head
        if source is None:
            length = len(body)
        # Close when an idle connection would take the last slot, when much content is unread, or for an HTTP/1.0
        # response of unknown length, which ends with the connection (RFC 9112 section 6.3, step 8).
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
            self.link.Send(prefix + end + body)     # one send: Nagle delays a second one until the client's ACK
            self._Complete()
        else:
            if hasattr(source, "Start"):
                source.Start(self)
            self.source = source
            self._Pull(response, code, prefix + end)
        return True

    def _Pull(self, response=None, code=0, head=b""):
        # Send pieces of the source until the client falls behind or the turn ends. The head leaves with the first
        # piece, so a source that fails before can be answered with 500.
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
        """-> (next bytes for the link, isLast). None instead of bytes: wait for Resume(); b"": none yet, ask again."""
        isFile = hasattr(source, "responseHead")    # a file puts the head into its buffer, which saves a copy of both
        if isFile and head:
            source.responseHead = head
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
                return piece, not source.left
            if piece is None or not len(piece):
                break
            parts.append(Bytes(piece))
            size += len(parts[-1])
        data = b"".join(parts)
        if self.isChunked:
            data = (Chunk(data) if data else b"") + (b"0\r\n\r\n" if isLast else b"")
        return head + data or (None if piece is None else b""), isLast

    def Push(self, response, data):
        """Send a piece of a response of unknown length. Blocks until the send queue has room. False: the client left or
        is too slow."""
        if response is not self.response:
            return False
        link = self.link
        # First make room: a program that gets a MemoryError here may push the same piece again.
        response.patienceMs = link.Settle(self.server.MaxSendQueueLen, response.patienceMs)
        if data:
            link.Send(Chunk(data) if self.isChunked else data)
        return not link.isDead

    def End(self, response):
        """End a response that was sent with Push."""
        if response is self.response:
            self._DropSource()
            if self.isChunked:
                self.link.Send(b"0\r\n\r\n")
            self._Complete()

    def Finish(self, response, result=None):
        """The handler returned `result`. Send a response that was held back; without any response send 204."""
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
        """The handler raised an exception (SystemExit too): answer 500 without details, or abort if the head is
        sent."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        server = self.server
        isCurrent = response is self.response
        try:
            if isinstance(error, HttpError) and isCurrent and response.code is None:
                self._DropSource()              # the first piece of a stream raised it
                return self._Refuse(error)
            if isCurrent or not isinstance(error, OSError):     # OSError of a past response: the client left
                head = response.client.head
                server.Log("%s %s" % (head.method, head.target), error)
            if not isCurrent:
                return
            self._DropSource()
            response.fields = []
            rule = "%s: %s" % (type(error).__name__, error) if server.Debug else ""
            self._Refuse(HttpError(500, rule))
        except Exception as failure:            # not even memory for the 500
            self.link.Abort()
            server.Log("a failure could not be answered", failure)

    def _Refuse(self, error):
        # Answer a request that violates a rule, or with 500; then close if the next request can't be found.
        if self.response and self.response.code is not None and not self.response.held or self.state > _ANSWER:
            return self.link.Abort()
        status, rule = error.args
        if status == 413:
            self.server.Log("413: %s" % rule)
        response = self.response
        if status == 413 or status != 500 and (self.reader or not response):   # the following bytes may be no request
            self.keepAlive = False
        if response:                            # keep the headers that hooks have set
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
        """The whole response is queued."""
        server = self.server
        if server.AccessCallback:
            server.Call(server.AccessCallback, self.client, self.response.code)
        self.client = self.response = None
        self.head = _PAST                       # so that an idle connection keeps no request alive
        if self.wake:
            self.wake()                         # a handler that waits for content gets an OSError
        if self.keepAlive:
            if not self.reader:
                return self._Next()
            self.state = _CONTENT               # read and drop the rest of the content
            self.deadline = server.now + server.BodyTimeoutSec
            self.link.Want(WANT_BYTES)
        elif self.reader or self.data or self.sent or not BOARD and server.StopIdleSec and not server.isStarted:
            # To close with unread bytes would send a reset, which can destroy the response (RFC 9112 section 9.6).
            self._Linger()
        else:
            self.state = _CLOSED
            self.link.Close()

    def _Linger(self):
        self.state = _LINGER
        self.data = b""
        self.credit = self.server.now + (_LINGER_SEC if self.sent else self.server.BodyTimeoutSec)  # the latest end
        self.OnReceived(b"")
        self.link.Finish(not self.reader and not self.sent)

    def OnSent(self, callback):
        """callback() when the client has the response and has closed the connection, or when it has left."""
        self.sent = callback
        self.keepAlive = False
        if self.link.isDead:
            self.server.Call(callback)
        elif not self.client and self.state < _ANSWER:      # the response was sent already
            self._Linger()

    def Serves(self, client):
        """True if the client still waits for the response; False after it has closed its sending side."""
        link = self.link
        if link.endpoint is not self:           # a WebSocket reads by itself
            return not link.isDead
        if client is self.client and not self.reader and len(self.data) < self.server.MaxRequestHeadLen:
            link.Look()
        return client is self.client and not self.isEnded

    def _Next(self):
        """Prepare for the next request."""
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
        """Send a complete 101 response and hand the link over to `endpoint`."""
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
# The objects that a handler gets: HttpClient is the request, HttpResponse the response. Both send and read only through
# the connection.

_COLONS_MAX = const(5000)       # in a JSON text

_HTML_ERROR = "<!DOCTYPE html><title>%d %s</title><h1>%d %s</h1><p>%s" if BOARD else (
    "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"UTF-8\"><title>%d %s</title></head>"
    "<body><h1>%d %s</h1><p>%s</p></body></html>")


class HttpClient:
    """The request. In an async handler the Read… methods are awaited."""

    content = b""           # content that arrived and was not read yet
    hooks = ()              # functions that hooks returned; called when all content is there
    Form = dict             # class of the dict for query and form fields
    # set by a hook: sink(piece) -> the part of piece to keep in memory; the handler then waits for all content
    sink = None

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
        """The path and the query string as the client sent them."""
        head = self.head
        return head.rawPath + "?" + head.query if head.query else head.rawPath

    def GetRequestPath(self):
        """The path, percent-decoded, with repeated slashes merged."""
        return self.head.path

    def GetRequestQueryString(self):
        return self.head.query

    def GetRequestQueryParams(self):
        """A dict; the last value of a repeated name counts."""
        return ParseForm(self.head.query.encode(), "", self.Form)

    def GetRequestHeaders(self):
        """A new dict-like object: names in lower case, looked up in any case."""
        return Fields(self.head.fields)

    def GetRequestContentType(self):
        return self.head.fields.get("content-type")

    def GetRequestContentLength(self):
        """In bytes; 0 without content, or while chunked content has not arrived yet."""
        return self.head.contentLength or (len(self.content) if self.head.isChunked else 0)

    def GetCookies(self):
        """A dict of names and values. The first value of a repeated name counts: its path is the longest (RFC 6265
        section 5.4)."""
        cookies = {}
        for pair in self.head.fields.get("cookie", "").split(";", 100)[:100]:
            name, equals, value = pair.strip().partition("=")
            if equals and name not in cookies:
                cookies[name] = value
        return cookies

    def IsConnected(self):
        """False if the client has left or has closed its sending side; then the response is useless."""
        return self.connection.Serves(self)

    def __getattr__(self, name):
        """Attributes that programs for the older server read: `_queryString` is GetRequestQueryString()."""
        if name[:1] != "_" or name[:2] == "__":
            raise AttributeError(name)
        name = {"_microWebSrv": "GetServer", "_addr": "GetAddr", "_path": "GetRequestTotalPath",
                "_resPath": "GetRequestPath"}.get(name) or "GetRequest" + name[1:2].upper() + name[2:]
        return getattr(self, name)()

    def ReadRequestContent(self, size=None):
        """Up to size bytes of the content (None: all that is left); b'' at the end."""
        return self.Read(size, bytes)

    def ReadRequestPostedFormData(self):
        """The text fields of a form, urlencoded or multipart/form-data (without files), as a dict. HttpError 400 for
        more than 1000 fields."""
        return self.Read(None, lambda content: ParseForm(content, self.GetRequestContentType() or "", self.Form))

    def ReadRequestContentAsJSON(self):
        """The content parsed as JSON; None if it is not valid JSON."""
        return self.Read(None, FromJSON)

    def Read(self, size, convert):
        """convert(up to size bytes of the content, None: all). microWebAsync replaces this method for async
        handlers."""
        content = self.content
        if size is None or size >= len(content):
            self.content = b""
        else:
            self.content = content[size:]
            content = content[:size]
        return convert(bytes(content))


def FromJSON(content):
    if content[:3] == b"\xef\xbb\xbf":          # byte order mark
        content = content[3:]
    # MicroPython's dict hashes to 16 bits only: many chosen keys would take seconds.
    if MICROPYTHON and content.count(b":") > _COLONS_MAX:
        raise HttpError(413, "JSON with more than %d colons" % _COLONS_MAX)
    start = quotes = 0
    try:
        # The time to parse an integer grows with the square of its length, so integers of 1,023 digits (some of 512 and
        # more) are refused. Digits within a string are allowed.
        for at in range(0, len(content) - 511, 512):
            if content[at:at + 512].isdigit():
                quotes += content[start:at].replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')
                start = at
                if not quotes & 1:
                    return None
        return json.loads(Utf8(content))
    except (ValueError, RuntimeError, MemoryError):     # RuntimeError: nested too deep for the stack
        return None


if not MICROPYTHON:
    def _EncodeRaw(text, charset):
        # In the charset; in UTF-8 if the charset lacks a character, which is never shorter than a program has counted.
        try:
            return text.encode(charset)
        except (UnicodeError, LookupError):
            return text.encode()

    _Dumps = json.JSONEncoder(allow_nan=False).encode


def ToJSON(obj):
    try:
        if not MICROPYTHON:
            return _Dumps(obj)
        # MicroPython writes nan, inf and <function> without an error; loads() refuses them.
        text = json.dumps(obj)
        if "nan" in text or "inf" in text or ": <" in text or text[0] == "<":
            json.loads(text)
        return text
    except (TypeError, ValueError) as error:
        raise ValueError("obj must be JSON: %s" % error)


class HttpResponse:
    """The response. Write… returns True if it is queued, False if there is one already or the client has left."""

    code = None             # status of the accepted response
    held = None             # its head, sent late because a raw _write may follow
    fields = []             # set by SetHeader; never changed in place; None: the head is sent
    vars = None             # extra variables for templates
    flash = None            # set by FlashMessage: style, line feed, text
    status = None           # status of the error whose handler writes this response
    patienceMs = 2000       # milliseconds for which raw writes may block the engine for a slow client

    def __init__(self, client):
        self.client = client
        self.connection = client.connection

    def __next__(self):
        """Raw writes push their pieces, so there is never one to pull."""

    def Answer(self, code, headers, contentType, contentCharset, body, source=None, length=None, lines=b""):
        """For all responses. lines: bytes of field lines before those of headers."""
        connection = self.connection
        server = connection.server
        kept = self.fields
        accepted = None
        try:
            if self.code is not None:
                return False
            code = code == 200 and self.status or code
            if server.after:
                self.code = code                # makes Write… return False inside the hooks
                for hook in server.Hooks(server.after, self.client.head):
                    server.Call(hook, self.client, self)
                self.code = None
            fields = self.fields
            for pair in server.defaults:        # field lines of a file override the defaults
                if ("\n%s:" % pair[0]).lower().encode() not in b"\n" + lines.lower():
                    fields = [pair] + fields
            if headers or fields:
                more, names = FieldLines(headers, fields)
                if "cache-control" in names:    # it replaces the first of a file's own lines
                    lines = lines[lines.find(b"\n") + 1:]
                lines += more
                contentType = None if "content-type" in names else contentType
                connection.keepAlive = connection.keepAlive and names.get("connection", "").lower() != "close"
            self.fields = None
            if not body and source is None and (code == 200 or contentType and code not in (204, 304)):
                HeadStart(code, contentType, contentCharset, (0,))       # ValueError if these are invalid
                self.code = code
                self.held = (code, contentType, contentCharset, lines, b"")
                accepted = connection.response is self
            else:
                accepted = connection.Answer(self, code, contentType, contentCharset, lines, body, source, length)
            return accepted
        finally:
            if accepted is None:                # an exception, or there already was a response
                self.fields = kept
                if hasattr(source, "close"):    # close an open file
                    source.close()

    def _write(self, data, strEncoding=None):
        """Write raw content after a head that was written without content. OSError if the client has left."""
        connection = self.connection
        if isinstance(data, str):               # MicroPython's encode() gives UTF-8, and programs count with it
            data = data.encode() if MICROPYTHON else _EncodeRaw(data, strEncoding or "ISO-8859-1")
        if self.code is None:                   # no head either: the program itself writes HTTP, to the end
            self.code = 200
            connection.keepAlive = connection.isChunked = False
        elif self.held:
            held = self.held
            self.held = None
            connection.Answer(self, *held, self)
        if not connection.Push(self, bytes(data)):
            raise OSError(104, "the client left")       # ends programs that write in an endless loop
        return True

    def SetHeader(self, name, value):
        """Set a header of the response. headers of Write… override it; None removes it. False: the head is sent
        already. ValueError for a control character."""
        FieldLines((), [(name, value)])
        if self.fields is None or self.connection.response is not self:
            return False
        self.fields = self.fields + [(name, value)]
        return True

    def SetCookie(self, name, value, maxAge=None, path="/", httpOnly=True, secure=False, sameSite="Lax"):
        """Set a cookie (RFC 6265 section 4.1). maxAge: seconds; None: until the browser ends; 0: delete. ValueError for
        an invalid name, value or path."""
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
        """callback() on the engine when the client has the response or has left; then the connection closes."""
        self.connection.OnSent(callback)

    def WriteSwitchProto(self, upgrade, headers=None):
        """Send 101. After it the program speaks the new protocol itself, with _write."""
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
            raise ValueError("pieces must be iterable; async ones need microWebAsync.py: %r" % (pieces,))
        return self.Answer(code, headers, contentType, contentCharset, b"", pieces)

    def WriteResponsePyHTMLFile(self, filepath, headers=None, vars=None):
        """Render the template; 501 without microWebTemplate.py, 404 without the file."""
        server = self.connection.server
        render = server.Renderers.get(".pyhtml")
        if not render:
            return self.WriteError(501)
        filepath = CheckText("filepath", filepath)
        flash = "cookie" in self.client.head.fields and self.client.GetCookies().get("flash")
        if flash:                               # the message of an earlier response, usually a redirect
            self.SetCookie("flash", "", 0)
            flash = PercentDecode(flash.encode())
        style, _, text = (self.flash or flash or "").partition("\n")
        values = {"MESSAGE_TEXT": text, "MESSAGE_STYLE": style}
        for more in vars, self.vars:
            if more:
                values.update(Pairs(more, "vars"))
        try:
            pieces = render(server, filepath, values)
        except OSError:
            return self.WriteResponseNotFound()
        if isinstance(pieces, tuple):           # the whole page in one piece
            return self.WriteResponse(200, headers, "text/html", "UTF-8", pieces[0])
        return self.WriteResponseStream(pieces, "text/html", "UTF-8", headers)

    def FlashMessage(self, messageText, messageStyle=""):
        """Set MESSAGE_TEXT and MESSAGE_STYLE for the next template that this client gets, also after a redirect."""
        self.flash = "%s\n%s" % (messageStyle, messageText)

    def WriteResponseFile(self, filepath, contentType=None, headers=None):
        """Send the file; if there is none, send 404 and return False."""
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
        """Send 302 to a URL or a path. Non-ASCII characters are percent-encoded."""
        # CR, LF and NUL are kept here, so that the header check refuses them.
        location = PercentEncode(CheckText("location", location), MARKS + "/\"%\\\r\n\x00")
        if self.flash:
            self.SetCookie("flash", PercentEncode(self.flash, UNRESERVED + "/"), 60)
        return self.WriteResponse(302, {"Location": location}, None, None, None)

    def WriteError(self, code, headers=None, rule=""):
        """Call the error handler of the program, or send a small HTML page with the status and `rule`, the broken
        rule."""
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
        """Call the error handler of the program, or send a small HTML page with the status."""
        return self.WriteError(code)

    def WriteResponseBadRequest(self):
        return self.WriteError(400)

    def WriteResponseForbidden(self):
        return self.WriteError(403)

    def WriteResponseNotFound(self):
        """Send 404, or 302 if SetNotFoundPageUrl has set a URL."""
        url = self.connection.server.notFoundUrl
        if url and url != self.client.head.path:
            return self.WriteResponseRedirect(url)
        return self.WriteError(404)

    def WriteResponseMethodNotAllowed(self, allow=()):
        """Send 405 with Allow (RFC 9110 section 15.5.6). allow: methods; default: those of the path's routes."""
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
# Find the file below webPath for a request path, and send it or 304. webPath may be any object with Stat(path) ->
# (isFolder, size in bytes, mtime) or None, and Open(path) -> a binary file; paths begin with a slash.

_INDEX_PAGES = "index.pyhtml index.html index.htm "
_FOLDER_KIND = const(0x4000)        # file types in st_mode, the same in POSIX and MicroPython
_FILE_KIND = const(0x8000)
_LINK_KIND = const(0xA000)
_ENOENT = const(2)
_ENFILE = const(23)
_EMFILE = const(24)

# Limits of the memory of checked paths: entries, and characters of a path.
_KNOWN_MAX = const(64)
_KEY_MAX = const(256)

# Security: refused are control characters, backslashes and drives; hidden names, '..' among them; dots and spaces at
# the end of a name, which FAT and Windows drop; and short names of FAT and Windows, which reach hidden files.
# (MicroPython's re can't have NUL in a pattern. NUL stands for an encoded slash.)
_UNSAFE = re.compile("[\x01-\x1f\\\\:]|/\\.|[. ](/|$)|~[0-9]")


class Folder:
    """A folder of the file system. Folder("/") is the whole file system and accepts relative paths, too."""

    def __init__(self, root):
        if root[:1] != "/":                 # relative paths are slow, and wrong after a chdir()
            root = os.path.abspath(root) if not MICROPYTHON else os.getcwd().rstrip("/") + "/" + root
        self.root = root = root.rstrip("/")
        if not BOARD:
            # path -> (second, key of os.stat, Stat's result, whole path, may Open trust it?), for microWebSendFile, too
            # folder -> [ctime, its links]
            self.known = self._links = {}
        if not MICROPYTHON:                 # bytes: in a C locale Python can't encode non-ASCII names
            self._root = os.fsencode(root)

    def Stat(self, path):
        """None if path is neither file nor folder (a pipe would block), or if a link leads outside."""
        found = None
        try:
            if not BOARD:
                known = self.known.get(path)
                if known and _IsSame(known, os.stat(known[3])):
                    return known[2]
            if "\x00" in path:
                return None
            isFolder = path.endswith("/")
            whole = path.rstrip("/")        # FAT refuses a trailing slash
            whole = self.root + whole if MICROPYTHON else self._root + whole.encode("utf-8", "surrogateescape")
            stat = os.stat(whole or "/")
            kind = stat[0] & 0xF000
            if kind != _FOLDER_KIND and (isFolder or kind != _FILE_KIND):
                return None
            found = kind == _FOLDER_KIND, stat[6], stat[8]
            if not BOARD and self.root:
                if not self._Inside(whole):
                    return None
                key = stat[:7] + stat[8:10]         # without the time of the last read
                self.known = _With(self.known, path, (int(time.time()), key, found, whole, MICROPYTHON))
        except OSError as error:
            if BOARD or error.errno not in (_ENFILE, _EMFILE):  # Open raises these again
                return None
        return found

    def Open(self, path):
        """OSError if there is no such file. Security: check again, since a link may have replaced the file after
        Stat."""
        if BOARD:                           # file systems of boards have no links
            return open(self.root + path, "rb")
        known = self.known.get(path)
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
        """Check that the path stays below the root. -> (root, rest) with all links followed, or None. MicroPython
        can't resolve links, so there any link gives None."""
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
                if not links or links[0] != changed:    # listing ten thousand names takes 11 ms
                    links = [changed] + [entry[0] for entry in os.ilistdir(folder) if entry[1] == _LINK_KIND]
                    # Not within the second of the last change: ctime would not show another change.
                    if changed < int(time.time()) - 1 and len(links) < _KNOWN_MAX:
                        self._links = _With(self._links, folder, links)
                if name in links:
                    return None
                folder += "/" + name
        return folder

    def _OpenInside(self, path, known, whole):
        """-> a file descriptor, or the path on Windows."""
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
            found = _Walk(*inside)              # the path has links that stay below the root
        stat = os.fstat(found)
        key = stat[:7] + stat[8:10]
        self.known = _With(self.known, path, (int(time.time()), key, (False, stat[6], stat[8]), whole, True))
        return found


def _With(table, key, value):
    # A bounded copy of table with one more entry; other threads may read the old one.
    if len(key) >= _KEY_MAX:
        return table
    table = dict(table) if len(table) < _KNOWN_MAX else {}
    table[key] = value
    return table


def _IsSame(known, stat):
    # True if the links were checked in this second and the file is the same. A link in its place has another stat.
    return known[1] == stat[:7] + stat[8:10] and known[0] == int(time.time())


def _Walk(root, path):
    """-> descriptor of a regular file. Each name is opened relative to the folder before it; links are refused."""
    through = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY       # O_PATH needs no read permission on folders
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
    """The handler of all paths without a route: sends a file, an index page, or an error status."""
    server = client.connection.server
    head = client.head
    if not BOARD:                           # only here: a board rarely gets the same head twice in a second
        known = head.file
        if known[0] == server.now:
            stat = server.Stat(known[1])
            if stat and not stat[0]:
                return server.SendFile(response, server.source, known[1], known[2], None, stat)
    method = head.method
    path, stat = _Locate(server, head.key)
    isPage = path[-7:].lower() == ".pyhtml"
    if isPage and "/_" in path:             # a part of other templates
        stat = None
    isFile = stat and not stat[0]
    if method in ("GET", "HEAD") and stat:
        if isPage and isFile:
            return response.WriteResponsePyHTMLFile(getattr(server.source, "root", "") + path)
        if isFile:
            contentType = server.GetMimeTypeFromFilename(path)
            if not contentType:             # unknown types are refused, so .py files stay private
                return response.WriteResponseForbidden()
            if not BOARD:
                head.file = server.now, path, contentType
            return server.SendFile(response, server.source, path, contentType, None, stat)
        if path[-1] != "/":
            path = PercentEncode(path, "/" + UNRESERVED) + "/"
            return response.WriteResponse(301, {"Location": path + "?" + head.query if head.query else path},
                                          None, None, None)
    # Nothing to send: OPTIONS, 501, 405 with the allowed methods, or 404.
    allow = server.Allowed(head, isFile or head.target == "*")
    if method == "OPTIONS" and allow:
        return response.WriteResponse(204, {"Allow": ", ".join(allow)}, None, None, None)
    if "websocket" in head.upgrade or method not in server.methods:
        return response.WriteError(501)
    if allow:
        return response.WriteResponseMethodNotAllowed(allow)
    return response.WriteResponseNotFound()


def _Locate(server, path):
    """-> (path, its stat, or None if nothing may be served). For a folder with an index page it is the page's path."""
    start = 12 if server.ServeWellKnown and path.startswith("/.well-known/") else 0
    if path[:1] != "/" or "\x00" in path or _UNSAFE.search(path[start:]):
        return path, None
    if path in server.pages:
        return server.pages[path], (False, 0, 0)
    stat = server.Stat(path)
    if stat and stat[0] and path[-1] == "/":
        pages = _INDEX_PAGES + _INDEX_PAGES.replace("index", "default")
        for name in (pages + pages.upper()).split():        # FAT names may be upper case
            index = server.Stat(path + name)
            if index and not index[0]:
                return path + name, index
    return path, stat


def SendFile(response, source, path, contentType, headers, stat=None):
    """Send a file: 200, 304 or 404 (RFC 9110). microWebFiles.py replaces this with ETags, conditions, ranges and
    .gz."""
    head = response.client.head
    server = response.connection.server
    stat = stat or source.Stat(path)
    if not stat or stat[0]:
        return response.WriteResponseNotFound() and False
    level = server.LetCacheStaticContentLevel
    lines = "Cache-Control: %s\r\n" % ("no-store", "max-age=3600", "no-cache")[level]
    code = 200
    # Last-Modified is left out for a file changed less than 2 s ago (the resolution of FAT), because another change
    # could have the same time; for times before 1970, on which gmtime of MicroPython fails; and for times in the
    # future, unless the clock is not set.
    now = time.time()
    if level and stat[2] > 0 and (
            now < stat[2] and not stat[2] >> 33 if time.gmtime()[0] < 2024 else stat[2] < now - 2):
        date = HttpDate(time.gmtime(stat[2]))
        if head.fields.get("if-modified-since") == date and "if-none-match" not in head.fields \
                and head.method in ("GET", "HEAD"):
            code = 304
        else:
            lines += "Last-Modified: %s\r\n" % date
    return server.WriteFile(response, code, headers, contentType, source, path, 0, stat[1], lines.encode())


def WriteFile(response, code, headers, contentType, source, path, start, length, lines):
    """Send `length` bytes of the file from `start`; for 304 and 412 only the head. lines: bytes of field lines."""
    if code > 299:
        return response.Answer(code, headers, None, None, b"", None, None, lines)
    try:
        body = response.connection.server.FileBody(source, path, start, length, response.connection)
    except OSError as error:
        isFull = error.errno in (_ENFILE, _EMFILE)      # too many open files: 503, because a cache may store a 404
        return (response.WriteError(503) if isFull else response.WriteResponseNotFound()) and False
    # HTML, CSS, JavaScript and XML declare their charset themselves, and a header would override that.
    charset = "UTF-8" if contentType in "text/plain text/csv text/markdown" else None
    return response.Answer(code, headers, contentType, charset, b"", body, length, lines)


class FileBody:
    """Pieces of an open file in the server's one buffer; each piece overwrites the last."""
    # The first piece is put behind the head in the buffer, because a copy of both needs more contiguous memory than a
    # board has.

    responseHead = b""

    def __init__(self, source, path, start, length, connection):
        self._file = source.Open(path)
        self.left = length          # bytes to come
        self._buffer = connection.server.buffer
        if start:
            self._file.seek(start)

    def __next__(self):
        head = self.responseHead
        used = len(head)
        buffer = self._buffer
        self.responseHead = b""
        left = self.left
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
        self.left = left - size
        return piece

    def close(self):
        self._file.close()


# ==============================================================================
# TRANSPORT (core/transport.py)
# ==============================================================================
# One socket: reading and writing bytes. All code here runs on the thread of the poll loop.

POLL_IN = const(1)              # same value for poll and epoll on every system
POLL_OUT = const(4)
_BACKLOG = 16 if BOARD else 511
_UNSENT_MAX = const(131072)
_SHORT = const(512)             # a copy of so few bytes takes less time than to ask whether the endpoint needs it


if not BOARD:
    INHERITS = sys.platform == "linux"          # accepted sockets inherit the listener's options

    def Prepare(listener):
        """Set the options that connections inherit."""
        # TCP_NODELAY: small responses are sent at once. TCP_NOTSENT_LOWAT: without it Linux reports room only when a
        # third of the send buffer (megabytes) is free, which takes a slow reader a minute; with it every read of the
        # client is noticed.
        try:
            listener.setsockopt(6, 1, 1)        # IPPROTO_TCP, TCP_NODELAY
            listener.setsockopt(6, getattr(socket, "TCP_NOTSENT_LOWAT", 25), _UNSENT_MAX)
        except OSError:                         # not Linux
            pass


if not MICROPYTHON:
    class _Listener(socket.socket):
        """accept() reads these two attributes each time, and the properties of socket.socket are slow."""

        family = socket.AF_INET
        type = socket.SOCK_STREAM


def RandomPort():
    """A port that may be free. MicroPython has no getsockname() to find out which port the system chose for 0."""
    return 49152 + int.from_bytes(os.urandom(2), "little") % 16384


def Address(bindIP, port):
    """-> (family, …, argument of bind())."""
    return socket.getaddrinfo(bindIP or "0.0.0.0", port, 0, socket.SOCK_STREAM)[0]


def Listen(port, bindIP):
    """-> (listening socket, port); port 0: a free one. OSError if the address can't be bound."""
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
    NewPoll = getattr(select, "poll", None)     # has register, modify, unregister and ipoll(ms)

    # Functions that run before an event's bytes are allocated must have frames of at most eleven words. MicroPython
    # allocates larger frames on the heap, and once they are freed it searches for memory from there, past everything
    # allocated since.
    def _Receive(link):
        """Received bytes; 0 at the end of the stream, None if there are none now."""
        inbox = link.server.inbox
        size = link.sock.readinto(inbox)
        if not size:
            return size
        data = inbox[:size]
        return data if size > _SHORT and hasattr(link.endpoint, "ReadsView") else bytes(data)

    def Elapsed(start=0):
        """Milliseconds since `start`, an earlier value of Elapsed()."""
        return time.ticks_diff(time.ticks_ms(), start) if start else time.ticks_ms()
else:
    def _Receive(link):
        """Received bytes; b'' at the end of the stream, None if there are none now."""
        try:
            return link.sock.recv(len(link.server.inbox))
        except BlockingIOError:
            return None

    class _Selector:
        """The interface of epoll over kqueue, poll or select."""

        def __init__(self):
            from selectors import DefaultSelector
            self._selector = DefaultSelector()
            self.close = self._selector.close
            self.fileno = getattr(self._selector, "fileno", None)

        def register(self, number, mask):
            # Selectors refuse an empty mask, so such sockets are not registered.
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
        """Milliseconds since `start`, an earlier value of Elapsed()."""
        return int(time.monotonic() * 1000) - start

# The key of a socket in the poll object and in the table of links.
Key = id if MICROPYTHON else lambda sock: sock.fileno()

if not BOARD:
    class Wake:
        """Wakes the poll loop from any thread: a datagram to its own socket."""

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
            except OSError:                     # the queue is full, so the loop will wake anyway
                pass

        def Clear(self):
            try:
                self.sock.recv(64)
            except OSError:
                pass


def _IsWritable(sock, timeoutMs):
    if not MICROPYTHON and not hasattr(select, "poll"):     # Windows; elsewhere select() is limited to 1,024 sockets
        return bool(select.select((), (sock,), (), timeoutMs / 1000)[1])
    poll = select.poll()
    poll.register(sock, POLL_OUT)
    return bool(poll.poll(timeoutMs))


class Link:
    """One connection, as its endpoint sees it."""

    want = WANT_BYTES       # what the endpoint waits for when nothing is queued
    out = None              # queued bytes, a bytearray
    deadline = None         # for the next progress in sending
    paid = 0                # time until which the accepted bytes allow the client to pause; in 1/64 s
    isClosing = False
    isSecure = False        # True with TLS
    watched = None          # mask in the poll object; None: not registered

    def __init__(self, server, sock, address):
        self.server = server
        self.sock = sock
        self.address = address
        self.endpoint = None
        self.isDead = False     # allocated now: at the end there may be no memory
        if not MICROPYTHON:
            self.out = None     # CPython reads it faster here than from the class

    def GetAddr(self):
        address = self.address
        if BOARD or isinstance(address, tuple):
            return address[:2]
        address = socket.sockaddr(address)      # packed, on MicroPython's unix port
        return socket.inet_ntop(address[0], address[1]), address[2]

    def Backlog(self):
        return len(self.out) if self.out else 0

    def Send(self, data):
        """Send what the socket accepts now, queue the rest."""
        if self.isDead:
            return
        if self.out:
            if not self.isClosing:
                self.out += data
            return
        size = self.Take(data)
        if size < len(data) and not self.isDead:
            try:
                self.out = bytearray(data[size:])
            except MemoryError:                 # the rest is lost, so nothing may follow
                self.Abort()
                raise
            self.deadline = self._Due()
            self.Watch()

    def _Due(self):
        """The time by which the socket must accept more."""
        # A client may read megabytes at once and then nothing for a minute (curl --limit-rate): each 64 KiB allow a
        # second of pause, up to eight times SendTimeoutSec.
        return max(self.paid // 64, self.server.now) + self.server.SendTimeoutSec

    def Take(self, data, send=None):
        """Send -> the number of bytes that the socket accepted. send: instead of the socket's, on CPython."""
        try:
            size = (self.sock.write(data) or 0) if MICROPYTHON else (send or self.sock.send)(data)
            if size > 1023:
                now = self.server.now * 64
                self.paid = min(max(self.paid, now) + (size >> 10), now + self.server.SendTimeoutSec * 512)
            return size
        except OSError as error:
            if MICROPYTHON or not isinstance(error, BlockingIOError):
                self.Abort()
        except MemoryError:                     # the bytes may have been sent, and must not be sent twice
            self.Abort()
            raise
        return 0

    def Watch(self):
        """Update the mask in the poll object."""
        want = POLL_OUT if self.out else self.want
        watched = self.watched
        if want != watched and not self.isDead:
            if watched is None:
                self.server.poll.register(self.sock, want)
            else:
                self.server.poll.modify(self.sock, want)
            self.watched = want

    def Want(self, want):
        """Set what the endpoint waits for when nothing is queued: WANT_BYTES, WANT_TURN or WANT_NOTHING."""
        self.want = want
        if not self.out:                        # a turn comes when the socket is writable
            self.deadline = self._Due() if want == WANT_TURN else None
        self.Watch()

    def OnEvent(self, event):
        """The socket is ready. The caller handles an OSError."""
        if event & POLL_IN:
            data = _Receive(self)
            if data:
                self.endpoint.OnReceived(data)
            elif data is not None and not self.endpoint.OnEnd():
                self.Close()
        elif event & POLL_OUT:
            self.OnWritable()
        else:                                   # the connection is broken
            self.Abort()

    def Look(self):
        """Read now what has arrived: a long-running handler asks whether the client has left."""
        self.server.OnEvent(Key(self.sock), POLL_IN)

    def OnWritable(self):
        out = self.out
        if out:
            size = self.Take(out)
            if not size:
                return
            self.deadline = self._Due()
            out[:size] = b""                    # in place: there may be no memory for a copy
            if out:
                return
            self.out = self.deadline = None
            if self.isClosing:
                return self.Abort()
        elif MICROPYTHON and self.want == WANT_BYTES | WANT_TURN:
            return self.Close()
        else:
            self.want = WANT_BYTES              # this is the turn
            self.deadline = None
        self.endpoint.OnDrained()
        self.Watch()

    def Settle(self, most, patienceMs):
        """Block until at most `most` bytes are queued -> milliseconds of patience left; 0: the client left or is too
        slow."""
        start = Elapsed()
        while self.Backlog() > most and not self.isDead:
            left = patienceMs - Elapsed(start)
            if left <= 0 or not _IsWritable(self.sock, left):
                self.Abort()
            else:
                self.OnWritable()
        return 0 if self.isDead else max(1, patienceMs - Elapsed(start))

    def Close(self):
        """Close when the queue is empty."""
        if self.out:
            self.isClosing = True
        else:
            self.Abort()

    def Finish(self, isWhole=False):
        """Call after the last response, and again when it was sent: end the sending side and read until the client
        closes. MicroPython has no shutdown() to tell the client of the end, so with isWhole (no content is unread) the
        link closes as soon as nothing is left to read."""
        if not self.out:
            if not MICROPYTHON:
                try:
                    self.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    return self.Abort()
            self.Want(WANT_BYTES | WANT_TURN if MICROPYTHON and isWhole else WANT_BYTES)

    def Abort(self):
        """Close now."""
        if not self.isDead:
            self.isDead = True
            if self.out:
                self.out = None
            try:
                if self.watched is not None:
                    self.server.poll.unregister(self.sock)
                self.server.Forget(self)
            finally:                            # Forget() may raise MemoryError
                self.sock.close()
                self.endpoint.OnLost()


# ==============================================================================
# ENGINE (core/engine.py)
# ==============================================================================
# The poll loop of one server and its clock: Start and Stop, new connections, calls from other threads. All sockets and
# connections are used on the thread of this loop only.

try:
    import _thread
    _Ident = _thread.get_ident
except ImportError:
    _thread = None
    _Ident = int                            # without threads every id is 0

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class _NoLock:
    """The lock of a runtime without threads."""

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
        pass                                # no memory or no console


_CROWD = const(16)              # clients that are accepted before connections get their turn
_INBOX_MAX = 8192 if MICROPYTHON else 65536


class Engine:
    """Runs a server. MicroWebSrv adds the settings and tables."""

    UseAsyncio = False                          # Start() runs an asyncio loop; set when an async handler is added
    Loop = Adopt = None                         # set by microWebAsync: serve in asyncio; join the running loop
    NewLock = staticmethod(NewLock)
    NewLink = Link                              # set by microWebTls: makes the link of an accepted socket
    Listen = staticmethod(Listen)
    now = 0                                     # seconds
    _server = None                              # a listening socket that the program made itself

    def __init__(self):
        self.links = {}
        self._calls = []
        self._isBusy = self.isStarted = False   # a run has not ended; it accepts clients
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
        """Serve in a new thread, or in this one until Stop(). OSError if the port can't be bound."""
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
            except KeyboardInterrupt:           # Ctrl-C ended it
                pass
        elif not BOARD and not self._remains:
            self._remains = True
            if MICROPYTHON:
                sys.atexit(self._Remain)
            else:
                import atexit
                atexit.register(self._Remain)

    def _Remain(self):
        # The main program has ended: keep the process alive for the server, until Ctrl-C or SIGTERM.
        try:
            if not MICROPYTHON and self._isBusy and getattr(sys, "last_value", None):
                self.Log("the program ended with an error; its server keeps running")
            while self._isBusy:                 # polling, because a KeyboardInterrupt does not interrupt a lock
                time.sleep(0.1)
        except (KeyboardInterrupt, SystemExit):     # SystemExit: SIGTERM
            self.Stop()

    if not MICROPYTHON:
        _running = set()

        def _WatchTerm(self):
            """If the program has no SIGTERM handler, set one that stops all servers as Stop() does and ends the
            program."""
            import signal
            import threading
            self._running.add(self)
            if threading.current_thread() is threading.main_thread() \
                    and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self._OnTerm)

        def _OnTerm(self, number, frame):
            import signal
            signal.signal(number, signal.SIG_DFL)       # a second signal kills
            isOurs = False
            for server in list(self._running):          # not Stop(): this thread may hold its lock
                server.isStarted = False
                if server._ident == 0:                  # between Open and Run: Run will never be called
                    server.Enter()
                    server.Leave()
                elif server._wake:
                    server._wake.Set()
                    isOurs |= server.IsOnEngine()
            if not isOurs:
                raise SystemExit                        # else Start(threaded=False) returns

    def Open(self):
        """True: the server listens, and the caller has to run it. False: it runs already, or has not ended yet."""
        self.AddDecorated()                     # routes that were decorated after __init__
        with self._lock:
            if self._isBusy:
                return False
            self._isBusy = self.isStarted = True
        try:
            size = min(self.BufferLen, max(2048, gc.mem_free() // 16)) if MICROPYTHON else self.BufferLen
            self.buffer = memoryview(bytearray(size))
            self.inbox = self.buffer[:_INBOX_MAX]       # received data is kept, so it is read in smaller pieces
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
            self._ident = 0                     # no thread yet, but calls can already be queued
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
        """From any thread or a handler: accept no more clients; requests in progress get StopGraceSec to finish."""
        with self._lock:
            if not self._isBusy:
                return
            self.isStarted = False
        if not BOARD:
            wake = self._wake                   # Leave may set it to None meanwhile
            if wake:
                wake.Set()
        while self._isBusy and not self.isStarted and not self._IsOurs():
            time.sleep(0.01)

    def IsStarted(self):
        return self.isStarted

    _started = property(IsStarted)

    def GetPort(self):
        """The TCP port; 0 until Start has chosen a free one."""
        return self.port

    def _IsOurs(self):
        """True on the engine's thread and on threads that the end of the run waits for."""
        return self.IsOnEngine() or _Ident() in self._threads

    def Use(self, poll):
        """From now on all sockets are registered with this poll object."""
        self.poll = poll
        if self._listener and not self._isFull:
            poll.register(self._listener, POLL_IN)
        if not BOARD and self._wake:
            poll.register(self._wake.sock, POLL_IN)
        for link in self.links.values():
            if link.watched is not None:
                poll.register(link.sock, link.watched)

    def Run(self):
        """Serve in this thread until the end, with the poll loop; with asyncio as soon as UseAsyncio is set."""
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
        """Run the queued calls and the clock. -> milliseconds until the next Turn is due; 0: the server has ended."""
        if self._calls:
            self.Call(self._RunCalls)
        wait = 1000 - Elapsed(self._clock)
        if wait <= 0:
            self._clock = Elapsed()
            wait = 1000
            self.Call(self.Tick)
        if BOARD and _thread:
            wait = min(wait, 20)                # no other wake-up exists for calls from threads
        return wait if self.isStarted or self._Farewell() else 0

    def OnEvent(self, key, event):
        """A socket is ready. Called by other loops than Run."""
        link = self.links.get(key)
        try:
            if link:
                link.OnEvent(event)
            else:
                self._OnOther(key)
        except BaseException as error:
            self._Broke(link, error) if link else self._NotAccepted(error)

    def _Broke(self, link, error):
        # An event or a call raised `error`.
        if isinstance(error, KeyboardInterrupt):
            raise error
        if not link or not isinstance(error, OSError):      # OSError of a link: the client left
            self.Log("a connection failed" if link else "a call on the engine", error)
        if link:
            self.Call(link.Abort)

    def _Farewell(self):
        # A step of stopping. False: all is closed, or the grace time is over.
        if self._until is None:
            try:
                self._CloseListener()
                for link in list(self.links.values()):
                    self.Call(link.endpoint.OnStop)
                self._until = self.now + self.StopGraceSec
            except MemoryError as error:        # the next Turn tries again
                self.Log("a call on the engine", error)
                return True
        return bool(self.links) and self.now < self._until

    def Leave(self):
        """Close all connections and release all of this run."""
        if not self.IsOnEngine():               # it already ended in the loop of another server
            return
        try:
            self._CloseListener()
            while self.links:
                try:
                    self.links.popitem()[1].Abort()
                except BaseException as error:
                    self._Broke(None, error)
            with self._lock:
                self._ident = None              # CallSoon refuses from here on
            self._RunCalls()
        finally:                                # after any exception, too
            self._ident = None
            if not BOARD and self._wake:
                self.poll.unregister(self._wake.sock)
                self._wake.sock.close()
                self._wake = None
            if not MICROPYTHON:
                self.poll.close()
                self._running.discard(self)
            self.isStarted = self._isBusy = False       # in this order, for a concurrent Start

    def _CloseListener(self):
        listener = self._listener
        self._listener = None
        if listener:
            if not self._isFull:
                self.poll.unregister(listener)
            listener.close()

    def Call(self, func, *args):
        """func(*args). Logs any exception, SystemExit too; only KeyboardInterrupt passes."""
        try:
            return func(*args)
        except BaseException as error:
            self._Broke(None, error)

    def Tick(self):
        """Once a second: advance the clock, renew the Date, check all deadlines."""
        self.now = now = self.now + 1
        self.prefixes.clear()
        if self._listener or not self.isStarted:
            self._Listens(True)
        else:
            self._Relisten()                    # the last attempt to listen failed
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

    # -- for programs of the older server, which run _serverProcess in their own thread --------------------------------

    def _serverProcess(self):
        with self._lock:                        # nobody may wait for this thread, since it waits for the end
            self._threads.discard(_Ident())
        self.Start(False)

    @property
    def _srvAddr(self):
        """The argument of bind(): (IP address, port), packed on the unix port of MicroPython."""
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
        """Accept new clients, or let them wait in the backlog."""
        if wants == self._isFull and self._listener:
            if wants:
                self.poll.register(self._listener, POLL_IN)
            else:
                self.poll.unregister(self._listener)
            self._isFull = not wants            # only now: register() may raise MemoryError

    # Runs before an event's bytes are allocated, so it needs a small frame (see transport): no try here.
    def _OnOther(self, key):
        """Accept a client, or clear the wake-up of another thread. True: there may be another client."""
        # The caller passes exceptions of accept() to _NotAccepted.
        if self._listener and key == Key(self._listener):
            if len(self.links) >= self.MaxConnections and self._IsFull():
                return self._Listens(False)     # until a link is closed
            sock, address = self._listener.accept()
            self._failures = 0
            self.Admit(sock, address, self.NewLink)
            return self.isStarted
        if not BOARD and self._wake and key == Key(self._wake.sock):
            self._wake.Clear()

    def _IsFull(self):
        """True if a new client has to wait in the backlog."""
        # False: there is room, or it waited too long and gets 503.
        if not self.Evict():
            if self._fullSince is None:
                self._fullSince = self.now
            if self.now - self._fullSince < self.HeadTimeoutSec:
                # A link with a deadline will end. Streams and WebSockets have none, and waiting for them is pointless.
                for link in self.links.values():
                    if link.deadline is not None or isinstance(link.endpoint, Connection) \
                            and link.endpoint.deadline is not None:
                        return True

    def _NotAccepted(self, error):
        code = getattr(error, "errno", 0)
        if code == 11 if BOARD else code in (11, 35, 10035):    # EAGAIN: the client has left
            return
        if not isinstance(error, (OSError, MemoryError)):
            return self._Broke(None, error)
        self._failures += 1
        if self._failures == 1:
            self.Log("accept", error)
        try:
            self.Evict()                        # for too many open files
            if self._failures > 5:              # the network interface and its listener are gone
                self._Relisten()
            elif self._failures > 1:
                self._Listens(False)            # until the next tick
        except (OSError, MemoryError):          # the next failure tries again
            pass

    def Admit(self, sock, address, newLink):
        """Give an accepted client a link and a connection, or send 503."""
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
            if MICROPYTHON or not isinstance(error, OSError):       # OSError: the client left
                self.Log("accept", error)
            return sock.close()
        self.OnEvent(Key(sock), POLL_IN)        # most clients send the request right after connecting
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
            pass                                # Tick tries again

    def Evict(self):
        """Abort the connection that has been idle longest, or one whose client has read nothing for a quarter of
        SendTimeoutSec. False: there is none."""
        oldest = earliest = None
        for link in self.links.values():
            if link.deadline is not None:       # bytes are queued, or wait for a turn
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

    # -- for rooms and optional files ---------------------------------------------------------

    def Log(self, text, error=None):
        """Call ErrorCallback; without one, prints to stderr."""
        try:
            (self.ErrorCallback or _PrintError)(text, error)
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt):
                raise
            _PrintError("ErrorCallback", failure)

    def IsOnEngine(self):
        return self._ident == _Ident()

    def CallSoon(self, func, *args):
        """Thread-safe: run func(*args) on the engine. False if the engine has ended."""
        with self._lock:
            if self._ident is None:
                return False
            self._calls.append((func, args))
            if not BOARD and self._wake:
                self._wake.Set()
        return True

    def Pending(self):
        """The number of queued calls."""
        return len(self._calls)

    def _RunCalls(self):
        for _ in range(len(self._calls)):
            with self._lock:
                func, args = self._calls[0]
            self.Call(func, *args)
            with self._lock:
                self._calls.pop(0)              # after the call, so that Pending() counts it until it is done

    def StartThread(self, func, args, stackSize):
        """Run func(*args) in a new thread. False if none can be started."""
        if not _thread:
            return False
        try:
            if BOARD and stackSize:
                _thread.stack_size(stackSize)
            if MICROPYTHON:
                _thread.start_new_thread(self._InThread, (func, args))
            else:
                import threading
                # A daemon: _Remain waits for the server instead.
                threading.Thread(target=self._InThread, args=(func, args), daemon=True).start()
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
# The optional files, in the order in which the core looks for them: names without the prefix microWeb.
# One string, because a tuple would take three times as much memory on a board.
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
        "SendFile "
        "Broker "
    )


# ==============================================================================
# SERVER (core/server.py)
# ==============================================================================
# The server class: settings, routes, hooks, optional files. Each limit is an attribute with one value for boards and
# one for CPython. Set them before Start, on the class or on one server.

# The package prefix of the optional files: they are beside this file, or beside the folder core.
_HOME = (__name__[:-7] if __name__.endswith(".server") else __name__).rpartition(".")[0]
_HOME = _HOME and _HOME + "."


def _Import(name):
    __import__(_HOME + name)
    return sys.modules[_HOME + name]


def __getattr__(name):
    """`from microWebSrv import MicroWebSocket`, as in programs of the older server: the name from its optional file."""
    if name[:8] == "MicroWeb" and name[8:] in OPTIONAL.split():
        return getattr(_Import("m" + name[1:]), name)
    raise AttributeError(name)


class MicroWebSrv(Engine):
    """The server: MicroWebSrv(routeHandlers=[(url, method, handler), …], port=80, bindIP='', webPath='/flash/www')."""

    AcceptWebSocketCallback = None
    MaxWebSocketRecvLen = 1024 if BOARD else 65536
    WebSocketThreaded = True
    WebSocketStackSize = 4096
    LetCacheStaticContentLevel = 2              # for files: 0 no-store, 1 for an hour, 2 with revalidation

    MaxRequestLineLen = 1024 if BOARD else 8192             # bytes, else 414
    MaxRequestHeadLen = 4096 if BOARD else 32768            # bytes, else 431
    MaxRequestContentLen = 16384 if BOARD else 1 << 20      # bytes for a plain handler, else 413
    MaxConnections = 4 if sys.platform in ("rp2", "esp8266") else 8 if BOARD else 1000
    # bytes that a raw _write may leave in the queue
    MaxSendQueueLen = 4096 if BOARD else 65536 if MICROPYTHON else 1 << 20
    HeadTimeoutSec = 10
    BodyTimeoutSec = 20                                     # plus a second for each KiB that arrived
    KeepAliveTimeoutSec = 5 if BOARD else 75
    SendTimeoutSec = 20                                     # without any progress
    StopGraceSec = 3
    BufferLen = 2048 if BOARD else 65536 if MICROPYTHON else 131072     # bytes of a file that are read at a time
    AllowedHosts = None                                     # host names of this server; other hosts get 421
    ServeWellKnown = False                                  # serve files below /.well-known/
    Debug = False                                           # a 500 shows the exception
    ErrorCallback = None                                    # function(text, exception or None)
    AccessCallback = None                                   # function(httpClient, code)
    Banner = True                                           # Start() prints the port and the optional files

    isBoard = BOARD
    memoLen = 4 if BOARD else 16 if MICROPYTHON else 256    # number of request heads that are kept in the memo
    Client = HttpClient
    Response = HttpResponse
    if not MICROPYTHON:                         # names in annotations of older programs
        _client = HttpClient
        _response = HttpResponse
    if not BOARD:
        StopIdleSec = 0                         # time for one more request on an idle connection after Stop()
        MakeHead = staticmethod(MakeHead)       # this and the next for microWebAsgi
        CheckAllowed = staticmethod(CheckAllowed)
    Disk = Disk
    FileBody = FileBody
    Utf8 = staticmethod(Utf8)
    HTMLEscape = staticmethod(HTMLEscape)
    PercentDecode = staticmethod(PercentDecode)
    SendFile = staticmethod(SendFile)
    WriteFile = staticmethod(WriteFile)
    FromJSON = staticmethod(FromJSON)
    ToJSON = staticmethod(ToJSON)
    Reason = staticmethod(Reason)
    HttpError = HttpError
    Offload = None                              # set by microWebThreads
    Spawn = SpawnCallback = AsyncSource = None  # set by microWebAsync
    Returned = None                             # set by microWebJson
    webSocketRoutes = []
    pages = {}                                  # path -> precompiled page without a file
    notFoundUrl = None
    defaults = ()                               # (name, value)
    before = after = ()                         # (prefix, hook)
    errorHandlers = {}                          # code or None -> handler
    isPlain = True                              # no defaults, After hooks or error handlers are set

    methods = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")     # known methods; others get 501

    _mimeTypes = {}
    _docoratedRouteHandlers = []
    files = Route("/", "GET", ServeFile)        # the route of all paths without one

    def __init__(self, routeHandlers=None, port=80, bindIP="", webPath="/flash/www"):
        if not isinstance(port, int) or not 0 <= port < 65536:
            raise ValueError("port must be an int from 0 to 65535, not %r" % (port,))
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
        # A missing file is skipped; a file that fails to import raises. They are imported now, because after the first
        # request the heap is fragmented.
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
        """Register a route on this server. ValueError or TypeError for an invalid argument."""
        self._Add(Route(url, method, handler, threaded))

    def _Add(self, route):
        self.Typed(route)
        if route.isAsync:
            if not self.Spawn:
                raise ValueError("the async handler of %s needs microWebAsync.py" % route.url)
            self.UseAsyncio = True
        self.routes.append(route)
        if route.method not in self.methods:
            self.methods += (route.method,)
        self.heads = {}                         # remembered heads may now have another route

    def Typed(self, route):
        """Check the types of the route's arguments. microWebRoutes replaces this."""
        if ":" in "".join(route.names):
            raise ValueError("%s needs microWebRoutes.py" % route.url)

    def AddDecorated(self):
        for route in self.webSocketRoutes:
            self.Typed(route)
        for route in MicroWebSrv._docoratedRouteHandlers[self.decorated:]:
            self._Add(route)
            self.decorated += 1

    def GetRouteHandler(self, resUrl, method):
        """-> (handler, routeArgs or None), or (None, None) if no route matches."""
        self.AddDecorated()
        found = Find(self.routes, method.upper(), resUrl)
        return (found[0].handler, found[1] or None) if found else (None, None)

    def Find(self, head):
        """-> (route, args) for the path, or the route that serves files."""
        found = head.found
        if found is None:
            found = head.found = Find(self.routes, head.method, head.key) \
                or head.method == "HEAD" and Find(self.routes, "GET", head.key) or (self.files, NO_ARGS)
        return found

    def Allowed(self, head, isFile=False):
        """The methods that the path supports, sorted; [] if there are none."""
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
        """Answer each path that is not found with 302 to this URL; None: with 404."""
        self.notFoundUrl = url

    def SetDefaultHeaders(self, headers=None):
        """Headers for each response that has none of that name: a dict or a list of pairs; None: none. ValueError for
        Content-Type and fields of the framing."""
        self.defaults = Pairs(headers)
        for pair in self.defaults:
            line, names = FieldLines([pair])
            if not line or "content-type" in names:
                self.defaults = ()
                raise ValueError("a default must not be a per-response header: %r" % pair[0])
        self.isPlain = False

    # -- hooks -----------------------------------------------------------------------

    def Before(self, hook, prefix="/"):
        """hook(httpClient, httpResponse) for each request at or below prefix, before its content is read. A response of
        the hook ends the request; a function that it returns is called when the content is there."""
        self.before += (_Hook(hook, prefix),)
        return hook

    def After(self, hook, prefix="/"):
        """hook(httpClient, httpResponse) for each response at or below prefix, errors too. It may set headers."""
        self.after += (_Hook(hook, prefix),)
        self.isPlain = False
        return hook

    def Hooks(self, hooks, head):
        """The hooks for this path."""
        # Security: case is ignored, as on FAT; an encoded slash counts, because handlers get it as a slash.
        path = head.path.lower() + "/"
        while "//" in path:
            path = path.replace("//", "/")
        found = []
        for prefix, hook in hooks:
            if path.startswith(prefix):
                found.append(hook)
        return found

    def SetErrorHandler(self, code, handler):
        """handler(httpClient, httpResponse, code) writes the page for an error; code None: for all codes without a
        handler. Its 200 is sent as `code`. handler None: use the built-in page. ValueError for a code outside 400 to
        599."""
        if code not in range(400, 600) and code is not None or handler and not callable(handler):
            raise ValueError("code, handler must be 400 to 599 or None, and a function: %r" % ((code, handler),))
        self.errorHandlers = dict(self.errorHandlers)
        self.errorHandlers[code] = handler
        self.isPlain = False

    def SetSmall(self):
        """Set all limits for a heap of 50 to 100 KB. Call it before Start; each limit can be changed afterwards."""
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
        """The first lines of a response head; cached until the Date changes, in the next second."""
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
