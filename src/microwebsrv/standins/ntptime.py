"""ntptime: this computer knows the time."""

from __future__ import annotations

import time as _time

host = "pool.ntp.org"
timeout = 1


def time() -> int:
    return int(_time.time())


def settime() -> None:
    pass
