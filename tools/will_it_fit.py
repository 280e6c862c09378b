#!/usr/bin/env python3
"""Make the tables of docs/will-it-fit.md: which files fit on which board. python3 tools/will_it_fit.py [--check]

The tool reads the heap that the server needs from tools/measured_heaps.json, which tools/measure_memory.py --write
writes. It reads the heap of the boards from tools/board_heaps.json, which is written by hand, each figure with its
source. --check only compares the page.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "will-it-fit.md"
BOARDS = ROOT / "tools" / "board_heaps.json"
MEASURED = ROOT / "tools" / "measured_heaps.json"
BEGIN, END = "<!-- made: python3 tools/will_it_fit.py -->", "<!-- end -->"
PROGRAM = 10 * 1024             # bytes of heap for the program that uses the server, and for its data
TLS = 2 * 23 * 1024             # two TLS connections, on boards where they use the heap of MicroPython (docs/tls.md)
TLS_SETS = ("the three and microWebTls", "all")
BUILDS = {"py": "`.py`", "mpy": "`.mpy`", "rom": "in ROM"}
# The table shows the first verdict that is true. py: the folder of rooms and the sources of the optional files.
VERDICTS = (("fits, `.py` too", "py", "usual"), ("fits", "mpy", "usual"), ("`SetSmall()`", "mpy", "small"),
            ("frozen", "rom", "usual"), ("frozen, `SetSmall()`", "rom", "small"))
NO = "no"

Needs = dict[str, dict[str, Any]]
Board = dict[str, Any]


def Boards() -> list[Board]:
    return json.loads(BOARDS.read_text(encoding="utf-8"))       # type: ignore[no-any-return]


def Measured() -> Needs:
    return json.loads(MEASURED.read_text(encoding="utf-8"))     # type: ignore[no-any-return]


def Need(needs: Needs, title: str, build: str, limits: str) -> int:
    """Return the bytes of heap that a set of files needs: for the imports, for serving, and for one request of the
    largest size. With sources, compiling may need more: that of the rooms, or that of the largest optional file after
    all others are loaded."""
    one = needs["sets"][title]
    need = int(one[build] + Of(needs["work"], title)[limits] + needs["request"][limits])
    if build == "py":
        need = max(need, Of(needs["rooms"], title), one["py"] + one["compiler"])
    return need


def Of(table: dict[str, Any], title: str) -> Any:
    """Return the figure of this set, or the common figure of the other sets."""
    return table[title if title in table else "others"]


def Verdict(needs: Needs, title: str, free: int, tls: str) -> str:
    """Return the verdict on a set of files with so many bytes of free heap."""
    if title in TLS_SETS:
        if tls == "none":
            return NO
        free -= TLS if tls == "heap" else 0
    for said, build, limits in VERDICTS:
        if Need(needs, title, build, limits) + PROGRAM <= free:
            return said
    return NO


def Cell(needs: Needs, title: str, board: Board) -> str:
    """Return the verdict with the lower figure of the board, or with the higher one if nothing fits the lower one."""
    low, high = board["free"]
    said = Verdict(needs, title, low, board["tls"])
    better = Verdict(needs, title, high, board["tls"])
    return "perhaps %s" % better if said == NO and better != NO else said


def _Row(cells: list[str]) -> str:
    return "| %s |" % " | ".join(cells)


def _Table(head: list[str], rows: list[list[str]], isText: bool = False) -> str:
    return "\n".join([_Row(head), _Row(["---"] + ["---" if isText else "---:"] * (len(head) - 1)), *map(_Row, rows)])


def _KB(value: float) -> str:
    return "%d KB" % round(value / 1024)


def _Title(title: str) -> str:
    return re.sub(r"(microWeb\w+)", r"`\1`", title)


def _Free(board: Board) -> str:
    low, high = board["free"]
    if board["psram"]:
        return "%.1f MB" % (low / (1 << 20))
    return _KB(low) if low == high else "%d to %s" % (round(low / 1024), _KB(high))


def Tables(needs: Needs, boards: list[Board]) -> str:
    """Return Markdown: the verdicts, the needs, the boards with their sources."""
    small = [board for board in boards if not board["psram"]]
    large = [board for board in boards if board["psram"]]
    rows = []
    for title in needs["sets"]:
        found = {Cell(needs, title, board) for board in large}
        rows.append([_Title(title), *[Cell(needs, title, board) for board in small], ", or ".join(sorted(found))])
    parts = [_Table(["", *["%s, %s" % (board["name"], _Free(board)) for board in small], "with PSRAM"], rows, True)]
    kinds = [(build, limits) for build in BUILDS for limits in ("usual", "small")]
    rows = [[_Title(title), *[_KB(Need(needs, title, *kind)) for kind in kinds]] for title in needs["sets"]]
    parts.append(_Table(["free heap needed", *["%s, %s" % (name, text) for name in BUILDS.values()
                                                       for text in ("usual limits", "`SetSmall()`")]], rows))
    parts.append(_Table(["", "bytes of heap"], [["an idle connection", "%d" % needs["connection"]["idle"]],
                                                ["a kept-alive connection", "%d" % needs["connection"]["kept"]],
                                                ["a WebSocket", "%d" % needs["connection"]["websocket"]]]))
    rows = []
    for board in boards:
        for number, source in enumerate(board["sources"]):
            rows.append([board["name"] if not number else "", _Free(board) if not number else "",
                         "[%s](%s)" % (source["what"], source["url"]), source["version"], source["date"],
                         board["note"] if not number else ""])
    parts.append(_Table(["board", "free heap", "source", "MicroPython", "date", ""], rows, True))
    return "\n\n".join(parts) + "\n"


def Made(text: str, tables: str) -> str:
    """Return the page with these tables between its marks."""
    begin = text.index(BEGIN) + len(BEGIN)
    return text[:begin] + "\n" + tables + text[text.index(END, begin):]


def Write(needs: Needs) -> None:
    MEASURED.write_text(json.dumps(needs, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(Made(PAGE.read_text(encoding="utf-8"), Tables(needs, Boards())), encoding="utf-8")


def IsUpToDate() -> bool:
    text = PAGE.read_text(encoding="utf-8")
    return text == Made(text, Tables(Measured(), Boards()))


def Main() -> None:
    if sys.argv[1:] == ["--check"]:
        if not IsUpToDate():
            sys.exit("docs/will-it-fit.md does not match the figures: python3 tools/will_it_fit.py")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        Write(Measured())


if __name__ == "__main__":
    Main()
