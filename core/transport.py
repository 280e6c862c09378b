# One socket: reading and writing bytes. All code here runs on the thread of the poll loop.

import os
import select
import socket
import sys
import time

from .connection import WANT_BYTES, WANT_TURN
from .text import BOARD, MICROPYTHON, const

POLL_IN = const(1)              # same value for poll and epoll on every system
POLL_OUT = const(4)
_BACKLOG = 16 if BOARD else 511
_UNSENT_MAX = const(131072)
_SHORT = const(512)             # a copy of so few bytes takes less time than to ask whether the endpoint needs it


if not BOARD:
    INHERITS = sys.platform == "linux"          # accepted sockets inherit the listener's options

    def Prepare(listener):
        """Set the options that connections inherit."""
        # TCP_NODELAY: small responses are sent at once. TCP_NOTSENT_LOWAT: without it Linux reports room only when a
        # third of the send buffer (megabytes) is free, which takes a slow reader a minute; with it every read of the
        # client is noticed.
        try:
            listener.setsockopt(6, 1, 1)        # IPPROTO_TCP, TCP_NODELAY
            listener.setsockopt(6, getattr(socket, "TCP_NOTSENT_LOWAT", 25), _UNSENT_MAX)
        except OSError:                         # not Linux
            pass


if not MICROPYTHON:
    class _Listener(socket.socket):
        """accept() reads these two attributes each time, and the properties of socket.socket are slow."""

        family = socket.AF_INET
        type = socket.SOCK_STREAM


def RandomPort():
    """A port that may be free. MicroPython has no getsockname() to find out which port the system chose for 0."""
    return 49152 + int.from_bytes(os.urandom(2), "little") % 16384


def Address(bindIP, port):
    """-> (family, …, argument of bind())."""
    return socket.getaddrinfo(bindIP or "0.0.0.0", port, 0, socket.SOCK_STREAM)[0]


def Listen(port, bindIP):
    """-> (listening socket, port); port 0: a free one. OSError if the address can't be bound."""
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
    NewPoll = getattr(select, "poll", None)     # has register, modify, unregister and ipoll(ms)

    # Functions that run before an event's bytes are allocated must have frames of at most eleven words. MicroPython
    # allocates larger frames on the heap, and once they are freed it searches for memory from there, past everything
    # allocated since.
    def _Receive(link):
        """Received bytes; 0 at the end of the stream, None if there are none now."""
        inbox = link.server.inbox
        size = link.sock.readinto(inbox)
        if not size:
            return size
        data = inbox[:size]
        return data if size > _SHORT and hasattr(link.endpoint, "ReadsView") else bytes(data)

    def Elapsed(start=0):
        """Milliseconds since `start`, an earlier value of Elapsed()."""
        return time.ticks_diff(time.ticks_ms(), start) if start else time.ticks_ms()
else:
    def _Receive(link):
        """Received bytes; b'' at the end of the stream, None if there are none now."""
        try:
            return link.sock.recv(len(link.server.inbox))
        except BlockingIOError:
            return None

    class _Selector:
        """The interface of epoll over kqueue, poll or select."""

        def __init__(self):
            from selectors import DefaultSelector
            self._selector = DefaultSelector()
            self.close = self._selector.close
            self.fileno = getattr(self._selector, "fileno", None)

        def register(self, number, mask):
            # Selectors refuse an empty mask, so such sockets are not registered.
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
        """Milliseconds since `start`, an earlier value of Elapsed()."""
        return int(time.monotonic() * 1000) - start

# The key of a socket in the poll object and in the table of links.
Key = id if MICROPYTHON else lambda sock: sock.fileno()

if not BOARD:
    class Wake:
        """Wakes the poll loop from any thread: a datagram to its own socket."""

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
            except OSError:                     # the queue is full, so the loop will wake anyway
                pass

        def Clear(self):
            try:
                self.sock.recv(64)
            except OSError:
                pass


def _IsWritable(sock, timeoutMs):
    if not MICROPYTHON and not hasattr(select, "poll"):     # Windows; elsewhere select() is limited to 1,024 sockets
        return bool(select.select((), (sock,), (), timeoutMs / 1000)[1])
    poll = select.poll()
    poll.register(sock, POLL_OUT)
    return bool(poll.poll(timeoutMs))


