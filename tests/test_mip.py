"""mip installs exactly the files of a package, on the unix port of MicroPython, from our own server on the loopback;
and the demo runs with them. The registry of optional files determines the packages.
"""

import json
import shutil
import subprocess
import sys

import pytest

import harness
from harness import Fetch

TOOLS = harness.ROOT / "tools"
DEMO = harness.ROOT / "examples" / "demo"

tool = harness.LoadTool("make_packages")
FILES = tool.registry.Load()
CLASSIC = ["microWebSrv", "microWebSocket", "microWebTemplate"]
SETS = tool.Sets(FILES)
DEMO_NEEDS = ("package", "asyncio", "threads", "files", "pages", "events", "upload", "websocketplus")

# Serves the folder www, including its programs.
SHOP = """
from microWebSrv import MicroWebSrv
from ready import Port

MicroWebSrv._mimeTypes[".py"] = "text/x-python"
MicroWebSrv._mimeTypes[".mpy"] = "application/octet-stream"
MicroWebSrv(port=Port(), bindIP="127.0.0.1", webPath="www").Start(threaded=False)
"""

INSTALL = """
import mip
import sys

mip.install(sys.argv[1], target=sys.argv[2])
"""


# mip of 1.20 to 1.24 uses the addresses of a package unchanged and does not support relative ones.
OLD_INSTALL = """
import os
import requests
import sys

address, target = sys.argv[1:]
for name, url in requests.get(address).json()["urls"]:
    assert url.startswith("http://"), url
    answer = requests.get(url)
    assert answer.status_code == 200, url
    parts = (target + "/" + name).split("/")
    for index in range(2, len(parts)):
        try:
            os.mkdir("/".join(parts[:index]))
        except OSError:
            pass
    with open("/".join(parts), "wb") as file:
        file.write(answer.content)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The address of a server for the repository in its current state."""
    folder = tmp_path_factory.mktemp("shop")
    for name in ("core", "src", "board"):
        shutil.copytree(harness.ROOT / name, folder / "www" / name, ignore=shutil.ignore_patterns("*-stubs", "__pycache__"))
    for name in ("package.json", "rooms.json"):
        shutil.copy(harness.ROOT / name, folder / "www")
    with harness.Server("cpython", SHOP, folder) as server:
        server.folder = folder
        yield server


def Install(url, target, workDir, program=INSTALL):
    return harness.RunProgram("micropython", program, workDir, modulePath=(), args=(url, target), timeoutSec=60)


def Installed(folder):
    """{path: content} of all files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def Files(kind, modules):
    suffix = ".mpy" if kind == "board" else ".py"
    return {name + suffix: (harness.ROOT / kind / (name + suffix)).read_bytes() for name in modules}


# ---------------------------------------------------------------------------------------------- the registry

def test_all_that_is_made_is_up_to_date():
    done = subprocess.run([sys.executable, str(TOOLS / "make_packages.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_registry_names_the_files_that_there_are():
    assert {one.path for one in FILES} | {harness.SRC / "microWebSrv.py"} == set(harness.SRC.glob("microWeb*.py"))


def test_sets():
    """A package contains all files that its file needs."""
    assert SETS["package"] == CLASSIC and SETS["core"] == ["microWebSrv"]
    assert SETS["websocket"] == ["microWebSrv", "microWebSocket"]
    assert SETS["deflate"] == ["microWebSrv", "microWebSocket", "microWebDeflate"]
    assert SETS["pages"] == ["microWebSrv", "microWebTemplate", "microWebPages"]
    assert {module for modules in SETS.values() for module in modules} == set(tool.registry.ForBoards(FILES))


LINE = "microWebThing      thing      board    microWebPages      1000  things\n"


def test_one_line_adds_a_file(tmp_path):
    """One line adds it to the core's list, the build and the packages. (The manifest: tests/test_frozen.py.)"""
    text = tool.registry.REGISTRY.read_text(encoding="utf-8")
    files = tool.registry.Parse(text + LINE)
    assert '    "Thing "\n)\n' in tool.registry.CoreList(files)
    assert tool.registry.ForBoards(files) == [*tool.registry.ForBoards(FILES), "microWebThing"]
    assert tool.Sets(files) == {**SETS, "thing": ["microWebSrv", "microWebTemplate", "microWebPages", "microWebThing"]}


