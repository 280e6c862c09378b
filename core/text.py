# Text to text, bytes to text. Nothing here knows what a request is.
# Broken input is an error (strict), or it is kept as it came: nothing is lost silently.

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

_DAYS = "MonTueWedThuFriSatSun"
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"

# One string costs a board a third of a dict; MicroWebSrv._mimeTypes takes what a program adds. `.css text/`: text/css.
_MIME_TYPES = (
    " .txt text/plain .htm text/html .html text/ .css text/ .csv text/ .js application/javascript"
    " .mjs application/javascript .xml application/ .xhtml application/xhtml+xml .json application/"
    " .webmanifest application/manifest+json .zip application/ .gz application/gzip"
    " .pdf application/ .bin application/octet-stream .jpg image/jpeg .jpeg image/"
    " .png image/ .gif image/ .svg image/svg+xml .ico image/x-icon .webp image/"
    " .woff font/ .woff2 font/ .ttf font/ .otf font/ .mp3 audio/mpeg .wav audio/"
    " .mp4 video/ .ts video/mp2t .md text/markdown .log text/plain ")
if not BOARD:
    _MIME_TYPES += (
        ".map application/json .wasm application/ .avif image/ .bmp image/ .ogg audio/ .m4a audio/mp4 .webm video/"
        " .m3u8 application/vnd.apple.mpegurl ")


def MimeType(filename):
    """The media type that an extension stands for, in any case; None for one that is unknown."""
    ext = filename[filename.rfind(".") + 1:].lower()
    start = _MIME_TYPES.find(" ." + ext + " ")
    if "." not in filename or start < 0:
        return None
    start += len(ext) + 3
    mediaType = _MIME_TYPES[start:_MIME_TYPES.find(" ", start)]
    return mediaType + ext if mediaType[-1] == "/" else mediaType


def HTMLEscape(s):
    """& " ' > < as entities."""
    return (s.replace("&", "&amp;").replace('"', "&quot;").replace("'", "&apos;")
            .replace(">", "&gt;").replace("<", "&lt;"))


# MicroPython's decoder knows the shape of a character, but lets these pass: overlong, a surrogate, above U+10FFFF.
# (Not raw strings: MicroPython's re knows no \x escape.)
_NOT_UTF8 = re.compile(b"[\xc0\xc1\xf5-\xff]|\xe0[\x80-\x9f]|\xed[\xa0-\xbf]|\xf0[\x80-\x8f]|\xf4[\x90-\xbf]")
NOT_HEX = re.compile(b"[^0-9A-Fa-f]")


def Utf8(data, strict=False):
    """bytes -> str; an invalid byte becomes U+FFFD, or is a ValueError if strict (RFC 3629)."""
    try:
        text = data.decode()
        if not MICROPYTHON or len(text) == len(data) or not _NOT_UTF8.search(data):
            return text
    except UnicodeError:
        pass
    if strict:
        raise ValueError("not UTF-8")
    return "".join([chr(byte) if byte < 128 else "\ufffd" for byte in data])


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
                    raise ValueError("a % without two hexadecimal digits")
                pair = b"25"
                start = at + 1
            decoded.append(int(pair, 16))
            at = data.find(b"%", start)
        data = bytes(decoded + data[start:])
    return Utf8(data, strict)


_PAIRS_MAX = const(1000)            # PHP: max_input_vars 1000; MicroPython's dict has 16 bits of a hash


def ParseQuery(data):
    """b'a=1&b=x+y' -> {'a': '1', 'b': 'x y'}; the last value of a name counts. ValueError: over 1,000 pairs."""
    if data.count(b"&") >= _PAIRS_MAX:
        raise ValueError("more than 1000 pairs")
    params = {}                                 # bytes: MicroPython compares each new str with all names it knows
    for pair in data.replace(b"+", b" ").split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            params[PercentDecode(name)] = PercentDecode(value)
    return params


def ParseParts(data, boundary):
    """The text fields of multipart/form-data -> dict, files left out (RFC 7578). ValueError: over 1,000 parts."""
    mark = b"\r\n--" + boundary
    data = b"\r\n" + data
    if data.count(mark) > _PAIRS_MAX:
        raise ValueError("more than 1000 parts")
    fields = {}
    for part in data.split(mark):
        head, blank, value = part.partition(b"\r\n\r\n")
        name = head.partition(b"name=")[2]
        if blank and name and b"filename=" not in head and b"filename*=" not in head:
            isQuoted = name[:1] == b'"'
            name = name[1:].partition(b'"')[0] if isQuoted else name.replace(b"\r", b";").partition(b";")[0]
            fields[Utf8(name)] = Utf8(value)
    return fields


def HttpDate(when):
    """A gmtime tuple -> 'Sun, 06 Nov 1994 08:49:37 GMT' (RFC 9110 section 5.6.7)."""
    day = 3 * when[6]
    month = 3 * when[1]
    return "%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[day:day + 3], when[2], _MONTHS[month - 3:month], when[0], when[3], when[4], when[5])
