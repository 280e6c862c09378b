# Redirects are followed on demand.

from checks import Make, Ok, Raises, Route, said
from microWebTestClient import TestClient

TARGETS = {"rel": "there?x=1", "query": "?y=2", "abs": "http://localhost/there", "root": "http://localhost", "https": "https://localhost/there",
           "out": "http://example.com/", "hash": "/there#part", "loop": "/go/302/loop", "none": ""}


@Route("/go/<code>/<where>")
@Route("/go/<code>/<where>", "POST")
@Route("/go/<code>/<where>", "HEAD")
def Go(httpClient, httpResponse, args):
    query = httpClient.GetRequestQueryString()
    if query:
        return Ok(httpResponse, query)
    httpResponse.SetCookie("seen", args["code"])
    httpResponse.WriteResponse(args["code"], {"Location": TARGETS[args["where"]]}, None, None, None)


for path in ("/go/<code>/there", "/there", "/"):
    for method in ("GET", "POST", "HEAD"):
        @Route(path, method)
        def There(httpClient, httpResponse, args=None):
            said.append((httpClient.GetRequestMethod(), httpClient.ReadRequestContent()))
            Ok(httpResponse, httpClient.GetRequestTotalPath())


with TestClient(Make([("/go/<code>/there", "GET", There)])) as client:
    client.followRedirects = True
    assert client.Get("/go/302/rel").text in ("x=1", "/go/302/there?x=1")
    assert client.Get("/go/302/query").text == "y=2"
    assert client.Get("/go/302/abs").text == "/there" and client.Get("/go/302/root").text == "/"
    assert client.Get("/go/302/hash").text == "/there" and client.GetCookies() == {"seen": "302"}
    for where in ("https", "out"):
        response = client.Get("/go/302/" + where)
        assert response.code == 302 and response.location == TARGETS[where] and response.history == []
    del said[:]
    for code, got in ((301, ("GET", b"")), (302, ("GET", b"")), (303, ("GET", b"")), (307, ("POST", b"a=1")), (308, ("POST", b"a=1"))):
        response = client.Post("/go/%d/abs" % code, form={"a": 1})
        assert response.code == 200 and [one.code for one in response.history] == [code]
        assert said.pop() == got, (code, got)
    assert client.Head("/go/303/abs").code == 200 and said.pop()[0] == "HEAD"
    assert "more than 20 redirects" in Raises(OSError, client.Get, "/go/302/loop")
    assert client.Get("/go/302/abs", followRedirects=False).code == 302
    assert client.Get("/there").history == []
