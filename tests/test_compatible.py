"""What programs of the older server expect, and the errors for invalid arguments: on each runtime."""

import re


import pytest

import harness
from harness import Fetch, RawClient
from http_tools import Get

# ------------------------------------------------------------------------------------------------ the runtime

IMPORTS = """
import sys
import types
stub = types.ModuleType("micropython")          # as editors and type checkers install it: it has no const
sys.modules["micropython"] = stub
from microWebSrv import MicroWebSrv
from ready import Port

def Page(httpClient, httpResponse):
    httpResponse.WriteResponsePyHTMLFile("page.pyhtml", vars={"name": "<Ann>"})

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText(text)

mws = MicroWebSrv([("/page", "GET", Page)], Port(), "127.0.0.1", ".")
mws.AcceptWebSocketCallback = Accept
mws.Start(threaded=False)
"""


@pytest.mark.parametrize("way", ("without const", "with const"))
def test_a_module_named_micropython_on_a_desk(serve, tmp_path, runtime, way):
    """The runtime is determined by sys.implementation, whatever modules are in the path."""
    if runtime == "micropython":
        pytest.skip("there it is real")
    (tmp_path / "page.pyhtml").write_text("{{ for n in [1, 2] }}{{ name }}{{ n }}{{ end }}")
    from websockets.sync.client import connect
    server = serve(IMPORTS if way == "without const" else IMPORTS.replace("from microWebSrv", """
stub.const = lambda value: 1 / 0
from microWebSrv"""))
    assert Fetch(server.port, "/page").text == "&lt;Ann&gt;1&lt;Ann&gt;2"
    assert Fetch(server.port, "/main.py").status == 403
    with connect("ws://127.0.0.1:%d/" % server.port, proxy=None, open_timeout=harness.DEADLINE_SEC) as webSocket:
        webSocket.send("echo")
        assert webSocket.recv(harness.DEADLINE_SEC) == "echo"


# -------------------------------------------------------------------------------------------------- forms

FORMS = """
from microWebSrv import MicroWebSrv
from ready import Port

def Form(httpClient, httpResponse):
    form = httpClient.ReadRequestPostedFormData()
    httpResponse.WriteResponseJSONOk([[name, form[name]] for name in sorted(form)])

async def AsyncForm(httpClient, httpResponse):
    form = await httpClient.ReadRequestPostedFormData()
    httpResponse.WriteResponseJSONOk([[name, form[name]] for name in sorted(form)])

mws = MicroWebSrv([("/form", "POST", Form), ("/async", "POST", AsyncForm)], Port(), "127.0.0.1", "www")
mws.Start(threaded=False)
"""


def Multipart(*parts, boundary="xYz", end="--\r\n"):
    """(head, content) of each part -> the content of a request."""
    data = b""
    for head, content in parts:
        data += b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary.encode(), head, content)
    return data + b"--%s%s" % (boundary.encode(), end.encode())


def Named(name, more=b""):
    return b"Content-Disposition: form-data; name=" + name + more


