# Helpers for the programs in this folder.

import sys

from microWebSrv import MicroWebSrv

MICROPYTHON = sys.implementation.name == "micropython"
Route = MicroWebSrv.route
said = []                       # notes of a test, and the server's log


def Ok(httpResponse, text):
    httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", text)


def Raises(kind, func, *args):
    """The text of the expected error."""
    try:
        func(*args)
    except kind as error:
        return str(error)
    raise AssertionError("no " + kind.__name__)


def Make(routes=()):
    mws = MicroWebSrv(routes, 0, webPath="www")
    mws.ErrorCallback = lambda text, error: said.append((text, error))
    return mws
