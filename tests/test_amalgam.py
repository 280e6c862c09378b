"""The single file is equivalent to the rooms: what tools/amalgamate.py refuses, the lines that it maps back, and the folder of
rooms itself, which works as a package named microWebSrv.
"""

import shutil
import subprocess
import sys

import pytest

import harness
from harness import Fetch

TOOL = harness.ROOT / "tools" / "amalgamate.py"
CORE = harness.ROOT / "core"
RUNTIMES = ("cpython", "micropython")

tool = harness.LoadTool("amalgamate")

TEXT = """\
# Text to text.
# Nothing else.

import sys

MICROPYTHON = sys.implementation.name == "micropython"

if MICROPYTHON:
    from micropython import const
else:
    def const(value):
        return value


def Upper(text):
    return text.upper()
"""

READERS = """\
# Bytes to text.

import json                 # a comment of an import goes with it
import sys
from json import loads, dumps

from .text import MICROPYTHON, Upper, const

_SIZE = const(3)


def Read(data):
    if len(data) > _SIZE:
        raise ValueError("too long: %d" % len(data))
    return Upper(str(data, "utf-8")), json is not sys and loads("1"), MICROPYTHON, dumps(2)
"""

SERVER = """\
# All of it.

from .readers import Read
if True:
    from .text import Upper


def Start(data):
    return Read(data), Upper
"""

DOOR = """\
# The door.
from .server import Start
"""

ROOMS = {"text": TEXT, "readers": READERS, "server": SERVER, "__init__": DOOR}


def Rooms(folder, **changed):
    """A folder with the rooms above, some of them with another text."""
    folder.mkdir()
    for name, text in {**ROOMS, **changed}.items():
        (folder / (name + ".py")).write_text(text)
    return folder


def Run(*args, stdin=""):
    return subprocess.run([sys.executable, str(TOOL), *map(str, args)], input=stdin, capture_output=True, text=True)


# ---------------------------------------------------------------------------------------------------- one file

def test_one_file_of_rooms(tmp_path):
    assert tool.Text(Rooms(tmp_path / "core")) == tool.HEADER + """
import json
import sys
from json import dumps, loads


# ==============================================================================
# TEXT (core/text.py)
# ==============================================================================
# Text to text.
# Nothing else.

MICROPYTHON = sys.implementation.name == "micropython"

if MICROPYTHON:
    from micropython import const
else:
    def const(value):
        return value


def Upper(text):
    return text.upper()


# ==============================================================================
# READERS (core/readers.py)
# ==============================================================================
# Bytes to text.

_SIZE = const(3)


def Read(data):
    if len(data) > _SIZE:
        raise ValueError("too long: %d" % len(data))
    return Upper(str(data, "utf-8")), json is not sys and loads("1"), MICROPYTHON, dumps(2)


# ==============================================================================
# SERVER (core/server.py)
# ==============================================================================
# All of it.


def Start(data):
    return Read(data), Upper
"""


REFUSED = [
    ("text is not above", {"text": TEXT + "from .text import Upper\n"}),
    ("server is not above the room text", {"text": TEXT.replace("import sys", "import sys\nfrom .server import Start")}),
    ("Read belongs to the room readers", {"server": SERVER + "\n\ndef Read(data):\n    pass\n"}),
    ("_SIZE is bound by the room readers too", {"server": SERVER + "\nif Read:\n    _SIZE = 4\n"}),
    ("const belongs to the room text", {"readers": READERS + "\nconst = 3\n"}),
    ("Upper belongs to the room text", {"readers": READERS + "\n\ndef Change():\n    global Upper\n    Upper = None\n"}),
    ("json is imported by another room", {"server": SERVER + "\njson = None\n"}),
    ("json is used and not imported", {"server": SERVER + "\n\ndef Dump():\n    return json.dumps(1)\n"}),
    ("MICROPYTHON is used and not imported", {"server": SERVER + "\nprint(MICROPYTHON)\n"}),
    ("Nothing is used but not defined", {"server": SERVER + "\n\ndef Do():\n    return Nothing\n"}),
    ("the room text has no Lower", {"readers": READERS.replace("Upper, const", "Lower, const")}),
    ("can't have another name", {"server": SERVER.replace("import Read", "import Read as R")}),
    ("nor can it be *", {"server": SERVER.replace("import Read", "import *")}),
    ("write `from .room import names`", {"server": SERVER.replace("from .readers import Read", "from . import readers")}),
    ("write `from .room import names`", {"server": SERVER.replace("from .readers import Read", "from ..core.readers import Read")}),
    ("at the top of a room", {"server": SERVER + "\n\ndef Late():\n    from .text import const\n    return const\n"}),
    ("at the top of a room", {"server": SERVER + "\ntry:\n    from .text import const\nexcept ImportError:\n    pass\n"}),
    ("import * is not allowed", {"server": SERVER.replace("from .readers", "from json import *\nfrom .readers", 1)}),
    ("needs its own line", {"readers": READERS.replace("import sys", "import sys; print(1)")}),
    ("a comment, not a docstring", {"server": '"""All of it."""\n' + SERVER}),
    ("begins with a comment", {"server": SERVER.replace("# All of it.\n", "")}),
    ("over several lines", {"server": SERVER + '\n_TEXT = """a\n\n\n\nb"""\n'}),
    ("has imported its first value", {"text": TEXT + "\n\ndef Change():\n    global Upper\n    Upper = None\n"}),
    ("does not know its position", {"attic": "# Things.\n"}),
    ("only names of rooms and the version", {"__init__": DOOR + "\nx = 1\n"}),
    ("has no Stop", {"__init__": DOOR.replace("Start", "Stop")}),
    ("invalid syntax", {"text": TEXT + "\nx = = 1\n"}),
]


