#!/usr/bin/env python3
"""Make tables and plots of the newest figures of each runtime, and compare them with the goals: python3 bench/report.py

The program reads bench/results/DATE-RUNTIME.json, which bench/run.py has written, or the files on the command line. It
joins several runs of one day with the same versions and options (DATE-RUNTIME-2.json and so on): a figure is then the
median of the runs, with their range. It writes README.md with all servers beside these files, and RUNTIME.svg and
RUNTIME.png with the chosen servers. It inserts the tables of the chosen servers between two marks in the project's
README, and the goals in docs/performance.md. It also prints the goals.

The plots need matplotlib. If this Python does not have it, that of .venv-bench is used.
"""
import argparse
import json
import os
import pathlib
import sys

sys.dont_write_bytecode = True
import goals  # noqa: E402
from goals import Middle, Range  # noqa: E402
from peers import BEFORE, FLOOR, OURS, PEERS, RUNTIMES, VENV  # noqa: E402
from works import WORKS  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
TITLES = {"micropython": "MicroPython", "cpython": "CPython"}
# The servers in the project's README and the plots. bench/results/README.md has all servers.
CHOSEN = {"micropython": (OURS, FLOOR, "microdot", "uhttp", "chumicro"),
          "cpython": (OURS, FLOOR, "socketify", "granian", "falcon", "robyn", "starlette", "aiohttp", "picows")}
OTHER, MINE, BARE, INK = "#b8c0cc", "#1769aa", "#e4e7ec", "#24292f"

HEAD = """\
# Measured

The figures are the CPU time of the server for one request, in microseconds: smaller is better. All servers answer the
same requests on the same machine, in turn in each round of a run. A figure is the median of the rounds, and a ratio is
the median of the ratios of the rounds. For several runs it is the median of the runs, with the smallest and the largest
value in brackets. The client checks each response to its last byte. Each server runs as one process with one worker.

*The asyncio floor* is a program with asyncio on the same interpreter. It parses nothing and always sends the same
response, so a server that uses asyncio can't need less CPU time. On CPython it is a protocol on uvloop. On MicroPython
it is a task that waits for the socket itself and reads with `readinto`. "x floor" is the ratio to this program. Other
floors do the same with asyncio's streams or with a poll loop. *MicroWebSrv 1* is the version before the core had its
own poll loop. While socketify has clients, its loop polls without sleeping, and this CPU time is counted too.

To make this page, run `python3 bench/run.py --full` and `python3 bench/report.py`. They need Linux and gcc. The times
depend on the machine and its load. Compare the ratios.
"""


MEASURED, AIMED = "<!-- measured: python3 bench/report.py -->", "<!-- goals: python3 bench/report.py -->"
END = "<!-- end -->"
MIDDLES = ("cpuUs", "kernel", "floor", "ours", "before", "perSec", "p50Ms", "p99Ms")
SUMS = ("requests", "errors", "stuck", "reconnects")


def Key(cell):
    return cell["work"], cell["connections"], cell["server"]


def Merged(cells):
    """Join the cells of several runs for one server, one work and one number of connections."""
    first = cells[0]
    merged = {key: first[key] for key in ("work", "connections", "server")}
    for key in MIDDLES:
        values = [cell[key] for cell in cells if cell.get(key) is not None]
        merged[key] = Middle(values) if values else None
    merged.update((key, sum(cell[key] for cell in cells)) for key in SUMS)
    merged["maxMs"] = max(cell["maxMs"] for cell in cells)
    merged["kinds"] = {kind: sum(cell["kinds"][kind] for cell in cells) for kind in first["kinds"]}
    return merged


