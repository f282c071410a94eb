"""Single images under our standard ladder and AutoAttack's, from several seeds: how often each leaves them.

    pip install torch git+https://github.com/fra31/auto-attack
    python benchmarks/interop/ladder_seeds.py --images light_cifar10:40,light_cifar10_plain:441 [--data cifar10] [--norm l2]
        [--eps 127.5/255] [--seeds 10] [--out FILE.json]

For the images that only one of them leaves in `attack_equality.py --work ladder`: NET:NUMBER is that number there, among all test images.
Both ask our kernels. A row: {"model", "image", "seeds", "ours", "theirs", "ours_left", "theirs_left"}: from how many seeds the image is left,
and from which.
"""
from pathlib import Path

import numpy as np
import torch
from attack_strength import EPS, TORCH_NORM, Both, engine_of, ours_of, peers
from common import command_line, option_parser, write_result

from tinyvgg import attacks, data, zoo
from tinyvgg.attacks.norms import parse_eps
from tinyvgg.report.record import KeptRows, sha256_arrays, versions


def main():
    parser = option_parser(__doc__, data="cifar10", eps="127.5/255", seeds=10, out=Path("runs/ladder_seeds.json"))
    parser.add_argument("--images", required=True, metavar="NET:NUMBER,...")
    parser.add_argument("--norm", default="l2", choices=tuple(EPS))
    a = parser.parse_args()
    torch.set_num_threads(1)
    dataset, rows, shas = data.load(a.data), [], {}
    for name, number in (word.split(":") for word in a.images.split(",")):
        both, at = Both(zoo.load(name), dataset, int(number) + 1, right=False), int(number)
        shas[name] = sha256_arrays(*both.model.get_weights())
        kept = KeptRows(f"{a.out}.rows.jsonl", {"model": name, "model_sha256": shas[name], "norm": a.norm, "eps": a.eps,
                                                "image_sha256": sha256_arrays(both.x[at])})
        found = [kept.get({"image": at, "seed": seed}, lambda seed=seed, both=both, at=at: left(both, at, a, seed)) for seed in range(a.seeds)]
        ours, theirs = ([seed for seed, row in enumerate(found) if row[who]] for who in ("ours", "theirs"))
        rows.append({"model": name, "image": at, "seeds": a.seeds, "ours": len(ours), "theirs": len(theirs), "ours_left": ours,
                     "theirs_left": theirs})
        print(rows[-1], flush=True)
        again = command_line(__file__, a, "images", "data", "norm", "eps", "seeds")
        write_result(a.out, again, model_sha256=shas, data=a.data, versions={**versions(), **peers()}, rows=rows)


def left(both, at, a, seed):
    """Whether each ladder leaves one image from one seed."""
    from autoattack import AutoAttack
    x, y, eps = both.x[at:at + 1], both.y[at:at + 1], parse_eps(a.eps)
    own = attacks.ladder(both.model, x, y, eps=eps, norm=a.norm, version="standard", seed=seed)
    peer = AutoAttack(engine_of(both, "tinyvgg"), norm=TORCH_NORM[a.norm], eps=eps, version="standard", seed=seed, device="cpu", verbose=False)
    adv = peer.run_standard_evaluation(*both.torch(slice(at, at + 1)), bs=1)
    found = {"ours": bool(own.pred_adv[0] == y[0]), "theirs": bool(both.model.labels(np.clip(ours_of(adv), 0, 1))[0] == y[0])}
    print(at, seed, found, flush=True)
    return found


if __name__ == "__main__":
    main()
