"""microWebCors: which pages of other origins may read a response, by the Fetch standard; on every runtime, and in a
browser."""

import pytest

import harness
from harness import Fetch, RequestBytes
from http_tools import SharedSite

PROGRAM = """
from microWebSrv import MicroWebSrv
import microWebCors
from ready import Port


@MicroWebSrv.route("/listed/thing")
@MicroWebSrv.route("/open/thing")
@MicroWebSrv.route("/called/thing")
@MicroWebSrv.route("/both/thing")
@MicroWebSrv.route("/elsewhere")
def Show(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([1], headers={"X-Reading": "21", "Vary": "Accept"})


@MicroWebSrv.route("/listed/thing", "PUT")
@MicroWebSrv.route("/listed/thing", "DELETE")
def Change(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.ReadRequestContentAsJSON())


@MicroWebSrv.route("/listed/fails")
def Fail(httpClient, httpResponse):
    raise RuntimeError("on purpose")


@MicroWebSrv.route("/listed/options", "OPTIONS")
def Options(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="mine")


def Test(origin):
    print("ASKED", origin)
    return origin[-5:] == ".test"


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
mws.MaxRequestContentLen = 100
mws.AcceptWebSocketCallback = lambda webSocket, httpClient: None
microWebCors.AllowOrigins(mws, ["https://panel.example", "https://*.example.org", "http://localhost:*",
                               "https://Door.Example"], "/listed",
                          credentials=True, expose=["X-Reading", "ETag"])
microWebCors.AllowOrigins(mws, "*", prefix="/open")
microWebCors.AllowOrigins(mws, Test, "/called", methods=("PUT", "PATCH"), headers="X-Token", maxAgeSec=60)
microWebCors.AllowOrigins(mws, "https://one.example", "/both", True)
microWebCors.AllowOrigins(mws, "https://two.example", "/both")
mws.Start(threaded=False)
"""


def Site(folder):
    (folder / "www" / "listed").mkdir(parents=True)
    (folder / "www" / "listed" / "a.txt").write_text("abc")


site = SharedSite(PROGRAM, Site)

PANEL = "https://panel.example"
SAFE = "Access-Control-Allow-"


def Cors(answer):
    """-> {end of the header name: value} of the CORS headers."""
    return {name[15:]: value for name, value in answer.headers if name.startswith("access-control-")}


def Ask(server, path, origin=None, method="GET", body=b"", **fields):
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    if origin is not None:
        headers["Origin"] = origin
    return Fetch(server.port, path, method, headers, body)


def Preflight(server, path, origin=PANEL, method="PUT", **fields):
    return Ask(server, path, origin, "OPTIONS", Access_Control_Request_Method=method, **fields)


def Vary(answer):
    return [name.strip() for value in answer.Headers("vary") for name in value.split(",")]


# ------------------------------------------------------------------------------------------- which origins

ALLOWED = ("https://panel.example", "https://a.example.org", "https://a.b.example.org", "http://localhost:5173",
           "https://xn--bcher-kva.example.org", "https://door.example")
REFUSED = ("https://panel.example.", "http://panel.example", "https://panel.example:8443", "https://panel.examples",
           "https://evil-panel.example", "https://example.org", "https://.example.org", "https://evilexample.org",
           "https://a.example.org.evil.net", "https://evil.net/.example.org", "https://evil.net:80.example.org",
           "http://a.example.org", "http://localhost", "http://localhost:", "http://localhost:80.evil.net:1", "null", "*",
           "https://", "")


@pytest.mark.parametrize("origin", ALLOWED)
def test_allowed(site, origin):
    answer = Ask(site, "/listed/thing", origin)
    assert (answer.status, answer.body) == (200, b"[1]")
    assert Cors(answer) == {"allow-origin": origin, "allow-credentials": "true", "expose-headers": "X-Reading, ETag"}
    assert sorted(Vary(answer)) == ["Accept", "Origin"]


@pytest.mark.parametrize("origin", REFUSED)
def test_refused(site, origin):
    """The response is complete: it is the browser that hides it from the page."""
    answer = Ask(site, "/listed/thing", origin)
    assert (answer.status, Cors(answer)) == (200, {})
    assert "Origin" in Vary(answer)
    asked = Preflight(site, "/listed/thing", origin)
    assert (asked.status, Cors(asked)) == (204, {}) and "Origin" in Vary(asked)


def test_no_page(site):
    """Without Origin nothing is allowed, but Vary still tells caches that Origin matters."""
    answer = Ask(site, "/listed/thing")
    assert Cors(answer) == {} and "Origin" in Vary(answer)
    outside = Ask(site, "/elsewhere", PANEL)
    assert Cors(outside) == {} and Vary(outside) == ["Accept"]


