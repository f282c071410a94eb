"""Plans of random networks from the whole layer set against the layers one by one in float64, with both gradients."""
import numpy as np
import pytest

from tinyvgg import kernels
from tinyvgg.kernels.fast import cores, threads
from tinyvgg.testing.networks import random_network

CLOSE = 1e-3            # relative to the largest value of an array, as in test_fused.py
FLOOR = 0.01
NUDGE = 1e-7            # where a change in the seventh digit, or float32, moves the reference by CLOSE / 10, rounding decides


def hold_masks(model):
    for index, layer in enumerate(model.layers):
        layer.rng = np.random.default_rng(index)


def answers(model, x, g, training):
    """{what: array}."""
    hold_masks(model)
    found = {"logits": model.forward_logits(x, training=training)}
    found["input gradient"] = model.backward_logits(g)
    for layer in model.layers:
        found |= {f"{layer.name}/{key} gradient": layer.gradients[key] for key in layer.parameters}
        found |= {f"{layer.name}/{key}": layer.state[key].copy() for key in layer.state}
    return found


def nudged(model, rng):
    twin = model.astype(np.float64)
    for layer in twin.layers:
        for array in layer.parameters.values():
            array += NUDGE * np.abs(array).max() * rng.standard_normal(array.shape)
    return twin


def distance(one, other):
    """{what: largest difference over the largest value}: for a gradient that of its layer, since terms of a bias may cancel."""
    largest = {}
    for key, array in other.items():
        layer = key.split("/")[0]
        largest[layer] = max(largest.get(layer, FLOOR), np.abs(array).max() if key.endswith("gradient") else 0)
    return {key: np.abs(one[key] - other[key]).max()
            / (largest[key.split("/")[0]] if key.endswith("gradient") else max(np.abs(other[key]).max(), FLOOR)) for key in other}


def errors_of(seed):
    """{what: error} of the network of a seed, or None where rounding decides."""
    model, rng, training = random_network(seed), np.random.default_rng(seed), bool(seed % 2)
    count = seed % 8 + 1
    x = rng.random((count, *model.input_shape), dtype=np.float32)
    g = rng.standard_normal((count, *model.output_shape)).astype(np.float32)
    wide = x.astype(np.float64), g.astype(np.float64)
    with kernels.use("reference"):
        want = answers(model.astype(np.float64), *wide, training)
        near = [answers(nudged(model, rng), wide[0] * (1 + NUDGE * rng.standard_normal(x.shape)), wide[1], training)
                for _ in range(2)]
        near.append(answers(model.astype(np.float32), x, g, training))
        if max(max(distance(one, want).values()) for one in near) > CLOSE / 10:
            return None
    assert model.plan().describe()
    found = distance({"logits": model.logits(x)}, {"logits": want["logits"]}) if not training else {}
    return {"inference": found.get("logits", 0), **distance(answers(model, x, g, training), want)}


@pytest.fixture
def use_threads(monkeypatch):
    """Run with another number of threads."""
    def use(count):
        monkeypatch.setenv("TINYVGG_NUM_THREADS", str(count))
        monkeypatch.setattr(threads, "usable_cores", cores.usable_cores)
        monkeypatch.setattr(threads, "_pool", None)
    return use


def check(seeds, use_threads):
    decided = 0
    for seed in seeds:
        use_threads(seed % 3 + 1)
        errors = errors_of(seed)
        if errors is not None:
            decided += 1
            assert max(errors.values()) < CLOSE, (seed, {key: error for key, error in errors.items() if error >= CLOSE})
    return decided


def test_random_graphs(use_threads):
    assert check(range(45), use_threads) > 20


@pytest.mark.slow
def test_two_thousand_random_graphs(use_threads):
    assert check(range(2000), use_threads) > 1000
