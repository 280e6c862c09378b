"""microWebPortal: the probes of phones, the page, the form, and the changes of state."""

import json
import re

import pytest

import harness
from portal_tools import BYTES, EVIL, PROGRAM, Ask, Ours, Send, Token

PROBES = {                      # path: (requested host, status and content that the system expects when online)
    "/generate_204": ("connectivitycheck.gstatic.com", 204, ""),
    "/gen_204": ("www.google.com", 204, ""),
    "/hotspot-detect.html": ("captive.apple.com", 200, "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>"),
    "/connecttest.txt": ("www.msftconnecttest.com", 200, "Microsoft Connect Test"),
    "/ncsi.txt": ("www.msftncsi.com", 200, "Microsoft NCSI"),
    "/success.txt?ipv4": ("detectportal.firefox.com", 200, "success\n"),
    "/canonical.html": ("detectportal.firefox.com", 200,
                        '<meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>'),
    "/check_network_status.txt": ("nmcheck.gnome.org", 302, ""),            # NetworkManager reads the header
}


@pytest.fixture
def portal(serve, modulePath, tmp_path):
    """portal(more="") -> the Server, with an open portal."""
    def Portal(more="", isOpen=True):
        program = PROGRAM.replace("#MORE", more)
        server = serve(program, modulePath=modulePath)
        if isOpen:
            WaitOpen(server)
        return server
    return Portal


def WaitOpen(server):
    server.WaitLine("^AP True")
    Do(server, "print(portal.isOpen)")
    server.WaitLine("^True$")


def Do(server, line):
    server.Tell(line)


def Saved(folder):
    path = folder / ".wifi.json"
    return json.loads(path.read_text()) if path.exists() else None


def Join(server, name="Home", password="correct horse"):
    answer = Send(server, n=name, p=password)
    assert answer.status == 200 and "Connecting to" in answer.text and answer.Header("refresh") == "2"
    server.WaitLine("^JOINED 127.0.0.1")


def test_the_whole_way(portal, tmp_path):
    """An empty board; the page; the settings are saved; the portal closes; and after a restart it joins without a
    portal."""
    server = portal()
    page = Ours(server)
    assert page.status == 200 and page.Header("cache-control") == "no-store"
    assert "<h1>My &lt;lamp&gt;</h1>" in page.text and "Choose the Wi-Fi" in page.text and "Forget" not in page.text
    Join(server)
    assert Saved(tmp_path) == {"name": "Home", "password": "correct horse"}
    page = Ours(server)
    url = "http://127.0.0.1:%d/" % server.port
    assert "joined <bdi>Home</bdi>" in page.text and "<a href=%s>%s</a>" % (url, url) in page.text
    assert "correct horse" not in page.text and "<form" not in page.text and page.Header("refresh") == "15"
    assert "<h1>The program</h1>" in Ours(server, "/").text
    Do(server, "Later()")
    server.WaitLine("^AP False")
    assert Ours(server).status == 404 and "<h1>The program</h1>" in Ours(server, "/").text
    server.Finish()
    assert (tmp_path / ".wifi.json").exists() and not (tmp_path / ".wifi.json.new").exists()
    server = portal(isOpen=False)
    server.WaitLine("^CONNECT b'Home' correct horse")
    server.WaitLine("^JOINED")
    assert "AP True" not in server.stdout and Ours(server).status == 404
    assert "<h1>The program</h1>" in Ours(server, "/").text
    Do(server, "portal.Forget()")
    WaitOpen(server)
    assert Saved(tmp_path) is None and "Choose the Wi-Fi" in Ours(server).text


