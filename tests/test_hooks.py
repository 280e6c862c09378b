"""Hooks before and after handlers, the program's error pages, headers and cookies, and notification of sent responses
and lost clients."""

import pytest

import harness
from harness import Fetch, RawClient, RequestBytes

PROGRAM = """
import sys
from microWebSrv import MicroWebSrv
from ready import Port

order = []

def Say(httpClient, httpResponse, args=None):
    order.append("handler")
    httpResponse.WriteResponseOk({"X-Handler": "1"}, "text/plain", "UTF-8", " ".join(order) + getattr(httpClient, "note", ""))

def First(httpClient, httpResponse):
    del order[:]
    order.append("first")
    httpClient.note = " note"
    if httpClient.GetRequestQueryString() == "raise":
        raise ValueError("the hook broke")

def Guard(httpClient, httpResponse):
    order.append("guard")
    if "x-key" not in httpClient.GetRequestHeaders():
        httpResponse.SetHeader("WWW-Authenticate", "Key")
        httpResponse.WriteError(401)

def Later(httpClient, httpResponse):
    order.append("later")
    def Content(httpClient, httpResponse):
        order.append("content %s" % httpClient.ReadRequestContent(3).decode())
        if order[-1] == "content bad":
            httpResponse.WriteResponseForbidden()
    return Content

def Stream(httpClient, httpResponse):
    httpResponse.WriteResponseStream(["a", "b", "c"], "text/plain")

def Mark(httpClient, httpResponse):
    httpResponse.SetHeader("X-Code", httpResponse.code)
    httpResponse.SetHeader("X-Twice", "1")
    httpResponse.SetHeader("X-Twice", "2")
    httpResponse.SetHeader("Cache-Control", "private")
    httpResponse.SetHeader("Vary", "Origin")
    httpResponse.SetHeader("X-Handler", "hook")
    httpResponse.SetHeader("X-Gone", "1")
    httpResponse.SetHeader("X-Gone", None)
    httpResponse.WriteResponseOk(None, "text/plain", None, "not an answer")

def BrokenAfter(httpClient, httpResponse):
    raise ValueError("this one broke too")

def Silent(httpClient, httpResponse):
    httpResponse.SetCookie("silent", "1")

def Accept(webSocket, httpClient):
    print("ACCEPTED", httpClient.note)
    sys.stdout.flush() if hasattr(sys.stdout, "flush") else None

mws = MicroWebSrv([("/say", "GET", Say), ("/admin/say", "GET", Say), ("/in/say", "POST", Say), ("/admin/<x>/y", "GET", Say), ("/silent", "GET", Silent)],
                  port=Port(), bindIP="127.0.0.1", webPath="www")
for what in ((5, "/"), (Say, "admin"), (Say, None)):
    try:
        mws.Before(*what)
        print("TAKEN", what)
    except (ValueError, TypeError):
        pass
for what in ((399, Say), (600, Say), ("404", Say), (404, 5)):
    try:
        mws.SetErrorHandler(*what)
        print("TAKEN", what)
    except (ValueError, TypeError):
        pass
assert mws.Before(First) is First
mws.Before(Guard, "/Admin/")
mws.Before(Later, "/in")
mws.Before(Stream, "/stream")
mws.After(Mark)
mws.After(BrokenAfter, "/broken")
mws.AcceptWebSocketCallback = Accept
mws.Start(threaded=False)
"""


@pytest.fixture
def site(serve, tmp_path):
    (tmp_path / "www" / "admin").mkdir(parents=True)
    (tmp_path / "www" / "admin" / "secret.txt").write_text("secret")
    (tmp_path / "www" / "a.txt").write_text("open")
    server = serve(PROGRAM)
    yield server
    assert "TAKEN" not in server.stdout


def test_hooks_are_called_in_order_and_carry_values(site):
    assert Fetch(site.port, "/say").text == "first handler note"
    assert Fetch(site.port, "/admin/say", headers=[("X-Key", "1")]).text == "first guard handler note"


GUARDED = ["/admin/say", "/admin", "/admin/", "//admin/say", "/%61dmin/say", "/admin//say", "/ADMIN/say", "/admin/secret.txt",
           "/Admin/secret.txt", "/admin/nothing", "http://x/admin/say", "/admin/x%2Fz/y", "/admin/.", "/admin/../a.txt", "/admin%2Fsecret.txt", "/%2fadmin/say",
           "/admin%2f%2Fsay"]


