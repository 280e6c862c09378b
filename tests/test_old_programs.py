"""Programs in the style of the old server run unmodified: on each runtime, in each layout, with real requests.

ondevice/board.py replaces their board: it gives each server a free port, and a console that can be closed.
"""

import json
import urllib.parse

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import harness
from harness import Fetch, RawClient, RequestBytes

PROGRAMS = harness.ROOT / "tests" / "old_programs"
BOARD = harness.ON_DEVICE / "board.py"

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def board(runtime, tmp_path):
    """board(program, ...) -> the Server. Afterwards its console is closed, and it must stop and exit with code 0."""
    servers = []

    def Board(program, files=None, folder="", module="microWebSrv", onPath=True, endless=False):
        home = harness.CopySources(tmp_path / folder)
        for name, content in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        server = harness.Server(runtime, BOARD, tmp_path, (home if onPath else tmp_path,),
                                args=(PROGRAMS / (program + ".py"), module))
        servers.append((server, endless))
        return server

    yield Board
    try:
        for server, endless in servers:
            server.Close() if endless else server.Finish()
    finally:
        for server, _ in servers:
            server.Kill()
            print(server.Report())


def Text(response, status=200):
    assert response.status == status, response
    return response.text


def Ws(server, path="/", **options):
    return connect("ws://127.0.0.1:%d%s" % (server.port, path), compression=None, proxy=None,
                   open_timeout=harness.DEADLINE_SEC, close_timeout=harness.DEADLINE_SEC, **options)


# ------------------------------------------------------------------------------------------------ routes

def test_form_decorators(board):
    server = board("form_decorators")
    page = Fetch(server.port, "/test")
    assert page.status == 200 and page.Header("content-type") == "text/html; charset=UTF-8"
    assert "Client IP address = 127.0.0.1\n" in page.text
    answer = Fetch(server.port, "/test", "POST", FORM, b"firstname=Zo%C3%AB+%26+Co&lastname=%3Cb%3E%22o%27h%22")
    assert Text(answer) == "<p>Firstname = Zoë &amp; Co<br />Lastname = &lt;b&gt;&quot;o&apos;h&quot;</p>"
    assert answer.Header("content-length") == str(len(answer.body))
    assert Text(Fetch(server.port, "/edit")) == "EDIT"
    assert Text(Fetch(server.port, "/edit/123")) == "EDIT|index=123+1=124"
    assert Text(Fetch(server.port, "/edit/7/abc/b-a.r%20%C3%A9")) == "EDIT|index=7+1=8|foo=b-a.r é"
    refused = Fetch(server.port, "/test", "PUT", FORM, b"a=1")
    assert refused.status == 405
    assert {word.strip() for word in refused.Header("allow").split(",")} >= {"GET", "HEAD", "POST", "OPTIONS"}


def test_route_table(board):
    server = board("route_table")
    for target, expected in (
            ("/same", "first"), ("/slash", "second"), ("/slash/", "second"), ("/same/", "first"),
            ("/Case", "second"), ("/case", "any:/case"),
            ("/edit/12/x.y", "int 12|x.y"), ("/edit/12a/3", "str 12a|3"), ("/edit/007/a%20b", "str 007|a b"),
            ("/edit/1/2/3", "any:/edit/1/2/3"), ("/", "any:/"), ("/deep/er/path.html?q=1", "any:/deep/er/path.html")):
        assert (target, Text(Fetch(server.port, target))) == (target, expected)
    assert Text(Fetch(server.port, "/post-test", "POST", FORM, b"a=1")) == "post:POST"
    assert Fetch(server.port, "/nowhere", "POST").status == 405


