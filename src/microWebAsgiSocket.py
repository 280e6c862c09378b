# WebSockets for microWebAsgi.py, on CPython: copy this file beside it.
# MIT license, see LICENSE.
#
# The server in front reads and writes the frames. The class inherits from that of microWebSocket.py, so programs and
# other files hold what they know, and its messages are those of ASGI.

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

_CLOSE_SEC = 5                  # for the answer to our Close frame
_LONG_SEC = 0.1                 # of a callback, until messages are read ahead of it
_QUEUE_MAX = 4                  # messages that are
_SHARE = 16                     # messages until others have their turn
_PATIENCE_MS = 2000             # of a thread that sends to a slow client
_CALL_SIZE = 512                # an empty message on its way from another thread counts for so much


def _IsAsync(callback):
    code = getattr(getattr(callback, "__func__", callback), "__code__", None)
    return bool(code and code.co_flags & 0x80)


class _Frames:
    """The last whole frame as a message: of Broadcast, for each WebSocket the same."""

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
    """The request for a WebSocket: an answer to it refuses."""

    kind = "websocket.http.response"

    def Head(self):
        """HttpError. What the server in front has checked may be missing (HTTP/2); extensions are its own business."""
        pairs = [pair for pair in self.scope["headers"] if pair[0] != b"sec-websocket-extensions"]
        head = self.app.MakeHead(self.scope, "GET", pairs)[0]
        head.upgrade = ("websocket",)
        head.fields["sec-websocket-protocol"] = ", ".join(self.scope.get("subprotocols") or ())
        head.fields.setdefault("sec-websocket-version", "13")
        head.fields.setdefault("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
        return head

    async def Open(self, head):
        """Hooks, then what microWebSocket looks at, then the messages."""
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
            await self.send({"type": "websocket.close"})        # the server in front says 403

    def _Find(self, server, head):
        """-> (accept callback, what it gets), the status that refuses, and the application that has it"""
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
    """A WebSocket whose frames are read and written by the server in front."""

    def __init__(self, exchange):
        self.Server = exchange.server
        self.RecvTextCallback = self.RecvBinaryCallback = self.ClosedCallback = self.CloseCode = None
        self.CloseReason = ""
        self.Path = exchange.head.path
        self.isDead = False
        self.endpoint = self                    # of the table of links
        self.deadline = None
        self.app = exchange.app
        self.send = exchange.send
        self._receive = exchange.receive
        self._waiting = collections.deque()     # (message, size) that was not sent
        self._size = 0
        self._isHeld = False                    # a callback runs on the loop, and behind it is sent
        self._isSending = self._isEnding = False

    # -- what a program calls -----------------------------------------------------

    def SendFrame(self, first, data, patience=None):
        """A message; first: as in RFC 6455, 0 for a whole frame. False: the client does not get it."""
        if self.CloseCode is not None:
            return False
        if not first:
            message = _frames.Read(data)
        elif first & 8:                         # the server in front has pings of its own
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
            if self._size * 2 > most and self.Drops():
                return False
            time.sleep(0.001)
            patience -= 1
        return server.CallSoon(self._Put, message, size)

    def Close(self, code=1000, reason=""):
        """Begin to close, with a code of section 7.4 and up to 123 bytes of reason; ClosedCallback comes at the end."""
        if not (2999 < code < 5000 or 1006 < code < 1015 or 999 < code < 1004) or len(reason.encode()) > 123:
            raise ValueError("code or reason")
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
        except Exception:                       # each server has an error of its own for a client that has gone
            self.isDead = True
            waiting.clear()
        finally:
            self._isSending = False

    # -- messages to callbacks, one after another -----------------------------------------

    _reading = None             # the task of the request
    _queue = _reader = None     # what was read ahead, and the task that reads
    _timer = None               # until it begins

    async def Serve(self, exchange, event):
        """Accepts, then the messages until the end."""
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
            if not self._isEnding:              # else the client does not answer our Close frame
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
            if not share:                       # a server in front may have a thousand messages at hand
                share = _SHARE
                await asyncio.sleep(0)
            if self.CloseCode is not None:      # the program has closed: no message is delivered any more
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
        """A callback takes its time: from now on a task reads, so that the client's end is known at once."""
        if not self._queue:
            self._queue = asyncio.Queue(_QUEUE_MAX)
            self._reader = asyncio.ensure_future(self._Fill())

    async def _Fill(self):
        while not self.isDead:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._OnEnd(message)
            await self._queue.put(message)

    async def _Call(self, callback, *args, isAccept=False):
        """Until it has returned. An accept callback that awaits may go on for ever: its first step sets the others."""
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
        """The callback goes on in a thread, or waits for something: what it has sent leaves."""
        self._isHeld = False
        if self._waiting:
            self._Kick()
        if not (self._queue or self._timer):
            self._timer = self.app.loop.call_later(_LONG_SEC, self._ReadAhead)

    async def _InThread(self, callback, args):
        """-> what it returns, which may be a coroutine"""
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
    """Called by a server when it is made: its application has WebSockets."""
    _asgi.Application.OpenSocket = staticmethod(_Open)
