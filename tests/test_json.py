"""microWebJson: returned values, checked JSON content, JSON streams, errors as JSON; on every runtime."""

import json

import pytest

import harness
from harness import Fetch, RawClient, RequestBytes
from http_tools import SharedSite

BOTH = pytest.mark.parametrize("runtime", ["cpython", "micropython"])

PROGRAM = """
import asyncio
import sys
from microWebSrv import MicroWebSrv
import microWebJson
from ready import Port


class File:
    def __init__(self, size, name):
        self.left = size
        self.name = name

    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        return b"x" * size

    def close(self):
        print("CLOSED", self.name)
        if hasattr(sys.stdout, "flush"):
            sys.stdout.flush()


def Pieces():
    for number in range(3):
        yield "<p>%d" % number


def Broken():
    yield "<p>0"
    raise RuntimeError("on purpose")


class Numbers:
    '''An iterable of many numbers, which fails at one of them.'''

    def __init__(self, count, bad=None):
        self.at = 0
        self.count = count
        self.bad = bad

    def __iter__(self):
        return self

    def __next__(self):
        self.at += 1
        if self.at > self.count:
            raise StopIteration
        if self.at == self.bad:
            raise RuntimeError("on purpose")
        return {"at": self.at}

    def close(self):
        print("ENDED", self.at)
        if hasattr(sys.stdout, "flush"):
            sys.stdout.flush()


values = {
    "dict": lambda c, r: {"a": [1, None, "\\u00e9"]},
    "list": lambda c, r: [],
    "html": lambda c, r: "<p>\\u00e9",
    "empty": lambda c, r: "",
    "bytes": lambda c, r: b"\\x00\\xff",
    "bytearray": lambda c, r: bytearray(b"ab"),
    "none": lambda c, r: None,
    "code": lambda c, r: (201, {"id": 5}, {"Location": "/5", "X-A": "b"}),
    "pair": lambda c, r: (404, {"error": "no"}),
    "text": lambda c, r: (200, "a\\nb", {"Content-Type": "text/plain; charset=UTF-8"}),
    "nothing": lambda c, r: (204, None),
    "cookies": lambda c, r: (200, "", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]),
    "error": lambda c, r: (403, None),
    "file": lambda c, r: File(300000, "small"),
    "endless": lambda c, r: File(1 << 40, "endless"),
    "named": lambda c, r: (200, File(5, "named"), {"Content-Type": "text/csv"}),
    "generator": lambda c, r: Pieces(),
    "iterator": lambda c, r: iter(["a", b"b"]),
    "wrote": lambda c, r: r.WriteResponseOk(None, "text/plain", None, "wrote"),
    "both": lambda c, r: (r.WriteResponseOk(None, "text/plain", None, "wrote"), {"not": "this"})[1],
    "bothnumber": lambda c, r: (r.WriteResponseOk(None, "text/plain", None, "wrote"), 5)[1],
    "true": lambda c, r: True,
    "false": lambda c, r: False,
    "broken": lambda c, r: Broken(),
    "nan": lambda c, r: {"a": float("nan")},
    "wrong": lambda c, r: ({"a": 1}, 201),
    "number": lambda c, r: 5,
    "split": lambda c, r: (200, "x", {"X-A": "a\\r\\nB: c"}),
    "badcode": lambda c, r: (99, "x"),
}
routes = []
for name in values:
    routes.append(("/plain/" + name, "GET", values[name]))
    routes.append(("/threaded/" + name, "GET", values[name], True))
    def Later(value):
        async def Handler(httpClient, httpResponse):
            return value(httpClient, httpResponse)
        return Handler
    routes.append(("/async/" + name, "GET", Later(values[name])))


def Task(httpClient, httpResponse):
    return httpClient.ReadJSON({"title": str, "size": float, "count": int, "done": bool})


async def AsyncTask(httpClient, httpResponse):
    return await httpClient.ReadJSON({"title": str, "size": float, "count": int, "done": bool})


def Shape(shape):
    return lambda httpClient, httpResponse: [httpClient.ReadJSON(shape)]


async def AnyLater(httpClient, httpResponse):
    return [await httpClient.ReadJSON()]


def Old(httpClient, httpResponse):
    return [httpClient.ReadRequestContentAsJSON()]


def Stream(httpClient, httpResponse):
    query = httpClient.GetRequestQueryParams()
    httpResponse.WriteResponseJSONStream(Numbers(int(query["count"]), int(query.get("bad", 0))), {"X-A": "1"})


def NaN(httpClient, httpResponse):
    httpResponse.WriteResponseJSONStream([1, float("nan")] if httpClient.GetRequestQueryString() else ["x" * 2000, float("inf")])


def Write(httpClient, httpResponse):
    httpResponse.WriteResponseJSON(202, None, {"X-A": "1"})


def Row(number):
    if not number:
        raise mws.HttpError(409, "no row")
    return "row"


async def Slow(httpClient, httpResponse):
    await asyncio.sleep(0.2)
    return "slow"


def Fails(httpClient, httpResponse):
    raise RuntimeError("on purpose")


def Gone(httpClient, httpResponse, args):
    return httpResponse.WriteResponseNotFound()


def NotHere(httpClient, httpResponse, code):
    return "<h1>%d" % code


def Teapot(httpClient, httpResponse, code):
    return 410, {"was": code}


mws = MicroWebSrv(routes + [
    ("/task", "POST", Task), ("/threaded/task", "POST", Task, True), ("/async/task", "POST", AsyncTask),
    ("/any", "POST", Shape(None)), ("/dict", "POST", Shape(dict)), ("/list", "POST", Shape(list)), ("/async/any", "POST", AnyLater), ("/old", "POST", Old),
    ("/names", "POST", Shape({"a": object, "b": (str, int)})), ("/stream", "GET", Stream), ("/threaded/stream", "GET", Stream, True), ("/nan", "GET", NaN), ("/write", "GET", Write),
    ("/either", "POST", Shape((dict, int))), ("/number", "POST", Shape(float)), ("/object", "POST", Shape({})), ("/slow", "GET", Slow),
    ("/rows", "GET", lambda c, r: map(Row, range(3))), ("/jsonrows", "GET", lambda c, r: r.WriteResponseJSONStream(map(Row, range(3)))),
    ("/api/fails", "GET", Fails), ("/api/gone/<id>", "GET", Gone), ("/api/only", "POST", Old), ("/api/503", "GET", lambda c, r: (503, None)),
    ("/teapot", "GET", lambda c, r: r.WriteError(418))],
    port=Port(), bindIP="127.0.0.1", webPath="www")
mws.MaxRequestContentLen = 300000
mws.SetErrorHandler(404, NotHere)
mws.SetErrorHandler(418, Teapot)
microWebJson.ProblemErrors(mws, "/api")
mws.Start(threaded=False)
"""

