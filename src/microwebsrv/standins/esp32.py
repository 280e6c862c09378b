"""esp32: values that stay in a hidden file of the folder, two partitions in memory, a temperature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from microwebsrv.world import WORLD

WAKEUP_ALL_LOW, WAKEUP_ANY_HIGH = False, True
HEAP_DATA, HEAP_EXEC = 4, 2
NVS_FILE = ".nvs.json"              # hidden: no request reaches it, and no push copies it


def raw_temperature() -> int:
    """Fahrenheit, as the ESP32 has it."""
    return round(WORLD.Sensor("chip", 40.0) * 9 / 5 + 32)


def mcu_temperature() -> int:
    return round(WORLD.Sensor("chip", 40.0))


def hall_sensor() -> int:
    return 0


def idf_heap_info(capabilities: int) -> list[tuple[int, int, int, int]]:
    return [(200000, 100000, 65536, 90000)]


def wake_on_ext0(pin: Any = None, level: Any = None) -> None:
    pass


def wake_on_ext1(pins: Any = None, level: Any = None) -> None:
    pass


def wake_on_touch(wake: bool) -> None:
    pass


def gpio_deep_sleep_hold(enable: bool) -> None:
    pass


class NVS:
    """Numbers and bytes by their names; commit() writes them."""

    def __init__(self, namespace: str) -> None:
        self._name, self._path = namespace, Path.cwd() / NVS_FILE
        self._values: dict[str, Any] = self._Load().get(namespace, {})

    def _Load(self) -> dict[str, dict[str, Any]]:
        try:
            found: dict[str, dict[str, Any]] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def _Get(self, key: str, kind: type) -> Any:
        value = self._values.get(key)
        if not isinstance(value, kind):
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        return value

    def set_i32(self, key: str, value: int) -> None:
        self._values[key] = int(value)

    def get_i32(self, key: str) -> int:
        return int(self._Get(key, int))

    def set_blob(self, key: str, value: Any) -> None:
        self._values[key] = bytes(value).hex()

    def get_blob(self, key: str, buffer: Any) -> int:
        data = bytes.fromhex(self._Get(key, str))
        buffer[:len(data)] = data
        return len(data)

    def erase_key(self, key: str) -> None:
        if key not in self._values:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        del self._values[key]

    def commit(self) -> None:
        whole = self._Load()
        whole[self._name] = self._values
        self._path.write_text(json.dumps(whole), encoding="utf-8")


class Partition:
    """Two places for a firmware, in the memory of this process."""

    BOOT, RUNNING = 0, 1
    TYPE_APP, TYPE_DATA = 0, 1
    BLOCK_LEN, SIZE = 4096, 1 << 20
    _data: dict[str, bytearray] = {}
    _boot, _running = "ota_0", "ota_0"

    def __init__(self, id: Any) -> None:
        self._label = {self.BOOT: Partition._boot, self.RUNNING: Partition._running}.get(id, str(id))

    def info(self) -> tuple[int, int, int, int, str, bool]:
        return self.TYPE_APP, 16, 0x10000, self.SIZE, self._label, False

    def get_next_update(self) -> Partition:
        return Partition("ota_1" if self._label == "ota_0" else "ota_0")

    def set_boot(self) -> None:
        Partition._boot = self._label

    @staticmethod
    def mark_app_valid_cancel_rollback() -> None:
        pass

    @staticmethod
    def find(type: int = TYPE_APP, subtype: int = 255, label: str | None = None, **options: Any) -> list[Partition]:
        return [Partition(name) for name in ("ota_0", "ota_1") if label in (None, name)]

    def _Bytes(self) -> bytearray:
        return self._data.setdefault(self._label, bytearray(b"\xff" * self.SIZE))

    def readblocks(self, block: int, buffer: Any, offset: int = 0) -> None:
        start = block * self.BLOCK_LEN + offset
        buffer[:] = self._Bytes()[start:start + len(buffer)]

    def writeblocks(self, block: int, buffer: Any, offset: int = 0) -> None:
        start = block * self.BLOCK_LEN + offset
        self._Bytes()[start:start + len(buffer)] = buffer

    def ioctl(self, op: int, arg: int = 0) -> int | None:
        if op == 4:
            return self.SIZE // self.BLOCK_LEN
        if op == 5:
            return self.BLOCK_LEN
        if op == 6:
            self.writeblocks(arg, b"\xff" * self.BLOCK_LEN)
            return 0
        return None
