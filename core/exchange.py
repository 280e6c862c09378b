# The objects that a handler gets: HttpClient is the request, HttpResponse the response. Both send and read only through
# the connection.

import json

from .messages import Fields, HttpError, Reason
from .readers import NOT_TOKEN, ParseForm
from .text import BOARD, MICROPYTHON, HTMLEscape, PercentDecode, Utf8, const
from .writers import (
    MARKS, UNRESERVED, Attachment, Bytes, CheckText, Encode, FieldLines, HeadStart, Pairs, PercentEncode)

_COLONS_MAX = const(5000)       # in a JSON text

_HTML_ERROR = "<!DOCTYPE html><title>%d %s</title><h1>%d %s</h1><p>%s" if BOARD else (
    "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"UTF-8\"><title>%d %s</title></head>"
    "<body><h1>%d %s</h1><p>%s</p></body></html>")


class HttpClient:
    """The request. In an async handler the Read… methods are awaited."""

    content = b""           # content that arrived and was not read yet
    hooks = ()              # functions that hooks returned; called when all content is there
    Form = dict             # class of the dict for query and form fields
    # set by a hook: sink(piece) -> the part of piece to keep in memory; the handler then waits for all content
    sink = None

    def __init__(self, connection):
        self.connection = connection
        self.head = connection.head

    def GetServer(self):
        return self.connection.server

    def GetAddr(self):
        """(IP address, port)."""
        return self.connection.link.GetAddr()

    def GetIPAddr(self):
        return self.GetAddr()[0]

    def GetPort(self):
        return self.GetAddr()[1]

    def GetRequestMethod(self):
        return self.head.method

    def GetRequestTotalPath(self):
        """The path and the query string as the client sent them."""
        head = self.head
        return head.rawPath + "?" + head.query if head.query else head.rawPath

    def GetRequestPath(self):
        """The path, percent-decoded, with repeated slashes merged."""
        return self.head.path

    def GetRequestQueryString(self):
        return self.head.query

    def GetRequestQueryParams(self):
        """A dict; the last value of a repeated name counts."""
        return ParseForm(self.head.query.encode(), "", self.Form)

    def GetRequestHeaders(self):
        """A new dict-like object: names in lower case, looked up in any case."""
        return Fields(self.head.fields)

    def GetRequestContentType(self):
        return self.head.fields.get("content-type")

    def GetRequestContentLength(self):
        """In bytes; 0 without content, or while chunked content has not arrived yet."""
        return self.head.contentLength or (len(self.content) if self.head.isChunked else 0)

    def GetCookies(self):
        """A dict of names and values. The first value of a repeated name counts: its path is the longest (RFC 6265
        section 5.4)."""
        cookies = {}
        for pair in self.head.fields.get("cookie", "").split(";", 100)[:100]:
            name, equals, value = pair.strip().partition("=")
            if equals and name not in cookies:
                cookies[name] = value
        return cookies

    def IsConnected(self):
        """False if the client has left or has closed its sending side; then the response is useless."""
        return self.connection.Serves(self)

    def __getattr__(self, name):
        """Attributes that programs for the older server read: `_queryString` is GetRequestQueryString()."""
        if name[:1] != "_" or name[:2] == "__":
            raise AttributeError(name)
        name = {"_microWebSrv": "GetServer", "_addr": "GetAddr", "_path": "GetRequestTotalPath",
                "_resPath": "GetRequestPath"}.get(name) or "GetRequest" + name[1:2].upper() + name[2:]
        return getattr(self, name)()

    def ReadRequestContent(self, size=None):
        """Up to size bytes of the content (None: all that is left); b'' at the end."""
        return self.Read(size, bytes)

    def ReadRequestPostedFormData(self):
        """The text fields of a form, urlencoded or multipart/form-data (without files), as a dict. HttpError 400 for
        more than 1000 fields."""
        return self.Read(None, lambda content: ParseForm(content, self.GetRequestContentType() or "", self.Form))

    def ReadRequestContentAsJSON(self):
        """The content parsed as JSON; None if it is not valid JSON."""
        return self.Read(None, FromJSON)

    def Read(self, size, convert):
        """convert(up to size bytes of the content, None: all). microWebAsync replaces this method for async
        handlers."""
        content = self.content
        if size is None or size >= len(content):
            self.content = b""
        else:
            self.content = content[size:]
            content = content[:size]
        return convert(bytes(content))


