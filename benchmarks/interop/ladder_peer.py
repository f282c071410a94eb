"""Our ladder's versions beside AutoAttack's, on the same weights and images: what both leave, and whether draws explain the difference.

    pip install torch git+https://github.com/fra31/auto-attack
    python benchmarks/interop/ladder_peer.py [--model small] [--data cifar10] [-n 200] [--work plus,rand,l1,standard] [--out FILE.json]

--model small is a network of two convolutions, trained here in a minute, on images of 16 x 16: the mean of each 2 x 2 pixels; any zoo entry
goes as well, on whole images, and takes hours. A row: {"work",
"eps", "n", "ours", "theirs", "both", "p", "ours_s", "theirs_s"}: images left by us, by AutoAttack, by both, the p of McNemar's exact
test (a binomial of the images that only one of them leaves) and processor seconds. Of "rand", whose victim adds noise of deviation 0.05
to each image, `ours` and `theirs` are means over 50 draws on the images that each made, and p is of the images that most draws have right.
"""
import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from attack_strength import Both, peers
from small_network import Halved, small

from tinyvgg import attacks, data, zoo
from tinyvgg.report.record import KeptRows, sha256_arrays, versions, write_json

NOISE, DRAWS = 0.05, 50
WORK = {"standard": ("linf", 2 / 255), "plus": ("linf", 2 / 255), "rand": ("linf", 3 / 255), "l1": ("l1", 1.0), "l1-12": ("l1", 12.0)}
NAMES = {"linf": "Linf", "l2": "L2", "l1": "L1"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--work", default="plus,rand,l1")
    parser.add_argument("--out", type=Path, default=Path("runs/ladder_peer.json"), metavar="FILE.json")
    a = parser.parse_args()
    torch.set_num_threads(1)
    dataset = data.load(a.data)
    dataset = Halved(dataset) if a.model == "small" else dataset
    model = small(dataset) if a.model == "small" else zoo.load(a.model)
    both, rows = Both(model, dataset, a.n), []
    told = {"model": a.model, "model_sha256": sha256_arrays(*model.get_weights()), "data": a.data, "data_sha256": sha256_arrays(both.x, both.y)}
    kept = KeptRows(f"{a.out}.rows.jsonl", told)
    for work in a.work.split(","):
        rows.append(kept.get({"work": work}, lambda work=work: compared(both, work)))
        print(rows[-1], flush=True)
        write_json(a.out, {"command": f"python benchmarks/interop/ladder_peer.py --model {a.model} --data {a.data} -n {a.n} --work {a.work}",
                           **told, "seed": 0, "versions": {**versions(), **peers()}, "rows": rows})


class Noisy(torch.nn.Module):
    """The network behind noise that is drawn for each question."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net((x + NOISE * torch.randn_like(x)).clamp(0, 1))


def noisy(x, generator):
    return np.clip(x + NOISE * generator.standard_normal(x.shape, np.float32), 0, 1)


def compared(both, work):
    """One version of both ladders."""
    from autoattack import AutoAttack
    norm, eps = WORK[work]
    random, version = work == "rand", "standard" if work.startswith("l1") else work
    model = attacks.defended(both.model, noisy, name="noise") if random else both.model
    start = time.process_time()
    own = attacks.ladder(model, both.x, both.y, eps=eps, norm=norm, version=version)
    middle = time.process_time()
    x, y = both.torch(len(both.x))
    peer = AutoAttack(Noisy(both.net) if random else both.net, norm=NAMES[norm], eps=eps, version=version, seed=0, device="cpu", verbose=True)
    theirs = both.ours(peer.run_standard_evaluation(x, y, bs=len(x)))
    end = time.process_time()
    row = {"norm": norm, "eps": eps, "n": len(x), "ours_s": round(middle - start, 1), "theirs_s": round(end - middle, 1)}
    if not random:
        left = [own.pred_adv == both.y, both.model.labels(np.clip(theirs, 0, 1)) == both.y]
        return {**row, "ours": int(left[0].sum()), "theirs": int(left[1].sum()), "both": int((left[0] & left[1]).sum()), "p": mcnemar(*left)}
    shares = [right(model, adv, both.y) for adv in (own.x_adv, np.clip(theirs, 0, 1))]
    left = [share > 0.5 for share in shares]
    return {**row, "ours": float(shares[0].sum()), "theirs": float(shares[1].sum()), "both": int((left[0] & left[1]).sum()),
            "ours_most": int(left[0].sum()), "theirs_most": int(left[1].sum()), "p": mcnemar(*left), "flags": own.flags}


def right(model, adv, y):
    """The share of DRAWS answers to each image that are right."""
    return np.mean([model.logits(adv).argmax(axis=1) == y for _ in range(DRAWS)], axis=0)


def mcnemar(a, b):
    """Two-sided exact p that the images which only one of them leaves are as likely to be either's."""
    only = int((a & ~b).sum()), int((b & ~a).sum())
    n = sum(only)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(only) + 1)) / 2 ** n)


if __name__ == "__main__":
    main()
