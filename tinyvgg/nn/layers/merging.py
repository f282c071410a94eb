"""Layers that join several inputs; x is a list of arrays, and backward returns a list."""
from typing import Unpack

import numpy as np

from tinyvgg.errors import ShapeError
from tinyvgg.nn.layers.base import Layer
from tinyvgg.types import LayerOptions


class Add(Layer):
    """The sum of arrays of one shape."""

    joins = True

    def output_shape(self, input_shape):
        if not isinstance(input_shape, list) or len(input_shape) < 2 or any(s != input_shape[0] for s in input_shape):
            raise ShapeError(f"Add {self.name or ''} got inputs of shapes {input_shape}; expected a list of two or more equal shapes")
        return input_shape[0]

    def forward(self, x, *, training=False):
        self.saved = len(x)
        total = x[0] + x[1]
        for more in x[2:]:
            total = total + more
        return total

    def backward(self, dy, *, parameters=True):
        return [dy] * self.saved


class Concatenate(Layer):
    """Arrays one after another along the last axis."""

    options = ("axis",)
    joins = True

    def __init__(self, axis: int = -1, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.axis = axis

    def output_shape(self, input_shape):
        shapes = input_shape if isinstance(input_shape, list) else [input_shape]
        if self.axis not in (-1, len(shapes[0])) or len(shapes) < 2 or any(s[:-1] != shapes[0][:-1] for s in shapes):
            raise ShapeError(f"Concatenate {self.name or ''} (axis {self.axis}) got inputs of shapes {shapes}; expected two or more "
                             "that differ in the last axis only, and axis -1")
        return (*shapes[0][:-1], sum(s[-1] for s in shapes))

    def forward(self, x, *, training=False):
        self.saved = np.cumsum([part.shape[-1] for part in x])[:-1]
        return np.concatenate(x, axis=-1)

    def backward(self, dy, *, parameters=True):
        return np.split(dy, self.saved, axis=-1)
