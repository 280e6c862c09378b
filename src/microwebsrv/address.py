"""The address where the command listens: its URL, and errors in it."""

from __future__ import annotations

import errno
import random
import socket

from microwebsrv.data import Trouble

_ALL = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}      # the host in a URL for a browser on this computer


def Url(bindIP: str, port: int, scheme: str = "http") -> str:
    host = _ALL.get(bindIP, bindIP)
    return "%s://%s:%d/" % (scheme, "[%s]" % host if ":" in host else host, port)


def Why(error: OSError, bindIP: str, port: int) -> str:
    """Return one line that says why the server can't listen on this port."""
    where = "can't listen on %s, port %d: " % (bindIP or "all addresses", port)
    if isinstance(error, socket.gaierror) or error.errno in (socket.EAI_NONAME, socket.EAI_AGAIN):
        return where + "there is no address or host of this name"
    reasons = {errno.EADDRINUSE: "another program has it; --port 0 takes one that is free",
               errno.EACCES: "ports below 1024 need the rights of an administrator; --port 8080 needs none",
               errno.EADDRNOTAVAIL: "this computer has no such address"}
    return where + reasons.get(error.errno or 0, "%s" % (error.strerror or error))


def Bound(bindIP: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address, or raise OSError."""
    family, kind, _, _, address = socket.getaddrinfo(bindIP or "0.0.0.0", port, 0, socket.SOCK_STREAM)[0]
    one = socket.socket(family, kind)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address)
    except BaseException:
        one.close()
        raise
    return one


def IsFree(port: int, bindIP: str) -> bool:
    """True if a server can listen on this port."""
    try:
        Bound(bindIP, port).close()
    except (OSError, UnicodeError):
        return False
    return True


def Check(bindIP: str, port: int | None) -> None:
    """Raise Trouble if a server can't listen on this port. Without a port, only check the address."""
    try:
        Bound(bindIP, port or 0).close()
    except OSError as error:
        isName = isinstance(error, socket.gaierror)
        text = Why(error, bindIP, port or 0)
        raise Trouble(text if port else text.replace(", port 0:", ":"), 2 if isName else 3)
    except UnicodeError:
        raise Trouble("--bind: %r is not an address" % bindIP, 2)


def Free() -> int:
    """Return a free port. It is below the range from which the system takes ports for connections: such a port could be
    taken in the next moment."""
    ports = random.sample(range(10000, 32768), 100)
    return next((port for port in ports if IsFree(port, "")), ports[0])
