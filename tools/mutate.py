#!/usr/bin/env python3
"""Break a copy of the sources, and check that the tests notice it.

    python3 tools/mutate.py [NAME …]                        known faults whose names contain one of these words, or all
    python3 tools/mutate.py --rooms [ROOM …] [--sample 120] [--seed 1]      small generated changes: a sample for each
    python3 tools/mutate.py --rooms router --show           list the small changes of a room, without testing them
    python3 tools/mutate.py --only router:12,text:3         these changes, each with the test that catches it

A known fault is tested with the tests of its room, in a copy of the repository. The exit code is 1 if a fault is not
caught, or if the code that it changes no longer exists. docs/reliability.md lists the test that caught each fault.

A small change affects a comparison, a number, `and` and `or`, `not`, arithmetic, a returned value, or removes a
statement. Code that only MicroPython or a board runs is not changed. Each change gets a forked process with everything
loaded, which compiles the changed file and runs tables of bytes in memory: no client, no second interpreter. With
--sockets, the changes that survive are also tested with the tests of their room that use real sockets.

Why not mutmut or cosmic-ray: mutmut 3.8 writes every mutant of a file into that file (117 KB become 4.7 MB), ignores
code outside of functions (limits, patterns, settings), and can't run these tests, which start other interpreters that
don't know its mutants. cosmic-ray starts Python and pytest for each mutant, which takes seconds before the first test;
here a change is caught in a tenth of a second.
"""

import argparse
import ast
import copy
import functools
import importlib
import inspect
import io
import json
import os
import pathlib
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types

import amalgamate

ROOT = pathlib.Path(__file__).resolve().parent.parent

# ==============================================================================
# Known faults
# ==============================================================================

TIMEOUT_SEC = 240
READERS, CONNECTION, ROUTER, PATHS = "core/readers.py", "core/connection.py", "core/router.py", "core/files.py"
TEXT, TRANSPORT, ENGINE, SERVER = "core/text.py", "core/transport.py", "core/engine.py", "core/server.py"
FRAMES, FILES, TEMPLATE = "src/microWebSocket.py", "src/microWebFiles.py", "src/microWebTemplate.py"
PARSER_TESTS = ("tests/test_fuzz.py", "tests/test_smuggling.py", "tests/test_room_connection.py")
FRAME_TESTS = ("tests/test_fuzz.py", "tests/test_websocket_protocol.py")
ROUTER_TESTS = ("tests/test_room_router.py", "tests/test_fuzz.py")
FILE_TESTS = ("tests/test_room_files.py",)
EXCHANGE_TESTS = ("tests/test_room_exchange.py",)
CONNECTION_TESTS = ("tests/test_room_connection.py",)

