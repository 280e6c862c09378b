"""Browsers load their pages again when a file of the site changes: HTML responses get a script, which listens to a
stream of server-sent events. Only the command does this, and only while it watches the files. A board never does."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

import microWebEvents
import microWebSrv
from microWebSrv import MicroWebSrv

SCRIPT_PATH = "/.microwebsrv/live.js"
STREAM_PATH = "/.microwebsrv/live"
FILE_MAX = 1 << 20                  # a larger file is not read as a whole, and gets the script at its end
RETRY_MS = 500
SHOWN = (200, 201, 202, 203, 300, *range(400, 600))     # statuses of pages; a browser shows no content of the others
# A hidden page closes its stream, because a browser opens only a few connections to one address.
SCRIPT = """\
(() => {
    let seen, stream;
    const open = () => {
        stream = new EventSource("%s");
        stream.onmessage = (event) => {
            if (seen !== undefined && seen !== event.data) location.reload();
            seen = event.data;
        };
        stream.onerror = () => {
            if (stream.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || open(), 1000);
        };
    };
    const follow = () => {
        if (stream) stream.close();
        if (!document.hidden) open();
    };
    document.addEventListener("visibilitychange", follow);
    addEventListener("pagehide", () => stream && stream.close());
    addEventListener("pageshow", (event) => event.persisted && follow());
    follow();
})();
""" % STREAM_PATH
# Fields for the browser's cache. It must not keep pages: a copy from before may lack the script, and a copy with the
# script would still be used after the command has ended.
_KEPT = re.compile(rb"(?im)^(?:etag|last-modified|accept-ranges|cache-control|age|expires):[^\r\n]*\r\n")
_POLICY = re.compile(rb"(?im)^(content-security-policy(?:-report-only)?:)([^\r\n]*)")
_TYPE = re.compile(rb"(?im)^content-type:([^\r\n]*)")
_END = re.compile(rb"</body\s*>(?:\s|</html\s*>|<!--(?:(?!-->).)*-->)*", re.I | re.S)
_DOCUMENT = re.compile(rb"<(?:!doctype|html|head|body)\b", re.I)


# -- a policy of the page ---------------------------------------------------------------

def _With(directives: list[list[str]], names: tuple[str, ...], source: str) -> None:
    """Add a source to the first of these directives that the policy has."""
    for name in names:
        for words in directives:
            if words[0].lower() != name:
                continue
            sources = [word for word in words[1:] if word.lower() != "'none'"] + [source]
            if name == "default-src":           # it must not change for other kinds of content
                directives.append([names[0], *sources])
            else:
                words[1:] = sources
            return


def Allowed(policy: str, origin: str, nonce: str) -> str:
    """Return a Content-Security-Policy that also allows the script and its stream (CSP level 3, 6.7.2)."""
    found = []
    for one in policy.split(","):
        directives = [part.split() for part in one.split(";") if part.strip()]
        isStrict = any("'strict-dynamic'" in words for words in directives)
        if "[" in origin:                       # a policy can't name an IPv6 address
            script = stream = "'self'"
        else:
            script, stream = origin + SCRIPT_PATH, origin + STREAM_PATH
        script = "'nonce-%s'" % nonce if isStrict else script
        _With(directives, ("script-src-elem", "script-src", "default-src"), script)
        _With(directives, ("connect-src", "default-src"), stream)
        found.append("; ".join(" ".join(words) for words in directives))
    return ", ".join(found)


# -- a response --------------------------------------------------------------------------

class Appended:
    """The pieces of a source, and then the script. The source stays that of the connection, because some sources
    compare it with themselves."""

    def __init__(self, source: Any, tag: bytes) -> None:
        self.source, self._tag = source, tag

    def __iter__(self) -> Appended:
        return self

    def __next__(self) -> Any:
        try:
            return next(self.source)
        except StopIteration:
            tag, self._tag = self._tag, b""
            if not tag:
                raise
            return tag


def Inserted(content: bytes, tag: bytes) -> bytes:
    """Put the tag before the end of the body, or at the end of the page if the last "</body" is something else, such as
    a text in a script."""
    content = bytes(content)
    at = content.lower().rfind(b"</body")
    return content[:at] + tag + content[at:] if at >= 0 and _END.fullmatch(content, at) else content + tag


def _Whole(source: Any, length: int | None) -> bytes | None:
    """Return the whole content of a small file, or None."""
    if length is None or length > FILE_MAX or not hasattr(source, "responseHead"):
        return None
    pieces: list[bytes] = []
    try:
        while sum(len(piece) for piece in pieces) < length:
            pieces.append(bytes(next(source)))
    finally:
        source.close()
    return b"".join(pieces)


def IsPage(fields: Any, method: str) -> bool:
    """True if a browser asks for a page to show. Scripts that fetch parts of pages don't, and curl doesn't."""
    kind = fields.get("sec-fetch-dest", "document")
    return method in ("GET", "POST") and "text/html" in fields.get("accept", "") and kind == "document" \
        and "hx-request" not in fields and fields.get("x-requested-with", "").lower() != "xmlhttprequest"


def Takes(head: Any, contentType: str | None, charset: str | None, lines: bytes, body: bytes, source: Any) -> bool:
    """True if the script can be added to this content. It can't if the content is compressed, a range, or only a part
    of a page."""
    found = _TYPE.search(lines)
    kind = contentType or (found.group(1).decode("latin-1") if found else "")
    if kind.split(";")[0].strip().lower() != "text/html" or "utf-16" in (kind + (charset or "")).lower():
        return False
    if re.search(rb"(?im)^content-(?:encoding|range|disposition):", lines):
        return False
    isShown = "sec-fetch-dest" in head.fields               # the browser will show the content as a page
    return isShown or source is not None or _DOCUMENT.search(body[:2000]) is not None


class Reload:
    """The stream of this process, and the changes to the server that add the script to responses."""

    def __init__(self) -> None:
        self.hub = microWebEvents.MicroWebEvents()
        self.nonce = secrets.token_urlsafe(12)
        self._version = time.time_ns()          # differs after each start of the program

    def Changed(self) -> None:
        """Called from any thread when a file of the site has changed."""
        self._version += 1
        self._Tell()

    def _Tell(self) -> None:
        self.hub.Send("%d" % self._version, retry=RETRY_MS)

    def Stream(self, client: Any, response: Any) -> None:
        response.WriteResponseEventStream(self.hub)
        self._Tell()                            # the other clients get their current version once more

    def Script(self, client: Any, response: Any) -> None:
        response.WriteResponseOk({"Cache-Control": "no-store"}, "text/javascript", "UTF-8", SCRIPT)

    def Open(self) -> None:
        """Change all servers of this process."""
        core: Any = microWebSrv
        routes = {path: core.Route(path, "GET", handler) for path, handler in (
            (STREAM_PATH, self.Stream), (SCRIPT_PATH, self.Script))}
        find, answer, construct = core.MicroWebSrv.Find, core.Connection.Answer, core.HttpClient.__init__
        take = core.Connection._Take
        core.Connection.appended = None
        reload = self

        def Find(server: MicroWebSrv, head: Any) -> Any:
            if head.path in routes and head.method == "GET":
                return routes[head.path], core.NO_ARGS
            return find(server, head)

        def Construct(client: Any, connection: Any) -> None:
            construct(client, connection)
            fields = client.head.fields
            if IsPage(fields, client.head.method):
                for name in ("if-none-match", "if-modified-since"):
                    fields.pop(name, None)

        def Answer(connection: Any, response: Any, code: int, contentType: str | None, charset: str | None,
                   lines: bytes, body: bytes, source: Any = None, length: int | None = None) -> bool:
            args = lines, body, source, length
            isWhole = response is connection.response and source is not response    # False if pieces are pushed
            if isWhole and IsPage(connection.head.fields, connection.head.method) and code in SHOWN \
                    and Takes(connection.head, contentType, charset, *args[:3]):
                args = reload.WithScript(connection, *args)
            return bool(answer(connection, response, code, contentType, charset, *args))

        def Take(connection: Any, source: Any, head: bytes) -> Any:
            appended = connection.appended
            return take(connection, appended if appended and appended.source is source else source, head)

        core.MicroWebSrv.Find, core.Connection.Answer, core.HttpClient.__init__ = Find, Answer, Construct
        core.Connection._Take = Take

    def WithScript(self, connection: Any, lines: bytes, body: bytes, source: Any,
                   length: int | None) -> tuple[bytes, bytes, Any, int | None]:
        tag = b'<script src="%s" nonce="%s"></script>' % (SCRIPT_PATH.encode(), self.nonce.encode())
        host = connection.head.fields.get("host", "")
        origin = ("https://" if connection.link.isSecure else "http://") + host

        def Policy(found: re.Match[bytes]) -> bytes:
            policy = Allowed(found.group(2).decode("latin-1"), origin, self.nonce)
            return found.group(1) + b" " + policy.encode("latin-1")

        lines = _POLICY.sub(Policy, _KEPT.sub(b"", lines)) + b"Cache-Control: no-store\r\n"
        if source is None:
            return lines, Inserted(body, tag), None, None
        content = _Whole(source, length)
        if content is not None:
            return lines, Inserted(content, tag), None, None
        connection.appended = Appended(source, tag)
        return lines, body, source, None if length is None else length + len(tag)
