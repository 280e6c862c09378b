# A client for tests: TestClient(mws) sends requests to a server in the same program, through all of its protocol code,
# without a socket or a port. Tests import it; servers don't look for it. MIT license, see LICENSE.
#
#    1  MEMORY       a socket made of two buffers, and its poll object
#    2  ENGINE       runs the loop of a server step by step
#    3  REQUESTS     targets, forms, uploads, cookies
#    4  RESPONSES    the client side of a connection, and responses
#    5  CLIENT       TestClient
#    6  WEBSOCKETS   the client side (RFC 6455)
#
# The server runs on the thread of the test, and only while the client waits.

import io
import os
import sys
import time
from binascii import b2a_base64, hexlify
from json import dumps, loads

_MICROPYTHON = sys.implementation.name == "micropython"

if _MICROPYTHON:
    from micropython import const

    class TimeoutError(OSError):
        """The expected event did not happen in time."""

    def _Elapsed(start=0):
        """Milliseconds since `start`, an earlier value of _Elapsed()."""
        return time.ticks_diff(time.ticks_ms(), start) if start else time.ticks_ms()
else:
    import signal
    import threading

    def const(value):
        return value

    TimeoutError = TimeoutError

    def _Elapsed(start=0):
        """Milliseconds since `start`, an earlier value of _Elapsed()."""
        return int(time.monotonic() * 1000) - start


# ==============================================================================
# 1  MEMORY
# ==============================================================================

_POLL_IN = const(1)
_POLL_OUT = const(4)
_POLL_HUP = const(16)
_NO_LIMIT = const(1 << 29)


class _Socket(io.IOBase if _MICROPYTHON else object):
    """Replaces an accepted socket for the server."""

    isClosed = isShut = False   # closed by the server; its sending side only
    isEnded = False             # the client sends no more
    isGone = False              # the client reads no more
    source = None               # an iterator of further bytes from the client
    number = 0

    def __init__(self, window):
        self.window = window    # bytes that are accepted until the client reads
        self.output = []        # bytes from the server
        self.size = 0           # bytes in it
        self._input = b""       # bytes from the client
        self._pos = 0           # number of them that were read
        if not _MICROPYTHON:
            _Socket.number -= 1
            self.number = _Socket.number

    # -- the client's side

    def Write(self, data):
        self._input = self._input[self._pos:] + data
        self._pos = 0

    def Take(self):
        """All received bytes."""
        data = b"".join(self.output)
        self.output = []
        self.size = 0
        return data

    # -- the server's side

    def Ready(self, mask):
        """The events that poll would report."""
        if self.isGone and not mask:
            return _POLL_HUP
        events = 0
        if self._input or self.source or self.isEnded:
            events = _POLL_IN
        if self.isGone or self.size < self.window:
            events |= _POLL_OUT
        return events & mask

    def setblocking(self, *args):
        pass

    setsockopt = setblocking

    def send(self, data):
        if self.isGone:
            raise OSError(104)
        room = self.window - self.size
        data = bytes(data if len(data) <= room else memoryview(data)[:max(room, 0)])
        if data:
            self.output.append(data)
            self.size += len(data)
        return len(data)

    def _Read(self, size):
        """Received bytes; b"" at the end of the client's data, None if there are none now."""
        if not self._input and self.source:
            try:
                self._input = next(self.source)
            except StopIteration:
                self.source = None
        pos = self._pos + size
        data = self._input[self._pos:pos]
        if pos >= len(self._input):
            self._input = b""
            pos = 0
        self._pos = pos
        return data if data or self.isEnded else None

    def close(self):
        self.isClosed = self.isShut = True

    if _MICROPYTHON:
        write = send

        def readinto(self, buffer):
            data = self._Read(len(buffer))
            if data:
                buffer[:len(data)] = data
            return data if data is None else len(data)

        def ioctl(self, request, arg):
            return self.Ready(arg) if request == 3 else -22     # MP_STREAM_POLL, EINVAL
    else:
        mask = None             # mask in the poll object

        def recv(self, size):
            data = self._Read(size)
            if data is None:
                raise BlockingIOError
            return data

        def shutdown(self, how):
            self.isShut = True

        def fileno(self):
            return self.number


