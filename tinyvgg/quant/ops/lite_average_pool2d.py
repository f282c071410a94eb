"""The mean of each window by TensorFlow Lite's arithmetic: a division, ties away from zero."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.errors import QuantError
from tinyvgg.quant.ops.base import integers, need
from tinyvgg.quant.ops.lite import LiteOp
from tinyvgg.quant.ops.pool import Mean


@dataclass(frozen=True, eq=False, kw_only=True)
class LiteAveragePool2D(Mean, LiteOp):
    """q = min(max(round(sum (x - centre) / n) + centre, low), high) over the n values of a window that lie inside the map.

    Ties are rounded away from `centre`, the level that TensorFlow Lite calls 0: 128 for int8, 0 for uint8. Scale and zero point
    are the input's. In floats it is the plain mean.
    """

    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    centre: int = integers(128)
    low: int = integers(0)
    high: int = integers(255)

    rounds = True

    def output_shape(self, before):
        need(self.centre in (0, 128) and 0 <= self.low <= self.high <= 255, self, "damaged fields")
        need(not self.integer or (self.scale, self.zero) == (before.scale, before.zero), self,
             "a scale or zero point that is not its input's")
        return super().output_shape(before)

    def simulate(self, x):
        inside = np.ones((1, *x.shape[1:3], 1), np.int64)
        total, count = (self.windows(v).sum(axis=(-2, -1)) for v in (x.astype(np.int64) - self.centre, inside))
        mean = np.sign(total) * ((np.abs(total) + count // 2) // count)
        return np.clip(mean + self.centre, self.low, self.high).astype(np.uint8).reshape(len(x), *self.shape)

    def check(self):
        if math.prod(self.pool_size) >= 2**22:
            raise QuantError(f"the window of {self.name!r}, {self.pool_size}, is too large for 32 bits")
