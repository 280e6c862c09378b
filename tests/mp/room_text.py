# The room text.

import microWebSrv as core

DECODE = [
    # (text, strict), expected                                      RFC 3986 section 2.1
    (("", False), ""),
    (("plain", True), "plain"),
    (("a%20b", True), "a b"),
    (("a+b", True), "a+b"),
    (("%41%42", True), "AB"),
    (("%2f%2F", True), "//"),
    (("%25", True), "%"),
    (("%2541", True), "%41"),
    (("%00", True), "\x00"),
    (("%C3%A9", True), "\u00e9"),
    (("%e2%82%ac", True), "\u20ac"),
    (("%F0%9F%98%80", True), "\U0001f600"),
    (("\u00e9%C3%A9", True), "\u00e9\u00e9"),
    (("%", False), "%"),
    (("%", True), "!ValueError"),
    (("%4", False), "%4"),
    (("%4", True), "!ValueError"),
    (("a%zzb", False), "a%zzb"),
    (("a%zzb", True), "!ValueError"),
    (("%%41", False), "%A"),
    (("%%41", True), "!ValueError"),
    (("%+1", False), "%+1"),
    (("%-1", True), "!ValueError"),
    (("% 1", True), "!ValueError"),
    (("%1_", True), "!ValueError"),
    (("%0x41", True), "!ValueError"),
    (("%\u0664\u0661", True), "!ValueError"),
    (("%FF", False), "\ufffd"),
    (("%FF", True), "!ValueError"),
    (("a%FFb%41", False), "a\ufffdbA"),
    # invalid UTF-8 (RFC 3629 section 3) that lenient decoders accept
    (("%80", True), "!ValueError"),
    (("%C3", True), "!ValueError"),
    (("%C3%28", True), "!ValueError"),
    (("%C0%AF", True), "!ValueError"),
    (("%C1%81", True), "!ValueError"),
    (("%E0%80%AF", True), "!ValueError"),
    (("%F0%80%80%AF", True), "!ValueError"),
    (("%ED%A0%80", True), "!ValueError"),
    (("%ED%BF%BF", True), "!ValueError"),
    (("%F4%90%80%80", True), "!ValueError"),
    (("%F5%80%80%80", True), "!ValueError"),
    (("%F8%88%80%80%80", True), "!ValueError"),
    (("%F4%8F%BF%BF", True), "\U0010ffff"),
    (("%EF%BF%BD", True), "\ufffd"),
]

UTF8 = [
    ((b"", True), ""),
    ((b"abc", True), "abc"),
    ((b"\xc3\xa9", True), "\u00e9"),
    ((b"a\xffb", False), "a\ufffdb"),
    ((b"a\x7f\x80\x81\xff", False), "a\x7f\ufffd\ufffd\ufffd"),
    ((b"a\xffb", True), "!ValueError"),
    ((b"\xc0\xaf", True), "!ValueError"),
    ((b"\xed\xa0\x80", True), "!ValueError"),
    ((b"\xc3", True), "!ValueError"),
    ((b"\xe2\x82", True), "!ValueError"),
    ((b"\xf0\x9f\x98\x80", True), "\U0001f600"),
    ((b"\xf4\x90\x80\x80", True), "!ValueError"),
]

ESCAPE = [
    (("",), ""),
    (("plain",), "plain"),
    (("&\"'><",), "&amp;&quot;&apos;&gt;&lt;"),
    (("&amp;",), "&amp;amp;"),
    (("<a href=\"x\">\u00e9</a>",), "&lt;a href=&quot;x&quot;&gt;\u00e9&lt;/a&gt;"),
]

DATE = [
    # RFC 9110 section 5.6.7; a gmtime tuple: (year, month, day, hour, minute, second, weekday, …)
    (((1994, 11, 6, 8, 49, 37, 6, 310),), "Sun, 06 Nov 1994 08:49:37 GMT"),
    (((1970, 1, 1, 0, 0, 0, 3, 1),), "Thu, 01 Jan 1970 00:00:00 GMT"),
    (((2024, 2, 29, 23, 59, 59, 3, 60),), "Thu, 29 Feb 2024 23:59:59 GMT"),
    (((2026, 12, 31, 12, 0, 5, 0, 365),), "Mon, 31 Dec 2026 12:00:05 GMT"),
    (((2026, 5, 9, 1, 2, 3, 5, 129),), "Sat, 09 May 2026 01:02:03 GMT"),
]

# First the list of the seed, then newer types.
MEDIA = [((name,), media) for name, media in (
    ("a.txt", "text/plain"), ("a.htm", "text/html"), ("a.html", "text/html"), ("a.css", "text/css"),
    ("a.csv", "text/csv"), ("a.js", "application/javascript"), ("a.xml", "application/xml"),
    ("a.xhtml", "application/xhtml+xml"), ("a.json", "application/json"), ("a.zip", "application/zip"),
    ("a.pdf", "application/pdf"), ("a.jpg", "image/jpeg"), ("a.jpeg", "image/jpeg"), ("a.png", "image/png"),
    ("a.gif", "image/gif"), ("a.svg", "image/svg+xml"), ("a.ico", "image/x-icon"),
    ("a.wasm", "application/wasm"), ("a.webp", "image/webp"), ("a.avif", "image/avif"), ("a.woff", "font/woff"),
    ("a.woff2", "font/woff2"), ("a.ttf", "font/ttf"), ("a.otf", "font/otf"),
    ("a.webmanifest", "application/manifest+json"), ("a.map", "application/json"), ("a.mp3", "audio/mpeg"),
    ("a.mp4", "video/mp4"), ("a.ts", "video/mp2t"), ("a.md", "text/markdown"), ("a.mjs", "application/javascript"),
    ("A.JPG", "image/jpeg"), ("/a.b/c.Html", "text/html"),
    ("main.py", None), ("main.mpy", None), ("a", None), ("", None), ("a.", None), ("a.html.py", None),
    ("a.tar.gz", "application/gzip"), ("a.gz", "application/gzip"), ("a.BIN", "application/octet-stream"),
    (".html/a", None), ("a.text/html", None), ("a.htm text", None), ("a.html css", None), ("a.jpg=jpeg", None), ("a.jp", None), ("a.wo", None),
    ("a.bmp", "image/bmp"), ("a.m3u8", "application/vnd.apple.mpegurl"), ("a.m4a", "audio/mp4"), ("a.ogg", "audio/ogg"),
    ("a.webm", "video/webm"), ("a.wav", "audio/wav"), ("a.log", "text/plain"), ("a. ", None), ("a.application", None))]


def PercentDecode(text, strict):
    return core.PercentDecode(text.encode() if isinstance(text, str) else text, strict)


TABLES = [
    ("PercentDecode", PercentDecode, DECODE),
    ("Utf8", core.Utf8, UTF8),
    ("HTMLEscape", core.HTMLEscape, ESCAPE),
    ("HttpDate", core.HttpDate, DATE),
    ("MimeType", core.MimeType, MEDIA),
]
