"""Winograd's F(4x4, 3x3): its matrices, and how a small constant matrix is applied to vectors with few instructions.

A 4x4 block of outputs needs 36 multiplications instead of 144: Y = A' [(G g G') * (B' d B)] A, with the product taken
position by position over a 6x6 patch d (Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015;
interpolation points 0, 1, -1, 2, -2 and infinity).
"""
OUTPUT, TAPS = 4, 3
PATCH = OUTPUT + TAPS - 1
POSITIONS = PATCH * PATCH

B_T = [[4, 0, -5, 0, 1, 0],
       [0, -4, -4, 1, 1, 0],
       [0, 4, -4, -1, 1, 0],
       [0, -2, -1, 2, 1, 0],
       [0, 2, -1, -2, 1, 0],
       [0, 4, 0, -5, 0, 1]]
G = [[1 / 4, 0, 0],
     [-1 / 6, -1 / 6, -1 / 6],
     [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6],
     [1 / 24, -1 / 12, 1 / 6],
     [0, 0, 1]]
A_T = [[1, 1, 1, 1, 1, 0],
       [0, 1, -1, 2, -2, 0],
       [0, 1, 1, 4, 4, 0],
       [0, 1, -1, 8, -8, 1]]


def transpose(matrix):
    return [list(column) for column in zip(*matrix)]


def apply(matrix, values):
    """Return matrix @ values for a list of vectors; mirrored pairs of columns and rows share their sums.

    The points come in pairs +p and -p: two columns then differ only in signs, so one sum and one difference of the inputs
    replace both; two rows share their even and odd halves in the same way. B' takes 12 instructions instead of 20.
    """
    columns, values = _share_columns(transpose(matrix), list(values))
    rows = transpose(columns)
    result, taken = [None] * len(rows), set()
    for i, j in _pairs(len(rows)):
        even = [(a + b) / 2 for a, b in zip(rows[i], rows[j])]
        odd = [(a - b) / 2 for a, b in zip(rows[i], rows[j])]
        mirrored = any(even) and any(odd) and not any(a and b for a, b in zip(even, odd))
        if mirrored and not taken & {i, j}:
            half, other = _combination(even, values), _combination(odd, values)
            result[i], result[j] = half + other, half - other
            taken |= {i, j}
    return [value if value is not None else _combination(row, values) for value, row in zip(result, rows)]


def sandwich(matrix, grid):
    """Return matrix @ grid @ matrix.T for a grid (list of rows) of vectors."""
    half = transpose([apply(matrix, column) for column in transpose(grid)])
    return [apply(matrix, row) for row in half]


def _share_columns(columns, values):
    """Replace mirrored columns u, v (of x, y) by (u+v)/2 and (u-v)/2 (of x+y and x-y)."""
    for i, j in _pairs(len(columns)):
        u, v = columns[i], columns[j]
        if [abs(a) for a in u] == [abs(b) for b in v] and any(a == b != 0 for a, b in zip(u, v)) and any(a != b for a, b in zip(u, v)):
            columns[i], columns[j] = [(a + b) / 2 for a, b in zip(u, v)], [(a - b) / 2 for a, b in zip(u, v)]
            values[i], values[j] = values[i] + values[j], values[i] - values[j]
    return columns, values


def _pairs(n):
    return [(i, j) for i in range(n) for j in range(i + 1, n)]


def _combination(coefficients, values):
    """sum_i coefficients[i] * values[i], additions for +-1 and one fused multiply-add for anything else."""
    terms = sorted(((c, v) for c, v in zip(coefficients, values) if c), key=lambda term: (term[0] != 1, abs(term[0]) != 1))
    first, value = terms[0]
    total = value if first == 1 else value * first
    for c, v in terms[1:]:
        total = total + v if c == 1 else total - v if c == -1 else v.fma(c, total)
    return total
