"""The short programs in examples/ run unchanged on each runtime, and do what their first lines say."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import harness
from harness import Fetch

EXAMPLES = harness.ROOT / "examples"
DESK = harness.ON_DEVICE / "desk.py"
DEADLINE = harness.DEADLINE_SEC
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def example(serve, modulePath):
    """example(name) -> the Server; it must stop on request and exit with code 0."""
    servers = []

    def Example(name):
        servers.append(serve(DESK, modulePath=(*modulePath, EXAMPLES), args=(EXAMPLES / (name + ".py"),)))
        return servers[-1]

    yield Example
    for server in servers:
        if server.process.poll() is None:
            server.Finish()


def test_each_example_has_a_test():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {name[5:] for name in globals() if name.startswith("test_") and name[5:] in names}


# The files that each example needs besides microWebSrv.py. It is run with these only.
NEEDS = {"async_tasks": ["microWebAsync"], "captive_portal": ["microWebPortal"], "dashboard": ["microWebLogin", "microWebAuth", "microWebSession", "microWebSecurity", "microWebEvents"],
         "door": ["microWebSession"], "door_lock": ["microWebAuth"],
         "file_manager": ["microWebFiles", "microWebUpload"], "hello": [],
         "https": ["microWebTls"], "live_chart": ["microWebEvents"], "remote_control": ["microWebSocket", "microWebSocketPlus"],
         "rest_api": ["microWebRoutes", "microWebJson", "microWebCors"], "sensor_page": [],
         "wifi_settings": ["microWebPortal"]}


def Alone(name, folder):
    """A folder like on a board: the example and the files that it needs."""
    for module in ["microWebSrv", *NEEDS[name]]:
        shutil.copy(harness.SRC / (module + ".py"), folder)
    shutil.copy(EXAMPLES / (name + ".py"), folder)
    return folder / (name + ".py")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT")
@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
@pytest.mark.parametrize("name", sorted(set(NEEDS) - {"https"}))
def test_ctrl_c_ends_it_without_a_traceback(serve, tmp_path, name):
    """One Ctrl-C ends it; only the files named in its first lines are there."""
    text = (EXAMPLES / (name + ".py")).read_text(encoding="utf-8").partition('"""\n\n')[0]
    assert set(re.findall(r"microWeb(?!Srv)\w+", text)) == set(NEEDS[name])
    (tmp_path / "board").mkdir()
    server = serve(DESK, modulePath=(tmp_path / "board",), args=(Alone(name, tmp_path / "board"),))
    path = {"sensor_page": "/reading", "async_tasks": "/next", "dashboard": "/login"}.get(name, "/")
    assert Fetch(server.port, path).status in (200, 404)
    server.process.send_signal(signal.SIGINT)
    server.WaitExit()
    assert re.sub("MicroWebSrv: port .*\n", "", server.stderr) == ""       # except for Start()'s banner


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT")
@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
def test_https(serve, tmp_path):
    """With only the files that it names, and a certificate made by the tool."""
    assert harness.LoadTool("make_certificate").Main(["localhost", "127.0.0.1", "-o", str(tmp_path)]) == 0
    (tmp_path / "board").mkdir()
    server = serve(DESK, modulePath=(tmp_path / "board",), args=(Alone("https", tmp_path / "board"),))
    plain = int(server.Seen(r"PLAIN (\d+)").group(1))
    assert Fetch(plain, "/a").Header("location") == "https://localhost:%d/a" % server.port
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    with urllib.request.urlopen("https://localhost:%d/" % server.port, timeout=DEADLINE, context=context) as answer:
        assert answer.read() == b"<h1>this connection is encrypted</h1>"
    server.process.send_signal(signal.SIGINT)
    server.WaitExit()
    assert re.sub("MicroWebSrv: port .*\n", "", server.stderr) == ""


