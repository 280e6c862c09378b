"""examples/control_panel as a reviewer tests it: what a stranger, another site, a thief and a user with a malicious
name can do."""

import base64
import json
import re
import ssl
import threading
from urllib.parse import urlencode

import pytest

import harness
from panel_tools import DRIVER, EVE, FORM, PANEL, PASSWORDS, SECRET, Browser, Prepare, Said, Tell

pytestmark = [pytest.mark.parametrize("runtime", ("cpython", "micropython")), pytest.mark.timeout(120)]


@pytest.fixture
def panel(serve, modulePath, tmp_path):
    """panel() -> the panel, with three users."""
    def Panel():
        return serve(DRIVER, modulePath=(*modulePath, harness.ROOT / "examples"), args=(Prepare(tmp_path),))
    return Panel


# --- how it starts --------------------------------------------------------------------

class Started(harness.Server):
    """The panel as a person starts it."""

    def __init__(self, runtime, folder, *args):
        self.runtime, self._expected, self.port = runtime, [], harness.FreePorts(1)[0]
        port = self.port
        self._Launch(*harness.Command(runtime, PANEL / "main.py", (), args=args or (port,)), folder)
        self.port = port


def test_first_start(runtime, tmp_path):
    """There is no default password: the first start generates one and prints it once, on the console. The file has its
    hash."""
    passwords = []
    for _ in range(2):
        with Started(runtime, tmp_path) as server:
            passwords.append(server.Seen(r"^The password of admin, shown this once: (\S+)$|^The control").group(1))
            server.Seen("^The control panel is at http://127.0.0.1:%d/ " % server.port)
            server.SeenError("port %d" % server.port)
            tab = Browser(server)
            for name, password in (("admin", ""), ("admin", "admin"), ("admin", "password"), ("", ""), ("root", "root")):
                assert tab.LogIn(name, password).status == 401
            assert tab.LogIn("admin", passwords[0]).status == 302 and tab.Ask("/admin/").status == 200
    assert re.fullmatch("[a-z2-9]{16}", passwords[0]) and passwords[1] is None
    kept = (tmp_path / "panel.json").read_text()
    assert passwords[0] not in kept and json.loads(kept)["users"]["admin"].startswith("pbkdf2$")
    with Started(runtime, tmp_path, "eve") as command:
        new = command.WaitLine(r"^The password of eve, shown this once: (\S+)$").group(1)
        command.WaitExit()
    assert new != passwords[0]
    with Started(runtime, tmp_path) as server:
        server.SeenError("port %d" % server.port)
        assert Browser(server).LogIn("eve", passwords[0]).status == 401
        assert Browser(server).LogIn("eve", new).status == 302
        assert Browser(server).LogIn("admin", passwords[0]).status == 302
    assert sorted(path.name for path in tmp_path.iterdir()) == ["panel.json"]


def test_every_session_ends_with_the_program(panel, tmp_path):
    server = panel()
    tab = Browser(server)
    tab.LogIn()
    server.Finish()
    server = panel()
    tab.server = server
    assert not tab.IsIn() and Browser(server).LogIn().status == 302


# --- what it does ---------------------------------------------------------------------

