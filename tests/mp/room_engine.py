# The room engine: clients, the clock and calls of other threads, step by step; sockets and the poll object are
# simulated.

import microWebSrv as core

import room_transport


class Client(room_transport.Socket):
    def setblocking(self, flag):
        self.calls.append("blocks %d" % flag)

    def setsockopt(self, *args):
        self.calls.append("option %d %d %d" % args)


class Listener:
    """errors: errnos that the next calls of accept raise."""

    def __init__(self):
        self.waiting = []
        self.errors = []
        self.isClosed = False

    def accept(self):
        if self.errors:
            raise OSError(self.errors.pop(0), "played")
        if not self.waiting:
            raise OSError(11, "nobody")
        return self.waiting.pop(0), ("1.2.3.4", 5)

    def close(self):
        self.isClosed = True


class Wake:
    def __init__(self):
        self.sock = self
        self.count = 0

    def Set(self):
        self.count += 1

    def Clear(self):
        self.count = 0

    def close(self):
        pass


class Poll:
    """The registered sockets and their masks."""

    def __init__(self):
        self.watched = {}
        self.isClosed = False

    def register(self, sock, mask):
        if id(sock) in self.watched:
            raise OSError(17, "twice")
        self.watched[id(sock)] = mask

    def modify(self, sock, mask):
        if id(sock) not in self.watched:
            raise OSError(2, "unknown")
        self.watched[id(sock)] = mask

    def unregister(self, sock):
        del self.watched[id(sock)]

    def close(self):
        self.isClosed = True


class Stream:
    """A response whose pieces never arrive."""

    def __iter__(self):
        return self

    def __next__(self):
        pass


class House:
    """A server, its listener, its named clients, and the clock. A second listener replaces the first if that fails."""

    def __init__(self, settings=()):
        self.ms = 1000
        self.listener = None
        self.listeners = 0
        self.canListen = True
        self.log = []
        self.clients = {}
        self.told = []
        server = self.server = core.MicroWebSrv(port=8080, bindIP="1.2.3.4", webPath="/nowhere")
        server.MaxConnections = 3
        server.Banner = False
        for name in dict(settings):
            setattr(server, name, dict(settings)[name])
        server.ErrorCallback = lambda text, error: self.log.append(text if error is None else "%s: %s" % (text, type(error).__name__))
        server.AddRoute("/now", "GET", lambda client, response: response.WriteResponseOk(None, "text/plain", None, "now"))
        server.AddRoute("/now", "POST", lambda client, response: response.WriteResponseOk(None, "text/plain", None, "now"))
        server.AddRoute("/stream", "GET", lambda client, response: response.WriteResponseStream(Stream()))
        server.AddRoute("/stop", "GET", lambda client, response: server.Stop())
        server.Listen = self.Listen
        self.kept = core.Key, core.NewPoll, core.Elapsed, core.Wake
        core.Key, core.NewPoll, core.Elapsed, core.Wake = id, Poll, self.Elapsed, Wake

    def Restore(self):
        core.Key, core.NewPoll, core.Elapsed, core.Wake = self.kept

    def Listen(self, port, bindIP):
        if not self.canListen:
            raise OSError(98, "in use")
        if (port, bindIP) != (8080, "1.2.3.4"):
            raise ValueError((port, bindIP))
        self.listeners += 1
        self.listener = Listener()
        return self.listener, port

    def Elapsed(self, start=0):
        return self.ms - start

    def Connect(self, name, data=b""):
        """A client connects, with or without data in its first packet."""
        client = self.clients[name] = Client([])
        if data:
            client.arrives.append(data)
        self.listener.waiting.append(client)
        if self.Listens():
            self.server.OnEvent(id(self.listener), 1)

    def Arrive(self, name, data):
        """The data waits in the socket until it is read."""
        client = self.clients[name]
        client.arrives.append(data)
        mask = self.server.poll.watched.get(id(client), 0)
        if mask & 1:
            self.server.OnEvent(id(client), 1)

    def Listens(self):
        return self.server.poll.watched.get(id(self.listener), 0) == 1

    def Tick(self, seconds):
        """-> the value of the last Turn: milliseconds until the next one."""
        wait = None
        for _ in range(seconds):
            self.ms += 1000
            wait = self.server.Turn()
            if self.Listens():
                while self.listener.waiting:
                    self.server.OnEvent(id(self.listener), 1)
        return wait

    def Seen(self):
        """-> ([(name, statuses, closed?)], does it listen?, number of connections, log lines) since the last look."""
        clients = []
        for name in sorted(self.clients):
            client = self.clients[name]
            parts = client.sent.split(b"HTTP/1.1 ")[1:]
            client.sent = b""
            clients.append((name, [int(part[:3]) for part in parts], "closed" in client.calls))
        log = self.log[:]
        self.log[:] = []
        return clients, self.Listens(), len(self.server.links), log


