"""The float tail against the same steps in NumPy, and its gradient against differences."""

from types import SimpleNamespace

import numpy as np
import pytest

from tinyvgg.kernels import reference
from tinyvgg.quant.ops.float_tail import FloatTail, apply_float_tail, float_tail_backward
from tinyvgg.testing import check_gradient

ACTIVATIONS = {
    "none": lambda v: v,
    "relu": lambda v: np.maximum(v, 0),
    "leaky": lambda v: np.where(v < 0, 0.3 * v, v),
    "clamp": lambda v: np.clip(v, 0, 1.0),
}
POOLS = [None, (2, 2, 2, 2), (3, 2, 1, 2)]  # the last one overlaps


def op_of(activation, gain, pool):
    g = np.random.default_rng(0)
    affine = {"gain": g.standard_normal(5), "shift": g.standard_normal(5)} if gain else {}
    tail = FloatTail(bias=g.standard_normal(5), activation=activation, slope=0.3, high=1.0, **affine)
    return SimpleNamespace(tail=tail, pool=pool)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("gain", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_steps_and_gradient(activation, gain, pool):
    op, acc = op_of(activation, gain, pool), np.random.default_rng(1).standard_normal((2, 6, 7, 5))
    y = ACTIVATIONS[activation](acc + op.tail.bias)
    y = y * op.tail.gain + op.tail.shift if gain else y
    expected = reference.max_pool2d(y, pool_size=pool[:2], strides=pool[2:])[0] if pool else y
    assert np.array_equal(apply_float_tail(acc, op), expected)
    check_gradient(lambda a: apply_float_tail(a, op), lambda dy: float_tail_backward(dy, acc, op)[0], acc,
                   np.random.default_rng(2), tolerance=1e-4)
    dy = np.random.default_rng(3).standard_normal(expected.shape)
    dacc, gradients = float_tail_backward(dy, acc, op)
    assert np.allclose(gradients["bias"], dacc.sum(axis=(0, 1, 2)))
    assert set(gradients) == ({"bias", "gain", "shift"} if gain else {"bias"})


def test_saturated_values_pass_no_gradient():
    op = op_of("none", True, None)
    acc = np.random.default_rng(1).standard_normal((50, 5)).astype(np.float32)
    y, dy = apply_float_tail(acc, op), np.ones((50, 5), np.float32)
    dacc, gradients = float_tail_backward(dy, acc, op, limits=(-0.5, 0.5))
    inside = np.abs(y) <= 0.5
    assert 0 < inside.sum() < inside.size and dacc.dtype == np.float32
    assert np.allclose(dacc, inside * op.tail.gain) and np.allclose(gradients["shift"], inside.sum(axis=0))
