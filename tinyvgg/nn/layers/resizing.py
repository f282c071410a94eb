"""Resizing: images of another size, as Keras makes them within a network."""
import functools
from typing import Unpack

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.nn.layers.base import Layer, choice, image_shape, positive
from tinyvgg.types import LayerOptions


@functools.lru_cache(maxsize=64)
def bilinear(old, new):
    """Return (new, old), the share of each old position in each new one: corners of the pixels' squares stay in place."""
    at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.minimum(at.astype(int), max(old - 2, 0))
    weights = np.zeros((new, old))
    weights[np.arange(new), low] += 1 - (at - low)
    if old > 1:
        weights[np.arange(new), low + 1] += at - low
    return weights


@functools.lru_cache(maxsize=64)
def nearest(old, new):
    """Return (new, old) with a single 1 a row: the old position below the middle of each new one, in float32 as TensorFlow."""
    at = ((np.arange(new, dtype=np.float32) + np.float32(0.5)) * (np.float32(old) / np.float32(new))).astype(int)
    return np.eye(old)[np.minimum(at, old - 1)]


WEIGHTS = {"bilinear": bilinear, "nearest": nearest}


def resized(x, rows, columns):
    """Return (N, H', W', C) of x (N, H, W, C) and weights (H', H) and (W', W), in the dtype of x."""
    z = np.einsum("hg,ngwc->nhwc", rows.astype(x.dtype), x, optimize=True)
    return np.ascontiguousarray(np.einsum("wv,nhvc->nhwc", columns.astype(x.dtype), z, optimize=True))


class Resizing(Layer):
    """(N, H, W, C) -> (N, height, width, C), not smoothed where it shrinks. interpolation: "bilinear" or "nearest"."""

    options = ("height", "width", "interpolation", "crop_to_aspect_ratio")

    def __init__(self, height: int, width: int, interpolation: str = "bilinear", crop_to_aspect_ratio: bool = False,
                 **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.height, self.width = positive(height, "height"), positive(width, "width")
        self.interpolation, self.crop_to_aspect_ratio = choice(interpolation, tuple(WEIGHTS), "interpolation"), False
        if crop_to_aspect_ratio:
            raise OptionError("crop_to_aspect_ratio is True; expected False: the whole image is resized here",
                              "images that were resized before, and a network without this layer")

    def output_shape(self, input_shape):
        return (self.height, self.width, image_shape(self, input_shape)[2])

    def forward(self, x, *, training=False):
        self.saved = weights = [WEIGHTS[self.interpolation](old, new) for old, new in zip(x.shape[1:3], (self.height, self.width),
                                                                                          strict=True)]
        return resized(x, *weights)

    def backward(self, dy, *, parameters=True):
        rows, columns = self.saved
        return resized(dy, rows.T, columns.T)
