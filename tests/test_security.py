"""microWebSecurity: security headers, and the client's address behind a proxy."""

import re

import pytest

import harness
from harness import Fetch
from http_tools import SharedSite

PROGRAM = """
from microWebSrv import MicroWebSrv
import microWebSecurity
from ready import Port


@MicroWebSrv.route("/")
@MicroWebSrv.route("/framed/")
@MicroWebSrv.route("/plain/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", content="<h1>Home</h1>")


@MicroWebSrv.route("/own")
def Own(httpClient, httpResponse):
    httpResponse.WriteResponseOk({"X-Frame-Options": "DENY"}, "text/html", "UTF-8", "<h1>Own</h1>")


@MicroWebSrv.route("/page/<name>")
def Page(httpClient, httpResponse, args):
    httpResponse.WriteResponsePyHTMLFile("www/%s.pyhtml" % args["name"])


@MicroWebSrv.route("/fails")
def Fail(httpClient, httpResponse):
    raise RuntimeError("on purpose")


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
mws.MaxRequestContentLen = 100
mws.SetErrorHandler(404, lambda client, response, code: response.WriteResponsePyHTMLFile("www/with.pyhtml"))
microWebSecurity.SecurityHeaders(mws)
microWebSecurity.SecurityHeaders(mws, "/framed", csp="default-src 'none'; script-src 'nonce'",
                                 headers={"X-Frame-Options": None, "X-Extra": "1"})
microWebSecurity.SecurityHeaders(mws, "/plain", csp="", headers={"X-Frame-Options": None, "Referrer-Policy": None})
mws.Start(threaded=False)
"""


def Site(folder):
    (folder / "www" / "framed").mkdir(parents=True)
    for name, text in (("with", "<script nonce='{{ NONCE }}'>1</script><style nonce='{{ NONCE }}'></style>"),
                       ("without", "<p>no script</p>"), ("long", "{{ for i in range(4000) }}<p>text</p>{{ end }}<script nonce='{{ NONCE }}'>1</script>")):
        (folder / "www" / (name + ".pyhtml")).write_text(text)
        (folder / "www" / "framed" / (name + ".pyhtml")).write_text(text)
    (folder / "www" / "a.txt").write_text("abc")


site = SharedSite(PROGRAM, Site)


def Policy(answer):
    """-> {directive: [sources]}."""
    value = answer.Header("content-security-policy")
    return {part.split()[0]: part.split()[1:] for part in value.split(";")} if value else None


# ------------------------------------------------------------------------------------------- headers

@pytest.mark.parametrize("method, path, body, status", [
    ("GET", "/", b"", 200), ("GET", "/a.txt", b"", 200), ("GET", "/nothing", b"", 404), ("POST", "/", b"", 405),
    ("POST", "/", b"x" * 101, 413), ("GET", "/fails", b"", 500), ("OPTIONS", "/", b"", 204), ("HEAD", "/", b"", 200)])
def test_every_answer_has_them(site, method, path, body, status):
    if status == 500:
        site.ExpectError("RuntimeError: on purpose")
    answer = Fetch(site.port, path, method, (), body)
    assert answer.status == status
    assert answer.Header("x-frame-options") == "SAMEORIGIN"
    assert answer.Header("x-content-type-options") == "nosniff"
    assert answer.Header("referrer-policy") == "same-origin"
    assert answer.Header("permissions-policy") == "camera=(), geolocation=(), microphone=()"
    assert answer.Header("cross-origin-opener-policy") is None, "without TLS a browser complains of it"
    policy = Policy(answer)
    assert policy["default-src"] == policy["form-action"] == ["'self'"]
    assert policy["script-src"][0] == policy["style-src"][0] == "'self'" and len(policy["script-src"]) == 1 + (status == 404)
    assert policy["frame-ancestors"] == ["'self'"]
    assert policy["object-src"] == policy["base-uri"] == ["'none'"]


def test_even_the_answer_to_what_is_no_request(site):
    answer, = harness.ParseResponses(harness.RawExchange(site.port, b"GET / HTTP/1.1\r\nHost: a\r\nbad line\r\n\r\n"))
    assert answer.status == 400 and answer.Header("x-content-type-options") == "nosniff"


def test_a_page_changes_one(site):
    assert Fetch(site.port, "/own").Header("x-frame-options") == "DENY"


def test_a_narrower_prefix_changes_them(site):
    answer = Fetch(site.port, "/framed/")
    assert answer.Header("x-frame-options") is None and answer.Header("x-extra") == "1"
    assert answer.Header("referrer-policy") == "same-origin"
    assert Policy(answer) == {"default-src": ["'none'"], "script-src": []}
    plain = Fetch(site.port, "/plain/")
    assert plain.Header("content-security-policy") is None and plain.Header("x-frame-options") is None and plain.Header("referrer-policy") is None
    assert plain.Header("x-content-type-options") == "nosniff"


