"""Data about the server for the command: its .mpy files, the registry of optional files, the measured heap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLONE = HERE.parent.parent
CORE = "microWebSrv"


class Trouble(Exception):
    """Ends the command with one line for the user. code: 2 for wrong arguments, 3 for a failure."""

    def __init__(self, text: str, code: int = 3) -> None:
        super().__init__(text)
        self.code = code


def _Place(installed: str, inClone: str) -> Path:
    """Installed packages have a copy of these files; a clone has the originals."""
    path = HERE / "data" / installed
    return path if path.exists() else CLONE / inClone


@dataclass(frozen=True)
class OptionalFile:
    """One line of core/optional.txt."""

    name: str
    option: str
    where: str
    needs: tuple[str, ...]


@lru_cache(maxsize=None)
def Registry() -> dict[str, OptionalFile]:
    """{name: registry line} of all optional files, in order."""
    lines = _Place("optional.txt", "core/optional.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split(None, 5) for line in lines if line.strip() and line[0] != "#"]
    return {row[0]: OptionalFile(row[0], row[1], row[2], () if row[3] == "-" else tuple(row[3].split(",")))
            for row in rows}


def Classic() -> list[str]:
    return [CORE, *[one.name for one in Registry().values() if one.where == "classic"]]


def WithNeeds(names: set[str]) -> list[str]:
    """These server files and those that they need, in the order of the registry."""
    found, pending = set(names), list(names)
    while pending:
        one = Registry().get(pending.pop())
        for need in one.needs if one else ():
            if need not in found:
                found.add(need)
                pending.append(need)
    return [name for name in (CORE, *Registry()) if name in found]


def Named(word: str) -> str:
    """The optional file for a word like `events` or `microWebEvents`. Trouble if there is none."""
    for one in Registry().values():
        if word.lower() in (one.option, one.name.lower()):
            if one.where == "desk":
                raise Trouble("%s does not run on boards" % one.name, 2)
            return one.name
    raise Trouble("there is no optional file %s; there are %s"
                  % (word, ", ".join(one.option for one in Registry().values())), 2)


def Bytecode(name: str) -> bytes:
    """The .mpy file of a server file."""
    try:
        return _Place(name + ".mpy", "board/%s.mpy" % name).read_bytes()
    except OSError:
        raise Trouble("%s.mpy is missing: install microwebsrv again" % name)


@lru_cache(maxsize=None)
def Methods() -> dict[str, str]:
    """{method: file} for the methods that optional files add to the server's classes: `kind.Ping = _Ping`."""
    core = (HERE.parent / (CORE + ".py")).read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for name in Registry():
        text = (HERE.parent / (name + ".py")).read_text(encoding="utf-8")
        for method in re.findall(r"^ +[\w.()]+\.([A-Z]\w+) = _\1$", text, re.M):
            if not re.search(r"^ +(def %s\(|(\w+ = )*%s\b.* = )" % (method, method), core, re.M):
                found[method] = name
    return found


@lru_cache(maxsize=None)
def Heap() -> dict[str, int]:
    """{files: bytes of a 32-bit heap that their .mpy take}, from docs/memory.md. Keys: `the core alone`, `the three`,
    and the name of each optional file, with the bytes that it adds to the three and to the files that it needs."""
    text = _Place("memory.md", "docs/memory.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (the [^|]+?) \| [\d,]+ \| [\d,]+ \| ([\d,]+) \|", text, re.M)
    figures = {name: int(figure.replace(",", "")) for name, figure in rows}
    found = {name: figure for name, figure in figures.items() if " and " not in name}
    for name, one in sorted(Registry().items(), key=lambda row: len(WithNeeds({row[0]}))):
        figure = figures.get("the three and `%s`" % name)
        if figure:                              # its row includes the files that it needs
            found[name] = figure - found["the three"] - sum(found.get(need, 0) for need in WithNeeds(set(one.needs)))
    return found


@lru_cache(maxsize=None)
def Serving() -> int:
    """Bytes that the three need to answer one request, in addition to the heap that they take: from the smallest 32-bit
    heap."""
    text = _Place("memory.md", "docs/memory.md").read_text(encoding="utf-8")
    found = re.search(r"^\| three, one request \| (\d+) KB", text, re.M)
    return int(found.group(1)) * 1024 - Heap()["the three"] if found else 10240
