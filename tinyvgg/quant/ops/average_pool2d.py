"""AveragePool2D, in integers and in floats."""
import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyvgg import kernels
from tinyvgg.errors import QuantError
from tinyvgg.nn.layers import GlobalAveragePooling2D
from tinyvgg.quant.fixedpoint import INT32_MAX, multiply_high_rounded, quantise_multiplier, saturate
from tinyvgg.quant.ops.base import Op, inside, integers, pooled_size, vector_or_map


@dataclass(frozen=True, eq=False, kw_only=True)
class AveragePool2D(Op):
    """The mean of each window, without padding. In integers, q = saturate(smmulr((sum of the window << shift) + offset,
    multiplier)); the sum is of x itself, without the zero point. A global pool is one window, the whole map; `shape` may then be
    (C,)."""

    pool_size: tuple[int, int]
    strides: tuple[int, int]
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

    @property
    def geometry(self):
        """Window and strides, as the float kernels take them."""
        return {"pool_size": self.pool_size, "strides": self.strides}

    def output_shape(self, before):
        return vector_or_map(self, pooled_size(self, before.shape[:2], self.pool_size, self.strides), before.shape[2])

    def forward(self, x):
        return kernels.average_pool2d(x, **self.geometry).reshape(len(x), *self.shape)

    def backward(self, dy, x, *, parameters=True, limits=None):
        y = kernels.average_pool2d(x, **self.geometry)
        return [kernels.average_pool2d_backward(inside(dy.reshape(y.shape), y, limits), x.shape, **self.geometry)], {}

    def lower(self, work, before):
        scale, zero = work.output(self)
        (source,), n = before, math.prod(self.pool_size)
        levels = source.scale / (n * scale)
        start = zero + work.residue.get(source.name, 0.0) / scale
        for shift in range(int(np.clip(np.ceil(np.log2(levels)) + 8, 0, 15)), -1, -1):
            multiplier = int(quantise_multiplier(levels, shift, repr(self.name)))
            offset = round(start * 2**32 / multiplier) - (n * source.zero << shift)
            if (255 * n << shift) + abs(offset) <= INT32_MAX:
                return AveragePool2D(**self.common, **self.geometry, scale=scale, zero=zero, shift=shift, offset=offset,
                                     multiplier=multiplier)
        raise QuantError(f"the window of {self.name!r}, {self.pool_size}, is too large for 32 bits")

    def simulate(self, x):
        (ph, pw), (sh, sw) = self.pool_size, self.strides
        total = sliding_window_view(x, (ph, pw), axis=(1, 2))[:, ::sh, ::sw].sum(axis=(-2, -1), dtype=np.int32)
        q = saturate(multiply_high_rounded((total << self.shift) + self.offset, self.multiplier))
        return q.astype(np.uint8).reshape(len(x), *self.shape)

    def check(self):
        largest = (255 * math.prod(self.pool_size) << self.shift) + abs(self.offset)
        if largest > INT32_MAX or not 0 <= self.shift <= 15 or abs(self.multiplier) > INT32_MAX:
            raise QuantError(f"{self.name!r} can reach {largest:,} with shift {self.shift}; expected to fit 32 bits and a shift of "
                             "0..15")

    def dequantize(self, graph):
        return AveragePool2D(**self.common, **self.geometry)

    def counts(self):
        size = math.prod(self.shape)
        return {"layer": 1, "outputs": size, "products": size * math.prod(self.pool_size)}
