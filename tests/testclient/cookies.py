# Cookies are kept as in a browser.

from checks import Make, Ok, Route
from microWebTestClient import TestClient


@Route("/show")
@Route("/a")
@Route("/a/b")
@Route("/ab")
def Show(httpClient, httpResponse):
    Ok(httpResponse, httpClient.GetRequestHeaders().get("cookie", ""))


@Route("/a/set", "POST")
def Set(httpClient, httpResponse):
    httpResponse.WriteResponseOk([("Set-Cookie", line) for line in httpClient.ReadRequestContentAsJSON()], "text/plain", None, "x")


mws = Make()
with TestClient(mws) as client, TestClient(mws, isSecure=True) as secure:
    def Bake(*lines):
        client.Post("/a/set", json=lines)
        secure.Post("/a/set", json=lines)

    def Sent(path, client=client):
        return client.Get(path).text

    Bake("one=1", "two=2; Path=/", "three=3; Path=/a/b; HttpOnly; SameSite=Lax", "four = 4 ; path=/ab", "five=5; path=nonsense")
    assert Sent("/show") == "two=2" and Sent("/ab") == "four=4; two=2"
    assert Sent("/a") == "five=5; one=1; two=2", Sent("/a")             # the default path is that of the folder
    assert Sent("/a/b?x=/show") == "three=3; five=5; one=1; two=2"      # the longest path first
    Bake("two=b; Path=/", "one=gone; Max-Age=0", "five=gone; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
         "four=x; path=/ab; expires=Thu, 01 Jan 2099 00:00:00 GMT", "three=y; Path=/a/b; Expires=nonsense",
         "six=6; Path=/; Max-Age=5; Expires=Wed, 21 Oct 2015 07:28:00 GMT")
    assert Sent("/a/b") == "three=y; six=6; two=b" and Sent("/ab") == "four=x; six=6; two=b"
    client.Advance(5)
    assert Sent("/a/b") == "three=y; two=b"
    Bake("safe=1; Secure; Path=/", "__Host-s=2; Secure; Path=/")
    assert Sent("/show") == "two=b" and Sent("/show", secure) == "__Host-s=2; safe=1; two=b"
    assert client.GetCookies("/a/b") == {"three": "y", "two": "b"}
    client.isSecure = True
    assert "safe" not in client.GetCookies()    # refused without TLS
    client.isSecure = False
    client.ClearCookies()
    client.SetCookie("mine", "1", secure=True)
    assert Sent("/show") == ""
    client.ClearCookies()
    client.SetCookie("two", 3, "/show", maxAge=10)
    client.SetCookie("two", "outer")
    assert client.GetCookies("/show") == {"two": "3"} and Sent("/show") == "two=3; two=outer" and Sent("/a") == "two=outer"
    assert client.Get("/show", headers={"Cookie": "by=hand"}).text == "by=hand"
    assert client.Get("/show", headers={"Cookie": None}).text == ""
