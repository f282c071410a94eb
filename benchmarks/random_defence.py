"""What the standard ladder and the one for random models leave of a defence that draws anew for each question.

    python benchmarks/random_defence.py [--model small] [--data cifar10] [-n 100] [--eps 4/255] [--draws 20] [--defences noise:0.1,resize:13]
        [--json | --out FILE.json]

noise:D adds normal noise of deviation D; resize:S brings each image to a random size of S pixels to its own, at a random place within
zeros (Xie et al., ICLR 2018). --model small: see small_network.py, images of 16 x 16. A row: {"defence", "clean", "says", "standard", "rand",
"flags"}: accuracy over the draws without an attack; what the standard ladder would report from one draw; what its images leave over the
draws; what those of version="rand" leave: the figure to quote.
"""
import json

import numpy as np
from common import command_line, option_parser, write_result
from small_network import opened

from tinyvgg import attacks
from tinyvgg.report.record import KeptRows, sha256_arrays


def main():
    a = option_parser(__doc__, model="small", data="cifar10", n=100, eps="4/255", draws=20, defences="noise:0.1,resize:13",
                      json=bool, out=str).parse_args()
    dataset, model = opened(a.model, a.data)
    x, y = dataset.part("test", a.n)
    x = np.asarray(x).astype(np.float32) / np.float32(255)
    told = {"model": a.model, "model_sha256": sha256_arrays(*model.get_weights()), "data": a.data, "data_sha256": sha256_arrays(x, y)}
    kept = KeptRows(f"{a.out}.rows.jsonl" if a.out else None, {**told, "eps": a.eps, "draws": a.draws})
    rows = [kept.get({"defence": name}, lambda name=name: judged(model, x, y, name, a)) for name in a.defences.split(",")]
    write_result(a.out, command_line(__file__, a, "model", "data", "n", "eps", "draws", "defences"), **told, n=len(x), seed=0, rows=rows)
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
