"""The integer model's definition in exact rational numbers, slowly: what simulate is tested against.

Written from the text of quant/ops: Python's unbounded integers, fractions for the one rounding, loops for everything.
"""

from fractions import Fraction
from itertools import product
from math import floor

import numpy as np


def rounded(a, b):
    """a*b / 2^32 to the nearest integer, ties towards plus infinity."""
    return floor(Fraction(a * b, 2**32) + Fraction(1, 2))


def tail(acc, tail, f, low=0, high=255):
    """One accumulator of channel f (a Python int) -> its level."""
    v = (acc + int(tail.bias[f])) * 2**tail.shift
    assert -(2**31) <= v < 2**31
    if tail.activation == "relu":
        v = max(v, 0)
    elif tail.activation == "leaky" and v < 0:
        assert -(2**31) <= 2 * v
        v = rounded(2 * v, tail.slope)
    elif tail.activation == "clamp":
        v = min(max(v, 0), int(tail.high[f]))
    v += int(tail.offset[f])
    assert -(2**31) <= v < 2**31
    return min(max(rounded(v, int(tail.multiplier[f])), low), high)


def weights(op):
    """Plain weights by the definition of SharedWeights."""
    if not hasattr(op.weights, "indices"):
        return op.weights
    out = np.empty(op.weights.indices.shape, np.int64)
    for at in np.ndindex(out.shape):
        book = op.weights.codebook if op.weights.codebook.ndim == 1 else op.weights.codebook[at[0]]
        out[at] = book[op.weights.indices[at]]
    return out


