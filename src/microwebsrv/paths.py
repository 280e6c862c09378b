"""Paths of a board on a desk: /flash, /sd, /www and what else the desk does not have are folders of the program."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

ALWAYS = ("flash", "sd", "www")     # even where the desk has such a folder
# Functions whose first argument is a path; of rename, both.
ONE_PATH = ("stat", "listdir", "scandir", "mkdir", "remove", "unlink", "rmdir", "chdir", "statvfs", "utime", "access")
TWO_PATHS = ("rename", "replace")


class Paths:
    """The folder of a program in the place of the root of a board."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self._exists: Callable[[str], bool] = self._Exists(os.stat)

    @staticmethod
    def _Exists(stat: Callable[[str], object]) -> Callable[[str], bool]:
        """With the function as it is before it is replaced."""
        def Exists(path: str) -> bool:
            try:
                stat(path)
            except (OSError, ValueError):
                return False
            return True
        return Exists

    def Map(self, path: Any) -> Any:
        """/flash/a.txt -> a.txt of the folder; what the desk has itself stays."""
        if not isinstance(path, str) or not path.startswith("/") or path.startswith(self.folder):
            return path
        first, _, rest = path[1:].partition("/")
        if first == "flash" and not self._exists(self.folder + "/flash"):
            return self.folder + ("/" + rest).rstrip("/")
        if first in ALWAYS or first and not self._exists("/" + first):
            return self.folder + path
        isOurs = not self._exists(path) and self._exists(self.folder + path)
        return self.folder + path if isOurs else path

    def Install(self) -> None:
        """From now on, in this process."""
        def Mapped(function: Callable[..., Any], count: int) -> Callable[..., Any]:
            def Call(*args: Any, **options: Any) -> Any:
                return function(*map(self.Map, args[:count]), *args[count:], **options)
            return Call
        builtins.open = io.open = Mapped(open, 1)
        for names, count in ((ONE_PATH, 1), (TWO_PATHS, 2)):
            for name in names:
                if hasattr(os, name):
                    setattr(os, name, Mapped(getattr(os, name), count))
