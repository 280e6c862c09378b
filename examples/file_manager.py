"""A file manager: list files, upload them piece by piece, download them (with ranges, so that a download can go on),
delete them. It needs microWebAsync.py, and microWebFiles.py for the ranges. From a page, or with curl:

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
uploads = 0
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>Files</title></head>
<body>
  <h1>Files</h1>
  <p><input type="file" id="file"> <output id="state"></output></p>
  <ul id="list"></ul>
  <script>
    const Url = name => "/files/" + encodeURIComponent(name);
    async function List() {
      const files = await (await fetch("/files")).json();
      document.getElementById("list").replaceChildren(...Object.keys(files).sort().map(name => {
        const item = document.createElement("li"), link = document.createElement("a");
        const button = document.createElement("button");
        link.textContent = name;
        link.href = Url(name);
        button.textContent = "Delete";
        button.onclick = async () => { await fetch(Url(name), { method: "DELETE" }); List(); };
        item.append(link, " " + files[name] + " bytes ", button);
        return item;
      }));
    }
    document.getElementById("file").onchange = async event => {
      const file = event.target.files[0];
      const answer = await fetch(Url(file.name), { method: "PUT", body: file });
      document.getElementById("state").value = answer.ok ? "" : "refused: " + answer.status;
      List();
    };
    List();
  </script>
</body>
</html>"""


def PathOf(name):
    """The file of this name, or None where the name could lead out of the folder, or to a hidden file."""
    name = str(name)
    for char in "/\\:\0":
        if char in name:
            return None
    return None if name[:1] in ("", ".") else FOLDER + "/" + name


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content=PAGE)


@MicroWebSrv.route("/files")
def List(httpClient, httpResponse):
    names = sorted([name for name in os.listdir(FOLDER) if name[0] != "."])
    httpResponse.WriteResponseJSONOk({name: os.stat(FOLDER + "/" + name)[6] for name in names})


@MicroWebSrv.route("/files/<name>")
def Download(httpClient, httpResponse, routeArgs):
    path = PathOf(routeArgs["name"])
    if not path:
        return httpResponse.WriteResponseForbidden()
    httpResponse.WriteResponseFileAttachment(path, str(routeArgs["name"]))


@MicroWebSrv.route("/files/<name>", "PUT")
async def Upload(httpClient, httpResponse, routeArgs):
    global uploads
    path = PathOf(routeArgs["name"])
    if not path:
        return httpResponse.WriteResponseForbidden()
    uploads += 1
    part = "%s/.upload%d" % (FOLDER, uploads)       # each its own: two may send a file of one name at the same time
    try:
        with open(part, "wb") as file:
            piece = await httpClient.ReadRequestContent(2048)
            while piece:
                file.write(piece)
                piece = await httpClient.ReadRequestContent(2048)
    except BaseException:
        os.remove(part)                             # a broken upload leaves the old file as it was
        raise
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
print("Open http://127.0.0.1:8080/ - Ctrl-C ends it")
mws.Start(threaded=False)
