"""One program in many processes: `microwebsrv DIR --workers N`.

The parent never runs the program. It opens the listening sockets and hands them to its workers, processes of their own
that run the program and accept from the same sockets. As the parent keeps the sockets, a client that comes between the
old workers and the new ones waits in the backlog, and nobody is refused or reset.

Each worker has a channel to the parent, a pair of sockets with lines of JSON. The end of the channel tells a worker to
finish what it has begun and to exit, however that end comes: the parent closes it, or the parent has died.
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
READY_SEC = 1               # a program that goes on behind Start() has not failed in this time
AFTER_SEC = 1               # that a program has to end when its servers have
IDLE_SEC = 1                # StopIdleSec: for a request on a connection that is open and idle
MARGIN_SEC = 3              # that a worker may take longer than its grace, then it is killed
QUICK_SEC = 5               # a worker that has lived shorter has died at once
QUICK_MAX = 5               # so often in the same place, and the parent gives up if nobody serves
BACKOFF_SEC = 0.25          # before a worker that died at once is replaced; doubled each time
BACKOFF_MAX_SEC = 30
PATIENCE_SEC = 0.03         # that clients are left to other workers
PAUSE_SEC = 0.06            # then they are not; doubled when that was in vain
PAUSE_MAX_SEC = 1
NOBODY = 0xFFFFFFFF         # the count of a place without a worker

LISTEN = getattr(MicroWebSrv, "Listen")      # noqa: B009

# Stand-ins of a board's hardware: each process would have its own.
_HARDWARE = set(desk.STANDINS) - {"micropython", "ntptime"}


# -- the worker ------------------------------------------------------------------

class Balance:
    """How many connections each worker has, in memory that all of them share. A kept connection stays where it is, so
    the worker that wakes first must not get all of them."""

    def __init__(self, number: int) -> None:
        self._counts = memoryview(mmap.mmap(number, 0)).cast("I")
        self._ends = 0.0                        # until then clients are left to others
        self._pauseSec = PAUSE_SEC

    def Tell(self, place: int, count: int) -> None:
        """So many has the worker at this place."""
        self._counts[place] = count

    def Declines(self, count: int) -> bool:
        """Is a client left to another worker, which has clearly fewer? That one may be busy: then it is ours in some
        milliseconds, and the next ones are for some time."""
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
        time.sleep(0.0002)                      # there may be one core for both
        return True


class SharedListener(socket.socket):
    """A listening socket of all workers. A client wakes each of them."""

    stage: Stage
    kind: tuple[int, int, int]                  # the properties of Python's sockets are slow
    _hasAccepted = False

    def accept(self) -> tuple[socket.socket, Any]:
        """One client in each turn of the poll loop: the others take the next ones."""
        if self._hasAccepted or self.stage.Declines():
            self._hasAccepted = False
            raise BlockingIOError(11, "enough for this turn")
        number, address = self._accept()        # type: ignore[attr-defined]
        self._hasAccepted = True
        return socket.socket(*self.kind, fileno=number), address

    def close(self) -> None:
        super().close()
        self.stage.OnClosed(self)


class NoHardware(importlib.abc.MetaPathFinder):
    """Behind the finders of the program's own modules and before that of the stand-ins."""

    refused = ""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in _HARDWARE:
            self.refused = "the program uses the module %s of a board, which --workers does not have" % name
            raise ImportError(self.refused, name=name)


