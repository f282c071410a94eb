"""MaxPool2D that is not merged into a convolution."""
import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyvgg import kernels
from tinyvgg.nn.layers import GlobalMaxPooling2D
from tinyvgg.nn.layers._spatial import padding_for
from tinyvgg.quant.ops.base import Keeps, need, pooled_size, vector_or_map


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool2D(Keeps):
    """The maximum of each window, in the input's scale and zero point; a padded pixel is never the maximum."""

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    layers = (GlobalMaxPooling2D,)

    @classmethod
    def from_layer(cls, layer, before, **common):
        size = before[0].shape[:2]
        if isinstance(layer, GlobalMaxPooling2D):
            return cls(**common, pool_size=size, strides=(1, 1))
        padding = padding_for(layer.padding, size, layer.pool_size, layer.strides)
        return cls(**common, pool_size=layer.pool_size, strides=layer.strides, padding=padding)

    @property
    def by_rows(self):
        return len(self.shape) == 3

    def rows_read(self, row):
        """Return (first, end): the input rows that row `row` of the result reads; they may lie outside the map."""
        first = row * self.strides[0] - self.padding[0][0]
        return first, first + self.pool_size[0]

    @property
    def geometry(self):
        """Window, strides and padding, as the float kernels take them."""
        return {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}

    def output_shape(self, before):
        need(all(0 <= n < k for pair, k in zip(self.padding, self.pool_size, strict=True) for n in pair), self,
             f"padding {self.padding}")
        size = [n + sum(p) for n, p in zip(before.shape[:2], self.padding, strict=True)]
        return vector_or_map(self, pooled_size(self, size, self.pool_size, self.strides), before.shape[2])

    def forward(self, x):
        return kernels.max_pool2d(x, **self.geometry)[0].reshape(len(x), *self.shape)

    def backward(self, dy, x, *, parameters=True, limits=None):
        argmax = kernels.max_pool2d(x, **self.geometry)[1]
        return [kernels.max_pool2d_backward(dy.reshape(argmax.shape), argmax, x.shape, **self.geometry)], {}

    def simulate(self, x):
        (ph, pw), (sh, sw) = self.pool_size, self.strides
        padded = np.pad(x, ((0, 0), *self.padding, (0, 0)))  # 0 is the smallest level
        windows = sliding_window_view(padded, (ph, pw), axis=(1, 2))[:, ::sh, ::sw]
        return windows.max(axis=(-2, -1)).reshape(len(x), *self.shape)

    def counts(self):
        size = math.prod(self.shape)
        return {"layer": 1, "outputs": size, "products": size * math.prod(self.pool_size)}
