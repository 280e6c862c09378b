#!/usr/bin/env python3
"""CPU time of a template without a server: the seed's example page (3 x 3 loops) and a long table.

    python3 bench/bench_template.py [--seconds 0.5] [--rounds 5]

On MicroPython compared with utemplate (without escaping), on CPython with Jinja2 (compiled, autoescape on), measured in
turns in one process. The result is the median of the rounds; only ratios are comparable, not single times. It uses the
.venv-bench of bench/run.py, which also measures a page from a server.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from peers import RUNTIMES, SRC, VENV, FindMicroPython  # noqa: E402
from run import MakeVenv  # noqa: E402
from works import SEED_PAGE, SEED_RESULT, Tags  # noqa: E402

ROWS = "[('name %d' % i, i, 'a & b') for i in range(100)]"
TABLE = ("<table>{{ for name, i, text in rows }}<tr><td>{{ name }}</td><td>{{ i }}</td><td>{{ text }}</td></tr>\n"
         "{{ end }}</table>")

# render.py SECONDS: prints the microseconds for each render, as JSON. Runs on both interpreters.
RENDER = """
import json, sys
import microWebTemplate as t
seconds = float(sys.argv[1])
rows = %(rows)s
times = {}

def Clock():
    with open("/proc/self/schedstat") as file:
        return int(file.read().split()[0]) / 1e9

def Measure(name, render, expected):
    assert render() == expected, (name, render())
    count, begin = 0, Clock()
    while Clock() - begin < seconds:
        for _ in range(50):
            render()
        count += 50
    times[name] = (Clock() - begin) / count * 1e6

def Ours(page, values=None):
    template = t.MicroWebTemplate(page, escapeStrFunc=Escape)
    return lambda: template.Execute(values)

def Escape(text):
    return (text.replace("&", "&amp;").replace('"', "&quot;").replace("'", "&apos;")
            .replace(">", "&gt;").replace("<", "&lt;"))

def Function(x):
    return "IN TEST FUNCTION %%s" %% x

table = Ours(%(table)r, {"rows": rows})
Measure("seed", Ours(%(seed)r), %(result)r)
Measure("table", table, table())
if sys.implementation.name == "micropython":
    from utemplate.recompile import Loader
    loader = Loader(None, "templates")
    seed, rowsPage = loader.load("seed.tpl"), loader.load("table.tpl")
    Measure("seed, utemplate", lambda: "".join(seed(Function)), "".join(seed(Function)))
    Measure("table, utemplate", lambda: "".join(rowsPage(rows)), "".join(rowsPage(rows)))
else:
    import jinja2
    env = jinja2.Environment(autoescape=True, keep_trailing_newline=True)
    seed, rowsPage = env.from_string(%(jinjaSeed)r), env.from_string(%(jinjaTable)r)
    Measure("seed, jinja2", lambda: seed.render(_testFunction=Function), %(result)r)
    Measure("table, jinja2", lambda: rowsPage.render(rows=rows), table())
print(json.dumps(times))
"""


def Prepare(folder):
    (folder / "templates").mkdir()
    (folder / "templates" / "seed.tpl").write_text(Tags(SEED_PAGE, "{% args _testFunction %}"))
    (folder / "templates" / "table.tpl").write_text(Tags(TABLE, "{% args rows %}"))
    (folder / "render.py").write_text(RENDER % {"rows": ROWS, "table": TABLE, "seed": SEED_PAGE, "result": SEED_RESULT,
                                                "jinjaSeed": Tags(SEED_PAGE), "jinjaTable": Tags(TABLE)})


def Render(runtime, folder, options):
    """-> {name: [µs of each round]}"""
    python = str(VENV / "bin" / "python") if runtime == "cpython" else FindMicroPython()
    paths = {"PYTHONPATH": str(SRC), "MICROPYPATH": "%s:%s:.:.frozen" % (SRC, VENV / "micropython")}
    command = [python, "render.py", str(options.seconds)]
    rounds = [json.loads(subprocess.check_output(command, cwd=folder, env={**os.environ, **paths}))
              for _ in range(options.rounds)]
    return {name: [times[name] for times in rounds] for name in rounds[0]}


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    MakeVenv()
    for runtime in RUNTIMES:
        with tempfile.TemporaryDirectory() as folder:
            Prepare(pathlib.Path(folder))
            medians = {name: statistics.median(times) for name, times in
                       Render(runtime, pathlib.Path(folder), options).items()}
        for name, median in medians.items():
            ratio = medians[name.split(",")[0]] / median
            print("%-12s %-18s %8.1f us   ours: %.2f of it" % (runtime, name, median, ratio))


if __name__ == "__main__":
    Main()
