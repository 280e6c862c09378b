# Microdot, on both runtimes: microdot_.py PORT FOLDER
import sys

from microdot import Microdot, Response, send_file
from microdot.websocket import with_websocket

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
if sys.implementation.name == "micropython":
    import os
    from microdot.utemplate import Template
    PAGE = "seed.tpl"
    os.chdir(FOLDER)                # utemplate imports the compiled template as templates.seed_tpl
    sys.path.insert(0, FOLDER)
    Template.initialize("templates")
else:
    from microdot.jinja import Template
    PAGE = "seed.html"
    Template.initialize(FOLDER + "/templates")
Response.default_content_type = "text/plain; charset=UTF-8"
app = Microdot()


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


@app.get("/hello")
async def Hello(request):
    return "Hello, World!"


@app.get("/edit/<int:id>/<path>")
async def Edit(request, id, path):
    return "%d %s" % (id, path)


@app.post("/json")
async def Json(request):
    obj = request.json
    return {"hello": obj["name"], "sum": sum(obj["values"])}


@app.post("/form")
async def Form(request):
    form = request.form
    return "%s %s %s" % (form["firstname"], form["lastname"], form["note"])


@app.get("/static/<path:path>")
async def Static(request, path):
    if ".." in path:
        return "Not found", 404
    return send_file(FOLDER + "/www/static/" + path)


@app.get("/template")
async def Page(request):
    # utemplate takes positional arguments, Jinja2 takes keyword arguments
    if PAGE == "seed.tpl":
        text = Template(PAGE).render(TestFunction)
    else:
        text = Template(PAGE).render(_testFunction=TestFunction)
    return text, 200, {"Content-Type": "text/html; charset=UTF-8"}


@app.get("/echo")
@with_websocket
async def Echo(request, ws):
    while True:
        await ws.send(await ws.receive())


app.run("127.0.0.1", PORT)
