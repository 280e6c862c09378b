#!/usr/bin/env python3
"""CPU time of templates, against what else one could pick: the seed's example page (3 x 3 loops) and a table.

    python3 bench/bench_template.py [--peers DIR] [--seconds 0.5] [--rounds 5] [--only render|request]

Render alone: MicroPython against utemplate (which escapes nothing), CPython against Jinja2 (compiled, autoescape on).
A whole request: MicroPython against microdot with utemplate. DIR is where `import
microdot`, `import utemplate` and `import jinja2` find these; what isn't there (nor installed) is left out. All of it is
one run, rounds interleaved, the median of each; ratios are comparable, single times are not. Linux only: CPU is read
from /proc.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import runpy
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = runpy.run_path(str(ROOT / "tests" / "template_cases.py"))
SEED_PAGE, SEED_RESULT = CASES["SEED_PAGE"], CASES["SEED_RESULT"]
ROWS = "[('name %d' % i, i, 'a & b') for i in range(100)]"
TABLE = ("<table>{{ for name, i, text in rows }}<tr><td>{{ name }}</td><td>{{ i }}</td><td>{{ text }}</td></tr>\n"
         "{{ end }}</table>")
FUNCTION = '    {{ py }}\n      def _testFunction(x) :\n        return "IN TEST FUNCTION %s" % x\n    {{ end }}\n'


def _Tags(text, args):
    """Our language -> that of Jinja2 and utemplate, for these two pages."""
    opened = []
    parts = text.replace(FUNCTION, "    \n").split("{{ ")
    for n, part in enumerate(parts[1:], 1):
        tag, rest = part.split(" }}", 1)
        word = tag.split()[0]
        if word in ("for", "if"):
            opened.append(word)
        if word in ("for", "if", "elif", "else"):
            parts[n] = "{%% %s %%}%s" % (tag, rest)
        elif word == "end":
            parts[n] = "{%% end%s %%}%s" % (opened.pop(), rest)
        else:
            parts[n] = "{{ %s }}%s" % (tag, rest)
    return args + "".join(parts)


# Prints microseconds for each render, as JSON: render.py SECONDS. It runs on both interpreters.
RENDER = """
import json, sys
import microWebTemplate as t
seconds = float(sys.argv[1])
rows = %(rows)s
times = {}

def clock():
    with open("/proc/self/schedstat") as file:
        return int(file.read().split()[0]) / 1e9

def Measure(name, render, expected):
    assert render() == expected, (name, render())
    count, begin = 0, clock()
    while clock() - begin < seconds:
        for _ in range(50):
            render()
        count += 50
    times[name] = (clock() - begin) / count * 1e6

def Ours(page, values=None):
    cache = t._Cache(t._Escape)
    page = t._Compile("", "page", page, False)
    return lambda: "".join(page.Render(values, cache))

def Function(x):
    return "IN TEST FUNCTION %%s" %% x

table = Ours(%(table)r, {"rows": rows})
Measure("seed", Ours(%(seed)r), %(result)r)
Measure("table", table, table())
try:
    import jinja2
    env = jinja2.Environment(autoescape=True, keep_trailing_newline=True)
    seed, rowsPage = env.from_string(%(jinjaSeed)r), env.from_string(%(jinjaTable)r)
    Measure("seed, jinja2", lambda: seed.render(_testFunction=Function), %(result)r)
    Measure("table, jinja2", lambda: rowsPage.render(rows=rows), table())
except ImportError:
    pass
try:
    from utemplate.recompile import Loader
    loader = Loader(None, "templates")
    seed, rowsPage = loader.load("seed.tpl"), loader.load("table.tpl")
    Measure("seed, utemplate", lambda: "".join(seed(Function)), "".join(seed(Function)))
    Measure("table, utemplate", lambda: "".join(rowsPage(rows)), "".join(rowsPage(rows)))
except ImportError:
    pass
print(json.dumps(times))
"""

# Servers of the seed's page: server.py PORT, and READY when it listens (which the client finds out by trying).
OURS = """
import sys
from microWebSrv import MicroWebSrv
MicroWebSrv(port=int(sys.argv[1]), bindIP="127.0.0.1", webPath="%s/www").Start(threaded=False)
"""
MICRODOT = """
import sys
from microdot import Microdot
from microdot.utemplate import Template
Template.initialize("templates")
app = Microdot()

def Function(x):
    return "IN TEST FUNCTION %%s" %% x

@app.get("/")
async def Index(request):
    return Template("seed.tpl").%s(Function), 200, {"Content-Type": "text/html; charset=UTF-8"}