FAULTS = {
    "https.py": ("There is no cert.pem with its key.pem in this folder: tools/make_certificate.py makes them", 1),
    "demo/main.py PORT": ("The demo can't start: can't listen on 127.0.0.1, port PORT: ", 1),
    "demo/main.py abc": ("The port must be a number from 0 to 65535, not abc", 2),
    "demo/main.py 65536": ("The port must be a number from 0 to 65535, not 65536", 2),
    "control_panel/main.py PORT": ("The control panel can't start: can't listen on 127.0.0.1, port PORT: ", 1),
    "control_panel/main.py 65536": ("The control panel can't start: port must be ", 1),
}


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
@pytest.mark.parametrize("words", FAULTS)
def test_what_keeps_it_from_starting_is_one_line(runtime, modulePath, tmp_path, words):
    """No traceback, no address that nobody serves, and no password that does not count."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        name, *args = words.replace("PORT", port).split()
        command, env = harness.Command(runtime, EXAMPLES / name, modulePath, (), args)
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=DEADLINE)
    line, status = FAULTS[words]
    assert done.stdout.startswith(line.replace("PORT", port)) and done.stdout.count("\n") == 1, done.stdout
    assert (done.stderr, done.returncode) == ("", status)
    assert list(tmp_path.iterdir()) == [], "nothing is kept of a panel that has not started"


def test_hello(example):
    server = example("hello")
    page = Fetch(server.port, "/")
    assert page.mediaType == "text/html" and "/hello/World" in page.text
    assert Fetch(server.port, "/hello/Z%C3%BCrich%20West").text == "Hello, Z\u00fcrich West!"


def test_door_lock(example):
    server = example("door_lock")
    anna = ("Authorization", "Basic YW5uYTpzZWNyZXQ=")
    assert Fetch(server.port, "/door/").Header("www-authenticate") == 'Basic realm="Door", charset="UTF-8"'
    assert "Hello, anna" in Fetch(server.port, "/door/", headers=[anna]).text
    for origin, status in (("http://evil.example", 403), ("http://localhost", 302), ("null", 403)):
        assert Fetch(server.port, "/door/open", "POST", [anna, ("Origin", origin)]).status == status
    robot = ("Authorization", "Bearer 7fgf-2k0x-9qqw")
    assert Fetch(server.port, "/api/open", "POST", [robot]).Json() == {"open": True, "by": "doorbell"}
    assert Fetch(server.port, "/api/open", "POST", [anna]).status == 401
    page = Fetch(server.port, "/door/", headers=[anna]).text
    assert page.count("<li>") == 2 and "anna has opened it" in page and "doorbell has opened it" in page


def test_rest_api(example):
    server = example("rest_api")
    assert Fetch(server.port, "/tasks").Json() == []
    kind = {"Content-Type": "application/json", "Origin": "https://panel.example"}
    made = Fetch(server.port, "/tasks", "POST", kind, b'{"title": "water"}')
    assert (made.status, made.Header("location"), made.Json()["id"]) == (201, "/tasks/1", 1)
    assert made.Header("access-control-allow-origin") == "https://panel.example"
    asked = Fetch(server.port, "/tasks/1", "OPTIONS", {**kind, "Access-Control-Request-Method": "DELETE"})
    assert (asked.status, asked.Header("access-control-allow-methods")) == (204, "DELETE, GET, HEAD, OPTIONS, PUT")
    assert Fetch(server.port, "/tasks/1").Json() == {"id": 1, "title": "water", "done": False}
    changed = Fetch(server.port, "/tasks/1", "PUT", kind, b'{"title": "water", "done": true}')
    assert changed.Json() == {"id": 1, "title": "water", "done": True}
    assert Fetch(server.port, "/tasks").Json() == [changed.Json()]
    assert Fetch(server.port, "/tasks/1", "DELETE").status == 204
    assert [Fetch(server.port, "/tasks/1", method).status for method in ("GET", "DELETE")] == [404, 404]
    for body in (b"", b"[]", b'{"title": 3}', b"{", b'{"done": true}'):
        for target, method in (("/tasks", "POST"), ("/tasks/1", "PUT")):
            answer = Fetch(server.port, target, method, kind, body)
            assert (answer.status, answer.mediaType) == (400, "application/problem+json")
    assert Fetch(server.port, "/tasks", "POST", (), b'{"title": "water"}').status == 415
    assert Fetch(server.port, "/tasks/one").Json()["title"] == "Not Found"
    assert Fetch(server.port, "/tasks", "PATCH").Header("allow") == "GET, HEAD, OPTIONS, POST"


def test_rest_api_has_tests():
    """Run its tests with pytest in a separate folder, without our settings."""
    path = EXAMPLES / "rest_api.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 70
    done = subprocess.run([sys.executable, "-B", "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", EXAMPLES, "-p", "no:cacheprovider", path],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_sensor_page(example):
    server = example("sensor_page")
    assert 'fetch("/reading")' in Fetch(server.port, "/").text
    answer = Fetch(server.port, "/reading")
    assert set(answer.Json()) == {"percent", "uptimeSec"} and 0 <= answer.Json()["percent"] <= 100
    assert answer.Header("cache-control") == "no-store"


def test_wifi_settings(example, tmp_path):
    """A portal on the desk: its page and form; then the site, whose button forgets the network."""
    server = example("wifi_settings")
    url = "http://127.0.0.1:%d/wifi" % server.port
    ours = {"Host": "127.0.0.1:%d" % server.port}

    def Ask(path, method="GET", body=b""):
        with harness.RawClient(server.port) as client:
            client.Send(harness.RequestBytes(method, path, {**FORM, "Connection": "close"}, body, host=ours["Host"]))
            return client.ReadResponse()

    def Wait(path, text):
        while text not in (answer := Ask(path)).text and answer.Header("location") != text:
            pass
        return answer

    Wait("/", url)
    page = Ask("/wifi").text
    assert "<bdi>&lt;Neighbour&gt; &amp; Co</bdi>" in page and "<bdi>Home</bdi>" in page
    token = re.search("name=t value=([0-9a-f]+)", page).group(1).encode()
    assert "Connecting" in Ask("/wifi", "POST", b"n=Home&p=correct+horse&t=" + token).text
    server.WaitLine("^Open http://127.0.0.1:%d/" % server.port)
    assert json.loads((tmp_path / "wifi.json").read_text()) == {"name": "Home", "password": "correct horse"}
    assert "My address is 127.0.0.1." in Ask("/").text
    assert Ask("/forget", "POST").status == 200
    Wait("/", url)
    assert not (tmp_path / "wifi.json").exists()


def test_captive_portal(example):
    server = example("captive_portal")
    assert "Welcome" in Fetch(server.port, "/").text
    for path in ("/generate_204", "/hotspot-detect.html", "/connecttest.txt", "/any/path"):
        answer = Fetch(server.port, path, headers={"User-Agent": "CaptiveNetworkSupport"})
        assert (answer.status, answer.Header("location")) == (302, "http://127.0.0.1:%d/" % server.port)


def test_dashboard(example):
    """Without a login nothing is shown; a pressed switch appears in the stream of values; logout ends the stream."""
    assert len((EXAMPLES / "dashboard.py").read_text("utf-8").splitlines()) <= 100
    server = example("dashboard")
    assert Fetch(server.port, "/").status == 302 and Fetch(server.port, "/switch/lamp", "POST").status in (401, 403)
    entered = Fetch(server.port, "/login?next=/", "POST", FORM, b"name=ada&password=engine")
    assert (entered.status, entered.Header("location")) == (302, "/")
    cookie = {"Cookie": entered.Header("set-cookie").split(";")[0]}
    page = Fetch(server.port, "/", headers=cookie).text
    token = {**cookie, "X-CSRF-Token": re.search('name="csrf" value="([^"]+)"', page).group(1)}
    assert "Dashboard of ada" in page and "%(" not in page
    with harness.RawClient(server.port) as client:
        client.Send(harness.RequestBytes("GET", "/values", cookie.items()))
        client.ReadUntil(b'"lamp": false')
        assert Fetch(server.port, "/switch/lamp", "POST", cookie).status == 403
        assert Fetch(server.port, "/switch/door", "POST", token).status == 404
        assert Fetch(server.port, "/switch/lamp", "POST", token).Json() == {"lamp": True}
        client.ReadUntil(b'"lamp": true')
    assert Fetch(server.port, "/logout", "POST", token).status == 302
    assert Fetch(server.port, "/", headers=cookie).status == 302


def test_door(example):
    server = example("door")
    page = Fetch(server.port, "/")
    assert "Enter the code." in page.text and not page.Header("set-cookie")
    assert Fetch(server.port, "/open", "POST").status == 403
    assert Fetch(server.port, "/", "POST", dict(FORM, Origin="http://evil.example"), b"code=2580").status == 403
    assert "This code is wrong" in Fetch(server.port, "/", "POST", FORM, b"code=1").text
    entered = Fetch(server.port, "/", "POST", FORM, b"code=2580")
    cookie = {"Cookie": entered.Header("set-cookie").split(";")[0]}
    page = Fetch(server.port, "/", headers=cookie).text
    token = re.search('name="csrf" value="([^"]+)"', page).group(1)
    assert "You are logged in" in page and Fetch(server.port, "/open", "POST", cookie).status == 403
    opened = Fetch(server.port, "/open", "POST", {**cookie, "X-CSRF-Token": token})
    assert (opened.status, opened.Header("location")) == (302, "/")
    server.Seen("^The door opens")
    assert Fetch(server.port, "/leave", "POST", {**cookie, "X-CSRF-Token": token}).status == 302
    assert "Enter the code." in Fetch(server.port, "/", headers=cookie).text
    for _ in range(5):
        assert Fetch(server.port, "/", "POST", FORM, b"code=1").status == 200
    assert Fetch(server.port, "/", "POST", FORM, b"code=2580").status == 429


def test_live_chart(example):
    server = example("live_chart")
    assert 'new EventSource("/readings")' in Fetch(server.port, "/").text
    with harness.RawClient(server.port) as client:
        client.Send(harness.RequestBytes("GET", "/readings"))
        client.ReadUntil(b"\r\n\r\n")
        for _ in range(2):
            event = client.ReadUntil(b"\n\n").partition(b"event: ")[2].split(b"\n")
            assert event[0] == b"reading" and 0 <= json.loads(event[1][6:]) <= 100


def test_remote_control(example):
    server = example("remote_control")
    assert 'new WebSocket("ws://" + location.host + "/switches")' in Fetch(server.port, "/").text
    url = "ws://127.0.0.1:%d/switches" % server.port
    with connect(url, proxy=None) as first, connect(url, proxy=None) as second:
        off = {"lamp": 0, "pump": 0, "fan": 0}
        assert [json.loads(client.recv(DEADLINE)) for client in (first, second)] == [off, off]
        first.send('{"lamp": 1}')
        assert [json.loads(client.recv(DEADLINE)) for client in (first, second)] == [{**off, "lamp": 1}] * 2
        with connect(url, proxy=None) as third:
            assert json.loads(third.recv(DEADLINE)) == {**off, "lamp": 1}
            third.send('{"laser": 1}')
            with pytest.raises(ConnectionClosed) as closed:
                third.recv(DEADLINE)
            assert closed.value.rcvd.code == 1003
        second.send('{"lamp": 0, "fan": 1}')
        assert json.loads(first.recv(DEADLINE)) == {**off, "fan": 1}


def test_async_tasks(example):
    server = example("async_tasks")
    value = Fetch(server.port, "/next").Json()
    assert value in Fetch(server.port, "/").Json()
    assert Fetch(server.port, "/stop", "POST").text == "Good bye."
    server.WaitLine("^Stopped")
    server.WaitExit()


def test_file_manager(example, tmp_path):
    server = example("file_manager")
    assert "ondrop" in Fetch(server.port, "/").text
    data = bytes(range(256)) * 400
    assert Fetch(server.port, "/files/a%20b.bin", "PUT", (), data).Json() == ["a b.bin"]
    assert (tmp_path / "files" / "a b.bin").read_bytes() == data
    assert Fetch(server.port, "/files").Json() == {"a b.bin": len(data)}
    down = Fetch(server.port, "/files/a%20b.bin")
    assert down.body == data and down.Header("content-disposition") == 'attachment; filename="a b.bin"'
    part = Fetch(server.port, "/files/a%20b.bin", headers={"Range": "bytes=1000-"})
    assert (part.status, part.body) == (206, data[1000:])
    (tmp_path / "secret.txt").write_text("secret")
    outside = ("..%2Fsecret.txt", "..", "%2e%2e%5Csecret.txt")
    for name in outside:
        assert [Fetch(server.port, "/files/" + name, method).status for method in ("GET", "DELETE")] == [404, 404]
    for name in outside:
        assert Fetch(server.port, "/files/" + name, "PUT", (), b"x").Json() in (["secret.txt"], ["file"])
    assert (tmp_path / "secret.txt").read_text() == "secret"
    assert set(Fetch(server.port, "/files").Json()) == {"a b.bin", "secret.txt", "file"}
    for name, status in (("a%20b.bin", 204), ("a%20b.bin", 404), ("secret.txt", 204), ("file", 204)):
        assert Fetch(server.port, "/files/" + name, "DELETE").status == status
    assert Fetch(server.port, "/files/a%20b.bin").status == 404


# The scripts in the pages need a browser. The server is tested on each runtime above, so one is enough here.
ONCE = pytest.mark.parametrize("runtime", ["micropython"])


@ONCE
def test_sensor_page_in_a_browser(example, page):
    server = example("sensor_page")
    page.goto(server.Url())
    page.wait_for_function("Number(document.getElementById('percent').value) > 0")
    page.goto("about:blank")


@ONCE
def test_live_chart_in_a_browser(example, page):
    server = example("live_chart")
    page.goto(server.Url())
    page.wait_for_function("document.getElementById('line').points.length > 1")
    page.goto("about:blank")


@ONCE
def test_remote_control_in_a_browser(example, page):
    server = example("remote_control")
    page.goto(server.Url())
    other = page.context.new_page()
    other.goto(server.Url())
    page.get_by_role("button", name="lamp: off").click()
    other.get_by_role("button", name="lamp: on").click()
    page.get_by_role("button", name="lamp: off").wait_for()
    other.close()
    page.goto("about:blank")


@ONCE
def test_file_manager_in_a_browser(example, page, tmp_path):
    server = example("file_manager")
    page.goto(server.Url())
    content = b"a,b\r\n" * 50000
    page.set_input_files("#file", {"name": "a & b.csv", "mimeType": "text/csv", "buffer": content})
    page.get_by_role("link", name="a & b.csv").wait_for()
    assert (tmp_path / "files" / "a & b.csv").read_bytes() == content
    dropped = page.evaluate_handle("""() => {
        const data = new DataTransfer();
        for (const name of ['t\u00e9st "1".txt', "two%20words.txt", "<img src=x onerror=alert(1)>.txt"])
            data.items.add(new File(["--\\r\\n" + name], name, { type: "text/plain" }));
        return data;
    }""")
    page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    for name, content in (("t\u00e9st _1_.txt", 't\u00e9st "1".txt'), ("two words.txt", "two%20words.txt"),
                          ("_img src=x onerror=alert(1)_.txt", "<img src=x onerror=alert(1)>.txt")):
        page.get_by_role("link", name=name, exact=True).wait_for()
        assert (tmp_path / "files" / name).read_bytes() == b"--\r\n" + content.encode()
    assert page.locator("#bar").evaluate("bar => bar.value") == 1
    for count in (3, 2, 1, 0):
        page.get_by_role("button", name="Delete").first.click()
        page.wait_for_function("document.querySelectorAll('li').length == %d" % count)
    assert list((tmp_path / "files").iterdir()) == []
    page.goto("about:blank")
