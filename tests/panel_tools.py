"""The control panel as a process with a console, and a client that keeps cookies like a browser."""

import json
import re
import shutil
import socket
from urllib.parse import urlencode

import harness
from microWebAuth import HashPassword

PANEL = harness.ROOT / "examples" / "control_panel"
SECRET = b"TOP SECRET"
EVE = "<img src=x onerror=alert(1)>\"'&"             # a name that an attacker may choose
PASSWORDS = {"ann": "correct horse battery", "ben": "staple \u20ac & more", EVE: "an evil name"}
FORM = ("Content-Type", "application/x-www-form-urlencoded")
HANDSHAKE = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
             ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]

# Runs main.py unchanged, on a given port. Each line of stdin is run on the server's thread, with the names of main.py.
DRIVER = """
import _thread
import sys
import time

import ready

__import__("microWebSrv")
import microWebAuth
import microWebSession

MicroWebSrv = sys.modules["microWebSrv"].MicroWebSrv


class Clock:
    "The clock of the sessions, which a test can move."

    shift = 0

    def time(self):
        return time.time() + self.shift

    def gmtime(self):
        return time.gmtime()


def CountedCheck(*args):
    checked.append(1)
    return checkPassword(*args)


def Construct(self, *args, **kwargs):
    construct(self, *args, **kwargs)
    scope["server"] = self


def Console():
    for line in sys.stdin:
        scope["server"].CallSoon(Run, line)
    scope["server"].Stop()


def Run(line):
    exec(line, scope)
    print("DONE")


checked = []
checkPassword, microWebAuth.CheckPassword = microWebAuth.CheckPassword, CountedCheck
construct, MicroWebSrv.__init__ = MicroWebSrv.__init__, Construct
microWebSession.time = Clock()
ready.Announce(MicroWebSrv)
program = sys.argv[0] = sys.argv.pop()
scope = {"__name__": "__main__", "__file__": program, "clock": microWebSession.time, "checked": checked}
sys.argv[1] = str(ready._ports.pop(0))
_thread.start_new_thread(Console, ())
with open(program) as file:
    code = file.read()
exec(compile(code, program, "exec"), scope)
"""


def Prepare(folder):
    """Install the panel in a folder, with users whose hashes are fast, and with files below the prefix."""
    if not (folder / "panel").exists():
        shutil.copytree(PANEL, folder / "panel")
        users = {name: HashPassword(password, 50) for name, password in PASSWORDS.items()}
        (folder / "panel.json").write_text(json.dumps({"users": users, "name": "Greenhouse", "limit": 60}))
        for spelling in ("admin", "ADMIN", "admin."):       # several names imitate FAT on a case-sensitive disk
            (folder / "panel" / "www" / spelling).mkdir()
            (folder / "panel" / "www" / spelling / "secret.txt").write_bytes(SECRET)
            (folder / "panel" / "www" / spelling / "secret.pyhtml").write_bytes(SECRET + b" {{ 1 + 1 }}")
    return folder / "panel" / "main.py"


def Tell(server, line):
    server.Tell(line)
    server.WaitLine("^DONE$")


def Said(server, expression):
    """The value of an expression, evaluated with the names of main.py."""
    server.Tell("print('SAID', json.dumps(%s))" % expression)
    return json.loads(server.WaitLine(r"^SAID (.*)\nDONE$").group(1))


class From(harness.RawClient):
    """A client with any loopback address."""

    def __init__(self, port, source):
        self.socket = socket.create_connection(("127.0.0.1", port), harness.DEADLINE_SEC, (source, 0))
        self._reader = harness.ResponseReader(self.Receive)


class Browser:
    """Keeps cookies, and sends Origin and Sec-Fetch-Site like a browser."""

    def __init__(self, server, source="127.0.0.1"):
        self.server, self.source, self.cookies, self.seen = server, source, {}, []

    def Headers(self, headers=(), site="same-origin", mode="navigate", cookie=None):
        headers = [*headers]
        if site:
            headers += [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode)]
        cookie = cookie if cookie is not None else "; ".join("%s=%s" % pair for pair in self.cookies.items())
        return [*headers, ("Cookie", cookie)] if cookie else headers

    def Ask(self, path, method="GET", body=b"", headers=(), host="localhost", **kwargs):
        headers = self.Headers([*headers, FORM] if body else headers, **kwargs)
        with From(self.server.port, self.source) as client:
            client.Send(harness.RequestBytes(method, path, [*headers, ("Connection", "close")], body, host))
            answer = client.ReadResponse(method)
        for line in answer.Headers("Set-Cookie"):
            name, _, rest = line.partition("=")
            value, _, attributes = rest.partition(";")
            assert "HttpOnly" in attributes and "SameSite=Lax" in attributes and "Path=/;" in attributes + ";"
            self.cookies.pop(name, None) if "Max-Age=0" in attributes else self.cookies.update({name: value})
        self.seen.append(answer)
        return answer

    def Post(self, path, headers=(), site="same-origin", cookie=None, **fields):
        return self.Ask(path, "POST", urlencode(fields).encode() or b"=", headers, site=site, cookie=cookie)

    def LogIn(self, name="ann", password=None, path="/login", **kwargs):
        return self.Post(path, name=name, password=PASSWORDS.get(name) if password is None else password, **kwargs)

    def IsIn(self, **kwargs):
        """True if the cookie opens the panel. Page, form and WebSocket must agree."""
        answers = [self.Ask("/admin/", **kwargs), self.Ask("/admin/secret.txt", **kwargs)]
        posted = self.Post("/admin/settings", name="", limit="", **kwargs).status
        with self.Socket(**kwargs) as opened:
            isIn = isinstance(opened, Socket)
        assert [answer.status for answer in answers] == ([200, 200] if isIn else [302, 302]), answers
        assert posted == (302 if isIn else 401)
        assert isIn or all(SECRET not in answer.body and b"Greenhouse" not in answer.body for answer in answers)
        return isIn

    def Token(self):
        return re.search('name="csrf" value="([^"]+)"', self.Ask("/admin/").text).group(1)

    def Socket(self, headers=(), **kwargs):
        """An open WebSocket, or the response that refused it."""
        client = From(self.server.port, self.source)
        client.Send(harness.RequestBytes("GET", "/admin/live", self.Headers([*HANDSHAKE, *headers], **kwargs)))
        head = client.ReadUntil(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 101 "):
            return Socket(client)
        client.Close()
        return Refusal(int(head[9:12]))


class Refusal:
    def __init__(self, status):
        self.status = status

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass


class Socket(Refusal):
    def __init__(self, client):
        self.status, self.client = 101, client

    def Send(self, text):
        self.client.Send(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text.encode())

    def Next(self):
        """The next message, parsed as JSON; or the code of a Close frame."""
        kind, size = self.client.ReadExactly(2)
        if size == 126:
            size = int.from_bytes(self.client.ReadExactly(2), "big")
        data = self.client.ReadExactly(size)
        return json.loads(data) if kind == 0x81 else int.from_bytes(data[:2], "big")

    def Wait(self, condition):
        """Read messages until one satisfies the condition."""
        while True:
            message = self.Next()
            if condition(message):
                return message

    def WaitClose(self):
        return self.Wait(lambda message: isinstance(message, int))

    def __exit__(self, *args):
        self.client.Close()
