# Helpers for the tables of the rooms, on both runtimes: a row is (arguments, expected), a table (name, function, rows).

import microWebSrv


def Observe(function, args):
    """The result of the function: its value, the status of an HttpError, or '!' and the exception."""
    try:
        return function(*args)
    except microWebSrv.HttpError as error:
        return error.args[0]
    except ValueError:              # includes the UnicodeErrors of both runtimes
        return "!ValueError"
    except Exception as error:
        return "!" + type(error).__name__


def Plain(value):
    """A value as text that is the same on both runtimes."""
    if isinstance(value, str):
        return '"' + "".join([_Char(ord(char)) for char in value]) + '"'
    if isinstance(value, (bytes, bytearray)):
        return 'b"' + "".join([_Char(byte) for byte in value]) + '"'
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join([Plain(item) for item in value]) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(sorted([Plain(key) + ": " + Plain(value[key]) for key in value])) + "}"
    return str(value)


def _Char(code):
    if code in (34, 92):
        return "\\" + chr(code)
    return chr(code) if 32 <= code < 127 else "\\%x;" % code


class Record:
    """An object with the given attributes."""

    def __init__(self, **attributes):
        for name in attributes:
            setattr(self, name, attributes[name])


class Client:
    """A minimal request."""

    content = b""
    hooks = ()
    sink = None

    def __init__(self, connection):
        self.connection = connection
        self.head = connection.head


class Response:
    """A minimal response: WriteError records a refusal."""

    code = held = None
    fields = []
    patienceMs = 2000

    def __init__(self, client):
        self.client = client
        self.connection = client.connection

    def Answer(self, code, headers, contentType, contentCharset, body):
        return self.connection.Answer(self, code, contentType, contentCharset, b"", body)

    def WriteError(self, code, headers=None, rule=""):
        server = self.connection.server
        server.refusals.append((code, rule))
        return self.connection.Answer(self, code, "text/plain", None, b"", b"refused")


class Server:
    """The part of a server that a connection uses. Its handler records each request as (method, path, query, fields,
    content, keepAlive) and answers 200; `handle(client, response)` can replace that."""

    now = 0
    HeadTimeoutSec = BodyTimeoutSec = 20
    KeepAliveTimeoutSec = 75
    StopIdleSec = 0
    MaxRequestContentLen = 1 << 29
    MaxSendQueueLen = 1 << 20
    BufferLen = 4096
    Debug = False
    AccessCallback = AllowedHosts = Offload = Spawn = None
    before = ()
    Client = Client
    Response = Response
    MaxConnections = 8
    links = ()
    isStarted = True

    def __init__(self, line=8192, head=32768, memoLen=0, handle=None):
        self.MaxRequestLineLen = line
        self.MaxRequestHeadLen = head
        self.memoLen = memoLen
        self.heads = {}
        self.prefixes = {}
        self.Upgraders = {}
        self.requests = []
        self.refusals = []              # (status, rule)
        self.logged = []                # (text, exception)
        self.files = None               # the route that serves files
        self.route = Record(handler=handle or self.Handle, isAsync=False, threaded=False)

    def Find(self, head):
        return self.route, microWebSrv.NO_ARGS

    def Handle(self, client, response):
        head = client.head
        fields = {name: head.fields[name] for name in head.fields}
        self.requests.append((head.method, head.path, head.query, fields, bytes(client.content),
                              client.connection.keepAlive))
        client.content = b""
        client.connection.Answer(response, 200, "text/plain", None, b"", b"answer")

    def Prefix(self, code, contentType, contentCharset):
        return b"HTTP/1.1 %d .\r\n" % code

    def Log(self, text, error=None):
        self.logged.append((text, error))

    def Call(self, func, *args):
        func(*args)


