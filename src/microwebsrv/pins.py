"""The page of pins: shows the state of the stand-ins live, and changes it by clicks. For this computer only."""

from __future__ import annotations

import json
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from microwebsrv.world import WORLD

PAGE = Path(__file__).with_name("pins.html")
PORTS = range(8090, 8100)
PAUSE_SEC = 0.05                    # between two updates; a LED strip may change faster
ALIVE_SEC = 10                      # a comment is sent after this time, to notice a closed page
REQUEST_MAX = 1000
SECURITY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                                       "connect-src 'self'; img-src data:; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class Handler(BaseHTTPRequestHandler):
    """GET / sends the page, GET /live server-sent events with each change, POST /change carries a click."""

    def _IsAllowed(self) -> bool:
        """Security: refuses requests from pages of other origins, and other host names (DNS rebinding)."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        isOurs = re.fullmatch(r"(localhost|127\.0\.0\.1)(:\d+)?", host) is not None
        return isOurs and origin in (None, "http://" + host)

    def _Answer(self, code: int, content: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(code)
        for name, value in {**SECURITY, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        if not self._IsAllowed():
            self._Answer(403)
        elif self.path == "/":
            self._Answer(200, PAGE.read_bytes(), "text/html; charset=UTF-8")
        elif self.path == "/live":
            self._Live()
        else:
            self._Answer(404)

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        isJson = self.headers.get("Content-Type") == "application/json"
        if self.path != "/change" or not self._IsAllowed() or not isJson:
            return self._Answer(403)
        if not size.isdigit() or int(size) > REQUEST_MAX:
            return self._Answer(413)
        try:
            said: Any = json.loads(self.rfile.read(int(size)))
            isDone = WORLD.Change(str(said["kind"]), str(said["name"]), float(said["value"]))
        except (ValueError, TypeError, KeyError):
            return self._Answer(400)
        self._Answer(204 if isDone else 404)

    def _Live(self) -> None:
        self.send_response(200)
        for name, value in {**SECURITY, "Content-Type": "text/event-stream"}.items():
            self.send_header(name, value)
        self.end_headers()
        seen, last = -1, ""
        try:
            while True:
                seen = WORLD.Next(seen, 1 if self._HasSine() else ALIVE_SEC)
                text = json.dumps(WORLD.Shown())
                self.wfile.write(b": \n\n" if text == last else b"data: %s\n\n" % text.encode())
                last = text
                time.sleep(PAUSE_SEC)
        except OSError:                         # the page was closed
            pass

    def _HasSine(self) -> bool:
        return any(pin.mode == "adc" and pin.analog is None for pin in list(WORLD.pins.values()))

    def log_message(self, format: str, *args: Any) -> None:
        """No log: the terminal belongs to the program."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A closed connection is not an error."""


def Open(port: int | None) -> int:
    """Start to serve the page -> port. OSError if the given port can't be bound."""
    for one in [port] if port else [*PORTS, 0]:
        try:
            server = Server(("127.0.0.1", one), Handler)
        except OSError:
            if port:
                raise
            continue
        Thread(target=server.serve_forever, daemon=True, name="pins").start()
        return int(server.server_address[1])
    raise OSError("there is no free port")
