"""AveragePool2D, in integers and in floats."""
import math
from dataclasses import dataclass, replace

import numpy as np

from tinyvgg.errors import QuantError
from tinyvgg.nn.layers import GlobalAveragePooling2D
from tinyvgg.quant.fixedpoint import INT32_MAX, multiply_high_rounded, quantise_multiplier, saturate
from tinyvgg.quant.ops.base import integers
from tinyvgg.quant.ops.pool import Mean


@dataclass(frozen=True, eq=False, kw_only=True)
class AveragePool2D(Mean):
    """The mean of each window, without padding. In integers, q = saturate(smmulr((sum of the window << shift) + offset,
    multiplier)); the sum is of x itself, without the zero point."""

    shift: int = integers(0)
    offset: int = integers(0)
    multiplier: int = integers(0)

    layers = (GlobalAveragePooling2D,)

    @classmethod
    def from_layer(cls, layer, before, **common):
        size = before[0].shape[:2]
        if isinstance(layer, GlobalAveragePooling2D):
            return cls(**common, pool_size=size, strides=(1, 1))
        return cls(**common, pool_size=layer.pool_size, strides=layer.strides)

    def lower(self, work, before):
        scale, zero = work.output(self)
        (source,), n = before, math.prod(self.pool_size)
        levels = source.scale / (n * scale)
        start = zero + work.residue.get(source.name, 0.0) / scale
        for shift in range(int(np.clip(np.ceil(np.log2(levels)) + 8, 0, 15)), -1, -1):
            multiplier = int(quantise_multiplier(levels, shift, repr(self.name)))
            offset = round(start * 2**32 / multiplier) - (n * source.zero << shift)
            if (255 * n << shift) + abs(offset) <= INT32_MAX:
                return replace(self, scale=scale, zero=zero, shift=shift, offset=offset, multiplier=multiplier)
        raise QuantError(f"the window of {self.name!r}, {self.pool_size}, is too large for 32 bits")

    def simulate(self, x):
        total = self.windows(x).sum(axis=(-2, -1), dtype=np.int32)
        q = saturate(multiply_high_rounded((total << self.shift) + self.offset, self.multiplier))
        return q.astype(np.uint8).reshape(len(x), *self.shape)

    def check(self):
        self.check_reach((255 * math.prod(self.pool_size) << self.shift) + abs(self.offset), (0, 15), self.multiplier)
