# MicroWebSrv, on both runtimes: microwebsrv.py PORT FOLDER
import sys

from microWebSrv import MicroWebSrv

PORT, WWW = int(sys.argv[1]), sys.argv[2] + "/www"


@MicroWebSrv.route("/hello")
def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "Hello, World!")


@MicroWebSrv.route("/edit/<id>/<path>")
def Edit(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "%d %s" % (routeArgs["id"], routeArgs["path"]))


@MicroWebSrv.route("/json", "POST")
def Json(httpClient, httpResponse):
    obj = httpClient.ReadRequestContentAsJSON()
    httpResponse.WriteResponseJSONOk({"hello": obj["name"], "sum": sum(obj["values"])})


@MicroWebSrv.route("/form", "POST")
def Form(httpClient, httpResponse):
    form = httpClient.ReadRequestPostedFormData()
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8",
                                 "%s %s %s" % (form["firstname"], form["lastname"], form["note"]))


@MicroWebSrv.route("/template")
def Template(httpClient, httpResponse):
    httpResponse.WriteResponsePyHTMLFile(WWW + "/template.pyhtml")


def OnAccept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, msg: webSocket.SendText(msg)
    webSocket.RecvBinaryCallback = lambda webSocket, data: webSocket.SendBinary(data)


mws = MicroWebSrv(port=PORT, bindIP="127.0.0.1", webPath=WWW)
mws.MaxWebSocketRecvLen = 1 << 16
mws.WebSocketThreaded = False
mws.AcceptWebSocketCallback = OnAccept
print("READY", PORT, **({} if sys.implementation.name == "micropython" else {"flush": True}))
mws.Start(threaded=False)
