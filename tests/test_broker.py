"""microWebBroker: messages of one process reach all clients of all processes, once and in order. A slow, dead or
malicious broker does not affect local clients."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import threading
import time

import nats
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import connect

import broker_tools
import harness
import microWebBroker

PROGRAM = """
import json
import sys
import threading
import time
import microWebBroker
from microWebSrv import MicroWebSrv
from microWebEvents import MicroWebEvents
from ready import Port

url, name, settings = sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
hub = MicroWebEvents(maxQueueLen=10000)


@MicroWebSrv.route("/events")
def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(hub)


@MicroWebSrv.route("/hello")
def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(content=name)


@MicroWebSrv.route("/sleep/<ms>")
def Sleep(httpClient, httpResponse, args):
    time.sleep(args["ms"] / 1000)
    httpResponse.WriteResponseOk(content=name)


@MicroWebSrv.route("/async")
async def Async(httpClient, httpResponse):
    httpResponse.WriteResponseOk(content=name)


def Wait(isConnected=True):
    while node.IsConnected() is not isConnected:
        time.sleep(0.005)
    print("CONNECTED" if isConnected else "LOST")


def Count(first, end, path=None):
    for number in range(first, end):
        mws.Broadcast("%s %d" % (name, number), path)
    print("SENT", end)


def Timed(first, end):
    start = time.monotonic()
    for number in range(first, end):
        mws.Broadcast("%s %d" % (name, number))
    print("TOOK %d" % (1000 * (time.monotonic() - start)))


def Try(data):
    try:
        mws.Broadcast(data)
    except ValueError as error:
        print("REFUSED", error)


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.WebSocketThreaded = False
mws.AcceptWebSocketCallback = lambda webSocket, httpClient: None
node = mws.UseBroker(url, hubs={"news": hub}, **settings)
mws.Start()
for line in sys.stdin:
    exec(line)
mws.Stop()
print("THREADS", threading.active_count())
"""


class Member(harness.Server):
    """One process of several."""

    def __init__(self, name, url, folder, runtime="cpython", **settings):
        self.name = name
        work = folder / name
        work.mkdir()
        super().__init__(runtime, PROGRAM, work, args=(url, name, json.dumps(settings)))

    def Wait(self):
        self.Tell("Wait()")
        self.WaitLine("^CONNECTED$")

    def Do(self, line):
        """Run a line of Python in the process, to its end."""
        self.Tell(line)
        self.Tell("print('DONE')")
        self.WaitLine("^DONE$")


class Reader:
    """A WebSocket that collects messages; Until(text) -> all messages up to this one."""

    def __init__(self, socket):
        self.socket = socket
        self.got = []

    def Until(self, text):
        got = []
        while not got or got[-1] != text:
            got.append(self.socket.recv(timeout=harness.DEADLINE_SEC))
        self.got += got
        return got

    def Take(self, count):
        self.got += [self.socket.recv(timeout=harness.DEADLINE_SEC) for _ in range(count)]
        return self.got


@pytest.fixture
def stack():
    """End and judges all members after the test, the last one first."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(params=broker_tools.BROKERS)
def broker(request, stack):
    return stack.enter_context(broker_tools.BROKERS[request.param]())


@pytest.fixture
def store(stack):
    """A Redis, for tests of features that only Redis has."""
    return stack.enter_context(broker_tools.Redis())


@pytest.fixture
def members(stack, tmp_path):
    """members(broker, count) -> this many connected processes."""
    def Members(broker, count=2, **settings):
        url = settings.pop("url", None) or broker.url
        found = [stack.enter_context(Member("p%d" % index, url, tmp_path, **settings)) for index in range(count)]
        for member in found:
            member.Wait()
        return found
    return Members


@pytest.fixture
def read(stack):
    def Read(member, path="/"):
        return Reader(stack.enter_context(connect(
            "ws://127.0.0.1:%d%s" % (member.port, path), compression=None, max_queue=None, max_size=None)))
    return Read


def BySender(texts):
    """-> {sender: [numbers in the order of arrival]}"""
    found = {}
    for text in texts:
        sender, number = text.split()
        found.setdefault(sender, []).append(int(number))
    return found


def Once(texts, senders, count, first=0):
    """Check that every message of these senders arrived, once and in order."""
    assert BySender(texts) == {sender.name: list(range(first, count)) for sender in senders}


# ------------------------------------------------------------------------------------- delivery to all