def test_a_file_that_programs_import_is_for_boards_and_not_looked_for():
    text = tool.registry.REGISTRY.read_text(encoding="utf-8")
    files = tool.registry.Parse(text + LINE.replace("board ", "import"))
    assert "microWebThing" in tool.registry.ForBoards(files) and "thing" in tool.Sets(files)
    assert tool.registry.CoreList(files) == tool.registry.CoreList(FILES)


def test_a_file_for_desks_is_for_desks():
    text = tool.registry.REGISTRY.read_text(encoding="utf-8")
    files = tool.registry.Parse(text + LINE.replace("board", "desk "))
    assert "microWebThing" not in tool.registry.ForBoards(files) and "thing" not in tool.Sets(files)
    core = tool.registry.CoreList(files)
    for onBoard in (True, False):
        names = {"MICROPYTHON": onBoard}
        exec(core.replace("from .text import MICROPYTHON", ""), names)
        assert ("Thing" in names["OPTIONAL"].split()) is not onBoard


@pytest.mark.parametrize("line, says", [
    (LINE.replace("1000  things", "1000"), "six columns"),
    (LINE.replace("thing  ", "async  "), "names of Python"),
    (LINE.replace("microWebThing", "microThing"), "begin with microWeb"),
    (LINE.replace("board", "attic"), "classic, board, import, desk"),
    (LINE.replace("1000", "many"), "a number"),
    (LINE + LINE, "twice"),
    (LINE.replace("thing ", "pages "), "twice"),
    (LINE.replace("microWebPages", "microWebNone"), "does not exist"),
    (LINE.replace("board", "desk ") + LINE.replace("Thing", "Other").replace("thing ", "other ").replace(
        "microWebPages", "microWebThing"), "does not"),
])
def test_line_is_refused(line, says):
    with pytest.raises(ValueError, match=says):
        tool.registry.Parse(tool.registry.REGISTRY.read_text(encoding="utf-8") + line)


