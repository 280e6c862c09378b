# asyncio for MicroWebSrv: async handlers, `await mws.Serve()`, async iterables as content. Copy this file beside
# microWebSrv.py. MIT license, see LICENSE.
#
# The server still waits with its own poll object, and asyncio waits for this object: on CPython the loop watches it
# like a file, on MicroPython both share one poll object. So sockets need no tasks, and a server without async handlers
# does not use asyncio. Everything except Attach() and the start of Loop() runs on the loop's thread.

import sys

try:
    import asyncio
except ImportError:
    import uasyncio as asyncio              # MicroPython before 1.21

_MICROPYTHON = sys.implementation.name == "micropython"

if _MICROPYTHON:
    import time
    try:
        from _thread import get_ident as _Ident
    except ImportError:
        _Ident = int                        # without threads every id is 0
else:
    import signal
    try:
        import uvloop as _uvloop            # not later: the program may end before the server's thread starts
    except ImportError:
        _uvloop = None


class _Exchange:
    """A request with an async handler. Reads of its content are awaited."""

    def __init__(self, engine, connection, coroutine):
        self._engine = engine
        self._connection = connection
        self._client = client = connection.client
        self._response = connection.response
        self._isWhole = connection.reader is None
        self._news = None
        client.Read = self._Read
        self._wake = connection.wake = self._Wake
        connection.server.SpawnCallback(coroutine, self._Done)

    def _Wake(self):
        connection = self._connection
        if connection.client is self._client and connection.reader is None:
            self._isWhole = True
        if self._news:
            self._news.set()

    async def _Read(self, size, convert):
        """Wait for all content, or with a size for some of it. OSError if no more can arrive."""
        client, connection = self._client, self._connection
        server = connection.server
        while True:
            if size is None and len(client.content) > server.MaxRequestContentLen:
                connection.TooLarge()
            if self._isWhole or size is not None and client.content:
                return server.Client.Read(client, size, convert)
            if connection.client is not client:
                raise OSError(104)          # the client left, or the response was sent
            if connection.deadline is None:
                connection.deadline = server.now + server.BodyTimeoutSec
            connection.link.Want(1)
            self._news = self._news or asyncio.Event()
            self._news.clear()
            await self._news.wait()

    def _Done(self, error):
        connection, response = self._connection, self._response
        self._engine.exchanges -= self._engine.exchanges > 0        # 0: an earlier loop has ended
        if connection.wake is self._wake:
            connection.wake = None
        try:
            if error is None:
                return connection.Finish(response, connection.server.asyncEngine.result)
        except Exception as failure:
            error = failure
        connection.Failed(response, error)


class _Source:
    """server.AsyncSource: an async iterable as the source of a response, one piece ahead of the client."""

    _connection = _piece = _end = _task = _taken = None
    _isClosed = False

    def __init__(self, iterable):
        self._iterable = iterable

    def Start(self, connection):
        self._connection = connection
        connection.server.SpawnCallback(self._Pump(), self._Done)

    def __next__(self):
        piece = self._piece
        if piece is not None:
            self._piece = None
            self._taken.set()
        elif self._end:
            raise self._end
        return piece

    async def _Pump(self):
        self._taken = asyncio.Event()
        self._task = asyncio.current_task()
        iterable = self._iterable
        try:
            if not self._isClosed:
                async for piece in iterable:
                    self._piece = piece or b""
                    self._taken.clear()
                    self._Tell()
                    if self._isClosed:
                        break
                    await self._taken.wait()
        finally:
            if hasattr(iterable, "aclose"):
                await iterable.aclose()

    def _Done(self, error):
        self._task = None
        if not self._isClosed:
            self._end = error or StopIteration()
            self._Tell()

    def _Tell(self):
        task = self._task
        self._task = None                   # a running task can't be cancelled
        if self._connection.source is self:
            self._connection.Resume()
        self._task = task

    def close(self):
        self._isClosed = True
        if self._task:
            self._task.cancel()
        if hasattr(self._iterable, "close"):
            self._iterable.close()


