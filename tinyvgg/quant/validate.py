"""Whether a graph, integer or float, is well formed: names, shapes, dtypes. For graphs that come from files."""

import math
from functools import singledispatch

import numpy as np

from tinyvgg.errors import FormatError, TinyVGGError
from tinyvgg.quant import float_graph as F
from tinyvgg.quant import graph as G
from tinyvgg.quant.bounds import check_graph

LARGEST = 2**24  # values of one tensor, weights of one layer


def validate(graph, kind):
    """Raise FormatError unless `graph` is a well-formed graph of `kind` "integer" or "float"; check_graph included."""
    allowed = G.OPS if kind == "integer" else F.FLOAT_OPS
    first = G.Image if kind == "integer" else F.FloatImage
    low, high = graph.input_range
    if not graph.ops or not isinstance(graph.ops[0], first) or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise FormatError("the graph does not begin with an image of a sensible range")
    done = {}
    for op in graph.ops:
        if type(op).__name__ not in allowed or op.name in done or any(i not in done for i in op.inputs):
            raise FormatError(
                f"op {op.name!r} ({type(op).__name__}) is unknown, occurs twice or reads something that is not before it"
            )
        if any(n < 1 for n in op.shape) or len(op.shape) not in (1, 3) or math.prod(op.shape) > LARGEST:
            raise FormatError(f"op {op.name!r} has the shape {op.shape}")
        if (op is graph.ops[0]) != isinstance(op, first):
            raise FormatError(f"op {op.name!r} is a second image")
        try:
            expected = _shape(op, *(done[i] for i in op.inputs))
        except TinyVGGError:
            raise
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise FormatError(f"op {op.name!r} does not fit its inputs: {error}") from error
        if tuple(expected) != tuple(op.shape):
            raise FormatError(f"op {op.name!r} has the shape {op.shape}; its inputs give {tuple(expected)}")
        done[op.name] = op
    if len(graph.logits.shape) != 1:
        raise FormatError(f"the logits have the shape {graph.logits.shape}; expected a vector")
    if kind == "integer":
        check_graph(graph)


def _need(condition, op, what):
    if not condition:
        raise FormatError(f"op {op.name!r} has {what}")


@singledispatch
def _shape(op, *inputs):
    """The shape that the inputs give, after checking the op's own fields."""
    raise FormatError(f"op {op.name!r} is a {type(op).__name__}, which is not known")


@_shape.register(G.Image)
@_shape.register(F.FloatImage)
def _(op):
    _need(len(op.shape) == 3 and not op.inputs, op, "no image's shape")
    if isinstance(op, G.Image):
        _quantised(op)
    return op.shape


def _quantised(op):
    _need(math.isfinite(op.scale) and op.scale > 0 and 0 <= op.zero <= 255, op, f"scale {op.scale} and zero point {op.zero}")


def _weights(op, ndim, dtype):
    """Check plain or shared weights and the tail's arrays; return the number of channels."""
    w, channels = op.weights, op.weights.shape[0] if op.weights.shape else 0
    _need(len(w.shape) == ndim and 0 < math.prod(w.shape) <= LARGEST, op, f"weights of shape {w.shape}")
    if isinstance(w, G.SharedWeights):
        _need(w.bits in range(1, 9) and w.indices.dtype == np.uint8 and w.codebook.dtype == dtype, op, "a damaged codebook")
        _need(w.codebook.ndim in (1, 2) and 0 < w.codebook.shape[-1] <= 2**w.bits, op, f"a codebook of shape {w.codebook.shape}")
        _need(w.codebook.ndim == 1 or len(w.codebook) == channels, op, f"a codebook of shape {w.codebook.shape}")
        _need(int(w.indices.max()) < w.codebook.shape[-1], op, "an index beyond its codebook")
        values = w.codebook
    else:
        _need(w.dtype == dtype, op, f"weights of dtype {w.dtype}")
        values = w
    _need(np.isfinite(values).all(), op, "weights that are not finite")
    _tail(op, channels, np.int32 if dtype == np.int8 else np.float32)
    return channels


def _tail(op, channels, dtype):
    tail = op.tail
    names = ("bias", "offset", "multiplier") if dtype == np.int32 else ("bias",)
    arrays = [getattr(tail, n) for n in names] + [
        a for n in ("high", "gain", "shift") if isinstance(a := getattr(tail, n, None), np.ndarray)
    ]
    _need(all(isinstance(a, np.ndarray) and a.shape == (channels,) and a.dtype == dtype and np.isfinite(a).all() for a in arrays),
          op, "a damaged tail")
    _need(tail.activation in G.ACTIVATIONS, op, f"the activation {tail.activation!r}")
    if dtype == np.float32:
        _need((tail.gain is None) == (tail.shift is None), op, "a gain without a shift")
    else:
        _quantised(op)
        _need(op.variant in G.VARIANTS, op, f"the variant {op.variant!r}")


