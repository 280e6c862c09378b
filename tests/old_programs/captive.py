# A captive portal: whatever a phone asks for leads to the page of the device.

from microWebSrv import MicroWebSrv

networks = [ "home", "caf\u00e9 <guest>" ]

@MicroWebSrv.route('/')
def _portal(httpClient, httpResponse) :
  items = ''.join( [ '<li>%s</li>' % MicroWebSrv.HTMLEscape(n) for n in networks ] )
  httpResponse.WriteResponseOk( contentType    = "text/html",
                                contentCharset = "UTF-8",
                                content        = "<ul>" + items + "</ul>" )

@MicroWebSrv.route('/join', 'POST')
def _join(httpClient, httpResponse) :
  form = httpClient.ReadRequestPostedFormData()
  ssid = form.get('ssid', None)
  if ssid not in networks :
    httpResponse.WriteResponseBadRequest()
    return
  with open('wifi.txt', 'w') as f :
    f.write('%d,%d' % (len(ssid), len(form['password'])))
  httpResponse.WriteResponseRedirect('http://my-device.wifi/')

mws = MicroWebSrv()
mws.SetNotFoundPageUrl("http://my-device.wifi")
mws.Start()