def test_rest_thermostat(board):
    server = board("rest_thermostat")

    def Put(room, body):
        return Fetch(server.port, "/api/rooms/" + room, "PUT", {"Content-Type": "application/json"}, body)

    assert Fetch(server.port, "/api/rooms").Json() == {}
    done = Put("kitchen", b'{"wanted": 21.5}')
    assert (done.status, done.Json(), done.Header("x-room")) == (200, {"ok": True}, "kitchen")
    assert done.Header("content-type").startswith("application/json")
    assert Put("caf%C3%A9", json.dumps({"wanted": "é"}).encode()).status == 200
    assert Fetch(server.port, "/api/rooms/kitchen").Json() == {"room": "kitchen", "wanted": 21.5}
    assert Fetch(server.port, "/api/rooms").Json() == {"kitchen": 21.5, "café": "é"}
    for broken in (b"{", b'{"wanted": ', b"\xff\xfe", b"wanted=1"):
        answer = Put("hall", broken)
        assert (answer.status, answer.Json()) == (400, {"error": "bad json: None"}), broken
    assert Put("hall", b"[1]").Json() == {"error": "bad json: [1]"}
    missing = Fetch(server.port, "/api/rooms/hall")
    assert (missing.status, missing.Json()) == (404, {"error": "no room hall"})
    assert Fetch(server.port, "/api/last").Json() == ["café", "thermostat", 2]
    deleted = Fetch(server.port, "/api/rooms/kitchen", "DELETE")
    assert (deleted.status, deleted.body) == (204, b"")
    assert Fetch(server.port, "/api/rooms/kitchen", "DELETE").status == 404
    assert Text(Fetch(server.port, "/api/nothing")) == "null"


def test_led_closures(board):
    server = board("led_closures")
    moved = Fetch(server.port, "/green/on", "POST")
    assert (moved.status, moved.Header("location"), moved.body) == (302, "/leds?changed=green", b"")
    with httpx.Client(base_url=server.Url(), follow_redirects=True, trust_env=False) as client:
        assert client.post("/blue/on").json() == {"leds": {"red": 0, "green": 1, "blue": 1}, "changed": "blue"}
        assert client.post("/green/off").json() == {"leds": {"red": 0, "green": 0, "blue": 1}, "changed": "green"}
        assert client.get("/leds").json()["changed"] is None


def test_peeking(board):
    server = board("peeking")
    seen = Fetch(server.port, "/peek?a=1&b=x+y%21").Json()
    assert seen == {"ip": "127.0.0.1", "port": True, "same": True, "path": "/peek", "title": "peeking",
                    "params": {"a": "1", "b": "x y!"}, "server": True}
    seen = Fetch(server.port, "/public?a=1&empty=&%C3%A9=%26", headers={"X-ThInG": "v 1"}).Json()
    assert seen == {"method": "GET", "total": "/public?a=1&empty=&%C3%A9=%26", "path": "/public",
                    "query": "a=1&empty=&%C3%A9=%26", "params": [["a", "1"], ["empty", ""], ["é", "&"]],
                    "has": [True, False, 7], "header": ["v 1"] * 3, "names": ["x-thing"], "none": None,
                    "type": None, "length": 0, "body": 0}
    assert Fetch(server.port, "/lookup").Json() == {"found": True, "id": 12, "none": [True, True]}
    assert Fetch(server.port, "/item/0").Json() == {"id": 0}


def test_status_codes(board):
    server = board("status_codes")
    server.ExpectError("KeyError")
    for what, status in (("bad", 400), ("forbidden", 403), ("notfound", 404), ("method", 405), ("internal", 500),
                         ("notimpl", 501), ("modified", 304), ("teapot", 418), ("json", 409), ("redirect", 302),
                         ("created", 201), ("empty", 200)):
        answer = Fetch(server.port, "/do/" + what)
        assert answer.status == status, what
        server.WaitLine("^%s True$" % what)
        if what == "json":
            assert answer.Json() == {"why": "busy"}
        elif what == "created":
            assert (answer.text, answer.Header("location"), answer.Header("content-length")) == ("café", "/new", "5")
        elif what == "redirect":
            assert answer.Header("location") == "/elsewhere?x=1"
        elif what in ("modified", "empty"):
            assert answer.body == b""
    assert Fetch(server.port, "/do/unknown").status == 204
    fault = Fetch(server.port, "/boom")
    assert fault.status == 500 and "KeyError" not in fault.text and "a fault" not in fault.text
    assert Fetch(server.port, "/do/teapot").status == 418, "the server lives on"
    with RawClient(server.port) as client:
        client.Send(RequestBytes("GET", "/switch", {"Connection": "Upgrade", "Upgrade": "chat"}))
        switched = client.ReadResponse(upgrade="chat")
    assert (switched.status, switched.Header("upgrade"), switched.Header("x-chat")) == (101, "chat", "1")
    assert switched.Header("connection").lower() == "upgrade"


