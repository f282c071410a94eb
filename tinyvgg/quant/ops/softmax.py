"""Softmax: of float logits, or of integer logits, computed in floats or integers."""
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinyvgg import kernels
from tinyvgg.errors import QuantError
from tinyvgg.quant.fixedpoint import INT32_MAX, multiply_high_rounded, quantise_multiplier
from tinyvgg.quant.ops.base import Op, integers, need


@lru_cache(maxsize=1)
def octave_table():
    """Return 2^15 * 2^(-j/256), rounded, for j in 0..255: uint16. The integer softmax's only table."""
    return np.rint(2.0 ** (15 - np.arange(256) / 256)).astype(np.uint16)


def octaves(scale, name):
    """Return (shift, multiplier) that turn differences of logits with this scale into 1/256 octaves."""
    count = scale * np.log2(np.e) * 256  # 1/256 octaves for one level of the logits
    shift = int(np.clip(np.ceil(np.log2(count)) + 4, 0, 14))
    return shift, int(quantise_multiplier(count, shift, repr(name)))


def shares(e):
    """Return whole numbers e (..., K) divided by their sum: uint8 in units of 1/255, rounded half up."""
    total = e.sum(axis=-1, keepdims=True)
    return ((e * 255 + total // 2) // total).astype(np.uint8)


def power(below, op):
    """Return 2^15 exp(-below), rounded down, int32. below: how far each logit is below the largest one, in the logits' levels."""
    u = multiply_high_rounded(below << op.shift, op.multiplier)
    return octave_table()[u & 255].astype(np.int32) >> np.minimum(u >> 8, 31)


class Exponential(Op):
    """Base of the ops whose integers are powers of 2 (see `power`); their fields shift and multiplier are those of `octaves`."""

    kind = "integer"  # a field of those at the end of a network, which may compute in floats instead
    rounds = False

    @property
    def dtype(self):
        return "uint8" if self.integer and self.kind == "integer" else "float32"

    def forward(self, x):
        return kernels.softmax(x)

    def backward(self, dy, x, *, parameters=True, limits=None):
        return [kernels.softmax_backward(dy, x)], {}

    def check(self):
        if not 0 <= self.shift <= 14 or not 0 <= self.multiplier <= INT32_MAX:
            raise QuantError(f"{self.name!r} has shift {self.shift}, multiplier {self.multiplier}; expected 0..14 and 0..2^31-1")

    def dequantize(self, graph):
        return self.in_floats()


@dataclass(frozen=True, eq=False, kw_only=True)
class Softmax(Exponential):
    """Probabilities of logits (n,): exp(x - max x) / sum. For integer logits uint8 in units of 1/255 (kind "integer"), or float32
    (kind "float").

    integer:  u = smmulr((max x - x) << shift, multiplier), in 1/256 octave
              e = TABLE[u & 255] >> (u >> 8), 0 from 16 octaves on;   TABLE[j] = round(2^15 * 2^(-j / 256)), uint16
              q = (e * 255 + S // 2) // S, S = sum e
    float:    exp(input_scale * (x - max x)) / sum
    """

    kind: str = integers("integer")
    input_scale: float = integers(1.0)
    shift: int = integers(0)
    multiplier: int = integers(0)

    probabilities = "softmax"

    def output_shape(self, before):
        need(not self.integer or self.kind in ("integer", "float") and math.isfinite(self.input_scale), self,
             f"the kind {self.kind!r}")
        return before.shape

    def lower(self, work, before):
        scale = before[0].scale
        shift, multiplier = octaves(scale, self.name)
        return Softmax(**self.common, scale=1 / 255, kind=work.softmax, input_scale=scale, shift=shift, multiplier=multiplier)

    def simulate(self, x):
        below = x.max(axis=-1, keepdims=True).astype(np.int32) - x
        if self.kind == "float":
            e = np.exp(below.astype(np.float32) * np.float32(-self.input_scale))
            return e / e.sum(axis=-1, keepdims=True)
        return shares(power(below, self))

    def counts(self):
        return {"layer": 1, "outputs": math.prod(self.shape)}
