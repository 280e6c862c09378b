"""FILES: the tables of mp/room_files.py, on both runtimes; and that no client can fill a table of the server."""

import time

import harness
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


class _Time:
    def __init__(self, monkeypatch):
        self.now = 1790000000.0
        monkeypatch.setattr(microWebSrv, "time", self)

    def time(self):
        return self.now


def test_links_are_looked_at_again_in_the_next_second(tmp_path, monkeypatch):
    """A folder that was moved out of webPath, with a link in its place: its files are the same to stat. What was known of them
    counts for one second."""
    clock = _Time(monkeypatch)
    www = tmp_path / "www"
    (www / "sub").mkdir(parents=True)
    (www / "sub" / "a.txt").write_bytes(b"text")
    folder = microWebSrv.Folder(str(www))
    assert folder.Stat("/sub/a.txt")[:2] == (False, 4)
    folder.Open("/sub/a.txt").close()
    (www / "sub").rename(tmp_path / "outside")
    (www / "sub").symlink_to(tmp_path / "outside")
    clock.now += 1
    assert folder.Stat("/sub/a.txt") is None
    with pytest.raises(OSError):
        folder.Open("/sub/a.txt")


LATER = """
import os
import time
import microWebSrv

class Clock:
    def time():
        return time.time() + 10         # what has changed just now is not remembered

microWebSrv.time = Clock
folder = microWebSrv.Folder("www")
print(folder.Stat("/a.txt"))
os.rename("link", "www/b.txt")
print(folder.Stat("/b.txt"))
try:
    print(folder.Open("/b.txt"))
except OSError:
    print("None")
"""


def test_a_link_that_comes_later_is_seen_by_micropython(tmp_path):
    """It keeps a list of the links of a folder, until the folder changes."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.txt").write_bytes(b"text")
    (tmp_path / "link").symlink_to(tmp_path / "www")
    made = int((tmp_path / "www").stat().st_ctime)
    while time.time() < made + 1.05:            # its file system knows whole seconds
        time.sleep(0.05)
    first, *others = harness.RunProgram("micropython", LATER, tmp_path, (harness.SRC,)).split("\n")
    assert first.startswith("(False, 4, ") and others == ["None", "None", ""]


def test_another_file_in_the_same_second(tmp_path, monkeypatch):
    """What takes the place of a file is looked at anew, within the second too: a longer one, and a link that leads out."""
    _Time(monkeypatch)
    (tmp_path / "www").mkdir()
    path = tmp_path / "www" / "a.txt"
    secret = tmp_path / "secret.txt"
    path.write_bytes(b"text")
    secret.write_bytes(b"secret")
    folder = microWebSrv.Folder(str(path.parent))
    assert folder.Stat("/a.txt")[:2] == (False, 4)
    path.write_bytes(b"longer")
    assert folder.Stat("/a.txt")[:2] == (False, 6)
    with folder.Open("/a.txt") as file:
        assert file.read() == b"longer"
    path.unlink()
    path.symlink_to(secret)
    assert folder.Stat("/a.txt") is None
    with pytest.raises(OSError):
        folder.Open("/a.txt")
    path.unlink()
    assert folder.Stat("/a.txt") is None
