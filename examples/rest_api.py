"""A REST API with its tests: a list of tasks, kept in memory, that the pages of another site may use. It needs
microWebRoutes.py, microWebJson.py and microWebCors.py beside microWebSrv.py.

    curl -H "Content-Type: application/json" -d '{"title": "water the plants"}' http://127.0.0.1:8080/tasks
    curl -X DELETE http://127.0.0.1:8080/tasks/1
    pytest -c /dev/null examples/rest_api.py        (-c /dev/null: without the clone's pytest settings)
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # the modules' folder in a clone

import microWebCors
import microWebJson
import microWebRoutes
from microWebSrv import MicroWebSrv

# Handlers run one after the other on the server's thread, so data that only they use needs no lock.
tasks = {}
api = microWebRoutes.Group("/tasks")


@api.route("/")
def List(httpClient, httpResponse):
    return [tasks[taskId] for taskId in sorted(tasks)]


@api.route("/", "POST")
def Create(httpClient, httpResponse):
    title = httpClient.ReadJSON({"title": str})["title"]
    taskId = max(tasks) + 1 if tasks else 1
    tasks[taskId] = {"id": taskId, "title": title, "done": False}
    return 201, tasks[taskId], {"Location": mws.GetUrl(Get, id=taskId)}


@api.route("/<int:id>")
def Get(httpClient, httpResponse, routeArgs):
    return tasks.get(routeArgs["id"]) or (404, None)


@api.route("/<int:id>", "PUT")
def Change(httpClient, httpResponse, routeArgs):
    given = httpClient.ReadJSON({"title": str, "done": bool})
    task = tasks.get(routeArgs["id"])
    if task:
        task["title"], task["done"] = given["title"], given["done"]
    return task or (404, None)


@api.route("/<int:id>", "DELETE")
def Delete(httpClient, httpResponse, routeArgs):
    return (204 if tasks.pop(routeArgs["id"], None) else 404), None


mws = MicroWebSrv(port=8080)
mws.AddRoutes("", api)
microWebCors.AllowOrigins(mws, "https://panel.example", expose="Location")
microWebJson.ProblemErrors(mws)
if __name__ == "__main__":
    mws.Start(threaded=False)


def test_tasks():
    from microWebTestClient import TestClient
    with TestClient(mws) as client:
        made = client.Post("/tasks", json={"title": "water"}, headers={"Origin": "https://panel.example"})
        assert (made.code, made.headers["access-control-allow-origin"]) == (201, "https://panel.example")
        url = made.headers["location"]
        assert client.Put(url, json={"title": "water", "done": True}).GetJSON() == client.Get("/tasks").GetJSON()[0]
        assert [client.Post("/tasks", json=[1]).code, client.Delete(url).code, client.Get(url).code] == [400, 204, 404]
