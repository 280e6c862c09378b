"""The folder of a program: its files, the features that its sources use, and the server files that it needs."""

from __future__ import annotations

import ast
import fnmatch
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from microwebsrv import data
from microwebsrv.data import CORE, Trouble

STARTERS = ("boot.py", "main.py")
# Files that are not copied. A pattern with a leading slash is a path below the folder, others match anywhere.
LEFT_OUT = [".*", "__pycache__", "node_modules", "*.py[co]", "*~", "*.new", "tests", "test_*.py", "conftest.py",
            "/*.md", "/pyproject.toml", "/requirements*.txt", "/LICENSE*", "/sd"]
IGNORE_FILE = ".pushignore"
_SERVER_FILE = re.compile(r"(microWeb\w+)\.(py|mpy)$")


@dataclass
class Source:
    """A .py file of the program. tree is None if this Python can't parse it; then error tells why."""

    name: str
    data: bytes
    tree: ast.Module | None = None
    error: SyntaxError | None = None

    def __post_init__(self) -> None:
        try:
            self.tree = ast.parse(self.data, self.name)
        except SyntaxError as error:
            self.error = error
        except ValueError as error:             # a NUL byte
            self.error = SyntaxError(str(error), (self.name, 1, 0, ""))


@dataclass
class Need:
    """Why a server file is needed: the first place that uses it."""

    file: str
    source: str
    line: int
    why: str


@dataclass
class Project:
    folder: Path
    files: list[str]                            # relative to the folder, with slashes
    sources: dict[str, Source]
    own: dict[str, str]                         # {server file: its path} of the copies in the folder
    needs: dict[str, Need] = field(default_factory=dict)

    @property
    def home(self) -> str:
        """The path for server files, with a trailing slash: where the program's copies are, else lib/."""
        places = [path for name, path in self.own.items() if name == CORE] or list(self.own.values())
        return places[0].rpartition("/")[0] + "/" * ("/" in places[0]) if places else "lib/"


def IsLeftOut(path: str, patterns: list[str]) -> bool:
    for pattern in patterns:
        if pattern.startswith("/"):
            if fnmatch.fnmatchcase("/" + path, pattern) and path.count("/") < pattern.count("/"):
                return True
        elif fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path.rpartition("/")[2], pattern):
            return True
    return False


def Files(folder: Path, exclude: list[str]) -> list[str]:
    """The files for the board, sorted by path."""
    ignore = folder / IGNORE_FILE
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
    patterns = LEFT_OUT + exclude + [line.strip().rstrip("/") for line in lines if line.strip() and line[0] != "#"]
    found = []
    for place, folders, names in os.walk(folder):
        below = Path(place).relative_to(folder).as_posix() + "/"
        below = "" if below == "./" else below
        folders[:] = [name for name in folders if not IsLeftOut(below + name, patterns)
                      and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))]
        found += [below + name for name in names if not IsLeftOut(below + name, patterns)]
    return sorted(found)


def Imports(tree: ast.AST) -> list[tuple[str, ast.stmt]]:
    """(module, node) of each import, except `from . import x`, which refers to the program itself."""
    found: list[tuple[str, ast.stmt]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(one.name, node) for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [(node.module, node), *[(node.module + "." + one.name, node) for one in node.names]]
    return found


def Needs(source: Source) -> list[Need]:
    """The server files that one source needs because of an import, a method, or an async or threaded handler."""
    if not source.tree:
        return []
    found, methods = [], data.Methods()
    for module, where in Imports(source.tree):
        name = next((part for part in module.split(".") if part in data.Registry()), "")
        if name:
            found.append(Need(name, source.name, where.lineno, "is imported"))
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr in methods:
            found.append(Need(methods[node.attr], source.name, node.lineno, "has " + node.attr))
        elif isinstance(node, ast.AsyncFunctionDef) and any("oute" in ast.unparse(one) for one in node.decorator_list):
            found.append(Need("microWebAsync", source.name, node.lineno, "runs async handlers"))
        elif isinstance(node, ast.keyword) and node.arg == "threaded" and ast.unparse(node.value) == "True":
            found += [Need("microWebThreads", source.name, call.lineno, "runs handlers with threaded=True")
                      for call in ast.walk(source.tree) if isinstance(call, ast.Call) and node in call.keywords
                      and ast.unparse(call.func).endswith("oute")]
    return found


def Load(folder: Path, exclude: list[str] | None = None) -> Project:
    if not folder.is_dir():
        raise Trouble("%s is not a folder" % folder, 2)
    files = Files(folder, exclude or [])
    own = {}
    for path in files:
        found = _SERVER_FILE.fullmatch(path.rpartition("/")[2])
        if found and (found.group(1) == CORE or found.group(1) in data.Registry()):
            own[found.group(1)] = path
    rooms = {path.rpartition("/")[0] for path in files if path.endswith(CORE + "/__init__.py")}
    for room in rooms:                          # the core as a package of small files
        own[CORE] = room
    mine = [path for path in files if path not in own.values() and path.rpartition("/")[0] not in rooms]
    sources = {path: Source(path, (folder / path).read_bytes()) for path in mine if path.endswith(".py")}
    project = Project(folder, mine, sources, own)
    for source in sources.values():
        for need in Needs(source):
            project.needs.setdefault(need.file, need)
    return project
