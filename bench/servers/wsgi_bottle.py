# Bottle on cheroot: wsgi_bottle.py PORT FOLDER
import sys

from bottle import Bottle, SimpleTemplate, request, response, static_file
from cheroot import wsgi

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
PAGE = SimpleTemplate(name="seed.bottle", lookup=[FOLDER + "/templates"])
app = Bottle()


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


@app.get("/hello")
def Hello():
    response.content_type = "text/plain; charset=UTF-8"
    return "Hello, World!"


@app.get("/edit/<id:int>/<path>")
def Edit(id, path):
    response.content_type = "text/plain; charset=UTF-8"
    return "%d %s" % (id, path)


@app.post("/json")
def Json():
    obj = request.json
    return {"hello": obj["name"], "sum": sum(obj["values"])}


@app.post("/form")
def Form():
    form = request.forms
    response.content_type = "text/plain; charset=UTF-8"
    return "%s %s %s" % (form.firstname, form.lastname, form.note)


@app.get("/static/<path:path>")
def Static(path):
    return static_file(path, root=FOLDER + "/www/static")


@app.get("/template")
def Page():
    return PAGE.render(_testFunction=TestFunction)


server = wsgi.Server(("127.0.0.1", PORT), app, numthreads=10, request_queue_size=511)
server.keep_alive_conn_limit = 1000     # default: 10
server.start()
