"""How strong our attacks are beside foolbox, ART and torchattacks, on the same weights and images, and whether the ladder leaves
the same images as AutoAttack (torchattacks has its authors' files).

    pip install torch foolbox adversarial-robustness-toolbox torchattacks
    python benchmarks/interop/attack_strength.py [--model light_cifar10_nfgsm] [--data cifar10] [-n 100] [--work ladder,attacks]
        [--json | --out FILE.json]

A row: {"model", "work", "peer", "n", "ours", "theirs", "unit", ...}. unit "robust": accuracy left, the lower the stronger;
"median": median distance of the fooled, the nearer the stronger; "left": images left by the ladder, with how many both leave and
the processor seconds of both. Every image is judged by our network, whoever made it.
"""
import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import foolbox as fb
import numpy as np
import torch
import torchattacks

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from torch_peer import Work  # noqa: E402

from tinyvgg import attacks, data, zoo  # noqa: E402
from tinyvgg.attacks.norms import parse_eps, size  # noqa: E402
from tinyvgg.report.record import versions, write_json  # noqa: E402

EPS = {"linf": 8 / 255, "l2": 0.5}
TORCH_NORM = {"linf": "Linf", "l2": "L2"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="zoo entries (default light_cifar10_nfgsm)")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("-n", type=int, default=100)
    parser.add_argument("--near", type=int, default=16, help="images of the attacks that look for the nearest one (default 16)")
    parser.add_argument("--work", default="ladder,attacks,nearest,labels")
    parser.add_argument("--ladders", default=",".join(f"{norm}:{eps * 255:g}/255" for norm, eps in EPS.items()), metavar="NORM:EPS,...",
                        help="what --work ladder is of (default linf:8/255,l2:127.5/255)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", metavar="FILE.json")
    arguments = parser.parse_args()
    dataset, rows = data.load(arguments.data), []
    for name in arguments.model or ["light_cifar10_nfgsm"]:
        both = Both(zoo.load(name), dataset, arguments.n)
        for kind in arguments.work.split(","):
            for row in {"ladder": ladders, "attacks": within, "nearest": nearest, "labels": by_labels}[kind](both, arguments):
                rows.append({"model": name, **row})
                if not arguments.json:
                    print(text(rows[-1]), flush=True)
                if arguments.out:
                    save(arguments, rows, dataset)
    if arguments.json:
        print(json.dumps(rows))


def save(arguments, rows, dataset):
    command = "python benchmarks/interop/attack_strength.py " + " ".join(f"--model {m}" for m in arguments.model or [])
    peers = {name: version(name) for name in ("torch", "foolbox", "adversarial-robustness-toolbox", "torchattacks")}
    write_json(arguments.out, {"command": f"{command} --data {arguments.data} -n {arguments.n} --near {arguments.near} --work "
                               f"{arguments.work} --ladders {arguments.ladders}".replace("  ", " "), "data": dataset.name,
                               "versions": {**versions(), **peers}, "rows": rows})


def text(row):
    more = ("both", "ours_s", "theirs_s", "ours_queries", "theirs_queries")
    return (f"{row['model']:<22}{row['work']:<28}{row['peer']:<13}n {row['n']:<5}ours {row['ours']:.4g}, "
            f"theirs {row['theirs']:.4g} ({row['unit']})" + "".join(f", {key} {row[key]}" for key in more if key in row))


class Both:
    """One network in both engines, and images of it that it has right."""

    def __init__(self, model, dataset, n):
        self.model, self.net = model, Work(model).net.eval().requires_grad_(False)
        x, y = dataset.part("test", 4 * n)
        x = x.astype(np.float32) / np.float32(255)
        right = np.flatnonzero(model.labels(x) == y)[:n]
        self.x, self.y = x[right], y[right].astype(np.int64)

    def torch(self, n):
        """(images, labels) as PyTorch takes them."""
        return torch.from_numpy(self.x[:n]).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(self.y[:n])

    def ours(self, z):
        """Images of PyTorch as ours."""
        return np.ascontiguousarray(z.detach().permute(0, 2, 3, 1).numpy())

    def robust(self, adv):
        """Share of images that our network still has right."""
        return float((self.model.labels(np.clip(adv, 0, 1)) == self.y[:len(adv)]).mean())

    def median(self, adv, norm):
        """Median distance; images that do not fool count as infinitely far."""
        fooled = self.model.labels(np.clip(adv, 0, 1)) != self.y[:len(adv)]
        return float(np.median(np.where(fooled, size(adv.astype(np.float64) - self.x[:len(adv)], norm), np.inf)))


