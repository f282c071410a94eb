"""Two-dimensional convolution."""
import math
from typing import Any, Unpack

from tinyvgg import kernels
from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn import activations, initializers
from tinyvgg.nn.layers._spatial import output_size, padding_for
from tinyvgg.nn.layers.base import Layer, choice, image_shape, pair, positive
from tinyvgg.types import LayerOptions, Pair


class Conv2D(Layer):
    """A bank of `filters` correlated with the image: kernel (KH, KW, C/groups, F), bias (F,), then the activation."""

    options = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "activation", "use_bias",
               "kernel_initializer", "bias_initializer")

    def __init__(self, filters: int, kernel_size: Pair, strides: Pair = (1, 1), padding: str = "valid", *,
                 dilation_rate: Pair = (1, 1), groups: int = 1, activation: Any = None, use_bias: bool = True,
                 kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
                 **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.filters, self.groups = positive(filters, "filters"), positive(groups, "groups")
        self.kernel_size, self.strides = pair(kernel_size, "kernel_size"), pair(strides, "strides")
        self.dilation_rate = pair(dilation_rate, "dilation_rate")
        self.padding = choice(padding, ("valid", "same"), "padding")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise OptionError(f"strides {self.strides} and dilation_rate {self.dilation_rate} are both above 1; one of them must be 1")
        if self.filters % self.groups:
            raise OptionError(f"filters {self.filters} do not divide into {self.groups} groups")
        self.activation, self.use_bias = activations.get(activation), bool(use_bias)
        self.kernel_initializer = initializers.check(kernel_initializer)
        self.bias_initializer = initializers.check(bias_initializer)

    def output_shape(self, input_shape):
        h, w, c = image_shape(self, input_shape)
        if c % self.groups:
            raise ShapeError(f"Conv2D {self.name or ''} got {c} channels, which do not divide into {self.groups} groups")
        self.check_last_axis(input_shape)
        return (*output_size(self, (h, w), self.kernel_size, self.strides, self.padding, self.dilation_rate), self.filters)

    def build(self, input_shape, rng):
        shape = (*self.kernel_size, input_shape[2] // self.groups, self.filters)
        self.add_parameter("kernel", shape, self.kernel_initializer, rng)
        if self.use_bias:
            self.add_parameter("bias", (self.filters,), self.bias_initializer, rng)

    def geometry(self, size):
        """Return the keyword arguments that conv2d takes for images of `size` (H, W)."""
        padding = padding_for(self.padding, size, self.kernel_size, self.strides, self.dilation_rate)
        return {"strides": self.strides, "padding": padding, "dilation": self.dilation_rate, "groups": self.groups}

    def forward(self, x, *, training=False):
        z = kernels.conv2d(x, self.parameters["kernel"], self.parameters.get("bias"), **self.geometry(x.shape[1:3]))
        self.saved = x, z
        return self.activation.forward(z)

    def backward(self, dy, *, parameters=True):
        x, z = self.saved
        dz = self.activation.backward(dy, z)
        dx, dkernel, dbias = kernels.conv2d_backward(dz, x, self.parameters["kernel"], parameters=parameters,
                                                     **self.geometry(x.shape[1:3]))
        if parameters:
            self.keep_gradients(kernel=dkernel, bias=dbias)
        return dx

    def macc(self, input_shape):
        return math.prod(self.output_shape(input_shape)) * math.prod(self.kernel_size) * input_shape[2] // self.groups
