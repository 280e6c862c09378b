"""The settings of the Wi-Fi, as a form. The first program on a board: it needs no password written into it.

On a board this file is main.py. While it knows no network, or can't join the one it knows, it opens one of its own,
"MicroWebSrv": join it with a phone and open http://192.168.4.1/. What you choose there is kept in wifi.json. It needs
microWebSrv alone.

    microwebsrv examples/wifi_settings.py      or, on a board, as main.py
"""

import json
import time

import machine
import network
from microWebSrv import MicroWebSrv

FILE = "wifi.json"          # not below webPath: no request can reach it
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>Wi-Fi</title></head>
<body>
  <h1>Wi-Fi</h1>
  <p>%s</p>
  <form method="post" action="/">
    <p><label>Network <input name="name" list="names" required maxlength="32" value="%s"></label>
    <datalist id="names">%s</datalist></p>
    <p><label>Password <input name="password" type="password" maxlength="63"></label></p>
    <p><button>Save and restart</button></p>
  </form>
</body>
</html>"""

station = network.WLAN(network.STA_IF)
state = "Not connected."
isSaved = False


def Load():
    """The settings, or None while there are none."""
    try:
        with open(FILE) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def Networks():
    """The names of the networks around us, each once. It takes seconds, so it is done once, before anybody waits."""
    names = set()
    station.active(True)
    try:
        for found in station.scan():
            names.add(found[0].decode())
    except (OSError, UnicodeError):
        pass                                    # not now, or a name that is no text: it can be typed
    return sorted(names - {""})


def Join(settings):
    """-> our address in the network, or None: it is not there, or the password is wrong."""
    station.connect(settings["name"], settings["password"])
    for _ in range(15):
        if station.isconnected():
            return station.ifconfig()[0]
        time.sleep(1)
    station.disconnect()
    return None


def OpenOwn():
    """-> our address in our own network, which is open."""
    accessPoint = network.WLAN(network.AP_IF)
    accessPoint.config(essid="MicroWebSrv", security=0)
    accessPoint.active(True)
    return accessPoint.ifconfig()[0]


@MicroWebSrv.route("/")
def Show(httpClient, httpResponse):
    Escape = MicroWebSrv.HTMLEscape             # the neighbours choose the names of their networks
    settings = Load()
    options = "".join(["<option>%s</option>" % Escape(name) for name in networks])
    content = PAGE % (Escape(state), Escape(settings["name"]) if settings else "", options)
    httpResponse.WriteResponseOk({"Cache-Control": "no-store"}, "text/html", "UTF-8", content)


@MicroWebSrv.route("/", "POST")
def Save(httpClient, httpResponse):
    global isSaved
    form = httpClient.ReadRequestPostedFormData()
    name, password = form.get("name", ""), form.get("password", "")
    if not 1 <= len(name.encode()) <= 32 or password and not 8 <= len(password) <= 63:
        return httpResponse.WriteResponse(400, None, "text/plain", "UTF-8", "A password has 8 to 63 characters.")
    with open(FILE, "w") as file:
        json.dump({"name": name, "password": password}, file)
    httpResponse.WriteResponseOk(contentType="text/plain", contentCharset="UTF-8", content="Saved. See you there!")
    isSaved = True
    httpClient.GetServer().Stop()               # the answer leaves first


networks = Networks()
settings = Load()
address = settings and Join(settings)
if address:
    state = "Connected to %s as %s." % (settings["name"], address)
else:
    address = OpenOwn()
print("%s Open http://%s/" % (state, address))
MicroWebSrv().Start(threaded=False)
if isSaved:
    machine.reset()
