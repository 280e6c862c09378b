"""Files: list them, upload them piece by piece, download them (with ranges, so that a download can go on), delete them.

    curl -T photo.jpg http://127.0.0.1:8080/files/photo.jpg
    curl http://127.0.0.1:8080/files
    curl -O http://127.0.0.1:8080/files/photo.jpg
    curl -X DELETE http://127.0.0.1:8080/files/photo.jpg

The files are kept in the folder `files`. An upload is never in memory as a whole: 100 MB need no more than 10 KB.
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # where the modules are in a clone

import os

from microWebSrv import MicroWebSrv

FOLDER = "files"


def PathOf(name):
    """The file of this name, or None where the name could lead out of the folder, or to a hidden file."""
    name = str(name)
    for char in "/\\:\0":
        if char in name:
            return None
    return None if name[:1] == "." else FOLDER + "/" + name


@MicroWebSrv.route("/files")
def List(httpClient, httpResponse):
    names = sorted(os.listdir(FOLDER))
    httpResponse.WriteResponseJSONOk({name: os.stat(FOLDER + "/" + name)[6] for name in names})


@MicroWebSrv.route("/files/<name>")
def Download(httpClient, httpResponse, routeArgs):
    path = PathOf(routeArgs["name"])
    if not path:
        return httpResponse.WriteResponseForbidden()
    httpResponse.WriteResponseFileAttachment(path, str(routeArgs["name"]))


@MicroWebSrv.route("/files/<name>", "PUT")
async def Upload(httpClient, httpResponse, routeArgs):
    path = PathOf(routeArgs["name"])
    if not path:
        return httpResponse.WriteResponseForbidden()
    part = path + ".part"               # a broken upload leaves the old file as it was
    with open(part, "wb") as file:
        piece = await httpClient.ReadRequestContent(2048)
        while piece:
            file.write(piece)
            piece = await httpClient.ReadRequestContent(2048)
    os.rename(part, path)
    httpResponse.WriteResponse(201, {"Location": "/files/%s" % routeArgs["name"]}, None, None, None)


@MicroWebSrv.route("/files/<name>", "DELETE")
def Delete(httpClient, httpResponse, routeArgs):
    path = PathOf(routeArgs["name"])
    if not path:
        return httpResponse.WriteResponseForbidden()
    try:
        os.remove(path)
    except OSError:
        httpResponse.WriteResponseNotFound()


try:
    os.mkdir(FOLDER)
except OSError:
    pass                    # it is there already

mws = MicroWebSrv(port=8080)
print("The files are at http://127.0.0.1:8080/files - Ctrl-C ends it")
mws.Start(threaded=False)
