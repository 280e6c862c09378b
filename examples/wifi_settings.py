"""Sets up the Wi-Fi of a new board from a phone. It is a good first program: it contains no password.

On a board this file is main.py. If the board knows no network, or can't join it, it opens its own network, "My device".
Join that network with a phone, and a page with the networks nearby opens by itself. It needs microWebPortal.

    microwebsrv examples/wifi_settings.py      or, on a board, as main.py

On a PC the Wi-Fi is simulated; its networks accept any password but "wrong password".
"""

import microWebPortal
from microWebSrv import MicroWebSrv

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>My device</title></head>
<body><h1>My device</h1><p>My address is %s.</p>
<form method="post" action="/forget"><button>Forget this network</button></form></body>
</html>"""


@MicroWebSrv.route("/")
def Show(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/html", "UTF-8", PAGE % portal.address)


@MicroWebSrv.route("/forget", "POST")
def Forget(httpClient, httpResponse):
    httpResponse.OnSent(portal.Forget)          # after the answer was sent
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "The device opens its own network again.")


mws = MicroWebSrv()
portal = microWebPortal.Provision(mws, name="My device", file="wifi.json")
portal.OnJoined = lambda address: print("Open http://%s:%d/" % (address, mws.GetPort()))
mws.Start(threaded=False)
