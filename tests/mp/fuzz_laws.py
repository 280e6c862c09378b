# The laws that no bytes may break, for both runtimes: LAWS names a function of bytes for each target, which raises
# where a law is broken. tools/fuzz.py looks for such bytes, tests/test_fuzz.py replays what it has kept.
#
#    python3 tests/mp/fuzz_laws.py TARGET FILE       replays a corpus: a bytes literal a line

import asyncio
import sys

import cases_http as cases
import microWebSocket
import microWebSrv as core
import microWebTemplate
import rooms

_NEED, _HEAD, _END, _READ_HEAD = 0, 1, 3, 0     # of room 6; MicroPython folds them away there
_CHUNKED = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def _Must(holds, *what):
    if not holds:
        raise AssertionError(what)


def _Splits(data):
    """Some ways for the same bytes to arrive: in two pieces, in many, byte by byte where that is not for ever."""
    size = len(data)
    ways = [[data[:size * k // 8], data[size * k // 8:]] for k in range(1, 8)]
    ways += [[data[:-k], data[-k:]] for k in range(1, 6)]
    step = 1 + size // 200
    ways.append([data[at:at + step] for at in range(0, size, step)])
    return [[piece for piece in pieces if piece] for pieces in ways]


# -- rooms 4 and 6: any split of the same bytes gives the same requests, and no exception but _HttpError leaves.
# Which status refuses may depend on the split, where more than one rule is broken: what is wrong first is said at once.

def Requests(pieces, limits):
    """-> ([(method, path, query, fields, body), …], the body of one that is not whole, how it stands)."""
    connection = core._Connection(limits)
    requests = []
    body = b""
    try:
        for piece in pieces:
            connection.Receive(piece)
            event = connection.Next()
            while event != _NEED:
                body = b"" if event == _HEAD else body + connection.piece
                if event == _END or event == _HEAD and not connection.reader:
                    line = connection.line
                    fields = {name: connection.fields[name] for name in connection.fields}
                    requests.append((line.method, line.path, line.query, fields, body))
                    body = b""
                    if not connection.EndResponse():
                        return requests, body, "closed"
                event = connection.Next()
    except core._HttpError as error:
        _Must(399 < error.status < 600 and error.rule, "an error without a status", error.status)
        return requests, b"", "refused"         # what came of a body before that is nobody's
    waits = connection.HeadBegun() or connection._state != _READ_HEAD
    return requests, body, "more" if waits else "idle"


def Head(data):
    limits = rooms.Limits(8192, 32768)
    whole = Requests([data], limits)
    for pieces in _Splits(data):
        cut = Requests(pieces, limits)
        _Must(cut == whole, "split", pieces, cut, whole)
    remembering = rooms.Limits(8192, 32768, 4)
    for _ in range(2):
        _Must(Requests([data], remembering) == whole, "remembered", data)
    for request in whole[0]:
        _CheckRequest(request)


def _CheckRequest(request):
    method, path, query, fields, body = request
    _Must(isinstance(method, str) and isinstance(path, str) and isinstance(body, bytes), "types", request)
    for name in fields:
        _Must(name == name.lower() and not core._NOT_TOKEN.search(name.encode()), "a name", name)
        for char in "\r\n\x00":
            _Must(char not in fields[name], "a control byte in a value", fields[name])


def Chunked(data):
    """The same laws behind the head of a chunked request; and what is written chunked is read again."""
    Head(_CHUNKED + data)
    written = b"".join([core._Chunk(data[at:at + 7]) for at in range(0, len(data), 7)]) + b"0\r\n\r\n"
    requests = Requests([_CHUNKED + written + cases.NEXT], rooms.Limits(8192, 32768))
    _Must([request[4] for request in requests[0]] == [data, b""], "written and read", requests)


# -- room 1: text never raises, and what was encoded is decoded

def Form(data):
    params = core._ParseQuery(data)
    _Must(len(params) <= data.count(b"&") + 1, "more names than pairs", params)
    encoded = "&".join(["%s=%s" % (core._PathEscape(name, ""), core._PathEscape(params[name], "")) for name in params])
    expected = dict(params)
    if expected.get("", None) == "" and len(expected) == 1:
        encoded = "="
    _Must(core._ParseQuery(encoded.encode()) == expected, "encoded and decoded", params, encoded)


def Query(data):
    """A request target: no exception but _HttpError; a path that reaches the file system is made of plain names."""
    try:
        line = core._ParseRequestLine(b"GET /" + data + b" HTTP/1.1")
    except core._HttpError:
        return
    core._ParseQuery(line.query.encode())
    path = core._SafePath(line.path)
    if path is not None:
        _Must(path[0] == "/" and "//" not in path and "\\" not in path and ":" not in path, "path", path)
        for name in path.split("/"):
            _Must(name[:1] != "." and (not name or min(name) >= " "), "name", name)
    _CheckRoutes(line)


_PATTERNS = ("/<a>/<b>", "/x<a>y/.*", "/<c>", "/<a>/<b>/<c>", "/<d>/<e>", "/.*")


def _CheckRoutes(line):
    """The first route that matches is found; a slash that was encoded separates nothing."""
    router = core._Router()
    routes = [core._Route(pattern, "GET", print) for pattern in _PATTERNS]
    for route in routes:
        router.Add(route)
    path, segments = line.path, line.segments
    if len(path) > 1 and line.rawPath[-1] == "/":
        path, segments = path[:-1], segments and segments[:-1]
    matching = [route for route in routes if route.Match(path, segments) is not None]
    found = router.Find("GET", line.path, line.segments)
    _Must((found and found[0]) == (matching[0] if matching else None), "the first route", line.path, found)
    if found and found[1] and "x<" not in found[0].url:
        args = found[1]
        slashes = line.rawPath.count("/") - (line.rawPath[-1] == "/")
        _Must(len(args) == slashes, "segments", line.rawPath, args)
        _Must(all(args[name] or args[name] == 0 for name in args), "an empty argument", args)


# -- room 9: validators and ranges

def Range(data):
    text = "".join([chr(byte) for byte in data])
    first, _, second = text.partition("|")
    fields = core._Fields()
    fields.Add("range", first)
    if second:
        fields.Add("if-range", second)
    client = rooms.Record(_fields=fields, _line=rooms.Record(method="GET"))
    for size in (0, 1, 20, 1 << 40):
        code, start, length = core._Range(client, size, '"tag"', "date")
        _Must(code in (200, 206, 416), "code", code)
        if code == 206:
            _Must(0 <= start < size and 0 < length <= size - start, "range", start, length, size)
        if code == 200:
            _Must((start, length) == (0, size), "whole", start, length, size)
    when = core._ParseHttpDate(first)
    _Must(when is None or len(when) == 6 and all(isinstance(part, int) for part in when), "date", when)
    for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"):
        fields = core._Fields()
        fields.Add(name, text)
        _Must(core._Precondition(fields, '"tag"', (1994, 11, 6, 8, 49, 37)) in (200, 304, 412), "condition", text)
    fields = core._Fields()
    fields.Add("accept-encoding", text)
    core._Accepts(fields, "gzip")


# -- templates: a page is compiled or is a TemplateError; what holds no tag is written as it stands

def Template(data):
    text = core._Utf8(data)
    template = microWebTemplate.MicroWebTemplate(text)
    error = template.Validate()                     # compiles, and runs nothing of the page
    _Must(error is None or isinstance(error, str) and error, "error", error)
    if "{{" not in text:
        _Must(error is None and template.Execute() == text, "text", text)


# -- frames: any split of the same bytes gives the same messages and the same answers

class _Program:
    """What a MicroWebSocket asks of its server."""

    MaxWebSocketRecvLen = 300
    MaxWebSocketSendQueueLen = 1 << 20
    WebSocketPingSec = 0
    WebSocketThreaded = False
    now = 0

    def __init__(self):
        self._webSockets = set()

    def _OnEngine(self):
        return True

    def IsStarted(self):
        return True

    def _LogError(self, text, error=None):
        raise error


def _Messages(pieces):
    events = []
    link = rooms.Link()
    webSocket = microWebSocket.MicroWebSocket(_Program(), link, "/", None, None)
    webSocket._queue = None
    webSocket.RecvTextCallback = lambda _, text: events.append(text)
    webSocket.RecvBinaryCallback = lambda _, content: events.append(bytes(content))
    for piece in pieces:
        if not link.isClosed:
            webSocket.Received(piece)
        kept = len(webSocket._rest) + sum([len(part) for part in webSocket._message.parts] if webSocket._message else ())
        _Must(kept <= 300 + 16 + 140 + len(piece), "kept", kept)
    return events, link.sent, link.isClosed, webSocket.CloseCode


def Frame(data):
    whole = _Messages([data])
    for pieces in _Splits(data):
        cut = _Messages(pieces)
        _Must(cut == whole, "split", pieces, cut, whole)


# -- the whole server: as many answers as requests, each well-formed, the same however the bytes arrive

_FILES = {"/index.html": b"<p>home", "/text.txt": b"0123456789" * 10, "/dir/page.html": b"<p>page", "/zip.txt": b"zip",
          "/zip.txt.gz": b"\x1f\x8bzip", "/.hidden.txt": b"secret", "/main.py": b"secret"}


def _Echo(httpClient, httpResponse):
    content = httpClient.ReadRequestContent()
    httpResponse.WriteResponseOk({"X-Length": httpClient.GetRequestContentLength()}, "text/plain", None, content)


async def _AsyncEcho(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, await httpClient.ReadRequestContent())


def _Form(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([httpClient.ReadRequestPostedFormData() != 1, httpClient.GetRequestQueryParams() != 1])


def _Json(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.ReadRequestContentAsJSON() is None)


def _Pieces(httpClient, httpResponse, args):
    httpResponse.WriteResponseStream([str(args["count"]), b"pieces"], "text/plain")


_ROUTES = (("/echo", "POST", _Echo), ("/async", "POST", _AsyncEcho), ("/form", "POST", _Form), ("/json", "POST", _Json),
           ("/pieces/<count>", "GET", _Pieces), ("/x<a>y/.*", "GET", lambda c, r, a: r.WriteResponseJSONOk(len(a))))


async def _Play(server, link, pieces):
    serving = asyncio.create_task(server.Serve())
    await asyncio.sleep(0)
    await server.isOpen.wait()
    server._Admit(link)
    for piece in pieces:
        if not link.isClosed:
            link.endpoint.Received(piece)
        for _ in range(3):
            await asyncio.sleep(0)
    for _ in range(20):                     # nothing here waits for anything but its turn
        await asyncio.sleep(0)
    wasClosed = link.isClosed
    server._Gone(link)
    server.Stop()
    await serving
    return wasClosed


def _Serve(pieces):
    """-> what the server sent, without what may differ, and whether it closed."""
    folder = rooms.MemoryFolder(_FILES, 784111777)
    server = core.MicroWebSrv(_ROUTES, port=0, bindIP="127.0.0.1", webPath=folder)
    server.WebSocketThreaded = False
    server.AcceptWebSocketCallback = lambda webSocket, httpClient: None
    server._transport = rooms.MemoryTransport
    errors = []
    server.ErrorCallback = lambda text, error: errors.append((text, error))
    link = rooms.Link()
    isClosed = asyncio.run(_Play(server, link, pieces))
    for text, error in errors:              # OSError: of a handler that waited for content, and there is none any more
        _Must(isinstance(error, OSError) or text[:4] == "413:", "logged", text, error)
    _Must(not folder.open, "a file is open", folder.open)
    for path in folder.touched:
        _Must("/." not in path and "//" not in path and "\\" not in path and "\x00" not in path, "touched", path)
    return _Timeless(link.sent), isClosed


def _Timeless(data):
    data = data.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")     # sent or not, as the content comes late or not
    while True:
        start = data.find(b"\r\nDate: ")
        if start < 0:
            return data
        data = data[:start] + data[data.find(b"\r\n", start + 2):]


def Server(data):
    requests, _, state = Requests([data], rooms.Limits(8192, 32768))
    sent, isClosed = _Serve([data])
    for pieces in _Splits(data)[3::5]:
        cut = _Serve(pieces)
        _Must(cut == (sent, isClosed) or state == "refused" and _Same(cut[0], sent), "split", pieces, cut, sent)
    for request in requests + [("GET",)]:
        if not sent:
            break
        _Must(request[0] or state in ("refused", "more"), "an answer too many", data, sent)
        status, closes, sent = _TakeResponse(sent, request[0])
        if status == 101:
            return
        if closes:
            return _Must((isClosed or state == "more") and not sent, "more behind the last answer", sent)
    else:
        request = None
    _Must(not sent and (request is None or request[1:] == ()), "not every request has an answer", requests)
    _Must(state != "refused", "no refusal", requests)


def _Same(one, other):
    """The same but for the last answer, which is a refusal in both."""
    (one, _, ours), (other, _, theirs) = one.rpartition(b"HTTP/1.1 "), other.rpartition(b"HTTP/1.1 ")
    return one == other and ours[0] in b"45" and theirs[0] in b"45"


def _TakeResponse(data, method):
    """-> (status, whether it says close, the bytes behind it)."""
    head, found, rest = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    _Must(found and lines[0][:9] == b"HTTP/1.1 " and lines[0][9:12].isdigit() and lines[0][12:13] == b" ", "head", data)
    status = int(lines[0][9:12])
    _Must(status != 500, "500", data)
    fields = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b": ")
        _Must(colon and not core._NOT_TOKEN.search(name) and not core._NOT_VALUE.search(value), "field", line)
        fields[name.lower()] = value
    length = fields.get(b"content-length")
    if method == "HEAD" or status in (101, 204, 304):
        size = 0
    elif length is not None:
        size = int(length)
    elif fields.get(b"transfer-encoding") == b"chunked":
        size = rest.find(b"0\r\n\r\n") + 5
        _Must(size > 4, "the last chunk", rest)
    else:
        size = len(rest)
    _Must(len(rest) >= size, "content", data)
    return status, fields.get(b"connection") == b"close", rest[size:]


LAWS = {"head": Head, "chunked": Chunked, "form": Form, "query": Query, "range": Range, "template": Template,
        "frame": Frame, "server": Server}


def Replay(target, path):
    """-> how many inputs of the file hold."""
    count = 0
    with open(path) as file:
        for line in file:
            data = eval(line)
            try:
                LAWS[target](data)
            except Exception:
                print("%s breaks a law: %r" % (target, data))
                raise
            count += 1
    return count


if __name__ == "__main__":
    print("%d HOLD" % Replay(sys.argv[1], sys.argv[2]))
