"""FILES: the tables of mp/room_files.py, on both runtimes."""

from http_tools import CheckRow, RoomTest


@RoomTest("files")
def test_files(interpreter, row):
    CheckRow(interpreter, row)
