"""The goals of the server, and whether the figures meet them. bench/report.py uses this module."""
from peers import BEFORE, FLOOR, OURS, PEERS
from works import WORKS

BEST = "best"               # the other server that needs the least CPU time for this work
BELOW_ALL = "below all"     # the same server, but equal is not enough
MANY = 200                  # with so many connections no client may wait for a second
# {runtime: {work: (largest ratio, to this server)}}
GOALS = {
    "micropython": {
        "hello": ((2.5, FLOOR), (0.35, BEST), (0.75, BEFORE)),
        "close": ((1.7, FLOOR), (1.0, BEFORE)),
        "args": ((3.0, FLOOR), (1.0, BEFORE)),
        "json": ((4.0, FLOOR), (1.0, BEFORE)),
        "form": ((4.5, FLOOR), (1.0, BEFORE)),
        "1kb": ((1.0, BEFORE),),
        "10kb": ((0.35, BEST), (1.0, BEFORE)),
        "115kb": ((0.25, BEST), (1.0, BEFORE)),
        "template": ((0.3, "microdot"), (1.0, BEFORE)),
        "ws64": ((0.55, BEST), (1.0, BEFORE)),
        "ws4k": ((0.15, BEST), (1.0, BEFORE)),
    },
    "cpython": {
        "hello": ((1.0, "socketify"), (0.7, "falcon"), (0.85, BEFORE)),
        "close": ((1.0, "socketify"), (1.0, "granian"), (0.85, BEFORE)),
        "args": ((1.0, BELOW_ALL), (1.05, BEFORE)),
        "json": ((1.0, BELOW_ALL), (1.05, BEFORE)),
        "form": ((1.0, BELOW_ALL), (1.05, BEFORE)),
        "1kb": ((1.05, BEFORE),),
        "10kb": ((1.0, BELOW_ALL), (1.05, BEFORE)),
        "115kb": ((1.0, BELOW_ALL), (1.05, BEFORE)),
        "template": ((0.35, "starlette"), (1.05, BEFORE)),
        "ws64": ((1.0, "picows"), (1.05, BEFORE)),
        "ws4k": ((1.1, "picows"), (1.05, BEFORE)),
    },
}
TITLES = {FLOOR: "the asyncio floor", BEFORE: "version 1", BEST: "the best peer", "microdot": "Microdot with utemplate",
          "starlette": "Starlette with Jinja2"}


def Range(values, digits=2):
    """Return the median of the runs as a text, with the smallest and the largest value if they differ."""
    if not values:
        return ""
    low, high = "%.*f" % (digits, min(values)), "%.*f" % (digits, max(values))
    middle = "%.*f" % (digits, Middle(values))
    return middle if low == high else "%s (%s–%s)" % (middle, low, high)


def Middle(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def Said(limit, to):
    """Return the goal as a text."""
    if to == BELOW_ALL:
        return "less than every peer"
    return "≤ %g x %s" % (limit, TITLES.get(to) or PEERS[to].title)


def Judge(figures, work, limit, to):
    """Return the measured figure as a text, and the verdict."""
    peer = figures.BestName(work) if to in (BEST, BELOW_ALL) else to
    ratios = figures.Ratios(work, peer) if peer else []
    if not ratios:
        return "", "not measured"
    measured = Range(ratios)
    if to in (BEST, BELOW_ALL):
        measured += " x " + PEERS[peer].title
    # Compare the rounded value, which the table shows: "1.00" is not less than 1.
    middle = round(Middle(ratios), 2)
    return measured, "met" if middle < limit or to != BELOW_ALL and middle == limit else "missed"


def JudgeMany(figures):
    """Judge the goal that no client is refused or waits for a second when many connect at the same time."""
    cells = [cell for (_, connections, name), cell in figures.cells.items() if connections == MANY and name == OURS]
    if not cells:
        return "", "not measured"
    errors, stuck = (sum(cell[what] for cell in cells) for what in ("errors", "stuck"))
    return "%d errors, %d waited a second, the longest %.0f ms" % (
        errors, stuck, max(cell["maxMs"] for cell in cells)), "missed" if errors or stuck else "met"


def Rows(runtime, figures):
    """Return [(title, goal, measured, verdict)] of one runtime."""
    rows = [(WORKS[work].title, Said(limit, to), *Judge(figures, work, limit, to))
            for work, goals in GOALS[runtime].items() for limit, to in goals]
    return [*rows, ("%d connections" % MANY, "no error, nobody waits a second", *JudgeMany(figures))]


def Count(rows):
    """Return a sentence about the verdicts."""
    verdicts = [row[-1] for row in rows]
    text = "%d of %d goals are met" % (verdicts.count("met"), len(verdicts))
    if "not measured" in verdicts:
        text += ", %d are not measured" % verdicts.count("not measured")
    return text + "."
