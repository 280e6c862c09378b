"""Simulates a relay and a sensor on a PC without the command microwebsrv."""

import math
import time


class Pin:
    """A pin that remembers what was written to it."""

    IN = 0
    OUT = 1

    def __init__(self, number, mode=IN, value=0):
        self.level = value

    def value(self, level=None):
        if level is None:
            return self.level
        self.level = 1 if level else 0


class ADC:
    """A value between 0 and 65535 that goes up and down once a minute."""

    def __init__(self, pin):
        self.pin = pin

    def read_u16(self):
        return int(32768 + 30000 * math.sin(time.time() * math.pi / 30))