if not _MICROPYTHON:
    class _Poll:
        """The poll object of a server, extended by _Socket objects."""

        def __init__(self, real):
            self._real = real
            self._ours = {}
            self.fileno = getattr(real, "fileno", None)
            self.close = real.close

        def register(self, sock, mask):
            if isinstance(sock, _Socket):
                self._ours[sock.number] = sock
                sock.mask = mask
            else:
                self._real.register(sock, mask)

        def modify(self, sock, mask):
            if isinstance(sock, _Socket):
                sock.mask = mask
            else:
                self._real.modify(sock, mask)

        def unregister(self, sock):
            if isinstance(sock, _Socket):
                self._ours.pop(sock.number, None)
            else:
                self._real.unregister(sock)

        def Ready(self):
            events = [(number, sock.Ready(sock.mask)) for number, sock in self._ours.items()]
            return [pair for pair in events if pair[1]]

        def poll(self, timeoutSec):
            return self.Ready() or self._real.poll(timeoutSec)


# ==============================================================================
# 2  ENGINE
# ==============================================================================

class _Clock:
    """Replaces the module time in optional files: Advance() moves time() forward."""

    ahead = 0

    def time(self):
        return time.time() + self.ahead

    def __getattr__(self, name):
        return getattr(time, name)


_clock = _Clock()
_HOME = __name__.rpartition(".")[0]
_HOME = _HOME and _HOME + "."


def _Settle(link, most, patienceMs):
    """Replace Link.Settle. The client runs on this thread, so waiting would not help: a full queue aborts the
    connection."""
    if link.Backlog() > most:
        link.Abort()
    return 0 if link.isDead else patienceMs


def _NoListener(port, bindIP):
    return None, port


def _Refuse(*args, **more):
    raise RuntimeError("a TestClient has this server: Close() it before Start()")


