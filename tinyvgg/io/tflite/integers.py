"""Operators of int8 or uint8 as ops of an integer graph, with TensorFlow Lite's own scales, zero points and rounding.

Levels here are 0..255: an int8 value is its level minus 128, also in zero points of weights; scales are unchanged.
"""
import math
from dataclasses import replace
from functools import partial

import numpy as np

from tinyvgg.errors import FormatError, NotYet, TinyVGGError
from tinyvgg.io.tflite import tables, wide
from tinyvgg.io.tflite.dilated import CONVOLUTIONS
from tinyvgg.nn.layers._spatial import padding_for
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.convolution import Convolution
from tinyvgg.quant.ops.dense import Dense
from tinyvgg.quant.ops.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.quant.ops.image import Image
from tinyvgg.quant.ops.level_table import LevelTable
from tinyvgg.quant.ops.lite_add import LiteAdd
from tinyvgg.quant.ops.lite_average_pool2d import LiteAveragePool2D
from tinyvgg.quant.ops.lite_concatenate import LiteConcatenate
from tinyvgg.quant.ops.lite_softmax import LiteSoftmax, exponentials
from tinyvgg.quant.ops.lite_tail import LiteTail
from tinyvgg.quant.ops.max_pool2d import MaxPool2D
from tinyvgg.quant.ops.moving import Pad2D, Reshape
from tinyvgg.quant.ops.up_sample2d import UpSample2D
from tinyvgg.quant.rounding import quantise_ratio, quantise_ratios
from tinyvgg.quant.validate import validate

CENTRE = {"int8": 128, "uint8": 0}
NO_PADDING = ((0, 0), (0, 0))


def build(contents, steps, head=(), rounding="double"):
    """Return the QuantizedModel of a graph of int8 or uint8; head: a last layer of 16 bits and what follows (wide.py); rounding: see
    quant/rounding.py."""
    from tinyvgg.quant.model import QuantizedModel
    network = _Network(contents, steps, rounding)
    for op in steps:
        network.step(op)
    for op in head:
        network.step(op, wide.RULES)
    graph = network.graph()
    validate(graph, "integer")
    return QuantizedModel(graph)


