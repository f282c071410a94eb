"""Turn a float graph and the ranges of its tensors into an integer graph, op by op."""

import numpy as np

from tinyvgg.errors import QuantError
from tinyvgg.quant.fixedpoint import scale_and_zero
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.ops import along
from tinyvgg.quant.validate import check_graph


def per_channel_int8(op, floor):
    """Round weights (F, ...) to -127..127 by one scale a channel, at least floor (F,): return int8 weights and scales (F,)."""
    w = op.weights.astype(np.float64)
    largest = np.abs(w.reshape(len(w), -1)).max(axis=1)
    scale = np.maximum(largest / 127, floor)
    with np.errstate(invalid="ignore"):
        q = np.rint(w / along(scale, w))
    return np.clip(np.nan_to_num(q), -127, 127).astype(np.int8), scale


def lower(graph, ranges, *, quantise=per_channel_int8, softmax="integer", facts=None):
    """Return the integer Graph of a float Graph.

    ranges: {op: (low, high)} from calibrate. quantise(op, floor) -> weights (int8 or SharedWeights of int8) and scales (F,), each
    at least floor, like per_channel_int8; sharing.py makes such functions. softmax: "integer" or "float".
    """
    work = Lowering(graph, ranges, quantise, softmax)
    for op in graph.ops:
        work.done[op.name] = op.lower(work, [work.done[i] for i in op.inputs])
    result = Graph(name=graph.name, ops=tuple(work.done.values()), input_range=graph.input_range, facts=facts or {})
    check_graph(result)
    return result


class Lowering:
    """The state that ops share: the ranges, the ops lowered so far, and each tensor's residue (see ops.image.Image)."""

    def __init__(self, graph, ranges, quantise, softmax):
        self.input_range, self.ranges, self.quantise, self.softmax = graph.input_range, ranges, quantise, softmax
        self.logits, self.done, self.residue = graph.logits.name, {}, {}

    def output(self, op):
        """Scale and zero point of an op's result."""
        if op.name not in self.ranges:
            raise QuantError(f"there is no range for {op.name!r}", "calibrate the graph that is lowered")
        return scale_and_zero(*self.ranges[op.name])


def dequantize(graph):
    """Return the float Graph of an integer Graph: the same function without rounding and saturation.

    Its images are floats in the integer graph's input range.
    """
    return Graph(name=graph.name, ops=tuple(op.dequantize(graph) for op in graph.ops), input_range=graph.input_range)


def limits(graph):
    """Return {op: (low, high)}: the real values of the first and last level of each op that saturates."""
    return {name: (scale * (first - 0.5), scale * (last + 0.5)) for name, (scale, first, last) in levels(graph).items()}


def levels(graph):
    """Return {op: (scale, first, last)} of each op that saturates: its real values are scale times the whole numbers from first to
    last."""
    ends = {op.name: np.iinfo(op.dtype) for op in graph.ops if op.rounds}
    return {op.name: (op.scale, int(ends[op.name].min) - op.zero, int(ends[op.name].max) - op.zero) for op in graph.ops if op.rounds}


def real_values(graph, traced, x):
    """Return {op: scale * (q - zero)} as float32 for a trace's integers, and the images x under "", in the form for
    simulate.pull."""
    values = {op.name: (np.float32(op.scale) * (traced[op.name].astype(np.float32) - np.float32(op.zero))) for op in graph.ops
              if not op.probabilities}
    return {**values, "": x}
