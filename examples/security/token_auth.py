"""Programs log in with a token. It needs microWebAuth.

    python3 examples/security/token_auth.py
    curl -H "Authorization: Bearer kWx3uQ9zPpQ0" http://127.0.0.1:8080/
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../../src")    # the modules' folder in a clone

from microWebAuth import HashPassword, Protect
from microWebSrv import MicroWebSrv

# Of a token that is long and random one iteration is enough. Your program has the hash only.
programs = {"thermostat": HashPassword("kWx3uQ9zPpQ0", 1)}


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="Hello, %s!" % httpClient.GetUser())


mws = MicroWebSrv(port=8080)
Protect(mws, "/", programs, "bearer")
print("The API is at http://127.0.0.1:8080/ - Ctrl-C ends it")
mws.Start(threaded=False)
