"""A captive portal: a phone that joins the board's Wi-Fi shows the board's page, whatever address it requests.

It has two parts. The DNS server of microWebPortal answers each name with the board's address. SetNotFoundPageUrl
redirects each path to the page with a 302. When the phone joins, it requests a test page of its maker, gets the
redirect instead, and opens the board's page.

To set up the Wi-Fi of a board from a phone, one call is enough: see wifi_settings.py.

    microwebsrv examples/captive_portal.py     or, on a board, as main.py
"""

import microWebPortal
import network
from microWebSrv import MicroWebSrv

PAGE = "<!DOCTYPE html><title>Welcome</title><h1>Welcome</h1><p>You are connected to the board.</p>"


def OpenWiFi():
    """Opens an access point without a password; returns our address in it."""
    accessPoint = network.WLAN(network.AP_IF)
    accessPoint.config(essid="My device", security=0)
    accessPoint.active(True)
    return accessPoint.ifconfig()[0]


def OpenNames():
    """Called once a second on the server's thread: starts the DNS server again after a restart of the server."""
    global names
    if not names or names.isDead:
        try:
            names = microWebPortal.Names(mws, address)
        except OSError as error:        # on a PC, port 53 needs special rights
            mws.Ticks.remove(OpenNames)
            print("No DNS server:", error)


@MicroWebSrv.route("/")
def Welcome(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content=PAGE)


names, address = None, OpenWiFi()
mws = MicroWebSrv()
home = "http://%s:%d/" % (address, mws.GetPort())
mws.SetNotFoundPageUrl(home)
mws.Ticks.append(OpenNames)
print("Open %sany/path - Ctrl-C ends it" % home)
mws.Start(threaded=False)
