"""The page of all verbs, made from the parsers."""
import importlib.util

from tests.docs.pages import ROOT
from tinyvgg import cli


def test_the_page_of_verbs_has_every_option():
    spec = importlib.util.spec_from_file_location("verbs_page", ROOT / "docs" / "verbs_page.py")
    spec.loader.exec_module(page := importlib.util.module_from_spec(spec))
    text = page.verbs()
    for verb in cli.verbs():
        parser = cli.parser_of(verb)
        parts = {f"\n## {verb}\n": parser, **{f"\n### {verb} {name}\n": its for name, its in parser.of_action.items()}}
        for heading, its in parts.items():
            section = text.split(heading)[1].split("\n#")[0]
            options = {name for action in its._actions for name in action.option_strings} - {"-h"}
            assert all(f"`{name}" in section for name in options - {"--help", "--seed", "--json", "--quiet", "--trace"})
