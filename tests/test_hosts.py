"""AllowedHosts: a page of another site whose name resolves to this server (DNS rebinding) is refused."""

import signal

import pytest

import harness
import test_console
from harness import Fetch, RawClient, RequestBytes

PROGRAM = """
import sys
from microWebSrv import MicroWebSrv
from ready import Port

def Hello(httpClient, httpResponse):
    print("CALLED")
    httpResponse.WriteResponseOk(None, "text/plain", None, "hello")

def Accept(webSocket, httpClient):
    print("ACCEPTED")

def Hook(httpClient, httpResponse):
    print("HOOK")

mws = MicroWebSrv([("/hello", "GET", Hello), ("/hello", "POST", Hello)], Port(), "127.0.0.1", ".")
mws.AcceptWebSocketCallback = Accept
mws.SetNotFoundPageUrl("/hello")
mws.Before(Hook)
mws.AccessCallback = lambda client, code: print("ANSWERED", code)
ALLOWED
mws.Start(threaded=False)
"""
NAMES = 'mws.AllowedHosts = ["Device.local", "localhost"]'
ADDRESSES = ("127.0.0.1", "127.0.0.1:8080", "10.0.0.7", "[::1]", "[::1]:80", "[fe80::1]")


@pytest.fixture
def site(serve, tmp_path):
    (tmp_path / "page.html").write_text("page")
    return lambda allowed: serve(PROGRAM.replace("ALLOWED", allowed))


def Ask(server, host, target="/hello", method="GET", fields=(), body=b""):
    with RawClient(server.port) as client:
        client.Send(RequestBytes(method, target, (*fields, ("Connection", "close")), body, host))
        return client.ReadResponse(method)


def test_names_and_addresses(site):
    server = site(NAMES)
    for host in ("device.local", "DEVICE.LOCAL", "device.local.", "localhost:8080", "localhost", "device.local:80", *ADDRESSES):
        for _ in range(2):                      # the second time the head is in the memo
            assert (host, Ask(server, host).status) == (host, 200)
    for host in ("evil.example", "evil.example:8080", "xlocalhost", "localhos", "localhost.evil.example", "ocal", "1.2.3.4.evil.example",
                 "127.0.0.1.nip.io", "0x7f000001", "device.local..x"):
        for _ in range(2):
            assert (host, Ask(server, host).status) == (host, 421)
    answer = Ask(server, "evil.example")
    assert answer.reason == "Misdirected Request" and answer.isClosing
    if harness.SourcesOf(server.runtime) == harness.SRC:        # the board build has no explanations
        assert "not one of AllowedHosts: evil.example" in answer.text
    # the authority of the target overrides Host (RFC 9112 section 3.2.2)
    assert Ask(server, "localhost", "http://evil.example/hello").status == 421
    assert Ask(server, "evil.example", "http://localhost/hello").status == 200


def test_before_everything(site):
    """Files, missing pages, errors, content, OPTIONS, WebSockets and hooks: no code of the program is called."""
    server = site(NAMES)
    assert Ask(server, "localhost", "/page.html").text == "page"
    server.Seen("ANSWERED 200")
    start = len(server.stdout)
    upgrade = (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
               ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Origin", "http://evil.example"))
    for target, method, fields, body in (
            ("/page.html", "GET", (), b""), ("/none", "GET", (), b""), ("/hello", "POST", (), b"content"), ("/hello", "HEAD", (), b""),
            ("/hello", "OPTIONS", (), b""), ("*", "OPTIONS", (), b""), ("/", "GET", upgrade, b""), ("/hello", "BREW", (), b""),
            ("/hello", "POST", (("Expect", "100-continue"), ("Content-Length", "5")), b"")):
        answer = Ask(server, "evil.example", target, method, fields, body)
        assert (target, method, answer.status, answer.interim) == (target, method, 421, [])
    assert Fetch(server.port, "/hello").text == "hello"
    server.WaitLine("ANSWERED 200")
    said = server.stdout[start:]
    assert said.count("CALLED") == said.count("HOOK") == 1 and "ACCEPTED" not in said
    with RawClient(server.port) as client:      # HTTP/1.0 without a Host
        client.Send(b"GET /hello HTTP/1.0\r\n\r\n")
        assert client.ReadResponse().status == 421


@pytest.mark.parametrize("allowed, host, status", (
    ("pass", "evil.example", 200), ("mws.AllowedHosts = None", "evil.example", 200), ("mws.AllowedHosts = []", "localhost", 421),
    ("mws.AllowedHosts = ()", "127.0.0.1", 200), ('mws.AllowedHosts = "localhost"', "localhost", 200),
    ('mws.AllowedHosts = "localhost"', "host", 421), ('mws.AllowedHosts = {"a.b": 1}', "A.B", 200)))
def test_values(site, allowed, host, status):
    assert Ask(site(allowed), host).status == status


def test_without_a_host(site):
    """An empty name in the list allows requests without a host: HTTP/1.0."""
    server = site('mws.AllowedHosts = [""]')
    with RawClient(server.port) as client:
        client.Send(b"GET /hello HTTP/1.0\r\n\r\n")
        assert client.ReadResponse().status == 200


@pytest.mark.parametrize("options, allowed", (((), False), (("--host", "evil.example"), True), (("--no-reload",), False)))
def test_the_command(tmp_path, options, allowed):
    """The command enables it: localhost and IP addresses are allowed; --host and main.py can add names."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "index.html").write_text("index")
    command = test_console.Command(folder, *options)
    try:
        command.Ready()
        for host, status in (("localhost:%d" % command.port, 200), ("127.0.0.1", 200), ("evil.example", 200 if allowed else 421)):
            assert Ask(command, host, "/").status == status
    finally:
        command.End(signal.SIGINT)
        command.Kill()


def test_a_program_of_the_command_says_otherwise(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "main.py").write_text("from microWebSrv import MicroWebSrv\nmws = MicroWebSrv()\nmws.AllowedHosts = None\n"
                                    "mws.AddRoute('/', 'GET', lambda client, response: response.WriteResponseJSONOk())\nmws.Start()\n")
    command = test_console.Command(folder)
    try:
        command.Ready()
        assert Ask(command, "evil.example", "/").status == 200
    finally:
        command.End(signal.SIGINT)
        command.Kill()
