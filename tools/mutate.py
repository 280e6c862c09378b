#!/usr/bin/env python3
"""Breaks a copy of the sources in known ways and looks whether the tests see it: python3 tools/mutate.py [NAME …]

Each mutation is played against the tests of its room only. The exit code is 1 if one of them is not caught, or if the
place that it changes is no longer there. docs/reliability.md names the test that caught each.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT_SEC = 240
READERS, CONNECTION, ROUTER, PATHS = "core/readers.py", "core/connection.py", "core/router.py", "core/files.py"
FRAMES, FILES = "src/microWebSocket.py", "src/microWebFiles.py"
PARSER_TESTS = ("tests/test_fuzz.py", "tests/test_smuggling.py", "tests/test_room_connection.py")
FRAME_TESTS = ("tests/test_fuzz.py", "tests/test_websocket_protocol.py")
ROUTER_TESTS = ("tests/test_room_router.py", "tests/test_fuzz.py")
FILE_TESTS = ("tests/test_room_files.py",)

# (name, file, what stands there, what is put in its place, the tests)
MUTATIONS = (
    ("parser: LF alone ends no head, but is let pass in one", READERS,
     '_NOT_VALUE = re.compile(b"[^\\t -~', '_NOT_VALUE = re.compile(b"[^\\t\\n -~', PARSER_TESTS),
    ("parser: a Content-Length is let pass beside chunked", READERS,
     'if names != ["chunked"] or length is not None or not head.minor:', 'if names != ["chunked"] or not head.minor:',
     PARSER_TESTS),
    ("parser: the search for the head's end forgets what may have begun", CONNECTION,
     "self.searched = max(len(data) - 3, min(len(data), 1))", "self.searched = len(data)", PARSER_TESTS),
    ("frames: the mask of a frame in pieces begins anew with each", FRAMES,
     "message.key = (message.key * 2)[size & 3:][:4]", "pass", FRAME_TESTS),
    ("frames: a control frame may be longer than 125 bytes", FRAMES,
     "first in _CONTROL and size < 254 if kind & 8", "first in _CONTROL if kind & 8", FRAME_TESTS),
    ("frames: a length needs not be in its shortest form", FRAMES,
     "if size < (126 if start < pos + 14 else 65536):", "if size < 0:", FRAME_TESTS),
    ("router: the last route that matches wins", ROUTER,
     "    for route in routes:\n        if route.method == method:",
     "    for route in routes[::-1]:\n        if route.method == method:", ROUTER_TESTS),
    ("router: an argument may be empty", ROUTER,
     "if end <= start or path[end:] != literals[-1]", "if end < start or path[end:] != literals[-1]", ROUTER_TESTS),
    ("router: an encoded slash separates", READERS,
     'path = path.replace(b"%2f", b"%00").replace(b"%2F", b"%00")', "pass", ROUTER_TESTS),
    ("files: hidden files are served", PATHS,
     "|/\\\\.|[. ](/|$)|", "|/\\\\.\\\\.|[. ](/|$)|", FILE_TESTS),
    ("files: the last byte of a range is missing", FILES,
     "min(int(last) + 1, size)", "min(int(last), size)", FILE_TESTS),
    ("files: If-Modified-Since counts beside If-None-Match", FILES,
     'elif date and "if-modified-since" in fields:', 'if date and "if-modified-since" in fields:', FILE_TESTS),
)


def Play(file, old, new, tests):
    """-> the first test that fails, None if all pass, '?' if the place is not there."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("core", "src", "tests", "bench", "tools", "docs"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        text = (folder / file).read_text(encoding="utf-8")
        if text.count(old) != 1:
            return "?"
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")
        subprocess.run([sys.executable, "tools/amalgamate.py"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "60",
                   "--tb=no", *tests]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   start_new_session=True, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
        try:
            output = process.communicate(timeout=TIMEOUT_SEC)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "(no end)"
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.M)
        return found.group(1) if found else None


def Main():
    missed = 0
    for name, file, old, new, tests in MUTATIONS:
        if not sys.argv[1:] or any(word in name for word in sys.argv[1:]):
            caught = Play(file, old, new, tests)
            missed += caught in (None, "?")
            print("%-66s %s" % (name, {None: "NOT CAUGHT", "?": "THE PLACE HAS GONE"}.get(caught, caught)), flush=True)
    sys.exit(missed > 0)


if __name__ == "__main__":
    Main()
