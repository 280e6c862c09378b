"""microWebSendFile: a file is opened once a second for all responses, and the system sends the large ones. (With TLS
it can't: test_tls.py.)"""

import os
import time

import pytest

from harness import Fetch, RawClient
from http_tools import Answers, Get


@pytest.fixture(params=["cpython", "cpython-asyncio"])
def runtime(request):
    return request.param


SITE = """
import os
from microWebSrv import MicroWebSrv
from ready import Port
plain = os.sendfile

def SendFile(*args):
    sent = plain(*args)
    print("SENDFILE", sent)
    return sent

os.sendfile = SendFile

@MicroWebSrv.route("/download")
def Download(httpClient, httpResponse):
    httpResponse.WriteResponseFileAttachment("www/big.bin", "big.bin")

@MicroWebSrv.route("/thread", threaded=True)
def Thread(httpClient, httpResponse):
    httpResponse.WriteResponseFile("www/big.bin")

@MicroWebSrv.route("/stop")
def Stop(httpClient, httpResponse):
    mws.Stop()

mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
%s
mws.Start(threaded=False)
print("ENDED", [name for name in map(os.readlink, ["/proc/self/fd/" + name for name in os.listdir("/proc/self/fd")
                                                  if os.path.exists("/proc/self/fd/" + name)]) if "/www/" in name])
"""

BIG = b"".join(b"%015d\n" % number for number in range(0, 3000000, 16))
SMALL = BIG[:16384]
NEXT = BIG[:16385]          # one byte more


@pytest.fixture
def site(serve, tmp_path):
    return Site(serve, tmp_path)


def Site(serve, folder, more=""):
    (folder / "www").mkdir()
    for name, content in (("big.bin", BIG), ("small.bin", SMALL), ("next.bin", NEXT), ("empty.bin", b"")):
        (folder / "www" / name).write_bytes(content)
        os.utime(folder / "www" / name, (784111777, 784111777))
    return serve(SITE % more)


def Opened(server):
    """The names of the files of webPath that the server has open."""
    folder = "/proc/%d/fd/" % server.pid
    names = []
    for name in os.listdir(folder):
        try:
            names.append(os.readlink(folder + name))
        except FileNotFoundError:                       # closed meanwhile
            pass
    return sorted(os.path.basename(name) for name in names if "/www/" in name)


def AwaitOpened(server, names):
    until = time.monotonic() + 3
    while Opened(server) != names:
        assert time.monotonic() < until, Opened(server)
        Fetch(server.port, "/none.txt")


def test_sizes(site):
    """Each size arrives whole, and the connection goes on; the small ones need no sendfile."""
    names = {"empty.bin": b"", "small.bin": SMALL, "next.bin": NEXT, "big.bin": BIG}
    for name, content in names.items():
        data = Get("/" + name) * 2 + Get("/small.bin") + Get("/" + name, "Connection: close")
        responses = Answers(site, data, ("GET",) * 4)
        assert [response.status for response in responses] == [200] * 4
        assert [response.body for response in responses] == [content, content, SMALL, content]
        if name in ("next.bin", "big.bin"):
            site.Seen("SENDFILE")
        else:
            assert "SENDFILE" not in site.stdout, name


def test_head_and_ranges(site):
    data = Get("/big.bin").replace(b"GET", b"HEAD", 1) + Get("/big.bin", "Range: bytes=1000000-1999999") \
        + Get("/big.bin", "Range: bytes=-20000") + Get("/big.bin", "Connection: close", "Range: bytes=5-9")
    responses = Answers(site, data, ("HEAD", "GET", "GET", "GET"))
    assert [(response.status, len(response.body)) for response in responses] \
        == [(200, 0), (206, 1000000), (206, 20000), (206, 5)]
    assert responses[0].Header("content-length") == str(len(BIG))
    assert [response.body for response in responses[1:]] == [BIG[1000000:2000000], BIG[-20000:], BIG[5:10]]


def test_other_ways_to_a_file(site):
    """A path outside of webPath, and a thread of a worker."""
    for target in ("/download", "/thread"):
        assert Fetch(site.port, target).body == BIG, target


