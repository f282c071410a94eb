"""Every command that a page shows is one that exists: verb, action, options, choices, names; whether it is run or not.

Scripts of benchmarks/ are asked with their own parser and stopped before they work.
"""
import argparse
import configparser
import contextlib
import functools
import importlib
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, commands, spans
from tinyvgg import attacks, cli, zoo
from tinyvgg.cli._attack_studies import STUDIES
from tinyvgg.cli._parser import EXAMPLE
from tinyvgg.quant.schemes import SCHEMES

CARDS = sorted((ROOT / "tinyvgg" / "zoo").glob("*.md"))
MISSING = ("torch", "tensorflow", "tf_keras", "keras", "scipy", "unicorn", "ziglang", "capstone", "cleverhans", "art", "foolbox")
VERBS, parser_of = cli.verbs(), functools.cache(cli.parser_of)
named = pytest.mark.parametrize("path", [*PAGES, *CARDS], ids=lambda p: p.stem)


# --- tinyvgg VERB ---------------------------------------------------------------------------------------------------------
def parser_and_words(words):
    """(the Parser that gets the rest of a command, that rest): of the verb, or of its action."""
    assert words[1] in VERBS, f"no verb {words[1]}"
    parser, rest = parser_of(words[1]), cli._with_negative_values(words[2:])
    if parser.of_action and rest and rest[0] in parser.of_action:
        return parser.of_action[rest[0]], rest[1:]
    assert not parser.of_action or not rest or rest[0].startswith("-"), f"{words[1]} has no action {rest[0]}"
    return parser, rest


def check_names(words):
    """Verb, action and options are spelt out as they are called; so are attacks, schemes and networks of the zoo."""
    parser, rest = parser_and_words(words)
    for word in rest:
        if word.startswith("--"):
            assert word.split("=")[0] in parser._option_string_actions, f"no option {word}"
        if re.fullmatch(r"(light|base|resnet8|notebook)_cifar10\w*", word):
            assert word in zoo.names(), f"no {word} in the zoo"
    assert words[1] != "attack" or not rest or rest[0] in {*attacks.ATTACKS, *STUDIES}, f"no attack {rest[0]}"
    assert "--scheme" not in rest or rest[rest.index("--scheme") + 1] in SCHEMES


def check(words):
    """The whole command parses."""
    if len(words) == 1 or words[1].startswith("-"):
        return
    check_names(words)
    parser_of(words[1]).parse_args(cli._with_negative_values(words[2:]))


@named
def test_every_command_is_understood(path):
    for words in commands(path, marked=True):
        check(words)


