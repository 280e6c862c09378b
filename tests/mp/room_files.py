# FILES: requests for files in memory -> status, named header fields, body (RFC 9110): for the core with
# microWebFiles.py, and for the core alone.

import time

import microWebSrv as core

import rooms

_MTIME = 784111777
_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
_BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
_AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"

_TEXT = b"0123456789abcdefghij"

FILES = {
    "/index.html": b"<p>home",
    "/text.txt": _TEXT,
    "/empty.txt": b"",
    "/UPPER.TXT": b"upper",
    "/page.html": b"<p>page",
    "/data.json": b"{}",
    "/image.png": b"\x89PNG",
    "/main.py": b"secret",
    "/noext": b"secret",
    "/.hidden.txt": b"secret",
    "/.git/config.txt": b"secret",
    "/with space.txt": b"space",
    "/\u00e9t\u00e9.txt": b"summer",
    "/a+b.txt": b"plus",
    "/100%.txt": b"percent",
    "/dir/index.htm": b"<p>dir",
    "/dir/file.txt": b"in dir",
    "/dir/..file.txt": b"secret",
    "/dir/file..txt": b"dots",
    "/order1/index.html": b"1", "/order1/index.htm": b"2", "/order1/default.html": b"3", "/order1/default.htm": b"4",
    "/order2/index.htm": b"2", "/order2/default.html": b"3", "/order2/default.htm": b"4",
    "/order3/default.html": b"3", "/order3/default.htm": b"4",
    "/order4/default.htm": b"4",
    "/bare/file.txt": b"no index",
    "/deep/index.html/file.txt": b"a folder with the name of an index page",
    "/s pace/index.html": b"<p>s pace",
    "/q?m#h%41/index.html": b"<p>q",
    "/\u00e9/index.html": b"<p>e",
    "/evil.example/index.html": b"<p>not evil",
    "/zip.txt": b"a text that has a compressed sibling",
    "/zip.txt.gz": b"\x1f\x8bzip",
    "/only.css.gz": b"\x1f\x8bonly",
    "/dir.html/x.txt": b"in a folder that looks like a file",
    "/dirgz.txt": b"plain", "/dirgz.txt.gz/x.txt": b"a folder that looks like a sibling",
    "/onlygz/index.html.gz": b"\x1f\x8bindex",
    "/gone.pyhtml.gz": b"\x1f\x8bpage",
    # pages, and parts of pages
    "/page.pyhtml": b"source", "/UPPER.PYHTML": b"source", "/_base.pyhtml": b"source", "/_BASE.PYHTML": b"source",
    "/_parts/index.pyhtml": b"source", "/_parts/part.pyhtml": b"source", "/_parts/style.css": b"css",
    "/_style.css": b"css", "/under_score.pyhtml": b"source",
    "/upper/INDEX.HTM": b"<p>upper", "/upage/INDEX.PYHTML": b"source", "/both/INDEX.HTML": b"2", "/both/default.htm": b"1",
    # names that have a second spelling in the file systems of boards and of Windows
    "/back~up.txt": b"tilde", "/VENDOR~1.TXT": b"secret", "/~1.GIT/config.txt": b"secret",
    "/.well-known/a.txt": b"known", "/.well-known/.b.txt": b"secret", "/dir/.well-known/a.txt": b"secret",
    "/dots.txt.": b"secret", "/space.txt ": b"secret", "/dots./a.txt": b"secret", "/space /a.txt": b"secret",
}

_ETAG = '"2ebc98a1-14"'
_GZ_ETAG = '"2ebc98a1-5-gz"'


