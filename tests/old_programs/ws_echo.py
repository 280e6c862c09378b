# WebSockets with a thread for each, as the default has it.

from microWebSrv import MicroWebSrv

def _acceptWebSocketCallback(webSocket, httpClient) :
  print("WS ACCEPT %s" % httpClient.GetRequestPath())
  webSocket.RecvTextCallback   = _recvTextCallback
  webSocket.RecvBinaryCallback = _recvBinaryCallback
  webSocket.ClosedCallback     = _closedCallback

def _recvTextCallback(webSocket, msg) :
  if msg == "bye" :
    webSocket.Close()
    print("CLOSED BY US %s" % webSocket.IsClosed())
  else :
    webSocket.SendText("Reply for %s" % msg)

def _recvBinaryCallback(webSocket, data) :
  webSocket.SendBinary(bytes(reversed(data)))

def _closedCallback(webSocket) :
  print("WS CLOSED")

mws = MicroWebSrv()                                    # TCP port 80 and files in /flash/www
mws.MaxWebSocketRecvLen     = 256                      # Default is set to 1024
mws.AcceptWebSocketCallback = _acceptWebSocketCallback # Function to receive WebSockets
mws.Start()                                            # Starts server in a new thread
