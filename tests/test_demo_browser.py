"""examples/demo in a headless Chromium, on every runtime: each stop of the tour works as described. Screenshots are
stored in build/screenshots, which is not in git."""

import gzip
import re
import shutil
import signal
import sys
import zlib
from urllib.parse import urljoin

import pytest
from playwright.sync_api import expect

import harness

DEMO = harness.ROOT / "examples" / "demo"
WWW = DEMO / "www"
SHOTS = harness.ROOT / "build" / "screenshots"
STOPS = ("/routes.html", "/forms", "/cookies", "/pins.html", "/files.html", "/streams.html", "/uploads.html",
         "/threads.html", "/events.html", "/sockets.html", "/templates.pyhtml", "/errors.html")
WEATHER = (WWW / "files" / "weather.csv").read_bytes()

pytestmark = pytest.mark.timeout(120)


class Demo(harness.Server):
    """The demo as a person starts it, from another folder: only the port is set, and it finds its modules itself."""

    def __init__(self, runtime, workDir, program=DEMO / "main.py"):
        self.runtime = runtime
        self._expected = []
        port = harness.FreePorts(1)[0]
        self._Launch(*harness.Command(runtime, program, (), args=(port,)), workDir)
        try:
            self.port = int(self.WaitLine(r"http://127\.0\.0\.1:(\d+)").group(1))
        except AssertionError:
            self.Kill()
            raise
        assert self.port == port


@pytest.fixture(scope="module", params=("cpython", "micropython"))
def demo(request, tmp_path_factory):
    """One server for all tests on a runtime."""
    server = Demo(request.param, tmp_path_factory.mktemp("elsewhere"))
    try:
        yield server
        server.Close()
    finally:
        server.Kill()
        print(server.Report())


@pytest.fixture
def tab(page, demo):
    """A page with paths of the demo. Each complaint of the browser fails the test."""
    page.complaints = []
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.on("requestfailed", lambda request: page.complaints.append("%s: %s" % (request.url, request.failure)))
    page.Open = lambda path: page.goto(demo.Url(path))
    yield page
    complaints = [text for text in page.complaints if "ERR_ABORTED" not in text]      # the page was left meanwhile
    assert not complaints, complaints


def Shoot(tab, demo, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=SHOTS / ("%s-%s.png" % (demo.runtime, name)), full_page=True)


def Text(tab, selector, pattern):
    """Wait until the element's text matches."""
    expect(tab.locator(selector)).to_have_text(re.compile(pattern, re.S))


# --- the whole site ----------------------------------------------------------

@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 1280), ("light", 360)])
def test_home_is_alive(tab, demo, scheme, width):
    tab.set_viewport_size({"width": width, "height": 800})
    tab.emulate_media(color_scheme=scheme)
    tab.Open("/")
    Text(tab, "#runtime", "MicroPython" if demo.runtime == "micropython" else "CPython")
    Text(tab, "#uptime", r"^\d\d:\d\d:\d\d$")
    uptime = tab.inner_text("#uptime")
    expect(tab.locator("#uptime")).not_to_have_text(uptime)           # an event arrived
    Text(tab, "#celsius", r"^-?\d+\.\d °C$")
    assert [link.get_attribute("href") for link in tab.locator(".tiles a").all()] == list(STOPS)
    Shoot(tab, demo, "home-%s-%d" % (scheme, width))


_WITHOUT_NAME = """() => [...document.querySelectorAll("input, select, textarea, button, a, img, canvas, [role=img]")]
    .filter((e) => !(e.labels && e.labels.length || e.getAttribute("aria-label") || e.textContent.trim()
        || e.hasAttribute("alt") || e.getAttribute("aria-hidden")))
    .map((e) => e.outerHTML)"""


