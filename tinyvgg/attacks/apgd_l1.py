"""APGD in L1: Croce and Hein, "Mind the Box: l1-APGD for Sparse Adversarial Attacks on Image Classifiers" (ICML 2021).

A step follows the signs of the largest gradients, and is projected on the intersection of l1-ball and box. How many gradients
count depends on how sparse the best point is. The search begins in balls of three and two times the radius.
"""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.attacks.batch import Rows
from tinyvgg.attacks.norms import Ball, column, flat, rows_of, size

WIDER = (3, 2, 1)           # times eps: the balls that are searched in turn
PARTS = 0.3                 # of all steps, in each of the wider balls
WINDOW = 0.04               # of a ball's steps: between two checkpoints
DENSER = 1.5                # a step changes the number of values that the best point changes, divided by this
SPARSER = 0.95              # where the best point has become sparser than this, the step is long again
SHORTER, SHORTEST = 1.5, 10  # else it is divided by the first, down to eps divided by the second


@dataclass
class _State(Rows):
    rows: np.ndarray
    z: np.ndarray
    g: np.ndarray
    best: np.ndarray
    best_g: np.ndarray
    best_value: np.ndarray
    step: np.ndarray
    share: np.ndarray           # of the values, that a step changes
    changed: np.ndarray         # values of the best point, at the last checkpoint


def phases(steps):
    """Return [(times eps, steps)] of the balls that are searched in turn."""
    first = math.ceil(PARTS * steps)
    rest = steps - 2 * first
    return list(zip(WIDER, (first, first, rest), strict=True)) if rest > 0 else [(1, steps)]


def search(batch, rows, loss, steps, toward, names, early_stop=True, start=None):
    """Search the images `rows` once, from a random start or from start (N, ...). toward: (N,) classes, or None."""
    eps = rows_of(batch.eps, rows)
    z = start[rows] if start is not None else batch.x[rows] + batch.streams.take(rows).normal(batch.x.shape[1:], *names, "start")
    for wider, count in phases(steps):
        ball = Ball(batch.x[rows], wider * eps, "l1", batch.victim.bounds)
        z = _in_one_ball(batch, ball, rows, ball.project(z.astype(batch.x.dtype)), loss, count, toward, (*names, wider),
                         offers=wider == 1, early_stop=early_stop)


def _in_one_ball(batch, ball, rows, z, loss, steps, toward, names, *, offers, early_stop):
    """Search one ball from z; return the best points. offers: whether its points count, which those of wider balls do not."""
    fools, value, g = _climb(batch, rows, z, loss, toward, (*names, -1), offers)
    changed = size(z - ball.x, "l0")
    dimension = flat(z).shape[1]
    s = _State(rows, z, g, z, g, value, ball.lengths(1), changed / dimension / DENSER, changed)
    window = max(int(WINDOW * steps), 1)
    for i in range(steps):
        if offers and early_stop:
            s.keep(~fools)
            ball = ball.take(~fools)
        if not len(s.rows):
            break
        moved = s.z + column(s.step, s.z) * _sparse_signs(s.g, s.share)
        s.z = ball.project(moved.astype(s.z.dtype))
        fools, value, s.g = _climb(batch, s.rows, s.z, loss, toward, (*names, i), offers)
        batch.steps[s.rows] += 1
        better = value > s.best_value
        wide = column(better, s.z)
        s.best, s.best_g = np.where(wide, s.z, s.best), np.where(wide, s.g, s.best_g)
        s.best_value = np.where(better, value, s.best_value)
        if (i + 1) % window == 0:
            _check(s, ball, dimension)
    return s.best


def _climb(batch, rows, z, loss, toward, names, offers):
    logits, value, g = batch.climb(rows, z, loss, *names, toward=None if toward is None else toward[rows])
    return batch.offer(rows, z, logits, value) if offers else np.zeros(len(rows), bool), value, g


def _sparse_signs(g, share):
    """Return the signs of the largest `share` (N,) of the values of g, together of length 1 in l1."""
    size_of = np.abs(flat(g))
    dimension = size_of.shape[1]
    at = np.clip((1 - share) * dimension, 0, dimension - 1).astype(np.int64)
    least = np.sort(size_of, axis=1)[np.arange(len(g)), at]
    signs = np.sign(flat(g)) * (size_of >= least[:, None])
    return (signs / np.maximum(np.abs(signs).sum(axis=1), 1)[:, None]).reshape(g.shape)


def _check(s, ball, dimension):
    """Take the share of the best point; where it became sparser, go on from it with the longest step, else with a shorter one."""
    changed, longest = size(s.best - ball.x, "l0"), ball.lengths(1)
    sparser = changed < SPARSER * s.changed
    s.share, s.changed = changed / dimension / DENSER, changed
    s.step = np.clip(np.where(sparser, longest, s.step / SHORTER), longest / SHORTEST, longest)
    wide = column(sparser, s.z)
    s.z, s.g = np.where(wide, s.best, s.z), np.where(wide, s.best_g, s.g)
