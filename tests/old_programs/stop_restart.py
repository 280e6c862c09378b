# Starts, is stopped by a request, starts again on the same object, and says each time whether it runs.

from microWebSrv import MicroWebSrv
import time

@MicroWebSrv.route('/hello')
def _hello(httpClient, httpResponse) :
  httpResponse.WriteResponseOk(contentType='text/plain', content='round %d' % rounds)

@MicroWebSrv.route('/stop', 'POST')
def _stop(httpClient, httpResponse) :
  httpResponse.WriteResponseOk(contentType='text/plain', content='stopping')
  httpClient.GetServer().Stop()

mws    = MicroWebSrv()
rounds = 0
print('BEFORE %s' % mws.IsStarted())
while rounds < 3 :
  rounds += 1
  mws.Start(threaded=True)
  print('STARTED %s' % mws.IsStarted())
  while mws.IsStarted() :
    time.sleep(0.02)
  print('STOPPED %s' % mws.IsStarted())
