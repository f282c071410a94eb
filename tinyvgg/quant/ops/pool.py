"""Common bases of the pools: a window that slides over a map, and the mean of each window."""
import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyvgg import kernels
from tinyvgg.quant.ops.base import Op, inside, need, pooled_size, vector_or_map


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Op):
    """Windows of pool_size, strides apart. A global pool is one window, the whole map; `shape` may then be (C,)."""

    pool_size: tuple[int, int]
    strides: tuple[int, int]

    padding = ((0, 0), (0, 0))  # a field of the pools that have one

    @property
    def geometry(self):
        """Window, strides and padding, as the float kernels take them."""
        return {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}

    def grid(self, before):
        """Check the padding; return rows and columns of the result."""
        need(all(0 <= n < k for pair, k in zip(self.padding, self.pool_size, strict=True) for n in pair), self,
             f"padding {self.padding}")
        size = [n + sum(p) for n, p in zip(before.shape[:2], self.padding, strict=True)]
        return pooled_size(self, size, self.pool_size, self.strides)

    def output_shape(self, before):
        return vector_or_map(self, self.grid(before), before.shape[2])

    def windows(self, x):
        """x (N, H, W, C) -> its windows (N, OH, OW, C, KH, KW); outside the map they hold 0."""
        padded = np.pad(x, ((0, 0), *self.padding, (0, 0)))
        return sliding_window_view(padded, self.pool_size, axis=(1, 2))[:, :: self.strides[0], :: self.strides[1]]

    def counts(self):
        size = math.prod(self.shape)
        return {"layer": 1, "outputs": size, "products": size * math.prod(self.pool_size)}


class Mean(Pool):
    """The mean of each window, in floats."""

    def forward(self, x):
        return kernels.average_pool2d(x, **self.geometry).reshape(len(x), *self.shape)

    def backward(self, dy, *x, parameters=True, limits=None):
        y = kernels.average_pool2d(x[0], **self.geometry)
        return [kernels.average_pool2d_backward(inside(dy.reshape(y.shape), y, limits), x[0].shape, **self.geometry)], {}

    def dequantize(self, graph):
        return self.in_floats()
