# Connects many servers, on CPython only: messages of Broadcast and of event hubs reach the clients of all processes and
# machines, over Redis, NATS or the program's own broker. Also keeps sessions in Redis. MIT license, see LICENSE.
#
#    1  MESSAGES   the format of a message
#    ---------- sans-I/O line
#    2  NODE       one server: publishes its messages, delivers those of the others
#    3  BROKERS    Publish, Subscribe, Close: in memory, Redis, NATS
#    4  SESSIONS   a store for microWebSession
#    5  SERVER     UseBroker, Attach

import json
import os
import re


# ==============================================================================
# 1  MESSAGES
# ==============================================================================
# A message is one line of JSON, {"from": …, "n": …, "kind": …, "path": …}, followed by the content.

_KINDS = ("text", "binary", "event")
_MAX_HEAD = 65536           # bytes of the first line
_MAX_NUMBER = 1 << 62


def _Pack(sender, number, kind, path, content):
    """sender: str; number: 1, 2, … for each sender; path: of the WebSockets, None for all; content: bytes."""
    head = {"from": sender, "n": number, "kind": kind, "path": path}
    return json.dumps(head).encode() + b"\n" + content


def _Unpack(data):
    """-> (sender, number, kind, path, content). ValueError for an invalid message."""
    head, line, content = data.partition(b"\n")
    if not line or len(head) > _MAX_HEAD:
        raise ValueError("no first line")
    try:
        head = json.loads(head)
        sender, number, kind, path = [head[name] for name in ("from", "n", "kind", "path")]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("invalid first line") from None
    if not isinstance(sender, str) or not 0 < len(sender) <= 64 or type(number) is not int \
            or not 0 < number < _MAX_NUMBER or kind not in _KINDS or not (path is None or isinstance(path, str)):
        raise ValueError("invalid first line")
    return sender, number, kind, path, content


