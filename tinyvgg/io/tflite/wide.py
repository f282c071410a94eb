"""A last layer of 16 bits behind a network of 8 (int16x8), as export.py writes it: an int8 result is widened by way of floats, a 1x1
convolution gives int16 logits, and a softmax of floats may follow.

TensorFlow Lite adds such sums up in 64 bits, multiplies them by a factor of 16 bits and rounds once, ties up. That is this library's own
rounding, so the layer is a Dense of int16 with an ordinary tail, the same bytes.
"""
import math
from dataclasses import replace

import numpy as np

from tinyvgg.errors import NotYet
from tinyvgg.quant.ops.dense import Dense
from tinyvgg.quant.ops.softmax import Softmax
from tinyvgg.quant.ops.tail import Tail
from tinyvgg.quant.rounding import quantise_ratio

BEHIND = ("RESHAPE", "SQUEEZE", "DEQUANTIZE", "SOFTMAX")


def split(steps):
    """Return (operators up to the last layer, that layer and what follows): it reads what is widened. ([...], []) where it is none of these."""
    if any(not op.inputs or not op.outputs or op.inputs[0] is None for op in steps):
        return steps, []
    first = next((k for k in range(len(steps) - 2) if _widens(*steps[k:k + 2]) and steps[k + 2].kind == "CONV_2D"
                  and steps[k + 2].inputs[0] is steps[k + 1].outputs[0]), None)
    if first is None or any(op.kind not in BEHIND for op in steps[first + 3:]):
        return steps, []
    layer = steps[first + 2]
    return steps[:first], [replace(layer, inputs=(steps[first].inputs[0], *layer.inputs[1:])), *steps[first + 3:]]


def _widens(first, second):
    """Whether two operators bring 8 bits to 16, the same numbers less their zero point."""
    if (first.kind, second.kind) != ("DEQUANTIZE", "QUANTIZE") or second.inputs[0] is not first.outputs[0]:
        return False
    x, y = first.inputs[0], second.outputs[0]
    return x.dtype in ("int8", "uint8") and y.dtype == "int16" and len(x.scales) == len(y.scales) == 1 and x.scale == y.scale and y.zero == 0


def _same(network, op):
    network.put(network.before(op.inputs[0]), op.outputs[0])


def _softmax(network, op):
    before, y = network.before(op.inputs[0]), op.outputs[0]
    if y.dtype != "float32" or op.options["Beta"] != 1:
        raise NotYet(f"it is a softmax of {y.dtype} behind logits of 16 bits; expected one of floats")
    network.put(Softmax(name=y.name, inputs=(before.name,), shape=before.shape, scale=1 / 255, kind="float", input_scale=before.scale), y)


def _dense(network, op):
    (x, w, b), y = op.inputs, op.outputs[0]
    before = network.before(x)
    if w.data is None or w.dtype != "int8" or w.data.shape[1:3] != (1, 1) or w.data.shape[3] != math.prod(before.shape) or w.zeros.any():
        raise NotYet("it is of 16 bits; expected a 1x1 convolution of a map of one pixel, with weights of int8")
    filters = len(w.data)
    if b is None or b.data is None or b.dtype != "int64" or b.data.shape != (filters,) or abs(b.data).max() >= 2**31:
        raise NotYet("it is of 16 bits; expected biases of int64, below 2^31")
    if op.activation or len(y.scales) != 1 or y.zero:
        raise NotYet("it is of 16 bits; expected no activation, one scale and the zero point 0")
    factors, exponents = zip(*map(_factor, np.broadcast_to(x.scale * w.scales.astype(np.float64) / y.scale, filters)), strict=True)
    shift = max(0, max(exponents) + 1)
    offset = b.data << shift
    if shift > 15 or min(exponents) < shift - 17 or abs(offset).max() >= 2**31:
        raise NotYet("it is of 16 bits, with factors or biases that leave 32 bits")
    multiplier = [factor << (17 + exponent - shift) for factor, exponent in zip(factors, exponents, strict=True)]
    tail = Tail(bias=np.zeros(filters, np.int32), offset=offset.astype(np.int32), multiplier=np.array(multiplier, np.int32), shift=shift)
    network.put(Dense(name=y.name, inputs=(before.name,), shape=(filters,), scale=y.scale, zero=0, output="int16",
                      weights=np.ascontiguousarray(w.data.reshape(filters, -1)), input_zero=before.zero, tail=tail), y)


def _factor(ratio):
    """(factor, exponent) of a real ratio = factor / 2^15 * 2^exponent, as TensorFlow Lite rounds it for sums of 64 bits."""
    multiplier, exponent = quantise_ratio(float(ratio))
    return (multiplier + (1 << 15)) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF, exponent


RULES = {"CONV_2D": _dense, "SOFTMAX": _softmax, **dict.fromkeys(BEHIND[:3], _same)}