site = SharedSite(PROGRAM)
KINDS = ("plain", "threaded", "async")
JSON = "application/json; charset=UTF-8"
HTML = "text/html; charset=UTF-8"

RETURNED = {
    "dict": (200, JSON, {"a": [1, None, "\u00e9"]}), "list": (200, JSON, []), "html": (200, HTML, "<p>\u00e9"), "empty": (200, HTML, ""),
    "bytes": (200, "application/octet-stream", b"\x00\xff"), "bytearray": (200, "application/octet-stream", b"ab"),
    "none": (204, None, ""), "code": (201, JSON, {"id": 5}), "pair": (404, JSON, {"error": "no"}),
    "text": (200, "text/plain; charset=UTF-8", "a\nb"), "nothing": (204, None, ""), "cookies": (200, HTML, ""),
    "file": (200, "application/octet-stream", b"x" * 300000), "named": (200, "text/csv", "xxxxx"),
    "generator": (200, HTML, "<p>0<p>1<p>2"), "iterator": (200, HTML, "ab"), "wrote": (200, "text/plain", "wrote"),
    "both": (200, "text/plain", "wrote"), "bothnumber": (200, "text/plain", "wrote"), "true": (204, None, ""), "false": (204, None, ""),
}


def Body(answer, expected):
    return answer.body if isinstance(expected, bytes) else answer.text if isinstance(expected, str) else answer.Json()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RETURNED)
