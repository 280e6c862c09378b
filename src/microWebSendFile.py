# Files for MicroWebSrv on CPython and Linux: a file of webPath is opened once a second for all its responses, and the
# system sends it without a copy in this process (sendfile). Copy this file beside microWebSrv.py.
# MIT license, see LICENSE.

import errno
import os
import socket

_SMALL = 16384              # bytes; up to this size to read a file costs less than sendfile
_TURN = 1048576             # bytes of a file that are sent before other connections get their turn
_COPY = 131072              # bytes that are read at a time where sendfile is not possible
_OPEN_MAX = 64              # files that stay open


class _Changed(Exception):
    """The file was replaced after Stat() had looked at it."""


class _File:
    """An open file. It is closed when no response and no table has it any more."""

    def __init__(self, file):
        self._file = file
        self.number = file.fileno()

    def __del__(self):
        self._file.close()


class _Files:
    """The open files of webPath. Only the server's thread uses it."""

    def __init__(self, server):
        self.source = server.source
        self._opened = {}                       # path -> (what Folder knew of it, _File)
        server.Ticks.append(self._opened.clear)
        self._leave = server.Leave
        server.Leave = self._Leave

    def _Leave(self):
        try:
            self._leave()
        finally:
            self._opened.clear()

    def Open(self, path):
        """The file as the last Stat() has seen it. OSError if it can't be opened, _Changed if it is another one now."""
        source = self.source
        known = source.known.get(path)
        opened = self._opened.get(path)
        # Folder keeps the same object here until it sees a change of the file.
        if opened and known and known[1] is opened[0]:
            return opened[1]
        try:
            file = _File(source.Open(path))
        except OSError as error:
            if error.errno not in (errno.ENFILE, errno.EMFILE) or not self._opened:
                raise
            self._opened.clear()                # too many open files: these are not needed
            file = _File(source.Open(path))
        now = source.known.get(path)
        if known and now and known[1] != now[1]:
            raise _Changed
        if now:
            if len(self._opened) >= _OPEN_MAX:
                self._opened.clear()
            self._opened[path] = now[1], file
        return file


class _Body:
    """The interface of the core's FileBody. The system sends the bytes if the connection asks for them: it gives the
    head."""

    responseHead = b""
    _isSent = False                             # by the system

    def __init__(self, file, start, length, connection):
        self._file = file
        self._at = start
        self.left = length
        self._connection = connection

    def __next__(self):
        head = self.responseHead
        left = self.left
        if not head and not left:
            raise StopIteration
        connection = self._connection
        number = self._file.number
        if head:
            self.responseHead = b""
            # With TLS, an ASGI server, a test client or a thread the bytes have to come here; and behind a queued
            # 100 Continue, too.
            link = connection.link
            self._isSent = left > _SMALL and type(getattr(link, "sock", None)) is socket.socket and not link.out
        if self._isSent:
            piece = b""
            size = SendFile(connection.link, head, number, self._at, min(left, _TURN))
        else:
            piece = os.pread(number, min(left, connection.server.BufferLen), self._at)
            size = len(piece)
            if left and not size:
                raise OSError("the file became shorter")
            piece = head + piece
        self._at += size
        self.left = left - size
        return piece

    def close(self):
        self._file = None


def SendFile(link, head, number, start, size):
    """Send the bytes `head`, then bytes of the file with this descriptor; link must have nothing queued. -> the number
    of the file's bytes that the socket has accepted now."""
    sock = link.sock
    if head:
        # MSG_MORE: the head waits for the first bytes of the file, so that one segment has both.
        sent = link.Take(head, lambda head: sock.send(head, socket.MSG_MORE))
        if sent < len(head):
            link.Send(head[sent:])
            return 0
    return link.Take(size, lambda size: _Copy(link, number, start, size))


def _Copy(link, number, start, size):
    sock = link.sock
    try:
        sent = os.sendfile(sock.fileno(), number, start, size)
    except (BlockingIOError, ConnectionError):
        raise
    except OSError:                             # this file system can't
        sent = sock.send(os.pread(number, min(size, _COPY), start))
    if not sent:
        link.server.Log("a file became shorter while it was sent")
        raise OSError("the file became shorter")        # closes the connection
    return sent


def Attach(server):
    """Called by each new server: replaces FileBody of the core, on Linux."""
    folder = type(server.Disk)
    plain, write = server.FileBody, server.WriteFile
    if not hasattr(socket, "MSG_MORE") or not hasattr(os, "sendfile") or type(server.source) is not folder:
        return
    files = _Files(server)

    def FileBody(source, path, start, length, connection):
        if source is files.source:
            file = files.Open(path)
        elif type(source) is folder and length > _SMALL:        # for WriteResponseFile
            file = _File(source.Open(path))
        else:
            return plain(source, path, start, length, connection)
        return _Body(file, start, length, connection)

    def WriteFile(response, code, headers, contentType, source, path, *args):
        try:
            return write(response, code, headers, contentType, source, path, *args)
        except _Changed:                        # its length and its validators are others
            return server.SendFile(response, source, path, contentType, headers)
    server.FileBody, server.WriteFile = FileBody, WriteFile
