"""Cached pages: which are kept and for how long, blocks, includes, and where names may lead; in this process, with a
test clock."""

import microWebTemplate
import pytest
from microWebPages import Markup        # adds includes by expression, and errors that show the line
from microWebTemplate import MicroWebTemplate, TemplateError


class Source:
    """A webPath of texts: {path: (text, second of its last change)}."""

    root = "/www"

    def __init__(self, **files):
        self.files = {"/" + name.replace("__", "/") + ".pyhtml": (text, 1000) for name, text in files.items()}
        self.read = []

    def Stat(self, path):
        if path not in self.files:
            return None
        text, mtime = self.files[path]
        return False, len(text), mtime

    def Open(self, path):
        self.read.append(path)
        if path not in self.files:
            raise OSError(2, path)
        return _File(self.files[path][0])


class _File:
    def __init__(self, text):
        self.text = text

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass

    def read(self):
        return self.text if isinstance(self.text, bytes) else self.text.encode()


class Server:
    def __init__(self, source):
        self.source = source
        self.Renderers = {}
        microWebTemplate.Attach(self)

    @staticmethod
    def HTMLEscape(text):
        return text.replace("<", "&lt;")

    def Render(self, path, **values):
        """-> (the page, number of blocks, True if the first block was announced as the only one)."""
        blocks = self.Renderers[".pyhtml"](self, "/www" + path, values)
        isWhole = isinstance(blocks, tuple)
        blocks = list(blocks)
        return "".join(blocks), len(blocks), isWhole


class Clock:
    def __init__(self, monkeypatch, now=2000.0):
        self.now = now
        monkeypatch.setattr(microWebTemplate, "time", self)

    def time(self):
        return self.now


def Bounds(monkeypatch, **bounds):
    for name, value in bounds.items():
        monkeypatch.setattr(microWebTemplate, name, value)


# -- the cache

def test_a_page_is_read_once_until_one_of_its_files_changes(monkeypatch):
    Clock(monkeypatch)
    source = Source(page="{{ include part.pyhtml }}{{ x }}", part="one ")
    server = Server(source)
    for _ in range(2):
        assert server.Render("/page.pyhtml", x=1)[0] == "one 1"
    assert source.read == ["/page.pyhtml", "/part.pyhtml"]
    source.files["/part.pyhtml"] = ("two ", 1000)            # same size, same second: the change can't be seen
    assert server.Render("/page.pyhtml", x=2)[0] == "one 2"
    source.files["/part.pyhtml"] = ("two ", 1001)
    assert server.Render("/page.pyhtml", x=2)[0] == "two 2"
    source.files["/part.pyhtml"] = ("three ", 1001)
    assert server.Render("/page.pyhtml", x=2)[0] == "three 2"
    del source.files["/part.pyhtml"]
    with pytest.raises(TemplateError, match="OSError|FileNotFoundError"):
        server.Render("/page.pyhtml", x=2)
    del source.files["/page.pyhtml"]
    with pytest.raises(OSError):
        server.Render("/page.pyhtml", x=2)


@pytest.mark.parametrize("age, isKept", [(0, False), (1.9, False), (2, True), (3600, True), (-1, True)])
def test_a_file_of_this_second_may_change_again(monkeypatch, age, isKept):
    """With whole seconds, the next version could have the same time. A time in the future does not count."""
    Clock(monkeypatch, 1000.0 + age)
    source = Source(page="text")
    server = Server(source)
    server.Render("/page.pyhtml")
    server.Render("/page.pyhtml")
    assert len(source.read) == (1 if isKept else 2)


def test_the_newest_file_of_a_page_counts(monkeypatch):
    Clock(monkeypatch, 2000.5)
    source = Source(page="{{ include part.pyhtml }}", part="part")
    source.files["/part.pyhtml"] = ("part", 2000)
    server = Server(source)
    server.Render("/page.pyhtml")
    server.Render("/page.pyhtml")
    assert source.read == ["/page.pyhtml", "/part.pyhtml"] * 2


