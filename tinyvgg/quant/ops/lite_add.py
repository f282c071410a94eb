"""The sum of two tensors by TensorFlow Lite's arithmetic."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.errors import QuantError
from tinyvgg.quant.ops.add import Add
from tinyvgg.quant.ops.base import later, need
from tinyvgg.quant.ops.lite import LiteOp
from tinyvgg.quant.ops.lite_tail import lite_activation
from tinyvgg.quant.rounding import ROUNDINGS, multiply, quantise_ratio

LEFT = 20                   # bits by which both inputs are shifted left before they are rescaled to one scale


@dataclass(frozen=True, eq=False, kw_only=True)
class LiteAdd(LiteOp):
    """q = min(max(m(m((x0 - z0) << 20) + m((x1 - z1) << 20)) + zero, low), high), in integers only.

    m multiplies by a pair (multiplier, exponent) and rounds, as quant/rounding.py defines. Each input and the sum have their own
    pair.
    """

    zeros: tuple[int, int]
    multipliers: tuple[int, int, int]
    exponents: tuple[int, int, int]
    low: int = 0
    high: int = 255
    rounding: str = later("double")

    writes_over_input = True

    @classmethod
    def between(cls, a, b, **common):
        """Return the sum of two integer ops; common: name, inputs, shape, scale, zero, low, high, rounding."""
        twice = 2 * max(a.scale, b.scale)
        ratios = [quantise_ratio(v) for v in (a.scale / twice, b.scale / twice, twice / ((1 << LEFT) * common["scale"]))]
        return cls(**common, zeros=(a.zero, b.zero), multipliers=tuple(m for m, _ in ratios), exponents=tuple(e for _, e in ratios))

    def output_shape(self, a, b):
        need(a.shape == b.shape, self, "inputs of different shapes")
        need(self.integer and self.rounding in ROUNDINGS, self, "damaged fields")
        need(len(self.zeros) == 2 and len(self.multipliers) == len(self.exponents) == 3, self, "damaged fields")
        need(self.zeros == (a.zero, b.zero) and 0 <= self.low <= self.high <= 255, self,
             "zero points that are not its inputs', or wrong limits")
        return a.shape

    def simulate(self, a, b):
        parts = [multiply((x.astype(np.int64) - z) << LEFT, m, e, self.rounding)
                 for x, z, m, e in zip((a, b), self.zeros, self.multipliers, self.exponents[:2], strict=False)]
        v = multiply(sum(parts), self.multipliers[2], self.exponents[2], self.rounding) + self.zero
        return np.clip(v, self.low, self.high).astype(np.uint8)

    def check(self):
        if any(not 0 <= m < 2**31 for m in self.multipliers) or any(not -31 <= e <= 0 for e in self.exponents):
            raise QuantError(f"{self.name!r} has multipliers {self.multipliers} and exponents {self.exponents}; expected 31 bits, and "
                             "-31..0: its inputs are more than 2^19 times its result")

    def dequantize(self, graph):
        return Add(**self.common, **lite_activation(self, self.low, self.high))

    def counts(self):
        return {"layer": 1, "outputs": math.prod(self.shape)}
