"""The command `microwebsrv` as a process, for tests."""

import os
import re
import signal
import socket
import subprocess
import sys

import harness

ENV = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "BROWSER")}
ENV.update(PYTHONPATH=str(harness.SRC), PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1", PYTHONUTF8="1")


def Run(*words, cwd=None, preexec=None, timeoutSec=harness.DEADLINE_SEC):
    """Run the command to its end. Return its output and its status."""
    return subprocess.run([sys.executable, "-m", "microwebsrv", *map(str, words)], cwd=cwd, env=ENV, capture_output=True, text=True,
                          encoding="utf-8", stdin=subprocess.DEVNULL, preexec_fn=preexec, timeout=timeoutSec)


class Desk:
    """The command as a process. A test can wait for its lines."""

    def __init__(self, *words, cwd=None, env=(), stdout=subprocess.PIPE):
        self.process = subprocess.Popen([sys.executable, "-m", "microwebsrv", *map(str, words)], cwd=cwd, env={**ENV, **dict(env)}, text=True,
                                        encoding="utf-8", stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.out = harness.Output(self.process.stdout or os.fdopen(os.dup(stdout[0]), encoding="utf-8"))
        self.err = harness.Output(self.process.stderr)
        self.mark = 0

    def Line(self, pattern):
        found = self.out.Wait(pattern, self.mark, harness.DEADLINE_SEC)
        assert found, "no %r in\n%s\n%s" % (pattern, self.out.text, self.err.text)
        self.mark = found.end()
        return found

    def Error(self, pattern):
        found = self.err.Wait(pattern, 0, harness.DEADLINE_SEC)
        assert found, "no %r in\n%s" % (pattern, self.err.text)
        return found

    def Port(self):
        """Return the port. The line with the port must come only when the server listens."""
        port = int(self.Line(r"^microwebsrv: http://127\.0\.0\.1:(\d+)/").group(1))
        socket.create_connection(("127.0.0.1", port), harness.DEADLINE_SEC).close()
        return port

    def Pins(self):
        return int(self.Line(r"^microwebsrv: the pins: http://127\.0\.0\.1:(\d+)/$").group(1))

    def Logged(self, pattern):
        """Wait for the next line of the log with this status, and return its fields."""
        return re.split("  ", self.Line(r"^\d\d:\d\d:\d\d  .*  %s  .*$" % pattern).group())

    def End(self, number=signal.SIGINT):
        self.process.send_signal(number)
        code = self.process.wait(harness.DEADLINE_SEC)
        self.err.Join(harness.DEADLINE_SEC)
        return code

    def Close(self):
        self.process.terminate()
        try:
            self.process.wait(harness.DEADLINE_SEC)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.out.Join(harness.DEADLINE_SEC)
        self.err.Join(harness.DEADLINE_SEC)
