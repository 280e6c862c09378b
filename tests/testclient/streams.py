# Streams, event streams, and the properties of a response.

from checks import Make, Raises, Route
from microWebEvents import MicroWebEvents
from microWebTestClient import TestClient, TimeoutError

events = MicroWebEvents()


@Route("/events")
def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(events)


@Route("/numbers")
def Numbers(httpClient, httpResponse):
    httpResponse.WriteResponseStream(("%d" % i * 1024 for i in range(4)), "text/plain")


@Route("/old")
def Old(httpClient, httpResponse):
    httpResponse.WriteResponseStream(iter(["a: b\n", "c\n", ":x\n", "\n", ":only\n\n", "data: 1\ndata: 2\nid:3\n\ndata: cut"]), "text/plain")


@Route("/json")
def Json(httpClient, httpResponse):
    httpResponse.WriteResponseOk([("X-A", "1"), ("x-a", "2")], "application/json", "UTF-8", '{"a": "\u00e9"}')


with TestClient(Make()) as client:
    first = client.Get("/events", stream=True)
    with TestClient(client.server, addr=("10.0.0.2", 2)) as other:
        second = other.Get("/events", stream=True)
        events.Send({"t": 21}, "reading", id=7)
        events.Send("two\nlines")
        for stream in (first, second):
            assert stream.headers["content-type"] == "text/event-stream"
            assert stream.ReadEvent() == {"id": "7", "event": "reading", "data": '{"t": 21}'}
            assert stream.ReadEvent() == {"data": "two\nlines"}
    client.timeoutSec = 0.05
    Raises(TimeoutError, first.ReadEvent)
    events.Send("again")
    assert first.ReadEvent() == {"data": "again"}           # the time-out lost nothing
    client.timeoutSec = 5
    assert client.Get("/json").GetJSON() == {"a": "\u00e9"}    # on another connection
    first.Close()
    assert Raises(StopIteration, next, first) == ""
    client.window = 65536
    stream = client.Get("/numbers", stream=True)
    assert [piece[:1] for piece in stream.pieces] == [b"0", b"1", b"2", b"3"] and stream.content == b""
    stream = client.Get("/numbers", stream=True)
    next(stream)
    assert len(stream.content) == 3072 and len(stream.text) == 3072
    stream = client.Get("/old", stream=True)
    assert [stream.ReadEvent() for _ in range(3)] == [{"a": "b", "c": ""}, {"data": "1\n2", "id": "3"}, None]
    headers = client.Get("/json").headers
    assert headers.get("X-A") == "1, 2" and headers.GetList("x-a") == ["1", "2"] and "X-B" not in headers
    assert headers.get("none") is None and headers.get("none", "x") == "x" and "None" in Raises(KeyError, lambda: headers["None"])
    assert ("Content-Length", "11") in headers.items() and "X-A" in list(headers)
    assert client.Get("/json").reason == "OK" and client.Get("/json").location is None
