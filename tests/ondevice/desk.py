# Runs a program as it stands: desk.py PORTS PROGRAM. The differences: its servers get free ports on the loopback, and are
# stopped when its standard input is closed; the modules of a board are pretend.py.

import _thread
import sys

import pretend
import ready

sys.path.pop(0)                 # this folder is no part of what the program finds beside it
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
    # It can't do without.
    if "\nimport %s\n" % name in code or "\nfrom %s import" % name in code or name == "network" and "Provision(" in code:
        sys.modules[name] = pretend
if "microWebPortal" in code:
    import microWebPortal
    sys.modules["network"] = pretend                                            # Provision imports it
    Names = microWebPortal.Names
    microWebPortal.Names = lambda server, address, port=53: Names(server, address, 0)      # any free one
exec(compile(code, program, "exec"), {"__name__": "__main__", "__file__": program})
