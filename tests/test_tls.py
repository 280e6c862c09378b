"""microWebTls: HTTPS and WSS on each runtime; handshakes that block nobody; certificates; the plain port that
redirects."""

import os
import re
import socket
import ssl
import subprocess
import time

import httpx
import pytest
from websockets.sync.client import connect

import harness

MAKE = harness.LoadTool("make_certificate")
BIG = bytes(range(251)) * 4200                  # 1 MB
DEADLINE = harness.DEADLINE_SEC
NAMES = ["device.local", "localhost", "127.0.0.1"]

PROGRAM = """
import sys
import ready
from microWebSrv import MicroWebSrv

folder = sys.argv[2]


@MicroWebSrv.route("/who")
def Who(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk({"isSecure": httpClient.IsSecure(), "address": httpClient.GetIPAddr()})


@MicroWebSrv.route("/threaded", threaded=True)
def Threaded(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk({"isSecure": httpClient.IsSecure()})


@MicroWebSrv.route("/echo", "POST")
def Echo(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content=httpClient.ReadRequestContent())


@MicroWebSrv.route("/cut")
def Cut(httpClient, httpResponse):
    httpResponse.WriteResponse(200, None, "text/plain", None, None)
    httpResponse._write("the beginning")
    raise ValueError("the end")


def Accept(webSocket, httpClient):
    def OnText(webSocket, text):
        if text.isdigit():
            for number in range(int(text)):
                webSocket.SendText("%d %s" % (number, "." * (number % 97)))
        else:
            webSocket.SendText(text.upper())
    webSocket.RecvTextCallback = OnText


mws = MicroWebSrv(port=ready.Port(), bindIP="127.0.0.1", webPath=folder)
mws.AcceptWebSocketCallback = Accept
mws.WebSocketThreaded = False
mws.MaxWebSocketSendQueueLen = 1 << 20
"""
SERVE = """
mws.UseTLS(folder + "/cert.pem", folder + "/key.pem")
mws.Start()
"""
CONSOLE = """
for line in sys.stdin:
    exec(line)
mws.Stop()
"""
ASYNC = """
@MicroWebSrv.route("/async")
async def Async(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk({"isSecure": httpClient.IsSecure()})
"""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A folder: a certificate in cert.pem and key.pem, RSA ones in rsa.*, others signed by an authority in
    chain.pem."""
    folder = tmp_path_factory.mktemp("certificates")
    assert MAKE.Main([*NAMES, "-o", str(folder)]) == 0
    assert MAKE.Main([*NAMES, "-o", str(folder / "other")]) == 0
    OpenSSL("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "rsa.key", "-out", "rsa.pem", "-subj", "/CN=rsa",
            "-days", "30", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", cwd=folder)
    OpenSSL("x509", "-in", "rsa.pem", "-outform", "der", "-out", "rsa.der", cwd=folder)
    OpenSSL("rsa", "-in", "rsa.key", "-traditional", "-outform", "der", "-out", "rsa1.der", cwd=folder)
    OpenSSL("ec", "-in", "key.pem", "-outform", "der", "-out", "sec1.der", cwd=folder)
    OpenSSL("ec", "-in", "key.pem", "-out", "sec1.pem", cwd=folder)
    OpenSSL("pkcs8", "-topk8", "-in", "key.pem", "-out", "locked.pem", "-passout", "pass:secret", cwd=folder)
    (folder / "both.pem").write_bytes(OpenSSL("ecparam", "-name", "prime256v1").encode()
                                      + (folder / "sec1.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    for name, issuer, extension in (("root", None, "CA:TRUE"), ("middle", "root", "CA:TRUE"), ("leaf", "middle", None)):
        OpenSSL("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name + ".key",
                "-out", name + ".csr", "-subj", "/CN=" + name, cwd=folder)
        text = "basicConstraints=" + extension if extension else "subjectAltName=DNS:localhost"
        (folder / "extension").write_text(text, encoding="ascii")
        signer = ("-signkey", "root.key") if not issuer else ("-CA", issuer + ".pem", "-CAkey", issuer + ".key", "-CAcreateserial")
        OpenSSL("x509", "-req", "-in", name + ".csr", *signer, "-extfile", "extension", "-days", "30", "-out", name + ".pem",
                cwd=folder)
    (folder / "chain.pem").write_bytes((folder / "leaf.pem").read_bytes() + (folder / "middle.pem").read_bytes())
    (folder / "big.bin").write_bytes(BIG)
    return folder


def OpenSSL(*args, cwd=None, stdin=b""):
    """-> the output of the command, which must succeed."""
    done = subprocess.run(["openssl", *args], cwd=cwd, input=stdin, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def SClient(port, *args, stdin=b""):
    """-> the output of s_client. It ends with its input, or with -ign_eof when the connection ends."""
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, *args], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
    return done.stdout.decode("latin-1")


@pytest.fixture
def tls(serve, certificates):
    """tls(settings="", start=SERVE) -> the Server."""
    def Start(settings="", start=SERVE, **kwargs):
        return serve(PROGRAM + settings + start + CONSOLE, args=(certificates,), **kwargs)
    return Start


class TlsClient(harness.RawClient):
    """A raw client with TLS that trusts only one certificate."""

    def __init__(self, port, authority, name="localhost", **kwargs):
        super().__init__(port, **kwargs)
        context = ssl.create_default_context(cafile=authority)
        try:
            self.socket = context.wrap_socket(self.socket, server_hostname=name, suppress_ragged_eofs=False)
        except BaseException:
            self.socket.close()
            raise


def Ask(client, target="/who", **kwargs):
    client.Send(harness.RequestBytes("GET", target, **kwargs))
    return client.ReadResponse()


def Files(server):
    """The number of open files of the process."""
    return len(os.listdir("/proc/%d/fd" % server.pid))


def FilesAtRest(server, certificates):
    """The same, after the first connection was served and closed."""
    with TlsClient(server.port, certificates / "cert.pem") as client:
        assert Ask(client).status == 200
        before = Files(server)
    Until(lambda: Files(server) < before)
    return Files(server)


def Until(condition):
    """Repeat until the condition is true."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.02)


