"""The optimizers' rules in one pass against their equations."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvgg.kernels import fast, reference

RULES = {
    "sgd_update": (0, {"learning_rate": 0.1}),
    "momentum_update": (1, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": False}),
    "momentum_update, nesterov": (1, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam_update": (2, {"step_size": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
    "rmsprop_update": (1, {"learning_rate": 0.01, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7}),
    "rmsprop_update, momentum": (2, {"learning_rate": 0.01, "rho": 0.9, "momentum": 0.8, "epsilon": 1e-7}),
}


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(size=st.integers(0, 70) | st.just(40_000), seed=st.integers(0, 9), dtype=st.sampled_from(["f4", "f8"]),
       sliced=st.booleans())
def test_rule(rule, size, seed, dtype, sliced):
    slots, settings_ = RULES[rule]
    rng = np.random.default_rng(seed)
    step = 2 if sliced else 1
    ours = [rng.random(size * step).astype(dtype)[::step] for _ in range(2 + slots)]
    theirs, before = [a.copy() for a in ours], ours[1].copy()
    tail = [None] if rule == "rmsprop_update" else []
    name = rule.split(",")[0]
    getattr(fast, name)(*ours, *tail, **settings_)
    getattr(reference, name)(*theirs, *tail, **settings_)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-7)
    assert np.array_equal(ours[1], before)
