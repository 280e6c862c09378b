"""`microwebsrv DIR --workers N` runs a program in several processes that share its ports. The tests use real processes, signals and
clients."""

import collections
import contextlib
import os
import pty
import re
import resource
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import broker_tools
import harness
from harness import Fetch, RequestBytes

PROGRAM = """
import os
import time
from microWebSrv import MicroWebSrv

VERSION = "one"


@MicroWebSrv.route("/version")
def Version(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", VERSION)


@MicroWebSrv.route("/pid")
def Pid(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", str(os.getpid()))


@MicroWebSrv.route("/slow", threaded=True)
def Slow(httpClient, httpResponse):
    print("asked", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.01)
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "slow " + VERSION)


@MicroWebSrv.route("/soon", threaded=True)
def Soon(httpClient, httpResponse):
    time.sleep(0.3)
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", VERSION)


@MicroWebSrv.route("/die")
def Die(httpClient, httpResponse):
    os._exit(7)


mws = MicroWebSrv(port=80)
mws.Start(threaded=False)
"""


TWO = PROGRAM.replace('"one"', '"two"')


class Crew:
    """The command as a process, with its output."""

    def __init__(self, target, *options, cwd=None, env=(), run=("-m", "microwebsrv"), **more):
        env = dict(os.environ, PYTHONPATH=str(harness.SRC), PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1", **dict(env))
        self.process = subprocess.Popen([sys.executable, *run, str(target), *map(str, options)], env=env, cwd=cwd, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **more)
        self.out, self.err = harness.Output(self.process.stdout), harness.Output(self.process.stderr)
        self.marks = {}
        self.go = Path(cwd or target) / "go"
        self.seen = set()                       # all workers that Workers() has found so far

    @property
    def pid(self):
        return self.process.pid

    def Line(self, pattern, output=None):
        """Wait for the next line of stdout, or of the given output, that matches the pattern."""
        output = output or self.out
        found = output.Wait(pattern, self.marks.get(output, 0), harness.DEADLINE_SEC)
        assert found, "no %r in\n%s\n%s" % (pattern, self.out.text, self.err.text)
        self.marks[output] = found.end()
        return found

    def Error(self, pattern):
        return self.Line(pattern, self.err)

    def Port(self):
        """Wait until the workers serve, and return the port."""
        self.port = int(self.Line(r"^microwebsrv: https?://127\.0\.0\.1:(\d+)/ \(\d+ workers?\)$").group(1))
        return self.port

    def Workers(self):
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as children:
            found = {int(pid) for pid in children.read().split()}
        self.seen |= found
        return found

    def Signal(self, number):
        self.process.send_signal(number)

    def Reload(self):
        self.Workers()
        self.Signal(signal.SIGHUP)
        self.Line(r"^microwebsrv: reloaded: \d+ workers? with the new program$")

    @contextlib.contextmanager
    def Slow(self):
        """A client whose request is in a handler that waits for Go()."""
        with harness.RawClient(self.port) as client:
            client.Send(RequestBytes("GET", "/slow"))
            self.Line("^asked$")
            yield client
        self.go.unlink(missing_ok=True)

    def Go(self):
        self.go.touch()

    def Text(self, path):
        return Fetch(self.port, path).text

    def Wait(self, timeoutSec=harness.DEADLINE_SEC):
        """Wait for the end of the command and of its output. Return the exit status."""
        code = self.process.wait(timeoutSec)
        self.out.Join(harness.DEADLINE_SEC)
        self.err.Join(harness.DEADLINE_SEC)
        return code

    def End(self):
        """End the command by SIGTERM: its status is 0, and no worker is left."""
        workers = self.Workers()
        self.Signal(signal.SIGTERM)
        assert self.Wait() == 0
        assert not [pid for pid in workers if IsAlive(pid)]

    def Close(self):
        for pid in self.Workers() if self.process.poll() is None else ():
            Kill(pid)
        self.process.kill()
        self.process.wait()
        for pid in self.seen:
            Kill(pid)


def Kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def IsAlive(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def Files(pid):
    """Return the kinds of all open files of a process."""
    found = []
    for number in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink("/proc/%d/fd/%s" % (pid, number)).partition(":")[0])
    return sorted(found)


def Until(look, wanted=True):
    deadline = time.monotonic() + harness.DEADLINE_SEC
    while look() != wanted:
        assert time.monotonic() < deadline, "%r instead of %r" % (look(), wanted)
        time.sleep(0.02)


@pytest.fixture
def start(tmp_path):
    """start(program, *options) -> a Crew that runs the program as main.py on a free port. The files are not watched."""
    crews = []

    def Start(program, *options, port=True, watch=False, **more):
        (tmp_path / "main.py").write_text(program)
        options = (*(options or ("--workers", 2)), *(("--port", harness.FreePorts(1)[0]) if port else ()), *(() if watch else ("--no-reload",)), "--no-log")
        crews.append(Crew(tmp_path, *options, **more))
        return crews[-1]

    yield Start
    for crew in crews:
        crew.Close()


@pytest.fixture
def crew(start):
    """The program with two workers that serve."""
    crew = start(PROGRAM)
    crew.Port()
    return crew


# -- sharing -------------------------------------------------------------------

def Spread(port, count):
    """Send GET /pid over so many connections at once. They stay open until all have an answer. Return {pid: its answers}."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(harness.RawClient(port)) for _ in range(count)]
        for client in clients:
            client.Send(RequestBytes("GET", "/pid"))
        return collections.Counter(int(client.ReadResponse().text) for client in clients)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_workers_share_the_connections(start, count):
    """Kept connections that are opened at once are spread over the workers. When these are closed, new ones are spread again."""
    crew = start(PROGRAM, "--workers", count)
    crew.Port()
    workers = crew.Workers()
    assert len(workers) == count
    seen = []

    def IsSpread():                             # may fail once if a worker gets no CPU time on a busy machine
        seen.append(Spread(crew.port, 20 * count))
        return set(seen[-1]) == workers and min(seen[-1].values()) >= 10
    Until(IsSpread)
    Until(IsSpread)                             # closed connections do not count
    assert len(seen) < 20, seen
    assert crew.err.text == ""


def test_a_worker_that_is_busy_leaves_clients_to_the_others(start):
    """A plain handler blocks its worker. The other worker serves all new clients."""
    crew = start(PROGRAM.replace(", threaded=True", ""))
    crew.Port()
    with crew.Slow() as slow:
        assert len({crew.Text("/pid") for _ in range(50)}) == 1
        crew.Go()
        assert slow.ReadResponse().text == "slow one"


SHORT = "import sys\nfrom microwebsrv import __main__, workers\nworkers.KEEP_SEC = 1\nsys.exit(__main__.Main())"


def test_several_servers(start, tmp_path):
    """The workers share all ports of a program. After a reload the program may have other ports. Then the old ones are closed, here
    after one second."""
    program = PROGRAM.replace("mws = ", "for port in PORTS:\n    MicroWebSrv(port=port).Start()\nmws = ")
    ports = harness.FreePorts(3)
    crew = start(program.replace("PORTS", str(ports[:1])).replace("port=80)", "port=%d)" % ports[1]), port=False, run=("-c", SHORT))
    assert [crew.Port(), crew.Port()] == ports[:2]
    assert [Fetch(port, "/version").text for port in ports[:2]] == ["one", "one"]
    (tmp_path / "main.py").write_text(PROGRAM.replace("port=80)", "port=%d)" % ports[2]).replace('"one"', '"two"'))
    crew.Signal(signal.SIGHUP)
    assert crew.Port() == ports[2] and crew.Text("/version") == "two"
    Until(lambda: len(crew.Workers()), 2)
    for port in ports[:2]:
        Until(lambda port=port: Refuses(port))
    os.kill(min(crew.Workers()), signal.SIGKILL)        # the port in use is not closed
    Until(lambda: len(crew.Workers()), 2)
    assert crew.Text("/version") == "two"
    crew.End()


LATER = PROGRAM.replace(", threaded=True", "").replace("mws.Start(threaded=False)", """
mws.Start()
time.sleep(2)
other = MicroWebSrv(port=OTHER)
other.Start(threaded=False)
""")


@pytest.mark.parametrize("isBusy", [False, True])
def test_a_server_that_starts_later(start, tmp_path, isBusy):
    """A program starts its second server some time after the first one. At a reload its port stays open, so its clients wait for the new
    server, even if the old worker is busy and has not closed its copy of the listener."""
    port, other = harness.FreePorts(2)
    program = LATER.replace("OTHER", str(other)).replace("port=80)", "port=%d)" % port)
    crew = start(program, "--workers", 1, "--grace", 30, port=False)
    crew.Port()
    Until(lambda: Refuses(other), False)
    assert Fetch(other, "/version").text == "one"
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(crew.Slow()) if isBusy else None
        (tmp_path / "main.py").write_text(program.replace('"one"', '"two"'))
        crew.Signal(signal.SIGHUP)
        Until(lambda: crew.Text("/version"), "two")
        Until(lambda: Fetch(other, "/version").text, "two")
        if slow:
            crew.Go()
            assert slow.ReadResponse().text == "slow one"
    crew.Line("^microwebsrv: reloaded")
    assert crew.err.text == ""
    crew.End()
    assert crew.err.text == ""


def test_a_port_that_another_program_takes_later(start):
    """A server that starts later than the first one can't listen: one line says why, once."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        crew = start(LATER.replace("OTHER", str(taken)).replace("port=80)", "port=%d)" % harness.FreePorts(1)[0]), "--workers", 1, port=False)
        crew.Port()
        crew.Error(r"can't listen on 127\.0\.0\.1, port %d: another program has it; .* is free$" % taken)
        assert crew.err.text.count("can't listen on") == 1, crew.err.text


def test_https_and_a_port_that_leads_there(start, tmp_path):
    """The workers share the port of HTTPS and the port that redirects to it, also after a reload."""
    assert harness.LoadTool("make_certificate").Main(["127.0.0.1", "-o", str(tmp_path)]) == 0
    plain = harness.FreePorts(1)[0]
    crew = start(PROGRAM.replace("mws.Start", "mws.UseTLS('cert.pem', 'key.pem')\nmws.RedirectToHTTPS(%d)\nmws.Start" % plain))
    crew.Port()
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))

    def Version():
        with context.wrap_socket(socket.create_connection(("127.0.0.1", crew.port), harness.DEADLINE_SEC), server_hostname="127.0.0.1") as sock:
            sock.sendall(RequestBytes("GET", "/version", [("Connection", "close")]))
            return b"".join(iter(lambda: sock.recv(1000), b"")).rpartition(b"\r\n\r\n")[2]
    for text in (b"one", b"two"):
        assert {Version() for _ in range(10)} == {text}
        for _ in range(20):
            assert Fetch(plain, "/").status == 302
            # A worker keeps its listener open when another worker takes the client. Sockets: channel, two listeners, wake-up.
            assert min(Files(pid).count("socket") for pid in crew.Workers()) >= 4
        (tmp_path / "main.py").write_text((tmp_path / "main.py").read_text().replace('"one"', '"two"'))
        crew.Reload()
        Until(lambda: len(crew.Workers()), 2)
    crew.End()


