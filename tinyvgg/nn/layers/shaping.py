"""Layers that only rearrange or rescale values."""
import math

import numpy as np

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.kernels.reference import crop, pad
from tinyvgg.nn.layers.base import Layer, image_shape


class InputLayer(Layer):
    """The shape of one input, without the batch."""

    options = ("shape",)

    def __init__(self, shape, **common):
        super().__init__(input_shape=shape, **common)
        self.shape = self.input_shape

    def output_shape(self, input_shape):
        if tuple(input_shape) != self.shape:
            raise ShapeError(f"inputs have shape {tuple(input_shape)}; expected {self.shape}")
        return self.shape

    def forward(self, x, *, training=False):
        return x

    def backward(self, dy, *, parameters=True):
        return dy


class Flatten(Layer):
    """(N, ...) -> (N, the product), channels fastest."""

    def output_shape(self, input_shape):
        return (math.prod(input_shape),)

    def forward(self, x, *, training=False):
        self.saved = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy, *, parameters=True):
        return dy.reshape(self.saved)


class Reshape(Layer):
    """(N, ...) -> (N, *target_shape); one entry may be -1."""

    options = ("target_shape",)

    def __init__(self, target_shape, **common):
        super().__init__(**common)
        sizes = tuple(target_shape) if isinstance(target_shape, tuple | list | np.ndarray) else (None,)
        if any(not isinstance(n, int | np.integer) or n < 1 and n != -1 for n in sizes) or sizes.count(-1) > 1:
            raise OptionError(f"target_shape is {target_shape!r}; expected positive sizes and at most one -1")
        self.target_shape = tuple(int(n) for n in sizes)

    def output_shape(self, input_shape):
        size, known = math.prod(input_shape), math.prod(n for n in self.target_shape if n != -1)
        target = tuple(size // known if n == -1 else n for n in self.target_shape)
        if math.prod(target) != size:
            raise ShapeError(f"Reshape {self.name or ''} cannot make {self.target_shape} of {tuple(input_shape)} ({size} values)")
        return target

    def forward(self, x, *, training=False):
        self.saved = x.shape
        return x.reshape(len(x), *self.output_shape(x.shape[1:]))

    def backward(self, dy, *, parameters=True):
        return dy.reshape(self.saved)


class ZeroPadding2D(Layer):
    """A border of zeros: padding 1, (rows, columns) or ((top, bottom), (left, right))."""

    options = ("padding",)

    def __init__(self, padding=(1, 1), **common):
        super().__init__(**common)
        try:
            first, second = (padding, padding) if isinstance(padding, int | np.integer) else padding
            both = tuple((side, side) if isinstance(side, int | np.integer) else tuple(side) for side in (first, second))
            ok = all(len(side) == 2 and all(isinstance(n, int | np.integer) and n >= 0 for n in side) for side in both)
        except (TypeError, ValueError):
            ok = False
        if not ok:
            raise OptionError(f"padding is {padding!r}; expected 1, (1, 1) or ((top, bottom), (left, right))")
        self.padding = tuple(tuple(int(n) for n in side) for side in both)

    def get_config(self):
        return {**super().get_config(), "padding": [list(side) for side in self.padding]}

    def output_shape(self, input_shape):
        h, w, c = image_shape(self, input_shape)
        return h + sum(self.padding[0]), w + sum(self.padding[1]), c

    def forward(self, x, *, training=False):
        return pad(x, self.padding)

    def backward(self, dy, *, parameters=True):
        return np.ascontiguousarray(crop(dy, self.padding))


class Rescaling(Layer):
    """x * scale + offset."""

    options = ("scale", "offset")

    def __init__(self, scale, offset=0.0, **common):
        super().__init__(**common)
        self.scale, self.offset = scale, offset

    def forward(self, x, *, training=False):
        return x * np.asarray(self.scale, x.dtype) + np.asarray(self.offset, x.dtype)

    def backward(self, dy, *, parameters=True):
        return dy * np.asarray(self.scale, dy.dtype)
