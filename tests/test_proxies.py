"""A program behind nginx and Caddy with the configurations of docs/proxies.md, on both runtimes."""

import binascii
import concurrent.futures
import contextlib
import functools
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import harness
import cases_http
from microWebSrv import MicroWebSrv
from http_tools import INTERPRETERS, Chunked, Get, Post
import fuzz_smuggling  # http_tools has added mp/ to the path

PAGE = (harness.ROOT / "docs" / "proxies.md").read_text(encoding="utf-8")
KINDS = ("nginx", "caddy")
KEEP_ALIVE_SEC = MicroWebSrv.KeepAliveTimeoutSec

PROGRAM = """
import binascii
import sys
try:
    import asyncio
except ImportError:
    import uasyncio as asyncio
from microWebSrv import MicroWebSrv
from microWebEvents import MicroWebEvents
from microWebUpload import AcceptUploads
import microWebSecurity
from ready import Port

seen = []
gates = []
stopped = []
hub = MicroWebEvents()


def Count(httpClient, httpResponse):
    target = httpClient.GetRequestTotalPath()
    httpResponse.SetHeader("X-Seen", target)
    httpResponse.SetHeader("X-Port", str(httpClient.connection.link.GetAddr()[1]))
    if "?" in target or target[:3] == "/s0":
        seen.append(target)


@MicroWebSrv.route("/seen")
def Seen(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(seen)
    del seen[:]


@MicroWebSrv.route("/hello/<n>")
@MicroWebSrv.route("/nothing/<n>", "POST")
def Hello(httpClient, httpResponse, args):
    httpResponse.WriteResponseOk(contentType="text/plain", content="hello %s!" % args["n"])


@MicroWebSrv.route("/")
@MicroWebSrv.route("/who")
def Who(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([httpClient.GetIPAddr(), httpClient.IsSecure(), httpClient.GetHost()])


@MicroWebSrv.route("/there")
def There(httpClient, httpResponse):
    httpResponse.WriteResponseRedirect("%s://%s/who" % ("https" if httpClient.IsSecure() else "http", httpClient.GetHost()))


@MicroWebSrv.route("/p", "POST")
@MicroWebSrv.route("/echo", "POST")
def Echo(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "application/octet-stream", None, httpClient.ReadRequestContent())


@MicroWebSrv.route("/fails")
def Fail(httpClient, httpResponse):
    raise RuntimeError("on purpose")


@MicroWebSrv.route("/empty")
def Empty(httpClient, httpResponse):
    pass


@MicroWebSrv.route("/pieces")
def Pieces(httpClient, httpResponse):
    httpResponse.WriteResponseStream((b"%07d," % n * 128 for n in range(2000)), "application/octet-stream")


class Gate:
    def __init__(self):
        self.event = asyncio.Event()
        self.count = 0
        gates.append(self)

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.count == 3:
            raise StopAsyncIteration
        await self.event.wait()
        self.event.clear()
        self.count += 1
        return "piece %d" % self.count


@MicroWebSrv.route("/gate")
async def Wait(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Gate(), "text/plain")


@MicroWebSrv.route("/gate", "POST")
async def Open(httpClient, httpResponse):
    gates[-1].event.set()


@MicroWebSrv.route("/events")
def Events(httpClient, httpResponse):
    httpResponse.OnSent(lambda: print("GONE"))
    httpResponse.WriteResponseEventStream(hub)


@MicroWebSrv.route("/events", "POST")
def Send(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(hub.Send(httpClient.ReadRequestContentAsJSON()))


@MicroWebSrv.route("/files/<name>", "PUT")
def Uploaded(httpClient, httpResponse, args):
    file = httpClient.upload.files[0]
    crc = size = 0
    with open(file.path, "rb") as stream:
        while True:
            piece = stream.read(65536)
            if not piece:
                break
            crc = binascii.crc32(piece, crc)
            size += len(piece)
    httpResponse.WriteResponseJSONOk([file.name, file.size, size, crc])


def OnAccept(webSocket, httpClient):
    print("OPENED", httpClient.GetIPAddr())
    webSocket.RecvTextCallback = OnText
    webSocket.RecvBinaryCallback = lambda webSocket, data: webSocket.SendBinary(data)
    webSocket.ClosedCallback = lambda webSocket: print("CLOSED", webSocket.CloseCode, webSocket.CloseReason)


def OnText(webSocket, msg):
    if msg[:5] == "close":
        webSocket.Close(int(msg[6:10]), msg[11:])
    else:
        webSocket.SendText(msg)


def Progress(httpClient, received, total):
    if received > 1000000 and not hasattr(httpClient, "isReported"):
        httpClient.isReported = True
        print("PROGRESS", total)


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
mws.MaxRequestContentLen = 100000
mws.MaxWebSocketRecvLen = 500000
mws.WebSocketThreaded = False
mws.AcceptWebSocketCallback = OnAccept
TRUST
mws.Before(Count)
AcceptUploads(mws, "/files", "up", method="PUT", maxFileLen=1 << 24,
              progress=Progress)


class Writer:
    size = 0

    def Write(self, data):
        if not self.size:
            print("BEGUN")
        self.size += len(data)

    def Close(self):
        print("KEPT", self.size)

    def Abort(self):
        print("ABORTED")


@mws.route("/writer", "PUT")
def Written(httpClient, httpResponse):
    pass


AcceptUploads(mws, "/writer", lambda httpClient, file: Writer(), method="PUT")


@mws.route("/stop", "POST")
def Stop(httpClient, httpResponse):
    stopped.append(1)
    httpResponse.OnSent(mws.Stop)


mws.Start(threaded=False)
while stopped:
    print("STOPPED")
    stopped.pop()
    sys.stdin.readline()
    mws.Start(threaded=False)
"""
TRUST = """microWebSecurity.TrustProxies(mws, "127.0.0.1")"""
SPEAKS_FORWARDED = """mws.AllowedHosts = ["device.example"]
microWebSecurity.TrustProxies(mws, "127.0.0.1", forwarded=True, host=True)"""


