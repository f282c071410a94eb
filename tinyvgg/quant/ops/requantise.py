"""Float tails to integer tails and back: combines the accumulator's unit, the batch-norm's gain and the output's scale."""
import numpy as np

from tinyvgg.errors import QuantError
from tinyvgg.quant.fixedpoint import INT32_MAX, quantise_multiplier
from tinyvgg.quant.ops.float_tail import FloatTail
from tinyvgg.quant.ops.tail import Tail, accumulator_bounds, fits, tail_extremes
from tinyvgg.quant.ops.weights import along, expanded, weights_of

LEAST_GAIN = 2.0**-20  # levels of the output for one unit of the accumulator; below it, weights are rounded more coarsely


def lower_tail(op, work, before, scale, zero, *, saturates=True):
    """Return the integer weights and the Tail of a float op; it reads the integer op `before`, and its output has scale, zero.

    If a channel's gain is so small that its offset would leave int32, its weights are rounded more coarsely until the offset
    fits: the accumulator shrinks and the gain grows. In the extreme the weights are 0 and the channel is constant.
    """
    residue = work.residue.get(before.name, 0.0)
    if abs(residue) > before.scale and np.any(getattr(op, "padding", 0)):
        raise QuantError(f"{op.name!r} pads with zeros, but none of its input's levels means 0: the images' range excludes 0",
                         "padding='valid', or images whose range contains 0 (--input-range, a first Rescaling)")
    gain = np.ones(len(op.weights)) if op.tail.gain is None else op.tail.gain.astype(np.float64)
    with np.errstate(divide="ignore"):
        floor = scale * LEAST_GAIN / (before.scale * np.abs(gain))
    for _ in range(64):
        weights, weight_scale = work.quantise(op, floor)
        tail, bad = _tail(op, expanded(weights), weight_scale, gain, before, residue, scale, zero, saturates)
        if not bad.any():
            return weights, tail
        floor = np.where(bad, 2 * weight_scale, floor)
    raise QuantError(f"channels {np.flatnonzero(bad)[:8].tolist()} of {op.name!r} do not fit 32 bits at any scale")


def _tail(op, weights, weight_scale, gain, before, residue, scale, zero, saturates):
    """Return the Tail for given integer weights, and which channels (F,) do not fit int32 with it."""
    flat = weights.reshape(len(weights), -1).astype(np.int64)
    constant = ~flat.any(axis=1)
    unit = np.where(constant, 1.0, before.scale * weight_scale)  # real value of one unit of the accumulator
    bias = op.tail.bias.astype(np.float64) + residue * np.where(constant, 0, weight_scale) * flat.sum(axis=1)
    shift = np.zeros(len(gain)) if op.tail.shift is None else op.tail.shift.astype(np.float64)
    activation = op.tail.activation
    if activation in ("relu", "clamp") and op.tail.gain is None and zero == 0 and saturates:
        activation = "none"  # saturation has the same effect
    levels = gain * unit / scale  # of the output, for one unit of the accumulator
    if activation == "none":
        shift, bias = shift + gain * bias, np.zeros_like(bias)
    fixed = _constants(op, bias, shift, gain, scale, zero, activation)
    top = np.abs(levels[~constant]).max(initial=2.0**-10)
    left = int(np.clip(np.ceil(np.log2(top)) + 4, 0, 15))  # offset in steps of 1/32 level or finer
    multiplier = quantise_multiplier(np.where(constant, 2.0 ** (left - 12), levels), left, f"a channel of {op.name!r}")
    multiplier = np.where(multiplier == 0, 1, multiplier.astype(np.int64))
    offset = np.where(constant, fixed, shift / scale + zero) * 2.0**32 / multiplier
    bias = np.where(constant, 0, bias / unit)
    high = np.minimum(op.tail.high / unit * 2.0**left, INT32_MAX) if activation == "clamp" else None
    bad = (np.abs(offset) >= 2.0**31 - 1) | (np.abs(bias) >= 2.0**31 - 1)
    clean = [np.rint(np.where(bad, 0, a)).astype(np.int32) for a in (bias, offset)]
    tail = Tail(bias=clean[0], offset=clean[1], multiplier=multiplier.astype(np.int32), shift=left, activation=activation,
                slope=int(round(op.tail.slope * 2**31)) if activation == "leaky" else 0,
                high=None if high is None else np.rint(high).astype(np.int32))
    for low, highest in tail_extremes(*accumulator_bounds(weights, before.zero), tail):
        bad |= ~fits(low, highest)
    return tail, bad & ~constant


def _constants(op, bias, shift, gain, scale, zero, activation):
    """The level (F,) that each channel would give if all its weights were 0, as a whole number."""
    v = bias
    if activation in ("relu", "clamp"):
        v = np.clip(bias, 0, op.tail.high if activation == "clamp" else None)
    elif activation == "leaky":
        v = np.where(bias < 0, bias * op.tail.slope, bias)
    level = np.rint((shift + gain * v) / scale + zero)
    return np.clip(level, -(2**17), 2**17)


def dequantized(op, input_scale):
    """Return float weights and the FloatTail of an integer op.

    real = s m / 2^32 (activation(v) + offset) - s z, with the factor |s m| / 2^32 moved into v.
    """
    tail, m = op.tail, op.tail.multiplier.astype(np.float64)
    unit = op.scale * np.abs(m) / 2.0**32  # magnitude of the real value of one unit of v
    acc = unit * 2.0**tail.shift
    weights = weights_of(op).astype(np.float64)
    scaled = weights * along(acc / input_scale, weights)
    shift = unit * np.sign(m) * tail.offset - op.scale * op.zero
    float_tail = FloatTail(bias=(acc * tail.bias).astype(np.float32), activation=tail.activation, slope=tail.slope / 2.0**31,
                           high=float("inf"), gain=np.where(m < 0, -1, 1).astype(np.float32), shift=shift.astype(np.float32))
    if tail.activation == "clamp":
        float_tail = _per_channel_clamp(float_tail, unit * tail.high)
        scaled = scaled / along(_reach(unit * tail.high), weights)
    return scaled.astype(np.float32), float_tail


def _reach(high):
    """The clamp of each channel, but 1 for a channel with clamp 0, which is always 0."""
    return np.where(high > 0, high, 1.0)


def _per_channel_clamp(tail, high):
    """A float tail has one clamp for all channels: scale each channel so that its clamp is 1, and its gain to undo that."""
    reach = _reach(high)
    return FloatTail(bias=(tail.bias / reach).astype(np.float32), activation="clamp", high=1.0,
                     gain=(tail.gain * np.where(high > 0, reach, 0)).astype(np.float32), shift=tail.shift)
