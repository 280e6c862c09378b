# MicroWebSrv for bench/growth.py, on both runtimes: growth.py PORT FOLDER [ROUTES [MEMO [MAX]]]
# ROUTES: number of additional routes. MEMO: with "forgets" the server keeps no heads. MAX: limit of connections.
import gc
import sys
import time

from microWebSrv import MicroWebSrv

PORT, WWW = int(sys.argv[1]), sys.argv[2] + "/www"
ROUTES = int(sys.argv[3]) if len(sys.argv) > 3 else 0
FORGETS = len(sys.argv) > 4 and sys.argv[4] == "forgets"
MAX = int(sys.argv[5]) if len(sys.argv) > 5 else 100000
MICROPYTHON = sys.implementation.name == "micropython"


def Hello(httpClient, httpResponse, routeArgs=None):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "Hello, World!")


def Memory(httpClient, httpResponse):
    """Answer with the used heap on MicroPython. On CPython the benchmark reads the memory from /proc."""
    gc.collect()
    gc.collect()
    heap = gc.mem_alloc() if MICROPYTHON else 0
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", str(heap))


def Registered(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", str(registered))


def Broadcast(httpClient, httpResponse):
    mws.Broadcast("x" * 64)
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "sent")


def Rows(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponsePyHTMLFile(WWW + "/rows.pyhtml", vars={"count": routeArgs["count"]})


def OnAccept(webSocket, httpClient):
    webSocket.RecvTextCallback = OnText


def OnText(webSocket, msg):
    webSocket.SendText(msg)


def Clock():
    """Return the CPU time of this process in microseconds, or 0 on MicroPython."""
    return 0 if MICROPYTHON else int(time.process_time() * 1e6)


mws = MicroWebSrv([("/hello", "GET", Hello), ("/memory", "GET", Memory), ("/registered", "GET", Registered),
                   ("/broadcast", "GET", Broadcast), ("/rows/<count>", "GET", Rows)],
                  port=PORT, bindIP="127.0.0.1", webPath=WWW)
begin = Clock()
for number in range(ROUTES // 2):
    mws.AddRoute("/place/%d" % number, "GET", Hello)
    mws.AddRoute("/thing/%d/<id>/<name>" % number, "GET", Hello)
registered = Clock() - begin
mws.MaxConnections = MAX
mws.HeadTimeoutSec = mws.KeepAliveTimeoutSec = mws.SendTimeoutSec = 600
mws.WebSocketPingSec = 600
mws.WebSocketThreaded = False
mws.AcceptWebSocketCallback = OnAccept
if FORGETS:
    mws.memoLen = 0
mws.Start(threaded=False)
