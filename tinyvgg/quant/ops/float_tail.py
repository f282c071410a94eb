"""The tail of float convolutions and dense layers, and its gradient, each in one pass over the accumulators."""
from dataclasses import dataclass

import numba
import numpy as np

from tinyvgg.quant.ops.tail import ACTIVATIONS, max_pool

EVERYTHING = (-np.inf, np.inf)


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatTail:
    """y = pool(gain * activation(acc + bias) + shift), channel by channel; gain and shift (F,), or None where there are none.

    activation: none | relu | leaky (slope * v below 0) | clamp (0..high).
    """

    bias: np.ndarray
    activation: str = "none"
    slope: float = 0.0
    high: float = 0.0
    gain: np.ndarray | None = None
    shift: np.ndarray | None = None


def apply_float_tail(acc, op):
    """acc (N, OH, OW, F) or (N, F), floats without bias -> pool(gain * activation(acc + bias) + shift), of acc's dtype."""
    y = np.empty(acc.shape, acc.dtype)
    _tail(acc.reshape(-1, acc.shape[-1]), *_settings(op.tail, acc), y.reshape(-1, acc.shape[-1]))
    pool = getattr(op, "pool", None)
    return max_pool(y, *pool) if pool else y


def float_tail_backward(dy, acc, op, limits=None):
    """Pull dy (N, *op.shape) back through apply_float_tail: return dacc, as acc, and {bias, gain, shift: gradient (F,)}.

    limits: (low, high); a result outside, before the pool, is saturated and passes no gradient. If several values of a window are
    equally large, the first gets the gradient.
    """
    pool, image = getattr(op, "pool", None) or (1, 1, 1, 1), acc if acc.ndim == 4 else acc[:, None, None]
    windows = [(n - k) // s + 1 for n, k, s in zip(image.shape[1:3], pool[:2], pool[2:], strict=True)]
    dacc, sums = np.zeros(image.shape, acc.dtype), np.zeros((3, acc.shape[-1]))
    dy = np.ascontiguousarray(dy, acc.dtype).reshape(len(acc), *windows, -1)
    _tail_backward(dy, image, *_settings(op.tail, acc), *(limits or EVERYTHING), *pool, dacc, sums)
    gradients = dict(zip(("bias", "gain", "shift"), sums.astype(acc.dtype), strict=True))
    return dacc.reshape(acc.shape), gradients if op.tail.gain is not None else {"bias": gradients["bias"]}


def _settings(tail, acc):
    """Return bias, kind of activation, slope, high, gain and shift, in acc's dtype."""
    of, f = acc.dtype.type, acc.shape[-1]
    gain, shift = (np.ones(f), np.zeros(f)) if tail.gain is None else (tail.gain, tail.shift)
    kind = ACTIVATIONS.index(tail.activation)
    return tail.bias.astype(of), kind, of(tail.slope), of(tail.high), gain.astype(of), shift.astype(of)


@numba.njit(cache=True, nogil=True)
def _activate(v, kind, slope, high):
    if kind == 1:  # relu
        return max(v, v * 0)
    if kind == 2:  # leaky
        return v * slope if v < 0 else v
    if kind == 3:  # clamp
        return min(max(v, v * 0), high)
    return v


@numba.njit(cache=True, nogil=True)
def _tail(acc, bias, kind, slope, high, gain, shift, y):
    """acc (R, F) -> y (R, F)"""
    for r in range(acc.shape[0]):
        for f in range(acc.shape[1]):
            y[r, f] = _activate(acc[r, f] + bias[f], kind, slope, high) * gain[f] + shift[f]


@numba.njit(cache=True, nogil=True)
def _tail_backward(dy, acc, bias, kind, slope, high, gain, shift, lowest, highest, ph, pw, sh, sw, dacc, sums):
    """Pull dy (N, PH, PW, F) back to acc (N, OH, OW, F): add to dacc, shaped as acc, and to sums (3, F) for bias, gain, shift."""
    for k, i, j in np.ndindex(dy.shape[:3]):
        for f in range(dy.shape[3]):
            row, column, a, y = i * sh, j * sw, acc[k, 0, 0, f], -np.inf
            for p in range(i * sh, i * sh + ph):
                for q in range(j * sw, j * sw + pw):
                    b = _activate(acc[k, p, q, f] + bias[f], kind, slope, high)
                    if b * gain[f] + shift[f] > y:
                        row, column, a, y = p, q, b, b * gain[f] + shift[f]
            if y < lowest or y > highest:
                continue
            g = dy[k, i, j, f]
            sums[1, f] += g * a
            sums[2, f] += g
            v, g = acc[k, row, column, f] + bias[f], g * gain[f]
            if kind == 2 and v < 0:
                g *= slope
            elif (kind == 1 or kind == 3) and not v > 0 or kind == 3 and not v < high:
                continue
            sums[0, f] += g
            dacc[k, row, column, f] += g
