"""CONNECTION: the tables of mp/room_connection.py, on both runtimes; and mutations of their bytes by hypothesis."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases_http as cases
from http_tools import CheckRow, RoomTest, rooms
import fuzz_h11  # mp/ is on the path since http_tools is imported
from room_connection import Requests


@RoomTest("connection")
def test_connection(interpreter, row):
    CheckRow(interpreter, row)


ROWS = [row[1] for row in cases.GOOD + cases.SMUGGLING] + [row[2] for row in cases.BAD_FRAMING]
BYTES = st.sampled_from([b"", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\x00", b"\x0b", b"\x85", b"\xa0", b"\xff", b":", b",", b";",
                         b"0", b"5", b"a", b"-", b"+", b"/", b"%", b"\"", b"HTTP/1.1", b"chunked", b"Host: a\r\n",
                         b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n", b"0\r\n\r\n"])


@st.composite
def Mutated(draw):
    """A row of the tables with a few changed bytes, optionally followed by another row."""
    data = draw(st.sampled_from(ROWS))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, min(len(data), 300)))
        data = data[:at] + draw(BYTES) + data[at + draw(st.integers(0, 2)):]
    return data + draw(st.sampled_from((b"", cases.NEXT)))


def Limits():
    return rooms.Server(8192, 32768)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(Mutated(), st.lists(st.integers(1, 400), max_size=4))
def test_any_bytes_cut_anywhere(data, cuts):
    """Any bytes give requests or a status, no other exception, and the same result however they are split."""
    at = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in zip(at, at[1:]) if data[start:end]]
    assert Requests(pieces, Limits()) == Requests([data], Limits())


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(Mutated())
def test_nothing_is_read_that_h11_reads_otherwise(data):
    """Verdict, number of requests and their bodies are the same as h11's; known differences have a name in
    mp/fuzz_h11.py."""
    fuzz_h11.Compare(data)


# For each name: bytes on which we differ from h11 only for this reason.
_GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
_POST = b"POST /p HTTP/1.1\r\nHost: a\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
DISAGREE = {
    "CR or LF alone": b"GET / HTTP/1.1\nHost: a\n\n",
    "malformed header field": _GET + b"X: y\r\n z\r\n\r\n",
    "malformed request line": b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "malformed request target": b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    "only OPTIONS may ask for *": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a URI without a host": b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
    "malformed percent-encoding or UTF-8 in the path": b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "only HTTP/1.x is supported": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "missing Host": b"GET / HTTP/1.2\r\n\r\n",
    "malformed Host": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "malformed or repeated Content-Length": _POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "bad Transfer-Encoding": _POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Content-Length too large": _POST + b"Content-Length: 1234567890123456789\r\n\r\nhello",
    "unknown expectation": _GET + b"Expect: more\r\n\r\n",
    "malformed chunk size": _CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
    "chunk or trailer line too long": _CHUNKED + b"5;" + b"a" * 5000,
    "malformed chunk or trailer": _CHUNKED + b"0\r\nX: y\nZ: z\r\n\r\n",
    "malformed or endless trailers": _CHUNKED + b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 200 + b"\r\n",
    "too many header fields": _GET + b"X: y\r\n" * 100 + b"\r\n",
    "request line too long": b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "request head too long": _GET + b"X: " + b"y" * 33000 + b"\r\n\r\n",
    "content above MaxRequestContentLen": _POST + b"Content-Length: 9999999999999\r\n\r\nhello",
    "RFC 3986 section 2": b"GET /\xc3\xa9?\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "7.1": _CHUNKED + b"0" * 30 + b"5\r\nhello\r\n0\r\n\r\n",
    "7.1.1": _CHUNKED + b"5 ;a\r\nhello\r\n0\r\n\r\n",
    "7.1.2": _CHUNKED + b"0\r\nContent-Length: x\r\n\r\n",
}
# In HTTP/1.0 the coding alone is invalid; h11 unfolds a folded trailer.
MORE = [("bad Transfer-Encoding", b"POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("malformed or endless trailers", _CHUNKED + b"0\r\nX: y\r\n z:\r\n\r\n"),
        ("malformed header field", _GET + b"X: y\nZ: z\r\n\r\n"), ("malformed header field", _GET + b"X: y\r\n z:\r\n\r\n")]


@pytest.mark.parametrize("name, data", [*DISAGREE.items(), *MORE])
def test_disagreements_with_h11(name, data):
    assert fuzz_h11.Compare(data).startswith(name)


def test_every_name_of_a_disagreement_is_shown():
    names = [name for name, _ in fuzz_h11.STRICTER] + [name.partition(":")[0] for name, _ in fuzz_h11.LAXER]
    assert sorted(names) == sorted(DISAGREE)
