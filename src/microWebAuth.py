# Authentication for MicroWebSrv. Copy this file beside microWebSrv.py. Protect(mws, "/admin", users) protects all paths
# at and below /admin, with files and WebSockets. Basic and Bearer are here; microWebDigest.py adds Digest and
# microWebLogin.py a form. MIT license, see LICENSE.
#
#    1  PASSWORDS   salted, and slow to guess
#    2  TRIES       addresses that sent wrong passwords have to wait
#    3  SCHEMES     the user of a request

import hashlib
import os
import sys
import time
from binascii import a2b_base64, b2a_base64

_MICROPYTHON = sys.implementation.name == "micropython"

if _MICROPYTHON:
    from micropython import const
else:
    def const(value):
        return value

_HASH_MS = const(250)           # duration of a hash on the machine that makes it
_BOARD_MAX = const(50000)       # iterations; they take a board some seconds
_KNOWN_MAX = const(8)           # correct passwords that are not hashed again for a while
_KNOWN_SEC = const(300)
_FREE = const(5)                # wrong passwords of an address without a wait
_LONGEST = const(8)             # after these the waits are 1, 2, 4, … 2 ** 8 seconds
_FORGET_SEC = const(1800)       # after the wait the address is forgotten
_TRIES_MAX = const(32)          # addresses; the one with the oldest wrong password is removed


# ==============================================================================
# 1  PASSWORDS
# ==============================================================================

def _Pbkdf2(password, salt, count):
    """PBKDF2-HMAC-SHA-256 -> 32 bytes (RFC 8018 section 5.2). With count=1 it is an HMAC over salt and block number."""
    if not _MICROPYTHON:
        return hashlib.pbkdf2_hmac("sha256", password, salt, count)
    sha256 = hashlib.sha256             # MicroPython's has no copy(), so each hash processes the key again
    if len(password) > 64:
        password = sha256(password).digest()
    password += bytes(64 - len(password))
    inner = bytes([byte ^ 0x36 for byte in password])
    outer = bytes([byte ^ 0x5C for byte in password])
    piece = salt + b"\0\0\0\1"
    toInt = int.from_bytes
    total = 0
    while count:
        piece = sha256(outer + sha256(inner + piece).digest()).digest()
        total ^= toInt(piece, "big")
        count -= 1
    return total.to_bytes(32, "big")


_key = os.urandom(32)
_known = ()                     # (HMAC of hash and password, second); replaced as a whole: other threads read it


def Hmac(data):
    """32 bytes, with a key of this run. Comparing such values reveals nothing by its duration."""
    return _Pbkdf2(_key, data, 1)


def _Text(data):
    return b2a_base64(data)[:-1].decode()


def HashPassword(password, iterations=None):
    """-> 'pbkdf2$iterations$salt$hash'. iterations: None for as many as take 250 ms on this machine; 1 for a random
    token. ValueError for an invalid argument."""
    if not isinstance(password, str) or min(password.encode() or b"\0") < 32:
        raise ValueError("password must be a text without controls")
    if iterations is None:
        iterations = 250
        spent = 0
        while spent < _HASH_MS * 100000:
            iterations *= 2
            spent = time.time_ns()
            _Pbkdf2(_key, _key, iterations)
            spent = time.time_ns() - spent
        iterations = iterations * _HASH_MS * 1000000 // spent
    elif not isinstance(iterations, int) or iterations < 1:
        raise ValueError("iterations must be a number above 0, not %r" % (iterations,))
    salt = os.urandom(16)
    return "pbkdf2$%d$%s$%s" % (iterations, _Text(salt), _Text(_Pbkdf2(password.encode(), salt, iterations)))


def CheckPassword(password, hash):
    """True if password matches this hash. Takes the time of its iterations, except shortly after a success."""
    global _known
    _, count, salt, digest = hash.split("$")
    key = Hmac((hash + password).encode())
    now = time.time()
    known = [entry for entry in _known if -1 < now - entry[1] < _KNOWN_SEC]
    for entry in known:
        if entry[0] == key:
            return True
    if Hmac(_Pbkdf2(password.encode(), a2b_base64(salt), int(count))) != Hmac(a2b_base64(digest)):
        return False
    _known = known[1 - _KNOWN_MAX:] + [(key, now)]
    return True


# ==============================================================================
# 2  TRIES
# ==============================================================================

