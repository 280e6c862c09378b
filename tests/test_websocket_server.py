"""WebSockets of a whole server, on every runtime, with real sockets: raw ones, the `websockets` client and Chromium."""

import contextlib
import os
import shutil
import socket
import statistics
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import harness
from websocket_cases import Frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
             ("Sec-WebSocket-Key", KEY))

PROGRAM = """
import gc
import sys
import time
from microWebSrv import MicroWebSrv
from ready import Port

try:
    import _thread
except ImportError:
    _thread = None

opened = []
ended = []


def Say(*words):
    # one write: two threads must not mix their lines
    sys.stdout.write(" ".join([str(word) for word in words]) + "\\n")


def OnText(webSocket, msg):
    webSocket.SendText(msg)


def OnBinary(webSocket, data):
    webSocket.SendBinary(data)


def OnClosed(webSocket):
    Say("CLOSED", webSocket.CloseCode, "'%%s'" %% webSocket.CloseReason)
    ended.append(webSocket)


def OnAccept(webSocket, httpClient):
    webSocket.RecvTextCallback = OnText
    webSocket.RecvBinaryCallback = OnBinary
    webSocket.ClosedCallback = OnClosed
    opened.append(webSocket)
    Say("OPENED")


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.AcceptWebSocketCallback = lambda webSocket, httpClient: OnAccept(webSocket, httpClient)
mws.MaxWebSocketRecvLen = 100000
mws.WebSocketThreaded = False
exec(%r)
mws.Start()
for line in sys.stdin:
    exec(line)
    Say("DONE")
mws.Stop()
# MicroPython ends with its main thread, and Stop() does not wait for a callback that runs on another
while "threads" in sys.argv and len(ended) < len(opened):
    time.sleep(0.001)
"""


class Client(harness.RawClient):
    """A WebSocket client that sends raw frames."""

    def __init__(self, server, path="/", headers=(), more=b"", handshake=HANDSHAKE, host="localhost", **kwargs):
        super().__init__(server.port, **kwargs)
        self.Send(harness.RequestBytes("GET", path, handshake + tuple(headers), host=host) + more)
        self.response = self.ReadResponse(upgrade="websocket")

    def Text(self, text):
        self.Send(Frame(0x81, text.encode()))

    def ReadFrame(self):
        """-> (first byte, payload) of one unmasked frame from the server."""
        first, size = self.ReadExactly(2)
        if size > 125:
            size = int.from_bytes(self.ReadExactly(2 if size == 126 else 8), "big")
        return first, self.ReadExactly(size)

    def ReadText(self):
        first, payload = self.ReadFrame()
        assert first == 0x81, (first, payload)
        return payload.decode()

    def ReadClose(self):
        """-> the code of the Close frame that must follow; then the server must close."""
        first, payload = self.ReadFrame()
        assert first == 0x88, (first, payload)
        self.Send(Frame(0x88, payload[:2]))
        self.ExpectClose()
        return int.from_bytes(payload[:2], "big")


@pytest.fixture
def open_(serve):
    """open_(settings) -> a server of PROGRAM that has executed the settings."""
    return lambda settings="", **kwargs: serve(PROGRAM % settings, **kwargs)


THREADED = pytest.mark.parametrize("threaded", (False, True), ids=("plain", "threaded"))

# ------------------------------------------------------------------------------------------------------ echoes


