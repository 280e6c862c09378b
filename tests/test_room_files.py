"""FILES: the tables of mp/room_files.py, on both runtimes; and that no client can fill a table of the server."""

import microWebFiles
import microWebSrv
import pytest
from http_tools import CheckRow, RoomTest, rooms

BOUND = 32768               # bytes, of all the keys of a table


@RoomTest("files")
def test_files(interpreter, row):
    CheckRow(interpreter, row)


@pytest.mark.parametrize("length", [8, 200, 400])
def test_what_is_remembered_of_links_is_bounded(tmp_path, length):
    """Whatever was asked for within a second, in entries and in bytes."""
    folder = microWebSrv.Folder(str(tmp_path))
    deep = tmp_path
    for _ in range(length // 200 + 1):
        deep /= "d" * min(length, 180)
    deep.mkdir(parents=True)
    paths = ["/%s/%03d.txt" % (deep.relative_to(tmp_path), number) for number in range(300)]
    for path in paths:
        (tmp_path / path[1:]).touch()
    for path in paths:
        assert folder.Stat(path) == (False, 0, int((tmp_path / path[1:]).stat().st_mtime))
        assert len(folder._known) < 70 and sum(map(len, folder._known)) < BOUND


@pytest.mark.parametrize("length", [1, 100, 1100])
def test_what_is_remembered_of_validators_is_bounded(length):
    content = {"/%s%d.txt" % ("x" * length, number): b"" for number in range(600)}
    server = microWebSrv.MicroWebSrv(port=0, bindIP="127.0.0.1", webPath=rooms.MemoryFolder(content, 784111777))
    files = server.SendFile.__self__
    assert isinstance(files, microWebFiles._Files)
    for path in content:
        rooms.Exchange(server, b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        assert len(files._known) <= server.memoLen and sum(map(len, files._known)) < BOUND
