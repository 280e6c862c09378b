# The room transport: one link between a simulated socket and endpoint, and its poll loop.

import microWebSrv as core


class Socket:
    """A client's socket: it takes `room` bytes; `arrives` has the pieces to receive (b'': the end)."""

    def __init__(self, calls):
        self.calls = calls
        self.room = 1 << 30
        self.arrives = []
        self.sent = b""
        self.error = None

    def send(self, data):
        if self.error:
            raise self.error
        data = bytes(data)[:self.room]
        if not data:
            raise BlockingIOError(11, "no room")
        self.room -= len(data)
        self.sent += data
        return len(data)

    def write(self, data):                  # used on MicroPython
        try:
            return self.send(data)
        except OSError as error:
            if error.errno != 11:
                raise

    def recv(self, size):
        if self.error:
            raise self.error
        if not self.arrives:
            raise BlockingIOError(11, "nothing")
        return self.arrives.pop(0)

    def readinto(self, buffer):
        try:
            data = self.recv(len(buffer))
        except OSError as error:
            if error.errno != 11:
                raise
            return None
        buffer[:len(data)] = data
        return len(data)

    def shutdown(self, how):
        self.calls.append("shutdown %d" % how)
        if self.error:
            raise self.error

    def close(self):
        self.calls.append("closed")


if core.MICROPYTHON:
    BlockingIOError = OSError                # MicroPython has no BlockingIOError


class Poll:
    def __init__(self, calls):
        self.calls = calls

    def register(self, sock, want):
        self.calls.append("watch %d" % want)

    def modify(self, sock, want):
        self.calls.append("watch %d" % want)

    def unregister(self, sock):
        self.calls.append("unwatch")


class Server:
    now = 100
    SendTimeoutSec = 20

    def __init__(self, calls):
        self.calls = calls
        self.poll = Poll(calls)
        self.inbox = memoryview(bytearray(64))

    def Forget(self, link):
        self.calls.append("forgotten")


class Endpoint:
    """Records its calls. waits: the result of OnEnd; drained: what it does in OnDrained."""

    waits = False
    drained = None

    def __init__(self, calls):
        self.calls = calls

    def OnReceived(self, data):
        self.calls.append(b"in " + bytes(data))

    def OnDrained(self):
        self.calls.append("drained")
        if self.drained:
            self.drained()

    def OnEnd(self):
        self.calls.append("end")
        return self.waits

    def OnLost(self):
        self.calls.append("lost")


def Steps(*steps):
    """-> for each "look": the calls, the bytes sent, the bytes queued, seconds to the deadline."""
    calls = []
    sock = Socket(calls)
    server = Server(calls)
    link = core.Link(server, sock, ("1.2.3.4", 5))
    link.endpoint = endpoint = Endpoint(calls)
    seen = []
    for step in steps:
        what, value = step if isinstance(step, tuple) else (step, None)
        if what == "look":
            seen.append((list(calls), sock.sent, link.Backlog(), link.deadline and link.deadline - server.now))
            _Forget(calls)
            sock.sent = b""
        elif what == "in":
            sock.arrives.append(value)
            link.OnEvent(1)
        elif what == "event":
            link.OnEvent(value)
        elif what == "send":
            link.Send(value)
        elif what == "room":
            sock.room = value
        elif what == "broken":
            sock.error = OSError(104, "reset")
        elif what == "time":
            server.now = 100 + value
        elif what == "waits":
            endpoint.waits = True
        elif what == "answers":
            endpoint.drained = lambda value=value: link.Send(value)
        elif what == "want":
            link.Want(value)
        elif what == "finish":
            link.Finish(value)
            if core.MICROPYTHON and link.want == 5 and not link.out:
                calls[-1:] = ["shutdown 1"]     # MicroPython has none, and closes at its next turn
        else:
            {"close": link.Close, "abort": link.Abort, "watch": link.Watch}[what]()
    return seen


def _Forget(calls):
    calls[:] = []


_LOST = ["unwatch", "forgotten", "closed", "lost"]

