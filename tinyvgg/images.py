"""Images as every classifier of this package takes them: the one check, and the one rule each way between bytes and floats.

Images are (N, H, W, C), and as well vectors (N, C), series (N, W, C) or any (N, ...) that a model takes: uint8, where byte q
stands for low + (high - low) q / 255 in the range (low, high) of the model, or floats within that range.

    bytes -> floats   low + (high - low) q / 255, rounded to float32 once
    floats -> bytes   floor((x - low) (1 / scale) + 0.5) in float32, scale = (high - low) / 255: firmware/common/tv_quantize.h
"""
import functools

import numpy as np

from tinyvgg.errors import DataError, ShapeError

FLOAT32 = np.dtype(np.float32)
SLACK = 1e-6                                # by so much may a float lie outside its range, or by one rounding of float32


def check_images(x, shape=None, bounds=None, *, what="images"):
    """Return x as an array of uint8 or floats, or raise ShapeError or DataError.

    shape: of one image, or None for any; bounds: (low, high) of floats, or None for any. NaN and infinity are always refused.
    """
    return _checked(x, shape, bounds, what)[0]


def _checked(x, shape, bounds, what):
    """As check_images, and the (least, greatest) of floats, None of bytes: a pass over all images is a part of a small network's time."""
    extent = None
    try:
        x = np.asarray(x)
    except ValueError as error:
        raise DataError(f"{what} are not an array of numbers ({error})") from error
    if shape is not None and x.shape[1:] != tuple(shape) or x.ndim < 2:
        raise _wrong_shape(x, shape, what)
    if x.dtype != np.uint8:
        low, high = (-np.inf, np.inf) if bounds is None else map(float, bounds)
        if x.dtype.kind != "f":
            whole = x.dtype.kind in "iu" and x.size and x.min() >= 0 and x.max() <= 255
            raise DataError(f"{what} have dtype {x.dtype}; expected uint8, or {_span(low, high)}",
                            "x.astype(np.uint8)" if whole else "")
        least, most = extent = _extent(x)
        if x.size and not (least >= low - _slack(low) and most <= high + _slack(high) and np.isfinite([least, most]).all()):
            raise _outside(x, least, most, low, high, what)
    return x, extent


def float_images(x, bounds, *, shape=None, dtype=np.float32, what="images"):
    """Return x, uint8 or floats within `bounds` (low, high), as floats in one aligned piece of memory; raise as check_images."""
    if is_one_piece(x, dtype) and x.size and (x.ndim > 1 if shape is None else x.shape[1:] == tuple(shape)) and _lie_within(x, *bounds):
        return x                    # what the rest would come to, in a fraction of a small network's time
    x, extent = _checked(x, shape, bounds, what)
    x = to_floats(x, bounds, dtype)
    least, most = _extent(x) if extent is None else np.asarray(extent, dtype).tolist()
    return x if least >= bounds[0] and most <= bounds[1] else np.clip(x, *bounds, dtype=dtype)


def byte_images(x, bounds, *, shape=None, what="images"):
    """Return x, uint8 or floats within `bounds` (low, high), as uint8 in one piece of memory; raise as check_images."""
    x = check_images(x, shape, bounds, what=what)
    return np.ascontiguousarray(x if x.dtype == np.uint8 else to_bytes(x, bounds))


def byte_table(low, high):
    """Return the 256 float32 values that bytes 0..255 stand for in [low, high]."""
    return _byte_table(float(low), float(high))


@functools.lru_cache(maxsize=64)
def _byte_table(low, high):
    table = (low + (high - low) * np.arange(256) / 255).astype(np.float32)
    table.flags.writeable = False
    return table


def to_floats(x, bounds, dtype=np.float32):
    """Return bytes as floats in `bounds`, and floats as they are: in one aligned piece of memory, unchecked."""
    return byte_table(*bounds)[x].astype(dtype, copy=False) if x.dtype == np.uint8 else in_one_piece(x, dtype)


def in_one_piece(x, dtype=np.float32):
    """Return an array as one of `dtype` in one aligned piece of memory: itself, if it is one. np.require takes ten times as long to see it."""
    return x if is_one_piece(x, dtype) else np.require(x, dtype, "CA")


def is_one_piece(x, dtype=FLOAT32):
    """Whether x is an array of `dtype` in one aligned piece of memory."""
    return type(x) is np.ndarray and x.dtype == dtype and (flags := x.flags).c_contiguous and flags.aligned


def to_bytes(x, bounds):
    """Return the uint8 levels of floats x in `bounds`, by the board's rule; beyond the ends the outermost, NaN is 0."""
    return np.clip(np.nan_to_num(levels(x, bounds)), 0, 255).astype(np.uint8)


def levels(x, bounds, count=255):
    """Return the nearest of the levels 0..count for floats x in `bounds`, as whole float32 numbers, not limited to 0..count."""
    inverse = np.float32(1) / grey_level(bounds, count)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.floor((np.asarray(x, np.float32) - np.float32(bounds[0])) * inverse + np.float32(0.5))


