"""WRITERS: the tables of mp/room_writers.py, on both runtimes."""

from http_tools import CheckRow, RoomTest


@RoomTest("writers")
def test_writing(interpreter, row):
    CheckRow(interpreter, row)
