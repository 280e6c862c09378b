"""What pyproject.toml can't say: the address of the repository, the README with whole links, and the files of a clone
that the command microwebsrv reads."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# The only place that names the home of the project. There is none yet: replace this before the first release.
REPOSITORY = "https://forge.example/microwebsrv/microwebsrv"

ROOT = Path(__file__).resolve().parent
DATA = [*sorted((ROOT / "board").glob("*.mpy")), ROOT / "core" / "optional.txt", ROOT / "docs" / "memory.md"]
LINK = re.compile(r"(!?\[[^\]]*\]\()(?!https?://|#)([^)\s]+\))")


class BuildPy(build_py):
    """Also copies the files for boards, the registry of optional files and the table of memory."""

    def run(self):
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib) / "microwebsrv" / "data"
            folder.mkdir(parents=True, exist_ok=True)
            for path in DATA:
                shutil.copy(path, folder)


def Version():
    """The version of the sources, as core/text.py has it."""
    return re.search(r'^__version__ = "(.*)"$', (ROOT / "core" / "text.py").read_text(encoding="utf-8"), re.M).group(1)


def Readme():
    """README.md for a page that is not in the repository: its links and pictures lead to the files of this version."""
    base = {True: "%s/raw/v%s/" % (REPOSITORY, Version()), False: "%s/blob/v%s/" % (REPOSITORY, Version())}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return LINK.sub(lambda found: found.group(1) + base[found.group(1)[0] == "!"] + found.group(2), text)


if __name__ == "__main__":
    setup(
        cmdclass={"build_py": BuildPy},
        long_description=Readme(),
        long_description_content_type="text/markdown",
        project_urls={
            "Homepage": REPOSITORY,
            "Documentation": "%s/blob/v%s/docs/index.md" % (REPOSITORY, Version()),
            "Source": REPOSITORY,
            "Issues": REPOSITORY + "/issues",
            "Changelog": "%s/blob/v%s/CHANGELOG.md" % (REPOSITORY, Version()),
            "Security": "%s/blob/v%s/SECURITY.md" % (REPOSITORY, Version()),
        },
    )
