"""Record what the reference implementations of APGD, Square and FAB do in L1 on the fixed linear model of record_traces.py.

The reference is fra31/auto-attack at commit a392200 (MIT), which must be importable as `autoattack`; torch 2.13.0. Two changes: the
projection is computed in float64, and a value that rounding left within 1e-9 of the clean one counts as unchanged, for both decide
steps by digits that another order of sums does not have. FAB is recorded towards one class and towards the nearest of all.

    pip install torch git+https://github.com/fra31/auto-attack && python benchmarks/interop/record_traces_l1.py tests/attacks/golden
"""
import sys
from pathlib import Path

import autoattack.autopgd_base as apgd
import autoattack.square as square
import numpy as np
import torch
from autoattack.fab_pt import FABAttack_PT
from record_traces import Linear, record_square

EPS, STEPS = 0.05, 50


def main(folder):
    with np.load(folder / "traces.npz") as stored:
        w, b, x, y = (stored[name] for name in ("w", "b", "x", "y"))
    images, labels = torch.tensor(x.transpose(0, 3, 1, 2).copy()), torch.tensor(y)
    single, torch.Tensor.float = torch.Tensor.float, torch.Tensor.double        # the projection casts to float32
    apgd.L0_norm = lambda d: (d.abs() > 1e-9).view(len(d), -1).sum(-1).double()
    arrays = {}
    for loss in ("ce", "dlr"):
        model = Linear(w, b)
        attack = apgd.APGDAttack(model, n_iter=STEPS, norm="L1", eps=EPS, loss=loss, use_largereps=True, device="cpu")
        attack.init_hyperparam(images)
        torch.manual_seed(1)
        attack.decr_eps_pgd(images, labels, [3 * EPS, 2 * EPS, EPS], [15, 15, 20])
        arrays[f"apgd_{loss}"] = np.stack(model.asked)
    model = Linear(w, b)
    attack = square.SquareAttack(model, norm="L1", eps=0.3, n_queries=60, p_init=0.8, resc_schedule=False, device="cpu")
    attack.init_hyperparam(images)
    arrays |= record_square("L1", attack, model, images, labels)
    torch.Tensor.float = single                                         # FAB knows float32 alone
    for name, norm in (("L1", "L1"), ("nearest_L1", "L1"), ("nearest_Linf", "Linf"), ("nearest_L2", "L2")):
        model = Linear(w, b, torch.float32)
        attack = FABAttack_PT(model, norm=norm, n_iter=15, device="cpu")
        attack.target_class = 2                                         # the most likely wrong class
        attack.attack_single_run(images, labels, is_targeted=name == "L1")
        arrays[f"fab_{name}"] = np.stack(model.asked)
    np.savez_compressed(folder / "traces_l1.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
