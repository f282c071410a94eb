"""Auto-PGD: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks"
(ICML 2020).

Steps with momentum, of length 2 eps at first. At checkpoints where the loss has not risen often enough, the length is halved and
the search continues from the best point. apgd climbs cross-entropy or DLR; apgd_t climbs the targeted DLR towards the most likely
wrong classes, one after another.
"""
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np

from tinyvgg.attacks import losses
from tinyvgg.attacks.apgd_l1 import search as search_l1
from tinyvgg.attacks.batch import Rows
from tinyvgg.attacks.checks import count
from tinyvgg.attacks.norms import Ball, column, parse_norm, parse_radii, size
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.types import Eps, Images, Labels, Norm, RunOptions, Target

MOMENTUM = 0.75             # weight of the new step against the last one
RISES = 0.75                # share of steps that must have raised the loss for the step length to stay
FIRST, SHRINK, LEAST = 0.22, 0.03, 0.06         # of all steps: the first checkpoint's window, how windows shrink, the smallest


def apgd(model: Any, x: Images, y: Labels | None, *, eps: Eps, norm: Norm = "linf", steps: int = 100,
         loss: Literal["ce", "ce_plain", "margin", "dlr"] = "ce", restarts: int = 1, early_stop: bool = True,
         target: Target | None = None, **options: Unpack[RunOptions]) -> AttackResult:
    """Change each image in `steps` steps so that `loss` (ce, dlr, margin) grows, from a random start; the step length adapts itself.

    norm: linf, l2 or l1 (see apgd_l1). early_stop: stop at an image once it is fooled; False searches on for the strongest point.
    Further options: see run. Returns an AttackResult.
    """
    eps, norm, steps, restarts = parse_radii(eps), parse_norm(norm), count(steps, "steps"), count(restarts, "restarts")
    climbed = losses.get(loss)

    def attack(batch):
        for restart in range(restarts):
            _search(batch, norm, climbed, steps, None, (restart,), early_stop)

    return run("apgd", attack, model, x, y, eps=eps, norm=norm, target=target,
               settings={"steps": steps, "loss": loss, "restarts": restarts, "early_stop": early_stop}, **options)


def apgd_t(model: Any, x: Images, y: Labels | None, *, eps: Eps, norm: Norm = "linf", steps: int = 100, targets: int = 9,
           restarts: int = 1, early_stop: bool = True, **options: Unpack[RunOptions]) -> AttackResult:
    """Change each image towards each of the `targets` most likely wrong classes (targeted DLR loss); any wrong class is a success.

    norm: linf, l2 or l1. early_stop: as in apgd. Needs at least four classes. Further options: see run. Returns an AttackResult.
    """
    eps, norm, steps = parse_radii(eps), parse_norm(norm), count(steps, "steps")
    targets, restarts = count(targets, "targets"), count(restarts, "restarts")

    def attack(batch):
        order = ranked_classes(batch)
        for rank in range(min(targets, order.shape[1])):
            for restart in range(restarts):
                _search(batch, norm, losses.dlr, steps, order[:, rank], (rank, restart), early_stop)

    return run("apgd_t", attack, model, x, y, eps=eps, norm=norm,
               settings={"steps": steps, "targets": targets, "restarts": restarts, "early_stop": early_stop}, **options)


def ranked_classes(batch):
    """Return (N, K - 1): each image's wrong classes, the most likely first."""
    rows = np.arange(len(batch.x))
    logits = batch.logits(rows, batch.x).copy()
    logits[rows, batch.y] = -np.inf
    return np.argsort(-logits, axis=1, kind="stable")[:, :-1]


@dataclass
class _State(Rows):
    rows: np.ndarray
    z: np.ndarray
    before: np.ndarray          # the point before z, for the momentum
    g: np.ndarray
    value: np.ndarray
    best: np.ndarray
    best_g: np.ndarray
    best_value: np.ndarray
    checked_value: np.ndarray   # best_value at the last checkpoint
    step: np.ndarray
    rises: np.ndarray           # since the last checkpoint
    halved: np.ndarray          # at the last checkpoint


