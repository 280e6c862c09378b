"""dht: temperature and humidity, which the page can change."""

from __future__ import annotations

from typing import Any

from microwebsrv.standins.machine import Pin
from microwebsrv.world import WORLD


class DHTBase:
    def __init__(self, pin: Any) -> None:
        self.pin = pin
        if isinstance(pin, Pin):
            pin.state.mode = "sensor"           # the page shows what it measures
        self._values = (0.0, 0.0)

    def measure(self) -> None:
        self._values = WORLD.Sensor("temperature", 21.5), WORLD.Sensor("humidity", 45.0)

    def temperature(self) -> float:
        return self._values[0]

    def humidity(self) -> float:
        return self._values[1]


class DHT22(DHTBase):
    """Tenths of a degree and of a percent."""


class DHT11(DHTBase):
    """Whole degrees, whole percent."""

    def temperature(self) -> int:
        return int(self._values[0])

    def humidity(self) -> int:
        return int(self._values[1])
