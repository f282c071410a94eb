"""Layers that only rearrange or rescale values."""
import math
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.kernels.reference import crop, pad
from tinyvgg.nn.layers.base import Layer, image_shape
from tinyvgg.types import LayerOptions


class InputLayer(Layer):
    """The shape of one input, without the batch."""

    options = ("shape",)

    def __init__(self, shape: Any, **common: Unpack[LayerOptions]) -> None:
        super().__init__(input_shape=shape, **common)  # type: ignore[misc]
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
    """(N, ...) -> (N, product of the rest); the last axis (channels) varies fastest."""

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

    def __init__(self, target_shape: Sequence[int], **common: Unpack[LayerOptions]) -> None:
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


class Permute(Layer):
    """Axes in another order: dims (2, 1) of (N, a, b) gives (N, b, a); axes are counted from 1, because axis 0 is the batch."""

    options = ("dims",)

    def __init__(self, dims: Sequence[int], **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.dims = tuple(int(n) for n in dims) if isinstance(dims, tuple | list) else ()
        if not self.dims or sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise OptionError(f"dims is {dims!r}; expected each axis once, from 1 on, as in (2, 1)")

    def output_shape(self, input_shape):
        if len(input_shape) != len(self.dims):
            raise ShapeError(f"Permute {self.name or ''} has dims {self.dims} for inputs of shape {tuple(input_shape)}")
        return tuple(input_shape[d - 1] for d in self.dims)

    def forward(self, x, *, training=False):
        return np.ascontiguousarray(x.transpose(0, *self.dims))

    def backward(self, dy, *, parameters=True):
        return np.ascontiguousarray(dy.transpose(0, *(1 + np.argsort(self.dims))))


def four_sides(value, option):
    """Return ((top, bottom), (left, right)) for 1, (rows, columns) or both pairs, none below 0; raise OptionError for anything else."""
    try:
        first, second = (value, value) if isinstance(value, int | np.integer) else value
        both = tuple((side, side) if isinstance(side, int | np.integer) else tuple(side) for side in (first, second))
        ok = all(len(side) == 2 and all(isinstance(n, int | np.integer) and n >= 0 for n in side) for side in both)
    except (TypeError, ValueError):
        ok = False
    if not ok:
        raise OptionError(f"{option} is {value!r}; expected 1, (1, 1) or ((top, bottom), (left, right))")
    return tuple(tuple(int(n) for n in side) for side in both)


class ZeroPadding2D(Layer):
    """Adds a border of zeros: padding 1, (rows, columns) or ((top, bottom), (left, right))."""

    options = ("padding",)

    def __init__(self, padding: Any = (1, 1), **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.padding = four_sides(padding, "padding")

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
    """x * scale + offset; each a number, or one for each channel."""

    options = ("scale", "offset")

    def __init__(self, scale: Any, offset: Any = 0.0, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        for value in (scale, offset):
            if isinstance(value, bool | str) or np.asarray(value).dtype.kind not in "fiu" or not np.isfinite(value).all():
                raise OptionError(f"scale is {scale!r:.60} and offset {offset!r:.60}; expected finite numbers, one or one a channel")
        self.scale, self.offset = scale, offset

    def output_shape(self, input_shape):
        for value in (self.scale, self.offset):
            if np.size(value) not in (1, input_shape[-1]) or np.ndim(value) > 1:
                raise ShapeError(f"Rescaling {self.name or ''} has {np.size(value)} numbers for inputs of shape {tuple(input_shape)}; "
                                 f"expected one, or {input_shape[-1]}")
        return input_shape

    def forward(self, x, *, training=False):
        return x * np.asarray(self.scale, x.dtype) + np.asarray(self.offset, x.dtype)

    def backward(self, dy, *, parameters=True):
        return dy * np.asarray(self.scale, dy.dtype)


class Normalization(Layer):
    """(x - mean) / sqrt(variance) with fixed statistics along `axis`; with `invert`, x sqrt(variance) + mean.

    axis: -1 (channels), another axis or several (0 is the batch), or None for one number. mean, variance: a number, or as many
    values as those axes have.
    """

    options = ("axis", "mean", "variance", "invert")

    def __init__(self, axis: int = -1, mean: Any = 0.0, variance: Any = 1.0, invert: bool = False,
                 **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.axis, self.mean, self.variance, self.invert = axis, mean, variance, bool(invert)
        axes = axis if isinstance(axis, list | tuple) else () if axis is None else (axis,)
        values = [np.asarray(v) for v in (mean, variance)]
        if any(isinstance(a, bool) or not isinstance(a, int | np.integer) or a == 0 for a in axes):
            raise OptionError(f"axis is {axis!r}; expected axes other than 0, the batch, or None")
        if any(v.dtype.kind not in "fiu" or not np.isfinite(v).all() for v in values) or (values[1] < 0).any():
            raise OptionError(f"mean is {mean!r:.60} and variance {variance!r:.60}; expected finite numbers, the variance 0 or more")
        self.axes = axes

    def output_shape(self, input_shape):
        self.statistics(input_shape)
        return input_shape

    def statistics(self, shape):
        """Return (mean, sqrt(variance)), which broadcast against an image of `shape`, float32 as Keras computes them."""
        axes = [a - 1 if a > 0 else a + len(shape) for a in self.axes]
        if any(not 0 <= a < len(shape) for a in axes):
            raise ShapeError(f"Normalization {self.name or ''} has axis {self.axis} on inputs of shape {tuple(shape)}")
        wanted = [n if i in axes else 1 for i, n in enumerate(shape)]
        found = []
        for what in ("mean", "variance"):
            values = np.asarray(getattr(self, what), np.float32).ravel()
            if values.size not in (1, math.prod(wanted)):
                raise ShapeError(f"Normalization {self.name or ''} has {values.size} values of {what} for inputs of {tuple(shape)}; "
                                 f"expected {math.prod(wanted)}")
            found.append(np.broadcast_to(values, math.prod(wanted)).reshape(wanted))
        return found[0], np.maximum(np.sqrt(found[1]), np.float32(1e-7))

    def forward(self, x, *, training=False):
        mean, deviation = self.statistics(x.shape[1:])
        return mean.astype(x.dtype) + x * deviation.astype(x.dtype) if self.invert else (x - mean.astype(x.dtype)) / deviation.astype(x.dtype)

    def backward(self, dy, *, parameters=True):
        deviation = self.statistics(dy.shape[1:])[1].astype(dy.dtype)
        return dy * deviation if self.invert else dy / deviation
