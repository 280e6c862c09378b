"""More for WebSockets: Broadcast, Ping, subprotocols, async callbacks, and whose pages may connect.

docs/websockets.md is the manual. What it adds is typed where it is used: `Broadcast` and the settings with the server,
`Ping`, `Path` and `Protocol` with MicroWebSocket.
"""

from typing import Any

sockets: Any
"""The module microWebSocket."""

def Attach(server: Any) -> None:
    """Plug into a server: `server.Broadcast` and the settings with their defaults."""
