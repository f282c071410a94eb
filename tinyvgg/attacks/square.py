"""Andriushchenko et al., "Square Attack: a Query-efficient Black-box Adversarial Attack via Random Search" (ECCV 2020).

It needs only scores: it sets a random square of the image to the edge of the ball and keeps the change if the margin falls.
"""
from typing import Any, Unpack

import numpy as np

from tinyvgg.attacks.checks import count, number
from tinyvgg.attacks.losses import margin
from tinyvgg.attacks.norms import Ball, column, parse_norm, parse_radii, size
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.errors import ShapeError
from tinyvgg.types import Eps, Images, Labels, Norm, RunOptions, Target

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)         # of 10,000 queries: when the share of changed pixels halves


def square(model: Any, x: Images, y: Labels | None, *, eps: Eps, norm: Norm = "linf", queries: int = 5000, share: float = 0.8,
           restarts: int = 1, rescale: bool = False, early_stop: bool = True, target: Target | None = None,
           **options: Unpack[RunOptions]) -> AttackResult:
    """Change random squares of each image and keep what helps; up to `queries` queries for each image, in each of `restarts`.

    x (N, H, W, C), or for linf also series (N, W, C) and vectors (N, C), in which a square is a run of positions. norm: linf, l2
    or l1 (Croce and Hein, ICML 2021). share: the share of pixels in the first squares. rescale: stretch the schedule of shares,
    which is for 10,000 queries, to `queries` (default: no, as in AutoAttack). early_stop: stop at an image once it is fooled;
    False searches on for the largest margin. Further options: see run. Returns an AttackResult.
    """
    eps, norm, queries, restarts = parse_radii(eps), parse_norm(norm), count(queries, "queries"), count(restarts, "restarts")
    share = number(share, "share", most=1)
    if np.ndim(x) != 4 and (norm != "linf" or np.ndim(x) not in (2, 3)):
        raise ShapeError(f"square needs images (N, H, W, C) for {norm}; got shape {np.shape(x)}", "norm linf")

    def attack(batch):
        for restart in range(restarts):
            rows = np.flatnonzero(~batch.fooled | (not early_stop))
            if len(rows):
                eps_of = batch.eps if np.ndim(batch.eps) < 2 else _images(batch.eps)
                draws, ball = Draws(batch.streams.take(rows), restart), Ball(_images(batch.x), eps_of, norm, batch.victim.bounds).take(rows)
                _search(batch, rows, draws, ball, queries, share, rescale, early_stop)

    settings = {"queries": queries, "share": share, "restarts": restarts, "rescale": rescale, "early_stop": early_stop}
    return run("square", attack, model, x, y, eps=eps, norm=norm, target=target, settings=settings, **options)


def _images(x):
    """Series (N, W, C) and vectors (N, C) as images of one row, of C channels or of one."""
    return x if x.ndim == 4 else x[:, None] if x.ndim == 3 else x[:, None, :, None]


class Draws:
    """The random choices of one search, named by the step, so that they can be replaced by recorded ones."""

    def __init__(self, streams, restart) -> None:
        self.streams, self.restart = streams, restart

    def take(self, going):
        return Draws(self.streams.take(going), self.restart)

    def signs(self, shape, *names):
        """(N, *shape) of -1 and 1."""
        return self.streams.signs(shape, self.restart, *names)

    def corner(self, high, *names):
        """(N,) first row or column of a square, 0..high."""
        return self.streams.integers(high + 1, (), self.restart, *names)

    def turned(self, *names):
        """(N,) whether the pattern of l2 is turned."""
        return self.streams.uniform((), self.restart, *names) > 0.5


def side(share, step, queries, rescale, height, width, norm):
    """Return the side of the square of one step in pixels."""
    at = int(step / queries * 10_000) if rescale else step
    now = share / 2 ** sum(at > limit for limit in HALVINGS)
    if height == 1 and norm == "linf":
        return max(int(round(now * width)), 1)
    s = max(int(round(np.sqrt(now * height * width))), 1 if norm == "linf" else 3)
    if norm != "linf" and s % 2 == 0:
        s += 1
    return min(s, height, width)


def _search(batch, rows, draws, ball, queries, share, rescale, early_stop=True):
    height, width = ball.x.shape[1:3]
    start, propose = (_stripes, _linf_square) if ball.norm == "linf" else (_tiles, _two_squares)
    best = start(ball, draws)
    value = _ask(batch, rows, best)
    for i in range(queries - 1):
        going = ~batch.fooled[rows] | (not early_stop)
        if not going.all():
            rows, best, value, ball, draws = rows[going], best[going], value[going], ball.take(going), draws.take(going)
        if not len(rows):
            return
        z = propose(ball, best, draws, side(share, i, queries, rescale, height, width, ball.norm), i)
        new = _ask(batch, rows, z)
        better = new > value
        best, value = np.where(column(better, z), z, best), np.where(better, new, value)
        batch.steps[rows] += 1