@pytest.mark.parametrize("count", [2, 4])
def test_all_get_all_once_and_in_order(broker, members, read, count):
    group = members(broker, count)
    readers = [read(member) for member in group for _ in range(2)]
    for member in group:                # all at the same time
        member.Tell("Count(0, 300)")
    for reader in readers:
        Once(reader.Take(300 * count), group, 300)
    for member in group:                # and nothing follows
        member.Do("mws.Broadcast('end of %s' % name)")
    for reader in readers:
        last = reader.Take(count)[-count:]
        assert sorted(last) == ["end of " + member.name for member in group]


def test_types_and_paths(broker, members, read):
    one, two = members(broker)
    rooms = {(member.name, path): read(member, path) for member in (one, two) for path in ("/a", "/b")}
    one.Do("mws.Broadcast('for a', '/a')")
    one.Do("mws.Broadcast(bytes(range(256)), '/b')")
    two.Do("mws.Broadcast('', '/a')")
    two.Do("mws.Broadcast(bytearray(b'x'))")
    two.Do("mws.Broadcast('\\u00e4\\n\\u20ac')")
    for (_, path), reader in rooms.items():
        want = (["for a", ""] if path == "/a" else [bytes(range(256))]) + [b"x", "\u00e4\n\u20ac"]
        assert sorted(map(repr, reader.Take(len(want)))) == sorted(map(repr, want))


def test_event_streams_of_all_processes(broker, members):
    one, two = members(broker)
    with harness.RawClient(one.port) as here, harness.RawClient(two.port) as there:
        for client in (here, there):
            client.Send(harness.RequestBytes("GET", "/events"))
            client.ReadUntil(b"\r\n\r\n")
        one.Do("print('COUNT', hub.Send({'a': [1, None]}, event='change', id=7, retry=100))")
        assert one.Seen("COUNT (.*)").group(1) == "1", "the clients of this process"
        event = b'id: 7\nevent: change\nretry: 100\ndata: {"a": [1, null]}\n\n'
        assert here.ReadUntil(b"\n\n").endswith(event) and there.ReadUntil(b"\n\n").endswith(event)
        two.Do("[hub.Send('two\\nlines'), hub.Send(None, id='x')]")
        for client in (here, there):
            assert client.ReadUntil(b"data: lines\n\n").endswith(b"data: two\ndata: lines\n\n")
            assert client.ReadUntil(b"id: x\n\n")
        one.Do("for number in range(500): hub.Send(number)")
        for client in (here, there):
            text = client.ReadUntil(b"data: 499\n\n").decode()
            assert [line for line in text.split("\n") if line.startswith("data")] == ["data: %d" % i for i in range(500)]


def test_asyncio(store, members, read):
    """Under an asyncio loop, with an async handler."""
    one, two = members(store, runtime="cpython-asyncio")
    reader = read(two)
    assert harness.Fetch(two.port, "/async").text == "p1"
    one.Tell("Count(0, 100)")
    Once(reader.Take(100), [one], 100)
    for member in (one, two):
        member.Finish()
        assert member.Seen("THREADS (.*)").group(1) == "1"


def test_servers_of_one_prefix_only(store, stack, tmp_path, read):
    """Two programs with different prefixes use one Redis."""
    one = stack.enter_context(Member("one", store.url, tmp_path, prefix="first"))
    two = stack.enter_context(Member("two", store.url, tmp_path, prefix="second.app"))
    for member in (one, two):
        member.Wait()
    first, second = read(one), read(two)
    one.Do("mws.Broadcast('of one')")
    two.Do("mws.Broadcast('of two')")
    assert (first.Take(1), second.Take(1)) == (["of one"], ["of two"])


def test_stop_and_start_again(broker, members, read):
    """Stop() releases everything; queued messages are sent before; a new run connects again."""
    one, two = members(broker)
    reader = read(two)
    one.Do("for i in range(50): mws.Broadcast('%s %d' % (name, i))\n".rstrip())
    one.Do("mws.Stop()")
    Once(reader.Take(50), [one], 50)
    one.Do("print('THREADS', threading.active_count(), node.IsConnected())")
    assert one.Seen("THREADS (.*)").group(1) == "1 False"
    one.Do("mws.Broadcast('nobody gets this')")
    two.Do("mws.Broadcast('while one is away')")
    one.Do("mws.Start()")
    one.WaitReady()
    one.Wait()
    one.Do("mws.Broadcast('end')")
    assert reader.Until("end") == ["while one is away", "end"]
    here = read(one)
    two.Do("mws.Broadcast('again')")
    assert here.Until("again") == ["again"], "and nothing old"


# ------------------------------------------------------------------------------ the broker is lost

def Lines(member, word):
    return [line for line in member.stderr.split("\n") if word in line]