def test_settings(panel, tmp_path):
    server = panel()
    tab = Browser(server)
    away = tab.Ask("/")
    assert (away.status, away.Header("Location")) == (302, "/admin/")
    away = tab.Ask("/admin/?a=b")
    assert (away.status, away.Header("Location")) == (302, "/login?next=/admin/?a=b")
    assert tab.LogIn(path=away.Header("Location")).Header("Location") == "/admin/?a=b"
    assert "Greenhouse" in tab.Ask("/admin/").text
    for limit in ("61", "-1", "", "1e1", "\u0661", "9" * 400, " 5"):
        assert tab.Post("/admin/settings", name="Shed", limit=limit).status == 302
        assert "the limit is 0 to 60" in tab.Ask("/admin/").text
    for name in ("", " ", "x" * 31, "a\r\nb", "a\0b", "a\x1bb"):
        assert tab.Post("/admin/settings", name=name, limit="5").status == 302
        assert "The name has 1 to 30 characters" in tab.Ask("/admin/").text
    assert Said(server, "[state['name'], state['limit']]") == ["Greenhouse", 60]
    saved = tab.Post("/admin/settings", name="Sh\u00e9d <b>", limit="60")
    assert (saved.status, saved.Header("Location")) == (302, "/admin/")
    page = tab.Ask("/admin/").text
    assert "Saved." in page and "Sh\u00e9d &lt;b&gt;" in page and "Sh\u00e9d <b>" not in page
    assert "Saved." not in tab.Ask("/admin/").text
    kept = json.loads((tmp_path / "panel.json").read_text())
    assert (kept["name"], kept["limit"], sorted(kept["users"])) == ("Sh\u00e9d <b>", 60, sorted(PASSWORDS))
    out = tab.Post("/admin/logout")
    assert (out.status, out.Header("Location")) == (302, "/login") and not tab.IsIn()


def test_live(panel):
    """All open pages see the sensor and the relay; a user who switches appears in the list."""
    server = panel()
    ann, ben = Browser(server), Browser(server, "127.0.0.2")
    ann.LogIn("ann"), ben.LogIn("ben")
    with ann.Socket() as first, ben.Socket() as second:
        assert 0 <= first.Next()["celsius"] <= 60
        first.Send("1")
        for socket in (first, second):
            row = socket.Wait(lambda message: message["relay"] == 1)["audit"][0]
            assert row[1:] == ["ann", "relay on", "127.0.0.1", 1]
        second.Send("0")
        assert first.Wait(lambda message: message["relay"] == 0)["audit"][0][1:] == ["ben", "relay off", "127.0.0.2", 1]
        first.Send("1")
        second.Wait(lambda message: message["relay"] == 1)
        ann.Post("/admin/settings", name="Greenhouse", limit="0")       # the temperature is higher by now
        assert second.Wait(lambda message: message["relay"] == 0)["audit"][0][1:] == ["the limit", "relay off", "", 1]
        second.Send("2")
        assert second.WaitClose() == 1003
    while Said(server, "len(sockets)"):
        pass                                    # until both have left the list
    rows = [row[1:] for row in Said(server, "audit")]
    assert ["ann", "settings: Greenhouse, 0 \u00b0C", "127.0.0.1", 1] in rows and ["ben", "logged in", "127.0.0.2", 1] in rows


def test_a_socket_ends_with_its_log_in(panel):
    """At logout at once; after ten minutes it needs a new login."""
    server = panel()
    ann, ben = Browser(server), Browser(server)
    ann.LogIn("ann"), ben.LogIn("ben")
    with ann.Socket() as first, ben.Socket() as second:
        ann.Post("/admin/logout")
        assert first.WaitClose() == 4001
        assert ann.Socket().status == 401
        first.Send("1")                         # data after the Close frame is ignored
        second.Send("0")
        assert second.Wait(lambda message: message["audit"][0][2] == "relay off")["audit"][0][1] == "ben"
        assert not [row for row in Said(server, "audit") if row[2] == "relay on"]
        Tell(server, "sockets[0].left = 1; sockets[-1].left = 1")
        assert second.WaitClose() == 4001
    with ben.Socket() as again:
        assert again.status == 101
        Tell(server, "clock.shift = 3601")
        Tell(server, "sockets[-1].left = 1")
        assert again.WaitClose() == 4001
    assert ben.Socket().status == 401


# --- cookies --------------------------------------------------------------------------

def Tampered(value):
    """Cookies that are almost right."""
    raw = base64.b64decode(value)
    yield from ("", "x", value[:-1], value[:-4], value[:44], value[1:], "A" + value, value.rstrip("=") + "AAAA", value.swapcase(), value.rstrip("=") * 2)
    for at in (0, 15, 31, 32, 35, 36, len(raw) - 1):        # in the MAC, the expiry, the id
        yield base64.b64encode(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:]).decode()
    yield base64.b64encode(bytes(32) + raw[32:]).decode()
    yield base64.b64encode(raw[32:]).decode()


