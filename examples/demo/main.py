"""The full example of MicroWebSrv: a site that shows every feature.

Run it and open the address that it prints:

    python3 examples/demo/main.py [port]
    micropython examples/demo/main.py [port]

It uses most optional files. For a board, copy them, this file and the folder
www. The page of each feature shows its chapter of this file.
"""

import binascii
import json
import math
import sys
import time

try:
    import asyncio
except ImportError:
    import uasyncio as asyncio          # MicroPython before 1.21

HERE = __file__.replace("\\", "/").rpartition("/")[0] or "."
WWW = HERE + "/www"

# The folder of the modules in a clone of the project. Modules next to this file
# and installed modules have priority.
sys.path.append(HERE + "/../../src")

from microWebEvents import MicroWebEvents  # noqa: E402
from microWebSrv import MicroWebSrv  # noqa: E402
from microWebUpload import AcceptUploads  # noqa: E402


# --- home --------------------------------------------------------------------
# The facts on the home page. A handler gets the request (httpClient) and the
# response (httpResponse), and writes one answer.

started = time.time()
answered = 0


def CountRequest(httpClient, code):
    """The server's AccessCallback: called after each answer."""
    global answered
    answered += 1


def Status():
    version = sys.implementation.version
    name = "MicroPython" if sys.implementation.name == "micropython" else "CPython"
    return {
        "runtime": "%s %d.%d on %s" % (name, version[0], version[1], sys.platform),
        "uptimeSec": int(time.time() - started),
        "requests": answered,
        "celsius": ReadTemperature(),
    }


