"""When pages are compiled, how long they are cached, and the modules that replace their sources."""

import os
import shutil
import subprocess
import sys

import pytest

import harness
from test_template_language import Alone

TOOL = harness.ROOT / "tools" / "compile_templates.py"

# Render(page, …) -> text; Compiled() -> number of compilations since its last call.
HEAD = """
import os, sys
import microWebTemplate as t
try:
    import microWebPages as p
except ImportError:
    p = None

class Source:
    root = os.getcwd() + "/www"

    def Stat(self, path):
        return t.Stat(self.root + path)

    def Open(self, path):
        return open(self.root + path, "rb")

class Server:
    source = Source()
    pages = {}

    def HTMLEscape(text):
        return text.replace("<", "&lt;")

count = 0

class Compiler(t.Compiler):
    def __init__(self, page):
        global count
        count += 1
        super().__init__(page)

t.Compiler = Compiler
Server.Renderers = {}
t.Attach(Server)
if p:
    p.Attach(Server)
render = Server.Renderers[".pyhtml"]

def Kept():
    # how many pages are kept
    return len(getattr(render, "__self__", None).pages) if hasattr(render, "__self__") else None

def Blocks(path, values):
    blocks = render(Server, path, values)
    texts = (block if isinstance(block, str) else block.decode() for block in blocks)
    return tuple(texts) if isinstance(blocks, tuple) else texts

def Render(page, **values):
    return "".join(Blocks("www/" + page, values))

def Compiled():
    global count
    n, count = count, 0
    return n

def Write(name, text):
    with open("www/" + name, "w") as file:
        file.write(text)

def Age():
    # Files of this very second are not trusted where times are whole seconds: see them as old.
    t.time = Clock

class Clock:
    def time():
        return 1 << 40
"""


@pytest.fixture(params=("cpython", "micropython"))
def do(request, tmp_path):
    """do(program) runs the program, which has its own asserts, after HEAD, with a folder www."""
    (tmp_path / "www").mkdir()

    def Do(program, modulePath=(harness.SRC,), options=()):
        return harness.RunProgram(request.param, HEAD + program + "\nprint('OK')", tmp_path, modulePath, options)
    Do.runtime, Do.folder = request.param, tmp_path
    return Do


def _CompileTool(folder, *args):
    return subprocess.run([sys.executable, TOOL, *args], cwd=folder, capture_output=True, text=True, timeout=60)


def test_compiled_once(do):
    assert do("""
Write("a.pyhtml", "{{ x }}")
Age()
for n in range(5):
    assert Render("a.pyhtml", x=n) == str(n)
assert Compiled() == 1
""").endswith("OK\n")


def test_a_change_is_seen_at_once(do):
    """Also a change of equal size within the same second, and a change of an included or extended page."""
    do("""
for text in ("one", "two", "six", "seven"):
    Write("a.pyhtml", text)
    assert Render("a.pyhtml") == text, text
Write("base.pyhtml", "<{{ block b }}{{ end }}{{ include part.pyhtml }}>")
Write("part.pyhtml", "p")
Write("b.pyhtml", "{{ extends base }}{{ block b }}b{{ end }}")
assert Render("b.pyhtml") == "<bp>"
Write("part.pyhtml", "q")
assert Render("b.pyhtml") == "<bq>"
Write("base.pyhtml", "[{{ block b }}{{ end }}]")
assert Render("b.pyhtml") == "[b]"
""")


def test_a_page_that_is_gone(do):
    do("""
Write("a.pyhtml", "a")
assert Render("a.pyhtml") == "a"
os.remove("www/a.pyhtml")
try:
    Render("a.pyhtml")
    raise AssertionError
except OSError as error:
    assert error.args[0] == 2
Write("a.pyhtml", "{{ if }}")
try:
    Render("a.pyhtml")
    raise AssertionError
except t.TemplateError:
    pass
Write("a.pyhtml", "again")
assert Render("a.pyhtml") == "again"
""")


