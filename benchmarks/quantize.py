"""Accuracy against bytes: the schemes of `tinyvgg compress` on one network, beside TensorFlow Lite's int8 of the same weights.

    python benchmarks/quantize.py --model light_cifar10 --data cifar10 --finetune 2 --out runs/quantize --figure pareto.png
    python benchmarks/quantize.py --model light.h5 --data cifar10 --tflite-python venv/bin/python     # one that has tensorflow

Rows are appended to OUT/rows.jsonl as they are done; a stopped run goes on where it was, and --results FILE.json gets all of
them, for the pages. Drop: points of accuracy lost against
the float network on the same test images. Bytes: constants (weights, codebooks, biases, tails); TensorFlow Lite: the whole file.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import command_line, option_parser, write_result

from tinyvgg import data as data_module
from tinyvgg.cli._classifier import images_for
from tinyvgg.open import open_model
from tinyvgg.quant.memory import plan_memory
from tinyvgg.quant.prepare import Options
from tinyvgg.quant.schemes import compress, constants
from tinyvgg.report.record import KeptRows, sha256_arrays
from tinyvgg.report.tables import table
from tinyvgg.train import evaluate

# name of the row, scheme, options, whether it is fine-tuned
ROWS = [
    ("int8", "int8", {}, False),
    ("int8, min-max", "int8", {"calibration": "minmax"}, False),
    ("shared8", "shared8", {}, False),
    ("shared4", "shared4", {}, False),
    ("shared4, per channel", "shared4", {"per": "channel"}, False),
    ("shared4, fine-tuned", "shared4", {}, True),
    ("shared3", "shared3", {}, False),
    ("shared3, fine-tuned", "shared3", {}, True),
    ("shared2, fine-tuned", "shared2", {}, True),
    ("auto 512 KB", "auto", {"flash": 512_000}, False),
    ("auto 256 KB", "auto", {"flash": 256_000}, False),
    ("auto 160 KB", "auto", {"flash": 160_000}, False),
    ("auto 160 KB, fine-tuned", "auto", {"flash": 160_000}, True),
    ("low", "low", {}, False),
    ("high", "high", {}, False),
]


def main():
    arguments = parse()
    network, dataset = open_model(arguments.model), data_module.load(arguments.data)
    x, y = images_for(network, dataset, "train", arguments.train_images)
    x_test, y_test = images_for(network, dataset, "test", arguments.n)
    kept = KeptRows(Path(arguments.out) / "rows.jsonl", {
        "model_sha256": sha256_arrays(*network.get_weights()), "data_sha256": dataset.sha256, "n": len(x_test), "images": len(x),
        "finetune": arguments.finetune, "seed": arguments.seed})
    rows = [kept.get({"name": "float32"}, lambda: {"bytes": 4 * network.count_params(), "drop": 0.0, "n": len(x_test),
                                                   "accuracy": evaluate(network, x_test, y_test)["accuracy"]})]
    floats = rows[0]["accuracy"]

    def measured(scheme, options, tuned):
        started = time.perf_counter()
        options = {**options, "epochs": arguments.finetune if tuned else 0, "seed": arguments.seed, "quiet": arguments.quiet}
        model = compress(network, scheme, x, y, **options)
        built = time.perf_counter()
        accuracy = evaluate(model, x_test, y_test)["accuracy"]
        return {"bytes": constants(model), "accuracy": accuracy, "drop": 100 * (floats - accuracy), "n": len(x_test),
                "arena": plan_memory(model.graph).size, "build_s": round(built - started, 1),
                "evaluate_s": round(time.perf_counter() - built, 1)}

    for name, *how in ROWS:
        if {"name": name} in kept or not arguments.only or name in arguments.only:
            rows.append(kept.get({"name": name}, lambda how=how: measured(*how)))
    peer = {"name": "TensorFlow Lite int8"}
    if arguments.tflite_python or peer in kept:
        rows.append(kept.get(peer, lambda: tflite(arguments, x[:512], x_test, y_test, floats)))
    show(arguments, rows)


def parse():
    parser = option_parser(__doc__, model="light_cifar10", data="cifar10", seed=0, json=bool, quiet=bool)
    parser.add_argument("-n", type=int, help="only the first N test images")
    parser.add_argument("--train-images", type=int, help="only the first N training images for calibration and fine-tuning")
    parser.add_argument("--finetune", type=int, default=2, metavar="EPOCHS")
    parser.add_argument("--only", action="append", metavar="ROW", help="only this row (may be given more than once)")
    parser.add_argument("--tflite-python", metavar="PYTHON", help="an interpreter with tensorflow, for TensorFlow Lite's row")
    parser.add_argument("--out", default="runs/quantize", help="folder of the rows (default runs/quantize)")
    parser.add_argument("--results", type=Path, metavar="FILE.json", help="write the rows there")
    parser.add_argument("--figure", metavar="FILE.png", help="draw accuracy against bytes")
    return parser.parse_args()


def tflite(arguments, x_calibration, x_test, y_test, floats):
    """Convert and run the same weights with TensorFlow Lite, in its own environment: return a row."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        open_model(arguments.model).save(folder / "model.h5")
        np.savez(folder / "images.npz", calibration=x_calibration, test=x_test)
        script = Path(__file__).parent / "interop" / "tflite_child.py"
        subprocess.run([arguments.tflite_python, script, "convert", folder], check=True, stdout=sys.stderr)
        found = np.load(folder / "answers.npz")
        accuracy = float((found["scores"].argmax(axis=1) == y_test).mean())
        size = int(found["bytes"])
    drop = 100 * (floats - accuracy)
    return {"bytes": size, "accuracy": accuracy, "drop": drop, "n": len(x_test)}


