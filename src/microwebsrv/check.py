"""Find the parts of a program that will not fit or not run on MicroPython: file, line, and what to do.

The command compiles each file and each page with mpy-cross. It looks for modules, names and methods that MicroPython
does not have, for file names that FAT does not allow, and for missing files of the server. It also estimates the heap.

The exit status is 0 if it has found nothing, else 1. Lines with `note:` do not count.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from microwebsrv import build, data, pages, project, tables
from microwebsrv.language import Findings
from microwebsrv.project import Project, Source

NAME_MAX = 255
COMPILE_BYTES = 14                  # bytes of a 32-bit heap that the compiler needs for each token (docs/memory.md)
LARGE_MAIN = 40 * 1024


@dataclass(frozen=True, order=True)
class Finding:
    file: str
    line: int
    text: str
    isNote: bool = False

    def __str__(self) -> str:
        place = "%s:%d: " % (self.file, self.line) if self.line else "%s: " % self.file
        return place + ("note: " if self.isNote else "") + self.text


# -- sources --------------------------------------------------------------------

def CheckSource(source: Source, own: set[str]) -> list[Finding]:
    """own: the names of the program's own modules."""
    found = [Finding(source.name, line, text) for line, text in Findings(source.tree, own)] if source.tree else []
    try:
        build.Compile(source.data, source.name)
    except SyntaxError as error:
        told = {one.line for one in found}
        line = error.lineno or 1
        if line not in told and line - 1 not in told:
            found.append(Finding(source.name, line, "SyntaxError: %s" % error.msg))
    if source.error and not found:
        found.append(Finding(source.name, source.error.lineno or 1, "CPython: SyntaxError: %s" % source.error.msg))
    return found


def OwnModules(program: Project) -> set[str]:
    """Return the top-level names of the modules that the program can import from its folder or from lib."""
    names = {re.sub(r"^(flash/)?(lib/)?", "", path) for path in program.files if path.endswith((".py", ".mpy"))}
    return {re.sub(r"\.m?py$", "", name.partition("/")[0]) for name in names}


# -- pages, names -----------------------------------------------------------------

def CheckPages(program: Project) -> list[Finding]:
    """Compile each page, as `push` does."""
    found = []
    roots = build.WebRoots(program)
    for path in program.files:
        if not path.lower().endswith(".pyhtml"):
            continue
        root = next((root for root in roots if path.startswith(root + "/")), path.rpartition("/")[0])
        name = path[len(root) + 1:] if root else path
        try:
            build.Compile(pages.ModuleSource(program.folder / root, name).encode(), path)
        except SyntaxError as error:
            found.append(Finding(path, 0, "MicroPython can't compile its Python: %s" % error.msg))
        except (pages.microWebTemplate.TemplateError, OSError, ValueError) as error:
            found.append(_OfPage(path, " ".join(str(error).split())))
    return found


def _OfPage(path: str, text: str) -> Finding:
    """Make a finding of an error such as `/whole/path/page.pyhtml, line 2: ...`. The path may also be that of a page
    which this one includes."""
    found = re.fullmatch(r"(.*?)(?:, line |:)(\d+): (.*)", text)
    if not found:
        return Finding(path, 0, text)
    other = found.group(1).replace("\\", "/").rpartition("/")[2]
    return Finding(path, int(found.group(2)), ("" if path.endswith(other) else other + ": ") + found.group(3))


def CheckNames(files: list[str]) -> list[Finding]:
    """Find names that FAT does not allow. Many boards and all cards have this file system."""
    found: list[Finding] = []
    seen: dict[str, str] = {}
    for path in files:
        for part in path.split("/"):
            if re.search(r'[\x00-\x1f"*:<>?|\\]', part) or part[-1:] in ". ":
                found.append(Finding(path, 0, "FAT does not allow the name %r" % part))
            elif len(part) > NAME_MAX:
                found.append(Finding(path, 0, "the name is longer than %d characters" % NAME_MAX))
        other = seen.setdefault(path.lower(), path)
        if other != path:
            found.append(Finding(path, 0, "on FAT it has the same name as %s" % other))
    return found


# -- files of the server ----------------------------------------------------------

