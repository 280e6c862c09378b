"""ENGINE: the tables of mp/room_engine.py, on both runtimes."""

from http_tools import CheckRow, RoomTest


@RoomTest("engine")
def test_engine(interpreter, row):
    CheckRow(interpreter, row)
