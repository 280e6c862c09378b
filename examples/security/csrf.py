"""A bank, and on port 8081 another site whose page tries to pay with your money. It gets a 403.
It needs microWebSession.

    python3 examples/security/csrf.py        or        micropython examples/security/csrf.py
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../../src")    # the modules' folder in a clone

from microWebSession import UseSessions
from microWebSrv import MicroWebSrv

account = {"balance": 1000}
PAGE = ('<!DOCTYPE html><html lang="en"><title>Bank</title><h1>You have %d</h1>'
        '<form method="post"><label>Amount <input name="amount"></label> <button>Pay</button></form></html>')
EVIL = ('<!DOCTYPE html><html lang="en"><title>Prize</title><h1>You have won</h1>'
        '<form method="post" action="http://127.0.0.1:%d/"><input type="hidden" name="amount" value="100">'
        '<button>Take the prize</button></form></html>')


def Show(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/html", "UTF-8", PAGE % account["balance"])


def Pay(httpClient, httpResponse):
    amount = httpClient.ReadRequestPostedFormData().get("amount", "")
    if not amount.isdigit():
        return httpResponse.WriteResponseBadRequest()
    account["balance"] -= int(amount)
    httpResponse.WriteResponseRedirect("/")


def Prize(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/html", "UTF-8", EVIL % bank.port)


bank = MicroWebSrv([("/", "GET", Show), ("/", "POST", Pay)], port=8080)
UseSessions(bank)               # this call refuses requests from other sites
evil = MicroWebSrv([("/", "GET", Prize)], port=8081)
evil.Start(threaded=True)
print("The bank is at http://127.0.0.1:8080/, the other site at http://127.0.0.1:8081/ - Ctrl-C ends it")
bank.Start(threaded=False)
evil.Stop()
