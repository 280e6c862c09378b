"""ERRORS, MESSAGES and READERS: the tables of mp/room_messages_readers.py, on both runtimes."""

from http_tools import CheckRow, RoomTest


@RoomTest("messages_readers")
def test_reading(interpreter, row):
    CheckRow(interpreter, row)