# ------------------------------------------------------------------------------------------- the nonce

def test_a_page_with_a_nonce(site):
    """The page contains the nonce of its policy, the same one twice; the next response has another one."""
    seen = set()
    for path in ("/with.pyhtml", "/page/with", "/framed/with.pyhtml", "/with.pyhtml"):
        answer = Fetch(site.port, path)
        nonces = set(re.findall("nonce='(.*?)'", answer.text))
        assert len(nonces) == 1
        nonce = nonces.pop()
        assert re.fullmatch("[A-Za-z0-9+/]{24}", nonce)
        assert "'nonce-%s'" % nonce in Policy(answer)["script-src"]
        if "framed" not in path:
            assert "'nonce-%s'" % nonce in Policy(answer)["style-src"]
        seen.add(nonce)
    assert len(seen) == 4


def test_a_page_without_a_nonce(site):
    for path in ("/without.pyhtml", "/page/without", "/a.txt"):
        assert "nonce" not in Fetch(site.port, path).Header("content-security-policy")


def test_an_error_page_with_a_nonce(site):
    answer = Fetch(site.port, "/nothing")
    nonce = re.search("nonce='(.*?)'", answer.text).group(1)
    assert answer.status == 404 and "'nonce-%s'" % nonce in Policy(answer)["script-src"]


def test_a_page_that_leaves_in_pieces(site):
    """The head is sent before the nonce is used."""
    answer = Fetch(site.port, "/page/long")
    assert len(answer.body) > 20000
    nonce = re.search("nonce='(.*?)'", answer.text).group(1)
    assert "'nonce-%s'" % nonce in Policy(answer)["script-src"]


# ------------------------------------------------------------------------------------------- proxies

PROXIES = """
import sys
from microWebSrv import MicroWebSrv
import microWebSecurity
from ready import Port


@MicroWebSrv.route("/who")
@MicroWebSrv.route("/worker", threaded=True)
def Who(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([httpClient.GetIPAddr(), httpClient.IsSecure(), httpClient.GetHost()])


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.AccessCallback = lambda httpClient, code: print("ACCESS", httpClient.GetIPAddr(), code)
mws.AcceptWebSocketCallback = lambda webSocket, httpClient: print("OPENED", httpClient.GetHost())
microWebSecurity.TrustProxies(mws, %s)
microWebSecurity.SecurityHeaders(mws)
mws.Start(threaded=False)
"""

TRUSTED = '("127.0.0.1", "10.0.0.0/8", "2001:db8::2")'
plain = SharedSite(PROXIES % TRUSTED)
named = SharedSite(PROXIES % (TRUSTED + ", forwarded=True, host=True"))
stranger = SharedSite(PROXIES % '"10.0.0.0/8", host=True')


def Who(server, path="/who", **fields):
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return Fetch(server.port, path, headers=headers).Json()


@pytest.mark.parametrize("header, address", [
    ("203.0.113.7", "203.0.113.7"),
    ("1.2.3.4, 203.0.113.7", "203.0.113.7"),                        # the client sent an address itself
    ("1.2.3.4, 203.0.113.7, 10.1.2.3", "203.0.113.7"),              # two proxies
    ("203.0.113.7,10.1.2.3,10.9.9.9", "203.0.113.7"),
    ("127.0.0.1, 203.0.113.7", "203.0.113.7"),                      # the client claims to be a proxy
    ("10.1.2.3", "10.1.2.3"), ("10.0.0.1, 10.1.2.3", "10.0.0.1"),   # a client in the network of the proxies
    ("203.0.113.7:5555", "203.0.113.7"), ("[2001:db8::1]:80", "2001:db8::1"), ("2001:DB8::1", "2001:db8::1"),
    ("2001:db8::1, 2001:db8::2", "2001:db8::1"), ("::ffff:203.0.113.7", "203.0.113.7"),
    ("", "127.0.0.1"), ("unknown", "127.0.0.1"), ("203.0.113.7, unknown", "127.0.0.1"), ("1.2.3.4, x, 10.1.2.3", "10.1.2.3"),
    ("1.2.3", "127.0.0.1"), ("1.2.3.256", "127.0.0.1"), ("1.2.3.0004", "127.0.0.1"), ("1.2.3.4.5", "127.0.0.1"),
    ("<script>", "127.0.0.1"), ("1.2.3.\u00b2", "127.0.0.1"), (", ,", "127.0.0.1"), ("g::1", "127.0.0.1")])
def test_the_address_that_a_proxy_says(plain, header, address):
    assert Who(plain, X_Forwarded_For=header)[0] == address