def ladders(both, arguments):
    """Our standard ladder beside AutoAttack's standard version, one thread of processor time each as far as both let it."""
    n = len(both.x)
    x, y = both.torch(n)
    for norm, eps in (word.split(":") for word in arguments.ladders.split(",")):
        eps = parse_eps(eps)
        start = time.process_time()
        own = attacks.ladder(both.model, both.x, both.y, eps=eps, norm=norm, version="standard")
        middle = time.process_time()
        attack = torchattacks.AutoAttack(both.net, norm=TORCH_NORM[norm], eps=eps, version="standard", seed=0,
                                         n_classes=both.model.n_classes)
        adv = attack(x, y)
        end = time.process_time()
        left, theirs = own.pred_adv == both.y, both.model.labels(np.clip(both.ours(adv), 0, 1)) == both.y
        yield {"work": f"standard ladder {norm} {eps:.4g}", "peer": "AutoAttack", "n": n, "ours": int(left.sum()),
               "theirs": int(theirs.sum()), "unit": "left", "both": int((left & theirs).sum()),
               "ours_s": round(middle - start, 1), "theirs_s": round(end - middle, 1)}


def within(both, arguments):
    """Attacks within eps: accuracy that is left."""
    n, eps, ta = len(both.x), EPS["linf"], torchattacks
    x, y = both.torch(n)
    foolbox = fb.PyTorchModel(both.net, bounds=(0, 1))
    mine, step = (both.model, both.x, both.y), 2 / 255
    pairs = [
        ("FGSM", "torchattacks", lambda: attacks.fgsm(*mine, eps=eps), lambda: ta.FGSM(both.net, eps=eps)(x, y)),
        ("FGSM", "foolbox", lambda: attacks.fgsm(*mine, eps=eps),
         lambda: fb.attacks.LinfFastGradientAttack()(foolbox, x, y, epsilons=eps)[1]),
        ("PGD-40", "torchattacks", lambda: attacks.pgd(*mine, eps=eps, step=step, steps=40),
         lambda: ta.PGD(both.net, eps=eps, alpha=step, steps=40, random_start=False)(x, y)),
        ("PGD-40", "foolbox", lambda: attacks.pgd(*mine, eps=eps, step=step, steps=40),
         lambda: fb.attacks.LinfPGD(abs_stepsize=step, steps=40, random_start=False)(foolbox, x, y, epsilons=eps)[1]),
        ("PGD-100x3", "torchattacks", lambda: attacks.pgd(*mine, eps=eps, step=step, steps=100, restarts=3, random_start=True),
         lambda: repeated(both, x, y, 3)),
        ("MI-FGSM", "torchattacks", lambda: attacks.mifgsm(*mine, eps=eps, step=step, steps=10),
         lambda: ta.MIFGSM(both.net, eps=eps, alpha=step, steps=10)(x, y)),
        ("APGD", "torchattacks", lambda: attacks.apgd(*mine, eps=eps, steps=50),
         lambda: ta.APGD(both.net, norm="Linf", eps=eps, steps=50, seed=0)(x, y)),
        ("Square 500", "torchattacks", lambda: attacks.square(*mine, eps=eps, queries=500),
         lambda: ta.Square(both.net, norm="Linf", eps=eps, n_queries=500, seed=0)(x, y)),
    ]
    for work, peer, ours, theirs in pairs:
        yield {"work": work, "peer": peer, "n": n, "ours": ours().robust_accuracy, "theirs": both.robust(both.ours(theirs())),
               "unit": "robust"}


def repeated(both, x, y, times):
    """The worst of several runs of torchattacks' PGD."""
    worst = x.clone()
    for seed in range(times):
        torch.manual_seed(seed)
        adv = torchattacks.PGD(both.net, eps=EPS["linf"], alpha=2 / 255, steps=100, random_start=True)(x, y)
        fooled = both.net(adv).argmax(1) != y
        worst[fooled] = adv[fooled]
    return worst


