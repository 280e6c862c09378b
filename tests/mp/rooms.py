# What the tables of the rooms stand on, on both runtimes: a row is (arguments, expected), a table (name, function, rows).

import asyncio

import microWebSrv


def Observe(function, args):
    """What the function makes of the arguments: its value, the status of an _HttpError, or '!' and the exception."""
    try:
        return function(*args)
    except microWebSrv._HttpError as error:
        return error.status
    except ValueError:              # with the UnicodeErrors of both runtimes
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
    """Anything with the attributes that it is given."""

    def __init__(self, **attributes):
        for name in attributes:
            setattr(self, name, attributes[name])


class Limits:
    """What a connection asks of a server."""

    def __init__(self, line, head, memoLen=0):
        self.MaxRequestLineLen = line
        self.MaxRequestHeadLen = head
        self._lineMemo = {}
        self._fieldMemo = {}
        self._memoLen = memoLen


class Link:
    """A transport without a socket: what was sent, and whether the connection was closed."""

    endpoint = None

    def __init__(self):
        self.sent = b""
        self.isClosed = False

    def Send(self, data):
        self.sent += bytes(data)

    def Backlog(self):
        return 0

    def Settle(self, most, timeoutSec):
        return True

    def Close(self):
        self.isClosed = True

    Abort = Finish = Close

    def Pause(self):
        pass

    Resume = Pause

    def GetAddr(self):
        return "127.0.0.1", 4711


class MemoryFile:
    """A binary file that knows whether it was closed."""

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
    """A webPath of files in memory, all of one age: {path: content}. Folders are what their paths say."""

    def __init__(self, files, mtime):
        self.root = "/nowhere"
        self.touched = []               # every path that was asked for
        self.open = []                  # every file that was not closed
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


class MemoryTransport:
    """Takes the place of the sockets: who plays the client makes the links."""

    def __init__(self, server):
        server.isOpen = asyncio.Event()
        self._server = server

    async def Open(self, listener):
        self._listener = listener
        self._server.isOpen.set()

    async def Close(self):
        self._listener.close()


def Exchange(server, data):
    """What a server (with port=0) answers to these bytes, and whether it closes then. Its errors are raised."""
    errors = []
    server.ErrorCallback = lambda text, error: errors.append(error or ValueError(text))
    server._transport = MemoryTransport
    link = Link()
    asyncio.run(_Exchange(server, link, data))
    if errors:
        raise errors[0]
    return link.sent, link.wasClosed


async def _Exchange(server, link, data):
    serving = asyncio.create_task(server.Serve())
    await asyncio.sleep(0)
    await server.isOpen.wait()
    server._Admit(link)
    link.endpoint.Received(data)
    for _ in range(20):                     # nothing here waits for anything but its turn
        await asyncio.sleep(0)
    link.wasClosed = link.isClosed
    server._Gone(link)
    server.Stop()
    await serving


def SplitResponse(data):
    """-> (status, [(lower-case name, value), …], body) of one response; ValueError where it is none."""
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