def test_http_1_0(site):
    with RawClient(site.port) as client:
        client.Send(b"GET /big.bin HTTP/1.0\r\n\r\n")
        head, _, content = client.ReadToEnd().partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head and content == BIG


def test_a_slow_client_among_others(site):
    """The client reads in small pieces. Meanwhile others are served, and it gets all bytes."""
    with RawClient(site.port) as client:
        client.Send(Get("/big.bin", "Connection: close"))
        client.ReadUntil(b"\r\n\r\n")
        content = b""
        while len(content) < len(BIG):
            content += client.ReadExactly(min(100000, len(BIG) - len(content)))
            assert Fetch(site.port, "/small.bin").body == SMALL
        assert content == BIG and client.ReadToEnd() == b""


def test_a_file_system_that_cannot(serve, tmp_path):
    """sendfile fails with EINVAL there: the bytes are read."""
    server = Site(serve, tmp_path, "def Cannot(*args):\n    raise OSError(22, 'invalid')\nos.sendfile = Cannot")
    for target in ("/big.bin", "/next.bin", "/download"):
        assert Fetch(server.port, target).body == (NEXT if "next" in target else BIG), target
    assert "SENDFILE" not in server.stdout


def test_a_file_is_closed_after_a_second(site):
    for _ in range(3):
        Answers(site, Get("/small.bin") + Get("/big.bin") * 2 + Get("/big.bin", "Connection: close"), ("GET",) * 4)
        assert len(Opened(site)) <= 2               # not one for each response
        AwaitOpened(site, [])


def test_a_stop_closes_the_files(site):
    Answers(site, Get("/small.bin") + Get("/big.bin") + Get("/stop", "Connection: close"), ("GET",) * 3)
    site.WaitExit()
    assert "ENDED []" in site.stdout


def test_a_client_that_leaves(site):
    """Its file is closed with the next tick, although it was not sent to the end."""
    with RawClient(site.port) as client:
        client.Send(Get("/big.bin"))
        client.ReadExactly(1000)
        client.Close(reset=True)
    AwaitOpened(site, [])
    assert Fetch(site.port, "/big.bin").body == BIG


def test_a_change_is_seen_at_once(site, tmp_path):
    """A file that was replaced, written to, or deleted, within the second in which it was sent."""
    path, other = tmp_path / "www" / "small.bin", tmp_path / "other"
    for content in (b"a" * 16384, b"b" * 16384, b"c" * 100, b"", b"d" * 40000):
        other.write_bytes(content)
        os.utime(other, (784111777, 784111777))
        other.rename(path)                          # another inode of the same age
        assert [Fetch(site.port, "/small.bin").body for _ in range(2)] == [content] * 2
    path.write_bytes(b"longer than before " * 5000)
    assert Fetch(site.port, "/small.bin").body == b"longer than before " * 5000
    path.unlink()
    assert Fetch(site.port, "/small.bin").status == 404
    path.symlink_to(tmp_path / "outside")
    (tmp_path / "outside").write_bytes(b"secret")
    assert Fetch(site.port, "/small.bin").status == 404


def test_a_file_that_shrinks_cuts_the_connection(serve, tmp_path):
    """The file is truncated while a slow client gets it."""
    server = Site(serve, tmp_path, "mws.ErrorCallback = lambda *args: print('LOG', *args)")
    with open(tmp_path / "www" / "big.bin", "wb") as file:
        file.truncate(1 << 28)
    with RawClient(server.port) as client:
        client.Send(Get("/big.bin"))
        client.ReadExactly(1000)
        os.truncate(tmp_path / "www" / "big.bin", 1 << 20)
        assert len(client.ReadToEnd()) < 1 << 27
    server.WaitLine("LOG a file became shorter while it was sent")
    assert Fetch(server.port, "/small.bin").body == SMALL


