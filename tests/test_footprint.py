"""What the server may take of a board's memory, at most. The figures may only go down: after a change that makes it
smaller, write the new ones here and run `python3 tools/measure_memory.py --write`.
"""

import re

import pytest

import harness

# Bytes, but KB for the heaps. resident: what stays taken after the imports of the three files; 32 is MicroPython's
# WebAssembly build, 64 the unix port. A connection is one that waits: just opened, kept alive after an answer, or a
# WebSocket after an echo. heap: serves 200 requests, a file of 10 KB, a template page and WebSocket echoes.
BUDGET = {
    "size microWebSrv": 34550,
    "size microWebSocket": 6350,
    "size microWebTemplate": 8050,
    "size microWebEvents": 2280,
    "size microWebDeflate": 1800,
    "resident32 rom": 29900,
    "resident32 mpy": 74400,
    "resident64 rom": 55900,
    "resident64 mpy": 105500,
    "resident64 py": 121000,
    "started64 mpy": 112200,
    "started64 py": 127600,
    "idle": 900,
    "kept": 1300,
    "websocket": 1320,
    "heap mpy": 170,
    "heap py": 490,
}
THREE = ("microWebSrv", "microWebSocket", "microWebTemplate")

tool = harness.LoadTool("measure_memory")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{build: its modules}, and the whole set of "py" and "mpy" in "set-py" and "set-mpy"."""
    root = tmp_path_factory.mktemp("footprint")
    found = {name: root / name for name in ("py", "mpy", "rom", "set-py", "set-mpy")}
    for build in tool.BUILDS:
        tool.MakeModules(found[build], build)
        tool.MakeSet(found["set-" + build], build, found[build])
    tool.MakeRom(found["rom"], found["mpy"])
    return found


def Check(name, value):
    print("%-24s %8d of %8d" % (name, value, BUDGET[name]))
    assert value <= BUDGET[name], "%s: %d bytes are too many" % (name, value)


@pytest.mark.parametrize("module", tool.THREE + tool.OPTIONAL)
def test_size_of_the_file(folders, module):
    Check("size " + module, tool.Sizes(folders["mpy"])[module])


@pytest.mark.parametrize("build", ["py", "mpy", "rom"])
def test_resident_on_64_bits(folders, build):
    figures = tool.Resident64(folders[build], build)
    Check("resident64 " + build, sum(figures[name] for name in THREE))


@pytest.mark.parametrize("build", ["mpy", "rom"])
def test_resident_on_32_bits(folders, build):
    figures = tool.Resident32(folders[build], build)
    Check("resident32 " + build, sum(figures[name] for name in THREE))


@pytest.mark.parametrize("build", ["py", "mpy"])
def test_server_and_its_connections(folders, build):
    figures = tool.Connections(folders["set-" + build])
    Check("started64 " + build, figures["started"])
    for name in ("idle", "kept", "websocket"):
        Check(name, figures[name])


@pytest.mark.parametrize("build", ["py", "mpy"])
def test_smallest_heap(folders, build):
    """Where the holes of a heap are is chance: it counts if one of three served everything."""
    with tool.Serving(folders["set-" + build], 2048) as (port, _):
        tool.AskWholeSet(port)              # a failure here is no matter of memory
    assert any(tool.Serves(folders["set-" + build], BUDGET["heap " + build]) for _ in range(3))
    assert not tool.Serves(folders["set-" + build], BUDGET["heap " + build] // 2), "the budget is no budget"


TABLES = """
import gc
import sys
from microWebSrv import MicroWebSrv
mws = MicroWebSrv()

def Free(table):
    # How many names it takes before it grows.
    names = 0
    grown = 0
    while grown < 256:
        gc.collect()
        before = gc.mem_alloc()
        table[names] = None
        grown = gc.mem_alloc() - before
        names += 1
    return names - 1

for name in ("microWebSrv", "microWebSocket", "microWebTemplate"):
    table = sys.modules[name].__dict__
    used = len(table)
    print(name, used, Free(table))
"""


@pytest.mark.parametrize("heap", ["1M", "160k"])
def test_tables_of_names_have_room(folders, tmp_path, heap):
    """In a full one each builtin is looked for at every place; a small heap has no room for more places."""
    output = harness.RunProgram("micropython", TABLES, tmp_path, modulePath=(folders["mpy"],), options=("-X", "heapsize=" + heap))
    found = re.findall(r"^(\w+) (\d+) (\d+)$", output, re.M)
    assert [name for name, _, _ in found] == list(THREE)
    isRoomy = [int(free) * 9 >= int(used) for _, used, free in found]
    assert all(isRoomy) if heap == "1M" else not all(isRoomy)


def test_page_shows_the_sizes_of_today(folders):
    """The tables of docs/memory.md are of the modules as they are, give or take what another mpy-cross makes of them."""
    page = (harness.ROOT / "docs" / "memory.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(microWeb\w+)` \| ([\d,]+) \|", page, re.M))
    sizes = tool.Sizes(folders["mpy"])
    assert set(rows) == set(sizes)
    for name, size in sizes.items():
        assert abs(int(rows[name].replace(",", "")) - size) < size * 0.03, "measure_memory.py --write"
