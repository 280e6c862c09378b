# THE state of one HTTP/1.1 connection (RFC 9112): bytes in, calls of handlers, bytes out. All that changes it is here.
# It reads one request at a time, and the next one when the answer is queued: answers leave in order, and a client that
# pipelines waits in its own socket. It knows no socket and no clock but server.now, and of the link only its methods.

from .messages import Head, HttpError
from .readers import CheckAllowed, ContentReader, ParseHead
from .router import NO_ARGS
from .text import BOARD, const
from .writers import Bytes, Chunk

WANT_NOTHING = const(0)
WANT_BYTES = const(1)
WANT_TURN = const(4)

# What a connection waits for, in the order in which it happens:
_HEAD = const(0)            # the head of a request: idle, as long as no byte of it has come
_CONTENT = const(1)         # the content of a request whose handler waits for it; without a response it is dropped
_ANSWER = const(2)          # the handler's answer; an async handler may still be sent content
_LINGER = const(3)          # the client's end, behind the last answer: what comes is dropped
_CLOSED = const(4)          # nothing; or the link has another endpoint

_SHARE = const(8)           # requests, or pieces of an answer, until others have their turn
_MEMO_MAX = const(1024)     # bytes of a head that is remembered
_LINGER_SEC = const(2)
_JOIN = const(1024)         # bytes; smaller pieces of chunked content are joined: each has the price of a send


_PAST = Head()          # of a connection that has answered: a first head has a deadline of its own


