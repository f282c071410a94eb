"""The generator of random networks: the whole layer set, the same network from a seed, and networks that work."""
import random

import numpy as np

from tinyvgg import kernels, testing
from tinyvgg.nn import Sequential
from tinyvgg.nn.layers import LAYERS
from tinyvgg.quant.ops import OPS


def test_every_layer_is_drawn():
    drawn = {type(layer).__name__ for seed in range(300) for layer in testing.random_network(seed).layers}
    assert set(LAYERS) <= drawn


def test_a_seed_is_a_network():
    for settings in ({}, {"chain": True}, {"integer": True}):
        one, two = testing.random_network(5, **settings), testing.random_network(random.Random(5), **settings)
        assert one.get_config() == two.get_config()
        assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))
    assert isinstance(testing.random_network(5, chain=True), Sequential)


def test_they_answer():
    for seed in range(40):
        model = testing.random_network(seed, chain=seed % 2 == 0)
        x = np.random.default_rng(seed).uniform(*model.input_range, (2, *model.input_shape)).astype(np.float32)
        with kernels.use("reference"):
            logits = model.logits(x)
        assert logits.shape == (2, *model.output_shape) and np.isfinite(logits).all()


def test_integer_networks_are_exact_in_every_op_of_the_graph():
    drawn = set()
    for seed in range(60):
        model = testing.random_integer_network(seed, widest=8)
        drawn |= {type(op).__name__ for op in model.graph.ops}
        x = testing.random_images(model.input_shape, 5, np.random.default_rng(seed))
        assert model.integer_logits(x).shape[0] == 5
    alone = ("Lite", "Level", "LayerNorm")          # those come from .tflite files alone, the last is of floats alone
    assert drawn == {name for name in OPS if not name.startswith(alone)}
