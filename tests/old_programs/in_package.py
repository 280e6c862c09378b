# The three files live in a folder of the project, reached by its name.

from web.microWebSrv import MicroWebSrv

def _accept(webSocket, httpClient) :
  webSocket.RecvTextCallback = lambda ws, msg : ws.SendText(msg.upper())

@MicroWebSrv.route('/hello')
def _hello(httpClient, httpResponse) :
  httpResponse.WriteResponseOk(contentType='text/plain', content='from a package')

mws = MicroWebSrv(webPath='www')
mws.AcceptWebSocketCallback = _accept
mws.Start(threaded=True)