class Link:
    """A transport without a socket: the bytes sent, and whether the connection was closed."""

    endpoint = None
    isDead = isClosed = isFinished = False
    want = 1                            # WANT_BYTES
    out = None                          # bytes that the client has not taken; set by the test

    def __init__(self):
        self.sent = b""

    def Send(self, data):
        if not self.isDead:
            self.sent += bytes(data)

    def Backlog(self):
        return len(self.out or b"")

    def Settle(self, most, patienceMs):
        return 0 if self.isDead else patienceMs

    def Want(self, want):
        self.want = want

    def Watch(self):
        pass

    def Finish(self, isWhole=False):
        """Further input is dropped. With queued bytes, the endpoint calls it again."""
        self.isClosed = True
        self.isFinished = not self.out
        self.isWhole = isWhole

    def Close(self):
        self.isClosed = True
        self.Abort()

    def Abort(self):
        self.isClosed = True
        if not self.isDead:
            self.isDead = True
            self.endpoint.OnLost()

    def GetAddr(self):
        return "127.0.0.1", 4711

    def Look(self):
        """There is nothing to read."""

    def Receive(self, data):
        """Bytes from the client, passed on when the endpoint wants some. False: it wants none."""
        self.Turn()
        if self.isDead or not self.want & 1:
            return False
        self.endpoint.OnReceived(data)
        self.Turn()
        return True

    def Turn(self):
        """Take the turns that the endpoint asks for."""
        for _ in range(10000):
            if self.isDead or not self.want & 4 or self.out:
                return
            self.want = 1
            self.endpoint.OnDrained()
        raise RuntimeError("it asks for turns without end")


def Connect(server):
    """-> a link with an HTTP connection; a MicroWebSrv need not run for it."""
    if isinstance(server, microWebSrv.MicroWebSrv):
        server.buffer = memoryview(bytearray(4096))
        server.isStarted = True
    link = Link()
    link.endpoint = microWebSrv.Connection(server, link)
    return link


def Play(pieces, server=None):
    """The requests parsed from a client's bytes -> (requests, content of an incomplete one, final state)."""
    server = server or Server()
    link = Connect(server)
    connection = link.endpoint
    for piece in pieces:
        if not link.Receive(piece):
            break
    for text, error in server.logged:
        if text[:4] != "413:":
            raise error or ValueError(text)
    requests = server.requests
    refusals = server.refusals
    answers = link.sent.count(b"HTTP/1.1 ") - link.sent.count(b"HTTP/1.1 100 ")
    if answers != len(requests) + len(refusals) or len(refusals) > 1:
        raise ValueError(("not one answer for each request", link.sent))
    content = b""
    if refusals:
        state = "refused"
    elif link.isClosed:
        state = "closed"
    elif connection.reader:
        state = "more"
        content = bytes(connection.client.content)
    else:
        state = "more" if connection.data else "idle"
    if link.isClosed != (state in ("refused", "closed")):
        raise ValueError("a refusal that does not close")
    return requests, content, state


class MemoryFile:
    """A binary file that records whether it was closed."""

    def __init__(self, content, files):
        self._content = content
        self._at = 0
        self._files = files
        files.append(self)

    def seek(self, at):
        self._at = at

    def read(self, size=-1):
        end = len(self._content) if size is None or size < 0 else self._at + size
        piece = self._content[self._at:end]
        self._at += len(piece)
        return piece

    def readinto(self, buffer):
        piece = self.read(len(buffer))
        buffer[:len(piece)] = piece
        return len(piece)

    def close(self):
        self._files.remove(self)


class MemoryFolder:
    """A webPath with files in memory, {path: content}, all of the same age. The paths determine the folders."""

    def __init__(self, files, mtime):
        self.root = "/nowhere"
        self.touched = []               # every path that was looked up
        self.open = []                  # every file that is open
        self._files = files
        self._mtime = mtime

    def Stat(self, path):
        self.touched.append(path)
        if path in self._files:
            return False, len(self._files[path]), self._mtime
        folder = path if path[-1:] == "/" else path + "/"
        for name in self._files:
            if name.startswith(folder):
                return True, 0, self._mtime
        return None

    def Open(self, path):
        self.touched.append(path)
        return MemoryFile(self._files[path], self.open)


def Exchange(server, data):
    """-> (response of a MicroWebSrv, which need not run, to these bytes; True if it closes). Errors of the server are
    raised."""
    errors = []
    server.ErrorCallback = lambda text, error: errors.append(error or ValueError(text))
    link = Connect(server)
    link.Receive(data)
    wasClosed = link.isClosed
    link.Abort()
    if errors:
        raise errors[0]
    return link.sent, wasClosed


def SplitResponse(data):
    """-> (status, [(lower-case name, value), …], body) of one response. ValueError if it is invalid."""
    head, found, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    if not found or not lines[0].startswith("HTTP/1.1 "):
        raise ValueError(data)
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(": ")
        if not colon or not name:
            raise ValueError(line)
        fields.append((name.lower(), value))
    return int(lines[0].split(" ")[1]), fields, body
