"""The laws of mp/fuzz_laws.py: the inputs stored by tools/fuzz.py are tested on both runtimes, and hypothesis generates
more.

A long search, guided by coverage: python3 tools/fuzz.py --seconds 600.
"""

import ast
import importlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from http_tools import MP
import fuzz_laws  # mp/ is on the path since http_tools is imported

CORPUS = harness.ROOT / "tests" / "fuzz_corpus"


def Kept(target):
    return [ast.literal_eval(line) for line in (CORPUS / (target + ".txt")).read_text().splitlines()]


@pytest.mark.parametrize("target", fuzz_laws.LAWS)
def test_kept_inputs_on_cpython(target):
    assert fuzz_laws.Replay(target, CORPUS / (target + ".txt")) == len(Kept(target)) > 0


def test_kept_inputs_on_micropython(tmp_path):
    """One process for all targets."""
    program = "import fuzz_laws\nfor target in %r:\n    print(target, fuzz_laws.Replay(target, '%s/' + target + '.txt'))\n" % (
        sorted(fuzz_laws.LAWS), CORPUS)
    output = harness.RunProgram("micropython", program, tmp_path, (harness.SRC, MP, MP.parent),
                                options=("-X", "heapsize=16M"), timeoutSec=50)
    assert output.splitlines() == ["%s %d" % (target, len(Kept(target))) for target in sorted(fuzz_laws.LAWS)]


def test_the_verdicts_on_kept_inputs_and_h11s():
    import fuzz_h11
    for data in Kept("h11"):
        fuzz_h11.Compare(data)


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS.iterdir()) < 200000
    assert {path.name for path in CORPUS.iterdir()} == {"%s.txt" % target for target in [*fuzz_laws.LAWS, "h11"]}


# -- hypothesis: stored inputs with small changes, and inputs made of words

WORDS = {
    "head": [b"GET ", b"/", b" HTTP/1.1\r\n", b"HTTP/1.0", b"Host: a\r\n", b"\r\n", b"\r", b"\n", b": ", b"%41", b"%", b"?",
             b"Content-Length: 3\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"http://a", b"*", b"\x00"],
    "chunked": [b"0", b"5", b"f", b"\r\n", b";a", b"hello", b"\r", b"\n", b"X: y\r\n", b"0\r\n\r\n", b" "],
    "form": [b"a", b"=", b"&", b"+", b"%", b"%41", b"%c3%a9", b"%ff", b"\xff", b"\x00"],
    "query": [b"a", b"/", b"..", b"%2e", b"%2F", b"\\", b"%5c", b"%00", b"?", b"=", b"%", b"%c3%a9", b"~", b":", b"xay"],
    "range": [b"bytes=", b"0", b"19", b"-", b",", b" ", b"99999999999999999999", b"|", b"\"tag\"", b"W/", b"*", b"gzip",
              b";q=0", b"Sun, 06 Nov 1994 08:49:37 GMT", b"Nov", b":"],
    "template": [b"{{ ", b" }}", b"{{", b"}}", b"if a", b"for i in x", b"end", b"else", b"elif b", b"py", b"\n", b"'", b"\"",
                 b"block c", b"raw d", b"include e.html", b"extends f", b"x", b"(", b")", b"#", b" "],
    "frame": [b"\x81", b"\x82", b"\x01", b"\x00", b"\x80", b"\x88", b"\x89", b"\x8a", b"\xfe", b"\xff", b"\x85", b"abcd",
              b"\x00\x7e", b"hello", b"\xc3", b"\xa9", b"\x03\xe8"],
}
WORDS["server"] = WORDS["head"] + WORDS["chunked"] + [
    b"POST /echo", b"POST /async", b"POST /async-pieces", b"GET /text.txt", b"HEAD /", b"GET /pieces/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Range: bytes=0-4\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"]
EXAMPLES = {"server": 150, "head": 300, "chunked": 300, "frame": 300}


@st.composite
def Changed(draw, target):
    """A stored input with a few words inserted, or only words."""
    word = st.one_of(st.sampled_from(WORDS[target]), st.binary(max_size=3))
    data = draw(st.one_of(st.sampled_from(Kept(target)), st.lists(word, max_size=12).map(b"".join)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, min(len(data), 300)))
        data = data[:at] + draw(word) + data[at + draw(st.integers(0, 3)):]
    return data


@pytest.mark.parametrize("target", fuzz_laws.LAWS)
def test_laws(target):
    @settings(max_examples=EXAMPLES.get(target, 500), deadline=None)
    @given(Changed(target))
    def Holds(data):
        fuzz_laws.LAWS[target](data)
    Holds()


# -- a law must be able to fail

BROKEN = [
    ("head", "Connection", "_CheckPart", lambda self, data, server: setattr(self, "searched", len(data))),
    ("chunked", "ContentReader", "_Line", lambda self, line: setattr(self, "_phase", 4)),
    ("query", "Route", "Match", lambda self, path: {"a": ""}),
    ("frame", "MicroWebSocket", "OnReceived", lambda self, data: self._OnData(2, data)),
    ("server", "Connection", "_Complete", lambda self: None),
    ("server", "_Exchange", "_Wake", lambda self: None),
]


@pytest.mark.parametrize("target, owner, name, broken", BROKEN, ids=[row[2] for row in BROKEN])
def test_a_law_can_fail(monkeypatch, target, owner, name, broken):
    module = {"MicroWebSocket": fuzz_laws.microWebSocket, "_Exchange": importlib.import_module("microWebAsync")}.get(owner, fuzz_laws.core)
    monkeypatch.setattr(getattr(module, owner), name, broken)
    with pytest.raises(Exception):              # noqa: B017  a law fails, or the broken code raises another exception
        for data in Kept(target):
            fuzz_laws.LAWS[target](data)
