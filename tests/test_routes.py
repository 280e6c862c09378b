"""microWebRoutes: typed arguments, groups, GetUrl, GetList, pages for 404; on every runtime."""

import json

import pytest

import harness
import test_boards
from harness import Fetch, RawClient, RequestBytes
from http_tools import SharedSite

BOTH = pytest.mark.parametrize("runtime", ["cpython", "micropython"])

# ------------------------------------------------------------------------------------------- patterns and paths

# route: {path: arguments, None if it does not match}. Paths are normalised as in the router: NUL is an encoded slash.
PATTERNS = {
    "/i/<int:n>": {
        "/i/0": {"n": 0}, "/i/42": {"n": 42}, "/i/-5": {"n": -5}, "/i/-0": {"n": 0}, "/i/007": {"n": 7}, "/i/5/": {"n": 5},
        "/i/+1": None, "/i/ 1": None, "/i/1 ": None, "/i/\u0967": None, "/i/\u00b2": None, "/i/1_0": None, "/i/1.0": None,
        "/i/0x1": None, "/i/-": None, "/i/--1": None, "/i/": None, "/i": None, "/i/5/6": None, "/I/5": None, "/i/5\x00": None,
        "/i/1073741823": {"n": 1073741823}, "/i/1073741824": {"n": 1073741824}, "/i/-1073741825": {"n": -1073741825},
        "/i/2147483648": {"n": 2147483648}, "/i/9223372036854775808": {"n": 9223372036854775808},
        "/i/123456789012345678901234567890": {"n": 123456789012345678901234567890},
        "/i/" + "9" * 999: {"n": 10 ** 999 - 1}, "/i/" + "9" * 1000: None,
    },
    "/f/<float:x>": {
        "/f/1.5": {"x": 1.5}, "/f/-1.5": {"x": -1.5}, "/f/2": {"x": 2.0}, "/f/-0": {"x": 0.0}, "/f/007": {"x": 7.0},
        "/f/1e3": {"x": 1000.0}, "/f/25e-2": {"x": 0.25}, "/f/.5": {"x": 0.5}, "/f/5.": {"x": 5.0},
        "/f/inf": None, "/f/-inf": None, "/f/Infinity": None, "/f/nan": None, "/f/1e999": None, "/f/-1e999": None,
        "/f/+1": None, "/f/ 1": None, "/f/1_0": None, "/f/\u0967": None, "/f/.": None, "/f/-": None, "/f/-.": None,
        "/f/e5": None, "/f/.e5": None, "/f/1e": None, "/f/1-2": None, "/f/1.2.3": None, "/f/0x10": None, "/f/1,5": None,
        "/f/" + "1" * 1000: None,
    },
    "/p/<path:rest>": {
        "/p/a": {"rest": "a"}, "/p/a/b/c.txt": {"rest": "a/b/c.txt"}, "/p/42": {"rest": "42"}, "/p/a\x00b/c": {"rest": "a/b/c"},
        "/p/a/": {"rest": "a"}, "/p": None, "/p/": None, "/p/../x": None, "/p/a/..": None, "/p/a\x00..\x00b": None,
        "/p/..a/b..": {"rest": "..a/b.."},
    },
    "/<path:rest>/raw": {
        "/a/b/raw": {"rest": "a/b"}, "/raw/raw": {"rest": "raw"}, "/raw": None, "/a/raw/b": None, "/a/rawer": None,
    },
    "/<path:folder>/<int:n>": {"/a/b/12": {"folder": "a/b", "n": 12}, "/a/12": {"folder": "a", "n": 12}, "/12": None,
                               "/a/b/x": None},
    "/<path:folder>/<name>": {"/a/b/c": {"folder": "a/b", "name": "c"}, "/a/5": {"folder": "a", "name": 5}, "/a": None},
    "/<path:a>/to/<path:b>": {"/x/y/to/z": {"a": "x/y", "b": "z"}, "/x/to/to/to/y": {"a": "x", "b": "to/to/y"},
                              "/to/x": None, "/x/to": None, "/to/to/to": {"a": "to", "b": "to"}},
    "/<path:a>/<int:n>/<int:m>/<path:b>/end": {
        "/a/1/b/2/3/c/d/end": {"a": "a/1/b", "n": 2, "m": 3, "b": "c/d"}, "/a/1/2/end": None, "/1/2/3/end": None,
        "/0/1/2/3/4/end": {"a": "0", "n": 1, "m": 2, "b": "3/4"}},
    "/<path:a>/<path:b>": {"/x/y/z": {"a": "x", "b": "y/z"}, "/x": None},
    "/n/<name>-<int:id>": {"/n/foo-bar-12": {"name": "foo-bar", "id": 12}, "/n/a-1": {"name": "a", "id": 1}, "/n/-1": None,
                           "/n/a-": None, "/n/a-x": None},
    "/s/<int:id>-<slug>": {"/s/12-foo-bar": {"id": 12, "slug": "foo-bar"}, "/s/-5-x": {"id": -5, "slug": "x"}, "/s/x-y": None,
                           "/s/12-": None, "/s/12": None},
    "/g/<name>.<int:w>x<int:h>.png": {"/g/a.b.3x4.png": {"name": "a.b", "w": 3, "h": 4}, "/g/a.3x4.jpg": None, "/g/.3x4.png": None},
    "/k/<name>-<str:id>": {"/k/x-y-": {"name": "x", "id": "y-"}, "/k/-x-y": {"name": "-x", "id": "y"}, "/k/xy": None},
    "/l/<a>-<b>-<int:c>": {"/l/1-2": None, "/l/x-2-3-4": {"a": "x-2", "b": 3, "c": 4}},
    "/v<int:v>/x": {"/v2/x": {"v": 2}, "/v/x": None, "/v2/y": None, "/v2": None},
    "/t/<str:text>/<int:n>": {"/t/42/42": {"text": "42", "n": 42}, "/t/a\x00b/1": {"text": "a/b", "n": 1}},
    "/m/<plain>/<int:n>": {"/m/42/1": {"plain": 42, "n": 1}, "/m/042/1": {"plain": "042", "n": 1}, "/m/\u00e9/1": {"plain": "\u00e9", "n": 1}},
    "/h/<hex:n>": {"/h/ff": {"n": 255}, "/h/xyz": None, "/h/0": {"n": 0}},
    "/c:d/<int:n>": {"/c:d/5": {"n": 5}, "/c/5": None},
    "/z<int:n>z": {"/z5z": {"n": 5}, "/zz": None, "/z": None, "/z5": None},
    "/d/<int:y>/<int:m>/<int:d>/": {"/d/2024/01/05": {"y": 2024, "m": 1, "d": 5}, "/d/2024/01/05/": {"y": 2024, "m": 1, "d": 5},
                                    "/d/2024/01": None},
}

