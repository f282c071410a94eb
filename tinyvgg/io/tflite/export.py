"""Write an integer graph as a .tflite file that TensorFlow Lite runs, with the same scales and TensorFlow Lite's rounding.
Operations that TensorFlow Lite lacks are replaced. A batch-norm after a ReLU is merged into the convolution, and the ReLU becomes
MAXIMUM (MINIMUM for a negative gain) with a level for each channel. A batch-norm after a leaky ReLU becomes a depthwise 1x1
convolution. A mean with its own scale becomes a depthwise convolution of ones. A dense layer, whose weights have a scale for each
channel here, becomes a 1x1 convolution. Logits keep their 16 bits (then the last layer reads 16 bits, and a softmax after it uses
floats), or become 8 bits.
"""
import math

import numpy as np

from tinyvgg.errors import NotYet, OptionError
from tinyvgg.io.tflite.read import Contents, Operator
from tinyvgg.io.tflite.write import tensor, write
from tinyvgg.nn.layers._spatial import padding_for
from tinyvgg.quant.fixedpoint import multiply_high_rounded, saturate
from tinyvgg.quant.ops.add import Add
from tinyvgg.quant.ops.average_pool2d import AveragePool2D
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.dense import LOGIT_HEADROOM, Dense
from tinyvgg.quant.ops.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.quant.ops.image import Image
from tinyvgg.quant.ops.max_pool2d import MaxPool2D
from tinyvgg.quant.ops.requantise import dequantized
from tinyvgg.quant.ops.softmax import Softmax
from tinyvgg.quant.ops.up_sample2d import UpSample2D
from tinyvgg.quant.ops.weights import weights_of

NONE, RELU = 0, 1
SPARE = 1.1                 # logits of 8 bits reach so much further than the largest seen in calibration
NO_PADDING = ((0, 0), (0, 0))


def export(model, path, *, logits=16):
    """Write an integer model to `path`; NotYet names an op that TensorFlow Lite cannot represent. logits: 16 bits, as in this
    library, or 8: then labels agree less often, but programs that support only 8 bits can use the file.
    """
    if logits not in (8, 16):
        raise OptionError(f"logits are written in 8 or 16 bits; got {logits!r}", "logits=16")
    graph = getattr(model, "graph", None)
    if graph is None or not graph.integer:
        raise NotYet(f"{type(model).__name__} is not an integer model; only int8 graphs are written as .tflite",
                     "tinyvgg compress MODEL --scheme int8 --data DATA --out MODEL.tvq")
    file = _File(graph, logits)
    for op in graph.ops:
        rule = RULES.get(type(op))
        if rule is None or getattr(op, "lite", False):
            what = "came from a .tflite" if type(op) not in RULES or getattr(op, "lite", False) else ""
            raise NotYet(f"{type(op).__name__} ({op.name!r}) has no operator in the .tflite that is written"
                         + (" (a graph that came from a .tflite stays that file)" if what else ""))
        rule(file, op)
    write(path, file.contents())


