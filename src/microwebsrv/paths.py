"""Maps board paths on a desk: /flash, /sd, /www and other paths that the desk lacks lead to the program's folder."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

ALWAYS = ("flash", "sd", "www")     # mapped even if the desk has such a folder
# Functions whose first argument is a path; rename has two.
ONE_PATH = ("stat", "listdir", "scandir", "mkdir", "remove", "unlink", "rmdir", "chdir", "statvfs", "utime", "access")
TWO_PATHS = ("rename", "replace")


class Paths:
    """The folder of a program, used as the root of a board."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self._exists: Callable[[str], bool] = self._Exists(os.stat)

    @staticmethod
    def _Exists(stat: Callable[[str], object]) -> Callable[[str], bool]:
        """Use os.stat as it was before it is replaced."""
        def Exists(path: str) -> bool:
            try:
                stat(path)
            except (OSError, ValueError):
                return False
            return True
        return Exists

    def Map(self, path: Any) -> Any:
        """/flash/a.txt -> a.txt in the folder. Paths that exist on the desk are not changed."""
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
        """Replace the functions in this process."""
        def Mapped(function: Callable[..., Any], count: int) -> Callable[..., Any]:
            def Call(*args: Any, **options: Any) -> Any:
                return function(*map(self.Map, args[:count]), *args[count:], **options)
            return Call
        builtins.open = io.open = Mapped(open, 1)
        for names, count in ((ONE_PATH, 1), (TWO_PATHS, 2)):
            for name in names:
                if hasattr(os, name):
                    setattr(os, name, Mapped(getattr(os, name), count))