def test_returned(site, kind, name):
    status, contentType, body = RETURNED[name]
    with RawClient(site.port) as client:
        for _ in range(2):                      # the connection is kept
            client.Send(RequestBytes("GET", "/%s/%s" % (kind, name)))
            answer = client.ReadResponse()
            assert (answer.status, answer.Header("content-type"), Body(answer, body)) == (status, contentType, body)
    if name == "code":
        assert (answer.Header("location"), answer.Header("x-a")) == ("/5", "b")
    if name == "cookies":
        assert answer.Headers("set-cookie") == ["a=1", "b=2"]
    if name in ("file", "named"):
        site.Seen("^CLOSED %s$" % name.replace("file", "small"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["dict", "html", "file", "generator"])
def test_head_of_what_is_returned(site, kind, name):
    answer = Fetch(site.port, "/%s/%s" % (kind, name), "HEAD")
    assert (answer.status, answer.Header("content-type"), answer.body) == (200, RETURNED[name][1], b"")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name, error", [
    ("nan", "JSON"), ("wrong", r"must return \(code, value\)"), ("number", "iterable"), ("split", "control"), ("badcode", "code must be")])
def test_what_can_not_be_returned(site, kind, name, error):
    """It is logged, the client gets a 500, and the server continues."""
    assert Fetch(site.port, "/%s/%s" % (kind, name)).status == 500
    site.ExpectError("(Type|Value)Error: .*" + error)
    assert Fetch(site.port, "/%s/dict" % kind).status == 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_stream_is_cut(site, kind):
    """The head is sent with the first piece, at the earliest when the second is requested: so 500, or an abort."""
    site.ExpectError("on purpose")
    assert Fetch(site.port, "/%s/broken" % kind).status == 500


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_closed_when_the_client_goes(site, kind):
    before = site.stdout.count("CLOSED endless")
    with RawClient(site.port, receiveBuffer=4096) as client:
        client.Send(RequestBytes("GET", "/%s/endless" % kind))
        client.ReadUntil(b"xxxx")
        client.Close(reset=True)
    site.Seen("(?s)" + "CLOSED endless.*" * (before + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_alone_is_an_error_page(site, kind):
    answer = Fetch(site.port, "/%s/error" % kind)
    assert answer.status == 403 and "Forbidden" in answer.text


def test_error_handlers_return_too(site):
    answer = Fetch(site.port, "/nothing")
    assert (answer.status, answer.text, answer.mediaType) == (404, "<h1>404", "text/html")
    answer = Fetch(site.port, "/teapot")
    assert (answer.status, answer.Json()) == (410, {"was": 418})


def test_write_json(site):
    answer = Fetch(site.port, "/write")
    assert (answer.status, answer.Json(), answer.Header("x-a"), answer.Header("content-type")) == (202, None, "1", JSON)


# ------------------------------------------------------------------------------------------- content

def Post(server, target, body, kind="application/json", method="POST"):
    body = body if isinstance(body, bytes) else body.encode()
    return Fetch(server.port, target, method, {"Content-Type": kind} if kind else {}, body)


GOOD = {"title": "t", "size": 1, "count": 5, "done": False, "more": [1]}
TASKS = ("/task", "/threaded/task", "/async/task")


@pytest.mark.parametrize("target", TASKS)
def test_good_content(site, target):
    for kind in ("application/json", "Application/JSON;charset=utf-8", "application/merge-patch+json"):
        answer = Post(site, target, json.dumps(GOOD), kind)
        assert (answer.status, answer.Json()) == (200, GOOD)
    assert Post(site, target, "\ufeff" + json.dumps(GOOD)).status == 200


@pytest.mark.parametrize("target", TASKS)
@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "text/json", ", application/json"])
def test_another_media_type(site, target, kind):
    answer = Post(site, target, json.dumps(GOOD), kind)
    assert (answer.status, answer.mediaType) == (415, "application/problem+json")
    assert answer.Json()["status"] == 415 and "application/json" in answer.Json()["detail"]


