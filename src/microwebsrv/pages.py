"""Compiles .pyhtml pages to Python modules: for tools/compile_templates.py, and for `push`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Iterable

# Any, because the compiler is not public and has no stubs.
microWebTemplate: Any = importlib.import_module("microWebTemplate")
microWebPages: Any = importlib.import_module("microWebPages")
microWebTemplate.MaxNames = 240     # the limit of MicroPython

# The lines before the code have no place in the page. Names that end in __ are not renamed in any build.
MODULE = """\
# Made from {name} by tools/compile_templates.py: change that file, not this one.

{code}


page__ = (page__, {names!r}, {places!r}, {files!r}, {texts!r})
"""
LINES_ABOVE = MODULE.index("{code}") - len(MODULE[:MODULE.index("{code}")].replace("\n", ""))

class Compiler(microWebPages.Compiler):  # type: ignore[misc]
    words: str

    def Compile(self, name: str) -> str:
        self.page.code = super().Compile(name)
        return self.page.code  # type: ignore[no-any-return]

    def Scan(self, code: str, mode: str | None = None) -> str:
        """MicroPython supports only ASCII names, and each word of an f-string may be a name."""
        code = super().Scan(code, mode)
        self.words = "\n".join(" ".join(filter(str.isascii, line.split())) for line in self.words.split("\n"))
        return code


microWebTemplate.Compiler = Compiler


def ModuleName(name: str) -> str:
    """The name of a page's module, as microWebPages expects it."""
    return name.rpartition(".")[0].replace("/", "__")


def ModuleSource(root: Path, name: str) -> str:
    """The source of the module for the page `name` below root. Raises microWebTemplate.TemplateError."""
    page = microWebTemplate.Page(None, microWebTemplate, root.as_posix() + "/", name)
    super(microWebPages.Page, page).Compile()           # from its source, even if a module exists
    return MODULE.format(name=name, code=page.code, names=tuple(page.names), places="\n" * LINES_ABOVE + page.places,
                         files=tuple(page.files), texts=tuple(page.texts))


def Modules(root: Path) -> dict[str, str]:
    """{module name: page} of all pages below root, except hidden ones; .PYHTML, as FAT names files, counts too."""
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
    """The source of the package's __init__: the paths of all pages, for a site whose .pyhtml files are not copied."""
    pages = {"/" + name: "/" + name for name in names if "/_" not in "/" + name}
    pages.update({page[:-len("index.pyhtml")]: page for page in pages.values()
                  if page.lower().endswith("/index.pyhtml")})
    return "# Made by tools/compile_templates.py.\n\nPages = {\n%s}\n" % "".join(
        "    %r: %r,\n" % pair for pair in sorted(pages.items()))