def Site(folder):
    (folder / "www" / "sub").mkdir(parents=True)
    (folder / "www" / "a.txt").write_text("0123456789" * 100)
    (folder / "www" / "large.bin").write_bytes(LARGE)
    os.utime(folder / "www" / "large.bin", (1e9, 1e9))      # a new file would have a weak ETag
    (folder / "www" / "sub" / "index.html").write_text("<h1>index</h1>")


LARGE = b"".join(b"%08d" % n for n in range(1 << 18))         # 2 MB


# ------------------------------------------------------------------------------------------- the proxies

def Block(info):
    """Return the configuration in the code block of the page with this info string."""
    found = re.findall(r"^```%s\n(.*?)^```$" % re.escape(info), PAGE, re.M | re.S)
    assert len(found) == 1, "%d blocks of %r in docs/proxies.md" % (len(found), info)
    return found[0]


def Put(text, *pairs):
    """Replace each old text, which must exist, by the new one."""
    for old, new in pairs:
        assert old in text, "%r is not in the configuration" % old
        text = text.replace(old, new)
    return text


NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events { worker_connections 512; }
http {
    access_log off;
    keepalive_requests 100000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
%s
}
"""
CADDY = """
{
    admin off
    auto_https off
    default_bind 127.0.0.1
    grace_period 1s
    storage file_system %s
}
"""


def Find(name):
    """Return the path of a program. Debian has nginx in a folder that is only in root's PATH."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    assert found, "no %s: apt-get install nginx caddy" % name
    return found


@functools.lru_cache(maxsize=None)
def Certificate():
    """Return a folder with a certificate for 127.0.0.1."""
    folder = tempfile.TemporaryDirectory()
    assert harness.LoadTool("make_certificate").Main(["127.0.0.1", "-o", folder.name]) == 0
    return folder


