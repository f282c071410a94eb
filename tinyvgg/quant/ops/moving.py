"""Ops that only move values: Reshape, Pad2D, Crop2D, Permute, in the input's scale and zero point."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.kernels.reference import crop, pad
from tinyvgg.nn.layers import Cropping2D
from tinyvgg.quant.ops.base import Keeps, need

MOST = 2**12  # rows or columns of a border


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Keeps):
    """The same values in another shape; nothing moves in memory."""

    writes_over_input = True

    def output_shape(self, before):
        need(math.prod(before.shape) == math.prod(self.shape) and before.dtype == self.dtype, self, f"an input of {before.shape}")
        return self.shape

    def forward(self, x):
        return x.reshape(len(x), *self.shape)

    def backward(self, dy, x, *, parameters=True, limits=None):
        return [dy.reshape(x.shape)], {}

    def counts(self):
        return {"layer": 1, "outputs": math.prod(self.shape)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad2D(Keeps):
    """A border of real zeros, ((top, bottom), (left, right)); in integers it holds the zero point."""

    padding: tuple[tuple[int, int], tuple[int, int]]

    def output_shape(self, before):
        need(len(before.shape) == 3 and all(0 <= n < MOST for pair in self.padding for n in pair), self, f"padding {self.padding}")
        (h, w, c), ((top, bottom), (left, right)) = before.shape, self.padding
        return h + top + bottom, w + left + right, c

    def forward(self, x):
        return pad(x, self.padding, self.zero)

    def backward(self, dy, x, *, parameters=True, limits=None):
        return [np.ascontiguousarray(crop(dy, self.padding))], {}

    def counts(self):
        return {"layer": 1, "lines": self.shape[0], "outputs": math.prod(self.shape)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Crop2D(Keeps):
    """Rows and columns cut off, ((top, bottom), (left, right))."""

    cropping: tuple[tuple[int, int], tuple[int, int]]

    layers = (Cropping2D,)

    @classmethod
    def from_layer(cls, layer, before, **common):
        return cls(**common, cropping=layer.cropping)

    def output_shape(self, before):
        need(len(before.shape) == 3 and all(n >= 0 for pair in self.cropping for n in pair), self, f"cropping {self.cropping}")
        (h, w, c), ((top, bottom), (left, right)) = before.shape, self.cropping
        return h - top - bottom, w - left - right, c

    def forward(self, x):
        return np.ascontiguousarray(crop(x, self.cropping))

    def backward(self, dy, x, *, parameters=True, limits=None):
        return [pad(dy, self.cropping)], {}

    def counts(self):
        return {"layer": 1, "lines": self.shape[0], "outputs": math.prod(self.shape)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Permute(Keeps):
    """The axes of a map in another order: axis i of the result is axis axes[i] of the input; axes count from 0."""

    axes: tuple[int, int, int]

    def output_shape(self, before):
        need(len(before.shape) == 3 and sorted(self.axes) == [0, 1, 2], self, f"axes {self.axes} of {before.shape}")
        return tuple(before.shape[i] for i in self.axes)

    def forward(self, x):
        return np.ascontiguousarray(x.transpose(0, *(1 + i for i in self.axes)))

    def backward(self, dy, x, *, parameters=True, limits=None):
        return [np.ascontiguousarray(dy.transpose(0, *(1 + np.argsort(self.axes))))], {}

    def counts(self):
        return {"layer": 1, "outputs": math.prod(self.shape)}
