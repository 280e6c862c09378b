"""SERVER: the tables of mp/room_server.py, on both runtimes."""

from http_tools import CheckRow, RoomTest


@RoomTest("server")
def test_server(interpreter, row):
    CheckRow(interpreter, row)
