# Flask on Waitress: wsgi_flask.py PORT FOLDER
import sys

from flask import Flask, jsonify, render_template, request
from waitress import serve

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
app = Flask(__name__, static_folder=FOLDER + "/www/static", template_folder=FOLDER + "/templates")
TEXT = {"Content-Type": "text/plain; charset=UTF-8"}


def TestFunction(x):
    return "IN TEST FUNCTION %s" % x


@app.get("/hello")
def Hello():
    return "Hello, World!", TEXT


@app.get("/edit/<int:id>/<path>")
def Edit(id, path):
    return "%d %s" % (id, path), TEXT


@app.post("/json")
def Json():
    obj = request.get_json()
    return jsonify(hello=obj["name"], sum=sum(obj["values"]))


@app.post("/form")
def Form():
    form = request.form
    return "%s %s %s" % (form["firstname"], form["lastname"], form["note"]), TEXT


@app.get("/template")
def Page():
    return render_template("seed.html", _testFunction=TestFunction)


serve(app, host="127.0.0.1", port=PORT, threads=4, connection_limit=1000, backlog=511, _quiet=True)
