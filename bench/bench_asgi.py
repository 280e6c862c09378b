#!/usr/bin/env python3
"""CPU time for each request behind an ASGI server: ours against Starlette on the same one, in one run.

    .venv/bin/python bench/bench_asgi.py [--rounds 5] [--seconds 1] [--works hello,args,json,form,ws64]
        [--fronts uvicorn,granian]

In each round all applications are measured in turn; a cell is the median of the rounds' ratios to Starlette with async
handlers. The time of the ASGI server itself is part of both. The client of run.py checks each response.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile

sys.dont_write_bytecode = True
from peers import Peer, Server  # noqa: E402
from run import Client, MakeClient  # noqa: E402
from works import WORKS, MakeFolder  # noqa: E402

BASE = "starlette"
APPS = ("ours", "ours-async", "ours-threads", "starlette-def")


def Main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--works", default="hello,args,json,form,ws64")
    parser.add_argument("--fronts", default="uvicorn,granian")
    parser.add_argument("--apps", default=",".join(APPS))
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    apps = (BASE, *options.apps.split(","))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        MakeFolder(folder)
        client = Client(MakeClient(folder), folder)
        for front in options.fronts.split(","):
            servers = {}
            try:
                for app in apps:
                    peer = Peer("%s-%s" % (front, app), app, "asgi_pair.py", args=(front, app))
                    servers[app] = Server(peer, "cpython", options, folder)
                Table(front, apps, servers, client, options)
            finally:
                for server in servers.values():
                    server.Stop()


def Table(front, apps, servers, client, options):
    print("%s: CPU for each request, %s = 1 (in brackets: its microseconds)" % (front, BASE))
    for app in apps:                        # the first one needs more time, so it is not counted
        client.Run(servers[app].port, WORKS["hello"], options.connections, options.seconds, servers[app].Cpu)
    for work in options.works.split(","):
        rounds = []
        for _ in range(options.rounds):
            cells = {}
            for app in apps:
                server = servers[app]
                figures = client.Run(server.port, WORKS[work], options.connections, options.seconds, server.Cpu)
                assert figures["requests"] and not figures["errors"], (app, work, figures)
                cells[app] = figures["cpuSec"] / figures["requests"]
            rounds.append(cells)
        ratios = {app: statistics.median(cells[app] / cells[BASE] for cells in rounds) for app in apps}
        print("  %-6s (%5.1f)  %s" % (work, statistics.median(cells[BASE] for cells in rounds) * 1e6,
                                    "  ".join("%s %.2f" % (app, ratios[app]) for app in apps[1:])), flush=True)


if __name__ == "__main__":
    Main()