def test_forged_truncated_and_swapped_cookies(panel):
    server = panel()
    tab = Browser(server)
    assert "Set-Cookie" not in str(tab.Ask("/login").headers) and not tab.cookies, "a stranger has no session"
    tab.LogIn()
    value = tab.cookies["panel"]
    stranger = Browser(server)
    for forged in Tampered(value):
        assert stranger.Ask("/admin/secret.txt", cookie="panel=" + forged).status == 302, forged
        with stranger.Socket(cookie="panel=" + forged) as socket:
            assert socket.status == 401, forged
    stranger.cookies = {}
    token = tab.Token()
    for cookie in ("session=" + value, "Panel=" + value, "__Host-panel=" + value, "flash=" + value, "panel=" + token,
                   "panel=%s; panel=x" % token, "panel=ann", 'panel=["ann","ann"]'):
        assert not stranger.IsIn(cookie=cookie), cookie
    assert stranger.Post("/admin/settings", [("X-CSRF-Token", value)], None, "panel=" + value, name="a", limit="1").status == 403
    ben = Browser(server)
    ben.LogIn("ben")
    own, other = base64.b64decode(ben.cookies["panel"]), base64.b64decode(value)
    for mixed in (own[:32] + other[32:], own[:36] + other[36:], other[:36] + own[36:]):
        assert not stranger.IsIn(cookie="panel=" + base64.b64encode(mixed).decode())
    assert tab.IsIn() and ben.IsIn()


def test_expired_and_replayed_cookies(panel):
    """The expiry time is signed. After logout a copy of the cookie is useless."""
    server = panel()
    tab = Browser(server)
    tab.LogIn()
    copy = "panel=" + tab.cookies["panel"]
    Tell(server, "clock.shift = 3590")
    assert Browser(server).Ask("/admin/", cookie=copy).status == 200
    Tell(server, "clock.shift = 3601")
    assert not Browser(server).IsIn(cookie=copy)
    Tell(server, "clock.shift = 0")
    tab = Browser(server)
    tab.LogIn()
    copy = "panel=" + tab.cookies["panel"]
    assert Browser(server).IsIn(cookie=copy), "a thief, until"
    tab.Post("/admin/logout")
    assert not Browser(server).IsIn(cookie=copy)
    tab.LogIn()
    assert not Browser(server).IsIn(cookie=copy)


def test_a_user_who_is_no_more(panel):
    server = panel()
    tab = Browser(server)
    tab.LogIn("ben")
    Tell(server, "del state['users']['ben']")
    assert not tab.IsIn() and tab.LogIn("ben").status == 401


def test_fixation(panel):
    """A session that the attacker knew before the victim's login is useless afterwards."""
    server = panel()
    thief, victim = Browser(server), Browser(server)
    made = base64.b64encode(bytes(52)).decode()
    victim.cookies["panel"] = made
    victim.LogIn("ann")
    assert victim.cookies["panel"] != made and not thief.IsIn(cookie="panel=" + made)
    thief.LogIn("ben")
    known, token = thief.cookies["panel"], thief.Token()
    victim.cookies["panel"] = known             # planted by the attacker
    victim.LogIn("ann")
    assert victim.cookies["panel"] != known
    assert "ann" in victim.Ask("/admin/").text
    assert not thief.IsIn(cookie="panel=" + known), "nor is the old one ben's"
    cookie = "panel=" + victim.cookies["panel"]
    assert victim.Post("/admin/settings", [("X-CSRF-Token", token)], None, cookie, name="a", limit="1").status == 403


# --- other sites ----------------------------------------------------------------------

