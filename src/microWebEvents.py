# Server-sent events for MicroWebSrv: copy this file beside microWebSrv.py and WriteResponseEventStream is on.
# MIT license, see LICENSE.
#
#    1  ENCODING     an event as the bytes of text/event-stream (HTML standard, section 9.2)
#    ---------- sans-I/O line
#    2  HUB          MicroWebEvents: whoever has something to tell, and a bounded queue for each client
#    3  SERVER       plugging in: HttpResponse.WriteResponseEventStream

import json


# ==============================================================================
# 1  ENCODING
# ==============================================================================
# Plain values -> bytes. A value that would end its line and begin another is refused: ValueError.

_PING = b":\n\n"            # a comment: browsers drop it, proxies see traffic, and the network tells who has gone


def _EventBytes(data, event=None, id=None, retry=None):
    """data: str, or what JSON can say, None for no data; -> one event (HTML standard, section 9.2.5)."""
    lines = []
    for name, value in (("id", id), ("event", event), ("retry", retry)):
        if value is not None:
            value = str(value)
            if "\r" in value or "\n" in value or "\x00" in value:
                raise ValueError("CR, LF or NUL in the %s of an event: %r" % (name, value))
            lines.append("%s: %s" % (name, value))
    if data is not None:
        if not isinstance(data, str):
            data = json.dumps(data)
        for line in data.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            lines.append("data: " + line)
    return ("\n".join(lines) + "\n\n").encode()


def _ItemBytes(item):
    """A dict is dict(data=, event=, id=, retry=), anything else is data."""
    if isinstance(item, dict):
        return _EventBytes(item.get("data"), item.get("event"), item.get("id"), item.get("retry"))
    return _EventBytes(item)


def _Encoded(events):
    try:
        for event in events:
            yield _ItemBytes(event)
    finally:
        _Close(events)


class _EncodedAsync:
    """An async iterator of events as one of bytes."""

    def __init__(self, events):
        self._events = events.__aiter__()

    def __aiter__(self):
        return self

    async def __anext__(self):
        return _ItemBytes(await self._events.__anext__())

    def close(self):
        _Close(self._events)


def _Close(source):
    if hasattr(source, "close"):
        source.close()


# ---- sans-I/O line -----------------------------------------------------------

try:
    import asyncio
except ImportError:
    import uasyncio as asyncio      # MicroPython before 1.21

try:
    from _thread import allocate_lock as _NewLock
except ImportError:
    class _NewLock:
        """Where there are no threads there is nothing to lock."""

        def __enter__(self):
            pass

        def __exit__(self, *args):
            pass


# ==============================================================================
# 2  HUB
# ==============================================================================
# Send may be called from any thread, and where there is no GIL the queues are only touched with the lock held.
# Whoever waits does so on the engine of his server, and is woken there. A full queue loses its oldest event: one
# client that is slow costs himself something, and nobody else. The eldest client's wait has a timeout, and its end is
# the ping of all: a timer for each of them would cost 300 bytes and an allocation for each event.