class _Host:
    """A server that runs step by step, shared by its TestClients."""

    isOver = False
    ahead = 0               # seconds added by Advance
    asyncio = None          # the module, when it is needed
    loops = 0               # number of hosts that use asyncio

    def __init__(self, server):
        self.server = server
        self.clients = []
        self.errors = []
        self._callback = None
        self._onLog = self._OnLog
        if not _MICROPYTHON:
            isMain = threading.current_thread() is threading.main_thread()
            onTerm = signal.getsignal(signal.SIGTERM)
        server.testHost = self
        server.Listen = _NoListener
        isOpen = False
        banner = server.Banner
        server.Banner = False                   # there is no listener
        try:
            isOpen = server.Open()
        finally:
            server.Banner = banner
            if not isOpen:
                del server.Listen, server.testHost
        if not isOpen:
            raise RuntimeError("this server runs: Stop() it before a TestClient has it")
        if not _MICROPYTHON:
            server.poll = _Poll(server.poll)
            if isMain and signal.getsignal(signal.SIGTERM) is not onTerm:
                signal.signal(signal.SIGTERM, onTerm)   # SIGTERM belongs to the test runner
        try:
            plain = server.PlainLink            # without TLS, if microWebTls is there
        except AttributeError:
            plain = server.NewLink
        self._kind = type("_Link", (plain,), {"Settle": _Settle})
        server.Enter()                          # the server runs on this thread
        server.Start = server.Serve = _Refuse
        for name in server.found:
            module = sys.modules[_HOME + name]
            if getattr(module, "time", None) is time:
                module.time = _clock

    def _OnLog(self, text, error=None):
        """The ErrorCallback while a client uses the server."""
        if error is not None:
            self.errors.append(error)
        if self._callback:
            self._callback(text, error)
        elif error is None or not self.isRaising:
            server = self.server
            server.ErrorCallback = None         # print it, as without a TestClient
            server.Log(text, error)
            server.ErrorCallback = self._onLog

    def Enter(self, isRaising):
        """Run the server on this thread until the client's wait ends."""
        server = self.server
        self.isRaising = isRaising
        if server.ErrorCallback is not self._onLog:
            self._callback = server.ErrorCallback
            server.ErrorCallback = self._onLog
        if not self.isOver:
            server.Enter()

    def Do(self, func, *args):
        """Run func(*args), in the asyncio loop if there is one, because it may start a task."""
        if self.server.UseAsyncio and not self.isOver:
            self._RunLoop(self._Call(func, args))
        else:
            func(*args)

    def Connect(self, sock, addr, isSecure):
        """Connect a client. What it has written is read at once."""
        server = self.server

        def NewLink(*args):
            link = self._kind(*args)
            link.isSecure = isSecure
            return link

        if len(server.links) >= server.MaxConnections:
            server.Evict()
        self.Do(server.Admit, sock, addr, NewLink)

    def Tell(self, sock):
        """The client has written: let the server read it, if the server waits for bytes."""
        server = self.server
        key = id(sock) if _MICROPYTHON else sock.number
        link = server.links.get(key)
        if link and link.watched == _POLL_IN:
            self.Do(server.OnEvent, key, _POLL_IN)

    def Step(self, waitMs, done=bool):
        """One round of the server's loop. Waits up to waitMs if no event is ready; with asyncio until done() is
        true."""
        server = self.server
        if self.isOver:
            return
        if server.UseAsyncio:
            self._RunLoop(self._Spin(waitMs, done))
            self.isOver = not server.IsOnEngine()
            return
        wait = server.Turn()
        if not wait:
            self.isOver = True
            return server.Leave()
        wait = min(wait, waitMs)
        if _MICROPYTHON:
            for sock, event in server.poll.ipoll(wait):
                server.OnEvent(id(sock), event)
        else:
            for key, event in server.poll.poll(wait / 1000):
                server.OnEvent(key, event)

    # -- asyncio: a loop that runs only while a client waits; its tasks stay alive

    def _RunLoop(self, coroutine):
        if not self.asyncio:
            try:
                import asyncio
            except ImportError:
                import uasyncio as asyncio      # MicroPython before 1.21
            self.asyncio = asyncio
            _Host.loops += 1
            if not _MICROPYTHON:
                self._loop = asyncio.new_event_loop()
            self._RunLoop(self._Call(self.server.Adopt, (False,)))
        if _MICROPYTHON:
            self.asyncio.run(coroutine)
        else:
            self._loop.run_until_complete(coroutine)

    async def _Call(self, func, args):
        func(*args)

    async def _Spin(self, waitMs, done):
        asyncio = self.asyncio
        server = self.server
        start = _Elapsed()
        spins = 0
        while True:
            if not _MICROPYTHON:
                for key, event in server.poll.Ready():
                    server.OnEvent(key, event)
            await asyncio.sleep(0 if spins < 20 else 0.001)
            spins += 1
            if done() or self.errors or _Elapsed(start) >= waitMs or not server.IsOnEngine():
                return

    def _EndLoop(self):
        asyncio = self.asyncio
        _Host.loops -= 1
        if _MICROPYTHON:
            if not _Host.loops:
                asyncio.core.cur_task = None    # it stays set when a loop ends
                asyncio.new_event_loop()
            return
        loop = self._loop
        loop.run_until_complete(self._Cancel())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    if not _MICROPYTHON:
        async def _Cancel(self):
            asyncio = self.asyncio
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- time, end

    def Advance(self):
        """Let a second pass."""
        _clock.ahead += 1
        self.ahead += 1
        self.Do(self.server.Tick)
        self.Step(0)

    def Close(self):
        """The last client was closed: stop the server."""
        server = self.server
        server.Stop()
        while not self.isOver:
            self.Step(10, self._IsLeft)
            if not self.isOver:
                self.Advance()                  # do not wait for StopGraceSec
        if self.asyncio:
            self._EndLoop()
        _clock.ahead -= self.ahead
        server.ErrorCallback = self._callback
        del server.Start, server.Serve, server.Listen, server.testHost

    def _IsLeft(self):
        return not self.server.IsOnEngine()


# ==============================================================================
# 3  REQUESTS
# ==============================================================================

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def _Bytes(data):
    return data.encode() if isinstance(data, str) else bytes(data)


def _Quote(text):
    return "".join([chr(byte) if byte in _UNRESERVED else "%%%02X" % byte for byte in str(text).encode()])


def _Target(path):
    """Percent-encode only what is invalid in a request line."""
    return "".join([chr(byte) if 32 < byte < 127 else "%%%02X" % byte for byte in path.partition("#")[0].encode()])


def _Pairs(values):
    """A dict or a list of pairs -> pairs. A list as a value repeats the name."""
    pairs = []
    for name, value in values.items() if hasattr(values, "items") else values:
        for one in value if isinstance(value, list) else (value,):
            pairs.append((name, one))
    return pairs


def _Form(values):
    return "&".join([_Quote(name) + "=" + _Quote(value) for name, value in _Pairs(values)])


