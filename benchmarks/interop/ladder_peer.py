"""Our ladder's versions beside AutoAttack's, on the same weights and images: what both leave, and whether draws explain the difference.

    pip install torch scipy git+https://github.com/fra31/auto-attack
    python benchmarks/interop/ladder_peer.py [--model small] [--data cifar10] [-n 200] [--work plus,rand,l1,standard] [--out FILE.json]

rand-mean and rand-single are "rand" with one question for both. AutoAttack as it is takes an image for fooled where one answer is wrong, ours
where the mean of 20 is. In rand-mean AutoAttack attacks a net whose every answer is that mean; in rand-single ours gets a model whose gradients
are means of 20 and whose answers are single ones.

--model small is a network of two convolutions, trained here in a minute, on images of 16 x 16: the mean of each 2 x 2 pixels; any zoo entry
goes as well, on whole images, and takes hours. A row: {"work", "eps", "n", "ours", "theirs", "both", "p", "ours_s", "theirs_s"}: images left
by us, by AutoAttack, by both, the p of McNemar's exact test (a binomial of the images that only one of them leaves) and processor seconds. Of
"rand", whose victim adds noise of deviation 0.05 to each image, an image is left if most of 50 draws on what was made of it are right;
`ours_mean` and `theirs_mean` are means over the draws.
"""
import time
from pathlib import Path

import numpy as np
import torch
from attack_strength import TORCH_NORM, Both, ours_of, peers
from common import command_line, option_parser, write_result
from random_defence import noise
from scipy import stats
from small_network import opened
from torch_peer import Function

from tinyvgg import attacks
from tinyvgg.report.record import KeptRows, sha256_arrays, versions

NOISE, ASKED, DRAWS = 0.05, 20, 50
WORK = {"standard": ("linf", 2 / 255), "plus": ("linf", 2 / 255), "rand": ("linf", 3 / 255), "rand-mean": ("linf", 3 / 255),
        "rand-single": ("linf", 3 / 255), "l1": ("l1", 1.0), "l1-12": ("l1", 12.0)}


def main():
    a = option_parser(__doc__, model="small", data="cifar10", n=200, work="plus,rand,l1", out=Path("runs/ladder_peer.json")).parse_args()
    torch.set_num_threads(1)
    dataset, model = opened(a.model, a.data)
    both, rows = Both(model, dataset, a.n), []
    told = {"model": a.model, "model_sha256": sha256_arrays(*model.get_weights()), "data": a.data, "data_sha256": sha256_arrays(both.x, both.y)}
    kept = KeptRows(f"{a.out}.rows.jsonl", told)
    for work in a.work.split(","):
        rows.append(kept.get({"work": work}, lambda work=work: compared(both, work)))
        print(rows[-1], flush=True)
        write_result(a.out, command_line(__file__, a, "model", "data", "n", "work"), **told, seed=0, versions={**versions(), **peers()}, rows=rows)


def noisy_net(net):
    """The network behind noise that is drawn for each question."""
    return Function(lambda x: net((x + NOISE * torch.randn_like(x)).clamp(0, 1)))


def mean_net(net):
    """A net that answers with the mean of ASKED answers of another."""
    return Function(lambda x: torch.stack([net(x) for _ in range(ASKED)]).mean(0))


class Single:
    """A classifier whose gradients are means of ASKED draws and whose answers are single draws, as AutoAttack's rand judges them."""

    def __init__(self, defence):
        self.defence, self.bounds, self.n_classes, self.dtype = defence, defence.bounds, defence.n_classes, defence.dtype

    def logits(self, x):
        return self.defence.logits(x)

    def vjp(self, x, g):
        return sum(self.defence.vjp(x, g) for _ in range(ASKED)) / self.dtype.type(ASKED)


def compared(both, work):
    """One version of both ladders."""
    norm, eps = WORK[work]
    attacked = both.model if not work.startswith("rand") else defence(both, 0)
    start = time.process_time()
    own = ours(attacked, both, work)
    middle = time.process_time()
    theirs = np.clip(autoattack(both, work), 0, 1)
    row = {"norm": norm, "eps": eps, "n": len(both.x), "ours_s": round(middle - start, 1), "theirs_s": round(time.process_time() - middle, 1)}
    if not work.startswith("rand"):
        return {**row, **counted(own.pred_adv == both.y, both.model.labels(theirs) == both.y)}
    shares = [right(defence(both, 1), adv, both.y) for adv in (own.x_adv, theirs)]
    return {**row, **counted(*(share > 0.5 for share in shares)), "ours_mean": float(shares[0].sum()), "theirs_mean": float(shares[1].sum()),
            "flags": own.flags}


def defence(both, seed):
    """The random defence, whose draws are the same in every run."""
    made = attacks.defended(both.model, noise(NOISE), name="noise")
    made.random = np.random.default_rng(seed)
    return made


def ours(model, both, work):
    """The result of our ladder."""
    norm, eps = WORK[work]
    if work == "rand-single":
        return attacks.ladder(Single(model), both.x, both.y, eps=eps, norm=norm, early_stop=False,
                              attacks=[(name, {"steps": 100}) for name in ("apgd-ce", "apgd-dlr")])
    return attacks.ladder(model, both.x, both.y, eps=eps, norm=norm, version=version_of(work), draws=ASKED)


def autoattack(both, work):
    """AutoAttack's images."""
    from autoattack import AutoAttack
    norm, eps = WORK[work]
    settings = {"norm": TORCH_NORM[norm], "eps": eps, "seed": 0, "device": "cpu", "verbose": True}
    torch.manual_seed(0)
    net = noisy_net(both.net) if work.startswith("rand") else both.net
    if work == "rand-mean":                                             # the attacks of rand, whose restarts a custom version sets itself
        peer = AutoAttack(mean_net(net), version="custom", attacks_to_run=["apgd-ce", "apgd-dlr"], **settings)
        peer.apgd.n_restarts = 1
    else:
        peer = AutoAttack(net, version=version_of(work), **settings)
    return ours_of(peer.run_standard_evaluation(*both.torch(), bs=len(both.x)))


def version_of(work):
    """The version of both ladders."""
    return "standard" if work.startswith("l1") else work.split("-")[0]


def right(model, adv, y):
    """The share of DRAWS answers to each image that are right."""
    return np.mean([model.logits(adv).argmax(axis=1) == y for _ in range(DRAWS)], axis=0)


def counted(ours, theirs):
    """Which images both leave, as plain data."""
    return {"ours": int(ours.sum()), "theirs": int(theirs.sum()), "both": int((ours & theirs).sum()), "p": mcnemar(ours, theirs)}


def mcnemar(a, b):
    """Two-sided exact p that the images which only one of them leaves are as likely to be either's."""
    only = int((a & ~b).sum()), int((b & ~a).sum())
    return float(stats.binomtest(min(only), sum(only)).pvalue) if any(only) else 1.0


if __name__ == "__main__":
    main()
