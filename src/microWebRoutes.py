# Typed route arguments, groups of routes, URLs of routes, all values of a repeated field, and pages for 404. Copy this
# file beside microWebSrv.py. MIT license, see LICENSE.
#
#    1  CONVERTERS   from the text of an argument to its value
#    2  PATTERN      a path and its arguments
#    3  SERVER       typed routes, AddRoutes, GetUrl, GetList, NotFound, Attach

_UNRESERVED = "-._~"


# ==============================================================================
# 1  CONVERTERS
# ==============================================================================

def _Plain(text):
    """<name>, as in untyped routes: digits are converted to int if no character is lost."""
    return int(text) if text.encode().isdigit() and (text[0] != "0" or text == "0") and len(text) < 1000 else text


def _Int(text):
    """<int:name>: ASCII digits, with or without a minus sign; '007' is 7."""
    if not text[text[0] == "-":].encode().isdigit() or len(text) > 999:     # int() takes quadratic time
        raise ValueError
    return int(text)


def _Float(text):
    """<float:name>: a finite number, like '-1.5', '2' or '1e-7'."""
    if text.strip("+-.0123456789eE") or not text.lower().partition("e")[0].strip("-.") or text[0] == "+" \
            or len(text) > 999:
        raise ValueError
    number = float(text)
    if number - number:                     # inf - inf is nan
        raise ValueError
    return number


_converters = {None: (_Plain, str), "str": (str, str), "path": (str, str), "int": (_Int, str), "float": (_Float, str)}


def AddConverter(name, fromText, toText=str):
    """Add the type <name:argument> for routes of servers that are made afterwards. fromText(text) -> value; ValueError:
    the route does not match. toText(value) -> text, for GetUrl. ValueError for an invalid argument."""
    if not callable(fromText) or not callable(toText) or not isinstance(name, str) or name == "path":
        raise ValueError("a converter must be a name that is not 'path', and two functions: %r" % (name,))
    _converters[name] = fromText, toText


# ==============================================================================
# 2  PATTERN
# ==============================================================================

