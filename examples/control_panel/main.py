"""A control panel: a sensor, a relay, settings and a log of user actions, all behind a log-in.

    python3 examples/control_panel/main.py [port]        or        micropython examples/control_panel/main.py [port]

The first start creates the user "admin" and prints a random password. If you give a name instead of the port, the
program creates that user if necessary, prints a new password, and ends; then start it again. With cert.pem and key.pem
in the current folder (tools/make_certificate.py makes them) the panel uses HTTPS.

It needs microWebSrv, microWebSocket, microWebTemplate, microWebSession, microWebAuth, microWebLogin and
microWebSecurity. With microWebThreads other requests are answered while a password is checked. HTTPS needs microWebTls.
"""

import json
import os
import sys
import time

HERE = __file__.replace("\\", "/").rpartition("/")[0] or "."
sys.path += [HERE + "/../../src", HERE]                 # the modules' folder in a clone

import microWebLogin  # noqa: E402,F401  adds the scheme "form"
from microWebAuth import HashPassword, Protect  # noqa: E402
from microWebSecurity import SecurityHeaders  # noqa: E402
from microWebSession import MemoryStore, UseSessions  # noqa: E402
from microWebSrv import MicroWebSrv  # noqa: E402

try:
    from machine import ADC, Pin
except ImportError:
    from pretend import ADC, Pin                        # a PC without the command microwebsrv

FILE = "panel.json"                                     # in the current folder, not below www: clients can't read it
LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"            # 32 letters that can't be confused: five bits each
PUBLIC = ("/style.css", "/favicon.svg")                 # pages that a cache may store
DONE = {("POST", "/login", 302): "logged in", ("POST", "/login", 401): "wrong password",
        ("POST", "/admin/logout", 302): "logged out"}
REFUSED = {401: "request without a log-in", 403: "sent by another site", 429: "too many wrong passwords"}

state = {"users": {}, "name": "Greenhouse", "limit": 50}
relay, sensor = Pin(2, Pin.OUT, value=0), ADC(Pin(26))
audit, sockets = [], []         # a row: [when, who, what, address, how often], the newest first


def Save():
    with open(FILE + ".new", "w") as file:
        json.dump(state, file)
    getattr(os, "replace", os.rename)(FILE + ".new", FILE)      # so a power failure never leaves half a file


def NewPassword(user):
    password = "".join([LETTERS[byte % 32] for byte in os.urandom(16)])
    state["users"][user] = HashPassword(password)
    return "The password of %s, shown this once: %s" % (user, password)


def Note(who, what, address):
    """Adds a row. There are at most twenty rows of users and ten of strangers; equal actions of strangers
    share one row. So strangers can't push out the rows of users."""
    row = ["%d-%02d-%02d %02d:%02d:%02d" % time.localtime()[:6], who, what, address, 1]
    rows, left = [row], {True: 19, False: 9}
    for other in audit:
        if not who and other[1:4] == row[1:4]:
            row[4] += other[4]
        elif left[bool(other[1])]:
            left[bool(other[1])] -= 1
            rows.append(other)
    audit[:] = rows


def OnAnswer(httpClient, httpResponse):
    """Called before each answer, also for errors. It may run on a worker thread, so it uses CallSoon."""
    mws = httpClient.GetServer()
    path, code, user = httpClient.GetRequestPath(), httpResponse.code, httpClient.GetUser() or ""
    if path not in PUBLIC:
        httpResponse.SetHeader("Cache-Control", "no-store")
    what = DONE.get((httpClient.GetRequestMethod(), path, code)) or getattr(httpResponse, "done", REFUSED.get(code))
    if what:
        mws.CallSoon(Note, user if code == 302 else "", what, httpClient.GetIPAddr())
    if what == "logged out":
        mws.CallSoon(HangUp, user)


def Card(httpClient, httpResponse, code, problem=None):
    """The log-in form, with the problem of the last try; if problem is None, an error page."""
    httpResponse.WriteResponsePyHTMLFile(HERE + "/www/_card.pyhtml", vars={"code": code, "problem": problem})


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseRedirect("/admin/")


