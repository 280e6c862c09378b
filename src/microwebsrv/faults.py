"""Report errors of a program that the command runs: as one line if that is enough, else as a traceback without the
frames of the command and the server."""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from microwebsrv import console
from microwebsrv.data import Trouble

HERE = str(Path(__file__).resolve().parent) + os.sep
GIVE_UP = 70                        # added to the exit status to tell the watching process that a restart can't help
# Control characters (C0, C1), and characters that begin a line or change the direction of text.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SERVER = re.compile(r"(^|[\\/])microWeb\w+(\.py|[\\/]\w+\.py)$")


class ProgramTrouble(Trouble):
    """An error of the program, told in one line. A change of a file may mend it."""


class CantListen(OSError):
    """The server can't listen on its port. It is an OSError, because programs may catch that."""

    def __str__(self) -> str:
        return str(self.strerror)


def Escaped(text: str, kept: str = "") -> str:
    """Security: escape characters from a client that could move the cursor, hide text or begin another line."""
    def Escape(found: re.Match[str]) -> str:
        one = found.group()
        return one if one in kept else ("\\x%02x" if one < "\u0100" else "\\u%04x") % ord(one)

    return _ODD.sub(Escape, text)


def IsOurs(file: str) -> bool:
    """True for a file of the command or the server, and for code that one of them has generated."""
    return file.startswith((HERE, "{{", "<frozen runpy", "<frozen importlib")) or _SERVER.search(file) is not None


def Frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of the program and of the libraries that it calls, the innermost last."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if not IsOurs(frame.filename)]


def _Strip(told: traceback.TracebackException) -> None:
    """Remove the frames of the command and the server from an exception and from its causes. A context without any
    other frame is removed too."""
    told.stack = traceback.StackSummary.from_list([one for one in told.stack if not IsOurs(one.filename)])
    for other in (told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())):
        if other is not None:
            _Strip(other)
    if told.__context__ is not None and not told.__context__.stack and told.__cause__ is None:
        told.__context__ = None


def _Indented(part: str) -> str:
    """Indent the further lines of a message: they may come from a client, and must not look like lines of the log."""
    isMessage = not part.startswith((" ", "\n", "Traceback"))
    return part.rstrip("\n").replace("\n", "\n    ") + "\n" if isMessage else part


def Told(error: BaseException) -> str:
    """Return the traceback as a text, without the frames of the command and the server."""
    told = traceback.TracebackException.from_exception(error)
    _Strip(told)
    text = Escaped("".join(map(_Indented, told.format())), "\n\t")
    return re.sub(r"^Traceback \(most recent call last\):\n(?! )", "", text, flags=re.M).rstrip("\n")


def Short(file: str, folder: Path) -> str:
    """Return the path relative to the folder, or the path itself if the file is elsewhere."""
    try:
        return Path(file).resolve().relative_to(folder).as_posix()
    except (OSError, ValueError):
        return file


def OneLine(error: BaseException, folder: Path) -> str:
    """Return one line such as `main.py:3: SyntaxError: ...` for an error that needs no traceback: a SyntaxError in a
    file, or an import in the program that fails. For other errors return an empty text."""
    if isinstance(error, SyntaxError) and error.filename and os.path.isfile(error.filename):
        place, line = error.filename, error.lineno or 1
    elif isinstance(error, ImportError) and Frames(error) and Path(Frames(error)[-1].filename).is_relative_to(folder):
        place, line = Frames(error)[-1].filename, Frames(error)[-1].lineno or 1
    else:
        return ""
    text = str(getattr(error, "msg", None) or error)
    return "%s:%d: %s: %s" % (Short(place, folder), line, type(error).__name__, text)


# -- the server's log, threads ---------------------------------------------------------

def OnServerError(text: str, error: BaseException | None = None) -> None:
    """The ErrorCallback of servers that have no other one."""
    console.Flush()
    text = Escaped(text)
    if error is not None:
        told = Told(error)
        text += ": %s\n%s" % (Escaped(str(error)), told) if told.startswith("Traceback") else ": " + told
    console.Write(2, "MicroWebSrv: " + text)


def _OnUncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    console.Flush()
    console.Write(2, Told(error.with_traceback(trace)))


def _OnThread(told: Any) -> None:
    if isinstance(told.exc_value, CantListen):
        console.Warn(str(told.exc_value))
    elif told.exc_value is not None and told.exc_type is not SystemExit:
        console.Flush()
        console.Write(2, "in %s: %s" % (told.thread.name if told.thread else "a thread", Told(told.exc_value)))


def Install() -> None:
    """Report uncaught exceptions of this process, which runs a program."""
    sys.excepthook = _OnUncaught
    threading.excepthook = _OnThread


# -- the end of the process ------------------------------------------------------------

def Ended(run: Callable[[], object], isWatched: bool) -> NoReturn:
    """Run a program and end the process. The exit status is 1 after an error of the program, else the argument of
    sys.exit(). Trouble has its own status. If another process watches this one, GIVE_UP is added to it, unless a change
    of a file may help."""
    code: object = 0
    try:
        run()
    except SystemExit as error:
        code = error.code
    except KeyboardInterrupt:
        pass
    except (CantListen, Trouble) as error:
        console.Warn(str(error))
        code = error.code if isinstance(error, Trouble) else 3
        isMendable = isinstance(error, ProgramTrouble)
        _Leave((1 if isMendable else GIVE_UP + code) if isWatched else code)
    except BaseException as error:
        sys.last_value = error                  # as Python does: the server then reports that it continues to run
        _OnUncaught(type(error), error, error.__traceback__)
        code = 1
    if code is not None and not isinstance(code, int):
        console.Flush()
        console.Write(2, str(code))
        code = 1
    _Finish(code or 0)


def _Finish(code: int) -> NoReturn:
    """End the process as Python does: wait for the program's threads, and run a server until Ctrl-C. But Python is not
    finalized while threads still run."""
    try:
        try:
            threading._shutdown()               # type: ignore[attr-defined]
        except SystemExit:                      # SIGTERM has told the servers to stop: wait for them below
            pass
        atexit._run_exitfuncs()
    except BaseException:                       # Ctrl-C, or an atexit function failed and Python has reported that
        pass
    _Leave(code)


def _Leave(code: int) -> NoReturn:
    console.Flush()
    os._exit(code)
