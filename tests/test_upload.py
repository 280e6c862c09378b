"""microWebUpload: forms with files and PUT as a stream, to folders and writers; with common clients and malicious
ones."""

import asyncio
import hashlib
import json
import os
import subprocess
import time

import aiohttp
import httpx
import pytest
import requests

import harness
from harness import DEADLINE_SEC, Fetch, RawClient, RequestBytes
from http_tools import MP, SharedSite   # makes the next module importable
import play_upload
from play_upload import A, END, FORM, Part

PROGRAM = """
import json
import os
import sys
import microWebUpload
from microWebSrv import MicroWebSrv
from microWebUpload import AcceptUploads, CleanFolder, SafeName
from ready import Port


def Show(httpClient, httpResponse, routeArgs=None):
    upload = httpClient.upload
    httpResponse.WriteResponseJSONOk({
        "fields": sorted([[name, upload.GetList(name)] for name in upload.fields]),
        "files": [[file.field, file.name, file.contentType, file.size, file.path] for file in upload.files]})


for path in ("/up", "/full", "/progress", "/guarded", "/writer", "/small", "/disk"):
    MicroWebSrv.route(path, "POST")(Show)
MicroWebSrv.route("/threaded", "POST", threaded=True)(Show)
MicroWebSrv.route("/put/<name>", "PUT")(Show)


@MicroWebSrv.route("/async", "POST")
async def Async(httpClient, httpResponse):
    content = await httpClient.ReadRequestContent()
    assert content == b"", content
    Show(httpClient, httpResponse)


@MicroWebSrv.route("/raises", "POST")
def Raise(httpClient, httpResponse):
    raise RuntimeError("on purpose")


@MicroWebSrv.route("/turn")
def Turn(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(sorted(os.listdir("up")))


class Full:
    # On a disk without room: Python says so when it writes what it has kept, and once more when it closes.

    def __init__(self, path, mode):
        self.file = open(path, mode)

    def write(self, data):
        if len(data) > 1000:
            raise OSError(28, "no space")
        return self.file.write(data)

    def close(self):
        self.file.close()
        raise OSError(28, "no space")


def Open(path, mode):
    return (Full if path[:5] == "disk/" else open)(path, mode)


microWebUpload.open = Open
os.mkdir("disk")


class Writer:
    def __init__(self, name):
        self.name = name
        self.size = 0

    def Write(self, data):
        self.size += len(data)
        if self.name in ("full.bin", "quota.bin") and self.size > 5000:
            raise OSError(28 if self.name == "full.bin" else 122)
        if self.name == "crash.bin":
            raise RuntimeError("on purpose")

    def Close(self):
        if self.name == "wrong.bin":
            raise mws.HttpError(422, "the wrong hash")
        print("CLOSED %s %d" % (self.name, self.size))

    def Abort(self):
        print("ABORTED %s" % self.name)


def To(httpClient, file):
    if file.name[-4:] == ".exe":
        raise mws.HttpError(415, "no programs")
    if file.name[-4:] == ".txt":
        return "up/own-" + file.name
    if file.name[-5:] == ".func":
        return lambda data: print("FUNC %d" % len(data))
    return Writer(file.name)


def Guard(httpClient, httpResponse):
    if httpClient.GetRequestHeaders().get("x-key") != "1":
        httpResponse.WriteResponseError(401)


def Late(httpClient, httpResponse):
    if httpClient.GetRequestHeaders().get("x-late"):
        return lambda httpClient, httpResponse: httpResponse.WriteResponseForbidden()


def Progress(httpClient, received, total):
    print("PROGRESS %d %s" % (received, total))


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
mws.MaxRequestContentLen = 100
mws.BodyTimeoutSec = 2
mws.StopGraceSec = 1
mws.Before(Guard, "/guarded")
mws.Before(Late)
for path in ("/up", "/async", "/threaded", "/raises", "/guarded", "/no/route"):
    AcceptUploads(mws, path, "up", maxFiles=4)
AcceptUploads(mws, "/put", "up/", "PUT", maxFileLen=1000000)
AcceptUploads(mws, "/full", "up", spareLen=1 << 55)
AcceptUploads(mws, "/small", "up", maxFileLen=1000, maxFiles=1)
AcceptUploads(mws, "/writer", To)
AcceptUploads(mws, "/disk", lambda httpClient, file: "disk/" + file.name)
AcceptUploads(mws, "/progress", "up", progress=Progress)
mws.Start(threaded=True)
sys.stdin.read()
mws.Stop()
"""