class Connection:
    """The HTTP endpoint of a link."""

    # On the class until they change: a connection that has said nothing holds next to nothing.
    state = _HEAD
    keepAlive = True
    data = b""              # bytes that were not read
    searched = 0            # so many of them hold no end of a head
    head = reader = client = response = source = None
    wake = None             # called when an async handler may go on: content came, the link drained or the client went
    credit = 0              # bytes of content that have not bought a second yet; the end of lingering
    isEnded = False         # the client has closed its half
    sent = None             # what is to be done when the client has the last answer, or has gone

    def __init__(self, server, link):
        self.server = server
        self.link = link
        self.deadline = server.now + server.HeadTimeoutSec

    # -- what the link calls -----------------------------------------------------

    def OnReceived(self, data):
        """Bytes have come, or none: go as far as they go. A rule that was broken is answered here, and nowhere else."""
        if self.state >= _LINGER:               # what comes behind the last answer is dropped, for some time
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
                    if self.reader:             # what is left is half a line of it
                        break
                elif self.state != _HEAD:       # the next request waits for the answer, and a stream for its turn
                    return link.want == WANT_TURN or link.Want(WANT_NOTHING)
                elif link.out:                  # and for the client to take it
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
        """What was queued has left, or this connection's turn has come again."""
        if self.wake:
            self.wake()
        if self.source is not None:
            self._Pull()
        elif self.state == _LINGER:
            self._Linger()
        else:
            if self.state == _HEAD:
                self.deadline = self.server.now + self.server.KeepAliveTimeoutSec
            self.OnReceived(b"")

    Resume = OnDrained      # a source that had nothing has something again

    def OnEnd(self):
        """The client closed its half. True: it still waits for an answer."""
        self.isEnded = True
        waits = self.state == _ANSWER and self.reader is None and not hasattr(self.source, "isEndless")
        if waits:
            self.keepAlive = False
            self.link.Want(WANT_NOTHING)
        return waits

    def OnLost(self):
        self.state = _CLOSED
        self.client = self.response = None      # nobody gets what is still written
        self.server.Call(self._DropSource)      # it may be this source that has found out
        if self.wake:
            self.wake()
        if self.sent:
            self.server.Call(self.sent)

    def OnExpired(self):
        """The deadline has passed: whose fault it is depends on what we waited for."""
        if self.response or self.state == _HEAD and self.data:
            self._Refuse(HttpError(408, "the request took too long"))
        else:
            self.link.Abort()

    def OnStop(self):
        self.keepAlive = False
        if self.state == _HEAD and not self.data:
            if not BOARD and self.server.StopIdleSec:       # its next answer is the last one, and says so
                self.deadline = min(self.deadline, self.server.now + self.server.StopIdleSec)
            else:
                self.link.Close()
        elif hasattr(self.source, "Start"):     # it waits for something that may never come
            self.End(self.response)

    def IsIdle(self):
        """May it make room? Between two requests and behind the last; and who takes more than a second for a head, or
        is behind with content for a quarter of BodyTimeoutSec."""
        state = self.state
        server = self.server
        if state >= _LINGER or state == _HEAD and self.head is not None and not self.data:
            return True
        seconds = server.HeadTimeoutSec if state == _HEAD else self.reader and server.BodyTimeoutSec * 3 // 4
        return self.deadline is not None and seconds and self.deadline < server.now + seconds

    # -- bytes to calls -----------------------------------------------------------

    def _ReadHead(self):
        """False: there is no whole head."""
        data = self.data
        server = self.server
        if data[0] == 13:                       # section 2.2: empty lines before it
            data = self._SkipLines(data)
        end = data.find(b"\r\n\r\n", self.searched)
        if end < 0:
            self._CheckPart(data, server)
            return False
        raw = data[:end]
        memo = server.heads
        head = memo.get(raw)
        if head is None:
            if end > server.MaxRequestLineLen:          # the same verdict as if it had come in parts
                self._CheckPart(raw, server)
            head = ParseHead(raw, server.MaxRequestLineLen)
            if server.AllowedHosts is not None:     # before all else; what is remembered was allowed
                CheckAllowed(head.authority, server.AllowedHosts)
            if end <= _MEMO_MAX and server.memoLen and not head.upgrade:    # a key of a WebSocket comes once
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
        """The beginning of a head must not be too long, nor end its lines with LF alone: it would wait for ever."""
        size = len(data.rstrip(b"\r\n"))       # what may belong to the end of the line or of the head does not count
        eol = data.find(b"\r\n")
        status = 0
        most = server.MaxRequestHeadLen
        if (size if eol < 0 else eol) > server.MaxRequestLineLen:
            status = 414
            most = server.MaxRequestLineLen
        elif size > most:
            status = 431
        part = data[:most] if status else data  # what comes behind the limit counts no more
        pairs = part.count(b"\r\n")
        if part.count(b"\n") != pairs or part.count(b"\r", 0, -1) != pairs:
            raise HttpError(400, "CR or LF alone")
        if status:
            raise HttpError(status, "request line too long" if status == 414 else "request head too long")
        deadline = server.now + server.HeadTimeoutSec
        # The first head has its deadline from the beginning of the connection; and empty lines buy no time.
        if not self.searched and self.head and (size or deadline < self.deadline):
            self.deadline = deadline
        self.searched = len(data) and max(len(data) - 3, 1)         # 0: no byte of it was here before

    def _Prepare(self, head, server):
        """There are hooks, the request asks for another protocol, or it has content: a plain handler is called when all
        of that has come."""
        length = head.contentLength
        if length or head.isChunked:
            self.reader = reader = ContentReader(None if head.isChunked else length)
            self.deadline = server.now + server.BodyTimeoutSec
            self.credit = 0                     # bytes of it that have not bought a second yet
        if server.before and self._Ask(server.Hooks(server.before, head)):
            return
        if not self.reader:
            for token in head.upgrade:
                if token in server.Upgraders:
                    return self._Call(None, server.Upgraders[token], NO_ARGS)
        route, args = server.Find(head)
        if not self.reader or route is server.files and (head.expect or not reader.IsShort(server.BufferLen)):
            return self._Call(route, route.handler, args)       # none has a use for content
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
        """Is the request answered by a hook? One that wants to see the content as well returns a function."""
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
        """False: the handler has not made room for more."""
        server = self.server
        client = self.client
        reader = self.reader
        piece, self.data = reader.Read(self.data)
        # A sender of 1 KiB a second never meets the deadline, and a fast one saves no time up (Apache: mod_reqtimeout).
        self.credit += len(piece)
        if self.deadline is not None:
            self.deadline = min(self.deadline + (self.credit >> 10), server.now + server.BodyTimeoutSec)
        self.credit &= 1023
        isDone = reader.isDone
        if isDone:
            self.reader = self.deadline = None
        if not client:                          # its answer is out
            if isDone:
                self._Next()
            return True
        if client.sink:
            piece = client.sink(piece)          # it may answer as well
        if not client.content:
            client.content = piece
        else:                                   # in place: many small pieces must not cost their square
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
            self.deadline = None                # now it is the handler that takes its time
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
            # Each handler gets arguments of its own: the head is shared.
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
        """Queue an answer; lines: bytes of field lines. A source is an iterator of pieces, pulled as the client drains;
        length: of what it brings, if that is known. False: nobody gets it."""
        if response is not self.response:
            _Close(source)
            return False
        server = self.server
        head = self.head
        if source is None:
            length = len(body)
        # An idle connection may not hold the last slot; unread content that is long is not worth the reading; and for
        # HTTP/1.0 the end of what has no length is that of the connection (RFC 9112 section 6.3, step 8).
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
            self.link.Send(prefix + end + body)     # in one send: a second one waits for the client to confirm it
            self._Complete()
        else:
            if hasattr(source, "Start"):
                source.Start(self)
            self.source = source
            self._Pull(response, code, prefix + end)
        return True

    def _Pull(self, response=None, code=0, head=b""):
        """Take and send what the source has, until the client is behind or others have their turn. The head leaves with
        the first piece: until then 500 is possible."""
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
        """-> (the next bytes as they are sent, is it the end?); None: nothing until Resume(); b"": nothing yet."""
        isFile = hasattr(source, "head")        # head and piece share its buffer, and no copy is made of both
        if isFile and head:
            source.head = head
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
                return piece, False
            if piece is None or not len(piece):
                break
            parts.append(Bytes(piece))
            size += len(parts[-1])
        data = b"".join(parts)
        if self.isChunked:
            data = (Chunk(data) if data else b"") + (b"0\r\n\r\n" if isLast else b"")
        return head + data or (None if piece is None else b""), isLast

    def Push(self, response, data):
        """A piece of an answer whose end is not known: it blocks until the client has drained what waits. False: the
        client has gone, or is too slow."""
        if response is not self.response:
            return False
        link = self.link
        # First of all room: a program that gets a MemoryError may push the same piece again.
        response.patienceMs = link.Settle(self.server.MaxSendQueueLen, response.patienceMs)
        if data:
            link.Send(Chunk(data) if self.isChunked else data)
        return not link.isDead

    def End(self, response):
        """The last piece was pushed."""
        if response is self.response:
            self._DropSource()
            if self.isChunked:
                self.link.Send(b"0\r\n\r\n")
            self._Complete()

    def Finish(self, response, result=None):
        """The handler has returned this: what it held back leaves, and nothing at all is 204."""
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
        """The handler's exception, sys.exit() among them: 500 without internals, or a cut where the head has left."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        server = self.server
        isCurrent = response is self.response
        try:
            if isinstance(error, HttpError) and isCurrent and response.code is None:
                self._DropSource()              # of a stream whose first piece has raised it
                return self._Refuse(error)
            if isCurrent or not isinstance(error, OSError):     # a client that has gone is no error of ours
                head = response.client.head
                server.Log("%s %s" % (head.method, head.target), error)
            if not isCurrent:
                return
            self._DropSource()
            response.fields = []
            rule = "%s: %s" % (type(error).__name__, error) if server.Debug else ""
            self._Refuse(HttpError(500, rule))
        except Exception as failure:            # no memory even for that
            self.link.Abort()
            server.Log("a failure could not be answered", failure)

    def _Refuse(self, error):
        """Answer the message that broke a rule, then close; or 500."""
        if self.response and self.response.code is not None and not self.response.held or self.state > _ANSWER:
            return self.link.Abort()
        status, rule = error.args
        if status == 413:
            self.server.Log("413: %s" % rule)
        response = self.response
        if status == 413 or status != 500 and (self.reader or not response):   # what follows may be no request
            self.keepAlive = False
        if response:                            # with what hooks have put into it
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
        """The answer is queued whole."""
        server = self.server
        if server.AccessCallback:
            server.Call(server.AccessCallback, self.client, self.response.code)
        self.client = self.response = None
        self.head = _PAST                       # an idle connection keeps no bytes
        if self.wake:
            self.wake()                         # a handler that still waits for content gets an OSError
        if self.keepAlive:
            if not self.reader:
                return self._Next()
            self.state = _CONTENT               # the rest of it is read and dropped
            self.deadline = server.now + server.BodyTimeoutSec
            self.link.Want(WANT_BYTES)
        elif self.reader or self.data or self.sent:
            # Closing on unread bytes would reset the connection under the answer (RFC 9112 section 9.6).
            self._Linger()
        else:
            self.state = _CLOSED
            self.link.Close()

    def _Linger(self):
        self.state = _LINGER
        self.data = b""
        self.credit = self.server.now + (_LINGER_SEC if self.sent else self.server.BodyTimeoutSec)  # then at most
        self.OnReceived(b"")
        self.link.Finish(not self.reader and not self.sent)

    def OnSent(self, callback):
        """callback() when the client has the answer and has closed the connection, or has gone."""
        self.sent = callback
        self.keepAlive = False
        if self.link.isDead:
            self.server.Call(callback)
        elif not self.client and self.state < _ANSWER:      # the answer is out
            self._Linger()

    def Serves(self, client):
        """Does the client still wait for the answer? One that has closed its half does not."""
        link = self.link
        if link.endpoint is not self:           # a WebSocket: it reads by itself
            return not link.isDead
        if client is self.client and not self.reader and len(self.data) < self.server.MaxRequestHeadLen:
            link.Look()
        return client is self.client and not self.isEnded

    def _Next(self):
        """The next request may be read."""
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
        """Send a complete 101 response; from here on the link is the endpoint's."""
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
