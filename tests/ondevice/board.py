# Simulates a board: board.py PORTS PROGRAM MODULE runs a program for the old server unmodified. The differences: its
# servers get free loopback ports, /flash is a folder of the working directory, and the console, which stays open after
# the program like a board's, can be closed; then all servers are stopped.

import _thread
import sys

import ready

_, ports, program, moduleName = sys.argv[:4]
sys.path.pop(0)                 # the program must not find the files of this folder
__import__(moduleName)
MicroWebSrv = sys.modules[moduleName].MicroWebSrv

servers = []
construct = MicroWebSrv.__init__


def Construct(self, routeHandlers=None, port=80, bindIP="", webPath="/flash/www"):
    if isinstance(webPath, str) and webPath.startswith("/flash"):
        webPath = webPath[1:]
    construct(self, routeHandlers, ready._ports.pop(0), "127.0.0.1", webPath)
    servers.append(self)


def WatchConsole():
    try:
        sys.stdin.read()
        for server in servers:
            server.Stop()
    finally:
        closed.release()


MicroWebSrv.__init__ = Construct
ready.Announce(MicroWebSrv)
closed = _thread.allocate_lock()
closed.acquire()
_thread.start_new_thread(WatchConsole, ())
with open(program) as file:
    code = file.read()
exec(compile(code, program, "exec"), {"__name__": "__main__"})
closed.acquire()
print("CONSOLE CLOSED")