ELSEWHERE = [
    [("Origin", "http://evil.example")], [("Origin", "null")], [("Origin", "http://localhost.evil.example")], [("Origin", "https://localhost:1")],
    [("Origin", "http://localhost:1")], [("Sec-Fetch-Site", "cross-site")], [("Sec-Fetch-Site", "same-site")], [("Sec-Fetch-Site", "x")],
    [("Origin", "http://localhost"), ("Sec-Fetch-Site", "cross-site")], [("Referer", "http://localhost/admin/")], [],
]


def test_other_sites(panel):
    """Forms, scripts and WebSockets of other sites, in new and old browsers, with the cookie of a logged-in user."""
    server = panel()
    tab = Browser(server)
    tab.LogIn()
    cookie = "panel=" + tab.cookies["panel"]
    for headers in ELSEWHERE:
        for path, fields in (("/admin/settings", {"name": "Evil", "limit": "0"}), ("/admin/logout", {}), ("/login", {"name": "ben", "password": PASSWORDS["ben"]})):
            answer = tab.Post(path, headers, None, cookie, **fields)
            assert (answer.status, answer.Headers("Set-Cookie")) == (403, []), (headers, path)
            answer = tab.Ask(path, "POST", json.dumps(fields).encode(), [*headers, ("X-HTTP-Method-Override", "GET")], site=None, cookie=cookie)
            assert answer.status == 403
        for method in ("PUT", "DELETE", "PATCH"):
            assert tab.Ask("/admin/settings", method, b"name=Evil&limit=0", headers, site=None, cookie=cookie).status == 403
        with tab.Socket(headers, site=None, cookie=cookie) as socket:
            assert socket.status == 403, headers
    for token in ("", "x", tab.cookies["panel"], re.search('value="([^"]+)"', Browser(server).Ask("/login").text).group(1)):
        assert tab.Post("/admin/settings", site=None, name="Evil", limit="0", csrf=token).status == 403
    assert Said(server, "[state['name'], state['limit'], relay.value()]") == ["Greenhouse", 60, 0] and tab.IsIn()
    refused = [row for row in Said(server, "audit") if row[2] == "sent by another site"]
    assert [row[1] for row in refused] == [""] and refused[0][4] > 50
    assert tab.Post("/admin/settings", site=None, name="A", limit="60", csrf=tab.Token()).status == 302
    assert tab.Post("/admin/settings", [("Origin", "http://localhost")], site=None, name="B", limit="60").status == 302
    assert Said(server, "state['name']") == "B"


def test_get_changes_nothing(panel):
    server = panel()
    tab = Browser(server)
    tab.LogIn()
    before = Said(server, "[state['name'], state['limit'], relay.value()]")
    for path in ("/admin/settings?name=Evil&limit=0", "/admin/logout", "/admin/live", "/admin/live?1", "/admin/?name=Evil", "/login?name=ben&password=x"):
        for method in ("GET", "HEAD", "OPTIONS"):
            tab.Ask(path, method, site="cross-site")
    assert tab.IsIn() and Said(server, "[state['name'], state['limit'], relay.value()]") == before


def test_a_name_that_leads_here(panel):
    """DNS rebinding: the Host is not one of ours."""
    server = panel()
    tab = Browser(server)
    tab.LogIn()
    for host in ("evil.example", "evil.example:%d" % server.port, "localhost.evil.example", "panel.local.evil.example"):
        for path in ("/admin/", "/login", "/style.css"):
            answer = tab.Ask(path, host=host)
            assert answer.status == 421 and b"Greenhouse" not in answer.body
    for host in ("panel.local", "LOCALHOST:80", "127.0.0.1:%d" % server.port, "[::1]"):
        assert tab.Ask("/admin/", host=host).status == 200


# --- guesses --------------------------------------------------------------------------

