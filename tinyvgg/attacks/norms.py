"""Distances, balls and steps of the attacks. eps and distances are in the unit of the images (1/255 of 0..1 is one grey level).

Letters: x clean images (N, ...), z candidates of the same shape, d = z - x, n a norm for each image (N,).
"""
import re

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.images import levels

NORMS = ("linf", "l2", "l1")
TOLERANCE = 1e-6  # relative excess over eps that float32 rounding is allowed, when a result is checked
EPS_HINT = "8/255, eight grey levels of images in 0..1"
_ALIASES = {"inf": "linf", "linfinity": "linf", "l_inf": "linf", "2": "l2", "1": "l1", "l_2": "l2", "l_1": "l1"}


def parse_norm(norm):
    """Return "linf", "l2" or "l1" for one of these, or for np.inf, 2, 1."""
    name = str(norm).lower().removesuffix(".0")
    name = _ALIASES.get(name, name)
    if name not in NORMS:
        raise OptionError(f"norm is {norm!r}; expected linf, l2 or l1")
    return name


def parse_eps(value, name="eps"):
    """Return a distance as a float: 0.03, "0.03" or "8/255". Raises OptionError for less than 0, NaN, infinity, other text."""
    number = value
    if not isinstance(value, str) and np.ndim(value):
        raise OptionError(f"{name} is an array of shape {np.shape(value)}; expected one number here", EPS_HINT)
    if isinstance(value, str):
        parts = re.fullmatch(r"\s*([-+0-9.eE]+)\s*(?:/\s*([-+0-9.eE]+)\s*)?", value)
        try:
            number = float(parts[1]) / float(parts[2] or 1)
        except (TypeError, ValueError, ZeroDivisionError):
            raise OptionError(f"{name} is {value!r}; expected a number or a fraction", EPS_HINT) from None
    try:
        if np.asarray(number).dtype.kind == "b":
            raise TypeError
        number = float(number)
    except (TypeError, ValueError):
        raise OptionError(f"{name} is {value!r}; expected a number or a fraction", EPS_HINT) from None
    if not 0 <= number < np.inf:
        raise OptionError(f"{name} is {value}; expected a number, 0 or more, in the unit of the images", EPS_HINT)
    return number


def parse_radii(value, name="eps"):
    """Return parse_eps(eps), or for an array of radii a copy in float64 (checks.checked_eps gives it its final shape)."""
    if isinstance(value, str) or np.ndim(value) == 0:
        return parse_eps(value, name)
    radii = np.asarray(value)
    if radii.dtype.kind not in "iuf" or not radii.size or not (np.isfinite(radii).all() and radii.min() >= 0):
        raise OptionError(f"{name} is an array of {radii.dtype}, shape {radii.shape}; expected finite numbers, 0 or more", EPS_HINT)
    return radii.astype(np.float64)


def default_eps(bounds, norm="linf"):
    """Return the usual radius for images in `bounds`: 8/255 of the range; for l2 half of the range."""
    return (bounds[1] - bounds[0]) * (0.5 if norm == "l2" else 8 / 255)


def flat(a):
    """View (N, ...) as (N, D)."""
    return a.reshape(len(a), int(np.prod(a.shape[1:])))


def column(v, like):
    """View (N,) so that it multiplies (N, ...)."""
    return np.asarray(v).reshape(-1, *(1,) * (like.ndim - 1))


def wide(eps, like):
    """View radii so that they multiply images (N, ...): a number, (N,), or one for each value."""
    return column(eps, like) if np.ndim(eps) == 1 else eps


def rows_of(eps, rows):
    """Return the radii of some of the images."""
    return eps[rows] if np.ndim(eps) else eps


def given_to(eps, x, rows):
    """Return the radii of some of the images x (N, ...) in an unambiguous shape."""
    return rows_of(wide(eps, x), rows)


def size(d, norm):
    """Return the norm of each row of d (N, ...) as (N,) float64; "l0" counts the values that are not 0."""
    rows = flat(np.asarray(d, np.float64))
    if norm == "l0":
        return np.count_nonzero(rows, axis=1).astype(np.float64)
    if norm == "linf":
        return np.abs(rows).max(axis=1, initial=0)
    return np.sqrt((rows**2).sum(axis=1)) if norm == "l2" else np.abs(rows).sum(axis=1)


def inside(d, eps, norm):
    """Return whether each row of d (N, ...) is within eps, up to TOLERANCE."""
    if np.ndim(eps) > 1:
        return (flat(np.abs(d)) <= flat(eps * (1 + TOLERANCE))).all(axis=1)
    return size(d, norm) <= eps * (1 + TOLERANCE)


