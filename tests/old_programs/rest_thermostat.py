# A small REST interface in a class: handlers are bound methods, state hangs on the server and on the client.

from microWebSrv import MicroWebSrv

class Thermostat :

  def __init__(self) :
    self._wanted = { }
    self._calls  = 0

  def getAll(self, httpClient, httpResponse) :
    self._calls += 1
    httpResponse.WriteResponseJSONOk(self._wanted)

  def getOne(self, httpClient, httpResponse, routeArgs) :
    room = routeArgs['room']
    if room in self._wanted :
      httpResponse.WriteResponseJSONOk( obj = { "room" : room, "wanted" : self._wanted[room] } )
    else :
      httpResponse.WriteResponseJSONError( 404, { "error" : "no room %s" % room } )

  def put(self, httpClient, httpResponse, routeArgs) :
    data = httpClient.ReadRequestContentAsJSON()
    if not isinstance(data, dict) or 'wanted' not in data :
      return httpResponse.WriteResponseJSONError( 400, { "error" : "bad json: %s" % data } )
    self._wanted[routeArgs['room']] = data['wanted']
    httpClient.GetServer().lastRoom = routeArgs['room']
    httpResponse.WriteResponseJSONOk( { "ok" : True }, headers = { "X-Room" : routeArgs['room'] } )

  def delete(self, httpClient, httpResponse, routeArgs) :
    httpClient.removed = self._wanted.pop(routeArgs['room'], None)
    if httpClient.removed is None :
      httpResponse.WriteResponseNotFound()
    else :
      httpResponse.WriteResponse(204, None, None, None, None)

  def last(self, httpClient, httpResponse) :
    mws = httpClient.GetServer()
    httpResponse.WriteResponseJSONOk( [ mws.lastRoom, mws.title, self._calls ] )

  def nothing(self, httpClient, httpResponse) :
    httpResponse.WriteResponseJSONOk()

t   = Thermostat()
mws = MicroWebSrv( routeHandlers = [
                     ( '/api/rooms',        'GET',    t.getAll  ),
                     ( '/api/rooms/<room>', 'GET',    t.getOne  ),
                     ( '/api/rooms/<room>', 'PUT',    t.put     ),
                     ( '/api/rooms/<room>', 'DELETE', t.delete  ),
                     ( '/api/last',         'GET',    t.last    ),
                     ( '/api/nothing',      'GET',    t.nothing ) ],
                   port = 8000 )
mws.title    = 'thermostat'
mws.lastRoom = None
mws.Start(threaded=False)
