"""machine: pins that the page shows, buses with nothing on them, timers that are threads."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from microwebsrv.world import FALLING, RISING, WORLD, PinState

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
PIN_WAKE, RTC_WAKE, WLAN_WAKE = 2, 4, 1
IDLE, SLEEP, DEEPSLEEP = 1, 2, 4
RESTARTED = "MICROWEBSRV_RESTARTED"             # in the environment: why this process has been started anew


class Pin:
    """Pin(id, mode, pull, value=…)."""

    IN, OUT, OPEN_DRAIN, ALT, ANALOG = 0, 1, 2, 3, 4
    PULL_UP, PULL_DOWN, PULL_HOLD = 1, 2, 4
    IRQ_RISING, IRQ_FALLING, IRQ_LOW_LEVEL, IRQ_HIGH_LEVEL = RISING, FALLING, 4, 8
    DRIVE_0, DRIVE_1, DRIVE_2, DRIVE_3 = 0, 1, 2, 3

    def __init__(self, id: object, mode: int = -1, pull: int | None = -1, *, value: Any = None, **options: Any) -> None:
        self.id: Any = id.id if isinstance(id, Pin) else id
        self.state = WORLD.Pin(self.id)
        if mode != -1 or value is not None or pull != -1:
            self.init(mode, pull, value=value)
        WORLD.Touch()

    def init(self, mode: int = -1, pull: int | None = -1, *, value: Any = None, **options: Any) -> None:
        if mode != -1:
            self.state.mode = "out" if mode in (self.OUT, self.OPEN_DRAIN) else "in"
        if pull != -1:
            self.state.pull = {self.PULL_UP: "up", self.PULL_DOWN: "down"}.get(pull or 0, "")
        if value is not None:
            WORLD.SetLevel(self.state, int(bool(value)))
        WORLD.Touch()

    def value(self, level: Any = None) -> Any:
        if level is None:
            return self.state.Level()
        if self.state.mode != "in":
            WORLD.SetLevel(self.state, int(bool(level)))
        return None

    def __call__(self, level: Any = None) -> Any:
        return self.value(level)

    def on(self) -> None:
        self.value(1)

    def off(self) -> None:
        self.value(0)

    high, low = on, off

    def toggle(self) -> None:
        self.value(not self.state.Level())

    def irq(self, handler: Callable[[Any], object] | None = None, trigger: int = RISING | FALLING,
            **options: Any) -> Pin:
        self.state.interrupt = (handler, trigger, self) if handler else None
        WORLD.Touch()
        return self

    def mode(self, mode: int | None = None) -> int:
        if mode is not None:
            self.init(mode)
        return self.OUT if self.state.mode == "out" else self.IN

    def pull(self, pull: int | None = -1) -> None:
        self.init(pull=pull)

    def __repr__(self) -> str:
        return "Pin(%s)" % self.id


class Signal:
    """A pin whose levels may be turned round."""

    def __init__(self, pin: Any, *args: Any, invert: bool = False, **options: Any) -> None:
        self.pin = pin if isinstance(pin, Pin) else Pin(pin, *args, **options)
        self.invert = invert

    def value(self, level: Any = None) -> Any:
        if level is None:
            return int(self.pin.value() != self.invert)
        return self.pin.value(bool(level) != self.invert)

    __call__ = value

    def on(self) -> None:
        self.value(1)

    def off(self) -> None:
        self.value(0)


def _State(pin: Any, mode: str) -> PinState:
    state = WORLD.Pin(pin.id if isinstance(pin, Pin) else pin)
    state.mode = mode
    WORLD.Touch()
    return state


class PWM:
    """PWM(pin, freq=…, duty_u16=…)."""

    def __init__(self, pin: Any, freq: int = 5000, duty: int | None = None, duty_u16: int | None = None,
                 duty_ns: int | None = None, **options: Any) -> None:
        self.state = _State(pin, "pwm")
        self.init(freq, duty, duty_u16, duty_ns)

    def init(self, freq: int | None = None, duty: int | None = None, duty_u16: int | None = None,
             duty_ns: int | None = None, **options: Any) -> None:
        for method, value in ((self.freq, freq), (self.duty, duty), (self.duty_u16, duty_u16), (self.duty_ns, duty_ns)):
            if value is not None:
                method(value)

    def freq(self, hertz: int | None = None) -> int:
        if hertz is not None:
            self.state.freq = hertz
            WORLD.Touch()
        return int(self.state.freq)

    def _Duty(self, value: float | None, full: float) -> int:
        if value is not None:
            self.state.duty = min(1.0, max(0.0, value / full))
            WORLD.Touch()
        return round(self.state.duty * full)

    def duty(self, value: int | None = None) -> int:
        return self._Duty(value, 1023)

    def duty_u16(self, value: int | None = None) -> int:
        return self._Duty(value, 65535)

    def duty_ns(self, value: int | None = None) -> int:
        return self._Duty(value, 1e9 / (self.state.freq or 1))

    def deinit(self) -> None:
        self.state.duty = 0.0
        WORLD.Touch()


class ADC:
    """A voltage: a slider on the page; it goes up and down while nobody moves that."""

    ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = 0, 1, 2, 3
    WIDTH_9BIT, WIDTH_10BIT, WIDTH_11BIT, WIDTH_12BIT = 9, 10, 11, 12
    CORE_TEMP = "CORE_TEMP"

    def __init__(self, pin: Any = 0, *args: Any, **options: Any) -> None:
        self.state = _State(pin, "adc")
        self.bits = 12

    def read_u16(self) -> int:
        return round(self.state.Analog() * 65535)

    def read_uv(self) -> int:
        return round(self.state.Analog() * 3300000)

    def read(self) -> int:
        return round(self.state.Analog() * ((1 << self.bits) - 1))

    def atten(self, value: int) -> None:
        pass

    def width(self, bits: int) -> None:
        self.bits = bits

    def init(self, **options: Any) -> None:
        pass


class DAC:
    def __init__(self, pin: Any, bits: int = 8, **options: Any) -> None:
        self.state, self.bits = _State(pin, "dac"), bits

    def write(self, value: int) -> None:
        self.state.duty = value / ((1 << self.bits) - 1)
        WORLD.Touch()


class TouchPad:
    def __init__(self, pin: Any) -> None:
        self.state = _State(pin, "touch")

    def read(self) -> int:
        """Less where it is touched: below the half of its slider."""
        return round(self.state.Analog() * 1000)

    def config(self, threshold: int) -> None:
        pass


class I2C:
    """A bus with nothing on it, but for what a program puts into `devices`: {address: bytearray of registers}."""

    devices: dict[int, bytearray] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def init(self, *args: Any, **options: Any) -> None:
        pass

    def deinit(self) -> None:
        pass

    def scan(self) -> list[int]:
        return sorted(self.devices)

    def _Device(self, address: int) -> bytearray:
        if address not in self.devices:
            raise OSError(19, "ENODEV")
        return self.devices[address]

    def readfrom(self, addr: int, nbytes: int, stop: bool = True) -> bytes:
        return bytes(self._Device(addr)[:nbytes]).ljust(nbytes, b"\0")

    def readfrom_into(self, addr: int, buf: Any, stop: bool = True) -> None:
        buf[:] = self.readfrom(addr, len(buf))

    def writeto(self, addr: int, buf: Any, stop: bool = True) -> int:
        self._Device(addr)
        return len(buf)

    def readfrom_mem(self, addr: int, memaddr: int, nbytes: int, *, addrsize: int = 8) -> bytes:
        return bytes(self._Device(addr)[memaddr:memaddr + nbytes]).ljust(nbytes, b"\0")

    def readfrom_mem_into(self, addr: int, memaddr: int, buf: Any, *, addrsize: int = 8) -> None:
        buf[:] = self.readfrom_mem(addr, memaddr, len(buf))

    def writeto_mem(self, addr: int, memaddr: int, buf: Any, *, addrsize: int = 8) -> None:
        self._Device(addr)[memaddr:memaddr + len(buf)] = buf


SoftI2C = I2C


class SPI:
    """A bus on which nobody answers: what is read is zeros."""

    MSB, LSB, MASTER = 0, 1, 0

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    init = __init__

    def deinit(self) -> None:
        pass

    def read(self, nbytes: int, write: int = 0) -> bytes:
        return bytes(nbytes)

    def readinto(self, buf: Any, write: int = 0) -> None:
        buf[:] = bytes(len(buf))

    def write(self, buf: Any) -> int:
        return len(buf)

    def write_readinto(self, write_buf: Any, read_buf: Any) -> None:
        self.readinto(read_buf)


SoftSPI = SPI


class UART:
    """A serial line with nobody at its other end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    init = __init__

    def any(self) -> int:
        return 0

    def read(self, nbytes: int = -1) -> bytes | None:
        return None

    readline = read

    def readinto(self, buf: Any, nbytes: int = -1) -> int | None:
        return None

    def write(self, buf: Any) -> int:
        return len(buf)

    def deinit(self) -> None:
        pass


