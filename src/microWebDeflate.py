# Compressed WebSocket messages for MicroWebSrv (permessage-deflate, RFC 7692). Copy this file beside microWebSocket.py:
# clients that offer the extension get it. CPython uses zlib. MicroPython uses its deflate module, which always
# decompresses, and compresses only if the firmware was built with that.
# MIT license, see LICENSE.
#
#    1  NEGOTIATION  the parameters of the opening handshake (section 7.1)
#    2  CODECS       one message in, one message out (section 7.2)
#    3  SERVER       negotiation with a client; Attach

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
    deflate = zlib = None           # firmware before 1.21: no compression


# ==============================================================================
# 1  NEGOTIATION
# ==============================================================================
# Text to text. The first acceptable offer of the client is taken.

_NAME = "permessage-deflate"
_WINDOWS = "8 9 10 11 12 13 14 15"


def _Answer(text, most, least, keepsContext):
    """One offer -> (answer, bits to decompress, bits to compress, keep the client's context?, keep ours?), or None."""
    offer = {}                                          # parameter: value, 0 if it has none
    for part in text.split(";"):
        name, hasValue, value = part.partition("=")
        name = name.strip()
        value = value.strip()
        if value[:1] == value[-1:] == '"':
            value = value[1:-1]
        # Sections 7.1.1 and 7.1.2: only max_window_bits have a value, and no parameter is repeated.
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
    # The only item left must be the name of the extension, at the beginning.
    if list(offer) != [_NAME] or not text.strip().startswith(_NAME) or outBits < least:
        return None
    return answer, inBits, outBits, contexts[0], contexts[1]


# ==============================================================================
# 2  CODECS
# ==============================================================================
# Inflate -> bytes; slightly more than maxLen if the message is too big; ValueError for invalid data.
# Pack(first byte of a frame, payload) -> the same or, for a message worth compressing, the compressed pair.

# Section 7.2.1: the last bytes 00 00 FF FF of a compressed message are not sent.

_BLOCKS_MAX = const(32)                # blocks marked as last in one message: each needs a new decompressor
_MEM_LEVEL = const(5)           # of zlib: 32 KB a connection instead of 256, and messages only slightly longer
_WORTHWHILE = const(32)                # bytes; shorter messages hardly shrink
_PACKED = const(0x40)                  # RSV1 of a frame (section 6)


if _MICROPYTHON:
    class _Codec:
        """MicroPython: each message is compressed alone, so the connection keeps no state between messages."""

        def __init__(self, inBits, outBits, keepsIn, keepsOut):
            self._outBits = outBits

        def Inflate(self, data, maxLen):
            bits = 8
            while bits < 15 and 1 << bits < maxLen:     # without older messages no reference goes further back
                bits += 1
            data += b"\x00\x00\xff\xff\x01\x00\x00\xff\xff"
            done = b""
            try:
                # A block may be marked as the last (section 7.2.3.4), but later blocks may refer to its data. So the
                # data so far is put before them as an uncompressed block (RFC 1951 section 3.2.4).
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
            packed = stream.getvalue() + b"\x00"        # section 7.2.3.4: an empty byte after the last block
            return (first | _PACKED, packed) if len(packed) < len(data) else (first, data)
else:
    class _Codec:
        """CPython. Compressor and decompressor are made when the first message needs them."""

        def __init__(self, inBits, outBits, keepsIn, keepsOut):
            self._inBits = inBits
            self._outBits = outBits
            self._keepsIn = keepsIn
            self._keepsOut = keepsOut
            self._inflater = None
            self._window = b""          # the last decompressed bytes; zlib gives no access to its window
            self._deflater = None

        def Inflate(self, data, maxLen):
            inflater = self._inflater or zlib.decompressobj(-self._inBits)
            window = self._window
            parts = []
            size = 0
            data += b"\x00\x00\xff\xff"
            try:
                # Section 7.2.3.4: a block may be marked as the last, but later blocks may refer to its data.
                for _ in range(_BLOCKS_MAX):
                    part = inflater.decompress(data, maxLen + 1 - size)
                    parts.append(part)
                    size += len(part)
                    window = (window + part)[-1 << self._inBits:]
                    if not inflater.eof or size > maxLen:
                        break
                    data = inflater.unused_data
                    if not data:                            # an empty block must follow the last one
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
    """Called by microWebSocket at the handshake -> header line of the 101, or b"". Sets the codec of the WebSocket."""
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
    """Called by each new server, after microWebSocket."""
    if not (deflate if _MICROPYTHON else zlib) or not hasattr(server, "Offers"):
        return
    kind = type(server)
    if not _MICROPYTHON and not hasattr(server, "WebSocketContextTakeover"):
        kind.WebSocketContextTakeover = True
    if not hasattr(server, "WebSocketWindowBits"):
        kind.WebSocketWindowBits = 9 if _MICROPYTHON else 12
    server.Offers.append(_Negotiate)
