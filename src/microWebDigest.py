# Digest authentication for MicroWebSrv (RFC 7616). Copy this file beside microWebAuth.py to use scheme="digest" in
# Protect. The password is not sent, but its hash is fast to guess. MIT license, see LICENSE.

import sys
from binascii import hexlify
from hashlib import sha256

_NAME = __name__.replace("microWebDigest", "microWebAuth")
__import__(_NAME)
auth = sys.modules[_NAME]

_MICROPYTHON = sys.implementation.name == "micropython"

if _MICROPYTHON:
    from micropython import const
else:
    def const(value):
        return value

_NONCE_SEC = const(300)
_NONCES_MAX = const(16)         # used nonces that are kept
_WINDOW = const(24)             # requests of one nonce that may arrive out of order


def _Sha(text):
    return hexlify(sha256(text.encode()).digest()).decode()


def DigestHash(name, realm, password):
    """The hash of a user for this realm. Security: it is as good as the password."""
    return _Sha("%s:%s:%s" % (name, realm, password))


def _Params(text):
    """'a=b, c="d\\"e"' -> {'a': 'b', 'c': 'd"e'} (RFC 9110 section 11.2). ValueError or IndexError for anything
    else."""
    data = text.encode() + b","
    params = {}
    pos = 0
    while pos < len(data):
        if data[pos] in b" \t,":
            pos += 1
            continue
        start = pos
        pos = data.index(b"=", pos) + 1
        name = data[start:pos - 1].strip().decode().lower()
        while data[pos] in b" \t":
            pos += 1
        value = None
        start = pos
        if data[pos] == 34:
            value = bytearray()
            pos += 1
            while data[pos] != 34:
                pos += data[pos] == 92
                value.append(data[pos])
                pos += 1
            pos += 1
            start = pos
        pos = data.index(b",", pos)
        rest = data[start:pos].strip()
        if name in params or value is not None and rest:
            raise ValueError
        params[name] = (rest if value is None else bytes(value)).decode()
    return params


class _Nonces:
    """An unused nonce needs no memory. For a used one each request count is accepted once (section 5.4)."""

    def __init__(self):
        self._last = self._floor = 0
        self._used = []                 # [serial, highest count, bit mask of the counts seen below it]

    def New(self, now):
        self._last = max(self._last + 1, now << 8)
        return self._Sign(self._last)

    def _Sign(self, serial):
        return "%x-%s" % (serial, hexlify(auth.Hmac(b"%x" % serial)[:12]).decode())

    def Take(self, nonce, count, now):
        """True if nonce and count are used for the first time. A nonce that was dropped counts as expired."""
        serial = int(nonce.partition("-")[0], 16)
        if nonce != self._Sign(serial) or now - (serial >> 8) > _NONCE_SEC:
            return False
        for entry in self._used:
            if entry[0] == serial:
                break
        else:
            if serial <= self._floor:
                return False
            entry = [serial, 0, 0]
            self._used.append(entry)
            if len(self._used) > _NONCES_MAX:
                self._floor = max(self._floor, self._used.pop(0)[0])
        ahead = count - entry[1]
        bit = 1
        if ahead > 0:
            entry[1] = count
            entry[2] <<= min(ahead, _WINDOW)
        elif ahead <= -_WINDOW:
            return False
        else:
            bit <<= -ahead
        isNew = not entry[2] & bit
        entry[2] = (entry[2] | bit) & (1 << _WINDOW) - 1
        return isNew


class _Digest(auth.Basic):
    """RFC 7616 section 3, with SHA-256 and qop=auth only."""

    challenge = 'Digest realm="%s", qop="auth", algorithm=SHA-256, charset=UTF-8, nonce="%s"%s'

    def __init__(self, server, users, realm):
        if callable(users):
            raise ValueError("users must be a dict of names and hashes of DigestHash")
        super().__init__(server, users, realm)
        if not hasattr(server, "nonces"):
            server.nonces = _Nonces()

    def IsHash(self, hash):
        return len(hash) == 64

    def Challenge(self, name):
        nonce = self.server.nonces.New(self.server.now)
        return self.challenge % (self.realm, nonce, ", stale=true" if name == "" else "")

    def Who(self, client, text):
        """Section 3.4. -> name; None if the proof is wrong; "" if only the nonce has expired."""
        try:
            got = _Params(text)
            name = got["username"]
            proof = _Sha("%s:%s:%s:%s:auth:%s" % (
                self.users.get(name, ""), got["nonce"], got["nc"], got["cnonce"],
                _Sha("%s:%s" % (client.head.method, got["uri"]))))
            if auth.Hmac(proof.encode()) != auth.Hmac(got["response"].encode()) or name not in self.users \
                    or got["uri"] not in (client.head.target, client.GetRequestTotalPath()) \
                    or got["qop"] != "auth" or got["algorithm"] != "SHA-256":
                return None
            return name if self.server.nonces.Take(got["nonce"], int(got["nc"], 16), self.server.now) else ""
        except (KeyError, ValueError, IndexError):
            return None


auth.Schemes["digest"] = _Digest


def Attach(server):
    """Called by each new server. The scheme was registered at import."""
