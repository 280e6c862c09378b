"""Types of microWebPortal: a captive portal that connects a new board to a Wi-Fi network, and its DNS server."""

from collections.abc import Callable
from typing import Any

from microWebSrv import MicroWebSrv

Page: str
Fields: str
Forget: str
Texts: tuple[str, ...]

def Answer(query: bytes, address: str) -> bytes | None: ...

class Names:
    """A link of the server, with itself as the endpoint."""

    out: bytearray | None
    deadline: int | None
    isDead: bool
    watched: int
    server: MicroWebSrv
    endpoint: Any
    sock: Any
    def __init__(self, server: MicroWebSrv, address: str, port: int = 53) -> None: ...
    def OnEvent(self, event: int) -> None: ...
    def Abort(self) -> None: ...
    def OnStop(self) -> None: ...
    def IsIdle(self) -> bool: ...

class Provision:
    address: str | None
    isOpen: bool
    OnJoined: Callable[[str], object] | None
    def __init__(self, mws: MicroWebSrv, name: str = "MicroWebSrv", password: str = "", file: str = ".wifi.json",
                 path: str = "/wifi", lostSec: int = 120, dnsPort: int = 53, network: Any = None) -> None: ...
    def Forget(self) -> None: ...

def Attach(server: MicroWebSrv) -> None: ...
