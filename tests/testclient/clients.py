# Several clients, their addresses; a server that runs, was stopped, or is full. No port is used.

import socket
import sys
from checks import Ok, Raises, Route
from microWebSrv import MicroWebSrv
from microWebTestClient import TestClient


@Route("/who")
def Who(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([httpClient.GetAddr(), httpClient.IsSecure(), httpClient.GetRequestHeaders()["host"]])


@Route("/stop")
def Stop(httpClient, httpResponse):
    Ok(httpResponse, "bye")
    mws.Stop()


@Route("/wait")
def Wait(httpClient, httpResponse):
    httpResponse.WriteResponseStream(Waiting(), "text/plain")


class Waiting:
    def __iter__(self):
        return self

    def __next__(self):
        return None


taken = socket.socket()
taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
address = socket.getaddrinfo("127.0.0.1", int(sys.argv[1]))[0][-1]
taken.bind(address)
taken.listen(1)
mws = MicroWebSrv(port=int(sys.argv[1]), bindIP="127.0.0.1")
mws.Banner = False
assert Raises(OSError, mws.Start)               # no port is opened here
a = TestClient(mws)
b = TestClient(mws, addr=("192.168.0.7", 5000), isSecure=True, host="board.local", headers={"X-A": "1"})
if sys.implementation.name != "micropython":
    import signal
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL       # it still ends the test runner
for _ in range(2):
    assert a.Get("/who").GetJSON() == [["127.0.0.1", 50000], False, "localhost"]
    assert b.Get("/who").GetJSON() == [["192.168.0.7", 5000], True, "board.local"]
assert mws.IsStarted() and mws.GetPort() == int(sys.argv[1])
assert "a TestClient has this server" in Raises(RuntimeError, mws.Start)
assert "a TestClient has this server" in Raises(RuntimeError, mws.Serve)
a.Close()
a.Close()
assert "closed" in Raises(RuntimeError, a.Get, "/who")
assert b.Get("/who").code == 200
b.Close()
assert not mws.IsStarted()
taken.close()
mws.port = 0
mws.Start()
assert "this server runs" in Raises(RuntimeError, TestClient, mws)
mws.Stop()
with TestClient(mws) as client:
    assert client.Get("/who").code == 200 and mws.port
    assert client.Get("/stop").text == "bye"
    assert "stopped" in Raises(RuntimeError, client.Get, "/who")
with TestClient(mws) as client:
    mws.Stop()
    assert "it has not come, and the server was stopped" in Raises(RuntimeError, client.WaitFor, lambda: False, "it")
    assert "stopped" in Raises(RuntimeError, client.Get, "/who")
mws.Start()
mws.Stop()
mws.MaxConnections = 2
with TestClient(mws) as client:
    streams = [client.Get("/wait", stream=True) for _ in range(2)]
    assert client.Get("/who").code == 503
    streams[0].Close()
    assert client.Get("/who").code == 200
    assert client.Get("/who").headers.get("connection") == "close"      # the last slot is not kept alive
    streams[1].Close()
    assert "connection" not in client.Get("/who").headers
    mws.AllowedHosts = ["board.local"]
    client.host = "evil.example"
    assert client.Get("/who").code == 421
other = MicroWebSrv(port=0)
with TestClient(mws, host="board.local") as client, TestClient(other, host="board.local") as second:
    assert client.Get("/who").code == second.Get("/who").code == 200
mws.MaxConnections = 3
with TestClient(mws, host="board.local") as a, TestClient(mws, host="board.local") as b, TestClient(mws, host="board.local") as c:
    for client in (a, b):
        assert "connection" not in client.Get("/who").headers
    mws.MaxConnections = 2
    assert c.Get("/who").code == a.Get("/who").code == 200      # an idle connection makes room