MATCH = """
import json, sys
from microWebSrv import MicroWebSrv
import microWebRoutes
microWebRoutes.AddConverter("hex", lambda text: int(text, 16), lambda number: "%x" % number)
cases = json.loads(sys.stdin.readline())
def Handler(client, response, args):
    pass
for url, path in cases:
    args = MicroWebSrv([(url, "GET", Handler)], webPath=".").GetRouteHandler(path, "GET")[1]
    print(json.dumps(args if args is None else sorted([[name, type(args[name]).__name__, str(args[name])] for name in args])))
"""


CASES = [(url, path) for url in PATTERNS for path in PATTERNS[url]]


@BOTH
def test_patterns(runtime, tmp_path):
    CheckPatterns(harness.RunProgram(runtime, MATCH, tmp_path, (harness.SourcesOf(runtime),), stdin=json.dumps(CASES) + "\n",
                                     timeoutSec=60))


@pytest.mark.parametrize("version", test_boards.VERSIONS)
def test_patterns_on_boards(version, tmp_path):
    """On 32 bits, with the oldest supported MicroPython."""
    path = tmp_path / "main.py"
    path.write_text(MATCH.replace("json.loads(sys.stdin.readline())", repr(CASES)), encoding="utf-8")
    CheckPatterns(test_boards.Run(version, path))