STEPS = [
    # input is passed to the endpoint, and output is sent at once, without the poll loop
    (("watch", "look", ("in", b"hello"), ("send", b"answer"), "look"),
     [(["watch 1"], b"", 0, None), ([b"in hello"], b"answer", 0, None)]),
    # there was nothing to receive
    (("watch", ("event", 1), "look"), [(["watch 1"], b"", 0, None)]),
    # bytes that the socket does not take are queued in order, with a deadline that each progress renews
    (("watch", ("room", 3), ("send", b"abcdef"), ("send", b"ghi"), "look", ("time", 5), ("room", 4), ("event", 4), "look",
      ("time", 7), ("event", 4), "look", ("room", 9), ("event", 4), "look"),
     [(["watch 1", "watch 4"], b"abc", 6, 20), ([], b"defg", 2, 20), ([], b"", 2, 18), (["drained", "watch 1"], b"hi", 0, None)]),
    # the socket takes nothing at first
    (("watch", ("room", 0), ("send", b"abc"), "look", ("room", 9), ("event", 4), "look"),
     [(["watch 1", "watch 4"], b"", 3, 20), (["drained", "watch 1"], b"abc", 0, None)]),
    # while bytes are queued, the endpoint's wants have to wait
    (("watch", ("room", 0), ("send", b"a"), ("want", 0), "look", ("room", 9), ("event", 4), "look"),
     [(["watch 1", "watch 4"], b"", 1, 20), (["drained", "watch 0"], b"a", 0, None)]),
    # a turn: the endpoint is called once when there is room, and may send then
    (("watch", ("want", 4), "look", ("event", 4), "look"),
     [(["watch 1", "watch 4"], b"", 0, 20), (["drained", "watch 1"], b"", 0, None)]),
    (("watch", ("answers", b"more"), ("want", 4), ("event", 4), "look"),
     [(["watch 1", "watch 4", "drained", "watch 1"], b"more", 0, None)]),
    (("watch", ("answers", b"more"), ("room", 0), ("want", 4), ("event", 4), "look"),
     [(["watch 1", "watch 4", "drained"], b"", 4, 20)]),
    (("watch", ("want", 4), ("want", 1), "look"), [(["watch 1", "watch 4", "watch 1"], b"", 0, None)]),
    (("watch", ("want", 4), ("want", 0), "look"), [(["watch 1", "watch 4", "watch 0"], b"", 0, None)]),
    # the client's end: the link closes, unless a response is pending
    (("watch", ("in", b""), "look"), [(["watch 1", "end"] + _LOST, b"", 0, None)]),
    (("watch", "waits", ("in", b""), "look", ("send", b"answer"), "look"),
     [(["watch 1", "end"], b"", 0, None), ([], b"answer", 0, None)]),
    # Close() first sends the queued bytes; then the link is closed, and nothing may follow
    (("watch", "close", "look", ("send", b"late"), "abort", "close", "look"), [(["watch 1"] + _LOST, b"", 0, None), ([], b"", 0, None)]),
    (("watch", ("room", 2), ("send", b"abc"), "close", ("send", b"late"), "look", ("room", 9), ("event", 4), "look"),
     [(["watch 1", "watch 4"], b"ab", 1, 20), (_LOST, b"c", 0, None)]),
    (("watch", ("room", 2), ("send", b"abc"), "close", ("room", 0), ("event", 4), "look"),
     [(["watch 1", "watch 4"], b"ab", 1, 20)]),
    # Abort() closes at once, and only once
    (("watch", ("room", 2), ("send", b"abc"), "abort", "abort", "look", ("room", 9), "watch", ("send", b"x"), "look"),
     [(["watch 1", "watch 4"] + _LOST, b"ab", 0, 20), ([], b"", 0, 20)]),
    # a link that was never registered
    (("abort", "look"), [(["forgotten", "closed", "lost"], b"", 0, None)]),
    # the connection is broken
    (("watch", ("event", 8), "look"), [(["watch 1"] + _LOST, b"", 0, None)]),
    (("watch", ("event", 16), "look"), [(["watch 1"] + _LOST, b"", 0, None)]),
    (("watch", "broken", ("send", b"abc"), "look"), [(["watch 1"] + _LOST, b"", 0, None)]),
    (("watch", ("room", 0), ("send", b"abc"), "broken", ("event", 4), "look"), [(["watch 1", "watch 4"] + _LOST, b"", 0, 20)]),
    # Finish(): the sending side is closed after the queued bytes, and further input is read
    (("watch", ("finish", True), "look", ("in", b"rest"), "look"),
     [(["watch 1", "shutdown 1"], b"", 0, None), ([b"in rest"], b"", 0, None)]),
    (("watch", ("room", 0), ("send", b"abc"), ("finish", True), "look"), [(["watch 1", "watch 4"], b"", 3, 20)]),
]


def Finish(isWhole):
    """The mask after the last response, and the effect of the next turn. MicroPython has no shutdown: after a complete
    request it closes as soon as nothing is left to read, after an incomplete one it reads on."""
    calls = []
    link = core.Link(Server(calls), Socket(calls), ("1.2.3.4", 5))
    link.endpoint = Endpoint(calls)
    link.Watch()
    link.Want(0)
    link.Finish(isWhole)
    wants = link.watched
    if wants & 4:
        link.OnEvent(4)
    if core.MICROPYTHON:
        return (wants, link.isDead) == ((5, True) if isWhole else (1, False))
    return (wants, link.isDead, "shutdown 1" in calls) == (1, False, True)


def FinishBroken():
    """The client left before the shutdown."""
    calls = []
    sock = Socket(calls)
    link = core.Link(Server(calls), sock, ("1.2.3.4", 5))
    link.endpoint = Endpoint(calls)
    sock.error = OSError(107, "not connected")
    link.Finish(True)
    return link.isDead != core.MICROPYTHON


