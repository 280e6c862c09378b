"""Limits for the memory that the server takes on a board. They may only decrease: after a change that makes it smaller,
`python3 tools/measure_memory.py --write --budget` writes the new figures here and into docs/memory.md.
"""

import re

import pytest

import harness

# In bytes, heaps in KB. resident: heap in use after the imports; 32: MicroPython's WebAssembly build, 64: the unix
# port. compile: the smallest heap, on 64 bits, that compiles the file. A connection is idle: just opened, kept alive
# after a response, or a WebSocket after an echo. heap, on 64 bits: the smallest one that serves a hello; or 200
# requests, a file of 10 KB, a template page and WebSocket echoes.
BUDGET = {
    "size microWebSrv": 28520, "size microWebSocket": 5220, "size microWebTemplate": 6000,
    "size microWebAsync": 3270, "size microWebThreads": 1690, "size microWebFiles": 3090, "size microWebPages": 2980,
    "size microWebEvents": 2270, "size microWebDeflate": 1430, "size microWebSocketPlus": 1490,
    "size microWebSession": 2980, "size microWebAuth": 2920, "size microWebDigest": 1750, "size microWebLogin": 2090,
    "size microWebCors": 1320, "size microWebSecurity": 2480, "size microWebTls": 2450, "size microWebRoutes": 3520,
    "size microWebJson": 2830, "size microWebUpload": 4110, "size microWebPortal": 6700, "size three": 39730,
    "functions microWebSrv": 230, "functions microWebSocket": 32, "functions microWebTemplate": 34,
    "functions microWebAsync": 36, "functions microWebThreads": 19, "functions microWebFiles": 13,
    "functions microWebPages": 15, "functions microWebEvents": 27, "functions microWebDeflate": 10,
    "functions microWebSocketPlus": 10, "functions microWebSession": 20, "functions microWebAuth": 22,
    "functions microWebDigest": 13, "functions microWebLogin": 8, "functions microWebCors": 9,
    "functions microWebSecurity": 18, "functions microWebTls": 25, "functions microWebRoutes": 25,
    "functions microWebJson": 23, "functions microWebUpload": 21, "functions microWebPortal": 24,
    "functions core/connection": 32, "functions core/engine": 41, "functions core/exchange": 50,
    "functions core/files": 15, "functions core/messages": 4, "functions core/readers": 13,
    "functions core/router": 4, "functions core/server": 24, "functions core/text": 6,
    "functions core/transport": 32, "functions core/writers": 9,
    "tokens microWebSocket": 4350, "tokens microWebTemplate": 4320, "tokens microWebAsync": 3190,
    "tokens microWebThreads": 1250, "tokens microWebFiles": 2100, "tokens microWebPages": 1810,
    "tokens microWebEvents": 1560, "tokens microWebDeflate": 1450, "tokens microWebSocketPlus": 780,
    "tokens microWebSession": 1940, "tokens microWebAuth": 2040, "tokens microWebDigest": 1160,
    "tokens microWebLogin": 840, "tokens microWebCors": 750, "tokens microWebSecurity": 1420,
    "tokens microWebTls": 2120, "tokens microWebRoutes": 2630, "tokens microWebJson": 1800,
    "tokens microWebUpload": 2900, "tokens microWebPortal": 3500, "tokens core/connection": 4680,
    "tokens core/engine": 3990, "tokens core/exchange": 3280, "tokens core/files": 2740, "tokens core/messages": 290,
    "tokens core/readers": 2540, "tokens core/router": 850, "tokens core/server": 2090, "tokens core/text": 670,
    "tokens core/transport": 2330, "tokens core/writers": 890,
    "compile microWebSrv": 470, "compile microWebSocket": 85, "compile microWebTemplate": 89,
    "compile microWebAsync": 70, "compile microWebThreads": 30, "compile microWebFiles": 43,
    "compile microWebPages": 43, "compile microWebEvents": 39, "compile microWebDeflate": 35,
    "compile microWebSocketPlus": 23, "compile microWebSession": 47, "compile microWebAuth": 46,
    "compile microWebDigest": 27, "compile microWebLogin": 24, "compile microWebCors": 21,
    "compile microWebSecurity": 36, "compile microWebTls": 52, "compile microWebRoutes": 54,
    "compile microWebJson": 44, "compile microWebUpload": 63, "compile microWebPortal": 77,
    "compile core/connection": 91, "compile core/engine": 82, "compile core/exchange": 81, "compile core/files": 54,
    "compile core/messages": 13, "compile core/readers": 56, "compile core/router": 20, "compile core/server": 55,
    "compile core/text": 18, "compile core/transport": 52, "compile core/writers": 24,
    "resident32 the core alone, rom": 17900, "resident32 the core alone, mpy": 44300,
    "resident32 the core alone, py": 64000,
    "resident64 the core alone, rom": 34400, "resident64 the core alone, mpy": 63700,
    "resident64 the core alone, py": 85000,
    "resident32 the three, rom": 22800, "resident32 the three, mpy": 58800, "resident32 the three, py": 81500,
    "resident64 the three, rom": 43200, "resident64 the three, mpy": 83300, "resident64 the three, py": 107000,
    "resident32 the three and microWebAsync, rom": 24500, "resident32 the three and microWebAsync, mpy": 62800,
    "resident32 the three and microWebAsync, py": 87600, "resident32 the three and microWebThreads, rom": 23800,
    "resident32 the three and microWebThreads, mpy": 61100, "resident32 the three and microWebThreads, py": 84100,
    "resident32 the three and microWebFiles, rom": 24000, "resident32 the three and microWebFiles, mpy": 62900,
    "resident32 the three and microWebFiles, py": 85900, "resident32 the three and microWebPages, rom": 24400,
    "resident32 the three and microWebPages, mpy": 62700, "resident32 the three and microWebPages, py": 85700,
    "resident32 the three and microWebEvents, rom": 24300, "resident32 the three and microWebEvents, mpy": 62100,
    "resident32 the three and microWebEvents, py": 86000, "resident32 the three and microWebDeflate, rom": 23500,
    "resident32 the three and microWebDeflate, mpy": 60800, "resident32 the three and microWebDeflate, py": 84600,
    "resident32 the three and microWebSocketPlus, rom": 23500,
    "resident32 the three and microWebSocketPlus, mpy": 60600,
    "resident32 the three and microWebSocketPlus, py": 83500, "resident32 the three and microWebSession, rom": 24600,
    "resident32 the three and microWebSession, mpy": 63000, "resident32 the three and microWebSession, py": 87100,
    "resident32 the three and microWebAuth, rom": 24400, "resident32 the three and microWebAuth, mpy": 63000,
    "resident32 the three and microWebAuth, py": 86700, "resident32 the three and microWebDigest, rom": 25600,
    "resident32 the three and microWebDigest, mpy": 65400, "resident32 the three and microWebDigest, py": 89600,
    "resident32 the three and microWebLogin, rom": 31800, "resident32 the three and microWebLogin, mpy": 74100,
    "resident32 the three and microWebLogin, py": 95100, "resident32 the three and microWebCors, rom": 23500,
    "resident32 the three and microWebCors, mpy": 60600, "resident32 the three and microWebCors, py": 83700,
    "resident32 the three and microWebSecurity, rom": 24000, "resident32 the three and microWebSecurity, mpy": 62200,
    "resident32 the three and microWebSecurity, py": 85300, "resident32 the three and microWebTls, rom": 24000,
    "resident32 the three and microWebTls, mpy": 61800, "resident32 the three and microWebTls, py": 86300,
    "resident32 the three and microWebRoutes, rom": 24500, "resident32 the three and microWebRoutes, mpy": 63400,
    "resident32 the three and microWebRoutes, py": 87200, "resident32 the three and microWebJson, rom": 24500,
    "resident32 the three and microWebJson, mpy": 62900, "resident32 the three and microWebJson, py": 86300,
    "resident32 the three and microWebUpload, rom": 24900, "resident32 the three and microWebUpload, mpy": 64600,
    "resident32 the three and microWebUpload, py": 89100, "resident32 the three and microWebPortal, rom": 25200,
    "resident32 the three and microWebPortal, mpy": 67000, "resident32 the three and microWebPortal, py": 91300,
    "resident32 all, rom": 53800, "resident32 all, mpy": 128500, "resident32 all, py": 173200,
    "open64 started": 90600, "open64 idle": 360, "open64 kept": 490, "open64 websocket": 580,
    "open32 idle": 200, "open32 kept": 270, "open32 websocket": 320,
    "heap core, one request, mpy": 85, "heap three, one request, mpy": 98, "heap three, whole set, mpy": 128,
    "heap core, one request, usual limits, mpy": 88, "heap three, whole set, usual limits, mpy": 132,
    "heap all, whole set, mpy": 237, "heap core, one request, py": 470, "heap three, one request, py": 471,
    "heap three, whole set, py": 471, "heap core, one request, rooms": 151, "heap three, one request, rooms": 204,
    "heap three, whole set, rooms": 204,
}