def CheckPatterns(said):
    for (url, path), line in zip(CASES, said.split("\n")):
        expected = PATTERNS[url][path]
        if expected is not None:
            expected = sorted([name, type(value).__name__, str(value)] for name, value in expected.items())
            expected = [[name, kind, str(float(text) + 0.0) if kind == "float" else text] for name, kind, text in expected]
        got = json.loads(line)
        if got:
            got = [[name, kind, str(float(text) + 0.0) if kind == "float" else text] for name, kind, text in got]
        assert got == expected, (url, path[:60])


REFUSED = ["/<foo:x>", "/<int:>", "/<int:a>/<int:a>", "/<int:a>/<a>", "/<int:a:b>", "/<path:a>.txt", "/x<path:a>", "/<path:a><int:b>",
           "/<int:b><path:a>", "/(a|b)/<int:n>", "/<int:n>/.*", "/<INT:n>", "/<int:n", "<int:n>"]

REFUSE = """
import json, sys
from microWebSrv import MicroWebSrv
def Handler(client, response, args=None):
    pass
mws = MicroWebSrv(webPath=".")
for url in json.loads(sys.stdin.readline()):
    for register in (lambda: mws.AddRoute(url, "GET", Handler), lambda: mws._Decorated(url)):
        try:
            register()
            print("TAKEN", url)
        except ValueError as error:
            print("REFUSED", url, error)
        except AttributeError:
            pass
"""


@BOTH
def test_what_is_no_route(runtime, tmp_path):
    said = harness.RunProgram(runtime, REFUSE, tmp_path, (harness.SourcesOf(runtime),), stdin=json.dumps(REFUSED) + "\n")
    assert "TAKEN" not in said
    assert [line.split()[1] for line in said.splitlines()] == REFUSED


ABSENT = """
import sys
from microWebSrv import MicroWebSrv
def Handler(client, response, args=None):
    pass
mws = MicroWebSrv(webPath=".")
mws.AddRoute("/re/(?:a|b)", "GET", Handler)          # no type: a regular expression, a colon in a literal
mws.AddRoute("/c:d/<x>", "GET", Handler)
print(mws.GetRouteHandler("/c:d/5", "GET")[1])
for register in (lambda: mws.AddRoute("/x/<int:n>", "GET", Handler),
                 lambda: MicroWebSrv([("/x/<int:n>", "GET", Handler)], webPath="."),
                 lambda: (MicroWebSrv.route("/x/<int:n>")(Handler), MicroWebSrv(webPath=".")),
                 lambda: (MicroWebSrv._docoratedRouteHandlers.clear(),
                          MicroWebSrv.webSocketRoute("/x/<int:n>")(Handler), MicroWebSrv(webPath="."))):
    try:
        register()
        print("TAKEN")
    except ValueError as error:
        print(error)
"""


@BOTH
def test_without_the_file(runtime, tmp_path):
    """A typed route is refused at registration, decorated or not, also for WebSockets."""
    lib = harness.CopySources(tmp_path / "lib")
    (lib / "microWebRoutes.py").unlink()
    said = harness.RunProgram(runtime, ABSENT, tmp_path, (lib,)).splitlines()
    assert said[0] == "{'x': 5}" and len(said) == 5
    assert all("/x/<int:n> needs microWebRoutes.py" in line for line in said[1:]), said


HOSTILE = """
import sys, time
from microWebSrv import MicroWebSrv
def Handler(client, response, args):
    pass
mws = MicroWebSrv([(url, "GET", Handler) for url in sys.argv[1:]], webPath=".")
clock = time.ticks_ms if hasattr(time, "ticks_ms") else lambda: time.monotonic() * 1000
for repeat in (1, 1, 8):
    text = "/1/-/a-a-"
    path = text * (250 * repeat) + "/x"
    start = clock()
    for _ in range(3):
        mws.GetRouteHandler(path, "GET")
    print(clock() - start)
"""