# -- certificates ------------------------------------------------------------------------

@pytest.mark.parametrize("files, authority", [
    ('"/cert.pem", folder + "/key.pem"', "cert.pem"), ('"/cert.der", folder + "/key.der"', "cert.pem"),
    ('"/cert.der", folder + "/sec1.der"', "cert.pem"), ('"/cert.pem", folder + "/sec1.pem"', "cert.pem"),
    ('"/both.pem"', "cert.pem"), ('"/rsa.pem", folder + "/rsa.key"', "rsa.pem"),
    ('"/rsa.der", folder + "/rsa1.der"', "rsa.pem"), ('"/chain.pem", folder + "/leaf.key"', "root.pem")])
def test_each_kind_of_file(tls, certificates, files, authority):
    server = tls(start="mws.UseTLS(folder + %s)\nmws.Start()\n" % files)
    with TlsClient(server.port, certificates / authority) as client:
        assert Ask(client).Json() == {"isSecure": True, "address": "127.0.0.1"}
        assert client.socket.version() == ("TLSv1.2" if server.runtime == "micropython" else "TLSv1.3")
    server.Finish()


def test_bytes_and_a_context_of_the_program(tls, certificates):
    read = "def Read(name):\n    with open(folder + name, 'rb') as file:\n        return file.read()\n\n"
    server = tls(start=read + "mws.UseTLS(Read('/cert.der'), Read('/key.pem'))\nmws.Start()\n")
    with TlsClient(server.port, certificates / "cert.pem", "127.0.0.1") as client:
        assert Ask(client).Json()["isSecure"]
    context = ("context = __import__('ssl').SSLContext(__import__('ssl').PROTOCOL_TLS_SERVER)\n"
               "context.load_cert_chain(*[folder + ('/cert.pem', '/key.pem')[at] for at in (0, 1)])\n")
    if server.runtime == "micropython":
        context = context.replace(".pem", ".der")
    server = tls(start=context + "mws.UseTLS(context)\nmws.Start()\n")
    with TlsClient(server.port, certificates / "cert.pem") as client:
        assert Ask(client).Json()["isSecure"]


