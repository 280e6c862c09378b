"""A REST API: a list of tasks, kept in memory. Every answer is JSON and says with its status what happened. It
needs microWebSrv.py alone.

    curl -d '{"title": "water the plants"}' http://127.0.0.1:8080/tasks
    curl http://127.0.0.1:8080/tasks
    curl -X PUT -d '{"title": "water them", "done": true}' http://127.0.0.1:8080/tasks/1
    curl -X DELETE http://127.0.0.1:8080/tasks/1
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # where the modules are in a clone

from microWebSrv import MicroWebSrv

# Handlers run one after the other on the server's engine: what only they touch needs no lock.
tasks = {}
lastId = 0


def TaskFrom(httpClient):
    """The task in the request's content, or None where it is none."""
    obj = httpClient.ReadRequestContentAsJSON()
    if not isinstance(obj, dict) or not isinstance(obj.get("title"), str):
        return None
    return {"title": obj["title"], "done": bool(obj.get("done"))}


@MicroWebSrv.route("/tasks")
def List(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk([tasks[taskId] for taskId in sorted(tasks)])


@MicroWebSrv.route("/tasks", "POST")
def Create(httpClient, httpResponse):
    global lastId
    task = TaskFrom(httpClient)
    if task is None:
        return httpResponse.WriteResponseJSONError(400, {"error": "a task has a title"})
    lastId += 1
    task["id"] = lastId
    tasks[lastId] = task
    httpResponse.WriteResponse(201, {"Location": "/tasks/%d" % lastId}, None, None, None)


@MicroWebSrv.route("/tasks/<id>")
def Get(httpClient, httpResponse, routeArgs):
    task = tasks.get(routeArgs["id"])
    if task is None:
        return httpResponse.WriteResponseJSONError(404)
    httpResponse.WriteResponseJSONOk(task)


@MicroWebSrv.route("/tasks/<id>", "PUT")
def Change(httpClient, httpResponse, routeArgs):
    task = TaskFrom(httpClient)
    if task is None:
        return httpResponse.WriteResponseJSONError(400, {"error": "a task has a title"})
    if routeArgs["id"] not in tasks:
        return httpResponse.WriteResponseJSONError(404)
    tasks[routeArgs["id"]].update(task)
    httpResponse.WriteResponseJSONOk(tasks[routeArgs["id"]])


@MicroWebSrv.route("/tasks/<id>", "DELETE")
def Delete(httpClient, httpResponse, routeArgs):
    if tasks.pop(routeArgs["id"], None) is None:
        return httpResponse.WriteResponseJSONError(404)
    # Nothing is written: that is 204 No Content.


mws = MicroWebSrv(port=8080)
print("The API is at http://127.0.0.1:8080/tasks - Ctrl-C ends it")
mws.Start(threaded=False)
