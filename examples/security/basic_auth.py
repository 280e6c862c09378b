"""The browser asks for a name and a password. It needs microWebAuth.

    python3 examples/security/basic_auth.py     then     curl -u ada:engine http://127.0.0.1:8080/
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../../src")    # the modules' folder in a clone

from microWebAuth import HashPassword, Protect
from microWebSrv import MicroWebSrv

# Your own program should contain only the hashes: call print(HashPassword("…")) once.
users = {"ada": HashPassword("engine", 1000), "grace": HashPassword("cobol", 1000)}


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="Hello, %s!" % httpClient.GetUser())


mws = MicroWebSrv(port=8080)
Protect(mws, "/", users)
print("Open http://127.0.0.1:8080/ as ada with the password engine - Ctrl-C ends it")
mws.Start(threaded=False)