@pytest.mark.parametrize("path", PROBES)
def test_probes(portal, path):
    """Portal open: redirected to the page. Joined: redirected until a person has read the page, then the expected
    response, for probes only."""
    host, code, expected = PROBES[path]
    server = portal("mws.AllowedHosts = ['lamp.local']")
    url = "http://127.0.0.1:%d/wifi" % server.port
    for asked in (path, "/", "/redirect", "/anything?a=b"):
        for method in ("GET", "HEAD", "POST"):
            answer = Ask(server, asked, host, method)
            assert (answer.status, answer.Header("location"), answer.body) == (302, url, b"")
            assert answer.Header("cache-control") == "no-store" and answer.isClosing
            assert answer.Header("x-networkmanager-status") is None
    Join(server)
    assert Ask(server, path, host).status == 302
    Do(server, "mws.now += 20")
    Do(server, "print('LATER')")
    server.WaitLine("^LATER")
    answer = Ask(server, path, host)
    assert (answer.status, answer.text, answer.Header("x-networkmanager-status")) == (code, expected, "online")
    assert Ask(server, "/", host).Header("location") == url
    Do(server, "Later()")
    server.WaitLine("^AP False")
    assert Ask(server, path, host).status == 421, "AllowedHosts is as it was"
    assert Ask(server, "/", "lamp.local").status == 200


