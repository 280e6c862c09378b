# The program's own endless loop beside the server's thread; the handler reads what the loop measured.

from microWebSrv import MicroWebSrv
import time

class Sensor :
  value = 0

sensor = Sensor()

def _read(httpClient, httpResponse) :
  httpResponse.WriteResponseJSONOk( { 'value' : sensor.value } )

def main() :
  srv = MicroWebSrv(routeHandlers=[ ('/sensor', 'GET', _read) ], webPath='/flash/www')
  srv.Start(threaded=True, stackSize=12288)
  while True :
    sensor.value += 1
    time.sleep(0.01)

main()
