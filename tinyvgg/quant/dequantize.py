"""The float graph that an integer graph stands for: the same function without rounding and saturation."""

from functools import singledispatch

import numpy as np

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
    FloatTail,
)
from tinyvgg.quant.graph import Add, AveragePool2D, Conv2D, Dense, DepthwiseConv2D, Graph, Image, MaxPool2D, Softmax, weights_of


def dequantize(graph):
    """Return the float Graph of an integer Graph; its images are floats in the integer graph's input range."""
    done = {}
    for op in graph.ops:
        done[op.name] = _float(op, graph)
    return Graph(name=graph.name, ops=tuple(done.values()), input_range=graph.input_range)


def limits(graph):
    """Return {op: (low, high)}: the real values of the first and last level of each op that saturates."""
    found = {}
    for op in graph.ops:
        if not isinstance(op, Image | MaxPool2D | Softmax):
            low, high = (-32768, 32767) if getattr(op, "output", "uint8") == "int16" else (0, 255)
            found[op.name] = op.scale * (low - op.zero - 0.5), op.scale * (high - op.zero + 0.5)
    return found


def real_values(graph, traced, x):
    """Return {op: scale * (q - zero)} as float32 for a trace's integers, and the images x under "": what pull_graph wants."""
    values = {op.name: (np.float32(op.scale) * (traced[op.name].astype(np.float32) - np.float32(op.zero))) for op in graph.ops
              if not isinstance(op, Softmax)}
    return {**values, "": x}


@singledispatch
def _float(op, graph):
    raise NotYet(f"no float op for {type(op).__name__} ({op.name!r}): register one in quant/dequantize.py")


@_float.register
def _(op: Image, graph):
    low, high = graph.input_range  # q = (x - low) * 255 / (high - low), real = scale * (q - zero)
    scale = op.scale * 255 / (high - low)
    return FloatImage(name=op.name, inputs=(), shape=op.shape, scale=scale, shift=-low * scale - op.scale * op.zero)


def _parts(op, graph):
    """Weights and FloatTail: real = s m / 2^32 (activation(v) + offset) - s z, with the unit |s m| / 2^32 moved into v."""
    tail, m = op.tail, op.tail.multiplier.astype(np.float64)
    unit = op.scale * np.abs(m) / 2.0**32  # real value of one unit of v, by its magnitude
    acc = unit * 2.0**tail.shift
    weights = weights_of(op).astype(np.float64)
    scaled = weights * (acc / graph[op.inputs[0]].scale).reshape(-1, *[1] * (weights.ndim - 1))
    shift = unit * np.sign(m) * tail.offset - op.scale * op.zero
    float_tail = FloatTail(bias=(acc * tail.bias).astype(np.float32), activation=tail.activation, slope=tail.slope / 2.0**31,
                           high=float("inf"), gain=np.where(m < 0, -1, 1).astype(np.float32), shift=shift.astype(np.float32))
    if tail.activation == "clamp":
        float_tail = _per_channel_clamp(float_tail, unit * tail.high)
        scaled = scaled / _reach(unit * tail.high).reshape(-1, *[1] * (weights.ndim - 1))
    return {"weights": scaled.astype(np.float32), "tail": float_tail}


def _reach(high):
    """The clamp of each channel, 1 where it is 0 (a channel that is always 0)."""
    return np.where(high > 0, high, 1.0)


def _per_channel_clamp(tail, high):
    """A float tail clamps all channels at one value: bring each channel's own to 1, and put it into the gain."""
    reach = _reach(high)
    return FloatTail(bias=(tail.bias / reach).astype(np.float32), activation="clamp", high=1.0,
                     gain=(tail.gain * np.where(high > 0, reach, 0)).astype(np.float32), shift=tail.shift)


@_float.register(Conv2D)
@_float.register(DepthwiseConv2D)
def _(op, graph):
    cls = FloatConv2D if isinstance(op, Conv2D) else FloatDepthwiseConv2D
    return cls(name=op.name, inputs=op.inputs, shape=op.shape, strides=op.strides, padding=op.padding, dilation=op.dilation,
               pool=op.pool, **_parts(op, graph))


@_float.register
def _(op: Dense, graph):
    return FloatDense(name=op.name, inputs=op.inputs, shape=op.shape, **_parts(op, graph))


@_float.register
def _(op: Add, graph):
    return FloatAdd(name=op.name, inputs=op.inputs, shape=op.shape)


@_float.register
def _(op: AveragePool2D, graph):
    return FloatAveragePool2D(name=op.name, inputs=op.inputs, shape=op.shape, pool_size=op.pool_size, strides=op.strides)


@_float.register
def _(op: MaxPool2D, graph):
    return FloatMaxPool2D(
        name=op.name, inputs=op.inputs, shape=op.shape, pool_size=op.pool_size, strides=op.strides, padding=op.padding
    )


@_float.register
def _(op: Softmax, graph):
    return FloatSoftmax(name=op.name, inputs=op.inputs, shape=op.shape)
