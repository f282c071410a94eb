"""Pooling: the largest value or the mean of each window, or of the whole image."""
from typing import Unpack

import numpy as np

from tinyvgg import kernels
from tinyvgg.nn.layers._spatial import output_size, padding_for
from tinyvgg.nn.layers.base import Layer, choice, image_shape, pair
from tinyvgg.types import LayerOptions, Pair


class _Pooling2D(Layer):
    options = ("pool_size", "strides", "padding")

    def __init__(self, pool_size: Pair = (2, 2), strides: Pair | None = None, padding: str = "valid",
                 **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.pool_size = pair(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else pair(strides, "strides")
        self.padding = choice(padding, ("valid", "same"), "padding")

    def output_shape(self, input_shape):
        h, w, c = image_shape(self, input_shape)
        return (*output_size(self, (h, w), self.pool_size, self.strides, self.padding), c)

    def geometry(self, size):
        """Return the keyword arguments that the pooling kernels take for images of `size` (H, W)."""
        return {"pool_size": self.pool_size, "strides": self.strides,
                "padding": padding_for(self.padding, size, self.pool_size, self.strides)}


class MaxPooling2D(_Pooling2D):
    """The largest value of each window; the gradient goes to the first of equal ones."""

    def forward(self, x, *, training=False):
        y, argmax = kernels.max_pool2d(x, **self.geometry(x.shape[1:3]))
        self.saved = argmax, x.shape
        return y

    def backward(self, dy, *, parameters=True):
        argmax, shape = self.saved
        return kernels.max_pool2d_backward(dy, argmax, shape, **self.geometry(shape[1:3]))


class AveragePooling2D(_Pooling2D):
    """The mean of each window; padded pixels are not counted."""

    def forward(self, x, *, training=False):
        self.saved = x.shape
        return kernels.average_pool2d(x, **self.geometry(x.shape[1:3]))

    def backward(self, dy, *, parameters=True):
        return kernels.average_pool2d_backward(dy, self.saved, **self.geometry(self.saved[1:3]))


class _GlobalPooling2D(Layer):
    options = ("keepdims",)

    def __init__(self, keepdims: bool = False, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.keepdims = bool(keepdims)

    def output_shape(self, input_shape):
        c = image_shape(self, input_shape)[2]
        return (1, 1, c) if self.keepdims else (c,)


class GlobalAveragePooling2D(_GlobalPooling2D):
    """The mean over each whole channel: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with keepdims."""

    def forward(self, x, *, training=False):
        self.saved = x.shape
        return x.mean(axis=(1, 2), keepdims=self.keepdims)

    def backward(self, dy, *, parameters=True):
        n, h, w, c = self.saved
        return np.broadcast_to(dy.reshape(n, 1, 1, c) / (h * w), self.saved).astype(dy.dtype)


class GlobalMaxPooling2D(_GlobalPooling2D):
    """The largest value of each whole channel; the gradient is shared by equal ones, as TensorFlow's reduce_max does."""

    def forward(self, x, *, training=False):
        self.saved = x
        return x.max(axis=(1, 2), keepdims=self.keepdims)

    def backward(self, dy, *, parameters=True):
        x = self.saved
        largest = x == x.max(axis=(1, 2), keepdims=True)
        return largest * (dy.reshape(len(x), 1, 1, -1) / largest.sum(axis=(1, 2), keepdims=True)).astype(dy.dtype)