def test_killed_and_started_again(store, members, read):
    """Redis is emptied. Messages sent meanwhile are not lost, nothing arrives twice, and local clients notice
    nothing."""
    group = members(store)
    one, two = group
    here, there = read(one), read(two)
    for member in group:
        member.Tell("Count(0, 100)")
    for reader in (here, there):
        reader.Take(200)
    store.Kill()
    one.Tell("Count(100, 200)")
    here.Until("p0 199")                        # local clients get it without the broker
    for member in group:
        member.SeenError("is lost")
    two.Tell("Count(100, 200)")
    store.Start()
    for member in group:
        member.SeenError("is back")
        member.Tell("Count(200, 300)")
    here.Take(600 - len(here.got))
    there.Take(600 - len(there.got))
    for reader in (here, there):
        Once(reader.got, group, 300)
    for member in group:
        assert (len(Lines(member, "is lost")), len(Lines(member, "is back"))) == (1, 1)


def test_a_redis_that_begins_anew_in_the_past(store, members, read):
    """The ids of Redis are times: those of the old Redis may be later than those of the new one."""
    with redis.Redis.from_url(store.url) as client:
        client.xadd("microwebsrv.websockets", {"d": b""}, id="9999999999999-1")
    one, two = members(store)
    there = read(two)
    one.Tell("Count(0, 10)")
    there.Take(10)
    store.Kill()
    store.Start()
    for member in (one, two):
        member.SeenError("is back")
    one.Tell("Count(10, 20)")
    Once(there.Take(10), [one], 20)


def test_what_is_old_is_not_sent_again(store, stack, tmp_path, members, read):
    """A server that joins later, even after a loss, gets no earlier messages."""
    one, _ = members(store)
    one.Do("Count(0, 10)")
    one.Do("time.sleep(2.5); mws.Broadcast('p0 10')")
    three = stack.enter_context(Member("three", store.url, tmp_path))
    three.Wait()
    there = read(three)
    store.Kill()
    three.SeenError("is lost")
    one.SeenError("is lost")
    store.Start()
    one.SeenError("is back")
    one.Do("mws.Broadcast('p0 11')")
    assert [text for text in there.Until("p0 11") if text != "p0 10"] == ["p0 11"]


def test_killed_while_they_send(store, members, read):
    """Whether messages are on the way to Redis, in it, or on the way from it."""
    group = members(store, 3)
    readers = [read(member) for member in group]
    for member in group:
        member.Tell("for i in range(20): Count(50 * i, 50 * i + 50); time.sleep(0.05)")
    for reader in readers:
        reader.Take(500)
    store.Kill()
    store.Start()
    for reader in readers:
        Once(reader.Take(3000 - 500), group, 1000)


def test_nats_killed_and_started_again(stack, members, read):
    """A disconnected server misses messages, because NATS stores none. Nothing arrives twice or out of order."""
    broker = stack.enter_context(broker_tools.Nats())
    group = members(broker)
    here, there = map(read, group)
    group[0].Tell("Count(0, 100)")
    there.Until("p0 99")
    broker.Kill()
    group[0].Tell("Count(100, 200)")
    here.Until("p0 199")
    broker.Start()
    for member in group:
        member.SeenError("is lost")
        member.SeenError("is back")
    group[0].Tell("Count(200, 300)")
    there.Until("p0 299")
    numbers = BySender(there.got)["p0"]
    assert numbers == sorted(set(numbers)) and set(range(100)) | set(range(200, 300)) <= set(numbers)
    assert [len(Lines(member, word)) for member in group for word in ("is lost", "is back")] == [1] * 4


def test_absent_from_the_beginning(stack, tmp_path, read):
    """The server serves; the log does not show the password; the queue is limited and drops the oldest messages."""
    store = stack.enter_context(broker_tools.Redis("--requirepass", "secret"))
    url = "unix://:secret@%s?db=3" % (store.folder / "socket")
    store.Kill()
    one = stack.enter_context(Member("one", url, tmp_path, maxQueueLen=3000))
    one.SeenError("is lost")
    here = read(one)
    one.Tell("Timed(0, 1000)")
    here.Until("one 999")
    assert int(one.Seen(r"TOOK (\d+)").group(1)) < 2000
    assert harness.Fetch(one.port, "/hello").text == "one"
    assert len(Lines(one, "the queue to the broker is full")) == 1
    store.Start()
    with redis.Redis.from_url(url) as client:
        one.SeenError(r"is back; \d+ more")
        kept = [json.loads(fields[b"d"].partition(b"\n")[0])["n"] for _, fields in client.xrange("microwebsrv.websockets")]
    assert kept == list(range(1001 - len(kept), 1001)) and 10 < len(kept) < 40, "the newest"
    assert "is back; %d more messages to it were dropped" % (1000 - len(kept) - 1) in one.stderr
    assert "secret" not in one.stderr
    one.Do("mws.Stop()")