def Site(folder):
    (folder / "www").mkdir()
    (folder / "up").mkdir()
    (folder / "up" / ".upload-12ab").write_text("of a power failure")
    (folder / "up" / "kept.txt").write_text("kept")


def Prepare(folder):
    Site(folder)
    global _folder
    _folder = folder


site = SharedSite(PROGRAM, Prepare)


@pytest.fixture
def up(site):
    """The folder of the uploads: before and after each test it contains only complete files."""
    folder = _folder / "up"
    yield folder
    Quiet(site)
    for path in folder.iterdir():
        assert path.name[0] != "."
        if path.name != "kept.txt":
            path.unlink()


def Quiet(site):
    """Wait until no upload is in progress."""
    deadline = time.monotonic() + DEADLINE_SEC
    while any(name[0] == "." for name in Fetch(site.port, "/turn").Json()):
        assert time.monotonic() < deadline, "a part file is left"


def WaitParts(site, count):
    """Wait until this many uploads are in progress."""
    deadline = time.monotonic() + DEADLINE_SEC
    while sum(name[0] == "." for name in Fetch(site.port, "/turn").Json()) != count:
        assert time.monotonic() < deadline, "%d uploads were expected" % count


def Form(*parts):
    return b"".join(parts) + END


def Send(site, path, body, **fields):
    headers = {"Content-Type": FORM, **{name.replace("_", "-"): value for name, value in fields.items()}}
    return Fetch(site.port, path, "POST", headers, body)


# ---------------------------------------------------------------------------------------------- the parser, cut anywhere

@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_cases(interpreter, tmp_path):
    printed = harness.RunProgram(interpreter, MP / "play_upload.py", tmp_path, (harness.SourcesOf(interpreter), MP), args=("cases",),
                                 timeoutSec=60)
    assert printed == "CASES %d, bad 0\n" % (len(play_upload.CASES) + len(play_upload.PUTS))


# ------------------------------------------------------------------------------------------------------- targets

BIG = bytes(range(256)) * 1200


def test_a_form_goes_to_the_folder(site, up):
    assert sorted(path.name for path in up.iterdir()) == ["kept.txt"], "what a power failure has left is removed at the start"
    body = Form(A, Part('name="f"; filename="a b.bin"', BIG, "Content-Type: x/y"), A, Part('name="f"; filename="kept.txt"', b"new"))
    for path in ("/up", "/threaded", "/async", "/up/"):
        (up / "kept.txt").write_text("old")
        assert Send(site, path, body).Json() == {
            "fields": [["a", ["1", "1"]]],
            "files": [["f", "a b.bin", "x/y", len(BIG), "up/a b.bin"], ["f", "kept.txt", "", 3, "up/kept.txt"]]}
        assert (up / "a b.bin").read_bytes() == BIG and (up / "kept.txt").read_text() == "new"
        (up / "a b.bin").unlink()


def test_put(site, up):
    for content in (BIG, b"", b"x"):
        assert Fetch(site.port, "/put/a%20b.bin", "PUT", (), content).Json()["files"] == [["", "a b.bin", "", len(content), "up/a b.bin"]]
        assert (up / "a b.bin").read_bytes() == content
    assert Fetch(site.port, "/put/a%20b.bin", "PUT", {"Content-Range": "bytes 0-0/2"}, b"y").status == 400
    assert (up / "a b.bin").read_bytes() == b"x"
    assert Fetch(site.port, "/put/big", "PUT", (), b"x" * 1000001).status == 413
    for name in ("..%2Fx", "%2e%2e%5cx", "..", "%2e%2e", "CON", "a:x", "conin$.txt", "a%C2%85%D8%9C%7Fb"):
        answer = Fetch(site.port, "/put/" + name, "PUT", (), b"x")
        assert answer.status == 200 and answer.Json()["files"][0][1] in ("x", "file", "_CON", "_conin$.txt", "a___b")
    assert not (_folder / "x").exists()


