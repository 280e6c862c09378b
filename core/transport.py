# One socket as bytes: readable, writable. All of it runs on the thread of the poll loop.

import os
import select
import socket
import sys
import time

from .connection import WANT_BYTES, WANT_TURN
from .text import BOARD, MICROPYTHON, const

POLL_IN = const(1)              # of poll and epoll, on every system
POLL_OUT = const(4)
_BACKLOG = 16 if BOARD else 511
_UNSENT_MAX = const(131072)


if not BOARD:
    INHERITS = sys.platform == "linux"          # connections have the options of their listener

    def Prepare(listener):
        """What its connections inherit. No small answer waits for another one to arrive. And Linux would say that there
        is room again when a third of a buffer of megabytes has left: a minute, for a slow reader. With
        TCP_NOTSENT_LOWAT we hear of each piece that it takes."""
        try:
            listener.setsockopt(6, 1, 1)        # IPPROTO_TCP, TCP_NODELAY
            listener.setsockopt(6, getattr(socket, "TCP_NOTSENT_LOWAT", 25), _UNSENT_MAX)
        except OSError:                         # it is not Linux
            pass


if not MICROPYTHON:
    class _Listener(socket.socket):
        """accept() asks for these two each time, and the properties of Python's sockets are slow."""

        family = socket.AF_INET
        type = socket.SOCK_STREAM


def RandomPort():
    """One that may be free. MicroPython has no getsockname() to ask which one the system would choose for 0."""
    return 49152 + int.from_bytes(os.urandom(2), "little") % 16384


def Address(bindIP, port):
    """-> (family, …, what bind() takes)."""
    return socket.getaddrinfo(bindIP or "0.0.0.0", port, 0, socket.SOCK_STREAM)[0]