def Steps(settings, *steps):
    house = House(settings)
    server = house.server
    seen = []
    try:
        server.Open()
        server.Enter()
        for step in steps:
            what, *values = step if isinstance(step, tuple) else (step,)
            if what == "look":
                seen.append(house.Seen())
            elif what == "connect":
                house.Connect(*values)
            elif what == "in":
                house.Arrive(*values)
            elif what == "room":
                house.clients[values[0]].room = values[1]
            elif what == "takes":
                house.clients[values[0]].room = 1 << 30
                server.OnEvent(id(house.clients[values[0]]), 4)
            elif what == "event":
                server.OnEvent(id(house.clients[values[0]]), values[1])
            elif what == "tick":
                seen.append(house.Tick(values[0]))
            elif what == "accept":
                house.listener.errors.extend(values)
                for _ in values:
                    if house.Listens():
                        server.OnEvent(id(house.listener), 1)
            elif what == "deaf":
                house.canListen = not values[0]
            elif what == "stop":
                server.Stop()
            elif what == "ms":
                house.ms += values[0]
                seen.append(server.Turn())
            elif what == "listeners":
                seen.append((house.listeners, house.listener.isClosed))
            elif what == "links":
                for link in server.links.values():
                    link.endpoint.OnReceived = values[0]
        return seen
    finally:
        server.Stop()
        server.Leave()
        house.Restore()


NOW = b"GET /now HTTP/1.1\r\nHost: a\r\n\r\n"
STREAM = NOW.replace(b"now", b"stream")
CLOSE = NOW.replace(b"Host: a", b"Host: a\r\nConnection: close")
HALF = b"POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"


def _Raise(error):
    def Received(data):
        raise error
    return Received


