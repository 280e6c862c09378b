# Pages with code in them, by their url and from a route with variables.

from microWebSrv import MicroWebSrv

@MicroWebSrv.route('/status')
def _status(httpClient, httpResponse) :
  httpResponse.WriteResponsePyHTMLFile( 'www/status.pyhtml',
                                        headers = { 'Cache-Control' : 'no-cache' },
                                        vars    = { 'title'   : 'Status <1>',
                                                    'sensors' : [ ('in', 21.5), ('out', -3) ] } )

@MicroWebSrv.route('/plain')
def _plain(httpClient, httpResponse) :
  httpResponse.WriteResponsePyHTMLFile('www/plain.pyhtml')

@MicroWebSrv.route('/missing')
def _missing(httpClient, httpResponse) :
  httpResponse.WriteResponsePyHTMLFile('www/missing.pyhtml')

mws = MicroWebSrv(webPath='www')
mws.Start(threaded=True)
