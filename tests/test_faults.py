"""Failures of the system below: the server continues, the client can see that its response is incomplete, and the log
tells it.

docs/reliability.md has the table of faults; each row names a test, here or in another file.
"""

import errno
import re
import select
import socket
import time

import h11
import pytest

import harness
from harness import Fetch, RawClient
from http_tools import MP, Chunked, Get, Post

RELIABILITY = harness.ROOT / "docs" / "reliability.md"

PROGRAM = """
import sys
import fault_sockets
import microWebSrv as core
from microWebSrv import MicroWebSrv
from ready import Port

fault_sockets.Install(core)
MicroWebSrv.UseAsyncio = "asyncio" in sys.argv

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def Echo(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, httpClient.ReadRequestContent())

async def AsyncEcho(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, await httpClient.ReadRequestContent())

def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(("%05d," % number * 200 for number in range(100)), "text/plain")

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText(text)

class File:
    # A file of which the reading fails at some place, or which closes with an error.
    def __init__(self, fails):
        self.left, self.at = fails, 0

    def read(self, size):
        self.left -= 1
        if self.left < 0:
            raise OSError(5, "injected")
        self.at += size
        return b"f" * size

    def readinto(self, buffer):
        piece = self.read(len(buffer))
        buffer[:] = piece
        return len(piece)

    def seek(self, at):
        pass

    def close(self):
        print("CLOSED FILE")

class Www:
    root = "/nowhere"

    def Stat(self, path):
        if path in ("/first.bin", "/second.bin", "/vanishes.bin"):
            return False, 1 << 20, 1
        return (False, 200000, 1) if path == "/fine.bin" else None

    def Open(self, path):
        if path == "/vanishes.bin":
            raise OSError(2, "gone between stat() and open()")
        return File({"/first.bin": 0, "/second.bin": 1, "/fine.bin": 1000}[path])

mws = MicroWebSrv([("/hello", "GET", Hello), ("/echo", "POST", Echo), ("/stream", "GET", Stream),
                   ("/async", "POST", AsyncEcho if MicroWebSrv.UseAsyncio else Echo)],
                  Port(), "127.0.0.1", Www())
mws.AddRoute("/thread", "GET", Hello, threaded=True)
mws.AcceptWebSocketCallback = Accept
mws.ErrorCallback = lambda text, error: print("LOG %s|%r" % (text, error))
# SETTINGS
mws.Start()
for line in sys.stdin:
    exec(line)
mws.Stop()
"""


@pytest.fixture(params=(*harness.RUNTIMES, "micropython-asyncio"))
def runtime(request):
    return request.param


@pytest.fixture
def faulty(serve, runtime, modulePath):
    """With the core's own poll loop, and under asyncio, which an async handler enables."""
    def Serve(settings=""):
        return serve(PROGRAM.replace("# SETTINGS", settings), modulePath=(*modulePath, MP), args=runtime.split("-")[1:])
    return Serve


def Plan(server, *args):
    server.Tell("fault_sockets.Fail(*%r); print('PLANNED')" % (args,))
    server.WaitLine("PLANNED")


def Left(server):
    """The number of planned failures that have not happened yet."""
    server.Tell("print('LEFT', fault_sockets.plan.left)")
    return int(server.WaitLine(r"LEFT (\d+)").group(1))


# -- send and recv, at every call

CONTENT = bytes(range(256)) * 20
STREAM = b"".join(b"%05d," % number * 200 for number in range(100))
EXCHANGES = [(Post("/echo", CONTENT), CONTENT), (Get("/hello"), b"hello"), (Chunked("/async", [CONTENT] * 3), CONTENT * 3),
             (Get("/fine.bin"), b"f" * 200000), (Get("/stream"), STREAM), (Get("/hello"), b"hello")]
FAULTS = (errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.EIO, errno.ENOBUFS, errno.EHOSTUNREACH)


