"""HopSkipJump: Chen, Jordan, Wainwright, "HopSkipJumpAttack: a Query-efficient Decision-based Attack" (IEEE S&P 2020).

It needs only labels. It walks along the decision boundary; the gradient is estimated from the side on which random points fall.
"""
from typing import Any, Unpack

import numpy as np

from tinyvgg.attacks.checks import checked_images, count
from tinyvgg.attacks.norms import column, flat, parse_norm, size
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.attacks.victim import Victim
from tinyvgg.errors import DataError, OptionError
from tinyvgg.report.record import sha256_arrays
from tinyvgg.types import Images, Labels, Norm, RunOptions, Target

# Of the distance: how exactly the boundary is found, and how far a draw goes in l2 (for linf of the distance of the cube's corner).
# A draw crosses the boundary by its part along the gradient alone, its length divided by the square root of the dimension: where the
# boundary is known less exactly than that, all draws fall on one side, and tell no gradient.
FINE = {"l2": 2e-4, "linf": 1e-4}
RADIUS = {"l2": 0.01, "linf": 0.003}

def hopskipjump(model: Any, x: Images, y: Labels | None, *, norm: Norm = "l2", steps: int = 20, draws: int = 100,
                most_draws: int = 1000, tries: int = 50, target: Target | None = None, start: Images | None = None,
                **options: Unpack[RunOptions]) -> AttackResult:
    """Look for a near adversarial image using only labels, in `steps` walks with draws * sqrt(step) labels each.

    norm: l2 or linf. tries: how many random images to try as a start. start: (N, ...) adversarial images to start from instead
    (usually needed with a target). most_draws: upper limit for one estimate. Further options: see run; budget= counts labels.
    Returns an AttackResult.
    """
    norm, steps, draws, tries = parse_norm(norm), count(steps, "steps"), count(draws, "draws"), count(tries, "tries")
    most_draws = count(most_draws, "most_draws")
    if norm == "l1":
        raise OptionError("hopskipjump does l2 and linf; got l1")
    given = _by_image(model, x, start)

    def attack(batch):
        rows = np.flatnonzero(~batch.fooled)
        best = np.where(batch.fooled, 0, np.inf)
        z, found = _begin(batch, rows, tries, given)
        rows, z = rows[found], z[found]
        for i in range(1, steps + 1):
            if not len(rows):
                return
            z = _to_boundary(batch, rows, z, norm)
            distance = _note(batch, rows, z, norm, best)
            g = _estimate(batch, rows, z, norm, distance, min(int(draws * np.sqrt(i)), most_draws), i)
            z = _leap(batch, rows, z, g, distance / np.sqrt(i))
            batch.steps[rows] += 1
        z = _to_boundary(batch, rows, z, norm)
        _note(batch, rows, z, norm, best)

    settings = {"steps": steps, "draws": draws, "most_draws": most_draws, "tries": tries}
    if given:
        settings["start_sha256"] = sha256_arrays(np.asarray(start))
    return run("hopskipjump", attack, model, x, y, norm=norm, target=target, settings=settings, **options)


def _by_image(model, x, start):
    """Return {bytes of an image: its starting image}, both as the attack sees them, or raise DataError, ShapeError."""
    if start is None:
        return {}
    victim = Victim(model)
    x, start = checked_images(x, victim), checked_images(start, victim)
    if x.shape != start.shape:
        raise DataError(f"start has shape {start.shape}; expected {x.shape}", "one starting image for each image")
    return {np.float32(a).tobytes(): b for a, b in zip(x, start, strict=True)}


def _begin(batch, rows, tries, given):
    """Return starting images and which of them fool: those given, else uniform random ones."""
    low, high = batch.victim.bounds
    z = np.stack([given.get(np.float32(batch.x[r]).tobytes(), batch.x[r]) for r in rows]) if len(rows) else batch.x[rows]
    found = batch.asks(rows, z) if given and len(rows) else np.zeros(len(rows), bool)
    for i in range(tries):
        missing = np.flatnonzero(~found)
        if not len(missing):
            break
        at = rows[missing]
        drawn = batch.streams.take(at).uniform(batch.x.shape[1:], "begin", i, low=low, high=high).astype(batch.x.dtype)
        fools = batch.asks(at, drawn)
        z[missing[fools]], found[missing[fools]] = drawn[fools], True
    return z.astype(batch.x.dtype), found


def _note(batch, rows, z, norm, best):
    distance = size(z.astype(np.float64) - batch.x[rows], norm)
    batch.shrink(rows, z, np.ones(len(rows), bool), distance, best)
    return distance


def _to_boundary(batch, rows, z, norm):
    """Bisect between x and z for the nearest point that still fools: on the segment for l2, clipped to a cube for linf."""
    x = batch.x[rows].astype(np.float64)
    d = z.astype(np.float64) - x
    high = np.ones(len(rows)) if norm == "l2" else size(d, "linf")
    low = np.zeros(len(rows))
    blend = (lambda s: x + column(s, d) * d) if norm == "l2" else (lambda s: x + np.clip(d, -column(s, d), column(s, d)))
    tolerance = high * FINE[norm]
    while (going := high - low > tolerance).any():
        middle = (low + high) / 2
        at = np.flatnonzero(going)
        fools = batch.asks(rows[at], blend(middle)[at].astype(batch.x.dtype))
        high[at[fools]], low[at[~fools]] = middle[at[fools]], middle[at[~fools]]
    result = blend(high).astype(batch.x.dtype)
    return np.where(column(high >= (1 if norm == "l2" else size(d, "linf")), d), z, result)


def _estimate(batch, rows, z, norm, distance, draws, i):
    """Return the direction in which the share of fooling points grows, from labels of random points near z."""
    low, high = batch.victim.bounds
    dimension = flat(z).shape[1]
    radius = distance * RADIUS[norm] * (1 if norm == "l2" else np.sqrt(dimension))
    radius = np.maximum(radius, 1e-4 * (high - low) * np.sqrt(dimension) if i == 1 else 1e-6)
    streams, total, votes, sides = batch.streams.take(rows), 0.0, 0.0, []
    for k in range(draws):
        name = (i, "draw", k)
        u = streams.normal(z.shape[1:], *name) if norm == "l2" else streams.uniform(z.shape[1:], *name, low=-1, high=1)
        u /= column(size(u, "l2"), u)
        point = np.clip(z + column(radius, u) * u, low, high)
        u = (point - z) / column(radius, u)
        side = np.where(batch.asks(rows, point.astype(z.dtype)), 1.0, -1.0)
        total, votes = total + u, votes + column(side, u) * u
        sides.append(side)
    mean = np.mean(sides, axis=0)
    g = np.where(column(np.abs(mean) == 1, z), votes, votes - column(mean, z) * total)
    return np.sign(g) if norm == "linf" else g / column(np.maximum(size(g, "l2"), 1e-12), g)


def _leap(batch, rows, z, g, length):
    """Go along g as far as `length`, halved until the point fools; stay where none does."""
    low, high = batch.victim.bounds
    result, going = z.copy(), np.arange(len(rows))
    for _ in range(20):
        if not len(going):
            break
        point = np.clip(z[going] + column(length[going], z) * g[going], low, high).astype(z.dtype)
        fools = batch.asks(rows[going], point)
        result[going[fools]] = point[fools]
        length = length / 2
        going = going[~fools]
    return result
