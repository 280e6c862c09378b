#!/usr/bin/env python3
"""Make all generated files of this repository: python3 tools/make_packages.py [--check]

    core/optional.py        the names that the core looks for, from core/optional.txt
    src/microWebSrv.py      the single file, from the rooms in core/ (tools/amalgamate.py)
    board/*.mpy, names.txt  the files for boards (tools/build_mpy.py)
    package.json, rooms.json, board/*.json, src/*.json      packages for mip
    docs/boards.md          the table of packages, between its marks BEGIN and END

    mpremote mip install package.json               the three files as .mpy, for any board
    mpremote mip install board/events.json          the server and microWebEvents
    mpremote mip install rooms.json                 the sources, the server as a folder of small files
    mpremote mip install src/package.json           the three sources, for a board with much memory

A package lists all files that it needs, so that they have the same version: .mpy files of different builds don't work
together. With --check nothing is written; stale files are listed and the exit code is 1.

The packages contain relative paths, which mip supports since 1.25. For older boards,

    python3 tools/make_packages.py --base github:OWNER/REPOSITORY -o dist/mip

writes packages with absolute URLs, to be put where the board can reach them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

import amalgamate
import build_mpy
import registry

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
OPTIONAL = ROOT / "core" / "optional.py"
PAGE = ROOT / "docs" / "boards.md"
BEGIN, END = "<!-- made: python3 tools/make_packages.py -->", "<!-- end -->"
Urls = list[tuple[str, str]]        # (target path, source path from the root of the repository)


def Version() -> str:
    """__version__ of the server, which is defined only there."""
    for path in (SRC / "microWebSrv.py", *sorted((ROOT / "core").glob("*.py"))):
        found = re.search(r'^__version__ = "(.+)"$', path.read_text(encoding="utf-8"), re.M)
        if found:
            return found.group(1)
    raise ValueError("there is no __version__")


def Sets(files: list[registry.OptionalFile]) -> dict[str, list[str]]:
    """{package name: its modules}. mip takes the first package if only the folder is given."""
    sets = {"package": registry.Classic(files), "core": [registry.CORE]}
    for one in files:
        if one.isForBoards:
            sets[one.option] = [registry.CORE, *registry.WithNeeds([one.name], files)]
    return sets


def Rooms(files: list[registry.OptionalFile]) -> Urls:
    """The server as a package of rooms, and the classic optional files."""
    rooms = [name for name in ("__init__", *amalgamate.ROOMS) if (ROOT / "core" / (name + ".py")).exists()]
    return [*[("microWebSrv/%s.py" % name, "core/%s.py" % name) for name in rooms],
            *[(name + ".py", "src/%s.py" % name) for name in registry.Classic(files)[1:]]]


def Packages() -> dict[str, Urls]:
    """{package path: its files}. Packages with missing files are left out."""
    files = registry.Load()
    packages: dict[str, Urls] = {}
    for name, modules in Sets(files).items():
        if all((SRC / (module + ".py")).exists() for module in modules):
            packages["board/%s.json" % name] = [(module + ".mpy", "board/%s.mpy" % module) for module in modules]
            packages["src/%s.json" % name] = [(module + ".py", "src/%s.py" % module) for module in modules]
        else:
            print("make_packages: no package %s, for not all of its files are there" % name, file=sys.stderr)
    packages["package.json"] = packages["board/package.json"]
    packages["rooms.json"] = Rooms(files)
    return packages


def Table(files: list[registry.OptionalFile]) -> str:
    """A Markdown table of the packages."""
    rows = ["| mip package | brings |", "| --- | --- |",
            "| `package.json` | %s |" % ", ".join("`%s`" % name for name in registry.Classic(files)),
            "| `core.json` | the server alone |"]
    for one in files:
        if one.isForBoards:
            needs = ["`%s`" % name for name in registry.WithNeeds(one.needs, files)]
            rows.append("| `%s.json` | the server, %s`%s`: %s |" % (
                one.option, "".join(name + ", " for name in needs), one.name, one.brings))
    return "\n".join(rows)


def Page(files: list[registry.OptionalFile]) -> dict[Path, str]:
    """{docs/boards.md: its content with the table}."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if BEGIN not in text:
        return {}
    before, _, rest = text.partition(BEGIN)
    return {PAGE: "%s%s\n%s\n%s%s" % (before, BEGIN, Table(files), END, rest.partition(END)[2])}


def Described(urls: Urls, base: str) -> str:
    """The text of a package. base: prefix of the files' addresses, or the folder of the package, to which they are
    relative."""
    lines = ['    ["%s", "%s"]' % (target, where[len(base):] if where.startswith(base) else base + where)
             for target, where in urls]
    text = '{\n  "version": "%s",\n  "urls": [\n%s\n  ]\n}\n' % (Version(), ",\n".join(lines))
    json.loads(text)
    return text


def Descriptions() -> dict[Path, str]:
    """{path: text} of all packages in the repository. mip first looks for package.json at the root."""
    return {ROOT / path: Described(urls, path.rpartition("/")[0] + "/" if "/" in path else "")
            for path, urls in Packages().items()}


def WriteWithBase(base: str, out: Path) -> None:
    for path, urls in Packages().items():
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Described(urls, base.rstrip("/") + "/"), encoding="utf-8")


def StaleTexts(texts: dict[Path, str]) -> list[Path]:
    return [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def Strays(known: dict[Path, str]) -> list[Path]:
    """Package files that should not exist."""
    return [path for folder in ("board", "src") for path in sorted((ROOT / folder).glob("*.json")) if path not in known]


def Check() -> list[str]:
    """The paths of stale files."""
    files = registry.Load()
    descriptions = Descriptions()
    stale = StaleTexts({OPTIONAL: registry.CoreList(files), amalgamate.TARGET: amalgamate.Text(), **descriptions,
                        **Page(files)})
    stale += [one.path for one in files if not one.path.exists()] + Strays(descriptions)
    stale += [build_mpy.BOARD / name for name in build_mpy.Stale(build_mpy.Made(build_mpy.Command()), build_mpy.BOARD)]
    return [path.relative_to(ROOT).as_posix() for path in stale]


def Make() -> None:
    Write({OPTIONAL: registry.CoreList(registry.Load())})
    if amalgamate.IsComplete():
        Write({amalgamate.TARGET: amalgamate.Text()})
    else:
        print("make_packages: src/microWebSrv.py stays as it is, for not all rooms are there", file=sys.stderr)
    build_mpy.Write(build_mpy.Made(build_mpy.Command()), build_mpy.BOARD)
    descriptions = Descriptions()
    Write({**descriptions, **Page(registry.Load())})
    for path in Strays(descriptions):
        path.unlink()
        print("no more %s" % path.relative_to(ROOT).as_posix())
    print("%d packages of version %s" % (len(descriptions), Version()))


def Write(texts: dict[Path, str]) -> None:
    for path in StaleTexts(texts):
        path.write_text(texts[path], encoding="utf-8")
        print("made %s" % path.relative_to(ROOT).as_posix())


def Main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 and the names if something is stale")
    parser.add_argument("--base", metavar="ADDRESS", help="only write packages that name whole addresses")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "dist" / "mip", help="where --base writes")
    options = parser.parse_args(args)
    try:
        if options.base:
            WriteWithBase(options.base, options.out)
            return 0
        if options.check:
            stale = Check()
            for path in stale:
                print("make_packages: %s is out of date: run python3 tools/make_packages.py" % path,
                      file=sys.stderr)
            return 1 if stale else 0
        Make()
    except (amalgamate.Refused, SyntaxError, ValueError) as error:
        print("make_packages: %s" % error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(Main())
