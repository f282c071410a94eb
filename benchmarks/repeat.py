"""Does a card's command still train its network? python benchmarks/repeat.py light_cifar10 base_cifar10 --data cifar10

Runs the first command of each entry's card, with the threads that the card names, until --epochs of it are done, and holds the
loss and accuracy of each epoch against the card's history, to its five digits; another rounding anywhere shows in the first epoch.
--epochs all runs every command of the card to its end and compares the SHA-256 of the weights too. The figures repeat with the
same code, processor and number of threads only. The exit code is 1 if something differs; --out FILE keeps the rows.
"""
import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tinyvgg import data, io, zoo
from tinyvgg.demo.story import read_json
from tinyvgg.errors import TinyVGGError
from tinyvgg.report.record import read_lines, sha256_arrays, versions, write_json
from tinyvgg.report.tables import table

SHOWN = ("loss", "accuracy")


def repeat(name, source, epochs, folder):
    """Train the entry `name` anew for so many epochs (None: all) in `folder`; return what the card says beside what came out."""
    card = zoo.card(name)
    lines = card["command"].splitlines()[:None if epochs is None else 1]
    came = [{key: round(row[key], 5) for key in SHOWN} for line in lines for row in train(line, source, folder, card["threads"], epochs)]
    wanted = [{key: row[key] for key in SHOWN} for row in card["history"][:len(came)]]
    result = {"entry": name, "threads": card["threads"], "epochs": len(came), "of": len(card["history"]), "card": wanted[-1],
              "now": came[-1], "same": came == wanted}
    if epochs is None:
        weights = sha256_arrays(*io.load_model(folder / "RUN" / "model.h5").get_weights())
        result |= {"weights_sha256": weights, "same": came == wanted and weights == card["weights_sha256"]}
    return result


def train(line, source, folder, threads, epochs):
    """Run a card's command in `folder`, to its end or until `epochs` are done; return the rows of its history."""
    words = [source if word == "DATA" else word for word in shlex.split(line)[1:]]
    history = folder / words[words.index("--out") + 1] / "history.jsonl"
    paths = [str(Path(path).resolve()) for path in sys.path if path]
    environment = {**os.environ, "TINYVGG_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen([sys.executable, "-m", "tinyvgg", *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and (epochs is None or len(read_lines(history)) < epochs):
            time.sleep(0.1)
    finally:
        stopped = process.poll() is None
        if stopped:
            process.terminate()
        code = process.wait()
    if code and not stopped:
        raise SystemExit(f"{line} ended with exit code {code}")
    return read_lines(history)[:epochs]


def resolved(source):
    """A --data that means the same in another folder."""
    data.load(source)
    if "TINYVGG_DATA" in os.environ:
        os.environ["TINYVGG_DATA"] = str(Path(os.environ["TINYVGG_DATA"]).resolve())
    return ",".join(str(Path(part).resolve()) if Path(part).exists() else part for part in source.split(","))


def arguments_of(argv=None):
    """Parse and check what was asked for; exit code 2 with a sentence where it cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entries", nargs="+", choices=zoo.names(), metavar="ENTRY", help="of the zoo")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--epochs", default="1", help="how many of the first command's epochs, or all (default 1)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="keep the rows there, for the pages")
    arguments = parser.parse_args(argv)
    if arguments.epochs != "all" and not (arguments.epochs.isdigit() and int(arguments.epochs) > 0):
        parser.error(f"--epochs is {arguments.epochs!r}; expected a whole number above 0, or all")
    for name in arguments.entries:
        if "threads" not in zoo.card(name):
            parser.error(f"the card of {name} does not say on how many threads it was trained, so it cannot be repeated to the byte")
    try:
        arguments.source = resolved(arguments.data)
    except TinyVGGError as error:
        parser.error(str(error))
    arguments.kept = (read_json(arguments.out) or {}).get("rows") if arguments.out and arguments.out.exists() else []
    if arguments.kept is None:
        parser.error(f"{arguments.out} is not a file of this script; expected one, or a new name")
    return arguments


def main(argv=None):
    arguments = arguments_of(argv)
    epochs, rows, new = None if arguments.epochs == "all" else int(arguments.epochs), arguments.kept, []
    for name in arguments.entries:
        with tempfile.TemporaryDirectory() as folder:
            row = repeat(name, arguments.source, epochs, Path(folder))
        row["command"] = f"python benchmarks/repeat.py {name} --data cifar10 --epochs {arguments.epochs}"
        new.append(row)
        rows = [*(other for other in rows if other["command"] != row["command"]), row]
        if arguments.out:
            names = " ".join(dict.fromkeys(other["entry"] for other in rows))
            write_json(arguments.out, {"command": f"python benchmarks/repeat.py {names} --data cifar10", "versions": versions(), "rows": rows})
    print(table(["entry", "threads", "epochs", "loss, card", "loss, now", "same"],
                [[row["entry"], row["threads"], f"{row['epochs']} of {row['of']}", row["card"]["loss"], row["now"]["loss"],
                  "yes" if row["same"] else "no"] for row in new]))
    return 0 if all(row["same"] for row in new) else 1


if __name__ == "__main__":
    sys.exit(main())
