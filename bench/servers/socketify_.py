# socketify, one process: socketify_.py PORT FOLDER
import sys

import jinja2
from socketify import App, AppListenOptions, CompressOptions

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER + "/templates"), autoescape=True)
# Objects that are created in advance, which saves instructions for each request.
app = App(None, request_response_factory_max_items=1000, websocket_factory_max_items=1000)


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


def Hello(response, request):
    response.send("Hello, World!")


def Edit(response, request):
    response.send("%d %s" % (int(request.get_parameter(0)), request.get_parameter(1)))


# socketify's C++ keeps only a weak reference to a response that waits for its content. Without this set the response is
# collected, and the process ends with "ffi.from_handle() detected that the address passed points to garbage".
waiting = set()


async def Json(response, request):
    waiting.add(response)
    obj = await response.get_json()
    waiting.discard(response)
    response.cork_end({"hello": obj["name"], "sum": sum(obj["values"])})


async def Form(response, request):
    waiting.add(response)
    form = await response.get_form_urlencoded()
    waiting.discard(response)
    response.cork_end("%s %s %s" % (form["firstname"], form["lastname"], form["note"]))


def Static(response, request):
    # app.static reads pieces of 16 KB and takes three to four times as long.
    name = request.get_parameter(0)
    if "/" in name or name.startswith(".."):
        response.send("not found", status=404)
        return
    with open(FOLDER + "/www/static/" + name, "rb") as file:
        response.send(file.read())


def Page(response, request):
    response.send(PAGES.get_template("seed.html").render(_testFunction=TestFunction), b"text/html; charset=utf-8")


app.get("/hello", Hello)
app.get("/edit/:id/:path", Edit)
app.post("/json", Json)
app.post("/form", Form)
app.get("/static/:name", Static)
app.get("/template", Page)
app.ws("/echo", {"compression": CompressOptions.DISABLED, "max_payload_length": 1 << 16, "idle_timeout": 120,
                 "message": lambda ws, message, opcode: ws.send(message, opcode)})
app.listen(AppListenOptions(port=PORT, host="127.0.0.1"))
app.run()
