#!/usr/bin/env python3
"""Make a module from a site, to freeze it into a firmware: python3 tools/freeze_www.py www -o build/frozen

Writes build/frozen/www_site.py with all files of the folder, and build/frozen/www_pyhtml with its .pyhtml pages as
compiled modules. Frozen, both stay in flash; the server reads the files where they are:

    import www_site
    mws = MicroWebSrv(webPath=www_site)

The firmware needs microWebTemplate and microWebPages for the pages. Hidden files and .py files are left out. With
--gzip, files that become 10 % smaller are stored only compressed. That needs microWebFiles, which answers 406 to
clients that don't accept gzip.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from pathlib import Path

import compile_templates

EPOCH = 946684800           # 2000-01-01: seconds since then fit into a small int on a 32-bit board
COMPRESSED = {".br", ".gif", ".gz", ".jpeg", ".jpg", ".mp3", ".mp4", ".png", ".webm", ".webp", ".woff", ".woff2",
              ".zip"}

MODULE = '''\
# Made of the folder {name} by tools/freeze_www.py: change the files there, not this one.
# MicroWebSrv(webPath=<this module>) serves them; see docs/boards.md.

import io
import time

root = "{name}"             # pages are the modules of {name}_pyhtml

_EPOCH = 0 if time.gmtime(0)[0] == 2000 else 946684800

# Constant tuples of constants: frozen, they take no memory. No data: a folder.
_NAMES = ({names},)
_TIMES = ({times},)
_DATA = ({data},)


def Stat(path):
    """-> (isFolder, size, mtime) or None."""
    name = path[:-1] if path[-1:] == "/" else path
    if name not in _NAMES:
        return None
    index = _NAMES.index(name)
    data = _DATA[index]
    if data is None:
        return True, 0, 0
    return (False, len(data), _TIMES[index] + _EPOCH) if name is path else None


def Open(path):
    """-> a binary file that reads the data where they are."""
    data = _DATA[_NAMES.index(path)] if path in _NAMES else None
    if data is None:
        raise OSError(2)
    return io.BytesIO(data)
'''


def Files(folder: Path) -> list[Path]:
    """The files and folders to serve, sorted by name."""
    return [path for path in sorted(folder.rglob("*"))
            if not any(part.startswith(".") for part in path.relative_to(folder).parts)
            and "__pycache__" not in path.parts and path.suffix not in (".py", ".pyc")]


def Content(path: Path, compress: bool) -> tuple[str, bytes | None]:
    """-> (suffix to add to the name, content; None for a folder)."""
    if path.is_dir():
        return "", None
    if path.suffix == ".pyhtml":
        return "", b""                  # its text is not needed, because it becomes a module
    data = path.read_bytes()
    if compress and path.suffix not in COMPRESSED and not path.with_name(path.name + ".gz").exists():
        small = gzip.compress(data, 9, mtime=0)
        if len(small) < len(data) * 0.9:
            return ".gz", small
    return "", data


def ModuleSource(folder: Path, compress: bool) -> str:
    names, times = [""], [0]
    data: list[bytes | None] = [None]
    for path in Files(folder):
        suffix, content = Content(path, compress)
        names.append("/" + path.relative_to(folder).as_posix() + suffix)
        times.append(max(0, int(path.stat().st_mtime) - EPOCH))
        data.append(content)
    return MODULE.format(name=folder.name, names=", ".join(map(repr, names)), times=", ".join(map(repr, times)),
                         data=",\n         ".join(map(repr, data)))


def Main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of the site")
    parser.add_argument("-o", "--out", type=Path, default=Path("build/frozen"), help="default: build/frozen")
    parser.add_argument("--gzip", action="store_true", help="store files that shrink only as .gz")
    options = parser.parse_args(args)
    folder = options.folder.resolve()
    if not folder.is_dir() or not folder.name.isidentifier():
        print("freeze_www: %s is not a folder whose name can be that of a module" % folder, file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    source = ModuleSource(folder, options.gzip)
    target = options.out / (folder.name + "_site.py")
    target.write_text(source, encoding="utf-8")
    print("%d bytes in %s" % (target.stat().st_size, target))
    return compile_templates.Main([str(folder), "-o", str(options.out)])


if __name__ == "__main__":
    sys.exit(Main())