def test_bounded_in_number(do):
    """With microWebPages.py the least recently used page is removed."""
    do("""
t.MaxPages = 3
for name in "abcd":
    Write(name + ".pyhtml", name)
Age()
for name in "abcabcaad":
    assert Render(name + ".pyhtml") == name
assert Compiled() == 4
assert Kept() in (3, None)
Render("a.pyhtml"), Render("c.pyhtml"), Render("d.pyhtml")
assert Compiled() == 0
Render("b.pyhtml")
assert Compiled() == 1
""")


def test_bounded_in_bytes(do):
    """The bytes are those of the sources, with includes; the newest page is kept, whatever its size."""
    do("""
t.MaxBytes = 1000
for name in "abc":
    Write(name + ".pyhtml", name * 200 + "{{ include part.pyhtml }}")
Write("part.pyhtml", "p" * 200)
Write("big.pyhtml", "x" * 5000)
Age()
for name in "abab":
    Render(name + ".pyhtml")
assert Compiled() == 2 and Kept() in (2, None)
Render("c.pyhtml")
assert Kept() in (2, None)
assert Render("big.pyhtml") == "x" * 5000
assert Kept() in (1, None)
Compiled()
Render("big.pyhtml")
assert Compiled() == 0
""")


def test_the_small_cache_has_bounds(do):
    """Without microWebPages.py: when the cache is full, all other pages are removed."""
    do("""
t.MaxPages, t.MaxBytes = 3, 1000
for name in "abcd":
    Write(name + ".pyhtml", name * 10)
Write("e.pyhtml", "e" * 900)
Write("big.pyhtml", "x" * 5000)
Age()
for name in "abc":
    Render(name + ".pyhtml")
for name in "abc":
    Render(name + ".pyhtml")
assert Compiled() == 3 and Kept() in (3, None)
Render("d.pyhtml")
assert Compiled() == 1 and Kept() in (1, None)
Render("d.pyhtml"), Render("e.pyhtml"), Render("d.pyhtml")
assert Compiled() == 1 and Kept() in (2, None)
assert Render("big.pyhtml") == "x" * 5000
Compiled()
assert Render("big.pyhtml") == "x" * 5000 and Compiled() == 0 and Kept() in (1, None)
Write("big.pyhtml", "small")
assert Render("big.pyhtml") == "small"
""", (Alone(do.folder),))


def test_two_requests_of_one_page_share_nothing(do):
    """Rendered alternately step by step, each page sees its own names, also in functions."""
    do("""
Write("a.pyhtml", '''{{ py }}
  seen = []
  def See(n):
    global last
    last = n
    seen.append((x, n))
    return len(seen)
  last = None
{{ end }}{{ for i in range(300) }}{{ See(i) }}:{{ x }}:{{ last }} ''' + "." * 100 + '''{{ end }}''')
first = Blocks("www/a.pyhtml", {"x": "A"})
second = Blocks("www/a.pyhtml", {"x": "B"})
assert type(first) is not tuple
texts = ["", ""]
streams = [iter(first), iter(second)]
more = True
while more:
    more = False
    for i in (0, 1):
        piece = next(streams[i], None)
        if piece is not None:
            texts[i] += piece
            more = True
for i in (0, 1):
    assert texts[i] == "".join(["%d:%s:%d %s" % (n + 1, "AB"[i], n, "." * 100) for n in range(300)])
""")


def test_nothing_leaks_into_the_next_request(do):
    do("""
Write("a.pyhtml", "{{ if x }}x{{ end }}{{ if y }}y{{ end }}{{ if f }}f{{ end }}"
      "{{ py }}\\n  y = 1\\n  def f():\\n    pass\\n{{ end }}")
assert Render("a.pyhtml", x=1) == "x"
assert Render("a.pyhtml") == ""
""")


def test_one_file_seen_from_two_roots(do):
    """A page outside of webPath has its own folder as the root, even if another page included it before."""
    do("""
os.mkdir("other"), os.mkdir("other/sub")
for name, text in (("a", "{{ include 'su' + 'b/b' }}"), ("x", "outer"), ("sub/x", "inner"),
                   ("sub/b", "{{ include /x.pyhtml }}")):
    with open("other/%s.pyhtml" % name, "w") as file:
        file.write(text)
Age()
for _ in range(2):
    assert "".join(Blocks("other/a.pyhtml", {})) == "outer"
    assert "".join(Blocks("other/sub/b.pyhtml", {})) == "inner"
""")


