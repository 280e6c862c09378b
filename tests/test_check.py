"""`microwebsrv check`: its findings, that MicroPython really lacks each of these features, and that correct programs
pass."""

import ast
import json
import os
import re
import subprocess
import sys

import pytest

import harness
from microwebsrv import check, data, language, members, project, tables

# (the finding, the program). Each program is also run on MicroPython, where it must fail or behave differently from
# CPython.
LANGUAGE = [
    ("no match", "def F(x):\n    match x:\n        case 1:\n            return 2\n"),
    ("no / among", "def F(a, /, b):\n    pass\n"),
    ("no * in a display", "a = [1]\nb = [*a]\n"),
    ("no * in a display", "a = [1]\nb = (*a, 2)\n"),
    ("no ** in a display", "a = {1: 2}\nb = {**a}\n"),
    ("SyntaxError", "import io\nwith (io.StringIO() as a, io.StringIO() as b):\n    pass\n"),
    ("no async in a comprehension", "async def F(a):\n    return [x async for x in a]\n"),
    ("no a decorator", "a = [lambda f: f]\n@a[0]\ndef F():\n    pass\n"),
    ("no metaclass= of a class", "class A(metaclass=type):\n    pass\n"),
    ("drops the cause", "try:\n    raise ValueError from KeyError()\nexcept ValueError as e:\n    e.__cause__\n"),
    ("plain generator", "async def F():\n    yield 1\nF().__anext__\n"),
    ("isinstance with |", "isinstance(1, int | str)\n"),
    ("iter with two", "iter(int, 1)\n"),
    ("step works for lists", "'abcd'[::2]\n"),
    ("step works for lists", "(1, 2)[::-1]\n"),
]
REGEX = ["(?P<a>x)", "(?=x)x", "(?!y)x", "(?<=y)x", "(?i)X", "x{1}", "x{1,2}", r"\bx", r"x\Z", r"\Ax", r"(x)\1", "(?#c)x", r"\x78"]
TEXTS = {r"(x)\1": "xx", "(?<=y)x": "yx"}
SUPPORTED = ["x+?", "(?:x)", "[^y]", r"\d|x", r"\\x78", "[{]1}", r"\{1}", "x$", r"\w\.?"]
OF = {".split": "'a b'", ".rsplit": "'a b'", ".encode": "'a'", ".decode": "b'a'", ".replace": "'a'"}
ARGUMENTS = {"open": "'f.txt', 'w'", "print": "1", "json.dumps": "{}", "json.loads": "'{}'", "int": "'1'", "round": "1.5", "sum": "[1]",
             "zip": "[1], [2]", "bytes": "'a'", "str": "b'a'", "int.from_bytes": "b'a'", ".replace": "'a', 'b'"}
VALUES = {"sep": "' '", "encoding": "'utf-8'", "errors": "'ignore'", "byteorder": "'big'", "newline": "''"}
# Only in board firmware, or only on the unix port.
ON_BOARDS = {"os.uname", "os.sync"}
ON_UNIX = {"argparse"}


def Fails(tmp_path, text):
    """True if MicroPython refuses or fails to run it."""
    path = tmp_path / "one.py"
    path.write_text(text, encoding="utf-8")
    command, env = harness.Command("micropython", path, ())
    return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, timeout=20).returncode != 0


def Said(text):
    """The findings for a main.py with this text."""
    source = project.Source("main.py", text.encode())
    return [(one.line, one.text) for one in check.CheckSource(source, set())]


@pytest.mark.parametrize("said, text", LANGUAGE)
def test_language(tmp_path, said, text):
    found = Said(text)
    assert any(said in one for _, one in found), found
    assert Fails(tmp_path, text)


def test_boards_are_those_of_the_page_of_boards():
    """docs/will-it-fit.md is made from the same figures."""
    boards = json.loads((harness.ROOT / "tools" / "board_heaps.json").read_text(encoding="utf-8"))
    assert tables.BOARDS == {board["name"]: round(board["free"][0] / 1024) for board in boards if not board["psram"]}


def test_lines():
    assert Said("import time\n\n\nx = time.monotonic()\n") == [
        (4, "MicroPython has no time.monotonic; use time.ticks_ms() and time.ticks_diff()")]
    assert Said("x = 1\ndef F(:\n") == [(2, "SyntaxError: invalid syntax")]
    assert Said("a = 1\nb = [*a]\n") == [(2, "MicroPython has no * in a display; use +")], "mpy-cross says it, too: once is enough"


