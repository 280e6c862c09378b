"""CONNECTION: the tables of mp/room_connection.py, on both runtimes; and what hypothesis makes of their bytes."""

import re

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

import cases_http as cases
import microWebSrv
from http_tools import CheckRow, RoomTest, rooms
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
    """A row of the tables with a few places changed; perhaps another row behind it."""
    data = draw(st.sampled_from(ROWS))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, min(len(data), 300)))
        data = data[:at] + draw(BYTES) + data[at + draw(st.integers(0, 2)):]
    return data + draw(st.sampled_from((b"", cases.NEXT)))


def Limits():
    return rooms.Limits(8192, 32768)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(Mutated(), st.lists(st.integers(1, 400), max_size=4))
def test_any_bytes_cut_anywhere(data, cuts):
    """Whatever the bytes: requests or a status, no other exception, and the same however they arrive."""
    at = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in zip(at, at[1:]) if data[start:end]]
    assert Requests(pieces, Limits()) == Requests([data], Limits())


def InH11(data):
    """The requests as h11 reads them, and 'error' or 'more' where they end so. (Of empty lines before one it knows none.)"""
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
                if events[-1] is h11.NEED_DATA:
                    return [*requests, "more"]
        except h11.RemoteProtocolError:
            return [*requests, "error"]
        body = b"".join(bytes(event.data) for event in events[1:-1])
        requests.append((events[0].method.decode(), events[0].target.decode(), body))
        data = peer.trailing_data[0]


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(Mutated())
def test_nothing_is_read_that_h11_reads_otherwise(data):
    """What both accept, both read alike; what we accept and h11 refuses is named here."""
    ours = Requests([data], Limits())
    accepted = [request for request in ours if isinstance(request, tuple)]
    theirs = InH11(data)
    for index, request in enumerate(accepted):
        other = theirs[index] if index < len(theirs) else "none"
        if other == "error":
            assert Lenient(data), (ours, theirs)
            return
        assert other != "none" and other != "more", (ours, theirs)
        assert (request[0], request[4]) == (other[0], other[2]), (ours, theirs)
        line = microWebSrv._ParseRequestLine(("%s %s HTTP/1.1" % other[:2]).encode())
        assert (line.path, line.query) == request[1:3]


def Lenient(data):
    """A chunk's extension may have spaces before it and bytes that h11 forbids (9112 section 7.1.1)."""
    return re.search(rb"\r\n[0-9A-Fa-f]+[ \t]*;", data)
