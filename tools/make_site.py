#!/usr/bin/env python3
"""Make the web site of the manual: python3 tools/make_site.py [-o FOLDER]

The pages are README.md, docs/*.md, the API (tools/api_pages.py), the programs of examples/, and the files for
contributors in the root. The site is written to build/site/html. It loads nothing from another host. To read it:

    python3 -m http.server -d build/site/html

The tool needs zensical: pip install '.[docs]', or the .venv of tools/test.py. A broken link ends the build with an
error and exit code 1.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

import api_pages

ROOT = Path(__file__).resolve().parent.parent

# The groups of the navigation, each with its pages: the names of files in docs, or names on the site for pages from
# elsewhere. A missing page is left out. A page of docs that is in no group is added to the last one.
GROUPS: dict[str, list[str]] = {
    "Start": ["choosing", "tutorial", "contents", "boards", "command", "portal", "examples/index", "migrating"],
    "Guides": ["routes", "hooks", "json", "files", "templates", "websockets", "uploads", "asgi", "broker", "testing",
               "extending"],
    "Security": ["security", "tls", "auth", "sessions", "cors", "recipes-security", "security-policy"],
    "Operation": ["deploy", "proxies", "reliability", "memory", "performance", "measurements"],
    "Reference": ["reference", "API", "seed-api"],
    "Project": ["changelog", "design", "contributing"],
}
API, OTHERS = "API", "Project"

# {path in the repository: path on the site}. The pages of docs/ keep their names.
PLACES = {
    "README.md": "index.md",
    "SECURITY.md": "security-policy.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "docs/index.md": "contents.md",
    "bench/results/README.md": "measurements.md",
    "examples": "examples/index.md",
}
TITLES = {"security-policy": "What is promised", "measurements": "Measurements"}
PICTURES = (".png", ".svg")
# {opening line of a fence that has a meaning only for the tests: the line on the site}
FENCES = {
    "```python board": '```python title="On a board"',
    "```python desk": '```python title="On CPython"',
    "```pyhtml": "```html",
    "```result": "```text",
}

FENCE = re.compile(r"^(```|~~~).*?^\1$", re.M | re.S)
# On GitHub a bar in code in a table needs a backslash. On the site the backslash would be visible.
CODE_BAR = re.compile(r"`[^`\n]*\\\|[^`\n]*`")
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:)([^)\s#]+)(#[^)\s]*)?\)")


class Site:
    """The sources of the site. `places` is {path in the repository: path on the site}."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pages: dict[str, str] = {}     # {path on the site: text}
        self.pictures: set[str] = set()
        self.wrong: list[str] = []          # broken links
        self.places = dict(PLACES)
        for page in sorted((root / "docs").glob("*.md")):
            self.places.setdefault("docs/" + page.name, page.name)
        for program in sorted((root / "examples").rglob("*.py")):
            path = program.relative_to(root).as_posix()
            if "/www/" not in path:
                self.places[path] = path[:-len(".py")] + ".md"

    def Collect(self) -> None:
        for path, place in self.places.items():
            if path.endswith(".md"):
                self.pages[place] = self.Moved(path, (self.root / path).read_text(encoding="utf-8"))
            elif path.endswith(".py"):
                self.pages[place] = Program(path, (self.root / path).read_text(encoding="utf-8"))
        self.pages["examples/index.md"] = self.Examples()
        for name, text in api_pages.Pages().items():
            self.pages["api/" + name] = text

    def Moved(self, path: str, text: str) -> str:
        """Return the text of a page with the links that are right for its place on the site. Code does not change."""
        parts, end = [], 0
        for block in FENCE.finditer(text):
            parts += [self.Links(path, text[end:block.start()]), Fence(block.group())]
            end = block.end()
        return "".join([*parts, self.Links(path, text[end:])])

    def Links(self, path: str, text: str) -> str:
        def Replace(found: re.Match[str]) -> str:
            mark, label, target, anchor = found.group(1), found.group(2), found.group(3), found.group(4) or ""
            there = os.path.normpath(os.path.join(os.path.dirname(path), target)).replace(os.sep, "/")
            if there.endswith(PICTURES):
                self.pictures.add(there)
                place = "pictures/" + Path(there).name
            elif there in self.places:
                place = self.places[there]
            elif (self.root / there).exists():
                return "%s (`%s` in the repository)" % (label, there)
            else:
                self.wrong.append("%s: %s does not exist" % (path, target))
                return found.group()
            start = os.path.dirname(self.places[path]) or "."
            return "%s[%s](%s%s)" % (mark, label, os.path.relpath(place, start).replace(os.sep, "/"), anchor)
        return CODE_BAR.sub(lambda found: found.group().replace("\\|", "|"), LINK.sub(Replace, text))

    def Examples(self) -> str:
        lines = ["# Examples", "", "Whole programs, one purpose each.", "",
                 "| program | |", "| --- | --- |"]
        for path, place in self.places.items():
            if path.endswith(".py"):
                name, target = path[len("examples/"):], place[len("examples/"):]
                lines.append("| [`%s`](%s) | %s |" % (name, target, Says(self.root / path)))
        return "\n".join(lines) + "\n"

    def Navigation(self) -> list[object]:
        """Return the groups with the pages that exist."""
        named = {page for pages in GROUPS.values() for page in pages}
        rest = [Path(place).stem for path, place in self.places.items()
                if path.startswith("docs/") and Path(place).stem not in named]
        groups: list[object] = [{"Home": "index.md"}]
        for group, pages in GROUPS.items():
            entries: list[object] = []
            for page in [*pages, *(rest if group == OTHERS else [])]:
                if page == API:
                    entries.append({API: [place for place in self.pages if place.startswith("api/")]})
                elif page + ".md" in self.pages:
                    entries.append({TITLES[page]: page + ".md"} if page in TITLES else page + ".md")
            groups.append({group: entries})
        return groups

    def Write(self, folder: Path) -> None:
        for place, text in self.pages.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text, encoding="utf-8")
        (folder / "pictures").mkdir(exist_ok=True)
        for picture in sorted(self.pictures):
            if (self.root / picture).exists():
                shutil.copy(self.root / picture, folder / "pictures")
        shutil.copy(ROOT / "tools" / "site.css", folder)