FIELDS = (Named(b'"first"'), b"Ann & Bob"), (Named('"café"'.encode()), "zwölf\r\nlines\r\n--xY".encode()), (Named(b'"empty"'), b"")
BOTH = [["café", "zwölf\r\nlines\r\n--xY"], ["empty", ""], ["first", "Ann & Bob"]]
CASES = {
    "fields": ("multipart/form-data; boundary=xYz", Multipart(*FIELDS), BOTH),
    "a quoted boundary": ('Multipart/Form-Data; charset=utf-8; Boundary="xYz"; x=y', Multipart(*FIELDS), BOTH),
    "a preamble": ("multipart/form-data; boundary=xYz", b"this is MIME\r\n" + Multipart(*FIELDS) + b"and an end", BOTH),
    "a file": ("multipart/form-data; boundary=xYz", Multipart(
        (Named(b'"photo"', b'; filename="a.jpg"\r\nContent-Type: image/jpeg'), b"\xff\xd8\r\n\r\n--"), FIELDS[0],
        (Named(b'"none"', b'; filename=""'), b""), (Named(b'"other"', b"; filename*=UTF-8''%C3%A9"), b"x")), [["first", "Ann & Bob"]]),
    "a type of its own": ("multipart/form-data; boundary=xYz", Multipart(
        (b"content-type: text/plain; charset=utf-8\r\ncontent-disposition: form-data; name=token", b"1"),
        (Named(b"first") + b"\r\nContent-Type: text/plain", b"2"), (Named(b'"filename"'), b"3")),
        [["filename", "3"], ["first", "2"], ["token", "1"]]),
    "a name twice": ("multipart/form-data; boundary=xYz", Multipart(FIELDS[0], (Named(b'"first"'), b"2")), [["first", "2"]]),
    "no UTF-8": ("multipart/form-data; boundary=xYz", Multipart((Named(b'"a"'), b"b\xff")), [["a", "b\ufffd"]]),
    "no end": ("multipart/form-data; boundary=xYz", Multipart(FIELDS[0], end=""), [["first", "Ann & Bob"]]),
    "no parts": ("multipart/form-data; boundary=xYz", b"--xYz--\r\n", []),
    "nothing": ("multipart/form-data; boundary=xYz", b"", []),
    "no multipart": ("multipart/form-data; boundary=xYz", b"first=1&second=2", []),
    "no head": ("multipart/form-data; boundary=xYz", b"--xYz\r\n\r\nx\r\n--xYz\r\nname=a\r\n--xYz--", []),
    "no boundary": ("multipart/form-data", b"first=1&second=2", [["first", "1"], ["second", "2"]]),
    "a boundary without end": ("multipart/form-data; boundary=" + "x" * 71, Multipart(FIELDS[0], boundary="x" * 71), [["first", "Ann & Bob"]]),
    "as it was": ("application/x-www-form-urlencoded", b"a=b+c&d=%26", [["a", "b c"], ["d", "&"]]),
    "another type": ("text/plain", b"a=b&boundary=x", [["a", "b"], ["boundary", "x"]]),
}


def test_forms_of_each_kind(serve):
    """RFC 7578: multipart/form-data gives the text fields; files are left out."""
    server = serve(FORMS)
    for name, (mediaType, content, expected) in CASES.items():
        for path in ("/form", "/async"):
            answer = Fetch(server.port, path, "POST", {"Content-Type": mediaType}, content)
            assert (name, answer.status, answer.Json()) == (name, 200, expected)
    many = Multipart(*[(Named(b'"n%d"' % number), b"") for number in range(1100)])
    assert Fetch(server.port, "/form", "POST", {"Content-Type": "multipart/form-data; boundary=xYz"}, many).status == 400


# ------------------------------------------------------------------------------------------ text and charsets

TEXT = """
from microWebSrv import MicroWebSrv
from ready import Port

TEXT = "caf\\u00e9 \\u043f\\u0440\\u0438 \\u20ac"

def Raw(httpClient, httpResponse):
    httpResponse._write("HTTP/1.0 200 OK\\r\\nContent-Type: text/plain\\r\\n")
    count = httpClient.GetRequestQueryString()
    text = TEXT if "wide" in count else "caf\\u00e9"
    encoding = "ISO-8859-1" if "latin" in count else None
    if "chars" in count:
        length = len(text)
    else:
        length = len(text.encode())
    httpResponse._write("Content-Length: %d\\r\\n\\r\\n" % length)
    if encoding:
        httpResponse._write(text, strEncoding=encoding)
    elif "utf" in count:
        httpResponse._write(text, strEncoding="utf-8")
    else:
        httpResponse._write(text)

def Framed(httpClient, httpResponse):
    httpResponse.WriteResponse(200, {"Content-Length": "5"}, "text/plain", None, None)
    httpResponse._write("caf\\u00e9")
    httpResponse._write("!")

def Charset(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponse(200, None, "text/plain", routeArgs["charset"], TEXT)

mws = MicroWebSrv([("/raw", "GET", Raw), ("/framed", "GET", Framed), ("/charset/<charset>", "GET", Charset)], Port(), "127.0.0.1", "www")
mws.Start(threaded=False)
"""


