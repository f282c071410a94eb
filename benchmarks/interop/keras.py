"""Our files in Keras 2.15 and Keras 3, and Keras 2's files repaired for Keras 3: the largest differences, measured there.

    python benchmarks/interop/keras.py --venvs DIR [--fixtures DIR] [--json | --out FILE.json]

Makes two virtual environments in DIR (tensorflow-cpu 2.15.1 with Keras 2.15, tensorflow-cpu 2.20 with Keras 3) unless they are
there: DIR/venv-keras2 and DIR/venv-keras3, about 3 GB. Rows: {"work", "keras", "difference", "limit", "ok", "detail"}.
--fixtures: a folder with keras2/*.h5 and NAME.npz (x, pred) that Keras 2 wrote.
"""
import json
import sys
import tempfile
from pathlib import Path

import keras_venvs
import numpy as np
from keras_venvs import PACKAGES, environment

from tinyvgg import data, models, rng, zoo
from tinyvgg.errors import TinyVGGError
from tinyvgg.io.keras_h5 import convert
from tinyvgg.nn.losses import cross_entropy
from tinyvgg.report.tables import table
from tinyvgg.train import optimizers

sys.path.append(str(Path(__file__).resolve().parents[1]))
from common import option_parser, write_result  # noqa: E402

LIMIT = 1e-5
BEFORE = {"opens": "opened", "without_training": "opened without its training only", "refused": "refused"}


def main(argv=None):
    parser = option_parser(__doc__, json=bool)
    parser.add_argument("--venvs", type=Path, required=True, metavar="DIR", help="folder of the two environments")
    parser.add_argument("--fixtures", type=Path, metavar="DIR", help="files that Keras wrote")
    parser.add_argument("--out", metavar="FILE.json", help="write the rows there, for the pages; needs --fixtures")
    arguments = parser.parse_args(argv)
    pythons = {version: environment(arguments.venvs, version) for version in PACKAGES}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        rows, before = [], {}
        for version, python in pythons.items():
            # Keras 3 drops the slots of any .h5, its own too; from .keras it goes on.
            ending = {"2": ".h5", "3": ".keras"}[version]
            tasks = our_models(folder) + zoo_entries(folder) + [resumption(folder, ending, dtype) for dtype in ("float32", "float64")]
            rows += ask(python, tasks)
        if arguments.fixtures:
            more, before = repaired(arguments.fixtures / "keras2", pythons, folder)
            rows += more
    write_result(arguments.out, "python benchmarks/interop/keras.py --venvs DIR --fixtures DIR", ours=by_version(rows),
                 repaired={"before": before, "after": after_repair(rows)}, rows=rows)
    if arguments.json:
        print(json.dumps(rows))
    else:
        print(table(["work", "keras", "difference", "limit", "ok", "detail"],
                    [[r["work"], r["keras"], "-" if r["difference"] is None else f"{r['difference']:.1e}", f"{r['limit']:.0e}",
                      "yes" if r["ok"] else "NO", r["detail"]] for r in rows]))
    return 0 if all(r["ok"] for r in rows) else 1


def ask(python, tasks):
    """Run tasks in Keras and return a row for each."""
    return [{"work": task["work"], "keras": answer["keras"], "difference": answer["difference"], "limit": task.get("limit", LIMIT),
             "ok": answer["difference"] is not None and answer["difference"] <= task.get("limit", LIMIT), "detail": answer["detail"]}
            for task, answer in zip(tasks, keras_venvs.ask(python, "keras_child.py", tasks), strict=True)]


# --- our models, opened there ---

def our_models(folder):
    """Write the four models in every format and return the tasks that compare predictions."""
    tasks = []
    for name in models.MODELS:
        model = with_statistics(models.build(name, seed=1))
        x = rng.generator(0, "interop", name).uniform(*model.input_range, (16, *model.input_shape)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=x, pred=model.predict(x))
        for ending in (".h5", ".keras", ".weights.h5"):
            path = folder / f"{name}{ending}"
            model.save(path)
            tasks.append({"work": f"{name}{ending}: predictions", "task": "predict", "file": str(path),
                          "vectors": str(folder / f"{name}.npz"), "compile": True,
                          "built_from": str(folder / f"{name}.h5") if ending == ".weights.h5" else None})
    return tasks


def zoo_entries(folder):
    """Return the tasks that compare what each entry of the zoo answers to generated images."""
    images, tasks = data.load("shapes").part("test", 64)[0].astype(np.float32) / 255, []
    for name in zoo.names():
        np.savez(folder / f"zoo_{name}.npz", x=images, pred=zoo.load(name).predict(images))
        tasks.append({"work": f"zoo {name}: predictions", "task": "predict", "file": str(zoo.path(name)), "compile": False,
                      "vectors": str(folder / f"zoo_{name}.npz")})
    return tasks


