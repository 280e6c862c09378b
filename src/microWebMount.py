# ASGI applications in a server, on CPython: `mws.Mount("/api", app)` serves Starlette, FastAPI and others, on our
# server and under microWebAsgi. Copy this file beside microWebSrv.py.
# MIT license, see LICENSE.
#
#    1  HTTP         the messages of an application, over our request and response
#    2  WEBSOCKET    the messages of an application, over our WebSocket
#    3  MOUNT        an application below a prefix; its lifespan
#
# An application is called like a handler: Before hooks run first, and After hooks can add headers to its response.

import asyncio
import sys
from binascii import b2a_base64
from hashlib import sha1

_NAME = __name__.replace("Mount", "Socket")
__import__(_NAME)
_sockets = sys.modules[_NAME]

_ASGI = {"version": "3.0", "spec_version": "2.4"}



# ==============================================================================
# 1  HTTP
# ==============================================================================

class _Piped:
    """The content that an application sends, as the source of a response: one piece until the client has taken it."""

    _connection = _piece = None
    _isLast = _isClosed = False

    def __init__(self):
        self._taken = asyncio.Event()

    def Start(self, connection):
        self._connection = connection

    def __next__(self):
        piece = self._piece
        if piece is not None:
            self._piece = None
            self._taken.set()
        elif self._isLast:
            raise StopIteration
        return piece

    async def Put(self, piece, isLast):
        """Pass on a piece. OSError if the client has left."""
        if not self._isClosed:
            self._isLast = isLast
            if piece:
                self._piece = piece
                self._taken.clear()
            if self._connection and self._connection.source is self:
                self._connection.Resume()
            if piece:
                await self._taken.wait()
        if self._isClosed and not self._isLast:
            raise OSError(104, "the client left")

    def close(self):
        self._isClosed = True
        self._taken.set()


class _Bridge:
    """receive() and send() of an application for one request."""

    def __init__(self, client, response):
        self._client = client
        self._response = response
        self._connection = connection = client.connection
        self._left = None if client.head.isChunked else client.head.contentLength or 0
        self._isWhole = self._left == 0
        self._isEmpty = self._isWhole           # the empty http.request was not delivered yet
        self._start = self._source = None
        self.isAnswered = False
        self._news = asyncio.Event()
        self._wake = connection.wake
        connection.wake = self._Wake

    def Leave(self):
        if self._connection.wake == self._Wake:
            self._connection.wake = self._wake

    def _Wake(self):
        if self._wake:
            self._wake()
        self._news.set()

    async def Receive(self):
        client = self._client
        if self._isEmpty or not self._isWhole:
            self._isEmpty = False
            data = b""
            try:
                if not self._isWhole:
                    data = await client.ReadRequestContent(65536)
            except OSError:
                return {"type": "http.disconnect"}
            if self._left is not None:
                self._left -= len(data)
            self._isWhole = self._left == 0 or not data
            return {"type": "http.request", "body": data, "more_body": not self._isWhole}
        while client.IsConnected():
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), 1)    # a client that closes its sending side calls no wake
            except asyncio.TimeoutError:
                pass
        return {"type": "http.disconnect"}

    async def Send(self, message):
        kind = message["type"].rpartition(".")[2]
        if kind == "start":
            self._start = message
        elif kind == "body":
            body = bytes(message.get("body", b""))
            isLast = not message.get("more_body", False)
            if self._source:
                await self._source.Put(body, isLast)
            elif not self.isAnswered:
                self._Answer(body, isLast)
                if self._source:
                    await self._source.Put(body, isLast)

    def _Answer(self, body, isLast):
        """Send the head; with the content if that is complete."""
        start = self._start
        headers = []
        length = None
        for name, value in start.get("headers", ()):
            if bytes(name).lower() == b"content-length":
                length = int(value)
            headers.append((name.decode("latin-1"), value.decode("latin-1")))
        self.isAnswered = True
        isHead = self._client.head.method == "HEAD"
        if isLast and not isHead:
            self._response.Answer(start["status"], headers, None, None, body)
        elif isHead:
            self._response.Answer(start["status"], headers, None, None, b"", iter(()), length)
        else:
            self._source = _Piped()
            self._response.Answer(start["status"], headers, None, None, b"", self._source, length)


# ==============================================================================
# 2  WEBSOCKET
# ==============================================================================