def _spatial(op, before, kernel):
    """Rows and columns after convolution and pool."""
    h, w = before.shape[:2] if len(before.shape) == 3 else (1, 1)
    size = []
    for n, k, s, d, (a, b) in zip((h, w), kernel, op.strides, op.dilation, op.padding, strict=True):
        _need(s >= 1 and d >= 1 and 0 <= a < 2**12 and 0 <= b < 2**12, op, "impossible strides, dilation or padding")
        size.append((n + a + b - d * (k - 1) - 1) // s + 1)
    return _pooled(op, size, op.pool[:2], op.pool[2:]) if op.pool else size


def _pooled(op, size, window, strides):
    _need(all(1 <= k <= n for k, n in zip(window, size, strict=True)) and min(strides) >= 1, op,
          f"a pool of {window} on {tuple(size)}")
    return [(n - k) // s + 1 for n, k, s in zip(size, window, strides, strict=True)]


def _zero_of(op, before):
    _need(not hasattr(op, "input_zero") or op.input_zero == before.zero, op, "another zero point than its input")


@_shape.register(G.Conv2D)
@_shape.register(F.FloatConv2D)
def _(op, before):
    f = _weights(op, 4, np.int8 if isinstance(op, G.Conv2D) else np.float32)
    _need(op.weights.shape[3] == before.shape[-1], op, f"weights of shape {op.weights.shape} for {before.shape}")
    _zero_of(op, before)
    return (*_spatial(op, before, op.weights.shape[1:3]), f)


@_shape.register(G.DepthwiseConv2D)
@_shape.register(F.FloatDepthwiseConv2D)
def _(op, before):
    f = _weights(op, 3, np.int8 if isinstance(op, G.DepthwiseConv2D) else np.float32)
    _need(f % before.shape[-1] == 0, op, f"{f} channels from {before.shape[-1]}")
    _zero_of(op, before)
    size = _spatial(op, before, op.weights.shape[1:])
    return (*size, f) if len(before.shape) == 3 else (f,)


@_shape.register(G.Dense)
@_shape.register(F.FloatDense)
def _(op, before):
    out = _weights(op, 2, np.int8 if isinstance(op, G.Dense) else np.float32)
    _need(op.weights.shape[1] == math.prod(before.shape), op, f"weights of shape {op.weights.shape} for {before.shape}")
    _need(getattr(op, "output", "uint8") in ("uint8", "int16"), op, "an unknown output")
    _zero_of(op, before)
    return (out,)


@_shape.register(G.Add)
@_shape.register(F.FloatAdd)
def _(op, *inputs):
    _need(len(inputs) >= 2 and all(i.shape == inputs[0].shape for i in inputs), op, "inputs of different shapes")
    if isinstance(op, G.Add):
        _need(len(op.multipliers) == len(inputs), op, f"{len(op.multipliers)} multipliers for {len(inputs)} inputs")
        _quantised(op)
    return inputs[0].shape


@_shape.register(G.AveragePool2D)
@_shape.register(F.FloatAveragePool2D)
def _(op, before):
    return _vector_or_map(op, _pooled(op, before.shape[:2], op.pool_size, op.strides), before.shape[2])


@_shape.register(G.MaxPool2D)
@_shape.register(F.FloatMaxPool2D)
def _(op, before):
    _need(all(0 <= n < k for pair, k in zip(op.padding, op.pool_size, strict=True) for n in pair), op, f"padding {op.padding}")
    size = [n + sum(p) for n, p in zip(before.shape[:2], op.padding, strict=True)]
    return _vector_or_map(op, _pooled(op, size, op.pool_size, op.strides), before.shape[2])


def _vector_or_map(op, size, channels):
    """A pool of the whole map may give (C,) instead of (1, 1, C)."""
    return (channels,) if len(op.shape) == 1 and tuple(size) == (1, 1) else (*size, channels)


@_shape.register(G.Softmax)
@_shape.register(F.FloatSoftmax)
def _(op, before):
    if isinstance(op, G.Softmax):
        _need(op.kind in ("integer", "float") and math.isfinite(op.input_scale), op, f"the kind {op.kind!r}")
    return before.shape
