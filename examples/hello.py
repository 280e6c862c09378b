"""The smallest site: one page and one route with an argument. It needs microWebSrv.py alone.

    python3 examples/hello.py        or        micropython examples/hello.py
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # the modules' folder in a clone

from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8",
                                 content="<h1>It works</h1><p><a href='/hello/World'>Say hello</a></p>")


@MicroWebSrv.route("/hello/<name>")
def Hello(httpClient, httpResponse, routeArgs):
    httpResponse.WriteResponseOk(contentType="text/plain", contentCharset="UTF-8",
                                 content="Hello, %s!" % routeArgs["name"])


mws = MicroWebSrv(port=8080)
print("Open http://127.0.0.1:8080/ - Ctrl-C ends it")
mws.Start(threaded=False)
