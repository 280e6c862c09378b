"""The types of microWebPortal: a new board comes into the Wi-Fi with a phone."""

from collections.abc import Callable
from typing import Any

from microWebSrv import MicroWebSrv

Page: str
Fields: str
Forget: str
Texts: tuple[str, ...]

def Answer(query: bytes, address: str) -> bytes | None: ...

class Names:
    isDead: bool
    def __init__(self, server: MicroWebSrv, address: str, port: int = 53) -> None: ...
    def Abort(self) -> None: ...

class Provision:
    address: str | None
    isOpen: bool
    OnJoined: Callable[[str], object] | None
    def __init__(self, mws: MicroWebSrv, name: str = "MicroWebSrv", password: str = "", file: str = ".wifi.json",
                 path: str = "/wifi", lostSec: int = 120, dnsPort: int = 53, network: Any = None) -> None: ...
    def Forget(self) -> None: ...

def Attach(server: MicroWebSrv) -> None: ...
