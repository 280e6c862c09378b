"""Optional files: the steps of docs/extending.md are carried out in a copy of this repository; and each of our files is
tested present, absent, and broken.
"""

import json
import re
import shutil
import subprocess
import sys

import pytest

import harness
import registry
from harness import Fetch, RequestBytes

PAGE = harness.ROOT / "docs" / "extending.md"
BLOCKS = re.findall(r"^```python board\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
RATE = next(block for block in BLOCKS if "class _Visits" in block)
PROGRAM = next(block for block in BLOCKS if "IsTooFast()" in block and "class" not in block)
ECHO = next(block for block in BLOCKS if "class _Echo" in block)
LINE = re.search(r"^    (microWebRate .*)$", PAGE.read_text(encoding="utf-8"), re.M).group(1)

FILES = registry.Load()
NAMES = [one.name for one in FILES if one.isSought]
DESK = {one.name for one in FILES if not one.isForBoards}
BOTH = pytest.mark.parametrize("runtime", ["cpython", "micropython"])


# ---------------------------------------------------------------------------- one line outside of the new files

def Contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the inputs of the tools, with the new file; and the changes that the tools made."""
    folder = tmp_path_factory.mktemp("house")
    for name in ("core", "src", "tools"):
        shutil.copytree(harness.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "docs").mkdir()
    shutil.copy(harness.ROOT / "docs" / "boards.md", folder / "docs")
    _Make(folder)
    before = Contents(folder)
    (folder / "src" / "microWebRate.py").write_text(RATE, encoding="utf-8")
    with (folder / "core" / "optional.txt").open("a", encoding="utf-8") as file:
        file.write(LINE + "\n")
    _Make(folder)
    after = Contents(folder)
    return folder, {name for name in after if after[name] != before.get(name)}


def _Make(folder):
    done = subprocess.run([sys.executable, str(folder / "tools" / "make_packages.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_one_line_is_all_that_it_takes(house):
    """The tools made all other changes."""
    folder, changed = house
    made = {"core/optional.py", "src/microWebSrv.py", "docs/boards.md", "board/microWebRate.mpy", "board/rate.json",
            "src/rate.json", "board/names.txt"}
    others = changed - made - {"src/microWebRate.py", "core/optional.txt"}
    assert {name for name in others if not re.fullmatch(r"board/\w+\.mpy", name)} == set()
    assert made - {"board/names.txt"} <= changed
    package = json.loads((folder / "board" / "rate.json").read_text())
    assert [name for name, _ in package["urls"]] == ["microWebSrv.mpy", "microWebRate.mpy"]
    assert "| `rate.json` |" in (folder / "docs" / "boards.md").read_text(encoding="utf-8")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("build", ["src", "board", "rooms"])
def test_it_works_on_each_runtime_and_in_each_build(house, serve, runtime, tmp_path, build):
    folder = house[0]
    if build == "board" and runtime != "micropython":
        pytest.skip("an .mpy is for MicroPython")
    path = folder / build
    if build == "rooms":
        path = tmp_path / "rooms"
        shutil.copytree(folder / "core", path / "microWebSrv", ignore=shutil.ignore_patterns("__pycache__", "*.txt"))
        for module in [*NAMES, "microWebRate"]:
            shutil.copy(folder / "src" / (module + ".py"), path)
    server = serve(_OnAPort(PROGRAM), modulePath=(path,))
    assert [Fetch(server.port, "/reading").status for _ in range(4)] == [200, 200, 429, 429]


def _OnAPort(program):
    return program.replace("MicroWebSrv(port=8080)", "MicroWebSrv(port=Port(), bindIP='127.0.0.1')").replace(
        "import MicroWebSrv\n", "import MicroWebSrv\nfrom ready import Port\n", 1)


def test_its_default_is_used_where_the_program_sets_none(run, tmp_path):
    (tmp_path / "rate.py").write_text(RATE, encoding="utf-8")
    said = run("""
import rate
from microWebSrv import MicroWebSrv
first, second = MicroWebSrv(), MicroWebSrv()
second.MaxRequestsPerMinute = 7
for server in (first, second):
    rate.Attach(server)
print(first.MaxRequestsPerMinute, second.MaxRequestsPerMinute)
visits = first.visits
for number in range(250):
    visits.Count(str(number))
print(len(visits._counts) <= 100, visits.Count("249"))
first.now = 60
visits.OnTick()
print(visits.Count("249"))
""")
    assert said.split() == ["600", "7", "True", "2", "1"]


def test_a_protocol_of_ones_own(serve, tmp_path):
    (tmp_path / "echo.py").write_text(ECHO, encoding="utf-8")
    server = serve("""
import echo
from microWebSrv import MicroWebSrv
from ready import Port
mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
echo.Attach(mws)
mws.Start(threaded=False)
""")
    with harness.RawClient(server.port) as client:
        client.Send(RequestBytes("GET", "/", {"Upgrade": "echo", "Connection": "Upgrade"}) + b"begun ")
        assert client.ReadUntil(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        client.Send(b"and ended.")
        assert client.ReadUntil(b"ended.").endswith(b"begun and ended.")


# ------------------------------------------------------------------------------------------ present and absent

SHOW = """
import sys
from microWebSrv import MicroWebSrv
from ready import Port

try:
    from _thread import get_ident
except ImportError:
    get_ident = int

class Values:
    def __iter__(self):
        yield "one"

def Async(httpClient, httpResponse):
    httpResponse.WriteResponseOk(content="plain")

def Where(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(get_ident() == engine)

def Engine(httpClient, httpResponse):
    global engine
    engine = get_ident()

def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(Values())

def Schemes(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([httpClient.GetUser(), sorted(sys.modules["microWebAuth"].Schemes)])

def Session(httpClient, httpResponse):
    sys.modules.get("microWebSession").UseSessions(mws)
    httpResponse.WriteResponseJSONOk(httpClient.GetSession())

mws = MicroWebSrv([("/session", "GET", Session), ("/schemes", "GET", Schemes), ("/where", "GET", Where, True), ("/engine", "GET", Engine), ("/events", "GET", Events)],
                  port=Port(), bindIP="127.0.0.1", webPath="www")
mws.AcceptWebSocketCallback = lambda webSocket, httpClient: None
mws.WebSocketProtocols = ["chat"]
mws.AddRoute("/returned", "GET", lambda client, response: {"a": 1})
try:
    mws.AddRoute("/typed/<int:n>", "GET", Where)
except ValueError as error:
    print("REFUSED", error)
exec('''
async def Handler(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="async")
''')
try:
    mws.AddRoute("/async", "GET", Handler)
except ValueError as error:
    print("REFUSED", error)
print("FOUND", " ".join(sorted(name for name in sys.modules if name.startswith("microWeb"))))
mws.Start(threaded=False)
"""

HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Extensions": "permessage-deflate"}


def Handshake(server, **more):
    with harness.RawClient(server.port) as client:
        client.Send(RequestBytes("GET", "/", {**HANDSHAKE, **more}))
        return client.ReadUntil(b"\r\n\r\n").decode()


def SeesThread(server):
    Fetch(server.port, "/engine")
    return Fetch(server.port, "/where").text


def Found(server):
    """A file that does nothing until the program calls it is only visible as a module. It must serve before it is
    stopped."""
    Fetch(server.port, "/a.txt")
    return server.Seen("^FOUND (.*)$").group(1).split()


# file: (request, response with the file, response without it)
SEEN = {
    "microWebSocket": (lambda server: Handshake(server)[:12], "HTTP/1.1 101", "HTTP/1.1 501"),
    "microWebTemplate": (lambda server: Fetch(server.port, "/plain.pyhtml").status, 200, 501),
    "microWebAsync": (lambda server: (Fetch(server.port, "/async").status, "needs microWebAsync.py" in server.stdout),
                      (200, False), (404, True)),
    "microWebThreads": (SeesThread, "false", "true"),
    "microWebFiles": (lambda server: Fetch(server.port, "/a.txt", headers={"Range": "bytes=1-2"}).status, 206, 200),
    "microWebPages": (lambda server: Fetch(server.port, "/page.pyhtml").status, 200, 500),
    "microWebEvents": (lambda server: Fetch(server.port, "/events").status, 200, 500),
    "microWebTls": (lambda server: "microWebTls" in Found(server), True, False),
    "microWebDeflate": (lambda server: "permessage-deflate" in Handshake(server), True, False),
    "microWebSession": (lambda server: Fetch(server.port, "/session").status, 200, 500),
    "microWebPortal": (lambda server: "microWebPortal" in Found(server), True, False),
    "microWebCors": (lambda server: "microWebCors" in Found(server), True, False),
    "microWebUpload": (lambda server: (Fetch(server.port, "/a.txt").status, "microWebUpload" in Found(server)),
                       (200, True), (200, False)),
    "microWebSecurity": (lambda server: "microWebSecurity" in Found(server), True, False),
    "microWebBroker": (lambda server: (Fetch(server.port, "/a.txt").status, "microWebBroker" in Found(server)),
                       (200, True), (200, False)),
    "microWebAuth": (lambda server: Fetch(server.port, "/schemes").status, 200, 500),
    "microWebDigest": (lambda server: "digest" in Fetch(server.port, "/schemes").text, True, False),
    "microWebLogin": (lambda server: "form" in Fetch(server.port, "/schemes").text, True, False),
    "microWebRoutes": (lambda server: (Fetch(server.port, "/a.txt").status, "needs microWebRoutes.py" in server.stdout),
                       (200, False), (200, True)),
    "microWebJson": (lambda server: Fetch(server.port, "/returned").status, 200, 204),
    "microWebAsgi": (lambda server: "microWebAsgi" in Found(server), True, False),
    "microWebAsgiSocket": (lambda server: "microWebAsgiSocket" in Found(server), True, False),
    "microWebMount": (lambda server: "microWebMount" in Found(server), True, False),
    "microWebSendFile": (lambda server: (Fetch(server.port, "/a.txt").status, "microWebSendFile" in Found(server)),
                         (200, True), (200, False)),
    "microWebSocketPlus": (lambda server: "Sec-WebSocket-Protocol: chat" in Handshake(
        server, **{"Sec-WebSocket-Protocol": "chat"}), True, False),
}


def test_each_file_is_seen():
    assert set(SEEN) == set(NAMES)


@BOTH
@pytest.mark.parametrize("isThere", [True, False], ids=["present", "absent"])
@pytest.mark.parametrize("name", NAMES)
def test_present_and_absent(serve, runtime, tmp_path, name, isThere):
    """With all files; and without one file and those that need it."""
    if name in DESK and runtime == "micropython":
        pytest.skip("it is for CPython")
    gone = [] if isThere else [one.name for one in FILES if name in registry.WithNeeds([one.name], FILES)]
    (tmp_path / "lib").mkdir()
    gone += sorted(DESK) if runtime == "micropython" else []
    for module in ["microWebSrv", *NAMES]:
        if module not in gone:
            shutil.copy(harness.SRC / (module + ".py"), tmp_path / "lib")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.txt").write_text("abcdef")
    (tmp_path / "www" / "plain.pyhtml").write_text("{{ 1 + 1 }}")
    (tmp_path / "www" / "_base.pyhtml").write_text("<p>{{ block text }}{{ end }}</p>")
    (tmp_path / "www" / "page.pyhtml").write_text("{{ extends _base.pyhtml }}{{ block text }}x{{ end }}")
    server = serve(SHOW, modulePath=(tmp_path / "lib",))
    ask, there, absent = SEEN[name]
    if not isThere and absent == 500:
        server.ExpectError("TemplateError|AttributeError|SyntaxError")
    assert ask(server) == (there if isThere else absent)
    found = server.Seen("^FOUND (.*)$").group(1).split()
    assert set(NAMES) & set(found) == set(NAMES) - set(gone) - (DESK if runtime == "micropython" else set())


SETTINGS = [name for block in re.findall(r"# with microWeb\w+\.py\n((?:    \w+: .*\n)+)", (
    harness.SRC / "microWebSrv-stubs" / "__init__.pyi").read_text(encoding="utf-8"))
    for name in re.findall(r"^    (\w+):", block, re.M) if name != "Broadcast"]


@BOTH
def test_what_the_program_has_set_stays(run):
    """An attribute set on the class before any server is made: no optional file replaces it by a default."""
    assert {"MaxWorkers", "FilesVersion", "WebSocketPingSec", "WebSocketWindowBits"} <= set(SETTINGS)
    said = run("""
import sys
from microWebSrv import MicroWebSrv
for name in sys.argv[1:]:
    setattr(MicroWebSrv, name, "set by the program")
for mws in (MicroWebSrv(), MicroWebSrv()):
    print([name for name in sys.argv[1:] if getattr(mws, name) != "set by the program"])
""", args=SETTINGS)
    assert said.split("\n")[:2] == ["[]", "[]"]


# ------------------------------------------------------------------------------------------ present but broken

BREAK = """
import sys
from microWebSrv import MicroWebSrv

name, path = sys.argv[1:3]
for text in (
    "raise ValueError('on purpose')",                       # its own fault
    "import microWebNowhere",                               # it needs what is not there
    "import %ss" % name,                                    # whose name begins like its own
    "import %s" % name[:-1],                                # or is the beginning of it
    "import nowhere.%s" % name,                             # or ends with it
    "import %s.nowhere" % name,                             # or lies in it
    "raise ImportError('no module named here')",
    "def Attach(:",                                         # it is not Python
    "Attached = 1",                                         # it has no Attach
    "def Attach(server): raise KeyError('while it attaches')",
):
    with open(path, "w") as file:
        file.write(text + "\\n")
    sys.modules.pop(name, None)
    try:
        MicroWebSrv()
        print("SILENT:", text)
    except BaseException as error:
        print(type(error).__name__)
with open(path, "w") as file:
    file.write("def Attach(server): server.isAttached = True\\n")
sys.modules.pop(name, None)
print(MicroWebSrv().isAttached)
"""


@BOTH
@pytest.mark.parametrize("name", NAMES)
def test_present_and_broken(run, runtime, tmp_path, name):
    """Any defect is reported when a server is made; after a repair the server works."""
    if name in DESK and runtime == "micropython":
        pytest.skip("it is for CPython")
    lib = tmp_path / "lib"
    lib.mkdir()
    shutil.copy(harness.SRC / "microWebSrv.py", lib)
    said = run(BREAK, modulePath=(lib,), args=(name, lib / (name + ".py"))).split("\n")
    missing = ("ImportError", "ModuleNotFoundError")
    assert said[0] == "ValueError"
    assert all(kind in missing for kind in said[1:7]), said
    assert said[7:11] == ["SyntaxError", "AttributeError", "KeyError", "True"], said


@BOTH
def test_a_file_without_what_it_needs_is_loud(run, tmp_path):
    """microWebPages needs microWebTemplate. ImportError must be raised although the names are similar."""
    for module in ("microWebSrv", "microWebPages"):
        shutil.copy(harness.SRC / (module + ".py"), tmp_path)
    said = run("""
from microWebSrv import MicroWebSrv
try:
    MicroWebSrv()
except ImportError as error:
    print(error)
""", modulePath=(tmp_path,))
    assert "microWebTemplate" in said


# ------------------------------------------------------------------------------------------------ on a small heap

COLLECTED = """
import sys
import microWebSrv as core

real = core.gc
said = []

class Gc:
    def collect(self):
        said.append("collect")
        real.collect()

    def __getattr__(self, name):
        return getattr(real, name)

def Import(name):
    said.append(name)
    return __import__(name)

core.gc = Gc()
core.__import__ = Import
core.MicroWebSrv()
print(" ".join(said))
"""


@BOTH
@pytest.mark.parametrize("isBoard", (True, False))
def test_a_board_collects_before_each_import(run, runtime, tmp_path, isBoard):
    """Garbage of one import is collected before the next import needs a large block: this saves 4 to 12 KB of heap."""
    home = harness.CopySources(tmp_path / "lib")
    core = home / "microWebSrv.py"
    text = core.read_text(encoding="utf-8")
    assert text.count("\nBOARD = MICROPYTHON and ") == 1
    if isBoard:
        core.write_text(text.replace("\nBOARD = MICROPYTHON and ", "\nBOARD = True or "), encoding="utf-8")
    said = run(COLLECTED, modulePath=(home,)).split()
    names = [name for name in NAMES if runtime != "micropython" or name not in DESK]
    assert said == [word for name in names for word in (("collect", name) if isBoard else (name,))]
