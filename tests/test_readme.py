"""What the README says is there: verbs, options, files, numbers of the zoo."""
import re
from pathlib import Path

import pytest

from tinyvgg import cli, zoo
from tinyvgg.zoo import pack

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(path):
    """Every line of a page's code blocks that calls tinyvgg, comments off."""
    blocks = re.findall(r"```(?:sh|console)?\n(.*?)```", path.read_text(encoding="utf-8"), re.S)
    blocks += re.findall(r"(?m)^ {4}(?=tinyvgg )(.*)$", path.read_text(encoding="utf-8"))
    return [line.split("#")[0].removeprefix("$ ").strip() for block in blocks for line in block.splitlines()
            if line.removeprefix("$ ").startswith("tinyvgg ")]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_every_command_exists_with_its_options(path, capsys):
    for line in commands(path):
        words = line.split()
        verb = words[1]
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
