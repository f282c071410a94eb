"""Random models of both Kerases: loaded here with Keras' answers or refused, converted to files that open in both and answer the same.

    python benchmarks/interop/keras_random.py --venvs DIR [--count 200] [--seed 1000] [--keep DIR] [--out FILE.json]

Each Keras writes `count` models of layers, options and activations drawn from all that it has: chains, graphs, nested and shared
models, functions between layers, recurrent and one-dimensional layers, two inputs, and in every fourth one a user's own code (a
lambda, a class or function that bears the name of one of Keras'). For each file: what load_model answers is within 1e-5 of Keras'
answer, or it refuses; what `convert` writes opens in Keras 2.15 and Keras 3 and answers within 1e-5 there, or it refuses.
The exit code is 1 if anything else happened. --keep: a folder for the models; written once, taken up again.
"""
import json
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from keras_venvs import ask, environment

import tinyvgg
from tinyvgg.errors import TinyVGGError
from tinyvgg.io.keras_h5 import convert

sys.path.append(str(Path(__file__).resolve().parents[1]))
from common import command_line, option_parser, write_result  # noqa: E402

CHILD = "keras_random_child.py"
LIMIT = 1e-5
PLACES = ("file", "vectors", "converted")            # paths of the machine that ran it


def main(argv=None):
    parser = option_parser(__doc__)
    parser.add_argument("--venvs", type=Path, required=True, metavar="DIR", help="folder of the two environments (see keras.py)")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="models of each Keras (default 200)")
    parser.add_argument("--seed", type=int, default=1000, metavar="N", help="of the first model (default 1000)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the models there, or take those that are there")
    parser.add_argument("--out", metavar="FILE.json", help="write the result there")
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    pythons = {version: environment(arguments.venvs, version) for version in ("2", "3")}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        rows = [row for version, python in pythons.items() for row in written(folder, python, version, arguments)]
        results = [examine(row, Path(temporary)) for row in rows]
        opened_in_both(results, pythons)
    found = summary(results)
    print(json.dumps(found, indent=1))
    write_result(arguments.out, command_line(__file__, arguments, "venvs", "count", "seed", venvs="DIR"), seed=arguments.seed, **found,
                 rows=[{k: _without(v, folder) for k, v in row.items() if k not in PLACES} for row in results])
    return 1 if found["wrong"] else 0


def _without(value, folder):
    return value.replace(f"{folder}/", "") if isinstance(value, str) else value


def written(folder, python, version, arguments):
    """The rows of the models that a Keras wrote; written now unless they are there."""
    index = folder / f"keras{version}_{arguments.seed}_{arguments.count}.json"
    if not index.exists():
        folder.mkdir(parents=True, exist_ok=True)
        task = {"task": "write", "count": arguments.count, "seed": arguments.seed, "folder": str(folder)}
        index.write_text(json.dumps(ask(python, CHILD, [task])[0]), encoding="utf-8")
    return [{"keras_wrote": version, **row} for row in json.loads(index.read_text(encoding="utf-8"))]


def examine(row, folder):
    """Load and convert one file; return the row with what happened."""
    row = {**row, "name": Path(row["file"]).name}
    row["load"], row["load_difference"] = loaded(row["file"], row["vectors"])
    target = folder / f"{row['name'].replace('.', '_')}_converted{('.h5', '.keras')[len(folder.name + row['name']) % 2]}"
    try:
        convert(row["file"], target)
        row["converted"], row["convert"] = str(target), "written"
        again, difference = loaded(str(target), row["vectors"])
        if again.startswith("refused") != row["load"].startswith("refused") or again == "WRONG":
            row["convert"] = f"WRONG: opened here again: {again} {difference}"
    except TinyVGGError as error:
        row["convert"] = f"refused: {error.problem}"
    except Exception as error:
        row["convert"] = f"WRONG: {type(error).__name__}: {error}"
    return row


def loaded(path, vectors):
    """("equal" | "WRONG" | "refused: why", difference to Keras' answers, of the largest)."""
    with np.load(vectors) as v:
        x = [v[f"x{i}"] for i in range(sum(k[0] == "x" for k in v.files))]
        y = [v[f"y{i}"] for i in range(sum(k[0] == "y" for k in v.files))]
    try:
        model = tinyvgg.load_model(path)
        found = model.predict(x if len(x) > 1 else x[0])
    except TinyVGGError as error:
        return f"refused: {error.problem}", None
    except Exception as error:
        return f"WRONG: {type(error).__name__}: {error}", None
    found = found if isinstance(found, list | tuple) else [found]
    if [np.shape(f) for f in found] != [np.shape(e) for e in y]:
        return f"WRONG: shapes {[np.shape(f) for f in found]} for {[np.shape(e) for e in y]}", None
    difference = max(float(np.abs(f - e).max() / max(np.abs(e).max(), 1e-6)) for f, e in zip(found, y, strict=True))
    return "equal" if difference <= LIMIT else "WRONG", difference


def opened_in_both(results, pythons):
    """Add what each Keras answers with what convert wrote."""
    rows = [row for row in results if row["convert"] == "written"]
    for version, python in pythons.items():
        tasks = [{"task": "predict", "file": row["converted"], "vectors": row["vectors"]} for row in rows]
        for row, answer in zip(rows, ask(python, CHILD, tasks), strict=True):
            row[f"keras{version}"] = answer
            if answer["difference"] is None or answer["difference"] > LIMIT:
                row["convert"] = f"WRONG: Keras {answer['keras']}: {answer['difference']} {answer['detail']}"


def summary(results):
    """Counts of what happened, and every row that is neither equal nor refused."""
    wrong = [row for row in results if "WRONG" in row["load"] + row["convert"]]
    differences = [row[key]["difference"] for row in results for key in ("keras2", "keras3")
                   if row["convert"] == "written" and row.get(key)]
    return {"models": dict(Counter(f"Keras {row['keras_wrote']}" for row in results)),
            "load": dict(Counter(row["load"].split(":")[0] for row in results)),
            "convert": dict(Counter(row["convert"].split(":")[0] for row in results)),
            "largest_difference_loaded": max((row["load_difference"] for row in results if row["load"] == "equal"), default=None),
            "largest_difference_converted": max(differences, default=None),
            "wrong": [{k: row.get(k) for k in ("name", "has", "load", "load_difference", "convert")} for row in wrong]}


if __name__ == "__main__":
    sys.exit(main())
