"""PaddedAveragePool2D: means of windows that may reach beyond the map; padded pixels are not counted."""
import math
from dataclasses import dataclass, replace

import numpy as np

from tinyvgg.errors import QuantError
from tinyvgg.quant.fixedpoint import INT32_MAX, multiply_high_rounded, quantise_multiplier, saturate
from tinyvgg.quant.ops.base import integers, need
from tinyvgg.quant.ops.pool import Mean


@dataclass(frozen=True, eq=False, kw_only=True)
class PaddedAveragePool2D(Mean):
    """The mean of the values of each window that lie inside the map, with padding ((top, bottom), (left, right)). In integers

        q = saturate(smmulr((sum << shift) + offsets[n - 1], multipliers[n - 1])), where n is the number of values
    """

    padding: tuple[tuple[int, int], tuple[int, int]]
    shift: int = integers(0)
    offsets: np.ndarray | None = integers(None)
    multipliers: np.ndarray | None = integers(None)

    def output_shape(self, before):
        need(len(before.shape) == 3, self, f"padding {self.padding}")
        grid, wanted = self.grid(before), (math.prod(self.pool_size),)
        need(not self.integer or all(isinstance(a, np.ndarray) and a.dtype == np.int32 and a.shape == wanted
                                     for a in (self.offsets, self.multipliers)), self, "damaged multipliers")
        return (*grid, before.shape[2])

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
                return replace(self, scale=scale, zero=zero, shift=shift, offsets=offsets.astype(np.int32), multipliers=multipliers)
        raise QuantError(f"the window of {self.name!r}, {self.pool_size}, is too large for 32 bits")

    def simulate(self, x):
        total, n = (self.windows(v).sum(axis=(-2, -1), dtype=np.int32) for v in (x, np.ones((1, *x.shape[1:3], 1), np.uint8)))
        return saturate(multiply_high_rounded((total << self.shift) + self.offsets[n - 1], self.multipliers[n - 1])).astype(np.uint8)

    def check(self):
        counted = np.arange(1, math.prod(self.pool_size) + 1, dtype=np.int64)
        if not 0 <= self.shift <= 15 or ((255 * counted << self.shift) + np.abs(self.offsets.astype(np.int64)) > INT32_MAX).any():
            raise QuantError(f"{self.name!r} can leave 32 bits with shift {self.shift}")
