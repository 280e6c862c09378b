"""ROUTER: the tables of mp/room_router.py, on both runtimes."""

from http_tools import CheckRow, RoomTest


@RoomTest("router")
def test_routing(interpreter, row):
    CheckRow(interpreter, row)
