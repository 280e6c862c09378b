"""examples/update: a program and a firmware are replaced after complete reception and verification, and restored if
they do not start; with a stand-in for the flash of an ESP32."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

import harness
from harness import Fetch, RawClient, RequestBytes

UPDATE = harness.ROOT / "examples" / "update"
DESK = harness.ON_DEVICE / "desk.py"
USER = ("Authorization", "Basic dXBkYXRlcjpjaGFuZ2UgdGhpcw==")
VERSION_2 = (UPDATE / "a" / "app.py").read_text(encoding="utf-8").replace("VERSION = 1", "VERSION = 2").encode()
RUNTIMES = pytest.mark.parametrize("runtime", ["cpython", "micropython"])


@pytest.fixture
def board(serve, modulePath, tmp_path):
    """board() -> the Server, restarted: the flash keeps the state of the previous one."""
    shutil.copytree(UPDATE, tmp_path / "flash", ignore=shutil.ignore_patterns("__pycache__"))
    running = []

    def Start():
        if running:
            running.pop().Finish()
        running.append(serve(DESK, modulePath=modulePath, workDir=tmp_path / "flash", args=(tmp_path / "flash" / "main.py",)))
        return running[0]

    yield Start
    for server in running:
        server.Finish()


def Version(server):
    return Fetch(server.port, "/").text


def Program(files, manifest=None):
    if manifest is None:
        manifest = {name: [len(files[name]), hashlib.sha256(files[name]).hexdigest()] for name in files}
    parts = [b'name="file"; filename="%s"\r\n\r\n' % name.encode() + files[name] for name in files]
    parts.append(b'name="manifest"\r\n\r\n' + (manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()))
    return b"".join([b"--B\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts]) + b"--B--\r\n"


def SendProgram(server, body):
    return Fetch(server.port, "/update/program", "POST", [USER, ("Content-Type", "multipart/form-data; boundary=B")], body)


def SendFirmware(server, content, digest=None):
    return Fetch(server.port, "/update/firmware", "PUT", [USER, ("X-SHA256", digest or hashlib.sha256(content).hexdigest())], content)


def Confirm(server):
    assert Fetch(server.port, "/update/confirm", "POST", [USER]).status == 204


@RUNTIMES
def test_a_program(board, tmp_path):
    server = board()
    assert Version(server) == "This is version 1."
    assert SendProgram(server, Program({"app.py": VERSION_2, "more.py": b"X = 1\n"})).status == 200
    server.WaitLine("A real board would restart now")
    assert Version(server) == "This is version 1.", "nothing changes before the start"
    server = board()
    assert Version(server) == "This is version 2." and (tmp_path / "flash" / "b" / "more.py").read_bytes() == b"X = 1\n"
    assert SendProgram(server, Program({"app.py": VERSION_2})).status == 409, "the one to go back to stays until it is confirmed"
    Confirm(server)
    for _ in range(3):
        server = board()
        assert Version(server) == "This is version 2."
    assert SendProgram(server, Program({"app.py": VERSION_2.replace(b"2", b"3")})).status == 200
    assert Version(board()) == "This is version 3."


@RUNTIMES
def test_a_program_that_is_not_confirmed_goes(board):
    SendProgram(board(), Program({"app.py": VERSION_2}))
    assert [Version(board()) for _ in range(4)] == ["This is version 2."] * 2 + ["This is version 1."] * 2


@RUNTIMES
def test_a_program_that_does_not_start_goes_at_once(board):
    assert SendProgram(board(), Program({"app.py": b"import nothing_of_this_name\n"})).status == 200
    server = board()
    server.Seen("The program does not start")
    assert Version(board()) == "This is version 1."


@RUNTIMES
def test_a_program_that_is_refused(board, tmp_path):
    server = board()
    digest = hashlib.sha256(VERSION_2).hexdigest()
    size = len(VERSION_2)
    for manifest in ({}, {"app.py": [size, "0" * 64]}, {"app.py": [size + 1, digest]}, {"app.py": [size, digest], "more.py": [1, digest]}, b"{",
                     b"[]", b"null", {"app.py": 3}, {"app.py": []}):
        assert SendProgram(server, Program({"app.py": VERSION_2}, manifest)).status == 422
    assert SendProgram(server, Program({"other.py": VERSION_2})).status == 422
    assert SendProgram(server, Program({"app.py": VERSION_2})[:-8]).status == 400
    assert Fetch(server.port, "/update/program", "POST").status == 401
    with RawClient(server.port) as first:
        body = Program({"app.py": VERSION_2})
        first.Send(RequestBytes("POST", "/update/program", [USER, ("Content-Type", "multipart/form-data; boundary=B"), ("Content-Length", len(body))]))
        first.Send(body[:300])
        while SendProgram(server, Program({"app.py": VERSION_2}, {})).status != 409:
            pass
    while SendProgram(server, Program({"app.py": VERSION_2}, {})).status != 422:     # the first one has ended
        pass
    assert not (tmp_path / "flash" / "slots.json").exists()
    assert Version(board()) == "This is version 1."


POWER = """
import os
import sys
import updates
from updates import Slots


