"""The lines that the command prints. Threads print some of them, so they are written without a buffer: a buffer has a
lock, and Python aborts if a thread holds that lock when the process ends."""

from __future__ import annotations

import os
import sys
import threading

PATIENCE_SEC = 1
_settings = {"isQuiet": False}


def BeQuiet() -> None:
    """Print only errors after this call."""
    _settings["isQuiet"] = True


def Write(number: int, text: str) -> None:
    """Write a line. number: 1 is the standard output, 2 the standard error. A reader that has gone or is too slow loses
    text."""
    data = (text + "\n").encode(getattr(sys.stdout, "encoding", None) or "utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(number, data):]
    except OSError:
        pass


def Flush() -> None:
    """Flush the output of the program, so that its lines stay in order with ours. A thread of the program may hold the
    lock and wait for a reader, so this waits for PATIENCE_SEC at most."""
    flusher = threading.Thread(target=_Flush, daemon=True, name="flusher")
    try:
        flusher.start()
        flusher.join(PATIENCE_SEC)
    except RuntimeError:                        # Python starts no more threads
        pass


def _Flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass


def Say(text: str) -> None:
    if not _settings["isQuiet"]:
        Flush()
        Write(1, "microwebsrv: " + text)


def Warn(text: str) -> None:
    Flush()
    Write(2, "microwebsrv: " + text)


def HasColour(number: int) -> bool:
    """True for a terminal whose user has not disabled colours (no-color.org)."""
    return os.isatty(number) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