def grey_level(bounds, count=255):
    """Return the float32 distance of two neighbouring levels of images in `bounds`: one grey level, for 255."""
    low, high = (float(np.float32(v)) for v in bounds)
    return np.float32((high - low) / count)


def fitted(x, shape, *, what="images"):
    """Return x (N, ...) with images of `shape`: as it is, or with an axis of one value added or left out, as (28, 28) for (28, 28, 1).

    Raises ShapeError for any other shape.
    """
    shape = tuple(shape)
    if x.shape[1:] == shape or x.ndim > 1 and [n for n in x.shape[1:] if n > 1] == [n for n in shape if n > 1]:
        return x.reshape(len(x), *shape)
    raise _wrong_shape(x, shape, what)


def standardise(x, mean, deviation, bounds):
    """Return ((x - mean) / deviation within `bounds`, float32, and the share of values that lay beyond and are its ends now).

    x (N, ..., C), any numbers; mean, deviation: one number each, or one for each of C channels.
    """
    mean, deviation = (np.asarray(v, np.float64) for v in (mean, deviation))
    for name, values in (("mean", mean), ("deviation", deviation)):
        if values.size not in (1, x.shape[-1]):
            raise DataError(f"{values.size} numbers were given as the {name} of data with {x.shape[-1]} channels; expected one, or "
                            f"{x.shape[-1]}")
    z = ((x - mean.astype(np.float32)) / deviation.astype(np.float32)).astype(np.float32)
    low, high = bounds
    return np.clip(z, low, high, dtype=np.float32), float(np.mean((z < low) | (z > high)))


def rescale(x, old, new):
    """Map images in the range `old` to the range `new`: float32, and bytes by their table."""
    if x.dtype == np.uint8:
        return byte_table(*new)[x]
    (a, b), (low, high) = (map(float, span) for span in (old, new))
    if (a, b) == (low, high):
        return np.asarray(x, np.float32)
    scale = (high - low) / (b - a)
    return np.clip(np.float32(scale) * (np.asarray(x, np.float32) - np.float32(a)) + np.float32(low), low, high, dtype=np.float32)


def check_range(bounds, *, what="input range"):
    """Return (low, high) as floats, or raise DataError: two finite numbers, the lower first."""
    try:
        low, high = (float(v) for v in bounds)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise DataError(f"the {what} is {bounds!r}; expected two numbers, the lower first", "(0, 1)")
    return low, high


def _extent(x):
    """The least and the greatest value; NaN where there is one."""
    return (float(x.min()), float(x.max())) if x.size else (np.inf, -np.inf)


def _lie_within(x, low, high):
    """Whether all of the floats x, not none, lie from low to high; NaN does not. From 0 on float32 have the order of their bits, and those
    of negative ones and NaN come after them: then one pass is enough.
    """
    if low == 0 <= high and x.dtype == np.float32:
        return x.view(np.uint32).max() <= bits_of(high)
    least, most = _extent(x)
    return least >= low and most <= high


@functools.lru_cache(maxsize=64)
def bits_of(number):
    """Return the bits of the largest float32 that is not above a number >= 0, as a whole number."""
    nearest = np.float32(number)
    return int((nearest if float(nearest) <= number else np.nextafter(nearest, np.float32(0))).view(np.uint32))


def _slack(end):
    return max(SLACK, float(np.spacing(np.float32(abs(end))))) if np.isfinite(end) else 0.0


def _span(low, high):
    return f"floats from {low:g} to {high:g} without NaN" if np.isfinite([low, high]).all() else "floats without NaN"


def _wrong_shape(x, shape, what):
    if shape is None:
        return ShapeError(f"{what} have shape {x.shape}; expected (N, ...), one row an image", "x[None]" if x.ndim else "")
    shape = tuple(shape)
    hint = "x[None]" if x.shape == shape else ""
    if x.ndim == 4 and len(shape) == 3 and (*x.shape[2:], x.shape[1]) == shape:
        hint = "x.transpose(0, 2, 3, 1)"
    elif x.ndim == 3 and x.shape[:0:-1] == shape:
        hint = "x.transpose(0, 2, 1)"
    elif x.ndim > 1 and x.size and int(np.prod(x.shape[1:])) == int(np.prod(shape)):
        hint = f"x.reshape({', '.join(map(str, (-1, *shape)))}), if its values lie in that order"
    last = ", channels last" if len(shape) == 3 else ""
    return ShapeError(f"{what} have shape {x.shape}; expected ({', '.join(map(str, ('N', *shape)))}){last}", hint)


def _outside(x, least, most, low, high, what):
    if not np.isfinite([least, most]).all():
        first = int(np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))[0])
        return DataError(f"{what} hold NaN or infinite values, first in image {first}; expected uint8, or {_span(low, high)}")
    bytes_like = least >= 0 and most > 1.5 and most <= 255
    return DataError(f"{what} have values from {least:g} to {most:g}, outside the model's bounds {low:g}..{high:g}; expected uint8, or "
                     f"{_span(low, high)}",
                     "x.astype(np.uint8), if these are bytes" if bytes_like else
                     "scale them as the model was trained, or give the model its range (input_range)")
