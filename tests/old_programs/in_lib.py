# The three files live in lib/, as a board's package manager puts them, or beside the program.

try :
  from lib.microWebSrv import MicroWebSrv
except ImportError :
  from microWebSrv import MicroWebSrv

def _accept(webSocket, httpClient) :
  webSocket.RecvTextCallback = lambda ws, msg : ws.SendText(msg.upper())

@MicroWebSrv.route('/hello')
def _hello(httpClient, httpResponse) :
  httpResponse.WriteResponseOk(contentType='text/plain', content='from lib')

mws = MicroWebSrv(webPath='www')
mws.AcceptWebSocketCallback = _accept
mws.Start(threaded=True)
