"""microWebSession: a changed, replayed or stolen cookie gives an empty session, and other sites change nothing."""

import base64
import hmac
import json
import os
import re
import ssl
import threading
import time

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import harness

KEY = "0123456789abcdef0123456789abcdef"
OLDER = "an older key, of 24 bytes"
WWW = {
    "form.pyhtml": '<form method="post" action="/change"><input type="hidden" name="csrf" value="{{ CSRF }}">'
                   '<button>send</button></form>',
    "late.pyhtml": "{{ for i in range(3000) }}a line {{ i }}\n{{ end }}<meta name=csrf content='{{ CSRF }}'>{{ raw CSRF }}",
    "quiet.pyhtml": '<meta name="referrer" content="no-referrer"><form method="post" action="/change">'
                    '<input type="hidden" name="csrf" value="{{ CSRF }}"><button>send</button></form>',
    "evil.html": """<!DOCTYPE html><title>evil</title><form method="post" target="frame"><input name="a" value="1"></form>
        <iframe name="frame"></iframe><script>
        const target = location.hash.slice(1), said = [];
        const Say = (text) => { said.push(text); if (said.length === 4) document.title = said.sort().join(" "); };
        fetch(target + "/change", {method: "POST", mode: "no-cors", credentials: "include", body: "a=1"})
            .then((answer) => Say("fetch-" + answer.type), () => Say("fetch-failed"));
        fetch(target + "/change", {method: "DELETE", credentials: "include"}).then(() => Say("delete-done"),
            () => Say("delete-failed"));
        const socket = new WebSocket(target.replace("http", "ws") + "/ws");
        socket.onopen = () => Say("socket-open");
        socket.onerror = () => Say("socket-failed");
        document.forms[0].action = target + "/change";
        document.forms[0].submit();
        document.querySelector("iframe").onload = () => Say("form-answered");
        </script>""",
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
    httpResponse.WriteResponseJSONOk()


@MicroWebSrv.route("/append/<value>")
def Append(httpClient, httpResponse, args):
    session = httpClient.GetSession()
    session.setdefault("list", []).append(args["value"])
    httpResponse.WriteResponseJSONOk(session)


@MicroWebSrv.route("/odd")
def Odd(httpClient, httpResponse):
    httpClient.GetSession()["odd"] = float("nan") if sys.implementation.name == "micropython" else 1.5
    httpResponse.WriteResponseJSONOk()


@MicroWebSrv.route("/login")
def LogIn(httpClient, httpResponse):
    session = httpClient.GetSession()
    session.Renew()
    session["user"] = "ann"
    httpResponse.WriteResponseJSONOk()


@MicroWebSrv.route("/logout")
def LogOut(httpClient, httpResponse):
    httpClient.GetSession().Clear()
    httpResponse.WriteResponseJSONOk()


@MicroWebSrv.route("/empty")
def Empty(httpClient, httpResponse):
    httpClient.GetSession().clear()
    httpResponse.WriteResponseJSONOk()


@MicroWebSrv.route("/silent")
def Silent(httpClient, httpResponse):
    httpClient.GetSession()["silent"] = 1


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
# more
if len(sys.argv) > 3:
    mws.UseTLS(sys.argv[3] + "/cert.pem", sys.argv[3] + "/key.pem")
UseSessions(mws, %s)
mws.Start(threaded=False)
"""


@pytest.fixture
def sessions(serve, tmp_path):
    """sessions("store=store") -> a server that uses sessions with these arguments."""
    def Sessions(args="KEY", more=""):
        www = tmp_path / "www"
        www.mkdir(exist_ok=True)
        for name, text in WWW.items():
            (www / name).write_text(text)
        return serve(PROGRAM.replace("# more\n", more) % (KEY, OLDER, args), args=(www,))
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
    """A cookie as the server signs it, made with CPython's HMAC."""
    mac = hmac.digest(key.encode() if isinstance(key, str) else key, purpose + name.encode() + mark + data, "sha256")
    return base64.b64encode(mac + data).decode()


def Payload(values, ageSec=28800, identity=b"i" * 16):
    return int(time.time() + ageSec).to_bytes(4, "big") + identity + json.dumps(values).encode()


def Value(response):
    """The value of the session cookie in a response, without its attributes."""
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
    """RFC 4231; and keys and texts of all lengths around a block, compared with CPython's hmac."""
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
    """10,000 comparisons, alternating between MACs whose first byte differs and MACs whose last byte differs. The best
    of 50 runs of each are similar. (For our own loop, a count checks that it has no early end.)"""
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
    """When it is full, the session that expires first is removed; an update needs no new place. Expired sessions are
    not returned."""
    said = run(STORE)
    assert said.splitlines() == ["b'3' b'2'", "b'3' None b'4'", "None None", "None"]


# --- sessions -------------------------------------------------------------------

KINDS = pytest.mark.parametrize("args", ["KEY", "KEY, store=store"], ids=["cookie", "store"])


@KINDS
def test_a_session(sessions, browse, args):
    """Kept between requests, also after a change in a nested value; saved automatically; no cookie is sent without a
    change."""
    client = browse(sessions(args))
    first = client.get("/get")
    assert first.json() == {} and "set-cookie" not in first.headers and first.headers["vary"] == "Cookie"
    assert client.get("/plain.pyhtml").headers.get("vary") is None      # the session was not used
    made = client.get("/set?name=J%C3%BCrgen&empty=")
    assert made.json() == {"name": "Jürgen", "empty": ""}
    assert re.fullmatch(r"session=[^;]+; Path=/; SameSite=Lax; Max-Age=28800; HttpOnly", made.headers["set-cookie"])
    same = client.get("/get")
    assert same.json() == made.json() and "set-cookie" not in same.headers
    assert "set-cookie" not in client.get("/set?name=J%C3%BCrgen").headers
    assert client.get("/append/1").json()["list"] == [1]
    assert client.get("/append/two").json()["list"] == [1, "two"]
    assert client.get("/get").json() == {"name": "Jürgen", "empty": "", "list": [1, "two"]}
    assert client.get("/fail").status_code == 500                       # also for an error page
    assert client.get("/get").json()["fail"] == 1
    gone = client.get("/logout")
    assert gone.headers["set-cookie"] == "session=; Path=/; SameSite=Lax; Max-Age=0; HttpOnly"
    assert not client.cookies and client.get("/get").json() == {}
    assert "set-cookie" not in client.get("/logout").headers
    client.get("/set?a=1")
    assert "Max-Age=0" in client.get("/empty").headers["set-cookie"] and not client.cookies


def test_a_handler_that_writes_nothing(sessions, browse):
    client = browse(sessions())
    assert client.get("/silent").status_code == 204
    assert client.get("/get").json() == {"silent": 1}


def test_the_cookie_is_what_it_says(sessions, browse):
    """It is byte for byte as CPython's HMAC signs it; and a cookie signed by CPython is accepted."""
    server = sessions()
    before = int(time.time())
    value = Value(browse(server).get("/set?a=1"))
    raw = base64.b64decode(value)
    assert value == Signed(raw[32:]) and json.loads(raw[52:]) == {"a": "1"}
    assert before <= int.from_bytes(raw[32:36], "big") - 28800 <= time.time()
    assert Got(server, Signed(Payload({"b": [1, {"c": None}]}))) == {"b": [1, {"c": None}]}


def test_the_store_has_the_values(sessions, browse):
    """The cookie contains only an id of 128 random bits."""
    server = sessions("KEY, store=store")
    values = {Value(browse(server).get("/set?secret=" + "x" * 100)) for _ in range(3)}
    raws = [base64.b64decode(value) for value in values]
    assert [len(raw) for raw in raws] == [52] * 3 and len({raw[36:] for raw in raws}) == 3
    assert Got(server, Signed(Payload({}, identity=b"never was there!")[:20])) == {}


def Tampered(value):
    """Changes that a client could make to a cookie."""
    raw = base64.b64decode(value)
    yield from (value[:-4], value[4:], value[:44], value[: len(value) // 2], value[0], "", "=", "a", "%00", "\xff\xfe")
    yield from (value.rstrip("=") + value, value.rstrip("=") + "AAAA", "AAAA" + value, value.swapcase(), json.dumps({"user": "ann"}))
    for at in (0, 1, 15, 31, 32, 35, 36, 47, len(raw) - 1):   # in each part: the MAC, the expiry, the id and the values
        yield base64.b64encode(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:]).decode()
    yield base64.b64encode(bytes(32) + raw[32:]).decode()
    yield base64.b64encode(raw[32:]).decode()


@KINDS
def test_forged_and_truncated(sessions, browse, args):
    server = sessions(args)
    value = Value(browse(server).get("/set?user=ann"))
    assert Got(server, value) == {"user": "ann"}
    for forged in Tampered(value):
        assert Got(server, forged) == {}, forged
    forged = [Signed(Payload({"user": "ann"}), key) for key in (OLDER, "", KEY[:16], KEY.encode() + b"x")]
    data = base64.b64decode(value)[32:]
    forged += [Signed(data, purpose=b"t"), Signed(data, purpose=b""), Signed(data, name="other"), Signed(data, name="Session"),
               Signed(data, name="__Host-session"), Signed(data, mark=b""), Signed(data, mark=b"12345678")]
    for value in forged:
        assert Got(server, value) == {}, value
    with harness.RawClient(server.port) as client:              # within the head itself
        for cookie in (b"session", b"session=", b";;=;session==", b"session=\xff\xfe", b"a=b; session=\"x\"", b"=session=x"):
            client.Send(b"GET /get HTTP/1.1\r\nHost: a\r\nCookie: " + cookie + b"\r\n\r\n")
            assert client.ReadResponse().Json() == {}


def test_hmac_pads_zeros(sessions):
    """HMAC pads a short key with zeros (RFC 2104), so a key with trailing zeros is the same key. No other key is."""
    server = sessions()
    assert Got(server, Signed(Payload({"a": 1}), KEY.encode() + b"\0")) == {"a": 1}


def test_swapped(sessions, browse):
    """A page's token is no cookie, and a cookie is no token; a cookie under another name is refused."""
    server = sessions()
    client = browse(server)
    cookie = Value(client.get("/set?user=ann"))
    token = re.search('value="([^"]+)"', client.get("/form.pyhtml").text).group(1)
    assert Got(server, token) == {}
    assert Got(server, cookie, name="other") == {}
    assert client.post("/change", headers={"X-CSRF-Token": cookie}).status_code == 403
    assert client.post("/change", headers={"X-CSRF-Token": token}).status_code == 200


def test_another_name(sessions, browse):
    """Two servers on one host share the cookies of a browser, so each needs its own name."""
    server = sessions('KEY, name="door"')
    client = browse(server)
    client.get("/set?a=1")
    assert list(client.cookies) == ["door"] and client.get("/get").json() == {"a": "1"}
    assert Got(server, client.cookies["door"]) == {} and Got(server, Signed(Payload({"a": 1})), "door") == {}


@KINDS
def test_expired(sessions, browse, args):
    server = sessions(args + ", maxAgeSec=100")
    client = browse(server)
    value = Value(client.get("/set?user=ann"))
    client.get("/clock/101/1")
    assert Got(server, value) == {} and client.get("/get").json() == {}
    client.get("/clock/95/1")
    assert Got(server, value) == {"user": "ann"}


@KINDS
def test_sliding(sessions, browse, args):
    """It is renewed by a request that uses it after half of its lifetime, not before."""
    server = sessions(args + ", maxAgeSec=100")
    client = browse(server)
    first = Value(client.get("/set?user=ann"))
    client.get("/clock/40/1")
    assert "set-cookie" not in client.get("/get").headers
    client.get("/clock/60/1")
    assert "set-cookie" not in client.get("/plain.pyhtml").headers
    second = Value(client.get("/get"))
    assert second != first and base64.b64decode(second)[36:] == base64.b64decode(first)[36:]
    assert "set-cookie" not in client.get("/get").headers
    client.get("/clock/150/1")
    assert Got(server, first) == {} and client.get("/get").json() == {"user": "ann"}


def test_no_clock(sessions, browse):
    """A board without the time: its signatures are valid only in this run, and only until the clock is set."""
    server = sessions("KEY, maxAgeSec=100")
    client = browse(server)
    with_clock = Value(client.get("/set?user=ann"))
    client.get("/clock/0/0")
    assert client.get("/get").json() == {}
    client.cookies.clear()
    without = Value(client.get("/set?user=ben"))
    assert client.get("/get").json() == {"user": "ben"}
    client.get("/clock/101/0")
    assert client.get("/get").json() == {}
    client.get("/clock/0/1")
    assert Got(server, without) == {} and Got(server, with_clock) == {"user": "ann"}
    assert Got(server, Signed(Payload({"user": "ann"}), mark=bytes(8))) == {"user": "ann"}
    client.get("/clock/0/0")
    again = browse(sessions("KEY, maxAgeSec=100"))              # it was restarted
    again.get("/clock/0/0")
    assert again.get("/get", headers={"Cookie": "session=" + without}).json() == {}


def test_rotation(sessions, browse):
    """The first key signs, all keys verify; a session signed with an older key is signed again at the next change."""
    server = sessions("[KEY, OLDER.encode()]")
    assert Got(server, Signed(Payload({"a": 1}), OLDER)) == {"a": 1}
    assert Got(server, Signed(Payload({"a": 1}), KEY)) == {"a": 1}
    assert Got(server, Signed(Payload({"a": 1}), "a third key, unknown")) == {}
    client = browse(server, "session=" + Signed(Payload({"a": 1}), OLDER))
    raw = base64.b64decode(Value(client.get("/set?b=2")))
    assert Signed(raw[32:], KEY) == base64.b64encode(raw).decode() and json.loads(raw[52:]) == {"a": 1, "b": "2"}
    half = browse(server, "session=" + Signed(Payload({"a": 1}, 14000), OLDER))
    assert base64.b64decode(Value(half.get("/get")))[36:52] == b"i" * 16
    assert Got(sessions("[OLDER]"), Signed(Payload({"a": 1}), KEY)) == {}


def test_no_key(sessions, browse):
    """Each start uses a new key: the sessions of the previous run are invalid."""
    client = browse(sessions(""))
    value = Value(client.get("/set?a=1"))
    assert client.get("/get").json() == {"a": "1"}
    assert Got(sessions(""), value) == {}


@KINDS
def test_fixation(sessions, browse, args):
    """An attacker's session that was planted before the login is useless afterwards, and so is an earlier token."""
    server = sessions(args)
    attacker = browse(server)
    planted = Value(attacker.get("/set?visits=1"))
    victim = browse(server)
    victim.cookies.update(attacker.cookies)
    token = re.search('value="([^"]+)"', victim.get("/form.pyhtml").text).group(1)
    after = Value(victim.get("/login"))
    assert victim.get("/get").json() == {"visits": "1", "user": "ann"}
    assert base64.b64decode(after)[36:52] != base64.b64decode(planted)[36:52]
    assert "user" not in Got(server, planted)
    assert Got(server, planted) == ({} if "store" in args else {"visits": "1"})
    assert victim.post("/change", headers={"X-CSRF-Token": token}).status_code == 403


def test_replayed_after_clear(sessions, browse):
    """With a store it is invalid. Without one this can't be known, as docs/sessions.md explains."""
    server = sessions("KEY, store=store")
    client = browse(server)
    value = Value(client.get("/set?user=ann"))
    client.get("/logout")
    assert Got(server, value) == {}
    server = sessions("KEY")
    client = browse(server)
    value = Value(client.get("/set?user=ann"))
    client.get("/logout")
    assert Got(server, value) == {"user": "ann"}


def test_a_request_from_before_the_log_out(sessions, browse):
    """Its session was deleted meanwhile: its changes don't restore it."""
    server = sessions('KEY, store=store)\nmws.Before(lambda client, response: (client.GetSession(), None)[1], "/set"')
    client = browse(server)
    value = Value(client.get("/set?user=ann"))
    with harness.RawClient(server.port) as late:
        late.Send(harness.RequestBytes("GET", "/set?note=1", [("Cookie", "session=" + value)], b"12345")[:-3])
        assert Got(server, value) == {"user": "ann"}
        client.get("/logout")
        assert Got(server, value) == {}
        late.Send(b"345")
        assert late.ReadResponse().status == 200
    assert Got(server, value) == {}


def test_bounded_store(sessions, browse):
    """At most three: the one that expires first is removed, and strangers can't make the store grow."""
    server = sessions("KEY, store=store")
    clients = []
    for number in range(5):
        clients.append(browse(server))
        clients[-1].get("/clock/%d/1" % number)
        clients[-1].get("/set?n=%d" % number)
    assert [client.get("/get").json() for client in clients] == [{}, {}, {"n": "2"}, {"n": "3"}, {"n": "4"}]


def test_many_clients(sessions):
    """Forty clients on four threads, each with its own values, on the engine and on workers."""
    server = sessions("KEY, store=MemoryStore(100)")
    wrong = []

    def Play(thread):
        for number in range(10):
            with httpx.Client(base_url=server.Url(), timeout=harness.DEADLINE_SEC, trust_env=False) as client:
                client.get("/set?me=%d-%d" % (thread, number))
                for count in range(1, 6):
                    got = client.get("/worker").json()
                    if got != {"me": "%d-%d" % (thread, number), "count": count}:
                        wrong.append(got)

    threads = [threading.Thread(target=Play, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_too_long(sessions, browse):
    """A session too large for a cookie gives one clear log line, and the previous values are kept."""
    server = sessions("KEY")
    server.ExpectError("session must have less than 4,000 bytes")
    client = browse(server)
    assert len(Value(client.get("/long/2920"))) <= 4000
    answer = client.get("/long/3000")
    assert answer.status_code == 200 and "set-cookie" not in answer.headers
    server.SeenError("session must have less than 4,000 bytes .* not 40")
    assert len(client.get("/get").json()["long"]) == 2920
    client = browse(sessions("KEY, store=store"))
    client.get("/long/30000")
    assert len(client.get("/get").json()["long"]) == 30000


def test_half_of_the_head(serve, tmp_path):
    """A small server accepts small heads: its cookie must fit into one, or the client would be locked out."""
    (tmp_path / "www").mkdir()
    program = PROGRAM.replace("UseSessions(mws", "mws.MaxRequestHeadLen = 2048\nUseSessions(mws") % (KEY, OLDER, "KEY")
    server = serve(program, args=(tmp_path / "www",))
    server.ExpectError("half of MaxRequestHeadLen")
    assert "set-cookie" in dict(harness.Fetch(server.port, "/long/690").headers)
    assert "set-cookie" not in dict(harness.Fetch(server.port, "/long/760").headers)


def test_what_is_no_json(sessions, browse):
    """A session with a valid signature but invalid JSON (MicroPython writes nan) is empty, not an error."""
    client = browse(sessions("KEY"))
    client.get("/odd")
    assert client.get("/get").json() in ({}, {"odd": 1.5})
    server = sessions("KEY")
    for text in (b"", b"{", b'{"a": nun}', b"\xff"):
        assert Got(server, Signed(Payload({})[:20] + text)) == {}, text
    for size in range(20):
        assert Got(server, Signed(Payload({})[:size])) == {}


def test_bad_arguments(run):
    said = run("""
from microWebSrv import MicroWebSrv
from microWebSession import UseSessions
for key in ("", b"15 bytes of key", [], [b"0123456789abcdef", "short"]):
    try:
        UseSessions(MicroWebSrv(), key)
        print("taken", key)
    except ValueError as error:
        print(error)
""")
    lines = said.splitlines()
    assert len(lines) == 4 and "taken" not in said and lines.count("key must have 16 bytes or more") == 3


def test_tls(serve, tmp_path):
    """Secure, and with a name that only HTTPS can set; on the engine and on workers. It is a different cookie."""
    assert harness.LoadTool("make_certificate").Main(["127.0.0.1", "-o", str(tmp_path / "tls")]) == 0
    server = serve(PROGRAM % (KEY, OLDER, "KEY"), args=(tmp_path / "www", tmp_path / "tls"))
    url = "https://127.0.0.1:%d" % server.port
    verify = ssl.create_default_context(cafile=tmp_path / "tls" / "cert.pem")
    with httpx.Client(base_url=url, timeout=harness.DEADLINE_SEC, trust_env=False, verify=verify) as client:
        answer = client.get("/set?a=1")
        assert re.fullmatch(r"__Host-session=([^;]+); Path=/; SameSite=Lax; Max-Age=28800; HttpOnly; Secure",
                            answer.headers["set-cookie"])
        assert client.get("/get").json() == {"a": "1"} and client.get("/worker").json() == {"a": "1", "count": 1}
        assert client.get("/worker").json() == {"a": "1", "count": 2} and list(client.cookies) == ["__Host-session"]
        assert client.post("/change", headers={"Origin": url}).status_code == 200
        assert client.post("/change", headers={"Origin": url.replace("https:", "http:")}).status_code == 403
        client.cookies.clear()
        assert client.get("/get", headers={"Cookie": "session=" + Signed(Payload({"a": 1}))}).json() == {}


def test_behind_a_trusted_proxy(sessions):
    """The scheme and host that the proxy reports are used."""
    server = sessions("KEY", "from microWebSecurity import TrustProxies\nTrustProxies(mws, '127.0.0.1', host=True)\n")
    said = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "panel.example", "Cookie": "a=b"}
    assert harness.Fetch(server.port, "/set?a=1", headers=said).Header("set-cookie").startswith("__Host-session=")
    assert Post(server, said, Origin="https://panel.example") == 200
    assert Post(server, said, Origin="http://panel.example") == 403
    assert Post(server, said, Origin="https://127.0.0.1:%d" % server.port) == 403
    said["X-Forwarded-Proto"] = "http"
    assert harness.Fetch(server.port, "/set?a=1", headers=said).Header("set-cookie").startswith("session=")


def test_behind_another_proxy(sessions, browse):
    """The program declares that a proxy uses TLS."""
    server = sessions("KEY, isSecure=True")
    answer = browse(server).get("/set?a=1")
    value = re.fullmatch(r"__Host-session=([^;]+); .*Secure", answer.headers["set-cookie"]).group(1)
    assert Got(server, value, "__Host-session") == {"a": "1"}
    assert Got(server, value) == {}
    assert Got(server, Signed(Payload({"a": 1})), "__Host-session") == {}
    assert Got(server, Signed(Payload({"a": 1}), name="__Host-session"), "__Host-session") == {"a": 1}
    host = "127.0.0.1:%d" % server.port
    assert Post(server, Cookie="a=b", Origin="https://" + host) == 200
    assert Post(server, Cookie="a=b", Origin="http://" + host) == 403


def test_behind_a_proxy_that_names_the_port(sessions):
    """nginx with `Host $host:$server_port`. A browser leaves out the port that is its scheme's."""
    server = sessions()
    for origin, host, status in (("https://a.example", "a.example:443", 200), ("http://a.example", "a.example:80", 200),
                                 ("https://a.example:8443", "a.example:8443", 200), ("https://a.example", "a.example:80", 403),
                                 ("http://a.example", "a.example:443", 403), ("https://a.example", "a.example:4430", 403),
                                 ("https://a.example:443", "a.example", 403), ("https://b.example", "a.example:443", 403)):
        assert Post(server, Cookie="a=b", Origin=origin, host=host) == status, (origin, host)
    server = sessions("KEY, isSecure=True")
    assert Post(server, Cookie="a=b", Origin="https://a.example", host="a.example:443") == 200
    assert Post(server, Cookie="a=b", Origin="http://a.example", host="a.example:80") == 403


def test_sessions_of_sockets(sessions, browse):
    server = sessions("KEY")
    with connect("ws://127.0.0.1:%d/ws" % server.port,
                 additional_headers={"Cookie": "session=" + Signed(Payload({"user": "ann"}))},
                 origin="http://127.0.0.1:%d" % server.port) as socket:
        assert json.loads(socket.recv()) == {"user": "ann"}


# --- forgery --------------------------------------------------------------------

def Post(server, headers=(), method="POST", path="/change", body=b"", host=None, **more):
    """The status of a request with these headers."""
    headers = dict(headers)
    headers.update((name.replace("_", "-"), value) for name, value in more.items())
    request = harness.RequestBytes(method, path, list(headers.items()), body, host or "127.0.0.1:%d" % server.port)
    with harness.RawClient(server.port) as client:
        client.Send(request)
        return client.ReadResponse(method).status


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
COOKIE = {"Cookie": "session=" + Signed(Payload({"user": "ann"}, 10 ** 8))}


def test_headers_of_browsers(sessions):
    """Sec-Fetch-Site first, then Origin; with a cookie and without one."""
    server = sessions()
    ours = "http://127.0.0.1:%d" % server.port
    bad = ("http://evil.example", "https://evil.example", "http://127.0.0.1", "http://127.0.0.1:1", "null",
           "http://127.0.0.1:%d.evil.example" % server.port, "http://evil.example/" + ours, "file://", "",
           "ftp://127.0.0.1:%d" % server.port, ours + "/", "127.0.0.1:%d" % server.port, ours + " " + ours)
    for cookie in ({}, COOKIE):
        for method in ("POST", "PUT", "DELETE"):
            assert Post(server, cookie, method, Sec_Fetch_Site="same-origin", Origin=ours) == 200
            assert Post(server, cookie, method, Origin=ours) == 200
            assert Post(server, cookie, method, Sec_Fetch_Site="cross-site", Origin="http://evil.example") == 403
        assert Post(server, cookie, Origin=ours.replace("http:", "https:")) == 200      # behind a proxy with TLS
        assert Post(server, cookie, Sec_Fetch_Site="none") == 200                       # typed in, or a bookmark
        for site in ("cross-site", "same-site", "Same-Origin", "same-origin, cross-site", "?"):
            assert Post(server, cookie, Sec_Fetch_Site=site, Origin=ours) == 403, site
        for origin in bad:
            assert Post(server, cookie, Origin=origin) == 403, origin
        for method in ("GET", "HEAD"):
            assert Post(server, cookie, method, Sec_Fetch_Site="cross-site", Origin="http://evil.example") == 200
        assert Post(server, cookie, "OPTIONS", Origin="http://evil.example") in (200, 204)
    # curl: requests without cookies can't be forged
    assert Post(server) == 200 and Post(server, Authorization="Bearer x") == 200
    assert Post(server, COOKIE) == 403
    assert Post(server, Cookie="other=1") == 403
    server.SeenError(r"CSRF: refused POST '/change' of 127\.0\.0\.1: 'http://evil\.example'")
    server.SeenError("CSRF: refused PUT '/change' of 127.0.0.1: 'cross-site'")
    server.SeenError("CSRF: refused POST '/change' of 127.0.0.1: 'no token'")


def test_nothing_was_changed(sessions, browse):
    """A refused request reaches no handler, whatever its path, method or length; allowed requests do."""
    server = sessions()
    client = browse(server)
    for path in ("/change", "//change", "/%63hange", "/change/", "/nowhere", "/a.txt", "/plain.pyhtml"):
        assert client.post(path, headers={"Origin": "http://evil.example"}, content=b"x" * 1000).status_code == 403, path
        assert Post(server, COOKIE, path=path, body=b"x=1") == 403, path
    assert client.get("/change").json() == 0
    assert Post(server, method="PATCH", path="/change", Origin="http://evil.example") == 403
    assert client.post("/change", content=b"x=1").json()["changes"] == 1


def test_expect_is_not_continued(sessions):
    """The refusal is sent before the content is requested."""
    server = sessions()
    with harness.RawClient(server.port) as client:
        client.Send(b"POST /change HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        answer = client.ReadResponse("POST")
        assert answer.status == 403 and not answer.interim


def test_prefix_and_origins(sessions):
    """Only below the prefix, in any case, since FAT ignores case; known sites may send."""
    server = sessions('KEY, csrf="/change", origins=("https://panel.example",)')
    evil = {"Origin": "http://evil.example"}
    assert Post(server, evil, path="/open/change") == 200
    for path in ("/change", "/CHANGE", "/change/more", "//change", "/%43hange"):
        assert Post(server, evil, path=path) == 403, path
    assert Post(server, evil, path="/x/../change") == 404          # no such path: dots are ordinary names
    assert Post(server, COOKIE, Origin="https://panel.example", Sec_Fetch_Site="cross-site") == 200
    assert Post(server, COOKIE, Origin="https://panel.example.evil.example") == 403
    server = sessions('KEY, origins="https://panel.example.community"')       # a single site as a str
    for origin, status in (("https://panel.example.community", 200), ("https://panel.example.com", 403), ("https://panel.example", 403)):
        assert Post(server, COOKIE, Origin=origin) == status, origin


def test_off(sessions):
    assert Post(sessions("KEY, csrf=None"), COOKIE, Origin="http://evil.example") == 200


def test_tokens(sessions, browse):
    """Without information from the browser, a token is needed: in a header or a field, from this session; each token is
    different."""
    server = sessions()
    client = browse(server)
    client.get("/set?user=ann")
    tokens = [re.search('value="([^"]+)"', client.get("/form.pyhtml").text).group(1) for _ in range(40)]
    assert len(set(tokens)) == 40 and {len(token) for token in tokens} == {64}
    for token in tokens:                # some contain + and /
        assert client.post("/change", headers={"X-CSRF-Token": token}).status_code == 200
        assert client.post("/change", data={"csrf": token, "a": "1"}).json()["a"] == "1"
        assert client.post("/change", data={"a": "1", "csrf": token}).json()["csrf"] == token
    assert client.post("/change", headers={"X-CSRF-Token": tokens[0], "Origin": "null"}).status_code == 200
    assert client.post("/change", headers={"X-CSRF-Token": tokens[0], "Origin": "http://evil.example"}).status_code == 403
    assert client.request("DELETE", "/change", headers={"X-CSRF-Token": tokens[0]}).status_code == 200
    late = re.findall(r"[A-Za-z0-9+/]{64}", client.get("/late.pyhtml").text)        # after the first block of the page
    assert len(late) == 2
    for token in late:
        assert client.post("/change", data={"csrf": token}).status_code == 200
    other = browse(server)
    other.get("/set?user=ben")
    count = client.get("/change").json()
    for wrong in list(Tampered(tokens[0])) + [KEY, "é".encode().decode("latin-1")]:
        if wrong.isascii():
            assert client.post("/change", headers={"X-CSRF-Token": wrong}).status_code == 403, wrong
        assert client.post("/change", data={"csrf": wrong}).status_code == 403, wrong
    assert client.post("/change", data={"xcsrf": tokens[0]}).status_code == 403
    assert client.post("/change", content=b"csrf=\xff\xfe", headers=FORM).status_code == 403
    assert other.post("/change", data={"csrf": tokens[0]}).status_code == 403
    assert client.get("/change").json() == count


def test_async_handlers(serve, browse, tmp_path):
    """They start before the content has arrived: a token in a header counts, one in a field does not. Sessions work the
    same."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "form.pyhtml").write_text(WWW["form.pyhtml"])
    program = PROGRAM.replace("def Change(", "async def Change(").replace("= httpClient.ReadRequestP", "= await httpClient.ReadRequestP")
    program = program.replace("def Set(", "async def Set(").replace("def Worker(", "async def Worker(").replace(", threaded=True", "")
    server = serve(program % (KEY, OLDER, "KEY"), args=(tmp_path / "www",))
    client = browse(server)
    assert client.get("/set?user=ann").json() == client.get("/get").json() == {"user": "ann"}
    assert client.get("/worker").json()["count"] == 1 and client.get("/worker").json()["count"] == 2
    token = re.search('value="([^"]+)"', client.get("/form.pyhtml").text).group(1)
    assert client.post("/change", data={"csrf": token}).status_code == 403
    assert client.post("/change", data={"a": "1"}, headers={"X-CSRF-Token": token}).json() == {"a": "1", "changes": 1}
    assert client.post("/change", data={"a": "1"}, headers={"Origin": str(client.base_url).rstrip("/")}).status_code == 200
    assert client.post("/change", data={"a": "1"}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_tokens_without_a_session(sessions, browse):
    """A page for strangers has a token, too: it is invalid for a client with a session."""
    server = sessions()
    stranger = browse(server, "language=en")
    token = re.search('value="([^"]+)"', stranger.get("/form.pyhtml").text).group(1)
    assert stranger.post("/change", data={"csrf": token}).status_code == 200
    assert stranger.post("/change", data={"csrf": "x"}).status_code == 403
    assert stranger.post("/change", data={"csrf": token}, headers={"Authorization": "Basic YTpi", "Origin": "null"}).status_code == 403
    assert Post(server, COOKIE, X_CSRF_Token=token) == 403
    assert "set-cookie" not in stranger.get("/form.pyhtml").headers


def Opens(server, **headers):
    """True if a WebSocket with these headers is opened."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with connect("ws://127.0.0.1:%d/ws" % server.port, additional_headers=headers) as socket:
            socket.recv()
            return True
    except InvalidStatus as error:
        assert error.response.status_code == 403
        return False


def test_sockets(sessions, browse):
    """From another site: 403, before a WebSocket exists."""
    server = sessions()
    assert Opens(server) and Opens(server, Origin="http://127.0.0.1:%d" % server.port)
    assert not Opens(server, Origin="http://evil.example") and not Opens(server, Origin="null")
    assert not Opens(server, Sec_Fetch_Site="cross-site") and Opens(server, Sec_Fetch_Site="same-origin", **COOKIE)
    assert not Opens(server, **COOKIE)
    assert not Opens(server, Origin="http://evil.example", **COOKIE)
    client = browse(server, COOKIE["Cookie"])
    token = re.search('value="([^"]+)"', client.get("/form.pyhtml").text).group(1)
    assert Opens(server, X_CSRF_Token=token, **COOKIE)


# --- in a browser -----------------------------------------------------------------

@pytest.fixture(scope="module")
def browser():
    """Chromium that resolves every name to this machine: *.test is a network, which it trusts less than localhost."""
    from playwright.sync_api import sync_playwright
    flags = ["--host-resolver-rules=MAP *.test 127.0.0.1", "--disable-background-networking", "--no-first-run", "--disable-gpu"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=harness.FindBrowser(), headless=True, args=flags)
        yield chromium
        chromium.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("host", ["127.0.0.1", "device.test"])
@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
def test_two_origins_in_a_browser(sessions, page, host):
    """Forms, fetch and WebSockets of another host, and of another port of the same host, which gets the cookie too. For
    127.0.0.1 the browser sends Sec-Fetch-Site, for the other name only Origin."""
    server, other = sessions(), sessions()
    ours = "http://%s:%d" % (host, server.port)
    page.goto(ours + "/set?user=ann")
    for evil in ("evil.test", host):
        page.goto("http://%s:%d/evil.html#%s" % (evil, other.port, ours))
        page.wait_for_function("document.title !== 'evil'")
        assert page.title() == "delete-failed fetch-opaque form-answered socket-failed"
    page.goto(ours + "/change")
    assert json.loads(page.inner_text("body")) == 0
    reason = "cross-site" if host == "127.0.0.1" else "http://evil.test:%d" % other.port
    server.SeenError("CSRF: refused POST '/change' of 127.0.0.1: '%s'" % reason)
    server.SeenError("CSRF: refused GET '/ws' of 127.0.0.1: 'http://evil.test:%d'|refused GET '/ws' .* 'cross-site'" % other.port)
    server.SeenError("CSRF: refused POST '/change' of 127.0.0.1: '%s'" % (
        "same-site" if host == "127.0.0.1" else "http://device.test:%d" % other.port))
    for number, name in enumerate(("form", "quiet"), 1):        # a page without Origin needs a token
        page.goto(ours + "/%s.pyhtml" % name)
        page.click("button")
        page.wait_for_url("**/change")
        assert json.loads(page.inner_text("body"))["changes"] == number
    assert page.evaluate("fetch('/change', {method: 'POST', body: 'a=1'}).then((answer) => answer.status)") == 200
    assert page.evaluate("""new Promise((done, failed) => {
        const socket = new WebSocket("ws://" + location.host + "/ws");
        socket.onmessage = (event) => done(event.data);
        socket.onerror = failed;
    })""") == '{"user": "ann"}'
