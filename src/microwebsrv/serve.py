"""Run the program of a board on this computer, or serve a folder.

    microwebsrv DIR                 runs DIR/main.py, and again when a .py file changes; without main.py it serves DIR
    microwebsrv DIR/program.py      runs this program
    microwebsrv package.module:mws  serves with this server; mws may also be a function that returns one
    microwebsrv push DIR [PORT]     copies the program to a board (microwebsrv push --help)
    microwebsrv check DIR           finds what will not run on a board (microwebsrv check --help)

main.py needs no changes: machine, network and other modules of a board have stand-ins, and a page shows the pins. DIR
is /flash of the board, and folders in DIR are /sd and /www. If main.py only defines handlers, the command starts a
server with them and with the files of DIR/www, or of DIR if it has no www.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Callable, NoReturn

import microWebSrv
from microWebSrv import MicroWebSrv
from microwebsrv import access, address, console, desk, failure, faults, live, pins, target
from microwebsrv.console import Say
from microwebsrv.paths import Paths
from microwebsrv.target import Target
from microwebsrv.world import WORLD

DEFAULT_PORT = 8080
LOOK_SEC = 0.3              # time between two checks of the files
SKIPPED = {"__pycache__", "node_modules"}
PROGRAMS = (".py",)         # after a change of such a file the program runs again
SITE = (".css", ".htm", ".html", ".js", ".mjs", ".pyhtml", ".svg")     # after a change browsers load their pages again
DEFAULT_PATH = "/flash/www"
SWITCHES = ("no_pins", "no_log", "no_debug", "quiet")       # the process that serves gets these options too


# -- the process that serves ---------------------------------------------------

class Stage:
    """Changes the class MicroWebSrv for the program: its servers get a port and a folder from the command."""

    def __init__(self, folder: Path, port: int | None, bindIP: str) -> None:
        self.folder, self.port, self.bindIP = folder, port, bindIP
        self.servers: dict[MicroWebSrv, tuple[int, int]] = {}           # {server: (its port, port in the program)}
        self.started: list[MicroWebSrv] = []
        self.onFirst: Callable[[str], None] = lambda url: None          # called with the URL of the first server
        core: Any = MicroWebSrv
        self._construct: Callable[..., None] = core.__init__
        self._open: Callable[[MicroWebSrv], bool] = core.Open

    def Open(self) -> None:
        """Change the class."""
        stage = self

        def Construct(server: MicroWebSrv, routeHandlers: Any = None, port: int = 80, bindIP: str = "",
                      webPath: Any = DEFAULT_PATH) -> None:
            isPort = isinstance(port, int) and 0 <= port < 65536        # else the server raises the right exception
            ours = stage.NextPort(port) if isPort else port
            stage._construct(server, routeHandlers, ours, stage.bindIP, stage.Place(webPath))
            server.Banner = False                       # Begin() prints the URL instead
            stage.servers[server] = ours, port

        def Open(server: MicroWebSrv) -> bool:
            isOurs = stage.Listen(server)
            if isOurs:
                stage.Begin(server)
            return isOurs

        for name, method in (("__init__", Construct), ("Open", Open)):
            setattr(MicroWebSrv, name, method)

    def Listen(self, server: MicroWebSrv) -> bool:
        """Open the server, and return what its Open() returns. Another program may have taken the port since the server
        was created; then this tries another port, unless the user chose this one."""
        tries = 5
        while True:
            tries -= 1
            ours, said = self.servers[server]
            try:
                return self._open(server)
            except OSError as error:
                isChosen = self.port is not None or server.GetPort() != ours
                if isChosen or not tries or error.errno != errno.EADDRINUSE:
                    raise faults.CantListen(error.errno, address.Why(error, self.bindIP, server.GetPort()))
            ours = self.NextPort(said)
            self.servers[server] = ours, said
            setattr(server, "port", ours)       # noqa: B010

    def NextPort(self, wanted: int) -> int:
        """Return the port for another server: the port that the user chose, or the ones after it. Without a choice it
        is the port in the program, or the next free one, but none below 1024, which need special rights."""
        taken = [ours for ours, _ in self.servers.values()]
        if self.port is not None:
            return self.port + len(taken)
        first = wanted if wanted >= 1024 else DEFAULT_PORT
        free = (port for port in range(first, min(first + 50, 65536))
                if port not in taken and address.IsFree(port, self.bindIP))
        return next(free, first)

    def First(self, server: MicroWebSrv) -> None:
        """Give this server the port of the server that was created first."""
        other = next(iter(self.servers))
        (port, said), (first, otherSaid) = self.servers[server], self.servers[other]
        self.servers[other], self.servers[server] = (port, otherSaid), (first, said)
        for one in (server, other):
            setattr(one, "port", self.servers[one][0])      # noqa: B010

    def Place(self, webPath: Any) -> Any:
        """Return the path on this computer for a path on the board."""
        if webPath == DEFAULT_PATH and not (self.folder / "www").is_dir():
            return str(self.folder)
        return Paths(self.folder).Map(webPath)

    def Begin(self, server: MicroWebSrv) -> None:
        """Called when a server listens. The first time, print its URL."""
        if server in self.started:
            return
        self.started.append(server)
        ours, wanted = server.GetPort(), self.servers[server][1]
        note = "" if ours == wanted or self.port is not None else " (its program says port %d)" % wanted
        link: Any = getattr(server, "NewLink")      # noqa: B009
        url = address.Url(self.bindIP, ours, "https" if link.isSecure else "http")
        Say(url + note)
        root = getattr(server.source, "root", "")
        if root and not os.path.isdir(root):
            console.Warn("there is no folder %s: it is the webPath of the program" % root)
        if len(self.started) == 1:
            self.onFirst(url)


def Watch(reload: live.Reload) -> None:
    """End this process when the one that started it ends: the standard input is a pipe from there. A byte in it means
    that the site has changed."""
    while os.read(0, 1024):             # not sys.stdin: a thread must not hold its lock when the program ends
        reload.Changed()
    os._exit(0)


def ShowPins(port: int | None) -> None:
    """Called when the program uses its first pin."""
    try:
        Say("the pins: http://127.0.0.1:%d/" % pins.Open(port))
    except OSError as error:
        console.Warn("can't show the page of pins on port %s: %s" % (port, error.strerror or error))


def OpenBrowser(url: str) -> None:
    import webbrowser
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True, name="browser").start()


def ServeTarget(what: Target, options: argparse.Namespace, stage: Stage | None = None) -> None:
    """Run the program, and start a server if the program did not. Security: AllowedHosts refuses a page of another site
    whose name leads to this computer (DNS rebinding). The program may set AllowedHosts to something else."""
    stage = stage or Stage(what.folder, options.port, options.bind)
    stage.onFirst = OpenBrowser if options.open else stage.onFirst
    stage.Open()
    MicroWebSrv.AllowedHosts = ["localhost", *filter(None, [options.bind]), *options.host]
    server = None
    if what.program or what.module:
        sys.path[:0] = [str(what.folder), str(what.folder / "lib")]
        sys.argv = [str(what.program or what.module)]
        if not options.no_pins:
            WORLD.onFirst = lambda: ShowPins(options.pins)
        desk.Install(what.folder)
        try:
            if what.module:
                server = target.ServerOf(what)
                if not stage.started:
                    stage.First(server)
            else:
                target.RunProgram(what)
        except (SyntaxError, ImportError) as error:
            line = "" if stage.started else faults.OneLine(error, what.folder)
            if not line:
                raise
            raise faults.ProgramTrouble(line)
        except KeyboardInterrupt:               # without this, a server in a thread would wait for a second Ctrl-C
            for one in stage.started:
                one.Stop()
            raise
    if not stage.started:
        server = server or next(iter(stage.servers), None) or MicroWebSrv(port=options.port or DEFAULT_PORT)
        server.Start(threaded=False)


def OpenLogs(options: argparse.Namespace) -> None:
    """Open the log of responses and that of errors, in the process that runs the program."""
    if not options.no_log and not options.quiet:
        access.Log().Open()
    MicroWebSrv.ErrorCallback = staticmethod(faults.OnServerError)
    faults.Install()


def Serve(options: argparse.Namespace, what: Target) -> NoReturn:
    """Run the program in this process, which then ends with it."""
    if options.child:
        reload = live.Reload()
        reload.Open()
        threading.Thread(target=Watch, args=(reload,), daemon=True).start()
    if not options.no_debug:
        MicroWebSrv.Debug = True
        failure.Pages(what.folder).Open()
    OpenLogs(options)
    WORLD.words = [*Words(options, what), "--child" if options.child else "--no-reload"]
    os.chdir(what.folder)
    faults.Ended(lambda: ServeTarget(what, options), options.child)


def Words(options: argparse.Namespace, what: Target) -> list[str]:
    """Return the command line for the process that serves."""
    return [what.word, *(["--port", str(options.port)] if options.port is not None else []), "--bind", options.bind,
            *["--host=" + name for name in options.host], *(["--pins", str(options.pins)] if options.pins else []),
            *["--" + name.replace("_", "-") for name in SWITCHES if getattr(options, name)]]


# -- the process that watches ----------------------------------------------------

def Stamps(folder: Path) -> dict[str, int]:
    """Return {path: time of its last change} of the programs and the files of the site in the folder and below it."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name not in SKIPPED
                      and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))]
        for name in names:
            if name.endswith(PROGRAMS + SITE):
                path = os.path.join(place, name)
                try:
                    found[path] = os.stat(path).st_mtime_ns
                except OSError:
                    pass                        # deleted in the meantime
    return found


