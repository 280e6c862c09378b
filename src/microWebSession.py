# Sessions for MicroWebSrv: copy this file beside microWebSrv.py. httpClient.GetSession() is a dict for each browser, in
# a signed cookie or in a store. What another site makes a browser send is refused (CSRF). MIT license, see LICENSE.
#
#    1  SIGNING   HMAC-SHA-256
#    2  SESSIONS  a dict that is saved with the answer, and where it is kept
#    3  SERVER    who may change something, and plugging in

import json
import os
import sys
import time
from binascii import a2b_base64, b2a_base64
from hashlib import sha256

_MICROPYTHON = sys.implementation.name == "micropython"


# ==============================================================================
# 1  SIGNING
# ==============================================================================

def _Mac(key, data):
    """HMAC-SHA-256 (RFC 2104) -> 32 bytes. In integers: on a board a loop over the bytes takes longer than SHA-256."""
    if len(key) > 64:
        key = sha256(key).digest()
    number = int.from_bytes(key + bytes(64 - len(key)), "big")
    for pad in (b"6", b"\\"):
        data = sha256((number ^ int.from_bytes(pad * 64, "big")).to_bytes(64, "big") + data).digest()
    return data


if _MICROPYTHON:
    def _IsEqual(a, b):
        """In a time that does not depend on where they differ."""
        difference = len(a) ^ len(b)
        for x, y in zip(a, b):
            difference |= x ^ y
        return not difference
else:
    from hmac import compare_digest as _IsEqual


# ==============================================================================
# 2  SESSIONS
# ==============================================================================

class Session(dict):
    """The values of one client, of what JSON can hold. What was changed is saved with the answer."""

    _id = _old = None                           # its identity, and the one under which it came
    _end = _text = None                         # as it came: when it ends, its JSON

    def Renew(self):
        """A new identity with the same values, at log-in and log-out: nobody else knows it."""
        self._id = os.urandom(16)

    def Clear(self):
        """Forget all, at log-out."""
        self.clear()
        self.Renew()


class MemoryStore:
    """At most maxSessions, then the one that ends first gives way. No two calls come at the same time."""

    def __init__(self, maxSessions=100):
        self._maxSessions = maxSessions
        self._sessions = {}                     # id: (when it ends, text)

    def Get(self, id):
        """The text of a session; None if there is none."""
        end, text = self._sessions.get(id, (0, None))
        return text if end > time.time() else None

    def Set(self, id, text, maxAgeSec):
        sessions = self._sessions
        self.Delete(id)
        if len(sessions) >= self._maxSessions:
            del sessions[min(sessions, key=sessions.get)]
        sessions[id] = (time.time() + maxAgeSec, text)

    def Delete(self, id):
        self._sessions.pop(id, None)


# ==============================================================================
# 3  SERVER
# ==============================================================================

class _Token:
    """{{ CSRF }} of a template, made where a page has it. No two are equal: compression tells nothing (BREACH)."""

    def __init__(self, client):
        self._client = client

    def __html__(self):
        sessions = self._client.GetServer().sessions
        return sessions._Sign(sessions._Bound(self._client, True)[1], os.urandom(16))

    __str__ = __html__


