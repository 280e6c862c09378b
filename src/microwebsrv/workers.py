"""One program in many processes: `microwebsrv DIR --workers N`.

The parent never runs the program. It opens the listening sockets and sends them to its workers. The workers are
processes that run the program and accept from the same sockets. The parent keeps the sockets open, so a client that
connects between the old workers and the new ones waits in the backlog. It is not refused or reset.

Each worker has a channel to the parent: a pair of sockets with lines of JSON. When its channel ends, a worker finishes
the requests that it has begun and exits. The channel ends when the parent closes it, and also when the parent dies.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import json
import mmap
import os
import queue
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from microWebSrv import MicroWebSrv
from microwebsrv import address, console, desk, faults, serve, target
from microwebsrv.console import Say, Warn
from microwebsrv.data import Trouble
from microwebsrv.target import Target

WORKERS_MAX = 256
READY_SEC = 1               # a program that continues after Start() is ready if it has not failed in this time
AFTER_SEC = 1               # time for a program to end after its servers have stopped
IDLE_SEC = 1                # StopIdleSec of the workers: at the end, an idle connection stays open for this time
MARGIN_SEC = 3              # a worker is killed when it takes this much longer than its grace period
QUICK_SEC = 5               # a worker that has lived for a shorter time counts as a quick death
QUICK_MAX = 5               # after so many quick deaths in a row the parent stops, unless another worker serves
BACKOFF_SEC = 0.25          # delay before a worker is replaced after a quick death; doubled each time
BACKOFF_MAX_SEC = 30
KEEP_SEC = 30               # after a reload, listeners that the new workers have not asked for stay open for this time
PATIENCE_SEC = 0.03         # for this time, clients are left to other workers
PAUSE_SEC = 0.06            # then this worker accepts them for this time; doubled while the difference remains
PAUSE_MAX_SEC = 1
NOBODY = 0xFFFFFFFF         # the count of a place without a worker

LISTEN = getattr(MicroWebSrv, "Listen")      # noqa: B009

# The stand-ins for a board's hardware. They are refused here, because each process would have its own hardware.
_HARDWARE = set(desk.STANDINS) - {"micropython", "ntptime"}


# -- the worker ------------------------------------------------------------------

class Balance:
    """The number of connections of each worker, in memory that all workers share. A kept connection stays with its
    worker, so the worker that wakes first must not accept all of them."""

    def __init__(self, number: int) -> None:
        self._counts = memoryview(mmap.mmap(number, 0)).cast("I")
        self._ends = 0.0                        # clients are left to other workers until then
        self._pauseSec = PAUSE_SEC

    def Tell(self, place: int, count: int) -> None:
        """The worker at this place has `count` connections."""
        self._counts[place] = count

    def Declines(self, count: int) -> bool:
        """True if a client is left to another worker, because that one has clearly fewer connections. If the other
        worker is busy, this one accepts the client after PATIENCE_SEC, and then more clients for the pause."""
        least = min(self._counts)
        if count <= least + 1 + least // 8:
            self._pauseSec = PAUSE_SEC
            return False
        now = time.monotonic()
        if now > self._ends + self._pauseSec:
            self._ends = now + PATIENCE_SEC
            self._pauseSec = min(self._pauseSec * 2, PAUSE_MAX_SEC)
        if now > self._ends:
            return False
        time.sleep(0.0002)                      # the other worker may need the same core
        return True


class SharedListener(socket.socket):
    """A listening socket that all workers share. Each new client wakes all of them."""

    stage: Stage
    kind: tuple[int, int, int]                  # a copy, because the properties of Python's sockets are slow
    _hasAccepted = False

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept one client in each turn of the poll loop, and leave the next ones to the other workers."""
        if self._hasAccepted or self.stage.Declines():
            self._hasAccepted = False
            raise BlockingIOError(11, "this worker accepts no more clients in this turn")
        number, address = self._accept()        # type: ignore[attr-defined]
        self._hasAccepted = True
        return socket.socket(*self.kind, fileno=number), address

    def close(self) -> None:
        super().close()
        self.stage.OnClosed(self)


