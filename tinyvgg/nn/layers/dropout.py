"""Dropout (Srivastava et al. 2014) of single values and of whole channels (Tompson et al. 2015)."""
from typing import Unpack

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.nn.layers.base import Layer, image_shape, number
from tinyvgg.nn.layers.one_row import series_shape
from tinyvgg.types import LayerOptions


class Dropout(Layer):
    """In training, zero each value with probability `rate` and divide the rest by 1 - rate; else the identity.

    The mask is drawn from `rng`, a numpy Generator that the training loop sets; without one, from a fixed seed.
    """

    options = ("rate",)

    def __init__(self, rate: float, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.rate = number(rate, "rate")
        if not 0 <= rate < 1:
            raise OptionError(f"rate is {rate}; expected 0 <= rate < 1")
        self.rng = np.random.default_rng(0)

    def mask(self, shape, dtype):
        """Draw a mask for x of `shape` (N, ...): 0 or 1 / (1 - rate)."""
        keep = self.rng.random(self.mask_shape(shape), dtype=np.float32) >= np.float32(self.rate)
        return keep * dtype.type(1 / (1 - self.rate))

    def mask_shape(self, shape):
        """Shape of what is drawn; it broadcasts against x."""
        return shape

    def forward(self, x, *, training=False):
        self.saved = self.mask(x.shape, x.dtype) if training and self.rate > 0 else None
        return x if self.saved is None else x * self.saved

    def backward(self, dy, *, parameters=True):
        return dy if self.saved is None else dy * self.saved


class SpatialDropout2D(Dropout):
    """Dropout of whole channels: one draw for each image and channel."""

    def output_shape(self, input_shape):
        return image_shape(self, input_shape)

    def mask_shape(self, shape):
        return shape[0], 1, 1, shape[3]


class SpatialDropout1D(Dropout):
    """Dropout of whole channels of series: one draw for each series and channel."""

    def output_shape(self, input_shape):
        return series_shape(self, input_shape)

    def mask_shape(self, shape):
        return shape[0], *[1] * (len(shape) - 2), shape[-1]
