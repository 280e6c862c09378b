#!/usr/bin/env python3
"""How long a client waits for a response while other connections are idle, slow or hostile.

    python3 bench/bench_waiting.py [--requests 300] [--runtime micropython,cpython]

Each row is one kind of other clients. Requests are sent on a new connection each time, and on a kept one; a wrong or
missing response raises. The times are milliseconds on the client's clock, from connect or send to the last byte.
"""
import argparse
import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from peers import HERE, RUNTIMES, SRC, FindMicroPython, FreePort  # noqa: E402

DEADLINE_SEC = 15

HELLO = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
BIG = b"GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"
BIG_SIZE = 64 << 20


def Connect(port, receiveBuffer=None):
    sock = socket.socket()
    if receiveBuffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receiveBuffer)
    sock.settimeout(DEADLINE_SEC)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def Ask(sock, closes):
    """Read one response to its last byte."""
    sock.sendall(HELLO % (b"Connection: close\r\n" if closes else b""))
    data = b""
    while not data.endswith(b"Hello, World!"):
        piece = sock.recv(65536)
        if not piece:
            raise RuntimeError("closed without a whole answer: %r" % data)
        data += piece
    if not data.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError("a wrong answer: %r" % data)


# -- the other clients -------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def Nobody(port):
    yield


@contextlib.contextmanager
def Held(sockets):
    try:
        yield
    finally:
        for sock in sockets:
            sock.close()


def OneIdle(port):
    """Connected, without sending anything."""
    return Held([Connect(port)])


def ManyIdle(port, count=300):
    """Each was served once and keeps its connection."""
    sockets = [Connect(port) for _ in range(count)]
    for sock in sockets:
        Ask(sock, False)
    return Held(sockets)


def ManySilent(port, count=300):
    """Each is connected without sending anything."""
    return Held([Connect(port) for _ in range(count)])


@contextlib.contextmanager
def Trickle(port, head=HELLO % b"X-Slow: and never to its end"):
    """One byte a second."""
    ended = threading.Event()
    sock = Connect(port)

    def Send():
        for at in range(len(head)):
            try:
                sock.sendall(head[at:at + 1])
            except OSError:         # the server closed the connection
                return
            if ended.wait(1):
                return

    thread = threading.Thread(target=Send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        sock.close()


def NeverReads(port, count=1):
    """Requests 64 MB and reads nothing."""
    sockets = [Connect(port, 4096) for _ in range(count)]
    for sock in sockets:
        sock.sendall(BIG)
        sock.recv(1, socket.MSG_PEEK)
    return Held(sockets)


COMPANY = (
    ("nobody", Nobody),
    ("one idle connection", OneIdle),
    ("300 idle connections", ManyIdle),
    ("300 silent connections", ManySilent),
    ("one byte a second", Trickle),
    ("never reads 64 MB", NeverReads),
    ("30 that never read", lambda port: NeverReads(port, 30)),
)


# -- the measured client -----------------------------------------------------------------------------------------------

def Wait(port, requests, pauseSec=0.0):
    """-> two sorted lists of seconds: on a new connection each time, and on one that is kept."""
    fresh, kept = [], []
    keeper = Connect(port)
    try:
        for _ in range(requests):
            start = time.perf_counter()
            with Connect(port) as sock:
                Ask(sock, True)
            fresh.append(time.perf_counter() - start)
            start = time.perf_counter()
            Ask(keeper, False)
            kept.append(time.perf_counter() - start)
            if pauseSec:
                time.sleep(pauseSec)
    finally:
        keeper.close()
    return sorted(fresh), sorted(kept)


def Measure(port, company, requests, pauseSec=0.0):
    with company(port):
        return Wait(port, requests, pauseSec)


# -- the table -------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def Server(runtime, www):
    command = [FindMicroPython()] if runtime == "micropython" else [sys.executable]
    environment = {**os.environ, "PYTHONPATH": str(SRC), "MICROPYPATH": "%s:.frozen" % SRC}
    port = FreePort()
    process = subprocess.Popen([*command, str(HERE / "servers" / "microwebsrv.py"), str(port), str(www.parent)],
                               env=environment, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        until = time.monotonic() + DEADLINE_SEC
        while True:
            try:
                Connect(port).close()
                break
            except ConnectionRefusedError:
                if time.monotonic() > until:
                    raise
        yield port
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def Main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--runtime", default=",".join(RUNTIMES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        www = pathlib.Path(folder) / "www"
        www.mkdir()
        with open(www / "big.bin", "wb") as file:
            file.truncate(BIG_SIZE)
        print("%-17s %-23s %28s   %28s" % ("", "", "new connection, ms", "kept connection, ms"))
        print("%-17s %-23s" % ("runtime", "beside") + "%10s %8s %8s  " % ("median", "p99", "max") * 2)
        for runtime in options.runtime.split(","):
            for name, company in COMPANY:
                with Server(runtime, www) as port:
                    pauseSec = 0.01 if company is Trickle else 0.0
                    columns = Measure(port, company, options.requests, pauseSec)
                row = ["%10.2f %8.2f %8.2f  " % tuple(times[at] * 1e3 for at in (
                    len(times) // 2, len(times) * 99 // 100, len(times) - 1)) for times in columns]
                print("%-17s %-23s%s" % (runtime, name, "".join(row)))
                sys.stdout.flush()


if __name__ == "__main__":
    Main()
