# The room router.

import microWebSrv as core

# The number of a route is its position in this list, the order of registration.
_SITE = [
    ("/", "GET"),                               # 0
    ("/a", "GET"),                              # 1
    ("/a", "POST"),                             # 2
    ("/b/", "GET"),                             # 3
    ("/edit/<id>", "GET"),                      # 4
    ("/edit/new", "GET"),                       # 5: never, the previous route matches first
    ("/edit/<id>/<path>", "GET"),               # 6
    ("/c/<x>/d/<y>", "GET"),                    # 7
    ("/first/new", "GET"),                      # 8
    ("/first/<id>", "GET"),                     # 9
    ("/a", "GET"),                              # 10: never
    ("/file.<ext>", "GET"),                     # 11
    ("/pre<x>post", "GET"),                     # 12
    ("/two/<x>-<y>", "GET"),                    # 13
    ("/dot.txt", "GET"),                        # 14
    ("/re/.*", "GET"),                          # 15
    ("/num/[0-9]+", "PUT"),                     # 16
    ("/alt/(x|y)", "GET"),                      # 17
    ("/Case", "GET"),                           # 18
    ("/sp ace/\u00e9", "GET"),                  # 19
    ("/frob", "FROB"),                          # 20
    ("/only", "DELETE"),                        # 21
    ("/low", "get"),                            # 22
    ("/<one>/x/<two>/", "PATCH"),               # 23
    ("/log/<year>-<month>-<day>", "GET"),       # 24
    ("/<lang>.<ext>", "OPTIONS"),               # 25
    ("/private/.*", "HEAD"),                    # 26
    ("/mix/<id>/(a|b)", "GET"),                 # 27
    ("/edge<x>", "GET"),                        # 28
    ("/<x>edge", "PUT"),                        # 29
]


def _Handler():
    pass


def _Routes(site):
    return [core.Route(url, method, _Handler) for url, method in site]


def Find(method, path, site=None):
    routes = _Routes(_SITE if site is None else site)
    found = core.Find(routes, method, path)
    if found is None:
        return None
    route, args = found
    number = [at for at, known in enumerate(routes) if known is route][0]
    return (number, dict(args)) if args is not core.NO_ARGS else number


_LONG = "/re/" + "x" * 1000

