# Runs a program unmodified: desk.py PORTS PROGRAM. The differences: its servers get free loopback ports, and are
# stopped when standard input is closed; pretend.py replaces the modules of a board.

import _thread
import sys

import pretend
import ready

sys.path.pop(0)                 # the program must not find the files of this folder
__import__("microWebSrv")
MicroWebSrv = sys.modules["microWebSrv"].MicroWebSrv

sys.argv.pop(0)
sys.argv.pop(0)
program = sys.argv[0]
servers = []
construct = MicroWebSrv.__init__


def Construct(self, routeHandlers=None, port=80, bindIP="", webPath="/flash/www"):
    construct(self, routeHandlers, ready._ports.pop(0), "127.0.0.1", webPath)
    servers.append(self)
    if hasattr(self, "RedirectToHTTPS"):
        self.RedirectToHTTPS = lambda port: Redirect(self)


def Redirect(server):
    port = ready._ports.pop(0)
    type(server).RedirectToHTTPS(server, port)
    print("PLAIN", port)


def WatchConsole():
    sys.stdin.read()
    for server in servers:
        server.Stop()


MicroWebSrv.__init__ = Construct
ready.Announce(MicroWebSrv)
_thread.start_new_thread(WatchConsole, ())
with open(program) as file:
    code = file.read()
for name in ("machine", "network"):
    # The program needs it.
    if "\nimport %s\n" % name in code or "\nfrom %s import" % name in code or name == "network" and "Provision(" in code:
        sys.modules[name] = pretend
if "microWebPortal" in code:
    import microWebPortal
    sys.modules["network"] = pretend                                            # Provision imports it
    Names = microWebPortal.Names
    microWebPortal.Names = lambda server, address, port=53: Names(server, address, 0)      # a free port
exec(compile(code, program, "exec"), {"__name__": "__main__", "__file__": program})