def test_raw_text(serve, runtime):
    """MicroPython's encode() ignores the encoding and gives UTF-8, and _write does the same, so the length is as the
    program counted. CPython uses Latin-1 if the text allows it, like the older server."""
    server = serve(TEXT)
    isMp = runtime == "micropython"
    for query in ("bytes", "bytes+wide", "bytes+utf", "bytes+utf+wide", "chars", "chars+wide", "bytes+latin", "bytes+latin+wide",
                  "chars+latin"):
        text = "café при €" if "wide" in query else "café"
        data = harness.RawExchange(server.port, Get("/raw?" + query))
        length = int(re.search(rb"Content-Length: (\d+)", data).group(1))
        content = data.partition(b"\r\n\r\n")[2]
        if not isMp and not ("utf" in query or "wide" in query):
            assert content == text.encode("latin-1")
        else:
            assert content == text.encode()
            assert len(content) >= length
    framed = Fetch(server.port, "/framed")              # the server frames it
    assert framed.body == "café!".encode("utf-8" if isMp else "latin-1")


def test_charsets_that_python_knows(serve, runtime):
    """On CPython all charsets; on MicroPython Latin-1 and UTF-8. For others the header names the charset that was
    used."""
    server = serve(TEXT)
    text = "café при €"
    for charset in ("windows-1251", "koi8-r", "ISO-8859-1", "UTF-8", "utf-8", "ascii", "no-such"):
        answer = Fetch(server.port, "/charset/" + charset)
        announced = re.search("charset=(.*)", answer.Header("content-type")).group(1)
        if runtime == "micropython":
            assert announced == (charset if charset == "ISO-8859-1" else "UTF-8")
        else:
            assert announced == (charset if charset != "no-such" else "UTF-8")
        assert answer.body == text.encode(announced, "replace")
        assert answer.Header("content-length") == str(len(answer.body))


# ----------------------------------------------------------------------------------------- responses are sent at once

AT_ONCE = """
import sys
import time
import _thread
from microWebSrv import MicroWebSrv
from ready import Port

lock = _thread.allocate_lock()
lock.acquire()

def Then(write):
    def Handler(httpClient, httpResponse):
        write(httpResponse)
        lock.acquire()                  # until the client has its answer: then a program may reset the machine
        print("RETURNED")
    return Handler

mws = MicroWebSrv([
    ("/redirect", "GET", Then(lambda response: response.WriteResponseRedirect("/next"))),
    ("/204", "GET", Then(lambda response: response.WriteResponse(204, None, None, None, None))),
    ("/304", "GET", Then(lambda response: response.WriteResponseNotModified())),
    ("/404", "GET", Then(lambda response: response.WriteResponseNotFound())),
    ("/500", "GET", Then(lambda response: response.WriteResponseError(500))),
    ("/created", "GET", Then(lambda response: response.WriteResponse(201, {"Location": "/x"}, None, None, None))),
    ("/text", "GET", Then(lambda response: response.WriteResponseOk(None, "text/plain", None, "text"))),
    ("/json", "GET", Then(lambda response: response.WriteResponseJSONOk([1]))),
    ("/file", "GET", Then(lambda response: response.WriteResponseFile("file.txt"))),
], Port(), "127.0.0.1", "www")
mws.AddRoute("/worker", "GET", Then(lambda response: response.WriteResponseRedirect("/next")), threaded=True)

def Console():
    for line in sys.stdin:
        lock.release()

_thread.start_new_thread(Console, ())
mws.Start(threaded=False)
"""


