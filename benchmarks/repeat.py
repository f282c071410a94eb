"""Does a card's command still train its network? python benchmarks/repeat.py light_cifar10 base_cifar10 --data cifar10

Runs the first command of each entry's card, with the threads that the card names, until --epochs of it are done, and holds the
loss and accuracy of each epoch against the card's history, digit for digit; another rounding anywhere shows in the first epoch.
--epochs all runs every command of the card to its end and compares the SHA-256 of the weights too. The figures repeat with the
same code, processor and number of threads only. The exit code is 1 if something differs; --out FILE keeps the rows.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tinyvgg import io, zoo
from tinyvgg.report.record import read_lines, sha256_arrays, versions, write_json
from tinyvgg.report.tables import table

SHOWN = ("loss", "accuracy")


def repeat(name, source, epochs, folder):
    """Train the entry `name` anew for so many epochs (None: all) in `folder`; return what the card says beside what came out."""
    card = zoo.card(name)
    lines = card["command"].splitlines()
    wanted = card["history"] if epochs is None else card["history"][:epochs]
    rows = []
    for line in lines if epochs is None else lines[:1]:
        rows += train(line, source, folder, card.get("threads", 1), None if epochs is None else epochs)
    came = [{key: round(row[key], 5) for key in SHOWN} for row in rows]
    same = len(came) == len(wanted) and all(a[key] == b[key] for a, b in zip(came, wanted, strict=True) for key in SHOWN)
    result = {"entry": name, "threads": card.get("threads", 1), "epochs": len(came), "of": len(card["history"]), "same": same,
              "card": {key: wanted[-1][key] for key in SHOWN}, "now": came[-1]}
    if epochs is None:
        weights = sha256_arrays(*io.load_model(folder / "RUN" / "model.h5").get_weights())
        result |= {"weights_sha256": weights, "same": same and weights == card["weights_sha256"]}
    return result


def train(line, source, folder, threads, epochs):
    """Run a card's command in `folder`, to its end or until `epochs` are done; return the rows of its history."""
    words = [source if word == "DATA" else word for word in shlex.split(line)[1:]]
    out = folder / words[words.index("--out") + 1]
    environment = {**os.environ, "TINYVGG_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen([sys.executable, "-m", "tinyvgg", *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and (epochs is None or len(read_lines(out / "history.jsonl")) < epochs):
            time.sleep(0.5)
    finally:
        stopped = process.poll() is None
        if stopped:
            process.terminate()
        code = process.wait()
    rows = read_lines(out / "history.jsonl")
    if not stopped and code:
        sys.exit(f"{line} ended with exit code {code}")
    return rows[:epochs]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entries", nargs="+", choices=zoo.names(), metavar="ENTRY", help="of the zoo")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--epochs", default="1", help="how many of the first command's epochs, or all (default 1)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="keep the rows there, for the pages")
    arguments = parser.parse_args()
    if arguments.epochs != "all" and not (arguments.epochs.isdigit() and int(arguments.epochs) > 0):
        parser.error(f"--epochs is {arguments.epochs!r}; expected a whole number above 0, or all")
    epochs = None if arguments.epochs == "all" else int(arguments.epochs)
    source = str(Path(arguments.data).resolve()) if Path(arguments.data).exists() else arguments.data
    rows = json.loads(arguments.out.read_text(encoding="utf-8"))["rows"] if arguments.out and arguments.out.exists() else []
    for name in arguments.entries:
        with tempfile.TemporaryDirectory() as folder:
            row = repeat(name, source, epochs, Path(folder))
        rows = [*(other for other in rows if other["entry"] != name), row]
        if arguments.out:
            write_json(arguments.out, {"command": f"python benchmarks/repeat.py {' '.join(r['entry'] for r in rows)} --data cifar10",
                                       "versions": versions(), "rows": rows})
    print(table(["entry", "threads", "epochs", "loss, card", "loss, now", "same"],
                [[row["entry"], row["threads"], f"{row['epochs']} of {row['of']}", row["card"]["loss"], row["now"]["loss"],
                  "yes" if row["same"] else "no"] for row in rows]))
    return 0 if all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
