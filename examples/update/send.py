"""Sends an update to a board, on CPython: python3 send.py URL program FILE…, or python3 send.py URL firmware FILE

Set the environment variable UPDATE_PASSWORD to the password of main.py. When the board has restarted and works:
python3 send.py URL confirm
"""

import hashlib
import json
import os
import sys
import urllib.error
import urllib.request
from base64 import b64encode


def Form(names):
    """Returns the boundary and the content: a manifest and the files."""
    boundary = os.urandom(16).hex()
    files = {}
    for name in names:
        with open(name, "rb") as file:
            files[os.path.basename(name)] = file.read()
    manifest = {name: [len(files[name]), hashlib.sha256(files[name]).hexdigest()] for name in files}
    parts = [b'; name="manifest"\r\n\r\n' + json.dumps(manifest).encode()]
    parts += [b'; name="file"; filename="%s"\r\n\r\n' % name.encode() + files[name] for name in files]
    body = b"".join([b"--%s\r\nContent-Disposition: form-data" % boundary.encode() + part + b"\r\n" for part in parts])
    return boundary, body + b"--%s--\r\n" % boundary.encode()


def Send(url, kind, names):
    password = os.environ.get("UPDATE_PASSWORD", "change this")
    headers = {"Authorization": b"Basic " + b64encode(b"updater:" + password.encode())}
    method, body = "POST", b""
    if kind == "program":
        boundary, body = Form(names)
        headers["Content-Type"] = "multipart/form-data; boundary=" + boundary
    elif kind == "firmware":
        method = "PUT"
        with open(names[0], "rb") as file:
            body = file.read()
        headers["X-SHA256"] = hashlib.sha256(body).hexdigest()
    try:
        request = urllib.request.Request(url + "/update/" + kind, body, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return "%d %s" % (answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return "%d %s" % (error.code, error.read().decode())


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print(Send(sys.argv[1], sys.argv[2], sys.argv[3:]))