@BOTH
def test_time_is_proportional(runtime, tmp_path):
    """Several arguments; paths of 2 and 18 KB that almost match: the time grows in proportion to the length, with a
    generous tolerance."""
    urls = ["/<path:a>/<int:b>/<path:c>/<int:d>/<path:e>/end", "/<path:a>/<name>-<int:b>/<path:c>/y", "/<a>-<b>-<int:c>-<d>"]
    said = harness.RunProgram(runtime, HOSTILE, tmp_path, (harness.SourcesOf(runtime),), args=urls, timeoutSec=60).split()
    assert float(said[2]) < 40 * max(float(said[1]), 2), said


# ------------------------------------------------------------------------------------------- in a server

PROGRAM = """
import sys
from microWebSrv import MicroWebSrv
import microWebRoutes
from ready import Port


def Say(httpClient, httpResponse, args=None):
    pairs = sorted([(name, args[name]) for name in args]) if args else None
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "%s %r" % (httpClient.GetRequestMethod(), pairs))


@MicroWebSrv.route("/users/<int:id>")
def User(httpClient, httpResponse, args):
    Say(httpClient, httpResponse, args)


@MicroWebSrv.route("/users/<name>")
def Named(httpClient, httpResponse, args):
    Say(httpClient, httpResponse, {"named": args["name"]})


@MicroWebSrv.webSocketRoute("/chat/<int:room>")
def Chat(webSocket, httpClient, args):
    webSocket.SendText("room %r" % (args["room"] + 1))


async def Later(httpClient, httpResponse, args):
    Say(httpClient, httpResponse, args)


api = microWebRoutes.Group("/api")
v1 = microWebRoutes.Group()


@api.route("/things/<int:id>", "PUT")
@api.route("/things/<int:id>")
@api.route("/things")
def Thing(httpClient, httpResponse, args=None):
    Say(httpClient, httpResponse, args)


@v1.route("/old/<path:rest>", name="old")
def Old(httpClient, httpResponse, args):
    Say(httpClient, httpResponse, args)


api.AddRoutes("/v1", v1)
api.AddRoutes("/table", [("/<float:x>", "POST", Say), ["/t", "GET", Say, True]])


def Lists(httpClient, httpResponse):
    query = httpClient.GetRequestQueryParams()
    form = httpClient.ReadRequestPostedFormData()
    query["own"] = "1"
    httpResponse.WriteResponseJSONOk([isinstance(query, dict), query.get("a"), query.GetList("a"), query.GetList("none"), query.GetList("own"),
                                      len(query), sorted(form), form.GetList("b"), form.get("b"), form])


mws = MicroWebSrv([("/lists", "POST", Lists), ("/lists", "GET", Lists), ("/<int:x>/two/<int:y>", "DELETE", Say), ("/gone/<id>", "GET", lambda c, r, a: r.WriteResponseNotFound())],
                  port=Port(), bindIP="127.0.0.1", webPath="www")
mws.AddRoutes("", api)
mws.AddRoutes("/in", ((("/a/<int:b>/c", "GET", Later)),))
mws.MaxRequestContentLen = 5000
microWebRoutes.NotFound(mws, "/404.html", "/app.html", exclude=("/api", "/Files/"))
microWebRoutes.KeepLists(mws)


@mws.route("/url")
def Url(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, mws.GetUrl(User, id=5))


mws.Start(threaded=False)
"""


def Site(folder):
    www = folder / "www"
    (www / "folder").mkdir(parents=True)
    (www / "404.html").write_text("<h1>not here</h1>")
    (www / "app.html").write_text("<h1>app</h1>")
    (www / "a.txt").write_text("a")
    (www / "folder" / "b.txt").write_text("b")


site = SharedSite(PROGRAM, Site)
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def Said(server, target, method="GET", **more):
    answer = Fetch(server.port, target, method, **more)
    return answer.text if answer.status == 200 else answer.status