WRONG = [("title", 5, "title must be str"), ("title", None, "title must be str"), ("size", "1", "size must be float"), ("size", True, "size must be float"),
         ("count", 1.5, "count must be int"), ("count", True, "count must be int"), ("done", 0, "done must be bool"), ("done", "gone", None)]


@pytest.mark.parametrize("target", TASKS)
@pytest.mark.parametrize("name, value, detail", WRONG)
def test_another_shape(site, target, name, value, detail):
    given = dict(GOOD)
    if detail:
        given[name] = value
    else:
        del given[name]
    answer = Post(site, target, json.dumps(given))
    assert (answer.status, answer.mediaType) == (400, "application/problem+json")
    assert answer.Json()["detail"] == (detail or "done must be bool")


def test_shapes(site):
    for target, content, status in (("/dict", "{}", 200), ("/dict", "[]", 400), ("/dict", "null", 400), ("/list", "[]", 200), ("/list", "{}", 400),
                                    ("/list", '"a"', 400), ("/any", "null", 200), ("/any", " null ", 200), ("/any", "5", 200), ("/any", "false", 200),
                                    ("/async/any", "[null]", 200), ("/names", '{"a": null, "b": 5}', 200), ("/names", '{"b": 5}', 400),
                                    ("/names", '{"a": 1, "b": null}', 400), ("/names", '{"a": 1, "b": "x"}', 200), ("/task", "[]", 400), ("/task", "null", 400)):
        answer = Post(site, target, content)
        assert answer.status == status, (target, content)
        if status == 200:
            assert answer.Json() == [json.loads(content)]


# Invalid JSON: line and column of the first wrong character, counted from 1.
BAD = {
    b"": (1, 1), b"x": (1, 1), b"[1, 2": (1, 6), b'{"a": 1,\n "b": x}': (2, 7), b'{"a":\n\n\nNaN}': None, b'["\xc3\xa9", x]': (1, 7), b"\xef\xbb\xbf[1, x]": (1, 5),
    b'"abc': None, b"[1] x": None, b"{'a': 1}": (1, 2), b"[Infinity]": None, b"[1e999]": None, b'["\xff"]': None, b"[" * 20000: None, b"9" * 2000: None, b"[" + b"9" * 200000 + b"]": None, b"\x00": (1, 1),
    b"nul": None, b"undefined": (1, 1), b"[1 @": (1, 4), b"[1]\n\n@": None,
}


@pytest.mark.parametrize("target, content, status", [
    ("/either", b"{}", 200), ("/either", b"5", 200), ("/either", b"true", 400), ("/either", b"[]", 400), ("/number", b"5", 200),
    ("/number", b"false", 400), ("/object", b"{}", 200), ("/object", b"[]", 400), ("/names", b'{"a": 1, "b": true}', 400),
    ("/any", b"[" * 2000 + b"1e1" + b"]" * 2000, 400)])
def test_shapes_of_all_kinds(site, target, content, status):
    answer = Fetch(site.port, target, "POST", {"Content-Type": "application/json"}, content)
    assert answer.status == status, answer.text


@pytest.mark.parametrize("target", ["/rows", "/jsonrows"])
def test_a_stream_whose_first_piece_is_refused(site, target):
    """The rest of the stream must not be sent on the kept connection, nor replace the error."""
    with RawClient(site.port) as client:
        client.Send(RequestBytes("GET", target) + RequestBytes("GET", "/plain/dict") * 6 + RequestBytes("GET", "/slow") + RequestBytes("GET", "/plain/dict"))
        assert [client.ReadResponse().status for _ in range(9)] == [409] + [200] * 8