def _ask(batch, rows, z):
    """Return the margin of candidates (above 0: fooled), keeping the best."""
    z = z.reshape(len(z), *batch.x.shape[1:])
    logits = batch.logits(rows, z)
    values = margin(logits, batch.y[rows], batch.targets(rows))[0]
    batch.offer(rows, z, logits, values)
    return values


def _stripes(ball, draws):
    """x + eps in vertical stripes, a sign for each column and channel."""
    _, _, width, channels = ball.x.shape
    return ball.project((ball.x + ball.wide * draws.signs((1, width, channels), "stripes")).astype(ball.x.dtype))


def _linf_square(ball, best, draws, s, i):
    """Set one square to x + eps or x - eps, a sign for each channel."""
    n, height, width, channels = best.shape
    tall = min(s, height)
    rows = _window(draws.corner(height - tall, i, "row"), tall, height)
    columns = _window(draws.corner(width - s, i, "column"), s, width)
    inside = rows[:, :, None] & columns[:, None]
    change = 2 * ball.wide * draws.signs((1, 1, channels), i, "sign")
    return ball.project(np.where(inside[..., None], best + change, best).astype(best.dtype))


def _window(first, s, length):
    """(N, length): whether each position lies in first..first + s - 1."""
    at = np.arange(length)[None]
    return (at >= first[:, None]) & (at < first[:, None] + s)


# --- l2 and l1: squares hold a pattern of two opposite centres, and take their length from another square ---

FALLS = {"l2": 2, "l1": 4}              # the power of the distance with which a pattern falls off from its centre


def pattern(s, norm="l2"):
    """Return the (s, s) pattern of length 1: the upper half falls off from its centre, the lower half is its negative."""
    eta = np.concatenate([_half(s // 2, s, norm), -_half(s - s // 2, s, norm)])
    return eta / size(eta[None], norm)


def _half(height, width, norm):
    d = np.zeros((height, width))
    row, column_ = height // 2, width // 2
    for k in range(max(height // 2 + 1, width // 2 + 1)):
        d[max(row, 0):min(row + 2 * k + 1, height), max(column_, 0):min(column_ + 2 * k + 1, width)] += 1 / (k + 1) ** FALLS[norm]
        row, column_ = row - 1, column_ - 1
    length = size(d[None], norm)
    return d / length if length else d


def _patterns(s, norm, turned):
    """(N, s, s, 1) patterns, some of them turned."""
    eta = pattern(s, norm)
    return np.where(turned[:, None, None], eta.T, eta)[..., None]


def _tiles(ball, draws):
    """Start: patterns in a grid of tiles over the image, brought to length eps."""
    _, height, width, channels = ball.x.shape
    s = max(height // 5, 1)
    first = (height - s * 5) // 2 if height >= 5 else 0
    d = np.zeros(ball.x.shape)
    for row in range(first, height - s + 1, s):
        for left in range(first, width - s + 1, s):
            eta = _patterns(s, ball.norm, draws.turned("tile", row, left))
            d[:, row:row + s, left:left + s] += eta * draws.signs((1, 1, channels), "tile sign", row, left)
    return _fitted(ball, d)


def _fitted(ball, d):
    """Return x + d in the box: for l2 scaled to length eps, for l1 the nearest point within it."""
    if ball.norm == "l2":
        d = d * column(ball.eps / np.maximum(size(d, "l2"), 1e-12), d)
    return ball.project((ball.x + d).astype(ball.x.dtype))


def _two_squares(ball, best, draws, s, i):
    """Move length from one square to another: the first is emptied, the second gets a pattern added and that length."""
    n, height, width, channels = best.shape
    d = best.astype(np.float64) - ball.x
    corners = [(draws.corner(height - s, i, "row", k), draws.corner(width - s, i, "column", k)) for k in (0, 1)]
    to, source = (_pixels(row, column_, s) for row, column_ in corners)
    inside = np.zeros((n, height, width), bool)
    inside[to] = inside[source] = True
    length, within = size(d, ball.norm), d * inside[..., None]
    old = d[to]
    old = old / (1e-12 + _lengths(old, ball.norm))
    new = _patterns(s, ball.norm, draws.turned(i, "turned")) * draws.signs((1, 1, channels), i, "sign") + old
    if ball.norm == "l2":
        allowed = column(np.sqrt(np.maximum(ball.eps ** 2 - length ** 2, 0) / channels + size(within, "l2") ** 2), d)
    else:
        allowed = column(np.maximum(ball.eps - length, 0), d) + _lengths(within, "l1") * channels
    new = new / (1e-12 + _lengths(new, ball.norm)) * allowed
    d[source] = 0
    d[to] = new
    return _fitted(ball, d)


def _lengths(d, norm):
    """The length of each channel: d (N, H, W, C) -> (N, 1, 1, C)."""
    return np.abs(d).sum(axis=(1, 2), keepdims=True) if norm == "l1" else np.sqrt((d ** 2).sum(axis=(1, 2), keepdims=True))


def _pixels(row, column_, s):
    """Index (N, s, s) pixels of one square in each image."""
    at = np.arange(s)
    return np.arange(len(row))[:, None, None], (row[:, None] + at)[:, :, None], (column_[:, None] + at)[:, None, :]
