#!/usr/bin/env python3
"""Check that a tag may be published: python3 tools/check_release.py v2.0.0 https://address.of/the/repository

The version, the tag and the newest heading of CHANGELOG.md must be the same. setup.py must name the repository that
publishes, because its links appear on the page of the package and can't be changed there later. The exit code is 1 if
something is wrong.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def Find(path: Path, pattern: str) -> str:
    """Return the first group of the pattern's first match in a file, or "nothing"."""
    found = re.search(pattern, path.read_text(encoding="utf-8"), re.M)
    return found.group(1) if found else "nothing"


def Faults(root: Path, tag: str, home: str) -> list[str]:
    """Return one sentence for each fault that must be mended before this tag is published."""
    version = Find(root / "core" / "text.py", r'^__version__ = "(.*)"$')
    newest = Find(root / "CHANGELOG.md", r"^## (\d\S*)")
    repository = Find(root / "setup.py", r'^REPOSITORY = "(.*)"$')
    faults = []
    if tag != "v" + version:
        faults.append("the tag is %s, but __version__ of core/text.py is %s" % (tag, version))
    if newest != version:
        faults.append("the first heading of CHANGELOG.md is %s, but __version__ of core/text.py is %s"
                      % (newest, version))
    if repository != home:
        faults.append("REPOSITORY of setup.py is %s, but this is %s" % (repository, home))
    return faults


def Main() -> int:
    if len(sys.argv) != 3:
        sys.exit("usage: python3 tools/check_release.py TAG REPOSITORY")
    faults = Faults(ROOT, sys.argv[1], sys.argv[2])
    for fault in faults:
        print("tools/check_release.py: " + fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(Main())