class Figures:
    """The figures of one run on one runtime, or of several runs of the same kind."""

    def __init__(self, runs):
        """runs: the contents of files from bench/run.py, the newest last."""
        self.data = runs[-1]
        self.runs = [{Key(cell): cell for cell in run["cells"]} for run in runs]
        found = {}
        for run in self.runs:
            for key, cell in run.items():
                found.setdefault(key, []).append(cell)
        self.cells = {key: Merged(cells) for key, cells in found.items()}
        self.servers = [name for name in PEERS if any(cell["server"] == name for cell in self.data["cells"])]
        self.chosen = [name for name in CHOSEN[self.data["runtime"]] if name in self.servers]
        self.peers = [name for name in self.servers if name not in (OURS, BEFORE) and not name.startswith(FLOOR)]
        self.works = [name for name in WORKS if any(cell["work"] == name for cell in self.data["cells"])]

    def Connections(self, work):
        return sorted({cell["connections"] for cell in self.data["cells"] if cell["work"] == work})

    def Usual(self, work):
        """Return the number of connections in the main table."""
        known = self.Connections(work)
        return 32 if 32 in known else known[0]

    def Cell(self, work, connections, server):
        return self.cells.get((work, connections, server))

    def Best(self, work):
        """Return the cell of the peer that needs the least CPU time, or None."""
        found = [self.Cell(work, self.Usual(work), name) for name in self.peers]
        found = [cell for cell in found if cell and cell["cpuUs"]]
        return min(found, key=lambda cell: cell["cpuUs"]) if found else None

    def BestName(self, work):
        best = self.Best(work) if work in self.works else None
        return best["server"] if best else None

    def Ratios(self, work, to):
        """Return the ratio of our CPU time to that of another server, for each run that has both."""
        if work not in self.works:
            return []
        found = []
        for run in self.runs:
            ours, other = (run.get((work, self.Usual(work), name)) for name in (OURS, to))
            ratio = ours and ours.get({FLOOR: "floor", BEFORE: "before"}.get(to))
            if not ratio and ours and other and other["ours"]:
                ratio = 1 / other["ours"]
            found += [ratio] if ratio else []
        return found


def Newest(paths, isNamed=False):
    """Return {runtime: Figures} of the newest run of each runtime, joined with earlier runs of the same kind. They must
    be of the same day, unless the files were named."""
    runs = {}
    read = [json.loads(path.read_text()) for path in paths]
    for run in sorted(read, key=lambda run: run.get("began", run["date"])):
        runs.setdefault(run["runtime"], []).append(run)
    found = {}
    for runtime in [name for name in RUNTIMES if name in runs]:
        newest = runs[runtime][-1]
        same = [run for run in runs[runtime]
                if Kind(run) == Kind(newest) and (isNamed or run["date"] == newest["date"])]
        if isNamed and len(same) < len(runs[runtime]):
            print("%s: %d of the named files have other versions or options than the newest one, and are left out" % (
                TITLES[runtime], len(runs[runtime]) - len(same)))
        found[runtime] = Figures(same)
    return found


def Kind(run):
    return run["versions"], run["options"], run["version"]


# -- tables ----------------------------------------------------------------------------------------------------------

def Table(head, rows, ruler=None):
    lines = ["| %s |" % " | ".join(head), ruler or "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| %s |" % " | ".join(row) for row in rows]) + "\n"


def Micros(value):
    return "" if value is None else "%.1f" % value if value < 100 else "%.0f" % value


def Summary(figures):
    """Return a table of our server, the floor, and the best of the other servers."""
    rows = []
    for work in figures.works:
        ours, best = figures.Cell(work, figures.Usual(work), OURS), figures.Best(work)
        if not ours or ours["cpuUs"] is None:
            continue
        rows.append([WORKS[work].title, Micros(ours["cpuUs"]), Range(figures.Ratios(work, FLOOR)),
                     Range(figures.Ratios(work, BEFORE)),
                     "%s, %s" % (PEERS[best["server"]].title, Micros(best["cpuUs"])) if best else "",
                     Range(figures.Ratios(work, best["server"])) if best else ""])
    return Table(["", "MicroWebSrv, µs", "x floor", "x version 1", "best of the others, µs", "ours / theirs"], rows)


def Small(found):
    """Return a table of our server, the floor and the chosen servers for each runtime."""
    parts = []
    for runtime, figures in found.items():
        head = ["%s, µs" % TITLES[runtime], *(PEERS[name].title for name in figures.chosen)]
        rows = []
        for work in figures.works:
            cells = [figures.Cell(work, figures.Usual(work), name) for name in figures.chosen]
            rows.append([WORKS[work].title, *(Cpu(cell) if cell else "" for cell in cells)])
        parts.append(Table(head, rows))
    return "\n".join(parts)


def Goals(found):
    """Return the tables of the goals with the measured figures."""
    parts = []
    for runtime, figures in found.items():
        rows = goals.Rows(runtime, figures)
        parts.append("**%s**, %s, %s: %s\n" % (
            TITLES[runtime], figures.data["date"], Effort(figures), goals.Count(rows)))
        rows = [(*row[:3], "**missed**" if row[3] == "missed" else row[3]) for row in rows]
        parts.append(Table(["", "goal", "measured", ""], rows, "| --- | --- | --- | --- |"))
    return "\n".join(parts)