def test_all_origins(site):
    """"*" does not depend on the origin, so there is no Vary."""
    for origin in (PANEL, "null"):
        answer = Ask(site, "/open/thing", origin)
        assert Cors(answer) == {"allow-origin": "*"} and Vary(answer) == ["Accept"]
    assert Cors(Ask(site, "/open/thing")) == {}


def test_a_function_decides(site):
    assert Cors(Ask(site, "/called/thing", "http://a.test")) == {"allow-origin": "http://a.test"}
    site.Seen("^ASKED http://a.test$")
    assert Cors(Ask(site, "/called/thing", "http://a.tests")) == {}


def test_credentials_of_one_call_are_none_of_another(site):
    assert Cors(Ask(site, "/both/thing", "https://one.example")) == {
        "allow-origin": "https://one.example", "allow-credentials": "true"}
    assert Cors(Ask(site, "/both/thing", "https://two.example")) == {"allow-origin": "https://two.example"}


# ------------------------------------------------------------------------------------------- preflights

def test_preflight(site):
    """204 with the methods of the path's routes, and the headers that the page asked for."""
    answer = Preflight(site, "/listed/thing", Access_Control_Request_Headers="content-type,x-token")
    assert (answer.status, answer.body) == (204, b"")
    assert Cors(answer) == {
        "allow-origin": PANEL, "allow-credentials": "true", "expose-headers": "X-Reading, ETag", "max-age": "600",
        "allow-methods": "DELETE, GET, HEAD, OPTIONS, PUT", "allow-headers": "content-type,x-token"}
    assert "Origin" in Vary(answer)


def test_preflight_of_a_file_and_of_nothing(site):
    for path in ("/listed/a.txt", "/listed/nothing"):
        answer = Preflight(site, path, method="GET")
        assert answer.status == 204 and Cors(answer)["allow-methods"] == "GET, HEAD, OPTIONS"


def test_what_the_program_says_of_preflights(site):
    answer = Preflight(site, "/called/thing", "http://a.test", Access_Control_Request_Headers="x-other")
    assert Cors(answer) == {"allow-origin": "http://a.test", "allow-methods": "PUT, PATCH", "allow-headers": "X-Token",
                            "max-age": "60"}


def test_private_network(site):
    """Chromium 98 to 141 asks this before requests to private addresses. Only allowed origins get a yes."""
    asked = {"Access_Control_Request_Private_Network": "true"}
    assert Cors(Preflight(site, "/listed/thing", **asked))["allow-private-network"] == "true"
    assert "allow-private-network" not in Cors(Preflight(site, "/listed/thing"))
    assert Cors(Preflight(site, "/listed/thing", "https://evil.net", **asked)) == {}


def test_another_options_is_no_preflight(site):
    """Without Access-Control-Request-Method the program or the server answers OPTIONS."""
    mine = Ask(site, "/listed/options", PANEL, "OPTIONS")
    assert (mine.status, mine.text) == (200, "mine") and Cors(mine)["allow-origin"] == PANEL
    answer = Ask(site, "/listed/thing", PANEL, "OPTIONS")
    assert answer.Header("allow") == "DELETE, GET, HEAD, OPTIONS, PUT" and "max-age" not in Cors(answer)
    assert Preflight(site, "/listed/options").status == 204
    assert Ask(site, "/listed/thing", PANEL, Access_Control_Request_Method="PUT").body == b"[1]"


# ------------------------------------------------------------------------------------------- every answer

@pytest.mark.parametrize("method, path, body, status", [
    ("GET", "/listed/nothing", b"", 404), ("GET", "/listed/", b"", 404), ("POST", "/listed/thing", b"", 405),
    ("PUT", "/listed/thing", b"x" * 101, 413), ("GET", "/listed/fails", b"", 500), ("PROPFIND", "/listed/thing", b"", 501),
    ("GET", "/listed/a.txt", b"", 200), ("HEAD", "/listed/a.txt", b"", 200), ("PUT", "/listed/thing", b'{"a": 1}', 200),
    ("GET", "/LISTED/nothing", b"", 404), ("GET", "/listed", b"", 301)])
def test_errors_and_files(site, method, path, body, status):
    """A script can read why its request failed."""
    if status == 500:
        site.ExpectError("RuntimeError: on purpose")
    with harness.RawClient(site.port) as client:
        client.Send(RequestBytes(method, path, {"Origin": PANEL, "Connection": "close"}, body))
        answer = client.ReadResponse(method)
    assert answer.status == status
    assert Cors(answer)["allow-origin"] == PANEL and Cors(answer)["allow-credentials"] == "true"
    assert "Origin" in Vary(answer)