class _Talk:
    """One WebSocket of an application, on our server."""

    _webSocket = None

    def __init__(self, client, response):
        self._client = client
        self._response = response
        self._queue = asyncio.Queue(8)          # no frames are read while it is full
        self._queue.put_nowait({"type": "websocket.connect"})
        self._isOver = False
        self.Receive = self._queue.get
        self._start = None

    async def Send(self, message):
        kind = message["type"]
        webSocket = self._webSocket
        if kind == "websocket.accept":
            self._Accept(message)
        elif kind == "websocket.send":
            text = message.get("text")
            isSent = webSocket.SendText(text) if text is not None else webSocket.SendBinary(message["bytes"])
            link = self._client.connection.link
            while isSent and link.Backlog() > 65536:
                await asyncio.sleep(0.005)
                isSent = not webSocket.IsClosed()
            if not isSent:
                raise OSError(104, "the client left")
        elif kind == "websocket.close":
            if webSocket:
                webSocket.Close(message.get("code") or 1000, message.get("reason") or "")
            else:
                self._response.WriteError(403)
        elif kind.endswith(".start"):
            self._start = message
        elif self._response.code is None:
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._start["headers"]]
            self._response.Answer(self._start["status"], headers, None, None, message.get("body", b""))

    def _Accept(self, message):
        """Send the 101 (RFC 6455 section 4.2.2)."""
        client = self._client
        server = client.GetServer()
        isThreaded = server.WebSocketThreaded
        server.WebSocketThreaded = False        # its callbacks are async and need no thread
        try:
            webSocket = _sockets.MicroWebSocket(server, client.connection.link, (self._OnAccept, client))
        finally:
            server.WebSocketThreaded = isThreaded
        key = client.head.fields["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        lines = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Accept: " + b2a_base64(sha1(key).digest())[:-1] + b"\r\n")
        pairs = list(message.get("headers") or ())
        if message.get("subprotocol"):
            pairs.append((b"Sec-WebSocket-Protocol", message["subprotocol"].encode()))
        for name, value in pairs:
            if b"\r" in name + value or b"\n" in name + value:
                raise ValueError("a header must be without control characters: %r" % name)
            lines += name + b": " + value + b"\r\n"
        self._webSocket = webSocket
        client.connection.Upgrade(self._response, lines + b"\r\n", webSocket)
        webSocket.Done()

    def _OnAccept(self, webSocket, client):
        webSocket.RecvTextCallback = self._OnText
        webSocket.RecvBinaryCallback = self._OnBinary
        webSocket.ClosedCallback = self._OnClosed

    async def _OnText(self, webSocket, msg):
        await self._Put({"type": "websocket.receive", "text": msg})

    async def _OnBinary(self, webSocket, data):
        await self._Put({"type": "websocket.receive", "bytes": data})

    async def _OnClosed(self, webSocket):
        await self._Put({"type": "websocket.disconnect", "code": webSocket.CloseCode, "reason": webSocket.CloseReason})

    async def _Put(self, message):
        if not self._isOver:
            await self._queue.put(message)

    def Leave(self, code=1000):
        """The application has returned: drop further messages and close."""
        self._isOver = True
        while not self._queue.empty():
            self._queue.get_nowait()
        if self._webSocket:
            self._webSocket.Close(code)


# ==============================================================================
# 3  MOUNT
# ==============================================================================

class _Mount:
    """An application below a prefix."""

    _life = None

    def __init__(self, server, prefix, app):
        self._server = server
        self._prefix = prefix.rstrip("/")
        self._app = app
        self.route = type(server.files)(prefix, "GET", self._Answer)

    def Has(self, head):
        return (head.key + "/").startswith(self._prefix + "/")

    async def _Answer(self, client, response):
        """The handler of all paths below the prefix."""
        await self.IsReady()
        call = _Bridge(client, response)
        try:
            await self._app(self._Scope(client, "http"), call.Receive, call.Send)
        finally:
            call.Leave()
        if not call.isAnswered:
            raise RuntimeError("the application has sent no answer")

    def _Scope(self, client, kind):
        head = client.head
        connection = client.connection
        root = getattr(connection, "root", "")          # set by microWebAsgi
        isSecure = client.IsSecure() if hasattr(client, "IsSecure") else connection.link.isSecure
        scheme = ("ws", "wss") if kind == "websocket" else ("http", "https")
        scope = {
            "type": kind, "asgi": _ASGI, "http_version": "1.%d" % head.minor, "scheme": scheme[bool(isSecure)],
            "path": root + head.path, "raw_path": (root + head.rawPath).encode(), "query_string": head.query.encode(),
            "root_path": root + self._prefix,
            "headers": [(name.encode(), head.fields[name].encode()) for name in head.fields],
            "client": client.GetAddr(), "server": (self._server.bindIP or "0.0.0.0", self._server.port),
            "state": self._life.state.copy(), "extensions": {}}
        if kind == "http":
            scope["method"] = head.method
        else:
            offered = head.fields.get("sec-websocket-protocol", "")
            scope["subprotocols"] = [name.strip() for name in offered.split(",") if name.strip()]
            scope["extensions"] = {"websocket.http.response": {}}
        return scope

    async def Talk(self, client, response):
        """A WebSocket on our server."""
        await self.IsReady()
        talk = _Talk(client, response)
        code = 1011
        try:
            await self._app(self._Scope(client, "websocket"), talk.Receive, talk.Send)
            code = 1000
        finally:
            talk.Leave(code)

    async def Pass(self, scope, receive, send):
        """A WebSocket under microWebAsgi. websocket.connect was read already."""
        await self.IsReady()
        first = [{"type": "websocket.connect"}]

        async def Receive():
            return first.pop() if first else await receive()

        scope = dict(scope, state=self._life.state.copy())
        scope["root_path"] = scope.get("root_path", "").rstrip("/") + self._prefix
        await self._app(scope, Receive, send)

    # -- lifespan ----------------------------------------------------------------------

    def Begin(self):
        """The server has started; the loop may start later."""
        if not self._life or self._life.isOver:
            self._life = life = _Life(self._server, self._prefix, self._app)
            self._server.SpawnCallback(life.Run(), life.OnEnd)

    async def IsReady(self):
        """Wait until the application has started. RuntimeError if its startup fails."""
        life = self._life
        while life.isUp is None:                # its task has not started
            await asyncio.sleep(0)
        await life.isUp.wait()
        if life.error:
            raise RuntimeError("the application does not start: %s" % life.error)

    async def Stop(self):
        """Wait until the application has ended."""
        life = self._life
        life.OnStop()
        while not life.isOver:
            await asyncio.sleep(0.01)