def test_nats_is_absent_from_the_beginning(stack, tmp_path, read):
    """The log tells why, and the broker is used when it starts."""
    broker = stack.enter_context(broker_tools.Nats())
    broker.Kill()
    one = stack.enter_context(Member("one", broker.url, tmp_path))
    one.SeenError("is lost; this server continues without it: .*(Connect|refused)")
    broker.Start()
    one.Wait()
    assert [len(Lines(one, word)) for word in ("is lost", "is back")] == [1, 1]


def test_cancelled_while_it_fails_to_connect():
    """The end of the server comes first, and the library makes its own exception of that: asyncio logs no exception that was never retrieved."""
    logged = []

    class Broker(microWebBroker.NatsBroker):
        async def Connect(self):
            session.cancel()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise ConnectionRefusedError("on purpose") from None

    async def Main():
        nonlocal session
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(context))
        session = asyncio.ensure_future(Broker("nats://127.0.0.1:1")._Session())
        await asyncio.wait((session,))
        assert session.cancelled() or session.exception()

    session = None
    asyncio.run(Main())
    session = None
    gc.collect()
    assert not logged


def test_frozen(store, members, read):
    """A broker that answers nothing is considered lost after some seconds; nobody waits for it."""
    one, two = members(store)
    here, there = read(one), read(two)
    for member in (one, two):                   # for the next connection
        member.Do("microWebBroker._ANSWER_SEC = 1")
    store.Kill()
    store.Start()
    for member in (one, two):
        member.SeenError("is back")
    time.sleep(2.5)                             # silence alone is no loss
    assert len(Lines(one, "is lost")) == 1
    store.Freeze()
    try:
        one.Tell("Timed(0, 100)")
        here.Until("p0 99")
        assert int(one.Seen(r"TOOK (\d+)").group(1)) < 2000
        assert harness.Fetch(one.port, "/hello").text == "p0"
        one.Do("Wait(False)")
    finally:
        store.Thaw()
    Once(there.Take(100), [one], 100)
    one.Do("Wait()")


def test_stop_while_the_broker_is_away(broker, members):
    """Stop() does not wait for the broker."""
    one, _ = members(broker)
    broker.Freeze()
    try:
        one.Do("mws.Broadcast('x')")
        start = time.monotonic()
        one.Do("mws.Stop()")
        assert time.monotonic() - start < 6
        one.Do("print('THREADS', threading.active_count())")
        assert one.Seen("THREADS (.*)").group(1) == "1"
    finally:
        broker.Thaw()


def test_a_wrong_password_is_said_once(stack, tmp_path):
    store = stack.enter_context(broker_tools.Redis("--requirepass", "secret"))
    one = stack.enter_context(Member("one", "unix://:guess@%s" % (store.folder / "socket"), tmp_path))
    one.SeenError("is lost; this server continues without it: .*(WRONGPASS|invalid)")
    assert harness.Fetch(one.port, "/hello").text == "one"
    time.sleep(1)                               # some more attempts
    assert len(Lines(one, "is lost")) == 1 and not Lines(one, "is back") and "guess" not in one.stderr


# --------------------------------------------------------------------------------- slow processes and limits

def test_one_that_sleeps_costs_nobody_anything(store, members, read):
    """A suspended process affects no other. When it resumes, it reads what Redis has kept."""
    group = members(store, 3)
    readers = [read(member) for member in group]
    os.kill(group[2].pid, signal.SIGSTOP)
    try:
        group[0].Tell("Count(0, 800)")
        for reader in readers[:2]:
            Once(reader.Take(800), group[:1], 800)
    finally:
        os.kill(group[2].pid, signal.SIGCONT)
    Once(readers[2].Take(800), group[:1], 800)


def test_an_engine_that_is_busy_has_a_bound(store, stack, tmp_path, read):
    """A handler that does not return: the oldest messages of other servers are dropped and logged once; then messages
    arrive again."""
    one = stack.enter_context(Member("p0", store.url, tmp_path))
    two = stack.enter_context(Member("p1", store.url, tmp_path, maxQueueLen=2000))
    for member in (one, two):
        member.Wait()
    there = read(two)
    busy = threading.Thread(target=harness.Fetch, args=(two.port, "/sleep/1500"))
    busy.start()
    one.Do("time.sleep(0.2)")
    one.Tell("Timed(0, 1000)")
    two.SeenError("the server is too slow")
    busy.join()
    there.Until("p0 999")
    numbers = BySender(there.got)["p0"]
    assert numbers == sorted(set(numbers)) and len(numbers) < 600
    assert len(Lines(two, "the server is too slow")) == 1
    one.Do("mws.Broadcast('p0 1000')")
    assert there.Until("p0 1000") == ["p0 1000"]


