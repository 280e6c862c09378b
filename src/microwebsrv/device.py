"""A board at a serial port, through mpremote: facts, files, restart and log."""

from __future__ import annotations

import ast
import contextlib
import errno
import importlib
import importlib.util
import io
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from microwebsrv.data import Trouble

FACTS = """
import sys, os
i = sys.implementation
s = os.statvfs(os.getcwd())
print(repr((i[0], i[1], getattr(i, "_mpy", getattr(i, "mpy", 0)) or 0, os.getcwd(), s[1] or s[0], s[4])))
"""
# H: SHA-256 of a file, `-` if it does not exist. M: make the folders of a path. P: replace a file by its .new file. R:
# remove a file and its empty folders. E: does the path exist?
TOOLS = """
import os, hashlib, binascii
def H(p):
    try:
        f = open(p, "rb")
    except OSError:
        return "-"
    h = hashlib.sha256()
    b = bytearray(512)
    while True:
        n = f.readinto(b)
        if not n:
            break
        h.update(memoryview(b)[:n])
    f.close()
    return binascii.hexlify(h.digest()).decode()
def M(p):
    d = ""
    for n in p.split("/")[1:-1]:
        d += "/" + n
        try:
            os.stat(d)
        except OSError:
            os.mkdir(d)
def P(p, h):
    if H(p + ".new") != h:
        return "broken"
    try:
        os.rename(p + ".new", p)
    except OSError:
        os.remove(p)
        os.rename(p + ".new", p)
    return "done"
def R(p):
    os.remove(p)
    p = p.rpartition("/")[0]
    while p.count("/") > 0 and not os.listdir(p):
        os.rmdir(p)
        p = p.rpartition("/")[0]
def E(p):
    try:
        os.stat(p)
        return 1
    except OSError:
        return 0
"""
SILENT_SEC = 5                      # without a byte from the board
BOOT_SEC = 30                       # boot.py may join a network
SOME = 20                           # paths in one command
CHUNK = 512                         # bytes of a file in one command, which a small heap has to hold as text


@dataclass(frozen=True)
class Facts:
    """What a board reports about itself."""

    name: str
    version: tuple[int, ...]
    mpy: int                        # version of the .mpy files that it reads; 0: none
    root: str                       # its working directory: / or /flash
    blockLen: int
    freeBlocks: int


def _Module(name: str) -> Any:
    """For modules without types, like mpremote."""
    return importlib.import_module(name)


def CheckInstalled() -> None:
    if importlib.util.find_spec("mpremote") is None:
        raise Trouble("mpremote is not installed: pip install 'microwebsrv[board]'")


def FindPort() -> str:
    """The only connected board. Trouble if there is none or more than one."""
    ports = [one for one in _Module("serial.tools.list_ports").comports() if one.vid is not None]
    if not ports:
        raise Trouble("no board is connected; or name its port: microwebsrv push DIR PORT")
    if len(ports) > 1:
        raise Trouble("several boards are connected, name one: %s" % ", ".join(
            "%s (%s)" % (one.device, one.product or one.description or "?") for one in sorted(ports)))
    return str(ports[0].device)


def _WhyNot(port: str) -> str:
    """The reason why a port can't be opened."""
    serial = _Module("serial")
    try:
        serial.serial_for_url(port, exclusive=True).close()
    except Exception as error:                  # the exceptions differ between systems
        number = getattr(error, "errno", None)
        if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO) or "FileNotFound" in str(error):
            return "there is no port %s" % port
        if number == errno.EACCES and os.name != "nt":
            return "%s: no permission; your user must be in the group of that device, mostly `dialout`" % port
        if number in (errno.EAGAIN, errno.EBUSY) or "lock" in str(error) or "PermissionError" in str(error):
            return "%s is busy: another program, a terminal perhaps, has it open" % port
        return "%s: %s" % (port, error)
    return "%s can't be opened" % port