def _UnpackEvent(content):
    """-> (data, event, id, retry), the arguments of MicroWebEvents.Send. ValueError for an invalid event."""
    try:
        event = json.loads(content)
        return event["data"], event["event"], event["id"], event["retry"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("not an event") from None


def _Text(value):
    return None if value is None else str(value)


# ---- sans-I/O line -----------------------------------------------------------

import asyncio
import random
import threading
import time
from collections import deque


# ==============================================================================
# 2  NODE
# ==============================================================================
# Publish puts a message into the broker's queue and returns. Messages from the broker are put into a bounded list,
# which is processed by one call on the engine at a time. So no broker thread waits for the engine, and the engine does
# not wait for a broker.

_SHARE = 32                 # messages before connections get their turn
_SENDERS_MAX = 4096         # senders whose last number is remembered
_NAME = re.compile("[A-Za-z0-9_-]+(?:[.][A-Za-z0-9_-]+)*")      # valid in a channel name of Redis and NATS


_QUIET_SEC = 60             # between two log lines about dropped messages


class _Losses:
    """Counts dropped messages. The first one is logged at once, then there is at most one line a minute."""

    def __init__(self):
        self._count = 0
        self._until = 0

    def Add(self, count=1):
        """-> number of drops to log now, or 0"""
        self._count += count
        now = time.monotonic()
        if not count or now < self._until:
            return 0
        self._until = now + _QUIET_SEC
        return self.Rest()

    def Rest(self):
        """-> number of drops that were not logged yet"""
        count = self._count
        self._count = 0
        return count


class Node:
    """One server among the others. UseBroker returns it."""

    def __init__(self, server, broker, prefix, maxMessageLen, maxQueueLen):
        self._server = server
        self._broker = broker
        self._prefix = prefix
        self._maxMessageLen = maxMessageLen
        self._maxQueueLen = maxQueueLen         # bytes
        self._targets = {}                      # channel -> function (kind, path, content)
        self._isRunning = False
        self._process = self._sender = None
        self._number = 0
        self._isRefused = False                 # the broker refused the last message
        self._sending = threading.RLock()       # keeps the numbers in order; re-entrant, because ErrorCallback may send
        self._coming = threading.Lock()         # guards the attributes below
        self._seen = {}                         # (channel, sender) -> last number; oldest sender first
        self._inbox = deque()
        self._inboxLen = 0
        self._isCalled = False                  # a call to the engine is queued
        self._late = _Losses()
        self._bad = _Losses()

    def IsConnected(self):
        """True if messages are exchanged now; None if the broker does not tell."""
        return getattr(self._broker, "isConnected", None)

    # -- the life of the server

    def Start(self):
        """Called on the engine when a run begins."""
        with self._sending:
            if self._process != os.getpid():    # a forked process is another sender
                self._process = os.getpid()
                self._sender = os.urandom(8).hex()
            self._isRunning = True
        self._broker.Subscribe(list(self._targets), self._OnMessage)

    def Stop(self):
        """Called when the run ends. Queued messages get about a second to be sent."""
        with self._sending:
            self._isRunning = False
        self._broker.Close()
        with self._coming:
            self._inbox.clear()
            self._inboxLen = 0
            self._isCalled = False

    def _Add(self, name, target):
        """Add a channel -> its name. target(kind, path, content) is called on the engine; it raises ValueError for an
        invalid message."""
        channel = self._prefix + "." + name
        self._targets[channel] = target
        if self._isRunning:
            self._broker.Subscribe(list(self._targets), self._OnMessage)
        return channel

    # -- sending

    def Share(self, name, hub):
        """From now on hub.Send reaches the clients of all servers that share a hub under this name. ValueError for a
        bad name or a shared hub."""
        _CheckName("name", name)
        if "Send" in vars(hub):
            raise ValueError("this hub is shared already")
        local = hub.Send

        def Target(kind, path, content):
            if kind != "event":
                raise ValueError("not an event")
            local(*_UnpackEvent(content))

        def Send(data, event=None, id=None, retry=None):
            content = json.dumps({"data": data, "event": _Text(event), "id": _Text(id), "retry": _Text(retry)}).encode()
            self._Check(content)
            count = local(data, event, id, retry)
            self._Publish(channel, "event", None, content)
            return count

        channel = self._Add("events." + name, Target)
        hub.Send = Send

    def _Check(self, content):
        """ValueError if content is too large."""
        if len(content) > self._maxMessageLen:
            raise ValueError("a message must have at most %d bytes (maxMessageLen), not %d" % (
                self._maxMessageLen, len(content)))

    def _Publish(self, channel, kind, path, content):
        """Send to the other servers; thread-safe and non-blocking. Does nothing while the server does not run."""
        try:
            with self._sending:
                if self._isRunning:
                    self._number += 1
                    self._broker.Publish(channel, _Pack(self._sender, self._number, kind, path, content))
                    self._isRefused = False
        except Exception as error:              # raised by the program's own broker; the sender can't handle it
            isFirst = not self._isRefused
            self._isRefused = True
            if isFirst:
                self._server.Log("the broker refuses messages", error)

    # -- receiving

    def _OnMessage(self, channel, data):
        """Called by the broker on any thread, one at a time for each channel."""
        try:
            if len(data) > self._maxMessageLen + _MAX_HEAD:
                raise ValueError("%d bytes are too many" % len(data))
            sender, number, kind, path, content = _Unpack(data)
        except ValueError as error:
            return self._Drop(channel, error)
        late = 0
        with self._coming:
            key = channel, sender
            if sender == self._sender or number <= self._seen.get(key, 0) or not self._isRunning:
                return                          # our own message, or one repeated after a lost connection
            self._seen.pop(key, None)
            if len(self._seen) >= _SENDERS_MAX:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = number
            self._inbox.append((channel, kind, path, content))
            self._inboxLen += len(content)
            while self._inboxLen > self._maxQueueLen and len(self._inbox) > 1:
                self._inboxLen -= len(self._inbox.popleft()[3])
                late += 1
            if not self._isCalled:
                self._isCalled = self._server.CallSoon(self._Deliver)
            late = self._late.Add(late)
        if late:
            self._server.Log("the server is too slow: the %d oldest messages of other servers were dropped" % late)

    def _Deliver(self):
        """On the engine: handle some of the queued messages."""
        for _ in range(_SHARE):
            with self._coming:
                if not self._inbox:
                    self._isCalled = False
                    return
                channel, kind, path, content = self._inbox.popleft()
                self._inboxLen -= len(content)
            try:
                self._targets[channel](kind, path, content)
            except ValueError as error:
                self._Drop(channel, error)
        with self._coming:
            self._isCalled = self._server.CallSoon(self._Deliver)

    def _Drop(self, channel, error):
        with self._coming:
            bad = self._bad.Add()
        if bad:
            self._server.Log("%d bad messages dropped, the last one on the channel %s: %s" % (bad, channel, error))


# ==============================================================================
# 3  BROKERS
# ==============================================================================
# A broker has three methods. They are called from any thread and must not wait for the network:
#
#    Publish(channel, data)          channel: str, data: bytes
#    Subscribe(channels, callback)   call callback(channel, data) for these channels; replaces an earlier subscription
#    Close()                         end; may take a second or two. Subscribe starts again
#
# If it has an attribute Log, that is set to the log of the server.

class MemoryBroker:
    """Connects the servers of one process that use the same name; for tests."""

    _members = []

    def __init__(self, name=""):
        self._name = name
        self._channels = ()
        self._callback = None

    def Publish(self, channel, data):
        for member in list(self._members):
            if member._name == self._name and channel in member._channels:
                member._callback(channel, data)

    def Subscribe(self, channels, callback):
        self._channels = channels
        self._callback = callback
        if self not in self._members:
            self._members.append(self)

    def Close(self):
        if self in self._members:
            self._members.remove(self)


_BATCH_MAX = 100            # messages sent together
_BATCH_LEN = 1 << 20        # bytes sent together
_CONNECT_SEC = 5
_ANSWER_SEC = 10            # without a reply in this time the broker counts as lost
_CLOSE_SEC = 1              # for the rest of the queue
_AGAIN_SEC = 2              # messages sent so shortly before a loss are sent again, since they may be lost
_BACKOFF_SEC = 0.1          # doubled with each failure
_BACKOFF_MAX_SEC = 10


def _Task(coroutine):
    """A task. If it fails while the one that waits for it is cancelled, asyncio does not log the exception."""
    task = asyncio.ensure_future(coroutine)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


class _Remote:
    """A broker on the network. A thread with an asyncio loop keeps reconnecting; messages wait in a bounded queue."""

    Log = None
    isConnected = False
    isForgetful = False     # the broker stores no messages, so wait until the others are back before sending
    names = ""              # of the package for pip

    def __init__(self, url, maxQueueLen=4 << 20):
        try:
            self.Import()
        except ImportError as error:
            raise ImportError("a broker with %s: needs a package: pip install %s (%s)" % (
                url.partition(":")[0], self.names, error)) from None
        self.url = url
        self.channels = ()
        self.callback = None
        self._maxQueueLen = maxQueueLen         # bytes
        self._lock = threading.Lock()
        self._queue = deque()
        self._queueLen = self._recentLen = 0
        self._losses = _Losses()
        self._flying = ()                       # [(channel, data), …] sent, but not confirmed
        self._recent = deque()                  # (time of the confirmation, channel, data)
        self._loop = self._news = self._closing = self._thread = self._session = None
        self._isWoken = False
        self._pause = 0                         # the longest pause in seconds before the last attempt
        self._isUp = None                       # state that was logged; None: none yet

    # -- overridden for each kind of broker; all but Import run in the loop

    def Import(self):
        """ImportError if the package is missing."""

    async def Connect(self):
        """Connect, and subscribe to self.channels."""

    async def Receive(self):
        """Call self.callback for each message. Raises when the connection is lost."""

    async def SendBatch(self, batch):
        """Send [(channel, data), …]; return when the broker has confirmed them."""

    async def Disconnect(self):
        """Close, in any state."""

    # -- from any thread

    def Publish(self, channel, data):
        """Queue a message. If the queue is full, the oldest one is dropped."""
        with self._lock:
            self._queue.append((channel, data))
            self._queueLen += len(data)
            dropped = 0
            while self._queueLen > self._maxQueueLen and len(self._queue) > 1:
                self._queueLen -= len(self._queue.popleft()[1])
                dropped += 1
            dropped = self._losses.Add(dropped)
            if self._loop and not self._isWoken:
                self._isWoken = True
                self._loop.call_soon_threadsafe(self._news.set)
        if dropped:
            self._Say("the queue to the broker is full: the %d oldest messages were dropped" % dropped)

    def Subscribe(self, channels, callback):
        with self._lock:
            self.channels = channels
            self.callback = callback
            if self._loop:                      # already running: reconnect for the new channels
                if self._session:
                    self._loop.call_soon_threadsafe(self._session.cancel)
                return
            self._loop = asyncio.new_event_loop()
            self._news = self._closing = None
            ready = threading.Event()
            self._thread = threading.Thread(target=self._Work, args=(ready,), name="microWebBroker", daemon=True)
            self._thread.start()
            ready.wait()                        # until the Event objects exist

    def Close(self):
        with self._lock:
            if self._loop:
                self._loop.call_soon_threadsafe(self._closing.set)
                self._loop.call_soon_threadsafe(self._news.set)
            thread = self._thread
        if thread and thread is not threading.current_thread():
            thread.join(2 * _CLOSE_SEC + 1)
        with self._lock:
            self._queue.clear()
            self._recent.clear()
            self._flying = ()
            self._queueLen = self._recentLen = 0
            self._isUp = None

    # -- in the thread

    def _Say(self, text):
        if self.Log:
            self.Log(text)

    def _Where(self):
        """The URL without user, password and query."""
        scheme, _, rest = self.url.partition("?")[0].partition("://")
        return scheme + "://" + rest.rpartition("@")[2]

    def _Work(self, ready):
        loop = self._loop
        try:
            loop.run_until_complete(self._Main(ready))
        finally:
            with self._lock:
                self._loop = None
            for task in asyncio.all_tasks(loop):            # tasks of the package
                task.cancel()
                loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            loop.close()

    async def _Main(self, ready):
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        ready.set()
        closing = asyncio.ensure_future(self._closing.wait())
        failures = 0
        while not closing.done():
            self._session = session = _Task(self._Session())
            await asyncio.wait((session, closing), return_when=asyncio.FIRST_COMPLETED)
            if self._isUp:                      # it may still be sending
                await asyncio.wait((session,), timeout=_CLOSE_SEC if closing.done() else None)
            wasUp = self._isUp
            session.cancel()
            await asyncio.wait([session], timeout=_CLOSE_SEC)
            error = None if session.cancelled() or not session.done() else session.exception()
            if closing.done() or error is None:             # None: reconnect for other channels
                continue
            if self._isUp is not False:
                self._isUp = False
                self._Say("the broker %s is lost; this server continues without it: %s" % (
                    self._Where(), error or type(error).__name__))
            failures = 0 if wasUp else failures + 1
            self._pause = min(_BACKOFF_MAX_SEC, _BACKOFF_SEC * 2 ** min(failures, 16))
            await asyncio.wait([closing], timeout=self._pause * random.uniform(0.5, 1))

    async def _Session(self):
        """One connection, from start to end."""
        tasks = ()
        try:
            await asyncio.wait_for(_Task(self.Connect()), _CONNECT_SEC)
            tasks = asyncio.ensure_future(self.Receive()), asyncio.ensure_future(self._SendAll())
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.isConnected = False
            self._Forget(time.monotonic())
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:                            # even if this task is cancelled meanwhile
                try:
                    await asyncio.wait_for(_Task(self.Disconnect()), _CLOSE_SEC)
                except Exception:
                    pass                        # the connection is lost anyway

    async def _SendAll(self):
        """Send the queued messages, then new ones. Returns when the broker is being closed."""
        if self.isForgetful:                    # the others reconnect within this time
            await asyncio.sleep(2 * self._pause)
        self._pause = 0
        self._Again()
        while True:
            self._news.clear()
            with self._lock:
                self._isWoken = False
            while self._queue:
                await self._SendSome()
            if self._isUp is False:
                dropped = self._losses.Rest()
                self._Say("the broker %s is back%s" % (
                    self._Where(), "; %d more messages to it were dropped" % dropped if dropped else ""))
            self._isUp = self.isConnected = True
            if self._closing.is_set():
                return
            await self._news.wait()

    def _Again(self):
        """After a loss: send messages again that the broker may have lost. Receivers drop duplicates by number."""
        with self._lock:
            again = [(channel, data) for _, channel, data in self._recent] + list(self._flying)
            self._recent.clear()
            self._recentLen = 0
            self._flying = ()
            self._queue.extendleft(reversed(again))
            self._queueLen += sum(len(data) for _, data in again)

    async def _SendSome(self):
        batch = []
        size = 0
        with self._lock:
            while self._queue and len(batch) < _BATCH_MAX and size < _BATCH_LEN:
                batch.append(self._queue.popleft())
                size += len(batch[-1][1])
            self._queueLen -= size
            self._flying = batch
        await self.SendBatch(batch)
        now = time.monotonic()
        self._flying = ()
        for channel, data in batch:
            self._recent.append((now, channel, data))
            self._recentLen += len(data)
        self._Forget(now)

    def _Forget(self, now):
        while self._recent and (self._recent[0][0] < now - _AGAIN_SEC or self._recentLen > self._maxQueueLen):
            self._recentLen -= len(self._recent.popleft()[2])


class RedisBroker(_Remote):
    """Redis 5 or newer, with streams: a server that was disconnected for a moment continues where it stopped. url:
    redis://, rediss://, unix://

    keep: minimum number of messages that a channel keeps for reconnecting servers; keepSec: for how long after the last
    one."""

    names = "redis"

    def __init__(self, url, maxQueueLen=4 << 20, keep=4000, keepSec=60):
        super().__init__(url, maxQueueLen)
        self._keep = keep
        self._keepSec = keepSec
        self._places = {}                       # channel -> id of the last message read
        self._reader = self._writer = None

    def Import(self):
        import redis.asyncio
        return redis

    def Close(self):
        super().Close()
        self._places = {}

    def _Client(self):
        redis = self.Import()
        return redis.asyncio.Redis.from_url(
            self.url, single_connection_client=True, protocol=2, socket_timeout=_ANSWER_SEC,
            socket_connect_timeout=_CONNECT_SEC, retry=_NoRetry(redis.asyncio.retry))

    async def Connect(self):
        self._reader = self._Client()
        self._writer = self._Client()
        await self._writer.ping()
        for channel in self.channels:
            newest = await self._reader.xrevrange(channel, count=1)
            newest = newest[0][0] if newest else b"0-0"
            place = self._places.get(channel, newest)
            # if Redis was emptied, start at the beginning
            self._places[channel] = b"0-0" if _Order(newest) < _Order(place) else place

    async def Receive(self):
        places = {channel: self._places[channel] for channel in self.channels}
        while True:
            if not places:
                await asyncio.sleep(3600)
                continue
            for channel, entries in await self._reader.xread(places, _BATCH_MAX, _ANSWER_SEC * 500):
                channel = channel.decode()
                for place, fields in entries:
                    self._places[channel] = places[channel] = place
                    self.callback(channel, (fields or {}).get(b"d", b""))

    async def SendBatch(self, batch):
        pipe = self._writer.pipeline(transaction=False)
        for channel, data in batch:
            pipe.xadd(channel, {"d": data}, maxlen=self._keep)
        for channel in {channel for channel, _ in batch}:
            pipe.expire(channel, self._keepSec)
        await pipe.execute()

    async def Disconnect(self):
        for client in (self._reader, self._writer):
            if client:
                await client.aclose()
        self._reader = self._writer = None


def _Order(place):
    """b'1700000000000-5' -> (1700000000000, 5)"""
    return tuple(map(int, place.split(b"-")))


def _NoRetry(retry):
    """retry: the module redis.asyncio.retry or redis.retry. _Remote decides when to reconnect."""
    from redis.backoff import NoBackoff
    return retry.Retry(NoBackoff(), 0)


class NatsBroker(_Remote):
    """NATS stores no messages: a server that is disconnected misses them. url: nats://, tls://"""

    names = "nats-py"
    isForgetful = True

    def __init__(self, url, maxQueueLen=4 << 20):
        super().__init__(url, maxQueueLen)
        self._client = self._lost = self._reason = None
        self._subscriptions = ()
        self._isOpen = False

    def Import(self):
        import nats
        return nats

    async def Connect(self):
        self._lost = asyncio.Event()
        self._reason = None
        self._client = self.Import().NATS()
        await self._client.connect(
            self.url, allow_reconnect=False, connect_timeout=_CONNECT_SEC, ping_interval=_ANSWER_SEC // 2,
            max_outstanding_pings=1, error_cb=self._OnError, disconnected_cb=self._OnLost, closed_cb=self._OnLost)
        self._isOpen = True
        self._subscriptions = [await self._client.subscribe(channel) for channel in self.channels]
        await self._client.flush(_ANSWER_SEC)

    async def _OnError(self, error):
        self._reason = error
        if not self._isOpen:                    # otherwise connect() would keep retrying by itself
            raise error

    async def _OnLost(self):
        self._lost.set()

    async def Receive(self):
        tasks = [asyncio.ensure_future(self._Read(subscription)) for subscription in self._subscriptions]
        tasks.append(asyncio.ensure_future(self._lost.wait()))
        try:
            done = ()
            while not done and not self._client.is_closed:      # closed_cb is not always called
                done, _ = await asyncio.wait(tasks, timeout=1, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        raise ConnectionError(str(self._reason or "the connection has ended"))

    async def _Read(self, subscription):
        while True:
            message = await subscription.next_msg(None)
            self.callback(message.subject, message.data)

    async def SendBatch(self, batch):
        for channel, data in batch:
            if len(data) > self._client.max_payload:
                self._Say("a message of %d bytes is too large for the broker" % len(data))
            else:
                await self._client.publish(channel, data)
        await self._client.flush(_ANSWER_SEC)

    async def Disconnect(self):
        self._isOpen = False
        if self._client:
            await self._client.close()
        self._client = None


_SCHEMES = {"redis": RedisBroker, "rediss": RedisBroker, "unix": RedisBroker, "nats": NatsBroker, "tls": NatsBroker}


# ==============================================================================
# 4  SESSIONS
# ==============================================================================

class RedisStore:
    """Sessions in Redis, shared by all servers with the same key: UseSessions(mws, key, store=RedisStore(mws, url)).

    timeoutSec: for connecting and for each reply; the engine waits for these. While Redis is down, requests with a
    session get 503 and new sessions are not saved."""

    # Set raises nothing: it is called in an After hook, whose exceptions can't change the response any more.

    def __init__(self, mws, url, prefix="microwebsrv.session.", timeoutSec=0.25):
        try:
            import redis.retry
        except ImportError as error:
            raise ImportError("RedisStore needs a package: pip install redis (%s)" % error) from None
        self._server = mws
        self._prefix = prefix
        self._failure = redis.RedisError, OSError
        self._client = redis.Redis.from_url(
            url, protocol=2, socket_timeout=timeoutSec, socket_connect_timeout=timeoutSec, retry=_NoRetry(redis.retry))
        self._until = self._failures = 0        # no attempt before _until

    def Get(self, id):
        """The text of a session; None if there is none."""
        return self._Sure("GET", id)

    def Set(self, id, text, maxAgeSec):
        self._Ask("SET", self._Key(id), text, "EX", maxAgeSec)

    def Delete(self, id):
        self._Sure("DEL", id)

    def _Key(self, id):
        return self._prefix + id.hex()

    def _Sure(self, command, id):
        """The reply of Redis. HttpError 503 if there is none."""
        isKnown, answer = self._Ask(command, self._Key(id))
        if not isKnown:
            raise self._server.HttpError(503, "the session store is down")
        return answer

    def _Ask(self, *command):
        """-> (True, reply), or (False, None) while Redis is down."""
        now = time.monotonic()
        if now < self._until:
            return False, None
        try:
            answer = self._client.execute_command(*command)
        except self._failure as error:
            self._failures += 1
            self._until = time.monotonic() + min(10, 2 ** min(self._failures - 1, 4))
            if self._failures == 1:
                self._server.Log("the session store (Redis) is lost: %s" % (error or type(error).__name__))
            return False, None
        if self._failures:
            self._failures = 0
            self._server.Log("the session store (Redis) is back")
        return True, answer


# ==============================================================================
# 5  SERVER
# ==============================================================================

def _CheckName(what, name):
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("%s must be letters, digits, '_', '-' and single dots, not %r" % (what, name))


def _UseBroker(server, broker, prefix="microwebsrv", hubs=None, maxMessageLen=1000000, maxQueueLen=4 << 20):
    """Connect this server with others. broker: the URL of Redis or NATS, or an object with Publish, Subscribe and
    Close. hubs: name -> MicroWebEvents. maxMessageLen: bytes of one message; maxQueueLen: bytes queued in each
    direction. ValueError for an invalid argument. -> Node"""
    if hasattr(server, "broker"):
        raise ValueError("this server has a broker already")
    _CheckName("prefix", prefix)
    if isinstance(broker, str):
        scheme, mark, name = broker.partition("://")
        if not mark or scheme not in _SCHEMES and scheme != "memory":
            raise ValueError("broker must be a URL of %s or memory, not of %r" % (", ".join(_SCHEMES), scheme))
        if scheme == "memory":
            broker = MemoryBroker(name)
        else:
            broker = _SCHEMES[scheme](broker, maxQueueLen)
    if hasattr(broker, "Log"):
        broker.Log = server.Log
    server.broker = node = Node(server, broker, prefix, maxMessageLen, maxQueueLen)
    if hasattr(server, "Broadcast"):            # set by microWebSocketPlus
        _ShareBroadcast(server, node)
    for name in hubs or ():
        node.Share(name, hubs[name])
    _Follow(server, node)
    return node


def _ShareBroadcast(server, node):
    local = server.Broadcast

    def Target(kind, path, content):
        if kind == "event":
            raise ValueError("an event on the channel of Broadcast")
        local(content.decode() if kind == "text" else content, path)

    def Broadcast(data, path=None):
        isText = isinstance(data, str)
        content = data.encode() if isText else bytes(memoryview(data))
        node._Check(content)
        node._Publish(channel, "text" if isText else "binary", path, content)
        local(data, path)

    channel = node._Add("websockets", Target)
    server.Broadcast = Broadcast


def _Follow(server, node):
    """Start and stop the node together with the server."""
    enter = server.Enter
    leave = server.Leave

    def Enter():
        enter()
        node.Start()

    def Leave():
        if server.IsOnEngine():                 # otherwise the run has already ended
            node.Stop()
        leave()

    server.Enter = Enter
    server.Leave = Leave
    if server.IsStarted():
        server.CallSoon(node.Start)


def Attach(server):
    """Called by each new server. A program connects it with UseBroker."""
    type(server).UseBroker = _UseBroker