def test_an_answer_leaves_at_once(serve, tmp_path):
    """Not only when the handler returns: a program may redirect, sleep and reset the machine."""
    (tmp_path / "file.txt").write_text("file")
    server = serve(AT_ONCE)
    for path, status in (("/redirect", 302), ("/204", 204), ("/304", 304), ("/404", 404), ("/500", 500), ("/created", 201),
                         ("/text", 200), ("/json", 200), ("/file", 200), ("/worker", 302)):
        with RawClient(server.port) as client:
            client.Send(Get(path))
            assert client.ReadResponse().status == status, path
            assert "RETURNED" not in server.stdout[server._mark:]
            server.Tell("it is here")
            server.WaitLine("RETURNED")


# ------------------------------------------------------------------------------------------- wrong arguments

WRONG = """
import sys
from microWebSrv import MicroWebSrv
from ready import Port

nan = float("nan")
CALLS = {
    "headers": (lambda r: r.WriteResponseOk("text"), lambda r: r.WriteResponse(200, 5, "text/plain", None, "x"),
                lambda r: r.WriteResponseJSONOk([], "text"), lambda r: r.WriteResponseFile("main.py", None, "text"),
                lambda r: r.WriteSwitchProto("x", 5), lambda r: r.WriteResponsePyHTMLFile("page.pyhtml", 5),
                lambda r: r.WriteResponseStream(["x"], headers=7), lambda r: r.WriteResponseEventStream([], 7)),
    "code": (lambda r: r.WriteResponseJSONError("text"), lambda r: r.WriteResponse("200", None, "text/plain", None, "x"),
             lambda r: r.WriteResponse(None, None, "text/plain", None, None), lambda r: r.WriteResponseError("not found"),
             lambda r: r.WriteResponse(20, None, None, None, None), lambda r: r.WriteResponse("404", {}, None, None, "x"),
             lambda r: r.WriteResponseStream(["x"], "text/plain", code="200")),
    "contentType": (lambda r: r.WriteResponseOk(None, 5, None, "x"), lambda r: r.WriteResponseOk(None, b"text/html", None, "x"),
                    lambda r: r.WriteResponseOk(None, ["text/html"]), lambda r: r.WriteResponseStream(["x"], 7)),
    "contentCharset": (lambda r: r.WriteResponseOk(None, "text/plain", 5, "x"),),
    "content": (lambda r: r.WriteResponseOk(None, "text/plain", None, 5), lambda r: r.WriteResponseOk(None, None, None, ["x"]),
                lambda r: r.WriteResponseOk(None, "text/plain", None, 0), lambda r: r.WriteResponse(200, None, None, None, {})),
    "obj": (lambda r: r.WriteResponseJSONOk(nan), lambda r: r.WriteResponseJSONOk({"a": [1, -float("inf")]}),
            lambda r: r.WriteResponseJSONOk({"a": nan, "b": "information"}), lambda r: r.WriteResponseJSONError(400, [nan]),
            lambda r: r.WriteResponseJSONOk({"a": sys}), lambda r: r.WriteResponseJSONOk(object())),
    "location": (lambda r: r.WriteResponseRedirect(None), lambda r: r.WriteResponseRedirect(302)),
    "filepath": (lambda r: r.WriteResponseFile(None), lambda r: r.WriteResponseFile(b"main.py"),
                 lambda r: r.WriteResponsePyHTMLFile(5), lambda r: r.WriteResponseFileAttachment(5, "x")),
    "attachmentName": (lambda r: r.WriteResponseFileAttachment("main.py", None),),
    "vars": (lambda r: r.WriteResponsePyHTMLFile("page.pyhtml", None, 5), lambda r: r.WriteResponsePyHTMLFile("page.pyhtml", None, "x")),
    "pieces": (lambda r: r.WriteResponseStream(5), lambda r: r.WriteResponseStream(None)),
    "events": (lambda r: r.WriteResponseEventStream(5), lambda r: r.WriteResponseEventStream(None)),
    "upgrade": (lambda r: r.WriteSwitchProto(5),),
    "allow": (lambda r: r.WriteResponseMethodNotAllowed(5), lambda r: r.WriteResponseMethodNotAllowed([5])),
}

def Wrong(httpClient, httpResponse, routeArgs):
    said = []
    for call in CALLS[routeArgs["name"]]:
        try:
            call(httpResponse)
            said.append("accepted")
        except ValueError as error:
            said.append(str(error))
        except Exception as error:
            said.append("%s: %s" % (type(error).__name__, error))
    httpResponse.WriteResponseOk(None, "text/plain", None, "\\n".join(said))

def Good(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk({"nan": "nan, inf: <b>", "inf": [": nan", "-inf"], "f": 1.5})

def Missing(httpClient, httpResponse):
    print("FILE", httpResponse.WriteResponseFile("no-such.txt"), httpResponse.WriteResponseFile("main.py"))

def Allow(httpClient, httpResponse):
    httpResponse.WriteResponseMethodNotAllowed("PUT")

mws = MicroWebSrv([("/wrong/<name>", "GET", Wrong), ("/good", "GET", Good), ("/missing", "GET", Missing), ("/allow", "GET", Allow)],
                  Port(), "127.0.0.1", "www")
for name in sorted(CALLS):
    print("NAME", name, len(CALLS[name]))
mws.Start(threaded=False)
"""


