# WebSockets for MicroWebSrv (RFC 6455): copy this file beside microWebSrv.py and they are on.
# MIT license, see LICENSE.
#
#    1  FRAMES       masks, heads, close codes: bytes and numbers, no state (sections 5 and 7.4)
#    2  WEBSOCKET    the endpoint of a link and what a program holds: bytes in, callbacks; calls, bytes out
#    3  SERVER       the opening handshake (section 4.2), the routes, Broadcast
#
# Nothing here knows a socket: of the link, the connection and the server only what docs/design.md lists as seams.

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
# A frame from us is never masked, one to us always (section 5.1).

_TEXT = const(1)
_BINARY = const(2)
_CLOSE = const(8)
_PING = const(9)
_PONG = const(10)

_FIN = const(0x80)
_PACKED = const(0x40)           # RSV1: the message is compressed (RFC 7692 section 6)
_CONTROL = b"\x88\x89\x8a"      # the frames that there are, as they begin
_DATA = b"\x01\x02"

_GOING_AWAY = const(1001)       # section 7.4.1
_PROTOCOL_ERROR = const(1002)
_NO_CODE = const(1005)          # a Close frame without a code; never sent
_LOST = const(1006)             # gone without a Close frame; never sent
_BAD_TEXT = const(1007)
_TOO_SLOW = const(1008)
_TOO_BIG = const(1009)
_CRASHED = const(1011)

# A large message is unmasked in blocks: a free place for an integer is looked for in the heap, and a small one is near.
_BLOCK = 256 if _MICROPYTHON else 65536


def _Unmask(data, key):
    """Section 5.3. A xor of long integers: the interpreter's loop over the bytes, not ours."""
    size = len(data)
    step = min(size + 3 & -4, _BLOCK)
    number = int.from_bytes(key * (step >> 2), "little")
    if size <= _BLOCK:
        return (int.from_bytes(data, "little") ^ number).to_bytes(step, "little")[:size]
    parts = []
    for pos in range(0, size, _BLOCK):
        parts.append((int.from_bytes(data[pos:pos + _BLOCK], "little") ^ number).to_bytes(_BLOCK, "little"))
    data = b"".join(parts)
    return data[:size] if size % _BLOCK else data


_PlainUnmask = _Unmask
if not _MICROPYTHON:
    try:
        from websockets.speedups import apply_mask as _Unmask   # compiled
    except ImportError:
        pass


