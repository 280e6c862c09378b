"""A captive portal: a phone that joins the Wi-Fi of the board is shown its page, whatever address it asks for.

Two things make one. Each name must lead to us: the DNS server below answers every question with our address. And each
path must lead to the page: SetNotFoundPageUrl answers 302 to it. The phone asks its own test page when it joins, gets
the redirect instead of what it expects, and opens our page.

On a board this file is main.py, and needs microWebSrv alone. The server has a thread, and the DNS server has that of
the program. On a desk it shows the second half; port 80 and port 53 are not ours to take there.
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # where the modules are in a clone

import socket
import time

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


def AnswerName(question, ip):
    """A DNS query -> the reply that says: that is me (RFC 1035 section 4.1); None where it asks for something else."""
    end = question.find(b"\0", 12)
    if len(question) < 17 or question[2] & 0xF8 or end < 0 or question[end + 1:end + 5] != b"\0\1\0\1":
        return None                                     # only questions for an IPv4 address
    address = bytes([int(part) for part in ip.split(".")])
    return (question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question[12:end + 5]
            + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + address)


def ServeNames(ip, mws):
    """Until the server stops."""
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.settimeout(1)
    names.bind(socket.getaddrinfo("0.0.0.0", 53)[0][-1])
    while mws.IsStarted():
        try:
            question, client = names.recvfrom(512)
            reply = AnswerName(question, ip)
            if reply:
                names.sendto(reply, client)
        except OSError:
            pass                                        # no question in this second
    names.close()


@MicroWebSrv.route("/")
def Welcome(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content=PAGE)


ip, port = (OpenWiFi(), 80) if network else ("127.0.0.1", 8080)
mws = MicroWebSrv(port=port)
mws.SetNotFoundPageUrl("http://%s:%d/" % (ip, port))
print("Open http://%s:%d/any/path - Ctrl-C ends it" % (ip, port))
try:
    mws.Start()
    if network:
        ServeNames(ip, mws)
    while mws.IsStarted():
        time.sleep(0.1)
except KeyboardInterrupt:
    mws.Stop()
