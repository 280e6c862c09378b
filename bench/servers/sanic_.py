# Sanic, one process: sanic_.py PORT FOLDER
import sys

import jinja2
from sanic import Sanic, response

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER + "/templates"), autoescape=True)
app = Sanic("bench", configure_logging=False)
app.config.ACCESS_LOG = False
app.static("/static", FOLDER + "/www/static")


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


@app.get("/hello")
async def Hello(request):
    return response.text("Hello, World!")


@app.get("/edit/<id:int>/<path>")
async def Edit(request, id, path):
    return response.text("%d %s" % (id, path))


@app.post("/json")
async def Json(request):
    obj = request.json
    return response.json({"hello": obj["name"], "sum": sum(obj["values"])})


@app.post("/form")
async def Form(request):
    form = request.form
    return response.text("%s %s %s" % (form.get("firstname"), form.get("lastname"), form.get("note")))


@app.get("/template")
async def Page(request):
    return response.html(PAGES.get_template("seed.html").render(_testFunction=TestFunction))


@app.websocket("/echo")
async def Echo(request, ws):
    async for message in ws:
        await ws.send(message)


if __name__ == "__main__":
    app.run("127.0.0.1", PORT, single_process=True, motd=False, access_log=False, debug=False, backlog=2048)
