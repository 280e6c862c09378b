"""A door that opens with a code. The log-in is a session: the browser has a signed cookie, the board stores the
values. Pages of other sites can't press the button (CSRF). It needs microWebSession.py.

    microwebsrv examples/door.py      or, on a board, as main.py          The code is 2580.
"""

import time

from machine import Pin
from microWebSession import MemoryStore, UseSessions
from microWebSrv import MicroWebSrv

CODE = "2580"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>Door</title></head>
<body>
  <h1>Door</h1>
  <p>%s</p>
  <form method="post">
    <input type="hidden" name="csrf" value="%s">
    %s
  </form>
</body>
</html>"""
ASK = '<label>Code <input name="code" type="password" inputmode="numeric" autofocus></label> <button>Enter</button>'
OPEN = '<button formaction="/open">Open</button> <button formaction="/leave">Leave</button>'

pin = Pin(2, Pin.OUT, value=0)
wrong = [0, 0]              # number of wrong codes in a row, and the time until which no code is accepted


def Show(httpResponse, text, fields):
    page = PAGE % (text, httpResponse.vars["CSRF"], fields)
    httpResponse.WriteResponseOk({"Cache-Control": "no-store"}, "text/html", "UTF-8", page)


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    if httpClient.GetSession().get("isIn"):
        Show(httpResponse, "You are logged in.", OPEN)
    else:
        Show(httpResponse, "Enter the code.", ASK)


@MicroWebSrv.route("/", "POST")
def Enter(httpClient, httpResponse):
    if time.time() < wrong[1]:
        return httpResponse.WriteResponseError(429)
    if httpClient.ReadRequestPostedFormData().get("code") != CODE:
        wrong[0] += 1
        if wrong[0] % 5 == 0:
            wrong[1] = time.time() + 60         # so an attacker can try only 7,200 codes a day
        return Show(httpResponse, "This code is wrong.", ASK)
    wrong[0] = 0
    session = httpClient.GetSession()
    session.Renew()                             # a session that somebody else knows becomes invalid
    session["isIn"] = True
    httpResponse.WriteResponseRedirect("/")


@MicroWebSrv.route("/open", "POST")
def Open(httpClient, httpResponse):
    if not httpClient.GetSession().get("isIn"):
        return httpResponse.WriteResponseForbidden()
    pin.value(1)
    print("The door opens.")
    pin.value(0)
    httpResponse.WriteResponseRedirect("/")


@MicroWebSrv.route("/leave", "POST")
def Leave(httpClient, httpResponse):
    httpClient.GetSession().Clear()
    httpResponse.WriteResponseRedirect("/")


mws = MicroWebSrv()
UseSessions(mws, store=MemoryStore(maxSessions=8))
mws.Start(threaded=False)
