# The poll loop of one server, with one clock for all deadlines: Start and Stop, new connections, and others' calls.
# Everything that touches a socket or the state of a connection runs on its thread.

import gc
import sys
import time

from .connection import Connection
from .text import BOARD, MICROPYTHON, const
from .transport import POLL_IN, Address, Elapsed, Key, Link, Listen, NewPoll

if not BOARD:
    from .transport import INHERITS, Prepare, Wake

try:
    import _thread
    _Ident = _thread.get_ident
except ImportError:
    _thread = None
    _Ident = int                            # 0: the only thread

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class _NoLock:
    """Where there are no threads there is nothing to lock."""

    def __enter__(self, *args):
        pass

    acquire = __exit__ = __enter__


NewLock = _thread.allocate_lock if _thread else _NoLock


def _PrintError(text, error=None):
    """The default log: one line and the traceback, on stderr or the REPL."""
    try:
        print("MicroWebSrv:", text if error is None else "%s: %s" % (text, error), file=sys.stderr)
        if error is None:
            return
        if MICROPYTHON:
            sys.print_exception(error, sys.stderr)
        else:
            import traceback
            traceback.print_exception(type(error), error, error.__traceback__)
    except Exception:
        pass                                # no memory, no console


_CROWD = const(16)              # clients that are let in before others have their turn
_INBOX_MAX = 8192 if MICROPYTHON else 65536