def test_what_a_renderer_gives(do):
    """A page of one block is a tuple, so its length is known. Of a longer page, two blocks are pulled at once."""
    do("""
Write("short.pyhtml", "{{ x }}")
Write("long.pyhtml", "{{ for i in rows }}" + "." * 500 + "{{ end }}")
assert Blocks("www/short.pyhtml", {"x": 1}) == ("1",)
assert Blocks("www/short.pyhtml", {"x": ""}) == ("",)
pulled = []
def Rows():
    for i in range(1000):
        pulled.append(i)
        yield i
blocks = Blocks("www/long.pyhtml", {"rows": Rows()})
assert 0 < len(pulled) < 300, len(pulled)
assert sum([len(block) for block in blocks]) == 500 * 1000
""")


def test_long_pages_of_long_characters(do):
    """Block are counted in characters, not in bytes."""
    do("""
Write("a.pyhtml", "{{ for i in range(n) }}" + "\\u20ac" * 7 + "{{ i }}{{ end }}")
for n in (1, 50, 110, 120, 130, 200, 2000, 5000):
    assert Render("a.pyhtml", n=n) == "".join(["\\u20ac" * 7 + str(i) for i in range(n)]), n
""")


def test_errors_before_the_first_block_come_from_the_call(do):
    do("""
Write("a.pyhtml", "{{ nope }}")
try:
    Blocks("www/a.pyhtml", {})
    raise AssertionError
except t.TemplateError:
    pass
""")


# ---- precompiled

@pytest.fixture(scope="module")
def builtModules(tmp_path_factory):
    """microWebTemplate.mpy and microWebPages.mpy as boards get them, with shortened private names."""
    folder = tmp_path_factory.mktemp("mpy")
    tool = harness.LoadTool("build_mpy")
    made = tool.Made(tool.Command(), "board")
    for name in ("microWebTemplate.mpy", "microWebPages.mpy"):
        (folder / name).write_bytes(made[name])
    return folder


PRECOMPILED = """
sys.path.insert(0, "")
good = Render("index.pyhtml", x=2, name="_dyn")
assert good == "range(0, 2)\\u00e9\\u00e9dyn\\n3", good
assert not [name for name in sys.modules if name.startswith("www_pyhtml.")]
for x, what in ((0, "ZeroDivisionError"), (None, "'x' isn't defined")):
    try:
        Render("index.pyhtml", **({"name": "_dyn"} if x is None else {"x": x, "name": "_dyn"}))
        raise AssertionError
    except t.TemplateError as error:
        assert "/www/index.pyhtml, line 2: " in str(error) and what in str(error), str(error)
assert Server.pages == {"/": "/index.pyhtml", "/index.pyhtml": "/index.pyhtml", "/sub/part.pyhtml": "/sub/part.pyhtml",
                        "/UP.PYHTML": "/UP.PYHTML"}, Server.pages
assert Render("UP.PYHTML") == "up"
"""


