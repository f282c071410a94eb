"""From the float graph and the ranges of its tensors to the integer graph: one rule for each op."""

from functools import singledispatch

import numpy as np

from tinyvgg.errors import NotYet, QuantError
from tinyvgg.quant.bounds import accumulator_bounds, check_graph, fits, tail_extremes
from tinyvgg.quant.fixedpoint import INT32_MAX, quantise_multiplier, scale_and_zero
from tinyvgg.quant.float_graph import (
    FloatAdd,
    FloatAveragePool2D,
    FloatConv2D,
    FloatDense,
    FloatDepthwiseConv2D,
    FloatImage,
    FloatMaxPool2D,
    FloatSoftmax,
)
from tinyvgg.quant.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Image,
    MaxPool2D,
    SharedWeights,
    Softmax,
    Tail,
)

LOGIT_HEADROOM = 4  # int16 logits reach this far beyond the largest one seen in calibration
LEAST_GAIN = 2.0**-20  # levels of the output for one unit of the accumulator; weights are rounded more coarsely instead


def per_channel_int8(op, floor):
    """Round weights (F, ...) to -127..127 by one scale a channel, at least floor (F,): return int8 weights and scales (F,)."""
    w = op.weights.astype(np.float64)
    largest = np.abs(w.reshape(len(w), -1)).max(axis=1)
    scale = np.maximum(largest / 127, floor)
    with np.errstate(invalid="ignore"):
        q = np.rint(w / scale.reshape(-1, *[1] * (w.ndim - 1)))
    return np.clip(np.nan_to_num(q), -127, 127).astype(np.int8), scale


def lower(graph, ranges, *, quantise=per_channel_int8, softmax="integer", facts=None):
    """Return the integer Graph of a float Graph.

    ranges: {op: (low, high)} from calibrate. quantise(op, floor) -> weights (int8 or SharedWeights of int8) and scales (F,), each
    at least floor, as per_channel_int8: this is where sharing.py comes in. softmax: "integer" or "float".
    """
    work = _Lowering(graph, ranges, quantise, softmax)
    for op in graph.ops:
        work.done[op.name] = lower_op(op, work, [work.done[i] for i in op.inputs])
    result = Graph(name=graph.name, ops=tuple(work.done.values()), input_range=graph.input_range, facts=facts or {})
    check_graph(result)
    return result


class _Lowering:
    """What the rules share: the ranges, the ops done so far, and each tensor's residue (see graph.Image)."""

    def __init__(self, graph, ranges, quantise, softmax):
        self.input_range, self.ranges, self.quantise, self.softmax = graph.input_range, ranges, quantise, softmax
        self.logits, self.done, self.residue = graph.logits.name, {}, {}

    def output(self, op):
        """Scale and zero point of an op's result."""
        if op.name not in self.ranges:
            raise QuantError(f"there is no range for {op.name!r}", "calibrate the graph that is lowered")
        return scale_and_zero(*self.ranges[op.name])


@singledispatch
def lower_op(op, work, inputs):
    """Return the integer op for a float op; inputs: the integer ops before it."""
    raise NotYet(f"no lowering for {type(op).__name__} ({op.name!r}): register one in quant/lower.py")


@lower_op.register
def _(op: FloatImage, work, inputs):
    low, high = work.input_range
    scale, start = op.scale * (high - low) / 255, op.scale * low + op.shift  # real = scale * q + start
    if scale <= 0 or not -0.5 <= -start / scale <= 255.5:
        raise QuantError(f"images lie in {start:g}..{start + 255 * scale:g} after the rescaling; expected a range that holds 0")
    zero = min(max(round(-start / scale), 0), 255)
    residue = start + scale * zero
    work.residue[op.name] = 0.0 if abs(residue) < 1e-9 * scale else residue
    return Image(name=op.name, inputs=(), shape=op.shape, scale=scale, zero=zero, residue=work.residue[op.name])


@lower_op.register
def _(op: FloatConv2D, work, inputs):
    return _convolution(Conv2D, op, work, inputs)


@lower_op.register
def _(op: FloatDepthwiseConv2D, work, inputs):
    return _convolution(DepthwiseConv2D, op, work, inputs)


def _convolution(cls, op, work, inputs):
    scale, zero = work.output(op)
    weights, tail = lower_tail(op, work, inputs[0], scale, zero)
    return cls(name=op.name, inputs=op.inputs, shape=op.shape, scale=scale, zero=zero, weights=weights, input_zero=inputs[0].zero,
               tail=tail, strides=op.strides, padding=op.padding, dilation=op.dilation, pool=op.pool)


@lower_op.register
def _(op: FloatDense, work, inputs):
    wide = op.name == work.logits
    if wide:
        scale, zero = max(*map(abs, work.ranges[op.name]), 1e-6) * LOGIT_HEADROOM / 32767, 0
    else:
        scale, zero = work.output(op)
    weights, tail = lower_tail(op, work, inputs[0], scale, zero, saturates=not wide)
    return Dense(name=op.name, inputs=op.inputs, shape=op.shape, scale=scale, zero=zero, weights=weights,
                 input_zero=inputs[0].zero, tail=tail, output="int16" if wide else "uint8")


