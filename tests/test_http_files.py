"""Static files and files as responses, end to end, on every runtime. (More cases are in the tables of
mp/room_files.py.)"""

import gzip
import os
import resource
import time
from email.utils import formatdate

import httpx
import pytest

import harness
from harness import Fetch, RawClient
from http_tools import Answers, Get, Post, SharedSite

SITE = """
from microWebSrv import MicroWebSrv
from ready import Port

@MicroWebSrv.route("/send/<name>")
def Send(httpClient, httpResponse, routeArgs):
    print("ACCEPTED %s" % httpResponse.WriteResponseFile("www/" + routeArgs["name"]))

@MicroWebSrv.route("/send-as/<name>")
def SendAs(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponseFile("outside/" + routeArgs["name"], "text/x-own", {"X-Own": "yes"})

@MicroWebSrv.route("/attach/<name>")
def Attach(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponseFileAttachment("www/text.txt", routeArgs["name"], {"X-Own": "yes"})

@MicroWebSrv.route("/dir/route.txt")
def Route(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "a route hides a file")

MicroWebSrv._mimeTypes[".own"] = "application/x-own"
mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
print("TYPES", mws.GetMimeTypeFromFilename("a.own"), mws.GetMimeTypeFromFilename("a.HTML"),
      mws.GetMimeTypeFromFilename("a.py"))
mws.Start(threaded=False)
"""

LEVELS = """
from microWebSrv import MicroWebSrv
from ready import Port
mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath=".")
mws.LetCacheStaticContentLevel = {}
mws.Start(threaded=False)
"""

TEXT = "0123456789" * 10
BIG = bytes(range(256)) * 8192          # 2 MiB: many buffers on each runtime
SECRET = "secret outside"


