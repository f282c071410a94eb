"""Describes an integer graph from a .tflite as X-CUBE-AI does: a row for each operator and each activation."""
import math

import numpy as np

from tinyvgg.errors import FormatError
from tinyvgg.quant import ops


def describe_graph(graph, row):
    """Return the rows of an integer Graph from a .tflite; raise FormatError for any other op. row: the class Operation.

    A caller that counts integers takes weights as int8 and biases as int32.
    """
    last, found, floats = {}, [], graph.facts.get("floats", ())
    for op in graph.ops:
        rule = KINDS.get(type(op))
        if rule is None:
            raise FormatError(f"{type(op).__name__} ({op.name!r}) has no row among X-CUBE-AI's", "--rules tinyvgg")
        before = tuple(last[name] for name in op.inputs)
        shape = graph[op.inputs[0]].shape if op.inputs else op.shape
        for kind, out, parameters, settings, macc in rule(op, shape):
            kind = "conversion" if _converts(op, graph, floats) else kind
            if kind == "other" and (function := _function(op, graph[op.inputs[0]])):
                kind, settings = "activation", {"function": function}
            name = op.name if kind != "activation" or not found or found[-1].layer != op.name else f"{op.name}/activation"
            found.append(row(name, kind, op.name, before, tuple(shape), tuple(out), parameters, settings, type(op).__name__,
                             sum(map(math.prod, parameters.values())), macc))
            before, shape = (name,), out
        if op.inputs == () and "input" in floats:
            found.append(_conversion(row, found[-1], f"{op.name}/quantize"))
        last[op.name] = found[-1].name
    ends = "output" in floats and not isinstance(graph.ops[-1], ops.Softmax)         # a float softmax has the conversion before it
    return found + ([_conversion(row, found[-1], f"{found[-1].name}/dequantize")] if ends else [])


def _conversion(row, before, name):
    """Return the row of a conversion between floats and levels."""
    shape = before.output_shape
    return row(name, "conversion", name, (before.name,), shape, shape, settings={"floats": True}, class_name="Conversion")


def _weighted(op, shape):
    """Return the parts of a convolution or dense layer: itself, its activation, and the max-pool that is part of it."""
    f, out = len(op.tail.bias), op.shape
    if isinstance(op, ops.Dense):
        yield "dense", out, {"kernel": op.weights.shape[::-1], "bias": (f,)}, {}, op.macc
    elif _is_mean(op):
        yield "pool", out, {}, {"pool_size": op.weights.shape[1:3], "strides": op.weights.shape[1:3], "function": "average"}, 0
        return
    else:
        out = (*op.size, f)
        depthwise = isinstance(op, ops.DepthwiseConv2D)
        kernel = (*op.weights.shape[1:3], 1, f) if depthwise else (*op.weights.shape[1:], f)
        yield ("conv", out, {"kernel": kernel, "bias": (f,)}, {
            "kernel_size": op.weights.shape[1:3], "strides": op.strides, "same": bool(any(map(any, op.padding))),
            "groups": shape[-1] if depthwise else 1}, op.macc)
    if op.lite and (op.tail.low > 0 or op.tail.zero == 0):
        yield "activation", out, {}, {"function": "relu" if op.tail.high == 255 else "relu6"}, 0
    if op.pool:
        yield "pool", op.shape, {}, {"pool_size": op.pool[:2], "strides": op.pool[2:], "function": "max"}, 0


def _converts(op, graph, floats):
    """Whether an op only converts uint8 to int8 or back, as the first and last operator of a file do."""
    first, last = op.inputs == (graph.ops[0].name,) and "input" not in floats, op is graph.ops[-1] and "output" not in floats
    return isinstance(op, ops.LevelTable) and (first or last) and len(op.table) == 1 and int(abs(op.table[0].astype(int) - range(256)).max()) <= 2


def _function(op, before):
    """Which function a table of 256 levels is, by its values; None if it is none of these."""
    if not isinstance(op, ops.LevelTable) or len(op.table) != 1:
        return None
    real = before.scale * (np.arange(256) - before.zero)
    for name, values in FUNCTIONS.items():
        levels = np.clip(np.round(values(real) / op.scale) + op.zero, 0, 255)
        if np.abs(op.table[0] - levels).max() <= 1 and np.ptp(levels) > 1:
            return name
    return None


def _float_softmax(op, shape):
    """Return the parts of a float softmax after logits of 16 bits."""
    yield "conversion", shape, {}, {"floats": True}, 0
    yield "activation", op.shape, {}, {"function": "softmax"}, 0


def _is_mean(op):
    return isinstance(op, ops.DepthwiseConv2D) and op.shape[:2] == (1, 1) and (op.weights == 1).all() and not op.tail.bias.any()


def _pool(function):
    return lambda op, shape: [("pool", op.shape, {}, {"pool_size": op.pool_size, "strides": op.strides, "function": function}, 0)]


def _kind(kind, **settings):
    return lambda op, shape: [(kind, op.shape, {}, settings, 0)]


FUNCTIONS = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0),
             "relu6": lambda x: np.clip(x, 0, 6), "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
             "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6}
KINDS = {ops.Image: _kind("input"), ops.Conv2D: _weighted, ops.DepthwiseConv2D: _weighted, ops.Dense: _weighted, ops.MaxPool2D: _pool("max"),
         ops.LiteAveragePool2D: _pool("average"), ops.LiteAdd: _kind("add", terms=2), ops.LiteConcatenate: _kind("concatenate"),
         ops.LiteSoftmax: _kind("activation", function="softmax"), ops.Softmax: _float_softmax,
         ops.LevelTable: _kind("other", function="table"), ops.Reshape: _kind("reshape"), ops.Pad2D: _kind("pad"),
         ops.UpSample2D: _kind("upsample", function="nearest")}
