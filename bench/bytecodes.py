#!/usr/bin/env python3
"""Count the bytecodes that each function of our server executes on CPython for one request.

    python3 bench/bytecodes.py                          hello, WebSocket 64 B and 4 KB
    python3 bench/bytecodes.py --works json --source dist

bench/instructions.py counts the instructions of the processor, but it sees only the functions of the interpreter. This
program sees the Python functions. It counts the calls and the bytecodes of each one, without those of the functions
that it calls. The counts are exact. Many connections send requests at the same time, so the cost of poll for each
request is small.
"""
import argparse
import collections
import contextlib
import io
import os
import pathlib
import runpy
import socket
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True
import instructions  # noqa: E402
import peers  # noqa: E402
from works import WORKS, MakeFolder  # noqa: E402


class Counter:
    """A trace function that counts the calls of each function and the bytecodes that the function itself executes."""

    def __init__(self):
        self.Clear()

    def Clear(self):
        self.calls, self.codes = collections.Counter(), collections.Counter()

    def OnCall(self, frame, event, argument):
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        self.calls[frame.f_code] += 1
        return self.OnCode

    def OnCode(self, frame, event, argument):
        if event == "opcode":
            self.codes[frame.f_code] += 1
        return self.OnCode


def Name(code):
    return "%s, %s" % (getattr(code, "co_qualname", code.co_name), pathlib.Path(code.co_filename).name)


def Await(port):
    until = time.monotonic() + peers.START_SEC
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def Ask(port, work, counter, options):
    """Warm up, count, print, and end the process, because a server does not end by itself."""
    try:
        Await(port)
        each = options.requests // options.connections
        isClosing = work.mode == "close"
        for _ in range(2):              # the first pass does not count
            counter.Clear()
            for _ in range(each if isClosing else 1):
                instructions.Ask(port, work, 1 if isClosing else each, options.connections)
            calls, codes = counter.calls.copy(), counter.codes.copy()
        Print(work, calls, codes, each * options.connections, options.top)
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    sys.__stdout__.flush()
    os._exit(0)


def Print(work, calls, codes, requests, top):
    total = sum(codes.values())
    print("\n%s: %.0f bytecodes and %.1f calls of Python functions for each request" % (
        work.title, total / requests, sum(calls.values()) / requests), file=sys.__stdout__)
    for code, count in codes.most_common(top):
        print("%8.1f  %4.1f %%  %5.2f calls  %s" % (
            count / requests, 100 * count / total, calls[code] / requests, Name(code)), file=sys.__stdout__)


def Measure(work, options, folder):
    """Count in a new process, where the server runs in the main thread."""
    pid = os.fork()
    if pid:
        if os.waitpid(pid, 0)[1]:
            sys.exit("could not count %s" % work.title)
        return
    port, counter = peers.FreePort(), Counter()
    program = peers.HERE / "servers" / peers.PEERS[peers.OURS].program
    sys.argv[1:] = [str(port), str(folder)]
    sys.path.insert(0, str(options.source))

    threading.Thread(target=Ask, args=(port, work, counter, options), daemon=True).start()
    sys.settrace(counter.OnCall)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # its banner
            runpy.run_path(str(program), run_name="__main__")
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(1)


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", default="hello,ws64,ws4k")
    parser.add_argument("--source", type=pathlib.Path, default=peers.SRC, help="folder of the server's files")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--top", type=int, default=20, help="number of functions in the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        MakeFolder(pathlib.Path(name))
        for work in options.works.split(","):
            sys.stdout.flush()
            Measure(WORKS[work], options, name)


if __name__ == "__main__":
    Main()
