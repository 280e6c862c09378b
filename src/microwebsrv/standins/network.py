"""network: a Wi-Fi with three networks around; each takes any password but `wrong password`."""

from __future__ import annotations

import time
from typing import Any

from microwebsrv.world import NETWORKS, WORLD, WRONG_PASSWORD

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD, STAT_CONNECT_FAIL = 200, 201, 202, 203
AUTH_OPEN, AUTH_WEP, AUTH_WPA_PSK, AUTH_WPA2_PSK, AUTH_WPA_WPA2_PSK = 0, 1, 2, 3, 4
AUTH_WPA3_PSK, AUTH_WPA2_WPA3_PSK = 6, 7
MODE_11B, MODE_11G, MODE_11N = 1, 2, 4
JOIN_SEC = 0.3                      # as a program sees it: not at once
ADDRESS = ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")
AP_ADDRESS = ("127.0.0.1", "255.255.255.0", "127.0.0.1", "127.0.0.1")

_names = {"hostname": "desk", "country": "XX"}


class WLAN:
    """A station or an access point; there is one of each, however often it is made."""

    IF_STA, IF_AP = STA_IF, AP_IF
    SEC_OPEN, SEC_WPA, SEC_WPA2, SEC_WPA_WPA2, SEC_WPA3 = 0, 2, 3, 4, 6
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = 0, 1, 2
    _made: dict[int, WLAN] = {}

    def __new__(cls, interface_id: int = STA_IF) -> WLAN:
        if interface_id not in cls._made:
            one = cls._made[interface_id] = super().__new__(cls)
            one._kind = interface_id
            one._isActive = False
            one._status = STAT_IDLE
            one._since, one._name = 0.0, ""
            one._settings = {"essid": "ESP_DESK", "channel": 6, "mac": b"\xde\x5c\0\0\0" + bytes((interface_id + 1,)),
                             "security": 0, "hidden": False, "txpower": 20.0, "pm": 1, "max_clients": 4}
            one._address = AP_ADDRESS if interface_id == AP_IF else ADDRESS
        return cls._made[interface_id]

    _kind: int
    _isActive: bool
    _status: int
    _since: float
    _name: str
    _settings: dict[str, Any]
    _address: tuple[str, ...]

    def active(self, is_active: Any = None) -> bool:
        if is_active is not None:
            self._isActive = bool(is_active)
            if not is_active:
                self._status = STAT_IDLE
            self._Show()
        return self._isActive

    def scan(self) -> list[tuple[bytes, bytes, int, int, int, bool]]:
        """(ssid, bssid, channel, RSSI, security, hidden)"""
        if not self._isActive:
            raise OSError("Wifi Not Started")
        return [(name.encode(), b"\xde\x5c\0\0\1" + bytes((index,)), 1 + 5 * index, -50 - 12 * index,
                 AUTH_WPA2_PSK if isSecret else AUTH_OPEN, False)
                for index, (name, isSecret) in enumerate(NETWORKS.items())]

    def connect(self, ssid: Any = None, key: Any = None, *, bssid: Any = None, **options: Any) -> None:
        """Networks that no scan shows can be joined, too: the program has those of its own home."""
        name = ssid.decode() if isinstance(ssid, bytes) else ssid or self._name
        password = key.decode() if isinstance(key, bytes) else key or options.get("password") or ""
        if not self._isActive:
            raise OSError("Wifi Not Started")
        isWrong = password == WRONG_PASSWORD or NETWORKS.get(name) and not password
        self._name, self._since = name, time.monotonic()
        self._status = STAT_WRONG_PASSWORD if isWrong else STAT_GOT_IP
        self._Show()

    def disconnect(self) -> None:
        self._status, self._name = STAT_IDLE, ""
        self._Show()

    def isconnected(self) -> bool:
        if self._kind == AP_IF:
            return False                        # no station has joined
        return bool(self.status() == STAT_GOT_IP)

    def status(self, param: str | None = None) -> Any:
        if param == "rssi":
            return -50
        if param == "stations":
            return []
        if self._status != STAT_IDLE and time.monotonic() - self._since < JOIN_SEC:
            return STAT_CONNECTING
        return self._status

    def ifconfig(self, config: Any = None) -> Any:
        if config is None:
            return self._address if self._kind == AP_IF or self.isconnected() else ("0.0.0.0",) * 4
        return None                             # whatever it asks for: on a desk it stays this computer

    def ipconfig(self, param: str | None = None, **values: Any) -> Any:
        address = self.ifconfig()
        return {"addr4": address[:2], "gw4": address[2], "has_dhcp4": True, "dhcp4": True, "addr6": [],
                "dns": address[3]}.get(param) if param else None

    def config(self, param: str | None = None, **values: Any) -> Any:
        if param is not None:
            value = {"ssid": "essid", "dhcp_hostname": "hostname"}.get(param, param)
            if value == "essid" and self._kind == STA_IF:
                return self._name
            return _names["hostname"] if value == "hostname" else self._settings[value]
        for name, value in values.items():
            if name in ("dhcp_hostname", "hostname"):
                _names["hostname"] = value
            else:
                self._settings["essid" if name == "ssid" else name] = value
        self._Show()
        return None

    def _Show(self) -> None:
        """What the page says of the Wi-Fi."""
        if self._kind == AP_IF:
            WORLD.wifi["access point"] = str(self._settings["essid"]) if self._isActive else "off"
        elif not self._isActive:
            WORLD.wifi["station"] = "off"
        else:
            WORLD.wifi["station"] = {STAT_GOT_IP: "joined %s", STAT_WRONG_PASSWORD: "wrong password for %s"}.get(
                self._status, "on%.0s") % self._name
        WORLD.Touch()


class LAN:
    """A cable that is plugged in."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._isActive = False

    def active(self, is_active: Any = None) -> bool:
        if is_active is not None:
            self._isActive = bool(is_active)
        return self._isActive

    def isconnected(self) -> bool:
        return self._isActive

    def status(self) -> int:
        return STAT_GOT_IP if self._isActive else STAT_IDLE

    def ifconfig(self, config: Any = None) -> Any:
        return ADDRESS if config is None else None

    def config(self, param: str | None = None, **values: Any) -> Any:
        return b"\xde\x5c\0\0\0\3" if param == "mac" else None


def hostname(name: str | None = None) -> str:
    if name is not None:
        _names["hostname"] = name
    return _names["hostname"]


def country(code: str | None = None) -> str:
    if code is not None:
        _names["country"] = code
    return _names["country"]


def phy_mode(mode: int | None = None) -> int:
    return MODE_11N
