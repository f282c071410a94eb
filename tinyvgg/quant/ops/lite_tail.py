"""The tail of convolutions and dense layers from a .tflite file: TensorFlow Lite's own bias, factor and limits."""
from dataclasses import dataclass

import numba
import numpy as np

from tinyvgg.errors import QuantError
from tinyvgg.quant.ops.base import need
from tinyvgg.quant.ops.float_tail import FloatTail
from tinyvgg.quant.ops.tail import max_pool
from tinyvgg.quant.ops.weights import along
from tinyvgg.quant.rounding import LARGEST, ROUNDINGS, multiply_one


@dataclass(frozen=True, eq=False, kw_only=True)
class LiteTail:
    """q = min(max(round((acc + bias) * multiplier / 2^31 * 2^exponent) + zero, low), high), channel by channel, then the pool.

    quant/rounding.py defines the rounding. zero, low, high: 0..255, like all levels of this library; a ReLU has low = zero. Every
    step is monotonic in acc, so a kernel may pool first.
    """

    bias: np.ndarray
    multiplier: np.ndarray  # int32 (F,), 0 or 2^30 .. 2^31 - 1
    exponent: np.ndarray  # int32 (F,), -31..30
    zero: int
    low: int = 0
    high: int = 255
    rounding: str = "double"  # one of rounding.ROUNDINGS


def apply_lite_tail(acc, op):
    """acc (N, OH, OW, F) or (N, F), whole numbers of any dtype -> uint8 of the same shape, pooled where the op has a pool."""
    tail, q = op.tail, np.empty(acc.shape, np.uint8)
    _tail(acc.reshape(-1, acc.shape[-1]), tail.bias, tail.multiplier, tail.exponent, tail.zero, tail.low, tail.high,
          tail.rounding == "single", q.reshape(-1, acc.shape[-1]))
    pool = getattr(op, "pool", None)
    return max_pool(q, *pool) if pool else q


@numba.njit(cache=True, nogil=True)
def _tail(acc, bias, multiplier, exponent, zero, low, high, single, q):
    """acc (R, F) -> q (R, F)"""
    for r in range(acc.shape[0]):
        for f in range(acc.shape[1]):
            v = multiply_one(np.int64(acc[r, f]) + bias[f], np.int64(multiplier[f]), np.int64(exponent[f]), single)
            q[r, f] = min(max(v + zero, low), high)


def check_lite_tail(op, lowest, highest):
    """Raise QuantError unless the tail fits 32 bits for every acc in lowest..highest, int64 (F,)."""
    tail = op.tail
    bias, left = tail.bias.astype(np.int64), np.maximum(tail.exponent, 0)
    largest = np.maximum(np.maximum(-np.minimum(lowest, 0), 0) + np.maximum(-bias, 0),
                         np.maximum(highest, 0) + np.maximum(bias, 0)).astype(object) * 2 ** left.astype(object)
    if (largest >= LARGEST).any():
        worst = int(np.argmax(largest))
        raise QuantError(f"channel {worst} of {op.name!r} can reach {largest[worst]:,}; expected less than {LARGEST:,}")


def check_lite_fields(op, channels):
    """Raise FormatError unless the tail's arrays and numbers are valid."""
    tail = op.tail
    arrays = (tail.bias, tail.multiplier, tail.exponent)
    need(all(isinstance(a, np.ndarray) and a.shape == (channels,) and a.dtype == np.int32 for a in arrays), op, "a damaged tail")
    need((tail.multiplier >= 0).all() and (abs(tail.exponent) <= 31).all(), op, "a factor that is negative or too large")
    need(tail.rounding != "single" or (tail.exponent <= 30).all(), op, "a factor that is too large for a single rounding")
    need(0 <= tail.low <= tail.high <= 255 and 0 <= tail.zero <= 255 and tail.rounding in ROUNDINGS, op,
         f"limits {tail.low}..{tail.high}, zero {tail.zero} and rounding {tail.rounding!r}")


def lite_activation(op, low, high):
    """Return the float {"activation", "high"} that saturation to low..high stands for: a ReLU if low is the zero point, else
    none."""
    if low < op.zero or low == 0 == op.zero and high == 255:
        return {}
    return {"activation": "relu"} if high == 255 else {"activation": "clamp", "high": float(op.scale * (high - op.zero))}


def dequantized_lite(op, weights, input_scale):
    """Return float weights and the FloatTail of an integer op."""
    tail = op.tail
    unit = op.scale * tail.multiplier.astype(np.float64) * 2.0 ** (tail.exponent.astype(np.float64) - 31)  # real value of a unit of acc
    float_tail = FloatTail(bias=(unit * tail.bias).astype(np.float32), **lite_activation(op, tail.low, tail.high))
    return (weights.astype(np.float64) * along(unit / input_scale, weights)).astype(np.float32), float_tail
