# WebSockets: the handshake, messages, pings, the end.

import time
from checks import Make
from microWebSrv import MicroWebSrv
from microWebTestClient import TestClient, WebSocketRefused

closed = []


@MicroWebSrv.webSocketRoute("/chat/<room>")
def Accept(webSocket, httpClient, args):
    webSocket.room = args["room"]
    webSocket.RecvTextCallback = OnText
    webSocket.ClosedCallback = lambda webSocket: closed.append((webSocket.CloseCode, webSocket.CloseReason))


def OnText(webSocket, msg):
    if msg == "all":
        return mws.Broadcast("to all")
    if msg == "ping":
        return webSocket.Ping(b"?")
    webSocket.SendText("%s: %s" % (webSocket.room, msg))


mws = Make()
mws.WebSocketProtocols = ("v2", "v1")
for threaded in (False, True):
    mws.WebSocketThreaded = threaded
    del closed[:]
    with TestClient(mws) as client:
        try:
            client.WebSocket("/nowhere")
        except WebSocketRefused as error:
            assert error.response.code == 404 and str(error) == "the server has answered 404, not 101"
            error.response.Close()
        try:
            client.WebSocket("/chat/a", headers={"Origin": "http://evil.example"})
        except WebSocketRefused as error:
            assert error.response.code == 403 and "403" in error.response.text
        with client.WebSocket("/chat/tea", protocols=("v1", "v3")) as ws, client.WebSocket("/chat/2") as other:
            ws.SendText("x" * 200)
            other.SendText("b")
            assert other.Receive() == "2: b" and ws.Receive() == "tea: " + "x" * 200
            assert ws.protocol in (None, "v1") and other.protocol is None
            ws.SendText("all")
            assert ws.Receive() == other.Receive() == "to all"
            ws.SendText("one")
            ws.SendText("two")
            assert ws.Ping() == b"" and ws.Ping(b"p") == b"p"       # messages that come meanwhile are kept
            assert ws.Receive() == "tea: one" and ws.Receive() == "tea: two"
            ws.SendText("ping")
            ws.SendText("after")
            assert ws.Receive() == "tea: after"
            ws.Close(4001, "done")
            assert (ws.closeCode, ws.closeReason) == (4001, "done") and ws.Receive() is None
        client.WaitFor(lambda: len(closed) == 2)
        assert sorted(closed) == [(1000, ""), (4001, "done")], closed
        del closed[:]
        ws = client.WebSocket("/chat/1")
        ws.Abort()
        client.WaitFor(lambda: closed)
        assert closed.pop() == (1006, "") and ws.Receive() is None and ws.closeCode == 1006
        ws = client.WebSocket("/chat/1")
        ws.SendFrame(0x83, b"no such opcode")
        assert ws.Receive() is None and ws.closeCode == 1002
        client.WaitFor(lambda: closed)
        del closed[:]
        ws = client.WebSocket("/chat/1")
    for _ in range(500):
        if not closed:                          # a thread reports it
            time.sleep(0.01)
    assert closed == [(1006, "")], closed       # its client was closed
