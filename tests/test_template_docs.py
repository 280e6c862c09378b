"""The examples of docs/templates.md: each page renders what the following box shows."""

import re

import pytest

import harness
from test_template_language import RunJobs

PAGE = harness.ROOT / "docs" / "templates.md"
EXAMPLES = re.findall(r"^```pyhtml\n(.*?)^```\n```result\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("runtime", ("cpython", "micropython"))
def test_examples(runtime, tmp_path):
    assert len(EXAMPLES) == PAGE.read_text(encoding="utf-8").count("```pyhtml") > 3
    jobs = [{"code": page, "vars": "{'Markup': Markup}"} for page, _ in EXAMPLES]
    for (_, expected), answer in zip(EXAMPLES, RunJobs(runtime, jobs, tmp_path)):
        assert answer == {"validate": None, "text": expected}


def test_all_tags_are_explained():
    text = PAGE.read_text(encoding="utf-8")
    for word in ("py", "if", "elif", "else", "for", "end", "include", "raw", "block", "extends", "verbatim", "#"):
        assert "{{ %s" % word in text