@pytest.mark.timeout(180)
def test_check_names_what_is_stale(tmp_path):
    """In a clone: a generated file that was changed, one that is missing, one that should not exist."""
    for name in ("core", "src", "board", "tools"):
        shutil.copytree(harness.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("package.json", "rooms.json"):
        shutil.copy(harness.ROOT / name, tmp_path)
    command = [sys.executable, str(tmp_path / "tools" / "make_packages.py")]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (tmp_path / "board" / "core.json").unlink()
    (tmp_path / "src" / "old.json").write_text("{}")
    (tmp_path / "core" / "text.py").write_text((tmp_path / "core" / "text.py").read_text() + "\n# More.\n")
    (tmp_path / "core" / "optional.py").write_text("# None.\nOPTIONAL = ''\n")
    (tmp_path / "board" / "names.txt").write_text("")
    done = subprocess.run([*command, "--check"], capture_output=True, text=True)
    stale = {line.split()[1] for line in done.stderr.splitlines() if "is out of date" in line}
    assert done.returncode == 1
    assert stale == {"board/core.json", "src/old.json", "src/microWebSrv.py", "core/optional.py", "board/names.txt"}
    assert subprocess.run(command, capture_output=True).returncode == 0
    done = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_versions_are_the_servers():
    import microWebSrv
    paths = [harness.ROOT / "package.json", harness.ROOT / "rooms.json", *harness.SRC.glob("*.json"),
             *(harness.ROOT / "board").glob("*.json")]
    assert len(paths) == 2 * len(SETS) + 2
    for path in paths:
        assert json.loads(path.read_text())["version"] == microWebSrv.__version__, path


# ------------------------------------------------------------------------------------------------------- mip

@pytest.mark.parametrize("kind", ["board", "src"])
@pytest.mark.parametrize("name", sorted(SETS))
def test_package_brings_its_files(shop, kind, name, tmp_path):
    Install(shop.Url("/%s/%s.json" % (kind, name)), tmp_path / "lib", tmp_path)
    assert Installed(tmp_path / "lib") == Files(kind, SETS[name])
    out = harness.RunProgram("micropython", "import %s\nfrom microWebSrv import MicroWebSrv\nMicroWebSrv()\nprint('ok')\n"
                             % ", ".join(SETS[name]), tmp_path, modulePath=(tmp_path / "lib",))
    assert out == "ok\n"


@pytest.mark.parametrize("address", ["/package.json", "", "/board/"])
def test_folder_is_the_classic_three_compiled(shop, address, tmp_path):
    """mip.install("github:OWNER/REPOSITORY") uses the package.json at the root."""
    Install(shop.Url(address), tmp_path / "lib", tmp_path)
    assert Installed(tmp_path / "lib") == Files("board", CLASSIC)


def test_one_file_is_brought_by_its_address(shop, tmp_path):
    """Also with the mip of 1.20."""
    Install(shop.Url("/board/microWebSrv.mpy"), tmp_path / "lib", tmp_path)
    assert Installed(tmp_path / "lib") == Files("board", ["microWebSrv"])


def test_rooms_are_a_package(shop, tmp_path):
    Install(shop.Url("/rooms.json"), tmp_path / "lib", tmp_path)
    rooms = {"microWebSrv/" + path.name: path.read_bytes() for path in (harness.ROOT / "core").glob("*.py")}
    assert Installed(tmp_path / "lib") == {**rooms, **Files("src", CLASSIC[1:])}
    out = harness.RunProgram("micropython", "from microWebSrv import MicroWebSrv\nprint(sorted(MicroWebSrv().Renderers))\n",
                             tmp_path, modulePath=(tmp_path / "lib",))
    assert ".pyhtml" in out


def test_whole_addresses_for_an_older_mip(shop, tmp_path):
    done = subprocess.run([sys.executable, str(TOOLS / "make_packages.py"), "--base", shop.Url("/"),
                           "-o", str(shop.folder / "www" / "mip")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    Install(shop.Url("/mip/package.json"), tmp_path / "lib", tmp_path, OLD_INSTALL)
    assert Installed(tmp_path / "lib") == Files("board", CLASSIC)
    Install(shop.Url("/mip/src/events.json"), tmp_path / "src", tmp_path, OLD_INSTALL)
    assert Installed(tmp_path / "src") == Files("src", SETS["events"])
    with pytest.raises(AssertionError):
        Install(shop.Url("/package.json"), tmp_path / "lib", tmp_path, OLD_INSTALL)


@pytest.mark.parametrize("kind", ["board", "src"])
def test_demo_runs_from_what_was_installed(shop, kind, tmp_path):
    for name in DEMO_NEEDS:
        Install(shop.Url("/%s/%s.json" % (kind, name)), tmp_path / "lib", tmp_path)
    shutil.copytree(DEMO, tmp_path / "demo")
    main = tmp_path / "desk.py"
    shutil.copy(harness.ON_DEVICE / "desk.py", main)
    with harness.Server("micropython", main, tmp_path, (tmp_path / "lib",),
                        args=(tmp_path / "demo" / "main.py",)) as demo:
        assert Fetch(demo.port, "/").body == (DEMO / "www" / "index.html").read_bytes()
        assert "</html>" in Fetch(demo.port, "/templates.pyhtml").text
        assert Fetch(demo.port, "/multiply/6/7").Json() == {"product": 42}
        assert "MicroPython" in Fetch(demo.port, "/api/status").Json()["runtime"]
        demo.Finish()