@pytest.mark.parametrize("says, rooms", REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_is_refused(tmp_path, says, rooms):
    folder = Rooms(tmp_path / "core", **rooms)
    target = tmp_path / "one.py"
    done = Run("--core", folder, "-o", target)
    assert done.returncode == 1 and says in done.stderr and not target.exists(), done.stderr


def test_two_rooms_may_import_the_same(tmp_path):
    assert tool.Text(Rooms(tmp_path / "core")).count("import sys\n") == 1


def test_version_may_stand_in_the_door(tmp_path):
    text = tool.Text(Rooms(tmp_path / "core", __init__=DOOR + '\n__version__ = "9.8.7"\n'))
    assert '\n__version__ = "9.8.7"\n\n\n# ====' in text


def test_check_sees_what_is_stale(tmp_path):
    folder = Rooms(tmp_path / "core")
    target = tmp_path / "one.py"
    where = ("--core", folder, "-o", target)
    assert Run("--check", *where).returncode == 1
    assert Run(*where).returncode == 0
    before = target.read_bytes()
    assert Run("--check", *where).returncode == 0
    assert Run(*where).returncode == 0 and target.read_bytes() == before
    (folder / "text.py").write_text(TEXT.replace("Nothing else", "Nothing more"))
    done = Run("--check", *where)
    assert done.returncode == 1 and "one.py" in done.stderr
    assert target.read_bytes() == before, "a check writes nothing"


# ------------------------------------------------------------------------------------------------- back to rooms

def test_each_line_is_read_back(tmp_path):
    folder = Rooms(tmp_path / "core")
    places = tool.Places(folder)
    lines = tool.Text(folder).splitlines()
    assert len(places) == len(lines)
    found = {place: line for place, line in zip(places, lines) if place}
    for (room, number), line in found.items():
        source = ROOMS[room].splitlines()[number - 1]
        assert line == source or source.startswith(line) or line.split()[-1] in source, (room, number)
    for room in ("text", "readers", "server"):
        for number, line in enumerate(ROOMS[room].splitlines(), 1):
            isImport = line.lstrip().startswith(("from .", "if True", "import ", "from json")) and not line.startswith("    from micro")
            assert not line or isImport or found[room, number] == line


def test_where_of_a_line(tmp_path):
    folder = Rooms(tmp_path / "core")
    target = tmp_path / "one.py"
    where = ("--core", folder, "-o", target)
    assert Run("--where", "1", *where).returncode == 1, "the file is not there"
    Run(*where)
    number = target.read_text().splitlines().index("    if len(data) > _SIZE:") + 1
    assert Run("--where", number, *where).stdout == "core/readers.py, line 13\n"
    assert "heading" in Run("--where", 1, *where).stdout
    assert Run("--where", 1000, *where).returncode == 1


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_traceback_is_read_back(runtime, tmp_path):
    """On both runtimes tracebacks refer to the files and lines of the rooms."""
    folder = Rooms(tmp_path / "core")
    target = tmp_path / "microWebSrv.py"
    Run("--core", folder, "-o", target)
    (tmp_path / "main.py").write_text("import microWebSrv\nmicroWebSrv.Start(b'12345')\n")
    command, env = harness.Command(runtime, tmp_path / "main.py", (tmp_path,))
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    log = done.stdout + done.stderr         # MicroPython prints tracebacks to stdout
    assert "too long: 5" in log and "core/" not in log
    done = Run("--where", "--core", folder, "-o", target, stdin=log)
    places = [line.split(", in ")[0].strip() for line in done.stdout.splitlines() if "File" in line]
    assert places[-2:] == ['File "core/server.py", line 9', 'File "core/readers.py", line 14']
    assert "main.py" in places[0] and "too long: 5" in done.stdout


def test_coverage_is_read_back(tmp_path):
    folder = Rooms(tmp_path / "core")
    target = tmp_path / "one.py"
    Run("--core", folder, "-o", target)
    lines = target.read_text().splitlines()
    hit, missed = lines.index("    if len(data) > _SIZE:") + 1, lines.index("    return text.upper()") + 1
    other = "SF:src/other.py\nDA:1,1\nend_of_record\n"
    (tmp_path / "lcov.info").write_text("SF:src/microWebSrv.py\nDA:%d,0\nDA:%d,7\nLF:2\nLH:1\nend_of_record\n%s" % (
        missed, hit, other))
    done = Run("--coverage", tmp_path / "lcov.info", "--core", folder, "-o", target)
    assert done.stdout == ("SF:core/text.py\nDA:16,0\nLF:1\nLH:0\nend_of_record\n"
                           "SF:core/readers.py\nDA:13,7\nLF:1\nLH:1\nend_of_record\n" + other)


# ---------------------------------------------------------------------------------------------------- the core

def test_the_one_file_is_up_to_date():
    done = Run("--check")
    assert done.returncode == 0, done.stderr


def test_version_is_where_setuptools_looks():
    import ast
    tree = ast.parse((harness.SRC / "microWebSrv.py").read_text(encoding="utf-8"))
    found = [statement for statement in tree.body if isinstance(statement, ast.Assign)
             and ast.unparse(statement.targets[0]) == "__version__"]
    assert len(found) == 1 and isinstance(found[0].value, ast.Constant)


HELLO = """
import sys

from microWebSrv import MicroWebSrv
from ready import Port


@MicroWebSrv.route("/hello/<name>")
def Hello(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponseOk(contentType="text/plain", content="hello " + routeArgs["name"])


@MicroWebSrv.route("/modules")
def Modules(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(sorted(name for name in sys.modules if name.startswith("microWeb")))


MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www").Start(threaded=False)
"""


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("beside", [(), ("microWebTemplate",)], ids=lambda names: names and "with a template" or "alone")
def test_folder_of_rooms_is_the_package(runtime, beside, tmp_path):
    """The folder core, copied to a board as microWebSrv, with the optional files beside it."""
    shutil.copytree(CORE, tmp_path / "lib" / "microWebSrv", ignore=shutil.ignore_patterns("__pycache__"))
    for name in beside:
        shutil.copy(harness.SRC / (name + ".py"), tmp_path / "lib")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file.txt").write_text("a file")
    (tmp_path / "www" / "page.pyhtml").write_text("{{ py }}\nx = 6\n{{ end }}{{ x * 7 }}")
    with harness.Server(runtime, HELLO, tmp_path, (tmp_path / "lib",)) as server:
        assert Fetch(server.port, "/hello/you").text == "hello you"
        assert Fetch(server.port, "/file.txt").text == "a file"
        names = Fetch(server.port, "/modules").Json()
        assert "microWebSrv.server" in names and [name for name in names if name in beside] == list(beside)
        page = Fetch(server.port, "/page.pyhtml")
        assert (page.status, page.text.strip()) == (200, "42") if beside else page.status == 501


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_folder_of_rooms_in_a_package(runtime, tmp_path):
    """The server may also be a subpackage of a program's package."""
    shutil.copytree(CORE, tmp_path / "lib" / "house" / "microWebSrv", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "lib" / "house" / "__init__.py").write_text("")
    shutil.copy(harness.SRC / "microWebTemplate.py", tmp_path / "lib" / "house")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "page.pyhtml").write_text("{{ 6 * 7 }}")
    program = HELLO.replace("from microWebSrv import MicroWebSrv", """from house.microWebSrv import MicroWebSrv
sys.modules["microWebSrv"] = sys.modules["house.microWebSrv"]       # where the test's own code looks for it
""")
    with harness.Server(runtime, program, tmp_path, (tmp_path / "lib",)) as server:
        assert Fetch(server.port, "/page.pyhtml").text == "42"