class NoHardware(importlib.abc.MetaPathFinder):
    """A finder that refuses the modules of a board's hardware. It stands after the finders of the program's own modules
    and before the finder of the stand-ins."""

    refused = ""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in _HARDWARE:
            self.refused = "the program uses the module %s of a board, which --workers does not have" % name
            raise ImportError(self.refused, name=name)


class Channel:
    """The worker's end of the channel to the parent."""

    def __init__(self, number: int) -> None:
        os.set_inheritable(number, False)
        self._sock = socket.socket(fileno=number)
        self._asking = threading.Lock()
        self._replies: queue.SimpleQueue[tuple[str, list[int]]] = queue.SimpleQueue()

    def Tell(self, **message: Any) -> None:
        try:
            self._sock.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass                                # the parent has died: Read() finds that out

    def End(self) -> None:
        """Tell the parent that this worker accepts no more clients."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def AskListener(self, bindIP: str, port: int) -> tuple[str, list[int]]:
        """Return the place of this worker in the table of counts, and the file numbers of a listening socket and of
        that table."""
        with self._asking:
            self.Tell(listen=[bindIP, port])
            text, numbers = self._replies.get()
            if not text:                        # the channel has ended: the next thread must learn that too
                self._replies.put((text, numbers))
        if not numbers:
            raise faults.CantListen(None, text or "this worker is about to end and gets no more sockets")
        return text, numbers

    def Read(self) -> None:
        """Read replies until the parent closes the channel or dies."""
        while True:
            try:
                data, numbers, _, _ = socket.recv_fds(self._sock, 4096, 2)
            except OSError:
                data, numbers = b"", []
            for number in numbers:
                os.set_inheritable(number, False)
            self._replies.put((data.decode("utf-8", "replace"), numbers))
            if not data:
                return


def NoWorker() -> None:
    """A process that the program forks serves no clients. SIGTERM ends it as usual."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Stage(serve.Stage):
    """The servers of the program listen on the parent's sockets, and stop when the channel ends."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        super().__init__(folder, options.port, options.bind)
        self.graceSec: int | None = options.grace
        self.channel = Channel(options.worker)
        self.opened: list[Any] = []             # the servers that listen
        self.listeners: set[SharedListener] = set()
        self.balance: Balance | None = None
        self.place = 0
        self._isThreaded = self._isReady = self._isDraining = False
        self._isDismissed = False               # the channel has ended; a program may handle SIGTERM by itself
        self.isRunning, self.mustEnd = True, False      # these concern the program
        self._orders: queue.SimpleQueue[None] = queue.SimpleQueue()

    def Open(self) -> None:
        super().Open()
        stage = self
        construct, start, open_ = MicroWebSrv.__init__, MicroWebSrv.Start, getattr(MicroWebSrv, "Open")  # noqa: B009

        def Construct(server: MicroWebSrv, *args: Any, **options: Any) -> None:
            construct(server, *args, **options)
            forget = getattr(server, "Forget")          # noqa: B009

            def Forget(link: object) -> None:
                forget(link)
                stage.Tell()

            for name, method in (("Listen", stage.Shared), ("Forget", Forget)):
                setattr(server, name, method)

        def Start(server: MicroWebSrv, threaded: bool = True, stackSize: int = 8192) -> None:
            stage._isThreaded = threaded
            start(server, threaded, stackSize)

        def Open(server: MicroWebSrv) -> bool:
            if stage._isDraining:
                raise SystemExit
            if stage.graceSec is not None:
                server.StopGraceSec = stage.graceSec
            isOurs: bool = open_(server)
            if isOurs:
                stage.Opened(server)
            return isOurs

        for name, method in (("__init__", Construct), ("Start", Start), ("Open", Open)):
            setattr(MicroWebSrv, name, method)
        MicroWebSrv.StopIdleSec = IDLE_SEC
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.OnTerm)
        signal.signal(signal.SIGHUP, lambda number, frame: None)    # only the parent acts on this signal
        os.register_at_fork(after_in_child=NoWorker)
        for function in (self._Watch, self._Drain):
            threading.Thread(target=function, daemon=True).start()

    def NextPort(self, wanted: int) -> int:
        """All workers must get the same port, so this does not look for a free one."""
        taken = [ours for ours, _ in self.servers.values()]
        if self.port is not None:
            return self.port + len(taken)
        port = wanted if wanted >= 1024 else serve.DEFAULT_PORT
        while port in taken:
            port += 1
        return port

    def Listen(self, server: MicroWebSrv) -> bool:
        """Don't try other ports, for the same reason. The message of the parent says why a port is not available."""
        return self._open(server)

    def Begin(self, server: MicroWebSrv) -> None:
        """Print nothing: the parent prints the URL."""
        if server not in self.started:
            self.started.append(server)

    def Shared(self, port: int, bindIP: str) -> tuple[socket.socket, int]:
        try:
            text, (number, counts) = self.channel.AskListener(bindIP, port)
        except OSError:
            if self._isReady:
                raise
            raise SystemExit(3)                 # the parent prints the reason
        listener = SharedListener(fileno=number)
        self.balance, self.place = self.balance or Balance(counts), int(text)
        os.close(counts)
        listener.stage, listener.kind = self, (listener.family, listener.type, listener.proto)
        listener.setblocking(False)
        self.listeners.add(listener)
        self.Tell()
        return listener, port

    def OnClosed(self, listener: SharedListener) -> None:
        self.listeners.discard(listener)
        if (self._isDraining or self._isDismissed) and not self.listeners:
            self.channel.End()

    def Tell(self) -> int:
        """Write the number of this worker's connections for the other workers, and return it."""
        count = NOBODY if not self.listeners else sum(len(server.links) for server in self.opened)
        if self.balance:
            self.balance.Tell(self.place, count)
        return count

    def Declines(self) -> bool:
        return self.balance is not None and self.balance.Declines(self.Tell())

    def Opened(self, server: MicroWebSrv) -> None:
        if server not in self.opened:
            self.opened.append(server)
        self.channel.Tell(grace=self.Grace())   # the worker takes clients before it is ready
        if not self._isThreaded and len(self.opened) == len(self.servers):
            self.Ready()
        else:
            timer = threading.Timer(READY_SEC, self.Ready)
            timer.daemon = True
            timer.start()

    def Ready(self) -> None:
        if not self._isReady and self.opened:
            self._isReady = True
            self.channel.Tell(serves=[self.Url(server) for server in self.opened], grace=self.Grace())

    def Url(self, server: Any) -> str:
        return address.Url(self.bindIP, server.GetPort(), "https" if server.NewLink.isSecure else "http")

    def Grace(self) -> float:
        return max((server.StopGraceSec for server in self.opened), default=0)

    def OnTerm(self, number: int, frame: FrameType | None) -> None:
        """Stop the servers and end the main thread. If a server runs in the main thread, that thread ends when the
        server has stopped; else SystemExit ends it."""
        isFirst = not self._isDraining
        if isFirst:
            self.Drain()
        if self.mustEnd or isFirst and not any(server.IsOnEngine() for server in self.opened):
            raise SystemExit

    def Drain(self) -> None:
        """Begin to stop the servers. A signal handler calls this too, so it must not wait for a lock."""
        self._isDraining = True
        self._orders.put(None)

    def _Drain(self) -> None:
        self._orders.get()
        self.Tell()
        threads = [threading.Thread(target=server.Stop, daemon=True) for server in self.opened]
        for thread in threads:
            thread.start()
        if not self.listeners:
            self.channel.End()
        for thread in threads:
            thread.join()
        time.sleep(AFTER_SEC)
        if self.isRunning:                      # the servers have stopped, but the program has not ended
            self.mustEnd = True
            os.kill(os.getpid(), signal.SIGTERM)

    def _Watch(self) -> None:
        self.channel.Read()
        self._isDismissed = True
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self.Grace() + 2 * MARGIN_SEC)       # a parent that still lives kills this process earlier
        os._exit(1)


