# Granian's own interface RSGI without a framework, one worker: granian_rsgi.py PORT FOLDER
import json
import os
import sys
from urllib.parse import parse_qsl

import jinja2
from granian.rsgi import WebsocketMessageType

FOLDER = os.environ.get("BENCH_FOLDER") or sys.argv[2]
PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER + "/templates"), autoescape=True)
TEXT = [("content-type", "text/plain; charset=utf-8")]
JSON = [("content-type", "application/json")]
HTML = [("content-type", "text/html; charset=utf-8")]


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


async def Hello(scope, protocol):
    protocol.response_str(200, TEXT, "Hello, World!")


async def Edit(scope, protocol):
    _, _, number, path = scope.path.split("/")
    protocol.response_str(200, TEXT, "%d %s" % (int(number), path))


async def Json(scope, protocol):
    obj = json.loads(await protocol())
    protocol.response_str(200, JSON, json.dumps({"hello": obj["name"], "sum": sum(obj["values"])}))


async def Form(scope, protocol):
    form = dict(parse_qsl((await protocol()).decode()))
    protocol.response_str(200, TEXT, "%s %s %s" % (form["firstname"], form["lastname"], form["note"]))


async def Page(scope, protocol):
    protocol.response_str(200, HTML, PAGES.get_template("seed.html").render(_testFunction=TestFunction))


async def Echo(scope, protocol):
    transport = await protocol.accept()
    while True:
        message = await transport.receive()
        if message.kind == WebsocketMessageType.string:
            await transport.send_str(message.data)
        elif message.kind == WebsocketMessageType.bytes:
            await transport.send_bytes(message.data)
        else:
            break
    protocol.close()


async def Other(scope, protocol):
    protocol.response_str(404, TEXT, "not found")


FIXED = {("GET", "/hello"): Hello, ("POST", "/json"): Json, ("POST", "/form"): Form, ("GET", "/template"): Page,
         ("GET", "/echo"): Echo}


def app(scope, protocol):
    method, path = scope.method, scope.path
    handler = FIXED.get((method, path))
    if not handler:
        handler = Edit if method == "GET" and path.startswith("/edit/") and path.count("/") == 3 else Other
    return handler(scope, protocol)


if __name__ == "__main__":
    from pathlib import Path

    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    os.environ["BENCH_FOLDER"] = FOLDER
    # Granian sends files without calling Python.
    Granian("granian_rsgi:app", address="127.0.0.1", port=int(sys.argv[1]), workers=1, interface=Interfaces.RSGI,
            http=HTTPModes.http1, loop=Loops.uvloop, log_access=False, log_enabled=False,
            static_path_route=["/static"], static_path_mount=[Path(FOLDER, "www", "static")]).serve()
