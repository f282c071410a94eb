"""How far our PGD is from foolbox's and ART's on one small model with shared weights: prints the largest differences.

    pip install foolbox adversarial-robustness-toolbox && python benchmarks/interop/attack_equality.py [--json | --out FILE.json]
    python benchmarks/interop/attack_equality.py --work ladder,attacks,nearest,labels --help       # how strong, beside more libraries

compat: the loop of attacks.compat.pgd_loop in that library's order. own: attacks.pgd, which never leaves the ball by a rounding.
Both by the reference kernels.
"""
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tinyvgg import attacks, kernels
from tinyvgg.attacks.compat.pgd_loop import pgd_loop
from tinyvgg.interop import art, foolbox
from tinyvgg.nn import Sequential
from tinyvgg.nn.layers import Conv2D, Dense, Flatten, InputLayer
from tinyvgg.report.record import versions

sys.path.append(str(Path(__file__).resolve().parents[1]))
from common import option_parser, write_result  # noqa: E402


def main():
    if any(word.startswith("--work") for word in sys.argv[1:]):
        import attack_strength
        return attack_strength.main()
    arguments = option_parser(__doc__, json=bool, out=str).parse_args()
    kernels.use("reference")
    net = Sequential([InputLayer((8, 8, 3)), Conv2D(8, 3, activation="relu"), Flatten(), Dense(10)], seed=1)
    g = np.random.default_rng(0)
    x = g.uniform(0, 1, (32, 8, 8, 3)).astype(np.float32)
    y = net.labels(x)
    rows = []
    for norm, eps, step in (("linf", 0.05, 0.01), ("l2", 0.5, 0.1)):
        for library, function in (("foolbox", by_foolbox), ("art", by_art)):
            theirs = function(net, x, y, norm, eps, step)
            ours = pgd_loop(lambda z: foolbox.loss_and_gradient(net, z, y)[1], x, x, eps=eps, step=step, steps=40, norm=norm,
                            bounds=(0, 1), order=library)
            own = attacks.pgd(net, x, y, eps=eps, step=step, norm=norm, loss="ce_plain", keep="last", early_stop=False).x_adv
            rows.append({"work": f"PGD {norm}", "peer": library, "compat": float(np.abs(ours - theirs).max()),
                         "equal_bits": bool(np.array_equal(ours, theirs)), "own": float(np.abs(own - theirs).max())})
    if arguments.out:
        peers = {name: version(name) for name in ("foolbox", "adversarial-robustness-toolbox")}
        write_result(arguments.out, "python benchmarks/interop/attack_equality.py", versions={**versions(), **peers}, rows=rows)
    if arguments.json:
        print(json.dumps(rows))
    for row in [] if arguments.json else rows:
        print(f"{row['work']:<10}{row['peer']:<9} compat {row['compat']:.3g}{' (bit for bit)' if row['equal_bits'] else ''}, "
              f"own {row['own']:.3g}")


def by_foolbox(net, x, y, norm, eps, step):
    import eagerpy as ep
    name = {"linf": "LinfPGD", "l2": "L2PGD"}[norm]
    attack = foolbox.gradient_attack(name, net, abs_stepsize=step, steps=40, random_start=False)
    return attack.run(foolbox.model(net), ep.astensor(x), ep.astensor(y), epsilon=eps).numpy()


def by_art(net, x, y, norm, eps, step):
    from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_numpy import ProjectedGradientDescentNumpy
    order = {"linf": np.inf, "l2": 2}[norm]
    attack = ProjectedGradientDescentNumpy(art.estimator(net), norm=order, eps=eps, eps_step=step, max_iter=40, num_random_init=0,
                                           batch_size=len(x), verbose=False)
    return attack.generate(x, y)


if __name__ == "__main__":
    main()
