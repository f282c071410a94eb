"""Common base of the two convolutions: a window that slides over a map, and a fused max-pool."""
import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyvgg.quant.ops.base import images, integers, need, pooled_size
from tinyvgg.quant.ops.weighted import Weighted

WORKSPACE = 2**22  # values of one batch's windows: 16 MB of float32


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Weighted):
    """Weights (F, KH, KW, ...). padding ((top, bottom), (left, right)) of pixels that hold input_zero.

    pool: (height, width, row stride, column stride) of a fused max-pool without padding, or None; `shape` is the shape after it.
    """

    strides: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    pool: tuple[int, int, int, int] | None = None
    variant: str = integers("direct")  # one of VARIANTS

    @property
    def by_rows(self):
        return len(self.shape) == 3 and self.variant == "direct"

    @property
    def writes_over_input(self):
        """Winograd's kernels keep copies of the rows that they still need, so a result as high as the input may overwrite it."""
        return self.variant.startswith("winograd") and self.pool is None and sum(self.padding[0]) == 2

    def rows_read(self, row):
        """Return (first, end): the input rows that row `row` of the result reads; they may lie outside the map."""
        pool, _, step, _ = self.pool or (1, 1, 1, 1)
        first = row * step * self.strides[0] - self.padding[0][0]
        return first, first + (pool - 1) * self.strides[0] + (self.weights.shape[1] - 1) * self.dilation[0] + 1

    @property
    def geometry(self):
        """Strides, padding and dilation, as the float kernels take them."""
        return {"strides": self.strides, "padding": self.padding, "dilation": self.dilation}

    @property
    def size(self):
        """Rows and columns of the convolution's result, before the pool: only those that the pool reads."""
        oh, ow = self.shape[:2] if len(self.shape) == 3 else (1, 1)
        ph, pw, sh, sw = self.pool or (1, 1, 1, 1)
        return (oh - 1) * sh + ph, (ow - 1) * sw + pw

    @property
    def results(self):
        return math.prod(self.size) * self.shape[-1]

    def windows(self, x, values, dtype):
        """Yield (slice, windows of these images, minus the zero point, border included): (n, OH, OW, KH, KW, C). values: how many
        an image has."""
        x, step = images(x), max(1, WORKSPACE // (math.prod(self.size) * values))
        for i in range(0, len(x), step):
            yield slice(i, i + step), self._windows(x[i : i + step], dtype)

    def _windows(self, x, dtype):
        padded = np.zeros((len(x), x.shape[1] + sum(self.padding[0]), x.shape[2] + sum(self.padding[1]), x.shape[3]), dtype)
        (top, _), (left, _) = self.padding
        np.subtract(x, dtype(self.input_zero), out=padded[:, top : top + x.shape[1], left : left + x.shape[2]], dtype=dtype)
        (dh, dw), (sh, sw) = self.dilation, self.strides
        extent = dh * (self.weights.shape[1] - 1) + 1, dw * (self.weights.shape[2] - 1) + 1
        views = sliding_window_view(padded, extent, axis=(1, 2))[:, ::sh, ::sw, :, ::dh, ::dw]
        return np.ascontiguousarray(views.transpose(0, 1, 2, 4, 5, 3))

    def mean_input(self, v):
        return images(v).mean(axis=(1, 2))

    def output_size(self, before):
        """Rows and columns of the result."""
        h, w = before.shape[:2] if len(before.shape) == 3 else (1, 1)
        size = []
        for n, k, s, d, (a, b) in zip((h, w), self.weights.shape[1:3], self.strides, self.dilation, self.padding, strict=True):
            need(s >= 1 and d >= 1 and 0 <= a < 2**12 and 0 <= b < 2**12, self, "impossible strides, dilation or padding")
            size.append((n + a + b - d * (k - 1) - 1) // s + 1)
        return pooled_size(self, size, self.pool[:2], self.pool[2:]) if self.pool else size
