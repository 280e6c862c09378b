# uhttp-server, on both runtimes: uhttp_.py PORT FOLDER
import select
import sys

import uhttp.server as uhttp
from uhttp.server import HttpServer

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
TEXT = {"content-type": "text/plain; charset=UTF-8"}
# The default limits, 32 clients, 8 waiting ones and 100 requests for each connection, are meant for boards.
LIMITS = {"max_waiting_clients": 512, "listen": 128, "keep_alive_max_requests": 1 << 30, "event_mode": True}


class Select:
    @staticmethod
    def select(read, write, _, timeout):
        poll = select.poll()
        for sock in read:
            poll.register(sock, select.POLLIN)
        for sock in write:
            poll.register(sock, select.POLLIN | select.POLLOUT if sock in read else select.POLLOUT)
        readable, writable = [], []
        for sock, event in poll.poll(int(timeout * 1000)):
            if event & ~select.POLLOUT:
                readable.append(sock)
            if event & select.POLLOUT:
                writable.append(sock)
        return readable, writable, []


def MakeServer():
    if sys.implementation.name != "micropython":
        return HttpServer("127.0.0.1", PORT, **LIMITS)
    # The unix port needs packed addresses and has no select.select. On boards uhttp works without these changes.
    uhttp._select = Select
    real = uhttp._socket

    class Listener:
        def __init__(self):
            self.sock = real.socket()
            self.setsockopt, self.listen = self.sock.setsockopt, self.sock.listen

        def bind(self, address):
            self.sock.bind(real.getaddrinfo(*address)[0][-1])

    class Module:
        SOL_SOCKET, SO_REUSEADDR = real.SOL_SOCKET, real.SO_REUSEADDR
        socket = Listener

    uhttp._socket = Module
    server = HttpServer("127.0.0.1", PORT, **LIMITS)
    uhttp._socket = real
    server._socket = server._socket.sock
    return server


def Answer(client):
    path = client.path
    if path == "/hello":
        client.respond("Hello, World!", headers=dict(TEXT))
    elif path.startswith("/edit/"):
        _, _, number, rest = path.split("/")
        client.respond("%d %s" % (int(number), rest), headers=dict(TEXT))
    elif path == "/json":
        obj = client.data
        client.respond({"hello": obj["name"], "sum": sum(obj["values"])})
    elif path == "/form":
        form = client.data
        client.respond("%s %s %s" % (form["firstname"], form["lastname"], form["note"]), headers=dict(TEXT))
    elif path.startswith("/static/") and ".." not in path:
        client.respond_file(FOLDER + "/www" + path)
    else:
        client.respond("Not found", status=404)


def Main():
    server = MakeServer()
    while True:
        client = server.wait()
        if not client:
            continue
        event = client.event
        if event == uhttp.EVENT_WS_MESSAGE:
            data = client.read_buffer()
            client.ws_send(data.decode() if client.ws_is_text else data)
        elif event == uhttp.EVENT_REQUEST or event == uhttp.EVENT_COMPLETE:
            Answer(client)
        elif event == uhttp.EVENT_HEADERS:
            client.accept_body()
        elif event == uhttp.EVENT_WS_REQUEST:
            client.accept_websocket()


Main()
