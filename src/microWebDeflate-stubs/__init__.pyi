"""Compressed WebSocket messages (permessage-deflate, RFC 7692): docs/websockets.md is the manual."""

from typing import Any

def Attach(server: Any) -> None:
    """Plug into a server: `server.WebSocketExtension` is what `microWebSocket` asks when a client offers extensions.

    `server.WebSocketContextTakeover` (True on CPython) and `server.WebSocketWindowBits` (12, on MicroPython 9) are its
    settings.
    """