app.run("127.0.0.1", int(sys.argv[1]))
"""


def _Command(runtime, peers):
    paths = [str(ROOT / "src"), str(peers), "."]
    if runtime == "micropython":
        beside = pathlib.Path(sys.executable).parent / "micropython"
        command = str(beside) if beside.exists() else shutil.which("micropython")
        return [command], {**os.environ, "MICROPYPATH": ":".join([*paths, ".frozen"])}
    return [sys.executable], {**os.environ, "PYTHONPATH": ":".join(paths)}


def Render(runtime, folder, options):
    """-> {name: [µs of each round]}"""
    command, environment = _Command(runtime, options.peers)
    command = [*command, "render.py", str(options.seconds)]
    rounds = [json.loads(subprocess.check_output(command, cwd=folder, env=environment)) for _ in range(options.rounds)]
    return {name: [times[name] for times in rounds] for name in rounds[0]}


class Server:
    """A server process, its CPU clock, and one client that checks what it gets."""

    def __init__(self, command, environment, folder):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.sock = None
        self.process = subprocess.Popen([*command, str(self.port)], cwd=folder, env=environment,
                                        stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None, "it does not start"

    def Cpu(self):
        tasks = pathlib.Path("/proc/%d/task" % self.process.pid).iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def Get(self):
        """One request; the connection is kept where the server keeps it. -> the body"""
        if self.sock is None:
            self.sock = socket.create_connection(("127.0.0.1", self.port))
        self.sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._Receive()
        head, _, body = data.partition(b"\r\n\r\n")
        head = head.lower()
        assert head.split()[1] == b"200", head
        if b"transfer-encoding: chunked" in head:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._Receive()
            return self._Unchunked(body)
        if b"content-length:" in head:
            size = int(head.split(b"content-length:")[1].split()[0])
            while len(body) < size:
                body += self._Receive()
        else:
            while True:
                more = self.sock.recv(65536)
                if not more:
                    break
                body += more
        if head.startswith(b"http/1.0") or b"connection: close" in head:
            self.sock.close()
            self.sock = None
        return body

    def _Receive(self):
        more = self.sock.recv(65536)
        assert more, "the answer broke off"
        return more

    @staticmethod
    def _Unchunked(data):
        body = b""
        while True:
            size, _, data = data.partition(b"\r\n")
            size = int(size, 16)
            if not size:
                return body
            body += data[:size]
            data = data[size + 2:]

    def Measure(self, seconds):
        """-> (µs of CPU, requests/s)"""
        count, cpu, begin = 0, self.Cpu(), time.perf_counter()
        while time.perf_counter() - begin < seconds:
            assert self.Get().decode().split() == SEED_RESULT.split()
            count += 1
        return (self.Cpu() - cpu) / count * 1e6, count / (time.perf_counter() - begin)

    def Stop(self):
        self.process.terminate()
        self.process.wait()


def Requests(runtime, folder, options):
    """-> {name: [(µs of CPU, requests/s) of each round]}"""
    command, environment = _Command(runtime, options.peers)
    programs = {"ours": "ours.py"}
    if (options.peers / "microdot").is_dir() and (options.peers / "utemplate").is_dir():
        programs.update({"microdot+utemplate": "render_peer.py", "microdot+utemplate, streamed": "generate_peer.py"})
    servers = {name: Server([*command, program], environment, folder) for name, program in programs.items()}
    try:
        for server in servers.values():
            server.Measure(2.5)             # files of this second are compiled again; after that all is warm
        rounds = [{name: server.Measure(options.seconds) for name, server in servers.items()}
                  for _ in range(options.rounds)]
    finally:
        for server in servers.values():
            server.Stop()
    return {name: [times[name] for times in rounds] for name in servers}


def Prepare(folder):
    for name in ("www", "templates"):
        (folder / name).mkdir()
    (folder / "www" / "index.pyhtml").write_text(SEED_PAGE)
    (folder / "templates" / "seed.tpl").write_text(_Tags(SEED_PAGE, "{% args _testFunction %}"))
    (folder / "templates" / "table.tpl").write_text(_Tags(TABLE, "{% args rows %}"))
    (folder / "render.py").write_text(RENDER % {"rows": ROWS, "table": TABLE, "seed": SEED_PAGE, "result": SEED_RESULT,
                                                "jinjaSeed": _Tags(SEED_PAGE, ""), "jinjaTable": _Tags(TABLE, "")})
    (folder / "ours.py").write_text(OURS % folder)
    (folder / "render_peer.py").write_text(MICRODOT % "render")
    (folder / "generate_peer.py").write_text(MICRODOT % "generate")


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=pathlib.Path, default=pathlib.Path("peers"))
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("render", "request"))
    options = parser.parse_args()
    options.peers = options.peers.resolve()
    if not importlib.util.find_spec("jinja2") and not (options.peers / "jinja2").is_dir():
        print("no jinja2: CPython has nothing to be compared with")
    for runtime in ("micropython", "cpython"):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            Prepare(folder)
            if options.only != "request":
                medians = {key: statistics.median(times) for key, times in Render(runtime, folder, options).items()}
                for key, median in medians.items():
                    ratio = medians[key.split(",")[0]] / median
                    print("%-12s render   %-30s %8.1f us %8.0f pages/s   ours: %.2f of it" % (
                        runtime, key, median, 1e6 / median, ratio))
            if options.only != "render":
                requests = Requests(runtime, folder, options)
                medians = {key: [statistics.median(column) for column in zip(*rows)] for key, rows in requests.items()}
                for key, (cpu, rate) in medians.items():
                    print("%-12s request  %-30s %8.1f us %8.0f requests/s   ours: %.2f of it" % (
                        runtime, key, cpu, rate, medians["ours"][0] / cpu))


if __name__ == "__main__":
    Main()
