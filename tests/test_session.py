"""microWebSession: what a client changed, replayed or stole is an empty session, and another site changes nothing."""

import base64
import hmac
import json
import os
import re
import threading
import time

import httpx
import pytest
from playwright.sync_api import expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import harness

KEY = "0123456789abcdef0123456789abcdef"
OLDER = "an older key, of 24 bytes"
WWW = {
    "form.pyhtml": '<form method="post" action="/change"><input type="hidden" name="csrf" value="{{ CSRF }}">'
                   '<button>send</button></form>',
    "late.pyhtml": "{{ for i in range(3000) }}a line {{ i }}\n{{ end }}<meta name=csrf content='{{ CSRF }}'>{{ raw CSRF }}",
    "plain.pyhtml": "{{ 1 + 1 }}",
    "a.txt": "text",
}
PROGRAM = """
import json
import sys
import time
import microWebSession
from microWebSrv import MicroWebSrv
from microWebSession import MemoryStore, UseSessions
from ready import Port

KEY, OLDER = %r, %r


class Clock:
    "The clock of microWebSession, which a test can move, or take away as on a board before it has the time."

    shift = 0
    isSet = True

    def time(self):
        return time.time() + self.shift

    def gmtime(self):
        return time.gmtime() if self.isSet else (2000, 1, 1, 0, 0, 7, 5, 1)


clock = microWebSession.time = Clock()
store = MemoryStore(maxSessions=3)
changes = []


@MicroWebSrv.route("/clock/<shift>/<isSet>")
def SetClock(httpClient, httpResponse, args):
    clock.shift = args["shift"]
    clock.isSet = args["isSet"] == 1


@MicroWebSrv.route("/get")
def Get(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(httpClient.GetSession())


@MicroWebSrv.route("/set")
def Set(httpClient, httpResponse):
    session = httpClient.GetSession()
    session.update(httpClient.GetRequestQueryParams())
    assert httpClient.GetSession() is session
    httpResponse.WriteResponseJSONOk(session)


@MicroWebSrv.route("/long/<size>")
def Long(httpClient, httpResponse, args):
    httpClient.GetSession()["long"] = "x" * args["size"]


@MicroWebSrv.route("/append/<value>")
def Append(httpClient, httpResponse, args):
    session = httpClient.GetSession()
    session.setdefault("list", []).append(args["value"])
    httpResponse.WriteResponseJSONOk(session)


@MicroWebSrv.route("/odd")
def Odd(httpClient, httpResponse):
    httpClient.GetSession()["odd"] = float("nan") if sys.implementation.name == "micropython" else 1.5


@MicroWebSrv.route("/login")
def LogIn(httpClient, httpResponse):
    session = httpClient.GetSession()
    session.Renew()
    session["user"] = "ann"


@MicroWebSrv.route("/logout")
def LogOut(httpClient, httpResponse):
    httpClient.GetSession().Clear()


@MicroWebSrv.route("/empty")
def Empty(httpClient, httpResponse):
    httpClient.GetSession().clear()


@MicroWebSrv.route("/fail")
def Fail(httpClient, httpResponse):
    httpClient.GetSession()["fail"] = 1
    httpResponse.WriteResponseError(500)


@MicroWebSrv.route("/worker", threaded=True)
def Worker(httpClient, httpResponse):
    session = httpClient.GetSession()
    session["count"] = session.get("count", 0) + 1
    httpResponse.WriteResponseJSONOk(session)


@MicroWebSrv.route("/change", "POST")
@MicroWebSrv.route("/change", "PUT")
@MicroWebSrv.route("/change", "DELETE")
@MicroWebSrv.route("/open/change", "POST")
def Change(httpClient, httpResponse):
    changes.append(1)
    form = httpClient.ReadRequestPostedFormData()
    form["changes"] = len(changes)
    httpResponse.WriteResponseJSONOk(form)


@MicroWebSrv.route("/change")
def Changes(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(len(changes))


@MicroWebSrv.webSocketRoute("/ws")
def OnSocket(webSocket, httpClient):
    webSocket.SendText(json.dumps(httpClient.GetSession()))


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath=sys.argv[2])
MicroWebSrv.WebSocketThreaded = False
UseSessions(mws, %s)
mws.Start(threaded=False)
"""


@pytest.fixture
def sessions(serve, tmp_path):
    """sessions("store=store") -> a server that uses sessions with these arguments."""
    def Sessions(args="KEY"):
        www = tmp_path / "www"
        www.mkdir(exist_ok=True)
        for name, text in WWW.items():
            (www / name).write_text(text)
        return serve(PROGRAM % (KEY, OLDER, args), args=(www,))
    return Sessions


@pytest.fixture
def browse():
    """browse(server) -> a client that keeps its cookies and the connection."""
    clients = []

    def Browse(server, cookie=None):
        clients.append(httpx.Client(base_url=server.Url(), timeout=harness.DEADLINE_SEC, trust_env=False))
        if cookie:
            clients[-1].headers["Cookie"] = cookie
        return clients[-1]

    yield Browse
    for client in clients:
        client.close()


