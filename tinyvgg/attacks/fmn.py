"""Fast minimum norm: Pintor et al., "Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints" (NeurIPS 2021)."""
from typing import Any, Unpack

import numpy as np

from tinyvgg.attacks.checks import count, number
from tinyvgg.attacks.losses import margin
from tinyvgg.attacks.norms import column, flat, parse_norm, shorten, size
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.types import Images, Labels, Norm, RunOptions, Target

DUAL = {"linf": "l1", "l2": "l2", "l1": "linf"}


def fmn(model: Any, x: Images, y: Labels | None, *, norm: Norm = "l2", steps: int = 200, step: float = 1.0, gamma: float = 0.05,
        target: Target | None = None, **options: Unpack[RunOptions]) -> AttackResult:
    """Find the nearest adversarial image by steps that are projected on a ball whose radius follows the boundary.

    The radius shrinks by gamma if the point fools, else it grows. The step length (`step`, as a share of the range of values) and
    gamma decrease to a hundredth along a cosine. norm: linf, l2 or l1. Further options: see run. Returns an
    AttackResult.
    """
    norm, steps, step, gamma = parse_norm(norm), count(steps, "steps"), number(step, "step"), number(gamma, "gamma", most=1)

    def attack(batch):
        rows = np.flatnonzero(~batch.fooled)
        if len(rows):
            _search(batch, rows, norm, steps, step, gamma)

    settings = {"steps": steps, "step": step, "gamma": gamma}
    return run("fmn", attack, model, x, y, norm=norm, target=target, settings=settings, **options)


def _search(batch, rows, norm, steps, step, gamma):
    low, high = batch.victim.bounds
    x = batch.x[rows]
    z, d = x, np.zeros(x.shape)
    best = np.where(batch.fooled, 0, np.inf)
    eps = np.full(len(rows), np.inf)
    for i in range(steps):
        fade = 0.01 + 0.99 * (1 + np.cos(np.pi * i / steps)) / 2
        logits, value, g = batch.climb(rows, z, margin, i)
        fools, length = batch.fools(rows, logits), size(d, norm)
        batch.shrink(rows, z, fools, size(z.astype(np.float64) - x, norm), best)
        known = np.isfinite(best[rows])
        to_boundary = length + np.abs(value) / np.maximum(size(g, DUAL[norm]), 1e-12)
        grown = np.where(np.isfinite(eps), eps, 0) * (1 + gamma * fade)
        outside = np.where(known, grown, np.maximum(to_boundary, grown))
        outside = np.where(known, np.minimum(outside, best[rows]), outside)
        eps = np.where(fools, np.minimum(eps, length) * (1 - gamma * fade), outside)
        way = g / column(np.maximum(size(g, "l2"), 1e-12), g)
        d = _into_balls(d + step * (high - low) * fade * way, eps, norm)
        z = np.clip(x + d, low, high).astype(x.dtype)
        d = z.astype(np.float64) - x
        batch.steps[rows] += 1
    batch.shrink(rows, z, batch.asks(rows, z), size(d, norm), best)


def _into_balls(d, eps, norm):
    """Shorten each row of d to its own radius."""
    if norm == "linf":
        return np.clip(d, -column(eps, d), column(eps, d))
    if norm == "l2":
        return shorten(d, eps, "l2")
    rows = [shorten(row[None], radius, "l1")[0] if np.isfinite(radius) else row for row, radius in zip(flat(d), eps, strict=True)]
    return np.stack(rows).reshape(d.shape)
