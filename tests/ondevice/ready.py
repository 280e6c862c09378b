# On the path of every program under test: the ports that it may use, and the line that tells when it accepts
# connections.
#
#     from ready import Port
#     mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")

import builtins
import sys

_ports = [int(text) for text in sys.argv[1].split(",")]


def _Print(*values, **options):
    """One write for a line, so that lines of two threads don't mix."""
    if options:
        return _print(*values, **options)
    sys.stdout.write(" ".join([str(value) for value in values]) + "\n")


_print, builtins.print = builtins.print, _Print


def Port():
    """The next free port; `READY <port>` is printed when a server listens on it."""
    Announce(sys.modules["microWebSrv"].MicroWebSrv)
    return _ports.pop(0)


def Announce(serverClass):
    """Print READY as soon as the kernel accepts connections for a server of this class."""
    if hasattr(serverClass, "_isAnnounced"):
        return
    serverClass._isAnnounced = True
    openListener = serverClass.Open

    def Open(self):
        isOpen = openListener(self)
        if isOpen and not hasattr(self, "testHost"):    # a TestClient has no port
            print("READY %d" % self.port)
        return isOpen

    serverClass.Open = Open
