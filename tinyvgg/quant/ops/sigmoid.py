"""Sigmoid at the end of a network: of float logits, or of integer logits, computed in floats or integers."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg import kernels
from tinyvgg.quant.ops.base import integers, need
from tinyvgg.quant.ops.softmax import Exponential, octaves, power


@dataclass(frozen=True, eq=False, kw_only=True)
class Sigmoid(Exponential):
    """Independent probabilities of logits (n,): 1 / (1 + exp(-x)). For integer logits uint8 in units of 1/255 (kind "integer"),
    or float32 (kind "float"). It equals the first output of the softmax of (x, 0) and is computed like it (see Softmax).

    integer:  e(u) of Softmax, with u from |x - input_zero|;   q = (a * 255 + S // 2) // S with S = 2^15 + e(u); a = 2^15 if x >=
              input_zero, else e(u)
    float:    1 / (1 + exp(-input_scale * (x - input_zero)))
    """

    kind: str = integers("integer")
    input_scale: float = integers(1.0)
    input_zero: int = integers(0)
    shift: int = integers(0)
    multiplier: int = integers(0)

    probabilities = "sigmoid"

    def output_shape(self, before):
        fits = not self.integer or self.kind in ("integer", "float") and math.isfinite(self.input_scale)
        need(fits and (not self.integer or self.input_zero == before.zero), self,
             f"the kind {self.kind!r}, or an input_zero that is not its input's")
        return before.shape

    def forward(self, x):
        return kernels.sigmoid(x)

    def backward(self, dy, x, *, parameters=True, limits=None):
        return [kernels.sigmoid_backward(dy, x)], {}

    def lower(self, work, before):
        scale, zero = before[0].scale, before[0].zero
        shift, multiplier = octaves(scale, self.name)
        return Sigmoid(**self.common, scale=1 / 255, kind=work.softmax, input_scale=scale, input_zero=zero, shift=shift, multiplier=multiplier)

    def simulate(self, x):
        x = x.astype(np.int32) - self.input_zero
        below = np.abs(x)
        if self.kind == "float":
            e = np.exp(below.astype(np.float32) * np.float32(-self.input_scale))
            return np.where(x < 0, e, np.float32(1)) / (1 + e)
        e = power(below, self)
        total = e + (1 << 15)
        return ((np.where(x < 0, e, 1 << 15) * 255 + total // 2) // total).astype(np.uint8)

    def counts(self):
        return {"layer": 1, "outputs": math.prod(self.shape)}