def test_wrong_arguments(serve, tmp_path):
    """A ValueError names the argument before anything is sent, so the handler can still respond."""
    (tmp_path / "page.pyhtml").write_text("page")
    server = serve(WRONG)
    names = re.findall(r"NAME (\w+) (\d+)", server.stdout)
    assert len(names) == 14
    for name, count in names:
        answer = Fetch(server.port, "/wrong/" + name)
        lines = answer.text.split("\n")
        assert len(lines) == int(count)
        for line in lines:
            assert line.startswith(name + " must be "), lines
    assert "content is another argument: 'text'" in Fetch(server.port, "/wrong/headers").text
    assert Fetch(server.port, "/good").Json() == {"nan": "nan, inf: <b>", "inf": [": nan", "-inf"], "f": 1.5}
    assert Fetch(server.port, "/allow").Header("allow") == "PUT"


@pytest.mark.parametrize("isAlone", (True, False))
def test_a_missing_file_is_false(serve, tmp_path, isAlone):
    """With and without microWebFiles.py. The second call returns False because there is a response already."""
    home = harness.CopySources(tmp_path / "lib")
    if isAlone:
        (home / "microWebFiles.py").unlink()
    server = serve(WRONG, modulePath=(home,))
    assert Fetch(server.port, "/missing").status == 404
    server.WaitLine("FILE False False")


# ------------------------------------------------------------------------------------------------- the names

NAMES = """
from microWebSrv import MicroWebSocket, MicroWebTemplate, MicroWebSrv
import microWebSrv
import microWebSocket
import microWebTemplate
print(MicroWebSocket is microWebSocket.MicroWebSocket, MicroWebTemplate is microWebTemplate.MicroWebTemplate)
print(MicroWebTemplate("{{ 1 + 1 }}").Execute())
for name in ("MicroWebAsync", "microWebSocket", "NoSuch", ""):
    try:
        getattr(microWebSrv, name)
        print("there is", name)
    except AttributeError as error:
        pass
"""


