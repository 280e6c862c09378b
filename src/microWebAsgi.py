# ASGI for MicroWebSrv, on CPython: `app = mws.Asgi()` runs the program under uvicorn, granian or hypercorn. Copy this
# file beside microWebSrv.py; microWebAsgiSocket.py adds WebSockets.
# MIT license, see LICENSE.
#
#    1  THREADS      a bounded pool for handlers that may block
#    2  EXCHANGE     one request and its response, in place of the core's connection and link
#    3  APPLICATION  the scopes of ASGI 3, the server's clock, and calls from other threads
#
# The ASGI server has parsed the request, so no bytes are parsed again: the head is made from the scope, with the checks
# of the core. Handlers get the core's own classes. Everything runs on the loop, except handlers in threads. Names
# without an underscore are also for microWebAsgiSocket.py.

import asyncio
import collections
import queue
import threading
import time
import types
from urllib.parse import quote

_SHARE = 8                      # pieces of a response before other requests get their turn
_JOIN = 1024                    # bytes; smaller pieces are sent together
_MEMO_MAX = 2048                # bytes of the longest head that is kept in the memo
_RAW_MAX = 1 << 24              # bytes of a raw response that may wait while its handler blocks the loop

# Where a handler runs:
_HERE = 0                       # on the loop, and it has not awaited anything
_AWAITED = 1                    # a coroutine that has awaited
_THREADED = 2                   # in a thread of the pool


@types.coroutine
def Steps(coroutine, onWait):
    """Await a coroutine. onWait() is called each time before it really waits; most coroutines never do."""
    step = coroutine.send
    value = None
    while True:
        try:
            value = step(value)
        except StopIteration as end:
            return end.value
        onWait()
        try:
            value = yield value
            step = coroutine.send
        except BaseException as error:
            value = error
            step = coroutine.throw


def _Close(source):
    if hasattr(source, "close"):
        source.close()


# ==============================================================================
# 1  THREADS
# ==============================================================================

class Pool:
    """Threads that are started when needed, at most most() of them."""

    def __init__(self, server, most):
        self._server = server
        self._most = most
        self._jobs = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._count = self._idle = 0

    def Run(self, func, *args):
        """Run func(*args) in a thread, as soon as one is free. Exceptions are logged. True: all threads are busy."""
        self._jobs.put((func, args))
        with self._lock:
            isIdle = self._idle > 0
            starts = not isIdle and self._count < self._most()
            self._count += starts
            self._idle -= isIdle
        if starts and not self._server.StartThread(self._Work, (), 0):
            with self._lock:
                self._count -= 1
        return not (isIdle or starts)

    def _Work(self):
        while True:
            job = self._jobs.get()
            if job is None:
                return
            self._server.Call(job[0], *job[1])
            job = None                          # so that an idle thread keeps no request alive
            with self._lock:
                self._idle += 1

    def Close(self):
        """End the threads when all jobs are done."""
        with self._lock:
            count = self._count
            self._count = self._idle = 0
        for _ in range(count):
            self._jobs.put(None)


# ==============================================================================
# 2  EXCHANGE
# ==============================================================================

class _AsyncPieces:
    """server.AsyncSource: an async iterable as content. The sending task iterates over it."""

    def __init__(self, iterable):
        self.iterable = iterable

    def close(self):
        _Close(self.iterable)


