"""neopixel: a strip of lights that the page shows."""

from __future__ import annotations

from typing import Any

from microwebsrv.standins.machine import Pin
from microwebsrv.world import WORLD


class NeoPixel:
    ORDER = (1, 0, 2, 3)

    def __init__(self, pin: Any, n: int, bpp: int = 3, timing: int = 1) -> None:
        self.pin, self.n, self.bpp = pin, n, bpp
        self.state = WORLD.Pin(pin.id if isinstance(pin, Pin) else pin)
        self.state.mode = "neopixel"
        self._pixels: list[tuple[int, ...]] = [(0,) * bpp] * n
        self.write()

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[int, ...]:
        return self._pixels[index]

    def __setitem__(self, index: int, color: Any) -> None:
        if len(color) != self.bpp:
            raise ValueError("a colour has %d numbers" % self.bpp)
        self._pixels[index] = tuple(int(one) & 255 for one in color)

    def fill(self, color: Any) -> None:
        for index in range(self.n):
            self[index] = color

    def write(self) -> None:
        """They are shown only now."""
        self.state.colors = list(self._pixels)
        WORLD.Touch()
