# A stream is pulled as the client reads, so back-pressure is visible. Responses that end with the connection, uploads
# in pieces.

from checks import Make, Ok, Raises, Route, said
from microWebSrv import MicroWebSrv
from microWebTestClient import TestClient

pulled = []


@Route("/endless")
def Endless(httpClient, httpResponse):
    def Pieces():
        try:
            while True:
                pulled.append(1)
                yield b"p" * 2000
        finally:
            said.append("closed")
    httpResponse.WriteResponseStream(Pieces(), "text/plain")


@Route("/raw")
def Raw(httpClient, httpResponse):
    httpResponse.WriteResponseOk()
    try:
        for _ in range(100):
            httpResponse._write("x" * 1000)
    except OSError:
        said.append("cut")


@Route("/hello")
def Hello(httpClient, httpResponse):
    Ok(httpResponse, "hello")


@Route("/bare")
def Bare(httpClient, httpResponse):
    httpResponse._write("HTTP/1.1 200 OK\r\n\r\nuntil the end")


@Route("/short")
def Short(httpClient, httpResponse):
    httpResponse._write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")


@Route("/up", "POST")
def Up(httpClient, httpResponse):
    Ok(httpResponse, "%d" % len(httpClient.ReadRequestContent()))


@Route("/last")
def Last(httpClient, httpResponse):
    httpResponse.OnSent(lambda: said.append("sent"))
    Ok(httpResponse, "last")


@MicroWebSrv.webSocketRoute("/flood")
def Accept(webSocket, httpClient):
    def Flood(webSocket, msg):
        while webSocket.SendText("x" * 1000):
            pulled.append(1)
    webSocket.RecvTextCallback = Flood
    webSocket.ClosedCallback = lambda webSocket: said.append(webSocket.CloseCode)


mws = Make()
mws.WebSocketThreaded = False
mws.MaxSendQueueLen = 5000
mws.MaxWebSocketSendQueueLen = 5000
with TestClient(mws, window=3000) as client:
    stream = client.Get("/endless", stream=True)
    assert len(pulled) == 2, pulled             # one in the window and a part of the second
    for _ in range(4):
        count = len(pulled)
        assert client.Get("/hello").text == "hello"     # others are served, and nothing is pulled
        assert len(pulled) == count, pulled
        while len(pulled) == count:
            next(stream)
        assert len(pulled) <= count + 2, pulled
    assert not said
    stream.Close()
    stream.Close()
    assert said == ["closed"]
    del said[:], pulled[:]
    assert len(client.Get("/raw").content) == 100000    # a client that reads to the end is never too slow
    assert not said
    client.raiseErrors = False
    stream = client.Get("/raw", stream=True)
    assert said == ["cut"], said                # one that reads nothing is
    assert "closed the connection before the content" in Raises(OSError, lambda: stream.content)
    del said[:]
    ws = client.WebSocket("/flood")
    ws.SendText("go")
    assert 5 < len(pulled) < 12, (pulled, said)
    client.raiseErrors = True
    while ws.closeCode is None:
        ws.Receive()
    assert ws.closeCode == 1008 and said == [1008], (ws.closeCode, said)
    del said[:]
    client.window = 65536
    assert client.Get("/bare").text == "until the end"
    assert "before the content" in Raises(OSError, client.Get, "/short")
    assert client.Post("/up", content=(b"abc" for _ in range(1000))).text == "3000"
    assert client.Get("/last").text == "last"
    assert said == ["sent"], said
    stream = client.Get("/endless", stream=True)
del said[0]
assert said == ["closed"]
