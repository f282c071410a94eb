"""Fine-tuning's passes on the fused kernels beside the definition of each op, and rounding to levels beside NumPy's."""
import random

import numpy as np
import pytest

from tests.quant.networks import small
from tinyvgg import kernels
from tinyvgg.errors import NotYet
from tinyvgg.kernels.fast import levels
from tinyvgg.kernels.fast.arena import Arena
from tinyvgg.kernels.fast.program import Program
from tinyvgg.kernels.fast.simd import WIDTH
from tinyvgg.kernels.fast.threads import pool
from tinyvgg.quant.calibrate import as_float_images, calibrate
from tinyvgg.quant.fast.learn import Network
from tinyvgg.quant.finetune import ByDefinition, finetune, levels_of, start_codebooks
from tinyvgg.quant.fixedpoint import scale_and_zero
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.kmeans1d import nearest
from tinyvgg.quant.sharing import sharer
from tinyvgg.testing.networks import random_network


def passes(network, x, dlogits):
    logits = network.forward(x)
    return logits, network.gradients(dlogits)


def close(found, expected, bound, beside=0.0):
    """`beside`: the largest of what a sum that cancels out was made from."""
    assert np.abs(found - expected).max() <= bound * (np.abs(expected).max() + 1e-2 * beside) + 1e-12


def test_random_graphs_are_those_of_the_definition():
    """Answers and all gradients of a float graph, every op of the integer model among them."""
    told, seen = "", 0
    for seed in (*range(24), 48):                   # 48: a pool that leaves out a column of a 1x1 convolution
        model = random_network(random.Random(seed), integer=True, widest=9)
        try:
            graph = fuse(model)
        except NotYet:
            continue
        generator = np.random.default_rng(seed)
        x = generator.uniform(*graph.input_range, (4, *graph.input_shape)).astype(np.float32)
        network, definition = Network(graph), ByDefinition(graph)
        expected = definition.forward(x)
        dlogits = generator.standard_normal(expected.shape).astype(np.float32)
        with kernels.use("reference"):
            expected, gradients = passes(definition, x, dlogits)
        logits, found = passes(network, x, dlogits)
        close(logits, expected, 1e-5)
        close(network.logits(x), expected, 1e-5)
        assert found.keys() == gradients.keys()
        largest = max(np.abs(g).max() for g in gradients.values())
        for key in gradients:
            close(found[key], gradients[key], 2e-4, largest)
        told, seen = told + network.describe(), seen + 1
    assert seen > 12 and all(word in told for word in ("direct", "Winograd", "depthwise", "dense", "by itself, slow"))


def test_rounded_passes_are_those_of_the_definition():
    model = small()
    generator = np.random.default_rng(5)
    x = generator.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    graph = fuse(model)
    images = as_float_images(x, graph)
    ranges = {name: (0.8 * low, 0.8 * high) for name, (low, high) in calibrate(graph, x).items()}     # so that some are saturated
    rounded = {op.name: levels_of(*scale_and_zero(*ranges[op.name])) for op in graph.ops if op.rounds and op is not graph.logits}
    dlogits = generator.standard_normal((8, 4)).astype(np.float32)
    expected, gradients = passes(ByDefinition(graph, rounded), images, dlogits)
    logits, found = passes(Network(graph, rounded), images, dlogits)
    close(logits, expected, 2e-3)                   # a sum between two levels may go to either
    for key in gradients:
        close(found[key], gradients[key], 2e-2)
    unrounded = Network(graph).forward(images)
    assert np.abs(unrounded - expected).max() > 20 * np.abs(logits - expected).max()


def test_levels():
    """Halves go to the even level, what lies beyond is saturated and passes no gradient, NaN stays."""
    scale, zero = 0.25, 3
    x = np.array([0, 0.1, 0.125, 0.375, -0.125, -0.75, -0.874, -0.876, -9, 63, 63.124, 63.126, 1e9, -1e9, np.nan, 2], np.float32)
    x = np.tile(x, WIDTH)
    arena = Arena(5 * len(x))
    source, target, dy, dx = (arena.images(1, 1, 1, len(x)) for _ in range(4))
    arena.view(source, 1)[:], arena.view(dy, 1)[:] = x, 1.0
    program = Program()
    step = {"x": source, "leak": scale, "threshold": -zero, "ceiling": 255 - zero}
    program.add(levels.forward, "there", y=target, **step)
    program.add(levels.backward, "back", g=dy, dx=dx, **step)
    program.run(pool(), 1)
    expected = (np.clip(np.rint(x / scale), -zero, 255 - zero) * scale).astype(np.float32)
    assert np.array_equal(arena.view(target, 1).ravel(), expected, equal_nan=True)
    inside = (x >= scale * (-zero - 0.5)) & (x <= scale * (255.5 - zero))
    assert np.array_equal(arena.view(dx, 1).ravel(), inside.astype(np.float32))


def test_both_ways_learn_the_same():
    """One epoch by the fused kernels and one by the definition end in almost the same arrays and entries."""
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 256, (48, 8, 8, 3), dtype=np.uint8), generator.integers(0, 4, 48)
    graph = fuse(small())
    ranges, results = calibrate(graph, x), {}
    for name in ("fast", "reference"):
        with kernels.use(name):
            books = start_codebooks(graph, sharer(3))
            results[name] = finetune(graph, ranges, x, y, books=books, batch_size=16, learning_rate=1e-3)
    fast, slow = results["fast"], results["reference"]
    for op, twin in zip(fast[0].ops, slow[0].ops, strict=True):
        if hasattr(op, "weights"):
            moved = np.abs(twin.weights - graph[op.name].weights).mean()
            assert moved > 0 and np.abs(op.weights - twin.weights).mean() < 0.1 * moved, op.name
    assert all(np.abs(fast[1][n][0].astype(int) - slow[1][n][0]).max() <= 2 for n in slow[1])


@pytest.mark.parametrize("entries", [1, 2, 16, 17, 40])
def test_nearest_is_searchsorted(entries):
    generator = np.random.default_rng(entries)
    book = np.sort(generator.choice(np.arange(-127, 128), entries, replace=False))
    values = np.concatenate([generator.uniform(-140, 140, 500), (book[1:] + book[:-1]) / 2, [np.nan, np.inf, -np.inf]])
    assert np.array_equal(nearest(values, book), np.searchsorted((book[1:] + book[:-1]) / 2, values))
