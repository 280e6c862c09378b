"""The types of microWebAsync: async handlers. What it adds to the server is in the stub of microWebSrv."""

from microWebSrv import MicroWebSrv

def Attach(server: MicroWebSrv) -> None: ...
