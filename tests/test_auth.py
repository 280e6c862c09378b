"""microWebAuth, microWebDigest, microWebLogin: who may see protected paths, and what attackers can try."""

import base64
import hashlib
import json
import re
import shutil
import socket
import subprocess
import threading

import pytest

import harness

SECRET = b"TOP SECRET"
PASSWORD = "p\u00e4ss:w\u00f6rt \u20ac"

PROGRAM = """
import sys
import microWebAuth
from microWebAuth import HashPassword, Protect
from microWebSrv import MicroWebSrv
from ready import Port

users = {"admin": HashPassword("PASSWORD", 3), "b\u00f6b": HashPassword("b", 3)}
nested = {"admin": users["admin"]}
asked = []


def Check(name, password):
    asked.append(name)
    return {"open": True, "alias": "Alias", "one": 1, "empty": "", "none": None}.get(password)


async def Promise(name, password):
    return True


@MicroWebSrv.route("/admin/who")
@MicroWebSrv.route("/admin/who", "POST")
@MicroWebSrv.route("/admin/who", "DELETE")
@MicroWebSrv.route("/admin/who", "PURGE")
@MicroWebSrv.route("/admin/deep/who")
@MicroWebSrv.route("/admin/deep/deeper/who")
@MicroWebSrv.route("/admin/thread", threaded=True)
@MicroWebSrv.route("/check/who")
@MicroWebSrv.route("/promise/who")
@MicroWebSrv.route("/tokens/who")
@MicroWebSrv.route("/free")
def Who(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "TOP SECRET of %s" % httpClient.GetUser())


@MicroWebSrv.webSocketRoute("/admin/socket")
def Socket(webSocket, httpClient):
    webSocket.SendText("TOP SECRET of %s" % httpClient.GetUser())


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
Protect(mws, "/admin", users)
Protect(mws, "/admin/deep", nested)
Protect(mws, "/admin/deep/deeper", {}, realm="Nobody")
Protect(mws, "/check", Check, realm="Checked")
Protect(mws, "/promise", Promise)
Protect(mws, "/tokens", {"robot": HashPassword("tok-1", 1), "other": HashPassword("tok-2", 1)}, "bearer", "T")
mws.Start()


def Skip(seconds):
    mws.now += seconds
    print("DONE")


for line in sys.stdin:
    exec(line)
    if "CallSoon" not in line:
        print("DONE")
mws.Stop()
""".replace("PASSWORD", PASSWORD)


@pytest.fixture
def www(tmp_path):
    """Files below www. Several spellings of each file imitate FAT on a case-sensitive disk."""
    for folder in ("admin", "ADMIN", "Admin", "admin.", "admin ", "admin/deep"):
        (tmp_path / "www" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "www" / folder / "secret.txt").write_bytes(SECRET)
        (tmp_path / "www" / folder / "index.html").write_bytes(SECRET)
    (tmp_path / "www" / "public").mkdir()
    (tmp_path / "www" / "public" / "a.txt").write_text("public")
    return tmp_path / "www"


class From(harness.RawClient):
    """A client with another loopback address."""

    def __init__(self, port, source, timeoutSec=harness.DEADLINE_SEC):
        self.socket = socket.create_connection(("127.0.0.1", port), timeoutSec, (source, 0))
        self._reader = harness.ResponseReader(self.Receive)


def Ask(server, path, authorization=None, source=None, method="GET", headers=(), body=b""):
    pairs = [*headers, ("Connection", "close")]
    if authorization:
        pairs.append(("Authorization", authorization))
    with From(server.port, source) if source else harness.RawClient(server.port) as client:
        client.Send(harness.RequestBytes(method, path, pairs, body))
        return client.ReadResponse(method)


def Basic(name, password):
    return "Basic " + base64.b64encode(("%s:%s" % (name, password)).encode()).decode()


def Tell(server, line):
    server.Tell(line)
    server.WaitLine("^DONE$")


def Skip(server, seconds):
    """Move the server's clock forward, on the server's thread, which also increments it."""
    Tell(server, "mws.CallSoon(Skip, %d)" % seconds)


# ------------------------------------------------------------------------------------------------------ passwords

