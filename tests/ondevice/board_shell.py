# The inside of the board in tests/pty_board.py: board_shell.py OPTIONS. Its file system is the working directory. It
# executes input of the form `LENGTH\n` and that many bytes; after the output follow byte 4, the traceback, byte 4.
# OPTIONS is a dict: `modules`, a text that is executed first; `free`, blocks of 4096 bytes; `mpy` and `name` of
# sys.implementation; `isFat`, rename can't replace a file; `isNoisy`, bytes are lost on the line.

import os
import sys
import vfs

OUT = sys.stdout.buffer
IN = sys.stdin.buffer


class Facade:
    """A module with some names replaced."""

    def __init__(self, module, names):
        for name in dir(module):
            setattr(self, name, getattr(module, name))
        for name in names:
            setattr(self, name, names[name])


def StatVfs(path):
    return (4096, 4096, 512, options["free"], options["free"], 0, 0, 0, 0, 255)


def Rename(old, new):
    """The unix port's rename confuses its two paths if its root is a folder."""
    if options.get("isFat"):
        try:
            os.stat(new)
            raise OSError(17)
        except OSError as error:
            if error.errno == 17:
                raise
    with open(old, "rb") as source:
        content = source.read()
    with open(new, "wb") as target:
        target.write(content)
    os.remove(old)


class Noisy:
    """A file that loses a byte of each piece."""

    def __init__(self, path, mode):
        self.file = open(path, mode)

    def write(self, data):
        return self.file.write(data[1:])

    def close(self):
        self.file.close()


class Implementation:
    """sys.implementation of another board."""

    def __init__(self):
        self.name = options.get("name", "micropython")
        if options.get("mpy"):
            self._mpy = options["mpy"]

    def __getitem__(self, index):
        return (self.name, (1, 18, 0))[index]


def Execute(text, scope):
    trace = b""
    try:
        exec(text, scope)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        import io
        buffer = io.StringIO()
        sys.print_exception(error, buffer)
        trace = buffer.getvalue().encode()
    OUT.write(b"\x04" + trace + b"\x04")


options = eval(sys.argv[1])
folder = os.getcwd()
vfs.umount("/")
vfs.mount(vfs.VfsPosix(folder), "/")
sys.path[:] = ["", ".frozen", "/lib"]
exec(options.get("modules", ""))
sys.modules["os"] = Facade(os, {"rename": Rename, "statvfs": StatVfs if "free" in options else os.statvfs})
if "name" in options or "mpy" in options:
    sys.modules["sys"] = Facade(sys, {"implementation": Implementation()})
scope = {"__name__": "__main__"}
if options.get("isNoisy"):
    scope["open"] = lambda path, mode="r": Noisy(path, mode) if "w" in mode else open(path, mode)
while True:
    try:
        line = IN.readline()
        if not line:
            break
        text = IN.read(int(line))
    except KeyboardInterrupt:
        continue
    Execute(text.decode(), scope)
