"""What the standard ladder and the one for random models leave of a defence that draws anew for each question.

    python benchmarks/random_defence.py [--model small] [--data cifar10] [-n 100] [--eps 4/255] [--draws 20] [--defences noise:0.1,resize:13]
        [--json | --out FILE.json]

noise:D adds normal noise of deviation D; resize:S brings each image to a random size of S pixels to its own, at a random place within
zeros (Xie et al., ICLR 2018). --model small: see small_network.py, images of 16 x 16. A row: {"defence", "clean", "says", "standard", "rand",
"flags"}: accuracy over the draws without an attack; what the standard ladder would report from one draw; what its images leave over the
draws; what those of version="rand" leave: the figure to quote.
"""
import argparse
import json

import numpy as np
from small_network import Halved, small

from tinyvgg import attacks, data
from tinyvgg.open import open_model
from tinyvgg.report.record import KeptRows, sha256_arrays, versions, write_json


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("-n", type=int, default=100)
    parser.add_argument("--eps", default="4/255")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--defences", default="noise:0.1,resize:13")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", metavar="FILE.json")
    a = parser.parse_args()
    dataset = data.load(a.data)
    dataset = Halved(dataset) if a.model == "small" else dataset
    model = small(dataset) if a.model == "small" else open_model(a.model, board=False)
    x, y = dataset.part("test", a.n)
    x = np.asarray(x).astype(np.float32) / np.float32(255)
    told = {"model": a.model, "model_sha256": sha256_arrays(*model.get_weights()), "data": a.data, "data_sha256": sha256_arrays(x, y)}
    kept = KeptRows(f"{a.out}.rows.jsonl" if a.out else None, {**told, "eps": a.eps, "draws": a.draws})
    rows = [kept.get({"defence": name}, lambda name=name: judged(model, x, y, name, a)) for name in a.defences.split(",")]
    if a.out:
        command = f"python benchmarks/random_defence.py --model {a.model} --data {a.data} -n {a.n} --eps {a.eps} --draws {a.draws}"
        write_json(a.out, {"command": f"{command} --defences {a.defences}", **told, "n": len(x), "seed": 0, "versions": versions(), "rows": rows})
    print(json.dumps(rows) if a.json else "\n".join(map(line, rows)))


def defence(model, name):
    """A random defence whose draws are the same in every run."""
    kind, size = name.split(":")
    step = noise(float(size)) if kind == "noise" else attacks.random_resize(int(size))
    made = attacks.defended(model, step)
    made.random = np.random.default_rng(0)
    return made


def noise(deviation):
    return lambda x, generator: (x + deviation * generator.standard_normal(x.shape, np.float32)).clip(0, 1)


def judged(model, x, y, name, a):
    """Both ladders on one defence."""
    found = {version: attacks.ladder(defence(model, name), x, y, eps=a.eps, version=version, draws=a.draws) for version in ("standard", "rand")}
    over = {version: result.config["random"] for version, result in found.items()}
    return {"clean": over["rand"]["clean_accuracy"], "says": found["standard"].robust_accuracy, "standard": over["standard"]["robust_accuracy"],
            "rand": over["rand"]["robust_accuracy"], "interval": over["rand"]["interval"], "flags": found["standard"].flags}


def line(row):
    return "\n  ! ".join([f"{row['defence']:<12} clean {row['clean']:.1%}; standard says {row['says']:.1%}, its images leave {row['standard']:.1%} "
                          f"over the draws; rand leaves {row['rand']:.1%}", *(flag for flag in row["flags"] if "random" in flag)])


if __name__ == "__main__":
    main()