VECTORS = [     # RFC 7914 section 11, the first 32 bytes; and the password "password" of RFC 6070 with SHA-256
    ("passwd", b"salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
    ("Password", b"NaCl", 80000, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"),
    ("password", b"salt", 1, "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b"),
    ("password", b"salt", 2, "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43"),
    ("password", b"salt", 4096, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"),
    ("passwordPASSWORDpassword", b"saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096,
     "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1"),
]


def Record(password, salt, count, digest=None):
    digest = bytes.fromhex(digest) if digest else hashlib.pbkdf2_hmac("sha256", password.encode(), salt, count)
    return "pbkdf2$%d$%s$%s" % (count, base64.b64encode(salt).decode(), base64.b64encode(digest).decode())


@pytest.mark.parametrize("own", [True, False], ids=["own", "hashlib"])
def test_pbkdf2_vectors(run, runtime, own):
    """The published vectors; and keys and salts with lengths around a block, compared with CPython."""
    records = [(password, Record(password, salt, count, digest)) for password, salt, count, digest in VECTORS]
    for size in (1, 2, 31, 32, 55, 56, 63, 64, 65, 66, 127, 128, 129, 200):
        for saltSize, count in ((1, 1), (16, 2), (60, 3), (64, 7)):
            records.append(("k" * size, Record("k" * size, bytes(range(saltSize)), count)))
    records.append((PASSWORD, Record(PASSWORD, bytes(16), 5)))
    said = run("""
import json
import sys
import microWebAuth
if "own" in sys.argv and sys.implementation.name != "micropython":
    microWebAuth._MICROPYTHON = True
for password, record in json.loads(sys.stdin.readline()):
    if microWebAuth.CheckPassword(password, record) is not True:
        print("WRONG", password, record)
    if microWebAuth.CheckPassword(password + "x", record) is not False:
        print("TOO EASY", password, record)
for password in ("p", "x" * 64, "x" * 65, "\u00e4\u20ac"):
    print(json.dumps([password, microWebAuth.HashPassword(password, 3)]))
""", args=["own"] if own else [], stdin=json.dumps(records) + "\n", timeoutSec=60)
    made = [json.loads(line) for line in said.splitlines()]
    assert [password for password, _ in made] == ["p", "x" * 64, "x" * 65, "\u00e4\u20ac"]
    for password, record in made:
        kind, count, salt, digest = record.split("$")
        assert (kind, count) == ("pbkdf2", "3") and len(base64.b64decode(salt)) == 16
        assert record == Record(password, base64.b64decode(salt), 3, base64.b64decode(digest).hex())
        assert hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), 3) == base64.b64decode(digest)


def test_hashes(run):
    """The iterations are measured; hashes of the same password differ; an invalid password or number is named in the
    error."""
    said = run("""
from microWebAuth import HashPassword, CheckPassword
measured = HashPassword("secret")
print(measured)
print(HashPassword("secret", 2) == HashPassword("secret", 2), CheckPassword("secret", measured), CheckPassword("Secret", measured))
for args in (("",), (b"x",), (None,), ("a\\nb",), ("a\\x00",), ("x", 0), ("x", -1), ("x", 1.5), ("x", "9")):
    try:
        print("TAKEN", args, HashPassword(*args))
    except ValueError as error:
        print(str(error)[:11])
for record in ("", "secret", "pbkdf2$x$AA==$AA=="):
    try:
        print("TAKEN", record, CheckPassword("x", record))
    except ValueError:
        print("no hash")
""", timeoutSec=60)
    lines = said.splitlines()
    assert int(lines[0].split("$")[1]) > 500
    assert lines[1] == "False True False"
    assert [line.split()[0] for line in lines[2:]] == ["password"] * 5 + ["iterations"] * 4 + ["no"] * 3


def test_a_right_password_is_remembered(run):
    """A limited number, for a limited time, only together with its hash. Wrong passwords are not remembered."""
    said = run("""
import time
import microWebAuth
from microWebAuth import CheckPassword, HashPassword

hashes = 0
slow = microWebAuth._Pbkdf2

def Counted(password, salt, count):
    global hashes
    hashes += count > 1
    return slow(password, salt, count)

microWebAuth._Pbkdf2 = Counted
now = time.time()

class Clock:
    def time():
        return now

microWebAuth.time = Clock
records = [HashPassword("pw%d" % i, 2) for i in range(9)]

def Cost(password, record):
    global hashes
    hashes = 0
    return CheckPassword(password, record), hashes

print(Cost("pw0", records[0]), Cost("pw0", records[0]), Cost("pw0", records[0]))
print(Cost("no", records[0]), Cost("no", records[0]))
print(Cost("pw0", records[1]), Cost("pw0", HashPassword("pw0", 2)))
now += 299
print(Cost("pw0", records[0]))
now += 2
print(Cost("pw0", records[0]), Cost("pw0", records[0]))
for i in range(1, 9):
    Cost("pw%d" % i, records[i])
print(Cost("pw8", records[8]), Cost("pw1", records[1]), Cost("pw0", records[0]))
now -= 1000
print(Cost("pw8", records[8]))
""", modulePath=(harness.SRC,))
    assert said.splitlines() == [
        "(True, 1) (True, 0) (True, 0)", "(False, 1) (False, 1)", "(False, 1) (True, 1)", "(True, 0)", "(True, 1) (True, 0)",
        "(True, 0) (True, 0) (True, 1)", "(True, 1)"]


# ----------------------------------------------------------------------------------------------------- Basic, Bearer

def test_basic(serve, www):
    server = serve(PROGRAM)
    nobody = Ask(server, "/admin/who")
    assert nobody.status == 401 and SECRET not in nobody.body
    assert nobody.Header("WWW-Authenticate") == 'Basic realm="Restricted", charset="UTF-8"'
    for scheme in ("Basic ", "basic ", "BASIC   "):
        good = Ask(server, "/admin/who", Basic("admin", PASSWORD).replace("Basic ", scheme))
        assert (good.status, good.text) == (200, "TOP SECRET of admin")
        assert good.Header("WWW-Authenticate") is None
    assert Ask(server, "/admin/secret.txt", Basic("admin", PASSWORD)).body == SECRET
    assert Ask(server, "/admin/who", Basic("b\u00f6b", "b")).text == "TOP SECRET of b\u00f6b"
    assert Ask(server, "/admin/thread", Basic("b\u00f6b", "b")).text == "TOP SECRET of b\u00f6b"
    assert Ask(server, "/admin/who", Basic("admin", PASSWORD), method="POST", body=b"x").text == "TOP SECRET of admin"
    assert Ask(server, "/free", Basic("admin", PASSWORD)).text == "TOP SECRET of None"
    assert Ask(server, "/admin/none", Basic("admin", PASSWORD)).status == 404
    assert Ask(server, "/admin/none").status == 401


BAD_BASIC = [
    Basic("admin", PASSWORD + "x"), Basic("admin", PASSWORD[:-1]), Basic("admin", ""), Basic("admin", "b"),
    Basic("nobody", PASSWORD), Basic("nobody", "x"), Basic("", ""), Basic("", PASSWORD), Basic("ADMIN", PASSWORD),
    Basic("admin ", PASSWORD), Basic("admin\r\nX: y", PASSWORD), Basic("admin\x00", PASSWORD), Basic("admin", PASSWORD + "\n"),
    "Basic", "Basic ", "Basic =", "Basic ====", "Basic YQ", "Basic :", "Basic \u00e4", "Basic " + "A" * 700,
    "Basic " + base64.b64encode(b"admin").decode(),
    "Basic " + base64.b64encode(("admin:" + PASSWORD).encode("cp1252")).decode(),
    "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
    Basic("admin", PASSWORD).rstrip("=") + "!",
    Basic("admin", PASSWORD).replace("Basic ", "Basic *"),
    Basic("admin", PASSWORD) + ", " + Basic("b\u00f6b", "b"),
    Basic("admin", PASSWORD) + " x",
]


def test_bad_basic(serve, www):
    """Each request comes from another address and gets 401 with a challenge; the server continues."""
    server = serve(PROGRAM)
    for number, bad in enumerate(BAD_BASIC):
        refused = Ask(server, "/admin/who", bad, "127.0.1.%d" % (number + 1))
        assert refused.status == 401 and SECRET not in refused.body, bad
        assert refused.Header("WWW-Authenticate").startswith("Basic "), bad
    doubled = Ask(server, "/admin/who", Basic("admin", PASSWORD), headers=[("Authorization", Basic("b\u00f6b", "b"))])
    assert doubled.status == 401
    for other in ("Bearer tok-1", "Digest username=admin", "Negotiate x", "x", Basic("admin", PASSWORD)[6:]):
        assert Ask(server, "/admin/who", other).status == 401, other
    assert Ask(server, "/admin/who", Basic("admin", PASSWORD)).status == 200


def test_users_by_function(serve, www):
    """True or a name is accepted. Other true values are not: 1, or the coroutine of an async function."""
    server = serve(PROGRAM)
    assert Ask(server, "/check/who", Basic("anna", "open")).text == "TOP SECRET of anna"
    assert Ask(server, "/check/who", Basic("anna", "alias")).text == "TOP SECRET of Alias"
    assert Ask(server, "/check/who").Header("WWW-Authenticate") == 'Basic realm="Checked", charset="UTF-8"'
    for name, password in (("anna", "one"), ("anna", "empty"), ("anna", "none"), ("", "open"), ("a\r\nX: y", "open"), ("a\x00", "open")):
        assert Ask(server, "/check/who", Basic(name, password)).status == 401
    server.Tell("print('ASKED', sorted(set(asked)))")
    assert server.WaitLine(r"^ASKED (.*)\nDONE$").group(1) == "['', 'anna']"
    if server.runtime != "micropython":
        server.ExpectError("never awaited")
        server.ExpectError("Enable tracemalloc")
    assert Ask(server, "/promise/who", Basic("anna", "open"), "127.0.0.9").status == 401


def test_changed_users_count_at_once(serve, www):
    server = serve(PROGRAM)
    assert Ask(server, "/admin/who", Basic("admin", PASSWORD)).status == 200
    Tell(server, "users['admin'] = HashPassword('new', 3)")
    assert Ask(server, "/admin/who", Basic("admin", PASSWORD)).status == 401
    assert Ask(server, "/admin/who", Basic("admin", "new")).status == 200
    Tell(server, "del users['admin']")
    assert Ask(server, "/admin/who", Basic("admin", "new")).status == 401


def test_bearer(serve, www):
    server = serve(PROGRAM)
    assert Ask(server, "/tokens/who").Header("WWW-Authenticate") == 'Bearer realm="T"'
    assert Ask(server, "/tokens/who", "Bearer tok-1").text == "TOP SECRET of robot"
    assert Ask(server, "/tokens/who", "bearer tok-2").text == "TOP SECRET of other"
    for number, bad in enumerate(("Bearer", "Bearer ", "Bearer tok", "Bearer tok-1x", "Bearer tok-1, Bearer tok-2", Basic("robot", "tok-1"))):
        assert Ask(server, "/tokens/who", bad, "127.0.1.%d" % (number + 1)).status == 401, bad


def test_each_of_nested_prefixes_must_hold(serve, www):
    server = serve(PROGRAM)
    assert Ask(server, "/admin/deep/who", Basic("admin", PASSWORD)).status == 200
    assert Ask(server, "/admin/deep/secret.txt", Basic("admin", PASSWORD)).body == SECRET
    assert Ask(server, "/admin/deep/secret.txt", Basic("b\u00f6b", "b")).status == 401
    nobody = Ask(server, "/admin/deep/deeper/who", Basic("admin", PASSWORD))
    assert nobody.status == 401 and 'realm="Nobody"' in nobody.Header("WWW-Authenticate")


# ----------------------------------------------------------------------------------------------- path tricks

HANDSHAKE = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
             ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]


