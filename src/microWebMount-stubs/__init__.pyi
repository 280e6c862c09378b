"""An ASGI application beside our routes: docs/asgi.md is the manual. `Mount` is typed with the server."""

from microWebSrv import MicroWebSrv

def Attach(server: MicroWebSrv) -> None:
    """Plug into a server: `server.Mount(prefix, app)`."""
