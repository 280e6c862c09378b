# A session in a cookie: two Set-Cookie, a redirect, a message for the next page, 401 and 403.

from microWebSrv import MicroWebSrv

sessions = { }

def _user(httpClient) :
  headers = httpClient.GetRequestHeaders()
  cookie  = headers['cookie'] if 'cookie' in headers else ''
  for part in cookie.split(';') :
    part = part.strip()
    if part.startswith('sid=') :
      return sessions.get(part[4:])
  return None

@MicroWebSrv.route('/login', 'POST')
def _login(httpClient, httpResponse) :
  form = httpClient.ReadRequestPostedFormData()
  if form.get('password') != 's3cret & more' :
    httpResponse.WriteResponseError(401)
    return
  sid           = 'id%d' % (len(sessions) + 1)
  sessions[sid] = form['user']
  httpResponse.FlashMessage('welcome', messageStyle='info')
  httpResponse.WriteResponse( 303, [ ('Location',   '/me'),
                                     ('Set-Cookie', 'sid=%s; HttpOnly' % sid),
                                     ('Set-Cookie', 'lang=en') ], None, None, None )

@MicroWebSrv.route('/me')
def _me(httpClient, httpResponse) :
  user = _user(httpClient)
  if not user :
    return httpResponse.WriteResponseForbidden()
  httpResponse.WriteResponseOk( contentType = 'text/plain', contentCharset = 'UTF-8', content = 'Hello ' + user )

MicroWebSrv(webPath='www').Start(threaded=False)
