# WebSockets for MicroWebSrv (RFC 6455). Copy this file beside microWebSrv.py to enable them.
# MIT license, see LICENSE.
#
#    1  FRAMES       masks, heads, close codes: bytes and numbers, no state (sections 5 and 7.4)
#    2  WEBSOCKET    the endpoint of a link and the object of a program: bytes in, callbacks; calls, bytes out
#    3  SERVER       the opening handshake (section 4.2), the routes
#
# This file uses no socket, and of the link, the connection and the server only the seams in docs/design.md. Names
# without an underscore are for other files: microWebSocketPlus.py extends the class, microWebDeflate.py sets a codec.

import sys
import time
from binascii import a2b_base64, b2a_base64
from hashlib import sha1

_MICROPYTHON = sys.implementation.name == "micropython"

if _MICROPYTHON:
    from micropython import const
else:
    def const(value):
        return value


# ==============================================================================
# 1  FRAMES
# ==============================================================================
# A server's frames are never masked, a client's always (section 5.1).

_TEXT = const(1)
_BINARY = const(2)
_CLOSE = const(8)
_PING = const(9)
_PONG = const(10)

_FIN = const(0x80)
_PACKED = const(0x40)           # RSV1: the message is compressed (RFC 7692 section 6)
_CONTROL = b"\x88\x89\x8a"      # first bytes of the valid control frames
_WHOLE = b"\x81\x82"
_DATA = b"\x01\x02"
_ALSO_PACKED = b"\x01\x02\x41\x42"

_GOING_AWAY = const(1001)       # section 7.4.1
_PROTOCOL_ERROR = const(1002)
_NO_CODE = const(1005)          # a Close frame without a code; never sent
_LOST = const(1006)             # the connection ended without a Close frame; never sent
_BAD_TEXT = const(1007)
_TOO_SLOW = const(1008)
_TOO_BIG = const(1009)

# Large messages are unmasked in blocks: MicroPython finds heap for a small integer faster than for a large one.
_BLOCK = 128 if _MICROPYTHON else 65536


def _Unmask(data, key):
    """Section 5.3. The XOR of two long integers is faster than a loop over the bytes."""
    size = len(data)
    step = min(size + 3 & ~3, _BLOCK)
    number = int.from_bytes(bytes(key) * (step >> 2), "little")
    parts = []
    for pos in range(0, size, _BLOCK):
        parts.append((int.from_bytes(data[pos:pos + step], "little") ^ number).to_bytes(step, "little"))
    data = b"".join(parts)
    return data[:size] if len(data) > size else data


if not _MICROPYTHON:
    _PlainUnmask = _Unmask
    try:
        from websockets.speedups import apply_mask as _Unmask   # compiled
    except ImportError:
        pass


def Frame(first, payload):
    """first: byte with FIN, RSV and opcode. The payload length gets its shortest form (section 5.2). -> bytes or a
    bytearray"""
    size = len(payload)
    if size < 126:
        return (first << 8 | size).to_bytes(2, "big") + payload
    count = 2 if size < 65536 else 8
    # A bytearray: for a bytes object MicroPython also computes a hash, which takes longer than the copy.
    return bytearray((first, 126 + (count > 2))) + size.to_bytes(count, "big") + payload


def _IsCloseCode(code):
    """True for the codes that a Close frame may carry (section 7.4 and its IANA registry)."""
    return 2999 < code < 5000 or 1006 < code < 1015 or 999 < code < 1004


# ==============================================================================
# 2  WEBSOCKET
# ==============================================================================
# Callbacks run one after another: at once, on the socket's own thread, or (async def) as a task. Meanwhile events wait
# in _queue. With _QUEUE_MAX events waiting, no more bytes are read.

_WANT_NOTHING = const(0)        # the values of link.want
_WANT_BYTES = const(1)
_WANT_TURN = const(4)

_PINGED = const(1)              # bits of _state: nothing was received since the last ping
_BEHIND = const(2)              # the client reads too slowly, so sending threads wait; they can't ask the link
_CLOSING = const(4)             # the Close frame is sent; only the client's Close frame is still of use
_ENDED = const(8)               # no more frames are read