def test_a_thousand_guesses(panel, capsys):
    """Of 1,000 guesses a few are hashed, the others get 429. Meanwhile the honest user logs in from another address;
    and all earlier entries are still in the list."""
    server = panel()
    ann = Browser(server, "127.0.0.3")
    ann.LogIn()
    before = Said(server, "len(checked)")
    statuses = []

    def Guess():
        thief = Browser(server)
        for number in range(1000):
            statuses.append(thief.LogIn("ann", "guess %d" % number).status)

    thread = threading.Thread(target=Guess)
    thread.start()
    honest = []
    while thread.is_alive() or not honest:
        tab = Browser(server, "127.0.0.2")
        honest.append(tab.LogIn("ann").status)
        tab.Post("/admin/logout")
    thread.join()
    hashed = Said(server, "len(checked)") - before - len(honest)
    assert set(honest) == {302} and set(statuses) == {401, 429} and len(statuses) == 1000
    assert statuses.count(401) == hashed < 20
    assert Browser(server).LogIn("ann").status == 429, "from there, not even the right one"
    assert ann.Ask("/admin/").status == 200, "who is in stays in"
    rows = {tuple(row[1:4]): row[4] for row in Said(server, "audit")}
    assert rows["", "wrong password", "127.0.0.1"] == hashed and rows["", "too many wrong passwords", "127.0.0.1"] == 1001 - hashed
    with capsys.disabled():
        print("\n%s: of 1,000 guesses %d hashed, %d times 429; meanwhile %d log-ins elsewhere"
              % (server.runtime, hashed, statuses.count(429), len(honest)))


def test_the_list_is_bounded(panel):
    server = panel()
    tab = Browser(server)
    tab.LogIn()
    Tell(server, "[Note('', 'wrong password', '10.0.%d.%d' % (n // 250, n % 250)) for n in range(1000)]")
    rows = Said(server, "audit")
    assert [row[2] for row in rows if row[1]] == ["logged in"] and len(rows) == 11 and rows[0][3] == "10.0.3.249"
    Tell(server, "[Note('ann', 'relay on', '127.0.0.1') for n in range(1000)]")
    assert len(Said(server, "audit")) == 29
    assert tab.Ask("/admin/").text.count("relay on") == 20


# --- names ----------------------------------------------------------------------------