def Www(folder):
    www, outside = folder / "www", folder / "outside"
    for path, content in {
            www / "text.txt": TEXT, www / "empty.txt": "", www / "dir" / "index.html": "<p>dir", www / "x.own": "own",
            www / "dir" / "route.txt": "hidden by a route", www / "main.py": "secret", www / ".env.txt": "secret",
            www / ".well-known" / "a.txt": "secret", www / "\u00e9 t.txt": "summer", www / "bare" / "a.txt": "a",
            www / "linked.txt": "the plain one", www / "changing.txt": "old",
            outside / "secret.txt": SECRET, outside / "index.html": SECRET, folder / "www-other" / "a.txt": SECRET,
            folder / "text.txt": SECRET}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (www / "big.bin").write_bytes(BIG)
    (www / "zip.txt").write_text(TEXT)
    (www / "zip.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (outside / "secret.txt.gz").write_bytes(gzip.compress(SECRET.encode()))
    (www / "out.txt").symlink_to(outside / "secret.txt")
    (www / "up.txt").symlink_to("../outside/secret.txt")
    (www / "outdir").symlink_to(outside)
    (www / "sibling").symlink_to("../www-other")
    (www / "linked.txt.gz").symlink_to(outside / "secret.txt.gz")
    (www / "onlygz.txt.gz").symlink_to(outside / "secret.txt.gz")
    (www / "loop").symlink_to("loop")
    (www / "dangling.txt").symlink_to("nowhere.txt")
    (www / "inside.txt").symlink_to("dir/index.html")
    (www / "insidedir").symlink_to("dir")
    for path in www.rglob("*"):         # a file has no strong validator in the second when it was written
        if path.is_file() and not path.is_symlink():
            os.utime(path, (784111777, 784111777))


site = SharedSite(SITE, Www)


def test_a_file(site):
    response = Fetch(site.port, "/text.txt")
    assert (response.status, response.text) == (200, TEXT)
    assert response.Header("content-type") == "text/plain; charset=UTF-8"
    assert response.Header("last-modified") == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert response.Header("content-length") == "100"
    assert Fetch(site.port, "/%C3%A9%20t.txt").text == "summer"
    assert Fetch(site.port, "/dir/route.txt").text == "a route hides a file"


def test_empty_file(site):
    response = Fetch(site.port, "/empty.txt")
    assert (response.status, response.Header("content-length"), response.body) == (200, "0", b"")


def test_big_file(site):
    with RawClient(site.port) as client:
        client.Send(Get("/big.bin") + Get("/text.txt"))
        assert client.ReadResponse().body == BIG
        assert client.ReadResponse().text == TEXT


def test_many_at_once(site):
    """All share one buffer, but each client gets its own file."""
    clients = [RawClient(site.port, receiveBuffer=4096) for _ in range(8)]
    try:
        for number, client in enumerate(clients):
            client.Send(Get("/big.bin", "Range: bytes=%d-" % number))
        for number, client in enumerate(clients):
            assert client.ReadResponse().body == BIG[number:]
    finally:
        for client in clients:
            client.Close()


def test_folders(site):
    assert Fetch(site.port, "/dir/").text == "<p>dir"
    response = Fetch(site.port, "/dir?a=b")
    assert (response.status, response.Header("location")) == (301, "/dir/?a=b")
    assert Fetch(site.port, "/bare/").status == 404
    with httpx.Client(base_url=site.Url(), follow_redirects=True) as client:
        assert client.get("/dir?a=b").text == "<p>dir"


@pytest.mark.parametrize("target", ["//dir", "///dir", "/%2Fdir", "//%2fdir", "/%2F%2Fdir", "//dir?next=//evil.example"])
def test_redirects_stay_on_this_site(site, target):
    """A Location that begins with // would lead to another host."""
    location = Fetch(site.port, target).Header("location") or "/"
    assert location.startswith("/") and not location.startswith(("//", "/\\"))


def test_media_types(site):
    site_types = {"/text.txt": "text/plain", "/dir/": "text/html", "/big.bin": "application/octet-stream",
                  "/x.own": "application/x-own"}
    for target, mediaType in site_types.items():
        assert Fetch(site.port, target, "HEAD").mediaType == mediaType
    assert Fetch(site.port, "/main.py").status == 403
    assert "TYPES application/x-own text/html None" in site.stdout


NOT_THERE = [
    "/.env.txt", "/.well-known/a.txt", "/%2eenv.txt", "/../text.txt", "/../outside/secret.txt", "/..%2foutside/secret.txt",
    "/%2e%2e/outside/secret.txt", "/%2e%2e%2foutside%2fsecret.txt", "/dir/../../outside/secret.txt",
    "/dir/%2e%2e/%2e%2e/outside/secret.txt", "/..%5coutside%5csecret.txt", "/%5c..%5coutside%5csecret.txt",
    "/....//outside/secret.txt", "/..;/outside/secret.txt", "/../www-other/a.txt", "/text.txt%01", "/%2Ftext.txt",
    "/%252e%252e/outside/secret.txt", "/C:/text.txt", "/text.txt/", "/dangling.txt", "/loop", "/loop/a.txt",
    "http://x/../outside/secret.txt", "/dir%2Findex.html", "/text.txt.", "/text.txt%20", "/TEXT~1.TXT"]


@pytest.mark.parametrize("target", NOT_THERE)
def test_nothing_leaves_the_folder(site, target):
    for fields in ({}, {"Accept-Encoding": "gzip"}, {"Range": "bytes=0-"}):
        response = Fetch(site.port, target, headers=fields)
        assert response.status == 404 and SECRET not in response.text
    assert Fetch(site.port, target, "POST", body=b"x").status == 404


def test_absolute_paths_lead_nowhere(site, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    for prefix in ("", "/", "//", "%2f", "/.."):
        assert Fetch(site.port, "/" + prefix + str(secret)).status == 404


@pytest.mark.parametrize("target", ["/out.txt", "/up.txt", "/outdir/secret.txt", "/outdir/", "/outdir", "/outdir/index.html",
                                    "/sibling/a.txt"])
def test_links_that_lead_out(site, target):
    for fields in ({}, {"Accept-Encoding": "gzip"}):
        response = Fetch(site.port, target, headers=fields)
        assert response.status == 404 and response.Header("content-encoding") is None


@pytest.mark.parametrize("target, status", [("/linked.txt", 200), ("/onlygz.txt", 404), ("/outdir/secret.txt", 404),
                                            ("/linked.txt.gz", 404)])
def test_compressed_siblings_that_lead_out(site, target, status):
    """A .gz file is a file like any other: it must not be a link that leaves the folder."""
    response = Fetch(site.port, target, headers={"Accept-Encoding": "gzip"})
    assert (response.status, response.Header("content-encoding")) == (status, None)


@pytest.mark.parametrize("target", ["/inside.txt", "/insidedir/index.html", "/insidedir/"])
def test_links_that_stay_below_the_folder(site, target):
    """MicroPython can't resolve links, so it follows none."""
    response = Fetch(site.port, target)
    assert (response.status, response.text) == (200, "<p>dir") or site.runtime == "micropython" and response.status == 404


RACE = """
import os
from microWebSrv import MicroWebSrv
from ready import Port

class Www:
    # The folder's own, but a link takes the place of what was looked at before it is opened.
    def __init__(self, folder):
        self.folder = folder
        self.root = folder.root

    def Stat(self, path):
        stat = self.folder.Stat(path)
        if path == "/dir/a.txt" and stat:
            os.rename("www/dir", "www/olddir")
            os.rename("dirlink", "www/dir")
        if path == "/a.txt" and stat:
            os.rename("filelink", "www/a.txt")
        return stat

    def Open(self, path):
        return self.folder.Open(path)

@MicroWebSrv.route("/replace")
def Replace(httpClient, httpResponse):
    os.rename("link2", "www/b.txt")
    os.rename("www/sub", "www/oldsub")
    os.rename("sublink", "www/sub")

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
mws.source = Www(mws.source)
mws.Start(threaded=False)
"""


def test_a_link_in_the_place_of_a_file(serve, tmp_path):
    """Either the file that was checked is opened, or none; also if the last response for it was sent a moment ago."""
    www, outside = tmp_path / "www", tmp_path / "outside"
    for path in (www / "a.txt", www / "dir" / "a.txt", www / "b.txt", www / "sub" / "c.txt", outside / "a.txt",
                 outside / "c.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("inside" if outside not in path.parents else SECRET if path.name == "a.txt" else "secret")
        os.utime(path, (784111777, 784111777))
    (tmp_path / "filelink").symlink_to(outside / "a.txt")
    (tmp_path / "link2").symlink_to(outside / "a.txt")
    (tmp_path / "dirlink").symlink_to(outside)
    (tmp_path / "sublink").symlink_to(outside)
    server = serve(RACE)
    for target in ("/a.txt", "/dir/a.txt"):
        response = Fetch(server.port, target)
        assert (response.status, SECRET in response.text) == (404, False), target
    assert Fetch(server.port, "/b.txt").text == "inside"
    # A file of equal length and age replaces one that was sent in this second, behind a link to its folder.
    data = (Get("/b.txt") + Get("/sub/c.txt") * 2 + Get("/replace") + Get("/b.txt") + Get("/sub/c.txt")
            + Get("/oldsub/c.txt", "Connection: close"))
    responses = Answers(server, data, ("GET",) * 7)
    assert [response.status for response in responses] == [200, 200, 200, 204, 404, 404, 200]
    assert not any("secret" in response.text for response in responses)


FULL = """
from microWebSrv import MicroWebSrv
from ready import Port
files = []

@MicroWebSrv.route("/fill")
def Fill(httpClient, httpResponse):
    try:
        while len(files) < 1000:
            files.append(open("a.txt"))
    except OSError:
        httpResponse.WriteResponseOk(None, "text/plain", None, "full")

@MicroWebSrv.route("/free")
def Free(httpClient, httpResponse):
    while files:
        files.pop().close()

@MicroWebSrv.route("/send")
def Send(httpClient, httpResponse):
    print("ACCEPTED %s" % httpResponse.WriteResponseFile("a.txt"))

MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath=".").Start(threaded=False)
"""


def test_no_file_can_be_opened(serve, tmp_path):
    """503, because a cache may store a 404."""
    (tmp_path / "a.txt").write_text("a")
    server = serve(FULL)
    for target in ("/a.txt", "/send"):
        with RawClient(server.port) as client:
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (64, resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[1]))
            client.Send(Get("/fill") + Get(target) + Get("/free") + Get("/a.txt"))
            assert [client.ReadResponse().status for _ in range(4)] == [200, 503, 204, 200]
    server.Seen("ACCEPTED False")


ROOT = """
from microWebSrv import MicroWebSrv
from ready import Port

@MicroWebSrv.route("/relative")
def Relative(httpClient, httpResponse):
    httpResponse.WriteResponseFile("a.txt")

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="%s")
mws.Start(threaded=False)
"""


def test_the_whole_file_system(serve, tmp_path):
    """webPath="/": for a board whose files may all be served."""
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "index.html").write_text("index")
    server = serve(ROOT % "/")
    assert Fetch(server.port, "%s/a.txt" % tmp_path).text == "a"
    assert Fetch(server.port, "%s/" % tmp_path).text == "index"
    assert Fetch(server.port, str(tmp_path)).Header("location") == "%s/" % tmp_path
    assert Fetch(server.port, "/").status in (200, 404)
    assert Fetch(server.port, "/relative").text == "a"


@pytest.mark.parametrize("webPath", ["", ".", "www/..", "www/../"])
def test_the_working_folder(serve, tmp_path, webPath):
    (tmp_path / "www").mkdir()
    (tmp_path / "a.txt").write_text("a")
    server = serve(ROOT % webPath)
    assert Fetch(server.port, "/a.txt").text == "a"
    assert Fetch(server.port, "/etc/hosts.txt").status == Fetch(server.port, "/etc/").status == 404


PLAIN_LOCALE = """
import os
import sys
if sys.implementation.name != "micropython" and "PYTHONCOERCECLOCALE" not in os.environ:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
    os.execve(sys.executable, [sys.executable] + sys.argv, dict(os.environ, **plain))
from microWebSrv import MicroWebSrv
from ready import Port

@MicroWebSrv.route("/send")
def Send(httpClient, httpResponse):
    httpResponse.WriteResponseFile("\u00e9/\u20ac.txt")

MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath=".").Start(threaded=False)
"""


def test_paths_beyond_ascii_in_a_plain_locale(serve, tmp_path):
    """File names are UTF-8, as in URLs, whatever the locale is."""
    (tmp_path / "\u00e9").mkdir()
    (tmp_path / "\u00e9" / "\u20ac.txt").write_text("euro")
    server = serve(PLAIN_LOCALE)
    for target, status in (("/%C3%A9/%E2%82%AC.txt", 200), ("/send", 200), ("/%C3%A9", 301), ("/%C3%A8.txt", 404),
                           ("/%F0%9F%98%80.txt", 404)):
        assert Fetch(server.port, target).status == status, target


def test_a_folder_of_ten_thousand_files(serve, tmp_path):
    """The time for a file does not depend on the number of files in its folder (listing them takes MicroPython 11
    ms)."""
    for folder, count in (("few", 1), ("many", 10000)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            (tmp_path / folder / ("%d.txt" % number)).touch()
    os.utime(tmp_path / "many")
    server = serve(LEVELS.format(2))

    def Duration(target):
        start = time.monotonic()
        for _ in range(100):
            client.Send(Get(target))
            assert client.ReadResponse().status == 200
        return time.monotonic() - start

    with RawClient(server.port) as client:
        until = time.monotonic() + 10       # a folder that has just changed is listed each time
        while Duration("/many/0.txt") > 4 * Duration("/few/0.txt"):
            assert time.monotonic() < until


FAT = """
import os
from microWebSrv import MicroWebSrv
from ready import Port

class Ram:
    def __init__(self):
        self.data = bytearray(512 * 400)

    def readblocks(self, number, buffer):
        buffer[:] = self.data[number * 512:number * 512 + len(buffer)]

    def writeblocks(self, number, buffer):
        self.data[number * 512:number * 512 + len(buffer)] = buffer

    def ioctl(self, operation, argument):
        return {4: 400, 5: 512}.get(operation, 0)

ram = Ram()
os.VfsFat.mkfs(ram)
os.mount(os.VfsFat(ram), "/ram")
for name in ("www", "www/dir", "www/.git", "www/long names in a folder"):
    os.mkdir("/ram/" + name)
for name in ("INDEX.HTM", "dir/INDEX.HTM", "TEXT.TXT", "PAGE.PYHTML", ".secret.txt", ".git/config.txt",
             "long names in a folder/index.html"):
    with open("/ram/www/" + name, "w") as file:
        file.write(name)
# what the short names are for
print("SHORT", len([os.stat("/ram/www/" + name) for name in ("SECRET~1.TXT", "~1.GIT/CONFIG.TXT", "LONGNA~1")]))
mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="/ram/www")
mws.Renderers[".pyhtml"] = lambda server, path, values: ("the page of " + path,)
mws.Start(threaded=False)
"""


def test_a_fat_volume(serve, tmp_path, runtime):
    """FAT refuses a trailing slash, ignores case everywhere, and has a short name for each name."""
    if runtime != "micropython":
        pytest.skip("only MicroPython brings FAT")
    server = serve(FAT)
    server.Seen("SHORT")
    for target, text in (("/", "INDEX.HTM"), ("/dir/", "dir/INDEX.HTM"), ("/text.txt", "TEXT.TXT"), ("/TEXT.TXT", "TEXT.TXT"),
                         ("/PAGE.PYHTML", "the page of /ram/www/PAGE.PYHTML"),
                         ("/long%20names%20in%20a%20folder/", "long names in a folder/index.html")):
        response = Fetch(server.port, target)
        assert (response.status, response.text) == (200, text), target
    assert Fetch(server.port, "/dir").Header("location") == "/dir/"
    for target in ("/SECRET~1.TXT", "/secret~1.txt", "/~1.GIT/config.txt", "/~1.GIT/", "/.secret.txt", "/%2Egit/config.txt",
                   "/text.txt.", "/text.txt%20", "/dir./", "/dir%20/", "/LONGNA~1/"):
        assert Fetch(server.port, target).status == 404, target


def test_times_that_no_clock_has(serve, tmp_path):
    """Times before 1970, on which MicroPython's gmtime fails, and in the future. Last-Modified is never later than
    Date."""
    for name, second in (("old.txt", -86400), ("zero.txt", 0), ("next.txt", 4102444800)):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (second, second))
    server = serve(LEVELS.format(2))
    for name in ("old.txt", "zero.txt", "next.txt"):
        first = Fetch(server.port, "/" + name)
        assert (first.status, first.text, first.Header("last-modified")) == (200, name, None)
        fields = {"If-None-Match": first.Header("etag")}
        assert Fetch(server.port, "/" + name, headers=fields).status == 304
        fields = {"If-Modified-Since": "Sun, 06 Nov 2044 08:49:37 GMT", "Range": "bytes=0-1"}
        assert Fetch(server.port, "/" + name, headers=fields).status == 206


def test_the_core_alone(serve, tmp_path, modulePath):
    """Without microWebFiles.py: Range is ignored, .gz files are ordinary files, and the only validator is the date."""
    alone = harness.CopySources(tmp_path / "alone")
    (alone / "microWebFiles.py").unlink()
    Www(tmp_path)
    server = serve(SITE, modulePath=(alone,))
    first = Fetch(server.port, "/text.txt", headers={"Range": "bytes=0-4"})
    assert (first.status, first.text, first.Header("etag")) == (200, TEXT, None)
    fields = {"If-Modified-Since": first.Header("last-modified")}
    assert Fetch(server.port, "/text.txt", headers=fields).status == 304
    response = Fetch(server.port, "/zip.txt", headers={"Accept-Encoding": "gzip"})
    assert (response.text, response.Header("content-encoding"), response.Header("vary")) == (TEXT, None, None)
    for target in ("/out.txt", "/outdir/secret.txt", "/onlygz.txt", "/.env.txt", "/../outside/secret.txt"):
        assert Fetch(server.port, target).status == 404
    assert Fetch(server.port, "/send/none.txt").status == 404
    server.WaitLine("ACCEPTED False")


def test_a_pipe_holds_nothing_up(serve, tmp_path):
    """Only files and folders exist for the server: opening a named pipe would block for ever."""
    os.mkfifo(tmp_path / "pipe.txt")
    server = serve(LEVELS.format(2))
    with RawClient(server.port, timeoutSec=3) as client:
        client.Send(Get("/pipe.txt") + Get("/none.txt"))
        assert [client.ReadResponse().status for _ in range(2)] == [404, 404]


def test_conditional_requests(site):
    first = Fetch(site.port, "/text.txt")
    etag, modified = first.Header("etag"), first.Header("last-modified")
    data = (Get("/text.txt", "If-None-Match: " + etag) + Get("/text.txt", "If-Modified-Since: " + modified)
            + Get("/text.txt", 'If-Match: "other"') + Get("/text.txt", "Connection: close"))
    responses = Answers(site, data, ("GET",) * 4)
    assert [response.status for response in responses] == [304, 304, 412, 200]
    assert responses[0].Header("etag") == etag and responses[0].Header("cache-control") == "no-cache"


def test_a_changed_file_is_sent_anew(site):
    """The validator changes with the size or the time."""
    path = Folder(site) / "www" / "changing.txt"
    path.write_text("old")
    os.utime(path, (999999999, 999999999))
    etag = Fetch(site.port, "/changing.txt").Header("etag")
    assert Fetch(site.port, "/changing.txt", headers={"If-None-Match": etag}).status == 304
    path.write_text("new and longer")
    response = Fetch(site.port, "/changing.txt", headers={"If-None-Match": etag})
    assert (response.status, response.text) == (200, "new and longer") and response.Header("etag") != etag
    os.utime(path, (1000000000, 1000000000))
    response = Fetch(site.port, "/changing.txt", headers={"If-None-Match": response.Header("etag")})
    assert (response.status, response.Header("last-modified")) == (200, formatdate(1000000000, usegmt=True))


def Folder(server):
    return harness.Path("/proc/%d/cwd" % server.pid).resolve()


def test_a_new_file_is_there_at_once_or_soon(site):
    """The absence of a file may be cached for a second, not longer."""
    www = Folder(site) / "www"
    name = "new-%s" % site.runtime
    assert Fetch(site.port, "/%s.txt" % name).status == 404
    (www / (name + ".txt")).write_text("new")
    until = time.monotonic() + 3
    while Fetch(site.port, "/%s.txt" % name).status != 200:
        assert time.monotonic() < until
    path = www / (name + ".txt.gz")
    path.write_bytes(gzip.compress(b"new"))
    while Fetch(site.port, "/%s.txt" % name, headers={"Accept-Encoding": "gzip"}).Header("content-encoding") is None:
        assert time.monotonic() < until + 3
    path.unlink()
    (www / (name + ".txt")).unlink()
    while Fetch(site.port, "/%s.txt" % name).status != 404:
        assert time.monotonic() < until + 3


def test_ranges(site):
    for value, status, body in (("bytes=10-19", 206, BIG[10:20]), ("bytes=-5", 206, BIG[-5:]),
                                ("bytes=2000000-", 206, BIG[2000000:]), ("bytes=1-1999998", 206, BIG[1:1999999]),
                                ("bytes=0-0,5-6", 200, BIG), ("bytes=x", 200, BIG), ("bytes=9999999-", 416, b"")):
        response = Fetch(site.port, "/big.bin", headers={"Range": value})
        assert (response.status, response.body == body) == (status, True)
    assert Fetch(site.port, "/big.bin", headers={"Range": "bytes=9999999-"}).Header("content-range") == "bytes */2097152"


def test_a_download_goes_on_where_it_broke_off(site):
    """Like curl -C: a range after the downloaded bytes, if the file is unchanged."""
    with RawClient(site.port) as client:
        client.Send(Get("/big.bin"))
        head = client.ReadUntil(b"\r\n\r\n")
        part = client.ReadExactly(700000)
        client.Close(reset=True)
    etag = [line[6:] for line in head.decode().split("\r\n") if line.lower().startswith("etag: ")][0]
    fields = {"Range": "bytes=%d-" % len(part), "If-Range": etag}
    response = Fetch(site.port, "/big.bin", headers=fields)
    assert (response.status, part + response.body == BIG) == (206, True)
    assert Fetch(site.port, "/big.bin", headers={"Range": "bytes=5-", "If-Range": '"other"'}).status == 200


def test_compressed_sibling(site):
    with httpx.Client(base_url=site.Url(), headers={"Accept-Encoding": "gzip"}) as client:
        response = client.get("/zip.txt")
        assert (response.text, response.headers["content-encoding"], response.headers["vary"]) \
            == (TEXT, "gzip", "Accept-Encoding")
        etag = response.headers["etag"]
        assert client.get("/zip.txt", headers={"If-None-Match": etag}).status_code == 304
        plain = client.get("/zip.txt", headers={"Accept-Encoding": "identity"})
        assert (plain.text, plain.headers["vary"]) == (TEXT, "Accept-Encoding")
        assert "content-encoding" not in plain.headers and plain.headers["etag"] != etag


def test_write_file(site):
    response = Fetch(site.port, "/send/text.txt")
    assert (response.text, response.mediaType) == (TEXT, "text/plain") and response.Header("etag")
    site.WaitLine("ACCEPTED True")
    assert Fetch(site.port, "/send/none.txt").status == 404
    site.WaitLine("ACCEPTED False")
    assert Fetch(site.port, "/send/dir").status == 404
    assert Fetch(site.port, "/send/big.bin").body == BIG
    assert Fetch(site.port, "/send/main.py").mediaType == "application/octet-stream"
    assert Fetch(site.port, "/send/text.txt", "HEAD").Header("content-length") == "100"
    response = Fetch(site.port, "/send/text.txt", headers={"Range": "bytes=0-4"})
    assert (response.status, response.text) == (206, "01234")
    response = Fetch(site.port, "/send-as/secret.txt")
    assert (response.text, response.mediaType, response.Header("x-own")) == (SECRET, "text/x-own", "yes")


@pytest.mark.parametrize("target, disposition", [
    ("/attach/a.txt", 'attachment; filename="a.txt"'),
    ("/attach/a%20b.txt", 'attachment; filename="a b.txt"'),
    ("/attach/%22%0D%0AX:y", "attachment; filename=\"___X:y\"; filename*=UTF-8''%22%0D%0AX%3Ay"),
    ("/attach/%C3%A9.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt")])
def test_attachment(site, target, disposition):
    response = Fetch(site.port, target)
    assert (response.text, response.Header("content-disposition")) == (TEXT, disposition)
    assert response.Header("x-own") == "yes" and response.Header("x") is None


@pytest.mark.parametrize("level, control", [(0, "no-store"), (1, "max-age="), (2, "no-cache")])
def test_cache_levels(serve, tmp_path, level, control):
    (tmp_path / "a.txt").write_text("a")
    os.utime(tmp_path / "a.txt", (1000000000, 1000000000))
    server = serve(LEVELS.format(level))
    response = Fetch(server.port, "/a.txt")
    assert control in response.Header("cache-control")
    assert bool(response.Header("etag")) == bool(response.Header("last-modified")) == bool(level)


CAPTIVE = """
from microWebSrv import MicroWebSrv
from ready import Port
mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath=".")
mws.SetNotFoundPageUrl("http://my-device.wifi")
mws.Start(threaded=False)
"""


def test_captive_portal(serve, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    server = serve(CAPTIVE)
    for target in ("/generate_204", "/hotspot-detect.html", "/none/", "/../a.txt"):
        response = Fetch(server.port, target)
        assert (response.status, response.Header("location")) == (302, "http://my-device.wifi")
    assert Fetch(server.port, "/a.txt").text == "a"
    assert Fetch(server.port, "/main.py").status == 403


GONE = """
import os
from microWebSrv import MicroWebSrv
from ready import Port

class Www:
    # A webPath of one's own: one file, which becomes shorter while it is sent.
    def Stat(self, path):
        return (False, 1000000, 0) if path == "/short.txt" else (True, 0, 0) if path == "/" else None

    def Open(self, path):
        return open("short.txt", "rb")

MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath=Www()).Start(threaded=False)
"""


def test_a_file_that_shrinks_cuts_the_connection(serve, tmp_path):
    """Fewer bytes than Content-Length: the client must see that the response is incomplete."""
    (tmp_path / "short.txt").write_bytes(b"s" * 300000)
    server = serve(GONE)
    server.ExpectError("shorter")
    with RawClient(server.port) as client:
        client.Send(Get("/short.txt"))
        data = client.ReadToEnd()
        assert b"Content-Length: 1000000\r\n" in data and len(data) < 400000
    assert Fetch(server.port, "/").status == 404


DEFAULTS = """
from microWebSrv import MicroWebSrv
from ready import Port

def Own(httpClient, httpResponse):
    httpResponse.WriteResponseOk({"x-frame-options": "SAMEORIGIN"}, "text/plain", "UTF-8", "own")

def Broken(httpClient, httpResponse):
    raise ValueError("broken on purpose")

def Off(httpClient, httpResponse):
    mws.SetDefaultHeaders()
    httpResponse.WriteResponseOk()

mws = MicroWebSrv([("/own", "GET", Own), ("/broken", "GET", Broken), ("/off", "GET", Off)],
                  port=Port(), bindIP="127.0.0.1", webPath=".")
mws.ErrorCallback = lambda text, error: None
for headers in ({"Content-Length": 5}, {"content-type": "a/b"}, {"Date": "now"}, {"X": "a\\r\\nY: b"}, {"X Y": "a"}):
    try:
        mws.SetDefaultHeaders(headers)
        print("ACCEPTED %s" % headers)
    except ValueError:
        pass
mws.SetDefaultHeaders({"X-Frame-Options": "DENY", "Cache-Control": "private", "Server": "mine"})
mws.Start(threaded=False)
"""


def test_default_headers(serve, tmp_path):
    """Each response has them, and none of them twice."""
    (tmp_path / "a.txt").write_text("a")
    server = serve(DEFAULTS)
    for target, status, frame, cache in (
            ("/a.txt", 200, "DENY", "no-cache"), ("/own", 200, "SAMEORIGIN", "private"), ("/", 404, "DENY", "private"),
            ("/broken", 500, "DENY", "private"), ("/a.txt/%2x", 400, "DENY", "private")):
        response = Fetch(server.port, target)
        assert response.status == status
        assert [response.Headers(name) for name in ("x-frame-options", "cache-control", "server")] == [
            [frame], [cache], ["mine"]], target
    Fetch(server.port, "/off")
    assert not Fetch(server.port, "/own").Headers("server")
    assert "ACCEPTED" not in server.stdout


SMALL = """
from microWebSrv import MicroWebSrv
from ready import Port

def Length(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "%d" % len(httpClient.ReadRequestContent()))

mws = MicroWebSrv([("/length", "POST", Length)], port=Port(), bindIP="127.0.0.1", webPath=".")
mws.SetSmall()
mws.Start(threaded=False)
"""


def test_small(serve, tmp_path):
    """SetSmall sets all limits: requests below them work, requests above get the status of the limit."""
    (tmp_path / "a.txt").write_bytes(b"a" * 10000)
    server = serve(SMALL)
    assert Fetch(server.port, "/a.txt").body == b"a" * 10000
    for request, status in ((Post("/length", b"x" * 4096), 200), (Post("/length", b"x" * 4097), 413),
                            (Get("/" + "a" * 600), 414), (Get("/a.txt", "X: " + "y" * 2100), 431)):
        with RawClient(server.port) as client:
            client.Send(request)
            assert client.ReadResponse().status == status
