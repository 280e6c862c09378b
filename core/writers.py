# Data to bytes: the mirror of the readers. What a program passes is checked here, so that no value can end a line and
# begin another (response splitting): ValueError.

from .messages import Reason
from .readers import IsToken
from .text import MICROPYTHON, HttpDate

_UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def CheckText(name, value):
    """An argument of this name that has to be a str, or a path object; ValueError."""
    if hasattr(value, "__fspath__"):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("%s must be str, not %r" % (name, value))
    return value


def CheckValue(value):
    """A field value as str; ValueError where it would end its line."""
    value = value if isinstance(value, str) else str(value)
    if "\r" in value or "\n" in value or "\x00" in value:
        raise ValueError("a header value must not have CR, LF or NUL: %r" % value)
    return value


def Pairs(headers):
    """A dict, a list of pairs or None -> a list of pairs of its own; ValueError for anything else."""
    try:
        return [(name, value) for name, value in (headers.items() if hasattr(headers, "items") else headers or ())]
    except (TypeError, ValueError):
        raise ValueError("headers must be a dict or a list of pairs; content is another argument: %r" % (headers,))


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
        if not isinstance(name, str) or not IsToken(name.encode()):
            raise ValueError("not a header name: %r" % (name,))
        lower = name.lower()
        isMore = at < len(more)
        if isMore and lower in names and lower not in ("set-cookie", "vary"):
            continue
        names.setdefault(lower, CheckValue(value))
        if isMore and value is None:
            continue
        if lower not in ("content-length", "transfer-encoding", "connection", "date"):
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
        head += "Content-Type: %s\r\n" % CheckValue(CheckText("contentType", contentType))
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
            return bytes([ord(char) if ord(char) < 256 else 63 for char in text]), charset
        elif charset.lower() != "utf-8":
            charset = "UTF-8"
    return text.encode(), charset


def Bytes(piece):
    """A piece of content as bytes."""
    if isinstance(piece, str):
        return piece.encode()
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        raise ValueError("content must be str or bytes, not %r" % type(piece))
    return bytes(piece)


def PathEscape(path, keep="/"):
    """What is no unreserved character (RFC 3986 section 2.3) is percent-encoded as UTF-8."""
    keep += _UNRESERVED
    return "".join([chr(byte) if byte < 128 and chr(byte) in keep else "%%%02X" % byte for byte in path.encode()])


def Attachment(name):
    """Content-Disposition with a quoted ASCII name and the exact one (RFC 6266, RFC 8187)."""
    CheckText("attachmentName", name)
    plain = "".join([char if " " <= char <= "~" and char not in '"\\%' else "_" for char in name])
    value = 'attachment; filename="%s"' % plain
    return value if plain == name else value + "; filename*=UTF-8''" + PathEscape(name, "")


def Chunk(data):
    """RFC 9112 section 7.1."""
    return b"%x\r\n" % len(data) + data + b"\r\n"
