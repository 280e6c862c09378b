#!/usr/bin/env python3
"""The newest figures of each runtime as tables and plots: python3 bench/report.py [--results DIR] [--readme FILE]

Reads DIR/DATE-RUNTIME.json, which bench/run.py wrote, and writes DIR/README.md, DIR/RUNTIME.svg and DIR/RUNTIME.png,
and between its two marks the small table in FILE (the project's README; - for none).
The plots need matplotlib; where this Python has none, that of .venv-bench is asked.
"""
import argparse
import json
import os
import pathlib
import sys

sys.dont_write_bytecode = True
from peers import BEFORE, FLOOR, OURS, PEERS, RUNTIMES, VENV  # noqa: E402
from works import WORKS  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
TITLES = {"micropython": "MicroPython", "cpython": "CPython"}
OTHER, MINE, BARE, INK = "#b8c0cc", "#1769aa", "#e4e7ec", "#24292f"

HEAD = """\
# Measured

CPU time that the server spends on one request, in microseconds: smaller is better. Every server answers the same
requests on the same machine in the same run, in turns; each figure is the median of the rounds, and a ratio that of the
rounds' ratios. The client checks every answer to its last byte. *The floor* is an asyncio program of the same
interpreter that parses nothing and always says the same: nobody who uses asyncio can be below it. The floor of a poll
loop does the same without asyncio. *MicroWebSrv 1* is the version before the core had its own poll loop. Make this page
anew with `python3 bench/run.py --full` and `python3 bench/report.py`; that needs Linux and gcc.

Single times differ from machine to machine and with what else it does; the ratios are what can be compared.
"""


BEGIN, END = "<!-- measured: python3 bench/report.py -->", "<!-- end -->"


class Figures:
    """One run on one runtime."""

    def __init__(self, path):
        self.data = json.loads(path.read_text())
        self.cells = {(cell["work"], cell["connections"], cell["server"]): cell for cell in self.data["cells"]}
        self.servers = [name for name in PEERS if any(cell["server"] == name for cell in self.data["cells"])]
        self.peers = [name for name in self.servers if name not in (OURS, BEFORE) and not name.startswith(FLOOR)]
        self.works = [name for name in WORKS if any(cell["work"] == name for cell in self.data["cells"])]

    def Connections(self, work):
        return sorted({cell["connections"] for cell in self.data["cells"] if cell["work"] == work})

    def Usual(self, work):
        """The number of connections of the main table."""
        known = self.Connections(work)
        return 32 if 32 in known else known[0]

    def Cell(self, work, connections, server):
        return self.cells.get((work, connections, server))

    def Best(self, work):
        """The peer that needs least, or None."""
        found = [self.Cell(work, self.Usual(work), name) for name in self.peers]
        found = [cell for cell in found if cell and cell["cpuUs"]]
        return min(found, key=lambda cell: cell["cpuUs"]) if found else None


def Newest(results):
    """-> {runtime: Figures}"""
    found = {}
    for runtime in RUNTIMES:
        paths = sorted(results.glob("*-%s.json" % runtime))
        if paths:
            found[runtime] = Figures(paths[-1])
    return found


# -- tables ----------------------------------------------------------------------------------------------------------

def Table(head, rows):
    lines = ["| %s |" % " | ".join(head), "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| %s |" % " | ".join(row) for row in rows]) + "\n"


def Micros(value):
    return "" if value is None else "%.1f" % value if value < 100 else "%.0f" % value


def Times(value):
    return "" if value is None else "%.2f" % value


def Summary(figures):
    """Ours, the floor, the best of the others."""
    rows = []
    for work in figures.works:
        ours, best = figures.Cell(work, figures.Usual(work), OURS), figures.Best(work)
        if not ours or ours["cpuUs"] is None:
            continue
        share = 1 / best["ours"] if best and best["ours"] else None
        rows.append([WORKS[work].title, Micros(ours["cpuUs"]), Times(ours["floor"]), Times(ours.get("before")),
                     "%s, %s" % (PEERS[best["server"]].title, Micros(best["cpuUs"])) if best else "", Times(share)])
    return Table(["", "MicroWebSrv, µs", "x floor", "x version 1", "best of the others, µs", "ours / theirs"], rows)