def Work(options: argparse.Namespace, what: Target) -> int:
    os.chdir(what.folder)
    stage, finder = Stage(what.folder, options), NoHardware()
    sys.meta_path.append(finder)
    options.no_pins = True
    serve.OpenLogs(options)
    code, failure, isMendable = 0, "", True
    try:
        serve.ServeTarget(what, options, stage)
        stage.Ready()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1 if error.code else 0
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except Trouble as error:
        code, failure, isMendable = error.code, str(error), isinstance(error, faults.ProgramTrouble)
    except Exception as error:
        code = 1
        if not finder.refused:
            sys.excepthook(type(error), error, error.__traceback__)
    stage.isRunning = False
    if finder.refused and code:
        code, failure, isMendable = 2, finder.refused, False
    if code:
        stage.channel.Tell(failed=failure, status=code, isMendable=isMendable)
        stage.Drain()                           # another server of the program may run already
    return code


# -- the parent ------------------------------------------------------------------

@dataclass(eq=False)
class Worker:
    """A worker, as the parent knows it."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    place: int                                  # in the table of counts
    attempt: int                                # the number of quick deaths before it, in its place
    data: bytes = b""
    listeners: set[tuple[str, int]] = field(default_factory=set)
    serves: list[str] = field(default_factory=list)     # its URLs, when it is ready
    since: float = 0
    graceSec: float = 0
    failure: str = ""
    status: int = 1                             # exit status of the command if no worker can be started
    isMendable: bool = True                     # a change of the program's files may help
    killAt: float | None = None


class Parent:
    """Starts the workers, replaces those that have died, and replaces all of them at a reload."""

    def __init__(self, word: str, words: list[str], count: int, options: argparse.Namespace) -> None:
        """word: the target, for the workers. words: their options."""
        self.word, self.count, self.options = word, count, options
        self.command = [sys.executable, "-m", "microwebsrv", word, *words]
        self.folder = target.Find(word).folder
        self.watches: bool = not options.no_reload
        self.current: list[Worker] = []         # the workers that serve
        self.coming: list[Worker] = []          # of a reload: they replace the current ones when all of them serve
        self.leaving: list[Worker] = []
        self.old: list[Worker] = []             # leaving workers that may still accept; without any, the reload is done
        self.replacements: list[tuple[float, int]] = []             # (time, attempt)
        self.listeners: dict[tuple[str, int], socket.socket] = {}
        self.asked: set[tuple[str, int]] = set()            # the listeners that workers have asked for since the reload
        self.closeAt: float | None = None       # then the other listeners are closed
        self.environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        self.people = "1 worker" if count == 1 else "%d workers" % count
        self.urls: list[str] = []
        self.places = 4 * count                 # for the old and the new workers, and others that have not ended yet
        self.counts = Memory(b"\xff" * 4 * self.places)
        self.balance = Balance(self.counts)
        self.signals: deque[int] = deque()
        self.status: int | None = None          # the exit status, when the parent has begun to stop
        self.isAsked = False                    # a signal has asked it to stop
        self.selector = selectors.DefaultSelector()
        self.stamps: dict[str, int] = {}
        self.nextLook = 0.0
        self.hasTerminal = HasTerminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN

    # -- the loop ------------------------------------------------------------------

    def Run(self) -> int:
        self.CatchSignals()
        if self.watches:
            self.stamps = serve.Stamps(self.folder)
        self.Reload()
        while self.status is None or self.Workers():
            for key, _ in self.selector.select(self.Patience()):
                key.data()
            while self.signals:
                self.OnSignal(self.signals.popleft())
            for worker in self.Workers():
                if worker.process.poll() is not None:
                    self.OnEnd(worker)
            self.OnClock(time.monotonic())
        return self.status

    def Workers(self) -> list[Worker]:
        return [*self.current, *self.coming, *self.leaving]

    def CatchSignals(self) -> None:
        reading, writing = socket.socketpair()
        for sock in (reading, writing):
            sock.setblocking(False)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        self.selector.register(reading, selectors.EVENT_READ, lambda: reading.recv(4096))
        self._wake = reading, writing
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda number, frame: self.signals.append(number))

    def Patience(self) -> float | None:
        times = [when for when, _ in self.replacements]
        times += [worker.killAt for worker in self.leaving if worker.killAt]
        if self.watches and self.status is None:
            times.append(self.nextLook)
        if self.closeAt is not None:
            times.append(self.closeAt)
        return max(0, min(times) - time.monotonic()) if times else None

    def OnSignal(self, number: int) -> None:
        if number == signal.SIGHUP and not self.HasHungUp():
            if self.status is None:
                self.Reload()
        elif number != signal.SIGCHLD:
            if self.isAsked and number != signal.SIGHUP:
                self.Kill(number)
            self.isAsked = True
            self.Stop(0)

    def HasHungUp(self) -> bool:
        """True if the terminal in which the command was started has been closed."""
        return self.hasTerminal and not HasTerminal()

    def OnClock(self, now: float) -> None:
        for worker in self.leaving:
            if worker.killAt and now >= worker.killAt:
                worker.killAt = None
                worker.process.kill()
                Warn("worker %d has not ended within its grace of %g s: it is killed" % (
                    worker.process.pid, worker.graceSec))
        if self.status is not None:
            return
        if self.closeAt is not None and now >= self.closeAt:
            self.closeAt = None
            for key in set(self.listeners) - self.asked:
                self.listeners.pop(key).close()
        due = [one for one in self.replacements if one[0] <= now]
        self.replacements = [one for one in self.replacements if one[0] > now]
        for _, attempt in due:
            if not self.Spawn(self.current, attempt):
                self.replacements.append((now + BACKOFF_MAX_SEC, attempt))
        if self.watches and now >= self.nextLook:
            self.nextLook = now + serve.LOOK_SEC
            self.Look()

    def Look(self) -> None:
        try:
            self.folder = target.Find(self.word).folder         # a symbolic link may lead to another one now
        except Trouble:
            pass                                # deleted: that shows in the stamps, or is about to be replaced
        stamps = serve.Stamps(self.folder)
        changed = {path for path in {*stamps, *self.stamps}
                   if path.endswith(serve.PROGRAMS) and stamps.get(path) != self.stamps.get(path)}
        self.stamps = stamps
        if changed:
            first = min(changed, key=lambda path: (path not in stamps, path))
            Say("%s has changed" % os.path.relpath(first, self.folder))
            self.Reload()

    # -- workers come and go ---------------------------------------------------------

    def Reload(self) -> None:
        """Start one new worker, and the others when it is ready: a program that fails then fails once. This ends an
        earlier reload that is not complete."""
        self.Leave(self.coming)
        if self.current:
            TellSystemd("RELOADING=1\nMONOTONIC_USEC=%d" % (time.monotonic_ns() // 1000))
        if not self.Spawn(self.coming, 0):
            self.OnFailure("no new worker")

    def Spawn(self, group: list[Worker], attempt: int) -> bool:
        """Start a worker. False if the system can't: it has no more processes or files."""
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                # Its own session: Ctrl-C in the terminal must reach only the parent.
                process = subprocess.Popen([*self.command, "--worker", str(theirs.fileno())], stdin=subprocess.DEVNULL,
                                           pass_fds=(theirs.fileno(),), start_new_session=True, env=self.environment)
        except OSError as error:
            Warn("can't start a worker: %s" % error)
            return False
        taken = {one.place for one in self.Workers()}
        place = next((number for number in range(self.places) if number not in taken), 0)
        worker = Worker(process, ours, place, attempt)
        ours.setblocking(False)
        self.selector.register(ours, selectors.EVENT_READ, lambda: self.Read(worker))
        group.append(worker)
        return True

    def Read(self, worker: Worker) -> None:
        """Read the messages of a worker."""
        try:
            data = worker.channel.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self.CloseChannel(worker)
        *lines, worker.data = (worker.data + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "listen" in message:
                self.HandListener(worker, *message["listen"])
            elif "failed" in message:
                worker.failure = worker.failure or message["failed"]
                worker.status, worker.isMendable = message["status"], message["isMendable"]
            else:
                worker.graceSec = message["grace"]
                if "serves" in message:
                    worker.serves, worker.since = message["serves"], time.monotonic()
                    self.OnReady(worker)

    def CloseChannel(self, worker: Worker) -> None:
        if worker.channel.fileno() >= 0:
            self.selector.unregister(worker.channel)
            worker.channel.close()
        if worker in self.old:
            self.old.remove(worker)
            if not self.old and self.status is None:
                Say("reloaded: %s with the new program" % self.people)
                TellSystemd("READY=1")

    def HandListener(self, worker: Worker, bindIP: str, port: int) -> None:
        numbers, text = [], str(worker.place)
        try:
            if not isinstance(port, int) or not 0 <= port < 65536:
                raise ValueError("a port is a number from 0 to 65535")
            key = bindIP, port
            if key not in self.listeners:
                self.listeners[key] = LISTEN(port, bindIP)[0]
            numbers = [self.listeners[key].fileno(), self.counts]
            worker.listeners.add(key)
            self.asked.add(key)
        except OSError as failure:
            text = address.Why(failure, bindIP, port)
        except (TypeError, ValueError) as failure:
            text = "can't listen on %s, port %r: %s" % (bindIP or "all addresses", port, failure)
        if not numbers:
            worker.failure, worker.status, worker.isMendable = text, 3, False
        try:
            socket.send_fds(worker.channel, [text.encode("utf-8", "replace")], numbers)
        except OSError:
            pass                                # the worker has died

    def OnReady(self, worker: Worker) -> None:
        if worker not in self.coming:
            return
        while len(self.coming) < self.count:
            if not self.Spawn(self.coming, 0):
                return self.OnFailure("not enough workers")
        if all(one.serves for one in self.coming):
            self.Switch()

    def Switch(self) -> None:
        """All new workers serve: the old ones finish the requests that they have begun."""
        old = self.urls
        self.old = [*self.current]
        self.Leave(self.current)
        self.current, self.coming, self.replacements = self.coming, [], []
        self.asked = set().union(*(worker.listeners for worker in self.current))
        self.closeAt = time.monotonic() + KEEP_SEC          # a program may start a server later than the first one
        self.urls = self.current[0].serves
        if self.urls != old:
            for url in self.urls:
                Say("%s (%s)" % (url, self.people))
            if self.options.open and not old:
                serve.OpenBrowser(self.urls[0])
        if not self.old:
            TellSystemd("READY=1")

    def Leave(self, group: list[Worker]) -> None:
        """Ask the workers to stop their servers, as Stop() does, and to exit."""
        for worker in group:
            worker.killAt = time.monotonic() + worker.graceSec + MARGIN_SEC
            self.leaving.append(worker)
            try:
                worker.channel.shutdown(socket.SHUT_WR)
            except OSError:
                pass                            # the worker has died
        group.clear()

    def OnEnd(self, worker: Worker) -> None:
        self.Read(worker)                       # its last messages
        self.CloseChannel(worker)
        self.balance.Tell(worker.place, NOBODY)
        code = worker.process.returncode
        how = "exit status %d" % code if code >= 0 else signal.strsignal(-code) or "signal %d" % -code
        if worker in self.leaving:
            self.leaving.remove(worker)
        elif worker in self.coming:
            self.coming.remove(worker)
            self.OnFailure(worker.failure or "the program has ended before it served (%s)" % how, worker.status,
                           worker.isMendable)
        else:
            self.current.remove(worker)
            self.Replace(worker, how)

    def OnFailure(self, why: str, status: int = 3, isMendable: bool = False) -> None:
        """No new worker can be started. isMendable: a change of the program's files may help."""
        self.Leave(self.coming)
        if self.current or self.replacements:
            Warn("%s; the old workers go on" % why)
            TellSystemd("READY=1")              # the protocol has no message for a failed reload
        elif self.watches and isMendable:
            Say("%s; it is run again when a file changes" % why)
        else:
            Warn(why)
            self.Stop(status)

    def Replace(self, worker: Worker, how: str) -> None:
        isQuick = not worker.serves or time.monotonic() - worker.since < QUICK_SEC
        attempt = worker.attempt + 1 if isQuick else 0
        name = "worker %d has died (%s)" % (worker.process.pid, how)
        if attempt >= QUICK_MAX and not any(one.serves for one in self.current):
            Warn("%s, the %dth in a row that has not lived for %d s: the command gives up" % (name, attempt, QUICK_SEC))
            return self.Stop(3)
        delay = min(BACKOFF_SEC * 2 ** (attempt - 1), BACKOFF_MAX_SEC) if attempt else 0
        Warn("%s; another one takes its place%s" % (name, " in %g s" % delay if delay else ""))
        self.replacements.append((time.monotonic() + delay, attempt))

    # -- the end ---------------------------------------------------------------------

    def Stop(self, status: int) -> None:
        if self.status is None:
            self.status = status
            TellSystemd("STOPPING=1")
            self.replacements, self.closeAt = [], None
            self.Leave(self.coming)
            self.Leave(self.current)
            while self.listeners:               # new clients are refused when the workers have closed their copies
                self.listeners.popitem()[1].close()

    def Kill(self, number: int) -> None:
        """At the second signal: kill the workers, and end the parent with that signal too."""
        for worker in self.Workers():
            worker.process.kill()
        for worker in self.Workers():
            worker.process.wait()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def Memory(data: bytes) -> int:
    """Return the number of a file that holds the data. It has no name, and only these processes share it."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("microwebsrv")
    else:
        with tempfile.TemporaryFile() as file:
            number = os.dup(file.fileno())
    os.write(number, data)
    return number


def TellSystemd(text: str) -> None:
    """Notify systemd, as sd_notify(3) does, if this is a service with Type=notify or notify-reload."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendto(text.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            pass


def HasTerminal() -> bool:
    """True if this process has a controlling terminal that still exists."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def Number(name: str, text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
        raise Trouble("--%s must be a number from %d to %d, not %s" % (name, least, most, text or "empty"), 2)
    return int(text)


def Word(text: str, what: Target) -> str:
    """Return the argument for the workers. Symbolic links stay in it, and each worker follows them anew. A folder that
    had a program at the start needs one later, because its files must not become pages."""
    if what.module:
        return what.word
    path = Path(text).absolute()
    return str(path / "main.py" if what.program and path.is_dir() else path)


def Run(options: argparse.Namespace) -> int:
    if sys.platform == "win32" or not hasattr(socket, "send_fds"):
        raise Trouble("--workers needs a system that hands sockets to other processes: Linux or macOS", 2)
    if (options.workers, options.worker) == (None, None):
        raise Trouble("--grace needs --workers", 2)
    options.grace = None if options.grace is None else Number("grace", options.grace, 0, 86400)
    what = target.Find(options.folder)
    if options.quiet:
        console.BeQuiet()
    if options.worker is not None:
        return Work(options, what)
    count = Number("workers", options.workers, 1, WORKERS_MAX)
    if options.pins or options.no_pins:
        raise Trouble("--workers has no page of pins: leave --pins and --no-pins out", 2)
    address.Check(options.bind, options.port)
    words = serve.Words(options, what)[1:]
    if options.grace is not None:
        words += ["--grace", str(options.grace)]
    return Parent(Word(options.folder, what), words, count, options).Run()
