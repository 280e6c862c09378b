# Features that the WebAssembly build of MicroPython lacks and that programs without a network need. Its own asyncio
# waits for browser timers; this one has tasks, events and a clock that jumps when all tasks sleep.

import binascii
import hashlib
import os
import sys
import time


class CancelledError(BaseException):
    pass


class TimeoutError(Exception):
    pass


class _Task:
    def __init__(self, coro):
        self.isDone = False
        self.error = None
        self.value = None
        self.waiters = []
        self._coro = coro
        self._thrown = None             # an exception for its next step
        self.At(_core.now)
        _core.tasks.append(self)

    def At(self, time):
        """Schedule its next step at this time, after others with the same time. None: when it is woken."""
        _core.turn += 1
        self.turn = time, _core.turn

    def Wake(self):
        self.At(_core.now)

    def done(self):
        return self.isDone

    def cancel(self):
        if not self.isDone:
            self._thrown = CancelledError()
            self.Wake()
        return not self.isDone

    def __iter__(self):
        while not self.isDone:
            self.waiters.append(_core.cur_task)
            yield None
        if self.error:
            raise self.error
        return self.value

    __await__ = __iter__

    def Step(self):
        thrown, self._thrown = self._thrown, None
        self.At(None)
        _core.cur_task = self
        try:
            seconds = self._coro.throw(thrown) if thrown else self._coro.send(None)
            if self.turn[0] is None and seconds is not None:
                self.At(_core.now + seconds)
        except StopIteration as error:
            self._End(None, error.value)
        except BaseException as error:
            self._End(error, None)
        finally:
            _core.cur_task = None

    def _End(self, error, value):
        self.isDone, self.error, self.value = True, error, value
        _core.tasks.remove(self)
        for waiter in self.waiters:
            waiter.Wake()


class _Core:
    now = 0
    turn = 0
    cur_task = None
    tasks = []


class Event:
    def __init__(self):
        self._isSet = False
        self._waiters = []

    def is_set(self):
        return self._isSet

    def set(self):
        self._isSet = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.Wake()

    def clear(self):
        self._isSet = False

    def wait(self):
        while not self._isSet:
            self._waiters.append(_core.cur_task)
            yield None
        return True


def create_task(coro):
    return _Task(coro)


def sleep(seconds):
    until = _core.now + seconds
    yield seconds
    while _core.now < until:            # an earlier time was meant
        yield until - _core.now


def _Pause(seconds):
    yield seconds


async def wait_for(awaitable, seconds):
    task = create_task(awaitable)
    until = _core.now + seconds
    while not task.isDone:
        task.waiters.append(_core.cur_task)
        await _Pause(until - _core.now)
        if _core.now >= until and not task.isDone:
            task.cancel()
            raise TimeoutError
    return await task


def run(coro):
    _core.tasks = []                    # waiting tasks are dropped
    main = create_task(coro)
    while not main.isDone:
        turns = [task.turn for task in _core.tasks if task.turn[0] is not None]
        if not turns:
            raise RuntimeError("everybody waits for ever")
        first = min(turns)
        _core.now = max(_core.now, first[0])
        for task in _core.tasks:
            if task.turn == first:
                task.Step()
                break
    if main.error:
        raise main.error
    return main.value


class _Listener:
    """A socket without clients."""

    def __init__(self, *args):
        pass

    setsockopt = bind = listen = setblocking = close = __init__


def _GetAddrInfo(host, port, family=0, kind=0):
    return [(2, kind, 0, "", (host, port))]


def _FromBase64(data):
    """Like the C version: accepts text, too, and raises ValueError."""
    try:
        return binascii.a2b_base64(data.encode() if isinstance(data, str) else data)
    except Exception as error:
        raise ValueError(error)


class _Sha1:
    def __init__(self, data):
        self._data = data

    def digest(self):
        """FIPS 180-4, section 6.1."""
        data = self._data + b"\x80" + bytes(-(len(self._data) + 9) % 64) + (len(self._data) * 8).to_bytes(8, "big")
        state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]
        for at in range(0, len(data), 64):
            words = [int.from_bytes(data[at + n:at + n + 4], "big") for n in range(0, 64, 4)]
            for n in range(16, 80):
                words.append(_Rotated(words[n - 3] ^ words[n - 8] ^ words[n - 14] ^ words[n - 16], 1))
            a, b, c, d, e = state
            for n in range(80):
                if n < 20:
                    f, k = b & c | ~b & d, 0x5a827999
                elif 40 <= n < 60:
                    f, k = b & c | b & d | c & d, 0x8f1bbcdc
                else:
                    f, k = b ^ c ^ d, 0x6ed9eba1 if n < 40 else 0xca62c1d6
                a, b, c, d, e = _Rotated(a, 5) + f + e + k + words[n] & 0xffffffff, a, _Rotated(b, 30), c, d
            state = [old + new & 0xffffffff for old, new in zip(state, (a, b, c, d, e))]
        return b"".join([word.to_bytes(4, "big") for word in state])


def _Rotated(word, count):
    return (word << count | word >> 32 - count) & 0xffffffff


def _Seconds():
    return 1795000000 + time.ticks_ms() // 1000         # a clock that was set


def _GmTime(seconds=None):
    """Seconds since 1970 -> (year, month, day, hour, minute, second, weekday, day of the year)."""
    days, rest = divmod(_Seconds() if seconds is None else seconds, 86400)
    year, day = 1970, days
    while day >= 365 + (year % 4 == 0):         # until 2100
        day -= 365 + (year % 4 == 0)
        year += 1
    month, left = 1, day
    for length in (31, 28 + (year % 4 == 0), 31, 30, 31, 30, 31, 31, 30, 31, 30):
        if left < length:
            break
        left -= length
        month += 1
    return year, month, left + 1, rest // 3600, rest // 60 % 60, rest % 60, (days + 3) % 7, day + 1


def _Random(size):
    """Different bytes each time, which is sufficient here."""
    _core.turn += 1
    return _Sha1(b"%d %d" % (_core.turn, time.ticks_us())).digest()[:size]


class _Module:
    def __init__(self, name, **attributes):
        for attribute in attributes:
            setattr(self, attribute, attributes[attribute])
        sys.modules[name] = self


_core = _Core()
_Module("asyncio", core=_core, CancelledError=CancelledError, TimeoutError=TimeoutError, Event=Event, run=run,
        create_task=create_task, sleep=sleep, wait_for=wait_for)
_Module("socket", SOCK_STREAM=1, SOL_SOCKET=1, SO_REUSEADDR=2, socket=_Listener, getaddrinfo=_GetAddrInfo)
_Module("binascii", a2b_base64=_FromBase64, b2a_base64=binascii.b2a_base64, hexlify=binascii.hexlify,
        unhexlify=binascii.unhexlify)
if not hasattr(os, "urandom"):
    _Module("os", urandom=_Random, **{name: getattr(os, name) for name in dir(os)})
if not hasattr(hashlib, "sha1"):
    _Module("hashlib", sha1=_Sha1, **{name: getattr(hashlib, name) for name in dir(hashlib)})
if not hasattr(time, "time"):           # 1.20
    _Module("time", time=_Seconds, gmtime=_GmTime, **{name: getattr(time, name) for name in dir(time)})
