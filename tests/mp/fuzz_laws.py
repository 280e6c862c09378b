# Laws that hold for any bytes, on both runtimes. LAWS has a function of bytes for each target, which raises if a law is
# broken. tools/fuzz.py searches for such bytes, tests/test_fuzz.py tests the stored ones.
#
#    python3 tests/mp/fuzz_laws.py TARGET FILE       replays a corpus: a bytes literal a line

import re
import sys

try:
    import asyncio
except ImportError:
    import uasyncio as asyncio

import cases_http as cases
import microWebSocket
import microWebSrv as core
import microWebTemplate
import rooms

_NOT_VALUE = re.compile(b"[^\t -~\x80-\xff]")
_CHUNKED = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def _IsToken(name):
    return bool(name) and not core.NOT_TOKEN.search(name)


def _Must(holds, *what):
    if not holds:
        raise AssertionError(what)


def _Splits(data):
    """Some ways to split the bytes: in two pieces, in many, and byte by byte if they are not too many."""
    size = len(data)
    ways = [[data[:size * k // 8], data[size * k // 8:]] for k in range(1, 8)]
    ways += [[data[:-k], data[-k:]] for k in range(1, 6)]
    step = 1 + size // 200
    ways.append([data[at:at + step] for at in range(0, size, step)])
    return [[piece for piece in pieces if piece] for pieces in ways]


# -- readers and connection: any split of the bytes gives the same requests, and no exception except HttpError is
# raised. If several rules are broken, the status may depend on the split: the first violation is reported at once.

def Requests(pieces, heads=None):
    """-> ([(method, path, query, fields, content, keepAlive), …], content of an incomplete one, final state). heads:
    those in the memo."""
    server = rooms.Server(memoLen=0 if heads is None else 4)
    if heads is not None:
        server.heads = heads
    played = rooms.Play(pieces, server)
    for status, rule in server.refusals:
        _Must(399 < status < 600 and rule, "an error without a status", status)
    return played


def Head(data):
    whole = Requests([data])
    for pieces in _Splits(data):
        cut = Requests(pieces)
        _Must(cut == whole, "split", pieces, cut, whole)
    heads = {}
    for _ in range(2):
        _Must(Requests([data], heads) == whole, "remembered", data)
    for request in whole[0]:
        _CheckRequest(request)


def _CheckRequest(request):
    method, path, query, fields, body, _ = request
    _Must(isinstance(method, str) and isinstance(path, str) and isinstance(body, bytes), "types", request)
    for name in fields:
        _Must(name == name.lower() and _IsToken(name.encode()), "a name", name)
        for char in "\r\n\x00":
            _Must(char not in fields[name], "a control byte in a value", fields[name])


def Chunked(data):
    """The same laws after the head of a chunked request; and chunked output can be parsed again."""
    Head(_CHUNKED + data)
    written = b"".join([core.Chunk(data[at:at + 7]) for at in range(0, len(data), 7)]) + b"0\r\n\r\n"
    requests = Requests([_CHUNKED + written + cases.NEXT])
    _Must([request[4] for request in requests[0]] == [data, b""], "written and read", requests)


# -- text: it never raises, and encoded text is decoded

def Form(data):
    if data.count(b"&") > 999:
        return
    params = core.ParseForm(data)
    _Must(len(params) <= data.count(b"&") + 1, "more names than pairs", params)
    encoded = "&".join(["%s=%s" % (core.PercentEncode(name, ""), core.PercentEncode(params[name], "")) for name in params])
    expected = dict(params)
    if expected.get("", None) == "" and len(expected) == 1:
        encoded = "="
    _Must(core.ParseForm(encoded.encode()) == expected, "encoded and decoded", params, encoded)


# -- messages, router and files: the target of a request

def Query(data):
    """No exception except HttpError; a path that reaches the file system consists of plain names."""
    try:
        head = core.ParseHead(b"GET /" + data + b" HTTP/1.1\r\nHost: a")
    except core.HttpError:
        return
    _Must(head.path == head.key.replace("\x00", "/") and "//" not in head.key, "path and key", head.path, head.key)
    if data.count(b"&") < 1000:
        core.ParseForm(head.query.encode())
    folder = rooms.MemoryFolder(_FILES, 784111777)
    server = core.MicroWebSrv(port=0, webPath=folder)
    rooms.Exchange(server, b"GET /" + data + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    _CheckTouched(folder)
    _CheckRoutes(head)


def _CheckTouched(folder):
    """Paths that reached the file system consist of plain names, and every file was closed."""
    for path in folder.touched:
        _Must(path[0] == "/" and "//" not in path and "\\" not in path and ":" not in path, "path", path)
        for name in path.split("/"):
            _Must(name[:1] != "." and (not name or min(name) >= " "), "name", name)
    _Must(not folder.open, "a file is open", folder.open)


_PATTERNS = ("/<a>/<b>", "/x<a>y/.*", "/<c>", "/<a>/<b>/<c>", "/<d>/<e>", "/.*")


def _CheckRoutes(head):
    """The first matching route is found; an encoded slash separates no segments."""
    routes = [core.Route(pattern, "GET", print) for pattern in _PATTERNS]
    path = head.key
    if len(path) > 1 and path[-1] == "/":
        path = path[:-1]
    matching = [route for route in routes if route.Match(path) is not None]
    found = core.Find(routes, "GET", head.key)
    _Must((found and found[0]) == (matching[0] if matching else None), "the first route", path, found)
    if found and found[1] and "x<" not in found[0].url:
        args = found[1]
        _Must(len(args) == path.count("/"), "segments", path, args)
        _Must(all(args[name] or args[name] == 0 for name in args), "an empty argument", args)


# -- files: for any ranges, conditions and codings the content matches the response head

_SIZE = 100


def Range(data):
    first, _, second = data.partition(b"|")
    server = core.MicroWebSrv(port=0, webPath=rooms.MemoryFolder({"/a.bin": bytes(range(_SIZE))}, 784111777))
    for names in ((b"Range", b"If-Range"), (b"If-Match", b"If-None-Match"), (b"If-Modified-Since", b"If-Unmodified-Since"),
                  (b"Accept-Encoding", b"Range")):
        lines = [b"GET /a.bin HTTP/1.1", b"Host: a", b"Connection: close", names[0] + b": " + first]
        if second:
            lines.append(names[1] + b": " + second)
        sent = rooms.Exchange(server, b"\r\n".join(lines) + b"\r\n\r\n")[0]
        status, fields, body = rooms.SplitResponse(sent)
        fields = dict(fields)
        _Must(status in (200, 206, 304, 400, 406, 412, 416), "status", status)
        _Must(status == 304 or int(fields["content-length"]) == len(body), "length", sent)
        if status == 200:
            _Must(body == bytes(range(_SIZE)), "whole", body)
        if status == 206:
            start, _, end = fields["content-range"].partition("/")[0].split(" ")[1].partition("-")
            _Must(0 <= int(start) <= int(end) < _SIZE and body == bytes(range(int(start), int(end) + 1)), "range", sent)


# -- templates: a page compiles or raises TemplateError; a text without tags is written unchanged

def Template(data):
    text = core.Utf8(data)
    template = microWebTemplate.MicroWebTemplate(text)
    error = template.Validate()                     # compiles, but does not execute the page
    _Must(error is None or isinstance(error, str) and error, "error", error)
    if "{{" not in text:
        _Must(error is None and template.Execute() == text, "text", text)


# -- frames: any split of the bytes gives the same messages and the same replies

class _Program:
    """The part of a server that a MicroWebSocket uses."""

    MaxWebSocketRecvLen = 300
    MaxWebSocketSendQueueLen = 1 << 20
    WebSocketPingSec = 0
    WebSocketThreaded = False
    WebSocketSlowPolicy = "close"
    WebSocketCloseOnError = False
    now = 0
    Spawn = SpawnCallback = None
    Utf8 = staticmethod(core.Utf8)

    def __init__(self):
        self.webSockets = set()

    def IsOnEngine(self):
        return True

    IsStarted = IsOnEngine

    def Log(self, text, error=None):
        if error:
            raise error


def _Messages(pieces):
    events = []
    link = rooms.Link()
    link.endpoint = webSocket = microWebSocket.MicroWebSocket(_Program(), link, None)
    webSocket._queue = None                 # the accept callback has returned
    webSocket.RecvTextCallback = lambda _, text: events.append(text)
    webSocket.RecvBinaryCallback = lambda _, content: events.append(bytes(content))
    for piece in pieces:
        link.Receive(piece)
        kept = len(webSocket._rest) + (len(webSocket._message[1]) if webSocket._message else 0)
        _Must(kept <= 300 + 16 + 140 + len(piece), "kept", kept)
    return events, link.sent, link.isClosed, webSocket.CloseCode


def Frame(data):
    whole = _Messages([data])
    for pieces in _Splits(data):
        cut = _Messages(pieces)
        _Must(cut == whole, "split", pieces, cut, whole)


# -- the whole server: one valid response for each request, the same for any split of the bytes

_FILES = {"/index.html": b"<p>home", "/text.txt": b"0123456789" * 10, "/dir/page.html": b"<p>page", "/zip.txt": b"zip",
          "/zip.txt.gz": b"\x1f\x8bzip", "/.hidden.txt": b"secret", "/main.py": b"secret"}


def _Echo(httpClient, httpResponse):
    content = httpClient.ReadRequestContent()
    httpResponse.WriteResponseOk({"X-Length": httpClient.GetRequestContentLength()}, "text/plain", None, content)


async def _AsyncEcho(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, await httpClient.ReadRequestContent())


async def _AsyncPieces(httpClient, httpResponse):
    size = 0
    while piece := await httpClient.ReadRequestContent(3):
        size += len(piece)
    httpResponse.WriteResponseOk(None, "text/plain", None, str(size))


def _Form(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([httpClient.ReadRequestPostedFormData() != 1, httpClient.GetRequestQueryParams() != 1])


def _Json(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.ReadRequestContentAsJSON() is None)


def _Pieces(httpClient, httpResponse, args):
    httpResponse.WriteResponseStream([str(args["count"]), b"pieces"], "text/plain")


_ROUTES = (("/echo", "POST", _Echo), ("/async", "POST", _AsyncEcho), ("/async-pieces", "POST", _AsyncPieces), ("/form", "POST", _Form), ("/json", "POST", _Json),
           ("/pieces/<count>", "GET", _Pieces), ("/x<a>y/.*", "GET", lambda c, r, a: r.WriteResponseJSONOk(len(a))))


async def _Play(server, link, pieces):
    """Send the pieces when they are wanted, and let the handlers' tasks run between them. -> True if the server
    closed."""
    server.asyncEngine._done = asyncio.Event()          # as if the server ran this loop
    for piece in pieces:
        link.Receive(piece)
        await _Turns(link)
    await _Turns(link)
    isClosed = link.isClosed
    link.Abort()
    await _Turns(link)
    return isClosed


async def _Turns(link):
    """Tasks here wait for nothing but their turn."""
    for _ in range(12):
        await asyncio.sleep(0)
        link.Turn()


def _Serve(pieces):
    """-> (bytes that the server sent, without variable parts; True if it closed)."""
    folder = rooms.MemoryFolder(_FILES, 784111777)
    server = core.MicroWebSrv(_ROUTES, port=0, bindIP="127.0.0.1", webPath=folder)
    server.WebSocketThreaded = False
    server.AcceptWebSocketCallback = lambda webSocket, httpClient: None
    errors = []
    server.ErrorCallback = lambda text, error: errors.append((text, error))
    link = rooms.Connect(server)
    if b"/async" in b"".join(pieces):
        isClosed = asyncio.run(_Play(server, link, pieces))
    else:
        for piece in pieces:
            link.Receive(piece)
        isClosed = link.isClosed
        link.Abort()
    for text, error in errors:              # OSError: a handler waited for content that will not arrive
        _Must(isinstance(error, OSError) or text[:4] == "413:", "logged", text, error)
    _CheckTouched(folder)
    return _Timeless(link.sent), isClosed


def _Timeless(data):
    """Without variable parts: the time, and the run's number in a validator."""
    data = data.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")     # sent only if the content arrives late
    for name in (b"\r\nDate: ", b"\r\nETag: "):
        while name in data:
            start = data.find(name)
            data = data[:start] + data[data.find(b"\r\n", start + 2):]
    return data


def Server(data):
    requests, _, state = Requests([data])
    sent, isClosed = _Serve([data])
    for pieces in _Splits(data)[3::5]:
        cut = _Serve(pieces)
        _Must(cut == (sent, isClosed) or state == "refused" and _Same(cut[0], sent), "split", pieces, cut, sent)
    for request in requests + [("GET",)]:
        if not sent:
            break
        _Must(request[0] or state in ("refused", "more"), "an answer too many", data, sent)
        # A refused request is not in the list; the refusal of a HEAD has no content.
        isHead = request[1:] == () and b"HEAD " in data and sent[-4:] == b"\r\n\r\n"
        status, closes, sent = _TakeResponse(sent, "HEAD" if isHead else request[0])
        if status == 101:
            return
        if closes:
            return _Must((isClosed or state == "more") and not sent, "more behind the last answer", sent)
    else:
        request = None
    _Must(not sent and (request is None or request[1:] == ()), "not every request has an answer", requests)
    _Must(state != "refused", "no refusal", requests)


def _Same(one, other):
    """True if equal except for the last response, if that is a refusal in both."""
    (one, _, ours), (other, _, theirs) = one.rpartition(b"HTTP/1.1 "), other.rpartition(b"HTTP/1.1 ")
    return one == other and ours[0] in b"45" and theirs[0] in b"45"


def _TakeResponse(data, method):
    """-> (status, True if it has Connection: close, bytes after it)."""
    head, found, rest = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    _Must(found and lines[0][:9] == b"HTTP/1.1 " and lines[0][9:12].isdigit() and lines[0][12:13] == b" ", "head", data)
    status = int(lines[0][9:12])
    _Must(status != 500, "500", data)
    fields = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b": ")
        _Must(colon and _IsToken(name) and not _NOT_VALUE.search(value), "field", line)
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
    """-> the number of inputs in the file for which the law holds."""
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
