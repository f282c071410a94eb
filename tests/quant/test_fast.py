"""The fast engine of integers, byte for byte the simulation, on each path of instructions; what it does not know, it simulates."""
import dataclasses
import gc
import weakref

import numpy as np
import pytest

from tests.quant.networks import small
from tinyvgg import kernels
from tinyvgg import models as zoo
from tinyvgg.errors import NotYet, OptionError, QuantError
from tinyvgg.quant import QuantizedModel, quantize
from tinyvgg.quant.fast import paths
from tinyvgg.quant.fast.plan import Plan, plan_for
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.ops.activation import Activation
from tinyvgg.quant.ops.add import Add
from tinyvgg.quant.ops.average_pool2d import AveragePool2D
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.dense import Dense
from tinyvgg.quant.ops.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.quant.ops.image import Image
from tinyvgg.quant.ops.max_pool2d import MaxPool2D
from tinyvgg.quant.ops.tail import Tail, accumulator_bounds, fits, tail_extremes
from tinyvgg.quant.ops.up_sample2d import UpSample2D
from tinyvgg.quant.ops.weights import SharedWeights
from tinyvgg.quant.simulate import run
from tinyvgg.testing.integer_networks import random_images, random_integer_network

HERE = paths.possible()
ALL = (*HERE, "quads")                      # quads in plain arithmetic: the layout of vnni, which few machines have


def same(graph, images, path):
    """Whether the engine computes every tensor of the graph, on a path, byte for byte."""
    expected, got = run(graph, images, keep=True), Plan(graph, path).trace(images)
    for name, value in expected.items():
        assert got[name].dtype == value.dtype and got[name].shape == value.shape, name
        assert np.array_equal(got[name], value), (path, name, graph[name])


# --- graphs that nobody trained: any window, any tail, numbers up to the ends of their range ---


def extreme_tail(draw, weights, zero, *, wide=False):
    """A Tail of full-range numbers that the proof of 32 bits allows."""
    f = len(weights)
    low, high = accumulator_bounds(weights, zero)
    shift, kind = int(draw.integers(0, 16)), str(draw.choice(["none", "relu", "leaky", "clamp"]))
    for room in (2**31, 2**29, 2**24, 2**16, 2**8, 0):
        tail = Tail(bias=draw.integers(-room, room + 1, f).clip(-2**31, 2**31 - 1).astype(np.int32),
                    offset=draw.integers(-room, room + 1, f).clip(-2**31, 2**31 - 1).astype(np.int32),
                    multiplier=(draw.choice([-1, 1], f) * 2.0 ** draw.uniform(0, 31, f)).astype(np.int32), shift=shift,
                    activation=kind, slope=int(draw.integers(0, 2**31)) if kind == "leaky" else 0,
                    high=draw.integers(0, 2**31, f).astype(np.int32) if kind == "clamp" else None)
        if all(fits(*pair).all() for pair in tail_extremes(low, high, tail)):
            return tail
    return extreme_tail(draw, weights, zero) if shift else Tail(**{**dataclasses.asdict(tail), "bias": tail.bias * 0})


def extreme_weights(draw, *shape):
    """int8 weights: noise, the ends of the range alone, or mostly zeros; plain, or a codebook."""
    kind = draw.integers(0, 4)
    if kind == 0:
        return draw.integers(-128, 128, shape).astype(np.int8)
    if kind == 1:
        return draw.choice([-128, 127], shape).astype(np.int8)
    if kind == 2:
        return (draw.integers(-128, 128, shape) * (draw.random(shape) < 0.1)).astype(np.int8)
    codebook = np.sort(draw.integers(-128, 128, (shape[0], 8))).astype(np.int8)
    return SharedWeights(codebook, draw.integers(0, 8, shape).astype(np.uint8), 3)