@pytest.mark.parametrize("path", ("/", *STOPS, "/seed.pyhtml"))
def test_page_fits_and_is_accessible(tab, demo, path):
    hosts = set()
    tab.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    for width, scheme in ((1280, "light"), (360, "dark")):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.emulate_media(color_scheme=scheme)
        tab.Open(path)
        for figure in tab.locator("figure[data-chapter], figure[data-file]").all():
            expect(figure).to_have_attribute("data-ready", "yes")
            expect(figure.locator("pre")).to_contain_text(re.compile(r"\bdef [A-Z]\w+\(|^<tr>"))
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        if path in STOPS:
            Shoot(tab, demo, "%s-%s-%d" % (path.strip("/").partition(".")[0], scheme, width))
    assert tab.evaluate(_WITHOUT_NAME) == []
    assert tab.evaluate("document.documentElement.lang") == "en"
    assert tab.locator("h1").count() == (path != "/seed.pyhtml")
    assert hosts == {"127.0.0.1:%d" % demo.port}


def test_a_board_without_sources_shows_none(tab):
    """If main.py was compiled to main.mpy, /source answers 404."""
    tab.route("**/source/*", lambda route: route.fulfill(status=404))
    tab.Open("/threads.html")
    expect(tab.locator("figure")).to_have_count(0)
    tab.complaints.clear()


def test_every_link_leads_somewhere(demo):
    seen, todo = {}, ["/"]
    while todo:
        path = todo.pop()
        if path not in seen:
            answer = harness.Fetch(demo.port, path)
            seen[path] = answer.status
            if answer.mediaType == "text/html":
                links = re.findall(r'(?:href|src|action)="([^"#]+)', answer.text)
                todo += [urljoin(path, link) for link in links]
    assert {path for path, status in seen.items() if status != 200} == {"/nowhere/to/be/found"}
    assert set(STOPS) < set(seen)


