"""The requests for every server, and the expected responses."""
import dataclasses
import os
import pathlib
import runpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = runpy.run_path(str(ROOT / "tests" / "template_cases.py"))
SEED_PAGE, SEED_RESULT = CASES["SEED_PAGE"], CASES["SEED_RESULT"]
FUNCTION = '    {{ py }}\n      def _testFunction(x) :\n        return "IN TEST FUNCTION %s" % x\n    {{ end }}\n'

HELLO = b"Hello, World!"
FORM = b"firstname=Ada&lastname=Lovelace&note=one+two%21"
JSON = b'{"name": "Ada", "values": [1, 2, 3]}'
FILES = {"1kb.txt": 1 << 10, "10kb.txt": 10 << 10, "115kb.txt": 115 << 10}


def _Request(method, path, fields="", content=b""):
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: 127.0.0.1", "User-Agent: bench", "Accept: */*"]
    if content:
        lines += ["Content-Type: " + fields, "Content-Length: %d" % len(content)]
    elif fields:
        lines.append(fields)
    return "\r\n".join(lines + ["", ""]).encode() + content


def Content(size):
    """The content of a file or message of this size. A missing or repeated piece is noticed."""
    lines = b"".join(b"%07d\n" % at for at in range(0, size, 8))
    return lines[:size]


@dataclasses.dataclass
class Work:
    name: str
    title: str
    request: bytes
    answers: tuple          # one of these responses is expected
    mode: str = "keep"      # of client.c
    squash: bool = False    # ignore differences in white space

    @property
    def isWebSocket(self):
        return self.mode == "websocket"


def _File(name, title):
    return Work(name, title, _Request("GET", "/static/%s.txt" % name), (Content(FILES[name + ".txt"]),))


def _Echo(name, title, size):
    return Work(name, title, Content(size), (), "websocket")


WORKS = {work.name: work for work in (
    Work("hello", "hello", _Request("GET", "/hello"), (HELLO,)),
    Work("close", "hello, closing", _Request("GET", "/hello", "Connection: close"), (HELLO,), "close"),
    Work("args", "route with two args", _Request("GET", "/edit/42/some-path"), (b"42 some-path",)),
    Work("json", "JSON", _Request("POST", "/json", "application/json", JSON),
         # MicroPython's dicts keep no order
         (b'{"hello":"Ada","sum":6}', b'{"sum":6,"hello":"Ada"}'), squash=True),
    Work("form", "form", _Request("POST", "/form", "application/x-www-form-urlencoded", FORM),
         (b"Ada Lovelace one two!",)),
    _File("1kb", "1 KB file"),
    _File("10kb", "10 KB file"),
    _File("115kb", "115 KB file"),
    Work("template", "template page", _Request("GET", "/template"), (SEED_RESULT.encode(),), squash=True),
    _Echo("ws64", "WebSocket, 64 B", 64),
    _Echo("ws4k", "WebSocket, 4 KB", 4096),
)}


def Tags(text, args=""):
    """The seed's page in the language of Jinja2, which for this page is the same as utemplate's."""
    opened = []
    parts = text.replace(FUNCTION, "    \n").split("{{ ")
    for n, part in enumerate(parts[1:], 1):
        tag, rest = part.split(" }}", 1)
        word = tag.split()[0]
        if word in ("for", "if"):
            opened.append(word)
        if word in ("for", "if", "elif", "else"):
            parts[n] = "{%% %s %%}%s" % (tag, rest)
        elif word == "end":
            parts[n] = "{%% end%s %%}%s" % (opened.pop(), rest)
        else:
            parts[n] = "{{ %s }}%s" % (tag, rest)
    return args + "".join(parts)


def _Lines(text):
    """The seed's page in the language of Bottle's templates: each statement is on a separate line."""
    lines = []
    for line in text.replace(FUNCTION, "    \n").splitlines():
        tag = line.strip()
        word = tag[3:-3].split(" ")[0] if tag.startswith("{{ ") and tag.endswith(" }}") else ""
        statement = word in ("for", "if", "elif", "else", "end")
        lines.append("%% %s%s" % (tag[3:-3], "" if word == "end" else ":") if statement else line)
    return "\n".join(lines) + "\n"


def MakeFolder(folder):
    """Make the folder to serve: www with static files, and templates with the page in each language."""
    pages = {"www/template.pyhtml": SEED_PAGE, "templates/seed.html": Tags(SEED_PAGE),
             "templates/seed.tpl": Tags(SEED_PAGE, "{% args _testFunction %}"),
             "templates/seed.bottle": _Lines(SEED_PAGE)}
    files = {"www/static/" + name: Content(size) for name, size in FILES.items()}
    for name, content in {**pages, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        # Servers that recompile changed templates can't rely on a time within the current second.
        os.utime(path, (1_700_000_000, 1_700_000_000))