def Ask(tmp_path, expressions):
    """The expressions that MicroPython can evaluate."""
    program = "import sys\nfor text in %r:\n    try:\n        exec(text)\n        print(text)\n    except Exception:\n        pass\n"
    out = harness.RunProgram("micropython", program % (expressions,), tmp_path)
    return out.split("\n")[:-1]


def test_names_are_really_absent(tmp_path):
    def Attribute(name):
        module, _, last = name.rpartition(".")
        return "import %s; %s" % (module, name) if module else last
    assert Ask(tmp_path, [Attribute(name) for name in (*tables.NAMES, *tables.BUILTINS)]) == []
    assert Ask(tmp_path, ["import time; time.ticks_ms", "OSError"]) == ["import time; time.ticks_ms", "OSError"]


def test_modules_are_really_absent(tmp_path):
    found = Ask(tmp_path, ["import " + name for name in tables.ABSENT])
    assert {line[7:] for line in found} == ON_UNIX
    assert not set(tables.ABSENT) & tables.MODULES


def test_modules_of_the_unix_port_are_known(tmp_path):
    text = harness.RunProgram("micropython", "help('modules')", tmp_path)
    names = {name.partition("/")[0] for name in text.partition("Plus")[0].split()} - {"__main__", "_asyncio", "termios", "ffi"}
    assert names - ON_UNIX <= tables.MODULES


def test_methods_are_really_absent(tmp_path):
    things = ["''", "b''", "bytearray()", "1", "1.0", "[]", "{}", "set()", "OSError(1)", "memoryview(b'')", "(lambda: 0)",
              "type('A', (), {})", "__import__('hashlib').sha256()"]
    names = [*tables.METHODS, *tables.ATTRIBUTES]
    assert Ask(tmp_path, ["%s.%s" % (thing, name) for thing in things for name in names]) == []
    assert Ask(tmp_path, ["''.upper", "OSError(1).errno"]) == ["''.upper", "OSError(1).errno"]
    for name in names:                          # each of them exists on CPython
        assert any(hasattr(thing, name) for thing in ("", b"", 1, 1.0, OSError(1), memoryview(b""), Fails, type, _Sha())), name


def _Sha():
    import hashlib
    return hashlib.sha256()


def Call(function, name):
    called = OF.get(function, "") + function
    arguments = ARGUMENTS.get(function, "")
    return "import json; %s(%s%s%s=%s)" % (called, arguments, ", " * bool(arguments), name, VALUES.get(name, "1"))


@pytest.mark.parametrize("function, name", sorted(tables.KEYWORDS))
def test_keywords(tmp_path, function, name):
    text = Call(function, name) + "\n"
    assert any("has no such argument" in one for _, one in Said(text)), Said(text)
    assert Fails(tmp_path, text)


def test_keywords_that_are_there(tmp_path):
    calls = ["print(1, end='')", "open('f.txt', 'w', encoding='utf-8')", "sorted([1], reverse=True)", "enumerate([1], start=1)",
             "import json; json.dumps({}, separators=(',', ':'))"]
    assert len(Ask(tmp_path, calls)) >= len(calls) and not [one for call in calls for one in Said(call + "\n")]


@pytest.mark.parametrize("pattern", REGEX)
def test_regular_expressions(tmp_path, pattern):
    text = "import re\nassert re.search(%r, %r)\n" % (pattern, TEXTS.get(pattern, "x"))
    exec(text, {})
    assert any("re has not" in one for _, one in Said(text)), Said(text)
    assert Fails(tmp_path, text)


@pytest.mark.parametrize("pattern", SUPPORTED)
def test_regular_expressions_that_are_there(pattern):
    assert Said("import re\nre.search(%r, 'x')\n" % pattern) == []


@pytest.mark.parametrize("text", [
    "try:\n    import threading\nexcept ImportError:\n    threading = None\n",
    "import sys\nif sys.implementation.name == 'micropython':\n    pass\nelse:\n    import pathlib\n",
    "import os\nif hasattr(os, 'fsync'):\n    os.fsync(1)\n",
    "class Page:\n    def title(self):\n        return 1\nPage().title()\n",
    "import utime\nutime.ticks_ms()\n",
    "import machine, network, esp32, neopixel, ntptime, uasyncio, ujson\n",
    "from microWebSrv import MicroWebSrv\n",
    "def F(timeout: 'float | None' = None) -> int: return 1\n",
    "title = {'title': 1}\nprint(title['title'], f'{title=}', 'a' if title else 'b')\n",
    "a, *b = 1, 2\nprint(*b, *b)\nc = b[::2] if False else b[1:]\n".replace("b[::2] if False else ", ""),
    "from lib.own import Thing\n",
])
def test_nothing_is_said_of_sound_programs(text):
    tree = ast.parse(text)
    assert language.Findings(tree, {"lib"}) == []


