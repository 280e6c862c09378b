"""The command `microwebsrv` on a computer: wrong arguments, the address, the log, the page for a failed handler, the targets that it can
serve, and the reload of pages in browsers. docs/command.md has the transcripts."""

import ctypes
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest
from websockets.sync.client import connect

import harness
from command_tools import ENV, Desk, Run
from harness import Fetch, RawClient, RequestBytes
from microwebsrv import access, address, failure, live

MANUAL = (harness.ROOT / "docs" / "command.md").read_text(encoding="utf-8")
HELLO = """
from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/hello")
def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="hello")
"""
SERVED = HELLO + "\n\nMicroWebSrv(port=80, webPath=\"/www\").Start(threaded=False)\n"
BROWSER = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Dest": "document"}
OURS = re.compile(r"microWeb\w+\.py|[\\/]microwebsrv[\\/]|runpy|importlib")
TAG = re.compile(rb'<script src="/\.microwebsrv/live\.js" nonce="[\w-]+"></script>')


@pytest.fixture
def start(tmp_path):
    """start(*words) -> a Desk whose command runs in tmp_path."""
    desks = []

    def Start(*words, **options):
        options.setdefault("cwd", tmp_path)
        desks.append(Desk(*words, **options))
        return desks[-1]

    yield Start
    for one in desks:
        one.Close()


def Write(folder, **files):
    """main="…" is main.py; a name with __ is a path: www__index_html."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_html", ".html").replace("_pyhtml", ".pyhtml")
        path = path if path.suffix else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


# -- wrong calls: the transcripts of the manual ------------------------------------------

def Transcripts(status):
    """Return (words, output) of each call in the block below `Status N`."""
    block = re.search(r"^Status %d.*?\n\n```console\n(.*?)```" % status, MANUAL, re.M | re.S).group(1)
    return [(call.partition("\n")[0].split()[1:], call.partition("\n")[2]) for call in block.split("$ ")[1:]]


CALLS = [pytest.param(status, words, said, id=" ".join(words)) for status in (1, 2, 3) for words, said in Transcripts(status)]


def LosePorts():
    """Runs in the new process before the command. It takes the right to ports below 1024 away (CAP_NET_BIND_SERVICE), also from root."""
    ctypes.CDLL(None).prctl(24, 10, 0, 0, 0)


def Home(folder):
    """Create the files of the folder in which the manual's transcripts were made."""
    for name in ("empty", "empty/www", "empty/.git"):
        (folder / name).mkdir()
    (folder / "empty" / ".git" / "config").write_text("")
    Write(folder, my_board__main=SERVED, my_board__www__index_html="<h1>Home</h1>", site=HELLO + "\n\ndef Number():\n    return 3\n",
          broken__main="import time\nprint(1))\n", lacking__main="import store\n", lacking__lib__store="import pandas2\n",
          failing__main='def Main():\n    return {}["pin"]\n\n\nMain()\n')
    (folder / "my_board").rename(folder / "my-board")
    return folder


def Plain(text, folder):
    """Return a text without the parts that differ between computers: the folder, and the marks below a line since Python 3.11."""
    return re.sub(r"^ +[~^]+\n", "", text.replace(str(folder), "/home/you"), flags=re.M)


def IsFreeForAll():
    """True on systems where every user may listen on port 80."""
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 80


