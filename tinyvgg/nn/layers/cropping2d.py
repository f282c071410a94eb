"""Cropping2D: rows and columns cut off."""
from typing import Any, Unpack

import numpy as np

from tinyvgg.errors import ShapeError
from tinyvgg.kernels.reference import crop, pad
from tinyvgg.nn.layers.base import Layer, image_shape
from tinyvgg.nn.layers.shaping import four_sides
from tinyvgg.types import LayerOptions


class Cropping2D(Layer):
    """Cuts off a border: cropping 1, (rows, columns) or ((top, bottom), (left, right))."""

    options = ("cropping",)

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.cropping = four_sides(cropping, "cropping")

    def get_config(self):
        return {**super().get_config(), "cropping": [list(side) for side in self.cropping]}

    def output_shape(self, input_shape):
        h, w, c = image_shape(self, input_shape)
        size = h - sum(self.cropping[0]), w - sum(self.cropping[1])
        if min(size) < 1:
            raise ShapeError(f"Cropping2D {self.name or ''} cuts {self.cropping} off images of {(h, w)}: no pixel is left")
        return (*size, c)

    def forward(self, x, *, training=False):
        return np.ascontiguousarray(crop(x, self.cropping))

    def backward(self, dy, *, parameters=True):
        return pad(dy, self.cropping)
