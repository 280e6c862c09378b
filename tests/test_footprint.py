"""What the server may take of a board's memory, at most. The figures may only go down: after a change that makes it
smaller, `python3 tools/measure_memory.py --write --budget` puts the new ones here and into docs/memory.md.
"""

import re

import pytest

import harness

# Bytes, but KB for the heaps. resident: what stays taken after the imports; 32 is MicroPython's WebAssembly build, 64 the
# unix port. compile: the smallest heap, on 64 bits, that compiles the file. A connection is one that waits: just opened,
# kept alive after an answer, or a WebSocket after an echo. heap, on 64 bits: serves a hello; or 200 requests, a file of
# 10 KB, a template page and WebSocket echoes.
BUDGET = {
    "size microWebSrv": 26420, "size microWebSocket": 6170, "size microWebTemplate": 6300,
    "size microWebAsync": 3070, "size microWebThreads": 1490, "size microWebFiles": 3120, "size microWebPages": 2370,
    "size microWebEvents": 2200, "size microWebDeflate": 1380, "size three": 38880,
    "functions microWebSrv": 217, "functions microWebSocket": 42, "functions microWebTemplate": 35,
    "functions microWebAsync": 35, "functions microWebThreads": 16, "functions microWebFiles": 13,
    "functions microWebPages": 10, "functions microWebEvents": 27, "functions microWebDeflate": 11,
    "functions core/connection": 29, "functions core/engine": 39, "functions core/exchange": 44,
    "functions core/files": 15, "functions core/messages": 5, "functions core/readers": 14,
    "functions core/router": 7, "functions core/server": 19, "functions core/text": 7,
    "functions core/transport": 28, "functions core/writers": 10,
    "tokens microWebSocket": 4850, "tokens microWebTemplate": 4510, "tokens microWebAsync": 3070,
    "tokens microWebThreads": 1130, "tokens microWebFiles": 2090, "tokens microWebPages": 1390,
    "tokens microWebEvents": 1510, "tokens microWebDeflate": 1360, "tokens core/connection": 4060,
    "tokens core/engine": 3310, "tokens core/exchange": 2270, "tokens core/files": 2690, "tokens core/messages": 290,
    "tokens core/readers": 2160, "tokens core/router": 1030, "tokens core/server": 1600, "tokens core/text": 700,
    "tokens core/transport": 1930, "tokens core/writers": 760,
    "compile microWebSrv": 406, "compile microWebSocket": 96, "compile microWebTemplate": 92,
    "compile microWebAsync": 64, "compile microWebThreads": 28, "compile microWebFiles": 43,
    "compile microWebPages": 33, "compile microWebEvents": 37, "compile microWebDeflate": 32,
    "compile core/connection": 81, "compile core/engine": 69, "compile core/exchange": 59, "compile core/files": 53,
    "compile core/messages": 13, "compile core/readers": 49, "compile core/router": 25, "compile core/server": 42,
    "compile core/text": 21, "compile core/transport": 47, "compile core/writers": 24,
    "resident32 the core alone, rom": 17700, "resident32 the core alone, mpy": 42100,
    "resident64 the core alone, rom": 33900, "resident64 the core alone, mpy": 61300,
    "resident64 the core alone, py": 73100,
    "resident32 the three, rom": 23500, "resident32 the three, mpy": 58800,
    "resident64 the three, rom": 44300, "resident64 the three, mpy": 83600, "resident64 the three, py": 105000,
    "resident32 the three and microWebAsync, rom": 25200, "resident32 the three and microWebAsync, mpy": 62800,
    "resident32 the three and microWebThreads, rom": 24400, "resident32 the three and microWebThreads, mpy": 60800,
    "resident32 the three and microWebFiles, rom": 24800, "resident32 the three and microWebFiles, mpy": 62800,
    "resident32 the three and microWebPages, rom": 24800, "resident32 the three and microWebPages, mpy": 61800,
    "resident32 the three and microWebEvents, rom": 25000, "resident32 the three and microWebEvents, mpy": 62000,
    "resident32 the three and microWebDeflate, rom": 24400, "resident32 the three and microWebDeflate, mpy": 61000,
    "resident32 all, rom": 31600, "resident32 all, mpy": 77300,
    "open64 started": 90800, "open64 idle": 360, "open64 kept": 550, "open64 websocket": 550,
    "open32 idle": 200, "open32 kept": 300, "open32 websocket": 330,
    "heap core, one request, mpy": 82, "heap three, one request, mpy": 97, "heap three, whole set, mpy": 115,
    "heap core, one request, py": 407, "heap three, one request, py": 407, "heap three, whole set, py": 407,
    "heap core, one request, rooms": 146, "heap three, one request, rooms": 196, "heap three, whole set, rooms": 196,
}

