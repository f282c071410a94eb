"""Exercises: convolution, its gradient, its border, Winograd's trick."""
import numpy as np

from tinyvgg.kernels import reference
from tinyvgg.testing.exercises._registry import equal, exercise, expect, several, shaped

SHAPES = (((2, 6, 7, 3), (3, 3, 3, 4)), ((1, 5, 4, 2), (2, 3, 2, 5)), ((1, 3, 3, 1), (3, 3, 1, 1)))


def _cases():
    generator = np.random.default_rng(7)
    for image, kernel in SHAPES:
        yield generator.standard_normal(image), generator.standard_normal(kernel), generator.standard_normal(kernel[3])


@exercise(where="how x and the kernel meet for one place (p, q) of the kernel: which pixels does that weight see?",
          how="for each (p, q) multiply a picture shifted by (p, q), as large as the output, with the C x F matrix there; "
              "add these up, and the bias once")
def conv_forward(answer):
    """answer(x, kernel, bias) -> y, stride 1, no padding."""
    for x, kernel, bias in _cases():
        found = answer(x, kernel, bias)
        shaped(found, reference.conv2d(x, kernel, bias).shape, "y")
        expect(not np.allclose(np.asarray(found, float), reference.conv2d(x, kernel[::-1, ::-1], bias)),
               "the kernel is turned round: this is the mathematicians' convolution, not the correlation of the definition")
        equal(found, reference.conv2d(x, kernel, bias),
              f"y for images {x.shape} and a kernel {kernel.shape}")


@exercise(where="each formula above names what is summed and what is not: compare the indices of result and sum",
          how="loop over (p, q) again: where forward read a shifted picture, dx is added to; dkernel sums a product over "
              "n, i and j; dbias sums dy over all but f")
def conv_gradient(answer):
    """answer(dy, x, kernel) -> dx, dkernel, dbias."""
    for x, kernel, bias in _cases():
        dy = np.random.default_rng(8).standard_normal(reference.conv2d(x, kernel, bias).shape)
        dx, dkernel, dbias = several(answer(dy, x, kernel), 3)
        expected = reference.conv2d_backward(dy, x, kernel)
        equal(dbias, expected[2], f"dbias for dy {dy.shape}")
        equal(dkernel, expected[1], f"dbias is right; dkernel for a kernel {kernel.shape}")
        equal(dx, expected[0], f"dbias and dkernel are right; dx for images {x.shape}")


@exercise(where="how many pixels the last window reaches beyond the image; and which side gets the odd one",
          how="the formula above is the total, never below 0; half of it, rounded down, goes before, the rest to the end")
def same_padding(answer):
    """answer(size, kernel, stride) -> (before, after), as Keras pads."""
    for size, kernel, stride in ((32, 3, 1), (32, 3, 2), (31, 3, 2), (7, 2, 1), (8, 5, 3), (5, 1, 2), (6, 3, 4), (6, 1, 4)):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        found = several(answer(size, kernel, stride), 2)
        equal(found, (total // 2, total - total // 2),
              f"the pixels before and after for size {size}, kernel {kernel}, stride {stride}")


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


@exercise(where="write m1 to m4 out in d and g, and look which terms of y0 and y1 each of them brings",
          how="both outputs are sums of three of the four, with signs: m2 and m3 are in both, m1 and m4 in one each")
def winograd_1d(answer):
    """answer(d, g) -> two outputs of a filter of three taps over four values, with four multiplications of data by filter."""
    d, g = np.array([1.0, -2.0, 3.0, 5.0]), np.array([0.5, 2.0, -1.0])
    right = [d[:3] @ g, d[1:] @ g]
    equal(several(answer(list(d), list(g)), 2), right, "y0, y1 for d = 1, -2, 3, 5 and g = 0.5, 2, -1")
    tally = []
    found = answer([_Counted(v, "data", tally) for v in d], [_Counted(v, "filter", tally) for v in g])
    equal([getattr(v, "value", v) for v in found], right, "y0, y1, counted")
    products = len(tally)
    expect(products <= 4, f"y0 and y1 are right, but took {products} products of data by filter; four are enough")
