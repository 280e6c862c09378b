"""microWebTestClient: its responses are the same as over a socket, byte for byte; and what tests can inspect and
control."""

import json
import os
import re

import subprocess
import sys

import pytest

import harness
from harness import RawClient

PROGRAMS = harness.ROOT / "tests" / "testclient"
SITE = PROGRAMS / "both_ways.py"

WWW = {
    "a.txt": "a text of some length\n",
    "large.txt": "0123456789abcdef" * 1500,
    "index.html": "<h1>Home</h1>",
    "secret.py": "password = 1",
    "page.pyhtml": "{{ for i in range(3) }}<p>{{ i }}{{ end }}{{ '<' }}",
    "_base.pyhtml": "<title>{{ block title }}none{{ end }}</title>{{ block text }}{{ end }}",
    "blocks.pyhtml": "{{ extends _base.pyhtml }}{{ block title }}Blocks{{ end }}{{ block text }}{{ for i in range(900) }}{{ i }} {{ end }}{{ end }}",
    "wrong.pyhtml": "{{ 1 / 0 }}",
}
# Differences between two runs of a server: the time, and random parts of signed values.
MASKED = (rb"(?m)^(Date: )[^\r]+", rb"(session=)[A-Za-z0-9+/=]{40,}", rb'(name="csrf" value=")[^"]+')


def Masked(data):
    for rule in MASKED:
        data = re.sub(rule, rb"\1...", data)
    return data


def MakeSite(folder):
    www = folder / "www"
    www.mkdir()
    for name, text in WWW.items():
        (www / name).write_text(text)
        os.utime(www / name, (1600000000, 1600000000))      # a file that has just changed has a different ETag
    (www / "folder").mkdir()


def Turns(trace):
    """[(bytes sent by the client, bytes received)], one for each response."""
    turns = []
    for isSent, text in trace:
        data = bytes.fromhex(text)
        if isSent and (not turns or turns[-1][1]):
            turns.append([b"", b""])
        turns[-1][not isSent] += data
    return turns


def IsLast(head, answer):
    return re.search(rb"(?mi)^connection: close", answer[:answer.find(b"\r\n\r\n")]) or head.startswith(b"GET /bare ")


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_answers_are_those_of_a_socket(run, serve, tmp_path, kind):
    """The same bytes are sent to the same program over a real socket."""
    MakeSite(tmp_path)
    rows = [json.loads(line) for line in run(SITE, args=("client", kind), timeoutSec=50).splitlines() if line[:1] == "["]
    assert len(rows) > 75 + 4 * (kind == "async")
    server = serve(SITE, args=(kind,))
    server.ExpectError("ZeroDivisionError")
    for name, trace in rows:
        raw = None
        for sent, wanted in Turns(trace):
            if raw is None or sent[:4] in (b"GET ", b"POST", b"PUT ", b"PATC", b"HEAD", b"DELE", b"OPTI", b"BREW"):
                if raw:
                    raw.Close()
                raw = RawClient(server.port)
            raw.Send(sent)
            if not wanted:              # a frame without a reply
                continue
            got = b""
            while len(got) < len(wanted):
                try:
                    piece = raw.Receive()
                except TimeoutError:
                    raise AssertionError((name, sent, got, wanted)) from None
                assert piece, (name, sent, got, wanted)
                got += piece
            assert Masked(got) == Masked(wanted), (name, sent)
            if IsLast(sent, wanted):
                raw.ExpectClose()
        raw.Close()



@pytest.mark.parametrize("name", ["clients", "clock", "cookies", "errors", "flow", "redirects", "sockets", "streams", "timeouts"])
def test_program(run, tmp_path, name):
    (tmp_path / "www").mkdir()
    assert run(PROGRAMS / (name + ".py"), args=(harness.FreePorts(1)[0],), timeoutSec=50) == ""


