"""simulate against the same definition in rational numbers; the float graph against the network; the networks' lowering."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.quant import rational
from tests.quant.networks import models, randomise
from tinyvgg import models as zoo
from tinyvgg import nn
from tinyvgg.nn import layers as L
from tinyvgg.quant import quantize
from tinyvgg.quant.fixedpoint import golden_table, multiply_high_rounded
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.simulate import run
from tinyvgg.quant.validate import check_graph, validate

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "fixedpoint.json"


def test_golden_table_is_the_saved_one():
    assert json.loads(GOLDEN.read_text()) == golden_table()


def test_rounding_by_the_golden_table():
    a, b, expected = np.array(json.loads(GOLDEN.read_text()), np.int64).T
    got = multiply_high_rounded(a.astype(np.int32), b.astype(np.int32))
    assert got.dtype == np.int32 and (got == expected).all()
    assert all(rational.rounded(int(x), int(y)) == z for x, y, z in zip(a, b, expected, strict=True))


def as_defined(model, seed):
    """Whether every tensor of the network in integers is that of the definition, and its floats are near the network's."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (3, *model.input_shape), dtype=np.uint8)
    images[0] = generator.choice([0, 255])  # saturation and borders
    q = quantize(model, images[1:])  # so that the first image is outside the ranges
    check_graph(q.graph)
    validate(q.graph, "integer")
    validate(q.float_graph, "float")
    low, high = model.input_range
    x = (images / 255 * (high - low) + low).astype(np.float32)
    expected = model.logits(x)
    assert np.allclose(run(q.float_graph, x), expected, atol=1e-4 * np.abs(expected).max() + 1e-4)
    traced = q.trace(images)
    for k in range(3):
        slow = rational.run(q.graph, images[k])
        for name, value in slow.items():
            assert (traced[name][k] == value).all(), (name, type(q.graph[name]).__name__)


@settings(max_examples=20, deadline=None)
@given(models(), st.integers(0, 2**16))
def test_random_graphs(model, seed):
    as_defined(model, seed)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(models(), st.integers(0, 2**16))
def test_many_random_graphs(model, seed):
    as_defined(model, seed)


@pytest.mark.parametrize("name", ["light", "resnet8", "notebook"])
def test_networks_are_covered_and_close(name):
    model = randomise(zoo.build(name), np.random.default_rng(0), dead=0)
    images = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    low, high = model.input_range
    expected = model.logits((images / 255 * (high - low) + low).astype(np.float32))
    got = quantize(model, images).logits(images)
    assert np.abs(got - expected).max() < 0.2 * np.abs(expected).max()


def test_fused_as_meant():
    ops = fuse(zoo.light()).ops
    assert [type(op).__name__ for op in ops] == ["Image", *["Conv2D"] * 6, *["Dense"] * 3, "Softmax"]
    assert [op.shape for op in ops[1:7]] == [(32, 32, 32), (16, 16, 32), (16, 16, 32), (8, 8, 64), (4, 4, 128), (2, 2, 128)]
    assert all(op.tail.activation == "relu" and op.tail.gain is not None for op in ops[1:7])


def test_a_batch_norm_of_pixels_that_two_layers_read():
    """What waits for the dense layer after it is applied for each of its readers."""
    start = nn.Input((3, 3, 2))
    normed = L.BatchNormalization()(L.Flatten()(start))
    model = nn.Model(start, L.Dense(4)(L.Add()([normed, L.Dense(18, activation="relu")(normed)])))
    bn = next(layer for layer in model.layers if isinstance(layer, L.BatchNormalization))
    bn.state["moving_variance"][:] = np.linspace(0.1, 4, 18)
    bn.state["moving_mean"][:] = np.linspace(-1, 1, 18)
    x = np.random.default_rng(0).random((5, 3, 3, 2), np.float32)
    assert np.allclose(run(fuse(model), x), model.logits(x), atol=1e-4)
