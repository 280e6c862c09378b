# Uploads without a socket: bytes of a request -> status of the response, and the result for the handler, on both
# runtimes.
#
#     play_upload.py cases     each case whole, cut at every byte, and byte by byte; prints what has not come out as it should
#     play_upload.py bodies    lines of JSON on stdin, [content type, content as hex], -> lines of JSON with their outcomes

import json
import sys
from binascii import hexlify, unhexlify

import microWebUpload
from microWebSrv import Connection, MicroWebSrv

LIMITS = {"maxFileLen": 200, "maxFiles": 3, "maxParts": 6, "maxFieldsLen": 60}


class Link:
    """Stores the sent bytes."""

    want = 1
    out = None
    isDead = isSecure = False

    def __init__(self):
        self.sent = b""

    def GetAddr(self):
        return "127.0.0.1", 1

    def Send(self, data):
        self.sent += data

    def Backlog(self):
        return 0

    def Want(self, mask):
        self.want = mask

    def Close(self):
        self.isDead = True

    Abort = Close

    def Finish(self, isWhole=False):
        pass


class Memory:
    """A writer that stores everything, and how it ended."""

    end = ""

    def __init__(self):
        self.pieces = []
        self.End = "never called for a program's writer"

    def Write(self, data):
        assert isinstance(data, bytes) and data
        self.pieces.append(data)

    def Close(self):
        self.end += "C"

    def Abort(self):
        self.end += "A"


