# Advance moves deadlines, sessions, cookies, login delays and pings, without waiting.

import time
from checks import Make, Ok, Raises, Route, said
import microWebSession
from microWebAuth import HashPassword, Protect
from microWebEvents import MicroWebEvents
from microWebSession import MemoryStore, UseSessions
from microWebSrv import MicroWebSrv
from microWebTestClient import TestClient, TimeoutError

events = MicroWebEvents(pingSec=15)


@Route("/n")
def N(httpClient, httpResponse):
    session = httpClient.GetSession()
    session["n"] = session.get("n", 0) + 1
    httpResponse.WriteResponseJSONOk(session["n"])


@Route("/cookie")
def Cookie(httpClient, httpResponse):
    httpResponse.SetCookie("short", "1", 10)
    Ok(httpResponse, "")


@Route("/events")
def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(events)


@Route("/in/a")
def In(httpClient, httpResponse):
    Ok(httpResponse, httpClient.GetUser())


@MicroWebSrv.webSocketRoute("/ws")
def Accept(webSocket, httpClient):
    webSocket.ClosedCallback = lambda webSocket: said.append(webSocket.CloseCode)


started = time.time()
for store in (None, MemoryStore()):
    mws = Make()
    UseSessions(mws, maxAgeSec=3600, store=store)
    Protect(mws, "/in", {"ada": HashPassword("engine", 10)}, "basic")
    with TestClient(mws) as client:
        assert client.Get("/n").text == "1" and client.Get("/n").text == "2"
        client.Advance(1700)                    # less than half of the cookie's lifetime is left, so it is renewed
        assert client.Get("/n").text == "3"
        client.Advance(3500)
        assert client.Get("/n").text == "4"
        client.Advance(3601)
        assert client.Get("/n").text == "1"
        old = client.GetCookies()["session"]
        client.Advance(3601)
        client.SetCookie("session", old)        # the server does not rely on the browser
        assert client.Get("/n").text == "1"
        client.Get("/cookie")
        assert client.GetCookies()["short"] == "1"
        client.Advance(11)
        assert "short" not in client.GetCookies()


mws.WebSocketPingSec = 30
mws.WebSocketThreaded = False
with TestClient(mws) as client:
    assert client.Get("/in/a").code == 401
    wrong = {"Authorization": "Basic YWRhOng="}
    codes = [client.Get("/in/a", headers=wrong).code for _ in range(12)]
    assert codes[0] == 401 and codes[-1] == 429, codes
    right = {"Authorization": "Basic YWRhOmVuZ2luZQ=="}
    assert client.Get("/in/a", headers=right).code == 429
    with TestClient(mws, addr=("192.168.0.9", 1)) as other:
        assert other.Get("/in/a", headers=right).text == "ada"
    client.Advance(600)
    assert client.Get("/in/a", headers=right).text == "ada"
    stream = client.Get("/events", stream=True)
    assert Raises(TimeoutError, client.WaitFor, lambda: False, "it", 0.05) == "it has not come within 0.05 s"
    client.Advance(15)
    assert next(stream.pieces) == b":\n\n"
    stream.Close()
    ws = client.WebSocket("/ws")                # it answers no ping, because it does not wait
    client.Advance(31)
    assert not said
    client.Advance(31)
    assert said == [1006], said
    assert ws.Receive() is None and ws.closeCode == 1006
    assert client.Get("/n").code == 200
    client.Advance(mws.KeepAliveTimeoutSec + 2)
    assert client.Get("/n").code == 200         # on another connection
assert time.time() - started < 60
assert abs(microWebSession.time.time() - time.time()) < 5      # the clock is the real one again
