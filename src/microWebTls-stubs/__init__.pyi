"""The types of microWebTls: HTTPS and WSS. What it adds to the server and to requests is in the stub of microWebSrv."""

from microWebSrv import MicroWebSrv

def Attach(server: MicroWebSrv) -> None: ...