def test_websockets_are_refused_before_the_101(serve, www):
    server = serve(PROGRAM)
    for authorization, status in ((None, 401), (Basic("admin", "no"), 401), (Basic("admin", PASSWORD), 101)):
        headers = HANDSHAKE + ([("Authorization", authorization)] if authorization else [])
        with harness.RawClient(server.port) as client:
            client.Send(harness.RequestBytes("GET", "/admin/socket", headers))
            answer = client.ReadResponse(upgrade="websocket")
            assert answer.status == status
            if status == 401:
                assert answer.Header("WWW-Authenticate").startswith("Basic ") and SECRET not in answer.body
            else:
                assert client.ReadExactly(21) == b"\x81\x13TOP SECRET of admin"


TRICKS = [
    "/admin", "/admin/", "/admin/secret.txt", "/admin/who", "/admin/who/", "/admin?", "/admin/who?x=/public", "/admin/?/public/a.txt",
    "//admin/secret.txt", "///admin//who", "/admin//secret.txt", "//admin//secret.txt",
    "/%61dmin/secret.txt", "/%61%64%6d%69%6E/who", "/admin/%77ho", "/%2561dmin/secret.txt",
    "/admin/../admin/secret.txt", "/public/../admin/secret.txt", "/public/%2e%2e/admin/secret.txt", "/public/..%2fadmin/secret.txt",
    "/./admin/secret.txt", "/%2e/admin/secret.txt", "/admin/./secret.txt", "/admin/x/../secret.txt", "/public/..;/admin/secret.txt",
    "/ADMIN/secret.txt", "/Admin/secret.txt", "/aDmIn/who", "/%41DMIN/secret.txt",
    "/admin./secret.txt", "/admin%20/secret.txt", "/admin%2e/secret.txt", "/admin%2E%20/secret.txt", "/admin/secret.txt.",
    "/admin/secret.txt%20", "/ADMIN~1/secret.txt", "/admin::$DATA/secret.txt",
    "/admin%2fsecret.txt", "/admin%2Fsecret.txt", "/%2fadmin/secret.txt", "/%2Fadmin%2Fsecret.txt", "/admin%5csecret.txt",
    "/admin\\secret.txt", "\\admin\\secret.txt", "/admin%00/secret.txt", "/admin/secret.txt%00",
    "/admin;x/secret.txt", "/admin;/secret.txt", "/admin/;x", "/;x/admin/secret.txt", "/admin%3bx/secret.txt",
    "http://localhost/admin/secret.txt", "http://localhost//admin/secret.txt", "HTTP://localhost/%61dmin/who", "http://x/admin",
    "http://localhost", "http:/admin/secret.txt", "admin/secret.txt", "*", "/admin/secret.txt#x", "/#/../admin/secret.txt",
    "/adm\u0131n/secret.txt", "/\uff41dmin/secret.txt", "/adm%c4%b1n/secret.txt", "/%c0%afadmin/secret.txt",
    "/admin/index.html", "/admin/index", "/admin/%69ndex.html", "/admin/deep/../secret.txt", "/public/a.txt/../../admin/secret.txt",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE", "get", "X-Y", "CONNECT", "PRI"]
WITHIN = {"/admin", "/admin/", "/admin/secret.txt", "/admin/who", "//admin/secret.txt", "/%61dmin/secret.txt", "/ADMIN/secret.txt",
          "/aDmIn/who", "http://localhost/admin/secret.txt", "///admin//who", "/admin/./secret.txt", "/admin/../admin/secret.txt",
          "HTTP://localhost/%61dmin/who", "/admin/secret.txt.", "/admin/secret.txt%20"}


def test_path_tricks(serve, www):
    """No spelling of a protected path shows its content, with any method. Paths at or below the prefix get 401."""
    server = serve(PROGRAM)
    assert harness.Fetch(server.port, "/public/a.txt").text == "public"
    for path in TRICKS:
        for method in METHODS if path in WITHIN else ("GET", "HEAD", "POST"):
            data = harness.RawExchange(server.port, harness.RequestBytes(method, path, [("Connection", "close")]))
            assert data.startswith(b"HTTP/1.1 4") or data.startswith(b"HTTP/1.1 501"), (method, path, data)
            assert SECRET not in data and b"txt" not in data.partition(b"\r\n\r\n")[0], (method, path, data)
            if path in WITHIN and method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE", "PUT", "PURGE"):
                assert data.startswith(b"HTTP/1.1 401"), (method, path, data)


@pytest.mark.parametrize("headers", [
    [("Range", "bytes=0-3")], [("Range", "bytes=-4")], [("If-None-Match", "*")], [("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")],
    [("If-Match", "*")], [("Accept-Encoding", "gzip")], [("Expect", "100-continue"), ("Content-Length", "5")], [("Upgrade", "h2c"), ("Connection", "Upgrade")],
    [("Upgrade", "websocket"), ("Connection", "Upgrade")], [("X-Original-URL", "/public/a.txt")], [("X-HTTP-Method-Override", "GET")],
    [("Transfer-Encoding", "chunked")], [("Host", "x")], [("Authorization", "")], [("Proxy-Authorization", Basic("admin", PASSWORD))],
], ids=lambda headers: headers[0][0] + " " + headers[0][1][:10])
def test_headers_open_nothing(serve, www, headers):
    server = serve(PROGRAM)
    for path in ("/admin/secret.txt", "/admin/who"):
        data = harness.RawExchange(server.port, harness.RequestBytes("GET", path, [*headers, ("Connection", "close")]) + b"0\r\n\r\n")
        assert re.match(b"HTTP/1.1 4(01|00) ", data) and SECRET not in data and b"100 Continue" not in data, data
        assert b"etag" not in data.lower() and b"last-modified" not in data.lower()
    assert b"public" in harness.Fetch(server.port, "/public/a.txt").body


@pytest.mark.parametrize("path", ["/%2fadmin%2fsecret.txt", "/files/admin%2fsecret.txt", "/files/admin%2Fsecret.txt", "/files%2fadmin/secret.txt"])
def test_an_encoded_slash_in_an_argument(serve, www, path):
    """The argument of a route may contain an encoded slash, so the handler could show a protected path."""
    server = serve(PROGRAM.replace("mws.Start()", """
def Show(httpClient, httpResponse, args):
    httpResponse.WriteResponseFile("www/" + args["path"].replace("files/", ""))

mws.AddRoute("/<path>", "GET", Show)
mws.AddRoute("/files/<path>", "GET", Show)
mws.AddRoute("/<path>/secret.txt", "GET", lambda c, r, args: r.WriteResponseFile("www/" + args["path"].replace("files/", "") + "/secret.txt"))
Protect(mws, "/files/admin", users)
mws.Start()
""", 1))
    assert SECRET not in harness.RawExchange(server.port, harness.RequestBytes("GET", path, [("Connection", "close")]))


def test_old_versions_of_http(serve, www):
    server = serve(PROGRAM)
    for request in (b"GET /admin/secret.txt HTTP/1.0\r\n\r\n", b"GET /admin/secret.txt\r\n\r\n", b"GET /admin/secret.txt HTTP/0.9\r\n\r\n"):
        data = harness.RawExchange(server.port, request)
        assert data.startswith(b"HTTP/1.1 4") or data.startswith(b"HTTP/1.1 505"), data
        assert SECRET not in data


def test_error_pages_of_the_program(serve, www):
    server = serve(PROGRAM)
    Tell(server, "mws.SetErrorHandler(401, lambda c, r, code: r.WriteResponseJSONOk({'code': code}))")
    page = Ask(server, "/admin/who")
    assert (page.status, page.Json()) == (401, {"code": 401}) and page.Header("WWW-Authenticate").startswith("Basic ")


def test_wrong_arguments(run):
    said = run("""
from microWebSrv import MicroWebSrv
from microWebAuth import HashPassword, Protect

mws = MicroWebSrv()
good = HashPassword("x", 1)
for args in (
    ("admin", {"a": good}), ("", {}), ("/b\u00fcro", {}), ("/x", {"a": "plain"}), ("/x", {"a": None}), ("/x", {"a": "pbkdf2$x$y$z"}),
    ("/x", {"a:b": good}), ("/x", {"": good}), ("/x", {"a\\nb": good}), ("/x", {1: good}), ("/x", {}, "ntlm"), ("/x", {}, "Basic"),
    ("/x", {}, "basic", ""), ("/x", {}, "basic", 'a"b'), ("/x", {}, "basic", "a\\r\\nX: y"), ("/x", {}, "basic", None),
    ("/x", {"a": good}, "digest"), ("/x", lambda name, password: True, "digest"),
):
    try:
        Protect(mws, *args)
        print("TAKEN", args)
    except ValueError as error:
        print(str(error).split()[0])
for users in (None, 7, "name"):
    try:
        Protect(mws, "/x", users)
        print("TAKEN", users)
    except (TypeError, ValueError) as error:
        print(str(error).split()[0])
""")
    assert said.split() == ["prefix"] * 3 + ["users"] * 7 + ["scheme"] * 2 + ["realm"] * 4 + ["users"] * 2 + ["users"] * 3


# ----------------------------------------------------------------------------------------------- guessing

def test_who_guesses_waits(serve, www):
    """Five wrong passwords are free. Then an address has to wait 1, 2, 4 … seconds and is refused without a check.
    Other addresses are not affected."""
    server = serve(PROGRAM)
    for _ in range(6):
        assert Ask(server, "/check/who", Basic("anna", "no")).status == 401
    for expected in (1, 2, 4, 8, 16, 32, 64, 128, 256, 256):
        for password in ("no", "open"):
            waits = Ask(server, "/check/who", Basic("anna", password))
            assert waits.status == 429 and waits.Header("WWW-Authenticate") is None
            assert expected - 3 <= int(waits.Header("Retry-After")) <= expected
        assert Ask(server, "/check/who", Basic("anna", "open"), "127.0.0.2").status == 200
        assert Ask(server, "/check/who").status == 401
        Skip(server, expected)
        assert Ask(server, "/check/who", Basic("anna", "no")).status == 401
    server.Tell("print('ASKED', len(asked))")
    assert server.WaitLine(r"^ASKED (\d+)\nDONE$").group(1) == "26"
    Skip(server, 256)
    for _ in range(3):                      # success clears no failures, because the guesser may also have an account
        assert Ask(server, "/check/who", Basic("anna", "open")).status == 200
    assert Ask(server, "/check/who", Basic("anna", "no")).status == 401
    waits = Ask(server, "/check/who", Basic("anna", "open"))
    assert waits.status == 429 and int(waits.Header("Retry-After")) > 250
    Skip(server, 256 + 1802)
    for _ in range(6):                      # only time clears them
        assert Ask(server, "/check/who", Basic("anna", "no")).status == 401


def test_a_thousand_guesses_lock_out_nobody_else(serve, www):
    server = serve(PROGRAM)
    statuses = []

    def Guess():
        with harness.RawClient(server.port) as client:
            for number in range(1000):
                client.Send(harness.RequestBytes("GET", "/check/who", [("Authorization", Basic("anna", "guess %d" % number))]))
                statuses.append(client.ReadResponse().status)

    thread = threading.Thread(target=Guess)
    thread.start()
    honest = [Ask(server, "/check/who", Basic("anna", "open"), "127.0.0.2").status for _ in range(20)]
    thread.join()
    assert honest == [200] * 20
    assert len(statuses) == 1000 and set(statuses) == {401, 429}
    assert statuses.count(401) < 20         # the waits double, and the test's clock is not fast


def test_addresses_are_bounded(run):
    """32 addresses are remembered, then the oldest is removed; all of an IPv6 /64 counts as one address."""
    said = run("""
from microWebSrv import MicroWebSrv
import microWebAuth

mws = MicroWebSrv()

class Client:
    def __init__(self, address):
        self.address = address

    def GetIPAddr(self):
        return self.address

def Fails(address, times=1, name=None):
    for _ in range(times):
        said = mws.tries.Ask(Client(address), lambda: name)
    return said

print(Fails("10.0.0.1", 7), Fails("10.0.0.2"))
for i in range(30):
    Fails("10.1.0.%d" % i, 6)
print(Fails("10.0.0.1"), Fails("10.1.0.0"))
Fails("10.2.0.1")
print(Fails("10.0.0.1"), Fails("10.1.0.0"), Fails("10.1.0.29"))
print(Fails("2001:db8:1:2:3:4:5:6", 6), Fails("2001:db8:1:2::1"), Fails("2001:db8:1:2:ffff::"), Fails("2001:db8:1:3::1"))
print(Fails("fe80::1", 6), Fails("fe80::abcd:1:2:3"), Fails("fe80::1:0:0:0:3"), Fails("fe80:0:0:1::3"))
print(Fails("::1", 6), Fails("::2"), Fails("::ffff:10.3.0.1"), Fails("::ffff:10.3.0.2"))
print(Fails("10.4.0.1", 6), Fails("10.4.0.1", 1, "anna"))
mws.now += 1
print(Fails("10.4.0.1", 1, ""), Fails("10.4.0.1"), Fails("10.4.0.1"))
mws.now += 2
print(Fails("10.4.0.1", 1, "anna"), Fails("10.4.0.1"), Fails("10.4.0.1"))
def Both():
    heard.append(Fails("10.5.0.1")[1])
    return "anna"
Fails("10.5.0.1")
heard = []
for _ in range(4):
    mws.tries.Ask(Client("10.5.0.1"), Both)
print(heard, Fails("10.5.0.1"), Fails("10.5.0.1"))
""")
    assert said.splitlines() == [
        "(None, 1) (None, 0)", "(None, 1) (None, 1)", "(None, 0) (None, 1) (None, 1)",
        "(None, 0) (None, 1) (None, 1) (None, 0)", "(None, 0) (None, 1) (None, 0) (None, 0)", "(None, 0) (None, 1) (None, 0) (None, 0)",
        "(None, 0) (None, 1)", "('', 0) (None, 0) (None, 2)", "('anna', 0) (None, 0) (None, 4)",
        "[0, 0, 1, 1] (None, 0) (None, 1)"]


# ------------------------------------------------------------------------------------------------------------- Digest

DIGEST = """
import sys
from microWebAuth import Protect
from microWebDigest import DigestHash
from microWebSrv import MicroWebSrv
from ready import Port

users = {name: DigestHash(name, "A realm", password) for name, password in (
    ("admin", "PASSWORD"), ("b\u00f6b \\\\\\"x", "b"), ("bob", "b"))}


@MicroWebSrv.route("/d/<name>")
@MicroWebSrv.route("/d/<name>", "POST")
@MicroWebSrv.route("/two/<name>")
def Who(httpClient, httpResponse, args):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "TOP SECRET of %s" % httpClient.GetUser())


@MicroWebSrv.webSocketRoute("/d/socket/of")
def Socket(webSocket, httpClient):
    webSocket.SendText("TOP SECRET of %s" % httpClient.GetUser())


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
Protect(mws, "/d", users, scheme="digest", realm="A realm")
Protect(mws, "/two", users, scheme="digest", realm="A realm")
mws.Start()


def Skip(seconds):
    mws.now += seconds
    print("DONE")


for line in sys.stdin:
    exec(line)
    if "CallSoon" not in line:
        print("DONE")
mws.Stop()
""".replace("PASSWORD", PASSWORD)


def Sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def NonceOf(response):
    assert response.status == 401
    found = re.fullmatch('Digest realm="A realm", qop="auth", algorithm=SHA-256, charset=UTF-8, nonce="([0-9a-f]+-[0-9a-f]{24})"(, stale=true)?',
                         response.Header("WWW-Authenticate"))
    assert found, response.headers
    return found.group(1), bool(found.group(2))


def Digest(nonce, path, name="admin", password=PASSWORD, method="GET", count=1, **changes):
    """The fields of a correct response to a challenge, with changes; the proof is computed with the changed values."""
    got = {"username": name, "realm": "A realm", "nonce": nonce, "uri": path, "qop": "auth", "nc": "%08x" % count,
           "cnonce": "c\u00f6nonce", "algorithm": "SHA-256"}
    got.update(changes)
    got.setdefault("response", Sha(":".join((Sha("%s:%s:%s" % (name, got["realm"], password)), nonce, got["nc"], got["cnonce"] or "",
                                             "auth", Sha("%s:%s" % (method, got["uri"]))))))
    tokens = ("nc", "qop", "algorithm")
    return "Digest " + ", ".join("%s=%s" % (key, value if key in tokens else '"%s"' % re.sub(r'([\\"])', r"\\\1", value))
                                 for key, value in got.items() if value is not None)


def test_digest(serve, www):
    server = serve(DIGEST)
    nonce, isStale = NonceOf(Ask(server, "/d/who"))
    assert not isStale
    assert Ask(server, "/d/who", Digest(nonce, "/d/who")).text == "TOP SECRET of admin"
    assert Ask(server, "/d/who?a=1&b=%20", Digest(nonce, "/d/who?a=1&b=%20", count=2)).status == 200
    assert Ask(server, "/d/who", Digest(nonce, "/d/who", method="POST", count=3), method="POST", body=b"x").status == 200
    assert Ask(server, "http://localhost/d/who", Digest(nonce, "/d/who", count=4)).status == 200
    assert Ask(server, "http://localhost/d/who", Digest(nonce, "http://localhost/d/who", count=5)).status == 200
    assert Ask(server, "/d/who", Digest(nonce, "/d/who", 'b\u00f6b \\"x', "b", count=6)).text == 'TOP SECRET of b\u00f6b \\"x'
    assert Ask(server, "/two/who", Digest(nonce, "/two/who", count=7)).status == 200     # same realm, same nonce
    odd = Digest(nonce, "/d/who", count=8).replace(", ", " ,,\t, ").replace("=", " =\t") + " , "
    assert Ask(server, "/d/who", odd).status == 200
    assert Ask(server, "/d/who", Digest(nonce, "/d/who", count=9).replace("qop=auth", 'QOP="a\\uth"')).status == 200
    assert Ask(server, "/d/secret.txt", Digest(nonce, "/d/secret.txt", count=10)).text == "TOP SECRET of admin"
    with harness.RawClient(server.port) as client:
        client.Send(harness.RequestBytes("GET", "/d/socket/of", [*HANDSHAKE, ("Authorization", Digest(nonce, "/d/socket/of", count=11))]))
        assert client.ReadResponse(upgrade="websocket").status == 101


def test_bad_digest(serve, www):
    """All are refused as a wrong password, none with stale=true; the server continues."""
    server = serve(DIGEST)
    nonce, _ = NonceOf(Ask(server, "/d/who"))
    good = Digest(nonce, "/d/who")
    bad = [
        Digest(nonce, "/d/who", password="no"), Digest(nonce, "/d/who", "nobody", ""), Digest(nonce, "/d/who", ""),
        Digest(nonce, "/d/who", method="POST"), Digest(nonce, "/d/other"), Digest(nonce, "/two/who"), Digest(nonce, "/d/who?"),
        Digest(nonce, "/D/who"), Digest(nonce, "/d/who", realm="Another"), Digest(nonce, "/d/who", qop="auth-int"),
        Digest(nonce, "/d/who", qop=None), Digest(nonce, "/d/who", algorithm="MD5"), Digest(nonce, "/d/who", algorithm=None),
        Digest(nonce, "/d/who", algorithm="SHA-256-sess"), Digest(nonce, "/d/who", nc="xyz"), Digest(nonce, "/d/who", nc=""),
        Digest(nonce, "/d/who", response=""), Digest(nonce, "/d/who", response="0" * 64), Digest(nonce, "/d/who", cnonce=None),
        Digest(nonce, "/d/who", response=Sha(":%s:00000001:c\u00f6nonce:auth:%s" % (nonce, Sha("GET:/d/who"))), username="nobody"),
        good.replace("nc=00000001", "nc=00000002"), good.replace(nonce, nonce[:-1]), good + ', username="bob"', good + ", nc=00000001",
        good[:-1] + '"x', good.replace('"A realm"', '"A realm" x'), good.replace("Digest ", "Digest \""), "Digest", "Digest ,", "Digest =",
        "Digest username", 'Digest username="', 'Digest username="admin\\', "Digest username=admin", "Digest \u00e4=\u00f6, " + '"' * 99,
        "Digest " + "a=b," * 500, "Digest " + "a" * 900, 'Digest a="' + "\\" * 801, "Digest ==,==", Basic("admin", PASSWORD),
    ]
    for number, header in enumerate(bad):
        assert NonceOf(Ask(server, "/d/who", header, "127.0.1.%d" % (number + 1)))[1] is False, header
    for number, header in enumerate(bad[:-1]):
        for _ in range(5):
            Ask(server, "/d/who", header, "127.0.1.%d" % (number + 1)) if number > len(bad) - 6 else None
    assert Ask(server, "/d/who", bad[-2], "127.0.1.%d" % (len(bad) - 1)).status == 429
    assert Ask(server, "/d/who", good).status == 200


def test_no_digest_counts_twice(serve, www):
    """A replayed request is stale. Requests may arrive out of order. A nonce ends when it is too old, or when too many
    others are in use."""
    server = serve(DIGEST)

    def Try(nonce, count, path="/d/who", **kwargs):
        answer = Ask(server, path, Digest(nonce, path, count=count, **kwargs))
        return answer.status == 200 or NonceOf(answer)[1] and "stale"

    nonce, _ = NonceOf(Ask(server, "/d/who"))
    assert [Try(nonce, count) for count in (1, 1, 2, 5, 4, 3, 4, 5, 1, 2, 3, 6)] == [
        True, "stale", True, True, True, True, "stale", "stale", "stale", "stale", "stale", True]
    assert [Try(nonce, count) for count in (40, 40, 17, 16, 6, 39, 18, 17, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFF0, 0)] == [
        True, "stale", True, "stale", "stale", True, True, "stale", True, "stale", True, "stale"]
    fresh, isStale = NonceOf(Ask(server, "/d/who", Digest(nonce, "/d/who", count=1)))
    assert isStale and fresh != nonce and Try(fresh, 1) is True
    for foreign in (nonce[:-1] + ("0" if nonce[-1] != "0" else "1"), "0-" + nonce.partition("-")[2], "1" + nonce, nonce + "0", "", "x", "-",
                    "ffffff-" + "0" * 24, nonce.upper()):
        assert Try(foreign, 1) == ("stale" if re.match("[0-9a-f]+-", foreign, re.I) else False), foreign
    assert Ask(server, "/d/who", Digest(fresh, "/d/who", count=2)).status == 200
    Skip(server, 300)
    assert Try(fresh, 3) is True
    Skip(server, 2)
    assert Try(fresh, 4) == "stale" and Try(fresh, 4, password="no") is False
    nonces = [NonceOf(Ask(server, "/d/who"))[0] for _ in range(20)]
    assert len(set(nonces)) == 20
    assert [Try(nonce, 1) for nonce in nonces[2:]] == [True] * 18
    assert [Try(nonce, 2) for nonce in nonces[2:4]] == ["stale"] * 2, "they were forgotten"
    assert [Try(nonce, 1) for nonce in nonces[:2]] == ["stale"] * 2, "older than one that was forgotten"
    assert [Try(nonce, 2) for nonce in nonces[4:]] == [True] * 16


def test_nonces_of_before_a_restart(serve, www, tmp_path):
    first = serve(DIGEST)
    nonce, _ = NonceOf(Ask(first, "/d/who"))
    second = serve(DIGEST)
    assert NonceOf(Ask(second, "/d/who", Digest(nonce, "/d/who")))[1] is True
    assert NonceOf(Ask(second, "/d/who", Digest(nonce, "/d/who", password="no")))[1] is False


def Curl(*args):
    return subprocess.run([shutil.which("curl"), "-sS", "--max-time", "15", "-w", "\n%{http_code} %{num_connects}", *args],
                          capture_output=True, text=True, encoding="utf-8", timeout=30).stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_curl(serve, www):
    server = serve(DIGEST)
    url = server.Url("/d/who?x=1")
    assert Curl("--digest", "-u", "admin:" + PASSWORD, url) == "TOP SECRET of admin\n200 1"
    assert Curl("--digest", "-u", "bob:b", url, url, url).count("TOP SECRET of bob\n200") == 3
    assert Curl("--digest", "-u", "bob:b", "-d", "a=b", url).endswith("200 1")
    assert Curl("--digest", "-u", "bob:b", "-I", url).endswith("204 1") or Curl("--digest", "-u", "bob:b", "-I", url).endswith("200 1")
    assert Curl("--anyauth", "-u", "bob:b", url).endswith("200 1")
    assert "401" in Curl("--digest", "-u", "bob:no", url)
    basic = serve(PROGRAM)
    assert Curl("-u", "admin:" + PASSWORD, basic.Url("/admin/who")) == "TOP SECRET of admin\n200 1"
    assert Curl("-H", "Authorization: Bearer tok-1", basic.Url("/tokens/who")) == "TOP SECRET of robot\n200 1"


# ------------------------------------------------------------------------------------------------------------ the form

FORM = """
import sys
from microWebAuth import HashPassword, Protect
from microWebSession import UseSessions
from microWebSrv import MicroWebSrv
from ready import Port

users = {"admin": HashPassword("PASSWORD", 3), "bob": HashPassword("b", 3)}
others = {"admin": HashPassword("other", 3)}


def Check(name, password):
    return password == "open"


@MicroWebSrv.route("/admin/who")
@MicroWebSrv.route("/admin/who", "POST")
@MicroWebSrv.route("/also/who")
@MicroWebSrv.route("/others/who")
@MicroWebSrv.route("/check/who")
@MicroWebSrv.route("/free")
def Who(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "TOP SECRET of %s" % httpClient.GetUser())


@MicroWebSrv.webSocketRoute("/admin/socket")
def Socket(webSocket, httpClient):
    webSocket.SendText("TOP SECRET of %s" % httpClient.GetUser())


def Page(httpClient, httpResponse, code, text):
    httpResponse.WriteResponse(code, {"X-Page": "mine"}, "text/plain", "UTF-8", "%d: %s" % (code, text))


mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www")
try:
    Protect(mws, "/x", users, scheme="form")
except ValueError as error:
    print("EARLY", error)
UseSessions(mws, "a key of sixteen bytes and more")
Protect(mws, "/admin", users, scheme="form", realm="Panel")
Protect(mws, "/also", users, scheme="form")
Protect(mws, "/others", others, scheme="form", loginPath="/others/login", logoutPath="/others/logout")
Protect(mws, "/check", Check, scheme="form", loginPath="/enter", logoutPath="/leave", page=Page)
mws.Start()


def Skip(seconds):
    mws.now += seconds
    print("DONE")


for line in sys.stdin:
    exec(line)
    if "CallSoon" not in line:
        print("DONE")
mws.Stop()
""".replace("PASSWORD", PASSWORD)

FORM_TYPE = ("Content-Type", "application/x-www-form-urlencoded")


class Browser:
    """Keeps cookies, and sends Origin and Sec-Fetch-Site like a browser."""

    def __init__(self, server, source="127.0.0.1"):
        self.server, self.source, self.cookies = server, source, {}

    def Ask(self, path, method="GET", headers=(), body=b"", site="same-origin", mode="navigate"):
        headers = [*headers, ("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode)]
        if self.cookies:
            headers.append(("Cookie", "; ".join("%s=%s" % pair for pair in self.cookies.items())))
        answer = Ask(self.server, path, None, self.source, method, headers, body)
        for cookie in answer.Headers("Set-Cookie"):
            name, _, rest = cookie.partition("=")
            value, _, attributes = rest.partition(";")
            assert "HttpOnly" in attributes and "SameSite=Lax" in attributes
            self.cookies[name] = value
        return answer

    def LogIn(self, name, password, path="/login", **kwargs):
        return self.Ask(path, "POST", [FORM_TYPE], Form(name=name, password=password), **kwargs)


def Form(**fields):
    from urllib.parse import urlencode
    return urlencode(fields).encode()


def test_form(serve, www):
    server = serve(FORM)
    assert "scheme" in server.Seen("^EARLY (.*)$").group(1)
    tab = Browser(server)
    away = tab.Ask("/admin/who?a=1&b=%20+#")
    assert away.status == 400 or SECRET not in away.body
    away = tab.Ask("/admin/who?a=1&b=%20+c")
    assert (away.status, away.Header("Location")) == (302, "/login?next=/admin/who?a=1%26b=%2520%2Bc") and SECRET not in away.body
    page = tab.Ask(away.Header("Location"))
    assert page.status == 200 and 'type="password"' in page.text and 'name="name"' in page.text and 'role="alert"><p>' in page.text
    wrong = tab.LogIn("admin", "no", away.Header("Location"))
    assert wrong.status == 401 and "Wrong name or password." in wrong.text and wrong.Header("WWW-Authenticate") == 'Cookie realm="Panel"'
    before = dict(tab.cookies)
    inside = tab.LogIn("admin", PASSWORD, away.Header("Location"))
    assert (inside.status, inside.Header("Location")) == (302, "/admin/who?a=1&b=%20+c")
    assert tab.cookies != before
    assert tab.Ask("/admin/who").text == "TOP SECRET of admin"
    assert tab.Ask("/admin/secret.txt").body == SECRET
    assert tab.Ask("/also/who").text == "TOP SECRET of admin"            # same form
    assert tab.Ask("/free").text == "TOP SECRET of None"
    assert tab.Ask("/others/who").status == 302                          # the same name in another set of users
    with harness.RawClient(server.port) as client:
        client.Send(harness.RequestBytes("GET", "/admin/socket", [
            *HANDSHAKE, ("Cookie", "session=" + tab.cookies["session"]), ("Sec-Fetch-Site", "same-origin")]))
        assert client.ReadResponse(upgrade="websocket").status == 101
    old = tab.cookies["session"]
    assert tab.LogIn("admin", PASSWORD).status == 302 and tab.cookies["session"] != old, "fixation: the identity is another one"
    old = tab.cookies["session"]
    out = tab.Ask("/logout", "POST")
    assert (out.status, out.Header("Location")) == (302, "/login")
    assert tab.cookies["session"] != old
    assert tab.Ask("/admin/who").status == 302


def test_form_refuses(serve, www):
    """Requests that are no navigation get 401; a WebSocket gets it before the 101; forms of other sites are refused."""
    server = serve(FORM)
    tab = Browser(server)
    for path in ("/admin/who", "/admin/secret.txt", "/admin/none"):
        assert tab.Ask(path, mode="cors").status == 401
        assert tab.Ask(path, "HEAD").status == 401
        assert tab.Ask(path, "POST", [FORM_TYPE], b"a=b").status == 401
        assert tab.Ask(path, "OPTIONS").Header("WWW-Authenticate") == 'Cookie realm="Panel"'
    for headers in (HANDSHAKE, [*HANDSHAKE, ("Cookie", "session=x")]):
        with harness.RawClient(server.port) as client:
            client.Send(harness.RequestBytes("GET", "/admin/socket", headers))
            assert client.ReadResponse().status == 401
    assert tab.LogIn("admin", PASSWORD, site="cross-site").status == 403
    assert tab.Ask("/admin/who").status == 302
    assert tab.Ask("/login", "PUT").status == 405


@pytest.mark.parametrize("next, target", [
    ("/admin/who", "/admin/who"), ("//evil.example", "/"), ("/\\evil.example", "/"), ("\\\\evil.example", "/"), ("http://evil.example", "/"),
    ("evil", "/"), ("", "/"), ("/", "/"), ("/\t/evil.example", "/"), ("/a\r\nSet-Cookie: a=b", "/"), ("javascript:alert(1)", "/"), ("/\x00", "/"),
    ("/%2f/evil.example", "/%2f/evil.example"), ("/\u00fc", "/%C3%BC")])
def test_where_the_form_leads_to(serve, www, next, target):
    server = serve(FORM)
    tab = Browser(server)
    inside = tab.LogIn("bob", "b", "/login?" + Form(next=next).decode())
    assert (inside.status, inside.Header("Location")) == (302, target) and len(inside.Headers("Set-Cookie")) == 1


def test_form_ends_with_the_password(serve, www):
    server = serve(FORM)
    first, second = Browser(server), Browser(server)
    for tab in (first, second):
        assert tab.LogIn("bob", "b").status == 302
    Tell(server, "users['bob'] = HashPassword('c', 3)")
    assert first.Ask("/admin/who").status == 302 and second.Ask("/admin/who").status == 302
    assert first.LogIn("bob", "b").status == 401
    assert first.LogIn("bob", "c").status == 302
    assert first.Ask("/admin/who").text == "TOP SECRET of bob"
    Tell(server, "del users['bob']")
    assert first.Ask("/admin/who").status == 302
    assert first.LogIn("bob", "c").status == 401


def test_form_of_the_program(serve, www):
    server = serve(FORM)
    tab = Browser(server)
    page = tab.Ask("/enter")
    assert (page.status, page.text, page.Header("X-Page")) == (200, "200: ", "mine")
    page = tab.LogIn("anna", "no", "/enter")
    assert (page.status, page.text) == (401, "401: Wrong name or password.")
    assert tab.LogIn("anna\r\nX: y", "open", "/enter").status == 401
    assert tab.LogIn("anna", "open", "/enter").status == 302
    assert tab.Ask("/check/who").text == "TOP SECRET of anna"
    assert tab.Ask("/admin/who").status == 302
    for _ in range(4):
        assert tab.LogIn("anna", "no", "/enter").status == 401
    page = tab.LogIn("anna", "open", "/enter")
    assert page.status == 429 and re.match(r"429: Too many tries. Wait for [12] seconds?\.", page.text) and page.Header("Retry-After") in "12"
    assert tab.Ask("/check/who").text == "TOP SECRET of anna"            # a logged-in user stays logged in
    assert Browser(server, "127.0.0.2").LogIn("anna", "open", "/enter").status == 302
    Skip(server, 2)
    assert tab.LogIn("anna", "open", "/enter").status == 302


def test_the_path_of_the_form_is_open_for_the_form_alone(serve, www):
    """A WebSocket at the path of the form would need no login."""
    server = serve(FORM.replace('"/admin"', '"/"').replace("mws.Start()", """
mws.AcceptWebSocketCallback = lambda webSocket, httpClient: None
mws.Start()
"""))
    assert harness.Fetch(server.port, "/login").status == 200
    assert harness.Fetch(server.port, "/login", headers=HANDSHAKE).status == 401


def test_everything_behind_a_form(serve, www):
    """The prefix may be "/": only the form itself can be reached."""
    server = serve(FORM.replace('Protect(mws, "/also"', 'Protect(mws, "/"'))
    tab = Browser(server)
    assert tab.Ask("/login").status == 200
    for path in ("/", "/free", "/public/a.txt", "/login/", "/LOGIN", "/login/x", "/logout", "/enter"):
        assert tab.Ask(path).status in (302, 401), path
    assert tab.Ask("//login").status == 200
    assert tab.LogIn("bob", "b").status == 302
    assert tab.Ask("/public/a.txt").text == "public"


def test_the_hash_of_a_form_holds_nobody(serve, www):
    """A worker computes the hash: another client is answered before the one that sent the password."""
    server = serve(FORM)
    Tell(server, "count = int(HashPassword('x').split('$')[1]); users['bob'] = HashPassword('b', count * 8)")
    with harness.RawClient(server.port) as slow:
        slow.Send(harness.RequestBytes("POST", "/login", [FORM_TYPE], Form(name="bob", password="b")))
        assert Ask(server, "/free").status == 200
        slow.socket.settimeout(0.001)
        with pytest.raises(socket.timeout):
            slow.Receive()
        slow.socket.settimeout(60)
        assert slow.ReadResponse().status == 302


def test_guesses_at_the_same_time_count_each(serve, www):
    """The form is processed by workers. All parallel guesses count; after a wait only one is checked, not one for each
    worker."""
    server = serve(FORM.replace('    return password == "open"\n', """
    import time
    print("ASKED")
    while not gate:
        time.sleep(0.005)
    return password == "open"

gate = []
"""))

    def Guess(count, password="no"):
        clients = [harness.RawClient(server.port) for _ in range(count)]
        for client in clients:
            client.Send(harness.RequestBytes("POST", "/enter", [FORM_TYPE], Form(name="anna", password=password)))
        return clients

    def Answers(clients):
        statuses = [client.ReadResponse().status for client in clients]
        for client in clients:
            client.Close()
        return sorted(statuses)

    clients = Guess(8)
    for _ in clients:
        server.WaitLine("^ASKED$")
    Tell(server, "gate.append(1)")
    assert Answers(clients) == [401] * 8
    assert Answers(Guess(1, "open")) == [429]
    Tell(server, "gate.clear()")
    Skip(server, 4)
    first = Guess(1)
    server.WaitLine("^ASKED$")
    assert Answers(Guess(3, "open")) == [429] * 3
    Tell(server, "gate.append(1)")
    assert Answers(first) == [401]
    Skip(server, 8)
    assert Answers(Guess(1, "open")) == [302] and Answers(Guess(1)) == [401]