def test_only_the_portal_is_there(portal):
    """Strangers may join its network: nothing of the program answers before the board has joined, whatever is
    requested."""
    server = portal()
    url = "http://127.0.0.1:%d/wifi" % server.port
    for path in ("/", "/secret", "/.wifi.json", "/wifi/more", "/wifi/", "/WIFI"):
        answer = Ours(server, path, method="POST" if path == "/secret" else "GET")
        assert (answer.status, answer.Header("location")) == (302, url), path
    for host in ("lamp.local", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.test:%d" % server.port):
        assert Ask(server, "/wifi", host).status == 302, host
    assert "HOOK" not in server.stdout
    Join(server)
    assert Ours(server, "/secret", method="POST").text == "secret"
    server.Seen("^HOOK /secret")


def test_a_page_of_another_origin_can_not_set_it(portal, tmp_path):
    server = portal()
    page = Ours(server)
    assert page.Header("content-security-policy") == "frame-ancestors 'none'"
    for token in ("", "0" * 16, Token(page)[:-1], Token(page) + "0"):
        answer = Send(server, token, n="Home", p="correct horse")
        assert answer.status == 403 and "try again" in answer.text
        assert Send(server, token, f="").status == 403
    form = ("n=Home&p=correct+horse&t=" + Token(page)).encode()
    answer = Ask(server, "/wifi", "evil.test", "POST", {"Content-Type": "application/x-www-form-urlencoded"}, form)
    assert answer.status == 302, "a page of a name that DNS has led here"
    answer = Ask(server, "/wifi", "evil.test")
    assert answer.status == 302 and answer.body == b""
    Do(server, "print('TRIED', portal.address)")
    server.WaitLine("^TRIED None")
    assert "CONNECT" not in server.stdout and Saved(tmp_path) is None


def test_wrong_password(portal, tmp_path):
    """The portal stays open, reports it, and selects the network; the password typed is not shown."""
    server = portal()
    assert Send(server, n="Home", p="wrong <password>").status == 200
    server.WaitLine("^CONNECT b'Home' wrong <password>")
    page = WaitFor(server, "password is wrong")
    assert "No connection to <bdi>Home</bdi>: the password is wrong." in page.text
    assert 'value="Home" checked' in page.text and "wrong &lt;pass" not in page.text and "wrong <pass" not in page.text
    assert Saved(tmp_path) is None and server.stdout.count("AP ") == 2, "it never went away"
    Join(server)


def WaitFor(server, text):
    """The page, when it contains this text; it is loaded every second, as in the browser."""
    for _ in range(40):
        page = Ours(server)
        if text in page.text:
            return page
        Do(server, "time.sleep(0.2); print('SLEPT')")
        server.WaitLine("^SLEPT")
    raise AssertionError("no %r in %s" % (text, page.text))


def test_a_network_that_is_not_there(portal):
    server = portal("Radio.deaf = True")
    Send(server, o="Elsewhere", p="12345678")
    server.WaitLine("^CONNECT b'Elsewhere' 12345678")
    Do(server, "Later()")
    assert "Is it near enough" in WaitFor(server, "No connection to <bdi>Elsewhere").text


@pytest.mark.parametrize("name", EVIL)
def test_hostile_names(portal, tmp_path, name):
    """Neighbours choose these names. They are shown, never executed, and joined byte for byte."""
    server = portal("Radio.noisy = [(%r, -10, 3)]" % name.encode())
    page = Ours(server).text
    found = re.search('<label><input type=radio name=n value="([^"]*)"><bdi>([^<]*)</bdi>100 % \U0001f512</label>', page)
    assert found, page
    shown = found[1]
    for mark, entity in (("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;"), ("&", "&amp;")):
        shown = shown.replace(entity, mark)
    assert shown == name and found[1] == found[2]
    Join(server, name, "")
    assert Saved(tmp_path) == {"name": name, "password": ""}
    joined = re.search("<bdi>(.*)</bdi>", Ours(server).text).group(1)
    assert joined == found[1]


@pytest.mark.parametrize("ssid", [BYTES, b"a\nb", b"hex:c3", b"\xff", b"\xed\xa0\x80"], ids=lambda ssid: ssid.hex()[:6])
def test_names_that_are_no_text(portal, tmp_path, ssid):
    server = portal("Radio.noisy = [(%r, -10, 0)]" % ssid)
    assert "<bdi>hex:%s</bdi>100 %% </label>" % ssid.hex() in Ours(server).text
    Join(server, "hex:" + ssid.hex(), "")
    server.Seen("^CONNECT %s None" % re.escape(repr(ssid)))
    assert Saved(tmp_path)["name"] == "hex:" + ssid.hex()


def test_the_list(portal):
    """The strongest first, each name once, without hidden ones, limited in number."""
    server = portal("Radio.noisy = [(b'n%d' % n, -90 - n, 3) for n in range(30)]")
    page = Ours(server).text
    rows = re.findall("<bdi>([^<]*)</bdi>([0-9]+) % (\U0001f512?)<", page)
    assert rows[:4] == [("Home", "100", "\U0001f512"), ("Cafe", "80", ""), ("n0", "20", "\U0001f512"), ("n1", "18", "\U0001f512")]
    assert len(rows) == 16
    assert len(page) < 4096
    scans = server.stdout.count("SCAN")
    assert Ours(server, "/wifi?scan").status == 302
    assert server.stdout.count("SCAN") == scans, "not twice within seconds: it stops the server for as long"
    Do(server, "Later()")
    Do(server, "Radio.noisy = []")
    Do(server, "print('DONE')")
    server.WaitLine("^DONE")
    assert Ours(server, "/wifi?scan").Header("location") == "http://127.0.0.1:%d/wifi" % server.port
    assert re.findall("<bdi>([^<]*)</bdi>", Ours(server).text) == ["Home", "Cafe"]
    Do(server, "Radio.scan = lambda self: 1 // 0 if self is None else open('/no/such/file')")
    Do(server, "Later()")
    Do(server, "print('BROKEN')")
    server.WaitLine("^BROKEN")
    assert Ours(server, "/wifi?scan").status == 302
    assert re.findall("<bdi>([^<]*)</bdi>", Ours(server).text) == ["Home", "Cafe"], "what was found before stays"


REFUSED = [{}, {"n": ""}, {"o": "  "}, {"n": "x" * 33}, {"n": "\u20ac" * 11}, {"o": "hex:" + "ff" * 33}, {"n": "hex:"},
           {"n": "Home", "p": "1234567"}, {"n": "Home", "p": "x" * 64}, {"n": "Home", "p": "\u20ac" * 22}]


def test_limits(portal, tmp_path):
    server = portal()
    for fields in REFUSED:
        answer = Send(server, **fields)
        assert answer.status == 400 and "1 to 32 bytes" in answer.text, fields
    assert "CONNECT" not in server.stdout
    token = Token(Ours(server))
    for name, password in (("x" * 32, "p" * 63), ("hex:zz", "12345678"), ("hex:" + "ff" * 32, ""), ("\u20ac" * 10, "&=+% ;\u00e9\u00e9")):
        assert Send(server, token, n=name, p=password).status == 200
    assert Send(server, token, n="Home", o=" typed ", p="12345678").status == 200
    server.WaitLine("^CONNECT b'typed' 12345678")


@pytest.mark.parametrize("arguments", ["name=''", "name='x' * 33", "name='\u20ac' * 11", "password='1234567'", "password='x' * 64"])
def test_arguments(run, modulePath, arguments):
    program = "import microWebPortal, pretend\nfrom microWebSrv import MicroWebSrv\ntry:\n    microWebPortal.Provision(MicroWebSrv(), " \
        "network=pretend, %s)\nexcept ValueError as error:\n    print('REFUSED', error)" % arguments
    assert "REFUSED name, password" in run(program, modulePath=(*modulePath, harness.ON_DEVICE))


def test_without_a_network_module(run):
    program = "import microWebPortal\nfrom microWebSrv import MicroWebSrv\ntry:\n    microWebPortal.Provision(MicroWebSrv())\n" \
        "except ImportError as error:\n    print(error)"
    assert "network" in run(program)


def test_lost_network(portal, tmp_path):
    """It is tried again; after lostSec the portal opens; when the network is back, everything is as before."""
    (tmp_path / ".wifi.json").write_text('{"name": "Home", "password": "correct horse"}')
    server = portal(isOpen=False)
    server.WaitLine("^JOINED")
    Do(server, "Radio.gone = True")
    server.WaitLine("^CONNECT b'Home'")
    Do(server, "Radio.gone = False")
    server.WaitLine("^JOINED")
    assert "AP True" not in server.stdout
    Do(server, "Radio.gone = True")
    server.WaitLine("^CONNECT b'Home'")
    WaitOpen(server)
    page = Ours(server).text
    assert "No connection to <bdi>Home</bdi>. Is it near" in page and "<button name=f>Forget Home</button>" in page
    Do(server, "Radio.gone = False")
    Do(server, "Later()")
    server.WaitLine("^JOINED")
    server.WaitLine("^AP False")
    assert Saved(tmp_path) == {"name": "Home", "password": "correct horse"} and "<h1>The program" in Ours(server, "/").text


def test_not_there_at_the_start(portal, tmp_path):
    """The portal opens; a failed attempt with another network keeps the saved settings; a button deletes them."""
    (tmp_path / ".wifi.json").write_text('{"name": "Home", "password": "correct horse"}')
    server = portal("Radio.gone = True", isOpen=False)
    server.WaitLine("^CONNECT b'Home'")
    Do(server, "Later()")
    WaitOpen(server)
    Send(server, n="Home", p="something else")
    Do(server, "Radio.gone = False")
    server.WaitLine("^CONNECT b'Home' something else")
    WaitFor(server, "password is wrong")
    assert Saved(tmp_path) == {"name": "Home", "password": "correct horse"}
    assert "Choose the Wi-Fi" in Send(server, f="").text and Saved(tmp_path) is None
    assert "Forget" not in Ours(server).text
    Join(server, "Cafe", "")
    assert Saved(tmp_path) == {"name": "Cafe", "password": ""}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', '{"name": "Home"}', '{"name": 1, "password": ""}', '{"name": "", "password": ""}',
                                  '{"name": "Home", "password": "short"}', '{"name": "Home", "password": 5}'])