def test_names_cannot_inject(panel):
    """A user's name, the device's name or a redirect address can't inject headers, HTML or log lines."""
    server = panel()
    tab = Browser(server)
    for name in ("ann\r\nX-Evil: 1", "ann\nSet-Cookie: panel=x", "ann\0", "\r\n\r\n<html>", "a" * 1500, "ann%0d%0aX-Evil: 1", "<script>alert(1)</script>"):
        answer = tab.LogIn(name, "x", headers=[("X-Forwarded-For", "127.0.0.9")])
        assert answer.status in (401, 429) and answer.Header("X-Evil") is None and not answer.Headers("Set-Cookie"), name
        assert "alert(1)" not in answer.text and "X-Evil" not in answer.text
    Tell(server, "server.tries._tries = ()") if server.runtime == "cpython" else Tell(server, "server.now += 5000")
    for target in ("/a\r\nX-Evil: 1", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/admin/\r\n\r\n<html>"):
        tab = Browser(server)
        answer = tab.LogIn(EVE, path="/login?" + urlencode({"next": target}))
        assert (answer.status, answer.Header("Location"), answer.Header("X-Evil")) == (302, "/", None), target
        assert len(answer.Headers("Set-Cookie")) == 1
    with tab.Socket() as socket:
        socket.Send("1")
        assert socket.Wait(lambda message: message["relay"])["audit"][0][1] == EVE
    assert tab.Post("/admin/settings", name="</script><script>alert(2)</script>"[:30], limit="60").status == 302
    page = tab.Ask("/admin/").text
    assert "<img src=x" not in page and "<script>alert" not in page and "&lt;img src=x onerror=alert(1)&gt;&quot;&apos;&amp;" in page
    assert page.count("<script") == 1 and page.count("relay on") == 1
    for bad in ("http://e\x1bvil", "http://evil\u2028x"):
        tab.Post("/admin/settings", [("Origin", bad)], site=None, name="x", limit="1")
    assert "X-Evil" not in re.sub(".*", "", server.stderr) and not re.search("^X-Evil|^Set-Cookie", server.stdout + server.stderr, re.M)
    assert "\x1b" not in server.stderr


def test_a_name_in_the_file_that_breaks_lines(runtime, modulePath, tmp_path):
    """Such a user is an error at the start, not a header later."""
    program = Prepare(tmp_path)
    kept = json.loads((tmp_path / "panel.json").read_text())
    kept["users"]["ann\r\nX-Evil: 1"] = kept["users"]["ann"]
    (tmp_path / "panel.json").write_text(json.dumps(kept))
    with pytest.raises(AssertionError, match="users must have names without colons and controls"):
        harness.RunProgram(runtime, program, tmp_path, (*modulePath, harness.ROOT / "examples"), args=(harness.FreePorts(1)[0],))


# --- paths ----------------------------------------------------------------------------

FILES = ["/admin/secret.txt", "/admin/secret.pyhtml", "/admin/secret", "/admin/"]
TRICKS = [
    "/public/../admin/secret.txt", "/admin/../admin/secret.txt", "/%2e%2e/admin/secret.txt", "/x/%2e%2e/admin/secret.txt", "/x/..%2fadmin/secret.txt",
    "/./admin/secret.txt", "/%2e/admin/secret.txt", "/admin/./secret.txt", "/admin/x/../secret.txt", "/login/../admin/secret.txt", "/login/..;/admin/secret.txt",
    "//admin/secret.txt", "///admin//secret.txt", "/admin//secret.txt", "//admin", "//localhost/admin/secret.txt",
    "/%61dmin/secret.txt", "/%61%64%6d%69%6e/%73ecret.txt", "/%2561dmin/secret.txt", "/adm%69n/secret.pyhtml",
    "/ADMIN/secret.txt", "/Admin/secret.txt", "/aDmIn/secret.pyhtml", "/%41DMIN/secret.txt", "/ADMIN/", "/ADMIN/SECRET.TXT",
    "/admin./secret.txt", "/admin%2e/secret.txt", "/admin%20/secret.txt", "/admin/secret.txt.", "/admin/secret.txt%20", "/admin/secret.txt%2e",
    "/admin%2fsecret.txt", "/admin%2Fsecret.txt", "/%2fadmin/secret.txt", "/%2Fadmin%2Fsecret.txt", "/admin%5csecret.txt", "/admin\\secret.txt", "\\admin\\secret.txt",
    "/admin%00/secret.txt", "/admin/secret.txt%00", "/admin/secret.txt%00.css", "/style.css/../admin/secret.txt", "/admin/secret.txt?/style.css", "/admin/secret.txt;style.css",
    "/admin;x/secret.txt", "/;x/admin/secret.txt", "/ADMIN~1/secret.txt", "/admin::$DATA/secret.txt", "/adm\u0131n/secret.txt", "/\uff41dmin/secret.txt", "/%c0%afadmin/secret.txt",
    "http://localhost/admin/secret.txt", "http://localhost//admin/secret.txt", "HTTP://LOCALHOST/%61dmin/secret.txt", "http://x/admin/secret.txt", "http:/admin/secret.txt", "admin/secret.txt",
    "/_panel.pyhtml", "/_card.pyhtml", "/_head.pyhtml", "/../panel.json", "/panel.json", "/%2e%2e/main.py", "/main.py", "/../main.py", "/..%2f..%2fpanel.json", "/.panel.json", "/panel.json.new",
]


def test_path_tricks(panel):
    """No spelling shows pages that need a login, or files outside of www."""
    server = panel()
    inside = Browser(server)
    inside.LogIn()
    for path in FILES[:2]:
        assert inside.Ask(path).body.startswith(SECRET)
    for path in FILES + TRICKS:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "PROPFIND"):
            for mode in ("navigate", "cors"):
                headers = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", mode), ("Connection", "close")]
                data = harness.RawExchange(server.port, harness.RequestBytes(method, path, headers))
                head, _, body = data.partition(b"\r\n\r\n")
                assert SECRET not in body and b"Greenhouse" not in body and b"pbkdf2" not in body and b"def " not in body, path
                isLed = head.startswith(b"HTTP/1.1 302 ") and b"\r\nLocation: /login?next=/" in head
                assert isLed or re.match(b"HTTP/1.1 4\\d\\d |HTTP/1.1 501 ", head), (method, path, data)
                assert b"etag" not in head.lower() and b"last-modified" not in head.lower()
    for path in ("/login", "//login", "/login?next=/admin/secret.txt"):
        assert SECRET not in Browser(server).Ask(path).body