def test_the_first_command_of_the_readme_is_understood():
    """It installs extras that there are, then tells the story; the line of the quick start is the same in parts."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [path.read_text(encoding="utf-8") for path in PAGES]
    lists = [names for text in texts for names in re.findall(r'pip install [^\n]*"(?:\.|tinyvgg)\[([\w,]+)\]"', text)]
    extras = {name for names in lists for name in names.split(",")}
    assert extras and extras <= set(config["options.extras_require"]), extras
    commands = re.findall(r"\.venv/bin/(tinyvgg [^&\n]*)", texts[0])
    assert commands
    for command in commands:
        check(shlex.split(command))


@named
def test_commands_within_a_text_name_what_there_is(path):
    """They may be shortened, so that they need not parse; VERB and ACTION stand for any."""
    for words in spans(path):
        if len(words) > 1 and not {"VERB", "ACTION"} & set(words) and not words[1].startswith("-"):
            check_names(words)


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_of_a_verb_are_understood(verb):
    examples = EXAMPLE.findall(parser_of(verb).description)
    assert examples, f"{verb} has no example"
    for example in examples:
        check(shlex.split(re.split(" {3,}", example)[0]))


def test_a_wrong_word_is_noticed(capsys):
    for command in ("tinyvgg trian --out x", "tinyvgg train --epoch 3 --out x", "tinyvgg firmware mend light.tvq",
                    "tinyvgg attack pdg m", "tinyvgg train --arch lihgt --out x", "tinyvgg compress m --scheme int9 --out x",
                    "tinyvgg codegen light.tvq"):
        with pytest.raises((AssertionError, SystemExit)):
            check(shlex.split(command))


# --- python SCRIPT, python -m MODULE --------------------------------------------------------------------------------------
def python_commands(path):
    """The words after `python` of every such command of a page, in blocks and within its text."""
    found = [re.split(r" #| {3,}", line)[0] for block in blocks(path) if block.language in ("", "sh", "console")
             for line in re.sub(r"\\\n\s*", " ", block.text).splitlines()]
    found += [shlex.join(words) for words in spans(path, "python")]
    pattern = r"(?:[\w./]*/)?python3? ((?:-m (?:tinyvgg|pytest)|benchmarks/|tests/).*)"
    return sorted({tuple(shlex.split(m[1])) for m in map(re.compile(pattern).match, found) if m})


def recorded():
    """The same of the commands that result files name."""
    files = (ROOT / "benchmarks" / "results").glob("*.json")
    read = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    found = [shlex.split(result.get("command") or "tinyvgg") for result in read if isinstance(result, dict)]    # a list has rows alone
    return {tuple(words[1:]) for words in found if words[0] == "python"}


SCRIPTS = sorted({words for path in PAGES for words in python_commands(path) if words[:2] != ("-m", "pytest")} | recorded())
TESTS = sorted({words[2:] for path in PAGES for words in python_commands(path) if words[:2] == ("-m", "pytest")})


class Parsed(Exception):
    """The script has understood its options."""


def loaded(words):
    """(the module of `python WORDS...`, its options)."""
    if words[0] == "-m":
        return importlib.import_module(words[1]), words[2:]
    path = ROOT / words[0]
    assert path.is_file(), f"{words[0]} is not there"
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    with what_is_missing(words[0]):
        spec.loader.exec_module(module)
    return module, words[1:]


@contextlib.contextmanager
def what_is_missing(script):
    """A script that needs another library is not tried where that is not installed."""
    try:
        yield
    except ImportError as error:
        assert error.name and error.name.split(".")[0] in MISSING, error
        pytest.skip(f"{script} needs {error.name}")


@pytest.mark.parametrize("words", SCRIPTS, ids=lambda words: " ".join(words)[:60])
def test_a_script_understands_its_options(words, monkeypatch, capsys):
    """Its main() is called and stopped where the options have been read."""
    monkeypatch.syspath_prepend(str((ROOT / words[0]).parent))
    read = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, args=None, namespace=None):
        self.allow_abbrev = False
        read(self, args, namespace)
        raise Parsed
    module, options = loaded(words)
    if not hasattr(module, "main"):
        assert not options
        return
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [words[0], *options])
    try:
        with pytest.raises(Parsed), what_is_missing(words[0]):
            module.main()
    except SystemExit:
        pytest.fail(f"python {' '.join(words)}: {capsys.readouterr().err}")


@pytest.mark.parametrize("words", TESTS, ids=lambda words: " ".join(words)[:60])
def test_tests_that_a_page_names_are_there(words):
    """The README's command for the whole suite, which names no file, is the one that runs now."""
    for name in (word for word in words if word.startswith("tests/")):
        tests = re.findall(r"def (test_\w+)", (ROOT / name).read_text(encoding="utf-8"))
        wanted = words[words.index("-k") + 1] if "-k" in words else "test_"
        assert wanted.isidentifier() and any(wanted in test for test in tests), f"{name} has no test {wanted}"


def test_there_are_commands_of_python_to_ask():
    assert any(words[0] == "benchmarks/cortex_m4.py" and "--accuracy" in words for words in SCRIPTS)
    assert any("tinyvgg.zoo.pack" in words for words in SCRIPTS)
    assert any("tests/codegen/test_variants.py" in words for words in TESTS)
    assert all(Path(words[0]).suffix == ".py" or words[0] == "-m" for words in SCRIPTS)


# --- what a real board is asked -------------------------------------------------------------------------------------------
@named
def test_a_board_is_compared_with_the_model_of_its_image(path):
    """The SHA-256 that a board tells covers the plan: --model is the .tvq that `firmware build` writes beside the .elf."""
    image = None
    for words in commands(path, marked=True):
        if words[1:3] == ["firmware", "flash"]:
            image = Path(words[3])
        if words[1:2] == ["board"] and any(word.startswith("/dev/tty") for word in words) and "--model" in words and image:
            assert Path(words[words.index("--model") + 1]) == image.with_suffix(".tvq"), words


def test_pages_compare_boards():
    """What the test above looks for is there."""
    for name in ("README.md", "docs/quick-start.md", "docs/firmware.md"):
        found = commands(ROOT / name, marked=True)
        assert any(words[1:3] == ["firmware", "flash"] for words in found)
        assert any(words[1] == "board" and "--model" in words and "/dev/ttyACM0" in words for words in found), name
