"""Finds features in a source that MicroPython lacks, by its syntax tree and the tables."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from microwebsrv import data, tables
from microwebsrv.members import Misspelt

Place = tuple[int, str]             # line, text


def Instead(text: str) -> str:
    return "; use " + text if text and text[:5] != "leave" and text != "by position" else "; " + text if text else ""


# -- syntax --------------------------------------------------------------------------

def _Kinds(*names: str) -> tuple[type[ast.AST], ...]:
    """The node types of these names that this Python has."""
    return tuple(getattr(ast, name) for name in names if hasattr(ast, name))


_MATCH, _TRY_STAR, _TYPE = _Kinds("Match"), _Kinds("TryStar"), _Kinds("TypeAlias")
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _OfCode(node: ast.AST) -> str:
    """Why MicroPython can't compile this node; "" if it can."""
    if isinstance(node, _MATCH):
        return "match; use if and elif"
    if isinstance(node, _TRY_STAR):
        return "except*"
    if isinstance(node, _TYPE):
        return "a type alias"
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)) and isinstance(node.ctx if hasattr(node, "ctx") else ast.Load(),
                                                                       ast.Load):
        return "* in a display; use +" if any(isinstance(one, ast.Starred) for one in node.elts) else ""
    if isinstance(node, ast.Dict):
        return "** in a display; use dict.update" if None in node.keys else ""
    if isinstance(node, _COMPREHENSIONS):
        return "async in a comprehension; use a loop" if any(one.is_async for one in node.generators) else ""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return _OfDefinition(node)
    return ""


def _OfDefinition(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    if getattr(node, "type_params", None):
        return "parameters of types"
    if any(not re.fullmatch(r"[\w.]+(\(.*\))?", ast.unparse(one), re.S) for one in node.decorator_list):
        return "a decorator that is neither a name nor a call"
    if isinstance(node, ast.ClassDef):
        return "%s= of a class" % node.keywords[0].arg if node.keywords else ""
    return "/ among parameters" if node.args.posonlyargs else ""


def _OfMeaning(node: ast.AST) -> str:
    """Why this node compiles, but behaves differently on MicroPython; "" if it does not."""
    if isinstance(node, ast.Raise) and node.cause and ast.unparse(node.cause) != "None":
        return "raise from: MicroPython drops the cause"
    if isinstance(node, ast.AsyncFunctionDef) and any(isinstance(one, ast.Yield) for one in _Own(node)):
        return "async def with yield is a plain generator in MicroPython; use a class with __aiter__ and __anext__"
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass") and len(node.args) == 2:
        return "isinstance with |; use a tuple" if isinstance(node.args[1], ast.BinOp) else ""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "iter" and len(node.args) == 2:
        return "iter with two arguments; use a loop"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and node.slice.step:
        return "a slice with a step works for lists only" if ast.unparse(node.slice.step) not in ("1", "None") else ""
    return ""


def _Own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without nested functions."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield node
            yield from _Own(node)


# -- names ---------------------------------------------------------------------------------

_TRIED = re.compile("ImportError|NameError|AttributeError|ModuleNotFoundError")
_ASKED = re.compile(r"implementation|MICROPYTHON|sys\.platform|hasattr")


def _Guarded(tree: ast.AST) -> set[int]:
    """The ids of nodes that the program guards: below `try` with except ImportError, NameError or AttributeError, and
    below an `if` that tests the runtime."""
    found: set[int] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST] = []
        if isinstance(node, ast.Try) and any(one.type is None or _TRIED.search(ast.unparse(one.type))
                                             for one in node.handlers):
            parts = [*node.body, *node.handlers, *node.orelse]
        elif isinstance(node, ast.If) and _ASKED.search(ast.unparse(node.test)):
            parts = [*node.body, *node.orelse]
        found.update(id(inner) for part in parts for inner in ast.walk(part))
    return found


