# Room 9, FILES: requests for files that stand in memory -> status, named header fields, body. RFC 9110.

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
}

_ETAG = '"2ebc98a1-14"'
_GZ_ETAG = '"2ebc98a1-5-gz"'


def Get(target, fields=(), names=(), method="GET", level=2):
    """-> (status, the named fields, body); 'leak' where something that was opened is still open."""
    folder = rooms.MemoryFolder(FILES, _MTIME)
    server = core.MicroWebSrv(port=0, bindIP="127.0.0.1", webPath=folder)
    server.LetCacheStaticContentLevel = level
    lines = "".join(["%s: %s\r\n" % pair for pair in fields])
    sent, isClosed = rooms.Exchange(server, ("%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (method, target, lines)).encode())
    for path in folder.touched:
        if "/." in path or "//" in path or "\\" in path or "\x00" in path:
            return "touched", path
    if folder.open:
        return "leak", target
    status, answered, body = rooms.SplitResponse(sent)
    if isClosed != (("connection", "close") in answered):
        return "closed", answered
    values = [", ".join([value for key, value in answered if key == name]) or None for name in names]
    return status, values, None if status >= 400 and body.startswith(b"<!DOCTYPE") else body


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
    (("/dir%2Ffile.txt", (), ()), (200, [], b"in dir")),
    (("//dir//file.txt", (), ()), (200, [], b"in dir")),
    (("http://other/text.txt", (), ()), (200, [], _TEXT)),
    # index pages in the seed's order
    (("/", (), ("content-type",)), (200, ["text/html"], b"<p>home")),
    (("/?a=b", (), ()), (200, [], b"<p>home")),
    (("/dir/", (), ()), (200, [], b"<p>dir")),
    (("/order1/", (), ()), (200, [], b"1")),
    (("/order2/", (), ()), (200, [], b"2")),
    (("/order3/", (), ()), (200, [], b"3")),
    (("/order4/", (), ()), (200, [], b"4")),
]

REDIRECT = [
    # a folder without its slash: 301 to this site, whatever the path says
    (("/dir", (), ("location",)), (301, ["/dir/"], b"")),
    (("/dir?a=b&c=%20", (), ("location",)), (301, ["/dir/?a=b&c=%20"], b"")),
    (("/bare", (), ("location",)), (301, ["/bare/"], b"")),
    (("/s%20pace", (), ("location",)), (301, ["/s%20pace/"], b"")),
    (("/%C3%A9", (), ("location",)), (301, ["/%C3%A9/"], b"")),
    (("/q%3Fm%23h%2541", (), ("location",)), (301, ["/q%3Fm%23h%2541/"], b"")),
    (("//evil.example", (), ("location",)), (301, ["/evil.example/"], b"")),
    (("///evil.example", (), ("location",)), (301, ["/evil.example/"], b"")),
    (("/%2Fevil.example", (), ("location",)), (301, ["/evil.example/"], b"")),
    (("/%2F%2Fevil.example", (), ("location",)), (301, ["/evil.example/"], b"")),
    (("//evil.example/", (), ()), (200, [], b"<p>not evil")),
    (("/dir.html", (), ("location",)), (301, ["/dir.html/"], b"")),
]

STATUS = [
    (("/none.txt",), 404), (("/none/",), 404), (("/bare/",), 404), (("/deep/",), 404),
    (("/text.txt/",), 404), (("/text.txt/x",), 404),
    (("/main.py",), 403), (("/noext",), 403),
    # nothing leaves webPath, by no encoding; what begins with a dot is not there
    (("/.hidden.txt",), 404), (("/%2Ehidden.txt",), 404), (("/.git/config.txt",), 404), (("/%2egit/config.txt",), 404),
    (("/dir/..file.txt",), 404),
    (("/..",), 404), (("/../",), 404), (("/../text.txt",), 404), (("/../../etc/passwd",), 404),
    (("/dir/../text.txt",), 404), (("/dir/..",), 404), (("/dir/./file.txt",), 404), (("/./text.txt",), 404),
    (("/%2e%2e/text.txt",), 404), (("/%2E%2E/%2e%2e/etc/passwd",), 404), (("/.%2e/text.txt",), 404),
    (("/..%2ftext.txt",), 404), (("/%2e%2e%2ftext.txt",), 404), (("/dir/%2e%2e%2ftext.txt",), 404),
    (("/%252e%252e/text.txt",), 404), (("/..;/text.txt",), 404), (("/..%00/text.txt",), 404),
    (("/....//text.txt",), 404), (("/..%5ctext.txt",), 404), (("/dir%5c..%5ctext.txt",), 404),
    (("/dir%5Cfile.txt",), 404), (("/\\text.txt",), 404), (("/..\\text.txt",), 404),
    (("/C:/text.txt",), 404), (("/c:%5Ctext.txt",), 404), (("/c:text.txt",), 404), (("//C:/text.txt",), 404),
    (("/text.txt:stream",), 404), (("/text.txt::$DATA",), 404),
    (("/text.txt%00",), 404), (("/text.txt%00.html",), 404), (("/%00",), 404), (("/main.py%00.txt",), 404),
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
    # LetCacheStaticContentLevel: 0 none, 1 cacheable, 2 with revalidation
    (("/text.txt", (), _V, "GET", 0), (200, [None, None, "no-store", None], _TEXT)),
    (("/text.txt", (), _V, "GET", 1), (200, [_ETAG, _DATE, "max-age=3600", "bytes"], _TEXT)),
    (("/text.txt", (), _V, "GET", 2), (200, [_ETAG, _DATE, "no-cache", "bytes"], _TEXT)),
    (("/text.txt", (), _V, "HEAD", 2), (200, [_ETAG, _DATE, "no-cache", "bytes"], b"")),
    # without validators nothing is conditional
    (("/text.txt", [("If-None-Match", "*")], (), "GET", 0), (200, [], _TEXT)),
    (("/text.txt", [("If-Modified-Since", _AFTER)], (), "GET", 0), (200, [], _TEXT)),
    # 13.1.2: If-None-Match compares weakly; a 304 carries what the 200 would (15.4.5)
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
    # 13.1.1: If-Match compares strongly
    (("/text.txt", [("If-Match", _ETAG)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Match", "*")], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Match", '"x", ' + _ETAG)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Match", '"x"')], ("content-length",)), (412, ["0"], b"")),
    (("/text.txt", [("If-Match", "W/" + _ETAG)], ()), (412, [], b"")),
    (("/text.txt", [("If-Match", '"x"')], (), "HEAD"), (412, [], b"")),
    # 13.1.4: If-Unmodified-Since
    (("/text.txt", [("If-Unmodified-Since", _DATE)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Unmodified-Since", _AFTER)], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Unmodified-Since", _BEFORE)], ()), (412, [], b"")),
    (("/text.txt", [("If-Unmodified-Since", "yesterday")], ()), (200, [], _TEXT)),
    # 13.2.2: their order
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
    # what is no range, or not one that is served, is ignored
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
    # 13.1.5: If-Range, with a strong validator that is the same to the last byte
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", _ETAG)], ()), (206, [], b"01234")),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", _DATE)], ()), (206, [], b"01234")),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", '"x"')], ()), (200, [], _TEXT)),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", "W/" + _ETAG)], ()), (200, [], _TEXT)),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", _AFTER)], ()), (200, [], _TEXT)),
    (("/text.txt", [("Range", "bytes=0-4"), ("If-Range", _BEFORE)], ()), (200, [], _TEXT)),
    (("/text.txt", [("Range", "bytes=99-"), ("If-Range", '"x"')], ()), (200, [], _TEXT)),
    (("/text.txt", [("If-Range", '"x"')], ()), (200, [], _TEXT)),
]

_ENC = ("content-encoding", "vary", "etag", "content-length", "content-type")
_TYPE = "text/plain; charset=UTF-8"
_GZ = b"\x1f\x8bzip"

GZIP = [
    # 12.5.3: the compressed sibling for whoever accepts it; Vary on both
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
]

_PNG = "image/png"


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


# RFC 6266 with RFC 8187: a quoted ASCII name for everybody, the exact one where it differs
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
    ((__file__ + ".none",), (404, None, [True])),
    ((__file__ + ".none", "a.txt", None), (404, None, [True])),
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
    ("Gzip", Get, GZIP),
    ("Attachment", Disposition, ATTACHMENT),
    ("Write", Write, WRITE),
]
