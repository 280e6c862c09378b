"""The types of microWebSecurity: headers for browsers, and who the client is behind a proxy."""

from collections.abc import Iterable, Mapping

from microWebSrv import MicroWebSrv

def SecurityHeaders(mws: MicroWebSrv, prefix: str = "/", csp: str | None = None,
                    headers: Mapping[str, str | None] | None = None) -> None: ...
def TrustProxies(mws: MicroWebSrv, addresses: str | Iterable[str], forwarded: bool = False,
                 host: bool = False) -> None: ...
def Attach(server: MicroWebSrv) -> None: ...
