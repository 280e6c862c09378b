# A body read in small pieces, as memory is short; and what a second reading gives.

from microWebSrv import MicroWebSrv

@MicroWebSrv.route('/upload', 'POST')
def _upload(httpClient, httpResponse) :
  total  = 0
  check  = 0
  pieces = 0
  while True :
    data = httpClient.ReadRequestContent(64)
    if not data :
      break
    pieces += 1
    total  += len(data)
    for b in data :
      check = (check * 31 + b) % 65521
  httpResponse.WriteResponseJSONOk( { 'type'   : httpClient.GetRequestContentType(),
                                      'length' : httpClient.GetRequestContentLength(),
                                      'total'  : total,
                                      'check'  : check,
                                      'enough' : pieces >= total // 64 } )

@MicroWebSrv.route('/count', 'POST')
def _count(httpClient, httpResponse) :
  left = httpClient.GetRequestContentLength()
  got  = b''
  while left > 0 :
    data  = httpClient.ReadRequestContent(min(left, 100))
    left -= len(data)
    got  += data
  httpResponse.WriteResponseOk( { 'X-Left' : str(left) }, 'application/octet-stream', None, got )

@MicroWebSrv.route('/twice', 'POST')
def _twice(httpClient, httpResponse) :
  a = httpClient.ReadRequestContent()
  b = httpClient.ReadRequestContent()
  httpResponse.WriteResponseOk( contentType = 'text/plain', contentCharset = 'UTF-8',
                                content = '%d,%d,%s' % (len(a), len(b), b == b'') )

@MicroWebSrv.route('/ignored', 'POST')
def _ignored(httpClient, httpResponse) :
  httpResponse.WriteResponseOk( contentType = 'text/plain', content = 'not read' )

mws = MicroWebSrv()
mws.Start(threaded=True, stackSize=16384)