class Exchange:
    """One HTTP request and its response. It replaces the core's connection and link."""

    # Class attributes until they change.
    keepAlive = isChunked = True
    isDead = False              # the client left, or the response was aborted
    isWhole = False             # all content has arrived
    reader = deadline = wake = source = out = sent = client = response = webSocket = None
    want = 1
    kind = "http.response"
    _how = _HERE
    _start = None               # the first message of the response
    _body = b""
    _length = None              # number of bytes that a source gives, None if unknown
    _isSent = False             # the first message was sent
    _isOut = False              # a task sends the response
    _isReturned = False         # the handler has returned
    _isOver = False             # all is sent, or no more will be
    _isStopped = False          # the server stops
    _isEnded = False            # the last piece of a raw response was pushed
    _sender = None              # the sending task, if it is not the request's task
    _ready = None               # future for which the request's task waits while the handler runs in a thread
    _news = None                # Event for which a stream waits
    _watcher = None             # task that waits for the disconnect of the client
    _waiting = None             # task that waits for a piece of an async iterable
    _sending = None             # task that waits until the client takes a piece
    _pieces = None              # queued pieces of a raw response
    _size = 0                   # bytes in _pieces
    _room = None

    def __init__(self, app, scope, receive, send):
        self.app = app
        self.server = app.server
        self.scope = scope
        self.receive = receive
        self.send = send

    # -- the request --------------------------------------------------------------

    async def Serve(self, head):
        """Handle the request: hooks, content, handler, response."""
        self.head = head
        server = self.server
        self.client = client = server.Client(self)
        self.response = response = server.Response(client)
        self.isWhole = not (head.contentLength or head.isChunked)
        try:
            if not (server.before and self.Ask(server.Hooks(server.before, head))):
                route, args = head.found or server.Find(head)
                if not self.isWhole and route is not server.files and (client.sink or not route.isAsync):
                    await self._ReadWhole()
                if response is self.response and not (client.hooks and self.Ask(client.hooks)):
                    # Each handler gets a copy of the arguments, because equal requests share the head.
                    args = (client, response, args.copy()) if args else (client, response)
                    if route.isAsync or route.threaded or server.AsgiThreaded:
                        await self._CallElsewhere(route, args)
                    else:
                        result = route.handler(*args)
                        if hasattr(result, "send") and not hasattr(result, "__next__"):
                            result = await Steps(result, self._OnWait)
                        self.Finish(response, result)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and IsCancelled():
                self._Lose()
                raise
            self.Failed(response, error)
        client = None
        self._isReturned = True
        if not self._isOut:
            self._isOut = True
            await self.SendAll()
        elif self._sender:
            self._Watch()
            await self._sender

    def Ask(self, hooks):
        """True if a hook answered the request. A hook that needs the content returns a function for later."""
        client, response = self.client, self.response
        for hook in hooks:
            later = hook(client, response)
            if later:
                client.hooks += (later,)
            if response.code is not None or response is not self.response:
                self.Finish(response)
                return True
        return False

    async def _CallElsewhere(self, route, args):
        if route.isAsync:
            client = args[0]
            client.Read = lambda size, convert: self._Read(client, size, convert)
            return self.Finish(args[1], await Steps(route.handler(*args), self._OnWait))
        self._how = _THREADED
        self._ready = asyncio.get_running_loop().create_future()
        if self.app.workers.Run(self._Work, route.handler, args):
            self._Watch()                       # to notice a client that leaves before its turn
        await self._ready

    def _OnWait(self):
        """An async handler waits for something: send its response now."""
        self._how = _AWAITED
        if self._start:
            self._Begin()

    def _Work(self, handler, args):
        """Body of a job in a thread."""
        if self.isDead:
            return
        try:
            self.Finish(args[1], handler(*args))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                error = RuntimeError("KeyboardInterrupt")
            self.Failed(args[1], error)
        self._Soon(self._Begin)

    async def _ReadWhole(self):
        """Read all content, for a plain handler."""
        most = self.server.MaxRequestContentLen
        client = self.client
        if not client.sink and (self.head.contentLength or 0) > most:
            self.TooLarge()                     # before any of it is requested
        while not self.isWhole and self.client:
            await self._ReadMore()
            if len(client.content) > most:
                self.TooLarge()

    async def _ReadMore(self):
        client = self.client
        message = await self.receive()
        if message["type"] == "http.disconnect":
            return self._Gone()
        piece = message.get("body", b"")
        if piece and client.sink:
            piece = client.sink(piece)          # set by microWebUpload; it may answer the request
        if piece and not client.content:
            client.content = piece
        elif piece:
            if isinstance(client.content, bytes):
                client.content = bytearray(client.content)
            client.content += piece
        self.isWhole = not message.get("more_body", False)
        if self.wake:
            self.wake()

    async def _Read(self, client, size, convert):
        """For async handlers: all content, or with a size some of it. OSError if no more can arrive."""
        server = self.server
        while True:
            if size is None and len(client.content) > server.MaxRequestContentLen:
                self.TooLarge()
            if self.isWhole or size is not None and client.content:
                return server.Client.Read(client, size, convert)
            if self.client is not client:
                raise OSError(104)              # the client left, or the response was sent
            await self._ReadMore()

    def TooLarge(self):
        server = self.server
        raise server.HttpError(413, "content above MaxRequestContentLen, %d bytes" % server.MaxRequestContentLen)

    # -- the link ------------------------------------------------------------------

    @property
    def link(self):
        return self

    endpoint = link

    @property
    def isSecure(self):
        return self.scope.get("scheme") in ("https", "wss")

    @property
    def root(self):
        return self.scope.get("root_path", "").rstrip("/")

    def GetAddr(self):
        """(IP address, port); ("", 0) if the ASGI server does not know them."""
        host, port = self.scope.get("client") or ("", 0)
        return host, int(port)                  # text in granian

    def Backlog(self):
        return self._size

    def Want(self, want):
        pass

    def Abort(self):
        """Send no more."""
        self._Gone()

    Close = Abort

    def Serves(self, client):
        """True if the client still waits for the response. A disconnect is noticed only while a task awaits."""
        if self.webSocket:
            return not self.webSocket.isDead
        if client is self.client and self.isWhole:
            self._Soon(self._Watch)
            if self._how == _THREADED and not self.server.IsOnEngine():
                time.sleep(0.001)               # time for the loop to notice a disconnect
        return client is self.client and not self.isDead

    def _Watch(self):
        """Wait for the disconnect. Not while a handler may read content, because both would receive messages."""
        if not self._watcher and not self.isDead and (self.isWhole or self._isReturned) \
                and (self.client or self.source is not None):
            self._watcher = asyncio.ensure_future(self._WaitForEnd())

    async def _WaitForEnd(self):
        while (await self.receive())["type"] != "http.disconnect":
            pass                                # unread content
        self._Gone()

    def _Gone(self):
        """The client left: refuse further writes and wake all waiting tasks."""
        self.isDead = True
        self.client = self.response = None
        if self.wake:
            self.wake()
        if self._ready and not self._ready.done():
            self._ready.set_result(None)
        if self._room:
            self._room.set()
        if self._waiting:
            self._waiting.cancel()
        self.Resume()

    # -- the response ----------------------------------------------------------------

    def _Soon(self, func):
        """Call func on the loop, after the code that runs there now."""
        try:
            (self.app.loop.call_soon if self._how != _THREADED else self.app.loop.call_soon_threadsafe)(func)
        except RuntimeError:                    # the loop has ended
            self.isDead = True

    def Answer(self, response, code, contentType, contentCharset, lines, body, source=None, length=None):
        """Queue a response, with the arguments of the core's Connection.Answer. False: this response can't be sent any
        more."""
        if response is not self.response or self._start:
            _Close(source)
            return False
        headers = list(self.app.known.get((code, contentType, contentCharset))
                       or self.app.Known(code, contentType, contentCharset))
        if lines:
            for line in lines.split(b"\r\n")[:-1]:
                name, _, value = line.partition(b": ")
                headers.append((name.lower(), value))
        if source is None:
            length = len(body)
        hasContent = code > 199 and code not in (204, 304)
        if hasContent and length is not None:
            headers.append((b"content-length", b"%d" % length))
        # With unread content after "Expect: 100-continue", the next request could not be found: the client may omit it.
        if (not self.keepAlive or self.head.expect and not self.isWhole) and self.scope["http_version"] < "2":
            headers.append((b"connection", b"close"))
        if code == 301 and self.root and self.head.found and self.head.found[0] is self.server.files:
            headers = [(name, self.root.encode() + value if name == b"location" else value) for name, value in headers]
        self._start = {"type": self.kind + ".start", "status": code, "headers": headers}
        response.code = code
        if self.head.method == "HEAD" or not hasContent:
            _Close(source)
            source, body = None, b""
        if source is None:
            self._body = body
            self._Complete()
        else:
            self.source = source
            self._length = length
        if self._how:
            self._Soon(self._Begin)
        return True

    def _Complete(self):
        """The whole response is known, or was sent."""
        server = self.server
        if server.AccessCallback and self.client:
            server.Call(server.AccessCallback, self.client, self.response.code)
        self.client = self.response = None
        if self.wake:
            self.wake()

    def Finish(self, response, result=None):
        """The handler returned `result`. Send a response that was held back; without any response send 204."""
        if result is not None and self.server.Returned:
            self.server.Returned(response, result)
        if response is not self.response:
            return
        held = response.held
        if response.code is None:
            response.Answer(204, None, None, None, b"")
        elif held:
            response.held = None
            self.Answer(response, *held)
        elif self.source is None or self.source is response:
            self.End(response)

    def Failed(self, response, error):
        """The handler raised an exception: answer 500 without details, or abort if the head is sent."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        server = self.server
        isCurrent = response is self.response
        if isCurrent and isinstance(error, server.HttpError) and response.code is None:
            return self.Refuse(error)
        if isCurrent or not isinstance(error, OSError):     # OSError of a past response: the client left
            server.Log("%s %s" % (self.head.method, self.head.target), error)
        if isCurrent:
            response.fields = []
            self.Refuse(server.HttpError(500, "%s: %s" % (type(error).__name__, error) if server.Debug else ""))

    def Refuse(self, error):
        """Send an error page instead of the response; abort if its head is sent."""
        status, rule = error.args
        if status == 413:
            self.server.Log("413: %s" % rule)
        response = self.response
        source = self.source
        self.source = None
        if source is not response:
            _Close(source)
        if self._isSent:
            self.isDead = True
            return self._Soon(self._Gone)
        self._start = self._pieces = None
        response.code = response.held = None
        response.fields = response.fields or []
        response.WriteError(status, None, rule)

    def RefuseHead(self, error):
        """Send the error page for an invalid head."""
        server = self.server
        self.head = server.MakeHead(self.scope.get("method", "GET"), b"/", ((b"host", b""),))
        self.client = server.Client(self)
        self.response = server.Response(self.client)
        self.keepAlive = False                  # it is uncertain where the next request begins
        self.Refuse(error)

    def OnSent(self, callback):
        """callback() when the client has the response or has left. The connection closes after this response."""
        self.sent = callback
        self.keepAlive = False
        if self._isOver:
            self._Over()

    # -- raw responses ---------------------------------------------------------------------

    def Push(self, response, data):
        """Send a piece of a response of unknown length. A thread blocks here while too many bytes are queued; on the
        loop the bytes are only queued. False: the client left."""
        if response is not self.response or self.isDead:
            return False
        if self._pieces is None:
            self._pieces = collections.deque()
            self._room = threading.Event()
        if self._start is None:                 # the program itself writes HTTP
            self._body += data
            if b"\r\n\r\n" not in self._body:
                return True
            data = self._ReadRaw(response)
        if data:
            self._pieces.append(data)
            self._size += len(data)
            if self._how:
                self._Soon(self.Resume)
        if self._how == _THREADED:
            while self._size > self.server.MaxSendQueueLen and not self.isDead:
                self._room.wait(1)
                self._room.clear()
        elif self._size > _RAW_MAX:
            self.server.Log("a raw response above %d bytes needs threaded=True" % _RAW_MAX)
            self._Gone()
        return not self.isDead

    def _ReadRaw(self, response):
        """Turn the head of a raw response into the first message. -> the bytes behind the head"""
        head, _, rest = self._body.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers.append((name.lower(), value.strip()))
        status = lines[0].split(b" ")[1]
        names = [name for name, _ in headers]
        if not status.isdigit() or status == b"101" or b"transfer-encoding" in names:
            raise OSError(95, "not possible with ASGI: %r" % lines[0])
        self._body = b""
        self._start = {"type": self.kind + ".start", "status": int(status), "headers": headers}
        self.source = response
        if self._how:
            self._Soon(self._Begin)
        return rest

    def End(self, response):
        """End a response that was sent with Push."""
        if response is self.response:
            if self._start is None:
                raise ValueError("a response without a head")
            self._isEnded = True
            if self._how:
                self._Soon(self.Resume)

    # -- sending ------------------------------------------------------------------------------

    def _Begin(self):
        """A response exists and its handler still runs: start a sending task, or wake the request's task."""
        if self._ready:
            if not self._ready.done():
                self._ready.set_result(None)
        elif not self._isOut:
            self._isOut = True
            self._sender = asyncio.ensure_future(self.SendAll())

    async def SendAll(self):
        """Send the response. Each ASGI server has its own exception for a lost client."""
        if self.source is not None:
            await self._Stream(self.source)
        if self.source is None and self._start and not self._isSent and not self.isDead:
            self._isSent = True
            try:
                await self.send(self._start)
                await self.send({"type": self.kind + ".body", "body": self._body})
            except OSError:
                self._Gone()
        self._Over()

    def _Over(self):
        self._isOver = True
        if self._watcher:
            self._watcher.cancel()
        if self.sent:
            callback = self.sent
            self.sent = None
            self.server.CallSoon(callback)

    async def _Stream(self, source):
        """Send the pieces of a source as the client takes them."""
        response = self.response
        self._news = asyncio.Event()
        self.app.streams.add(self)
        pull = self._Pull
        try:
            if isinstance(source, _AsyncPieces):
                iterator = source.iterable.__aiter__()
                pull = lambda source: self._PullAsync(iterator)     # noqa: E731
            elif source is response:
                pull = self._PullRaw
            elif hasattr(source, "Start"):
                source.Start(self)
            await self._SendPieces(source, pull)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and not self.isDead and IsCancelled():
                self._Lose()
                raise
            if self.source is source:
                self.Failed(response, error)
        finally:
            self.app.streams.discard(self)
            self._Lose()
            if isinstance(source, _AsyncPieces) and hasattr(source.iterable, "aclose"):
                await source.iterable.aclose()

    async def _SendPieces(self, source, pull):
        left = self._length
        share = _SHARE
        count = 0
        while not self.isDead:
            piece, isLast = (b"", True) if self._isStopped else await pull(source)
            if piece is None:                   # wait for Resume()
                if not self._isSent:
                    await self._Put(b"", False)
                self._Watch()
                await self._news.wait()
                self._news.clear()
                continue
            if self.isDead:
                break
            if left is not None:
                left -= len(piece)
                isLast = isLast or not left
            if isLast:
                self._Complete()
            if piece or isLast or not self._isSent:
                await self._Put(piece, isLast)
            if isLast:
                break
            count += 1
            if count == 2:
                self._Watch()
            share -= 1
            if not share or not piece:
                share = _SHARE
                await asyncio.sleep(0)

    async def _Put(self, piece, isLast):
        self.deadline = self.server.now + self.server.SendTimeoutSec
        self._sending = asyncio.current_task()
        try:
            if not self._isSent:
                self._isSent = True
                await self.send(self._start)
            await self.send({"type": self.kind + ".body", "body": piece, "more_body": not isLast})
        except OSError:
            self._Gone()
        except asyncio.CancelledError:
            if not self.isDead:                 # otherwise cancelled by OnTick
                raise
            _Uncancel()
        self._sending = None

    def OnTick(self):
        """Once a second: give up a client that has taken nothing for SendTimeoutSec."""
        if self._sending and self.deadline < self.server.now:
            self._Gone()
            self._sending.cancel()

    async def _Pull(self, source):
        """-> (next bytes, isLast). None instead of bytes: wait for Resume()."""
        if hasattr(source, "head"):             # a file
            piece = next(source, None)
            return (b"", True) if piece is None else (bytes(piece), False)
        parts = []
        size = 0
        piece = None
        while size < _JOIN:
            try:
                piece = next(source)
            except StopIteration:
                return b"".join(parts), True
            if piece is None or not len(piece):
                break
            parts.append(_Bytes(piece))
            size += len(parts[-1])
        return (b"".join(parts) if parts or piece is not None else None), False

    async def _PullRaw(self, source):
        pieces = self._pieces
        isLast = self._isEnded
        if not pieces:
            return (b"", True) if isLast else (None, False)
        data = b"".join(pieces) if isLast else pieces.popleft()
        self._size -= len(data)
        self._room.set()
        return data, isLast

    async def _PullAsync(self, iterator):
        self._Watch()
        if not self._isSent:
            await asyncio.sleep(0)              # lets the watcher start
        self._waiting = asyncio.current_task()
        try:
            return _Bytes(await iterator.__anext__()), False
        except StopAsyncIteration:
            return b"", True
        except asyncio.CancelledError:
            if not (self.isDead or self._isStopped):
                raise
            _Uncancel()
            return b"", True
        finally:
            self._waiting = None

    def Resume(self):
        """A source that returned None has data again."""
        if self._news:
            self._news.set()

    def OnStop(self):
        """The server stops: end streams that may never end by themselves."""
        if hasattr(self.source, "Start") or isinstance(self.source, _AsyncPieces):
            self._isStopped = True
            if self._waiting:
                self._waiting.cancel()
            self.Resume()

    def _Lose(self):
        """Release the source and the tasks; no more is sent."""
        source = self.source
        self.source = None
        if source is not None and source is not self.response and not hasattr(source, "held"):
            self.server.Call(_Close, source)
        self.client = self.response = None
        if self._watcher:
            self._watcher.cancel()
        if self.wake:
            self.wake()


