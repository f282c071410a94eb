"""The dynamic program behind the optimal codebook, compiled when it is first needed."""

import numba
import numpy as np


@numba.njit(cache=True)
def cost(w, s, q, i, j):
    """Squared error of points i..j-1 around their mean, from the running sums of weight, weight * x and weight * x^2."""
    weight = w[j] - w[i]
    total = s[j] - s[i]
    return q[j] - q[i] - total * total / weight if weight > 0 else 0.0


@numba.njit(cache=True)
def segments(w, s, q, k):
    """Return the means (k,) of the k runs of sorted points with the least squared error. w, s, q (n + 1,): running sums.

    Level by level: best[j] is the least error of the first j points in `level` runs; its split points rise with j, so the middle
    one halves the search for the others.
    """
    n = len(w) - 1
    best = np.empty(n + 1)
    split = np.zeros((k, n + 1), np.int32)
    best[0] = 0.0
    for j in range(1, n + 1):
        best[j] = cost(w, s, q, 0, j)
    stack = np.empty((128, 4), np.int64)
    for level in range(1, k):
        following = np.full(n + 1, np.inf)
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = level, n, level, n
        top = 1
        while top:
            top -= 1
            low, high, first, last = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
            if low > high:
                continue
            j = (low + high) // 2
            where = first
            for i in range(first, min(j, last) + 1):
                value = best[i] + cost(w, s, q, i, j)
                if value < following[j]:
                    following[j], where = value, i
            split[level, j] = where
            stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = low, j - 1, first, where
            stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2], stack[top + 1, 3] = j + 1, high, where, last
            top += 2
        best = following
    codebook, j = np.empty(k), n
    for level in range(k - 1, -1, -1):
        i = split[level, j] if level else 0
        codebook[level] = (s[j] - s[i]) / (w[j] - w[i]) if w[j] > w[i] else s[n] / w[n]
        j = i
    return np.sort(codebook)
