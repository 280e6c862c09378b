"""The same forms for microWebUpload, python-multipart and Werkzeug: equal fields, equal bytes, equal refusals.
Differences have a name, which is explained in docs/uploads.md."""

import io
import json
import logging
import random
import re
from collections import Counter

import pytest
import python_multipart
import werkzeug.exceptions
import werkzeug.formparser

import harness
from http_tools import MP               # makes the next module importable
import play_upload

COUNT = 1500
SEED = 20

BOUNDARIES = ("B", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "a-b_c.d", "x" * 70, "-x-", "0'()+_,-./:=?9")
WORDS = ("a", "name", "two words", "\u00fcml\u00e4ut", "\u20ac\U0001f600", "x.bin", "report (1).pdf", "semi;colon", "eq=ual", "a,b")
PIECES = (b"", b"a", b"text", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"-", b"--", b"\r\n-", b"\r\n--", b"\0", b"\xff\xfe", b"=&+%41", b"x" * 300)


def Content(choose, boundary):
    mark = b"\r\n--" + boundary.encode()
    pieces = [choose.choice(PIECES + (mark[:-1], mark[1:-1], mark[:len(mark) // 2], b"\n--", b"--" + boundary.encode()[:-1]))
              for _ in range(choose.randrange(8))]
    content = b"".join(pieces)
    while mark in b"\r\n" + content:            # the content of a valid form does not contain it
        content = content.replace(mark[2:], b"")
    return content


def Quoted(text):
    return '"%s"' % text.replace('"', '\\"')


def PartOf(choose, boundary):
    """-> bytes of one part with its delimiter."""
    disposition = "form-data; name=" + Quoted(choose.choice(WORDS))
    lines = []
    if choose.random() < 0.5:
        disposition += "; filename=" + Quoted(choose.choice(WORDS))
        if choose.random() < 0.7:
            lines.append("Content-Type: " + choose.choice(("text/plain", "application/octet-stream", "image/png; a=b", "multipart/mixed; boundary=C")))
    elif choose.random() < 0.2:
        lines.append("Content-Type: text/plain; charset=utf-8")
    if choose.random() < 0.1:
        lines.append("X-Other: " + choose.choice(WORDS))
    lines.insert(choose.randrange(len(lines) + 1), choose.choice(("Content-Disposition: ", "content-disposition:", "CONTENT-DISPOSITION:  ")) + disposition)
    return ("--%s\r\n%s\r\n\r\n" % (boundary, "\r\n".join(lines))).encode() + Content(choose, boundary) + b"\r\n"


def Valid(choose):
    """-> (boundary, content of a form as clients send it)."""
    boundary = choose.choice(BOUNDARIES)
    parts = b"".join([PartOf(choose, boundary) for _ in range(choose.randrange(1, 6))])
    return boundary, parts + b"--%s--" % boundary.encode() + choose.choice((b"", b"\r\n"))


def Broken(choose, boundary, body):
    """-> (kind of damage, the damaged form)."""
    kind = choose.choice(("cut", "byte lost", "byte changed", "byte added", "slice twice", "lines of LF", "no disposition", "folded",
                          "disposition twice", "encoded", "preamble", "epilogue", "padding", "other boundary", "name lost", "no colon",
                          "filename*", "percent"))
    at = choose.randrange(len(body))
    head = b"--%s\r\n" % boundary.encode()
    if kind == "cut":
        return kind, body[:at]
    if kind == "byte lost":
        return kind, body[:at] + body[at + 1:]
    if kind == "byte changed":
        return kind, body[:at] + choose.choice((b"\r", b"\n", b"-", b"\0", b'"', b";", b":", b" ", b"\xff")) + body[at + 1:]
    if kind == "byte added":
        return kind, body[:at] + choose.choice((b"\r", b"\n", b"-", b"\0", b'"', b";", b":", b" ", b"\xff")) + body[at:]
    if kind == "slice twice":
        return kind, body[:at] + body[choose.randrange(at + 1):]
    changes = {
        "lines of LF": (b"\r\n", b"\n"), "no disposition": (b"isposition", b"ispo"), "folded": (b"form-data;", b"form-data;\r\n "),
        "disposition twice": (head, head + b'Content-Disposition: form-data; name="twice"\r\n'),
        "encoded": (head, head + b"Content-Transfer-Encoding: base64\r\n"), "padding": (head, head[:-2] + b" \t\r\n"),
        "other boundary": (head, b"--other\r\n"), "name lost": (b" name=", b" nam="), "no colon": (head, head + b"X-Other\r\n"),
        "filename*": (b"filename=", b"filename*=utf-8''x; filename="), "percent": (b'name="', b'name="%41'),
        "preamble": (b"", b""), "epilogue": (b"", b"")}
    if kind == "preamble":
        return kind, b"This is a form.\r\n" + body
    if kind == "epilogue":
        return kind, body + b"\r\nthe end\r\n"
    return kind, body.replace(*changes[kind])


def Forms(seed, count):
    choose = random.Random(seed)
    for index in range(count):
        boundary, body = Valid(choose)
        kind = "valid"
        if index % 3:
            kind, body = Broken(choose, boundary, body)
        yield kind, 'multipart/form-data; boundary="%s"' % boundary, body


# ---------------------------------------------------------------------------------- the three, in one result format

def Outcome(fields, files):
    """fields: (name, bytes); files: (field, name, content type, bytes)."""
    texts = {}
    for name, value in fields:
        texts.setdefault(name, []).append(Text(value))
    taken = [[field, play_upload.microWebUpload.SafeName(name) or "file", kind, content.hex()]
             for field, name, kind, content in files if name]
    return [sorted(texts.items()), sorted(taken, key=lambda file: file[0])]


def Text(data):
    """Decode text like the core: each invalid byte becomes U+FFFD."""
    try:
        return data.decode()
    except UnicodeError:
        return "".join([chr(byte) if byte < 128 else "\ufffd" for byte in data])


def Ours(interpreter, forms, folder):
    lines = "".join(json.dumps([kind, body.hex()]) + "\n" for _, kind, body in forms)
    printed = harness.RunProgram(interpreter, MP / "play_upload.py", folder, (harness.SourcesOf(interpreter), MP), args=("bodies",),
                                 stdin=lines, timeoutSec=100)
    for line in printed.splitlines():
        status, *found = json.loads(line)
        if found:
            for file in found[1]:
                while file[1][:2] == "2-":      # the second file with the same name
                    file[1] = file[1][2:]
            found = [[(name, values) for name, values in found[0]], sorted(found[1], key=lambda file: file[0])]
        yield status, found or None


def Werkzeug(contentType, body):
    parser = werkzeug.formparser.FormDataParser(silent=False, max_form_memory_size=None, max_form_parts=1000,
                                                stream_factory=lambda *args, **kwargs: io.BytesIO())
    try:
        _, fields, files = parser.parse(io.BytesIO(body), "multipart/form-data", len(body),
                                        {"boundary": contentType.partition('"')[2][:-1]})
    except (ValueError, werkzeug.exceptions.HTTPException):
        return None
    if None in fields or None in files:
        return None
    return Outcome([(name, value.encode()) for name, values in fields.lists() for value in values],
                   [(name, file.filename, file.content_type or "", file.read()) for name, one in files.lists() for file in one])


def PythonMultipart(contentType, body):
    """Its parser, used as in Starlette."""
    boundary = contentType.partition('"')[2][:-1].encode()
    parts, state = [], {}

    def Begin():
        state.update(name=b"", value=b"", headers={}, data=bytearray(), isWhole=False)

    def HeaderEnd():
        state["headers"][state["name"].lower()] = state["value"]
        state.update(name=b"", value=b"")

    def Add(key):
        def Added(data, start, end):
            state[key] += data[start:end]
        return Added

    def End():
        parts.append((state["headers"], bytes(state["data"])))

    callbacks = {"on_part_begin": Begin, "on_part_data": Add("data"), "on_part_end": End, "on_header_field": Add("name"),
                 "on_header_value": Add("value"), "on_header_end": HeaderEnd, "on_end": lambda: state.update(isEnd=True)}
    try:
        parser = python_multipart.MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except python_multipart.exceptions.FormParserError:
        return None
    if not state.get("isEnd"):
        return None                             # it does not detect a premature end by itself
    fields, files = [], []
    for headers, data in parts:
        kind, options = python_multipart.multipart.parse_options_header(headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            return None
        name = Text(options[b"name"])
        if b"filename" in options:
            files.append((name, Text(options[b"filename"]), Text(headers.get(b"content-type", b"").strip()), data))
        else:
            fields.append((name, data))
    return Outcome(fields, files)


REFERENCES = {"Werkzeug": Werkzeug, "python-multipart": PythonMultipart}

# ------------------------------------------------------------------------------------------- differences have names

_PARAMETER = rb' *; *([a-z]+)="((?:[^"\\]|\\.)*)" *'
_DISPOSITION = re.compile(rb"[ \t]*form-data((?:%s)*)[ \t]*" % _PARAMETER)


def Natures(boundary, body):
    """The properties of a form on which the three may differ: names in docs/uploads.md."""
    mark = b"--" + boundary.encode()
    found = set()
    if not body.startswith(mark):
        found.add("preamble")
    for match in re.finditer(b"(?:^|\r?\n|\r)" + re.escape(mark), body):
        if match.start() and match.group()[:2] != b"\r\n":
            found.add("line end")
        rest = body[match.end():]
        if rest[:2] == b"--":
            break
        end = re.search(rb"\r?\n\r?\n|\r\r", rest)
        head = rest[:end.start()] if end else rest[:500]
        if end and end.group() != b"\r\n\r\n":
            found.add("line end")
        found |= _OfHead(head)
    return found


def _OfHead(head):
    found = set()
    if "\ufffd" in Text(head):
        found.add("no UTF-8")
    lines = head.split(b"\r\n")
    if lines[0]:
        found.add("behind the boundary")
    if b"\n" in head.replace(b"\r\n", b"") or b"\r" in head.replace(b"\r\n", b""):
        found.add("line end")
    names = []
    for line in lines[1:]:
        name, colon, value = line.lower().partition(b":")
        names.append(name)
        if not colon or not name or re.search(rb"[^a-z-]", name) or re.search(rb"[\x00-\x1f]", value):
            found.add("folded" if line[:1] in b" \t" else "header line")
        if name == b"content-disposition":
            match = _DISPOSITION.fullmatch(value)
            params = re.findall(_PARAMETER, match.group(1)) if match else ()
            if not match or len(set(dict(params))) != len(params):
                found.add("parameters")
            elif b"%" in dict(params).get(b"filename", b""):
                found.add("percent")
        elif name == b"content-transfer-encoding":
            found.add("encoded")
    if len(set(names)) != len(names):
        found.add("header twice")
    return found


def _Plain(outcome):
    """The result without non-ASCII field values."""
    return outcome and [[(name, [value.encode("ascii", "ignore") for value in values]) for name, values in outcome[0]], outcome[1]]


def Compare(interpreter, seed, count, folder):
    """-> a Counter of (reference, nature or "", outcome), and the forms that differ without a known reason."""
    logging.disable()
    forms = list(Forms(seed, count))
    counts, odd = Counter(), []
    for (kind, contentType, body), (status, mine) in zip(forms, Ours(interpreter, forms, folder)):
        always = Natures(contentType.partition('"')[2][:-1], body)
        for name, reference in REFERENCES.items():
            other = reference(contentType, body)
            natures = always
            if mine != other and _Plain(mine) == _Plain(other):
                natures = natures | {"no UTF-8"}        # the same bytes in fields, decoded differently
            what = "same" if mine == other else "we refuse" if mine is None else "they refuse" if other is None else "different"
            counts[name, what if what == "same" else "+".join(sorted(natures)), what] += 1
            if what != "same" and not natures:
                odd.append((name, kind, what, status, contentType, body, mine, other))
            assert kind != "valid" or status == 200, (status, contentType, body)
        counts["", "plain" if not always else "natures", ""] += 1
    logging.disable(logging.NOTSET)
    return counts, odd


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_same_fields_same_bytes_same_refusals(interpreter, tmp_path):
    counts, odd = Compare(interpreter, SEED, COUNT, tmp_path)
    assert odd == []
    for name in REFERENCES:
        assert counts[name, "same", "same"] > COUNT * 0.6
    assert counts["", "plain", ""] > COUNT * 0.5


if __name__ == "__main__":
    import sys
    from pathlib import Path
    counts, odd = Compare(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    for key in sorted(counts):
        print(key, counts[key])
    for one in odd[:int(sys.argv[5])]:
        print(one)
    print(len(odd), "without a reason")