# -- reload ------------------------------------------------------------------------

class Client(threading.Thread):
    """Sends requests until isOver is set, and lists the lost ones. A request is lost if its new connection is refused, or if the
    response is missing, cut or wrong. The server may close a kept connection between two requests."""

    def __init__(self, port, path, keeps):
        super().__init__(daemon=True)
        self.port, self.path, self.keeps = port, path, keeps
        self.answers, self.lost, self.reconnects = collections.Counter(), [], 0
        self.isOver = False
        self.start()

    def run(self):
        while not self.isOver:
            try:
                self.Connection()
            except Exception as error:
                self.lost.append(repr(error))

    def Connection(self):
        with harness.RawClient(self.port) as client:
            isFirst = True
            while not self.isOver:
                try:
                    client.Send(RequestBytes("GET", self.path, () if self.keeps else (("Connection", "close"),)))
                    first = client.socket.recv(1)
                except ConnectionError:
                    first = b""
                if not first and not isFirst:
                    self.reconnects += 1        # the idle connection was closed
                    return
                assert first, "no answer to the first request of a connection"
                client._reader.rest += first
                response = client.ReadResponse()
                assert response.status == 200, response.status
                self.answers[response.text] += 1
                isFirst = False
                if response.Header("connection") == "close":
                    return client.ExpectClose()