class Timer:
    ONE_SHOT, PERIODIC = 0, 1

    def __init__(self, id: int = -1, **options: Any) -> None:
        self._stopped: threading.Event | None = None
        if options:
            self.init(**options)

    def init(self, *, mode: int = PERIODIC, period: float = -1, freq: float = 0,
             callback: Callable[[Timer], object] | None = None, **options: Any) -> None:
        self.deinit()
        self._stopped = stopped = threading.Event()
        seconds = 1 / freq if freq else period / 1000

        def Run() -> None:
            due = time.monotonic() + seconds
            while not stopped.wait(max(0.0, due - time.monotonic())):
                if callback:
                    WORLD.Soon(lambda: None if stopped.is_set() else callback(self))
                if mode == self.ONE_SHOT:
                    return
                due = max(due + seconds, time.monotonic())
        threading.Thread(target=Run, daemon=True, name="timer").start()

    def deinit(self) -> None:
        if self._stopped:
            self._stopped.set()


class RTC:
    """The clock of this computer; datetime(tuple) moves ours away from it."""

    _shift = 0.0
    _memory = b""

    def __init__(self, id: int = 0, **options: Any) -> None:
        pass

    def datetime(self, moment: Any = None) -> Any:
        """(year, month, day, weekday, hours, minutes, seconds, subseconds)"""
        if moment:
            year, month, day, _, hour, minute, second = moment[:7]
            RTC._shift = time.mktime((year, month, day, hour, minute, second, 0, 0, -1)) - time.time()
            return None
        now = time.time() + RTC._shift
        one = time.localtime(now)
        return (one.tm_year, one.tm_mon, one.tm_mday, one.tm_wday, one.tm_hour, one.tm_min, one.tm_sec,
                int(now % 1 * 1000000))

    def init(self, moment: Any) -> None:
        self.datetime((*moment[:3], 0, *moment[3:6], 0))

    def memory(self, data: Any = None) -> Any:
        if data is None:
            return RTC._memory
        RTC._memory = bytes(data)
        return None