ROUTED = {
    ("GET", "/users/5"): "GET [('id', 5)]", ("GET", "/users/007"): "GET [('id', 7)]", ("GET", "//users//5/"): "GET [('id', 5)]",
    ("GET", "/users/%35"): "GET [('id', 5)]", ("GET", "/users/bob"): "GET [('named', 'bob')]",
    ("GET", "/users/5%2F6"): "GET [('named', '5/6')]", ("GET", "/users/5.0"): "GET [('named', '5.0')]", ("GET", "/Users/5"): 404,
    ("GET", "/api/things/5"): "GET [('id', 5)]", ("PUT", "/api/things/5"): "PUT [('id', 5)]", ("GET", "/api/things"): "GET None",
    ("GET", "/api/things/x"): 404, ("POST", "/api/things/5"): 405, ("PROPFIND", "/api/things/5"): 501,
    ("GET", "/api/v1/old/a/b%20c"): "GET [('rest', 'a/b c')]", ("GET", "/api/v1/old/a/../b"): 404, ("GET", "/api/v1/old/a%2F..%2Fb"): 404,
    ("POST", "/api/table/1.5"): "POST [('x', 1.5)]", ("POST", "/api/table/nan"): 404, ("GET", "/api/table/t"): "GET None",
    ("DELETE", "/1/two/-2"): "DELETE [('x', 1), ('y', -2)]", ("DELETE", "/1/two/b"): 404, ("GET", "/in/a/5/c"): "GET [('b', 5)]",
    ("GET", "/url"): "/users/5",
}


@pytest.mark.parametrize("method, target", ROUTED)
def test_routed(site, method, target):
    for _ in range(2):                          # the second time from the memo of heads
        assert Said(site, target, method) == ROUTED[method, target]


def test_methods_of_a_typed_route(site):
    head = Fetch(site.port, "/api/things/5", "HEAD")
    assert (head.status, head.body, head.Header("content-length")) == (200, b"", "16")
    refused = Fetch(site.port, "/api/things/5", "DELETE")
    assert (refused.status, refused.Header("allow")) == (405, "GET, HEAD, OPTIONS, PUT")
    options = Fetch(site.port, "/api/things/5", "OPTIONS")
    assert (options.status, options.Header("allow")) == (204, "GET, HEAD, OPTIONS, PUT")
    assert Fetch(site.port, "/api/things/x", "DELETE").status == 404


def test_arguments_belong_to_their_request(site):
    """Two requests with equal heads on one connection, and others between them."""
    with RawClient(site.port) as client:
        for target, text in (("/users/5", 5), ("/users/6", 6), ("/users/5", 5)):
            client.Send(RequestBytes("GET", target))
            assert client.ReadResponse().text == "GET [('id', %d)]" % text


def test_content_of_a_typed_route(site):
    assert Said(site, "/api/things/5", "PUT", body=b"x" * 5000) == "PUT [('id', 5)]"
    assert Said(site, "/api/things/5", "PUT", body=b"x" * 5001) == 413