class _Network:
    """The ops so far, and which of them holds each tensor."""

    def __init__(self, contents, steps, rounding):
        self.contents, self.rounding, self.ops, self.holder, self.padded = contents, rounding, {}, {}, {}
        self.uses, self.convolved = {}, {op.inputs[0].index for op in steps if op.kind in CONVOLUTIONS and op.inputs and op.inputs[0]}
        for t in (*(t for op in steps for t in op.inputs if t is not None), *contents.outputs):
            self.uses[t.index] = self.uses.get(t.index, 0) + 1
        self._image(steps)

    def _image(self, steps):
        """The image, in the levels of the first tensor of 8 bits; a QUANTIZE of a float input is what makes levels of it."""
        given, = self.contents.inputs
        first = given
        if given.dtype == "float32":
            readers = [op for op in steps if given in op.inputs]
            if len(readers) != 1 or readers[0].kind != "QUANTIZE":
                raise NotYet(f"its input {given} is float32; expected a QUANTIZE as its only reader, or an input of 8 bits")
            first = readers[0].outputs[0]
        if first.dtype not in CENTRE or len(first.scales) != 1 or len(first.shape) < 2 or first.shape[0] != 1:
            raise NotYet(f"its input {first} is {first.dtype} of shape {first.shape} with {len(first.scales)} scales; expected int8 or "
                         "uint8 with one, the batch of 1 first")
        shape = first.shape[1:]
        if len(shape) > 3:
            raise NotYet(f"its input {first} has the shape {first.shape}; expected a map or a vector")
        scale, zero = self.levels(first)
        self.range = scale * (0 - zero), scale * (255 - zero)
        self.put(Image(name=given.name, inputs=(), shape=shape, scale=scale, zero=zero), given, first)

    def graph(self):
        out, = self.contents.outputs
        if out.index not in self.holder:
            raise FormatError(f"nothing writes the output {out}")
        op = self.ops[self.holder[out.index]]
        if len(op.shape) != 1:
            op = self.flat(op)
        if op is not list(self.ops.values())[-1]:
            raise NotYet(f"the output {out} is not what the last operator writes")
        given, = self.contents.inputs
        floats = [side for side, tensor in (("input", given), ("output", out)) if tensor.dtype == "float32"]     # the file converts these
        return Graph(name=self.contents.name, ops=tuple(self.ops.values()), input_range=self.range,
                     facts={"scheme": "tflite", "centre": self.centre, "output": op.name}
                     | ({"floats": floats} if floats else {}) | ({"rounding": self.rounding} if self.rounding != "double" else {}))

    @property
    def centre(self):
        """The level of TensorFlow Lite's 0."""
        return CENTRE[next(t.dtype for t in self.contents.tensors if t.dtype in CENTRE and t.data is None)]

    # --- what the rules ask ---

    def step(self, op, rules=None):
        try:
            (rules or RULES)[op.kind](self, op)
        except TinyVGGError as error:
            raise type(error)(f"{op.outputs[0]} ({op.kind}): {error.problem}", error.hint) from error
        except (KeyError, IndexError, ValueError, TypeError, AttributeError, StopIteration, OverflowError) as error:
            raise FormatError(f"{op.outputs[0]} ({op.kind}) does not fit its inputs: {type(error).__name__} {str(error)[:120]}") from error

    def levels(self, tensor):
        """(scale, zero point among 0..255) of a tensor of 8 bits with one scale."""
        if tensor.dtype not in CENTRE or len(tensor.scales) != 1 or not tensor.scale > 0:
            raise NotYet(f"{tensor} is {tensor.dtype} with {len(tensor.scales)} scales; expected int8 or uint8 with one")
        return tensor.scale, tensor.zero + CENTRE[tensor.dtype]

    def put(self, op, *tensors):
        self.ops[op.name] = op
        for t in tensors:
            self.holder[t.index] = op.name

    def give(self, op, kind, *before, **settings):
        """Put what an operator is here, an op of class `kind` that reads the ops `before`; its name, shape and levels are the result's."""
        out = op.outputs[0]
        scale, zero = self.levels(out)
        common = {"name": out.name, "inputs": tuple(b.name for b in before), "shape": out.shape[1:], "scale": scale, "zero": zero}
        self.put(kind(**common | settings), out)

    def before(self, tensor):
        """The op that holds a tensor."""
        if tensor is None or tensor.index not in self.holder:
            raise NotYet("a constant stands where values are expected" if tensor is None or tensor.data is not None else
                         f"{tensor} is read before anything writes it")
        return self.ops[self.holder[tensor.index]]

    def private(self, tensor):
        """Whether one operator alone reads what holds a tensor."""
        names = [i for i, name in self.holder.items() if name == self.holder[tensor.index]]
        return sum(self.uses.get(i, 0) for i in names) - (len(names) - 1) == 1

    def limits(self, op):
        """(low, high) of the levels that an operator's fused activation leaves."""
        scale, zero = self.levels(op.outputs[0])
        ends = {0: (None, None), 1: (0, None), 2: (-1, 1), 3: (0, 6)}
        if op.activation not in ends:
            raise NotYet(f"it has the fused activation {op.activation} of TensorFlow Lite, which this library has not")
        return tables.limits(*ends[op.activation], scale, zero)

    def flat(self, op):
        """Put the same values as a vector: another shape for a pool, a Reshape for the others."""
        shape = (math.prod(op.shape),)
        if isinstance(op, LiteAveragePool2D | MaxPool2D) and op.shape[:2] == (1, 1):
            self.ops[op.name] = replace(op, shape=shape)
            return self.ops[op.name]
        flat = Reshape(name=f"{op.name}_flat", inputs=(op.name,), shape=shape, scale=op.scale, zero=op.zero)
        for index, name in self.holder.items():
            if name == op.name:
                self.holder[index] = flat.name
        self.ops[flat.name] = flat
        return flat

    def table(self, op, x, table):
        """Put a table (1 or C, 256) of levels, into the table before it where nobody else reads that."""
        before = self.before(x)
        if isinstance(before, LevelTable) and self.private(x) and before.shape == op.outputs[0].shape[1:]:
            rows = max(len(before.table), len(table))
            first, second = (np.broadcast_to(t, (rows, 256)) for t in (before.table, table))
            del self.ops[before.name]
            table, before = np.take_along_axis(second, first.astype(np.intp), axis=1), self.ops[before.inputs[0]]
        self.give(op, LevelTable, before, shape=before.shape, table=np.ascontiguousarray(table))


# --- with weights ---------------------------------------------------------------------------------------------------------------


