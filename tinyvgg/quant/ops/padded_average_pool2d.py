"""PaddedAveragePool2D: means of windows that may reach beyond the map; padded pixels are not counted."""
import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyvgg import kernels
from tinyvgg.errors import QuantError
from tinyvgg.quant.fixedpoint import INT32_MAX, multiply_high_rounded, quantise_multiplier, saturate
from tinyvgg.quant.ops.base import Op, inside, integers, need, pooled_size


@dataclass(frozen=True, eq=False, kw_only=True)
class PaddedAveragePool2D(Op):
    """The mean of the values of each window that lie inside the map, with padding ((top, bottom), (left, right)). In integers

        q = saturate(smmulr((sum << shift) + offsets[n - 1], multipliers[n - 1])), where n is the number of values
    """

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    shift: int = integers(0)
    offsets: np.ndarray | None = integers(None)
    multipliers: np.ndarray | None = integers(None)

    @property
    def geometry(self):
        """Window, strides and padding, as the float kernels take them."""
        return {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}

    def output_shape(self, before):
        need(len(before.shape) == 3 and all(0 <= n < k for pair, k in zip(self.padding, self.pool_size, strict=True) for n in pair),
             self, f"padding {self.padding}")
        wanted = (math.prod(self.pool_size),)
        need(not self.integer or all(isinstance(a, np.ndarray) and a.dtype == np.int32 and a.shape == wanted
                                     for a in (self.offsets, self.multipliers)), self, "damaged multipliers")
        size = [n + sum(p) for n, p in zip(before.shape[:2], self.padding, strict=True)]
        return (*pooled_size(self, size, self.pool_size, self.strides), before.shape[2])

    def forward(self, x):
        return kernels.average_pool2d(x, **self.geometry)

    def backward(self, dy, x, *, parameters=True, limits=None):
        dy = dy if limits is None else inside(dy, self.forward(x), limits)
        return [kernels.average_pool2d_backward(dy, x.shape, **self.geometry)], {}

    def lower(self, work, before):
        scale, zero = work.output(self)
        (source,), largest = before, math.prod(self.pool_size)
        start = zero + work.residue.get(source.name, 0.0) / scale
        counted = np.arange(1, largest + 1)
        for shift in range(int(np.clip(np.ceil(np.log2(source.scale / scale)) + 8, 0, 15)), -1, -1):
            if source.scale / scale >= 2.0 ** (shift - 1):
                break
            multipliers = quantise_multiplier(source.scale / (counted * scale), shift, repr(self.name))
            offsets = np.rint(start * 2.0**32 / np.maximum(multipliers, 1)) - (counted * source.zero * 2.0**shift)
            if (multipliers > 0).all() and ((255 * counted << shift) + np.abs(offsets) <= INT32_MAX).all():
                return PaddedAveragePool2D(**self.common, **self.geometry, scale=scale, zero=zero, shift=shift,
                                           offsets=offsets.astype(np.int32), multipliers=multipliers)
        raise QuantError(f"the window of {self.name!r}, {self.pool_size}, is too large for 32 bits")

    def simulate(self, x):
        total = self._windows(x)
        n = self._windows(np.ones((1, *x.shape[1:3], 1), np.uint8))
        return saturate(multiply_high_rounded((total << self.shift) + self.offsets[n - 1], self.multipliers[n - 1])).astype(np.uint8)

    def _windows(self, x):
        """Sums of the windows of x, which is 0 outside the map: (N, OH, OW, C) int32."""
        (ph, pw), (sh, sw) = self.pool_size, self.strides
        padded = np.pad(x, ((0, 0), *self.padding, (0, 0)))
        return sliding_window_view(padded, (ph, pw), axis=(1, 2))[:, ::sh, ::sw].sum(axis=(-2, -1), dtype=np.int32)

    def check(self):
        counted = np.arange(1, math.prod(self.pool_size) + 1, dtype=np.int64)
        if not 0 <= self.shift <= 15 or ((255 * counted << self.shift) + np.abs(self.offsets.astype(np.int64)) > INT32_MAX).any():
            raise QuantError(f"{self.name!r} can leave 32 bits with shift {self.shift}")

    def dequantize(self, graph):
        return PaddedAveragePool2D(**self.common, **self.geometry)

    def counts(self):
        size = math.prod(self.shape)
        return {"layer": 1, "outputs": size, "products": size * math.prod(self.pool_size)}