def _Name(text):
    """Quote a name for Content-Disposition, as browsers do (HTML standard, multipart/form-data)."""
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def _Multipart(form, files):
    """-> (media type, content) (RFC 7578). A file is bytes, (name, bytes) or (name, bytes, media type)."""
    boundary = "----MicroWebTest" + hexlify(os.urandom(8)).decode()
    parts = []
    for name, value in _Pairs(form or ()):
        parts.append('--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary, _Name(name), value))
    for name, file in _Pairs(files):
        if not isinstance(file, tuple):
            file = name, file
        parts.append('--%s\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: %s\r\n\r\n' % (
            boundary, _Name(name), _Name(file[0]), file[2] if len(file) > 2 else "application/octet-stream"))
        parts.append(file[1])
        parts.append("\r\n")
    parts.append("--%s--\r\n" % boundary)
    return "multipart/form-data; boundary=" + boundary, b"".join([_Bytes(part) for part in parts])


def _Content(form, json, files, content):
    """-> (media type or None, content as bytes or an iterable, or None)."""
    if files:
        return _Multipart(form, files)
    if form is not None:
        return "application/x-www-form-urlencoded", _Form(form).encode()
    if json is not None:
        return "application/json", dumps(json).encode()
    return None, content.encode() if isinstance(content, str) else content


_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def _IsPast(date):
    """True if the date of Expires, like 'Thu, 01 Jan 1970 00:00:00 GMT', is in the past. An unreadable date is ignored
    (RFC 6265 section 5.2.1)."""
    try:
        day, month, year, clock = date.replace("-", " ").split()[1:5]
        hour, minute, second = clock.split(":")
        return (int(year), _MONTHS.index(month) // 3 + 1, int(day), int(hour), int(minute), int(second)) < tuple(
            time.gmtime(_clock.time())[:6])
    except ValueError:
        return False


class _Jar:
    """The cookies of a browser for one host (RFC 6265 section 5)."""

    def __init__(self):
        self.Clear()

    def Clear(self):
        self._cookies = {}      # (name, path): (value, second when it expires or None, is it Secure?)

    def Set(self, name, value, path, until, isSecure):
        self._cookies[name, path] = value, until, isSecure

    def Learn(self, line, path, now, isSecure):
        """Store the cookie of a Set-Cookie header. path: of the request."""
        pair, _, rest = line.partition(";")
        name, _, value = pair.partition("=")
        words = {}
        for word in rest.split(";"):
            key, _, text = word.partition("=")
            words[key.strip().lower()] = text.strip()
        if not isSecure and "secure" in words:
            return              # RFC 6265bis: only over TLS
        path = words["path"] if words.get("path", "")[:1] == "/" else path.rpartition("/")[0] or "/"
        until = None
        if "max-age" in words:
            until = now + int(words["max-age"])
        elif _IsPast(words.get("expires", "")):
            until = now
        self.Set(name.strip(), value.strip(), path, until, "secure" in words)

    def Get(self, path, now, isSecure):
        """(name, value) pairs for this path, longest cookie path first."""
        found = []
        for key, cookie in list(self._cookies.items()):
            value, until, needsTLS = cookie
            if until is not None and until <= now:
                del self._cookies[key]
            elif (path + "/").startswith(key[1].rstrip("/") + "/") and (isSecure or not needsTLS):
                found.append((-len(key[1]), key[0], value))
        return [(name, value) for _, name, value in sorted(found)]


# ==============================================================================
# 4  RESPONSES
# ==============================================================================

class _Wire:
    """The client side of a connection."""

    data = b""                  # received bytes that were not read
    name = ""                   # current purpose, for error texts

    def __init__(self, client):
        self.client = client
        self.sock = _Socket(client.window)
        self.isNew = True
        client.wires.append(self)

    def Chunks(self, content):
        """Yield content of unknown length as chunks (RFC 9112 section 7.1)."""
        for piece in content:
            piece = _Bytes(piece)
            if piece:
                yield self.Traced(True, b"%x\r\n" % len(piece) + piece + b"\r\n")
        yield self.Traced(True, b"0\r\n\r\n")

    def Traced(self, isSent, data):
        if data and self.client.trace is not None:
            self.client.trace.append((isSent, data))
        return data

    def Write(self, data):
        client = self.client
        sock = self.sock
        self.Traced(True, data)
        sock.Write(data)
        if self.isNew:
            self.isNew = False
            client.engine.Connect(sock, client.addr, client.isSecure)
        else:
            client.engine.Tell(sock)

    def _HasNews(self):
        return self.sock.output or self.sock.isShut

    def More(self, what):
        """Wait for bytes. False: the server has closed the connection."""
        client = self.client
        sock = self.sock
        client.WaitFor(self._HasNews, "%s: the %s" % (self.name, what))
        data = self.Traced(False, sock.Take())
        self.data = self.data + data if self.data else data
        return bool(data)

    def Fill(self, size, what):
        """Wait until `size` bytes are there. OSError if the connection ends before."""
        while len(self.data) < size:
            if not self.More(what):
                raise OSError("%s: the server has closed the connection before the %s" % (self.name, what))

    def Read(self, size, what):
        self.Fill(size, what)
        data = self.data[:size]
        self.data = self.data[size:]
        return data

    def Until(self, end, what):
        """The bytes up to the next `end`, which is removed."""
        while True:
            at = self.data.find(end)
            if at >= 0:
                return self.Read(at + len(end), what)[:at]
            self.Fill(len(self.data) + 1, what)

    def Drop(self):
        """Close the client side. The server notices at once."""
        sock = self.sock
        sock.isEnded = sock.isGone = True
        sock.source = None
        wires = self.client.wires
        if self in wires:
            wires.remove(self)
        for _ in range(4):
            if not sock.isClosed:
                self.client.engine.Step(0)


class Headers:
    """Response headers, looked up in any case: headers["Content-Type"], get(name), GetList("Set-Cookie")."""

    def __init__(self, pairs):
        self._pairs = pairs

    def GetList(self, name):
        """The values of all headers of this name, in order."""
        return [value for key, value in self._pairs if key.lower() == name.lower()]

    def get(self, name, default=None):
        """The value; values of a repeated header are joined with commas."""
        values = self.GetList(name)
        return ", ".join(values) if values else default

    def items(self):
        """The (name, value) pairs as received."""
        return list(self._pairs)

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name):
        return self.get(name) is not None

    def __iter__(self):
        return iter([name for name, _ in self._pairs])


