"""microWebEvents: every subscribed client receives what any thread sends. A slow or lost client does not affect
others."""

import json
import shutil
import threading
import time

import pytest

import harness

PROGRAM = """
import sys
import _thread
from microWebSrv import MicroWebSrv
from microWebEvents import MicroWebEvents
from ready import Port

hub = MicroWebEvents(maxQueueLen=4)
wide = MicroWebEvents(maxQueueLen=10000)
nervous = MicroWebEvents(pingSec=0.1)
hubs = {"hub": hub, "wide": wide, "nervous": nervous}


@MicroWebSrv.route("/events/<name>")
def Events(httpClient, httpResponse, args):
    httpResponse.WriteResponseEventStream(hubs[args["name"]], headers={"X-Hub": args["name"]})


@MicroWebSrv.route("/threaded", threaded=True)
def Threaded(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(hub)


@MicroWebSrv.route("/welcome")
async def Welcome(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(hub)
    hub.Send("somebody came")


@MicroWebSrv.route("/late")
def Late(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="first")
    print("ACCEPTED", httpResponse.WriteResponseEventStream(hub), hub.Count())


@MicroWebSrv.route("/faulty")
def Faulty(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(hub, headers={"X": "a\\r\\nb"})


@MicroWebSrv.route("/count")
def Count(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk({name: hubs[name].Count() for name in hubs})


@MicroWebSrv.route("/generator")
def Generator(httpClient, httpResponse):
    def Items():
        yield "one"
        yield {"data": {"n": 2}, "id": 2}
        yield [3]
    httpResponse.WriteResponseEventStream(Items())


class Countdown:
    def __init__(self, start):
        self.left = start

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return {"data": self.left, "event": "count"}


@MicroWebSrv.route("/async")
def Async(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(Countdown(3))


def Flood(name, first, count):
    for number in range(first, first + count):
        hubs[name].Send(number)


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.Start()
for line in sys.stdin:
    exec(line)
mws.Stop()
"""


class Stream:
    """A client that listens: Next() -> the text of the next event, '' at the end. A chunk contains one or more
    events."""

    def __init__(self, server, path="/events/hub", method="GET", **kwargs):
        self.text = ""
        self.client = harness.RawClient(server.port, **kwargs)
        self.client.Send(harness.RequestBytes(method, path))
        self.head = self.client.ReadUntil(b"\r\n\r\n").decode()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.client.Close()

    def Next(self):
        if not self.text:
            size = int(self.client.ReadUntil(b"\r\n"), 16)
            piece = self.client.ReadExactly(size + 2).decode()
            assert piece[-2:] == "\r\n"
            self.text = piece[:-2]
            assert not size or self.text[-2:] == "\n\n", "half an event"
        event, end, self.text = self.text.partition("\n\n")
        return event + end


def Counted(server, name="hub"):
    return harness.Fetch(server.port, "/count").Json()[name]


def WaitCounted(server, count, name="hub"):
    """The kernel reports a lost client after some time; each request lets the server's loop run once."""
    deadline = time.monotonic() + harness.DEADLINE_SEC
    while Counted(server, name) != count:
        assert time.monotonic() < deadline, "%s clients, not %d" % (Counted(server, name), count)


ENCODED = [
    (("hello",), "data: hello\n\n"),
    (("",), "data: \n\n"),
    (("a\nb\r\nc\rd",), "data: a\ndata: b\ndata: c\ndata: d\n\n"),
    (({"t": 21.5},), 'data: {"t": 21.5}\n\n'),
    ((7,), "data: 7\n\n"),
    (("x", "tick", 12, 3000), "id: 12\nevent: tick\nretry: 3000\ndata: x\n\n"),
    ((None, None, None, 500), "retry: 500\n\n"),
    (("Gr\u00fc\u00dfe \u20ac",), "data: Gr\u00fc\u00dfe \u20ac\n\n"),
]


def test_encoding(run):
    program = """
import json
from microWebEvents import _EventBytes
for args in json.loads(%r):
    print(json.dumps(_EventBytes(*args).decode()))
for bad in ("a\\nb", "a\\rb", "a\\x00b"):
    for at in (1, 2):
        try:
            _EventBytes("x", *[bad if i == at else None for i in (1, 2)])
        except ValueError as error:
            print(json.dumps("refused"))
""" % json.dumps([args for args, _ in ENCODED])
    lines = [json.loads(line) for line in run(program).splitlines()]
    assert lines == [text for _, text in ENCODED] + ["refused"] * 6


@pytest.mark.parametrize("args", [(0,), (1, 0)])
def test_a_hub_has_room_and_patience(run, args):
    out = run("from microWebEvents import MicroWebEvents\ntry:\n    MicroWebEvents(*%r)\nexcept ValueError:\n"
              "    print('refused')\n" % (args,))
    assert out == "refused\n"


