"""Replaces a board's hardware and network on both runtimes, for tests. On a desk, microwebsrv has its own stand-ins."""

import math
import time

STA_IF = 0
AP_IF = 1
STAT_IDLE, STAT_GOT_IP, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 0, 3, -2, -3
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
    """A value that oscillates between 0 and 65535 once a minute."""

    def __init__(self, pin):
        self.pin = pin

    def read_u16(self):
        return int(32768 + 30000 * math.sin(time.time() * math.pi / 30))


class WLAN:
    """A station that knows two networks, or an access point."""

    def __init__(self, kind=STA_IF):
        self.kind = kind
        self.isOn = False
        self.state = STAT_IDLE

    def active(self, isOn=None):
        if isOn is not None:
            self.isOn = isOn
        return self.isOn

    def config(self, *names, **values):
        return None

    def scan(self):
        return [(name.encode(), b"\0\0\0\0\0\0", 1, -50, 3, False) for name in sorted(NETWORKS)]

    def connect(self, name, password=None):
        if not isinstance(name, str):
            name = bytes(name).decode()
        self.state = (STAT_NO_AP_FOUND if name not in NETWORKS else
                      STAT_GOT_IP if NETWORKS[name] == (password or "") else STAT_WRONG_PASSWORD)

    def status(self):
        return self.state

    def isconnected(self):
        return self.state == STAT_GOT_IP

    def disconnect(self):
        self.state = STAT_IDLE

    def ifconfig(self):
        address = "127.0.0.1"
        return address, "255.0.0.0", address, address


def reset():
    print("Here a board starts again.")
