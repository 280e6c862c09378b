"""Redis and NATS for the tests: each with a new socket or port and folder; can be killed and restarted."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import harness


class _Daemon:
    """A broker process; `with Redis() as broker:` ends it."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="mws"))      # short, because the path of a unix socket has at most 107 bytes
        self._process = None
        try:
            self.Start()
        except BaseException:
            self.Close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.Close()

    def Start(self):
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.Command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + harness.DEADLINE_SEC
        while not self.Answers():
            assert self._process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.01)

    def Kill(self):
        """End it without a shutdown, as if the power failed."""
        self._process.kill()
        self._process.wait()

    def Freeze(self):
        """Stop it: it answers nothing, but its connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def Thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def Close(self):
        if self._process:
            self.Kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(_Daemon):
    """redis-server on a unix socket, without persistence."""

    def __init__(self, *options):
        self._options = options
        super().__init__()

    def Command(self):
        (self.folder / "socket").unlink(missing_ok=True)
        return [harness.FindTool("redis-server"), "--port", "0", "--unixsocket", str(self.folder / "socket"), "--save", "",
                "--appendonly", "no", *self._options]

    @property
    def url(self):
        return "unix://%s" % (self.folder / "socket")

    def Answers(self):
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(str(self.folder / "socket"))
                sock.sendall(b"PING\r\n")
                return sock.recv(100).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False


class Nats(_Daemon):
    """nats-server on a loopback port."""

    port = None

    def Command(self):
        self.port = self.port or harness.FreePorts(1)[0]
        return [shutil.which("nats-server") or "/usr/sbin/nats-server", "-a", "127.0.0.1", "-p", str(self.port)]

    @property
    def url(self):
        return "nats://127.0.0.1:%d" % self.port

    def Answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                return sock.recv(4) == b"INFO"
        except OSError:
            return False


BROKERS = {"redis": Redis, "nats": Nats}
