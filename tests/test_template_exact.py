"""Code in {{ py }} keeps its exact meaning: the compiled program has the same syntax tree as the lines of the page."""

import ast
import random
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microWebTemplate import Compiler, MicroWebTemplate
from test_template_language import RunJobs

PARTS = ("a", " ", "#", "'", '"', "\\'", '\\"', "\\\\", "\\n", "\\\n", "\n", "global v", "def f():", "é", "    ", "\t", "{{", "}}", "{v}",
         "{v!r:>9}", "{'v'}", ";", ":", '"""', "'''")
PREFIXES = ("", "", "", "r", "f", "F", "rf", "b", "Rb", "u")
UNITS = (" ", "  ", "    ", "\t", "  \t")


def _Compiles(code):
    """True if CPython compiles it."""
    try:
        compile(code, "", "exec")
        return True
    except (SyntaxError, ValueError):
        return False


class Writer:
    """Writes random programs."""

    def __init__(self, seed, prefixes=PREFIXES):
        self.rng = random.Random(seed)
        self.prefixes = prefixes

    def Any(self, *choices):
        return self.rng.choice(choices)

    def String(self):
        while True:
            quote = self.Any("'", '"', "'''", '"""')
            text = self.Any(*self.prefixes) + quote + "".join(self.rng.choices(PARTS, k=self.rng.randrange(6))) + quote
            if _Compiles(text):
                return text

    def Expression(self, depth=0):
        kind = self.rng.randrange(4 if depth > 2 else 10)
        if kind < 3:
            return self.String()
        if kind == 3:
            return self.Any("v", "w", "1", "''", '""', "f(v)", "[v for v in w]", "(lambda: v)", "v.w", "globals_")
        inner = self.Expression(depth + 1)
        return (self.Any("(%s, w)", "[%s,\n  1]", "(%s == \\\n 2)", "{# it's \"\"\"\n%s: 1}", "f(\n%s)", "(%s)") % inner if kind < 8
                else "(%s\n,\n%s)" % (inner, self.Expression(depth + 1)) if kind == 8 else self.String() + self.String())

    def Suite(self, depth):
        """The lines are indented as an editor does it, not within strings."""
        head = self.Any("if v:", "while v:", "try:\n  pass\nfinally:", "for v in w:", "with v:", "def f(v=%s):" % self.Expression(2),
                        "@(%s)\ndef g(*w):" % self.Expression(2), "class K:", "@f\nclass K(f):", "def h(): # it's '''")
        unit = self.Any(*UNITS)
        return [head] + [unit + line for _ in range(self.rng.randrange(1, 4)) for line in self.Statement(depth + 1)]

    def Statement(self, depth=0):
        kind = self.rng.randrange(7 if depth > 2 else 10)
        if kind > 6:
            return self.Suite(depth)
        return [self.Any("v = %s", "w = v; v = %s; pass", "%s", "x = [%s]  # '") % self.Expression() if kind < 3 else self.Any(
            "# it's", '# """ \\', "pass", "", "global v", "global v, w; v = 1", "global w  # and 'v'", "v += 1", "globals_ = 1",
            "import os", "def f(): global v; v = 1", "if v: global w; w = 2", "del v", "v = 1 + \\\n2",
            "x = {'a': 1, # '''\n'b': 2}", "nonlocal_ = v")]

    def Block(self):
        while True:
            block = "\n".join(line for _ in range(self.rng.randrange(1, 6)) for line in self.Statement())
            if _Compiles(block) and "{{ end }}" not in block and block.strip() and block[:1] not in " \t\n":
                return block


class _AsPage(ast.NodeTransformer):
    """Globals of a page are locals of its function: `global` becomes nonlocal within functions and classes, and is
    removed outside."""

    depth = 0

    def visit_FunctionDef(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        return node

    visit_ClassDef = visit_FunctionDef

    def visit_Global(self, node):
        return ast.Nonlocal(node.names) if self.depth else ast.Pass()


def _Body(template):
    """The statements of the page's function from the first {{ py }}, found in the body of a loop and a condition."""
    page = MicroWebTemplate(template).page
    page.files, page.texts = [], []
    tree = ast.parse(Compiler(page).Compile(page.name))
    loop = next(node for node in tree.body[0].body if isinstance(node, ast.For))
    return loop.body[1].body[1:]                # after the flag of the loop and the first `pass`


def _Check(block, margin="", head="\n"):
    expected = ast.Module(_AsPage().visit(ast.parse(block)).body, [])
    found = _Body("{{ for loop__ in (1,) }}{{ if 1 }}{{ py }}%s{{ end }}{{ end }}{{ end }}" % (
        head + "".join(margin + line + "\n" for line in block.split("\n"))))
    assert ast.dump(ast.Module(found, [])) == ast.dump(expected)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2 ** 32), st.sampled_from(("", "  ", "\t", "      ")))