def Signed(data, key=KEY, name="session", purpose=b"s", mark=bytes(8)):
    """A cookie as the server signs it, with CPython's own HMAC."""
    mac = hmac.digest(key.encode() if isinstance(key, str) else key, purpose + name.encode() + mark + data, "sha256")
    return base64.b64encode(mac + data).decode()


def Payload(values, ageSec=28800, identity=b"i" * 16):
    return int(time.time() + ageSec).to_bytes(4, "big") + identity + json.dumps(values).encode()


def Value(response):
    """The value of the session cookie that an answer sets, without what it says of it."""
    found = re.findall(r"session=([^;]*)", response.headers.get("set-cookie", ""))
    assert len(found) == 1, response.headers
    return found[0]


def Got(server, value, name="session"):
    return harness.Fetch(server.port, "/get", headers={"Cookie": "%s=%s" % (name, value)}).Json()


# --- pure ---------------------------------------------------------------------

VECTORS = [     # RFC 4231, sections 4.2 to 4.8; 4.6 is cut to 128 bits there
    ("0b" * 20, b"Hi There".hex(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe".hex(), b"what do ya want for nothing?".hex(),
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ("aa" * 20, "dd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    ("0102030405060708090a0b0c0d0e0f10111213141516171819", "cd" * 50,
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    ("0c" * 20, b"Test With Truncation".hex(), "a3b6167473100ee06e0c796c2955552b"),
    ("aa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First".hex(),
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
    ("aa" * 131, b"This is a test using a larger than block-size key and a larger than block-size data. "
                 b"The key needs to be hashed before being used by the HMAC algorithm.".hex(),
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
]


def test_hmac(run):
    """RFC 4231, and keys and texts of every length around a block against CPython's hmac."""
    cases = [(bytes.fromhex(key), bytes.fromhex(data), mac) for key, data, mac in VECTORS]
    for size in (0, 1, 63, 64, 65, 128):
        for length in (0, 1, 55, 56, 63, 64, 65, 1000):
            key, data = os.urandom(size), os.urandom(length)
            cases.append((key, data, hmac.digest(key, data, "sha256").hex()))
    said = run("from binascii import hexlify\nfrom microWebSession import _Mac\nfor key, data in %r:\n"
               "    print(hexlify(_Mac(key, data)).decode())\n" % [case[:2] for case in cases], modulePath=(harness.SRC,))
    for line, (key, data, mac) in zip(said.split(), cases, strict=True):
        assert line[:len(mac)] == mac, (key, data)


EQUAL = """
import sys
import time
from microWebSession import _IsEqual

mac = bytes(range(200, 232))
pairs = [mac[:at] + bytes([mac[at] ^ 1]) + mac[at + 1:] for at in range(32)] + [bytes(32), mac[:31], mac + b"x", b""]
print([_IsEqual(mac, pair) for pair in pairs].count(False), _IsEqual(mac, mac[:16] + mac[16:]), _IsEqual(b"", b""))


class Byte(int):
    "Counts the operations on it."

    count = 0

    def __rxor__(self, other):
        Byte.count += 1
        return int(other) ^ int(self)

    __xor__ = __rxor__


if sys.implementation.name == "micropython":
    counts = set()
    for pair in pairs[:32]:
        Byte.count = 0
        _IsEqual([Byte(byte) for byte in mac], [Byte(byte) for byte in pair])
        counts.add(Byte.count)
    print("COUNTS", counts)
print("TIMES")
ticks = time.ticks_us if hasattr(time, "ticks_us") else lambda: time.perf_counter_ns() // 1000
for _ in range(50):
    for at in (0, 31):
        pair = pairs[at]
        start = ticks()
        for _ in range(100):
            _IsEqual(mac, pair)
        print(at, ticks() - start)
"""


def test_equal_takes_the_same_time(run, runtime):
    """10,000 comparisons, in turns: that of a MAC whose first byte is wrong, and of one whose last byte is. The best of
    50 runs of each are alike. (That the loop has no early end is counted besides, where it is ours.)"""
    said = run(EQUAL, modulePath=(harness.SRC,))
    assert said.startswith("36 True True\n")
    if runtime == "micropython":
        assert "COUNTS {32}" in said
    times = [line.split() for line in said.partition("TIMES\n")[2].splitlines()]
    best = {at: min(int(spent) for where, spent in times if where == at) for at in ("0", "31")}
    assert abs(best["0"] - best["31"]) <= 0.2 * max(best.values()) + 3, best


STORE = """
from microWebSession import MemoryStore

store = MemoryStore(2)
store.Set(b"a", b"1", 100)
store.Set(b"b", b"2", 50)
store.Set(b"a", b"3", 100)
print(store.Get(b"a"), store.Get(b"b"))
store.Set(b"c", b"4", 70)
print(store.Get(b"a"), store.Get(b"b"), store.Get(b"c"))
store.Set(b"d", b"5", -1)
print(store.Get(b"c"), store.Get(b"d"))
store.Delete(b"a")
store.Delete(b"never")
print(store.Get(b"a"))
"""


def test_store(run):
    """It is full: the one that ends first goes, and a session that is there gets no second place. What has ended is not given."""
    said = run(STORE)
    assert said.splitlines() == ["b'3' b'2'", "b'3' None b'4'", "None None", "None"]