def test_wrong_files_are_errors_at_the_call(tls, certificates):
    calls = {"'/absent.pem', folder + '/key.pem'": "OSError", "'/cert.pem', folder + '/absent.pem'": "OSError",
             "'/junk', folder + '/key.pem'": "ValueError", "'/cert.pem', folder + '/junk'": "ValueError",
             "'/cert.pem', folder + '/cert.pem'": "ValueError", "'/cert.pem', folder + '/rsa.key'": "ValueError",
             "'/cert.pem', folder + '/other/key.pem'": "ValueError", "'/rsa.pem', folder + '/key.pem'": "ValueError",
             "'/cert.pem', folder + '/locked.pem'": "ValueError", "'/cert.pem'": "ValueError"}
    (certificates / "empty").write_bytes(b"")
    (certificates / "junk").write_bytes(BIG[:3000])
    calls["'/empty', folder + '/empty'"] = calls["'/cert.pem', folder + '/empty'"] = "ValueError"
    lines = ["Try(folder + %s)" % call for call in calls]
    program = """
def Try(*files):
    try:
        mws.UseTLS(*files)
        print("accepted")
    except ValueError:
        print("ValueError")
    except OSError:
        print("OSError")

""" + "\n".join(lines) + "\n"
    server = tls(start=program + "mws.Start()\n")
    assert dict(zip(calls, server.stdout.split())) == calls
    assert harness.Fetch(server.port, "/who").Json()["isSecure"] is False       # still a plain server


@pytest.mark.parametrize("runtime", ["cpython"])
def test_a_context_of_a_client_is_an_error(tls):
    server = tls(start="import ssl\ntry:\n    mws.UseTLS(ssl.create_default_context())\n"
                       "except ValueError as error:\n    print(error)\nmws.Start()\n")
    server.Seen("PROTOCOL_TLS_SERVER")


SWAP = """
def Swap(certFile, keyFile):
    try:
        mws.UseTLS(folder + certFile, folder + keyFile)
        print("CHANGED")
    except ValueError:
        print("KEPT")
"""


def test_certificates_change_while_it_runs(tls, certificates):
    server = tls(SWAP)
    with TlsClient(server.port, certificates / "cert.pem") as old:
        assert Ask(old).status == 200
        before = old.socket.getpeercert(True)
        server.Tell("Swap('/other/cert.pem', '/other/key.pem')")
        server.WaitLine("CHANGED")
        with TlsClient(server.port, certificates / "other" / "cert.pem") as new:
            assert Ask(new).status == 200
            assert new.socket.getpeercert(True) != before
        assert Ask(old).status == 200
        server.Tell("Swap('/cert.pem', '/other/key.pem')")
        server.WaitLine("KEPT")
        with TlsClient(server.port, certificates / "other" / "cert.pem") as new:
            assert Ask(new).status == 200
    server.Finish()


# -- protocol versions and ciphers -----------------------------------------------------------

def test_requests_of_every_kind(tls, certificates):
    server = tls()
    with TlsClient(server.port, certificates / "cert.pem") as client:
        assert Ask(client, "/threaded").Json() == {"isSecure": True}
        assert Ask(client, "/big.bin").body == BIG
        part = Ask(client, "/big.bin", headers={"Range": "bytes=100000-600000"})
        assert part.status == 206 and part.body == BIG[100000:600001]
        client.Send(harness.RequestBytes("POST", "/echo", body=BIG[:300000]))
        assert client.ReadResponse().body == BIG[:300000]
        client.Send(harness.RequestBytes("GET", "/who") * 40)           # in one record
        assert [client.ReadResponse().status for _ in range(40)] == [200] * 40
        for byte in harness.RequestBytes("GET", "/who"):
            client.Send(bytes((byte,)))
        assert client.ReadResponse().status == 200
        assert Ask(client, "/absent").status == 404
    server.Finish()


