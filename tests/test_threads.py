"""Threads that send, broadcast, publish and stop at once; on the unix port of MicroPython without a GIL.

    python3 tests/test_threads.py [--minutes 10] [--runtime micropython]      the long way, by hand
"""

import argparse
import pathlib
import re
import tempfile
import threading
import time

import pytest

import harness
from harness import Fetch, RawClient

PROGRAM = """
import gc
import sys
import time
import _thread
from microWebEvents import MicroWebEvents
from microWebSrv import MicroWebSrv
from ready import Port

lock = _thread.allocate_lock()
sockets = []
hub = MicroWebEvents(64)
sent = [0] * 4

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText("echo " + text)
    webSocket.ClosedCallback = Closed
    with lock:
        sockets.append(webSocket)

def Closed(webSocket):
    with lock:
        sockets.remove(webSocket)

def Work(me):
    number = 0
    while True:
        number += 1
        text = "%d:%d:" % (me, number) + "abcdefghij" * (number % 50)
        mws.Broadcast("b" + text)
        with lock:
            some = list(sockets)
        for webSocket in some:
            webSocket.SendText("s" + text)
        hub.Send("h" + text)
        sent[me] = number
        time.sleep(0.002)                   # the pace of a busy program, which leaves the clients time to read

def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(hub)

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

mws = MicroWebSrv([("/events", "GET", Events), ("/hello", "GET", Hello)], Port(), "127.0.0.1")
mws.AddRoute("/thread", "GET", Hello, threaded=True)
mws.AcceptWebSocketCallback = Accept
mws.MaxWebSocketSendQueueLen = 1 << 18
mws.WebSocketSlowPolicy = "drop"
mws.StopGraceSec = 1
mws.Start()
for me in range(len(sent)):
    _thread.start_new_thread(Work, (me,))
for line in sys.stdin:
    if line == "sent\\n":
        gc.collect()
        print("SENT", sum(sent), gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0)
    else:
        mws.Stop()
        print("STOPPED")
        mws.Start()
"""

HANDSHAKE = harness.RequestBytes("GET", "/ws", (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                                                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")))
MESSAGE = re.compile(rb"([bsh])(\d):(\d+):([a-j]*)")


class Listener(threading.Thread):
    """Reads until the server closes: every message whole, and those of each thread in their order."""

    def __init__(self, port, first):
        super().__init__()
        self.client = RawClient(port)
        self.client.Send(first)
        self.client.ReadUntil(b"\r\n\r\n")
        self.count = self.echoes = 0
        self.wrong = None
        self.ends = False
        self.begun = threading.Event()
        self._last = {}
        self.start()

    def run(self):
        try:
            while self.Next():
                if self.count > 20:
                    self.begun.set()
        except Exception as error:
            # Who still sends when the server has closed is reset, and what had not been read is lost with it.
            isReset = isinstance(error, ConnectionError) or "the end of the stream" in str(error)
            self.wrong = None if isReset and self.ends else error
        self.begun.set()
        self.client.Close()

    def Check(self, data):
        found = MESSAGE.fullmatch(data)
        assert found, "no message: %r" % data[:100]
        number = int(found.group(3))
        assert found.group(4) == b"abcdefghij" * (number % 50), "changed: %r" % data[:100]
        key = found.group(1, 2)
        assert number > self._last.get(key, 0), "out of order: %r behind %r" % (data[:20], self._last)
        self._last[key] = number
        self.count += 1


class Socket(Listener):
    def Next(self):
        first, size = self.client.ReadExactly(2)
        assert size < 127, size
        if size == 126:
            size = int.from_bytes(self.client.ReadExactly(2), "big")
        data = self.client.ReadExactly(size)
        if first == 0x88:
            assert data == b"\x03\xe9", data            # 1001: the server stops
            self.client.Send(b"\x88\x82\0\0\0\0\x03\xe9")
            return False
        assert first == 0x81, first
        if data.startswith(b"echo "):
            assert data == b"echo hello", data
            self.echoes += 1
        else:
            self.Check(data)
        if self.count % 50 == 0:
            self.client.Send(b"\x81\x85\0\0\0\0hello")
        return True


class Stream(Listener):
    def Next(self):
        size = int(self.client.ReadUntil(b"\r\n"), 16)
        data = self.client.ReadExactly(size + 2)
        if size:
            assert data.startswith(b"data: ") and data.endswith(b"\n\n\r\n"), data[:100]
            self.Check(data[6:-4])
        return size > 0


def Cycle(server, seconds, workers=True):
    """Clients of all kinds for a while, then Stop with all of it going on, and Start; -> how many messages were right."""
    listeners = [Socket(server.port, HANDSHAKE) for _ in range(3)] + [Stream(server.port, harness.RequestBytes("GET", "/events"))]
    for listener in listeners:
        assert listener.begun.wait(harness.DEADLINE_SEC), "nothing is heard"
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert Fetch(server.port, "/hello").text == "hello"
        assert not workers or Fetch(server.port, "/thread").text == "hello"
    for listener in listeners:
        assert listener.is_alive(), listener.wrong
        listener.ends = True
    server.Tell("stop")
    server.WaitLine("STOPPED")
    for listener in listeners:
        listener.join(harness.DEADLINE_SEC)
        assert not listener.is_alive() and not listener.wrong, listener.wrong
    server.WaitReady()
    return sum(listener.count for listener in listeners), sum(listener.echoes for listener in listeners[:3])


def Held(server):
    server.Tell("sent")
    found = server.WaitLine(r"SENT (\d+) (\d+)")
    return int(found.group(1)), int(found.group(2))


@pytest.mark.timeout(120)
def test_sends_broadcasts_events_and_stop_from_several_threads(serve, runtime):
    server = serve(PROGRAM, options=("-X", "heapsize=8M") if runtime == "micropython" else ())
    for _ in range(3):
        count, echoes = Cycle(server, 1)
        assert count > 500 and echoes > 0
    assert Fetch(server.port, "/hello").text == "hello"
    assert Held(server)[0] > 300


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--runtime", choices=harness.RUNTIMES, default="micropython")
    parser.add_argument("--no-workers", action="store_true", help="no handlers on worker threads, which come and go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flags = ("-X", "heapsize=8M") if options.runtime == "micropython" else ()
        with harness.Server(options.runtime, PROGRAM, pathlib.Path(folder), options=flags) as server:
            start, total, echoes, cycles = time.monotonic(), 0, 0, 0
            while time.monotonic() < start + options.minutes * 60:
                count = Cycle(server, 5, not options.no_workers)
                total, echoes, cycles = total + count[0], echoes + count[1], cycles + 1
                if cycles % 6 == 1:
                    print("%4d s: %d times stopped and started, %d messages and %d echoes right, %d sent, heap %d" % (
                        time.monotonic() - start, cycles, total, echoes, *Held(server)), flush=True)
            print("%4d s: %d times stopped and started, %d messages and %d echoes right, %d sent, heap %d" % (
                time.monotonic() - start, cycles, total, echoes, *Held(server)), flush=True)


if __name__ == "__main__":
    Main()
