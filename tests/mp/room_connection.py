# Room 6, CONNECTION: messages as bytes -> what was read, however the bytes were cut.

import cases_http as cases
import microWebSrv as core

import rooms

_EVENTS = ("need", "head", "body", "end")
_MORE = "more"


def _Limits(memoLen=0):
    return rooms.Limits(cases.MAX_LINE, cases.MAX_HEAD, memoLen)


def Fields(fields):
    """As a dict that prints (MicroPython makes no dict of a subclass of dict)."""
    return {name: fields[name] for name in fields}


def Requests(pieces, limits):
    """-> [(method, path, query, fields, body, keepAlive), …] and a status, or 'more', where the last is not whole."""
    connection = core._Connection(limits)
    requests = []
    for piece in pieces:
        connection.Receive(piece)
        try:
            if not _Read(connection, requests):
                return requests
        except core._HttpError as error:
            if requests and requests[-1] is _MORE:
                requests.pop()
            return requests + [error.status]
    return requests


def _Read(connection, requests):
    """As far as the bytes go; False: the connection has had its last request."""
    while True:
        event = _EVENTS[connection.Next()]
        if event == "need":
            if connection.HeadBegun() and (not requests or requests[-1] is not _MORE):
                requests.append(_MORE)
            return True
        if requests and requests[-1] is _MORE:
            requests.pop()
        if event == "head":
            line, fields, body = connection.line, connection.fields, b""
            connection.body = b""
            if connection.reader:
                requests.append(_MORE)
                continue
        elif event in ("body", "end"):
            connection.body += connection.piece
            if event == "body":
                requests.append(_MORE)
                continue
        line, fields, body = connection.line, connection.fields, connection.body
        requests.append((line.method, line.path, line.query, Fields(fields), body, bool(connection.keepAlive)))
        if not connection.EndResponse():
            return False


def _Cuts(size):
    """Every byte boundary; of an endless message those at its ends and some between."""
    if size < 1500:
        return range(1, size)
    return list(range(1, 300)) + list(range(300, size - 300, 97)) + list(range(size - 300, size))


def Outcome(data):
    """The same however the bytes arrive, and whether lines and fields are remembered from before or not."""
    whole = Requests([data], _Limits())
    for at in _Cuts(len(data)):
        cut = Requests([data[:at], data[at:]], _Limits())
        if cut != whole:
            return "cut at", at, cut, whole
    single = Requests([data[at:at + 1] for at in range(len(data))], _Limits())
    if single != whole:
        return "byte by byte", single, whole
    limits = _Limits(8)
    for _ in range(2):
        remembered = Requests([data], limits)
        if remembered != whole:
            return "remembered", remembered, whole
    if whole and whole[-1] == _MORE:
        return whole
    return _WithNext(data, whole)


def _WithNext(data, whole):
    """In one piece with its successor: read as the next request, or not at all."""
    both = Requests([data + cases.NEXT], _Limits())
    if whole and whole[-1] in range(400, 600) or not whole[-1][-1]:
        return whole if both == whole else ("with its successor", both, whole)
    if _Named(both[-1:], [cases.NEXT_REQUEST]) != [cases.NEXT_REQUEST] or both[:-1] != whole:
        return "with its successor", both, whole
    return whole


def _Named(requests, expected):
    """Of the fields those that the table names."""
    named = []
    for index, request in enumerate(requests):
        if isinstance(request, tuple) and index < len(expected) and isinstance(expected[index], tuple):
            fields = {name: request[3].get(name) for name in expected[index][3]}
            request = request[:3] + (fields,) + request[4:]
        named.append(request)
    return named


def Played(data, expected):
    outcome = Outcome(data)
    return _Named(outcome, expected) if isinstance(outcome, list) else outcome


def NeverSmuggled(data, expected):
    outcome = Played(data, expected)
    return ("smuggled", outcome) if "/smuggled" in [request[1] for request in outcome if isinstance(request, tuple)] \
        else outcome


# What is known before the end: whoever sends LF alone would otherwise wait for an answer until the deadline.
EARLY = [
    ((b"GET / HTTP/1.1\n",), [400]),
    ((b"GET / HTTP/1.1\r\nHost: a\n",), [400]),
    ((b"GET / HTTP/1.1\rHost: a\r\r",), [400]),
    ((b"\n",), [400]),
    ((b"GET /" + b"a" * cases.MAX_LINE,), [414]),
    ((b"GET / HTTP/1.1\r\nX: " + b"y" * cases.MAX_HEAD,), [431]),
    ((b"",), []),
    ((b"\r\n",), []),
    ((b"\r\n\r\n",), []),
    ((b"\r",), ["more"]),
    ((b"GET / HTTP/1.1\r\nHost: a\r\n",), ["more"]),
    ((b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",), ["more"]),
    ((b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",), ["more"]),
]


def Early(data):
    return Requests([data], _Limits())


TABLES = [
    ("Bad", Outcome, [((data,), [status]) for _, status, data in cases.BAD]),
    ("Good", Played, [((data, expected), expected) for _, data, expected in cases.GOOD]),
    ("Smuggling", NeverSmuggled, [((data, expected), expected) for _, data, expected in cases.SMUGGLING]),
    ("Early", Early, EARLY),
]
