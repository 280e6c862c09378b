# Exceptions of handlers, hooks and callbacks are raised in the test.

import sys
from checks import MICROPYTHON, Make, Ok, Raises, Route, said
from microWebSrv import MicroWebSrv
from microWebTestClient import TestClient


@Route("/fail")
def Fail(httpClient, httpResponse):
    raise ValueError("on purpose")


@Route("/late")
def Late(httpClient, httpResponse):
    def Pieces():
        yield "a" * 2000
        raise ValueError("in the stream")
    httpResponse.WriteResponseStream(Pieces(), "text/plain")


@Route("/exit")
def Exit(httpClient, httpResponse):
    sys.exit(3)


@Route("/threaded", threaded=True)
def Threaded(httpClient, httpResponse):
    raise KeyError("in a thread")


@Route("/hooked/a")
@Route("/fine")
def Fine(httpClient, httpResponse):
    Ok(httpResponse, "fine")


def Hook(httpClient, httpResponse):
    raise LookupError("in a hook")


@MicroWebSrv.webSocketRoute("/ws")
def Accept(webSocket, httpClient):
    def Fails(webSocket, msg):
        raise ValueError("in a callback")
    webSocket.RecvTextCallback = Fails


def Talk():
    with client.WebSocket("/ws") as ws:
        ws.SendText("a")
        ws.Receive()


mws = Make()
mws.Before(Hook, "/hooked")
own = mws.ErrorCallback
with TestClient(mws) as client:
    try:
        client.Get("/fail")
    except ValueError as error:
        if MICROPYTHON:
            import io
            out = io.StringIO()
            sys.print_exception(error, out)
            assert "in Fail" in out.getvalue(), out.getvalue()
        else:
            import traceback
            assert "in Fail" in "".join(traceback.format_tb(error.__traceback__))
    assert said[0][0] == "GET /fail" and said[0][1] is client.errors[0], said    # the program's own log gets it, too
    assert client.Get("/fine").text == "fine"
    assert Raises(ValueError, client.Get, "/late") == "in the stream"
    assert Raises(SystemExit, client.Get, "/exit") == "3"
    assert "in a thread" in Raises(KeyError, client.Get, "/threaded")
    assert Raises(LookupError, client.Get, "/hooked/a") == "in a hook"
    assert Raises(ValueError, Talk) == "in a callback"
    assert len(client.errors) == len(said) == 6, said
    client.raiseErrors = False
    del client.errors[:]
    assert client.Get("/fail").code == 500
    assert client.Get("/hooked/a").code == 500
    assert client.Get("/threaded").code == 500
    assert "closed the connection before the content" in Raises(OSError, client.Get, "/late")
    assert [str(error) for error in client.errors][:2] == ["on purpose", "in a hook"] and len(client.errors) == 4
    response = client.Get("/late", stream=True)
    client.raiseErrors = True
    assert client.Get("/fine").text == "fine"
assert mws.ErrorCallback is own