@pytest.mark.parametrize("isBare", (False, True), ids=("whole", "without compiler"))
@pytest.mark.parametrize("pages", ("py", "mpy"))
@pytest.mark.parametrize("modules", ("py", "mpy"))
def test_precompiled(do, builtModules, modules, pages, isBare):
    """Modules of pages and of the server, each as .py or .mpy: they work with and without the source, and errors name
    the line of the page."""
    if do.runtime != "micropython" and (pages, modules) != ("py", "py"):
        pytest.skip("CPython has no .mpy")
    www = do.folder / "www"
    (www / "sub").mkdir()
    (www / "_folder").mkdir()
    (www / "index.pyhtml").write_text("{{ include sub/part.pyhtml }}\n{{ 6 // x }}")
    (www / "sub" / "part.pyhtml").write_text("{{ range(2) }}é{{ 'é' }}{{ include name }}", encoding="utf-8")
    (www / "sub" / "_dyn.pyhtml").write_text("{{ extends /_folder/base }}{{ block a }}dyn{{ end }}")
    (www / "_folder" / "base.pyhtml").write_text("{{ block a }}{{ end }}")
    (www / "UP.PYHTML").write_text("up")
    (www / ".hidden.pyhtml").write_text("hidden")
    done = _CompileTool(do.folder, "www", *(["--mpy"] if pages == "mpy" else []))
    assert done.returncode == 0, done.stderr
    package = do.folder / "www_pyhtml"
    assert sorted(path.stem for path in package.iterdir()) == [
        "UP", "__init__", "_folder__base", "index", "sub___dyn", "sub__part"]
    assert {path.suffix for path in package.iterdir()} == {"." + pages}
    folder = harness.SRC if modules == "py" else builtModules
    program = PRECOMPILED
    if isBare:
        if modules == "mpy" and pages == "py":
            pytest.skip("the tool makes all of one kind")
        folder = do.folder / "bare"
        done = _CompileTool(do.folder, "www", "-o", folder, "--without-compiler", *(["--mpy"] if modules == "mpy" else []))
        assert done.returncode == 0, done.stderr
        shutil.rmtree(folder / "www_pyhtml")
        assert sorted(path.name for path in folder.iterdir()) == ["microWebPages." + modules, "microWebTemplate." + modules]
        program += """
assert not hasattr(t.Compiler, "Scan")
for name, kind in (("new.pyhtml", t.TemplateError), ("nothing.pyhtml", OSError)):
    try:
        Render(name)
        raise AssertionError(name)
    except kind as error:
        assert kind is OSError or "new.pyhtml is not precompiled" in str(error), str(error)
"""
    else:
        program += "assert Compiled() == 0\n"
    (www / "new.pyhtml").write_text("new")
    do(program, (do.folder, folder))
    for path in www.rglob("*.*"):
        if path.is_file() and path.name != "new.pyhtml":
            path.unlink()
    do(program, (do.folder, folder))


def test_a_module_older_than_its_source_is_left_alone(do):
    page, part = do.folder / "www" / "a.pyhtml", do.folder / "www" / "b.pyhtml"
    page.write_text("old{{ include b.pyhtml }}")
    part.write_text("old")
    assert _CompileTool(do.folder, "www").returncode == 0
    part.write_text("new")
    module = do.folder / "www_pyhtml" / "a.py"
    for path, age in ((page, 30), (part, 10), (module, 20)):
        stat = path.stat()
        os.utime(path, (stat.st_atime - age, stat.st_mtime - age))
    do("assert Render('a.pyhtml') == 'oldnew' and Compiled() == 1", (do.folder, harness.SRC))


def test_a_module_of_another_page_is_left_alone(do):
    """a/b.pyhtml and a__b.pyhtml would have the same module; the tool reports it, and the server checks which page a
    module belongs to."""
    (do.folder / "www" / "a").mkdir()
    (do.folder / "www" / "a" / "b.pyhtml").write_text("folder")
    assert _CompileTool(do.folder, "www").returncode == 0
    (do.folder / "www" / "a__b.pyhtml").write_text("flat")
    assert "would both be" in _CompileTool(do.folder, "www").stderr
    do("assert Render('a__b.pyhtml') == 'flat' and Render('a/b.pyhtml') == 'folder' and Compiled() == 1",
       (do.folder, harness.SRC))


def test_a_broken_module_is_loud(do):
    (do.folder / "www" / "a.pyhtml").write_text("a")
    (do.folder / "www_pyhtml").mkdir()
    (do.folder / "www_pyhtml" / "__init__.py").write_text("Pages = {}\n")
    (do.folder / "www_pyhtml" / "a.py").write_text("1 +\n")
    do("""
try:
    Render("a.pyhtml")
    raise AssertionError
except SyntaxError:
    pass
""", (do.folder, harness.SRC))


