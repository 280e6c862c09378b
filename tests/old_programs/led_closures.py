# Handlers made in a loop: closures and lambdas, registered in a list; a stack size by position.

from microWebSrv import MicroWebSrv

leds = { 'red' : 0, 'green' : 0, 'blue' : 0 }

def makeSwitch(name, value) :
  def handler(httpClient, httpResponse) :
    leds[name] = value
    httpResponse.WriteResponseRedirect('/leds?changed=' + name)
  return handler

routes = [ ]
for name in ('red', 'green', 'blue') :
  routes.append( ( '/%s/on'  % name, 'POST', makeSwitch(name, 1) ) )
  routes.append( ( '/%s/off' % name, 'POST', makeSwitch(name, 0) ) )

routes.append( ( '/leds', 'GET', lambda httpClient, httpResponse :
  httpResponse.WriteResponseJSONOk( { 'leds'    : leds,
                                      'changed' : httpClient.GetRequestQueryParams().get('changed') } ) ) )

mws = MicroWebSrv(routes)
mws.Start(True, 4096)
