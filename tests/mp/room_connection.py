# The room connection: messages as bytes -> the requests, for any split of the bytes; and the calls of its link.

import cases_http as cases

import rooms

_MORE = "more"


def _Server(memoLen=0):
    return rooms.Server(cases.MAX_LINE, cases.MAX_HEAD, memoLen)


def Requests(pieces, server):
    """-> [(method, path, query, fields, body, keepAlive), …], followed by a status, or by 'more' if the last one is
    incomplete."""
    requests, _, state = rooms.Play(pieces, server)
    if state == "refused":
        return requests + [server.refusals[0][0]]
    return requests + [_MORE] if state == "more" else requests


def _Cuts(size):
    """Every byte position; for a very long message those at both ends and some between."""
    if size < 1500:
        return range(1, size)
    return list(range(1, 100)) + list(range(100, size - 50, 297)) + list(range(size - 50, size))


def Outcome(data):
    """The result is the same for any split of the bytes, with and without the memos."""
    whole = Requests([data], _Server())
    for at in _Cuts(len(data)):
        cut = Requests([data[:at], data[at:]], _Server())
        if cut != whole:
            return "cut at", at, cut, whole
    step = 1 + len(data) // 1500
    single = Requests([data[at:at + step] for at in range(0, len(data), step)], _Server())
    if single != whole:
        return "byte by byte", single, whole
    heads = {}
    for _ in range(2):
        server = _Server(8)
        server.heads = heads
        remembered = Requests([data], server)
        if remembered != whole:
            return "remembered", remembered, whole
    if whole and whole[-1] == _MORE:
        return whole
    return _WithNext(data, whole)


def _WithNext(data, whole):
    """In one piece with the following request, which is read, or not at all."""
    both = Requests([data + cases.NEXT], _Server())
    if whole and whole[-1] in range(400, 600) or not whole[-1][-1]:
        return whole if both == whole else ("with its successor", both, whole)
    if _Named(both[-1:], [cases.NEXT_REQUEST]) != [cases.NEXT_REQUEST] or both[:-1] != whole:
        return "with its successor", both, whole
    return whole


def _Named(requests, expected):
    """Only the fields that the table names."""
    named = []
    for index, request in enumerate(requests):
        if isinstance(request, tuple) and index < len(expected) and isinstance(expected[index], tuple):
            fields = {name: request[3].get(name) for name in expected[index][3]}
            request = request[:3] + (fields,) + request[4:]
        named.append(request)
    return named


def Played(data, expected):
    outcome = Outcome(data)
    return _Named(outcome, expected) if isinstance(outcome, list) else outcome


def NeverSmuggled(data, expected):
    outcome = Played(data, expected)
    return ("smuggled", outcome) if "/smuggled" in [request[1] for request in outcome if isinstance(request, tuple)] \
        else outcome


