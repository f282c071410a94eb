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
from tinyvgg.quant.float_tail import apply_float_tail
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
    """none, relu, leaky or clamp, by the op's fields, of an Add."""
    if op.activation == "relu":
        return np.maximum(v, 0)
    if op.activation == "leaky":
        return np.where(v < 0, v * v.dtype.type(op.slope), v)
    return np.clip(v, 0, v.dtype.type(op.high)) if op.activation == "clamp" else v


def images(x):
    """(N, C) as (N, 1, 1, C)."""
    return x if x.ndim == 4 else x[:, None, None]


@simulate_float.register
def _(op: FloatImage, x):
    return x if (op.scale, op.shift) == (1.0, 0.0) else x * x.dtype.type(op.scale) + x.dtype.type(op.shift)


@simulate_float.register(FloatConv2D)
@simulate_float.register(FloatDepthwiseConv2D)
@simulate_float.register(FloatDense)
def _(op, x):
    return apply_float_tail(accumulate(op, x), op).reshape(len(x), *op.shape)


@singledispatch
def accumulate(op, x):
    """The sums of products of an op with weights, before its tail: (N, OH, OW, F), or (N, F) of a dense layer."""
    raise NotYet(f"no sums for {type(op).__name__} ({op.name!r}): register them in quant/simulate_float.py")


@accumulate.register
def _(op: FloatConv2D, x):
    return kernels.conv2d(images(x), kernel_of(op, x), **geometry(op))


@accumulate.register
def _(op: FloatDepthwiseConv2D, x):
    return kernels.depthwise_conv2d(images(x), kernel_of(op, x), **geometry(op))


@accumulate.register
def _(op: FloatDense, x):
    return x.reshape(len(x), -1) @ weights_of(op).T.astype(x.dtype)


def kernel_of(op, x):
    """The weights as the kernels take them: (KH, KW, C, F) of a convolution, (KH, KW, C, M) of a depthwise one."""
    weights = weights_of(op)
    if isinstance(op, FloatConv2D):
        return np.ascontiguousarray(weights.transpose(1, 2, 3, 0), x.dtype)
    return np.ascontiguousarray(weights.transpose(1, 2, 0).reshape(*weights.shape[1:], x.shape[-1], -1), x.dtype)


def geometry(op):
    """Strides, padding and dilation, as the kernels take them."""
    return {"strides": op.strides, "padding": op.padding, "dilation": op.dilation}


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