@pytest.mark.parametrize("size", [1000000, 1000001])
def test_the_largest_message(store, members, read, size):
    one, two = members(store)
    reader = read(two)
    one.Do("Try(bytes(%d))" % size)
    one.Do("mws.Broadcast('end')")
    got = reader.Until("end")
    assert got[:-1] == ([bytes(size)] if size == 1000000 else [])
    assert ("REFUSED a message must have at most 1000000 bytes (maxMessageLen), not 1000001" in one.stdout) is (size > 1000000)


# ------------------------------------------------------------------------------------ bad messages

def Head(n=1, **more):
    return json.dumps({"from": "evil", "n": n, "kind": "text", "path": None, **more}).encode()


BAD = {
    "empty": b"",
    "no head": b"hello",
    "no JSON": b"hello\nworld",
    "deep JSON": b"[" * 60000 + b"\n",
    "a list": b"[1, 2]\n",
    "nothing in it": b"{}\n",
    "number is text": Head(n="1") + b"\nx",
    "number is true": Head(n=True) + b"\nx",
    "number is negative": Head(n=-1) + b"\nx",
    "number is huge": Head(n=10 ** 40) + b"\nx",
    "number is a float": Head(n=1e300) + b"\nx",
    "sender is a list": Head(**{"from": []}) + b"\nx",
    "sender is long": Head(**{"from": "a" * 65}) + b"\nx",
    "another kind": Head(kind="code") + b"\nx",
    "kind is a dict": Head(kind={}) + b"\nx",
    "path is a number": Head(path=1) + b"\nx",
    "a long head": Head(path="/" * 65536) + b"\nx",
    "no UTF-8": Head() + b"\n\xff\xfe",
    "an event": Head(2, kind="event") + b"\n{}",
    "too large": Head(3) + b"\n" + b"x" * 1100000,
}
BAD_EVENTS = {
    "text": Head(1) + b"\nx",
    "no JSON": Head(2, kind="event") + b"\nx",
    "no event": Head(3, kind="event") + b'\n{"data": 1}',
    "deep": Head(4, kind="event") + b"\n" + b"[" * 100000,
    "two lines": Head(5, kind="event") + b'\n{"data": 1, "event": "a\\nb", "id": null, "retry": null}',
    "NaN": Head(6, kind="event") + b'\n{"data": NaN, "event": null, "id": null, "retry": null}',
    "half a character": Head(7, kind="event") + b'\n{"data": "\\ud800", "event": null, "id": null, "retry": null}',
}


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
HEADS = st.dictionaries(st.sampled_from(("from", "n", "kind", "path")), JSON) | JSON


@given(st.binary() | st.tuples(HEADS, st.binary()).map(lambda pair: json.dumps(pair[0]).encode() + b"\n" + pair[1]))
def test_whatever_comes_is_a_message_or_a_value_error(data):
    try:
        sender, number, kind, path, content = microWebBroker._Unpack(data)
    except ValueError:
        return
    assert kind in ("text", "binary", "event") and 0 < len(sender) < 65 and number > 0 and data.endswith(b"\n" + content)


@given(st.text(min_size=1, max_size=64), st.integers(1, 1 << 61), st.none() | st.text(max_size=100), st.binary())
def test_a_message_comes_as_it_was_sent(sender, number, path, content):
    for kind in ("text", "binary", "event"):
        assert microWebBroker._Unpack(microWebBroker._Pack(sender, number, kind, path, content)) == (
            sender, number, kind, path, content)


def test_bad_messages_are_dropped(store, members, read):
    """One log line at once, then one a minute. Valid messages in between are delivered."""
    one, two = members(store)
    reader = read(two)
    with redis.Redis.from_url(store.url) as client:
        for data in BAD.values():
            client.xadd("microwebsrv.websockets", {"d": data})
        client.xadd("microwebsrv.websockets", {"other": "field"})
        for data in BAD_EVENTS.values():
            client.xadd("microwebsrv.events.news", {"d": data})
        client.xadd("microwebsrv.websockets", {"d": Head(9) + b"\nof a friend"})
    one.Do("mws.Broadcast('end')")
    assert sorted(reader.Take(2)) == ["end", "of a friend"]
    for member in (one, two):
        assert len(Lines(member, "bad messages dropped")) == 1
    one.Do("print('BAD', node._bad.Rest())")        # each of them was bad
    assert one.Seen(r"BAD (\d+)").group(1) == str(len(BAD) + len(BAD_EVENTS))


