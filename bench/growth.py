#!/usr/bin/env python3
"""Measure how the server's costs grow with its load: python3 bench/growth.py [--runtime cpython] [--rounds 5]

The studies vary the number of connections, routes, fields of a request, bytes of files, rows of templates, and
WebSockets that get a broadcast. Each round goes from the smallest to the largest size. A figure is the median of the
rounds. CPU time is that of the server's process, from /proc (Linux only). Memory is the resident set of the process on
CPython, and the heap on MicroPython. The client client.c checks each response to its last byte. This program itself
reads files, pages and broadcasts, and counts their bytes.

The figures are written to bench/results/growth_RUNTIME.json, the plots to growth_RUNTIME.svg and .png beside it, and
the tables to docs/growth.md. The plots need matplotlib; if it is missing, .venv-bench is made.

    --short             a test of the program: one short round with the smallest sizes
    --studies a,b       only these studies; the figures of the others are kept
    --report            measure nothing; make the plots and the page from the existing figures
"""
import argparse
import contextlib
import dataclasses
import datetime
import importlib.util
import json
import math
import pathlib
import resource
import select
import signal
import socket
import struct
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from peers import HERE, PEERS, ROOT, RUNTIMES, FindMicroPython, Server  # noqa: E402
from run import Client, Machine, MakeClient, MakeVenv, Median, Names, Rounded, RuntimeVersion  # noqa: E402
from works import Content, Work  # noqa: E402