# --- what leaves ----------------------------------------------------------------------

def Everything(tab):
    """Get every kind of response for this client: pages, files, forms, errors. -> {(path, method): response}"""
    asked = {}
    for path in ("/", "/login", "/style.css", "/favicon.svg", "/nothing", "/_panel.pyhtml", "/%zz", *FILES, "/admin/nothing", "/admin/settings", "/admin/logout", "/admin/live", "/admin/x/y"):
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "POST"):
            if (path, method) != ("/admin/logout", "POST"):
                asked[path, method] = tab.Ask(path, method, b"name=x&limit=9" if method == "POST" else b"")
    asked["/admin/secret.txt", "range"] = tab.Ask("/admin/secret.txt", headers=[("Range", "bytes=0-2")])
    asked["/admin/secret.txt", "since"] = tab.Ask("/admin/secret.txt", headers=[("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")])
    asked["/admin/secret.txt", "match"] = tab.Ask("/admin/secret.txt", headers=[("If-None-Match", "*")])
    asked["/admin/settings", "long"] = tab.Ask("/admin/settings", "POST", b"x" * 3000)
    asked["/admin/", "other site"] = tab.Ask("/admin/settings", "POST", b"x=y", site="cross-site")
    asked["/admin/", "other host"] = tab.Ask("/admin/", host="evil.example")
    return asked


