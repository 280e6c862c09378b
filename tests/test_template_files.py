"""Templates in files: include, extends, the folder that they can't leave, and their error messages."""

import pytest

from test_template_language import RunJobs

BASE = "<html>{{ block head }}<title>{{ title }}</title>{{ end }}\n<body>{{ block body }}base{{ end }}</body></html>"

# name: ({file: text}, page, source of the variables, result)
FILES = {
    "include": ({"page.pyhtml": "[{{ include part.pyhtml }}]", "part.pyhtml": "<p>"}, "{}", "[<p>]"),
    "include in quotes": ({"page.pyhtml": "{{ include 'a b.pyhtml' }}{{ include \"part.html\" }}", "a b.pyhtml": "1",
                           "part.html": "2"}, "{}", "12"),
    "include with spaces in its name": ({"page.pyhtml": "{{ include my part.html }}", "my part.html": "1"}, "{}", "1"),
    "include from a folder": ({"page.pyhtml": "{{ include sub/one.pyhtml }}",
                               "sub/one.pyhtml": "1{{ include two.pyhtml }}",
                               "sub/two.pyhtml": "2{{ include ../three.pyhtml }}{{ include /sub/four.pyhtml }}",
                               "three.pyhtml": "3", "sub/four.pyhtml": "4"}, "{}", "1234"),
    "include by expression": ({"page.pyhtml": "{{ for n in names }}{{ include n }}{{ end }}"
                                              "{{ include 'sub/' + names[0] }}"
                                              "{{ include (o['file']) }}",
                               "a.pyhtml": "A{{ n }}", "b.pyhtml": "B", "sub/a.pyhtml": "{{ include x }}",
                               "sub/c.pyhtml": "C"},
                              "{'names': ['a', 'b.pyhtml'], 'x': 'c', 'o': {'file': 'b'}}", "AaBCB"),
    "includes share the page's names": ({"page.pyhtml": "{{ include tools.pyhtml }}{{ for i in (1, 2) }}"
                                                        "{{ include row.pyhtml }}"
                                                        "{{ end }}{{ last }}",
                                         "tools.pyhtml": "{{ py }}\n  def Twice(n):\n    return 2 * n\n{{ end }}",
                                         "row.pyhtml": "{{ Twice(i) }},{{ py }}last = i{{ end }}"}, "{}", "2,4,2"),
    "includes by expression see the page's names": ({"page.pyhtml": "{{ py }}\n  y = 1\n  def f():\n    return y + x"
                                                                    "\n{{ end }}"
                                                                    "{{ for i in (5, 6) }}{{ include name }}{{ end }}",
                                                     "part.pyhtml": "{{ f() }}{{ i }}{{ if nope }}n{{ end }}{{ z }} "},
                                                    "{'name': 'part', 'x': 2, 'z': 'z'}", "35z 36z "),
    "the same file twice": ({"page.pyhtml": "{{ include p.pyhtml }}{{ include p.pyhtml }}", "p.pyhtml": "{{ x }}"},
                            "{'x': 1}", "11"),
    "a tree by expression": ({"page.pyhtml": "{{ n['v'] }}{{ for n in n['c'] }}({{ include 'pa' + 'ge' }}){{ end }}"},
                             "{'n': {'v': 1, 'c': [{'v': 2, 'c': [{'v': 3, 'c': []}]}, {'v': 4, 'c': []}]}}",
                             "1(2(3))(4)"),
    "a server escapes": ({"page.pyhtml": "{{ x }}{{ 5 }}{{ 1.5 }}{{ None }}{{ raw x }}{{ m }}{{ h }}"},
                         "{'x': '<\"&\\'>', 'm': Markup('<i>'), 'h': Dashed()}",
                         "&lt;&quot;&amp;&apos;&gt;51.5None<\"&'><i><hr>"),
    "a server escapes each of the five": ({"page.pyhtml": "{{ for v in x }}{{ v }} {{ end }}{{ x[2] + 's' }}"},
                                          "{'x': ['&', '\"', \"'\", '>', '<', 'a']}",
                                          "&amp; &quot; &apos; &gt; &lt; a &apos;s"),
    "dots in folders": ({"page.pyhtml": "{{ include v1.2/part }}", "v1.2/part.pyhtml": "p"}, "{}", "p"),
    "byte order marks": ({"page.pyhtml": "\ufeffa{{ include p.pyhtml }}", "p.pyhtml": "\ufeffb"}, "{}", "ab"),
    "empty include": ({"page.pyhtml": "a{{ include p.pyhtml }}b", "p.pyhtml": ""}, "{}", "ab"),

    "extends": ({"page.pyhtml": "{{ extends base.pyhtml }}\n{{ block body }}mine {{ title }}{{ end }}\n",
                 "base.pyhtml": BASE},
                "{'title': 'T'}", "<html><title>T</title>\n<body>mine T</body></html>"),
    "extends without a suffix": ({"page.pyhtml": "\n {{ extends base }}{{ block head }}{{ end }}", "base.pyhtml": BASE},
                                 "{}", "<html>\n<body>base</body></html>"),
    "extends in quotes, from a folder": ({"sub/page.pyhtml": "{{ extends '../base.pyhtml' }}{{ block body }}"
                                                             "{{ include a.pyhtml }}{{ end }}",
                                          "base.pyhtml": "{{ include a.pyhtml }}{{ block body }}{{ end }}",
                                          "a.pyhtml": "up",
                                          "sub/a.pyhtml": "down"}, "{}", "updown"),
    "a base alone": ({"page.pyhtml": BASE}, "{'title': 1}", "<html><title>1</title>\n<body>base</body></html>"),
    "comments before extends": ({"page.pyhtml": "{{ # mine }}\n{{ extends base }}{{ block body }}b{{ end }}",
                                 "base.pyhtml": "{{ # a comment, not {{ extends }}{{ extends deep }}",
                                 "deep.pyhtml": BASE}, "{'title': 1}",
                                "<html><title>1</title>\n<body>b</body></html>"),
    "py of an extending page": ({"page.pyhtml": "{{ extends base }}{{ py }}\n  title = 'set'\n  def f():\n    return"
                                                " 'f'\n{{ end }}"
                                                "{{ include more.pyhtml }}{{ block body }}{{ f() }}{{ g() }}{{ end }}",
                                 "more.pyhtml": "not shown{{ py }}\n  def g():\n    return 'g'\n{{ end }}",
                                 "base.pyhtml": BASE},
                                "{}", "<html><title>set</title>\n<body>fg</body></html>"),
    "three floors": ({"page.pyhtml": "{{ extends mid }}{{ block inner }}page{{ end }}{{ block head }}H{{ end }}",
                      "mid.pyhtml": "{{ extends base }}{{ block body }}mid[{{ block inner }}m{{ end }}]{{ end }}"
                                    "{{ block head }}no{{ end }}",
                      "base.pyhtml": BASE}, "{}", "<html>H\n<body>mid[page]</body></html>"),
    "blocks in blocks": ({"page.pyhtml": "{{ extends base }}{{ block b }}B{{ end }}",
                          "base.pyhtml": "{{ block a }}1{{ block b }}2{{ end }}{{ if 1 }}{{ block c }}3{{ end }}"
                                         "{{ end }}{{ end }}"},
                         "{}", "1B3"),
    "a block that holds everything": ({"page.pyhtml": "{{ extends base }}{{ block body }}{{ py }}\n  x = '"
                                                      "{{ end'\n{{ end }}"
                                                      "{{ if 1 }}{{ for i in (1,) }}{{ # {{ end }}x{{ end }}"
                                                      "{{ else }}{{ end }}{{ end }}",
                                       "base.pyhtml": "<{{ block body }}{{ if 0 }}{{ end }}{{ py }}\n{{ end }}"
                                                      "{{ end }}>"},
                                      "{}", "<x>"),
    "a block in a loop": ({"page.pyhtml": "{{ extends base }}{{ block row }}<{{ i }}>{{ end }}",
                           "base.pyhtml": "{{ for i in range(3) }}{{ block row }}{{ i }}{{ end }}{{ end }}"}, "{}",
                           "<0><1><2>"),
    "a block twice": ({"page.pyhtml": "{{ extends base }}{{ block t }}T{{ end }}",
                       "base.pyhtml": "{{ block t }}{{ end }}-{{ block t }}{{ end }}"}, "{}", "T-T"),
    "partial pages and bases": ({"page.pyhtml": "{{ extends _base }}{{ block a }}{{ include _row.pyhtml }}{{ include n }}{{ end }}",
                                 "_base.pyhtml": "<{{ block a }}{{ end }}{{ include _parts/a }}>", "_row.pyhtml": "row",
                                 "_parts/a.pyhtml": "a", "_parts/b.pyhtml": "{{ include a.pyhtml }}b"}, "{'n': '_parts/b'}",
                                "<rowaba>"),
    "names in upper case, as FAT gives them": ({"SUB/PAGE.PYHTML": "{{ extends /BASE.PYHTML }}{{ block a }}{{ include ROW.HTM }}"
                                                                   "{{ include n }}{{ end }}",
                                                "BASE.PYHTML": "<{{ block a }}{{ end }}>", "SUB/ROW.HTM": "row",
                                                "SUB/X.PYHTML": "x"}, "{'n': 'X.PYHTML'}", "<rowx>"),
    "verbatim in a page that extends": ({"page.pyhtml": "{{ extends base }}{{ verbatim }}{{ no }}{{ end verbatim }}"
                                                        "{{ block a }}{{ verbatim }}{{ end }}{{ x }}{{ end verbatim }}{{ end }}",
                                         "base.pyhtml": "<{{ block a }}{{ end }}>"}, "{}", "<{{ end }}{{ x }}>"),
    "flags of loops in blocks": ({"page.pyhtml": "{{ extends base }}{{ block a }}{{ for j in () }}{{ else }}none{{ end }}{{ end }}",
                                  "base.pyhtml": "{{ for i in (1, 2) }}{{ block a }}{{ end }}{{ else }}never{{ end }}"}, "{}",
                                 "nonenone"),
    "a page that extends, by expression": ({"page.pyhtml": "[{{ include (name) }}]",
                                            "c.pyhtml": "{{ extends b }}{{ block x }}c{{ end }}",
                                            "b.pyhtml": "<{{ block x }}{{ end }}>"}, "{'name': 'c'}", "[<c>]"),
}