class _Names:
    """The meaning of the names in one file."""

    def __init__(self, tree: ast.AST) -> None:
        self.modules: dict[str, str] = {}           # {local name: module}
        self.things: dict[str, str] = {}            # {local name: module.name}
        self.defined: set[str] = set()              # names and attributes that the file defines
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.modules.update({one.asname or one.name.partition(".")[0]: one.name if one.asname
                                     else one.name.partition(".")[0] for one in node.names})
            elif isinstance(node, ast.ImportFrom) and not node.level:
                self.things.update({one.asname or one.name: "%s.%s" % (node.module, one.name) for one in node.names})
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.defined.add(node.name)
            elif isinstance(node, ast.arg):
                self.defined.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.defined.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                self.defined.add(node.attr)

    def Whole(self, node: ast.AST) -> str:
        """The full name of a node, like time.monotonic; "" if it does not belong to a module."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = self.modules.get(node.value.id)
            return "%s.%s" % (Plain(module), node.attr) if module and node.value.id not in self.defined else ""
        if isinstance(node, ast.Name):
            whole = self.things.get(node.id, "")
            module, _, name = whole.rpartition(".")
            return "%s.%s" % (Plain(module), name) if module else ""
        return ""


def Plain(module: str) -> str:
    """utime -> time"""
    return module[1:] if module[:1] == "u" and module[1:] in tables.MODULES else module


def _Import(node: ast.AST, own: set[str]) -> Iterator[str]:
    """Problems with the modules of an import."""
    names = [one.name for one in node.names] if isinstance(node, ast.Import) else \
        [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
    for whole in names:
        name = whole.partition(".")[0]
        isServer = name in data.Registry() or name == data.CORE
        if name in own or Plain(name) in tables.MODULES or isServer or not name:
            continue
        if name == "microwebsrv":
            yield "boards have no module microwebsrv; use from microWebSrv import MicroWebSrv"
        elif name.startswith("microWeb"):
            yield "there is no file %s of the server, and none in the folder" % name
        elif name in tables.ABSENT:
            hint = re.sub(r"^mip\b", "`mpremote mip install %s` brings one" % name, tables.ABSENT[name])
            yield "MicroPython has no module %s%s" % (name, "; " + hint if hint.startswith("`") else Instead(hint))
        elif name in getattr(sys, "stdlib_module_names", ()):
            yield "MicroPython has no module %s" % name
        else:
            yield "the module %s is neither in the folder nor in MicroPython" % name


def _Member(node: ast.AST, names: _Names, own: set[str]) -> Iterator[str]:
    """Names that a module of a board, or a class of it, does not have."""
    wholes = []
    if isinstance(node, ast.ImportFrom) and not node.level:
        wholes = ["%s.%s" % (Plain(node.module or ""), one.name) for one in node.names if one.name != "*"]
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        kind = names.Whole(node.value)
        wholes = [names.Whole(node), "%s.%s" % (kind, node.attr) if kind else ""]
    for whole in wholes:
        if whole.partition(".")[0] not in own and whole not in tables.NAMES:
            yield Misspelt(whole)


def _Name(node: ast.AST, names: _Names) -> str:
    """The problem with a name or an attribute, or ""."""
    whole = names.Whole(node)
    if whole in tables.NAMES:
        return "MicroPython has no %s%s" % (whole, Instead(tables.NAMES[whole]))
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in tables.BUILTINS:
        isOwn = node.id in names.defined or node.id in names.things
        return "" if isOwn else "MicroPython has no %s%s" % (node.id, Instead(tables.BUILTINS[node.id]))
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.attr in tables.ATTRIBUTES:
        return _Lacks(node.attr, tables.ATTRIBUTES, names)
    return ""


def _Lacks(name: str, table: dict[str, str], names: _Names) -> str:
    return "" if name in names.defined else "MicroPython has no .%s%s" % (name, Instead(table[name]))


def _Call(node: ast.Call, names: _Names) -> Iterator[str]:
    """Keyword arguments that a function does not accept there; unsupported regular expressions."""
    whole = names.Whole(node.func) or ast.unparse(node.func)
    method = "." + node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if method[1:] in tables.METHODS and not names.Whole(node.func):
        yield _Lacks(method[1:], tables.METHODS, names)
    for one in node.keywords:
        for function in (whole, method):
            if (function, one.arg) in tables.KEYWORDS:
                hint = tables.KEYWORDS[function, one.arg or ""]
                yield "%s(%s=) has no such argument in MicroPython; %s" % (function, one.arg, hint.replace(
                    "by position", "give it by position"))
    pattern = node.args[0] if node.args else None
    if re.fullmatch(r"re\.(compile|match|search|sub)", whole) and isinstance(pattern, ast.Constant):
        for expression, what, isSilent in tables.REGEX:
            if isinstance(pattern.value, str) and re.search(expression, pattern.value):
                yield "MicroPython's re has not %s%s" % (what, ": it never matches" if isSilent else "")


def Findings(tree: ast.Module, own: set[str]) -> list[Place]:
    """All findings in one file. own: the modules of the program."""
    names, guarded = _Names(tree), _Guarded(tree)
    found: list[Place] = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        wrong = _OfCode(node)
        if wrong:
            found.append((line, "MicroPython has no " + wrong))
        if id(node) in guarded:
            continue
        texts = [_OfMeaning(node), _Name(node, names), *_Import(node, own), *_Member(node, names, own)]
        texts += _Call(node, names) if isinstance(node, ast.Call) else []
        found += [(line, text) for text in texts if text]
    return found