class _Pattern:
    """The path of a route, compared segment by segment in linear time: no segment is tried twice."""

    def __init__(self, route):
        self._chunks = chunks = [(None, [])]        # (name of the path argument before the segments, segments)
        self.names = {}                             # argument -> converters
        self._start = route.url.partition("<")[0].rstrip("/")
        for text in (route.url.rstrip("/") or "/").split("/"):
            rest = text.split("<")
            literals = [rest[0]]
            names = []
            for part in rest[1:]:
                name, _, literal = part.partition(">")
                kind, colon, name = name.rpartition(":")
                if not colon:
                    kind = None
                if route.regex or not name or name in self.names or kind not in _converters \
                        or kind == "path" and literal + rest[0] or kind == "path" and len(rest) > 2:
                    raise ValueError("an argument must be <name> or <type:name>, of a known type, with its own name; "
                                     "<path:name> alone between slashes; no regular expression: %r" % route.url)
                self.names[name] = _converters[kind]
                names.append(name)
                literals.append(literal)
            if names and kind == "path":
                chunks.append((name, []))
            else:
                # 'a-b-7' as <name>-<int:id>: the typed argument is taken from the end.
                isBackward = len(names) > 1 and self.names[names[0]] is _converters[None] and kind is not None
                chunks[-1][1].append((literals, names, isBackward))

    def Match(self, path):
        """The arguments as a dict, or None. A path argument takes as few segments as possible."""
        if not path.startswith(self._start):
            return None
        given = path.split("/")
        args = {}
        end = 0                                     # segments that are matched so far
        chunks = self._chunks
        for name, segments in chunks:
            most = len(given) - len(segments)       # the last position where these segments fit
            start = end + 1 if name else 0
            if segments is chunks[-1][1]:           # the last segments have to fit at the end
                if name and start < most:
                    start = most
                if start != most:
                    return None
            elif not name:
                most = 0
            while start <= most and not self._Fits(segments, given, start, args):
                start += 1
            if start > most:
                return None
            if name:
                text = "/".join(given[end:start]).replace("\x00", "/")
                if "/../" in "/%s/" % text:         # security: programs use the text as a file name
                    return None
                try:
                    args[name] = self.names[name][0](text)
                except ValueError:
                    return None
            end = start + len(segments)
        return args

    def Url(self, args):
        """The percent-encoded path. ValueError if Match would not return these arguments."""
        texts = {}
        for name in self.names:
            try:
                texts[name] = self.names[name][1](args[name])
            except (TypeError, ValueError):
                texts[name] = ""                # matches no argument
        parts = []
        for path, segments in self._chunks:
            if path:
                parts.append(texts[path])
            for literals, names, _ in segments:
                part = literals[0]
                for at, name in enumerate(names):
                    part += texts[name].replace("/", "\x00") + literals[at + 1]
                parts.append(part)
        key = "/".join(parts)
        found = self.Match(key.rstrip("/"))
        for name in texts:
            value = found and found[name]
            if not found or value != args[name] and self.names[name][1](value) != texts[name] \
                    or "//" in key or "/./" in key + "/" or "/../" in key + "/":
                raise ValueError("no URL: the argument %s would not arrive as %r" % (name, args[name]))
        return _Encoded(key, "/" + _UNRESERVED).replace("%00", "%2F")

    def _Fits(self, segments, given, at, args):
        """True if these segments match at this position; puts their arguments into args."""
        for literals, names, isBackward in segments:
            if at >= len(given):
                return False
            text = given[at]
            at += 1
            if not names:
                if text != literals[0]:
                    return False
                continue
            low = len(literals[0])
            high = len(text) - len(literals[-1])
            if text[:low] != literals[0] or text[high:] != literals[-1]:
                return False
            left = len(names)
            while left:
                left -= 1
                number = left if isBackward else len(names) - 1 - left
                start, stop = low, high
                if not left:
                    pass
                elif isBackward:
                    high = text.rfind(literals[number], low, high - 1)
                    start = high + len(literals[number])
                else:
                    stop = text.find(literals[number + 1], low + 1, high)
                    low = stop + len(literals[number + 1])
                if start >= stop:
                    return False
                try:
                    name = names[number]
                    args[name] = self.names[name][0](text[start:stop].replace("\x00", "/"))
                except ValueError:
                    return False
        return True


# ==============================================================================
# 3  SERVER
# ==============================================================================

def _Typed(route):
    """server.Typed: called for each route that is registered."""
    if ":" in "".join(route.names):
        route.Match = _Pattern(route).Match


def _AddRoutes(self, prefix, table):
    """Register the rows (url, method, handler, threaded, name) of a table or Group, with prefix before each url.
    threaded and name are optional."""
    for row in table:
        self.AddRoute(prefix + row[0], *row[1:4])
        self.routes[-1].name = row[4] if len(row) > 4 else None


class Group:
    """A table of routes, filled by decorators: @api.route("/users/<int:id>", "GET"). AddRoutes adds it to a server or
    to another group."""

    def __init__(self, prefix=""):
        self._prefix = prefix
        self._rows = []

    def __iter__(self):
        return iter(self._rows)

    def route(self, url, method="GET", threaded=False, name=None):
        def decorated(handler):
            self._rows.append((self._prefix + url, method, handler, threaded, name))
            return handler
        return decorated

    def AddRoutes(self, prefix, table):
        """Add the routes of a table or of another group, below this group's prefix."""
        for row in table:
            self._rows.append((self._prefix + prefix + row[0],) + tuple(row[1:]))


def _Encoded(text, keep):
    """Percent-encode as UTF-8 (RFC 3986 section 2.1), except letters, digits and keep."""
    parts = []
    for byte in text.encode():
        char = chr(byte)
        parts.append(char if char in keep or byte < 128 and (char.isalpha() or char.isdigit()) else "%%%02X" % byte)
    return "".join(parts)