# ----------------------------------------------------------------------------------------------- bodies

@pytest.mark.parametrize("size", (0, 1, 63, 64, 65, 1000, 16000))
def test_upload_loop(board, size):
    server = board("upload_loop")
    data = bytes(index * 7 % 251 for index in range(size))
    check = 0
    for byte in data:
        check = (check * 31 + byte) % 65521
    answer = Fetch(server.port, "/upload", "POST", {"Content-Type": "image/x-test; q=1"}, data)
    assert answer.Json() == {"type": "image/x-test; q=1", "length": size, "total": size, "check": check,
                             "enough": True}
    answer = Fetch(server.port, "/count", "POST", {}, data)
    assert (answer.body, answer.Header("x-left")) == (data, "0")
    assert answer.Header("content-type") == "application/octet-stream"
    assert Text(Fetch(server.port, "/twice", "POST", {}, data)) == "%d,0,True" % size


def test_upload_in_chunks_and_unread(board):
    server = board("upload_loop")
    with RawClient(server.port) as client:
        head = b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.Send(head + b"3\r\nabc\r\n" + b"40;x=y\r\n" + b"d" * 64 + b"\r\n0\r\nT: 1\r\n\r\n")
        assert client.ReadResponse("POST").Json()["total"] == 67
        client.Send(RequestBytes("POST", "/ignored", body=b"GET /twice HTTP/1.1\r\n\r\n"))
        assert Text(client.ReadResponse("POST")) == "not read"
        client.Send(RequestBytes("POST", "/twice", body=b"12345"))
        assert Text(client.ReadResponse("POST")) == "5,0,True"


def test_login(board):
    server = board("login")
    assert Fetch(server.port, "/me").status == 403
    assert Fetch(server.port, "/login", "POST", FORM, b"user=Ann&password=guess").status == 401
    body = ("user=%s&password=%s" % (urllib.parse.quote("Ånn B"), urllib.parse.quote_plus("s3cret & more"))).encode()
    welcome = Fetch(server.port, "/login", "POST", FORM, body)
    assert (welcome.status, welcome.Header("location")) == (303, "/me")
    assert welcome.Headers("set-cookie") == ["sid=id1; HttpOnly", "lang=en"]
    assert Text(Fetch(server.port, "/me", headers={"Cookie": "lang=en; sid=id1"})) == "Hello Ånn B"
    assert Fetch(server.port, "/me", headers={"Cookie": "sid=id2"}).status == 403


def test_captive(board, tmp_path):
    server = board("captive")
    assert Text(Fetch(server.port, "/")) == "<ul><li>home</li><li>café &lt;guest&gt;</li></ul>"
    for probe in ("/generate_204", "/hotspot-detect.html", "/connecttest.txt", "/ncsi.txt", "/any/where?x=1"):
        answer = Fetch(server.port, probe, headers={"User-Agent": "CaptiveNetworkSupport"})
        assert (answer.status, answer.Header("location")) == (302, "http://my-device.wifi"), probe
    body = urllib.parse.urlencode({"ssid": "café <guest>", "password": "a+b c"}).encode()
    joined = Fetch(server.port, "/join", "POST", FORM, body)
    assert (joined.status, joined.Header("location")) == (302, "http://my-device.wifi/")
    assert (tmp_path / "wifi.txt").read_text() == "12,5"
    assert Fetch(server.port, "/join", "POST", FORM, b"ssid=other").status == 400