def Small(found):
    """Ours and the best of the others, on each runtime that was measured."""
    head = ["CPU of the server for one request, µs"]
    for runtime in found:
        head += [TITLES[runtime], "best of the others"]
    rows = []
    for work in WORKS:
        row = []
        for figures in found.values():
            ours = figures.Cell(work, figures.Usual(work), OURS) if work in figures.works else None
            best = figures.Best(work) if ours else None
            row += [Cpu(ours) if ours else "",
                    "%s, %s" % (Micros(best["cpuUs"]), PEERS[best["server"]].title) if best else ""]
        if any(row):
            rows.append([WORKS[work].title, *row])
    return Table(head, rows)


def WriteSmall(page, found):
    """Between the marks of that page."""
    text = page.read_text(encoding="utf-8")
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END, text.index(BEGIN))
    page.write_text(text[:begin] + "\n" + Small(found) + text[end:], encoding="utf-8")


def Everybody(figures, works, value):
    """A row for each server, a column for each work."""
    rows = []
    for name in figures.servers:
        cells = [figures.Cell(work, connections, name) for work, connections in works]
        if any(cells):
            title = PEERS[name].title
            rows.append(["**%s**" % title if name == OURS else title, *(value(cell) if cell else "" for cell in cells)])
    return Table(["", *(WORKS[work].title for work, _ in works)], rows)


def Empty(figures):
    """Why a cell is empty."""
    said = {}
    for work, missing in figures.data["missing"].items():
        for name, why in missing.items():
            if not name.startswith(FLOOR):
                said.setdefault((name, why), []).append(WORKS[work].title)
    lines = ["%s %s" % (PEERS[name].title, why) for name, why in said]
    return "Empty cells: %s.\n" % "; ".join(lines) if lines else ""


def Closing(figures):
    """Peers that close where they were asked to keep the connection."""
    names = [PEERS[name].title for name in figures.peers
             if any(cell["reconnects"] > cell["requests"] / 2 for key, cell in figures.cells.items()
                    if key[2] == name and key[0] != "close")]
    return "%s: no connection is kept, each request is on a new one.\n" % ", ".join(names) if names else ""


def Troubles(figures):
    """Errors, and answers that took more than a second."""
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
    parts = ["## %s\n" % TITLES[runtime], "%s. %s, %d cores, %s. Python %s. %s rounds of %s s.\n" % (
        data["date"], data["machine"]["cpu"], data["machine"]["cores"], data["machine"]["system"], data["version"],
        data["options"]["rounds"], data["options"]["seconds"]), Summary(figures),
        "![%s](%s.svg)\n" % (TITLES[runtime], runtime)]
    parts += ["### CPU time for each request, µs\n\n%s.\n" % Where(usual), Everybody(figures, usual, Cpu),
              Empty(figures), Closing(figures)]
    for connections in sorted({n for work in http for n in figures.Connections(work)} - {32}):
        works = [(work, connections) for work in http]
        parts += ["With %d connection%s:\n" % (connections, "s"[:connections > 1]), Everybody(figures, works, Cpu)]
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


def Cpu(cell):
    text = Micros(cell["cpuUs"])
    return "**%s**" % text if cell["server"] == OURS else text


# -- plots -----------------------------------------------------------------------------------------------------------

def Plot(runtime, figures, results, pyplot):
    """A small plot for each work, a bar for each server; SVG and PNG."""
    columns = 3
    works = figures.works
    height = max(len(figures.servers), 4) * 0.23 + 0.55
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
    cells = [figures.Cell(work, figures.Usual(work), name) for name in figures.servers]
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
    return {OURS: "MicroWebSrv", FLOOR: "the floor", BEFORE: "MicroWebSrv 1", "floor-asyncio": "floor, no uvloop",
            "floor-poll": "floor, poll loop"}.get(name, name)


def Pyplot():
    """matplotlib.pyplot; started again with .venv-bench where only that has it."""
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
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    parser.add_argument("--readme", default=str(HERE.parent / "README.md"))
    parser.add_argument("--no-plot", action="store_true")
    options = parser.parse_args()
    pyplot = None if options.no_plot else Pyplot()
    found = Newest(options.results)
    if not found:
        sys.exit("no figures in %s: python3 bench/run.py" % options.results)
    text = "\n".join([HEAD, *(Section(runtime, figures) for runtime, figures in found.items())])
    (options.results / "README.md").write_text(text, encoding="utf-8")
    if options.readme != "-":
        WriteSmall(pathlib.Path(options.readme), found)
    if pyplot:
        for runtime, figures in found.items():
            Plot(runtime, figures, options.results, pyplot)


if __name__ == "__main__":
    Main()