def _Frame(first, payload):
    """first: FIN, RSV and opcode. The length in its shortest form (section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    count = 2 if size < 65536 else 8
    return bytes((first, 126 + (count > 2))) + size.to_bytes(count, "big") + payload


def _IsCloseCode(code):
    """What a Close frame may carry: section 7.4, and the registry it founded."""
    return 2999 < code < 5000 or 1006 < code < 1015 or 999 < code < 1004


def _AsBytes(data):
    if isinstance(data, str):
        return data.encode()
    return data if isinstance(data, bytes) else bytes(memoryview(data))


# ==============================================================================
# 2  WEBSOCKET
# ==============================================================================
# Its callbacks run one after another: at once, on the socket's own thread, or (async def) as a task. While one goes
# on, what comes waits in _queue, and behind _QUEUE_MAX events nothing is read.

_WANT_NOTHING = const(0)        # of a link
_WANT_BYTES = const(1)
_WANT_TURN = const(4)

_PINGED = const(1)              # the bits of _state: nothing was heard since our last ping
_BEHIND = const(2)              # the client: threads that send wait for it. They can't ask the link
_CLOSING = const(4)             # our Close frame is out; the client's Close frame is read for
_ENDED = const(8)               # nothing is read any more

_QUEUE_MAX = const(4)
_SHARE = const(16)              # frames until others have their turn
_CLOSE_SEC = const(5)           # for the answer to our Close frame; websockets: 10
_LINGER_SEC = const(2)          # for the end of a client that broke a rule
_PATIENCE_MS = const(2000)      # of a thread that sends, when the engine or its client is behind
_CALL_SIZE = const(512)         # an empty message on its way from another thread counts for so much

# One of these completes whatever can be completed.
_ENDINGS = (b"", b"\x80", b"\x80\x80", b"\xa0\x80", b"\x80\x80\x80", b"\x90\x80\x80")


class _Message:
    """A data message that is not complete; and of the frame that is being read: fin, key, and left: bytes to come."""

    tail = b""                  # of its text: the beginning of a character


def _Cross(server, webSocket, func, *args):
    """func(*args) on the engine; the last argument is what is to be sent. Another thread hands it over, and waits while
    too much is on its way and, of one WebSocket, while its client is behind; func is told what is left of its patience.
    That has an end: the thread may have other clients, or a lock that the engine waits for."""
    if server.IsOnEngine():
        return func(*args)
    most = server.MaxWebSocketSendQueueLen // (4 * len(args[-1]) + _CALL_SIZE)
    patience = _PATIENCE_MS
    while patience:
        if webSocket and webSocket._state & _BEHIND:
            if server.WebSocketSlowPolicy == "drop":
                return False
        elif server.Pending() <= most:
            break
        time.sleep(0.001)
        patience -= 1
    if webSocket:
        args += patience,
    return server.CallSoon(func, *args)


async def _Behind():
    """Tasks begin in their order: at the end of this one, the one before it has begun."""


class MicroWebSocket:
    """An open WebSocket: set its callbacks (webSocket, msg), (webSocket, data), (webSocket); send from any thread."""

    RecvTextCallback = RecvBinaryCallback = ClosedCallback = None
    Protocol = None             # the subprotocol
    _codec = None               # of an extension
    _worker = None              # of a threaded one: [lock it sleeps on, event]

    def __init__(self, server, link, path, event):
        # All that changes is made here: an attribute that is added later moves the table that another thread may read.
        self._server = server
        self._link = link
        self.Path = path
        self.CloseCode = None                           # of the first Close frame, theirs or ours
        self.CloseReason = ""
        self._state = 0
        self._rest = b""                                # bytes that were not read
        self._message = None
        self._queue = (event,)                          # None: the next event's turn is now
        self._Renew()
        if server.WebSocketThreaded:
            self.RecvTextCallback = self.RecvBinaryCallback = self.ClosedCallback = None
            worker = [server.NewLock(), None]
            worker[0].acquire()
            if server.StartThread(self._Work, (worker,), server.WebSocketStackSize):
                self._worker = worker

    def SendText(self, msg):
        """Send a text message. False: closed, or the client is too slow to get it."""
        return self._Send(_FIN | _TEXT, msg)

    def SendBinary(self, data):
        """Send a binary message. False: closed, or the client is too slow to get it."""
        return self._Send(_FIN | _BINARY, data)

    def Ping(self, data=b""):
        """Send a ping; of data at most 125 bytes."""
        return self._Send(_FIN | _PING, _AsBytes(data)[:125])

    def IsClosed(self):
        """True as soon as either side began to close."""
        return self.CloseCode is not None

    def Close(self, code=1000, reason=""):
        """Begin to close, with a code of section 7.4 and up to 123 bytes of reason; ClosedCallback comes at the end."""
        if not _IsCloseCode(code) or len(reason.encode()) > 123:
            raise ValueError("close code or reason")
        if not self.CloseCode:
            self.CloseCode = code
            self.CloseReason = reason
            _Cross(self._server, None, self._SendClose, code, reason)

    # -- sending ------------------------------------------------------------------

    def _Send(self, first, data):
        if self.CloseCode:
            return False
        data = _AsBytes(data)
        if self._server.IsOnEngine():
            return self._Transmit(first, data)
        return _Cross(self._server, self, self._Transmit, first, data)

    def _Transmit(self, first, payload, patience=0):
        """On the engine. False: the client does not get it. first 0: the payload is a whole frame."""
        link = self._link
        if self._state >= _CLOSING:
            return False
        # What a thread has waited for is no sign of a slow client: more of it may come in one turn.
        if self._state & _BEHIND and not patience and link.Backlog() > self._server.MaxWebSocketSendQueueLen:
            if self._server.WebSocketSlowPolicy != "drop":
                self._SendClose(_TOO_SLOW, "", _ENDED)
                link.Close()
            return False
        if first:
            if self._codec and first & 15 < _CLOSE:
                packed = self._codec.Deflate(payload)
                if packed:
                    first |= _PACKED
                payload = packed or payload
            payload = _Frame(first, payload)
        link.Send(payload)
        if link.out and link.Backlog() * 2 > self._server.MaxWebSocketSendQueueLen:
            self._state |= _BEHIND
        return self._state < _CLOSING

    def _SendClose(self, code, reason, state=_CLOSING):
        """On the engine: a Close frame, if none is out. The first reason counts. state: the one that follows."""
        link = self._link
        if self._state < _CLOSING:
            if not self.CloseCode:
                self.CloseCode = code
                self.CloseReason = reason
            if state == _CLOSING and self._queue:       # the program asked for it: no message is delivered any more
                self._queue = ()
            link.Send(_Frame(_FIN | _CLOSE, b"" if code == _NO_CODE else code.to_bytes(2, "big") + reason.encode()))
        if self._state < state:
            self._state = state
            self._Renew()
            self._Advance()                             # the answer has to be read

    def _Fail(self, code):
        """The client broke a rule: the Close frame says so, and nothing counts that it sends (section 7.1.7). -> 0: no
        more bytes are wanted."""
        reason = ""
        if code == _TOO_BIG:
            reason = "message above MaxWebSocketRecvLen, %d bytes" % self._server.MaxWebSocketRecvLen
            self._server.Log("WebSocket " + reason)
        self._SendClose(code, reason, _ENDED)
        self._link.Finish()                             # closing on unread bytes would reset the connection under it
        self._Advance()
        return 0

    # -- the calls of the link ----------------------------------------------------

    def OnDrained(self):
        """What was queued has left, or our turn has come."""
        state = self._state
        if state >= _ENDED:                             # its last bytes were read
            self._Renew()
            return self._link.Close() if _MICROPYTHON else self._link.Finish()
        self._state = state & ~_BEHIND
        if state < _CLOSING or self.deadline is None:
            self._Renew()
        self._Advance()

    def IsIdle(self):
        return False

    OnEnd = IsIdle                                      # a client that sends no more gets no more

    def OnStop(self):
        self.Close(_GOING_AWAY)

    def OnExpired(self):
        """Not even a pong was heard for a whole interval: the client is dead. Or it does not close."""
        if self._state >= _CLOSING or self._state & _PINGED and self._link.want:
            return self._link.Abort()
        if self._Transmit(_FIN | _PING, b""):
            self._state |= _PINGED
        self._Renew()

    def _Renew(self):
        """Another deadline: for a sign of life, or for the end. While something waits to be sent, the link has one."""
        server = self._server
        state = self._state
        seconds = server.WebSocketPingSec if state < _CLOSING else _CLOSE_SEC if state < _ENDED else _LINGER_SEC
        self.deadline = server.now + seconds if seconds and not self._link.out else None

    def OnLost(self):
        self._state = _ENDED
        if not self.CloseCode:
            self.CloseCode = _LOST
        if self._worker and self._queue is None and not self._server.IsStarted():
            # Stop() waits for no thread: what the program is told of the end, it is told now.
            self._Done(None, "ClosedCallback", self._Call("ClosedCallback", None))
            self.ClosedCallback = None
        self._Post("ClosedCallback")

    # -- bytes to events ------------------------------------------------------------

    def OnReceived(self, data):
        """Bytes that arrived, cut anywhere."""
        # Nearly every read is one frame with one whole message. MicroPython has the many variables of _ReadFrame in the
        # heap, and looks for room from there: without them a message takes a third of the time.
        if len(data) > 5 and 0x80 < data[0] < 0x83 and self._queue is None and not (
                self._state or self._rest or self._message):
            start = 6
            size = data[1] - 128
            if size == 126:
                start = 8
                size = data[2] << 8 | data[3]
            if len(data) == start + size and (size < 126) == (start < 8):
                return self._OnData(data[0] & 15, _Unmask(memoryview(data)[start:], data[start - 4:start]))
        self._Advance(data)

    def _Advance(self, data=b""):
        """As far as the bytes go, until callbacks or the client are behind, or others have their turn."""
        link = self._link
        self._state &= ~_PINGED
        if self._state >= _ENDED and _MICROPYTHON:      # there is no shutdown: a turn, when nothing is left to be read
            message = self._message
            if message:
                message.left -= len(data)
            if not message or message.left <= 0:
                link.Want(_WANT_BYTES | _WANT_TURN)
        if self._rest:
            data = self._rest + data
            self._rest = b""
        pos = 0
        share = _SHARE
        while self._state < _ENDED:
            queue = self._queue
            want = (_WANT_NOTHING if queue and len(queue) >= _QUEUE_MAX and not self.CloseCode
                    else _WANT_TURN if pos < len(data) else _WANT_BYTES)
            if want == _WANT_TURN and share and (share == _SHARE or not link.out):
                share -= 1
                step = self._ReadFrame(data, pos)
                if step:
                    pos = step
                    continue
                want = _WANT_BYTES
            if self._state < _ENDED:
                self._rest = data[pos:]
                if link.want != want:
                    link.Want(want)
            break

    def _ReadFrame(self, data, pos):
        """A frame's head (section 5.2) and what is there of its payload -> where to go on, 0: give me more."""
        message = self._message
        if message and message.left:
            return self._ReadPart(message, data, pos)
        if len(data) < pos + 2:
            return 0
        first = data[pos]
        size = data[pos + 1]
        kind = first & 0x7F
        # Section 5.1: masked; 5.5: control frames are short and in one piece; 5.2 and 5.4: reserved bits, fragments.
        if size < 128 or not (first in _CONTROL and size < 254 if kind & 8 else not kind if message
                              else kind & (~_PACKED if self._codec else -1) in _DATA):
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
        most = self._server.MaxWebSocketRecvLen
        if kind & 8 or first & _FIN and not message and end <= len(data) and size <= most:
            if end > len(data):
                return 0
            self._OnData(kind, _Unmask(memoryview(data)[start:end], data[start - 4:start]))
            return end
        if not message:
            message = self._message = _Message()
            message.first, message.data = kind, bytearray()
        message.fin, message.left = first & _FIN, size
        message.key = data[start - 4:start]
        # The limit counts before a byte is kept. What can't be compressed grows by some bytes.
        if size + len(message.data) > most + (message.first & _PACKED and 16 + (most >> 8)) and not self.CloseCode:
            message.left = end - len(data)
            return self._Fail(_TOO_BIG)
        return self._ReadPart(message, data, start)

    def _ReadPart(self, message, data, pos):
        """What is there of a payload whose message is not complete."""
        piece = data[pos:pos + min(message.left, len(data))]    # MicroPython has no slice up to 2 ** 63
        size = len(piece)
        message.left -= size
        isLast = message.fin and not message.left
        if isLast:
            self._message = None
        if not self.CloseCode:
            piece = _Unmask(piece, message.key)
            message.key = (message.key * 2)[size & 3:][:4]
            message.data += piece
            if message.first == _TEXT:
                message.tail = self._Unfinished(message.tail + piece)
                if message.tail is None or isLast and message.tail:     # section 8.1: at once, not at its end
                    return self._Fail(_BAD_TEXT)
            if isLast:
                self._OnData(message.first, bytes(message.data))
        return pos + size

    def _Unfinished(self, data):
        """The bytes at the end of a text that goes on which are no whole character yet; None where a byte is wrong."""
        for count in range(4):
            cut = len(data) - count
            if self._Decode(data[:cut]) is not None:
                for ending in _ENDINGS:
                    if self._Decode(data[cut:] + ending) is not None:
                        return data[cut:]
                break
        return None

    def _Decode(self, data):
        """bytes -> str, None if they are not UTF-8."""
        try:
            return self._server.Utf8(data, True)
        except ValueError:
            return None

    def _OnData(self, kind, payload):
        """A whole message or control frame; kind: its opcode, with _PACKED where it is compressed."""
        most = self._server.MaxWebSocketRecvLen
        if kind == _PING:
            self._Transmit(_FIN | _PONG, payload)
        elif kind == _CLOSE:                            # section 5.5.1: nothing, or a code and a reason
            code = int.from_bytes(payload[:2], "big") if payload else _NO_CODE
            if payload and not _IsCloseCode(code):
                return self._Fail(_PROTOCOL_ERROR)
            payload = self._Decode(payload[2:])
            if payload is None:
                return self._Fail(_BAD_TEXT)
            self._SendClose(code, payload, _ENDED)      # it is answered with the same, and the server closes first
            self._link.Close()
        elif kind != _PONG and not self.CloseCode:
            if kind & _PACKED:
                payload = self._codec.Inflate(payload, most)
            if payload and len(payload) > most:
                return self._Fail(_TOO_BIG)
            if kind & _TEXT and payload is not None:
                payload = self._Decode(payload)
            if payload is None:
                return self._Fail(_BAD_TEXT)
            self._Post("RecvTextCallback" if kind & _TEXT else "RecvBinaryCallback", payload)

    # -- events to callbacks, one after another -------------------------------------

    def _Post(self, callback, payload=None):
        """An event, the name of its callback or the accept callback itself: called when those before have returned."""
        queue = self._queue
        self._queue = (queue or ()) + ((callback, payload),)
        if queue is None:
            self._Next()

    def _Next(self):
        """What waits, until nothing does or a callback goes on, on the socket's thread or as a task: at its end comes
        _Done."""
        while self._queue:
            event = self._queue[0]
            self._queue = self._queue[1:]
            worker = self._worker
            if worker:
                worker[1] = event
                worker[0].release()
                return
            coroutine = self._Call(*event)
            if coroutine and self._Spawns(event[0], coroutine):
                return
        self._queue = None

    def _Call(self, callback, payload):
        """-> the coroutine of an async callback, or None."""
        try:
            if not isinstance(callback, str):
                result = callback(self, *payload)
            else:
                callback = getattr(self, callback)
                result = callback and (callback(self) if payload is None else callback(self, payload))
            if result is not None and hasattr(result, "send"):
                return result
        except BaseException as error:                  # sys.exit() too
            self._Crashed(error)

    def _Spawns(self, callback, coroutine):
        spawn = self._server.SpawnCallback
        if not spawn:
            coroutine.close()
            self._server.Log("async WebSocket callbacks need microWebAsync.py")
        elif isinstance(callback, str):
            spawn(coroutine, self._Done)
        else:                                           # it may go on for ever; its first step sets the callbacks
            spawn(coroutine, self._Crashed)
            spawn(_Behind(), self._Done)
        return spawn

    def _Done(self, error=None, callback=None, coroutine=None):
        """A callback that went on has ended, or that of a thread has returned."""
        self._Crashed(error)
        if not (coroutine and self._Spawns(callback, coroutine)):
            self._Next()
            self._Advance()

    def _Crashed(self, error):
        if isinstance(error, KeyboardInterrupt):
            raise error
        if error is not None:
            self._server.Log("WebSocket callback", error)
            if self._server.WebSocketCloseOnError:
                self.Close(_CRASHED)

    def _Work(self, worker):
        """The thread of one WebSocket."""
        callback = None
        while callback != "ClosedCallback":
            worker[0].acquire()
            callback, payload = worker[1]
            coroutine = self._Call(callback, payload)
            while True:
                try:
                    isTold = self._server.CallSoon(self._Done, None, callback, coroutine)
                    break
                except MemoryError:
                    time.sleep(0.1)
            if not isTold:
                self._worker = None                     # the engine has gone: do the rest here
                return self._Next()