# (name, file, old code, new code, tests)
MUTATIONS = (
    ("parser: a bare LF is accepted inside a head", READERS,
     'NOT_VALUE = re.compile(b"[^\\t -~', 'NOT_VALUE = re.compile(b"[^\\t\\n -~', PARSER_TESTS),
    ("parser: a Content-Length is accepted together with chunked", READERS,
     'if names != ["chunked"] or length is not None or not head.minor:', 'if names != ["chunked"] or not head.minor:',
     PARSER_TESTS),
    ("parser: the search for the head's end misses an end that is split", CONNECTION,
     "self.searched = len(data) and max(len(data) - 3, 1)", "self.searched = len(data)", PARSER_TESTS),
    ("frames: the mask starts again with each piece of a frame", FRAMES,
     "message[_KEY] = (key * 2)[size & 3:][:4]", "pass", FRAME_TESTS),
    ("frames: a control frame may be longer than 125 bytes", FRAMES,
     "first in _CONTROL and size < 254 if kind & 8", "first in _CONTROL if kind & 8", FRAME_TESTS),
    ("frames: a length may be longer than its shortest form", FRAMES,
     "if size < (126 if start < pos + 14 else 65536):", "if size < 0:", FRAME_TESTS),
    ("router: the last matching route is used", ROUTER,
     "    for route in routes:\n        if route.method == method:",
     "    for route in routes[::-1]:\n        if route.method == method:", ROUTER_TESTS),
    ("router: an argument may be empty", ROUTER,
     "if end <= start or \"/\" in value", "if end < start or \"/\" in value", ROUTER_TESTS),
    ("router: an encoded slash separates segments", READERS,
     'path = path.replace(b"%2f", b"%00").replace(b"%2F", b"%00")', "pass", ROUTER_TESTS),
    ("files: hidden files are served", PATHS,
     "|/\\\\.|[. ](/|$)|", "|/\\\\.\\\\.|[. ](/|$)|", FILE_TESTS),
    ("files: the last byte of a range is missing", FILES,
     "min(int(last) + 1, size)", "min(int(last), size)", FILE_TESTS),
    ("files: If-Modified-Since is used together with If-None-Match", FILES,
     'elif date and "if-modified-since" in fields:', 'if date and "if-modified-since" in fields:', FILE_TESTS),
    # fifteen faults that the tests of version 1 did not catch, and similar ones
    ("text: apostrophes are not escaped", TEXT, """("'", "&apos;"), """, "", ("tests/test_room_text.py",)),
    ("template: a value whose only special character is an apostrophe is not escaped", TEMPLATE,
     """ or "'" in value""", "",
     ("tests/test_template_files.py",)),
    ("connection: the handler gets the cached arguments, not a copy", CONNECTION,
     "(self.client, response, args.copy())", "(self.client, response, args)", EXCHANGE_TESTS),
    ("server: a new route does not clear the cache of heads", SERVER,
     "        self.heads = {}                         # remembered", "        # remembered", EXCHANGE_TESTS),
    ("files: the check of links is cached without an end", PATHS,
     " and known[0] == int(time.time())", "", FILE_TESTS),
    ("files: the links of a folder are listed only once", PATHS,
     "if not links or links[0] != changed:", "if not links:",
     FILE_TESTS),
    ("files: the .gz is sent with the validators of the plain file", FILES,
     "known[:3] == (self._Mark(), stat, lines)", "known[:2] == (self._Mark(), stat)", FILE_TESTS),
    ("files: the plain file is sent with the cached data of the .gz", FILES,
     "known[1] != stat or known[2]", "known[1] != stat", FILE_TESTS),
    ("frames: a fragmented text may end within a character", FRAMES,
     "self._OnData(message[_KIND], bytes(message[_CONTENT]))",
     "self._OnData(message[_KIND], self._server.Utf8(bytes(message[_CONTENT])).encode() if message[_KIND] == _TEXT"
     " else bytes(message[_CONTENT]))", ("tests/test_websocket_protocol.py",)),
    ("connection: a fast sender of content collects extra time", CONNECTION,
     "min(self.deadline + (self.credit >> 10), server.now + server.BodyTimeoutSec)",
     "self.deadline + (self.credit >> 10)", CONNECTION_TESTS),
    ("connection: an error is written into a stream that has begun", CONNECTION,
     "if self.response and self.response.code is not None and not self.response.held or self.state > _ANSWER:",
     "if self.state > _ANSWER:", CONNECTION_TESTS),
    ("connection: a waiting worker is not woken when its client disconnects", CONNECTION,
     """raises on close()
        if self.wake:
            self.wake()
""", "raises on close()\n", CONNECTION_TESTS),
    ("transport: a link that should close after its backlog stays open", TRANSPORT,
     """            if self.isClosing:
                return self.Abort()
""", "", ("tests/test_room_transport.py",)),
    ("engine: a client waits instead of 503 when all places are streams", ENGINE,
     """                    if link.deadline is not None or isinstance(link.endpoint, Connection) \\
                            and link.endpoint.deadline is not None:
                        return""", "                    if link:\n                        return",
     ("tests/test_room_engine.py",)),
    ("connection: the connection in the last place is kept alive", CONNECTION,
     "len(server.links) >= server.MaxConnections",
     "len(server.links) > server.MaxConnections", CONNECTION_TESTS),
    ("transport: a closing link does not report its sent backlog", TRANSPORT, "return len(self.out) if self.out else 0",
     "return len(self.out) if self.out and not self.isClosing else 0", ("tests/test_room_transport.py",)),
    ("connection: a lingering connection does not learn that its backlog was sent", CONNECTION,
     """        elif self.state == _LINGER:
            self._Linger()
""", "", CONNECTION_TESTS),
    ("readers: `Host: a]b` is accepted", READERS,
     """*+;=%\\\\-]")""", """*+;=%\\\\-\\\\]]")""", ("tests/test_room_messages_readers.py",)),
    ("connection: heads of any length are cached", CONNECTION, "end <= _MEMO_MAX and ", "", EXCHANGE_TESTS),
    ("connection: an idle connection keeps its request", CONNECTION,
     "        self.client = self.response = None\n        self.head",
     "        self.response = None\n        self.head", EXCHANGE_TESTS),
    ("connection: an idle connection keeps its head", CONNECTION,
     "        self.head = _PAST ", "        pass ", EXCHANGE_TESTS),
)


