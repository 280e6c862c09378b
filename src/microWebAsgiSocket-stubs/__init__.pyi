"""Types of microWebAsgiSocket: WebSockets under an ASGI server (docs/asgi.md)."""

from microWebSrv import MicroWebSrv

def Attach(server: MicroWebSrv) -> None:
    """Called by each new server: its ASGI application accepts WebSockets."""
