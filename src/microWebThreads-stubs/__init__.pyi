"""The types of microWebThreads: worker threads. Its setting MaxWorkers is in the stub of microWebSrv."""

from microWebSrv import MicroWebSrv

def Attach(server: MicroWebSrv) -> None: ...
