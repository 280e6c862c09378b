# Sessions and CSRF without a socket, for builds that have none. Prints the number of passed checks.

import binascii

import microWebSession
from microWebSession import MemoryStore, UseSessions, _Mac

HEX = binascii.unhexlify
VECTORS = (                                     # RFC 4231, sections 4.2, 4.3 and 4.8
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 131, b"This is a test using a larger than block-size key and a larger than block-size data. "
     b"The key needs to be hashed before being used by the HMAC algorithm.",
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"))
checks = 0


def Check(isRight, what):
    global checks
    assert isRight, what
    checks += 1


class Clock:
    now = 1893456000                            # 2030: larger than a small int on 32 bits
    year = 2030

    def time(self):
        return self.now

    def gmtime(self):
        return (self.year, 1, 1, 0, 0, 0, 1, 1)


class Object:
    """An object with the given attributes."""

    def __init__(self, **attributes):
        for name in attributes:
            setattr(self, name, attributes[name])


class Lock:
    def __enter__(self):
        pass

    def __exit__(self, *args):
        pass


class Client:
    def __init__(self, server, cookies, method="GET", upgrade=(), content=b"", **fields):
        self.connection = Object(link=Object(isSecure=False))
        self.server = server
        self.cookies = cookies
        self.content = content
        self.head = Object(method=method, target="/", upgrade=upgrade, authority="board.local",
                           fields={name.replace("_", "-"): fields[name] for name in fields})

    def GetServer(self):
        return self.server

    def GetCookies(self):
        return self.cookies

    def GetIPAddr(self):
        return "192.168.4.2"


class Response:
    vars = None
    refused = False

    def __init__(self):
        self.cookie = None

    def SetHeader(self, name, value):
        pass

    def SetCookie(self, name, value, maxAge, path, httpOnly, secure):
        self.cookie = value

    def WriteError(self, code):
        self.refused = code == 403


class Server:
    Client = Client
    NewLock = Lock
    MaxRequestHeadLen = 4096

    def __init__(self, **options):
        self.befores = []
        self.afters = []
        UseSessions(self, "0123456789abcdef", 100, **options)

    def Before(self, hook, prefix="/"):
        self.befores.append(hook)

    def After(self, hook):
        self.afters.append(hook)

    def Log(self, text):
        pass

    def Ask(self, cookies, change=None, **request):
        """-> (session, cookie that is set, True if refused, a token)."""
        client = Client(self, cookies, **request)
        response = Response()
        for hook in self.befores:
            later = hook(client, response)
            if later:
                later(client, response)
        session = client.GetSession()
        if change:
            change(session)
        for hook in self.afters:
            hook(client, response)
        return session.copy(), response.cookie, response.refused, str(response.vars["CSRF"])


clock = microWebSession.time = Clock()
for key, data, mac in VECTORS:
    Check(_Mac(key, data) == HEX(mac), data)


def Fill(session):
    session["user"] = "J\xfcrgen"
    session["list"] = [1, 2.5, None, True, {"a": "b"}]


for options in ({}, {"store": MemoryStore(2)}):
    clock.now = 1893456000
    server = Server(**options)
    Check(server.Ask({})[:3] == ({}, None, False), "a stranger has nothing")
    value = server.Ask({}, Fill)[1]
    cookies = {"session": value}
    values = server.Ask(cookies)[0]
    Check(values == {"user": "J\xfcrgen", "list": [1, 2.5, None, True, {"a": "b"}]}, values)
    Check(server.Ask(cookies)[1] is None, "nothing was changed")
    Check(server.Ask(cookies, lambda session: session["list"].append(3))[1], "it was changed in depth")
    for at in range(0, len(value), 5):
        forged = value[:at] + ("B" if value[at] == "A" else "A") + value[at + 1:]
        Check(server.Ask({"session": forged})[0] == {}, at)
    clock.now += 60
    Check(server.Ask(cookies)[1], "half of its time is over")
    clock.now += 41
    Check(server.Ask(cookies)[0] == {}, "it has ended")
    clock.year = 2000
    Check(server.Ask({"session": server.Ask({}, Fill)[1]})[0]["user"] == "J\xfcrgen", "without a clock")
    clock.year = 2030

server = Server()
cookies = {"session": server.Ask({}, Fill)[1]}
token = server.Ask(cookies)[3]
Check(token != server.Ask(cookies)[3], "two tokens")
for isRefused, request in (
        (False, {}), (True, {"cookie": "x"}), (True, {"origin": "http://evil.example"}), (False, {"origin": "http://board.local"}),
        (True, {"sec_fetch_site": "cross-site", "origin": "http://board.local"}), (False, {"sec_fetch_site": "same-origin"}),
        (False, {"cookie": "x", "x_csrf_token": token}), (True, {"cookie": "x", "x_csrf_token": token[:-4]}),
        (False, {"cookie": "x", "content": b"a=1&csrf=" + token.replace("+", "%2B").replace("/", "%2F").encode() + b"&b=2"})):
    Check(server.Ask(cookies, method="POST", **request)[2] == isRefused, request)
Check(server.Ask(cookies, upgrade=("websocket",), origin="http://evil.example")[2], "a WebSocket")
print(checks, "checks")
