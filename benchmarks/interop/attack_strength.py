"""How strong our attacks are beside foolbox, ART and torchattacks, on the same weights and images, and whether the ladder leaves
the same images as AutoAttack, by its authors' own code.

    pip install torch foolbox adversarial-robustness-toolbox torchattacks git+https://github.com/fra31/auto-attack
    python benchmarks/interop/attack_equality.py --work attacks,nearest,labels [--model light_cifar10_nfgsm] [--data cifar10] [-n 100]
        [--near 16] [--json | --out FILE.json]
    python benchmarks/interop/attack_equality.py --work ladder --model light_cifar10 -n 1000 [--engine tinyvgg]

A row: {"model", "work", "peer", "n", "ours", "theirs", "unit", ...}. unit "robust": accuracy left, the lower the stronger; "median":
median distance of the fooled, the nearer the stronger; "success": share that reached its class, the higher the stronger; "left": images
left by the ladder, with how many both leave and the processor seconds of both. Every image is judged by our network, whoever made it, one at
the boundary by both engines. The attacks take images that the network has right, the ladder the first ones, as AutoAttack does. Rows are
kept as they end, beside --out: the same command goes on.
--engine tinyvgg: AutoAttack asks our kernels instead of PyTorch's, through torch.autograd: the same network in a third of the time.
"""
import json
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import foolbox as fb
import numpy as np
import torch
import torchattacks

sys.path.append(str(Path(__file__).resolve().parents[1]))
from common import command_line, option_parser, say, write_result  # noqa: E402
from torch_peer import Function, Work  # noqa: E402

from tinyvgg import attacks, data, zoo  # noqa: E402
from tinyvgg.attacks.norms import parse_eps, size  # noqa: E402
from tinyvgg.report.record import KeptRows, sha256_arrays, versions  # noqa: E402

EPS = {"linf": 8 / 255, "l2": 0.5}
TORCH_NORM = {"linf": "Linf", "l2": "L2", "l1": "L1"}
PART = 250          # images that the ladders get at a time


