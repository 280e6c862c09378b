"""A live chart: the server sends readings as events, and the browser draws them. It needs microWebEvents.py.

    microwebsrv examples/live_chart.py      or, on a board, as main.py
"""

import time

from machine import ADC, Pin
from microWebEvents import MicroWebEvents
from microWebSrv import MicroWebSrv

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


mws = MicroWebSrv()
try:
    mws.Start()                                 # in a thread of its own; this thread measures
    while mws.IsStarted():
        events.Send(round(sensor.read_u16() / 655.35, 1), event="reading")      # to all browsers
        time.sleep(0.5)
except KeyboardInterrupt:
    mws.Stop()