class UseSessions:
    """GetSession() of every request of a server, and the check of what changes something at or below the path `csrf`.

    key: 16 bytes or more, or a list of keys, of which the first signs; None: another one at each start. store: None for
    the cookie itself. csrf: None for no check. origins: sites that may send. isSecure: a proxy before us has TLS."""

    def __init__(self, mws, key=None, maxAgeSec=28800, store=None, name="session", csrf="/", origins=(),
                 isSecure=False):
        keys = key if isinstance(key, (list, tuple)) else (os.urandom(32) if key is None else key,)
        if min(map(len, keys)) < 16:            # of none at all it is a ValueError, too
            raise ValueError("key must have 16 bytes or more")
        self._keys = [key.encode() if isinstance(key, str) else key for key in keys]
        self._server = mws
        self._maxAgeSec = maxAgeSec
        self._store = store
        self._name = name
        self._origins = (origins,) if isinstance(origins, str) else origins
        self._isSecure = isSecure
        self._boot = os.urandom(8)
        self._lock = mws.NewLock()
        mws.sessions = self
        mws.Client.GetSession = _GetSession
        if csrf:
            mws.Before(self._Check, csrf)
        mws.After(self._Save)

    def _Bound(self, client, isToken=False):
        """The name of the cookie, and what is signed with all data: the name, the identity that a token belongs to, and
        without a clock this run of the board."""
        bound = b"s"
        if isToken:
            session = client.GetSession()
            bound = b"t" + (session._id if session else bytes(16))
        name = self._name
        if self._isSecure or getattr(client, "IsSecure", bool)():      # of microWebTls or microWebSecurity
            name = "__Host-" + name
        return name, bound + name.encode() + (bytes(8) if time.gmtime()[0] > 2023 else self._boot)

    def _Sign(self, bound, data):
        """-> text of A-Z a-z 0-9 + / ="""
        return b2a_base64(_Mac(self._keys[0], bound + data) + data)[:-1].decode()

    def _Verify(self, bound, text):
        """What was signed, or a ValueError."""
        signed = a2b_base64(text)
        for key in self._keys:
            if _IsEqual(_Mac(key, bound + signed[32:]), signed[:32]):
                return signed[32:]
        raise ValueError

    def _Save(self, client, response):
        """Before the head of an answer: what was changed, or has had half of its time."""
        session = getattr(client, "session", None)
        if session is None:
            return
        response.SetHeader("Vary", "Cookie")
        old = session._old
        now = int(time.time())
        maxAgeSec = self._maxAgeSec
        if old is None and not session or old == session._id and session._end - now > maxAgeSec // 2 \
                and json.loads(session._text) == session:
            return
        store = self._store
        name, bound = self._Bound(client)
        text = json.dumps(session).encode()
        value = self._Sign(bound, (now + maxAgeSec).to_bytes(4, "big") + session._id + (b"" if store else text))
        if len(value) > min(4000, self._server.MaxRequestHeadLen // 2):
            raise ValueError("session must have less than 4,000 bytes and half of MaxRequestHeadLen as a cookie,"
                             " or be in a store, not %s" % len(value))
        if store:
            with self._lock:
                if old:
                    if store.Get(old) is None:  # it has ended meanwhile, by a log-out
                        return
                    store.Delete(old)
                if session:
                    store.Set(session._id, text, maxAgeSec)
        if not session:
            value = ""
            maxAgeSec = 0
        response.SetCookie(name, value, maxAgeSec, "/", True, name != self._name)

    # In the order of OWASP's cheat sheet: what the browser says (Sec-Fetch-Site, to HTTPS and localhost only; else
    # Origin). Where it says nothing, a token; and who brings no cookie was not sent by a browser of ours.

    def _Check(self, client, response):
        response.vars = dict(response.vars or (), CSRF=_Token(client))
        head = client.head
        fields = head.fields
        origin = fields.get("origin", "null")
        site = fields.get("sec-fetch-site")
        if head.method in ("GET", "HEAD", "OPTIONS") and "websocket" not in head.upgrade \
                or origin in self._origins or site in ("same-origin", "none"):
            return
        if not site and origin == "null":
            return self._CheckToken if "cookie" in fields or "origin" in fields else None
        isSecure = self._Bound(client)[0] != self._name     # else a proxy may be before us
        host = "://" + (getattr(client, "host", None) or head.authority)      # of a trusted proxy (microWebSecurity)
        # A browser leaves out the port that is the scheme's own; a proxy may have added it to the host.
        pages = origin, origin + (":443" if origin[:6] == "https:" else ":80")
        if site or "https" + host not in pages and (isSecure or "http" + host not in pages):
            self._Refuse(client, response, site or origin)

    def _CheckToken(self, client, response):
        """When the content has come."""
        try:
            token = client.head.fields.get("x-csrf-token") or (b"&" + client.content).partition(b"&csrf=")[2] \
                .partition(b"&")[0].replace(b"%2B", b"+").replace(b"%2F", b"/")
            # A stranger's token is good for all strangers, but not for a password that a browser sends by itself.
            if "authorization" in client.head.fields and not client.GetSession():
                raise ValueError
            self._Verify(self._Bound(client, True)[1], token)
        except ValueError:
            self._Refuse(client, response, "no token")

    def _Refuse(self, client, response, reason):
        head = client.head
        self._server.Log("CSRF: refused %s %r of %s: %r" % (head.method, head.target, client.GetIPAddr(), reason))
        response.WriteError(403)


def _GetSession(client):
    """The session of this request; an empty one for a cookie that is not good."""
    session = getattr(client, "session", None)
    if session is not None:
        return session
    sessions = client.GetServer().sessions
    client.session = session = Session()
    session.Renew()
    name, bound = sessions._Bound(client)
    try:
        data = sessions._Verify(bound, client.GetCookies().get(name, ""))
        session._end = int.from_bytes(data[:4], "big")
        if session._end > time.time():
            text = data[20:]
            if sessions._store:
                with sessions._lock:
                    text = sessions._store.Get(data[4:20]) or ""
            session.update(json.loads(text))
            session._text = text
            session._id = session._old = data[4:20]
    except ValueError:                          # that it is no JSON is one too
        pass
    return session


def Attach(server):
    """Called by a server when it is made; nothing is on until the program calls UseSessions."""
