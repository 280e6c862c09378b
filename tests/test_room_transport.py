"""TRANSPORT: the tables of mp/room_transport.py, on both runtimes."""

from http_tools import CheckRow, RoomTest


@RoomTest("transport")
def test_transport(interpreter, row):
    CheckRow(interpreter, row)