# name: ({file: text}, source of the variables, file of the error, line, message)
FILE_ERRORS = {
    "in an included file": ({"page.pyhtml": "a\n{{ include sub/p.pyhtml }}", "sub/p.pyhtml": "\n\n{{ 1 // 0 }}"}, "{}",
                            "sub/p.pyhtml", 3, "ZeroDivisionError"),
    "behind an included file": ({"page.pyhtml": "a\n{{ include p.pyhtml }}\n{{ 1 // 0 }}", "p.pyhtml": "\n\n\n\n"},
                                "{}",
                                "page.pyhtml", 3, "ZeroDivisionError"),
    "syntax in an included file": ({"page.pyhtml": "{{ include p.pyhtml }}", "p.pyhtml": "\n{{ 1 + }}"}, "{}",
                                   "p.pyhtml", 2,
                                   "SyntaxError"),
    "a function of an included file": ({"page.pyhtml": "{{ include p.pyhtml }}\n{{ f(0) }}",
                                        "p.pyhtml": "{{ py }}\n  def f(x):\n    return 1 // x\n{{ end }}"}, "{}",
                                        "p.pyhtml", 3,
                                       "ZeroDivisionError"),
    "in a page included by expression": ({"page.pyhtml": "{{ include n }}", "p.pyhtml": "\n{{ 1 // 0 }}"},
                                         "{'n': 'p'}", "p.pyhtml", 2,
                                         "ZeroDivisionError"),
    "syntax in a page included by expression": ({"page.pyhtml": "{{ include n }}", "p.pyhtml": "\n{{ if 1 }}"},
                                                "{'n': 'p'}",
                                                "p.pyhtml", 2, "expected {{ end }}"),
    "in a block": ({"page.pyhtml": "{{ extends base }}\n{{ block b }}\n\n{{ 1 // 0 }}{{ end }}",
                    "base.pyhtml": "\n{{ block b }}{{ end }}"},
                   "{}", "page.pyhtml", 4, "ZeroDivisionError"),
    "in the base": ({"page.pyhtml": "{{ extends base }}\n{{ block b }}\n\n{{ end }}",
                     "base.pyhtml": "\n{{ block b }}\n{{ end }}\n{{ nope }}"},
                    "{}", "base.pyhtml", 4, "NameError"),
    "unclosed in a block": ({"page.pyhtml": "{{ extends base }}\n{{ block b }}{{ if 1 }}\n{{ end }}",
                             "base.pyhtml": "{{ block b }}{{ end }}"},
                            "{}", "page.pyhtml", 2, "expected {{ end }}"),
    "includes itself": ({"page.pyhtml": "\n{{ include page.pyhtml }}"}, "{}", "page.pyhtml", 2,
                        "a cycle: page.pyhtml > page.pyhtml"),
    "a cycle": ({"page.pyhtml": "{{ include a.pyhtml }}", "a.pyhtml": "\n{{ include b.pyhtml }}",
                 "b.pyhtml": "{{ include a.pyhtml }}"},
                "{}", "b.pyhtml", 1, "a cycle: page.pyhtml > a.pyhtml > b.pyhtml > a.pyhtml"),
    "extends itself": ({"page.pyhtml": "{{ extends page }}"}, "{}", "page.pyhtml", 1, "a cycle"),
    "a cycle of extends": ({"page.pyhtml": "{{ extends a }}", "a.pyhtml": "{{ extends page }}"}, "{}", "a.pyhtml", 1,
                           "a cycle"),
    "a block in itself": ({"page.pyhtml": "{{ extends base }}{{ block b }}{{ block b }}{{ end }}{{ end }}",
                           "base.pyhtml": "{{ block b }}{{ end }}"}, "{}", "page.pyhtml", 1, "a cycle"),
    "a cycle by expression": ({"page.pyhtml": "x\n{{ include name }}"}, "{'name': 'page'}", "page.pyhtml", 2,
                              "a cycle"),
    "missing base": ({"page.pyhtml": "\n{{ extends nope }}\n{{ block a }}{{ end }}"}, "{}", "page.pyhtml", 2, "nope"),
    "no text of its own": ({"page.pyhtml": "{{ extends base }}\n{{ 5 }}", "base.pyhtml": ""}, "{}", "page.pyhtml", 2,
                           "expected only"),
    "no for of its own": ({"page.pyhtml": "{{ extends base }}\n{{ for x in y }}{{ end }}", "base.pyhtml": ""}, "{}",
                          "page.pyhtml", 2,
                          "expected only"),
    "no include by expression of its own": ({"page.pyhtml": "{{ extends base }}\n{{ include x }}", "base.pyhtml": ""},
                                            "{'x': 'base'}",
                                            "page.pyhtml", 2, "expected"),
    "extends in an included file": ({"page.pyhtml": "{{ include p.pyhtml }}", "p.pyhtml": "{{ extends base }}",
                                     "base.pyhtml": ""}, "{}",
                                    "p.pyhtml", 1, "expected {{ extends }} at the beginning"),
    "outside": ({"page.pyhtml": "{{ include ../../etc/passwd }}"}, "{}", "page.pyhtml", 1, "outside"),
    "outside with backslashes": ({"page.pyhtml": "{{ include ..\\up.pyhtml }}", "../up.pyhtml": "up"}, "{}",
                                 "page.pyhtml", 1, "outside"),
    "outside by expression": ({"page.pyhtml": "{{ include name }}", "../up.pyhtml": "up"}, "{'name': 'x/../../up'}",
                              "page.pyhtml", 1,
                              "outside"),
    "outside from above": ({"page.pyhtml": "{{ include /../up.pyhtml }}", "../up.pyhtml": "up"}, "{}", "page.pyhtml",
                           1, "outside"),
    "outside and in again": ({"page.pyhtml": "{{ include ../../www/page.pyhtml }}"}, "{}", "page.pyhtml", 1, "outside"),
    "outside by extends": ({"page.pyhtml": "{{ extends ../up }}", "../up.pyhtml": "up"}, "{}", "page.pyhtml", 1, "outside"),
    "hidden": ({"page.pyhtml": "\n{{ include .secret.pyhtml }}", ".secret.pyhtml": "s"}, "{}", "page.pyhtml", 2, "is hidden"),
    "hidden by expression": ({"page.pyhtml": "{{ include name }}", ".git/config": "s"}, "{'name': './.git/config'}",
                             "page.pyhtml", 1, "is hidden"),
    "hidden behind a folder": ({"page.pyhtml": "{{ include name }}", "a/.b/c.pyhtml": "s"}, "{'name': 'a\\\\.b/c'}",
                               "page.pyhtml", 1, "is hidden"),
    "a link": ({"page.pyhtml": "\n{{ include link.pyhtml }}", "link.pyhtml": "s"}, "{}", "page.pyhtml", 2, "outside"),
    "a link by expression": ({"page.pyhtml": "{{ include name }}", "sub/link/x.pyhtml": "s"}, "{'name': 'sub/link/x'}",
                             "page.pyhtml", 1, "outside"),
    "an unclosed tag in an included file": ({"page.pyhtml": "{{ include p.pyhtml }} }}", "p.pyhtml": "\n{{ x"},
                                            "{}", "p.pyhtml", 2, "expected }}"),
    "a folder": ({"page.pyhtml": "\n{{ include sub.d/ }}", "sub.d/x": ""}, "{}", "page.pyhtml", 2, "Error"),
    "not UTF-8": ({"page.pyhtml": "\n{{ include p.pyhtml }}", "p.pyhtml": b"\xff\xfe"}, "{}", "page.pyhtml", 2,
                  "Error"),
}


