"""FAB: Croce and Hein, "Minimally Distorted Adversarial Examples with a Fast Adaptive Boundary Attack" (ICML 2020).

It looks for the nearest adversarial image and needs no step length. Each step projects on the linearised decision boundary, goes
a little beyond it, and moves back towards the clean image. After each success it starts again from a nearer point.
"""
from typing import Any, Literal, Unpack

import numpy as np

from tinyvgg.attacks.apgd import ranked_classes
from tinyvgg.attacks.checks import count, one_of
from tinyvgg.attacks.hyperplanes import project
from tinyvgg.attacks.norms import column, flat, parse_norm, parse_radii, rows_of, size
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.errors import OptionError
from tinyvgg.types import Eps, Images, Labels, Norm, RunOptions, Target

DUAL = {"linf": "l1", "l2": "l2", "l1": "linf"}
LEAN, OVERSHOOT, BACKWARD = 0.1, 1.05, 0.9      # alpha_max, eta and beta of the paper


def fab(model: Any, x: Images, y: Labels | None, *, eps: Eps | None = None, norm: Norm = "linf", steps: int = 100,
        targets: int = 9, restarts: int = 1, towards: Literal["each", "nearest"] = "each", target: Target | None = None,
        **options: Unpack[RunOptions]) -> AttackResult:
    """Look for the nearest image of each of the `targets` most likely wrong classes, or of the class `target` (FAB-T).

    With `target`, a step goes to the boundary between the target and the likeliest other class at that point (which need not be y).
    towards="nearest" is the untargeted FAB: each step goes to the nearest boundary of all classes and computes a gradient for each
    class; `targets` and `target` are then not allowed.
    eps: None keeps the nearest adversarial image at any distance. With a radius, only images within it count, and the search
    stops at an image once one is found. norm: linf, l2 or l1. Further options: see run. Returns an AttackResult.
    """
    eps, norm, steps = None if eps is None else parse_radii(eps), parse_norm(norm), count(steps, "steps")
    targets, restarts = count(targets, "targets"), count(restarts, "restarts")
    one_of(towards, "towards", ("each", "nearest"))
    if towards == "nearest" and target is not None:
        raise OptionError("towards nearest takes any class; target belongs to towards each", "the same without target")

    def attack(batch):
        eps = batch.eps
        order = ranked_classes(batch) if batch.target is None else batch.target[:, None]
        order = order if towards == "each" else np.full((len(batch.x), 1), -1)
        best = np.where(batch.fooled, 0, np.inf)
        for rank in range(min(targets, order.shape[1])):
            for restart in range(restarts):
                open_rows = np.flatnonzero(best > (0 if eps is None else eps))
                if len(open_rows):
                    _search(batch, open_rows, order[open_rows, rank], norm, steps, eps, best, (rank, restart))
        batch.fooled &= best <= (np.inf if eps is None else eps)
        if eps is not None:
            batch.adv[~batch.fooled] = batch.x[~batch.fooled]

    settings = {"steps": steps, "targets": targets, "restarts": restarts} | ({} if towards == "each" else {"towards": towards})
    return run("fab", attack, model, x, y, eps=eps, norm=norm, target=target, settings=settings, eps_by_value=False, **options)


def _search(batch, rows, target, norm, steps, eps, best, names):
    """Search once. target: (len(rows),) classes, -1 for the nearest of all."""
    x = batch.x[rows]
    z = _start(batch, rows, norm, eps, best, names)
    low, high = batch.victim.bounds
    for _ in range(steps):
        f, g = _nearest(batch, rows, z, norm) if len(rows) and target[0] < 0 else _boundary(batch, rows, z, target)
        # Leaning back before anything was found can hold a point where the wanted class is never reached.
        lean = LEAN if batch.target is None else np.where(np.isfinite(best[rows]), LEAN, 0)
        z = step(z, x, f, g, norm, low, high, lean)
        fools = batch.asks(rows, z)
        batch.shrink(rows, z, fools, size(z.astype(np.float64) - x, norm), best)
        z = np.where(column(fools, z), x + BACKWARD * (z - x), z).astype(x.dtype)
        batch.steps[rows] += 1


def step(z, x: Images, f, g, norm: Norm, low, high, lean=LEAN):
    """Return the points after one step from z: x clean images, f = logit of the target - logit of y at z, g its gradient.

    lean: the largest share of the way back to x, one number or one for each image.
    """
    w = flat(g).astype(np.float64)
    points, origin = flat(z).astype(np.float64), flat(x).astype(np.float64)
    b = (w * points).sum(axis=1) - f
    d_point, d_origin = project(points, w, b, norm, low, high), project(origin, w, b, norm, low, high)
    a_point, a_origin = (np.maximum(size(d, norm), 1e-8) for d in (d_point, d_origin))
    lean = np.minimum(a_point / (a_point + a_origin), lean)[:, None]
    moved = (points + OVERSHOOT * d_point) * (1 - lean) + (origin + OVERSHOOT * d_origin) * lean
    return np.clip(moved, low, high).reshape(z.shape).astype(z.dtype)


def _boundary(batch, rows, z, target):
    """Return z_target - z_y (N,) and its gradient with respect to the image. For a wanted class, y is the likeliest other
    class."""
    def likeliest_other(logits):
        others = logits.copy()
        others[np.arange(len(rows)), target] = -np.inf
        return others.argmax(axis=1)

    return batch.difference(rows, z, target, batch.y[rows] if batch.target is None else likeliest_other)


def _nearest(batch, rows, z, norm):
    """Return z_k - z_y (N,) and its gradient for the class k != y whose linearised boundary is the nearest."""
    nearest, f, g = np.full(len(rows), np.inf), np.zeros(len(rows)), np.zeros(z.shape)
    for shift in range(1, batch.victim.n_classes):
        value, gradient = batch.difference(rows, z, (batch.y[rows] + shift) % batch.victim.n_classes, batch.y[rows])
        distance = np.abs(value) / (1e-12 + size(gradient, DUAL[norm]))
        better = distance < nearest
        nearest, f = np.where(better, distance, nearest), np.where(better, value, f)
        g = np.where(column(better, g), gradient, g)
    return f, g


def _start(batch, rows, norm, eps, best, names):
    """The clean images; for further restarts a random point at half the distance known so far."""
    if names[-1] == 0:
        return batch.x[rows]
    radius = np.minimum(best[rows], {"linf": 0.3, "l2": 1.0, "l1": 5.0}[norm] if eps is None else rows_of(eps, rows)) / 2
    d = batch.streams.take(rows).normal(batch.x.shape[1:], *names, "start")
    d = d * column(radius / size(d, norm), d)
    return np.clip(batch.x[rows] + d, *batch.victim.bounds).astype(batch.x.dtype)