def test_scheme(plain):
    assert Who(plain, X_Forwarded_For="1.1.1.1", X_Forwarded_Proto="HTTPS")[1] is True
    assert Who(plain, X_Forwarded_For="1.1.1.1", X_Forwarded_Proto="HTTP")[1] is False
    assert Who(plain, X_Forwarded_For="1.1.1.1")[1] is False
    assert Who(plain, X_Forwarded_For="1.1.1.1", X_Forwarded_Proto="https, http")[1] is False, "the client's own word"
    assert Who(plain, X_Forwarded_Proto="https, http")[1] is False
    assert Who(plain, X_Forwarded_For="1.1.1.1, 10.0.0.1", X_Forwarded_Proto="https, http")[1] is True, "the first proxy's"


def test_host_is_not_believed_unless_one_says_so(plain, stranger):
    assert Who(plain, X_Forwarded_For="1.1.1.1", X_Forwarded_Host="evil.net")[2] == "localhost"
    assert Who(stranger, X_Forwarded_For="1.1.1.1", X_Forwarded_Proto="https",
               X_Forwarded_Host="evil.net") == ["127.0.0.1", False, "localhost"], "not an address that is trusted"


@pytest.mark.parametrize("header, expected", [
    ("for=203.0.113.7;proto=https;host=door.example", ["203.0.113.7", True, "door.example"]),
    ('For="[2001:db8::9]:4711" ; Proto=https', ["2001:db8::9", True, "localhost"]),
    ("for=1.2.3.4;proto=https;host=evil.net, for=203.0.113.7;proto=http", ["203.0.113.7", False, "localhost"]),
    ("for=203.0.113.7;proto=https;host=a.example, for=10.0.0.1;proto=http;host=b", ["203.0.113.7", True, "a.example"]),
    ('for="1.2.3.4, for=9.9.9.9", for=203.0.113.7', ["203.0.113.7", False, "localhost"]),
    ("for=_hidden, for=10.0.0.1;proto=https", ["10.0.0.1", True, "localhost"]),
    # a client may have chosen what stands in quotes, such as the host
    ('for=203.0.113.7;host="a;for=6.6.6.6";proto=https', ["203.0.113.7", True, "a for=6.6.6.6"]),
    ('for=203.0.113.7;host="a,for=6.6.6.6";proto=https', ["203.0.113.7", True, "a for=6.6.6.6"]),
    ('host="a;for=6.6.6.6,for=6.6.6.6";for="203.0.113.7"', ["203.0.113.7", False, "a for=6.6.6.6 for=6.6.6.6"]),
    ('for=203.0.113.7;host="a";for="6.6.6.6";proto=https', ["127.0.0.1", True, "a"]),
    ('for=203.0.113.7;host="a"";proto=https', ["127.0.0.1", True, "localhost"]),
    ('for=", for="203.0.113.7";proto=https', ["203.0.113.7", True, "localhost"]),
    ('for="a\\", for="203.0.113.7";proto=https', ["203.0.113.7", True, "localhost"]),
    ('for=203.0.113.7;proto=http;host="a\\",for=6.6.6.6;proto=https;host=evil;x=\\"b"',
     ["203.0.113.7", False, "a  for=6.6.6.6 proto=https host=evil x= b"]),
    ('host="a\\\\";proto=https;for="203.0.113.7"', ["203.0.113.7", True, "a"]),
    ("", ["127.0.0.1", False, "localhost"])])
def test_forwarded(named, header, expected):
    assert Who(named, Forwarded=header) == expected


def test_only_the_header_that_the_proxy_writes_counts(plain, named):
    assert Who(plain, Forwarded="for=6.6.6.6;proto=https", X_Forwarded_For="203.0.113.7")[:2] == ["203.0.113.7", False]
    assert Who(named, Forwarded="for=203.0.113.7", X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="https",
               X_Forwarded_Host="evil.net") == ["203.0.113.7", False, "localhost"]


HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


@pytest.mark.parametrize("origin, host, status", [
    ("https://door.example", "door.example", 101), ("https://door.example", "Door.example:443", 101), ("http://evil.net", "door.example", 403),
    ("http://localhost", "door.example", 403), ("http://localhost", None, 101)])
def test_whose_pages_may_open_a_websocket(named, origin, host, status):
    """Those of the host that the proxy names, if it does."""
    said = {"Forwarded": "for=203.0.113.7" + (';host="%s"' % host if host else ""), "Origin": origin}
    with harness.RawClient(named.port) as client:
        client.Send(harness.RequestBytes("GET", "/", dict(HANDSHAKE, **said)))
        assert client.ReadResponse(upgrade="websocket").status == status
    if status == 101:
        named.WaitLine("^OPENED %s$" % (host or "localhost").lower())


