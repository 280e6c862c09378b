# Files only, with media types of our own; nothing to be cached.

from microWebSrv import MicroWebSrv

MicroWebSrv._mimeTypes['.glb'] = 'model/gltf-binary'
MicroWebSrv._mimeTypes.update( { '.stl' : 'model/stl', '.txt' : 'text/x-ours' } )

mws = MicroWebSrv(port=80, bindIP='', webPath='www/')
mws.LetCacheStaticContentLevel = 0
for name in ('a.html', 'b.glb', 'dir/c.stl', 'd.txt', 'e.py', 'none') :
  print("TYPE %s %s" % (name, mws.GetMimeTypeFromFilename(name)))
mws.Start(threaded=False)