class Link:
    """One connection, as its endpoint sees it."""

    want = WANT_BYTES       # what the endpoint waits for when nothing is queued
    out = None              # queued bytes, a bytearray
    deadline = None         # for the next progress in sending
    paid = 0                # time until which the accepted bytes allow the client to pause; in 1/64 s
    isClosing = False
    isSecure = False        # True with TLS
    watched = None          # mask in the poll object; None: not registered

    def __init__(self, server, sock, address):
        self.server = server
        self.sock = sock
        self.address = address
        self.endpoint = None
        self.isDead = False     # allocated now: at the end there may be no memory
        if not MICROPYTHON:
            self.out = None     # CPython reads it faster here than from the class

    def GetAddr(self):
        address = self.address
        if BOARD or isinstance(address, tuple):
            return address[:2]
        address = socket.sockaddr(address)      # packed, on MicroPython's unix port
        return socket.inet_ntop(address[0], address[1]), address[2]

    def Backlog(self):
        return len(self.out) if self.out else 0

    def Send(self, data):
        """Send what the socket accepts now, queue the rest."""
        if self.isDead:
            return
        if self.out:
            if not self.isClosing:
                self.out += data
            return
        size = self.Take(data)
        if size < len(data) and not self.isDead:
            try:
                self.out = bytearray(data[size:])
            except MemoryError:                 # the rest is lost, so nothing may follow
                self.Abort()
                raise
            self.deadline = self._Due()
            self.Watch()

    def _Due(self):
        """The time by which the socket must accept more."""
        # A client may read megabytes at once and then nothing for a minute (curl --limit-rate): each 64 KiB allow a
        # second of pause, up to eight times SendTimeoutSec.
        return max(self.paid // 64, self.server.now) + self.server.SendTimeoutSec

    def Take(self, data, send=None):
        """Send -> the number of bytes that the socket accepted. send: instead of the socket's, on CPython."""
        try:
            size = (self.sock.write(data) or 0) if MICROPYTHON else (send or self.sock.send)(data)
            if size > 1023:
                now = self.server.now * 64
                self.paid = min(max(self.paid, now) + (size >> 10), now + self.server.SendTimeoutSec * 512)
            return size
        except OSError as error:
            if MICROPYTHON or not isinstance(error, BlockingIOError):
                self.Abort()
        except MemoryError:                     # the bytes may have been sent, and must not be sent twice
            self.Abort()
            raise
        return 0

    def Watch(self):
        """Update the mask in the poll object."""
        want = POLL_OUT if self.out else self.want
        watched = self.watched
        if want != watched and not self.isDead:
            if watched is None:
                self.server.poll.register(self.sock, want)
            else:
                self.server.poll.modify(self.sock, want)
            self.watched = want

    def Want(self, want):
        """Set what the endpoint waits for when nothing is queued: WANT_BYTES, WANT_TURN or WANT_NOTHING."""
        self.want = want
        if not self.out:                        # a turn comes when the socket is writable
            self.deadline = self._Due() if want == WANT_TURN else None
        self.Watch()

    def OnEvent(self, event):
        """The socket is ready. The caller handles an OSError."""
        if event & POLL_IN:
            data = _Receive(self)
            if data:
                self.endpoint.OnReceived(data)
            elif data is not None and not self.endpoint.OnEnd():
                self.Close()
        elif event & POLL_OUT:
            self.OnWritable()
        else:                                   # the connection is broken
            self.Abort()

    def Look(self):
        """Read now what has arrived: a long-running handler asks whether the client has left."""
        self.server.OnEvent(Key(self.sock), POLL_IN)

    def OnWritable(self):
        out = self.out
        if out:
            size = self.Take(out)
            if not size:
                return
            self.deadline = self._Due()
            out[:size] = b""                    # in place: there may be no memory for a copy
            if out:
                return
            self.out = self.deadline = None
            if self.isClosing:
                return self.Abort()
        elif MICROPYTHON and self.want == WANT_BYTES | WANT_TURN:
            return self.Close()
        else:
            self.want = WANT_BYTES              # this is the turn
            self.deadline = None
        self.endpoint.OnDrained()
        self.Watch()

    def Settle(self, most, patienceMs):
        """Block until at most `most` bytes are queued -> milliseconds of patience left; 0: the client left or is too
        slow."""
        start = Elapsed()
        while self.Backlog() > most and not self.isDead:
            left = patienceMs - Elapsed(start)
            if left <= 0 or not _IsWritable(self.sock, left):
                self.Abort()
            else:
                self.OnWritable()
        return 0 if self.isDead else max(1, patienceMs - Elapsed(start))

    def Close(self):
        """Close when the queue is empty."""
        if self.out:
            self.isClosing = True
        else:
            self.Abort()

    def Finish(self, isWhole=False):
        """Call after the last response, and again when it was sent: end the sending side and read until the client
        closes. MicroPython has no shutdown() to tell the client of the end, so with isWhole (no content is unread) the
        link closes as soon as nothing is left to read."""
        if not self.out:
            if not MICROPYTHON:
                try:
                    self.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    return self.Abort()
            self.Want(WANT_BYTES | WANT_TURN if MICROPYTHON and isWhole else WANT_BYTES)

    def Abort(self):
        """Close now."""
        if not self.isDead:
            self.isDead = True
            if self.out:
                self.out = None
            try:
                if self.watched is not None:
                    self.server.poll.unregister(self.sock)
                self.server.Forget(self)
            finally:                            # Forget() may raise MemoryError
                self.sock.close()
                self.endpoint.OnLost()
