# Server-sent events for MicroWebSrv: copy this file beside microWebSrv.py and WriteResponseEventStream is on.
# MIT license, see LICENSE.
#
#    1  ENCODING     an event as the bytes of text/event-stream (HTML standard, section 9.2)
#    ---------- sans-I/O line
#    2  HUB          MicroWebEvents: what any thread has to tell, and a bounded queue for each client
#    3  SERVER       plugging in: HttpResponse.WriteResponseEventStream

import json
import sys

_MICROPYTHON = sys.implementation.name == "micropython"


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
            if _MICROPYTHON:
                data = json.dumps(data)
                if "nan" in data or "inf" in data:
                    json.loads(data)        # NaN is no JSON: ValueError
            else:
                data = json.dumps(data, allow_nan=False)
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

    async def aclose(self):
        if hasattr(self._events, "aclose"):
            await self._events.aclose()


def _Close(source):
    if hasattr(source, "close"):
        source.close()


# ---- sans-I/O line -----------------------------------------------------------

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
# Send may be called from any thread, and where there is no GIL the queues are only touched with the lock held. A full
# queue loses its oldest event: a client that is slow costs itself something, and nobody else.

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
        piece = _EventBytes(data, event, id, retry)
        with self._lock:
            queues = self._queues
            for queue in queues:
                queue._Push(piece, self._maxQueueLen)
        _Call(queues)
        return len(queues)

    def Count(self):
        """How many clients are subscribed."""
        return len(self._queues)

    def Close(self):
        """Ends every stream, after what is still queued. Who subscribes afterwards is served again."""
        with self._lock:
            queues = self._queues
            self._queues = []
            for queue in queues:
                queue._isEnded = True
        _Call(queues)


def _Call(queues):
    """One call to each engine that serves them."""
    called = None
    for queue in queues:
        if queue._streams is not called:
            called = queue._streams
            called._Call()


class _Queue:
    """One client: the events that it has not been sent yet. A source of its connection."""

    isEndless = True

    def __init__(self, hub, streams):
        self._hub = hub
        self._streams = streams
        self._pieces = []
        self._isEnded = self._isDue = False     # the end; a ping
        self._since = 0                         # of the silence
        self._connection = None
        with hub._lock:
            hub._queues = hub._queues + [self]  # never changed in place: Send walks over it

    def _Push(self, piece, most):
        """With the lock held."""
        pieces = self._pieces
        if len(pieces) >= most:
            pieces.pop(0)
        try:
            pieces.append(piece)
        except MemoryError:             # it can't grow: the oldest event goes, as if it were full
            pieces.pop(0)
            pieces.append(piece)

    def Start(self, connection):
        self._connection = connection
        self._since = self._streams._server.now
        self._streams._queues.append(self)

    def __next__(self):
        with self._hub._lock:
            piece = self._pieces.pop(0) if self._pieces else None
        if piece is None:
            if self._isEnded:
                raise StopIteration
            if not self._isDue:
                return None
            piece = _PING
        self._isDue = False
        self._since = self._streams._server.now
        return piece

    def close(self):
        """The client has gone, or the server stops; or nobody has accepted it."""
        hub = self._hub
        with hub._lock:
            hub._queues = [queue for queue in hub._queues if queue is not self]
        if self._connection:
            self._streams._queues.remove(self)
            self._connection = None


class _Streams:
    """The queues of one server; the list belongs to its engine."""

    def __init__(self, server):
        self._server = server
        self._queues = []
        self._isCalled = False          # and the call has not come yet
        self._lock = _NewLock()

    def _Call(self):
        with self._lock:
            if not self._isCalled:
                self._isCalled = self._server.CallSoon(self._Wake)

    def _Wake(self):
        with self._lock:
            self._isCalled = False
        for queue in list(self._queues):
            if queue._connection and (queue._pieces or queue._isEnded or queue._isDue):
                queue._connection.Resume()

    def _Tick(self):
        """Once a second."""
        for queue in self._queues:
            queue._isDue = self._server.now - queue._since >= queue._hub._pingSec
        self._Wake()                    # whom a call has missed, for want of memory


# ==============================================================================
# 3  SERVER
# ==============================================================================

def _WriteResponseEventStream(response, events, headers=None):
    """events: a MicroWebEvents, or an iterable of events; async ones need microWebAsync.py."""
    server = response.connection.server
    if isinstance(events, MicroWebEvents):
        source = _Queue(events, server.eventStreams)
    elif hasattr(events, "__aiter__"):
        source = server.AsyncSource(_EncodedAsync(events))
        source.isEndless = True
    else:
        try:
            source = _Encoded(iter(events))
        except TypeError:
            raise ValueError("events must be iterable, not %r" % (events,))
    # nginx would keep the head back until the first event: the second line tells it not to.
    return response.Answer(200, headers, "text/event-stream", None, b"", source, None,
                           b"Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n")


def Attach(server):
    """Called by a server when it is made: event streams are on."""
    server.eventStreams = _Streams(server)
    server.Ticks.append(server.eventStreams._Tick)
    server.Response.WriteResponseEventStream = _WriteResponseEventStream
