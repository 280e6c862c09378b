# The poll loop of one server and its clock: Start and Stop, new connections, calls from other threads. All sockets and
# connections are used on the thread of this loop only.

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
    _Ident = int                            # without threads every id is 0

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class _NoLock:
    """The lock of a runtime without threads."""

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
        pass                                # no memory or no console


_CROWD = const(16)              # clients that are accepted before connections get their turn
_INBOX_MAX = 8192 if MICROPYTHON else 65536


class Engine:
    """Runs a server. MicroWebSrv adds the settings and tables."""

    UseAsyncio = False                          # Start() runs an asyncio loop; set when an async handler is added
    Loop = Adopt = None                         # set by microWebAsync: serve in asyncio; join the running loop
    NewLock = staticmethod(NewLock)
    NewLink = Link                              # set by microWebTls: makes the link of an accepted socket
    Listen = staticmethod(Listen)
    now = 0                                     # seconds
    _server = None                              # a listening socket that the program made itself

    def __init__(self):
        self.links = {}
        self._calls = []
        self._isBusy = self.isStarted = False   # a run has not ended; it accepts clients
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
        """Serve in a new thread, or in this one until Stop(). OSError if the port can't be bound."""
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
            except KeyboardInterrupt:           # Ctrl-C ended it
                pass
        elif not BOARD and not self._remains:
            self._remains = True
            if MICROPYTHON:
                sys.atexit(self._Remain)
            else:
                import atexit
                atexit.register(self._Remain)

    def _Remain(self):
        # The main program has ended: keep the process alive for the server, until Ctrl-C or SIGTERM.
        try:
            if not MICROPYTHON and self._isBusy and getattr(sys, "last_value", None):
                self.Log("the program ended with an error; its server keeps running")
            while self._isBusy:                 # polling, because a KeyboardInterrupt does not interrupt a lock
                time.sleep(0.1)
        except (KeyboardInterrupt, SystemExit):     # SystemExit: SIGTERM
            self.Stop()

    if not MICROPYTHON:
        _running = set()

        def _WatchTerm(self):
            """If the program has no SIGTERM handler, set one that stops all servers as Stop() does and ends the
            program."""
            import signal
            import threading
            self._running.add(self)
            if threading.current_thread() is threading.main_thread() \
                    and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self._OnTerm)

        def _OnTerm(self, number, frame):
            import signal
            signal.signal(number, signal.SIG_DFL)       # a second signal kills
            isOurs = False
            for server in list(self._running):          # not Stop(): this thread may hold its lock
                server.isStarted = False
                if server._ident == 0:                  # between Open and Run: Run will never be called
                    server.Enter()
                    server.Leave()
                elif server._wake:
                    server._wake.Set()
                    isOurs |= server.IsOnEngine()
            if not isOurs:
                raise SystemExit                        # else Start(threaded=False) returns

    def Open(self):
        """True: the server listens, and the caller has to run it. False: it runs already, or has not ended yet."""
        self.AddDecorated()                     # routes that were decorated after __init__
        with self._lock:
            if self._isBusy:
                return False
            self._isBusy = self.isStarted = True
        try:
            size = min(self.BufferLen, max(2048, gc.mem_free() // 16)) if MICROPYTHON else self.BufferLen
            self.buffer = memoryview(bytearray(size))
            self.inbox = self.buffer[:_INBOX_MAX]       # received data is kept, so it is read in smaller pieces
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
            self._ident = 0                     # no thread yet, but calls can already be queued
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
        """From any thread or a handler: accept no more clients; requests in progress get StopGraceSec to finish."""
        with self._lock:
            if not self._isBusy:
                return
            self.isStarted = False
        if not BOARD:
            wake = self._wake                   # Leave may set it to None meanwhile
            if wake:
                wake.Set()
        while self._isBusy and not self.isStarted and not self._IsOurs():
            time.sleep(0.01)

    def IsStarted(self):
        return self.isStarted

    _started = property(IsStarted)

    def GetPort(self):
        """The TCP port; 0 until Start has chosen a free one."""
        return self.port

    def _IsOurs(self):
        """True on the engine's thread and on threads that the end of the run waits for."""
        return self.IsOnEngine() or _Ident() in self._threads

    def Use(self, poll):
        """From now on all sockets are registered with this poll object."""
        self.poll = poll
        if self._listener and not self._isFull:
            poll.register(self._listener, POLL_IN)
        if not BOARD and self._wake:
            poll.register(self._wake.sock, POLL_IN)
        for link in self.links.values():
            if link.watched is not None:
                poll.register(link.sock, link.watched)

    def Run(self):
        """Serve in this thread until the end, with the poll loop; with asyncio as soon as UseAsyncio is set."""
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
        """Run the queued calls and the clock. -> milliseconds until the next Turn is due; 0: the server has ended."""
        if self._calls:
            self.Call(self._RunCalls)
        wait = 1000 - Elapsed(self._clock)
        if wait <= 0:
            self._clock = Elapsed()
            wait = 1000
            self.Call(self.Tick)
        if BOARD and _thread:
            wait = min(wait, 20)                # no other wake-up exists for calls from threads
        return wait if self.isStarted or self._Farewell() else 0

    def OnEvent(self, key, event):
        """A socket is ready. Called by other loops than Run."""
        link = self.links.get(key)
        try:
            if link:
                link.OnEvent(event)
            else:
                self._OnOther(key)
        except BaseException as error:
            self._Broke(link, error) if link else self._NotAccepted(error)

    def _Broke(self, link, error):
        # An event or a call raised `error`.
        if isinstance(error, KeyboardInterrupt):
            raise error
        if not link or not isinstance(error, OSError):      # OSError of a link: the client left
            self.Log("a connection failed" if link else "a call on the engine", error)
        if link:
            self.Call(link.Abort)

    def _Farewell(self):
        # A step of stopping. False: all is closed, or the grace time is over.
        if self._until is None:
            try:
                self._CloseListener()
                for link in list(self.links.values()):
                    self.Call(link.endpoint.OnStop)
                self._until = self.now + self.StopGraceSec
            except MemoryError as error:        # the next Turn tries again
                self.Log("a call on the engine", error)
                return True
        return bool(self.links) and self.now < self._until

    def Leave(self):
        """Close all connections and release all of this run."""
        if not self.IsOnEngine():               # it already ended in the loop of another server
            return
        try:
            self._CloseListener()
            while self.links:
                try:
                    self.links.popitem()[1].Abort()
                except BaseException as error:
                    self._Broke(None, error)
            with self._lock:
                self._ident = None              # CallSoon refuses from here on
            self._RunCalls()
        finally:                                # after any exception, too
            self._ident = None
            if not BOARD and self._wake:
                self.poll.unregister(self._wake.sock)
                self._wake.sock.close()
                self._wake = None
            if not MICROPYTHON:
                self.poll.close()
                self._running.discard(self)
            self.isStarted = self._isBusy = False       # in this order, for a concurrent Start

    def _CloseListener(self):
        listener = self._listener
        self._listener = None
        if listener:
            if not self._isFull:
                self.poll.unregister(listener)
            listener.close()

    def Call(self, func, *args):
        """func(*args). Logs any exception, SystemExit too; only KeyboardInterrupt passes."""
        try:
            return func(*args)
        except BaseException as error:
            self._Broke(None, error)

    def Tick(self):
        """Once a second: advance the clock, renew the Date, check all deadlines."""
        self.now = now = self.now + 1
        self.prefixes.clear()
        if self._listener or not self.isStarted:
            self._Listens(True)
        else:
            self._Relisten()                    # the last attempt to listen failed
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

    # -- for programs of the older server, which run _serverProcess in their own thread --------------------------------

    def _serverProcess(self):
        with self._lock:                        # nobody may wait for this thread, since it waits for the end
            self._threads.discard(_Ident())
        self.Start(False)

    @property
    def _srvAddr(self):
        """The argument of bind(): (IP address, port), packed on the unix port of MicroPython."""
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
        """Accept new clients, or let them wait in the backlog."""
        if wants == self._isFull and self._listener:
            if wants:
                self.poll.register(self._listener, POLL_IN)
            else:
                self.poll.unregister(self._listener)
            self._isFull = not wants            # only now: register() may raise MemoryError

    # Runs before an event's bytes are allocated, so it needs a small frame (see transport): no try here.
    def _OnOther(self, key):
        """Accept a client, or clear the wake-up of another thread. True: there may be another client."""
        # The caller passes exceptions of accept() to _NotAccepted.
        if self._listener and key == Key(self._listener):
            if len(self.links) >= self.MaxConnections and self._IsFull():
                return self._Listens(False)     # until a link is closed
            sock, address = self._listener.accept()
            self._failures = 0
            self.Admit(sock, address, self.NewLink)
            return self.isStarted
        if not BOARD and self._wake and key == Key(self._wake.sock):
            self._wake.Clear()

    def _IsFull(self):
        """True if a new client has to wait in the backlog."""
        # False: there is room, or it waited too long and gets 503.
        if not self.Evict():
            if self._fullSince is None:
                self._fullSince = self.now
            if self.now - self._fullSince < self.HeadTimeoutSec:
                # A link with a deadline will end. Streams and WebSockets have none, and waiting for them is pointless.
                for link in self.links.values():
                    if link.deadline is not None or isinstance(link.endpoint, Connection) \
                            and link.endpoint.deadline is not None:
                        return True

    def _NotAccepted(self, error):
        code = getattr(error, "errno", 0)
        if code == 11 if BOARD else code in (11, 35, 10035):    # EAGAIN: the client has left
            return
        if not isinstance(error, (OSError, MemoryError)):
            return self._Broke(None, error)
        self._failures += 1
        if self._failures == 1:
            self.Log("accept", error)
        try:
            self.Evict()                        # for too many open files
            if self._failures > 5:              # the network interface and its listener are gone
                self._Relisten()
            elif self._failures > 1:
                self._Listens(False)            # until the next tick
        except (OSError, MemoryError):          # the next failure tries again
            pass

    def Admit(self, sock, address, newLink):
        """Give an accepted client a link and a connection, or send 503."""
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
            if MICROPYTHON or not isinstance(error, OSError):       # OSError: the client left
                self.Log("accept", error)
            return sock.close()
        self.OnEvent(Key(sock), POLL_IN)        # most clients send the request right after connecting
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
            pass                                # Tick tries again

    def Evict(self):
        """Abort the connection that has been idle longest, or one whose client has read nothing for a quarter of
        SendTimeoutSec. False: there is none."""
        oldest = earliest = None
        for link in self.links.values():
            if link.deadline is not None:       # bytes are queued, or wait for a turn
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

    # -- for rooms and optional files ---------------------------------------------------------

    def Log(self, text, error=None):
        """Call ErrorCallback; without one, prints to stderr."""
        try:
            (self.ErrorCallback or _PrintError)(text, error)
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt):
                raise
            _PrintError("ErrorCallback", failure)

    def IsOnEngine(self):
        return self._ident == _Ident()

    def CallSoon(self, func, *args):
        """Thread-safe: run func(*args) on the engine. False if the engine has ended."""
        with self._lock:
            if self._ident is None:
                return False
            self._calls.append((func, args))
            if not BOARD and self._wake:
                self._wake.Set()
        return True

    def Pending(self):
        """The number of queued calls."""
        return len(self._calls)

    def _RunCalls(self):
        for _ in range(len(self._calls)):
            with self._lock:
                func, args = self._calls[0]
            self.Call(func, *args)
            with self._lock:
                self._calls.pop(0)              # after the call, so that Pending() counts it until it is done

    def StartThread(self, func, args, stackSize):
        """Run func(*args) in a new thread. False if none can be started."""
        if not _thread:
            return False
        try:
            if BOARD and stackSize:
                _thread.stack_size(stackSize)
            if MICROPYTHON:
                _thread.start_new_thread(self._InThread, (func, args))
            else:
                import threading
                # A daemon: _Remain waits for the server instead.
                threading.Thread(target=self._InThread, args=(func, args), daemon=True).start()
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
