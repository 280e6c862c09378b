# WebSockets for microWebAsgi.py, on CPython. Copy this file beside it.
# MIT license, see LICENSE.
#
# The ASGI server reads and writes the frames. The class inherits from the one in microWebSocket.py, so it has the same
# interface for programs and other files, but sends and receives ASGI messages.

import asyncio
import collections
import sys
import time


def _Load(name):
    name = __name__.replace("AsgiSocket", name)
    __import__(name)
    return sys.modules[name]


_asgi = _Load("Asgi")
_sockets = _Load("Socket")

_CLOSE_SEC = 5                  # for the reply to our Close frame
_LONG_SEC = 0.1                 # duration of a callback after which messages are read ahead
_QUEUE_MAX = 4                  # messages that are read ahead
_SHARE = 16                     # messages before other connections get their turn
_PATIENCE_MS = 2000             # for which a thread waits for a slow client
_CALL_SIZE = 512                # bytes that each message counts in addition while it waits for the engine


def _IsAsync(callback):
    code = getattr(getattr(callback, "__func__", callback), "__code__", None)
    return bool(code and code.co_flags & 0x80)


class _Frames:
    """Converts a frame to a message and keeps the last one: Broadcast passes the same frame for each WebSocket."""

    frame = message = None

    def Read(self, frame):
        if frame is not self.frame:
            size = frame[1]
            payload = frame[2 if size < 126 else 4 if size < 127 else 10:]
            isText = frame[0] & 15 == 1
            self.message = {"type": "websocket.send", "text" if isText else "bytes":
                            payload.decode() if isText else payload}
            self.frame = frame
        return self.message


_frames = _Frames()