def test_every_client_gets_what_another_thread_sends(serve):
    server = serve(PROGRAM)
    with Stream(server) as first, Stream(server) as second:
        assert first.head.startswith("HTTP/1.1 200 OK\r\n") and "\r\nX-Hub: hub\r\n" in first.head
        assert "\r\nContent-Type: text/event-stream\r\n" in first.head
        assert "\r\nCache-Control: no-store\r\n" in first.head
        server.Tell("print('SENT', hub.Send('hello'))")
        assert first.Next() == second.Next() == "data: hello\n\n"
        assert server.WaitLine(r"SENT (\d)").group(1) == "2"
        server.Tell("hub.Send({'t': 1}, event='tick', id=9)")
        assert first.Next() == second.Next() == 'id: 9\nevent: tick\ndata: {"t": 1}\n\n'


def test_nobody_listens(serve):
    server = serve(PROGRAM)
    server.Tell("print('SENT', hub.Send('hello'), hub.Count())")
    assert server.WaitLine(r"SENT (.*)").group(1) == "0 0"


def test_a_client_that_left_is_unsubscribed(serve):
    server = serve(PROGRAM)
    with Stream(server) as stays:
        with Stream(server), Stream(server) as reset:
            assert Counted(server) == 3
            reset.client.Close(reset=True)
        WaitCounted(server, 1)
        server.Tell("hub.Send('still there')")
        assert stays.Next() == "data: still there\n\n"


def test_a_handler_may_send(serve):
    server = serve(PROGRAM)
    with Stream(server) as first, Stream(server, "/welcome") as second:
        assert first.Next() == second.Next() == "data: somebody came\n\n"


def test_a_worker_thread_may_subscribe(serve):
    server = serve(PROGRAM)
    with Stream(server, "/threaded") as stream:
        server.Tell("hub.Send('x')")
        assert stream.Next() == "data: x\n\n"


def test_only_a_stream_that_was_accepted_is_subscribed(serve):
    server = serve(PROGRAM)
    assert harness.Fetch(server.port, "/late").text == "first"
    assert server.WaitLine("ACCEPTED (.*)").group(1) == "False 0"
    assert harness.Fetch(server.port, "/events/hub", "HEAD").Header("content-type") == "text/event-stream"
    server.ExpectError("ValueError.*control characters")
    assert harness.Fetch(server.port, "/faulty").status == 500
    assert Counted(server) == 0


def test_silence_is_broken_by_a_comment(serve):
    """The clock counts whole seconds, so at most one comment a second is sent."""
    server = serve(PROGRAM)
    with Stream(server, "/events/nervous") as stream:
        assert [stream.Next(), stream.Next()] == [":\n\n"] * 2
        server.Tell("nervous.Send('x')")
        while True:
            piece = stream.Next()
            if piece != ":\n\n":
                break
        assert piece == "data: x\n\n"
        assert stream.Next() == ":\n\n"


def test_everybody_is_pinged_whoever_leaves(serve):
    server = serve(PROGRAM)
    streams = [Stream(server, "/events/nervous") for _ in range(3)]
    assert [stream.Next() for stream in streams] == [":\n\n"] * 3
    streams.pop(0).client.Close()
    WaitCounted(server, 2, "nervous")
    assert [stream.Next() for stream in streams * 2] == [":\n\n"] * 4
    for stream in streams:
        stream.client.Close()
    WaitCounted(server, 0, "nervous")
    with Stream(server, "/events/nervous") as last:
        assert last.Next() == ":\n\n"


def test_a_slow_client_loses_its_oldest_events_and_holds_nobody(serve):
    count, padding = 300, 60000
    server = serve(PROGRAM)
    with Stream(server, receiveBuffer=8192) as slow, Stream(server) as quick:
        for number in range(count):
            server.Tell("hub.Send('%d ' + 'x' * %d)" % (number, padding))
            assert quick.Next().split()[1] == str(number)
        server.Tell("hub.Send('over')")
        assert quick.Next() == "data: over\n\n"
        seen = []
        while not seen or seen[-1] != "over":
            seen.append(slow.Next().split()[1])
        numbers = [int(text) for text in seen[:-1]]
        assert numbers == sorted(set(numbers))
        assert len(numbers) < count, "the server kept all that the slow client did not read"
        assert numbers[-3:] == [count - 3, count - 2, count - 1], "what is lost is the oldest"


def test_close_ends_the_streams_and_the_connections_live_on(serve):
    server = serve(PROGRAM)
    with Stream(server) as first, Stream(server) as second:
        server.Tell("hub.Send('last')")
        server.Tell("hub.Close()")
        for stream in (first, second):
            assert [stream.Next(), stream.Next()] == ["data: last\n\n", ""]
            stream.client.Send(harness.RequestBytes("GET", "/count"))
            assert stream.client.ReadResponse().Json()["hub"] == 0
    with Stream(server) as again:
        server.Tell("hub.Send('again')")
        assert again.Next() == "data: again\n\n"


