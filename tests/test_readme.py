"""What the README says is there: verbs, options, files, numbers of the zoo."""
import re

import pytest

from tests.docs.pages import PAGES, ROOT, commands
from tinyvgg import cli, zoo
from tinyvgg.zoo import pack


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_every_command_exists_with_its_options(path, capsys):
    for words in commands(path, marked=True):
        line, verb = " ".join(words), words[1] if len(words) > 1 else "--help"
        if verb.startswith("-"):
            continue
        assert verb in cli.verbs(), line
        assert cli.main([verb, *([words[2]] if verb in ("board", "firmware") and len(words) > 2 else []), "--help"]) == 0, line
        known = capsys.readouterr().out
        for option in re.findall(r"(?<=\s)--[a-z-]+", line):
            assert option in known, f"{option} of: {line}"


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


def test_the_table_of_the_zoo_is_that_of_the_cards():
    text = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
    assert text.split("<!-- zoo table -->\n")[1].split("\n<!-- zoo table end -->")[0] == pack.table()


def test_the_test_command_is_what_ci_runs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- test command -->") == 1 and ".ci" not in text
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
