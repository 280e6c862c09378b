# The room server: settings, routes, defaults; nothing runs.

import sys

import microWebSrv as core

import rooms


def _New(*args, **kwargs):
    return core.MicroWebSrv(*args, **kwargs)


def _Handler(client, response):
    pass


class _Path:
    """An object with __fspath__ is a path."""

    def __fspath__(self):
        return "/some/folder"

    __str__ = __fspath__


def Made(port, webPath="/flash/www"):
    server = _New(None, port, "", webPath)
    return server.port, server.source.root


MADE = [
    ((0,), (0, "/flash/www")), ((80, "/a/"), (80, "/a")), ((65535, "/"), (65535, "")), ((1, _Path()), (1, "/some/folder")),
    ((65536,), "!ValueError"), ((-1,), "!ValueError"), (("80",), "!ValueError"), ((None,), "!ValueError"), ((80.0,), "!ValueError"),
    ((80, None), "!ValueError"),
]


def Defaults():
    server = _New()
    return server.port, server.bindIP, server.source.root, server.IsStarted(), len(server.links)


def Setting(name, onCPython, onMicroPython):
    """The defaults that SECURITY.md and docs/ list."""
    value = getattr(core.MicroWebSrv, name)
    return value == (onMicroPython if core.MICROPYTHON else onCPython) or value


SETTINGS = [((name, onCPython, onMicroPython), True) for name, onCPython, onMicroPython in (
    ("AcceptWebSocketCallback", None, None), ("MaxWebSocketRecvLen", 65536, 65536), ("WebSocketThreaded", True, True),
    ("WebSocketStackSize", 4096, 4096), ("LetCacheStaticContentLevel", 2, 2), ("MaxRequestLineLen", 8192, 8192),
    ("MaxRequestHeadLen", 32768, 32768), ("MaxRequestContentLen", 1048576, 1048576), ("MaxConnections", 1000, 1000),
    ("MaxSendQueueLen", 1048576, 65536), ("HeadTimeoutSec", 10, 10), ("BodyTimeoutSec", 20, 20), ("KeepAliveTimeoutSec", 75, 75),
    ("SendTimeoutSec", 20, 20), ("StopGraceSec", 3, 3), ("BufferLen", 131072, 65536), ("ServeWellKnown", False, False), ("Debug", False, False),
    ("ErrorCallback", None, None), ("AccessCallback", None, None), ("Banner", True, True), ("UseAsyncio", False, False), ("memoLen", 256, 16),
    ("isBoard", False, False), ("pages", {}, {}), ("notFoundUrl", None, None), ("defaults", (), ()), ("before", (), ()),
    ("after", (), ()), ("errorHandlers", {}, {}), ("isPlain", True, True), ("_mimeTypes", {}, {}))]


def Small(name):
    server = _New()
    server.SetSmall()
    return getattr(server, name)


SMALL = [((name,), value) for name, value in (
    ("MaxRequestLineLen", 512), ("MaxRequestHeadLen", 2048), ("MaxSendQueueLen", 2048), ("MaxWebSocketSendQueueLen", 2048),
    ("MaxRequestContentLen", 4096), ("MaxConnections", 4), ("MaxWorkers", 1), ("HeadTimeoutSec", 5), ("KeepAliveTimeoutSec", 3), ("BufferLen", 1024),
    ("MaxWebSocketRecvLen", 1024), ("memoLen", 2), ("WebSocketThreaded", False))]


def _Site():
    server = _New([("/a", "GET", _Handler), ("/a", "post", print), ("/b/<x>", "GET", len)])
    server.AddRoute("/c", "HEAD", max, True)
    server.AddRoute("/c", "GET", min)
    return server


def _Head(method, path):
    return core.ParseHead(b"%s %s HTTP/1.1\r\nHost: a" % (method.encode(), path.encode()))


def Find(method, path):
    """-> (name of the handler, its arguments, True if it is the one for files)."""
    server = _Site()
    head = _Head(method, path)
    route, args = server.Find(head)
    if server.Find(head)[0] is not route or head.found[0] is not route:
        return "not remembered"
    names = [name for name in ("_Handler", "print", "len", "max", "min") if route.handler is {
        "_Handler": _Handler, "print": print, "len": len, "max": max, "min": min}[name]]
    return names, dict(args), route is server.files, route.threaded


