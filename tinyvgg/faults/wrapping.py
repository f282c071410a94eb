"""The tail of integer layers with C's arithmetic modulo 2^32, as a network with flipped bits computes it. The usual simulation
relies on check_graph's proof that 32 bits suffice; a flipped bit can break it. Here every step wraps as in the C kernels, and
accumulators are pooled before the tail, as in C: with overflow the order matters.
"""
import numba
import numpy as np

from tinyvgg.quant.ops.tail import ACTIVATIONS, smmulr
from tinyvgg.quant.rounding import shifts


def finish(acc, op, channels=None):
    """acc (N, OH, OW, F) or (N, F) int32 -> the op's result (N, ...); `channels` (k,): acc has only these channels of the op."""
    if op.lite:
        return _finish_lite(acc, op, channels)
    tail, pool = op.tail, getattr(op, "pool", None)
    pick = slice(None) if channels is None else channels
    multiplier = np.ascontiguousarray(tail.multiplier[pick])
    if pool:
        acc = pool_accumulators(acc, multiplier < 0, *pool)
    high = (tail.bias if tail.high is None else tail.high)[pick]
    wide = getattr(op, "output", "uint8") == "int16"
    rows = acc.reshape(-1, acc.shape[-1])
    q = np.empty(rows.shape, np.int16 if wide else np.uint8)
    _finish(rows, np.ascontiguousarray(tail.bias[pick]), np.ascontiguousarray(tail.offset[pick]), multiplier, tail.shift,
            ACTIVATIONS.index(tail.activation), tail.slope, np.ascontiguousarray(high), *((-32768, 32767) if wide else (0, 255)), q)
    return q.reshape(acc.shape)


def _finish_lite(acc, op, channels):
    """The same of an op that ends in TensorFlow Lite's arithmetic: codegen/kernels/tv_lite.h."""
    tail, pool = op.tail, getattr(op, "pool", None)
    pick = slice(None) if channels is None else channels
    if pool:
        acc = pool_accumulators(acc, np.zeros(acc.shape[-1], np.bool_), *pool)
    q = np.empty((acc.size // acc.shape[-1], acc.shape[-1]), np.uint8)
    numbers = (np.ascontiguousarray(a[pick]).astype(np.int64) for a in (tail.bias, tail.multiplier, tail.exponent))
    bias, multiplier, exponent = numbers
    single = tail.rounding == "single"
    _lite(acc.reshape(q.shape), bias, multiplier, *shifts(exponent, single), single, tail.zero, tail.low, tail.high, q)
    return q.reshape(acc.shape)


@numba.njit(cache=True, nogil=True)
def _lite(acc, bias, multiplier, left, right, single, zero, low, high, q):
    for r in range(acc.shape[0]):
        for f in range(acc.shape[1]):
            v = _wrap(np.int64(acc[r, f]) + bias[f])
            if single:
                half = (np.int64(1) << (right[f] - 1)) if right[f] else np.int64(0)
                v = _wrap((v * multiplier[f] + half) >> right[f])
            else:
                v = _wrap((_wrap(v << left[f]) * multiplier[f] + (np.int64(1) << 30)) >> 31)
                if right[f]:
                    v = _wrap(_wrap(v + (np.int64(1) << (right[f] - 1))) - (1 if v < 0 else 0)) >> right[f]
            q[r, f] = min(max(_wrap(v + zero), low), high)


@numba.njit(cache=True, nogil=True)
def _wrap(v):
    """An int64 modulo 2^32, as int32 has it."""
    return ((v + 2147483648) & 4294967295) - 2147483648


@numba.njit(cache=True, nogil=True)
def _finish(acc, bias, offset, multiplier, shift, activation, slope, high, lowest, highest, q):
    for r in range(acc.shape[0]):
        for f in range(acc.shape[1]):
            v = _wrap(_wrap(np.int64(acc[r, f]) + bias[f]) << shift)
            if activation != 0 and v < 0:
                v = _wrap(smmulr(_wrap(v << 1), slope)) if activation == 2 else np.int64(0)
            if activation == 3 and v > high[f]:
                v = np.int64(high[f])
            v = _wrap(smmulr(_wrap(v + offset[f]), multiplier[f]))
            q[r, f] = min(max(v, lowest), highest)


@numba.njit(cache=True, nogil=True)
def pool_accumulators(acc, falling, ph, pw, sh, sw):
    """The largest accumulator of each window of acc (N, OH, OW, F); for channels with `falling` (F,), the smallest."""
    n, h, w, channels = acc.shape
    y = np.empty((n, (h - ph) // sh + 1, (w - pw) // sw + 1, channels), acc.dtype)
    for k in range(n):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for f in range(channels):
                    best = acc[k, i * sh, j * sw, f]
                    for p in range(ph):
                        for r in range(pw):
                            v = acc[k, i * sh + p, j * sw + r, f]
                            if (v < best) == falling[f]:
                                best = v
                    y[k, i, j, f] = best
    return y


@numba.njit(cache=True, nogil=True)
def add_weight(x, zero, channel, delta, row, column, geometry, acc):
    """acc (N, OH, OW) += delta * (x - zero) of one input channel, for a weight at tap (row, column). geometry: sh sw dh dw top left."""
    sh, sw, dh, dw, top, left = geometry
    for n in range(acc.shape[0]):
        for i in range(acc.shape[1]):
            y = i * sh + row * dh - top
            if y < 0 or y >= x.shape[1]:
                continue
            for j in range(acc.shape[2]):
                z = j * sw + column * dw - left
                if 0 <= z < x.shape[2]:
                    acc[n, i, j] += delta * (np.int32(x[n, y, z, channel]) - zero)


@numba.njit(cache=True, nogil=True)
def add_channel(dx, weights, geometry, acc):
    """acc (N, OH, OW, F) += the convolution of a change dx (N, H, W) int32 of one input channel with its weights (KH, KW, F) int32."""
    sh, sw, dh, dw, top, left = geometry
    for n in range(dx.shape[0]):
        for y in range(dx.shape[1]):
            for z in range(dx.shape[2]):
                change = dx[n, y, z]
                if change == 0:
                    continue
                for p in range(weights.shape[0]):
                    i = y + top - p * dh
                    if i < 0 or i % sh or i // sh >= acc.shape[1]:
                        continue
                    for q in range(weights.shape[1]):
                        j = z + left - q * dw
                        if j < 0 or j % sw or j // sw >= acc.shape[2]:
                            continue
                        for f in range(weights.shape[2]):
                            acc[n, i // sh, j // sw, f] += change * weights[p, q, f]