def _Write(folder, files):
    for name, text in files.items():
        path = folder / "www" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def Answers(runtime, folder):
    """{name: (job, result)}: each case rendered from files below a folder www, as a server does it."""
    jobs = []
    table = {**FILES, **{"error: " + name: case for name, case in FILE_ERRORS.items()}}
    for number, (files, values, *_) in enumerate(table.values()):
        _Write(folder / str(number), files)
        page = next(name for name in files if name.lower().endswith("page.pyhtml"))
        root = "%d/www" % number
        jobs.append({"file": root + "/" + page, "root": root, "vars": values})
    return dict(zip(table, zip(jobs, RunJobs(runtime, jobs, folder))))


@pytest.fixture(scope="module", params=("cpython", "micropython"))
def answers(request, tmp_path_factory):
    return Answers(request.param, tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("name", FILES)
def test_files(answers, name):
    assert answers[name][1] == {"text": FILES[name][2]}


def CheckError(answers, name):
    files, _, file, line, what = FILE_ERRORS[name]
    job, answer = answers["error: " + name]
    assert "text" not in answer
    assert answer["error"].startswith("TemplateError: %s/%s, line %d: " % (job["root"], file, line)), answer
    assert what in answer["error"]
    if isinstance(files[file], str):
        assert answer["error"].endswith("\n    " + files[file].split("\n")[line - 1].strip()[:160])


@pytest.mark.parametrize("name", FILE_ERRORS)
def test_errors_name_the_file(answers, name):
    CheckError(answers, name)


@pytest.mark.parametrize("runtime", ("cpython", "micropython"))
def test_a_page_that_is_not_there_is_an_oserror(runtime, tmp_path):
    jobs = [{"file": "www/nope.pyhtml", "root": "www"}]
    assert RunJobs(runtime, jobs, tmp_path)[0]["error"].startswith(("OSError", "FileNotFoundError"))


@pytest.mark.parametrize("runtime", ("cpython", "micropython"))
def test_a_page_outside_of_the_web_folder_has_its_own_root(runtime, tmp_path):
    """A handler may render any file; its includes are restricted to the folder of that file."""
    _Write(tmp_path, {"page.pyhtml": "", "../other/t.pyhtml": "{{ include /u.pyhtml }}", "../other/u.pyhtml": "u",
                      "../other/v.pyhtml": "{{ include ../www/page.pyhtml }}"})
    jobs = [{"file": "other/%s.pyhtml" % name, "root": "www"} for name in "tv"]
    good, bad = RunJobs(runtime, jobs, tmp_path)
    assert good == {"text": "u"}
    assert "other/v.pyhtml, line 1" in bad["error"] and "outside" in bad["error"]


@pytest.mark.parametrize("runtime", ("cpython", "micropython"))
def test_a_bare_template_includes_from_its_folder(runtime, tmp_path):
    _Write(tmp_path, {"sub/a.pyhtml": "A{{ include n }}", "b.pyhtml": "B"})
    jobs = [{"code": "{{ include sub/a.pyhtml }}{{ include n }}", "filepath": "www/page.pyhtml",
             "vars": "{'n': '../b'}"},
            {"code": "{{ include sub/a.pyhtml }}", "filepath": "www/page.pyhtml", "vars": "{'n': '/b.pyhtml'}"},
            {"code": "{{ include www/b.pyhtml }}"}]
    first, second, third = RunJobs(runtime, jobs, tmp_path)
    assert "outside" in first["error"]
    assert second["text"] == "AB"
    assert third["text"] == "B"