def _weights(tensor):
    """The constant weights less their zero point, int8, or int16 where they need nine bits."""
    if tensor.data is None or tensor.dtype not in CENTRE:
        raise NotYet(f"its weights {tensor} are {'computed' if tensor.data is None else tensor.dtype}; expected constants of 8 bits")
    zeros = np.unique(tensor.zeros) if len(tensor.zeros) else np.zeros(1, np.int64)
    if len(zeros) > 1 or tensor.dtype == "int8" and len(tensor.scales) > 1 and zeros.any():
        raise NotYet(f"its weights {tensor} have a zero point for each channel; expected 0")
    if not -128 <= int(zeros[0]) <= 255:
        raise FormatError(f"its weights {tensor} have the zero point {int(zeros[0])}")
    w = tensor.data.astype(np.int16) - np.int16(zeros[0])
    return w.astype(np.int8) if -128 <= w.min() and w.max() <= 127 else w


def _tail(network, op, channels, channel_axis):
    """The LiteTail of an operator with inputs x, weights, bias."""
    x, w, b = (*op.inputs, None)[:3]
    source, (scale, zero) = network.before(x), network.levels(op.outputs[0])
    if len(w.scales) not in (1, channels) or len(w.scales) > 1 and w.axis != channel_axis:
        raise NotYet(f"its weights {w} have {len(w.scales)} scales along axis {w.axis}; expected one, or one for each of {channels}")
    bias = np.zeros(channels, np.int32) if b is None else b.data
    if bias is None or bias.dtype != np.int32 or bias.shape != (channels,):
        raise NotYet(f"its bias {b} is not {channels} constants of int32")
    if len(w.scales) == 1 and (op.kind == "FULLY_CONNECTED" or w.dtype == "uint8"):   # it multiplies these two in 32 bits
        ratios = [float(np.float32(source.scale) * np.float32(w.scale)) / scale] * channels
    else:
        ratios = np.broadcast_to(float(source.scale) * w.scales.astype(np.float64) / scale, channels)
    multiplier, exponent = quantise_ratios(ratios)
    low, high = network.limits(op)
    return LiteTail(bias=bias.copy(), multiplier=multiplier, exponent=exponent, zero=zero, low=low, high=high,
                    rounding=network.rounding)


def _window(network, op, size, kernel):
    """Strides, padding and dilation of a convolution on a map of `size`, a PAD before it taken in."""
    o, x = op.options, op.inputs[0]
    strides, dilation = (o["StrideH"], o["StrideW"]), (o["DilationHFactor"], o["DilationWFactor"])
    if min(*strides, *dilation) < 1:
        raise FormatError(f"it has strides {strides} and dilation {dilation}")
    added = network.padded.pop(x.index, NO_PADDING)
    size = tuple(n + sum(p) for n, p in zip(size, added, strict=True))
    own = padding_for("same" if op.same else "valid", size, kernel, strides, dilation)
    padding = tuple((int(a + c), int(b + d)) for (a, b), (c, d) in zip(added, own, strict=True))
    return {"strides": strides, "padding": padding, "dilation": dilation}


def _map(network, tensor):
    """The op that holds a tensor, a map of three axes."""
    before = network.before(tensor)
    if len(before.shape) != 3 or before.shape != tensor.shape[1:] and tensor.index not in network.padded:
        raise NotYet(f"it reads {tensor} as {tensor.shape}, which is held as {before.shape}; expected the same map")
    return before


def _conv2d(network, op):
    before, w = _map(network, op.inputs[0]), _weights(op.inputs[1])
    if w.shape[3] != before.shape[2]:
        raise NotYet(f"it has {before.shape[2] // max(w.shape[3], 1)} groups; expected one")
    network.give(op, Conv2D, before, weights=w, input_zero=before.zero, tail=_tail(network, op, len(w), 0),
                 **_window(network, op, before.shape[:2], w.shape[1:3]))


def _depthwise(network, op):
    before, w = _map(network, op.inputs[0]), _weights(op.inputs[1])
    w = np.ascontiguousarray(w[0].transpose(2, 0, 1))
    network.give(op, DepthwiseConv2D, before, weights=w, input_zero=before.zero, tail=_tail(network, op, len(w), 3),
                 **_window(network, op, before.shape[:2], w.shape[1:]))


def _dense(network, op):
    before, w = network.before(op.inputs[0]), _weights(op.inputs[1])
    if op.options["WeightsFormat"]:
        raise NotYet("its weights are shuffled; expected the default order")
    if w.shape[1] != math.prod(before.shape):
        raise NotYet(f"it takes {math.prod(before.shape) // max(w.shape[1], 1)} rows; expected one")
    network.give(op, Dense, before, shape=(len(w),), weights=w, input_zero=before.zero, tail=_tail(network, op, len(w), 0))


