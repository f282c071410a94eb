"""Depthwise separable convolution: a depthwise convolution, then a 1x1 convolution over the channels."""
import math
from typing import Any, Unpack

from tinyvgg import kernels
from tinyvgg.nn import activations, initializers
from tinyvgg.nn.layers._spatial import output_size, padding_for
from tinyvgg.nn.layers.base import Layer, choice, image_shape, pair, positive
from tinyvgg.types import LayerOptions, Pair


class SeparableConv2D(Layer):
    """depthwise_kernel (KH, KW, C, M), pointwise_kernel (1, 1, C*M, F), bias (F,), then the activation (Chollet 2017)."""

    options = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "activation", "use_bias",
               "depthwise_initializer", "pointwise_initializer", "bias_initializer")

    def __init__(self, filters: int, kernel_size: Pair, strides: Pair = (1, 1), padding: str = "valid", *,
                 dilation_rate: Pair = (1, 1), depth_multiplier: int = 1, activation: Any = None, use_bias: bool = True,
                 depthwise_initializer: Any = "glorot_uniform", pointwise_initializer: Any = "glorot_uniform",
                 bias_initializer: Any = "zeros", **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.filters = positive(filters, "filters")
        self.kernel_size, self.strides = pair(kernel_size, "kernel_size"), pair(strides, "strides")
        self.padding = choice(padding, ("valid", "same"), "padding")
        self.dilation_rate = pair(dilation_rate, "dilation_rate")
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier")
        self.activation, self.use_bias = activations.get(activation), bool(use_bias)
        self.depthwise_initializer = initializers.check(depthwise_initializer)
        self.pointwise_initializer = initializers.check(pointwise_initializer)
        self.bias_initializer = initializers.check(bias_initializer)

    def output_shape(self, input_shape):
        h, w, _ = image_shape(self, input_shape)
        self.check_last_axis(input_shape)
        return (*output_size(self, (h, w), self.kernel_size, self.strides, self.padding, self.dilation_rate), self.filters)

    def build(self, input_shape, rng):
        channels = input_shape[2]
        self.add_parameter("depthwise_kernel", (*self.kernel_size, channels, self.depth_multiplier),
                           self.depthwise_initializer, rng)
        self.add_parameter("pointwise_kernel", (1, 1, channels * self.depth_multiplier, self.filters),
                           self.pointwise_initializer, rng)
        if self.use_bias:
            self.add_parameter("bias", (self.filters,), self.bias_initializer, rng)

    def geometry(self, size):
        """Return the keyword arguments that depthwise_conv2d takes for images of `size` (H, W)."""
        padding = padding_for(self.padding, size, self.kernel_size, self.strides, self.dilation_rate)
        return {"strides": self.strides, "padding": padding, "dilation": self.dilation_rate}

    def forward(self, x, *, training=False):
        spread = kernels.depthwise_conv2d(x, self.parameters["depthwise_kernel"], **self.geometry(x.shape[1:3]))
        z = kernels.conv2d(spread, self.parameters["pointwise_kernel"], self.parameters.get("bias"))
        self.saved = x, spread, z
        return self.activation.forward(z)

    def backward(self, dy, *, parameters=True):
        x, spread, z = self.saved
        dz = self.activation.backward(dy, z)
        dspread, dpointwise, dbias = kernels.conv2d_backward(dz, spread, self.parameters["pointwise_kernel"], parameters=parameters)
        dx, ddepthwise, _ = kernels.depthwise_conv2d_backward(dspread, x, self.parameters["depthwise_kernel"],
                                                              parameters=parameters, **self.geometry(x.shape[1:3]))
        if parameters:
            self.keep_gradients(depthwise_kernel=ddepthwise, pointwise_kernel=dpointwise, bias=dbias)
        return dx

    def macc(self, input_shape):
        out = math.prod(self.output_shape(input_shape)[:2])
        spread = input_shape[2] * self.depth_multiplier
        return out * spread * (math.prod(self.kernel_size) + self.filters)
