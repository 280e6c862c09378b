# The programs of bench_http.py on MicroWebSrv: microwebsrv.py PORT WWW
import sys

from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/hello")
def Hello(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "Hello, World!")


@MicroWebSrv.route("/edit/<id>/<path>")
def Edit(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "%d %s" % (routeArgs["id"], routeArgs["path"]))


@MicroWebSrv.route("/json")
def Json(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk({"message": "Hello, World!", "values": [1, 2, 3], "ok": True})


@MicroWebSrv.route("/form", "POST")
def Form(httpClient, httpResponse):
    form = httpClient.ReadRequestPostedFormData()
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8",
                                 "%s %s %s" % (form["firstname"], form["lastname"], form["note"]))


mws = MicroWebSrv(port=int(sys.argv[1]), bindIP="127.0.0.1", webPath=sys.argv[2])
print("READY", sys.argv[1], **({} if sys.implementation.name == "micropython" else {"flush": True}))
mws.Start(threaded=False)