def _Converse(port):
    """All exchanges one after another on one connection. -> the number of complete responses; each must be right."""
    whole = 0
    with RawClient(port) as client:
        try:
            for request, content in EXCHANGES:
                half = len(request) // 2
                client.Send(request[:half])
                client.Send(request[half:])
                response = client.ReadResponse()
                assert (response.status, response.body) == (200, content)
                whole += 1
        except (h11.RemoteProtocolError, ConnectionError):      # the connection was aborted, and the client sees it
            pass
        except AssertionError as error:
            assert "no complete response: ConnectionClosed" in str(error), error
    return whole


@pytest.mark.parametrize("kind", ("send", "recv"))
def test_every_send_and_recv_may_fail(faulty, kind):
    server = faulty()
    at = 0
    while True:
        at += 1
        Plan(server, kind, at, FAULTS[at % len(FAULTS)])
        whole = _Converse(server.port)
        left = Left(server)
        Plan(server, None, 0, 0)
        if left:
            break
        # A recv after the last request only reads the end of the stream, so no response is affected.
        assert whole < len(EXCHANGES) or kind == "recv", "send %d failed and the client has not seen it" % at
        assert Fetch(server.port, "/hello").text == "hello"
        assert at < 300
    assert whole == len(EXCHANGES) and at > len(EXCHANGES)
    server.Tell("print('LINKS', len(mws.links))")
    assert int(server.WaitLine(r"LINKS (\d+)").group(1)) <= 1


