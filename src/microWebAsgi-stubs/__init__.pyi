"""A program behind an ASGI server: docs/asgi.md is the manual. `Asgi` and `AsgiThreaded` are typed with the server."""

from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from typing import Any

from microWebSrv import MicroWebSrv

class Pool:
    """Threads that come with the work."""

    def __init__(self, server: MicroWebSrv, most: Callable[[], int]) -> None: ...
    def Run(self, func: Callable[..., object], *args: Any) -> bool:
        """True: it has to wait for a thread."""
    def Close(self) -> None: ...

class Exchange:
    """One request, for microWebAsgiSocket: it stands where the core has a connection and its link."""

    def __getattr__(self, name: str) -> Any: ...

class Application:
    """What `mws.Asgi()` returns: an ASGI 3 application."""

    server: MicroWebSrv
    def __init__(self, server: MicroWebSrv, onStart: Callable[[], object] | None,
                 onStop: Callable[[], object] | None) -> None: ...
    async def __call__(self, scope: MutableMapping[str, Any],
                       receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
                       send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None: ...
    def __getattr__(self, name: str) -> Any: ...

def IsCancelled() -> bool: ...
def Steps(coroutine: Coroutine[Any, Any, object], onWait: Callable[[], object]) -> Generator[Any, Any, None]: ...
def Attach(server: MicroWebSrv) -> None:
    """Plug into a server: `server.Asgi()`."""