def _Bytes(piece):
    if isinstance(piece, str):
        return piece.encode()
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        raise ValueError("content must be str or bytes, not %r" % type(piece))
    return bytes(piece)


def _Uncancel():
    if hasattr(asyncio.Task, "uncancel"):       # Python 3.11
        asyncio.current_task().uncancel()


def IsCancelled():
    """True if this task itself was cancelled; False if the handler awaited a cancelled one."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return not cancelling or bool(cancelling())


# ==============================================================================
# 3  APPLICATION
# ==============================================================================

class Application:
    """The ASGI 3 application that mws.Asgi() returns."""

    loop = None
    _timer = None

    def __init__(self, server, onStart, onStop):
        self.server = server
        self._onStart = onStart
        self._onStop = onStop
        self.known = {}                         # (code, contentType, contentCharset) -> headers
        self.streams = set()                    # exchanges with a stream as response
        self.workers = Pool(server, lambda: getattr(server, "MaxWorkers", 32))
        self.sockets = Pool(server, lambda: server.MaxConnections)      # for WebSocket callbacks
        self._tasks = set()                     # asyncio holds only weak references to tasks
        self._lock = threading.Lock()
        self._pending = 0

    async def __call__(self, scope, receive, send):
        kind = scope["type"]
        if asyncio.get_running_loop() is not self.loop or kind == "lifespan" and not self._timer:
            self._Enter()
        if kind == "http":
            exchange = Exchange(self, scope, receive, send)
            try:
                head = self._Head(scope)
            except self.server.HttpError as error:
                exchange.RefuseHead(error)
                return await exchange.SendAll()
            await exchange.Serve(head)
        elif kind == "websocket":
            await self.OpenSocket(self, scope, receive, send)
        elif kind == "lifespan":
            await self._Live(receive, send)
        else:
            raise ValueError("not an ASGI 3 scope: %r" % kind)

    @staticmethod
    async def OpenSocket(app, scope, receive, send):
        """Used without microWebAsgiSocket.py: the ASGI server answers 403."""
        await receive()
        await send({"type": "websocket.close"})

    # -- heads ---------------------------------------------------------------------

    def _Head(self, scope):
        """The head of a request, or HttpError. Equal requests share one head."""
        heads = self.server.heads
        try:
            key = (scope["method"], scope["raw_path"], scope["query_string"], scope["http_version"],
                   scope["root_path"], *scope["headers"])
            head = heads.get(key)
            if head is not None:
                return head
        except (TypeError, KeyError):           # the pairs are lists, or there is no raw_path
            key = None
        head, size = self.MakeHead(scope, scope["method"], scope["headers"])
        if scope["http_version"] >= "2" and head.contentLength is None and head.method not in ("GET", "HEAD"):
            head.isChunked = True               # the content ends with a frame
        if key and size <= _MEMO_MAX and self.server.memoLen:
            if len(heads) >= self.server.memoLen:
                heads.clear()
            heads[key] = head
        return head

    def MakeHead(self, scope, method, pairs):
        """-> (head, size in bytes), with the checks of the core: HttpError."""
        server = self.server
        path = scope.get("raw_path") or quote(scope["path"], safe="/!$&'()*+,;=:@~%").encode()
        root = scope.get("root_path", "").rstrip("/").encode()
        if root and (path + b"/").startswith(root + b"/"):
            path = path[len(root):] or b"/"
        query = scope.get("query_string")
        target = path + b"?" + query if query else path
        if len(target) > server.MaxRequestLineLen:
            raise server.HttpError(414, "request line too long")
        size = len(target)
        for name, value in pairs:
            size += len(name) + len(value)
        if size > server.MaxRequestHeadLen:
            raise server.HttpError(431, "request head too long")
        head = server.MakeHead(method, target, pairs, b"HTTP/1.0" if scope["http_version"] == "1.0" else b"HTTP/1.1")
        if server.AllowedHosts is not None:
            server.CheckAllowed(head.authority, server.AllowedHosts)
        if root:
            head.target = root.decode() + head.target       # as the client sent it
        return head, size

    def Known(self, code, contentType, contentCharset):
        """The first headers of a response, with the checks of the core: ValueError."""
        headers = []
        for line in self.server.Prefix(code, contentType, contentCharset).split(b"\r\n"):
            if line.startswith(b"Content-Type: "):
                headers.append((b"content-type", line[14:]))
        if len(self.known) > 64:
            self.known.clear()
        self.known[code, contentType, contentCharset] = headers
        return headers

    # -- what the core's engine does ----------------------------------------------------

    def _Enter(self):
        """The server uses this loop from now on."""
        server = self.server
        self.loop = asyncio.get_running_loop()
        server.AddDecorated()
        server.isStarted = True
        server.buffer = bytes(server.BufferLen)     # only its length is used, for pieces of files
        server.CallSoon = self.CallSoon
        server.Pending = self.Pending
        server.SpawnCallback = self.SpawnCallback
        server.AsyncSource = _AsyncPieces
        server.Stop = self.Stop
        server.Enter()
        self._OnTick()

    def _OnTick(self):
        """Once a second: advance the clock."""
        server = self.server
        server.now += 1
        for func in server.Ticks:
            server.Call(func)
        for exchange in list(self.streams):
            server.Call(exchange.OnTick)
        self._timer = self.loop.call_later(1, self._OnTick)

    def CallSoon(self, func, *args):
        """Thread-safe: run func(*args) on the loop. False if the loop has ended."""
        with self._lock:
            self._pending += 1
        try:
            self.loop.call_soon_threadsafe(self._Called, func, args)
        except RuntimeError:
            with self._lock:
                self._pending -= 1
            return False
        return True

    def _Called(self, func, args):
        try:
            self.server.Call(func, *args)
        finally:
            with self._lock:
                self._pending -= 1

    def Pending(self):
        return self._pending

    def Keep(self, task):
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def SpawnCallback(self, coroutine, done):
        """Run any coroutine; done(error or None) is called at its end."""
        self.Keep(asyncio.ensure_future(self._Follow(coroutine, done), loop=self.loop))

    async def _Follow(self, coroutine, done):
        error = None
        try:
            await coroutine
        except BaseException as failure:
            if isinstance(failure, asyncio.CancelledError) and IsCancelled():
                raise
            error = failure
        self.server.Call(done, error)

    def Stop(self):
        """End all streams and close all WebSockets. Other requests continue: the ASGI server decides when to end."""
        if self.server.isStarted:
            self.server.isStarted = False
            self.CallSoon(self._Stop)

    def _Stop(self):
        for one in list(self.streams) + list(self.server.links.values()):
            self.server.Call(one.OnStop)

    # -- lifespan ------------------------------------------------------------------------

    async def _Live(self, receive, send):
        server = self.server
        mounts = getattr(server, "mounts", ())
        await receive()                         # lifespan.startup
        try:
            for mount in mounts:
                await mount.IsReady()
            await self._Tell(self._onStart)
        except Exception as error:
            server.Log("ASGI startup", error)
            return await send({"type": "lifespan.startup.failed", "message": str(error)})
        await send({"type": "lifespan.startup.complete"})
        await receive()                         # lifespan.shutdown
        server.isStarted = False
        self._Stop()
        try:
            await self._Tell(self._onStop)
            for mount in mounts:
                await mount.Stop()
        except Exception as error:
            server.Log("ASGI shutdown", error)
        self._timer.cancel()
        self.workers.Close()
        self.sockets.Close()
        if hasattr(server, "broker"):           # set by microWebBroker
            server.broker.Stop()
        self._timer = None                      # requests and WebSockets may still come (granian), and keep the loop
        await send({"type": "lifespan.shutdown.complete"})

    async def _Tell(self, callback):
        result = callback and callback()
        if hasattr(result, "send"):
            await result


def _Asgi(server, onStart=None, onStop=None):
    """The program as an ASGI 3 application. onStart(), onStop(): called at startup and shutdown of the ASGI server."""
    return Application(server, onStart, onStop)


def Attach(server):
    """Called by each new server."""
    if not hasattr(server, "AsgiThreaded"):
        type(server).AsgiThreaded = False       # True: plain handlers run in threads, like those with threaded=True
    type(server).Asgi = _Asgi
