# Parse bytes into a Head or into content, or raise HttpError; no connection is known here. Every malformed or ambiguous
# message (RFC 9112) is answered with 400, so that two servers can't disagree about where a request ends.

import re

from .messages import Head, HttpError
from .text import BOARD, NOT_HEX, PercentDecode, Utf8, const

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
