"""Bits of stored numbers: int8 and int32 in two's complement, uint8, IEEE float32; bit 0 is the least significant."""
import numpy as np

from tinyvgg.errors import OptionError

FAULTS = ("flip", "set", "clear", "zero_dword")


def width(array):
    """Return the number of bits of one element of `array`."""
    return 8 * array.dtype.itemsize


def words(array):
    """View an array as unsigned integers of the same size."""
    return array.view(f"u{array.dtype.itemsize}")


def flipped(values, bits):
    """Return `values` with bit `bits` of each inverted, same dtype. values and bits broadcast: (n, 1) and (8,) give (n, 8).

    int8: flipping bit 7 of 21 gives -107, of -1 gives 127; float32: flipping bit 30 of 0.5 gives 2^127.
    """
    values = np.ascontiguousarray(values)
    unsigned = words(values)
    masks = np.left_shift(np.array(1, unsigned.dtype), np.asarray(bits).astype(unsigned.dtype))
    return np.bitwise_xor(unsigned, masks).view(values.dtype)


def permitted(values, bits, fault):
    """Return whether `fault` changes bit `bits` of `values`: flip always, set if the bit is 0, clear and zero_dword if it is
    1."""
    if fault not in FAULTS:
        raise OptionError(f"there is no fault {fault!r}; expected one of {', '.join(FAULTS)}", "fault='flip'")
    unsigned = words(np.ascontiguousarray(values))
    ones = (unsigned >> np.asarray(bits).astype(unsigned.dtype)) & 1 == 1
    return np.ones_like(ones) if fault == "flip" else ~ones if fault == "set" else ones


def hamming(a, b):
    """Return how many bits differ between two arrays of one dtype."""
    return int(np.bitwise_count(words(np.ascontiguousarray(a)) ^ words(np.ascontiguousarray(b))).sum())


def plain(value):
    """Return a stored number as Python's int or float; NaN and infinity as text."""
    value = value.item() if hasattr(value, "item") else value
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