def test_reloads_lose_no_request(start, tmp_path):
    """Eight clients send requests while the program changes eight times."""
    crew = start(PROGRAM, "--workers", 2, "--grace", 5)
    port = crew.Port()
    clients = [Client(port, path, keeps) for path, keeps in (("/version", True), ("/version", False)) * 3]
    clients += [Client(port, "/soon", keeps) for keeps in (True, False)]
    names = ["one"]
    for number in range(8):
        names.append("number %d" % number)
        (tmp_path / "main.py").write_text(PROGRAM.replace('"one"', repr(names[-1])))
        crew.Reload()
        Until(lambda: all(client.answers[names[-1]] for client in clients))
    for client in clients:
        client.isOver = True
    for client in clients:
        client.join(harness.DEADLINE_SEC)
        assert not client.is_alive() and client.lost == [], client.lost
        assert set(client.answers) == set(names)
    # A client that sends requests without a pause gets `Connection: close`, so none was closed between two requests.
    assert sum(client.reconnects for client in clients) == 0
    assert sum(sum(client.answers.values()) for client in clients) > 200
    assert crew.err.text == ""
    crew.End()


def test_reload_waits_for_what_is_in_flight(crew, tmp_path):
    """The old program answers its open request with `Connection: close`, while the new program serves other clients."""
    old = crew.Workers()
    with crew.Slow() as slow:
        (tmp_path / "main.py").write_text(TWO)
        crew.Reload()
        assert {crew.Text("/version") for _ in range(20)} == {"two"}
        crew.Go()
        response = slow.ReadResponse()
        assert (response.text, response.Header("connection")) == ("slow one", "close")
        slow.ExpectClose()
    Until(lambda: len(crew.Workers()), 2)
    assert not crew.Workers() & old


def test_connections_without_a_request_get_an_answer(crew):
    """A new and a kept connection are idle at the reload, and send a request a moment later. Both get an answer."""
    with harness.RawClient(crew.port) as new, harness.RawClient(crew.port) as kept:
        kept.Send(RequestBytes("GET", "/version"))
        kept.ReadResponse()
        crew.Reload()
        for client in (new, kept):
            client.Send(RequestBytes("GET", "/version"))
            response = client.ReadResponse()
            assert (response.status, response.Header("connection")) == (200, "close")
            client.ExpectClose()


def test_idle_connections_are_closed(crew):
    """The server closes them with FIN, not with a reset, within two seconds. So the old workers end though a client keeps its
    connection."""
    old = crew.Workers()
    with harness.RawClient(crew.port) as kept:
        kept.Send(RequestBytes("GET", "/version"))
        kept.ReadResponse()
        crew.Reload()
        kept.socket.settimeout(3)
        assert kept.socket.recv(1) == b""
    Until(lambda: bool(old & crew.Workers()), False)


