"""Winograd's F(4x4, 3x3): its matrices, and how a small constant matrix is applied to vectors with few instructions.

A 4x4 block of outputs needs 36 multiplications instead of 144: Y = A' [(G g G') * (B' d B)] A, with the product taken
position by position over a 6x6 patch d (Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015;
interpolation points 0, 1, -1, 2, -2 and infinity).
"""
import itertools

import numpy as np

OUTPUT, TAPS = 4, 3
PATCH = OUTPUT + TAPS - 1
POSITIONS = PATCH * PATCH

B_T = np.array([[4, 0, -5, 0, 1, 0],
                [0, -4, -4, 1, 1, 0],
                [0, 4, -4, -1, 1, 0],
                [0, -2, -1, 2, 1, 0],
                [0, 2, -1, -2, 1, 0],
                [0, 4, 0, -5, 0, 1]], float)
G = np.array([[1 / 4, 0, 0],
              [-1 / 6, -1 / 6, -1 / 6],
              [-1 / 6, 1 / 6, -1 / 6],
              [1 / 24, 1 / 12, 1 / 6],
              [1 / 24, -1 / 12, 1 / 6],
              [0, 0, 1]])
A_T = np.array([[1, 1, 1, 1, 1, 0],
                [0, 1, -1, 2, -2, 0],
                [0, 1, 1, 4, 4, 0],
                [0, 1, -1, 8, -8, 1]], float)


def apply(matrix, values):
    """Return matrix @ values for a list of vectors; mirrored pairs of columns and rows share their sums.

    The points come in pairs +p and -p: two columns then differ only in signs, so one sum and one difference of the inputs
    replace both; two rows share their even and odd halves in the same way. B' takes 13 instructions instead of 20.
    """
    rows, values = _share_columns(matrix.copy(), list(values))
    result = [None] * len(rows)
    for i, j in itertools.combinations(range(len(rows)), 2):
        even, odd = (rows[i] + rows[j]) / 2, (rows[i] - rows[j]) / 2
        mirrored = even.any() and odd.any() and not (even * odd).any()
        if mirrored and result[i] is None and result[j] is None:
            half, other = _combination(even, values), _combination(odd, values)
            result[i], result[j] = half + other, half - other
    return [_combination(rows[i], values) if value is None else value for i, value in enumerate(result)]


def sandwich(matrix, grid):
    """Return matrix @ grid @ matrix.T for a grid (list of rows) of vectors."""
    columns = [apply(matrix, [row[j] for row in grid]) for j in range(len(grid))]
    return [apply(matrix, [column[i] for column in columns]) for i in range(len(matrix))]


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
        total = total + v if c == 1 else total - v if c == -1 else v.fma(c, total)
    return total
