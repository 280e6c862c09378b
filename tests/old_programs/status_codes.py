# Every way to say no, and what they return.

from microWebSrv import MicroWebSrv

answers = {
  'bad'       : lambda r : r.WriteResponseBadRequest(),
  'forbidden' : lambda r : r.WriteResponseForbidden(),
  'notfound'  : lambda r : r.WriteResponseNotFound(),
  'method'    : lambda r : r.WriteResponseMethodNotAllowed(),
  'internal'  : lambda r : r.WriteResponseInternalServerError(),
  'notimpl'   : lambda r : r.WriteResponseNotImplemented(),
  'modified'  : lambda r : r.WriteResponseNotModified(),
  'teapot'    : lambda r : r.WriteResponseError(418),
  'json'      : lambda r : r.WriteResponseJSONError(409, { 'why' : 'busy' }),
  'redirect'  : lambda r : r.WriteResponseRedirect('/elsewhere?x=1'),
  'created'   : lambda r : r.WriteResponse(201, { 'Location' : '/new' }, 'text/plain', 'UTF-8', 'caf\u00e9'),
  'empty'     : lambda r : r.WriteResponseOk(),
}

@MicroWebSrv.route('/do/<what>')
def _do(httpClient, httpResponse, routeArgs) :
  answer = answers.get(routeArgs['what'])
  if answer :
    print('%s %s' % (routeArgs['what'], answer(httpResponse)))

@MicroWebSrv.route('/boom')
def _boom(httpClient, httpResponse) :
  raise KeyError('a fault of the program')

@MicroWebSrv.route('/switch')
def _switch(httpClient, httpResponse) :
  httpResponse.WriteSwitchProto('chat', { 'X-Chat' : '1' })

MicroWebSrv().Start()
