"""examples/control_panel in a headless Chromium: its look and live updates, and that pages of other origins change
nothing. Screenshots are stored in build/screenshots, which is not in git."""

import http.server
import os
import re
import threading

import pytest
from playwright.sync_api import expect

import harness
from panel_tools import DRIVER, EVE, PASSWORDS, Prepare, Said, Tell

SHOTS = harness.ROOT / "build" / "screenshots"
ADMIN = re.compile(r"/admin/$")

pytestmark = [pytest.mark.parametrize("runtime", ("cpython", "micropython")), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def browser():
    """Chromium that resolves *.local to this machine: a device on the network, which it trusts less than 127.0.0.1."""
    from playwright.sync_api import sync_playwright
    flags = ["--host-resolver-rules=MAP *.local 127.0.0.1", "--disable-background-networking", "--no-first-run", "--disable-gpu"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=harness.FindBrowser(), headless=True, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def panel(serve, modulePath, tmp_path):
    return serve(DRIVER, modulePath=(*modulePath, harness.ROOT / "examples"), args=(Prepare(tmp_path),))


@pytest.fixture
def tab(page):
    """A page. Each complaint of the browser, like a violation of the policy, fails the test."""
    page.complaints = []
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
    yield page
    page.goto("about:blank")
    assert not page.complaints, page.complaints


def LogIn(tab, base, name="ann"):
    tab.goto(base + "/")
    tab.fill("#name", name)
    tab.fill("#password", PASSWORDS[name])
    tab.get_by_role("button", name="Log in").click()
    expect(tab).to_have_url(ADMIN)
    expect(tab.locator("#state")).to_have_text("live")
    return tab


def Fits(tab, name):
    width = tab.viewport_size["width"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    SHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=SHOTS / ("panel-%s-%d.png" % (name, width)), full_page=True)


_WITHOUT_NAME = """() => [...document.querySelectorAll("input:not([type=hidden]), button, a, img, svg")]
    .filter((e) => !(e.labels && e.labels.length || e.getAttribute("aria-label") || e.textContent.trim()
        || e.hasAttribute("alt") || e.closest("[aria-hidden]"))).map((e) => e.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_is_accessible(panel, tab, scheme, width):
    """All pages, for a user whose name is markup, and a device with a long name."""
    tab.set_viewport_size({"width": width, "height": 800})
    tab.emulate_media(color_scheme=scheme)
    base = panel.Url().rstrip("/")
    Tell(panel, "state['name'] = 'W' * 30")
    Tell(panel, "[Note('', 'wrong password', '2001:db8:1111:2222:3333:4444:5555:%d' % n) for n in (1, 2, 2)]")
    tab.goto(base + "/nothing")
    Fits(tab, "404-" + scheme)
    tab.goto(base + "/")
    tab.fill("#name", "ann")
    tab.fill("#password", "wrong")
    tab.get_by_role("button", name="Log in").click()
    expect(tab.get_by_role("alert")).to_have_text("Wrong name or password.")
    Fits(tab, "login-" + scheme)
    assert tab.evaluate(_WITHOUT_NAME) == []
    LogIn(tab, base, EVE)
    expect(tab.locator("#user")).to_have_text(EVE)
    tab.click("#relay")
    expect(tab.locator("#audit tr").first).to_contain_text("relay on")
    expect(tab.locator("#audit tr").first).to_contain_text(EVE)
    Fits(tab, "panel-" + scheme)
    assert tab.evaluate(_WITHOUT_NAME) == []
    assert tab.evaluate("document.documentElement.lang") == "en" and tab.locator("h1").count() == 1
    assert [text for text in tab.complaints if "404" not in text and "401" not in text] == []
    tab.complaints.clear()


def test_two_windows(panel, browser, tab):
    """The sensor changes, both windows show the relay, settings are kept; logout ends all windows, and Back shows
    nothing."""
    base = panel.Url().rstrip("/")
    LogIn(tab, base)
    other = browser.new_context().new_page()
    LogIn(other, base, "ben")
    third = tab.context.new_page()              # the same login
    third.goto(base + "/admin/")
    expect(tab.locator("#celsius")).to_have_text(re.compile(r"^\d+\.\d$"))
    expect(tab.locator("#trend")).to_have_attribute("points", re.compile(r"^0,[\d.]+ 1,[\d.]+ 2,"))
    tab.click("#relay")
    expect(other.locator("#relayText")).to_have_text("It is on.")
    expect(other.locator("#relay")).to_be_checked()
    expect(other.locator("#audit tr").first).to_contain_text("relay on")
    expect(other.locator("#audit tr").first).to_contain_text("ann")
    tab.fill("#name", "<b>Shed</b>")
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_text("Saved.")).to_be_visible()
    expect(tab.locator("h1")).to_have_text("<b>Shed</b>")
    assert tab.evaluate("document.cookie") == ""
    tab.get_by_role("button", name="Log out").click()
    expect(tab).to_have_url(base + "/login")
    expect(third).to_have_url(base + "/login?next=/admin/")
    tab.go_back()
    expect(tab.locator("#password")).to_be_visible()
    expect(tab.locator("h1")).to_have_text("Log in")
    expect(other.locator("#state")).to_have_text("live")
    other.context.close()
    tab.complaints.clear()                      # the 401 that the script expects


def test_no_foreign_script_runs(panel, tab):
    """Scripts that an attacker could have put into the page."""
    LogIn(tab, panel.Url().rstrip("/"))
    tab.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.hacked = 1";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", '<img src="data:x" onerror="window.hacked = 2"><a id="bad" href="javascript:window.hacked=3">x</a>');
        document.getElementById("bad").click();
        const far = document.createElement("script");
        far.src = "http://localhost:1/x.js";
        document.body.append(far);
    }""")
    expect(tab.locator("#state")).to_have_text("live")
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.hacked") is None
    assert len([text for text in tab.complaints if "Content Security Policy" in text]) >= 4
    tab.complaints.clear()


EVIL = b"""<!doctype html><title>evil</title><iframe name="hidden"></iframe><iframe id="frame"></iframe>
<form id="settings" method="post" target="hidden"><input name="name" value="Evil"><input name="limit" value="0"></form>
<form id="plain" method="post" target="hidden" enctype="text/plain"><input name="name=Evil&limit=0&x" value="y"></form>
<script>
const target = location.hash.slice(1), said = {};
const Ask = (path, options) => fetch(target + path, {credentials: "include", ...options}).then((answer) => answer.type + answer.status, () => "failed");
const Post = (form, path) => new Promise((done) => {
  document.querySelector("[name=hidden]").onload = () => done("answered");
  form.action = target + path;
  form.submit();
});
const Open = () => new Promise((done) => {
  const socket = new WebSocket(target.replace("http", "ws") + "/admin/live");
  socket.onopen = () => { socket.send("1"); done("open"); };
  socket.onerror = () => done("failed");
});
(async () => {
  const body = "name=Evil&limit=0";
  const kind = {"Content-Type": "application/x-www-form-urlencoded"};
  said.form = await Post(document.getElementById("settings"), "/admin/settings");
  said.plain = await Post(document.getElementById("plain"), "/admin/settings");
  said.logout = await Post(document.getElementById("settings"), "/admin/logout");
  said.simple = await Ask("/admin/settings", {method: "POST", mode: "no-cors", headers: kind, body});
  said.cors = await Ask("/admin/settings", {method: "POST", headers: kind, body});
  said.json = await Ask("/admin/settings", {method: "POST", headers: {"Content-Type": "application/json", "X-CSRF-Token": "x"}, body});
  said.put = await Ask("/admin/settings", {method: "PUT", body});
  said.read = await Ask("/admin/", {});
  said.login = await Ask("/login", {method: "POST", mode: "no-cors", headers: kind, body: "name=ben&password=x"});
  said.socket = await Open();
  const frame = document.getElementById("frame");
  await new Promise((done) => { frame.onload = done; frame.src = target + "/admin/"; });
  try { said.frame = frame.contentDocument ? "empty" : "closed"; } catch (error) { said.frame = "closed"; }
  window.said = said;
})();
</script>"""


@pytest.fixture
def elsewhere():
    """The port of another site."""
    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(EVIL)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("host, evil", [("127.0.0.1", "localhost"), ("localhost", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"),
                                        ("panel.local", "evil.local"), ("panel.local", "panel.local")])
def test_other_origins(panel, page, elsewhere, host, evil):
    """Forms, scripts, frames and WebSockets of another host, and of another port of the same host, which gets the
    cookie too. For 127.0.0.1 and localhost a browser sends Sec-Fetch-Site, for a device on the network only Origin."""
    base = "http://%s:%d" % (host, panel.port)
    LogIn(page, base)
    before = Said(panel, "[state['name'], state['limit'], relay.value()]")
    thief = page.context.new_page()
    thief.goto("http://%s:%d/#%s" % (evil, elsewhere, base))
    thief.wait_for_function("window.said")
    assert thief.evaluate("said") == {
        "form": "answered", "plain": "answered", "logout": "answered", "simple": "opaque0", "cors": "failed", "json": "failed", "put": "failed",
        "read": "failed", "login": "opaque0", "socket": "failed", "frame": "closed"}
    assert Said(panel, "[state['name'], state['limit'], relay.value()]") == before
    refused = {row[2]: row[4] for row in Said(panel, "audit") if not row[1]}
    assert refused["sent by another site"] == 7         # the preflights of two requests failed
    for path in ("settings", "logout", "live"):
        panel.SeenError("CSRF: refused (POST|GET) '/admin/%s' of 127.0.0.1" % path)
    page.reload()
    expect(page.locator("#state")).to_have_text("live")
    page.click("#relay")
    expect(page.locator("#relayText")).to_have_text("It is on.")
    page.goto("about:blank")


def test_https(serve, modulePath, runtime, tmp_path, browser):
    harness.RunProgram("cpython", harness.ROOT / "tools" / "make_certificate.py", tmp_path, args=("localhost", "-o", str(tmp_path)))
    server = serve(DRIVER, modulePath=(*modulePath, harness.ROOT / "examples"), args=(Prepare(tmp_path),))
    context = browser.new_context(ignore_https_errors=True)
    try:
        page = LogIn(context.new_page(), "https://localhost:%d" % server.port)
        page.click("#relay")
        expect(page.locator("#relayText")).to_have_text("It is on.")
        cookies = {cookie["name"]: cookie for cookie in context.cookies()}
        assert cookies["__Host-panel"]["secure"] and cookies["__Host-panel"]["httpOnly"]
        page.get_by_role("button", name="Log out").click()
        expect(page.locator("#password")).to_be_visible()
    finally:
        context.close()
