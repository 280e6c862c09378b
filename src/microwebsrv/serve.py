"""Serve a folder: its files, its .pyhtml pages, and the routes and WebSockets of its main.py.

main.py is run as it is, as a board runs it; when a .py file below the folder changes, it is run again. Where it makes a
server, that one serves, at the port given here; the folder /flash of a board is this folder. Without a main.py, and
where it only has handlers, the folder `www` in it is served, or else the folder itself.
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
from pathlib import Path
from types import FrameType
from typing import Any, Awaitable, Callable

import microWebSrv
from microWebSrv import MicroWebSrv
from microwebsrv.data import Trouble

LOOK_SEC = 0.3              # between two looks at the files
SKIPPED = {"__pycache__", "node_modules"}


# -- the process that serves ---------------------------------------------------

class Stage:
    """The class MicroWebSrv as main.py finds it: its servers get our port and our folder."""

    def __init__(self, folder: Path, port: int, bindIP: str) -> None:
        self.folder, self.port, self.bindIP = folder, port, bindIP
        self.servers: list[MicroWebSrv] = []
        self.started: list[MicroWebSrv] = []
        self._construct: Callable[..., None] = MicroWebSrv.__init__
        self._start: Callable[..., None] = MicroWebSrv.Start

    def Open(self) -> None:
        """From now on."""
        stage = self

        def Construct(server: MicroWebSrv, routeHandlers: Any = None, port: int = 80, bindIP: str = "",
                      webPath: Any = "/flash/www") -> None:
            stage._construct(server, routeHandlers, stage.port, stage.bindIP, stage.Place(webPath))
            server.Banner = False                       # Begin() says it
            stage.servers.append(server)
            stage.port += 1
            if hasattr(server, "Serve"):            # microWebAsync.py has just added it to the class
                setattr(server, "Serve", stage.Serving(server, server.Serve))       # noqa: B010

        def Start(server: MicroWebSrv, threaded: bool = True, stackSize: int = 8192) -> None:
            stage.Begin(server)
            stage._start(server, threaded, stackSize)

        for name, method in (("__init__", Construct), ("Start", Start)):
            setattr(MicroWebSrv, name, method)

    def Serving(self, server: MicroWebSrv, serve: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def Serve() -> None:
            self.Begin(server)
            await serve()
        return Serve

    def Place(self, webPath: Any) -> Any:
        """A path on the board -> the path here."""
        if webPath == "/flash/www" and not (self.folder / "www").is_dir():
            return str(self.folder)
        if isinstance(webPath, str) and (webPath + "/").startswith("/flash/"):
            return str(self.folder) + webPath[6:]
        return webPath

    def Begin(self, server: MicroWebSrv) -> None:
        if server not in self.started:
            self.started.append(server)
            port = self.port - len(self.servers) + self.servers.index(server)
            print("microwebsrv: http://%s:%d/" % (self.bindIP or "127.0.0.1", port), flush=True)


def Watch() -> None:
    """Ends with the process that started us, however that ends: our standard input is its pipe."""
    while os.read(0, 1024):             # not sys.stdin, whose lock a thread must not hold when the program ends
        pass
    os._exit(0)


def ServeFolder(folder: Path, port: int, bindIP: str, hosts: list[str]) -> None:
    """Runs main.py, and serves when it did not. Security: a page of somebody else whose name leads to this computer
    gets nothing, unless main.py sets AllowedHosts to something else."""
    stage = Stage(folder, port, bindIP)
    stage.Open()
    MicroWebSrv.AllowedHosts = ["localhost", *filter(None, [bindIP]), *hosts]
    program = folder / "main.py"
    if program.exists():
        sys.path.insert(0, str(folder))
        sys.argv = [str(program)]
        runpy.run_path(str(program), run_name="__main__")
    if not stage.started:
        server = stage.servers[0] if stage.servers else MicroWebSrv()
        try:
            server.Start(threaded=False)
        except OSError as error:
            sys.exit("microwebsrv: %s" % error)


def Serve(options: argparse.Namespace, folder: Path) -> None:
    if options.child:
        threading.Thread(target=Watch, daemon=True).start()
    os.chdir(folder)
    ServeFolder(folder, options.port, options.bind, options.host)


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


def ServeAndWatch(options: argparse.Namespace, folder: Path) -> None:
    signal.signal(signal.SIGTERM, Terminated)
    watcher = Watcher(folder, [sys.executable, "-m", "microwebsrv", str(folder), "--port", str(options.port),
                               "--bind", options.bind, *["--host=" + name for name in options.host], "--child"])
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
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), metavar="DIR", help="default: this folder")
    parser.add_argument("--port", type=Port, default=8080, help="default: 8080; 0: one that is free")
    parser.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS",
                        help="default: 127.0.0.1, this computer only; '' is all addresses")
    parser.add_argument("--host", action="append", default=[], metavar="NAME",
                        help="one more name under which browsers may ask, beside localhost and addresses")
    parser.add_argument("--no-reload", action="store_true", help="don't watch the files")
    parser.add_argument("--version", action="version", version=microWebSrv.__version__)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)


def Run(options: argparse.Namespace) -> int:
    folder = options.folder.resolve()
    if not folder.is_dir():
        raise Trouble("%s is not a folder" % options.folder, 2)
    (Serve if options.child or options.no_reload else ServeAndWatch)(options, folder)
    return 0
