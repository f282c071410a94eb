"""Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a Simple and Accurate Method to Fool Deep Neural Networks" (CVPR 2016)."""
from typing import Any, Unpack

import numpy as np

from tinyvgg.attacks.checks import count, number
from tinyvgg.attacks.norms import column, parse_norm, size
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.errors import OptionError
from tinyvgg.types import Images, Labels, Norm, RunOptions, Target

BEYOND = 1e-5               # of the range of values: how far beyond a boundary a step aims, so that no rounding undoes it


def deepfool(model: Any, x: Images, y: Labels | None, *, norm: Norm = "l2", steps: int = 50, candidates: int = 10,
             overshoot: float = 0.02, target: Target | None = None, **options: Unpack[RunOptions]) -> AttackResult:
    """Move each image to the nearest boundary between classes (linearised), again and again until the class changes.

    This is a fast estimate of the smallest distance.

    norm: l2 or linf. candidates: how many of the most likely classes are considered (each costs a gradient). overshoot: relative
    distance beyond the boundary. Further options: see run. Returns an AttackResult.
    """
    norm, steps, candidates = parse_norm(norm), count(steps, "steps"), count(candidates, "candidates", least=2)
    overshoot = number(overshoot, "overshoot", zero=True)
    if norm == "l1":
        raise OptionError("deepfool does l2 and linf; got l1")

    def attack(batch):
        rows = np.flatnonzero(~batch.fooled)
        if not len(rows):
            return
        start = batch.logits(rows, batch.x[rows]).copy()
        start[np.arange(len(rows)), batch.y[rows]] = np.inf
        rivals = np.argsort(-start, axis=1, kind="stable")[:, 1:candidates]
        _search(batch, rows, batch.target[rows][:, None] if batch.target is not None else rivals, norm, steps, overshoot)

    settings = {"steps": steps, "candidates": candidates, "overshoot": overshoot}
    return run("deepfool", attack, model, x, y, norm=norm, target=target, settings=settings, **options)


def _search(batch, rows, rivals, norm, steps, overshoot):
    """Add up the steps r from x; z = x + (1 + overshoot) r. rivals: (len(rows), R) classes whose boundaries count."""
    low, high = batch.victim.bounds
    total = np.zeros((len(rows), *batch.x.shape[1:]))
    best = np.where(batch.fooled, 0, np.inf)
    z = batch.x[rows]
    for _ in range(steps):
        total += _nearest(batch, rows, z, rivals, norm)
        z = np.clip(batch.x[rows] + (1 + overshoot) * total, low, high).astype(batch.x.dtype)
        batch.steps[rows] += 1
        fools = batch.asks(rows, z)
        batch.shrink(rows, z, fools, size(z.astype(np.float64) - batch.x[rows], norm), best)
        rows, rivals, total, z = rows[~fools], rivals[~fools], total[~fools], z[~fools]
        if not len(rows):
            return


def _nearest(batch, rows, z, rivals, norm):
    """Return the shortest step to a linearised boundary between y and one of the rivals."""
    beyond = BEYOND * (batch.victim.bounds[1] - batch.victim.bounds[0])
    best, steps = np.full(len(rows), np.inf), np.zeros(z.shape)
    for r in range(rivals.shape[1]):
        f, g = batch.difference(rows, z, rivals[:, r], batch.y[rows])
        f, g = np.abs(f), g.astype(np.float64)
        dual = np.maximum(size(g, "l1" if norm == "linf" else "l2"), 1e-12)
        distance = f / dual
        nearer = distance < best
        way = np.sign(g) if norm == "linf" else g / column(dual, g)
        steps[nearer] = (column(distance + beyond, g) * way)[nearer]
        best[nearer] = distance[nearer]
    return steps
