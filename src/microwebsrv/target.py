"""The target of the command: a folder, a program, or `module:server`."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from microWebSrv import MicroWebSrv
from microwebsrv.data import Trouble


@dataclass(frozen=True)
class Target:
    folder: Path                    # the files in it are watched
    program: Path | None = None     # main.py or another program; None for a folder without main.py and for a module
    module: str = ""                # package.module
    name: str = ""                  # the name of the server in the module, or of a function that returns a server

    @property
    def word(self) -> str:
        """The argument of the command for this target."""
        return "%s:%s" % (self.module, self.name) if self.module else str(self.program or self.folder)


def Find(text: str) -> Target:
    """Return the target for an argument of the command, or raise Trouble."""
    path = Path(text)
    named = re.fullmatch(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d][\w.]*)", text)
    if path.is_dir():
        folder = path.resolve()
        program = folder / "main.py"
        if program.is_file():
            return Target(folder, program)
        if not _HasFiles(folder):
            raise Trouble("%s is empty: there is neither a main.py nor a page in it" % text, 2)
        return Target(folder)
    if path.is_file():
        if path.suffix != ".py":
            raise Trouble("%s is neither a folder nor a program, whose name ends in .py" % text, 2)
        program = path.resolve()
        return Target(program.parent, program)
    if named:
        return Target(Path.cwd(), None, *named.groups())
    if ":" in text and not os.path.isabs(text):
        raise Trouble("%s is not module:server, such as package.module:mws" % text, 2)
    raise Trouble("there is no %s" % ("program " + text if path.suffix == ".py" else "folder " + text), 2)


def _HasFiles(folder: Path) -> bool:
    """True if the folder has files that can be served. Hidden files are never served."""
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        if any(name[0] != "." for name in names):
            return True
    return False


def RunProgram(target: Target) -> None:
    """Run the program in a module named __main__, as `python main.py` does."""
    path = str(target.program)
    source = Path(path).read_bytes()
    try:
        code = compile(source, path, "exec")
    except ValueError as error:                 # a zero byte
        raise SyntaxError(str(error), (path, 1, 0, ""))
    module = ModuleType("__main__")
    module.__dict__.update(__file__=path, __builtins__=builtins)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


def ServerOf(target: Target) -> MicroWebSrv:
    """Return the server that `module:server` names, or the one that the named function returns."""
    found: object = _Import(target)
    for part in target.name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Trouble("%s has no %s" % (target.module, target.name), 2)
    isFunction = callable(found) and not isinstance(found, MicroWebSrv)
    if callable(found) and isFunction:
        found = found()
    if not isinstance(found, MicroWebSrv):
        raise Trouble("%s %s, which is not a MicroWebSrv" % (
            target.word, ("returns %.60r" if isFunction else "is %.60r") % (found,)), 2)
    return found


def _Import(target: Target) -> ModuleType:
    try:
        path = target.folder / (target.module + ".py")
        if target.module in sys.modules and path.is_file():     # Python has loaded its own module with this name
            return _Load(target.module, path)
        return importlib.import_module(target.module)
    except ModuleNotFoundError as error:
        if (target.module + ".").startswith((error.name or "?") + "."):
            raise Trouble("there is no module %s in %s" % (error.name, target.folder), 2)
        raise


def _Load(name: str, path: Path) -> ModuleType:
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
