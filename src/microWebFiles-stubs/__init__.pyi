"""Types of microWebFiles: files with ETags, conditions, ranges and .gz files (docs/files.md)."""

from typing import TypeVar

from microWebSrv import MicroWebSrv

_T = TypeVar("_T")

def const(value: _T) -> _T: ...
def Attach(server: MicroWebSrv) -> None: ...