def lower_tail(op, work, before, scale, zero, *, saturates=True):
    """Return the integer weights and the Tail of an op whose input is the integer op `before` and whose output has scale, zero.

    Where the offset would leave int32, because the gain is small against the accumulator, the channel's weights are rounded
    more coarsely (the accumulator shrinks, the gain grows) until it fits; in the end they are 0 and the channel is a constant.
    """
    gain = np.ones(len(op.weights)) if op.tail.gain is None else op.tail.gain.astype(np.float64)
    with np.errstate(divide="ignore"):
        floor = scale * LEAST_GAIN / (before.scale * np.abs(gain))
    for _ in range(64):
        weights, weight_scale = work.quantise(op, floor)
        plain = weights.expand() if isinstance(weights, SharedWeights) else weights
        tail, bad = _tail(op, plain, weight_scale, gain, before, work.residue.get(before.name, 0.0), scale, zero, saturates)
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
        activation = "none"  # the saturation does it
    levels = gain * unit / scale  # of the output, for one unit
    if activation == "none":
        shift, bias = shift + gain * bias, np.zeros_like(bias)
    fixed = _constants(op, bias, shift, gain, scale, zero, activation)
    top = np.abs(levels[~constant]).max(initial=2.0**-10)
    left = int(np.clip(np.ceil(np.log2(top)) + 4, 0, 15))  # offset in steps of 1/32 level or finer
    multiplier = quantise_multiplier(np.where(constant, 2.0 ** (left - 12), levels), left, f"a channel of {op.name!r}").astype(
        np.int64
    )
    multiplier = np.where(multiplier == 0, 1, multiplier)
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
    """The level (F,) that each channel would give if its weights were all 0: a whole number."""
    v = bias
    if activation in ("relu", "clamp"):
        v = np.clip(bias, 0, op.tail.high if activation == "clamp" else None)
    elif activation == "leaky":
        v = np.where(bias < 0, bias * op.tail.slope, bias)
    level = np.rint((shift + gain * v) / scale + zero)
    return np.clip(level, -(2**17), 2**17)


@lower_op.register
def _(op: FloatAdd, work, inputs):
    scale, zero = work.output(op)
    if op.activation not in ("none", "relu", "clamp") or (op.activation != "none" and zero):
        raise NotYet(f"the integer model has no Add with {op.activation} inside ({op.name!r})")
    ratios = [before.scale / scale for before in inputs]
    residue = sum(work.residue.get(i, 0.0) for i in op.inputs) / scale
    for shift in range(20, 1, -1):
        multipliers = tuple(round(r * 2**shift) for r in ratios)
        offset = round((zero + residue) * 2**shift) - sum(m * before.zero for m, before in zip(multipliers, inputs, strict=True))
        if 255 * sum(map(abs, multipliers)) + abs(offset) + (1 << shift) <= INT32_MAX:
            return Add(name=op.name, inputs=op.inputs, shape=op.shape, scale=scale, zero=zero, multipliers=multipliers,
                       offset=offset, shift=shift)
    raise QuantError(f"the inputs of {op.name!r} are {max(ratios):.3g} times its result; expected less than a million",
                     "more calibration images")


@lower_op.register
def _(op: FloatAveragePool2D, work, inputs):
    scale, zero = work.output(op)
    (before,), n = inputs, op.pool_size[0] * op.pool_size[1]
    levels = before.scale / (n * scale)
    start = zero + work.residue.get(before.name, 0.0) / scale
    for shift in range(int(np.clip(np.ceil(np.log2(levels)) + 8, 0, 15)), -1, -1):
        multiplier = int(quantise_multiplier(levels, shift, repr(op.name)))
        offset = round(start * 2**32 / multiplier) - (n * before.zero << shift)
        if (255 * n << shift) + abs(offset) <= INT32_MAX:
            return AveragePool2D(name=op.name, inputs=op.inputs, shape=op.shape, scale=scale, zero=zero, pool_size=op.pool_size,
                                 strides=op.strides, shift=shift, offset=offset, multiplier=multiplier)
    raise QuantError(f"the window of {op.name!r}, {op.pool_size}, is too large for 32 bits")


@lower_op.register
def _(op: FloatMaxPool2D, work, inputs):
    work.residue[op.name] = work.residue.get(op.inputs[0], 0.0)
    return MaxPool2D(name=op.name, inputs=op.inputs, shape=op.shape, scale=inputs[0].scale, zero=inputs[0].zero,
                     pool_size=op.pool_size, strides=op.strides, padding=op.padding)


@lower_op.register
def _(op: FloatSoftmax, work, inputs):
    scale = inputs[0].scale
    octaves = scale * np.log2(np.e) * 256  # 1/256 octaves for one level of the logits
    shift = int(np.clip(np.ceil(np.log2(octaves)) + 4, 0, 14))
    return Softmax(name=op.name, inputs=op.inputs, shape=op.shape, scale=1 / 255, kind=work.softmax, input_scale=scale,
                   shift=shift, multiplier=int(quantise_multiplier(octaves, shift, repr(op.name))))
