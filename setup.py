"""Puts into the wheel what the command microwebsrv reads, and what a clone has in other places. The rest is in
pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
DATA = [*sorted((ROOT / "board").glob("*.mpy")), ROOT / "core" / "optional.txt", ROOT / "docs" / "memory.md"]


class BuildPy(build_py):
    """Also copies the files for boards, the registry of optional files and the table of memory."""

    def run(self):
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib) / "microwebsrv" / "data"
            folder.mkdir(parents=True, exist_ok=True)
            for path in DATA:
                shutil.copy(path, folder)


setup(cmdclass={"build_py": BuildPy})