def CopyTree(folder):
    for name in ("core", "src", "tests", "bench", "tools", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def RunTests(folder, tests, only=""):
    """-> the first test that fails in this copy of the repository, None if all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "60", "--tb=no",
               "-k", only, *tests]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
    try:
        output = process.communicate(timeout=TIMEOUT_SEC)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "(no end)"
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.M)
    if not found and process.returncode not in (0, 1):
        raise RuntimeError(output[-2000:])
    return found.group(1) if found else None


def Play(file, old, new, tests):
    """-> the first test that fails, None if all pass, '?' if the old code does not exist."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        CopyTree(folder)
        text = (folder / file).read_text(encoding="utf-8")
        if text.count(old) != 1:
            return "?"
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")
        subprocess.run([sys.executable, "tools/amalgamate.py"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return RunTests(folder, tests)


def PlayKnown(words):
    missed = 0
    for name, file, old, new, tests in MUTATIONS:
        if not words or any(word in name for word in words):
            caught = Play(file, old, new, tests)
            missed += caught in (None, "?")
            print("%-66s %s" % (name, {None: "NOT CAUGHT", "?": "THE PLACE HAS GONE"}.get(caught, caught)), flush=True)
    return missed > 0


# ==============================================================================
# Small changes: finding them
# ==============================================================================

_STATIC = {"MICROPYTHON": False, "_MICROPYTHON": False, "BOARD": False}
_OTHER = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.And: (ast.Or,), ast.Or: (ast.And,), ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.FloorDiv,),
    ast.FloorDiv: (ast.Mult,), ast.Div: (ast.Mult,), ast.Mod: (ast.Mult,),
    ast.LShift: (ast.RShift,), ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,), ast.BitXor: (ast.BitAnd,)}


def Truth(test):
    """The value of a condition on CPython, None if it is not known before run time."""
    if isinstance(test, ast.Name):
        return _STATIC.get(test.id)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        value = Truth(test.operand)
        return None if value is None else not value
    if isinstance(test, ast.BoolOp):
        decides = isinstance(test.op, ast.Or)
        values = [Truth(value) for value in test.values]
        return decides if decides in values else None if None in values else not decides
    return None


