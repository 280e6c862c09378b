"""Generated templates: the compiled code gives the same result as the reference renderer, on both runtimes."""

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import microWebPages  # noqa: F401  enables blocks
from microWebTemplate import MicroWebTemplate, TemplateError
from template_cases import Reference
from test_template_language import RunJobs

TEXT = st.text(st.characters(exclude_characters="{}", exclude_categories=("Cs",)), max_size=40)
NAMES = ("a", "b", "x", "i", "row", "max", "id")
VALUES = {"a": 1, "b": "<&>'\"", "xs": [3, 0, 2], "pairs": [("k", 1), ("l", "%s")], "id": 5}
EXPRESSIONS = ("a", "b", "'%d {'", "a + 1", "[a, b]", "len(xs)", "[n * a for n in xs]", "(lambda v: (v, a))(1)",
               "Twice(a)", "x",
               "i", "row", "max(xs)", "id", "f'{a}-{b}'", "{'k': a}['k']", "a if b else 0",
               "sum(n for n in range(a + 2))", "Count()")
CONDITIONS = ("a", "x", "nope", "i", "a > 1", "b in xs", "not xs", "len(xs) > a", "True", "0", "[i for i in xs if i]")
ITERABLES = ("x in xs", "x in range(a)", "i in (n for n in xs)", "k, row in pairs", "i, (k, row) in enumerate(pairs)",
             "a in ()",
             "x in nothing", "a in xs, 1", "id in 'ab'")
BLOCKS = ("a = 2", "x = [a]", "import json", "count = a", "def Extra():\n    global a\n    a += 1\n    return Twice("
                                                          "a)\n  x = Extra()",
          "class K:\n    v = a\n  x = K.v", "x = [n for n in xs\n    if n]", "s = '''p\n  q'''\n  x = s",
          "# only a comment", "",
          "for a in xs:\n    i = a", "try:\n    row\n  except NameError:\n    row = 'none'")
START = ("{{ py }}\n  count = 0\n  nothing = []\n  def Twice(v):\n    return v * 2\n  def Count():\n    global count"
         "\n    count += 1\n"
         "    return count\n{{ end }}")


def _Tag(word):
    """A tag with one of the equivalent spacings."""
    return st.sampled_from(("{{ %s }}", "{{%s}}", "{{  %s\t}}", "{{\n%s\n}}")).map(lambda form: form % word)


def _Joined(*parts):
    return st.tuples(*parts).map("".join)


def _Nested(inner):
    body = st.lists(inner, max_size=3).map("".join)
    elifs = st.lists(_Joined(st.sampled_from(CONDITIONS).map("elif %s".__mod__).flatmap(_Tag), body),
                     max_size=2).map("".join)
    otherwise = st.one_of(st.just(""), _Joined(_Tag("else"), body))
    return st.one_of(
        _Joined(st.sampled_from(CONDITIONS).map("if %s".__mod__).flatmap(_Tag), body, elifs, otherwise, _Tag("end")),
        _Joined(st.sampled_from(ITERABLES).map("for %s".__mod__).flatmap(_Tag), body, otherwise, _Tag("end")),
        _Joined(_Tag("block name"), body, _Tag("end")))


TEMPLATES = st.recursive(
    st.one_of(TEXT, st.sampled_from(EXPRESSIONS).flatmap(_Tag),
              st.sampled_from(EXPRESSIONS).map("raw %s".__mod__).flatmap(_Tag),
              st.sampled_from(BLOCKS).map("{{ py }}\n  %s\n{{ end }}".__mod__), st.just("{{ # it's {{ nothing }}")),
    _Nested, max_leaves=20)


def _Escape(text):
    for char, entity in (("&", "&amp;"), ('"', "&quot;"), ("'", "&apos;"), (">", "&gt;"), ("<", "&lt;")):
        text = text.replace(char, entity)
    return text


def _Expected(template):
    """-> (text, None) or (None, name of the exception), from the reference."""
    try:
        return Reference(template).Render(json.loads(json.dumps(VALUES))), None
    except Exception as error:
        return None, "NameError" if isinstance(error, NameError) else type(error).__name__


@given(TEXT)
def test_text_without_braces_is_itself(text):
    assert MicroWebTemplate(text).Execute() == text
    assert MicroWebTemplate(text, _Escape).Execute() == text


@given(st.text(st.sampled_from("{}a \n'\"#\\%")))
def test_single_braces_are_text(text):
    """Everything is text if there is no {{; otherwise it compiles, or raises an error."""
    template = MicroWebTemplate(text)
    if "{{" in text:
        assert template.Validate() is None or template.Validate().startswith("template, line ")
    else:
        assert template.Execute() == text


@pytest.mark.parametrize("prefix", ("f", "F", "fr", "rf", "Rf"))
def test_names_in_format_strings(prefix):
    """MicroPython supports only the first prefix."""
    assert MicroWebTemplate("{{ %s'{name}-{other!r:>5}' }}" % prefix).Execute({"name": 1, "other": 2}) == "1-    2"


@given(TEXT, TEXT)
def test_values_are_escaped_and_text_is_not(text, value):
    rendered = MicroWebTemplate(text + "{{ value }}" + text, _Escape).Execute({"value": value})
    assert rendered == text + _Escape(value) + text


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEMPLATES)
def test_compiled_is_as_the_reference(template):
    template = START + template
    text, error = _Expected(template)
    values = json.loads(json.dumps(VALUES))
    if error is None:
        assert MicroWebTemplate(template, _Escape).Execute(values) == text
    else:
        with pytest.raises(TemplateError) as caught:
            MicroWebTemplate(template, _Escape).Execute(values)
        assert ": %s: " % error in str(caught.value)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(TEMPLATES.map(START.__add__), min_size=40, max_size=60, unique=True))
def test_compiled_is_as_the_reference_on_micropython(tmp_path_factory, templates):
    """Many templates for each start of the interpreter. (Error texts differ there, and sometimes the types.)"""
    jobs = [{"code": template, "vars": repr(VALUES)} for template in templates]
    answers = RunJobs("micropython", jobs, tmp_path_factory.mktemp("generated"))
    for template, answer in zip(templates, answers):
        text, error = _Expected(template)
        assert answer.get("text") == text, (template, answer)
        assert ("error" in answer) == (error is not None), (template, answer)


@given(st.integers(0, 2 ** 32))
def test_cut_templates_never_crash(seed):
    """A template that is cut anywhere renders, or raises a TemplateError with an existing line."""
    rng = random.Random(seed)
    whole = (START + "{{ for x in xs }}\n{{ if x }}{{ x }}\n{{ else }}{{ raw '}}' }}{{ end }}{{ end }}{{ # c }}"
             "{{ block n }}{{ a }}{{ end }}")
    begin, end = sorted((rng.randrange(len(whole)), rng.randrange(len(whole))))
    template = whole[:begin] + whole[end:]
    try:
        MicroWebTemplate(template).Execute(json.loads(json.dumps(VALUES)))
    except TemplateError as error:
        line = int(str(error).split("line ")[1].split(":")[0])
        assert 1 <= line <= template.count("\n") + 1
