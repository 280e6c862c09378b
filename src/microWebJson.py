# JSON APIs: a handler returns its response, ReadJSON checks the content, long lists are streamed, and errors below a
# prefix are JSON. Copy this file beside microWebSrv.py. MIT license, see LICENSE.

import json
import re
import sys

_MICROPYTHON = sys.implementation.name == "micropython"

if _MICROPYTHON:
    import io

_DIGITS = 512           # the core refuses so many digits: the parsing time grows with the square
_odd = re.compile(b"[0-9][eE]|NaN|Infinity")        # may be a number that is not finite


# -- answers -----------------------------------------------------------------------

class _List:
    """A JSON array as the source of a response, one item at a time."""

    def __init__(self, items, toJSON):
        self._given = items
        self._items = iter(items)
        self._toJSON = toJSON
        self._mark = "["

    def __next__(self):
        mark = self._mark
        if not mark:
            raise StopIteration
        self._mark = ","
        try:
            item = next(self._items)
        except StopIteration:
            self._mark = ""
            return "[]" if mark == "[" else "]"
        return mark + self._toJSON(item)

    def close(self):
        if hasattr(self._given, "close"):
            self._given.close()


class _File:
    """An open file as the source of a response."""

    def __init__(self, file, size):
        self._file = file
        self._size = size

    def __next__(self):
        piece = self._file.read(self._size)
        if not piece:
            raise StopIteration
        return piece

    def close(self):
        self._file.close()


def _WriteJSON(response, code, obj, headers=None):
    """WriteResponseJSON. ValueError if obj can't be JSON; NaN can't."""
    return response.WriteResponse(code, headers, "application/json", "UTF-8", response.connection.server.ToJSON(obj))


def _WriteStream(response, items, headers=None, code=200):
    """WriteResponseJSONStream: a JSON array of the items of an iterable, one at a time. An exception in it aborts the
    connection, so that the client sees that the array is incomplete."""
    source = _List(items, response.connection.server.ToJSON)
    return response.Answer(code, headers, "application/json", "UTF-8", b"", source)


def _Returned(response, value):
    """server.Returned: send the value that a handler returned, if it wrote no response. A bool is the result of Write…
    and is ignored."""
    if not response or response.code is not None or isinstance(value, bool):
        return
    code = 200
    headers = None
    if isinstance(value, tuple):
        if not 1 < len(value) < 4 or not isinstance(value[0], int):
            raise ValueError("a handler must return (code, value) or (code, value, headers), not %r" % (value,))
        headers = value[2] if len(value) > 2 else None
        code, value = value[:2]
    if value is None and code > 399:
        response.WriteError(code, headers)
    elif isinstance(value, (dict, list)):
        _WriteJSON(response, code, value, headers)
    elif isinstance(value, str):
        response.WriteResponse(code, headers, "text/html", "UTF-8", value)
    elif value is None or isinstance(value, (bytes, bytearray, memoryview)):
        response.WriteResponse(code, headers, None, None, value)
    elif hasattr(value, "read"):
        source = _File(value, response.connection.server.BufferLen)
        response.Answer(code, headers, "application/octet-stream", None, b"", source)
    else:
        response.WriteResponseStream(value, "text/html", "UTF-8", headers, code)


def _Spawner(spawn):
    """-> server.Spawn, which distinguishes generators from coroutines."""
    def Spawn(connection, result):
        if _MICROPYTHON:
            result = _Probe(result)
        elif hasattr(result, "__next__"):
            return connection.Finish(connection.response, result)
        spawn(connection, result)
    return Spawn


if _MICROPYTHON:
    def _Probe(result):
        """MicroPython has one type for both, but a coroutine yields None, and a generator its first piece."""
        try:
            piece = next(result)
        except StopIteration as end:
            return end.value
        if piece is None:
            yield
            return (yield from result)
        return _Chain(piece, result)

    def _Chain(piece, rest):
        yield piece
        yield from rest


# -- content -----------------------------------------------------------------------

def _Refuse(client, code, rule):
    raise client.GetServer().HttpError(code, rule)


