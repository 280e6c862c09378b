# A page in /flash/www, a form with accents and signs, the settings kept in a JSON file.

from microWebSrv import MicroWebSrv
import json

def _load() :
  try :
    with open('settings.json') as f :
      return json.load(f)
  except (OSError, ValueError) :
    return { }

@MicroWebSrv.route('/settings')
def _get(httpClient, httpResponse) :
  httpResponse.WriteResponseJSONOk(_load())

@MicroWebSrv.route('/settings', 'POST')
def _post(httpClient, httpResponse) :
  settings = _load()
  form     = httpClient.ReadRequestPostedFormData()
  for key in form :
    settings[key] = form[key]
  with open('settings.json', 'w') as f :
    json.dump(settings, f)
  httpResponse.WriteResponseRedirect('/')

srv = MicroWebSrv()
srv.Start()