@MicroWebSrv.route("/admin/")
def Panel(httpClient, httpResponse):
    values = {"user": httpClient.GetUser(), "name": state["name"], "limit": state["limit"], "audit": audit}
    httpResponse.WriteResponsePyHTMLFile(HERE + "/www/_panel.pyhtml", vars=values)


@MicroWebSrv.route("/admin/settings", "POST")
def SaveSettings(httpClient, httpResponse):
    form = httpClient.ReadRequestPostedFormData()
    name, limit = form.get("name", "").strip(), form.get("limit", "")
    if not 1 <= len(name) <= 30 or min(name) < " " or limit not in [str(celsius) for celsius in range(61)]:
        httpResponse.FlashMessage("The name has 1 to 30 characters, the limit is 0 to 60.", "bad")
    else:
        state.update({"name": name, "limit": int(limit)})
        Save()
        httpResponse.done = "settings: %s, %s °C" % (name, limit)
        httpResponse.FlashMessage("Saved.")
    httpResponse.WriteResponseRedirect("/admin/")


@MicroWebSrv.webSocketRoute("/admin/live")
def Live(webSocket, httpClient):
    webSocket.user, webSocket.address, webSocket.left = httpClient.GetUser(), httpClient.GetIPAddr(), 600
    webSocket.RecvTextCallback = Switch
    webSocket.ClosedCallback = sockets.remove
    sockets.append(webSocket)
    Tell()


def Switch(webSocket, msg):
    if msg not in ("0", "1"):
        return webSocket.Close(1003, "0 or 1")
    SetRelay(int(msg), webSocket.user, webSocket.address)


def SetRelay(level, who, address):
    relay.value(level)
    Note(who, "relay on" if level else "relay off", address)
    Tell()


def Tell():
    celsius = round(sensor.read_u16() * 60 / 65535, 1)
    if relay.value() and celsius > state["limit"]:
        return SetRelay(0, "the limit", "")
    for webSocket in sockets:
        webSocket.SendText(json.dumps({"celsius": celsius, "relay": relay.value(), "audit": audit[:1]}))


def OnSecond():
    for webSocket in sockets:
        webSocket.left -= 1
    HangUp(None)                                        # after ten minutes; a logged-in page reconnects
    Tell()


def HangUp(user):
    for webSocket in list(sockets):
        if webSocket.user == user or not webSocket.left:
            webSocket.Close(4001, "log in again")


def Main(argument):
    if FILE in os.listdir():                            # else it is the first start
        with open(FILE) as file:
            state.update(json.load(file))
    if argument and not argument.isdigit():
        print(NewPassword(argument))
        return Save()
    news = [] if state["users"] else [NewPassword("admin")]
    isDesk = sys.platform in ("linux", "darwin", "win32")
    isSecure = "cert.pem" in os.listdir()
    port = int(argument or (8443 if isSecure else 8080) if isDesk else (443 if isSecure else 80))
    mws = MicroWebSrv(port=port, bindIP="127.0.0.1" if isDesk else "", webPath=HERE + "/www")
    if isSecure:
        mws.UseTLS("cert.pem", "key.pem")
    mws.AllowedHosts = ["panel.local", "localhost"]     # and all IP addresses; prevents DNS rebinding
    mws.MaxRequestContentLen = 2048
    mws.WebSocketThreaded = False                       # the callbacks return at once
    SecurityHeaders(mws)
    UseSessions(mws, maxAgeSec=3600, store=MemoryStore(20), name="panel")
    Protect(mws, "/admin", state["users"], "form", "Control panel", logoutPath="/admin/logout", page=Card)
    mws.After(OnAnswer)
    mws.SetErrorHandler(None, Card)

    def OnFirstSecond():                                # the port is ours: a password that is shown counts from now on
        mws.Ticks.remove(OnFirstSecond)
        if news:
            Save()
        place = "s" if isSecure else "", mws.GetPort()
        print("\n".join(news + ["The control panel is at http%s://127.0.0.1:%d/ - Ctrl-C ends it" % place]))
    mws.Ticks.extend((OnSecond, OnFirstSecond))
    mws.Start(threaded=False)


try:
    Main(sys.argv[1] if len(sys.argv) > 1 else "")
except (OSError, ValueError) as error:                  # another program has the port, or there is no such port
    print("The control panel can't start:", error.args[-1])
    sys.exit(1)
