"""esp: what programs for ESP8266 and ESP32 call at their start."""

from __future__ import annotations

from typing import Any

SLEEP_NONE, SLEEP_LIGHT, SLEEP_MODEM = 0, 1, 2
LOG_NONE, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_VERBOSE = 0, 1, 2, 3, 4, 5


def osdebug(uart: Any, level: int = LOG_ERROR) -> None:
    pass


def sleep_type(kind: int | None = None) -> int:
    return SLEEP_NONE


def flash_size() -> int:
    return 4 << 20


def flash_user_start() -> int:
    return 2 << 20


def freemem() -> int:
    return 100000


def neopixel_write(pin: Any, colors: Any, is800: bool = True) -> None:
    pass