def test_who_else_is_told(plain):
    """The log and a handler on a worker thread get the address; the head that equal requests share holds no data of an
    earlier client."""
    assert Who(plain, "/worker", X_Forwarded_For="203.0.113.8")[0] == "203.0.113.8"
    plain.Seen("^ACCESS 203.0.113.8 200$")
    with harness.RawClient(plain.port) as client:
        for address in ("203.0.113.7", "203.0.113.7", None):
            client.Send(harness.RequestBytes("GET", "/who", {"X-Forwarded-For": address} if address else {}))
            assert client.ReadResponse().Json()[0] == (address or "127.0.0.1")


def test_headers_for_secure_pages_behind_a_proxy(plain):
    answer = Fetch(plain.port, "/who", headers={"X-Forwarded-For": "1.1.1.1", "X-Forwarded-Proto": "https"})
    assert answer.Header("cross-origin-opener-policy") == "same-origin"


CALLS = """
from microWebSrv import MicroWebSrv
import microWebSecurity
mws = MicroWebSrv()
for address in ("127.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "::1", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/x", "fd00::/8", "proxy.local",
                "10.0.0", "", "127.0.0.1 "):
    try:
        microWebSecurity.TrustProxies(mws, [address])
        print("fine")
    except ValueError as error:
        print(error)
"""


def test_what_is_refused_at_once(run):
    assert [line == "fine" for line in run(CALLS).strip().split("\n")] == [True] * 4 + [False] * 8


# ------------------------------------------------------------------------------------------- in a browser

PAGES = """
from microWebSrv import MicroWebSrv
import microWebSecurity
from ready import Port


@MicroWebSrv.route("/page/<name>")
def Page(httpClient, httpResponse, args):
    httpResponse.WriteResponsePyHTMLFile("www/%s.pyhtml" % args["name"])


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
microWebSecurity.SecurityHeaders(mws)
mws.Start(threaded=False)
"""

INLINE = """<!doctype html><title>none</title>%s
<script%s>document.title = "inline";</script><style%s>body { color: rgb(1, 2, 3); }</style>
<button onclick="document.title = 'clicked'">Click</button><script src="/own.js"></script>"""
NONCE = ' nonce="{{ NONCE }}"'


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
def test_what_a_browser_runs(serve, runtime, page, tmp_path):
    www = tmp_path / "www"
    www.mkdir()
    (www / "own.js").write_text("window.own = true;")
    (www / "guessed.pyhtml").write_text(INLINE % ("", ' nonce="AAAAAAAAAAAAAAAAAAAAAAAA"', ""))
    (www / "without.pyhtml").write_text(INLINE % ("", "", ""))
    (www / "with.pyhtml").write_text(INLINE % ("", NONCE, NONCE))
    (www / "long.pyhtml").write_text(INLINE % ("{{ for i in range(4000) }}<p>text</p>{{ end }}", NONCE, NONCE))
    (www / "both.pyhtml").write_text(INLINE % ("<script>document.title = 'injected';</script>", NONCE, NONCE))
    server = serve(PAGES)
    blocked = []
    page.on("console", lambda message: message.type == "error" and blocked.append(message.text))
    for name, title in (("with", "inline"), ("long", "inline"), ("both", "inline"), ("without", "none"), ("guessed", "none")):
        del blocked[:]
        page.goto(server.Url("/page/" + name))
        assert page.evaluate("window.own") is True
        assert page.title() == title
        assert (page.evaluate("getComputedStyle(document.body).color") == "rgb(1, 2, 3)") == (title == "inline")
        page.get_by_role("button").click()
        assert page.title() == title, "an attribute never runs"
        assert any("Content Security Policy" in text for text in blocked)
    page.goto("about:blank")


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
def test_no_frame_of_another_site(serve, runtime, page, tmp_path):
    www = tmp_path / "www"
    www.mkdir()
    (www / "inner.html").write_text("<h1>Inner</h1>")
    (www / "outer.html").write_text('<!doctype html><iframe src="/inner.html"></iframe>')
    server = serve(PAGES)
    page.goto(server.Url("/outer.html"))
    page.frame_locator("iframe").get_by_role("heading", name="Inner").wait_for()
    page.goto("http://localhost:%d/outer.html" % server.port)
    page.evaluate("""port => new Promise(done => {
        const frame = document.createElement("iframe");
        frame.onload = done;
        frame.src = "http://127.0.0.1:" + port + "/inner.html";
        document.body.append(frame);
    })""", server.port)
    inner = [frame for frame in page.frames if "127.0.0.1" in frame.url or "chrome-error" in frame.url]
    assert inner and "Inner" not in inner[0].content()
    page.goto("about:blank")
