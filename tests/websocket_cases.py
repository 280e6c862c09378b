"""The WebSocket protocol as bytes: tables, and functions that check them on both runtimes.

test_websocket_protocol.py runs Main() of this file on MicroPython, and each of CHECKS as a separate test on CPython. A
check raises AssertionError. The reference for UTF-8 and for masks is written here, directly from the RFCs.
"""

import microWebDeflate as wd
import microWebSocket as ws
import microWebSocketPlus as wp
from microWebSrv import MicroWebSrv

MAX_LEN = 70000         # of a message, unless a case gives another limit
KEY = b"\x01\x82\x43\xc4"


# ------------------------------------------------------------------------------------------------------- helpers

def Masked(data, key=KEY):
    """RFC 6455 section 5.3, byte by byte."""
    return bytes([byte ^ key[i % 4] for i, byte in enumerate(data)])


def Frame(first, payload=b"", key=KEY, form=None):
    """A client's frame. form 126 or 127 uses a longer length field than necessary."""
    size = len(payload)
    form = form or (size if size < 126 else 126 if size < 65536 else 127)
    head = bytes((first, 0x80 | form))
    if form == 126:
        head += size.to_bytes(2, "big")
    elif form == 127:
        head += size.to_bytes(8, "big")
    return head + key + Masked(payload, key)


def Text(text, key=KEY):
    return Frame(0x81, text.encode(), key)


class FakeLink:
    """A link that records calls, with a backlog that the test sets."""

    isDead = False
    want = 1

    def __init__(self):
        self.sent = b""
        self.backlog = 0
        self.state = "open"
        self.endpoint = None

    def Send(self, data):
        self.sent += bytes(data)

    def Backlog(self):
        return self.backlog

    out = property(Backlog)

    def Want(self, want):
        self.want = want

    def Finish(self, isWhole=False):
        self.state = "finished"

    def Close(self):
        self.state = "closed"

    def Abort(self):
        self.state = "aborted"

    def Take(self):
        sent, self.sent = self.sent, b""
        return sent

    def Drain(self):
        """The queued bytes were sent: the link tells its endpoint."""
        self.backlog = 0
        self.endpoint.OnDrained()

    def Turn(self):
        """The poll loop: as many turns as are requested."""
        turns = 0
        while self.want == 4:
            self.want = 1
            self.endpoint.OnDrained()
            turns += 1
        return turns


class FakeServer:
    """The part of the core that a WebSocket uses. Calls and tasks wait until the test runs them."""

    AcceptWebSocketCallback = None
    MaxWebSocketRecvLen = 1000
    WebSocketThreaded = False
    WebSocketStackSize = 4096
    webSocketRoutes = ()
    webSocketWorkers = ()
    MaxConnections = 9
    SpawnCallback = None
    Utf8 = staticmethod(MicroWebSrv.Utf8)
    now = 100
    hasPlus = True

    def __init__(self):
        self.Upgraders = {}
        self.links = {}
        self.isOnEngine = self.isRunning = True
        self.calls = []
        self.tasks = []
        self.errors = []
        self.lines = []
        ws.Attach(self)
        if self.hasPlus:
            wp.Attach(self)
        self.SpawnCallback = self.Spawn

    def IsOnEngine(self):
        return self.isOnEngine

    def CallSoon(self, func, *args):
        if self.isRunning:
            self.calls.append((func, args))
        return self.isRunning

    def Pending(self):
        return len(self.calls)

    def Spawn(self, coroutine, done):
        self.tasks.append((coroutine, done))

    def StartThread(self, func, args, stackSize):
        return False

    def NewLock(self):
        return FakeLock()

    def Log(self, text, error=None):
        self.lines.append(text)
        if error:
            self.errors.append(error)

    def IsStarted(self):
        return self.isRunning

    def Step(self):
        """One step of every task, then the queued calls: the order of an asyncio loop."""
        for task in self.tasks[:]:
            coroutine, done = task
            error = None
            try:
                coroutine.send(None)
                continue
            except StopIteration:
                pass
            except BaseException as failure:
                error = failure
            self.tasks.remove(task)
            done(error)
        calls, self.calls = self.calls, []
        for func, args in calls:
            func(*args)


class FakeLock:
    def acquire(self):
        pass

    release = acquire


class Recorder(ws.MicroWebSocket):
    """Records the events of the protocol in a list."""

    def __init__(self, maxLen=MAX_LEN, codec=None):
        server = FakeServer()
        server.MaxWebSocketRecvLen = maxLen
        super().__init__(server, RecorderLink(), (lambda webSocket: None, ()))
        self._link.endpoint = self
        self.Codec = codec
        self.log = log = []
        self.RecvTextCallback = lambda webSocket, msg: log.append((1, msg))
        self.RecvBinaryCallback = lambda webSocket, data: log.append((2, data))
        self.Done()


class RecorderLink(FakeLink):
    def Send(self, data):
        """Pongs; and one Close frame, which ends the connection."""
        Same(len(data), data[1] + 2, "a control frame")
        if data[0] == 0x8a:
            self.endpoint.log.append((9, data[2:]))
            return
        code = self.endpoint.CloseCode
        Same(data[:1] + data[2:4], b"\x88" + (b"" if code == 1005 else code.to_bytes(2, "big")), "a Close frame")
        Same(self.state, "open", "the only one")
        self.state = "told"

    def Finish(self, isWhole=False):
        """The server closes, because the client broke a rule."""
        Same(self.state, "told", "behind a Close frame")
        self.state = "finished"
        self.endpoint.log.append(("fail", self.endpoint.CloseCode))

    def Close(self):
        """The client has closed."""
        if self.state != "finished":
            Same(self.state, "told", "behind a Close frame")
            self.state = "closed"
            self.endpoint.log.append((8, self.endpoint.CloseCode, self.endpoint.CloseReason))


class Codec:
    """Replaces permessage-deflate: 'packed' means reversed; an empty result and b'bad' have the obvious meaning."""

    def Inflate(self, data, maxLen):
        if data == b"bad":
            raise ValueError("bad")
        if data[:4] == b"long":
            return b"short"
        return data * 100 if data == b"bomb" else bytes(reversed(data))


def Same(got, expected, what):
    assert got == expected, "%s: %r instead of %r" % (what, got, expected)


# ------------------------------------------------------------------------------------------------- the protocol

BIG = bytes([i * 7 & 255 for i in range(66000)])
FOX = "The quick brown fox jumps over the lazy d\u00f6g \u20ac \U0001f98a"

