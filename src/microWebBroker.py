# One server of many, on CPython only: what it sends by Broadcast and by hubs of events reaches the clients of all
# processes and machines, over Redis, NATS or a broker of the program. And sessions in Redis. MIT license, see LICENSE.
#
#    1  MESSAGES   what goes over the broker
#    ---------- sans-I/O line
#    2  NODE       one server: it publishes, and gives its clients what the others have published
#    3  BROKERS    Publish, Subscribe, Close: in memory, Redis, NATS
#    4  SESSIONS   a store for microWebSession
#    5  SERVER     plugging in

import json
import os
import re


# ==============================================================================
# 1  MESSAGES
# ==============================================================================
# One line of JSON that says who has sent what, then the content as it is: {"from": …, "n": …, "kind": …, "path": …}

_KINDS = ("text", "binary", "event")
_MAX_HEAD = 65536           # bytes of the first line
_MAX_NUMBER = 1 << 62


def _Pack(sender, number, kind, path, content):
    """sender: text; number: 1, 2, … of this sender; path: of the WebSockets, None for all; content: bytes."""
    head = {"from": sender, "n": number, "kind": kind, "path": path}
    return json.dumps(head).encode() + b"\n" + content


def _Unpack(data):
    """-> (sender, number, kind, path, content); ValueError for what is not ours."""
    head, line, content = data.partition(b"\n")
    if not line or len(head) > _MAX_HEAD:
        raise ValueError("it has no head")
    try:
        head = json.loads(head)
        sender, number, kind, path = [head[name] for name in ("from", "n", "kind", "path")]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("its head is not ours")
    if not isinstance(sender, str) or not 0 < len(sender) <= 64 or type(number) is not int \
            or not 0 < number < _MAX_NUMBER or kind not in _KINDS or not (path is None or isinstance(path, str)):
        raise ValueError("its head is not ours")
    return sender, number, kind, path, content