def test_it_fits_on_a_board():
    files = [path for path in WWW.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 102400
    assert gzip.decompress((WWW / "files" / "weather.csv.gz").read_bytes()) == WEATHER


# --- the stops of the tour ---------------------------------------------------

def test_routes(tab):
    tab.Open("/routes.html")
    tab.fill("#name", "Ana/ d'Ö & Co. 100%")
    tab.fill("#greeting", "¡Hola")
    tab.click("#hello button")
    Text(tab, "#helloAnswer", r"^200 OK.*text/plain; charset=UTF-8.*¡Hola, Ana/ d'Ö & Co\. 100%!")
    tab.click("#multiply button")
    Text(tab, "#multiplyAnswer", r'^200 OK.*\{"product": 42\}')
    tab.fill("#a", "six")
    with tab.expect_response(lambda response: "/multiply/" in response.url) as answer:
        tab.click("#multiply button")
    assert answer.value.status == 400
    Text(tab, "#multiplyAnswer", r"^400 Bad Request.*only whole numbers")
    tab.complaints.clear()                              # Chromium's message about the 400
    tab.click("text=Wait a second")
    Text(tab, "#getAnswer", r'"waitedSec": 1')
    tab.click("text=Who am I?")
    Text(tab, "#getAnswer", r'"colour": "green"')
    Text(tab, "#getAnswer", r"HeadlessChrome|Chrome")


def test_form_is_checked_kept_and_escaped(tab):
    tab.Open("/forms")
    tab.fill("#name", " ")
    tab.fill("#interval", "99999")
    tab.click("text=Save unchecked")
    expect(tab.locator("[role=alert] li")).to_have_text([re.compile("1 to 20"), re.compile("1 to 3600")])
    assert tab.input_value("#interval") == "99999"
    tab.fill("#name", "<b>\"Zoë\" & '1'</b>")
    tab.fill("#interval", "15")
    tab.check("text=Fahrenheit")
    tab.get_by_role("button", name="Save", exact=True).click()
    tab.wait_for_url("**/forms?saved")
    Text(tab, "[role=status]", r"^Saved\.$")
    assert tab.input_value("#name") == "<b>\"Zoë\" & '1'</b>"
    assert tab.is_checked("text=Fahrenheit")
    tab.fill("#name", "Greenhouse")
    tab.fill("#interval", "10")
    tab.check("text=Celsius")
    tab.get_by_role("button", name="Save", exact=True).click()
    expect(tab.locator("#name")).to_have_value("Greenhouse")


def test_cookies(tab, demo):
    tab.Open("/cookies")
    Text(tab, "#visits", "^1$")
    tab.Open("/cookies")
    Text(tab, "#visits", "^2$")
    assert tab.evaluate("document.cookie") == ""        # HttpOnly
    tab.check("text=blue")
    tab.click("text=Remember")
    Text(tab, "#visits", "^3$")
    assert tab.is_checked("text=blue")
    tab.click("text=Forget me")
    Text(tab, "#visits", "^1$")
    assert tab.is_checked("text=green")
    answer = harness.Fetch(demo.port, "/cookies", "POST", {"Content-Type": "application/x-www-form-urlencoded"},
                           b"forget=yes")
    assert answer.status == 303 and len(answer.Headers("set-cookie")) == 2


def test_rest_api(tab):
    tab.Open("/pins.html")
    rows = tab.locator("#pins tr")
    expect(rows).to_have_count(3)
    tab.check("[aria-label='Fan is on']")
    Text(tab, "#pinAnswer", r'^200 OK.*"value": 1')
    tab.reload()
    expect(tab.locator("[aria-label='Fan is on']")).to_be_checked()
    tab.uncheck("[aria-label='Fan is on']")
    Text(tab, "#pinAnswer", r'"value": 0')
    tab.click("#add button")
    Text(tab, "#pinAnswer", r"^201 Created.*location: /api/pins/12")
    expect(rows).to_have_count(4)
    tab.click("#add button")
    Text(tab, "#pinAnswer", r"^409 Conflict.*no free pin 12")
    tab.complaints.clear()
    tab.click("[aria-label='Remove Door lock']")
    Text(tab, "#exchanges", r"DELETE /api/pins/12  → 204")
    expect(rows).to_have_count(3)


@pytest.mark.parametrize("method, path, body, status", [
    ("POST", "/api/pins", b"", 400), ("POST", "/api/pins", b"[1]", 400), ("POST", "/api/pins", b'{"id": "x"}', 400),
    ("POST", "/api/pins", b'{"id": 99, "name": "far"}', 409), ("PUT", "/api/pins/2", b"1", 400),
    ("PUT", "/api/pins/2", b'{"value": 2}', 400), ("PUT", "/api/pins/77", b'{"value": 1}', 404),
    ("DELETE", "/api/pins/LED", b"", 404), ("PATCH", "/api/pins/2", b"", 405), ("GET", "/rows/all", b"", 400),
    ("GET", "/wait/9", b"", 400)])
def test_what_is_wrong_is_refused(demo, method, path, body, status):
    assert harness.Fetch(demo.port, path, method, {"Content-Type": "application/json"}, body).status == status


def test_files(tab):
    tab.Open("/files.html")
    with tab.expect_download() as download:
        tab.click("[href='/download']")
    assert download.value.suggested_filename == "Météo d'été ☀.csv"
    assert download.value.path().read_bytes() == WEATHER
    tab.click("text=Whole")
    Text(tab, "#fileAnswer", r"^200 OK.*content-encoding: gzip.*\(%d characters in all\)" % len(WEATHER))
    tab.click("text=First 80 bytes")
    Text(tab, "#fileAnswer", r"^206 Partial Content.*bytes 0-79/%d.*date,min_celsius" % len(WEATHER))
    tab.click("text=Last 52 bytes")
    Text(tab, "#fileAnswer", r"^206 .*bytes %d-.*2025-12-31,-5\.1,6\.0,0\.0" % (len(WEATHER) - 52))
    tab.click("text=Only if changed")
    Text(tab, "#fileAnswer", r"^304 Not Modified")
    tab.click("text=Only the head")
    Text(tab, "#fileAnswer", r"^200 OK.*content-length: \d+")
    assert "celsius" not in tab.inner_text("#fileAnswer")


def test_streams(tab):
    tab.Open("/streams.html")
    tab.fill("#rows", "5000")
    tab.click("#start")
    expect(tab.locator("#start")).to_be_enabled()
    Text(tab, "#count", "^5,000$")
    Text(tab, "#tail", r"4999,\d\d\.\d\d$")
    tab.fill("#rows", "9000000")
    tab.click("#start")
    Text(tab, "#count", r"^\d{1,3},\d{3}(,\d{3})?$")
    tab.click("#stop")                                  # the client leaves during a response
    Text(tab, "#tail", r"Stopped\.$")


def test_uploads(tab, tmp_path):
    tab.Open("/uploads.html")
    tab.click("#sendNoise")
    Text(tab, "#verdict", "^Identical")
    Text(tab, "#itsSize", "^2,097,152$")
    content = bytes(range(256)) * 1000 + b"end"
    (tmp_path / "firmware.bin").write_bytes(content)
    tab.set_input_files("#file", tmp_path / "firmware.bin")
    tab.click("#sendFile")
    Text(tab, "#itsSize", "^256,003$")
    Text(tab, "#itsCrc", "^%08x$" % zlib.crc32(content))


def test_several_files_are_dropped(tab):
    tab.Open("/uploads.html")
    files = [("../one.txt", "first"), ("two.txt", "second")]
    transfer = tab.evaluate_handle("""files => {
        const transfer = new DataTransfer();
        for (const [name, text] of files) transfer.items.add(new File([text], name));
        return transfer;
    }""", files)
    tab.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    tab.click("#sendForm")
    Text(tab, "#formVerdict", '^2 files, and the note "Hello, board"')
    assert tab.locator("#received tr").all_inner_texts() == [
        "%s\t%d\t%08x" % (name[-7:], len(text), zlib.crc32(text.encode())) for name, text in files]


def test_a_slow_handler_holds_nobody(tab):
    tab.Open("/threads.html")
    tab.click("#run")
    Text(tab, "#slow", r"^\d+ ms$")
    assert int(tab.inner_text("#slow").split()[0]) >= 2000
    assert int(tab.inner_text("#quick")) >= 10
    assert float(tab.inner_text("#slowest").split()[0]) < 1000


def test_events_reach_every_window(tab, demo):
    tab.Open("/events.html")
    other = tab.context.new_page()
    other.goto(demo.Url("/events.html"))
    for window in (tab, other):
        Text(window, "#celsius", r"^-?\d+\.\d$")
        Text(window, "#state", "^connected$")
    other.click("#ring")
    Text(other, "#heard", r"^heard by [2-9] windows$")
    for window in (tab, other):
        expect(window.locator("#bells li")).to_have_count(1)
        Text(window, "#bells li", r"rung by 127\.0\.0\.1$")
    Shoot(tab, demo, "events-live")


_PAINTED = """() => {
    const canvas = document.querySelector("#chart"), { width, height } = canvas;
    const bytes = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    let painted = 0;
    for (let i = 3; i < bytes.length; i += 4) painted += bytes[i] === 255;
    return painted;
}"""


def test_chart_moves_and_is_tuned(tab, demo):
    tab.Open("/sockets.html")
    other = tab.context.new_page()
    other.goto(demo.Url("/sockets.html"))
    Text(tab, "#received", r"^\d{2,}$")
    grid = tab.evaluate(_PAINTED)
    assert grid > 0
    tab.wait_for_function("(before) => (%s)() !== before" % _PAINTED, arg=grid)
    tab.fill("#hz", "2.5")
    Text(other, "#hzText", r"^2\.5 Hz$")
    tab.fill("#hz", "0.5")
    Text(other, "#hzText", r"^0\.5 Hz$")


def Join(window, name, room="lobby"):
    window.fill("#name", name)
    window.fill("#room", room)
    window.click("#joinButton")
    Text(window, "#talk li:last-child", "^%s has joined$" % name)


def Say(window, text):
    window.fill("#text", text)
    window.click("#sayButton")


def test_chat_of_several_windows(tab, demo):
    ann, ben, cleo = tab, tab.context.new_page(), tab.context.new_page()
    for window in (ann, ben, cleo):
        window.goto(demo.Url("/sockets.html"))
    Join(ann, "Ann")
    Join(ben, "Ben")
    Text(ann, "#talk li:last-child", "^Ben has joined$")
    Join(cleo, "Cleo", "an empty room/ö")
    Say(ben, "<img src=x onerror=alert(1)> & 漢字 \U0001f44b")
    for window in (ann, ben):
        Text(window, "#talk li:last-child", "^Ben: <img src=x onerror=alert\\(1\\)> & 漢字 \U0001f44b$")
    Say(cleo, "Nobody here?")
    Text(cleo, "#talk li:last-child", r"^Cleo: Nobody here\?$")
    Shoot(ann, demo, "chat")
    ben.close()
    Text(ann, "#talk li:last-child", "^Ben has left$")
    ann.click("#joinButton")
    Text(ann, "#talk li:last-child", r"^You have left\.$")
    expect(ann.locator("#text")).to_be_disabled()
    assert cleo.locator("#talk li").count() == 2        # nothing from the other room


def test_templates(tab):
    tab.Open("/templates.pyhtml")
    expect(tab.locator("tbody tr")).to_have_count(4)
    Text(tab, "tbody tr:nth-child(3)", r"Rosemary\s+12 %\s+now\s+no")
    Text(tab, "tbody tr:nth-child(4)", r"<b>Thyme</b> & sage")
    Text(tab, "section:nth-child(2)", r"Dry: Rosemary\.\s.*A name without a value\s+is false.*time on the server is \d\d:\d\d:\d\d\.")
    tab.click("text=Open seed.pyhtml")
    text = tab.inner_text("body")
    assert text.count("TOTO2 = IN TEST FUNCTION 2") == 3
    assert "IN TEST FUNCTION 100" in text and "IN ELIF (3)" in text and "(1)" not in text


def test_errors(tab, demo):
    demo.ExpectError("broken on purpose")
    tab.Open("/errors.html")
    for button, answer in (("403 Forbidden", "^403 Forbidden"), ("403 Unknown type", "^403 Forbidden"),
                           ("404 Not Found", "^404 Not Found.*This page does not exist.*redirected to /lost"),
                           ("405 Method", r"^405 Method Not Allowed.*allow: GET, HEAD, OPTIONS"),
                           ("500 Internal", "^500 Internal Server Error"), ("200, still running", "^200 OK.*runtime")):
        tab.click("button:has-text('%s')" % button)
        Text(tab, "#errorAnswer", answer)
        assert "purpose" not in tab.inner_text("#errorAnswer")
    tab.click("text=Open an unknown address")
    Text(tab, "h1", "This page does not exist")
    Shoot(tab, demo, "404")
    assert len(tab.complaints) == 6 and all("Failed to load resource" in text for text in tab.complaints)
    tab.complaints.clear()


# --- the end -----------------------------------------------------------------

@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT")
def test_laid_out_as_on_a_board_and_ended_by_ctrl_c(runtime, page, tmp_path):
    """The modules are beside main.py, and the browser is connected when Ctrl-C is pressed."""
    board = tmp_path / "flash"
    shutil.copytree(DEMO, board, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(harness.SRC, board, dirs_exist_ok=True)
    server = Demo(runtime, tmp_path, board / "main.py")
    try:
        page.goto(server.Url("/sockets.html"))
        Text(page, "#state", "^connected$")
        server.process.send_signal(signal.SIGINT)
        server.WaitExit()
        assert "Good bye." in server.stdout
    finally:
        server.Kill()
        print(server.Report())
