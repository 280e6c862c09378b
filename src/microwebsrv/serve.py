"""Run the program of a board on this computer, or serve a folder.

    microwebsrv DIR                 runs DIR/main.py, and again when a .py file changes; without one it serves DIR
    microwebsrv push DIR [PORT]     copies the program to a board (microwebsrv push --help)
    microwebsrv check DIR           says what will not run on a board (microwebsrv check --help)

main.py is run as it is: machine, network and other modules of a board have stand-ins, and a page shows the pins. The
folders /flash, /sd and /www of a board are this folder and folders in it. Where main.py only has handlers, the folder
`www` is served, or else the folder itself.
"""

from __future__ import annotations

import argparse
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Awaitable, Callable

import microWebSrv
from microWebSrv import MicroWebSrv
from microwebsrv import desk, pins
from microwebsrv.data import Trouble
from microwebsrv.paths import Paths
from microwebsrv.pins import IsFree
from microwebsrv.world import WORLD

DEFAULT_PORT = 8080
LOOK_SEC = 0.3              # between two looks at the files
SKIPPED = {"__pycache__", "node_modules"}


# -- the process that serves ---------------------------------------------------

class Stage:
    """The class MicroWebSrv as main.py finds it: its servers get a port of ours and our folder."""

    def __init__(self, folder: Path, port: int | None, bindIP: str) -> None:
        self.folder, self.port, self.bindIP = folder, port, bindIP
        self.servers: dict[MicroWebSrv, tuple[int, int]] = {}           # the port of each: ours, that of the program
        self.started: list[MicroWebSrv] = []
        self._construct: Callable[..., None] = MicroWebSrv.__init__
        self._start: Callable[..., None] = MicroWebSrv.Start

    def Open(self) -> None:
        """From now on."""
        stage = self

        def Construct(server: MicroWebSrv, routeHandlers: Any = None, port: int = 80, bindIP: str = "",
                      webPath: Any = "/flash/www") -> None:
            ours = stage.NextPort(port)
            stage._construct(server, routeHandlers, ours, stage.bindIP, stage.Place(webPath))
            server.Banner = False                       # Begin() says it
            stage.servers[server] = ours, port
            if hasattr(server, "Serve"):            # microWebAsync.py has just added it to the class
                setattr(server, "Serve", stage.Serving(server, server.Serve))       # noqa: B010

        def Start(server: MicroWebSrv, threaded: bool = True, stackSize: int = 8192) -> None:
            stage.Begin(server)
            stage._start(server, threaded, stackSize)

        for name, method in (("__init__", Construct), ("Start", Start)):
            setattr(MicroWebSrv, name, method)

    def NextPort(self, wanted: int) -> int:
        """The one that the user chose, and those behind it; else that of the program if it can be had, or the next one
        that is free. Ports below 1024 belong to the system."""
        taken = [ours for ours, _ in self.servers.values()]
        if self.port is not None:
            return self.port + len(taken)
        first = wanted if wanted >= 1024 else DEFAULT_PORT
        free = (port for port in range(first, min(first + 50, 65536))
                if port not in taken and IsFree(port, self.bindIP))
        return next(free, first)

    def Serving(self, server: MicroWebSrv, serve: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def Serve() -> None:
            self.Begin(server)
            await serve()
        return Serve

    def Place(self, webPath: Any) -> Any:
        """A path on the board -> the path here."""
        if webPath == "/flash/www" and not (self.folder / "www").is_dir():
            return str(self.folder)
        return Paths(self.folder).Map(webPath)

    def Begin(self, server: MicroWebSrv) -> None:
        if server not in self.started:
            self.started.append(server)
            ours, wanted = self.servers[server]
            note = "" if ours == wanted or self.port is not None else " (its program says port %d)" % wanted
            print("microwebsrv: http://%s:%d/%s" % (self.bindIP or "127.0.0.1", ours, note), flush=True)


def Watch() -> None:
    """Ends with the process that started us, however that ends: our standard input is its pipe."""
    while os.read(0, 1024):             # not sys.stdin, whose lock a thread must not hold when the program ends
        pass
    os._exit(0)


def ShowPins(port: int | None) -> None:
    """Called when the program uses its first pin."""
    try:
        print("microwebsrv: the pins: http://127.0.0.1:%d/" % pins.Open(port), flush=True)
    except OSError as error:
        print("microwebsrv: no page of pins at port %s: %s" % (port, error), file=sys.stderr, flush=True)


def ServeFolder(folder: Path, program: Path, options: argparse.Namespace, stage: Stage | None = None) -> None:
    """Runs the program, and serves when it did not. Security: a page of somebody else whose name leads to this computer
    gets nothing, unless the program sets AllowedHosts to something else."""
    stage = stage or Stage(folder, options.port, options.bind)
    stage.Open()
    MicroWebSrv.AllowedHosts = ["localhost", *filter(None, [options.bind]), *options.host]
    if program.exists():
        sys.path.insert(0, str(folder / "lib"))
        sys.path.insert(0, str(folder))
        sys.argv = [str(program)]
        if not options.no_pins:
            WORLD.onFirst = lambda: ShowPins(options.pins)
        desk.Install(folder)
        runpy.run_path(str(program), run_name="__main__")
    if not stage.started:
        server = next(iter(stage.servers), None) or MicroWebSrv(port=options.port or DEFAULT_PORT)
        try:
            server.Start(threaded=False)
        except OSError as error:
            sys.exit("microwebsrv: %s" % error)


def Serve(options: argparse.Namespace, folder: Path, program: Path) -> None:
    if options.child:
        threading.Thread(target=Watch, daemon=True).start()
    WORLD.words = [*Words(options, program), "--child" if options.child else "--no-reload"]
    os.chdir(folder)
    ServeFolder(folder, program, options)


def Words(options: argparse.Namespace, program: Path) -> list[str]:
    """The options again, for the process that serves."""
    place = program if options.folder.suffix == ".py" else program.parent
    return [str(place), *(["--port", str(options.port)] if options.port is not None else []), "--bind", options.bind,
            *["--host=" + name for name in options.host], *(["--pins", str(options.pins)] if options.pins else []),
            *(["--no-pins"] if options.no_pins else [])]


# -- the process that watches ----------------------------------------------------

def Stamps(folder: Path) -> dict[str, int]:
    """{path: time of its last change} of the programs below the folder."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name not in SKIPPED
                      and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))]
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(place, name)
                try:
                    found[path] = os.stat(path).st_mtime_ns
                except OSError:
                    pass                        # gone again
    return found


class Watcher:
    """Runs a command, and again when a file has changed."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.folder, self.command = folder, command
        self.stamps = Stamps(folder)
        self.process = self.Begin()

    def Begin(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command, stdin=subprocess.PIPE, cwd=self.folder)

    def End(self) -> None:
        """A server has time to say good-bye."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()

    def Run(self) -> None:
        told = False
        while True:
            time.sleep(LOOK_SEC)
            stamps = Stamps(self.folder)
            if stamps != self.stamps:
                changed = sorted(path for path in {*stamps, *self.stamps} if stamps.get(path) != self.stamps.get(path))
                print("microwebsrv: %s has changed" % os.path.relpath(changed[0], self.folder), flush=True)
                self.End()
                self.stamps, self.process, told = stamps, self.Begin(), False
            elif self.process.poll() is not None and not told:
                told = True
                print("microwebsrv: the program has ended; it is run again when a file changes", flush=True)


def Terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def ServeAndWatch(options: argparse.Namespace, folder: Path, program: Path) -> None:
    signal.signal(signal.SIGTERM, Terminated)
    watcher = Watcher(folder, [sys.executable, "-m", "microwebsrv", *Words(options, program), "--child"])
    try:
        watcher.Run()
    finally:
        watcher.End()


def Port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 65536:
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535, not %s" % text)
    if not port:
        with socket.create_server(("", 0)) as free:
            port = free.getsockname()[1]
    return port


def Parser(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", nargs="?", type=Path, default=Path("."), metavar="DIR",
        help="the folder of a program, or the program; default: this folder")
    add("--port", type=Port, help="default: that of the program, or %d; 0: one that is free" % DEFAULT_PORT)
    add("--bind", default="127.0.0.1", metavar="ADDRESS",
        help="default: 127.0.0.1, this computer only; '' is all addresses")
    add("--host", action="append", default=[], metavar="NAME",
        help="one more name under which browsers may ask, beside localhost and addresses")
    add("--pins", type=Port, metavar="PORT", help="of the page of pins, which is for this computer only; default: 8090")
    add("--no-pins", action="store_true", help="no page that shows the pins")
    add("--no-reload", action="store_true", help="don't watch the files")
    add("--workers", metavar="N", help="run the program in N processes that share its ports")
    add("--grace", metavar="SECONDS", help="with --workers, what is in flight has so long at a reload and at the end; "
                                           "default: the StopGraceSec of the program")
    add("--worker", type=int, help=argparse.SUPPRESS)
    add("--version", action="version", version=microWebSrv.__version__)
    add("--child", action="store_true", help=argparse.SUPPRESS)


def Run(options: argparse.Namespace) -> int:
    if (options.workers, options.worker, options.grace) != (None, None, None):
        return int(import_module("microwebsrv.workers").Run(options))
    folder = options.folder.resolve()
    isProgram = folder.suffix == ".py" and folder.is_file()
    if not isProgram and not folder.is_dir():
        raise Trouble("%s is not a folder" % options.folder, 2)
    program = folder if isProgram else folder / "main.py"
    (Serve if options.child or options.no_reload else ServeAndWatch)(options, program.parent, program)
    return 0