@pytest.mark.parametrize("most, count, read", [(3, 3, 3), (3, 4, 8), (4, 4, 4)])
def test_so_many_pages_are_kept(monkeypatch, most, count, read):
    """When the cache is full, all other pages are removed: here again and again."""
    Clock(monkeypatch)
    Bounds(monkeypatch, MaxPages=most)
    source = Source(**{"p%d" % number: "%d" % number for number in range(count)})
    server = Server(source)
    for _ in range(2):
        for number in range(count):
            assert server.Render("/p%d.pyhtml" % number)[0] == "%d" % number
    assert len(source.read) == read


@pytest.mark.parametrize("most, count, read", [(30, 3, 3), (29, 3, 6), (20, 2, 2), (19, 2, 4), (10, 1, 1), (5, 1, 1)])
def test_so_many_bytes_are_kept(monkeypatch, most, count, read):
    Clock(monkeypatch)
    Bounds(monkeypatch, MaxBytes=most)
    source = Source(**{"p%d" % number: "0123456789" for number in range(count)})
    server = Server(source)
    for _ in range(2):
        for number in range(count):
            server.Render("/p%d.pyhtml" % number)
    assert len(source.read) == read


def test_the_bytes_are_counted_anew_when_the_others_go(monkeypatch):
    Clock(monkeypatch)
    Bounds(monkeypatch, MaxBytes=20)
    source = Source(**{"p%d" % number: "0123456789" for number in range(3)})
    server = Server(source)
    for number in (0, 1, 2, 1, 2, 1):
        server.Render("/p%d.pyhtml" % number)
    assert source.read == ["/p0.pyhtml", "/p1.pyhtml", "/p2.pyhtml", "/p1.pyhtml"]


def test_the_bytes_are_those_of_all_its_files(monkeypatch):
    Clock(monkeypatch)
    Bounds(monkeypatch, MaxBytes=60)
    source = Source(page="{{ include part.pyhtml }}     ", part="0123456789" * 3, other="x")
    server = Server(source)
    server.Render("/other.pyhtml")
    server.Render("/page.pyhtml")
    server.Render("/other.pyhtml")
    assert source.read.count("/other.pyhtml") == 2          # 30 + 30 and 1 are too many bytes


# -- blocks