class ClientResponse:
    """A response. Iterating gives the pieces of its content as they arrive; `content` is all of it."""

    _content = None
    _rest = b""                 # the rest of an event stream, after the last event
    _isChunked = False
    history = ()                # the redirects before this response

    def __init__(self, wire, method, isStream):
        self._wire = wire
        code = 100
        while code in range(100, 200) and code != 101:      # RFC 9110 section 15.2
            lines = "".join(map(chr, wire.Until(b"\r\n\r\n", "head"))).split("\r\n")
            code = int(lines[0][9:12])
        pairs = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            pairs.append((name, value.strip()))
        self.code = code
        self.reason = lines[0][13:]
        self.headers = headers = Headers(pairs)
        # RFC 9112 section 6.3. None: the content ends with the connection.
        length = headers.get("content-length")
        self._left = length and int(length)
        if method == "HEAD" or code in (101, 204, 304):
            self._left = 0
        elif "chunked" in headers.get("transfer-encoding", ""):
            self._isChunked = True
            self._left = 0
        if not isStream:
            self._content = b"".join(list(self))

    @property
    def pieces(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        wire = self._wire
        piece = self._Piece(wire) if wire else b""
        if piece:
            return piece
        if wire:                # RFC 9112 section 9.3: keep the connection?
            isGood = self._left is not None and self.headers.get("connection", "").lower() != "close"
            self.Detach().client.Keep(wire, isGood)
        raise StopIteration

    def _Piece(self, wire):
        """A piece of the content; b"" at its end."""
        what = "content"
        if self._isChunked and not self._left:
            # The CRLF after a chunk is read together with the next chunk head, so no piece is delayed or lost by a
            # time-out.
            self._left = int(wire.Until(b"\r\n", what) or wire.Until(b"\r\n", what), 16)
            if not self._left:
                while wire.Until(b"\r\n", what):
                    pass
        left = self._left
        if left is None:
            if not wire.data:
                wire.More(what)
            return wire.Read(len(wire.data), what)
        if not left:
            return b""
        wire.Fill(1, what)
        data = wire.Read(min(left, len(wire.data)), what)
        self._left -= len(data)
        return data

    @property
    def content(self):
        """The content, or what is left of it, as bytes."""
        if self._content is None:
            if self._wire:
                self._wire.sock.window = _NO_LIMIT
            self._content = b"".join(list(self))
        return self._content

    @property
    def text(self):
        return self.content.decode()

    def GetJSON(self):
        """The content parsed as JSON. ValueError if it is not valid JSON."""
        return loads(self.content)

    @property
    def location(self):
        return self.headers.get("location")

    def ReadEvent(self):
        """The next event of an event stream: a dict of its fields, with "data"; None at the end. Comments are skipped
        (HTML standard, section 9.2.6)."""
        while True:
            block, end, rest = self._rest.partition(b"\n\n")
            if not end:
                try:
                    self._rest += next(self)
                except StopIteration:
                    return None
                continue
            self._rest = rest
            event = {}
            for line in block.decode().split("\n"):
                name, _, value = line.partition(":")
                value = value[1:] if value[:1] == " " else value
                if name:
                    event[name] = event[name] + "\n" + value if name in event else value
            if event:
                return event

    def Detach(self):
        """Take the connection, which now uses another protocol."""
        wire = self._wire
        self._wire = None
        return wire

    def Close(self):
        """Close the connection, before the end of a stream."""
        wire = self.Detach()
        if wire:
            wire.Drop()


# ==============================================================================
# 5  CLIENT
# ==============================================================================

_MAX_REDIRECTS = const(20)


class TestClient:
    """A browser with its own address, cookies and kept connection. A server may have several."""

    __test__ = False            # pytest: not a test class

    def __init__(self, mws, addr=("127.0.0.1", 50000), isSecure=False, host="localhost", headers=None,
                 followRedirects=False, raiseErrors=True, timeoutSec=5, window=4096 if _MICROPYTHON else 65536):
        self.server = mws
        self.addr = addr
        self.isSecure = isSecure
        self.host = host
        self.headers = headers
        self.followRedirects = followRedirects
        self.raiseErrors = raiseErrors
        self.timeoutSec = timeoutSec
        self.window = window
        self.trace = None       # a list to record (sent by the client?, bytes), or None
        self.errors = []        # exceptions of handlers, hooks and callbacks
        self.wires = []
        self._kept = None
        self._jar = _Jar()
        self.engine = getattr(mws, "testHost", None) or _Host(mws)
        self.engine.clients.append(self)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.Close(error is None)

    def Close(self, raises=True):
        """Close the client's connections; the last client stops the server."""
        engine = self.engine
        if self not in engine.clients:
            return
        engine.Enter(self.raiseErrors)
        for wire in list(self.wires):
            wire.Drop()
        engine.clients.remove(self)
        if not engine.clients:
            engine.Close()
        if raises:
            self._Raise()

    def Enter(self):
        """Run the server for this client from here on."""
        engine = self.engine
        if self not in engine.clients:
            raise RuntimeError("this TestClient is closed")
        engine.Enter(self.raiseErrors)

    # -- time

    def _Raise(self):
        """Raise an exception of the program that occurred since the last call."""
        engine = self.engine
        errors = engine.errors
        if errors:
            engine.errors = []
            self.errors += errors
            if self.raiseErrors:
                raise errors[0]

    def WaitFor(self, condition, what="what was waited for", timeoutSec=None):
        """Run the server until condition() is true, and return its value. TimeoutError."""
        engine = self.engine
        if timeoutSec is None:
            timeoutSec = self.timeoutSec
        self.Enter()
        start = _Elapsed()
        while True:
            result = condition()
            self._Raise()
            if result:
                return result
            left = int(timeoutSec * 1000) - _Elapsed(start)
            if left <= 0:
                raise TimeoutError("%s has not come within %s s" % (what, timeoutSec))
            if engine.isOver:
                raise RuntimeError("%s has not come, and the server was stopped" % what)
            engine.Step(left, condition)

    def Advance(self, seconds):
        """Move the clocks of the server and its sessions forward by `seconds`, without waiting."""
        self.Enter()
        for _ in range(seconds):
            self.engine.Advance()
        self._Raise()

    # -- cookies

    def GetCookies(self, path="/"):
        """The cookies that a request for this path would carry, as a dict."""
        found = self._jar.Get(path, self.server.now, self.isSecure)
        found.reverse()         # for a repeated name the longest path wins
        return dict(found)

    def SetCookie(self, name, value, path="/", maxAge=None, secure=False):
        self._jar.Set(name, str(value), path, None if maxAge is None else self.server.now + maxAge, secure)

    def ClearCookies(self):
        self._jar.Clear()

    # -- requests

    def Get(self, path, params=None, headers=None, **options):
        return self.Request("GET", path, params, headers, **options)

    def Head(self, path, params=None, headers=None, **options):
        return self.Request("HEAD", path, params, headers, **options)

    def Options(self, path, params=None, headers=None, **options):
        return self.Request("OPTIONS", path, params, headers, **options)

    def Delete(self, path, params=None, headers=None, **options):
        return self.Request("DELETE", path, params, headers, **options)

    def Post(self, path, params=None, headers=None, **options):
        return self.Request("POST", path, params, headers, **options)

    def Put(self, path, params=None, headers=None, **options):
        return self.Request("PUT", path, params, headers, **options)

    def Patch(self, path, params=None, headers=None, **options):
        return self.Request("PATCH", path, params, headers, **options)

    def Request(self, method, path, params=None, headers=None, form=None, json=None, files=None, content=None,
                followRedirects=None, stream=False):
        """-> ClientResponse: complete, or with stream=True as soon as its head is there."""
        if params:
            path += ("&" if "?" in path else "?") + _Form(params)
        path = _Target(path)
        kind, content = _Content(form, json, files, content)
        history = []
        while True:
            response = self._Ask(method, path, headers, kind, content, stream)
            response.history = history
            target = None
            if response.code in (301, 302, 303, 307, 308) and (
                    self.followRedirects if followRedirects is None else followRedirects):
                target = self._Resolve(path, response.location or "")
            if target is None:
                return response
            response.Close()
            history = history + [response]
            if len(history) > _MAX_REDIRECTS:
                raise OSError("%s %s: more than %d redirects" % (method, path, _MAX_REDIRECTS))
            path = target
            if response.code == 303 and method != "HEAD" or response.code < 303 and method == "POST":
                method = "GET"
                kind = content = None

    def _Resolve(self, path, location):
        """The target of a redirect; None if it leads to another host."""
        scheme, sep, rest = location.partition("://")
        if sep:
            host, _, rest = rest.partition("/")
            if host != self.host or scheme != ("https" if self.isSecure else "http"):
                return None
            location = "/" + rest
        elif location[:1] != "/":
            path = path.partition("?")[0]
            location = (path if location[:1] in ("?", "") else path.rpartition("/")[0] + "/") + location
        return _Target(location)

    def _Ask(self, method, path, headers, kind, content, stream):
        if not self.server.IsStarted():
            raise RuntimeError("the server was stopped, or this TestClient is closed")
        self.Enter()
        wire = self._kept
        self._kept = None
        if wire and wire.sock.isShut:
            wire.Drop()
            wire = None
        if not wire:
            wire = _Wire(self)
        wire.name = "%s %s" % (method, path)
        wire.sock.window = self.window if stream else _NO_LIMIT
        try:
            data = self._RequestHead(method, path, headers, kind, content)
            if content is not None and not isinstance(content, (bytes, bytearray)):
                wire.sock.source = wire.Chunks(content)
            elif content:
                data += content
            wire.Write(data)
            response = ClientResponse(wire, method, stream)
            for line in response.headers.GetList("set-cookie"):
                self._jar.Learn(line, path.partition("?")[0], self.server.now, self.isSecure)
        except BaseException:
            wire.Drop()
            raise
        return response

    def _RequestHead(self, method, path, headers, kind, content):
        """The request head as bytes. Headers of the request override those of the client; None removes one."""
        pairs = _Pairs(headers or ())
        names = [name.lower() for name, _ in pairs]
        pairs += [pair for pair in _Pairs(self.headers or ()) if pair[0].lower() not in names]
        names = [name.lower() for name, _ in pairs]
        own = [("Host", self.host)]
        cookies = self._jar.Get(path.partition("?")[0], self.server.now, self.isSecure)
        if cookies:
            own.append(("Cookie", "; ".join(["%s=%s" % cookie for cookie in cookies])))
        if kind:
            own.append(("Content-Type", kind))
        if content is None:
            if method in ("POST", "PUT", "PATCH"):
                own.append(("Content-Length", 0))
        elif isinstance(content, (bytes, bytearray)):
            own.append(("Content-Length", len(content)))
        else:
            own.append(("Transfer-Encoding", "chunked"))
        lines = ["%s %s HTTP/1.1" % (method, path)]
        for name, value in [pair for pair in own if pair[0].lower() not in names] + pairs:
            if value is not None:
                lines.append("%s: %s" % (name, value))
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def Keep(self, wire, isGood):
        """The response is complete: keep the connection for the next request."""
        if isGood and not self._kept and not wire.data and not wire.sock.source and not wire.sock.isShut:
            self._kept = wire
        else:
            wire.Drop()

    def WebSocket(self, path, params=None, headers=None, protocols=()):
        """-> ClientWebSocket. WebSocketRefused, with the response, if the server refuses."""
        key = b2a_base64(os.urandom(16))[:-1]
        more = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", 13),
                ("Sec-WebSocket-Key", key.decode())]
        if protocols:
            more.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
        kept = self._kept
        self._kept = None       # a WebSocket gets a new connection
        try:
            response = self.Request("GET", path, params, more + _Pairs(headers or ()), stream=True)
        finally:
            self._kept = kept
        if response.code != 101:
            raise WebSocketRefused(response)
        return ClientWebSocket(response, key)


