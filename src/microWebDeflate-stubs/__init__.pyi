"""Types of microWebDeflate: compressed WebSocket messages (permessage-deflate, RFC 7692; docs/websockets.md)."""

from typing import Any

def Attach(server: Any) -> None:
    """Called by each new server: adds a function to `server.Offers`, which `microWebSocket` calls at the handshake.
    Settings: `server.WebSocketContextTakeover` (True on CPython) and `server.WebSocketWindowBits` (12, on MicroPython
    9).
    """

def const(value: int) -> int: ...