tool = harness.LoadTool("measure_memory")
fit = harness.LoadTool("will_it_fit")
HOUSE = tool.Today()
CORE = HOUSE.three[:1]
SOURCES = tool.Sources(HOUSE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{build: its modules}, and servers of them: "set" with the three, "core" with only the core."""
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
    """A board's compiler needs 17 bytes for each token of the largest file; a function takes 62 bytes of heap before
    its first instruction."""
    text = SOURCES[name].read_text(encoding="utf-8")
    Check("functions " + name, tool.Functions(text))
    if name not in CORE:                        # the sum of all rooms
        Check("tokens " + name, tool.Tokens(text))


@pytest.mark.parametrize("build", ["py", "mpy", "rom"])
def test_resident_on_64_bits(folders, build):
    for title, names in (("the core alone", CORE), ("the three", HOUSE.three)):
        Check("resident64 %s, %s" % (title, build), sum(tool.Resident64(folders[build], build, names).values()))


@pytest.mark.parametrize("build", ["py", "mpy", "rom"])
def test_resident_on_32_bits(folders, build):
    """And docs/will-it-fit.md is made of the figures of today, give or take what another mpy-cross makes of them."""
    kept = fit.Measured()["sets"]
    assert list(kept) == list(tool.Sets(HOUSE)), "measure_memory.py --write"
    for title, names in tool.Sets(HOUSE).items():
        taken = sum(tool.Resident32(folders[build], build, names).values())
        Check("resident32 %s, %s" % (title, build), taken)
        if build != "py":                       # of the one file; the page has the rooms
            assert abs(kept[title][build] - taken) < taken * 0.03, "measure_memory.py --write"


def test_server_and_its_connections(folders):
    figures = tool.Connections(folders["set-mpy"])
    for name in ("started", "idle", "kept", "websocket"):
        Check("open64 " + name, figures[name])


def test_connections_on_32_bits(folders):
    for name, value in tool.Connections32(folders["mpy"]).items():
        Check("open32 " + name, value)


@pytest.mark.parametrize("build", ["mpy", "rooms", "py"])
def test_smallest_heap(folders, build):
    """Fragmentation varies, so one success in three attempts is enough."""
    with tool.Serving(folders["set-" + build], 2048) as port:
        tool.AskWholeSet(port)              # a failure here has nothing to do with memory
    for what, folder, ask in (("core, one request", "core-", tool.AskOne), ("three, one request", "set-", tool.AskOne),
                              ("three, whole set", "set-", tool.AskWholeSet)):
        heap = BUDGET["heap %s, %s" % (what, build)]
        assert any(tool.Serves(folders[folder + build], heap, ask) for _ in range(3)), what
        assert not tool.Serves(folders[folder + build], heap // 2, ask), "the budget of %s is no budget" % what


@pytest.mark.parametrize("what", tool.More(HOUSE))
def test_smallest_heap_of_more(folders, tmp_path, what):
    """With the limits that a board has without SetSmall(), and with all files."""
    names, program, start = tool.More(HOUSE)[what]
    tool.MakeSet(tmp_path / "set", "mpy", folders["mpy"], names, program, start)
    ask = tool.AskWholeSet if tool.SET in program else tool.AskOne
    heap = BUDGET["heap %s, mpy" % what]
    assert any(tool.Serves(tmp_path / "set", heap, ask) for _ in range(3))
    assert not tool.Serves(tmp_path / "set", heap // 2, ask), "the budget is no budget"


def test_heap_of_the_compiler(tmp_path):
    """Each file alone. The single file of the core needs several times as much as any other; that is why the rooms
    exist."""
    for name, alone in tool.MakeAlone(tmp_path / "alone", SOURCES).items():
        heap = BUDGET["compile " + name]
        assert tool.Compiles(tmp_path / "alone", alone, heap), name
        assert not tool.Compiles(tmp_path / "alone", alone, heap // 2), "the budget of %s is no budget" % name


def test_page_shows_the_sizes_of_today(folders):
    """The tables of docs/memory.md describe the current modules, within the differences between versions of
    mpy-cross."""
    page = (harness.ROOT / "docs" / "memory.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(microWeb\w+)` \| ([\d,]+) \|", page, re.M))
    assert set(rows) == set(HOUSE.modules)
    for name in HOUSE.modules:
        size = (folders["mpy"] / (name + ".mpy")).stat().st_size
        assert abs(int(rows[name].replace(",", "")) - size) < size * 0.03, "measure_memory.py --write"


def test_page_that_says_what_fits():
    """docs/will-it-fit.md is what the kept figures and the boards say."""
    assert fit.IsUpToDate(), "python3 tools/will_it_fit.py"
    boards = {board["name"]: board for board in fit.Boards()}
    assert {"ESP8266", "ESP32", "ESP32-C3", "ESP32-S2", "ESP32-S3", "ESP32-C6", "Pico W", "Pico 2 W"} <= set(boards)
    for name, board in boards.items():
        assert 0 < board["free"][0] <= board["free"][1] and board["sources"], name
        assert all(source[key] for source in board["sources"] for key in ("what", "version", "date", "url")), name


def _Needs(rom, mpy, py, compiler=0):
    return {"sets": {"the three": {"rom": rom, "mpy": mpy, "py": py, "compiler": compiler},
                     "all": {"rom": rom, "mpy": mpy, "py": py, "compiler": compiler}},
            "work": {"others": {"small": 15_000, "usual": 18_000}}, "request": {"small": 5_000, "usual": 12_000},
            "rooms": {"others": 150_000}}


@pytest.mark.parametrize("free, said", [
    (160_240, "fits, `.py` too"), (160_239, "fits"), (100_240, "fits"), (100_239, "`SetSmall()`"), (90_240, "`SetSmall()`"),
    (90_239, "frozen"), (60_240, "frozen"), (60_239, "frozen, `SetSmall()`"), (50_240, "frozen, `SetSmall()`"), (50_239, "no"),
])
def test_rule_of_what_fits(free, said):
    """What is needed and 10 KB for a program are there, or not."""
    needs = _Needs(20_000, 60_000, 80_000)
    assert fit.Verdict(needs, "the three", free, "heap") == said
    assert fit.Verdict(needs, "all", free + fit.TLS, "heap") == said
    assert fit.Verdict(needs, "all", free, "outside") == said
    assert fit.Verdict(needs, "all", free, "none") == "no"
    assert fit.Cell(needs, "the three", {"free": [10, free], "tls": "heap"}) in ("perhaps " + said, said)


def test_sources_need_what_their_compiler_needs():
    assert fit.Need(_Needs(20_000, 60_000, 80_000), "the three", "py", "usual") == 150_000      # the rooms
    assert fit.Need(_Needs(20_000, 60_000, 80_000, 90_000), "the three", "py", "usual") == 170_000
    assert fit.Need(_Needs(20_000, 60_000, 130_000), "the three", "py", "usual") == 160_000
