"""The float graph's gradients against differences, the dequantised graph against the integers, the straight-through gradient."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings

from tests.quant.networks import models, randomise, small
from tinyvgg.errors import ShapeError
from tinyvgg.quant import quantize
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.lower import dequantize, limits, real_values
from tinyvgg.quant.simulate import pull, run
from tinyvgg.quant.straight import straight_through
from tinyvgg.testing import check_gradient


@settings(max_examples=25, deadline=None)
@given(models())
def test_gradient_by_the_image(model):
    graph = fuse(model)
    x = np.random.default_rng(3).uniform(*model.input_range, (2, *model.input_shape))
    moved = x + 1e-3 * np.random.default_rng(4).standard_normal(x.shape)
    assume(np.abs(run(graph, moved) - run(graph, x)).max() > 1e-7)  # else rounding hides the difference

    def vjp(dy):
        return pull(graph, {**run(graph, x, keep=True), "": x}, dy, parameters=False)[0]

    check_gradient(lambda v: run(graph, v), vjp, x, np.random.default_rng(4), tolerance=2e-4)


@pytest.mark.parametrize("array", ["weights", "bias", "gain", "shift"])
def test_gradient_by_the_arrays(array):
    graph = fuse(randomise(small(), np.random.default_rng(0)))
    x = np.random.default_rng(3).uniform(0, 1, (2, 8, 8, 3))
    op = graph.ops[2]
    op = dataclasses.replace(op, tail=dataclasses.replace(op.tail, gain=np.where(np.abs(op.tail.gain) < 0.1, 0.5, op.tail.gain)))
    graph = Graph(name="", ops=(*graph.ops[:2], op, *graph.ops[3:]))
    start = (op.weights if array == "weights" else getattr(op.tail, array)).astype(np.float64)

    def replaced(v):
        tail = op.tail if array == "weights" else dataclasses.replace(op.tail, **{array: v})
        new = dataclasses.replace(op, tail=tail, weights=v if array == "weights" else op.weights)
        return Graph(name="", ops=tuple(new if o is op else o for o in graph.ops))

    def vjp(dy):
        return pull(graph, {**run(graph, x, keep=True), "": x}, dy)[1][op.name, array]

    check_gradient(lambda v: run(replaced(v), x), vjp, start, np.random.default_rng(4), tolerance=1e-4)


@settings(max_examples=25, deadline=None)
@given(models())
def test_dequantised_graph_is_the_integers_without_rounding(model):
    """Op by op, from the same real inputs: half a level from the integers, plus the error of an offset."""
    images = np.random.default_rng(5).integers(0, 256, (3, *model.input_shape), dtype=np.uint8)
    q = quantize(model, images)
    low, high = model.input_range
    values = real_values(q.graph, q.trace(images), (images / 255 * (high - low) + low).astype(np.float32))
    bounds = limits(q.graph)
    for op in dequantize(q.graph).ops[:-1]:
        y = op.forward(*([values[i] for i in op.inputs] or [values[""]]))
        if op.name in bounds:
            y = np.clip(y, *bounds[op.name])
        residue = abs(q.graph.ops[0].residue)  # left out by ops that have no bias to hold it
        assert np.abs(y - values[op.name]).max() <= 0.6 * q.graph[op.name].scale + residue + 1e-5 * np.abs(y).max(), op.name


def test_straight_through_points_the_way():
    """Answers are the integer model's; a step along the gradient raises its class in the integer model itself."""
    model = randomise(small(), np.random.default_rng(0), dead=0)
    images = np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    q = quantize(model, images)
    twin = straight_through(q)
    x = (images / 255).astype(np.float32)
    assert (twin.logits(x) == q.logits(images)).all() and (twin.labels(x) == q.labels(images)).all()
    g = np.eye(4, dtype=np.float32)[[3] * 6]
    dx = twin.vjp(x, g)
    assert dx.shape == x.shape and dx.dtype == np.float32
    assert np.allclose(dx, twin.vjp(x, lambda logits: g))
    exact = model.vjp(x, g)
    cosine = np.vdot(dx, exact) / np.linalg.norm(dx) / np.linalg.norm(exact)
    assert cosine > 0.5
    moved = np.clip(x + 4 / 255 * np.sign(dx), 0, 1)
    assert (q.logits(moved)[:, 3] > q.logits(x)[:, 3]).all()
    with pytest.raises(ShapeError, match="one value for each logit"):
        twin.vjp(x, g[:, :3])
