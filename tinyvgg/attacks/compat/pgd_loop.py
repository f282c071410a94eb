"""PGD as three libraries compute it (bit for bit with linf): they clip and project in different orders, and their smallest norms
differ.

order "cleverhans": step, box, ball, box. "foolbox": step, ball, box. "art": step, box, ball.
attacks.pgd never leaves the ball, not even by rounding; so its last bits differ from all three.
"""
import numpy as np

from tinyvgg.attacks.norms import column, flat
from tinyvgg.errors import OptionError

FLOORS = {"cleverhans": 1e-6, "foolbox": 1e-12, "art": 0.0}  # smallest length by which an l2 gradient is divided


def pgd_loop(gradient, x, start, *, eps, step, steps, norm, bounds, order):
    """Climb from `start` (N, ...) by gradient(z) -> (N, ...) and return the last point.

    norm: "linf" or "l2"; bounds: (low, high), either None for no clipping on that side; arithmetic in x's dtype.
    """
    if order not in FLOORS:
        raise OptionError(f"order is {order!r}; expected cleverhans, foolbox or art")
    z = start
    for _ in range(steps):
        z = z + x.dtype.type(step) * direction(gradient(z), norm, order)
        if order != "foolbox":
            z = clip_box(z, bounds)
        z = x + clip_ball(z - x, eps, norm, order)
        if order != "art":
            z = clip_box(z, bounds)
    return z


def direction(g, norm, order):
    """Return g as a step of length 1: its sign, or g divided by its l2 norm, with the library's smallest norm."""
    if norm == "linf":
        return np.sign(g)
    if order == "cleverhans":
        return g / column(np.sqrt(np.maximum(g.dtype.type(1e-12), (flat(g) ** 2).sum(axis=1))), g)
    length = np.sqrt((flat(g) ** 2).sum(axis=1))
    if order == "foolbox":
        return g * column(1 / np.maximum(length, g.dtype.type(1e-12)), g)
    return np.where(column(length, g) > 0, g / column(np.where(length > 0, length, 1), g), 0).astype(g.dtype)


def clip_ball(d, eps, norm, order):
    """Shorten d to length eps where it is longer."""
    eps = d.dtype.type(eps)
    if norm == "linf":
        return np.clip(d, -eps, eps)
    squares = (flat(d) ** 2).sum(axis=1)
    length = (
        np.sqrt(np.maximum(d.dtype.type(1e-12), squares))
        if order == "cleverhans"
        else np.maximum(np.sqrt(squares), d.dtype.type(1e-12))
    )
    return d * column(np.minimum(d.dtype.type(1), eps / length), d)


def clip_box(z, bounds):
    """Clip to (low, high); None means no clipping on that side."""
    low, high = bounds
    return z if low is None and high is None else np.clip(z, low, high).astype(z.dtype, copy=False)
