"""A captive portal: a phone that joins the Wi-Fi of the board is shown its page, whatever address it asks for.

Two things make one. Each name must lead to us: that is the DNS server of microWebPortal, which this program needs. And
each path must lead to the page: SetNotFoundPageUrl answers 302 to it. The phone asks its own test page when it joins,
gets the redirect instead of what it expects, and opens our page.

On a board this file is main.py. To bring a board into the Wi-Fi of a home there is a call that does all of it:
wifi_settings.py.
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # where the modules are in a clone

import microWebPortal
from microWebSrv import MicroWebSrv

try:
    import network
except ImportError:
    network = None          # a desk

PAGE = "<!DOCTYPE html><title>Welcome</title><h1>Welcome</h1><p>You are connected to the board.</p>"


def OpenWiFi():
    """An open access point; -> our address in it."""
    accessPoint = network.WLAN(network.AP_IF)
    accessPoint.config(essid="My device", security=0)
    accessPoint.active(True)
    return accessPoint.ifconfig()[0]


def OpenNames():
    """Once a second, on the server's thread: the DNS server is there as long as the server runs."""
    global names
    if not names or names.isDead:
        names = microWebPortal.Names(mws, address, dnsPort)


@MicroWebSrv.route("/")
def Welcome(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content=PAGE)


address, port, dnsPort = (OpenWiFi(), 80, 53) if network else ("127.0.0.1", 8080, 0)
names = None
mws = MicroWebSrv(port=port)
mws.SetNotFoundPageUrl("http://%s:%d/" % (address, port))
mws.Ticks.append(OpenNames)
print("Open http://%s:%d/any/path - Ctrl-C ends it" % (address, port))
mws.Start(threaded=False)
