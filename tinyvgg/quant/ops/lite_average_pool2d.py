"""The mean of each window by TensorFlow Lite's arithmetic: a division, ties away from zero."""
import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyvgg import kernels
from tinyvgg.errors import QuantError
from tinyvgg.quant.ops.base import inside, integers, need, pooled_size, vector_or_map
from tinyvgg.quant.ops.lite import LiteOp


@dataclass(frozen=True, eq=False, kw_only=True)
class LiteAveragePool2D(LiteOp):
    """q = min(max(round(sum (x - centre) / n) + centre, low), high) over the n values of a window that lie inside the map.

    Ties are rounded away from `centre`, the level that TensorFlow Lite calls 0: 128 for int8, 0 for uint8. Scale and zero point
    are the input's. In floats it is the plain mean.
    """

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    centre: int = integers(128)
    low: int = integers(0)
    high: int = integers(255)

    rounds = True

    def output_shape(self, before):
        need(self.centre in (0, 128) and 0 <= self.low <= self.high <= 255, self, "damaged fields")
        need(not self.integer or (self.scale, self.zero) == (before.scale, before.zero), self,
             "a scale or zero point that is not its input's")
        need(all(0 <= n < k for pair, k in zip(self.padding, self.pool_size, strict=True) for n in pair), self,
             f"padding {self.padding}")
        size = [n + sum(p) for n, p in zip(before.shape[:2], self.padding, strict=True)]
        return vector_or_map(self, pooled_size(self, size, self.pool_size, self.strides), before.shape[2])

    @property
    def geometry(self):
        """Window, strides and padding, as the float kernels take them."""
        return {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}

    def forward(self, x):
        return kernels.average_pool2d(x, **self.geometry).reshape(len(x), *self.shape)

    def backward(self, dy, x, *, parameters=True, limits=None):
        y = kernels.average_pool2d(x, **self.geometry)
        return [kernels.average_pool2d_backward(inside(dy.reshape(y.shape), y, limits), x.shape, **self.geometry)], {}

    def simulate(self, x):
        inside = np.pad(np.ones((1, *x.shape[1:3], 1), np.int64), ((0, 0), *self.padding, (0, 0)))
        total = self._sums(np.pad(x.astype(np.int64) - self.centre, ((0, 0), *self.padding, (0, 0))))
        count = self._sums(inside)
        mean = np.sign(total) * ((np.abs(total) + count // 2) // count)
        return np.clip(mean + self.centre, self.low, self.high).astype(np.uint8).reshape(len(x), *self.shape)

    def _sums(self, x):
        (ph, pw), (sh, sw) = self.pool_size, self.strides
        return sliding_window_view(x, (ph, pw), axis=(1, 2))[:, ::sh, ::sw].sum(axis=(-2, -1))

    def check(self):
        if math.prod(self.pool_size) >= 2**22:
            raise QuantError(f"the window of {self.name!r}, {self.pool_size}, is too large for 32 bits")

    def dequantize(self, graph):
        return LiteAveragePool2D(**self.common, **self.geometry)

    def counts(self):
        size = math.prod(self.shape)
        return {"layer": 1, "outputs": size, "products": size * math.prod(self.pool_size)}
