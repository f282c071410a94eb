"""The results of operators on a single level, for every level, by TensorFlow Lite's reference arithmetic. Levels are 0..255."""
import numpy as np

from tinyvgg.errors import FormatError, NotYet
from tinyvgg.quant.rounding import halve, multiply, quantise_ratio

LEVELS = np.arange(256, dtype=np.int64)
LEFT = 20                   # bits that the inputs of a sum gain before they are brought to one scale


def limits(low, high, scale, zero):
    """(low, high) real, None for none -> levels, rounded as TensorFlow Lite does: half away from zero, in float32."""
    def level(real):
        quotient = np.float32(real) / np.float32(scale)
        return zero + int(np.sign(quotient) * np.floor(np.abs(quotient) + np.float32(0.5)))
    return (0 if low is None else min(max(0, level(low)), 255), 255 if high is None else max(min(255, level(high)), 0))


def of_function(op, source, target, rounding):
    """The table (1, 256) of a function; source, target: (scale, zero) of its input and result; rounding: see quant/rounding.py."""
    return FUNCTIONS[op.kind](op, source, target, rounding)[None]


def _saturated(v, zero, low=0, high=255):
    return np.clip(v + zero, low, high).astype(np.uint8)


def _scaled(x, ratio, rounding):
    return multiply(x, *quantise_ratio(float(ratio)), rounding)


def _relu(low, high):
    def table(op, source, target, rounding):
        (scale, zero), (to_scale, to_zero) = source, target
        v = _scaled(LEVELS - zero, np.float32(scale) / np.float32(to_scale), rounding)
        return _saturated(v, to_zero, *limits(low, high, to_scale, to_zero))
    return table


def _leaky(op, source, target, rounding):
    (scale, zero), (to_scale, to_zero) = source, target
    x, scale, to_scale = LEVELS - zero, np.float32(scale), np.float32(to_scale)
    above, below = scale / to_scale, scale * np.float32(op.options["Alpha"]) / to_scale
    if below < 0:
        raise NotYet(f"its slope is {op.options['Alpha']}; expected one that is not negative")
    return _saturated(np.where(x >= 0, _scaled(x, above, rounding), _scaled(x, below, rounding)), to_zero)


def _requantise(op, source, target, rounding):
    (scale, zero), (to_scale, to_zero) = source, target
    return _saturated(_scaled(LEVELS - zero, scale / to_scale, rounding), to_zero)


def _real(function):
    """By the function itself, in float32, as the kernels with a table fill it."""
    def table(op, source, target, rounding):
        (scale, zero), (to_scale, to_zero) = source, target
        real = function(np.float32(scale) * (LEVELS - zero).astype(np.float32)).astype(np.float32)
        level = real * (np.float32(1) / np.float32(to_scale))
        return _saturated((np.sign(level) * np.floor(np.abs(level) + np.float32(0.5))).astype(np.int64), to_zero)
    return table


def _sixteen(v):
    return np.clip(v, -(2**15), 2**15 - 1)


def _halves(a, b):
    """The high half of the doubled product of two numbers of 16 bits, to the nearest, ties up."""
    return _sixteen((a * b + (1 << 14)) >> 15)


def _of_sixteen(real):
    """(multiplier of 16 bits, exponent) of a real factor."""
    multiplier, exponent = quantise_ratio(float(real))
    return min((multiplier + (1 << 15)) >> 16, 2**15 - 1), exponent


def _hard_swish(op, source, target, rounding):
    """x relu6(x + 3) / 6 in 16 bits: both factors on scales of their own, each product rounded, whatever `rounding` is."""
    (scale, zero), (to_scale, to_zero) = source, target
    fine = np.float32(1 / 128) * np.float32(scale)
    x = (LEVELS - zero) << 7
    multiplier, exponent = _of_sixteen(fine / np.float32(to_scale))
    if exponent > 0:
        raise NotYet(f"its result has the scale {to_scale:.3g}, too fine for its input's {scale:.3g}")
    reluish, shift = _of_sixteen(fine / (np.float32(3) / np.float32(32768)))
    gate = _sixteen(x << (shift - 1)) if shift > 0 else x
    gate = _halves(gate, reluish)
    gate = _sixteen(gate << 1) if shift > 0 else halve(gate, -shift)
    gate = (gate + (1 << 15)) >> 1
    product = gate * _halves(x, multiplier)
    v = halve(np.sign(product) * (np.abs(product) >> 15), -exponent)
    return _saturated(v, to_zero)


FUNCTIONS = {"HARD_SWISH": _hard_swish, "RELU": _relu(0, None), "RELU6": _relu(0, 6), "RELU_N1_TO_1": _relu(-1, 1),
             "LEAKY_RELU": _leaky, "QUANTIZE": _requantise,
             "LOGISTIC": _real(lambda x: 1 / (1 + np.exp(-x))), "TANH": _real(np.tanh),
             "ELU": _real(lambda x: np.where(x < 0, np.expm1(x), x))}


def with_constant(op, x, constant, source, other, target, ends, rounding):
    """The table (1 or C, 256) of a sum, difference or product with a constant; other: the constant's (scale, zero)."""
    values = _channels(constant, x)
    (scale, zero), (other_scale, other_zero), (to_scale, to_zero) = source, other, target
    levels = values.astype(np.int64) + (128 if constant.dtype == "int8" else 0) - other_zero
    a, b = (LEVELS - zero)[None], levels[:, None]
    if op.kind == "MUL":
        ratio = np.float32(scale) * np.float32(other_scale) / np.float32(to_scale)
        return _saturated(_scaled(a * b, ratio, rounding), to_zero, *ends)
    twice = 2 * max(scale, other_scale)
    a, b = _scaled(a << LEFT, scale / twice, rounding), _scaled(b << LEFT, other_scale / twice, rounding)
    if op.kind == "SUB":
        a, b = (a, -b) if op.inputs[0] is x else (-a, b)
    return _saturated(_scaled(a + b, twice / (2**LEFT * to_scale), rounding), to_zero, *ends)


def limit(op, x, constant):
    """The table (1 or C, 256) of the larger or the smaller of a level and a constant's."""
    levels = _channels(constant, x).astype(np.int64)[:, None] + (128 if constant.dtype == "int8" else 0)
    return (np.maximum if op.kind == "MAXIMUM" else np.minimum)(LEVELS[None], levels).astype(np.uint8)


def prelu(alpha, x, source, other, target, rounding):
    """The table (C, 256) of x above its zero point, alpha x below."""
    (scale, zero), (other_scale, other_zero), (to_scale, to_zero) = source, other, target
    slope = _channels(alpha, x).astype(np.int64) + (128 if alpha.dtype == "int8" else 0) - other_zero
    v, scale, to_scale = (LEVELS - zero)[None], np.float32(scale), np.float32(to_scale)
    below = _scaled(v * slope[:, None], scale * np.float32(other_scale) / to_scale, rounding)
    return _saturated(np.where(v >= 0, _scaled(v, scale / to_scale, rounding), below), to_zero)


def _channels(constant, x):
    """The values of a constant, one or one for each channel of x."""
    if constant.data is None:
        raise FormatError(f"{constant} has no values")
    values, channels = constant.data, x.shape[-1]
    if values.size not in (1, channels) or values.size > 1 and values.shape[-1] != channels:
        raise NotYet(f"its constant {constant} has the shape {values.shape}; expected one number, or one for each of {channels} channels")
    return values.ravel()
