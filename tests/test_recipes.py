"""The programs of examples/security, which docs/recipes-security.md compares with those of another server, run
unchanged on each runtime."""

import ast
import base64
import re

import pytest

import harness
from harness import Fetch

PROGRAMS = harness.ROOT / "examples" / "security"
PAGE = harness.ROOT / "docs" / "recipes-security.md"
DESK = harness.ON_DEVICE / "desk.py"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def recipe(serve):
    return lambda name: serve(DESK, args=(PROGRAMS / (name + ".py"),))


def Cookie(answer):
    """-> ({"Cookie": the value that a browser sends back}, the attributes of the cookie)."""
    pair, _, rest = answer.Header("set-cookie").partition("; ")
    return {"Cookie": pair}, rest


def Basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(("%s:%s" % (name, password)).encode()).decode()}


def test_session(recipe):
    server = recipe("session")
    first = Fetch(server.port, "/")
    assert "<form" in first.text and first.Header("set-cookie") is None
    told = Fetch(server.port, "/", "POST", FORM, b"name=%3Cb%3EAda")
    cookie, rest = Cookie(told)
    assert told.status == 302 and {"HttpOnly", "SameSite=Lax"} <= set(rest.split("; "))
    assert "Hello <b>&lt;b&gt;Ada</b>" in Fetch(server.port, "/", headers=cookie).text
    origin = {"Origin": "http://localhost"}
    forgotten = Fetch(server.port, "/forget", "POST", {**cookie, **origin})
    assert forgotten.status == 302 and "Max-Age=0" in forgotten.Header("set-cookie")
    assert Fetch(server.port, "/forget", "POST", {**cookie, "Origin": "https://evil.example"}).status == 403
    forged = {"Cookie": cookie["Cookie"][:-3] + "AAA"}
    assert "<form" in Fetch(server.port, "/", headers=forged).text


def test_basic_auth(recipe):
    server = recipe("basic_auth")
    assert Fetch(server.port, "/").Header("www-authenticate").startswith("Basic ")
    assert Fetch(server.port, "/", headers=Basic("ada", "engine")).text == "Hello, ada!"
    for name, password in (("ada", "cobol"), ("nobody", "engine"), ("", "")):
        assert Fetch(server.port, "/", headers=Basic(name, password)).status == 401
    assert Fetch(server.port, "/nothing").status == 401


def test_token_auth(recipe):
    server = recipe("token_auth")
    assert Fetch(server.port, "/", headers={"Authorization": "Bearer kWx3uQ9zPpQ0"}).text == "Hello, thermostat!"
    assert Fetch(server.port, "/", headers={"Authorization": "Bearer kWx3uQ9zPpQ1"}).status == 401
    assert Fetch(server.port, "/").Header("www-authenticate").startswith("Bearer ")


def test_login(recipe):
    server = recipe("login")
    asked = Fetch(server.port, "/")
    assert (asked.status, asked.Header("location")) == (302, "/login?next=/")
    assert 'type="password"' in Fetch(server.port, "/login").text
    wrong = Fetch(server.port, "/login", "POST", FORM, b"name=ada&password=cobol")
    assert wrong.status == 401 and "Wrong" in wrong.text
    for target, location in (("/", "/"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/a?b=1", "/a?b=1")):
        right = Fetch(server.port, "/login?next=" + target, "POST", FORM, b"name=ada&password=engine")
        assert (right.status, right.Header("location")) == (302, location)
    cookie = Cookie(right)[0]
    assert "Hello, ada!" in Fetch(server.port, "/", headers=cookie).text
    out = Fetch(server.port, "/logout", "POST", {**cookie, "Origin": "http://localhost"})
    assert out.status == 302


def test_csrf(recipe):
    server = recipe("csrf")
    evil = server.port
    server.WaitReady()
    assert 'action="http://127.0.0.1:%d/"' % server.port in Fetch(evil, "/").text
    body = b"amount=100"
    for origin in ("http://localhost:8081", "null", "https://localhost.evil.example"):
        assert Fetch(server.port, "/", "POST", {**FORM, "Origin": origin}, body).status == 403
    assert Fetch(server.port, "/", "POST", {**FORM, "Sec-Fetch-Site": "cross-site"}, body).status == 403
    assert "You have 1000" in Fetch(server.port, "/").text
    assert Fetch(server.port, "/", "POST", {**FORM, "Origin": "http://localhost"}, body).status == 302
    assert "You have 900" in Fetch(server.port, "/").text
    assert Fetch(server.port, "/", "POST", {**FORM, "Origin": "http://localhost"}, b"amount=-5").status == 400


@pytest.mark.parametrize("runtime", ["micropython"])
def test_csrf_in_a_browser(recipe, page):
    server = recipe("csrf")
    evil = server.Url()
    server.WaitReady()
    page.goto(evil)
    page.get_by_role("button").click()
    page.get_by_role("heading", name="403").wait_for()
    page.goto(server.Url())
    page.get_by_role("heading", name="You have 1000").wait_for()
    page.get_by_label("Amount").fill("50")
    page.get_by_role("button").click()
    page.get_by_role("heading", name="You have 950").wait_for()
    page.goto("about:blank")


def test_cors(recipe):
    server = recipe("cors")
    for origin in ("https://example.org", "https://evil.example"):
        answer = Fetch(server.port, "/", headers={"Origin": origin})
        assert answer.text == "Hello, pages!" and answer.Header("vary") == "Origin"
        assert answer.Header("access-control-allow-origin") == (origin if "evil" not in origin else None)


# ------------------------------------------------------------------------------------------- the page

def test_the_page_counts_their_lines():
    """Lines that are not empty, without the text at the top and the line that finds the modules in a clone."""
    rows = dict(re.findall(r"^\| \[[^\]]*\]\(\.\./examples/security/(\w+)\.py\) \| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.M))
    counted = {}
    for path in PROGRAMS.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        first = ast.parse(text).body[0]
        lines = [line for line in text.split("\n")[first.end_lineno:] if line.strip() and not re.match("import sys$|sys.path", line)]
        counted[path.stem] = str(len(lines))
    assert rows == counted