_QUEUE_MAX = const(4)
_SHARE = const(16)              # frames before other connections get their turn
_CLOSE_SEC = const(5)           # for the reply to our Close frame; websockets: 10
_LINGER_SEC = const(2)          # for a client that broke a rule to close the connection
_PATIENCE_MS = const(2000)      # for which a sending thread waits for the engine or the client
_CALL_SIZE = const(512)         # bytes that each message counts in addition while it waits for the engine

# Any valid beginning of a UTF-8 character is completed by one of these.
_ENDINGS = (b"", b"\x80", b"\x80\x80", b"\xa0\x80", b"\x80\x80\x80", b"\x90\x80\x80")


# An incomplete data message is a list: opcode, content, incomplete character at its end; and of the frame that is read
# now: FIN, mask key, bytes to come. A class would take 200 bytes more on a board.
_KIND = const(0)
_CONTENT = const(1)
_TAIL = const(2)
_IS_LAST = const(3)
_KEY = const(4)
_LEFT = const(5)


class MicroWebSocket:
    """An open WebSocket. Set its callbacks (webSocket, msg), (webSocket, data), (webSocket); send from any thread."""

    # Await: (kind of event, coroutine) on the engine -> True if Done will be called at the end. Codec: of an extension.
    # _worker: of a threaded WebSocket: [lock on which the thread sleeps, event; None: the thread ended].
    Await = Codec = _worker = None
    ReadsView = True                                    # OnReceived may get a view of the server's inbox (MicroPython)

    def __init__(self, server, link, event):
        # All attributes are set here: one that is added later would move the dict that another thread may be reading.
        self.Server = server
        self._link = link
        self.RecvTextCallback = self.RecvBinaryCallback = self.ClosedCallback = self._message = None
        self.CloseCode = None                           # of the first Close frame, sent or received
        self.CloseReason = ""
        self._state = 0
        self._rest = b""                                # received bytes that were not parsed
        self._queue = (event,)                          # None: no callback runs, the next event starts at once
        if not _MICROPYTHON:                            # CPython reads them faster here than from the class
            self.Codec = self._worker = None
        self._Renew()
        if server.WebSocketThreaded:
            worker = [server.NewLock(), event]
            worker[0].acquire()
            if server.StartThread(self._Work, (worker,), server.WebSocketStackSize):
                self._worker = worker
                server.webSocketWorkers.append(worker)

    def SendText(self, msg):
        """Send a text message. False: closed, or the client is too slow."""
        return self.SendFrame(_FIN | _TEXT, msg)

    def SendBinary(self, data):
        """Send a binary message. False: closed, or the client is too slow."""
        return self.SendFrame(_FIN | _BINARY, data)

    def IsClosed(self):
        """True as soon as either side has begun to close."""
        return self.CloseCode is not None

    def Close(self, code=1000, reason=""):
        """Begin to close. code: one of section 7.4; reason: up to 123 bytes. ClosedCallback is called at the end.
        ValueError for an invalid code or reason."""
        if not _IsCloseCode(code) or len(reason.encode()) > 123:
            raise ValueError("code or reason")
        if not self.CloseCode:
            self.CloseCode = code
            self.CloseReason = reason
            server = self.Server
            if server.IsOnEngine():
                self._SendClose(code, reason)
            else:
                server.CallSoon(self._SendClose, code, reason)

    # -- sending ------------------------------------------------------------------

    def SendFrame(self, first, data, patience=None):
        """Send a frame with this first byte; first=0: data is a complete frame. False: it is not sent. A thread passes
        it to the engine, and first waits up to 2 s while too many bytes are queued or the client is slow. The wait is
        limited, because the thread may hold a lock that the engine needs. patience: rest of it, on the engine."""
        server = self.Server                            # one variable more, and MicroPython puts the frame on the heap
        if patience is None:
            if self.CloseCode:
                return False
            if isinstance(data, str):
                data = data.encode()
            elif not isinstance(data, bytes):
                data = bytes(memoryview(data))
            if not server.IsOnEngine():
                patience = _PATIENCE_MS
                while patience:
                    if self._state & _BEHIND:
                        if self.Drops():
                            return False
                    elif server.Pending() * (4 * len(data) + _CALL_SIZE) <= server.MaxWebSocketSendQueueLen:
                        break
                    time.sleep(0.001)
                    patience -= 1
                return server.CallSoon(self.SendFrame, first, data, patience)
        if self._state > _PINGED:
            if self._state >= _CLOSING:
                return False
            # A thread that waited is no sign of a slow client: several messages may arrive in one turn.
            if not patience and self._link.Backlog() > server.MaxWebSocketSendQueueLen:
                if not self.Drops():
                    self._SendClose(_TOO_SLOW, "", self._link.Close)
                return False
        if first:
            if self.Codec:
                first, data = self.Codec.Pack(first, data)
            data = Frame(first, data)
        self._link.Send(data)
        if self._link.out and self._link.Backlog() * 2 > server.MaxWebSocketSendQueueLen:
            self._state |= _BEHIND
        return self._state < _CLOSING

    def _SendClose(self, code, reason, end=None):
        """On the engine: send a Close frame if none was sent. The first reason counts. end: the link's method to call
        if no more is read. -> 0"""
        state = self._state
        if state < _CLOSING:
            if not self.CloseCode:
                self.CloseCode = code
                self.CloseReason = reason
            if not end and self._queue:                 # the program closed: deliver no more messages
                self._queue = ()
            payload = b"" if code == _NO_CODE else code.to_bytes(2, "big") + reason.encode()
            self._link.Send(Frame(_FIN | _CLOSE, payload))
        if end or state < _CLOSING:
            self._state = _ENDED if end else _CLOSING
            self._Renew()
            if end:
                end()
            self._Advance()                             # to read the reply
        return 0

    def _Fail(self, code):
        """The client broke a rule: send a Close frame and ignore what it sends (section 7.1.7). -> 0, no bytes are
        needed."""
        reason = ""
        if code == _TOO_BIG:
            reason = "message above MaxWebSocketRecvLen: %d" % self.Server.MaxWebSocketRecvLen
            self.Server.Log(reason)
        return self._SendClose(code, reason, self._link.Finish)   # Close() with unread bytes would reset the connection

    # -- the calls of the link ----------------------------------------------------

    def OnDrained(self):
        """The send queue is empty, or it is this connection's turn."""
        state = self._state
        if state >= _ENDED:                             # nothing is left to read
            self._Renew()
            return self._link.Close() if _MICROPYTHON else self._link.Finish()
        self._state = state & ~_BEHIND
        if state < _CLOSING or self.deadline is None:
            self._Renew()
        self._Advance()

    def IsIdle(self):
        return False

    OnEnd = IsIdle                                      # a client that has closed its sending side gets no more
    Drops = IsIdle                                      # a slow client is closed, its messages are not dropped

    def OnStop(self):
        self.Close(_GOING_AWAY)

    def OnExpired(self):
        """Nothing was received for a whole interval after a ping, or the client does not close: abort."""
        if self._state >= _CLOSING or self._state & _PINGED and self._link.want:
            return self._link.Abort()
        self.SendFrame(_FIN | _PING, b"")
        self._state |= _PINGED
        self._Renew()

    def _Renew(self):
        """Set the next deadline, for a sign of life or for the close. While bytes are queued the link has the
        deadline."""
        server = self.Server
        state = self._state
        seconds = server.WebSocketPingSec if state < _CLOSING else _CLOSE_SEC if state < _ENDED else _LINGER_SEC
        self.deadline = server.now + seconds if seconds and not self._link.out else None

    def OnLost(self):
        self._state = _ENDED
        if not self.CloseCode:
            self.CloseCode = _LOST
        if self._worker and self._queue is None and not self.Server.IsStarted():
            # Stop() does not wait for the thread, so ClosedCallback is called here.
            self.Done(None, _CLOSE, self._Call(_CLOSE, ()))
            self.ClosedCallback = None
        self._Post(_CLOSE, ())

    # -- bytes to events ------------------------------------------------------------

    def OnReceived(self, data):
        """Received bytes, split at any place."""
        # Nearly every read is one frame with a whole message. MicroPython puts the many variables of _ReadFrame on the
        # heap and then searches for memory from there; without that a message takes a third of the time.
        size = len(data)
        if size > 5 and data[0] in _WHOLE and self._queue is None and not (self._state or self._rest or self._message):
            if data[1] == size + 122 < 254:
                return self._OnData(data[0] & 15, _Unmask(data[6:], data[2:6]))
            if data[1] == 254 and 133 < size == (data[2] << 8 | data[3]) + 8:
                return self._OnData(data[0] & 15, _Unmask(memoryview(data)[8:], data[4:8]))
        self._Advance(data)

    def _Advance(self, data=b""):
        """Parse frames until a callback or the client is too slow, or other connections have their turn."""
        link = self._link
        self._state &= ~_PINGED
        message = self._message
        if self._state >= _ENDED:
            if message:
                message[_LEFT] -= len(data)
            if _MICROPYTHON and (not message or message[_LEFT] <= 0):
                link.Want(_WANT_BYTES | _WANT_TURN)     # no shutdown there: a turn comes when nothing is left to read
            return
        data = self._rest + data
        self._rest = b""
        pos = 0
        share = _SHARE
        while True:
            queue = self._queue
            want = _WANT_NOTHING
            if queue and len(queue) >= _QUEUE_MAX and not self.CloseCode:
                break
            want = _WANT_BYTES
            if pos == len(data):
                break
            if not share or link.out:
                want = _WANT_TURN
                break
            share -= 1
            step = self._ReadFrame(data, pos)
            if self._state >= _ENDED:
                return
            if not step:
                break
            pos = step
        self._rest = data[pos:]
        link.Want(want)

    def _ReadFrame(self, data, pos):
        """Parse a frame head (section 5.2) and the payload received so far. -> position to continue at; 0: more bytes
        are needed."""
        message = self._message
        if message and message[_LEFT]:
            return self._ReadPart(message, data, pos)
        if len(data) < pos + 2:
            return 0
        first = data[pos]
        size = data[pos + 1]
        kind = first & 0x7F
        # Section 5.1: masked. 5.5: control frames are short and not fragmented. 5.2 and 5.4: reserved bits,
        # fragmentation.
        if size < 128 or not (first in _CONTROL and size < 254 if kind & 8 else not kind if message
                              else kind in (_ALSO_PACKED if self.Codec else _DATA)):
            return self._Fail(_PROTOCOL_ERROR)
        size &= 127
        start = pos + (6 if size < 126 else 8 if size < 127 else 14)
        if len(data) < start:
            return 0
        if size > 125:
            size = int.from_bytes(data[pos + 2:start - 4], "big")
            if size < (126 if start < pos + 14 else 65536):
                return self._Fail(_PROTOCOL_ERROR)
        end = start + size
        key = data[start - 4:start]
        if kind & 8:
            if end > len(data):
                return 0
            self._OnData(kind, _Unmask(data[start:end], key))
            return end
        message = self._message = (message or [kind, bytearray(), b""])[:_IS_LAST] + [first & _FIN, key, size]
        most = self.Server.MaxWebSocketRecvLen
        # The limit is checked before bytes are stored. Deflate adds a few bytes to data that can't be compressed.
        if not self.CloseCode and (
                size + len(message[_CONTENT]) > most + (message[_KIND] & _PACKED and 16 + (most >> 8))):
            message[_LEFT] = end - len(data)
            return self._Fail(_TOO_BIG)
        return self._ReadPart(message, data, start)

    def _ReadPart(self, message, data, pos):
        """Process the received part of a payload of an incomplete message."""
        piece = data[pos:pos + min(message[_LEFT], len(data))]  # MicroPython can't slice up to 2 ** 63
        size = len(piece)
        message[_LEFT] -= size
        isLast = message[_IS_LAST] and not message[_LEFT]
        if isLast:
            self._message = None
        if not self.CloseCode:
            key = message[_KEY]
            piece = _Unmask(piece, key)
            message[_KEY] = (key * 2)[size & 3:][:4]
            message[_CONTENT] += piece
            if isLast:
                self._OnData(message[_KIND], bytes(message[_CONTENT]))
            elif message[_KIND] == _TEXT:
                piece = message[_TAIL] = self._Unfinished(message[_TAIL] + piece)
                if piece is None:                       # section 8.1: fail at once, not at the end
                    return self._Fail(_BAD_TEXT)
        return pos + size

    def _Unfinished(self, data):
        """The incomplete character at the end of a partial text, as bytes; None if a byte is invalid."""
        start = len(data)
        for ending in _ENDINGS:
            try:
                self.Server.Utf8(data + ending, True)
            except ValueError:
                continue
            while ending and (start == len(data) or data[start] < 0xC0):
                start -= 1
            return data[start:]
        return None

    def _OnData(self, kind, payload):
        """A complete message or control frame. kind: its opcode, with _PACKED if it is compressed."""
        server = self.Server
        try:
            if not kind & _CLOSE:                       # no control frame
                if self.CloseCode:
                    return
                if kind & _PACKED:
                    payload = self.Codec.Inflate(payload, server.MaxWebSocketRecvLen)
                if len(payload) > server.MaxWebSocketRecvLen:
                    return self._Fail(_TOO_BIG)
                if kind & _TEXT:
                    self._Post(_TEXT, server.Utf8(payload, True) if _MICROPYTHON else payload.decode())
                else:
                    self._Post(_BINARY, payload)
            elif kind == _PING:
                self.SendFrame(_FIN | _PONG, payload)
            elif kind == _CLOSE:                        # section 5.5.1: the payload is empty, or a code and a reason
                code = int.from_bytes(payload[:2], "big") if payload else _NO_CODE
                if payload and not _IsCloseCode(code):
                    return self._Fail(_PROTOCOL_ERROR)
                # Reply with the same code; the server closes the connection first.
                self._SendClose(code, server.Utf8(payload[2:], True), self._link.Close)
        except ValueError:
            self._Fail(_BAD_TEXT)

    # -- events to callbacks, one after another -------------------------------------

    def _Post(self, kind=None, value=None):
        """Queue an event, then run the queued events one after another. kind: _TEXT, _BINARY or _CLOSE, or the accept
        callback; value: the callback's argument, or a tuple of them. Without an event, run the queued ones. If a
        callback continues in the socket's thread or as a task, Done is called at its end."""
        queue = self._queue
        if queue is None:
            queue = ()
        elif kind:
            self._queue = queue + ((kind, value),)
            return
        while kind or queue:
            if not kind:
                kind, value = queue[0]
                queue = queue[1:]
            self._queue = queue
            worker = self._worker
            if worker:
                worker[1] = kind, value
                worker[0].release()
                return
            coroutine = self._Call(kind, value)
            if coroutine and self.Await(kind, coroutine):
                return
            kind = None
            queue = self._queue
        self._queue = None

    def _Call(self, kind, value):
        """-> coroutine of an async callback, or None."""
        try:
            callback = (self.RecvTextCallback if kind == _TEXT else self.RecvBinaryCallback if kind == _BINARY
                        else self.ClosedCallback if kind == _CLOSE else kind)
            result = callback and (callback(self, *value) if isinstance(value, tuple) else callback(self, value))
            if result is not None and hasattr(result, "send"):
                if self.Await:
                    return result
                if not _MICROPYTHON:
                    result.close()                      # avoids the warning "never awaited"
                raise TypeError("async needs microWebSocketPlus")
        except BaseException as error:                  # SystemExit too
            self.Crashed(error)

    def Done(self, error=None, kind=None, coroutine=None):
        """A callback has ended in a task or thread; or its thread hands over its coroutine."""
        self.Crashed(error)
        if not (coroutine and self.Await(kind, coroutine)):
            self._Post()
            self._Advance()

    def Crashed(self, error):
        """Log the exception of a callback. error: None if there was none."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        if error is not None:
            self.Server.Log("WebSocket callback", error)

    def _Work(self, worker):
        """Body of the WebSocket's thread."""
        kind = None
        while kind != _CLOSE:
            worker[0].acquire()
            kind, value = worker[1]
            coroutine = self._Call(kind, value)
            while True:
                try:
                    isTold = self.Server.CallSoon(self.Done, None, kind, coroutine)
                    break
                except MemoryError:
                    time.sleep(0.001)
            if not isTold:
                self._worker = None                     # the engine has ended: run the rest here
                self._Post()
                break
        worker[1] = None


