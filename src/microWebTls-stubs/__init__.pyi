"""Types of microWebTls: HTTPS and WSS. The methods that it adds are in the stub of microWebSrv."""

from microWebSrv import MicroWebSrv

def Attach(server: MicroWebSrv) -> None: ...
