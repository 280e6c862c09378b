"""A phone uses microWebPortal: Chromium with 390 pixels, from the network of an empty board to the program's page, with
and without JavaScript. Screenshots are stored in build/screenshots, which is not in git."""

import os
import re

import pytest
from playwright.sync_api import expect

import harness
from portal_tools import EVIL, PROGRAM

SHOTS = harness.ROOT / "build" / "screenshots"

pytestmark = [pytest.mark.parametrize("runtime", ("cpython", "micropython")), pytest.mark.timeout(120)]

NOISY = "Radio.noisy = [%s]" % ", ".join("(%r, %d, 3)" % (name.encode(), -50 - 7 * n) for n, name in enumerate(EVIL))


@pytest.fixture
def portal(serve, modulePath):
    server = serve(PROGRAM.replace("#MORE", NOISY), modulePath=modulePath)
    server.WaitLine("^AP True")
    server.Tell("print(portal.isOpen)")
    server.WaitLine("^True$")
    return server


@pytest.fixture
def phone(portal, request):
    """phone(javaScriptEnabled=True, scheme) -> a page whose DNS resolves every name to the board, like the portal's
    DNS."""
    from playwright.sync_api import sync_playwright
    flags = ["--host-resolver-rules=MAP *:80 127.0.0.1:%d" % portal.port, "--disable-background-networking", "--no-first-run",
             "--disable-gpu"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=harness.FindBrowser(), headless=True, args=flags)

        def Phone(javaScriptEnabled=True, scheme="light"):
            context = chromium.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True,
                                           java_script_enabled=javaScriptEnabled, color_scheme=scheme)
            page = context.new_page()
            page.complaints = []
            page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
            page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
            return page
        yield Phone
        chromium.close()


def Shoot(page, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / ("portal-%s.png" % name), full_page=True)


_WITHOUT_NAME = """() => [...document.querySelectorAll("input:not([type=hidden]), button, a")]
    .filter((e) => !(e.labels && e.labels.length || e.textContent.trim())).map((e) => e.outerHTML)"""
_SMALL = """() => [...document.querySelectorAll("label, button, input:not([type=radio]):not([type=hidden])")]
    .filter((e) => e.getBoundingClientRect().height < 40).map((e) => e.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_way_of_a_phone(portal, phone, tmp_path, scheme):
    page = phone(scheme=scheme)
    page.goto("http://captive.apple.com/hotspot-detect.html")
    expect(page).to_have_url("http://127.0.0.1:%d/wifi" % portal.port)
    expect(page.get_by_role("heading", level=1)).to_have_text("My <lamp>")
    expect(page.get_by_role("status")).to_have_text("Choose the Wi-Fi to join.")
    assert page.evaluate(_WITHOUT_NAME) == [] and page.evaluate(_SMALL) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.documentElement.lang") == "en" and page.title() == "My <lamp>"
    assert len(page.content().encode()) < 4096
    for name in EVIL:
        expect(page.get_by_text(name, exact=True)).to_be_visible()
    Shoot(page, scheme + "-1-list")
    page.get_by_role("radio", name=re.compile("Home")).check()
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("status")).to_have_text("Connecting to Home\u2026")
    Shoot(page, scheme + "-2-connecting")
    expect(page.get_by_role("status")).to_have_text("No connection to Home: the password is wrong.", timeout=15000)
    expect(page.get_by_role("radio", name=re.compile("Home"))).to_be_checked()
    expect(page.get_by_label("Password")).to_have_value("")
    Shoot(page, scheme + "-3-wrong")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_label("Password").press("Enter")
    expect(page.get_by_role("link")).to_have_text("http://127.0.0.1:%d/" % portal.port, timeout=15000)
    Shoot(page, scheme + "-4-joined")
    page.get_by_role("link").click()
    expect(page.get_by_role("heading")).to_have_text("The program")
    Shoot(page, scheme + "-5-program")
    assert "correct horse" in (tmp_path / ".wifi.json").read_text()
    assert [text for text in page.complaints if "403" not in text] == []


def test_without_javascript(portal, phone, tmp_path):
    """A hidden network, typed by hand; then it is deleted."""
    page = phone(javaScriptEnabled=False)
    page.goto("http://nmcheck.gnome.org/check_network_status.txt")
    page.get_by_label("Another network").fill("Cafe")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("link")).to_be_visible(timeout=15000)
    portal.Tell("Radio.gone = True")
    portal.WaitLine("^CONNECT.*(?s:.*)^CONNECT")
    portal.Tell("Later()")
    page.goto("http://www.msftconnecttest.com/redirect")
    expect(page.get_by_role("button", name="Forget Cafe")).to_be_visible(timeout=15000)
    Shoot(page, "lost")
    page.get_by_role("button", name="Forget Cafe").click()
    expect(page.get_by_role("status")).to_have_text("Choose the Wi-Fi to join.")
    assert not (tmp_path / ".wifi.json").exists()


def test_a_page_of_another_origin(portal, phone, tmp_path):
    """A form that submits itself, on a page that was open before the phone joined: it changes nothing."""
    page = phone()
    url = "http://127.0.0.1:%d/wifi" % portal.port
    page.route("http://evil.test/", lambda route: route.fulfill(content_type="text/html", body=(
        "<form method=post action='%s'><input name=n value=Home><input name=p value='correct horse'><input name=t value=''></form>"
        "<script>document.forms[0].submit()</script>" % url)))
    page.goto("http://evil.test/")
    expect(page.get_by_role("status")).to_contain_text("try again")
    for target in (url, "http://evil.test/wifi"):           # to read the token: CORS, and the redirect
        page.goto("http://evil.test/other") if target == "" else None
        page.route("http://evil.test/page", lambda route: route.fulfill(content_type="text/html", body="<p>page"))
        page.goto("http://evil.test/page")
        assert page.evaluate("url => fetch(url).then(answer => answer.text(), () => 'no')", target) == "no"
    portal.Tell("print('TRIED', portal.address)")
    portal.WaitLine("^TRIED None")
    assert "CONNECT" not in portal.stdout and not (tmp_path / ".wifi.json").exists()