@pytest.mark.parametrize("content", BAD, ids=lambda content: repr(content[:20]))
@pytest.mark.parametrize("target", ["/any", "/async/any"])
def test_no_json(site, target, content):
    if not content:
        answer = Fetch(site.port, target, "POST", {"Content-Type": "application/json", "Content-Length": "0"})
    else:
        answer = Post(site, target, content)
    assert (answer.status, answer.mediaType) == (400, "application/problem+json")
    problem = answer.Json()
    assert (problem["status"], problem["title"]) == (400, "Bad Request")
    place = BAD[content]
    if place:
        assert (problem["line"], problem["column"]) == place, problem
        assert "line %d, column %d" % place in problem["detail"]
    assert len(problem["detail"]) < 100


LOOSE = [b"[1}", b"[1,]", b"[,1]", b"[1 2]", b'{"a" 1}', b'{"a":1,,}', b"[01]", b'["\x01"]', b'["\\q"]', b"{1:2}"]


@pytest.mark.parametrize("content", LOOSE)
def test_what_json_of_micropython_takes(site, content):
    """Its parser is lenient; this is documented, and a change in MicroPython would show here."""
    assert Post(site, "/any", content).status == (200 if site.runtime == "micropython" else 400)


def test_many_colons(site):
    content = "{" + ",".join('"%d":1' % n for n in range(6000)) + "}"
    answer = Post(site, "/any", content)
    assert answer.status == (413 if site.runtime == "micropython" else 200)


def test_the_old_way_is_as_it_was(site):
    for kind in (None, "text/plain"):
        assert Post(site, "/old", "[1]", kind).Json() == [[1]]
        assert Post(site, "/old", "[1", kind).Json() == [None]


# ------------------------------------------------------------------------------------------- streams

@pytest.mark.parametrize("kind", ["", "/threaded"])
@pytest.mark.parametrize("count", [0, 1, 2, 5000])
def test_stream(site, kind, count):
    pieces = []
    with RawClient(site.port) as client:
        client.Send(RequestBytes("GET", "%s/stream?count=%d" % (kind, count)))
        answer = client.ReadResponse(onData=pieces.append)
    assert answer.Json() == [{"at": at + 1} for at in range(count)]
    assert (answer.Header("content-type"), answer.Header("x-a")) == (JSON, "1")
    site.Seen("^ENDED %d$" % (count + 1))


def test_a_stream_for_an_old_client(site):
    said = harness.RawExchange(site.port, b"GET /stream?count=300 HTTP/1.0\r\n\r\n")
    assert json.loads(said.partition(b"\r\n\r\n")[2]) == [{"at": at + 1} for at in range(300)]


@pytest.mark.parametrize("kind", ["", "/threaded"])
def test_a_stream_that_fails_has_no_end(site, kind):
    site.ExpectError("RuntimeError: on purpose")
    said = harness.RawExchange(site.port, RequestBytes("GET", "%s/stream?count=9000&bad=4000" % kind))
    assert said.startswith(b"HTTP/1.1 200 ") and b'{"at": 100}' in said.replace(b"\r\n", b"") or b'"at"' in said
    assert not said.endswith(b"0\r\n\r\n") and b"}]" not in said
    assert Fetch(site.port, kind + "/stream?count=3&bad=2").status == 500      # the head is not sent yet
    said = harness.RawExchange(site.port, ("GET %s/stream?count=9000&bad=4000 HTTP/1.0\r\n\r\n" % kind).encode())
    assert b"}]" not in said


def test_a_stream_with_a_nan(site):
    site.ExpectError("ValueError: obj must be JSON")
    assert Fetch(site.port, "/nan?1").status == 500
    said = harness.RawExchange(site.port, RequestBytes("GET", "/nan"))
    assert not said.endswith(b"0\r\n\r\n") and b"nf" not in said.partition(b"\r\n\r\n")[2].lower()


