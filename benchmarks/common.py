"""What the benchmarks share: their usual options, the command that repeats a run, and the file of results that the pages read."""
import argparse
import contextlib
import json
import shlex
import sys
from pathlib import Path

from tinyvgg.errors import BuildError
from tinyvgg.report.record import versions, write_json

ROOT = Path(__file__).resolve().parents[1]
HELP = {"model": "model file or entry of the zoo", "data": "images", "n": "how many test images", "json": "print the rows as JSON",
        "out": "keep the result there, for the pages", "cpu_time": "one thread each, processor time instead of wall time"}
PLACEHOLDERS = {"out": "FILE.json", "results": "FILE.json", "work": "DIR"}


def option_parser(doc, **defaults):
    """Return an argument parser that prints `doc` as it is, with an option for each keyword: n=100 is -n, cpu_time=bool --cpu-time.

    A value is the option's default, and has its type; a type alone is an option without a default (bool: a switch).
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        kind, given = (default, None) if isinstance(default, type) else (type(default), default)
        if kind is bool:
            parser.add_argument(_flag(name), action="store_true", help=HELP.get(name))
        else:
            about = " ".join([HELP.get(name, ""), "" if given is None else f"(default {given})"]).strip()
            parser.add_argument(_flag(name), type=kind, default=given, metavar=PLACEHOLDERS.get(name), help=about)
    return parser


def _flag(name):
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


def command_line(script, given, *names, words=(), **instead):
    """Return the command that repeats a run: `python benchmarks/NAME.py`, some words, and the named options as they were given.

    instead: what stands for an option that was given otherwise, as for a path of this machine.
    """
    words = ["python", Path(script).resolve().relative_to(ROOT).as_posix(), *words]
    for name, value in ({name: getattr(given, name) for name in names} | instead).items():
        for one in value if isinstance(value, list) else [] if value is None or value is False else [value]:
            words += [_flag(name), *([] if one is True else [shlex.quote(str(one))])]
    return " ".join(words)


def write_result(path, line, **facts):
    """Write a result file with its command, the versions and the facts, if there is a path."""
    if path:
        write_json(path, {"command": line, "versions": versions(), **facts})


def rows_in(path):
    """Return the rows that an earlier run left in a result file; none where there is no file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))["rows"] if path and Path(path).exists() else []


def compilers():
    """Return those compilers for the board that are there."""
    from tinyvgg.firmware.build import COMPILERS, find_compiler
    found = []
    for name in COMPILERS:
        with contextlib.suppress(BuildError):
            found.append(find_compiler(name)[0])
    return found


def say(text):
    """Print for who watches a run; the result goes to the standard output."""
    print(text, file=sys.stderr, flush=True)
