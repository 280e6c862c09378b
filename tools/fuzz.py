#!/usr/bin/env python3
"""Search for inputs that break a law of tests/mp/fuzz_laws.py, guided by coverage (atheris: pip install atheris).

    python3 tools/fuzz.py [--seconds 60] [--target head|chunked|form|query|range|template|frame|server|h11] [--keep]

Each target runs for this time; without --target, all run one after another. A failing input is printed as a bytes
literal, and the exit code is 1. --keep adds inputs to tests/fuzz_corpus/ that reach code which the corpus does not
reach, and removes those that have become redundant. The corpus is text, one bytes literal in each line, which both
runtimes read.
"""

import argparse
import ast
import hashlib
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "fuzz_corpus"
MODULES = ("microWebSrv", "microWebSocket", "microWebTemplate", "microWebFiles", "microWebAsync")
TARGETS = ("head", "chunked", "form", "query", "range", "template", "frame", "server", "h11")
MAX_LEN = {"server": 700, "head": 600, "h11": 600}         # bytes of an input
MOST = 100                                                  # inputs kept for each target; each test run replays them

sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests" / "mp")]


def Law(target):
    if target == "h11":
        from fuzz_h11 import Compare
        return Compare
    from fuzz_laws import LAWS
    return LAWS[target]


def Read(target):
    path = CORPUS / (target + ".txt")
    return [ast.literal_eval(line) for line in path.read_text().splitlines()] if path.exists() else []


def Write(target, inputs):
    CORPUS.mkdir(exist_ok=True)
    inputs = sorted(set(inputs), key=lambda data: (len(data), data))[:MOST]
    (CORPUS / (target + ".txt")).write_text("".join("%r\n" % data for data in inputs))
    return len(inputs)


def Seeds(target):
    """Start inputs, from the tables of the tests."""
    import cases_http as cases
    heads = [row[2] for row in cases.BAD] + [row[1] for row in cases.GOOD + cases.SMUGGLING]
    if target in ("head", "server", "h11"):
        targets = (b"POST /echo", b"POST /async", b"POST /async-pieces", b"POST /form", b"POST /json", b"GET /text.txt",
                   b"GET /pieces/7")
        moved = [data.replace(b"POST /p", name, 1) for data in heads[-90:] for name in targets if b"POST /p" in data]
        return [data for data in heads + (moved[::5] if target == "server" else []) if len(data) < 600]
    if target == "chunked":
        return [data.partition(b"chunked\r\n\r\n")[2] for data in heads if b"chunked\r\n\r\n" in data]
    return {
        "form": [b"a=1&b=x+y", b"%41=%zz&&=&%", b"\xff=%ff%c3%a9"],
        "query": [b"a/b?c=d", b"%2e%2e/x", b"a%2Fb/%41", b"dir/../x%00", b"xay/z"],
        "range": [b"bytes=0-4", b"bytes=-5", b"bytes=5-|\"tag\"", b"Sun, 06 Nov 1994 08:49:37 GMT", b"gzip;q=0, *",
                  b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994", b"W/\"tag\", \"x\""],
        "template": [b"a{{ b }}c", b"{{ for i in x }}{{ i }}{{ end }}", b"{{ if a }}b{{ elif c }}d{{ else }}e{{ end }}",
                     b"{{ py }}\n def f(): pass\n{{ end }}", b"{{ include x.html }}", b"{{ block a }}b{{ end }}",
                     b"{{ extends x }}", b"{{ raw x }}", b"{{ 'a' + \"b\" }}{{ x[1:2] }}{{ {1: 2} }}"],
        "frame": [b"\x81\x85abcd\x09\x07\x0f\x08\x0e", b"\x01\x81abcd\x00\x80\x81abcd\x00", b"\x88\x82abcd\x62\x8a",
                  b"\x89\x80abcd", b"\x82\xfe\x00\x7eabcd" + b"x" * 126, b"\x82\xff\0\0\0\0\0\1\0\0abcd",
                  b"\x8a\x80abcd",
                  b"\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0\xa9"],
    }[target]


def Worker(target, arguments):
    """Body of the process that libFuzzer ends."""
    import atheris
    with atheris.instrument_imports(include=list(MODULES)):
        law = Law(target)

    def Check(data):
        try:
            law(data)
        except Exception:
            print("%s is broken by %r" % (target, data), flush=True)
            raise
    atheris.Setup([sys.argv[0], *arguments], Check)
    atheris.Fuzz()


def Reaches(law, data):
    """The line transitions in the sources that this input causes."""
    steps = set()

    def Trace(frame, event, arg):
        name = frame.f_code.co_filename
        if not name.startswith(str(ROOT / "src")):
            return None
        last = [frame.f_lineno]

        def Line(frame, event, arg):
            steps.add((name, last[0], frame.f_lineno, event))
            last[0] = frame.f_lineno
            return Line
        return Line
    sys.settrace(Trace)
    try:
        law(data)
    finally:
        sys.settrace(None)
    return steps


def Smallest(target, inputs):
    """A small set of short inputs that reaches all that the inputs reach."""
    law, seen, kept = Law(target), set(), []
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        steps = Reaches(law, data)
        if not steps <= seen:
            seen |= steps
            kept.append(data)
    return kept


def Look(target, seconds, keep):
    """Fuzz one target for its time. -> True if no input failed."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        found, known = folder / "found", folder / "known"
        found.mkdir()
        known.mkdir()
        begin = {*Read(target), *Seeds(target)}
        for data in begin:
            (known / hashlib.sha1(data).hexdigest()).write_bytes(data)
        command = [sys.executable, __file__, "--worker", target, found, known, "-max_total_time=%d" % seconds,
                   "-max_len=%d" % MAX_LEN.get(target, 400), "-timeout=20", "-rss_limit_mb=1024",
                   "-artifact_prefix=%s/" % folder, "-print_final_stats=1"]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace")
        lines = done.stdout.splitlines()
        count = [line.split()[-1] for line in lines if line.startswith("stat::number_of_executed_units")]
        cover = [line.split("cov: ")[1].split()[0] for line in lines if "cov: " in line]
        new = [path.read_bytes() for path in found.iterdir()]
        print("%-9s %8s inputs in %3d s, coverage %s, %d of them new: %s" % (
            target, count[-1] if count else "?", seconds, cover[-1] if cover else "?", len(new),
            "BROKEN" if done.returncode else "every law holds"), flush=True)
        if done.returncode:
            print("\n".join(lines[-40:]))
            for path in folder.glob("*-*"):
                print("%s: %r" % (path.name, path.read_bytes()))
            return False
        if keep:
            print("%-9s kept %d" % (target, Write(target, Smallest(target, [*begin, *new]))), flush=True)
    return True


def Main():
    if sys.argv[1:2] == ["--worker"]:
        return Worker(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if subprocess.run([sys.executable, "-c", "import atheris"], capture_output=True).returncode:
        sys.exit("tools/fuzz.py needs atheris (Linux): %s -m pip install atheris" % sys.executable)
    targets = [options.target] if options.target else TARGETS
    held = [Look(target, options.seconds, options.keep) for target in targets]
    sys.exit(not all(held))


if __name__ == "__main__":
    Main()