class Board:
    """An open board in the raw REPL. No program runs on it."""

    def __init__(self, port: str) -> None:
        self.port = port
        try:
            self._line: Any = _Module("mpremote.transport_serial").SerialTransport(port)
        except Exception:                       # an exception of mpremote or of pyserial
            raise Trouble(_WhyNot(port))
        try:
            with self._Errors():
                self._line.serial.timeout = SILENT_SEC
                self._line.serial.write(b"\r\x03\x03")         # some programs need two Ctrl-C
                self._line.enter_raw_repl(soft_reset=False, timeout_overall=SILENT_SEC)
                self._line.enter_raw_repl(soft_reset=True, timeout_overall=BOOT_SEC)
            self.Run(TOOLS)
        except Trouble:
            self.Close()
            raise
        self.facts = self._Facts()

    def Close(self) -> None:
        with contextlib.suppress(OSError):
            self._line.close()

    @contextlib.contextmanager
    def _Errors(self) -> Iterator[None]:
        """Turn errors of mpremote into Trouble, and hide its output."""
        transport = _Module("mpremote.transport")
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except transport.TransportExecError as error:
            last = str(error.error_output).strip().split("\n")[-1].strip()
            if "ENOSPC" in last or "Errno 28" in last or "OSError: 28" == last:
                raise Trouble("%s: the flash of the board is full" % self.port)
            raise Trouble("%s: the board says %s" % (self.port, last))
        except transport.TransportError as error:
            raise Trouble("%s: the board does not answer (%s); press its reset button and try again"
                          % (self.port, error))
        except OSError as error:                # it was unplugged, or its flash is full
            if error.errno == errno.ENOSPC:
                raise Trouble("%s: the flash of the board is full" % self.port)
            raise Trouble("%s: the connection was lost (%s)" % (self.port, error))

    def Run(self, code: str) -> str:
        """Run code on the board -> its output."""
        with self._Errors():
            printed: bytes = self._line.exec(code)
        return printed.decode("utf-8", "replace")

    def _Facts(self) -> Facts:
        try:
            name, version, mpy, root, blockLen, freeBlocks = ast.literal_eval(self.Run(FACTS).strip())
        except (ValueError, SyntaxError):
            raise Trouble("%s: this is not a board with MicroPython" % self.port)
        numbers = tuple(part for part in version if isinstance(part, int))
        return Facts(name, numbers, mpy & 255, root, blockLen, freeBlocks)

    def _Each(self, function: str, paths: list[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for at in range(0, len(paths), SOME):
            some = paths[at:at + SOME]
            found.update(zip(some, self.Run("for p in %r:\n print(%s(p))" % (some, function)).split()))
        return found

    def Hashes(self, paths: list[str]) -> dict[str, str]:
        """{path: SHA-256 in hex} of the paths that exist."""
        return {path: digest for path, digest in self._Each("H", paths).items() if digest != "-"}

    def Existing(self, paths: list[str]) -> list[str]:
        return [path for path, is_ in self._Each("E", paths).items() if is_ == "1"]

    def Read(self, path: str) -> str:
        """The content of a short text file; "" if it does not exist."""
        return self.Run("try:\n print(open(%r).read())\nexcept OSError:\n pass" % path)

    def Write(self, path: str, content: bytes, digest: str) -> None:
        """Write a file: first under a temporary name, then check it and replace the old one. Trouble if it was
        damaged."""
        self.Run("M(%r)" % path)
        with self._Errors():
            self._line.fs_writefile(path + ".new", content, chunk_size=CHUNK)
        if self.Run("print(P(%r, %r))" % (path, digest)).strip() != "done":
            raise Trouble("%s: %s did not arrive as it was sent; try again" % (self.port, path))

    def Remove(self, path: str) -> None:
        """Remove a file, and then its empty folders."""
        self.Run("R(%r)" % path)

    def MemoryFree(self) -> int:
        """Free bytes of the heap, while the program runs in a thread."""
        with self._Errors():
            self._line.enter_raw_repl(soft_reset=False)
        free = int(self.Run("import gc\ngc.collect()\nprint(gc.mem_free() if hasattr(gc, 'mem_free') else 0)") or 0)
        self._line.exit_raw_repl()
        return free

    def Restart(self) -> None:
        """Leave the raw REPL and do a soft reset: boot.py and main.py run."""
        with self._Errors():
            self._line.exit_raw_repl()
            self._line.read_until(1, b">>> ", timeout=5)
            self._line.serial.write(b"\x04")
            self._line.read_until(1, b"soft reboot\r\n", timeout=5)

    def Log(self, show: Callable[[str], None], isEnough: Callable[[str], bool], patienceSec: float | None) -> str:
        """Show the board's output until isEnough(output) or the time is over. -> the whole output."""
        serial, text, shown = self._line.serial, b"", 0
        until = None if patienceSec is None else time.monotonic() + patienceSec
        while until is None or time.monotonic() < until:
            with self._Errors():
                waiting = serial.in_waiting
                piece = serial.read(waiting) if waiting else b""
            if not piece:
                if isEnough(text.decode("utf-8", "replace")):
                    break
                time.sleep(0.02)
                continue
            text += piece
            end = text.rfind(b"\n") + 1         # only complete lines: a prompt at the end is not shown
            if end > shown:
                show(text[shown:end].decode("utf-8", "replace").replace("\r\n", "\n"))
                shown = end
        return text.decode("utf-8", "replace")