@pytest.mark.parametrize("target", GUARDED)
def test_a_hook_guards_all_that_is_below_its_prefix(site, target):
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "PROPFIND"):
        response = Fetch(site.port, target, method)
        assert (response.status, response.Header("www-authenticate")) == (401, "Key"), method
    assert Fetch(site.port, target, headers=[("X-Key", "1")]).status != 401


def test_and_nothing_else(site):
    for target, status in (("/a.txt", 200), ("/adminx", 404), ("/say/admin", 404), ("/", 404)):
        response = Fetch(site.port, target)
        assert response.status == status, target
        assert "secret" not in response.text


def test_web_sockets_are_asked_before_they_are_accepted(site):
    upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
               ("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==")]
    assert Fetch(site.port, "/admin/ws", headers=upgrade).status == 401
    with RawClient(site.port) as client:
        client.Send(RequestBytes("GET", "/admin/ws", [*upgrade, ("X-Key", "1")]))
        assert client.ReadResponse(upgrade="websocket").status == 101
    site.WaitLine("ACCEPTED  note")


def test_an_answer_of_a_hook_comes_before_the_content(site):
    with RawClient(site.port) as client:
        client.Send(b"POST /admin/say HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n")
        assert client.ReadResponse().status == 401
    with RawClient(site.port) as client:        # short content is read and dropped, and the connection is kept
        client.Send(b"POST /admin/say HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        assert client.ReadResponse().status == 401
        client.Send(b"12345GET /say HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.ReadResponse().text == "first handler note"


def test_a_hook_may_see_the_content(site):
    assert Fetch(site.port, "/in/say", "POST", body=b"good news").text == "first later content goo handler note"
    assert Fetch(site.port, "/in/say", "POST", body=b"bad news").status == 403
    assert Fetch(site.port, "/in/say", "POST", body=b"").text == "first later content  handler note"


def test_a_hook_may_stream(site):
    with RawClient(site.port) as client:
        for body in (b"", b"x" * 100):
            client.Send(RequestBytes("POST" if body else "GET", "/stream", body=body))
            assert client.ReadResponse().text == "abc"


def test_a_hook_that_fails_is_a_500_and_no_handler_is_called(site):
    site.ExpectError("the hook broke")
    response = Fetch(site.port, "/say?raise")
    assert response.status == 500 and "handler" not in response.text
    assert response.Header("x-code") == "500"


def test_after_hooks_see_every_answer(site):
    for target, status in (("/say", 200), ("/a.txt", 200), ("/none", 404), ("/admin/say", 401), ("/%2x", 400), ("/stream", 200)):
        response = Fetch(site.port, target)
        assert (response.status, response.Header("x-code")) == (status, str(status)), target
        assert response.Headers("x-twice") == ["2"]
        assert response.Headers("x-gone") == []
        assert response.Headers("cache-control") == ["private"]
        assert "Origin" in response.Headers("vary")
        assert response.Headers("x-handler") == ["1" if target == "/say" else "hook"]
    with RawClient(site.port) as client:
        client.Send(RequestBytes("DELETE", "/say"))
        response = client.ReadResponse()
        assert (response.status, response.Header("x-code")) == (405, "405")


def test_a_handler_that_writes_nothing_is_an_answer_too(site):
    response = Fetch(site.port, "/silent")
    assert (response.status, response.Header("x-code")) == (204, "204")
    assert response.Headers("set-cookie") == ["silent=1; Path=/; SameSite=Lax; HttpOnly"]


def test_an_after_hook_that_fails_is_logged(site):
    site.ExpectError("this one broke too")
    assert Fetch(site.port, "/broken").status == 404


ERRORS = """
from microWebSrv import MicroWebSrv
from ready import Port

def Post(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "ok")

def Crash(httpClient, httpResponse):
    raise ValueError("crashed on purpose")

def Found(httpClient, httpResponse, code):
    httpResponse.WriteResponsePyHTMLFile("www/_404.pyhtml", vars={"path": httpClient.GetRequestPath()})

def Json(httpClient, httpResponse, code):
    httpResponse.WriteResponseJSONError(code, {"error": code, "rule": httpResponse.rule})

def Silent(httpClient, httpResponse, code):
    pass

def Broken(httpClient, httpResponse, code):
    raise ValueError("the error page broke")

def Large(httpClient, httpResponse, code):
    if httpClient.GetRequestPath() == "/large":
        TooLarge(httpClient, httpResponse, code)
    else:
        Json(httpClient, httpResponse, code)

def Reset(httpClient, httpResponse):
    mws.SetErrorHandler(404, None)
    mws.SetErrorHandler(None, None)
    httpResponse.WriteResponseOk()

def Carry(httpClient, httpResponse):
    httpResponse.SetHeader("X-Carried", "1")
    httpResponse.vars = {"carried": "yes"}

def TooLarge(httpClient, httpResponse, code):
    httpResponse.WriteResponsePyHTMLFile("www/_413.pyhtml", vars={"path": httpClient.GetRequestPath()})

mws = MicroWebSrv([("/post", "POST", Post), ("/large", "POST", Post), ("/crash", "GET", Crash), ("/reset", "GET", Reset)], port=Port(), bindIP="127.0.0.1", webPath="www")
mws.MaxRequestContentLen = 1000
mws.SetErrorHandler(404, Found)
mws.SetErrorHandler(None, Json)
mws.SetErrorHandler(403, Silent)
mws.SetErrorHandler(413, Large)
mws.SetErrorHandler(501, Broken)
mws.Before(Carry, "/large")
mws.Start(threaded=False)
"""


def test_error_pages_of_ones_own(serve, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "_404.pyhtml").write_text("<p>no {{ path }} here")
    (tmp_path / "www" / "a.secret").write_text("x")
    server = serve(ERRORS)
    server.ExpectError("crashed on purpose")
    server.ExpectError("the error page broke")
    response = Fetch(server.port, "/nothing")
    assert (response.status, response.text) == (404, "<p>no /nothing here")
    response = Fetch(server.port, "/post")
    assert (response.status, response.Json()["error"], response.Header("allow")) == (405, 405, "OPTIONS, POST")
    response = Fetch(server.port, "/crash")
    assert (response.status, response.Json()) == (500, {"error": 500, "rule": ""})
    response = Fetch(server.port, "/post", "POST", body=b"x" * 1001)
    assert response.status == 413
    assert harness.DropsTexts(server.runtime) or "MaxRequestContentLen" in response.Json()["rule"]
    (tmp_path / "www" / "_413.pyhtml").write_text("{{ path }} {{ carried }}")
    response = Fetch(server.port, "/large", "POST", body=b"x" * 1001)
    assert (response.status, response.text, response.Header("x-carried")) == (413, "/large yes", "1")
    response = Fetch(server.port, "/%")
    assert response.status in (400, 404)
    response = Fetch(server.port, "/a.secret")
    assert response.status == 403 and "Forbidden" in response.text
    response = Fetch(server.port, "/x", "PROPFIND")
    assert response.status == 501 and "Not Implemented" in response.text
    assert Fetch(server.port, "/nothing", "HEAD").body == b""
    Fetch(server.port, "/reset")
    assert "Not Found" in Fetch(server.port, "/nothing").text
    assert "Method Not Allowed" in Fetch(server.port, "/post").text


COOKIES = """
from microWebSrv import MicroWebSrv
from ready import Port
import json

def Set(httpClient, httpResponse):
    httpResponse.SetCookie("a", "1")
    httpResponse.SetCookie("b", 2, maxAge=60, path="/x", httpOnly=False, secure=True, sameSite="Strict")
    httpResponse.WriteResponseOk([("Set-Cookie", "c=3")], "text/plain", None, "set")
    print("AFTER", httpResponse.SetHeader("X-Late", "1"), httpResponse.SetCookie("d", "4"))

def Short(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "short")
    print("SHORT", httpResponse.SetHeader("X-Late", "1"))

def Get(httpClient, httpResponse):
    cookies = httpClient.GetCookies()
    httpResponse.WriteResponseJSONOk([[name, cookies[name]] for name in sorted(cookies)])

def Wrong(httpClient, httpResponse):
    for what in (("", "1"), ("a b", "1"), ("a", "1;2"), ("a", "1\\r\\nX: y"), ("a", "1", None, "/;x"), ("a", "1", 5, "/", True, False, "Lax; Domain=x"),
                 ("a;b", "1"), ("a=b", "1")):
        try:
            httpResponse.SetCookie(*what)
            print("TAKEN", what)
        except ValueError:
            pass
    for what in (("A B", "1"), ("A", "1\\r\\nB: 2"), ("A", "\\0"), (5, "1")):
        try:
            httpResponse.SetHeader(*what)
            print("TAKEN", what)
        except ValueError:
            pass
    httpResponse.WriteResponseOk(None, "text/plain", None, "none")

def Flash(httpClient, httpResponse):
    httpResponse.FlashMessage("saved; 100 % \\u00fc<b>", "ok")
    httpResponse.WriteResponseRedirect("/page.pyhtml")

def Direct(httpClient, httpResponse):
    httpResponse.FlashMessage("direct", "ok")
    httpResponse.WriteResponsePyHTMLFile("www/page.pyhtml")

mws = MicroWebSrv([("/set", "GET", Set), ("/short", "GET", Short), ("/get", "GET", Get), ("/wrong", "GET", Wrong), ("/flash", "GET", Flash), ("/direct", "GET", Direct)],
                  port=Port(), bindIP="127.0.0.1", webPath="www")
mws.Start(threaded=False)
"""


@pytest.fixture
def cookies(serve, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "page.pyhtml").write_text("[{{ MESSAGE_STYLE }}|{{ MESSAGE_TEXT }}]")
    return serve(COOKIES)


def test_cookies(cookies):
    response = Fetch(cookies.port, "/set")
    assert response.Headers("set-cookie") == ["a=1; Path=/; SameSite=Lax; HttpOnly",
                                              "b=2; Path=/x; SameSite=Strict; Max-Age=60; Secure", "c=3"]
    cookies.WaitLine("AFTER False False")
    assert Fetch(cookies.port, "/short").text == "short"
    cookies.WaitLine("SHORT False")
    for field, expected in (("a=1; b=2", [["a", "1"], ["b", "2"]]), ("a=1;a=2;b=x=y;;c", [["a", "1"], ["b", "x=y"]]), ("", [])):
        assert Fetch(cookies.port, "/get", headers=[("Cookie", field)]).Json() == expected
    assert Fetch(cookies.port, "/get").Json() == []
    # a board would need a long time for so many names with the same hash
    many = "; ".join("n%d=%d" % (i, i) for i in range(300))
    assert len(Fetch(cookies.port, "/get", headers=[("Cookie", many)]).Json()) == 100
    assert Fetch(cookies.port, "/wrong").Headers("set-cookie") == []
    assert "TAKEN" not in cookies.stdout


def test_a_flash_message_survives_a_redirect_once(cookies):
    import httpx
    with httpx.Client(base_url="http://127.0.0.1:%d" % cookies.port, follow_redirects=True) as client, \
            httpx.Client(base_url="http://127.0.0.1:%d" % cookies.port) as other:
        assert client.get("/page.pyhtml").text == "[|]"
        assert client.get("/flash", follow_redirects=False).status_code == 302
        assert other.get("/page.pyhtml").text == "[|]"
        page = client.get("/page.pyhtml").text
        assert page == "[ok|saved; 100 % \u00fc<b>]" or page == "[ok|saved; 100 % \u00fc&lt;b&gt;]"
        assert client.get("/page.pyhtml").text == "[|]"
        assert client.get("/direct").text == "[ok|direct]"
        assert client.get("/page.pyhtml").text == "[|]"


ENDS = """
from microWebSrv import MicroWebSrv
from ready import Port
import sys, time

def Say(text):
    print(text)
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()

def Before(httpClient, httpResponse):
    httpResponse.OnSent(lambda: Say("SENT before"))
    httpResponse.WriteResponseOk(None, "text/plain", None, "x" * 300000)

def Behind(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "ok")
    httpResponse.OnSent(lambda: Say("SENT behind"))

def Fails(httpClient, httpResponse):
    httpResponse.OnSent(lambda: Say("SENT fails"))
    raise ValueError("failed on purpose")

def Works(httpClient, httpResponse):
    first = httpClient.IsConnected()
    Say("WORKS %s" % first)
    for i in range(2000):
        if not httpClient.IsConnected():
            Say("GONE")
            return
        time.sleep(0.005)
    Say("STAYED")

def Pieces(httpClient, httpResponse):
    def Pull():
        try:
            yield "a"
            Say("PULLS")
            for i in range(2000):
                if not httpClient.IsConnected():
                    Say("PULLED GONE")
                    return
                time.sleep(0.005)
        finally:
            Say("PULL ENDS")
    httpResponse.OnSent(lambda: Say("SENT pieces"))
    httpResponse.WriteResponseStream(Pull())

def Connected(httpClient, httpResponse):
    for i in range(3):
        if not httpClient.IsConnected():
            Say("NOBODY")
    httpResponse.WriteResponseOk(None, "text/plain", None, "connected")

mws = MicroWebSrv([("/before", "GET", Before), ("/behind", "GET", Behind), ("/fails", "GET", Fails), ("/works", "GET", Works),
                   ("/connected", "GET", Connected), ("/pieces", "GET", Pieces)],
                  port=Port(), bindIP="127.0.0.1", webPath="www")
mws.AddRoute("/threaded", "GET", Works, threaded=True)
mws.AddRoute("/threaded/sent", "GET", Before, threaded=True)
mws.Start(threaded=False)
"""


def test_what_happens_after_the_answer(serve):
    server = serve(ENDS)
    server.ExpectError("failed on purpose")
    for target, size, line in (("/before", 300000, "before"), ("/behind", 2, "behind"), ("/fails", None, "fails"),
                               ("/threaded/sent", 300000, "before")):
        with RawClient(server.port) as client:
            client.Send(RequestBytes("GET", target))
            response = client.ReadResponse()
            assert size is None or len(response.body) == size
        assert server.WaitLine("SENT " + line), target
    with RawClient(server.port) as client:      # a client that leaves before it reads the response
        client.Send(RequestBytes("GET", "/before"))
        client.ReadExactly(1)
        client.Close(reset=True)
    server.WaitLine("SENT before")


@pytest.mark.parametrize("target", ["/works", "/threaded"])
@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_handler_that_works_long_sees_that_the_client_goes(serve, target, how):
    server = serve(ENDS)
    with RawClient(server.port) as client:
        client.Send(RequestBytes("GET", target))
        server.WaitLine("WORKS True")
        client.Close(reset=how == "reset")
    server.WaitLine("GONE")
    assert Fetch(server.port, "/connected").text == "connected"


def test_a_stream_may_find_out_that_its_client_has_gone(serve):
    """A source that is running notices the loss: it can't be closed at that moment, and ends by itself. The OnSent
    callback is called, and the server continues."""
    server = serve(ENDS)
    server.ExpectError("generator")             # the log tells that it could not be closed
    with RawClient(server.port) as client:
        client.Send(RequestBytes("GET", "/pieces"))
        server.WaitLine("PULLS")
        client.Close(reset=True)
    server.WaitLine("SENT pieces")
    server.WaitLine("PULLED GONE")
    server.WaitLine("PULL ENDS")
    assert Fetch(server.port, "/connected").text == "connected"


def test_pipelined_requests_behind_a_look_at_the_client_are_kept(serve):
    server = serve(ENDS)
    with RawClient(server.port) as client:
        client.Send(RequestBytes("GET", "/connected") * 20)
        for _ in range(20):
            assert client.ReadResponse().text == "connected"
    assert "NOBODY" not in server.stdout


SOCKET = """
from microWebSrv import MicroWebSrv
from ready import Port
import sys

def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, text: webSocket.SendText("%s%d" % (text, httpClient.IsConnected()))

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
mws.WebSocketThreaded = THREADED
mws.AcceptWebSocketCallback = Accept
mws.Start(threaded=False)
"""


@pytest.mark.parametrize("threaded", [True, False])
def test_a_web_socket_may_ask_whether_its_client_is_there(serve, threaded):
    """IsConnected() reads no messages: they arrive in order, one by one."""
    server = serve(SOCKET.replace("THREADED", str(threaded)))
    with RawClient(server.port) as client:
        client.Send(RequestBytes("GET", "/", [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                                              ("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==")]))
        assert client.ReadResponse(upgrade="websocket").status == 101
        texts = "abcdefghijklmnopqrst"
        client.Send(b"".join(b"\x81\x81\0\0\0\0" + char.encode() for char in texts[:10]))
        client.Send(b"".join(b"\x81\x81\0\0\0\0" + char.encode() for char in texts[10:]))
        assert client.ReadExactly(4 * len(texts)) == b"".join(b"\x81\x02" + char.encode() + b"1" for char in texts)


QUEUE = """
from microWebSrv import MicroWebSrv
from ready import Port
import time

gate = []

def Work(httpClient, httpResponse):
    print("WORK")
    while not gate:
        time.sleep(0.005)
    httpResponse.WriteResponseOk(None, "text/plain", None, "worked")

def Open(httpClient, httpResponse):
    gate.append(1)
    httpResponse.WriteResponseOk(None, "text/plain", None, "open")

def Look(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "look")

mws = MicroWebSrv([("/open", "GET", Open), ("/look", "GET", Look)], port=Port(), bindIP="127.0.0.1", webPath="www")
mws.MaxWorkers = 1
mws.AddRoute("/work", "GET", Work, threaded=True)
mws.Start(threaded=False)
"""


def test_a_client_that_goes_before_its_turn_needs_no_worker(serve):
    server = serve(QUEUE)
    with RawClient(server.port) as first:
        first.Send(RequestBytes("GET", "/work"))
        server.WaitLine("WORK")
        for _ in range(5):
            with RawClient(server.port) as client:
                client.Send(RequestBytes("GET", "/work"))
                assert Fetch(server.port, "/look").text == "look"       # it waits in the queue
                client.Close(reset=True)
        for _ in range(3):
            assert Fetch(server.port, "/look").text == "look"
        assert Fetch(server.port, "/open").text == "open"
        assert first.ReadResponse().text == "worked"
    assert Fetch(server.port, "/work").text == "worked"
    server.WaitLine("WORK")
    assert server.stdout.count("WORK") == 2


REFUSED = """
from microWebSrv import MicroWebSrv
from ready import Port

def Twice(httpClient, httpResponse):
    httpResponse.SetCookie("session", "1")
    httpResponse.SetHeader("X-Kept", "yes")
    for contentType in ("text/plain\\r\\nX-Forged: 1", "text/plain"):
        try:
            httpResponse.WriteResponseOk({"X-Of": "this one"}, contentType, None, %s)
        except ValueError:
            print("REFUSED", httpResponse.SetHeader("X-Between", "yes"))

def Once(httpClient, httpResponse):
    httpResponse.SetHeader("X-Kept", "yes")
    httpResponse.WriteResponseOk(None, "text/plain\\r\\nX-Forged: 1", None, %s)

def After(httpClient, httpResponse):
    httpResponse.SetHeader("X-After", "yes")
    httpResponse.SetCookie("after", "1")

def Page(httpClient, httpResponse, code):
    httpResponse.WriteResponseJSONOk({"code": code})

mws = MicroWebSrv([("/twice", "GET", Twice), ("/once", "GET", Once)], port=Port(), bindIP="127.0.0.1", webPath="www")
mws.After(After)
mws.SetErrorHandler(500, Page)
mws.Start(threaded=False)
"""


@pytest.mark.parametrize("content", ["None", "'text'"])
def test_an_answer_that_is_refused_leaves_what_was_set(serve, content):
    """A ValueError concerns one response: the next one has the headers and cookies set before, once."""
    server = serve(REFUSED % (content, content))
    response = Fetch(server.port, "/twice")
    assert response.status == 200
    server.WaitLine("REFUSED True")
    assert sorted(value.partition(";")[0] for value in response.Headers("Set-Cookie")) == ["after=1", "session=1"]
    for name in ("X-Kept", "X-Between", "X-After"):
        assert response.Headers(name) == ["yes"], name
    assert response.Header("X-Of") == "this one" and response.Header("X-Forged") is None
    server.ExpectError("X-Forged")
    response = Fetch(server.port, "/once")
    assert response.status == 500 and response.Json() == {"code": 500}
    assert response.Headers("X-After") == ["yes"] and response.Header("X-Forged") is None