class WDT:
    """Says once when a board would have started again."""

    def __init__(self, id: int = 0, timeout: int = 5000) -> None:
        self._fed, self._timeout = time.monotonic(), timeout / 1000
        threading.Thread(target=self._Watch, daemon=True, name="watchdog").start()

    def feed(self) -> None:
        self._fed = time.monotonic()

    def _Watch(self) -> None:
        while time.monotonic() - self._fed < self._timeout:
            time.sleep(min(0.2, self._timeout / 4))
        print("microwebsrv: the watchdog was not fed for %g s: a board would start again" % self._timeout, flush=True)


# -- functions -----------------------------------------------------------------------

def reset() -> None:
    """The program starts again, in this process."""
    print("microwebsrv: machine.reset(): the program starts again", flush=True)
    sys.stderr.flush()
    os.environ[RESTARTED] = "1"
    os.execv(sys.executable, [sys.executable, "-m", "microwebsrv", *WORLD.words])


soft_reset = reset


def deepsleep(time_ms: int = 0) -> None:
    time.sleep(time_ms / 1000)
    reset()


def lightsleep(time_ms: int = 0) -> None:
    time.sleep(time_ms / 1000)


sleep = lightsleep


def idle() -> None:
    time.sleep(0.001)


def reset_cause() -> int:
    return SOFT_RESET if os.environ.get(RESTARTED) else PWRON_RESET


def wake_reason() -> int:
    return 0


def unique_id() -> bytes:
    return b"\xde\x5c\x00\x00\x00\x01"


_freq = [160000000]


def freq(hertz: int | None = None) -> int:
    if hertz:
        _freq[0] = hertz
    return _freq[0]


def disable_irq() -> int:
    return 0


def enable_irq(state: int) -> None:
    pass


def time_pulse_us(pin: Pin, level: int, timeout_us: int = 1000000) -> int:
    """What an ultrasonic sensor measures at 20 cm."""
    return 1166


def bitstream(pin: Pin, encoding: int, timing: Any, data: Any) -> None:
    pass
