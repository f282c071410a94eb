"""Depthwise convolution: each channel has filters of its own."""
import math
from typing import Any, Unpack

from tinyvgg import kernels
from tinyvgg.nn import activations, initializers
from tinyvgg.nn.layers._spatial import output_size, padding_for
from tinyvgg.nn.layers.base import Layer, choice, image_shape, pair, positive
from tinyvgg.types import LayerOptions, Pair


class DepthwiseConv2D(Layer):
    """`depth_multiplier` M filters a channel: depthwise_kernel (KH, KW, C, M), bias (C*M,), then the activation."""

    options = ("kernel_size", "strides", "padding", "depth_multiplier", "dilation_rate", "activation", "use_bias",
               "depthwise_initializer", "bias_initializer")

    def __init__(self, kernel_size: Pair, strides: Pair = (1, 1), padding: str = "valid", depth_multiplier: int = 1, *,
                 dilation_rate: Pair = (1, 1), activation: Any = None, use_bias: bool = True,
                 depthwise_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
                 **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.kernel_size, self.strides = pair(kernel_size, "kernel_size"), pair(strides, "strides")
        self.padding = choice(padding, ("valid", "same"), "padding")
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier")
        self.dilation_rate = pair(dilation_rate, "dilation_rate")
        self.activation, self.use_bias = activations.get(activation), bool(use_bias)
        self.depthwise_initializer = initializers.check(depthwise_initializer)
        self.bias_initializer = initializers.check(bias_initializer)

    def output_shape(self, input_shape):
        h, w, c = image_shape(self, input_shape)
        self.check_last_axis(input_shape)
        size = output_size(self, (h, w), self.kernel_size, self.strides, self.padding, self.dilation_rate)
        return (*size, c * self.depth_multiplier)

    def build(self, input_shape, rng):
        channels = input_shape[2]
        self.add_parameter("depthwise_kernel", (*self.kernel_size, channels, self.depth_multiplier),
                           self.depthwise_initializer, rng)
        if self.use_bias:
            self.add_parameter("bias", (channels * self.depth_multiplier,), self.bias_initializer, rng)

    def geometry(self, size):
        """Return the keyword arguments that depthwise_conv2d takes for images of `size` (H, W)."""
        padding = padding_for(self.padding, size, self.kernel_size, self.strides, self.dilation_rate)
        return {"strides": self.strides, "padding": padding, "dilation": self.dilation_rate}

    def forward(self, x, *, training=False):
        z = kernels.depthwise_conv2d(x, self.parameters["depthwise_kernel"], self.parameters.get("bias"),
                                     **self.geometry(x.shape[1:3]))
        self.saved = x, z
        return self.activation.forward(z)

    def backward(self, dy, *, parameters=True):
        x, z = self.saved
        dz = self.activation.backward(dy, z)
        dx, dkernel, dbias = kernels.depthwise_conv2d_backward(dz, x, self.parameters["depthwise_kernel"],
                                                               parameters=parameters, **self.geometry(x.shape[1:3]))
        if parameters:
            self.keep_gradients(depthwise_kernel=dkernel, bias=dbias)
        return dx

    def macc(self, input_shape):
        return math.prod(self.output_shape(input_shape)) * math.prod(self.kernel_size)
