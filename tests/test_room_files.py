"""FILES: the tables of mp/room_files.py, on both runtimes; and that no client can fill a table of the server."""

import os
import time

import harness
import microWebFiles
import microWebSrv
import pytest
from http_tools import CheckRow, RoomTest, rooms

BOUND = 32768               # bytes of all keys in a table


@RoomTest("files")
def test_files(interpreter, row):
    CheckRow(interpreter, row)


@pytest.mark.parametrize("length", [8, 200, 400])
def test_what_is_remembered_of_links_is_bounded(tmp_path, length):
    """The number of entries and their bytes, whatever was requested within a second."""
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
        assert len(folder.known) <= 64 and sum(map(len, folder.known)) < BOUND
    assert len(folder.known) == (300 % 64 if len(paths[0]) < 256 else 0)


@pytest.mark.parametrize("length, isKnown", [(255, True), (256, False)])
def test_long_paths_are_not_remembered(tmp_path, length, isKnown):
    path = "/%s/%s.txt" % ("d" * 100, "f" * (length - 106))
    (tmp_path / path[1:]).parent.mkdir()
    (tmp_path / path[1:]).touch()
    folder = microWebSrv.Folder(str(tmp_path))
    assert len(path) == length and folder.Stat(path)[:2] == (False, 0)
    folder.Open(path).close()
    assert (path in folder.known) == isKnown


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
    """A folder is moved out of webPath and replaced by a link: stat gives the same values for its files. The earlier
    check is valid for one second."""
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
    """MicroPython caches the links of a folder until the folder changes."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.txt").write_bytes(b"text")
    (tmp_path / "link").symlink_to(tmp_path / "www")
    made = int((tmp_path / "www").stat().st_ctime)
    while time.time() < made + 1.05:            # its file system has whole seconds
        time.sleep(0.05)
    first, *others = harness.RunProgram("micropython", LATER, tmp_path, (harness.SRC,)).split("\n")
    assert first.startswith("(False, 4, ") and others == ["None", "None", ""]


def test_another_file_in_the_same_second(tmp_path, monkeypatch):
    """The replacement of a file is checked again, even within the second: a longer file, and a link that leads
    outside."""
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


# -- a folder on disk with links: for CPython; MicroPython follows none and can't create them

def _Tree(tmp_path):
    """A webPath with links, and files outside of it. -> (the folder, {path: result of Stat, or None})"""
    www, outside = tmp_path / "www", tmp_path / "www-other"
    for folder in (www / "sub" / "deep", outside):
        folder.mkdir(parents=True)
    for path in (www / "a.txt", www / "sub" / "b.txt", www / "sub" / "deep" / "c.txt", outside / "secret.txt"):
        path.write_bytes(path.name.encode())
    (www / "a.txt").chmod(0o777)
    (www / "sub" / "b.txt").chmod(0o400)
    os.mkfifo(www / "pipe.txt")
    for name, target in {"in.txt": "a.txt", "in": "sub", "sub/up.txt": "../a.txt", "out.txt": outside / "secret.txt", "out": outside,
                         "over.txt": "../www-other/secret.txt", "gone.txt": "nowhere", "loop.txt": "loop.txt", "self": "."}.items():
        (www / name).symlink_to(target)
    return www, {
        "/": True, "/a.txt": 5, "/a.txt/": None, "/sub": True, "/sub/": True, "/sub/b.txt": 5, "/sub/deep/c.txt": 5, "/none.txt": None,
        "/none/": None, "/a.txt/b": None, "/pipe.txt": None, "/a.txt\0": None, "/in.txt": 5, "/in": True, "/in/b.txt": 5, "/sub/up.txt": 5,
        "/self/self/a.txt": 5, "/out.txt": None, "/out": None, "/out/": None, "/out/secret.txt": None, "/over.txt": None, "/gone.txt": None,
        "/loop.txt": None}


def _Files():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def _CheckFolder(folder, www, expected):
    """Stat, and Open if Stat finds a file, twice: the second time it is cached. No file stays open."""
    before = _Files()
    for _ in range(2):
        for path, what in expected.items():
            stat = folder.Stat(path)
            if what is None:
                assert stat is None, path
            else:
                assert stat[:2] == ((True, stat[1]) if what is True else (False, what)), path
                assert stat[2] == int((www / path[1:]).stat().st_mtime), path
            if path[-1] == "/":                         # only Stat refuses a slash after a file
                pass
            elif what is None or what is True:
                try:
                    with folder.Open(path):
                        raise AssertionError(path)
                except (OSError, ValueError):           # ValueError: a NUL
                    pass
            else:
                with folder.Open(path) as file:
                    assert len(file.read()) == what, path
    assert _Files() == before


def test_a_folder_and_its_links(tmp_path):
    www, expected = _Tree(tmp_path)
    _CheckFolder(microWebSrv.Folder(str(www)), www, expected)
    _CheckFolder(microWebSrv.Folder(str(www) + "/"), www, expected)


def test_a_folder_where_the_system_cannot_walk(tmp_path, monkeypatch):
    """Windows: links are checked before a file is opened by its path."""
    www, expected = _Tree(tmp_path)
    monkeypatch.setattr(os, "supports_dir_fd", set())
    del expected["/pipe.txt"]                           # Windows has no pipes
    _CheckFolder(microWebSrv.Folder(str(www)), www, expected)


def test_a_folder_that_is_a_link(tmp_path):
    www, expected = _Tree(tmp_path)
    (tmp_path / "link").symlink_to(www)
    _CheckFolder(microWebSrv.Folder(str(tmp_path / "link")), www, expected)


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    www, expected = _Tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    folder = microWebSrv.Folder("www")
    monkeypatch.chdir("/")
    assert folder.root == str(www)
    _CheckFolder(folder, www, expected)


def test_a_file_is_opened_without_a_look_before(tmp_path):
    www, expected = _Tree(tmp_path)
    before = _Files()
    for path, what in [row for row in expected.items() if row[0][-1] not in "/\0"]:
        folder = microWebSrv.Folder(str(www))
        try:
            with folder.Open(path) as file:
                assert what is not True and len(file.read()) == what, path
        except OSError:
            assert what is True or what is None, path
    assert _Files() == before


def test_what_is_known_is_opened_without_a_walk(tmp_path, monkeypatch):
    """A file that was already opened in this second is opened by its path, not name by name."""
    _Time(monkeypatch)
    www, _ = _Tree(tmp_path)
    folder = microWebSrv.Folder(str(www))
    folder.Stat("/sub/b.txt")
    folder.Open("/sub/b.txt").close()
    monkeypatch.setattr(microWebSrv, "_Walk", None)
    with folder.Open("/sub/b.txt") as file:
        assert file.read() == b"b.txt"


def test_the_whole_disk(tmp_path):
    """A program may name any file, also by links and relative paths."""
    www, _ = _Tree(tmp_path)
    assert microWebSrv.Disk.Stat(str(www / "out.txt"))[:2] == (False, 10)
    with microWebSrv.Disk.Open(str(www / "out.txt")) as file:
        assert file.read() == b"secret.txt"
    relative = os.path.relpath(www / "a.txt")
    assert microWebSrv.Disk.Stat(relative)[:2] == (False, 5)
    with microWebSrv.Disk.Open(relative) as file:
        assert file.read() == b"a.txt"
    assert microWebSrv.Disk.Stat("/")[0] is True


def test_names_beyond_ascii_and_utf8(tmp_path):
    (tmp_path / "\u00e9.txt").write_bytes(b"text")
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "wb") as file:
        file.write(b"bytes")
    folder = microWebSrv.Folder(str(tmp_path))
    assert folder.Stat("/\u00e9.txt")[:2] == (False, 4)
    assert folder.Stat("/\udcff.txt")[:2] == (False, 5)
    folder.Open("/\udcff.txt").close()


@pytest.mark.parametrize("number, isFound", [(24, True), (23, True), (13, False), (2, False)])
def test_too_many_files_are_not_absence(tmp_path, monkeypatch, number, isFound):
    """Stat returns what it knows if there is no descriptor for the last check of links: Open then raises the error."""
    (tmp_path / "a.txt").write_bytes(b"text")
    folder = microWebSrv.Folder(str(tmp_path))

    def Fails(*args):
        raise OSError(number, "played")
    monkeypatch.setattr(folder, "_Inside", Fails)
    assert (folder.Stat("/a.txt") is not None) == isFound
    monkeypatch.undo()
    monkeypatch.setattr(microWebSrv, "_Walk", Fails)
    with pytest.raises(OSError) as error:
        folder.Open("/a.txt")
    assert error.value.errno == number


def test_a_change_of_the_time_alone_is_a_change(tmp_path, monkeypatch):
    """Equal length, within the same second: the cached data of the older file is not used for the newer one."""
    _Time(monkeypatch)
    path = tmp_path / "a.txt"
    path.write_bytes(b"text")
    os.utime(path, (1000, 1000))
    folder = microWebSrv.Folder(str(tmp_path))
    assert folder.Stat("/a.txt") == (False, 4, 1000)
    os.utime(path, (1000, 2000))
    assert folder.Stat("/a.txt") == (False, 4, 2000)
    folder.Open("/a.txt").close()
    before = _Files()
    os.utime(path, (1000, 3000))
    folder.Open("/a.txt").close()
    os.utime(path, (1000, 4000))
    folder.Open("/a.txt").close()
    assert _Files() == before
    os.utime(path, (1000, 5000))
    assert folder.Stat("/a.txt") == (False, 4, 5000)
