"""Stands for a board's hardware and its network where there is none. The examples import it on a desk only."""

import math
import time

STA_IF = 0
AP_IF = 1
NETWORKS = {"Home": "correct horse", "<Neighbour> & Co": "unknown"}


class Pin:
    """A pin that remembers what was written to it."""

    IN = 0
    OUT = 1
    levels = {}

    def __init__(self, number, mode=IN, value=None):
        self.number = number
        if value is not None:
            self.levels[number] = value

    def value(self, level=None):
        if level is None:
            return self.levels.get(self.number, 0)
        self.levels[self.number] = 1 if level else 0


class ADC:
    """Something that goes up and down once a minute, between 0 and 65535."""

    def __init__(self, pin):
        self.pin = pin

    def read_u16(self):
        return int(32768 + 30000 * math.sin(time.time() * math.pi / 30))


class WLAN:
    """A station that knows two networks, or an access point."""

    def __init__(self, kind=STA_IF):
        self.kind = kind
        self.joined = False

    def active(self, isOn=None):
        return True

    def config(self, *names, **values):
        return None

    def scan(self):
        return [(name.encode(), b"\0\0\0\0\0\0", 1, -50, 3, False) for name in sorted(NETWORKS)]

    def connect(self, name, password):
        self.joined = NETWORKS.get(name) == password

    def isconnected(self):
        return self.joined

    def disconnect(self):
        self.joined = False

    def ifconfig(self):
        address = "127.0.0.1"
        return address, "255.0.0.0", address, address


def reset():
    print("Here a board starts again.")
