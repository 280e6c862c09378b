"""TEXT: the tables of mp/room_text.py, on both runtimes."""

from http_tools import CheckRow, RoomTest


@RoomTest("text")
def test_text(interpreter, row):
    CheckRow(interpreter, row)