class Engine:
    """What runs a server; its settings and tables are those of MicroWebSrv."""

    UseAsyncio = False                          # Start() runs an asyncio loop; an async handler turns it on
    Loop = Adopt = None                         # of microWebAsync: serves in asyncio; joins the loop that runs here
    NewLock = staticmethod(NewLock)
    NewLink = Link                              # of microWebTls: what an accepted socket becomes
    Listen = staticmethod(Listen)
    now = 0                                     # seconds of the clock
    _server = None                              # a listening socket that a program has made by itself

    def __init__(self):
        self.links = {}
        self._calls = []
        self._isBusy = self.isStarted = False   # a run has not ended; it takes new clients
        self._ident = self._listener = self._fullSince = None
        if not BOARD:
            self._wake = None
            self._remains = False
        self._threads = set()
        self._lock = NewLock()
        self.Ticks = []
        self.prefixes = {}

    # -- Start and Stop ----------------------------------------------------------------

    def Start(self, threaded=True, stackSize=8192):
        """Serves in a new thread, or in this one until Stop(). OSError where the port can't be had."""
        while not self.Open():
            if self.isStarted:
                return
            if self._IsOurs():                  # this handler has to return before the old run can end
                return self.StartThread(self._serverProcess, (), stackSize)
            time.sleep(0.01)
        if self.Adopt and self.Adopt(threaded):
            return
        if not threaded or not self.StartThread(self.Run, (), stackSize):
            try:
                self.Run()
            except KeyboardInterrupt:           # Ctrl-C has ended it
                pass
        elif not BOARD and not self._remains:
            self._remains = True
            if MICROPYTHON:
                sys.atexit(self._Remain)
            else:
                import atexit
                atexit.register(self._Remain)

    def _Remain(self):
        """The program is at its end and the server goes on, until one Ctrl-C."""
        try:
            if not MICROPYTHON and self._isBusy and getattr(sys, "last_value", None):
                self.Log("the program has died of an error, and its server goes on")
            while self._isBusy:                 # a lock would not let a KeyboardInterrupt through
                time.sleep(0.1)
        except (KeyboardInterrupt, SystemExit):     # SystemExit: SIGTERM
            self.Stop()

    if not MICROPYTHON:
        _running = set()

        def _WatchTerm(self):
            """A program that has no handler of SIGTERM gets one: its servers stop as Stop() does, then it ends."""
            import signal
            import threading
            self._running.add(self)
            if threading.current_thread() is threading.main_thread() \
                    and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self._OnTerm)

        def _OnTerm(self, number, frame):
            import signal
            signal.signal(number, signal.SIG_DFL)       # a second one kills
            isOurs = False
            for server in list(self._running):          # as Stop() does, whose lock this thread may hold
                server.isStarted = False
                if server._ident == 0:                  # between Open and Run: now nobody will run it
                    server.Enter()
                    server.Leave()
                elif server._wake:
                    server._wake.Set()
                    isOurs |= server.IsOnEngine()
            if not isOurs:
                raise SystemExit                        # else Start(threaded=False) returns

    def Open(self):
        """True: clients are let in, and this thread has to serve them. False: it runs, or has not ended yet."""
        self.AddDecorated()                     # since the server was made
        with self._lock:
            if self._isBusy:
                return False
            self._isBusy = self.isStarted = True
        try:
            size = min(self.BufferLen, max(2048, gc.mem_free() // 16)) if MICROPYTHON else self.BufferLen
            self.buffer = memoryview(bytearray(size))
            self.inbox = self.buffer[:_INBOX_MAX]       # what comes is kept, so it comes in smaller pieces
            self._listener = self._server
            if self._server:
                self._server = None
                self._listener.setblocking(False)
                if not BOARD:
                    Prepare(self._listener)
            else:
                self._listener, self.port = self.Listen(self.port, self.bindIP)
            self._until, self._failures, self._isFull, self._clock = None, 0, False, Elapsed()
            if not BOARD:
                self._wake = Wake()
            self.Use(NewPoll())
            self._ident = 0                     # its thread has still to begin, but calls can wait for it
        except BaseException:
            self.isStarted = self._isBusy = False
            raise
        if not MICROPYTHON:
            self._WatchTerm()
        if self.Banner:
            self.Banner = False                 # once for each server
            root = getattr(self.source, "root", "/flash/www")       # what nobody has asked for may be missing
            if BOARD:
                gc.collect()
            _PrintError("port %d, with %s%s%s" % (
                self.port, ", ".join(self.found) or "no optional file",
                "" if root == "/flash/www" or self.Stat("/") else "; there is no folder " + root,
                "; %d bytes of heap left" % gc.mem_free() if BOARD else ""))
        return True

    def Stop(self):
        """From any thread or a handler: no new client; what is in flight has StopGraceSec to finish."""
        with self._lock:
            if not self._isBusy:
                return
            self.isStarted = False
        if not BOARD:
            wake = self._wake                   # the run may end meanwhile
            if wake:
                wake.Set()
        while self._isBusy and not self.isStarted and not self._IsOurs():
            time.sleep(0.01)

    def IsStarted(self):
        return self.isStarted

    _started = property(IsStarted)

    def GetPort(self):
        """The TCP port; 0 if a free one is to be chosen by Start."""
        return self.port

    def _IsOurs(self):
        """Is this thread one that the server waits for when it stops?"""
        return self.IsOnEngine() or _Ident() in self._threads

    def Use(self, poll):
        """All sockets wait in this poll object from now on."""
        self.poll = poll
        if self._listener and not self._isFull:
            poll.register(self._listener, POLL_IN)
        if not BOARD and self._wake:
            poll.register(self._wake.sock, POLL_IN)
        for link in self.links.values():
            if link.watched is not None:
                poll.register(link.sock, link.watched)

    def Run(self):
        """Serves in this thread until the end: the poll loop, or asyncio from the moment on that something needs it."""
        self.Enter()
        links = self.links
        try:
            while not self.UseAsyncio and (wait := self.Turn()):
                link = None
                try:
                    if MICROPYTHON:
                        for sock, event in self.poll.ipoll(wait):
                            link = links.get(id(sock))
                            if link:
                                link.OnEvent(event)
                            else:
                                self._OnOther(id(sock))
                    else:
                        for key, event in self.poll.poll(wait / 1000):
                            link = links.get(key)
                            if link:
                                link.OnEvent(event)
                            else:
                                crowd = _CROWD
                                while crowd and self._OnOther(key):
                                    crowd -= 1
                except BaseException as error:
                    self._Broke(link, error) if link else self._NotAccepted(error)
            if self.UseAsyncio:
                self.Loop()
        finally:
            self.Leave()

    def Enter(self):
        self._ident = _Ident()

    def Turn(self):
        """What comes between two looks at the sockets: calls of other threads, the clock. -> milliseconds until the
        next one has to come; 0: the server has ended."""
        if self._calls:
            self.Call(self._RunCalls)
        wait = 1000 - Elapsed(self._clock)
        if wait <= 0:
            self._clock = Elapsed()
            wait = 1000
            self.Call(self.Tick)
        if BOARD and _thread:
            wait = min(wait, 20)                # nothing else tells of other threads' calls
        return wait if self.isStarted or self._Farewell() else 0

    def OnEvent(self, key, event):
        """Something is ready: for the loops of others."""
        link = self.links.get(key)
        try:
            if link:
                link.OnEvent(event)
            else:
                self._OnOther(key)
        except BaseException as error:
            self._Broke(link, error) if link else self._NotAccepted(error)

    def _Broke(self, link, error):
        """A call of the loop has failed."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        if not link or not isinstance(error, OSError):      # else a client that has gone
            self.Log("a connection failed" if link else "a call on the engine", error)
        if link:
            self.Call(link.Abort)

    def _Farewell(self):
        """The server stops. False: all is over."""
        if self._until is None:
            try:
                self._CloseListener()
                for link in list(self.links.values()):
                    self.Call(link.endpoint.OnStop)
                self._until = self.now + self.StopGraceSec
            except MemoryError as error:        # again, in a moment: perhaps there is some then
                self.Log("a call on the engine", error)
                return True
        return bool(self.links) and self.now < self._until

    def Leave(self):
        """Nothing of the run is left behind it."""
        if not self.IsOnEngine():               # it has ended in the loop of another server
            return
        try:
            self._CloseListener()
            while self.links:
                try:
                    self.links.popitem()[1].Abort()
                except BaseException as error:
                    self._Broke(None, error)
            with self._lock:
                self._ident = None              # from here on nobody calls
            self._RunCalls()
        finally:                                # whatever came between
            self._ident = None
            if not BOARD and self._wake:
                self.poll.unregister(self._wake.sock)
                self._wake.sock.close()
                self._wake = None
            if not MICROPYTHON:
                self.poll.close()
                self._running.discard(self)
            self.isStarted = self._isBusy = False       # in this order: another Start may come in between

    def _CloseListener(self):
        listener = self._listener
        self._listener = None
        if listener:
            if not self._isFull:
                self.poll.unregister(listener)
            listener.close()

    def Call(self, func, *args):
        """func(*args); what it raises is logged, sys.exit() too. Only Ctrl-C goes through."""
        try:
            return func(*args)
        except BaseException as error:
            self._Broke(None, error)

    def Tick(self):
        """The one timer, once a second: a coarse clock for all deadlines, and the Date."""
        self.now = now = self.now + 1
        self.prefixes.clear()
        if self._listener or not self.isStarted:
            self._Listens(True)
        else:
            self._Relisten()                    # the last try has failed
        for link in list(self.links.values()):
            deadline = link.deadline
            if deadline is not None:
                if deadline < now:
                    self.Call(link.Abort)
            else:
                deadline = link.endpoint.deadline
                if deadline is not None and deadline < now:
                    self.Call(link.endpoint.OnExpired)
        for func in self.Ticks:
            self.Call(func)

    # -- what programs of the older server do by hand: a thread, in which the server's own socket is served -----------

    def _serverProcess(self):
        with self._lock:                        # this thread waits for the end: nobody may wait for this thread
            self._threads.discard(_Ident())
        self.Start(False)

    @property
    def _srvAddr(self):
        """What bind() takes: (IP address, port), packed on the unix port of MicroPython."""
        return Address(self.bindIP, self.port)[-1]

    @staticmethod
    def _startThread(func, args=()):
        if MICROPYTHON:
            _thread.start_new_thread(func, args)
        else:
            import threading
            threading.Thread(target=func, args=args).start()

    # -- connections --------------------------------------------------------------------

    def _Listens(self, wants):
        """Take new clients, or let them wait in the backlog."""
        if wants == self._isFull and self._listener:
            if wants:
                self.poll.register(self._listener, POLL_IN)
            else:
                self.poll.unregister(self._listener)
            self._isFull = not wants            # only now: it may have found no memory

    # As all that runs before the bytes of an event are made, _OnOther has a small frame (transport): it has no try.
    def _OnOther(self, key):
        """A client has come to the listener, or another thread has called. True: perhaps there is one more.
        _NotAccepted gets what accept() raises."""
        if self._listener and key == Key(self._listener):
            if len(self.links) >= self.MaxConnections and self._IsFull():
                return self._Listens(False)     # until a link has gone
            sock, address = self._listener.accept()
            self._failures = 0
            self.Admit(sock, address, self.NewLink)
            return self.isStarted
        if not BOARD and self._wake and key == Key(self._wake.sock):
            self._wake.Clear()

    def _IsFull(self):
        """Does a newcomer have to wait? Not if a place can be made, and not for long: then it is told."""
        if not self.Evict():
            if self._fullSince is None:
                self._fullSince = self.now
            if self.now - self._fullSince < self.HeadTimeoutSec:
                # One that is busy has a deadline, unless it is a stream or a WebSocket: those end when they like.
                for link in self.links.values():
                    if link.deadline is not None or isinstance(link.endpoint, Connection) \
                            and link.endpoint.deadline is not None:
                        return True

    def _NotAccepted(self, error):
        code = getattr(error, "errno", 0)
        if code == 11 if BOARD else code in (11, 35, 10035):    # EAGAIN: the client has gone again
            return
        if not isinstance(error, (OSError, MemoryError)):
            return self._Broke(None, error)
        self._failures += 1
        if self._failures == 1:
            self.Log("accept", error)
        try:
            self.Evict()                        # too many open files: fewer connections
            if self._failures > 5:              # the network has gone and the listener with it
                self._Relisten()
            elif self._failures > 1:
                self._Listens(False)            # until the next second
        except (OSError, MemoryError):          # the next failure tries again
            pass

    def Admit(self, sock, address, newLink):
        """A client that was accepted gets a link and a connection, or 503."""
        try:
            sock.setblocking(False)
            if BOARD or not INHERITS:
                try:
                    sock.setsockopt(6, 1, 1)    # IPPROTO_TCP, TCP_NODELAY
                except (OSError, AttributeError):
                    pass
            if len(self.links) >= self.MaxConnections:
                sock.send(_BUSY)
                return sock.close()
            link = newLink(self, sock, address)
            sock = link.sock
            link.endpoint = Connection(self, link)
            self.links[Key(sock)] = link
        except (OSError, MemoryError) as error:
            if MICROPYTHON or not isinstance(error, OSError):       # else the client has gone again
                self.Log("accept", error)
            return sock.close()
        self.OnEvent(Key(sock), POLL_IN)        # who has just connected has spoken as well, most times
        try:
            link.Watch()
        except (OSError, MemoryError) as error:
            self._Broke(link, error)

    def _Relisten(self):
        self._CloseListener()
        try:
            self._listener, self.port = self.Listen(self.port, self.bindIP)
            self._isFull = True
            self._Listens(True)
        except (OSError, MemoryError):
            pass                                # the clock tries again

    def Evict(self):
        """The connection that has been idle for longest makes room, or one whose client has taken nothing for a
        quarter of SendTimeoutSec."""
        oldest = earliest = None
        for link in self.links.values():
            if link.out:
                deadline = link.deadline
                isIdle = deadline < self.now + self.SendTimeoutSec * 3 // 4
            else:
                deadline = link.endpoint.deadline
                isIdle = link.endpoint.IsIdle()
            if isIdle and (not oldest or deadline < earliest):
                oldest = link
                earliest = deadline
        if oldest:
            oldest.Abort()
        return oldest is not None

    def Forget(self, link):
        """The link is about to close its socket."""
        self.links.pop(Key(link.sock), None)
        self._fullSince = None
        self._Listens(True)

    # -- what rooms and optional files ask of it --------------------------------------------

    def Log(self, text, error=None):
        """ErrorCallback, else stderr."""
        try:
            (self.ErrorCallback or _PrintError)(text, error)
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt):
                raise
            _PrintError("ErrorCallback", failure)

    def IsOnEngine(self):
        return self._ident == _Ident()

    def CallSoon(self, func, *args):
        """Thread-safe: func(*args) on the engine; False if it does not run any more."""
        with self._lock:
            if self._ident is None:
                return False
            self._calls.append((func, args))
            if not BOARD and self._wake:
                self._wake.Set()
        return True

    def Pending(self):
        """How many calls wait."""
        return len(self._calls)

    def _RunCalls(self):
        for _ in range(len(self._calls)):
            with self._lock:
                func, args = self._calls[0]
            self.Call(func, *args)
            with self._lock:
                self._calls.pop(0)              # only now: who looks from another thread sees what has not been done

    def StartThread(self, func, args, stackSize):
        """False where no thread can be started."""
        if not _thread:
            return False
        try:
            if BOARD and stackSize:
                _thread.stack_size(stackSize)
            if MICROPYTHON:
                _thread.start_new_thread(self._InThread, (func, args))
            else:
                import threading
                threading.Thread(target=self._InThread, args=(func, args), daemon=True).start()   # _Remain waits
        except (OSError, RuntimeError, MemoryError) as error:
            self.Log("no thread could be started", error)
            return False
        return True

    def _InThread(self, func, args):
        with self._lock:
            self._threads.add(_Ident())
        try:
            func(*args)
        finally:
            with self._lock:
                self._threads.discard(_Ident())
