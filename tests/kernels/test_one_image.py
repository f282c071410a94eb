"""The kernels that take one image by itself give the bits that it has among others."""
import os

import numpy as np
import pytest

from tinyvgg.kernels.fast.convolution import PRECISE, precise_wanted
from tinyvgg.nn import Sequential
from tinyvgg.nn import layers as L


def alike(layers, shape, count=5):
    model = Sequential([L.InputLayer(shape), *layers])
    x = np.random.default_rng(0).random((count, *shape), dtype=np.float32)
    g = np.random.default_rng(1).standard_normal((count, model.n_classes)).astype(np.float32)
    among, gradient = model.logits(x), model.vjp(x, g)
    return all(np.array_equal(model.logits(x[i:i + 1])[0], among[i]) and np.array_equal(model.vjp(x[i:i + 1], g[i:i + 1])[0], gradient[i])
               for i in range(count))


@pytest.mark.parametrize("units", [8, 24, 40, 64, 96, 120, 128, 200, 264])
def test_dense(units):
    assert alike([L.Flatten(), L.Dense(units, activation="relu"), L.Dense(3)], (2, 2, 24))


def test_new_weights_among_batches():
    """One image does not read packed weights, several do: neither may see those of before."""
    model = Sequential([L.InputLayer((4, 4, 64)), L.Conv2D(64, 3, padding="same"), L.Flatten(), L.Dense(3)])
    x = np.random.default_rng(0).random((9, 4, 4, 64), dtype=np.float32)
    for count in (9, 1, 2, 1, 9):
        model.layers[0 if model.layers[0].parameters else 1].parameters["kernel"][...] *= np.float32(1.25)
        whole = model.logits(x[:count])
        assert all(np.array_equal(model.logits(x[i:i + 1])[0], whole[i]) for i in range(count))


@pytest.mark.parametrize("filters", [16, 64, 80, 128, 136, 272])
def test_a_map_of_one_tile(filters):
    assert alike([L.Conv2D(filters, 3, padding="same", activation="relu"), L.GlobalAveragePooling2D(), L.Dense(3)], (4, 4, 16))


def test_the_environment_is_asked_at_each_look(monkeypatch):
    for value, wanted in (("1", True), ("0", False), ("", False), ("yes", True)):
        monkeypatch.setenv(PRECISE, value)
        assert precise_wanted() is wanted
    monkeypatch.delenv(PRECISE)
    assert precise_wanted() is False and precise_wanted(True) is True
    monkeypatch.setattr(os, "environ", {PRECISE: "1"})
    assert precise_wanted() is True
