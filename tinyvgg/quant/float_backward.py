"""Gradients of the float graph: for each op the pullback of what simulate_float computes. Used with straight-through rounding.

`pull(op, dy, *x)` takes dy (N, *op.shape), the gradient by the op's result, and the inputs that the forward pass saw; it returns
the gradients by the inputs (a list) and by the op's arrays (a dict: weights, bias, gain, shift; empty without `parameters`).
"""

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
)
from tinyvgg.quant.float_tail import float_tail_backward
from tinyvgg.quant.graph import weights_of
from tinyvgg.quant.simulate_float import accumulate, activate, geometry, images, kernel_of


@singledispatch
def pull(op, dy, *x, parameters=True, limits=None):
    """Return [dx, ...] and {array: gradient}. limits: (low, high) beyond which the result is saturated and passes no gradient."""
    raise NotYet(f"no gradient for {type(op).__name__} ({op.name!r}): register one in quant/float_backward.py")


def activation_backward(dy, v, op):
    """Pull dy back through the activation that made activate(v, op)."""
    if op.activation == "relu":
        return dy * (v > 0)
    if op.activation == "leaky":
        return np.where(v < 0, dy * v.dtype.type(op.slope), dy)
    return dy * ((v > 0) & (v < op.high)) if op.activation == "clamp" else dy


def inside(dy, y, limits):
    """dy where y is within limits, else 0."""
    return dy if limits is None else dy * ((y >= limits[0]) & (y <= limits[1]))


@pull.register
def _(op: FloatImage, dy, x, *, parameters=True, limits=None):
    return [dy * dy.dtype.type(op.scale)], {}


@pull.register
def _(op: FloatConv2D, dy, x, *, parameters=True, limits=None):
    dacc, gradients = float_tail_backward(dy, accumulate(op, x), op, limits)
    dx, dkernel, _ = kernels.conv2d_backward(dacc, images(x), kernel_of(op, x), parameters=parameters, **geometry(op))
    if parameters:
        gradients["weights"] = dkernel.transpose(3, 0, 1, 2)
    return [dx.reshape(x.shape)], gradients if parameters else {}


@pull.register
def _(op: FloatDepthwiseConv2D, dy, x, *, parameters=True, limits=None):
    dacc, gradients = float_tail_backward(dy, accumulate(op, x), op, limits)
    dx, dkernel, _ = kernels.depthwise_conv2d_backward(
        dacc, images(x), kernel_of(op, x), parameters=parameters, **geometry(op))
    if parameters:
        gradients["weights"] = dkernel.reshape(*dkernel.shape[:2], -1).transpose(2, 0, 1)
    return [dx.reshape(x.shape)], gradients if parameters else {}


@pull.register
def _(op: FloatDense, dy, x, *, parameters=True, limits=None):
    dacc, gradients = float_tail_backward(dy, accumulate(op, x), op, limits)
    if parameters:
        gradients["weights"] = dacc.T @ x.reshape(len(x), -1)
    return [(dacc @ weights_of(op).astype(x.dtype)).reshape(x.shape)], gradients if parameters else {}


@pull.register
def _(op: FloatAdd, dy, *x, parameters=True, limits=None):
    v = sum(x[1:], x[0])
    dv = activation_backward(inside(dy, activate(v, op), limits), v, op)
    return [dv] * len(x), {}


@pull.register
def _(op: FloatAveragePool2D, dy, x, *, parameters=True, limits=None):
    y = kernels.average_pool2d(x, pool_size=op.pool_size, strides=op.strides)
    dy = inside(dy.reshape(y.shape), y, limits)
    return [kernels.average_pool2d_backward(dy, x.shape, pool_size=op.pool_size, strides=op.strides)], {}


@pull.register
def _(op: FloatMaxPool2D, dy, x, *, parameters=True, limits=None):
    geometry = {"pool_size": op.pool_size, "strides": op.strides, "padding": op.padding}
    argmax = kernels.max_pool2d(x, **geometry)[1]
    return [kernels.max_pool2d_backward(dy.reshape(argmax.shape), argmax, x.shape, **geometry)], {}


def pull_graph(graph, values, dlogits, *, parameters=True, limits=None):
    """Pull dlogits (N, classes) back through a float Graph: return d/d(image) and {(op, array): gradient}.

    values: {op: the result that its readers saw}, and the images under ""; limits: {op: (low, high)} of saturated results.
    """
    sums, gradients = {graph.logits.name: dlogits}, {}
    for op in reversed(graph.ops):
        dy = sums.pop(op.name, None)
        if dy is None:
            continue
        inputs = [values[i] for i in op.inputs] or [values[""]]
        dxs, found = pull(op, dy, *inputs, parameters=parameters, limits=(limits or {}).get(op.name))
        gradients.update({(op.name, name): g for name, g in found.items()})
        for source, dx in zip(op.inputs or ("",), dxs, strict=True):
            sums[source] = sums[source] + dx if source in sums else dx
    return sums[""], gradients
