"""Types of microWebSocketPlus: Broadcast, Ping, subprotocols, async callbacks, and the origins that may connect
(docs/websockets.md). `Broadcast` and the settings are in the stub of microWebSrv; `Ping`, `Path` and `Protocol` are in
that of microWebSocket.
"""

from typing import Any

sockets: Any
"""The module microWebSocket."""

def Attach(server: Any) -> None:
    """Called by each new server: adds `server.Broadcast`, and sets the settings to their defaults."""
