# Request smuggling: two servers in a row interpret a message differently. CASES has each known way to hide one of the
# two framings from one server. We have to refuse the message or read it completely, and /smuggled must never be read.

from fuzz_laws import Requests

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
_POST = b"POST /p HTTP/1.1\r\nHost: a\r\n"
_CHUNKED_SMUGGLED = b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n"

# Lines that some servers accept as Transfer-Encoding: chunked and others don't. Here each is invalid.
CODINGS = [
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunkedx", b"Transfer-Encoding: x chunked",
    b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding: 'chunked'", b"Transfer-Encoding: (chunked)",
    b"Transfer-Encoding: chunked;", b"Transfer-Encoding: chunked;q=0", b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked chunked",
    b"Transfer-Encoding: chunked,", b"Transfer-Encoding: ,chunked", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunk", b"Transfer-Encoding: c\rhunked", b"Transfer-Encoding: chunked\r",
    b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding:\x0cchunked", b"Transfer-Encoding:\x00chunked",
    b"Transfer-Encoding: chunked\x00", b"Transfer-Encoding: chunked\x0b", b"Transfer-Encoding:\x1cchunked",
    b"Transfer-Encoding:\x85chunked", b"Transfer-Encoding:\xa0chunked", b"Transfer-Encoding:\xff chunked",
    b"Transfer-Encoding: \xef\xbb\xbfchunked", b"Transfer-Encoding: chun\xe2\x84\xaaed", b"Transfer-Encoding:\n chunked",
    b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding:\r\n\tchunked", b"Transfer-Encoding\r\n : chunked",
    b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked",
    b"\tTransfer-Encoding: chunked", b"\x0bTransfer-Encoding: chunked", b"Transfer-Encoding\x00: chunked",
    b"Transfer-Encoding\xa0: chunked", b"Transfer\x00-Encoding: chunked", b"Transfer-\r\n Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked", b"X: y\r\n Transfer-Encoding: chunked",
    b"X:\r\n\r Transfer-Encoding: chunked", b": y\r\nTransfer-Encoding: chunked", b"Transfer-Encoding; chunked",
    b"Transfer-Encoding", b"Transfer-Encoding:", b"Transfer-Encoding: ", b"Transfer-Encoding:\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", b"\r\nTransfer-Encoding: chunked",
]

# Correct lines, which are invalid together with a Content-Length.
PLAIN = [b"Transfer-Encoding: chunked", b"TRANSFER-ENCODING: CHUNKED", b"transfer-encoding:chunked",
         b"Transfer-Encoding:\tchunked\t", b"Transfer-Encoding: chunked   "]

# Other field names: a server that accepts them as the coding is wrong; here only Content-Length counts.
STRANGERS = [b"Transfer_Encoding: chunked", b"X-Transfer-Encoding: chunked", b"TransferEncoding: chunked",
             b"Transfer-Encodin: chunked", b"Transfer-Encoding-: chunked", b"X: Transfer-Encoding: chunked",
             b"TE: chunked", b"Transfer.Encoding: chunked"]

# Lines that some servers accept as the length of SMUGGLED and others don't.
_LENGTH = b"%d" % len(SMUGGLED)
LENGTHS = [b"Content-Length" + text.replace(b"N", _LENGTH) for text in (
    b": +N", b": -N", b": N,N", b": N, 0", b": 0, N", b": N 0", b": 0xN", b": N.0", b": Ne0", b": 0N_0", b": N\x00", b": N\r",
    b": \x0bN", b": \xa0N", b": \"N\"", b": N;0", b": N\x85", b" : N", b"\t: N", b"\x00: N", b":\r\n N", b"\r\n : N", b":",
    b": N\r\nContent-Length: 0", b": 0\r\nContent-Length: N", b": N\r\nContent-Length: N", b": N\r\nContent-Length:",
    b": N\r\ncontent-length: 0", b": 0\r\n CONTENT-LENGTH: N", b": 99999999999999999999N", b": \xd9\xa3\xd9\xa5")]


def _Cases():
    """(description, bytes): each must be refused."""
    rest = b"0\r\n\r\n" + SMUGGLED
    for line in CODINGS + PLAIN:
        yield "CL.TE", _POST + b"Content-Length: %d\r\n" % len(rest) + line + b"\r\n\r\n" + rest
        yield "TE.CL", _POST + line + b"\r\nContent-Length: 4\r\n\r\n" + _CHUNKED_SMUGGLED
        yield "TE.TE", _POST + b"Transfer-Encoding: chunked\r\n" + line + b"\r\n\r\n" + rest
        yield "TE.TE, the other first", _POST + line + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + rest
    for line in CODINGS:
        yield "TE.0", _POST + line + b"\r\n\r\n" + _CHUNKED_SMUGGLED
    for line in PLAIN:
        yield "TE in HTTP/1.0", _POST.replace(b"/1.1", b"/1.0") + line + b"\r\n\r\n" + rest
    for line in LENGTHS:
        yield "CL", _POST + line + b"\r\n\r\n" + SMUGGLED
        yield "CL and TE", _POST + b"Transfer-Encoding: chunked\r\n" + line + b"\r\n\r\n" + rest


REFUSED = list(_Cases())
REST = b"0\r\n\r\n" + SMUGGLED
WHOLE = [(line.decode(), _POST + b"Content-Length: %d\r\n" % len(REST) + line + b"\r\n\r\n" + REST) for line in STRANGERS]


def Check():
    """Check all cases on this runtime -> their number."""
    for what, data in REFUSED:
        requests, _, state = Requests([data])
        if state != "refused" or "/smuggled" in [one[1] for one in requests]:
            raise AssertionError((what, data, requests, state))
    for what, data in WHOLE:
        requests, _, state = Requests([data])
        if state != "idle" or [one[4] for one in requests] != [REST]:
            raise AssertionError((what, data, requests, state))
    return len(REFUSED) + len(WHOLE)


if __name__ == "__main__":
    print("%d CHECKED" % Check())