class Changes:
    """The small changes of a tree, sorted by line: (line, old code, new code, function that makes the change)."""

    def __init__(self, tree):
        self.found = []
        self._Children(tree)
        self.found.sort(key=lambda change: change[0])

    def _Add(self, node, new, put):
        was, becomes = (" ".join(ast.unparse(one).split()) for one in (node, new))
        self.found.append((node.lineno, was, becomes, functools.partial(put, ast.copy_location(new, node))))

    def _Children(self, node):
        for field, value in ast.iter_fields(node):
            if isinstance(value, list):
                self._List(value)
            elif isinstance(value, ast.AST):
                self._Node(value, functools.partial(setattr, node, field))

    def _List(self, values):
        for at, value in enumerate(values):
            if isinstance(value, ast.AST):
                self._Node(value, functools.partial(values.__setitem__, at))
            if isinstance(value, ast.If) and Truth(value.test) and isinstance(value.body[-1], (ast.Return, ast.Raise)):
                return                      # CPython never runs the code after it

    def _Node(self, node, put):
        if isinstance(node, (ast.If, ast.IfExp)) and Truth(node.test) is not None:
            part = node.body if Truth(node.test) else node.orelse
            return self._List(part) if isinstance(part, list) else self._Node(part, functools.partial(
                setattr, node, "body" if Truth(node.test) else "orelse"))
        if isinstance(node, (ast.BoolOp, ast.UnaryOp)) and Truth(node) is not None or isinstance(node, ast.JoinedStr):
            return None
        getattr(self, "On" + type(node).__name__, lambda node, put: None)(node, put)
        self._Children(node)
        return None

    def _Operator(self, node, put):
        for other in _OTHER.get(type(node.op), ()):
            new = copy.copy(node)
            new.op = other()
            self._Add(node, new, put)

    def OnBoolOp(self, node, put):
        if not any(Truth(value) is not None for value in node.values):
            self._Operator(node, put)

    def OnBinOp(self, node, put):
        left = node.left
        # otherwise it is string formatting
        if not (isinstance(left, ast.Constant) and isinstance(left.value, (str, bytes))):
            self._Operator(node, put)

    def OnAugAssign(self, node, put):
        self._Operator(node, put)
        self._Add(node, ast.Pass(), put)

    def OnCompare(self, node, put):
        for other in _OTHER[type(node.ops[0])]:
            new = copy.copy(node)
            new.ops = [other(), *node.ops[1:]]
            self._Add(node, new, put)

    def OnUnaryOp(self, node, put):
        if isinstance(node.op, ast.Not):
            self._Add(node, node.operand, put)

    def OnConstant(self, node, put):
        if isinstance(node.value, bool):
            self._Add(node, ast.Constant(not node.value), put)
        elif isinstance(node.value, int):
            for step in (1, -1):
                self._Add(node, ast.Constant(node.value + step), put)

    def _Test(self, node):
        if isinstance(node.test, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
            self._Add(node.test, ast.UnaryOp(ast.Not(), node.test), functools.partial(setattr, node, "test"))

    def OnIf(self, node, put):
        self._Test(node)

    OnWhile = OnIfExp = OnIf

    def OnReturn(self, node, put):
        if node.value is None:
            self._Add(node, ast.Pass(), put)
        elif not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._Add(node, ast.Return(ast.Constant(None)), put)

    def OnExpr(self, node, put):
        if not isinstance(node.value, ast.Constant):
            self._Add(node, ast.Pass(), put)

    def OnAssign(self, node, put):
        if not isinstance(node.targets[0], ast.Name):
            self._Add(node, ast.Pass(), put)

    def OnRaise(self, node, put):
        self._Add(node, ast.Pass(), put)

    OnContinue = OnBreak = OnDelete = OnRaise


class Module:
    """An importable source file and its changes, by room."""

    def __init__(self, name, text, roomOf):
        self.name = name
        self.tree = ast.parse(text)
        self.rooms = {}
        for change in Changes(self.tree).found:
            place = roomOf(change[0])
            if place:
                self.rooms.setdefault(place[0], []).append((place[1], *change[1:]))

    def Compile(self):
        return compile(ast.fix_missing_locations(self.tree), str(ROOT / "src" / (self.name + ".py")), "exec")

    def Text(self):
        return ast.unparse(ast.fix_missing_locations(self.tree)) + "\n"


def Modules():
    lines = amalgamate.Load()
    places = [place for _, place in lines]
    yield Module("microWebSrv", "".join(line + "\n" for line, _ in lines), lambda line: places[line - 1])
    for name, room in (("microWebSocket", "websocket"), ("microWebTemplate", "template")):
        text = (ROOT / "src" / (name + ".py")).read_text(encoding="utf-8")
        yield Module(name, text, lambda line, room=room: (room, line))


# ==============================================================================
# Small changes: the fast tests
# ==============================================================================
# Each test is a function without arguments that raises if a result is wrong.

def _Tables(room):
    rooms = importlib.import_module("rooms")
    for table, function, rows in importlib.import_module("room_" + room).TABLES:
        for number, (args, expected) in enumerate(rows):
            if rooms.Plain(rooms.Observe(function, args)) != rooms.Plain(expected):
                raise AssertionError("%s-%d" % (table, number))


def _WebSocketCases():
    for check in importlib.import_module("websocket_cases").CHECKS:
        try:
            check()
        except BaseException as error:
            raise AssertionError(check.__name__) from error


def _Laws(*targets):
    laws = importlib.import_module("fuzz_laws")
    for target in targets:
        laws.Replay(target, ROOT / "tests" / "fuzz_corpus" / (target + ".txt"))


def _Smuggling():
    importlib.import_module("fuzz_smuggling").Check()


def _RunJobs(runtime, jobs, workDir, options=(), modulePath=()):
    """Like _RunJobs of tests/test_template_language.py, but in this process."""
    (workDir / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    os.chdir(workDir)
    out, sys.stdout = sys.stdout, io.StringIO()
    try:
        sys.argv[1:] = ["jobs.json"]
        sys.modules.pop("template_runner", None)
        importlib.import_module("template_runner")
        return json.loads(sys.stdout.getvalue())
    finally:
        sys.stdout = out


def _PlainTemplates():
    """The cases for microWebTemplate.py alone. They must run before microWebPages.py is imported, which replaces its
    classes."""
    cases = importlib.import_module("template_cases")
    template = importlib.import_module("microWebTemplate")
    escape = importlib.import_module("microWebSrv").HTMLEscape
    for name, (code, values, result) in cases.CASES.items():
        if "Markup" not in values and "Dashed" not in values:
            assert template.MicroWebTemplate(code, escape).Execute(eval(values)) == result, name
    for name, (code, values, _, what) in cases.ERRORS.items():
        if "verbatim" in code:
            continue                            # a variable without microWebPages.py
        try:
            template.MicroWebTemplate(code, escape).Execute(eval(values))
        except template.TemplateError as error:
            isMore = "{{ block" in code or "{{ extends" in code or "{{ include" in code
            assert what in str(error) or isMore and "microWebPages.py" in str(error), name
        else:
            raise AssertionError(name)


def _Templates():
    language = importlib.import_module("test_template_language")
    files = importlib.import_module("test_template_files")
    language.RunJobs = files.RunJobs = _RunJobs
    with tempfile.TemporaryDirectory() as folder:
        answers = language.Answers(_RunJobs("cpython", language.TableJobs(), pathlib.Path(folder)))
        for name in language.CASES:
            assert answers[name] == {"validate": None, "text": language.CASES[name][2]}, name
        for name in language.PAGES_CASES:
            assert answers["pages: " + name]["text"] == language.PAGES_CASES[name][2], name
        for name in language.ERRORS:
            language.CheckError(answers["error: " + name], name)
        answers = files.Answers("cpython", pathlib.Path(folder))
        for name in files.FILES:
            assert answers[name][1] == {"text": files.FILES[name][2]}, name
        for name in files.FILE_ERRORS:
            files.CheckError(answers, name)


def _Functions(name):
    """The tests of a file that need only a temporary folder and monkeypatch, and no other interpreter."""
    module = importlib.import_module(name)
    for test, function in vars(module).items():
        if not test.startswith("test_") or "micropython" in test:
            continue
        names = inspect.signature(function).parameters
        rows = [dict(zip(mark.args[0].split(", "), row if isinstance(row, tuple) else (row,)))
                for mark in getattr(function, "pytestmark", ()) for row in mark.args[1]]
        for row in rows or [{}]:
            if set(names) <= {"tmp_path", "monkeypatch", *row}:
                _Call(function, names, row)


def _Call(function, names, values):
    with tempfile.TemporaryDirectory() as folder, sys.modules["pytest"].MonkeyPatch.context() as patch:
        values.update(tmp_path=pathlib.Path(folder), monkeypatch=patch)
        try:
            function(**{name: values[name] for name in names})
        except BaseException as error:
            raise AssertionError(function.__name__) from error


FAST = {room: functools.partial(_Tables, room) for room in (
    "text", "messages_readers", "writers", "router", "transport", "engine", "exchange", "server", "files",
    "connection")}
FAST.update({
    "laws": functools.partial(_Laws, "head", "chunked", "form", "query", "range", "server"), "smuggling": _Smuggling,
    "disk": functools.partial(_Functions, "test_room_files"),
    "sockets": functools.partial(_Functions, "test_room_transport"),
    "runs": functools.partial(_Functions, "test_room_engine"), "frames": functools.partial(_Laws, "frame"),
    "websocket": _WebSocketCases, "template": _Templates, "plain": _PlainTemplates,
    "pages": functools.partial(_Laws, "template"),
    "memory": functools.partial(_Functions, "test_template_memory")})
# The tests that can notice a change in a room, the most likely ones first.
BATTERIES = {
    "text": "text messages_readers writers files exchange laws websocket",
    "messages": "messages_readers exchange writers connection",
    "readers": "messages_readers connection laws smuggling exchange",
    "writers": "writers exchange server files connection", "router": "router server exchange laws",
    "connection": "connection exchange laws engine smuggling writers",
    "exchange": "exchange files laws server", "files": "files disk exchange laws",
    "transport": "transport sockets engine",
    "engine": "engine runs server", "server": "server exchange files laws engine", "websocket": "websocket frames laws",
    "template": "plain memory template pages"}
# Tests for survivors, with --sockets.
SOCKET_TESTS = {room: ["tests/test_%s.py" % name for name in names.split()] for room, names in {
    "connection": "http http_streams http_waiting", "exchange": "hooks http_streams seed_api", "files": "http_files",
    "transport": "http_streams http_waiting slow_clients", "engine": "http_life http_waiting faults",
    "server": "seed_api http_life hooks", "websocket": "websocket_server threads",
    "template": "template_cache template_server template_exact template_properties"}.items()}


def Battery(room):
    """-> [(name, test)] for a room."""
    return [(name, FAST[name]) for name in BATTERIES[room].split()]


# ==============================================================================
# Small changes: running the tests
# ==============================================================================

WALL_SEC, CPU_SEC = 60, 10


def _Child(module, put, battery, pipe):
    """Body of the child process: write what caught the change, or nothing. Never returns."""
    caught = "(the interpreter has ended)"
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SEC, CPU_SEC))
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        sys.stdout = sys.stderr = open(os.devnull, "w")
        try:
            name = "import"
            if put:
                put()
            mutant = types.ModuleType(module.name)
            mutant.__file__ = str(ROOT / "src" / (module.name + ".py"))
            sys.modules[module.name] = mutant
            exec(module.Compile(), mutant.__dict__)
            for name, test in battery:      # noqa: B007  name is used after the loop
                test()
            caught = ""
        except BaseException as error:
            text = " ".join(str(error).split())
            isRow = isinstance(error, AssertionError) and text
            caught = "%s %s" % (name, text[:60] if isRow else type(error).__name__)
    finally:
        try:
            os.write(pipe, caught.encode())
        finally:
            os._exit(0)


