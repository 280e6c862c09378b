"""ENGINE: the tables of mp/room_engine.py, on both runtimes; and whole runs in this process."""

import contextlib
import http.client
import os
import socket
import threading
import time

import microWebSrv
import pytest
from http_tools import CheckRow, RoomTest


@RoomTest("engine")
def test_engine(interpreter, row):
    CheckRow(interpreter, row)


def _Files():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


class Site:
    """A server on a free port."""

    def __init__(self, webPath="/nowhere"):
        self.log = []
        self.idents = []
        self.server = microWebSrv.MicroWebSrv(port=0, bindIP="127.0.0.1", webPath=webPath)
        self.server.Banner = False
        self.server.ErrorCallback = lambda text, error: self.log.append((text, error))
        self.server.AddRoute("/now", "GET", self.Now)
        self.server.AddRoute("/stop", "GET", lambda client, response: self.server.Stop())
        self.server.AddRoute("/again", "GET", self.Again)

    def Now(self, client, response):
        self.idents.append((threading.get_ident(), self.server.IsOnEngine()))
        response.WriteResponseOk(None, "text/plain", None, "now")

    def Again(self, client, response):
        self.server.Stop()
        self.server.Start()

    def Port(self):
        return self.server._listener.getsockname()[1]

    def Get(self, path="/now"):
        connection = http.client.HTTPConnection("127.0.0.1", self.Port(), timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def Wait(self, holds):
        until = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < until
            time.sleep(0.005)


@contextlib.contextmanager
def Running():
    site = Site()
    before = _Files()
    site.server.Start()
    try:
        yield site
    finally:
        site.server.Stop()
        site.Wait(lambda: not site.server._isBusy)
    assert _Files() == before and not site.server.links and not site.log


def test_a_run_in_a_thread():
    with Running() as site:
        assert site.server.IsStarted() and not site.server.IsOnEngine()
        assert site.Get() == b"now"
        site.server.Start()                     # it runs already
        assert site.Get() == b"now"
    assert not site.server.IsStarted()
    (first, isOn), (second, _) = site.idents
    assert first == second != threading.get_ident() and isOn
    assert site.server.CallSoon(print) is False


def test_stop_waits_for_the_end_and_start_begins_anew():
    for _ in range(3):
        with Running() as site:
            assert site.Get() == b"now"
            site.server.Stop()
            assert not site.server._isBusy
            site.server.Start()
            assert site.Get() == b"now"


def test_a_run_in_the_foreground():
    site = Site()
    got = []

    def Ask():
        site.Wait(lambda: site.server._ident)
        got.append(site.Get())
        site.server.Stop()
    thread = threading.Thread(target=Ask)
    thread.start()
    site.server.Start(threaded=False)
    thread.join()
    assert got == [b"now"] and site.idents == [(threading.get_ident(), True)] and not site.server.IsStarted()


def test_a_handler_stops_it():
    with Running() as site:
        assert site.Get("/stop") == b""
        site.Wait(lambda: not site.server._isBusy)


def test_a_handler_starts_it_again():
    """The old run has to end first, but the handler does not wait for that."""
    with Running() as site:
        first = site.server._listener
        assert site.Get("/again") == b""
        site.Wait(lambda: site.server.IsStarted() and site.server._listener not in (None, first) and site.server._ident)
        assert site.Get() == b"now"


def test_ctrl_c_ends_a_run_in_the_foreground():
    site = Site()

    def Interrupt():
        raise KeyboardInterrupt
    site.server.Ticks.append(Interrupt)
    site.server.Start(threaded=False)
    assert not site.server.IsStarted() and not site.server._isBusy and not site.log


def test_calls_of_threads_wake_it():
    """The loop sleeps for up to a second, but a call wakes it."""
    with Running() as site:
        site.Get()
        for _ in range(3):
            done = threading.Event()
            start = time.monotonic()
            assert site.server.CallSoon(done.set)
            assert done.wait(20)
            if time.monotonic() - start < 0.5:
                break
        else:
            raise AssertionError("it is not woken")


def test_who_runs_in_a_thread_of_its_own_is_known():
    with Running() as site:
        told = []
        done = threading.Event()

        def Body(value):
            told.append((value, site.server._IsOurs(), site.server.IsOnEngine(), len(site.server._threads)))
            done.set()
        threads = len(site.server._threads)
        assert site.server.StartThread(Body, (7,), 0) is True
        assert done.wait(20)
        site.Wait(lambda: len(site.server._threads) == threads)
        assert told == [(7, True, False, threads + 1)] and not site.server._IsOurs()


def test_no_thread_can_be_started(monkeypatch):
    site = Site()

    def Fails(*args, **kwargs):
        raise RuntimeError("can't start new thread")
    monkeypatch.setattr(threading, "Thread", Fails)
    assert site.server.StartThread(print, (), 0) is False
    assert [text for text, _ in site.log] == ["no thread could be started"]
    monkeypatch.setattr(microWebSrv, "_thread", None)
    assert site.server.StartThread(print, (), 0) is False


def test_the_log(monkeypatch):
    """ErrorCallback; stderr if there is none or if it fails."""
    import io
    import sys
    site = Site()
    for callback, shown in ((None, ["MicroWebSrv: text: why", "ValueError: why"]), (lambda text, error: 1 / 0, ["MicroWebSrv: ErrorCallback", "ZeroDivisionError"]),
                            (lambda text, error: sys.exit(3), ["MicroWebSrv: ErrorCallback", "SystemExit"])):
        site.server.ErrorCallback = callback
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        site.server.Log("text", ValueError("why"))
        for line in shown:
            assert line in sys.stderr.getvalue()
        assert "Traceback" in sys.stderr.getvalue() or callback is None
    site.server.ErrorCallback = None
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    site.server.Log("only a text")
    assert sys.stderr.getvalue() == "MicroWebSrv: only a text\n"
    monkeypatch.setattr(sys, "stderr", None)
    site.server.Log("nobody hears it", ValueError("why"))

    def Interrupt(text, error):
        raise KeyboardInterrupt
    site.server.ErrorCallback = Interrupt
    with pytest.raises(KeyboardInterrupt):
        site.server.Log("text")


def test_the_banner(monkeypatch, tmp_path):
    """Once for each server: the port, the optional files, and a folder that was given and is missing."""
    import io
    import sys
    for found, folder, text in ((["one", "two"], tmp_path, "with one, two\n"), ([], tmp_path, "with no optional file\n"),
                                ([], "/nowhere", "with no optional file; there is no folder /nowhere\n")):
        site = Site(folder)
        site.server.Banner = True
        site.server.found = found
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        for _ in range(2):
            site.server.Start()
            port = site.Port()
            site.server.Stop()
        assert sys.stderr.getvalue() == "MicroWebSrv: port %d, %s" % (port, text)


def test_stop_waits_for_what_is_in_flight():
    with Running() as site:
        site.server.StopGraceSec = 1
        client = http.client.HTTPConnection("127.0.0.1", site.Port(), timeout=20)
        client.putrequest("POST", "/now")
        client.putheader("Content-Length", "9")
        client.endheaders(b"half")
        site.Wait(lambda: site.server.links)
        site.server.Stop()
        assert not site.server._isBusy and not site.server.links
        client.close()


def test_who_waits_together_comes_in_together():
    """One poll accepts up to sixteen clients, before it serves the first of them."""
    with Running() as site:
        goesOn = threading.Event()
        looks = []

        class Poll:
            """The server's poll object, with a counter."""

            def __init__(self, poll):
                self.unregister, self.register, self.modify, self.close = poll.unregister, poll.register, poll.modify, poll.close
                self.fileno, self._poll = poll.fileno, poll.poll

            def poll(self, seconds):
                events = self._poll(seconds)
                looks.extend(key for key, _ in events if key == listener)
                return events
        port = site.Port()
        listener = site.server._listener.fileno()
        site.server.AddRoute("/wait", "GET", lambda client, response: goesOn.wait(20) and None)
        first = socket.create_connection(("127.0.0.1", port))
        first.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        site.Wait(lambda: site.server.links)
        site.server.poll = Poll(site.server.poll)
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        for one in crowd:
            one.sendall(b"GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        goesOn.set()
        for one in (first, *crowd):
            one.settimeout(20)
            assert one.recv(100)[:11] == b"HTTP/1.1 20"
            one.close()
        assert len(looks) in (2, 3)


def test_stop_wakes_it():
    """The loop sleeps for up to a second, but Stop() wakes it."""
    for _ in range(3):
        with Running() as site:
            tick = threading.Event()
            site.server.Ticks.append(tick.set)
            assert tick.wait(20)
            start = time.monotonic()
            site.server.Stop()
            if time.monotonic() - start < 0.5:
                return
    raise AssertionError("it is not woken")


def test_another_loop_may_take_it():
    """With microWebAsync, a server that is started within an asyncio program joins its loop."""
    site = Site()
    told = []
    site.server.Adopt = lambda threaded: told.append(threaded) or True
    for threaded in (True, False):
        site.server.Start(threaded)
        assert site.server.IsStarted() and not site.server.IsOnEngine()
        site.server.Leave()
        site.server.Enter()
        site.server.Leave()
    assert told == [True, False] and not site.idents


def test_the_server_outlives_its_program(monkeypatch):
    """Registered once for each server, however often it is started and stopped."""
    import atexit
    told = []
    monkeypatch.setattr(atexit, "register", told.append)
    site = Site()
    for _ in range(2):
        site.server.Start()
        site.server.Stop()
    assert told == [site.server._Remain]
    site.server.Start(threaded=True)
    monkeypatch.setattr(microWebSrv.sys, "last_value", ValueError("why"), raising=False)

    def Interrupted(seconds):
        raise KeyboardInterrupt

    class Time:
        sleep = staticmethod(Interrupted)
        gmtime = staticmethod(time.gmtime)
        monotonic = staticmethod(time.monotonic)
    with monkeypatch.context() as patch:
        patch.setattr(site.server, "Stop", lambda: told.append("stopped"))
        patch.setattr(microWebSrv, "time", Time)
        site.server._Remain()
    assert told[1:] == ["stopped"] and [text for text, _ in site.log] == ["the program ended with an error; its server keeps running"]
    site.server.Stop()
    site.server._Remain()                       # the server has ended: there is no wait and no message
    assert len(site.log) == 1


def test_it_says_nothing_of_a_program_that_ends_well(monkeypatch):
    site = Site()
    site.server.Start()
    monkeypatch.delattr(microWebSrv.sys, "last_value", raising=False)
    threading.Timer(0.1, site.server.Stop).start()
    site.server._Remain()
    assert not site.log
