# Simulates a board on a serial line, from one reset to the next: raw_repl.py PORTS. Its file system is the working
# directory. It runs main.py, like a board at its start; without main.py it serves mpremote on standard input and output
# (MicroPython's raw REPL). machine.reset() ends the process with code 3, and the caller starts it again. The
# differences to a board: servers get free loopback ports, and pretend.py is the network.

import os
import sys
import vfs

import pretend
import ready

OUT = sys.stdout.buffer
IN = sys.stdin.buffer
BANNER = b"raw REPL; CTRL-B to exit\r\n>"


RESET = 3
WINDOW = 16384


class machine:
    """The features that mpremote and main.py use."""

    @staticmethod
    def reset():
        sys.exit(RESET)


def Paste():
    """-> a command in raw paste mode: each byte 1 allows the host to send WINDOW more bytes."""
    text = bytearray()
    OUT.write(b"R\x01" + bytes([WINDOW & 255, WINDOW >> 8]))
    while True:
        char = IN.read(1)
        if char == b"\x04":
            OUT.write(char)
            return text
        text += char
        if len(text) % WINDOW == 0:
            OUT.write(b"\x01")


def Execute(text, scope):
    """Execute a command: its output, byte 4, the traceback, byte 4."""
    trace = b""
    try:
        exec(text, scope)
    except Exception as error:
        import io
        buffer = io.StringIO()
        sys.print_exception(error, buffer)
        trace = buffer.getvalue().encode()
    OUT.write(b"\x04" + trace + b"\x04>")


def Converse():
    """Serve until a command resets the board."""
    scope = {"__name__": "__main__"}
    text = bytearray()
    while True:
        char = IN.read(1)
        if not char:
            sys.exit()
        if char == b"\x01":                     # Ctrl-A: start the raw REPL
            text = bytearray()
            OUT.write(BANNER)
        elif char == b"\x02":
            OUT.write(b"\r\n>>> ")
        elif char == b"\x05" and not text:      # Ctrl-E A Ctrl-A
            IN.read(2)
            Execute(bytes(Paste()).decode(), scope)
        elif char == b"\x04" and not text:
            OUT.write(b"OK\r\nMPY: soft reboot\r\n" + BANNER)
            scope = {"__name__": "__main__"}
        elif char == b"\x04":
            command, text = bytes(text), bytearray()
            OUT.write(b"OK")
            Execute(command.decode(), scope)
        elif char not in b"\x03\r" or text:     # Ctrl-C: nothing runs
            text += char


def RunMain(program):
    """With the ports of the test; `READY <port>` goes to standard error, which mpremote does not read."""
    __import__("microWebSrv")
    MicroWebSrv = sys.modules["microWebSrv"].MicroWebSrv
    construct = MicroWebSrv.__init__

    def Construct(self, routeHandlers=None, port=80, bindIP="", webPath="/flash/www"):
        construct(self, routeHandlers, ready._ports.pop(0), "127.0.0.1", webPath)

    MicroWebSrv.__init__ = Construct
    ready.print = lambda text: print(text, file=sys.stderr)
    ready.Announce(MicroWebSrv)
    exec(compile(program, "main.py", "exec"), {"__name__": "__main__", "__file__": "main.py"})


folder = os.getcwd()
vfs.umount("/")
vfs.mount(vfs.VfsPosix(folder), "/")
sys.path[:] = ["", ".frozen", "/lib"]
sys.modules["machine"] = machine
sys.modules["network"] = pretend
try:
    with open("main.py") as file:
        program = file.read()
except OSError:
    program = None
if program is None:
    Converse()
else:
    RunMain(program)