def steepest(g, norm):
    """Return the direction of length 1 in `norm` along which <g, .> grows fastest, for each row; 0 where g is 0.

    linf: sign(g). l2: g / |g|. l1: the whole length goes to the largest |g|; equal ones share it.
    """
    if norm == "linf":
        return np.sign(g)
    rows = flat(g)
    scale = np.abs(rows).max(axis=1, initial=0, keepdims=True)
    rows = rows / np.where(scale > 0, scale, 1)  # so that squares of tiny gradients do not underflow
    if norm == "l2":
        length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
        return (rows / np.where(length > 0, length, 1)).reshape(g.shape)
    largest = (np.abs(rows) == 1) & (scale > 0)
    return (np.sign(rows) * largest / np.maximum(largest.sum(axis=1, keepdims=True), 1)).astype(g.dtype).reshape(g.shape)


def shorten(d, eps, norm):
    """Return the point of the ball of radius eps that is nearest to each row of d (for l1: Duchi et al. 2008)."""
    if norm == "linf":
        return np.clip(d, -eps, eps)
    if norm == "l2":
        return (d * column(np.minimum(1, eps / np.maximum(size(d, "l2"), 1e-300)), d)).astype(d.dtype)
    rows = np.abs(flat(d).astype(np.float64))
    descending = -np.sort(-rows, axis=1)
    excess = (np.cumsum(descending, axis=1) - eps) / np.arange(1, rows.shape[1] + 1)
    last = np.maximum((descending > excess).sum(axis=1) - 1, 0)
    threshold = np.maximum(excess[np.arange(len(rows)), last], 0)
    shortened = np.sign(d) * np.maximum(rows - threshold[:, None], 0).reshape(d.shape)
    return np.where(column(rows.sum(axis=1) > eps, d), shortened, d).astype(d.dtype)


def shorten_in_box(d, eps, room):
    """Return the point nearest to each row of d that has an l1 norm of at most eps and |value| <= room: Croce and Hein 2021.

    d, room (N, ...); room: how far each value may go, in the direction of its d.
    """
    rows, width = flat(np.abs(d).astype(np.float64)), flat(np.asarray(room, np.float64))
    long = np.minimum(rows, width).sum(axis=1) > eps
    threshold = np.zeros(len(rows))
    if long.any():
        threshold[long] = _threshold(rows[long], width[long], np.broadcast_to(eps, len(rows))[long])
    return (np.sign(d) * np.clip(rows - threshold[:, None], 0, width).reshape(d.shape)).astype(d.dtype)


def _threshold(rows, width, eps):
    """Return t (N,) with sum(min(max(rows - t, 0), width)) = eps: piecewise linear between the values at which a term begins or ends."""
    points = np.concatenate([rows, rows - width], axis=1)
    order = np.argsort(-points, axis=1)
    points = np.take_along_axis(points, order, axis=1)
    growing = np.cumsum(np.where(order < rows.shape[1], 1, -1), axis=1)         # terms that grow below each value
    total = np.zeros_like(points)
    total[:, 1:] = np.cumsum(growing[:, :-1] * -np.diff(points, axis=1), axis=1)
    at = np.minimum((total < eps[:, None]).sum(axis=1), points.shape[1] - 1)
    index = np.arange(len(rows))
    return np.maximum(points[index, at] + (total[index, at] - eps) / np.maximum(growing[index, at - 1], 1), 0)


