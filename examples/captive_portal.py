"""A captive portal: a phone that joins the Wi-Fi of the board is shown its page, whatever address it asks for.

Two things make one. Each name must lead to us: that is the DNS server of microWebPortal, which this program needs. And
each path must lead to the page: SetNotFoundPageUrl answers 302 to it. The phone asks its own test page when it joins,
gets the redirect instead of what it expects, and opens our page.

To bring a board into the Wi-Fi of a home there is a call that does all of it: wifi_settings.py.

    microwebsrv examples/captive_portal.py     or, on a board, as main.py
"""

import microWebPortal
import network
from microWebSrv import MicroWebSrv

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
        try:
            names = microWebPortal.Names(mws, address)
        except OSError as error:        # a desk, where port 53 is not for everybody
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
