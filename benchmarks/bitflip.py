"""Bit-flip searches, random flips and defences on one model: python benchmarks/bitflip.py MODEL.tvq --data cifar10 --seeds 5 [--json]

Prints, for each seed: seconds of the search, the first step at or below 11 % on its images, the accuracy on test images; random
flips beside it; and what each defence of tinyvgg.faults.defences finds of the searched flips and gives back.
"""
import argparse
import json
import time

import numpy as np

from tinyvgg import data, faults, io
from tinyvgg.faults.defences import Crc, Radar, Ranges, Replicas, trial


def measure(model, dataset, *, flips=20, seeds=5, n=500, trials=1):
    """Return {"searches": rows, "random": rows, "defences": rows}."""
    store, x, y = faults.open_store(model), dataset.x_test[:n], dataset.y_test[:n]
    searches, defended = [], []
    for seed in range(seeds):
        xs, ys = faults.attacker_images(*dataset.part("train"), 128, seed)
        started = time.perf_counter()
        plan = faults.progressive_search(store, xs, ys, flips=flips, trials=trials, seed=seed)
        seconds = time.perf_counter() - started
        low = [i + 1 for i, step in enumerate(plan.steps) if step.accuracy <= 0.11]
        plan.apply(store)
        after = store.accuracy(x, y)
        plan.revert(store)
        searches.append({"work": "search", "seed": seed, "flips": len(plan.flips), "seconds": round(seconds, 1),
                         "first_at_11": low[0] if low else None, "accuracy": after})
        for name, defence in (("crc", Crc(store)), ("radar 512", Radar(store, 512)), ("radar 128", Radar(store, 128)),
                              ("radar 32", Radar(store, 32)), ("ranges 32", Ranges(store, 32)), ("replicas", Replicas(store))):
            defended.append({"work": name, "seed": seed, **trial(store, plan, defence, x, y)})
    rows = faults.random_flips(store, x, y, counts=(flips,), seeds=seeds)
    return {"clean": store.accuracy(x, y), "searches": searches, "random": rows, "defences": defended}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--flips", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    found = measure(io.load_model(a.model), data.load(a.data), flips=a.flips, seeds=a.seeds, n=a.n, trials=a.trials)
    if a.json:
        print(json.dumps(found))
        return
    print(f"clean {found['clean']:.2%} on {a.n} test images")
    for row in found["searches"]:
        print(f"search, seed {row['seed']}: {row['flips']} flips in {row['seconds']} s, {row['accuracy']:.2%}, first at 11 %: {row['first_at_11']}")
    print("random: " + ", ".join(f"{row['accuracy']:.2%}" for row in found["random"]))
    for name in dict.fromkeys(row["work"] for row in found["defences"]):
        rows = [row for row in found["defences"] if row["work"] == name]
        seen = "" if rows[0]["found"] is None else f", {np.mean([r['found'] for r in rows]):.1f} of {a.flips} flips in groups found"
        print(f"{name}: {rows[0]['bytes']} B, detected {sum(r['detected'] for r in rows)} of {len(rows)}{seen}, "
              f"accuracy {np.median([r['accuracy_attacked'] for r in rows]):.2%} -> {np.median([r['accuracy_repaired'] for r in rows]):.2%}")


if __name__ == "__main__":
    main()