STEPS = [
    # a client with data in its first packet, one that sends later, and a silent one
    (((), ("connect", "a", NOW), "look", ("connect", "b"), ("in", "b", NOW), "look", ("connect", "c", CLOSE), "look"),
     [([("a", [200], False)], True, 1, []), ([("a", [], False), ("b", [200], False)], True, 2, []),
      ([("a", [], False), ("b", [], False), ("c", [200], True)], True, 2, [])]),
    # all slots are in use: the client that has been idle longest makes room. The last slot is never kept alive
    (((), ("connect", "a", NOW), ("tick", 1), ("connect", "b", NOW), ("tick", 1), ("connect", "c", NOW), "look", ("connect", "d", NOW),
      ("connect", "e", HALF), ("connect", "f", NOW), "look"),
     [1000, 1000, ([("a", [200], False), ("b", [200], False), ("c", [200], True)], True, 2, []),
      ([("a", [], True), ("b", [], False), ("c", [], True), ("d", [200], True), ("e", [], False), ("f", [200], True)], True, 2, [])]),
    # idle connections make room in the order in which they became idle, whatever their order in the table
    (((("MaxConnections", 4),), ("connect", "a"), ("connect", "b", NOW), ("tick", 1), ("in", "a", NOW), ("tick", 1), ("connect", "c", HALF),
      ("connect", "d", HALF), ("connect", "e", HALF), "look"),
     [1000, 1000, ([("a", [200], False), ("b", [200], True), ("c", [], False), ("d", [], False), ("e", [], False)], True, 4, [])]),
    # a client with unread bytes of a response is not idle
    (((("MaxConnections", 3),), ("connect", "a"), ("room", "a", 5), ("in", "a", NOW), ("connect", "b", HALF), ("connect", "c", HALF),
      ("connect", "d", NOW), "look"),
     [([("a", [], False), ("b", [], False), ("c", [], False), ("d", [], False)], False, 3, [])]),
    # all are busy: the next client waits in the backlog until a connection is closed, and is served then
    (((("MaxConnections", 2),), ("connect", "a", HALF), ("connect", "b", HALF), ("connect", "c", NOW), "look", ("event", "a", 8), "look",
      ("tick", 1), "look"),
     [([("a", [], False), ("b", [], False), ("c", [], False)], False, 2, []), ([("a", [], True), ("b", [], False), ("c", [], False)], True, 1, []),
      1000, ([("a", [], True), ("b", [], False), ("c", [200], True)], True, 1, [])]),
    # all slots have endless streams: 503 at once
    (((("MaxConnections", 2),), ("connect", "a", STREAM), ("connect", "b", STREAM), "look", ("connect", "c", NOW), "look"),
     [([("a", [200], False), ("b", [200], False)], True, 2, []), ([("a", [], False), ("b", [], False), ("c", [503], True)], True, 2, [])]),
    # one of them has a deadline: wait for that
    (((("MaxConnections", 2),), ("connect", "a", STREAM), ("connect", "b", HALF), ("connect", "c", NOW), "look"),
     [([("a", [200], False), ("b", [], False), ("c", [], False)], False, 2, [])]),
    (((("MaxConnections", 2),), ("connect", "a", STREAM), ("connect", "b"), ("room", "b", 5), ("in", "b", STREAM), ("connect", "c", NOW), "look"),
     [([("a", [200], False), ("b", [], False), ("c", [], False)], False, 2, [])]),
    # a silent client is idle after a second
    (((("MaxConnections", 1),), ("connect", "a"), ("connect", "b", NOW), "look", ("tick", 1), "look"),
     [([("a", [], False), ("b", [], False)], False, 1, []), 1000, ([("a", [], True), ("b", [200], True)], True, 0, [])]),
    # deadlines of heads, content, idle connections and unread responses
    (((("HeadTimeoutSec", 2),), ("connect", "a", b"GET"), ("connect", "b"), ("tick", 2), "look", ("tick", 1), "look", ("tick", 3), "look"),
     [1000, ([("a", [], False), ("b", [], False)], True, 2, []), 1000, ([("a", [408], False), ("b", [], True)], True, 1, []), 1000,
      ([("a", [], True), ("b", [], True)], True, 0, [])]),
    (((("BodyTimeoutSec", 2),), ("connect", "a", HALF), ("tick", 2), "look", ("tick", 1), "look"),
     [1000, ([("a", [], False)], True, 1, []), 1000, ([("a", [408], False)], True, 1, [])]),
    (((("KeepAliveTimeoutSec", 2),), ("connect", "a", NOW), ("tick", 2), "look", ("tick", 1), "look"),
     [1000, ([("a", [200], False)], True, 1, []), 1000, ([("a", [], True)], True, 0, [])]),
    (((("SendTimeoutSec", 2),), ("connect", "a"), ("room", "a", 15), ("in", "a", NOW), ("tick", 2), "look", ("tick", 1), "look"),
     [1000, ([("a", [200], False)], True, 1, []), 1000, ([("a", [], True)], True, 0, [])]),
    # a client that reads its response late is idle from then on
    (((("SendTimeoutSec", 9), ("KeepAliveTimeoutSec", 2)), ("connect", "a"), ("room", "a", 15), ("in", "a", NOW), ("tick", 5), ("takes", "a"),
      ("tick", 2), "look", ("tick", 1), "look"),
     [1000, 1000, ([("a", [200], False)], True, 1, []), 1000, ([("a", [], True)], True, 0, [])]),
    # a second has a thousand milliseconds
    (((), ("ms", 1), ("ms", 998), ("ms", 0), ("ms", 1), ("ms", 1500), ("ms", 999)), [999, 1, 1, 1000, 1000, 1]),
    # the client left before accept: nothing happens
    (((), ("accept", 11), ("accept", 35), ("accept", 10035), "look"), [([], True, 0, [])]),
    # too many open files: logged once, an idle connection makes room, and then the listener waits for the next second
    (((), ("connect", "a", NOW), ("connect", "b", NOW), ("accept", 24), "look", ("accept", 24), "look", ("tick", 1), "look",
      ("connect", "c", NOW), ("accept", 24), "look"),
     [([("a", [200], True), ("b", [200], False)], True, 1, ["accept: OSError"]), ([("a", [], True), ("b", [], True)], False, 0, []), 1000,
      ([("a", [], True), ("b", [], True)], True, 0, []), ([("a", [], True), ("b", [], True), ("c", [200], True)], True, 0, ["accept: OSError"])]),
    # the network and the listener are gone: a new listener
    (((), ("accept", 9), ("accept", 9), ("tick", 1), ("accept", 9), ("tick", 1), ("accept", 9), ("tick", 1), ("accept", 9), ("listeners",), ("tick", 1),
      ("accept", 9), ("listeners",), "look", ("connect", "a", NOW), "look"),
     [1000, 1000, 1000, (1, False), 1000, (2, False), ([], True, 0, ["accept: OSError"]), ([("a", [200], False)], True, 1, [])]),
    # that can't be opened: try again each second
    (((), ("accept", 9), ("accept", 9), ("tick", 1), ("accept", 9), ("tick", 1), ("accept", 9), ("tick", 1), ("accept", 9), ("tick", 1), ("deaf", True),
      ("accept", 9), "look", ("tick", 2), "look", ("deaf", False), ("tick", 1), "look", ("listeners",)),
     [1000, 1000, 1000, 1000, ([], False, 0, ["accept: OSError"]), 1000, ([], False, 0, []), 1000, ([], True, 0, []), (2, False)]),
    # a failing connection is aborted and logged; if the client has left it is only aborted
    (((), ("connect", "a", NOW), ("links", _Raise(ValueError("played"))), ("in", "a", NOW), "look"),
     [([("a", [200], True)], True, 0, ["a connection failed: ValueError"])]),
    (((), ("connect", "a", NOW), ("links", _Raise(OSError(104, "played"))), ("in", "a", NOW), "look"), [([("a", [200], True)], True, 0, [])]),
    (((), ("connect", "a", NOW), ("links", _Raise(SystemExit("played"))), ("in", "a", NOW), "look"),
     [([("a", [200], True)], True, 0, ["a connection failed: SystemExit"])]),
    # Stop: no new clients; idle ones are closed at once, others get the grace time
    (((), ("connect", "a", NOW), ("connect", "b", HALF), "stop", ("ms", 0), "look", ("listeners",), ("in", "b", b"rest."), ("ms", 0), "look"),
     [1000, ([("a", [200], True), ("b", [], False)], False, 1, []), (1, True), 0, ([("a", [], True), ("b", [200], True)], False, 0, [])]),
    (((("StopGraceSec", 3),), ("connect", "a", STREAM), ("connect", "b", HALF), "stop", ("ms", 0), "look", ("tick", 2), ("tick", 1), "look"),
     [1000, ([("a", [200], False), ("b", [], False)], False, 2, []), 1000, 0, ([("a", [], False), ("b", [], False)], False, 2, [])]),
    (((), "stop", "stop", ("ms", 0)), [0]),
    (((), ("connect", "a", NOW.replace(b"now", b"stop")), ("ms", 0), "look"), [0, ([("a", [204], True)], False, 0, [])]),
]