def _mean(network, op):
    """A depthwise convolution of ones, with 1 / n in its factor, as the reference kernel folds it."""
    x, before = op.inputs[0], _map(network, op.inputs[0])
    axes, n = sorted(int(a) % len(x.shape) for a in np.ravel(op.inputs[1].data)), math.prod(before.shape[:2])
    if axes != [1, 2]:
        raise NotYet(f"it takes the mean along the axes {axes} of {x.shape}; expected 1 and 2 of a map")
    (scale, zero), channels = network.levels(op.outputs[0]), before.shape[2]
    multiplier, exponent = quantise_ratio(before.scale / scale)
    shift = min(n.bit_length() - 1, 32, 31 + exponent)
    tail = LiteTail(bias=np.zeros(channels, np.int32), multiplier=np.full(channels, (multiplier << shift) // n, np.int32),
                    exponent=np.full(channels, exponent - shift, np.int32), zero=zero, rounding=network.rounding)
    network.give(op, DepthwiseConv2D, before, shape=(1, 1, channels), weights=np.ones((channels, *before.shape[:2]), np.int8),
                 input_zero=before.zero, tail=tail)


# --- without ---------------------------------------------------------------------------------------------------------------------


def _pool(op, before):
    o = op.options
    size, strides = (o["FilterHeight"], o["FilterWidth"]), (o["StrideH"], o["StrideW"])
    if min(*size, *strides) < 1:
        raise FormatError(f"it has a window of {size} and strides {strides}")
    padding = padding_for("same" if op.same else "valid", before.shape[:2], size, strides)
    return size, strides, tuple(tuple(int(n) for n in side) for side in padding)


def _same_levels(network, op, before):
    if network.levels(op.outputs[0]) != (before.scale, before.zero):
        raise NotYet("its result has another scale than its input")


def _max_pool(network, op):
    x, before = op.inputs[0], _map(network, op.inputs[0])
    _same_levels(network, op, before)
    size, strides, padding = _pool(op, before)
    low, high = network.limits(op)
    out = op.outputs[0]
    if isinstance(before, Convolution) and not before.pool and padding == NO_PADDING and network.private(x):
        del network.ops[before.name]
        network.put(replace(before, name=before.name, shape=out.shape[1:], pool=(*size, *strides)), out, x)
    else:
        network.give(op, MaxPool2D, before, pool_size=size, strides=strides, padding=padding)
    if (low, high) != (0, 255):
        held = network.before(out)
        network.put(LevelTable(name=f"{held.name}_limits", inputs=(held.name,), shape=held.shape, scale=held.scale, zero=held.zero,
                               table=np.clip(np.arange(256), low, high).astype(np.uint8)[None]), out)


def _resize(network, op):
    before, out = _map(network, op.inputs[0]), op.outputs[0]
    _same_levels(network, op, before)
    (h, w, _), (height, width) = before.shape, out.shape[1:3]
    if height % h or width % w or op.options["AlignCorners"]:
        raise NotYet(f"it resizes {h}x{w} to {height}x{width}; expected whole multiples, without aligned corners")
    network.give(op, UpSample2D, before, factors=(height // h, width // w))


def _concatenate(network, op):
    before, out = [network.before(t) for t in op.inputs], op.outputs[0]
    for op_ in before:
        _same_levels(network, op, op_)
    if op.activation or op.options["Axis"] % len(out.shape) != len(out.shape) - 1 or any(
            b.shape != t.shape[1:] for b, t in zip(before, op.inputs, strict=True)):
        raise NotYet(f"it joins along axis {op.options['Axis']}; expected channels, the last, of maps of one scale")
    network.give(op, LiteConcatenate, *before)


def _average_pool(network, op):
    before = _map(network, op.inputs[0])
    _same_levels(network, op, before)
    size, strides, padding = _pool(op, before)
    low, high = network.limits(op)
    network.give(op, LiteAveragePool2D, before, pool_size=size, strides=strides, padding=padding, centre=CENTRE[op.outputs[0].dtype],
                 low=low, high=high)


def _reshape(network, op):
    x, out = op.inputs[0], op.outputs[0]
    before = network.before(x)
    _same_levels(network, op, before)
    if math.prod(out.shape) != math.prod(before.shape):
        raise FormatError(f"it makes {out.shape} of {x.shape}")
    if out.shape[:1] != (1,) or len(out.shape) not in (2, 4):
        raise NotYet(f"it makes {out.shape} of {x.shape}; expected a vector or a map, the batch of 1 first")
    if len(out.shape) == 4 and out.shape[1:] != before.shape:
        network.give(op, Reshape, before)
    else:
        network.put(before, out)


def _pad(network, op):
    x, out, amounts = op.inputs[0], op.outputs[0], np.asarray(op.inputs[1].data).reshape(-1, 2)
    before = network.before(x)
    _same_levels(network, op, before)
    value = op.inputs[2] if len(op.inputs) > 2 else None
    if value is not None and int(value.data.ravel()[0]) != x.zero:
        raise NotYet("it pads with another number than 0")
    if len(amounts) != 4 or amounts[[0, 3]].any() or (amounts < 0).any() or (amounts >= 2**12).any():
        raise NotYet(f"it pads by {amounts.tolist()}; expected only rows and columns of a map")
    padding = tuple(tuple(int(n) for n in side) for side in amounts[1:3])
    if network.uses.get(out.index) == 1 and out.index in network.convolved:
        network.put(before, out)
        network.padded[out.index] = padding
    else:
        network.give(op, Pad2D, before, padding=padding)


def _two(network, op):
    """Sum, difference or product: of two results, or of one and constants, which is a table for each channel."""
    values = [t for t in op.inputs if t.data is None]
    low, high = network.limits(op)
    if len(values) == 1:
        x, = values
        constant = next(t for t in op.inputs if t is not x)
        network.table(op, x, tables.with_constant(op, x, constant, *map(network.levels, (x, constant, op.outputs[0])), (low, high),
                                                    network.rounding))
        return
    if op.kind != "ADD":
        raise NotYet("it has two results as inputs; expected a constant as one of them")
    a, b = (network.before(t) for t in op.inputs)
    if a.shape != b.shape:
        raise NotYet(f"it broadcasts {a.shape} against {b.shape}; expected equal shapes")
    network.give(op, partial(LiteAdd.between, a, b), a, b, shape=a.shape, low=low, high=high, rounding=network.rounding)


def _limit(network, op):
    """The larger or the smaller of a result and constants, one or one for each channel, on one scale."""
    x = next((t for t in op.inputs if t.data is None), None)
    if x is None or all(t.data is None for t in op.inputs):
        raise NotYet("it has two results as inputs; expected a constant as one of them")
    constant = next(t for t in op.inputs if t is not x)
    if not network.levels(x) == network.levels(constant) == network.levels(op.outputs[0]):
        raise NotYet("its inputs and its result have different scales; expected one")
    network.table(op, x, tables.limit(op, x, constant))


def _function(network, op):
    """A function of one level: a table."""
    x = op.inputs[0]
    before = network.before(x)
    network.table(op, x, tables.of_function(op, (before.scale, before.zero), network.levels(op.outputs[0]), network.rounding))


def _prelu(network, op):
    x, alpha = op.inputs[:2]
    network.table(op, x, tables.prelu(alpha, x, *map(network.levels, (x, alpha, op.outputs[0])), network.rounding))


def _quantise(network, op):
    if op.inputs[0].dtype != "float32":
        _function(network, op)


def _dequantise(network, op):
    if op.outputs[0] not in network.contents.outputs:
        raise NotYet("its floats are not the network's output")
    network.put(network.before(op.inputs[0]), op.outputs[0])


def _softmax(network, op):
    before, out = network.before(op.inputs[0]), op.outputs[0]
    if network.levels(out) != (1 / 256, 0):
        raise NotYet(f"its probabilities have scale {out.scale} and zero point {out.zero}; expected 1/256 and the least level")
    if len(out.shape) == 2 and len(before.shape) == 3:
        before = network.flat(before)
    network.give(op, LiteSoftmax, before, shape=before.shape, exponentials=exponentials(before.scale, op.options["Beta"]))


RULES = {
    **dict.fromkeys(tables.FUNCTIONS, _function),
    "CONV_2D": _conv2d, "DEPTHWISE_CONV_2D": _depthwise, "FULLY_CONNECTED": _dense, "MEAN": _mean, "MAX_POOL_2D": _max_pool,
    "AVERAGE_POOL_2D": _average_pool, "RESHAPE": _reshape, "SQUEEZE": _reshape, "EXPAND_DIMS": _reshape, "PAD": _pad, "PADV2": _pad,
    "RESIZE_NEAREST_NEIGHBOR": _resize, "CONCATENATION": _concatenate, "ADD": _two, "SUB": _two, "MUL": _two, "PRELU": _prelu,
    "MAXIMUM": _limit, "MINIMUM": _limit,
    "QUANTIZE": _quantise, "DEQUANTIZE": _dequantise, "SOFTMAX": _softmax,
}
