"""The engine's stages of what mixes no channels by weights, and TensorFlow Lite's tail: byte for byte the definition."""
import numpy as np
import pytest

from tests.quant.test_fast import extreme_weights, same
from tinyvgg.quant.fast.plan import Plan
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.ops.activation import Activation
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.dense import Dense
from tinyvgg.quant.ops.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.quant.ops.image import Image
from tinyvgg.quant.ops.level_table import LevelTable
from tinyvgg.quant.ops.lite_add import LiteAdd
from tinyvgg.quant.ops.lite_average_pool2d import LiteAveragePool2D
from tinyvgg.quant.ops.lite_concatenate import LiteConcatenate
from tinyvgg.quant.ops.lite_tail import LiteTail
from tinyvgg.quant.ops.moving import Crop2D, Pad2D, Permute, Reshape
from tinyvgg.quant.ops.multiply import Multiply
from tinyvgg.quant.ops.padded_average_pool2d import PaddedAveragePool2D
from tinyvgg.quant.ops.prelu import PRelu
from tinyvgg.quant.ops.rescaled import Concatenate, Maximum
from tinyvgg.testing.integer_networks import random_images


def moved(draw, before, name):
    """An op without weights behind `before`, of random settings."""
    (h, w, c), zero = before.shape, before.zero
    common = {"name": name, "inputs": (before.name,), "scale": before.scale, "zero": zero}
    twice = {**common, "inputs": (before.name, before.name)}
    shift = int(draw.integers(2, 12))
    rescaled = {"multipliers": tuple(map(int, draw.integers(-1500, 1500, 2))), "shift": shift,
                "offsets": tuple(map(int, draw.integers(-2**18, 2**18, 2)))}
    table = draw.integers(0, 256, (int(draw.choice([1, c])), 256)).astype(np.uint8)
    sides = [tuple(map(int, pair)) for pair in draw.integers(0, 3, (2, 2))]
    axes = tuple(map(int, draw.permutation(3)))
    window, strides = (min(h, 3), min(w, 2)), tuple(map(int, draw.integers(1, 3, 2)))
    padding = tuple(tuple(map(int, draw.integers(0, k, 2))) for k in window)
    pooled = tuple((n + sum(p) - k) // s + 1 for n, p, k, s in zip((h, w), padding, window, strides, strict=True))
    lite = {"multipliers": tuple(map(int, draw.integers(2**30, 2**31, 3))), "exponents": (-1, int(draw.integers(-9, 0)), -int(draw.integers(16, 22)))}
    counts = window[0] * window[1]
    makers = [
        lambda: Activation(**common, shape=before.shape, function="tanh", table=table[0]),
        lambda: Reshape(**common, shape=(w, h, c)), lambda: Reshape(**common, shape=(1, h * w, c)),
        lambda: Reshape(**common, shape=(h, c, w)), lambda: Reshape(**common, shape=(h * w * c, 1, 1)),
        lambda: Pad2D(**common, shape=(h + sum(sides[0]), w + sum(sides[1]), c), padding=tuple(sides)),
        lambda: Crop2D(**common, shape=(max(h - 1, 1), max(w - 1, 1), c), cropping=((int(h > 1), 0), (0, int(w > 1)))),
        lambda: Permute(**common, shape=tuple(before.shape[i] for i in axes), axes=axes),
        lambda: Concatenate(**twice, shape=(h, w, 2 * c), **rescaled), lambda: Maximum(**twice, shape=before.shape, **rescaled),
        lambda: LiteConcatenate(**twice, shape=(h, w, 2 * c)),
        lambda: LevelTable(**common, shape=before.shape, table=table),
        lambda: LevelTable(**common, shape=(w, c, h), table=table[:1]),
        lambda: PRelu(**common, shape=before.shape, input_zero=zero, multiplier=700, shift=9,
                      slopes=draw.integers(-900, 900, (1, 1, int(draw.choice([1, c])))).astype(np.int32)),
        lambda: Multiply(**twice, shape=before.shape, zeros=(zero, zero), multiplier=2**22, offset=int(draw.integers(-2**20, 2**20)), shift=2),
        lambda: PaddedAveragePool2D(**common, shape=(*pooled, c), pool_size=window, strides=strides, padding=padding, shift=4,
                                    offsets=draw.integers(-900, 900, counts).astype(np.int32),
                                    multipliers=(2**28 // np.arange(1, counts + 1)).astype(np.int32)),
        lambda: LiteAveragePool2D(**common, shape=(*pooled, c), pool_size=window, strides=strides, padding=padding,
                                  centre=int(draw.choice([0, 128])), low=3, high=250),
        lambda: LiteAdd(**twice, shape=before.shape, zeros=(zero, zero), low=2, high=254, rounding=str(draw.choice(["double", "single"])),
                        **lite),
    ]
    return makers[draw.integers(0, len(makers))]()


def lite_tail(draw, f):
    """Multipliers of any size that the sums of a small window allow."""
    return LiteTail(bias=draw.integers(-2**12, 2**12, f).astype(np.int32), multiplier=draw.integers(2**30, 2**31, f).astype(np.int32) *
                    draw.integers(0, 2, f).clip(1 if f < 3 else 0).astype(np.int32), exponent=draw.integers(-17, 3, f).astype(np.int32),
                    zero=int(draw.integers(0, 256)), low=int(draw.integers(0, 9)), high=int(draw.integers(200, 256)),
                    rounding=str(draw.choice(["double", "single"])))


def weighted(draw, before, name):
    """A convolution or a depthwise one with TensorFlow Lite's tail, padded, pooled or not."""
    (h, w, c), depthwise = before.shape, draw.random() < 0.4
    f = c if depthwise else int(draw.choice([1, 3, 8, 17]))
    pool = (2, 2, 2, 2) if min(h, w) > 1 and draw.random() < 0.5 else None
    shape = (h // 2, w // 2, f) if pool else (h, w, f)
    weights = extreme_weights(draw, f, 3, 3, *([] if depthwise else [c]))
    return (DepthwiseConv2D if depthwise else Conv2D)(
        name=name, inputs=(before.name,), shape=shape, scale=1.0, zero=int(draw.integers(0, 256)), weights=weights,
        input_zero=before.zero, tail=lite_tail(draw, f), padding=((1, 1), (1, 1)), pool=pool)


def graph_of(seed):
    """Two to five ops on a small image, then a dense layer with TensorFlow Lite's tail; and images."""
    draw = np.random.default_rng(seed)
    shape = (int(draw.integers(1, 8)), int(draw.integers(1, 8)), int(draw.choice([1, 3, 4, 8, 17])))
    ops = [Image(name="image", inputs=(), shape=shape, scale=1.0, zero=int(draw.choice([0, 255, 128])))]
    for i in range(int(draw.integers(2, 6))):
        if np.prod(ops[-1].shape) < 2000:
            ops.append((weighted if draw.random() < 0.3 else moved)(draw, ops[-1], f"op{i}"))
    f = int(draw.choice([2, 10]))
    ops.append(Dense(name="logits", inputs=(ops[-1].name,), shape=(f,), scale=1.0, zero=0, input_zero=ops[-1].zero,
                     weights=extreme_weights(draw, f, int(np.prod(ops[-1].shape))), tail=lite_tail(draw, f), output="uint8"))
    return Graph(name="moved", ops=tuple(ops)), random_images(shape, int(draw.integers(1, 9)), draw)


def test_all_have_stages_and_give_the_same_bytes():
    kinds = set()
    for seed in range(60):
        graph, images = graph_of(seed)
        same(graph, images, None)
        assert "simulated" not in Plan(graph).describe(), Plan(graph).describe()
        kinds |= {type(op).__name__ for op in graph.ops}
    assert len(kinds) == 18, sorted(kinds)


@pytest.mark.slow
def test_on_a_thousand_graphs():
    for seed in range(1000):
        graph, images = graph_of(seed)
        same(graph, images, None)