@pytest.mark.parametrize("house", ("file", "rooms", "web", "my.server", "server", "rooms in server"))
def test_names_of_other_files(run, tmp_path, house):
    """Like in the module of the older server; ImportError if the file is missing."""
    package = house.split()[-1]
    if package not in ("file", "rooms"):
        (harness.CopyRooms if "rooms" in house else harness.CopySources)(tmp_path.joinpath(*package.split(".")))
        program = re.sub("from micro", "from %s.micro" % package, NAMES)
        program = re.sub(r"^import (micro\w+)$", r"from %s import \1" % package, program, flags=re.M)
        assert run(program, modulePath=(tmp_path,)) == "True True\n2\n"
        return
    home = (harness.CopyRooms if house == "rooms" else harness.CopySources)(tmp_path / "lib")
    assert run(NAMES, modulePath=(home,)) == "True True\n2\n"
    (home / "microWebSocket.py").unlink()
    assert run("""
try:
    from microWebSrv import MicroWebSocket
except ImportError as error:
    print("MISSING", error)
""", modulePath=(home,)).startswith("MISSING")


BY_HAND = """
import sys
import time
import socket
from microWebSrv import MicroWebSrv
from ready import Port

@MicroWebSrv.route("/hello")
def Hello(httpClient: "MicroWebSrv._client", httpResponse: "MicroWebSrv._response"):
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
print("BEFORE", mws._started)
if not mws._started:
    MAKE
    MicroWebSrv._startThread(mws._serverProcess)
while not mws._started:
    time.sleep(0.01)
print("NOW", mws._started)
for line in sys.stdin:
    exec(line)
mws.Stop()
print("AFTER", mws._started)
"""
MAKE = """
    mws._server = socket.socket()
    mws._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    mws._server.bind(mws._srvAddr)
    mws._server.listen(16)
    made = mws._server
    print("PORT", mws.GetPort())"""


@pytest.mark.parametrize("way", ("its own socket", "the server's"))
def test_started_by_hand(serve, way):
    """A public program creates the socket and the thread itself."""
    server = serve(BY_HAND.replace("MAKE", MAKE if way == "its own socket" else "pass"))
    server.Seen("BEFORE False")
    server.WaitLine("NOW True")
    if way == "its own socket" and server.runtime != "micropython":
        server.Tell("print('BLOCKS', made.getblocking())")      # otherwise accept() would block if the client has left
        server.WaitLine("BLOCKS False")
    for _ in range(3):
        assert Fetch(server.port, "/hello").text == "hello"
    server.Tell("mws.Stop(); print('STOPPED', mws._started)")
    server.WaitLine("STOPPED False")
    with pytest.raises(OSError):
        RawClient(server.port)
    server.Tell("mws.Start()")
    server.WaitReady()
    assert Fetch(server.port, "/hello").text == "hello"
    server.Finish()
    assert "AFTER False" in server.stdout


def test_annotations(run, runtime):
    """CPython evaluates annotations."""
    assert run("""
from microWebSrv import MicroWebSrv, HttpClient, HttpResponse
def Hello(httpClient: MicroWebSrv._client, httpResponse: MicroWebSrv._response) -> None:
    pass
print(getattr(Hello, "__annotations__", {}).get("httpClient", HttpClient) is HttpClient)
""") == "True\n"


# --------------------------------------------------------------------------------- what docs/migrating.md says

MIGRATING = """
from microWebSrv import MicroWebSrv
from ready import Port

def Tell(httpClient, httpResponse, routeArgs=None):
    params = httpClient.GetRequestQueryParams()
    httpResponse.WriteResponseJSONOk([httpClient.GetRequestMethod(), httpClient.GetRequestPath(), [[k, params[k]] for k in sorted(params)],
                                      routeArgs])

def Form(httpClient, httpResponse):
    form = httpClient.ReadRequestPostedFormData()
    httpResponse.WriteResponseJSONOk([[name, form[name]] for name in sorted(form)])

def Nothing(httpClient, httpResponse):
    pass

MicroWebSrv([("/hello/<name>", "get", Tell), ("/digits/<number>", "GET", Tell), ("/form", "POST", Form), ("/nothing", "GET", Nothing)],
            Port(), "127.0.0.1", "www").Start(threaded=False)
"""
FILES = {"a.gz": b"\x1f\x8b", "a.bin": b"\0", "a.txt": b"text", "a.csv": b"1,2", "a.md": b"# a", "a.html": b"<p>", "a.css": b"p {}",
         "a.js": b"1", "a.py": b"secret", "a.xyz": b"?", "empty.txt": b"", ".hidden.txt": b"secret", "PAGE.PYHTML": b"{{ 1 + 1 }}",
         "_part.pyhtml": b"part", "sub/INDEX.HTM": b"index", "a+b.txt": b"plus"}


