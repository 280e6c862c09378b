#!/usr/bin/env python3
"""Make what mip installs: python3 tools/make_packages.py [-o dist/mpy]

Compiles the modules into dist/mpy and describes them there, and in the clone itself, as packages for mip:

    mpremote mip install dist/mpy/package.json          the three files as .mpy, for any board
    mpremote mip install dist/mpy/events.json           the server and microWebEvents
    mpremote mip install package.json                   the three sources, for a board with much memory

A package names all files that it needs, so that they are of one version: the .mpy files of two builds don't fit
together. With --check nothing is written; it fails where the descriptions in the clone are not what they should be.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
MPY = ROOT / "dist" / "mpy"

CORE = ("microWebSrv",)
SOCKET = (*CORE, "microWebSocket")
PACKAGES = {
    "package": (*SOCKET, "microWebTemplate"),
    "core": CORE,
    "websocket": SOCKET,
    "template": (*CORE, "microWebTemplate"),
    "events": (*CORE, "microWebEvents"),
    "deflate": (*SOCKET, "microWebDeflate"),
}


def Version() -> str:
    """__version__ of the server: the one place where it stands."""
    found = re.search(r'^__version__ = "(.+)"$', (SRC / "microWebSrv.py").read_text(encoding="utf-8"), re.M)
    assert found
    return found.group(1)


def Described(modules: tuple[str, ...], suffix: str, folder: str = "") -> str:
    """The text of one package: the files, each from beside it or from a folder below."""
    lines = ['    ["%s%s", "%s%s%s"]' % (name, suffix, folder, name, suffix) for name in modules]
    text = '{\n  "version": "%s",\n  "urls": [\n%s\n  ]\n}\n' % (Version(), ",\n".join(lines))
    json.loads(text)
    return text


def Sources() -> dict[Path, str]:
    """The descriptions that stand in the clone. package.json is where mip looks first: at the root."""
    found = {SRC / (name + ".json"): Described(modules, ".py") for name, modules in PACKAGES.items()
             if name != "package"}
    found[ROOT / "package.json"] = Described(PACKAGES["package"], ".py", "src/")
    return found


def Compiled(folder: Path) -> dict[Path, str]:
    return {folder / (name + ".json"): Described(modules, ".mpy") for name, modules in PACKAGES.items()}


def Main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only look whether the clone's descriptions are right")
    parser.add_argument("-o", "--out", type=Path, default=MPY, help="where the .mpy files go (default: dist/mpy)")
    options = parser.parse_args(args)
    wrong = [path for path, text in Sources().items()
             if not path.exists() or path.read_text(encoding="utf-8") != text]
    if options.check:
        for path in wrong:
            print("make_packages: %s is not what it should be" % path.relative_to(ROOT), file=sys.stderr)
        return 1 if wrong else 0
    if subprocess.run([sys.executable, str(ROOT / "tools" / "build_mpy.py"), "-o", str(options.out)]).returncode:
        return 1
    for path, text in {**Sources(), **Compiled(options.out)}.items():
        path.write_text(text, encoding="utf-8")
    print("%d packages of version %s" % (len(PACKAGES), Version()))
    return 0


if __name__ == "__main__":
    sys.exit(Main())
