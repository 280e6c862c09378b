# MicroWebSrv and Starlette behind the same ASGI server: asgi_pair.py PORT FOLDER uvicorn|granian APP, see App()
import sys

PORT, FOLDER, FRONT, APP = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]


def Ours(isAsync, isThreaded):
    from microWebSrv import MicroWebSrv

    mws = MicroWebSrv()
    mws.WebSocketThreaded = False
    mws.AsgiThreaded = isThreaded

    def Hello(c, r):
        r.WriteResponseOk(None, "text/plain", "UTF-8", "Hello, World!")

    async def HelloAsync(c, r):
        r.WriteResponseOk(None, "text/plain", "UTF-8", "Hello, World!")

    def Edit(c, r, args):
        r.WriteResponseOk(None, "text/plain", "UTF-8", "%d %s" % (args["id"], args["path"]))

    async def EditAsync(c, r, args):
        r.WriteResponseOk(None, "text/plain", "UTF-8", "%d %s" % (args["id"], args["path"]))

    def Json(c, r):
        obj = c.ReadRequestContentAsJSON()
        r.WriteResponseJSONOk({"hello": obj["name"], "sum": sum(obj["values"])})

    async def JsonAsync(c, r):
        obj = await c.ReadRequestContentAsJSON()
        r.WriteResponseJSONOk({"hello": obj["name"], "sum": sum(obj["values"])})

    def Form(c, r):
        form = c.ReadRequestPostedFormData()
        r.WriteResponseOk(None, "text/plain", "UTF-8", "%s %s %s" % (form["firstname"], form["lastname"], form["note"]))

    async def FormAsync(c, r):
        form = await c.ReadRequestPostedFormData()
        r.WriteResponseOk(None, "text/plain", "UTF-8", "%s %s %s" % (form["firstname"], form["lastname"], form["note"]))

    for path, method, pair in (("/hello", "GET", (Hello, HelloAsync)), ("/edit/<id>/<path>", "GET", (Edit, EditAsync)),
                               ("/json", "POST", (Json, JsonAsync)), ("/form", "POST", (Form, FormAsync))):
        mws.AddRoute(path, method, pair[isAsync])

    async def OnTextAsync(webSocket, msg):
        webSocket.SendText(msg)

    def OnAccept(webSocket, httpClient):
        webSocket.RecvTextCallback = OnTextAsync if isAsync else lambda webSocket, msg: webSocket.SendText(msg)

    mws.AcceptWebSocketCallback = OnAccept
    return mws.Asgi()


def Starlette(isPlain):
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, PlainTextResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocketDisconnect

    async def Hello(request):
        return PlainTextResponse("Hello, World!")

    def HelloPlain(request):
        return PlainTextResponse("Hello, World!")

    async def Edit(request):
        return PlainTextResponse("%d %s" % (request.path_params["id"], request.path_params["path"]))

    def EditPlain(request):
        return PlainTextResponse("%d %s" % (request.path_params["id"], request.path_params["path"]))

    async def Json(request):
        obj = await request.json()
        return JSONResponse({"hello": obj["name"], "sum": sum(obj["values"])})

    async def Form(request):
        form = await request.form()
        return PlainTextResponse("%s %s %s" % (form["firstname"], form["lastname"], form["note"]))

    async def Echo(ws):
        await ws.accept()
        try:
            while True:
                await ws.send_text(await ws.receive_text())
        except WebSocketDisconnect:
            pass

    return Starlette(routes=[
        Route("/hello", HelloPlain if isPlain else Hello),
        Route("/edit/{id:int}/{path}", EditPlain if isPlain else Edit),
        Route("/json", Json, methods=["POST"]), Route("/form", Form, methods=["POST"]), WebSocketRoute("/echo", Echo)])


def App():
    return {"ours": lambda: Ours(False, False), "ours-async": lambda: Ours(True, False),
            "ours-threads": lambda: Ours(False, True), "starlette": lambda: Starlette(False),
            "starlette-def": lambda: Starlette(True)}[APP]()


if __name__ == "__main__":
    if FRONT == "granian":
        from granian.server import Server
        Server("asgi_pair:App", "127.0.0.1", PORT, interface="asgi", workers=1, factory=True, log_enabled=False).serve()
    else:
        import uvicorn
        uvicorn.run(App(), host="127.0.0.1", port=PORT, loop="uvloop", log_level="error", access_log=False,
                    backlog=2048, ws_per_message_deflate=False)
