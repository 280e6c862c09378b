"""Request smuggling: all obfuscations of mp/fuzz_smuggling.py, with the rooms on both runtimes and on real sockets."""

import re

import pytest

import harness
from http_tools import MP, SharedSite
import fuzz_smuggling as cases  # mp/ is on the path since http_tools is imported

PROGRAM = """
from microWebSrv import MicroWebSrv
from ready import Port

def Post(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, httpClient.ReadRequestContent())

def Smuggled(httpClient, httpResponse):
    httpResponse.WriteResponseOk(None, "text/plain", None, "smuggled")

mws = MicroWebSrv([("/p", "POST", Post), ("/smuggled", "GET", Smuggled)], Port(), "127.0.0.1", "www")
mws.ErrorCallback = lambda text, error: print("LOG", text, error)
mws.Start(threaded=False)
"""

site = SharedSite(PROGRAM)


@pytest.mark.parametrize("runtime", ("cpython", "micropython"))
def test_in_the_rooms(runtime, tmp_path):
    output = harness.RunProgram(runtime, MP / "fuzz_smuggling.py", tmp_path, (harness.SRC, MP, MP.parent))
    assert output == "%d CHECKED\n" % (len(cases.REFUSED) + len(cases.WHOLE))


def _Sent(port, data):
    with harness.RawClient(port) as client:
        client.Send(data)
        try:
            client.SendEnd()
        except OSError:             # closed already
            pass
        return client.ReadToEnd()


def test_refused_on_a_connection(site):
    """One response, which refuses and closes; the hidden request is never read."""
    for what, data in cases.REFUSED:
        answers = _Sent(site.port, data)
        count = len(re.findall(rb"HTTP/1\.1 \d\d\d ", answers))
        last = answers.rpartition(b"HTTP/1.1 ")[2]
        assert last[:1] in (b"4", b"5") and b"\r\nConnection: close\r\n" in last, (what, data, answers)
        assert not answers.endswith(b"\r\n\r\nsmuggled"), (what, data, answers)
        assert count == 1 or b"\r\n\r\nTransfer-Encoding" in data and count == 2, (what, data, answers)
    assert harness.Fetch(site.port, "/p", "POST", body=b"alive").body == b"alive"


def test_content_on_a_connection(site):
    """A name that only resembles Transfer-Encoding is ignored: Content-Length counts."""
    for what, data in cases.WHOLE:
        response, = harness.ParseResponses(_Sent(site.port, data), ("POST",))
        assert (response.status, response.body) == (200, cases.REST), what


def test_the_hidden_request_would_be_seen(site):
    """The tests above would find the hidden request: without obfuscation it is answered."""
    assert _Sent(site.port, cases.SMUGGLED).endswith(b"\r\n\r\nsmuggled")