def test_own_modules(tmp_path):
    for name in ("main.py", "lib/util.py", "lib/deep/__init__.py", "view/a.py", "fast.mpy", "www/x.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert {"main", "util", "deep", "view", "fast"} <= check.OwnModules(project.Load(tmp_path))


# -- the command ---------------------------------------------------------------------

def Run(*args):
    env = dict(os.environ, PYTHONPATH=str(harness.SRC), PYTHONDONTWRITEBYTECODE="1")
    return subprocess.run([sys.executable, "-m", "microwebsrv", "check", *map(str, args)], env=env, capture_output=True, text=True,
                          timeout=harness.DEADLINE_SEC)


GOOD = """
from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/")
async def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(content="x")


MicroWebSrv(webPath="/www").Start(threaded=False)
"""


def test_sound_program(tmp_path):
    (tmp_path / "main.py").write_text(GOOD)
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.pyhtml").write_text("{{ 1 + 1 }}")
    done = Run(tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    lines = done.stdout.split("\n")
    assert lines[0] == "main.py:6: note: microWebAsync runs async handlers: add microWebAsync.mpy; `microwebsrv push` does"
    assert lines[-2] == "microwebsrv: nothing found"
    total = int(re.search(r"for boards of 32 bits: (\d+) KB", done.stdout).group(1))
    figures = [int(found) for found in re.findall(r"^ +(\d+)  ", done.stdout, re.M)]
    assert len(figures) == 3 and total == -(-sum(figures) // 1024)
    assert figures[0] == data.Heap()["the three"] + data.Heap()["microWebAsync"] + data.Heap()["microWebPages"]
    for board in ("ESP8266", "ESP32", "ESP32-C3", "ESP32-S2", "ESP32-S3", "ESP32-C6", "Pico W", "Pico 2 W"):
        assert re.search("^  %s +\\d+ KB: " % board, done.stdout, re.M), board
    assert "published figures, not measured here" in done.stdout
    mine = Run(tmp_path, "--free", total * 1024 + 5120).stdout
    assert "your board" in mine and "%4d KB: 5 KB" % (total + 5) in mine and "Pico" not in mine
    assert "ESP8266      29 KB: it does not fit" in done.stdout


def test_program_with_faults(tmp_path):
    (tmp_path / "main.py").write_text("import threading\nimport missing\nimport microWebNothing\nprint('%s' % time.monotonic())\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "bad.py").write_text("x = 1\ny = (\n")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "page.pyhtml").write_text("a\n{{ for }}\n")
    (tmp_path / "www" / "a?.txt").write_text("")
    (tmp_path / "www" / "A.css").write_text("")
    (tmp_path / "www" / "a.css").write_text("")
    done = Run(tmp_path)
    assert done.returncode == 1 and done.stderr == "", done.stderr
    lines = done.stdout.split("\n")
    assert any(re.match(r"lib/bad.py:[23]: SyntaxError: ", line) for line in lines)
    assert "main.py:1: MicroPython has no module threading; use _thread" in lines
    assert "main.py:2: the module missing is neither in the folder nor in MicroPython" in lines
    assert "main.py:3: there is no file microWebNothing of the server, and none in the folder" in lines
    assert "www/a?.txt: FAT does not allow the name 'a?.txt'" in lines
    assert "www/a.css: on FAT it has the same name as www/A.css" in lines
    assert any(re.match(r"www/page.pyhtml:2: \w*Error: ", line) for line in lines), done.stdout
    assert "microwebsrv: 7 things to look at" in lines


def test_names_of_boards():
    """A name that no port has, of a module or a class of it, however it is imported; and nothing else."""
    text = """import machine
import network as net
from machine import Pin, Timer, Pinn
from machine import ADC as Voltage
import umachine
machine.Pinn(2, machine.Pin.OUT)
Pin(2, Pin.OUTPUT, Pin.PULLUP).on()
net.WLAN(net.STA).active(True)
net.WLAN.IF_STA, net.WLAN.IF_STATION
Voltage.ATTN_11DB, Voltage.ATTN_12DB
umachine.pin
machine.nothing_like_it
import time, json
time.sleep_msec(1)
time.sleep_ms(1); json.dumps({}); machine.reset(); Timer.ONE_SHOT; Pin.ALT_SPI; machine.__name__; Pin.on
"""
    assert sorted((line, said) for line, said in Said(text) if "no board" in said) == [
        (3, "no board has machine.Pinn; is Pin meant?"),
        (6, "no board has machine.Pinn; is Pin meant?"),
        (7, "no board has machine.Pin.OUTPUT; is OUT meant?"), (7, "no board has machine.Pin.PULLUP; is PULL_UP meant?"),
        (8, "no board has network.STA; is STA_IF meant?"),
        (9, "no board has network.WLAN.IF_STATION; is IF_STA meant?"),
        (10, "no board has machine.ADC.ATTN_12DB; is ATTN_11DB meant?"),
        (11, "no board has machine.pin; is Pin meant?"),
        (12, "no board has machine.nothing_like_it"),
        (14, "no board has time.sleep_msec; is sleep_ms meant?")]
    guarded = "import machine\nif hasattr(machine, 'Pinn'):\n    machine.Pinn()\ntry:\n    from machine import Other\nexcept ImportError:\n    pass\n"
    assert Said(guarded) == []
    source = project.Source("main.py", b"import machine\nmachine.Lamp(1)\n")
    assert check.CheckSource(source, {"machine"}) == [], "the program has a module of this name"


def test_names_that_there_are(tmp_path):
    """Those of the unix port, and those that the stand-ins have."""
    program = "import sys\nfor name in sys.argv[1:]:\n    try:\n        print(name, *dir(__import__(name)))\n    except ImportError:\n        pass\n"
    modules = [name for name in members.MEMBERS if "." not in name]
    lines = harness.RunProgram("micropython", program, tmp_path, args=modules).splitlines()
    assert len(lines) > 3
    for module, *names in map(str.split, lines):
        assert [name for name in names if name[0] != "_" and members.Misspelt("%s.%s" % (module, name))] == []
    for path in (harness.SRC / "microwebsrv" / "standins").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef)) or node.name[0] == "_" or path.stem not in members.MEMBERS:
                continue
            assert not members.Misspelt("%s.%s" % (path.stem, node.name)), node.name
            inner = node.body if isinstance(node, ast.ClassDef) else []
            names = [one.name for one in inner if isinstance(one, ast.FunctionDef)]
            names += [name.id for one in inner if isinstance(one, ast.Assign) for name in ast.walk(one.targets[0]) if isinstance(name, ast.Name)]
            for name in names:
                assert name[0] == "_" or not members.Misspelt("%s.%s.%s" % (path.stem, node.name, name)), name


def test_package_of_the_desk():
    assert (1, "boards have no module microwebsrv; use from microWebSrv import MicroWebSrv") in Said("from microwebsrv import MicroWebSrv\n")


@pytest.mark.parametrize("files", [{"main.py": "x = (\n"}, {"main.py": "", "lib/a.py": "match 1:\n    case 1:\n        pass\n"},
                                   {"main.py": "", "www/index.pyhtml": "{{ for }}"}])
def test_no_estimate_of_what_does_not_compile(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    done = Run(tmp_path)
    assert done.returncode == 1 and "KB" not in done.stdout
    assert done.stdout.endswith("\nNo estimate of the heap: the program does not compile.\nmicrowebsrv: 1 thing to look at\n"), done.stdout


def test_no_program(tmp_path):
    (tmp_path / "index.html").write_text("x")
    done = Run(tmp_path)
    assert done.returncode == 1 and "main.py: the file is missing" in done.stdout
    done = Run(tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1 and "is not a folder" in done.stderr
    assert Run(tmp_path, "--with", "nothing").returncode == 2
    assert Run().returncode == 2 and Run(tmp_path, "--free", "x").returncode == 2


def test_large_main_is_told(tmp_path):
    (tmp_path / "main.py").write_text("x = [1, 2, 3]\n" * 500)
    assert "main.py: note: a board needs about 61 KB of heap for a moment to compile it" in Run(tmp_path).stdout


@pytest.mark.parametrize("name", ["demo", "control_panel"])
def test_examples_pass(name):
    done = Run(harness.ROOT / "examples" / name)
    assert done.returncode == 0, done.stdout