# Errors found before the end of the head: a client that sends LF alone would otherwise wait until the deadline.
EARLY = [
    ((b"GET / HTTP/1.1\n",), [400]),
    ((b"GET / HTTP/1.1\r\nHost: a\n",), [400]),
    ((b"GET / HTTP/1.1\rHost: a\r\r",), [400]),
    ((b"\n",), [400]),
    ((b"GET /" + b"a" * cases.MAX_LINE,), [414]),
    ((b"GET / HTTP/1.1\r\nX: " + b"y" * cases.MAX_HEAD,), [431]),
    ((b"",), []),
    ((b"\r\n",), []),
    ((b"\r\n\r\n",), []),
    ((b"\r",), ["more"]),
    ((b"\r\n\r",), ["more"]),
    ((b"\r\r\n",), [400]),
    ((b"\r\n\r\r\n\r\n",), [400]),
    ((b"GET / HTTP/1.1\r\nHost: a\r\n",), ["more"]),
    ((b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",), ["more"]),
    ((b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",), ["more"]),
]


def Early(data):
    return Requests([data], _Server())


# -- the calls of its link, step by step

class _Pieces:
    """A source: a number is a piece of this size, None means nothing now, an exception is raised."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def __next__(self):
        if not self.pieces:
            raise StopIteration
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return b"p" * piece if piece else piece


class _Endless(_Pieces):
    isEndless = True

    def Start(self, connection):
        pass


class _Closable(_Pieces):
    def __init__(self, seen, *pieces):
        super().__init__(*pieces)
        self.seen = seen

    def close(self):
        self.seen.append("closed")


def _NoMemory(*args):
    raise MemoryError


class _Headed(_Pieces):
    """A file: the head leaves with its first piece."""

    responseHead = b""

    @property
    def left(self):
        return sum(self.pieces)

    def __next__(self):
        head = self.responseHead
        self.responseHead = b""
        return head + super().__next__()


class _Started(_Pieces):
    def Start(self, connection):
        self.pieces.append(7 if connection.source is None else 8)


class _Coroutine:
    def send(self, value):
        pass


_SOURCES = {"/stream": lambda: _Pieces(*[2000] * 20), "/waits": lambda: _Pieces(5, None, None, 5), "/endless": lambda: _Endless(5, None, None),
            "/breaks": lambda: _Pieces(5, None, None, ValueError("it broke")), "/never": lambda: _Pieces(ValueError("it broke"))}


class _Scripted(rooms.Server):
    """/now answers at once, /later and /async when a step tells them, /file without reading the content, /nothing and
    /boom never; the others are streams."""

    BufferLen = 100
    KeepAliveTimeoutSec = 50
    MaxRequestContentLen = 5000

    def Find(self, head):
        path = head.path
        self.route = rooms.Record(handler=self.Handle, isAsync=path == "/async", threaded=False)
        self.files = self.route if path == "/file" else None
        return self.route, rooms.microWebSrv.NO_ARGS

    def Handle(self, client, response):
        path = client.head.path
        self.response = response
        self.client = client
        if path in ("/later", "/async"):
            return _Coroutine()
        if path == "/boom":
            raise ValueError("it broke")
        if path == "/sized":
            client.connection.Answer(response, 200, None, None, b"", b"", _Pieces(3, 4), 7)
        elif path == "/file-of-pieces":
            client.connection.Answer(response, 200, None, None, b"", b"", _Headed(3, 4, 5), 12)
        elif path == "/started":
            client.connection.Answer(response, 200, None, None, b"", b"", _Started(), 7)
        elif path in _SOURCES:
            client.connection.Answer(response, 200, None, None, b"", b"", _SOURCES[path]())
        elif path != "/nothing":
            client.connection.Answer(response, 200, None, None, b"", b"[%d]" % len(client.content))

    def Spawn(self, connection, coroutine):
        pass

    def Call(self, func, *args):
        func(*args)


def Script(*steps):
    """-> for each "look": the bytes sent since the last one (statuses, and the bytes after the heads), what the link
    has to do, seconds to the deadline, and whether the connection is idle."""
    server = _Scripted()
    link = rooms.Connect(server)
    connection = link.endpoint
    seen = []
    for step in steps:
        what, value = step if isinstance(step, tuple) else (step, None)
        if what == "in":
            connection.OnReceived(value)
        elif what == "turn":
            link.want = 1
            connection.OnDrained()
        elif what == "slow":
            link.out = bytearray(value)
        elif what == "drained":
            link.out = None
            connection.OnDrained()
        elif what == "time":
            server.now = value
        elif what == "answer":
            seen.append(connection.Answer(server.response, 200, None, None, b"", b"answer"))
        elif what == "stream":
            seen.append(connection.Answer(server.response, 200, None, None, b"", b"", _SOURCES[value]()))
        elif what == "wakes":
            connection.wake = lambda: seen.append("woken")
        elif what == "full":
            server.links = [link] * (server.MaxConnections - value)
        elif what == "lost":
            link.Abort()
        elif what == "whole":
            seen.append(link.isWhole)
        elif what == "held":
            seen.append(len(connection.data))
        elif what == "sent":
            connection.OnSent(lambda: seen.append("sent"))
        elif what == "there":
            seen.append(connection.Serves(value or server.client))
        elif what == "push":
            seen.append(connection.Push(server.response, value))
        elif what == "closable":
            seen.append(connection.Answer(server.response, 200, None, None, b"", b"", _Closable(seen, *value)))
        elif what == "logged":
            seen.append([(text, type(error).__name__) for text, error in server.logged])
        elif what == "fail":
            connection.Failed(server.response, ValueError("it broke"))
        elif what == "reset":
            connection.Failed(server.response, OSError("reset"))
        elif what == "mute":
            server.response.WriteError = _NoMemory
        elif what == "end":
            seen.append(connection.OnEnd())
        elif what == "look":
            seen.append(_Look(server, link, connection))
        else:
            server.isStarted = server.isStarted and what != "stop"
            {"expire": connection.OnExpired, "stop": connection.OnStop, "resume": connection.Resume}[what]()
    return seen


def _Look(server, link, connection):
    parts = link.sent.split(b"HTTP/1.1 ")
    link.sent = b""
    statuses = [int(part[:3]) for part in parts[1:]]
    content = parts[0] + b"".join([part.partition(b"\r\n\r\n")[2] for part in parts[1:]])
    does = "dead" if link.isDead else "lingers" if link.isFinished else "behind" if link.isClosed else {0: "waits", 1: "reads", 4: "turn"}[link.want]
    deadline = connection.deadline
    return (statuses, content if len(content) < 40 else len(content), does, deadline and deadline - server.now,
            bool(connection.IsIdle()))


def _Get(path, *fields):
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", b"Host: a") + fields) + b"\r\n\r\n"


def _Post(path, length, *fields):
    return b"\r\n".join((b"POST " + path + b" HTTP/1.1", b"Host: a", b"Content-Length: %d" % length) + fields) + b"\r\n\r\n"


def _Chunks(path, *fields):
    return b"\r\n".join((b"POST " + path + b" HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked") + fields) + b"\r\n\r\n"


SCRIPTS = [
    # a silent connection: the deadline runs from its start, and after a second it counts as idle
    (("look", ("time", 1), "look", "expire", "look"),
     [([], b"", "reads", 20, False), ([], b"", "reads", 19, True), ([], b"", "dead", 19, True)]),
    # idle after a response
    ((("in", _Get(b"/now")), "look", ("time", 10), "look", "expire", "look"),
     [([200], b"[0]", "reads", 50, True), ([], b"", "reads", 40, True), ([], b"", "dead", 40, True)]),
    # part of a first head, byte by byte: the deadline does not change
    ((("in", b"GET"), "look", ("time", 3), ("in", b" /"), "look", "expire", "look"),
     [([], b"", "reads", 20, False), ([], b"", "reads", 17, True), ([408], b"refused", "lingers", 2, True)]),
    # part of a later head: the deadline runs from its first byte
    ((("in", _Get(b"/now")), ("time", 5), ("in", b"G"), "look", ("time", 9), ("in", b"E"), "look", ("in", b"T /"),
      "look", "expire", "look"),
     [([200], b"[0]", "reads", 20, False), ([], b"", "reads", 16, True), ([], b"", "reads", 16, True),
      ([408], b"refused", "lingers", 2, True)]),
    # empty lines between requests don't extend the deadline
    ((("in", _Get(b"/now")), ("time", 5), ("in", b"\r"), "look", ("time", 9), ("in", b"\n\r"), "look", ("in", b"\n"), "look"),
     [([200], b"[0]", "reads", 20, False), ([], b"", "reads", 16, True), ([], b"", "reads", 16, True)]),
    # lingering ends two seconds after the last input
    ((("in", _Get(b"/later")), "sent", "answer", "look", ("time", 1), ("in", b"x" * 10), "look", "expire", "look"),
     [True, ([200], b"answer", "lingers", 2, True), ([], b"", "lingers", 1, True), "sent", ([], b"", "dead", 1, True)]),
    # pipelined requests give up their turn after a share
    ((("in", _Get(b"/now") * 20), "look", "turn", "look", "turn", "look"),
     [([200, 200, 200, 200, 200, 200, 200, 200], b"[0][0][0][0][0][0][0][0]", "turn", 50, False),
      ([200, 200, 200, 200, 200, 200, 200, 200], b"[0][0][0][0][0][0][0][0]", "turn", 50, False),
      ([200, 200, 200, 200], b"[0][0][0][0]", "reads", 50, True)]),
    # the next request waits until the response was sent
    ((("in", _Get(b"/later") + _Get(b"/now")), "look", "answer", "look", "turn", "look"),
     [([], b"", "waits", None, False), True, ([200], b"answer", "turn", 50, False),
      ([200], b"[0]", "reads", 50, True)]),
    # and until a slow client has read it
    ((("in", _Get(b"/now")), ("slow", 9), ("in", _Get(b"/now")), "look", "drained", "look"),
     [([200], b"[0]", "reads", 50, False), ([200], b"[0]", "reads", 50, True)]),
    # two responses to one request
    ((("in", _Get(b"/later")), "answer", "answer", "look"),
     [True, False, ([200], b"answer", "reads", 50, True)]),
    # a failure after the response
    ((("in", _Get(b"/later")), "answer", "fail", "look"),
     [True, ([200], b"answer", "reads", 50, True)]),
    # a failure
    ((("in", _Get(b"/boom")), "look"),
     [([500], b"refused", "reads", 50, True)]),
    # a failure, and the next request
    ((("in", _Get(b"/boom") + _Get(b"/now")), "look", "turn", "look"),
     [([500, 200], b"refused[0]", "reads", 50, True), ([], b"", "reads", 50, True)]),
    # a later failure
    ((("in", _Get(b"/later")), "fail", "look"),
     [([500], b"refused", "reads", 50, True)]),
    # nothing
    ((("in", _Get(b"/nothing")), "look"),
     [([204], b"", "reads", 50, True)]),
    # HEAD and a failure: no content
    ((("in", _Get(b"/boom").replace(b"GET", b"HEAD")), "look"),
     [([500], b"", "reads", 50, True)]),
    # a refused HEAD: no content
    ((("in", b"HEAD / HTTP/1.1\r\nBad\r\n\r\n"), "look"),
     [([400], b"", "lingers", 2, True)]),
    # HEAD with unknown expectation
    ((("in", _Post(b"/now", 1, b"Expect: x").replace(b"POST", b"HEAD")), "look"),
     [([417], b"", "lingers", 2, True)]),
    # the content has to be complete
    ((("in", _Post(b"/now", 5)), "look", ("in", b"hell"), "look", ("in", b"o"), "look"),
     [([], b"", "reads", 20, False), ([], b"", "reads", 20, False), ([200], b"[5]", "reads", 50, True)]),
    # and has a deadline; a client that is late by a quarter of it counts as idle
    ((("in", _Post(b"/now", 5)), ("time", 15), ("in", b"hell"), "look", "expire", "look"),
     [([], b"", "reads", 5, True), ([408], b"refused", "lingers", 2, True)]),
    # each KiB extends it by a second, but no time is saved up
    ((("in", _Post(b"/now", 5000)), ("in", b"x" * 3000), "look", ("time", 15), ("in", b"x" * 1000), "look",
      ("in", b"x" * 500), "look"),
     [([], b"", "reads", 20, False), ([], b"", "reads", 6, True), ([], b"", "reads", 7, True)]),
    # too much content
    ((("in", _Post(b"/now", 5001)), "look", ("in", b"x" * 5001), "look", "expire", "look"),
     [([413], b"refused", "lingers", 2, True), ([], b"", "lingers", 2, True), ([], b"", "dead", 2, True)]),
    # too much content in chunks
    ((("in", _Post(b"/now", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")), "look",
      ("in", b"1389\r\n" + b"x" * 5001), "look"),
     [([], b"", "reads", 20, False), ([413], b"refused", "lingers", 2, True)]),
    # 100 Continue
    ((("in", _Post(b"/now", 5, b"Expect: 100-continue")), "look", ("in", b"hello"), "look"),
     [([100], b"", "reads", 20, False), ([200], b"[5]", "reads", 50, True)]),
    # no 100 Continue, if content has arrived
    ((("in", _Post(b"/now", 5, b"Expect: 100-continue") + b"hello"), "look"),
     [([200], b"[5]", "reads", 50, True)]),
    # 100 Continue and too much: 413 without it
    ((("in", _Post(b"/now", 5001, b"Expect: 100-continue")), "look"),
     [([413], b"refused", "lingers", 2, True)]),
    # unused content: short content is read
    ((("in", _Post(b"/file", 50)), "look", ("in", b"x" * 50 + _Get(b"/now")), "look"),
     [([], b"", "reads", 20, False), ([200, 200], b"[50][0]", "reads", 50, True)]),
    # unused content: long content ends the connection
    ((("in", _Post(b"/file", 5000)), "look", ("in", b"x" * 5000 + _Get(b"/now")), "look"),
     [([200], b"[0]", "lingers", 2, True), ([], b"", "lingers", 2, True)]),
    # unused content of a client that waits for 100
    ((("in", _Post(b"/file", 50, b"Expect: 100-continue")), "look"),
     [([200], b"[0]", "lingers", 2, True)]),
    # an async handler starts before the content arrives
    ((("in", _Post(b"/async", 500)), "look", ("in", b"x" * 50), "look", ("in", b"x" * 100), "look"),
     [([], b"", "reads", 20, False), ([], b"", "reads", 20, False), ([], b"", "waits", None, False)]),
    # it responds early: the rest is too long
    ((("in", _Post(b"/async", 500)), "answer", "look", ("in", b"x" * 500 + _Get(b"/now")), "look"),
     [True, ([200], b"answer", "lingers", 2, True), ([], b"", "lingers", 2, True)]),
    # it responds early: the rest is read and dropped
    ((("in", _Post(b"/async", 90)), "answer", "look", ("in", b"x" * 90 + _Get(b"/now")), "look"),
     [True, ([200], b"answer", "reads", 20, False), ([200], b"[0]", "reads", 50, True)]),
    # it waits for content that never arrives
    ((("in", _Post(b"/async", 500)), ("in", b"x" * 50), "expire", "look"),
     [([408], b"refused", "lingers", 2, True)]),
    # a stream gives up its turn after a share
    ((("in", _Get(b"/stream")), "look", "turn", "look"),
     [([200], 16056, "turn", None, False), ([], 16056, "turn", None, False)]),
    # a stream gives up its turn, and the next request waits for its end
    ((("in", _Get(b"/stream") + _Get(b"/now")), "look", "turn", "look", "turn", "look", "turn", "look"),
     [([200], 16056, "turn", None, False), ([], 16056, "turn", None, False), ([], 8033, "turn", 50, False),
      ([200], b"[0]", "reads", 50, True)]),
    # a stream and a slow client
    ((("in", _Get(b"/stream")), "look", ("slow", 9), "resume", "look", "drained", "look"),
     [([200], 16056, "turn", None, False), ([], b"", "turn", None, False), ([], 16056, "turn", None, False)]),
    # a waiting stream and a half-closed client
    ((("in", _Get(b"/waits")), "look", "end", "resume", "look"),
     [([200], b"5\r\nppppp\r\n", "reads", None, False), True, ([], b"5\r\nppppp\r\n0\r\n\r\n", "dead", None, True)]),
    # a waiting stream and the next request
    ((("in", _Get(b"/waits") + _Get(b"/now")), "look", "resume", "look", "turn", "look"),
     [([200], b"5\r\nppppp\r\n", "waits", None, False), ([], b"5\r\nppppp\r\n0\r\n\r\n", "turn", 50, False),
      ([200], b"[0]", "reads", 50, True)]),
    # an endless stream and a half-closed client
    ((("in", _Get(b"/endless")), "look", "end"),
     [([200], b"5\r\nppppp\r\n", "reads", None, False), False]),
    # an endless stream and a server that stops
    ((("in", _Get(b"/endless")), "stop", "look"),
     [([200], b"5\r\nppppp\r\n0\r\n\r\n", "dead", None, True)]),
    # a failing stream: abort
    ((("in", _Get(b"/breaks")), "resume", "look"),
     [([200], b"5\r\nppppp\r\n", "dead", None, True)]),
    # a stream that fails at once: 500
    ((("in", _Get(b"/never")), "look"),
     [([500], b"refused", "reads", 50, True)]),
    # the server stops: idle
    ((("in", _Get(b"/now")), "stop", "look"),
     [([200], b"[0]", "dead", 50, True)]),
    # the server stops: during a response
    ((("in", _Get(b"/later")), "stop", "look", "answer", "look"),
     [([], b"", "reads", None, False), True, ([200], b"answer", "dead", None, True)]),
    # the server stops: during a head
    ((("in", b"GET"), "stop", "look", ("in", _Get(b"/now")[3:]), "look"),
     [([], b"", "reads", 20, False), ([200], b"[0]", "dead", None, True)]),
    # half-closed and idle
    ((("in", _Get(b"/now")), "look", "end"),
     [([200], b"[0]", "reads", 50, True), False]),
    # half-closed in a head
    ((("in", b"GET"), "end"),
     [False]),
    # half-closed in content
    ((("in", _Post(b"/now", 5)), "end"),
     [False]),
    # half-closed, waiting for the response
    ((("in", _Get(b"/later")), "end", "look", "answer", "look"),
     [True, ([], b"", "waits", None, False), True, ([200], b"answer", "dead", None, True)]),
    # the client sends endlessly after a refusal
    ((("in", b"GET / HTTP/1.1\r\n\r\n"), "look", ("time", 1), ("in", b"x" * 5000), "look", "expire", "look"),
     [([400], b"refused", "lingers", 2, True), ([], b"", "lingers", 2, True), ([], b"", "dead", 2, True)]),
    # a refusal can't be written into a stream that has begun: abort
    ((("in", _Chunks(b"/async")), ("stream", "/waits"), "look", ("in", b"no size\r\n"), "look"),
     [True, ([200], b"5\r\nppppp\r\n", "reads", 20, False), ([], b"", "dead", 20, True)]),
    ((("in", _Chunks(b"/async")), ("stream", "/waits"), "expire", "look"),
     [True, ([200], b"5\r\nppppp\r\n", "dead", 20, True)]),
    # before the head it is a response
    ((("in", _Chunks(b"/async")), "look", ("in", b"no size\r\n"), "look"),
     [([], b"", "reads", 20, False), ([400], b"refused", "lingers", 2, True)]),
    # after a complete response whose content still arrives, no error can be sent
    ((("in", _Post(b"/async", 90)), "answer", ("time", 30), "expire", "look"),
     [True, ([200], b"answer", "dead", -10, True)]),
    # a handler that waits for content or for a drained link is woken when that happens, and when the client has left
    ((("in", _Post(b"/async", 9)), "wakes", ("in", b"x"), "drained", "lost", "look"),
     ["woken", "woken", "woken", ([], b"", "dead", 20, True)]),
    ((("in", _Get(b"/later")), "wakes", "lost"), ["woken"]),
    # and when the response was sent
    ((("in", _Get(b"/later")), "wakes", "answer", "look"), ["woken", True, ([200], b"answer", "reads", 50, True)]),
    # a stream of unknown length, then one of known length: only the first one is chunked
    ((("in", _Get(b"/waits")), "resume", "look", ("in", _Get(b"/sized")), "look"),
     [([200], b"5\r\nppppp\r\n5\r\nppppp\r\n0\r\n\r\n", "reads", 50, True), ([200], b"ppppppp", "reads", 50, True)]),
    # when the client has left, writes are refused and the source is closed
    ((("in", _Get(b"/later")), "lost", "answer", ("closable", [5]), ("push", b"x"), "look"), [False, "closed", False, False, ([], b"", "dead", None, True)]),
    ((("in", _Get(b"/later")), ("closable", [5, None, None]), "lost", "look"), [True, "closed", ([200], b"5\r\nppppp\r\n", "dead", None, True)]),
    # a failing source is closed: before and after the head
    ((("in", _Get(b"/later")), ("closable", [ValueError("it broke")]), "look", "logged"),
     ["closed", True, ([500], b"refused", "reads", 50, True), [("GET /later", "ValueError")]]),
    ((("in", _Get(b"/later")), ("closable", [5, None, None, ValueError("it broke")]), "resume", "look", "logged"),
     [True, "closed", ([200], b"5\r\nppppp\r\n", "dead", None, True), [("GET /later", "ValueError")]]),
    # an OSError after the client has left is ignored, other failures are logged, though no response can be sent
    ((("in", _Get(b"/later")), "lost", "fail", "logged"), [[("GET /later", "ValueError")]]),
    ((("in", _Get(b"/later")), "lost", "reset", "logged"), [[]]),
    ((("in", _Get(b"/later")), "reset", "look", "logged"), [([500], b"refused", "reads", 50, True), [("GET /later", "OSError")]]),
    # no memory even for the error: abort, and a log line
    ((("in", _Get(b"/later")), "mute", "fail", "look", "logged"),
     [([], b"", "dead", None, True), [("GET /later", "ValueError"), ("a failure could not be answered", "MemoryError")]]),
    # content above the limit is logged, other refusals are not
    ((("in", _Post(b"/now", 5001)), "logged"), [[("413: content above MaxRequestContentLen, 5000 bytes", "NoneType")]]),
    ((("in", b"GET / HTTP/1.1\r\n\r\n"), "logged"), [[]]),
    # a second for each complete KiB; the remainder counts later
    ((("in", _Post(b"/now", 5000)), ("time", 10), ("in", b"x" * 1023), "look", ("in", b"x"), "look", ("in", b"x" * 1025), "look",
      ("in", b"x" * 1022), "look", ("in", b"x"), "look"),
     [([], b"", "reads", 10, True), ([], b"", "reads", 11, True), ([], b"", "reads", 12, True), ([], b"", "reads", 12, True),
      ([], b"", "reads", 13, True)]),
    # it starts at zero for each request
    ((("in", _Post(b"/now", 1023) + b"x" * 1023 + _Post(b"/now", 2000)), ("time", 10), ("in", b"x"), "look"),
     [([200], b"[1023]", "reads", 10, True)]),
    # it responds early, before reading: short remaining content is read and dropped
    ((("in", _Post(b"/async", 150)), ("in", b"x" * 120), "look", "answer", "look", ("in", b"x" * 30 + _Get(b"/now")), "look"),
     [([], b"", "waits", None, False), True, ([200], b"answer", "reads", 20, False), ([200], b"[0]", "reads", 50, True)]),
    # OnSent: the connection closes after the response, and the callback is called when the client has closed, or is
    # aborted because it does not
    ((("in", _Get(b"/later")), "sent", "answer", "look", "turn", "look", "lost", "look"),
     [True, ([200], b"answer", "lingers", 2, True), ([], b"", "lingers", 2, True), "sent", ([], b"", "dead", 2, True)]),
    ((("in", _Get(b"/later")), "sent", "answer", "expire", "look"), [True, "sent", ([200], b"answer", "dead", 2, True)]),
    ((("in", _Get(b"/later")), "sent", "lost", "answer"), ["sent", False]),
    ((("in", _Get(b"/later")), "answer", "sent", "look", "lost"), [True, ([200], b"answer", "lingers", 2, True), "sent"]),
    ((("in", _Get(b"/later")), "lost", "sent"), ["sent"]),
    ((("in", _Get(b"/later") + _Get(b"/now")), "sent", "answer", "look"), [True, ([200], b"answer", "lingers", 2, True)]),
    # input after the last response is not stored
    ((("in", b"GET / HTTP/1.1\r\n\r\n"), ("in", b"x" * 500), "held", ("in", b"x" * 500), "held"), [0, 0]),
    # after a complete request MicroPython may close as soon as nothing is left to read; not after an incomplete one,
    # nor if the program waits for the client to close
    ((("in", b"GET / HTTP/1.1\r\n\r\n"), "whole"), [True]),
    ((("in", _Get(b"/now", b"Connection: close") + _Get(b"/now")), "whole"), [True]),
    ((("in", _Post(b"/now", 5001)), "whole"), [False]),
    ((("in", _Get(b"/later")), "sent", "answer", "whole"), [True, False]),
    # a file in several pieces; a source with Start(connection)
    ((("in", _Get(b"/file-of-pieces")), "look", ("in", _Get(b"/started")), "look"),
     [([200], b"p" * 12, "reads", 50, True), ([200], b"p" * 7, "reads", 50, True)]),
    # IsConnected()
    ((("in", _Get(b"/later")), "there", "end", "there", "answer", "there"), [True, True, False, True, False]),
    ((("in", _Get(b"/later")), "there", "lost", "there"), [True, False]),
    ((("in", _Get(b"/later")), "answer", "there"), [True, False]),
    # the last slot is not kept alive, the one before is
    ((("full", 1), ("in", _Get(b"/now")), "look"), [([200], b"[0]", "reads", 50, True)]),
    ((("full", 0), ("in", _Get(b"/now")), "look"), [([200], b"[0]", "dead", None, True)]),
    # lingering starts when the queued bytes were sent
    ((("in", _Get(b"/later", b"Connection: close") + _Get(b"/now")), ("slow", 9), "answer", "look", "drained", "look"),
     [True, ([200], b"answer", "behind", 2, True), ([], b"", "lingers", 2, True)]),
    # Connection: close
    ((("in", _Get(b"/now", b"Connection: close")), "look"),
     [([200], b"[0]", "dead", None, True)]),
    # Connection: close, and another request
    ((("in", _Get(b"/now", b"Connection: close") + _Get(b"/now")), "look"),
     [([200], b"[0]", "lingers", 2, True)]),
]

class _Endpoint:
    """The new endpoint of a link."""

    deadline = None

    def __init__(self, seen):
        self.seen = seen

    def OnReceived(self, data):
        self.seen.append(bytes(data))

    def OnLost(self):
        self.seen.append("lost")


def Upgrade(rest, minor=1, token="foo"):
    """-> the bytes that the new endpoint gets: those after the head, and later ones; and other effects."""
    seen = []

    def Upgrader(client, response):
        client.connection.Upgrade(response, b"HTTP/1.1 101 .\r\n\r\n", _Endpoint(seen))
        seen.append((response.code, client.connection.Answer(response, 200, None, None, b"", b"late")))
    server = _Scripted()
    server.Upgraders["foo"] = Upgrader
    link = rooms.Connect(server)
    connection = link.endpoint
    link.Receive(b"GET /now HTTP/1.%d\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: bar, %s\r\n\r\n" % (minor, token.encode()) + rest)
    if link.endpoint is connection:
        return "not upgraded", link.sent.count(b" 200 ")
    link.Receive(b"later")
    link.Abort()
    return seen, link.sent, connection.data, connection.response, len(server.heads)


UPGRADE = [
    ((b"",), ([(101, False), b"later", "lost"], b"HTTP/1.1 101 .\r\n\r\n", b"", None, 0)),
    ((b"frame",), ([b"frame", (101, False), b"later", "lost"], b"HTTP/1.1 101 .\r\n\r\n", b"", None, 0)),
    ((b"", 0), ("not upgraded", 1)),
    ((b"", 1, "other"), ("not upgraded", 1)),
]


def Limits(line, head):
    """A request line and a head of these sizes, whole and in two pieces, give the same status."""
    first = b"GET /" + b"a" * (line - 14) + b" HTTP/1.1\r\nHost: a\r\nX: "
    data = first + b"y" * (head - len(first)) + b"\r\n\r\n"
    statuses = []
    for pieces in ([data], [data[:-3], data[-3:]], [data[:-1], data[-1:]]):
        server = rooms.Server(100, 200)
        link = rooms.Connect(server)
        for piece in pieces:
            link.Receive(piece)
        statuses.append(int(link.sent[9:12]))
    return statuses[0] if min(statuses) == max(statuses) else statuses


LIMITS = [((100, 200), 200), ((101, 200), 414), ((100, 201), 431), ((101, 201), 414), ((50, 201), 431), ((50, 199), 200)]

TABLES = [
    ("Upgrade", Upgrade, UPGRADE),
    ("Limits", Limits, LIMITS),
    ("Bad", Outcome, [((data,), [status]) for _, status, data in cases.BAD]),
    ("Good", Played, [((data, expected), expected) for _, data, expected in cases.GOOD]),
    ("Smuggling", NeverSmuggled, [((data, expected), expected) for _, data, expected in cases.SMUGGLING]),
    ("Early", Early, EARLY),
    ("Script", Script, SCRIPTS),
]
