"""Only pages of https://example.org may read the answers of this server. It needs microWebCors.

    python3 examples/security/cors.py
    curl -i -H "Origin: https://example.org" http://127.0.0.1:8080/
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../../src")    # the modules' folder in a clone

from microWebCors import AllowOrigins
from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="Hello, pages!")


mws = MicroWebSrv(port=8080)
AllowOrigins(mws, "https://example.org", credentials=True)
print("The API is at http://127.0.0.1:8080/ - Ctrl-C ends it")
mws.Start(threaded=False)
