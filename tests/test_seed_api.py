"""The contract: every member of the seed API, with its name, arguments and defaults, on each runtime.

tools/seed_api.py makes docs/seed-api.md from this file: a member without a test here fails the last test.
"""

import importlib.util
import inspect
import sys

import pytest
from websockets.sync.client import connect

import harness
from harness import Fetch

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def Tool():
    spec = importlib.util.spec_from_file_location("seed_api", harness.ROOT / "tools" / "seed_api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------------------------ MicroWebSrv

LIFE = """
import sys
from microWebSrv import MicroWebSrv
from ready import Port


def Handler(httpClient, httpResponse):
    httpResponse.WriteResponseOk(headers=None, contentType="text/plain", contentCharset="UTF-8", content="served")


mws = MicroWebSrv(routeHandlers=[("/served", "GET", Handler)], port=Port(), bindIP="127.0.0.1", webPath="www")
print("BEFORE", mws.IsStarted())
mws.Start(threaded=True, stackSize=8192)
print("AFTER", mws.IsStarted())
for line in sys.stdin:
    exec(line)
"""


def test_start_stop_and_start_again(serve):
    server = serve(LIFE)
    assert server.stdout.startswith("BEFORE False\n")
    server.WaitLine("^AFTER True$")
    for _ in range(2):
        assert Fetch(server.port, "/served").text == "served"
        server.Tell("mws.Stop()")
        server.Tell("print('STOPPED', mws.IsStarted())")
        server.WaitLine("^STOPPED False$")
        with pytest.raises(OSError):
            harness.RawClient(server.port)
        server.Tell("mws.Start()")
        server.WaitReady()
    server.Tell("mws.Stop()")
    server.Finish()


def test_defaults_of_the_constructor(run):
    assert run("""
from microWebSrv import MicroWebSrv
mws = MicroWebSrv()
print(mws.port, repr(mws.bindIP), mws.source.root, mws.IsStarted())
print(MicroWebSrv(None, 8080, "127.0.0.1", "/flash/www/").source.root)
""") == "80 '' /flash/www False\n/flash/www\n"


SERVE = """
import asyncio
from microWebSrv import MicroWebSrv
from ready import Port


@MicroWebSrv.route("/stop", "POST")
async def Stop(httpClient, httpResponse):
    httpResponse.WriteResponseOk(content="bye", contentType="text/plain")
    httpClient.GetServer().Stop()


async def Main():
    mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
    await mws.Serve()
    print("SERVED", mws.IsStarted())


asyncio.run(Main())
"""


def test_serve_in_the_programs_own_loop(serve):
    server = serve(SERVE)
    assert Fetch(server.port, "/stop", "POST").text == "bye"
    server.WaitLine("^SERVED False$")
    server.WaitExit()


def test_foreground(serve):
    server = serve(SERVE.replace("async def Main", "async def Unused").replace("asyncio.run(Main())", """
mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.Start(threaded=False)
print("RETURNED", mws.IsStarted())
"""))
    assert Fetch(server.port, "/stop", "POST").text == "bye"
    server.WaitLine("^RETURNED False$")
    server.WaitExit()


def test_helpers_of_the_server(run):
    assert run("""
from microWebSrv import MicroWebSrv

@MicroWebSrv.route("/edit/<testid>/<testpath>")
@MicroWebSrv.route("/edit/<testid>/<testpath>", method="POST")
@MicroWebSrv.route(url="/plain/")
def Edit(httpClient, httpResponse, routeArgs=None):
    pass

def Listed(httpClient, httpResponse):
    pass

mws = MicroWebSrv([("/listed", "DELETE", Listed)])
for method in ("GET", "POST"):
    handler, args = mws.GetRouteHandler("/edit/7/a.b", method)
    print(handler is Edit, args["testid"] == 7, args["testpath"])
handler, args = mws.GetRouteHandler(resUrl="/plain", method="GET")
print(handler is Edit, args)
print(mws.GetRouteHandler("/listed", "DELETE")[0] is Listed, mws.GetRouteHandler("/edit/7", "GET"))
print(mws.GetRouteHandler("/Listed", "DELETE"), mws.GetRouteHandler("/listed/", "DELETE")[0] is Listed)
for name in ("a.txt", "a.HTM", "d.d/a.js", "a.jpeg", "a.py", "a"):
    print(mws.GetMimeTypeFromFilename(name), end=" ")
print(mws.GetMimeTypeFromFilename(filename="favicon.ico"))
print(MicroWebSrv.HTMLEscape("<a href=\\"x\\">'&'</a>"), MicroWebSrv.HTMLEscape(s="&lt;"))
""").split("\n") == [
        "True True a.b", "True True a.b", "True None", "True (None, None)", "(None, None) True",
        "text/plain text/html application/javascript image/jpeg None None image/x-icon",
        "&lt;a href=&quot;x&quot;&gt;&apos;&amp;&apos;&lt;/a&gt; &amp;lt;", ""]


def test_attributes_and_their_defaults(run):
    assert run("""
from microWebSrv import MicroWebSrv
mws = MicroWebSrv()
print(mws.AcceptWebSocketCallback, mws.MaxWebSocketRecvLen, mws.isBoard, mws.WebSocketThreaded, mws.WebSocketStackSize,
      mws.LetCacheStaticContentLevel)
mws.MaxWebSocketRecvLen, mws.WebSocketThreaded, mws.ownAttribute = 256, False, 1
print(mws.MaxWebSocketRecvLen, mws.WebSocketThreaded, MicroWebSrv.MaxWebSocketRecvLen)
""") == "None 65536 False True 4096 2\n256 False 65536\n"


FILES = """
import sys
from microWebSrv import MicroWebSrv
from ready import Port

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
mws.Start()
for line in sys.stdin:
    exec(line)
mws.Stop()
"""


def test_not_found_page_and_caching(serve, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("<h1>index</h1>")
    server = serve(FILES)
    assert Fetch(server.port, "/").text == "<h1>index</h1>"
    assert Fetch(server.port, "/nowhere").status == 404
    for url, answer in (("'http://my-device.wifi'", (302, "http://my-device.wifi")), ("", (404, None))):
        server.Tell("mws.SetNotFoundPageUrl(%s); print('SET')" % url)
        server.WaitLine("SET")
        response = Fetch(server.port, "/generate_204")
        assert (response.status, response.Header("location")) == answer
    for level, control in ((0, "no-store"), (1, "max-age=3600"), (2, "no-cache")):
        server.Tell("mws.LetCacheStaticContentLevel = %d; print('SET')" % level)
        server.WaitLine("SET")
        response = Fetch(server.port, "/index.html")
        assert response.Header("cache-control") == control
        assert bool(response.Header("etag")) == bool(level)


# ------------------------------------------------------------------------------------------------- httpClient

CLIENT = """
from microWebSrv import MicroWebSrv
from ready import Port


@MicroWebSrv.route("/some%20path/<arg>", "POST")
@MicroWebSrv.route("/some path/<arg>", "POST")
def Tell(httpClient, httpResponse, routeArgs):
    headers = httpClient.GetRequestHeaders()
    httpResponse.WriteResponseJSONOk([
        httpClient.GetServer() is mws, list(httpClient.GetAddr()), httpClient.GetIPAddr(), httpClient.GetPort(),
        httpClient.GetRequestMethod(), httpClient.GetRequestTotalPath(), httpClient.GetRequestPath(),
        httpClient.GetRequestQueryString(), httpClient.GetRequestQueryParams(),
        [headers["X-Name"], headers.get("x-nAME"), "X-NAME" in headers, "x-none" in headers, headers.get("none"),
         sorted(headers)],
        httpClient.GetRequestContentType(), httpClient.GetRequestContentLength()])


@MicroWebSrv.route("/content", "POST")
def Content(httpClient, httpResponse):
    first = httpClient.ReadRequestContent(size=3)
    rest = httpClient.ReadRequestContent()
    httpResponse.WriteResponseJSONOk([first.decode(), rest.decode(), httpClient.ReadRequestContent().decode()])


@MicroWebSrv.route("/loop", "POST")
def Loop(httpClient, httpResponse):
    sizes = []
    while True:
        piece = httpClient.ReadRequestContent(64)
        if not piece:
            break
        sizes.append(len(piece))
    httpResponse.WriteResponseJSONOk(sizes)


@MicroWebSrv.route("/form", "POST")
def Form(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.ReadRequestPostedFormData())


@MicroWebSrv.route("/json", "POST")
def Json(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([httpClient.ReadRequestContentAsJSON()])


@MicroWebSrv.route("/async", "POST")
async def Async(httpClient, httpResponse):
    first = await httpClient.ReadRequestContent(2)
    form = await httpClient.ReadRequestPostedFormData()
    httpResponse.WriteResponseJSONOk([first.decode(), form, await httpClient.ReadRequestContentAsJSON()])


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.Start(threaded=False)
"""


def test_what_the_request_says(serve):
    server = serve(CLIENT)
    with harness.RawClient(server.port) as client:
        address = list(client.socket.getsockname())
        client.Send(harness.RequestBytes("POST", "/some%20path/x?a=1&b=x+y%26", [("X-Name", "value"),
                                         ("Content-Type", "text/plain")], b"12345"))
        told = client.ReadResponse().Json()
    assert told == [True, address, address[0], address[1], "POST", "/some%20path/x?a=1&b=x+y%26", "/some path/x",
                    "a=1&b=x+y%26", {"a": "1", "b": "x y&"},
                    ["value", "value", True, False, None, ["content-length", "content-type", "host", "x-name"]],
                    "text/plain", 5]


def test_what_the_request_brings(serve):
    server = serve(CLIENT)
    assert Fetch(server.port, "/content", "POST", (), b"abcdef").Json() == ["abc", "def", ""]
    assert Fetch(server.port, "/loop", "POST", (), b"x" * 150).Json() == [64, 64, 22]
    form = b"firstname=J%C3%BCrgen+A&lastname=%3Cb%3E&empty="
    assert Fetch(server.port, "/form", "POST", FORM, form).Json() == {
        "firstname": "J\u00fcrgen A", "lastname": "<b>", "empty": ""}
    assert Fetch(server.port, "/json", "POST", (), b'{"a": [1, null]}').Json() == [{"a": [1, None]}]
    assert Fetch(server.port, "/json", "POST", (), b"{bad").Json() == [None]
    assert Fetch(server.port, "/async", "POST", FORM, b"xya=1").Json() == ["xy", {"a": "1"}, None]


# ----------------------------------------------------------------------------------------------- httpResponse

RESPONSE = """
from microWebSrv import MicroWebSrv
from ready import Port

calls = {
    "ok": lambda r: r.WriteResponseOk(headers={"X-A": "b"}, contentType="text/html", contentCharset="UTF-8",
                                      content="\\u20ac"),
    "ok_alone": lambda r: r.WriteResponseOk(),
    "response": lambda r: r.WriteResponse(201, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
                                          "text/plain", None, b"x"),
    "named": lambda r: r.WriteResponse(code=202, headers=None, contentType=None, contentCharset=None, content=None),
    "json": lambda r: r.WriteResponseJSONOk(obj={"a": 1}, headers={"X-A": "b"}),
    "json_null": lambda r: r.WriteResponseJSONOk(),
    "redirect": lambda r: r.WriteResponseRedirect("/other?a=b"),
    "error": lambda r: r.WriteResponseError(418),
    "json_error": lambda r: r.WriteResponseJSONError(409, {"a": 1}),
    "json_error_alone": lambda r: r.WriteResponseJSONError(code=500),
    "bad": lambda r: r.WriteResponseBadRequest(),
    "forbidden": lambda r: r.WriteResponseForbidden(),
    "not_found": lambda r: r.WriteResponseNotFound(),
    "not_allowed": lambda r: r.WriteResponseMethodNotAllowed(),
    "internal": lambda r: r.WriteResponseInternalServerError(),
    "not_implemented": lambda r: r.WriteResponseNotImplemented(),
    "not_modified": lambda r: r.WriteResponseNotModified(),
    "file": lambda r: r.WriteResponseFile("data.txt"),
    "file_typed": lambda r: r.WriteResponseFile(filepath="data.txt", contentType="text/x-data", headers={"X-A": "b"}),
    "attachment": lambda r: r.WriteResponseFileAttachment("data.txt", "d\\u00e4ta.txt", headers=None),
}


@MicroWebSrv.route("/call/<name>")
def Call(httpClient, httpResponse, routeArgs):
    accepted = calls[routeArgs["name"]](httpResponse)
    print("ACCEPTED", routeArgs["name"], accepted, httpResponse.WriteResponseOk())


@MicroWebSrv.route("/switch")
def Switch(httpClient, httpResponse):
    httpResponse.WriteSwitchProto("echo", headers={"X-A": "b"})
    httpResponse._write(b"now it is yours")


@MicroWebSrv.route("/page")
def Page(httpClient, httpResponse):
    httpResponse.FlashMessage("saved", messageStyle="good")
    httpResponse.WriteResponsePyHTMLFile("page.pyhtml", headers={"X-A": "b"}, vars={"name": "<Ann>"})


@MicroWebSrv.route("/page_alone")
def PageAlone(httpClient, httpResponse):
    httpResponse.FlashMessage(messageText="x")
    httpResponse.WriteResponsePyHTMLFile(filepath="alone.pyhtml")


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.Start(threaded=False)
"""

ANSWERS = [
    ("ok", 200, "text/html; charset=UTF-8", "\u20ac", {"x-a": "b", "content-length": "3"}),
    ("ok_alone", 200, None, "", {"content-length": "0"}),
    ("response", 201, "text/plain", "x", {}),
    ("named", 202, None, "", {}),
    ("json", 200, "application/json; charset=UTF-8", '{"a": 1}', {"x-a": "b"}),
    ("json_null", 200, "application/json; charset=UTF-8", "null", {}),
    ("redirect", 302, None, "", {"location": "/other?a=b"}),
    ("error", 418, "text/html; charset=UTF-8", None, {}),
    ("json_error", 409, "application/json; charset=UTF-8", '{"a": 1}', {}),
    ("json_error_alone", 500, "application/json; charset=UTF-8", "{}", {}),
    ("bad", 400, "text/html; charset=UTF-8", None, {}),
    ("forbidden", 403, "text/html; charset=UTF-8", None, {}),
    ("not_found", 404, "text/html; charset=UTF-8", None, {}),
    ("not_allowed", 405, "text/html; charset=UTF-8", None, {"allow": "GET, HEAD, OPTIONS"}),
    ("internal", 500, "text/html; charset=UTF-8", None, {}),
    ("not_implemented", 501, "text/html; charset=UTF-8", None, {}),
    ("not_modified", 304, None, "", {}),
    ("file", 200, "text/plain; charset=UTF-8", "the data", {"content-length": "8"}),
    ("file_typed", 200, "text/x-data", "the data", {"x-a": "b"}),
    ("attachment", 200, "text/plain; charset=UTF-8", "the data",
     {"content-disposition": "attachment; filename=\"d_ta.txt\"; filename*=UTF-8''d%C3%A4ta.txt"}),
]


def test_each_answer(serve, tmp_path):
    (tmp_path / "data.txt").write_text("the data")
    server = serve(RESPONSE)
    for name, status, contentType, text, headers in ANSWERS:
        response = Fetch(server.port, "/call/" + name)
        assert (response.status, response.Header("content-type")) == (status, contentType), name
        assert response.text == text if text is not None else str(status) in response.text, name
        for header, value in headers.items():
            assert response.Header(header) == value, name
        assert server.WaitLine("ACCEPTED %s (.*)$" % name).group(1) == "True False", "one answer, and no second"
    assert Fetch(server.port, "/call/response").Headers("set-cookie") == ["a=1", "b=2"]


def test_switching_the_protocol(serve):
    server = serve(RESPONSE)
    with harness.RawClient(server.port) as client:
        client.Send(harness.RequestBytes("GET", "/switch", [("Connection", "Upgrade"), ("Upgrade", "echo")]))
        response = client.ReadResponse(upgrade="echo")
        assert (response.status, response.Header("upgrade"), response.Header("x-a")) == (101, "echo", "b")
        assert client.ReadExactly(15) == b"now it is yours"


def test_pages_from_a_handler(serve, tmp_path):
    (tmp_path / "page.pyhtml").write_text("{{ name }} {{ MESSAGE_TEXT }} {{ MESSAGE_STYLE }}")
    (tmp_path / "alone.pyhtml").write_text("{{ MESSAGE_TEXT }}[{{ MESSAGE_STYLE }}]")
    server = serve(RESPONSE)
    page = Fetch(server.port, "/page")
    assert (page.text, page.mediaType, page.Header("x-a")) == ("&lt;Ann&gt; saved good", "text/html", "b")
    assert Fetch(server.port, "/page_alone").text == "x[]"


# ----------------------------------------------------------------------------------------------- MicroWebSocket

SOCKET = """
from microWebSrv import MicroWebSrv
from ready import Port


def Accept(webSocket, httpClient):
    print("ACCEPT", httpClient.GetRequestPath(), webSocket.IsClosed(), webSocket.RecvTextCallback,
          webSocket.RecvBinaryCallback, webSocket.ClosedCallback)
    webSocket.RecvTextCallback = RecvText
    webSocket.RecvBinaryCallback = RecvBinary
    webSocket.ClosedCallback = Closed


def RecvText(webSocket, msg):
    if msg == "close":
        webSocket.Close()
    else:
        webSocket.SendText("Reply for %s" % msg)


def RecvBinary(webSocket, data):
    webSocket.SendBinary(data + bytes([0, 255]))


def Closed(webSocket):
    print("CLOSED", webSocket.IsClosed())


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
mws.MaxWebSocketRecvLen = 256
mws.WebSocketThreaded = THREADED
mws.WebSocketStackSize = 4096
mws.AcceptWebSocketCallback = Accept
mws.Start(threaded=False)
"""


@pytest.mark.parametrize("threaded", [True, False])
def test_web_socket(serve, threaded):
    server = serve(SOCKET.replace("THREADED", str(threaded)))
    for byServer in (True, False):
        with connect("ws://127.0.0.1:%d/chat" % server.port, proxy=None) as client:
            server.WaitLine("^ACCEPT /chat False None None None$")
            client.send("hello")
            assert client.recv(harness.DEADLINE_SEC) == "Reply for hello"
            client.send(b"\1\2")
            assert client.recv(harness.DEADLINE_SEC) == b"\1\2\0\xff"
            if byServer:
                client.send("close")
        server.WaitLine("^CLOSED True$")
    with connect("ws://127.0.0.1:%d/" % server.port, proxy=None) as client:
        client.send("x" * 257)
        with pytest.raises(Exception) as closed:
            client.recv(harness.DEADLINE_SEC)
        assert closed.value.rcvd.code == 1009, "MaxWebSocketRecvLen"


# ---------------------------------------------------------------------------------------------- MicroWebTemplate

def test_template(run, tmp_path):
    (tmp_path / "part.pyhtml").write_text("<hr>")
    assert run("""
from microWebTemplate import MicroWebTemplate
text = '''{{ py }}
  def Twice(x):
    return 2 * x
{{ end }}{{ for i in range(Twice(2)) }}{{ if i == 0 }}zero{{ elif i == 1 }}{{ name }}{{ else }}{{ i }}{{ end }};''' + (
    '{{ end }}')
print(MicroWebTemplate(text).Execute({"name": "one"}).strip())
shout = MicroWebTemplate(code="<b>{{ x }}</b>", escapeStrFunc=lambda s: s.upper())
print(shout.Execute(pyGlobalVars=None, pyLocalVars={"x": "a"}))
print(MicroWebTemplate("{{ include part.pyhtml }}", filepath="page.pyhtml").Execute())
print(MicroWebTemplate("fine").Validate(pyGlobalVars=None, pyLocalVars=None))
print(type(MicroWebTemplate("{{ if }}").Validate()) is str)
""").split("\n") == ["zero;one;2;3;", "<b>A</b>", "<hr>", "None", "True", ""]


# ------------------------------------------------------------------------------------------------- the signatures

DESK_DEFAULTS = {"MaxWebSocketRecvLen": "65536"}        # a board has the contract's default


@pytest.mark.parametrize("owner, name, signature", Tool().Members(), ids=lambda value: value)
def test_signature(owner, name, signature):
    """More arguments with defaults may follow those of the contract. A server has the methods of the optional files."""
    module = owner if owner.startswith("Micro") else "microWebSrv"
    module = module[0].lower() + module[1:]
    kind = getattr(importlib.import_module(module), owner)
    holder = kind() if owner == "MicroWebSrv" else kind
    if "(" not in signature:
        value = DESK_DEFAULTS.get(name) or signature.partition(" = ")[2]
        assert owner == "MicroWebSocket" or repr(getattr(kind, name)) == value
        return
    member = kind if name == owner else getattr(holder, name)
    parameters = [p for p in inspect.signature(member).parameters.values() if p.name != "self"]
    expected = eval("inspect.signature(lambda%s: None)" % signature[len(name):].replace("(", " ", 1)[:-1],
                    {"inspect": inspect})
    wanted = list(expected.parameters.values())
    assert [(p.name, p.default) for p in parameters[:len(wanted)]] == [(p.name, p.default) for p in wanted]
    assert all(p.default is not p.empty for p in parameters[len(wanted):])


def test_the_page_is_up_to_date():
    assert Tool().Problems() == []


def test_a_member_without_a_test_is_seen(monkeypatch):
    tool = Tool()
    monkeypatch.setitem(tool.MEMBERS, "HttpClient", tool.MEMBERS["HttpClient"] + "GetShoeSize()\n")
    assert "no test exercises HttpClient.GetShoeSize" in tool.Problems()
    assert sys.modules.get("seed_api") is None
