"""Makes a CPython process look like a board: modules, names, paths. Only for the process that runs the program."""

from __future__ import annotations

import asyncio
import builtins
import gc
import importlib
import importlib.abc
import importlib.util
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from microwebsrv.paths import Paths

STANDINS = ("dht", "esp", "esp32", "machine", "micropython", "neopixel", "network", "ntptime")
# Modules that older programs import with a u in front.
WITH_U = ("asyncio", "binascii", "collections", "errno", "hashlib", "heapq", "io", "json", "os", "random", "re",
          "select", "socket", "ssl", "struct", "sys", "time", "zlib")
TICKS = 1 << 30                     # the ticks of MicroPython wrap around here
HEAP = 4 << 20                      # bytes of the pretended heap


class Finder(importlib.abc.MetaPathFinder):
    """The last finder: a program's own machine.py takes precedence."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name not in STANDINS:
            return None
        place = Path(__file__).with_name("standins") / (name + ".py")
        whole = "microwebsrv.standins." + name
        spec = importlib.util.spec_from_loader(name, _Alias(whole), origin=str(place))
        return spec


class _Alias(importlib.abc.Loader):
    """Loads a stand-in under its short name: `machine` gets all names of microwebsrv.standins.machine."""

    def __init__(self, whole: str) -> None:
        self._whole = whole

    def exec_module(self, module: ModuleType) -> None:
        names = vars(importlib.import_module(self._whole))
        vars(module).update({name: value for name, value in names.items() if not name.startswith("__")})


# -- time, asyncio -----------------------------------------------------------------

def _Time() -> dict[str, Callable[..., Any]]:
    def Diff(a: int, b: int) -> int:
        return (a - b + TICKS // 2) % TICKS - TICKS // 2
    mktime = time.mktime
    return {
        "sleep_ms": lambda ms: time.sleep(max(0, ms) / 1000),
        "sleep_us": lambda us: time.sleep(max(0, us) / 1000000),
        "ticks_ms": lambda: time.monotonic_ns() // 1000000 % TICKS,
        "ticks_us": lambda: time.monotonic_ns() // 1000 % TICKS,
        "ticks_cpu": lambda: time.monotonic_ns() % TICKS,
        "ticks_add": lambda ticks, delta: (ticks + delta) % TICKS,
        "ticks_diff": Diff,
        "mktime": lambda parts: mktime(tuple((*parts, -1, -1)[:9])),
    }


class ThreadSafeFlag:
    """An event that an interrupt may set. wait() clears it."""

    def __init__(self) -> None:
        self._isSet = threading.Event()

    def set(self) -> None:
        self._isSet.set()

    def clear(self) -> None:
        self._isSet.clear()

    async def wait(self) -> None:
        while not self._isSet.is_set():
            await asyncio.sleep(0.005)
        self._isSet.clear()


def _EventLoop() -> asyncio.AbstractEventLoop:
    """Also works before a loop runs, because programs call it then."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if not _loops:
            _loops.append(asyncio.new_event_loop())
            asyncio.set_event_loop(_loops[0])
        return _loops[0]


_loops: list[asyncio.AbstractEventLoop] = []


def _Asyncio() -> dict[str, Any]:
    async def Sleep(ms: int) -> None:
        await asyncio.sleep(max(0, ms) / 1000)

    async def WaitFor(awaitable: Awaitable[Any], ms: int) -> Any:
        return await asyncio.wait_for(awaitable, ms / 1000)
    return {"sleep_ms": Sleep, "wait_for_ms": WaitFor, "ThreadSafeFlag": ThreadSafeFlag, "get_event_loop": _EventLoop}


# -- os, sys, gc, built-in names ------------------------------------------------------

def _ListDir(path: str = ".") -> Iterator[tuple[str, int, int, int]]:
    """os.ilistdir: (name, 0x4000 or 0x8000, inode, size)."""
    for entry in os.scandir(path):
        isFolder = entry.is_dir()
        yield entry.name, 0x4000 if isFolder else 0x8000, 0, 0 if isFolder else entry.stat().st_size


def _Bind(bind: Callable[..., None]) -> Callable[..., None]:
    """Ports below 1024 need privileges, so 8000 is added: a program that binds 53 gets 8053."""
    def Bind(sock: Any, address: Any) -> None:
        try:
            bind(sock, address)
        except PermissionError:
            bind(sock, (address[0], address[1] + 8000))
            print("microwebsrv: port %d of the program is %d here" % (address[1], address[1] + 8000), flush=True)
    return Bind


def _PrintException(error: BaseException, file: Any = None) -> None:
    traceback.print_exception(type(error), error, error.__traceback__, file=file or sys.stdout)


def _Threshold(*amount: int) -> int:
    return -1


def _Names() -> dict[Any, dict[str, Any]]:
    """{module or class: names to add}"""
    const = lambda value: value  # noqa: E731
    pointers = dict.fromkeys(("ptr", "ptr8", "ptr16", "ptr32", "uint"), const)
    return {
        time: _Time(),
        asyncio: _Asyncio(),
        os: {"ilistdir": _ListDir, "dupterm": lambda *args: None, "mount": lambda *args, **options: None,
             "umount": lambda path: None},
        sys: {"print_exception": _PrintException},
        socket.socket: {"bind": _Bind(socket.socket.bind)},
        gc: {"mem_free": lambda: HEAP - 1, "mem_alloc": lambda: 1, "threshold": _Threshold},
        builtins: {"const": const, **pointers},
    }


def Install(folder: Path) -> Paths:
    """Make this process a board from now on, with `folder` as its file system."""
    for module, names in _Names().items():
        for name, value in names.items():
            setattr(module, name, value)
    for name in WITH_U:
        sys.modules.setdefault("u" + name, importlib.import_module(name))
    sys.meta_path.append(Finder())
    paths = Paths(folder)
    paths.Install()
    return paths