def test_the_backlog_survives_a_reload(start, tmp_path):
    """A client that connects while no worker accepts waits. The new workers serve it."""
    crew = start(PROGRAM.replace(", threaded=True", ""), "--workers", 1)
    port = crew.Port()
    with crew.Slow() as slow, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(harness.RawClient(port)) for _ in range(20)]
        for client in waiting:
            client.Send(RequestBytes("GET", "/version"))
        (tmp_path / "main.py").write_text(TWO)
        crew.Signal(signal.SIGHUP)
        assert {client.ReadResponse().text for client in waiting} == {"two"}
        crew.Go()
        assert slow.ReadResponse().text == "slow one"
        crew.Line("^microwebsrv: reloaded")
    crew.End()


@pytest.mark.parametrize("text, line", [
    ("def F(:\n", "SyntaxError"), ("import no_such_module\n", "No module named 'no_such_module'"), ("raise ValueError('not today')\n", "not today"),
    ("import sys\nsys.exit('no settings')\n", "no settings"), ("import os\nos._exit(0)\n", r"exit status 0"),
    (PROGRAM.replace("mws.Start(threaded=False)", "mws.Start()\ntime.sleep(0.2)\nraise ValueError('too late')"), "too late")])
def test_a_new_program_that_fails(crew, tmp_path, text, line):
    """The old workers continue to serve, and one line says so. The program fails once, not once in each worker."""
    old = crew.Workers()
    (tmp_path / "main.py").write_text(text)
    crew.Signal(signal.SIGHUP)
    crew.Error(r"^microwebsrv: (the program has ended before it served \(exit status \d\)|main\.py:1: .*); the old workers go on$")
    assert len(re.findall(line, crew.err.text)) <= 2 and re.search(line, crew.err.text), crew.err.text
    assert crew.err.text.count("microwebsrv:") == 1
    Until(crew.Workers, old)
    assert crew.Text("/version") == "one"
    (tmp_path / "main.py").write_text(TWO)
    crew.Reload()
    assert crew.Text("/version") == "two"
    crew.End()


def test_each_answer_is_logged_once(tmp_path):
    (tmp_path / "main.py").write_text(PROGRAM)
    crew = Crew(tmp_path, "--workers", 2, "--port", harness.FreePorts(1)[0], "--no-reload")
    try:
        crew.Port()
        for _ in range(20):
            assert crew.Text("/version") == "one"
        for _ in range(20):
            crew.Line(r"^\d\d:\d\d:\d\d  127\.0\.0\.1  GET /version  200  3 B  [\d.]+ ms$")
    finally:
        crew.End()


def test_a_change_of_a_file_reloads(start, tmp_path):
    crew = start(PROGRAM, watch=True)
    crew.Port()
    (tmp_path / "main.py").write_text(TWO)
    crew.Line(r"^microwebsrv: main\.py has changed$")
    crew.Line(r"^microwebsrv: reloaded: 2 workers with the new program$")
    assert crew.Text("/version") == "two"
    (tmp_path / "main.py").write_text("def F(:\n")
    crew.Error(r"; the old workers go on$")
    assert crew.Text("/version") == "two"
    crew.End()


def Release(folder, name):
    """Write a release with a page and a program that has always the same time, and let the link `current` lead to it at once."""
    (folder / name / "www").mkdir(parents=True)
    (folder / name / "www" / "page.txt").write_text(name)
    (folder / name / "main.py").write_text(PROGRAM.replace('"one"', repr(name)))
    os.utime(folder / name / "main.py", (1e9, 1e9))
    (folder / "next").symlink_to(name)
    (folder / "next").replace(folder / "current")


@pytest.mark.parametrize("how", ["signal", "watched"])
@pytest.mark.parametrize("target", ["current", "current/main.py", "./current/../current/"])
def test_a_link_to_a_release(tmp_path, how, target):
    """A symbolic link leads to the program. When it leads to another release, a reload takes that one."""
    Release(tmp_path, "one")
    options = ("--no-reload",) if how == "signal" else ()
    crew = Crew(target, "--workers", 2, "--port", harness.FreePorts(1)[0], "--no-log", *options, cwd=tmp_path)
    try:
        crew.Port()
        assert (crew.Text("/version"), crew.Text("/page.txt")) == ("one", "one")
        Release(tmp_path, "two")
        if how == "signal":
            crew.Signal(signal.SIGHUP)
        else:
            crew.Line(r"^microwebsrv: main\.py has changed$")
        crew.Line("^microwebsrv: reloaded")
        assert (crew.Text("/version"), crew.Text("/page.txt")) == ("two", "two")
        (tmp_path / "current" / "main.py").unlink()         # the files of a folder without a program must not become pages
        crew.Signal(signal.SIGHUP)
        crew.Error(r"^microwebsrv: there is no program .*/current/main\.py$")
        crew.Error(r"; the old workers go on$")
        assert crew.Text("/version") == "two"
        crew.End()
    finally:
        crew.Close()