def test_another_kind_of_key(store, stack, tmp_path):
    """The key of our stream holds a list: logged once, and the server serves."""
    with redis.Redis.from_url(store.url) as client:
        client.lpush("microwebsrv.websockets", "x")
        one = stack.enter_context(Member("one", store.url, tmp_path))
        one.SeenError("is lost; .*WRONGTYPE")
        assert harness.Fetch(one.port, "/hello").text == "one"
        client.delete("microwebsrv.websockets")
        one.Wait()
        assert (len(Lines(one, "is lost")), len(Lines(one, "is back"))) == (1, 1)


# ------------------------------------------------------------------------------- within one process

def test_two_servers_in_one_process(tmp_path, read):
    """Each server has its own clients. A hub belongs to one server, but reaches the streams of both."""
    program = PROGRAM.replace("mws.Start()\n", """mws.Start()
other = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
other.AcceptWebSocketCallback = lambda webSocket, httpClient: None
otherNode = other.UseBroker(url)
other.Start()
try:
    otherNode.Share("news", hub)
except ValueError as error:
    print("REFUSED", error)
""")
    with harness.Server("cpython", program, tmp_path, args=("memory://here", "one", "{}")) as one:
        port = int(one.WaitLine(r"^READY (\d+)$").group(1))
        one.WaitLine("REFUSED this hub is shared already")
        first = read(one)
        one.port = port
        second = read(one)
        one.Tell("[(mws.Broadcast('a %d' % i), other.Broadcast('b %d' % i)) for i in range(100)]")
        for reader in (first, second):
            assert BySender(reader.Take(200)) == {"a": list(range(100)), "b": list(range(100))}
        one.Tell("print('AGAIN', mws.Stop(), mws.Broadcast('gone'), other.Broadcast('still here'))")
        assert second.Take(1)[-1] == "still here"


OWN = """
import sys
from microWebBroker import MemoryBroker
from microWebSrv import MicroWebSrv


class Twice(MemoryBroker):
    "All messages come twice, and old ones again."

    def __init__(self):
        super().__init__("own")
        self.sent = []

    def Publish(self, channel, data):
        self.sent.append((channel, data))
        for old in self.sent[-3:] * 2:
            super().Publish(*old)


calls = []


class Broken:
    def Publish(self, channel, data):
        raise OSError("no broker of today")

    def Subscribe(self, channels, callback):
        calls.append(channels)

    def Close(self):
        calls.append("closed")


def Make(broker, **settings):
    mws = MicroWebSrv(port=0, bindIP="127.0.0.1")
    mws.Banner = False
    node = mws.UseBroker(broker, **settings)
    mws.got = got = []
    for channel in node._targets:
        node._targets[channel] = lambda *message: got.append(message)
    mws.Start()
    return mws, got


def Wait(got, count):
    import time
    until = time.monotonic() + 10
    while len(got) < count and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.05)
    return [int(content) for _, _, content in got]


(one, first), (two, second) = Make(Twice()), Make(Twice())
for number in range(200):
    (one, two)[number & 1].Broadcast(str(number))
print("FIRST", Wait(first, 100) == list(range(1, 200, 2)), "SECOND", Wait(second, 100) == list(range(0, 200, 2)))
one.Stop()
two.Stop()

logged = []
MicroWebSrv.ErrorCallback = staticmethod(lambda text, error: (logged.append((text, str(error))), three.Broadcast("a log")))
three, _ = Make(Broken())
three.Broadcast("x")
three.Broadcast("y")
three.Stop()
print("LOGGED", logged, calls)

for broker, settings in (("http://a", {}), ("redis", {}), ("memory://", {"prefix": "a b"}), ("memory://", {"prefix": "a..b"}),
                         ("memory://", {"prefix": ">"}), ("memory://", {"hubs": {"a*": None}}), ("memory://", {"hubs": {"": None}})):
    try:
        MicroWebSrv(port=0).UseBroker(broker, **settings)
        print("TAKEN", broker, settings)
    except ValueError as error:
        print("REFUSED", error)
try:
    three.UseBroker("memory://")
except ValueError as error:
    print("REFUSED", error)
for name in ("redis", "nats"):
    sys.modules[name] = None
    try:
        MicroWebSrv(port=0).UseBroker(name + "://127.0.0.1")
    except ImportError as error:
        print("MISSING", error)
"""