FIND = [
    (("GET", "/"), 0),
    (("GET", "/a"), 1),
    (("POST", "/a"), 2),
    (("PUT", "/a"), None),
    (("GET", "/a/"), 1),
    (("GET", "/a//"), None),
    (("GET", "//a"), None),
    (("GET", "/A"), None),
    (("GET", "/b"), 3),
    (("GET", "/b/"), 3),
    (("GET", "/none"), None),
    (("GET", ""), None),
    (("GET", "*"), None),
    # arguments
    (("GET", "/edit/7"), (4, {"id": 7})),
    # digits become an int unless a character would be lost, as in a file name or a telephone number
    (("GET", "/edit/0"), (4, {"id": 0})),
    (("GET", "/edit/10"), (4, {"id": 10})),
    (("GET", "/edit/007"), (4, {"id": "007"})),
    (("GET", "/edit/00"), (4, {"id": "00"})),
    (("GET", "/edit/7/"), (4, {"id": 7})),
    (("GET", "/edit/new"), (4, {"id": "new"})),
    (("GET", "/edit/-7"), (4, {"id": "-7"})),
    (("GET", "/edit/7.5"), (4, {"id": "7.5"})),
    (("GET", "/edit/7a"), (4, {"id": "7a"})),
    (("GET", "/edit/\u0667"), (4, {"id": "\u0667"})),
    (("GET", "/edit/\u00b2"), (4, {"id": "\u00b2"})),
    (("GET", "/edit/" + "9" * 40), (4, {"id": int("9" * 40)})),
    (("GET", "/edit/a.b-c d\u00e9%~"), (4, {"id": "a.b-c d\u00e9%~"})),
    (("GET", "/edit/<id>"), (4, {"id": "<id>"})),
    (("GET", "/edit/"), None),
    (("GET", "/edit"), None),
    (("GET", "/edit//"), None),
    (("GET", "/edit/7/p"), (6, {"id": 7, "path": "p"})),
    (("GET", "/edit/7/p/"), (6, {"id": 7, "path": "p"})),
    (("GET", "/edit/7/p/q"), None),
    (("GET", "/edit//p"), None),
    (("GET", "/c/1/d/2"), (7, {"x": 1, "y": 2})),
    (("GET", "/c/1/e/2"), None),
    (("GET", "/first/new"), 8),
    (("GET", "/first/old"), (9, {"id": "old"})),
    (("GET", "/file.txt"), (11, {"ext": "txt"})),
    (("GET", "/file.tar.gz"), (11, {"ext": "tar.gz"})),
    (("GET", "/fileXtxt"), None),
    (("GET", "/file."), None),
    (("GET", "/prexpost"), (12, {"x": "x"})),
    (("GET", "/pre12post"), (12, {"x": 12})),
    (("GET", "/prepost"), None),
    (("GET", "/pre/post"), None),
    (("GET", "/two/a-b"), (13, {"x": "a", "y": "b"})),
    (("GET", "/two/1-2"), (13, {"x": 1, "y": 2})),
    (("GET", "/two/a"), None),
    (("GET", "/dot.txt"), 14),
    (("GET", "/dotXtxt"), None),
    (("PATCH", "/a/x/b"), (23, {"one": "a", "two": "b"})),
    # regex characters outside <args> make the whole path a regex
    (("GET", "/re/"), 15),
    (("GET", "/re/x/y"), 15),
    (("GET", _LONG), 15),
    (("GET", "/rex"), None),
    (("PUT", "/num/123"), 16),
    (("PUT", "/num/123x"), None),
    (("PUT", "/num/"), None),
    (("GET", "/alt/x"), 17),
    (("GET", "/alt/y"), 17),
    (("GET", "/alt/z"), None),
    (("GET", "/Case"), 18),
    (("GET", "/case"), None),
    (("GET", "/sp ace/\u00e9"), 19),
    (("FROB", "/frob"), 20),
    (("frob", "/frob"), None),
    (("GET", "/low"), 22),
    (("get", "/low"), None),
    # RFC 3986 section 2.2: an encoded slash, NUL here, separates no segments, in any kind of route
    (("GET", "/edit/a\x00b"), (4, {"id": "a/b"})),
    (("GET", "/edit/a\x00b/"), (4, {"id": "a/b"})),
    (("GET", "/edit/a\x00\x00\x00b"), (4, {"id": "a///b"})),
    (("GET", "/edit/\x00"), (4, {"id": "/"})),
    (("GET", "/edit/\x00/\x00"), (6, {"id": "/", "path": "/"})),
    (("GET", "/two/a\x00b-c\x00d"), (13, {"x": "a/b", "y": "c/d"})),
    (("GET", "/first\x00new"), None),
    (("GET", "/a\x00"), None),
    (("GET", "\x00a"), None),
    (("HEAD", "/private/a.txt"), 26),
    (("HEAD", "/private"), 26),
    (("HEAD", "/private\x00a.txt"), None),
    (("HEAD", "/private/a\x00b"), 26),
    (("GET", "/mix/a\x00b/a"), (27, {"id": "a/b"})),
    (("GET", "/mix/a/b/a"), None),
    (("GET", "/mix/7/b"), (27, {"id": 7})),
    # several arguments in one segment: each ends where the next literal first occurs
    (("GET", "/log/2026-11-27"), (24, {"year": 2026, "month": 11, "day": 27})),
    (("GET", "/log/2026-11-27-x"), (24, {"year": 2026, "month": 11, "day": "27-x"})),
    (("GET", "/log/2026-11"), None),
    (("GET", "/log/--"), None),
    (("GET", "/log/-1-2-3"), (24, {"year": "-1", "month": 2, "day": 3})),
    (("GET", "/log/" + "-" * 1000), (24, {"year": "-", "month": "-", "day": "-" * 996})),
    (("GET", "/log/" + "1-" * 1000 + "/"), (24, {"year": 1, "month": 1, "day": "1-" * 998})),
    (("GET", "/log/" + "1-" * 1000 + "/x"), None),
    (("OPTIONS", "/a.b"), (25, {"lang": "a", "ext": "b"})),
    (("OPTIONS", "/.b"), None),
    (("OPTIONS", "/.b.c"), (25, {"lang": ".b", "ext": "c"})),
    (("GET", "/edge"), None),
    (("GET", "/edge/"), None),
    (("GET", "/edgex"), (28, {"x": "x"})),
    (("PUT", "/edge"), None),
    (("PUT", "/xedge"), (29, {"x": "x"})),
    (("PUT", "/edgeedge"), (29, {"x": "edge"})),
    (("PUT", "/a/xedge"), None),
    # a catch-all hides later routes, not earlier ones
    (("GET", "/x", [("/x", "GET"), ("/.*", "GET"), ("/y", "GET")]), 0),
    (("GET", "/y", [("/x", "GET"), ("/.*", "GET"), ("/y", "GET")]), 1),
    (("GET", "/", [("/.*", "GET")]), 0),
    (("GET", "/x", []), None),
    # a literal dot, repeated: its end is not .*
    (("GET", "/v...", [("/v\\.*", "GET")]), 0),
    (("GET", "/v..x", [("/v\\.*", "GET")]), None),
    # a thousand digits are not converted to a number
    (("GET", "/edit/" + "9" * 999), (4, {"id": int("9" * 999)})),
    (("GET", "/edit/" + "9" * 1000), (4, {"id": "9" * 1000})),
]


