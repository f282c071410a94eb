"""TensorFlow Lite's rounding: the exception to the one rule of fixedpoint.py, for graphs from a .tflite file.

A real factor is a multiplier of 31 bits and a power of two. TensorFlow Lite's reference kernels multiply and round twice: first
to the high half of the doubled product, ties up, then by the power of two, ties away from zero. If they are built for single
rounding, they shift once, ties up.
"""
import math

import numba
import numpy as np

from tinyvgg.errors import QuantError

ROUNDINGS = ("double", "single")
LARGEST = 2**31             # every value that is multiplied is below this


def quantise_ratio(real):
    """Return (multiplier, exponent) with real = multiplier / 2^31 * 2^exponent, 2^30 <= multiplier < 2^31; (0, 0) if 0 or
    tiny."""
    if not math.isfinite(real) or real < 0:
        raise QuantError(f"a factor between two scales is {real}; expected a finite number that is not negative")
    if real == 0:
        return 0, 0
    part, exponent = math.frexp(real)
    multiplier = math.floor(part * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, exponent = 2**30, exponent + 1
    if exponent > 31:
        raise QuantError(f"a factor between two scales is {real:.3g}; expected less than 2^31")
    return (0, 0) if exponent < -31 else (multiplier, exponent)


def quantise_ratios(reals):
    """Return quantise_ratio of several numbers as two int32 arrays."""
    return tuple(np.array(v, np.int32) for v in zip(*map(quantise_ratio, map(float, np.ravel(reals))), strict=True))


def multiply(x, multiplier, exponent, rounding="double"):
    """Return x * multiplier / 2^31 * 2^exponent rounded as TensorFlow Lite does; integers of any shape, int64 back."""
    x, multiplier, exponent = np.broadcast_arrays(*(np.asarray(v, np.int64) for v in (x, multiplier, exponent)))
    if rounding == "single" and (exponent > 30).any():
        raise QuantError("a factor between two scales is 2^30 or more; single rounding supports only smaller ones")
    y = np.empty(x.shape, np.int64)
    _multiply(x.ravel(), multiplier.ravel(), exponent.ravel(), rounding == "single", y.reshape(-1))
    return y


@numba.njit(cache=True, nogil=True)
def multiply_one(x, multiplier, exponent, single):
    """Compute one value of `multiply`; all numbers are int64."""
    left, right = max(exponent, 0), max(-exponent, 0)
    if single:
        shift = 31 - exponent
        return (x * multiplier + (np.int64(1) << (shift - 1))) >> shift
    high = ((x << left) * multiplier + (np.int64(1) << 30)) >> 31
    if right == 0:
        return high
    return (high + (np.int64(1) << (right - 1)) - (1 if high < 0 else 0)) >> right


def shifts(exponent, single):
    """Return the left and right shifts for exponents (F,); with `single`, the right shift is 31 - exponent.

    Exponents may be any 32-bit numbers. As in the C code, shifts are taken modulo 32, or modulo 64 for the one shift of `single`.
    """
    exponent = np.asarray(exponent, np.int64)
    if single:
        return np.zeros_like(exponent), 31 - exponent & 63
    return np.where(exponent > 0, exponent & 31, 0), np.where(exponent < 0, -exponent & 31, 0)


@numba.njit(cache=True, nogil=True)
def _multiply(x, multiplier, exponent, single, y):
    for i in range(len(x)):
        y[i] = multiply_one(x[i], multiplier[i], exponent[i], single)


def high_product(a, b):
    """(2ab + 2^31) >> 32: the high half of the doubled product, ties up; int64 arrays of 32-bit values."""
    return (np.asarray(a, np.int64) * np.asarray(b, np.int64) + (1 << 30)) >> 31


def halve(x, times):
    """x / 2^times rounded, ties away from zero."""
    x = np.asarray(x, np.int64)
    return x if times == 0 else (x + (1 << (times - 1)) - (x < 0)) >> times