RESULTS = HERE / "results"
PAGE = ROOT / "docs" / "growth.md"
BEGIN, END = "<!-- measured: python3 bench/growth.py -->", "<!-- end -->"
FLOOR = "floor-poll"        # a server that parses nothing and always sends the same response
DEADLINE_SEC = 60
AT_ONCE = 256               # connections that are opened at once: the backlog of a server is 511
PER_ADDRESS = 8192          # connections from one source address, which has too few ports for all of them
BESIDE = 10                 # active connections beside the idle ones
BROADCASTS = 5
REST_SEC = 1.0
SETTLED_SEC = 0.02
PAIR = 64                   # bytes of a WebSocket message
SLACK = 1.15                # a cost that grows with a higher power of the size grows faster than a straight line
FLAT = 0.15
UPGRADE = (b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
ROWS = """<!DOCTYPE html>
<table>
{{ for number in range(count) }}
  <tr><td>{{ number }}</td><td>{{ number * number % 1000 }}</td></tr>
{{ end }}
</table>
"""

KB, MB, GB = 1 << 10, 1 << 20, 1 << 30
SIZES = {
    "cpython": {"connections": [10, 100, 1000, 10000], "full": [10, 100, 1000, 10000],
                "routes": [10, 100, 1000, 10000], "fields": [5, 10, 20, 50, 100],
                "file": [KB, 10 * KB, 100 * KB, MB, 10 * MB, 100 * MB, GB], "rows": [10, 100, 1000, 10000, 100000]},
    "micropython": {"connections": [10, 100, 200], "full": [10, 100, 200], "routes": [10, 100, 1000],
                    "fields": [5, 10, 20, 50], "file": [KB, 10 * KB, 100 * KB, MB, 10 * MB],
                    "rows": [10, 100, 1000, 10000]},
}


# -- the requests ------------------------------------------------------------------------------------------------------

def Get(path, fields=0):
    lines = ["GET %s HTTP/1.1" % path, "Host: 127.0.0.1"]
    lines += ["X-Field-%03d: value %03d" % (number, number) for number in range(fields - 1)]
    return "\r\n".join([*lines, "", ""]).encode()


def Hello(path="/hello", fields=0):
    return Work("hello", "hello", Get(path, fields), (b"Hello, World!",))


ECHO = Work("echo", "echo", Content(PAIR), (), "websocket")


class Sockets:
    """Many connections from this process to one server."""

    def __init__(self, port):
        self.port = port
        self.all = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for sock in self.all:
            sock.close()

    def Open(self, count, request=b"", isAnswered=None):
        """Open so many connections, AT_ONCE at a time. Each sends the request, and receives until isAnswered(bytes)."""
        for begin in range(0, count, AT_ONCE):
            some = [self._Connect() for _ in range(min(AT_ONCE, count - begin))]
            if request:
                for sock in some:
                    sock.sendall(request)
                for sock in some:
                    data = b""
                    while not isAnswered(data):
                        data += Some(sock)

    def _Connect(self):
        sock = socket.socket()
        sock.settimeout(DEADLINE_SEC)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Closed with a reset, which leaves no TIME_WAIT: a minute of that for 30,000 sockets would take all ports.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.bind(("127.0.0.%d" % (2 + len(self.all) // PER_ADDRESS), 0))
        sock.connect(("127.0.0.1", self.port))
        self.all.append(sock)
        return sock

    def Await(self, data):
        """Wait until each connection has received exactly these bytes."""
        left = {sock.fileno(): (sock, len(data)) for sock in self.all}
        with select.epoll() as poll:
            for number in left:
                poll.register(number, select.EPOLLIN)
            while left:
                events = poll.poll(DEADLINE_SEC, 1024)
                if not events:
                    raise RuntimeError("%d clients got nothing for a minute" % len(left))
                for number, _ in events:
                    sock, size = left[number]
                    piece = Some(sock)
                    at = len(data) - size
                    if piece != data[at:at + len(piece)]:
                        raise RuntimeError("a client got wrong bytes")
                    left[number] = sock, size - len(piece)
                    if len(piece) == size:
                        poll.unregister(number)
                        del left[number]


def Some(sock):
    piece = sock.recv(65536)
    if not piece:
        raise RuntimeError("the server closed a connection")
    return piece


def IsHello(data):
    return data.endswith(b"\r\n\r\nHello, World!")


def IsUpgraded(data):
    return data.startswith(b"HTTP/1.1 101 ") and data.endswith(b"\r\n\r\n")


def Transfer(sock, request, expected=None):
    """Read a response, with a length or in chunks, and return the number of bytes of its content. `expected` are the
    last bytes of a content with a length."""
    sock.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += Some(sock)
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError("the status is not 200: %r" % head)
    fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
    size = int(fields.get(b"content-length", -1))
    got, last = len(rest), rest[-64:]
    buffer = memoryview(bytearray(1 << 18))
    while got < size or size < 0 and not last.endswith(b"\r\n0\r\n\r\n"):
        count = sock.recv_into(buffer)
        if not count:
            raise RuntimeError("the server closed a connection")
        got += count
        last = (last + bytes(buffer[:count][-64:]))[-64:]
    if size >= 0 and got != size or expected and last[-len(expected):] != expected:
        raise RuntimeError("the content is wrong")
    return got


def Ask(port, path):
    """Return the content of a short response."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_SEC) as sock:
        sock.sendall(Get(path)[:-2] + b"Connection: close\r\n\r\n")
        data = b""
        while True:
            piece = sock.recv(65536)
            if not piece:
                return data.partition(b"\r\n\r\n")[2].decode()
            data += piece


# -- the server --------------------------------------------------------------------------------------------------------

class Grown(Server):
    """A server whose memory is measured too: servers/growth.py with these arguments, or the floor."""

    startSec = DEADLINE_SEC

    def __init__(self, bench, *args):
        self.runtime = bench.runtime
        name = "-".join(map(str, ("growth", *args)))
        peer = PEERS[FLOOR] if args == (FLOOR,) else dataclasses.replace(
            PEERS["microwebsrv"], name=name, program="growth.py", args=tuple(map(str, args)))
        super().__init__(peer, bench.runtime, bench.options, bench.folder)

    def Settle(self):
        """Wait until the server is idle and has freed its closed connections."""
        until = time.monotonic() + DEADLINE_SEC
        last = self.Cpu()
        while time.monotonic() < until:
            time.sleep(SETTLED_SEC)
            now = self.Cpu()
            if now - last < SETTLED_SEC / 20:
                return
            last = now

    def Memory(self):
        """Return the bytes that the server uses: the heap on MicroPython, the resident set on CPython."""
        self.Settle()
        if self.runtime == "micropython":
            return int(Ask(self.port, "/memory"))
        return int(pathlib.Path("/proc/%d/statm" % self.process.pid).read_text().split()[1]) * resource.getpagesize()

    def ForgetPeak(self):
        pathlib.Path("/proc/%d/clear_refs" % self.process.pid).write_text("5")

    def Peak(self):
        """Return the largest resident set since ForgetPeak(), in bytes."""
        for line in pathlib.Path("/proc/%d/status" % self.process.pid).read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * KB
        raise RuntimeError("no VmHWM")


# -- the studies -------------------------------------------------------------------------------------------------------

class Bench:
    """All studies of a runtime. A study is called with a size, and returns {case: figure} of one round."""

    def __init__(self, runtime, options, folder):
        self.runtime, self.options, self.folder = runtime, options, pathlib.Path(folder)
        self.client = Client(MakeClient(folder), folder)
        self.exit = contextlib.ExitStack()
        self.servers = {}
        self.cells = []

    def Run(self):
        www = self.folder / "www"
        www.mkdir()
        (www / "rows.pyhtml").write_text(ROWS)
        for name in self.options.studies:
            sizes = self.Sizes(name)
            try:
                found = {}
                for _ in range(self.options.rounds):
                    for size in sizes:
                        for case, value in STUDIES[name](self, size).items():
                            found.setdefault(case, {}).setdefault(size, []).append(value)
                for case, values in found.items():
                    for size in sizes:
                        self.Add(name, case, size, values[size])
            finally:
                for server in self.servers.values():
                    server.Stop()
                self.servers = {}
            Save(self)

    def Sizes(self, name):
        sizes = SIZES[self.runtime][name]
        if self.options.short:
            return sizes[:2]
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100
        if name in ("connections", "full"):
            for size in sizes:
                if size > files:
                    print("skipped: %d connections; a process may open %d files (ulimit -n)" % (size, files))
            sizes = [size for size in sizes if size <= files]
        return sizes

    def Add(self, study, case, size, values):
        self.cells.append({"study": study, "case": case, "size": size, "value": Median(values), "rounds": values})
        print("%-12s %-12s %-24s %11d %14.3f" % (self.runtime, study, case, size, Median(values)), flush=True)

    def Kept(self, *args):
        """Return a server that runs for the whole study."""
        if args not in self.servers:
            self.servers[args] = Grown(self, *args)
        return self.servers[args]

    @contextlib.contextmanager
    def Fresh(self, *args):
        server = Grown(self, *args)
        try:
            yield server
        finally:
            server.Stop()

    def Load(self, server, work, connections, seconds=None):
        """Return the microseconds of CPU for each response."""
        server.Settle()
        seconds = max(seconds or self.options.seconds, connections * 1e-4)
        figures = self.client.Run(server.port, work, connections, seconds, server.Cpu)
        if figures["errors"] or not figures["requests"]:
            raise RuntimeError("wrong responses: %r\n%s" % (figures, server.Log()))
        return figures["cpuSec"] / figures["requests"] * 1e6

    def Repeat(self, server, request, expected=None):
        """Repeat a request on one connection until the time is up. Return the number of responses, the bytes of the
        last one, and the CPU seconds."""
        with socket.create_connection(("127.0.0.1", server.port), DEADLINE_SEC) as sock:
            Transfer(sock, request, expected)               # not measured: the first request costs more
            before, until, count = server.Cpu(), time.monotonic() + self.options.seconds, 0
            while not count or time.monotonic() < until:
                size = Transfer(sock, request, expected)
                count += 1
            return count, size, server.Cpu() - before

    def Open(self, server, count, kind):
        """Return the open sockets, and the µs of CPU and the bytes for each."""
        request, isAnswered = {"idle": (b"", None), "kept": (Get("/hello"), IsHello),
                               "websocket": (UPGRADE, IsUpgraded)}[kind]
        with Sockets(server.port) as first:                 # not measured: the first connections cost more
            first.Open(min(count, 10), request, isAnswered)
        memory = server.Memory()
        sockets = Sockets(server.port)
        before = server.Cpu()
        sockets.Open(count, request, isAnswered)
        server.Settle()
        cpu = (server.Cpu() - before) / count * 1e6
        return sockets, cpu, (server.Memory() - memory) / count

    def Connections(self, size):
        found = {}
        for kind in ("idle", "kept", "websocket"):
            with self.Fresh() as server:
                sockets, cpu, memory = self.Open(server, size, kind)
                with sockets:
                    found[kind + ", open"], found[kind + ", memory"] = cpu, memory
                    if kind == "kept":
                        before = server.Cpu()
                        time.sleep(REST_SEC)
                        found["kept, a second at rest"] = (server.Cpu() - before) / REST_SEC * 1e6
                    if kind != "idle":
                        found["hello beside %s" % kind] = self.Load(server, Hello(), BESIDE)
                    if kind == "websocket":
                        found["broadcast, each copy"] = self.Broadcast(server, sockets)
        server = self.Kept()
        found["hello, all active"] = self.Load(server, Hello(), size)
        found["echo, all active"] = self.Load(server, ECHO, size)
        found["the floor, all active"] = self.Load(self.Kept(FLOOR), Hello(), size)
        return found

    def Broadcast(self, server, sockets):
        server.Settle()
        frame = b"\x81" + bytes([PAIR]) + b"x" * PAIR
        before = server.Cpu()
        for _ in range(BROADCASTS):
            if Ask(server.port, "/broadcast") != "sent":
                raise RuntimeError("no broadcast")
            sockets.Await(frame)
        return (server.Cpu() - before) / BROADCASTS / len(sockets.all) * 1e6

    def Full(self, size):
        """All places are taken by connections that wait between two requests. The one that has waited longest is closed
        for a new connection."""
        count = min(size // 2, 10)
        with self.Fresh(0, "remembers", size) as server:
            sockets, _, _ = self.Open(server, size - 1, "kept")     # on the last place it closes after the response
            with sockets, Sockets(server.port) as newcomers:
                newcomers.Open(1)
                server.Settle()
                before = server.Cpu()
                newcomers.Open(count)
                server.Settle()
                return {"a newcomer": (server.Cpu() - before) / count * 1e6}

    def Routes(self, size):
        last = size // 2 - 1
        paths = {"the last route": "/place/%d" % last, "the last, with arguments": "/thing/%d/5/x" % last}
        found = {}
        for memo in ("remembers", "forgets"):
            server = self.Kept(size, memo)
            for title, path in paths.items():
                title += {"remembers": ", head known", "forgets": ", head new"}[memo]
                found[title] = self.Load(server, Hello(path), BESIDE)
            found["first route, head %s" % {"remembers": "known", "forgets": "new"}[memo]] = \
                self.Load(server, Hello(), BESIDE)
        if self.runtime == "cpython":                       # MicroPython has no clock of its process
            found["registration"] = int(Ask(self.Kept(size, "remembers").port, "/registered")) / size
        return found

    def Fields(self, size):
        return {"head known": self.Load(self.Kept(0, "remembers"), Hello("/hello", size), BESIDE),
                "head new": self.Load(self.Kept(0, "forgets"), Hello("/hello", size), BESIDE)}

    def File(self, size):
        path = self.folder / "www" / ("%d.bin" % size)
        end = b"the end of %d bytes" % size
        if not path.exists():
            with path.open("wb") as file:                   # a sparse file
                file.seek(size - len(end))
                file.write(end)
        return self.Content(size, "/%d.bin" % size, end)

    def Rows(self, size):
        return self.Content(size, "/rows/%d" % size)

    def Content(self, size, path, end=None):
        server = self.Kept()
        server.Settle()
        server.ForgetPeak()
        before = server.Peak()
        count, length, cpu = self.Repeat(server, Get(path), end)
        found = {"an answer": cpu / count * 1e6}
        found["each MB" if end else "each row"] = cpu / count * 1e6 / (length / MB if end else size)
        if self.runtime == "cpython":                       # MicroPython uses all of its heap sooner or later
            found["more memory at its peak"] = server.Peak() - before
        return found


STUDIES = {"connections": Bench.Connections, "full": Bench.Full, "routes": Bench.Routes, "fields": Bench.Fields,
           "file": Bench.File, "rows": Bench.Rows}


# -- the page ----------------------------------------------------------------------------------------------------------

TITLES = {"micropython": "MicroPython", "cpython": "CPython"}
INK, COLORS = "#24292f", ("#1769aa", "#c2571a", "#2e7d4f", "#7b4fa3", "#8a6d00", "#5f6b7a")
ABOUT = {                   # {study: (title of its axis, unit of most of its cases)}
    "connections": ("connections", "CPU, µs"), "full": ("connections", "CPU, µs"), "routes": ("routes", "CPU, µs"),
    "fields": ("fields of a request", "CPU, µs"), "file": ("bytes of a file", "CPU, µs"),
    "rows": ("rows of a template", "CPU, µs"),
}
MEMORY = "memory"           # cases with this word are in bytes
PLOTS = (                   # title, study, cases
    ("A request: CPU, µs", "connections",
     ("hello, all active", "hello beside kept", "hello beside websocket", "the floor, all active")),
    ("A WebSocket message: CPU, µs", "connections", ("echo, all active", "broadcast, each copy")),
    ("A connection that waits: bytes", "connections", ("idle, memory", "kept, memory", "websocket, memory")),
    ("A new connection: CPU, µs", "connections", ("idle, open", "kept, open", "websocket, open")),
    ("The clock, each second: CPU, µs", "connections", ("kept, a second at rest",)),
    ("A newcomer where all places are taken: CPU, µs", "full", ("a newcomer",)),
    ("A request: CPU, µs", "routes",
     ("first route, head new", "the last route, head known", "the last route, head new",
      "the last, with arguments, head new")),
    ("A request: CPU, µs", "fields", ("head known", "head new")),
    ("A file: CPU, µs", "file", ("an answer", "each MB")),
    ("A page with a loop: CPU, µs", "rows", ("an answer", "each row")),
    ("A route that is registered: µs", "routes", ("registration",)),
)


class Figures:
    """The figures of one runtime."""

    def __init__(self, path):
        self.data = json.loads(path.read_text(encoding="utf-8"))
        self.values = {}
        for cell in self.data["cells"]:
            self.values.setdefault((cell["study"], cell["case"]), {})[cell["size"]] = cell["value"]

    def Cases(self, study):
        return [case for name, case in self.values if name == study]


def Size(number):
    for unit, name in ((GB, "GB"), (MB, "MB"), (KB, "KB")):
        if number >= unit and not number * 10 % unit:
            return "%d %s" % (number // unit, name)
    return "{:,}".format(number)


def Short(number, study):
    """Return a size as the label of an axis."""
    return Size(number) if study == "file" else "%dk" % (number // 1000) if number >= 1000 else str(number)


def Digits(value):
    return "%.2f" % value if abs(value) < 10 else "{:,.0f}".format(value)


def Verdict(values):
    """Return how a cost has grown, over all sizes and in the last step."""
    (first, low), *_, (before, middle), (last, high) = list(values.items())[:1] + list(values.items())[-2:]
    if min(low, middle, high) <= 0:
        return ""
    if high < 1.5 * low:
        return "flat"
    power = math.log(high / middle) / math.log(last / before)
    if power < FLAT:
        return "flat at the end"
    return "linear" if power <= SLACK else "**more than linear**"


def Tables(found):
    parts = []
    for runtime, figures in found.items():
        data = figures.data
        parts.append("## %s\n\n%s. %s, %d cores, %s. Python %s. The median of %d rounds.\n" % (
            TITLES[runtime], data["date"], data["machine"]["cpu"], data["machine"]["cores"], data["machine"]["system"],
            data["version"], data["rounds"]))
        parts.append("![How the costs grow on %s](../bench/results/%s)\n" % (TITLES[runtime], PlotName(runtime, "svg")))
        parts += [Table(figures, study) for study in STUDIES if figures.Cases(study)]
    return "\n".join(parts)


def Table(figures, study):
    cases = figures.Cases(study)
    sizes = list(figures.values[study, cases[0]])
    head = [ABOUT[study][0] + "; " + ABOUT[study][1], *[Size(size) if study == "file" else "{:,}".format(size)
                                                        for size in sizes], "growth"]
    lines = ["| %s |" % " | ".join(head), "| --- |%s --- |" % (" ---: |" * len(sizes))]
    for case in cases:
        values = figures.values[study, case]
        lines.append("| %s |" % " | ".join([Title(case), *map(Digits, values.values()), Verdict(values)]))
    return "\n".join(lines) + "\n"


def Title(case):
    return case + ", bytes" if MEMORY in case else case


def Insert(page, tables):
    text = page.read_text(encoding="utf-8")
    begin = text.index(BEGIN) + len(BEGIN)
    page.write_text(text[:begin] + "\n" + tables + text[text.index(END, begin):], encoding="utf-8")


def PlotName(runtime, ending):
    return "growth_%s.%s" % (runtime, ending)


def Plot(runtime, figures, results, pyplot):
    plots = [(title, study, [case for case in cases if case in figures.Cases(study)]) for title, study, cases in PLOTS]
    plots = [plot for plot in plots if plot[2]]
    columns = 3
    rows = -(-len(plots) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(13, rows * 3.1 + 0.6), squeeze=False)
    for at, axis in enumerate(axes.flat):
        if at < len(plots):
            Lines(axis, figures, *plots[at])
        else:
            axis.set_visible(False)
    figure.suptitle("How the costs grow on %s (%s). Both axes are logarithmic: what doubles with the size rises "
                    "like the dotted line" % (TITLES[runtime], figures.data["date"]), x=0.012, ha="left", fontsize=12,
                    fontweight="bold", color=INK)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / (rows * 3.1 + 0.6)), h_pad=1.6, w_pad=1.4)
    for ending in ("svg", "png"):
        extra = {"metadata": {"Date": None}} if ending == "svg" else {"dpi": 100}
        figure.savefig(results / PlotName(runtime, ending), facecolor="white", **extra)
    pyplot.close(figure)


def Lines(axis, figures, title, study, cases):
    top = 0
    isHeap = figures.data["runtime"] == "micropython"       # counted to the byte
    for case, color in zip(cases, COLORS):
        # A process has some free pages, so a few connections do not show in its resident set.
        values = {size: value for size, value in figures.values[study, case].items()
                  if value > 0 and (MEMORY not in case or size >= 1000 or isHeap)}
        axis.plot(list(values), list(values.values()), marker="o", markersize=4, linewidth=1.8, color=color, label=case)
        top = max([top, *values.values()])
    axis.set_xscale("log")
    axis.set_yscale("log")
    low = min(axis.get_ylim()[0], top / 30)
    axis.set_ylim(low, top * 8)                             # leaves room for the legend
    begin, end = axis.get_xlim()
    axis.plot([begin, end], [low * 1.3, low * 1.3 * end / begin], ":", linewidth=1, color="#b8c0cc")
    axis.set_xlim(begin, end)
    axis.set_title(title, fontsize=10, loc="left", color=INK)
    axis.set_xlabel(ABOUT[study][0], fontsize=9, color=INK)
    sizes = list(figures.values[study, cases[0]])
    axis.set_xticks(sizes, [Short(size, study) for size in sizes])
    axis.minorticks_off()
    axis.grid(True, color="#e4e7ec", linewidth=0.7)
    axis.tick_params(labelsize=8, labelcolor=INK)
    axis.legend(fontsize=8, frameon=False, loc="upper left", labelcolor=INK)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def Report(options):
    """Write the plots and the page for all runtimes with figures."""
    paths = {runtime: options.results / ("growth_%s.json" % runtime) for runtime in reversed(RUNTIMES)}
    found = {runtime: Figures(path) for runtime, path in paths.items() if path.exists()}
    if options.plot:
        import report
        pyplot = report.Pyplot()
        for runtime, figures in found.items():
            Plot(runtime, figures, options.results, pyplot)
    if options.page != "-":
        Insert(pathlib.Path(options.page), Tables(found))


# -- the run -----------------------------------------------------------------------------------------------------------

def Save(bench):
    """Write the figures so far, and keep the earlier figures of other studies."""
    options = bench.options
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / ("growth_%s.json" % bench.runtime)
    measured = {cell["study"] for cell in bench.cells}
    known = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    cells = [cell for cell in known if cell["study"] not in measured] + bench.cells
    cells.sort(key=lambda cell: list(STUDIES).index(cell["study"]))
    figures = {"date": datetime.date.today().isoformat(), "runtime": bench.runtime, "machine": Machine(),
               "version": RuntimeVersion(bench.runtime, options), "rounds": options.rounds}
    text = ",\n  ".join(json.dumps(Rounded(cell)) for cell in cells)
    path.write_text('%s,\n "cells": [\n  %s\n ]\n}\n' % (json.dumps(figures, indent=1)[:-2], text), encoding="utf-8")


def Options(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", type=Names(RUNTIMES), default=["cpython", "micropython"])
    parser.add_argument("--studies", type=Names(STUDIES), default=list(STUDIES))
    parser.add_argument("--rounds", type=int, default=None, help="default: 5")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--no-plot", dest="plot", action="store_false")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--micropython")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--page", default=str(PAGE), help="page for the tables; - for none")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.short else 5)
    options.seconds = 0.05 if options.short else 0.25
    return options


def Main(arguments=None):
    options = Options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))     # `finally` then stops the servers
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))        # for the servers and client.c too
    if options.plot and not importlib.util.find_spec("matplotlib"):
        MakeVenv()
    for runtime in [] if options.report else options.runtime:
        if runtime == "micropython":
            options.micropython = options.micropython or FindMicroPython()
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            Bench(runtime, options, folder).Run()
        print("%s took %d s" % (runtime, time.monotonic() - begin), flush=True)
    Report(options)


if __name__ == "__main__":
    Main()
