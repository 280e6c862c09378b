"""TRANSPORT: the tables of mp/room_transport.py, on both runtimes; and real sockets in this process."""

import contextlib
import os
import select
import socket
import time

import microWebSrv
import pytest
from http_tools import CheckRow, RoomTest


@RoomTest("transport")
def test_transport(interpreter, row):
    CheckRow(interpreter, row)


def _Files():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


# -- listening

@pytest.mark.parametrize("bindIP", ["127.0.0.1", "", "localhost", "0.0.0.0"])
def test_listening(bindIP):
    """A port can be used again right after a connection on it has ended; accept never blocks."""
    with microWebSrv.Listen(0, bindIP)[0] as listener:
        port = listener.getsockname()[1]
        assert listener.getsockname()[0] == ("0.0.0.0" if bindIP in ("", "0.0.0.0") else "127.0.0.1")
        assert listener.type == socket.SOCK_STREAM and not listener.getblocking()
        with pytest.raises(BlockingIOError):
            listener.accept()
        with socket.create_connection(("127.0.0.1", port)) as client:
            select.select([listener], [], [], 5)
            server, _ = listener.accept()
            server.close()                      # first, since the port of this side waits for the other side's end
            assert client.recv(1) == b""
    again, number = microWebSrv.Listen(port, "127.0.0.1")
    again.close()
    assert number == port


@pytest.mark.skipif(not microWebSrv.INHERITS, reason="of Linux")
def test_what_connections_have_of_their_listener():
    """Small responses don't wait for each other, and each read of a slow client is reported."""
    with microWebSrv.Listen(0, "127.0.0.1")[0] as listener, socket.create_connection(listener.getsockname()):
        select.select([listener], [], [], 5)
        with listener.accept()[0] as server:
            assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert server.getsockopt(socket.IPPROTO_TCP, 25) == 131072


def test_a_crowd_waits_in_the_backlog():
    """Sixteen clients connect at once before any is accepted."""
    clients = []
    with microWebSrv.Listen(0, "127.0.0.1")[0] as listener:
        try:
            for _ in range(16):
                clients.append(socket.create_connection(listener.getsockname(), timeout=5))
        finally:
            for client in clients:
                client.close()


def test_an_address_that_cannot_be_had():
    before = _Files()
    with microWebSrv.Listen(0, "127.0.0.1")[0] as listener:
        with pytest.raises(OSError) as error:
            microWebSrv.Listen(listener.getsockname()[1], "127.0.0.1")
        assert error.value.errno == 98
    with pytest.raises(OSError):
        microWebSrv.Listen(0, "203.0.113.7")    # an address that this machine does not have
    assert _Files() == before


# -- the poll object where there is no epoll

def _Pair():
    one, other = socket.socketpair()
    one.setblocking(False)
    return one, other


@pytest.mark.parametrize("kind", ["NewPoll", "_Selector"])
def test_both_poll_objects_say_the_same(kind):
    poll = getattr(microWebSrv, kind)()
    one, other = _Pair()
    number = one.fileno()
    try:
        poll.register(number, 1)
        assert list(poll.poll(0)) == []
        other.send(b"x")
        assert list(poll.poll(1)) == [(number, 1)]
        poll.modify(number, 4)
        assert list(poll.poll(1)) == [(number, 4)]
        poll.modify(number, 5)
        assert list(poll.poll(1)) == [(number, 5)]
        poll.modify(number, 0)
        assert list(poll.poll(0)) == []
        poll.modify(number, 1)
        assert list(poll.poll(1)) == [(number, 1)]
        one.recv(1)
        assert list(poll.poll(0)) == []
        poll.modify(number, 0)
        poll.unregister(number)
        poll.register(number, 4)
        assert list(poll.poll(1)) == [(number, 4)]
        assert poll.fileno() >= 0               # asyncio watches it as one reader
        poll.unregister(number)
        assert list(poll.poll(0)) == []
    finally:
        poll.close()
        one.close()
        other.close()


def test_a_poll_object_that_is_closed_leaves_nothing():
    before = _Files()
    for kind in ("NewPoll", "_Selector"):
        getattr(microWebSrv, kind)().close()
    assert _Files() == before


# -- the clock and the wake-up

def test_milliseconds(monkeypatch):
    class Time:
        now = 12.5

        @staticmethod
        def monotonic():
            return Time.now
    monkeypatch.setattr(microWebSrv, "time", Time)
    start = microWebSrv.Elapsed()
    assert start == 12500
    Time.now = 13.0009
    assert microWebSrv.Elapsed(start) == 500 and isinstance(microWebSrv.Elapsed(), int)


def test_a_wake_up_is_a_datagram_to_itself():
    wake = microWebSrv.Wake()
    try:
        assert not wake.sock.getblocking()
        assert wake.sock.getsockname()[0] == "127.0.0.1" and 49152 <= wake.sock.getsockname()[1] < 65536
        wake.Clear()                            # nothing was received
        for _ in range(3):
            wake.Set()
        assert select.select([wake.sock], [], [], 5)[0]
        for _ in range(3):
            wake.Clear()
        assert not select.select([wake.sock], [], [], 0)[0]
        for _ in range(10000):                  # until its queue is full, and more
            wake.Set()
    finally:
        wake.sock.close()
    wake.Set()                                  # from a thread that is late
    wake.Clear()


