"""Properties of boards that this machine lacks: 32-bit words, and firmware from 1.20 on, which lacks features of later
versions. MicroPython's WebAssembly builds have both. Everything that needs no socket runs on the oldest supported
version and on the newest.

The builds are downloaded from npm once. tests/wasm/run.mjs starts them, and its standins.py replaces missing modules.
"""

import functools
import json
import subprocess

import pytest
from websockets.sync.client import connect

import harness
from http_tools import MP, Expected, Observed
import fuzz_laws  # mp/ is on the path since http_tools is imported
import fuzz_smuggling
import play_upload
from template_cases import CASES, ERRORS
from test_fuzz import CORPUS, Kept
from test_template_language import RUNNER, Answers, CheckError, TableJobs
import websocket_cases

VERSIONS = ("1.20.0-295", "1.29.0-6")
RUN = harness.ROOT / "tests" / "wasm" / "run.mjs"
ROOMS = sorted(path.stem[5:] for path in MP.glob("room_*.py"))

tool = harness.LoadTool("measure_memory")


@functools.lru_cache(maxsize=None)
def _Module(version):
    return str(tool.Wasm(version) / "micropython.mjs")


def Run(version, program, *args):
    """-> the stdout of a program on this build, after its end."""
    folders = ":".join(map(str, (harness.SRC, MP, MP.parent)))
    done = subprocess.run([tool.Tool("node"), str(RUN), _Module(version), folders, str(program), *map(str, args)],
                          capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, "%s\n%s" % (done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


ALL = pytest.mark.parametrize("version", VERSIONS)
OLDEST = pytest.mark.parametrize("version", VERSIONS[:1])


@ALL
def test_it_is_such_a_build(version, tmp_path):
    program = harness.WriteProgram("""
import sys
print("%d.%d" % sys.implementation.version[:2], sys.maxsize)
""", tmp_path)
    assert Run(version, program).split() == [version[:4], "2147483647"]


@ALL
@pytest.mark.parametrize("room", ROOMS)
def test_room(version, room):
    observed = Observed(Run(version, MP / "run.py", room))
    assert observed == Expected(room)


@OLDEST
def test_smuggling(version):
    assert Run(version, MP / "fuzz_smuggling.py") == "%d CHECKED\n" % (len(fuzz_smuggling.REFUSED) + len(fuzz_smuggling.WHOLE))


@ALL
def test_sessions(version):
    assert int(Run(version, MP / "play_session.py").split()[-2]) > 60


@ALL
def test_uploads(version):
    assert Run(version, MP / "play_upload.py", "cases").split()[-3:] == [str(len(play_upload.CASES + play_upload.PUTS)) + ",", "bad", "0"]


@ALL
def test_websockets(version):
    checks = len(websocket_cases.CHECKS) - (len(websocket_cases.OF_DEFLATE) if version < "1.21" else 0)
    assert Run(version, MP / "play_websockets.py").endswith("%d checks\n" % checks)


@ALL
def test_templates(version, tmp_path):
    jobs = tmp_path / "jobs.json"
    jobs.write_text(json.dumps(TableJobs(), ensure_ascii=False), encoding="utf-8")
    answers = Answers(json.loads(Run(version, RUNNER, jobs)))
    for name in CASES:
        assert answers[name] == {"validate": None, "text": CASES[name][2]}, name
    for name in ERRORS:
        CheckError(answers["error: " + name], name)


@OLDEST
def test_kept_inputs_of_the_fuzzer(version, tmp_path):
    program = harness.WriteProgram("""
import fuzz_laws, sys
for path in sys.argv[1:]:
    target = path.split("/")[-1][:-4]
    print(target, fuzz_laws.Replay(target, path))
""", tmp_path)
    output = Run(version, program, *(CORPUS / (target + ".txt") for target in sorted(fuzz_laws.LAWS)))
    assert output.splitlines() == ["%s %d" % (target, len(Kept(target))) for target in sorted(fuzz_laws.LAWS)]


# -- on this machine, with the next() of MicroPython 1.20, which accepts no default

OLD = """
import builtins
import time

newer = next

def Next(iterator):
    return newer(iterator)

builtins.next = Next

from microWebSrv import MicroWebSrv
from ready import Port

def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(("%d," % number for number in range(5)), "text/plain")

def Page(httpClient, httpResponse):
    httpResponse.WriteResponsePyHTMLFile("www/page.pyhtml", vars={"rows": range(3)})

def Stop(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "stopped")
    mws.Stop()

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText(text)

mws = MicroWebSrv([("/stream", "GET", Stream), ("/page", "GET", Page), ("/stop", "GET", Stop)], Port(), "127.0.0.1", "www")
mws.AcceptWebSocketCallback = Accept
for _ in range(2):
    mws.Start(threaded=False)
    print("ENDED")
mws.Start()
while mws.IsStarted():
    time.sleep(0.01)
print("ENDED")
"""


@pytest.mark.parametrize("runtime", ("micropython",))
def test_server_without_a_default_of_next(serve, tmp_path, runtime):
    """It starts three times, and sends each kind of response."""
    www = tmp_path / "www"
    www.mkdir()
    (www / "file.bin").write_bytes(bytes(range(256)) * 400)
    (www / "page.pyhtml").write_text("{{ for row in rows }}<{{ row }}>{{ end }}")
    server = serve(OLD)
    for number in range(3):
        if number:
            server.WaitReady()
        for path, body in (("/stream", b"0,1,2,3,4,"), ("/page", b"<0><1><2>"), ("/file.bin", bytes(range(256)) * 400)):
            assert harness.Fetch(server.port, path).body == body
        with connect("ws://127.0.0.1:%d/" % server.port, proxy=None) as webSocket:
            webSocket.send("hello")
            assert webSocket.recv(harness.DEADLINE_SEC) == "hello"
        assert harness.Fetch(server.port, "/stop").body == b"stopped"
        server.WaitLine("ENDED")