def _UnpackEvent(content):
    """-> what MicroWebEvents.Send takes: (data, event, id, retry)"""
    try:
        event = json.loads(content)
        return event["data"], event["event"], event["id"], event["retry"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("it is no event")


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
# Publishing puts a message into the broker's queue and returns. What comes from the broker waits in a bounded list, and
# one call on the engine at a time takes from it: no thread of a broker ever waits for the engine, nor the other way.

_SHARE = 32                 # messages until others have their turn
_SENDERS_MAX = 4096         # whose last number is known
_NAME = re.compile("[A-Za-z0-9_-]+(?:[.][A-Za-z0-9_-]+)*")      # what is a part of a channel for Redis and NATS


_QUIET_SEC = 60             # between two lines about what is dropped


class _Losses:
    """Counts what is dropped. One line tells of the first at once, then there is at most one a minute."""

    def __init__(self):
        self._count = 0
        self._until = 0

    def Add(self, count=1):
        """-> how many to tell of now, or 0"""
        self._count += count
        now = time.monotonic()
        if not count or now < self._until:
            return 0
        self._until = now + _QUIET_SEC
        return self.Rest()

    def Rest(self):
        """-> how many nobody has told of"""
        count = self._count
        self._count = 0
        return count


class Node:
    """What UseBroker returns: the place of this server among the others."""

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
        self._isRefused = False                 # the broker has not taken the last one
        self._sending = threading.RLock()       # numbers go to the broker in their order; a log may send, too
        self._coming = threading.Lock()         # of all below
        self._seen = {}                         # (channel, sender) -> its last number; the oldest first
        self._inbox = deque()
        self._inboxLen = 0
        self._isCalled = False                  # a call on the engine is on its way
        self._late = _Losses()
        self._bad = _Losses()

    def IsConnected(self):
        """Do messages come and go now? None: the broker does not say."""
        return getattr(self._broker, "isConnected", None)

    # -- the life of the server

    def Start(self):
        """On the engine, when a run begins; the server calls it."""
        with self._sending:
            if self._process != os.getpid():    # a copy of a process is another sender
                self._process = os.getpid()
                self._sender = os.urandom(8).hex()
            self._isRunning = True
        self._broker.Subscribe(list(self._targets), self._OnMessage)

    def Stop(self):
        """At its end: what was published leaves, as far as that is possible in a second."""
        with self._sending:
            self._isRunning = False
        self._broker.Close()
        with self._coming:
            self._inbox.clear()
            self._inboxLen = 0
            self._isCalled = False

    def _Add(self, name, target):
        """-> the name of one more channel. target(kind, path, content) on the engine; ValueError: a bad message"""
        channel = self._prefix + "." + name
        self._targets[channel] = target
        if self._isRunning:
            self._broker.Subscribe(list(self._targets), self._OnMessage)
        return channel

    # -- sending

    def Share(self, name, hub):
        """From now on hub.Send reaches the clients of every server that shares a hub of this name."""
        _CheckName("name", name)
        if "Send" in vars(hub):
            raise ValueError("this hub is shared already")
        local = hub.Send

        def Target(kind, path, content):
            if kind != "event":
                raise ValueError("it is no event")
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
        """ValueError for what is too large."""
        if len(content) > self._maxMessageLen:
            raise ValueError("a message must have at most %d bytes (maxMessageLen), not %d" % (
                self._maxMessageLen, len(content)))

    def _Publish(self, channel, kind, path, content):
        """To the other servers; from any thread, waiting for nobody. Nothing, while the server does not run."""
        try:
            with self._sending:
                if self._isRunning:
                    self._number += 1
                    self._broker.Publish(channel, _Pack(self._sender, self._number, kind, path, content))
                    self._isRefused = False
        except Exception as error:              # of a program's own broker: who sends can't help it
            isFirst = not self._isRefused
            self._isRefused = True
            if isFirst:
                self._server.Log("the broker does not take messages", error)

    # -- receiving

    def _OnMessage(self, channel, data):
        """From the broker, on any thread; one at a time for each channel."""
        try:
            if len(data) > self._maxMessageLen + _MAX_HEAD:
                raise ValueError("it has %d bytes" % len(data))
            sender, number, kind, path, content = _Unpack(data)
        except ValueError as error:
            return self._Drop(channel, error)
        late = 0
        with self._coming:
            key = channel, sender
            if sender == self._sender or number <= self._seen.get(key, 0) or not self._isRunning:
                return                          # our own, or one that was sent again after a lost connection
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
            self._server.Log("%d of the others' messages dropped, the oldest: the server is behind" % late)

    def _Deliver(self):
        """On the engine: some of what waits."""
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
# A broker has three methods, called from any thread, and none of them waits for the network:
#
#    Publish(channel, data)          text, bytes
#    Subscribe(channels, callback)   from now on callback(channel, data) for these; a second call replaces the first
#    Close()                         no more; Subscribe begins anew. It may wait a second or two
#
# One that has an attribute Log gets the log of the server there.

class MemoryBroker:
    """For the servers of one process, in tests above all: those of one name are together."""

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


_BATCH_MAX = 100            # messages at once
_BATCH_LEN = 1 << 20        # bytes of them
_CONNECT_SEC = 5
_ANSWER_SEC = 10            # without any answer the broker is lost
_CLOSE_SEC = 1              # for what is still to be sent
_AGAIN_SEC = 2              # what was sent so shortly before the loss is sent again: nobody may have got it
_BACKOFF_SEC = 0.1          # doubled with each failure
_BACKOFF_MAX_SEC = 10


class _Remote:
    """A broker on the network: a thread with an asyncio loop, which connects again and again, and a bounded queue."""

    Log = None
    isConnected = False
    isForgetful = False     # the broker keeps nothing for who is away: the others have to be back before we send
    names = ""              # of the package, for pip

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
        self._flying = ()                       # [(channel, data), …], whose answer has not come
        self._recent = deque()                  # (when its answer has come, channel, data)
        self._loop = self._news = self._closing = self._thread = self._session = None
        self._isWoken = False
        self._pause = 0                         # seconds between the last two tries, at most
        self._isUp = None                       # what the log says; None: nothing yet

    # -- what a kind of broker has to have; all but Import in the loop

    def Import(self):
        """ImportError, if there is no such package."""

    async def Connect(self):
        """Connect, and subscribe to self.channels."""

    async def Receive(self):
        """Calls self.callback; raises when the connection is lost."""

    async def SendBatch(self, batch):
        """[(channel, data), …]: returns when the broker has them."""

    async def Disconnect(self):
        """Whatever state it is in."""

    # -- from any thread

    def Publish(self, channel, data):
        """The oldest message gives way where the queue is full."""
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
            self._Say("%d messages to the broker dropped, the oldest: the queue is full" % dropped)

    def Subscribe(self, channels, callback):
        with self._lock:
            self.channels = channels
            self.callback = callback
            if self._loop:                      # it runs: another connection, for other channels
                if self._session:
                    self._loop.call_soon_threadsafe(self._session.cancel)
                return
            self._loop = asyncio.new_event_loop()
            self._news = self._closing = None
            ready = threading.Event()
            self._thread = threading.Thread(target=self._Work, args=(ready,), name="microWebBroker", daemon=True)
            self._thread.start()
            ready.wait()                        # for its events, not for the network

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

    # -- its thread

    def _Say(self, text):
        if self.Log:
            self.Log(text)

    def _Where(self):
        """The address, without a password."""
        scheme, _, rest = self.url.partition("?")[0].partition("://")
        return scheme + "://" + rest.rpartition("@")[2]

    def _Work(self, ready):
        loop = self._loop
        try:
            loop.run_until_complete(self._Main(ready))
        finally:
            with self._lock:
                self._loop = None
            for task in asyncio.all_tasks(loop):            # of the package
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
            self._session = session = asyncio.ensure_future(self._Session())
            await asyncio.wait((session, closing), return_when=asyncio.FIRST_COMPLETED)
            if self._isUp:                      # it may send the rest
                await asyncio.wait([session], timeout=_CLOSE_SEC if closing.done() else None)
            wasUp = self._isUp
            session.cancel()
            await asyncio.wait([session], timeout=_CLOSE_SEC)
            error = None if session.cancelled() or not session.done() else session.exception()
            if closing.done() or error is None:             # None: other channels
                continue
            if self._isUp is not False:
                self._isUp = False
                self._Say("the broker %s is lost; clients of this server go on: %s" % (
                    self._Where(), error or type(error).__name__))
            failures = 0 if wasUp else failures + 1
            self._pause = min(_BACKOFF_MAX_SEC, _BACKOFF_SEC * 2 ** min(failures, 16))
            await asyncio.wait([closing], timeout=self._pause * random.uniform(0.5, 1))

    async def _Session(self):
        """One connection, to its end."""
        tasks = ()
        try:
            await asyncio.wait_for(self.Connect(), _CONNECT_SEC)
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
            finally:                            # also if this session is cancelled meanwhile
                try:
                    await asyncio.wait_for(self.Disconnect(), _CLOSE_SEC)
                except Exception:
                    pass                        # it is lost anyway

    async def _SendAll(self):
        """What waits, then what comes; returns when the broker is to be closed."""
        if self.isForgetful:                    # they have tried as often as we, or once more
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
        """After a loss: what the broker may have lost with it goes once more. Who has it knows it by its number."""
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
    """Redis 5 or newer, by streams: who was away for a moment reads on where he was. url: redis://, rediss://, unix://

    keep: messages that a channel has at least, for those who come back; keepSec: and how long, behind the last one."""

    names = "redis"

    def __init__(self, url, maxQueueLen=4 << 20, keep=4000, keepSec=60):
        super().__init__(url, maxQueueLen)
        self._keep = keep
        self._keepSec = keepSec
        self._places = {}                       # channel -> the identity of the last message
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
            # A Redis that has forgotten all begins anew, and so do we.
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
    """retry: the module of that name. Who connects again, and when, is decided here."""
    from redis.backoff import NoBackoff
    return retry.Retry(NoBackoff(), 0)


class NatsBroker(_Remote):
    """NATS. It keeps nothing: who is away misses what is said meanwhile. url: nats://, tls://"""

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
        if not self._isOpen:                    # else connect() would try again and again by itself
            raise error

    async def _OnLost(self):
        self._lost.set()

    async def Receive(self):
        tasks = [asyncio.ensure_future(self._Read(subscription)) for subscription in self._subscriptions]
        tasks.append(asyncio.ensure_future(self._lost.wait()))
        try:
            done = ()
            while not done and not self._client.is_closed:      # its end may come without a call of closed_cb
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
    """Sessions of UseSessions(mws, key, store=RedisStore(mws, url)), which all servers with this key share.

    timeoutSec: for a connection and for each answer; the engine waits for it. While Redis is down, who has a session
    gets a 503, and no new one is saved."""

    # Set does not raise: it is called in a hook of the answer, whose errors can't change that answer any more.

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
        self._until = self._failures = 0        # no try before that time

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
        """The answer, or a 503."""
        isKnown, answer = self._Ask(command, self._Key(id))
        if not isKnown:
            raise self._server.HttpError(503, "the store of the sessions is down")
        return answer

    def _Ask(self, *command):
        """-> (True, the answer), or (False, None) while Redis is down."""
        now = time.monotonic()
        if now < self._until:
            return False, None
        try:
            answer = self._client.execute_command(*command)
        except self._failure as error:
            self._failures += 1
            self._until = time.monotonic() + min(10, 2 ** min(self._failures - 1, 4))
            if self._failures == 1:
                self._server.Log("the Redis of the sessions is lost: %s" % (error or type(error).__name__))
            return False, None
        if self._failures:
            self._failures = 0
            self._server.Log("the Redis of the sessions is back")
        return True, answer


# ==============================================================================
# 5  SERVER
# ==============================================================================

def _CheckName(what, name):
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("%s must be letters, digits, '_', '-' and single dots, not %r" % (what, name))


def _UseBroker(server, broker, prefix="microwebsrv", hubs=None, maxMessageLen=1000000, maxQueueLen=4 << 20):
    """broker: the URL of a Redis or NATS, or an object with Publish, Subscribe and Close. hubs: name -> MicroWebEvents.
    maxMessageLen: bytes of one message; maxQueueLen: bytes that wait in each direction."""
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
    if hasattr(server, "Broadcast"):            # microWebSocketPlus is there
        _ShareBroadcast(server, node)
    for name in hubs or ():
        node.Share(name, hubs[name])
    _Follow(server, node)
    return node


def _ShareBroadcast(server, node):
    local = server.Broadcast

    def Target(kind, path, content):
        if kind == "event":
            raise ValueError("it is an event")
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
    """The node runs while the server runs."""
    enter = server.Enter
    leave = server.Leave

    def Enter():
        enter()
        node.Start()

    def Leave():
        if server.IsOnEngine():                 # else its run has ended already
            node.Stop()
        leave()

    server.Enter = Enter
    server.Leave = Leave
    if server.IsStarted():
        server.CallSoon(node.Start)


def Attach(server):
    """Called by a server when it is made; nothing is on until the program calls UseBroker."""
    type(server).UseBroker = _UseBroker