@pytest.mark.parametrize("busy, isFound", [(0, True), (49, True), (50, False)])
def test_ports_that_are_taken_are_left(monkeypatch, busy, isFound):
    """After fifty attempts it gives up."""
    tries = []
    made = set()

    class Socket(socket.socket):
        def bind(self, address):
            tries.append(address[1])
            made.add(self)
            if len(tries) <= busy:
                raise OSError(98, "played")
            super().bind(address)
    monkeypatch.setattr(microWebSrv.socket, "socket", Socket)
    if isFound:
        microWebSrv.Wake().sock.close()
        assert len(tries) >= busy + 1
    else:
        with pytest.raises(OSError, match="no local port is free"):
            microWebSrv.Wake()
        assert len(tries) == 50
        made.pop().close()
    assert all(49152 <= port < 65536 for port in tries)


def test_the_whole_range_of_ports(monkeypatch):
    ports = []

    class Socket(socket.socket):
        def bind(self, address):
            ports.append(address[1])
    monkeypatch.setattr(microWebSrv.socket, "socket", Socket)
    for data in (b"\0\0", b"\1\0", b"\0\1", b"\xff\x3f", b"\0\x40", b"\xff\xff"):
        monkeypatch.setattr(microWebSrv.os, "urandom", lambda size, data=data: data[:size])
        microWebSrv.Wake().sock.close()
    assert ports == [49152, 49153, 49408, 65535, 49152, 65535]


# -- a link on a real socket

class Endpoint:
    def __init__(self):
        self.calls = []

    def OnReceived(self, data):
        self.calls.append(data)

    def OnEnd(self):
        self.calls.append("end")

    def OnLost(self):
        self.calls.append("lost")

    def OnDrained(self):
        self.calls.append("drained")


class Server:
    now = 0
    SendTimeoutSec = 20
    inbox = memoryview(bytearray(4096))

    def __init__(self):
        self.poll = microWebSrv.NewPoll()
        self.links = {}
        self.forgotten = []

    def OnEvent(self, key, event):
        self.links[key].OnEvent(event)

    def Forget(self, link):
        self.forgotten.append(link)


@contextlib.contextmanager
def Played():
    """-> (server, link, the client's socket)."""
    server = Server()
    one, other = _Pair()
    link = microWebSrv.Link(server, one, ("127.0.0.1", 1))
    link.endpoint = Endpoint()
    server.links[microWebSrv.Key(one)] = link
    try:
        yield server, link, other
    finally:
        other.close()
        link.Abort()
        server.poll.close()


def test_a_link_reads_and_writes():
    with Played() as (server, link, other):
        link.OnEvent(1)                             # there is nothing to receive
        other.send(b"hello")
        link.Look()
        link.Send(b"answer")
        assert other.recv(100) == b"answer"
        other.shutdown(socket.SHUT_WR)
        link.Look()
        assert link.endpoint.calls == [b"hello", "end", "lost"] and server.forgotten == [link]
        assert link.sock.fileno() < 0


def test_a_link_waits_for_room():
    """A megabyte for a client that reads late: nothing is lost, and the wait ends as soon as there is room."""
    with Played() as (_, link, other):
        data = bytes(range(256)) * 4096
        link.Send(data)
        assert 0 < link.Backlog() < len(data) and link.watched == 4
        assert not microWebSrv._IsWritable(link.sock, 1)
        start = time.monotonic()
        assert link.Settle(0, 50) == 0 and link.isDead and time.monotonic() - start < 5
        got = b""
        while piece := other.recv(1 << 20):
            got += piece
        assert data.startswith(got) and len(got) > 1000


def test_a_link_settles():
    with Played() as (_, link, other):
        data = bytes(range(256)) * 4096
        link.Send(data)
        got = b""
        while link.Backlog():
            got += other.recv(1 << 20)
            assert link.Settle(max(0, link.Backlog() - 1), 5000) > 0
        other.settimeout(0.2)
        try:
            while len(got) < len(data):
                got += other.recv(1 << 20)
        except socket.timeout:
            pass
        assert got == data and link.endpoint.calls == ["drained"]


@pytest.mark.parametrize("hasPoll", [True, False])
def test_is_there_room(monkeypatch, hasPoll):
    """With poll; on Windows with select."""
    if not hasPoll:
        monkeypatch.delattr(microWebSrv.select, "poll")
    one, other = _Pair()
    try:
        assert microWebSrv._IsWritable(one, 1000) is True
        try:
            while True:
                one.send(b"x" * 65536)
        except BlockingIOError:
            pass
        start = time.monotonic()
        assert microWebSrv._IsWritable(one, 100) is False
        assert 0.05 < time.monotonic() - start < 5
    finally:
        one.close()
        other.close()
