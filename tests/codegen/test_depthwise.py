"""Depthwise convolutions in C, four channels at a time and what is left, pools of single results that skip some."""
import numpy as np
import pytest

from tests.codegen.test_host import assert_same
from tests.quant.networks import randomise
from tinyvgg import nn
from tinyvgg.codegen import HostModel
from tinyvgg.nn import layers as L
from tinyvgg.quant import quantize


@pytest.mark.parametrize(("channels", "kernel", "strides", "padding", "skip"), [(6, 3, 1, "same", 2), (9, 5, 2, "same", 1), (4, 2, 1, "valid", 1)])
def test_windows(channels, kernel, strides, padding, skip):
    start = nn.Input((9, 7, channels))
    node = L.DepthwiseConv2D(kernel, strides=strides, padding=padding, activation="relu")(start)
    node = L.MaxPooling2D(1, strides=skip)(node)
    model = randomise(nn.Model(start, L.Dense(3)(L.Flatten()(node)), seed=0), np.random.default_rng(0))
    x = np.random.default_rng(1).integers(0, 256, (3, 9, 7, channels), dtype=np.uint8)
    q = quantize(model, x)
    assert_same(q, HostModel(q, flags=("-O1", "-Wall", "-Wextra", "-Werror")), x)
