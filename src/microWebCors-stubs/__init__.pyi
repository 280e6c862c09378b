"""Types of microWebCors: pages of other origins may read responses."""

from collections.abc import Callable, Iterable

from microWebSrv import MicroWebSrv

def AllowOrigins(mws: MicroWebSrv, origins: str | Iterable[str] | Callable[[str], object], prefix: str = "/",
                 credentials: bool = False, methods: str | Iterable[str] | None = None,
                 headers: str | Iterable[str] | None = None, expose: str | Iterable[str] | None = None,
                 maxAgeSec: int = 600) -> None: ...
def Attach(server: MicroWebSrv) -> None: ...