def test_a_broker_of_ones_own(tmp_path):
    """A broker that delivers everything twice; a broker that fails, with a log that broadcasts; and the arguments that
    UseBroker refuses."""
    said = harness.RunProgram("cpython", OWN, tmp_path)
    assert "FIRST True SECOND True" in said
    assert "LOGGED [('the broker refuses messages', 'no broker of today')] [['microwebsrv.websockets'], 'closed']" in said
    assert "TAKEN" not in said and said.count("REFUSED") == 8, said
    assert "REFUSED this server has a broker already" in said
    assert "MISSING a broker with redis: needs a package: pip install redis" in said
    assert "pip install nats-py" in said


@pytest.mark.parametrize("absent", ["microWebSocketPlus", "microWebEvents"])
def test_without_the_others(tmp_path, absent):
    """Without microWebSocketPlus there is no Broadcast; without microWebEvents there are no hubs. Everything else
    works."""
    lib = harness.CopySources(tmp_path / "lib")
    (lib / (absent + ".py")).unlink()
    said = harness.RunProgram("cpython", """
from microWebSrv import MicroWebSrv
mws = MicroWebSrv(port=0, bindIP="127.0.0.1")
mws.UseBroker("memory://")
mws.Start()
print("BROADCAST", hasattr(mws, "Broadcast"))
mws.Stop()
""", tmp_path, modulePath=(lib,))
    assert said.startswith("BROADCAST %s" % (absent != "microWebSocketPlus"))


def test_a_message_that_is_too_large_for_nats(stack, members, read):
    """It is dropped with a log line, and does not block the next message."""
    broker = stack.enter_context(broker_tools.Nats())
    one, two = members(broker, maxMessageLen=2000000)
    reader = read(two)
    one.Do("mws.Broadcast(bytes(1500000), '/nobody')")
    one.Do("mws.Broadcast('end')")
    assert reader.Until("end") == ["end"]
    assert len(Lines(one, "too large for the broker")) == 1


def test_bad_messages_of_nats(stack, members, read):
    broker = stack.enter_context(broker_tools.Nats())
    one, two = members(broker)
    reader = read(two)

    async def Say():
        client = await nats.connect(broker.url)
        for data in (b"", b"hello", Head() + b"\n\xff"):
            await client.publish("microwebsrv.websockets", data)
        await client.publish("microwebsrv.websockets", Head(9) + b"\nof a friend")
        await client.drain()

    import asyncio
    asyncio.run(Say())
    one.Do("mws.Broadcast('end')")
    assert sorted(reader.Take(2)) == ["end", "of a friend"]
    assert len(Lines(two, "bad messages dropped")) == 1


# ------------------------------------------------------------------------------------------ sessions in Redis

SESSIONS = """
import sys
import time
from microWebBroker import RedisStore
from microWebSession import UseSessions
from microWebSrv import MicroWebSrv
from ready import Port


@MicroWebSrv.route("/set/<value>")
def Set(httpClient, httpResponse, args):
    httpClient.GetSession()["value"] = args["value"]
    httpResponse.WriteResponseOk(content="set")


@MicroWebSrv.route("/get")
def Get(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.GetSession())


@MicroWebSrv.route("/async")
async def Async(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.GetSession())


@MicroWebSrv.route("/threaded", threaded=True)
def Threaded(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.GetSession())


@MicroWebSrv.route("/renew")
def Renew(httpClient, httpResponse):
    httpClient.GetSession().Renew()
    httpResponse.WriteResponseOk(content="renewed")


@MicroWebSrv.route("/logout")
def LogOut(httpClient, httpResponse):
    httpClient.GetSession().Clear()
    httpResponse.WriteResponseOk(content="out")


@MicroWebSrv.route("/dies")
def Dies(httpClient, httpResponse):
    "Redis dies between the reading and the saving."
    httpClient.GetSession().Clear()
    print("DIES")
    sys.stdin.readline()
    httpResponse.WriteResponseOk(content="out")


@MicroWebSrv.route("/public")
def Public(httpClient, httpResponse):
    httpResponse.WriteResponseOk(content="public")


def Guard(httpClient, httpResponse):
    if not httpClient.GetSession().get("value"):
        httpResponse.WriteResponseForbidden()


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="/nowhere")
UseSessions(mws, "a key of sixteen", int(sys.argv[3]), RedisStore(mws, sys.argv[2]))
mws.Before(Guard, "/guarded")
mws.Start(threaded=False)
"""


class Browser:
    """Keeps its cookie, for any of the processes."""

    cookie = ""

    def Get(self, member, path):
        answer = harness.Fetch(member.port, path, headers={"Cookie": self.cookie} if self.cookie else ())
        for cookie in answer.Headers("set-cookie"):
            self.cookie = cookie.partition(";")[0]
        return answer.status, answer.text


