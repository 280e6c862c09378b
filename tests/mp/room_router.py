# Room 7, ROUTER.

import microWebSrv as core

# A number names the route: its place in the list that is registered in this order.
_SITE = [
    ("/", "GET"),                               # 0
    ("/a", "GET"),                              # 1
    ("/a", "POST"),                             # 2
    ("/b/", "GET"),                             # 3
    ("/edit/<id>", "GET"),                      # 4
    ("/edit/new", "GET"),                       # 5: never, the one before it matches first
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
]


def _Handler():
    pass


def _Router(site):
    router = core._Router()
    for url, method in site:
        router.Add(core._Route(url, method, _Handler))
    return router


def Find(method, path, segments=None, site=None):
    router = _Router(site or _SITE)
    found = router.Find(method, path, segments)
    if found is None:
        return None
    route, args = found
    number = [at for at, known in enumerate(router._all) if known is route][0]
    return (number, dict(args)) if args else number


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
    (("GET", "/edit/007"), (4, {"id": 7})),
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
    # outside <args> regex characters make a regex, of the whole path
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
    # an encoded slash separates nothing: the segments of the path are given beside it
    (("GET", "/edit/a/b", ["", "edit", "a/b"]), (4, {"id": "a/b"})),
    (("GET", "/edit/a/b/", ["", "edit", "a/b", ""]), (4, {"id": "a/b"})),
    (("GET", "/first/new", ["", "first/new"]), None),
    # a catch-all shadows what comes later and nothing that comes before it
    (("GET", "/x", None, [("/x", "GET"), ("/.*", "GET"), ("/y", "GET")]), 0),
    (("GET", "/y", None, [("/x", "GET"), ("/.*", "GET"), ("/y", "GET")]), 1),
    (("GET", "/", None, [("/.*", "GET")]), 0),
    (("GET", "/x", None, []), None),
]


def Methods(path):
    return sorted(_Router(_SITE).Methods(path))


METHODS = [
    (("/a",), ["GET", "POST"]),
    (("/a/",), ["GET", "POST"]),
    (("/only",), ["DELETE"]),
    (("/num/7",), ["PUT"]),
    (("/edit/7",), ["GET"]),
    (("/none",), []),
]


def Knows(method):
    return _Router(_SITE).Knows(method)


KNOWS = [(("GET",), True), (("FROB",), True), (("NONE",), False), (("frob",), False)]


async def _Async():
    pass


def Make(url, method, handler=_Handler, threaded=False):
    route = core._Route(url, method, handler, threaded)
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
    return bool(core._Route("/", "GET", HANDLERS[name]).isAsync)


IS_ASYNC = [((name,), name.startswith("async")) for name in sorted(HANDLERS)]

TABLES = [
    ("Find", Find, FIND),
    ("Methods", Methods, METHODS),
    ("Knows", Knows, KNOWS),
    ("Route", Make, MAKE),
    ("IsAsync", IsAsync, IS_ASYNC),
]
