"""The state that the stand-ins of a board share: pins, sensors, Wi-Fi. The page of pins shows and changes it."""

from __future__ import annotations

import math
import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

RISING, FALLING = 1, 2

# The networks in range: {name: has a password}. Every password is right, except this one.
NETWORKS = {"Home": True, "<Neighbour> & Co": True, "Guests": False}
WRONG_PASSWORD = "wrong password"


class PinState:
    """One pin. `mode` is in, out, pwm, adc, dac, touch or neopixel."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mode = "in"
        self.pull = ""
        self.level = 0
        self.isSet = False                      # a level was set; otherwise the pull of an input determines it
        self.freq, self.duty = 0, 0.0           # PWM: Hz, and 0 to 1
        self.analog: float | None = None        # 0 to 1; None: it oscillates
        self.colors: list[tuple[int, ...]] = []
        self.interrupt: tuple[Callable[[Any], object], int, Any] | None = None      # handler, edges, argument

    def Level(self) -> int:
        if self.mode == "in" and not self.isSet:
            return int(self.pull == "up")
        return self.level

    def Analog(self) -> float:
        """0 to 1. Before it is set, the value oscillates with a period of a minute."""
        if self.analog is not None:
            return self.analog
        return 0.5 + 0.45 * math.sin(time.time() * math.pi / 30 + len(self.name))

    def Shown(self) -> dict[str, Any]:
        return {"name": self.name, "mode": self.mode, "pull": self.pull, "level": self.Level(), "freq": self.freq,
                "duty": self.duty, "analog": self.Analog(), "isTurned": self.analog is not None,
                "colors": [list(color) for color in self.colors], "hasInterrupt": self.interrupt is not None}


class World:
    """The state behind the stand-ins. Each change wakes the callers of Next()."""

    def __init__(self) -> None:
        self.pins: dict[str, PinState] = {}
        self.sensors: dict[str, float] = {}
        self.wifi: dict[str, str] = {}
        self.words: list[str] = []              # the command line, to start it again
        self.onFirst: Callable[[], None] = lambda: None     # called for the first pin: opens the page
        self._changed = threading.Condition()
        self._count = 0
        self._calls: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = queue.SimpleQueue()
        self._caller: threading.Thread | None = None

    # -- for the stand-ins ---------------------------------------------------------

    def Pin(self, name: object) -> PinState:
        with self._changed:
            isFirst = not self.pins
            pin = self.pins.setdefault(str(name), PinState(str(name)))
        if isFirst:
            self.onFirst()
        return pin

    def Sensor(self, name: str, value: float) -> float:
        """The value set on the page, else the given one."""
        if name not in self.sensors:
            self.sensors[name] = value
            self.Touch()
        return self.sensors[name]

    def SetLevel(self, pin: PinState, level: int) -> None:
        """Set a level, from the program or the page, and call the interrupt handler of its edge."""
        old, pin.isSet = pin.Level(), True
        pin.level = level
        if old != level:
            self.Touch()
            edge = RISING if level else FALLING
            if pin.interrupt and pin.interrupt[1] & edge:
                self.Soon(pin.interrupt[0], pin.interrupt[2])

    def Touch(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def Soon(self, function: Callable[..., object], *args: Any) -> None:
        """Run a function of an interrupt or a timer in one thread, one after another, like MicroPython's scheduler."""
        with self._changed:
            if not self._caller:
                self._caller = threading.Thread(target=self._CallAll, daemon=True, name="interrupts")
                self._caller.start()
        self._calls.put((function, args))

    def _CallAll(self) -> None:
        while True:
            function, args = self._calls.get()
            try:
                function(*args)
            except BaseException:               # raised by the program, which continues as on a board
                traceback.print_exc()

    # -- for the page ----------------------------------------------------------------

    def Next(self, seen: int, patienceSec: float) -> int:
        """Wait for a change -> the number of changes."""
        with self._changed:
            self._changed.wait_for(lambda: self._count != seen, patienceSec)
            return self._count

    def Shown(self) -> dict[str, Any]:
        with self._changed:
            pins = list(self.pins.values())
        return {"pins": [pin.Shown() for pin in pins], "sensors": dict(self.sensors), "wifi": dict(self.wifi)}

    def Change(self, kind: str, name: str, value: float) -> bool:
        """Apply a click: level, analog or sensor. False: there is no such pin or sensor."""
        pin = self.pins.get(name)
        if kind == "level" and pin and pin.mode == "in":
            self.SetLevel(pin, int(bool(value)))
        elif kind == "analog" and pin and pin.mode in ("adc", "touch"):
            pin.analog = min(1.0, max(0.0, value))
            self.Touch()
        elif kind == "sensor" and name in self.sensors:
            self.sensors[name] = value
            self.Touch()
        else:
            return False
        return True


WORLD = World()