class Proxy:
    """A process of nginx or Caddy in front of a server, with the configuration of the page."""

    def __init__(self, kind, folder, server, change=lambda text: text):
        self.kind = kind
        self.server = server
        self.folder = folder
        folder.mkdir()
        self.port, self.tlsPort, self.redirectPort = harness.FreePorts(3)
        command, ready = (self._Nginx if kind == "nginx" else self._Caddy)(server.port, change)
        self.process = subprocess.Popen(command, cwd=folder, text=True, env=dict(os.environ, HOME=str(folder)),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.log = harness.Output(self.process.stderr)
        if not self.log.Wait(ready, 0, harness.DEADLINE_SEC):
            self.Close()
            raise AssertionError("%s does not start:\n%s" % (kind, self.log.text))

    def _Nginx(self, serverPort, change):
        site = Put(Block("nginx"), ("    listen 80;\n", "    listen 127.0.0.1:%d;\n%s" % (self.port, Block("nginx tls"))),
                   ("listen 443", "listen 127.0.0.1:%d" % self.tlsPort), ("127.0.0.1:8080", "127.0.0.1:%d" % serverPort),
                   ("/etc/ssl/device/", Certificate().name + "/"))
        site = change(site) + Put(Block("nginx redirect"), ("listen 80", "listen 127.0.0.1:%d" % self.redirectPort))
        (self.folder / "nginx.conf").write_text(NGINX % site)
        return [Find("nginx"), "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr"], 'using the "epoll"'

    def _Caddy(self, serverPort, change):
        site = change(Put(Block("caddyfile"), ("127.0.0.1:8080", "127.0.0.1:%d" % serverPort)))
        tls = Put(Block("caddyfile tls"), ("/etc/caddy/", Certificate().name + "/"))
        (self.folder / "Caddyfile").write_text(
            CADDY % (self.folder / "storage") + Put(site, ("device.example", "http://:%d" % self.port))
            + Put(site, ("device.example {\n", "https://:%d {\n%s" % (self.tlsPort, tls))))
        return [Find("caddy"), "run", "--config", "Caddyfile"], "serving initial configuration"

    def __enter__(self):
        return self

    def __exit__(self, excType, exc, traceback):
        self.Close()
        print("-- %s\n%s" % (self.kind, self.log.text))
        # The proxy logs these words if the server sends anything but a correct response.
        assert excType or not re.search(r"upstream sent|Unsolicited|malformed HTTP|\[(?:emerg|alert|crit)\]|panic", self.log.text)

    def Close(self):
        self.process.terminate()
        try:
            self.process.wait(harness.DEADLINE_SEC)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.Join(harness.DEADLINE_SEC)

    def Fetch(self, target, method="GET", headers=(), body=b"", **kwargs):
        """Like harness.Fetch, but the proxy may keep the connection open."""
        with harness.RawClient(self.port) as client:
            client.Send(harness.RequestBytes(method, target, headers, body, **kwargs))
            return client.ReadResponse(method)


@pytest.fixture(scope="module", params=INTERPRETERS)
def site(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    Site(folder)
    with harness.Server(request.param, PROGRAM.replace("TRUST", TRUST), folder, (harness.SourcesOf(request.param),)) as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def proxy(request, site, tmp_path_factory):
    with Proxy(request.param, tmp_path_factory.mktemp("proxy") / request.param, site) as proxy:
        yield proxy


# ------------------------------------------------------------------------------------------- requests and answers

def test_answers_pass_through(site, proxy):
    assert proxy.Fetch("/hello/1").text == "hello 1!"
    site.ExpectError("RuntimeError: on purpose")
    for target, method, status in (("/nothing/1", "GET", 405), ("/nowhere", "GET", 404), ("/fails", "GET", 500), ("/empty", "GET", 204),
                                   ("/hello/1", "OPTIONS", 204), ("/sub", "GET", 301), ("/%zz", "GET", 400)):
        answer = proxy.Fetch(target, method)
        assert answer.status == status, (target, answer)
        if status == 405 and method == "GET":
            assert answer.Header("allow") == "OPTIONS, POST"
        if status == 301:
            assert answer.Header("location") == "/sub/"


def test_paths(proxy):
    """The server gets each path as the client sent it."""
    for target in ("/hello/a%2Fb", "/hello/%C3%A9", "/hello/%41%7e~", "/hello/a+b%20c?x=1&y=%20&&z", "//hello//1", "/hello/a;b=c", "/hello/1?",
                   "/hello/a%2fb", "/hello/%25", "/hello/a?b?c/../d"):
        answer = proxy.Fetch(target)
        assert answer.status == 200 and answer.Header("x-seen") == target.rstrip("?"), target
    for target in ("/hello/%00", "/hello/%ff"):
        assert proxy.Fetch(target).status == 400


def test_http10(proxy):
    """nginx does not pass on a Host field if the client sent none. The server then answers 400."""
    for host, status in ((b"Host: a\r\n", b"200"), (b"", b"400" if proxy.kind == "nginx" else b"200")):
        answer = harness.RawExchange(proxy.port, b"GET /hello/1 HTTP/1.0\r\n%s\r\n" % host)
        assert answer.split(b" ", 2)[1] == status and (status == b"400" or answer.endswith(b"hello 1!")), answer


def test_head(proxy):
    for target in ("/hello/1", "/a.txt", "/pieces", "/nowhere"):
        head, answer = proxy.Fetch(target, "HEAD"), proxy.Fetch(target)
        assert head.body == b"" and head.status == answer.status
        assert head.Header("content-length") == answer.Header("content-length")
        assert head.Header("content-type") == answer.Header("content-type")


def test_a_stream_is_chunked_and_whole(proxy):
    answer = proxy.Fetch("/pieces")
    assert answer.Header("transfer-encoding") == "chunked"
    assert answer.body == b"".join(b"%07d," % n * 128 for n in range(2000))


def test_conditions_and_ranges(proxy):
    answer = proxy.Fetch("/large.bin")
    assert answer.body == LARGE
    etag, date = answer.Header("etag"), answer.Header("last-modified")
    for fields in ({"If-None-Match": etag}, {"If-Modified-Since": date}, {"If-None-Match": etag, "Range": "bytes=0-9"}):
        answer = proxy.Fetch("/large.bin", headers=fields)
        assert (answer.status, answer.body, answer.Header("etag")) == (304, b"", etag)
    answer = proxy.Fetch("/large.bin", headers={"If-Match": '"other"'})
    assert answer.status == 412
    for text, start, end in (("0-9", 0, 10), ("1000000-1999999", 1000000, 2000000), ("-5", len(LARGE) - 5, len(LARGE))):
        answer = proxy.Fetch("/large.bin", headers={"Range": "bytes=" + text, "If-Range": etag})
        assert (answer.status, answer.body) == (206, LARGE[start:end])
        assert answer.Header("content-range") == "bytes %d-%d/%d" % (start, end - 1, len(LARGE))
    assert proxy.Fetch("/large.bin", headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status == 200
    answer = proxy.Fetch("/large.bin", headers={"Range": "bytes=%d-" % len(LARGE)})
    assert (answer.status, answer.Header("content-range")) == (416, "bytes */%d" % len(LARGE))


# ------------------------------------------------------------------------------------------- uploads

def test_small_content(proxy):
    for body in (b"", b"x", bytes(range(256)) * 300):
        assert proxy.Fetch("/echo", "POST", body=body).body == body
    with harness.RawClient(proxy.port) as client:
        for pieces in ([], [b"x"], [b"x" * n for n in range(1, 300)]):
            client.Send(Chunked("/echo", pieces))
            assert client.ReadResponse("POST").body == b"".join(pieces)
        client.Send(Post("/echo", b"abc") + Get("/hello/2"))
        assert [client.ReadResponse("POST").body, client.ReadResponse().body] == [b"abc", b"hello 2!"]


@pytest.mark.parametrize("isChunked", (False, True), ids=("length", "chunked"))
def test_an_upload_is_streamed(site, proxy, isChunked):
    """The server receives half of the content before the client sends the other half."""
    data = LARGE * 4
    frame = (lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece)) if isChunked else bytes
    name = "up-%s-%d.bin" % (proxy.kind, isChunked)
    with harness.RawClient(proxy.port) as client:
        client.Send(harness.RequestBytes("PUT", "/files/" + name, [
            ("Transfer-Encoding", "chunked") if isChunked else ("Content-Length", str(len(data)))]))
        half = len(data) // 2
        for at in range(0, half, 65536):
            client.Send(frame(data[at:at + 65536]))
        site.WaitLine(r"^PROGRESS %s$" % ("None" if isChunked else len(data)))
        for at in range(half, len(data), 65536):
            client.Send(frame(data[at:at + 65536]))
        client.Send(b"0\r\n\r\n" if isChunked else b"")
        assert client.ReadResponse("PUT").Json() == [name, len(data), len(data), binascii.crc32(data)]


def test_an_upload_that_breaks_off(site, proxy):
    assert proxy.Fetch("/writer", "PUT", body=b"x" * 1000).status == 204
    site.WaitLine("^KEPT 1000$")
    with harness.RawClient(proxy.port) as client:
        client.Send(harness.RequestBytes("PUT", "/writer", {"Content-Length": "1000000"}) + b"x" * 300000)
        site.WaitLine("^BEGUN$")
        client.Close(reset=True)
    site.WaitLine("^ABORTED$")


def test_expect(proxy):
    with harness.RawClient(proxy.port) as client:
        client.Send(harness.RequestBytes("POST", "/echo", {"Expect": "100-continue", "Content-Length": "5"}))
        client.ReadUntil(b"100 Continue\r\n\r\n")
        client.Send(b"hello")
        assert client.ReadResponse("POST").body == b"hello"


def test_too_much(proxy):
    """The content exceeds the limit of the server, of its uploads, or of nginx."""
    for method, target, size in (("POST", "/echo", 100001), ("POST", "/echo", 5000000), ("PUT", "/files/large.bin", 17 << 20),
                                 ("PUT", "/files/large.bin", 21 << 20)):
        with harness.RawClient(proxy.port) as client:
            client.Send(harness.RequestBytes(method, target, {"Content-Length": str(size)}))
            try:
                for at in range(0, size, 65536):
                    client.Send(b"x" * min(65536, size - at))
            except OSError:             # the proxy has closed the connection after its response
                pass
            assert client.ReadResponse(method).status == 413, (target, size)
    assert proxy.Fetch("/hello/1").status == 200


# ------------------------------------------------------------------------------------------- streams

def test_events_arrive_at_once(proxy):
    """Each event arrives at once, and the server notices when the client leaves."""
    with harness.RawClient(proxy.port) as client:
        client.Send(Get("/events"))
        assert b"200 OK" in client.ReadUntil(b"\r\n\r\n"), "the head arrives before the first event"
        for n in range(3):
            count = proxy.Fetch("/events", "POST", body=b'{"n": %d}' % n).Json()
            assert count == 1, "of the clients before, none is there any more"
            client.ReadUntil(b'data: {"n": %d}\n\n' % n)
    proxy.server.WaitLine("^GONE$")


def test_pieces_arrive_at_once(proxy):
    with harness.RawClient(proxy.port) as client:
        client.Send(Get("/gate"))
        assert b"200 OK" in client.ReadUntil(b"\r\n\r\n"), "the head arrives before the first piece"
        for n in (1, 2, 3):
            assert proxy.Fetch("/gate", "POST").status == 204
            client.ReadUntil(b"piece %d" % n)
        assert client.ReadUntil(b"0\r\n\r\n")


# ------------------------------------------------------------------------------------------- WebSockets

def test_websocket(site, proxy):
    with connect("ws://127.0.0.1:%d/talk" % proxy.port, max_size=1 << 20) as client:
        site.WaitLine("^OPENED 127.0.0.1$")
        for message in ("text \u20ac", b"\0\xff", "x" * 200000, b"y" * 200000, ""):
            client.send(message)
            assert client.recv(harness.DEADLINE_SEC) == message
        client.close(4002, "enough")
    site.WaitLine("^CLOSED 4002 enough$")


def test_websocket_is_closed_by_the_server(site, proxy):
    with connect("ws://127.0.0.1:%d/talk" % proxy.port) as client:
        client.send("close 4003 bye")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(harness.DEADLINE_SEC)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4003, "bye")
    site.WaitLine("^CLOSED 4003 bye$")


def test_websocket_of_a_client_that_goes(site, proxy):
    with harness.RawClient(proxy.port) as client:
        client.Send(Get("/talk", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        assert client.ReadResponse(upgrade="websocket").status == 101
        client.Close(reset=True)
    site.WaitLine("^CLOSED 1006 $")


def test_websocket_origins(proxy):
    for scheme, port in (("http", proxy.port), ("https", proxy.tlsPort)):
        context = ssl.create_default_context(cafile=Certificate().name + "/cert.pem") if scheme == "https" else None
        url = scheme.replace("http", "ws") + "://127.0.0.1:%d/talk" % port
        with connect(url, origin="%s://127.0.0.1:%d" % (scheme, port), ssl=context) as client:
            client.send("same")
            assert client.recv(harness.DEADLINE_SEC) == "same"
        with pytest.raises(InvalidStatus) as refused:
            connect(url, origin="%s://evil.example" % scheme, ssl=context)
        assert refused.value.response.status_code == 403


# ------------------------------------------------------------------------------------------- the client's address

LIES = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=6.6.6.6;proto=https;host=evil.example"}


def From(address, port, data):
    """Send a request from this address, and return the response."""
    with socket.create_connection(("127.0.0.1", port), harness.DEADLINE_SEC, (address, 0)) as client:
        client.sendall(data)
        return harness.ResponseReader(lambda: client.recv(65536)).Read()


def test_who(proxy):
    own = "127.0.0.1:%d" % proxy.port
    for fields in ({}, LIES):
        answer = From("127.0.0.2", proxy.port, harness.RequestBytes("GET", "/who", fields, host=own))
        assert answer.Json() == ["127.0.0.2", False, own]
        answer = From("127.0.0.2", proxy.port, harness.RequestBytes("GET", "/there", fields, host=own))
        assert answer.Header("location") == "http://%s/who" % own


def test_who_under_tls(proxy):
    context = ssl.create_default_context(cafile=Certificate().name + "/cert.pem")
    own = "127.0.0.1:%d" % proxy.tlsPort
    for hasHttp2 in (False, True):
        with httpx.Client(verify=context, http2=hasHttp2, transport=None) as client:
            for fields in ({}, dict(LIES, **{"X-Forwarded-Proto": "http"})):
                answer = client.get("https://%s/who" % own, headers=fields)
                assert answer.http_version == ("HTTP/2" if hasHttp2 else "HTTP/1.1")
                assert answer.json() == ["127.0.0.1", True, own]
                assert client.get("https://%s/there" % own, headers=fields).headers["location"] == "https://%s/who" % own
            assert client.post("https://%s/echo" % own, content=b"x" * 50000).content == b"x" * 50000
            assert client.post("https://%s/echo" % own, content=iter([b"a" * 40000, b"b"])).content == b"a" * 40000 + b"b"
            assert client.get("https://%s/pieces" % own).content[-8:] == b"0001999,"


# ------------------------------------------------------------------------------------------- connections

def test_many_requests(site, proxy):
    """Many requests over kept connections on both sides of the proxy: each response belongs to its request."""
    count, batch, clients = 2500 if site.runtime == "cpython" else 500, 50, 4
    ports = set()

    def Run(number):
        with harness.RawClient(proxy.port) as client:
            for start in range(0, count, batch):
                names = [b"%d-%d" % (number, n) for n in range(start, start + batch)]
                client.Send(b"".join(b"GET /hello/%s HTTP/1.1\r\nHost: a\r\n\r\n" % name for name in names))
                answers = client.ReadUntil(b"hello %s!" % names[-1])
                assert re.findall(rb"\r\n\r\nhello (\S+)!", answers) == names
                assert answers.count(b"HTTP/1.1 200 OK\r\n") == batch
                ports.update(re.findall(rb"(?i)\r\nX-Port: (\d+)\r\n", answers))

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        list(pool.map(Run, range(clients)))
    # nginx closes a connection after 1,000 requests, and Go's transport after about 100 responses.
    assert len(ports) <= clients + count * clients // 20, "the proxy keeps its connections"


def test_restart(site, proxy):
    """While the server is stopped, the proxy answers 502. After a restart the next request is answered, though the proxy still has old
    connections."""
    assert proxy.Fetch("/hello/1").status == 200
    proxy.Fetch("/stop", "POST")
    site.WaitLine("^STOPPED$")
    assert proxy.Fetch("/hello/1").status == 502
    site.Tell("again")
    site.WaitReady()
    for n in range(10):
        assert proxy.Fetch("/hello/%d" % n).text == "hello %d!" % n
    assert proxy.Fetch("/echo", "POST", body=b"x").body == b"x"


# ------------------------------------------------------------------------------------------- other configurations

@contextlib.contextmanager
def Stack(runtime, kind, folder, lines=TRUST, change=lambda text: text):
    """A proxy and a server for one test."""
    Site(folder)
    with harness.Server(runtime, PROGRAM.replace("TRUST", lines), folder, (harness.SourcesOf(runtime),)) as server:
        with Proxy(kind, folder / "proxy", server, change) as proxy:
            yield proxy


def test_events_of_a_proxy_that_buffers(tmp_path):
    """The proxy would hold the head back until the first event. A field of the response tells it not to buffer."""
    with Stack("cpython", "nginx", tmp_path, change=lambda text: Put(text, ("proxy_buffering off;", ""))) as proxy:
        test_events_arrive_at_once(proxy)


def Bare(text):
    return re.sub(r"(?m)^ +proxy_(?!pass).*\n", "", text)


def test_nginx_as_it_is_without_settings(tmp_path):
    """nginx then uses HTTP/1.0, sends its own name as the host, and closes each connection."""
    with Stack("cpython", "nginx", tmp_path, change=Bare) as proxy:
        assert proxy.Fetch("/who").Json()[0] == "127.0.0.1"
        assert proxy.Fetch("/echo", "POST", body=b"x" * 90000).body == b"x" * 90000
        test_small_content(proxy)
        test_a_stream_is_chunked_and_whole(proxy)
        test_conditions_and_ranges(proxy)
        test_events_arrive_at_once(proxy)


def Forwarding(text):
    if "reverse_proxy" in text:
        return Put(text, ("        transport http {\n", Block("caddyfile forwarded") + "        transport http {\n"))
    return Put(text, ("        proxy_buffering off;\n", "        proxy_buffering off;\n" + Block("nginx forwarded")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runtime", INTERPRETERS)
def test_forwarded(runtime, kind, tmp_path):
    """The Forwarded field of RFC 7239, with a list of allowed hosts."""
    with Stack(runtime, kind, tmp_path, SPEAKS_FORWARDED, Forwarding) as proxy:
        for fields in ({}, LIES):
            for host in ("device.example", "127.0.0.1:%d" % proxy.port):
                answer = From("127.0.0.2", proxy.port, harness.RequestBytes("GET", "/who", fields, host=host))
                assert answer.Json() == ["127.0.0.2", False, host]
            assert proxy.Fetch("/who", headers=fields, host="evil.example").status == 421
        for host in ('a";for=6.6.6.6', "device.example, for=6.6.6.6", 'device.example";for="6.6.6.6', "device.example;for=6.6.6.6"):
            assert proxy.Fetch("/who", host=host).status in (400, 421)
        context = ssl.create_default_context(cafile=Certificate().name + "/cert.pem")
        own = "127.0.0.1:%d" % proxy.tlsPort
        with httpx.Client(verify=context) as client:
            assert client.get("https://%s/who" % own, headers=LIES).json() == ["127.0.0.1", True, own]


def test_the_proxy_closes_first():
    """The proxy keeps an idle connection for a shorter time than the server. So it sends no request while the server closes one."""
    times = re.findall(r"(?m)^ +(?:keepalive_timeout|keepalive) (\d+)s;?$", PAGE)
    assert len(times) >= 2 and all(int(text) < KEEP_ALIVE_SEC for text in times)


# ------------------------------------------------------------------------------------------- smuggling

CASES = fuzz_smuggling.REFUSED + fuzz_smuggling.WHOLE + [row[:2] for row in cases_http.SMUGGLING] + \
    [(row[0], row[2]) for row in cases_http.BAD_FRAMING + cases_http.BAD_FIELDS if isinstance(row[2], bytes)]
_QUIET_SEC = 0.5


def Numbered(number, data):
    """Return the data with the number of the case in each request. Only the length of the first line changes."""
    data = re.sub(rb"^(GET|POST) (/p?) ", rb"\1 \2?%04d " % number, data)
    return data.replace(b"GET /smuggled ", b"GET /s%07d " % number)


def Sent(port, data):
    """Send data, and return all bytes until the proxy closes the connection. If the proxy waits for more, end the sending side."""
    with harness.RawClient(port) as client:
        answers = []
        client.socket.settimeout(_QUIET_SEC)
        try:
            client.Send(data)
            while True:
                piece = client.Receive()
                if not piece:
                    return b"".join(answers)
                answers.append(piece)
        except socket.timeout:
            client.socket.settimeout(harness.DEADLINE_SEC)
            try:
                client.SendEnd()
            except OSError:
                pass
            return b"".join(answers) + client.ReadToEnd()
        except ConnectionError:         # the proxy has closed the connection
            return b"".join(answers)


def test_smuggling(site, proxy):
    """Requests with ambiguous framing: the server sees no request that the proxy does not see. A hidden request reaches the server only
    if this client gets its response. This is true for the first request too, unless the proxy rejects its content after it has passed
    on the head."""
    harness.Fetch(site.port, "/seen")
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda case: Sent(proxy.port, Numbered(case[0], case[1][1])), enumerate(CASES)))
    seen = harness.Fetch(site.port, "/seen").Json()
    for number, (what, data) in enumerate(CASES):
        count = len(re.findall(rb"HTTP/1\.1 [2-5]\d\d ", answers[number]))
        answered = re.findall(rb"(?i)\r\nX-Seen: (\S+)\r\n", answers[number])
        ours = [target.encode() for target in seen if int(re.search(r"\d{4,7}", target).group()) == number]
        assert ours == answered or not answered and len(ours) == 1 and b"?" in ours[0], (what, data, answers[number])
        assert len(ours) <= max(count, 1), (what, data, answers[number])
    assert len(seen) > 20, "some pass"
    for n in range(40):
        assert proxy.Fetch("/hello/%d" % n).text == "hello %d!" % n, "no answer waits for somebody else"


def test_smuggling_where_nginx_buffers(tmp_path):
    """nginx then frames the content anew."""
    with Stack("cpython", "nginx", tmp_path, change=lambda text: Put(text, ("proxy_request_buffering off;", ""))) as proxy:
        test_smuggling(proxy.server, proxy)


def test_smuggling_through_nginx_as_it_is(tmp_path):
    """nginx then uses HTTP/1.0, with a new connection for each request."""
    with Stack("cpython", "nginx", tmp_path, change=Bare) as proxy:
        test_smuggling(proxy.server, proxy)