def PlayFast(module, put, battery):
    """-> what caught the change, '' if it survives."""
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        _Child(module, put, battery, writes)
    os.close(writes)
    ready = select.select((reads,), (), (), WALL_SEC)[0]
    caught = os.read(reads, 500).decode() or ("" if _Ended(pid) else "(killed)") if ready else "(no end)"
    os.close(reads)
    if not ready:
        os.kill(pid, signal.SIGKILL)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass
    return caught


def _Ended(pid):
    """True if the child exited by itself."""
    return os.waitpid(pid, 0)[1] == 0


class Scratch:
    """A copy of the repository, in which survivors are tested with real sockets."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        self._path = pathlib.Path(self._folder.name)
        CopyTree(self._path)

    def Play(self, module, put, tests):
        file = self._path / "src" / (module.name + ".py")
        kept = file.read_text(encoding="utf-8")
        pid = os.fork()
        if not pid:                             # in a child, so that the tree of this process is not changed
            put()
            file.write_text(module.Text(), encoding="utf-8")
            os._exit(0)
        os.waitpid(pid, 0)
        try:
            return RunTests(self._path, tests, "cpython and not asyncio and not micropython")
        finally:
            file.write_text(kept, encoding="utf-8")


def PlayRoom(module, room, numbers, scratch):
    """-> (killed, played). Prints the survivors."""
    changes = module.rooms[room]
    battery = Battery(room)
    killed = 0
    for number in numbers:
        line, was, becomes, put = changes[number]
        caught = PlayFast(module, put, battery)
        if not caught and scratch and room in SOCKET_TESTS:
            caught = scratch.Play(module, put, SOCKET_TESTS[room])
        killed += bool(caught)
        if not caught or ONLY:
            print("  %s:%d  line %d  %s  ->  %s   %s" % (
                room, number, line, was[:110], becomes[:110], caught or "SURVIVES"), flush=True)
    return killed, len(numbers)


ONLY = []


def Setup():
    """Load the modules that every child needs, except those that import the sources."""
    for name in ("src", "tests", "tests/mp", "tests/ondevice", "tools"):
        sys.path.insert(0, str(ROOT / name))
    for name in ("json", "harness", "pytest", "hypothesis", "hashlib", "socket", "traceback", "websockets.speedups"):
        importlib.import_module(name)


def PlayRooms(options):
    Setup()
    wanted = {}
    for one in options.only:
        room, _, number = one.partition(":")
        wanted.setdefault(room, []).append(int(number))
    ONLY.extend(options.only)
    scratch = Scratch() if options.sockets else None
    total = [0, 0]
    for module in Modules():
        for room, changes in module.rooms.items():
            if room not in (wanted or options.rooms or module.rooms):
                continue
            numbers = wanted.get(room) or sorted(random.Random("%s %s" % (options.seed, room)).sample(
                range(len(changes)), min(options.sample or len(changes), len(changes))))
            if options.show:
                for number, (line, was, becomes, _) in enumerate(changes):
                    print("%s:%d  line %d  %s  ->  %s" % (room, number, line, was[:70], becomes[:70]))
                continue
            whole = PlayFast(module, None, Battery(room))
            if whole:
                raise SystemExit("nothing is changed, and %s fails" % whole)
            start = time.time()
            killed, played = PlayRoom(module, room, numbers, scratch)
            total = [total[0] + killed, total[1] + played]
            print("%-10s %4d of %4d killed, %5.1f %%; there are %d; %d s" % (
                room, killed, played, 100 * killed / played, len(changes), time.time() - start), flush=True)
    if total[1]:
        print("%-10s %4d of %4d killed, %5.1f %%" % ("together", *total, 100 * total[0] / total[1]))
    return 0


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="words of known faults; with --rooms, rooms")
    parser.add_argument("--rooms", action="store_true", help="small changes, of these rooms or of all")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="room:number,…")
    parser.add_argument("--sample", type=int, default=120, help="of each room; 0: all")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--sockets", action="store_true", help="survivors meet the tests with real sockets")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if options.rooms or options.only:
        options.rooms = options.names
        sys.exit(PlayRooms(options))
    sys.exit(PlayKnown(options.names))


if __name__ == "__main__":
    Main()
