"""What the integer graph computes, bit by bit: one function for each op. This is the definition that C code reproduces.

Sums of products run through floating-point matrix products, where they are exact: every partial sum is an integer of magnitude
below 2^24 (float32) or 2^53 (float64), whichever sum |w| max|x| shows to be enough, so no order of summation ever rounds.
"""

from functools import lru_cache, singledispatch

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyvgg.errors import NotYet
from tinyvgg.quant.fixedpoint import multiply_high_rounded, saturate
from tinyvgg.quant.graph import Add, AveragePool2D, Conv2D, Dense, DepthwiseConv2D, Image, MaxPool2D, Softmax, weights_of
from tinyvgg.quant.tail import apply_tail

WORKSPACE = 2**22  # values of one batch's windows: 16 MB of float32


@singledispatch
def simulate(op, *x):
    """x: integer arrays (N, ...), one for each input -> (N, *op.shape), uint8 (int16 logits where the op says so)."""
    raise NotYet(f"no simulation for {type(op).__name__} ({op.name!r}): register one in quant/simulate.py")


def run(graph, x, *, keep=False):
    """x (N, H, W, C) uint8 -> the integer logits (N, classes), or with `keep` {op: its result}, a softmax too."""
    values, last = {}, graph.logits.name
    readers = {i: op.name for op in graph.ops for i in op.inputs}
    for op in graph.ops:
        values[op.name] = simulate(op, *([values[i] for i in op.inputs] or [x]))
        if op.name == last and not keep:
            return values[last]
        if not keep:
            for i in op.inputs:
                if readers[i] == op.name:
                    values[i] = None
    return values


@simulate.register
def _(op: Image, x):
    return x


@simulate.register(Conv2D)
@simulate.register(DepthwiseConv2D)
@simulate.register(Dense)
def _(op, x):
    out = np.empty((len(x), *op.shape), np.int16 if getattr(op, "output", "uint8") == "int16" else np.uint8)
    for part, acc in accumulate(op, x):
        out[part] = apply_tail(acc, op).reshape(-1, *op.shape)
    return out


@singledispatch
def accumulate(op, x):
    """Yield (slice of the images, acc): the sums of products before the tail, (n, OH, OW, F) or (n, F), integers of any dtype."""
    raise NotYet(f"no accumulators for {type(op).__name__} ({op.name!r}): register one in quant/simulate.py")


@accumulate.register
def _(op: Conv2D, x):
    x = x if x.ndim == 4 else x[:, None, None]
    f, kh, kw, c = op.weights.shape
    dtype = exact_dtype(op)
    matrix = np.ascontiguousarray(weights_of(op).reshape(f, -1).T, dtype)  # (KH*KW*C, F)
    step = _batch(op, kh * kw * c)
    for i in range(0, len(x), step):
        windows = _windows(x[i : i + step], op, dtype)  # (n, OH, OW, KH, KW, C)
        acc = windows.reshape(-1, kh * kw * c) @ matrix
        yield slice(i, i + step), acc.reshape(*windows.shape[:3], f)


@accumulate.register
def _(op: DepthwiseConv2D, x):
    x = x if x.ndim == 4 else x[:, None, None]
    f, kh, kw = op.weights.shape
    weights = weights_of(op).transpose(1, 2, 0).astype(np.int32)  # (KH, KW, F)
    step = _batch(op, kh * kw * f)
    for i in range(0, len(x), step):
        windows = np.repeat(_windows(x[i : i + step], op, np.int32), f // x.shape[-1], axis=-1)
        yield slice(i, i + step), np.einsum("nijpqf,pqf->nijf", windows, weights)


@accumulate.register
def _(op: Dense, x):
    dtype = exact_dtype(op)
    flat = x.reshape(len(x), -1).astype(dtype) - dtype(op.input_zero)
    yield slice(0, len(x)), flat @ weights_of(op).T.astype(dtype)


def _batch(op, values):
    """How many images' windows (of `values` each) fit the workspace."""
    (h, w), (ph, pw, sh, sw) = op.shape[:2] if len(op.shape) == 3 else (1, 1), op.pool or (1, 1, 1, 1)
    return max(1, WORKSPACE // (((h - 1) * sh + ph) * ((w - 1) * sw + pw) * values))


def _windows(x, op, dtype):
    """The windows of x (N, H, W, C) minus its zero point, with the border that the op adds: (N, OH, OW, KH, KW, C)."""
    padded = np.zeros((len(x), x.shape[1] + sum(op.padding[0]), x.shape[2] + sum(op.padding[1]), x.shape[3]), dtype)
    (top, _), (left, _) = op.padding
    np.subtract(x, dtype(op.input_zero), out=padded[:, top : top + x.shape[1], left : left + x.shape[2]], dtype=dtype)
    (dh, dw), (sh, sw) = op.dilation, op.strides
    extent = dh * (op.weights.shape[1] - 1) + 1, dw * (op.weights.shape[2] - 1) + 1
    views = sliding_window_view(padded, extent, axis=(1, 2))[:, ::sh, ::sw, :, ::dh, ::dw]
    return np.ascontiguousarray(views.transpose(0, 1, 2, 4, 5, 3))


def exact_dtype(op):
    """Return float32 where no partial sum of the op can reach 2^24, else float64 (2^53, far beyond any accumulator)."""
    weights = np.abs(weights_of(op).astype(np.int64))
    largest = weights.reshape(len(weights), -1).sum(axis=1).max() * max(op.input_zero, 255 - op.input_zero)
    return np.float32 if largest < 2**24 else np.float64


@simulate.register
def _(op: Add, *x):
    v = sum(part.astype(np.int32) * np.int32(m) for part, m in zip(x, op.multipliers, strict=True)) + np.int32(op.offset)
    return saturate(multiply_high_rounded(v, np.int64(1) << (32 - op.shift))).astype(np.uint8)


@simulate.register
def _(op: AveragePool2D, x):
    (ph, pw), (sh, sw) = op.pool_size, op.strides
    total = sliding_window_view(x, (ph, pw), axis=(1, 2))[:, ::sh, ::sw].sum(axis=(-2, -1), dtype=np.int32)
    q = saturate(multiply_high_rounded((total << op.shift) + op.offset, op.multiplier))
    return q.astype(np.uint8).reshape(len(x), *op.shape)


@simulate.register
def _(op: MaxPool2D, x):
    (ph, pw), (sh, sw) = op.pool_size, op.strides
    padded = np.pad(x, ((0, 0), *op.padding, (0, 0)))  # 0 is the least there is
    windows = sliding_window_view(padded, (ph, pw), axis=(1, 2))[:, ::sh, ::sw]
    return windows.max(axis=(-2, -1)).reshape(len(x), *op.shape)


@lru_cache(maxsize=1)
def octave_table():
    """Return 2^15 * 2^(-j/256), rounded, for j in 0..255: uint16. The integer softmax's only table."""
    return np.rint(2.0 ** (15 - np.arange(256) / 256)).astype(np.uint16)


@simulate.register
def _(op: Softmax, x):
    below = x.max(axis=-1, keepdims=True).astype(np.int32) - x
    if op.kind == "float":
        e = np.exp(below.astype(np.float32) * np.float32(-op.input_scale))
        return e / e.sum(axis=-1, keepdims=True)
    u = multiply_high_rounded(below << op.shift, op.multiplier)
    e = octave_table()[u & 255].astype(np.int32) >> np.minimum(u >> 8, 31)
    total = e.sum(axis=-1, keepdims=True)
    return ((e * 255 + total // 2) // total).astype(np.uint8)
