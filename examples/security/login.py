"""A log-in form: only users see the pages behind it. It needs microWebLogin, microWebAuth and microWebSession.

    python3 examples/security/login.py        or        micropython examples/security/login.py
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../../src")    # the modules' folder in a clone

import microWebLogin            # noqa: F401  adds the scheme "form" to Protect
from microWebAuth import HashPassword, Protect
from microWebSession import UseSessions
from microWebSrv import MicroWebSrv

users = {"ada": HashPassword("engine", 1000), "grace": HashPassword("cobol", 1000)}
PAGE = ('<!DOCTYPE html><html lang="en"><title>Inside</title><h1>Hello, %s!</h1>'
        '<form method="post" action="/logout"><button>Log out</button></form></html>')


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/html", "UTF-8", PAGE % MicroWebSrv.HTMLEscape(httpClient.GetUser()))


mws = MicroWebSrv(port=8080)
UseSessions(mws)
Protect(mws, "/", users, "form")
print("Open http://127.0.0.1:8080/ as ada with the password engine - Ctrl-C ends it")
mws.Start(threaded=False)
