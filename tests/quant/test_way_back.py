"""The gradient through the fast integers, beside the same rule in NumPy's float64: gates and places by the integers' own sums."""
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from tests.quant.networks import small
from tests.quant.test_fast import random_pair
from tinyvgg import kernels
from tinyvgg.errors import ShapeError
from tinyvgg.kernels import reference
from tinyvgg.quant import quantize
from tinyvgg.quant.fast.back import WayBack
from tinyvgg.quant.fast.plan import Plan
from tinyvgg.quant.fixedpoint import multiply_high_rounded
from tinyvgg.quant.lower import dequantize, limits
from tinyvgg.quant.ops.average_pool2d import AveragePool2D
from tinyvgg.quant.ops.base import images
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.dense import Dense
from tinyvgg.quant.ops.weighted import Weighted
from tinyvgg.quant.ops.weights import weights_of
from tinyvgg.quant.simulate import run
from tinyvgg.quant.straight import straight_through


def by_hand(graph, x, g):
    """d sum(g logits) / dx, where each op of weights passes a gradient where its integers say so."""
    values, floats, bounds = run(graph, x, keep=True), dequantize(graph), limits(graph)
    sums = {graph.logits.name: np.asarray(g, np.float64)}
    for op in reversed(graph.ops[1:graph.ops.index(graph.logits) + 1]):
        dy, inputs = sums[op.name].reshape(len(x), *op.shape), [values[i] for i in op.inputs]
        if isinstance(op, Weighted):
            dxs = [through_sums(op, graph[op.inputs[0]].scale, inputs[0], dy)]
        else:
            if isinstance(op, AveragePool2D):
                dy = dy * not_saturated(op, inputs[0])
            real = [graph[i].scale * (v.astype(np.float64) - graph[i].zero) for i, v in zip(op.inputs, inputs, strict=True)]
            with kernels.use("reference"):
                dxs, _ = floats[op.name].backward(dy, *real, parameters=False, limits=None if isinstance(op, AveragePool2D) else bounds.get(op.name))
        for i, dx in zip(op.inputs, dxs, strict=True):
            sums[i] = sums.get(i, 0) + dx.reshape(len(x), *graph[i].shape)
    return sums[graph.ops[0].name] * floats.ops[0].gain


def not_saturated(op, x):
    """Where the mean of integers stays within 0..255 by itself."""
    (ph, pw), (sh, sw) = op.pool_size, op.strides
    total = sliding_window_view(x, (ph, pw), axis=(1, 2))[:, ::sh, ::sw].sum(axis=(-2, -1), dtype=np.int64)
    level = multiply_high_rounded((total << op.shift) + op.offset, op.multiplier)
    return ((level >= 0) & (level <= 255)).reshape(len(x), *op.shape)


def through_sums(op, scale, x, dy):
    tail, pool = op.tail, getattr(op, "pool", None) or (1, 1, 1, 1)
    acc = np.concatenate([np.asarray(acc).astype(np.int64) for _, acc in op.accumulate(x)])
    acc = images(acc)
    v = (acc + tail.bias) << tail.shift
    passes = {"relu": v > 0, "clamp": (v > 0) & (v < (tail.bias if tail.high is None else tail.high))}.get(tail.activation, v == v)
    bent = {"relu": np.maximum(v, 0), "clamp": np.clip(v, 0, tail.high),
            "leaky": np.where(v < 0, multiply_high_rounded(v << 1, tail.slope), v)}.get(tail.activation, v)
    level = multiply_high_rounded(bent + tail.offset, tail.multiplier)
    low, high = (-32768, 32767) if op.dtype == "int16" else (0, 255)
    slope = np.where(v < 0, tail.slope / 2**31, 1.0) if tail.activation == "leaky" else 1.0
    pull = passes & (level >= low) & (level <= high)
    dacc, dy = np.zeros(acc.shape), images(dy)
    order = np.where(tail.multiplier < 0, -acc, acc)
    ph, pw, sh, sw = pool
    for n, i, j, f in np.ndindex(dy.shape):
        window = order[n, i * sh:i * sh + ph, j * sw:j * sw + pw, f]
        p, q = np.unravel_index(window.argmax(), window.shape)
        dacc[n, i * sh + p, j * sw + q, f] += dy[n, i, j, f]
    dacc *= pull * slope * (op.scale * tail.multiplier * 2.0 ** (tail.shift - 32) / scale)
    w = weights_of(op).astype(np.float64)
    if isinstance(op, Dense):
        return dacc.reshape(len(x), -1) @ w
    x = images(x).astype(np.float64)
    if isinstance(op, Conv2D):
        return reference.conv2d_backward(dacc, x, w.transpose(1, 2, 3, 0), **op.geometry)[0]
    kernel = w.transpose(1, 2, 0).reshape(*w.shape[1:], x.shape[-1], -1)
    return reference.depthwise_conv2d_backward(dacc, x, kernel, **op.geometry)[0]


def test_random_graphs():
    told = ""
    for seed in range(14):
        graph, x = random_pair(seed)
        g = np.random.default_rng(seed).standard_normal((len(x), graph.logits.shape[-1])).astype(np.float32)
        way = WayBack(graph)
        expected, got = by_hand(graph, x, g), way.vjp(x, g)
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= 2e-5 * np.abs(expected).max() + 1e-30, (seed, way.describe())
        told += way.describe()
    assert "fused" in told and "by its definition" in told


@pytest.fixture(scope="module")
def model():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    return quantize(small(), images)


def test_answers_and_gradients_of_one_pass(model):
    """A function of the logits sees the integers' logits, in batches too, and the gradient follows what it returns."""
    x = np.random.default_rng(1).integers(0, 256, (70, 8, 8, 3), dtype=np.uint8)
    twin, seen = straight_through(model), []

    def direction(logits):
        seen.append(logits)
        return logits * 2
    dx = twin.vjp(x, direction)
    assert len(seen) == 1 and np.array_equal(seen[0], model.logits(x))
    assert np.array_equal(dx, twin.vjp(x, model.logits(x) * 2)) and np.abs(dx).max() > 0
    assert np.array_equal(dx[:3], twin.vjp((x[:3] / 255).astype(np.float32), direction))
    assert twin.vjp(x[:0], direction).shape == (0, 8, 8, 3)
    with pytest.raises(ShapeError, match="shape"):
        twin.vjp(x, np.zeros((70, 5)))


def test_codes_do_not_change_the_integers():
    for seed in (1, 4, 7):
        graph, x = random_pair(seed)
        kept = Plan(graph, keeps=True)
        assert np.array_equal(kept.infer(x), run(graph, x))
