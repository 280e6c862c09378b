# THE state of one HTTP/1.1 connection (RFC 9112): bytes in, calls of handlers, bytes out. Only this file changes it. A
# connection reads one request at a time, and the next one when the response is queued. So responses leave in order, and
# pipelined requests wait in the socket. No socket is used here; the clock is server.now, and a link is used only
# through its methods.

from .messages import Head, HttpError
from .readers import CheckAllowed, ContentReader, ParseHead
from .router import NO_ARGS
from .text import BOARD, const
from .writers import Bytes, Chunk

WANT_NOTHING = const(0)
WANT_BYTES = const(1)
WANT_TURN = const(4)

# The states of a connection, in the order in which they occur:
_HEAD = const(0)            # waits for a request head; idle until its first byte
_CONTENT = const(1)         # reads content for a handler that waits for all of it; without a response it is dropped
_ANSWER = const(2)          # the handler runs or its response is being sent; an async handler may still read content
_LINGER = const(3)          # the last response is sent; input is dropped until the client closes
_CLOSED = const(4)          # closed, or the link has another endpoint

_SHARE = const(8)           # requests, or pieces of a response, before other connections get their turn
_MEMO_MAX = const(1024)     # bytes of the longest head that is kept in the memo
_LINGER_SEC = const(2)
_JOIN = const(1024)         # bytes; smaller pieces of chunked content are joined, because each send is expensive


_PAST = Head()          # head of a connection between two requests; before the first one, head is None