def test_async_handlers(tls, certificates):
    """On MicroPython everything then runs in asyncio's loop."""
    server = tls(ASYNC)
    with TlsClient(server.port, certificates / "cert.pem") as client:
        assert Ask(client, "/async").Json() == {"isSecure": True}
        assert Ask(client, "/big.bin").body == BIG
        client.Send(harness.RequestBytes("GET", "/who") * 40)
        assert [client.ReadResponse().status for _ in range(40)] == [200] * 40
    server.Finish()


def test_curl(tls, certificates):
    server = tls()
    url = "https://localhost:%d" % server.port
    command = ["curl", "-sS", "-m", str(DEADLINE), "--cacert", str(certificates / "cert.pem")]
    done = subprocess.run([*command, url + "/who", url + "/big.bin", "-o", "-", "-w", "%{num_connects},"], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b'{"isSecure": true') and BIG in done.stdout
    assert done.stdout.endswith(b"0,")                                  # both on one connection
    done = subprocess.run([*command, "--tls-max", "1.1", url + "/who"], capture_output=True)
    assert done.returncode == 35
    done = subprocess.run(["curl", "-sS", url + "/who"], capture_output=True)
    assert done.returncode == 60 and b"self-signed" in done.stderr


def test_httpx(tls, certificates):
    server = tls()
    with httpx.Client(verify=ssl.create_default_context(cafile=certificates / "cert.pem"), timeout=DEADLINE) as client:
        url = "https://127.0.0.1:%d" % server.port
        for _ in range(3):
            assert client.get(url + "/who").json()["isSecure"]
        assert client.get(url + "/big.bin").content == BIG
        assert client.post(url + "/echo", content=b"x" * 70000).content == b"x" * 70000


def test_wss(tls, certificates):
    server = tls()
    context = ssl.create_default_context(cafile=certificates / "cert.pem")
    with connect("wss://localhost:%d/" % server.port, ssl=context, open_timeout=DEADLINE) as webSocket:
        webSocket.send("hello")
        assert webSocket.recv(DEADLINE) == "HELLO"
        webSocket.send("x" * 30000)
        assert webSocket.recv(DEADLINE) == "X" * 30000


NARROW = SERVE.replace("mws.Start()", """
kind = getattr(mws, "NewLink", None)            # the build for boards has another name for it


def Narrow(server, sock, address):
    sock.setsockopt(1, 7, 4096)                 # SO_SNDBUF of Linux
    return kind(server, sock, address)


if kind:
    mws.NewLink = Narrow
mws.Start()""")


def test_a_slow_reader_gets_every_byte_in_its_order(tls, certificates):
    """Bytes that TLS could not send yet must not count as sent when more is queued after them."""
    server = tls(start=NARROW)
    client = TlsClient(server.port, certificates / "cert.pem", receiveBuffer=4096)
    with connect("ws://localhost:%d/" % server.port, sock=client.socket, open_timeout=DEADLINE,
                 compression=None, max_queue=4) as webSocket:
        webSocket.send("9000")
        webSocket.send("behind them")
        for number in range(9000):
            assert webSocket.recv(DEADLINE) == "%d %s" % (number, "." * (number % 97))
        assert webSocket.recv(DEADLINE) == "BEHIND THEM"


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
@pytest.mark.parametrize("options, answer", [
    ("-ssl3", None), ("-tls1", None), ("-tls1_1", None), ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("-tls1_3", "TLS_AES_256_GCM_SHA384"), ("-tls1_2 -cipher AES128-SHA", None), ("-tls1_2 -cipher AES256-GCM-SHA384", None),
    ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", None), ("-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA384", None),
    ("-tls1_2 -cipher DHE", None), ("-tls1_2 -cipher aNULL:@SECLEVEL=0", None), ("-tls1_2 -cipher PSK -psk 00", None),
    ("-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256")])