def test_the_tree_is_that_of_the_lines(seed, margin):
    """The common indentation of all lines, also within strings, belongs to the template, not to the program."""
    _Check(Writer(seed).Block(), margin)


@pytest.mark.parametrize("margin", ("", "  ", "\t"))
@pytest.mark.parametrize("block", ("v = 'a\\\n  b'", "v = \"a\"\"\"\"b\n c\"\"\"", "def f():\n  x = f(\n)\n  global v\n  v = 1",
                                   "v = f'''{v}\n{w}\n'''; global k", "global v # '\nv = '''\n '''"))
def test_the_tree_of_hard_lines(block, margin):
    _Check(block, margin)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="an f-string can't have its own quotes within")
@pytest.mark.parametrize("block", (
    'v = f"{w["k"] + x["l"]}" + y', "v = f'{'\"'}'\nw = 1", 'v = f"{f"{w + "}"}"}{x:{y}}" "z"\nw = \'\'\'\n \'\'\''))
def test_format_strings_with_their_own_quotes(block):
    _Check(block, "  ")
    names = {node.id for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Name)}
    page = MicroWebTemplate("{{ py }}\n%s\n{{ end }}" % block).page
    page.Compile()
    assert names <= set(page.names)


PROGRAM = """\
{{ for turn in (1, 2) }}{{ if turn == 2 }}{{ py }}
%s
{{ end }}{{ raw [v, w, k] }}{{ end }}{{ end }}"""
START = "v = 'v'\nw = ['w']\nk = 0\n"
FACTS = (
    "class A:\n  n = k\n  @staticmethod\n  def g():\n    global k; k += 1\n    return 'g'\nw = A.g() + str(A.n)",
    "if k:\n\tw = 'yes' # '\nelse:\n\tw = \"no\" # \"\"\"",
    "def outer(n):\n def inner():\n  nonlocal n\n  global k\n  n += 1\n  k = n\n  return n\n return inner\nw = outer(k)()",
    "k = 1 + \\\n  2", "w = 'a\\\n  b'", "v = [i for i in (1,\n2) if i > k]")


def _Program(seed):
    """A program that runs, also on MicroPython."""
    writer = Writer(seed, ("", "", "", "r"))
    lines = []
    for _ in range(writer.rng.randrange(1, 6)):
        unit = writer.Any(*UNITS)
        lines.append(writer.Any(
            "v = " + writer.String(), writer.Any(*FACTS), writer.Any(*FACTS),
            "def f(a=1):\n{0}'''doc\n  '''\n{0}global v, k\n{0}k += a\n{0}v = [{1}, # it's\n{0}{2}]\n{0}return v\nw = f(2)".format(
                unit, writer.String(), writer.String())))
    block = START + "\n".join(lines)
    return block if _Compiles(block) else _Program(seed + 1000)         # two strings side by side may be invalid


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.integers(0, 2 ** 32))
def test_the_results_are_those_of_the_lines_on_micropython(tmp_path_factory, seed):
    expected, jobs = [], []
    for number in range(seed, seed + 60):
        block = _Program(number)
        names = {}
        exec(block, names)
        values = repr([names["v"], names["w"], names["k"]])
        # MicroPython writes other strings differently
        if values.isascii() and "\\x" not in values and "{{ end }}" not in block:
            expected.append(values)
            jobs.append({"code": PROGRAM % block})
    answers = RunJobs("micropython", jobs, tmp_path_factory.mktemp("exact"))
    assert len(jobs) > 20
    for job, answer, values in zip(jobs, answers, expected):
        assert answer.get("text") == values, (job["code"], answer)