FIND = [
    (("GET", "/a"), (["_Handler"], {}, False, False)),
    (("POST", "/a"), (["print"], {}, False, False)),
    (("HEAD", "/a"), (["_Handler"], {}, False, False)),             # GET without content
    (("HEAD", "/c"), (["max"], {}, False, True)),                   # unless it has its own route
    (("GET", "/b/7"), (["len"], {"x": 7}, False, False)),
    (("HEAD", "/b/7"), (["len"], {"x": 7}, False, False)),
    (("PUT", "/a"), ([], {}, True, False)),
    (("GET", "/none"), ([], {}, True, False)),
]


def Handler(path, method):
    handler, args = _Site().GetRouteHandler(path, method)
    return handler is not None, handler is {"/a": _Handler, "/b/7": len}.get(path), args


HANDLER = [
    (("/a", "GET"), (True, True, None)), (("/a", "get"), (True, True, None)), (("/a/", "GET"), (True, False, None)),
    (("/b/7", "GET"), (True, True, {"x": 7})), (("/none", "GET"), (False, True, None)), (("/a", "PUT"), (False, False, None)),
]


def Allowed(path, isFile=False):
    return _Site().Allowed(_Head("GET", path), isFile)


ALLOWED = [
    (("/a",), ["GET", "HEAD", "OPTIONS", "POST"]), (("/c",), ["GET", "HEAD", "OPTIONS"]), (("/none",), []),
    (("/none", True), ["GET", "HEAD", "OPTIONS"]), (("/a", True), ["GET", "HEAD", "OPTIONS", "POST"]),
]


def Knows(method):
    server = _New()
    server.AddRoute("/frob", "FROB", _Handler)
    return method in server.methods, method in _New().methods


# RFC 9110 section 15.6.2: 501 for a method that no path has
KNOWS = [
    (("GET",), (True, True)), (("DELETE",), (True, True)), (("FROB",), (True, False)), (("NONE",), (False, False)),
    (("frob",), (False, False)), (("get",), (False, False)),
]


def Methods(*routes):
    """How many methods the server knows with these: a list of them that grew with each route would be copied for each."""
    server = _New()
    before = len(server.methods)
    for method in routes:
        server.AddRoute("/a", method, _Handler)
    return len(server.methods) - before


METHODS = [
    (("GET", "POST"), 0), (("GET",) * 100, 0), (("FROB", "GET", "FROB"), 1), (("FROB", "WIBBLE", "FROB", "WIBBLE"), 2),
]


async def _Async(client, response):
    pass


def AddAsync(canSpawn):
    """An async handler needs microWebAsync.py, and enables asyncio for its server."""
    server = _New()
    server.Spawn = canSpawn and print
    server.AddRoute("/a", "GET", _Handler)
    before = server.UseAsyncio
    server.AddRoute("/b", "GET", _Async)
    return before, server.UseAsyncio, len(server.routes)


def Decorated():
    """@MicroWebSrv.route is for every server, also for existing ones; the first registered one wins."""
    kept = core.MicroWebSrv._docoratedRouteHandlers
    core.MicroWebSrv._docoratedRouteHandlers = []
    try:
        before = core.MicroWebSrv.route("/early")(_Handler) is _Handler
        server = _New([("/own", "GET", _Handler)])
        urls = [route.url for route in server.routes]
        core.MicroWebSrv.route("/late", "POST", threaded=True)(print)
        late = server.GetRouteHandler("/late", "POST")[0] is print
        again = server.GetRouteHandler("/late", "POST")[0] is print
        routes = []
        core.MicroWebSrv.route("/other", routes=routes)(_Handler)
        return before, urls, late, again, [(route.url, route.method, route.threaded) for route in server.routes], len(routes)
    finally:
        core.MicroWebSrv._docoratedRouteHandlers = kept


DECORATED = [((), (True, ["/own", "/early"], True, True, [("/own", "GET", False), ("/early", "GET", False), ("/late", "POST", True)], 1))]