def test_protocols_and_ciphers(runtime, shared, options, answer):
    if options.split()[0] not in subprocess.run(["openssl", "s_client", "-help"], capture_output=True, text=True).stderr:
        pytest.skip("this openssl has no %s" % options)
    said = SClient(shared(runtime).port, *options.split())
    if runtime == "micropython" and options == "-tls1_3":
        answer = None
    assert re.search("Cipher is (\\S+)", said).group(1) == (answer or "(NONE)"), said
    if not answer:
        assert "lert" in said, said             # an alert, and not a cut


@pytest.fixture(scope="module")
def shared(certificates, tmp_path_factory):
    """shared(runtime) -> one server for a table of requests."""
    servers = {}

    def Shared(runtime):
        if runtime not in servers:
            servers[runtime] = harness.Server(runtime, PROGRAM + SERVE + CONSOLE, tmp_path_factory.mktemp("shared"),
                                              modulePath=(harness.SourcesOf(runtime),), args=(certificates,))
        return servers[runtime]

    yield Shared
    for server in servers.values():
        server.Close()


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
def test_nothing_is_renegotiated(tls):
    """A client could keep the server busy with renegotiation."""
    server = tls()
    said = SClient(server.port, "-tls1_2", stdin=b"R\n")
    assert "Secure Renegotiation IS supported" in said or server.runtime == "micropython"
    assert "lert" in said or "no renegotiation" in said, said


