"""A few features on each build of the server and each kind of poll loop: a hello, a form, a file, a page, a WebSocket,
Stop and Start. The detailed tests run on fewer of them.
"""

import shutil
import subprocess
import sys

import pytest
from websockets.sync.client import connect

import harness

# (runtime, build from which the program imports the server)
VARIANTS = [
    ("cpython", "files"), ("cpython-asyncio", "files"), ("cpython-select", "files"), ("cpython", "rooms"),
    ("micropython", "files"), ("micropython", "mpy"), ("micropython", "rooms"),
]

PROGRAM = """
import sys
from microWebSrv import MicroWebSrv
from ready import Port

def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "hello")

def Form(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.ReadRequestPostedFormData())

def Stop(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "stopped")
    mws.Stop()

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText(text)
    webSocket.RecvBinaryCallback = lambda webSocket, data: webSocket.SendBinary(data)

port = Port()
mws = MicroWebSrv([("/hello", "GET", Hello), ("/form", "POST", Form), ("/stop", "POST", Stop)], port, "127.0.0.1", "www")
mws.AcceptWebSocketCallback = Accept
print("MODULE", sys.modules["microWebSrv"].__file__)
for _ in range(2):
    mws.Start(threaded=False)
    print("ENDED", mws.IsStarted())
mws.Start(threaded=True)
sys.stdin.readline()
mws.Stop()
print("ENDED", mws.IsStarted())
"""


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """{name: folder with this build of the server}"""
    folder = tmp_path_factory.mktemp("builds")
    done = subprocess.run([sys.executable, str(harness.ROOT / "tools" / "build_mpy.py"), "--unix", "-o", str(folder / "mpy")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return {"files": harness.SRC, "rooms": harness.CopyRooms(folder / "rooms"), "mpy": folder / "mpy"}


@pytest.fixture(params=VARIANTS, ids="-".join)
def server(request, builds, tmp_path):
    runtime, build = request.param
    www = tmp_path / "www"
    www.mkdir()
    (www / "file.txt").write_text("0123456789" * 20000)
    (www / "index.pyhtml").write_text("{{ for n in range(3) }}<{{ n }}>{{ end }}")
    with harness.Server(runtime, PROGRAM, tmp_path, (builds[build],)) as server:
        server.build = build
        yield server


def _Use(server):
    assert harness.Fetch(server.port, "/hello").text == "hello"
    form = harness.Fetch(server.port, "/form", "POST", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=1&b=x+y")
    assert form.Json() == {"a": "1", "b": "x y"}
    assert harness.Fetch(server.port, "/file.txt").text == "0123456789" * 20000
    assert harness.Fetch(server.port, "/").text == "<0><1><2>"
    assert harness.Fetch(server.port, "/none").status == 404
    with connect("ws://127.0.0.1:%d/" % server.port, proxy=None) as webSocket:
        for message in ("hello", b"\x00\xff" * 3000):
            webSocket.send(message)
            assert webSocket.recv(harness.DEADLINE_SEC) == message


def test_serves_stops_and_starts_again(server):
    name = {"files": "microWebSrv.py", "mpy": "microWebSrv.mpy", "rooms": "microWebSrv/__init__.py"}[server.build]
    assert server.stdout.startswith("MODULE ") and server.stdout.splitlines()[0].endswith("/" + name)
    for number in range(3):
        if number:
            server.WaitReady()
        _Use(server)
        if number < 2:
            assert harness.Fetch(server.port, "/stop", "POST").text == "stopped"
            server.WaitLine("^ENDED False$")
    server.Finish()
    assert server.stdout.count("ENDED False") == 3


def test_the_folder_of_rooms_within_a_package(builds, tmp_path):
    """The server may be a subpackage of a program: lib.microWebSrv finds lib.microWebSocket."""
    shutil.copytree(builds["rooms"], tmp_path / "lib")
    (tmp_path / "lib" / "__init__.py").write_text("")
    program = "from lib.microWebSrv import MicroWebSrv\nprint(sorted(MicroWebSrv(port=0).Upgraders))\n"
    for runtime in ("cpython", "micropython"):
        assert harness.RunProgram(runtime, program, tmp_path, (tmp_path,)) == "['websocket']\n"
