# The head of a request (RFC 9112 section 3) and the one exception: code that finds a violation of HTTP raises
# HttpError, and only the connection turns an HttpError into a response.

from .text import BOARD

_REASONS = (
    "\n200 OK\n201 Created\n204 No Content\n206 Partial Content"
    "\n301 Moved Permanently\n302 Found\n303 See Other\n304 Not Modified\n307 Temporary Redirect"
    "\n400 Bad Request\n401 Unauthorized\n403 Forbidden\n404 Not Found\n405 Method Not Allowed"
    "\n408 Request Timeout\n409 Conflict\n412 Precondition Failed\n413 Content Too Large\n414 URI Too Long"
    "\n416 Range Not Satisfiable\n429 Too Many Requests\n431 Request Header Fields Too Large"
    "\n500 Internal Server Error\n501 Not Implemented\n503 Service Unavailable\n")
if not BOARD:                   # a board sends `Status` for these codes
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
    """HttpError(status, rule): the client's message violates this rule. The server answers with `status`, then
    closes."""


class Head:
    """The head of a request. Equal requests share it, so it must not be changed; only the router fills `found`.

    path: percent-decoded, slashes merged. key: the same with NUL for an encoded slash, which separates no segments (RFC
    3986 section 2.2). Routes, hooks and files compare `key`."""

    method = "GET"
    target = path = key = rawPath = query = ""
    minor = 1                   # minor version of HTTP/1.x
    authority = ""              # of an absolute-form target, else the Host field
    contentLength = None
    isChunked = expect = False
    keepAlive = False           # the client may send another request (RFC 9112 section 9.3)
    upgrade = ()                # protocol names, in lower case
    found = None                # (route, args); reset when a route is added
    if not BOARD:
        file = (None,)          # (second, path, media type) of the file that was found last for this path
    fields = {}                 # keys: field names in lower case


class Fields(dict):
    """A copy of the header fields for a program: names in lower case, looked up in any case."""

    def get(self, name, default=None):
        return super().get(name.lower(), default)

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return self.get(name) is not None