def test_wifi_setup(board, tmp_path):
    server = board("wifi_setup", {"flash/www/index.html": "<h1>Setup</h1>"})
    page = Fetch(server.port, "/")
    assert (page.status, page.text, page.mediaType) == (200, "<h1>Setup</h1>", "text/html")
    wanted = {"name": "Büro & Küche", "ssid": "x=y;z", "pin": "00 12", "empty": ""}
    saved = Fetch(server.port, "/settings", "POST", FORM, urllib.parse.urlencode(wanted).encode())
    assert (saved.status, saved.Header("location")) == (302, "/")
    assert Fetch(server.port, "/settings").Json() == wanted
    assert json.loads((tmp_path / "settings.json").read_bytes()) == wanted


# ------------------------------------------------------------------------------------------------ files

SITE = {"www/index.html": "<p>html</p>", "www/index.htm": "htm", "www/sub/default.html": "sub", "www/empty.txt": "",
        "www/part.GLB": b"glTF\0", "www/part.stl": "solid", "www/style.css": "p{}", "www/secret.py": "KEY = 1",
        "www/noext": "?", "www/.hidden.html": "no", "outside.html": "no"}


def test_static_site(board):
    server = board("static_site", SITE)
    for line in ("a.html text/html", "b.glb model/gltf-binary", "dir/c.stl model/stl", "d.txt text/x-ours",
                 "e.py None", "none None"):
        assert "TYPE %s\n" % line in server.stdout
    for target, body, kind in (("/", b"<p>html</p>", "text/html"), ("/index.htm", b"htm", "text/html"),
                               ("/sub/", b"sub", "text/html"), ("/empty.txt", b"", "text/x-ours"),
                               ("/part.GLB", b"glTF\0", "model/gltf-binary"), ("/part.stl", b"solid", "model/stl"),
                               ("/style.css?v=3", b"p{}", "text/css")):
        for method in ("GET", "HEAD"):
            answer = Fetch(server.port, target, method)
            assert (target, answer.status, answer.mediaType) == (target, 200, kind)
            assert answer.Header("content-length") == str(len(body))
            assert answer.body == (body if method == "GET" else b"")
    for target, status in (("/secret.py", 403), ("/noext", 403), ("/nowhere.html", 404), ("/.hidden.html", 404)):
        assert (target, Fetch(server.port, target).status) == (target, status)
    for target in ("/../outside.html", "/%2e%2e/outside.html", "/sub/..%2f..%2foutside.html", "/..%5coutside.html",
                   "//outside.html", "/sub/%00/../../outside.html", "/www/../../outside.html"):
        answer = Fetch(server.port, target)
        assert answer.status in (400, 403, 404) and answer.body != b"no", target


def test_downloads(board):
    server = board("downloads", {"www/index.html": "<p>page</p>"})
    log = "".join("%d;%d\n" % (number, number * number) for number in range(1000))
    answer = Fetch(server.port, "/log")
    assert (answer.status, answer.text, answer.Header("x-lines")) == (200, log, "1000")
    assert answer.Header("content-disposition").startswith('attachment; filename="My log.csv"')
    assert answer.mediaType == "text/csv"
    server.WaitLine("^LOG SENT$")
    answer = Fetch(server.port, "/show")
    assert (answer.status, answer.text) == (200, log)
    assert (answer.mediaType, answer.Header("cache-control")) == ("text/plain", "no-store")
    assert answer.Header("content-disposition") is None
    assert Text(Fetch(server.port, "/page")) == "<p>page</p>"
    server.WaitLine("^PAGE True$")
    assert Fetch(server.port, "/gone").status == 404
    server.WaitLine("^GONE (True|False)$")


def test_pyhtml_site(board):
    server = board("pyhtml_site", {
        "www/index.pyhtml": "{{ py }}\n  def f(x) :\n    return x * 2\n{{ end }}<p>{{ f(21) }}</p>",
        "www/index.html": "not this one",
        "www/plain.pyhtml": "{{ if nothing }}yes{{ else }}no{{ end }}",
        "www/status.pyhtml": "<h1>{{ title }}</h1>{{ include row.pyhtml }}",
        "www/row.pyhtml": "{{ for s in sensors }}<b>{{ s[0] }}={{ s[1] }}</b>{{ end }}"})
    page = Fetch(server.port, "/")
    assert page.text == "<p>42</p>" and page.Header("content-type").startswith("text/html")
    answer = Fetch(server.port, "/status")
    assert answer.text == "<h1>Status &lt;1&gt;</h1><b>in=21.5</b><b>out=-3</b>"
    assert answer.Header("cache-control") == "no-cache"
    assert Text(Fetch(server.port, "/plain")) == "no"
    assert Text(Fetch(server.port, "/plain.pyhtml")) == "no"
    assert Fetch(server.port, "/missing").status == 404


