# Compressed WebSocket messages for MicroWebSrv (permessage-deflate, RFC 7692): copy this file beside microWebSocket.py
# and clients that offer it get it. CPython compresses with zlib; MicroPython with its deflate module, which expands
# always and compresses where the firmware was built with that.
# MIT license, see LICENSE.
#
#    1  NEGOTIATION  the parameters of the opening handshake (section 7.1)
#    2  CODECS       one message in, one message out (section 7.2)
#    3  SERVER       plugging in

import io
import sys

_MICROPYTHON = sys.implementation.name == "micropython"

try:
    if _MICROPYTHON:
        import deflate
    else:
        import zlib
except ImportError:
    deflate = zlib = None           # firmware before 1.21: nothing is compressed


# ==============================================================================
# 1  NEGOTIATION
# ==============================================================================
# Text to text. Of the client's offers, in its order, the first one that can be kept is taken.

_NAME = "permessage-deflate"


def _ParseOffer(text):
    """'permessage-deflate; a; b=1' -> {'a': True, 'b': '1'}; None if it is another extension or says a thing twice."""
    name, *params = [part.strip() for part in text.split(";")]
    if name != _NAME:
        return None
    offer = {}
    for param in params:
        name, hasValue, value = param.partition("=")
        name = name.strip()
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if name in offer:
            return None
        offer[name] = value if hasValue else True       # an empty value is one
    return offer


def _Bits(offer, name, most, isValueNeeded):
    """The window that this parameter of the offer leaves us; 0 if it is malformed (sections 7.1.2.1 and 7.1.2.2)."""
    value = offer.pop(name, None)
    if value is None or value is True and not isValueNeeded:
        return most
    return min(int(value), most) if value in ("8", "9", "10", "11", "12", "13", "14", "15") else 0


def _Answer(text, most, least, keepsContext):
    """One offer -> (answer, bits to expand, bits to compress, keep the client's context?, ours?), or None."""
    offer = _ParseOffer(text)
    if offer is None:
        return None
    answer = _NAME
    contexts = []
    for side in ("client", "server"):
        param = side + "_no_context_takeover"
        asked = offer.pop(param, None)
        contexts.append(asked is None and keepsContext)
        if asked not in (None, True):                   # it has no value
            return None
        if not contexts[-1]:
            answer += "; " + param
    mayShrink = "client_max_window_bits" in offer
    inBits = _Bits(offer, "client_max_window_bits", most, False)
    outBits = _Bits(offer, "server_max_window_bits", most, True)
    if offer or not inBits or outBits < least:
        return None
    if outBits < 15:
        answer += "; server_max_window_bits=%d" % outBits
    if mayShrink and inBits < 15:
        answer += "; client_max_window_bits=%d" % inBits
    else:
        inBits = 15
    return answer, inBits, outBits, contexts[0], contexts[1]


# ==============================================================================
# 2  CODECS
# ==============================================================================
# Inflate -> bytes, more than maxLen where the message is too big (never much more), None where it is broken.
# Deflate -> bytes, or None where it is not worth it.

_TAIL = b"\x00\x00\xff\xff"     # section 7.2.1: every message ends with it, and it is not sent
_BLOCKS_MAX = 32                # that say they are the last, in one message: each costs a new decompressor
_WORTHWHILE = 32                # bytes of a message that is compressed; a shorter one hardly shrinks


class _ZlibCodec:
    """CPython. What a connection needs is made with its first message that needs it."""

    def __init__(self, inBits, outBits, keepsIn, keepsOut):
        self._inBits = inBits
        self._outBits = outBits
        self._keepsIn = keepsIn
        self._keepsOut = keepsOut
        self._inflater = None
        self._window = b""          # what was expanded last: zlib does not give its own away
        self._deflater = None

    def Inflate(self, data, maxLen):
        inflater = self._inflater or zlib.decompressobj(-self._inBits)
        window = self._window
        parts = []
        size = 0
        data += _TAIL
        try:
            # Section 7.2.3.4: a block may say that it is the last. What follows it may point back across it.
            for _ in range(_BLOCKS_MAX):
                part = inflater.decompress(data, maxLen + 1 - size)
                parts.append(part)
                size += len(part)
                window = (window + part)[-1 << self._inBits:]
                if not inflater.eof or size > maxLen:
                    break
                data = inflater.unused_data
                if not data:
                    return None                         # behind the last block comes an empty one, always
                inflater = zlib.decompressobj(-self._inBits, zdict=window)
            else:
                return None
        except zlib.error:
            return None
        if self._keepsIn:
            self._inflater = inflater
            self._window = window
        return b"".join(parts)

    def Deflate(self, data):
        if len(data) < _WORTHWHILE:
            return None
        # memLevel 5: 32 KB a connection instead of 256, and hardly longer messages.
        deflater = self._deflater or zlib.compressobj(-1, zlib.DEFLATED, -self._outBits, 5)
        packed = (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        if self._keepsOut:
            self._deflater = deflater
            return packed
        return packed if len(packed) < len(data) else None


class _DeflateCodec:
    """MicroPython. Each message stands alone: between two of them the connection keeps nothing."""

    def __init__(self, inBits, outBits, keepsIn, keepsOut):
        self._outBits = outBits

    def Inflate(self, data, maxLen):
        bits = 8
        while bits < 15 and 1 << bits < maxLen:         # without an older message nothing points further back
            bits += 1
        stream = io.BytesIO(data + _TAIL + b"\x01\x00\x00\xff\xff")
        stream = deflate.DeflateIO(stream, deflate.RAW, bits)
        parts = []
        size = 0
        try:
            while size <= maxLen:
                part = stream.read(min(1024, maxLen + 1 - size))
                if not part:
                    break
                parts.append(part)
                size += len(part)
        except (OSError, EOFError):
            return None
        return b"".join(parts)

    def Deflate(self, data):
        if len(data) < _WORTHWHILE or not hasattr(deflate.DeflateIO, "write"):
            return None
        stream = io.BytesIO()
        with deflate.DeflateIO(stream, deflate.RAW, self._outBits) as packer:
            packer.write(data)
        packed = stream.getvalue() + b"\x00"            # section 7.2.3.4: behind a last block
        return packed if len(packed) < len(data) else None


# ==============================================================================
# 3  SERVER
# ==============================================================================
# What microWebSocket asks when a client offers extensions.

def _Negotiate(offers, server):
    """The value of Sec-WebSocket-Extensions -> (answer, codec), or (None, None)."""
    for text in offers.split(","):
        if _MICROPYTHON:
            answer = _Answer(text, server.WebSocketWindowBits, 8, False)
        else:
            answer = _Answer(text, server.WebSocketWindowBits, 9, server.WebSocketContextTakeover)
        if answer:
            return answer[0], (_DeflateCodec if _MICROPYTHON else _ZlibCodec)(*answer[1:])
    return None, None


def Attach(server):
    """Called by a server when it is made, after microWebSocket."""
    if not (deflate if _MICROPYTHON else zlib):
        return
    kind = type(server)
    if not hasattr(server, "WebSocketContextTakeover"):
        kind.WebSocketContextTakeover = not _MICROPYTHON
    if not hasattr(server, "WebSocketWindowBits"):
        kind.WebSocketWindowBits = 9 if _MICROPYTHON else 12
    server.WebSocketExtension = _Negotiate