HANDSHAKE = harness.RequestBytes("GET", "/ws", (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                                                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")))


@pytest.mark.parametrize("kind", ("send", "recv"))
def test_every_send_and_recv_of_a_websocket_may_fail(faulty, kind):
    server = faulty()
    for at in range(1, 6):
        Plan(server, kind, at, FAULTS[at % len(FAULTS)])
        with RawClient(server.port) as client:
            client.Send(HANDSHAKE)
            for _ in range(4):
                try:
                    client.Send(b"\x81\x85\0\0\0\0hello")
                    if not client.Receive(1):
                        break
                except ConnectionError:
                    break
        Plan(server, None, 0, 0)
        assert Fetch(server.port, "/hello").text == "hello"
    server.Tell("print('LEFT', len([link for link in mws.links.values() if hasattr(link.endpoint, 'SendText')]))")
    assert int(server.WaitLine(r"LEFT (\d+)").group(1)) <= 1


# -- accept

@pytest.mark.parametrize("code", (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ECONNABORTED), ids=errno.errorcode.get)
def test_accept_may_fail(faulty, code):
    server = faulty()
    with RawClient(server.port) as idle:
        idle.Send(Get("/hello"))
        assert idle.ReadResponse().text == "hello"
        Plan(server, "accept", 1, code, 2)
        assert Fetch(server.port, "/hello").text == "hello"
    server.WaitLine(r"LOG accept\|.*%d" % code)
    assert server.stdout.count("LOG accept") == 1, "once for a row of failures"
    assert Left(server) == 0


def test_the_listening_socket_dies(faulty):
    """The network fails and comes back: the server listens again on the same port."""
    server = faulty()
    assert Fetch(server.port, "/hello").text == "hello"
    server.Tell("fault_sockets.KillListeners(); print('KILLED')")
    server.WaitLine("KILLED")
    answer = b""
    until = time.monotonic() + harness.DEADLINE_SEC
    while time.monotonic() < until:             # refused, or reset in the queue of the old listener: try again
        try:
            with RawClient(server.port) as client:
                client.Send(Get("/hello", "Connection: close"))
                answer = client.ReadToEnd()
        except ConnectionError:
            time.sleep(0.05)                    # the pace of the client, not a time of the server
        if answer:
            break
    assert answer.endswith(b"hello")
    server.Seen(r"LOG accept\|")


# -- files

def test_a_file_vanishes_before_it_is_opened(faulty):
    assert Fetch(faulty().port, "/vanishes.bin").status == 404


def test_the_first_read_of_a_file_fails(faulty):
    server = faulty()
    assert Fetch(server.port, "/first.bin").status == 500
    server.WaitLine(r"LOG GET /first.bin\|OSError")
    server.Seen("CLOSED FILE")


def test_a_later_read_of_a_file_fails(faulty):
    server = faulty()
    data = harness.RawExchange(server.port, Get("/second.bin"))
    assert b"\r\nContent-Length: 1048576\r\n" in data and len(data) < 1048576
    server.WaitLine(r"LOG GET /second.bin\|OSError")
    server.Seen("CLOSED FILE")
    assert Fetch(server.port, "/hello").text == "hello"


# -- threads

NO_THREADS = """
def Refuse(*args, **kwargs):
    raise RuntimeError("can't start new thread") if core.sys.implementation.name != "micropython" else OSError(11)

def Refusing():
    if core.sys.implementation.name == "micropython":
        class Threads:
            start_new_thread = staticmethod(Refuse)
            def __getattr__(self, name):
                return getattr(sys.modules["_thread"] if "_thread" in sys.modules else __import__("_thread"), name)
        core._thread = Threads()
    else:
        import threading
        threading.Thread.start = Refuse
"""


def test_no_thread_for_a_handler_or_a_websocket(faulty):
    """They run on the engine instead."""
    server = faulty(NO_THREADS)
    server.Tell("Refusing(); print('REFUSING')")
    server.WaitLine("REFUSING")
    assert Fetch(server.port, "/thread").text == "hello"
    server.WaitLine(r"LOG no thread could be started\|(RuntimeError|OSError)")
    with RawClient(server.port) as client:
        client.Send(HANDSHAKE)
        client.ReadUntil(b"\r\n\r\n")
        client.Send(b"\x81\x85\0\0\0\0hello")
        assert client.ReadExactly(7) == b"\x81\x05hello"
    server.Seen("LOG no thread could be started")


def test_no_thread_for_the_server(faulty):
    """Start() serves in the thread that called it."""
    server = faulty(NO_THREADS + "\nRefusing()")
    assert Fetch(server.port, "/hello").text == "hello"
    server.Seen("LOG no thread could be started")


# -- memory

SQUEEZE = """
import asyncio
import gc
import socket
import sys
import microWebSrv as core
from microWebSrv import MicroWebSrv
from ready import Port

ballast = [None]             # a chain: a list would need a larger place to grow
bell = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
bell.bind(socket.getaddrinfo("127.0.0.1", int(sys.argv[2]))[0][-1])
ring = bytearray(1)

def Squeeze(httpClient, httpResponse, args):
    # The answer leaves at once. Until the bell rings there is no more room than this.
    httpResponse.WriteResponseOk(None, "text/plain", None, "squeezed")
    gc.collect()
    for size in (4096, 512, 64, 32):
        while gc.mem_free() > args["free"] + size:
            try:
                ballast[0] = [ballast[0], bytearray(size)]
            except MemoryError:
                break
    sys.stdout.write("FULL\\n")              # takes no memory

def Rung():
    piece = ballast[0]
    while piece:                    # one by one: an old pointer on some stack would keep the whole chain
        piece[1] = None
        piece[0], piece = None, piece[0]
    ballast[0] = None
    gc.collect()
    print("RUNG")

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk({"X-Some": "header"}, "text/plain", None, "hello")

def Echo(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, httpClient.ReadRequestContent())

async def AsyncEcho(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, await httpClient.ReadRequestContent())

def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(("%05d," % number * 20 for number in range(20)), "text/plain")

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText(text)

def OnError(text, error):
    try:
        print("LOG", text, type(error))
    except MemoryError:
        pass

mws = MicroWebSrv([("/squeeze/<free>", "GET", Squeeze), ("/hello", "GET", Hello), ("/echo", "POST", Echo), ("/async", "POST", AsyncEcho),
                   ("/stream", "GET", Stream)], Port(), "127.0.0.1", "www")
mws.AcceptWebSocketCallback = Accept
mws.WebSocketThreaded = False
mws.ErrorCallback = OnError
mws.BufferLen = 2048
mws.HeadTimeoutSec = mws.BodyTimeoutSec = mws.SendTimeoutSec = mws.KeepAliveTimeoutSec = 2
# SERVE
"""

# A thread waits for the bell, since that takes no memory of the engine or the heap.
IN_A_THREAD = """
mws.Start()
while True:
    bell.readinto(ring)
    Rung()
"""
IN_ASYNCIO = """
bell.setblocking(False)

def Bell():
    while True:
        yield asyncio.core._io_queue.queue_read(bell)
        bell.readinto(ring)
        Rung()

async def Main():
    asyncio.create_task(Bell())
    await mws.Serve()

asyncio.run(Main())
"""


def _Ring(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
        bell.sendto(b"!", ("127.0.0.1", port))


def _Squeeze(server, bellPort, free):
    """Send all kinds of requests while only this many bytes are free. -> the first bytes of each response"""
    requests = [Get("/hello"), Post("/echo", b"x" * 1000), Chunked("/async", [b"y" * 300] * 3), Get("/stream"), HANDSHAKE]
    kept = [RawClient(server.port) for _ in requests]
    fresh = []
    try:
        for client in kept:
            client.Send(Get("/hello"))
            assert client.ReadResponse().text == "hello"
        assert Fetch(server.port, "/squeeze/%d" % free).text == "squeezed"
        server.WaitLine("FULL")
        fresh = [RawClient(server.port) for _ in requests]
        for clients in (kept, fresh):
            for client, request in zip(clients, requests):
                client.Send(request)
        waiting = [client.socket for client in kept + fresh]
        while waiting:                          # a client without a response waits for the bell when nothing arrives
            answered = select.select(waiting, [], [], 0.1)[0]
            if not answered:
                break
            waiting = [sock for sock in waiting if sock not in answered]
        _Ring(bellPort)
        server.WaitLine("RUNG")
        answers = []
        for client in kept + fresh:
            answers.append(client.Receive()[9:12])
        return answers
    finally:
        for client in kept + fresh:
            client.Close()


@pytest.mark.parametrize("loop", (IN_A_THREAD, IN_ASYNCIO), ids=("poll loop", "asyncio"))
@pytest.mark.parametrize("runtime", ("micropython",))
def test_no_memory_at_any_point_of_a_request(serve, runtime, loop):
    """The free memory decreases to zero in small steps: each request is answered or aborted, and when memory is free
    again, the server serves as before, with its clock and listener."""
    bellPort, = harness.FreePorts(1)
    server = serve(SQUEEZE.replace("# SERVE", loop), args=(bellPort,), options=("-X", "heapsize=1M"))
    seen = {}
    for free in (*range(0, 6000, 100), *range(6000, 30000, 1500)):
        for answer in _Squeeze(server, bellPort, free):
            assert answer in (b"", b"101", b"200", b"204", b"408", b"500", b"503"), answer
            seen[answer] = seen.get(answer, 0) + 1
        assert Fetch(server.port, "/hello").text == "hello", "at %d bytes" % free
    print("answers", seen)
    assert seen[b"200"] > 30 and seen[b"500"] > 10, "the room was never too small"
    with RawClient(server.port) as client:
        client.Send(b"GET /hel")
        assert client.ReadResponse().status == 408, "the clock has stopped"
    for text in re.findall("LOG .*", server.stdout):
        assert "MemoryError" in text or "OSError" in text, text


NO_ROOM = """
mws.HeadTimeoutSec = 1

def NoRoom(*args):
    raise MemoryError("injected")
"""


def test_no_memory_for_the_clock(faulty):
    """Deadlines are still checked: a client that sends half a head gets 408."""
    server = faulty(NO_ROOM + """
left = [2]

def Once(*args):
    if left[0]:
        left[0] -= 1
        if not left[0]:
            print("BACK")
        raise MemoryError("injected")
    return list(*args)

core.list = Once
""")
    server.WaitLine("BACK")
    with RawClient(server.port) as client:
        client.Send(b"GET /hel")
        assert client.ReadResponse().status == 408


def test_no_memory_for_the_log(faulty):
    """Neither ErrorCallback nor the console has memory for the message: it is lost, but the server continues."""
    server = faulty(NO_ROOM + """
mws.ErrorCallback = core.print = NoRoom
mws.AddRoute("/raises", "GET", NoRoom)
""")
    assert Fetch(server.port, "/raises").status == 500
    for _ in range(3):
        Plan(server, "accept", 1, errno.ENOBUFS, 2)
        assert Fetch(server.port, "/hello").text == "hello"
        assert Left(server) == 0


SYS_EXIT = """
def Exit(*args):
    print("EXIT")
    sys.exit(3)

def Pieces(httpClient, httpResponse):
    def Made():
        yield "first" * 300
        Exit()
    httpResponse.WriteResponseStream(Made(), "text/plain")

mws.AddRoute("/exit", "GET", Exit)
mws.AddRoute("/pieces", "GET", Pieces)
"""


@pytest.mark.parametrize("place", ("mws.ErrorCallback = Exit", "mws.AccessCallback = Exit", "mws.Ticks.append(Exit)", "mws.CallSoon(Exit)",
                                   "mws.CallSoon(mws.Call, Exit)"))
def test_sys_exit_in_what_the_server_calls(faulty, place):
    """It ends the callback, not the server."""
    server = faulty(SYS_EXIT)
    server.Tell(place + "; print('SET')")
    server.WaitLine("SET")
    if "Error" in place:
        server.ExpectError("SystemExit")                # on the console instead of in ErrorCallback
        assert Fetch(server.port, "/exit").status == 500
        data = harness.RawExchange(server.port, Get("/pieces"))
        assert b"first" in data and not data.endswith(b"\r\n0\r\n\r\n")
    elif "Access" in place:
        assert Fetch(server.port, "/hello").text == "hello"
    server.Seen("EXIT")
    for _ in range(3):
        assert Fetch(server.port, "/hello").text == "hello"
    if "Error" not in place:
        server.Seen(r"LOG .*\|SystemExit")


FAIL_ONCE = """
mws.HeadTimeoutSec = mws.KeepAliveTimeoutSec = 1
left = [0]

def Failing(func, when=lambda *args: True):
    def Fails(*args):
        if left[0] and when(*args):
            left[0] -= 1
            print("FAILED")
            raise MemoryError("injected")
        return func(*args)
    return Fails
"""


def FailNext(server, times=1):
    server.Tell("left[0] = %d; print('SET')" % times)
    server.WaitLine("SET")


@pytest.mark.parametrize("place", ("Link.GetAddr", "Link.__init__", "Connection.__init__", "Link.OnEvent", "Link.Watch"))
def test_no_memory_for_a_connection(faulty, place):
    """A new connection is closed at once, does not wait, and takes no slot."""
    name = place.partition(".")[2]
    settings = FAIL_ONCE + "core.%s = Failing(core.%s)\n" % (place, place)
    if name == "GetAddr":                               # for comparison, a failure of the handler: it is answered
        settings += "mws.AddRoute('/addr', 'GET', lambda client, response: response.WriteResponseOk(content=str(client.GetAddr())))\n"
    server = faulty(settings)
    FailNext(server)
    with RawClient(server.port) as client:
        client.Send(Get("/addr"))
        if name == "GetAddr":
            assert client.ReadResponse().status == 500
        else:
            answer = client.ReadToEnd()
            # the request arrived together with the connection
            assert not answer or name == "Watch" and answer.startswith(b"HTTP/1.1 404 ")
    server.Seen("LOG (accept|a connection failed|GET /addr)\\|.*injected")
    assert Fetch(server.port, "/hello").text == "hello"
    server.Tell("print('LINKS', len(mws.links))")
    assert int(server.WaitLine(r"LINKS (\d+)").group(1)) <= 1


@pytest.mark.parametrize("place", ("Evict", "Listen"))
def test_no_memory_to_recover_the_listener(faulty, place):
    """accept() fails, and the recovery fails too: the next attempt still takes place."""
    server = faulty(FAIL_ONCE + "mws.%s = Failing(mws.%s)\n" % (place, place))
    FailNext(server)
    Plan(server, "accept", 1, errno.ENOBUFS, 7 if place == "Listen" else 2)
    until = time.monotonic() + harness.DEADLINE_SEC
    answer = b""
    while not answer and time.monotonic() < until:      # refused while there is no listener
        try:
            answer = harness.RawExchange(server.port, Get("/hello", "Connection: close"))
        except ConnectionError:
            time.sleep(0.05)                            # the pace of the client, not a time of the server
    assert answer.endswith(b"hello")
    server.Seen("FAILED")


@pytest.mark.parametrize("place", ("Connection.OnExpired", "Link.Abort"))
def test_no_memory_to_cut_a_connection(faulty, place):
    """Tick tries again a second later."""
    server = faulty(FAIL_ONCE + "core.%s = Failing(core.%s)\n" % (place, place))
    with RawClient(server.port) as client:
        client.Send(Get("/hello"))
        assert client.ReadResponse().text == "hello"
        FailNext(server)
        assert client.ReadToEnd() == b""
    server.Seen(r"LOG a call on the engine\|.*injected")
    assert Fetch(server.port, "/hello").text == "hello"


def test_no_memory_to_drain(faulty):
    """The bytes for a slow client can't be shortened in place: the connection is aborted."""
    server = faulty(FAIL_ONCE + """
core.Link.OnWritable = Failing(core.Link.OnWritable, lambda link: link.out)
watch = core.Link.Watch

def Watch(link):
    if link.out:
        print("WAITS")
    watch(link)

core.Link.Watch = Watch
""")
    FailNext(server)
    with RawClient(server.port, receiveBuffer=4096) as client:
        client.Send(Get("/fine.bin") * 100)
        server.WaitLine("WAITS")
        with pytest.raises((AssertionError, h11.RemoteProtocolError, ConnectionError)):
            for _ in range(100):
                assert client.ReadResponse().status == 200
    server.Seen("FAILED")
    server.Seen(r"LOG a connection failed\|.*injected")
    assert Fetch(server.port, "/hello").text == "hello"


NO_ROOM_FOR_THE_REST = """
core.bytearray = Failing(bytearray, lambda data=b"", *args: isinstance(data, bytes) and data[-1:] == b",")
"""

FAILS_BEHIND_THE_SEND = """
name = "write" if sys.implementation.name == "micropython" else "send"
send = getattr(fault_sockets.FaultySocket, name)

def Send(sock, data):
    try:
        size = send(sock, data)
    except BlockingIOError if name == "send" else ():
        size = None
    if size is None or size < len(data):
        print("FULL")
    if left[0] and isinstance(data, bytearray):         # what had waited
        left[0] -= 1
        print("FAILED")
        raise MemoryError("injected")
    return size or 0

setattr(fault_sockets.FaultySocket, name, Send)
mws.MaxSendQueueLen = 2000
"""


@pytest.mark.parametrize("place,isFull", ((NO_ROOM_FOR_THE_REST, "FAILED"), (FAILS_BEHIND_THE_SEND, "FULL")),
                         ids=("the rest of a piece", "what had waited"))
def test_no_memory_for_what_the_socket_left(faulty, place, isFull):
    """Half of the bytes were sent and the rest is lost: nothing may follow or be sent twice, even if the program
    continues."""
    server = faulty(FAIL_ONCE + place + """

def Raw(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, None)
    for number in range(100000):
        try:
            httpResponse._write(b"%07d," % number * 100)
        except MemoryError:
            print("WENT ON")
        except OSError:
            print("GONE AT", number)
            raise

mws.AddRoute("/raw", "GET", Raw)
""")
    FailNext(server)
    with RawClient(server.port, receiveBuffer=4096) as client:
        client.Send(b"GET /raw HTTP/1.0\r\n\r\n")          # content without framing: all received bytes are compared
        server.WaitLine(isFull)
        content = client.ReadToEnd().partition(b"\r\n\r\n")[2]
    server.WaitLine("WENT ON")
    whole = b"".join(b"%07d," % number * 100 for number in range(len(content) // 800 + 1))
    assert content and whole.startswith(content)
    assert int(server.WaitLine(r"GONE AT (\d+)").group(1)) < 90000
    assert Fetch(server.port, "/hello").text == "hello"


def test_no_memory_to_make_room_in_a_raw_answer(faulty):
    """After a MemoryError from _write the program may write the piece again: none of it was queued."""
    server = faulty(FAIL_ONCE + """
core._IsWritable = Failing(core._IsWritable)
mws.MaxSendQueueLen = 2000

def Raw(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, None)
    for number in range(10000):
        try:
            httpResponse._write(b"%07d," % number * 100)
        except MemoryError:
            httpResponse._write(b"%07d," % number * 100)

mws.AddRoute("/raw", "GET", Raw)
""")
    FailNext(server)
    with RawClient(server.port, receiveBuffer=4096) as client:
        client.Send(Get("/raw"))
        server.WaitLine("FAILED")
        assert client.ReadResponse().body == b"".join(b"%07d," % number * 100 for number in range(10000))


@pytest.mark.parametrize("runtime", ("micropython",))
def test_who_never_reads_a_raw_answer_costs_patience_and_no_memory(serve, runtime, modulePath):
    """The queue is limited to a small part of the heap, here half of this port's usual heap."""
    server = serve(PROGRAM.replace("# SETTINGS", """
def Raw(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, None)
    try:
        while httpResponse._write(b"x" * 3300):
            pass
    except Exception as error:
        print("ENDED", type(error).__name__)

mws.AddRoute("/raw", "GET", Raw)
"""), modulePath=(*modulePath, MP), options=("-X", "heapsize=1M"))
    with RawClient(server.port, receiveBuffer=4096) as client:
        client.Send(Get("/raw"))
        assert server.WaitLine(r"ENDED (\w+)").group(1) == "OSError"
    assert Fetch(server.port, "/hello").text == "hello"


def test_no_memory_to_tell_the_engine(faulty):
    """A worker thread retries until the engine knows that its handler failed; a WebSocket's thread does the same."""
    server = faulty(FAIL_ONCE + """
core.MicroWebSrv.CallSoon = Failing(core.MicroWebSrv.CallSoon, lambda self, func, *args: func.__name__ in ("_Call", "_Done"))
mws.WebSocketThreaded = True

def Raises(httpClient, httpResponse):
    left[0] = 3                         # the next calls are those that say how the handler ended
    raise ValueError("the handler")

mws.AddRoute("/raises", "GET", Raises, threaded=True)
""")
    assert Fetch(server.port, "/raises").status == 500
    server.Seen(r"LOG GET /raises\|.*the handler")
    with RawClient(server.port) as client:
        client.Send(HANDSHAKE)
        client.ReadUntil(b"\r\n\r\n")
        FailNext(server)
        client.Send(b"\x81\x85\0\0\0\0hello" * 2)
        client.ReadUntil(b"\x81\x05hello")
        FailNext(server)
        client.Send(b"\x81\x85\0\0\0\0again")
        client.ReadUntil(b"\x81\x05again")
    assert Fetch(server.port, "/hello").text == "hello"


def test_no_memory_for_what_a_thread_asked(faulty):
    """The call is made when memory is free again."""
    server = faulty(FAIL_ONCE + "core.MicroWebSrv._RunCalls = Failing(core.MicroWebSrv._RunCalls)\n")
    assert Fetch(server.port, "/hello").text == "hello"     # from here on the engine runs
    FailNext(server)
    server.Tell("mws.CallSoon(print, 'CALLED')")
    server.WaitLine("FAILED")
    server.WaitLine("CALLED")


# -- the tables of SECURITY.md and docs/reliability.md

def Rows(path, columns):
    """The rows of all tables with this many columns, without table heads."""
    rows = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in path.read_text("utf-8").splitlines()
            if line.startswith("| ")]
    return [row for row in rows if len(row) == columns and not set(row[0]) <= set("-: ")][0:]


class _Platform:
    platform = "esp8266"


def _Names(isBoard, isMicroPython):
    return {"BOARD": isBoard, "MICROPYTHON": isMicroPython, "_MICROPYTHON": isMicroPython, "sys": _Platform,
            "server": type("server", (), {"isBoard": isBoard})}


RUNTIMES = {1: _Names(False, False), 2: _Names(False, True), 3: _Names(True, True)}
LIMIT = r"(?:Max|Buffer|Stop|WebSocketPing)\w+|\w+Sec"


def Limits():
    """name -> source of its default, for the core, WebSockets and worker threads."""
    found = {}
    for path in (harness.CORE / "server.py", harness.CORE / "engine.py",
                 harness.SRC / "microWebSocket.py", harness.SRC / "microWebThreads.py"):
        for line in path.read_text("utf-8").splitlines():
            match = re.match(r" +(?:server\.|kind\.)?(%s) = (.*?)(?: +#.*)?$" % LIMIT, line) \
                or re.match(r' +"(%s)": (.*?),(?: +#.*)?$' % LIMIT, line)
            if match and match.group(1) not in found:
                found[match.group(1)] = match.group(2)
    return found


def test_the_limits_of_security_md_are_those_of_the_sources():
    limits = Limits()
    rows = {row[0].strip("`"): row for row in Rows(harness.ROOT / "SECURITY.md", 5) if row[0] != "limit"}
    assert set(rows) == set(limits)
    for name, row in rows.items():
        for column, names in RUNTIMES.items():
            if (name, column) in (("MaxConnections", 1), ("MaxConnections", 2)):
                names = {**names, "sys": type("sys", (), {"platform": "linux"})}
            value = str(eval(limits[name], dict(names)))
            if (name, column) == ("MaxConnections", 3):
                assert row[column] == "4 to 8" and value == "4"
            else:
                assert row[column] == value, (name, column)


def test_each_row_of_the_table_of_faults_names_a_test():
    rows = Rows(RELIABILITY, 4)
    rows = rows[1:[row[0] for row in rows].index("other clients")]         # the table of waiting has as many columns
    assert len(rows) > 30
    for row in rows:
        for file, test in re.findall(r"`(test_\w+)::(test_\w+)`", row[3]):
            text = (harness.ROOT / "tests" / (file + ".py")).read_text("utf-8")
            assert "\ndef %s(" % test in text, (file, test)
        assert "`test_" in row[3], row


def test_each_mutation_of_the_table_is_one_of_the_tool():
    text = RELIABILITY.read_text("utf-8")
    tool = (harness.ROOT / "tools" / "mutate.py").read_text("utf-8")
    names = re.findall(r'^    \("([a-z]+: [^"]+)"', tool, re.M)
    assert len(names) > 30 and all("| %s |" % name in text for name in names)


def test_each_place_of_a_mutation_is_there():
    """If the code of a known fault no longer exists, the fault is not tested any more; the tool and this test fail
    then."""
    for name, file, old, *_ in harness.LoadTool("mutate").MUTATIONS:
        assert (harness.ROOT / file).read_text("utf-8").count(old) == 1, name
