"""What pays in training the light net: one change a row, judged on held-out training images, never on test images.

    python benchmarks/recipes.py --data DATA [--epochs 8] [--limit 30000] [--only NAME,NAME] [--out FILE] [--json]

Each row is a `tinyvgg train` command, printed with its result: accuracy on 5,000 training images that were held out, with its
95 % interval. A finished row is a line of --out; a second call trains only what is missing.
"""
import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tinyvgg.report.interval import wilson
from tinyvgg.report.record import append_line, read_lines

HELD_OUT = 5000
# name: (the row that it changes, options; a later option replaces an earlier one)
ROWS = {
    "student": (None, "--arch light --optimizer adam --learning-rate 1e-3 --batch-size 64"),
    "no dropout": ("student", "--dropout 0"),
    "cosine": ("no dropout", "--learning-rate 2e-3 --schedule cosine --warmup 1"),
    "flips and shifts": ("cosine", "--augment flip,shift4"),
    "weight decay": ("flips and shifts", "--optimizer adamw --weight-decay 0.02"),
    "cutout": ("weight decay", "--augment flip,shift4,cutout8"),
    "average": ("cutout", "--ema 0.999"),
    "batch 128": ("average", "--batch-size 128 --learning-rate 3e-3"),
    "momentum": ("average", "--optimizer momentum --learning-rate 0.05 --weight-decay 0.005"),
    "label smoothing": ("average", "--label-smoothing 0.1"),
    "some dropout": ("average", "--dropout 0.1"),
    "distillation": ("batch 128", "--distill base_cifar10 --temperature 4 --teacher-share 0.9"),
}


def options(name):
    """Return the options of a row, those it builds on first, as {option: value}."""
    parent, text = ROWS[name]
    words = text.split()
    return (options(parent) if parent else {}) | dict(zip(words[::2], words[1::2], strict=True))


def command(name, epochs, limit):
    """Return the `tinyvgg train` command of a row, without --data and --out."""
    chosen = options(name) | {"--epochs": epochs, "--limit": limit, "--validation": HELD_OUT, "--seed": 0}
    return "tinyvgg train " + " ".join(f"{key} {value}" for key, value in chosen.items())


def measure(name, line, data):
    """Run a row's command in a process of its own; return its row."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", *shlex.split(line), "--data", data, "--out", f"{folder}/run", "--json"]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout)
    low, high = wilson(round(result["val_accuracy"] * HELD_OUT), HELD_OUT)
    return {"work": "recipe", "name": name, "changes": ROWS[name][0], "command": line, "val_accuracy": result["val_accuracy"],
            "interval": [low, high], "val_loss": result["val_loss"], "accuracy": result["accuracy"],
            "data_sha256": result["data_sha256"], "weights_sha256": result["weights_sha256"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--limit", type=int, default=30000)
    parser.add_argument("--only", help="names of rows, with commas between")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}; the rows are {', '.join(ROWS)}")
    known = {row["command"]: row for row in (read_lines(arguments.out) if arguments.out else [])}
    rows = []
    for name in names:
        line = command(name, arguments.epochs, arguments.limit)
        row = known.get(line)
        if row is None:
            row = measure(name, line, arguments.data)
            if arguments.out:
                append_line(arguments.out, row)
        rows.append(row)
        if not arguments.json:
            low, high = row["interval"]
            print(f"{name:18} {100 * row['val_accuracy']:.2f} % ({100 * low:.2f} to {100 * high:.2f})  {line}", flush=True)
    if arguments.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
