# BlackSheep (ASGI) on Granian, one worker: blacksheep_.py PORT FOLDER
import os
import sys

import jinja2
from blacksheep import Application, Request, Router, WebSocket, WebSocketDisconnectError
from blacksheep.server.responses import html, json, text

FOLDER = os.environ.get("BENCH_FOLDER") or sys.argv[2]
PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER + "/templates"), autoescape=True)
app = Application(router=Router())
app.serve_files(FOLDER + "/www/static", root_path="static")
get, post, ws = app.router.get, app.router.post, app.router.ws


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


@get("/hello")
async def Hello(request: Request):
    return text("Hello, World!")


@get("/edit/{int:id}/{path}")
async def Edit(request: Request):
    values = request.route_values
    return text("%d %s" % (int(values["id"]), values["path"]))


@post("/json")
async def Json(request: Request):
    obj = await request.json()
    return json({"hello": obj["name"], "sum": sum(obj["values"])})


@post("/form")
async def Form(request: Request):
    form = await request.form()
    return text("%s %s %s" % (form["firstname"], form["lastname"], form["note"]))


@get("/template")
async def Page(request: Request):
    return html(PAGES.get_template("seed.html").render(_testFunction=TestFunction))


@ws("/echo")
async def Echo(websocket: WebSocket):
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnectError:
        pass


if __name__ == "__main__":
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    os.environ["BENCH_FOLDER"] = FOLDER
    Granian("blacksheep_:app", address="127.0.0.1", port=int(sys.argv[1]), workers=1, interface=Interfaces.ASGI,
            http=HTTPModes.http1, loop=Loops.uvloop, log_access=False, log_enabled=False).serve()
