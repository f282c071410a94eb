"""Exercises: convolution, its gradient, its border, Winograd's trick."""
import numpy as np

from tinyvgg.kernels import reference
from tinyvgg.testing.exercises._registry import equal, exercise, expect, several

SHAPES = (((2, 6, 7, 3), (3, 3, 3, 4)), ((1, 5, 4, 2), (2, 3, 2, 5)), ((1, 3, 3, 1), (3, 3, 1, 1)))


def _cases():
    generator = np.random.default_rng(7)
    for image, kernel in SHAPES:
        yield generator.standard_normal(image), generator.standard_normal(kernel), generator.standard_normal(kernel[3])


@exercise
def conv_forward(answer):
    """answer(x, kernel, bias) -> y, stride 1, no padding."""
    for x, kernel, bias in _cases():
        equal(answer(x, kernel, bias), reference.conv2d(x, kernel, bias),
              f"y for images {x.shape} and a kernel {kernel.shape} is not the definition's: correlate, do not flip the kernel")


@exercise
def conv_gradient(answer):
    """answer(dy, x, kernel) -> dx, dkernel, dbias."""
    for x, kernel, bias in _cases():
        dy = np.random.default_rng(8).standard_normal(reference.conv2d(x, kernel, bias).shape)
        dx, dkernel, dbias = several(answer(dy, x, kernel), 3)
        expected = reference.conv2d_backward(dy, x, kernel)
        equal(dbias, expected[2], "dbias: every output pixel has the same bias added, so its gradients are summed")
        equal(dkernel, expected[1], "dkernel: weight (p, q) met x shifted by (p, q), once for every output pixel")
        equal(dx, expected[0], "dx: a pixel is read by several windows; each of them sends something back")


@exercise
def same_padding(answer):
    """answer(size, kernel, stride) -> (before, after), as Keras pads."""
    for size, kernel, stride in ((32, 3, 1), (32, 3, 2), (31, 3, 2), (7, 2, 1), (8, 5, 3), (5, 1, 2), (6, 3, 4)):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        found = several(answer(size, kernel, stride), 2)
        equal(found, (total // 2, total - total // 2), f"size {size}, kernel {kernel}, stride {stride}: the output has "
              "ceil(size / stride) pixels, and the odd pixel of padding goes to the end")


class _Counted:
    """A number that counts its products with numbers of the other kind: data by kernel."""

    def __init__(self, value, kind, tally):
        self.value, self.kind, self.tally = value, kind, tally

    def _with(self, other, value):
        kind = self.kind
        if isinstance(other, _Counted) and other.kind != self.kind:
            kind = "product"
        return _Counted(value, kind, self.tally)

    def __add__(self, other):
        return self._with(other, self.value + getattr(other, "value", other))

    def __sub__(self, other):
        return self._with(other, self.value - getattr(other, "value", other))

    def __rsub__(self, other):
        return self._with(other, other - self.value)

    def __neg__(self):
        return self._with(None, -self.value)

    def __mul__(self, other):
        if isinstance(other, _Counted):
            self.tally.append((self.kind, other.kind))
        return self._with(other, self.value * getattr(other, "value", other))

    def __truediv__(self, other):
        return self._with(None, self.value / other)

    __radd__, __rmul__ = __add__, __mul__


@exercise
def winograd_1d(answer):
    """answer(d, g) -> two outputs of a filter of three taps over four values, with four multiplications of data by filter."""
    d, g = np.array([1.0, -2.0, 3.0, 5.0]), np.array([0.5, 2.0, -1.0])
    right = [d[:3] @ g, d[1:] @ g]
    equal(several(answer(list(d), list(g)), 2), right, "y0 = d0 g0 + d1 g1 + d2 g2, y1 = d1 g0 + d2 g1 + d3 g2")
    tally = []
    found = answer([_Counted(v, "data", tally) for v in d], [_Counted(v, "filter", tally) for v in g])
    equal([getattr(v, "value", v) for v in found], right, "the same with other numbers")
    products = len(tally)
    expect(products <= 4, f"right, but with {products} products of data by filter; four are enough: m1 = (d0 - d2) g0, ...")
