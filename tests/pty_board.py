"""A board on a serial line, for tests: MicroPython's REPL and raw REPL on a pseudo terminal. Code is run by the unix port, with a
folder as the file system. A soft reset starts a new interpreter; Ctrl-C sends SIGINT."""

import os
import pty
import select
import signal
import subprocess
import threading
import tty

import harness

SHELL = harness.ON_DEVICE / "board_shell.py"
RAW = b"raw REPL; CTRL-B to exit\r\n>"
FRIENDLY = b"\r\nMicroPython on the desk of a test\r\n>>> "
START = """
for name in %r:
    try:
        file = open(name)
    except OSError:
        continue
    with file:
        text = file.read()
    exec(compile(text, name, "exec"), {"__name__": "__main__", "__file__": name})
"""


class PtyBoard:
    """`port` is the device, `folder` its file system. All output is also collected in `said`."""

    def __init__(self, folder, **options):
        self.folder, self.options = folder, options
        self.said = b""
        self.resets = 0
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._isRaw, self._text = False, b""
        self._isBusy, self._isMute = False, options.pop("isMute", False)
        self._isClosing = False
        self._process = None
        self._Boot()
        self._Command(START % (("boot.py", "main.py"),), self._Prompt)
        self._thread = threading.Thread(target=self._Serve, daemon=True)
        self._thread.start()

    def Close(self):
        self._isClosing = True
        self._thread.join(harness.DEADLINE_SEC)
        self._Halt()
        os.close(self._master)
        os.close(self._slave)

    def _Say(self, data):
        self.said += data
        os.write(self._master, data)

    def _Boot(self):
        self._Halt()
        self.resets += 1
        command, env = harness.Command("micropython", SHELL, (), args=(repr(self.options),))
        self._process = subprocess.Popen(command, env=env, cwd=self.folder, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        self._parts = 0                         # number of the two marks received so far

    def _Halt(self):
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None

    def _Command(self, text, done):
        self._isBusy, self._done, self._parts = True, done, 0
        text = text.encode() if isinstance(text, str) else text
        self._process.stdin.write(b"%d\n" % len(text) + text)

    def _Prompt(self):
        self._Say(RAW if self._isRaw else b">>> ")

    def _Serve(self):
        while not self._isClosing:
            waiting = [self._master, self._process.stdout] if self._process else [self._master]
            for one in select.select(waiting, [], [], 0.05)[0]:
                if one == self._master:
                    for byte in os.read(self._master, 4096):
                        self._OnKey(bytes((byte,)))
                elif self._process and one is self._process.stdout:
                    self._OnOutput(os.read(one.fileno(), 4096))

    def _OnOutput(self, data):
        if not data:                            # the interpreter has ended
            self._Halt()
            return
        parts = data.split(b"\x04")
        for index, part in enumerate(parts):
            self._Say(part.replace(b"\n", b"\r\n")) if part else None
            if index < len(parts) - 1:
                self._parts += 1
                if self._reply:
                    self._Say(b"\x04")
                if self._parts == 2:
                    self._isBusy = False
                    self._done()

    _reply = False

    def _OnKey(self, key):
        if self._isMute:
            return
        if key == b"\x03":
            if self._isBusy:
                self._process.send_signal(signal.SIGINT)
            return
        if self._isBusy and not self._isRaw:
            self._AfterProgram(key)
        elif self._isRaw:
            self._OnRawKey(key)
        else:
            self._OnFriendlyKey(key)

    def _AfterProgram(self, key):
        """Handle a key typed while a program was running, after the program has ended."""
        done = self._done

        def Then():
            done()
            self._OnKey(key)
        self._done = Then

    def _OnFriendlyKey(self, key):
        if key == b"\x01":
            self._isRaw, self._text = True, b""
            self._Say(RAW)
        elif key == b"\x02":
            self._Say(FRIENDLY)
        elif key == b"\x04":
            self._Say(b"\r\nMPY: soft reboot\r\n")
            self._Boot()
            self._reply = False
            self._Command(START % (("boot.py", "main.py"),), self._Prompt)

    def _OnRawKey(self, key):
        if key == b"\x02":
            self._isRaw = False
            self._Say(FRIENDLY)
        elif key == b"\x01" and not self._text.startswith(b"\x05"):
            self._text = b""
            self._Say(RAW)
        elif self._text == b"\x05A" and key == b"\x01":
            self._text = b""
            self._Say(b"R\x00")                 # raw paste is not supported
        elif key == b"\x04" and not self._text.strip():
            self._Say(b"OK\r\nMPY: soft reboot\r\n")
            self._text = b""
            self._Boot()
            self._reply = False
            self._Command(START % (("boot.py",),), self._Prompt)
        elif key == b"\x04":
            text, self._text, self._reply = self._text, b"", True
            self._Say(b"OK")
            self._Command(text, lambda: self._Say(b">"))
        else:
            self._text += key if key != b"\r" or self._text.strip() else b""
