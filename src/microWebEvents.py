# Server-sent events for MicroWebSrv. Copy this file beside microWebSrv.py to get WriteResponseEventStream.
# MIT license, see LICENSE.
#
#    1  ENCODING     an event as the bytes of text/event-stream (HTML standard, section 9.2)
#    ---------- sans-I/O line
#    2  HUB          MicroWebEvents: events from any thread, and a bounded queue for each client
#    3  SERVER       HttpResponse.WriteResponseEventStream; Attach

import json
import sys

_MICROPYTHON = sys.implementation.name == "micropython"


# ==============================================================================
# 1  ENCODING
# ==============================================================================
# Values -> bytes. ValueError for a value that would start a new line.

_PING = b":\n\n"            # a comment: browsers ignore it, it keeps proxies open and finds lost clients


def _EventBytes(data, event=None, id=None, retry=None):
    """data: a str, or a value for JSON; None: no data. -> bytes of one event (HTML standard, section 9.2.5)."""
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
                    json.loads(data)        # NaN is not JSON: ValueError
            else:
                data = json.dumps(data, allow_nan=False)
        for line in data.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            lines.append("data: " + line)
    return ("\n".join(lines) + "\n\n").encode()


def _ItemBytes(item):
    """item: a dict with data, event, id, retry, or anything else as the data."""
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
    """An async iterator of events as an async iterator of bytes."""

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
        """The lock of a runtime without threads."""

        def __enter__(self):
            pass

        def __exit__(self, *args):
            pass


# ==============================================================================
# 2  HUB
# ==============================================================================
# Send may be called from any thread; without a GIL the queues need the lock. A full queue drops its oldest event, so a
# slow client harms only itself.

class MicroWebEvents:
    """Sends events to all subscribed clients. maxQueueLen: events that may wait for a slow client. pingSec: seconds of
    silence before a comment is sent, which finds clients that have left. ValueError if one of them is not positive."""

    def __init__(self, maxQueueLen=16, pingSec=15):
        if maxQueueLen < 1 or pingSec <= 0:
            raise ValueError("maxQueueLen and pingSec must be positive")
        self._maxQueueLen = maxQueueLen
        self._pingSec = pingSec
        self._queues = []
        self._lock = _NewLock()

    def Send(self, data, event=None, id=None, retry=None):
        """Send an event to every client, from any thread. data: a str, or a value for JSON; retry: milliseconds. -> the
        number of clients."""
        piece = _EventBytes(data, event, id, retry)
        with self._lock:
            queues = self._queues
            for queue in queues:
                queue._Push(piece, self._maxQueueLen)
        _Call(queues)
        return len(queues)

    def Count(self):
        """The number of subscribed clients."""
        return len(self._queues)

    def Close(self):
        """End every stream after its queued events. Later subscribers are served again."""
        with self._lock:
            queues = self._queues
            self._queues = []
            for queue in queues:
                queue._isEnded = True
        _Call(queues)


def _Call(queues):
    """One call to each engine whose streams are among the queues."""
    called = None
    for queue in queues:
        if queue._streams is not called:
            called = queue._streams
            called._Call()


class _Queue:
    """The unsent events of one client, and the source of its response."""

    isEndless = True

    def __init__(self, hub, streams):
        self._hub = hub
        self._streams = streams
        self._pieces = []
        self._isEnded = self._isDue = False     # end after the queued events; a ping is due
        self._since = 0                         # when the silence began
        self._connection = None
        with hub._lock:
            hub._queues = hub._queues + [self]  # a new list, because Send iterates over the old one

    def _Push(self, piece, most):
        """Add an event. The lock is held."""
        pieces = self._pieces
        if len(pieces) >= most:
            pieces.pop(0)
        try:
            pieces.append(piece)
        except MemoryError:             # the list can't grow: drop the oldest event, as if it were full
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
        """The client left, the server stops, or the response was refused."""
        hub = self._hub
        with hub._lock:
            hub._queues = [queue for queue in hub._queues if queue is not self]
        if self._connection:
            self._streams._queues.remove(self)
            self._connection = None


class _Streams:
    """The queues of one server, used on its engine only."""

    def __init__(self, server):
        self._server = server
        self._queues = []
        self._isCalled = False          # a call is on its way to the engine
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
        """Once a second: find the queues that need a ping."""
        for queue in self._queues:
            queue._isDue = self._server.now - queue._since >= queue._hub._pingSec
        self._Wake()                    # also queues whose call failed for lack of memory


# ==============================================================================
# 3  SERVER
# ==============================================================================

def _WriteResponseEventStream(response, events, headers=None):
    """WriteResponseEventStream: events is a MicroWebEvents or an iterable of events. An async iterable needs
    microWebAsync.py."""
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
    """Called by each new server: enables event streams."""
    server.eventStreams = _Streams(server)
    server.Ticks.append(server.eventStreams._Tick)
    server.Response.WriteResponseEventStream = _WriteResponseEventStream