def test_a_broken_file(portal, tmp_path, text):
    (tmp_path / ".wifi.json").write_text(text)
    server = portal()
    assert "Choose the Wi-Fi" in Ours(server).text and "CONNECT" not in server.stdout


def test_a_save_that_was_cut_off(portal, tmp_path):
    """FAT can't replace a file atomically: if it was interrupted, the new file is complete."""
    (tmp_path / ".wifi.json.new").write_text('{"name": "Home", "password": "correct horse"}')
    server = portal(isOpen=False)
    server.WaitLine("^JOINED")


def test_settings_that_can_not_be_saved(portal, tmp_path):
    """The board joins anyway."""
    (tmp_path / ".wifi.json.new").mkdir()
    server = portal()
    server.ExpectError("OSError|IsADirectoryError")
    Join(server)
    server.SeenError("a call on the engine")
    assert "joined <bdi>Home</bdi>" in Ours(server).text


@pytest.mark.parametrize("number", [80, 443])
def test_usual_ports_are_not_in_its_address(portal, number):
    """443: with RedirectToHTTPS there is a listener on port 80, too."""
    server = portal("mws.Ticks.append(lambda: setattr(mws, 'port', %d))" % number)
    assert Ask(server, "/generate_204", "www.google.com").Header("location") == "http://127.0.0.1/wifi"
    page = Ask(server, "/wifi", "127.0.0.1")
    form = "n=Home&p=correct+horse&t=" + Token(page)
    assert "Connecting" in Ask(server, "/wifi", "127.0.0.1", "POST", body=form.encode()).text
    server.WaitLine("^JOINED")
    assert "<a href=http://127.0.0.1/>http://127.0.0.1/</a>" in Ask(server, "/wifi", "127.0.0.1").text


