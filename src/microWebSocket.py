# WebSockets for MicroWebSrv (RFC 6455): copy this file beside microWebSrv.py and they are on.
# MIT license, see LICENSE.
#
#    1  HANDSHAKE    the opening handshake as pure functions (section 4.2)
#    2  FRAMES       the frame codec: heads, masks, close codes (section 5)
#    3  TEXT         UTF-8, exact, whole or piece by piece (section 8.1)
#    4  PROTOCOL     the receiving state machine: bytes in, messages out
#    ---------- sans-I/O line
#    5  WEBSOCKET    the MicroWebSocket object: what the link talks to and what a program holds
#    6  SERVER       plugging in: the upgrade, the routes, Broadcast

import re
from binascii import a2b_base64, b2a_base64
from hashlib import sha1

try:
    from micropython import const
    _MICROPYTHON = True
except ImportError:
    _MICROPYTHON = False

    def const(value):
        return value


# ==============================================================================
# 1  HANDSHAKE
# ==============================================================================
# Fields of the request in (lower-case names), a status or bytes out. The core has seen to GET, HTTP/1.1, Host, and
# `Connection: Upgrade`.

_SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


def _Refusal(fields, allowed):
    """The status that refuses this opening handshake (sections 4.2.1 and 4.4), or 0. allowed: whose pages may connect,
    None (this very host's), an origin or several, or '*'."""
    if fields.get("sec-websocket-version") != "13":
        return 426
    key = fields.get("sec-websocket-key") or ""
    try:                                                # 16 bytes in base64: a letter that is none makes them fewer
        if len(key) != 24 or len(a2b_base64(key)) != 16:
            return 400
    except ValueError:
        return 400
    origin = fields.get("origin")                       # only browsers send one (section 10.2)
    if origin and allowed != "*":
        if allowed is None:                             # neither carries the port that is its scheme's own
            allowed = ["http://" + fields["host"], "https://" + fields["host"]]
        elif isinstance(allowed, str):
            allowed = [allowed]
        if origin not in allowed:
            return 403
    return 0


def _Choose(fields, protocols):
    """The first of our subprotocols that is in the client's list, or None."""
    offered = (fields.get("sec-websocket-protocol") or "").replace(" ", "").split(",")
    for protocol in protocols:
        if protocol in offered:
            return protocol
    return None


def _SwitchHead(key, protocol, extension):
    """The 101 response (section 4.2.2, step 5)."""
    digest = sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    head = _SWITCH
    for name, value in (("Accept", b2a_base64(digest).decode().strip()), ("Protocol", protocol),
                        ("Extensions", extension)):
        if value:
            head += "Sec-WebSocket-%s: %s\r\n" % (name, value)
    return (head + "\r\n").encode()


# ==============================================================================
# 2  FRAMES
# ==============================================================================
# Numbers to bytes and back; no state. A frame from us is never masked, one to us always (section 5.1).

_TEXT = const(1)
_BINARY = const(2)
_CLOSE = const(8)
_PING = const(9)
_PONG = const(10)

_FIN = const(0x80)
_PACKED = const(0x40)           # RSV1: the message is compressed (RFC 7692 section 6)

_GOING_AWAY = const(1001)       # section 7.4.1
_PROTOCOL_ERROR = const(1002)
_NO_CODE = const(1005)          # a Close frame without a code; never sent
_LOST = const(1006)             # gone without a Close frame; never sent
_BAD_TEXT = const(1007)
_TOO_SLOW = const(1008)
_TOO_BIG = const(1009)
_CRASHED = const(1011)