def PrintGoals(found):
    for runtime, figures in found.items():
        rows = goals.Rows(runtime, figures)
        print("\n%s, %s, %s" % (TITLES[runtime], figures.data["date"], Effort(figures)))
        for row in rows:
            print("  %-20s %-40s %-40s %s" % row)
        print("  " + goals.Count(rows))


def Effort(figures):
    options, runs = figures.data["options"], len(figures.runs)
    text = "%d round%s of %s s" % (options["rounds"], "s"[:options["rounds"] > 1], options["seconds"])
    return "%d runs of %s" % (runs, text) if runs > 1 else text


def WriteBetween(page, begin, content):
    """Write the content between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    if begin not in text:
        sys.exit("%s has no line %s" % (page, begin))
    start = text.index(begin) + len(begin)
    page.write_text(text[:start] + "\n" + content + text[text.index(END, start):], encoding="utf-8")


def Everybody(figures, works, value):
    """Return a table with a row for each server and a column for each work."""
    rows = []
    for name in figures.servers:
        cells = [figures.Cell(work, connections, name) for work, connections in works]
        if any(cells):
            title = PEERS[name].title
            rows.append(["**%s**" % title if name == OURS else title, *(value(cell) if cell else "" for cell in cells)])
    return Table(["", *(WORKS[work].title for work, _ in works)], rows)


def Empty(figures):
    """Return a sentence with the reasons for the empty cells."""
    said = {}
    for work, missing in figures.data["missing"].items():
        for name, why in missing.items():
            if not name.startswith(FLOOR):
                said.setdefault((name, why), []).append(WORKS[work].title)
    lines = ["%s %s" % (PEERS[name].title, why) for name, why in said]
    return "Empty cells: %s.\n" % "; ".join(lines) if lines else ""


def Closing(figures):
    """Return a sentence about peers that close a connection though the client asks to keep it."""
    names = [PEERS[name].title for name in figures.peers
             if any(cell["reconnects"] > cell["requests"] / 2 for key, cell in figures.cells.items()
                    if key[2] == name and key[0] != "close")]
    return "%s: no connection is kept, each request is on a new one.\n" % ", ".join(names) if names else ""


def Troubles(figures):
    """Return a table of errors and of responses that took more than a second."""
    rows = []
    for (work, connections, name), cell in figures.cells.items():
        if cell["errors"] or cell["stuck"]:
            kinds = ", ".join("%s %d" % item for item in cell["kinds"].items() if item[1])
            rows.append([PEERS[name].title, WORKS[work].title, str(connections), str(cell["requests"]),
                         "%d%s" % (cell["errors"], " (%s)" % kinds if kinds else ""), str(cell["stuck"]),
                         "%.0f" % cell["maxMs"]])
    if not rows:
        return "No errors, and nobody waited longer than a second.\n"
    return Table(["", "work", "connections", "answers", "errors", "stuck over 1 s", "longest, ms"], rows)


def Section(runtime, figures):
    data = figures.data
    http = [work for work in figures.works if not WORKS[work].isWebSocket]
    usual = [(work, figures.Usual(work)) for work in figures.works]
    parts = ["## %s\n" % TITLES[runtime], "%s. %s, %d cores, %s. Python %s. %s.\n" % (
        data["date"], data["machine"]["cpu"], data["machine"]["cores"], data["machine"]["system"], data["version"],
        Effort(figures).capitalize()), Summary(figures),
        "![%s](%s.svg)\n" % (TITLES[runtime], runtime)]
    parts += ["### CPU time for each request, µs\n\n%s.\n" % Where(usual), Everybody(figures, usual, Cpu),
              Empty(figures), Closing(figures)]
    for connections in sorted({n for work in http for n in figures.Connections(work)} - {32}):
        works = [(work, connections) for work in http]
        parts += ["With %d connection%s:\n" % (connections, "s"[:connections > 1]), Everybody(figures, works, Cpu)]
    if any(cell["kernel"] for cell in figures.cells.values()):
        parts += ["### The kernel's part of that time, %\n", Everybody(figures, usual, KernelPercent)]
    parts += ["### Requests for each second\n", Everybody(figures, usual, lambda cell: "%.0f" % cell["perSec"]),
              "### Latency, ms: median / 99 of 100\n",
              Everybody(figures, usual, lambda cell: "%.1f / %.1f" % (cell["p50Ms"], cell["p99Ms"])),
              "### Errors\n", Troubles(figures),
              "Versions: %s.\n" % ", ".join("%s %s" % item for item in data["versions"].items())]
    return "\n".join(part for part in parts if part)


def Where(usual):
    numbers = sorted({connections for _, connections in usual})
    if numbers == [32, 50]:
        return "32 connections; WebSocket 50"
    return "%s connections" % ", ".join(map(str, numbers))


def KernelPercent(cell):
    return "" if cell["kernel"] is None else "%.0f" % (cell["kernel"] * 100)


def Cpu(cell):
    text = Micros(cell["cpuUs"])
    return "**%s**" % text if cell["server"] == OURS else text


# -- plots -----------------------------------------------------------------------------------------------------------

def Plot(runtime, figures, results, pyplot):
    """Write an SVG and a PNG file with a small plot for each work and a bar for each server."""
    columns = 3
    works = figures.works
    height = max(len(figures.chosen), 4) * 0.23 + 0.55
    rows = -(-len(works) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(13, rows * height + 0.7), squeeze=False)
    for at, axis in enumerate(axes.flat):
        if at < len(works):
            Bars(axis, figures, works[at])
        else:
            axis.set_visible(False)
    figure.suptitle("CPU time of the server for each request, µs, on %s (%s)" % (TITLES[runtime], figures.data["date"]),
                    x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.28 / (rows * height + 0.7)), h_pad=1.4, w_pad=1.6)
    for ending in ("svg", "png"):
        extra = {"metadata": {"Date": None}} if ending == "svg" else {"dpi": 110}
        figure.savefig(results / ("%s.%s" % (runtime, ending)), facecolor="white", **extra)
    pyplot.close(figure)


def Bars(axis, figures, work):
    cells = [figures.Cell(work, figures.Usual(work), name) for name in figures.chosen]
    cells = sorted((cell for cell in cells if cell and cell["cpuUs"]), key=lambda cell: -cell["cpuUs"])
    values = [cell["cpuUs"] for cell in cells]
    colors = [MINE if cell["server"] == OURS else BARE if cell["server"].startswith(FLOOR) else OTHER
              for cell in cells]
    bars = axis.barh([Short(cell["server"]) for cell in cells], values, color=colors, height=0.74)
    axis.bar_label(bars, [Micros(value) for value in values], padding=3, fontsize=8, color=INK)
    axis.set_title("%s, %d connections" % (WORKS[work].title, figures.Usual(work)), fontsize=10, loc="left", color=INK)
    axis.set_xlim(0, max(values) * 1.16)
    axis.tick_params(axis="y", labelsize=8, length=0, labelcolor=INK)
    axis.tick_params(axis="x", bottom=False, labelbottom=False)
    for side in axis.spines.values():
        side.set_visible(False)
    for label in axis.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == Short(OURS) else "normal")


def Short(name):
    return {OURS: "MicroWebSrv", FLOOR: "asyncio floor", "granian": "granian RSGI", "falcon": "falcon, granian",
            "starlette": "starlette, uvicorn"}.get(name, name)


def Pyplot():
    """Return matplotlib.pyplot. If only .venv-bench has it, start this program again there."""
    try:
        import matplotlib
    except ImportError:
        python = VENV / "bin" / "python"
        if not python.exists() or pathlib.Path(sys.prefix) == VENV:
            sys.exit("no matplotlib: python3 bench/run.py makes %s, which has it" % VENV.name)
        os.execv(python, [str(python), *sys.argv])
    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib import pyplot
    return pyplot


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="instead of all files in the folder of the results")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    parser.add_argument("--readme", default=str(HERE.parent / "README.md"), help="- for none")
    parser.add_argument("--performance", default=str(HERE.parent / "docs" / "performance.md"), help="- for none")
    parser.add_argument("--goals", action="store_true", help="only print them, write nothing")
    parser.add_argument("--no-plot", action="store_true")
    options = parser.parse_args()
    pyplot = None if options.no_plot or options.goals else Pyplot()
    found = Newest(options.files or options.results.glob("[0-9]*.json"), bool(options.files))
    if not found:
        sys.exit("no figures in %s: python3 bench/run.py" % options.results)
    PrintGoals(found)
    if options.goals:
        return
    text = "\n".join([HEAD, *(Section(runtime, figures) for runtime, figures in found.items())])
    (options.results / "README.md").write_text(text, encoding="utf-8")
    if options.readme != "-":
        WriteBetween(pathlib.Path(options.readme), MEASURED, Small(found))
    if options.performance != "-":
        WriteBetween(pathlib.Path(options.performance), AIMED, Goals(found))
    if pyplot:
        for runtime, figures in found.items():
            Plot(runtime, figures, options.results, pyplot)


if __name__ == "__main__":
    Main()
