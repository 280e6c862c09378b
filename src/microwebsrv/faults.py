"""What goes wrong in a program that the command runs: one line where that says it all, else its traceback without the
frames that are not the program's."""

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
GIVE_UP = 70                        # and the status: of a process that another one watches
_SERVER = re.compile(r"(^|[\\/])microWeb\w+(\.py|[\\/]\w+\.py)$")


class ProgramTrouble(Trouble):
    """One line that says what is wrong with the program. A change of a file may mend it."""


class CantListen(OSError):
    """The server has no port. Programs that expect an OSError get one."""

    def __str__(self) -> str:
        return str(self.strerror)


def IsOurs(file: str) -> bool:
    """Is this a file of the command or of the server, or code that one of them has made?"""
    return file.startswith((HERE, "{{", "<frozen runpy", "<frozen importlib")) or _SERVER.search(file) is not None


def Frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of the program and of what it calls, the innermost last."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if not IsOurs(frame.filename)]


def _Strip(told: traceback.TracebackException) -> None:
    """Takes our frames out of an exception and of those before it. One that has no other frame and is only the cause
    within a page goes."""
    told.stack = traceback.StackSummary.from_list([one for one in told.stack if not IsOurs(one.filename)])
    for other in (told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())):
        if other is not None:
            _Strip(other)
    if told.__context__ is not None and not told.__context__.stack and told.__cause__ is None:
        told.__context__ = None


def Told(error: BaseException) -> str:
    """The traceback as a text, without our frames."""
    told = traceback.TracebackException.from_exception(error)
    _Strip(told)
    text = "".join(told.format())
    return re.sub(r"^Traceback \(most recent call last\):\n(?! )", "", text, flags=re.M).rstrip("\n")


def Short(file: str, folder: Path) -> str:
    """The path below the folder, if it is there."""
    try:
        return Path(file).resolve().relative_to(folder).as_posix()
    except (OSError, ValueError):
        return file


def OneLine(error: BaseException, folder: Path) -> str:
    """main.py:3: what, for an error that needs no traceback: a SyntaxError of a file, a module that is not there.
    Else nothing."""
    if isinstance(error, SyntaxError) and error.filename and os.path.isfile(error.filename):
        place, line = error.filename, error.lineno or 1
    elif isinstance(error, ImportError) and Frames(error):
        place, line = Frames(error)[-1].filename, Frames(error)[-1].lineno or 1
    else:
        return ""
    text = str(getattr(error, "msg", None) or error)
    return "%s:%d: %s: %s" % (Short(place, folder), line, type(error).__name__, text)


# -- the server's log, threads ---------------------------------------------------------

def OnServerError(text: str, error: BaseException | None = None) -> None:
    """The ErrorCallback of a server that has none."""
    console.Flush()
    if error is not None:
        told = Told(error)
        text += ": %s\n%s" % (error, told) if told.startswith("Traceback") else ": " + told
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
    """From now on, in the process that runs a program."""
    sys.excepthook = _OnUncaught
    threading.excepthook = _OnThread


# -- the end of the process ------------------------------------------------------------

def Ended(run: Callable[[], object], isWatched: bool) -> NoReturn:
    """Runs a program and ends the process: 1 after an error of the program, else what sys.exit() says. Trouble has its
    own status; where another process watches this one, that tells it to give up, unless a change of a file may help."""
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
        sys.last_value = error                  # as Python does: the server says then that it goes on
        _OnUncaught(type(error), error, error.__traceback__)
        code = 1
    if code is not None and not isinstance(code, int):
        console.Flush()
        console.Write(2, str(code))
        code = 1
    _Finish(code or 0)


def _Finish(code: int) -> NoReturn:
    """As Python ends: it waits for the program's threads, then its server goes on until Ctrl-C. But the rest of Python
    is not taken down under threads that still run."""
    try:
        threading._shutdown()                   # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except KeyboardInterrupt:
        pass
    _Leave(code)


def _Leave(code: int) -> NoReturn:
    console.Flush()
    os._exit(code)
