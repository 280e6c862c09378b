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
CORE, FRAMES = "microWebSrv.py", "microWebSocket.py"
PARSER_TESTS = ("tests/test_fuzz.py", "tests/test_smuggling.py", "tests/test_room_connection.py")
FRAME_TESTS = ("tests/test_fuzz.py", "tests/test_websocket_protocol.py")
ROUTER_TESTS = ("tests/test_room_router.py", "tests/test_fuzz.py")

# (name, file, what stands there, what is put in its place, the tests)
MUTATIONS = (
    ("parser: LF alone ends no head, but is let pass in one", CORE,
     'if block.count(b"\\r") != breaks or block.count(b"\\n") != breaks or _NOT_FIELD_TEXT.search(block):',
     "if _NOT_FIELD_TEXT.search(block):", PARSER_TESTS),
    ("parser: a Content-Length is let pass beside chunked", CORE,
     'raise _HttpError(400, "Content-Length with Transfer-Encoding")', "length = None", PARSER_TESTS),
    ("parser: the search for the head's end forgets what may have begun", CORE,
     "self._searched = len(data) - 3", "self._searched = len(data)", PARSER_TESTS),
    ("frames: the mask of a frame in pieces begins anew with each", FRAMES,
     "message.key = (message.key * 2)[size & 3:][:4]", "pass", FRAME_TESTS),
    ("frames: a control frame may be longer than 125 bytes", FRAMES,
     "return first & _FIN and second < 254 and opcode <= _PONG",
     "return first & _FIN and opcode <= _PONG", FRAME_TESTS),
    ("frames: a length needs not be in its shortest form", FRAMES,
     "            if size < shortest:", "            if size < 0:", FRAME_TESTS),
    ("router: the last route that matches wins", CORE,
     "        for route in routes:\n            if route.method == method:",
     "        for route in routes[::-1]:\n            if route.method == method:", ROUTER_TESTS),
    ("router: an argument may be empty", CORE,
     "            elif segments[index]:", "            elif True:", ROUTER_TESTS),
    ("router: an encoded slash separates", CORE,
     'if "%2f" in path.lower():', "if False:", ROUTER_TESTS),
    ("files: hidden files are served", CORE,
     'if name[0] == "." or min(name) < " ":', 'if name == ".." or min(name) < " ":', ("tests/test_room_files.py",)),
    ("files: the last byte of a range is missing", CORE,
     "min(int(last) + 1, size)", "min(int(last), size)", ("tests/test_room_files.py",)),
    ("files: If-Modified-Since counts beside If-None-Match", CORE,
     'since = fields.get("if-modified-since") if tags is None else None', 'since = fields.get("if-modified-since")',
     ("tests/test_room_files.py",)),
)


def Play(file, old, new, tests):
    """-> the first test that fails, None if all pass, '?' if the place is not there."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("src", "tests", "bench", "tools", "docs"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        text = (folder / "src" / file).read_text(encoding="utf-8")
        if text.count(old) != 1:
            return "?"
        (folder / "src" / file).write_text(text.replace(old, new), encoding="utf-8")
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