def nearest(both, arguments):
    """Attacks that look for the nearest image: median distance."""
    n = min(arguments.near, len(both.x))
    x, y = both.torch(n)
    foolbox, mine = fb.PyTorchModel(both.net, bounds=(0, 1)), (both.model, both.x[:n], both.y[:n])
    wagner = {"steps": 200, "searches": 5, "rate": 0.01, "constant": 1.0}
    pairs = [
        ("DeepFool l2", "foolbox", "l2", lambda: attacks.deepfool(*mine),
         lambda: fb.attacks.L2DeepFoolAttack(steps=50)(foolbox, x, y, epsilons=None)[1]),
        ("DeepFool l2", "torchattacks", "l2", lambda: attacks.deepfool(*mine),
         lambda: torchattacks.DeepFool(both.net, steps=50)(x, y)),
        ("FMN l2", "foolbox", "l2", lambda: attacks.fmn(*mine, steps=100),
         lambda: fb.attacks.L2FMNAttack(steps=100)(foolbox, x, y, epsilons=None)[1]),
        ("FMN linf", "foolbox", "linf", lambda: attacks.fmn(*mine, steps=100, norm="linf"),
         lambda: fb.attacks.LInfFMNAttack(steps=100)(foolbox, x, y, epsilons=None)[1]),
        ("C&W l2", "foolbox", "l2", lambda: attacks.cw(*mine, **wagner), lambda: fb.attacks.L2CarliniWagnerAttack(
            binary_search_steps=5, steps=200, stepsize=0.01, initial_const=1.0)(foolbox, x, y, epsilons=None)[1]),
    ]
    for work, peer, norm, ours, theirs in pairs:
        yield {"work": work, "peer": peer, "n": n, "ours": median_of(ours(), norm),
               "theirs": both.median(both.ours(theirs()), norm), "unit": "median"}
    target = (both.y[:n] + 1) % both.model.n_classes
    fab = attacks.fab(*mine, norm="linf", target=target)
    eps = float(fab.norms["linf"].max())
    yield {"work": f"targeted FAB, eps {eps:.3g}", "peer": "our PGD-100", "n": n, "ours": fab.success_rate,
           "theirs": attacks.pgd(*mine, eps=eps, steps=100, target=target).success_rate, "unit": "success"}


def median_of(result, norm):
    return float(np.median(np.where(result.success, result.norms[norm], np.inf)))


def by_labels(both, arguments):
    """HopSkipJump beside foolbox's and ART's, ours stopped at no more labels than theirs took."""
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import BlackBoxClassifierNeuralNetwork
    n = min(arguments.near, len(both.x))
    for norm in ("l2", "linf"):
        own = attacks.hopskipjump(both.model, both.x[:n], both.y[:n], norm=norm, steps=10)
        counted = Counted(both.net)
        x, y = both.torch(n)
        torch.manual_seed(0)
        attack = fb.attacks.HopSkipJumpAttack(steps=10, constraint=norm)
        adv = attack(fb.PyTorchModel(counted, bounds=(0, 1)), x, y, epsilons=None)[1]
        row = {"work": f"HopSkipJump {norm}", "n": n, "ours": median_of(own, norm), "unit": "median",
               "ours_queries": int(own.queries.mean())}
        yield {**row, "peer": "foolbox", "theirs": both.median(both.ours(adv), norm), "theirs_queries": counted.images // n}
        asked = [0]

        def predict(z, asked=asked):
            asked[0] += len(z)
            return np.eye(both.model.n_classes, dtype=np.float32)[both.model.labels(np.clip(z, 0, 1).astype(np.float32))]
        classifier = BlackBoxClassifierNeuralNetwork(predict, input_shape=both.x.shape[1:], nb_classes=both.model.n_classes,
                                                     clip_values=(0, 1), channels_first=False)
        np.random.seed(0)
        art = HopSkipJump(classifier, norm=2 if norm == "l2" else np.inf, max_iter=10, max_eval=1000, init_eval=100,
                          verbose=False)
        adv = art.generate(both.x[:n], both.y[:n])
        yield {**row, "peer": "ART", "theirs": both.median(adv.astype(np.float32), norm), "theirs_queries": asked[0] // n}


class Counted(torch.nn.Module):
    """A network that counts the images it is asked about."""

    def __init__(self, net):
        super().__init__()
        self.net, self.images = net, 0

    def forward(self, x):
        self.images += len(x)
        return self.net(x)


if __name__ == "__main__":
    main()
