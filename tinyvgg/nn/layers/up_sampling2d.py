"""UpSampling2D: each pixel several times, or new ones between them."""
from typing import Unpack

import numpy as np

from tinyvgg.nn.layers.base import Layer, choice, image_shape, pair
from tinyvgg.nn.layers.resizing import bilinear, resized
from tinyvgg.types import LayerOptions, Pair


class UpSampling2D(Layer):
    """(N, H, W, C) -> (N, H*a, W*b, C), size = (a, b): y[n,i,j,c] = x[n, i // a, j // b, c], or with interpolation "bilinear" as
    Resizing."""

    options = ("size", "interpolation")

    def __init__(self, size: Pair = (2, 2), interpolation: str = "nearest", **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.size, self.interpolation = pair(size, "size"), choice(interpolation, ("nearest", "bilinear"), "interpolation")

    def output_shape(self, input_shape):
        h, w, c = image_shape(self, input_shape)
        return h * self.size[0], w * self.size[1], c

    def _weights(self, shape):
        return [bilinear(n // a, n) for n, a in zip(shape, self.size, strict=True)]

    def forward(self, x, *, training=False):
        if self.interpolation == "bilinear":
            return resized(x, *self._weights([n * a for n, a in zip(x.shape[1:3], self.size, strict=True)]))
        return x.repeat(self.size[0], axis=1).repeat(self.size[1], axis=2)

    def backward(self, dy, *, parameters=True):
        if self.interpolation == "bilinear":
            return resized(dy, *(weights.T for weights in self._weights(dy.shape[1:3])))
        (n, h, w, c), (a, b) = dy.shape, self.size
        return np.ascontiguousarray(dy).reshape(n, h // a, a, w // b, b, c).sum(axis=(2, 4))