@pytest.mark.parametrize("runtime", ["cpython", "cpython-asyncio"])
def test_the_end_is_said_but_not_of_half_an_answer(tls, certificates):
    """close_notify; MicroPython can't send it."""
    server = tls()
    server.ExpectError("the end")
    request = harness.RequestBytes("GET", "/who", headers={"Connection": "close"})
    with TlsClient(server.port, certificates / "cert.pem") as client:
        client.Send(request)
        assert client.ReadResponse().status == 200
        assert client.Receive() == b""
    with TlsClient(server.port, certificates / "cert.pem") as client:
        client.Send(b"GET /cut HTTP/1.0\r\nHost: localhost\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            while client.Receive():
                pass
    with TlsClient(server.port, certificates / "cert.pem") as client:      # it has sent more than is read
        client.Send(request + b"x" * 5000)
        assert client.ReadResponse().status == 200
        assert client.Receive() == b""
    server.Finish()


# -- handshakes that block nobody --------------------------------------------------------------

def Hello():
    """The first flight of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        peer.do_handshake()
    return outgoing.read()


def test_200_half_open_handshakes_beside_a_client(tls, certificates):
    server = tls("mws.HeadTimeoutSec = 3\n")
    before = FilesAtRest(server, certificates)
    hello = Hello()
    clients = []
    with TlsClient(server.port, certificates / "cert.pem") as working:
        for number in range(200):
            clients.append(harness.RawClient(server.port))
            clients[-1].Send(hello[:number % 4 * len(hello) // 3])          # none, thirds, all of it
            if not number % 20:
                assert Ask(working).status == 200
        with TlsClient(server.port, certificates / "cert.pem") as another:
            assert Ask(another).status == 200
        assert Ask(working, "/big.bin").body == BIG
        for client in clients:                  # the deadline of a head ends them all
            client.ReadToEnd()
            client.Close()
        assert Ask(working).status == 200
    Until(lambda: Files(server) <= before)
    server.Finish()


def test_clients_that_vanish_in_the_handshake(tls, certificates):
    server = tls("mws.Debug = True\n")
    before = FilesAtRest(server, certificates)
    hello = Hello()
    for number in range(60):
        client = harness.RawClient(server.port)
        client.Send(hello[:number % 3 * len(hello) // 2] or b"\x16")
        if number % 3 == 2:
            client.Receive()
        client.Close(reset=number % 2 == 0)
        if number % 10 == 0:
            with pytest.raises(ssl.SSLError):               # it does not trust the certificate
                TlsClient(server.port, certificates / "rsa.pem")
    with TlsClient(server.port, certificates / "cert.pem") as client:
        assert Ask(client).status == 200
    Until(lambda: Files(server) <= before)
    server.SeenError(r"TLS with 127\.0\.0\.1: ")
    if "FATAL_ALERT" in server.stderr:          # the client's alert; the reset that follows may arrive first
        server.ExpectError("FATAL_ALERT")
    server.Finish()


@pytest.mark.parametrize("data", [b"\0" * 300, b"\x16\x03\x01\x40\x00" + b"\xff" * 3000, b"\x15\x03\x03\0\2\2\0",
                                  b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_what_is_no_handshake_ends_the_connection(tls, certificates, data):
    server = tls("mws.HeadTimeoutSec = 1\n")
    with harness.RawClient(server.port) as client:
        client.Send(data)
        client.ReadToEnd()
    with TlsClient(server.port, certificates / "cert.pem") as client:
        assert Ask(client).status == 200
    server.Finish()


def test_plain_http_on_the_port_of_tls(tls, certificates):
    server = tls()
    before = FilesAtRest(server, certificates)
    for _ in range(5):
        with harness.RawClient(server.port) as client:
            client.Send(harness.RequestBytes("GET", "/who", headers={"X-Long": "x" * 2000}))
            answer = client.ReadToEnd()
        assert answer.startswith(b"HTTP/1.1 400 ") and b"https://" in answer
    server.SeenError(r"plain HTTP from 127\.0\.0\.1 on the port of HTTPS")
    with TlsClient(server.port, certificates / "cert.pem") as client:
        assert Ask(client).status == 200
    Until(lambda: Files(server) <= before)
    server.Finish()


def test_stop_with_open_connections(tls, certificates):
    server = tls("mws.StopGraceSec = 2\n")
    context = ssl.create_default_context(cafile=certificates / "cert.pem")
    with TlsClient(server.port, certificates / "cert.pem") as idle, harness.RawClient(server.port) as silent, \
            harness.RawClient(server.port) as half, \
            connect("wss://localhost:%d/" % server.port, ssl=context, open_timeout=DEADLINE):
        half.Send(Hello()[:100])
        assert Ask(idle).status == 200
        server.Finish()
        silent.ReadToEnd()


def test_start_again(tls, certificates):
    server = tls()
    server.Tell("mws.Stop(); mws.Start()")
    server.WaitReady()
    with TlsClient(server.port, certificates / "cert.pem") as client:
        assert Ask(client).status == 200
    server.Finish()


def test_a_limit_of_connections(tls, certificates):
    server = tls("mws.MaxTLSConnections = 2\nmws.KeepAliveTimeoutSec = 30\n")
    busy = ssl.create_default_context(cafile=certificates / "cert.pem")
    with connect("wss://localhost:%d/" % server.port, ssl=busy, open_timeout=DEADLINE) as webSocket, \
            TlsClient(server.port, certificates / "cert.pem") as idle:
        assert Ask(idle).isClosing              # an idle connection does not hold the last slot
        with TlsClient(server.port, certificates / "cert.pem") as next:
            assert Ask(next).status == 200
        webSocket.send("still here")
        assert webSocket.recv(DEADLINE) == "STILL HERE"
        server.Tell("print('MOST', mws.MaxConnections)")
        server.WaitLine("MOST 2")


# -- the plain port ---------------------------------------------------------------------------

REDIRECT = """
plain = ready._ports.pop(0)
mws.UseTLS(folder + "/cert.pem", folder + "/key.pem")
mws.RedirectToHTTPS(plain)
mws.Start()
print("PLAIN", plain)
"""


def test_a_second_port_redirects(tls, certificates):
    server = tls("mws.MaxConnections = 3\nmws.KeepAliveTimeoutSec = 1\n", REDIRECT)
    plain = int(server.WaitLine("PLAIN (\\d+)").group(1))
    for number in range(2):
        for target, method, host in (("/a%20b?c=d&e=/", "GET", "device.local"), ("/who", "POST", "device.local:%d" % plain),
                                     ("/", "DELETE", "127.0.0.1"), ("//evil.example/", "GET", "[::1]:80")):
            with harness.RawClient(plain) as client:
                client.Send(harness.RequestBytes(method, target, [("Connection", "close")], host=host))
                answer = client.ReadResponse(method)
                name = host[:host.rindex(":")] if host[-1] in "0" or host.endswith(":%d" % plain) else host
                assert answer.status == 302
                assert answer.Header("location") == "https://%s:%d%s" % (name, server.port, target)
        with harness.RawClient(plain) as client:
            client.Send(harness.RequestBytes("GET", "/", {"Upgrade": "websocket", "Connection": "Upgrade",
                                                          "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAA"}))
            assert client.ReadResponse().status == 302
        with harness.RawClient(plain) as client:
            client.Send(b"GET / HTTP/1.0\r\n\r\n")
            assert client.ReadResponse().status == 400
        with TlsClient(server.port, certificates / "cert.pem") as client:
            assert Ask(client).Json()["isSecure"]
        if not number:
            server.Tell("mws.Stop(); mws.Start()")
            server.WaitReady()
            Until(lambda: IsOpen(plain))
    server.Finish()
    assert not IsOpen(plain)


def test_the_plain_port_asks_for_no_password(tls):
    """The redirect runs before a hook that was added earlier: a browser would send the password without TLS."""
    server = tls("mws.Before(lambda client, response: response.WriteResponseForbidden())\n", REDIRECT)
    with harness.RawClient(int(server.WaitLine("PLAIN (\\d+)").group(1))) as client:
        client.Send(harness.RequestBytes("GET", "/"))
        assert client.ReadResponse().status == 302


def IsOpen(port):
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE).close()
        return True
    except ConnectionRefusedError:
        return False


def test_a_port_that_is_taken_is_an_error_at_the_call(tls):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = tls(start="try:\n    mws.RedirectToHTTPS(%d)\nexcept OSError:\n    print('TAKEN')\nmws.Start()\n"
                     % taken.getsockname()[1])
        server.Seen("TAKEN")
        assert harness.Fetch(server.port, "/who").status == 200
        server.Finish()


def test_strict_transport_security(tls, certificates):
    server = tls("mws.StrictTransportSec = 86400\n", REDIRECT)
    plain = int(server.WaitLine("PLAIN (\\d+)").group(1))
    with TlsClient(server.port, certificates / "cert.pem") as client:
        for target, status in (("/who", 200), ("/big.bin", 200), ("/absent", 404)):
            answer = Ask(client, target)
            assert answer.status == status and answer.Header("strict-transport-security") == "max-age=86400"
    assert harness.Fetch(plain, "/").Header("strict-transport-security") is None       # RFC 6797, section 7.2
    server = tls()
    with TlsClient(server.port, certificates / "cert.pem") as client:
        assert Ask(client).Header("strict-transport-security") is None


# -- the tool -----------------------------------------------------------------------------------

def test_make_certificate(tmp_path):
    assert MAKE.Main(["kitchen.local", "192.168.1.20", "fe80::1", "-o", str(tmp_path / "one")]) == 0
    one = tmp_path / "one"
    text = OpenSSL("x509", "-in", "cert.pem", "-noout", "-text", cwd=one)
    assert "DNS:kitchen.local, IP Address:192.168.1.20, IP Address:FE80:0:0:0:0:0:0:1" in text and "CA:FALSE" in text
    OpenSSL("verify", "-x509_strict", "-CAfile", "cert.pem", "-purpose", "sslserver", "cert.pem", cwd=one)
    assert "valid" in OpenSSL("pkey", "-in", "key.pem", "-check", "-noout", cwd=one)
    assert OpenSSL("x509", "-in", "cert.der", "-inform", "der", cwd=one) == (one / "cert.pem").read_text(encoding="ascii")
    assert OpenSSL("pkey", "-in", "key.der", "-inform", "der", cwd=one) == (one / "key.pem").read_text(encoding="ascii")
    if os.name == "posix":
        assert [(one / name).stat().st_mode & 0o777 for name in ("key.pem", "key.der")] == [0o600, 0o600]
    before = (one / "key.pem").read_bytes()
    with pytest.raises(SystemExit):
        MAKE.Main(["kitchen.local", "-o", str(one)])
    assert (one / "key.pem").read_bytes() == before
    assert MAKE.Main(["kitchen.local", "-o", str(one), "--replace"]) == 0
    assert (one / "key.pem").read_bytes() != before
    for name in ("a b", "-x.local", "a/b", "k\u00fcche.local", ""):
        with pytest.raises(SystemExit):
            MAKE.Main(["-o", str(tmp_path / "none"), "--", name])
    assert not (tmp_path / "none").exists()


def test_make_certificate_of_an_authority(tmp_path):
    home = tmp_path / "home"
    for name in ("one.local", "two.local"):
        assert MAKE.Main([name, "-o", str(tmp_path / name), "--authority", str(home)]) == 0
        OpenSSL("verify", "-x509_strict", "-CAfile", "authority.pem", "-purpose", "sslserver", "-verify_hostname", name,
                str(tmp_path / name / "cert.pem"), cwd=home)
    text = OpenSSL("x509", "-in", "authority.crt", "-inform", "der", "-noout", "-text", cwd=home)
    assert "CA:TRUE, pathlen:0" in text and "Certificate Sign" in text
    (home / "authority-key.pem").write_bytes((tmp_path / "one.local" / "cert.pem").read_bytes())
    with pytest.raises(SystemExit):
        MAKE.Main(["three.local", "-o", str(tmp_path / "three"), "--authority", str(home)])


# -- CPython: cases that the loop would not see otherwise --------------------------------------------

@pytest.mark.parametrize("runtime", ["cpython"])
def test_a_read_that_has_to_write_first(run):
    """The handshake fills the send buffer: TLS has to write, and reading continues afterwards."""
    assert run("""
import ssl
from microWebSrv import MicroWebSrv

class Context:
    protocol = ssl.PROTOCOL_TLS_SERVER

    def wrap_socket(self, sock, server_side, do_handshake_on_connect):
        return sock

class Socket:
    steps = [ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLWantWriteError, ssl.SSLWantReadError, b"data", b"more"]

    def fileno(self):
        return 7

    def recv(self, size):
        step = self.steps.pop(0)
        if isinstance(step, bytes):
            return step
        raise step()

class Poll:
    def register(self, sock, mask):
        print("poll", mask)

    modify = register

class Endpoint:
    def OnReceived(self, data):
        print(data.decode())

mws = MicroWebSrv(port=1)
mws.inbox = bytearray(1000)
mws.UseTLS(Context())
mws.poll = Poll()
link = mws.NewLink(mws, Socket(), ("127.0.0.1", 1))
link.endpoint = Endpoint()
link.Watch()
for event in (1, 1, 4, 4, 1, 1):
    link.OnEvent(event)
""").splitlines() == ["poll 1", "poll 4", "poll 1", "data", "more"]


# -- the browser ------------------------------------------------------------------------------------

@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
def test_chromium(tls, certificates, browser):
    (certificates / "page.html").write_text("""<!doctype html><title>page</title><script>
        const socket = new WebSocket("wss://" + location.host + "/");
        socket.onopen = () => socket.send("hello");
        socket.onmessage = event => { document.title = event.data + " " + window.isSecureContext; };
        </script><img src=/big.bin>""", encoding="ascii")
    server = tls()
    context = browser.new_context(ignore_https_errors=True)
    try:
        page = context.new_page()
        answer = page.goto("https://localhost:%d/page.html" % server.port)
        assert answer.status == 200
        assert answer.security_details()["protocol"] == ("TLS 1.2" if server.runtime == "micropython" else "TLS 1.3")
        page.wait_for_function("document.title == 'HELLO true'")
    finally:
        context.close()
