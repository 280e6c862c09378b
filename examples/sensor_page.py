"""A page that shows a sensor, and the readings as JSON for other programs. It needs microWebSrv.py alone.

    microwebsrv examples/sensor_page.py      or, on a board, as main.py
    curl http://127.0.0.1:8080/reading

On a board: an LDR, a potentiometer or a thermistor at GPIO 26 of a Pico, or at one of 32 to 39 of an ESP32.
"""

import time

from machine import ADC, Pin
from microWebSrv import MicroWebSrv

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>Sensor</title></head>
<body>
  <h1><output id="percent">?</output> %</h1>
  <meter id="meter" min="0" max="100"></meter>
  <script>
    async function Show() {
      const reading = await (await fetch("/reading")).json();
      document.getElementById("percent").value = reading.percent.toFixed(1);
      document.getElementById("meter").value = reading.percent;
    }
    setInterval(Show, 1000);
    Show();
  </script>
</body>
</html>"""

sensor = ADC(Pin(26))
started = time.time()


def Measure():
    """Returns 0 to 100, the mean of eight readings, because single readings vary."""
    total = 0
    for _ in range(8):
        total += sensor.read_u16()
    return total / 8 / 655.35


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content=PAGE)


@MicroWebSrv.route("/reading")
def Reading(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk({"percent": round(Measure(), 2), "uptimeSec": int(time.time() - started)},
                                     {"Cache-Control": "no-store"})


mws = MicroWebSrv()
mws.Start(threaded=False)
