# MicroWebSrv's fast transport for CPython: asyncio.Protocol instead of sockets on tasks. Where they are installed, the
# loop is uvloop's, and large WebSocket messages are unmasked by the compiled function of the package websockets.
# Copy it beside microWebSrv.py to use it; without it the portable transport serves.

import asyncio
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
        return self.Backlog() <= most and not self._transport.is_closing()

    def Pause(self):
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def Resume(self):
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def Kill(self):
        self._server._Gone(self)

    def Finish(self):
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()


class _FastTransport:
    """asyncio's own listening server; it survives what accept() raises, but not the death of its socket."""

    def __init__(self, server):
        self._server = server

    async def Open(self, listener):
        loop = asyncio.get_running_loop()
        self._asyncServer = await loop.create_server(lambda: _FastLink(self._server), sock=listener, backlog=511)
        self._task = loop.create_task(self._Watch(listener))

    async def Close(self):
        self._task.cancel()
        self._asyncServer.close()

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
        loop.run_until_complete(coroutine)
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


def Attach(server):
    """Plugs the transport into the server."""
    server._transport = _FastTransport
    server._runLoop = _RunLoop
    webSocket = sys.modules.get(__name__.replace("Loop", "Socket"))
    if webSocket and apply_mask:
        webSocket._Unmask = apply_mask
