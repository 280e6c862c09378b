# Worker threads for MicroWebSrv: routes with threaded=True may block. Copy it beside microWebSrv.py; without it, and
# where there are no threads, their handlers run on the engine.
# MIT license, see LICENSE.
#
# All state stays with the engine: what a worker writes crosses over to it, and the worker waits for the result. Where
# there is no GIL, nothing of the connection may even be read from another thread.

import time

try:
    import _thread
except ImportError:
    _thread = None

_LATER = object()                       # the engine will release the worker when the client has drained


class _Proxy:
    """A worker's client and response have it in the place of the connection."""

    keepAlive = isChunked = True        # False: `Connection: close`, or a program that speaks HTTP itself

    def __init__(self, connection):
        self.server = connection.server
        self.link = self                # of it, programs ask for the address
        self.isSecure = connection.link.isSecure
        self._address = connection.link.GetAddr()
        self._connection = connection
        self._response = connection.response
        self._value = self._error = None
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def GetAddr(self):
        return self._address

    @property
    def response(self):
        return self._Do(getattr, self._connection, "response")

    def Answer(self, *args):
        return self._Do(self._Tell, self._connection.Answer, args)

    def Finish(self, *args):
        return self._Do(self._Tell, self._connection.Finish, args)

    def Failed(self, *args):
        return self._Do(self._Tell, self._connection.Failed, args)

    def OnSent(self, callback):
        return self._Do(self._connection.OnSent, callback)

    def Serves(self, client):
        return self._Do(self._connection.Serves, client)

    def Push(self, response, data):
        """Blocks until the client has drained; others are served meanwhile."""
        if self.server.IsOnEngine():    # there was no thread for it
            return self._Tell(self._connection.Push, (response, data))
        most = max(1, self.server.MaxSendQueueLen // 2)     # so much never blocks the engine
        for start in range(0, len(data) or 1, most):
            if not self._Do(self._Push, data[start:start + most]):
                return False
        return True

    def _Do(self, func, *args):
        """func(*args) on the engine -> what it returns or raises; False where it does not run any more."""
        if self.server.IsOnEngine():
            return func(*args)
        while True:
            try:
                if not self.server.CallSoon(self._Call, func, args):
                    return False
                break
            except MemoryError:
                time.sleep(0.1)         # the engine has to hear of it
        self._lock.acquire()
        error = self._error
        if error:
            self._error = None
            raise error
        return self._value

    # -- on the engine

    def _Call(self, func, args):
        self._value = None
        try:
            self._value = func(*args)
        except BaseException as error:
            self._error = error
        if self._value is not _LATER:
            self._lock.release()

    def _Tell(self, func, args):
        connection = self._connection
        if connection.response is self._response:
            connection.keepAlive = connection.keepAlive and self.keepAlive
            if not self.isChunked:
                connection.isChunked = False
        return func(*args)

    def _Push(self, data):
        connection = self._connection
        if not self._Tell(connection.Push, (self._response, data)):
            return False
        if not connection.link.Backlog():
            return True
        connection.wake = self._Wake
        return _LATER

    def _Wake(self):
        connection = self._connection
        self._value = connection.response is self._response
        if not self._value or not connection.link.Backlog():
            connection.wake = None
            self._lock.release()


class _Workers:
    """The threads of one server: they come with the work and go when there is none."""

    def __init__(self, server):
        self._server = server
        self._jobs = []
        self._count = 0
        self._lock = server.NewLock()

    def Offload(self, connection, handler, args):
        """The handler gets a thread, now or when one is free; where none can be started it runs here."""
        server = self._server
        args[0].connection = args[1].connection = _Proxy(connection)
        job = handler, args

        def Gone():
            """The client has gone before its turn: it needs no worker."""
            with self._lock:
                if connection.link.isDead and job in self._jobs:
                    self._jobs.remove(job)
            connection.wake = None
        connection.wake = Gone
        with self._lock:
            self._jobs.append(job)
            starts = self._count < server.MaxWorkers
            self._count += starts
        if starts and not server.StartThread(self._Work, (), 8192):
            with self._lock:
                isAlone = self._count == 1
                self._count -= not isAlone
            if isAlone:
                self._Work()
        return True

    def _Work(self):
        while True:
            with self._lock:
                job = self._jobs.pop(0) if self._jobs else None
                if not job:
                    self._count -= 1
                    return
            handler, args = job
            response = args[1]
            proxy = response.connection
            try:
                try:
                    proxy.Finish(response, handler(*args))
                except BaseException as error:          # sys.exit() ends the handler, not the worker
                    if isinstance(error, KeyboardInterrupt):
                        error = RuntimeError("KeyboardInterrupt")
                    proxy.Failed(response, error)
            except BaseException as error:
                self._server.Log("a worker", error)


def Attach(server):
    """Routes with threaded=True have threads, at most MaxWorkers at once."""
    if not hasattr(server, "MaxWorkers"):
        server.MaxWorkers = 2 if server.isBoard else 32
    if _thread:
        server.Offload = _Workers(server).Offload
