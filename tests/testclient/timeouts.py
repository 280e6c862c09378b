# A missing response or message raises a TimeoutError that names it, and nothing is lost. Async and threaded handlers.

import asyncio
import time
from checks import Make, Ok, Raises, Route, said
from microWebSrv import MicroWebSrv
from microWebTestClient import TestClient, TimeoutError


@Route("/never")
async def Never(httpClient, httpResponse):
    await asyncio.sleep(100)


@Route("/half")
def Half(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Pieces(), "text/plain")


class Pieces:
    def __iter__(self):
        self.left = 1
        return self

    def __next__(self):
        self.left -= 1
        return "a" * 1000 if self.left == 0 else None


@Route("/blocked", threaded=True)
def Blocked(httpClient, httpResponse):
    while not said:
        time.sleep(0.01)
    Ok(httpResponse, "at last")


@MicroWebSrv.webSocketRoute("/ws")
def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = lambda webSocket, msg: webSocket.SendText(msg)


@Route("/fine")
async def Fine(httpClient, httpResponse):
    await asyncio.sleep(0.01)
    Ok(httpResponse, "fine")


def Background():
    async def Later():
        await asyncio.sleep(0.05)
        said.append("later")
    return asyncio.create_task(Later())


@Route("/background")
async def Start(httpClient, httpResponse):
    httpClient.GetServer().task = Background()
    Ok(httpResponse, "begun")


mws = Make()
with TestClient(mws, timeoutSec=0.2) as client:
    assert Raises(TimeoutError, client.Get, "/never?x=1") == "GET /never?x=1: the head has not come within 0.2 s"
    assert Raises(TimeoutError, client.Get, "/half") == "GET /half: the content has not come within 0.2 s"
    stream = client.Get("/half", stream=True)
    assert len(next(stream)) == 1000
    for _ in range(2):
        assert Raises(TimeoutError, next, stream) == "GET /half: the content has not come within 0.2 s"
    stream.Close()
    assert Raises(TimeoutError, client.Get, "/blocked") == "GET /blocked: the head has not come within 0.2 s"
    client.timeoutSec = 10
    with client.WebSocket("/ws") as ws:
        client.timeoutSec = 0.2
        assert Raises(TimeoutError, ws.Receive) == "GET /ws: the message has not come within 0.2 s"
        client.timeoutSec = 10
        ws.SendText("a")
        assert ws.Receive() == "a"
    said.append(1)
    assert client.Get("/blocked").text == "at last"
    assert client.Get("/fine").text == "fine"
    del said[:]
    assert client.Get("/background").text == "begun"
    assert not said
    assert client.WaitFor(lambda: said) == ["later"]
    client.timeoutSec = 0.2
    Raises(TimeoutError, client.Get, "/never")
with TestClient(mws) as client:
    assert client.Get("/fine").text == "fine"
