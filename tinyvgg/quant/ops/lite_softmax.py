"""Softmax in TensorFlow Lite's arithmetic: an exponential of 31 bits, a reciprocal by Newton's method."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.quant.ops.base import need
from tinyvgg.quant.ops.lite import LiteOp
from tinyvgg.quant.ops.softmax import Softmax
from tinyvgg.quant.rounding import halve, high_product, quantise_ratio

INTEGER_BITS = 5            # integer bits of the exponential's argument, which has 31 - 5 fractional bits
SUM_BITS = 12               # integer bits of the sum
ONE = 2**31 - 1
# exp(-2^k), k = -2..4, and constants of the series around -1/8, with 31 fractional bits.
POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
AT_EIGHTH, THIRD = 1895147668, 715827883


@dataclass(frozen=True, eq=False, kw_only=True)
class LiteSoftmax(LiteOp):
    """Probabilities of levels x (n,), in units of 1/256: e = exponentials[max x - x], S = sum of e / 2^12, q = e / S.

    exponentials: int32 (256,) with 31 fractional bits; 0 for differences that TensorFlow Lite ignores.
    """

    exponentials: np.ndarray

    rounds = False
    probabilities = True

    def output_shape(self, before):
        need(self.integer and isinstance(self.exponentials, np.ndarray) and self.exponentials.shape == (256,)
             and self.exponentials.dtype == np.int32 and self.exponentials[0] == ONE and (self.exponentials >= 0).all(), self,
             "no exponentials of 256 differences")
        need(before.dtype == "uint8" and math.prod(before.shape) < 2**SUM_BITS, self,
             "an input that is not uint8 or has more than 4,095 values")
        return before.shape

    def simulate(self, x):
        below = x.max(axis=-1, keepdims=True).astype(np.int64) - x
        e = self.exponentials.astype(np.int64)[below]
        total = halve(e, SUM_BITS).sum(axis=-1, keepdims=True)
        scale, over = reciprocal(total)
        right = over + 31 - 8
        v = high_product(scale, e)
        v = (v + (np.int64(1) << (right - 1))) >> right
        return np.clip(np.where(e == 0, 0, v), 0, 255).astype(np.uint8)

    def check(self):
        """The sum of up to 4,095 exponentials / 2^12 fits 31 bits."""

    def dequantize(self, graph):
        return Softmax(**self.common)

    def counts(self):
        return {"layer": 1, "outputs": math.prod(self.shape)}


def exponentials(scale, beta=1.0):
    """Return int32 (256,): exp(-beta * scale * k) for k in 0..255, as TensorFlow Lite's reference kernel computes it."""
    real = min(beta * scale * 2.0 ** (31 - INTEGER_BITS), 2.0**31 - 1)
    multiplier, left = quantise_ratio(real)
    least = -math.floor((2**INTEGER_BITS - 1) * 2.0 ** (31 - INTEGER_BITS) / 2.0**left)
    k = np.arange(256)
    a = high_product(-k * (1 << max(left, 0)), multiplier)
    return np.where(-k >= least, _exponential(np.maximum(a, -(2**31))), 0).astype(np.int32)


def _exponential(a):
    """exp(a / 2^26) for a <= 0, with 31 fractional bits."""
    bits = 31 - INTEGER_BITS
    part = (a & ((1 << (bits - 2)) - 1)) - (1 << (bits - 2))
    x = (part << INTEGER_BITS) + (1 << 28)
    x2 = high_product(x, x)
    x3, x4 = high_product(x2, x), high_product(x2, x2)
    series = halve(high_product(halve(x4, 2) + x3, THIRD) + x2, 1)
    result = AT_EIGHTH + high_product(AT_EIGHTH, x + series)
    rest = part - a
    for power, value in zip(range(-2, 5), POWERS, strict=True):
        result = np.where(rest & (1 << (bits + power)), high_product(result, value), result)
    return np.where(a == 0, ONE, result)


def reciprocal(total):
    """Return (scale, bits) with 1 / (total / 2^(31 - 12)) = scale / 2^31 / 2^bits; total: int64 array, 1 .. 2^31 - 1."""
    headroom = 32 - np.frompyfunc(lambda n: int(n).bit_length(), 1, 1)(total).astype(np.int64)
    fraction = (total << headroom) - (1 << 31)
    half = fraction + ONE
    half = (half + np.where(half >= 0, 1, -1)) // 2
    x = 1515870810 + high_product(half, -1010580540)
    for _ in range(3):
        left = (1 << 29) - high_product(half, x)
        x = x + np.clip(high_product(x, left) << 2, -(2**31), ONE)
    return np.clip(x << 1, -(2**31), ONE), SUM_BITS - headroom
