# Converts text and bytes to text, without knowledge of requests. Invalid input raises an error (strict) or is kept;
# none is dropped silently.

import re
import sys

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