def test_a_client_that_reads_nothing_makes_room(serve, tmp_path):
    """All places are taken by clients that don't read a large file. A new client gets the place of one of them."""
    server = Site(serve, tmp_path, "mws.MaxConnections = 2\nmws.SendTimeoutSec = 8")
    with open(tmp_path / "www" / "big.bin", "wb") as file:
        file.truncate(1 << 28)
    with RawClient(server.port) as one, RawClient(server.port) as other:
        for client in (one, other):
            client.Send(Get("/big.bin"))
            client.ReadUntil(b"\r\n\r\n")
        assert Fetch(server.port, "/small.bin").body == SMALL
        left = []
        for client in (one, other):
            try:
                client.ReadExactly(1 << 24)
                left.append(client)
            except (OSError, AssertionError, EOFError):
                pass
        assert len(left) == 1


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
"""


def test_the_shared_files_leave_when_no_more_can_be_opened(serve, tmp_path):
    """A client asks for more files within a second than the process may have open."""
    server = Site(serve, tmp_path, FULL)
    for number in range(40):
        (tmp_path / "www" / ("%d.txt" % number)).write_bytes(b"%d" % number)
    for number in range(40):
        assert Fetch(server.port, "/%d.txt" % number).body == b"%d" % number
    assert Fetch(server.port, "/big.bin").body == BIG


LAST = """
import resource

@MicroWebSrv.route("/last")
def Last(httpClient, httpResponse):
    last = os.dup(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, hard))
    os.close(last)
    httpResponse.WriteResponseFile("www/big.bin")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
"""


def test_the_last_descriptor_is_enough_for_a_file(serve, tmp_path):
    server = Site(serve, tmp_path, LAST)
    assert Fetch(server.port, "/last").body == BIG


QUEUED = """
import select

@MicroWebSrv.route("/queued")
def Queued(httpClient, httpResponse):
    link = httpClient.connection.link
    link.Send(b"HTTP/1.1 102 Processing\\r\\n\\r\\n" * 400000)
    print("QUEUED", len(link.out) > 0)
    select.select((), (link.sock,), (), 10)             # until the client has read some of it
    httpResponse.WriteResponseFile("www/big.bin")
"""


def test_a_file_waits_for_bytes_that_are_queued(serve, tmp_path):
    """An interim response is queued (100 Continue), and the socket has room again when the file is sent."""
    server = Site(serve, tmp_path, QUEUED)
    with RawClient(server.port) as client:
        client.Send(Get("/queued", "Connection: close"))
        server.WaitLine("QUEUED True")
        interim = b"HTTP/1.1 102 Processing\r\n\r\n" * 400000
        assert client.ReadExactly(len(interim)) == interim
        assert client.ReadToEnd().partition(b"\r\n\r\n")[2] == BIG


RENAMED = """
import os
from microWebSrv import MicroWebSrv
from ready import Port
mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
plain = mws.source.Open
sizes = [50, 50000, 0, 16385]

def Open(path):
    if sizes:                               # another file comes after Stat() has looked
        with open("other", "wb") as file:
            file.write(b"b" * sizes.pop(0))
        os.replace("other", "www" + path)
    return plain(path)

mws.source.Open = Open
mws.Start(threaded=False)
"""


@pytest.mark.parametrize("gone", [(), ("microWebFiles.py",)], ids=["with validators", "core"])
def test_a_file_that_is_replaced_before_it_is_opened(serve, tmp_path, modulePath, gone):
    """The length of the response is that of the bytes, and its ETag, too."""
    (tmp_path / "lib").mkdir()
    for path in modulePath[0].glob("microWeb*.py"):
        if path.name not in gone:
            (tmp_path / "lib" / path.name).symlink_to(path)
    (tmp_path / "www").mkdir()
    path = tmp_path / "www" / "a.bin"
    path.write_bytes(b"a" * 100)
    server = serve(RENAMED, modulePath=(tmp_path / "lib",))
    seen = set()
    for _ in range(2):
        first = Fetch(server.port, "/a.bin")
        assert first.status == 200 and first.body == path.read_bytes()
        seen.add((first.Header("etag"), len(first.body)))
        path.write_bytes(b"c" * 100)
    assert len(seen) == 2