def main():
    parser = option_parser(__doc__, data="cifar10", n=100, work="ladder,attacks,nearest,labels", json=bool, out=str)
    parser.add_argument("--model", action="append", help="zoo entries (default light_cifar10_nfgsm)")
    parser.add_argument("--near", type=int, default=16, help="images of the attacks that look for the nearest one (default 16)")
    parser.add_argument("--ladders", default=",".join(f"{norm}:{eps * 255:g}/255" for norm, eps in EPS.items()), metavar="NORM:EPS,...",
                        help="what --work ladder is of (default linf:8/255,l2:127.5/255)")
    parser.add_argument("--engine", choices=("torch", "tinyvgg"), default="torch", help="what AutoAttack's network runs on (default torch)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset, rows, models = data.load(arguments.data), [], {}
    for name in arguments.model or ["light_cifar10_nfgsm"]:
        model = zoo.load(name)
        models[name] = sha256_arrays(*model.get_weights())
        for kind in arguments.work.split(","):
            both = Both(model, dataset, arguments.n, right=kind != "ladder")
            mark = {"model": models[name], "data": sha256_arrays(both.x, both.y), "near": arguments.near}
            kept = KeptRows(f"{arguments.out}.rows.jsonl" if arguments.out else None, mark)
            for key, make in KINDS[kind](both, arguments, kept):
                rows.append({"model": name, **kept.get(key, make)})
                if not arguments.json:
                    print(text(rows[-1]), flush=True)
                save(arguments, rows, models, both)
    if arguments.json:
        print(json.dumps(rows))


def save(arguments, rows, models, both):
    again = command_line(Path(__file__).with_name("attack_equality.py"), arguments, "model", "data", "n", "near", "work", "ladders",
                         engine=arguments.engine if arguments.engine != "torch" else None)
    write_result(arguments.out, again, data=arguments.data, data_sha256=sha256_arrays(both.x, both.y), models=models, seed=0,
                 versions={**versions(), **peers()}, rows=rows)


def peers():
    """The versions of the other libraries that are there."""
    found = {"auto-attack": "a392200"}
    for name in ("torch", "foolbox", "adversarial-robustness-toolbox", "torchattacks"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def text(row):
    ours, theirs = ("none" if row[who] is None else f"{row[who]:.4g}" for who in ("ours", "theirs"))    # no median: most are not fooled
    more = ("both", "engine", "ours_s", "theirs_s", "ours_queries", "theirs_queries")
    return (f"{row['model']:<22}{row['work']:<28}{row['peer']:<13}n {row['n']:<5}ours {ours}, "
            f"theirs {theirs} ({row['unit']})" + "".join(f", {key} {row[key]}" for key in more if key in row))


class Both:
    """One network in both engines, and test images: the first n, or with right=True the first n that it has right."""

    def __init__(self, model, dataset, n, right=True):
        self.model, self.net = model, Work(model).net.eval().requires_grad_(False)
        x, y = dataset.part("test", 4 * n if right else n)
        x = np.asarray(x).astype(np.float32) / np.float32(255)
        if not np.allclose(model.logits(x[:50]), self.net(torch.from_numpy(x[:50]).permute(0, 3, 1, 2)).numpy(), rtol=1e-3, atol=1e-3):
            raise ValueError("the network in PyTorch answers otherwise")
        chosen = np.flatnonzero(model.labels(x) == y)[:n] if right else slice(n)
        self.x, self.y, self.jumps = x[chosen], y[chosen].astype(np.int64), {}

    def torch(self, at=None):
        """(images, labels) as PyTorch takes them: all, the first `at`, or those of a slice."""
        at = at if isinstance(at, slice) else slice(at)
        return torch.from_numpy(self.x[at]).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(self.y[at])

    def robust(self, adv):
        """Share of images that our network still has right."""
        return float((self.model.labels(np.clip(adv, 0, 1)) == self.y[:len(adv)]).mean())

    def median(self, adv, norm):
        """Median distance; images that do not fool count as infinitely far."""
        return float(np.median(self.distances(adv, norm)))

    def distances(self, adv, norm):
        """Distance of each image that fools, infinity for the others; at the boundary a rounding decides, so either engine's answer will do."""
        adv, y = np.clip(adv, 0, 1), self.y[:len(adv)]
        theirs = self.net(torch.from_numpy(adv).permute(0, 3, 1, 2)).argmax(1).numpy()
        fooled = (self.model.labels(adv) != y) | (theirs != y)
        return np.where(fooled, size(adv.astype(np.float64) - self.x[:len(adv)], norm), np.inf)


class _Asked(torch.autograd.Function):
    """Logits of our network, with their gradient by the images."""

    @staticmethod
    def forward(ctx, x, owner):
        ctx.owner, ctx.x = owner, ours_of(x)
        logits = torch.from_numpy(np.array(owner.model.forward_logits(ctx.x)))
        owner.last = ctx                                                # whose tape the model holds
        return logits

    @staticmethod
    def backward(ctx, g):
        owner, g = ctx.owner, np.ascontiguousarray(g.numpy())
        own = owner.last is ctx
        dx = owner.model.backward_logits(g, parameters=False) if own else owner.model.vjp(ctx.x, g)
        owner.last = None
        return torch.from_numpy(np.array(dx)).permute(0, 3, 1, 2), None


class OnOurs(torch.nn.Module):
    """Our network as PyTorch's code asks it: images (N, C, H, W) to logits."""

    def __init__(self, model):
        super().__init__()
        self.model, self.last = model, None

    def forward(self, x):
        if x.requires_grad and torch.is_grad_enabled():
            return _Asked.apply(x, self)
        self.last = None
        return torch.from_numpy(self.model.logits(ours_of(x)))


def ours_of(z):
    """Images (N, C, H, W) of PyTorch as ours."""
    return np.ascontiguousarray(z.detach().permute(0, 2, 3, 1).numpy())


def engine_of(both, name):
    """The network that AutoAttack gets, after a look whether it is the same one."""
    if name == "torch":
        return both.net
    ours, (x, y) = OnOurs(both.model), both.torch(8)
    found = []
    for net in (both.net, ours):
        z = x.clone().requires_grad_(True)
        logits = net(z)
        found.append((logits.detach(), torch.autograd.grad(torch.nn.functional.cross_entropy(logits, y), z)[0]))
    for one, other in zip(*found, strict=True):
        if float((one - other).abs().max()) > 1e-3 * float(one.abs().max()):
            raise ValueError("the two engines differ")
    return ours


def ladders(both, arguments, kept):
    """Our standard ladder beside AutoAttack's standard version, some images after the others."""
    n = len(both.x)
    for norm, eps in (word.split(":") for word in arguments.ladders.split(",")):
        key = {"work": f"standard ladder {norm} {parse_eps(eps):.4g}", "peer": "AutoAttack", "n": n, "unit": "left", "engine": arguments.engine}
        yield key, lambda norm=norm, eps=eps, key=key: ladder(both, norm, parse_eps(eps), key, kept)


def ladder(both, norm, eps, key, kept):
    """One row of both ladders over all parts."""
    parts, known = [], {name: key[name] for name in ("work", "peer", "engine")}
    kept = KeptRows(kept.out, {"model": kept.mark["model"]})            # parts are the same whatever comes after them
    for first in range(0, len(both.x), PART):
        at = slice(first, first + PART)
        part = {**known, "first": first, "images": sha256_arrays(both.x[at], both.y[at])}
        parts.append(kept.get(part, lambda at=at: one_part(both, norm, eps, at, key["engine"])))
        say(json.dumps(parts[-1]))
    ours, theirs = (sorted(i for part in parts for i in part[name]) for name in ("left", "their_left"))
    return {"ours": len(ours), "theirs": len(theirs), "both": len(set(ours) & set(theirs)), "right": sum(part["right"] for part in parts),
            "only_ours": sorted(set(ours) - set(theirs)), "only_theirs": sorted(set(theirs) - set(ours)),
            **{name: round(sum(part[name] for part in parts), 1) for name in ("ours_s", "theirs_s")}}


def one_part(both, norm, eps, at, engine):
    """What both ladders leave of some images: their numbers, and the processor seconds of each."""
    from autoattack import AutoAttack
    x, y = both.x[at], both.y[at]
    net = engine_of(both, engine)
    start = time.process_time()
    own = attacks.ladder(both.model, x, y, eps=eps, norm=norm, version="standard", batch_size=PART)
    middle = time.process_time()
    peer = AutoAttack(net, norm=TORCH_NORM[norm], eps=eps, version="standard", seed=0, device="cpu", verbose=False)
    adv = peer.run_standard_evaluation(*both.torch(at), bs=PART)
    end = time.process_time()
    adv = np.clip(ours_of(adv), 0, 1)
    if size(adv.astype(np.float64) - x, norm).max() > eps * (1 + 1e-4):
        raise ValueError("AutoAttack left the ball")
    first, clean = at.start, both.model.labels(x) == y
    theirs = clean & (both.model.labels(adv) == y)
    return {"left": (first + np.flatnonzero(clean & (own.pred_adv == y))).tolist(), "their_left": (first + np.flatnonzero(theirs)).tolist(),
            "right": int(clean.sum()), "ours_s": round(middle - start, 2), "theirs_s": round(end - middle, 2)}


def within(both, arguments, kept):
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
        yield {"work": work, "peer": peer, "n": n, "unit": "robust"}, lambda ours=ours, theirs=theirs: {
            "ours": ours().robust_accuracy, "theirs": both.robust(ours_of(theirs()))}


def repeated(both, x, y, times):
    """The worst of several runs of torchattacks' PGD."""
    worst = x.clone()
    for seed in range(times):
        torch.manual_seed(seed)
        adv = torchattacks.PGD(both.net, eps=EPS["linf"], alpha=2 / 255, steps=100, random_start=True)(x, y)
        fooled = both.net(adv).argmax(1) != y
        worst[fooled] = adv[fooled]
    return worst


def nearest(both, arguments, kept):
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
        yield {"work": work, "peer": peer, "n": n, "unit": "median"}, lambda norm=norm, ours=ours, theirs=theirs: {
            "ours": median_of(ours(), norm), "theirs": both.median(ours_of(theirs()), norm)}
    for norm in ("linf", "l2"):
        yield {"work": f"FAB-T {norm}", "peer": "AutoAttack", "n": n, "unit": "median"}, lambda norm=norm: fab_t(both, n, norm)
    yield {"work": "FAB to a class", "peer": "torchattacks' PGD-100", "n": n, "unit": "success"}, lambda: fab_to_a_class(both, n)


def fab_t(both, n, norm):
    """FAB towards each of the nine other classes in turn; of AutoAttack's runs the nearest image of each."""
    from autoattack.fab_pt import FABAttack_PT
    x, y = both.torch(n)
    own = attacks.fab(both.model, both.x[:n], both.y[:n], norm=norm)
    peer = FABAttack_PT(both.net, n_restarts=1, n_iter=100, seed=0, norm=TORCH_NORM[norm], verbose=False, device="cpu")
    best = np.full(n, np.inf)
    for rank in range(2, both.model.n_classes + 1):
        peer.target_class = rank
        with torch.no_grad():
            adv = ours_of(peer.attack_single_run(x, y, is_targeted=True))
        best = np.minimum(best, both.distances(adv, norm))
    return {"ours": median_of(own, norm), "theirs": float(np.median(best))}


def fab_to_a_class(both, n):
    """FAB towards one class, and what share of torchattacks' targeted PGD arrives there within the farthest of FAB's distances."""
    x, y = both.torch(n)
    target = (both.y[:n] + 1) % both.model.n_classes
    own = attacks.fab(both.model, both.x[:n], both.y[:n], norm="linf", target=target)
    eps = float(own.norms["linf"][own.success].max())
    pgd = torchattacks.PGD(both.net, eps=eps, alpha=eps / 20, steps=100, random_start=False)
    pgd.set_mode_targeted_by_label(quiet=True)
    adv = ours_of(pgd(x, torch.from_numpy(target)))
    return {"ours": own.success_rate, "theirs": float((both.model.labels(np.clip(adv, 0, 1)) == target).mean()), "eps": eps}


def median_of(result, norm):
    return float(np.median(np.where(result.success, result.norms[norm], np.inf)))


def by_labels(both, arguments, kept):
    """HopSkipJump beside foolbox's and ART's, ours stopped at no more labels than theirs took."""
    n = min(arguments.near, len(both.x))
    for norm in ("l2", "linf"):
        for peer, jump in (("foolbox", foolbox_jump), ("ART", art_jump)):
            yield {"work": f"HopSkipJump {norm}", "n": n, "peer": peer, "unit": "median"}, lambda norm=norm, jump=jump: jumped(both, n, norm, jump)


def jumped(both, n, norm, jump):
    if norm not in both.jumps:
        both.jumps[norm] = attacks.hopskipjump(both.model, both.x[:n], both.y[:n], norm=norm, steps=10)
    own = both.jumps[norm]
    adv, asked = jump(both, n, norm)
    return {"ours": median_of(own, norm), "theirs": both.median(adv, norm), "ours_queries": int(own.queries.mean()), "theirs_queries": asked // n}


def foolbox_jump(both, n, norm):
    """foolbox's images, and how many it asked about."""
    asked = []

    def counted(z):
        asked.append(len(z))
        return both.net(z)
    torch.manual_seed(0)
    attack = fb.attacks.HopSkipJumpAttack(steps=10, constraint=norm)
    adv = attack(fb.PyTorchModel(Function(counted).eval(), bounds=(0, 1)), *both.torch(n), epsilons=None)[1]
    return ours_of(adv), sum(asked)


def art_jump(both, n, norm):
    """ART's images, and how many it asked about."""
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import BlackBoxClassifierNeuralNetwork
    asked = []

    def predict(z):
        asked.append(len(z))
        return np.eye(both.model.n_classes, dtype=np.float32)[both.model.labels(np.clip(z, 0, 1).astype(np.float32))]
    classifier = BlackBoxClassifierNeuralNetwork(predict, input_shape=both.x.shape[1:], nb_classes=both.model.n_classes,
                                                 clip_values=(0, 1), channels_first=False)
    np.random.seed(0)
    attack = HopSkipJump(classifier, norm=2 if norm == "l2" else np.inf, max_iter=10, max_eval=1000, init_eval=100, verbose=False)
    return attack.generate(both.x[:n], both.y[:n]).astype(np.float32), sum(asked)


KINDS = {"ladder": ladders, "attacks": within, "nearest": nearest, "labels": by_labels}

if __name__ == "__main__":
    main()
