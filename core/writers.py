# Turn data into bytes: the counterpart of the readers. All values from a program are checked here (ValueError), so that
# no value can end a line and start another one (response splitting).

from .messages import Reason
from .readers import NOT_TOKEN, NOT_VALUE
from .text import BOARD, MICROPYTHON, HttpDate, const

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