class Ball:
    """All valid images within eps of x: the intersection of the ball of `norm` and the box `bounds`.

    `project` never returns a point farther than eps from x, measured in float64. eps: one number, one for each image (N,), or for
    linf one for each value (shape of x). grid: the largest level of an image format (255); results then lie on these levels, and
    x must too.
    """

    def __init__(self, x, eps, norm, bounds, grid=None):
        self.x, self.eps, self.norm, self.bounds, self.grid = x, eps, norm, bounds, grid
        self.low, self.high = _limits(x, self.wide, bounds) if norm == "linf" else bounds
        if grid is not None and np.abs(from_grid(to_grid(x, bounds, grid), bounds, grid, x.dtype) - x).max(initial=0) > 1e-6:
            raise OptionError(
                f"the images do not lie on the grid of {grid} steps that was asked for", "images of 8 bits, or grid=None"
            )

    def take(self, rows):
        """Return the ball of some of the images."""
        part = object.__new__(Ball)
        part.__dict__.update(self.__dict__, x=self.x[rows], eps=rows_of(self.eps, rows))
        if self.norm == "linf":
            part.low, part.high = self.low[rows], self.high[rows]
        return part

    @property
    def wide(self):
        """eps in a shape that broadcasts against images."""
        return wide(self.eps, self.x)

    @property
    def by_value(self):
        """Whether each value has its own eps."""
        return np.ndim(self.eps) > 1

    def lengths(self, times):
        """Return (N,) lengths of steps, `times` eps. If each value has its own eps: shares, which `move` multiplies by eps."""
        return np.broadcast_to(times if self.by_value else times * self.eps, len(self.x)).astype(np.float64)

    def move(self, z, g, lengths):
        """Step by `lengths` (N,), which the method `lengths` returned."""
        length = column(lengths, z)
        return self.step(z, g, length * self.eps if self.by_value else length)

    def project(self, z):
        """Return the nearest point of the ball to z, then of the box (l1: of both together); on the grid if there is one."""
        if self.norm == "linf":
            z = np.minimum(np.maximum(z, self.low), self.high)          # np.clip takes three times as long where the limits are arrays
        else:
            z = np.clip(self._shortened(z), self.low, self.high)
        z = z.astype(self.x.dtype, copy=False)
        return z if self.grid is None else self._snap(z)

    def step(self, z, g, length):
        """Go from z by `length` in the steepest direction of g, and back into the ball."""
        if self.norm == "l1":  # a value that stands at the edge of the box already cannot take the step
            stuck = ((z <= self.low) & (g < 0)) | ((z >= self.high) & (g > 0))
            g = np.where(stuck, 0, g)
        if self.norm == "linf" and self.grid is None and z.dtype == g.dtype == self.low.dtype and np.ndim(length) == 0:
            moved = np.sign(g)              # the same numbers as below, without a new array for each operation
            moved *= length
            moved += z
            np.maximum(moved, self.low, out=moved)
            return np.minimum(moved, self.high, out=moved)
        return self.project(z + (length * steepest(g, self.norm)).astype(z.dtype, copy=False))

    def random(self, streams, *names):
        """Return a random point of the ball, clipped to the box: uniform for linf and l2, in a random direction for l1."""
        shape = self.x.shape[1:]
        if self.norm == "linf":
            d = streams.uniform(shape, *names, "start", low=-self.wide, high=self.wide)
        else:
            d = streams.normal(shape, *names, "start")
            radius = streams.uniform((), *names, "radius") ** (1 / max(d[0].size, 1) if self.norm == "l2" else 1)
            d = d / column(size(d, self.norm), d) * column(self.eps * radius, d)
        return self.project((self.x + d).astype(self.x.dtype))

    def _shortened(self, z):
        d, eps = z - self.x, self.eps * (1 - TOLERANCE / 2)
        if self.norm == "l1":
            low, high = self.bounds
            d = shorten_in_box(d, eps, np.where(d > 0, high - self.x, self.x - low))
        else:
            d = shorten(d, eps, self.norm)
        z = self.x + d
        far = size(z.astype(np.float64) - self.x, self.norm) > self.eps  # where eps is as small as a rounding
        if far.any():
            x, d, rounded = self.x[far].astype(np.float64), d[far], z[far]
            z[far] = np.where(np.abs(rounded - x) > np.abs(d), np.nextafter(rounded, self.x[far]), rounded)
        return z

    def _snap(self, z):
        """Round z to the grid, towards x where the nearest level would leave the ball."""
        step = (self.bounds[1] - self.bounds[0]) / self.grid
        levels = np.float64(z - self.x) / step
        nearest, inner = np.rint(levels), np.trunc(levels)
        if self.norm == "linf":
            limit = np.floor(self.wide / step * (1 + TOLERANCE))
            chosen = np.clip(nearest, -limit, limit)
        else:
            far = size(nearest * step, self.norm) > self.eps * (1 + TOLERANCE)
            chosen = np.where(column(far, z), inner, nearest)
        return np.clip(from_grid(to_grid(self.x, self.bounds, self.grid) + chosen, self.bounds, self.grid, z.dtype), *self.bounds)


def _limits(x, eps, bounds):
    """Return the lowest and highest valid values within eps of x, rounded towards x."""
    wide = x.astype(np.float64)
    low, high = (wide - eps).astype(x.dtype), (wide + eps).astype(x.dtype)
    low = np.where(wide - low > eps, np.nextafter(low, x), low)
    high = np.where(high - wide > eps, np.nextafter(high, x), high)
    return np.maximum(low, x.dtype.type(bounds[0])), np.minimum(high, x.dtype.type(bounds[1]))


def to_grid(x, bounds, grid=255):
    """Return the nearest level 0..grid of each value, as float64: see tinyvgg.images.levels."""
    return levels(x, bounds, grid).astype(np.float64)


def from_grid(levels, bounds, grid=255, dtype=np.float32):
    """Return the value of each level; for 0..1 and 255 these are exactly uint8 / 255 in `dtype`."""
    low, high = bounds
    return (np.asarray(levels, np.float64) * (high - low) / grid + low).astype(dtype)