def test_a_program_that_fails_at_first_waits_for_a_change(start, tmp_path):
    crew = start("def F(:\n", watch=True)
    crew.Line(r"^microwebsrv: main\.py:1: SyntaxError: .*; it is run again when a file changes$")
    (tmp_path / "main.py").write_text(PROGRAM)
    crew.Port()
    assert crew.Text("/version") == "one"
    crew.End()


def test_a_reload_during_a_reload(crew, tmp_path):
    """The last reload counts, even if the program of an earlier reload never serves."""
    (tmp_path / "main.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    crew.Signal(signal.SIGHUP)
    crew.Line("^begun$")
    (tmp_path / "main.py").write_text(TWO)
    for _ in range(3):
        crew.Signal(signal.SIGHUP)
    crew.Line(r"^microwebsrv: reloaded")
    assert crew.Text("/version") == "two"
    Until(lambda: len(crew.Workers()), 2)
    crew.End()


# -- the end -----------------------------------------------------------------------

def Refuses(port):
    try:
        harness.RawClient(port).Close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:                # the listener was closed at this moment
        pass
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(crew, number):
    """Open requests are answered, new clients are refused, and the exit status is 0."""
    with crew.Slow() as slow:
        crew.Signal(number)
        Until(lambda: Refuses(crew.port))
        crew.Go()
        response = slow.ReadResponse()
        assert (response.text, response.Header("connection")) == ("slow one", "close")
    assert crew.Wait() == 0 and crew.err.text == "" and crew.out.text.count("\n") == 2


def test_a_signal_for_all_processes_drains(crew):
    """By default, systemd sends the signal to the parent and to the workers."""
    with crew.Slow() as slow:
        for pid in (*crew.Workers(), crew.pid):
            os.kill(pid, signal.SIGTERM)
        Until(lambda: Refuses(crew.port))
        crew.Go()
        assert slow.ReadResponse().text == "slow one"
    assert crew.Wait() == 0 and crew.err.text == ""


@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_kills(crew, first, second):
    workers = crew.Workers()
    with crew.Slow() as slow:
        crew.Signal(first)
        Until(lambda: Refuses(crew.port))
        crew.Signal(second)
        assert crew.Wait(2) == -second
        slow.ExpectClose()
    assert not any(map(IsAlive, workers)) and crew.err.text == ""


def test_the_grace_ends(start):
    """At the end of the grace period an open request is cut, and a worker that does not end is killed."""
    crew = start(PROGRAM, "--workers", 2, "--grace", 1)
    crew.Port()
    with crew.Slow() as slow:
        crew.Signal(signal.SIGTERM)
        slow.ExpectClose()
    assert crew.Wait(7) == 0 and crew.err.text == ""
    crew = start(PROGRAM.replace(", threaded=True", ""), "--workers", 1, "--grace", 1)
    crew.Port()
    with crew.Slow() as slow:
        crew.Signal(signal.SIGTERM)
        slow.ExpectClose()
    assert crew.Wait(7) == 0
    assert re.fullmatch(r"microwebsrv: worker \d+ has not ended within its grace of 1 s: it is killed\n", crew.err.text)


def test_the_grace_of_a_worker_that_is_not_ready(start):
    """A program that goes on after Start() is ready a second later. Requests that it gets before that have the grace too."""
    crew = start(PROGRAM.replace("mws.Start(threaded=False)", "mws.Start()\ntime.sleep(1000)"), "--workers", 1, "--grace", 30)
    crew.port = int(crew.process.args[crew.process.args.index("--port") + 1])
    Until(lambda: Refuses(crew.port), False)
    with crew.Slow() as slow:
        crew.Signal(signal.SIGTERM)
        slow.socket.settimeout(4.5)             # longer than MARGIN_SEC, after which the parent would kill the worker
        with pytest.raises(socket.timeout):
            slow.socket.recv(1)
        slow.socket.settimeout(harness.DEADLINE_SEC)
        crew.Go()
        assert slow.ReadResponse().text == "slow one"
    assert crew.Wait() == 0 and crew.err.text == "" and "worker)" not in crew.out.text


WAYS = {
    "thread": "mws.Start()\n",
    "thread and a loop": "mws.Start()\nwhile True:\n    time.sleep(0.05)\n",
    "asyncio": "import asyncio\nasyncio.run(mws.Serve())\n",
    "asyncio and more": "import asyncio\nasync def Main():\n    await asyncio.gather(mws.Serve(), asyncio.sleep(1000))\nasyncio.run(Main())\n",
    "something behind it": "mws.Start(threaded=False)\ntime.sleep(1000)\n",
    "async handler": "@mws.route('/async')\nasync def Async(c, r):\n    r.WriteResponseOk()\nmws.Start(threaded=False)\n",
    "own handler": "import signal\nsignal.signal(signal.SIGTERM, lambda number, frame: mws.Stop())\nmws.Start(threaded=False)\n",
    "only handlers": "",
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_to_serve(start, tmp_path, way):
    """A reload and the end lose no request, for each way in which a program can serve."""
    program = PROGRAM.replace("mws.Start(threaded=False)\n", WAYS[way])
    if way == "only handlers":
        program = program.replace("mws = MicroWebSrv(port=80)\n", "")
    crew = start(program)
    crew.Port()
    with crew.Slow() as slow:
        (tmp_path / "main.py").write_text(program.replace('"one"', '"two"'))
        crew.Reload()
        crew.Go()
        assert slow.ReadResponse().text == "slow one" and crew.Text("/version") == "two"
    with crew.Slow() as slow:
        crew.Signal(signal.SIGTERM)
        Until(lambda: Refuses(crew.port))
        crew.Go()
        assert slow.ReadResponse().text == "slow two"
    assert crew.Wait() == 0 and crew.err.text == ""


def test_a_parent_that_is_killed_takes_its_workers_with_it(crew):
    """The workers answer open requests first."""
    workers = crew.Workers()
    with crew.Slow() as slow:
        crew.process.kill()
        Until(lambda: Refuses(crew.port))
        crew.Go()
        assert slow.ReadResponse().text == "slow one"
    Until(lambda: any(map(IsAlive, workers)), False)
    assert crew.Wait() == -9 and crew.err.text == ""


@pytest.mark.parametrize("how", ["closed", "Ctrl-C"])
def test_the_terminal(tmp_path, how):
    """A closed terminal sends SIGHUP too, but that is no reload. Ctrl-C reaches only the parent. In both cases the workers answer open
    requests, and all processes end."""
    (tmp_path / "main.py").write_text(PROGRAM)
    port = harness.FreePorts(1)[0]
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)            # ignored if the tests run under nohup
        os.environ.update(PYTHONPATH=str(harness.SRC), PYTHONDONTWRITEBYTECODE="1")
        os.execv(sys.executable, [sys.executable, "-m", "microwebsrv", str(tmp_path), "--workers", "2", "--port", str(port), "--no-log"])
    text = b""

    def ReadUntil(word):
        nonlocal text
        while word not in text:
            assert select.select([terminal], [], [], harness.DEADLINE_SEC)[0], text
            text += os.read(terminal, 1000)

    try:
        ReadUntil(b"workers)")
        with harness.RawClient(port) as slow:
            slow.Send(RequestBytes("GET", "/slow"))
            ReadUntil(b"asked\r\n")
            if how == "closed":
                os.close(terminal)
            else:
                os.write(terminal, b"\x03")
            Until(lambda: Refuses(port))
            (tmp_path / "go").touch()
            assert slow.ReadResponse().text == "slow one"
        codes = []
        Until(lambda: codes.append(os.waitpid(pid, os.WNOHANG)) or codes[-1][0], pid)
        pid = 0
        assert codes[-1][1] == 0
        if how != "closed":
            with contextlib.suppress(OSError):      # EIO at the end of the output
                ReadUntil(b"no such word")
            assert re.fullmatch(rb"microwebsrv: \S+ \(2 workers\)\r\nasked\r\n(\^C)?", text)
            os.close(terminal)
    finally:
        if pid:
            Kill(pid)
            os.waitpid(pid, 0)


def test_systemd_is_told(start, tmp_path):
    """Messages of sd_notify: a service with Type=notify-reload reports when it serves, also after a reload. The workers do not report."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(harness.DEADLINE_SEC)
        crew = start("import os\nassert 'NOTIFY_SOCKET' not in os.environ\n" + PROGRAM, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        said = []

        def Next():
            said.append(re.sub(rb"\d{4,}", b"TIME", sock.recv(100)))
            return said[-1]
        assert Next() == b"READY=1"
        crew.Port()
        crew.Reload()
        assert Next() == b"RELOADING=1\nMONOTONIC_USEC=TIME" and Next() == b"READY=1"
        (tmp_path / "main.py").write_text("def F(:\n")
        crew.Signal(signal.SIGHUP)
        assert Next() == b"RELOADING=1\nMONOTONIC_USEC=TIME" and Next() == b"READY=1"
        crew.End()
        assert Next() == b"STOPPING=1"


def test_a_parent_without_free_files(start, tmp_path):
    """The parent may open no more files at a reload: the old workers go on, and a later reload succeeds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        crew = start(PROGRAM, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        crew.Port()
        limits = resource.prlimit(crew.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(crew.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        crew.Signal(signal.SIGHUP)
        crew.Error(r"^microwebsrv: can't start a worker: .*Too many open files$")
        crew.Error(r"^microwebsrv: no new worker; the old workers go on$")
        assert crew.Text("/version") == "one"
        resource.prlimit(crew.pid, resource.RLIMIT_NOFILE, limits)
        (tmp_path / "main.py").write_text(TWO)
        crew.Reload()
        assert crew.Text("/version") == "two"
        crew.End()


FORK = """
import multiprocessing


def Work(pipe):
    pipe.send("works")
    time.sleep(60)


@MicroWebSrv.route("/fork")
def Fork(httpClient, httpResponse):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=Work, args=(theirs,))
    process.start()
    said = ours.recv()
    process.terminate()
    process.join(10)
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "%s %s" % (said, process.exitcode))


mws = """


def test_a_copy_of_a_worker_is_no_worker(start):
    """multiprocessing can end a process that it has forked."""
    crew = start(PROGRAM.replace("mws = ", FORK))
    crew.Port()
    assert crew.Text("/fork") == "works -15"
    assert crew.Text("/version") == "one"
    crew.End()
    assert crew.err.text == ""


# -- workers that die --------------------------------------------------------------

def test_a_worker_that_dies_is_replaced(crew):
    old = crew.Workers()
    dead = min(old)
    os.kill(dead, signal.SIGKILL)
    crew.Error(r"^microwebsrv: worker %d has died \(Killed\); another one takes its place in 0\.25 s$" % dead)
    Until(lambda: len(crew.Workers() - {dead}), 2)
    assert max(old) in crew.Workers()
    workers = crew.Workers()
    Until(lambda: {int(crew.Text("/pid")) for _ in range(20)}, workers)
    with harness.RawClient(crew.port) as client:
        client.Send(RequestBytes("GET", "/die"))
        client.ExpectClose()
    crew.Error(r"^microwebsrv: worker \d+ has died \(exit status 7\)")
    crew.End()


def test_who_dies_at_once_again_and_again(start):
    """The pause before each new worker grows, and at last the parent gives up."""
    begun = time.monotonic()
    program = PROGRAM.replace("mws.Start", "import threading\nthreading.Timer(0.2, os._exit, (7,)).start()\nmws.Start")
    crew = start(program, "--workers", 1)
    assert crew.Wait(45) == 3
    lines = crew.err.text.splitlines()
    assert len(lines) == 5 and [re.search(r" in (.*) s$", line).group(1) for line in lines[:4]] == ["0.25", "0.5", "1", "2"]
    assert re.fullmatch(r"microwebsrv: worker \d+ has died \(exit status 7\), the 5th in a row that has not lived for 5 s: the command gives up", lines[4])
    assert time.monotonic() - begun > 3.75 + 5 * 0.2


def test_no_zombies_and_no_files_too_many(crew):
    """After many deaths and reloads the parent has the same processes and files as before. A worker has no file of another worker."""
    before, ofWorker = Files(crew.pid), Files(min(crew.Workers()))
    assert len([name for name in ofWorker if name == "socket"]) == 3, ofWorker      # channel, listener, wake-up
    for _ in range(4):
        os.kill(min(crew.Workers()), signal.SIGKILL)
        crew.Error("takes its place")
        crew.Reload()
        Until(lambda: len(crew.Workers()), 2)
    Until(lambda: len(crew.Workers()), 2)
    assert Files(crew.pid) == before
    Until(lambda: Files(min(crew.Workers())), ofWorker)


# -- wrong use ----------------------------------------------------------

WRONG = {
    ("--workers", "0"): "--workers must be a number from 1 to 256, not 0", ("--workers", "x"): "--workers must be a number from 1 to 256, not x",
    ("--workers", "-1"): "--workers must be a number from 1 to 256, not -1", ("--workers", "257"): "--workers must be a number from 1 to 256, not 257",
    ("--workers", ""): "--workers must be a number from 1 to 256, not empty", ("--workers", "1.5"): "--workers must be a number from 1 to 256, not 1.5",
    ("--workers", "2", "--grace", "x"): "--grace must be a number from 0 to 86400, not x",
    ("--grace", "2"): "--grace needs --workers",
    ("--workers", "2", "--pins", "8090"): "--workers has no page of pins: leave --pins and --no-pins out",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_words(start, words):
    crew = start(PROGRAM, *words)
    assert (crew.Wait(), crew.out.text, crew.err.text) == (2, "", "microwebsrv: %s\n" % WRONG[words])


def test_a_busy_port(start, tmp_path):
    """The command prints one line. At a reload the old workers continue to serve."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        crew = start(PROGRAM, "--workers", 2, "--port", taken, port=False)
        assert crew.Wait() == 3
        assert re.fullmatch(r"microwebsrv: can't listen on 127\.0\.0\.1, port %d: another program has it; .* is free\n" % taken, crew.err.text) and crew.out.text == ""
        crew = start(PROGRAM.replace("port=80)", "port=%d)" % harness.FreePorts(1)[0]), port=False)
        crew.Port()
        (tmp_path / "main.py").write_text(PROGRAM.replace("port=80)", "port=%d)" % taken))
        crew.Signal(signal.SIGHUP)
        crew.Error(r"^microwebsrv: can't listen on 127\.0\.0\.1, port %d: another program has it; .* is free; the old workers go on$" % taken)
        assert crew.Text("/version") == "one"
        crew.End()


@pytest.mark.parametrize("line, why", [
    ("mws.port = 65536", r"127\.0\.0\.1, port 65536: .*"), ("mws.port = -1", r"127\.0\.0\.1, port -1: .*"), ("mws.port = str(mws.port)", r"127\.0\.0\.1, port '\d+': a port is a number from 0 to 65535"),
    ("mws.port = [1]", r"127\.0\.0\.1, port \[1\]: .*"), ("mws.bindIP = '.' + 64 * 'x'", r"\.x+, port \d+: .*"), ("mws.bindIP = 'a\\0b'", r"a\0b, port \d+: .*"),
    ("mws.bindIP = '\\ud800'", r"\\ud800, port \d+: .*")])
def test_no_port_and_no_address(start, tmp_path, line, why):
    """At the start the command prints one line, and at a reload the old workers go on."""
    crew = start(PROGRAM)
    crew.Port()
    (tmp_path / "main.py").write_text(PROGRAM.replace("mws.Start", line + "\nmws.Start"))
    crew.Signal(signal.SIGHUP)
    crew.Error(r"^microwebsrv: can't listen on %s; the old workers go on$" % why)
    assert crew.Text("/version") == "one"
    crew.End()
    crew = start(PROGRAM.replace("mws.Start", line + "\nmws.Start"))
    assert crew.Wait() == 3 and crew.err.text.startswith("microwebsrv: can't listen on "), crew.err.text


def test_no_board(start, tmp_path):
    """A program that needs the stand-ins of a board is refused in one line. A program that handles the ImportError runs."""
    crew = start("from machine import Pin\n" + PROGRAM, watch=True)
    assert (crew.Wait(), crew.err.text) == (2, "microwebsrv: the program uses the module machine of a board, which --workers does not have\n")
    crew = start("try:\n    import machine\nexcept ImportError:\n    machine = None\nimport utime, micropython\n" + PROGRAM)
    crew.Port()
    assert crew.Text("/version") == "one"
    (tmp_path / "machine.py").write_text("def unique_id():\n    return b'me'\n")
    crew = start("import machine\nassert machine.unique_id() == b'me'\n" + PROGRAM)
    crew.Port()
    assert crew.Text("/version") == "one"


def test_a_system_that_can_not(monkeypatch, capsys):
    from microwebsrv.__main__ import Main
    monkeypatch.delattr(socket, "send_fds")
    assert Main([".", "--workers", "2"]) == 2
    assert capsys.readouterr().err == "microwebsrv: --workers needs a system that hands sockets to other processes: Linux or macOS\n"


@pytest.mark.parametrize("name, program", [("site:mws", PROGRAM.replace("mws.Start(threaded=False)\n", "")), ("site:mws", PROGRAM),
                                           ("site:Make", PROGRAM.replace("mws.Start(threaded=False)", "Make = lambda: mws"))])
def test_module_and_server(tmp_path, name, program):
    (tmp_path / "site.py").unlink(missing_ok=True)
    (tmp_path / "my_site.py").write_text(program)
    crew = Crew("my_" + name, "--workers", 2, "--port", harness.FreePorts(1)[0], "--no-reload", "--no-log", cwd=tmp_path)
    try:
        crew.Port()
        assert crew.Text("/version") == "one"
        (tmp_path / "my_site.py").write_text(program.replace('"one"', '"two"'))
        crew.Reload()
        assert crew.Text("/version") == "two"
        crew.End()
    finally:
        crew.Close()


def test_one_file_and_a_folder_of_pages(start, tmp_path):
    (tmp_path / "other.py").write_text(PROGRAM)
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("<h1>Pages</h1>")
    for target, path, text in ((tmp_path / "other.py", "/version", "one"), (tmp_path / "pages", "/", "<h1>Pages</h1>")):
        crew = Crew(target, "--workers", 2, "--port", harness.FreePorts(1)[0], "--no-reload", "--no-log")
        try:
            crew.Port()
            assert crew.Text(path) == text
            crew.End()
        finally:
            crew.Close()


# -- with the broker -----------------------------------------------------------

CHAT = """
import os
from microWebSrv import MicroWebSrv


def OnText(webSocket, text):
    if text == "?":
        webSocket.SendText(str(node.IsConnected()))
    else:
        mws.Broadcast(text)


def OnAccept(webSocket, httpClient):
    webSocket.RecvTextCallback = OnText
    webSocket.SendText(str(os.getpid()))


mws = MicroWebSrv(port=80)
mws.AcceptWebSocketCallback = OnAccept
node = mws.UseBroker(%r)
mws.Start(threaded=False)
"""


def test_broadcasts_reach_the_clients_of_all_workers(start):
    """The broker distributes them, also after a reload, when all clients have connected again."""
    with broker_tools.Redis() as broker, contextlib.ExitStack() as stack:
        crew = start(CHAT % broker.url)
        crew.Port()
        for turn in range(2):
            clients, by = [], {}
            while len(clients) < 4 or len(by) < 2:
                assert len(clients) < 200
                clients.append(stack.enter_context(connect("ws://127.0.0.1:%d/" % crew.port)))
                by[clients[-1].recv(harness.DEADLINE_SEC)] = clients[-1]
            for client in by.values():
                Until(lambda client=client: client.send("?") or client.recv(harness.DEADLINE_SEC), "True")
            for name, sender in by.items():
                sender.send("hello of " + name)
                assert {client.recv(harness.DEADLINE_SEC) for client in clients} == {"hello of " + name}
            if not turn:
                crew.Reload()
                for client in clients:
                    with pytest.raises(ConnectionClosed, match="1001"):
                        client.recv(harness.DEADLINE_SEC)
                Until(lambda: len(crew.Workers()), 2)
        crew.End()
        assert crew.err.text == ""
