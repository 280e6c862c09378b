# The server class: settings, routes, hooks, optional files. Each limit is an attribute with one value for boards and
# one for CPython. Set them before Start, on the class or on one server.

import gc
import sys
import time

from .engine import Engine
from .exchange import FromJSON, HttpClient, HttpResponse, ToJSON
from .files import Disk, FileBody, Folder, SendFile, ServeFile, WriteFile
from .messages import HttpError, Reason
from .optional import OPTIONAL
from .router import NO_ARGS, Find, IsAsync, Route
from .text import BOARD, MICROPYTHON, HTMLEscape, MimeType, PercentDecode, Utf8
from .writers import CheckText, FieldLines, HeadStart, Pairs

if not BOARD:
    from .readers import CheckAllowed, MakeHead


# The package prefix of the optional files: they are beside this file, or beside the folder core.
_HOME = (__name__[:-7] if __name__.endswith(".server") else __name__).rpartition(".")[0]
_HOME = _HOME and _HOME + "."


def _Import(name):
    __import__(_HOME + name)
    return sys.modules[_HOME + name]


def __getattr__(name):
    """`from microWebSrv import MicroWebSocket`, as in programs of the older server: the name from its optional file."""
    if name[:8] == "MicroWeb" and name[8:] in OPTIONAL.split():
        return getattr(_Import("m" + name[1:]), name)
    raise AttributeError(name)