def Serve(folder, method, target, fields, level, hasFiles, settings):
    """-> (bytes of the response, True if the connection was closed)."""
    server = core.MicroWebSrv(port=0, bindIP="127.0.0.1", webPath=folder)
    server.LetCacheStaticContentLevel = level
    server.FilesVersion = "v1"
    server.Renderers[".pyhtml"] = lambda server, path, values: ("the page of " + path,)
    for name in settings:
        setattr(server, name, settings[name])
    if not hasFiles:                # the core's methods are those of the class
        del server.SendFile, server.Stat
    lines = "".join(["%s: %s\r\n" % pair for pair in fields])
    return rooms.Exchange(server, ("%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (method, target, lines)).encode())


def Get(target, fields=(), names=(), method="GET", level=2, hasFiles=True, mtime=_MTIME, settings=()):
    """-> (status, the named fields, body); 'leak' if an opened file was not closed."""
    folder = rooms.MemoryFolder(FILES, mtime)
    sent, isClosed = Serve(folder, method, target, fields, level, hasFiles, dict(settings))
    for path in folder.touched:
        if "/." in path and not settings or "//" in path or "\\" in path or "\x00" in path or "~1" in path:
            return "touched", path
    if folder.open:
        return "leak", target
    status, answered, body = rooms.SplitResponse(sent)
    if isClosed != (("connection", "close") in answered):
        return "closed", answered
    values = [", ".join([value for key, value in answered if key == name]) or None for name in names]
    return status, values, None if status >= 400 and body.startswith(b"<!DOCTYPE") else body


def Alone(target, fields=(), names=(), method="GET", level=2, mtime=_MTIME, settings=()):
    """The same for the core without microWebFiles.py."""
    return Get(target, fields, names, method, level, False, mtime, settings)


def Status(target, method="GET"):
    return Get(target, (), (), method)[0]


_CT = ("content-type", "content-length")

PLAIN = [
    # (target, fields, names, …), (status, values, body)
    (("/text.txt", (), _CT), (200, ["text/plain; charset=UTF-8", "20"], _TEXT)),
    (("/empty.txt", (), _CT), (200, ["text/plain; charset=UTF-8", "0"], b"")),
    (("/UPPER.TXT", (), _CT), (200, ["text/plain; charset=UTF-8", "5"], b"upper")),
    (("/data.json", (), _CT), (200, ["application/json", "2"], b"{}")),
    (("/image.png", (), _CT), (200, ["image/png", "4"], b"\x89PNG")),
    (("/text.txt?v=1", (), ()), (200, [], _TEXT)),
    (("/text.txt", (), _CT, "HEAD"), (200, ["text/plain; charset=UTF-8", "20"], b"")),
    (("/with%20space.txt", (), ()), (200, [], b"space")),
    (("/%C3%A9t%C3%A9.txt", (), ()), (200, [], b"summer")),
    (("/a+b.txt", (), ()), (200, [], b"plus")),
    (("/100%25.txt", (), ()), (200, [], b"percent")),
    (("/dir/file.txt", (), ()), (200, [], b"in dir")),
    (("/dir/file..txt", (), ()), (200, [], b"dots")),
    (("//dir//file.txt", (), ()), (200, [], b"in dir")),
    (("http://other/text.txt", (), ()), (200, [], _TEXT)),
    # index pages in the order of the seed
    (("/", (), ("content-type",)), (200, ["text/html"], b"<p>home")),
    (("/?a=b", (), ()), (200, [], b"<p>home")),
    (("/dir/", (), ()), (200, [], b"<p>dir")),
    (("/order1/", (), ()), (200, [], b"1")),
    (("/order2/", (), ()), (200, [], b"2")),
    (("/order3/", (), ()), (200, [], b"3")),
    (("/order4/", (), ()), (200, [], b"4")),
    # and in upper case, as on FAT, after all others
    (("/upper/", (), ()), (200, [], b"<p>upper")),
    (("/both/", (), ()), (200, [], b"1")),
    # only a tilde before a digit belongs to a short name
    (("/back~up.txt", (), ()), (200, [], b"tilde")),
    # pages are rendered, whatever the case of their extension
    (("/page.pyhtml", (), ("content-type",)), (200, ["text/html; charset=UTF-8"], b"the page of /nowhere/page.pyhtml")),
    (("/UPPER.PYHTML", (), ()), (200, [], b"the page of /nowhere/UPPER.PYHTML")),
    (("/upage/", (), ()), (200, [], b"the page of /nowhere/upage/INDEX.PYHTML")),
    (("/under_score.pyhtml", (), ()), (200, [], b"the page of /nowhere/under_score.pyhtml")),
    # a name that begins with _ hides only pages
    (("/_style.css", (), ()), (200, [], b"css")),
    (("/_parts/style.css", (), ()), (200, [], b"css")),
]

REDIRECT = [
    # a folder without a slash: 301 to this site, whatever the path is
    (("/dir", (), ("location",)), (301, ["/dir/"], b"")),
    (("/dir?a=b&c=%20", (), ("location",)), (301, ["/dir/?a=b&c=%20"], b"")),
    (("/bare", (), ("location",)), (301, ["/bare/"], b"")),
    (("/s%20pace", (), ("location",)), (301, ["/s%20pace/"], b"")),
    (("/%C3%A9", (), ("location",)), (301, ["/%C3%A9/"], b"")),
    (("/q%3Fm%23h%2541", (), ("location",)), (301, ["/q%3Fm%23h%2541/"], b"")),
    (("//evil.example", (), ("location",)), (301, ["/evil.example/"], b"")),
    (("///evil.example", (), ("location",)), (301, ["/evil.example/"], b"")),
    (("//evil.example/", (), ()), (200, [], b"<p>not evil")),
    (("/dir.html", (), ("location",)), (301, ["/dir.html/"], b"")),
]

STATUS = [
    (("/none.txt",), 404), (("/none/",), 404), (("/bare/",), 404), (("/deep/",), 404),
    (("/text.txt/",), 404), (("/text.txt/x",), 404),
    # an encoded slash separates no segments, so a guarded path has only one spelling
    (("/dir%2Ffile.txt",), 404), (("/dir%2ffile.txt",), 404), (("/%2Ftext.txt",), 404), (("/dir%2F",), 404),
    (("/%2Fevil.example",), 404), (("/%2F%2Fevil.example",), 404),
    # parts of pages are not served
    (("/_base.pyhtml",), 404), (("/_BASE.PYHTML",), 404), (("/_parts/part.pyhtml",), 404), (("/_parts/",), 404),
    (("/%5Fbase.pyhtml",), 404), (("/_base.pyhtml", "HEAD"), 404), (("/_base.pyhtml", "POST"), 404),
    (("/page.pyhtml", "HEAD"), 200), (("/page.pyhtml", "POST"), 405),
    # short names of FAT; trailing dots and spaces, which FAT and Windows drop
    (("/VENDOR~1.TXT",), 404), (("/~1.GIT/config.txt",), 404), (("/%7E1.GIT/config.txt",), 404),
    (("/dots.txt.",), 404), (("/space.txt%20",), 404), (("/dots./a.txt",), 404), (("/space%20/a.txt",), 404),
    (("/.well-known/a.txt",), 404), (("/.well-known",), 404), (("/.well-known/",), 404),
    (("/main.py",), 403), (("/noext",), 403),
    # no encoding leads out of webPath; names that begin with a dot are hidden
    (("/.hidden.txt",), 404), (("/%2Ehidden.txt",), 404), (("/.git/config.txt",), 404), (("/%2egit/config.txt",), 404),
    (("/dir/..file.txt",), 404),
    (("/..",), 404), (("/../",), 404), (("/../text.txt",), 404), (("/../../etc/passwd",), 404),
    (("/dir/../text.txt",), 404), (("/dir/..",), 404), (("/dir/./file.txt",), 404), (("/./text.txt",), 404),
    (("/%2e%2e/text.txt",), 404), (("/%2E%2E/%2e%2e/etc/passwd",), 404), (("/.%2e/text.txt",), 404),
    (("/..%2ftext.txt",), 404), (("/%2e%2e%2ftext.txt",), 404), (("/dir/%2e%2e%2ftext.txt",), 404),
    (("/%252e%252e/text.txt",), 404), (("/..;/text.txt",), 404), (("/..%00/text.txt",), 400),
    (("/....//text.txt",), 404), (("/..%5ctext.txt",), 404), (("/dir%5c..%5ctext.txt",), 404),
    (("/dir%5Cfile.txt",), 404), (("/\\text.txt",), 404), (("/..\\text.txt",), 404),
    (("/C:/text.txt",), 404), (("/c:%5Ctext.txt",), 404), (("/c:text.txt",), 404), (("//C:/text.txt",), 404),
    (("/text.txt:stream",), 404), (("/text.txt::$DATA",), 404),
    (("/text.txt%00",), 400), (("/text.txt%00.html",), 400), (("/%00",), 400), (("/main.py%00.txt",), 400),
    (("/text.txt%0a",), 404), (("/text.txt%0d%0aX:%20y",), 404), (("/%7f",), 404), (("/text.txt%20",), 404),
    (("/%c0%ae%c0%ae/text.txt",), 400), (("/%c0%afetc/passwd",), 400), (("/%e0%80%ae%e0%80%ae/text.txt",), 400),
    (("/%uff0e%uff0e/text.txt",), 400), (("/..%c0%aftext.txt",), 400), (("/..%25c0%25aftext.txt",), 404),
    (("/%ef%bc%8e%ef%bc%8e/text.txt",), 404),
    (("http://other/../text.txt",), 404),
    # methods
    (("/text.txt", "POST"), 405), (("/text.txt", "PUT"), 405), (("/text.txt", "DELETE"), 405),
    (("/text.txt", "PATCH"), 405), (("/none.txt", "POST"), 404), (("/", "POST"), 405),
    (("/text.txt", "OPTIONS"), 204), (("/none.txt", "OPTIONS"), 404), (("*", "OPTIONS"), 204),
    (("/text.txt", "FROB"), 501), (("/none.txt", "FROB"), 501), (("/text.txt", "TRACE"), 501),
    (("/text.txt", "get"), 501), (("a:80", "CONNECT"), 501),
    (("/main.py", "POST"), 405), (("/.hidden.txt", "POST"), 404), (("/../text.txt", "POST"), 404),
]

ALLOW = [
    (("/text.txt", (), ("allow",), "POST"), (405, ["GET, HEAD, OPTIONS"], None)),
    (("/text.txt", (), ("allow",), "OPTIONS"), (204, ["GET, HEAD, OPTIONS"], b"")),
]

_V = ("etag", "last-modified", "cache-control", "accept-ranges")
_CR = ("content-range", "content-length")

CACHE = [
    # LetCacheStaticContentLevel: 0 no-store, 1 cacheable, 2 with revalidation
    (("/text.txt", (), _V, "GET", 0), (200, [None, None, "no-store", "bytes"], _TEXT)),
    (("/text.txt", (), _V, "GET", 1), (200, [_ETAG, _DATE, "max-age=3600", "bytes"], _TEXT)),
    (("/text.txt", (), _V, "GET", 2), (200, [_ETAG, _DATE, "no-cache", "bytes"], _TEXT)),
    (("/text.txt", (), _V, "HEAD", 2), (200, [_ETAG, _DATE, "no-cache", "bytes"], b"")),
    # without validators conditions are ignored
    (("/text.txt", [("If-None-Match", "*")], (), "GET", 0), (200, [], _TEXT)),
    (("/text.txt", [("If-Modified-Since", _AFTER)], (), "GET", 0), (200, [], _TEXT)),
    # 13.1.2: If-None-Match compares weakly; a 304 has the fields of the 200 (15.4.5)
    (("/text.txt", [("If-None-Match", _ETAG)], ("etag", "cache-control", "content-length")),
     (304, [_ETAG, "no-cache", None], b"")),
    (("/text.txt", [("If-None-Match", "W/" + _ETAG)], ()), (304, [], b"")),
    (("/text.txt", [("If-None-Match", '"x", ' + _ETAG + ' , "y"')], ()), (304, [], b"")),
    (("/text.txt", [("If-None-Match", '"x"'), ("If-None-Match", _ETAG)], ()), (304, [], b"")),
    (("/text.txt", [("If-None-Match", "*")], ()), (304, [], b"")),
    (("/text.txt", [("If-None-Match", '"x"')], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-None-Match", _ETAG[1:-1])], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-None-Match", _ETAG)], (), "HEAD"), (304, [], b"")),
    # 13.1.3: If-Modified-Since
    (("/text.txt", [("If-Modified-Since", _DATE)], ()), (304, [], b"")),
    (("/text.txt", [("If-Modified-Since", _AFTER)], ()), (304, [], b"")),
    (("/text.txt", [("If-Modified-Since", _BEFORE)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")], ()), (304, [], b"")),
    (("/text.txt", [("If-Modified-Since", "Sun Nov  6 08:49:36 1994")], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Modified-Since", "yesterday")], ()), (200, [], _TEXT)),
    # conditions apply to GET and HEAD
    (("/text.txt", [("If-None-Match", '"a,b", W/' + _ETAG)], ()), (304, [], b"")),
    # 13.1.1: If-Match compares strongly
    (("/text.txt", [("If-Match", _ETAG)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Match", "*")], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Match", '"x", ' + _ETAG)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Match", '"x"')], ("content-length",)), (412, ["0"], b"")),
    (("/text.txt", [("If-Match", "W/" + _ETAG)], ()), (412, [], b"")),
    (("/text.txt", [("If-Match", "W/" + _ETAG + ", " + _ETAG)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Match", '"x"')], (), "HEAD"), (412, [], b"")),
    # a weak ETag never matches strongly, not even itself
    (("/text.txt", [("If-Match", '"0-14-v1"')], ("etag",), "GET", 2, True, 0), (412, ['W/"0-14-v1"'], b"")),
    (("/text.txt", [("If-Match", 'W/"0-14-v1"')], (), "GET", 2, True, 0), (412, [], b"")),
    (("/text.txt", [("If-Match", "*")], (), "GET", 2, True, 0), (200, [], _TEXT)),
    (("/text.txt", [("If-None-Match", '"0-14-v1"')], (), "GET", 2, True, 0), (304, [], b"")),
    (("/text.txt", [("If-None-Match", 'W/"0-14-v1"')], (), "GET", 2, True, 0), (304, [], b"")),
    # 13.1.4: If-Unmodified-Since
    (("/text.txt", [("If-Unmodified-Since", _DATE)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Unmodified-Since", _AFTER)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Unmodified-Since", _BEFORE)], ()), (412, [], b"")),
    (("/text.txt", [("If-Unmodified-Since", "yesterday")], ()), (200, [], _TEXT)),
    # 13.2.2: the order of conditions
    (("/text.txt", [("If-None-Match", '"x"'), ("If-Modified-Since", _AFTER)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-None-Match", _ETAG), ("If-Modified-Since", _BEFORE)], ()), (304, [], b"")),
    (("/text.txt", [("If-Match", _ETAG), ("If-Unmodified-Since", _BEFORE)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Match", '"x"'), ("If-None-Match", _ETAG)], ()), (412, [], b"")),
    (("/text.txt", [("If-Match", _ETAG), ("If-None-Match", _ETAG)], ()), (304, [], b"")),
    (("/text.txt", [("If-None-Match", _ETAG), ("Range", "bytes=0-1")], ()), (304, [], b"")),
    (("/text.txt", [("If-Match", '"x"'), ("Range", "bytes=0-1")], ()), (412, [], b"")),
]

RANGE = [
    # 14.1.2: first-last, open, suffix
    (("/text.txt", [("Range", "bytes=0-4")], _CR), (206, ["bytes 0-4/20", "5"], b"01234")),
    (("/text.txt", [("Range", "bytes=5-5")], _CR), (206, ["bytes 5-5/20", "1"], b"5")),
    (("/text.txt", [("Range", "bytes=15-")], _CR), (206, ["bytes 15-19/20", "5"], b"fghij")),
    (("/text.txt", [("Range", "bytes=19-19")], _CR), (206, ["bytes 19-19/20", "1"], b"j")),
    (("/text.txt", [("Range", "bytes=0-")], _CR), (206, ["bytes 0-19/20", "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=15-99")], _CR), (206, ["bytes 15-19/20", "5"], b"fghij")),
    (("/text.txt", [("Range", "bytes=0-99999999999999999")], _CR), (206, ["bytes 0-19/20", "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=-3")], _CR), (206, ["bytes 17-19/20", "3"], b"hij")),
    (("/text.txt", [("Range", "bytes=-99")], _CR), (206, ["bytes 0-19/20", "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=0-4")], ("content-type", "etag", "last-modified", "cache-control")),
     (206, ["text/plain; charset=UTF-8", _ETAG, _DATE, "no-cache"], b"01234")),
    # 15.5.17
    (("/text.txt", [("Range", "bytes=20-")], _CR), (416, ["bytes */20", "0"], b"")),
    (("/text.txt", [("Range", "bytes=20-25")], _CR), (416, ["bytes */20", "0"], b"")),
    (("/text.txt", [("Range", "bytes=99999999999999999-")], _CR), (416, ["bytes */20", "0"], b"")),
    (("/text.txt", [("Range", "bytes=-0")], _CR), (416, ["bytes */20", "0"], b"")),
    # invalid or unsupported ranges are ignored
    (("/text.txt", [("Range", "bytes=")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=-")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=5-2")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=a-b")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=+1-2")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=1--2")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=0x1-2")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=5")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes 0-4")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "items=0-4")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "0-4")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=\u0661-\u0662")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=0-1,3-4")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=0-1"), ("Range", "bytes=3-4")], _CR), (200, [None, "20"], _TEXT)),
    # 14.2: only GET has ranges
    (("/text.txt", [("Range", "bytes=0-4")], _CR, "HEAD"), (200, [None, "20"], b"")),
    # 13.1.5: If-Range, with an exactly equal strong validator
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", _ETAG)], ()), (206, [], b"01234")),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", _DATE)], ()), (206, [], b"01234")),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", '"x"')], ()), (200, [], _TEXT)),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", "W/" + _ETAG)], ()), (200, [], _TEXT)),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", _AFTER)], ()), (200, [], _TEXT)),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", _BEFORE)], ()), (200, [], _TEXT)),
    (("/text.txt", [("Range", "bytes=99-"), ("If-Range", '"x"')], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Range", '"x"')], ()), (200, [], _TEXT)),
    # also at level 0, where If-Range never matches
    (("/text.txt", [("Range", "bytes=0-4")], _CR + ("etag", "cache-control"), "GET", 0),
     (206, ["bytes 0-4/20", "5", None, "no-store"], b"01234")),
    (("/text.txt", [("Range", "bytes=20-")], _CR, "GET", 0), (416, ["bytes */20", "0"], b"")),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", _ETAG)], (), "GET", 0), (200, [], _TEXT)),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", _DATE)], (), "GET", 0), (200, [], _TEXT)),
]

