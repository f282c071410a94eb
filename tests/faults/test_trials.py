"""Trials and commits on the fast kernels: the answers of the whole network, in any thread, and after a copy."""
import copy
import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests.quant.networks import small
from tests.quant.test_fast_moves import lite_tail, weighted
from tinyvgg import kernels
from tinyvgg.faults.open import open_store
from tinyvgg.faults.plan import changes_of
from tinyvgg.faults.sensitivity import sensitivity_map
from tinyvgg.faults.victim import victim_of
from tinyvgg.quant import quantize
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.ops.dense import Dense
from tinyvgg.quant.ops.image import Image
from tinyvgg.quant.ops.rescaled import Concatenate, Maximum
from tinyvgg.report.parallel import workers_of
from tinyvgg.testing.integer_networks import random_integer_network


def joined(start, count):
    """Random networks with an op that takes a step of the program for each of its inputs."""
    networks = (random_integer_network(seed, widest=8) for seed in range(start, start + 300))
    return itertools.islice((n for n in networks if any(isinstance(op, Concatenate | Maximum) for op in n.graph.ops)), count)


def some_places(store, rng, count):
    """Random bits [(key, index, bit)], each alone."""
    keys = list(store.arrays)
    chosen = [keys[int(i)] for i in rng.integers(len(keys), size=count)]
    return [(key, int(rng.integers(store.arrays[key].size)), int(rng.integers(store.bits(key)))) for key in chosen]


@pytest.fixture(scope="module")
def attacked():
    images = np.random.default_rng(1).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    model = quantize(small(), images)
    return model, images, model.labels(images)


def test_trials_and_commits_behind_a_join_are_those_of_the_whole_network():
    for number, model in enumerate(joined(910_000, 6)):
        rng = np.random.default_rng(number)
        images = rng.integers(0, 256, (5, *model.input_shape), dtype=np.uint8)
        store, fresh = open_store(model), open_store(model)
        victim = victim_of(store, images)
        for place in some_places(store, rng, 8):
            fresh.toggle([place])
            assert np.array_equal(victim.trial([place]), fresh.logits(images)), (model.name, place)
            fresh.toggle([place])
        for place in some_places(store, rng, 3):
            victim.commit([place])
            fresh.toggle([place])
            assert np.array_equal(victim.logits, fresh.logits(images)), (model.name, place)


def test_a_copy_goes_on_as_the_victim_does(attacked):
    model, images, _ = attacked
    victim = victim_of(open_store(model), images)
    first, second, third = some_places(victim.store, np.random.default_rng(2), 3)
    victim.commit([first])
    for other in (copy.deepcopy(victim), pickle.loads(pickle.dumps(victim))):
        assert np.array_equal(other.trial([second]), victim.trial([second]))
        other.commit([third])
        assert not np.array_equal(other.store.logits(images), victim.logits) or np.array_equal(other.logits, victim.logits)
        assert np.array_equal(other.logits, other.store.logits(images))


def test_threads_and_processes_draw_the_same_map(attacked):
    model, images, classes = attacked
    expected = sensitivity_map(model, images, classes, samples=1, tensors="weights")
    with ThreadPoolExecutor(3) as threads:
        assert sensitivity_map(model, images, classes, samples=1, tensors="weights", executor=threads) == expected
    with workers_of(1) as processes:                # two share the work as two threads do
        assert sensitivity_map(model, images, classes, samples=1, tensors="weights", executor=processes) == expected


def lite_network(seed, rounding):
    """Two layers with TensorFlow Lite's tail."""
    draw = np.random.default_rng(seed)
    image = Image(name="image", inputs=(), shape=(6, 6, 3), scale=1.0, zero=0)
    first = weighted(draw, image, "first")
    first = replace(first, tail=replace(first.tail, rounding=rounding))
    tail = replace(lite_tail(draw, 4), rounding=rounding)
    weights = draw.integers(-9, 9, (4, int(np.prod(first.shape)))).astype(np.int8)
    last = Dense(name="logits", inputs=("first",), shape=(4,), scale=1.0, zero=0, input_zero=first.zero, weights=weights, tail=tail, output="uint8")
    return Graph(name="lite", ops=(image, first, last))


@pytest.mark.parametrize("rounding", ["double", "single"])
def test_exponents_of_tensorflow_lite_wrap_as_the_definition_does(rounding):
    graph = lite_network(3, rounding)
    store = open_store(graph, "file")
    images = np.random.default_rng(4).integers(0, 256, (4, *graph.input_shape), dtype=np.uint8)
    victim = victim_of(store, images)
    keys = [key for key in store.arrays if key.endswith("/exponent")]
    assert keys
    for key in keys:
        for bit in range(store.bits(key)):
            fast = victim.session.trial(changes_of(store, [(key, 0, bit)]))
            with kernels.use("reference"):
                definition = victim_of(store, images).session.trial(changes_of(store, [(key, 0, bit)]))
            assert np.array_equal(fast, definition), (key, bit)
