"""Types of microWebMount: ASGI applications in a server (docs/asgi.md). `Mount` is in the stub of microWebSrv."""

from microWebSrv import MicroWebSrv

def Attach(server: MicroWebSrv) -> None:
    """Called by each new server: adds `server.Mount(prefix, app)`."""
