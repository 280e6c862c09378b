# aiohttp: aiohttp_.py PORT FOLDER
import asyncio
import sys

import jinja2
import uvloop
from aiohttp import WSMsgType, web

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER + "/templates"), autoescape=True)


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


async def Hello(request):
    return web.Response(text="Hello, World!")


async def Edit(request):
    return web.Response(text="%d %s" % (int(request.match_info["id"]), request.match_info["path"]))


async def Json(request):
    obj = await request.json()
    return web.json_response({"hello": obj["name"], "sum": sum(obj["values"])})


async def Form(request):
    form = await request.post()
    return web.Response(text="%s %s %s" % (form["firstname"], form["lastname"], form["note"]))


async def Page(request):
    text = PAGES.get_template("seed.html").render(_testFunction=TestFunction)
    return web.Response(text=text, content_type="text/html")


async def Echo(request):
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    async for msg in ws:
        if msg.type == WSMsgType.TEXT:
            await ws.send_str(msg.data)
        elif msg.type == WSMsgType.BINARY:
            await ws.send_bytes(msg.data)
    return ws


app = web.Application()
app.router.add_get("/hello", Hello)
app.router.add_get(r"/edit/{id:\d+}/{path}", Edit)
app.router.add_post("/json", Json)
app.router.add_post("/form", Form)
app.router.add_get("/template", Page)
app.router.add_get("/echo", Echo)
app.router.add_static("/static", FOLDER + "/www/static")
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
web.run_app(app, host="127.0.0.1", port=PORT, print=None, access_log=None, backlog=2048)
