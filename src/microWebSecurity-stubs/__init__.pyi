"""Types of microWebSecurity: security headers, and the client's address behind a proxy."""

from collections.abc import Iterable, Mapping

from microWebSrv import MicroWebSrv

def SecurityHeaders(mws: MicroWebSrv, prefix: str = "/", csp: str | None = None,
                    headers: Mapping[str, str | None] | None = None) -> None: ...
def TrustProxies(mws: MicroWebSrv, addresses: str | Iterable[str], forwarded: bool = False,
                 host: bool = False) -> None: ...
def Attach(server: MicroWebSrv) -> None: ...