class _File:
    """Tensors and operators so far; `held`: the tensor of each op's result."""

    def __init__(self, graph, logits):
        self.logits, self.graph, self.tensors, self.operators, self.held = logits, graph, [], [], {}

    def contents(self):
        return Contents(self.graph.name, tuple(self.tensors), tuple(self.operators), (self.tensors[0],),
                        (self.held[self.graph.ops[-1].name],))

    def values(self, name, shape, scale, zero, dtype="int8"):
        """A tensor of int8, or of int16, whose zero point is 0; zero: 0..255, of int16 0."""
        zero = zero - 128 if dtype == "int8" else 0
        self.tensors.append(tensor(len(self.tensors), name, (1, *shape), dtype, scale=scale, zero=zero))
        return self.tensors[-1]

    def floats(self, name, shape):
        """A tensor of floats."""
        self.tensors.append(tensor(len(self.tensors), name, (1, *shape), "float32"))
        return self.tensors[-1]

    def like(self, x, name, shape):
        """A tensor of x's numbers in another shape."""
        return self.values(name, shape, x.scale, x.zero + 128, x.dtype)

    def widened(self, x, name):
        """The same real values in 16 bits, by way of floats: TensorFlow Lite's QUANTIZE makes no int16 of int8."""
        floats = self.add("DEQUANTIZE", [x], self.floats(f"{name}/floats", x.shape[1:]))
        return self.add("QUANTIZE", [floats], self.values(name, x.shape[1:], x.scale, 0, "int16"))

    def constant(self, name, data, **levels):
        self.tensors.append(tensor(len(self.tensors), name, data.shape, data.dtype.name, data=data, **levels))
        return self.tensors[-1]

    def add(self, kind, inputs, result, **options):
        self.operators.append(Operator(kind, tuple(inputs), (result,), options))
        return result

    def before(self, op):
        return self.held[op.inputs[0]]

    def shaped(self, x, shape, name):
        """The same values in another shape."""
        if x.shape[1:] == tuple(shape):
            return x
        target = self.constant(f"{name}/shape", np.array([1, *shape], np.int32))
        return self.add("RESHAPE", [x, target], self.like(x, name, shape))

    def convolution(self, kind, x, name, shape, weights, scales, bias, levels, geometry=None, side=0):
        """A convolution: weights int8 as TensorFlow Lite lays them out, their scales (F,), bias real (F,); its result has x's dtype and
        levels (scale, zero).

        side: 1 where all results of a channel are above zero, -1 where below, 0 where either. The first of the two roundings lets a
        result that is not yet half a level away from zero pass for a half, by half a unit of what it gives: the bias takes that back.
        """
        geometry = {"strides": (1, 1), "padding": NO_PADDING, "dilation": (1, 1), "kernel": (1, 1)} | (geometry or {})
        size = x.shape[1:3]
        same = padding_for("same", size, geometry["kernel"], geometry["strides"], geometry["dilation"])
        padding = tuple(map(tuple, geometry["padding"]))
        if padding not in (NO_PADDING, same):
            x = self.padded(x, padding, f"{name}/padded")
        axis = 0 if kind == "CONV_2D" else 3
        w = self.constant(f"{name}/weights", weights, scale=scales, zero=np.zeros(len(scales)), axis=axis)
        unit = x.scale * scales.astype(np.float64)
        part, exponent = np.frexp(unit / levels[0])
        early = np.where(exponent < 0, side * 0.5 / part, 0)
        whole = np.clip(np.rint(bias / unit - early), -(2**30), 2**30).astype(np.int32 if x.dtype == "int8" else np.int64)
        b = self.constant(f"{name}/bias", whole, scale=unit, zero=np.zeros(len(scales)), axis=0)
        (sh, sw), (dh, dw) = geometry["strides"], geometry["dilation"]
        more = {"DepthMultiplier": weights.shape[3] // x.shape[3]} if kind == "DEPTHWISE_CONV_2D" else {}
        return self.add(kind, [x, w, b], self.values(name, shape, *levels, x.dtype), Padding=0 if padding == same and padding != NO_PADDING else 1,
                        StrideH=sh, StrideW=sw, DilationHFactor=dh, DilationWFactor=dw, FusedActivationFunction=NONE, **more)

    def padded(self, x, padding, name):
        (top, bottom), (left, right) = padding
        _, h, w, c = x.shape
        amounts = self.constant(f"{name}/amounts", np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
        return self.add("PAD", [x, amounts], self.like(x, name, (h + top + bottom, w + left + right, c)))

    def max_pool(self, op, x, window, levels, padding=NO_PADDING):
        """A max-pool as the last operator of an op, in (scale, zero); window: (height, width, row stride, column stride)."""
        ph, pw, sh, sw = window
        return self.add("MAX_POOL_2D", [x], self.values(op.name, _map(op), *levels), Padding=0 if padding != NO_PADDING else 1,
                        StrideH=sh, StrideW=sw, FilterHeight=ph, FilterWidth=pw, FusedActivationFunction=NONE)


def _map(op):
    """The shape of an op's result as a map; of a vector, a map of one pixel."""
    return op.shape if len(op.shape) == 3 else (1, 1, *op.shape)


def _image(file, op):
    file.held[op.name] = file.values(op.name, op.shape, op.scale, op.zero)


def _weighted(file, op):
    x = file.before(op)
    if len(op.weights.shape) == 2:
        x = file.shaped(x, (1, 1, op.weights.shape[1]), f"{op.name}/flat")
    elif len(x.shape) == 2:
        x = file.shaped(x, (1, 1, x.shape[1]), f"{op.name}/map")
    if op.dtype == "int16" and file.logits == 16:
        x = file.widened(x, f"{op.name}/wide")
    shape = (*getattr(op, "size", (1, 1)), op.weights.shape[0])
    kind = "DEPTHWISE_CONV_2D" if isinstance(op, DepthwiseConv2D) else "CONV_2D"
    rule = _leaky if op.tail.activation == "leaky" else _bounded
    file.held[op.name] = _pooled(file, op, rule(file, op, kind, x, shape))


def _bounded(file, op, kind, x, shape):
    """Every activation but the leaky one: gain and shift go into the convolution, whose result then stays between two levels.

    gain * min(max(v, 0), high) + shift lies between shift and gain * high + shift, a level of each channel: MAXIMUM and MINIMUM.
    So nothing is rounded a second time.
    """
    tail, (scale, zero), multiplier = op.tail, _levels(file, op), op.tail.multiplier.astype(np.float64)
    sign, levels = np.sign(multiplier), np.abs(multiplier) / 2.0 ** (32 - tail.shift)          # levels of op for one unit of acc
    moved = (tail.offset - op.zero * 2.0**32 / multiplier) / 2.0**tail.shift + tail.bias
    weights, geometry = _laid_out(op, sign)
    (low, high), unit = _ends(op), op.scale * levels
    limits = {operator: ends for operator, ends, outermost in (("MAXIMUM", low, 0), ("MINIMUM", high, 255)) if (ends != outermost).any()}
    y = file.convolution(kind, x, f"{op.name}/sums" if limits or op.pool else op.name, shape, weights, _sound(unit / x.scale),
                         sign * moved * unit, (scale, zero), geometry=geometry, side=(low >= zero).astype(int) - (high <= zero))
    for operator, ends in limits.items():
        name = f"{op.name}/{operator.lower()}" if op.pool or operator != list(limits)[-1] else op.name
        constant = file.constant(f"{op.name}/{operator.lower()}_of", (ends - 128).astype(np.int8).reshape(1, 1, 1, -1), scale=scale,
                                 zero=zero - 128)
        y = file.add(operator, [y, constant], file.values(name, shape, scale, zero))
    return y


def _ends(op):
    """The lowest and the highest level (F,) that the activation leaves each channel."""
    tail, channels = op.tail, len(op.tail.multiplier)
    ends = [np.zeros(channels, int), np.full(channels, 255)]
    if op.dtype != "uint8":
        return ends
    for v, which in ((0, 0), (tail.high, 1)) if tail.activation == "clamp" else ((0, 0),) if tail.activation == "relu" else ():
        level = saturate(multiply_high_rounded(tail.offset + np.int32(v), tail.multiplier)).astype(int)
        for falls in (False, True):
            chosen = (tail.multiplier < 0) == falls
            ends[which ^ falls] = np.where(chosen, level, ends[which ^ falls])
    return ends


def _leaky(file, op, kind, x, shape):
    """LEAKY_RELU in levels of each channel's own range, then gain and shift by channel as a depthwise convolution."""
    (scale, zero), slope, multiplier = _levels(file, op), op.tail.slope / 2.0**31, op.tail.multiplier.astype(np.float64)
    unit = op.scale * np.abs(multiplier) / 2.0**32 * 2.0**op.tail.shift     # real value of acc's 1
    weights, geometry = _laid_out(op, np.ones(len(multiplier)))
    _, tail = dequantized(op, x.scale)
    gain, shift = np.sign(multiplier), tail.shift.astype(np.float64)
    ends = (scale * np.array([0 - zero, 255 - zero])[:, None] - shift) / np.where(gain == 0, 1, gain)      # of what the gain meets
    low = np.minimum(ends.min(axis=0), 0) / max(slope, 1e-3)        # before it the values below 0 lie that much lower
    reach = np.maximum(np.maximum(ends.max(axis=0), 1e-9), -low)
    first = float((low / reach).min())                   # of the levels, where each channel reaches at most 1
    last = float((np.maximum(ends.max(axis=0), 0) / reach).max())
    own = ((last - first) / 255, round(-first / (last - first) * 255))
    y = file.convolution(kind, x, f"{op.name}/sums", shape, weights, _sound(unit / x.scale / reach), unit * op.tail.bias / reach, own,
                         geometry=geometry)
    y = file.add("LEAKY_RELU", [y], file.values(f"{op.name}/leaky", shape, *own), Alpha=slope)
    ones = np.where(gain < 0, -127, 127).astype(np.int8)[None, None, None]
    return file.convolution("DEPTHWISE_CONV_2D", y, f"{op.name}/gain" if op.pool else op.name, shape, ones,
                            _sound(reach * np.abs(gain) / 127), shift, levels=(scale, zero))


def _sound(scales):
    """Scales of float32 that are not 0: of a channel that is constant any will do."""
    return np.where(scales > 1e-30, scales, 1e-12).astype(np.float32)


def _levels(file, op):
    """(scale, zero) of an op's result: zero among 0..255, and 0 of logits of 16 bits."""
    if op.dtype == "uint8" or file.logits == 16:
        return op.scale, op.zero
    return op.scale * 32767 / LOGIT_HEADROOM * SPARE / 127, 128


def _laid_out(op, sign):
    """Weights as TensorFlow Lite has them, each filter by its sign, and the window."""
    w = weights_of(op)
    w = (w.astype(np.int16) * sign.astype(np.int16).reshape(-1, *[1] * (w.ndim - 1))).clip(-128, 127).astype(np.int8)
    if isinstance(op, Dense):
        return w[:, None, None, :], {}
    geometry = {"strides": op.strides, "padding": op.padding, "dilation": op.dilation, "kernel": w.shape[1:3]}
    return (w if isinstance(op, Conv2D) else np.ascontiguousarray(w.transpose(1, 2, 0)[None])), geometry


def _pooled(file, op, y):
    """The fused max-pool, and a vector where the op's result is one."""
    if op.pool:
        y = file.max_pool(op, y, op.pool, (y.scale, y.zero + 128))
    return file.shaped(y, op.shape, f"{op.name}/vector")


def _max_pool(file, op):
    x, name = file.before(op), op.name
    same = padding_for("same", x.shape[1:3], op.pool_size, op.strides)
    if op.padding not in (NO_PADDING, same):
        raise NotYet(f"MaxPool2D ({name!r}) has the padding {op.padding}; TensorFlow Lite has none and \"same\"")
    y = file.max_pool(op, x, (*op.pool_size, *op.strides), (op.scale, op.zero), op.padding)
    file.held[name] = file.shaped(y, op.shape, f"{name}/vector")


def _average_pool(file, op):
    x, n = file.before(op), math.prod(op.pool_size)
    channels = x.shape[3]
    y = file.convolution("DEPTHWISE_CONV_2D", x, op.name, _map(op), np.ones((1, *op.pool_size, channels), np.int8),
                         np.full(channels, 1 / n, np.float32), np.zeros(channels), (op.scale, op.zero),
                         geometry={"strides": op.strides, "kernel": op.pool_size}, side=int(op.zero == 0))
    file.held[op.name] = file.shaped(y, op.shape, f"{op.name}/vector")


def _add(file, op):
    inputs = [file.held[i] for i in op.inputs]
    y = inputs[0]
    for k, x in enumerate(inputs[1:], 1):
        last = k == len(inputs) - 1
        y = file.add("ADD", [y, x], file.values(op.name if last else f"{op.name}/sum{k}", op.shape, op.scale, op.zero),
                     FusedActivationFunction=RELU if last and op.zero == 0 else NONE)
    file.held[op.name] = y


def _up_sample(file, op):
    size = file.constant(f"{op.name}/size", np.array(op.shape[:2], np.int32))
    file.held[op.name] = file.add("RESIZE_NEAREST_NEIGHBOR", [file.before(op), size],
                                  file.values(op.name, op.shape, op.scale, op.zero), AlignCorners=False, HalfPixelCenters=False)


def _softmax(file, op):
    x = file.before(op)
    if x.dtype == "int16":
        floats = file.add("DEQUANTIZE", [x], file.floats(f"{op.name}/floats", op.shape))
        file.held[op.name] = file.add("SOFTMAX", [floats], file.floats(op.name, op.shape), Beta=1.0)
        return
    file.held[op.name] = file.add("SOFTMAX", [x], file.values(op.name, op.shape, 1 / 256, 0), Beta=1.0)


RULES = {Image: _image, Conv2D: _weighted, DepthwiseConv2D: _weighted, Dense: _weighted, MaxPool2D: _max_pool,
         AveragePool2D: _average_pool, Add: _add, UpSample2D: _up_sample, Softmax: _softmax}