def convolution(draw, before, name, *, depthwise):
    """A convolution of any window that leaves something."""
    (h, w, c), zero = before.shape, before.zero
    padding = [[int(n) for n in draw.integers(0, 3, 2)] for _ in range(2)]
    window, dilation, strides = [3, 3], (1, 1), (1, 1)          # as Winograd's
    if draw.random() < 0.5:
        window = [int(draw.integers(1, 4)) for _ in range(2)]
        dilation, strides = (tuple(int(n) for n in draw.choice(kinds, 2)) for kinds in ([1, 1, 1, 2], [1, 1, 2, 3]))
    sizes = []
    for k, n in enumerate((h, w)):
        while n + sum(padding[k]) < dilation[k] * (window[k] - 1) + 1:
            padding[k][0] += 1
        sizes.append((n + sum(padding[k]) - dilation[k] * (window[k] - 1) - 1) // strides[k] + 1)
    pool = None
    if draw.random() < 0.5:
        size = [int(draw.integers(1, min(n, 3) + 1)) for n in sizes]
        steps = [int(s) for s in draw.integers(1, 4, 2)]
        pool = (2, 2, 2, 2) if min(sizes) > 1 and draw.random() < 0.5 else (*size, *steps)
        sizes = [(n - k) // s + 1 for n, k, s in zip(sizes, pool[:2], pool[2:], strict=True)]
    f = c * int(draw.integers(1, 3)) if depthwise else int(draw.choice([1, 3, 8, 16, 17, 33]))
    weights = extreme_weights(draw, f, *window, *([] if depthwise else [c]))
    plain = weights.expand() if isinstance(weights, SharedWeights) else weights
    return (DepthwiseConv2D if depthwise else Conv2D)(
        name=name, inputs=(before.name,), shape=(*sizes, f), scale=1.0, zero=int(draw.choice([0, 255, draw.integers(0, 256)])),
        weights=weights, input_zero=zero, tail=extreme_tail(draw, plain, zero), strides=strides, dilation=dilation,
        padding=tuple(map(tuple, padding)), pool=pool)


def other(draw, before, name):
    """An op without weights."""
    (h, w, c), kind = before.shape, draw.integers(0, 5)
    common = {"name": name, "inputs": (before.name,), "scale": 1.0, "zero": before.zero}
    if kind == 4:
        return Activation(**common, shape=before.shape, function="tanh", table=draw.integers(0, 256, 256).astype(np.uint8))
    if kind == 0:
        multipliers = tuple(int(m) for m in draw.integers(-2**21, 2**21, 3))
        return Add(**{**common, "inputs": (before.name,) * 3}, shape=before.shape, multipliers=multipliers,
                   offset=int(draw.integers(-2**28, 2**28)), shift=int(draw.integers(2, 25)))
    if kind == 1:
        factors = int(draw.integers(1, 4)), int(draw.integers(1, 3))
        return UpSample2D(**common, shape=(h * factors[0], w * factors[1], c), factors=factors)
    window = int(draw.integers(1, min(h, 4) + 1)), int(draw.integers(1, min(w, 4) + 1))
    strides = tuple(int(s) for s in draw.integers(1, 4, 2))
    shape = (*((n - k) // s + 1 for n, k, s in zip((h, w), window, strides, strict=True)), c)
    if kind == 2:
        return AveragePool2D(**common, shape=shape, pool_size=window, strides=strides, shift=int(draw.integers(0, 16)),
                             offset=int(draw.integers(-2**29, 2**29)), multiplier=int(draw.integers(-2**31 + 1, 2**31)))
    padding = tuple(tuple(int(n) for n in draw.integers(0, k, 2)) for k in window)
    shape = (*((n + sum(p) - k) // s + 1 for n, p, k, s in zip((h, w), padding, window, strides, strict=True)), c)
    return MaxPool2D(**common, shape=shape, pool_size=window, strides=strides, padding=padding)


def extreme_graph(seed):
    """Some ops on a small image, then a dense layer of int16, and images for it."""
    draw = np.random.default_rng(seed)
    shape = (int(draw.integers(2, 12)), int(draw.integers(2, 12)), int(draw.choice([1, 2, 3, 4, 7, 16])))
    ops = [Image(name="image", inputs=(), shape=shape, scale=1.0, zero=int(draw.choice([0, 255, 128])))]
    for i in range(int(draw.integers(1, 5))):
        if ops[-1].shape[0] * ops[-1].shape[1] > 400:
            break
        kind = draw.integers(0, 4)
        ops.append(other(draw, ops[-1], f"op{i}") if kind == 0 else
                   convolution(draw, ops[-1], f"op{i}", depthwise=kind == 1 and ops[-1].shape[2] < 40))
    size = int(np.prod(ops[-1].shape))
    weights = extreme_weights(draw, int(draw.choice([2, 10, 17])), size)
    plain = weights.expand() if isinstance(weights, SharedWeights) else weights
    ops.append(Dense(name="logits", inputs=(ops[-1].name,), shape=(len(plain),), scale=1.0, zero=0, weights=weights,
                     input_zero=ops[-1].zero, tail=extreme_tail(draw, plain, ops[-1].zero), output="int16"))
    return Graph(name="extreme", ops=tuple(ops)), random_images(shape, int(draw.integers(1, 20)), draw)


def random_pair(seed):
    """A lowered random network's graph and images, or an extreme one's."""
    if seed % 2:
        return extreme_graph(seed)
    graph = random_integer_network(seed, widest=33).graph
    return graph, random_images(graph.input_shape, 5, np.random.default_rng(seed))


@pytest.mark.parametrize("path", [*HERE, pytest.param("quads", marks=pytest.mark.slow)])
def test_random_graphs(path):
    for seed in range(6 if path == "generic" else 16):          # its kernels are compiled for this test alone
        graph, images = random_pair(seed)
        same(graph, images, path)


def test_winograd_is_among_them():
    found = "".join(Plan(random_pair(seed)[0], "avx2").describe() for seed in range(1, 16, 2))
    assert "Winograd" in found and "simulated" not in found


@pytest.mark.slow
@pytest.mark.parametrize("path", ALL)
def test_a_thousand_random_graphs(path):
    for seed in range(1000):
        graph, images = random_pair(seed)
        same(graph, images, path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(zoo.MODELS))
def test_networks_of_the_zoo(name):
    """5,000 images on every path."""
    model = zoo.build(name)
    images = random_images(model.input_shape, 5000, np.random.default_rng(1))
    try:
        graph = quantize(model, images[:32]).graph
    except (NotYet, QuantError) as error:
        pytest.skip(str(error))
    expected = np.concatenate([run(graph, images[i:i + 100]) for i in range(0, len(images), 100)])
    for path in ALL:
        assert np.array_equal(Plan(graph, path).infer(images), expected), path


# --- how it is used ---


@pytest.fixture(scope="module")
def model():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    return quantize(small(), images)


def test_a_quantized_model_uses_it(model):
    images = random_images(model.input_shape, 70, np.random.default_rng(3))       # more than a batch
    expected = run(model.graph, images)
    assert np.array_equal(model.integer_logits(images), expected)
    assert np.array_equal(model.logits(images), model.logits((images / 255).astype(np.float32)))
    assert model.integer_logits(images[:0]).shape == (0, 4)
    assert "max-pool inside" in model.plan().describe() and "simulated" not in model.plan().describe()
    with kernels.use("reference"):
        assert np.array_equal(model.integer_logits(images), expected) and "slow" in model.plan().describe()
    strided = np.repeat(images, 2, axis=0)[::2]
    assert np.array_equal(model.integer_logits(strided), expected)


def test_no_images_have_results_of_no_images(model):
    fresh = QuantizedModel(model.graph)
    with kernels.use("reference"):
        expected = fresh.trace(model.check_images(np.zeros((1, 8, 8, 3), np.uint8)))
        assert {name: v.shape for name, v in fresh.trace(np.zeros((0, 8, 8, 3), np.uint8)).items()} == \
            {name: (0, *v.shape[1:]) for name, v in expected.items()}
    found = fresh.trace(np.zeros((0, 8, 8, 3), np.uint8))
    assert {name: (v.shape, v.dtype) for name, v in found.items()} == {name: ((0, *v.shape[1:]), v.dtype) for name, v in expected.items()}


def test_series_have_kernels_too():
    series = [n for n in (random_integer_network(seed, widest=8) for seed in range(910_000, 910_060)) if len(n.input_shape) == 2]
    assert len(series) > 2
    for number, network in enumerate(series):
        images = random_images(network.input_shape, 5, np.random.default_rng(number))
        assert "asked for" not in network.plan().describe()
        assert np.array_equal(network.integer_logits(images), run(network.graph, images).reshape(5, -1))


def test_weights_that_are_packed_cannot_change_unseen(model):
    model.labels(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        model.graph.ops[1].weights[...] = 0
    with pytest.raises(ValueError, match="read-only"):
        model.graph.ops[1].tail.bias[0] = 1


def test_no_block_reads_behind_its_tensor():
    """Two convolutions read one map by 7x1 and 1x7 windows: the border of one is not where the other begins."""
    draw = np.random.default_rng(5)
    image = Image(name="image", inputs=(), shape=(8, 8, 128), scale=1.0, zero=128)
    tall, wide = (
        Conv2D(name=name, inputs=("image",), shape=(8, 8, 8), scale=1.0, zero=3, weights=(w := extreme_weights(draw, 8, *size, 128)),
               input_zero=128, tail=extreme_tail(draw, w.expand() if isinstance(w, SharedWeights) else w, 128),
               padding=tuple((n // 2, n // 2) for n in size))
        for name, size in (("tall", (7, 1)), ("wide", (1, 7))))
    both = Add(name="both", inputs=("tall", "wide"), shape=tall.shape, scale=1.0, zero=0, multipliers=(1000, 900), offset=0, shift=11)
    w = extreme_weights(draw, 5, int(np.prod(tall.shape)))
    last = Dense(name="logits", inputs=("both",), shape=(5,), scale=1.0, zero=0, weights=w, input_zero=0, output="int16",
                 tail=extreme_tail(draw, w.expand() if isinstance(w, SharedWeights) else w, 0))
    plan = Plan(Graph(name="crossed", ops=(image, tall, wide, both, last)), "generic")
    plan.run(random_images(image.shape, 1, draw))
    buffer = plan._tensors["image"].buffer
    end = buffer.__array_interface__["data"][0] + buffer.nbytes
    for op in (tall, wide):
        step = plan.stages[op.name].fields(expands=True)
        segments, segment, _, row = (plan._program._rows[1 + (op is wide)][1][name] for name in ("segments", "segment", "depth", "x_row"))
        for rows in (step["rows_few"], step["rows_many"]):
            top = (8 - 1) // rows * rows
            read = (min(rows, 8 - top) - 1) * row + (segments - 1) * segment + row
            assert step["x_at"] + top * row + -(-read // 16) * 16 <= end


class Odd(Conv2D):
    """A convolution of somebody else's."""

    def simulate(self, x):
        return super().simulate(x) ^ 1


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Doubling(Tail):
    """A tail with a rounding of its own, perhaps."""

    twice: bool = False


def test_what_it_does_not_know_is_simulated(model):
    images = random_images(model.input_shape, 9, np.random.default_rng(4))
    first = model.graph.ops[1]
    for changed, told in ((Odd(**vars(first)), "no kernel for Odd"),
                          (dataclasses.replace(first, tail=Doubling(**vars(first.tail), twice=True)), "no kernel for Doubling")):
        graph = dataclasses.replace(model.graph, ops=(model.graph.ops[0], changed, *model.graph.ops[2:]))
        assert f"{first.name}: simulated, slow: {told}" in Plan(graph).describe()
        same(graph, images, None)


def test_a_path_is_forced_or_refused(model, monkeypatch):
    monkeypatch.setenv("TINYVGG_INTEGER", "generic")
    assert "integers by generic" in model.plan().describe()
    monkeypatch.setenv("TINYVGG_INTEGER", "fast")
    with pytest.raises(OptionError, match="expected one of vnni, avx2, generic"):
        model.plan()
    monkeypatch.setattr(paths, "FEATURES", {"avx2"})
    monkeypatch.setenv("TINYVGG_INTEGER", "vnni")
    with pytest.raises(OptionError, match="whose instructions this processor lacks; expected avx2 or generic"):
        model.labels(np.zeros((1, 8, 8, 3), np.uint8))
    monkeypatch.delenv("TINYVGG_INTEGER")
    assert paths.chosen() == "avx2"


def test_a_plan_goes_with_its_graph():
    held = QuantizedModel(random_integer_network(5).graph)
    plan = weakref.ref(plan_for(held.graph))
    held.labels(np.zeros((1, *held.input_shape), np.uint8))
    del held
    if plan() is not None:                  # a collection looks through all that other tests left
        gc.collect()
    assert plan() is None
