# Falcon on Granian, one worker: falcon_.py PORT FOLDER wsgi|asgi
import os
import sys

import falcon
import falcon.asgi
import jinja2

FOLDER = os.environ.get("BENCH_FOLDER") or sys.argv[2]
PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER + "/templates"), autoescape=True)


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


def _Text(response, text):
    response.content_type = falcon.MEDIA_TEXT
    response.text = text


class Hello:
    def on_get(self, request, response):
        _Text(response, "Hello, World!")


class Edit:
    def on_get(self, request, response, id, path):
        _Text(response, "%d %s" % (id, path))


class Json:
    def on_post(self, request, response):
        obj = request.media
        response.media = {"hello": obj["name"], "sum": sum(obj["values"])}


class Form:
    def on_post(self, request, response):
        form = request.media
        _Text(response, "%s %s %s" % (form["firstname"], form["lastname"], form["note"]))


class Page:
    def on_get(self, request, response):
        response.content_type = falcon.MEDIA_HTML
        response.text = PAGES.get_template("seed.html").render(_testFunction=TestFunction)


class Echo:
    async def on_get(self, request, response):
        response.status = 426

    async def on_websocket(self, request, ws):
        try:
            await ws.accept()
            while True:
                await ws.send_text(await ws.receive_text())
        except falcon.WebSocketDisconnected:
            pass


app = falcon.App()
app.add_route("/hello", Hello())
app.add_route("/edit/{id:int}/{path}", Edit())
app.add_route("/json", Json())
app.add_route("/form", Form())
app.add_route("/template", Page())
app.add_static_route("/static", FOLDER + "/www/static")

asgi = falcon.asgi.App()
asgi.add_route("/echo", Echo())

if __name__ == "__main__":
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    os.environ["BENCH_FOLDER"] = FOLDER
    wsgi = sys.argv[3] == "wsgi"
    Granian("falcon_:app" if wsgi else "falcon_:asgi", address="127.0.0.1", port=int(sys.argv[1]), workers=1,
            interface=Interfaces.WSGI if wsgi else Interfaces.ASGI, http=HTTPModes.http1, websockets=not wsgi,
            loop=Loops.auto if wsgi else Loops.uvloop, log_access=False, log_enabled=False).serve()
