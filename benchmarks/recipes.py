"""What pays in training: one change a row, judged on held-out training images, never on test images.

    python benchmarks/recipes.py --data DATA [--epochs 8] [--limit 30000] [--only NAME,NAME] [--runs DIR] [--out FILE]

Each row is a `tinyvgg train` command, printed with its result: accuracy on 5,000 training images that were held out, with its
95 % interval. Teachers are runs of this script, so they never saw these images either. A finished row is kept in --out at once;
a second call trains only what is missing.
"""
import sys
from pathlib import Path

from common import command_line, option_parser, rows_in, write_result
from record import printed

from tinyvgg.report.interval import wilson

HELD_OUT, RUNS = 5000, "runs/recipes"
# name: (the row that it changes, options; a later option replaces an earlier one; {runs} is the folder of the runs)
ROWS = {
    "student": (None, "--arch light --optimizer adam --learning-rate 1e-3 --batch-size 64"),
    "no-dropout": ("student", "--dropout 0"),
    "cosine": ("no-dropout", "--learning-rate 2e-3 --schedule cosine --warmup 1"),
    "flips-shifts": ("cosine", "--augment flip,shift4"),
    "weight-decay": ("flips-shifts", "--optimizer adamw --weight-decay 0.02"),
    "cutout": ("weight-decay", "--augment flip,shift4,cutout8"),
    "average": ("cutout", "--ema 0.999"),
    "batch-128": ("average", "--batch-size 128 --learning-rate 3e-3"),
    "momentum": ("average", "--optimizer momentum --learning-rate 0.05 --weight-decay 0.005"),
    "smoothing": ("average", "--label-smoothing 0.1"),
    "some-dropout": ("average", "--dropout 0.1"),
    "base": ("batch-128", "--arch base"),
    "base-dropout": ("base", "--dropout 0,0.3"),
    "distillation": ("batch-128", "--distill {runs}/base --temperature 4 --teacher-share 0.9"),
}


def options(name):
    """Return the options of a row, those it builds on first, as {option: value}."""
    parent, text = ROWS[name]
    words = text.split()
    return (options(parent) if parent else {}) | dict(zip(words[::2], words[1::2], strict=True))


def command(name, arguments):
    """Return the `tinyvgg train` command of a row."""
    chosen = options(name) | {"--data": arguments.data, "--epochs": arguments.epochs, "--limit": arguments.limit,
                              "--validation": HELD_OUT, "--out": f"{{runs}}/{name}"}
    return "tinyvgg train " + " ".join(f"{key} {value}" for key, value in chosen.items()).format(runs=arguments.runs)


def measure(name, line):
    """Run a row's command, from where it was stopped if it was; return its row."""
    result = printed(line, "--resume", "--json")
    low, high = wilson(round(result["val_accuracy"] * HELD_OUT), HELD_OUT)
    return {"name": name, "changes": ROWS[name][0] or "-", "options": ROWS[name][1].format(runs=RUNS), "command": line,
            "val_accuracy": result["val_accuracy"], "interval": [low, high], "val_loss": result["val_loss"],
            "accuracy": result["accuracy"], "data_sha256": result["data_sha256"], "weights_sha256": result["weights_sha256"]}


def main():
    parser = option_parser(__doc__, data="cifar10", epochs=8, limit=30000, out=Path)
    parser.add_argument("--only", help="names of rows, with commas between")
    parser.add_argument("--runs", default=RUNS, help=f"folder of the runs (default {RUNS})")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}; the rows are {', '.join(ROWS)}")
    rows, again = {row["command"]: row for row in rows_in(arguments.out)}, command_line(__file__, arguments, "data", "epochs", "limit")
    for name in names:
        line = command(name, arguments)
        row = rows[line] = rows.get(line) or measure(name, line)
        write_result(arguments.out, again, epochs=arguments.epochs, images=arguments.limit - HELD_OUT,
                     rows=sorted(rows.values(), key=lambda row: list(ROWS).index(row["name"])))
        low, high = row["interval"]
        print(f"{name:18} {100 * row['val_accuracy']:.2f} % ({100 * low:.2f} to {100 * high:.2f})  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