FINISH = [((True,), True), ((False,), True)]


def Settle(most, patienceMs, room, everyMs):
    """A client takes `room` bytes each time, which takes everyMs -> (patience left, bytes queued, True if aborted)."""
    calls = []
    clock = [1000]
    sock = Socket(calls)
    link = core.Link(Server(calls), sock, ("1.2.3.4", 5))
    link.endpoint = Endpoint(calls)
    sock.room = 0
    link.Send(b"x" * 100)

    def Elapsed(start=0):
        return clock[0] - start

    def IsWritable(_, timeoutMs):
        clock[0] += min(everyMs, timeoutMs)
        sock.room = room
        return everyMs <= timeoutMs
    kept = core.Elapsed, core._IsWritable
    core.Elapsed, core._IsWritable = Elapsed, IsWritable
    try:
        left = link.Settle(most, patienceMs)
        return left, link.Backlog(), link.isDead
    finally:
        core.Elapsed, core._IsWritable = kept


def NoMemory(where):
    """No memory for a send, before the socket took some bytes or after: they may have been sent, so they must not be
    sent twice."""
    calls = []
    sock = Socket(calls)
    link = core.Link(Server(calls), sock, ("1.2.3.4", 5))
    link.endpoint = Endpoint(calls)
    link.Watch()

    def Full(*args):
        raise MemoryError

    def Raises(data):
        raise MemoryError
    try:
        if where == "send":
            sock.send = sock.write = Raises
        else:
            sock.room = 3
            core.bytearray = Full
        link.Send(b"abcdef")
    except MemoryError:
        calls.append("raised")
    finally:
        if where != "send":
            del core.bytearray
    return calls, link.Backlog(), sock.sent, link.isDead


NO_MEMORY = [
    (("send",), (["watch 1"] + _LOST + ["raised"], 0, b"", True)), (("rest",), (["watch 1"] + _LOST + ["raised"], 0, b"abc", True)),
]

SETTLE = [
    # (maximum of queued bytes, patience, bytes for each turn, milliseconds for each turn)
    ((100, 2000, 10, 100), (2000, 100, False)),
    ((99, 2000, 10, 100), (1900, 90, False)),
    ((50, 2000, 10, 100), (1500, 50, False)),
    ((0, 2000, 10, 100), (1000, 0, False)),
    ((0, 2000, 100, 100), (1900, 0, False)),
    ((0, 1000, 10, 99), (10, 0, False)),
    # one millisecond is left: 0 would mean that the client has left
    ((0, 100, 100, 100), (1, 0, False)),
    ((0, 1000, 10, 100), (1, 0, False)),
    # too slow: the total wait counts
    ((0, 999, 10, 100), (0, 0, True)),
    ((0, 2000, 1, 100), (0, 0, True)),
    ((0, 50, 100, 100), (0, 0, True)),
    ((0, 0, 100, 1), (0, 0, True)),
    ((0, 0, 100, 0), (0, 0, True)),
    ((0, 2, 50, 1), (1, 0, False)),
]


def SettleDead():
    calls = []
    link = core.Link(Server(calls), Socket(calls), ("1.2.3.4", 5))
    link.endpoint = Endpoint(calls)
    link.Abort()
    return link.Settle(10, 2000)


def Received(size, readsView, isView):
    """The endpoint gets the bytes. isView: on MicroPython they are a view of the inbox, which the next read changes."""
    received = []
    sock = Socket([])
    server = Server([])
    server.inbox = memoryview(bytearray(1000))
    link = core.Link(server, sock, ("1.2.3.4", 5))
    link.endpoint = endpoint = Endpoint([])
    endpoint.OnReceived = received.append
    if readsView:
        endpoint.ReadsView = True
    content = bytes([number % 255 + 1 for number in range(size)])
    sock.arrives.append(content)
    link.OnEvent(1)
    isRight = bytes(received[0]) == content
    server.inbox[:] = bytes(1000)
    return isRight and (bytes(received[0]) != content) == (isView and core.MICROPYTHON)


RECEIVED = [
    ((512, True, False), True),
    ((513, True, True), True),
    ((513, False, False), True),
    ((1000, True, True), True),
    ((1000, False, False), True),
]


def Address(address):
    return core.Link(None, None, address).GetAddr()


TABLES = [
    ("Steps", Steps, STEPS),
    ("Finish", Finish, FINISH),
    ("FinishBroken", FinishBroken, [((), True)]),
    ("NoMemory", NoMemory, NO_MEMORY),
    ("Settle", Settle, SETTLE),
    ("SettleDead", SettleDead, [((), 0)]),
    ("Received", Received, RECEIVED),
    ("Address", Address, [((("1.2.3.4", 5),), ("1.2.3.4", 5)), ((("::1", 5, 0, 0),), ("::1", 5))]),
]
