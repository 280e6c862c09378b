"""The WebSocket protocol, the MicroWebSocket class and permessage-deflate without a socket, on both runtimes."""

import codecs

from hypothesis import given, settings, strategies as st
import pytest

import harness
import websocket_cases as cases


@pytest.mark.parametrize("check", cases.CHECKS, ids=lambda check: check.__name__)
def test_on_cpython(check):
    check()


def test_on_micropython(tmp_path):
    program = harness.ROOT / "tests" / "websocket_cases.py"
    output = harness.RunProgram("micropython", program, tmp_path, (harness.SRC, harness.ROOT / "tests"),
                                options=("-X", "heapsize=16M"), timeoutSec=50)
    assert output.endswith("%d checks\n" % len(cases.CHECKS))


def test_every_check_is_run():
    defined = {name for name, value in vars(cases).items() if name.startswith("Check") and callable(value)}
    assert {check.__name__ for check in cases.CHECKS} == defined


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=12), st.integers(0, 12))
def test_utf8_like_cpython(data, cut):
    """Our validator stops at the same byte as Python's incremental decoder, with the same bytes left, except for
    surrogates: Python needs three bytes (an error handler may accept them), we stop at the second."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    tail = b""
    for piece in (data[:cut], data[cut:]):
        try:
            decoder.decode(piece)
            expected = decoder.getstate()[0]
            if expected[:1] == b"\xed" and expected[1:2] >= b"\xa0":
                expected = None
        except UnicodeDecodeError:
            expected = None
        tail = cases.DECODER._Unfinished(tail + piece)
        assert tail == expected
        if tail is None:
            break


_FRAMES = st.lists(st.tuples(st.sampled_from((0x81, 0x82, 0x89, 0x8a)), st.text(max_size=140)), max_size=5)


@settings(max_examples=200, deadline=None)
@given(_FRAMES, st.lists(st.integers(0, 900), max_size=6), st.binary(min_size=4, max_size=4))
def test_any_session_cut_anywhere(frames, cuts, key):
    frames = [(first, text.encode()[:125] if first & 8 else text.encode()) for first, text in frames]
    data = b"".join(cases.Frame(first, payload, key) for first, payload in frames)
    expected = [(1, payload.decode()) if first == 0x81 else (first & 15, payload)
                for first, payload in frames if first != 0x8a]
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    cases.Feed([data[a:b] for a, b in zip(places, places[1:])], expected, "session")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_noise_never_raises(data):
    recorder = cases.Recorder(100, cases.Codec())
    recorder.OnReceived(data)
    recorder._link.Turn()
    size = len(recorder._message[1]) if recorder._message else 0
    assert len(recorder._rest) < 140 and size <= 116        # a control frame; the limit for compressed ones