def WebSocketRoute():
    kept = core.MicroWebSrv.webSocketRoutes
    core.MicroWebSrv.webSocketRoutes = []
    try:
        same = core.MicroWebSrv.webSocketRoute("/chat/<room>")(_Handler) is _Handler
        return same, [(route.url, route.method) for route in core.MicroWebSrv.webSocketRoutes]
    finally:
        core.MicroWebSrv.webSocketRoutes = kept


def DefaultHeaders(headers):
    server = _New()
    server.SetDefaultHeaders({"Old": "1"})
    server.SetDefaultHeaders(headers)
    return server.defaults


DEFAULT_HEADERS = [
    ((None,), []), (({"X-Y": "z"},), [("X-Y", "z")]), (([("A", "1"), ("A", "2")],), [("A", "1"), ("A", "2")]),
    (({"Content-Type": "text/html"},), "!ValueError"), (({"Content-Length": "1"},), "!ValueError"), (({"Connection": "close"},), "!ValueError"),
    (({"X": "a\nb"},), "!ValueError"), ((7,), "!ValueError"),
]


def BadDefaults():
    """A refused default leaves no defaults."""
    server = _New()
    try:
        server.SetDefaultHeaders([("X", "y"), ("Content-Type", "text/html")])
    except ValueError:
        return server.defaults


def Mime(name, own=()):
    server = _New()
    server._mimeTypes = dict(own)
    return server.GetMimeTypeFromFilename(name)


MIME = [
    (("a.HTML",), "text/html"), (("a.none",), None), (("a.None", [(".none", "x/y")]), "x/y"), (("a.html", [(".html", "x/y")]), "x/y"),
    (("a.css", [(".none", "x/y")]), "text/css"),
]


def Prefixes(count):
    """The first lines of responses are cached, for at most seventeen combinations of status and media type."""
    server = _New()
    for number in range(count):
        server.Prefix(200 + number, None, None)
    first = server.Prefix(200, "text/x", "UTF-8")
    lines = [line for line in first.split(b"\r\n") if line[:5] != b"Date:"]
    return len(server.prefixes), server.prefixes[200, "text/x", "UTF-8"] is first, lines, first.count(b"Date: ")


_LINES = [b"HTTP/1.1 200 OK", b"Content-Type: text/x; charset=UTF-8", b""]
PREFIXES = [((0,), (1, True, _LINES, 1)), ((16,), (17, True, _LINES, 1)), ((17,), (1, True, _LINES, 1)), ((20,), (4, True, _LINES, 1))]


def PlugIn(names):
    """Optional files: a missing file is skipped, any other error is raised."""
    attached = []
    sys.modules["microWebPlayed"] = rooms.Record(Attach=attached.append)
    kept = core.OPTIONAL
    core.OPTIONAL = names
    try:
        server = _New()
        return server.found, attached == [server] * len(server.found)
    finally:
        core.OPTIONAL = kept
        del sys.modules["microWebPlayed"]


PLUG_IN = [
    (("",), ([], True)), (("Nowhere ",), ([], True)), (("Nowhere Played ",), (["microWebPlayed"], True)),
]


def NotFound():
    server = _New()
    server.SetNotFoundPageUrl("/x")
    one = server.notFoundUrl
    server.SetNotFoundPageUrl()
    return one, server.notFoundUrl


TABLES = [
    ("Made", Made, MADE),
    ("Defaults", Defaults, [((), (80, "", "/flash/www", False, 0))]),
    ("Setting", Setting, SETTINGS),
    ("Small", Small, SMALL),
    ("Find", Find, FIND),
    ("Handler", Handler, HANDLER),
    ("Allowed", Allowed, ALLOWED),
    ("Knows", Knows, KNOWS),
    ("Methods", Methods, METHODS),
    ("AddAsync", AddAsync, [((True,), (False, True, 2)), ((False,), "!ValueError")]),
    ("Decorated", Decorated, DECORATED),
    ("WebSocketRoute", WebSocketRoute, [((), (True, [("/chat/<room>", "GET")]))]),
    ("DefaultHeaders", DefaultHeaders, DEFAULT_HEADERS),
    ("BadDefaults", BadDefaults, [((), ())]),
    ("Mime", Mime, MIME),
    ("Prefixes", Prefixes, PREFIXES),
    ("PlugIn", PlugIn, PLUG_IN),
    ("NotFound", NotFound, [((), ("/x", None))]),
]
