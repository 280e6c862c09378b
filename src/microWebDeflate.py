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

if _MICROPYTHON:
    from micropython import const
else:
    def const(value):
        return value

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
_WINDOWS = "8 9 10 11 12 13 14 15"


def _Answer(text, most, least, keepsContext):
    """One offer -> (answer, bits to expand, bits to compress, keep the client's context?, ours?), or None."""
    offer = {}                                          # a parameter: its value, or 0
    for part in text.split(";"):
        name, hasValue, value = part.partition("=")
        name = name.strip()
        value = value.strip()
        if value[:1] == value[-1:] == '"':
            value = value[1:-1]
        # Sections 7.1.1 and 7.1.2: only the bits have a value, and nothing is said twice.
        if name in offer or hasValue and (name[6:] != "_max_window_bits" or value not in _WINDOWS.split()):
            return None
        offer[name] = int(value or 0)
    answer = _NAME
    contexts = []
    for side in ("client", "server"):
        name = side + "_no_context_takeover"
        contexts.append(offer.pop(name, None) is None and keepsContext)
        if not contexts[-1]:
            answer += "; " + name
    outBits = min(offer.pop("server_max_window_bits", most), most)
    if outBits < 15:
        answer += "; server_max_window_bits=%d" % outBits
    inBits = offer.pop("client_max_window_bits", None)
    inBits = 15 if inBits is None else min(inBits or 15, most)
    if inBits < 15:
        answer += "; client_max_window_bits=%d" % inBits
    # What is left is the name of the extension, which is said first.
    if list(offer) != [_NAME] or not text.strip().startswith(_NAME) or outBits < least:
        return None
    return answer, inBits, outBits, contexts[0], contexts[1]


# ==============================================================================
# 2  CODECS
# ==============================================================================
# Inflate -> bytes, more than maxLen where the message is too big (never much more); ValueError where it is broken.
# Pack(first byte of a frame, payload) -> both, changed where the frame is a message that is worth it.

# Section 7.2.1: every message ends with 00 00 FF FF, and that is not sent.

_BLOCKS_MAX = const(32)                # that say they are the last, in one message: each costs a new decompressor
_MEM_LEVEL = const(5)           # of zlib: 32 KB a connection instead of 256, and hardly longer messages
_WORTHWHILE = const(32)                # bytes of a message that is compressed; a shorter one hardly shrinks
_PACKED = const(0x40)                  # RSV1 of a frame (section 6)


if _MICROPYTHON:
    class _Codec:
        """MicroPython. Each message stands alone: between two of them the connection keeps nothing."""

        def __init__(self, inBits, outBits, keepsIn, keepsOut):
            self._outBits = outBits

        def Inflate(self, data, maxLen):
            bits = 8
            while bits < 15 and 1 << bits < maxLen:     # without an older message nothing points further back
                bits += 1
            data += b"\x00\x00\xff\xff\x01\x00\x00\xff\xff"
            done = b""
            try:
                # A block may say that it is the last (section 7.2.3.4). What follows it may point back across it: so
                # what was expanded stands before that, as a block that is not compressed (RFC 1951 section 3.2.4).
                for _ in range(_BLOCKS_MAX):
                    window = done[-1 << bits:]
                    size = len(window)
                    window = b"\x00" + size.to_bytes(2, "little") + (size ^ 65535).to_bytes(2, "little") + window
                    stream = io.BytesIO(window + data)
                    unpacker = deflate.DeflateIO(stream, deflate.RAW, bits)
                    unpacker.read(size)
                    part = None
                    while part != b"" and len(done) <= maxLen:
                        part = unpacker.read(min(1024, maxLen + 1 - len(done)))
                        done += part
                    data = data[stream.tell() - len(window):]
                    if not data or part:
                        return done
            except (OSError, EOFError):
                pass
            raise ValueError("broken")

        def Pack(self, first, data):
            if first & 8 or len(data) < _WORTHWHILE or not hasattr(deflate.DeflateIO, "write"):
                return first, data
            stream = io.BytesIO()
            with deflate.DeflateIO(stream, deflate.RAW, self._outBits) as packer:
                packer.write(data)
            packed = stream.getvalue() + b"\x00"        # section 7.2.3.4: behind a last block
            return (first | _PACKED, packed) if len(packed) < len(data) else (first, data)
else:
    class _Codec:
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
            data += b"\x00\x00\xff\xff"
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
                    if not data:                            # behind the last block comes an empty one, always
                        raise ValueError("no empty block")
                    inflater = zlib.decompressobj(-self._inBits, zdict=window)
                else:
                    raise ValueError("too many last blocks")
            except zlib.error as error:
                raise ValueError("broken") from error
            if self._keepsIn:
                self._inflater = inflater
                self._window = window
            return b"".join(parts)

        def Pack(self, first, data):
            if first & 8 or len(data) < _WORTHWHILE:
                return first, data
            deflater = self._deflater or zlib.compressobj(-1, zlib.DEFLATED, -self._outBits, _MEM_LEVEL)
            packed = (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
            if self._keepsOut:
                self._deflater = deflater
            elif len(packed) >= len(data):
                return first, data
            return first | _PACKED, packed


# ==============================================================================
# 3  SERVER
# ==============================================================================
def _Negotiate(webSocket, head):
    """What microWebSocket asks about a client -> a line of the 101, or none; the WebSocket has a codec then."""
    server = webSocket.Server
    for text in head.fields.get("sec-websocket-extensions", "").split(","):
        if _MICROPYTHON:
            answer = _Answer(text, server.WebSocketWindowBits, 8, False)
        else:
            answer = _Answer(text, server.WebSocketWindowBits, 9, server.WebSocketContextTakeover)
        if answer:
            webSocket.Codec = _Codec(*answer[1:])
            return b"Sec-WebSocket-Extensions: " + answer[0].encode() + b"\r\n"
    return b""


def Attach(server):
    """Called by a server when it is made, after microWebSocket."""
    if not (deflate if _MICROPYTHON else zlib) or not hasattr(server, "Offers"):
        return
    kind = type(server)
    if not _MICROPYTHON and not hasattr(server, "WebSocketContextTakeover"):
        kind.WebSocketContextTakeover = True
    if not hasattr(server, "WebSocketWindowBits"):
        kind.WebSocketWindowBits = 9 if _MICROPYTHON else 12
    server.Offers.append(_Negotiate)