# ---------------------------------------------------------------------------------------------- streams

class _Enough(Exception):
    pass


def _Frames(data):
    """-> the numbers of the complete pictures in a multipart/x-mixed-replace body."""
    numbers = []
    at = 0
    while True:
        start = data.find(b"\r\n\r\n", at)
        if start < 0:
            return numbers
        head = data[at:start]
        assert head.startswith(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: "), head
        end = start + 4 + int(head.rsplit(b" ", 1)[1])
        if len(data) < end + 2:
            return numbers
        assert data[start + 4:start + 6] == b"\xff\xd8" and data[end - 2:end + 2] == b"\xff\xd9\r\n"
        numbers.append(data[start + 6])
        at = end + 2


def test_camera(board):
    server = board("camera")
    answer = Fetch(server.port, "/few")
    assert answer.Header("content-type") == "multipart/x-mixed-replace; boundary=frame"
    assert answer.body == b"--frame\r\n\r\n0\r\n--frame\r\n\r\n1\r\n--frame\r\n\r\n2\r\n--frame--\r\n"
    pieces = []

    def Watch(piece):
        pieces.append(piece)
        if len(_Frames(b"".join(pieces))) >= 5:
            raise _Enough

    for _ in range(2):
        pieces.clear()
        with RawClient(server.port) as viewer:
            viewer.Send(RequestBytes("GET", "/stream"))
            with pytest.raises(_Enough):
                viewer.ReadResponse(onData=Watch)
        assert _Frames(b"".join(pieces))[:5] == [0, 1, 2, 3, 4]
        seen = Fetch(server.port, "/seen").Json()
    assert len(seen) == 2 and min(seen) >= 5, "both viewers left, and each time the loop ended"


def test_camera_and_a_viewer_who_never_reads(board):
    server = board("camera")
    with RawClient(server.port, receiveBuffer=4096) as viewer:
        viewer.Send(RequestBytes("GET", "/stream"))
        viewer.ReadUntil(b"--frame")
        with RawClient(server.port, timeoutSec=45) as other:
            other.Send(RequestBytes("GET", "/seen"))
            assert len(other.ReadResponse().Json()) == 1


# ------------------------------------------------------------------------------------------- web sockets

def test_ws_echo(board):
    server = board("ws_echo")
    with Ws(server, "/chat?x=1") as ws:
        server.WaitLine("^WS ACCEPT /chat$")
        for text in ("hello", "", "é€😀", "x" * 200):
            ws.send(text)
            assert ws.recv(harness.DEADLINE_SEC) == "Reply for " + text
        for data in (b"", b"abc", bytes(range(256))):
            ws.send(data)
            assert ws.recv(harness.DEADLINE_SEC) == data[::-1]
    server.WaitLine("^WS CLOSED$")
    with Ws(server) as ws:
        ws.send("bye")
        with pytest.raises(Exception) as closed:
            ws.recv(harness.DEADLINE_SEC)
        assert type(closed.value).__name__ == "ConnectionClosedOK"
    server.WaitLine("^CLOSED BY US (True|False)$")
    server.WaitLine("^WS CLOSED$")
    with Ws(server) as ws:
        ws.send("y" * 257)
        with pytest.raises(Exception) as closed:
            ws.recv(harness.DEADLINE_SEC)
        assert closed.value.rcvd.code == 1009
    server.WaitLine("^WS CLOSED$")


def test_ws_dashboard(board):
    server = board("ws_dashboard", {"www/index.html": "page"})

    def Expect(text, *sockets):
        assert [ws.recv(harness.DEADLINE_SEC) for ws in sockets] == [text] * len(sockets)

    with Ws(server, "/?nick=Ann") as ann:
        Expect("+Ann", ann)
        with Ws(server, "/x") as bob:
            Expect("+anonymous", ann, bob)
            ann.send("hi")
            Expect("Ann 1: hi", ann, bob)
            bob.send("ho")
            Expect("anonymous 1: ho", ann, bob)
            ann.send("again")
            Expect("Ann 2: again", ann, bob)
            bob.send(b"\0\1")
            Expect(b"\0\1", bob)
            assert Fetch(server.port, "/push").Json() == {"sockets": 2}
            Expect("pushed", ann, bob)
            assert Text(Fetch(server.port, "/")) == "page"
        Expect("-anonymous", ann)
        assert Fetch(server.port, "/push").Json() == {"sockets": 1}
        Expect("pushed", ann)


def test_no_accept_callback(board):
    server = board("form_decorators")
    with pytest.raises(InvalidStatus) as refused:
        Ws(server)
    assert refused.value.response.status_code == 501


# ------------------------------------------------------------------------------------- lives and layouts

def test_stop_restart(board):
    server = board("stop_restart")
    for number in (1, 2, 3):
        if number > 1:
            server.WaitReady()
        server.WaitLine("^STARTED True$")
        assert Text(Fetch(server.port, "/hello")) == "round %d" % number
        with RawClient(server.port) as idle, RawClient(server.port) as slow:
            slow.Send(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HT")
            assert Text(slow.ReadResponse()) == "round %d" % number
            idle.Send(RequestBytes("GET", "/hello"))
            assert Text(idle.ReadResponse()) == "round %d" % number
            assert Text(Fetch(server.port, "/stop", "POST")) == "stopping"
            idle.ExpectClose()
            # The program restarts the server at once, while this unfinished request still has its grace time.
            slow.Send(b"TP/1.1\r\nHost: x\r\n\r\n")
            assert Text(slow.ReadResponse()) in ("round %d" % number, "round %d" % (number + 1))
            slow.ExpectClose()
        server.WaitLine("^STOPPED False$")
        if number < 3:
            continue
        with pytest.raises(ConnectionRefusedError):
            RawClient(server.port)
    assert server.stdout.startswith("BEFORE False\n")


def test_sensor_loop(board):
    server = board("sensor_loop", endless=True)
    values = [Fetch(server.port, "/sensor").Json()["value"] for _ in range(20)]
    assert values == sorted(values) and values[-1] > 0


def test_two_servers(board):
    server = board("two_servers")
    people = server.port
    server.WaitReady()
    machines = server.port
    assert people != machines
    assert Text(Fetch(people, "/who")) == "people"
    assert Text(Fetch(machines, "/who")) == "machines"
    assert Text(Fetch(machines, "/only")) == "only here"
    assert Fetch(people, "/only").status == 404


@pytest.mark.parametrize("program, folder, module, onPath, isPackage", [
    ("in_package", "web", "web.microWebSrv", False, True),
    ("in_package", "web", "web.microWebSrv", False, False),
    ("in_lib", "lib", "lib.microWebSrv", False, False),
    ("in_lib", "lib", "microWebSrv", True, False),
    ("in_lib", "", "microWebSrv", True, False),
])
def test_layouts(board, program, folder, module, onPath, isPackage):
    """The optional files are found next to the core: beside the program, in lib/, or in a package."""
    files = {"www/index.pyhtml": "{{ 6 * 7 }}"}
    if isPackage:
        files["web/__init__.py"] = ""
    server = board(program, files, folder, module, onPath)
    assert Text(Fetch(server.port, "/hello")) == ("from a package" if program == "in_package" else "from lib")
    assert Text(Fetch(server.port, "/")) == "42"
    with Ws(server) as ws:
        ws.send("quiet")
        assert ws.recv(harness.DEADLINE_SEC) == "QUIET"


def test_every_program_is_run():
    text = (PROGRAMS.parent / "test_old_programs.py").read_text(encoding="utf-8")
    assert [path.stem for path in PROGRAMS.glob("*.py") if '"%s"' % path.stem not in text] == []
