"""Convolutions along one axis."""
from typing import Any, Unpack

from tinyvgg.nn.layers.base import choice
from tinyvgg.nn.layers.conv2d import Conv2D
from tinyvgg.nn.layers.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.nn.layers.one_row import OneRow, one
from tinyvgg.nn.layers.separable_conv2d import SeparableConv2D
from tinyvgg.types import LayerOptions


class _Window(OneRow):
    """kernel_size, strides and dilation_rate are (n,), as Keras has them."""

    paddings = ("valid", "same")

    def _place(self, kernel_size, strides, padding, dilation_rate):
        self.kernel_size, self.strides = one(kernel_size, "kernel_size"), one(strides, "strides")
        self.dilation_rate, self.padding = one(dilation_rate, "dilation_rate"), choice(padding, self.paddings, "padding")
        return {"kernel_size": (1, *self.kernel_size), "strides": (1, *self.strides), "dilation_rate": (1, *self.dilation_rate)}

    def _like(self, planar):
        """Take over what `planar` has checked."""
        planar.padding = self.padding
        for name in self.options:
            if not hasattr(self, name) or name == "activation":
                setattr(self, name, getattr(planar, name))
        self.planar = planar


class Conv1D(_Window):
    """A bank of `filters` correlated with the series: kernel (K, C/groups, F), bias (F,), then the activation.

    padding "causal": no result depends on a later step.
    """

    paddings = ("valid", "same", "causal")
    options = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "activation", "use_bias",
               "kernel_initializer", "bias_initializer")

    def __init__(self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", *, dilation_rate: Any = 1, groups: int = 1,
                 activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
                 bias_initializer: Any = "zeros", **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        place = self._place(kernel_size, strides, padding, dilation_rate)
        self._like(Conv2D(filters, groups=groups, activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
                          bias_initializer=bias_initializer, **place))


class DepthwiseConv1D(_Window):
    """`depth_multiplier` M filters a channel: depthwise_kernel (K, C, M), bias (C*M,), then the activation."""

    options = ("kernel_size", "strides", "padding", "depth_multiplier", "dilation_rate", "activation", "use_bias",
               "depthwise_initializer", "bias_initializer")

    def __init__(self, kernel_size: Any, strides: Any = 1, padding: str = "valid", depth_multiplier: int = 1, *, dilation_rate: Any = 1,
                 activation: Any = None, use_bias: bool = True, depthwise_initializer: Any = "glorot_uniform",
                 bias_initializer: Any = "zeros", **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        place = self._place(kernel_size, strides, padding, dilation_rate)
        self._like(DepthwiseConv2D(depth_multiplier=depth_multiplier, activation=activation, use_bias=use_bias,
                                   depthwise_initializer=depthwise_initializer, bias_initializer=bias_initializer, **place))


class SeparableConv1D(_Window):
    """depthwise_kernel (K, C, M), pointwise_kernel (1, C*M, F), bias (F,), then the activation."""

    options = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "activation", "use_bias",
               "depthwise_initializer", "pointwise_initializer", "bias_initializer")

    def __init__(self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", *, dilation_rate: Any = 1,
                 depth_multiplier: int = 1, activation: Any = None, use_bias: bool = True,
                 depthwise_initializer: Any = "glorot_uniform", pointwise_initializer: Any = "glorot_uniform",
                 bias_initializer: Any = "zeros", **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        place = self._place(kernel_size, strides, padding, dilation_rate)
        self._like(SeparableConv2D(filters, depth_multiplier=depth_multiplier, activation=activation, use_bias=use_bias,
                                   depthwise_initializer=depthwise_initializer, pointwise_initializer=pointwise_initializer,
                                   bias_initializer=bias_initializer, **place))
