"""Pages in a server: index pages, handlers, FlashMessage, streaming, and errors that reveal nothing."""

import shutil
import subprocess
import sys
import threading

import h11
import pytest

import harness
from template_cases import SEED_PAGE, SEED_RESULT

PROGRAM = """
from microWebSrv import MicroWebSrv
from ready import Port

@MicroWebSrv.route("/handler")
def Handler(httpClient, httpResponse):
    httpResponse.WriteResponsePyHTMLFile("www/vars.pyhtml", headers={"X-Mine": "1"}, vars={"name": "<me>"})

@MicroWebSrv.route("/flash")
def Flash(httpClient, httpResponse):
    httpResponse.FlashMessage("saved & sound", "good")
    httpResponse.WriteResponsePyHTMLFile("www/flash.pyhtml")

@MicroWebSrv.route("/flash2")
def NoFlash(httpClient, httpResponse):
    httpResponse.WriteResponsePyHTMLFile("www/flash.pyhtml")

@MicroWebSrv.route("/rows/<n>")
def Rows(httpClient, httpResponse, routeArgs):
    rows = ((i, "n%d" % i) for i in range(routeArgs["n"]))
    httpResponse.WriteResponsePyHTMLFile("www/rows.pyhtml", vars={"rows": rows})

@MicroWebSrv.route("/elsewhere")
def Elsewhere(httpClient, httpResponse):
    httpResponse.WriteResponsePyHTMLFile("templates/page.pyhtml")

@MicroWebSrv.route("/missing")
def Missing(httpClient, httpResponse):
    httpResponse.WriteResponsePyHTMLFile("www/missing.pyhtml")

MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www").Start(threaded=False)
"""

PAGES = {
    "www/index.pyhtml": SEED_PAGE,
    "www/vars.pyhtml": "Hello {{ name }}é",
    "www/flash.pyhtml": "{{ if MESSAGE_TEXT }}<p class='{{ MESSAGE_STYLE }}'>{{ MESSAGE_TEXT }}</p>{{ else }}none"
                        "{{ end }}",
    "www/rows.pyhtml": "<table>{{ for i, name in rows }}<tr><td>{{ i }}</td><td>{{ name }}</td></tr>\n"
                       "{{ end }}</table>",
    "www/sub/index.pyhtml": "{{ include /part.pyhtml }}{{ include own.pyhtml }}",
    "www/sub/own.pyhtml": "own",
    "www/part.pyhtml": "part",
    "www/outside.pyhtml": "{{ include ../secret.txt }}",
    "www/broken.pyhtml": "secret one\n{{ if }}",
    "www/fails.pyhtml": "secret two {{ 1 // 0 }}",
    "www/stops.pyhtml": "secret three {{ py }}\nraise StopIteration\n{{ end }}",
    "www/late.pyhtml": "{{ for i in range(3000) }}0123456789\n{{ end }}{{ 1 // 0 }}",
    "secret.txt": "not for you",
    "templates/page.pyhtml": "{{ include /part.pyhtml }}",
    "templates/part.pyhtml": "template part",
}


@pytest.fixture
def server(serve, tmp_path):
    for name, text in PAGES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return serve(PROGRAM)


def test_pages(server):
    answer = harness.Fetch(server.port, "/")
    assert answer.body.decode() == SEED_RESULT
    assert answer.Header("content-type").lower() == "text/html; charset=utf-8"
    assert harness.Fetch(server.port, "/index.pyhtml").body.decode() == SEED_RESULT
    assert harness.Fetch(server.port, "/sub/").body == b"partown"


def test_handlers(server):
    answer = harness.Fetch(server.port, "/handler")
    assert answer.body.decode() == "Hello &lt;me&gt;é"
    assert answer.Header("x-mine") == "1"
    assert harness.Fetch(server.port, "/flash").body == b"<p class='good'>saved &amp; sound</p>"
    assert harness.Fetch(server.port, "/flash2").body == b"none"
    assert harness.Fetch(server.port, "/elsewhere").body == b"template part"
    assert harness.Fetch(server.port, "/missing").status == 404