def _ReadJSON(client, shape=None):
    """ReadJSON: the content parsed as JSON. HttpError 415 or 400 if that fails. shape: the required type, dict or list;
    or a dict of the required names and their types: {"title": str, "size": float}."""
    client.problem = {}
    kind = (client.GetRequestContentType() or "").partition(";")[0].strip().lower()
    if kind != "application/json" and kind[-5:] != "+json":
        _Refuse(client, 415, "the content must be application/json, not %r" % kind)
    return client.Read(None, lambda content: _Check(client, content, shape))


def _Check(client, content, shape):
    server = client.GetServer()
    value = server.FromJSON(content)
    rule = ""
    try:
        server.Utf8(content, True)
        if _odd.search(content):
            server.ToJSON(value)
    except ValueError:
        rule = "the content must be UTF-8, and its numbers finite"
    except (RuntimeError, MemoryError):         # MicroPython can read deeper nesting than it can write
        rule = "the content is too deep"
    if value is None and content.strip() != b"null":
        rule = rule or "the content is no JSON" + _Place(client.problem, content)
    names = shape if isinstance(shape, dict) else {}
    kind = dict if isinstance(shape, dict) else shape
    if not rule and kind and not _IsA(value, kind):
        rule = "the content must be %s" % (getattr(kind, "__name__", kind),)
    for name in names:
        if rule:
            break
        kind = names[name]
        if name not in value or not _IsA(value[name], kind):
            rule = "%s must be %s" % (name, getattr(kind, "__name__", kind))
    if rule:
        _Refuse(client, 400, rule)
    return value


def _IsA(value, kinds):
    for kind in kinds if isinstance(kinds, tuple) else (kinds,):
        if kind in (int, float) and isinstance(value, bool):
            continue
        if isinstance(value, (int, float) if kind is float else kind):
            return True
    return False


def _Place(problem, content):
    """Why content is not JSON -> ' at line 2, column 7', also stored in problem. Both count from 1, columns in
    characters. On MicroPython it may be the character before."""
    content = content.lstrip(b"\xef\xbb\xbf")          # a byte order mark; anywhere else it is not UTF-8
    for at in range(0, len(content) - _DIGITS + 1, _DIGITS):
        if content[at:at + _DIGITS].isdigit():
            return ": a number is too long"
    try:
        if _MICROPYTHON:
            stream = io.BytesIO(content + b"  ")
            json.load(stream)
        else:
            json.loads(content.decode())
    except (ValueError, RuntimeError, MemoryError) as error:
        if _MICROPYTHON:
            at = max(stream.tell() - 2, 0)
            line = content.count(b"\n", 0, at) + 1
            column = len(content[content.rfind(b"\n", 0, at) + 1:at].decode()) + 1
        else:
            line = getattr(error, "lineno", 0)
            column = getattr(error, "colno", 0)
        if line:
            problem["line"] = line
            problem["column"] = column
            return " at line %d, column %d" % (line, column)
        return ": it is too deep"
    return ""


# -- errors ------------------------------------------------------------------------

def ProblemErrors(mws, prefix="/"):
    """Errors of paths at and below prefix are sent as application/problem+json (RFC 9457)."""
    mws.Before(_Mark, prefix)


def _Mark(client, response):
    client.problem = {}


def _ErrorWriter(base):
    def WriteError(response, code, headers=None, rule=""):
        problem = getattr(response.client, "problem", None)
        if problem is None:
            return base(response, code, headers, rule)
        problem["status"] = code
        problem["title"] = response.connection.server.Reason(code)
        if rule:
            problem["detail"] = rule
        return response.WriteResponse(code, headers, "application/problem+json", None,
                                      response.connection.server.ToJSON(problem))
    return WriteError


def Attach(server):
    """Called by each new server: handlers may return their response."""
    server.Returned = _Returned
    if server.Spawn:
        server.Spawn = _Spawner(server.Spawn)
    kind = server.Response
    if not hasattr(kind, "WriteResponseJSON"):          # the class is shared by all servers
        kind.WriteError = _ErrorWriter(kind.WriteError)
        kind.WriteResponseJSON = _WriteJSON
        kind.WriteResponseJSONStream = _WriteStream
        server.Client.ReadJSON = _ReadJSON
