"""EXCHANGE: the tables of mp/room_exchange.py, on both runtimes."""

from http_tools import CheckRow, RoomTest


@RoomTest("exchange")
def test_exchange(interpreter, row):
    CheckRow(interpreter, row)
