"""The same work by other numbers of threads, alone and beside a program that keeps one core busy; which bytes come out.

    python benchmarks/threads.py [--model light_cifar10] [--repeats 40] [--out FILE.json]

Each number of threads is a process of its own, in turns. infer_1, infer_64, gradient_64: median milliseconds of the logits of 1
and 64 images and of a step of PGD on 64. crowded: 16 threads beside as many as there are cores; busy: beside a busy loop on one
core, all cores beside one thread (which has a core to itself). `share` is the speed by that of the other: 1 is as fast. pgd20: the
SHA-256 of the adversarial images of 100 inputs, PGD-20 at 8/255, for 1 to 3 threads.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 3
WORKS = ("infer_1", "infer_64", "gradient_64")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="light_cifar10")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    parser.add_argument("--child", choices=("times", "images"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    if options.child:
        print(json.dumps(times(options) if options.child == "times" else images(options)))
        return
    from tinyvgg.kernels.fast.cores import usable_cores
    cores = usable_cores()
    rows = {"crowded": beside(options, 16, cores), "pgd20": {n: child(options, "images", n) for n in (1, 2, 3)}}
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        rows["busy"] = beside(options, cores, 1)
    finally:
        busy.kill()
    print(json.dumps(rows, indent=1))
    if options.out:
        from tinyvgg.report.record import versions, write_json
        repeats = f" --repeats {options.repeats}" * (options.repeats != 40)
        write_json(options.out, {"command": f"python benchmarks/threads.py{repeats}", "cores": cores, "versions": versions(), **rows})


def beside(options, many, few):
    """{work: milliseconds by `many` and by `few` threads, and the speed of the first as a share of the second's}."""
    found = {n: [] for n in (many, few)}
    for _ in range(ROUNDS):
        for n in found:
            found[n].append(child(options, "times", n))
    best = {n: {work: min(row[work] for row in rows) for work in WORKS} for n, rows in found.items()}
    return {work: {f"{many}_threads_ms": best[many][work], f"{few}_threads_ms": best[few][work],
                   "share": round(best[few][work] / best[many][work], 2)} for work in WORKS}


def child(options, what, threads):
    words = [sys.executable, __file__, "--child", what, "--model", options.model, "--repeats", str(options.repeats)]
    environment = {**os.environ, "TINYVGG_NUM_THREADS": str(threads)}
    return json.loads(subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout)


def setting(options, count):
    import numpy as np

    from tinyvgg.open import open_model
    model = open_model(options.model)
    low, high = model.input_range
    generator = np.random.default_rng(0)
    x = generator.uniform(low, high, (count, *model.input_shape)).astype(np.float32)
    return model, x, generator.standard_normal((count, model.n_classes)).astype(np.float32)


def times(options):
    """{work: median milliseconds}."""
    model, x, g = setting(options, 64)
    works = {"infer_1": lambda: model.logits(x[:1]), "infer_64": lambda: model.logits(x),
             "gradient_64": lambda: model.vjp(x, lambda z: g)}
    found = {}
    for name, work in works.items():
        inner, seconds = (50 if name == "infer_1" else 1), []
        for turn in range(options.repeats + 3):
            start = time.perf_counter()
            for _ in range(inner):
                work()
            if turn >= 3:
                seconds.append((time.perf_counter() - start) / inner)
        found[name] = round(1e3 * statistics.median(seconds), 3)
    return found


def images(options):
    """The SHA-256 of the images that PGD-20 makes of 100 inputs."""
    from tinyvgg.attacks import pgd
    from tinyvgg.report.record import sha256_arrays
    model, x, _ = setting(options, 100)
    found = pgd(model, x, model.labels(x), eps=8 / 255, steps=20, early_stop=False)
    return sha256_arrays(found.x_adv)


if __name__ == "__main__":
    main()