class Watcher:
    """Runs a command, and runs it again when a program changes. When a page changes, it tells the command."""

    def __init__(self, folder: Path, command: list[str], onlyFirst: list[str]) -> None:
        self.folder, self.command = folder, command
        self.stamps = Stamps(folder)
        self.process = self.Begin(onlyFirst)

    def Begin(self, more: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.command, *more], stdin=subprocess.PIPE, bufsize=0)

    def End(self) -> None:
        """Ask the process to end, and kill it after five seconds."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()

    def Run(self) -> int:
        """Watch until the process ends with an error that no change of a file can mend. Return the exit status."""
        told = False
        while True:
            time.sleep(LOOK_SEC)
            code = self.process.poll()
            if code in (faults.GIVE_UP + 2, faults.GIVE_UP + 3):
                return code - faults.GIVE_UP
            stamps = Stamps(self.folder)
            changed = sorted(path for path in {*stamps, *self.stamps} if stamps.get(path) != self.stamps.get(path))
            programs = [path for path in changed if path.endswith(PROGRAMS)]
            self.stamps = stamps
            if programs:
                Say("%s has changed" % os.path.relpath(programs[0], self.folder))
                self.End()
                self.process, told = self.Begin([]), False
            elif code is not None and not told:
                told = True
                Say("the program has ended; it is run again when a file changes")
            elif changed and code is None:
                self.Tell(os.path.relpath(changed[0], self.folder))

    def Tell(self, path: str) -> None:
        Say("%s has changed: pages in browsers are loaded again" % path)
        try:
            os.write(self.process.stdin.fileno(), b"!")     # type: ignore[union-attr]
        except OSError:                         # the process has just ended
            pass


def Terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def ServeAndWatch(options: argparse.Namespace, what: Target) -> int:
    signal.signal(signal.SIGTERM, Terminated)
    command = [sys.executable, "-m", "microwebsrv", *Words(options, what), "--child"]
    watcher = Watcher(what.folder, command, ["--open"] if options.open else [])
    try:
        return watcher.Run()
    finally:
        watcher.End()


def Port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535, not %s" % text)
    return int(text) or address.Free()


def Parser(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", nargs="?", default=".", metavar="DIR",
        help="the folder of a program, the program, or package.module:server; default: this folder")
    add("--port", type=Port, help="default: the port in the program, or %d; 0 selects a free port" % DEFAULT_PORT)
    add("--bind", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on; default: 127.0.0.1, this computer only; '' is all addresses, ::1 is this computer "
             "with IPv6")
    add("--host", action="append", default=[], metavar="NAME",
        help="an additional host name for requests from browsers, beside localhost and addresses")
    add("--pins", type=Port, metavar="PORT", help="port of the page of pins, for this computer only; default: 8090")
    add("--no-pins", action="store_true", help="show no page of pins")
    add("--open", action="store_true", help="open the browser when the server listens")
    add("--no-reload", action="store_true", help="don't watch the files, and don't reload pages in browsers")
    add("--no-log", action="store_true", help="print no line for each response")
    add("--no-debug", action="store_true", help="answer with a plain 500 if a handler fails, as on a board")
    add("--quiet", action="store_true", help="print only errors")
    add("--workers", metavar="N", help="run the program in N processes that share its ports")
    add("--grace", metavar="SECONDS", help="with --workers: time to finish open requests at a reload and at the end; "
                                           "default: the StopGraceSec of the program")
    add("--worker", type=int, help=argparse.SUPPRESS)
    add("--version", action="version", version=microWebSrv.__version__)
    add("--child", action="store_true", help=argparse.SUPPRESS)


def Run(options: argparse.Namespace) -> int:
    if (options.workers, options.worker, options.grace) != (None, None, None):
        return int(import_module("microwebsrv.workers").Run(options))
    what = target.Find(options.folder)
    if options.quiet:
        console.BeQuiet()
    if not options.child:
        address.Check(options.bind, options.port)
    if options.child or options.no_reload:
        Serve(options, what)
    return ServeAndWatch(options, what)
