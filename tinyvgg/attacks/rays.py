"""RayS: Chen and Gu, "RayS: a Ray Searching Method for Hard-label Adversarial Attack" (KDD 2020).

It needs only labels. It searches for the signs of the L-inf direction with the nearest boundary, in blocks of values that are
halved again and again.
"""
from typing import Any, Unpack

import numpy as np

from tinyvgg.attacks.checks import count
from tinyvgg.attacks.norms import Ball, column, flat, parse_radii
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.types import Eps, Images, Labels, RunOptions, Target

FINE = 1e-3                 # of the range: how exactly a distance is bisected


def rays(model: Any, x: Images, y: Labels | None, *, eps: Eps | None = None, queries: int = 1000, target: Target | None = None,
         **options: Unpack[RunOptions]) -> AttackResult:
    """Look for the nearest adversarial image in L-inf using only labels, up to `queries` for each image.

    eps: None keeps the nearest at any distance; with a radius, the search stops at an image once it is fooled within it.
    Further options: see run. Returns an AttackResult.
    """
    eps, queries = None if eps is None else parse_radii(eps), count(queries, "queries")

    def attack(batch):
        rows = np.flatnonzero(~batch.fooled)
        if len(rows):
            _search(batch, rows, queries, None if batch.eps is None else np.broadcast_to(batch.eps, len(batch.x)))
        if batch.eps is not None:
            batch.adv[~batch.fooled] = batch.x[~batch.fooled]

    return run("rays", attack, model, x, y, eps=eps, norm="linf", target=target, settings={"queries": queries},
               eps_by_value=False, **options)


def _search(batch, rows, queries, eps):
    """Flip one block of signs after another, in blocks of a half, a quarter, ... of all values."""
    low, high = batch.victim.bounds
    dimension = flat(batch.x).shape[1]
    signs = np.ones((len(rows), dimension))
    best = np.full(len(rows), np.inf)
    best = _shorten(batch, rows, signs, best, eps, queries)
    level, block = 1, 0
    while True:
        going = (batch.queries[rows] < queries) & ((best > eps[rows]) if eps is not None else True)
        rows, signs, best = rows[going], signs[going], best[going]
        if not len(rows):
            return
        width = -(-dimension // level)
        trial = signs.copy()
        trial[:, block * width:(block + 1) * width] *= -1
        found = _shorten(batch, rows, trial, best, eps, queries)
        signs, best = np.where((found < best)[:, None], trial, signs), np.minimum(found, best)
        batch.steps[rows] += 1
        block += 1
        if block * width >= dimension:
            level, block = min(level * 2, dimension), 0


def _shorten(batch, rows, signs, best, eps, queries):
    """Return the distance at which each direction fools if that is less than `best`, else `best`; keep the images. Where an image
    has no queries left, the shortest distance so far counts.
    """
    low, high = batch.victim.bounds
    far = np.minimum(best, high - low)
    fools = _asks(batch, rows, signs, far, eps)
    near, at = np.zeros(len(rows)), np.flatnonzero(fools & (batch.queries[rows] < queries))
    far = far.copy()
    while len(at):
        middle = (near[at] + far[at]) / 2
        hit = _asks(batch, rows[at], signs[at], middle, eps)
        far[at[hit]], near[at[~hit]] = middle[hit], middle[~hit]
        at = at[far[at] - near[at] > FINE * (high - low)]
        at = at[batch.queries[rows[at]] < queries]
    return np.where(fools, far, best)


def _asks(batch, rows, signs, radius, eps):
    """Ask for x + radius * signs, in the box, and keep it where it fools (within eps, where eps is given)."""
    x = batch.x[rows]
    low, high = batch.victim.bounds
    z = np.clip(x + column(radius, x) * signs.reshape(x.shape), low, high).astype(x.dtype)
    if eps is not None:
        inside = radius <= eps[rows]
        z[inside] = Ball(x[inside], eps[rows][inside], "linf", (low, high)).project(z[inside])
    fools = batch.asks(rows, z)
    kept = fools if eps is None else fools & inside
    batch.adv[rows[kept]], batch.fooled[rows[kept]] = z[kept], True
    return fools