@MicroWebSrv.route("/api/status")
def GetStatus(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(Status())


# --- routes ------------------------------------------------------------------
# A handler may have several routes. An <argument> matches one part of the path.
# The handler gets it as an int if it consists of digits only.

@MicroWebSrv.route("/hello")
@MicroWebSrv.route("/hello/<name>")
def Hello(httpClient, httpResponse, routeArgs=None):
    name = routeArgs["name"] if routeArgs else "World"
    greeting = httpClient.GetRequestQueryParams().get("greeting", "Hello")
    text = "%s, %s!" % (greeting, name)
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", text)


@MicroWebSrv.route("/multiply/<a>/<b>")
def Multiply(httpClient, httpResponse, routeArgs):
    a, b = routeArgs["a"], routeArgs["b"]
    if not isinstance(a, int) or not isinstance(b, int):
        return Refuse(httpResponse, 400, "only whole numbers, please")
    httpResponse.WriteResponseJSONOk({"product": a * b})


def Refuse(httpResponse, code, reason):
    httpResponse.WriteResponseJSONError(code, {"error": reason})


# An async handler may wait as long as it likes. The server answers other
# requests meanwhile.
@MicroWebSrv.route("/wait/<seconds>")
async def Wait(httpClient, httpResponse, routeArgs):
    seconds = routeArgs["seconds"]
    if seconds not in (0, 1, 2, 3):
        return httpResponse.WriteResponseBadRequest()
    await asyncio.sleep(seconds)
    httpResponse.WriteResponseJSONOk({"waitedSec": seconds})


# The data of a request that a handler can read.
@MicroWebSrv.route("/whoami")
def WhoAmI(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk({
        "address": httpClient.GetIPAddr(),
        "port": httpClient.GetPort(),
        "method": httpClient.GetRequestMethod(),
        "path": httpClient.GetRequestPath(),
        "query": httpClient.GetRequestQueryParams(),
        "browser": httpClient.GetRequestHeaders().get("User-Agent"),
    })


# --- forms -------------------------------------------------------------------
# GET shows the form, POST checks it. Valid values are saved and answered with a
# redirect, so that a reload does not post them twice. Invalid values are shown
# again with the reasons. The template escapes every value.

settings = {"name": "Greenhouse", "interval": "10", "unit": "C"}


@MicroWebSrv.route("/forms")
def ShowForm(httpClient, httpResponse):
    if "saved" in httpClient.GetRequestQueryParams():
        httpResponse.FlashMessage("Saved.")
    RenderForm(httpResponse, settings, [])


@MicroWebSrv.route("/forms", "POST")
def PostForm(httpClient, httpResponse):
    posted = httpClient.ReadRequestPostedFormData()
    form = {name: posted.get(name, "").strip() for name in settings}
    errors = FormErrors(form)
    if errors:
        return RenderForm(httpResponse, form, errors)
    settings.update(form)
    httpResponse.WriteResponseRedirect("/forms?saved")


def RenderForm(httpResponse, form, errors):
    values = {"form": form, "errors": errors}
    httpResponse.WriteResponsePyHTMLFile(WWW + "/forms.pyhtml", vars=values)


def FormErrors(form):
    errors = []
    if not 1 <= len(form["name"]) <= 20:
        errors.append("The name needs 1 to 20 characters.")
    interval = form["interval"]
    seconds = int(interval) if interval.isdigit() and len(interval) < 5 else 0
    if not 1 <= seconds <= 3600:
        errors.append("The interval is a whole number from 1 to 3600.")
    if form["unit"] not in ("C", "F"):
        errors.append("The unit is Celsius or Fahrenheit.")
    return errors


# --- cookies -----------------------------------------------------------------
# Headers are a dict or a list of pairs. A list may repeat a name, for example to
# set two cookies.

COLOURS = ("green", "copper", "blue")
KEEP = "; Path=/cookies; Max-Age=86400; SameSite=Lax"
DROP = "; Path=/cookies; Max-Age=0"


def ReadCookies(httpClient):
    cookies = {}
    for pair in httpClient.GetRequestHeaders().get("Cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        cookies[name] = value
    return cookies


@MicroWebSrv.route("/cookies")
def ShowCookies(httpClient, httpResponse):
    cookies = ReadCookies(httpClient)
    visits = cookies.get("visits", "")          # a client may send anything
    visits = int(visits) + 1 if visits.isdigit() and len(visits) < 6 else 1
    colour = cookies.get("colour")
    httpResponse.WriteResponsePyHTMLFile(WWW + "/cookies.pyhtml", headers={
        "Set-Cookie": "visits=%d; HttpOnly" % visits + KEEP,
        "Cache-Control": "no-store",
    }, vars={
        "visits": visits,
        "colour": colour if colour in COLOURS else COLOURS[0],
        "colours": COLOURS,
    })


@MicroWebSrv.route("/cookies", "POST")
def ChooseColour(httpClient, httpResponse):
    form = httpClient.ReadRequestPostedFormData()
    headers = [("Location", "/cookies")]
    if "forget" in form:
        headers.append(("Set-Cookie", "visits=" + DROP))
        headers.append(("Set-Cookie", "colour=" + DROP))
    elif form.get("colour") in COLOURS:
        headers.append(("Set-Cookie", "colour=" + form["colour"] + KEEP))
    httpResponse.WriteResponse(303, headers, None, None, None)


# --- pins --------------------------------------------------------------------
# A REST API: each pin has an address, and the method says what to do with it.
# These pins are only entries of a dict; on a board, set real pins here.

pins = {2: {"id": 2, "name": "Status LED", "value": 1},
        4: {"id": 4, "name": "Water pump", "value": 0},
        5: {"id": 5, "name": "Fan", "value": 0}}


@MicroWebSrv.route("/api/pins")
def ListPins(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([pins[number] for number in sorted(pins)])


@MicroWebSrv.route("/api/pins", "POST")
def AddPin(httpClient, httpResponse):
    pin = httpClient.ReadRequestContentAsJSON()     # None if it is not JSON
    try:
        number, name = int(pin["id"]), str(pin["name"])[:20]
    except (KeyError, TypeError, ValueError):
        return Refuse(httpResponse, 400, "expected an id and a name")
    if number in pins or not 0 <= number < 40:
        return Refuse(httpResponse, 409, "there is no free pin %d" % number)
    pins[number] = {"id": number, "name": name, "value": 0}
    headers = {"Location": "/api/pins/%d" % number}
    content = json.dumps(pins[number])
    httpResponse.WriteResponse(201, headers, "application/json", "UTF-8", content)


@MicroWebSrv.route("/api/pins/<id>", "PUT")
def SetPin(httpClient, httpResponse, routeArgs):
    pin = pins.get(routeArgs["id"])
    change = httpClient.ReadRequestContentAsJSON()
    if not pin:
        return Refuse(httpResponse, 404, "no such pin")
    if not isinstance(change, dict) or change.get("value") not in (0, 1):
        return Refuse(httpResponse, 400, "expected a value of 0 or 1")
    pin["value"] = int(change["value"])
    httpResponse.WriteResponseJSONOk(pin)


@MicroWebSrv.route("/api/pins/<id>", "DELETE")
def RemovePin(httpClient, httpResponse, routeArgs):
    if pins.pop(routeArgs["id"], None) is None:
        return Refuse(httpResponse, 404, "no such pin")
    # A handler that writes nothing answers 204, No Content.


# --- files -------------------------------------------------------------------
# The server sends all files below www, with ranges, validators and compressed
# copies (.gz). You need a route only to give a file another name, or to send a
# file from another folder.

@MicroWebSrv.route("/download")
def Download(httpClient, httpResponse):
    path = WWW + "/files/weather.csv"
    httpResponse.WriteResponseFileAttachment(path, "Météo d'été \u2600.csv")


# --- streams -----------------------------------------------------------------
# This answer is created while it is sent. The server asks the generator for the
# next piece when the client has read the last one, so a million rows need no
# more memory than one.

def Rows(count):
    yield "second,celsius\r\n"
    for second in range(count):
        yield "%d,%.2f\r\n" % (second, 21 + 4 * math.sin(second / 600))


@MicroWebSrv.route("/rows/<count>")
def StreamRows(httpClient, httpResponse, routeArgs):
    count = routeArgs["count"]
    if not isinstance(count, int):
        return httpResponse.WriteResponseBadRequest()
    httpResponse.WriteResponseStream(Rows(count), "text/csv", "UTF-8")


# The pages of the tour show one chapter of this file each. This handler sends it.
def Chapter(chapter):
    with open(__file__, encoding="utf-8") as program:
        isInside = chapter == "everything"
        for line in program:
            if line.startswith("# --- "):
                isInside = chapter in (line.split()[2], "everything")
            if isInside:
                yield line


@MicroWebSrv.route("/source/<chapter>")
def ShowSource(httpClient, httpResponse, routeArgs):
    if not __file__.endswith(".py"):        # a board may have main.mpy
        return httpResponse.WriteResponseNotFound()
    lines = Chapter(routeArgs["chapter"])
    httpResponse.WriteResponseStream(lines, "text/plain", "UTF-8")


# --- uploads -----------------------------------------------------------------
# An async handler starts when the head of the request has arrived, and awaits
# the content piece by piece. So it can write a firmware of some megabytes to the
# flash with a few kilobytes of memory.

@MicroWebSrv.route("/upload", "PUT")
async def Upload(httpClient, httpResponse):
    size = checksum = pieces = 0
    while True:
        piece = await httpClient.ReadRequestContent(4096)
        if not piece:
            break
        size += len(piece)
        pieces += 1
        checksum = binascii.crc32(piece, checksum)
    answer = {"size": size, "pieces": pieces, "crc32": "%08x" % checksum}
    httpResponse.WriteResponseJSONOk(answer)


# microWebUpload parses a form with files while it arrives. It writes each file
# to a folder, or passes it to a writer like this one. The handler is called
# when all files have arrived.

class Checksum:
    value = 0

    def Write(self, data):
        self.value = binascii.crc32(data, self.value)


def NewChecksum(httpClient, file):
    return Checksum()


@MicroWebSrv.route("/upload", "POST")
def UploadForm(httpClient, httpResponse):
    upload = httpClient.upload
    files = [[file.name, file.size, "%08x" % file.writer.value]
             for file in upload.files]
    answer = {"note": upload.fields.get("note"), "files": files}
    httpResponse.WriteResponseJSONOk(answer)


# --- threads -----------------------------------------------------------------
# With threaded=True, a plain handler that takes long runs on a thread of its
# own. The server answers other requests meanwhile.

@MicroWebSrv.route("/slow", threaded=True)
def Slow(httpClient, httpResponse):
    time.sleep(2)       # a slow sensor, a long calculation
    httpResponse.WriteResponseJSONOk({"tookSec": 2})


@MicroWebSrv.route("/quick")
def Quick(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk({"tookSec": 0})


# --- events ------------------------------------------------------------------
# Server-sent events: each client that requests /events subscribes to the hub.
# Every event that is sent to the hub, from any thread, goes to all of them.

events = MicroWebEvents(maxQueueLen=16)


@MicroWebSrv.route("/events")
def Listen(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(events)


@MicroWebSrv.route("/ring", "POST")
def Ring(httpClient, httpResponse):
    heardBy = events.Send({"from": httpClient.GetIPAddr()}, event="bell")
    httpResponse.WriteResponseJSONOk({"heardBy": heardBy})


try:
    from esp32 import mcu_temperature as ReadTemperature
except ImportError:
    def ReadTemperature():
        """Read your sensor here; these are invented values."""
        seconds = time.time() - started
        celsius = 24 + 6 * math.sin(seconds / 10) + 2 * math.sin(seconds / 3)
        return round(celsius, 2)


# --- sockets -----------------------------------------------------------------
# The route of a WebSocket has an accept callback, which sets the other callbacks.
# Broadcast sends to all sockets of a path. So each path is a room of the chat.

wave = {"hz": 0.5, "phase": 0.0}


@MicroWebSrv.webSocketRoute("/live")
def AcceptLive(webSocket, httpClient):
    webSocket.RecvTextCallback = TuneWave


def TuneWave(webSocket, msg):
    try:
        hz = float(msg)
    except ValueError:
        return webSocket.Close(1003, "expected a number")
    if 0.1 <= hz <= 3:
        wave["hz"] = hz


@MicroWebSrv.webSocketRoute("/chat/<room>")
def AcceptChat(webSocket, httpClient, routeArgs):
    query = httpClient.GetRequestQueryParams()
    webSocket.server = httpClient.GetServer()
    webSocket.name = query.get("name", "Somebody")[:20]
    webSocket.RecvTextCallback = Say
    webSocket.ClosedCallback = Leave
    Tell(webSocket, {"notice": "%s has joined" % webSocket.name})


def Say(webSocket, msg):
    Tell(webSocket, {"name": webSocket.name, "text": msg})


def Leave(webSocket):
    Tell(webSocket, {"notice": "%s has left" % webSocket.name})


def Tell(webSocket, message):
    webSocket.server.Broadcast(json.dumps(message), webSocket.Path)


# --- templates ---------------------------------------------------------------
# The server renders all .pyhtml pages below www. This handler shows the source
# of some of them instead.

@MicroWebSrv.route("/template/<name>")
def ShowTemplate(httpClient, httpResponse, routeArgs):
    name = routeArgs["name"]
    if name not in ("templates.pyhtml", "_row.pyhtml"):
        return httpResponse.WriteResponseNotFound()
    httpResponse.WriteResponseFile(WWW + "/" + name, "text/plain")


# --- errors ------------------------------------------------------------------
# A handler can write an error itself. If it raises an exception, the server
# answers 500 without details, prints the traceback to its console, and
# continues.

@MicroWebSrv.route("/private")
def Private(httpClient, httpResponse):
    httpResponse.WriteResponseForbidden()


@MicroWebSrv.route("/boom")
def Boom(httpClient, httpResponse):
    return {}["this handler is broken on purpose"]


# SetNotFoundPageUrl redirects to this page. In a captive portal, it would be the
# address of the device.
@MicroWebSrv.route("/lost")
def Lost(httpClient, httpResponse):
    page = open(WWW + "/404.html", "rb")
    httpResponse.WriteResponseStream(page, "text/html", "UTF-8", code=404)


# --- start -------------------------------------------------------------------
# The server runs in the program's own asyncio loop, next to other tasks.

async def Live(server, host):
    """Each second, twenty values for the chart and one event for the gauge."""
    while not server.IsStarted():
        await asyncio.sleep(0.01)
    print("MicroWebSrv: the demo is at http://%s:%d (Ctrl-C ends it)" % (host, server.GetPort()))
    tick = 0
    while True:
        await asyncio.sleep(0.05)
        tick += 1
        phase = wave["phase"] = (wave["phase"] + wave["hz"] * 0.05) % 1
        value = math.sin(2 * math.pi * phase) + 0.15 * math.sin(14 * math.pi * phase)
        point = {"value": round(value, 3), "hz": wave["hz"]}
        server.Broadcast(json.dumps(point), "/live")
        if tick % 20 == 0:
            events.Send(Status())


async def Main():
    isDesk = sys.platform in ("linux", "darwin", "win32")
    port = sys.argv[1] if len(sys.argv) > 1 else "8080" if isDesk else "80"
    if not port.isdigit() or int(port) > 65535:
        print("The port must be a number from 0 to 65535, not", port)
        sys.exit(2)
    port = int(port)
    bindIP = "127.0.0.1" if isDesk else ""
    server = MicroWebSrv(port=port, bindIP=bindIP, webPath=WWW)
    server.WebSocketThreaded = False
    server.AccessCallback = CountRequest
    server.SetNotFoundPageUrl("/lost")
    AcceptUploads(server, "/upload", NewChecksum)
    host = "127.0.0.1" if isDesk else "the-address-of-this-board"
    live = asyncio.create_task(Live(server, host))
    await server.Serve()
    live.cancel()


try:
    asyncio.run(Main())
except KeyboardInterrupt:
    print("Good bye.")
except OSError as error:                    # another program has the port
    print("The demo can't start: %s" % error.args[-1])
    sys.exit(1)