def test_without_threads(tmp_path):
    """The client runs the loop, as on a board without threads; threaded handlers run on it."""
    lib = tmp_path / "lib"
    lib.mkdir()
    for path in harness.SRC.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        (lib / path.name).write_text(re.sub(r"(?m)^( *)(import _thread|from _thread import .*)$", r"\1raise ImportError", text))
    (tmp_path / "www").mkdir()
    for name in ("clock", "cookies", "flow", "redirects", "sockets", "streams"):
        assert harness.RunProgram("micropython", PROGRAMS / (name + ".py"), tmp_path, (lib,)) == "", name


def test_as_a_board_gets_it(tmp_path):
    """The .mpy files with short names, and the limits of a board."""
    (tmp_path / "www").mkdir()
    for name in ("clock", "cookies", "errors", "flow", "redirects", "sockets", "streams", "timeouts"):
        assert harness.RunProgram("micropython", PROGRAMS / (name + ".py"), tmp_path, (harness.ROOT / "board",)) == "", name


def test_two_names_of_a_guest_are_never_one():
    """It uses short names of the files that it extends; no two of its names may get the same one."""
    tool = harness.LoadTool("build_mpy")
    sources = {name: text for name, text in tool.Sources().items() if name in ("microWebSrv", "microWebTestClient")}
    words = set(re.findall(r"\w+", tool.Stubs("microWebTestClient")))
    forms = {}
    for module, form, name in map(str.split, tool.Reduced(sources)[1]):
        if module == "*" and name[0] != "_" and name not in words:
            forms.setdefault(form, []).append(name)
    first, second = next(names for names in forms.values() if len(names) > 1)[:2]
    sources["microWebTestClient"] += "\n\nclass Two:\n    def F(self):\n        self.%s = self.%s = 1\n" % (first, second)
    with pytest.raises(ValueError, match="two names of the class Two"):
        tool.Reduced(sources)


# ------------------------------------------------------------------------------------------------------- pytest

PAGE = harness.ROOT / "docs" / "testing.md"
PROGRAM = """
from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/hello/<name>")
def Hello(httpClient, httpResponse, args):
    httpResponse.WriteResponseOk(None, "text/plain", None, "Hello, %s!" % args["name"])


@MicroWebSrv.route("/lamp", "POST")
def Switch(httpClient, httpResponse):
    mws.lamp = httpClient.ReadRequestPostedFormData()["state"]
    httpResponse.WriteResponseRedirect("/lamp")


@MicroWebSrv.route("/lamp")
def Lamp(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "the lamp is " + mws.lamp)


@MicroWebSrv.route("/fail")
def Fail(httpClient, httpResponse):
    raise ValueError("on purpose")


mws = MicroWebSrv(port=0)
"""


def Pytest(folder, *args):
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *args], cwd=folder,
                          capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "%s:." % harness.SRC})


def test_fixture_and_the_programs_of_the_page(tmp_path):
    tests, fixture = re.findall(r"(?ms)^```python board\n(.*?)^```$", PAGE.read_text(encoding="utf-8"))[:2]
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "test_page.py").write_text(tests)
    done = Pytest(tmp_path, "-p", "microwebsrv.testing")
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr
    (tmp_path / "conftest.py").write_text(fixture)
    (tmp_path / "test_page.py").write_text(
        "from microWebTestClient import TestClient\n\ndef test_it(client):\n    assert client.Get('/hello/you').text == 'Hello, you!'\n")
    done = Pytest(tmp_path)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_fixture_closes_and_a_failing_handler_is_shown(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "test_a.py").write_text("""
from program import mws


def test_fails(testClient):
    testClient(mws).Get("/fail")


def test_is_closed():
    assert not mws.IsStarted()
    mws.Start()
    mws.Stop()


def test_left_behind(testClient):
    client = testClient(mws, raiseErrors=False)
    other = testClient(mws, addr=("10.0.0.1", 1))
    client.Get("/fail")
    mws.Log("x", KeyError("left behind"))
""")
    done = Pytest(tmp_path, "-p", "microwebsrv.testing")
    assert done.returncode == 1 and "1 failed, 2 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert re.search(r"program.py:\d+: ValueError", done.stdout) and "left behind" in done.stdout
