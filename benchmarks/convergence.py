"""Does Winograd's rounding cost accuracy? One recipe, several seeds, the fast kernels beside the precise ones.

    python benchmarks/convergence.py --data cifar10 --limit 6000 --epochs 10 --seeds 3 --out runs/convergence.jsonl

trains the light net from the same weights, on the same batches and dropout masks, once with F(4x4,3x3) and once with direct
convolutions (TINYVGG_PRECISE=1), and classifies the test images. Rows are appended to --out as they are done; a stopped run goes
on where it was. --results FILE.json gets all of them, for the pages. The last line is the mean difference over the seeds and its
95 % interval (Student's t): "the same within noise"
is an interval that holds 0.
"""
import json
import os

from common import command_line, option_parser, write_result
from scipy import stats

from tinyvgg import data, models
from tinyvgg.report.record import KeptRows
from tinyvgg.report.tables import table
from tinyvgg.train import evaluate, fit


def main():
    parser = option_parser(__doc__, data="cifar10", epochs=10, json=bool)
    parser.add_argument("--limit", type=int, default=6000, help="training images")
    parser.add_argument("--seeds", type=int, default=3, choices=range(2, 11))
    parser.add_argument("--out", default="runs/convergence.jsonl")
    parser.add_argument("--results", metavar="FILE.json", help="write the rows and their difference there")
    options = parser.parse_args()
    dataset = data.load(options.data)
    recipe = {"data": dataset.name, "limit": options.limit, "epochs": options.epochs}
    kept = KeptRows(options.out, {"data_sha256": dataset.sha256})
    rows = [kept.get({**recipe, "seed": seed, "kernels": kernels}, lambda s=seed, k=kernels: train(dataset, k, s, options))
            for seed in range(options.seeds) for kernels in ("fast", "precise")]
    result = difference(rows)
    write_result(options.results, command_line(__file__, options, "data", "limit", "epochs", "seeds", data=dataset.name), rows=rows, **result)
    print(json.dumps([*rows, {**recipe, **result}], indent=1) if options.json else text(rows, result))


def train(dataset, kernels, seed, options):
    """Train with one set of kernels; return the last loss and the accuracy on the test images."""
    os.environ["TINYVGG_PRECISE"] = str(int(kernels == "precise"))
    model = models.light(seed=seed)
    history = fit(model, dataset.x_train[:options.limit], dataset.y_train[:options.limit], epochs=options.epochs, batch_size=64,
                  optimizer="adam", learning_rate=1e-3, schedule="cosine", augment="flip,shift4", seed=seed)
    result = evaluate(model, dataset.x_test, dataset.y_test)
    return {"loss": round(history[-1]["loss"], 4), "accuracy": result["accuracy"], "interval": result["interval"]}


def difference(rows):
    """The mean of fast - precise over the seeds, in points, with its interval."""
    by_seed = {}
    for row in rows:
        by_seed.setdefault(row["seed"], {})[row["kernels"]] = 100 * row["accuracy"]
    points = [pair["fast"] - pair["precise"] for pair in by_seed.values()]
    mean = sum(points) / len(points)
    low, high = stats.ttest_1samp(points, 0).confidence_interval() if len(set(points)) > 1 else (mean, mean)
    return {"difference": round(mean, 3), "interval": [round(float(low), 3), round(float(high), 3)], "same_within_noise": bool(low <= 0 <= high)}


def text(rows, result):
    """The rows as a table, and the difference."""
    lines = [[row["kernels"], row["seed"], f"{row['loss']:.4f}", f"{row['accuracy']:.4f}"] for row in rows]
    low, high = result["interval"]
    return (f"{table(['kernels', 'seed', 'loss', 'test accuracy'], lines)}\n"
            f"fast - precise: {result['difference']:+.2f} points, 95 % interval {low:+.2f} .. {high:+.2f}")


if __name__ == "__main__":
    main()
