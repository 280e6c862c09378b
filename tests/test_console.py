"""The command `microwebsrv`: serving a folder, its main.py, and the reload after changes."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from websockets.sync.client import connect

import harness
from harness import Fetch

HANDLERS = """
from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/version")
def Version(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="one")


@MicroWebSrv.webSocketRoute("/echo")
def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = Echo


def Echo(webSocket, msg):
    webSocket.SendText(msg)
"""

# As on a board.
BOARD = HANDLERS + """
mws = MicroWebSrv(webPath="/flash/site")
mws.Start()
"""

LOOP = HANDLERS + """
import asyncio


async def Main():
    mws = MicroWebSrv(port=80, webPath="site")
    await mws.Serve()


asyncio.run(Main())
"""


class Command:
    """`python -m microwebsrv DIR …` as a process, whose output can be awaited."""

    def __init__(self, folder, *options):
        self.port = harness.FreePorts(1)[0]
        env = dict(os.environ, PYTHONPATH=str(harness.SRC), PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
        self.process = subprocess.Popen([sys.executable, "-m", "microwebsrv", str(folder), "--port", str(self.port),
                                         *options], env=env, text=True, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self._out, self._err = harness.Output(self.process.stdout), harness.Output(self.process.stderr)
        self._mark = 0

    def Line(self, pattern):
        found = self._out.Wait(pattern, self._mark, harness.DEADLINE_SEC)
        assert found, "no %r in\n%s\n%s" % (pattern, self._out.text, self._err.text)
        self._mark = found.end()
        return found

    def Error(self, pattern):
        assert self._err.Wait(pattern, 0, harness.DEADLINE_SEC), self._err.text

    def Ready(self):
        """Wait until it listens on the given port."""
        assert int(self.Line(r"^microwebsrv: http://127\.0\.0\.1:(\d+)/$").group(1)) == self.port
        socket.create_connection(("127.0.0.1", self.port), harness.DEADLINE_SEC).close()

    def End(self, number=signal.SIGINT):
        self.process.send_signal(number)
        code = self.process.wait(harness.DEADLINE_SEC)
        self._err.Join(harness.DEADLINE_SEC)
        return code

    def Kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._out.Join(harness.DEADLINE_SEC)
        self._err.Join(harness.DEADLINE_SEC)


@pytest.fixture
def command(tmp_path):
    """command(*options) serves tmp_path/folder."""
    commands = []

    def Run(*options):
        commands.append(Command(tmp_path / "folder", *options))
        return commands[-1]

    (tmp_path / "folder").mkdir()
    yield Run
    for one in commands:
        one.Kill()


@pytest.fixture
def folder(tmp_path, command):
    return tmp_path / "folder"


def test_folder_with_files_and_pages(command, folder):
    (folder / "index.html").write_text("<h1>Home</h1>")
    (folder / "sum.pyhtml").write_text("{{ 1 + 1 }}")
    (folder / "secret.py").write_text("password = 1")
    server = command()
    server.Ready()
    assert Fetch(server.port, "/").text == "<h1>Home</h1>"
    assert Fetch(server.port, "/sum.pyhtml").text == "2"
    assert Fetch(server.port, "/secret.py").status == 403
    assert server.End() == 0
    assert server._err.text == ""


def test_handlers_alone_get_a_server(command, folder):
    (folder / "main.py").write_text(HANDLERS)
    (folder / "www").mkdir()
    (folder / "www" / "index.html").write_text("www")
    server = command("--no-reload")
    server.Ready()
    assert Fetch(server.port, "/version").text == "one"
    assert Fetch(server.port, "/").text == "www"
    with connect("ws://127.0.0.1:%d/echo" % server.port, proxy=None) as client:
        client.send("hello")
        assert client.recv(harness.DEADLINE_SEC) == "hello"
    assert server.End() == 0
    assert "Traceback" not in server._err.text


@pytest.mark.parametrize("program", [BOARD, LOOP], ids=["threaded, /flash", "its own loop"])
def test_program_of_a_board_runs_as_it_is(command, folder, program):
    (folder / "main.py").write_text(program)
    (folder / "site").mkdir()
    (folder / "site" / "a.txt").write_text("from the site")
    server = command()
    server.Ready()
    assert Fetch(server.port, "/version").text == "one"
    assert Fetch(server.port, "/a.txt").text == "from the site"
    assert server.End(signal.SIGTERM) == 0


def test_reload(command, folder):
    """After a change the new program serves. An error is shown, and the next change repairs it."""
    (folder / "main.py").write_text("import shown\n" + BOARD.replace('"one"', "shown.TEXT"))
    (folder / "shown.py").write_text("TEXT = 'one'\n")
    server = command()
    server.Ready()
    assert Fetch(server.port, "/version").text == "one"
    (folder / "shown.py").write_text("TEXT = 'second'\n")
    server.Line("^microwebsrv: shown.py has changed")
    server.Ready()
    assert Fetch(server.port, "/version").text == "second"
    (folder / "shown.py").write_text("TEXT = \n")
    server.Line("^microwebsrv: shown.py has changed")
    server.Line("^microwebsrv: the program has ended")
    server.Error("SyntaxError")
    (folder / "shown.py").write_text("TEXT = 'third'\n")
    server.Ready()
    assert Fetch(server.port, "/version").text == "third"
    assert server.End() == 0


def test_nothing_is_left_when_it_is_killed(command, folder):
    """The serving process ends with the watching one, however that ends."""
    (folder / "index.html").write_text("")
    server = command()
    server.Ready()
    server.process.kill()
    server.process.wait()
    server._out.Join(harness.DEADLINE_SEC)          # the other end of the pipe closes when the child has ended
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), harness.DEADLINE_SEC)


def Run(*args):
    env = dict(os.environ, PYTHONPATH=str(harness.SRC), PYTHONDONTWRITEBYTECODE="1")
    return subprocess.run([sys.executable, "-m", "microwebsrv", *args], env=env, capture_output=True, text=True,
                          timeout=harness.DEADLINE_SEC)


def test_port_and_address(command, folder):
    """An unavailable port is reported in one sentence; port 0 chooses a free one."""
    (folder / "index.html").write_text("index")
    assert "--port: must be a number from 0 to 65535, not 70000" in Said(folder, 2, "--port", "70000")
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        for options in ((), ("--no-reload",)):
            said = Said(folder, 3, "--port", str(port), *options)
            assert said == ("microwebsrv: can't listen on 127.0.0.1, port %d: another program has it; "
                            "--port 0 takes one that is free\n" % port)
    server = command("--port", "0")
    server.port = int(server.Line(r"^microwebsrv: http://127\.0\.0\.1:(\d+)/$").group(1))
    server._mark = 0
    server.Ready()
    assert Fetch(server.port, "/").text == "index"


def Said(folder, code, *options):
    """The stderr of a command that exits by itself."""
    server = Command(folder, *options)
    try:
        assert server.process.wait(harness.DEADLINE_SEC) == code
    finally:
        server.Kill()
    return server._err.text


def test_arguments(tmp_path):
    done = Run(str(tmp_path / "none"))
    assert done.returncode == 2 and "there is no folder " in done.stderr
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", Run("--version").stdout)
    shown = Run("--help").stdout
    assert "[DIR]" in shown and "--port" in shown and "--child" not in shown