class _Life:
    """The lifespan of an application, from start to stop of the server. It is one of the server's links, because the
    server waits for their end."""

    isUp = error = deadline = out = watched = None

    def __init__(self, server, prefix, app):
        self._server = server
        self._name = "the application at %s/" % prefix
        self._app = app
        self._messages = ["lifespan.startup"]
        self.state = {}
        self.isOver = False
        self.endpoint = self
        server.links[id(self)] = self

    async def Run(self):
        self.isUp = asyncio.Event()
        self._news = asyncio.Event()
        try:
            await self._app({"type": "lifespan", "asgi": _ASGI, "state": self.state}, self._Receive, self._Send)
        except Exception:
            if self.isUp.is_set():
                raise
            # ASGI: the application does not support lifespan. A failed startup is reported by a message.
        finally:
            self.Abort()
            self.isUp.set()

    def OnEnd(self, error):
        if error:
            self._server.Log(self._name, error)

    async def _Receive(self):
        while not self._messages:
            self._news.clear()
            try:
                await self._news.wait()
            except asyncio.CancelledError:      # the loop ends: let the application shut down
                self._messages.append("lifespan.shutdown")
        return {"type": self._messages.pop(0)}

    async def _Send(self, message):
        if message["type"] == "lifespan.startup.failed":
            self.error = message.get("message") or message["type"]
            self._server.Log("%s does not start: %s" % (self._name, self.error))
        self.isUp.set()

    # -- the methods of a link and its endpoint

    def IsIdle(self):
        return False

    def OnStop(self):
        self._messages.append("lifespan.shutdown")
        if self.isUp:
            self._news.set()

    def Abort(self):
        self.isOver = True
        self._server.links.pop(id(self), None)


def _MountOn(server, prefix, app):
    """Serve an ASGI application at and below prefix, except where a route exists. Its lifespan is that of the server.
    ValueError without microWebAsync.py, TypeError if app can't be called."""
    if not server.Spawn:
        raise ValueError("Mount needs microWebAsync.py")
    if not callable(app):
        raise TypeError("app must be an ASGI application: %r" % (app,))
    mount = _Mount(server, prefix, app)
    if not hasattr(server, "mounts"):
        server.mounts = []
        _Connect(server)
    server.mounts.append(mount)
    server.heads = {}                           # remembered heads may now have another route
    server.UseAsyncio = True


def _Connect(server):
    """Replace the methods of the server that have to know the mounts."""
    find, enter, upgrade = server.Find, server.Enter, server.Upgraders["websocket"]

    def Mounted(head):
        for mount in server.mounts:
            if mount.Has(head):
                return mount
        return None

    def Find(head):
        found = head.found
        if found is None:
            found = find(head)
            mount = found[0] is server.files and Mounted(head)
            if mount:
                found = head.found = mount.route, found[1]
        return found

    def Upgrade(client, response):
        head = client.head
        mount = Mounted(head)
        for route in server.webSocketRoutes:
            if route.Match(head.key.rstrip("/") or "/") is not None:
                mount = None
        if not mount:
            return upgrade(client, response)
        status = _sockets.Refusal(client, server)
        if status:
            return response.WriteError(status, {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
        return mount.Talk(client, response)

    def Enter():
        enter()
        for mount in server.mounts:
            mount.Begin()

    server.Find = Find
    server.Enter = Enter
    server.Upgraders["websocket"] = Upgrade


def Attach(server):
    """Called by each new server."""
    type(server).Mount = _MountOn