@pytest.mark.parametrize("source, kind", (("import www_pyhtml_tools\n", "ImportError"), ("import www_py\n", "ImportError"),
                                          ("1 // 0\n", "ZeroDivisionError"), ("1 +\n", "SyntaxError"),
                                          ("from www_pyhtml.lost import x\n", "ImportError")))
@pytest.mark.parametrize("isPackage", (True, False), ids=("package", "module"))
def test_broken_is_loud_and_absent_is_silent(do, source, kind, isPackage):
    """Any defect of a package or of a page's module raises; similar names are not confused."""
    (do.folder / "www" / "a.pyhtml").write_text("a")
    package = do.folder / "www_pyhtml"
    package.mkdir()
    (package / "__init__.py").write_text(source if isPackage else "Pages = {}\n")
    if not isPackage:
        (package / "a.py").write_text(source)
    program = HEAD.replace("    p.Attach(Server)\n", """\
    try:
        p.Attach(Server)
    except %s:
        print("LOUD")
        sys.exit()
""" % kind) + """
try:
    print(Render("a.pyhtml"))
except %s:
    print("LOUD")
""" % kind
    path = (do.folder, harness.SRC)
    assert harness.RunProgram(do.runtime, program, do.folder, path) == "LOUD\n"
    shutil.rmtree(package)
    assert harness.RunProgram(do.runtime, program, do.folder, path) == "a\n"


def test_the_tool_says_what_is_wrong(tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.pyhtml").write_text("\n{{ if }}")
    done = _CompileTool(tmp_path, "www")
    assert done.returncode == 1 and "a.pyhtml, line 2" in done.stderr
    assert not (tmp_path / "www_pyhtml").exists()
    (tmp_path / "www" / "a.pyhtml").write_text("".join("{{ n%d }}" % n for n in range(300)))
    assert "240 names" in _CompileTool(tmp_path, "www").stderr
    (tmp_path / "www" / "a.pyhtml").rename(tmp_path / "www" / "a.b.pyhtml")
    assert "dot" in _CompileTool(tmp_path, "www").stderr


# ---- memory

def test_ten_thousand_rows_in_a_small_heap(tmp_path):
    """MicroPython with 128 KB: the rows are not stored, for 10 or 10,000 of them."""
    (tmp_path / "www").mkdir()
    (tmp_path / "lib").mkdir()
    row = "<tr><td>{{ i }}</td><td>{{ name }}</td></tr>\n"
    (tmp_path / "www" / "a.pyhtml").write_text("<table>{{ for i, name in rows }}%s{{ end }}</table>" % row)
    command = [harness.FindTool("mpy-cross"), "-O2", harness.SRC / "microWebTemplate.py", "-o", tmp_path / "lib" / "microWebTemplate.mpy"]
    subprocess.run(command, check=True, timeout=60)
    out = harness.RunProgram("micropython", """
import gc
import microWebTemplate as t
class Server:
    Renderers = {}
    class source:
        root = "/nowhere"
        Stat = t.Stat
    def HTMLEscape(text):
        return text.replace("<", "&lt;").replace(">", "&gt;")
t.Attach(Server)
def Rows(n):
    for i in range(n):
        yield i, "name <%d>" % i
def Run(n):
    gc.collect()
    before = gc.mem_alloc()
    size = longest = peak = count = 0
    for block in Server.Renderers[".pyhtml"](Server, "www/a.pyhtml", {"rows": Rows(n)}):
        size += len(block)
        longest = max(longest, len(block))
        if count % 10 == 0:
            gc.collect()
            peak = max(peak, gc.mem_alloc() - before)
        count += 1
    print(n, size, longest, peak)
Run(100)
Run(100)
Run(10000)
""", tmp_path, (tmp_path / "lib",), options=("-X", "heapsize=128k"))
    rows = [[int(word) for word in line.split()] for line in out.splitlines()]
    expected = ["<tr><td>%d</td><td>name &lt;%d&gt;</td></tr>\n" % (i, i) for i in range(10000)]
    assert rows[2][1] == len("<table>%s</table>" % "".join(expected))
    assert rows[2][2] < 1200
    assert rows[2][3] < rows[1][3] + 1024, rows
    assert rows[2][3] < 10000, rows
