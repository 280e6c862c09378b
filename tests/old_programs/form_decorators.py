# A form, its answer, and a page with an optional argument: decorators only, one handler under two urls.

from microWebSrv import MicroWebSrv

@MicroWebSrv.route('/test')
def _httpHandlerTestGet(httpClient, httpResponse) :
  content = """\
  <!DOCTYPE html>
  <html lang=en>
    <head><meta charset="UTF-8" /><title>TEST GET</title></head>
    <body>
      <h1>TEST GET</h1>
      Client IP address = %s
      <br />
      <form action="/test" method="post" accept-charset="ISO-8859-1">
        First name: <input type="text" name="firstname"><br />
        Last name: <input type="text" name="lastname"><br />
        <input type="submit" value="Submit">
      </form>
    </body>
  </html>
  """ % httpClient.GetIPAddr()
  httpResponse.WriteResponseOk( headers         = None,
                                contentType     = "text/html",
                                contentCharset  = "UTF-8",
                                content         = content )

@MicroWebSrv.route('/test', 'POST')
def _httpHandlerTestPost(httpClient, httpResponse) :
  formData  = httpClient.ReadRequestPostedFormData()
  firstname = formData["firstname"]
  lastname  = formData["lastname"]
  content   = "<p>Firstname = %s<br />Lastname = %s</p>" % ( MicroWebSrv.HTMLEscape(firstname),
                                                             MicroWebSrv.HTMLEscape(lastname) )
  httpResponse.WriteResponseOk( headers         = None,
                                contentType     = "text/html",
                                contentCharset  = "UTF-8",
                                content         = content )

@MicroWebSrv.route('/edit/<index>')             # <IP>/edit/123           ->   args['index']=123
@MicroWebSrv.route('/edit/<index>/abc/<foo>')   # <IP>/edit/123/abc/bar   ->   args['index']=123  args['foo']='bar'
@MicroWebSrv.route('/edit')                     # <IP>/edit               ->   args={}
def _httpHandlerEditWithArgs(httpClient, httpResponse, args={}) :
  content = "EDIT"
  if args and 'index' in args :
    content += "|index=%s+1=%s" % (args['index'], args['index'] + 1)
  if args and 'foo' in args :
    content += "|foo=%s" % args['foo']
  httpResponse.WriteResponseOk(None, "text/plain", "UTF-8", content)

srv = MicroWebSrv(webPath='www/')
srv.MaxWebSocketRecvLen = 256
srv.WebSocketThreaded   = False
srv.Start()
