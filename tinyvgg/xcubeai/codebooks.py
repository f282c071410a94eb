"""How good a codebook of shared weights is, and how good it could be at the same bytes."""

import math

import numpy as np

# Above this many weights a fine histogram stands for them: its codebook is a few parts in a million off the optimum.
EXACT = 1 << 17
BINS = 1 << 14


def distortion(values, codebook):
    """Return the mean squared error of values (n,) at their nearest entries of a codebook (k,)."""
    return float(((values - codebook[nearest(values, codebook)]) ** 2).mean(dtype=np.float64))


def nearest(values, codebook):
    """Return the index (n,) of the nearest entry of a sorted codebook (k,); of two equally near the lower."""
    middles = (codebook[1:].astype(np.float64) + codebook[:-1]) / 2
    return np.searchsorted(middles, values.astype(np.float64), side="left")


def optimal_codebook(values, k):
    """Return the k values (k,) float32, sorted, that share values (n,) with the least squared error.

    One-dimensional k-means by dynamic programming over the sorted values (Wang & Song 2011), with the divide and conquer that
    the monotone split points allow (Gronlund et al. 2017): exact up to 131,072 weights. Above, weights are gathered in 16,384
    bins of equal count first, and the result polished by Lloyd's steps on all of them.
    """
    values = np.sort(np.asarray(values, np.float64).ravel())
    points, weights = np.unique(values, return_counts=True)
    if len(points) <= k:
        return np.concatenate([points, np.repeat(points[-1:], k - len(points))]).astype(np.float32)
    if len(points) > EXACT or len(points) * k > EXACT * 16:
        groups = np.array_split(values, BINS)
        points, weights = np.array([g.mean() for g in groups]), np.array([len(g) for g in groups])
    sums = [np.concatenate([[0.0], np.cumsum(weights * points**power)]) for power in (0, 1, 2)]
    from tinyvgg.xcubeai.partition import segments

    codebook = segments(sums[0], sums[1], sums[2], min(k, len(points)))
    return polish(values, codebook).astype(np.float32)


def polish(values, codebook, steps=20):
    """Run Lloyd's steps on sorted values (n,): entries to the mean of what is nearest to them."""
    totals = np.concatenate([[0.0], np.cumsum(values)])
    for _ in range(steps):
        edges = np.concatenate([[0], np.searchsorted(values, (codebook[1:] + codebook[:-1]) / 2, side="right"), [len(values)]])
        counts = np.diff(edges)
        moved = np.where(counts > 0, np.diff(totals[edges]) / np.maximum(counts, 1), codebook)
        if np.array_equal(moved, codebook):
            break
        codebook = moved
    return codebook


def relative_error(values, shared):
    """Return |values - shared| / |values|, both (n,)."""
    norm = math.sqrt(float((np.asarray(values, np.float64) ** 2).sum()))
    return math.sqrt(float(((np.asarray(values, np.float64) - shared) ** 2).sum())) / norm if norm else 0.0