@pytest.mark.skipif(sys.platform != "linux", reason="takes a right away as Linux does")
@pytest.mark.parametrize("status, words, said", CALLS)
def test_transcripts_of_the_manual(tmp_path, start, status, words, said):
    """The command ends with one line and the status. It serves nothing, and shows no traceback of its own."""
    Home(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        words = [port if word == "8080" and status == 3 else word for word in words]
        if "80" in words and IsFreeForAll():
            start(*words).Line("http://127.0.0.1:80/")
            return
        done = Run(*words, cwd=tmp_path, preexec=LosePorts)
    assert Plain(done.stderr, tmp_path).replace("port %s:" % port, "port 8080:") == said
    assert (done.returncode, done.stdout) == (status, "")


def test_manual_names_every_option():
    shown = Run("--help").stdout
    options = set(re.findall(r"--[a-z-]+", shown)) - {"--help", "--version", "--child"}
    assert len(options) > 8 and "--child" not in shown
    part = MANUAL[MANUAL.index("## Run a program on the PC"):MANUAL.index("## The page of pins")]
    assert {one for one in options if one not in part} == set()


def test_missing_folder_of_the_program(tmp_path, start):
    """A missing folder is reported if the program has set webPath. A missing default folder is not reported."""
    Write(tmp_path, astray__main="from microWebSrv import MicroWebSrv\nMicroWebSrv(webPath='/flash/site').Start(threaded=False)\n",
          plain__main="from microWebSrv import MicroWebSrv\nMicroWebSrv().Start(threaded=False)\n")
    said = re.search(r"\$ microwebsrv astray\nmicrowebsrv: http://127.0.0.1:8080/\n(.*?)```", MANUAL, re.S).group(1)
    one = start("astray", "--port", 0)
    one.Port()
    one.Error("webPath")
    assert Plain(one.err.text, tmp_path) == said
    one = start("plain", "--port", 0)
    assert Fetch(one.Port(), "/none").status == 404
    assert one.End() == 0 and one.err.text == ""


@pytest.mark.parametrize("options", [(), ("--no-reload",)])
@pytest.mark.parametrize("program", [
    "mws = MicroWebSrv()\nasyncio.run(mws.Serve())",
    "threading.Thread(target=time.sleep, args=(1000,)).start()\nMicroWebSrv().Start()",
    "MicroWebSrv().Start(threaded=False)",
    "",
], ids=["in its loop", "beside a thread", "in the foreground", "only handlers"])
def test_port_that_is_taken_meanwhile(tmp_path, program, options):
    """The port is free when the command starts, but taken when the server opens it. The command ends, whatever else runs."""
    port = harness.FreePorts(1)[0]
    Write(tmp_path, main="import asyncio, socket, threading, time\nfrom microWebSrv import MicroWebSrv\n"
                         "taken = socket.create_server(('127.0.0.1', %d))\n%s\n" % (port, program))
    done = Run(".", "--port", port, *options, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (
        3, "", "microwebsrv: can't listen on 127.0.0.1, port %d: another program has it; --port 0 takes one that is free\n" % port)


def test_port_of_the_second_server(tmp_path):
    """The port of the second server is taken. The first server already runs, and ends with the command."""
    port = next(port for port in iter(address.Free, None) if address.IsFree(port + 1, ""))
    Write(tmp_path, main="import socket\nfrom microWebSrv import MicroWebSrv\ntaken = socket.create_server(('127.0.0.1', %d))\n"
                         "MicroWebSrv().Start()\nMicroWebSrv().Start()\n" % (port + 1))
    done = Run(".", "--port", port, cwd=tmp_path)
    assert done.returncode == 3 and done.stdout == "microwebsrv: http://127.0.0.1:%d/\n" % port
    assert done.stderr.startswith("microwebsrv: can't listen on 127.0.0.1, port %d: " % (port + 1)) and done.stderr.count("\n") == 1


@pytest.mark.parametrize("port", ["70000", "'80'"])
def test_port_of_the_program_that_is_none(tmp_path, port):
    """The error is the same as without the command and as on a board."""
    Write(tmp_path, main="from microWebSrv import MicroWebSrv\nMicroWebSrv(port=%s).Start()\n" % port)
    done = Run(".", "--no-reload", "--port", 0, cwd=tmp_path)
    assert done.returncode == 1 and re.search("\nValueError: port must be an? \\w+ from 0 to 65535, not %s\n$" % port, done.stderr)
    assert not OURS.search(done.stderr), done.stderr


def test_program_may_try_another_port(tmp_path, start):
    """The program gets an OSError, as without the command."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        Write(tmp_path, main="""
            import errno
            from microWebSrv import MicroWebSrv
            mws = MicroWebSrv()
            mws.port = %d
            try:
                mws.Start()
            except OSError as error:
                print("REFUSED", error.errno == errno.EADDRINUSE, flush=True)
            mws.port = 0
            mws.Start(threaded=False)
            """ % busy.getsockname()[1])
        one = start(".", "--no-reload")
        one.Line("^REFUSED True$")
        assert Fetch(one.Port(), "/none").status == 404


def test_the_watched_program_ends(tmp_path, start):
    """The command waits for a change of a file if the error is in the program."""
    Write(tmp_path, main="x = )\n")
    one = start(".", "--port", 0)
    one.Line("the program has ended; it is run again")
    assert one.err.text == "microwebsrv: main.py:1: SyntaxError: unmatched ')'\n"
    Write(tmp_path, main="import nothing_of_this_name\n")
    one.Error("^microwebsrv: main.py:1: ModuleNotFoundError: No module named 'nothing_of_this_name'$")
    Write(tmp_path, main=SERVED)
    one.Line("main.py has changed")
    port = one.Port()
    assert Fetch(port, "/hello").text == "hello"
    assert one.End() == 0


@pytest.mark.parametrize("end", ["raise SystemExit('enough')", "raise SystemExit(4)", "raise KeyboardInterrupt", "1 / 0"])
def test_status_of_a_program(tmp_path, end):
    """The exit status is that of the program. Its last message appears once, and its traceback has no frames of the command."""
    Write(tmp_path, main="def F():\n    %s\nF()\n" % end)
    done = Run(".", "--no-reload", cwd=tmp_path)
    assert done.returncode == {"enough": 1, "(4)": 4, "upt": 0, "/ 0": 1}[re.search(r"enough|\(4\)|upt|/ 0", end).group()]
    assert not OURS.search(done.stderr), done.stderr
    assert done.stderr.startswith({"e": "enough\n", "1": "Traceback"}.get(end[-3] if "enough" in end else end[0], "")), done.stderr


@pytest.mark.parametrize("options", [(), ("--no-reload",)])
def test_end_while_a_thread_prints(tmp_path, options):
    """The thread waits for a reader and holds the lock of the output. Without care, Python would end with `Fatal Python error`, or hang."""
    Write(tmp_path, main="""
        import threading
        def Talk():
            while True:
                talks.set()
                print("x" * 100000)
        talks = threading.Event()
        threading.Thread(target=Talk, daemon=True).start()
        talks.wait()
        1 / 0
        """)
    with subprocess.Popen([sys.executable, "-m", "microwebsrv", ".", *options], cwd=tmp_path, env={**ENV, "PYTHONUNBUFFERED": ""}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        if options:
            text = process.stderr.read()
            assert process.wait(harness.DEADLINE_SEC) == 1
        else:
            text = harness.Output(process.stderr)
            assert text.Wait("ZeroDivisionError", 0, harness.DEADLINE_SEC)
            process.terminate()
            assert process.wait(harness.DEADLINE_SEC) == 0
            text.Join(harness.DEADLINE_SEC)
            text = text.text
    assert "ZeroDivisionError" in text and "Fatal" not in text and not OURS.search(text), text


def test_error_while_a_server_runs(tmp_path, start):
    """The program fails while its server continues to run: two messages report this."""
    Write(tmp_path, main=HELLO + "\n\nMicroWebSrv().Start()\n1 / 0\n")
    one = start(".", "--no-reload", "--port", 0)
    port = one.Port()
    one.Error("the program ended with an error; its server keeps running")
    assert Fetch(port, "/hello").text == "hello"
    assert not OURS.search(one.err.text), one.err.text
    assert one.End() == 1, "as Python ends after an error"


@pytest.mark.parametrize("options", [(), ("--no-reload",)])
def test_one_ctrl_c(tmp_path, start, options):
    """One Ctrl-C ends the command, also if the server runs in a thread and the program does something else."""
    Write(tmp_path, main=HELLO + "\n\nimport time\nMicroWebSrv().Start()\nprint('SLEEPS', flush=True)\ntime.sleep(1000)\n")
    one = start(".", "--port", 0, *options)
    port = one.Port()
    one.Line("^SLEEPS$")
    assert Fetch(port, "/hello").text == "hello"
    assert one.End() == 0 and one.err.text == ""


def test_import_that_fails_in_a_library(tmp_path):
    """The command prints the traceback, because one line would not show which file of the program imports the library."""
    Write(tmp_path, program__main="import library\n", library="import nothing_of_this_name\n")
    done = subprocess.run([sys.executable, "-m", "microwebsrv", "program", "--no-reload"], cwd=tmp_path, capture_output=True, text=True,
                          env={**ENV, "PYTHONPATH": os.pathsep.join((str(harness.SRC), str(tmp_path)))})
    assert done.returncode == 1 and "main.py\", line 1" in done.stderr and not OURS.search(done.stderr), done.stderr
    assert done.stderr.endswith("\nModuleNotFoundError: No module named 'nothing_of_this_name'\n")


# -- the address --------------------------------------------------------------------------

def test_ipv6(tmp_path, start):
    """The printed URL is correct, and the server accepts its address as the host."""
    Write(tmp_path, main=SERVED, www__index_html="<h1>Home</h1>")
    one = start(".", "--bind", "::1", "--port", 0)
    port = int(one.Line(r"^microwebsrv: http://\[::1\]:(\d+)/$").group(1))
    client = http.client.HTTPConnection("::1", port, timeout=harness.DEADLINE_SEC)
    client.request("GET", "/", headers=BROWSER)
    answer = client.getresponse()
    text = answer.read()
    client.close()
    assert answer.status == 200 and b"<h1>Home" in text and TAG.search(text)
    assert one.Logged("200")[1:3] == ["::1", "GET /"]
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as busy:
        done = Run(".", "--bind", "::1", "--port", busy.getsockname()[1], cwd=tmp_path)
    assert done.returncode == 3 and "can't listen on ::1, port" in done.stderr


@pytest.mark.parametrize("bindIP, url", [("127.0.0.1", "http://127.0.0.1:80/"), ("", "http://127.0.0.1:80/"), ("::", "http://[::1]:80/"),
                                         ("0.0.0.0", "http://127.0.0.1:80/"), ("fe80::1", "http://[fe80::1]:80/"), ("lamp", "http://lamp:80/")])
def test_urls(bindIP, url):
    assert address.Url(bindIP, 80) == url


def test_ipv6_without_a_port(tmp_path, start):
    """The command takes the next free port, as with IPv4."""
    Write(tmp_path, main=SERVED.replace("port=80", "port=%d" % harness.FreePorts(1)[0]), www__a_html="a")
    start(".", "--bind", "::1").Line(r"^microwebsrv: http://\[::1\]:(\d+)/$")


# -- the log --------------------------------------------------------------------------------

LOGGED = """
import time
from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/stream")
def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(["a" * 100, "b" * 100], "text/plain")


@MicroWebSrv.route("/slow", threaded=True)
def Slow(httpClient, httpResponse):
    time.sleep(0.3)
    httpResponse.WriteResponseOk(contentType="text/plain", content="slow")


@MicroWebSrv.route("/put", "PUT")
def Put(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content=httpClient.ReadRequestContent())


@MicroWebSrv.webSocketRoute("/socket")
def Accept(webSocket, httpClient):
    pass


@MicroWebSrv.route("/wait", threaded=True)
def Wait(httpClient, httpResponse):
    print("WAITS", flush=True)
    while httpClient.IsConnected():
        time.sleep(0.01)


mws = MicroWebSrv(webPath="/www")
mws.AccessCallback = lambda client, code: print("MINE", code, flush=True)
mws.Start(threaded=False)
"""


def test_log(tmp_path, start):
    """A line has the time, client, request, status, bytes of content, and duration. The program's own callback is called too."""
    Write(tmp_path, main=LOGGED, www__page_html="x" * 20000)
    one = start(".", "--no-reload")
    port = one.Port()

    def Asked(status, *request, **more):
        Fetch(port, *request, **more)
        fields = one.Logged(status)
        assert fields[1] == "127.0.0.1" and re.fullmatch(r"\d+\.\d ms", fields[5]), fields
        one.Line("^MINE %s$" % status)
        return fields[2:5]
    assert Asked("200", "/page.html?a=1") == ["GET /page.html?a=1", "200", "19.5 KB"]
    assert Asked("200", "/page.html", "HEAD") == ["HEAD /page.html", "200", "0 B"]
    assert Asked("404", "/none")[:2] == ["GET /none", "404"]
    assert Asked("405", "/page.html", "POST")[:2] == ["POST /page.html", "405"]
    assert Asked("200", "/stream")[2] in ("211 B", "217 B"), "one chunk, or two"
    with RawClient(port) as client:
        client.Send(RequestBytes("PUT", "/put", [("Expect", "100-continue"), ("Content-Length", "5")]))
        client.ReadUntil(b"100 Continue\r\n\r\n")
        client.Send(b"12345")
        assert client.ReadResponse("PUT").body == b"12345" and one.Logged("200")[2:5] == ["PUT /put", "200", "5 B"]
    Fetch(port, "/slow")
    assert float(one.Logged("200")[5].split()[0]) > 290
    with connect("ws://127.0.0.1:%d/socket" % port, proxy=None):
        assert one.Logged("101")[2:5] == ["GET /socket", "101", "0 B"]
    harness.RawExchange(port, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
    assert one.Logged("400")[2:4] == ["-", "400"]
    with RawClient(port) as client:
        client.Send(RequestBytes("GET", "/wait"))
        one.Line("^WAITS$")
        client.Close(reset=True)
    assert one.Logged("499")[2:4] == ["GET /wait", "499"]
    with RawClient(port) as client:
        client.Send(RequestBytes("GET", "/page.html") * 2)
        client.ReadResponse()
        client.ReadResponse()
    for _ in range(2):
        assert one.Logged("200")[2:5] == ["GET /page.html", "200", "19.5 KB"], "each answer counts from its beginning"
    assert one.End() == 0 and one.err.text == ""


def test_log_can_be_left_out(tmp_path, start):
    Write(tmp_path, main=SERVED)
    one = start(".", "--no-log", "--port", 0)
    assert Fetch(one.Port(), "/hello").text == "hello"
    assert one.End() == 0 and re.fullmatch(r"microwebsrv: http://\S+\n", one.out.text)
    port = harness.FreePorts(1)[0]
    one = start(".", "--quiet", "--port", port)
    one.Error("there is no folder")             # --quiet does not hide faults
    assert Fetch(port, "/hello").text == "hello"
    assert one.End() == 0 and one.out.text == ""


def test_log_says_one_line_each():
    """A client can't add lines to the log, or send escape sequences to the terminal."""
    line = access.Line("127.0.0.1", "GET /\x1b[2J\r\n\x85", 200, 5, 2.5, False)
    assert line.endswith("  GET /\\x1b[2J\\x0d\\x0a\\x85  200  5 B  2.50 s") and len(line.splitlines()) == 1
    line = access.Line("127.0.0.1", "GET /\u2028\u202e\u2066\u200f\u061cé", 200, 5, 2.5, False)
    assert line.endswith("  GET /\\u2028\\u202e\\u2066\\u200f\\u061cé  200  5 B  2.50 s")


def test_errors_with_text_of_a_client(tmp_path, start):
    """The text can't move the cursor, or look like another line of the log."""
    Write(tmp_path, main="""
        from microWebSrv import MicroWebSrv


        @MicroWebSrv.route("/lamp")
        def Lamp(httpClient, httpResponse):
            raise ValueError("no lamp %s" % httpClient.GetRequestQueryParams()["name"])


        MicroWebSrv(webPath="/www").Start(threaded=False)
        """, www__a_html="")
    one = start(".", "--no-reload", "--port", 0)
    Fetch(one.Port(), "/lamp?name=%1b%5b2J%0aMicroWebSrv:%20fake%0d%c2%9b%e2%80%ae%e2%80%a8%09.")
    one.Error(r"(?m)^ValueError: no lamp .*\n.*\n")
    lines = one.err.text.split("\n")
    assert lines[0] == r"MicroWebSrv: GET /lamp?name=%1b%5b2J%0aMicroWebSrv:%20fake%0d%c2%9b%e2%80%ae%e2%80%a8%09.: " \
                       r"no lamp \x1b[2J\x0aMicroWebSrv: fake\x0d\x9b\u202e\u2028\x09."
    assert lines[-3:] == [r"ValueError: no lamp \x1b[2J", "    MicroWebSrv: fake\\x0d\\x9b\\u202e\\u2028\t.", ""]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")
@pytest.mark.parametrize("env, isColoured", [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False),
                                             ({"TERM": "xterm", "NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)])
def test_colours(tmp_path, start, env, isColoured):
    import pty
    Write(tmp_path, main=SERVED)
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "microwebsrv", ".", "--port", "0"], cwd=tmp_path, env={**ENV, **env}, stdout=theirs,
                               stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    os.close(theirs)

    def Read(until, text=b""):
        while not re.search(until, text):
            text += os.read(ours, 4096)
        return text
    try:
        port = int(re.search(rb"127\.0\.0\.1:(\d+)", Read(rb"http://\S+")).group(1))
        Fetch(port, "/none")
        text = Read(rb"GET /none.*ms")
        assert (b"\x1b[33m404\x1b[0m" in text) == isColoured and (b"\x1b" in text) == isColoured
    finally:
        process.terminate()
        process.wait(harness.DEADLINE_SEC)
        os.close(ours)


# -- the page for a failed handler --------------------------------------------------------------

FAILING = """
import json
from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/json")
def Json(httpClient, httpResponse):
    text = "<script>"
    return json.loads(text)


@MicroWebSrv.route("/worker", threaded=True)
def Worker(httpClient, httpResponse):
    Deeper("<worker>")


@MicroWebSrv.route("/async")
async def Async(httpClient, httpResponse):
    Deeper("<async>")


@MicroWebSrv.route("/ours")
def Ours(httpClient, httpResponse):
    httpResponse.SetHeader("two\\nlines", "x")


@MicroWebSrv.route("/import")
def Import(httpClient, httpResponse):
    import faulty


@MicroWebSrv.route("/own")
def Own(httpClient, httpResponse):
    httpResponse.WriteResponseInternalServerError()


def Deeper(key):
    return {}[key]


mws = MicroWebSrv(webPath="/www")
MORE
mws.Start(threaded=False)
"""
FAULTS = {
    "/json": ("JSONDecodeError: Expecting value", "main.py, line 9", "    return json.loads(text)"),
    "/worker": ("KeyError: '<worker>'", "main.py, line 38", "    return {}[key]"),
    "/async": ("KeyError: '<async>'", "main.py, line 38", "    return {}[key]"),
    "/ours": ("ValueError: header must be", "main.py, line 24", "    httpResponse.SetHeader"),
    "/import": ("SyntaxError: ", "faulty.py, line 2", "y = )"),
    "/bad.pyhtml": ("ZeroDivisionError: division by zero", "www/bad.pyhtml, line 3", "<b>{{ n / 0 }}</b>"),
    "/outer.pyhtml": ("ZeroDivisionError: division by zero", "www/bad.pyhtml, line 3", "<b>{{ n / 0 }}</b>"),
    "/unclosed.pyhtml": ("SyntaxError: expected", "www/unclosed.pyhtml, line 2", "{{ if x }}"),
}


@pytest.fixture
def failing(tmp_path, start):
    def Failing(more="", *options):
        Write(tmp_path, main=FAILING.replace("MORE", more), faulty="x = 1\ny = )\n", www__unclosed_pyhtml="a\n{{ if x }}\n",
              www__outer_pyhtml="{{ include bad.pyhtml }}", www__bad_pyhtml="<p>one</p>\n{{ for n in (1, 2) }}\n<b>{{ n / 0 }}</b>\n{{ end }}\n")
        one = start(".", "--no-reload", *options)
        return one, one.Port()
    return Failing


def test_page_of_a_failure(failing):
    """The page shows the line with the source around it, and the traceback of the program. All of this is escaped."""
    one, port = failing()
    for path, (what, place, line) in FAULTS.items():
        answer = Fetch(port, path, headers=BROWSER)
        assert (answer.status, answer.mediaType, answer.Header("cache-control")) == (500, "text/html", "no-store"), path
        text = answer.text.replace("&lt;", "<").replace("&gt;", ">").replace("&#x27;", "'").replace("&quot;", '"').replace("&amp;", "&")
        assert "<h1>%s" % what in text and "<h2>%s</h2>" % place in text and "GET %s was answered" % path in text, text
        assert re.search("<mark> +\\d+  %s" % re.escape(line), text), text
        assert not OURS.search(text), text
        assert "<script>" not in answer.text and "<worker>" not in answer.text and "<async>" not in answer.text
    assert not OURS.search(one.err.text), one.err.text
    assert one.err.text.count("MicroWebSrv: GET ") == len(FAULTS)
    assert Fetch(port, "/own", headers=BROWSER).text.count("<h1>500 Internal Server Error</h1>") == 1, "it has not failed"


def test_text_of_a_failure(failing):
    """Clients that do not accept HTML get a text."""
    port = failing()[1]
    for headers in ({"Accept": "application/json"}, {"Accept": "*/*"}, {}):
        for path, (what, place, line) in FAULTS.items():
            answer = Fetch(port, path, headers=headers)
            assert (answer.status, answer.mediaType) == (500, "text/plain")
            assert answer.text.startswith(what) and "\n%s\n" % place in answer.text
            assert re.search("^> +\\d+  %s" % re.escape(line), answer.text, re.M) and not OURS.search(answer.text), answer.text
    assert Fetch(port, "/json", "HEAD").status in (405, 500)


@pytest.mark.parametrize("more, options, headers", [
    ("", ["--no-debug"], {}), ("mws.Debug = False", [], {}), ("", [], {"X-Forwarded-For": "192.0.2.7"}),
    ("import microWebCors\nmicroWebCors.AllowOrigins(mws, '*')", [], {"Origin": "https://other.example", "Sec-Fetch-Site": "cross-site"}),
    ("mws.AllowedHosts = None", [], {"Host": "other.example"})])
def test_bare_500(failing, more, options, headers):
    """Without Debug, for clients on other computers, and for pages of other sites, the response shows nothing of the program."""
    one, port = failing(more, *options)
    for accept in ("text/html", "*/*"):
        fields = {"Accept": accept, "Connection": "close", **headers}
        request = RequestBytes("GET", "/worker", fields, host=fields.pop("Host", "localhost"))
        text = harness.RawExchange(port, request).decode()
        assert "500 Internal Server Error" in text and "worker" not in text and "KeyError" not in text and "main.py" not in text
    one.Error("KeyError")                       # the console still shows the error


def test_own_error_page_comes_back_without_debug(failing):
    more = "mws.SetErrorHandler(500, lambda client, response, code: response.WriteResponse(500, None, 'text/plain', None, 'mine'))"
    port = failing(more, "--no-debug")[1]
    assert Fetch(port, "/json", headers=BROWSER).text == "mine"
    port = failing(more)[1]
    assert "JSONDecodeError" in Fetch(port, "/json", headers=BROWSER).text
    assert Fetch(port, "/own", headers=BROWSER).text == "mine"


def test_who_is_on_this_computer():
    def IsHere(ip, own="192.0.2.5", host="localhost:8080", bindIP="", **fields):
        sock = types.SimpleNamespace(getsockname=lambda: (own, 80))
        link = types.SimpleNamespace(GetAddr=lambda: (ip, 1), sock=sock)
        head = types.SimpleNamespace(fields={name.replace("_", "-"): value for name, value in fields.items()}, authority=host)
        return failure.IsHere(types.SimpleNamespace(head=head, connection=types.SimpleNamespace(link=link),
                                                    GetServer=lambda: types.SimpleNamespace(bindIP=bindIP)))
    for ip in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "192.0.2.5"):
        assert IsHere(ip), ip
    assert IsHere("::ffff:192.0.2.5", "::ffff:192.0.2.5", "192.0.2.5")
    for ip in ("192.0.2.6", "10.0.0.1", "::ffff:192.0.2.6", "fe80::1%eth0", "", "::2"):
        assert not IsHere(ip), ip
    for host in ("localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:8080", "[::1]", "192.0.2.5", "lamp:8080"):
        assert IsHere("127.0.0.1", host=host, bindIP="lamp"), host
    for host in ("other.example", "localhost.other.example:8080", "192.0.2.6", "[::2]:80", ""):
        assert not IsHere("127.0.0.1", host=host), host
    for name in ("via", "forwarded", "x_real_ip", "x_forwarded_for", "x_forwarded_host", "x_forwarded_proto"):
        assert not IsHere("127.0.0.1", **{name: "a"}), name
    for fields in ({"origin": "http://localhost:8080", "sec_fetch_site": "same-origin"}, {"sec_fetch_site": "none"}):
        assert IsHere("127.0.0.1", **fields), fields
    for fields in ({"origin": "http://localhost:3000", "sec_fetch_site": "same-site"}, {"origin": "null"}, {"origin": "http://other.example"},
                   {"sec_fetch_site": "cross-site"}):
        assert not IsHere("127.0.0.1", **fields), fields


# -- targets of the command --------------------------------------------------------------------

def test_module_and_server(tmp_path, start):
    """`package.module:name` names a server, an attribute of an object, or a function that returns a server. The server gets the port of
    the command."""
    Write(tmp_path, pack__site=HELLO + """

class Box:
    mws = MicroWebSrv(port=80)


box = Box()
early = MicroWebSrv()


def Make():
    return MicroWebSrv([("/made", "GET", Hello)])
""")
    for word, path in (("pack.site:early", "/hello"), ("pack.site:box.mws", "/hello"), ("pack.site:Make", "/made")):
        port = harness.FreePorts(1)[0]
        one = start(word, "--port", port)
        assert one.Port() == port
        assert Fetch(port, path).text == "hello"
        assert one.End() == 0 and one.err.text == ""


def test_module_is_watched(tmp_path, start):
    Write(tmp_path, site=HELLO + "\nmws = MicroWebSrv()\n")
    one = start("site:mws", "--port", 0)
    port = one.Port()
    Write(tmp_path, site=HELLO.replace('"hello"', '"changed"') + "\nmws = MicroWebSrv()\n")
    one.Line("^microwebsrv: site.py has changed")
    assert one.Port() == port and Fetch(port, "/hello").text == "changed"


def test_module_with_a_fault(tmp_path):
    """A function that fails is reported with its traceback, without frames of the command. A SyntaxError is reported in one line."""
    Write(tmp_path, site="from microWebSrv import MicroWebSrv\ndef Make():\n    return 1 / 0\n", broken="x = )\n")
    done = Run("site:Make", "--no-reload", cwd=tmp_path)
    assert done.returncode == 1 and "line 3, in Make" in done.stderr and not OURS.search(done.stderr)
    done = Run("broken:mws", "--no-reload", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, "microwebsrv: broken.py:1: SyntaxError: unmatched ')'\n")


@pytest.mark.parametrize("more", [[], ["--workers", "1"]])
def test_a_relative_path_of_modules(tmp_path, start, more):
    """PYTHONPATH=src, as in a clone. The process that runs the program finds the command, and a module of the program does not
    replace one of Python."""
    Write(tmp_path, site__main=SERVED, site__argparse="raise ValueError", site__www__index_html="")
    (tmp_path / "src").symlink_to(harness.SRC)
    one = start("site", *more, "--port", 0, "--no-log", env={"PYTHONPATH": "src"})
    assert Fetch(one.Port(), "/hello").text == "hello"
    assert one.End() == 0 and one.err.text == ""


def test_open(tmp_path, start):
    """The browser is opened once, with an address that already answers."""
    Write(tmp_path, main=SERVED)
    (tmp_path / "browser").write_text("#!%s\nimport os, sys, urllib.request\nos.write(1, b'BROWSER %%s %%s\\n' %% (sys.argv[1].encode(), "
                                      "urllib.request.urlopen(sys.argv[1] + 'hello').read()))\n" % sys.executable)
    (tmp_path / "browser").chmod(0o755)
    one = start(".", "--port", 0, "--open", "--no-log", env={"BROWSER": "%s %%s" % (tmp_path / "browser")})
    port = one.Port()
    one.Line("^BROWSER http://127.0.0.1:%d/ hello$" % port)
    Write(tmp_path, main=SERVED + "\n")
    one.Line("^microwebsrv: main.py has changed")
    assert one.Port() == port and Fetch(port, "/hello").text == "hello"
    assert one.End() == 0
    one.out.Join(harness.DEADLINE_SEC)          # each browser keeps this pipe open until it has printed its line
    assert one.out.text.count("BROWSER") == 1


# -- pages that are loaded again ------------------------------------------------------------------

SITE = """
from microWebSrv import MicroWebSrv

PAGE = "<!doctype html><html><body><p>%s</p></body></html>"
STRICT = {"Content-Security-Policy": "default-src 'none'", "ETag": '"1"'}


@MicroWebSrv.route("/handler")
def Handler(httpClient, httpResponse):
    httpResponse.WriteResponseOk(STRICT, "text/html", "UTF-8", PAGE % "WORD")


@MicroWebSrv.route("/part")
def Part(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/html", "UTF-8", "<p>part</p>")


@MicroWebSrv.route("/stream")
def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(iter([PAGE[:20], PAGE[20:]]), "text/html", "UTF-8")


@MicroWebSrv.route("/pushed")
def Pushed(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/html", "UTF-8")
    httpResponse._write(PAGE)


@MicroWebSrv.route("/packed")
def Packed(httpClient, httpResponse):
    httpResponse.WriteResponseOk({"Content-Encoding": "gzip"}, "text/html", "UTF-8", b"packed")


@MicroWebSrv.route("/text")
def Text(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", PAGE)


@MicroWebSrv.route("/moved")
def Moved(httpClient, httpResponse):
    httpResponse.WriteResponseRedirect("/handler")


mws = MicroWebSrv(webPath="/www")
mws.Start(threaded=False)
"""
INDEX = "<!doctype html>\n<html><head><link rel=stylesheet href=style.css></head><body><h1>%s</h1></body></html>"


@pytest.fixture
def site(tmp_path, start):
    def Site(*options):
        Write(tmp_path, main=SITE.replace("WORD", "one"), www__index_html=INDEX % "one", www__page_pyhtml="<html><p>{{ 1 + 1 }}</p></html>")
        (tmp_path / "www" / "large.html").write_text(INDEX % ("x" * live.FILE_MAX))
        (tmp_path / "www" / "style.css").write_text("h1 { color: rgb(1, 2, 3) }")
        one = start(".", "--port", 0, *options)
        return one, one.Port()
    return Site


def test_which_answers_get_the_script(site):
    """Whole pages that a browser shows get the script. All responses have the right length (harness.Fetch reads strictly)."""
    port = site()[1]
    plain = {path: Fetch(port, path).body for path in ("/", "/handler", "/page.pyhtml", "/stream", "/large.html", "/part", "/none", "/pushed",
                                                       "/packed", "/text", "/moved", "/style.css")}
    assert not any(TAG.search(body) for body in plain.values()), "curl gets what is there"
    for headers in (BROWSER, {"Accept": "text/html"}):
        for path, body in plain.items():
            answer = Fetch(port, path, headers=headers)
            isPage = path in ("/", "/handler", "/page.pyhtml", "/stream", "/large.html", "/none") or path == "/part" and headers is BROWSER
            assert len(TAG.findall(answer.body)) == isPage, (path, answer)
            assert TAG.sub(b"", answer.body) == body
            if isPage:
                assert answer.Header("cache-control") == "no-store" and answer.Header("etag") is None
                assert answer.Header("last-modified") is None and answer.Header("accept-ranges") is None
            if path in ("/", "/handler", "/page.pyhtml"):
                assert TAG.sub(b"!", answer.body).endswith(b"!</body></html>") or path == "/page.pyhtml"
                assert answer.Header("content-length") == str(len(answer.body))
    for headers in ({"Accept": "*/*"}, {"Accept": "text/html", "Sec-Fetch-Dest": "empty"}, {"Accept": "text/html", "HX-Request": "true"},
                    {"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"}, {"Accept": "text/html", "Sec-Fetch-Dest": "iframe"}):
        assert Fetch(port, "/", headers=headers).body == plain["/"]
    part = Fetch(port, "/", headers={**BROWSER, "Range": "bytes=0-14"})
    assert (part.status, part.body) == (206, plain["/"][:15])
    head = Fetch(port, "/", "HEAD", headers=BROWSER)
    assert head.body == b"" and head.status == 200
    known = Fetch(port, "/").Header("etag")
    assert Fetch(port, "/", headers={"If-None-Match": known}).status == 304
    assert Fetch(port, "/", headers={**BROWSER, "If-None-Match": known}).status == 200, "a copy that has no script is none"


@pytest.mark.parametrize("page", [
    "<body>a|</body>", "<body>a|</BODY ></html>\n", "<body>a|</body><!-- b --></html> <!-- c\n -->", "<body>a</html>|",
    "<body><script>var a='</body>'</script>|", "<body></body><script>var a='</body></html>'</script></html>|",
    "<body>a<!-- </body> -->|", "<body>a</body> <p>b</p>|",
])
def test_place_of_the_script(page):
    """It is before the end of the body, but never inside of a script or a comment."""
    assert live.Inserted(page.replace("|", "").encode(), b"|") == page.encode()


def test_script_of_a_page_that_names_the_end_of_the_body(site, tmp_path):
    port = site()[1]
    (tmp_path / "www" / "print.html").write_text("<html><body><h1>a</h1><script>var end = '</body>';</script>")
    assert TAG.sub(b"!", Fetch(port, "/print.html", headers=BROWSER).body).endswith(b"var end = '</body>';</script>!")


ASYNC_SITE = """
import asyncio
import microWebMount
from microWebSrv import MicroWebSrv

PIECES = "<html><body>", "<p>page</p>", "</body></html>"


@MicroWebSrv.route("/stream")
def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Pieces(), "text/html", "UTF-8")


async def Pieces():
    for piece in PIECES:
        await asyncio.sleep(0)
        yield piece


async def App(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    length = [(b"content-length", b"%d" % sum(map(len, PIECES)))] if scope["path"].endswith("/known") else []
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html"), *length]})
    async for piece in Pieces():
        await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


mws = MicroWebSrv(webPath="/www")
mws.Mount("/app", App)
asyncio.run(mws.Serve())
"""


def test_pages_in_pieces_of_async_code(tmp_path, start):
    """Their sources continue only while they are the source of the connection. The pages arrive, with the script."""
    Write(tmp_path, main=ASYNC_SITE, www__index_html="")
    port = start(".", "--port", 0).Port()
    for path in ("/stream", "/app/", "/app/known"):
        for _ in range(2):
            answer = Fetch(port, path, headers={"Accept": "text/html"})
            assert answer.status == 200 and len(TAG.findall(answer.body)) == 1, (path, answer)
            assert TAG.sub(b"", answer.body) == b"<html><body><p>page</p></body></html>"
            assert (answer.Header("content-length") is not None) == (path == "/app/known")
        assert not TAG.search(Fetch(port, path).body)


def test_policy_of_a_page(site):
    """The changed policy allows the script and its stream by their full addresses, and nothing else."""
    port = site()[1]
    there = "http://localhost/.microwebsrv/live"
    assert Fetch(port, "/handler", headers=BROWSER).Header("content-security-policy") == (
        "default-src 'none'; script-src-elem %s.js; connect-src %s" % (there, there))
    assert Fetch(port, "/handler").Header("content-security-policy") == "default-src 'none'"


@pytest.mark.parametrize("policy, allowed", [
    ("img-src *", "img-src *"),
    ("script-src 'nonce-a' 'unsafe-inline'", "script-src 'nonce-a' 'unsafe-inline' O/.microwebsrv/live.js"),
    ("script-src 'nonce-a' 'strict-dynamic'; connect-src 'none'",
     "script-src 'nonce-a' 'strict-dynamic' 'nonce-N'; connect-src O/.microwebsrv/live"),
    ("Script-Src-Elem 'self'; script-src 'none'; default-src b",
     "Script-Src-Elem 'self' O/.microwebsrv/live.js; script-src 'none'; default-src b; connect-src b O/.microwebsrv/live"),
    ("default-src 'self';; ", "default-src 'self'; script-src-elem 'self' O/.microwebsrv/live.js; connect-src 'self' O/.microwebsrv/live"),
    ("script-src a, script-src b", "script-src a O/.microwebsrv/live.js, script-src b O/.microwebsrv/live.js"),
])
def test_policies(policy, allowed):
    assert live.Allowed(policy, "http://h:1", "N") == allowed.replace("O/", "http://h:1/")
    if "strict" not in policy and "src-elem" not in policy.lower() and "img" not in policy:
        assert "'self'" in live.Allowed(policy, "http://[::1]:1", "N")


def test_stream_of_changes(site, tmp_path):
    """A page gets an event after each change of the site. The log has no lines about these requests."""
    one, port = site()
    with RawClient(port) as client:
        client.Send(RequestBytes("GET", live.STREAM_PATH, {"Accept": "text/event-stream"}))
        head = client.ReadUntil(b"\r\n\r\n")
        assert b"200 OK" in head and b"text/event-stream" in head
        seen = [client.ReadUntil(b"\n\n") for _ in range(1)]
        for name in ("style.css", "index.html", "page.pyhtml", "new.js"):
            (tmp_path / "www" / name).write_text("changed %s" % name)
            one.Line("^microwebsrv: www/%s has changed: pages in browsers are loaded again$" % name)
            seen.append(client.ReadUntil(b"\n\n"))
        (tmp_path / "www" / "data.json").write_text("{}")
        (tmp_path / "www" / "style.css").unlink()
        one.Line("^microwebsrv: www/style.css has changed")
        seen.append(client.ReadUntil(b"\n\n"))
    assert len(set(seen)) == len(seen) == 6
    script = Fetch(port, live.SCRIPT_PATH)
    assert script.mediaType == "text/javascript" and live.STREAM_PATH in script.text
    assert one.End() == 0 and ".microwebsrv/" not in one.out.text and "data.json" not in one.out.text


def test_no_reload(site, tmp_path):
    one, port = site("--no-reload")
    assert not TAG.search(Fetch(port, "/", headers=BROWSER).body)
    assert Fetch(port, live.STREAM_PATH).status == Fetch(port, live.SCRIPT_PATH).status == 404


def test_server_alone_knows_nothing_of_it(tmp_path):
    """With `python main.py` and on a board the server has no such path, and loads no module of the command."""
    Write(tmp_path, main="""
        import sys
        from microWebSrv import MicroWebSrv
        mws = MicroWebSrv(port=0)
        assert mws.GetRouteHandler("/.microwebsrv/live", "GET") == (None, None) and not MicroWebSrv.Debug
        print([name for name in sys.modules if name.startswith("microwebsrv")])
        """)
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, env=ENV, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_browser_loads_the_page_again(site, tmp_path, page):
    """The page is loaded again after a change of a file of the site, a style sheet, and a program that is broken for a while, also if it
    has a strict policy."""
    from playwright.sync_api import expect
    one, port = site()
    complaints = []
    (tmp_path / "www" / "favicon.ico").write_bytes(b"")
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.goto("http://127.0.0.1:%d/" % port)
    expect(page.locator("h1")).to_have_text("one")
    with page.expect_response("**" + live.STREAM_PATH):
        page.reload()
    (tmp_path / "www" / "index.html").write_text(INDEX % "two")
    expect(page.locator("h1")).to_have_text("two")
    expect(page.locator("h1")).to_have_css("color", "rgb(1, 2, 3)")
    with page.expect_response("**" + live.STREAM_PATH):
        page.reload()
    (tmp_path / "www" / "style.css").write_text("h1 { color: rgb(9, 8, 7) }")
    expect(page.locator("h1")).to_have_css("color", "rgb(9, 8, 7)")
    with page.expect_response("**" + live.STREAM_PATH):
        page.goto("http://127.0.0.1:%d/handler" % port)
    expect(page.locator("p")).to_have_text("one")
    assert complaints == [], "the policy lets them in"
    Write(tmp_path, main=SITE.replace("WORD", "two") + "x = )\n")
    one.Line("the program has ended")
    Write(tmp_path, main=SITE.replace("WORD", "three"))
    one.Port()
    expect(page.locator("p")).to_have_text("three", timeout=harness.DEADLINE_SEC * 1000)


def test_browser_shows_a_failure_and_then_the_page(failing, tmp_path, start, page):
    """The page of a failure fits the width of a phone. After the fault is mended, the browser loads the right page."""
    from playwright.sync_api import expect
    failing()
    one = start(".", "--port", 0)
    port = one.Port()
    page.set_viewport_size({"width": 390, "height": 800})
    with page.expect_response("**" + live.STREAM_PATH):
        page.goto("http://127.0.0.1:%d/bad.pyhtml" % port)
    expect(page.locator("h1")).to_have_text("ZeroDivisionError: division by zero")
    expect(page.locator("mark")).to_have_text(re.compile("<b>.. n / 0 ..</b>"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    (tmp_path / "www" / "bad.pyhtml").write_text("<h1>mended</h1>")
    expect(page.locator("h1")).to_have_text("mended")


# -- the package ----------------------------------------------------------------------------------

def test_classes_of_the_package():
    """The package offers the classes of the server. It loads them when they are used."""
    program = """
import json, sys
import microwebsrv
before = [name for name in sys.modules if name.startswith("microWeb")]
from microwebsrv import MicroWebSocket, MicroWebSrv, MicroWebTemplate
import microWebSocket, microWebSrv, microWebTemplate
same = (MicroWebSocket is microWebSocket.MicroWebSocket, MicroWebSrv is microWebSrv.MicroWebSrv,
        MicroWebTemplate is microWebTemplate.MicroWebTemplate, microwebsrv.__version__ == microWebSrv.__version__)
try:
    microwebsrv.MicroWebServer
except AttributeError as error:
    said = str(error)
print(json.dumps([before, same, said, "MicroWebSrv" in dir(microwebsrv), "microwebsrv.serve" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], env=ENV, capture_output=True, text=True)
    assert json.loads(done.stdout) == [[], [True] * 4, "module 'microwebsrv' has no attribute 'MicroWebServer'", True, False], done.stderr


def test_program_that_imports_the_package(tmp_path, start):
    Write(tmp_path, main=SERVED.replace("from microWebSrv", "from microwebsrv"))
    one = start(".", "--port", 0)
    assert Fetch(one.Port(), "/hello").text == "hello"