def Calls():
    """Calls of other threads run in order, in the turn after they were made; exceptions are logged."""
    house = House()
    server = house.server
    told = []
    try:
        before = server.CallSoon(told.append, 0), server.Pending()
        server.Open()
        wake = server._wake
        server.CallSoon(told.append, 1)
        server.CallSoon(_Raise(ValueError("played")), 2)
        server.CallSoon(lambda: server.CallSoon(told.append, 4))
        server.CallSoon(lambda: told.append(("pending", server.Pending())))
        told.append(server.Pending())
        woken = wake.count
        server.Enter()
        server.OnEvent(id(wake.sock), 1)
        cleared = wake.count
        server.Turn()
        told.append(server.Pending())
        server.Turn()
        isOn = server.IsOnEngine()
        server.CallSoon(told.append, 5)
        server.Stop()
        server.Leave()
        after = server.CallSoon(told.append, 6)
        return before, told, woken, cleared, isOn, server.IsOnEngine(), after, house.log
    finally:
        house.Restore()


CALLS = [((), ((False, 0), [4, 1, ("pending", 2), 1, 4, 5], 4, 0, True, False, False, ["a call on the engine: ValueError"]))]


def Ticks():
    """Once a second each function is called, whatever the others do; and the Date of responses is the current
    second."""
    house = House()
    server = house.server
    told = []
    server.Ticks.append(lambda: told.append("one"))
    server.Ticks.append(lambda: _Raise(ValueError("played"))(None))
    server.Ticks.append(lambda: told.append("two"))
    try:
        server.Open()
        server.Enter()
        house.Connect("a", NOW)
        kept = len(server.prefixes)
        house.Tick(1)
        told.append((kept, len(server.prefixes)))
        house.ms += 500
        server.Turn()
        house.ms += 500
        server.Turn()
        return told, server.now, house.log
    finally:
        server.Leave()
        house.Restore()