# ==============================================================================
# 3  SERVER
# ==============================================================================
# Registers the upgrader and the settings that the original server did not have.

def Refusal(client, server):
    """-> the status that refuses this opening handshake (sections 4.2.1 and 4.4), or 0."""
    head = client.head
    get = head.fields.get
    key = get("sec-websocket-key", "")
    if get("sec-websocket-version") != "13":
        return 426
    try:                                      # 16 bytes in base64; an invalid letter is skipped, which makes them fewer
        if len(key) != 24 or len(a2b_base64(key)) != 16 or head.method != "GET":
            return 400
    except ValueError:
        return 400
    # Section 10.2. Clients other than browsers send no Origin, or one like file://. A browser sends the page's http(s)
    # origin, or null for a sandboxed frame. It omits the default port of the scheme, but a proxy may have added it to
    # Host. A hook may allow other pages (microWebCors).
    scheme, _, page = get("origin", "").lower().partition("://")
    host = (getattr(client, "host", None) or head.authority).lower()            # of a trusted proxy (microWebSecurity)
    return 403 if scheme[:4] in ("null", "http") and not hasattr(client, "origins") and host not in (
        page, page + ":80", page + ":443") else 0


def _Upgrade(client, response):
    """The upgrader for "websocket": answer the opening handshake."""
    head = client.head
    fields = head.fields
    connection = client.connection
    server = connection.server
    event = server.AcceptWebSocketCallback, client
    for route in server.webSocketRoutes:
        found = route.Match(head.key.rstrip("/") or "/")
        if found is not None:
            event = route.handler, ((client, found) if found else client)
            break
    status = Refusal(client, server) if event[0] else 404 if server.webSocketRoutes else 501
    # Threads of closed WebSockets run until the program's callback returns, so they count too.
    workers = server.webSocketWorkers
    for worker in list(workers):
        if not worker[1]:
            workers.remove(worker)
    if len(workers) >= server.MaxConnections:
        status = status or 503
    if status:
        server.Log("WebSocket %d: %s, Host %s, Origin %s" % (status, head.target, head.authority,
                                                           fields.get("origin")))
        return response.WriteError(status, {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
    webSocket = MicroWebSocket(server, connection.link, event)
    digest = sha1(fields["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    lines = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
             + b2a_base64(digest)[:-1] + b"\r\n")       # section 4.2.2, step 5
    for offer in server.Offers:
        lines += offer(webSocket, head)
    connection.Upgrade(response, lines + b"\r\n", webSocket)
    webSocket.Done()


def Attach(server):
    """Called by each new server: enables WebSockets."""
    kind = type(server)
    if not hasattr(server, "WebSocketPingSec"):
        kind.WebSocketPingSec = 30
    if not hasattr(server, "MaxWebSocketSendQueueLen"):
        kind.MaxWebSocketSendQueueLen = 8192 if _MICROPYTHON else 1048576
    server.webSocketWorkers = []
    server.Offers = []                  # functions (webSocket, request head) -> header lines of the 101, as bytes
    server.Upgraders["websocket"] = _Upgrade
