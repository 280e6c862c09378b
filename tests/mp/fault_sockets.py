# Sockets that fail on request, on both runtimes. Call Install(core) before a server is started; then Fail(kind, at,
# errno) makes the at-th next call of this kind fail, and `times - 1` calls after it.

import socket as _real
import sys

_MICROPYTHON = sys.implementation.name == "micropython"


class _Plan:
    kind = None
    at = errno = left = count = 0


plan = _Plan()
listeners = []
_dead = []


def Fail(kind, at, errno, times=1):
    plan.kind = None
    plan.at, plan.errno, plan.left, plan.count = at, errno, times, 0
    plan.kind = kind


def KillListeners():
    """The current listening sockets stop working, as if the network they were made for had disappeared."""
    _dead.extend(listeners)
    if not _MICROPYTHON:
        for listener in listeners:
            listener.shutdown(_real.SHUT_RDWR)


def _Check(kind):
    if kind == plan.kind:
        plan.count += 1
        if plan.left and plan.count >= plan.at:
            plan.left -= 1
            raise OSError(plan.errno, "injected")


def _CheckAccept(sock):
    for dead in _dead:
        if dead is sock:
            raise OSError(107, "injected")      # ENOTCONN
    _Check("accept")


if _MICROPYTHON:
    import io

    class FaultySocket(io.IOBase):
        """A socket that wraps another one and is polled instead of it."""

        def __init__(self, family=2, kind=1, proto=0, sock=None):
            self._sock = sock or _real.socket(family, kind, proto)

        def __getattr__(self, name):
            return getattr(self._sock, name)

        def listen(self, backlog):
            listeners.append(self)
            self._sock.listen(backlog)

        def ioctl(self, request, arg):
            return self._sock.fileno() if request == 10 else 0      # MP_STREAM_GET_FILENO

        def accept(self):
            _CheckAccept(self)
            sock, address = self._sock.accept()
            return FaultySocket(sock=sock), address

        def readinto(self, buffer):
            _Check("recv")
            return self._sock.readinto(buffer)

        def recv(self, size):
            _Check("recv")
            return self._sock.recv(size)

        def write(self, data):
            _Check("send")
            return self._sock.write(data)

        def close(self):
            self._sock.close()
else:
    class FaultySocket(_real.socket):
        def listen(self, *args):
            listeners.append(self)
            super().listen(*args)

        def accept(self):
            _CheckAccept(self)
            number, address = self._accept()
            sock = FaultySocket(self.family, self.type, self.proto, fileno=number)
            sock.setblocking(False)
            return sock, address

        def recv(self, *args):
            _Check("recv")
            return super().recv(*args)

        def send(self, *args):
            _Check("send")
            return super().send(*args)

        def sendmsg(self, *args):
            _Check("send")
            return super().sendmsg(*args)


class _Module:
    """The module socket with another socket class."""

    socket = FaultySocket

    def __getattr__(self, name):
        return getattr(_real, name)


def Install(core):
    core.socket = _Module()
    core._Listener = FaultySocket
