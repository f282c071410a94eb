"""Add later measurements to the card of an entry.

    python -m tinyvgg.zoo.facts light_cifar10 --originals mlperf-ic:energyrunner
    tinyvgg attack ladder light_cifar10 --data cifar10 --version standard --eps 8/255 -n 1000 --json > ladder.json
    python -m tinyvgg.zoo.facts light_cifar10 --ladder ladder.json

--originals evaluates the entry on original images and records how many are right, with the standard error. --ladder records the
result of a ladder on this network. NAME.json and NAME.md are rewritten; a new fact replaces an older one of its kind.
"""
import argparse
import json
import sys
from pathlib import Path

from tinyvgg import data, zoo
from tinyvgg.attacks.identity import model_sha256
from tinyvgg.errors import FormatError, OptionError, TinyVGGError
from tinyvgg.report.record import write_bytes, write_json
from tinyvgg.train import evaluate
from tinyvgg.zoo.pack import page

LADDER = ("command", "n", "clean_accuracy", "robust_accuracy", "robust_accuracy_interval")


def originals(name, spec):
    """{"data", "n", "accuracy", "interval", "standard_error"} of an entry on the test images of `spec`; the error is in images."""
    dataset = data.load(spec)
    result = evaluate(zoo.load(name), *dataset.part("test"), classes=dataset.classes)
    p, n = result["accuracy"], result["n"]
    return {"data": dataset.name, **{key: result[key] for key in ("n", "accuracy", "interval")}, "standard_error": (n * p * (1 - p)) ** 0.5}


def ladder(name, path):
    """Return what a card records of the JSON of `tinyvgg attack ladder NAME`; raise FormatError for anything else."""
    try:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
        known = {key: result[key] for key in LADDER}
        sha256 = result["model_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path} is not the result of a ladder ({error})", f"tinyvgg attack ladder {name} --json > {path}") from error
    if " ladder " not in known["command"] or sha256 != model_sha256(zoo.load(name)):
        raise FormatError(f"{path} is of another network or attack: {known['command']}", f"tinyvgg attack ladder {name} --json > {path}")
    return known


def add(name, *, spec=None, ladders=()):
    """Write the facts into the entry's card and page; return the card."""
    card, path = zoo.card(name), zoo.path(name)
    if spec is not None:
        card["originals"] = originals(name, spec)
    for found in (ladder(name, file) for file in ladders):
        card["ladders"] = [*(old for old in card.get("ladders", []) if old["command"] != found["command"]), found]
    write_json(path.with_suffix(".json"), card)
    write_bytes(path.with_suffix(".md"), page(card))
    return card


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tinyvgg.zoo.facts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--originals", metavar="DATA", help="mlperf-ic:FOLDER")
    parser.add_argument("--ladder", action="append", default=[], metavar="FILE.json")
    arguments = parser.parse_args(argv)
    try:
        if arguments.ladder and len(arguments.names) > 1:
            raise OptionError("a ladder is of one network; several names were given")
        for name in arguments.names:
            print(page(add(name, spec=arguments.originals, ladders=arguments.ladder)))
    except TinyVGGError as error:
        print(f"tinyvgg: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