class Power(Exception):
    pass


def Failing(step):
    count = [0]
    real = updates.Replace

    def Replace(source, target):
        count[0] += 1
        if step == "before":
            raise Power
        os.remove(target) if step == "between" else None       # FAT
        if step == "between":
            raise Power
        real(source, target)
        raise Power
    return real, Replace


for step in ("before", "between", "behind"):
    slots = Slots("")
    slots.Save("a", None, 0)
    real, updates.Replace = Failing(step)
    try:
        slots.Switch()
    except Power:
        pass
    updates.Replace = real
    slots = Slots("")
    print(step, slots.run, slots.old, slots.Boot())
with open("slots.json", "w") as file:
    file.write("{")
os.rename("slots.json", "slots.json.new")
slots = Slots("")
print("torn", slots.run, slots.old)
"""


@RUNTIMES
def test_the_power_fails_at_the_switch(runtime, tmp_path):
    """There is always a program, the old or the new one."""
    printed = harness.RunProgram(runtime, POWER, tmp_path, (harness.SourcesOf(runtime), UPDATE))
    assert printed.splitlines() == ["before a None a", "between b a b", "behind b a b", "torn a None"]


@RUNTIMES
def test_a_firmware(board, tmp_path):
    flash = tmp_path / "flash"
    content = os.urandom(30000)
    server = board()
    assert SendFirmware(server, content, "0" * 64).status == 422
    assert SendFirmware(server, content, "short").status == 400
    assert SendFirmware(server, b"x" * (64 * 4096 + 1)).status == 413
    with RawClient(server.port) as client:
        client.Send(RequestBytes("PUT", "/update/firmware", [USER, ("X-SHA256", "0" * 64), ("Content-Length", "30000")]) + content[:9000])
    assert not (flash / "flash.json").exists(), "nothing of that boots"
    assert SendFirmware(server, content).status == 200
    server.WaitLine("A real board would restart now")
    assert (flash / "ota_1.bin").read_bytes() == content + b"\xff" * (-len(content) % 4096)
    assert PowerOn(flash) == 1
    Confirm(board())
    assert [PowerOn(flash) for _ in range(2)] == [1, 1]
    assert SendFirmware(board(), content).status == 200 and (flash / "ota_0.bin").exists()
    assert [PowerOn(flash) for _ in range(3)] == [0, 1, 1], "it was not confirmed"


def PowerOn(flash):
    done = subprocess.run([sys.executable, "-c", "import pretend_board; print(pretend_board.PowerOn())"], cwd=flash, capture_output=True, text=True)
    return int(done.stdout)


@RUNTIMES
def test_send(board, tmp_path):
    server = board()
    new = tmp_path / "app.py"
    new.write_bytes(VERSION_2)

    def Send(*args):
        return subprocess.run([sys.executable, UPDATE / "send.py", server.Url(""), *map(str, args)],
                              capture_output=True, text=True, env={"PATH": os.environ["PATH"]}).stdout

    assert Send("program", new).startswith("200 ")
    assert Send("firmware", new).startswith("200 ")
    server = board()
    assert Version(server) == "This is version 2."
    assert Send("confirm").startswith("204 ")
