# Security headers (Content-Security-Policy and others), and the client's address behind a proxy. Copy this file beside
# microWebSrv.py, and call SecurityHeaders or TrustProxies.
# MIT license, see LICENSE.
#
#    1  HEADERS      SecurityHeaders and {{ NONCE }}
#    2  PROXIES      TrustProxies: X-Forwarded-… (or RFC 7239), from trusted addresses only

import os
from binascii import b2a_base64


# ==============================================================================
# 1  HEADERS
# ==============================================================================

# 'nonce' is replaced if the page uses {{ NONCE }}, else removed.
_CSP = ("default-src 'self'; script-src 'self' 'nonce'; style-src 'self' 'nonce'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'")


class _Nonce:
    """{{ NONCE }} in a template, made when it is first used."""

    value = ""

    def __html__(self):
        if not self.value:
            self.value = b2a_base64(os.urandom(18)).decode().strip()
        return self.value

    __str__ = __html__


def SecurityHeaders(mws, prefix="/", csp=None, headers=None):
    """Set security headers in every response at and below prefix. csp: another Content-Security-Policy, in which
    'nonce' stands for the nonce; "" for none. headers: more headers or other values; None removes one."""
    lines = {
        "X-Frame-Options": "SAMEORIGIN",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",   # no-referrer would make the Origin of a form null, which CSRF checks refuse
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    lines.update(headers or ())
    policy = _CSP if csp is None else csp

    def Before(client, response):
        response.nonce = nonce = _Nonce()
        response.vars = dict(response.vars or ())
        response.vars["NONCE"] = nonce

    def After(client, response):
        nonce = getattr(response, "nonce", _Nonce).value
        response.SetHeader("Content-Security-Policy", policy.replace("'nonce'", nonce and "'nonce-%s'" % nonce) or None)
        isSecure = client.IsSecure()
        for name in lines:
            if isSecure or name[:5] != "Cross":         # over plain HTTP browsers ignore it and warn
                response.SetHeader(name, lines[name])

    def Render(server, path, values):
        """The head leaves before a page of several blocks is complete, so its nonce is made now."""
        pieces = render(server, path, values)
        if not isinstance(pieces, tuple):
            str(values.get("NONCE"))
        return pieces

    if "'nonce'" in policy:
        mws.Before(Before, prefix)
        render = mws.Renderers.get(".pyhtml")
        if render:
            mws.Renderers[".pyhtml"] = Render
    mws.After(After, prefix)


# ==============================================================================
# 2  PROXIES
# ==============================================================================

def _Number(text):
    """An IPv4 address as a number; None if text is not one."""
    parts = text.split(".")
    number = 0
    for part in parts:
        if not part or len(part) > 3 or part.strip("0123456789") or int(part) > 255:
            return None
        number = number << 8 | int(part)
    return number if len(parts) == 4 else None


def _Address(text):
    """'192.0.2.1:80' or '"[2001:db8::1]:80"' -> the address; None for anything else, like `unknown`."""
    text = text.strip('" \t').lower()
    if text[:1] == "[":
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if text[:7] == "::ffff:" and "." in text:           # IPv4-mapped IPv6
        text = text[7:]
    return text if _Number(text) is not None or ":" in text and not text.strip("0123456789abcdef:.") else None


def _ReadPlain(fields, name):
    """The values of X-Forwarded-For, -Proto or -Host, one for each hop; the nearest is last."""
    return fields.get("x-forwarded-" + name, "").split(",")


def _ReadForwarded(fields, name):
    """The same for Forwarded (RFC 7239 section 4). A name that occurs twice in a hop is ignored. Quotes are counted
    from the end: the client can leave one open, and chooses the text in the quotes of the host."""
    parts = fields.get("forwarded", "").replace("\\\\", " ").replace('\\"', " ").split('"')
    for at in range(len(parts) - 2, -1, -2):
        parts[at] = parts[at].replace(",", " ").replace(";", " ")
    values = []
    for hop in '"'.join(parts).split(","):
        found = []
        for pair in hop.split(";"):
            key, _, text = pair.partition("=")
            if key.strip().lower() == name:
                found.append(text)
        values.append(found[0] if len(found) == 1 else "")
    return values


def _GetAddr(client):
    """(IP address, port); the port is 0 behind a proxy."""
    return getattr(client, "remote", None) or client.connection.link.GetAddr()


def _GetHost(client):
    return getattr(client, "host", None) or client.head.authority


def _IsSecure(client):
    """True if the connection uses TLS."""
    return client.connection.link.isSecure


class _Proxies:
    """The trusted proxies, and the Before hook."""

    def __init__(self, addresses, isForwarded, withHost):
        self._get = _ReadForwarded if isForwarded else _ReadPlain
        self._withHost = withHost
        self._trusted = []
        for address in [addresses] if isinstance(addresses, str) else addresses:
            address, slash, bits = address.partition("/")
            number = _Number(address)
            shift = 32 - int(bits or 32)
            if _Address(address) != address or slash and number is None or not 0 <= shift <= 32:
                raise ValueError("addresses must be IP addresses or IPv4 networks, not %r" % address)
            self._trusted.append((address if number is None else number >> shift, shift))

    def _IsTrusted(self, address):
        number = _Number(address)
        for network, shift in self._trusted:
            if network == (address if number is None else number >> shift):
                return True

    def Before(self, client, response):
        fields = client.head.fields
        address = _Address(client.connection.link.GetAddr()[0]) or ""
        if not self._IsTrusted(address):
            return
        count = 0
        hops = self._get(fields, "for")
        while count < len(hops) and self._IsTrusted(address):
            hop = _Address(hops[-1 - count])
            if not hop:                                 # `unknown`: the address of this proxy is the best known
                break
            address = hop
            count += 1
        client.remote = address, 0
        scheme = self._Said(fields, "proto", count)
        if scheme:
            client.IsSecure = lambda: scheme == "https"
        if self._withHost:
            client.host = self._Said(fields, "host", count)

    def _Said(self, fields, name, count):
        """The value from the hop that saw the client."""
        values = self._get(fields, name)
        return values[-min(count or 1, len(values))].strip('" \t').lower()


def TrustProxies(mws, addresses, forwarded=False, host=False):
    """Trust X-Forwarded-For and -Proto (forwarded: RFC 7239 `Forwarded` instead) from proxies at these addresses or
    IPv4 networks ("10.0.0.0/8"), for the client's address and scheme; host: also for the host. Security: the
    proxy must set these headers itself, because clients can send them too. ValueError for an invalid address."""
    mws.Before(_Proxies(addresses, forwarded, host).Before)
    mws.Client.GetAddr = _GetAddr


def Attach(server):
    """Called by each new server: adds GetHost() and IsSecure() to requests."""
    kind = server.Client
    kind.GetHost = _GetHost
    if not hasattr(kind, "IsSecure"):                   # microWebTls may have set it
        kind.IsSecure = _IsSecure
