# Pictures without end on a server without threads: a head, then raw parts until the viewer has gone.

from microWebSrv import MicroWebSrv
import time

seen = [ ]

def picture(number) :
  return bytes( [ 0xFF, 0xD8, number & 0xFF ] ) + b'\x00\r\n--frame' * 300 + bytes( [ 0xFF, 0xD9 ] )

def _stream(httpClient, httpResponse) :
  httpResponse.WriteResponseOk( headers        = { 'Cache-Control' : 'no-store' },
                                contentType    = 'multipart/x-mixed-replace; boundary=frame',
                                contentCharset = None,
                                content        = None )
  number = 0
  try :
    while True :
      jpeg = picture(number)
      if not httpResponse._write('--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n' % len(jpeg),
                                 strEncoding='ISO-8859-1') :
        break
      if not httpResponse._write(jpeg) :
        break
      if not httpResponse._write('\r\n', strEncoding='UTF-8') :
        break
      number += 1
      time.sleep(0.01)
  except :
    pass
  seen.append(number)

def _few(httpClient, httpResponse) :
  httpResponse.WriteResponseOk(None, 'multipart/x-mixed-replace; boundary=frame', None, None)
  for number in range(3) :
    httpResponse._write(b'--frame\r\n\r\n' + bytes( [ 48 + number ] ) + b'\r\n')
  httpResponse._write('--frame--\r\n')

def _seen(httpClient, httpResponse) :
  httpResponse.WriteResponseJSONOk(seen)

mws = MicroWebSrv( [ ('/stream', 'GET', _stream), ('/few', 'GET', _few), ('/seen', 'GET', _seen) ] )
mws.Start(threaded=False)
