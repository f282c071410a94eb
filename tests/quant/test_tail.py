"""The tail on values that are chosen to be hard: ties of both signs, saturation, negative multipliers before a pool."""
import numpy as np
import pytest

from tests.quant import rational
from tinyvgg.quant.fixedpoint import golden_table
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.tail import Tail, apply_tail, smmulr


def op(activation, pool=None, **tail):
    """A 1x1 convolution whose tail ties on every odd accumulator: (acc << 1) * 2^30 / 2^32 = acc / 2, and its negative."""
    multiplier = np.array([2 ** 30, -2 ** 30, 2 ** 20, -2 ** 31 + 1], np.int32)
    arrays = {"bias": np.array([0, 3, -2, 1], np.int32), "offset": np.array([0, 2 ** 9, 2 ** 19, -5], np.int32)}
    return Conv2D(name="c", inputs=("x",), shape=(1, 1, 4), weights=np.ones((4, 1, 1, 1), np.int8), input_zero=0, pool=pool,
                  tail=Tail(multiplier=multiplier, shift=1, activation=activation, **arrays, **tail))


def test_the_rounding_of_the_tail_is_the_golden_one():
    for a, b, expected in golden_table():
        assert smmulr(a, b) == expected


@pytest.mark.parametrize(("activation", "settings"), [
    ("none", {}), ("relu", {}), ("leaky", {"slope": 2 ** 30 + 1}), ("clamp", {"high": np.array([9, 300, 0, 77], np.int32)})])
@pytest.mark.parametrize("pool", [None, (2, 2, 2, 2), (2, 3, 1, 1)])
def test_ties_signs_and_saturation(activation, settings, pool):
    layer = op(activation, pool, **settings)
    acc = np.arange(-600, 600, dtype=np.int64)
    acc = np.stack([np.random.default_rng(f).permutation(acc) for f in range(4)], axis=-1).reshape(1, 30, 40, 4)
    slow = np.array([[[rational.tail(int(v), layer.tail, f) for f, v in enumerate(pixel)] for pixel in row] for row in acc[0]])
    if pool:
        slow = rational.pool(slow, pool[:2], pool[2:], max)
    assert (apply_tail(acc, layer)[0] == slow).all()
    if pool:        # pooling the accumulators first gives the same bytes, the smallest where the multiplier is negative
        largest, smallest = (rational.pool(acc[0], pool[:2], pool[2:], reduce) for reduce in (max, min))
        first = np.where(layer.tail.multiplier < 0, smallest, largest)
        assert (apply_tail(first[None], op(activation, **settings))[0] == slow).all()