def test_a_long_page_is_streamed(server):
    body = harness.Fetch(server.port, "/rows/10000").body.decode()
    rows = "".join("<tr><td>%d</td><td>n%d</td></tr>\n" % (i, i) for i in range(10000))
    assert body == "<table>%s</table>" % rows


def test_pages_beside_each_other(server):
    """Long pages in parallel, each with its own names."""
    bodies = {}

    def Get(n):
        bodies[n] = harness.Fetch(server.port, "/rows/%d" % n).body

    threads = [threading.Thread(target=Get, args=(n,)) for n in range(2000, 2008)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, body in bodies.items():
        assert body.count(b"<tr>") == n


@pytest.mark.parametrize("path, pattern", (("/broken.pyhtml", r"broken\.pyhtml, line 2: SyntaxError"),
                                           ("/fails.pyhtml", r"fails\.pyhtml, line 1: ZeroDivisionError"),
                                           ("/stops.pyhtml", r"stops\.pyhtml, line \d: RuntimeError"),
                                           ("/outside.pyhtml", r"outside\.pyhtml, line 1: ValueError")))
def test_errors_say_nothing_to_the_browser(server, path, pattern):
    server.ExpectError(pattern)
    server.ExpectError("Error: |StopIteration")           # CPython shows the cause, too
    answer = harness.Fetch(server.port, path)
    assert answer.status == 500
    for secret in (b"secret", b"line", b"Error:", b"www"):
        assert secret not in answer.body
    assert harness.Fetch(server.port, "/sub/").body == b"partown"


def test_an_error_in_the_middle_breaks_the_answer_off(server):
    """The status was sent long before: the client must see that the page is incomplete."""
    server.ExpectError(r"late\.pyhtml, line 2: ZeroDivisionError")
    server.ExpectError("ZeroDivisionError: ")
    with harness.RawClient(server.port) as client:
        client.Send(b"GET /late.pyhtml HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises((AssertionError, h11.RemoteProtocolError, ConnectionError)):
            client.ReadResponse()
    assert harness.Fetch(server.port, "/sub/").body == b"partown"


SITE = """
import sys
sys.path.insert(0, "")
from microWebSrv import MicroWebSrv
from ready import Port

class Site:
    # A webPath without a root: what it has is in a dict.
    def Stat(self, path):
        return (False, len(FILES[path]), 0) if path in FILES else (True, 0, 0) if path == "/" else None

    def Open(self, path):
        import io
        return io.BytesIO(FILES[path])

FILES = {"/index.pyhtml": b"in{{ include sub/part }}", "/sub/part.pyhtml": b"part{{ 6 // n }}",
         "/plain.pyhtml": b"plain {{ 6 * 7 }}"}

@MicroWebSrv.route("/handler/<n>")
def Handler(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponsePyHTMLFile("%s", vars=routeArgs)

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath=%s)
mws.Debug = True
mws.Start(threaded=False)
"""


def test_a_site_without_a_folder(serve):
    """webPath may be any object with Stat and Open: pages, includes, and their errors."""
    server = serve(SITE % ("index.pyhtml", "Site()"))
    assert harness.Fetch(server.port, "/plain.pyhtml").body == b"plain 42"
    assert harness.Fetch(server.port, "/handler/3").body == b"inpart2"
    assert harness.Fetch(server.port, "/nothing.pyhtml").status == 404
    server.ExpectError(r"/sub/part\.pyhtml, line 1: NameError")
    server.ExpectError("Error: ")
    assert harness.Fetch(server.port, "/").status == 500


def test_the_debug_flag_shows_the_excerpt(serve):
    server = serve(SITE % ("index.pyhtml", "Site()"))
    server.ExpectError("ZeroDivisionError")
    answer = harness.Fetch(server.port, "/handler/0")
    assert answer.status == 500
    for part in (b"/sub/part.pyhtml, line 1: ZeroDivisionError", b"part{{ 6 // n }}"):
        assert part in answer.body


def test_pages_that_are_only_precompiled(serve, tmp_path):
    """Without files: the modules are used for a static path, an index page and a handler."""
    for name, text in (("index", "in{{ include sub/part }}"), ("sub/part", "part{{ include _own.pyhtml }}"),
                       ("sub/_own", ""), ("sub/index", "sub {{ n }}"), ("_parts/x", "x")):
        path = tmp_path / "www" / (name + ".pyhtml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    tool = harness.ROOT / "tools" / "compile_templates.py"
    subprocess.run([sys.executable, tool, "www"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    shutil.rmtree(tmp_path / "www")
    server = serve(SITE % ("www/sub/index.pyhtml", "'www'"))
    for path in ("/", "/index.pyhtml"):
        assert harness.Fetch(server.port, path).body == b"inpart"
    assert harness.Fetch(server.port, "/sub/part.pyhtml").body == b"part"
    assert harness.Fetch(server.port, "/handler/5").body == b"sub 5"
    for path in ("/sub/_own.pyhtml", "/_parts/x.pyhtml"):       # they have modules, but no path
        assert harness.Fetch(server.port, path).status == 404
    assert harness.Fetch(server.port, "/nothing.pyhtml").status == 404


@pytest.mark.parametrize("isBare", (False, True), ids=("whole", "without compiler"))
@pytest.mark.parametrize("pages", ("py", "mpy"))
@pytest.mark.parametrize("build", ("unix", "board"))
def test_precompiled_pages_with_the_build_for_boards(tmp_path, build, pages, isBare):
    """The server of tools/build_mpy.py with the pages of tools/compile_templates.py: all possible combinations."""
    if isBare and pages == "py":
        pytest.skip("the tool makes all of one kind")
    (tmp_path / "www" / "sub").mkdir(parents=True)
    (tmp_path / "www" / "index.pyhtml").write_text("{{ extends _base.pyhtml }}{{ block main }}{{ include 'sub/part' }}{{ end }}")
    (tmp_path / "www" / "_base.pyhtml").write_text("<p>{{ block main }}{{ end }}</p>")
    (tmp_path / "www" / "sub" / "part.pyhtml").write_text("{{ for i in range(3) }}{{ i }}{{ end }}")
    (tmp_path / "www" / "fails.pyhtml").write_text("one\n{{ 1 // 0 }}")
    (tmp_path / "lib").mkdir()
    tool = harness.LoadTool("build_mpy")
    for name, data in tool.Made(tool.Command(), build).items():
        (tmp_path / "lib" / name).write_bytes(data)
    compiler = [sys.executable, harness.ROOT / "tools" / "compile_templates.py", "www"]
    subprocess.run(compiler + (["--mpy"] if pages == "mpy" else []), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    if isBare:
        subprocess.run([*compiler, "--mpy", "--without-compiler", "-o", "bare"], cwd=tmp_path, check=True, capture_output=True,
                       timeout=60)
        for path in (tmp_path / "bare").glob("microWeb*.mpy"):
            shutil.copy(path, tmp_path / "lib")
    shutil.rmtree(tmp_path / "www")
    with harness.Server("micropython", SITE % ("www/sub/part.pyhtml", "'www'"), tmp_path, (tmp_path / "lib", tmp_path)) as server:
        assert harness.Fetch(server.port, "/").body == b"<p>012</p>"
        assert harness.Fetch(server.port, "/sub/part.pyhtml").body == harness.Fetch(server.port, "/handler/1").body == b"012"
        assert harness.Fetch(server.port, "/fails.pyhtml").status == 500
        server.ExpectError("/fails.pyhtml, line 2: ZeroDivisionError")


def test_a_handler_and_the_visitor_see_one_folder(serve, tmp_path):
    """A page below webPath has webPath as its root, even if a handler names it by a relative path."""
    (tmp_path / "www" / "sub").mkdir(parents=True)
    (tmp_path / "www" / "sub" / "page.pyhtml").write_text("{{ include ../part }}{{ include /part }}")
    (tmp_path / "www" / "part.pyhtml").write_text("part")
    server = serve(SITE % ("www/sub/page.pyhtml", "'www'"))
    assert harness.Fetch(server.port, "/handler/1").body == b"partpart"
    assert harness.Fetch(server.port, "/sub/page.pyhtml").body == b"partpart"
