# Everybody sees what anybody says: WebSockets without threads, a list of them, attributes of our own on each.

from microWebSrv import MicroWebSrv

sockets = [ ]

def _broadcast(text) :
  for ws in sockets :
    if not ws.IsClosed() :
      ws.SendText(text)

def _accept(webSocket, httpClient) :
  webSocket.nick               = httpClient.GetRequestQueryParams().get('nick', 'anonymous')
  webSocket.count              = 0
  webSocket.RecvTextCallback   = _recvText
  webSocket.RecvBinaryCallback = _recvBinary
  webSocket.ClosedCallback     = _closed
  sockets.append(webSocket)
  _broadcast('+' + webSocket.nick)

def _recvText(webSocket, msg) :
  webSocket.count += 1
  _broadcast('%s %d: %s' % (webSocket.nick, webSocket.count, msg))

def _recvBinary(webSocket, data) :
  webSocket.SendBinary(data)

def _closed(webSocket) :
  sockets.remove(webSocket)
  _broadcast('-' + webSocket.nick)

def _push(httpClient, httpResponse) :
  _broadcast('pushed')
  httpResponse.WriteResponseJSONOk( { 'sockets' : len(sockets) } )

mws = MicroWebSrv( [ ('/push', 'GET', _push) ], webPath = 'www' )
mws.WebSocketThreaded       = False
mws.WebSocketStackSize      = 8192
mws.AcceptWebSocketCallback = _accept
mws.Start(threaded=False)
