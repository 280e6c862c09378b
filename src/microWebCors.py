# Allows pages of other origins to read responses (CORS). Copy this file beside microWebSrv.py, and call AllowOrigins.
# MIT license, see LICENSE.
#
# The Fetch standard, section 3.3 (CORS protocol). A browser sends `Origin`, and passes the response to the page only if
# it allows that origin. Before a request that could change something the browser sends a preflight, an OPTIONS request.

_ASKED = "access-control-request-"
_ALLOWED = "Access-Control-Allow-"


def _Checker(origins, credentials):
    """-> function(origin), True if its pages may read; None if all origins may."""
    if callable(origins):
        return origins
    if isinstance(origins, str):
        origins = origins,
    if credentials and ("*" in origins or "null" in origins):       # any site can make a page of origin null
        raise ValueError("origins must not be '*' or 'null' with credentials")
    if "*" in origins:
        return None
    patterns = []
    for origin in origins:
        # One star: for subdomains, or for the port.
        if origin != "null" and (origin.count("/") != 2 or "*" in origin and "://*." not in origin
                                 and origin[-2:] != ":*"):
            raise ValueError("an origin must be what a browser sends, 'https://example.org', not %r" % origin)
        patterns.append(origin.lower().partition("*"))

    def Allowed(origin):
        for head, star, tail in patterns:
            middle = origin[len(head):len(origin) - len(tail)]
            # The star matches at least one character, and only within the host or the port.
            if origin == head + middle + tail and bool(star) == bool(middle):
                return "/" not in middle and ":" not in middle

    return Allowed


def _Text(values):
    """A str or a list of them -> 'A, B'."""
    return values if isinstance(values, str) else ", ".join(values or ())


class _Cors:
    """The Before and After hooks of one AllowOrigins call."""

    def __init__(self, origins, credentials, methods, headers, expose, maxAge):
        self._isAllowed = _Checker(origins, credentials)
        self._credentials = credentials
        self._methods = _Text(methods)
        self._headers = _Text(headers)
        self._expose = _Text(expose)
        self._maxAge = maxAge

    def _Allowed(self, client):
        """The request's origin, or '*', if its page may read; else None or False."""
        origin = client.head.fields.get("origin")
        return origin and (self._isAllowed(origin) and origin if self._isAllowed else "*")

    def Before(self, client, response):
        """Answer preflights, and allow WebSockets of these origins."""
        head = client.head
        get = head.fields.get
        asked = head.method == "OPTIONS" and get(_ASKED + "method")
        if (asked or self._credentials and head.upgrade) and self._Allowed(client):
            if not asked:                   # browsers send cookies with every WebSocket, so these need the same origins
                client.origins = "*"
                return
            lines = {_ALLOWED + "Methods": self._methods or ", ".join(client.GetServer().Allowed(head, True)),
                     _ALLOWED + "Headers": self._headers or get(_ASKED + "headers", "*"),
                     "Access-Control-Max-Age": self._maxAge}
            if get(_ASKED + "private-network"):
                lines[_ALLOWED + "Private-Network"] = "true"
            response.WriteResponse(204, lines, None, None, None)

    def After(self, client, response):
        """Add the headers to every response, errors too."""
        put = response.SetHeader
        if self._isAllowed:
            put("Vary", "Origin")               # also without Origin: a cache may store the response for other pages
        origin = self._Allowed(client)
        if origin:
            put(_ALLOWED + "Origin", origin)
            if self._credentials:
                put(_ALLOWED + "Credentials", "true")
            if self._expose:
                put("Access-Control-Expose-Headers", self._expose)


def AllowOrigins(mws, origins, prefix="/", credentials=False, methods=None, headers=None, expose=None, maxAgeSec=600):
    """Allow pages of these origins to read the responses at and below prefix. origins: "https://example.org",
    "https://*.example.org", "http://localhost:*", a list of these, "*", or callable(origin). methods, headers: allowed
    in preflights; None: those of the routes, and those that the page asks for. expose: headers that a page may read.
    ValueError for an invalid origin."""
    cors = _Cors(origins, credentials, methods, headers, expose, maxAgeSec)
    mws.Before(cors.Before, prefix)
    mws.After(cors.After, prefix)


def Attach(server):
    """Called by each new server. A program enables CORS with AllowOrigins."""
