# Robyn, one process, one worker: robyn_.py PORT FOLDER --log-level=ERROR --disable-openapi
import sys
from urllib.parse import parse_qsl

import jinja2
from robyn import Headers, Response, Robyn

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER + "/templates"), autoescape=True)
HTML = Headers({"Content-Type": "text/html; charset=utf-8"})
app = Robyn(__file__)
app.serve_directory("/static", FOLDER + "/www/static")


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


@app.get("/hello")
def Hello(request):
    return "Hello, World!"


@app.get("/edit/:id/:path")
def Edit(request):
    values = request.path_params
    return "%d %s" % (int(values["id"]), values["path"])


@app.post("/json")
def Json(request):
    obj = request.json()
    return {"hello": obj["name"], "sum": sum(obj["values"])}


@app.post("/form")
def Form(request):
    form = dict(parse_qsl(request.body if isinstance(request.body, str) else bytes(request.body).decode()))
    return "%s %s %s" % (form["firstname"], form["lastname"], form["note"])


@app.get("/template")
def Page(request):
    return Response(200, HTML, PAGES.get_template("seed.html").render(_testFunction=TestFunction))


@app.websocket("/echo")
async def Echo(ws):
    while True:
        await ws.send_text(await ws.receive_text())


if __name__ == "__main__":
    app.start(host="127.0.0.1", port=PORT)
