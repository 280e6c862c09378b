#!/usr/bin/env python3
"""Make src/microWebSrv.py, the one file that people copy, from the rooms in core/: python3 tools/amalgamate.py

    python3 tools/amalgamate.py --check             exits with 1 if src/microWebSrv.py is out of date
    python3 tools/amalgamate.py --where 1234        the room and line from which line 1234 of src/microWebSrv.py comes
    python3 tools/amalgamate.py --where < log       prints the log with tracebacks that refer to the rooms
    python3 tools/amalgamate.py --coverage lcov.info    the same for a coverage report

The rooms follow in the order of ROOMS. A room imports names of rooms above it with `from .room import name`; in the
single file these imports are removed, and the imports of the standard library are collected at the top. Code that would
behave differently in a single file is refused: a name that two rooms bind, an import under another name, a name that a
room uses without importing it, an imported name that its room changes later.

Coverage is measured on the single file (`coverage run --include=src/microWebSrv.py …`, then `coverage lcov`);
--coverage converts the records to records of the rooms, which genhtml and editors read.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import re
import symtable
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeGuard

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "core"
TARGET = ROOT / "src" / "microWebSrv.py"
ROOMS = ("text", "messages", "readers", "writers", "router", "connection", "exchange", "files", "transport", "engine",
         "optional", "server")

HEADER = """\
# MicroWebSrv: a micro HTTP server with routes, for MicroPython and CPython.
# Copy this one file; microWebSocket.py and microWebTemplate.py beside it add WebSockets and .pyhtml pages.
# MIT license, see LICENSE.
#
# Made from the rooms in core/ by tools/amalgamate.py: change those, not this file.
"""
RULE = "# " + "=" * 78

Place = tuple[str, int]         # a room and a line of it


class Refused(ValueError):
    """A room that can't be part of the single file."""


@dataclass
class Room:
    """One file of core/. Lines are counted from 1."""

    name: str
    text: str
    lines: list[str] = field(default_factory=list)
    bound: dict[str, int] = field(default_factory=dict)         # module-level name: line
    imported: dict[str, str] = field(default_factory=dict)      # name: the room that it is imported from
    standard: dict[str, int] = field(default_factory=dict)      # single import of the standard library: line
    dropped: set[int] = field(default_factory=set)              # lines of imports

    def Refuse(self, line: int, text: str) -> Refused:
        return Refused("core/%s.py, line %d: %s" % (self.name, line, text))


def Flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, including those below if, try, for, while and with."""
    for statement in body:
        yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for part in ("body", "orelse", "finalbody"):
                yield from Flat(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", ()):
                yield from Flat(handler.body)


def Bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a module-level statement binds by itself."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.With, ast.Delete, ast.Expr)):
        parts: list[ast.AST] = [statement]
        if isinstance(statement, ast.For):
            parts = [statement.target]
        elif isinstance(statement, ast.With):
            parts = [item.optional_vars for item in statement.items if item.optional_vars]
        for part in parts:
            for node in ast.walk(part):
                if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and not _IsInner(part, node):
                    yield node.id


def _IsInner(part: ast.AST, name: ast.Name) -> bool:
    """True for variables of a comprehension or lambda, which are not module-level."""
    inner = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
    return any(isinstance(node, inner) and name in list(ast.walk(node)) for node in ast.walk(part))


def IsOfRoom(node: ast.AST) -> TypeGuard[ast.ImportFrom]:
    """True for `from .room import names`."""
    return isinstance(node, ast.ImportFrom) and node.level > 0


def Read(name: str, text: str, above: tuple[str, ...] = ROOMS) -> Room:
    """Parse a room. Refused if it has something that is not allowed. above: the rooms that it may import."""
    room = Room(name, text, text.splitlines())
    tree = ast.parse(text, "core/%s.py" % name)
    if ast.get_docstring(tree) is not None:
        raise room.Refuse(1, "the law of a room is a comment, not a docstring")
    if name != "__init__" and text[:2] != "# ":
        raise room.Refuse(1, "a room begins with a comment that says its law")
    allowed = set(tree.body)
    for statement in tree.body:
        if isinstance(statement, ast.If) and not statement.orelse and all(map(IsOfRoom, statement.body)):
            allowed.update(statement.body)      # if not BOARD: from .room import name
            _Drop(room, statement)
    for node in ast.walk(tree):
        if IsOfRoom(node) and node not in allowed:
            raise room.Refuse(node.lineno, "rooms are imported at the top of a room")
    for statement in Flat(tree.body):
        if isinstance(statement, ast.ImportFrom) and statement.level:
            _AddRooms(room, statement, above)
        elif isinstance(statement, (ast.Import, ast.ImportFrom)) and statement in tree.body:
            _AddStandard(room, statement)
        for bound in () if statement.lineno in room.dropped else Bound(statement):
            if bound in room.imported:
                raise room.Refuse(statement.lineno, "%s belongs to the room %s" % (bound, room.imported[bound]))
            room.bound.setdefault(bound, statement.lineno)
    for bound, line in _Rebound(text, name):
        if bound in room.imported:
            raise room.Refuse(line, "%s belongs to the room %s" % (bound, room.imported[bound]))
        room.bound.setdefault(bound, line)
    return room


def _AddRooms(room: Room, statement: ast.ImportFrom, above: tuple[str, ...]) -> None:
    _Drop(room, statement)
    if statement.level != 1 or not statement.module or "." in statement.module:
        raise room.Refuse(statement.lineno, "write `from .room import names`")
    if statement.module not in above:
        raise room.Refuse(statement.lineno, "the room %s is not above the room %s" % (statement.module, room.name))
    for alias in statement.names:
        if alias.asname or alias.name == "*":
            raise room.Refuse(statement.lineno, "a name of a room can't have another name, nor can it be *")
        room.imported[alias.name] = statement.module


def _AddStandard(room: Room, statement: ast.Import | ast.ImportFrom) -> None:
    _Drop(room, statement)
    for alias in statement.names:
        if alias.name == "*":
            raise room.Refuse(statement.lineno, "import * is not allowed")
        one = (ast.Import([alias]) if isinstance(statement, ast.Import)
               else ast.ImportFrom(statement.module, [alias], 0))
        room.standard.setdefault(ast.unparse(one), statement.lineno)


def _Drop(room: Room, statement: ast.stmt) -> None:
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    code = textwrap.dedent("\n".join(room.lines[first - 1:last]))
    if len(ast.parse(code).body) != 1:
        raise room.Refuse(first, "an import needs its own line")
    room.dropped.update(range(first, last + 1))


def _Rebound(text: str, name: str) -> Iterator[tuple[str, int]]:
    """(module-level name that a function binds with `global`, line of the function)."""
    for scope in _Scopes(text, name):
        for symbol in scope.get_symbols():
            if symbol.is_declared_global() and symbol.is_assigned():
                yield symbol.get_name(), scope.get_lineno()


def _Scopes(text: str, name: str) -> Iterator[symtable.SymbolTable]:
    pending = [symtable.symtable(text, "core/%s.py" % name, "exec")]
    while pending:
        scope = pending.pop()
        pending.extend(scope.get_children())
        yield scope


def Used(room: Room) -> Iterator[tuple[str, int]]:
    """(name, line nearby) for each module-level or builtin name that the room uses."""
    for scope in _Scopes(room.text, room.name):
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or scope.get_type() == "module"):
                yield symbol.get_name(), scope.get_lineno()


def Check(rooms: list[Room]) -> None:
    """Refused if the single file would behave differently from the rooms."""
    owners: dict[str, Room] = {}
    standard = {statement for room in rooms for statement in room.standard}
    imported = {bound for one in standard for bound in Bound(ast.parse(one).body[0])}
    for room in rooms:
        for name, line in room.bound.items():
            if name in owners:
                raise room.Refuse(line, "%s is bound by the room %s too" % (name, owners[name].name))
            if name in imported:
                raise room.Refuse(line, "%s is imported by another room" % name)
            owners[name] = room
    for room in rooms:
        own = {bound for one in room.standard for bound in Bound(ast.parse(one).body[0])}
        for name, above in room.imported.items():
            if owners.get(name) is None or owners[name].name != above:
                raise room.Refuse(1, "the room %s has no %s" % (above, name))
        for name, line in Used(room):
            if name in room.bound or name in room.imported or name in own:
                continue
            if name in owners or name in imported:
                raise room.Refuse(line, "%s is used and not imported" % name)
            if not hasattr(builtins, name) and not name.startswith("__"):
                raise room.Refuse(line, "%s is used but not defined" % name)
    for room in rooms:
        for name, line in _Rebound(room.text, room.name):
            for other in rooms:
                if name in other.imported:
                    raise room.Refuse(line, "%s changes, and the room %s has imported its first value"
                                      % (name, other.name))


def Preamble(rooms: list[Room]) -> list[tuple[str, Place | None]]:
    """The imports of the standard library, each once: (line, its first place)."""
    places: dict[str, Place] = {}
    for room in rooms:
        for statement, line in room.standard.items():
            places.setdefault(statement, (room.name, line))
    lines: list[tuple[str, Place | None]] = [(one, places[one]) for one in sorted(places) if one.startswith("import ")]
    parts: dict[str, list[str]] = {}
    for one in sorted(places):
        if one.startswith("from "):
            module, _, name = one.partition(" import ")
            parts.setdefault(module, []).append(name)
    return lines + [("%s import %s" % (module, ", ".join(names)), places["%s import %s" % (module, names[0])])
                    for module, names in parts.items()]


def Body(room: Room) -> list[tuple[str, Place | None]]:
    """The lines of a room without imports, and without empty lines at both ends and in place of imports."""
    kept = [(line, number) for number, line in enumerate(room.lines, 1) if number not in room.dropped]
    lines: list[tuple[str, Place | None]] = []
    for line, number in kept:
        isGap = not line.strip()
        if isGap and len(lines) >= 2 and not lines[-1][0] and not lines[-2][0]:
            continue
        lines.append(("" if isGap else line, (room.name, number)))
    while lines and not lines[-1][0]:
        lines.pop()
    # Only one empty line remains where imports stood between the first comment and the code.
    law = next((index for index, (line, _) in enumerate(lines) if line[:1] != "#"), len(lines))
    while law + 1 < len(lines) and not lines[law][0] and not lines[law + 1][0]:
        start = next(line for line, _ in lines[law:] if line)
        if start.startswith(("def ", "class ", "async ", "@")):
            break
        del lines[law]
    return lines


def Assemble(rooms: list[Room], version: Place | None = None, versionLine: str = "") -> list[tuple[str, Place | None]]:
    """The lines of the single file, each with the place where it comes from."""
    lines: list[tuple[str, Place | None]] = [(line, None) for line in HEADER.splitlines()]
    preamble = Preamble(rooms)
    if preamble:
        lines += [("", None), *preamble]
    if version:
        lines += [("", None), (versionLine, version)]
    for room in rooms:
        banner = [RULE, "# %s (core/%s.py)" % (room.name.upper(), room.name), RULE]
        lines += [("", None), ("", None), *[(line, None) for line in banner], *Body(room)]
    return lines


def Load(folder: Path = CORE) -> list[tuple[str, Place | None]]:
    """The lines of the single file for these rooms. Refused, SyntaxError."""
    there = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    unknown = sorted(there - set(ROOMS))
    if unknown:
        raise Refused("core/%s.py: tools/amalgamate.py does not know its position, see ROOMS" % unknown[0])
    names = [name for name in ROOMS if name in there]
    rooms = [Read(name, (folder / (name + ".py")).read_text(encoding="utf-8"), ROOMS[:ROOMS.index(name)])
             for name in names]
    Check(rooms)
    version: Place | None = None
    versionLine = ""
    if (folder / "__init__.py").exists():
        version, versionLine = _Door((folder / "__init__.py").read_text(encoding="utf-8"), rooms)
    lines = Assemble(rooms, version, versionLine)
    _CheckMeaning(lines, rooms)
    return lines


def _CheckMeaning(lines: list[tuple[str, Place | None]], rooms: list[Room]) -> None:
    """Check that the single file has exactly the statements of the rooms."""
    def Statements(text: str) -> list[str]:
        return [ast.dump(statement) for statement in ast.parse(text).body
                if not isinstance(statement, (ast.Import, ast.ImportFrom))
                and not (isinstance(statement, ast.If) and all(map(IsOfRoom, statement.body)))]
    wanted = [dumped for room in rooms for dumped in Statements(room.text)]
    made = Statements("\n".join(line for line, _ in lines))
    if made[-len(wanted):] != wanted:
        raise Refused("a room has a text over several lines that the one file would change")


def _Door(text: str, rooms: list[Room]) -> tuple[Place | None, str]:
    """Check that core/__init__.py only imports names of rooms. -> (place, line) of the version if it is there."""
    door = Read("__init__", text)
    for name, room in door.imported.items():
        if not any(one.name == room and name in one.bound for one in rooms):
            raise door.Refuse(1, "the room %s has no %s" % (room, name))
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__version__":
            return ("__init__", statement.lineno), ast.unparse(statement).replace("'", '"')
        if not isinstance(statement, ast.ImportFrom) or not statement.level:
            raise door.Refuse(statement.lineno, "only names of rooms and the version belong here")
    return None, ""


def IsComplete(folder: Path = CORE) -> bool:
    """True if all rooms exist."""
    return all((folder / (name + ".py")).exists() for name in ("__init__", *ROOMS))


def Text(folder: Path = CORE) -> str:
    return "".join(line + "\n" for line, _ in Load(folder))


def Places(folder: Path = CORE) -> list[Place | None]:
    """The room and line of each line in the single file; index 0 is the first line."""
    return [place for _, place in Load(folder)]


def Translated(log: str, places: list[Place | None]) -> str:
    """A log whose tracebacks, of either runtime, refer to the rooms instead of the single file."""
    def Back(found: re.Match[str]) -> str:
        number = int(found.group(2))
        place = places[number - 1] if 0 < number <= len(places) else None
        return 'File "core/%s.py", line %d' % place if place else found.group()
    return re.sub(r'File "([^"\n]*\bmicroWebSrv\.py)", line (\d+)', Back, log)


def RoomsOf(report: str, places: list[Place | None]) -> str:
    """An lcov report with records of the rooms instead of the single file."""
    out: list[str] = []
    for record in re.findall(r".*?^end_of_record\n?", report, re.M | re.S):
        if not re.search(r"^SF:.*\bmicroWebSrv\.py$", record, re.M):
            out.append(record if record.endswith("\n") else record + "\n")
            continue
        counts: dict[str, list[tuple[int, str]]] = {}
        for number, count in re.findall(r"^DA:(\d+),(\d+)", record, re.M):
            place = places[int(number) - 1] if int(number) <= len(places) else None
            if place:
                counts.setdefault(place[0], []).append((place[1], count))
        for room, lines in counts.items():
            out.append("SF:core/%s.py\n" % room)
            out += ["DA:%d,%s\n" % line for line in sorted(lines)]
            out.append("LF:%d\nLH:%d\nend_of_record\n" % (len(lines), sum(count != "0" for _, count in lines)))
    return "".join(out)


def Where(line: str | None, places: list[Place | None]) -> int:
    if line is None:
        sys.stdout.write(Translated(sys.stdin.read(), places))
        return 0
    if not line.isdigit() or not 0 < int(line) <= len(places):
        print("amalgamate: src/microWebSrv.py has %d lines" % len(places), file=sys.stderr)
        return 1
    place = places[int(line) - 1]
    print("core/%s.py, line %d" % place if place else "of tools/amalgamate.py: a heading or an empty line")
    return 0


def Main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if the file is stale")
    parser.add_argument("--where", nargs="?", default=False, metavar="LINE", help="read a line, or a log, back")
    parser.add_argument("--coverage", type=Path, metavar="LCOV", help="read a coverage report back to the rooms")
    parser.add_argument("--core", type=Path, default=CORE, help="the folder of the rooms (default: core)")
    parser.add_argument("-o", "--out", type=Path, default=TARGET, help="default: src/microWebSrv.py")
    options = parser.parse_args(args)
    try:
        lines = Load(options.core)
    except (Refused, SyntaxError) as error:
        print("amalgamate: %s" % error, file=sys.stderr)
        return 1
    text = "".join(line + "\n" for line, _ in lines)
    places = [place for _, place in lines]
    if options.check or options.where is not False or options.coverage:
        if not options.out.exists() or options.out.read_text(encoding="utf-8") != text:
            print("amalgamate: %s is out of date: run python3 tools/amalgamate.py"
                  % options.out.name, file=sys.stderr)
            return 1
    if options.check:
        return 0
    if options.where is not False:
        return Where(options.where, places)
    if options.coverage:
        sys.stdout.write(RoomsOf(options.coverage.read_text(encoding="utf-8"), places))
        return 0
    options.out.write_text(text, encoding="utf-8")
    print("%d lines in %s" % (len(places), options.out))
    return 0


if __name__ == "__main__":
    sys.exit(Main())
