"""The page for a handler or a template that has failed: the line with the source around it, and the traceback. Only
browsers on this computer get this page, and only while Debug is on."""

from __future__ import annotations

import ipaddress
import linecache
import os
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import microWebSrv
from microwebsrv import faults

AROUND = 5                          # lines shown above and below
LINE_MAX = 300                      # characters of a line that are shown
SECURITY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
PROXY = "forwarded", "via", "x-real-ip"                     # fields that proxies add, beside X-Forwarded-For and others
_OF_TEMPLATE = re.compile(r"(.+?), line (\d+): (.*)", re.S)
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>%(what)s</title>
<style>
:root { color-scheme: light dark; --mark: #ffe08a; --line: #8888; }
@media (prefers-color-scheme: dark) { :root { --mark: #5c4700; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.4em; overflow-wrap: anywhere; }
h2 { font-size: 1.1em; margin-top: 2em; overflow-wrap: anywhere; }
pre { font: 14px/1.6 ui-monospace, monospace; border: 1px solid var(--line); border-radius: 6px; overflow: auto;
      padding: .5em 0; }
pre > * { display: block; padding: 0 1em; text-decoration: none; min-width: max-content; }
mark { background: var(--mark); color: inherit; }
footer { margin-top: 2em; border-top: 1px solid var(--line); }
</style></head><body>
<h1>%(what)s</h1>
<p>%(request)s was answered with 500.</p>
%(source)s<h2>Traceback</h2>
<pre><code>%(trace)s</code></pre>
<footer><p>Only browsers on this computer see this page. Without it: <code>--no-debug</code>, or
<code>mws.Debug = False</code> in the program.</p></footer>
</body></html>
"""


@dataclass
class Failure:
    """The parts of an exception that the page shows."""

    what: str                       # ZeroDivisionError: division by zero
    file: str
    line: int
    trace: str


def Explain(error: BaseException, folder: Path) -> Failure:
    """Find the line to show: the line of the template, else the innermost line of the program, else the innermost line
    of a library."""
    text = "%s: %s" % (type(error).__name__, error)
    ofPage = _OF_TEMPLATE.fullmatch(str(error)) if type(error).__name__ == "TemplateError" else None
    if ofPage and os.path.isfile(ofPage.group(1)):
        return Failure(ofPage.group(3).split("\n")[0], ofPage.group(1), int(ofPage.group(2)), faults.Told(error))
    if isinstance(error, SyntaxError) and error.filename and os.path.isfile(error.filename):
        return Failure(text, error.filename, error.lineno or 1, faults.Told(error))
    frames = faults.Frames(error)
    mine = [one for one in frames if Path(one.filename).is_relative_to(folder)] or frames
    return Failure(text, mine[-1].filename if mine else "", (mine[-1].lineno or 0) if mine else 0, faults.Told(error))


def Around(failure: Failure) -> list[tuple[int, str]]:
    """Return (number, text) of the lines to show, or [] if the file can't be read."""
    if not failure.file:
        return []
    linecache.checkcache(failure.file)
    try:
        lines = linecache.getlines(failure.file) or Path(failure.file).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    first = max(1, failure.line - AROUND)
    return [(first + at, line.rstrip("\n")[:LINE_MAX])
            for at, line in enumerate(lines[first - 1:failure.line + AROUND])]


def Html(failure: Failure, request: str, folder: Path) -> str:
    shown = "".join("<%s>%5d  %s</%s>" % (tag, number, escape(text), tag) for number, text, tag in (
        (number, text, "mark" if number == failure.line else "span") for number, text in Around(failure)))
    place = "%s, line %d" % (faults.Short(failure.file, folder), failure.line)
    return PAGE % {"what": escape(failure.what), "request": escape(request), "trace": escape(failure.trace),
                   "source": "<h2>%s</h2>\n<pre>%s</pre>\n" % (escape(place), shown) if shown else ""}


def Text(failure: Failure, request: str, folder: Path) -> str:
    """The same content for clients that do not accept HTML."""
    lines = ["%s%5d  %s" % (">" if number == failure.line else " ", number, text) for number, text in Around(failure)]
    place = ["%s, line %d" % (faults.Short(failure.file, folder), failure.line), *lines, ""] if lines else []
    return "\n".join([failure.what, "%s was answered with 500." % request, "", *place, failure.trace, ""])


def _Address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _IsOwn(text: str, link: Any) -> bool:
    """True for a loopback address, and for the address at which the connection arrived."""
    address = _Address(text)
    return address.is_loopback or address == _Address(link.sock.getsockname()[0])


def _IsForeign(head: Any) -> bool:
    """True if a proxy or a page of another site has sent the request."""
    fields = head.fields
    return any(name in PROXY or name.startswith("x-forwarded-") for name in fields) \
        or fields.get("sec-fetch-site", "none") not in ("none", "same-origin", "same-site") \
        or "origin" in fields and fields["origin"].partition("://")[2].lower() != head.authority.lower()


def IsHere(client: Any) -> bool:
    """Security: True if the request comes from this computer. A request from a proxy may come from anywhere, so it does
    not count. A page of another site may be allowed to read responses (CORS), or its name may lead to this computer
    (DNS rebinding), so Host must be localhost, an address of this computer, or the name that the server listens on."""
    head, link = client.head, client.connection.link
    name = re.sub(r":\d*$", "", head.authority).lower()
    try:
        return not _IsForeign(head) and _IsOwn(link.GetAddr()[0], link) and bool(name) \
            and (name in ("localhost", client.GetServer().bindIP.lower()) or _IsOwn(name.strip("[]"), link))
    except (OSError, ValueError, AttributeError):       # a request in a worker thread has no socket
        return False


class Pages:
    """Changes the server: each failed handler is answered with the page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def Open(self) -> None:
        core: Any = microWebSrv
        connections, responses = core.Connection, core.HttpResponse
        failed, writeError = connections.Failed, responses.WriteError
        pages = self

        def Failed(connection: Any, response: Any, error: BaseException) -> None:
            response.failure = error
            failed(connection, response, error)
            response.failure = None             # its traceback would keep all variables of the handler

        def WriteError(response: Any, code: int, headers: Any = None, rule: str = "") -> bool:
            error = getattr(response, "failure", None)
            if code == 500 and error is not None and response.client.GetServer().Debug:
                if IsHere(response.client):
                    return pages.Write(response, error)
                rule = ""
            return bool(writeError(response, code, headers, rule))

        connections.Failed, responses.WriteError = Failed, WriteError

    def Write(self, response: Any, error: BaseException) -> bool:
        client = response.client
        failure = Explain(error, self.folder)
        request = "%s %s" % (client.GetRequestMethod(), client.GetRequestTotalPath())
        isHtml = "text/html" in client.head.fields.get("accept", "")
        content = (Html if isHtml else Text)(failure, request, self.folder)
        return bool(response.WriteResponse(500, SECURITY, "text/html" if isHtml else "text/plain", "UTF-8",
                                           content.encode("utf-8", "backslashreplace")))