class Site:
    """A server whose uploads are stored in memory."""

    def __init__(self, **limits):
        self.mws = mws = MicroWebSrv([("/up", "POST", self.Handle), ("/put/<name>", "PUT", self.Handle), ("/up", "PUT", self.Other)],
                                     webPath="nowhere")
        mws.MaxRequestContentLen = 10           # must not apply
        mws.ErrorCallback = self.OnError
        microWebUpload.AcceptUploads(mws, "/up", self.To, **limits)
        microWebUpload.AcceptUploads(mws, "/put", self.To, "PUT", **limits)
        microWebUpload.AcceptUploads(mws, "/", lambda httpClient, file: 1 // 0)         # the first matching one counts

    def OnError(self, text, error):
        if not text.startswith("413"):
            self.errors.append("%s %r" % (text, error))

    def To(self, httpClient, file):
        assert file.size == 0 and file.path is None
        self.writers.append(Memory())
        return self.writers[-1]

    def Handle(self, httpClient, httpResponse, routeArgs=None):
        upload = httpClient.upload
        content = httpClient.ReadRequestContent()
        assert content == b"", content
        assert [writer.end for writer in self.writers] == ["C"] * len(self.writers)
        fields = []
        for name in sorted(upload.fields):
            values = upload.GetList(name)
            assert values[-1] == upload.fields[name]
            fields.append([name, values])
        files = []
        for file, writer in zip(upload.files, self.writers):
            assert file.writer is writer and file.size == len(b"".join(writer.pieces))
            files.append([file.field, file.name, file.contentType, hexlify(b"".join(writer.pieces)).decode()])
        assert upload.received == httpClient.GetRequestContentLength() or httpClient.head.isChunked
        self.found = [fields, files]
        httpResponse.WriteResponseOk(None, "text/plain", None, "ok")

    def Other(self, httpClient, httpResponse):
        """A method without uploads: the content is in memory."""
        assert httpClient.upload is None
        self.found = [[], [httpClient.ReadRequestContent().decode()]]
        httpResponse.WriteResponseOk(None, "text/plain", None, "ok")

    def Play(self, pieces):
        """-> [status, fields, files]; [None] if more is expected."""
        self.writers = []
        self.errors = []
        self.found = None
        link = Link()
        connection = Connection(self.mws, link)
        link.endpoint = connection
        for piece in pieces:
            connection.OnReceived(piece)
        assert not self.errors, self.errors
        if not link.sent:
            connection.OnLost()
            assert [writer.end for writer in self.writers] == ["A"] * len(self.writers)
            return [None]
        assert connection.wake is None
        status = int(link.sent[9:12])
        if self.found is None:
            assert [writer.end for writer in self.writers] == ["A"] * len(self.writers), "something is left"
            return [status]
        return [status] + self.found


def Request(contentType, body, method="POST", target="/up", isChunked=False):
    head = "%s %s HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\n" % (method, target, contentType)
    if isChunked:
        middle = (len(body) + 1) // 2
        pieces = [piece for piece in (body[:middle], body[middle:]) if piece] + [b""]
        body = b"".join([b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces])
        return (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + body
    return (head + "Content-Length: %d\r\n\r\n" % len(body)).encode() + body


def Part(disposition, content, *lines):
    head = "\r\n".join(("Content-Disposition: form-data; " + disposition,) + lines)
    return b"--B\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


FORM = "multipart/form-data; boundary=B"
END = b"--B--\r\n"
A = Part('name="a"', b"1")
FILE = Part('name="f"; filename="x.bin"', b"data", "Content-Type: image/png")
FOUND = [["f", "x.bin", "image/png", "64617461"]]
OK = 200, [["a", ["1"]]], []


def Name(filename, expected):
    return FORM, Part('name="f"; filename="%s"' % filename, b"data") + END, (200, [], [["f", expected, "", "64617461"]])


def Kept(content):
    return FORM, Part('name="f"; filename="x"', content) + END, (200, [], [["f", "x", "", hexlify(content).decode()]])


def Bad(body, status=400):
    return FORM, body, (status,)


# (content type, content, outcome)
CASES = [
    (FORM, A + END, OK),
    (FORM, A + FILE + END, (200, [["a", ["1"]]], FOUND)),
    (FORM, A + Part('name="a"', b"2") + END, (200, [["a", ["1", "2"]]], [])),
    (FORM, END, (200, [], [])),
    (FORM, A + b"--B--", OK),                                   # no CRLF after the last boundary
    (FORM, A + END + b"epilogue \r\n--B\r\n--C", OK),
    (FORM, A + b"--B-- \t", OK),
    (FORM, b"preamble\r\n" + A + END, OK),
    (FORM, b"\r\n" + A + END, OK),
    (FORM, b"--Bx\r\n\r\n" + A + END, (400,)),
    (FORM, A.replace(b"--B\r\n", b"--B \t \r\n") + END, OK),    # padding
    ('Multipart/Form-Data; charset=x; Boundary="B"', A + END, OK),
    ('multipart/form-data; boundary="B"; ', A + END, OK),
    (FORM, A.replace(b"Content-D", b"cOnTENT-d").replace(b"form-data; name", b"Form-Data ;NAME") + END, OK),
    (FORM, Part("name=a", b"1") + END, OK),
    (FORM, Part('name="a"; x=y', b"1", "X-Other: \xe9") + END, OK),
    (FORM, Part('name=""', b"1") + END, (200, [["", ["1"]]], [])),
    (FORM, Part('name="a"', b"") + END, (200, [["a", [""]]], [])),
    (FORM, Part('name="a\\"b"', b"1") + END, (200, [['a"b', ["1"]]], [])),
    (FORM, Part('name="a;b=c"', b"1") + END, (200, [["a;b=c", ["1"]]], [])),
    (FORM, Part('name="\u00fc\u20ac"', "\u00e4".encode()) + END, (200, [["\u00fc\u20ac", ["\u00e4"]]], [])),
    (FORM, Part('name="a"', b"\xff") + END, (200, [["a", ["\ufffd"]]], [])),
    (FORM, Part('name="f"; filename=""', b"") + END, (200, [], [])),        # no file chosen
    (FORM, Part('name="f"; filename="x"', b"") + END, (200, [], [["f", "x", "", ""]])),
    (FORM, Part('name="f"; filename*=UTF-8\'\'x', b"1") + END, (200, [["f", ["1"]]], [])),
    (FORM, Part('name="f"; filename="x"; filename*=UTF-8\'\'..%2Fy', b"1") + END, (200, [], [["f", "x", "", "31"]])),
    (FORM, FILE + FILE + END, (200, [], FOUND + [["f", "2-x.bin", "image/png", "64617461"]])),
    # content that resembles a boundary
    Kept(b"\r"), Kept(b"\r\n"), Kept(b"\r\n--"), Kept(b"\r\n-"), Kept(b"--B"), Kept(b"\n--B"), Kept(b"\r\r\n\r\n--\r\n--A"),
    Kept(b"\r\n--\r\n--b\r\n"), Kept(b"\r" * 50), Kept(bytes(range(200))), Kept(b"\r\n--A--\r\n"),
    # nested multipart is ordinary content
    Kept(b"--C\r\nContent-Disposition: file\r\n\r\nx\r\n--C--"),
    # names
    Name("a b.txt", "a b.txt"), Name("../../etc/passwd", "passwd"), Name("C:\\\\dir\\\\a.txt", "a.txt"), Name("C:\\dir\\a.txt", "a.txt"),
    Name("..", "file"), Name(".", "file"), Name("...", "file"), Name("/", "file"), Name(" ", "file"), Name(".htaccess", "htaccess"),
    Name("a.txt. . ", "a.txt"), Name("c:a", "a"), Name("a.txt:stream", "stream"), Name("CON", "_CON"), Name("con.txt", "_con.txt"),
    Name("Lpt1.a.b", "_Lpt1.a.b"), Name("com1 .txt", "_com1 .txt"), Name("con2fig", "con2fig"), Name("a<b>|?*.txt", "a_b____.txt"),
    Name("%22a%0D%0Ab%22", "_a__b_"), Name("..%2f..%5Cx", "x"), Name("100%", "100%"), Name("%zz", "%zz"), Name("%00x", "_x"),
    Name("t%C3%A9st.txt", "t\u00e9st.txt"), Name("t\u00e9st\u20ac.txt", "t\u00e9st\u20ac.txt"), Name("a\u202egpj.exe", "a_gpj.exe"),
    Name("x" * 300 + ".jpeg", "x" * 104 + "x" * 11 + ".jpeg"), Name("\u20ac" * 200 + ".jpeg", "\u20ac" * 27 + "\u20ac" * 11 + ".jpeg"),
    Name("a\\\"b", "a_b"), Name(".upload-1", "upload-1"), Name("\x7f", "_"),
    # refused
    Bad(b""), Bad(b"--B"), Bad(A), Bad(A + b"--B\r\n"), Bad(A + b"--B-"), Bad(A.replace(b"\r\n", b"\n") + b"--B--\n"),
    Bad(A + b"--Bx"), Bad(A + b"--B\n" + A + END), Bad(A.replace(b"--B\r\n", b"--B\r") + END), Bad(b"nothing"),
    Bad(b"--B\r\n\r\n1\r\n" + END), Bad(b"--B\r\nContent-Type: a/b\r\n\r\n1\r\n" + END), Bad(b"--B\r\nContent-Disposition\r\n\r\n1\r\n" + END),
    Bad(Part('filename="x"', b"1") + END), Bad(Part('name="a', b"1") + END), Bad(Part('name="a;', b"1") + END), Bad(Part('name="a"b', b"1") + END),
    Bad(Part('name="a"; name="b"', b"1") + END), Bad(Part('name="a"; filename="b"; filename="c"', b"1") + END),
    Bad(Part("name", b"1") + END), Bad(Part('name="a"; x', b"1") + END), Bad(A.replace(b"form-data", b"attachment") + END),
    Bad(Part('name="a"', b"1", "Content-Disposition: form-data; name=\"b\"") + END), Bad(Part('name="a"', b"1", "X : y") + END),
    Bad(Part('name="a"', b"1", " folded") + END), Bad(Part('name="a"', b"1", "X: a\nY: b") + END), Bad(Part('name="a"', b"1", "X: a\rb") + END),
    Bad(Part('name="a"', b"1", "X: a\x00b") + END), Bad(Part('name="a\x00"', b"1") + END), Bad(Part('name="a"', b"1", ": a") + END),
    Bad(Part('name="a"', b"1", "Content-Transfer-Encoding: base64") + END, 415), Bad(Part('name="a"', b"1", "Content-Transfer-Encoding: quoted-printable") + END, 415),
    (FORM, Part('name="a"', b"1", "Content-Transfer-Encoding: BINARY") + END, OK),
    # limits, each reached and exceeded by one
    Kept(b"x" * 200), Bad(Part('name="f"; filename="x"', b"x" * 201) + END, 413),
    (FORM, A + Part('name="a"', b"x" * 57) + END, (200, [["a", ["1", "x" * 57]]], [])), Bad(A + Part('name="a"', b"x" * 58) + END, 413),
    (FORM, A * 6 + END, (200, [["a", ["1"] * 6]], [])), Bad(A * 7 + END, 413),
    (FORM, FILE * 3 + END, (200, [], FOUND + [["f", "2-x.bin", "image/png", "64617461"], ["f", "2-2-x.bin", "image/png", "64617461"]])),
    Bad(FILE * 4 + END, 413), Bad(Part('name="%s"' % ("x" * 100), b"") + END, 413),
    (FORM, Part('name="a"', b"1", "X: " + "x" * 1990) + END, OK), Bad(Part('name="a"', b"1", "X: " + "x" * 2040) + END, 413),
    Bad(b"--B\r\n" + b"x" * 2100, 413), Bad(b"x" * 20000, 413),
    # content types
    ("multipart/form-data", A + END, (400,)), ("multipart/form-data; boundary=", A + END, (400,)), ("multipart/form-data; boundary", A + END, (400,)),
    ("multipart/form-data; boundary=", A.replace(b"--B", b"--") + b"----", (400,)),
    ("multipart/form-data; boundary=" + "B" * 71, A.replace(b"--B", b"--" + b"B" * 71) + b"--" + b"B" * 71 + b"--", (400,)),
    ("multipart/form-data; boundary=" + "B" * 71, A + END, (400,)), ('multipart/form-data; boundary="B', A + END, (400,)),
    ("multipart/form-data; boundary=" + "B" * 70, A.replace(b"--B", b"--" + b"B" * 70) + b"--" + b"B" * 70 + b"--", OK),
    ('multipart/form-data; boundary="a b:(=/)"', A.replace(b"--B", b"--a b:(=/)") + b"--a b:(=/)--", OK),
    ("multipart/form-data; boundary=B; boundary=C", A + END, (400,)), ("multipart/mixed; boundary=B", A + END, (415,)),
    ("application/x-www-form-urlencoded", b"a=1", (415,)), ("", b"", (415,)), ("text/plain", A + END, (415,)),
]

PUTS = [
    ("/put/a.bin", b"data", (200, [], [["", "a.bin", "image/png", "64617461"]])), ("/put/a.bin", b"", (200, [], [["", "a.bin", "image/png", ""]])),
    ("/put/..%2f..%2Fa%20b", b"x", (200, [], [["", "a b", "image/png", "78"]])), ("/put/%22", b"x", (200, [], [["", "_", "image/png", "78"]])),
    ("/put/a", b"x" * 200, (200, [], [["", "a", "image/png", "78" * 200]])), ("/put/a", b"x" * 201, (413,)), ("/up", b"content", (200, [], ["content"])),
    ("/put", b"x", (404,)), ("/put/a/b", b"x", (404,)), ("/other/a", b"x", (404,)),
]


def Cuts(size):
    if size < 400:
        return range(1, size)
    return list(range(1, size, 37)) + list(range(size - 30, size))


def Check(site, request, expected, bad):
    expected = list(expected)
    whole = site.Play([request])
    if whole != expected:
        bad.append(("whole", request, whole, expected))
        return
    end = request.find(b"\r\n\r\n") + 4
    head, body = request[:end], request[end:]
    for at in Cuts(len(body)):
        cut = site.Play([head + body[:at], body[at:]])
        if cut != expected:
            bad.append(("cut at %d" % at, request, cut, expected))
            return
    step = 1 + len(body) // 1500
    single = site.Play([head] + [body[at:at + step] for at in range(0, len(body), step)])
    if single != expected:
        bad.append(("byte by byte", request, single, expected))


def Cases():
    """-> (number of cases, failures)."""
    site = Site(**LIMITS)
    bad = []
    for contentType, body, expected in CASES:
        Check(site, Request(contentType, body), expected, bad)
        chunked = Request(contentType, body, isChunked=True)
        played = site.Play([chunked])
        if played != list(expected):
            bad.append(("chunked", chunked, played, expected))
    for target, body, expected in PUTS:
        Check(site, Request("image/png", body, "PUT", target), expected, bad)
    return len(CASES) + len(PUTS), bad


def Bodies(lines):
    """Each is split into three pieces, at places that depend on its length."""
    site = Site(maxFileLen=1 << 20, maxFiles=100, maxParts=100, maxFieldsLen=1 << 20)
    site.mws.isDifferential = True
    for line in lines:
        contentType, body = json.loads(line)
        body = unhexlify(body)
        first, second = len(body) // 3, len(body) * 5 // 7
        request = Request(contentType, b"") if not body else Request(contentType, body)
        at = len(request) - len(body)
        pieces = [request[:at + first], request[at + first:at + second], request[at + second:]]
        yield json.dumps(site.Play([piece for piece in pieces if piece]))


if __name__ == "__main__":
    if sys.argv[1] == "cases":
        count, bad = Cases()
        for one in bad:
            print(repr(one))
        print("CASES %d, bad %d" % (count, len(bad)))
    else:
        for outcome in Bodies(sys.stdin):
            print(outcome)
