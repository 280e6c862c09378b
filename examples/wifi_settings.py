"""A new board comes into the Wi-Fi with a phone. The first program on a board: it needs no password written into it.

On a board this file is main.py. While it knows no network, or can't join the one it knows, it opens one of its own,
"My device": join it with a phone, and the page with the networks opens by itself. It needs microWebPortal.

On a desk the Wi-Fi is a stand-in that knows two networks; the password of "Home" is "correct horse".

    python3 examples/wifi_settings.py        or        micropython examples/wifi_settings.py
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # where the modules are in a clone

import microWebPortal
from microWebSrv import MicroWebSrv

try:
    import network
    PORT, DNS_PORT = 80, 53
except ImportError:
    import pretend as network                   # a desk
    PORT, DNS_PORT = 8080, 0

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


mws = MicroWebSrv(port=PORT)
portal = microWebPortal.Provision(mws, name="My device", file="wifi.json", dnsPort=DNS_PORT, network=network)
portal.OnJoined = lambda address: print("Open http://%s:%d/" % (address, mws.GetPort()))
print("Join the network My device, or open http://127.0.0.1:%d/ on a desk" % mws.GetPort())
mws.Start(threaded=False)