def Listen(port, bindIP):
    """-> a listening socket and its port, for 0 a free one; OSError where the address can't be had."""
    listener = None
    for _ in range(1 if port else 20):
        number = port or RandomPort()
        try:
            address = Address(bindIP, number)
            kind = socket.socket if MICROPYTHON or address[0] != socket.AF_INET else _Listener
            listener = kind(address[0], socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not BOARD:
                Prepare(listener)
            listener.bind(address[-1])
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            return listener, number
        except OSError as error:
            if listener:
                listener.close()
            failure = OSError(error.errno, "can't listen on %s, port %d: %s" % (
                bindIP or "all addresses", number, error))
    raise failure


if MICROPYTHON:
    NewPoll = getattr(select, "poll", None)     # an object with register, modify, unregister and ipoll(ms)

    # What runs before the bytes of an event are made has frames of eleven words at most. MicroPython makes a larger one
    # on the heap, and once it is free again looks for memory from there, past all that was allocated since.
    def _Receive(sock, buffer):
        """Bytes; 0 at their end, None if there are none now."""
        size = sock.readinto(buffer)
        return bytes(buffer[:size]) if size else size

    def Elapsed(start=0):
        """Milliseconds since an earlier value of it."""
        return time.ticks_diff(time.ticks_ms(), start) if start else time.ticks_ms()
else:
    def _Receive(sock, buffer):
        """Bytes; b'' at their end, None if there are none now."""
        try:
            return sock.recv(len(buffer))
        except BlockingIOError:
            return None

    class _Selector:
        """What epoll is on Linux, where there is none: kqueue, poll or select."""

        def __init__(self):
            from selectors import DefaultSelector
            self._selector = DefaultSelector()
            self.close = self._selector.close
            self.fileno = getattr(self._selector, "fileno", None)

        def register(self, number, mask):
            # A selector knows no empty mask: what waits for nothing is not in it.
            if mask:
                self._selector.register(number, mask & POLL_IN | (mask & POLL_OUT) >> 1)

        def modify(self, number, mask):
            self.unregister(number)
            self.register(number, mask)

        def unregister(self, number):
            try:
                self._selector.unregister(number)
            except KeyError:
                pass

        def poll(self, timeoutSec):
            return [(key.fd, mask & POLL_IN | (mask & 2) << 1) for key, mask in self._selector.select(timeoutSec)]

    NewPoll = getattr(select, "epoll", _Selector)

    def Elapsed(start=0):
        """Milliseconds since an earlier value of it."""
        return int(time.monotonic() * 1000) - start

# How a socket is called in the poll object and in the table of links.
Key = id if MICROPYTHON else lambda sock: sock.fileno()

if not BOARD:
    class Wake:
        """Wakes the poll loop from any thread: a datagram to itself."""

        def __init__(self):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sock.setblocking(False)
            for _ in range(50):
                self._address = socket.getaddrinfo("127.0.0.1", RandomPort())[0][-1]
                try:
                    self.sock.bind(self._address)
                    break
                except OSError:
                    pass
            else:
                raise OSError("no local port is free")

        def Set(self):
            try:
                self.sock.sendto(b"!", self._address)
            except OSError:                     # its queue is full: the loop will wake
                pass

        def Clear(self):
            try:
                self.sock.recv(64)
            except OSError:
                pass


def _IsWritable(sock, timeoutMs):
    if not MICROPYTHON and not hasattr(select, "poll"):     # Windows; elsewhere select() knows 1,024 sockets
        return bool(select.select((), (sock,), (), timeoutMs / 1000)[1])
    poll = select.poll()
    poll.register(sock, POLL_OUT)
    return bool(poll.poll(timeoutMs))


class Link:
    """One connection, as its endpoint sees it."""

    want = WANT_BYTES       # of the endpoint, while nothing waits to be sent
    out = None              # what the socket did not take yet: a bytearray
    deadline = None         # for the next progress of it
    paid = 0                # until when the bytes that it took have paid for its place: 64ths of a second
    isClosing = False
    isSecure = False        # True under TLS
    watched = None          # what the poll loop looks for; None: it does not know this link

    def __init__(self, server, sock, address):
        self.server = server
        self.sock = sock
        self.address = address
        self.endpoint = None
        self.isDead = False     # has its place from the beginning: at the end there may be no memory for one

    def GetAddr(self):
        address = self.address
        if BOARD or isinstance(address, tuple):
            return address[:2]
        address = socket.sockaddr(address)      # the unix port of MicroPython hands out a packed one
        return socket.inet_ntop(address[0], address[1]), address[2]

    def Backlog(self):
        return len(self.out) if self.out else 0

    def Send(self, data):
        """Queue, and send what the socket takes now."""
        if self.isClosing or self.isDead:
            return
        if self.out:
            self.out += data
            return
        size = self.Take(data)
        if size < len(data) and not self.isDead:
            try:
                self.out = bytearray(data[size:])
            except MemoryError:                 # the rest is lost: nothing may follow it
                self.Abort()
                raise
            self.deadline = self._Due()
            self.Watch()

    def _Due(self):
        """When the next progress has to be seen. A client that takes megabytes at once and then nothing for a minute
        (curl --limit-rate) is no slow one: 64 KiB buy a second, and at most eight times SendTimeoutSec are saved up."""
        return max(self.paid // 64, self.server.now) + self.server.SendTimeoutSec

    def Take(self, data):
        """How many bytes the socket takes."""
        try:
            size = (self.sock.write(data) or 0) if MICROPYTHON else self.sock.send(data)
            if size > 1023:
                now = self.server.now * 64
                self.paid = min(max(self.paid, now) + (size >> 10), now + self.server.SendTimeoutSec * 512)
            return size
        except OSError as error:
            if MICROPYTHON or not isinstance(error, BlockingIOError):
                self.Abort()
        except MemoryError:                     # perhaps it has gone: it must not go twice
            self.Abort()
            raise
        return 0

    def Watch(self):
        """Tell the poll loop what to look for, if that has changed."""
        want = POLL_OUT if self.out else self.want
        watched = self.watched
        if want != watched and not self.isDead:
            if watched is None:
                self.server.poll.register(self.sock, want)
            else:
                self.server.poll.modify(self.sock, want)
            self.watched = want

    def Want(self, want):
        """WANT_BYTES, WANT_TURN or WANT_NOTHING: what the endpoint waits for while nothing waits to be sent."""
        self.want = want
        if not self.out:                        # a turn waits for room in the socket, as bytes do
            self.deadline = self._Due() if want == WANT_TURN else None
        self.Watch()

    def OnEvent(self, event):
        """The socket is ready; an OSError is for the loop."""
        if event & POLL_IN:
            data = _Receive(self.sock, self.server.inbox)
            if data:
                self.endpoint.OnReceived(data)
            elif data is not None and not self.endpoint.OnEnd():
                self.Close()
        elif event & POLL_OUT:
            self.OnWritable()
        else:                                   # the connection is gone
            self.Abort()

    def Look(self):
        """Read now what has come: a handler that works long asks for the client's end."""
        self.server.OnEvent(Key(self.sock), POLL_IN)

    def OnWritable(self):
        out = self.out
        if out:
            size = self.Take(out)
            if not size:
                return
            self.deadline = self._Due()
            out[:size] = b""                    # in place: a copy may find no memory
            if out:
                return
            self.out = self.deadline = None
            if self.isClosing:
                return self.Abort()
        elif MICROPYTHON and self.want == WANT_BYTES | WANT_TURN:
            return self.Close()
        else:
            self.want = WANT_BYTES              # the turn that was wanted is this one
            self.deadline = None
        self.endpoint.OnDrained()
        self.Watch()

    def Settle(self, most, patienceMs):
        """Block until at most so many bytes wait -> the patience left; 0: the client has gone or is too slow."""
        start = Elapsed()
        while self.Backlog() > most and not self.isDead:
            left = patienceMs - Elapsed(start)
            if left <= 0 or not _IsWritable(self.sock, left):
                self.Abort()
            else:
                self.OnWritable()
        return 0 if self.isDead else max(1, patienceMs - Elapsed(start))

    def Close(self):
        """When what waits has left."""
        if self.out:
            self.isClosing = True
        else:
            self.Abort()

    def Finish(self, isWhole=False):
        """The last answer was queued; when it has left the endpoint calls once more. What still comes is read until the
        client closes. MicroPython can't tell the client that this is the end (no shutdown): after a whole request the
        link closes as soon as there is nothing left to read."""
        if not self.out:
            if not MICROPYTHON:
                try:
                    self.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    return self.Abort()
            self.Want(WANT_BYTES | WANT_TURN if MICROPYTHON and isWhole else WANT_BYTES)

    def Abort(self):
        """Now."""
        if not self.isDead:
            self.isDead = True
            if self.out:
                self.out = None
            try:
                if self.watched is not None:
                    self.server.poll.unregister(self.sock)
                self.server.Forget(self)
            finally:                            # Forget lets the listener be watched again, which takes memory
                self.sock.close()
                self.endpoint.OnLost()