def Says(program: Path) -> str:
    """Return the first paragraph of a program's docstring, for a cell of a table."""
    first = (ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return api_pages.Plain(" ".join(first.split())).replace("|", "\\|")


def Fence(block: str) -> str:
    first, rest = block.split("\n", 1)
    return "%s\n%s" % (FENCES.get(first) or first.partition(" ")[0], rest)


def Program(path: str, text: str) -> str:
    return "# %s\n\n```python\n%s\n```\n" % (path, text.rstrip("\n"))


def Toml(value: object) -> str:
    """Return a value as TOML. Its strings have the syntax of JSON."""
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s = %s" % (json.dumps(key), Toml(one)) for key, one in value.items())
    if isinstance(value, list):
        return "[%s]" % ", ".join(map(Toml, value))
    return json.dumps(value)


# The configuration of zensical.
SETTINGS = """
[project]
site_name = "MicroWebSrv"
site_description = "A web server for MicroPython and CPython"
docs_dir = "pages"
site_dir = "html"
use_directory_urls = false
extra_css = ["site.css"]
nav = %s

[project.extra]
generator = false

[project.theme]
font = false
features = ["content.code.copy", "navigation.sections", "navigation.top", "navigation.footer", "search.highlight",
            "toc.follow"]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"
toggle.icon = "lucide/sun"
toggle.name = "Dark colours"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"
toggle.icon = "lucide/moon"
toggle.name = "Light colours"

[project.markdown_extensions.attr_list]

[project.markdown_extensions.tables]

[project.markdown_extensions.toc]
permalink = true
slugify = {object = "pymdownx.slugs.slugify", kwds = {case = "lower"}}

[project.markdown_extensions.pymdownx.highlight]

[project.markdown_extensions.pymdownx.superfences]
"""


def Make(root: Path, folder: Path) -> bool:
    """Write the sources of the site to folder/pages, and the site to folder/html. True if no link is broken."""
    if folder.exists():
        shutil.rmtree(folder)
    site = Site(root)
    site.Collect()
    site.Write(folder / "pages")
    (folder / "zensical.toml").write_text(SETTINGS % Toml(site.Navigation()), encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "-f", "zensical.toml"], cwd=folder,
                          capture_output=True, text=True, encoding="utf-8")
    said = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
    faults = ["%s: %s" % (place, what) for what, place in re.findall(r"^Warning: (.*)\n.*\[ (.*) \]$", said, re.M)]
    if done.returncode and not faults:
        faults = [said]
    for fault in [*site.wrong, *faults]:
        print("tools/make_site.py: " + fault, file=sys.stderr)
    return not site.wrong and done.returncode == 0


def Main() -> int:
    parser = argparse.ArgumentParser(description="Make the web site of the manual.")
    parser.add_argument("-o", dest="folder", type=Path, default=ROOT / "build" / "site", help="default: build/site")
    args = parser.parse_args()
    if importlib.util.find_spec("zensical") is None:
        parser.exit(3, "tools/make_site.py: zensical is not installed: pip install '.[docs]'\n")
    if args.folder.exists() and any(args.folder.iterdir()) and not (args.folder / "zensical.toml").exists():
        parser.error("%s holds something else; the site needs a folder of its own" % args.folder)
    if not Make(ROOT, args.folder):
        return 1
    print("%s/html" % args.folder)
    return 0


if __name__ == "__main__":
    sys.exit(Main())
