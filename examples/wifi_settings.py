"""A new board comes into the Wi-Fi with a phone. The first program on a board: it needs no password written into it.

On a board this file is main.py. While it knows no network, or can't join the one it knows, it opens one of its own,
"My device": join it with a phone, and the page with the networks opens by itself. It needs microWebPortal.

    microwebsrv examples/wifi_settings.py      or, on a board, as main.py

On a desk the Wi-Fi is a stand-in, whose networks take any password but "wrong password".
"""

import microWebPortal
from microWebSrv import MicroWebSrv

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>My device</title></head>
<body><h1>My device</h1><p>I am %s.</p>
<form method="post" action="/forget"><button>Forget this network</button></form></body>
</html>"""


@MicroWebSrv.route("/")
def Show(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/html", "UTF-8", PAGE % portal.address)


@MicroWebSrv.route("/forget", "POST")
def Forget(httpClient, httpResponse):
    httpResponse.OnSent(portal.Forget)          # the answer leaves first
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", "I open my own network again.")


mws = MicroWebSrv()
portal = microWebPortal.Provision(mws, name="My device", file="wifi.json")
portal.OnJoined = lambda address: print("Open http://%s:%d/" % (address, mws.GetPort()))
mws.Start(threaded=False)
