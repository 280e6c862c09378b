# Looks where it should not: the private names that programs in the wild read.

from microWebSrv import MicroWebSrv

def _log(httpClient) :
  return { 'ip'     : httpClient._addr[0],
           'port'   : httpClient._addr[1] == httpClient.GetPort(),
           'same'   : httpClient._addr == httpClient.GetAddr() and httpClient._addr[0] == httpClient.GetIPAddr(),
           'path'   : httpClient._resPath,
           'params' : dict(httpClient._queryParams),
           'title'  : httpClient._microWebSrv.title,
           'server' : httpClient._microWebSrv is mws and httpClient.GetServer() is mws }

@MicroWebSrv.route('/peek')
def _peek(httpClient, httpResponse) :
  httpResponse.WriteResponseJSONOk(_log(httpClient))

@MicroWebSrv.route('/public')
def _public(httpClient, httpResponse) :
  params  = httpClient.GetRequestQueryParams()
  headers = httpClient.GetRequestHeaders()
  httpResponse.WriteResponseJSONOk( { 'method' : httpClient.GetRequestMethod(),
                                      'total'  : httpClient.GetRequestTotalPath(),
                                      'path'   : httpClient.GetRequestPath(),
                                      'query'  : httpClient.GetRequestQueryString(),
                                      'params' : [ [k, params[k]] for k in sorted(params) ],
                                      'has'    : [ 'a' in params, 'zz' in params, params.get('zz', 7) ],
                                      'header' : [ headers['x-thing'], headers['X-Thing'], headers.get('X-THING') ],
                                      'names'  : sorted( [ name for name in headers if name.lower() == 'x-thing' ] ),
                                      'none'   : headers.get('x-none'),
                                      'type'   : httpClient.GetRequestContentType(),
                                      'length' : httpClient.GetRequestContentLength(),
                                      'body'   : len(httpClient.ReadRequestContent()) } )

@MicroWebSrv.route('/lookup')
def _lookup(httpClient, httpResponse) :
  handler, args = mws.GetRouteHandler('/item/12', 'GET')
  none          = mws.GetRouteHandler('/item/12', 'POST')
  httpResponse.WriteResponseJSONOk( { 'found' : handler is _item, 'id' : args['id'],
                                      'none'  : [ none[0] is None, none[1] is None ] } )

@MicroWebSrv.route('/item/<id>')
def _item(httpClient, httpResponse, routeArgs=None) :
  httpResponse.WriteResponseJSONOk(routeArgs)

mws       = MicroWebSrv()
mws.title = 'peeking'
mws.Start(threaded=True)
