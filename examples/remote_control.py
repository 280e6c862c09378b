"""A remote control: buttons that switch pins, over a WebSocket. All browsers show the same state. It needs
microWebSocket.py and microWebSocketPlus.py.

    microwebsrv examples/remote_control.py      or, on a board, as main.py
"""

import json

from machine import Pin
from microWebSrv import MicroWebSrv

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>Remote control</title></head>
<body>
  <h1>Remote control</h1>
  <div id="buttons"></div>
  <script>
    const buttons = document.getElementById("buttons");
    let socket;
    function Show(switches) {
      buttons.replaceChildren(...Object.keys(switches).sort().map(name => {
        const button = document.createElement("button");
        button.textContent = name + (switches[name] ? ": on" : ": off");
        button.onclick = () => socket.send(JSON.stringify({ [name]: switches[name] ? 0 : 1 }));
        return button;
      }));
    }
    function Open() {
      socket = new WebSocket("ws://" + location.host + "/switches");
      socket.onmessage = event => Show(JSON.parse(event.data));
      socket.onclose = () => setTimeout(Open, 1000);
    }
    Open();
  </script>
</body>
</html>"""

pins = {"lamp": Pin(2, Pin.OUT, value=0), "pump": Pin(4, Pin.OUT, value=0), "fan": Pin(5, Pin.OUT, value=0)}


def State():
    return json.dumps({name: pin.value() for name, pin in pins.items()})


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content=PAGE)


@MicroWebSrv.webSocketRoute("/switches")
def Accept(webSocket, httpClient):
    webSocket.RecvTextCallback = Switch
    webSocket.SendText(State())


def Switch(webSocket, msg):
    """Gets {"lamp": 1} from one browser; sends the new state to all browsers."""
    try:
        wanted = json.loads(msg)
        for name in wanted:
            pins[name].value(1 if wanted[name] else 0)
    except (ValueError, KeyError, TypeError):
        return webSocket.Close(1003, "not a switch")
    mws.Broadcast(State(), "/switches")


mws = MicroWebSrv()
mws.WebSocketThreaded = False       # the callbacks return at once, so no threads are needed
mws.Start(threaded=False)
