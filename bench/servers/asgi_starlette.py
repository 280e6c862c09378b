# Starlette on Uvicorn: asgi_starlette.py PORT FOLDER httptools|h11
import sys

import jinja2
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocketDisconnect

PORT, FOLDER, HTTP = int(sys.argv[1]), sys.argv[2], sys.argv[3]
PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER + "/templates"), autoescape=True)


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


async def Hello(request):
    return PlainTextResponse("Hello, World!")


async def Edit(request):
    return PlainTextResponse("%d %s" % (request.path_params["id"], request.path_params["path"]))


async def Json(request):
    obj = await request.json()
    return JSONResponse({"hello": obj["name"], "sum": sum(obj["values"])})


async def Form(request):
    form = await request.form()
    return PlainTextResponse("%s %s %s" % (form["firstname"], form["lastname"], form["note"]))


async def Page(request):
    return HTMLResponse(PAGES.get_template("seed.html").render(_testFunction=TestFunction))


async def Echo(ws):
    await ws.accept()
    try:
        while True:
            await ws.send_text(await ws.receive_text())
    except WebSocketDisconnect:
        pass


app = Starlette(routes=[
    Route("/hello", Hello),
    Route("/edit/{id:int}/{path}", Edit),
    Route("/json", Json, methods=["POST"]),
    Route("/form", Form, methods=["POST"]),
    Route("/template", Page),
    WebSocketRoute("/echo", Echo),
    Mount("/static", StaticFiles(directory=FOLDER + "/www/static")),
])
uvicorn.run(app, host="127.0.0.1", port=PORT, http=HTTP, loop="uvloop" if HTTP == "httptools" else "asyncio",
            log_level="error", access_log=False, backlog=2048, lifespan="off", ws_per_message_deflate=False)
