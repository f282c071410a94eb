"""Whether the engine learns as well as PyTorch: one recipe, both engines, several seeds, Welch's interval of the difference.

    python benchmarks/learning.py --data DATA [--recipe augmented] [--epochs 5] [--limit 20000] [--seeds 5] [--rows FILE] [--out FILE]

needs PyTorch and SciPy. Each seed gives both engines the same first weights, order of images and augmentation; dropout draws
its own. augmented: AdamW 2e-3, weight decay .02 on kernels, cosine with one epoch of warm-up, flips, shifts, cutout, no dropout.
student: Adam 1e-3, no augmentation, the student project's dropout rates. Each finished training is a line of --rows; a
second call trains only what is missing. --out takes the summary that docs/zoo.md shows.
"""
import hashlib
import time
from pathlib import Path

import numpy as np
import torch
from common import command_line, option_parser, rows_in, say, write_result
from scipy import stats
from torch_peer import Work

from tinyvgg import data, models, rng, train
from tinyvgg.data.augment import Augment
from tinyvgg.data.batches import batches
from tinyvgg.report.record import KeptRows
from tinyvgg.train import optimizers, recipe, schedules

RECIPES = {
    "augmented": {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.02, "schedule": "cosine", "warmup": 1,
            "augment": "flip,shift4,cutout8", "dropout": "0"},
    "student": {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0, "schedule": "constant", "warmup": 0,
                "augment": "none", "dropout": None},
}
EPSILON = optimizers.get("adam").epsilon


def network(settings, seed):
    """Return our untrained light net with the recipe's dropout."""
    model = models.light(seed=seed)
    if settings["dropout"] is not None:
        recipe.set_dropout(model, settings["dropout"])
    return model


def ours(settings, x, y, epochs, seed):
    """Train our engine and return a function images -> logits."""
    model = network(settings, seed)
    rest = {key: value for key, value in settings.items() if key != "dropout"}
    train.fit(model, x, y, epochs=epochs, batch_size=64, seed=seed, quiet=True, **rest)
    return model.logits


def theirs(settings, x, y, epochs, seed):
    """Train PyTorch, fed as train.fit feeds ours, and return a function images -> logits."""
    torch.manual_seed(seed)
    peer = Work(network(settings, seed))
    peer.optimizer = _optimizer(peer.net, settings)
    steps = -(-len(x) // 64)
    rate = schedules.get(settings["schedule"], settings["learning_rate"], epochs=epochs, warmup=settings["warmup"],
                         steps_per_epoch=steps)
    augment, labels, step = Augment.parse(settings["augment"]), torch.from_numpy(y.astype(np.int64)), 0
    for epoch in range(epochs):
        random = rng.generator(seed, "augment", epoch)
        for index in batches(len(x), 64, seed=seed, epoch=epoch):
            images = x[index] if augment is None else augment(x[index], random)
            for group in peer.optimizer.param_groups:
                group["lr"] = rate(step)
            peer.train(peer.images(as_floats(images)), labels[torch.from_numpy(index)])
            step += 1
    return lambda z: peer.infer(peer.images(z)).numpy()


def _optimizer(net, settings):
    """Adam with decoupled decay of the kernels alone, as ours."""
    kernels = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim == 1]
    groups = [{"params": kernels, "weight_decay": settings["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings["learning_rate"], eps=EPSILON)


def as_floats(x):
    """Bytes (N, H, W, C) as the networks take them, 0..1."""
    return np.ascontiguousarray(x, np.float32) / np.float32(255)


def accuracy(logits, x, y):
    """Return the share of bytes x (N, H, W, C) that `logits` gets right."""
    parts = [logits(as_floats(x[i:i + 256])).argmax(axis=1) for i in range(0, len(x), 256)]
    return float((np.concatenate(parts) == y).mean())


def measure(arguments, dataset):
    """Train what --out does not hold yet; return one row for each engine and seed."""
    (x, y), test = dataset.part("train"), dataset.part("test")
    chosen = np.sort(rng.generator(0, "limit").permutation(len(x))[:arguments.limit])
    settings = {"recipe": arguments.recipe, "epochs": arguments.epochs, "images": len(chosen), "torch": torch.__version__,
                "data": hashlib.sha256(x[chosen].tobytes()).hexdigest()[:16]}
    engines, kept = {"tinyvgg": ours, "torch": theirs}, KeptRows(arguments.rows, settings)

    def trained(name, seed):
        started = time.perf_counter()
        answers = engines[name](RECIPES[arguments.recipe], x[chosen], y[chosen], arguments.epochs, seed)
        row = {**settings, "accuracy": accuracy(answers, *test), "test_images": len(test[0]),
               "seconds": round(time.perf_counter() - started, 1)}
        say(f"{name}, seed {seed}: {row['accuracy']:.2%} in {row['seconds']:.0f} s")
        return row

    return [kept.get({"engine": name, "seed": seed}, lambda name=name, seed=seed: trained(name, seed))
            for seed in range(arguments.seeds) for name in engines]


def welch(a, b):
    """Return (difference of the means, low, high): Welch's 95 % interval (Welch, 1947)."""
    difference = float(np.mean(a) - np.mean(b))
    if np.ptp(a) == np.ptp(b) == 0:
        return difference, -np.inf, np.inf
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    return difference, float(interval.low), float(interval.high)


def main():
    parser = option_parser(__doc__, data="cifar10", epochs=5, limit=20000, threads=1)
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="augmented")
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    parser.add_argument("--rows", type=Path, help="file that gets a line for each finished training")
    parser.add_argument("--out", type=Path, help="JSON file of the summaries, one a recipe")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = measure(arguments, data.load(arguments.data))
    found = {name: [r["accuracy"] for r in rows if r["engine"] == name] for name in ("tinyvgg", "torch")}
    difference, low, high = welch(found["tinyvgg"], found["torch"])
    for name, values in found.items():
        print(f"{name}: mean {np.mean(values):.2%}, " + ", ".join(f"{v:.2%}" for v in values))
    print(f"difference {100 * difference:+.2f} points, 95 % interval {100 * low:+.2f} to {100 * high:+.2f}")
    if arguments.out:
        summary = {"recipe": arguments.recipe, "epochs": arguments.epochs, "images": rows[0]["images"], "seeds": arguments.seeds,
                   **found, "mean": {name: float(np.mean(values)) for name, values in found.items()},
                   "points": 100 * difference, "welch_95": [100 * low, 100 * high]}
        again = command_line(__file__, arguments, "data", "recipe", "epochs", "limit", "seeds")
        others = [row for row in rows_in(arguments.out) if row["recipe"] != arguments.recipe]
        write_result(arguments.out, again, torch=torch.__version__, rows=[*others, {"command": again, **summary}])


if __name__ == "__main__":
    main()
