"""A form: shown by GET, taken by POST, and a redirect after it, so that reloading the page posts nothing twice.

    python3 examples/form.py         or        micropython examples/form.py
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # where the modules are in a clone

from microWebSrv import MicroWebSrv

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><title>Guest book</title></head>
<body>
  <h1>Guest book</h1>
  <form method="post" action="/sign">
    <label>Name <input name="name" required maxlength="40"></label>
    <label>Message <input name="message" maxlength="200"></label>
    <button>Sign</button>
  </form>
  <ul>%s</ul>
</body>
</html>"""

entries = []


@MicroWebSrv.route("/")
def Show(httpClient, httpResponse):
    # What a visitor typed is escaped: it is shown, never run.
    items = ["<li><b>%s</b> %s</li>" % (MicroWebSrv.HTMLEscape(name), MicroWebSrv.HTMLEscape(message))
             for name, message in entries]
    httpResponse.WriteResponseOk(contentType="text/html", contentCharset="UTF-8", content=PAGE % "".join(items))


@MicroWebSrv.route("/sign", "POST")
def Sign(httpClient, httpResponse):
    form = httpClient.ReadRequestPostedFormData()
    name = form.get("name", "").strip()
    if not name:
        return httpResponse.WriteResponseBadRequest()
    entries.append((name[:40], form.get("message", "")[:200]))
    if len(entries) > 50:
        entries.pop(0)
    httpResponse.WriteResponseRedirect("/")


mws = MicroWebSrv(port=8080)
print("Open http://127.0.0.1:8080/ - Ctrl-C ends it")
mws.Start(threaded=False)
