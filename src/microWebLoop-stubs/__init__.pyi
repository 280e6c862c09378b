"""The types of microWebLoop, the fast transport for CPython: a server finds it by itself."""

from microWebSrv import MicroWebSrv

def Attach(server: MicroWebSrv) -> None: ...