def CheckServer(program: Project) -> list[Finding]:
    """Report the optional files that the program needs, and why. `push` adds those that run on a board."""
    found = []
    for need in program.needs.values():
        if data.Registry()[need.file].where == "desk":
            found.append(Finding(need.source, need.line, "%s %s, and does not run on boards" % (need.file, need.why)))
        elif need.file not in data.Classic():
            text = "%s %s: add %s.mpy; `microwebsrv push` does" % (need.file, need.why, need.file)
            found.append(Finding(need.source, need.line, text, need.file in program.own or not program.own))
    for path in sorted(program.own.values()):
        found.append(Finding(path, 0, "a copy of a file of the server: `microwebsrv push` replaces it", True))
    return found


# -- the heap -----------------------------------------------------------------------

def Heap(program: Project, server: list[str], free: int | None) -> list[str]:
    """Return an estimate of the heap, with the parts of the sum. A program that does not compile raises SyntaxError."""
    measured, three = data.Heap(), data.Classic()
    bytecode = 0
    for source in program.sources.values():
        bytecode += len(build.Compile(source.data, source.name))
    ratio = measured["the three"] / sum(len(data.Bytecode(name)) for name in three)
    theirs = measured["the three"] + sum(measured.get(name) or int(len(data.Bytecode(name)) * ratio)
                                         for name in server if name not in three)
    mine, serving = int(bytecode * ratio), data.Serving()
    total = theirs + mine + serving
    lines = ["The heap, an estimate for boards of 32 bits: %d KB" % -(-total // 1024),
             "  %7d  the server, %d files as .mpy: measured, docs/memory.md" % (theirs, len(server)),
             "  %7d  the program: %d bytes as .mpy, times %.2f as measured for the server" % (mine, bytecode, ratio),
             "  %7d  to serve one request: the smallest heap that did, less what the files keep" % serving,
             "Objects that the program creates are not included. What is left of the heap with Wi-Fi on%s:" % (
                 "" if free else " (published figures, not measured here; --free N takes that of your board)")]
    boards = {"your board": free // 1024} if free else tables.BOARDS
    for name, heap in boards.items():
        left = heap - total / 1024
        lines.append("  %-10s %4d KB: %s" % (name, heap, "%d KB" % left if left > 0 else "it does not fit"))
    return lines


def CheckMain(program: Project) -> list[Finding]:
    """Report a large main.py or boot.py. A board compiles these by itself; `push` compiles the other modules."""
    found = []
    for name in project.STARTERS:
        tokens = len(re.findall(rb"\w+|[^\w\s]", program.sources[name].data)) if name in program.sources else 0
        if tokens * COMPILE_BYTES > LARGE_MAIN:
            text = "a board needs about %d KB of heap for a moment to compile it: put most of it in a module"
            found.append(Finding(name, 0, text % (tokens * COMPILE_BYTES // 1024), True))
    return found


def Check(program: Project) -> list[Finding]:
    own = OwnModules(program)
    found = [one for source in program.sources.values() for one in CheckSource(source, own)]
    if not any(name in program.files for name in project.STARTERS):
        found.append(Finding("main.py", 0, "the file is missing: a board runs it when it starts"))
    found += CheckPages(program) + CheckNames(program.files) + CheckServer(program) + CheckMain(program)
    return sorted(set(found))


def Run(options: argparse.Namespace) -> int:
    program = project.Load(options.folder, options.exclude)
    found = Check(program)
    for one in found:
        print(one)
    hasPages = any(path.endswith(".pyhtml") for path in program.files)
    files = build.ServerFiles(program, options.with_, [], hasPages)
    try:
        lines = [] if CheckPages(program) else Heap(program, files, options.free)
    except SyntaxError:
        lines = []
    print("\n".join(lines or ["No estimate of the heap: the program does not compile."]))
    faults = sum(not one.isNote for one in found)
    things = "1 thing" if faults == 1 else "%d things" % faults
    print("microwebsrv: %s" % (things + " to look at" if faults else "nothing found"))
    return int(faults > 0)


def Parser(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="the folder of the program, with its main.py")
    add("--with", action="append", default=[], dest="with_", metavar="NAME",
        help="add a file of the server, such as events, to the estimate of the heap")
    add("--exclude", action="append", default=[], metavar="PATTERN", help="leave out the files that match")
    add("--free", type=int, metavar="BYTES", help="the result of gc.mem_free() on your board with Wi-Fi on")