def _GetUrl(self, handlerOrName, **args):
    """The URL of a route, by its handler, its name or the name of its function. Of several routes the one with the most
    arguments is used. args that are not in the path become the query: a list repeats the name, None is left out.
    ValueError if an argument is missing or can't be written so that the route reads it back."""
    best = None
    most = -1
    missing = "there is no such route"
    for route in self.routes:
        handler = route.handler
        if handlerOrName in (handler, getattr(route, "name", None), getattr(handler, "__name__", None)):
            pattern = _Pattern(route)
            count = -1 if route.regex else len(pattern.names)
            for name in pattern.names:
                if name not in args:
                    count = -1
                    missing = "it needs the argument %r" % name
            if count > most:
                most = count
                best = pattern
    if not best:
        raise ValueError("no URL of %r: %s" % (handlerOrName, missing))
    url = best.Url(args)
    mark = "?"
    for name in sorted(args):
        value = args[name]
        if name not in best.names and value is not None:
            for one in value if isinstance(value, (list, tuple)) else (value,):
                url += mark + _Encoded(name, _UNRESERVED) + "=" + _Encoded(str(one), _UNRESERVED)
                mark = "&"
    return url


class _Form(dict):
    """The fields of a query or form: a dict with the last value of each name, and GetList for all."""

    def __init__(self):
        super().__init__()
        self._pairs = []

    def __setitem__(self, name, value):
        super().__setitem__(name, value)
        self._pairs.append((name, value))

    def GetList(self, name):
        """All values of this name in order; [] if there are none."""
        values = []
        for key, value in self._pairs:
            if key == name and name in self:
                values.append(value)
        return values


def KeepLists(mws):
    """Add GetList(name) to the dicts of queries and forms, for all servers of the program. Not the default, because
    MicroPython's dict(…) and update(…) refuse subclasses of dict."""
    mws.Client.Form = _Form


def NotFound(mws, page="", fallback="", exclude=()):
    """page: a file below webPath, like "/404.html" or a .pyhtml, sent with status 404 instead of the built-in page.
    fallback: a file sent with 200 for unknown paths without an extension, if a browser asks for HTML; for single-page
    applications. exclude: prefixes without fallback."""
    serve = mws.files.handler
    prefixes = []
    for prefix in (exclude,) if isinstance(exclude, str) else exclude:
        prefixes.append((prefix.rstrip("/").lower() + "/", True))

    def Serve(client, response):
        """The handler of all paths without a route: its 404 may become the fallback."""
        client.isFile = True
        serve(client, response)

    def OnNotFound(client, response, code):
        server = client.GetServer()
        head = client.head
        if getattr(client, "isFile", False) and head.method in ("GET", "HEAD") \
                and "." not in head.path.rpartition("/")[2] and "text/html" in head.fields.get("accept", "") \
                and not server.Hooks(prefixes, head):
            client.isFile = False               # a missing fallback calls this handler again
            response.status = None              # the fallback is a 200
            server.SendFile(response, server.source, fallback, "text/html", {"Vary": "Accept"})
        elif page[-7:] == ".pyhtml":
            response.WriteResponsePyHTMLFile(getattr(server.source, "root", "") + server.pages.get(page, page))
        else:
            stat = server.Stat(page)
            if stat and not stat[0]:            # not SendFile: an error page is never a 304 or 206
                server.WriteFile(response, 200, None, "text/html", server.source, page, 0, stat[1], b"")

    if fallback:
        mws.files = type(mws.files)("/", "GET", Serve)
    mws.SetErrorHandler(404, OnNotFound)


def Attach(server):
    """Called by each new server."""
    kind = type(server)
    server.Typed = _Typed
    kind.AddRoutes = _AddRoutes
    kind.GetUrl = _GetUrl
