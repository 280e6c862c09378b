"""From an empty board to its page, with the commands of docs/boards.md. The board is the unix port of MicroPython
behind a pseudo terminal; mpremote is the real one.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

import harness
from harness import Fetch
from portal_tools import Ask, Ours, Send

BOARDS = harness.ROOT / "docs" / "boards.md"
FIRST = re.search(r"^## (\w+ commands)$", BOARDS.read_text(encoding="utf-8"), re.M).group(1)
EXAMPLES = harness.ROOT / "examples"
tool = harness.LoadTool("make_packages")

pty = pytest.importorskip("pty", reason="pseudo terminals are a thing of unix")


class Board:
    """A board on a serial line: `port` is the device, `folder` its file system."""

    def __init__(self, folder):
        import tty
        self.folder = folder
        self._ours, self._its = pty.openpty()
        tty.setraw(self._its)
        self.port = os.ttyname(self._its)
        self.Start()

    def Start(self):
        """Power on: main.py runs, if it exists."""
        ports = ",".join(map(str, harness.FreePorts(1)))
        command, env = harness.Command("micropython", harness.ON_DEVICE / "raw_repl.py",
                                       (harness.ON_DEVICE, EXAMPLES), args=(ports,))
        self.process = subprocess.Popen(command, env=env, cwd=self.folder, stdin=self._ours, stdout=self._ours,
                                        stderr=subprocess.PIPE, text=True)

    def WaitReset(self):
        """It has ended to restart, and does."""
        code = self.process.wait(harness.DEADLINE_SEC)
        with self.process.stderr:
            log = self.process.stderr.read()
        assert code == 3, "code %s\n%s" % (code, log)
        self.Start()

    def WaitReady(self):
        """-> the port of its server."""
        line = self.process.stderr.readline()
        if line.startswith("MicroWebSrv: port "):       # the server's banner
            line = self.process.stderr.readline()
        found = re.fullmatch(r"READY (\d+)\n", line)
        assert found, line + (self.process.stderr.read() if line.startswith("Traceback") else "")
        return int(found.group(1))

    def Close(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        os.close(self._ours)
        os.close(self._its)


@pytest.fixture
def board(tmp_path):
    (tmp_path / "board").mkdir()
    one = Board(tmp_path / "board")
    yield one
    one.Close()


def Commands(heading):
    """The indented commands below a heading of docs/boards.md."""
    part = BOARDS.read_text(encoding="utf-8").partition("\n## %s\n" % heading)[2].partition("\n## ")[0]
    part = re.sub(r"^```.*?^```$", "", part, flags=re.M | re.S)
    return [line.strip() for line in part.split("\n") if re.match(r"    \S", line)]


def Run(command, board, folder):
    """Run one command of a person with one connected board."""
    words = shlex.split(command)
    if words[0] == "mpremote":
        words[:1] = [harness.FindTool("mpremote"), "connect", board.port]
    elif words[0] == "python3":
        words[0] = sys.executable
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, "%s\n%s\n%s" % (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def clone(tmp_path):
    """A copy of the project as a person has it."""
    for name in ("board", "core", "src", "tools", "examples"):
        shutil.copytree(harness.ROOT / name, tmp_path / "clone" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("package.json", "rooms.json"):
        shutil.copy(harness.ROOT / name, tmp_path / "clone")
    return tmp_path / "clone"


def test_few_commands_to_a_page(board, clone):
    commands = Commands(FIRST)
    assert 1 < len(commands) < 4
    for command in commands:
        Run(command, board, clone)
    board.WaitReset()
    port = board.WaitReady()
    names = {path.name for path in (board.folder / "lib").iterdir()}
    assert {"microWebSrv.mpy", "microWebSocket.mpy", "microWebTemplate.mpy", "microWebPortal.mpy"} <= names
    assert all(name.endswith(".mpy") for name in names)
    phone = Phone(port)
    while Ask(phone, "/generate_204", "connectivitycheck.gstatic.com").status != 302:
        pass                                    # the portal opens within the first second
    page = Ours(phone)
    assert (page.status, page.mediaType) == (200, "text/html")
    assert "<h1>My device</h1>" in page.text and "<bdi>Home</bdi>" in page.text
    assert "Connecting to" in Send(phone, n="Home", p="correct horse").text
    while "My address is 127.0.0.1" not in Ours(phone, "/").text:
        pass
    assert json.loads((board.folder / "wifi.json").read_text()) == {"name": "Home", "password": "correct horse"}


class Phone:
    """The addresses where a phone finds the board."""

    def __init__(self, port):
        self.port = port


def test_main_and_a_site(board, clone):
    """The program that joins the Wi-Fi and its www, copied as the page says."""
    text = BOARDS.read_text(encoding="utf-8")
    program = next(block for block in re.findall(r"^```python board\n(.*?)^```$", text, re.M | re.S)
                   if "def Connect" in block)
    program = program.replace("my network", "Home").replace("my password", "correct horse")
    (clone / "main.py").write_text(program)
    (clone / "www").mkdir()
    (clone / "www" / "index.html").write_text("<h1>My site</h1>")
    for command in Commands(FIRST)[:-1] + Commands("Wi-Fi, and starting with the board"):
        Run(command, board, clone)
    board.WaitReset()
    port = board.WaitReady()
    assert Fetch(port, "/hello").text == "Hello"
    assert Fetch(port, "/").text == "<h1>My site</h1>"


def test_sources_are_installed_by_mpremote(board, clone):
    Run("mpremote mip install src/package.json", board, clone)
    Run("mpremote mip install src/events.json", board, clone)
    names = {path.name: path.read_bytes() for path in (board.folder / "lib").iterdir()}
    assert set(names) == {"microWebSrv.py", "microWebSocket.py", "microWebTemplate.py", "microWebEvents.py"}
    assert names["microWebSrv.py"] == (harness.SRC / "microWebSrv.py").read_bytes()
    assert Run("mpremote exec 'import microWebSrv; print(microWebSrv.__version__)'", board, clone).strip()


def test_rooms_are_installed_by_mpremote(board, clone):
    Run("mpremote mip install rooms.json", board, clone)
    rooms = {path.name for path in (harness.ROOT / "core").glob("*.py")}
    assert {path.name for path in (board.folder / "lib" / "microWebSrv").iterdir()} == rooms
    said = Run("mpremote exec 'import microWebSrv; print(microWebSrv.__file__, microWebSrv.MicroWebSrv().IsStarted())'",
               board, clone)
    assert "microWebSrv/__init__.py False" in said


def test_packages_of_the_table():
    """The table of docs/boards.md lists the existing packages."""
    named = set(re.findall(r"^\| `(\w+\.json)` \|", BOARDS.read_text(encoding="utf-8"), re.M))
    assert named == {name + ".json" for name in tool.Sets(tool.registry.Load())}
