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
