"""The optional files listed in core/optional.txt, for the other tools and the tests: Load()."""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = ROOT / "core" / "optional.txt"
SRC = ROOT / "src"
CORE = "microWebSrv"
PREFIX = "microWeb"              # prefix of the names of all optional files
PLACES = ("classic", "board", "import", "desk")


@dataclass(frozen=True)
class OptionalFile:
    """One line of the registry; core/optional.txt explains the columns."""

    name: str
    option: str
    where: str
    needs: tuple[str, ...]
    mpyBytes: int
    brings: str

    @property
    def isClassic(self) -> bool:
        return self.where == "classic"

    @property
    def isForBoards(self) -> bool:
        return self.where != "desk"

    @property
    def isSought(self) -> bool:
        """True if the core looks for this file; False if programs import it."""
        return self.where != "import"

    @property
    def path(self) -> Path:
        return SRC / (self.name + ".py")


def Parse(text: str) -> list[OptionalFile]:
    """Parse a registry. ValueError names the invalid line."""
    found: dict[str, OptionalFile] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(None, 5)
        where = "core/optional.txt, line %d: " % number
        if len(words) != 6:
            raise ValueError(where + "six columns are needed")
        name, option, place, needs, size, brings = words
        if not (name.isidentifier() and option.isidentifier()) or keyword.iskeyword(option):
            raise ValueError(where + "name and option must be usable as names of Python")
        if not name.startswith(PREFIX):
            raise ValueError(where + "the name must begin with " + PREFIX)
        if place not in PLACES:
            raise ValueError(where + "where it runs must be one of " + ", ".join(PLACES))
        if not size.isdigit():
            raise ValueError(where + "bytes must be a number")
        if name in found or option in {one.option for one in found.values()}:
            raise ValueError(where + "it is there twice")
        names = () if needs == "-" else tuple(needs.split(","))
        found[name] = OptionalFile(name, option, place, names, int(size), brings)
    for one in found.values():
        for need in one.needs:
            if need not in found:
                raise ValueError("core/optional.txt: %s needs %s, which does not exist" % (one.name, need))
            if one.isForBoards and not found[need].isForBoards:
                raise ValueError("core/optional.txt: %s runs on boards, %s does not" % (one.name, need))
    return list(found.values())


def Load(path: Path = REGISTRY) -> list[OptionalFile]:
    return Parse(path.read_text(encoding="utf-8"))


def WithNeeds(names: Iterable[str], files: list[OptionalFile]) -> list[str]:
    """These files and those that they need, in the order of the registry."""
    needs = {one.name: one.needs for one in files}
    wanted: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending.extend(needs[name])
    return [one.name for one in files if one.name in wanted]


def Classic(files: list[OptionalFile]) -> list[str]:
    """The modules that every board gets: the core and the optional files of the original server."""
    return [CORE, *[one.name for one in files if one.isClassic]]


def ForBoards(files: list[OptionalFile]) -> list[str]:
    """The modules that can run on a board."""
    return [CORE, *[one.name for one in files if one.isForBoards]]


def CoreList(files: list[OptionalFile]) -> str:
    """The text of core/optional.py."""
    files = [one for one in files if one.isSought]
    onBoards = [one.name[len(PREFIX):] for one in files if one.isForBoards]
    onDesks = [one.name[len(PREFIX):] for one in files if not one.isForBoards]
    lines = [
        "# The optional files, in the order in which the core looks for them: names without the prefix %s." % PREFIX,
        "# One string, because a tuple would take three times as much memory on a board.",
        "# Made from optional.txt by tools/make_packages.py: change that file, not this one.", ""]
    if onDesks:
        lines += ["from .text import MICROPYTHON", ""]
    lines += ["OPTIONAL = (", *['    "%s "' % name for name in onBoards], ")"]
    if onDesks:
        lines += ["if not MICROPYTHON:", "    OPTIONAL += (", *['        "%s "' % name for name in onDesks], "    )"]
    return "\n".join(lines) + "\n"
