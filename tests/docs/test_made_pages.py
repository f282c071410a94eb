"""The pages that are made from the program are those that it makes now."""
import importlib.util

import pytest

from tests.docs.pages import ROOT


def made():
    spec = importlib.util.spec_from_file_location("make_pages", ROOT / "docs" / "make_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


@pytest.mark.parametrize(("path", "text"), made().items(), ids=lambda value: getattr(value, "name", ""))
def test_a_made_page_is_current(path, text):
    assert path.read_text(encoding="utf-8") == text, "python docs/make_pages.py writes it anew"


def test_the_page_of_verbs_has_every_option():
    from tinyvgg import cli
    text = next(text for path, text in made().items() if path.name == "verbs.md")
    for verb in cli.verbs():
        parser = cli.parser_of(verb)
        parts = {f"\n## {verb}\n": parser, **{f"\n### {verb} {name}\n": its for name, its in parser.of_action.items()}}
        for heading, its in parts.items():
            section = text.split(heading)[1].split("\n#")[0]
            options = {name for action in its._actions for name in action.option_strings} - {"-h"}
            assert all(f"`{name}" in section for name in options - {"--help", "--seed", "--json", "--quiet", "--trace"})