def test_web_socket_route(site):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    with RawClient(site.port) as client:
        client.Send(RequestBytes("GET", "/chat/6", headers))
        assert client.ReadUntil(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.ReadExactly(8) == b"\x81\x06room 7"
    with RawClient(site.port) as client:
        client.Send(RequestBytes("GET", "/chat/six", headers))
        assert client.ReadResponse().status == 404


def test_lists(site):
    said = Fetch(site.port, "/lists?a=1&b=0&a=2&a=&a=1", "POST", {"Content-Type": "application/x-www-form-urlencoded"},
                 b"b=x&c=1&b=%C3%A9+y").Json()
    assert said == [True, "1", ["1", "2", "", "1"], [], ["1"], 3, ["b", "c"], ["x", "\u00e9 y"], "\u00e9 y",
                    {"b": "\u00e9 y", "c": "1"}]
    assert Fetch(site.port, "/lists").Json() == [True, None, [], [], ["1"], 1, [], [], None, {}]


def test_lists_of_a_multipart_form(site):
    part = '--x\r\nContent-Disposition: form-data; name="b"\r\n\r\n%s\r\n'
    body = (part % "1" + part % "2" + "--x--\r\n").encode()
    said = Fetch(site.port, "/lists", "POST", {"Content-Type": "multipart/form-data; boundary=x"}, body).Json()
    assert said[6:9] == [["b"], ["1", "2"], "2"]


# ------------------------------------------------------------------------------------------- pages for 404

def test_page_for_what_is_not_found(site):
    for method, target in (("GET", "/nothing.txt"), ("GET", "/nothing"), ("POST", "/nothing"), ("GET", "/gone/5"),
                           ("DELETE", "/1/two/b"), ("GET", "/.hidden"), ("GET", "/folder/")):
        answer = Fetch(site.port, target, method)
        assert (answer.status, answer.body, answer.mediaType) == (404, b"<h1>not here</h1>", "text/html"), target
        assert answer.Header("location") is None
    head = Fetch(site.port, "/nothing", "HEAD")
    assert (head.status, head.Header("content-length")) == (404, "17")


def test_it_is_never_304_nor_206(site):
    for headers in ({"If-None-Match": "*"}, {"Range": "bytes=0-1"}, {"If-Modified-Since": "Fri, 31 Dec 2100 23:59:59 GMT"}):
        answer = Fetch(site.port, "/nothing.txt", headers=headers)
        assert (answer.status, answer.body) == (404, b"<h1>not here</h1>")
        assert not answer.Headers("etag") and not answer.Headers("last-modified")


def test_fallback(site):
    for method, target in (("GET", "/settings"), ("GET", "/settings/wifi/"), ("HEAD", "/a/b/c"), ("GET", "/folder/"), ("GET", "/apis"),
                           ("GET", "/users")):
        answer = Fetch(site.port, target, method, HTML)
        assert (answer.status, answer.mediaType, answer.body) == (200, "text/html", b"<h1>app</h1>" * (method == "GET")), target
        assert "Accept" in answer.Header("vary")


@pytest.mark.parametrize("method, target, headers, status", [
    ("GET", "/settings", {}, 404), ("GET", "/settings", {"Accept": "*/*"}, 404), ("GET", "/settings", {"Accept": "application/json"}, 404),
    ("GET", "/logo.png", HTML, 404), ("POST", "/settings", HTML, 404), ("PROPFIND", "/settings", HTML, 501), ("GET", "/api/none", HTML, 404), ("GET", "/api", HTML, 404),
    ("GET", "/API/none", HTML, 404), ("GET", "//api//none", HTML, 404), ("GET", "/%61pi/none", HTML, 404), ("GET", "/api%2Fnone", HTML, 404), ("GET", "/files/x", HTML, 404),
    ("GET", "/gone/5", HTML, 404), ("GET", "/a.txt", HTML, 200), ("GET", "/folder", HTML, 301), ("OPTIONS", "/settings", HTML, 404)])
def test_where_the_fallback_is_not(site, method, target, headers, status):
    answer = Fetch(site.port, target, method, headers)
    assert answer.status == status and b"app" not in answer.body


PAGES = """
from microWebSrv import MicroWebSrv
import microWebRoutes
from ready import Port
mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
microWebRoutes.NotFound(mws, "/_404.pyhtml", "/none.html")
mws.Start(threaded=False)
"""


def test_a_template_for_what_is_not_found(serve, tmp_path):
    """Also with a missing fallback: the page is sent, without a loop."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "_404.pyhtml").write_text("<p>{{ 40 + 4 }}</p>")
    server = serve(PAGES)
    for headers in ({}, HTML):
        answer = Fetch(server.port, "/x", headers=headers)
        assert (answer.status, answer.text) == (404, "<p>44</p>")
    assert Fetch(server.port, "/_404.pyhtml").status == 404
    (tmp_path / "www" / "_404.pyhtml").unlink()
    for headers in ({}, HTML):
        answer = Fetch(server.port, "/x", headers=headers)
        assert answer.status == 404 and "Not Found" in answer.text


# ------------------------------------------------------------------------------------------- URLs of routes

URLS = """
import microWebRoutes
from microWebSrv import MicroWebSrv
microWebRoutes.AddConverter("hex", lambda text: int(text, 16), lambda number: "%x" % number)

def Home(client, response): pass
def User(client, response, args): pass
def Files(client, response, args): pass
def Plain(client, response, args): pass
def Both(client, response, args=None): pass
def Regex(client, response): pass
class Door:
    def Open(self, client, response, args): pass
door = Door()
mws = MicroWebSrv([("/", "GET", Home), ("/users/<int:id>", "GET", User), ("/f/<path:rest>", "GET", Files), ("/p/<a>-<b>/\\u00e9", "GET", Plain),
                   ("/both", "GET", Both), ("/both/<id>", "GET", Both), ("/re/.*", "GET", Regex), ("/door/<hex:n>/<float:x>", "GET", door.Open)], webPath=".")
mws.AddRoutes("/named", [("/<str:s>", "GET", Home, False, "named")])

for target, args in (
        (Home, {}), ("Home", {}), ("Home", {"a": "1 2", "b": ["x", "&="], "c": None, "d": []}), (User, {"id": 5}), ("User", {"id": "5"}), (User, {"id": -5, "q": "\\u00e9"}),
        (Files, {"rest": "a b/c%.txt"}), (Files, {"rest": "\\u20ac"}), (Plain, {"a": "x/y", "b": 5}), (Both, {}), (Both, {"id": 7}), (Both, {"page": 7}),
        (door.Open, {"n": 255, "x": 1}), ("Open", {"n": 1, "x": 0.5}), ("named", {"s": "?#"}),
        (User, {}), (User, {"id": "x"}), (User, {"id": 1.5}), (User, {"id": ""}), (User, {"id": "1/2"}), (User, {"id": None}), (Files, {"rest": ""}), (Files, {"rest": "/a"}), (Files, {"rest": "a/"}),
        (Files, {"rest": "a//b"}), (Files, {"rest": "../x"}), (Files, {"rest": "./x"}), (Files, {"rest": "a\\x00b"}), (Plain, {"a": "x-y", "b": "z"}), (Both, {"id": ".."}), (Regex, {}), ("nobody", {}),
        (door.Open, {"n": "f", "x": 1.5}), (door.Open, {"n": 1, "x": float("inf")}), (door.Open, {"n": 1})):
    try:
        print("URL", mws.GetUrl(target, **args))
    except (ValueError, TypeError) as error:
        print("ERROR", type(error).__name__, error)
"""


@BOTH
def test_urls(runtime, tmp_path):
    said = harness.RunProgram(runtime, URLS, tmp_path, (harness.SourcesOf(runtime),)).splitlines()
    good = [line[4:] for line in said if line[:4] == "URL "]
    assert good == [
        "/", "/", "/?a=1%202&b=x&b=%26%3D", "/users/5", "/users/5", "/users/-5?q=%C3%A9", "/f/a%20b/c%25.txt", "/f/%E2%82%AC",
        "/p/x%2Fy-5/%C3%A9", "/both", "/both/7", "/both?page=7", "/door/ff/1", "/door/1/0.5", "/named/%3F%23"]
    bad = said[len(good):]
    assert all(line[:6] == "ERROR " for line in bad) and len(bad) == 20, bad
    assert all("ValueError" in line for line in bad), bad
    assert "needs the argument 'id'" in bad[0] and "id would not arrive as 'x'" in bad[1] and "no such route" in bad[16], bad


BROKEN = "raise ImportError('broken')"


@BOTH
def test_present_but_broken(runtime, tmp_path):
    lib = harness.CopySources(tmp_path / "lib")
    (lib / "microWebRoutes.py").write_text(BROKEN)
    with pytest.raises(AssertionError, match="broken"):
        harness.RunProgram(runtime, "from microWebSrv import MicroWebSrv\nMicroWebSrv()\n", tmp_path, (lib,))