# RFC 9110 section 5.6.7: invalid dates are ignored. If a lenient reader accepts them, each is later than the file.
_NO_DATES = (
    "Sun, 06 Nov 2044 08:49:37 CET", "Sun, 06 Nov 2044 08:49:37 +0100", "Sun, 06 Nov 2044 08:49:37",
    "Sun, 06 Nov 2044 25:61:00 GMT", "Sun, 06 Nov 2044 24:00:00 GMT", "Sun, 06 Nov 2044 08:60:00 GMT",
    "Sun, 06 Nov 2044 08:49:61 GMT", "Sun, 32 Jan 2044 08:49:37 GMT", "Sun, 00 Jan 2044 08:49:37 GMT",
    "Sun, 31 Nov 2044 08:49:37 GMT", "Sun, 30 Feb 2044 08:49:37 GMT", "Sun, 06 Foo 2044 08:49:37 GMT",
    "Sun, 06 anF 2044 08:49:37 GMT", "Xyz, 06 Nov 2044 08:49:37 GMT", "Sun, 06 Nov 2044 08:49:37 GMT trailing",
    "Sun, 06 Nov 2044 08:49:37 GMT, Sun, 06 Nov 2044 08:49:37 GMT", "Sun, 06 Nov 2044 08:49:37 GMT;",
    "Sun, +6 Nov 2044 08:49:37 GMT", "Sun, 06 Nov 2_44 08:49:37 GMT", "Sun, 06 Nov +044 08:49:37 GMT",
    "Sun, 06 Nov 2044 +8:49:37 GMT", "Sun, 06 Nov 2044 08:4_9:37 GMT", "Sun, 6 Nov 2044 08:49:37 GMT",
    "Sun, 06 Nov 2044  08:49:37 GMT", "Sun, 06-Nov-2044 08:49:37 GMT", "Sun, 06-Nov-44 08:49:37 GMT",
    "Sunday, 06 Nov 2044 08:49:37 GMT", "sun, 06 nov 2044 08:49:37 gmt", "Sun Nov  6 08:49:37 2044 GMT",
    "Sun Nov 6 08:49:37 2044", "Sun Nov 06 08:49:37 2044", "Sun, 06 Nov 20440 08:49:37 GMT",
    "Sun, \u0660\u0666 Nov 2044 08:49:37 GMT", "2044-11-06T08:49:37Z", "2425574977", "", ",", "-", "Sun,")