def test_captive_portal_api(portal):
    """RFC 8908 section 5."""
    server = portal()
    accept = {"Accept": "application/captive+json"}
    answer = Ours(server, headers=accept)
    assert answer.mediaType == "application/captive+json" and answer.Header("cache-control") == "no-store"
    assert answer.Json() == {"captive": True, "user-portal-url": "http://127.0.0.1:%d/wifi" % server.port}
    Join(server)
    assert Ours(server, headers=accept).Json()["captive"] is False


def test_its_own_network_with_a_password(portal):
    server = portal("import functools\nmicroWebPortal.Provision = (lambda make: lambda mws, **kw: make(mws, password='12345678', **kw))"
                    "(microWebPortal.Provision)".replace("import functools\n", ""))
    own = server.Seen("^OWN (.*)$").group(1)
    assert "'security': 4194308" in own and "'password': '12345678'" in own and "'essid': 'My <lamp>'" in own


def test_stop_and_start(serve, modulePath):
    """The DNS server is started again, and nothing of the previous run remains."""
    program = PROGRAM.replace("mws.Start(threaded=False)", """
mws.Start(threaded=True)
while not portal.isOpen:
    time.sleep(0.05)
mws.Stop()
print("LINKS", len(mws.links), mws.MaxConnections)
mws.Start(threaded=False)
""").replace("_thread.start_new_thread(Console, ())", "")
    server = serve(program, modulePath=modulePath)
    server.WaitLine("^LINKS 0 4")
    server.WaitReady()
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        for _ in range(20):
            sock.sendto(bytes.fromhex("12340100000100000000000001610000010001"), ("127.0.0.1", server.port))
            try:
                assert sock.recv(512)[-4:] == bytes([127, 0, 0, 1])
                break
            except (TimeoutError, socket.timeout, ConnectionRefusedError):
                pass
        else:
            raise AssertionError("no reply")
    assert "Choose the Wi-Fi" in Ours(server).text


def test_a_port_that_is_taken(portal):
    """A desk has no port 53: the page is available anyway."""
    server = portal("import socket\ntaken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                    "taken.bind(socket.getaddrinfo('127.0.0.1', port)[0][-1])")
    assert Ours(server).status == 200
    Join(server)


def test_under_asyncio(portal, runtime):
    server = portal("@MicroWebSrv.route('/later')\nasync def AsyncLater(httpClient, httpResponse):\n"
                    "    httpResponse.WriteResponseOk(contentType='text/plain', content='later')")
    assert Ours(server).status == 200
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(harness.DEADLINE_SEC)
        sock.sendto(bytes.fromhex("12340100000100000000000001610000010001"), ("127.0.0.1", server.port))
        assert sock.recv(512)[-4:] == bytes([127, 0, 0, 1])
    Join(server)
    assert Ours(server, "/later").text == "later"


def test_sessions_and_passwords_of_the_program(portal):
    """They protect the site, but can't lock the portal."""
    server = portal("import microWebAuth, microWebSecurity\nmicroWebAuth.Protect(mws, '/', {'ann': microWebAuth.HashPassword('secret', 1)})\n"
                    "microWebSecurity.SecurityHeaders(mws)")
    assert Ours(server).status == 200 and Ours(server, "/").status == 302
    Join(server)
    assert Ours(server).status == 200 and Ours(server, "/").status == 401
    assert Ours(server).Header("content-security-policy") == "frame-ancestors 'none'"
    Do(server, "Later()")
    server.WaitLine("^AP False")
    assert Ours(server).status == 401


def test_who_may_read_the_site_may_not_read_the_token(portal):
    server = portal("import microWebCors; microWebCors.AllowOrigins(mws, '*')")
    page = Ours(server, headers={"Origin": "http://evil.example"})
    assert b"name=t value=" in page.body
    assert page.Header("access-control-allow-origin") == ""
