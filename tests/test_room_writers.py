"""WRITERS: the tables of mp/room_writers.py, on both runtimes."""

import microWebSrv
from http_tools import CheckRow, RoomTest


@RoomTest("writers")
def test_writing(interpreter, row):
    CheckRow(interpreter, row)


def test_charsets_that_this_python_knows():
    """MicroPython knows two charsets, see the table Announced."""
    assert microWebSrv.Encode("\u0444", "windows-1251") == (b"\xf4", "windows-1251")
    assert microWebSrv.Encode("\u20ac", "koi8-r") == (b"?", "koi8-r")
