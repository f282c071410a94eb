"""Optimal codebooks: k-means in one dimension, solved exactly.

Letters: n sorted values x_1 <= ... <= x_n with weights, k clusters, c(a, b) the squared error of x_{a+1..b} around their mean.

The clusters of an optimal solution are runs of the sorted values, so it is a shortest path of k links from 0 to n with link costs
c(a, b) (Wang and Song, 2011). c is concave Monge, so with a price for each link, lambda, the best path with any number of links
is found in O(n log n). The number of links falls as the price rises, so bisection finds the right price (Aggarwal, Schieber and
Tokuyama, 1994; Gronlund et al., 2017, arXiv:1701.07204). If several numbers of links are equally good at that price, but k is not
among those found: splice the longer and the shorter optimal path into an equally good one with k links.
"""

import math

import numba
import numpy as np

from tinyvgg.errors import OptionError, QuantError

FEW = 16                                # borders that values are compared with one by one


def optimal_codebook(values, k):
    """Return the k centres (float64, ascending, each once; fewer if fewer values differ) with the least squared error.

    values: any shape, finite. Exact up to float64 rounding of the sums.
    """
    x, counts = _distinct(values, k)
    if len(x) <= k:
        return x
    sums = _prefix_sums(x, counts)
    path = _shortest_path(sums, k)
    middle = (x[0] + x[-1]) / 2
    return np.unique(middle + np.diff(sums[1][path]) / np.diff(sums[0][path]))


def squared_error(values, codebook):
    """Return sum (x - nearest entry)^2 of values over a codebook (ascending), in float64."""
    x = np.asarray(values, np.float64).reshape(-1)
    return float(np.sum((x - np.asarray(codebook, np.float64)[nearest(x, codebook)]) ** 2))


def nearest(values, codebook):
    """Return the index of the nearest entry of `codebook` (ascending) for each value; of two equally near, the lower one."""
    book, values = np.asarray(codebook, np.float64), np.asarray(values, np.float64)
    borders = (book[1:] + book[:-1]) / 2
    if len(borders) > FEW:
        return np.searchsorted(borders, values, side="left")
    found = np.zeros(values.shape, np.uint8)            # as searchsorted, NaN behind the last border too, in half the time
    for border in borders:
        found += ~(values <= border)
    return found


def cheapest(values, codebook, costs):
    """Return the index of the entry of `codebook` (ascending) with the least (value - entry)^2 + cost for each value.

    In values the sums are lines after x^2 is taken away, so each entry has one interval, or none: a lower envelope.
    """
    book, costs = (np.asarray(v, np.float64).tolist() for v in (codebook, costs))
    kept, edges = [], []
    for k in range(len(book)):
        edge = -math.inf
        while kept:
            last = kept[-1]
            difference, dearer = book[k] - book[last], book[k] ** 2 + costs[k] - book[last] ** 2 - costs[last]
            edge = dearer / (2 * difference) if difference else math.copysign(math.inf, dearer)
            if edge > edges[-1]:
                break
            kept.pop(), edges.pop()
            edge = -math.inf
        if edge < math.inf:
            kept.append(k), edges.append(edge)
    return np.array(kept)[np.searchsorted(np.array(edges[1:]), np.asarray(values, np.float64), side="left")]


