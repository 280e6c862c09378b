"""micropython: const() and the like."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, TypeVar

from microwebsrv.world import WORLD

T = TypeVar("T")


def const(value: T) -> T:
    return value


def native(function: T) -> T:
    return function


viper = asm_thumb = asm_xtensa = native


def schedule(function: Callable[[Any], object], arg: Any) -> None:
    WORLD.Soon(function, arg)


def opt_level(level: int | None = None) -> int:
    return 0


def alloc_emergency_exception_buf(size: int) -> None:
    pass


def mem_info(verbose: Any = None) -> None:
    print("mem: %d objects on this desk" % len(gc.get_objects()))


qstr_info = mem_info


def stack_use() -> int:
    return 0


def heap_lock() -> int:
    return 0


heap_unlock = heap_lock


def kbd_intr(char: int) -> None:
    pass