class MicroWebSrv(Engine):
    """The server: MicroWebSrv(routeHandlers=[(url, method, handler), …], port=80, bindIP='', webPath='/flash/www')."""

    AcceptWebSocketCallback = None
    MaxWebSocketRecvLen = 1024 if BOARD else 65536
    WebSocketThreaded = True
    WebSocketStackSize = 4096
    LetCacheStaticContentLevel = 2              # for files: 0 no-store, 1 for an hour, 2 with revalidation

    MaxRequestLineLen = 1024 if BOARD else 8192             # bytes, else 414
    MaxRequestHeadLen = 4096 if BOARD else 32768            # bytes, else 431
    MaxRequestContentLen = 16384 if BOARD else 1 << 20      # bytes for a plain handler, else 413
    MaxConnections = 4 if sys.platform in ("rp2", "esp8266") else 8 if BOARD else 1000
    # bytes that a raw _write may leave in the queue
    MaxSendQueueLen = 4096 if BOARD else 65536 if MICROPYTHON else 1 << 20
    HeadTimeoutSec = 10
    BodyTimeoutSec = 20                                     # plus a second for each KiB that arrived
    KeepAliveTimeoutSec = 5 if BOARD else 75
    SendTimeoutSec = 20                                     # without any progress
    StopGraceSec = 3
    BufferLen = 2048 if BOARD else 65536 if MICROPYTHON else 131072     # bytes of a file that are read at a time
    AllowedHosts = None                                     # host names of this server; other hosts get 421
    ServeWellKnown = False                                  # serve files below /.well-known/
    Debug = False                                           # a 500 shows the exception
    ErrorCallback = None                                    # function(text, exception or None)
    AccessCallback = None                                   # function(httpClient, code)
    Banner = True                                           # Start() prints the port and the optional files

    isBoard = BOARD
    memoLen = 4 if BOARD else 16 if MICROPYTHON else 256    # number of request heads that are kept in the memo
    Client = HttpClient
    Response = HttpResponse
    if not MICROPYTHON:                         # names in annotations of older programs
        _client = HttpClient
        _response = HttpResponse
    if not BOARD:
        StopIdleSec = 0                         # time for one more request on an idle connection after Stop()
        MakeHead = staticmethod(MakeHead)       # this and the next for microWebAsgi
        CheckAllowed = staticmethod(CheckAllowed)
    Disk = Disk
    FileBody = FileBody
    Utf8 = staticmethod(Utf8)
    HTMLEscape = staticmethod(HTMLEscape)
    PercentDecode = staticmethod(PercentDecode)
    SendFile = staticmethod(SendFile)
    WriteFile = staticmethod(WriteFile)
    FromJSON = staticmethod(FromJSON)
    ToJSON = staticmethod(ToJSON)
    Reason = staticmethod(Reason)
    HttpError = HttpError
    Offload = None                              # set by microWebThreads
    Spawn = SpawnCallback = AsyncSource = None  # set by microWebAsync
    Returned = None                             # set by microWebJson
    webSocketRoutes = []
    pages = {}                                  # path -> precompiled page without a file
    notFoundUrl = None
    defaults = ()                               # (name, value)
    before = after = ()                         # (prefix, hook)
    errorHandlers = {}                          # code or None -> handler
    isPlain = True                              # no defaults, After hooks or error handlers are set

    methods = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")     # known methods; others get 501

    _mimeTypes = {}
    _docoratedRouteHandlers = []
    files = Route("/", "GET", ServeFile)        # the route of all paths without one

    def __init__(self, routeHandlers=None, port=80, bindIP="", webPath="/flash/www"):
        if not isinstance(port, int) or not 0 <= port < 65536:
            raise ValueError("port must be an int from 0 to 65535, not %r" % (port,))
        super().__init__()
        self.port = port
        self.bindIP = CheckText("bindIP", bindIP or "")
        self.source = webPath if hasattr(webPath, "Stat") else Folder(CheckText("webPath", webPath))
        self.routes = []
        self.decorated = 0
        self.Upgraders = {}
        self.Renderers = {}
        self.heads = {}
        self.found = []                         # optional files
        # A missing file is skipped; a file that fails to import raises. They are imported now, because after the first
        # request the heap is fragmented.
        for name in OPTIONAL.split():
            name = "microWeb" + name
            if BOARD:
                gc.collect()
            try:
                module = _Import(name)
            except ImportError as error:
                name = _HOME + name
                if str(error) == "no module named '%s'" % name if MICROPYTHON else error.name == name:
                    continue
                raise
            module.Attach(self)
            self.found.append(name)
        for route in routeHandlers or ():
            self.AddRoute(*route)
        self.AddDecorated()

    # -- routes --------------------------------------------------------------------

    @staticmethod
    def route(url, method="GET", threaded=False, routes=None):
        """@MicroWebSrv.route('/path/<arg>', 'GET'): the handler serves this route on every server."""
        def decorated(handler):
            (MicroWebSrv._docoratedRouteHandlers if routes is None else routes).append(
                Route(url, method, handler, threaded))
            return handler
        return decorated

    @staticmethod
    def webSocketRoute(url):
        """@MicroWebSrv.webSocketRoute('/chat/<room>'): the accept callback of WebSockets at this path."""
        return MicroWebSrv.route(url, "GET", False, MicroWebSrv.webSocketRoutes)

    def AddRoute(self, url, method, handler, threaded=False):
        """Register a route on this server. ValueError or TypeError for an invalid argument."""
        self._Add(Route(url, method, handler, threaded))

    def _Add(self, route):
        self.Typed(route)
        if route.isAsync:
            if not self.Spawn:
                raise ValueError("the async handler of %s needs microWebAsync.py" % route.url)
            self.UseAsyncio = True
        self.routes.append(route)
        if route.method not in self.methods:
            self.methods += (route.method,)
        self.heads = {}                         # remembered heads may now have another route

    def Typed(self, route):
        """Check the types of the route's arguments. microWebRoutes replaces this."""
        if ":" in "".join(route.names):
            raise ValueError("%s needs microWebRoutes.py" % route.url)

    def AddDecorated(self):
        for route in self.webSocketRoutes:
            self.Typed(route)
        for route in MicroWebSrv._docoratedRouteHandlers[self.decorated:]:
            self._Add(route)
            self.decorated += 1

    def GetRouteHandler(self, resUrl, method):
        """-> (handler, routeArgs or None), or (None, None) if no route matches."""
        self.AddDecorated()
        found = Find(self.routes, method.upper(), resUrl)
        return (found[0].handler, found[1] or None) if found else (None, None)

    def Find(self, head):
        """-> (route, args) for the path, or the route that serves files."""
        found = head.found
        if found is None:
            found = head.found = Find(self.routes, head.method, head.key) \
                or head.method == "HEAD" and Find(self.routes, "GET", head.key) or (self.files, NO_ARGS)
        return found

    def Allowed(self, head, isFile=False):
        """The methods that the path supports, sorted; [] if there are none."""
        methods = {"GET"} if isFile else set()
        for route in self.routes:
            if Find((route,), route.method, head.key):
                methods.add(route.method)
        if "GET" in methods:
            methods.add("HEAD")
        if methods:
            methods.add("OPTIONS")
        return sorted(methods)

    # -- configuration ---------------------------------------------------------------

    def SetNotFoundPageUrl(self, url=None):
        """Answer each path that is not found with 302 to this URL; None: with 404."""
        self.notFoundUrl = url

    def SetDefaultHeaders(self, headers=None):
        """Headers for each response that has none of that name: a dict or a list of pairs; None: none. ValueError for
        Content-Type and fields of the framing."""
        self.defaults = Pairs(headers)
        for pair in self.defaults:
            line, names = FieldLines([pair])
            if not line or "content-type" in names:
                self.defaults = ()
                raise ValueError("a default must not be a per-response header: %r" % pair[0])
        self.isPlain = False

    # -- hooks -----------------------------------------------------------------------

    def Before(self, hook, prefix="/"):
        """hook(httpClient, httpResponse) for each request at or below prefix, before its content is read. A response of
        the hook ends the request; a function that it returns is called when the content is there."""
        self.before += (_Hook(hook, prefix),)
        return hook

    def After(self, hook, prefix="/"):
        """hook(httpClient, httpResponse) for each response at or below prefix, errors too. It may set headers."""
        self.after += (_Hook(hook, prefix),)
        self.isPlain = False
        return hook

    def Hooks(self, hooks, head):
        """The hooks for this path."""
        # Security: case is ignored, as on FAT; an encoded slash counts, because handlers get it as a slash.
        path = head.path.lower() + "/"
        while "//" in path:
            path = path.replace("//", "/")
        found = []
        for prefix, hook in hooks:
            if path.startswith(prefix):
                found.append(hook)
        return found

    def SetErrorHandler(self, code, handler):
        """handler(httpClient, httpResponse, code) writes the page for an error; code None: for all codes without a
        handler. Its 200 is sent as `code`. handler None: use the built-in page. ValueError for a code outside 400 to
        599."""
        if code not in range(400, 600) and code is not None or handler and not callable(handler):
            raise ValueError("code, handler must be 400 to 599 or None, and a function: %r" % ((code, handler),))
        self.errorHandlers = dict(self.errorHandlers)
        self.errorHandlers[code] = handler
        self.isPlain = False

    def SetSmall(self):
        """Set all limits for a heap of 50 to 100 KB. Call it before Start; each limit can be changed afterwards."""
        self.MaxRequestLineLen = 512
        self.MaxRequestHeadLen = self.MaxSendQueueLen = self.MaxWebSocketSendQueueLen = 2048
        self.MaxRequestContentLen = 4096
        self.MaxConnections = 4
        self.MaxWorkers = 1
        self.HeadTimeoutSec = 5
        self.KeepAliveTimeoutSec = 3
        self.BufferLen = self.MaxWebSocketRecvLen = 1024
        self.memoLen = 2
        self.WebSocketThreaded = False

    def GetMimeTypeFromFilename(self, filename):
        """'text/html' for 'a.HTML'; None for an unknown extension."""
        for ext in self._mimeTypes:
            if filename.lower().endswith(ext):
                return self._mimeTypes[ext]
        return MimeType(filename)

    # -- what rooms and optional files ask of it --------------------------------------------

    def Prefix(self, code, contentType, contentCharset):
        """The first lines of a response head; cached until the Date changes, in the next second."""
        if len(self.prefixes) > 16:
            self.prefixes.clear()
        prefix = HeadStart(code, contentType, contentCharset, time.gmtime())
        self.prefixes[code, contentType, contentCharset] = prefix
        return prefix

    def Stat(self, path):
        """(isFolder, size in bytes, mtime) of a path below webPath, or None."""
        return self.source.Stat(path)


def _Hook(hook, prefix):
    if not callable(hook) or IsAsync(hook) or prefix[:1] != "/":
        raise ValueError("hook, prefix must be a plain function, and a path: %r" % ((hook, prefix),))
    prefix = prefix.rstrip("/").lower()
    return prefix and prefix + "/", hook