def test_stop_ends_the_streams_and_a_restart_begins_anew(serve):
    server = serve(PROGRAM)
    with Stream(server) as idle, Stream(server, receiveBuffer=8192) as slow:
        for number in range(100):
            server.Tell("hub.Send('%d ' + 'x' * 60000)" % number)
            idle.Next()
        server.Tell("mws.Stop()")
        assert idle.client.ReadToEnd() == b"0\r\n\r\n"
        assert slow.client.ReadToEnd()
    server.Tell("print('LEFT', hub.Count())")
    assert server.WaitLine(r"LEFT (\d+)").group(1) == "0"
    server.Tell("mws.Start()")
    server.WaitReady()
    with Stream(server) as stream:
        server.Tell("hub.Send('again')")
        assert stream.Next() == "data: again\n\n"


def test_threads_that_send_at_once_lose_nothing(serve, runtime):
    """On MicroPython with a heap of 16 MB. Four threads produce garbage faster than it is collected, and waiting events
    fragment the heap: with 2 MB there was sometimes no free block of 32 KB for a list of 4000 events."""
    threads, count = 4, 1000
    server = serve(PROGRAM, options=("-X", "heapsize=16M") if runtime == "micropython" else ())
    with Stream(server, "/events/wide") as first, Stream(server, "/events/wide") as second:
        for thread in range(threads):
            server.Tell("_thread.start_new_thread(Flood, ('wide', %d, %d))" % (10000 * thread, count))
        for stream in (first, second):
            numbers = [int(stream.Next().split()[1]) for _ in range(threads * count)]
            for thread in range(threads):
                mine = [number for number in numbers if number // 10000 == thread]
                assert mine == list(range(10000 * thread, 10000 * thread + count)), "in the order of each thread"


def test_who_sends_without_a_pause_does_not_hold_the_engine(serve):
    server = serve(PROGRAM)
    with Stream(server) as stream:
        reader = threading.Thread(target=stream.client.ReadToEnd)
        reader.start()                          # reads at full speed, so the server never waits for it
        server.Tell("_thread.start_new_thread(Flood, ('hub', 0, 1 << 30))")
        assert [Counted(server) for _ in range(20)] == [1] * 20
        stream.client.SendEnd()
        reader.join(harness.DEADLINE_SEC)
        assert not reader.is_alive()


def test_any_iterable_is_a_stream_of_events(serve):
    server = serve(PROGRAM)
    assert harness.Fetch(server.port, "/generator").text == 'data: one\n\nid: 2\ndata: {"n": 2}\n\ndata: [3]\n\n'
    expected = "".join("event: count\ndata: %d\n\n" % number for number in (2, 1, 0))
    assert harness.Fetch(server.port, "/async").text == expected


def test_without_the_file(serve, modulePath, tmp_path):
    folder = tmp_path / "lib"
    shutil.copytree(modulePath[0], folder, ignore=shutil.ignore_patterns("microWebEvents*", "__pycache__"))
    program = """
from microWebSrv import MicroWebSrv
from ready import Port


def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(["x"])


MicroWebSrv([("/events", "GET", Events)], Port(), "127.0.0.1").Start(threaded=False)
"""
    server = serve(program, modulePath=(folder,))
    server.ExpectError("AttributeError.*WriteResponseEventStream")
    assert harness.Fetch(server.port, "/events").status == 500


def test_without_asyncio(serve, runtime, modulePath, tmp_path):
    """A hub needs no asyncio: without microWebAsync.py, threads and plain handlers can send events."""
    if runtime == "cpython-asyncio":
        pytest.skip("it is there")
    folder = tmp_path / "lib"
    shutil.copytree(modulePath[0], folder, ignore=shutil.ignore_patterns("microWebAsync*", "__pycache__"))
    program = PROGRAM[:PROGRAM.index('@MicroWebSrv.route("/welcome")')] + PROGRAM[PROGRAM.index('@MicroWebSrv.route("/late")'):]
    server = serve(program, modulePath=(folder,))
    with Stream(server) as first, Stream(server, "/threaded") as second:
        server.Tell("hub.Send('hello')")
        assert first.Next() == second.Next() == "data: hello\n\n"
    server.ExpectError("TypeError|AttributeError")
    assert harness.Fetch(server.port, "/async").status == 500       # an async iterable needs microWebAsync.py


def test_what_is_no_json(run):
    """NaN and infinity: JSON.parse in a browser would refuse the event."""
    assert run("""
from microWebEvents import MicroWebEvents
hub = MicroWebEvents()
for data in ({"a": float("nan")}, [float("inf")], [-float("inf")]):
    try:
        hub.Send(data)
        print("sent")
    except ValueError:
        print("refused")
hub.Send({"nan": "information"})
print("END")
""") == "refused\nrefused\nrefused\nEND\n"
