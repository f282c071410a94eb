"""Layers that join several inputs; x is a list of arrays, and backward returns a list."""
import functools
from typing import Unpack

import numpy as np

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn.layers.base import Layer
from tinyvgg.types import LayerOptions


class _Elementwise(Layer):
    """Arrays joined value by value; an axis of one broadcasts against the others."""

    joins = True
    most = None             # how many inputs there may be

    def output_shape(self, input_shape):
        shapes = input_shape if isinstance(input_shape, list) else [input_shape]
        try:
            whole = tuple(int(n) for n in np.broadcast_shapes(*shapes))
        except ValueError:
            whole = None
        if whole is None or not 2 <= len(shapes) <= (self.most or len(shapes)) or any(len(s) != len(whole) for s in shapes):
            raise ShapeError(f"{type(self).__name__} {self.name or ''} got inputs of shapes {input_shape}; expected a list of "
                             f"{'two' if self.most else 'two or more'} equal shapes, or with 1 where they differ")
        return whole


def to_shape(gradient, shape):
    """Sum a gradient (N, ...) over the axes along which its input, of `shape`, was broadcast."""
    axes = tuple(i for i, (n, m) in enumerate(zip(gradient.shape, shape, strict=True)) if n != m)
    return gradient.sum(axis=axes, keepdims=True) if axes else gradient


class Add(_Elementwise):
    """The sum of arrays."""

    def forward(self, x, *, training=False):
        self.saved = [part.shape for part in x]
        total = x[0] + x[1]
        for more in x[2:]:
            total = total + more
        return total

    def backward(self, dy, *, parameters=True):
        return [to_shape(dy, shape) for shape in self.saved]


class Multiply(_Elementwise):
    """The product of arrays."""

    def forward(self, x, *, training=False):
        self.saved = list(x)
        return functools.reduce(np.multiply, x)

    def backward(self, dy, *, parameters=True):
        x = self.saved
        return [to_shape(functools.reduce(np.multiply, x[:i] + x[i + 1:], dy), part.shape) for i, part in enumerate(x)]


class Average(_Elementwise):
    """The mean of arrays."""

    def forward(self, x, *, training=False):
        self.saved = [part.shape for part in x]
        return functools.reduce(np.add, x) / x[0].dtype.type(len(x))

    def backward(self, dy, *, parameters=True):
        return [to_shape(dy / dy.dtype.type(len(self.saved)), shape) for shape in self.saved]


class Subtract(_Elementwise):
    """The first array minus the second."""

    most = 2

    def forward(self, x, *, training=False):
        self.saved = [part.shape for part in x]
        return x[0] - x[1]

    def backward(self, dy, *, parameters=True):
        return [to_shape(part, shape) for part, shape in zip((dy, -dy), self.saved, strict=True)]


class Maximum(_Elementwise):
    """The elementwise maximum of arrays; the gradient goes to the first of equal values."""

    def forward(self, x, *, training=False):
        self.saved = list(x)
        return functools.reduce(np.maximum, x)

    def backward(self, dy, *, parameters=True):
        x, open_still, found = self.saved, np.ones(dy.shape, bool), []
        largest = functools.reduce(np.maximum, x)
        for part in x:
            wins = open_still & (part == largest)
            open_still &= ~wins
            found.append(to_shape(dy * wins, part.shape))
        return found


class Concatenate(Layer):
    """Arrays one after another along `axis`, by default the last one; axes are counted from 1, because axis 0 is the batch."""

    options = ("axis",)
    joins = True

    def __init__(self, axis: int = -1, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.axis = axis
        if isinstance(axis, bool) or not isinstance(axis, int | np.integer) or axis == 0:
            raise OptionError(f"axis is {axis!r}; expected one axis other than 0, the batch")

    def along(self, rank):
        """The place of the axis among the `rank` axes of one image, from 0."""
        return self.axis - 1 if self.axis > 0 else self.axis + rank

    def output_shape(self, input_shape):
        shapes = [tuple(s) for s in (input_shape if isinstance(input_shape, list) else [input_shape])]
        rank = len(shapes[0])
        place = self.along(rank)
        others = [(*s[:place], *s[place + 1:]) for s in shapes if len(s) == rank]
        if not 0 <= place < rank or not 2 <= len(shapes) == len(others) or any(o != others[0] for o in others):
            raise ShapeError(f"Concatenate {self.name or ''} (axis {self.axis}) got inputs of shapes {shapes}; expected two or more "
                             "that differ in that axis only, counted from 1 (0 is the batch)")
        return (*shapes[0][:place], sum(s[place] for s in shapes), *shapes[0][place + 1:])

    def forward(self, x, *, training=False):
        place = self.along(x[0].ndim - 1)
        self.saved = place, np.cumsum([part.shape[place + 1] for part in x])[:-1]
        return np.concatenate(x, axis=place + 1)

    def backward(self, dy, *, parameters=True):
        place, ends = self.saved
        return np.split(dy, ends, axis=place + 1)