# ==============================================================================
# 6  WEBSOCKETS
# ==============================================================================

_LOST = const(1006)             # the connection ended without a Close frame (RFC 6455 section 7.4.1)
_NO_CODE = const(1005)


class WebSocketRefused(Exception):
    """The server refused the WebSocket; `response` is its response."""

    def __init__(self, response):
        super().__init__("the server has answered %d, not 101" % response.code)
        self.response = response


class ClientWebSocket:
    """An open WebSocket, as a page sees it. Pings are answered while it waits."""

    closeCode = None            # set when it is closed
    closeReason = ""

    def __init__(self, response, key):
        from hashlib import sha1
        digest = b2a_base64(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())[:-1].decode()
        if response.headers.get("sec-websocket-accept") != digest:      # section 4.1
            raise OSError("the Sec-WebSocket-Accept of the answer is wrong")
        self.response = response
        self.protocol = response.headers.get("sec-websocket-protocol")
        self._wire = response.Detach()
        self._messages = []
        self._pongs = []
        self._kind = 0
        self._part = b""        # the begin of a message of several frames
        self._isClosing = False

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            self.Close()
        else:
            self.Abort()

    def SendText(self, msg):
        self.SendFrame(0x81, msg.encode())

    def SendBinary(self, data):
        self.SendFrame(0x82, bytes(data))

    def SendFrame(self, first, payload=b""):
        """Send a masked frame. first: byte with FIN, reserved bits and opcode (section 5.2)."""
        size = len(payload)
        count = 0 if size < 126 else 2 if size < 65536 else 8
        mask = os.urandom(4)
        frame = bytes((first, 128 | (size if not count else 126 + (count > 2))))
        if count:
            frame += size.to_bytes(count, "big")
        if size:
            number = int.from_bytes(payload, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
            payload = number.to_bytes(size, "big")
        self._wire.client.Enter()
        self._wire.Write(frame + mask + payload)

    def Receive(self):
        """The next message, as str or bytes; None if it was closed, see closeCode. TimeoutError."""
        while not self._messages and self.closeCode is None:
            self._ReadFrame("message")
        return self._messages.pop(0) if self._messages else None

    def Ping(self, data=b""):
        """Send a ping and wait for its pong -> the pong's data; None if it was closed."""
        self.SendFrame(0x89, data)
        while not self._pongs and self.closeCode is None:
            self._ReadFrame("pong")
        return self._pongs.pop(0) if self._pongs else None

    def Close(self, code=1000, reason=""):
        """Close, and wait for the server's Close frame. Messages sent before it can still be received."""
        if self.closeCode is None and not self._isClosing:
            self._isClosing = True
            self.SendFrame(0x88, code.to_bytes(2, "big") + reason.encode())
        while self.closeCode is None:
            self._ReadFrame("Close frame")

    def Abort(self):
        """Drop the connection without closing."""
        if self.closeCode is None:
            self._End(_LOST, "")

    def _End(self, code, reason):
        self.closeCode = code
        self.closeReason = reason
        self._wire.Drop()

    def _ReadFrame(self, what):
        """Read one frame. No bytes are lost by a time-out."""
        wire = self._wire
        try:
            wire.Fill(2, what)
            start = {126: 4, 127: 10}.get(wire.data[1], 2)
            wire.Fill(start, what)
            size = wire.data[1] if start < 4 else int.from_bytes(wire.data[2:start], "big")
            wire.Fill(start + size, what)
        except TimeoutError:
            raise
        except OSError:
            return self._End(_LOST, "")
        frame = wire.Read(start + size, what)
        payload = frame[start:]
        kind = frame[0] & 15
        if kind == 8:
            if not self._isClosing:
                self._isClosing = True
                self.SendFrame(0x88, payload)
            self._End(int.from_bytes(payload[:2], "big") if payload else _NO_CODE, payload[2:].decode())
        elif kind == 9:
            self.SendFrame(0x8A, payload)
        elif kind == 10:
            self._pongs.append(payload)
        else:
            self._kind = kind or self._kind
            self._part += payload
            if frame[0] & 128:
                self._messages.append(self._part.decode() if self._kind == 1 else self._part)
                self._part = b""
