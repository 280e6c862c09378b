"""Shared by the HTTP tests: the tables of the rooms on both runtimes, requests as bytes, and clients that wait."""

import functools
import importlib
import os
import subprocess
import sys

import pytest

import harness

MP = harness.ROOT / "tests" / "mp"
INTERPRETERS = ("cpython", "micropython")

sys.path.insert(0, str(MP))
import rooms  # noqa: E402


def RoomTest(room):
    """Parametrize a test (interpreter, row) with all rows of a room's tables, on both interpreters."""
    rows = [pytest.param((room, table, index), id="%s-%d" % (table, index))
            for table, _, table_rows in _Tables(room) for index in range(len(table_rows))]

    def Decorate(test):
        return pytest.mark.parametrize("interpreter", INTERPRETERS)(pytest.mark.parametrize("row", rows)(test))
    return Decorate


def CheckRow(interpreter, row):
    """The observation of this interpreter must be equal to the row's expectation."""
    room, table, index = row
    function, args, expected = _Row(room, table, index)
    if interpreter == "micropython":
        observed = _OnMicroPython(room)[table, index]
    else:
        observed = rooms.Plain(rooms.Observe(function, args))
    expected = rooms.Plain(expected)
    assert observed == expected, "%s%s\n  expected %s\n  observed %s" % (table, rooms.Plain(args), expected, observed)


def _Tables(room):
    return importlib.import_module("room_" + room).TABLES


def _Row(room, table, index):
    for name, function, rows in _Tables(room):
        if name == table:
            return function, rows[index][0], rows[index][1]
    raise LookupError(table)


@functools.lru_cache(maxsize=None)
def _OnMicroPython(room):
    """-> {(table, index): observation}, from one process for the whole room."""
    command = [harness.FindMicroPython(), str(MP / "run.py"), room]
    path = os.pathsep.join(map(str, (harness.SRC, MP, MP.parent, ".frozen")))
    done = subprocess.run(command, env={"MICROPYPATH": path}, capture_output=True, text=True, encoding="utf-8",
                          timeout=harness.DEADLINE_SEC * 2)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return Observed(done.stdout)


def Observed(output):
    """The output of mp/run.py -> {(table, index): observation}."""
    lines = [line.split("\t", 2) for line in output.splitlines()]
    assert lines and lines[-1] == ["ROWS", str(len(lines) - 1)], "cut off: %r" % output[-300:]
    return {(table, int(index)): observed for table, index, observed in lines[:-1]}


def Expected(room):
    """-> {(table, index): expectation} from the tables."""
    return {(table, index): rooms.Plain(row[1]) for table, _, tableRows in _Tables(room)
            for index, row in enumerate(tableRows)}


def SharedSite(program, prepare=None):
    """A module fixture: one process with this program on each runtime, judged after the last test that uses it."""
    @pytest.fixture(scope="module", params=harness.RUNTIMES)
    def site(request, tmp_path_factory):
        folder = tmp_path_factory.mktemp("site")
        if prepare:
            prepare(folder)
        with harness.Server(request.param, program, folder, (harness.SourcesOf(request.param),)) as server:
            yield server
    return site


def Get(target, *fields):
    """A GET request as bytes; each field is 'Name: value'."""
    return _Request("GET", target, fields)


def Post(target, body, *fields):
    return _Request("POST", target, (*fields, "Content-Length: %d" % len(body))) + body


def Chunked(target, pieces, *fields):
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return _Request("POST", target, (*fields, "Transfer-Encoding: chunked")) + body


def _Request(method, target, fields):
    return "\r\n".join(("%s %s HTTP/1.1" % (method, target), "Host: localhost", *fields, "", "")).encode()


def Answers(server, data, methods=("GET",)):
    """The responses to these requests, sent at once on one connection. The last request must ask to close it."""
    return harness.ParseResponses(harness.RawExchange(server.port, data), methods)


def SendEnd(client):
    """Close the client's sending side, so that a lingering server (9.6) closes at once."""
    try:
        client.SendEnd()
    except OSError:         # closed already
        pass
