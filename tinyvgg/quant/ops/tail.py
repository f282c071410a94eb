"""The tail of integer convolutions and dense layers: what follows the accumulators, and the bounds of its values.

Conv2D, DepthwiseConv2D and Dense compute acc = sum (x - input_zero) * w in 32 bits. Then the same steps follow for each channel:

    v = (acc + bias) << shift                     bias int32, in the accumulator's unit
    v = activation(v)                             none: v     relu: max(v, 0)     clamp: min(max(v, 0), high)
                                                  leaky: v if v >= 0 else smmulr(v << 1, slope)
    q = saturate(smmulr(v + offset, multiplier))  smmulr(a, b) = (a*b + 2^31) >> 32: the only rounding
    y = the largest q of each pool window         if there is a fused max-pool

`multiplier` is int32 of either sign. `offset` (int32, in units of v) is everything that is added after the activation: the shift
of a batch-norm that follows it, and the zero point of the output. So a channel needs three numbers: bias, offset, multiplier. On
a Cortex-M4 it costs an ADD (with LSL #shift), SMMULR and USAT, and one BIC (v & ~(v >> 31)) for a ReLU. A plain ReLU needs no
BIC: its output has zero point 0, so saturation has the effect of the ReLU and `activation` is "none". Without an activation the
bias is part of `offset`, and `bias` is 0.

Pooling first. Every step is monotonic in acc: rising if multiplier >= 0, else falling. So a kernel may pool the accumulators
(largest, or smallest if multiplier < 0) and run the tail once a window. The result is the same bytes.
"""
from dataclasses import dataclass

import numba
import numpy as np

from tinyvgg.quant.fixedpoint import INT32_MAX, INT32_MIN

ACTIVATIONS = ("none", "relu", "leaky", "clamp")


@dataclass(frozen=True, eq=False, kw_only=True)
class Tail:
    """What follows the accumulators: see the top of this file. Arrays are int32 (F,)."""

    bias: np.ndarray
    offset: np.ndarray
    multiplier: np.ndarray
    shift: int  # 0..15
    activation: str = "none"  # one of ACTIVATIONS
    slope: int = 0  # leaky: the negative side's slope, times 2^31
    high: np.ndarray | None = None  # clamp: in units of v


def apply_tail(acc, op):
    """acc (N, OH, OW, F) or (N, F), integers of any dtype -> uint8 (N, *op.shape), or int16 for logits."""
    tail, pool = op.tail, getattr(op, "pool", None)
    high = tail.bias if tail.high is None else tail.high
    wide = getattr(op, "output", "uint8") == "int16"
    limits = (-32768, 32767) if wide else (0, 255)
    rows = acc.reshape(-1, acc.shape[-1])
    q = np.empty(rows.shape, np.int16 if wide else np.uint8)
    kind = ACTIVATIONS.index(tail.activation)
    bias, offset, multiplier, high = map(_read_only, (tail.bias, tail.offset, tail.multiplier, high))
    _tail(rows, bias, offset, multiplier, tail.shift, kind, tail.slope, high, *limits, q)
    q = q.reshape(acc.shape)
    return max_pool(q, *pool) if pool else q


def _read_only(array):
    """A view that may not be written: Numba compiles a function for each of the two kinds."""
    view = array.view()
    view.flags.writeable = False
    return view


@numba.njit(cache=True, nogil=True)
def smmulr(a, b):
    """(a*b + 2^31) >> 32 of numbers that fit 32 bits, as int64: the Cortex-M4's instruction."""
    return (np.int64(a) * np.int64(b) + (np.int64(1) << 31)) >> 32


@numba.njit(cache=True, nogil=True)
def _tail(acc, bias, offset, multiplier, shift, activation, slope, high, lowest, highest, q):
    """acc (R, F) -> q (R, F). Variables have 64 bits, but all values fit 32 bits: check_graph has proved it."""
    for r in range(acc.shape[0]):
        for f in range(acc.shape[1]):
            v = (np.int64(acc[r, f]) + bias[f]) << shift
            if activation == 1:  # relu
                v = max(v, 0)
            elif activation == 2 and v < 0:  # leaky
                v = smmulr(v << 1, slope)
            elif activation == 3:  # clamp
                v = min(max(v, 0), np.int64(high[f]))
            q[r, f] = min(max(smmulr(v + offset[f], multiplier[f]), lowest), highest)


@numba.njit(cache=True, nogil=True)
def max_pool(q, ph, pw, sh, sw):
    """The maximum of each window of q (N, OH, OW, F), integers or floats."""
    n, h, w, channels = q.shape
    y = np.empty((n, (h - ph) // sh + 1, (w - pw) // sw + 1, channels), q.dtype)
    for k, i, j in np.ndindex(y.shape[:3]):
        y[k, i, j] = q[k, i * sh, j * sw]
        for p in range(ph):
            for r in range(pw):
                for f in range(channels):
                    y[k, i, j, f] = max(y[k, i, j, f], q[k, i * sh + p, j * sw + r, f])
    return y


def accumulator_bounds(weights, input_zero):
    """weights (F, ...) int8 -> lowest and highest sum (x - input_zero) * w over any subset of the products, int64 (F,).

    Each product lies between a lower bound <= 0 and an upper bound >= 0. So the sum of any subset of the products, in any order,
    lies between the sums of these bounds. A padded pixel contributes 0.
    """
    w = weights.reshape(len(weights), -1).astype(np.int64)
    positive, negative = np.maximum(w, 0).sum(axis=1), np.minimum(w, 0).sum(axis=1)
    below, above = -input_zero, 255 - input_zero
    return positive * below + negative * above, positive * above + negative * below


def tail_extremes(low, high, tail):
    """Return (lowest, highest), (F,) each, of every value that the tail computes before the multiplication, for acc in
    low..high."""
    bias, offset = tail.bias.astype(np.int64), tail.offset.astype(np.int64)
    v = [(np.minimum(low, 0) + bias, np.maximum(high, 0) + bias)]
    low, high = (low + bias) << tail.shift, (high + bias) << tail.shift
    v.append((low, high))
    if tail.activation == "leaky":
        v.append((low << 1, high))
    if tail.activation in ("relu", "clamp"):
        low, high = np.maximum(low, 0), np.maximum(high, 0)
    v.append((low + offset, high + offset))  # for leaky and clamp wider than necessary
    return v


def fits(low, high):
    """Whether low and high fit int32."""
    return (low >= INT32_MIN) & (high <= INT32_MAX)
