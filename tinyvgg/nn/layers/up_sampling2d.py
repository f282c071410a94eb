"""UpSampling2D: each pixel several times."""
from typing import Unpack

import numpy as np

from tinyvgg.nn.layers.base import Layer, choice, image_shape, pair
from tinyvgg.types import LayerOptions, Pair


class UpSampling2D(Layer):
    """y[n,i,j,c] = x[n, i // a, j // b, c], size = (a, b): (N, H, W, C) -> (N, H*a, W*b, C)."""

    options = ("size", "interpolation")

    def __init__(self, size: Pair = (2, 2), interpolation: str = "nearest", **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.size, self.interpolation = pair(size, "size"), choice(interpolation, ("nearest",), "interpolation")

    def output_shape(self, input_shape):
        h, w, c = image_shape(self, input_shape)
        return h * self.size[0], w * self.size[1], c

    def forward(self, x, *, training=False):
        return x.repeat(self.size[0], axis=1).repeat(self.size[1], axis=2)

    def backward(self, dy, *, parameters=True):
        (n, h, w, c), (a, b) = dy.shape, self.size
        return np.ascontiguousarray(dy).reshape(n, h // a, a, w // b, b, c).sum(axis=(2, 4))
