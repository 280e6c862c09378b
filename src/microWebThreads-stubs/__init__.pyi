"""Types of microWebThreads: worker threads. The setting MaxWorkers is in the stub of microWebSrv."""

from microWebSrv import MicroWebSrv

def Attach(server: MicroWebSrv) -> None: ...