def lloyd(values, centres, iterations=100):
    """Improve centres by Lloyd's algorithm until nothing changes; return them, ascending. Only a baseline for comparisons."""
    x, centres = np.sort(np.asarray(values, np.float64).reshape(-1)), np.sort(np.asarray(centres, np.float64))
    total = np.concatenate([[0.0], np.cumsum(x)])
    for _ in range(iterations):
        edges = np.searchsorted(x, np.concatenate([[-np.inf], (centres[1:] + centres[:-1]) / 2, [np.inf]]), side="right")
        counts = np.diff(edges)
        moved = np.where(counts > 0, np.diff(total[edges]) / np.maximum(counts, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def optimal_integer_codebook(values, k, *, low=-127, high=127, must_hold_zero=False, weights=None):
    """Return the k integers in low..high (int8, ascending; fewer if fewer do) with the least squared error.

    values: real, any shape; weights: of the same shape (default 1). Exact: a shortest path over the integers, where a link from
    entry a to the next entry b costs the error of the values between them, each taken to the nearer of the two.
    """
    x = np.asarray(values, np.float64).reshape(-1)
    if not np.isfinite(x).all() or not len(x) or k < 1:
        raise QuantError(f"a codebook of {k} entries was asked for {len(x)} values, all of which must be finite")
    order = np.argsort(x, kind="stable")
    w = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64).reshape(-1)
    grid = np.arange(low, high + 1)
    sums = _Sums(x[order], w[order], low, high)
    link = _link_costs(sums, grid)
    if must_hold_zero:
        link[np.ix_(grid < 0, grid > 0)] = np.inf
    start, end = sums.error_to(grid, None, 2 * grid), sums.error_to(grid, 2 * grid, None)
    if must_hold_zero:
        start[grid > 0], end[grid < 0] = np.inf, np.inf
    best, back = start, []
    chosen = int(np.argmin(best + end)), 1
    least = float((best + end).min())
    for j in range(2, min(k, len(grid)) + 1):
        through = best[:, None] + link
        back.append(through.argmin(axis=0))
        best = through.min(axis=0)
        if (best + end).min() < least:
            least, chosen = float((best + end).min()), (int(np.argmin(best + end)), j)
    at, j = chosen
    path = [at]
    for row in reversed(back[: j - 1]):
        path.append(int(row[path[-1]]))
    return grid[path[::-1]].astype(np.int8)


class _Sums:
    """Weighted squared errors of sorted values in intervals between half-integers, around integers, from prefix sums."""

    def __init__(self, x, w, low, high):
        self.low = low
        prefix = [np.concatenate([[0.0], np.cumsum(s)]) for s in (w, w * x, w * x * x)]
        places = np.searchsorted(x, np.arange(2 * low, 2 * high + 1) / 2, side="right")
        self.at = [p[places] for p in prefix]  # sums over x <= h, for h = low, low + 1/2, ... high
        self.total = [p[-1] for p in prefix]

    def below(self, half):
        """Sums over x <= half / 2 (whole numbers `half`; None for all x)."""
        return self.total if half is None else [p[half - 2 * self.low] for p in self.at]

    def error_to(self, centre, start, end):
        """sum w (x - centre)^2 over start / 2 < x <= end / 2 (None: from the first x on, to the last); arrays broadcast."""
        first = [0.0] * 3 if start is None else self.below(start)
        p0, p1, p2 = (e - f for e, f in zip(self.below(end), first, strict=True))
        return np.maximum(p2 - 2 * centre * p1 + centre * centre * p0, 0)


def _link_costs(sums, grid):
    """link[a, b]: the error of the values between grid[a] and grid[b] when both are neighbouring entries; inf unless a < b."""
    a, b = grid[:, None], grid[None, :]
    middle = a + b  # twice the middle
    link = sums.error_to(a, 2 * a, middle) + sums.error_to(b, middle, 2 * b)
    return np.where(a < b, link, np.inf)


def _distinct(values, k):
    x = np.asarray(values, np.float64).reshape(-1)
    if not len(x) or not np.isfinite(x).all():
        raise QuantError(f"a codebook was asked for {len(x)} values, all of which must be finite")
    if k < 1:
        raise OptionError(f"a codebook of {k} entries was asked for; expected 1 or more")
    return np.unique(x, return_counts=True)


def _prefix_sums(x, counts):
    """Sums of 1, x and x^2 up to each value, (n + 1,) each, x taken from the middle of its range for the sake of rounding."""
    y = x - (x[0] + x[-1]) / 2
    return tuple(np.concatenate([[0.0], np.cumsum(s)]) for s in (counts.astype(np.float64), counts * y, counts * y * y))


def _shortest_path(sums, k):
    """Return the k + 1 nodes of a shortest path of exactly k links from 0 to n."""
    n = len(sums[0]) - 1
    high = max(_cost(*sums, 0, n), 1e-300)  # at this price one link is best, or nearly
    while len(fewer := _priced_path(*sums, high)) - 1 > k:
        high *= 2
    low, more = 0.0, np.arange(n + 1)
    for _ in range(400):
        if len(fewer) - 1 == k:
            return fewer
        middle = np.sqrt(max(low, high * 1e-20) * high)
        if not low < middle < high:
            break
        path = _priced_path(*sums, middle)
        if len(path) - 1 > k:
            low, more = middle, path
        else:
            high, fewer = middle, path
    return _splice(fewer, more, k)


def _splice(fewer, more, k):
    """A path of k links from two paths of fewer and more links that cost the same at one price a link.

    With d = k - links(fewer) there is a link (a_i, a_{i+1}) of `fewer` that holds the link (b_{i+d}, b_{i+d+1}) of `more`; going
    along `more` up to b_{i+d}, then on to a_{i+1} and along `fewer`, takes k links and costs, by the Monge property, no more.
    """
    d = k - (len(fewer) - 1)
    if d == 0:
        return fewer
    for i in range(len(fewer) - 1):
        if fewer[i] <= more[i + d] and more[i + d + 1] <= fewer[i + 1]:
            return np.concatenate([more[: i + d + 1], fewer[i + 1 :]])
    raise AssertionError("two paths without a link inside a link: impossible by counting")


@numba.njit(cache=True)
def _cost(p0, p1, p2, a, b):
    """c(a, b)"""
    s = p1[b] - p1[a]
    return max(p2[b] - p2[a] - s * s / (p0[b] - p0[a]), 0.0)


@numba.njit(cache=True)
def _priced_path(p0, p1, p2, price):
    """Nodes of the path from 0 to n with the least cost + price * links.

    A queue holds the nodes that are the best predecessor of some node still to come, each with the first node where it is best:
    by the Monge property a later predecessor, once better, stays better.
    """
    n = len(p0) - 1
    total, before = np.zeros(n + 1), np.zeros(n + 1, np.int64)
    queue, since = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    head, tail = 0, 1
    since[0] = 1
    for b in range(1, n + 1):
        while head + 1 < tail and since[head + 1] <= b:
            head += 1
        a = queue[head]
        total[b], before[b] = total[a] + _cost(p0, p1, p2, a, b) + price, a
        if b == n:
            break
        while (tail > head and since[tail - 1] > b
               and (total[b] + _cost(p0, p1, p2, b, since[tail - 1])
                    < total[queue[tail - 1]] + _cost(p0, p1, p2, queue[tail - 1], since[tail - 1]))):
            tail -= 1
        first = _first_better(p0, p1, p2, total, queue[tail - 1], b, max(since[tail - 1], b) + 1) if tail > head else b + 1
        if first <= n:
            queue[tail], since[tail] = b, first
            tail += 1
    links, at = 0, n
    while at > 0:
        at, links = before[at], links + 1
    path = np.zeros(links + 1, np.int64)
    at = n
    for i in range(links, 0, -1):
        path[i], at = at, before[at]
    return path


@numba.njit(cache=True)
def _first_better(p0, p1, p2, total, old, new, low):
    """The first node from `low` on that is reached better from `new` than from `old`, n + 1 if there is none."""
    high = len(p0)
    while low < high:
        middle = (low + high) // 2
        if total[new] + _cost(p0, p1, p2, new, middle) < total[old] + _cost(p0, p1, p2, old, middle):
            high = middle
        else:
            low = middle + 1
    return low
