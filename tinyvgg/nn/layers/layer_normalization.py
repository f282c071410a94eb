"""Layer normalisation (Ba et al. 2016, arXiv:1607.06450) over the last axis."""
from typing import Any, Unpack

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.nn.layers.base import Layer, number
from tinyvgg.types import LayerOptions


class LayerNormalization(Layer):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance of each vector along the last axis."""

    options = ("axis", "epsilon", "center", "scale")

    def __init__(self, axis: Any = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.axis = axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis
        self.epsilon, self.center, self.scale = number(epsilon, "epsilon"), bool(center), bool(scale)
        if not self.epsilon > 0:
            raise OptionError(f"epsilon is {epsilon}; expected a number above 0")

    def output_shape(self, input_shape):
        if self.axis not in (-1, len(input_shape)):
            raise OptionError(f"LayerNormalization {self.name or ''} has axis {self.axis}; expected -1, the last")
        self.check_last_axis(input_shape, "values")
        return input_shape

    def build(self, input_shape, rng):
        if self.scale:
            self.add_parameter("gamma", input_shape[-1:], "ones", rng)
        if self.center:
            self.add_parameter("beta", input_shape[-1:], "zeros", rng)

    def forward(self, x, *, training=False):
        mean = x.mean(axis=-1, keepdims=True)
        inverse = 1 / np.sqrt(((x - mean) ** 2).mean(axis=-1, keepdims=True) + x.dtype.type(self.epsilon))
        normalised = (x - mean) * inverse
        self.saved = normalised, inverse
        y = normalised * self.parameters["gamma"] if self.scale else normalised
        return y + self.parameters["beta"] if self.center else y

    def backward(self, dy, *, parameters=True):
        normalised, inverse = self.saved
        axes = tuple(range(dy.ndim - 1))
        if parameters:
            self.keep_gradients(gamma=(dy * normalised).sum(axis=axes), beta=dy.sum(axis=axes))
        g = dy * self.parameters["gamma"] if self.scale else dy
        return inverse * (g - g.mean(axis=-1, keepdims=True) - normalised * (g * normalised).mean(axis=-1, keepdims=True))
