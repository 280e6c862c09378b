"""Types of microWebSendFile: the system sends files (docs/files.md)."""

from typing import Any

from microWebSrv import MicroWebSrv

def SendFile(link: Any, head: bytes, number: int, start: int, size: int) -> int:
    """Send the bytes `head`, then bytes of the file with this descriptor. -> the number of the file's bytes that the
    socket has accepted now."""

def Attach(server: MicroWebSrv) -> None:
    """Called by each new server: replaces FileBody of the core, on Linux."""
