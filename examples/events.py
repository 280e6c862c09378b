"""A live page: the server tells, the browser listens. Needs microWebEvents.py beside the server.

    python3 examples/events.py       or        micropython examples/events.py
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # where the modules are in a clone

import asyncio
import time

from microWebEvents import MicroWebEvents
from microWebSrv import MicroWebSrv

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><title>Live</title></head>
<body>
  <h1>The board runs for <output id="seconds">?</output> seconds</h1>
  <script>
    new EventSource("/events").addEventListener("uptime", function (event) {
      document.getElementById("seconds").value = JSON.parse(event.data).seconds;
    });
  </script>
</body>
</html>"""

events = MicroWebEvents()
started = time.time()


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content=PAGE)


@MicroWebSrv.route("/events")
def Events(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(events)


async def Tell():
    """Send works from here, from a handler and from any thread alike."""
    while True:
        events.Send({"seconds": int(time.time() - started)}, event="uptime")
        await asyncio.sleep(1)


async def Main():
    mws = MicroWebSrv(port=8080)
    telling = asyncio.create_task(Tell())
    print("Open http://127.0.0.1:8080/ - Ctrl-C ends it")
    await mws.Serve()
    telling.cancel()


asyncio.run(Main())
