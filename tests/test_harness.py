"""The harness itself: it must detect what it is made to detect."""

import pytest

import harness

GOOD = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ("GET",), [(200, b"hi")]),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", ("GET",), [(200, b"hi")]),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it", ("GET",), [(200, b"all of it")]),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", ("HEAD",), [(200, b"")]),
    (b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n", ("PUT", "GET"), [(204, b""), (304, b"")]),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ("POST",), [(200, b"")]),
]

BAD = [
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    b"200 OK\r\n\r\n",
]


@pytest.mark.parametrize("data, methods, expected", GOOD)
def test_parse_good(data, methods, expected):
    assert [(response.status, response.body) for response in harness.ParseResponses(data, methods)] == expected


@pytest.mark.parametrize("data", BAD)
def test_parse_bad(data):
    with pytest.raises(Exception) as refused:
        harness.ParseResponses(data)
    assert not isinstance(refused.value, (StopIteration, AttributeError, TypeError))


TRACEBACK = 'handler of /x\nTraceback (most recent call last):\n  File "a.py", line 1, in f\nKeyError: 7\n'


@pytest.mark.parametrize("text, expected", [
    ("", []),
    ("READY 1\nall is well\n", []),
    ("a\n" + TRACEBACK + "b\n", [TRACEBACK.strip()]),
    (TRACEBACK + TRACEBACK, [TRACEBACK.strip()] * 2),
    ("x.py:3: ResourceWarning: unclosed <socket>\n", ["x.py:3: ResourceWarning: unclosed <socket>"]),
    ("Traceback (most recent call last):\n", ["Traceback (most recent call last):"]),
])
def test_troubles(text, expected):
    assert list(harness.Troubles(text)) == expected


FAULT = """
import sys
try:
    raise KeyError("fault")
except KeyError as error:
    if sys.implementation.name == "micropython":
        sys.print_exception(error, sys.stderr)
    else:
        sys.excepthook(KeyError, error, error.__traceback__)
print("READY 1")
sys.stdin.readline()
"""


def test_server_sees_a_traceback(runtime, tmp_path):
    server = harness.Server(runtime, FAULT, tmp_path)
    with pytest.raises(AssertionError, match="unexpected on the console"):
        server.Close()
    server = harness.Server(runtime, FAULT, tmp_path)
    server.ExpectError("KeyError: .?fault")
    server.Finish()
    server = harness.Server(runtime, FAULT, tmp_path)
    server.ExpectError("KeyError")
    server.ExpectError("ValueError")
    with pytest.raises(AssertionError, match="absent: ValueError"):
        server.Finish()


def test_server_sees_a_death(runtime, tmp_path):
    with pytest.raises(AssertionError, match="no line"):
        harness.Server(runtime, "raise SystemExit(3)", tmp_path)
    server = harness.Server(runtime, "import sys\nprint('READY 1')\nsys.stdin.readline()\nsys.exit(3)", tmp_path)
    server.Tell("go")
    server.process.wait(harness.DEADLINE_SEC)
    with pytest.raises(AssertionError, match="died with code 3"):
        server.Close()


def test_server_waits_for_lines(serve):
    server = serve("import sys\nprint('READY 12')\nfor line in sys.stdin:\n    print('got ' + line)\n")
    assert server.port == 12
    server.Tell("one")
    server.Tell("two")
    assert server.WaitLine("got (.*)").group(1) == "one"
    assert server.WaitLine("got (.*)").group(1) == "two"
    with pytest.raises(AssertionError, match="no line"):
        server.WaitLine("got (.*)", 0.1)


HELLO = """
from microWebSrv import MicroWebSrv
from ready import Port

@MicroWebSrv.route("/hello")
def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="hello")

MicroWebSrv(port=Port(), bindIP="127.0.0.1").Start(threaded=False)
"""


def test_hello(serve):
    """The example of CONTRIBUTING.md."""
    server = serve(HELLO)
    assert harness.Fetch(server.port, "/hello").body == b"hello"
    again = harness.RequestBytes("GET", "/hello", {"Connection": "close"})
    both = harness.RequestBytes("HEAD", "/hello") + again
    head, response = harness.ParseResponses(harness.RawExchange(server.port, both), ("HEAD", "GET"))
    assert (head.status, head.body, head.isClosing) == (200, b"", False)
    assert (response.status, response.body, response.isClosing) == (200, b"hello", True)
    assert harness.RawExchange(server.port, harness.RequestBytes("GET", "/hello"), quietSec=0.2).endswith(b"hello")


def test_run(run, runtime):
    which = "import sys\nprint(sys.implementation.name, sys.stdin.read())\n"
    assert run(which, stdin="in").split() == ["micropython" if runtime == "micropython" else "cpython", "in"]
    with pytest.raises(AssertionError, match="exit 1"):
        run("raise ValueError")


WHICH = """
import select, selectors, sys
from microWebSrv import MicroWebSrv
print(hasattr(select, "epoll"), hasattr(select, "poll"), selectors.DefaultSelector is selectors.SelectSelector,
      getattr(MicroWebSrv, "UseAsyncio", None))
"""


def test_changed_runtimes(tmp_path):
    """The changes made before the program starts, and nothing else."""
    plain = harness.RunProgram("cpython", WHICH, tmp_path).split()
    assert harness.RunProgram("cpython-select", WHICH, tmp_path).split() == ["False", "False", "True", plain[3]]
    assert harness.RunProgram("cpython-asyncio", WHICH, tmp_path).split() == [*plain[:3], "True"]


def test_each_layout_has_all_sources(tmp_path):
    names = {path.name for path in harness.SRC.glob("*.py")}
    assert {path.name for path in harness.CopySources(tmp_path / "files").iterdir()} == names
    rooms = harness.CopyRooms(tmp_path / "rooms")
    assert {path.name for path in rooms.iterdir()} == {*names, "microWebSrv"} - {"microWebSrv.py"}
    assert {path.name for path in (rooms / "microWebSrv").iterdir()} == {path.name for path in harness.CORE.glob("*.py")}
