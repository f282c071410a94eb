"""Optimizers beside a second, slow writing of Keras' rules; schedules; averages."""
import json
import math

import numpy as np
import pytest

from tinyvgg.errors import OptionError
from tinyvgg.train import averaging, optimizers, schedules


def run(optimizer, steps=7, dtype=np.float64):
    """Minimize a bowl of three values from the same start; return the path."""
    w = np.array([1.0, -2.0, 3.0], dtype)
    path = []
    for _ in range(steps):
        optimizer.apply([("layer/kernel", w, w * np.array([1, 10, 0.1], dtype) + dtype(0.3))])
        path.append(w.copy())
    return np.array(path)


def keras(rule, steps=7):
    """The same path by scalar arithmetic: rule(w, g, memory, t) -> w for one value."""
    paths = []
    for start, curve in zip((1.0, -2.0, 3.0), (1, 10, 0.1), strict=True):
        w, memory, path = start, {}, []
        for t in range(1, steps + 1):
            w = rule(w, w * curve + 0.3, memory, t)
            path.append(w)
        paths.append(path)
    return np.array(paths).T


def adam(w, g, s, t, a=0.01, b1=0.9, b2=0.999, eps=1e-7):
    s["m"], s["v"] = b1 * s.get("m", 0) + (1 - b1) * g, b2 * s.get("v", 0) + (1 - b2) * g * g
    return w - a * math.sqrt(1 - b2 ** t) / (1 - b1 ** t) * s["m"] / (math.sqrt(s["v"]) + eps)


def momentum(w, g, s, _, a=0.01, mu=0.9, nesterov=False):
    s["m"] = mu * s.get("m", 0) - a * g
    return w + (mu * s["m"] - a * g if nesterov else s["m"])


def rmsprop(w, g, s, _, a=0.01, rho=0.9, mu=0.0, eps=1e-7):
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g * g
    s["m"] = mu * s.get("m", 0) + a * g / math.sqrt(s["v"] + eps)
    return w - s["m"]


RULES = [
    (optimizers.SGD(0.01), lambda w, g, s, t: w - 0.01 * g),
    (optimizers.SGD(0.01, momentum=0.9), momentum),
    (optimizers.SGD(0.01, momentum=0.9, nesterov=True), lambda *a: momentum(*a, nesterov=True)),
    (optimizers.Adam(0.01), adam),
    (optimizers.AdamW(0.01, weight_decay=0.1), lambda w, *a: adam(w - 0.01 * 0.1 * w, *a)),
    (optimizers.RMSprop(0.01), rmsprop),
    (optimizers.RMSprop(0.01, momentum=0.8), lambda *a: rmsprop(*a, mu=0.8)),
]


@pytest.mark.parametrize("optimizer, rule", RULES, ids=lambda o: type(o).__name__)
def test_rules(optimizer, rule):
    assert np.allclose(run(optimizer), keras(rule), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", [*optimizers.OPTIMIZERS, "momentum"])
def test_float32_stays_float32_and_continues_exactly(name):
    whole = run(optimizers.get(name, learning_rate=0.01), 8, np.float32)
    first = optimizers.get(name, learning_rate=0.01)
    w, g = np.array([1.0, -2.0, 3.0], np.float32), np.array([1, 10, 0.1], np.float32)
    for step in range(8):
        if step == 4:
            state = {k: v.copy() for k, v in first.state().items()}
            second = optimizers.get(name, learning_rate=0.01)
            second.load_state(state, first.iterations)
            first = second
        first.apply([("layer/kernel", w, w * g + np.float32(0.3))])
    assert whole.dtype == np.float32 and np.array_equal(whole[-1], w)
    assert all(v.dtype == np.float32 and k.endswith("layer/kernel") for k, v in first.state().items())
    json.dumps(first.get_config())


def test_decay_leaves_out_what_it_should():
    optimizer = optimizers.SGD(0.1, weight_decay=0.5, exclude_from_weight_decay=("bias",))
    kernel, bias, zero = np.ones(2), np.ones(2), np.zeros(2)
    optimizer.apply([("a/kernel", kernel, zero), ("a/bias", bias, zero)])
    assert np.allclose(kernel, 0.95) and np.allclose(bias, 1)


def test_global_clipnorm():
    a, b, g = np.zeros(1), np.zeros(1), np.array([3.0])
    optimizers.SGD(1.0, global_clipnorm=1.0).apply([("a", a, g), ("b", b, 4 * g / 3)])
    assert np.allclose([a[0], b[0]], [-0.6, -0.8]) and g[0] == 3


def test_mistakes():
    with pytest.raises(OptionError, match="not known; expected one of sgd"):
        optimizers.get("adem")
    with pytest.raises(OptionError, match="momentum"):
        optimizers.SGD(momentum=1.5)
    with pytest.raises(OptionError, match="learning_rate is -1"):
        optimizers.Adam(-1)
    with pytest.raises(OptionError, match="unexpected keyword"):
        optimizers.get("adam", momentum=0.9)
    with pytest.raises(OptionError, match="another optimizer"):
        optimizers.SGD().load_state({"velocity/a": np.zeros(1)}, 1)


@pytest.mark.parametrize("name", ["constant", "cosine", "step", "onecycle"])
@pytest.mark.parametrize("warmup", [0, 2])
def test_schedules(name, warmup):
    schedule = schedules.get(name, 0.1, steps_per_epoch=10, epochs=12, warmup=warmup)
    rates = [schedule(step) for step in range(121)]
    assert all(0 <= r <= 0.1 + 1e-12 for r in rates) and max(rates) == pytest.approx(0.1, rel=0.01)
    assert all(math.isfinite(r) for r in rates)
    if warmup:
        assert rates[0] < rates[10] < rates[19] and rates.index(max(rates)) in (19, 20)
    if name != "constant":
        assert rates[119] < 0.1 * (0.02 if name != "step" else 0.011)
    json.dumps(optimizers.Adam(schedule).get_config())
    assert optimizers.Adam(schedule).rate(5) == rates[5]


def test_schedule_mistakes():
    with pytest.raises(OptionError, match="expected constant, cosine, step or onecycle"):
        schedules.get("linear", 0.1, steps_per_epoch=1, epochs=1)
    with pytest.raises(OptionError, match="warm-up of 5 epochs in a run of 3"):
        schedules.get("cosine", 0.1, steps_per_epoch=1, epochs=3, warmup=5)
    with pytest.raises(OptionError, match="learning rate"):
        schedules.Constant(float("nan"))


class Weights:
    """As much of a model as an average needs."""

    layers = ()

    def __init__(self, *values):
        self.values = [np.array(v, np.float32) for v in values]

    @property
    def weights(self):
        return [(str(i), v) for i, v in enumerate(self.values)]

    def get_weights(self):
        return [v.copy() for v in self.values]

    def set_weights(self, values):
        self.values = list(values)


def test_swa_is_the_mean_and_ema_forgets():
    model, swa, ema = Weights([0.0]), averaging.Average("swa"), averaging.Average("ema", 0.5)
    for value in (1.0, 2.0, 6.0):
        model.values = [np.array([value], np.float32)]
        swa.update(model), ema.update(model)
    assert swa.values[0] == pytest.approx(3)
    first = 2 + (1 - 2) * 2 / 11
    assert ema.values[0] == pytest.approx(6 + (first - 6) * 3 / 12)
    with swa.applied(model):
        assert model.values[0] == 3 and model.values[0].dtype == np.float32
    assert model.values[0] == 6
    with pytest.raises(OptionError):
        averaging.Average("mean")
