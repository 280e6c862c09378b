"""mip brings exactly the files of a package, onto the unix port of MicroPython, from our own server on the loopback; and
the demo runs from what it brought.
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
PACKAGES = {
    "package.json": ("microWebSrv", "microWebSocket", "microWebTemplate"),
    "core.json": ("microWebSrv",),
    "websocket.json": ("microWebSrv", "microWebSocket"),
    "template.json": ("microWebSrv", "microWebTemplate"),
    "events.json": ("microWebSrv", "microWebEvents"),
    "deflate.json": ("microWebSrv", "microWebSocket", "microWebDeflate"),
}

# Serves the folder www, the programs in it too.
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


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The address of a server that has the clone and dist/mpy, as a person makes it."""
    folder = tmp_path_factory.mktemp("shop")
    done = subprocess.run([sys.executable, str(TOOLS / "make_packages.py"), "-o", str(folder / "www" / "dist" / "mpy")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(harness.SRC, folder / "www" / "src", ignore=shutil.ignore_patterns("*-stubs", "__pycache__"))
    shutil.copy(harness.ROOT / "package.json", folder / "www")
    with harness.Server("cpython-fast", SHOP, folder) as server:
        yield server


def Install(url, target, workDir):
    return harness.RunProgram("micropython", INSTALL, workDir, modulePath=(), args=(url, target), timeoutSec=60)


def test_descriptions_are_up_to_date():
    done = subprocess.run([sys.executable, str(TOOLS / "make_packages.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_device_module_is_in_a_package():
    named = {module for modules in PACKAGES.values() for module in modules}
    assert named == {path.stem for path in harness.SRC.glob("microWeb*.py")} - {"microWebLoop"}


def test_versions_are_the_servers():
    import microWebSrv
    for path in [harness.ROOT / "package.json", *harness.SRC.glob("*.json")]:
        assert json.loads(path.read_text())["version"] == microWebSrv.__version__, path


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_sources_are_installed(shop, name, tmp_path):
    folder = "/" if name == "package.json" else "/src/"
    Install(shop.Url(folder + name), tmp_path / "lib", tmp_path)
    found = {path.name: path.read_bytes() for path in (tmp_path / "lib").iterdir()}
    assert found == {module + ".py": (harness.SRC / (module + ".py")).read_bytes() for module in PACKAGES[name]}


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_compiled_are_installed_and_import(shop, name, tmp_path):
    Install(shop.Url("/dist/mpy/" + name), tmp_path / "lib", tmp_path)
    assert {path.name for path in (tmp_path / "lib").iterdir()} == {module + ".mpy" for module in PACKAGES[name]}
    out = harness.RunProgram("micropython", "import %s\nfrom microWebSrv import MicroWebSrv\nprint('ok')\n"
                             % ", ".join(PACKAGES[name]), tmp_path, modulePath=(tmp_path / "lib",))
    assert out == "ok\n"


@pytest.mark.parametrize("where", ["/", "/dist/mpy/"])
def test_demo_runs_from_what_was_installed(shop, where, tmp_path):
    for name in ("package.json", "events.json"):
        folder = "/src/" if where == "/" and name == "events.json" else where
        Install(shop.Url(folder + name), tmp_path / "lib", tmp_path)
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
