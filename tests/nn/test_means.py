"""Means divide by the number of pixels: the mean of equal values is that value, at the edge and inside, so ties stay ties."""
import numpy as np
import pytest

from tinyvgg import nn
from tinyvgg.nn import layers as L
from tinyvgg.testing.float64 import check_against_float64
from tinyvgg.testing.networks import random_network


@pytest.mark.parametrize("layers, shape", [([L.AveragePooling2D(3, strides=1, padding="same")], (5, 6, 3)),
                                           ([L.AveragePooling1D(3, strides=1, padding="same")], (7, 2)),
                                           ([L.GlobalAveragePooling2D()], (3, 1, 9)), ([L.GlobalAveragePooling1D()], (3, 4))])
def test_the_mean_of_equal_values_is_that_value(layers, shape):
    model = nn.Sequential([L.InputLayer(shape), *layers])
    for value in (0.1, 0.7, 1 / 3):
        assert (model.logits(np.full((2, *shape), value, np.float32)) == np.float32(value)).all()


def test_ties_behind_a_mean():
    model = random_network(55)
    rng = np.random.default_rng(55)
    x = rng.random((4, *model.input_shape), dtype=np.float32)
    assert check_against_float64(model, x, rng.standard_normal((4, *model.output_shape)).astype(np.float32)) != 0