class _Opening(_asgi.Exchange):
    """The opening handshake. A response to it refuses the WebSocket."""

    kind = "websocket.http.response"

    def Head(self):
        """The request head, or HttpError. Fields that the ASGI server has checked may be missing (HTTP/2) and are
        filled in; extensions are left to that server."""
        pairs = [pair for pair in self.scope["headers"] if pair[0] != b"sec-websocket-extensions"]
        head = self.app.MakeHead(self.scope, "GET", pairs)[0]
        head.upgrade = ("websocket",)
        head.fields["sec-websocket-protocol"] = ", ".join(self.scope.get("subprotocols") or ())
        head.fields.setdefault("sec-websocket-version", "13")
        head.fields.setdefault("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
        return head

    async def Open(self, head):
        """Run the hooks and the checks of microWebSocket, then serve the messages."""
        self.head = head
        self.isWhole = True
        server = self.server
        self.client = client = server.Client(self)
        self.response = response = server.Response(client)
        try:
            if not (self.Ask(server.Hooks(server.before, head)) or client.hooks and self.Ask(client.hooks)):
                event, status, mount = self._Find(server, head)
                if mount and not status:
                    self.client = self.response = None
                    return await mount.Pass(self.scope, self.receive, self.send)
                if not status:
                    self.webSocket = _WebSocket(self)
                    return await self.webSocket.Serve(self, event)
                server.Log("WebSocket %d: %s, Host %s, Origin %s" % (status, head.target, head.authority,
                                                                   head.fields.get("origin")))
                response.WriteError(status)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                raise
            self.Failed(response, error)
        await self.SendRefusal()

    async def SendRefusal(self):
        if "websocket.http.response" in (self.scope.get("extensions") or ()):
            await self.SendAll()
        else:
            await self.send({"type": "websocket.close"})        # the ASGI server answers 403

    def _Find(self, server, head):
        """-> ((accept callback, its arguments), status of the refusal or 0, mounted application or None)"""
        refusal = _sockets.Refusal(self.client, server)
        for route in server.webSocketRoutes:
            found = route.Match(head.key.rstrip("/") or "/")
            if found is not None:
                return (route.handler, self.client) + ((found,) if found else ()), refusal, None
        for mount in getattr(server, "mounts", ()):
            if mount.Has(head):
                return None, refusal, mount
        if server.AcceptWebSocketCallback:
            return (server.AcceptWebSocketCallback, self.client), refusal, None
        return None, 404 if server.webSocketRoutes else 501, None


class _WebSocket(_sockets.MicroWebSocket):
    """A WebSocket whose frames are handled by the ASGI server."""

    def __init__(self, exchange):
        self.Server = exchange.server
        self.RecvTextCallback = self.RecvBinaryCallback = self.ClosedCallback = self.CloseCode = None
        self.CloseReason = ""
        self.Path = exchange.head.path
        self.isDead = False
        self.endpoint = self                    # so that it can stand in the table of links
        self.deadline = None
        self.app = exchange.app
        self.send = exchange.send
        self._receive = exchange.receive
        self._waiting = collections.deque()     # (message, size), not sent yet
        self._size = 0
        self._isHeld = False                    # a callback runs on the loop; messages are sent after it
        self._isSending = self._isEnding = False

    # -- what a program calls -----------------------------------------------------

    def SendFrame(self, first, data, patience=None):
        """Send a message; first: as in RFC 6455, 0 for a whole frame. False: it will not be sent."""
        if self.CloseCode is not None or self.isDead:
            return False
        if not first:
            message = _frames.Read(data)
        elif first & 8:                         # the ASGI server sends its own pings
            return True
        elif first & 15 == 1:
            message = {"type": "websocket.send", "text": data if isinstance(data, str) else bytes(data).decode()}
        else:
            data = data.encode() if isinstance(data, str) else bytes(memoryview(data))
            message = {"type": "websocket.send", "bytes": data}
        size = len(data)
        server = self.Server
        if server.IsOnEngine():
            return self._Put(message, size)
        patience = _PATIENCE_MS
        most = server.MaxWebSocketSendQueueLen
        while patience and (self._size * 2 > most or server.Pending() * (4 * size + _CALL_SIZE) > most):
            if self.isDead or self._size * 2 > most and self.Drops():
                return False
            time.sleep(0.001)
            patience -= 1
        return server.CallSoon(self._Put, message, size)

    def Close(self, code=1000, reason=""):
        """Begin to close. code: one of section 7.4; reason: up to 123 bytes. ClosedCallback is called at the end.
        ValueError for an invalid code or reason."""
        if not (2999 < code < 5000 or 1006 < code < 1015 or 999 < code < 1004) or len(reason.encode()) > 123:
            raise ValueError("code or reason must be valid")
        if self.CloseCode is None:
            self.CloseCode = code
            self.CloseReason = reason
            if self.Server.IsOnEngine():
                self._PutClose(code, reason)
            else:
                self.Server.CallSoon(self._PutClose, code, reason)

    def OnStop(self):
        self.Close(1001)

    def _PutClose(self, code, reason):
        self._isEnding = True
        self._waiting.append(({"type": "websocket.close", "code": code, "reason": reason}, 0))
        self._Kick()
        if self._reading:
            self.app.loop.call_later(_CLOSE_SEC, self._reading.cancel)

    # -- sending, on the loop -----------------------------------------------------------

    def _Put(self, message, size):
        if self._isEnding or self.isDead:
            return False
        if self._size > self.Server.MaxWebSocketSendQueueLen:
            if not self.Drops():
                self._waiting.clear()
                self.Close(1008)
            return False
        self._waiting.append((message, size))
        self._size += size
        if not self._isHeld and not self._isSending:
            self.app.loop.call_soon(self._Kick)
        return True

    def _Kick(self):
        if self._waiting and not self._isSending and not self._isHeld:
            self._isSending = True
            self.app.Keep(asyncio.ensure_future(self.SendAll()))

    async def SendAll(self):
        self._isSending = True
        waiting = self._waiting
        try:
            while waiting:
                message, size = waiting.popleft()
                await self.send(message)
                self._size -= size
        except Exception:                       # each ASGI server has its own exception for a lost client
            self.isDead = True
            waiting.clear()
        finally:
            self._isSending = False

    # -- messages to callbacks, one after another -----------------------------------------

    _reading = None             # the request's task
    _queue = _reader = None     # messages read ahead, and the task that reads them
    _timer = None               # starts reading ahead

    async def Serve(self, exchange, event):
        """Accept the WebSocket, then handle messages until the end."""
        server = self.Server
        self._reading = asyncio.current_task()
        head = exchange.head
        for offer in getattr(server, "Offers", ()):
            offer(self, head)
        await self.send({"type": "websocket.accept", "subprotocol": getattr(self, "Protocol", None), "headers": []})
        exchange.client.content = b""
        exchange.response = None
        server.links[id(self)] = self
        try:
            await self._Call(event[0], *event[1:], isAccept=True)
            await self._Read()
        except asyncio.CancelledError:
            if not self._isEnding:              # cancelled because the client does not reply to the Close frame
                raise
        finally:
            self._reading = None
            self.isDead = True
            if self._reader:
                self._reader.cancel()
            server.links.pop(id(self), None)
            if self.CloseCode is None:
                self.CloseCode = 1006
            await self._Call(self.ClosedCallback)

    async def _Read(self):
        most = self.Server.MaxWebSocketRecvLen
        share = _SHARE
        while True:
            message = await (self._queue.get() if self._queue else self._receive())
            if message["type"] == "websocket.disconnect":
                return self._OnEnd(message)
            share -= 1
            if not share:                       # an ASGI server may have a thousand messages at hand
                share = _SHARE
                await asyncio.sleep(0)
            if self.CloseCode is not None:      # the program has closed: deliver no more messages
                continue
            data = message.get("text")
            callback = self.RecvTextCallback
            if data is None:
                data = message["bytes"]
                callback = self.RecvBinaryCallback
            if len(data) * 4 > most and len(data.encode() if isinstance(data, str) else data) > most:
                reason = "message above MaxWebSocketRecvLen: %d" % most
                self.Server.Log(reason)
                self.Close(1009, reason)
            elif callback:
                await self._Call(callback, data)

    def _OnEnd(self, message):
        self.isDead = True
        if self.CloseCode is None:
            self.CloseCode = message.get("code") or 1005
            self.CloseReason = message.get("reason") or ""

    def _ReadAhead(self):
        """A callback takes long: a task reads now, so that a disconnect is noticed at once."""
        if not self._queue:
            self._queue = asyncio.Queue(_QUEUE_MAX)
            self._reader = asyncio.ensure_future(self._Fill())

    async def _Fill(self):
        isOpen = True
        while isOpen:                           # until the end, even if a message could not be sent before
            message = await self._receive()
            isOpen = message["type"] != "websocket.disconnect"
            if not isOpen:
                self._OnEnd(message)
            await self._queue.put(message)

    async def _Call(self, callback, *args, isAccept=False):
        """Run a callback to its end. An async accept callback may run for ever, so only its first step, which sets the
        callbacks, is awaited."""
        try:
            if callback is None:
                return
            result = None
            if self.Server.WebSocketThreaded and not _IsAsync(callback):
                self._OnWait()
                result = await self._InThread(callback, args)
            else:
                self._isHeld = True
                result = callback(self, *args)
            if result is not None and hasattr(result, "send"):
                if isAccept:
                    self.Server.SpawnCallback(result, self.Crashed)
                    await asyncio.sleep(0)
                else:
                    await _asgi.Steps(result, self._OnWait)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _asgi.IsCancelled():
                raise
            self.Crashed(error)
        self._isHeld = False
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._waiting and not self._isSending:
            await self.SendAll()

    def _OnWait(self):
        """The callback continues in a thread, or waits: send its messages now."""
        self._isHeld = False
        if self._waiting:
            self._Kick()
        if not (self._queue or self._timer):
            self._timer = self.app.loop.call_later(_LONG_SEC, self._ReadAhead)

    async def _InThread(self, callback, args):
        """-> the result of the callback, which may be a coroutine"""
        loop = self.app.loop
        future = loop.create_future()

        def Work():
            result = error = None
            try:
                result = callback(self, *args)
            except BaseException as failure:
                error = failure
            loop.call_soon_threadsafe(Done, result, error)

        def Done(result, error):
            if not future.done():
                future.set_result((result, error))

        self.app.sockets.Run(Work)
        result, error = await future
        if error is not None:
            raise error
        return result


async def _Open(app, scope, receive, send):
    opening = _Opening(app, scope, receive, send)
    await receive()                             # websocket.connect
    try:
        head = opening.Head()
    except app.server.HttpError as error:
        opening.RefuseHead(error)
        return await opening.SendRefusal()
    await opening.Open(head)


def Attach(server):
    """Called by each new server: its ASGI application accepts WebSockets."""
    _asgi.Application.OpenSocket = staticmethod(_Open)
