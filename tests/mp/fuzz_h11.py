# Compares our verdict on any bytes with h11's, on CPython: the requests, their bodies, and the refusals. Every known
# kind of difference has a name here; an unnamed one is an AssertionError.

import re

import h11
import microWebSrv as core
from fuzz_laws import Requests

import rooms

# What we refuse and h11 accepts: (the rule that our refusal names, the reason)
STRICTER = (
    ("CR or LF alone", "2.2: h11 takes LF for CRLF, which a recipient may; we hold who does so for two parsers at odds"),
    ("malformed header field", "2.2: LF alone between two fields, the same; 5.2: h11 unfolds an obs-fold, which a server must "
     "refuse or replace; 5.5: DEL and others in a value"),
    ("malformed request line", "3: h11 lets a fragment stand in a target"),
    ("malformed request target", "3.2: h11 does not look into targets"),
    ("only OPTIONS may ask for *", "3.2.4: h11 does not look into targets"),
    ("a URI without a host", "RFC 9110 4.2.1: h11 does not look into targets"),
    ("malformed percent-encoding or UTF-8 in the path", "3: h11 does not look into targets"),
    ("only HTTP/1.x is supported", "2.3: h11 leaves the version to whoever calls it"),
    ("missing Host", "3.2: h11 asks for a Host in HTTP/1.1 only, not in a version above it"),
    ("malformed Host", "3.2: h11 counts the Host fields and does not look into them"),
    ("malformed or repeated Content-Length", "6.3 step 5: h11 takes 5, 5 for 5, which a recipient may"),
    ("bad Transfer-Encoding", "6.1: beside a Content-Length h11 lets it win, which a server may; both is smuggling. In "
     "HTTP/1.0 it is faulty framing, h11 reads it as chunked"),
    ("Content-Length too large", "h11 takes up to 20 digits"),
    ("unknown expectation", "RFC 9110 10.1.1: 417 for what we don't know, which a server may"),
    ("malformed chunk size", "7.1: h11 allows spaces behind a size without an extension"),
    ("chunk or trailer line too long", "7.1.1: our limit of 4096 bytes, h11's is that of a head"),
    ("malformed chunk or trailer", "2.2: LF alone in trailers, and a line without its end above our limit"),
    ("malformed or endless trailers", "5.2: h11 unfolds an obs-fold in trailers too; 7.1.2: our limit of 4096 bytes"),
    ("too many header fields", "our limit"),
    ("request line too long", "our limit"),
    ("request head too long", "our limit"),
    ("content above MaxRequestContentLen", "our limit; the number is behind it"),
)

# What we accept and h11 refuses: (description, pattern of the bytes)
LAXER = (
    ("RFC 3986 section 2: raw UTF-8 in a target is no URI; there is one way to read it", b"(^|\n)[^ ]+ [^ ]*[\x80-\xff]"),
    ("7.1: any number of zeros before a size; h11 has 20 digits", b"\r\n0[0-9A-Fa-f]{20,}"),
    ("7.1.1: spaces before a chunk's extension are read (BWS)", b"\r\n[0-9A-Fa-f]+[ \t]*;"),
    ("7.1.2: trailers are dropped; h11 checks the framing that they don't rule",
     b"\r\n0+[^\r\n]*\r\n.*(content-length|transfer-encoding|host|connection)"),
)

def Rule(data):
    """The rule that our refusal names, or None."""
    server = rooms.Server()
    rooms.Play([data], server)
    return server.refusals[0][1] if server.refusals else None


def InH11(data):
    """The requests as h11 parses them, with 'error' or 'more' at the end if they end so. h11 does not accept empty
    lines before a request."""
    requests = []
    while True:
        while data.startswith(b"\r\n"):
            data = data[2:]
        if not data:
            return requests
        peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16)
        peer.receive_data(data)
        events = []
        try:
            while not events or not isinstance(events[-1], h11.EndOfMessage):
                events.append(peer.next_event())
                if events[-1] in (h11.NEED_DATA, h11.PAUSED):
                    return [*requests, "more"]
        except h11.RemoteProtocolError:
            return [*requests, "error"]
        body = b"".join(bytes(event.data) for event in events[1:-1])
        requests.append((events[0].method.decode(), events[0].target.decode("latin-1"), body))
        data = peer.trailing_data[0]


def Compare(data):
    """Both give the same requests with the same bodies, or the difference has a name. -> that name, or None."""
    requests, _, state = Requests([data])
    theirs = InH11(data)
    for index, request in enumerate(requests):
        other = theirs[index] if index < len(theirs) else "idle"
        if not isinstance(other, tuple):
            return _Laxer(data, requests, theirs)
        line = core.ParseHead(("%s %s HTTP/1.1\r\nHost: a" % other[:2]).encode("latin-1"))
        same = (other[0], line.path, line.query, other[2])
        assert (request[0], request[1], request[2], request[4]) == same, ("read otherwise", requests, theirs)
    other = theirs[len(requests)] if len(requests) < len(theirs) else "idle"
    if state == "closed" or other == state or (state, other) == ("refused", "error"):
        return None
    if state == "refused":
        return _Stricter(data, requests, theirs)
    if state == "more":
        return _Later(data, requests, theirs)
    raise AssertionError(("one of us waits", state, requests, theirs))


def _Stricter(data, ours, theirs):
    rule = Rule(data)
    for named, _ in STRICTER:
        if named == rule or rule and rule.partition(",")[0] == named:
            return named
    if re.search(b"(?<!\r)\n", data):          # h11 ends a line at it, so the line that we refuse does not exist there
        return "CR or LF alone"
    raise AssertionError(("we refuse what h11 accepts", rule, ours, theirs))


def _Laxer(data, ours, theirs):
    for name, pattern in LAXER:
        if re.search(pattern, data, re.I | re.S):
            return name
    raise AssertionError(("we accept what h11 refuses", ours, theirs))


def _Later(data, ours, theirs):
    """h11 refuses it already, or accepts it since LF ends a line there; we refuse it when the line or the head is
    complete."""
    for end in (b"\r\n", b"\r\n\r\n", b"\n\r\n\r\n", b"x" * 300 + b"\r\n\r\n"):
        if Requests([data + end])[2] == "refused":
            return "refused a line later"
    return _Laxer(data, ours, theirs)