class _Engine:
    """The asyncio part of one server."""

    _done = None                            # an Event while a loop serves, set at the end
    _isAway = False                         # MicroPython: the thread of another server serves
    exchanges = 0                           # async handlers that have not ended

    def __init__(self, server):
        self._server = server
        self._waiting = []                  # coroutines that were spawned before the loop started
        if not _MICROPYTHON:
            self._tasks = set()             # asyncio holds only weak references to tasks
        server.Spawn = self.Spawn
        server.AsyncSource = _Source
        server.SpawnCallback = self.SpawnCallback
        server.Loop = self.Loop
        server.Adopt = self.Adopt

    # -- for the core and other files

    def Spawn(self, connection, coroutine):
        """Run the coroutine of a handler. Handlers of lost clients run until the program's code returns; beyond
        MaxConnections the answer is 503."""
        if self.exchanges < self._server.MaxConnections:
            self.exchanges += 1
            _Exchange(self, connection, coroutine)
        else:
            coroutine.close()
            connection.response.WriteError(503, {"Retry-After": "1"})

    def SpawnCallback(self, coroutine, done):
        """Run any coroutine; done(error or None) is called at its end."""
        server = self._server
        if self._done:
            task = asyncio.create_task(self._Follow(coroutine, done))
            if not _MICROPYTHON:
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        elif not server.IsStarted():
            coroutine.close()               # the server has stopped
        else:
            if _MICROPYTHON and _shared._IsForeign():
                raise RuntimeError(_FOREIGN)
            self._waiting.append((coroutine, done))
            server.UseAsyncio = True        # the poll loop ends after this event, and Loop() takes over

    async def _Follow(self, coroutine, done):
        error = result = None
        try:
            result = await coroutine
        except BaseException as failure:    # SystemExit, or CancelledError of an awaited task
            error = failure
        server = self._server
        if not _MICROPYTHON and not self._done and isinstance(error, asyncio.CancelledError):
            return                          # the loop itself ends
        self.result = result                # for done() only
        try:
            done(error)
        except Exception as failure:
            server.Log("asyncio", failure)
        if not _MICROPYTHON and self._done and not server.IsStarted():
            self._Turn()                    # the server may have waited for this one only

    # -- in the loop

    def _Enter(self):
        server = self._server
        server.Enter()
        self._done = asyncio.Event()
        if _MICROPYTHON:
            _shared._Hook()
            _shared._engines += (self,)
            server.Use(_shared)
            self._clock = asyncio.create_task(self._Clock())
        else:
            self._loop = asyncio.get_running_loop()
            self._number = None
            try:
                number = server.poll.fileno()
                self._loop.add_reader(number, self._OnReady)
                self._number = number
            except (TypeError, NotImplementedError):
                pass                        # Windows: _OnClock polls the sockets a hundred times a second
            self._OnClock()
        for coroutine, done in self._waiting:
            self.SpawnCallback(coroutine, done)
        self._waiting = []

    async def _Join(self):
        try:
            await self._done.wait()
        finally:
            self._Exit()
        while _MICROPYTHON and _shared._isOurs and _shared._engines:    # the last server ends the loop
            await asyncio.sleep_ms(20)

    def _Turn(self):
        wait = self._server.Turn()
        if not wait:
            self._done.set()
        return wait

    def _Exit(self, task=None):
        self._done = None
        self.exchanges = 0
        if _MICROPYTHON:
            self._isAway = False
            self._clock.cancel()
            engines = ()                    # a new tuple: other threads may read the old one
            for engine in _shared._engines:
                if engine is not self:
                    engines += (engine,)
            _shared._engines = engines
        else:
            self._timer.cancel()
            if self._number is not None:
                self._loop.remove_reader(self._number)
        self._server.Leave()                # from here on it may be started again, in another thread
        if _MICROPYTHON and not _shared._engines and not _shared._isOurs:
            _shared._Unhook()

    if _MICROPYTHON:
        async def _Clock(self):
            wait = 1
            while wait:
                await asyncio.sleep_ms(wait)
                wait = self._Turn()

        def _Move(self):
            self._Enter()
            asyncio.create_task(self._Join())
            return True

        def Adopt(self, threaded):
            """Start() in a running loop, if the server needs that loop or can't have a thread. False: use another
            way."""
            needsIt = self._server.UseAsyncio
            if needsIt:
                _shared._Claim(self)        # at once: the program's next line may be asyncio.run()
            if threaded and not needsIt or _shared._thread != _Ident() and not _shared._IsForeign():
                return False
            return self._Move()

        def Loop(self):
            """Serve in this thread. There is only one loop; if another server runs it, that loop serves this one
            too."""
            server = self._server
            while not _shared._Claim(self):
                if _shared._IsForeign():
                    server.Log(_FOREIGN)
                    server.UseAsyncio = False
                    return server.Run()
                for engine in _shared._engines:
                    self._isAway = True
                    if engine._server.CallSoon(self._Move):
                        try:
                            while self._isAway:
                                time.sleep(0.02)
                        finally:
                            if self._isAway:            # Ctrl-C
                                server.Stop()
                        return
                time.sleep(0.02)
            _shared._isOurs = True
            try:
                self._Enter()
                asyncio.run(self._Join())
            finally:
                asyncio.core.cur_task = None            # Ctrl-C leaves it set, and before 1.23 each end does
                for engine in _shared._engines:         # after Ctrl-C the loop was not cleaned up
                    engine._Exit()
                asyncio.new_event_loop()
                _shared._Unhook()

    else:
        def _OnReady(self):
            """Handle what the poll object reports -> milliseconds until the next call."""
            server = self._server
            events = server.poll.poll(0)
            for key, event in events:
                server.OnEvent(key, event)
            wait = self._Turn()
            return wait if self._number is not None else min(wait, 1 if events else 10)

        def _OnClock(self):
            self._timer = self._loop.call_later(self._OnReady() / 1000, self._OnClock)

        def Adopt(self, threaded):
            """Start(threaded=False) in a running loop. False: no loop runs."""
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return False
            if threaded:
                return False
            self._Enter()
            task = loop.create_task(self._done.wait())
            self._tasks.add(task)
            task.add_done_callback(self._Exit)          # cancelled before its first step, a task runs no `finally`
            task.add_done_callback(self._tasks.discard)
            return True

        async def _Main(self):
            self._Enter()
            await self._Join()

        def Loop(self):
            """Serve in a new loop, as asyncio.run() does, but with uvloop and on Python 3.9 too."""
            loop = _uvloop.new_event_loop() if _uvloop else asyncio.new_event_loop()
            interrupts = []
            old = None

            def OnCtrlC(number, frame):
                # uvloop swallows a KeyboardInterrupt in a callback. A second Ctrl-C interrupts a handler that blocks.
                if interrupts:
                    raise KeyboardInterrupt
                interrupts.append(number)
                loop.call_soon_threadsafe(main.cancel)

            try:
                asyncio.set_event_loop(loop)
                main = loop.create_task(self._Main())
                if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                    try:
                        old = signal.signal(signal.SIGINT, OnCtrlC)
                    except ValueError:
                        pass                            # not the main thread, so Ctrl-C is handled elsewhere
                loop.run_until_complete(main)
            except asyncio.CancelledError:
                if not interrupts:
                    raise
                raise KeyboardInterrupt from None
            finally:
                if old:
                    signal.signal(signal.SIGINT, old)
                tasks = asyncio.all_tasks(loop)
                for task in tasks:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
                loop.run_until_complete(loop.shutdown_asyncgens())
                asyncio.set_event_loop(None)
                loop.close()


