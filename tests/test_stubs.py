"""The stubs as editors and mypy --strict use them: correct programs pass, for incorrect ones the errors are located."""

import os
import re
import subprocess
import sys

import pytest

import harness
import registry

ALLOWLIST = harness.SRC / "microWebSrv-stubs" / "allowlist.txt"
STUBS = sorted(path.name[:-len("-stubs")] for path in harness.SRC.glob("*-stubs"))

# Typed this way it also runs on boards: MicroPython never evaluates annotations.
PROGRAM = """
from microWebSrv import HttpClient, HttpResponse, MicroWebSrv
from ready import Port


@MicroWebSrv.route("/led/<name>", "POST")
def Led(httpClient: HttpClient, httpResponse: HttpResponse, routeArgs: "dict[str, str]") -> None:
    form = httpClient.ReadRequestPostedFormData()
    httpResponse.WriteResponseJSONOk({routeArgs["name"]: form["state"]})


@MicroWebSrv.route("/echo", "PUT")
async def Echo(httpClient: HttpClient, httpResponse: HttpResponse) -> None:
    content = await httpClient.ReadRequestContent()
    httpResponse.WriteResponseOk(content=content, contentType="text/plain")


MicroWebSrv(port=Port(), bindIP="127.0.0.1").Start(threaded=False)
"""

RIGHT = {"program": PROGRAM, "whole": """
from collections.abc import Mapping
from typing_extensions import assert_type
from microWebEvents import MicroWebEvents
from microWebSocket import MicroWebSocket
from microWebSrv import HttpClient, HttpResponse, MicroWebSrv


class Lamp:
    def Get(self, httpClient: HttpClient, httpResponse: HttpResponse) -> None:
        httpResponse.WriteResponseJSONOk({"on": True}, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])

    async def Set(self, httpClient: HttpClient, httpResponse: HttpResponse, args: "dict[str, int]") -> None:
        assert_type(await httpClient.ReadRequestContent(64), bytes)
        form: dict[str, str] = await httpClient.ReadRequestPostedFormData()
        assert_type(form.get("a", ""), str)
        level = (await httpClient.ReadRequestContentAsJSON())["level"]
        httpResponse.WriteResponseOk({"X-Level": level}, "text/plain", "UTF-8", "set to %d" % args["level"])


events = MicroWebEvents(maxQueueLen=4, pingSec=0.5)


@MicroWebSrv.route("/events")
@MicroWebSrv.route("/old-events", threaded=True)
def Events(httpClient: HttpClient, httpResponse: HttpResponse) -> bool:
    assert_type(events.Send({"t": 1}, "tick", id=1, retry=500), int)
    return httpResponse.WriteResponseEventStream(events)


@MicroWebSrv.route("/both/<arg>")
def Both(httpClient: HttpClient, httpResponse: HttpResponse, routeArgs: "dict[str, str] | None" = None) -> None:
    assert_type(httpClient.GetAddr(), "tuple[str, int]")
    text = httpClient.ReadRequestContent().decode() + httpClient.GetRequestHeaders()["Host"]
    assert_type(httpClient.GetRequestQueryParams().get("q"), "str | None")
    httpResponse.WriteResponseStream((str(i) for i in range(3)), "text/plain", headers={"X-Text": text})


def OnText(webSocket: MicroWebSocket, msg: str) -> None:
    webSocket.SendText("got " + msg)


def Accept(webSocket: MicroWebSocket, httpClient: HttpClient) -> None:
    webSocket.RecvTextCallback = OnText


def Log(text: str, error: "BaseException | None") -> None:
    print(text, error)


class Counter:
    def __init__(self, server: MicroWebSrv) -> None:
        self.server, self.lock, self.count = server, server.NewLock(), 0

    def Upgrade(self, client: HttpClient, response: HttpResponse) -> bool:
        self.count += client.head.method == "GET"
        return response.WriteError(426, {"Upgrade": "websocket"})

    def Tick(self) -> None:
        if self.server.now % 60 == 0 and not self.server.IsOnEngine():
            self.server.CallSoon(self.server.Log, "%d so far" % self.count)


def Render(server: MicroWebSrv, path: str, values: "Mapping[str, object]") -> "tuple[str]":
    assert_type(server.Stat(path), "tuple[bool, int, int] | None")
    return (path,)


def Attach(server: MicroWebSrv) -> None:
    # An optional file of the program
    counter = Counter(server)
    server.Upgraders["count"] = counter.Upgrade
    server.Renderers[".txt"] = Render
    server.Ticks.append(counter.Tick)


lamp = Lamp()
mws = MicroWebSrv([("/lamp", "GET", lamp.Get), ("/lamp/<level>", "PUT", lamp.Set),
                   ("/slow", "GET", lamp.Get, True)], 8080, webPath="www")
mws.AcceptWebSocketCallback = Accept
mws.MaxConnections = 20
mws.ErrorCallback = Log
mws.Broadcast("hello", path="/chat")
handler, args = mws.GetRouteHandler("/lamp/3", "PUT")
MicroWebSrv._mimeTypes[".stl"] = "model/stl"
mws.Start(threaded=True)
"""}