async def _Async():
    pass


def Make(url, method, handler=_Handler, threaded=False):
    route = core.Route(url, method, handler, threaded)
    return (route.method, bool(route.isAsync), bool(route.threaded))


MAKE = [
    (("/a", "GET"), ("GET", False, False)),
    (("/a", "get"), ("GET", False, False)),
    (("/a", "GET", _Handler, True), ("GET", False, True)),
    (("/a", "GET", _Async), ("GET", True, False)),
    (("a", "GET"), "!ValueError"),
    (("", "GET"), "!ValueError"),
    ((None, "GET"), "!ValueError"),
    ((7, "GET"), "!ValueError"),
    (("/a", ""), "!ValueError"),
    (("/a", None), "!ValueError"),
    (("/a", "GE T"), "!ValueError"),
    (("/a", "GET\r\n"), "!ValueError"),
    (("/a", "GET", None), "!TypeError"),
    (("/a", "GET", "handler"), "!TypeError"),
    (("/<", "GET"), "!ValueError"),
    (("/<a", "GET"), "!ValueError"),
    (("/<>", "GET"), "!ValueError"),
    (("/<a/b>", "GET"), "!ValueError"),
    (("/<a>/<a>", "GET"), "!ValueError"),
    (("/a", "GET", _Async, True), "!ValueError"),
]


class _Thing:
    def Plain(self, client, response):
        pass

    async def Coroutine(self, client, response):
        pass


class _Callable:
    def __call__(self, client, response):
        pass


def _Closure(isAsync, value=1):
    async def Coroutine(client, response):
        return value

    def Plain(client, response):
        return value
    return Coroutine if isAsync else Plain



HANDLERS = {"function": _Handler, "async": _Async, "method": _Thing().Plain, "async method": _Thing().Coroutine,
            "closure": _Closure(False), "async closure": _Closure(True), "lambda": lambda client, response: None,
            "callable": _Callable(), "class": _Thing}


def IsAsync(name):
    return bool(core.Route("/", "GET", HANDLERS[name]).isAsync)


IS_ASYNC = [((name,), name.startswith("async")) for name in sorted(HANDLERS)]

TABLES = [
    ("Find", Find, FIND),
    ("Route", Make, MAKE),
    ("IsAsync", IsAsync, IS_ASYNC),
]
