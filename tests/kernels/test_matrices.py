"""Winograd's matrices, and the instructions that applying them takes."""
import numpy as np
import pytest

from tinyvgg.kernels.fast.matrices import A_T, B_T, FIVE_TAPS, OUTPUT, PATCH, TAPS_5, G, apply, sandwich


class Counted:
    """A number that counts the vector instructions done on it."""

    count = 0

    def __init__(self, value):
        self.value = value

    def _with(self, value):
        Counted.count += 1
        return Counted(value)

    def __add__(self, other):
        return self._with(self.value + other.value)

    def __sub__(self, other):
        return self._with(self.value - other.value)

    def __mul__(self, factor):
        return self._with(self.value * factor)

    def fma(self, factor, addend):
        return self._with(self.value * factor + addend.value)


def test_they_convolve():
    rng = np.random.default_rng(0)
    d, g = rng.standard_normal((PATCH, PATCH)), rng.standard_normal((3, 3))
    direct = [[(d[i:i + 3, j:j + 3] * g).sum() for j in range(OUTPUT)] for i in range(OUTPUT)]
    assert np.allclose(A_T @ ((G @ g @ G.T) * (B_T @ d @ B_T.T)) @ A_T.T, direct, rtol=1e-12)


@pytest.mark.parametrize("name, matrix, most", [("B'", B_T, 12), ("G", G, 9), ("A'", A_T, 12),
                                                ("B", B_T.T, 16), ("G'", G.T, 11), ("A", A_T.T, 8)])
def test_apply(name, matrix, most):
    values = np.random.default_rng(1).standard_normal(matrix.shape[1])
    Counted.count = 0
    result = [v.value for v in apply(matrix, [Counted(v) for v in values])]
    assert np.allclose(result, matrix @ values, rtol=1e-12)
    assert Counted.count <= most


def test_sandwich():
    grid = np.random.default_rng(2).standard_normal((OUTPUT, OUTPUT))
    result = [[v.value for v in row] for row in sandwich(A_T.T, [[Counted(v) for v in row] for row in grid])]
    assert np.allclose(result, A_T.T @ grid @ A_T, rtol=1e-12)


@pytest.mark.parametrize("rows, most", [(4, (16, 19, 24)), (5, (24, 24, 36))])
def test_they_convolve_with_five_taps(rows, most):
    rng = np.random.default_rng(0)
    d, g = rng.standard_normal(rows + TAPS_5 - 1), rng.standard_normal(TAPS_5)
    result, kernel, image = FIVE_TAPS[rows]
    assert np.allclose(result @ ((kernel @ g) * (image @ d)), np.convolve(d, g[::-1], "valid"), rtol=1e-12)
    for matrix, count in zip((result, kernel, image), most, strict=True):
        Counted.count, values = 0, rng.standard_normal(matrix.shape[1])
        found = apply(matrix, [Counted(v) for v in values])
        assert np.allclose([v.value for v in found], matrix @ values, rtol=1e-12)
        assert Counted.count <= count
