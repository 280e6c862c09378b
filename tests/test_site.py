"""The web site of the manual that tools/make_site.py makes: it is complete, no link is broken, it loads nothing from another host, and
it can be read on a phone."""

import ast
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import harness
import registry

tool = harness.LoadTool("make_site")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site that the tool has made."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, "tools/make_site.py", "-o", str(folder / "site")], cwd=harness.ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site" / "html"


class Page(HTMLParser):
    """The links of a page, the files that it loads, and its anchors."""

    LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.ids = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[name] for name in ("id", "name") if attrs.get(name)}
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"].removeprefix("./"))
        if self.LOADS.get(tag) and attrs.get(self.LOADS[tag]):
            self.loads.append(attrs[self.LOADS[tag]])


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def Wrong(site, pages, path, link):
    """Return what is wrong with a link of a page, or ""."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        host = parts.hostname or ""
        return "" if parts.scheme in ("http", "https") and re.fullmatch(r"[\w-]+(\.[\w-]+)+", host) and " " not in link else "malformed"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if site not in target.parents or not target.is_file():
        return "no such file"
    if parts.fragment and unquote(parts.fragment) not in pages[target].ids:
        return "no such anchor"
    return ""


def test_links_and_anchors_lead_somewhere(site, pages):
    links = [(path, link) for path, page in pages.items() for link in [*page.links, *page.loads]]
    assert len(links) > 5000
    wrong = ["%s: %s: %s" % (path.relative_to(site), link, why)
             for path, link in links for why in [Wrong(site, pages, path, link)] if why]
    assert wrong == []


@pytest.mark.parametrize("link, why", [
    ("tls.html", ""), ("tls.html#nothing", "no such anchor"), ("nothing.html", "no such file"), ("../tls.html", "no such file"),
    ("#what-it-does", ""), ("#nothing", "no such anchor"), ("https://example.org/a", ""), ("https:///a", "malformed"),
    ("ftp://example.org/", "malformed"), ("https://exam ple.org/", "malformed")])
def test_a_wrong_link_is_seen(site, pages, link, why):
    assert Wrong(site, pages, site / "index.html", link) == why


def test_nothing_comes_from_another_host(site, pages):
    """A reader may be offline, and no other host must learn which pages are read."""
    loads = {link for page in pages.values() for link in page.loads if urlsplit(link).netloc}
    assert loads == set()
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:|@import", style.read_text(encoding="utf-8")), style


def test_all_pages_are_in_the_navigation(site, pages):
    """The first page has a link to each page of docs."""
    home = pages[site / "index.html"]
    for page in sorted((harness.ROOT / "docs").glob("*.md")):
        name = "contents.html" if page.stem == "index" else page.stem + ".html"
        assert name in home.links, name
    for name in ("changelog", "contributing", "security-policy", "measurements", "examples/index", "api/index"):
        assert name + ".html" in home.links, name
    examples = pages[site / "examples" / "index.html"].links
    for program in (harness.ROOT / "examples").glob("*.py"):
        assert program.stem + ".html" in examples


def PublicNames(module):
    tree = ast.parse((harness.SRC / (module + "-stubs") / "__init__.pyi").read_text(encoding="utf-8"))

    def Walk(prefix, body):
        for node in body:
            name = getattr(node, "name", None) or getattr(getattr(node, "target", None), "id", "_")
            if name[0] != "_" and name != "const":
                yield prefix + name
                if isinstance(node, ast.ClassDef):
                    yield from Walk(prefix + name + ".", node.body)

    return list(Walk("", tree.body))


@pytest.mark.parametrize("module", ["microWebSrv", *[one.name for one in registry.Load()]])
def test_the_api_has_each_public_name(site, pages, module):
    ids = pages[site / "api" / (module + ".html")].ids
    assert [name for name in PublicNames(module) if not {name, name + "()"} & ids] == []


def test_the_api_says_what_the_docstrings_and_the_reference_say(site):
    text = re.sub(r"<[^>]+>", "", (site / "api" / "microWebSrv.html").read_text(encoding="utf-8"))
    upload = re.sub(r"<[^>]+>", "", (site / "api" / "microWebUpload.html").read_text(encoding="utf-8"))
    assert "The path and the query string as the client sent them." in text                                # a docstring in the source
    assert "for messages of Broadcast and of these hubs" in text               # a docstring in a stub
    assert "Length of the whole head; else 431. Default: 4 KB on a board, 32 KB on CPython." in text      # a row of the reference
    assert "Create the folder if it does not exist" in upload
    tls = Page(site / "api" / "microWebTls.html").links
    assert {"../tls.html", "microWebSrv.html#MicroWebSrv.UseTLS%28%29", "microWebSrv.html#MicroWebSrv.StrictTransportSec"} <= set(tls)
    methods = PublicNames("microWebSrv")
    documented = sum(bool(re.search(re.escape(name) + r"\(\)[^\n]*\n+def ", text)) for name in methods)
    assert documented > 80


def test_search_finds_what_is_on_the_pages(site):
    found = json.loads((site / "search.json").read_text(encoding="utf-8"))
    texts = json.dumps(found)
    for word in ("WriteResponseFileAttachment", "MaxConnections", "captive portal", "Which server should I choose"):
        assert word in texts, word


def test_without_zensical_the_command_says_what_to_install(tmp_path):
    done = subprocess.run([sys.executable, "-S", "tools/make_site.py", "-o", str(tmp_path / "site")], cwd=harness.ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr == "tools/make_site.py: zensical is not installed: pip install '.[docs]'\n"


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    done = subprocess.run([sys.executable, "tools/make_site.py", "-o", str(tmp_path)], cwd=harness.ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "holds something else" in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "mine"


# --------------------------------------------------------------------------------- new pages and broken links

@pytest.fixture
def clone(tmp_path):
    """A folder with the sources of the site, and with the files to which its pages have links."""
    for name in ("docs", "examples", "bench/results", "tests/old_programs"):
        shutil.copytree(harness.ROOT / name, tmp_path / "clone" / name)
    shutil.copy(harness.ROOT / "tests" / "test_seed_api.py", tmp_path / "clone" / "tests")
    for path in [*harness.ROOT.glob("*.md"), harness.ROOT / "manifest.py"]:
        shutil.copy(path, tmp_path / "clone")
    return tmp_path / "clone"


def test_a_new_page_is_built_and_in_the_navigation(clone, tmp_path):
    (clone / "docs" / "brand-new.md").write_text("# Brand new\n\n[TLS](tls.md), [all](../examples), [a file](../README.md#what-it-does)\n")
    assert tool.Make(clone, tmp_path / "site")
    home = Page(tmp_path / "site" / "html" / "index.html")
    assert "brand-new.html" in home.links
    assert {"tls.html", "examples/index.html", "index.html#what-it-does"} <= set(Page(tmp_path / "site" / "html" / "brand-new.html").links)


def test_pages_of_a_group_may_be_missing(clone, tmp_path):
    named = [page for group in tool.GROUPS.values() for page in group]
    assert len(named) == len(set(named))
    site = tool.Site(clone)
    site.Collect()
    for page in ("choosing.md", "seed-api.md"):
        del site.pages[page]
    navigation = json.dumps(site.Navigation())
    assert "tutorial.md" in navigation and "choosing.md" not in navigation and "seed-api.md" not in navigation


@pytest.mark.parametrize("link", ["nothing.md", "tls.md#nothing", "../nothing.py"])
def test_a_broken_link_ends_the_build(clone, tmp_path, capsys, link):
    with open(clone / "docs" / "tls.md", "a") as page:
        page.write("\n[broken](%s)\n" % link)
    assert not tool.Make(clone, tmp_path / "site")
    assert re.search(r"tls\.md.*does not exist", capsys.readouterr().err)


# ---------------------------------------------------------------------------------------------------- in a browser

@pytest.fixture(scope="module")
def address(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:%d/" % server.server_port
        server.shutdown()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_window(browser, address, site, pages, width, artifacts):
    """A wide table scrolls in its own box. A page loads nothing from another host, and no script fails."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    troubles = []
    page.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:")) else troubles.append(request.url))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    for path in pages:
        name = path.relative_to(site).as_posix()
        if name.startswith("examples/") and name != "examples/index.html" or width > 1000 and "/" in name:
            continue                        # all pages of programs are alike; on a wide screen those of the API are alike too
        page.goto(address + name, wait_until="domcontentloaded")
        wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
        if wide > 0:
            troubles.append("%s is %d px too wide" % (name, wide))
    for name in ("index", "choosing", "api/microWebSrv"):
        page.goto(address + name + ".html")
        page.screenshot(path=artifacts / ("site-%s-%d.png" % (Path(name).name, width)))
    context.close()
    assert troubles == []


def test_search_in_the_browser(browser, address):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(address)
    page.get_by_role("button", name="Search").click()
    page.keyboard.type("captive portal")
    page.locator("a[href*='portal.html']", has_text="Wi-Fi").last.wait_for()
    context.close()