# ------------------------------------------------------------------------------------------- WebSockets

HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


def Opens(server, path, origin):
    with harness.RawClient(server.port) as client:
        client.Send(RequestBytes("GET", path, {**HANDSHAKE, "Origin": origin}))
        return client.ReadUntil(b"\r\n").split()[1]


def test_web_sockets(site):
    """Browsers always send cookies with a WebSocket, so only origins with credentials are allowed."""
    assert Opens(site, "/listed/live", PANEL) == b"101"
    assert Opens(site, "/listed/live", "https://a.example.org") == b"101"
    assert Opens(site, "/listed/live", "https://evil.net") == b"403"
    assert Opens(site, "/elsewhere", PANEL) == b"403"
    assert Opens(site, "/open/live", PANEL) == b"403"
    assert Opens(site, "/called/live", "http://a.test") == b"403"
    assert Opens(site, "/elsewhere", "http://localhost") == b"101", "the server's own pages, as ever"


# ------------------------------------------------------------------------------------------- what is refused at once

CALLS = """
from microWebSrv import MicroWebSrv
import microWebCors
mws = MicroWebSrv()
for origins, credentials in (("*", True), (["https://a.example", "*"], True), (["null"], True), ("null", False), ("*", False),
                             ("https://a.example/", False), ("a.example", False), ("https://a.example/b", False),
                             ("https://*", False), ("https://a*.example", False), ("https://*.example", True),
                             ("http://a.example:*", True), ("https://A.Example", True)):
    try:
        microWebCors.AllowOrigins(mws, origins, credentials=credentials)
        print("fine")
    except ValueError as error:
        print(error)
"""


def test_what_is_refused_at_once(run):
    lines = run(CALLS).strip().split("\n")
    assert [line == "fine" for line in lines] == [False, False, False, True, True, False, False, False, False, False, True,
                                                  True, True]
    assert "credentials" in lines[0] and "'https://a.example/'" in lines[5]


# ------------------------------------------------------------------------------------------- with the other files

PROTECTED = """
from microWebSrv import MicroWebSrv
import microWebAuth
import microWebCors
import microWebSession
from ready import Port


@MicroWebSrv.route("/first/thing")
@MicroWebSrv.route("/first/thing", "PUT")
@MicroWebSrv.route("/last/thing", "PUT")
def Show(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.GetUser())


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.AcceptWebSocketCallback = lambda webSocket, httpClient: None
users = {"ada": microWebAuth.HashPassword("engine", 1)}
microWebCors.AllowOrigins(mws, "https://panel.example", "/first", credentials=True)
microWebSession.UseSessions(mws, origins=["https://panel.example"])
microWebAuth.Protect(mws, "/first", users)
microWebAuth.Protect(mws, "/last", users)
microWebCors.AllowOrigins(mws, "https://panel.example", "/last", credentials=True)
mws.Start(threaded=False)
"""


def test_with_a_password_and_sessions(serve):
    """Preflights have no password, so AllowOrigins must come first; the page can read the 401."""
    server = serve(PROTECTED)
    assert Preflight(server, "/first/thing").status == 204
    refused = Ask(server, "/first/thing", PANEL)
    assert refused.status == 401 and Cors(refused)["allow-origin"] == PANEL
    password = {"Authorization": "Basic YWRhOmVuZ2luZQ=="}
    assert Ask(server, "/first/thing", PANEL, "PUT", **password).body == b'"ada"'
    assert Ask(server, "/first/thing", "https://evil.net", "PUT", **password).status == 403, "of the sessions' check"
    assert Preflight(server, "/last/thing").status == 401
    assert Opens(server, "/other", PANEL) == b"403"


# ------------------------------------------------------------------------------------------- in a browser

PANEL_PROGRAM = """
from microWebSrv import MicroWebSrv
from ready import Port

@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", content="<title>Panel</title>")

MicroWebSrv(port=Port(), bindIP="127.0.0.1").Start(threaded=False)
"""

