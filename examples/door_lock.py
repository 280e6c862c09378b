"""A door lock on the network: people log in with a name and a password, and programs open the door with a token.
It needs microWebSrv.py and microWebAuth.py.

    curl -u anna:secret http://127.0.0.1:8080/door/
    curl -u anna:secret -d "" http://127.0.0.1:8080/door/open
    curl -H "Authorization: Bearer 7fgf-2k0x-9qqw" -d "" http://127.0.0.1:8080/api/open
    curl -u anna:guess http://127.0.0.1:8080/door/          repeat it a few times: then this address has to wait
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # the modules' folder in a clone

import microWebAuth
from microWebSrv import MicroWebSrv

# Your own program should contain only the hashes: call print(HashPassword("secret")) once, on the device. A token of
# random letters can't be guessed, so one iteration is enough for its hash, and checking it takes almost no time.
people = {"anna": microWebAuth.HashPassword("secret"), "ben": microWebAuth.HashPassword("hidden")}
programs = {"doorbell": microWebAuth.HashPassword("7fgf-2k0x-9qqw", 1)}

log = []


@MicroWebSrv.route("/door/")
def Page(httpClient, httpResponse):
    lines = "".join(["<li>" + MicroWebSrv.HTMLEscape(line) for line in log])
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content=(
        "<!DOCTYPE html><title>Door</title><h1>Hello, %s</h1><form method=\"post\" action=\"/door/open\">"
        "<button>Open the door</button></form><ul>%s</ul>" % (MicroWebSrv.HTMLEscape(httpClient.GetUser()), lines)))


@MicroWebSrv.route("/door/open", "POST")
def OpenByHand(httpClient, httpResponse):
    # A browser also sends the password with forms of other sites, so accept only our own form. Other clients send no
    # Origin.
    headers = httpClient.GetRequestHeaders()
    ours = "http://" + headers.get("host", "")
    if headers.get("origin", ours) != ours:
        return httpResponse.WriteResponseForbidden()
    Open(httpClient)
    httpResponse.WriteResponseRedirect("/door/")


@MicroWebSrv.route("/api/open", "POST")
def OpenByProgram(httpClient, httpResponse):
    Open(httpClient)
    httpResponse.WriteResponseJSONOk({"open": True, "by": httpClient.GetUser()})


def Open(httpClient):
    log.append("%s has opened it" % httpClient.GetUser())
    log[:] = log[-10:]


mws = MicroWebSrv(port=8080)
microWebAuth.Protect(mws, "/door", people, realm="Door")
microWebAuth.Protect(mws, "/api", programs, scheme="bearer", realm="Door")
mws.Start(threaded=False)