tool = harness.LoadTool("measure_memory")
HOUSE = tool.Today()
CORE = HOUSE.three[:1]
SOURCES = tool.Sources(HOUSE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{build: its modules}, and servers of them: "set" with the three, "core" with nothing but the core."""
    root = tmp_path_factory.mktemp("footprint")
    found = {name: root / name for name in ("py", "mpy", "rom", "rooms")}
    for build in ("py", "mpy", "rooms"):
        tool.MakeModules(found[build], build)
        found["set-" + build], found["core-" + build] = root / ("set-" + build), root / ("core-" + build)
        tool.MakeSet(found["set-" + build], build, found[build])
        tool.MakeSet(found["core-" + build], build, found[build], CORE, tool.ONE)
    tool.MakeRom(found["rom"], found["mpy"])
    return found


def Check(name, value):
    print("%-32s %8d of %8d" % (name, value, BUDGET[name]))
    assert value <= BUDGET[name], "%s: %d are too many" % (name, value)


@pytest.mark.parametrize("module", HOUSE.modules)
def test_size_of_the_file(folders, module):
    Check("size " + module, (folders["mpy"] / (module + ".mpy")).stat().st_size)


def test_size_of_the_three(folders):
    Check("size three", sum((folders["mpy"] / (module + ".mpy")).stat().st_size for module in HOUSE.three))


@pytest.mark.parametrize("name", SOURCES)
def test_tokens_and_functions(name):
    """The compiler of a board needs 17 bytes for each token of the largest file; a function costs 62 before its first
    instruction."""
    text = SOURCES[name].read_text(encoding="utf-8")
    Check("functions " + name, tool.Functions(text))
    if name not in CORE:                        # that is all the rooms
        Check("tokens " + name, tool.Tokens(text))


@pytest.mark.parametrize("build", ["py", "mpy", "rom"])
def test_resident_on_64_bits(folders, build):
    for title, names in (("the core alone", CORE), ("the three", HOUSE.three)):
        Check("resident64 %s, %s" % (title, build), sum(tool.Resident64(folders[build], build, names).values()))


@pytest.mark.parametrize("build", ["mpy", "rom"])
def test_resident_on_32_bits(folders, build):
    for title, names in tool.Sets(HOUSE).items():
        Check("resident32 %s, %s" % (title, build), sum(tool.Resident32(folders[build], build, names).values()))


def test_server_and_its_connections(folders):
    figures = tool.Connections(folders["set-mpy"])
    for name in ("started", "idle", "kept", "websocket"):
        Check("open64 " + name, figures[name])


def test_connections_on_32_bits(folders):
    for name, value in tool.Connections32(folders["mpy"]).items():
        Check("open32 " + name, value)


@pytest.mark.parametrize("build", ["mpy", "rooms", "py"])
def test_smallest_heap(folders, build):
    """Where the holes of a heap are is chance: it counts if one of three served everything."""
    with tool.Serving(folders["set-" + build], 2048) as port:
        tool.AskWholeSet(port)              # a failure here is no matter of memory
    for what, folder, ask in (("core, one request", "core-", tool.AskOne), ("three, one request", "set-", tool.AskOne),
                              ("three, whole set", "set-", tool.AskWholeSet)):
        heap = BUDGET["heap %s, %s" % (what, build)]
        assert any(tool.Serves(folders[folder + build], heap, ask) for _ in range(3)), what
        assert not tool.Serves(folders[folder + build], heap // 2, ask), "the budget of %s is no budget" % what


def test_heap_of_the_compiler(tmp_path):
    """Each file alone. The one file of the core needs several times what any other does: there are the rooms for that."""
    for name, alone in tool.MakeAlone(tmp_path / "alone", SOURCES).items():
        heap = BUDGET["compile " + name]
        assert tool.Compiles(tmp_path / "alone", alone, heap), name
        assert not tool.Compiles(tmp_path / "alone", alone, heap // 2), "the budget of %s is no budget" % name


def test_page_shows_the_sizes_of_today(folders):
    """The tables of docs/memory.md are of the modules as they are, give or take what another mpy-cross makes of them."""
    page = (harness.ROOT / "docs" / "memory.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(microWeb\w+)` \| ([\d,]+) \|", page, re.M))
    assert set(rows) == set(HOUSE.modules)
    for name in HOUSE.modules:
        size = (folders["mpy"] / (name + ".mpy")).stat().st_size
        assert abs(int(rows[name].replace(",", "")) - size) < size * 0.03, "measure_memory.py --write"
