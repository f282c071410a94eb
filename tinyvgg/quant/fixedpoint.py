"""The rounding of the integer model, and the constants for it.

There is one rounding rule, which a Cortex-M4 computes in one instruction, SMMULR: (a*b + 2^31) >> 32. This is a*b / 2^32 rounded
to the nearest integer, ties towards plus infinity. C code shares the golden table (tests/golden/fixedpoint.json).
"""

import math

import numpy as np

from tinyvgg.errors import QuantError

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def multiply_high_rounded(a, b):
    """Return (a*b + 2^31) >> 32, the Cortex-M4's SMMULR. a, b int32 arrays -> int32. The only rounding in the integer model."""
    return ((np.asarray(a, np.int64) * np.asarray(b, np.int64) + (1 << 31)) >> 32).astype(np.int32)


def saturate(v, low=0, high=255):
    """Clip to low..high: USAT #8 by default."""
    return np.clip(v, low, high)


def quantise_multiplier(gain, shift, where="a multiplier"):
    """Return `gain` (real, of either sign) as the int32 m with m * 2^shift / 2^32 closest to it; raise QuantError beyond int32.

    gain: scalar or array; |gain| must stay below 2^(shift - 1).
    """
    m = np.rint(np.asarray(gain, np.float64) * 2.0 ** (32 - shift))
    if not np.all(np.abs(m) <= INT32_MAX):
        raise QuantError(f"{where} has a gain of {np.max(np.abs(gain)):.3g}; expected less than {2.0 ** (shift - 1):g}",
                         "more calibration images, so that the range of the activations is not too small")
    return m.astype(np.int32)


def scale_and_zero(low, high):
    """Return the scale and zero point with which 0..255 covers low..high and represents 0 exactly: real = scale * (q - zero). The
    range is extended to include 0; an empty range (a tensor that is always 0) gets scale 1.
    """
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise QuantError(f"the range {low}..{high} of a tensor is not finite")
    scale = (high - low) / 255
    if scale < 2.0**-100:
        return 1.0, 0
    return scale, int(round(-low / scale))


def golden_table():
    """Return edge cases as [a, b, smmulr(a, b)], computed with Python's unbounded integers."""
    edges = [0, 1, -1, 2, -2, 3, 255, -255, 2**15 - 1, -(2**15), 2**16, 2**30 - 1, 2**30, -(2**30), 2**31 - 1, -(2**31)]
    pairs = [(a, b) for a in edges for b in edges]
    # Ties: a*b is an odd multiple of 2^31, of both signs, with each of the operands negative in turn.
    pairs += [(sa * odd * 2**k, sb * 2 ** (31 - k)) for odd in (1, 3, 5, 511) for k in (2, 8, 16, 20) for sa in (1, -1)
              for sb in (1, -1)]
    # One step to either side of a tie.
    pairs += [(a + d, b) for a, b in [(2**16, 2**15), (-(2**16), 2**15), (3 * 2**16, -(2**15))] for d in (-1, 0, 1)]
    return [[a, b, (a * b + 2**31) >> 32] for a, b in pairs]
