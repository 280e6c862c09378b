# Pages of other origins may read the answers (CORS): copy this file beside microWebSrv.py, and call AllowOrigins.
# MIT license, see LICENSE.
#
# The Fetch standard, section 3.3 (CORS protocol). A browser sends `Origin`, and gives the answer to the page only if
# the answer allows that origin. What could change something is asked for first: the preflight, an OPTIONS request.

_ASKED = "access-control-request-"
_ALLOWED = "Access-Control-Allow-"


def _Checker(origins, credentials):
    """-> callable(origin): may its pages read? None: the pages of all sites may."""
    if callable(origins):
        return origins
    if isinstance(origins, str):
        origins = origins,
    if credentials and ("*" in origins or "null" in origins):       # any site can make its page one of the origin null
        raise ValueError("origins must be names of sites where there are credentials")
    if "*" in origins:
        return None
    patterns = []
    for origin in origins:
        # One star: for labels in front of the host, or for the port.
        if origin != "null" and (origin.count("/") != 2 or "*" in origin and "://*." not in origin
                                 and origin[-2:] != ":*"):
            raise ValueError("an origin must be what a browser sends, 'https://example.org', not %r" % origin)
        patterns.append(origin.lower().partition("*"))

    def Allowed(origin):
        for head, star, tail in patterns:
            middle = origin[len(head):len(origin) - len(tail)]
            # What the star stands for is not empty, and does not end the host.
            if origin == head + middle + tail and bool(star) == bool(middle):
                return "/" not in middle and ":" not in middle

    return Allowed


def _Text(values):
    """A str or a list -> 'A, B'."""
    return values if isinstance(values, str) else ", ".join(values or ())


class _Cors:
    """What the pages of some origins may do. The two hooks of a server."""

    def __init__(self, origins, credentials, methods, headers, expose, maxAge):
        self._isAllowed = _Checker(origins, credentials)
        self._credentials = credentials
        self._methods = _Text(methods)
        self._headers = _Text(headers)
        self._expose = _Text(expose)
        self._maxAge = maxAge

    def _Allowed(self, client):
        """The page's origin, or '*', if it may read."""
        origin = client.head.fields.get("origin")
        return origin and (self._isAllowed(origin) and origin if self._isAllowed else "*")

    def Before(self, client, response):
        """Answers preflights, and lets the WebSockets of these pages in."""
        head = client.head
        get = head.fields.get
        asked = head.method == "OPTIONS" and get(_ASKED + "method")
        if (asked or self._credentials and head.upgrade) and self._Allowed(client):
            if not asked:                       # a WebSocket brings the cookies, whatever its page wants
                client.origins = "*"
                return
            lines = {_ALLOWED + "Methods": self._methods or ", ".join(client.GetServer().Allowed(head, True)),
                     _ALLOWED + "Headers": self._headers or get(_ASKED + "headers", "*"),
                     "Access-Control-Max-Age": self._maxAge}
            if get(_ASKED + "private-network"):
                lines[_ALLOWED + "Private-Network"] = "true"
            response.WriteResponse(204, lines, None, None, None)

    def After(self, client, response):
        """Every answer says who may read it, errors too."""
        put = response.SetHeader
        if self._isAllowed:
            put("Vary", "Origin")               # also without an Origin: a cache may keep it for a page that has one
        origin = self._Allowed(client)
        if origin:
            put(_ALLOWED + "Origin", origin)
            if self._credentials:
                put(_ALLOWED + "Credentials", "true")
            if self._expose:
                put("Access-Control-Expose-Headers", self._expose)


def AllowOrigins(mws, origins, prefix="/", credentials=False, methods=None, headers=None, expose=None, maxAgeSec=600):
    """Pages of these origins may read the answers at and below the prefix. origins: "https://example.org",
    "https://*.example.org", "http://localhost:*", a list of such, "*", or callable(origin). methods, headers: what
    preflights allow, else what the routes have and what the page asks for; expose: headers that a page may read."""
    cors = _Cors(origins, credentials, methods, headers, expose, maxAgeSec)
    mws.Before(cors.Before, prefix)
    mws.After(cors.After, prefix)


def Attach(server):
    """Called by a server when it is made: there is nothing to do before AllowOrigins."""