HEAD = "from microWebSrv import HttpClient, HttpResponse, MicroWebSrv\nfrom microWebEvents import MicroWebEvents\n"
HANDLER = "@MicroWebSrv.route('/')\ndef F(client: HttpClient, response: HttpResponse) -> None:\n    "
WRONG = {
    "port": ("MicroWebSrv(port='80')", "arg-type"),
    "one_argument": ("@MicroWebSrv.route('/')\ndef F(client: HttpClient) -> None: ...", "type-var"),
    "exchanged": ("@MicroWebSrv.route('/')\ndef F(a: HttpResponse, b: HttpClient) -> None: ...", "type-var"),
    "table": ("MicroWebSrv([('/', 'GET')])", "list-item"),
    "content": (HANDLER + "response.WriteResponseOk(content={})", "arg-type"),
    "code": (HANDLER + "response.WriteResponseError('404')", "arg-type"),
    "awaited": (HANDLER + "text: str = client.ReadRequestContent()", "assignment"),
    "spelled": (HANDLER + "response.WriteResponseOK()", "attr-defined"),
    "callback": ("MicroWebSrv().ErrorCallback = 3", "assignment"),
    "fraction": ("MicroWebSrv().MaxConnections = 1.5", "assignment"),
    "serve": ("MicroWebSrv().Serve()", "unused-coroutine"),
    "upgrader": ("MicroWebSrv().Upgraders['x'] = 3", "assignment"),
    "tick": ("MicroWebSrv().Ticks.append(3)", "arg-type"),
    "hub": ("MicroWebEvents(maxQueueLen='4')", "arg-type"),
    "retry": ("MicroWebEvents().Send('x', retry='soon')", "arg-type"),
}


def Mypy(paths, cwd):
    """-> the output of mypy --strict, sorted by file."""
    env = dict(os.environ, MYPYPATH=str(harness.SRC))
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--enable-error-code", "unused-awaitable",
                           "--config-file", os.devnull, "--no-error-summary", *map(str, paths)],
                          cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The output of mypy for all programs, in one run."""
    folder = tmp_path_factory.mktemp("typed")
    programs = dict(RIGHT, **{name: HEAD + text + "\n" for name, (text, _) in WRONG.items()})
    (folder / "ready.pyi").write_text("def Port() -> int: ...\n", encoding="utf-8")
    for name, text in programs.items():
        (folder / (name + ".py")).write_text(text, encoding="utf-8")
    output = Mypy(sorted(folder.glob("*.py")), folder)
    return {name: [line for line in output.splitlines() if line.startswith(name + ".py:")] for name in programs}


@pytest.mark.parametrize("name", RIGHT)
def test_right_programs(judged, name):
    assert judged[name] == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong_programs(judged, name):
    errors = [line for line in judged[name] if " error: " in line]
    assert len(errors) == 1 and errors[0].endswith("[%s]" % WRONG[name][1]), judged[name]


@pytest.mark.parametrize("build", ["one file", "rooms"])
def test_the_typed_program_runs(serve, tmp_path, build):
    """The types that it names exist at run time, in the single file and in the folder of rooms."""
    server = serve(PROGRAM, modulePath=(harness.CopyRooms(tmp_path / "rooms"),)) if build == "rooms" else serve(PROGRAM)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert harness.Fetch(server.port, "/led/red", "POST", form, b"state=on").Json() == {"red": "on"}
    assert harness.Fetch(server.port, "/echo", "PUT", (), b"hello").text == "hello"


def test_each_module_says_in_its_stub_what_it_has(tmp_path):
    """stubtest compares the names, the arguments and their defaults with the code."""
    env = dict(os.environ, MYPYPATH=str(harness.SRC), PYTHONPATH=str(harness.SRC), PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run([sys.executable, "-m", "mypy.stubtest", "--allowlist", str(ALLOWLIST), *STUBS], cwd=tmp_path,
                          env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_module_has_a_stub():
    assert STUBS == sorted(["microWebSrv", *[one.name for one in registry.Load()]])


def test_stubs_are_strict(tmp_path):
    env = dict(os.environ, MYPYPATH=str(harness.SRC))
    packages = [part for name in STUBS for part in ("-p", name)]
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", *packages], cwd=tmp_path, env=env,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search("no issues found", done.stdout)
