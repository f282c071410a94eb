"""Fully connected layer."""
import math
from typing import Any, Unpack

from tinyvgg import kernels
from tinyvgg.nn import activations, initializers
from tinyvgg.nn.layers.base import Layer, positive
from tinyvgg.types import LayerOptions


class Dense(Layer):
    """y = activation(x k + b) along the last axis: kernel (in, units), bias (units,)."""

    options = ("units", "activation", "use_bias", "kernel_initializer", "bias_initializer")

    def __init__(self, units: int, activation: Any = None, *, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
                 bias_initializer: Any = "zeros", **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.units, self.use_bias = positive(units, "units"), bool(use_bias)
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.check(kernel_initializer)
        self.bias_initializer = initializers.check(bias_initializer)

    def output_shape(self, input_shape):
        self.check_last_axis(input_shape, "values")
        return (*input_shape[:-1], self.units)

    def build(self, input_shape, rng):
        self.add_parameter("kernel", (input_shape[-1], self.units), self.kernel_initializer, rng)
        if self.use_bias:
            self.add_parameter("bias", (self.units,), self.bias_initializer, rng)

    def forward(self, x, *, training=False):
        z = kernels.dense(x, self.parameters["kernel"], self.parameters.get("bias"))
        self.saved = x, z
        return self.activation.forward(z)

    def backward(self, dy, *, parameters=True):
        x, z = self.saved
        dz = self.activation.backward(dy, z)
        dx, dkernel, dbias = kernels.dense_backward(dz, x, self.parameters["kernel"], parameters=parameters)
        if parameters:
            self.keep_gradients(kernel=dkernel, bias=dbias)
        return dx

    def macc(self, input_shape):
        return math.prod(input_shape) * self.units