# ==============================================================================
# 3  SERVER
# ==============================================================================
# What a server gets from here: a row in Upgraders, Broadcast, and the settings that the original document did not have.

def _Refusal(head, allowed):
    """The status that refuses this opening handshake (sections 4.2.1 and 4.4), or 0. allowed: whose pages may connect,
    None (this very host's), an origin or several, or '*'."""
    get = head.fields.get
    key = get("sec-websocket-key", "")
    origin = get("origin")                              # only browsers send one (section 10.2)
    if get("sec-websocket-version") != "13":
        return 426
    try:                                                # 16 bytes in base64: a letter that is none makes them fewer
        if len(key) != 24 or len(a2b_base64(key)) != 16 or head.method != "GET":
            return 400
    except ValueError:
        return 400
    if not origin or allowed == "*":
        return 0
    if allowed is None:
        # Clients that are no browsers send file:// and the like. A web site's page can't: its browser names its http(s)
        # origin, or null for a frame that it put into a sandbox. And it leaves out the port that is the scheme's own; a
        # proxy may have added that to the host.
        scheme, _, page = origin.lower().partition("://")
        if scheme not in ("null", "http", "https") or head.authority.lower() in (page, page + ":80", page + ":443"):
            return 0
    elif origin == allowed or not isinstance(allowed, str) and origin in allowed:
        return 0
    return 403


