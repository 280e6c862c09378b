"""HTTP/3: aioquic's client sends requests to a program behind hypercorn."""

import asyncio
import ssl

import httpx
import pytest
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated

import harness
from test_asgi import FRONTS, PROGRAM, Front


class Stream:
    """The received part of a response."""

    def __init__(self):
        self.headers = {}
        self.body = b""
        self.isEnded = False
        self.news = asyncio.Event()

    async def Until(self, isEnough):
        while not isEnough(self):
            await asyncio.wait_for(self.news.wait(), harness.DEADLINE_SEC)
            self.news.clear()
        return self


class Client(QuicConnectionProtocol):
    """An HTTP/3 client on a QUIC connection."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._http = H3Connection(self._quic)
        self._streams = {}

    def Ask(self, method, path, headers=(), pieces=()):
        """Send a request, and return the number of its stream."""
        number = self._quic.get_next_available_stream_id()
        self._streams[number] = Stream()
        self._http.send_headers(number, [(b":method", method), (b":scheme", b"https"), (b":authority", b"a.example:8443"), (b":path", path),
                                         *headers], end_stream=not pieces)
        for at, piece in enumerate(pieces):
            self._http.send_data(number, piece, end_stream=at == len(pieces) - 1)
        self.transmit()
        return number

    async def Answer(self, number, isEnough=lambda stream: stream.isEnded):
        return await self._streams[number].Until(isEnough)

    async def Fetch(self, *args):
        """Send a request, and return the status, headers and content of the response."""
        stream = await self.Answer(self.Ask(*args))
        return int(stream.headers[":status"]), stream.headers, stream.body

    def quic_event_received(self, event):
        assert not isinstance(event, ConnectionTerminated) or not event.error_code, event
        for one in self._http.handle_event(event):
            stream = self._streams[one.stream_id]
            if isinstance(one, HeadersReceived):
                stream.headers.update((name.decode(), value.decode()) for name, value in one.headers)
            elif isinstance(one, DataReceived):
                stream.body += one.data
            stream.isEnded |= one.stream_ended
            stream.news.set()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("http3")
    (folder / "www").mkdir()
    (folder / "www" / "file.txt").write_text("0123456789" * 1000)
    assert harness.LoadTool("make_certificate").Main(["127.0.0.1", "-o", str(folder)]) == 0
    command = (*FRONTS["hypercorn"], "--quic-bind", "127.0.0.1:{port}", "--certfile", "cert.pem", "--keyfile", "key.pem")
    with Front(command, PROGRAM, folder) as server:
        server.certificate = str(folder / "cert.pem")
        yield server


def Talk(server, talk):
    """Run talk(client) with a new connection."""
    async def Main():
        configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="127.0.0.1")
        configuration.load_verify_locations(server.certificate)
        async with connect("127.0.0.1", server.port, configuration=configuration, create_protocol=Client) as client:
            await talk(client)
    asyncio.run(Main())


def test_requests(server):
    async def Main(client):
        status, headers, body = await client.Fetch(b"GET", b"/who?a=1&b=x+y", [(b"x-name", "\u00e9".encode())])
        said = httpx.Response(status, content=body).json()
        assert status == 200 and headers["x-after"] == "yes" and "connection" not in headers
        assert said[:8] == ["GET", "/who", "/who?a=1&b=x+y", {"a": "1", "b": "x y"}, "\u00e9", "127.0.0.1", True, "a.example:8443"]
        for method, path, expected in ((b"GET", b"/nothing", 404), (b"POST", b"/who", 405), (b"GET", b"/secret/x", 401), (b"GET", b"/a%00b", 400),
                                       (b"OPTIONS", b"/who", 204), (b"GET", b"/%zz", 400)):
            assert (await client.Fetch(method, path))[0] == expected, path
        status, headers, body = await client.Fetch(b"GET", b"/file.txt")
        assert (status, headers["content-length"], body) == (200, "10000", b"0123456789" * 1000)
        etag = headers["etag"].encode()
        assert (await client.Fetch(b"GET", b"/file.txt", [(b"range", b"bytes=5-9")]))[::2] == (206, b"56789")
        assert (await client.Fetch(b"GET", b"/file.txt", [(b"if-none-match", etag)]))[::2] == (304, b"")
    Talk(server, Main)


def test_many_at_once(server):
    async def Main(client):
        numbers = [client.Ask(b"GET", b"/users/%d/posts/x" % number) for number in range(50)]
        for number, stream in enumerate(numbers):
            assert (await client.Answer(stream)).body == b'{"id": %d, "name": "x"}' % number
    Talk(server, Main)


def test_content(server):
    async def Main(client):
        assert (await client.Fetch(b"POST", b"/count", (), [b"z" * 30000] * 20))[2] == b"600000"
        form = [(b"content-type", b"application/x-www-form-urlencoded")]
        assert (await client.Fetch(b"POST", b"/form", form, [b"a=1&", b"b=2"]))[2] == b'{"a": "1", "b": "2"}'
        assert len((await client.Fetch(b"GET", b"/pieces"))[2]) == 1600000
    Talk(server, Main)


def test_events(server):
    """Each event arrives at once."""
    async def Main(client):
        events = client.Ask(b"GET", b"/events")
        await client.Answer(events, lambda stream: stream.headers)
        for text in (b"first", b"second"):
            assert (await client.Fetch(b"GET", b"/tell/" + text))[2] == b"1"
            await client.Answer(events, lambda stream, text=text: b"data: " + text + b"\n\n" in stream.body)
    Talk(server, Main)


def test_other_versions_name_it(server):
    """A browser first connects over TCP. The field Alt-Svc (RFC 7838) tells it that HTTP/3 is available."""
    with httpx.Client(http2=True, verify=ssl.create_default_context(cafile=server.certificate)) as client:
        answer = client.get("https://127.0.0.1:%d/who" % server.port)
        assert answer.http_version == "HTTP/2" and "h3=" in answer.headers["alt-svc"]