def test_a_chunked_put(site, up):
    with RawClient(site.port) as client:
        client.Send(b"PUT /put/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        WaitParts(site, 1)
        client.Send(b"1\r\n!\r\n0\r\n\r\n")
        assert client.ReadResponse().Json()["files"] == [["", "c", "", 6, "up/c"]]
    with RawClient(site.port) as client:
        client.Send(b"PUT /put/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nbroken\r\n")
        assert client.ReadResponse().status == 400
    assert (up / "c").read_bytes() == b"hello!"


def test_writers_of_the_program(site, up):
    body = Form(Part('name="f"; filename="x.bin"', BIG), Part('name="f"; filename="y.txt"', b"text"), Part('name="f"; filename="z.func"', b"12345"))
    assert [file[1:] for file in Send(site, "/writer", body).Json()["files"]] == [
        ["x.bin", "", len(BIG), None], ["y.txt", "", 4, "up/own-y.txt"], ["z.func", "", 5, None]]
    site.WaitLine("^FUNC 5$")
    site.WaitLine("^CLOSED x.bin %d$" % len(BIG))
    assert (up / "own-y.txt").read_text() == "text"


@pytest.mark.parametrize("name, status", [("full.bin", 507), ("quota.bin", 507), ("wrong.bin", 422), ("a.exe", 415)])
def test_a_writer_refuses(site, up, name, status):
    text = Part('name="f"; filename="y.txt"', b"text")
    body = Form(text, Part('name="f"; filename="ok.bin"', b"x"), Part('name="f"; filename="%s"' % name, b"x" * 6000), text)
    answer = Send(site, "/writer", body)
    assert answer.status == status
    if name == "wrong.bin":
        site.WaitLine("^CLOSED ok.bin 1$")
        assert "the wrong hash" in answer.text
    if name != "a.exe":
        site.WaitLine("^ABORTED %s$" % name)
    assert not (up / "own-y.txt").exists()


@pytest.mark.parametrize("size", [10, 5000])
def test_the_disk_is_full(site, up, size):
    """The error occurs on a write, or when the file is closed: no file remains, and nothing is logged."""
    assert Send(site, "/disk", Form(Part('name="f"; filename="a"', b"x" * size))).status == 507
    assert list((_folder / "disk").iterdir()) == []


def test_a_writer_fails(site, up):
    site.ExpectError("RuntimeError: on purpose")
    assert Send(site, "/writer", Form(Part('name="f"; filename="crash.bin"', b"x"))).status == 500
    site.WaitLine("^ABORTED crash.bin$")
    assert Send(site, "/raises", Form(Part('name="f"; filename="a"', b"x"))).status == 500
    assert (up / "a").read_bytes() == b"x", "it was the handler that failed: the upload was whole"


def test_progress(site, up):
    body = Form(Part('name="f"; filename="a"', b"x" * 20000))
    with RawClient(site.port) as client:
        head = RequestBytes("POST", "/progress", {"Content-Type": FORM, "Content-Length": len(body)})
        client.Send(head + body[:1000])
        site.WaitLine(r"^PROGRESS 1000 %d$" % len(body))
        client.Send(body[1000:])
        site.WaitLine(r"^PROGRESS (\d+) \1$")
        assert client.ReadResponse().status == 200


# ---------------------------------------------------------------------------------------------------------- refusals

def test_refused_before_the_content(site, up):
    """A client that waits for `100 Continue` gets the refusal instead, and sends nothing."""
    for path, size, status in (("/guarded", 10, 401), ("/full", 10, 507), ("/small", 1000000, 413), ("/no/route", 10, 404)):
        with RawClient(site.port) as client:
            client.Send(RequestBytes("POST", path, {"Content-Type": FORM, "Content-Length": size, "Expect": "100-continue"}))
            answer = client.ReadResponse("POST")
            assert (answer.status, answer.interim) == (status, [])
    body = Form(Part('name="f"; filename="a"', b"x"))
    with RawClient(site.port) as client:
        client.Send(RequestBytes("POST", "/up", {"Content-Type": FORM, "Content-Length": len(body), "Expect": "100-continue"}))
        client.ReadUntil(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.Send(body)
        assert client.ReadResponse("POST").status == 200


def test_hooks(site, up):
    body = Form(Part('name="f"; filename="a"', b"x"))
    assert Send(site, "/guarded", body).status == 401
    assert Send(site, "/up", body, X_Late="1").status == 403
    assert Send(site, "/no/route", body).status == 404
    Quiet(site)
    assert sorted(path.name for path in up.iterdir()) == ["kept.txt"]
    assert Send(site, "/guarded", body, X_Key="1").status == 200


def test_the_connection_goes_on_behind_a_refusal_of_a_form(site, up):
    body = Form(Part('name="f"; filename="a"', b"x"))
    with RawClient(site.port) as client:
        for _ in range(3):
            client.Send(RequestBytes("POST", "/up", {"Content-Type": FORM}, body) * 2)
            assert [client.ReadResponse().status for _ in range(2)] == [200, 200]
    refused = harness.RawExchange(site.port, RequestBytes("POST", "/up", {"Content-Type": "text/plain"}, body) * 2)
    assert refused.startswith(b"HTTP/1.1 415 ")
    with RawClient(site.port) as client:     # the content of the bad form has arrived, so the next request can be found
        client.Send(RequestBytes("POST", "/up", {"Content-Type": FORM}, body[:-8]) + RequestBytes("GET", "/turn"))
        assert [client.ReadResponse().status for _ in range(2)] == [400, 200]


def test_the_name_of_a_folder(site, up):
    (up / "sub").mkdir()
    try:
        body = Form(Part('name="f"; filename="first.txt"', b"x"), Part('name="f"; filename="sub"', b"x"))
        assert Send(site, "/up", body).status == 409
        assert sorted(path.name for path in up.iterdir()) == ["kept.txt", "sub"]
    finally:
        (up / "sub").rmdir()


@pytest.mark.parametrize("params", ['a="' + '\\"' * 14000, ";".join("%x=" % number for number in range(5000))], ids=["quotes", "many"])
def test_parameters_take_no_square_of_time(site, up, params):
    start = time.monotonic()
    with RawClient(site.port) as client:
        client.Send(RequestBytes("POST", "/up", {"Content-Type": "multipart/form-data; " + params}, b"x"))
        assert client.ReadResponse().status == 400
    assert time.monotonic() - start < 1.5


def test_the_client_goes(site, up):
    body = Form(Part('name="f"; filename="kept.txt"', BIG))
    head = RequestBytes("POST", "/up", {"Content-Type": FORM, "Content-Length": len(body)})
    for reset in (False, True):
        client = RawClient(site.port)
        client.Send(head + body[:-100])
        WaitParts(site, 1)
        client.Close(reset)
        Quiet(site)
    assert (up / "kept.txt").read_text() in ("kept", "new")


def test_a_client_that_falls_silent(site, up):
    body = Form(Part('name="f"; filename="a"', BIG))
    with RawClient(site.port) as client:
        client.Send(RequestBytes("POST", "/up", {"Content-Type": FORM, "Content-Length": len(body)}) + body[:200])
        WaitParts(site, 1)
        assert client.ReadResponse("POST").status == 408
    Quiet(site)


def test_a_slow_client(site, up):
    """Byte by byte; other clients are served meanwhile."""
    body = Form(A, Part('name="f"; filename="a"', b"1\r\n--\r\n2"))
    with RawClient(site.port) as client:
        client.Send(RequestBytes("POST", "/up", {"Content-Type": FORM, "Content-Length": len(body)}))
        for at in range(len(body)):
            client.Send(body[at:at + 1])
            if at % 20 == 0:
                Fetch(site.port, "/turn")
        assert client.ReadResponse().status == 200
    assert (up / "a").read_bytes() == b"1\r\n--\r\n2"


def test_two_uploads_of_one_name(site, up):
    """The upload that ends last is kept, complete; an aborted one leaves no file."""
    def Begin(content):
        client = RawClient(site.port)
        client.Send(RequestBytes("PUT", "/put/same.bin", {"Content-Length": "10000"}) + content * 5000)
        return client

    with Begin(b"1") as first, Begin(b"2") as second, Begin(b"3"):
        WaitParts(site, 3)
        first.Send(b"1" * 5000)
        assert first.ReadResponse().status == 200
        assert (up / "same.bin").read_bytes() == b"1" * 10000
        second.Send(b"2" * 5000)
        assert second.ReadResponse().status == 200
    Quiet(site)
    assert (up / "same.bin").read_bytes() == b"2" * 10000


def test_hostile_forms(site, up):
    """Each takes its sender more effort than the server: it is refused at the limit, long before it is complete."""
    for part in (Part('name="a"', b""), Part('name="f"; filename="a"', b"")):
        assert Send(site, "/up", part * 10000 + END).status == 413
    for start in (b"--B\r\nX: ", b"--B\r\n" + b"X: y\r\n" * 300, b"--B" + b" " * 2000):
        with RawClient(site.port) as client:
            client.Send(RequestBytes("POST", "/up", {"Content-Type": FORM, "Content-Length": "60000000"}) + start + b"x" * 3000)
            assert client.ReadResponse("POST").status == 413
    near = b"\r\n--" + b"B" * 69
    content = near * 3000
    form = FORM[:-1] + "B" * 70
    body = b"--" + b"B" * 70 + b'\r\nContent-Disposition: form-data; name="f"; filename="near"\r\n\r\n' + content + b"\r\n--" + b"B" * 70 + b"--"
    assert Fetch(site.port, "/up", "POST", {"Content-Type": form}, body).status == 200
    assert (up / "near").read_bytes() == content
    for name in ("../x", "..\\x", "/etc/x", "a/../../x", "%2e%2e%2fx", "x\\", "..%00/x"):
        answer = Send(site, "/up", Form(Part('name="f"; filename="%s"' % name, b"data")))
        assert answer.status in (200, 400) and (answer.status == 400 or "/" not in answer.Json()["files"][0][4][3:])
    assert not (_folder / "x").exists()
    for name in ("a\0b", "a\rb", "a\nb"):
        assert Send(site, "/up", Form(Part('name="f"; filename="%s"' % name, b"data"))).status == 400


def test_stop_removes_what_is_not_complete(serve, tmp_path):
    Site(tmp_path)
    server = serve(PROGRAM)
    client = RawClient(server.port)
    client.Send(RequestBytes("PUT", "/put/a", {"Content-Length": "10000"}) + b"x" * 5000)
    WaitParts(server, 1)
    server.Finish()
    client.Close()
    assert [path.name for path in (tmp_path / "up").iterdir()] == ["kept.txt"]


# ----------------------------------------------------------------------------------------------------------- clients

NAME = "t\u00e9st \u20ac.bin"


def Expect(answer, up, fields=(("a", ["1", "2"]),), name=NAME, types=("application/octet-stream",)):
    assert answer["fields"] == [list(pair) for pair in fields]
    (file,) = answer["files"]
    assert file[0] == "f" and file[1] == name and file[2] in types and file[3] == len(BIG)
    assert (up / name).read_bytes() == BIG


def test_curl(site, up, tmp_path):
    source = tmp_path / NAME
    source.write_bytes(BIG)
    curl = (harness.FindTool("curl"), "-s", "-S", "--max-time", "15")
    done = subprocess.run([*curl, "-F", "a=1", "-F", "a=2", "-F", "f=@%s" % source, site.Url("/up")], capture_output=True, check=True)
    Expect(json.loads(done.stdout), up)
    odd = tmp_path / 'q"uo;te%.bin'
    odd.write_bytes(BIG)
    done = subprocess.run([*curl, "-F", "a=1", "-F", 'f=@"%s"' % str(odd).replace('"', '\\"'), site.Url("/up")], capture_output=True, check=True)
    Expect(json.loads(done.stdout), up, [("a", ["1"])], "q_uo;te%.bin")
    done = subprocess.run([*curl, "-T", source, site.Url("/put/c.bin")], capture_output=True, check=True)
    assert json.loads(done.stdout)["files"][0][3] == len(BIG) and (up / "c.bin").read_bytes() == BIG
    # chunked
    done = subprocess.run([*curl, "-T", "-", site.Url("/put/d.bin")], capture_output=True, check=True, input=BIG)
    assert (up / "d.bin").read_bytes() == BIG
    done = subprocess.run([*curl, "-o", os.devnull, "-w", "%{http_code}", "-F", "f=@%s" % source, site.Url("/small")], capture_output=True)
    assert done.stdout == b"413", "told so before it has sent all"


def test_httpx(site, up):
    answer = httpx.post(site.Url("/up"), data={"a": ["1", "2"]}, files={"f": (NAME, BIG)})
    Expect(answer.json(), up)
    answer = httpx.post(site.Url("/up"), data={"a": "1"}, files={"f": ('a"b\\c\r\n.bin', BIG)})
    Expect(answer.json(), up, [("a", ["1"])], "c__.bin")


def test_requests(site, up):
    answer = requests.post(site.Url("/up"), data=[("a", "1"), ("a", "2")], files={"f": (NAME, BIG, "application/octet-stream")}, timeout=15)
    Expect(answer.json(), up)
    assert requests.put(site.Url("/put/x.bin"), data=BIG, timeout=15).status_code == 200 and (up / "x.bin").read_bytes() == BIG


def test_aiohttp(site, up):
    async def Post():
        form = aiohttp.FormData()
        form.add_field("a", "1")
        form.add_field("a", "2")
        form.add_field("f", BIG, filename=NAME)
        async with aiohttp.ClientSession() as session, session.post(site.Url("/up"), data=form) as answer:
            return await answer.json()

    Expect(asyncio.run(Post()), up)


NODE = """
const form = new FormData();
form.append("a", "1");
form.append("a", "2");
const data = new Uint8Array(%d).map((_, at) => at);
form.append("f", new File([data], "t\\u00e9st \\u20ac.bin"));
const answer = await fetch(process.argv[2], { method: "POST", body: form });
console.log(await answer.text());
"""


def test_node(site, up, tmp_path):
    script = tmp_path / "form.mjs"
    script.write_text(NODE % len(BIG))
    done = subprocess.run([harness.FindTool("node"), script, site.Url("/up")], capture_output=True, text=True, encoding="utf-8", timeout=30)
    assert done.returncode == 0, done.stderr
    Expect(json.loads(done.stdout), up)


# ------------------------------------------------------------------------------------------------------------ memory

MEMORY = """
import gc
from microWebSrv import MicroWebSrv
from microWebUpload import AcceptUploads
from ready import Port


def Done(httpClient, httpResponse, routeArgs=None):
    httpResponse.WriteResponseJSONOk(httpClient.upload.files[0].size)


mws = MicroWebSrv([("/up", "POST", Done), ("/put/<name>", "PUT", Done)], port=Port(), bindIP="127.0.0.1", webPath="www")
mws.SetSmall()
AcceptUploads(mws, "/up", "up")
AcceptUploads(mws, "/put", "up", "PUT")
mws.Start(threaded=False)
"""


@pytest.mark.parametrize("runtime", ["micropython"])
def test_memory(serve, tmp_path):
    """10 MB with a heap smaller than a tenth of that."""
    (tmp_path / "up").mkdir()
    server = serve(MEMORY, options=("-X", "heapsize=600k"))
    content = os.urandom(1 << 20) * 10
    body = Form(Part('name="f"; filename="a"', content))
    assert Send(server, "/up", body).Json() == len(content)
    assert hashlib.sha256((tmp_path / "up" / "a").read_bytes()).digest() == hashlib.sha256(content).digest()
    assert Fetch(server.port, "/put/b", "PUT", (), content).Json() == len(content)
    assert (tmp_path / "up" / "b").read_bytes() == content


# ------------------------------------------------------------------------------------------------------ registration

def test_absent_and_wrong(tmp_path):
    program = """
from microWebSrv import MicroWebSrv
import microWebUpload
mws = MicroWebSrv(webPath=".")
for arguments in (("up", "x"), ("/up", "no/folder")):
    try:
        microWebUpload.AcceptUploads(mws, *arguments)
        print("no error")
    except (ValueError, OSError) as error:
        print(type(error).__name__)
microWebUpload.AcceptUploads(mws, "/up", "made")
print(microWebUpload.SafeName("../a"))
"""
    for runtime in ("cpython", "micropython"):
        printed = harness.RunProgram(runtime, program, tmp_path, (harness.SourcesOf(runtime),)).split()
        assert printed == ["ValueError", "OSError" if runtime == "micropython" else "FileNotFoundError", "a"]
    assert (tmp_path / "made").is_dir()