def test_what_migrating_says(serve, tmp_path):
    """Each difference to the older server that docs/migrating.md lists is as described."""
    for name, content in FILES.items():
        path = tmp_path / "www" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    server = serve(MIGRATING)
    port = server.port

    def Args(target):
        return Fetch(port, target).Json()[3]

    # `+` in a query, in a form and in a path
    assert Fetch(port, "/hello/a+b?x=1+2%2B").Json() == ["GET", "/hello/a+b", [["x", "1 2+"]], {"name": "a+b"}]
    assert Fetch(port, "/form", "POST", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=b+c").Json() == [["a", "b c"]]
    assert Fetch(port, "/a+b.txt").text == "plus"
    # 405 instead of 404, and 404 instead of 405
    refused = Fetch(port, "/hello/x", "POST")
    assert (refused.status, refused.Header("allow")) == (405, "GET, HEAD, OPTIONS")
    assert Fetch(port, "/nowhere", "POST").status == 404
    # new media types and charsets
    for name, mediaType in (("a.gz", "application/gzip"), ("a.bin", "application/octet-stream"), ("a.txt", "text/plain; charset=UTF-8"),
                            ("a.csv", "text/csv; charset=UTF-8"), ("a.md", "text/markdown; charset=UTF-8"), ("a.html", "text/html"),
                            ("a.css", "text/css"), ("a.js", "application/javascript")):
        assert (name, Fetch(port, "/" + name).Header("content-type")) == (name, mediaType)
    for name in ("a.py", "a.xyz"):
        assert Fetch(port, "/" + name).status == 403
    for name in (".hidden.txt", "_part.pyhtml"):
        assert Fetch(port, "/" + name).status == 404
    assert (Fetch(port, "/empty.txt").status, Fetch(port, "/empty.txt").Header("content-length")) == (200, "0")
    # request methods are case-sensitive, those of routes are not
    assert Fetch(port, "/hello/x", "get").status == 501
    # upper-case names, as FAT gives them
    assert Fetch(port, "/PAGE.PYHTML").text == "2"
    assert Fetch(port, "/sub/").text == "index"
    assert Fetch(port, "/sub").Header("location") == "/sub/"
    # route arguments
    assert Fetch(port, "/hello/").status == Fetch(port, "/hello").status == 404
    assert [Args("/digits/" + text)["number"] for text in ("7", "0", "007", "00", "+7", "-7", "1e3", "7_0", "%D9%A1", "9" * 30)] == [
        7, 0, "007", "00", "+7", "-7", "1e3", "7_0", "\u0661", int("9" * 30)]
    assert Args("/hello/a%2Fb") == {"name": "a/b"}
    assert Fetch(port, "/nothing").status == 204
    text = (harness.ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
    for word in ("In a path it is a `+`", "**405, with `Allow`**", "**404**", "`.gz`, `.bin`", "announced as UTF-8", "`get` is not `GET`",
                 "`.PYHTML` too", "**It is never empty**", "`007` stays text", "`multipart/form-data`", "| 204 |", "_started", "_srvAddr",
                 "_startThread", "_serverProcess", "`MicroWebSrv._client`, `MicroWebSrv._response`",
                 "from microWebSrv import MicroWebSocket, MicroWebTemplate"):
        assert word in text, word