def FromJSON(content):
    if content[:3] == b"\xef\xbb\xbf":          # byte order mark
        content = content[3:]
    # MicroPython's dict hashes to 16 bits only: many chosen keys would take seconds.
    if MICROPYTHON and content.count(b":") > _COLONS_MAX:
        raise HttpError(413, "JSON with more than %d colons" % _COLONS_MAX)
    start = quotes = 0
    try:
        # The time to parse an integer grows with the square of its length, so integers of 1,023 digits (some of 512 and
        # more) are refused. Digits within a string are allowed.
        for at in range(0, len(content) - 511, 512):
            if content[at:at + 512].isdigit():
                quotes += content[start:at].replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')
                start = at
                if not quotes & 1:
                    return None
        return json.loads(Utf8(content))
    except (ValueError, RuntimeError, MemoryError):     # RuntimeError: nested too deep for the stack
        return None


if not MICROPYTHON:
    def _EncodeRaw(text, charset):
        # In the charset; in UTF-8 if the charset lacks a character, which is never shorter than a program has counted.
        try:
            return text.encode(charset)
        except (UnicodeError, LookupError):
            return text.encode()

    _Dumps = json.JSONEncoder(allow_nan=False).encode


def ToJSON(obj):
    try:
        if not MICROPYTHON:
            return _Dumps(obj)
        # MicroPython writes nan, inf and <function> without an error; loads() refuses them.
        text = json.dumps(obj)
        if "nan" in text or "inf" in text or ": <" in text or text[0] == "<":
            json.loads(text)
        return text
    except (TypeError, ValueError) as error:
        raise ValueError("obj must be JSON: %s" % error)


