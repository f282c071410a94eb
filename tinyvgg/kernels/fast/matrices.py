"""Winograd's F(4x4, 3x3): its matrices, and how a small constant matrix is applied to vectors with few instructions.

A 4x4 block of outputs needs 36 multiplications instead of 144: Y = A' [(G g G') * (B' d B)] A, with the product taken
position by position over a 6x6 patch d (Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015).

A product of polynomials is found from its values at as many points as it has coefficients; infinity is one of them. The usual
points 0, 1, -1, 2, -2 save instructions, but their powers spread widely and rounding suffers. With 5/8 and 3/2 the largest error
is a quarter and nearly all coefficients are still exact in float32 (Barabasz, Anderson, Soodhalter and Gregg, "Error analysis
and improving the accuracy of Winograd convolution for deep neural networks", 2020, discuss the choice).
"""
import itertools
import math
from typing import NamedTuple

import numpy as np

OUTPUT, TAPS = 4, 3
PATCH = OUTPUT + TAPS - 1
POSITIONS = PATCH * PATCH
POINTS = (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)


def _matrices(points, output, count):
    """A' (outputs, n), G (n, taps) and B' (n, n) of Toom and Cook's interpolation in `points` and infinity."""
    others = [[q for q in points if q != p] for p in points]
    values = [[p ** i for p in points] + [i == output - 1] for i in range(output)]
    taps = [[p ** i / math.prod(p - q for q in rest) for i in range(count)] for p, rest in zip(points, others, strict=True)]
    patch = [[*np.poly(rest)[::-1], 0] for rest in others] + [np.poly(points)[::-1]]
    return np.array(values, float), np.array([*taps, [*[0] * (count - 1), 1]]), np.array(patch)


A_T, G, B_T = _matrices(POINTS, OUTPUT, TAPS)


class Matrices(NamedTuple):
    """The transforms of the products, the kernel and the image: A', G and B'."""
    result: np.ndarray
    kernel: np.ndarray
    image: np.ndarray


# F(4, 5) and F(5, 5), in one direction: see winograd_rows.py. Rows of outputs -> the matrices.
TAPS_5 = 5
FIVE_TAPS = {4: Matrices(*_matrices((0, 1 / 2, -1 / 2, 1, -1, 2, -2), 4, TAPS_5)),
             5: Matrices(*_matrices((1 / 4, -1 / 4, 5 / 8, -5 / 8, 1, -1, 2, -2), 5, TAPS_5))}


def apply(matrix, values):
    """Return matrix @ values for a list of vectors; mirrored pairs of columns and rows share their sums.

    The points come in pairs +p and -p: two columns then differ only in signs, so one sum and one difference of the inputs
    replace both; two rows share their even and odd halves in the same way. B' takes 12 instructions instead of 20.
    """
    rows, values = _share_columns(matrix.copy(), list(values))
    result = [None] * len(rows)
    for i, j in itertools.combinations(range(len(rows)), 2):
        even, odd = (rows[i] + rows[j]) / 2, (rows[i] - rows[j]) / 2
        mirrored = even.any() and odd.any() and not (even * odd).any()
        if mirrored and result[i] is None and result[j] is None:
            scale = odd[np.flatnonzero(odd)[-1]]
            half, other = _combination(even, values), _combination(odd / scale, values)
            result[i], result[j] = _plus(half, other, scale), _plus(half, other, -scale)
    return [_combination(rows[i], values) if value is None else value for i, value in enumerate(result)]


def sandwich(matrix, grid):
    """Return matrix @ grid @ matrix.T for a grid (list of rows) of vectors."""
    return list(rows_of_sandwich(matrix, grid))


def rows_of_sandwich(matrix, grid):
    """Yield the rows of the same, so that a row can be used before the next one takes registers."""
    columns = [apply(matrix, [row[j] for row in grid]) for j in range(len(grid))]
    for i in range(len(matrix)):
        yield apply(matrix, [column[i] for column in columns])


def _share_columns(matrix, values):
    """Replace mirrored columns u, v (of x, y) by (u+v)/2 and (u-v)/2 (of x+y and x-y)."""
    for i, j in itertools.combinations(range(len(values)), 2):
        u, v = matrix[:, i].copy(), matrix[:, j].copy()
        if (abs(u) == abs(v)).all() and (u * v > 0).any() and (u * v < 0).any():
            matrix[:, i], matrix[:, j] = (u + v) / 2, (u - v) / 2
            values[i], values[j] = values[i] + values[j], values[i] - values[j]
    return matrix, values


def _combination(coefficients, values):
    """sum_i coefficients[i] * values[i], additions for +-1 and one fused multiply-add for anything else."""
    terms = [(float(c), values[i]) for i, c in enumerate(coefficients) if c]
    (first, value), *rest = sorted(terms, key=lambda term: (term[0] != 1, abs(term[0]) != 1))
    total = value if first == 1 else value * first
    for c, v in rest:
        total = _plus(total, v, c)
    return total


def _plus(total, value, factor):
    """total + factor * value."""
    return total + value if factor == 1 else total - value if factor == -1 else value.fma(float(factor), total)