def test_headers_of_everything(panel):
    """No cache stores pages that need a login, or pages with a cookie or token; each response has a policy."""
    server = panel()
    tab = Browser(server)
    for isIn in (False, True):
        if isIn:
            assert tab.LogIn().Header("Cache-Control") == "no-store"
        answers = Everything(tab)
        for (path, method), answer in answers.items():
            isPublic = path in ("/style.css", "/favicon.svg")
            if isPublic and answer.status == 200:
                assert answer.Header("Cache-Control") != "no-store" and not answer.Headers("Set-Cookie") and answer.Header("Vary") is None
            else:
                assert isPublic or answer.Header("Cache-Control") == "no-store", (path, method, answer)
            policy = answer.Header("Content-Security-Policy")
            assert "default-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'self'" in policy and "form-action 'self'" in policy
            for name, value in (("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "SAMEORIGIN"), ("Referrer-Policy", "same-origin")):
                assert answer.Header(name) == value
            assert not {"server", "x-powered-by", "access-control-allow-origin"} & {name for name, _ in answer.headers}
        codes = {answer.status for answer in answers.values()}
        assert codes >= ({200, 302, 400, 403, 404, 405, 413, 421} if isIn else {200, 302, 400, 401, 403, 404, 405, 421}), codes
        for (path, method), answer in answers.items():          # the panel's own error pages
            if answer.status >= 400 and method != "HEAD":
                assert "Control panel" in answer.text and 'href="/style.css"' in answer.text and (path == "/login" or ">%d<" % answer.status in answer.text), (path, method)
    page, again = tab.Ask("/admin/"), tab.Ask("/admin/")
    nonce = re.search('<script nonce="([^"]{24})">', page.text).group(1)
    assert "'nonce-%s'" % nonce in page.Header("Content-Security-Policy") and nonce not in again.text
    assert page.Header("Vary") == "Cookie"


def test_a_handler_that_fails(panel):
    """The page of a 500 reveals nothing about the failure."""
    server = panel()
    tab = Browser(server)
    tab.LogIn()
    Tell(server, "state.pop('limit')")
    answer = tab.Ask("/admin/")
    assert answer.status == 500 and "Internal error" in answer.text and "limit" not in answer.text and "Error" not in answer.text
    assert answer.Header("Cache-Control") == "no-store"
    server.ExpectError("KeyError")
    Tell(server, "state['limit'] = 60")
    assert tab.Ask("/admin/").status == 200


def test_no_secret_leaves(panel):
    """Passwords (right and wrong), hashes and cookies: in no page, no address, no header except Set-Cookie, no console
    line."""
    server = panel()
    tab = Browser(server)
    cookies = set()
    for name in PASSWORDS:
        tab.LogIn(name, "a wrong secret")
        tab.LogIn(name)
        Everything(tab)
        cookies |= set(tab.cookies.values())
        tab.Post("/admin/logout")
        tab.Ask("/login?next=/admin/")
    secrets = {*PASSWORDS.values(), "a wrong secret", "pbkdf2", *cookies}
    secrets |= {hash.split("$")[3] for hash in Said(server, "state['users']").values()}
    for answer in tab.seen:
        heads = "\n".join("%s: %s" % pair for pair in answer.headers if pair[0] != "set-cookie")
        for secret in secrets:
            assert secret not in heads and secret.encode() not in answer.body, secret
    said = server.stderr + re.sub("^SAID .*", "", server.stdout, flags=re.M)
    assert not [secret for secret in secrets if secret in said]


# --- HTTPS ----------------------------------------------------------------------------

def test_https(panel, tmp_path):
    """With a certificate: cookies are Secure, with the __Host- prefix; earlier cookies are ignored; plain requests get
    no page."""
    harness.RunProgram("cpython", harness.ROOT / "tools" / "make_certificate.py", tmp_path, args=("localhost", "127.0.0.1", "-o", str(tmp_path)))
    server = panel()
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")

    class Secure(harness.RawClient):
        def __init__(self):
            super().__init__(server.port)
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
            self._reader = harness.ResponseReader(self.Receive)

        def Ask(self, method, path, headers=(), body=b""):
            self.Send(harness.RequestBytes(method, path, [("Sec-Fetch-Site", "same-origin"), *headers], body))
            return self.ReadResponse(method)

    with Secure() as client:
        assert client.Ask("GET", "/admin/").Header("Location") == "/login?next=/admin/"
        body = urlencode({"name": "ann", "password": PASSWORDS["ann"]}).encode()
        made = client.Ask("POST", "/login", [FORM], body).Header("Set-Cookie")
        assert re.match("__Host-panel=[^;]+; ", made) and "; Secure" in made and "; Path=/;" in made
        value = made.partition(";")[0]
        page = client.Ask("GET", "/admin/", [("Cookie", value)])
        assert page.status == 200 and "Greenhouse" in page.text and page.Header("Cross-Origin-Opener-Policy") == "same-origin"
        assert client.Ask("GET", "/admin/", [("Cookie", value[7:])]).status == 302
        body = b"name=Shed&limit=60"
        for origin, status in (("http://localhost", 403), ("https://localhost", 302)):
            client.Send(harness.RequestBytes("POST", "/admin/settings", [FORM, ("Cookie", value), ("Origin", origin)], body))
            assert client.ReadResponse("POST").status == status
    assert b"Control panel" not in harness.RawExchange(server.port, harness.RequestBytes("GET", "/login", [("Connection", "close")]))


def test_the_other_tests_of_the_list_are_there(runtime):
    """200 half-open handshakes, and the duration of comparisons."""
    for name, test in (("test_tls", "def test_200_half_open_handshakes"), ("test_session", "def test_equal_takes_the_same_time")):
        assert test in (harness.ROOT / "tests" / (name + ".py")).read_text(encoding="utf-8")


def test_it_is_small(runtime):
    lines = (PANEL / "main.py").read_text(encoding="utf-8").split("\n")
    assert len([line for line in lines if line.strip()]) <= 150
    assert sum(path.stat().st_size for path in (PANEL / "www").iterdir()) < 20000
