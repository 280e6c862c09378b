"""Compressed WebSocket messages (permessage-deflate, RFC 7692): docs/websockets.md is the manual."""

from typing import Any

def Attach(server: Any) -> None:
    """Plug into a server: one of `server.Offers`, which `microWebSocket` asks when a client connects.

    `server.WebSocketContextTakeover` (True on CPython) and `server.WebSocketWindowBits` (12, on MicroPython 9) are its
    settings.
    """

def const(value: int) -> int: ...