def _Frame(first, payload):
    """first: FIN, RSV and opcode. The length in its shortest form (section 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes((first, size))
    elif size < 65536:
        head = bytes((first, 126, size >> 8, size & 255))
    else:
        head = bytes((first, 127)) + size.to_bytes(8, "big")
    return head + payload


# A large message is unmasked in blocks: a free place for an integer is looked for in the heap, and a small one is near.
_BLOCK = 256 if _MICROPYTHON else 65536


def _Unmask(data, key):
    """Section 5.3. A xor of long integers: the interpreter's loop over the bytes, not ours."""
    size = len(data)
    if size < _BLOCK:
        mask = (key * (size + 3 >> 2))[:size]
        return (int.from_bytes(data, "little") ^ int.from_bytes(mask, "little")).to_bytes(size, "little")
    mask = int.from_bytes(key * (_BLOCK >> 2), "little")
    view = memoryview(data)
    parts = []
    for pos in range(0, size - _BLOCK + 1, _BLOCK):
        parts.append((int.from_bytes(view[pos:pos + _BLOCK], "little") ^ mask).to_bytes(_BLOCK, "little"))
    parts.append(_Unmask(data[size // _BLOCK * _BLOCK:], key))
    return b"".join(parts)


def _IsCloseCode(code):
    """What a Close frame may carry: section 7.4, and the registry it founded."""
    return 2999 < code < 5000 or 1006 < code < 1015 or 999 < code < 1004


def _CloseFrame(code, reason):
    return _Frame(_FIN | _CLOSE, b"" if code == _NO_CODE else code.to_bytes(2, "big") + reason.encode())


# ==============================================================================
# 3  TEXT
# ==============================================================================
# Exact UTF-8 (RFC 3629). CPython's decoder is; MicroPython's knows the shape of a character (a lead byte and its
# followers) but lets pass what is overlong, a surrogate or above U+10FFFF. All of these begin with one of nine bytes.

_SUSPECTS = b"\xe0\xed\xf0\xf4\xc0\xc1\xf5\xf6\xf7"
_WRONG = re.compile(b"[\xc0\xc1\xf5-\xff]|\xe0[\x80-\x9f]|\xed[\xa0-\xbf]|\xf0[\x80-\x8f]|\xf4[\x90-\xbf]")
_ENDINGS = (b"", b"\x80", b"\x80\x80", b"\xa0\x80", b"\x80\x80\x80", b"\x90\x80\x80")


def _Decode(data):
    """bytes -> str, None if they are not UTF-8."""
    try:
        text = data.decode()
    except UnicodeError:
        return None
    if _MICROPYTHON and len(text) != len(data):         # ASCII has as many characters as bytes: nothing to suspect
        for byte in _SUSPECTS:
            if byte in data:
                return None if _WRONG.search(data) else text
    return text


def _Unfinished(data):
    """The bytes at the end of a text that goes on which are no whole character yet; None where a byte is wrong."""
    for count in range(4):
        cut = len(data) - count
        if _Decode(data[:cut]) is not None:
            for ending in _ENDINGS:                     # one of these completes whatever can be completed
                if _Decode(data[cut:] + ending) is not None:
                    return data[cut:]
            break
    return None


# ==============================================================================
# 4  PROTOCOL
# ==============================================================================
# Received(bytes) -> _OnMessage, _SendFrame of a pong, _End at a Close frame, in the order of the bytes. _End also where
# a frame is none; _SendClose where only its content is wrong, and frames are read on until the client's Close frame.
# A message that comes in pieces is a _Message until it is complete, its text checked with each piece. The limit counts
# before a byte is kept. While _held, bytes wait in _rest.

_BY_QUEUE = const(1)            # the reasons in _held: callbacks are behind
_BY_BACKLOG = const(2)          # the client does not take what we send
_BY_END = const(4)              # nothing is read any more
_PART_MIN = const(256)          # shorter parts are joined: a client that sends bytes one by one costs no object each


class _Message:
    """A data message that is not complete; and of the frame that is being read: fin, key, and left: bytes to come."""

    def __init__(self, first):
        self.first = first & 0x7F
        self.size = 0
        self.parts = []
        self.tail = b""                                 # of its text: the beginning of a character


class _Protocol:
    """The receiving half of a WebSocket. A subclass has _OnMessage, _SendFrame, _SendClose and _End."""

    def __init__(self, maxLen, codec):
        self._maxLen = maxLen
        self._codec = codec
        self._message = None
        self._rest = b""
        self._held = 0
        self._isClosed = False

    def Received(self, data):
        """Bytes that arrived, cut anywhere."""
        self._silent = False
        size = len(data)
        # Nearly every read is one frame with one whole message. 122: the mask bit less the 6 bytes of head and key.
        if size > 5 and 0x80 < data[0] < 0x83 and not (self._held or self._rest or self._message):
            if size == data[1] - 122 < 132:
                return self._OnData(data[0], _Unmask(data[6:], data[2:6]))
            if data[1] == 254 and 133 < size == (data[2] << 8 | data[3]) + 8:
                return self._OnData(data[0], _Unmask(memoryview(data)[8:], data[4:8]))
        self._Parse(data)

    def _Parse(self, data):
        data = self._rest + data
        self._rest = b""
        pos = 0
        while pos < len(data) and not self._held:
            step = self._ReadFrame(data, pos)
            if not step:
                break
            pos = step
        if self._held < _BY_END:
            self._rest = data[pos:]

    def _ReadFrame(self, data, pos):
        """Read a frame's head (section 5.2) and what is there of its payload. -> where to go on, 0: give me more."""
        message = self._message
        if message and message.left:
            return self._ReadPayload(data, pos)
        if len(data) < pos + 2:
            return 0
        first = data[pos]
        size = data[pos + 1] & 127
        start = pos + (6 if size < 126 else 8 if size == 126 else 14)
        if not self._IsFrame(first, data[pos + 1]):
            return self._End(_PROTOCOL_ERROR)
        if len(data) < start:
            return 0
        if size > 125:
            shortest = 126 if size == 126 else 65536
            size = int.from_bytes(data[pos + 2:start - 4], "big")
            if size < shortest:
                return self._End(_PROTOCOL_ERROR)
        key = data[start - 4:start]
        if first & 8:
            pos = start + size
            if len(data) < pos:
                return 0
            self._OnControl(first, _Unmask(data[start:pos], key))
            return pos
        if not message:
            message = self._message = _Message(first)
        message.fin = first & _FIN
        message.key = key
        message.left = size
        message.size += size
        # What can't be compressed grows by some bytes: a packed message may be longer than what is in it.
        if message.size > self._maxLen + (message.first & _PACKED and 16 + (self._maxLen >> 8)):
            self._SendClose(_TOO_BIG)
        return self._ReadPayload(data, start)

    def _IsFrame(self, first, second):
        """The first two bytes obey sections 5.1, 5.2, 5.4 and 5.5."""
        opcode = first & 15
        if second < 128 or first & 0x70 and not (first & 0x70 == _PACKED and self._codec and 0 < opcode < 3):
            return False
        if opcode & 8:
            return first & _FIN and second < 254 and opcode <= _PONG
        return opcode <= _BINARY and (not opcode) != (not self._message)

    def _ReadPayload(self, data, pos):
        message = self._message
        payload = memoryview(data)[pos:min(pos + message.left, len(data))]
        size = len(payload)
        message.left -= size
        isLast = message.fin and not message.left
        if isLast:
            self._message = None
        if not self._isClosed:
            self._OnPart(message, _Unmask(payload, message.key), isLast)
            message.key = (message.key * 2)[size & 3:][:4]
        return pos + size

    def _OnPart(self, message, payload, isLast):
        parts = message.parts
        if parts and len(parts[-1]) < _PART_MIN:
            parts[-1] += payload
        else:
            parts.append(payload)
        if message.first == _TEXT:
            message.tail = _Unfinished(message.tail + payload)
        if message.tail is None or isLast and message.tail:
            self._SendClose(_BAD_TEXT)                  # section 8.1: at once, not at the message's end
        elif isLast:
            self._OnData(message.first, b"".join(parts))

    def _OnData(self, first, payload):
        """A whole message; first: its opcode, with _PACKED where it is compressed."""
        if self._isClosed:
            return
        if first & _PACKED:
            payload = self._codec.Inflate(payload, self._maxLen)
        if payload and len(payload) > self._maxLen:
            return self._SendClose(_TOO_BIG)
        if first & _TEXT and payload is not None:
            payload = _Decode(payload)
        if payload is None:
            return self._SendClose(_BAD_TEXT)
        self._OnMessage(first & 15, payload)

    def _OnControl(self, first, payload):
        if first & 15 == _PING:
            self._SendFrame(_Frame(_FIN | _PONG, payload))
        elif first & 15 == _CLOSE:                      # section 5.5.1: nothing, or a code and a reason
            code = int.from_bytes(payload[:2], "big") if payload else _NO_CODE
            reason = _Decode(payload[2:])
            if payload and not _IsCloseCode(code):
                self._End(_PROTOCOL_ERROR)
            elif reason is None:
                self._End(_BAD_TEXT)
            else:
                self._End(code, reason)                 # it is answered with the same


# ---- sans-I/O line -----------------------------------------------------------

import time

try:
    import _thread
except ImportError:
    _thread = None


# ==============================================================================
# 5  WEBSOCKET
# ==============================================================================
# Its callbacks run one after another: at once, on the socket's own thread, or (async def) as a task. While one goes
# on, what comes waits in _queue, and behind _QUEUE_MAX events the reading is held.

_ACCEPT = const(0)              # a kind of event, beside _TEXT, _BINARY and _CLOSE; it brings its callback
_QUEUE_MAX = const(4)
_CLOSE_SEC = const(5)           # for the answer to our Close frame, and for the last bytes to leave; websockets: 10
_PATIENCE_MS = const(2000)      # of a thread that sends, when the engine or its client is behind
_CALL_SIZE = const(512)         # an empty message on its way from another thread counts for so much


def _AsBytes(data):
    if isinstance(data, str):
        return data.encode()
    return data if isinstance(data, bytes) else bytes(memoryview(data))


def _Cross(server, webSocket, func, *args):
    """func(*args) on the engine; the last argument is what is to be sent. Another thread hands it over, and waits while
    too much is on its way and, of one WebSocket, while its client is behind; func is told what is left of its patience.
    That has an end: the thread may have other clients, or a lock that the engine waits for."""
    if server._OnEngine():
        return func(*args)
    most = server.MaxWebSocketSendQueueLen // (4 * len(args[-1]) + _CALL_SIZE)
    patience = _PATIENCE_MS
    while patience:
        if webSocket and webSocket._held & _BY_BACKLOG:
            if server.WebSocketSlowPolicy == "drop":
                return False
        elif len(server._engine._calls) <= most:
            break
        time.sleep(0.001)
        patience -= 1
    if webSocket:
        args += patience,
    return server._CallSoon(func, *args)


class MicroWebSocket(_Protocol):
    """An open WebSocket: set its callbacks (webSocket, msg), (webSocket, data), (webSocket); send from any thread."""

    def __init__(self, server, link, path, protocol, codec):
        # Every attribute is made here: one that is added later can move the table that another thread is reading.
        super().__init__(server.MaxWebSocketRecvLen, codec)
        self.RecvTextCallback = None
        self.RecvBinaryCallback = None
        self.ClosedCallback = None
        self.Path = path
        self.Protocol = protocol
        self.CloseCode = None                           # of the first Close frame, theirs or ours
        self.CloseReason = ""
        self._server = server
        self._link = link
        self._queue = []                                # None: nothing goes on, the next event's turn is now
        self._worker = None                             # of a threaded one: [lock it sleeps on, event]
        self._SetDeadline()

    def SendText(self, msg):
        """Send a text message. False: closed, or the client is too slow to get it."""
        return self._Send(_FIN | _TEXT, _AsBytes(msg))

    def SendBinary(self, data):
        """Send a binary message. False: closed, or the client is too slow to get it."""
        return self._Send(_FIN | _BINARY, _AsBytes(data))

    def Ping(self, data=b""):
        """Send a ping; of data at most 125 bytes."""
        return self._Send(_FIN | _PING, _AsBytes(data)[:125])

    def IsClosed(self):
        """True as soon as either side began to close."""
        return self._isClosed

    def Close(self, code=1000, reason=""):
        """Begin to close, with a code of section 7.4 and up to 123 bytes of reason; ClosedCallback comes at the end."""
        if not _IsCloseCode(code) or len(reason.encode()) > 123:
            raise ValueError("close code or reason")
        if not self._isClosed:
            self._isClosed = True
            self.RecvTextCallback = self.RecvBinaryCallback = None
            _Cross(self._server, None, self._SendClose, code, reason)

    # -- sending, on the engine -----------------------------------------------

    def _Send(self, first, payload):
        if self._isClosed:
            return False
        if self._server._OnEngine():
            return self._Transmit(first, payload, False)
        return _Cross(self._server, self, self._Transmit, first, payload)

    def _Transmit(self, first, payload, isAwaited):
        packed = self._codec and first & 15 < _CLOSE and self._codec.Deflate(payload)
        if packed:
            first |= _PACKED
            payload = packed
        return self._SendFrame(_Frame(first, payload), isAwaited)

    def _SendFrame(self, frame, isAwaited=False):
        """False: the client does not get it."""
        link = self._link
        most = self._server.MaxWebSocketSendQueueLen
        if self.CloseCode is not None:
            return False
        # What a thread has waited for is no sign of a slow client: more of it may come in one turn.
        if self._held & _BY_BACKLOG and link.Backlog() > most and not isAwaited:
            if self._server.WebSocketSlowPolicy != "drop":
                self._End(_TOO_SLOW)
            return False
        link.Send(frame)
        # At half of what may wait nothing is read any more: who does not take answers asks no questions.
        if link.Backlog() * 2 > most:
            self._Hold(_BY_BACKLOG)
        return True

    def _SendClose(self, code, reason=""):
        """Once: the first reason counts."""
        if self.CloseCode is None:
            self._isClosed = True
            self.CloseCode = code
            self.CloseReason = reason
            self.deadline = self._server.now + _CLOSE_SEC
            self._link.Send(_CloseFrame(code, reason))
            self._Release(_BY_QUEUE | _BY_BACKLOG)      # the answer has to be read

    def _End(self, code, reason=""):
        """Both Close frames are out, or nothing the client says can be trusted: the server closes (sections 7.1.1 and
        7.1.7). -> 0: no more bytes are wanted."""
        self._held = _BY_END
        self._SendClose(code, reason)
        self._message = None
        self._rest = b""
        self._link.Close()
        return 0

    # -- the calls of the link -------------------------------------------------

    def Drained(self):
        self._Release(_BY_BACKLOG)

    def IsIdle(self):
        return False

    Ended = IsIdle                                      # nor goes on: a client that sends no more gets no more

    def Stopping(self):
        self.Close(_GOING_AWAY)

    def Expired(self):
        """Not even a pong was heard for a whole interval: the client is dead. Or it does not close."""
        if self.CloseCode is not None or self._silent and not self._held & _BY_QUEUE:
            return self._link.Abort()
        self._SetDeadline()
        self._silent = self._SendFrame(b"\x89\x00")

    def _SetDeadline(self):
        seconds = self._server.WebSocketPingSec
        self.deadline = self._server.now + seconds if seconds else None
        self._silent = False                            # True: nothing was heard since our last ping

    def Lost(self):
        self._isClosed = True
        self._held = _BY_END
        if self.CloseCode is None:
            self.CloseCode = _LOST
        self._server._webSockets.discard(self)
        if self._worker and self._queue is None and not self._server.IsStarted():
            # Stop() waits for no thread: what the program is told of the end, it is told now.
            self._Returned(_CLOSE, self._Call(_CLOSE, None))
            self.ClosedCallback = None
        self._OnMessage(_CLOSE, None)

    # -- holding the reading ---------------------------------------------------

    def _Hold(self, reason):
        if not self._held:
            self._link.Pause()
        self._held |= reason

    def _Release(self, reason):
        if self._held & reason:
            self._held &= ~reason
            self._Parse(b"")                            # what was held back comes before what waits in the link
            if not self._held:
                self._link.Resume()

    # -- callbacks, one after another ------------------------------------------

    def _Open(self, accept):
        """Run the accept callback, on a thread of the socket's own where that is wanted and there is one."""
        server = self._server
        self._queue.insert(0, (_ACCEPT, accept))
        if server.WebSocketThreaded and _thread:
            worker = self._worker = [_thread.allocate_lock(), None]
            worker[0].acquire()
            if not server._StartThread(self._Work, (worker,), server.WebSocketStackSize):
                self._worker = None
        self._Pump()

    def _OnMessage(self, kind, payload):
        if self._queue is None:
            if self._GoesOn(kind, payload):
                self._queue = []
            return
        self._queue.append((kind, payload))
        if len(self._queue) >= _QUEUE_MAX:
            self._Hold(_BY_QUEUE)

    def _Pump(self):
        """Run what waits, until nothing does or a callback goes on."""
        while self._queue:
            if self._GoesOn(*self._queue.pop(0)):
                return
        self._queue = None
        self._Release(_BY_QUEUE)

    def _GoesOn(self, kind, payload):
        """Call the callback of an event. True: it goes on, and at its end comes _Pump."""
        worker = self._worker
        if worker:
            worker[1] = kind, payload
            worker[0].release()
            return True
        coro = self._Call(kind, payload)
        if coro:
            self._Returned(kind, coro)
        return coro

    def _Call(self, kind, payload):
        """-> the coroutine of an async callback, or None."""
        try:
            if kind == _ACCEPT:
                accept, *args = payload
                result = accept(self, *args)
            elif kind == _CLOSE:
                result = self.ClosedCallback and self.ClosedCallback(self)
            else:
                callback = self.RecvTextCallback if kind == _TEXT else self.RecvBinaryCallback
                result = callback and callback(self, payload)
            return result if hasattr(result, "throw") else None
        except Exception as error:
            self._Crashed(error)

    def _Returned(self, kind, coro):
        """A callback has returned, an async one with its coroutine."""
        if coro:
            self._server._Spawn(self._Run(kind, coro))
        if not coro or kind == _ACCEPT:                 # that one may go on for ever; its first step sets the callbacks
            self._server._CallSoon(self._Pump)

    async def _Run(self, kind, coro):
        try:
            await coro
        except Exception as error:
            self._Crashed(error)
        finally:
            if kind != _ACCEPT:
                self._Pump()

    def _Crashed(self, error):
        self._server._LogError("WebSocket callback", error)
        self.Close(_CRASHED)

    def _Work(self, worker):
        """The thread of one WebSocket."""
        kind = _ACCEPT
        while kind != _CLOSE:
            worker[0].acquire()
            kind, payload = worker[1]
            coro = self._Call(kind, payload)
            while True:
                try:
                    told = self._server._CallSoon(self._Returned, kind, coro)
                    break
                except MemoryError:
                    time.sleep(0.1)
            if not told:
                self._worker = None                     # the engine has gone: do the rest here
                return self._Pump()


# ==============================================================================
# 6  SERVER
# ==============================================================================
# What a server gets from here: a row in Upgraders, Broadcast, and the settings that the seed did not have.

_UPGRADE_TO = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))


def _FindAccept(server, path, segments):
    """-> (accept callback or None, its routeArgs). The first route that matches, else the global callback."""
    for route in server._webSocketRoutes:
        args = route.Match(path.rstrip("/") or "/", segments)
        if args is not None:
            return route.handler, args
    return server.AcceptWebSocketCallback, None


def _Upgrade(client, response):
    """The upgrader of the core: answer a request for a WebSocket."""
    session = client._session
    server = session.server
    path = client.GetRequestPath()
    fields = client.GetRequestHeaders()
    accept, args = _FindAccept(server, path, client._line.segments)
    if accept:
        status = _Refusal(fields, server.AllowedWebSocketOrigins)
    else:
        status = 404 if server._webSocketRoutes else 501
    if status:
        return response.WriteResponse(status, _UPGRADE_TO if status == 426 else None, None, None, None)
    protocol = _Choose(fields, server.WebSocketProtocols)
    offers = fields.get("sec-websocket-extensions")
    extension, codec = server._negotiate(offers, server) if offers and server._negotiate else (None, None)
    webSocket = MicroWebSocket(server, session.link, path, protocol, codec)
    server._webSockets.add(webSocket)
    session.Upgrade(_SwitchHead(fields.get("sec-websocket-key"), protocol, extension), webSocket)
    webSocket._Open((accept, client, args) if args else (accept, client))


def _SendToAll(server, path, frame):
    for webSocket in list(server._webSockets):          # a send can take its socket out of the set
        if path is None or webSocket.Path == path:
            webSocket._SendFrame(frame)


def Attach(server):
    """Called by a server when it is made: WebSockets are on."""
    def Broadcast(data, path=None):
        opcode = _TEXT if isinstance(data, str) else _BINARY
        _Cross(server, None, _SendToAll, server, path, _Frame(_FIN | opcode, _AsBytes(data)))

    server.Broadcast = Broadcast
    server.AllowedWebSocketOrigins = None
    server.WebSocketProtocols = ()
    server.WebSocketPingSec = 30
    server.MaxWebSocketSendQueueLen = 8192 if _MICROPYTHON else 1048576
    server.WebSocketSlowPolicy = "close"
    server._negotiate = None                            # of microWebDeflate
    server._webSockets = set()
    server.Upgraders["websocket"] = _Upgrade