class HttpResponse:
    """The response. Write… returns True if it is queued, False if there is one already or the client has left."""

    code = None             # status of the accepted response
    held = None             # its head, sent late because a raw _write may follow
    fields = []             # set by SetHeader; never changed in place; None: the head is sent
    vars = None             # extra variables for templates
    flash = None            # set by FlashMessage: style, line feed, text
    status = None           # status of the error whose handler writes this response
    patienceMs = 2000       # milliseconds for which raw writes may block the engine for a slow client

    def __init__(self, client):
        self.client = client
        self.connection = client.connection

    def __next__(self):
        """Raw writes push their pieces, so there is never one to pull."""

    def Answer(self, code, headers, contentType, contentCharset, body, source=None, length=None, lines=b""):
        """For all responses. lines: bytes of field lines before those of headers."""
        connection = self.connection
        server = connection.server
        kept = self.fields
        accepted = None
        try:
            if self.code is not None:
                return False
            code = code == 200 and self.status or code
            if server.after:
                self.code = code                # makes Write… return False inside the hooks
                for hook in server.Hooks(server.after, self.client.head):
                    server.Call(hook, self.client, self)
                self.code = None
            fields = self.fields
            for pair in server.defaults:        # field lines of a file override the defaults
                if ("\n%s:" % pair[0]).lower().encode() not in b"\n" + lines.lower():
                    fields = [pair] + fields
            if headers or fields:
                more, names = FieldLines(headers, fields)
                if "cache-control" in names:    # it replaces the first of a file's own lines
                    lines = lines[lines.find(b"\n") + 1:]
                lines += more
                contentType = None if "content-type" in names else contentType
                connection.keepAlive = connection.keepAlive and names.get("connection", "").lower() != "close"
            self.fields = None
            if not body and source is None and (code == 200 or contentType and code not in (204, 304)):
                HeadStart(code, contentType, contentCharset, (0,))       # ValueError if these are invalid
                self.code = code
                self.held = (code, contentType, contentCharset, lines, b"")
                accepted = connection.response is self
            else:
                accepted = connection.Answer(self, code, contentType, contentCharset, lines, body, source, length)
            return accepted
        finally:
            if accepted is None:                # an exception, or there already was a response
                self.fields = kept
                if hasattr(source, "close"):    # close an open file
                    source.close()

    def _write(self, data, strEncoding=None):
        """Write raw content after a head that was written without content. OSError if the client has left."""
        connection = self.connection
        if isinstance(data, str):               # MicroPython's encode() gives UTF-8, and programs count with it
            data = data.encode() if MICROPYTHON else _EncodeRaw(data, strEncoding or "ISO-8859-1")
        if self.code is None:                   # no head either: the program itself writes HTTP, to the end
            self.code = 200
            connection.keepAlive = connection.isChunked = False
        elif self.held:
            held = self.held
            self.held = None
            connection.Answer(self, *held, self)
        if not connection.Push(self, bytes(data)):
            raise OSError(104, "the client left")       # ends programs that write in an endless loop
        return True

    def SetHeader(self, name, value):
        """Set a header of the response. headers of Write… override it; None removes it. False: the head is sent
        already. ValueError for a control character."""
        FieldLines((), [(name, value)])
        if self.fields is None or self.connection.response is not self:
            return False
        self.fields = self.fields + [(name, value)]
        return True

    def SetCookie(self, name, value, maxAge=None, path="/", httpOnly=True, secure=False, sameSite="Lax"):
        """Set a cookie (RFC 6265 section 4.1). maxAge: seconds; None: until the browser ends; 0: delete. ValueError for
        an invalid name, value or path."""
        cookie = "%s=%s; Path=%s; SameSite=%s" % (name, value, path, sameSite)
        if CheckText("name", name, NOT_TOKEN) and cookie.count(";") != 2:
            raise ValueError("a cookie must have no semicolon: %r" % cookie)
        if maxAge is not None:
            cookie += "; Max-Age=%d" % maxAge
        if httpOnly:
            cookie += "; HttpOnly"
        if secure:
            cookie += "; Secure"
        return self.SetHeader("Set-Cookie", cookie)

    def OnSent(self, callback):
        """callback() on the engine when the client has the response or has left; then the connection closes."""
        self.connection.OnSent(callback)

    def WriteSwitchProto(self, upgrade, headers=None):
        """Send 101. After it the program speaks the new protocol itself, with _write."""
        lines = FieldLines(headers, [("Upgrade", CheckText("upgrade", upgrade))])[0]
        return self._write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + lines + b"\r\n")

    def WriteResponse(self, code, headers, contentType, contentCharset, content):
        """content: str or bytes; headers: a dict or a list of pairs. ValueError for a control character in a header."""
        if isinstance(content, str):
            content, contentCharset = Encode(content, contentCharset)
        elif content is not None:
            content = Bytes(content)
        if not headers and content and contentType and self.code is None and code not in (204, 205, 304) \
                and not self.fields and self.connection.server.isPlain:
            return self.connection.Answer(self, code, contentType, contentCharset, b"", content)
        if not content or code == 205:          # RFC 9110 section 15.3.6
            content = b""
        elif not contentType:
            contentType = "application/octet-stream"
        return self.Answer(code, headers, contentType, contentCharset, content)

    def WriteResponseOk(self, headers=None, contentType=None, contentCharset=None, content=None):
        return self.WriteResponse(200, headers, contentType, contentCharset, content)

    def WriteResponseStream(self, pieces, contentType=None, contentCharset=None, headers=None, code=200):
        """pieces: an iterable of str or bytes, pulled as the client drains; async ones need microWebAsync.py."""
        asyncSource = hasattr(pieces, "__aiter__") and self.connection.server.AsyncSource
        try:
            pieces = (asyncSource or iter)(pieces)
        except TypeError:
            raise ValueError("pieces must be iterable; async ones need microWebAsync.py: %r" % (pieces,))
        return self.Answer(code, headers, contentType, contentCharset, b"", pieces)

    def WriteResponsePyHTMLFile(self, filepath, headers=None, vars=None):
        """Render the template; 501 without microWebTemplate.py, 404 without the file."""
        server = self.connection.server
        render = server.Renderers.get(".pyhtml")
        if not render:
            return self.WriteError(501)
        filepath = CheckText("filepath", filepath)
        flash = "cookie" in self.client.head.fields and self.client.GetCookies().get("flash")
        if flash:                               # the message of an earlier response, usually a redirect
            self.SetCookie("flash", "", 0)
            flash = PercentDecode(flash.encode())
        style, _, text = (self.flash or flash or "").partition("\n")
        values = {"MESSAGE_TEXT": text, "MESSAGE_STYLE": style}
        for more in vars, self.vars:
            if more:
                values.update(Pairs(more, "vars"))
        try:
            pieces = render(server, filepath, values)
        except OSError:
            return self.WriteResponseNotFound()
        if isinstance(pieces, tuple):           # the whole page in one piece
            return self.WriteResponse(200, headers, "text/html", "UTF-8", pieces[0])
        return self.WriteResponseStream(pieces, "text/html", "UTF-8", headers)

    def FlashMessage(self, messageText, messageStyle=""):
        """Set MESSAGE_TEXT and MESSAGE_STYLE for the next template that this client gets, also after a redirect."""
        self.flash = "%s\n%s" % (messageStyle, messageText)

    def WriteResponseFile(self, filepath, contentType=None, headers=None):
        """Send the file; if there is none, send 404 and return False."""
        server = self.connection.server
        filepath = CheckText("filepath", filepath)
        contentType = contentType or server.GetMimeTypeFromFilename(filepath) or "application/octet-stream"
        return server.SendFile(self, server.Disk, filepath, contentType, headers)

    def WriteResponseFileAttachment(self, filepath, attachmentName, headers=None):
        return self.WriteResponseFile(filepath, None,
                                      Pairs(headers) + [("Content-Disposition", Attachment(attachmentName))])

    def WriteResponseJSONOk(self, obj=None, headers=None):
        return self.WriteResponse(200, headers, "application/json", "UTF-8", ToJSON(obj))

    def WriteResponseJSONError(self, code, obj=None):
        return self.WriteResponse(code, None, "application/json", "UTF-8", ToJSON({} if obj is None else obj))

    def WriteResponseRedirect(self, location):
        """Send 302 to a URL or a path. Non-ASCII characters are percent-encoded."""
        # CR, LF and NUL are kept here, so that the header check refuses them.
        location = PercentEncode(CheckText("location", location), MARKS + "/\"%\\\r\n\x00")
        if self.flash:
            self.SetCookie("flash", PercentEncode(self.flash, UNRESERVED + "/"), 60)
        return self.WriteResponse(302, {"Location": location}, None, None, None)

    def WriteError(self, code, headers=None, rule=""):
        """Call the error handler of the program, or send a small HTML page with the status and `rule`, the broken
        rule."""
        server = self.connection.server
        handler = server.errorHandlers.get(code) or server.errorHandlers.get(None)
        if handler and self.code is None and not self.status:
            self.status = code
            self.rule = rule
            self.fields = self.fields + Pairs(headers)
            result = server.Call(handler, self.client, self, code)
            if result is not None and server.Returned:
                server.Returned(self, result)
            if self.code is not None:
                return True
        reason = Reason(code)
        return self.WriteResponse(code, headers, "text/html", "UTF-8",
                                  _HTML_ERROR % (code, reason, code, reason, HTMLEscape(rule)))

    def WriteResponseError(self, code):
        """Call the error handler of the program, or send a small HTML page with the status."""
        return self.WriteError(code)

    def WriteResponseBadRequest(self):
        return self.WriteError(400)

    def WriteResponseForbidden(self):
        return self.WriteError(403)

    def WriteResponseNotFound(self):
        """Send 404, or 302 if SetNotFoundPageUrl has set a URL."""
        url = self.connection.server.notFoundUrl
        if url and url != self.client.head.path:
            return self.WriteResponseRedirect(url)
        return self.WriteError(404)

    def WriteResponseMethodNotAllowed(self, allow=()):
        """Send 405 with Allow (RFC 9110 section 15.5.6). allow: methods; default: those of the path's routes."""
        allow = allow or self.connection.server.Allowed(self.client.head)
        try:
            return self.WriteError(405, {"Allow": allow if isinstance(allow, str) else ", ".join(allow)})
        except TypeError:
            raise ValueError("allow must be methods, not %r" % (allow,))

    def WriteResponseInternalServerError(self):
        return self.WriteError(500)

    def WriteResponseNotImplemented(self):
        return self.WriteError(501)

    def WriteResponseNotModified(self):
        return self.WriteResponse(304, None, None, None, None)