class MicroWebEvents:
    """Events for every client that subscribed. maxQueueLen: how many may wait for a slow client; pingSec: seconds of
    silence after which a comment is sent, so that a client that has gone is found out."""

    def __init__(self, maxQueueLen=16, pingSec=15):
        if maxQueueLen < 1 or pingSec <= 0:
            raise ValueError("maxQueueLen and pingSec must be positive")
        self._maxQueueLen = maxQueueLen
        self._pingSec = pingSec
        self._queues = []
        self._lock = _NewLock()

    def Send(self, data, event=None, id=None, retry=None):
        """From any thread, to every client: data is a str or becomes JSON; retry in ms. -> the number of clients."""
        return self._Put(_EventBytes(data, event, id, retry))

    def Count(self):
        """How many clients are subscribed."""
        return len(self._queues)

    def Close(self):
        """Ends every stream, after what is still queued. Who subscribes afterwards is served again."""
        with self._lock:
            queues = self._queues
            self._queues = []
            servers = [queue._End() for queue in queues]
        self._WakeAll(queues, servers)

    def _Put(self, piece):
        with self._lock:
            queues = self._queues
            servers = [queue._Push(piece, self._maxQueueLen) for queue in queues]
        self._WakeAll(queues, servers)
        return len(queues)

    def _Subscribe(self, server):
        queue = _Queue(self, server)
        with self._lock:
            self._queues = self._queues + [queue]       # never changed in place: Send walks over it
        return queue

    def _Drop(self, queue):
        with self._lock:
            self._queues = queues = [other for other in self._queues if other is not queue]
            servers = [other._Called() for other in queues[:1]]     # the eldest now, who waits without a timeout
        self._WakeAll(queues, servers)

    def _IsEldest(self, queue):
        queues = self._queues
        return bool(queues) and queues[0] is queue

    def _WakeAll(self, queues, servers):
        """One call to each engine that has somebody to wake; none where the last one has not run yet."""
        while servers:
            server = servers.pop()
            if server and server not in servers:
                if server._OnEngine():
                    self._Wake(server, queues)
                else:
                    server._CallSoon(self._Wake, server, queues)

    def _Wake(self, server, queues):
        with self._lock:
            for queue in queues:
                if queue._server is server:
                    queue._Wake()


class _Queue:
    """One client: the events that he has not been sent yet, pulled by the session of his connection."""

    def __init__(self, hub, server):
        self._hub = hub
        self._server = server
        self._pieces = []
        self._news = None
        self._isWoken = self._isEnded = False

    def _Push(self, piece, most):
        """With the lock held; -> the server to call, or None where it has been called already."""
        if piece is _PING and self._pieces:
            return None
        pieces = self._pieces
        if len(pieces) >= most:
            pieces.pop(0)
        try:
            pieces.append(piece)
        except MemoryError:             # it can't grow: the oldest event goes, as if it were full
            pieces.pop(0)
            pieces.append(piece)
        return self._Called()

    def _End(self):
        self._isEnded = True
        return self._Called()

    def _Called(self):
        wasWoken, self._isWoken = self._isWoken, True
        return None if wasWoken else self._server

    def _Wake(self):
        self._isWoken = False           # what is pushed from now on calls again
        if self._news:
            self._news.set()

    def __aiter__(self):
        self._news = asyncio.Event()    # not earlier: CPython 3.9 wants the loop to run in this thread
        return self

    async def __anext__(self):
        hub = self._hub
        while not self._pieces and not self._isEnded:
            self._news.clear()          # set on this thread only, and after what it tells of
            if not hub._IsEldest(self):
                await self._news.wait()
                continue
            try:
                await asyncio.wait_for(self._news.wait(), hub._pingSec)
            except asyncio.TimeoutError:
                hub._Put(_PING)
        with hub._lock:
            if self._pieces:
                return self._pieces.pop(0)
        raise StopAsyncIteration

    def close(self):
        """The client has gone, or the server stops."""
        self._hub._Drop(self)


# ==============================================================================
# 3  SERVER
# ==============================================================================
# The table that the core looks into; the hub needs to know on whose engine each of its clients is served.

def _WriteEvents(response, events, headers):
    """The body of HttpResponse.WriteResponseEventStream."""
    headers = list(headers.items() if hasattr(headers, "items") else headers or ())
    headers.append(("Cache-Control", "no-store"))
    if isinstance(events, MicroWebEvents):
        source = events._Subscribe(response._client.GetServer())
    elif hasattr(events, "__aiter__"):
        source = _EncodedAsync(events)
    else:
        source = _Encoded(iter(events))
    accepted = False
    try:
        accepted = response.WriteResponseStream(source, "text/event-stream", None, headers)
    finally:
        if not accepted:
            _Close(source)
    return accepted


def Attach(server):
    """Called by a server when it is made: event streams are on."""
    server._writeEvents = _WriteEvents