def _Upgrade(client, response):
    """The upgrader of the core: answer a request for a WebSocket."""
    head = client.head
    get = head.fields.get
    server = client.connection.server
    accept = server.AcceptWebSocketCallback
    args = (client,)
    for route in server.webSocketRoutes:
        found = route.Match(head.key.rstrip("/") or "/")
        if found is not None:
            accept = route.handler
            if found:
                args = (client, found)
            break
    if accept:
        # A hook may have found out that the page is allowed (microWebCors).
        status = _Refusal(head, getattr(client, "origins", server.AllowedWebSocketOrigins))
    else:
        status = 404 if server.webSocketRoutes else 501
    if status:
        server.Log("WebSocket refused, %d: %s, Host %s, Origin %s" % (status, head.path, head.authority, get("origin")))
        return response.WriteError(status, {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"} if status == 426
                                   else None)
    webSocket = MicroWebSocket(server, client.connection.link, head.path, (accept, args))
    offered = list(map(str.strip, get("sec-websocket-protocol", "").split(",")))
    for protocol in server.WebSocketProtocols:
        if protocol in offered:
            webSocket.Protocol = protocol
            break
    extension = server.WebSocketExtension and get("sec-websocket-extensions")
    if extension:
        extension, webSocket._codec = server.WebSocketExtension(extension, server)
    digest = sha1((get("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    lines = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    for name, value in (("Accept", b2a_base64(digest).decode().strip()), ("Protocol", webSocket.Protocol),
                        ("Extensions", extension)):     # section 4.2.2, step 5
        if value:
            lines += "Sec-WebSocket-%s: %s\r\n" % (name, value)
    client.connection.Upgrade(response, (lines + "\r\n").encode(), webSocket)
    webSocket._Done()


def _SendToAll(server, path, frame):
    for link in list(server.links.values()):            # a send can take its link out of them
        webSocket = link.endpoint
        if isinstance(webSocket, MicroWebSocket) and (path is None or webSocket.Path == path):
            webSocket._Transmit(0, frame)


def _Broadcast(server, data, path=None):
    """Text or binary to every open WebSocket, or to those of one path; from any thread."""
    frame = _Frame(_FIN | (_TEXT if isinstance(data, str) else _BINARY), _AsBytes(data))
    _Cross(server, None, _SendToAll, server, path, frame)


def Attach(server):
    """Called by a server when it is made: WebSockets are on."""
    kind = type(server)
    kind.Broadcast = _Broadcast
    for name, value in {
        "AllowedWebSocketOrigins": None,
        "WebSocketProtocols": (),
        "WebSocketPingSec": 30,
        "MaxWebSocketSendQueueLen": 8192 if _MICROPYTHON else 1048576,
        "WebSocketSlowPolicy": "close",
        "WebSocketCloseOnError": False,
        "WebSocketExtension": None,     # (offers, server) -> (answer, codec) or (None, None), of microWebDeflate
    }.items():
        if not hasattr(server, name):
            setattr(kind, name, value)
    server.Upgraders["websocket"] = _Upgrade
