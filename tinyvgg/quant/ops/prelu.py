"""PRelu: a learnt slope below 0 for each channel or each value."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg import kernels
from tinyvgg.errors import QuantError
from tinyvgg.quant.fixedpoint import INT32_MAX, multiply_high_rounded, saturate
from tinyvgg.quant.ops.base import Op, f32, floats, inside, integers, need


@dataclass(frozen=True, eq=False, kw_only=True)
class PRelu(Op):
    """x above 0, alpha x below. alpha has the axes of x; an axis that shares one slope has length 1. In integers, with
    d = x - input_zero,

        q = saturate(smmulr(d * m + (zero << shift), 2^(32 - shift))), m = multiplier where d >= 0, else slopes

    multiplier = 2^shift input_scale / scale, slopes = alpha times that, rounded; shift 2..20, and all of it fits int32.
    """

    alpha: np.ndarray | None = floats(None)
    input_zero: int = integers(0)
    multiplier: int = integers(0)
    slopes: np.ndarray | None = integers(None)
    shift: int = integers(0)

    writes_over_input = True

    @property
    def below(self):
        """alpha, or the int32 slopes that stand for it: one for each channel or each value."""
        return self.slopes if self.integer else self.alpha

    def output_shape(self, before):
        below, dtype = self.below, np.int32 if self.integer else np.float32
        need(isinstance(below, np.ndarray) and below.dtype == dtype and below.ndim == len(before.shape)
             and all(n in (1, m) for n, m in zip(below.shape, before.shape, strict=True)), self,
             "slopes whose shape does not match its input")
        need(self.integer or np.isfinite(below).all(), self, "slopes that are not finite")
        need(before.dtype == self.dtype, self, f"an input of {before.dtype}")
        need(not self.integer or self.input_zero == before.zero, self, "a zero point for its input that is not the input's")
        return before.shape

    def forward(self, x):
        return kernels.prelu(x, self.alpha.astype(x.dtype))

    def backward(self, dy, x, *, parameters=True, limits=None):
        dy = inside(dy, self.forward(x), limits) if limits is not None else dy
        return [kernels.prelu_backward(dy, x, self.alpha.astype(x.dtype))[0]], {}

    def lower(self, work, before):
        scale, zero = work.output(self)
        ratio = before[0].scale / scale
        for shift in range(20, 1, -1):
            multiplier, slopes = round(ratio * 2**shift), np.rint(ratio * 2.0**shift * self.alpha.astype(np.float64))
            if _largest(multiplier, slopes, zero, shift) <= INT32_MAX:
                return PRelu(**self.common, scale=scale, zero=zero, input_zero=before[0].zero, multiplier=multiplier,
                             slopes=slopes.astype(np.int32), shift=shift)
        raise QuantError(f"the input of {self.name!r} is {ratio:.3g} times its result; expected less than a million",
                         "more calibration images")

    def simulate(self, x):
        d = x.astype(np.int32) - self.input_zero
        v = d * np.where(d < 0, self.slopes, np.int32(self.multiplier)) + np.int32(self.zero << self.shift)
        return saturate(multiply_high_rounded(v, 1 << (32 - self.shift))).astype(np.uint8)

    def check(self):
        largest = _largest(self.multiplier, self.slopes, self.zero, self.shift)
        if not 2 <= self.shift <= 20 or largest > INT32_MAX or self.multiplier <= 0:
            raise QuantError(f"{self.name!r} can reach {largest:,} with shift {self.shift} and multiplier {self.multiplier}; expected to "
                             "fit 32 bits, a shift of 2..20 and a multiplier above 0")

    def dequantize(self, graph):
        return PRelu(**self.common, alpha=f32(self.slopes / self.multiplier))

    def counts(self):
        return {"layer": 1, "outputs": math.prod(self.shape)}


def _largest(multiplier, slopes, zero, shift):
    steepest = max(abs(multiplier), int(np.abs(slopes.astype(np.float64)).max(initial=0)))
    return 255 * steepest + (zero << max(shift, 0)) + (1 << max(shift - 1, 0))
