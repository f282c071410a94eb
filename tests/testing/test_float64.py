"""Random networks against float64: both ways agree, and what is wrong is named."""
import numpy as np
import pytest

from tinyvgg import testing
from tinyvgg.kernels import fast
from tinyvgg.nn import Sequential, layers


def arrays(model, seed, count=4):
    generator = np.random.default_rng(seed)
    return (generator.uniform(*model.input_range, (count, *model.input_shape)).astype(np.float32),
            generator.standard_normal((count, *model.output_shape)).astype(np.float32))


def test_random_networks_fused_and_layer_by_layer():
    compared = 0
    for seed in range(30):
        model = testing.random_network(seed, chain=seed % 3 == 0)
        compared += testing.check_against_float64(model, *arrays(model, seed), training=seed % 2 == 0) is not None
    assert compared > 15


def network():
    model = Sequential([layers.InputLayer((6, 6, 3)), layers.Conv2D(8, 3), layers.ELU(), layers.BatchNormalization(), layers.Flatten(),
                        layers.Dense(3)])
    return model, *arrays(model, 0)


def test_a_wrong_gradient_is_named(monkeypatch):
    model, x, g = network()
    assert testing.check_against_float64(model, x, g, training=True) < 1
    right = fast.conv2d_backward

    def wrong(*args, **settings):
        dx, dkernel, dbias = right(*args, **settings)
        return dx, dkernel, None if dbias is None else dbias * np.float32(1.01)
    monkeypatch.setattr(fast, "conv2d_backward", wrong)
    with pytest.raises(AssertionError, match=r"(fused|layers): d conv2d/bias differs from float64 by [0-9.]+e-0[23]"):
        testing.check_against_float64(model, x, g, training=True)


def test_near_ties_are_left_out():
    """A value that rounding decides has no gradient to compare."""
    tied = Sequential([layers.InputLayer((4,)), layers.Dense(3), layers.ReLU(), layers.Dense(2)])
    tied.layers[1].parameters["kernel"][...] = 1e-9
    x = np.ones((2, 4), np.float32)
    tied.layers[1].parameters["bias"][:] = [1, 2, 0]
    assert testing.check_against_float64(tied, x, np.ones((2, 2), np.float32)) is None
