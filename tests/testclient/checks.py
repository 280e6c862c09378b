# What the programs beside this one use.

import sys

from microWebSrv import MicroWebSrv

MICROPYTHON = sys.implementation.name == "micropython"
Route = MicroWebSrv.route
said = []                       # what a test wants to remember; the server's log, too


def Ok(httpResponse, text):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", text)


def Raises(kind, func, *args):
    """What an error of this kind says."""
    try:
        func(*args)
    except kind as error:
        return str(error)
    raise AssertionError("no " + kind.__name__)


def Make(routes=()):
    mws = MicroWebSrv(routes, 0, webPath="www")
    mws.ErrorCallback = lambda text, error: said.append((text, error))
    return mws
