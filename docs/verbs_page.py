"""The page of all verbs, made from the parsers when the site is built; python docs/verbs_page.py prints it."""
import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tinyvgg import cli  # noqa: E402

COMMON = ("seed", "json", "quiet", "trace", "help")


def verbs():
    """Return a section for each verb, and for each of its actions, with a table of its own options, as Markdown."""
    parts = []
    for verb, does in cli.verbs().items():
        parser = cli.parser_of(verb)
        said = cli.module_of(verb).__doc__.strip().split("\n", 1)
        parts += [f"\n## {verb}\n\n{does}.\n\n```text\n{said[1].strip(chr(10))}\n```\n", *_table(parser)]
        for action, its in parser.of_action.items():
            parts += [f"\n### {verb} {action}\n\n{_sentence(its.description.split(chr(10))[0])}\n", *_table(its)]
    return "".join(parts)


def _sentence(text):
    return _escaped(text[:1].upper() + text[1:]) + "."


def _table(parser):
    """The rows of a parser's own options, or nothing where it has none."""
    shown = [a for a in parser._actions if a.dest not in COMMON and not isinstance(a, argparse._SubParsersAction)]
    rows = [f"| {_how(action)} | {_escaped(_help(action))} |\n" for action in shown]
    return ["\n| option | what it does |\n| --- | --- |\n", *rows] if rows else []


def _how(action):
    value = "" if action.nargs == 0 else action.metavar or (
        "\\|".join(map(str, action.choices)) if action.choices else action.dest.upper().replace("_", "-"))
    if not action.option_strings:
        return f"`{value}`"
    needed = " (needed)" if action.required else ""
    return ", ".join(f"`{f'{name} {value}'.strip()}`" for name in action.option_strings) + needed


def _help(action):
    return (action.help or "").replace("%%", "%")


def _escaped(text):
    """Plain text as Markdown: what it would read as markup stands for itself."""
    return re.sub(r"([\\|*<>_])", r"\\\1", text)


if __name__ == "__main__":
    print((HERE / "verbs.md").read_text(encoding="utf-8") + verbs())