def windows(steps: int):
    """Yield (step after which a checkpoint comes, counted from 0; length of the window before it)."""
    length, i = max(int(FIRST * steps), 1), 0
    while i + length <= steps:
        i += length
        yield i - 1, length
        length = max(length - max(int(SHRINK * steps), 1), max(int(LEAST * steps), 1))


def _search(batch, norm, loss, steps, toward, names, early_stop=True, start=None, trace=None):
    """Search once from a random start, with early_stop for the images that are not fooled yet. toward: (N,) classes, or None."""
    rows = np.flatnonzero(~batch.fooled | (not early_stop))
    if not len(rows):
        return
    if norm == "l1":
        return search_l1(batch, rows, loss, steps, toward, names, early_stop, start)
    ball = Ball(batch.x, batch.eps, norm, batch.victim.bounds).take(rows)
    z = _on_sphere(ball, batch.streams.take(rows), names) if start is None else start[rows]
    logits, value, g = batch.climb(rows, z, loss, *names, -1, toward=None if toward is None else toward[rows])
    fools = batch.offer(rows, z, logits, value)
    n = len(rows)
    # The first step counts as a rise if the loss is above 0 after it, as in the authors' code; cross-entropy always is.
    first = np.zeros(n) if loss is losses.dlr else np.full(n, -np.inf)
    s = _State(rows, z, z, g, first, z, g, value, value, ball.lengths(2), np.zeros(n, np.int64), np.ones(n, bool))
    checkpoints = dict(windows(steps))
    for i in range(steps):
        if early_stop:
            s.keep(~fools)
            ball = ball.take(~fools)
        if not len(s.rows):
            return
        fools = _step(batch, ball, s, i, loss, toward, names)
        if trace is not None:
            trace.append((s.rows.copy(), s.value.copy(), s.best_value.copy(), s.step.copy()))
        if i in checkpoints:
            _check(s, checkpoints[i])


def _step(batch, ball, s, i, loss, toward, names):
    """Move every point once; return which ones fool."""
    moved, share = ball.move(s.z, s.g, s.step), MOMENTUM if i else 1.0
    moved = ball.project((s.z + (moved - s.z) * share + (s.z - s.before) * (1 - share)).astype(s.z.dtype))
    s.before, s.z = s.z, moved
    logits, value, s.g = batch.climb(s.rows, s.z, loss, *names, i, toward=None if toward is None else toward[s.rows])
    batch.steps[s.rows] += 1
    fools = batch.offer(s.rows, s.z, logits, value)
    s.rises += value > s.value
    s.value = value
    better = value > s.best_value
    wide = column(better, s.z)
    s.best, s.best_g = np.where(wide, s.z, s.best), np.where(wide, s.g, s.best_g)
    s.best_value = np.where(better, value, s.best_value)
    return fools


def _check(s, window):
    """Halve the step where the loss rose too rarely, or where nothing was halved last time and the best is still the same."""
    halve = (s.rises <= RISES * window) | (~s.halved & (s.best_value <= s.checked_value))
    s.step = np.where(halve, s.step / 2, s.step)
    wide = column(halve, s.z)
    s.z, s.g = np.where(wide, s.best, s.z), np.where(wide, s.best_g, s.g)
    s.halved, s.checked_value, s.rises = halve, s.best_value, np.zeros_like(s.rises)


def _on_sphere(ball, streams, names):
    """Return x plus a random direction of length eps, cut with the box."""
    shape = ball.x.shape[1:]
    d = streams.uniform(shape, *names, "start", low=-1, high=1) if ball.norm == "linf" else streams.normal(shape, *names, "start")
    return ball.project((ball.x + ball.wide * d / column(size(d, ball.norm), d)).astype(ball.x.dtype))
