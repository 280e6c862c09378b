# Sessions for MicroWebSrv. Copy this file beside microWebSrv.py. httpClient.GetSession() is a dict for each browser,
# kept in a signed cookie or in a store. Requests that another site makes a browser send (CSRF) are refused.
# MIT license, see LICENSE.
#
#    1  SIGNING   HMAC-SHA-256
#    2  SESSIONS  the dict of a client, and the store in memory
#    3  SERVER    cookies, the check against CSRF, Attach

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
    """HMAC-SHA-256 (RFC 2104) -> 32 bytes. Big integers, because a loop over the bytes takes longer than SHA-256 on a
    board."""
    if len(key) > 64:
        key = sha256(key).digest()
    number = int.from_bytes(key + bytes(64 - len(key)), "big")
    for pad in (b"6", b"\\"):
        data = sha256((number ^ int.from_bytes(pad * 64, "big")).to_bytes(64, "big") + data).digest()
    return data


if _MICROPYTHON:
    def _IsEqual(a, b):
        """Compare in a time that does not depend on the position of a difference."""
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
    """The values of one client, of types that JSON supports. Changes are saved with the response."""

    _id = _old = None                           # id, and the id under which it was loaded
    _end = _text = None                         # as loaded: the second when it expires, and its JSON

    def Renew(self):
        """Give the session a new id, at login and logout, so that an id known to somebody else is useless."""
        self._id = os.urandom(16)

    def Clear(self):
        """Remove all values and change the id, for logout."""
        self.clear()
        self.Renew()


class MemoryStore:
    """Keeps up to maxSessions in memory; when it is full, the session that expires first is removed. Calls must not
    overlap."""

    def __init__(self, maxSessions=100):
        self._maxSessions = maxSessions
        self._sessions = {}                     # id: (second when it expires, text)

    def Get(self, id):
        """The text of a session, or None."""
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
    """{{ CSRF }} in a template, made when it is used. Each is different, so compression reveals nothing (BREACH)."""

    def __init__(self, client):
        self._client = client

    def __html__(self):
        sessions = self._client.GetServer().sessions
        return sessions._Sign(sessions._Bound(self._client, True)[1], os.urandom(16))

    __str__ = __html__


class UseSessions:
    """Enables GetSession() for all requests, and checks changing requests at or below the path `csrf`.

    key: at least 16 bytes, or a list of keys, of which the first one signs; None: a random key at each start. store:
    None keeps the values in the cookie. csrf: None for no check. origins: other sites that may send. isSecure: a proxy
    in front uses TLS."""

    def __init__(self, mws, key=None, maxAgeSec=28800, store=None, name="session", csrf="/", origins=(),
                 isSecure=False):
        keys = key if isinstance(key, (list, tuple)) else (os.urandom(32) if key is None else key,)
        if min(map(len, keys)) < 16:            # an empty list raises ValueError, too
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
        """(cookie name, prefix of all signed data). The prefix holds the cookie name, for a token the session's id, and
        on a board without a clock a number of this run."""
        bound = b"s"
        if isToken:
            session = client.GetSession()
            bound = b"t" + (session._id if session else bytes(16))
        name = self._name
        if self._isSecure or getattr(client, "IsSecure", bool)():      # set by microWebTls or microWebSecurity
            name = "__Host-" + name
        return name, bound + name.encode() + (bytes(8) if time.gmtime()[0] > 2023 else self._boot)

    def _Sign(self, bound, data):
        """-> text of A-Z a-z 0-9 + / ="""
        return b2a_base64(_Mac(self._keys[0], bound + data) + data)[:-1].decode()

    def _Verify(self, bound, text):
        """The data that was signed. ValueError if the signature is wrong."""
        signed = a2b_base64(text)
        for key in self._keys:
            if _IsEqual(_Mac(key, bound + signed[32:]), signed[:32]):
                return signed[32:]
        raise ValueError

    def _Save(self, client, response):
        """The After hook: save a session that was changed, or is past half of its lifetime."""
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
                    if store.Get(old) is None:  # a logout has ended it meanwhile
                        return
                    store.Delete(old)
                if session:
                    store.Set(session._id, text, maxAgeSec)
        if not session:
            value = ""
            maxAgeSec = 0
        response.SetCookie(name, value, maxAgeSec, "/", True, name != self._name)

    # The order of OWASP's cheat sheet: first Sec-Fetch-Site (sent to HTTPS and localhost only), then Origin, then a
    # token. A request with neither cookie nor Origin does not come from a browser with a session.

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
        isSecure = self._Bound(client)[0] != self._name     # otherwise a proxy with TLS may be in front
        host = "://" + (getattr(client, "host", None) or head.authority)      # from a trusted proxy (microWebSecurity)
        # A browser leaves out the default port of the scheme. A proxy may have added it to the host.
        pages = origin, origin + (":443" if origin[:6] == "https:" else ":80")
        if site or "https" + host not in pages and (isSecure or "http" + host not in pages):
            self._Refuse(client, response, site or origin)

    def _CheckToken(self, client, response):
        """Called when the content is there."""
        try:
            token = client.head.fields.get("x-csrf-token") or (b"&" + client.content).partition(b"&csrf=")[2] \
                .partition(b"&")[0].replace(b"%2B", b"+").replace(b"%2F", b"/")
            # Anyone without a session can get a token, so it does not protect a password that the browser sends by
            # itself.
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
    """The session of this request; empty if the cookie is missing, invalid or expired."""
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
    except ValueError:                          # invalid JSON raises it too
        pass
    return session


def Attach(server):
    """Called by each new server. A program enables sessions with UseSessions."""
