"""The template language: one table on every runtime. The reference renderer checks the table itself."""

import json
import shutil

import pytest

import harness
from template_cases import CASES, ERRORS, PAGES_CASES, Reference

RUNNER = harness.ON_DEVICE / "template_runner.py"


def RunJobs(runtime, jobs, workDir, options=(), modulePath=(harness.SRC,)):
    """-> the results of tests/ondevice/template_runner.py, run in workDir."""
    path = workDir / "jobs.json"
    path.write_text(json.dumps(jobs, ensure_ascii=False), encoding="utf-8")
    return json.loads(harness.RunProgram(runtime, RUNNER, workDir, modulePath, options, (path,)))


def Alone(folder):
    """A folder with only microWebTemplate.py."""
    (folder / "alone").mkdir(exist_ok=True)
    shutil.copy(harness.SRC / "microWebTemplate.py", folder / "alone")
    return folder / "alone"


@pytest.fixture(scope="module", params=("cpython", "micropython"))
def answers(request, tmp_path_factory):
    """Each case, rendered by one process of the runtime."""
    return Answers(RunJobs(request.param, TableJobs(), tmp_path_factory.mktemp("cases")))


@pytest.fixture(scope="module", params=("cpython", "micropython"))
def aloneAnswers(request, tmp_path_factory):
    """The same without microWebPages.py."""
    folder = tmp_path_factory.mktemp("cases")
    return Answers(RunJobs(request.param, TableJobs(), folder, modulePath=(Alone(folder),)))


def TableJobs():
    """All cases and errors as jobs."""
    return [{"code": case[0], "vars": case[1]} for case in (*CASES.values(), *ERRORS.values(), *PAGES_CASES.values())]


def Answers(texts):
    """{name: result of its job}"""
    return dict(zip((*CASES, *("error: " + name for name in ERRORS), *("pages: " + name for name in PAGES_CASES)), texts))


def CheckError(answer, name, isShown=True):
    """The error is "file, line N: message", with microWebPages.py followed by the line itself. Validate reports the
    same if no execution is needed."""
    template, _, line, what = ERRORS[name]
    assert "text" not in answer
    message = answer["error"]
    assert message.startswith("TemplateError: template, line %d: " % line), message
    assert what in message or not isShown and "ENOENT" in message        # MicroPython does not tell which file it was
    shown = template.split("\n")[line - 1].strip()[:160]
    assert message.endswith("\n    " + shown) or not shown if isShown else "\n" not in message
    assert answer["validate"] is None or "TemplateError: " + answer["validate"] == message


@pytest.mark.parametrize("name", CASES)
def test_case(answers, name):
    assert answers[name] == {"validate": None, "text": CASES[name][2]}


@pytest.mark.parametrize("name", PAGES_CASES)
def test_case_of_pages(answers, name):
    assert answers["pages: " + name] == {"validate": None, "text": PAGES_CASES[name][2]}


@pytest.mark.parametrize("name", ERRORS)
def test_error(answers, name):
    CheckError(answers["error: " + name], name)


@pytest.mark.parametrize("name", CASES)
def test_case_alone(aloneAnswers, name):
    """The language of the original server needs only microWebTemplate.py."""
    assert aloneAnswers[name] == {"validate": None, "text": CASES[name][2]}


@pytest.mark.parametrize("name", ERRORS)
def test_error_alone(aloneAnswers, name):
    template = ERRORS[name][0]
    if "{{ block" in template or "{{ extends" in template or "by expression" in name:
        assert "microWebPages.py" in aloneAnswers["error: " + name]["error"]
    elif "{{ verbatim" not in template:     # a variable without microWebPages.py
        CheckError(aloneAnswers["error: " + name], name, False)


@pytest.mark.parametrize("runtime", ("cpython", "micropython"))
def test_what_needs_the_other_file_says_so(runtime, tmp_path):
    jobs = [{"code": code} for code in ("a\n{{ block a }}{{ end }}", "\n{{ extends base }}", "a\n{{ include page }}")]
    for answer in RunJobs(runtime, jobs, tmp_path, modulePath=(Alone(tmp_path),)):
        assert answer["error"].startswith("TemplateError: template, line 2: SyntaxError: expected microWebPages.py")
        assert "TemplateError: " + answer["validate"] == answer["error"]


@pytest.mark.parametrize("name", list(ERRORS)[:list(ERRORS).index("unknown name")])
def test_validate_sees_errors_of_the_language(answers, name):
    assert answers["error: " + name]["validate"]


# Cases for which regular expressions are too simple.
BEYOND_REFERENCE = ("markup", "literal braces", "many lines", "many spaces", "del",
                    "raw, block and extends are names too")


@pytest.mark.parametrize("name", [name for name in CASES if name not in BEYOND_REFERENCE])
def test_reference_agrees_with_the_table(name):
    """The reference is also a test of the table."""
    template, values, expected = CASES[name]
    assert Reference(template.replace("\r\n", "\n")).Render(eval(values)) == expected.replace("\r\n", "\n")


@pytest.mark.parametrize("runtime", ("cpython", "micropython"))
def test_an_unknown_name_in_the_middle_of_a_statement(runtime, tmp_path):
    """MicroPython reports only the line where the statement begins."""
    jobs = [{"code": code, "vars": "{'x': 1}"} for code in ("\n{{ [1,\n x, nope] }}", "{{ py }}\n  str([1,\n    nope])\n{{ end }}")]
    for answer in RunJobs(runtime, jobs, tmp_path):
        assert answer["error"].startswith("TemplateError: template, line %d: NameError: 'nope'" % (
            3 if runtime == "cpython" else 2)), answer


def test_escape_only_if_told(tmp_path):
    jobs = [{"code": "{{ x }}{{ raw x }}{{ m }}", "vars": "{'x': '<', 'm': Markup('<i>')}", "escape": escape}
            for escape in (True, False)]
    for runtime in ("cpython", "micropython"):
        assert [answer["text"] for answer in RunJobs(runtime, jobs, tmp_path)] == ["&lt;<<i>", "<<<i>"]


def test_more_names_than_micropython_can_take(tmp_path):
    """On MicroPython a nested function that uses local number 256 of the outer one crashes the interpreter."""
    jobs = []
    for count in (235, 300):
        names = ["n%d" % n for n in range(count)]
        lines = ["  %s = %d" % (name, n) for n, name in enumerate(names)]
        jobs.append({"code": "{{ py }}\n%s\n  def Sum():\n    return %s\n{{ end }}{{ Sum() }}" % (
            "\n".join(lines), " + ".join(names))})
    texts = [str(sum(range(count))) for count in (235, 300)]
    assert [answer["text"] for answer in RunJobs("cpython", jobs, tmp_path)] == texts
    few, many = RunJobs("micropython", jobs, tmp_path)
    assert few["text"] == texts[0]
    assert "expected at most 240 names, found 301" in many["error"]