def test_a_page_comes_in_blocks(monkeypatch):
    """A block each time when enough is written; the first one is announced as the only one if it is."""
    Clock(monkeypatch)
    Bounds(monkeypatch, _BLOCK=100)
    source = Source(loop="{{ for i in range(n) }}{{ '%010d' % i }}{{ end }}", text="x" * 5000, short="",
                    inner="{{ if 1 }}{{ for i in range(n) }}{{ '%010d' % i }}{{ end }}{{ end }}")
    server = Server(source)
    for n, blocks in ((0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (95, 10)):
        page, count, isWhole = server.Render("/loop.pyhtml", n=n)
        assert page == "".join("%010d" % i for i in range(n)), n
        assert (count, isWhole) == (blocks, blocks == 1), n
        assert server.Render("/inner.pyhtml", n=n) == (page, count, isWhole), n
    page, count, isWhole = server.Render("/text.pyhtml")
    assert page == "x" * 5000 and not isWhole and count == 3     # after every fourth piece of 512 characters
    assert server.Render("/short.pyhtml") == ("", 1, True)


@pytest.mark.parametrize("length, count, blocks", [(1, 7, 1), (1, 8, 2), (1, 16, 3), (256, 8, 2), (257, 3, 1),
                                                   (257, 4, 2), (257, 8, 3), (512, 4, 2), (513, 4, 2), (513, 6, 3)])
def test_how_many_literals_are_written_before_the_block_is_checked(monkeypatch, length, count, blocks):
    """Four pieces of more than half the size, or eight smaller ones; 513 characters are one of each."""
    Clock(monkeypatch)
    Bounds(monkeypatch, _BLOCK=0)                           # so each check ends a block
    server = Server(Source(page=("x" * length + "{{ y }}") * count))
    assert server.Render("/page.pyhtml", y="y") == (("x" * length + "y") * count, blocks, blocks == 1)


# -- includes

def test_how_deep_an_include_by_expression_goes(monkeypatch):
    Clock(monkeypatch)
    source = Source(page="{{ n }}{{ if n < most }}{{ py }}n = n + 1{{ end }}{{ include name }}{{ end }}")
    server = Server(source)
    assert server.Render("/page.pyhtml", n=0, most=8, name="page")[0] == "012345678"
    with pytest.raises(TemplateError, match="a cycle, or too deep"):
        server.Render("/page.pyhtml", n=0, most=9, name="page")


NAMES = {"part": "/part.pyhtml", "part.pyhtml": "/part.pyhtml", "/part": "/part.pyhtml", "sub/part": "/sub/part.pyhtml",
         "./part": "/part.pyhtml", "sub/../part": "/part.pyhtml", "sub//part": "/sub/part.pyhtml", "a.b/part": "/a.b/part.pyhtml",
         "sub\\part": "/sub/part.pyhtml", "part.html": "/part.html", "": None, "../part": None, "sub/../../part": None,
         ".part": None, "sub/.part": None, "..": None, "/../part": None, "/sub/../../www/part": None, "a/..": None}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_name_may_reach(name):
    page = microWebTemplate.Page(None, Source(), "/", "page.pyhtml")
    try:
        found = "/" + page.Resolve(name, "page.pyhtml")
    except ValueError as error:
        assert "is hidden or outside of the pages" in str(error)
        found = None
    if name in ("", "a/.."):
        assert found in (None, "/.pyhtml") and found is None
    assert found == NAMES[name]


def test_names_are_those_of_the_file_that_includes():
    page = microWebTemplate.Page(None, Source(), "/", "page.pyhtml")
    for origin, name, found in (("a/b/c.pyhtml", "d", "a/b/d.pyhtml"), ("a/b/c.pyhtml", "../d", "a/d.pyhtml"),
                                ("a/b/c.pyhtml", "/d", "d.pyhtml"), ("c.pyhtml", "d", "d.pyhtml")):
        assert page.Resolve(name, origin) == found
    with pytest.raises(ValueError):
        page.Resolve("../../../d", "a/b/c.pyhtml")


def test_a_source_may_refuse_a_name():
    source = Source()
    source.Holds = lambda path: path != "/link.pyhtml"
    page = microWebTemplate.Page(None, source, "/", "page.pyhtml")
    assert page.Resolve("other", "page.pyhtml") == "other.pyhtml"
    with pytest.raises(ValueError):
        page.Resolve("link", "page.pyhtml")


@pytest.mark.parametrize("path, found", [
    ("/www/a.pyhtml", ("/", "a.pyhtml")), ("/www/sub/a.pyhtml", ("/", "sub/a.pyhtml")), ("/other/a.pyhtml", ("/other/", "a.pyhtml")),
    ("/wwwx/a.pyhtml", ("/wwwx/", "a.pyhtml")), ("/x/www/a.pyhtml", ("/x/www/", "a.pyhtml")), ("a.pyhtml", ("", "a.pyhtml"))])
def test_where_a_page_is(path, found):
    source = Source()
    where, *rest = microWebTemplate.Locate(source, path)
    assert tuple(rest) == found
    assert (where is source) == (found[0] == "/")


def test_a_relative_path_below_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = Source()
    source.root = str(tmp_path / "www")
    assert microWebTemplate.Locate(source, "www/sub/a.pyhtml") == (source, "/", "sub/a.pyhtml")
    assert microWebTemplate.Locate(source, "other/a.pyhtml")[1:] == ("other/", "a.pyhtml")
    assert microWebTemplate.Locate(None, "www/a.pyhtml")[1:] == ("www/", "a.pyhtml")


# -- escaping

class Html:
    def __html__(self):
        return "<hr>"


@pytest.mark.parametrize("isServers", [True, False])
def test_what_is_escaped(isServers):
    """A server first checks whether there is a character to escape; a program's template calls its function for each
    text."""
    called = []

    def Escape(text):
        called.append(text)
        return "[%s]" % text
    template = MicroWebTemplate("{{ for v in values }}{{ v }} {{ end }}", Escape)
    template.isAlways = not isServers
    text = template.Execute({"values": ["a", "<", ">", "&", '"', "'", 5, True, None, 1.5, Markup("<b>"), Html()]})
    if isServers:
        assert text == "a [<] [>] [&] [\"] ['] 5 True None 1.5 <b> <hr> " and called == ["<", ">", "&", '"', "'"]
    else:
        assert text == "[a] [<] [>] [&] [\"] ['] [5] [True] [None] [1.5] <b> <hr> "


def test_a_template_of_a_text():
    template = MicroWebTemplate("{{ a }}{{ b }}")
    assert template.Validate() is None
    assert template.Execute({"a": 1, "b": 2}, {"b": 3}) == "13"      # the second dict takes precedence
    assert template.Execute({"a": "<"}, {"b": "x"}) == "<x"          # no escaping without a function
    assert MicroWebTemplate("").Execute() == ""
    assert "expected }}" in MicroWebTemplate("{{ a").Validate()


@pytest.mark.parametrize("count, isTooMuch", [(9, False), (10, False), (11, True)])
def test_so_many_names(monkeypatch, count, isTooMuch):
    Bounds(monkeypatch, MaxNames=10)
    text = "".join("{{ n%d }}" % number for number in range(count))
    error = MicroWebTemplate(text).Validate()
    assert (error is not None) == isTooMuch
    if isTooMuch:
        assert "expected at most 10 names, found 11" in error


def test_another_renderer_stays():
    server = Server.__new__(Server)
    server.Renderers = {".pyhtml": print}
    microWebTemplate.Attach(server)
    assert server.Renderers == {".pyhtml": print}


def test_what_a_path_says(tmp_path):
    """For pages outside of webPath the module is the source."""
    (tmp_path / "a.txt").write_bytes(b"text")
    stat = microWebTemplate.Stat(str(tmp_path / "a.txt"))
    assert stat == (False, 4, int((tmp_path / "a.txt").stat().st_mtime))
    assert microWebTemplate.Stat(str(tmp_path / "none")) is None
    with microWebTemplate.Open(str(tmp_path / "a.txt")) as file:
        assert file.read() == b"text"


def test_a_byte_order_mark_and_what_is_no_utf8(monkeypatch):
    Clock(monkeypatch)
    server = Server(Source(page="\ufeffpage \ufeff", bad=b"\xff"))
    assert server.Render("/page.pyhtml")[0] == "page \ufeff"
    with pytest.raises(TemplateError, match="bad.pyhtml"):
        server.Render("/bad.pyhtml")


def test_no_memory_stays_what_it_is(monkeypatch):
    Clock(monkeypatch)
    server = Server(Source(page="{{ f() }}"))

    def Full():
        raise MemoryError
    with pytest.raises(MemoryError):
        server.Render("/page.pyhtml", f=Full)


def test_an_error_names_file_line_and_text(monkeypatch):
    Clock(monkeypatch)
    server = Server(Source(page="a\n\n  {{ include part.pyhtml }}", part="b\n{{ 1 // zero }}  \nc"))
    with pytest.raises(TemplateError) as error:
        server.Render("/page.pyhtml", zero=0)
    assert str(error.value).startswith("/www/part.pyhtml, line 2: ZeroDivisionError: ")
    assert str(error.value).endswith("\n    {{ 1 // zero }}")
    with pytest.raises(TemplateError) as error:
        server.Render("/page.pyhtml")
    assert str(error.value) == "/www/part.pyhtml, line 2: NameError: 'zero' isn't defined\n    {{ 1 // zero }}"


@pytest.mark.parametrize("text, line", [
    ("{{ py }}\n  nope\n{{ end }}", 2), ("{{\n py\n}}\n  a = 1\n  nope\n{{ end }}", 5), ("{{ py }}nope{{ end }}", 1), ("\n{{ py }}\n\n  nope\n{{ end }}", 4),
    ("{{ py }}\n  a = 1\n{{ end }}\n{{ nope }}", 4), ("{{ if 1 }}\n{{ nope }}{{ end }}", 2), ("{{ if nope.x }}{{ end }}", 1),
    ("{{ if 0 }}\n{{ elif nope.x }}{{ end }}", 2), ("{{ for i in (1,\n nope) }}{{ end }}", 2), ("{{ for i in () }}\n{{ else }}\n{{ nope }}{{ end }}", 3),
    ("{{ a }}\n{{ [1,\n2,\nnope] }}", 4)])
def test_the_line_of_an_error(text, line):
    """The line in the template, whatever multi-line code precedes it."""
    template = MicroWebTemplate(text)
    assert template.Validate() is None
    with pytest.raises(TemplateError, match="^template, line %d: NameError: 'nope' isn't defined" % line):
        template.Execute({"a": 1})


@pytest.mark.parametrize("text, what, line", [
    ("a{{", "expected }}", 1), ("\n{{ x", "expected }}", 2), ("{{ x }", "expected }}", 1), ("{{ py }}", "expected {{ end }}", 1), ("\n{{ py }}x = 1", "expected {{ end }}", 2),
    ("{{ py }}x{{ end", "expected {{ end }}", 1), ("{{ py }}{{ x }}", "expected {{ end }}", 1), ("\n{{ if 1 }}x", "expected {{ end }}", 2),
    ("{{ for x in y }}\n{{ if 1 }}{{ end }}", "expected {{ end }}", 1), ("{{ end }}", "expected an open if, for, else or block", 1),
    ("{{ else }}", "expected an open if or for", 1), ("{{ elif 1 }}", "expected an open if", 1), ("{{ for x }}{{ end }}", "expected {{ for name in iterable }}", 1),
    ("{{ if }}{{ end }}", "expected an expression", 1), ("{{ if 1 }}{{ else }}{{ else }}{{ end }}", "expected an open if or for", 1),
    ("{{ for x in y }}{{ elif 1 }}{{ end }}", "expected an open if", 1), ("{{ 1 + }}", "invalid syntax", 1), ("{{ py }}\n  a = 1\n  1 +\n{{ end }}", "invalid syntax", 3)])
def test_what_is_no_template(text, what, line):
    message = MicroWebTemplate(text).Validate()
    assert message.startswith("template, line %d: SyntaxError: %s" % (line, what)), message


@pytest.mark.parametrize("text, result", [
    ("{{ for x in (1, 2) }}{{ x }}{{ else }}none{{ end }}", "12"), ("{{ for x in () }}{{ x }}{{ else }}none{{ end }}", "none"),
    ("{{ for x in (1, 2) }}{{ for y in () }}{{ else }}{{ x }}{{ end }}{{ else }}none{{ end }}", "12"),
    ("{{ if nope }}a{{ elif nope }}b{{ else }}c{{ end }}", "c"), ("{{ if 1 }}a{{ elif nope.x }}b{{ end }}", "a"),
    ("{{ py }}v = 1{{ end }}{{ v }}", "1"), ("{{ py }}\n  v = 1\n  if v:\n    v = 2\n{{ end }}{{ v }}", "2"), ("{{ py }}\n{{ end }}x", "x"), ("{{ py }}{{ end }}x", "x"),
    ("{{ py }}\n\tv = 1\n\tw = v\n{{ end }}{{ w }}", "1"), ("{{ # anything ' at \" all }}x", "x"), ("{{raw '<'}}", "<"), ("{{ raw + 1 }}{{ block }}", "23"),
    ("a }} b {{ '}' }}", "a }} b }"), ("{{ '{' + '{' }}", "{{")])
def test_small_templates(text, result):
    assert MicroWebTemplate(text).Execute({"raw": 1, "block": 3}) == result
