"""The server remembers the name of a visitor in a session. It needs microWebSession.

    python3 examples/security/session.py        or        micropython examples/security/session.py
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../../src")    # the modules' folder in a clone

from microWebSession import UseSessions
from microWebSrv import MicroWebSrv

PAGE = '<!DOCTYPE html><html lang="en"><title>Who are you?</title><h1>Who are you?</h1>%s</html>'
ASK = '<form method="post"><label>Name <input name="name" autofocus></label> <button>That is me</button></form>'
GREET = '<p>Hello <b>%s</b>!</p><form method="post" action="/forget"><button>Forget me</button></form>'


@MicroWebSrv.route("/")
def Show(httpClient, httpResponse):
    name = httpClient.GetSession().get("name")
    content = GREET % MicroWebSrv.HTMLEscape(name) if name else ASK
    httpResponse.WriteResponseOk(None, "text/html", "UTF-8", PAGE % content)


@MicroWebSrv.route("/", "POST")
def Remember(httpClient, httpResponse):
    httpClient.GetSession()["name"] = httpClient.ReadRequestPostedFormData().get("name", "")
    httpResponse.WriteResponseRedirect("/")


@MicroWebSrv.route("/forget", "POST")
def Forget(httpClient, httpResponse):
    httpClient.GetSession().Clear()
    httpResponse.WriteResponseRedirect("/")


mws = MicroWebSrv(port=8080)
UseSessions(mws)                # give it a stored key, and sessions survive a restart
print("Open http://127.0.0.1:8080/ - Ctrl-C ends it")
mws.Start(threaded=False)
