# MicroWebSrv's fast transport for CPython: asyncio.Protocol instead of sockets on tasks. Where they are installed, the
# loop is uvloop's, and large WebSocket messages are unmasked by the compiled function of the package websockets.
# Copy it beside microWebSrv.py to use it; without it the portable transport serves.

import asyncio
import signal
import socket
import sys

try:
    import uvloop                   # here: when its thread starts, the program may have reached its last line
except ImportError:
    uvloop = None
try:
    from websockets.speedups import apply_mask
except ImportError:
    apply_mask = None

_BUSY = (b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")


class _FastLink(asyncio.Protocol):
    """One connection, as an endpoint sees it. asyncio calls the endpoint and the endpoint calls asyncio with no frame
    of ours between them: Send and data_received are the other side's bound methods."""

    def __init__(self, server):
        self._server = server
        self._endpoint = None
        self._direct = None

    @property
    def endpoint(self):
        return self._endpoint

    @endpoint.setter
    def endpoint(self, endpoint):
        self._endpoint = endpoint
        self.data_received = endpoint.Received
        self._transport.set_protocol(self)          # uvloop has kept the method that was there before

    # -- called by asyncio ---------------------------------------------------------

    def connection_made(self, transport):
        self._transport = transport
        transport.set_write_buffer_limits(0)        # one byte unsent is a backlog, none is drained
        self.Send = transport.write
        self.Backlog = transport.get_write_buffer_size
        self.Close = transport.close
        self.Abort = transport.abort
        if not self._server._Admit(self):
            transport.write(_BUSY)
            transport.close()

    def eof_received(self):
        return self._endpoint is not None and self._endpoint.Ended()

    def connection_lost(self, exc):
        direct = self._direct
        if direct:
            direct._dead = True
            if direct._drains:                      # it lets go of the socket before that is closed
                direct._drains.add_done_callback(lambda task: direct._sock.close())
                direct._drains.cancel()
            else:
                direct._sock.close()
        self._server._Gone(self)

    def pause_writing(self):
        pass

    def resume_writing(self):
        if not self._transport.is_closing():
            self._endpoint.Drained()

    # -- called by the endpoint ------------------------------------------------------

    def GetAddr(self):
        return self._transport.get_extra_info("peername")[:2]

    def Settle(self, most, timeoutSec):
        """Blocks until at most so many bytes wait; False where the client does not drain. asyncio sends nothing while
        it is blocked: from the first call on, what is sent goes past it."""
        if not self._direct and not self.Backlog() and not self._transport.is_closing():
            self._GoDirect()
        if self._direct:
            return self._direct.Settle(most, timeoutSec)
        return self.Backlog() <= most and not self._transport.is_closing()

    def _GoDirect(self):
        """A link of the portable transport, with a second socket of the connection, sends; asyncio goes on reading."""
        if sys.platform == "win32":
            return                                  # its loop waits for no socket of others
        shared = self._transport.get_extra_info("socket")
        try:
            sock = socket.fromfd(shared.fileno(), shared.family, socket.SOCK_STREAM)
        except OSError:
            return                                  # no file left: what asyncio takes has to do
        sock.setblocking(False)
        direct = self._direct = sys.modules[__name__.replace("Loop", "Srv")]._Link(self._server, sock, None)
        direct._dead = False
        direct.Abort = self._Abort
        direct.endpoint = self
        self.Send = direct.Send
        self.Backlog = direct.Backlog
        self.Close = direct.Close
        self.Abort = self._Abort

    def _Abort(self):
        self._direct._dead = True
        self._transport.abort()

    def Drained(self):
        self._endpoint.Drained()

    def Pause(self):
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def Resume(self):
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def Kill(self):
        if self._direct:
            self._direct._sock.close()
        self._server._Gone(self)

    def Finish(self):
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()


class _FastTransport:
    """asyncio's own listening server; it survives what accept() raises, but not the death of its socket."""

    _failed = False             # accept(), and was told

    def __init__(self, server):
        self._server = server

    async def Open(self, listener):
        loop = asyncio.get_running_loop()
        if not loop.get_exception_handler():
            loop.set_exception_handler(self._Said)
        self._asyncServer = await loop.create_server(self._Link, sock=listener, backlog=511)
        self._task = loop.create_task(self._Watch(listener))

    def _Link(self):
        self._failed = False
        return _FastLink(self._server)

    def _Said(self, loop, context):
        """What asyncio says of accept(), once for a row of failures; all else is said by asyncio."""
        error = context.get("exception")
        if not isinstance(error, OSError) or "accept" not in context["message"]:
            return loop.default_exception_handler(context)
        self._server._Evict()               # too many open files: fewer connections
        if not self._failed:
            self._failed = True
            self._server._LogError("accept", error)

    async def Close(self):
        self._task.cancel()
        self._asyncServer.close()
        loop = asyncio.get_running_loop()
        if loop.get_exception_handler() == self._Said:
            loop.set_exception_handler(None)

    async def _Watch(self, listener):
        """A socket that listens no more is ready for ever, and asyncio would try to accept for ever."""
        while listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            await asyncio.sleep(1)
        server = self._server
        server._LogError("accept", OSError("the listening socket has died"))
        self._asyncServer.close()
        while True:
            await asyncio.sleep(0.2)
            try:
                return await self.Open(server._listen(server._port, server._bindIP))
            except OSError:
                pass


def _RunLoop(coroutine):
    """asyncio.run with the faster loop, on Python 3.9 too."""
    loop = uvloop.new_event_loop() if uvloop else asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        main = loop.create_task(coroutine)
        with _CtrlC(loop, main):
            loop.run_until_complete(main)
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


class _CtrlC:
    """While it is entered, Ctrl-C cancels the task: a KeyboardInterrupt inside a callback would be swallowed by uvloop.
    The second one raises: a handler may have blocked the loop."""

    def __init__(self, loop, task):
        self._loop = loop
        self._task = task
        self._old = None
        self._isOver = False

    def __enter__(self):
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            try:
                self._old = signal.signal(signal.SIGINT, self._Came)
            except ValueError:
                pass                # not in the main thread: Ctrl-C is somebody else's

    def _Came(self, number, frame):
        if self._isOver:
            raise KeyboardInterrupt
        self._isOver = True
        self._loop.call_soon_threadsafe(self._task.cancel)

    def __exit__(self, excType, exc, traceback):
        if self._old:
            signal.signal(signal.SIGINT, self._old)
        if self._isOver and excType in (None, asyncio.CancelledError):
            raise KeyboardInterrupt from None


def Attach(server):
    """Plugs the transport into the server."""
    server._transport = _FastTransport
    server._runLoop = _RunLoop
    webSocket = sys.modules.get(__name__.replace("Loop", "Socket"))
    if webSocket and apply_mask:
        webSocket._Unmask = apply_mask
