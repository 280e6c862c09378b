# What the head of a request is (RFC 9112 section 3), and the one error: who breaks a rule of HTTP raises HttpError
# where the rule stands, and the connection alone turns it into an answer.

from .text import BOARD

_REASONS = (
    "\n200 OK\n201 Created\n204 No Content\n206 Partial Content"
    "\n301 Moved Permanently\n302 Found\n303 See Other\n304 Not Modified\n307 Temporary Redirect"
    "\n400 Bad Request\n401 Unauthorized\n403 Forbidden\n404 Not Found\n405 Method Not Allowed"
    "\n408 Request Timeout\n409 Conflict\n412 Precondition Failed\n413 Content Too Large\n414 URI Too Long"
    "\n416 Range Not Satisfiable\n429 Too Many Requests\n431 Request Header Fields Too Large"
    "\n500 Internal Server Error\n501 Not Implemented\n503 Service Unavailable\n")
if not BOARD:                   # the rest of them: a board says `Status`
    _REASONS += (
        "100 Continue\n101 Switching Protocols\n202 Accepted\n203 Non-Authoritative Information\n205 Reset Content"
        "\n300 Multiple Choices\n308 Permanent Redirect\n402 Payment Required\n406 Not Acceptable\n410 Gone"
        "\n411 Length Required\n415 Unsupported Media Type\n417 Expectation Failed\n418 I'm a teapot"
        "\n421 Misdirected Request\n422 Unprocessable Content\n423 Locked\n426 Upgrade Required"
        "\n428 Precondition Required\n502 Bad Gateway\n504 Gateway Timeout\n505 HTTP Version Not Supported"
        "\n507 Insufficient Storage\n")


def Reason(code):
    """The reason phrase of a status code (RFC 9110 section 15)."""
    if not isinstance(code, int) or not 99 < code < 1000:
        raise ValueError("code must be a number from 100 to 999, not %r" % (code,))
    start = _REASONS.find("\n%d " % code)
    return _REASONS[start + 5:_REASONS.find("\n", start + 5)] if start >= 0 else "Status"


class HttpError(Exception):
    """HttpError(status, rule): the client's message breaks the rule; answer with `status`, then close."""


class Head:
    """One request head. Equal requests share it, so nobody changes it; `found` alone is the router's to fill.

    path: percent-decoded, slashes merged. key: the same with NUL in the place of an encoded slash, which separates
    nothing (RFC 3986 section 2.2): the one form that routes, hooks and files compare."""

    method = "GET"
    target = path = key = rawPath = query = ""
    minor = 1                   # of HTTP/1.x
    authority = ""              # of an absolute-form target, else the Host
    contentLength = None
    isChunked = expect = False
    keepAlive = False           # the client may go on after the answer (RFC 9112 section 9.3)
    upgrade = ()                # protocols, in lower case
    found = None                # (route, args) until a route is added
    if not BOARD:
        file = (None,)          # of a path without one: (second, path, media type) of what was found (files)
    fields = {}                 # lower-case names


class Fields(dict):
    """A copy of the field section for a program: lower-case names, looked up in any case."""

    def get(self, name, default=None):
        return super().get(name.lower(), default)

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return self.get(name) is not None
