# Files written by the program and sent from routes, shown or as an attachment.

from microWebSrv import MicroWebSrv
import os

def _log(httpClient, httpResponse) :
  with open('log.csv', 'w') as f :
    for i in range(1000) :
      f.write('%d;%d\n' % (i, i * i))
  httpResponse.WriteResponseFileAttachment('log.csv', 'My log.csv', headers = { 'X-Lines' : '1000' })
  print('LOG SENT')

def _show(httpClient, httpResponse) :
  httpResponse.WriteResponseFile( filepath    = 'log.csv',
                                  contentType = 'text/plain',
                                  headers     = { 'Cache-Control' : 'no-store' } )

def _page(httpClient, httpResponse) :
  ok = httpResponse.WriteResponseFile('www/index.html')
  print('PAGE %s' % ok)

def _gone(httpClient, httpResponse) :
  ok = httpResponse.WriteResponseFile('www/nowhere.html')
  print('GONE %s' % ok)

mws = MicroWebSrv( [ ('/log',  'GET', _log),
                     ('/show', 'GET', _show),
                     ('/page', 'GET', _page),
                     ('/gone', 'GET', _gone) ], webPath = 'www' )
mws.Start()
