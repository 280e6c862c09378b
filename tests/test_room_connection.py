"""CONNECTION: the tables of mp/room_connection.py, on both runtimes."""

from http_tools import CheckRow, RoomTest


@RoomTest("connection")
def test_connection(interpreter, row):
    CheckRow(interpreter, row)