def convolution(op, x):
    """Conv2D or DepthwiseConv2D on one image x (H, W, C): levels as nested loops give them, pooled last."""
    x = x if x.ndim == 3 else x[None, None]
    w = weights(op)
    kh, kw = w.shape[1:3]
    pixels, kernel = x.tolist(), w.tolist()
    (top, bottom), (left, right) = op.padding
    height = (x.shape[0] + top + bottom - op.dilation[0] * (kh - 1) - 1) // op.strides[0] + 1
    width = (x.shape[1] + left + right - op.dilation[1] * (kw - 1) - 1) // op.strides[1] + 1
    out = np.zeros((height, width, len(w)), np.int64)
    for i, j, f in np.ndindex(out.shape):
        acc = 0
        for p, q in product(range(kh), range(kw)):
            r, s = i * op.strides[0] + p * op.dilation[0] - top, j * op.strides[1] + q * op.dilation[1] - left
            inside = 0 <= r < x.shape[0] and 0 <= s < x.shape[1]
            for c in range(x.shape[2]) if w.ndim == 4 else [f // (len(w) // x.shape[2])]:
                value = pixels[r][s][c] if inside else op.input_zero
                acc += (value - op.input_zero) * (kernel[f][p][q][c] if w.ndim == 4 else kernel[f][p][q])
        out[i, j, f] = tail(acc, op.tail, f)
    return pool(out, op.pool[:2], op.pool[2:], max) if op.pool else out.reshape(op.shape)


def pool(x, size, strides, reduce, pad=((0, 0), (0, 0))):
    """Reduce each window of x (H, W, C); padded pixels are left out."""
    (top, bottom), (left, right) = pad
    shape = ((x.shape[0] + top + bottom - size[0]) // strides[0] + 1, (x.shape[1] + left + right - size[1]) // strides[1] + 1,
             x.shape[2])
    out, pixels = np.zeros(shape, np.int64), x.tolist()
    for i, j, c in np.ndindex(shape):
        rows = range(max(i * strides[0] - top, 0), min(i * strides[0] - top + size[0], x.shape[0]))
        columns = range(max(j * strides[1] - left, 0), min(j * strides[1] - left + size[1], x.shape[1]))
        out[i, j, c] = reduce(pixels[r][s][c] for r in rows for s in columns)
    return out


def dense(op, x):
    limits = (-32768, 32767) if op.output == "int16" else (0, 255)
    flat, w = x.reshape(-1).tolist(), weights(op).tolist()
    return np.array(
        [
            tail(sum((v - op.input_zero) * k for v, k in zip(flat, row, strict=True)), op.tail, o, *limits)
            for o, row in enumerate(w)
        ]
    )


def add(op, *inputs):
    out = np.zeros(op.shape, np.int64)
    for at in np.ndindex(out.shape):
        v = sum(int(x[at]) * m for x, m in zip(inputs, op.multipliers, strict=True)) + op.offset
        out[at] = min(max(rounded(v, 2 ** (32 - op.shift)), 0), 255)
    return out


def average_pool(op, x):
    total = pool(x, op.pool_size, op.strides, sum)
    return np.array(
        [min(max(rounded((int(t) << op.shift) + op.offset, op.multiplier), 0), 255) for t in total.reshape(-1)]
    ).reshape(op.shape)


def padded_average_pool(op, x):
    totals = pool(x, op.pool_size, op.strides, sum, op.padding)
    counts = pool(np.ones_like(x, np.int64), op.pool_size, op.strides, sum, op.padding)
    out = [rounded((int(t) << op.shift) + int(op.offsets[n - 1]), int(op.multipliers[n - 1]))
           for t, n in zip(totals.reshape(-1), counts.reshape(-1), strict=True)]
    return np.clip(np.array(out), 0, 255).reshape(op.shape)


def multiply(op, one, other):
    out = np.zeros(op.shape, np.int64)
    for at in np.ndindex(op.shape):
        a, b = (int(x[tuple(0 if n == 1 else i for i, n in zip(at, x.shape, strict=True))]) for x in (one, other))
        v = ((a - op.zeros[0]) * (b - op.zeros[1]) << op.shift) + op.offset
        out[at] = min(max(rounded(v, op.multiplier), 0), 255)
    return out


def prelu(op, x):
    slopes, out = np.broadcast_to(op.slopes, op.shape), np.zeros(op.shape, np.int64)
    for at in np.ndindex(op.shape):
        d = int(x[at]) - op.input_zero
        v = d * int(slopes[at] if d < 0 else op.multiplier) + op.zero * 2**op.shift
        assert -(2**31) <= v < 2**31
        out[at] = min(max(rounded(v, 2 ** (32 - op.shift)), 0), 255)
    return out


def rescaled(op, inputs):
    return [np.array([min(max(rounded(int(v) * m + o, 2 ** (32 - op.shift)), 0), 255) for v in x.reshape(-1)]).reshape(x.shape)
            for x, m, o in zip(inputs, op.multipliers, op.offsets, strict=True)]


def pad(op, x):
    out = np.full(op.shape, op.zero, np.int64)
    (top, _), (left, _) = op.padding
    out[top:top + x.shape[0], left:left + x.shape[1]] = x
    return out


def crop(op, x):
    (top, _), (left, _) = op.cropping
    return x[top:top + op.shape[0], left:left + op.shape[1]]


def channel_softmax(op, x):
    return np.array([softmax(op, row) for row in x.reshape(-1, x.shape[-1])]).reshape(op.shape)


def max_pool(op, x):
    return pool(x, op.pool_size, op.strides, max, op.padding).reshape(op.shape)


def up_sample(op, x):
    out = np.zeros(op.shape, np.int64)
    for i, j, c in np.ndindex(op.shape):
        out[i, j, c] = x[i // op.factors[0], j // op.factors[1], c]
    return out


def activation(op, x):
    return np.array([int(op.table[int(v)]) for v in x.reshape(-1)]).reshape(op.shape)


def softmax(op, x):
    table = [floor(Fraction(2.0 ** (15 - j / 256)) + Fraction(1, 2)) for j in range(256)]
    u = [rounded((int(max(x)) - int(v)) << op.shift, op.multiplier) for v in x]
    e = [table[k % 256] >> (k // 256) for k in u]
    return np.array([(v * 255 + sum(e) // 2) // sum(e) for v in e])


def sigmoid(op, x):
    """The share of a logit in the softmax of it and 0."""
    table = [floor(Fraction(2.0 ** (15 - j / 256)) + Fraction(1, 2)) for j in range(256)]
    out = []
    for v in (int(v) - op.input_zero for v in x):
        u = rounded(abs(v) << op.shift, op.multiplier)
        e = table[u % 256] >> (u // 256)
        out.append(((e if v < 0 else 2**15) * 255 + (2**15 + e) // 2) // (2**15 + e))
    return np.array(out)


RULES = {
    "Image": lambda op, x: x, "Conv2D": convolution, "DepthwiseConv2D": convolution, "Dense": dense, "Add": add, "Average": add,
    "Subtract": add, "PRelu": prelu, "Activation": activation, "AveragePool2D": average_pool, "PaddedAveragePool2D": padded_average_pool,
    "MaxPool2D": max_pool, "Multiply": multiply, "Maximum": lambda op, *x: np.maximum.reduce(rescaled(op, x)),
    "Concatenate": lambda op, *x: np.concatenate(rescaled(op, x), axis=-1), "Reshape": lambda op, x: x.reshape(op.shape),
    "Pad2D": pad, "Crop2D": crop, "Permute": lambda op, x: x.transpose(op.axes), "UpSample2D": up_sample,
    "ChannelSoftmax": channel_softmax, "Softmax": softmax, "Sigmoid": sigmoid}


def run(graph, image):
    """image (H, W, C) uint8 -> {op: its integers}."""
    values = {}
    for op in graph.ops:
        values[op.name] = RULES[type(op).__name__](op, *([values[i] for i in op.inputs] or [image]))
    return values
