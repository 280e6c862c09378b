#!/usr/bin/env python3
"""Run all checks with one command: python3 tools/test.py [pytest arguments]

Creates the virtual environment .venv with the `test` extra of pyproject.toml (again when that list changes), installs
Chromium if necessary, then compares all generated files with their sources and runs ruff, mypy, stubtest and pytest,
some of the tests with the .mpy files too. Exits with 0 only if all passed.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
VENV = ROOT / ".venv"
BUILD = ROOT / "build" / "mpy"
# On MicroPython all tests use the sources; these also run with the .mpy files.
BUILT = ("http", "http_files", "http_streams", "hooks", "websocket_server", "template_server", "session", "upload",
         "json", "routes")
STAMP = VENV / "requirements.sha256"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
# Tests mostly wait, so four run at once on two cores. A file's tests of one runtime share fixtures and stay together
# (tests/conftest.py).
FOUR_AT_ONCE = ("-n", "4", "--dist", "loadfile")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def Say(text: str) -> None:
    print("\n== %s" % text, flush=True)


def Fail(text: str) -> None:
    sys.exit("\ntools/test.py: %s" % text)


def Run(*command: str | Path, quiet: bool = False) -> bool:
    """Run a command in the project; True if it exits with 0. The first word may be NAME=VALUE for the environment."""
    env = dict(os.environ, PYTHONPATH=str(SRC), MYPYPATH=str(SRC), PYTHONDONTWRITEBYTECODE="1")
    name, isSet, value = str(command[0]).partition("=")
    if isSet:
        env[name] = value
        command = command[1:]
    output = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.run([str(part) for part in command], cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                              stdout=output, stderr=output).returncode == 0
    except FileNotFoundError:
        return False


def Requirements() -> list[str]:
    """The `test` extra. A TOML array of strings is also a Python list; tomllib exists since 3.11."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r"^test = (\[.*?^\])", text, re.M | re.S)
    if not found:
        Fail("pyproject.toml has no list `test = [...]`")
    assert found
    return [str(name) for name in ast.literal_eval(found.group(1))]


def AptInstall(*packages: str) -> bool:
    """Install Debian packages if possible without a question: as root, or with a sudo that needs no password."""
    sudo: tuple[str, ...] = ()
    if not shutil.which("apt-get"):
        return False
    if os.geteuid() != 0:
        sudo = ("sudo", "-n")
        if not Run(*sudo, "true", quiet=True):
            return False
    Say("apt-get install %s" % " ".join(packages))
    apt = (*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y")
    return Run(*apt, "update") and Run(*apt, "install", "--no-install-recommends", *packages)


def MakeVenv() -> None:
    """Create .venv. Debian's python3 has no ensurepip: then install python3-venv with apt, or use the pip of this
    Python."""
    Say("making %s with Python %s" % (VENV.name, sys.version.split()[0]))
    make = (sys.executable, "-m", "venv", "--clear")
    if Run(*make, VENV, quiet=True):
        return
    if AptInstall("python3-venv") and Run(*make, VENV, quiet=True):
        return
    if Run(*make, "--without-pip", VENV) and Run(sys.executable, "-m", "pip", "--python", PYTHON, "--version"):
        return
    Fail("this Python can't make a virtual environment; on Debian: apt-get install python3-venv")


def EnsureVenv() -> None:
    wanted = "\n".join(Requirements())
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == digest and Run(PYTHON, "-c", "import pytest", quiet=True):
        return
    MakeVenv()
    Say("installing the test requirements")
    if Run(PYTHON, "-c", "import pip", quiet=True):
        pip: tuple[str | Path, ...] = (PYTHON, "-m", "pip")
    else:
        pip = (sys.executable, "-m", "pip", "--python", PYTHON)
    if not Run(*pip, "install", "--quiet", "--disable-pip-version-check", *wanted.split("\n")):
        Fail("pip could not install the test requirements (see above)")
    STAMP.write_text(digest)


def EnsureBrowser() -> None:
    if any(shutil.which(name) for name in BROWSERS) or AptInstall("chromium"):
        return
    Say("no Chromium found and none could be installed: the browser tests will fail. apt-get install chromium")


def Checks(pytestArgs: list[str]) -> dict[str, tuple[str | Path, ...]]:
    """{check: its command}. pytest is last, so that its summary ends the output."""
    stubs = sorted(path.name[:-len("-stubs")] for path in SRC.glob("*-stubs"))
    packages = [part for name in stubs for part in ("-p", name)]
    python = (PYTHON, "-m")
    return {
        "generated files": (PYTHON, "tools/make_packages.py", "--check"),
        "the .mpy files": (PYTHON, "tools/build_mpy.py", "--unix", "-o", BUILD),
        "ruff": (*python, "ruff", "check", "."),
        "mypy tools": (*python, "mypy", "tools", "src/microwebsrv"),
        "mypy stubs": (*python, "mypy", *packages),
        "stubtest": (*python, "mypy.stubtest", "--mypy-config-file", "pyproject.toml",
                     "--allowlist", "src/microWebSrv-stubs/allowlist.txt", *stubs),
        "pytest on the .mpy files": ("DEVICE_SRC=%s" % BUILD, *python, "pytest", *FOUR_AT_ONCE, "-k", "micropython",
                                     "--reruns", "2", *["tests/test_%s.py" % name for name in BUILT]),
        "pytest": (*python, "pytest", *FOUR_AT_ONCE, "--durations=20", *pytestArgs),
    }


def Main() -> int:
    if sys.version_info < (3, 10):
        Fail("the test tools need Python 3.10 or newer (the server itself runs on 3.9)")
    EnsureVenv()
    EnsureBrowser()
    failed = []
    for name, command in Checks(sys.argv[1:]).items():
        Say(name)
        if not Run(*command):
            failed.append(name)
    if failed:
        print("\nFAILED: %s" % ", ".join(failed), file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(Main())