TICKS = [((), (["one", "two", (1, 0), "one", "two"], 2, ["a call on the engine: ValueError"] * 2))]


class _Events(Poll):
    """The poll object of a whole run: each poll makes the next events happen and reports them."""

    def poll(self, timeoutSec):
        self.house.waits.append(int(timeoutSec * 1000 + 0.5))
        return self.house.Next()

    def ipoll(self, timeoutMs):
        self.house.waits.append(timeoutMs)
        return self.house.Next()


def Run():
    """A whole run: two clients, one of which fails, a call, and Stop. Nothing remains, and the server can start
    again."""
    house = House()
    server = house.server
    house.waits = []
    first, second = Client([]), Client([])
    first.arrives.append(NOW)

    def Ready(*pairs):
        return [(sock if core.MICROPYTHON else id(sock), event) for sock, event in pairs]

    def Accept():
        house.listener.waiting.extend([first, second])
        return Ready((house.listener, 1), (house.listener, 1))

    def Breaks():
        server.links[id(second)].endpoint.OnReceived = _Raise(ValueError("played"))
        second.arrives.append(b"x")
        first.arrives.append(NOW)
        return Ready((second, 1), (first, 1))

    def Unknown():                              # the client after the failing one is still ready
        return Ready((Client([]), 1), (first, 1))

    def Stops():
        server.Stop()
        return Ready()
    script = [Accept, Breaks, Unknown, Stops]
    house.Next = lambda: script.pop(0)()
    core.NewPoll = lambda: _New(house)
    try:
        states = [server.IsStarted()]
        server.Open()
        states += [server.IsStarted(), server.Open()]
        poll = server.poll
        server.Run()
        states += [server.IsStarted(), server.IsOnEngine(), len(server.links), len(poll.watched), house.listener.isClosed]
        again = server.Open()
        server.Enter()
        server.Leave()
        return states, first.sent.count(b"HTTP/1.1 200 "), "closed" in second.calls, house.log, len(house.waits), max(house.waits), again
    finally:
        house.Restore()


