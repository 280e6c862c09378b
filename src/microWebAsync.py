# asyncio for MicroWebSrv: async handlers, `await mws.Serve()`, async iterables as content. Copy it beside
# microWebSrv.py. MIT license, see LICENSE.
#
# The server keeps its own way to wait, a poll object, and asyncio waits for that: on CPython the poll object is one
# file more of any loop, on MicroPython both wait in the same one. So no socket has a task, and a server without async
# handlers never meets asyncio. All but Attach() and the beginning of Loop() runs on the thread of the loop.

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
        _Ident = int                        # 0: the only thread
else:
    import signal
    try:
        import uvloop as _uvloop            # here: when its thread starts, the program may have reached its last line
    except ImportError:
        _uvloop = None


class _Exchange:
    """A request whose handler is a coroutine. What it reads is awaited."""

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
        """Waits for all of the content, or with a size for some of it; OSError when no more of it can come."""
        client, connection = self._client, self._connection
        server = connection.server
        while True:
            if size is None and len(client.content) > server.MaxRequestContentLen:
                connection.TooLarge()
            if self._isWhole or size is not None and client.content:
                return server.Client.Read(client, size, convert)
            if connection.client is not client:
                raise OSError(104)          # it has gone, or has its answer
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
    """server.AsyncSource: an async iterable as a source, one piece ahead of the client."""

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
        self._task = None                   # who is at work can't be cancelled
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
    """What asyncio does for one server."""

    _done = None                            # while a loop serves: an Event, set at the end
    _isAway = False                         # MicroPython: the thread of another server serves
    exchanges = 0                           # that have not ended

    def __init__(self, server):
        self._server = server
        self._waiting = []                  # what came before there was a loop
        if not _MICROPYTHON:
            self._tasks = set()             # asyncio alone would let them be collected
        server.Spawn = self.Spawn
        server.AsyncSource = _Source
        server.SpawnCallback = self.SpawnCallback
        server.Loop = self.Loop
        server.Adopt = self.Adopt

    # -- what the core and other files ask for

    def Spawn(self, connection, coroutine):
        """The coroutine of a handler answers. Those of clients that have gone go on until the program's code returns:
        beyond MaxConnections it is 503."""
        if self.exchanges < self._server.MaxConnections:
            self.exchanges += 1
            _Exchange(self, connection, coroutine)
        else:
            coroutine.close()
            connection.response.WriteError(503, {"Retry-After": "1"})

    def SpawnCallback(self, coroutine, done):
        """Any coroutine; done(error or None) is called at its end."""
        server = self._server
        if self._done:
            task = asyncio.create_task(self._Follow(coroutine, done))
            if not _MICROPYTHON:
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        elif not server.IsStarted():
            coroutine.close()               # too late: it ends
        else:
            if _MICROPYTHON and _shared._IsForeign():
                raise RuntimeError(_FOREIGN)
            self._waiting.append((coroutine, done))
            server.UseAsyncio = True        # its own poll loop ends behind this event, and Loop() goes on

    async def _Follow(self, coroutine, done):
        error = result = None
        try:
            result = await coroutine
        except BaseException as failure:    # sys.exit(), or the cancelled task that it waited for
            error = failure
        server = self._server
        if not _MICROPYTHON and not self._done and isinstance(error, asyncio.CancelledError):
            return                          # it is the loop that ends
        self.result = result                # for done() alone
        try:
            done(error)
        except Exception as failure:
            server.Log("asyncio", failure)
        if not _MICROPYTHON and self._done and not server.IsStarted():
            self._Turn()                    # perhaps it was the last that the server waited for

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
                pass                        # Windows: there _OnClock looks at the sockets, a hundred times a second
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
            engines = ()                    # never changed in place: other threads look at it
            for engine in _shared._engines:
                if engine is not self:
                    engines += (engine,)
            _shared._engines = engines
        else:
            self._timer.cancel()
            if self._number is not None:
                self._loop.remove_reader(self._number)
        self._server.Leave()                # from here on it may start anew, in another thread
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
            """Start() in a running loop, where it needs that loop or may not have a thread. False: not here."""
            needsIt = self._server.UseAsyncio
            if needsIt:
                _shared._Claim(self)        # now: the program's next line may be asyncio.run()
            if threaded and not needsIt or _shared._thread != _Ident() and not _shared._IsForeign():
                return False
            return self._Move()

        def Loop(self):
            """Serves in this thread; there is one loop, and if another server runs it, it serves in that."""
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
                asyncio.core.cur_task = None            # Ctrl-C leaves it, and so does every end before 1.23
                for engine in _shared._engines:         # Ctrl-C left the loop as it stood
                    engine._Exit()
                asyncio.new_event_loop()
                _shared._Unhook()

    else:
        def _OnReady(self):
            """What the poll object has -> milliseconds until the next look."""
            server = self._server
            events = server.poll.poll(0)
            for key, event in events:
                server.OnEvent(key, event)
            wait = self._Turn()
            return wait if self._number is not None else min(wait, 1 if events else 10)

        def _OnClock(self):
            self._timer = self._loop.call_later(self._OnReady() / 1000, self._OnClock)

        def Adopt(self, threaded):
            """Start(threaded=False) in a running loop. False: there is none."""
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return False
            if threaded:
                return False
            self._Enter()
            task = loop.create_task(self._done.wait())
            self._tasks.add(task)
            task.add_done_callback(self._Exit)          # cancelled before its first step, a task has no `finally`
            task.add_done_callback(self._tasks.discard)
            return True

        async def _Main(self):
            self._Enter()
            await self._Join()

        def Loop(self):
            """Serves in a loop of its own: asyncio.run() with the faster loop, on Python 3.9 too."""
            loop = _uvloop.new_event_loop() if _uvloop else asyncio.new_event_loop()
            interrupts = []
            old = None

            def OnCtrlC(number, frame):
                # uvloop swallows a KeyboardInterrupt that comes in a callback. The second one: a handler may block.
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
                        pass                            # not the main thread: Ctrl-C is somebody else's
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
        """MicroPython's one loop: in the place of the poll object of asyncio's queue stands this one, which is that of
        our servers as well. What belongs to their sockets never comes to asyncio."""

        _queue = _lock = None
        _thread = None                      # that runs the loop, if a server is in it; the engine that is about to
        _isOurs = False                     # Loop() runs it, not the program
        _engines = ()

        def _IsForeign(self):
            """The program runs the loop, in a thread that we don't know."""
            return self._thread is None and bool(getattr(asyncio.core, "cur_task", None))

        def _Claim(self, engine):
            """True: this engine is the one that has to run the loop."""
            with self._lock:
                if self._thread is None and not self._IsForeign():
                    self._Hook()
                    self._thread = engine
                return self._thread is engine

        def _Hook(self):
            queue = asyncio.core._io_queue
            if queue is not self._queue:
                for engine in self._engines:            # new_event_loop() has taken their loop away
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
            """Of asyncio: waits, and returns what belongs to its own sockets."""
            if self._thread != _Ident():
                raise RuntimeError(_FOREIGN)
            waiting = self._queue.map
            asyncio.core.cur_task = None                # no task is at work, and any may be cancelled
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
                if id(pair[0]) in waiting:              # no task of ours has been told to leave it
                    still += (pair,)
            return still

    _shared = _Shared()


async def _Serve(server):
    """Serves in the caller's loop until Stop()."""
    engine = server.asyncEngine
    while not server.Open():
        if server.IsStarted():
            if engine._done and server.IsOnEngine():
                await engine._done.wait()
            return
        await asyncio.sleep(0.02)           # until it has stopped
    engine._Enter()
    await engine._Join()


def Attach(server):
    """Async handlers are on."""
    if _MICROPYTHON:
        _shared._lock = _shared._lock or server.NewLock()
    server.asyncEngine = _Engine(server)
    type(server).Serve = _Serve