if _MICROPYTHON:
    _FOREIGN = "another thread runs MicroPython's loop: use `await mws.Serve()`"

    class _Shared:
        """MicroPython's only loop. This object replaces asyncio's poll object, and it is the poll object of our
        servers. Events of the servers' sockets are not passed on to asyncio."""

        _queue = _lock = None
        _thread = None                      # the thread that runs the loop with a server in it; or the engine that will
        _isOurs = False                     # Loop() runs it, not the program
        _engines = ()

        def _IsForeign(self):
            """True if the program runs the loop, in an unknown thread."""
            return self._thread is None and bool(getattr(asyncio.core, "cur_task", None))

        def _Claim(self, engine):
            """True if this engine has to run the loop."""
            with self._lock:
                if self._thread is None and not self._IsForeign():
                    self._Hook()
                    self._thread = engine
                return self._thread is engine

        def _Hook(self):
            queue = asyncio.core._io_queue
            if queue is not self._queue:
                for engine in self._engines:            # new_event_loop() replaced their loop
                    engine._Exit()
                self._queue = queue
                self._poll = poll = queue.poller
                self.register = poll.register
                self.modify = poll.modify
                self.unregister = poll.unregister
                queue.poller = self
            self._thread = _Ident()

        def _Unhook(self):
            self._queue.poller = self._poll
            self._queue = None
            self._isOurs = False
            self._thread = None

        def ipoll(self, timeoutMs):
            """Called by asyncio: wait, and return the events of asyncio's own sockets."""
            if self._thread != _Ident():
                raise RuntimeError(_FOREIGN)
            waiting = self._queue.map
            asyncio.core.cur_task = None                # no task runs now, so any may be cancelled
            others = ()
            for sock, event in self._poll.ipoll(timeoutMs):
                if id(sock) in waiting:
                    others += ((sock, event),)
                else:
                    for engine in self._engines:
                        engine._server.OnEvent(id(sock), event)
            for engine in self._engines:
                engine._Turn()
            still = ()
            for pair in others:
                if id(pair[0]) in waiting:              # the task may have unregistered meanwhile
                    still += (pair,)
            return still

    _shared = _Shared()


async def _Serve(server):
    """Serve in the caller's loop until Stop()."""
    engine = server.asyncEngine
    while not server.Open():
        if server.IsStarted():
            if engine._done and server.IsOnEngine():
                await engine._done.wait()
            return
        await asyncio.sleep(0.02)           # until the old run has ended
    engine._Enter()
    await engine._Join()


def Attach(server):
    """Called by each new server: enables async handlers."""
    if _MICROPYTHON:
        _shared._lock = _shared._lock or server.NewLock()
    server.asyncEngine = _Engine(server)
    type(server).Serve = _Serve