class Channel:
    """The worker's end."""

    def __init__(self, number: int) -> None:
        os.set_inheritable(number, False)
        self._sock = socket.socket(fileno=number)
        self._asking = threading.Lock()
        self._replies: queue.SimpleQueue[tuple[str, list[int]]] = queue.SimpleQueue()

    def Tell(self, **message: Any) -> None:
        try:
            self._sock.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass                                # the parent has gone: Read() says so

    def End(self) -> None:
        """This worker accepts nobody any more."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def AskListener(self, bindIP: str, port: int) -> tuple[str, list[int]]:
        """-> the place of this worker among all, and the file numbers of a listening socket and of the counts."""
        with self._asking:
            self.Tell(listen=[bindIP, port])
            text, numbers = self._replies.get()
            if not text:                        # the end: for the next one too
                self._replies.put((text, numbers))
        if not numbers:
            raise OSError(text or "the parent gives no socket any more")
        return text, numbers

    def Read(self) -> None:
        """Until the parent closes the channel, or dies."""
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
    """A copy that the program makes of this process ends by SIGTERM: it serves nobody."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Stage(serve.Stage):
    """Servers of the program listen on the parent's sockets, and stop when the parent says so."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        super().__init__(folder, options.port, options.bind)
        self.graceSec: int | None = options.grace
        self.channel = Channel(options.worker)
        self.opened: list[Any] = []             # servers that listen
        self.listeners: set[SharedListener] = set()
        self.balance: Balance | None = None
        self.place = 0
        self._isThreaded = self._isReady = self._isDraining = False
        self._isDismissed = False               # by the parent; a program may have a SIGTERM handler of its own
        self.isRunning, self.mustEnd = True, False      # the program
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
        signal.signal(signal.SIGHUP, lambda number, frame: None)    # for the parent
        os.register_at_fork(after_in_child=NoWorker)
        for function in (self._Watch, self._Drain):
            threading.Thread(target=function, daemon=True).start()

    def NextPort(self, wanted: int) -> int:
        """All workers must find the same, so nobody looks for one that is free."""
        taken = [ours for ours, _ in self.servers.values()]
        if self.port is not None:
            return self.port + len(taken)
        port = wanted if wanted >= 1024 else serve.DEFAULT_PORT
        while port in taken:
            port += 1
        return port

    def Begin(self, server: MicroWebSrv) -> None:
        """The parent prints where it is."""
        if server not in self.started:
            self.started.append(server)

    def Shared(self, port: int, bindIP: str) -> tuple[socket.socket, int]:
        try:
            text, (number, counts) = self.channel.AskListener(bindIP, port)
        except OSError:
            if self._isReady:
                raise
            raise SystemExit(3)                 # the parent says why
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
        """-> how many connections this worker has, as the others hear now."""
        count = NOBODY if not self.listeners else sum(len(server.links) for server in self.opened)
        if self.balance:
            self.balance.Tell(self.place, count)
        return count

    def Declines(self) -> bool:
        return self.balance is not None and self.balance.Declines(self.Tell())

    def Opened(self, server: MicroWebSrv) -> None:
        if server not in self.opened:
            self.opened.append(server)
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
        """The servers stop, and the main thread ends: by itself where it serves, else by SystemExit."""
        isFirst = not self._isDraining
        if isFirst:
            self.Drain()
        if self.mustEnd or isFirst and not any(server.IsOnEngine() for server in self.opened):
            raise SystemExit

    def Drain(self) -> None:
        """From a signal handler too, so it waits for no lock."""
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
        if self.isRunning:                      # nobody is served, and the program does something else
            self.mustEnd = True
            os.kill(os.getpid(), signal.SIGTERM)

    def _Watch(self) -> None:
        self.channel.Read()
        self._isDismissed = True
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self.Grace() + 2 * MARGIN_SEC)       # the parent kills before, if it is there
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
        stage.Drain()                           # of several servers one may run already
    return code


# -- the parent ------------------------------------------------------------------

@dataclass(eq=False)
class Worker:
    """As the parent sees it."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    place: int                                  # in the table of counts
    attempt: int                                # so many before it, in its place, have died at once
    data: bytes = b""
    listeners: set[tuple[str, int]] = field(default_factory=set)
    serves: list[str] = field(default_factory=list)     # its URLs; it is ready
    since: float = 0
    graceSec: float = 0
    failure: str = ""
    status: int = 1                             # of the command, if no worker can be had
    isMendable: bool = True                     # a change of the program's files may help
    killAt: float | None = None