@pytest.fixture
def pair(store, stack, tmp_path):
    """pair(maxAgeSec) -> two processes with sessions in one Redis."""
    def Pair(maxAgeSec=3600, url=None):
        found = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            found.append(stack.enter_context(harness.Server(
                "cpython", SESSIONS, tmp_path / name, args=(url or store.url, maxAgeSec))))
        return found
    return Pair


def test_sessions_are_shared(store, pair):
    one, two = pair()
    ann, bob = Browser(), Browser()
    assert ann.Get(one, "/set/7") == (200, "set")
    assert bob.Get(two, "/set/8") == (200, "set")
    for path in ("/get", "/async", "/threaded"):
        assert ann.Get(two, path) == (200, '{"value": 7}') and bob.Get(one, path) == (200, '{"value": 8}')
    assert ann.Get(two, "/guarded/x") == (404, ann.Get(two, "/nowhere")[1])
    old = Browser()
    old.cookie = ann.cookie
    ann.Get(two, "/renew")
    assert old.Get(one, "/get") == (200, "{}") and ann.Get(one, "/get") == (200, '{"value": 7}')
    old.cookie = ann.cookie
    ann.Get(one, "/logout")
    assert old.Get(two, "/get") == (200, "{}"), "log-out is final"
    with redis.Redis.from_url(store.url) as client:
        keys = client.keys("microwebsrv.session.*")
        assert len(keys) == 1 and 3500 < client.ttl(keys[0]) <= 3600


def test_sessions_expire(store, pair):
    """They expire in Redis too, so they need no cleanup."""
    one, two = pair(2)
    ann = Browser()
    ann.Get(one, "/set/7")
    assert ann.Get(two, "/get")[1] == '{"value": 7}'
    with redis.Redis.from_url(store.url) as client:
        deadline = time.monotonic() + harness.DEADLINE_SEC
        while client.dbsize():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert ann.Get(two, "/get") == (200, "{}")


def test_sessions_without_redis(store, pair):
    """A request with a session gets 503 quickly and keeps its cookie; other requests are served. The loss is logged
    once."""
    one, two = pair()
    ann = Browser()
    ann.Get(one, "/set/7")
    cookie = ann.cookie
    with redis.Redis.from_url(store.url) as client:
        kept = {key: client.get(key) for key in client.keys()}
    store.Kill()
    for _ in range(20):
        for path in ("/get", "/async", "/threaded", "/set/8", "/logout", "/guarded/x"):
            assert ann.Get(one, path)[0] == 503, path
        assert Browser().Get(one, "/get") == (200, "{}")
        assert Browser().Get(one, "/set/1") == (200, "set")         # but not saved
        assert Browser().Get(one, "/guarded/x")[0] == 403
        assert ann.Get(one, "/public") == (200, "public")
    assert ann.cookie == cookie and len(Lines(one, "is lost")) == 1
    store.Start()
    with redis.Redis.from_url(store.url) as client:
        for key, text in kept.items():
            client.set(key, text, ex=60)
    deadline = time.monotonic() + harness.DEADLINE_SEC
    while ann.Get(one, "/get") != (200, '{"value": 7}'):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [len(Lines(one, word)) for word in ("is lost", "is back")] == [1, 1]
    assert ann.Get(two, "/get") == (200, '{"value": 7}'), "a new connection, at once"
    assert not Lines(two, "is lost")


def test_sessions_with_a_redis_that_hangs(store, pair):
    """The engine waits for a limited time, and then not at all for a while."""
    one, _ = pair()
    ann = Browser()
    ann.Get(one, "/set/7")
    store.Freeze()
    try:
        start = time.monotonic()
        assert ann.Get(one, "/get")[0] == 503
        assert time.monotonic() - start < 2
        start = time.monotonic()
        for _ in range(10):
            assert ann.Get(one, "/get")[0] == 503
        assert time.monotonic() - start < 2
    finally:
        store.Thaw()
    deadline = time.monotonic() + harness.DEADLINE_SEC
    while ann.Get(one, "/get") != (200, '{"value": 7}'):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_log_out_while_redis_dies(store, pair):
    """Redis fails between reading and saving: the logout fails, the browser keeps its cookie, and the log tells it."""
    one, _ = pair()
    ann = Browser()
    ann.Get(one, "/set/7")
    cookie = ann.cookie
    one.ExpectError("HttpError.*503")
    asks = threading.Thread(target=ann.Get, args=(one, "/dies"))
    asks.start()
    one.WaitLine("^DIES$")
    store.Kill()
    one.Tell("go on")
    asks.join()
    assert ann.cookie == cookie
    assert ann.Get(one, "/get")[0] == 503
