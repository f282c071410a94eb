"""Two corrections of a float graph before it is lowered (Nagel et al., 2019, arXiv:1906.04721).

Cross-layer equalisation: an activation tensor has one scale, so a channel of small range gets few levels. Dividing channel c of a
result by s_c and multiplying the weights that read it by s_c changes nothing in real numbers; s_c = sqrt(range of the channel /
largest weight that reads it), both relative to their layer's largest, balances the two.

Bias correction: rounding the weights changes the mean of each accumulator by sum (w - rounded w) * mean of its input; the bias
compensates for it.
"""

from dataclasses import replace

import numpy as np

from tinyvgg.quant.calibrate import as_float_images, observed
from tinyvgg.quant.ops import Weighted, along
from tinyvgg.quant.ops.base import Keeps
from tinyvgg.quant.ops.weights import expanded

LARGEST_FACTOR = 8.0  # a channel is not stretched further: its rare large values must still fit


def equalize(graph, x):
    """Return the float Graph with channels of activations balanced against the weights that read them. x: calibration images."""
    ranges = _channel_ranges(graph, as_float_images(x, graph))
    ops = {op.name: op for op in graph.ops}
    for name in [op.name for op in graph.ops]:
        op, reader = ops[name], _only_reader(graph, name)
        if not isinstance(op, Weighted) or reader is None or not ops[reader].mixes_channels:
            continue
        channels = len(op.weights)
        largest = _reading(ops[reader].weights, channels)
        s = _factors(ranges[name], largest)
        ops[name], ops[reader] = _divide_output(op, s), _multiply_input(ops[reader], s)
    return replace(graph, ops=tuple(ops.values()))


def _channel_ranges(graph, x):
    """{op: largest magnitude of each channel (C,)}"""
    found = {}
    for values in observed(graph, x):
        for name, v in values.items():
            peak = np.abs(v.reshape(-1, v.shape[-1])).max(axis=0)
            found[name] = np.maximum(found.get(name, 0), peak)
    return found


def _only_reader(graph, name):
    """Return the only op that reads `name`, directly or through ops that keep its values, or None."""
    readers = [op for op in graph.ops if name in op.inputs]
    if len(readers) != 1:
        return None
    return _only_reader(graph, readers[0].name) if isinstance(readers[0], Keeps) else readers[0].name


def _reading(weights, channels):
    """Return the largest weight (C,) that reads each of `channels` input channels; a dense layer reads the channels in turn."""
    return np.abs(weights.reshape(-1, channels)).max(axis=0)


def _factors(activation, weight):
    """Return s (C,), the divisor of each channel."""
    a, w = activation / max(activation.max(), 1e-30), weight / max(weight.max(), 1e-30)
    s = np.sqrt(np.maximum(a, 1e-6) / np.maximum(w, 1e-6))
    s = np.where((a > 0) & (w > 0), s, 1.0)
    return np.clip(s / np.exp(np.log(s).mean()), 1 / LARGEST_FACTOR, LARGEST_FACTOR)


def _divide_output(op, s):
    """Return op with each channel of its result divided by s: in the gain, or in weights and bias if there is no gain
    and no clamp."""
    tail = op.tail
    if tail.gain is None and tail.activation != "clamp":
        weights = op.weights / along(s, op.weights)
        return replace(op, weights=weights.astype(np.float32), tail=replace(tail, bias=(tail.bias / s).astype(np.float32)))
    gain, shift = (np.ones(len(s)), np.zeros(len(s))) if tail.gain is None else (tail.gain, tail.shift)
    return replace(op, tail=replace(tail, gain=(gain / s).astype(np.float32), shift=(shift / s).astype(np.float32)))


def _multiply_input(op, s):
    repeated = np.tile(s, op.weights.shape[-1] // len(s))
    return replace(op, weights=(op.weights * repeated).astype(np.float32))


def correct_biases(graph, x, quantise):
    """Return the float Graph with biases that compensate for the mean error of weights rounded by `quantise` (see
    lower.lower)."""
    means = _mean_inputs(graph, as_float_images(x, graph))
    ops = []
    for op in graph.ops:
        if isinstance(op, Weighted):
            q, scale = quantise(op, np.full(len(op.weights), 1e-30))
            q = expanded(q)
            error = op.weights - q * along(scale, q)
            op = replace(op, tail=replace(op.tail, bias=(op.tail.bias + op.mean_sum(error, means[op.name])).astype(np.float32)))
        ops.append(op)
    return replace(graph, ops=tuple(ops))


def _mean_inputs(graph, x):
    """{op: mean of its input, (C,) for convolutions, (I,) for dense layers}"""
    sums, count = {}, 0
    for values in observed(graph, x):
        count += len(next(iter(values.values())))
        for op in graph.ops:
            if isinstance(op, Weighted):
                v = op.mean_input(values[op.inputs[0]])
                sums[op.name] = sums.get(op.name, 0) + v.sum(axis=0, dtype=np.float64)
    return {name: s / count for name, s in sums.items()}