class Connection:
    """The HTTP endpoint of a link."""

    # Class attributes until they change: a new connection takes almost no heap.
    state = _HEAD
    keepAlive = True
    data = b""              # received bytes that were not consumed
    searched = 0            # this many bytes at the start of data hold no end of a head
    head = reader = client = response = source = None
    wake = None             # called when an async handler may continue: new content, a drained link, a lost client
    credit = 0              # content bytes that have not extended the deadline yet; in _LINGER: when to stop
    isEnded = False         # the client closed its sending side
    sent = None             # callback for when the client has the last response, or has left

    def __init__(self, server, link):
        self.server = server
        self.link = link
        self.deadline = server.now + server.HeadTimeoutSec

    # -- called by the link -------------------------------------------------------

    def OnReceived(self, data):
        """Process received bytes, or the stored ones if data is empty. An HttpError is answered here, and nowhere
        else."""
        if self.state >= _LINGER:               # input after the last response is dropped for a limited time
            self.deadline = min(self.server.now + _LINGER_SEC, self.credit)
            return
        if self.data:
            data = self.data + data
        self.data = data
        link = self.link
        share = _SHARE
        try:
            while self.data and self.state < _LINGER:
                if self.reader:
                    if not self._ReadContent():
                        return
                    if self.reader:             # an incomplete line is left
                        break
                elif self.state != _HEAD:       # the response is not queued yet, or its source waits for its turn
                    return link.want == WANT_TURN or link.Want(WANT_NOTHING)
                elif link.out:                  # the response is not sent yet
                    return
                elif not share:
                    return link.Want(WANT_TURN)
                elif not self._ReadHead():
                    break
                share -= 1
            if link.want != WANT_BYTES and self.state < _ANSWER:
                link.Want(WANT_BYTES)
        except HttpError as error:
            self._Refuse(error)

    def OnDrained(self):
        """The send queue is empty, or it is this connection's turn."""
        if self.wake:
            self.wake()
        if self.source is not None:
            self._Pull()
        elif self.state == _LINGER:
            self._Linger()
        else:
            if self.state == _HEAD:
                self.deadline = self.server.now + self.server.KeepAliveTimeoutSec
                if not BOARD and not self.server.isStarted:
                    self.OnStop()
            self.OnReceived(b"")

    Resume = OnDrained      # called by a source that returned None and has data again

    def OnEnd(self):
        """The client closed its sending side. True: it still waits for a response."""
        self.isEnded = True
        waits = self.state == _ANSWER and self.reader is None and not hasattr(self.source, "isEndless")
        if waits:
            self.keepAlive = False
            self.link.Want(WANT_NOTHING)
        return waits

    def OnLost(self):
        self.state = _CLOSED
        self.client = self.response = None      # further writes are refused
        self.server.Call(self._DropSource)      # a source that is running now raises on close()
        if self.wake:
            self.wake()
        if self.sent:
            self.server.Call(self.sent)

    def OnExpired(self):
        """The deadline has passed. An unfinished request gets 408, an idle connection is closed."""
        if self.response or self.state == _HEAD and self.data:
            self._Refuse(HttpError(408, "the request took too long"))
        else:
            self.link.Abort()

    def OnStop(self):
        self.keepAlive = False
        if self.state == _HEAD and not self.data:
            if not BOARD and self.server.StopIdleSec:       # the next response says Connection: close
                self.deadline = min(self.deadline, self.server.now + self.server.StopIdleSec)
            else:
                self.link.Close()
        elif hasattr(self.source, "Start"):     # an endless source may never send another piece
            self.End(self.response)

    def IsIdle(self):
        """True if this connection may be closed to make room."""
        # That is between two requests, after the last response, with a head that takes more than a second, or with
        # content late by a quarter of BodyTimeoutSec.
        state = self.state
        server = self.server
        if state >= _LINGER or state == _HEAD and self.head is not None and not self.data:
            return True
        seconds = server.HeadTimeoutSec if state == _HEAD else self.reader and server.BodyTimeoutSec * 3 // 4
        return self.deadline is not None and seconds and self.deadline < server.now + seconds

    # -- bytes to calls -----------------------------------------------------------

    def _ReadHead(self):
        """False if there is no complete head yet."""
        data = self.data
        server = self.server
        memo = server.heads
        # Nearly every read is exactly one head that is in the memo.
        head = memo.get(data) if len(data) <= _MEMO_MAX else None
        if head is not None:
            self.data = b""
        else:
            if data[0] == 13:                       # section 2.2: skip empty lines before the request line
                data = self._SkipLines(data)
            end = data.find(b"\r\n\r\n", self.searched)
            if end < 0:
                self._CheckPart(data, server)
                return False
            raw = data[:end + 4]
            head = memo.get(raw)
            if head is None:
                if end > server.MaxRequestLineLen:          # the same errors as for a head that came in parts
                    self._CheckPart(raw, server)
                head = ParseHead(data[:end], server.MaxRequestLineLen)
                if server.AllowedHosts is not None:     # checked before all else; a head in the memo has passed
                    CheckAllowed(head.authority, server.AllowedHosts)
                if end <= _MEMO_MAX and server.memoLen and not head.upgrade:    # an Upgrade head has a unique key
                    if len(memo) >= server.memoLen:
                        memo.clear()
                    memo[raw] = head
            self.data = data[end + 4:]
        self.searched = 0
        self.head = head
        self.keepAlive = head.keepAlive
        self.client = client = server.Client(self)
        self.response = server.Response(client)
        if server.before or head.upgrade or head.contentLength or head.isChunked:
            self._Prepare(head, server)
        else:
            route, args = head.found or server.Find(head)
            self._Call(route, route.handler, args)
        return True

    def _SkipLines(self, data):
        rest = data.lstrip(b"\r\n")
        lines = data[:len(data) - len(rest)]
        odd = lines.replace(b"\r\n", b"")
        if odd and (rest or odd != b"\r" or lines[-1] == 10):
            raise HttpError(400, "CR or LF alone")
        self.searched = 0
        self.data = data = odd + rest
        return data

    def _CheckPart(self, data, server):
        # Check an incomplete head: its length, and that no line ends with LF alone, since then the end would never
        # come.
        size = len(data.rstrip(b"\r\n"))       # trailing CR and LF may belong to the end of the head
        eol = data.find(b"\r\n")
        status = 0
        most = server.MaxRequestHeadLen
        if (size if eol < 0 else eol) > server.MaxRequestLineLen:
            status = 414
            most = server.MaxRequestLineLen
        elif size > most:
            status = 431
        part = data[:most] if status else data  # bytes after the limit are not examined
        pairs = part.count(b"\r\n")
        if part.count(b"\n") != pairs or part.count(b"\r", 0, -1) != pairs:
            raise HttpError(400, "CR or LF alone")
        if status:
            raise HttpError(status, "request line too long" if status == 414 else "request head too long")
        deadline = server.now + server.HeadTimeoutSec
        # The first head's deadline runs from the start of the connection, and empty lines don't extend it.
        if not self.searched and self.head and (size or deadline < self.deadline):
            self.deadline = deadline
        self.searched = len(data) and max(len(data) - 3, 1)         # 0: no byte of this head has been seen

    def _Prepare(self, head, server):
        # Handle a request with hooks, an upgrade or content. A plain handler is called when all content has arrived.
        length = head.contentLength
        if length or head.isChunked:
            self.reader = reader = ContentReader(None if head.isChunked else length)
            self.deadline = server.now + server.BodyTimeoutSec
            self.credit = 0                     # content bytes that have not extended the deadline yet
        if server.before and self._Ask(server.Hooks(server.before, head)):
            return
        if not self.reader:
            for token in head.upgrade:
                if token in server.Upgraders:
                    return self._Call(None, server.Upgraders[token], NO_ARGS)
        route, args = server.Find(head)
        if not self.reader or route is server.files and (head.expect or not reader.IsShort(server.BufferLen)):
            return self._Call(route, route.handler, args)       # without content, or the file handler, which reads none
        sink = self.client.sink
        if sink or not route.isAsync:
            if not sink and length and length > server.MaxRequestContentLen:
                self.TooLarge()
            self.state = _CONTENT
        if head.expect and not self.data:       # RFC 9110 section 10.1.1
            self.link.Send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.state != _CONTENT:
            self._Call(route, route.handler, args)

    def _Ask(self, hooks):
        """True if a hook answered the request. A hook that needs the content returns a function for later."""
        client = self.client
        response = self.response
        self.state = _ANSWER
        if not self.reader:
            self.deadline = None
        try:
            for hook in hooks:
                later = hook(client, response)
                if later:
                    client.hooks += (later,)
                if response.code is not None or response is not self.response:
                    self.Finish(response)
                    return True
        except BaseException as error:
            self.Failed(response, error)
            return True

    def TooLarge(self):
        raise HttpError(413, "content above MaxRequestContentLen, %d bytes" % self.server.MaxRequestContentLen)

    def _ReadContent(self):
        """False if the buffer is full until the handler reads."""
        server = self.server
        client = self.client
        reader = self.reader
        piece, self.data = reader.Read(self.data)
        # 1 KiB extends the deadline by 1 s. The cap stops a fast sender from saving up time (Apache: mod_reqtimeout).
        self.credit += len(piece)
        if self.deadline is not None:
            self.deadline = min(self.deadline + (self.credit >> 10), server.now + server.BodyTimeoutSec)
        self.credit &= 1023
        isDone = reader.isDone
        if isDone:
            self.reader = self.deadline = None
        if not client:                          # the response was queued already
            if isDone:
                self._Next()
            return True
        if client.sink:
            piece = client.sink(piece)          # the sink may answer the request
        if not client.content:
            client.content = piece
        else:                                   # in place: copying for each small piece would take quadratic time
            if isinstance(client.content, bytes):
                client.content = bytearray(client.content)
            client.content += piece
        size = len(client.content)
        if self.state == _CONTENT:
            if size > server.MaxRequestContentLen:
                self.TooLarge()
            if isDone:
                route, args = server.Find(self.head)
                self._Call(route, route.handler, args)
        elif not isDone and size > server.BufferLen:
            self.deadline = None                # now the handler is the slow side
            self.link.Want(WANT_NOTHING)
        if self.wake:
            self.wake()
        return self.deadline is not None or isDone

    def _Call(self, route, handler, args):
        self.state = _ANSWER
        if not self.reader:
            self.deadline = None
        response = self.response
        hooks = self.client.hooks
        if hooks and self._Ask(hooks):
            return
        try:
            # Each handler gets a copy of the arguments, because equal requests share the head.
            args = (self.client, response) if args is NO_ARGS else (self.client, response, args.copy())
            if route and route.threaded and self.server.Offload:
                return self.server.Offload(self, handler, args)
            result = handler(*args)
            if result is not None and hasattr(result, "send"):
                server = self.server
                if server.Spawn or not server.Returned:
                    return server.Spawn(self, result)
            if response is self.response:
                self.Finish(response, result)
        except BaseException as error:
            self.Failed(response, error)

    # -- calls to bytes -----------------------------------------------------------

    def Answer(self, response, code, contentType, contentCharset, lines, body, source=None, length=None):
        """Queue a response. lines: bytes of field lines. source: an iterator of pieces, pulled as the client drains;
        length: its total, None if unknown. False: it can't be sent any more."""
        if response is not self.response:
            _Close(source)
            return False
        server = self.server
        head = self.head
        if source is None:
            length = len(body)
        # Close when an idle connection would take the last slot, when much content is unread, or for an HTTP/1.0
        # response of unknown length, which ends with the connection (RFC 9112 section 6.3, step 8).
        if len(server.links) >= server.MaxConnections or not server.isStarted or length is None and not head.minor \
                or self.reader and (head.expect or not self.reader.IsShort(server.BufferLen)):
            self.keepAlive = False
        prefix = (server.prefixes.get((code, contentType, contentCharset))
                  or server.Prefix(code, contentType, contentCharset)) + lines
        if not self.keepAlive or not head.minor:
            prefix += b"Connection: keep-alive\r\n" if self.keepAlive else b"Connection: close\r\n"
        self.isChunked = False
        hasContent = code > 199 and code not in (204, 304)
        end = b"\r\n"
        if hasContent and length is not None:
            end = b"Content-Length: %d\r\n\r\n" % length
        elif hasContent and head.minor:
            self.isChunked = True
            end = b"Transfer-Encoding: chunked\r\n\r\n"
        if head.method == "HEAD" or not hasContent:
            _Close(source)
            source, body = None, b""
        if source is None:
            response.code = code
            self.link.Send(prefix + end + body)     # one send: Nagle delays a second one until the client's ACK
            self._Complete()
        else:
            if hasattr(source, "Start"):
                source.Start(self)
            self.source = source
            self._Pull(response, code, prefix + end)
        return True

    def _Pull(self, response=None, code=0, head=b""):
        # Send pieces of the source until the client falls behind or the turn ends. The head leaves with the first
        # piece, so a source that fails before can be answered with 500.
        link = self.link
        source = self.source
        share = _SHARE
        try:
            while self.source is source and (response or not link.Backlog()):
                if not share:
                    return link.Want(WANT_TURN)
                share -= 1
                piece, isLast = self._Take(source, head)
                if response:
                    response.code = code
                    response = None
                    if piece is None:
                        piece = head
                    head = b""
                if not piece and not isLast:        # None: the source will call Resume
                    return link.Want(WANT_TURN if piece is not None else WANT_NOTHING if self.data else WANT_BYTES)
                if piece:
                    link.Send(piece)
                if isLast and self.source is source:
                    self._DropSource()
                    self._Complete()
        except BaseException as error:
            self.Failed(response or self.response, error)

    def _Take(self, source, head):
        """-> (next bytes for the link, isLast). None instead of bytes: wait for Resume(); b"": none yet, ask again."""
        isFile = hasattr(source, "responseHead")    # a file puts the head into its buffer, which saves a copy of both
        if isFile and head:
            source.responseHead = head
            head = b""
        parts = []
        size = 0
        piece = None
        isLast = False
        while size < _JOIN:
            try:                                # MicroPython before 1.25 has no next(source, None)
                piece = next(source)
            except StopIteration:
                isLast = True
                break
            if isFile:
                return piece, not source.left
            if piece is None or not len(piece):
                break
            parts.append(Bytes(piece))
            size += len(parts[-1])
        data = b"".join(parts)
        if self.isChunked:
            data = (Chunk(data) if data else b"") + (b"0\r\n\r\n" if isLast else b"")
        return head + data or (None if piece is None else b""), isLast

    def Push(self, response, data):
        """Send a piece of a response of unknown length. Blocks until the send queue has room. False: the client left or
        is too slow."""
        if response is not self.response:
            return False
        link = self.link
        # First make room: a program that gets a MemoryError here may push the same piece again.
        response.patienceMs = link.Settle(self.server.MaxSendQueueLen, response.patienceMs)
        if data:
            link.Send(Chunk(data) if self.isChunked else data)
        return not link.isDead

    def End(self, response):
        """End a response that was sent with Push."""
        if response is self.response:
            self._DropSource()
            if self.isChunked:
                self.link.Send(b"0\r\n\r\n")
            self._Complete()

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
        """The handler raised an exception (SystemExit too): answer 500 without details, or abort if the head is
        sent."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        server = self.server
        isCurrent = response is self.response
        try:
            if isinstance(error, HttpError) and isCurrent and response.code is None:
                self._DropSource()              # the first piece of a stream raised it
                return self._Refuse(error)
            if isCurrent or not isinstance(error, OSError):     # OSError of a past response: the client left
                head = response.client.head
                server.Log("%s %s" % (head.method, head.target), error)
            if not isCurrent:
                return
            self._DropSource()
            response.fields = []
            rule = "%s: %s" % (type(error).__name__, error) if server.Debug else ""
            self._Refuse(HttpError(500, rule))
        except Exception as failure:            # not even memory for the 500
            self.link.Abort()
            server.Log("a failure could not be answered", failure)

    def _Refuse(self, error):
        # Answer a request that violates a rule, or with 500; then close if the next request can't be found.
        if self.response and self.response.code is not None and not self.response.held or self.state > _ANSWER:
            return self.link.Abort()
        status, rule = error.args
        if status == 413:
            self.server.Log("413: %s" % rule)
        response = self.response
        if status == 413 or status != 500 and (self.reader or not response):   # the following bytes may be no request
            self.keepAlive = False
        if response:                            # keep the headers that hooks have set
            response.code = response.held = None
            response.fields = response.fields or []
        else:
            self.head = head = Head()
            if self.data[:5] == b"HEAD ":
                head.method = "HEAD"
            self.client = self.server.Client(self)
            self.response = response = self.server.Response(self.client)
        self.state = _ANSWER
        response.WriteError(status, None, rule)

    def _Complete(self):
        """The whole response is queued."""
        server = self.server
        if server.AccessCallback:
            server.Call(server.AccessCallback, self.client, self.response.code)
        self.client = self.response = None
        self.head = _PAST                       # so that an idle connection keeps no request alive
        if self.wake:
            self.wake()                         # a handler that waits for content gets an OSError
        if self.keepAlive:
            if not self.reader:
                return self._Next()
            self.state = _CONTENT               # read and drop the rest of the content
            self.deadline = server.now + server.BodyTimeoutSec
            self.link.Want(WANT_BYTES)
        elif self.reader or self.data or self.sent or not BOARD and server.StopIdleSec and not server.isStarted:
            # To close with unread bytes would send a reset, which can destroy the response (RFC 9112 section 9.6).
            self._Linger()
        else:
            self.state = _CLOSED
            self.link.Close()

    def _Linger(self):
        self.state = _LINGER
        self.data = b""
        self.credit = self.server.now + (_LINGER_SEC if self.sent else self.server.BodyTimeoutSec)  # the latest end
        self.OnReceived(b"")
        self.link.Finish(not self.reader and not self.sent)

    def OnSent(self, callback):
        """callback() when the client has the response and has closed the connection, or when it has left."""
        self.sent = callback
        self.keepAlive = False
        if self.link.isDead:
            self.server.Call(callback)
        elif not self.client and self.state < _ANSWER:      # the response was sent already
            self._Linger()

    def Serves(self, client):
        """True if the client still waits for the response; False after it has closed its sending side."""
        link = self.link
        if link.endpoint is not self:           # a WebSocket reads by itself
            return not link.isDead
        if client is self.client and not self.reader and len(self.data) < self.server.MaxRequestHeadLen:
            link.Look()
        return client is self.client and not self.isEnded

    def _Next(self):
        """Prepare for the next request."""
        self.state = _HEAD
        self.deadline = self.server.now + self.server.KeepAliveTimeoutSec
        if self.data:
            self.link.Want(WANT_TURN)

    def _DropSource(self):
        source = self.source
        if source is not None:
            self.source = None
            _Close(source)

    def Upgrade(self, response, head, endpoint):
        """Send a complete 101 response and hand the link over to `endpoint`."""
        response.code = 101
        self.response = None
        self.state = _CLOSED
        data = self.data
        self.data = b""
        self.link.endpoint = endpoint
        self.link.Send(head)
        if data:
            endpoint.OnReceived(data)


def _Close(source):
    if hasattr(source, "close"):
        source.close()