@THREADED
def test_echo(open_, threaded):
    server = open_("mws.WebSocketThreaded = %s" % threaded)
    with connect("ws://127.0.0.1:%d/" % server.port, compression=None) as client:
        for size in (0, 1, 125, 126, 1000, 65535, 65536, 99999):
            for message in ("x" * size, os.urandom(size), "\u20ac" * (size // 3)):
                client.send(message)
                assert client.recv(harness.DEADLINE_SEC) == message
        client.send(["in ", "several", " frames"])
        assert client.recv(harness.DEADLINE_SEC) == "in several frames"
        for number in range(300):
            client.send(str(number))
        assert [client.recv(harness.DEADLINE_SEC) for _ in range(300)] == [str(number) for number in range(300)]
    assert client.close_code == 1000
    server.WaitLine("CLOSED 1000 ''")
    server.Finish()


def test_compressed_echo(open_):
    """microWebDeflate.py next to microWebSocket.py is enough."""
    server = open_()
    with connect("ws://127.0.0.1:%d/" % server.port) as client:
        assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
        for message in ("a", "temperature 21.5 " * 100, os.urandom(50000), "temperature 21.5 " * 100, "\u20ac" * 5000):
            client.send(message)
            assert client.recv(harness.DEADLINE_SEC) == message
        client.send("z" * 100001)
        with pytest.raises(ConnectionClosed):
            client.recv(harness.DEADLINE_SEC)
    assert client.close_code == 1009
    server.Finish()


def test_small_echo_does_not_stall(open_):
    """Two sends instead of one would take 40 ms on a connection with delayed acknowledgements."""
    server = open_()
    with Client(server) as client:
        waits = []
        for _ in range(50):
            begin = time.perf_counter()
            client.Text("ping")
            assert client.ReadText() == "ping"
            waits.append(time.perf_counter() - begin)
    assert statistics.median(waits) < 0.02, waits


def test_frames_in_the_segment_of_the_handshake(open_):
    server = open_()
    with Client(server, more=Frame(0x81, b"early") + Frame(0x82, b"bird")) as client:
        assert [client.ReadFrame(), client.ReadFrame()] == [(0x81, b"early"), (0x82, b"bird")]


# --------------------------------------------------------------------------------------------------- handshake

def Refused(server, headers, method="GET", path="/", version=b"HTTP/1.1"):
    with harness.RawClient(server.port) as client:
        request = harness.RequestBytes(method, path, headers + (("Connection", "close"),))
        client.Send(request.replace(b"HTTP/1.1", version, 1))
        return client.ReadResponse(method)


def Without(name, *more):
    return tuple(pair for pair in HANDSHAKE if pair[0] != name) + more


def test_handshake(open_):
    server = open_("mws.WebSocketProtocols = ('chat', 'mqtt')")
    with Client(server, headers=[("Sec-WebSocket-Protocol", "mqtt, chat")]) as client:
        response = client.response
        assert response.status == 101 and response.Header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert response.Header("upgrade") == "websocket" and response.Header("connection") == "Upgrade"
        assert response.Header("sec-websocket-protocol") == "chat"
        client.Text("x")
        assert client.ReadText() == "x"
    for upgrade in ("foo, websocket", "WebSocket", "foo,websocket\t, bar"):
        with Client(server, handshake=Without("Upgrade", ("Upgrade", upgrade))) as client:
            assert client.response.status == 101
    with Client(server, handshake=Without("Upgrade", ("Upgrade", "foo"), ("Upgrade", "websocket"))) as client:
        assert client.response.status == 101
    for method in ("POST", "OPTIONS", "PUT"):           # the handshake must be a GET
        assert Refused(server, HANDSHAKE, method).status == 400
    refused = Refused(server, Without("Sec-WebSocket-Version", ("Sec-WebSocket-Version", "8")))
    assert (refused.status, refused.Header("sec-websocket-version")) == (426, "13")
    assert Refused(server, Without("Sec-WebSocket-Version")).status == 426
    assert Refused(server, Without("Sec-WebSocket-Key")).status == 400
    assert Refused(server, Without("Sec-WebSocket-Key", ("Sec-WebSocket-Key", "short"))).status == 400
    assert Refused(server, HANDSHAKE + (("Sec-WebSocket-Key", KEY),)).status == 400
    assert Refused(server, HANDSHAKE + (("Origin", "http://evil.example"),)).status == 403
    # without an upgrade it is an ordinary request (RFC 9110 section 7.8)
    assert Refused(server, Without("Connection")).status == 404
    assert Refused(server, HANDSHAKE, version=b"HTTP/1.0").status == 404
    assert Refused(server, Without("Upgrade", ("Upgrade", "h2c"))).status == 404
    for origin, host in (("http://localhost", "localhost"), ("https://localhost", "localhost:443"),
                         ("http://localhost", "localhost:80"), ("file://", "localhost"), ("ws://10.0.0.7", "localhost")):
        with Client(server, headers=[("Origin", origin)], host=host) as client:
            assert client.response.status == 101
    assert Refused(server, HANDSHAKE + (("Origin", "null"),)).status == 403
    server.SeenError("WebSocket 403: /, Host localhost, Origin null")


def test_nobody_accepts(open_):
    server = open_("mws.AcceptWebSocketCallback = None")
    assert Refused(server, HANDSHAKE).status == 501


def Alone(folder, *names):
    """A folder with the core, the files that the runtime needs, and these."""
    (folder / "lib").mkdir()
    for name in ("microWebSrv", "microWebAsync", *names):
        shutil.copy(harness.SRC / (name + ".py"), folder / "lib")
    return folder / "lib",


def test_without_the_file_it_is_501(open_, tmp_path):
    """Without the file, WebSockets are not implemented: 501, not 404."""
    server = open_(modulePath=Alone(tmp_path, "microWebTemplate"))
    for path in ("/", "/nothing/here"):
        assert Refused(server, HANDSHAKE, path=path).status == 501
    assert Refused(server, Without("Upgrade", ("Upgrade", "h2c"))).status == 404
    assert harness.Fetch(server.port, "/nothing/here").status == 404


@THREADED
def test_the_file_alone(open_, tmp_path, threaded):
    """Without microWebSocketPlus.py everything of the original server works; other features report that they need the
    file."""
    server = open_("""
mws.WebSocketThreaded = %s
mws.AllowedWebSocketOrigins = ["http://friend.example"]         # only with the other file
Say("BROADCAST", hasattr(mws, "Broadcast"))

async def Async(webSocket, data):
    pass

def OnAccept(webSocket, httpClient):
    webSocket.RecvTextCallback = OnText
    webSocket.RecvBinaryCallback = Async
    webSocket.ClosedCallback = OnClosed
    opened.append(webSocket)
    Say("OPENED", hasattr(webSocket, "Ping"))
""" % threaded, modulePath=Alone(tmp_path, "microWebSocket"), args=("threads",))
    server.Seen("BROADCAST False")
    assert Refused(server, HANDSHAKE + (("Origin", "http://friend.example"),)).status == 403
    with Client(server, headers=[("Origin", "http://localhost"), ("Sec-WebSocket-Protocol", "chat")]) as client:
        assert client.response.status == 101 and client.response.Header("sec-websocket-protocol") is None
        server.WaitLine("OPENED False")
        client.Send(Frame(0x82, b"a") + Frame(0x89, b"p"))
        client.Text("b")
        frames = [client.ReadFrame(), client.ReadFrame()]
        assert sorted(frames) == [(0x81, b"b"), (0x8a, b"p")]
        server.ExpectError("async needs microWebSocketPlus")
        client.Send(Frame(0x88, b"\x03\xe8"))
        assert client.ReadClose() == 1000
    server.WaitLine("CLOSED 1000")


def test_origins(open_):
    server = open_("mws.AllowedWebSocketOrigins = ['http://friend.example']")
    assert Refused(server, HANDSHAKE + (("Origin", "http://localhost"),)).status == 403
    with Client(server, headers=[("Origin", "http://friend.example")]) as client:
        assert client.response.status == 101


def test_routes(open_):
    server = open_("""
@MicroWebSrv.webSocketRoute("/chat/<room>")
def Chat(webSocket, httpClient, routeArgs):
    webSocket.room = routeArgs["room"]
    webSocket.RecvTextCallback = lambda webSocket, msg: mws.Broadcast(webSocket.room + ": " + msg, webSocket.Path)

@MicroWebSrv.webSocketRoute("/clock")
def Clock(webSocket, httpClient):
    webSocket.SendText("12:00 " + httpClient.GetRequestQueryParams()["zone"])

mws.AcceptWebSocketCallback = None
""")
    assert Refused(server, HANDSHAKE, path="/other").status == 404
    with Client(server, "/clock?zone=UTC") as client:
        assert client.ReadText() == "12:00 UTC"
    with Client(server, "/chat/red") as red, Client(server, "/chat/blue") as blue, Client(server, "/chat/red") as red2:
        blue.Text("hello")
        assert blue.ReadText() == "blue: hello"
        red.Text("hi")
        assert red.ReadText() == red2.ReadText() == "red: hi"
        server.Tell("mws.Broadcast('all')")
        assert red.ReadText() == red2.ReadText() == blue.ReadText() == "all"


# ------------------------------------------------------------------------------------------------------ closing

def test_closing(open_):
    server = open_()
    with Client(server) as client:
        client.Send(Frame(0x88, b"\x0f\xa1" + "f\u00fcr heute".encode()))
        assert client.ReadFrame() == (0x88, b"\x0f\xa1" + "f\u00fcr heute".encode())
        client.ExpectClose()
    server.WaitLine(r"CLOSED 4001 'f\u00fcr heute'")
    with Client(server) as client:
        server.WaitLine("OPENED")
        server.Tell("opened[-1].Close(4002, 'enough')")
        assert client.ReadFrame() == (0x88, b"\x0f\xa2enough")
        client.Text("too late")
        client.Send(Frame(0x88, b"\x0f\xa2"))
        client.ExpectClose()
    server.WaitLine("CLOSED 4002 'enough'")
    with Client(server):
        pass
    server.WaitLine("CLOSED 1006 ''")
    with Client(server) as client:
        client.Close(reset=True)
    server.WaitLine("CLOSED 1006 ''")
    server.Tell("Say('LEFT', [webSocket.IsClosed() for webSocket in opened], opened[0].SendText('x'))")
    server.WaitLine(r"LEFT \[True, True, True, True\] False")


@pytest.mark.parametrize("data, code", [(b"\x81\x05Hello", 1002), (Frame(0x83), 1002), (Frame(0x81, b"\xff"), 1007),
                                        (Frame(0x82, b"x" * 126, form=127), 1002), (Frame(0x82, b"x" * 100001), 1009)])
def test_violations(open_, data, code):
    """A Close frame, and then the end of the connection, without waiting for the client's reply."""
    server = open_()
    with Client(server) as client:
        begin = time.monotonic()
        client.Send(data)
        first, payload = client.ReadFrame()
        reason = b"message above MaxWebSocketRecvLen: 100000" if code == 1009 else b""
        assert (first, payload) == (0x88, code.to_bytes(2, "big") + reason)
        client.ExpectClose()
        assert time.monotonic() - begin < 1
    server.WaitLine("CLOSED %d" % code)
    if code == 1009:
        server.SeenError("message above MaxWebSocketRecvLen: 100000")


def test_too_big_is_told_while_the_client_still_sends(open_):
    """To close at once would reset the connection, and the code would be lost."""
    server = open_("mws.MaxWebSocketRecvLen = 1000")
    with connect("ws://127.0.0.1:%d/" % server.port, compression=None) as client:
        with pytest.raises(ConnectionClosed):
            client.send(b"x" * 5000000)
            client.recv(harness.DEADLINE_SEC)
    assert client.close_code == 1009
    server.WaitLine("CLOSED 1009")


@THREADED
def test_stop(open_, threaded):
    server = open_("mws.WebSocketThreaded = %s" % threaded, args=("threads",))
    with Client(server) as first, Client(server) as second:
        server.WaitLine("OPENED")
        server.WaitLine("OPENED")
        first.Text("x")
        assert first.ReadText() == "x"
        server.process.stdin.close()
        assert first.ReadClose() == 1001
        assert second.ReadClose() == 1001
        server.WaitLine("CLOSED 1001")
        server.WaitLine("CLOSED 1001")
        server.WaitExit()


def test_stop_with_a_client_that_does_not_answer(open_):
    server = open_("mws.StopGraceSec = 1")
    with Client(server) as client:
        server.process.stdin.close()
        assert client.ReadFrame()[0] == 0x88
        server.WaitLine("CLOSED 1001")
        server.WaitExit()


# ---------------------------------------------------------------------------------------------------- callbacks

SEED = """
def _acceptWebSocketCallback(webSocket, httpClient) :
  print("WS ACCEPT")
  webSocket.RecvTextCallback   = _recvTextCallback
  webSocket.RecvBinaryCallback = _recvBinaryCallback
  webSocket.ClosedCallback     = _closedCallback

def _recvTextCallback(webSocket, msg) :
  print("WS RECV TEXT : %s" % msg)
  webSocket.SendText("Reply for %s" % msg)

def _recvBinaryCallback(webSocket, data) :
  print("WS RECV DATA : %s" % data)

def _closedCallback(webSocket) :
  print("WS CLOSED")

mws = MicroWebSrv(port=mws.port, bindIP="127.0.0.1")
mws.MaxWebSocketRecvLen     = 256
mws.AcceptWebSocketCallback = _acceptWebSocketCallback
"""


@THREADED
def test_the_example_of_the_seed(open_, threaded):
    server = open_(SEED + "mws.WebSocketThreaded = %s" % threaded)
    with Client(server) as client:
        server.WaitLine("WS ACCEPT")
        client.Text("hello")
        assert client.ReadText() == "Reply for hello"
        server.WaitLine("WS RECV TEXT : hello")
        client.Send(Frame(0x82, b"\x01"))
        server.WaitLine("WS RECV DATA : ")
    server.WaitLine("WS CLOSED")


def test_a_blocked_callback_holds_nobody_else(open_):
    """Threaded: the callback of one socket waits for a lock that another socket's message releases."""
    server = open_("""
gate = _thread.allocate_lock()
gate.acquire()

def OnText(webSocket, msg):
    if msg == "wait":
        with gate:
            webSocket.SendText("waited")
    elif msg == "go":
        gate.release()
    else:
        webSocket.SendText(msg)

mws.WebSocketThreaded = True
""")
    with Client(server) as waits, Client(server) as goes:
        waits.Text("wait")
        for number in range(20):
            waits.Text("after %d" % number)
        waits.Send(Frame(0x89, b"alive?"))
        goes.Text("still here")
        assert goes.ReadText() == "still here"
        goes.Text("go")
        frames = [waits.ReadFrame() for _ in range(22)]
        assert (0x8a, b"alive?") in frames
        frames.remove((0x8a, b"alive?"))
        assert frames == [(0x81, b"waited")] + [(0x81, b"after %d" % number) for number in range(20)]


def test_a_threaded_accept_callback_may_stay(open_):
    server = open_("""
def OnAccept(webSocket, httpClient):
    webSocket.ClosedCallback = OnClosed
    number = 0
    while webSocket.SendText(str(number)):
        number += 1
    Say("OVER")

mws.WebSocketThreaded = True
""")
    with Client(server) as client:
        assert [client.ReadText() for _ in range(100)] == [str(number) for number in range(100)]
        assert harness.Fetch(server.port, "/nothing").status == 404
    server.WaitLine("OVER")
    server.WaitLine("CLOSED")


def test_async_callbacks(open_):
    server = open_("""
import asyncio

async def OnText(webSocket, msg):
    await asyncio.sleep(0)
    webSocket.SendText("1 " + msg)
    await asyncio.sleep(0.001)
    webSocket.SendText("2 " + msg)

async def OnAccept(webSocket, httpClient):
    webSocket.RecvTextCallback = OnText
    webSocket.ClosedCallback = OnClosed
    webSocket.SendText("welcome")
    while not webSocket.IsClosed():
        await asyncio.sleep(0.01)
    Say("OVER")

async def OnClosed(webSocket):
    await asyncio.sleep(0)
    Say("CLOSED")
""")
    with Client(server, more=Frame(0x81, b"0")) as client:
        assert client.ReadText() == "welcome"
        for number in range(1, 30):
            client.Text(str(number))
        expected = ["%d %d" % (half, number) for number in range(30) for half in (1, 2)]
        assert [client.ReadText() for _ in range(60)] == expected
    server.WaitLine("OVER|CLOSED")
    server.WaitLine("OVER|CLOSED")


def test_async_callbacks_of_a_threaded_socket(open_):
    """They run as tasks, the plain ones on the socket's thread, all of them in order."""
    server = open_("""
import asyncio

async def OnText(webSocket, msg):
    await asyncio.sleep(0.001)
    webSocket.SendText("async " + msg + str(mws.IsOnEngine()))

def OnBinary(webSocket, data):
    webSocket.SendText("plain " + data.decode() + str(mws.IsOnEngine()))

async def OnClosed(webSocket):
    Say("CLOSED")

mws.WebSocketThreaded = True
""")
    with Client(server) as client:
        for number in range(10):
            client.Text("%d " % number)
            client.Send(Frame(0x82, b"%d " % number))
        expected = [text % number for number in range(10) for text in ("async %d True", "plain %d False")]
        assert [client.ReadText() for _ in range(20)] == expected
    server.WaitLine("CLOSED")


@THREADED
@pytest.mark.parametrize("failure", ("ValueError('not my day')", "SystemExit(7)"), ids=("error", "exit"))
def test_a_callback_that_fails(open_, threaded, failure):
    """It is logged, and the connection continues, with its thread if it has one."""
    server = open_("""
def OnText(webSocket, msg):
    if msg == "fail":
        raise %s
    webSocket.SendText(msg)

mws.WebSocketThreaded = %s
""" % (failure, threaded))
    with Client(server) as client:
        for _ in range(3):
            client.Text("fail")
            client.Text("goes on")
            assert client.ReadText() == "goes on"
        client.Send(Frame(0x88, b"\x03\xe8"))
        assert client.ReadClose() == 1000
    server.WaitLine("CLOSED 1000")
    server.ExpectError(failure.partition("(")[0])


def test_a_failure_may_close(open_):
    server = open_("""
def OnText(webSocket, msg):
    raise ValueError("not my day")

mws.WebSocketCloseOnError = True
""")
    with Client(server) as client:
        client.Text("x")
        assert client.ReadClose() == 1011
    server.WaitLine("CLOSED 1011")
    server.ExpectError("ValueError: not my day")
    with Client(server) as client:
        client.Send(Frame(0x82, b"others work"))
        assert client.ReadFrame() == (0x82, b"others work")


@pytest.mark.parametrize("flood", (Frame(0x81, b"work"), Frame(0x89), Frame(0x8a), Frame(0x01, b"a") + Frame(0x80, b"b")),
                         ids=("messages", "pings", "pongs", "fragments"))
def test_a_flood_holds_nobody(open_, flood):
    """One client sends endlessly; between its frames others are served."""
    server = open_("""
def OnText(webSocket, msg):
    if msg == "work":
        for _ in range(3000):
            pass
    else:
        webSocket.SendText(msg)

mws.MaxWebSocketRecvLen = 1 << 20
""")
    with Client(server) as floods, Client(server) as other:
        stop = threading.Event()

        def Send():
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    floods.socket.send(flood * 2000)

        def Read():
            with contextlib.suppress(OSError):
                while floods.socket.recv(65536):
                    pass

        threads = [threading.Thread(target=Send), threading.Thread(target=Read)]
        try:
            for thread in threads:
                thread.start()
            waits = []
            for number in range(30):
                begin = time.perf_counter()
                other.Text(str(number))
                assert other.ReadText() == str(number)
                waits.append(time.perf_counter() - begin)
        finally:
            stop.set()
            floods.socket.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
    assert max(waits) < 0.5, max(waits)


# ------------------------------------------------------------------------------------ sends from other threads

def test_sends_from_the_main_thread(open_):
    """3 sockets get 2,000 messages each, in order, while the clients send."""
    server = open_()
    with Client(server) as first, Client(server) as second, Client(server) as third:
        clients = (first, second, third)
        for _ in clients:
            server.WaitLine("OPENED")
        server.Tell("[webSocket.SendText('main %d' % n) for n in range(2000) for webSocket in opened]")
        for client in clients:
            for number in range(50):
                client.Text("echo %d" % number)
        for client in clients:
            got = [client.ReadText() for _ in range(2050)]
            assert [text for text in got if text[0] == "m"] == ["main %d" % number for number in range(2000)]
            assert [text for text in got if text[0] == "e"] == ["echo %d" % number for number in range(50)]
    server.WaitLine("DONE")


def test_sends_from_four_threads(open_):
    server = open_("""
def Flood(name):
    for number in range(500):
        opened[0].SendText("%s %d" % (name, number))
    Say("FLOODED", name)
""")
    with Client(server) as client:
        server.WaitLine("OPENED")
        server.Tell("[_thread.start_new_thread(Flood, (name,)) for name in 'abcd']")
        got = [client.ReadText() for _ in range(2000)]
    for name in "abcd":
        assert [text for text in got if text[0] == name] == ["%s %d" % (name, number) for number in range(500)]


# ------------------------------------------------------------------------------------------- slow and dead clients

MEMORY = """
def Memory():
    if hasattr(gc, "mem_alloc"):
        gc.collect()
        return gc.mem_alloc()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
"""


@contextlib.contextmanager
def BroadcastToStuckClient(open_, policy):
    """Send 10,000 KB to a client that reads everything and to one that reads nothing. -> (server, the reading client,
    the stuck one)"""
    server = open_(MEMORY + """
mws.WebSocketSlowPolicy = %r
mws.MaxWebSocketSendQueueLen = 65536
mws.SendTimeoutSec = 3

def Flood(webSocket):
    for number in range(10000):
        mws.Broadcast("%%08d" %% number * 128)
        while webSocket._link.out:
            time.sleep(0.0005)

def Measured(webSocket):
    before = Memory()
    Flood(webSocket)
    Say("GREW", Memory() - before)
""" % policy, options=("-X", "heapsize=2M") if open_.isMicroPython else ())
    with Client(server) as reads, Client(server, receiveBuffer=4096) as stuck:
        server.WaitLine("OPENED")
        server.WaitLine("OPENED")
        server.Tell("Measured(opened[0])")
        for number in range(10000):
            assert reads.ReadText() == "%08d" % number * 128
        grew = int(server.WaitLine(r"GREW (-?\d+)").group(1))
        assert grew < 1000000, "the server grew by %d bytes" % grew
        yield server, reads, stuck


@pytest.fixture
def openLarge(open_, runtime):
    open_.isMicroPython = runtime == "micropython"
    return open_


def test_a_stuck_client_is_closed(openLarge):
    with BroadcastToStuckClient(openLarge, "close") as (server, reads, stuck):
        server.Seen("CLOSED 1008")      # it may have come before everything was sent
        reads.Text("alive")
        assert reads.ReadText() == "alive"
        data = stuck.ReadToEnd()
        assert data.startswith(b"\x81\x7e\x04\x00" + b"00000000" * 128)


def test_a_stuck_client_loses_messages(openLarge):
    with BroadcastToStuckClient(openLarge, "drop") as (server, reads, stuck):
        stuck.Text("last")
        numbers = []
        while True:
            text = stuck.ReadText()
            if text == "last":
                break
            assert text == text[:8] * 128
            numbers.append(int(text[:8]))
        assert numbers == sorted(numbers) and numbers[0] == 0 and 10 < len(numbers) < 10000
        stuck.Text("alive")
        assert stuck.ReadText() == "alive"


CAMERA = """
def Camera(webSocket, text):
    for number in range(%d):
        if not webSocket.SendBinary(bytes([number & 255]) * (5000 if number %% 2 else 50)):
            Say("REFUSED", number)
            return
    Say("SENT")

def HeldUp():
    while not opened or not opened[0]._state & 2:
        time.sleep(0.001)
    Say("HELD")

def OnAccept(webSocket, httpClient):
    opened.append(webSocket)
    webSocket.RecvTextCallback = Camera
    webSocket.ClosedCallback = lambda webSocket: Say("CLOSED", webSocket.CloseCode)

mws.WebSocketThreaded = True
mws.MaxWebSocketSendQueueLen = 2000
mws.WebSocketSlowPolicy = %r
"""


@pytest.mark.parametrize("policy", ("close", "drop"))
def test_a_thread_waits_for_its_client(open_, policy):
    """The thread sends more than may be queued, but never too much for a client that reads."""
    server = open_(CAMERA % (4000, policy))
    with Client(server, receiveBuffer=65536) as client:
        client.Text("go")
        server.Tell("HeldUp()")
        server.WaitLine("HELD")                             # as much as the kernel's buffers take
        if policy == "drop":                                # then it waits for nobody
            server.Seen(r"REFUSED \d+")
            return
        for number in range(4000):
            assert client.ReadFrame() == (0x82, bytes([number & 255]) * (5000 if number % 2 else 50))
        server.WaitLine("SENT")


def test_the_engine_waits_for_a_lock_of_a_thread_that_sends(open_):
    """No deadlock: the thread continues, however much is queued."""
    server = open_("""
lock = _thread.allocate_lock()
mws.MaxWebSocketSendQueueLen = 2000

def Locked():
    with lock:
        while not waits:
            time.sleep(0.001)
        for _ in range(3):
            opened[0].SendBinary(b"x" * 1000)

def Wait(webSocket, text):
    waits.append(1)
    with lock:
        webSocket.SendText("through")

def OnAccept(webSocket, httpClient):
    opened.append(webSocket)
    webSocket.RecvTextCallback = Wait

waits = []
mws.WebSocketSlowPolicy = "drop"
""")
    with Client(server) as client:
        server.Tell("Locked()")
        client.Text("go")
        frames = [client.ReadFrame() for _ in range(4)]
        assert sorted(frames) == [(0x81, b"through")] + [(0x82, b"x" * 1000)] * 3


def test_a_thread_does_not_wait_for_ever(open_):
    server = open_(CAMERA % (100000, "close"))
    with Client(server, receiveBuffer=4096) as client:
        client.Text("go")
        server.WaitLine(r"REFUSED \d+")
        while client.Receive(65536):
            pass
        server.Seen("CLOSED 1008")


def test_dead_clients_are_found(open_):
    server = open_("mws.WebSocketPingSec = 1")
    with Client(server) as alive, Client(server) as dead:
        for _ in range(3):
            assert alive.ReadFrame() == (0x89, b"")
            alive.Send(Frame(0x8a))
        server.WaitLine("CLOSED 1006 ''")
        assert dead.ReadFrame() == (0x89, b"")
        dead.ExpectClose()
        alive.Text("x")
        while alive.ReadFrame() != (0x81, b"x"):
            alive.Send(Frame(0x8a))


# ------------------------------------------------------------------------------------------------------- a browser

PAGE = """<!DOCTYPE html><title>WebSocket</title><script>
function Talk(path, messages) {
    return new Promise(function (resolve) {
        const log = [], socket = new WebSocket("ws://" + location.host + path);
        socket.binaryType = "arraybuffer";
        socket.onopen = function () { messages.forEach(function (message) { socket.send(message); }); };
        socket.onmessage = function (event) {
            log.push(typeof event.data === "string" ? event.data : Array.from(new Uint8Array(event.data)));
            if (log.length === messages.length) socket.close(4005, "bye");
        };
        socket.onclose = function (event) { log.push([event.code, event.reason, event.wasClean]); resolve(log); };
    });
}
</script>"""


def test_browser(open_, page, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text(PAGE, encoding="utf-8")
    server = open_("mws = MicroWebSrv(port=mws.port, bindIP='127.0.0.1', webPath='www')\n"
                   "mws.AcceptWebSocketCallback = OnAccept\nmws.WebSocketThreaded = False")
    page.goto(server.Url("/"))
    got = page.evaluate("Talk('/', ['h\u00e9llo', '', new Uint8Array([0, 255, 128]), 'x'.repeat(1000)])")
    assert got == ["h\u00e9llo", "", [0, 255, 128], "x" * 1000, [4005, "bye", True]]
    got = page.evaluate("Talk('/', ['x'.repeat(200000)])")
    assert got == [[1009, "message above MaxWebSocketRecvLen: 65536", True]]
