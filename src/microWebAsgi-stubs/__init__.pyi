"""Types of microWebAsgi: a program under an ASGI server (docs/asgi.md). `Asgi` and `AsgiThreaded` are in the stub of
microWebSrv."""

from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from typing import Any

from microWebSrv import MicroWebSrv

class Pool:
    """Threads that are started when needed."""

    def __init__(self, server: MicroWebSrv, most: Callable[[], int]) -> None: ...
    def Run(self, func: Callable[..., object], *args: Any) -> bool:
        """Run func(*args) in a thread. True: all threads are busy."""
    def Close(self) -> None: ...

class Exchange:
    """One request, for microWebAsgiSocket. It replaces the core's connection and link."""

    def __getattr__(self, name: str) -> Any: ...

class Application:
    """The ASGI 3 application that `mws.Asgi()` returns."""

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
    """Called by each new server: adds `server.Asgi()`."""
