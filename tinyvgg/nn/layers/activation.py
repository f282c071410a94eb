"""Activations as layers."""
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from tinyvgg import kernels
from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn import activations
from tinyvgg.nn.layers.base import Layer, number
from tinyvgg.types import LayerOptions


class Activation(Layer):
    """An activation by its name: relu, relu6, leaky_relu, elu, selu, silu (swish), hard_silu (hard_swish), gelu, mish, softplus,
    softsign, sigmoid, hard_sigmoid, tanh, exponential, softmax, linear."""

    options = ("activation",)

    def __init__(self, activation: Any, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.activation = activations.get(activation)

    def forward(self, x, *, training=False):
        self.saved = x
        return self.activation.forward(x)

    def backward(self, dy, *, parameters=True):
        return self.activation.backward(dy, self.saved)


class _Function(Layer):
    """A function of the values. function: the name of its kernel, and of the options that this takes."""

    function: tuple[str, ...]

    def _settings(self):
        return {name: getattr(self, name) for name in self.function[1:]}

    def forward(self, x, *, training=False):
        self.saved = x
        return getattr(kernels, self.function[0])(x, **self._settings())

    def backward(self, dy, *, parameters=True):
        return getattr(kernels, f"{self.function[0]}_backward")(dy, self.saved, **self._settings())


class ReLU(_Function):
    """x above `threshold`, negative_slope * (x - threshold) below it, never more than `max_value`."""

    options = ("max_value", "negative_slope", "threshold")
    function = ("relu", *options)

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0,
                 **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.max_value = None if max_value is None else number(max_value, "max_value")
        self.negative_slope, self.threshold = number(negative_slope, "negative_slope"), number(threshold, "threshold")
        if (max_value is not None and max_value < 0) or negative_slope < 0 or threshold < 0:
            raise OptionError(f"ReLU got max_value {max_value}, negative_slope {negative_slope}, threshold {threshold}; "
                              "expected none below 0")


class ReLU6(ReLU):
    """ReLU with max_value 6."""

    class_name = "ReLU"

    def __init__(self, max_value: float | None = 6.0, negative_slope: float = 0.0, threshold: float = 0.0,
                 **common: Unpack[LayerOptions]) -> None:
        super().__init__(max_value, negative_slope, threshold, **common)


class LeakyReLU(_Function):
    """x above 0, negative_slope x below."""

    options = ("negative_slope",)
    function = ("relu", *options)

    def __init__(self, negative_slope: float = 0.3, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.negative_slope = number(negative_slope, "negative_slope")


class PReLU(Layer):
    """x above 0, alpha x below, with a trained alpha for each value of an image, shared along `shared_axes` (1: rows, 2: columns)."""

    options = ("alpha_initializer", "shared_axes")

    def __init__(self, alpha_initializer: Any = "zeros", shared_axes: Sequence[int] | None = None,
                 **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.alpha_initializer = alpha_initializer
        axes = (shared_axes,) if isinstance(shared_axes, int | np.integer) else shared_axes
        self.shared_axes = None if axes is None else tuple(int(a) for a in axes)

    def output_shape(self, input_shape):
        if any(not 1 <= a <= len(input_shape) for a in self.shared_axes or ()):
            raise ShapeError(f"shared_axes is {self.shared_axes}; expected axes from 1 to {len(input_shape)} (0 is the batch)")
        if self.built and self._alpha_shape(input_shape) != self._alpha_shape(self.input_shape):
            raise ShapeError(f"PReLU {self.name or ''} got inputs of {tuple(input_shape)}; it was built for {self.input_shape}")
        return input_shape

    def _alpha_shape(self, input_shape):
        return tuple(1 if i + 1 in (self.shared_axes or ()) else n for i, n in enumerate(input_shape))

    def build(self, input_shape, rng):
        self.add_parameter("alpha", self._alpha_shape(input_shape), self.alpha_initializer, rng)

    def forward(self, x, *, training=False):
        self.saved = x
        return kernels.prelu(x, self.parameters["alpha"])

    def backward(self, dy, *, parameters=True):
        dx, dalpha = kernels.prelu_backward(dy, self.saved, self.parameters["alpha"])
        if parameters:
            self.gradients["alpha"] = dalpha
        return dx


class ELU(_Function):
    """x above 0, alpha (e^x - 1) below."""

    options = ("alpha",)
    function = ("elu", *options)

    def __init__(self, alpha: float = 1.0, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.alpha = number(alpha, "alpha")


class Softmax(_Function):
    """e^x / sum e^x along `axis`, by default the last one (0 is the batch)."""

    options = ("axis",)
    function = ("softmax", *options)

    def __init__(self, axis: int = -1, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.axis = axis[0] if isinstance(axis, tuple | list) and len(axis) == 1 else axis
        if isinstance(self.axis, bool) or not isinstance(self.axis, int | np.integer) or self.axis == 0:
            raise OptionError(f"axis is {axis!r}; expected one axis other than 0, the batch")

    def output_shape(self, input_shape):
        if not -len(input_shape) <= self.axis <= len(input_shape):
            raise OptionError(f"Softmax {self.name or ''} has axis {self.axis} on inputs of shape {tuple(input_shape)}")
        return input_shape


def _named(name, first_line):
    """A layer class for one activation; in files it is an Activation."""
    class Named(Activation):
        __doc__ = first_line
        class_name = "Activation"

        def __init__(self, **common: Unpack[LayerOptions]) -> None:
            super().__init__(name, **common)
    return Named


Sigmoid = _named("sigmoid", "1 / (1 + e^-x).")
Tanh = _named("tanh", "The hyperbolic tangent.")
SiLU = _named("silu", "x sigmoid(x), also called swish.")
for _name, _layer in (("Sigmoid", Sigmoid), ("Tanh", Tanh), ("SiLU", SiLU)):
    _layer.__name__ = _layer.__qualname__ = _name