DATES = [
    (("/text.txt", [("If-Modified-Since", text)], ()), (200, [], _TEXT)) for text in _NO_DATES
] + [
    (("/text.txt", [("If-Unmodified-Since", text.replace("2044", "1944"))], ()), (200, [], _TEXT)) for text in _NO_DATES
] + [
    (("/text.txt", [("If-Modified-Since", _AFTER), ("If-Modified-Since", _AFTER)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Modified-Since", "Sun, 06 Nov 2044 08:49:37 GMT")], ()), (304, [], b"")),
    (("/text.txt", [("If-Modified-Since", "Sunday, 06-Nov-44 08:49:37 GMT")], ()), (304, [], b"")),
    (("/text.txt", [("If-Modified-Since", "Sun Nov  6 08:49:37 2044")], ()), (304, [], b"")),
    (("/text.txt", [("If-Modified-Since", "Tue Nov 16 08:49:60 2044")], ()), (304, [], b"")),
    (("/text.txt", [("If-Modified-Since", "Thu, 29 Feb 2024 23:59:60 GMT")], ()), (304, [], b"")),
    # a two-digit year is at most 50 years in the future
    (("/text.txt", [("If-Modified-Since", "Sunday, 06-Nov-93 08:49:37 GMT")], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Unmodified-Since", "Sunday, 06-Nov-93 08:49:37 GMT")], ()), (412, [], b"")),
    (("/text.txt", [("If-Unmodified-Since", "Sun Nov  6 08:49:36 1994")], ()), (412, [], b"")),
]

_ENC = ("content-encoding", "vary", "etag", "content-length", "content-type")
_TYPE = "text/plain; charset=UTF-8"
_GZ = b"\x1f\x8bzip"

GZIP = [
    # 12.5.3: the .gz file for clients that accept gzip; Vary on both
    (("/zip.txt", [("Accept-Encoding", "gzip")], _ENC), (200, ["gzip", "Accept-Encoding", _GZ_ETAG, "5", _TYPE], _GZ)),
    (("/zip.txt", [("Accept-Encoding", "br, GZip;q=0.5, deflate")], _ENC[:2]), (200, ["gzip", "Accept-Encoding"], _GZ)),
    (("/zip.txt", [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")], _ENC[:1]), (200, ["gzip"], _GZ)),
    (("/zip.txt", (), _ENC[:2]), (200, [None, "Accept-Encoding"], FILES["/zip.txt"])),
    (("/zip.txt", [("Accept-Encoding", "br")], _ENC[:2]), (200, [None, "Accept-Encoding"], FILES["/zip.txt"])),
    (("/zip.txt", [("Accept-Encoding", "gzip;q=0")], _ENC[:1]), (200, [None], FILES["/zip.txt"])),
    (("/zip.txt", [("Accept-Encoding", "gzip ; q=0.000")], _ENC[:1]), (200, [None], FILES["/zip.txt"])),
    (("/zip.txt", [("Accept-Encoding", "gzip;q=0.001")], _ENC[:1]), (200, ["gzip"], _GZ)),
    (("/zip.txt", [("Accept-Encoding", "notgzip")], _ENC[:1]), (200, [None], FILES["/zip.txt"])),
    (("/zip.txt", [("Accept-Encoding", "")], _ENC[:1]), (200, [None], FILES["/zip.txt"])),
    (("/zip.txt", [("Accept-Encoding", "gzip")], _ENC, "HEAD"),
     (200, ["gzip", "Accept-Encoding", _GZ_ETAG, "5", _TYPE], b"")),
    (("/zip.txt", [("Accept-Encoding", "gzip"), ("If-None-Match", _GZ_ETAG)], ("etag", "vary")),
     (304, [_GZ_ETAG, "Accept-Encoding"], b"")),
    (("/zip.txt", [("If-None-Match", _GZ_ETAG)], ()), (200, [], FILES["/zip.txt"])),
    (("/zip.txt", [("Accept-Encoding", "gzip"), ("Range", "bytes=0-1")], _ENC[:1] + _CR),
     (206, ["gzip", "bytes 0-1/5", "2"], b"\x1f\x8b")),
    (("/text.txt", [("Accept-Encoding", "gzip")], _ENC[:2]), (200, [None, None], _TEXT)),
    (("/only.css", [("Accept-Encoding", "gzip")], ("content-encoding", "content-type")),
     (200, ["gzip", "text/css"], b"\x1f\x8bonly")),
    (("/only.css", [("Accept-Encoding", "gzip;q=0")], ("vary",)), (406, ["Accept-Encoding"], None)),
    (("/zip.txt.gz", [("Accept-Encoding", "gzip")], ("content-encoding", "content-type", "vary")),
     (200, [None, "application/gzip", None], _GZ)),
    (("/dirgz.txt", [("Accept-Encoding", "gzip")], _ENC[:2]), (200, [None, None], b"plain")),
    # only the .gz file exists: works for an index page, not for a rendered page
    (("/onlygz/", [("Accept-Encoding", "gzip")], _ENC[:1]), (200, ["gzip"], b"\x1f\x8bindex")),
    (("/onlygz/", (), ()), (406, [], None)),
    (("/only.css", [("Accept-Encoding", "gzip")], (), "POST"), (405, [], None)),
    (("/gone.pyhtml", [("Accept-Encoding", "gzip")], ()), (404, [], None)),
] + [
    # every spelling of a weight of zero
    (("/zip.txt", [("Accept-Encoding", text)], _ENC[:1]), (200, [None], FILES["/zip.txt"])) for text in (
        "gzip;q=0", "gzip;q=0 , br", "gzip;q=0\t,br", "gzip;q=0.", "gzip;q=0.0", "gzip;q=0.00", "gzip;q=0.000", "gzip\t;\tq=0", "gzip;Q=0", "GZIP;q=0",
        "br, gzip ; q=0", "*;q=0, identity", "gzip;q=0, *", "*, gzip;q=0", "identity", "identity;q=1, *;q=0",
        "x-gzip;q=0", ",,,", "," * 300 + "gzip")
] + [
    (("/zip.txt", [("Accept-Encoding", text)], _ENC[:1]), (200, ["gzip"], _GZ)) for text in (
        "*", "*;q=0.1", "gzip, *;q=0", "*;q=0, gzip", "identity;q=0, gzip", "identity;q=0, *", "gzip;q=1.000", "x-gzip",
        "gzip\t;\tq=0.001", "gzip;q=0.010", "deflate,\tgzip")
] + [
    # the existing file is not acceptable
    (("/zip.txt", [("Accept-Encoding", text)], ("vary",)), (406, ["Accept-Encoding"], None)) for text in (
        "identity;q=0", "*;q=0", "identity;q=0, gzip;q=0", "identity;q=0.000, br")
] + [
    (("/text.txt", [("Accept-Encoding", "identity;q=0, gzip")], ()), (406, [], None)),
    (("/text.txt", [("Accept-Encoding", "identity;q=0.1, *;q=0")], ()), (200, [], _TEXT)),
]


def Aged(target, ages, fields=(), hasFiles=True):
    """The plain file and its .gz with these modification times -> (status, Content-Encoding, Vary)."""
    folder = rooms.MemoryFolder({"/a.txt": b"plain", "/a.txt.gz": b"\x1f\x8bpacked"}, 0)
    stat = folder.Stat

    def Stat(path):
        found = stat(path)
        return found and (found[0], found[1], ages[path[-3:] == ".gz"])
    folder.Stat = Stat
    answered = dict(rooms.SplitResponse(Serve(folder, "GET", target, fields, 2, hasFiles, {})[0])[1])
    return answered.get("content-encoding"), answered.get("vary")


_GZIP = [("Accept-Encoding", "gzip")]

AGED = [
    # a .gz older than the file belongs to an earlier version
    (("/a.txt", (_MTIME, _MTIME), _GZIP), ("gzip", "Accept-Encoding")),
    (("/a.txt", (_MTIME, _MTIME + 1), _GZIP), ("gzip", "Accept-Encoding")),
    (("/a.txt", (_MTIME, _MTIME - 1), _GZIP), (None, None)),
    (("/a.txt", (0, 0), _GZIP), ("gzip", "Accept-Encoding")),
    (("/a.txt", (_MTIME, _MTIME), _GZIP, False), (None, None)),
]


def Timed(age, fields=(), hasFiles=True, clock=None, level=2):
    """A file changed `age` seconds ago (None: at second 0; "past": before 1970, "pre": as MicroPython reports that) ->
    (status, ETag strong, weak or None, has Last-Modified)."""
    now = int(clock or time.time())
    mtime = {None: 0, "past": -86400, "pre": (1 << 64) - 86400, "never": 1 << 40}.get(age, age)
    if mtime is age and age is not None:
        mtime = now - age
    answered = _At(clock, Get, "/text.txt", fields, ("etag", "last-modified"), "GET", level, hasFiles, mtime)
    etag, modified = answered[1]
    return answered[0], etag and ("weak" if etag[:2] == "W/" else "strong"), modified is not None


class _Clock:
    """A module time that stands still."""

    def __init__(self, now):
        self.now = now

    def time(self):
        return self.now

    def gmtime(self, second=None):
        return time.gmtime(self.now if second is None else second)


def _At(clock, function, *args):
    """The result of the function while the server's clock is at this second."""
    if clock is None:
        return function(*args)
    import microWebFiles
    modules = [core, microWebFiles]
    for module in modules:
        module.time, module._time = _Clock(clock), module.time
    try:
        return function(*args)
    finally:
        for module in modules:
            module.time = module._time


# The clock of a board that was not set: a few minutes after its epoch (2000 or 1970).
_UNSET = 946684800 + 300

TIMED = [
    # a past second: strong, with a date
    ((3600,), (200, "strong", True)),
    ((5,), (200, "strong", True)),
    ((3600, (), False), (200, None, True)),
    # a second that is not over (2 s on FAT): the next version could have the same time
    ((0,), (200, "weak", False)),
    ((1,), (200, "weak", False)),
    ((0, (), False), (200, None, False)),
    ((1, (), False), (200, None, False)),
    # future times, times before 1970, no time: MicroPython's gmtime fails for some. Last-Modified is never later than
    # Date.
    ((-3600,), (200, "weak", False)),
    ((-3600, (), False), (200, None, False)),
    ((None,), (200, "weak", False)),
    ((None, (), False), (200, None, False)),
    (("past",), (200, "weak", False)),
    (("past", (), False), (200, None, False)),
    (("pre",), (200, "weak", False)),
    (("pre", (), False), (200, None, False)),
    (("never",), (200, "weak", False)),
    (("never", (), False), (200, None, False)),
    # a file without a date can't be compared with one
    ((None, [("If-Modified-Since", _AFTER)]), (200, "weak", False)),
    ((0, [("If-Modified-Since", "Sun, 06 Nov 2044 08:49:37 GMT")]), (200, "weak", False)),
    ((0, [("If-Unmodified-Since", _AFTER)]), (412, "weak", False)),
    ((None, [("If-Unmodified-Since", _AFTER)]), (200, "weak", False)),
    (("pre", [("If-Modified-Since", _AFTER)], False), (200, None, False)),
    # clock not set: files with a computer's time have a date; files written by the board have none, because after the
    # next start the same seconds occur again
    ((-3600, (), True, _UNSET), (200, "weak", True)),
    ((-3600, (), False, _UNSET), (200, None, True)),
    ((100, (), True, _UNSET), (200, "weak", False)),
    ((100, (), False, _UNSET), (200, None, False)),
    ((0, (), True, _UNSET), (200, "weak", False)),
    ((0, (), False, _UNSET), (200, None, False)),
    # a clock counts as set after 2023
    ((-3600, (), False, 1703980000), (200, None, True)), ((-3600, (), True, 1703980000), (200, "weak", True)),
    ((-3600, (), False, 1704080000), (200, None, False)), ((-3600, (), True, 1704080000), (200, "weak", False)),
    # exactly two seconds
    ((2, (), False, 1790000000), (200, None, False)), ((3, (), False, 1790000000), (200, None, True)),
    ((2, (), True, 1790000000), (200, "weak", False)), ((3, (), True, 1790000000), (200, "strong", True)),
    ((3600, (), True, None, 0), (200, None, False)),
    ((3600, (), False, None, 0), (200, None, False)),
]


def Rewritten(mtime, first, second, versions=("1", "1")):
    """The status for a client that sends the ETag and the date of a file received at second `first`, at `second`, when
    the file may have been replaced by one of equal time and length."""
    names = ("etag", "last-modified")
    etag, date = _At(first, Get, "/text.txt", (), names, "GET", 2, True, mtime, (("FilesVersion", versions[0]),))[1]
    settings = (("FilesVersion", versions[1]),)
    statuses = [_At(second, Get, "/text.txt", [("If-None-Match", etag)], (), "GET", 2, True, mtime, settings)[0]]
    date = date or "Sun, 06 Nov 2044 08:49:37 GMT"
    statuses.append(_At(second, Get, "/text.txt", [("If-Modified-Since", date)], (), "GET", 2, True, mtime, settings)[0])
    statuses.append(_At(second, Get, "/text.txt", [("If-Range", etag), ("Range", "bytes=0-4")], (), "GET", 2, True, mtime,
                        settings)[0])
    return statuses


_NOW = 1790000000

REWRITTEN = [
    # sent after its second: the validators stay valid
    ((_NOW - 10, _NOW, _NOW + 5), [304, 304, 206]),
    # sent within its second: requested again when the second is over
    ((_NOW, _NOW, _NOW + 5), [200, 304, 200]),
    ((_NOW - 1, _NOW, _NOW + 5), [200, 304, 200]),
    ((_NOW, _NOW, _NOW + 1), [304, 200, 200]),
    # the same with a clock that is not set
    ((_UNSET, _UNSET, _UNSET + 5), [200, 200, 200]),
    ((_UNSET, _UNSET + 5, _UNSET + 50), [304, 200, 200]),
    # no time: valid until a new deployment
    ((0, _NOW, _NOW + 5), [304, 200, 200]),
    ((0, _NOW, _NOW + 5, ("1", "2")), [200, 200, 200]),
    ((_NOW + 86400, _NOW, _NOW + 5, ("1", "2")), [200, 200, 200]),
]


def Starts():
    """Files without a time get another ETag at the next start, unless the program sets a version."""
    etags = []
    for _ in range(2):
        server = core.MicroWebSrv(port=0, bindIP="127.0.0.1", webPath=rooms.MemoryFolder(FILES, 0))
        sent = rooms.Exchange(server, b"GET /text.txt HTTP/1.1\r\nHost: a\r\n\r\n")[0]
        etags.append(dict(rooms.SplitResponse(sent)[1])["etag"])
    return etags[0] != etags[1]


def Sequence(*requests):
    """Requests to one server within one second -> (status, Content-Encoding, ETag) for each: cached data of a file is
    never used for its .gz."""
    server = core.MicroWebSrv(port=0, bindIP="127.0.0.1", webPath=rooms.MemoryFolder(FILES, _MTIME))
    seen = []
    for target, *fields in requests:
        lines = "".join(["%s: %s\r\n" % pair for pair in fields])
        sent = rooms.Exchange(server, ("GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (target, lines)).encode())[0]
        status, answered, body = rooms.SplitResponse(sent)
        answered = dict(answered)
        if status == 200 and body != FILES[target + (".gz" if "content-encoding" in answered else "")]:
            return "another file", target
        seen.append((status, answered.get("content-encoding"), answered.get("etag")))
    return seen


_AS_GZIP = ("Accept-Encoding", "gzip")
_ZIP_ETAG = '"2ebc98a1-24"'
_FILE_ETAG = '"2ebc98a1-5"'

SEQUENCE = [
    # the .gz file, the compressed file and the plain one have three different validators, in any order
    ((("/zip.txt", _AS_GZIP), ("/zip.txt.gz",), ("/zip.txt",), ("/zip.txt", _AS_GZIP)),
     [(200, "gzip", _GZ_ETAG), (200, None, _FILE_ETAG), (200, None, _ZIP_ETAG), (200, "gzip", _GZ_ETAG)]),
    ((("/zip.txt.gz",), ("/zip.txt", _AS_GZIP), ("/zip.txt.gz", _AS_GZIP)),
     [(200, None, _FILE_ETAG), (200, "gzip", _GZ_ETAG), (200, None, _FILE_ETAG)]),
    ((("/zip.txt",), ("/zip.txt", _AS_GZIP), ("/zip.txt",)), [(200, None, _ZIP_ETAG), (200, "gzip", _GZ_ETAG), (200, None, _ZIP_ETAG)]),
    # and a condition for one does not match another
    ((("/zip.txt", _AS_GZIP), ("/zip.txt.gz", ("If-None-Match", _GZ_ETAG)), ("/zip.txt", ("If-None-Match", _GZ_ETAG)),
      ("/zip.txt", _AS_GZIP, ("If-None-Match", _ZIP_ETAG)), ("/zip.txt", _AS_GZIP, ("If-None-Match", _GZ_ETAG))),
     [(200, "gzip", _GZ_ETAG), (200, None, _FILE_ETAG), (200, None, _ZIP_ETAG), (200, "gzip", _GZ_ETAG), (304, "gzip", _GZ_ETAG)]),
    # acceptability is checked for each request
    ((("/text.txt",), ("/text.txt", ("Accept-Encoding", "identity;q=0")), ("/text.txt", _AS_GZIP)),
     [(200, None, _ETAG), (406, None, None), (200, None, _ETAG)]),
    ((("/only.css", _AS_GZIP), ("/only.css",), ("/only.css", _AS_GZIP)),
     [(200, "gzip", '"2ebc98a1-6-gz"'), (406, None, None), (200, "gzip", '"2ebc98a1-6-gz"')]),
]

def Changing(*steps):
    """Requests for one file within one second, while the folder changes -> each status. A result in the memo of heads
    is used only while the file exists."""
    files = {"/a.txt": b"one", "/d/index.html": b"index"}
    server = core.MicroWebSrv(port=0, bindIP="127.0.0.1", webPath=rooms.MemoryFolder(files, _MTIME))
    statuses = []
    for step in steps:
        if step == "gone":
            del files["/a.txt"]
        elif step == "folder":
            files["/a.txt/index.html"] = b"index"
        elif step == "back":
            files["/a.txt"] = b"two"
        elif step == "second":
            server.now += 1
        else:
            sent = rooms.Exchange(server, b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")[0]
            status, _, body = rooms.SplitResponse(sent)
            statuses.append((status, body) if status == 200 else status)
    return statuses


CHANGING = [
    (("get", "get", "second", "get"), [(200, b"one")] * 3),
    (("get", "gone", "get", "back", "get"), [(200, b"one"), 404, (200, b"two")]),
    (("get", "gone", "second", "get"), [(200, b"one"), 404]),
    (("get", "gone", "folder", "get"), [(200, b"one"), 301]),
]


def Broken(errno, hasFiles=True):
    """A file that can't be opened: removed meanwhile, or no descriptor is left, which is not a 404, since a cache would
    store that."""
    folder = rooms.MemoryFolder(FILES, _MTIME)

    def Open(path):
        raise OSError(errno, "played")
    folder.Open = Open
    return rooms.SplitResponse(Serve(folder, "GET", "/text.txt", (), 2, hasFiles, {})[0])[0]


BROKEN = [((errno, hasFiles), status) for hasFiles in (True, False) for errno, status in ((2, 404), (13, 404), (22, 404), (23, 503), (24, 503), (25, 404))]


class _Connection:
    pass


def Pieces(size, bufferLen, headLen, start=0, length=None, shorter=0):
    """The lengths of the pieces of a file; the head leaves with the first one. Together they are the head and the
    content."""
    content = bytes([n & 255 for n in range(size)])
    head = b"h" * headLen
    files = []
    length = size - start if length is None else length
    source = rooms.MemoryFolder({"/a": content[:size - shorter]}, 0)
    source.open = files
    connection = _Connection()
    connection.server = connection
    connection.buffer = memoryview(bytearray(bufferLen))
    body = core.FileBody(source, "/a", start, length, connection)
    if head:
        body.responseHead = head
    pieces = []
    try:
        while True:
            pieces.append(bytes(next(body)))
    except StopIteration:
        pass
    except OSError:
        pieces.append(b"")
    body.close()
    if files or b"".join(pieces) != head + content[start:start + length - shorter]:
        return "other bytes", pieces
    return [len(piece) for piece in pieces]


PIECES = [
    ((0, 10, 0), []), ((0, 10, 3), [3]), ((5, 10, 0), [5]), ((10, 10, 0), [10]), ((11, 10, 0), [10, 1]), ((25, 10, 0), [10, 10, 5]),
    # the head is in the first piece if it takes at most half of the buffer
    ((5, 10, 3), [8]), ((5, 10, 5), [10]), ((6, 10, 5), [10, 1]), ((5, 10, 6), [6, 5]), ((20, 10, 4), [10, 10, 4]), ((5, 10, 30), [30, 5]),
    # a part of the file
    ((20, 10, 0, 5), [10, 5]), ((20, 10, 0, 5, 3), [3]), ((20, 10, 2, 5, 3), [5]), ((20, 10, 0, 19), [1]),
    # the file became shorter during the response: an error, not the end
    ((20, 10, 0, 0, 20, 5), [10, 5, 0]), ((20, 10, 0, 0, 20, 20), [0]),
]

_KNOWN = (("ServeWellKnown", True),)
_PAGES = (("pages", {"/made.pyhtml": "/made.pyhtml", "/made/": "/made/index.pyhtml"}),)

ALONE = [
    # the core without microWebFiles.py: valid, with fewer features
    (("/text.txt", (), _V), (200, [None, _DATE, "no-cache", None], _TEXT)),
    (("/text.txt", (), _V, "HEAD"), (200, [None, _DATE, "no-cache", None], b"")),
    (("/text.txt", (), _V, "GET", 1), (200, [None, _DATE, "max-age=3600", None], _TEXT)),
    (("/text.txt", (), _V, "GET", 0), (200, [None, None, "no-store", None], _TEXT)),
    # If-Modified-Since exactly equal to the file's date (nginx: if_modified_since exact)
    (("/text.txt", [("If-Modified-Since", _DATE)], ("cache-control", "content-length", "content-type")),
     (304, ["no-cache", None, None], b"")),
    (("/text.txt", [("If-Modified-Since", _DATE)], (), "HEAD"), (304, [], b"")),
    (("/text.txt", [("If-Modified-Since", _AFTER)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Modified-Since", _BEFORE)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Modified-Since", _DATE), ("If-Modified-Since", _DATE)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Modified-Since", _DATE)], (), "GET", 0), (200, [], _TEXT)),
    # there is no ETag: conditions on one are answered with the file
    (("/text.txt", [("If-None-Match", '"x"'), ("If-Modified-Since", _DATE)], ()), (200, [], _TEXT)),
    # Range and If-Range are ignored (14.2), and so is the .gz file
    (("/text.txt", [("Range", "bytes=0-4")], _CR), (200, [None, "20"], _TEXT)),
    (("/text.txt", [("Range", "bytes=99-")], _CR), (200, [None, "20"], _TEXT)),
    (("/zip.txt", [("Accept-Encoding", "gzip")], _ENC[:2]), (200, [None, None], FILES["/zip.txt"])),
    (("/only.css", [("Accept-Encoding", "gzip")], ()), (404, [], None)),
    (("/onlygz/", [("Accept-Encoding", "gzip")], ()), (404, [], None)),
    (("/zip.txt.gz", (), ("content-encoding", "content-type")), (200, [None, "application/gzip"], _GZ)),
    (("/", (), ()), (200, [], b"<p>home")),
    (("/dir", (), ("location",)), (301, ["/dir/"], b"")),
    (("/main.py", (), ()), (403, [], None)),
    # precompiled pages need no file
    (("/made.pyhtml", (), (), "GET", 2, _MTIME, _PAGES), (200, [], b"the page of /nowhere/made.pyhtml")),
    (("/made/", (), (), "GET", 2, _MTIME, _PAGES), (200, [], b"the page of /nowhere/made/index.pyhtml")),
    (("/page.pyhtml", (), (), "GET", 2, _MTIME, _PAGES), (200, [], b"the page of /nowhere/page.pyhtml")),
    (("/none.pyhtml", (), (), "GET", 2, _MTIME, _PAGES), (404, [], None)),
    # /.well-known/ (RFC 8615) with ServeWellKnown: only at the root, and no other hidden names
    (("/.well-known/a.txt", (), (), "GET", 2, _MTIME, _KNOWN), (200, [], b"known")),
    (("/%2Ewell-known/a.txt", (), (), "GET", 2, _MTIME, _KNOWN), (200, [], b"known")),
    (("/.well-known/.b.txt", (), (), "GET", 2, _MTIME, _KNOWN), (404, [], None)),
    (("/.well-known/../text.txt", (), (), "GET", 2, _MTIME, _KNOWN), (404, [], None)),
    (("/dir/.well-known/a.txt", (), (), "GET", 2, _MTIME, _KNOWN), (404, [], None)),
    (("/.hidden.txt", (), (), "GET", 2, _MTIME, _KNOWN), (404, [], None)),
    (("/.well-known~1/a.txt", (), (), "GET", 2, _MTIME, _KNOWN), (404, [], None)),
]


def Touched(target, count):
    """The paths that are looked up for this many requests within one second: an index page is searched once."""
    folder = rooms.MemoryFolder(FILES, _MTIME)
    server = core.MicroWebSrv(port=0, bindIP="127.0.0.1", webPath=folder)
    del server.SendFile, server.Stat
    seen = []
    for _ in range(count):
        folder.touched = []
        rooms.Exchange(server, ("GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target).encode())
        seen.append(folder.touched)
    return seen


TOUCHED = [
    (("/", 3), [["/", "/index.pyhtml", "/index.html", "/index.html"]] + [["/index.html", "/index.html"]] * 2),
    (("/text.txt", 2), [["/text.txt", "/text.txt"]] * 2),
    (("/none.txt", 2), [["/none.txt"]] * 2),
]


def WriteAlone(path, stat=None, errno=None):
    """SendFile of the core: the response, and the result in the handler."""
    told = []

    def Handler(client, response):
        told.append(core.SendFile(response, client.GetServer().source, path, "text/plain", None, stat))
    folder = rooms.MemoryFolder(FILES, _MTIME)

    def Open(path):
        raise OSError(errno, "played")
    if errno:
        folder.Open = Open
    server = core.MicroWebSrv([("/x", "GET", Handler)], 0, "127.0.0.1", folder)
    sent = rooms.Exchange(server, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")[0]
    return rooms.SplitResponse(sent)[0], told


WRITE_ALONE = [
    (("/text.txt",), (200, [True])), (("/none.txt",), (404, [False])), (("/dir",), (404, [False])),
    (("/text.txt", (True, 0, _MTIME)), (404, [False])),
    (("/text.txt", None, 2), (404, [False])), (("/text.txt", None, 24), (503, [False])),
]


def Write(filepath, *args):
    """WriteResponseFile and WriteResponseFileAttachment, called by a handler."""
    accepted = []

    def Handler(client, response):
        if len(args) == 2:
            accepted.append(response.WriteResponseFileAttachment(filepath, args[0], args[1]))
        else:
            accepted.append(response.WriteResponseFile(filepath, *args))

    server = core.MicroWebSrv([("/x", "GET", Handler)], 0, "127.0.0.1", rooms.MemoryFolder({}, 0))
    sent = rooms.Exchange(server, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")[0]
    status, fields, body = rooms.SplitResponse(sent)
    return status, dict(fields).get("content-disposition"), accepted


def Disposition(name):
    return Write(__file__, name, None)[1]


# RFC 6266 with RFC 8187: a quoted ASCII name, and the exact one if it differs
ATTACHMENT = [
    (("a.txt",), 'attachment; filename="a.txt"'),
    (("a b.txt",), 'attachment; filename="a b.txt"'),
    (("a;b.txt",), 'attachment; filename="a;b.txt"'),
    (("a'b.txt",), "attachment; filename=\"a'b.txt\""),
    (("a\"b.txt",), "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
    (("a\\b.txt",), "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%5Cb.txt"),
    (("a%41b.txt",), "attachment; filename=\"a_41b.txt\"; filename*=UTF-8''a%2541b.txt"),
    (("\u00e9\u20ac.txt",), "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%A9%E2%82%AC.txt"),
    (("a\r\nX: y.txt",), "attachment; filename=\"a__X: y.txt\"; filename*=UTF-8''a%0D%0AX%3A%20y.txt"),
    (("a\x00.txt",), "attachment; filename=\"a_.txt\"; filename*=UTF-8''a%00.txt"),
    (("a\x7f.txt",), "attachment; filename=\"a_.txt\"; filename*=UTF-8''a%7F.txt"),
]

WRITE = [
    # no file
    ((__file__ + ".none",), (404, None, [False])),
    ((__file__ + ".none", "a.txt", None), (404, None, [False])),
    ((__file__[:__file__.rfind("/")],), (404, None, [False])),
    ((__file__ + "/",), (404, None, [False])),
    (("\x00" + __file__,), (404, None, [False])),
    ((__file__ + "\x00.txt",), (404, None, [False])),
    ((__file__, "a.txt", None), (200, 'attachment; filename="a.txt"', [True])),
    ((__file__, "a.txt", {"X": "y"}), (200, 'attachment; filename="a.txt"', [True])),
    ((__file__, "a.txt", [("X", "y")]), (200, 'attachment; filename="a.txt"', [True])),
    ((__file__,), (200, None, [True])),
    ((__file__, "text/plain"), (200, None, [True])),
]

TABLES = [
    ("Plain", Get, PLAIN),
    ("Redirect", Get, REDIRECT),
    ("Status", Status, STATUS),
    ("Allow", Get, ALLOW),
    ("Cache", Get, CACHE),
    ("Range", Get, RANGE),
    ("Dates", Get, DATES),
    ("Gzip", Get, GZIP),
    ("Aged", Aged, AGED),
    ("Sequence", Sequence, SEQUENCE),
    ("Changing", Changing, CHANGING),
    ("Broken", Broken, BROKEN),
    ("Pieces", Pieces, PIECES),
    ("Timed", Timed, TIMED),
    ("Rewritten", Rewritten, REWRITTEN),
    ("Starts", Starts, [((), True)]),
    ("Alone", Alone, ALONE),
    ("Attachment", Disposition, ATTACHMENT),
    ("Touched", Touched, TOUCHED),
    ("WriteAlone", WriteAlone, WRITE_ALONE),
    ("Write", Write, WRITE),
]
