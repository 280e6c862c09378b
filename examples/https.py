"""A page over HTTPS, and a second port that redirects to it. It needs microWebSrv.py and microWebTls.py, and in the
current folder a certificate and its key, cert.pem and key.pem. To try it on this machine:

    python3 tools/make_certificate.py localhost 127.0.0.1 -o .
    python3 examples/https.py        or        micropython examples/https.py

Then open https://localhost:8443/ in a browser.
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # the modules' folder in a clone

from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    how = "this connection is encrypted" if httpClient.IsSecure() else "this connection is not encrypted"
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content="<h1>%s</h1>" % how)


mws = MicroWebSrv(port=8443)
try:
    mws.UseTLS("cert.pem", "key.pem")
except OSError:
    print("There is no cert.pem with its key.pem in this folder: tools/make_certificate.py makes them")
    sys.exit(1)
try:
    mws.RedirectToHTTPS(8080)
    mws.Start(threaded=False)           # until Ctrl-C
except OSError as error:                # another program has one of the ports
    print(error.args[-1])
    sys.exit(1)