def test_a_stream_whose_client_goes(site):
    with RawClient(site.port, receiveBuffer=4096) as client:
        client.Send(RequestBytes("GET", "/stream?count=1000000000"))
        client.ReadUntil(b'{"at": ')
        client.Close(reset=True)
    site.Seen("^ENDED [0-9]+$")


# ------------------------------------------------------------------------------------------- errors

@pytest.mark.parametrize("method, target, status, title", [
    ("GET", "/api/nothing", 404, "Not Found"), ("GET", "/api", 404, "Not Found"), ("GET", "/API/x", 404, "Not Found"), ("GET", "/api/gone/5", 404, "Not Found"),
    ("GET", "/api/only", 405, "Method Not Allowed"), ("PROPFIND", "/api/only", 501, "Not Implemented"), ("GET", "/api/503", 503, "Service Unavailable"),
    ("GET", "/api/fails", 500, "Internal Server Error")])
def test_problems(site, method, target, status, title):
    answer = Fetch(site.port, target, method)
    assert (answer.status, answer.Header("content-type")) == (status, "application/problem+json")
    problem = answer.Json()
    assert (problem["status"], problem["title"]) == (status, title)
    assert "purpose" not in answer.text
    if status == 405:
        assert answer.Header("allow") == "OPTIONS, POST"
    if target == "/api/fails":
        site.ExpectError("on purpose")
    head = Fetch(site.port, target, "HEAD") if method == "GET" and status != 500 else None
    assert not head or (head.status, head.body, head.mediaType) == (status, b"", "application/problem+json")


def test_too_large_is_a_problem(site):
    with RawClient(site.port) as client:
        client.Send(RequestBytes("POST", "/api/only", {"Content-Length": "300001"}))
        answer = client.ReadResponse()
    assert (answer.status, answer.Json()["status"]) == (413, 413)
    assert harness.DropsTexts(site.runtime) or "300000" in answer.Json()["detail"]


def test_elsewhere_errors_are_pages(site):
    for target, status in (("/apis", 404), ("/write/x", 404)):
        answer = Fetch(site.port, target)
        assert (answer.status, answer.mediaType) == (status, "text/html")
    assert Fetch(site.port, "/task").mediaType == "text/html"


# ------------------------------------------------------------------------------------------- without the file

ABSENT = """
from microWebSrv import MicroWebSrv
from ready import Port
mws = MicroWebSrv([("/dict", "GET", lambda c, r: {"a": 1}), ("/wrote", "GET", lambda c, r: r.WriteResponseJSONOk([1])),
                   ("/generator", "GET", lambda c, r: (x for x in "ab"))], port=Port(), bindIP="127.0.0.1", webPath="www")
mws.Start(threaded=False)
"""


@BOTH
def test_without_the_file(serve, runtime, tmp_path):
    """Without the file the server ignores the result of a handler."""
    lib = harness.CopySources(tmp_path / "lib")
    (lib / "microWebJson.py").unlink()
    (lib / "microWebAsync.py").unlink()
    server = serve(ABSENT, modulePath=(lib,))
    assert Fetch(server.port, "/dict").status == 204
    assert Fetch(server.port, "/wrote").Json() == [1]
    server.ExpectError("NoneType")
    assert Fetch(server.port, "/generator").status == 500


@BOTH
def test_without_asyncio(serve, runtime, tmp_path):
    lib = harness.CopySources(tmp_path / "lib")
    (lib / "microWebAsync.py").unlink()
    server = serve(ABSENT, modulePath=(lib,))
    assert Fetch(server.port, "/dict").Json() == {"a": 1}
    assert Fetch(server.port, "/generator").text == "ab"


@BOTH
def test_present_but_broken(runtime, tmp_path):
    lib = harness.CopySources(tmp_path / "lib")
    (lib / "microWebJson.py").write_text("raise ImportError('broken')")
    with pytest.raises(AssertionError, match="broken"):
        harness.RunProgram(runtime, "from microWebSrv import MicroWebSrv\nMicroWebSrv()\n", tmp_path, (lib,))
