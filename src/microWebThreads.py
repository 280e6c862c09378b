# Worker threads for MicroWebSrv: routes with threaded=True may block. Copy this file beside microWebSrv.py. Without it,
# or without threads, their handlers run on the engine.
# MIT license, see LICENSE.
#
# All state stays on the engine: a worker hands its writes over and waits for the result. Without a GIL, a worker must
# not even read the connection.

import time

try:
    import _thread
except ImportError:
    _thread = None

_LATER = object()                       # the engine releases the worker later, when the client has drained


class _Proxy:
    """Replaces the connection for a worker's client and response."""

    keepAlive = isChunked = True        # False: `Connection: close`, or the program itself writes HTTP

    def __init__(self, connection):
        self.server = connection.server
        self.link = self                # programs ask the link for the address
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
        """Block until the client has drained, while other clients are served."""
        if self.server.IsOnEngine():    # no thread could be started
            return self._Tell(self._connection.Push, (response, data))
        most = max(1, self.server.MaxSendQueueLen // 2)     # this size never blocks the engine
        for start in range(0, len(data) or 1, most):
            if not self._Do(self._Push, data[start:start + most]):
                return False
        return True

    def _Do(self, func, *args):
        """Run func(*args) on the engine and return or raise its result. False if the engine has ended."""
        if self.server.IsOnEngine():
            return func(*args)
        while True:
            try:
                if not self.server.CallSoon(self._Call, func, args):
                    return False
                break
            except MemoryError:
                time.sleep(0.1)         # try again until the engine has the call
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
    """The threads of one server: started when needed, ended when there is no work."""

    def __init__(self, server):
        self._server = server
        self._jobs = []
        self._count = 0
        self._lock = server.NewLock()

    def Offload(self, connection, handler, args):
        """Run the handler in a thread, as soon as one is free. If no thread can be started, run it here."""
        server = self._server
        args[0].connection = args[1].connection = _Proxy(connection)
        job = handler, args

        def Gone():
            """The client left before a worker took the job: remove it."""
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
                except BaseException as error:          # SystemExit ends the handler, not the worker
                    if isinstance(error, KeyboardInterrupt):
                        error = RuntimeError("KeyboardInterrupt")
                    proxy.Failed(response, error)
            except BaseException as error:
                self._server.Log("a worker", error)


def Attach(server):
    """Called by each new server: routes with threaded=True run in at most MaxWorkers threads."""
    if not hasattr(server, "MaxWorkers"):
        server.MaxWorkers = 2 if server.isBoard else 32
    if _thread:
        server.Offload = _Workers(server).Offload
