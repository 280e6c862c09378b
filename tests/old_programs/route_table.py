# A table of routes, all arguments by position, the loop in the caller. The last line catches what is left.

from microWebSrv import MicroWebSrv

def _text(httpResponse, text) :
  return httpResponse.WriteResponse(200, None, "text/plain", "UTF-8", text)

def handlerFirst(httpClient, httpResponse, routeArgs=None) :
  _text(httpResponse, "first")

def handlerSecond(httpClient, httpResponse, routeArgs=None) :
  _text(httpResponse, "second")

def handlerPost(httpClient, httpResponse) :
  _text(httpResponse, "post:%s" % httpClient.GetRequestMethod())

def handlerEdit(httpClient, httpResponse, routeArgs) :
  testid = routeArgs['testid']
  kind   = 'int' if isinstance(testid, int) else 'str'
  _text(httpResponse, "%s %s|%s" % (kind, testid, routeArgs['testpath']))

def handlerAny(httpClient, httpResponse, routeArgs=None) :
  _text(httpResponse, "any:" + httpClient.GetRequestPath())

routeHandlers = [
  ( "/same",                     "GET",  handlerFirst  ),
  ( "/same",                     "GET",  handlerSecond ),
  ( "/slash/",                   "GET",  handlerSecond ),
  ( "/Case",                     "GET",  handlerSecond ),
  ( "/post-test",                "POST", handlerPost   ),
  ( "/edit/<testid>/<testpath>", "GET",  handlerEdit   ),
  ( "/.*",                       "GET",  handlerAny    )
]

mws = MicroWebSrv(routeHandlers, 8080, '0.0.0.0', 'www')
mws.Start(False)
