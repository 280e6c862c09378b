"""The lines that the command says. Threads say some of them, so each goes to the system at once: a buffer has a lock,
and Python dies where a thread holds that when the process ends."""

from __future__ import annotations

import os
import sys
import threading

PATIENCE_SEC = 1
_settings = {"isQuiet": False}


def BeQuiet() -> None:
    """From now on only what went wrong is said."""
    _settings["isQuiet"] = True


def Write(number: int, text: str) -> None:
    """number: 1 is the standard output, 2 that for errors. Who reads no more, or not yet, misses it."""
    data = (text + "\n").encode(getattr(sys.stdout, "encoding", None) or "utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(number, data):]
    except OSError:
        pass


def Flush() -> None:
    """What the program has printed so far comes first. A thread of it may hold the lock and wait for a reader, so this
    does not wait for long."""
    flusher = threading.Thread(target=_Flush, daemon=True, name="flusher")
    try:
        flusher.start()
        flusher.join(PATIENCE_SEC)
    except RuntimeError:                        # there can be no more threads
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
    """A terminal, whose user has not said that he wants no colours (no-color.org)."""
    return os.isatty(number) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