def _New(house):
    poll = _Events()
    poll.house = house
    return poll


RUN = [((), ([False, True, False, False, False, 0, 0, True], 2, True, ["a connection failed: ValueError"], 4, 1000, True))]


def Accepted(inherits):
    """The options of an accepted socket: non-blocking; TCP_NODELAY, unless it inherits that from the listener. And Stop
    wakes the loop, whose end closes everything."""
    house = House()
    server = house.server
    kept = core.INHERITS
    core.INHERITS = inherits
    try:
        server.Open()
        server.Enter()
        house.Connect("a", NOW)
        accepted = house.clients["a"].calls[:]
        wake = server._wake
        woken = wake.count
        server.Stop()
        woken = wake.count - woken
        server.Leave()
        return accepted, woken, house.clients["a"].calls[len(accepted):], len(server.links), house.listener.isClosed
    finally:
        core.INHERITS = kept
        house.Restore()


def Use(isFull):
    """Change the poll object: all registered sockets are registered there, others are not."""
    house = House([("MaxConnections", 2)])
    server = house.server
    try:
        server.Open()
        server.Enter()
        house.Connect("a", HALF)
        house.Connect("b", HALF)
        if isFull:
            house.Connect("c", HALF)
        server.links[id(house.clients["b"])].watched = None
        poll = Poll()
        server.Use(poll)
        names = {"listener": house.listener, "wake": server._wake, "a": house.clients["a"], "b": house.clients["b"]}
        seen = [(name, poll.watched.get(id(names[name]))) for name in sorted(names)]
        server.links[id(house.clients["b"])].watched = 1
        poll.watched[id(house.clients["b"])] = 1
        return server.poll is poll, seen
    finally:
        server.Leave()
        house.Restore()


USE = [((False,), (True, [("a", 1), ("b", None), ("listener", 1), ("wake", 1)])),
       ((True,), (True, [("a", 1), ("b", None), ("listener", None), ("wake", 1)]))]


def Asyncio(late):
    """As soon as asyncio is needed, its loop continues the run."""
    house = House()
    server = house.server
    told = []
    house.waits = []
    core.NewPoll = lambda: _New(house)

    def Next():
        server.UseAsyncio = True
        return []
    house.Next = Next
    server.UseAsyncio = not late
    server.Loop = lambda: told.append(server.IsOnEngine())
    try:
        server.Open()
        server.Run()
        return told, len(house.waits), server.IsStarted(), server.IsOnEngine()
    finally:
        house.Restore()


def OpenFails():
    """The port can't be bound: an error at once, and nothing is started."""
    house = House()
    house.canListen = False
    try:
        try:
            house.server.Start(threaded=False)
        except OSError as error:
            return error.errno, house.server.IsStarted(), house.server.CallSoon(print)
    finally:
        house.Restore()


TABLES = [
    ("Steps", Steps, STEPS),
    ("Calls", Calls, CALLS),
    ("Ticks", Ticks, TICKS),
    ("Run", Run, RUN),
    ("Accepted", Accepted, [
        ((False,), (["blocks 0", "option 6 1 1"], 1, ["closed"], 0, True)), ((True,), (["blocks 0"], 1, ["closed"], 0, True))]),
    ("Use", Use, USE),
    ("Asyncio", Asyncio, [((False,), ([True], 0, False, False)), ((True,), ([True], 1, False, False))]),
    ("OpenFails", OpenFails, [((), (98, False, False))]),
]
