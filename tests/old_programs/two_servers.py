# A server for people and one for machines in the same program; routes by decorator are everybody's.

from microWebSrv import MicroWebSrv

@MicroWebSrv.route('/who')
def _who(httpClient, httpResponse) :
  httpResponse.WriteResponseOk(contentType='text/plain', content=httpClient.GetServer().role)

def _only(httpClient, httpResponse) :
  httpResponse.WriteResponseOk(contentType='text/plain', content='only here')

people        = MicroWebSrv(port=80, webPath='www')
people.role   = 'people'
machines      = MicroWebSrv([ ('/only', 'GET', _only) ], 81, '', 'www')
machines.role = 'machines'
people.Start()
machines.Start()