# (name, bytes from the client, events of the protocol)
CASES = [
    ("nothing", b"", []),
    ("text", Text("hello"), [(1, "hello")]),
    ("text, RFC 5.7", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", [(1, "Hello")]),
    ("empty text", Text(""), [(1, "")]),
    ("empty binary", Frame(0x82), [(2, b"")]),
    ("text beyond ASCII", Text(FOX), [(1, FOX)]),
    ("binary", Frame(0x82, b"\x00\xff\x80"), [(2, b"\x00\xff\x80")]),
    ("zero mask", Text("plain", b"\0\0\0\0"), [(1, "plain")]),
    ("125 bytes", Frame(0x82, BIG[:125]), [(2, BIG[:125])]),
    ("126 bytes", Frame(0x82, BIG[:126]), [(2, BIG[:126])]),
    ("127 bytes", Frame(0x82, BIG[:127]), [(2, BIG[:127])]),
    ("two messages", Text("a") + Frame(0x82, b"b"), [(1, "a"), (2, b"b")]),
    ("fragments", Frame(0x01, b"Hel") + Frame(0x80, b"lo"), [(1, "Hello")]),
    ("three fragments", Frame(0x02, b"a") + Frame(0x00, b"b") + Frame(0x80, b"c"), [(2, b"abc")]),
    ("empty fragments", Frame(0x01) + Frame(0x00) + Frame(0x00, b"x") + Frame(0x80), [(1, "x")]),
    ("only empty fragments", Frame(0x02) + Frame(0x80), [(2, b"")]),
    ("fragments with keys of their own", Frame(0x01, b"abcde") + Frame(0x80, b"fgh", b"wxyz"), [(1, "abcdefgh")]),
    ("ping within a message", Frame(0x01, b"a") + Frame(0x89, b"p") + Frame(0x80, b"b"), [(9, b"p"), (1, "ab")]),
    ("a character cut by fragments", Frame(0x01, b"\xf0\x9f") + Frame(0x00, b"\xa6") + Frame(0x80, b"\x8a"),
     [(1, "\U0001f98a")]),
    ("ping", Frame(0x89, b"payload"), [(9, b"payload")]),
    ("empty ping", Frame(0x89), [(9, b"")]),
    ("longest ping", Frame(0x89, BIG[:125]), [(9, BIG[:125])]),
    ("pong", Frame(0x8a, b"unasked") + Text("x"), [(1, "x")]),
    ("close", Frame(0x88), [(8, 1005, "")]),
    ("close with code", Frame(0x88, b"\x03\xe8"), [(8, 1000, "")]),
    ("close with reason", Frame(0x88, b"\x03\xe9" + "gr\u00fc\u00dfe".encode()), [(8, 1001, "gr\u00fc\u00dfe")]),
    ("close with the longest reason", Frame(0x88, b"\x0b\xb8" + b"r" * 123), [(8, 3000, "r" * 123)]),
    ("nothing after close", Frame(0x88, b"\x03\xe8") + Text("late"), [(8, 1000, "")]),
    # violations
    ("5.1: no mask", b"\x81\x01a", [("fail", 1002)]),
    ("5.1: no mask, empty", b"\x81\x00" + Text("x"), [("fail", 1002)]),
    ("5.1: no mask on close", b"\x88\x00", [("fail", 1002)]),
    ("5.1: no mask, 126 bytes", b"\x82\x7e\x00\x7e" + BIG[:126], [("fail", 1002)]),
    ("5.1: no mask, 64 KB", b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + BIG[:65536], [("fail", 1002)]),
    ("5.2: RSV1", Frame(0xc1, b"a"), [("fail", 1002)]),
    ("5.2: RSV2", Frame(0xa1, b"a"), [("fail", 1002)]),
    ("5.2: RSV3", Frame(0x91, b"a"), [("fail", 1002)]),
    ("5.2: RSV1 on ping", Frame(0xc9), [("fail", 1002)]),
    ("5.2: 126 for 125", Frame(0x82, BIG[:125], form=126), [("fail", 1002)]),
    ("5.2: 126 for 0", Frame(0x82, b"", form=126), [("fail", 1002)]),
    ("5.2: 127 for 126", Frame(0x82, BIG[:126], form=127), [("fail", 1002)]),
    ("5.2: 127 for 65535", Frame(0x82, BIG[:65535], form=127)[:20], [("fail", 1002)]),
    ("5.2: highest bit", b"\x82\xff\x80" + b"\0" * 7 + KEY, [("fail", 1009)]),
    ("5.4: continuation of nothing", Frame(0x80, b"a"), [("fail", 1002)]),
    ("5.4: continuation of nothing, not final", Frame(0x00, b"a"), [("fail", 1002)]),
    ("5.4: continuation after the end", Text("x") + Frame(0x80, b"a"), [(1, "x"), ("fail", 1002)]),
    ("5.4: text within text", Frame(0x01, b"a") + Text("b"), [("fail", 1002)]),
    ("5.4: text within an empty beginning", Frame(0x01) + Text("b"), [("fail", 1002)]),
    ("5.4: binary within text", Frame(0x01, b"a") + Frame(0x82, b"b"), [("fail", 1002)]),
    ("5.5: ping in pieces", Frame(0x09, b"a"), [("fail", 1002)]),
    ("5.5: close in pieces", Frame(0x08, b"\x03\xe8"), [("fail", 1002)]),
    ("5.5: long ping", Frame(0x89, BIG[:126]), [("fail", 1002)]),
    ("5.5: ping with 126 for 5", Frame(0x89, b"abcde", form=126), [("fail", 1002)]),
    ("5.5.1: close with one byte", Frame(0x88, b"\x03"), [("fail", 1002)]),
    ("5.5.1: reason not UTF-8", Frame(0x88, b"\x03\xe8\xff"), [("fail", 1007)]),
    ("5.5.1: reason a surrogate", Frame(0x88, b"\x03\xe8\xed\xa0\x80"), [("fail", 1007)]),
    ("8.1: text not UTF-8", Frame(0x81, b"a\xff"), [("fail", 1007)]),
    ("8.1: overlong", Frame(0x81, b"\xc0\xaf"), [("fail", 1007)]),
    ("8.1: surrogate", Frame(0x81, b"\xed\xa0\x80"), [("fail", 1007)]),
    ("8.1: above U+10FFFF", Frame(0x81, b"\xf4\x90\x80\x80"), [("fail", 1007)]),
    ("8.1: text ends within a character", Frame(0x81, b"\xc3"), [("fail", 1007)]),
    ("8.1: fragments end within a character", Frame(0x01, b"a\xe2") + Frame(0x80, b"\x82"), [("fail", 1007)]),
    ("8.1: wrong across fragments", Frame(0x01, b"\xed") + Frame(0x00, b"\xa0") + Frame(0x80, b"\x80"),
     [("fail", 1007)]),
    ("8.1: binary may be anything", Frame(0x02, b"\xff") + Frame(0x80, b"\xed\xa0"), [(2, b"\xff\xed\xa0")]),
]
for _opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    CASES.append(("5.2: opcode %d" % _opcode, Frame(0x80 | _opcode, b"a"), [("fail", 1002)]))
for _code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
    CASES.append(("7.4: close code %d" % _code, Frame(0x88, _code.to_bytes(2, "big")), [("fail", 1002)]))
for _code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
    CASES.append(("7.4: close code %d" % _code, Frame(0x88, _code.to_bytes(2, "big")), [(8, _code, "")]))

# the same with a limit, and with an extension that uses RSV1
LIMITED = [
    ("at the limit", 10, Frame(0x82, b"0123456789"), [(2, b"0123456789")]),
    ("above the limit", 10, Frame(0x82, b"0123456789a"), [("fail", 1009)]),
    ("above the limit by its head alone", 10, Frame(0x82, b"0123456789a")[:6], [("fail", 1009)]),
    ("huge by its head alone", 10, b"\x82\xff" + b"\x7f" + b"\xff" * 7 + KEY, [("fail", 1009)]),
    ("fragments at the limit", 10, Frame(0x01, b"01234") + Frame(0x80, b"56789"), [(1, "0123456789")]),
    ("fragments above the limit", 10, Frame(0x01, b"01234") + Frame(0x80, b"56789a"), [("fail", 1009)]),
    ("many fragments above the limit", 3, Frame(0x01, b"a") + Frame(0x00, b"b") * 3, [("fail", 1009)]),
    ("a limit of 0", 0, Text("") + Text("a"), [(1, ""), ("fail", 1009)]),
    ("control frames have no limit but their own", 2, Frame(0x89, BIG[:100]), [(9, BIG[:100])]),
    ("a limit counts bytes", 4, Text("\u20ac") + Text("\u20aca") + Text("\u20acab"),
     [(1, "\u20ac"), (1, "\u20aca"), ("fail", 1009)]),
    ("nothing counts behind what was refused", 10,
     Frame(0x82, b"0123456789a" * 20) + Text("lost") + Frame(0x89, b"p") + Frame(0x88), [("fail", 1009)]),
    ("behind a refused fragment", 10, Frame(0x01, b"\xff") + Frame(0x89) + Frame(0x80, b"a" * 9) + Frame(0x88),
     [("fail", 1007)]),
    ("the first reason counts", 10, Frame(0x01, b"\xff") + Frame(0x80, b"\xff" * 90) + Text("x" * 11),
     [("fail", 1007)]),
]
PACKED = [
    ("packed text", Frame(0xc1, b"olleh"), [(1, "hello")]),
    ("packed binary", Frame(0xc2, b"\x02\x01"), [(2, b"\x01\x02")]),
    ("packed in fragments", Frame(0x41, b"ol") + Frame(0x00, b"le") + Frame(0x80, b"h"), [(1, "hello")]),
    ("packed text is checked unpacked", Frame(0x41, b"\x84\xc3") + Frame(0x80, b"a"), [(1, "a\u00c4")]),
    ("packed text not UTF-8", Frame(0xc1, b"\xc3\x84"), [("fail", 1007)]),
    ("plain beside packed", Text("a") + Frame(0xc1, b"b"), [(1, "a"), (1, "b")]),
    ("RSV1 on a continuation", Frame(0x41, b"a") + Frame(0xc0, b"b"), [("fail", 1002)]),
    ("RSV1 on a ping", Frame(0xc9), [("fail", 1002)]),
    ("RSV1 and RSV2", Frame(0xe1), [("fail", 1002)]),
    ("broken compression", Frame(0xc1, b"bad"), [("fail", 1007)]),
    ("too big when unpacked", Frame(0xc1, b"bomb"), [("fail", 1009)]),
    ("what can't be compressed may grow by 16 bytes and a 256th", Frame(0xc1, b"long" + b"." * 112), [(1, "short")]),
    ("but by no more", Frame(0xc1, b"long" + b"." * 113), [("fail", 1009)]),
]


_INBOX = bytearray(1 << 17)


def _Receive(protocol, piece):
    """Like the link on MicroPython: a long piece is a view of the inbox, which the next read overwrites."""
    size = len(piece)
    if ws._MICROPYTHON and size > 512:
        _INBOX[:size] = piece
        piece = memoryview(_INBOX)[:size]
    protocol.OnReceived(piece)
    _INBOX[:size] = b"!" * size


def Feed(pieces, expected, what, maxLen=MAX_LEN, codec=None):
    protocol = Recorder(maxLen, codec)
    for piece in pieces:
        _Receive(protocol, piece)
        protocol._link.Turn()
    Same(protocol.log, expected, what)
    return protocol


def TryAllCuts(name, data, expected, maxLen=MAX_LEN, codec=None):
    """In one piece, byte by byte, and split at every position of the first kilobyte."""
    Feed([data] if data else [], expected, name, maxLen, codec)
    rest = [data[1000:]] if len(data) > 1000 else []
    Feed([data[i:i + 1] for i in range(min(len(data), 1000))] + rest, expected, name + ", byte by byte", maxLen, codec)
    for cut in range(1, min(len(data), 1000)):
        Feed([data[:cut], data[cut:]], expected, "%s, cut at %d" % (name, cut), maxLen, codec)


def CheckProtocol():
    for name, data, expected in CASES:
        TryAllCuts(name, data, expected)


def CheckLimits():
    for name, maxLen, data, expected in LIMITED:
        TryAllCuts(name, data, expected, maxLen)


def CheckPacked():
    for name, data, expected in PACKED:
        TryAllCuts(name, data, expected, 100, Codec())


def CheckThreeCuts():
    """A connection with all kinds of frames, split into three pieces at many positions."""
    data = (Text("a") + Frame(0x01, b"\xe2\x82") + Frame(0x89, b"x") + Frame(0x80, b"\xac") + Frame(0x82, BIG[:130])
            + Frame(0x88, b"\x03\xe8"))
    expected = [(1, "a"), (9, b"x"), (1, "\u20ac"), (2, BIG[:130]), (8, 1000, "")]
    for first in range(0, len(data), 3):
        for second in range(first, len(data), 7):
            pieces = [piece for piece in (data[:first], data[first:second], data[second:]) if piece]
            Feed(pieces, expected, "cut at %d and %d" % (first, second))


def CheckLargeMessages():
    """Each form of the length, in one read, in reads of odd sizes, and in several frames: the content arrives
    unchanged."""
    for size in (65534, 65535, 65536, 66000):
        data = BIG[:size]
        frame = Frame(0x82, data)
        Feed([frame], [(2, data)], "%d bytes" % size)
        for step in (1000, 1021, 16384):
            Feed([frame[i:i + step] for i in range(0, len(frame), step)], [(2, data)], "%d by %d" % (size, step))
        parts = [data[i:i + 999] for i in range(0, size, 999)]
        frames = [Frame(2 * (i == 0) | 0x80 * (i == len(parts) - 1), part) for i, part in enumerate(parts)]
        Feed(frames, [(2, data)], "%d in frames" % size)
        Feed([b"".join(frames)], [(2, data)], "%d in frames of one read" % size)


def CheckSingleByteFragments():
    """A client sends one byte in each frame: the bytes are joined, not stored as separate objects."""
    protocol = Feed([Frame(0x01, b"a")] + [Frame(0x00, b"b")] * 2000, [], "2001 fragments")
    Same(len(protocol._message[1]), 2001, "in one place")
    protocol.OnReceived(Frame(0x80, b"c"))
    Same(protocol.log, [(1, "a" + "b" * 2000 + "c")], "2002 fragments")


def CheckTextFailsAtOnce():
    """Section 8.1: an invalid byte fails the connection before the end of the frame, the message or the character."""
    for good, bad in ((b"", b"\xff"), (b"abc", b"\x80"), (b"\xe2\x82", b"\x28"), (b"", b"\xc1"), (b"\xe0", b"\x80"),
                      (b"\xed", b"\xa0"), (b"\xf0", b"\x8f"), (b"\xf4", b"\x90"), (b"", b"\xf5"),
                      (b"\xf0\x9f\xa6", b"\x41")):
        name = "%r then %r" % (good, bad)
        frame = Frame(0x01, good + bad + b"never sent")
        protocol = Feed([frame[:6 + len(good)]], [], name)
        protocol.OnReceived(frame[6 + len(good):7 + len(good)])
        Same(protocol.log, [("fail", 1007)], name)
        protocol = Feed([Frame(0x01, good)], [], name)
        protocol.OnReceived(Frame(0x00, bad))
        Same(protocol.log, [("fail", 1007)], name + " in a fragment")


def CheckHeld():
    """Messages that wait for slow callbacks keep their order, and are delivered afterwards."""
    protocol = Recorder()
    link = protocol._link
    protocol._queue = ("one", "goes", "on", "...")
    data = Text("a") + Text("b") + Frame(0x01, b"c")
    protocol.OnReceived(data[:9])
    Same(link.want, 0, "nothing is read")
    protocol.OnReceived(data[9:])
    Same(protocol.log, [], "held")
    protocol._queue = None
    protocol.OnReceived(b"")
    Same(link.want, 1, "it is read again")
    protocol.OnReceived(Frame(0x80, b"d"))
    Same(protocol.log, [(1, "a"), (1, "b"), (1, "cd")], "released")


# --------------------------------------------------------------------------------------------------- UTF-8, masks

# The grammar of RFC 3629 section 4: range of the first byte, range of the second byte, number of bytes that follow.
UTF8_GRAMMAR = ((0x00, 0x7f, 0, 0, 0), (0xc2, 0xdf, 0x80, 0xbf, 0), (0xe0, 0xe0, 0xa0, 0xbf, 1),
                (0xe1, 0xec, 0x80, 0xbf, 1), (0xed, 0xed, 0x80, 0x9f, 1), (0xee, 0xef, 0x80, 0xbf, 1),
                (0xf0, 0xf0, 0x90, 0xbf, 2), (0xf1, 0xf3, 0x80, 0xbf, 2), (0xf4, 0xf4, 0x80, 0x8f, 2))
UTF8_BYTES = (0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
              0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xff)
UTF8_FOLLOWERS = (0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0)


def Utf8Grammar(data):
    """-> the number of bytes in the incomplete character at the end, or None if a byte is invalid."""
    pos = 0
    while pos < len(data):
        rows = [row for row in UTF8_GRAMMAR if row[0] <= data[pos] <= row[1]]
        if not rows:
            return None
        start = pos
        pos += 1
        ranges = [rows[0][2:4]] * (rows[0][3] > 0) + [(0x80, 0xbf)] * rows[0][4]
        for low, high in ranges:
            if pos == len(data):
                return pos - start
            if not low <= data[pos] <= high:
                return None
            pos += 1
    return 0


DECODER = Recorder()


def _TryText(data):
    rest = Utf8Grammar(data)
    Same(DECODER._Unfinished(data), None if rest is None else data[len(data) - rest:], "_Unfinished(%r)" % data)


def CheckUtf8():
    """Every sequence of two bytes, and three and four bytes at the limits of the grammar, alone and after other
    text."""
    for first in range(256):
        _TryText(bytes((first,)))
        for second in range(256):
            _TryText(bytes((first, second)))
    for first in UTF8_BYTES:
        for second in UTF8_FOLLOWERS:
            for third in UTF8_FOLLOWERS:
                _TryText(bytes((first, second, third)))
                _TryText(b"a\xc3\xa9" + bytes((first, second, third)))
                if first >= 0xe0:
                    for fourth in UTF8_FOLLOWERS:
                        _TryText(bytes((first, second, third, fourth)))
                        _TryText(bytes((first, second, third, fourth, 0x41)))


def CheckUtf8Pieces():
    """In pieces, a text fails exactly at the byte where the whole text fails first."""
    for data in (FOX.encode(), b"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", b"ok \xf0\x9f\xa6\x8a\xf4\x90",
                 b"\xce\xba\xff", b"\xe1\xa0\xc0", b"abc\xe2\x82\xac\x80", b"\xf0\x90\x80\x80\xed\xbf\xbf"):
        tail = b""
        for i in range(len(data)):
            tail = DECODER._Unfinished(tail + data[i:i + 1])
            expected = Utf8Grammar(data[:i + 1])
            Same(None if tail is None else len(tail), expected, "%r at %d" % (data, i))
            if tail is None:
                break


def CheckMasks():
    for unmask in (ws._Unmask, getattr(ws, "_PlainUnmask", ws._Unmask)):
        for size in list(range(70)) + [125, 126, 127, 255, 256, 257, 512, 1000, 4096, 4099]:
            for key in (KEY, b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x80\0\0\0"):
                for data in (BIG[:size], b"\0" * size, memoryview(b"\xff" * size)):
                    Same(unmask(data, key), Masked(data, key), "%d bytes with %r" % (size, key))
    # a view that is not aligned, and a view of the key
    unmask = getattr(ws, "_PlainUnmask", ws._Unmask)
    for size in range(600):
        data = memoryview(BIG)[size % 7:size % 7 + size]
        Same(unmask(data, memoryview(b"." * (size % 5) + KEY)[size % 5:]), Masked(data), "%d bytes of a view" % size)
        Same(type(unmask(data, KEY)), bytes, "a copy")
    # in blocks; on MicroPython of 128 bytes
    for size in () if ws._MICROPYTHON else (65535, 65536, 65537, 65539, 131072, 131075):
        data = (BIG + BIG)[:size]
        Same(ws._PlainUnmask(data, KEY), Masked(data), "%d bytes" % size)


# ------------------------------------------------------------------------------------------ our frames, the handshake

def CheckOurFrames():
    for size, head in ((0, b"\x81\x00"), (125, b"\x81\x7d"), (126, b"\x81\x7e\x00\x7e"), (65535, b"\x81\x7e\xff\xff"),
                       (65536, b"\x81\x7f\0\0\0\0\0\x01\0\0")):
        Same(ws.Frame(0x81, b"x" * size), head + b"x" * size, "frame of %d" % size)
    for code, reason, frame in ((1000, "", b"\x88\x02\x03\xe8"), (4000, "\u00e9", b"\x88\x04\x0f\xa0\xc3\xa9")):
        link, webSocket = Open()[1:3]
        webSocket.Close(code, reason)
        Same(link.Take(), frame, "close")
    link, webSocket = Open()[1:3]
    webSocket.OnReceived(Frame(0x88))
    Same(link.Take(), b"\x88\x00", "close without a code")


REQUEST = {"host": "device.local", "connection": "Upgrade", "sec-websocket-version": "13",
           "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}


class FakeHead:
    method = "GET"

    def __init__(self, path="/", changes=()):
        self.path = self.key = self.target = path
        self.fields = dict(REQUEST)
        self.fields.update(changes)
        self.authority = self.fields["host"]


# (name, changes to REQUEST, allowed origins, status)
HANDSHAKES = [
    ("fine", {}, None, 0),
    ("no version", {"sec-websocket-version": ""}, None, 426),
    ("version 8", {"sec-websocket-version": "8"}, None, 426),
    ("two versions", {"sec-websocket-version": "13, 8"}, None, 426),
    ("empty key", {"sec-websocket-key": ""}, None, 400),
    ("key of 15 bytes", {"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAA"}, None, 400),
    ("key of 17 bytes", {"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAAA="}, None, 400),
    ("key of 18 bytes", {"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAAAA"}, None, 400),
    ("key that is no base64", {"sec-websocket-key": "!GhlIHNhbXBsZSBub25jZQ=="}, None, 400),
    ("key with a letter beyond ASCII", {"sec-websocket-key": "\u00e9GhlIHNhbXBsZSBub25jZQ=="}, None, 400),
    ("two keys", {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="}, None, 400),
    ("page of this host", {"origin": "http://device.local"}, None, 0),
    ("page of this host over TLS", {"origin": "https://device.local"}, None, 0),
    ("page of this host with a port", {"origin": "http://device.local:81", "host": "device.local:81"}, None, 0),
    ("the host in capitals", {"origin": "http://device.local", "host": "Device.LOCAL"}, None, 0),
    ("a proxy added the port", {"origin": "http://device.local", "host": "device.local:80"}, None, 0),
    ("a proxy added the port of TLS", {"origin": "https://device.local", "host": "device.local:443"}, None, 0),
    ("another port", {"origin": "http://device.local:81"}, None, 403),
    ("a page of the same host's main port", {"origin": "http://device.local", "host": "device.local:8080"}, None, 403),
    ("another host", {"origin": "http://evil.example"}, None, 403),
    ("another host, and a port", {"origin": "http://evil.example", "host": "device.local:80"}, None, 403),
    ("another host in capitals", {"origin": "HTTPS://EVIL.example"}, None, 403),
    ("a host that begins like this one", {"origin": "http://device.local.evil.example"}, None, 403),
    ("a sandboxed page", {"origin": "null"}, None, 403),
    ("a scheme and no host", {"origin": "http"}, None, 403),
    ("no web page: no scheme", {"origin": "device.local"}, None, 0),
    ("no web page: a file", {"origin": "file://"}, None, 0),
    ("no web page: a scheme that is not http", {"origin": "ws://device.local"}, None, 0),
    ("no web page: an extension", {"origin": "chrome-extension://abcdefgh"}, None, 0),
    ("an empty origin", {"origin": ""}, None, 0),
    ("a listed host", {"origin": "http://friend.example"}, ["http://friend.example"], 0),
    ("one string", {"origin": "http://friend.example"}, "http://friend.example", 0),
    ("a part of one string", {"origin": "http://friend.exam"}, "http://friend.example", 403),
    ("this host where it is not listed", {"origin": "http://device.local"}, ["http://friend.example"], 403),
    ("a file where it is not listed", {"origin": "file://"}, ["http://friend.example"], 403),
    ("an empty list", {"origin": "http://device.local"}, [], 403),
    ("a listed sandbox", {"origin": "null"}, ("null",), 0),
    ("everybody", {"origin": "http://evil.example"}, "*", 0),
    ("no page at all", {}, [], 0),
]


class FakeRequest:
    def __init__(self, head):
        self.head = head


def Refusal(head, allowed=None):
    server = FakeServer()
    server.AllowedWebSocketOrigins = allowed
    return ws.Refusal(FakeRequest(head), server)


def CheckHandshake():
    for name, changes, allowed, status in HANDSHAKES:
        Same(Refusal(FakeHead("/", changes), allowed), status, name)
        if allowed is None:
            Same(wp._Refusal(FakeRequest(FakeHead("/", changes)), None), status, name + ", microWebSocket alone")
    for name, status in (("sec-websocket-version", 426), ("sec-websocket-key", 400)):
        head = FakeHead()
        del head.fields[name]
        Same(Refusal(head), status, "no " + name)
    for method in ("POST", "HEAD", "OPTIONS", "PUT", "get"):
        head = FakeHead()
        head.method = method
        Same(Refusal(head), 400, "section 4.1: the method of the request MUST be GET")
        Same(Refusal(head, "*"), 400, "whoever may connect")
    head = FakeHead("/", {"origin": "http://friend.example"})
    head.authority = "friend.example"               # from an absolute-form target: it overrides the Host field
    Same(Refusal(head), 0, "the authority counts")


def CheckRefusalIsLogged():
    """A refusal gives one log line: the status, and the values that were compared."""
    server = FakeServer()
    server.AcceptWebSocketCallback = lambda webSocket, client: None
    for changes, line in (({"origin": "http://evil.example"}, "403: /, Host device.local, Origin http://evil.example"),
                          ({"origin": "null"}, "403: /, Host device.local, Origin null"),
                          ({"sec_websocket_version": "7"}, "426: /, Host device.local, Origin None"),
                          ({"sec_websocket_key": "x"}, "400: /, Host device.local, Origin None")):
        Upgrade(server, **changes)
        Same(server.lines, ["WebSocket " + line], "one line")
        server.lines = []


def CheckSwitchHead():
    """The example of section 1.3, and additional header lines."""
    head = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
    server = FakeServer()
    server.AcceptWebSocketCallback = lambda webSocket, client: None
    Same(Upgrade(server).head101, head + b"\r\n", "101")
    server.WebSocketProtocols = ("chat",)
    Same(Upgrade(server, sec_websocket_protocol="chat").head101, head + b"Sec-WebSocket-Protocol: chat\r\n\r\n",
         "101 with a protocol")
    server.WebSocketProtocols = ()
    server.Offers.append(lambda webSocket, head: b"Sec-WebSocket-Extensions: x; y\r\n")
    Same(Upgrade(server, sec_websocket_extensions="x").head101, head + b"Sec-WebSocket-Extensions: x; y\r\n\r\n",
         "101 with an extension")


def CheckSubprotocols():
    """The first of our protocols that the client offers; RFC 9110 section 5.6.1: commas with optional white space."""
    server = FakeServer()
    server.AcceptWebSocketCallback = lambda webSocket, client: None
    for offered, spoken, chosen in (("", ("a",), None), ("a", (), None), ("a, b", ("b",), "b"),
                                    ("a,b", ["b", "a"], "b"), ("x,\tchat", ("chat",), "chat"),
                                    ("ch at", ("chat",), None), ("x ,\t chat\t,y", ("chat",), "chat"),
                                    (", ,chat,", ("chat",), "chat"),
                                    ("ab", ("a",), None), ("A", ("a",), None), ("a , c", ("x", "c"), "c")):
        server.WebSocketProtocols = spoken
        client = Upgrade(server, sec_websocket_protocol=offered)
        Same(client.endpoint.Protocol, chosen, "%r of %r" % (offered, spoken))
        Same(b"Sec-WebSocket-Protocol" in client.head101, chosen is not None, "%r of %r" % (offered, spoken))


# ----------------------------------------------------------------------------- MicroWebSocket without a socket

class Later:
    """`await Later(n)` takes n steps."""

    def __init__(self, steps):
        self.steps = steps

    def __iter__(self):
        return self

    __await__ = __iter__

    def __next__(self):
        self.steps -= 1
        if self.steps < 0:
            raise StopIteration
        return None


def Open(accept=None, server=None, early=b"", path="/"):
    """-> (server, link, webSocket, log). Without an accept callback every event goes to the log."""
    server = server or FakeServer()
    link = FakeLink()
    log = []

    def Accept(webSocket, client):
        webSocket.RecvTextCallback = lambda webSocket, msg: log.append(msg)
        webSocket.RecvBinaryCallback = lambda webSocket, data: log.append(data)
        webSocket.ClosedCallback = lambda webSocket: log.append((webSocket.CloseCode, webSocket.CloseReason))

    webSocket = link.endpoint = ws.MicroWebSocket(server, link, (accept or Accept, "client"))
    webSocket.Path = path
    server.links[len(server.links)] = link
    if early:
        webSocket.OnReceived(early)
    webSocket.Done()
    return server, link, webSocket, log


def CheckSending():
    link, webSocket = Open()[1:3]
    text, binary, ping = webSocket.SendText, webSocket.SendBinary, webSocket.Ping
    for send, data, sent in ((text, "h\u00e9", b"\x81\x03h\xc3\xa9"), (text, "", b"\x81\x00"),
                             (text, b"raw", b"\x81\x03raw"), (binary, b"ab", b"\x82\x02ab"),
                             (binary, "ab", b"\x82\x02ab"), (binary, bytearray(b"ab"), b"\x82\x02ab"),
                             (binary, memoryview(b"xaby")[1:3], b"\x82\x02ab"),
                             (binary, BIG, b"\x82\x7f" + len(BIG).to_bytes(8, "big") + BIG),
                             (ping, b"p", b"\x89\x01p"), (ping, "q" * 200, b"\x89\x7d" + b"q" * 125)):
        Same(send(data), True, "send")
        Same(link.Take(), sent, "sent")
    for bad in (5, None, [1]):
        try:
            webSocket.SendBinary(bad)
        except TypeError:
            continue
        raise AssertionError("SendBinary(%r)" % bad)
    webSocket.OnReceived(Frame(0x89, b"hello"))
    Same(link.Take(), b"\x8a\x05hello", "pong")


def CheckAcceptCallback():
    """It may send, close and replace callbacks; earlier messages wait for it."""
    def Accept(webSocket, client):
        Same(client, "client", "client")
        webSocket.anything = 1
        webSocket.SendText("hi")
        webSocket.RecvTextCallback = First

    def First(webSocket, msg):
        log.append("first " + msg)
        webSocket.RecvTextCallback = lambda webSocket, msg: log.append("second " + msg)

    log = []
    server, link, webSocket, _ = Open(Accept, early=Text("a") + Text("b") + Frame(0x82, b"nobody"))
    Same(log, ["first a", "second b"], "early messages")
    Same(link.Take(), b"\x81\x02hi", "sent by the accept callback")
    server, link, webSocket, log = Open(lambda webSocket, client: webSocket.Close(4001, "no"), early=Text("x"))
    Same((link.Take(), webSocket.IsClosed(), log), (b"\x88\x04\x0f\xa1no", True, []), "closed by the accept callback")


def CheckClosing():
    server, link, webSocket, log = Open()
    webSocket.OnReceived(Frame(0x88, b"\x03\xe9away"))
    Same((link.Take(), link.state, webSocket.IsClosed(), log), (b"\x88\x06\x03\xe9away", "closed", True, []), "their close")
    Same(webSocket.SendText("late"), False, "send after close")
    webSocket.OnReceived(Text("late"))
    webSocket.OnLost()
    Same((log, link.Take()), ([(1001, "away")], b""), "ClosedCallback")

    server, link, webSocket, log = Open()
    webSocket.Close(reason="done")
    webSocket.Close(4000)
    Same((link.Take(), link.state, webSocket.IsClosed()), (b"\x88\x06\x03\xe8done", "open", True), "our close")
    webSocket.OnReceived(Text("dropped") + Frame(0x89) + Frame(0x88, b"\x03\xe8"))
    Same((link.Take(), link.state), (b"", "closed"), "their answer")
    webSocket.OnLost()
    Same(log, [(1000, "done")], "ClosedCallback after our close")

    server, link, webSocket, log = Open()
    webSocket.OnLost()
    Same((log, webSocket.IsClosed(), webSocket.Close()), ([(1006, "")], True, None), "lost")
    server, link, webSocket, log = Open()
    webSocket.OnReceived(Frame(0x88))
    webSocket.OnLost()
    Same(log, [(1005, "")], "close without a code")
    server, link, webSocket, log = Open()
    webSocket.OnStop()
    Same(link.Take(), b"\x88\x02\x03\xe9", "the server stops")
    webSocket.OnReceived(b"\x82\xff\x7f" + b"\xff" * 7 + KEY + b"some of it")
    Same((link.Take(), link.state), (b"", "open"), "a frame of 2 ** 63 bytes behind our Close frame")


def CheckCloseArguments():
    for code, reason in ((0, ""), (999, ""), (1005, ""), (1006, ""), (1015, ""), (2999, ""), (5000, ""),
                         (1000, "r" * 124), (1000, "\u20ac" * 42)):
        server, link, webSocket, log = Open()
        try:
            webSocket.Close(code, reason)
        except ValueError:
            Same((link.Take(), webSocket.IsClosed()), (b"", False), "after ValueError")
            continue
        raise AssertionError("Close(%r, %r)" % (code, reason))
    webSocket.Close(1000, "r" * 123)
    Same(len(link.Take()), 127, "the longest reason")


def CheckRefusals():
    """A client that breaks a rule gets a Close frame, and its reply is not awaited (section 7.1.7)."""
    tooBig = b"message above MaxWebSocketRecvLen: 1000"
    for data, code, reason in ((Frame(0x81, b"\xff"), 1007, b""), (Frame(0x82, b"x" * 1001), 1009, tooBig),
                               (Frame(0x83), 1002, b""), (Frame(0x88, b"\x03\xe8\xff"), 1007, b"")):
        server, link, webSocket, log = Open()
        webSocket.OnReceived(data + Text("late") + Frame(0x89))
        Same((link.Take(), link.state), (bytes((0x88, 2 + len(reason))) + code.to_bytes(2, "big") + reason, "finished"),
             "refused")
        Same((webSocket.IsClosed(), webSocket.CloseCode, webSocket.SendText("x")), (True, code, False), "refused")
        Same(server.lines, [reason.decode()] if reason else [], "the log")
        Same(webSocket.deadline, 102, "what still comes is read for two seconds")
        webSocket.OnReceived(Text("later") + Frame(0x88, b"\x03\xe8"))
        Same((link.Take(), log), (b"", []), "nothing counts any more")
        if ws._MICROPYTHON:                             # no shutdown() there: it closes when nothing is left to read
            Same(link.want, 5, "bytes, or a turn")
            webSocket.OnDrained()
            Same(link.state, "closed", "at once")
        webSocket.OnExpired()
        Same(link.state, "aborted", "it goes on sending")
        webSocket.OnLost()
        Same(log, [(code, reason.decode())], "ClosedCallback")
    server, link, webSocket, log = Open()
    webSocket.OnReceived(Frame(0x82, b"x" * 1001)[:50])
    Same((link.Take()[2:4], link.state, link.want), (b"\x03\xf1", "finished", 1), "more of its frame is to come")
    webSocket.OnReceived(b"y" * 900)
    Same(link.want, 1, "and more")
    webSocket.OnReceived(b"z" * 60)
    Same(link.want, 5 if ws._MICROPYTHON else 1, "it is read to its end")
    server, link, webSocket, log = Open()
    webSocket.Close(4000)
    link.Take()
    webSocket.OnReceived(Frame(0x83))
    Same((link.Take(), link.state, webSocket.CloseCode), (b"", "finished", 4000), "the first reason counts")


def CheckCrash():
    """An exception in a callback is logged, SystemExit too, and the connection continues."""
    for failure in (KeyError("boom"), SystemExit(3)):
        def Boom(webSocket, msg=None):
            raise failure  # noqa: B023

        server, link, webSocket, log = Open()
        binary = webSocket.RecvBinaryCallback
        webSocket.RecvTextCallback = webSocket.RecvBinaryCallback = Boom
        webSocket.OnReceived(Text("a") + Frame(0x82, b"b"))
        Same((link.Take(), server.errors, webSocket.IsClosed()), (b"", [failure, failure], False), "crash")
        webSocket.RecvBinaryCallback = binary
        webSocket.OnReceived(Frame(0x82, b"c"))
        Same(log, [b"c"], "it goes on")
        webSocket.ClosedCallback = Boom
        webSocket.OnLost()
        Same((len(server.errors), webSocket.CloseCode), (3, 1006), "crash at the end")
        server, link, webSocket, log = Open(Boom)
        Same((link.Take(), server.errors), (b"", [failure]), "crash of the accept callback")


def CheckCloseOnError():
    """With WebSocketCloseOnError a failing callback closes with 1011."""
    def Boom(webSocket, msg=None):
        raise KeyError("boom")

    server = FakeServer()
    server.WebSocketCloseOnError = True
    server, link, webSocket, log = Open(server=server)
    webSocket.RecvTextCallback = Boom
    webSocket.OnReceived(Text("a") + Text("b"))
    Same((link.Take(), len(server.errors)), (b"\x88\x02\x03\xf3", 1), "crash")
    webSocket.ClosedCallback = Boom
    webSocket.OnLost()
    Same((len(server.errors), webSocket.CloseCode), (2, 1011), "crash at the end")
    link, webSocket = Open(Boom, server)[1:3]
    Same((link.Take(), len(server.errors)), (b"\x88\x02\x03\xf3", 3), "crash of the accept callback")


def CheckInterrupt():
    """KeyboardInterrupt is passed on to the server, from any callback."""
    def Boom(webSocket, msg):
        raise KeyboardInterrupt

    webSocket = Open()[2]
    webSocket.RecvTextCallback = Boom
    try:
        webSocket.OnReceived(Text("a"))
    except KeyboardInterrupt:
        return
    raise AssertionError("KeyboardInterrupt is lost")


def CheckAsyncCallbacks():
    """One after another, in order; while four wait the link is paused, and nothing is lost."""
    async def OnText(webSocket, msg):
        log.append("begin " + msg)
        await Later(2)
        log.append("end " + msg)
        webSocket.SendText(msg)

    server, link, webSocket, log = Open()
    webSocket.RecvTextCallback = OnText
    webSocket.OnReceived(b"".join([Text(letter) for letter in "abcdefgh"]) + Frame(0x89) + Text("i")[:3])
    Same((log, link.want), ([], 0), "nothing ran yet")
    while server.tasks or link.want != 1:
        server.Step()
        link.Turn()
    webSocket.OnReceived(Text("i")[3:])
    while server.tasks:
        server.Step()
    expected = []
    for letter in "abcdefghi":
        expected += ["begin " + letter, "end " + letter]
    Same((log, link.want), (expected, 1), "in order")
    echoes = b"".join([b"\x81\x01" + letter.encode() for letter in "abcdefghi"])
    Same(link.Take().replace(b"\x8a\x00", b""), echoes, "echoes")
    webSocket.OnReceived(Frame(0x88))
    webSocket.OnLost()
    Same(log[-1], (1005, ""), "ClosedCallback")


def CheckHeldOneByOne():
    """Messages from several reads wait like those of one read: while four wait nothing is read."""
    async def OnText(webSocket, msg):
        await Later(1)
        log.append(msg)

    server, link, webSocket, log = Open()
    webSocket.RecvTextCallback = OnText
    for letter in "abcde":
        Same(link.want, 1, "not yet")
        webSocket.OnReceived(Text(letter))
    Same(link.want, 0, "four wait")
    while server.tasks:
        server.Step()
    Same((log, link.want), (["a", "b", "c", "d", "e"], 1), "in order")


def CheckCloseWhileHeld():
    """After Close() the reply has to be read, behind any waiting messages."""
    async def OnText(webSocket, msg):
        await Later(9)

    server, link, webSocket, log = Open()
    webSocket.RecvTextCallback = OnText
    webSocket.OnReceived(b"".join([Text(letter) for letter in "abcdefgh"]) + Frame(0x88, b"\x03\xe8"))
    Same((link.want, link.Take()), (0, b""), "held")
    webSocket.Close(4000)
    Same((link.state, link.Take()), ("closed", b"\x88\x02\x0f\xa0"), "the answer was read")
    while server.tasks:
        server.Step()
    server, link, webSocket, log = Open()
    webSocket.RecvTextCallback = OnText
    webSocket.OnReceived(b"".join([Text(letter) for letter in "abcdefgh"]))
    webSocket.Close(4000)
    Same(link.want, 1, "the answer can be read")
    while server.tasks:
        server.Step()


def CheckAsyncAccept():
    """Messages arrive as soon as its first step has set the callbacks, although it continues."""
    async def Accept(webSocket, client):
        webSocket.RecvTextCallback = lambda webSocket, msg: log.append(msg)
        webSocket.ClosedCallback = lambda webSocket: log.append("closed")
        while not webSocket.IsClosed():
            webSocket.SendText("tick")
            await Later(1)
        log.append("over")

    log = []
    server, link, webSocket, _ = Open(Accept, early=Text("early"))
    Same(log, [], "before its first step")
    server.Step()
    Same((log, link.Take()), (["early"], b"\x81\x04tick"), "after its first step")
    webSocket.OnReceived(Text("a"))
    Same(log, ["early", "a"], "beside it")
    webSocket.OnReceived(Frame(0x88))
    webSocket.OnLost()
    while server.tasks:
        server.Step()
    Same(log, ["early", "a", "closed", "over"], "to its end")


def CheckAsyncCrash():
    async def Boom(webSocket, msg):
        await Later(1)
        raise failure

    for failure in (KeyError("boom"), SystemExit(1), Cancelled()):
        for closes in (False, True):
            server, link, webSocket, log = Open()
            server.WebSocketCloseOnError = closes
            webSocket.RecvTextCallback = Boom
            webSocket.OnReceived(Text("a") + Text("b") + Frame(0x82, b"c"))
            while server.tasks:
                server.Step()
            webSocket.OnLost()
            expected = (b"\x88\x02\x03\xf3", [failure], [(1011, "")]) if closes \
                else (b"", [failure, failure], [b"c", (1006, "")])
            Same((link.Take(), server.errors, log), expected, "async crash")
    server, link, webSocket, log = Open(lambda webSocket, client: Boom(webSocket, client))
    while server.tasks:
        server.Step()
    Same((server.errors, webSocket.IsClosed()), ([failure], False), "async crash of the accept callback")


class Cancelled(BaseException):
    """Replaces asyncio.CancelledError."""


def CheckAsyncAbsent():
    """Without microWebAsync.py an async callback gives one clear log line, and the next message arrives."""
    async def OnText(webSocket, msg):
        log.append("never")

    server, link, webSocket, log = Open()
    server.SpawnCallback = None
    webSocket.RecvTextCallback = OnText
    webSocket.OnReceived(Text("a") + Frame(0x82, b"b"))
    Same((log, server.lines), ([b"b"], ["async WebSocket callbacks need microWebAsync.py"]), "no event loop")


def CheckAsyncWithoutPlus():
    """Also without microWebSocketPlus.py; a plain callback works."""
    async def OnText(webSocket, msg):
        log.append("never")

    kind = ws.MicroWebSocket
    server, link, webSocket, log = Open()
    runs, kind.Await = kind.Await, None
    try:
        webSocket.RecvTextCallback = OnText
        webSocket.OnReceived(Text("a") + Frame(0x82, b"b"))
    finally:
        kind.Await = runs
    Same((log, [str(error) for error in server.errors]), ([b"b"], ["async needs microWebSocketPlus"]), "nobody runs it")


def CheckSlowClient():
    """While bytes are queued nothing is read. Above the limit the client is closed, or loses messages."""
    server, link, webSocket, log = Open()
    server.MaxWebSocketSendQueueLen = 100

    def OnText(webSocket, msg):
        webSocket.SendText(msg)
        link.backlog = 51

    webSocket.RecvTextCallback = OnText
    webSocket.OnReceived(Text("a") + Text("b") + Frame(0x89))
    Same(link.Take(), b"\x81\x01a", "the first waits to be sent")
    link.backlog = 101
    Same((webSocket.SendText("c"), link.Take()), (True, b"\x81\x01c"), "that it was full was not known")
    link.Drain()
    Same(link.Take(), b"\x81\x01b", "drained: the next")
    link.Drain()
    Same((link.Take(), link.want), (b"\x8a\x00", 1), "and the next")
    link.backlog = 101
    webSocket.SendText("d")
    link.Take()
    Same((webSocket.SendText("e"), link.Take(), link.state), (False, b"\x88\x02\x03\xf0", "closed"), "full")
    Same((webSocket.SendText("e"), webSocket.deadline), (False, None), "the link's own deadline counts")

    server, link, webSocket, log = Open()
    server.MaxWebSocketSendQueueLen = 100
    server.WebSocketSlowPolicy = "drop"
    link.backlog = 101
    webSocket.SendText("a")
    Same((webSocket.SendText("b"), link.Take(), webSocket.IsClosed()), (False, b"\x81\x01a", False), "dropped")
    link.Drain()
    Same((webSocket.SendText("c"), link.Take()), (True, b"\x81\x01c"), "after the drop")


def CheckDropKeepsContext():
    """A dropped message is not compressed before: a client with a context could not read the next one."""
    class Counting(Codec):
        count = 0

        def Pack(self, first, data):
            self.count += 1
            return first, data

    server, link, webSocket, log = Open()
    webSocket.Codec = Counting()
    server.MaxWebSocketSendQueueLen = 100
    server.WebSocketSlowPolicy = "drop"
    link.backlog = 101
    Same((webSocket.SendText("a"), webSocket.SendText("b"), webSocket.Codec.count), (True, False, 1), "packed")


def CheckCloseBehindBacklog():
    """The client's time for the reply starts when our Close frame was sent."""
    server, link, webSocket, log = Open()
    link.backlog = 10
    webSocket.Close()
    Same(webSocket.deadline, None, "the link has its own deadline")
    server.now = 120
    link.Drain()
    Same(webSocket.deadline, 125, "it has left")
    server.now = 123
    webSocket.OnReceived(b"".join([Text("x")] * 40))
    Same((link.Turn() > 0, webSocket.deadline), (True, 125), "and a client that goes on sending has no more")


def CheckTurns():
    """Frames of one read are handled in shares, and other connections get their turn between them. None is lost."""
    for frame in (Text("a"), Frame(0x89), Frame(0x8a)):
        server, link, webSocket, log = Open()
        webSocket.RecvTextCallback = lambda webSocket, msg: webSocket.SendText(msg)
        webSocket.OnReceived(frame * 100 + frame[:3])
        Same(link.want, 4, "a turn")
        sent = len(link.sent)
        assert sent <= 16 * 3, sent
        turns = link.Turn()
        assert turns >= 5, turns
        webSocket.OnReceived(frame[3:])
        Same(link.want, 1, "bytes")
        Same(link.Take(), {0x81: b"\x81\x01a", 0x89: b"\x8a\x00"}.get(frame[0], b"") * 101, "all of them")
    server, link, webSocket, log = Open()
    webSocket.OnReceived(Frame(0x01, b"a") + Frame(0x00, b"b") * 99 + Frame(0x80, b"c"))
    assert link.Turn() >= 5, "fragments"
    Same(log, ["a" + "b" * 99 + "c"], "fragments")


def CheckCloseIsLast():
    """After the end of a link, and after the client's Close frame, nothing more of the same read is delivered."""
    server, link, webSocket, log = Open()
    webSocket.RecvTextCallback = lambda webSocket, msg: (log.append(msg), webSocket.OnLost())
    webSocket.OnReceived(Text("a") + Text("b") + Frame(0x89))
    Same((log, link.Take()), (["a", (1006, "")], b""), "the link was lost within a callback")
    for behind in (Text("a"), Frame(0x83), Frame(0x82, b"x" * 1001)):
        server, link, webSocket, log = Open()
        webSocket.OnReceived(Frame(0x88, b"\x03\xe8") + behind)
        Same((link.Take(), link.state, log, server.lines), (b"\x88\x02\x03\xe8", "closed", [], []), "behind a Close frame")


def CheckHeartbeat():
    server, link, webSocket, log = Open()
    Same(webSocket.deadline, 130, "first deadline")
    server.now = 131
    webSocket.OnExpired()
    Same((link.Take(), webSocket.deadline), (b"\x89\x00", 161), "ping")
    webSocket.OnReceived(Frame(0x8a))
    webSocket.OnExpired()
    Same((link.Take(), link.state), (b"\x89\x00", "open"), "the pong was heard")
    webSocket.OnExpired()
    Same(link.state, "aborted", "no pong")
    server = FakeServer()
    server.WebSocketPingSec = None
    Same(Open(server=server)[2].deadline, None, "no heartbeat")
    server, link, webSocket, log = Open()
    webSocket.Close()
    Same(webSocket.deadline, 105, "for the answer to our close")
    webSocket.OnExpired()
    Same(link.state, "aborted", "no answer")


def CheckHeartbeatWhileBusy():
    """A client that we don't read is not considered dead."""
    async def OnText(webSocket, msg):
        await Later(5)

    server, link, webSocket, log = Open()
    webSocket.RecvTextCallback = OnText
    webSocket.OnReceived(b"".join([Text(letter) for letter in "abcdefgh"]))
    for _ in range(3):
        webSocket.OnExpired()
    Same(link.state, "open", "held by its own callback")
    webSocket.OnDrained()
    while server.tasks:
        server.Step()


def CheckOtherThreads():
    """Send and closes from other threads keep their order and their bytes."""
    server, link, webSocket, log = Open()
    server.isOnEngine = False
    buffer = bytearray(b"old")
    Same((webSocket.SendText("a"), webSocket.SendBinary(buffer)), (True, True), "send from elsewhere")
    buffer[:] = b"new"
    server.Broadcast("all")
    webSocket.Close(4000)
    Same((link.Take(), webSocket.IsClosed(), webSocket.SendText("b")), (b"", True, False), "before the engine ran")
    server.isOnEngine = True
    server.Step()
    Same(link.Take(), b"\x81\x01a\x82\x03old\x81\x03all\x88\x02\x0f\xa0", "after it ran")
    server, link, webSocket, log = Open()
    server.isOnEngine = server.isRunning = False
    Same((webSocket.SendText("a"), server.Broadcast("b")), (False, None), "after its end")


def CheckBroadcast():
    server = FakeServer()
    links = []
    for path in ("/a", "/a", "/b"):
        links.append(Open(server=server, path=path)[1])
    server.Broadcast("x")
    Same([link.Take() for link in links], [b"\x81\x01x"] * 3, "to all")
    server.Broadcast(b"y", "/a")
    Same([link.Take() for link in links], [b"\x82\x01y", b"\x82\x01y", b""], "to one path")
    server.Broadcast(BIG)
    Same([len(link.Take()) for link in links], [10 + len(BIG)] * 3, "large")
    for link in links:
        link.endpoint.Close()
    server.Broadcast("z")
    Same([link.Take() for link in links], [b"\x88\x02\x03\xe8"] * 3, "to those who close")


class FakeRoute:
    def __init__(self, path, handler, args):
        self.path = path
        self.handler = handler
        self.args = args

    def Match(self, path):
        return self.args if path == self.path else None


class FakeClient:
    """HttpClient, HttpResponse and connection in one object."""

    def __init__(self, server, path="/", **changes):
        self.server = server
        self.head = FakeHead(path, {name.replace("_", "-"): value for name, value in changes.items()})
        self.connection = self
        self.link = FakeLink()
        self.response = self.head101 = None

    def WriteError(self, code, headers=None, rule=""):
        self.response = (code, headers)
        self.rule = rule

    def Upgrade(self, response, head, endpoint):
        Same(response, self, "the response")
        self.head101 = head
        self.endpoint = self.link.endpoint = endpoint
        self.server.links[len(self.server.links)] = self.link
        endpoint.OnReceived(Text("early"))


def Upgrade(server, path="/", **changes):
    client = FakeClient(server, path, **changes)
    server.Upgraders["websocket"](client, client)
    return client


def CheckUpgrade():
    version = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    server = FakeServer()
    Same(Upgrade(server).response, (501, version), "nobody accepts")
    log = []

    def Accept(webSocket, client, args=None):
        log.append((webSocket.Path, webSocket.Protocol, args))
        webSocket.RecvTextCallback = lambda webSocket, msg: log.append(msg)

    server.webSocketRoutes = (FakeRoute("/chat/blue", Accept, {"room": "blue"}), FakeRoute("/plain", Accept, ()),
                              FakeRoute("/", Accept, ()))
    Same(Upgrade(server, "/other").response, (404, version), "no route")
    Upgrade(server, "/chat/blue")
    Upgrade(server, "/plain/")
    Upgrade(server, "/")
    Same(log, [("/chat/blue", None, {"room": "blue"}), "early", ("/plain/", None, None), "early",
               ("/", None, None), "early"], "routes")
    server.AcceptWebSocketCallback = lambda webSocket, client: log.append("global")
    Upgrade(server, "/other")
    Same(log[-1], "global", "the global callback")
    Same(Upgrade(server, sec_websocket_version="7").response, (426, version), "version")
    Same(Upgrade(server, sec_websocket_key="x").response, (400, version), "key")
    Same(Upgrade(server, origin="http://evil.example").response, (403, version), "origin")
    server.AllowedWebSocketOrigins = "*"
    assert Upgrade(server, origin="http://evil.example").head101
    server.WebSocketProtocols = ("mqtt", "chat")
    head = Upgrade(server, "/plain", sec_websocket_protocol="chat, mqtt").head101
    assert b"\r\nSec-WebSocket-Protocol: mqtt\r\n" in head, head
    Same(log[-2], ("/plain", "mqtt", None), "the protocol that was chosen")


def CheckSettings():
    """Settings made before, on the class or on a server, are not overwritten."""
    class Server(FakeServer):
        WebSocketPingSec = 7

    server = Server()
    Same((server.WebSocketPingSec, server.WebSocketSlowPolicy), (7, "close"), "settings")
    Server.WebSocketSlowPolicy = "drop"
    Same((Server().WebSocketPingSec, Server().WebSocketSlowPolicy), (7, "drop"), "of the next server")


def CheckExtension():
    """An extension: frames that a codec packs have RSV1, others don't."""
    class Reverse(Codec):
        def Pack(self, first, data):
            return (first | 0x40, bytes(reversed(data))) if len(data) > 1 and first < 0x88 else (first, data)

    def Offer(webSocket, head):
        if head.fields.get("sec-websocket-extensions") != "x":
            return b""
        webSocket.Codec = Reverse()
        return b"Sec-WebSocket-Extensions: reverse\r\n"

    server = FakeServer()
    server.AcceptWebSocketCallback = lambda webSocket, client: None
    server.Offers.append(Offer)
    assert b"Extensions" not in Upgrade(server, sec_websocket_extensions="y").head101
    assert b"Extensions" not in Upgrade(server).head101
    server.links.clear()
    client = Upgrade(server, sec_websocket_extensions="x")
    assert b"\r\nSec-WebSocket-Extensions: reverse\r\n" in client.head101, client.head101
    webSocket = client.endpoint
    for send, data in ((webSocket.SendText, "ab"), (webSocket.SendText, "c"), (webSocket.SendBinary, b"de"),
                       (webSocket.Ping, b"fg"), (server.Broadcast, "hi")):
        send(data)
    Same(client.link.Take(), b"\xc1\x02ba\x81\x01c\xc2\x02ed\x89\x02fg\x81\x02hi", "packed")
    webSocket.RecvTextCallback = lambda webSocket, msg: webSocket.SendText(msg + "!")
    webSocket.OnReceived(Frame(0xc1, b"olleh"))
    Same(client.link.Take(), b"\xc1\x06!olleh", "unpacked")


def CheckLost():
    """A lost client is reported once, and nothing is sent to it any more, even if the program ignores the close
    code."""
    server, link, webSocket, log = Open()
    Same((webSocket.IsIdle(), webSocket.OnEnd()), (False, False), "it makes no room, and a client that sends no more gets no more")
    webSocket.OnLost()
    link.Take()
    Same((log, webSocket.SendText("x"), webSocket.SendFrame(0x81, b"x"), link.Take()), ([(1006, "")], False, False, b""), "lost")
    webSocket.Close()
    Same((log, webSocket.CloseCode, link.Take()), ([(1006, "")], 1006, b""), "it stays lost")


def CheckLostWhileStopping():
    """Stop() does not wait for threads: ClosedCallback is called at once, and only once."""
    for isRunning, expected in ((False, [(1006, "")]), (True, [])):
        server = FakeServer()
        server.WebSocketThreaded = True
        server.StartThread = lambda func, args, stackSize: True
        server, link, webSocket, log = Open(server=server)
        event = webSocket._worker[1]
        webSocket._Call(*event)                     # as its thread does
        webSocket.Done(None, event[0], None)
        server.isRunning = isRunning
        webSocket.OnLost()
        Same(log, expected, "told at once" if expected else "its thread tells it")
        webSocket._Call(*webSocket._worker[1])
        Same(log, [(1006, "")], "told once")


def CheckNoThread():
    """If no thread can be started, callbacks run on the engine."""
    server = FakeServer()
    server.WebSocketThreaded = True
    log = Open(server=server, early=Text("a"))[3]
    Same(log, ["a"], "without a thread")


# ---------------------------------------------------------------------------------------------- permessage-deflate

P = "permessage-deflate"
BOTH_AFRESH = "; client_no_context_takeover; server_no_context_takeover"

# (offer, maximum bits, keep contexts?, answer or None, bits to decompress, to compress, keep the client's?, keep ours?)
OFFERS = [
    (P, 15, True, (P, 15, 15, True, True)),
    (P, 12, True, (P + "; server_max_window_bits=12", 15, 12, True, True)),
    (P + "; client_max_window_bits", 12, True,
     (P + "; server_max_window_bits=12; client_max_window_bits=12", 12, 12, True, True)),
    (P + "; client_max_window_bits=10", 12, True,
     (P + "; server_max_window_bits=12; client_max_window_bits=10", 10, 12, True, True)),
    (P + "; client_max_window_bits=15", 15, True, (P, 15, 15, True, True)),
    (P + "; server_max_window_bits=9", 15, True, (P + "; server_max_window_bits=9", 15, 9, True, True)),
    (P + '; server_max_window_bits="10"', 15, True, (P + "; server_max_window_bits=10", 15, 10, True, True)),
    (P + '; server_max_window_bits = "10" ', 15, True, (P + "; server_max_window_bits=10", 15, 10, True, True)),
    (P + '; server_max_window_bits="', 15, True, None),
    (P + ";server_no_context_takeover", 15, True, (P + "; server_no_context_takeover", 15, 15, True, False)),
    (P + " ; client_no_context_takeover ", 15, True, (P + "; client_no_context_takeover", 15, 15, False, True)),
    (P, 15, False, (P + BOTH_AFRESH, 15, 15, False, False)),
    (P + "; server_max_window_bits=8", 15, True, None),         # zlib has no window of 8 bits
    (P + "; server_max_window_bits", 15, True, None),
    (P + "; server_max_window_bits=16", 15, True, None),
    (P + "; server_max_window_bits=09", 15, True, None),
    (P + "; client_max_window_bits=7", 15, True, None),
    (P + "; client_max_window_bits=x", 15, True, None),
    (P + "; server_no_context_takeover=1", 15, True, None),
    (P + "; client_no_context_takeover=true", 15, True, None),
    (P + '; client_no_context_takeover=""', 15, True, None),
    (P + "; server_no_context_takeover=", 15, True, None),
    (P + "; client_max_window_bits=", 15, True, None),
    (P + '; client_max_window_bits=""', 15, True, None),
    (P + "; client_no_context_takeover; client_no_context_takeover", 15, True, None),
    (P + "; unheard_of", 15, True, None),
    (P + "; server_max_window_bits=9; server_max_window_bits=9", 15, True, None),
    ("permessage-bzip2", 15, True, None),
    ("x-webkit-deflate-frame", 15, True, None),
    ("", 15, True, None),
]


def CheckOffers():
    for offer, most, keeps, answer in OFFERS:
        Same(wd._Answer(offer, most, 9, keeps), answer, "%r" % offer)


def CheckNegotiation():
    """The first acceptable offer is taken."""
    server = FakeServer()
    wd.Attach(server)
    def Negotiate(offers):
        webSocket = Open(server=server)[2]
        return server.Offers[-1](webSocket, FakeHead("/", {"sec-websocket-extensions": offers})), webSocket.Codec

    Same(Negotiate(""), (b"", None), "no offer")
    Same(Negotiate("foo, bar; x=1"), (b"", None), "nothing for us")
    Same(Negotiate(P + "; unheard_of"), (b"", None), "nothing we know")
    line, codec = Negotiate(P + "; unheard_of, " + P + "; server_max_window_bits=9; client_max_window_bits")
    assert line.startswith(b"Sec-WebSocket-Extensions: permessage-deflate; ") and line.endswith(b"\r\n"), line
    assert b"server_max_window_bits=9" in line and b"client_max_window_bits=" in line and codec, line


def CheckNothingToPackWith():
    """Firmware without the module deflate: clients are told that compression is off."""
    server = FakeServer()
    name = "deflate" if ws._MICROPYTHON else "zlib"
    module = getattr(wd, name)
    setattr(wd, name, None)
    try:
        wd.Attach(server)
    finally:
        setattr(wd, name, module)
    Same(len(server.Offers), 1, "only that of microWebSocketPlus")


SENSORS = b"temperature: 21.5, humidity: 40; " * 30


def Inflated(data, maxLen, codec=None):
    """The decompressed data; None if it is invalid."""
    try:
        return (codec or Codecs()).Inflate(data, maxLen)
    except ValueError:
        return None


def Packed(codec, data):
    """A text message after compression, None if it is not compressed."""
    first, packed = codec.Pack(0x81, data)
    assert first == 0xc1 or (first, packed) == (0x81, data), first
    return packed if first == 0xc1 else None


def Codecs(inBits=15, outBits=12, keeps=False):
    return wd._Codec(inBits, outBits, keeps, keeps)


def CheckInflate():
    """The examples of RFC 7692 section 7.2.3, and invalid or too big data."""
    for packed in (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
                   b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
                   b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"):
        codec = Codecs()
        for _ in range(2):
            Same(codec.Inflate(packed, 100), b"Hello", "%r" % packed)
        Same(codec.Inflate(packed, 5), b"Hello", "%r at the limit" % packed)
        assert len(codec.Inflate(packed, 4)) == 5, "%r above the limit" % packed
    Same(Codecs().Inflate(b"\x00", 100), b"", "empty message, section 7.2.3.6")
    # firmware that can compress: one block, marked as last, and a zero byte
    packed = (b"+I\xcd-H-J,)-J\xb5R02\xd43\xd5Q\xc8(\xcd\xcdL\xc9,\xa9\xb4R01\xb0V\x18\xe9\n\x80\nF\xba\x02\xa0\x82\x91"
              b"\xae\x00\xa8`(*\x00\x00\x00")
    Same(Codecs().Inflate(packed, 1000), SENSORS, "what MicroPython has packed")
    for broken in (b"\xff\xff\xff", b"\x07", b"\x00\x01\x00\x00\x00", b"\xf2\x48\xcd\xc9\xc9\x07\x00" + b"\xff" * 5):
        Same(Inflated(broken, 100), None, "%r" % broken)
    # 20,000 zeros in 37 bytes: decompression stops at the limit
    bomb = b"\xec\xc1\x31\x01\x00\x00\x00\xc2\xa0\xf5\x4f\x6d\x0d\x0f\xa0" + b"\x00" * 19 + b"\x78\x30\x00"
    Same(Codecs().Inflate(bomb, 20000), b"\x00" * 20000, "zeros")
    Same(Codecs().Inflate(bomb, 5000), b"\x00" * 5001, "a bomb")


def CheckBomb():
    server, link, webSocket, log = Open()
    webSocket.Codec = Codecs()
    webSocket.OnReceived(Frame(0xc1, b"\x4a\x04\x00"))
    Same(log, ["a"], "within the limit")
    server.MaxWebSocketRecvLen = 0
    webSocket.OnReceived(Frame(0xc1, b"\x4a\x04\x00"))
    Same(link.Take()[2:4], b"\x03\xf1", "above the limit when it is expanded")


def CheckDeflate():
    """Compressed data decompresses to the original; short and incompressible messages are not compressed."""
    codec = Codecs()
    Same(Packed(codec, b"x" * 31), None, "a short message")
    packed = Packed(codec, SENSORS)
    if packed is None:
        assert ws._MICROPYTHON and not hasattr(wd.deflate.DeflateIO, "write"), "not packed"
    else:
        assert len(packed) < len(SENSORS) // 4 and len(Packed(codec, b"x" * 32)) < 32, len(packed)
        Same(Codecs().Inflate(packed, 10000), SENSORS, "round trip")
        Same(Packed(codec, packed), None, "packed twice")
        Same(Packed(codec, SENSORS), packed, "each message alone")


def Stored(data, isLast):
    """RFC 1951 section 3.2.4."""
    return bytes((isLast, len(data), 0, 255 - len(data), 255)) + data


def Reference(distance, size):
    """One block of fixed codes (RFC 1951 section 3.2.6) with one reference of size 3 to 10."""
    packer = [0, 0]

    def Put(value, count, isCode=False):
        for i in range(count):                          # codes begin with their highest bit
            packer[0] |= (value >> (count - 1 - i if isCode else i) & 1) << packer[1]
            packer[1] += 1

    Put(2, 3)                                           # not the last block, fixed codes
    Put(size - 2, 7, True)                              # 257 is size 3
    base, code, extra = max(row for row in ((1, 0, 0), (2, 1, 0), (3, 2, 0), (4, 3, 0), (5, 4, 1), (7, 5, 1), (9, 6, 2),
                                            (13, 7, 2)) if row[0] <= distance)
    Put(code, 5, True)
    Put(distance - base, extra)
    Put(0, 7, True)                                     # the end of the block
    Put(0, 3)                                           # an empty stored block; the bytes after it are not sent
    return packer[0].to_bytes((packer[1] + 7) // 8, "little")


def CheckContextTakeover():
    """Sections 7.2.3.2 and 7.2.3.4: a message may refer to data of earlier ones. CPython only."""
    if ws._MICROPYTHON:
        return
    for first in (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"):
        codec = Codecs(keeps=True)
        Same([codec.Inflate(first, 9), Inflated(b"\xf2\x00\x11\x00\x00", 9, codec)], [b"Hello"] * 2, "%r" % first)
        codec = Codecs()
        Same([codec.Inflate(first, 9), Inflated(b"\xf2\x00\x11\x00\x00", 9, codec)], [b"Hello", None], "not kept")
    Same(Inflated(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x01", 9), None, "bytes behind the last block")
    # Blocks marked as last, in several messages or in one: the next block may refer to the first.
    last = b"\xf3\x48\xcd\xc9\xc9\x07\x00"            # Hello
    other = Stored(b"abcdefgh", True)
    back = Reference(13, 5)                             # 13 bytes back, 5 bytes long
    codec = Codecs(keeps=True)
    got = [codec.Inflate(data, 99) for data in (last + b"\x00", other + b"\x00", back)]
    Same(got, [b"Hello", b"abcdefgh", b"Hello"], "two last blocks, two messages")
    codec = Codecs(keeps=True)
    got = [codec.Inflate(data, 99) for data in (last + other + b"\x00", back, back)]
    Same(got, [b"Helloabcdefgh", b"Hello", b"abcde"], "two last blocks, one message")
    codec = Codecs(keeps=True)
    got = [codec.Inflate(data, 99) for data in (b"\xf2" + last[1:], other + b"\x00", back)]
    Same(got, [b"Hello", b"abcdefgh", b"Hello"], "a message before the last block")
    Same(Codecs().Inflate(last + other + b"\x00", 12), b"Helloabcdefgh", "the limit, and one more")
    assert len(Codecs().Inflate(last + other + b"\x00", 9)) == 10, "the limit counts them all"
    assert len(Codecs().Inflate(last + other + b"\x00", 4)) == 5, "and is reached within the first"
    Same(Inflated(b"\x03\x00" * 5000 + b"\x00", 99, Codecs(keeps=True)), None, "a flood of empty last blocks")
    codec, peer = Codecs(keeps=True), Codecs(inBits=12, keeps=True)
    sizes = []
    for _ in range(3):
        packed = Packed(codec, SENSORS)
        sizes.append(len(packed))
        Same(peer.Inflate(packed, 1000), SENSORS, "with a context")
    assert sizes[2] == sizes[1] < sizes[0] // 2, sizes
    noise = bytes([i * i * 7919 >> 5 & 255 for i in range(200)])
    Same(peer.Inflate(Packed(codec, noise), 1000), noise, "it does not shrink, but it is part of the context")


def CheckLastBlocks():
    """Section 7.2.3.4 within one message: blocks after a last one may refer to data before it."""
    last = b"\xf3\x48\xcd\xc9\xc9\x07\x00"            # Hello
    other = Stored(b"abcdefgh", True)
    for data, text in ((last + b"\x00", b"Hello"), (last + other + b"\x00", b"Helloabcdefgh"),
                       (last + other + last + b"\x00", b"HelloabcdefghHello"), (last + Reference(5, 5), b"HelloHello"),
                       (last + other + Reference(13, 5), b"HelloabcdefghHello")):
        Same(Inflated(data, 99), text, "%r" % data)
        Same(Inflated(data, len(text)), text, "at the limit")
        Same(len(Inflated(data, len(text) - 1)), len(text), "one above the limit")
        Same(len(Inflated(data, 3)), 4, "the limit is within the first")
    Same(Inflated(b"\x03\x00" * 5000 + b"\x00", 99), None, "a flood of empty last blocks")
    Same(Inflated(last + b"\x07", 99), None, "what follows is broken")


CHECKS = (CheckProtocol, CheckLimits, CheckPacked, CheckThreeCuts, CheckLargeMessages, CheckSingleByteFragments,
          CheckTextFailsAtOnce, CheckHeld, CheckUtf8, CheckUtf8Pieces, CheckMasks, CheckOurFrames, CheckHandshake,
          CheckRefusalIsLogged, CheckSwitchHead, CheckSubprotocols, CheckSending, CheckAcceptCallback, CheckClosing,
          CheckCloseArguments, CheckRefusals, CheckCrash, CheckCloseOnError, CheckInterrupt, CheckAsyncCallbacks,
          CheckHeldOneByOne, CheckCloseWhileHeld, CheckAsyncAccept, CheckAsyncCrash, CheckAsyncAbsent,
          CheckAsyncWithoutPlus,
          CheckSlowClient, CheckDropKeepsContext, CheckCloseBehindBacklog, CheckTurns, CheckCloseIsLast,
          CheckHeartbeat, CheckHeartbeatWhileBusy, CheckOtherThreads, CheckBroadcast, CheckUpgrade, CheckSettings,
          CheckExtension, CheckLost, CheckLostWhileStopping, CheckNoThread, CheckOffers, CheckNothingToPackWith)
OF_DEFLATE = (CheckNegotiation, CheckInflate, CheckLastBlocks, CheckBomb, CheckDeflate, CheckContextTakeover)
if wd.deflate if ws._MICROPYTHON else wd.zlib:
    CHECKS += OF_DEFLATE


def Main():
    for check in CHECKS:
        check()
        print("ok", check.__name__)
    print("%d checks" % len(CHECKS))


if __name__ == "__main__":
    Main()
