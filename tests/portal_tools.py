"""The portal as a process with a stand-in for the Wi-Fi and a console, for the tests of microWebPortal."""

import re
from urllib.parse import urlencode

import harness
from harness import Fetch

EVIL = ("<script>alert(1)</script>", "\" onfocus=alert(1) x=\"", "it's &amp; <b>", "\U0001f4a1 Lamp caf\u00e9", "a" * 32)
BYTES = bytes(range(224, 256))                      # 32 bytes that are not UTF-8

# Each line of stdin is run on the server's thread, with the names of this program.
PROGRAM = """
import _thread
import sys
import time

import microWebPortal
import pretend
from microWebSrv import MicroWebSrv
from ready import Port


class Radio(pretend.WLAN):
    "Networks of all kinds; what is out of reach is gone."

    gone = deaf = False
    noisy = []

    def scan(self):
        print("SCAN")
        return [(name, b"", 1, rssi, security, False) for name, rssi, security in self.noisy] + [
            (b"Home", b"", 1, -70, 3, False), (b"Home", b"", 6, -40, 3, False), (b"Cafe", b"", 1, -60, 0, False),
            (b"", b"", 1, -30, 3, True), (b"\\0\\0\\0", b"", 1, -30, 3, True)]

    def config(self, *names, **values):
        if "essid" in values:
            print("OWN", values)

    def active(self, isOn=None):
        if isOn is not None and self.kind == 1:
            print("AP", isOn)
        return super().active(isOn)

    def connect(self, name, password=None):
        print("CONNECT", bytes(name), password)
        if not self.deaf:
            super().connect("Cafe" if bytes(name) not in (b"Home", b"Cafe") else name, password)

    def isconnected(self):
        return not self.gone and super().isconnected()


class net:
    "What the port calls network."
    STA_IF, AP_IF, STAT_WRONG_PASSWORD = 0, 1, pretend.STAT_WRONG_PASSWORD
    WLAN = Radio


pretend.NETWORKS = {"Home": "correct horse", "Cafe": ""}


@MicroWebSrv.route("/")
def Index(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content="<link rel=icon href=data:,><h1>The program</h1>")


@MicroWebSrv.route("/secret", "POST")
def Secret(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="secret")


def Console():
    for line in sys.stdin:
        mws.CallSoon(exec, line, globals())
    mws.Stop()


def Later():
    mws.now += 100


def Hurry():
    "A second of the server takes a fifth of one."
    while True:
        time.sleep(0.25)
        mws.CallSoon(mws.Tick)


port = Port()
mws = MicroWebSrv(port=port, bindIP="127.0.0.1", webPath="www")
mws.MaxConnections = 4
mws.Before(lambda client, response: print("HOOK", client.GetRequestPath()))
#MORE
portal = microWebPortal.Provision(mws, name="My <lamp>", lostSec=3, dnsPort=port, network=net)
portal.OnJoined = lambda address: print("JOINED", address)
_thread.start_new_thread(Console, ())
_thread.start_new_thread(Hurry, ())
mws.Start(threaded=False)
"""


def Ours(server, path="/wifi", **kwargs):
    """A request whose Host is the portal."""
    headers = dict(kwargs.pop("headers", {}), Host="127.0.0.1:%d" % server.port)
    return Ask(server, path, headers=headers, **kwargs)


def Ask(server, path, host=None, method="GET", headers=(), body=b""):
    """A request with this Host."""
    headers = dict(headers)
    host = headers.pop("Host", host)
    with harness.RawClient(server.port) as client:
        pairs = [*headers.items(), ("Connection", "close")]
        client.Send(harness.RequestBytes(method, path, pairs, body, host=host))
        return client.ReadResponse(method)


def Token(page):
    return re.search("name=t value=([0-9a-f]{16})>", page.text).group(1)


def Send(server, token=None, **fields):
    """Send the form of the page -> the response."""
    fields["t"] = Token(Ours(server)) if token is None else token
    return Ours(server, method="POST", headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(fields).encode())


__all__ = ["BYTES", "EVIL", "PROGRAM", "Ask", "Fetch", "Ours", "Send", "Token"]
