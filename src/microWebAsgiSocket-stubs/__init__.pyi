"""WebSockets of a program behind an ASGI server: docs/asgi.md is the manual."""

from microWebSrv import MicroWebSrv

def Attach(server: MicroWebSrv) -> None:
    """Plug into a server: its application has WebSockets."""
