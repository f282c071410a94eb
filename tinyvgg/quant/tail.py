"""The tail of convolutions and dense layers (see graph.py), in one pass over the accumulators."""

import numba
import numpy as np

from tinyvgg.quant.graph import ACTIVATIONS


def apply_tail(acc, op):
    """acc (N, OH, OW, F) or (N, F), integers of any dtype -> uint8 (N, *op.shape), int16 for logits."""
    tail, pool = op.tail, getattr(op, "pool", None)
    high = tail.bias if tail.high is None else tail.high
    wide = getattr(op, "output", "uint8") == "int16"
    limits = (-32768, 32767) if wide else (0, 255)
    rows = acc.reshape(-1, acc.shape[-1])
    q = np.empty(rows.shape, np.int16 if wide else np.uint8)
    kind = ACTIVATIONS.index(tail.activation)
    _tail(rows, tail.bias, tail.offset, tail.multiplier, tail.shift, kind, tail.slope, high, *limits, q)
    q = q.reshape(acc.shape)
    return max_pool(q, *pool) if pool else q


@numba.njit(cache=True, nogil=True)
def _smmulr(a, b):
    return (np.int64(a) * np.int64(b) + (np.int64(1) << 31)) >> 32


@numba.njit(cache=True, nogil=True)
def _tail(acc, bias, offset, multiplier, shift, activation, slope, high, lowest, highest, q):
    """acc (R, F) -> q (R, F). Variables are 64 bits wide, values within 32: check_graph has proved it."""
    for r in range(acc.shape[0]):
        for f in range(acc.shape[1]):
            v = (np.int64(acc[r, f]) + bias[f]) << shift
            if activation == 1:  # relu
                v = max(v, 0)
            elif activation == 2 and v < 0:  # leaky
                v = _smmulr(v << 1, slope)
            elif activation == 3:  # clamp
                v = min(max(v, 0), np.int64(high[f]))
            q[r, f] = min(max(_smmulr(v + offset[f], multiplier[f]), lowest), highest)


@numba.njit(cache=True, nogil=True)
def max_pool(q, ph, pw, sh, sw):
    """The largest of each window of q (N, OH, OW, F), which may hold integers or floats."""
    n, h, w, channels = q.shape
    y = np.empty((n, (h - ph) // sh + 1, (w - pw) // sw + 1, channels), q.dtype)
    for k, i, j in np.ndindex(y.shape[:3]):
        y[k, i, j] = q[k, i * sh, j * sw]
        for p in range(ph):
            for r in range(pw):
                for f in range(channels):
                    y[k, i, j, f] = max(y[k, i, j, f], q[k, i * sh + p, j * sw + r, f])
    return y