class Tries:
    """Addresses with wrong passwords, the latest last: (network, number, second from which it may try again)."""

    def __init__(self, server):
        self._server = server
        self._tries = ()                # replaced as a whole, since a worker may do it

    def Ask(self, client, who, *args):
        """-> (who(*args), 0): a name, None for a wrong password, "" for neither. (None, seconds): the address has to
        wait; `who` was not called."""
        network = client.GetIPAddr()
        if ":" in network and "." not in network:       # one client owns a whole IPv6 /64
            groups, _, rest = network.partition("::")
            groups = groups.split(":")
            rest = rest.split(":")
            network = ":".join((groups + ["0"] * (8 - len(groups) - len(rest)) + rest)[:4])
        before = self._Find(network)
        wait = before[2] - self._server.now
        if wait > 0:
            return None, wait
        failed = before[1] and self._Fail(network)      # counted before the check, so that parallel guesses see it
        name = who(*args)
        if name is None:
            failed or self._Fail(network)
        elif failed and self._Find(network) is failed:  # success removes only its own entry, not parallel failures
            self._Put(before)
        return name, 0

    def _Find(self, network):
        for entry in self._tries:
            if entry[0] == network and self._server.now < entry[2] + _FORGET_SEC:
                return entry
        return network, 0, 0

    def _Fail(self, network):
        count = self._Find(network)[1]
        wait = 1 << min(count - _FREE, _LONGEST) if count >= _FREE else 0
        entry = network, count + 1, self._server.now + wait
        self._Put(entry)
        return entry

    def _Put(self, entry):
        self._tries = [other for other in self._tries if other[0] != entry[0]][1 - _TRIES_MAX:] + [entry]


# ==============================================================================
# 3  SCHEMES
# ==============================================================================

class Basic:
    """RFC 7617, and the base class of all schemes."""

    challenge = 'Basic realm="%s", charset="UTF-8"'

    def __init__(self, server, users, realm):
        self.server = server
        self.users = users
        self.realm = realm
        if not callable(users):
            if not isinstance(users, dict):
                raise ValueError("users must be a dict of names and hashes or a function, not %r" % (users,))
            for name in users:
                if not isinstance(name, str) or ":" in name or min(name.encode() or b"\0") < 32:
                    raise ValueError("users must have names without colons and controls, not %r" % (name,))
                if not isinstance(users[name], str) or not self.IsHash(users[name]):
                    raise ValueError("users must have hashes of this scheme, made here, not that of %r" % name)

    def IsHash(self, hash):
        """True for a valid hash. On a board too many iterations are refused: they would take minutes."""
        parts = hash.split("$")
        return len(parts) == 4 and parts[1].isdigit() and not (self.server.isBoard and int(parts[1]) > _BOARD_MAX)

    def Hook(self, client, response):
        """The Before hook: sets the user, or answers 401, or 429 for an address that has to wait."""
        scheme, _, text = client.head.fields.get("authorization", "").partition(" ")
        name = None
        wait = 0
        if scheme.lower() == self.challenge.partition(" ")[0].lower():
            name, wait = self.server.tries.Ask(client, self.Who, client, text.strip())
        if name:
            client.user = name
        else:
            self.Refuse(response, wait, name)

    def Refuse(self, response, wait, name):
        if wait:
            response.SetHeader("Retry-After", wait)
        else:
            response.SetHeader("WWW-Authenticate", self.Challenge(name))
        response.WriteResponseError(429 if wait else 401)

    def Challenge(self, name):
        return self.challenge % self.realm

    def Who(self, client, text):
        try:
            data = a2b_base64(text)
            if _Text(data) != text:
                return None
            name, _, password = self.server.Utf8(data, True).partition(":")
        except ValueError:
            return None
        return self.Verify(name, password)

    def Verify(self, name, password):
        """-> name or None. An unknown name takes as long as a wrong password."""
        users = self.users
        if min((name + password).encode() or b"\0") < 32:      # control characters could forge a line of a log
            return None
        if callable(users):
            found = users(name, password)
            return (name if found is True else found if isinstance(found, str) else None) or None
        for other in users.values():
            return name if CheckPassword(password, users.get(name, other)) and name in users else None


class _Bearer(Basic):
    """RFC 6750 section 2.1."""

    challenge = 'Bearer realm="%s"'

    def Who(self, client, text):
        if callable(self.users):
            return self.Verify("", text)
        found = None
        for name, hash in list(self.users.items()):
            if CheckPassword(text, hash):
                found = name
        return found


Schemes = {"basic": Basic, "bearer": _Bearer}       # microWebDigest and microWebLogin add theirs


def Protect(server, prefix, users, scheme="basic", realm="Restricted", **options):
    """Only users may request paths at and below prefix. users: a dict of names and hashes, or check(name, password),
    which returns True or the name. options: arguments of the scheme. ValueError for an invalid argument."""
    if scheme not in Schemes:
        raise ValueError("scheme must be one of %s, not %r" % (", ".join(Schemes), scheme))
    if not isinstance(prefix, str) or prefix[:1] != "/" or len(prefix.encode()) != len(prefix):
        raise ValueError("prefix must be a path of ASCII, not %r" % (prefix,))   # FAT ignores the case of other letters
    if not isinstance(realm, str) or '"' in realm or "\\" in realm or min(realm.encode() or b"\0") < 32:
        raise ValueError("realm must be a text without quotes, not %r" % (realm,))
    server.Before(Schemes[scheme](server, users, realm, **options).Hook, prefix)


def _GetUser(client):
    """The name of the authenticated user on a protected path; else None."""
    return getattr(client, "user", None)


def Attach(server):
    """Called by each new server: adds httpClient.GetUser()."""
    server.tries = Tries(server)
    server.Client.GetUser = _GetUser