class Parent:
    """Starts workers, replaces the dead, and changes all of them at a reload."""

    def __init__(self, command: list[str], folder: Path, count: int, options: argparse.Namespace) -> None:
        self.command, self.folder, self.count = command, folder, count
        self.options = options
        self.watches: bool = not options.no_reload
        self.current: list[Worker] = []         # the program as it is
        self.coming: list[Worker] = []          # the new one, which replaces them when all of these serve
        self.leaving: list[Worker] = []
        self.old: list[Worker] = []             # those of the leaving that may still accept; then the reload is done
        self.replacements: list[tuple[float, int]] = []             # (when, attempt)
        self.listeners: dict[tuple[str, int], socket.socket] = {}
        self.environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        self.people = "1 worker" if count == 1 else "%d workers" % count
        self.urls: list[str] = []
        self.places = 4 * count                 # the old and the new ones, and what else has not ended
        self.counts = Memory(b"\xff" * 4 * self.places)
        self.balance = Balance(self.counts)
        self.signals: deque[int] = deque()
        self.status: int | None = None          # it stops, and exits with that
        self.isAsked = False                    # to stop, by a signal
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
        """The terminal in which it was started has been closed."""
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
        due = [one for one in self.replacements if one[0] <= now]
        self.replacements = [one for one in self.replacements if one[0] > now]
        for _, attempt in due:
            if not self.Spawn(self.current, attempt):
                self.replacements.append((now + BACKOFF_MAX_SEC, attempt))
        if self.watches and now >= self.nextLook:
            self.nextLook = now + serve.LOOK_SEC
            self.Look()

    def Look(self) -> None:
        stamps = serve.Stamps(self.folder)
        changed = sorted(path for path in {*stamps, *self.stamps}
                         if path.endswith(serve.PROGRAMS) and stamps.get(path) != self.stamps.get(path))
        self.stamps = stamps
        if changed:
            Say("%s has changed" % os.path.relpath(changed[0], self.folder))
            self.Reload()

    # -- workers come and go ---------------------------------------------------------

    def Reload(self) -> None:
        """One new worker first: if the program fails, it fails once. An earlier reload that is not done ends."""
        self.Leave(self.coming)
        if self.current:
            TellSystemd("RELOADING=1\nMONOTONIC_USEC=%d" % (time.monotonic_ns() // 1000))
        if not self.Spawn(self.coming, 0):
            self.OnFailure("no new worker")

    def Spawn(self, group: list[Worker], attempt: int) -> bool:
        """False: the system has no more processes or files."""
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                # A session of its own: Ctrl-C in the terminal is for the parent alone.
                process = subprocess.Popen([*self.command, "--worker", str(theirs.fileno())], stdin=subprocess.DEVNULL,
                                           pass_fds=(theirs.fileno(),), start_new_session=True, env=self.environment)
        except OSError as error:
            Warn("a worker can't be started: %s" % error)
            return False
        taken = {one.place for one in self.Workers()}
        place = next((number for number in range(self.places) if number not in taken), 0)
        worker = Worker(process, ours, place, attempt)
        ours.setblocking(False)
        self.selector.register(ours, selectors.EVENT_READ, lambda: self.Read(worker))
        group.append(worker)
        return True

    def Read(self, worker: Worker) -> None:
        """What the worker says."""
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
        key = bindIP, port
        numbers, text = [], str(worker.place)
        try:
            if key not in self.listeners:
                self.listeners[key] = LISTEN(port, bindIP)[0]
            numbers = [self.listeners[key].fileno(), self.counts]
            worker.listeners.add(key)
        except OSError as failure:
            text = worker.failure = address.Why(failure, bindIP, port)
            worker.status, worker.isMendable = 3, False
        try:
            socket.send_fds(worker.channel, [text.encode()], numbers)
        except OSError:
            pass                                # it has died

    def OnReady(self, worker: Worker) -> None:
        if worker not in self.coming:
            return
        while len(self.coming) < self.count:
            if not self.Spawn(self.coming, 0):
                return self.OnFailure("not enough workers")
        if all(one.serves for one in self.coming):
            self.Switch()

    def Switch(self) -> None:
        """The new workers serve: the old ones finish what they have begun."""
        old = self.urls
        self.old = [*self.current]
        self.Leave(self.current)
        self.current, self.coming, self.replacements = self.coming, [], []
        used = set().union(*(worker.listeners for worker in self.current))
        for key in set(self.listeners) - used:
            self.listeners.pop(key).close()
        self.urls = self.current[0].serves
        if self.urls != old:
            for url in self.urls:
                Say("%s (%s)" % (url, self.people))
            if self.options.open and not old:
                serve.OpenBrowser(self.urls[0])
        if not self.old:
            TellSystemd("READY=1")

    def Leave(self, group: list[Worker]) -> None:
        """They stop as Stop() does, and exit."""
        for worker in group:
            worker.killAt = time.monotonic() + worker.graceSec + MARGIN_SEC
            self.leaving.append(worker)
            try:
                worker.channel.shutdown(socket.SHUT_WR)
            except OSError:
                pass                            # it has died
        group.clear()

    def OnEnd(self, worker: Worker) -> None:
        self.Read(worker)                       # what it has said at last
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
        """The program, or the new one, can't be started. isMendable: a change of its files may help."""
        self.Leave(self.coming)
        if self.current or self.replacements:
            Warn("%s; the old workers go on" % why)
            TellSystemd("READY=1")              # there is no word for a reload that has failed
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
            Warn("%s, the %dth that has not lived for %d s: given up" % (name, attempt, QUICK_SEC))
            return self.Stop(3)
        delay = min(BACKOFF_SEC * 2 ** (attempt - 1), BACKOFF_MAX_SEC) if attempt else 0
        Warn("%s; another one takes its place%s" % (name, " in %g s" % delay if delay else ""))
        self.replacements.append((time.monotonic() + delay, attempt))

    # -- the end ---------------------------------------------------------------------

    def Stop(self, status: int) -> None:
        if self.status is None:
            self.status = status
            TellSystemd("STOPPING=1")
            self.replacements = []
            self.Leave(self.coming)
            self.Leave(self.current)
            while self.listeners:               # when the workers have closed theirs, who comes is refused
                self.listeners.popitem()[1].close()

    def Kill(self, number: int) -> None:
        """The second signal: now, and the parent ends by that signal too."""
        for worker in self.Workers():
            worker.process.kill()
        for worker in self.Workers():
            worker.process.wait()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def Memory(data: bytes) -> int:
    """-> the number of a file that holds it and that only processes share."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("microwebsrv")
    else:
        with tempfile.TemporaryFile() as file:
            number = os.dup(file.fileno())
    os.write(number, data)
    return number


def TellSystemd(text: str) -> None:
    """sd_notify(3): to a service of Type=notify or notify-reload. Else nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            try:
                sock.sendto(text.encode(), "\0" + address[1:] if address[0] == "@" else address)
            except OSError:
                pass


def HasTerminal() -> bool:
    """Has this process a controlling terminal that is there?"""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def Number(name: str, text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
        raise Trouble("--%s must be a number from %d to %d, not %s" % (name, least, most, text or "empty"), 2)
    return int(text)


def Run(options: argparse.Namespace) -> int:
    if sys.platform == "win32" or not hasattr(socket, "send_fds"):
        raise Trouble("--workers needs a system that hands sockets to other processes: Linux or macOS", 2)
    if (options.workers, options.worker) == (None, None):
        raise Trouble("--grace is for --workers", 2)
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
    words = serve.Words(options, what)
    if options.grace is not None:
        words += ["--grace", str(options.grace)]
    return Parent([sys.executable, "-m", "microwebsrv", *words], what.folder, count, options).Run()
