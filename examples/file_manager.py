"""A file manager: drop files on its page or send them with curl, list, download and delete them. It needs
microWebUpload.py, and microWebFiles.py so that a broken download can continue.

    curl -F file=@photo.jpg http://127.0.0.1:8080/files
    curl -T photo.jpg http://127.0.0.1:8080/files/photo.jpg
    curl -O http://127.0.0.1:8080/files/photo.jpg
    curl -X DELETE http://127.0.0.1:8080/files/photo.jpg

The files are stored in the folder `files`. A file of 100 MB needs no more memory than one of 10 KB. Without its HTML
page, the program has 33 lines.
"""

import os
import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # the modules' folder in a clone

from microWebSrv import MicroWebSrv
from microWebUpload import AcceptUploads, SafeName

FOLDER = "files"


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/html", "UTF-8", PAGE)


@MicroWebSrv.route("/files")
def List(httpClient, httpResponse):
    names = [name for name in os.listdir(FOLDER) if name[0] != "."]     # a dot marks an incomplete upload
    httpResponse.WriteResponseJSONOk({name: os.stat(FOLDER + "/" + name)[6] for name in names})


@MicroWebSrv.route("/files", "POST")
@MicroWebSrv.route("/files/<name>", "PUT")
def Uploaded(httpClient, httpResponse, routeArgs=None):
    httpResponse.WriteResponseJSONOk([file.name for file in httpClient.upload.files])


@MicroWebSrv.route("/files/<name>")
def Download(httpClient, httpResponse, routeArgs):
    name = SafeName(str(routeArgs["name"])) or "none"
    httpResponse.WriteResponseFileAttachment(FOLDER + "/" + name, name)


@MicroWebSrv.route("/files/<name>", "DELETE")
def Delete(httpClient, httpResponse, routeArgs):
    try:
        os.remove(FOLDER + "/" + (SafeName(str(routeArgs["name"])) or "none"))
    except OSError:
        httpResponse.WriteResponseNotFound()


PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>Files</title></head>
<body style="min-height: 95vh">
  <h1>Files</h1>
  <p><label>Drop files here, or choose them: <input type="file" id="file" multiple></label></p>
  <p><progress id="bar" max="1" value="0"></progress> <output id="state"></output></p>
  <ul id="list"></ul>
  <script>
    const Find = id => document.getElementById(id);
    const Url = name => "/files/" + encodeURIComponent(name);
    async function List() {
      const files = await (await fetch("/files")).json();
      Find("list").replaceChildren(...Object.keys(files).sort().map(name => {
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
    function Send(files) {
      const form = new FormData(), request = new XMLHttpRequest();
      for (const file of files) form.append("file", file);
      request.upload.onprogress = event => { Find("bar").value = event.loaded / event.total; };
      request.onloadend = () => {
        Find("state").value = request.status == 200 ? "" : "refused: " + request.status;
        List();
      };
      request.open("POST", "/files");
      request.send(form);
    }
    Find("file").onchange = event => Send(event.target.files);
    document.ondragover = event => event.preventDefault();
    document.ondrop = event => { event.preventDefault(); Send(event.dataTransfer.files); };
    List();
  </script>
</body>
</html>"""

mws = MicroWebSrv(port=8080)
AcceptUploads(mws, "/files", FOLDER, maxFiles=50, maxParts=50)
AcceptUploads(mws, "/files", FOLDER, "PUT")
print("Open http://127.0.0.1:8080/ - Ctrl-C ends it")
mws.Start(threaded=False)
