"""A live chart: the server measures and tells, the browser listens and draws. It needs microWebEvents.py.

    python3 examples/live_chart.py       or        micropython examples/live_chart.py
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # where the modules are in a clone

import time

from microWebEvents import MicroWebEvents
from microWebSrv import MicroWebSrv

try:
    from machine import ADC, Pin
except ImportError:
    from pretend import ADC, Pin                # a desk

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>Live</title></head>
<body>
  <h1>The last minute: <output id="now">?</output> %</h1>
  <svg viewBox="0 0 120 50" width="100%" role="img" aria-label="chart">
    <polyline id="line" fill="none" stroke="green" points=""></polyline>
  </svg>
  <script>
    const points = [];
    new EventSource("/readings").addEventListener("reading", event => {
      const percent = JSON.parse(event.data);
      document.getElementById("now").value = percent;
      points.push(percent);
      if (points.length > 120)
        points.shift();
      document.getElementById("line").setAttribute("points",
        points.map((value, index) => index + "," + (50 - value / 2)).join(" "));
    });
  </script>
</body>
</html>"""

sensor = ADC(Pin(26))
events = MicroWebEvents()


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content=PAGE)


@MicroWebSrv.route("/readings")
def Readings(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(events)


mws = MicroWebSrv(port=8080)
print("Open http://127.0.0.1:8080/ - Ctrl-C ends it")
try:
    mws.Start()                                 # in a thread: this one measures
    while mws.IsStarted():
        events.Send(round(sensor.read_u16() / 655.35, 1), event="reading")      # to all browsers that listen
        time.sleep(0.5)
except KeyboardInterrupt:
    mws.Stop()
