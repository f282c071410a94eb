"""C&W-L2: Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks" (IEEE S&P 2017)."""
from typing import Any, Unpack

import numpy as np

from tinyvgg.attacks.checks import count, number
from tinyvgg.attacks.losses import margin
from tinyvgg.attacks.norms import column, flat, size
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.types import Images, Labels, RunOptions, Target

INSIDE = 0.999999           # clean values are moved this much inside the box, where tanh can reach them


def cw(model: Any, x: Images, y: Labels | None, *, steps: int = 1000, searches: int = 9, rate: float = 0.01,
       constant: float = 1e-3, confidence: float = 0.0, target: Target | None = None,
       **options: Unpack[RunOptions]) -> AttackResult:
    """Look for the nearest adversarial image in L2 by an optimizer (Adam); strong and slow.

    It minimises |z - x|^2 + c * max(0, z_y - max of the others + confidence) over w, where z = tanh(w) scaled to the box.
    c starts at `constant` and is searched for each image, in `searches` rounds of `steps` steps of length `rate`.
    The nearest image that fools the model with a margin of `confidence` is kept. Further options: see run. Returns an
    AttackResult.
    """
    steps, searches, rate = count(steps, "steps"), count(searches, "searches"), number(rate, "rate")
    constant, confidence = number(constant, "constant"), number(confidence, "confidence", zero=True)

    def attack(batch):
        rows = np.flatnonzero(~batch.fooled)
        best = np.where(batch.fooled, 0, np.inf)
        low, high = np.zeros(len(batch.x)), np.full(len(batch.x), np.inf)
        c = np.full(len(batch.x), float(constant))
        for _ in range(searches):
            if not len(rows):
                return
            fooled = _descend(batch, rows, c[rows], steps, rate, confidence, best)
            hit, miss = rows[fooled], rows[~fooled]
            high[hit], low[miss] = c[hit], c[miss]
            c[rows] = np.where(np.isinf(high[rows]), c[rows] * 10, (low[rows] + high[rows]) / 2)

    settings = {"steps": steps, "searches": searches, "rate": rate, "constant": constant, "confidence": confidence}
    return run("cw", attack, model, x, y, norm="l2", target=target, settings=settings, **options)


def _descend(batch, rows, c, steps, rate, confidence, best):
    """One round with constants c; return which images were fooled in it. An image's round ends when its loss stops falling."""
    low, high = batch.victim.bounds
    middle, half = (low + high) / 2, (high - low) / 2
    x = batch.x[rows].astype(np.float64)
    w = np.arctanh((x - middle) / half * INSIDE)
    m, v = np.zeros_like(w), np.zeros_like(w)
    found, last, at = np.zeros(len(rows), bool), np.full(len(rows), np.inf), np.arange(len(rows))
    for i in range(1, steps + 1):
        t = np.tanh(w)
        z = (middle + half * t).astype(batch.x.dtype)
        value, g = _margin_gradient(batch, rows, z, confidence)
        hit = value > confidence if confidence > 0 else value > 0
        d = z - x
        batch.shrink(rows, z, hit, size(d, "l2"), best)
        found[at[hit]] = True
        if i % max(steps // 10, 1) == 0:
            total = (flat(d) ** 2).sum(axis=1) + c * np.maximum(confidence - value, 0)
            falls = total <= 0.9999 * last
            rows, at, c, last, x, w, m, v, g, t, d = (a[falls] for a in (rows, at, c, total, x, w, m, v, g, t, d))
            if not len(rows):
                break
        dw = (2 * d - column(c, g) * g) * half * (1 - t ** 2)
        m, v = 0.9 * m + 0.1 * dw, 0.999 * v + 0.001 * dw ** 2
        w -= rate * (m / (1 - 0.9 ** i)) / (np.sqrt(v / (1 - 0.999 ** i)) + 1e-8)
        batch.steps[rows] += 1
    return found


def _margin_gradient(batch, rows, z, confidence):
    """Return how far each image is beyond the boundary, and the gradient of that where it is not far enough."""
    seen = {}

    def direction(logits):
        seen["value"], g = margin(logits, batch.y[rows], batch.targets(rows))
        return g * (seen["value"] <= confidence)[:, None]

    _, g = batch.victim.vjp(batch.masked(rows, z), direction)
    batch.queries[rows] += 1
    return seen["value"].astype(np.float64), batch.masked(rows, g.astype(np.float64), 0)
