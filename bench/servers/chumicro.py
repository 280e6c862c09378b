# chumicro-http-server, on MicroPython: chumicro.py PORT FOLDER
import gc
import sys

from chumicro_http_server import HttpServer, build_response
from chumicro_http_server.streaming import SOURCE_EOF, build_streaming_response
from chumicro_sockets import listener
from chumicro_timing import ticks_ms

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]


def Fallback(request):
    """Handle paths with several arguments. A route of this server has one argument at most."""
    parts = request.path.split("/")
    if len(parts) == 4 and parts[1] == "edit":
        return build_response(200, text="%d %s" % (int(parts[2]), parts[3]))
    return build_response(404, text="not found")


# The default limits, 4 connections and 4 waiting ones, are meant for boards.
server = HttpServer(transport_factory=lambda: listener(host="127.0.0.1", port=PORT, backlog=511), handler=Fallback,
                    max_connections=512, send_budget_per_tick=16384, stream_buffer_size=4096)


@server.route("/hello")
def Hello(request):
    return build_response(200, text="Hello, World!")


@server.route("/json", methods=["POST"])
def Json(request):
    obj = request.json()
    return build_response(200, json={"hello": obj["name"], "sum": sum(obj["values"])})


@server.route("/static/<name>")
def Static(request):
    file = open(FOLDER + "/www/static/" + request.path_params["name"], "rb")
    size = file.seek(0, 2)
    file.seek(0)

    def Source(buffer):
        read = file.readinto(buffer)
        if not read:
            file.close()
            return SOURCE_EOF
        return read

    return build_streaming_response(200, source=Source, content_length=size, headers={"Content-Type": "text/plain"})


gc.collect()
while True:
    now = ticks_ms()
    if server.check(now):
        server.handle(now)
