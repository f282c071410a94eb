"""Activations whose vectors are computed side by side: a row of any length, the same bits at every place."""
import numpy as np
import pytest

from tinyvgg.nn import Sequential
from tinyvgg.nn import layers as L


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "silu"])
@pytest.mark.parametrize("pixels", [1, 7, 8, 9, 24])
def test_every_place_of_a_row_has_the_same_bits(name, pixels):
    model = Sequential([L.InputLayer((1, pixels, 8)), L.Activation(name), L.Flatten()], input_range=(-80.0, 12.0))
    values = np.float32([-80, -3.25, -1e-6, 0, 0.3, 1, 12])
    x = np.broadcast_to(values[:, None, None, None], (7, 1, pixels, 8)).copy()
    y = model.logits(x)
    assert (y == y[:, :1]).all()
    exact = x[:, 0, 0, 0].astype(np.float64)
    sigmoid = 1 / (1 + np.exp(-exact))
    expected = {"sigmoid": sigmoid, "tanh": np.tanh(exact), "silu": exact * sigmoid}[name]
    np.testing.assert_allclose(y[:, 0], expected, rtol=1e-6, atol=1e-37)
