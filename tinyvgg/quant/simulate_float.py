"""What the float graph computes, in NumPy and the float kernels: one function for each op."""

from functools import singledispatch

import numpy as np

from tinyvgg import kernels
from tinyvgg.errors import NotYet
from tinyvgg.quant.float_graph import (
    FloatAdd,
    FloatAveragePool2D,
    FloatConv2D,
    FloatDense,
    FloatDepthwiseConv2D,
    FloatImage,
    FloatMaxPool2D,
    FloatSoftmax,
)
from tinyvgg.quant.graph import weights_of


@singledispatch
def simulate_float(op, *x):
    """x: float arrays (N, ...), one for each input -> (N, *op.shape)."""
    raise NotYet(f"no float simulation for {type(op).__name__} ({op.name!r}): register one in quant/simulate_float.py")


def run_float(graph, x, *, keep=False):
    """x (N, H, W, C) in the graph's input range -> logits (N, classes), or with `keep` {op: its result}."""
    values = {}
    for op in graph.ops:
        values[op.name] = simulate_float(op, *([values[i] for i in op.inputs] or [x]))
    return values if keep else values[graph.logits.name]


def activate(v, op):
    """none, relu, leaky or clamp, by the op's fields."""
    if op.activation == "relu":
        return np.maximum(v, 0)
    if op.activation == "leaky":
        return np.where(v < 0, v * v.dtype.type(op.slope), v)
    return np.clip(v, 0, v.dtype.type(op.high)) if op.activation == "clamp" else v


def tail(v, op):
    """The tail of a convolution or dense layer on v (..., F) = acc, without bias: see FloatTail."""
    y = activate(v + op.tail.bias.astype(v.dtype), op.tail)
    if op.tail.gain is not None:
        y = y * op.tail.gain.astype(v.dtype) + op.tail.shift.astype(v.dtype)
    pool = getattr(op, "pool", None)
    return kernels.max_pool2d(y, pool_size=pool[:2], strides=pool[2:])[0] if pool else y


def images(x):
    """(N, C) as (N, 1, 1, C)."""
    return x if x.ndim == 4 else x[:, None, None]


@simulate_float.register
def _(op: FloatImage, x):
    return x if (op.scale, op.shift) == (1.0, 0.0) else x * x.dtype.type(op.scale) + x.dtype.type(op.shift)


@simulate_float.register
def _(op: FloatConv2D, x):
    kernel = np.ascontiguousarray(weights_of(op).transpose(1, 2, 3, 0), x.dtype)
    return tail(kernels.conv2d(images(x), kernel, strides=op.strides, padding=op.padding, dilation=op.dilation), op)


@simulate_float.register
def _(op: FloatDepthwiseConv2D, x):
    x = images(x)
    kernel = depthwise_kernel(weights_of(op), x.shape[-1]).astype(x.dtype)
    y = tail(kernels.depthwise_conv2d(x, kernel, strides=op.strides, padding=op.padding, dilation=op.dilation), op)
    return y.reshape(len(y), *op.shape)


def depthwise_kernel(weights, channels):
    """(F, KH, KW) -> (KH, KW, C, M) as the kernels take it."""
    w = weights.transpose(1, 2, 0)
    return np.ascontiguousarray(w.reshape(*w.shape[:2], channels, -1))


@simulate_float.register
def _(op: FloatDense, x):
    return tail(x.reshape(len(x), -1) @ weights_of(op).T.astype(x.dtype), op)


@simulate_float.register
def _(op: FloatAdd, *x):
    return activate(sum(x[1:], x[0]), op)


@simulate_float.register
def _(op: FloatAveragePool2D, x):
    return kernels.average_pool2d(x, pool_size=op.pool_size, strides=op.strides).reshape(len(x), *op.shape)


@simulate_float.register
def _(op: FloatMaxPool2D, x):
    return kernels.max_pool2d(x, pool_size=op.pool_size, strides=op.strides, padding=op.padding)[0].reshape(len(x), *op.shape)


@simulate_float.register
def _(op: FloatSoftmax, x):
    return kernels.softmax(x)