def with_statistics(model):
    """Give the batch-norms the moving statistics of noise, as training would, so that answers are not saturated."""
    norms = [layer for layer in model.layers if layer.state]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    noise = rng.generator(0, "statistics").uniform(*model.input_range, (64, *model.input_shape))
    model.forward_logits(noise.astype(np.float32), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    return model


# --- training that goes on there from our slots ---

def resumption(folder, ending, dtype):
    """Train two steps, save with the optimizer, train three more: Keras is to train the same three from the file.

    In float32 the rounding of either library is soon seen in Adam's first, sign-like steps, so only the first loss is compared.
    """
    model = models.light(seed=2, spatial_dropout=0.0, dropout=0.0).astype(dtype)
    generator = rng.generator(0, "resumption")
    x = generator.uniform(0, 1, (5, 16, 32, 32, 3)).astype(dtype)
    y = np.eye(10, dtype=dtype)[generator.integers(0, 10, (5, 16))]
    adam = optimizers.Adam(1e-3)
    for i in range(2):
        train_step(model, adam, x[i], y[i])
    path = folder / f"resume_{dtype}{ending}"
    model.save(path, optimizer=adam)
    slots = [adam.slots[kind][name].copy() for name in (n for n, _ in trained(model)) for kind in ("momentum", "velocity")]
    iterations = adam.iterations
    losses = [train_step(model, adam, x[i], y[i]) for i in range(2, 5)]
    np.savez(path.with_suffix(".npz"), x=x[2:], y=y[2:], losses=losses, iterations=iterations,
             **{f"slot{i}": slot for i, slot in enumerate(slots)})
    steps = {"float32": 1, "float64": 3}[dtype]
    return {"work": f"training goes on from {ending} in {dtype}: loss of {steps} steps", "task": "resume", "file": str(path), "steps": steps,
            "vectors": str(path.with_suffix(".npz"))}


def train_step(model, optimizer, x, y):
    loss, gradient = cross_entropy(model.forward_logits(x, training=True), y)
    model.backward_logits(gradient)
    optimizer.step(model)
    return loss


def trained(model):
    return [(f"{layer.name}/{name}", a) for layer in model.layers for name, a in layer.parameters.items()]


# --- Keras 2's files, repaired ---

def repaired(fixtures, pythons, folder):
    """What both say to Keras 2's files after `convert`, as rows; how many Keras 3 refuses as they are, and how many it opens."""
    files = [p for p in sorted([*fixtures.glob("*.h5"), *fixtures.glob("*.keras")])
             if not p.name.endswith("weights.h5") and p.with_suffix(".npz").exists()]
    raw = {compiled: ask(pythons["3"], [{"work": p.name, "task": "predict", "file": str(p), "compile": compiled,
                                         "vectors": str(p.with_suffix(".npz"))} for p in files]) for compiled in (False, True)}
    rows, tasks, found = [], [], {"files": len(files), "opens": 0, "without_training": 0, "refused": 0}
    for path, bare, whole in zip(files, raw[False], raw[True], strict=True):
        target = folder / f"repaired_{path.name}"
        try:
            convert(path, target)
        except TinyVGGError as error:
            rows.append({"work": f"convert {path.name}", "keras": "-", "difference": None, "limit": LIMIT, "ok": False, "detail": error.problem})
            continue
        before = "opens" if whole["ok"] else "without_training" if bare["ok"] else "refused"
        found[before] += 1
        limit = 2e-2 if "mixed" in path.name else LIMIT       # half precision rounds differently in the two versions
        tasks.append({"work": f"{path.name} ({BEFORE[before]} by Keras 3), repaired", "task": "predict", "file": str(target), "compile": True,
                      "vectors": str(path.with_suffix(".npz")), "limit": limit})
    return rows + [row for python in pythons.values() for row in ask(python, tasks)], found


# --- for the pages ---

def by_version(rows):
    """A row for each model and each training that goes on: the largest difference in either version of Keras."""
    found = {}
    for row in rows:
        if row["work"].startswith("zoo "):
            what = f"the zoo's `{row['work'].split()[1][:-1]}`: predictions"
        elif row["work"].endswith(": predictions"):
            what = f"{row['work'].split('.')[0]} (`.h5`, `.keras`, `.weights.h5`): predictions"
        elif row["work"].startswith("training goes on"):
            dtype = row["work"].split(" in ")[1].split(": ")[0]
            what = f"training goes on, {dtype}: {'first loss' if dtype == 'float32' else 'three losses'}"
        else:
            continue
        of = found.setdefault(what, {"what": what})
        key = f"keras{row['keras'][0]}"
        of[key] = max(row["difference"], of.get(key, 0)) if row["ok"] else None
    return list(found.values())


def after_repair(rows):
    """For each version of Keras: of how many repaired files it opens how many, and the largest difference of predictions."""
    found = {}
    for row in (r for r in rows if r["work"].endswith("repaired")):
        of = found.setdefault(row["keras"], {"files": 0, "opened": 0, "difference": 0, "half_precision_difference": 0})
        key = "half_precision_difference" if row["limit"] > LIMIT else "difference"
        of["files"], of["opened"] = of["files"] + 1, of["opened"] + row["ok"]
        of[key] = max(of[key], row["difference"] or 0)
    return found


if __name__ == "__main__":
    sys.exit(main())
