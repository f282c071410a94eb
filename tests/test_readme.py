"""What the README says is there: files, numbers of the zoo."""
import re

import pytest

from tests.docs.pages import PAGES, ROOT
from tinyvgg import zoo


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_the_figures_of_the_zoo_are_those_of_the_card():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    test = zoo.card("light_cifar10")["test"]
    low, high = test["interval"]
    assert f"{100 * test['accuracy']:.2f} % test accuracy (95 % interval {100 * low:.2f} to {100 * high:.2f};" in text


def test_the_test_command_is_what_ci_runs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- test command -->") == 1 and ".ci" not in text
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