def show(arguments, rows):
    """Print the rows, in the order of ROWS; write and draw them if asked."""
    order = ["float32", "TensorFlow Lite int8", *(name for name, *_ in ROWS)]
    rows = sorted(rows, key=lambda row: order.index(row["name"]))
    if arguments.results:
        found = [row["name"] for row in rows if row["name"] in order[2:]]
        python = "PYTHON" if any(row["name"] == order[1] for row in rows) else None
        again = command_line(__file__, arguments, "model", "data", "finetune", "train_images", "tflite_python", "only", "out",
                             tflite_python=python, only=found if len(found) < len(ROWS) else None)
        write_result(arguments.results, again, model_sha256=sha256_arrays(*open_model(arguments.model).get_weights()),
                     learning_rate=Options().learning_rate, rows=rows)
    if arguments.json:
        print(json.dumps(rows))
    else:
        header = ["scheme", "bytes", "KB", "accuracy %", "drop", "arena", "build s", "evaluate s"]
        cells = [[r["name"], f"{r['bytes']:,}", f"{r['bytes'] / 1000:.1f}", f"{100 * r['accuracy']:.2f}", f"{r['drop']:.2f}"]
                 + [f"{r['arena']:,}" if "arena" in r else "-", r.get("build_s", "-"), r.get("evaluate_s", "-")] for r in rows]
        print(table(header, cells))
        print(f"{rows[0]['n']} test images of {arguments.data}; network {arguments.model}")
    if arguments.figure:
        draw(rows, arguments.figure)


def draw(rows, path):
    """Accuracy against bytes (logarithmic), a line through the rows that no other beats in both."""
    from tinyvgg.errors import require

    plt = require("matplotlib.pyplot", "plot")
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    points = [(row["bytes"] / 1000, 100 * row["accuracy"], row["name"]) for row in rows]
    best = sorted((x, y) for x, y, _ in points if not any(u <= x and v >= y and (u, v) != (x, y) for u, v, _ in points))
    axes.plot(*zip(*best, strict=True), color="0.8", zorder=0)
    space, written = (max(y for _, y, _ in points) - min(y for _, y, _ in points)) / 28, []
    for x, y, name in sorted(points, key=lambda p: p[1]):
        axes.plot(x, y, "o", color="C1" if "TensorFlow" in name else "C0")
        at = y
        while any(abs(np.log(x / u)) < 0.45 and abs(at - v) < space for u, v in written):  # above labels that stand there
            at += space / 4
        written.append((x, at))
        axes.annotate(name, (x, y), xytext=(1.03 * x, at), fontsize=7, va="center")
    ticks = [x for x in (50, 100, 200, 400, 800, 1600, 3200) if 0.7 * points[0][0] / 16 < x < 1.4 * points[0][0]]
    axes.set(xscale="log", xlabel="KB of constants (1 KB = 1,000 bytes)", ylabel=f"accuracy on {rows[0]['n']} test images, %")
    axes.set_xticks(ticks, map(str, ticks))
    axes.set_xticks([], minor=True)
    axes.set_xlim(right=1.5 * points[0][0])
    axes.set_ylim(top=max(at for _, at in written) + space)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
