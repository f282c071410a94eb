"""Proof that a graph never overflows: for each channel the extremes of every intermediate value, from weights and 0 <= x <= 255.

Each product (x - zero) * w lies between two bounds that hold 0 between them, so the sum of any part of the products, in any
order, lies between the sums of the bounds. A padded pixel contributes 0.
"""

from functools import singledispatch

import numpy as np

from tinyvgg.errors import QuantError
from tinyvgg.quant.fixedpoint import INT32_MAX, INT32_MIN
from tinyvgg.quant.graph import ACTIVATIONS, Add, AveragePool2D, Conv2D, Dense, DepthwiseConv2D, Softmax, weights_of


def accumulator_bounds(weights, input_zero):
    """weights (F, ...) int8 -> lowest and highest sum (x - input_zero) * w over any part of the products, int64 (F,)."""
    w = weights.reshape(len(weights), -1).astype(np.int64)
    positive, negative = np.maximum(w, 0).sum(axis=1), np.minimum(w, 0).sum(axis=1)
    below, above = -input_zero, 255 - input_zero
    return positive * below + negative * above, positive * above + negative * below


def tail_extremes(low, high, tail):
    """Return every (lowest, highest) that the tail meets for acc in low..high, (F,) each, before the multiplication."""
    bias, offset = tail.bias.astype(np.int64), tail.offset.astype(np.int64)
    v = [(np.minimum(low, 0) + bias, np.maximum(high, 0) + bias)]
    low, high = (low + bias) << tail.shift, (high + bias) << tail.shift
    v.append((low, high))
    if tail.activation == "leaky":
        v.append((low << 1, high))
    if tail.activation in ("relu", "clamp"):
        low, high = np.maximum(low, 0), np.maximum(high, 0)
    v.append((low + offset, high + offset))  # for leaky and clamp wider than it is
    return v


def fits(low, high):
    """Whether low and high are within int32."""
    return (low >= INT32_MIN) & (high <= INT32_MAX)


@singledispatch
def check(op):
    """Raise QuantError if any value of the op can leave int32, or a field its range."""


def check_graph(graph):
    """check every op."""
    for op in graph.ops:
        check(op)


@check.register(Conv2D)
@check.register(DepthwiseConv2D)
@check.register(Dense)
def _(op):
    tail = op.tail
    if (not 0 <= tail.shift <= 15 or tail.activation not in ACTIVATIONS or not 0 <= op.input_zero <= 255
        or not 0 <= tail.slope < 2**31):
        raise QuantError(
            f"{op.name!r} has shift {tail.shift}, activation {tail.activation}, input zero {op.input_zero}, slope {tail.slope}; "
            f"expected 0..15, one of {', '.join(ACTIVATIONS)}, 0..255, 0..2^31-1"
        )
    if tail.activation == "clamp" and (tail.high is None or (tail.high < 0).any()):
        raise QuantError(f"{op.name!r} clamps at a maximum that is missing or below 0")
    for low, high in tail_extremes(*accumulator_bounds(weights_of(op), op.input_zero), tail):
        if not fits(low, high).all():
            worst = int(np.argmax(np.maximum(high, -low)))
            raise QuantError(
                f"channel {worst} of {op.name!r} can reach {max(high[worst], -low[worst]):,}; expected to fit 32 bits",
                "lower the network again: lowering never makes such a graph",
            )


@check.register
def _(op: Add):
    largest = 255 * sum(abs(m) for m in op.multipliers) + abs(op.offset) + (1 << max(op.shift - 1, 0))
    if largest > INT32_MAX or not 2 <= op.shift <= 24:
        raise QuantError(f"{op.name!r} can reach {largest:,} with shift {op.shift}; expected to fit 32 bits and a shift of 2..24")


@check.register
def _(op: AveragePool2D):
    largest = (255 * op.pool_size[0] * op.pool_size[1] << op.shift) + abs(op.offset)
    if largest > INT32_MAX or not 0 <= op.shift <= 15 or abs(op.multiplier) > INT32_MAX:
        raise QuantError(f"{op.name!r} can reach {largest:,} with shift {op.shift}; expected to fit 32 bits and a shift of 0..15")


@check.register
def _(op: Softmax):
    if not 0 <= op.shift <= 14 or not 0 <= op.multiplier <= INT32_MAX:
        raise QuantError(f"{op.name!r} has shift {op.shift}, multiplier {op.multiplier}; expected 0..14 and 0..2^31-1")