DEVICE = """
from microWebSrv import MicroWebSrv
import microWebCors
from ready import Port

state = {"count": 0}


@MicroWebSrv.route("/api/reading")
@MicroWebSrv.route("/open/reading")
def Show(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(state, headers={"X-Reading": "21", "X-Other": "1"})


@MicroWebSrv.route("/api/reading", "PUT")
@MicroWebSrv.route("/bare/reading", "PUT")
def Change(httpClient, httpResponse):
    state["count"] += 1
    state.update(httpClient.ReadRequestContentAsJSON())
    httpResponse.WriteResponseJSONOk(state)


@MicroWebSrv.route("/api/login", "POST")
def Login(httpClient, httpResponse):
    httpResponse.SetCookie("name", "Ada")
    httpResponse.WriteResponseJSONOk("welcome")


@MicroWebSrv.route("/api/who")
def Who(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.GetCookies().get("name"))


@MicroWebSrv.route("/api/fails")
def Fail(httpClient, httpResponse):
    raise RuntimeError("on purpose")


def Accept(webSocket, httpClient):
    webSocket.SendText("for " + httpClient.GetCookies().get("name", "nobody"))


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.AcceptWebSocketCallback = Accept
mws.MaxRequestContentLen = 100
microWebCors.AllowOrigins(mws, "http://127.0.0.1:*", "/api", credentials=True, expose="X-Reading")
microWebCors.AllowOrigins(mws, "*", "/open")
mws.Start(threaded=False)
"""

FETCH = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return [answer.status, await answer.text(), answer.headers.get("X-Reading"), answer.headers.get("X-Other")];
    } catch (error) {
        return [error.name];
    }
}"""
SOCKET = """url => new Promise(done => {
    const socket = new WebSocket(url);
    socket.onmessage = event => done(event.data);
    socket.onerror = () => done("refused");
})"""
JSON = {"Content-Type": "application/json", "X-Token": "1"}


class Panel:
    """A page of one server that sends requests to another."""

    def __init__(self, page, home, device):
        self._page = page
        self._url = "http://127.0.0.1:%d" % device.port
        self._home = home.port

    def Open(self, host="127.0.0.1"):
        self._page.goto("http://%s:%d/" % (host, self._home))

    def Fetch(self, path, **options):
        return self._page.evaluate(FETCH, [self._url + path, options])

    def Connect(self, path):
        return self._page.evaluate(SOCKET, "ws" + self._url[4:] + path)


@pytest.fixture
def panel(page, serve, runtime, tmp_path):
    folders = tmp_path / "panel", tmp_path / "device"
    for folder in folders:
        folder.mkdir()
    device = serve(DEVICE, workDir=folders[1])
    device.ExpectError("RuntimeError: on purpose")
    panel = Panel(page, serve(PANEL_PROGRAM, workDir=folders[0]), device)
    panel.Open()
    yield panel
    assert panel.Fetch("/api/fails")[0] in (500, "TypeError")
    page.goto("about:blank")


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
def test_a_page_of_an_allowed_origin(panel):
    status, text, exposed, other = panel.Fetch("/api/reading")
    assert (status, text, exposed, other) == (200, '{"count": 0}', "21", None)
    # These need a preflight: PUT, JSON, a custom header.
    status, text = panel.Fetch("/api/reading", method="PUT", headers=JSON, body='{"on": true}')[:2]
    assert status == 200 and '"count": 1' in text and '"on": true' in text
    # Errors can be read.
    for path, options, expected in (("/api/nothing", {}, 404), ("/api/reading", {"method": "POST"}, 405),
                                    ("/api/reading", {"method": "PUT", "headers": JSON, "body": "x" * 101}, 413),
                                    ("/api/fails", {}, 500)):
        status, text = panel.Fetch(path, **options)[:2]
        assert status == expected and "<h1>%d " % expected in text
    # This path has no DELETE route, so the browser does not send the request.
    assert panel.Fetch("/api/reading", method="DELETE") == ["TypeError"]


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
def test_a_page_with_cookies(panel):
    assert panel.Fetch("/api/who")[:2] == [200, "null"]
    assert panel.Connect("/api/live") == "for nobody"
    assert panel.Fetch("/api/login", method="POST", credentials="include")[:2] == [200, '"welcome"']
    assert panel.Fetch("/api/who", credentials="include")[:2] == [200, '"Ada"']
    assert panel.Fetch("/api/who")[:2] == [200, "null"], "fetch leaves them out unless the page asks for them"
    assert panel.Connect("/api/live") == "for Ada"
    assert panel.Fetch("/open/reading")[0] == 200
    assert panel.Fetch("/open/reading", credentials="include") == ["TypeError"]
    assert panel.Connect("/open/live") == "refused"


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
def test_a_page_of_another_origin(panel):
    panel.Open("localhost")
    assert panel.Fetch("/api/reading") == ["TypeError"]
    for path in ("/api/reading", "/bare/reading"):
        assert panel.Fetch(path, method="PUT", headers=JSON, body='{"on": true}') == ["TypeError"]
    assert panel.Connect("/api/live") == "refused"
    assert panel.Fetch("/open/reading")[:2] == [200, '{"count": 0}'], "nothing has arrived that could change something"
